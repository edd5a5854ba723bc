package provider_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/signintest"
)

const (
	gigabyte = 1 << 30
	// roomy is what the heap may grow by. The collector lets garbage pile up to
	// the size of what is in use, and a megabyte is read by doubling a buffer.
	roomy = 64 << 20
	// inFlight is what a sender can get rid of to somebody who does not read: the
	// buffers of sockets at both ends.
	inFlight = 32 << 20
)

// heap returns how many bytes of the heap are in use, garbage included.
func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// growth is by how much the heap grows at the most while f runs.
func growth(f func()) uint64 {
	runtime.GC()
	base, peak := heap(), uint64(0)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(500 * time.Microsecond)
		defer tick.Stop()
		for {
			peak = max(peak, heap())
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	f()
	close(done)
	<-stopped
	return max(peak, heap(), base) - base
}

// wantBounded runs f and fails if it takes the memory or the time of somebody
// who reads a gigabyte. sent counts what the other side got rid of.
func wantBounded(t *testing.T, sent *atomic.Int64, f func()) {
	t.Helper()
	began := time.Now()
	if grown := growth(f); grown > roomy {
		t.Errorf("the heap grew by %d MB; want 64 at the most", grown>>20)
	}
	if n := sent.Load(); n > inFlight {
		t.Errorf("%d MB were taken; want 32 at the most", n>>20)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v; want a moment", took)
	}
}

// pour writes a gigabyte, or as much of it as is taken.
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

// calls are the requests to a provider, by the path of what they ask for.
var calls = []struct {
	path string
	call func(t *testing.T, f *fake, c *provider.Client) error
}{
	{wellKnown, func(_ *testing.T, _ *fake, c *provider.Client) error {
		_, err := c.Metadata(context.Background())
		return err
	}},
	{"/x7/keys", func(t *testing.T, f *fake, c *provider.Client) error { _, err := verify(c, f.goodToken(t)); return err }},
	{"/x7/token", func(_ *testing.T, _ *fake, c *provider.Client) error { _, err := exchange(c); return err }},
	{"/x7/me", func(_ *testing.T, _ *fake, c *provider.Client) error {
		_, err := c.UserInfo(context.Background(), accessToken, "alice")
		return err
	}},
	{"/x7/revoke", func(_ *testing.T, _ *fake, c *provider.Client) error { return c.Revoke(context.Background(), "r1") }},
}

// A provider may send as much as it likes (CASES 9.2): a gigabyte costs no more
// than the megabyte that is read of it. No test runs beside this one, or the
// heap would be that one's too.
func TestCasesOfMemory(t *testing.T) {
	part := new(bytes.Buffer)
	zip := gzip.NewWriter(part)
	_, _ = zip.Write(make([]byte, 16<<20))
	_ = zip.Close()
	bomb := bytes.Repeat(part.Bytes(), 64) // one stream behind another is one: https://www.rfc-editor.org/rfc/rfc1952#section-2.2
	for _, c := range calls {
		for name, send := range map[string]func(http.ResponseWriter, *atomic.Int64){
			"a gigabyte":                      func(w http.ResponseWriter, sent *atomic.Int64) { pour(w, sent) },
			"a gigabyte of JSON":              func(w http.ResponseWriter, sent *atomic.Int64) { _, _ = io.WriteString(w, `{"sub":"`); pour(w, sent) },
			"a gigabyte with an error status": func(w http.ResponseWriter, sent *atomic.Int64) { w.WriteHeader(http.StatusBadRequest); pour(w, sent) },
			"a gigabyte that is announced": func(w http.ResponseWriter, sent *atomic.Int64) {
				w.Header().Set("Content-Length", fmt.Sprint(gigabyte))
				pour(w, sent)
			},
			"a gigabyte, unpacked": func(w http.ResponseWriter, _ *atomic.Int64) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(bomb)
			},
			"10,000 keys": func(w http.ResponseWriter, _ *atomic.Int64) {
				_, _ = io.WriteString(w, `{"keys":[`+strings.Repeat(`{"kty":"RSA","e":"AQAB","n":"AQAB"},`, 10_000)+`1]}`)
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
			t.Run("9.2 "+c.path+" answers with "+name, func(t *testing.T) {
				f, sent := newFake(t), new(atomic.Int64)
				f.Answer(c.path, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					send(w, sent)
				})
				client := f.Client()
				wantBounded(t, sent, func() {
					err := c.call(t, f, client)
					if e := (*provider.Error)(nil); name == "10,000 keys" && c.path == "/x7/revoke" && err == nil {
						return // whose answer nobody reads
					} else if !errors.As(err, &e) {
						t.Errorf("got error %v; want one of this package", err)
					}
				})
			})
		}
	}
}

