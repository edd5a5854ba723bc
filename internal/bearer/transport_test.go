package bearer_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/bearer"
)

var errBroken = errors.New("broken on purpose")

// body is the body of a request or an answer. It records how it was used.
type body struct {
	io.Reader
	ended  bool
	closed int
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *body) Close() error {
	b.closed++
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// api is the base of a Transport. It records what was sent, and refuses every token
// but the one that it takes.
type api struct {
	takes   string    // the token; "" for any
	says    string    // WWW-Authenticate of a refusal; "" for invalid_token
	status  int       // of a refusal; 0 for 401
	refusal io.Reader // its body; nil for a short text
	err     error

	sent                   []*http.Request
	bodies, authorizations []string
	refusals               []*body
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	a.sent, a.bodies = append(a.sent, r), append(a.bodies, string(sent))
	a.authorizations = append(a.authorizations, strings.Join(r.Header["Authorization"], ","))
	if a.err != nil {
		return nil, a.err
	}
	if a.takes == "" || r.Header.Get("Authorization") == "Bearer "+a.takes {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	}
	refusal := &body{Reader: cmp.Or[io.Reader](a.refusal, strings.NewReader("refused"))}
	a.refusals = append(a.refusals, refusal)
	h := http.Header{"Www-Authenticate": {cmp.Or(a.says, `Bearer realm="api", error="invalid_token"`)}}
	return &http.Response{StatusCode: cmp.Or(a.status, http.StatusUnauthorized), Header: h, Body: refusal, Request: r}, nil
}

// source gives tokens one after another, and records which were refused.
type source struct {
	tokens  []string
	refused []string
}

func (s *source) token(_ context.Context, refused string) (token string, err error) {
	s.refused = append(s.refused, refused)
	if len(s.tokens) == 0 {
		return "", errBroken
	}
	token, s.tokens = s.tokens[0], s.tokens[1:]
	return token, nil
}

func transport(t *testing.T, a *api, origin string, tokens ...string) (*bearer.Transport, *source) {
	t.Helper()
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{tokens: tokens}
	return &bearer.Transport{Base: a, Origin: u, Token: s.token}, s
}

const origin = "https://api.test"

func request(t *testing.T, target, text string) (*http.Request, *body) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &body{Reader: strings.NewReader(text)}
	if text != "" {
		r.Body, r.ContentLength = b, int64(len(text))
	}
	return r, b
}

func want(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q; want %q", what, got, want)
	}
}

