package acceptance_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// api is a server that keeps what it was asked, and refuses tokens.
type api struct {
	*httptest.Server
	answer http.HandlerFunc // after a token was accepted; nil for 200

	mu      sync.Mutex
	refused []string // tokens that are answered with 401 invalid_token
	all     bool     // all of them are
	says    string   // in place of invalid_token
	calls   []call
}

type call struct{ method, path, authorization, cookie, body string }

func newAPI(t *testing.T) *api {
	t.Helper()
	a := new(api)
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	authorization := strings.Join(r.Header["Authorization"], "|")
	a.calls = append(a.calls, call{r.Method, r.URL.Path, authorization, strings.Join(r.Header["Cookie"], "|"), string(body)})
	refused, says := a.all || slices.Contains(a.refused, strings.TrimPrefix(authorization, "Bearer ")), a.says
	a.mu.Unlock()
	switch {
	case refused:
		if says == "" {
			says = `Bearer error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", says)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "refused")
	case a.answer != nil:
		a.answer(w, r)
	default:
		_, _ = io.WriteString(w, "welcome")
	}
}

// asked returns what the server was asked since the last time.
func (a *api) asked() []call {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := a.calls
	a.calls = nil
	return calls
}

// refuse makes the server refuse a token.
func (a *api) refuse(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = append(a.refused, token)
}

// calling is granting with a transport of the tests' own, for APIs as well.
func calling(t *testing.T, opts ...signintest.Option) (*app, *stopped, *mapState) {
	t.Helper()
	return granting(t, func(c *signin.Config) { c.HTTPClient = &http.Client{Transport: ownTransport} }, opts...)
}

// clientOf returns a client whose requests come from the user of a context, and
// keep deadlines of their own.
func clientOf(ctx context.Context, origin string, opts ...signin.TokenOption) *http.Client {
	tr := signin.Transport(origin, opts...)
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return tr.RoundTrip(r.WithContext(withValues{r.Context(), ctx}))
	})}
}

// withValues is a context with the values of another besides its own.
type withValues struct {
	context.Context
	others context.Context
}

func (c withValues) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.others.Value(key)
}

// reads sends a request with a client, and returns status and body of the answer.
func reads(t *testing.T, c *http.Client, r *http.Request) (int, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("got error %v; want an answer", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("got error %v; want a body", err)
	}
	return resp.StatusCode, string(body)
}

func newRequest(t *testing.T, method, target string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTransportCallsAnAPIAsThePerson(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	srv := newAPI(t)
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		for _, row := range []struct {
			want audience
			opts []signin.TokenOption
		}{
			{audience{Aud: apiA}, []signin.TokenOption{signin.ForResource(apiA)}},
			{audience{Aud: apiA, Organization: "org_one"}, []signin.TokenOption{signin.ForResource(apiA), signin.ForOrganization("org_one")}},
		} {
			c := &http.Client{Transport: signin.Transport(srv.URL, row.opts...)}
			for range 2 {
				status, body := reads(t, c, newRequest(t, http.MethodPost, srv.URL+"/orders", strings.NewReader("one")).WithContext(ctx))
				calls, token := srv.asked(), hasToken(t, ctx, row.want, row.opts...).AccessToken
				if status != http.StatusOK || body != "welcome" || len(calls) != 1 || calls[0] != (call{"POST", "/orders", "Bearer " + token, "", "one"}) {
					t.Errorf("got %d %q for %+v; want one request with the token", status, body, calls)
				}
			}
		}
		own, err := signin.AccessToken(ctx)
		if _, _ = reads(t, clientOf(ctx, srv.URL), newRequest(t, http.MethodGet, srv.URL, nil)); err != nil || srv.asked()[0].authorization != "Bearer "+own.AccessToken {
			t.Errorf("without options: got another token, %v; want the session's own", err)
		}
		a.used(t, 2)
	})
}

// names is a transport for which every name is one server: with TLS behind ports
// 443 and 8443, without it behind all others.
func names(t *testing.T, h http.Handler) *http.Transport {
	t.Helper()
	secure, plain := httptest.NewTLSServer(h), httptest.NewServer(h)
	t.Cleanup(secure.Close)
	t.Cleanup(plain.Close)
	tr := ownTransport.Clone()
	tr.Proxy, tr.ForceAttemptHTTP2 = nil, false
	tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		switch {
		case err != nil:
			return nil, err
		case port == "443" || port == "8443":
			addr = secure.Listener.Addr().String()
		case strings.HasPrefix(addr, "127.0.0.1:"): // the provider
		default:
			addr = plain.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// The token goes to its origin and nowhere else, whatever leads there.
func TestTransportSendsTheTokenToItsOriginOnly(t *testing.T) {
	t.Parallel()
	const origin = "https://api.example.com"
	var mu sync.Mutex
	var got []string // scheme, host, method, body, and the kind of Authorization
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		kind, _, _ := strings.Cut(strings.Join(r.Header["Authorization"], "|"), " ")
		mu.Lock()
		got = append(got, fmt.Sprintf("%s://%s %s %q %s", scheme, r.Host, r.Method, body, kind))
		mu.Unlock()
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			status := 0
			_, _ = fmt.Sscan(r.URL.Query().Get("status"), &status)
			w.WriteHeader(status)
		}
	})
	tr := names(t, h)
	a, _, _ := granting(t, func(c *signin.Config) { c.HTTPClient = &http.Client{Transport: tr} })
	keeping := map[string]func(*http.Request, []*http.Request) error{
		"net/http's own": nil,
		// It is what people write to keep headers across hosts.
		"one that keeps all headers": func(r *http.Request, via []*http.Request) error {
			r.Header = via[0].Header.Clone()
			return nil
		},
		"one that keeps those of the answer's request": func(r *http.Request, _ []*http.Request) error {
			r.Header = r.Response.Request.Header.Clone()
			return nil
		},
	}
	cookies := a.signedIn(signintest.Alice()).session()
	for _, row := range []struct{ name, to, kind string }{
		{"itself", "/there", "Bearer"},
		{"itself, in full", origin + "/there", "Bearer"},
		{"itself in another case, and with its port", "https://API.Example.com:443/there", "Bearer"},
		{"another scheme", "http://api.example.com/there", ""},
		{"another scheme with the origin's port", "http://api.example.com:444/there", ""},
		{"another port", "https://api.example.com:8443/there", ""},
		{"a subdomain", "https://v2.api.example.com/there", ""},
		{"the domain above", "https://example.com/there", ""},
		{"another host", "https://evil.test/there", ""},
		{"another host without a scheme", "//evil.test/there", ""},
		{"a host that begins with it", "https://api.example.com.evil.test/there", ""},
		{"the origin as a user, whose name would go there", "https://api.example.com@evil.test/there", ""},
	} {
		for policy, check := range keeping {
			t.Run(row.name+", redirected by "+policy, func(t *testing.T) {
				a.within(t, cookies, func(ctx context.Context) {
					c := clientOf(ctx, origin, signin.ForResource(apiA))
					c.CheckRedirect = check
					for _, status := range []int{301, 302, 303, 307, 308} {
						got = nil
						q := url.Values{"to": {row.to}, "status": {fmt.Sprint(status)}}
						reads(t, c, newRequest(t, http.MethodPost, origin+"/?"+q.Encode(), strings.NewReader("hello")))
						u, method := mustParse(t, origin).ResolveReference(mustParse(t, row.to)), `GET ""`
						if status >= 307 {
							method = `POST "hello"`
						}
						want := []string{origin + ` POST "hello" Bearer`, fmt.Sprintf("%s://%s %s %s", u.Scheme, u.Host, method, row.kind)}
						if !slices.Equal(got, want) {
							t.Errorf("%d: got %q; want %q", status, got, want)
						}
					}
				})
			})
		}
	}
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestTransportComesBackToItsOriginWithTheToken(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	origin, other := newAPI(t), newAPI(t)
	origin.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, other.URL+"/over", http.StatusTemporaryRedirect)
		}
	}
	other.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, origin.URL+"/back", http.StatusTemporaryRedirect)
	}
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		c := clientOf(ctx, origin.URL, signin.ForResource(apiA))
		reads(t, c, newRequest(t, http.MethodGet, origin.URL, nil))
		token := "Bearer " + hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)).AccessToken
		if got := origin.asked(); len(got) != 2 || got[0].authorization != token || got[1].authorization != token {
			t.Errorf("the origin: got %+v; want the token twice", got)
		}
		if got := other.asked(); len(got) != 1 || got[0].authorization != "" {
			t.Errorf("the other: got %+v; want no token", got)
		}
		r := newRequest(t, http.MethodGet, other.URL, nil)
		r.Header.Set("Authorization", "Basic mine")
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		reads(t, c, r)
		if got := other.asked(); got[0].authorization != "" {
			t.Errorf("the other, with Authorization of the caller's: got %q; want none, since it may have come in", got[0].authorization)
		}
		r = newRequest(t, http.MethodGet, origin.URL+"/x", nil)
		r.Header.Set("Authorization", "Basic mine")
		reads(t, c, r)
		if got := origin.asked(); got[0].authorization != token {
			t.Errorf("the origin, with Authorization of the caller's: got %q; want the token", got[0].authorization)
		}
	})
}

func TestTransportTriesOnceMoreWithAnotherToken(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		opts   []signin.TokenOption
		body   func() io.Reader
		says   string // in place of invalid_token
		all    bool   // every token is refused
		status int
		calls  int
		used   int // more than for the first token
	}{
		{"a request without a body", []signin.TokenOption{signin.ForResource(apiA)}, nil, "", false, 200, 2, 1},
		{"a body that can be sent again", []signin.TokenOption{signin.ForResource(apiA)}, func() io.Reader { return bytes.NewReader([]byte("hello")) }, "", false, 200, 2, 1},
		{"a body that cannot", []signin.TokenOption{signin.ForResource(apiA)}, func() io.Reader { return io.MultiReader(strings.NewReader("hello")) }, "", false, 401, 1, 0},
		{"the session's own token", nil, func() io.Reader { return strings.NewReader("hello") }, "", false, 200, 2, 1},
		{"not twice", []signin.TokenOption{signin.ForResource(apiA)}, nil, "", true, 401, 2, 1},
		{"not for a scope that is missing", []signin.TokenOption{signin.ForResource(apiA)}, nil, `Bearer error="insufficient_scope"`, false, 401, 1, 0},
		{"not for another scheme", []signin.TokenOption{signin.ForResource(apiA)}, nil, `Basic realm="x"`, false, 401, 1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, _, _ := calling(t, signintest.WithRefreshRotation())
			srv := newAPI(t)
			srv.says, srv.all = row.says, row.all
			b := a.signedIn(signintest.Alice())
			a.within(t, b.session(), func(ctx context.Context) {
				first, err := signin.AccessToken(ctx, row.opts...)
				if err != nil {
					t.Fatalf("got error %v; want a token", err)
				}
				srv.refuse(first.AccessToken)
				before := a.provider.Stats().Refreshes
				var body io.Reader
				if row.body != nil {
					body = row.body()
				}
				status, said := reads(t, clientOf(ctx, srv.URL, row.opts...), newRequest(t, http.MethodPut, srv.URL, body))
				if want := map[int]string{200: "welcome", 401: "refused"}[row.status]; status != row.status || said != want {
					t.Errorf("got %d %q; want %d %q", status, said, row.status, want)
				}
				calls := srv.asked()
				for i, c := range calls {
					if c.method != "PUT" || row.body != nil && c.body != "hello" || (c.authorization == "Bearer "+first.AccessToken) != (i == 0) {
						t.Errorf("request %d: got %+v; want the whole request, with a token of its own", i+1, c)
					}
				}
				a.used(t, before+row.used)
				if len(calls) != row.calls {
					t.Errorf("got %d requests; want %d", len(calls), row.calls)
				}
				if row.status == 200 { // what has come is kept, and nobody is asked again
					for range 2 {
						if status, _ := reads(t, clientOf(ctx, srv.URL, row.opts...), newRequest(t, http.MethodGet, srv.URL, nil)); status != http.StatusOK {
							t.Errorf("afterwards: got %d; want 200", status)
						}
					}
					a.used(t, before+1)
				}
			})
			shows(t, "the next page", b.get("/account"), signintest.Alice().Subject)
		})
	}
	t.Run("fifty at once whose token was refused get one new token", func(t *testing.T) {
		t.Parallel()
		a, _, _ := calling(t, signintest.WithRefreshRotation())
		srv := newAPI(t)
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			srv.refuse(hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)).AccessToken)
			c := clientOf(ctx, srv.URL, signin.ForResource(apiA))
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					resp, err := c.Get(srv.URL)
					if err != nil || resp.StatusCode != http.StatusOK {
						t.Errorf("got %v, %v; want 200", resp, err)
						return
					}
					resp.Body.Close()
				})
			}
			all.Wait()
		})
		a.used(t, 2)
	})
	t.Run("the provider is down: the refusal comes back as it is", func(t *testing.T) {
		t.Parallel()
		a, _, _ := calling(t)
		srv := newAPI(t)
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			srv.refuse(hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)).AccessToken)
			a.provider.Down()
			if status, said := reads(t, clientOf(ctx, srv.URL, signin.ForResource(apiA)), newRequest(t, http.MethodGet, srv.URL, nil)); status != 401 || said != "refused" {
				t.Errorf("got %d %q; want the API's own word", status, said)
			}
		})
	})
}

func TestTransportFailsWithTheErrorOfAccessToken(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	srv := newAPI(t)
	fails := func(t *testing.T, when string, c *http.Client, code signin.Code) {
		t.Helper()
		resp, err := c.Post(srv.URL, "text/plain", strings.NewReader("hello"))
		var u *url.Error
		if resp != nil || !errors.As(err, &u) || !errors.Is(err, code) {
			t.Errorf("%s: got %v, %v; want %s in a *url.Error", when, resp, err, code)
		}
		if calls := srv.asked(); len(calls) > 0 {
			t.Errorf("%s: got %+v; want no request", when, calls)
		}
		a.silent(t, err)
	}
	cookies := a.signedIn(signintest.Alice()).session()
	a.within(t, cookies, func(ctx context.Context) {
		fails(t, "an unknown resource", clientOf(ctx, srv.URL, signin.ForResource("urn:unknown")), signin.ErrUnknownResource)
		fails(t, "no member", clientOf(ctx, srv.URL, signin.ForOrganization("org_three")), signin.ErrNotMember)
		a.provider.Down()
		fails(t, "the provider is down", clientOf(ctx, srv.URL, signin.ForResource(apiA)), signin.ErrProviderUnavailable)
		signOutWith(a.handler(), cookies)
		fails(t, "signed out meanwhile", clientOf(ctx, srv.URL, signin.ForResource(apiB)), signin.ErrNotSignedIn)
	})
	a.provider.Up()
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
		c := clientOf(ctx, "http://127.0.0.1:1", signin.ForResource(apiA)) // where nobody listens
		_, err := c.Get("http://127.0.0.1:1/orders")
		if err == nil {
			t.Error("no server: got no error; want one")
		}
		a.silent(t, err)
	})
}

func TestTransportGivesUpTheWaitForATokenWithTheRequest(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	srv := newAPI(t)
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		begun, release := a.paused()
		c := clientOf(ctx, srv.URL, signin.ForResource(apiA))
		short, cancel := context.WithCancel(t.Context())
		go func() {
			<-begun
			cancel()
		}()
		if _, err := c.Do(newRequest(t, http.MethodGet, srv.URL, nil).WithContext(short)); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v; want it to say so", err)
		}
		c.Timeout = time.Millisecond
		var u *url.Error
		if _, err := c.Get(srv.URL); !errors.As(err, &u) || !u.Timeout() {
			t.Errorf("timed out: got %v; want a time-out", err)
		}
		release()
		c.Timeout = 0
		if status, _ := reads(t, c, newRequest(t, http.MethodGet, srv.URL, nil)); status != http.StatusOK {
			t.Errorf("afterwards: got %d; want 200, with the token that was on its way", status)
		}
		if calls := srv.asked(); len(calls) != 1 {
			t.Errorf("got %+v; want one request", calls)
		}
	})
	a.used(t, 1)
}

// In a handler's unit test the token is the one of the test's user.
func TestTransportOfATestUser(t *testing.T) {
	t.Parallel()
	srv := newAPI(t)
	auth := proxying(t, "https://app.example.com", "")
	of := func(r *http.Request) (ctx context.Context) {
		auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })).ServeHTTP(httptest.NewRecorder(), r)
		return ctx
	}
	alice := signintest.WithUser(httptest.NewRequest(http.MethodGet, "/", nil), &signin.User{Subject: "u1"})
	given := signintest.WithAccessToken(alice, "given", signin.ForResource(apiA))
	c := &http.Client{Transport: signin.Transport(srv.URL, signin.ForResource(apiA))}
	get := func(ctx context.Context) *http.Request {
		return newRequest(t, http.MethodGet, srv.URL, nil).WithContext(ctx)
	}
	if status, _ := reads(t, c, get(of(given))); status != http.StatusOK || srv.asked()[0].authorization != "Bearer given" {
		t.Errorf("got %d; want 200 for the token given", status)
	}
	srv.refuse("given") // there is no other
	if status, said := reads(t, c, get(of(given))); status != 401 || said != "refused" || len(srv.asked()) != 1 {
		t.Errorf("refused: got %d %q; want the API's own word, after one request", status, said)
	}
	for name, row := range map[string]struct {
		r    *http.Request
		want signin.Code
	}{
		"no token given": {alice, signin.ErrUnknownResource},
		"nobody":         {signintest.WithUser(given, nil), signin.ErrNotSignedIn},
	} {
		for where, ctx := range map[string]context.Context{"in a guard": of(row.r), "in a handler alone": row.r.Context()} {
			if resp, err := c.Do(get(ctx)); resp != nil || !errors.Is(err, row.want) || len(srv.asked()) > 0 {
				t.Errorf("%s, %s: got %v, %v; want %s and no request", name, where, resp, err, row.want)
			}
		}
	}
}