// dial opens a connection to a server and begins a request on it.
func dial(t *testing.T, srv *httptest.Server, head string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	return conn
}

// So may whoever posts a logout token, or presents a token or a cookie: what an
// application on net/http takes of these is what its limits and ours let in.
func TestCasesOfMemoryTakenByRequests(t *testing.T) {
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

	const form = "Content-Type: application/x-www-form-urlencoded\r\n"
	for name, head := range map[string]string{
		"a logout token":             "POST /backchannel-logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: 1073741824\r\n\r\nlogout_token=",
		"a form that is no token":    "POST /backchannel-logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: 1073741824\r\n\r\n",
		"a logout token in chunks":   "POST /backchannel-logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding: chunked\r\n\r\n40000000\r\nlogout_token=",
		"a logout token as JSON":     "POST /backchannel-logout HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n",
		"a response that was posted": "POST /callback HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: 1073741824\r\n\r\ncode=",
		"an Authorization header":    "GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ",
		"a Cookie header":            "GET /account HTTP/1.1\r\nHost: x\r\nCookie: signin=",
		"a query":                    "GET /callback?code=",
	} {
		t.Run("9.2 a gigabyte of "+name, func(t *testing.T) {
			sent := new(atomic.Int64)
			wantBounded(t, sent, func() { pour(dial(t, srv, head), sent) })
		})
	}

	// What a server that allows larger headers lets in is not copied.
	large := strings.Repeat("a", 64<<20)
	pairs := strings.Repeat("signin.tx.a=b; ", 4<<20)
	for name, header := range map[string]http.Header{
		"an Authorization header":                {"Authorization": {"Bearer " + large}},
		"a Cookie header of one cookie":          {"Cookie": {"signin=" + large}},
		"a Cookie header of one half":            {"Cookie": {"signin=." + large[:32<<20] + "; signin.2=" + large[:32<<20]}},
		"a Cookie header of one sign-in":         {"Cookie": {"signin.tx.1x=" + large}},
		"a Cookie header of four million":        {"Cookie": {pairs}},
		"an Accept header":                       {"Accept": {"text/html;" + large[:8<<20]}},
		"an HX-Current-URL":                      {"Hx-Request": {"true"}, "Hx-Current-Url": {srv.URL + "/" + large}},
		"a WWW-Authenticate that nobody asks of": {"Www-Authenticate": {large}},
	} {
		t.Run("9.2 megabytes of "+name, func(t *testing.T) {
			for _, path := range []string{"/account", "/api", "/callback?code=c&state=1x", "/sign-in"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Header = header.Clone()
				wantBounded(t, new(atomic.Int64), func() { mux.ServeHTTP(httptest.NewRecorder(), r) })
			}
		})
	}
}

// Keys and userinfo that hang, or come a byte a second, end with the time-out,
// as slowAnswers says of all others.
func TestCasesOfTime(t *testing.T) {
	t.Parallel()
	token := sign(t, "RS256", rsaKey(), "rsa", m{"iss": "http://localhost"}, nil)
	for name, answer := range map[string]http.HandlerFunc{"hangs before headers": hang, "sends a byte a second": drip} {
		for path, call := range map[string]func(*provider.Client) error{
			"/keys": func(c *provider.Client) error { _, err := verify(c, token); return err },
			"/me": func(c *provider.Client) error {
				_, err := c.UserInfo(context.Background(), accessToken, "alice")
				return err
			},
		} {
			t.Run("9.2 "+path+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					mux := http.NewServeMux()
					mux.HandleFunc(wellKnown, func(w http.ResponseWriter, _ *http.Request) {
						const u = "http://localhost"
						fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":"%s/token","userinfo_endpoint":"%[1]s/me","jwks_uri":"%[1]s/keys"}`, u, u, u)
					})
					mux.HandleFunc(path, answer)
					client := provider.New(provider.Config{Issuer: "http://localhost", HTTPClient: &http.Client{Transport: serveOverPipes(t, mux)}})
					began := time.Now()
					if e := wantKind(t, call(client), provider.Unavailable); !errors.Is(e, context.DeadlineExceeded) {
						t.Errorf("got %v; want a time-out", e)
					}
					if took := time.Since(began); took != 10*time.Second {
						t.Errorf("got an answer after %v; want 10s", took)
					}
				})
			})
		}
	}
}
