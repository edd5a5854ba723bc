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

// largeAnswers is 9.2: an endless body and a gzip bomb are bounded, and one
// byte too many is an error rather than a shorter answer.
func largeAnswers(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
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
	for range 64 {
		zip.Write(make([]byte, limit))
	}
	zip.Close()
	object := `{"sub":"alice"}`
	for _, c := range []struct {
		name string
		send func(w http.ResponseWriter)
		want provider.Kind
	}{
		{"1 MiB", func(w http.ResponseWriter) { io.WriteString(w, object+strings.Repeat(" ", limit-len(object))) }, 0},
		{"a byte more", func(w http.ResponseWriter) { io.WriteString(w, object+strings.Repeat(" ", limit+1-len(object))) }, provider.Unavailable},
		{"endless", endless, provider.Unavailable},
		{"endless with an error status", func(w http.ResponseWriter) { w.WriteHeader(400); endless(w) }, provider.Unavailable},
		{"a gzip bomb", func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		}, provider.Unavailable},
		{"cut short", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, object)
		}, provider.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Answer("/x7/me", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				c.send(w)
			})
			_, err := f.Client().UserInfo(context.Background(), accessToken, "alice")
			wantKind(t, err, c.want)
		})
	}
}

// hang never answers. A server learns that its client has gone only after it
// has read the request.
func hang(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// drip sends one byte a second.
func drip(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			io.WriteString(w, " ")
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// slowAnswers is the rest of 9.2, in a bubble with a clock of its own.
func slowAnswers(t *testing.T) {
	t.Parallel()
	discovery := func(c *provider.Client) error { _, err := c.Metadata(context.Background()); return err }
	redeem := func(c *provider.Client) error { _, err := exchange(c); return err }
	revoke := func(c *provider.Client) error { return c.Revoke(context.Background(), "r1") }
	for _, c := range []struct {
		name   string
		path   string
		answer http.HandlerFunc
		call   func(*provider.Client) error
		within time.Duration
	}{
		{"discovery hangs before headers", wellKnown, hang, discovery, 10 * time.Second},
		{"discovery sends a byte a second", wellKnown, drip, discovery, 10 * time.Second},
		{"the token endpoint hangs", "/token", hang, redeem, 10 * time.Second},
		{"the token endpoint sends a byte a second", "/token", drip, redeem, 10 * time.Second},
		{"revocation hangs", "/revoke", hang, revoke, 3 * time.Second},
		{"revocation sends a byte a second", "/revoke", drip, revoke, 3 * time.Second},
		{"discovery hangs before a revocation", wellKnown, hang, revoke, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				mux := http.NewServeMux()
				if c.path != wellKnown {
					mux.HandleFunc(wellKnown, func(w http.ResponseWriter, _ *http.Request) {
						const u = "http://localhost"
						fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":"%s/token","revocation_endpoint":"%[1]s/revoke","jwks_uri":%[1]q}`, u, u, u)
					})
				}
				mux.HandleFunc(c.path, c.answer)
				client := provider.New(provider.Config{
					Issuer:     "http://localhost",
					HTTPClient: &http.Client{Transport: serveOverPipes(t, mux), Timeout: time.Hour},
				})
				began := time.Now()
				err := c.call(client)
				if e := wantKind(t, err, provider.Unavailable); !errors.Is(e, context.DeadlineExceeded) {
					t.Errorf("got %v; want a time-out", e)
				}
				if took := time.Since(began); took != c.within {
					t.Errorf("got an answer after %v; want %v", took, c.within)
				}
			})
		})
	}
}

// serveOverPipes runs a server on connections without a network, which bubbles
// need, and returns the transport that reaches it.
func serveOverPipes(t *testing.T, h http.Handler) http.RoundTripper {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		l.conns <- server
		return client, nil
	}}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		srv.Close()
	})
	return tr
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

// 9.2: 10,000 keys are refused without being looked at.
func manyKeys(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Says("/x7/keys", 200, `{"keys":[`+strings.TrimSuffix(strings.Repeat(`{"kty":"RSA","e":"AQAB","n":"AQAB"},`, 10000), ",")+`]}`)
	_, err := verify(f.Client(), f.goodToken(t))
	wantKind(t, err, provider.Unavailable)
}

// The bubble fails if a goroutine is still there when it ends.
func TestNoGoroutineIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refuse := roundTrip(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED })
		c := provider.New(provider.Config{Issuer: "https://id.example.com", HTTPClient: &http.Client{Transport: refuse}})
		_, err := c.Metadata(context.Background())
		wantKind(t, err, provider.Unavailable)
	})
}

func TestClientGivenIsNotChanged(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	given := &http.Client{Timeout: time.Hour}
	_, err := f.Client(func(cfg *provider.Config) { cfg.HTTPClient = given }).Metadata(context.Background())
	wantKind(t, err, 0)
	if given.Timeout != time.Hour || given.Transport != nil || given.CheckRedirect != nil {
		t.Errorf("got %+v; want the client as it was", given)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		"-7":                            0,
		"soon":                          0,
		"999999999":                     time.Hour,
		"99999999999999999999":          0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := provider.ParseRetryAfter(value, now); got != want {
			t.Errorf("%q: got %v; want %v", value, got, want)
		}
	}
}

func TestTransportCauses(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return &url.Error{Op: "Post", URL: "https://id.example.com/?secret", Err: err} }
	for want, err := range map[string]error{
		"context canceled":                               wrap(context.Canceled),
		"context deadline exceeded":                      wrap(os.ErrDeadlineExceeded),
		"connection refused":                             wrap(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
		"lookup id.example.com: no such host":            wrap(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "id.example.com"}}),
		"unexpected EOF":                                 wrap(io.EOF),
		"tls: failed to verify certificate: expired":     wrap(&tls.CertificateVerificationError{Err: errors.New("expired")}),
		"the request failed with a *errors.errorString":  wrap(errors.New("malformed HTTP response secret")),
		"the request failed with a provider_test.secret": wrap(secret{}),
	} {
		if got := provider.TransportCause(err).Error(); got != want {
			t.Errorf("%v: got %q; want %q", err, got, want)
		}
	}
}

type secret struct{}

func (secret) Error() string { return "secret" }