func TestRoundTrip_Origin(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, origin, target string
		host                 string // the Host header, or "opaque" and URL.Opaque; "" for neither
		has                  bool
	}{
		{"the origin itself", origin, "https://api.test", "", true},
		{"the default port named in the request", origin, "https://api.test:443/", "", true},
		{"the default port named in the origin", "https://api.test:443", "https://api.test/", "", true},
		{"the default port of http", "http://localhost", "http://localhost:80/", "", true},
		{"another case", "https://API.test", "https://api.TEST/", "", true},
		{"another port in both", "https://api.test:8443", "https://api.test:8443/", "", true},
		{"an address of IPv6", "http://[::1]:80", "http://[::1]/", "", true},
		{"an address of IPv6 with its zone", "http://[fe80::1%25a]", "http://[fe80::1%25a]:80/", "", true},
		{"an address of IPv6 with another zone", "http://[fe80::1%25a]", "http://[fe80::1%25b]/", "", false},
		{"user and password before the host", origin, "https://u:p@api.test/", "", false},
		{"an opaque URL, whose request line names another host", origin, "https://api.test/", "opaque //evil.test/", false},
		{"an opaque URL, whose request line names the same host", origin, "https://api.test/", "opaque //api.test/", false},
		{"an opaque URL that is a path", origin, "https://api.test/", "opaque /x", false},
		{"a name in its ASCII form for one that is not", "https://b\u00fccher.test", "https://xn--bcher-kva.test/", "", false},
		{"another scheme on the same port", origin, "http://api.test:443/", "", false},
		{"another port", origin, "https://api.test:8443/", "", false},
		{"the port of the other scheme", origin, "https://api.test:80/", "", false},
		{"another spelling of the port", "https://api.test:443", "https://api.test:0443/", "", false},
		{"a subdomain", origin, "https://a.api.test/", "", false},
		{"a name that begins with it", origin, "https://api.test.evil.test/", "", false},
		{"the origin as a user", origin, "https://api.test@evil.test/", "", false},
		{"the origin as a path", origin, "https://evil.test/https://api.test", "", false},
		{"a dot at the end", origin, "https://api.test./", "", false},
		{"a letter that Unicode folds to the same", "https://kapi.test", "https://\u212Aapi.test/", "", false},
		{"a name in place of an address", "http://127.0.0.1:80", "http://localhost/", "", false},
		{"the origin in the Host header alone", origin, "https://evil.test/", "api.test", false},
		{"another host in the Host header", origin, "https://api.test/", "evil.test", false},
		{"another port in the Host header", origin, "https://api.test/", "api.test:8443", false},
		{"a user in the Host header", origin, "https://api.test/", "api.test:443@evil.test", false},
		{"a path in the Host header", origin, "https://api.test/", "api.test/evil.test", false},
		{"a dot at the end of the Host header", origin, "https://api.test/", "api.test.", false},
		{"the origin in the Host header too", origin, "https://api.test/", "API.test:443", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := &api{takes: "one"}
			tr, s := transport(t, a, row.origin, "one", "two")
			r, body := request(t, row.target, "hello")
			if _, opaque, ok := strings.Cut(row.host, "opaque "); ok {
				r.URL.Opaque = opaque
			} else {
				r.Host = row.host
			}
			r.Header.Set("Authorization", "Basic mine")
			status, header, refused := http.StatusUnauthorized, []string{"Basic mine"}, []string(nil)
			if row.has {
				status, header, refused = http.StatusOK, []string{"Bearer one"}, []string{""}
			}
			if resp, err := tr.RoundTrip(r); err != nil || resp.StatusCode != status {
				t.Fatalf("got %v, %v; want %d", resp, err, status)
			}
			want(t, "Authorization", a.authorizations, header)
			want(t, "tokens asked for", s.refused, refused)
			if a.bodies[0] != "hello" || body.closed != 1 {
				t.Errorf("body: got %q, closed %d times; want it sent and closed once", a.bodies[0], body.closed)
			}
			if got := r.Header.Get("Authorization"); got != "Basic mine" {
				t.Errorf("got the caller's request changed to %q", got)
			}
		})
	}
}

// https://pkg.go.dev/net/http#RoundTripper
func TestRoundTrip_CallersRequest(t *testing.T) {
	t.Parallel()
	for tokens, text := range map[string]io.Reader{
		"two": http.NoBody, "one two": strings.NewReader("hello"), "three two": http.NoBody,
	} {
		a := &api{takes: "two"}
		tr, _ := transport(t, a, origin, strings.Fields(tokens)...)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://api.test/x", text)
		if err != nil {
			t.Fatal(err)
		}
		if text == http.NoBody {
			r.GetBody = nil // an empty body needs none
		}
		r.Header.Set("X-Own", "kept")
		before, body := maps.Clone(r.Header), r.Body
		resp, err := tr.RoundTrip(r)
		// A redirect's CheckRedirect sees the request of the answer.
		if err != nil || resp.StatusCode != http.StatusOK || resp.Request != r {
			t.Errorf("got %v, %v; want 200, with the caller's own request", resp, err)
		}
		if !maps.EqualFunc(r.Header, before, slices.Equal) || r.Body != body {
			t.Errorf("got header %v and body %v; want them unchanged", r.Header, r.Body)
		}
		for i, sent := range a.sent {
			if sent == r || sent.Header.Get("X-Own") != "kept" || sent.Method != http.MethodPut || sent.URL.Path != "/x" {
				t.Errorf("request %d: got %s %s %v; want a complete copy", i, sent.Method, sent.URL, sent.Header)
			}
		}
	}
}

func TestRoundTrip_Failures(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		deadline time.Time
		tokens   []string
		want     error
		sent     int
	}{
		{"no token", time.Time{}, nil, errBroken, 0},
		// http.Client knows a time-out by its error.
		{"no token, since the request took too long", time.Unix(0, 0), nil, context.DeadlineExceeded, 0},
		{"an API that cannot be reached", time.Time{}, []string{"one"}, errBroken, 1},
	} {
		for _, text := range []string{"hello", ""} {
			a := &api{err: errBroken}
			tr, _ := transport(t, a, origin, row.tokens...)
			r, body := request(t, "https://api.test/", text)
			if !row.deadline.IsZero() {
				ctx, cancel := context.WithDeadline(t.Context(), row.deadline)
				defer cancel()
				r = r.WithContext(ctx)
			}
			resp, err := tr.RoundTrip(r)
			if resp != nil || err != row.want || len(a.sent) != row.sent || body.closed != min(1, len(text)) {
				t.Errorf("%s: got %v, %v after %d requests, the body closed %d times; want %v after %d",
					row.name, resp, err, len(a.sent), body.closed, row.want, row.sent)
			}
		}
	}
}

