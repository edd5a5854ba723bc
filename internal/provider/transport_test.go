package provider_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// overPipes has clients of f reach it by HTTP on connections in memory, which a
// bubble needs.
func (f *fake) overPipes(t *testing.T) {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: f}
	go srv.Serve(l)
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		l.conns <- server
		return client, nil
	}}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		srv.Close()
	})
	f.issuer, f.meta, f.transport = "http://localhost", usualMeta("http://localhost"), tr
}

type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { close(l.closed); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// 9.2: an endless body and a gzip bomb are refused, and one byte too many is an
// error rather than a truncated answer.
func TestClient_LargeAnswers(t *testing.T) {
	t.Parallel()
	const limit, object = 1 << 20, `{"sub":"alice"}`
	endless := func(w http.ResponseWriter) {
		chunk := bytes.Repeat([]byte(" "), 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	for range 16 {
		zip.Write(make([]byte, limit))
	}
	zip.Close()
	const tooLarge = "larger than 1 MiB"
	for _, c := range []struct {
		name string
		send func(w http.ResponseWriter)
		why  string
	}{
		{"1 MiB", func(w http.ResponseWriter) { io.WriteString(w, object+strings.Repeat(" ", limit-len(object))) }, ""},
		{"a byte more", func(w http.ResponseWriter) { io.WriteString(w, object+strings.Repeat(" ", limit+1-len(object))) }, tooLarge},
		{"endless", endless, tooLarge},
		{"endless with an error status", func(w http.ResponseWriter) { w.WriteHeader(400); endless(w) }, tooLarge},
		{"a gzip bomb", func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		}, tooLarge},
		{"truncated", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, object)
		}, "unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.overPipes(t)
			f.Answer(userInfoPath, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				c.send(w)
			})
			_, err := f.Client().UserInfo(context.Background(), accessToken, "alice")
			if c.why == "" {
				wantKind(t, err, 0)
			} else if e := wantKind(t, err, provider.Unavailable); !strings.Contains(e.Error(), c.why) {
				t.Errorf("got %v; want %s", e, c.why)
			}
		})
	}
}

// 9.2: a request ends after ten seconds, and a revocation after three.
func TestClient_SlowAnswers(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // or the server does not notice that the client has gone
		<-r.Context().Done()
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for {
			select {
			case <-time.After(time.Second):
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
	ctx := context.Background()
	discover := func(_ *fake, c *provider.Client) error { _, err := c.Metadata(ctx); return err }
	revoke := func(_ *fake, c *provider.Client) error { return c.Revoke(ctx, "r1") }
	for _, c := range []struct {
		name, path string
		call       func(*fake, *provider.Client) error
		within     time.Duration
	}{
		{"discovery", wellKnown, discover, 10 * time.Second},
		{"keys", keysPath, func(f *fake, c *provider.Client) error { return verify(c, f.idToken()) }, 10 * time.Second},
		{"the token endpoint", tokenPath, func(_ *fake, c *provider.Client) error { _, err := exchange(c); return err }, 10 * time.Second},
		{"userinfo", userInfoPath, func(_ *fake, c *provider.Client) error { _, err := c.UserInfo(ctx, accessToken, "alice"); return err }, 10 * time.Second},
		{"revocation", revocationPath, revoke, 3 * time.Second},
		{"discovery before a revocation", wellKnown, revoke, 3 * time.Second},
	} {
		for how, answer := range map[string]http.HandlerFunc{"hangs before headers": hang, "sends a byte a second": drip} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newFake()
					f.overPipes(t)
					f.Answer(c.path, answer)
					client := f.Client(func(cfg *provider.Config) { cfg.HTTPClient.Timeout = time.Hour })
					began := time.Now()
					if e := wantKind(t, c.call(f, client), provider.Unavailable); !errors.Is(e, context.DeadlineExceeded) {
						t.Errorf("got %v; want a time-out", e)
					}
					if took := time.Since(began); took != c.within {
						t.Errorf("got an answer after %v; want %v", took, c.within)
					}
				})
			})
		}
	}
}

func TestNew_HTTPClientNotChanged(t *testing.T) {
	t.Parallel()
	f := newFake()
	given := &http.Client{Timeout: time.Hour, Transport: f}
	_, err := f.Client(func(cfg *provider.Config) { cfg.HTTPClient = given }).Metadata(context.Background())
	wantKind(t, err, 0)
	if given.Timeout != time.Hour || given.Transport != f || given.CheckRedirect != nil {
		t.Errorf("got %+v; want the client as it was", given)
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "999999999": time.Hour, "99999999999999999999": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := provider.ParseRetryAfter(value, now); got != want {
			t.Errorf("%q: got %v; want %v", value, got, want)
		}
	}
}

func TestTransportCause(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{context.Canceled, "context canceled"},
		{os.ErrDeadlineExceeded, "context deadline exceeded"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "connection refused"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "id.example.com"}}, "lookup id.example.com: no such host"},
		{io.EOF, "unexpected EOF"},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "unexpected EOF"},
		{&tls.CertificateVerificationError{Err: errors.New("expired")}, "tls: failed to verify certificate: expired"},
		{errors.New("malformed HTTP response secret"), "the request failed with a *errors.errorString"},
		{secret{}, "the request failed with a provider_test.secret"},
	} {
		err := &url.Error{Op: "Post", URL: "https://id.example.com/?secret", Err: c.err}
		if got := provider.TransportCause(err).Error(); got != c.want {
			t.Errorf("%v: got %q; want %q", err, got, c.want)
		}
	}
}

type secret struct{}

func (secret) Error() string { return "secret" }
