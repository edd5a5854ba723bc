package bearer_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/bearer"
)

var errBroken = errors.New("broken on purpose")

// api is the base of a Transport: it keeps what was sent, and answers 401
// invalid_token to tokens that it does not take.
type api struct {
	takes  string // the token; "" for any
	header string // WWW-Authenticate of a refusal; "" for invalid_token
	status int    // of a refusal; 0 for 401
	err    error

	mu     sync.Mutex
	sent   []*http.Request
	bodies []string
	drawn  []*drawn // of the refusals
}

// drawn is an answer's body that knows whether it was read to its end and closed.
type drawn struct {
	io.Reader
	ended, closed bool
}

func (d *drawn) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	d.ended = d.ended || err == io.EOF
	return n, err
}

func (d *drawn) Close() error {
	d.closed = true
	return nil
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	a.sent, a.bodies = append(a.sent, r), append(a.bodies, string(body))
	if a.err != nil {
		return nil, a.err
	}
	if auth := r.Header.Get("Authorization"); a.takes == "" || auth == "Bearer "+a.takes {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("welcome")), Request: r}, nil
	}
	refusal := &drawn{Reader: strings.NewReader("who are you")}
	a.drawn = append(a.drawn, refusal)
	says := `Bearer realm="api", error="invalid_token"`
	if a.header != "" {
		says = a.header
	}
	return &http.Response{StatusCode: cmp.Or(a.status, http.StatusUnauthorized), Header: http.Header{"Www-Authenticate": {says}}, Body: refusal, Request: r}, nil
}

// authorizations are what Authorization was in each request; "-" for none.
func (a *api) authorizations() (all []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.sent {
		v, ok := r.Header["Authorization"]
		if !ok {
			v = []string{"-"}
		}
		all = append(all, strings.Join(v, ","))
	}
	return all
}

// source gives tokens one after another, and keeps which were refused.
type source struct {
	tokens  []string
	err     error // when there are none left
	refused []string
}

func (s *source) token(_ context.Context, refused string) (string, error) {
	s.refused = append(s.refused, refused)
	if len(s.tokens) == 0 {
		return "", s.err
	}
	token := s.tokens[0]
	s.tokens = s.tokens[1:]
	return token, nil
}

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func transport(t *testing.T, a *api, s *source) *bearer.Transport {
	t.Helper()
	return &bearer.Transport{Base: a, Origin: parse(t, "https://api.test"), Token: s.token}
}

// tracked is a request's body that counts how often it is closed.
type tracked struct {
	io.Reader
	closed int
}

func (b *tracked) Close() error {
	b.closed++
	return nil
}

func request(t *testing.T, method, target, body string) (*http.Request, *tracked) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &tracked{Reader: strings.NewReader(body)}
	if body != "" {
		r.Body, r.ContentLength = b, int64(len(body))
	}
	return r, b
}

func wantStatus(t *testing.T, resp *http.Response, err error, status int) {
	t.Helper()
	if err != nil || resp.StatusCode != status {
		t.Fatalf("got %v, %v; want status %d", resp, err, status)
	}
	resp.Body.Close()
}

func want(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q; want %q", what, got, want)
	}
}

