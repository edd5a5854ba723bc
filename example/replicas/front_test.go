package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// behind starts n servers with handler, and returns their addresses.
func behind(t *testing.T, n int, handler http.HandlerFunc) []*url.URL {
	t.Helper()
	urls := make([]*url.URL, n)
	for i := range urls {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		urls[i], _ = url.Parse(server.URL)
	}
	return urls
}

func ask(front http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	front.ServeHTTP(w, r)
	return w
}

func get(front http.Handler, path string) *httptest.ResponseRecorder {
	return ask(front, httptest.NewRequest(http.MethodGet, path, nil))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestFront_Turns(t *testing.T) {
	t.Parallel()
	urls := behind(t, 3, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	front := front(urls, quiet())
	for i := range 7 {
		w := ask(front, httptest.NewRequest([]string{http.MethodGet, http.MethodPost}[i%2], "/", nil))
		number, host := fmt.Sprint(i%3+1), urls[i%3].Host
		if w.Code != http.StatusOK || w.Header().Get("X-Replica") != number || w.Body.String() != host {
			t.Errorf("request %d: got %d from replica %q at %s; want 200 from %s at %s",
				i+1, w.Code, w.Header().Get("X-Replica"), w.Body, number, host)
		}
		// Files do not take a turn; see front.
		file := get(front, "/static/style.css")
		if h := file.Header(); file.Code != http.StatusOK || h.Get("X-Replica") != "" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") == "" {
			t.Errorf("style.css: got %d with %v; want 200 from the front, with the security headers", file.Code, h)
		}
	}
}

func TestFront_PassesRequestsAndAnswersUnchanged(t *testing.T) {
	t.Parallel()
	urls := behind(t, 1, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Replica", "made up")
		w.Header().Set("Location", "/elsewhere")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusSeeOther)
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", string(body), " ", r.Header["Cookie"],
			r.Header["Origin"], r.Header["X-Forwarded-Host"])
	})
	r := httptest.NewRequest(http.MethodPost, "/sign%2Dout/a%2Fb?q=%20+&q=2", strings.NewReader("a=1&b=2"))
	r.Header.Set("Cookie", "signin=x")
	r.Header.Set("Origin", "http://localhost:3000")
	r.Header.Set("X-Forwarded-Host", "evil.example")
	w := ask(front(urls, quiet()), r)
	want := "POST /sign%2Dout/a%2Fb?q=%20+&q=2 a=1&b=2 [signin=x] [http://localhost:3000] []"
	if got := w.Body.String(); w.Code != http.StatusSeeOther || got != want {
		t.Errorf("got %d %q; want 303 %q", w.Code, got, want)
	}
	h := w.Header()
	if got := fmt.Sprint(h["X-Replica"], h["Location"], h["Set-Cookie"]); got != "[1] [/elsewhere] [a=1 b=2]" {
		t.Errorf("headers: got %s; want those of the replica, and its number", got)
	}
}

func TestFront_ReplicaDown(t *testing.T) {
	t.Parallel()
	urls := behind(t, 2, func(http.ResponseWriter, *http.Request) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	urls[1].Host = l.Addr().String()
	var logged bytes.Buffer
	front := front(urls, slog.New(slog.NewTextHandler(&logged, nil)))
	for i, want := range []struct {
		code int
		body string
	}{{200, ""}, {502, "Replica 2 does not answer. Reload the page to ask the next one.\n"}, {200, ""}} {
		w := get(front, "/")
		if w.Code != want.code || w.Body.String() != want.body || w.Header().Get("X-Replica") != fmt.Sprint(i%2+1) {
			t.Errorf("request %d: got %d %q from %q; want %d %q", i+1, w.Code, w.Body, w.Header().Get("X-Replica"), want.code, want.body)
		}
	}
	if got := logged.String(); strings.Count(got, "\n") != 1 ||
		!strings.Contains(got, "no answer from a replica") || !strings.Contains(got, "replica=2") {
		t.Errorf("log: got %q; want one line about replica 2", got)
	}
}

// A stream goes on for longer than the server gives to a page, which is what WriteTimeout
// is for.
func TestFront_Stream(t *testing.T) {
	t.Parallel()
	urls := behind(t, 1, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "data: one\n\n") })
	server := httptest.NewUnstartedServer(front(urls, quiet()))
	server.Config.WriteTimeout = 1 // nothing can be written in time
	server.Start()
	t.Cleanup(server.Close)
	for accept, want := range map[string]string{"text/event-stream": "data: one\n\n", "text/html": ""} {
		r, err := http.NewRequest(http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		got := ""
		if resp, err := server.Client().Do(r); err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			got = string(body)
		}
		if got != want {
			t.Errorf("%s: got %q; want %q", accept, got, want)
		}
	}
}