type personKey struct{}

func TestRoundTrip_TokenRefused(t *testing.T) {
	t.Parallel()
	const scope, realm, basic = `Bearer error="insufficient_scope"`, `Bearer realm="api"`, `Basic realm="api"`
	for _, row := range []struct {
		name    string
		api     api
		tokens  string
		body    string
		again   error // of GetBody; errors.ErrUnsupported for no GetBody
		status  int
		sent    int      // requests
		refused []string // what the source of tokens was told
	}{
		{"a request without a body", api{takes: "two"}, "one two", "", nil, 200, 2, []string{"", "one"}},
		{"a body that can be sent again", api{takes: "two"}, "one two", "hello", nil, 200, 2, []string{"", "one"}},
		{"a body that cannot be sent again", api{takes: "two"}, "one two", "hello", errors.ErrUnsupported, 401, 1, []string{""}},
		{"an error of GetBody", api{takes: "two"}, "one two", "hello", errBroken, 401, 1, []string{""}},
		{"no third attempt", api{takes: "three"}, "one two three", "hello", nil, 401, 2, []string{"", "one"}},
		{"the same token again", api{takes: "two"}, "one one", "hello", nil, 401, 1, []string{"", "one"}},
		{"no other token", api{takes: "two"}, "one", "hello", nil, 401, 1, []string{"", "one"}},
		{"a scope that is missing", api{takes: "two", says: scope}, "one two", "", nil, 401, 1, []string{""}},
		{"a challenge without an error", api{takes: "two", says: realm}, "one two", "", nil, 401, 1, []string{""}},
		{"another scheme", api{takes: "two", says: basic}, "one two", "", nil, 401, 1, []string{""}},
		{"another status", api{takes: "two", status: 403}, "one two", "", nil, 403, 1, []string{""}},
		{"an endless refusal", api{takes: "two", refusal: zeros{}}, "one two", "", nil, 200, 2, []string{"", "one"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			tr, s := transport(t, &row.api, origin, strings.Fields(row.tokens)...)
			tr.Token = func(ctx context.Context, refused string) (string, error) {
				if ctx.Value(personKey{}) != "alice" {
					t.Error("got another context than the request's")
				}
				return s.token(ctx, refused)
			}
			r, first := request(t, "https://api.test/", row.body)
			r = r.WithContext(context.WithValue(r.Context(), personKey{}, "alice"))
			second := &body{Reader: strings.NewReader(row.body)}
			got := 0
			if row.body != "" && row.again != errors.ErrUnsupported {
				r.GetBody = func() (io.ReadCloser, error) {
					if row.again == nil {
						got++
					}
					return second, row.again
				}
			}
			resp, err := tr.RoundTrip(r)
			if err != nil || resp.StatusCode != row.status {
				t.Fatalf("got %v, %v; want status %d", resp, err, row.status)
			}
			if said, err := io.ReadAll(resp.Body); err != nil || row.status != 200 && string(said) != "refused" {
				t.Errorf("got %q, %v; want the whole body", said, err)
			}
			authorizations := []string{"Bearer one", "Bearer two"}
			want(t, "Authorization", row.api.authorizations, authorizations[:row.sent])
			want(t, "bodies", row.api.bodies, []string{row.body, row.body}[:row.sent])
			want(t, "tokens asked for", s.refused, row.refused)
			if first.closed != min(1, len(row.body)) || second.closed != got {
				t.Errorf("got the body closed %d times, and the second of %d %d times", first.closed, got, second.closed)
			}
			// A connection is reused only after the whole refusal was read.
			refusal := row.api.refusals[0]
			if row.status == 200 && (refusal.closed != 1 || !refusal.ended && row.api.refusal == nil) {
				t.Errorf("got the refusal read %t, closed %d times; want it read and closed", refusal.ended, refusal.closed)
			}
		})
	}
}

func TestRoundTrip_NoURL(t *testing.T) {
	t.Parallel()
	a := &api{}
	tr, s := transport(t, a, origin, "one")
	if _, err := tr.RoundTrip(&http.Request{Header: http.Header{}}); err != nil || len(a.sent) != 1 || len(s.refused) != 0 {
		t.Errorf("got %v, %d requests, %d tokens; want it left to the base", err, len(a.sent), len(s.refused))
	}
}
