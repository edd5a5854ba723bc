package signintest

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// onLoopback refuses requests for other hosts. A site whose name has been made to lead to
// this machine (DNS rebinding) could otherwise sign in as any user, from the browser of a
// person who visits it.
func onLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := (&url.URL{Host: r.Host}).Hostname()
		ip, err := netip.ParseAddr(host)
		if local := err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost"); !local {
			http.Error(w, "signintest: this provider answers at loopback addresses only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
