package app

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// AtBaseURL sends a browser that has opened another loopback name than BaseURL's, such
// as 127.0.0.1 for localhost, to BaseURL: cookies belong to one name, so a sign-in that
// begins at the other cannot be finished. In production, redirect the other names of
// your host where it is proxied.
func AtBaseURL(s *Settings, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base, err := url.Parse(s.BaseURL)
		host := url.URL{Host: r.Host}
		// A proxy in front has another port, and may have put its own Host.
		if err == nil && r.Method == http.MethodGet && host.Port() == base.Port() && strings.HasPrefix(r.RequestURI, "/") &&
			host.Hostname() != base.Hostname() && loopback(host.Hostname()) && loopback(base.Hostname()) {
			http.Redirect(w, r, s.BaseURL+r.RequestURI, http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
