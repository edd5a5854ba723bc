package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gosignin/signin/example/app"
)

// front sends each request to the next replica, regardless of browser and path,
// and says in the header X-Replica which one has answered.
//
// It serves the files itself, as a front often does. Every page loads the same
// number of files: if each of them took a replica's turn, a person who reloads a
// page could get it from the same replica every time.
func front(replicas []*url.URL, log *slog.Logger) http.Handler {
	transport := &http.Transport{DisableCompression: true} // answers are passed on unchanged
	proxies := make([]http.Handler, len(replicas))
	for i, address := range replicas {
		proxies[i] = proxy(i+1, address, transport, log)
	}
	var turn atomic.Uint64
	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", app.Secure(http.HandlerFunc(app.Static)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		if strings.Contains(r.Header.Get("Accept"), "text/event-stream") { // it would not end by itself
			// Serve's deadline is for pages. After this one the browser comes back.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
			go func() {
				select {
				case <-app.Stopping(ctx):
					cancel()
				case <-ctx.Done():
				}
			}()
		}
		next := (turn.Add(1) - 1) % uint64(len(proxies))
		proxies[next].ServeHTTP(w, r.WithContext(ctx))
	})
	return mux
}

// proxy passes requests on to the replica with this number. If the replica does
// not answer, the browser gets 502. It is tempting to ask the next replica then,
// as load balancers do. But all replicas are in this program, so a missing one is
// a bug, which the front should not hide.
func proxy(number int, address *url.URL, transport http.RoundTripper, log *slog.Logger) http.Handler {
	name := strconv.Itoa(number)
	return &httputil.ReverseProxy{
		Transport: transport,
		// Host becomes the replica's, and no X-Forwarded-* is set: package signin
		// uses BaseURL instead of both.
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(address) },
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("X-Replica", name)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil { // otherwise the browser has closed the connection
				log.Error("no answer from a replica", "replica", number, "error", err)
			}
			w.Header().Set("X-Replica", name)
			http.Error(w, "Replica "+name+" does not answer. Reload the page to ask the next one.", http.StatusBadGateway)
		},
	}
}