func TestTheTokenGoesToItsOriginOnly(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, origin, target string
		has                  bool
	}{
		{"the origin itself", "https://api.test", "https://api.test", true},
		{"a path of it", "https://api.test", "https://api.test/a?b=c", true},
		{"the default port named in the request", "https://api.test", "https://api.test:443/", true},
		{"the default port named in the origin", "https://api.test:443", "https://api.test/", true},
		{"the default port of http", "http://localhost", "http://localhost:80/", true},
		{"another case", "https://API.test", "https://api.TEST/", true},
		{"a port of its own", "https://api.test:8443", "https://api.test:8443/", true},
		{"an address of IPv6", "http://[::1]:80", "http://[::1]/", true},
		{"user and password beside the host", "https://api.test", "https://u:p@api.test/", true},
		{"another scheme", "https://api.test", "http://api.test/", false},
		{"another scheme on the same port", "https://api.test", "http://api.test:443/", false},
		{"another port", "https://api.test", "https://api.test:8443/", false},
		{"the port of the other scheme", "https://api.test", "https://api.test:80/", false},
		{"a subdomain", "https://api.test", "https://a.api.test/", false},
		{"the domain above", "https://api.example.test", "https://example.test/", false},
		{"a name that ends with it", "https://api.test", "https://evilapi.test/", false},
		{"a name that begins with it", "https://api.test", "https://api.test.evil.test/", false},
		{"the origin as a user", "https://api.test", "https://api.test@evil.test/", false},
		{"the origin as a path", "https://api.test", "https://evil.test/https://api.test", false},
		{"a dot at the end", "https://api.test", "https://api.test./", false},
		{"another spelling of the port", "https://api.test:443", "https://api.test:0443/", false},
		{"a letter that is only for Unicode the same", "https://kapi.test", "https://\u212Aapi.test/", false},
		{"a name in place of an address", "http://127.0.0.1:80", "http://localhost/", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, s := &api{}, &source{tokens: []string{"one"}}
			tr := transport(t, a, s)
			tr.Origin = parse(t, row.origin)
			r, body := request(t, http.MethodPost, row.target, "hello")
			resp, err := tr.RoundTrip(r)
			wantStatus(t, resp, err, http.StatusOK)
			header, refused := []string{"-"}, []string(nil)
			if row.has {
				header, refused = []string{"Bearer one"}, []string{""}
			}
			want(t, "Authorization", a.authorizations(), header)
			want(t, "tokens asked for", s.refused, refused)
			if a.bodies[0] != "hello" || body.closed != 1 {
				t.Errorf("body: got %q, closed %d times; want it sent and closed", a.bodies[0], body.closed)
			}
		})
	}
	t.Run("the Host header does not make an origin", func(t *testing.T) {
		a, s := &api{}, &source{tokens: []string{"one"}}
		r, _ := request(t, http.MethodGet, "https://evil.test/", "")
		r.Host = "api.test"
		resp, err := transport(t, a, s).RoundTrip(r)
		wantStatus(t, resp, err, http.StatusOK)
		want(t, "Authorization", a.authorizations(), []string{"-"})
	})
	t.Run("a Host header that names another host at the same address", func(t *testing.T) {
		for host, header := range map[string]string{"evil.test": "-", "api.test:8443": "-", "": "Bearer one", "API.test:443": "Bearer one"} {
			a, s := &api{}, &source{tokens: []string{"one"}}
			r, _ := request(t, http.MethodGet, "https://api.test/", "")
			r.Host = host
			resp, err := transport(t, a, s).RoundTrip(r)
			wantStatus(t, resp, err, http.StatusOK)
			want(t, "Authorization with Host "+host, a.authorizations(), []string{header})
		}
	})
}

func TestTheCallersOwnAuthorization(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ target, want string }{
		"is replaced at the origin":     {"https://api.test/", "Bearer one"},
		"stays as it is anywhere else":  {"https://other.test/", "Basic mine"},
		"stays so on another port, too": {"https://api.test:8443/", "Basic mine"},
	} {
		a := &api{}
		r, _ := request(t, http.MethodGet, row.target, "")
		r.Header["Authorization"] = []string{"Basic mine"}
		resp, err := transport(t, a, &source{tokens: []string{"one"}}).RoundTrip(r)
		wantStatus(t, resp, err, http.StatusOK)
		want(t, name, a.authorizations(), []string{row.want})
		if got := r.Header.Get("Authorization"); got != "Basic mine" {
			t.Errorf("%s: got the caller's request changed to %q; want it left alone", name, got)
		}
	}
}

// https://pkg.go.dev/net/http#RoundTripper
func TestTheCallersRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	a := &api{takes: "two"}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://api.test/x", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Own", "kept")
	before, body := maps.Clone(r.Header), r.Body
	resp, err := transport(t, a, &source{tokens: []string{"one", "two"}}).RoundTrip(r)
	wantStatus(t, resp, err, http.StatusOK)
	want(t, "Authorization", a.authorizations(), []string{"Bearer one", "Bearer two"})
	if !maps.EqualFunc(r.Header, before, slices.Equal) || r.Body != body {
		t.Errorf("got header %v and body %v; want those of before", r.Header, r.Body)
	}
	for i, sent := range a.sent {
		if sent == r || sent.Header.Get("X-Own") != "kept" || sent.Method != http.MethodPut || sent.URL.Path != "/x" {
			t.Errorf("request %d: got %s %s %v; want a copy with all of it", i, sent.Method, sent.URL, sent.Header)
		}
	}
	// What follows a redirect may look at the request that led to it.
	if resp.Request != r {
		t.Errorf("got an answer to a request with %v; want it to name the caller's own", resp.Request.Header)
	}
	other, _ := request(t, http.MethodGet, "https://api.test/", "")
	resp, err = transport(t, &api{}, &source{tokens: []string{"one"}}).RoundTrip(other)
	wantStatus(t, resp, err, http.StatusOK)
	if resp.Request != other {
		t.Error("without a refusal: got an answer to another request; want the caller's own")
	}
}

