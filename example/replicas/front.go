package main

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"

	"github.com/gosignin/signin/example/app"
)

// front asks one replica after the other, whoever asks and for what, and says in
// the header X-Replica which one has answered.
//
// It serves the files itself, as a front often does. Every page loads the same
// number of them: if each took a replica's turn, a person who reloads could meet
// one replica for ever.
func front(replicas []*url.URL, log *slog.Logger) http.Handler {
	transport := &http.Transport{DisableCompression: true} // what comes is passed on as it is
	proxies := make([]http.Handler, len(replicas))
	for i, address := range replicas {
		proxies[i] = proxy(i+1, address, transport, log)
	}
	var turn atomic.Uint64
	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", app.Secure(http.HandlerFunc(app.Static)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		next := (turn.Add(1) - 1) % uint64(len(proxies))
		proxies[next].ServeHTTP(w, r)
	})
	return mux
}

// proxy passes requests on to the replica of this number. Its answer to a replica
// that does not answer is 502. It is tempting to ask the next one then, as load
// balancers do; but all replicas are in this program, so that one is missing is a
// bug in it, and a front that hides that would show more than is true.
func proxy(number int, address *url.URL, transport http.RoundTripper, log *slog.Logger) http.Handler {
	name := strconv.Itoa(number)
	return &httputil.ReverseProxy{
		Transport: transport,
		// Host becomes the replica's, and no X-Forwarded-* is set: package signin
		// goes by BaseURL, and by neither of them.
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(address) },
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("X-Replica", name)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil { // or it is the browser that has gone
				log.Error("no answer from a replica", "replica", number, "error", err)
			}
			w.Header().Set("X-Replica", name)
			http.Error(w, "Replica "+name+" does not answer. Reload, and the next one does.", http.StatusBadGateway)
		},
	}
}
