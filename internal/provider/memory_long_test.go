//go:build long

package provider_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/signintest"
)

const gigabyte = 1 << 30

// wantBounded runs f, and fails if it takes as much memory or time as reading a
// gigabyte. sent counts the bytes that the other side could send, some of which
// are in the buffers of the sockets at both ends.
func wantBounded(t *testing.T, sent *atomic.Int64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	f()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 64 {
		t.Errorf("%d MB were allocated; want at most 64", allocated)
	}
	if received := sent.Load() >> 20; received > 32 {
		t.Errorf("%d MB were received; want at most 32", received)
	}
	if took > 10*time.Second {
		t.Errorf("it took %v; want at most 10s", took)
	}
}

// pour writes a gigabyte, or as much of it as the other side reads.
func pour(w io.Writer, sent *atomic.Int64) {
	chunk := bytes.Repeat([]byte("a"), 64<<10)
	for sent.Load() < gigabyte {
		n, err := w.Write(chunk)
		sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// 9.2: of a gigabyte that a provider sends, one megabyte is read. No test runs
// in parallel with this one, since they would share the heap.
func TestClient_MemoryForAnswers(t *testing.T) {
	part := new(bytes.Buffer)
	zip := gzip.NewWriter(part)
	_, _ = zip.Write(make([]byte, 16<<20))
	_ = zip.Close()
	// Streams may follow one another:
	// https://www.rfc-editor.org/rfc/rfc1952#section-2.2
	bomb := bytes.Repeat(part.Bytes(), 64)
	for _, c := range calls {
		for name, send := range map[string]func(http.ResponseWriter, *atomic.Int64){
			"a gigabyte":                      func(w http.ResponseWriter, sent *atomic.Int64) { pour(w, sent) },
			"a gigabyte of JSON":              func(w http.ResponseWriter, sent *atomic.Int64) { _, _ = io.WriteString(w, `{"sub":"`); pour(w, sent) },
			"a gigabyte with an error status": func(w http.ResponseWriter, sent *atomic.Int64) { w.WriteHeader(http.StatusBadRequest); pour(w, sent) },
			"a gigabyte with its length": func(w http.ResponseWriter, sent *atomic.Int64) {
				w.Header().Set("Content-Length", fmt.Sprint(gigabyte))
				pour(w, sent)
			},
			"a gigabyte, unpacked": func(w http.ResponseWriter, _ *atomic.Int64) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(bomb)
			},
			"a gigabyte of headers": func(w http.ResponseWriter, sent *atomic.Int64) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: ")
				pour(conn, sent)
			},
		} {
			t.Run(c.path+" answers with "+name, func(t *testing.T) {
				f, sent := newFake(), new(atomic.Int64)
				f.listen(t)
				f.Answer(c.path, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					send(w, sent)
				})
				client := f.Client()
				wantBounded(t, sent, func() {
					if e := (*provider.Error)(nil); !errors.As(c.call(f, client), &e) {
						t.Error("got no *provider.Error")
					}
				})
			})
		}
	}
}

// 9.2: the same for the requests to an application on net/http.
func TestApplication_MemoryForRequests(t *testing.T) {
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	cfg := p.Config(srv.URL)
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	inside := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	mux.Handle("/backchannel-logout", auth.BackChannelLogout())
	mux.Handle("/sign-in", auth.SignIn())
	mux.Handle("/callback", auth.Callback())
	mux.Handle("/account", auth.RequireAuth(inside))
	mux.Handle("/api", auth.RequireBearer("https://api.example.com")(inside))

	const logout = "POST /backchannel-logout HTTP/1.1\r\nHost: x\r\n"
	const form, length = "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Length: 1073741824\r\n\r\n"
	for name, head := range map[string]string{
		"a logout token":             logout + form + length + "logout_token=",
		"a form without a token":     logout + form + length,
		"a logout token in chunks":   logout + form + "Transfer-Encoding: chunked\r\n\r\n40000000\r\nlogout_token=",
		"a logout token as JSON":     logout + "Content-Type: application/json\r\n" + length,
		"a response that was posted": "POST /callback HTTP/1.1\r\nHost: x\r\n" + form + length + "code=",
		"an Authorization header":    "GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ",
		"a Cookie header":            "GET /account HTTP/1.1\r\nHost: x\r\nCookie: signin=",
		"a query":                    "GET /callback?code=",
	} {
		t.Run("a gigabyte of "+name, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			sent := new(atomic.Int64)
			wantBounded(t, sent, func() {
				_, _ = io.WriteString(conn, head)
				pour(conn, sent)
			})
		})
	}

	// A server may allow larger headers. They are not copied.
	large := strings.Repeat("a", 64<<20)
	pairs := strings.Repeat("signin.tx.a=b; ", 4<<20)
	for name, header := range map[string]http.Header{
		"an Authorization header":         {"Authorization": {"Bearer " + large}},
		"a Cookie header of one cookie":   {"Cookie": {"signin=" + large}},
		"a Cookie header of one half":     {"Cookie": {"signin=." + large[:32<<20] + "; signin.2=" + large[:32<<20]}},
		"a Cookie header of one sign-in":  {"Cookie": {"signin.tx.1x=" + large}},
		"a Cookie header of four million": {"Cookie": {pairs}},
		"an Accept header":                {"Accept": {"text/html;" + large[:8<<20]}},
		"an HX-Current-URL":               {"Hx-Request": {"true"}, "Hx-Current-Url": {srv.URL + "/" + large}},
		"a WWW-Authenticate header":       {"Www-Authenticate": {large}},
	} {
		t.Run("megabytes of "+name, func(t *testing.T) {
			for _, path := range []string{"/account", "/api", "/callback?code=c&state=1x", "/sign-in"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Header = header.Clone()
				wantBounded(t, new(atomic.Int64), func() { mux.ServeHTTP(httptest.NewRecorder(), r) })
			}
		})
	}
}
