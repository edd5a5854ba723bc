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

// 9.2: an endless body and a gzip bomb are refused, and one byte too many is an
// error rather than a truncated answer.
func TestClient_LargeAnswers(t *testing.T) {
	t.Parallel()
	const limit, object = 1 << 20, `{"sub":"alice"}`
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
		{"endless", func(w http.ResponseWriter) {
			for chunk := make([]byte, 64<<10); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, tooLarge},
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
			f.listen(t)
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

// 9.2: a request ends after ten seconds, and a revocation after three, whether
// its own answer is slow or the metadata is. The HTTP client given cannot
// change that, and is not changed.
func TestClient_SlowAnswers(t *testing.T) {
	t.Parallel()
	for how, answer := range map[string]roundTrip{
		"no headers": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"a byte a second": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: drip{r.Context()}, Request: r}, nil
		},
	} {
		for i, c := range calls {
			for _, slow := range []string{wellKnown, c.path} {
				t.Run(fmt.Sprintf("%s at %s for call %d", how, slow, i), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { wantTimeout(t, c.path, c.call, slow, answer) })
				})
			}
		}
	}
}

// wantTimeout fails unless a call ends in time although an answer is slow.
func wantTimeout(t *testing.T, path string, call func(*fake, *provider.Client) error, slow string, answer roundTrip) {
	f := newFake()
	given := &http.Client{Timeout: time.Hour, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == slow {
			return answer(r)
		}
		return f.RoundTrip(r)
	})}
	client := f.Client(func(cfg *provider.Config) { cfg.HTTPClient = given })
	within := 10 * time.Second
	if path == revocationPath {
		within = 3 * time.Second
	}
	began := time.Now()
	if e := wantKind(t, call(f, client), provider.Unavailable); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("got %v; want a time-out", e)
	}
	if took := time.Since(began); took != within {
		t.Errorf("got an answer after %v; want %v", took, within)
	}
	if given.Timeout != time.Hour || given.CheckRedirect != nil {
		t.Errorf("got %+v; want the client as it was", given)
	}
	time.Sleep(time.Minute) // the fetch of the metadata ends by itself
}

// drip is a body of one byte a second.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (d drip) Close() error { return nil }

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