func TestBodiesAreClosedWhateverHappens(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*api, *source)
		want   error
	}{
		"no token":             {func(_ *api, s *source) { s.tokens, s.err = nil, errBroken }, errBroken},
		"no way to the origin": {func(a *api, _ *source) { a.err = errBroken }, errBroken},
	} {
		a, s := &api{}, &source{tokens: []string{"one"}}
		tr := transport(t, a, s)
		row.change(a, s)
		r, body := request(t, http.MethodPost, "https://api.test/", "hello")
		resp, err := tr.RoundTrip(r)
		if resp != nil || !errors.Is(err, row.want) || body.closed != 1 {
			t.Errorf("%s: got %v, %v, the body closed %d times; want %v and it closed once", name, resp, err, body.closed, row.want)
		}
		if r, _ = request(t, http.MethodGet, "https://api.test/", ""); name != "no way to the origin" {
			if _, err := tr.RoundTrip(r); !errors.Is(err, row.want) || len(a.sent) > 0 {
				t.Errorf("%s, without a body: got %v and %d requests; want %v and none", name, err, len(a.sent), row.want)
			}
		}
	}
}

func TestOneMoreTryWithAnotherToken(t *testing.T) {
	t.Parallel()
	again := func(body string) func(*http.Request) {
		return func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		}
	}
	for _, row := range []struct {
		name    string
		takes   string
		tokens  []string
		header  string
		body    string
		change  func(*http.Request)
		status  int
		sent    []string
		bodies  []string
		refused []string
	}{
		{"a request without a body", "two", []string{"one", "two"}, "", "", nil,
			200, []string{"Bearer one", "Bearer two"}, []string{"", ""}, []string{"", "one"}},
		{"a body that says it is none", "two", []string{"one", "two"}, "", "", func(r *http.Request) { r.Body = http.NoBody },
			200, []string{"Bearer one", "Bearer two"}, []string{"", ""}, []string{"", "one"}},
		{"a body that can be had again", "two", []string{"one", "two"}, "", "hello", again("hello"),
			200, []string{"Bearer one", "Bearer two"}, []string{"hello", "hello"}, []string{"", "one"}},
		{"a body that cannot be had again", "two", []string{"one", "two"}, "", "hello", nil,
			401, []string{"Bearer one"}, []string{"hello"}, []string{""}},
		{"a body that cannot be had again this time", "two", []string{"one", "two"}, "", "hello",
			func(r *http.Request) { r.GetBody = func() (io.ReadCloser, error) { return nil, errBroken } },
			401, []string{"Bearer one"}, []string{"hello"}, []string{""}},
		{"no third time", "three", []string{"one", "two", "three"}, "", "", nil,
			401, []string{"Bearer one", "Bearer two"}, []string{"", ""}, []string{"", "one"}},
		{"the same token again", "two", []string{"one", "one"}, "", "", nil,
			401, []string{"Bearer one"}, []string{""}, []string{"", "one"}},
		{"no other token", "two", []string{"one"}, "", "", nil,
			401, []string{"Bearer one"}, []string{""}, []string{"", "one"}},
		{"a scope that is missing", "two", []string{"one", "two"}, `Bearer error="insufficient_scope"`, "", nil,
			401, []string{"Bearer one"}, []string{""}, []string{""}},
		{"a challenge without an error", "two", []string{"one", "two"}, `Bearer realm="api"`, "", nil,
			401, []string{"Bearer one"}, []string{""}, []string{""}},
		{"another scheme", "two", []string{"one", "two"}, `Basic realm="api"`, "", nil,
			401, []string{"Bearer one"}, []string{""}, []string{""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, s := &api{takes: row.takes, header: row.header}, &source{tokens: row.tokens, err: errBroken}
			r, body := request(t, http.MethodPost, "https://api.test/", row.body)
			if row.change != nil {
				row.change(r)
			}
			resp, err := transport(t, a, s).RoundTrip(r)
			if err != nil {
				t.Fatalf("got error %v; want none", err)
			}
			said, err := io.ReadAll(resp.Body)
			if resp.StatusCode != row.status || err != nil || row.status == 401 && string(said) != "who are you" {
				t.Errorf("got %d %q, %v; want %d with its whole body", resp.StatusCode, said, err, row.status)
			}
			want(t, "Authorization", a.authorizations(), row.sent)
			want(t, "bodies", a.bodies, row.bodies)
			want(t, "tokens asked for", s.refused, row.refused)
			if row.body != "" && body.closed != 1 {
				t.Errorf("body: got it closed %d times; want once", body.closed)
			}
			if row.status == 200 && (!a.drawn[0].ended || !a.drawn[0].closed) {
				t.Error("the refusal: got it not read and closed; want it to be, or its connection is lost")
			}
		})
	}
	t.Run("another status, whatever it says", func(t *testing.T) {
		a, s := &api{takes: "two", status: http.StatusForbidden}, &source{tokens: []string{"one", "two"}}
		r, _ := request(t, http.MethodGet, "https://api.test/", "")
		resp, err := transport(t, a, s).RoundTrip(r)
		wantStatus(t, resp, err, http.StatusForbidden)
		want(t, "tokens asked for", s.refused, []string{""})
	})
	t.Run("the body that was got again is closed when it is not sent", func(t *testing.T) {
		t.Parallel()
		for _, tokens := range [][]string{{"one"}, {"one", "one"}} {
			second := &tracked{Reader: strings.NewReader("hello")}
			a := &api{takes: "two"}
			r, _ := request(t, http.MethodPost, "https://api.test/", "hello")
			r.GetBody = func() (io.ReadCloser, error) { return second, nil }
			resp, err := transport(t, a, &source{tokens: tokens, err: errBroken}).RoundTrip(r)
			wantStatus(t, resp, err, http.StatusUnauthorized)
			if second.closed != 1 {
				t.Errorf("got it closed %d times; want once", second.closed)
			}
		}
	})
	t.Run("at another origin a refusal is the caller's", func(t *testing.T) {
		t.Parallel()
		a, s := &api{takes: "two"}, &source{tokens: []string{"one", "two"}}
		r, _ := request(t, http.MethodGet, "https://other.test/", "")
		resp, err := transport(t, a, s).RoundTrip(r)
		wantStatus(t, resp, err, http.StatusUnauthorized)
		want(t, "tokens asked for", s.refused, nil)
	})
	t.Run("an endless refusal is not read to its end", func(t *testing.T) {
		t.Parallel()
		endless := &drawn{Reader: zeros{}}
		first := true
		tr := transport(t, nil, &source{tokens: []string{"one", "two"}})
		tr.Base = roundTrip(func(r *http.Request) (*http.Response, error) {
			if first {
				first = false
				h := http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}
				return &http.Response{StatusCode: http.StatusUnauthorized, Header: h, Body: endless, Request: r}, nil
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
		})
		r, _ := request(t, http.MethodGet, "https://api.test/", "")
		resp, err := tr.RoundTrip(r)
		wantStatus(t, resp, err, http.StatusOK)
		if !endless.closed {
			t.Error("got it left open; want it closed")
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// It ends with the request, whatever the source of tokens says; and a time-out
// stays one, or http.Client would not know it.
func TestTheWaitForATokenEnds(t *testing.T) {
	t.Parallel()
	waiting := func(ctx context.Context, _ string) (string, error) {
		<-ctx.Done()
		return "", errBroken
	}
	for name, row := range map[string]struct {
		own  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		"with the request": {cancelled, context.Canceled},
		"with the request's deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadline(ctx, time.Unix(0, 0))
		}, context.DeadlineExceeded},
	} {
		a := &api{}
		tr := transport(t, a, &source{})
		tr.Token = waiting
		own, done := row.own(t.Context())
		defer done()
		r, body := request(t, http.MethodPost, "https://api.test/", "hello")
		resp, err := tr.RoundTrip(r.WithContext(own))
		if resp != nil || err != row.want || body.closed != 1 || len(a.sent) > 0 {
			t.Errorf("%s: got %v, %v, the body closed %d times, %d requests; want %v, it closed, none", name, resp, err, body.closed, len(a.sent), row.want)
		}
	}
}

type personKey struct{}

// Whose token it is, each request's context says.
func TestTheTokenIsForTheRequestsContext(t *testing.T) {
	t.Parallel()
	a := &api{takes: "Bob's second"}
	tr := transport(t, a, &source{})
	tr.Token = func(ctx context.Context, refused string) (string, error) {
		person, _ := ctx.Value(personKey{}).(string)
		if refused != "" {
			return person + "'s second", nil
		}
		return person + "'s first", nil
	}
	for _, person := range []string{"Alice", "Bob"} {
		r, _ := request(t, http.MethodGet, "https://api.test/", "")
		resp, err := tr.RoundTrip(r.WithContext(context.WithValue(r.Context(), personKey{}, person)))
		wantStatus(t, resp, err, map[string]int{"Alice": http.StatusUnauthorized, "Bob": http.StatusOK}[person])
	}
	want(t, "Authorization", a.authorizations(), []string{"Bearer Alice's first", "Bearer Alice's second", "Bearer Bob's first", "Bearer Bob's second"})
}

func cancelled(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx, cancel
}

// A connection is used again after a refusal, however the answer is framed.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	connections := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer two" {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
	}))
	defer srv.Close()
	tr := transport(t, nil, nil)
	own := http.DefaultTransport.(*http.Transport).Clone()
	defer own.CloseIdleConnections()
	tr.Base, tr.Origin = own, parse(t, srv.URL)
	for range 5 {
		tr.Token = (&source{tokens: []string{"one", "two"}}).token
		r, _ := request(t, http.MethodGet, srv.URL, "")
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatalf("got error %v; want none", err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		wantStatus(t, resp, err, http.StatusOK)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(connections) != 1 {
		t.Errorf("got %d connections for ten requests; want 1", len(connections))
	}
}
