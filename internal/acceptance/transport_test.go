package acceptance_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

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

func TestTransport(t *testing.T) {
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

func TestTransport_RedirectedAndBack(t *testing.T) {
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

func TestTransport_TokenRefusedByTheAPI(t *testing.T) {
	t.Parallel()
	get := func(t *testing.T, ctx context.Context, srv *api, opts ...signin.TokenOption) (int, string) {
		t.Helper()
		return reads(t, clientOf(ctx, srv.URL, opts...), newRequest(t, http.MethodGet, srv.URL, nil))
	}
	for name, opts := range map[string][]signin.TokenOption{"the session's own": nil, "a resource's": {signin.ForResource(apiA)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _, _ := calling(t, signintest.WithRefreshRotation())
			srv := newAPI(t)
			b := a.signedIn(signintest.Alice())
			a.within(t, b.session(), func(ctx context.Context) {
				first, err := signin.AccessToken(ctx, opts...)
				if err != nil {
					t.Fatalf("got error %v; want a token", err)
				}
				srv.refuse(first.AccessToken)
				before := a.provider.Stats().Refreshes
				for range 2 { // the new token is kept, and the provider asked once
					if status, said := get(t, ctx, srv, opts...); status != http.StatusOK || said != "welcome" {
						t.Errorf("got %d %q; want 200", status, said)
					}
				}
				a.used(t, before+1)
				if calls := srv.asked(); len(calls) < 3 || calls[0].authorization != "Bearer "+first.AccessToken || calls[1].authorization == calls[0].authorization {
					t.Errorf("got %+v; want the old token, and then the new one", calls)
				}
			})
			shows(t, "the next page", b.get("/account"), signintest.Alice().Subject)
		})
	}
	t.Run("fifty requests at once get one new token", func(t *testing.T) {
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
	t.Run("the provider is down", func(t *testing.T) {
		t.Parallel()
		a, _, _ := calling(t)
		srv := newAPI(t)
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			srv.refuse(hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)).AccessToken)
			a.provider.Down()
			if status, said := get(t, ctx, srv, signin.ForResource(apiA)); status != http.StatusUnauthorized || said != "refused" {
				t.Errorf("got %d %q; want the API's own refusal", status, said)
			}
		})
	})
}

func TestTransport_NoToken(t *testing.T) {
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
		c := clientOf(ctx, "http://127.0.0.1:1", signin.ForResource(apiA)) // where no server is
		_, err := c.Get("http://127.0.0.1:1/orders")
		if err == nil {
			t.Error("no server: got no error; want one")
		}
		a.silent(t, err)
	})
}

// In a handler's unit test the token is the one of the test's user.
func TestTransport_TestUser(t *testing.T) {
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
		"no user":        {signintest.WithUser(given, nil), signin.ErrNotSignedIn},
	} {
		for where, ctx := range map[string]context.Context{"in a guard": of(row.r), "in a handler alone": row.r.Context()} {
			if resp, err := c.Do(get(ctx)); resp != nil || !errors.Is(err, row.want) || len(srv.asked()) > 0 {
				t.Errorf("%s, %s: got %v, %v; want %s and no request", name, where, resp, err, row.want)
			}
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

// proxying is an Auth whose guards let tests' users in, with a transport of the
// tests' own for APIs.
func proxying(t *testing.T, base, cookieName string) *signin.Auth {
	t.Helper()
	auth, err := signin.New(signin.Config{
		Issuer: "https://provider.example.test", ClientID: "app", ClientSecret: "secret", BaseURL: base, CookieName: cookieName,
		Keys: [][]byte{[]byte(strings.Repeat("k", 32))}, Logger: quiet(), HTTPClient: &http.Client{Transport: ownTransport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

// What a person's browser has sent to this application is for this application: an
// API that got it would be that person here.
func TestTransport_CookiesOfTheIncomingRequest(t *testing.T) {
	t.Parallel()
	const at, loopback = "https://app.example.test", "http://localhost:8080"
	begun := func(name string) string { return name + ".tx.0123456789abcdef=sealed" }
	for _, row := range []struct {
		name  string
		auths []*signin.Auth // the outermost first
		sent  []string
		want  string
	}{
		{"no cookie", []*signin.Auth{proxying(t, at, "")}, nil, ""},
		{"a session in one cookie, with http", []*signin.Auth{proxying(t, loopback, "")}, []string{"signin=sealed"}, ""},
		{"all of this package's, with http", []*signin.Auth{proxying(t, loopback, "")},
			[]string{"a=b; signin=.sealed; signin.2=sealed; " + begun("signin") + "; signin.quiet=sealed; c=d"}, "a=b; c=d"},
		{"all of this package's, with https", []*signin.Auth{proxying(t, at, "")},
			[]string{"__Host-signin=.sealed; __Host-signin.2=sealed; " + begun("__Host-signin") + "; __Host-signin.quiet=sealed; a=b"}, "a=b"},
		{"with a name of the application's", []*signin.Auth{proxying(t, at, "mine")}, []string{"__Host-mine=sealed; __Host-mine.2=sealed; " + begun("__Host-mine")}, ""},
		{"on several lines", []*signin.Auth{proxying(t, loopback, "")}, []string{"a=b; signin=.sealed", "signin.2=sealed", "c=d"}, "a=b; c=d"},
		{"of others, whose names begin alike", []*signin.Auth{proxying(t, loopback, "")}, []string{`signinx=1; signin-2=2; xsignin=3; "signin"=4; d="signin=5"`},
			`signinx=1; signin-2=2; xsignin=3; "signin"=4; d="signin=5"`},
		{"of two Auths nested", []*signin.Auth{proxying(t, at, "outer"), proxying(t, at, "inner")},
			[]string{"__Host-outer=sealed; __Host-outer.2=sealed; " + begun("__Host-outer") + "; a=b; __Host-inner=sealed; " + begun("__Host-inner") + "; __Host-inner.quiet=sealed"}, "a=b"},
		{"of two Auths nested, and the outer once more", func() []*signin.Auth {
			outer := proxying(t, at, "outer")
			return []*signin.Auth{outer, proxying(t, at, "inner"), outer}
		}(), []string{"__Host-outer=sealed; a=b; __Host-inner=sealed"}, "a=b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			origin, other := newAPI(t), newAPI(t)
			origin.answer = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/leave" {
					http.Redirect(w, r, other.URL+"/redirected", http.StatusTemporaryRedirect)
				}
			}
			c := &http.Client{Transport: signin.Transport(origin.URL, signin.ForResource(apiA))}
			h := http.Handler(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
				for _, target := range []string{origin.URL + "/", other.URL + "/direct", origin.URL + "/leave"} {
					out := newRequest(t, http.MethodGet, target, nil).WithContext(in.Context())
					out.Header = in.Header.Clone()
					resp, err := c.Do(out)
					if err != nil || resp.StatusCode != http.StatusOK {
						t.Fatalf("%s: got %v, %v; want 200", target, resp, err)
					}
					resp.Body.Close()
					// A CheckRedirect must not find a token in it.
					if h := resp.Request.Header; h.Get("Authorization") != "" && h.Get("Authorization") != "Basic from-the-browser" {
						t.Errorf("%s: got an answer to a request with %v; want the caller's own", target, h)
					}
					if !maps.EqualFunc(out.Header, in.Header, slices.Equal) {
						t.Errorf("%s: got the request's header changed to %v; want it left alone", target, out.Header)
					}
				}
			}))
			for _, auth := range slices.Backward(row.auths) {
				h = auth.Load(h)
			}
			r := signintest.WithUser(httptest.NewRequest(http.MethodGet, "/", nil), &signin.User{Subject: "u1"})
			r.Header["Authorization"] = []string{"Basic from-the-browser"}
			if row.sent != nil {
				r.Header["Cookie"] = row.sent
			}
			h.ServeHTTP(httptest.NewRecorder(), signintest.WithAccessToken(r, "given", signin.ForResource(apiA)))
			want := func(paths ...string) (calls []call) {
				for _, path := range paths {
					authorization := ""
					if path == "/" || path == "/leave" {
						authorization = "Bearer given"
					}
					calls = append(calls, call{"GET", path, authorization, row.want, ""})
				}
				return calls
			}
			if got, want := origin.asked(), want("/", "/leave"); !slices.Equal(got, want) {
				t.Errorf("the origin: got %+v; want %+v", got, want)
			}
			if got, want := other.asked(), want("/direct", "/redirected"); !slices.Equal(got, want) {
				t.Errorf("the other: got %+v; want %+v", got, want)
			}
		})
	}
}

// The user is the one of each request's context, and not of the first one.
func TestTransport_SeveralPeople(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t, signintest.WithRefreshRotation())
	srv := newAPI(t)
	srv.answer = func(w http.ResponseWriter, r *http.Request) {
		claims, err := signin.UnverifiedClaims[audience](strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			t.Errorf("got error %v; want a token", err)
		}
		_, _ = io.WriteString(w, claims.Sub)
	}
	c := &http.Client{Transport: signin.Transport(srv.URL, signin.ForResource(apiA))}
	var all sync.WaitGroup
	for _, person := range []signintest.User{signintest.Alice(), signintest.XUser()} {
		a.within(t, a.signedIn(person).session(), func(ctx context.Context) {
			for range 20 {
				all.Go(func() {
					r := newRequest(t, http.MethodGet, srv.URL, nil).WithContext(ctx)
					resp, err := c.Do(r)
					if err != nil {
						t.Errorf("%s: got error %v; want none", person.Subject, err)
						return
					}
					defer resp.Body.Close()
					if body, _ := io.ReadAll(resp.Body); string(body) != person.Subject {
						t.Errorf("got a token of %q; want one of %q", body, person.Subject)
					}
				})
			}
		})
	}
	all.Wait()
}

// Where Auths are nested, the user is the innermost one's, and so is the way.
func TestTransport_HTTPClientOfNestedAuths(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	srv := newAPI(t)
	cfg := a.cfg
	cfg.CookieName = "outer"
	cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("got a request to %s through the outer one's HTTPClient; want none", r.URL)
		return nil, errors.New("the wrong way")
	})}
	outer, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var resp *http.Response
	knock(outer.Load(a.auth.RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		resp, err = signin.Transport(srv.URL).RoundTrip(newRequest(t, http.MethodGet, srv.URL, nil).WithContext(r.Context()))
	}))), "/", a.signedIn(signintest.Alice()).session())
	if err != nil || resp == nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v; want 200", resp, err)
	}
	resp.Body.Close()
}

// closing is a request's body that knows whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// A request without a user fails wherever it goes: a mistake in the application must
// not look like an answer.
func TestTransport_NoUser(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	origin, other := newAPI(t), newAPI(t)
	tr := signin.Transport(origin.URL, signin.ForResource(apiA))
	fails := func(when string, ctx context.Context, code signin.Code, targets ...string) {
		t.Helper()
		for _, target := range targets {
			body := &closing{Reader: strings.NewReader("hello")}
			resp, err := tr.RoundTrip(newRequest(t, http.MethodPost, target, body).WithContext(ctx))
			wantCode(t, when, nil, err, code)
			if resp != nil || !body.closed {
				t.Errorf("%s: got %v, the body closed: %v; want no answer, and it closed", when, resp, body.closed)
			}
			if resp, err := tr.RoundTrip(newRequest(t, http.MethodGet, target, nil).WithContext(ctx)); resp != nil || !errors.Is(err, code) {
				t.Errorf("%s, without a body: got %v, %v; want %v", when, resp, err, code)
			}
		}
		if calls := append(origin.asked(), other.asked()...); len(calls) > 0 {
			t.Errorf("%s: got %+v; want no request", when, calls)
		}
	}
	fails("no guard", t.Context(), signin.ErrInternal, origin.URL, other.URL)
	visited := 0
	knock(a.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		visited++
		fails("behind Load", r.Context(), signin.ErrNotSignedIn, origin.URL, other.URL)
	})), "/", "")
	knock(a.auth.RequireBearer(apiA)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		visited++
		fails("behind RequireBearer", r.Context(), signin.ErrNotSignedIn, origin.URL)
		// Elsewhere no token is needed, and the one that came in does not go there.
		out := newRequest(t, http.MethodGet, other.URL, nil).WithContext(r.Context())
		out.Header = r.Header.Clone()
		if status, _ := reads(t, &http.Client{Transport: tr}, out); status != http.StatusOK {
			t.Errorf("behind RequireBearer, to another origin: got %d; want 200", status)
		}
		if calls := other.asked(); len(calls) != 1 || calls[0].authorization != "" {
			t.Errorf("behind RequireBearer, to another origin: got %+v; want one request without Authorization", calls)
		}
	})), "/", "", "Authorization: Bearer "+a.provider.AccessToken(signintest.Alice().Subject, apiA))
	if visited != 2 {
		t.Errorf("got %d handlers called; want 2", visited)
	}
}

// settings.Origin has the table.
func TestTransport_NotAnOrigin(t *testing.T) {
	t.Parallel()
	defer func() {
		if got, _ := recover().(string); !strings.HasPrefix(got, "signin: Transport: the origin ") || strings.Contains(got, "u:p") {
			t.Errorf("got panic %q; want one that says what is wrong with the origin, without the password", got)
		}
	}()
	signin.Transport("https://u:p@api.example.com")
}

// withoutOurs reports whether a Cookie header has cookies of some names, and none of
// this package's. (The provider of the tests is at the same host, and has one, too.)
func withoutOurs(t *testing.T, header string, want ...string) bool {
	t.Helper()
	if header == "" {
		return len(want) == 0
	}
	cookies, err := http.ParseCookie(header)
	if err != nil {
		t.Errorf("got cookies %q, %v; want some that can be read", header, err)
	}
	var names []string
	for _, c := range cookies {
		if c.Name == "signin" || strings.HasPrefix(c.Name, "signin.") {
			return false
		}
		names = append(names, c.Name)
	}
	return !slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(names, name) })
}

func TestTransport_ReverseProxy(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t, signintest.WithRefreshRotation())
	srv := newAPI(t)
	proxy := func(rewrite func(*httputil.ProxyRequest), resource string) *httputil.ReverseProxy {
		return &httputil.ReverseProxy{
			Rewrite:   rewrite,
			Transport: signin.Transport(srv.URL, signin.ForResource(resource)),
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				if !a.auth.HandleError(w, r, err) {
					w.WriteHeader(http.StatusBadGateway)
				}
			},
		}
	}
	toAPI := func(p *httputil.ProxyRequest) { p.SetURL(mustParse(t, srv.URL)) }
	a.mount("/a/", a.auth.RequireAuth(proxy(toAPI, apiA)))
	a.mount("/b/", a.auth.RequireAuth(proxy(toAPI, apiB)))
	a.mount("/unguarded/", proxy(toAPI, apiA))
	a.mount("/open/", a.auth.Load(proxy(toAPI, apiA)))
	a.mount("/host/", a.auth.RequireAuth(proxy(func(p *httputil.ProxyRequest) {
		toAPI(p)
		p.Out.Host = "neighbour.example.test"
	}, apiA)))
	b := a.signedIn(signintest.Alice())
	b.get("/sign-in?return_to=/a/").want(t, http.StatusSeeOther, a.provider.URL) // a transaction's cookie, too
	if got := b.cookies(); !strings.Contains(got, "signin=") || !strings.Contains(got, "signin.tx.") {
		t.Fatalf("got cookies %q; want a session and a sign-in under way", got)
	}

	shows(t, "the API", b.get("/a/orders?x=1", "Authorization: Basic mine", "Cookie: theme=dark"), "welcome")
	calls := srv.asked()
	if len(calls) != 1 || calls[0].method != "GET" || calls[0].path != "/a/orders" || !withoutOurs(t, calls[0].cookie, "theme") {
		t.Fatalf("got %+v; want the request with its own cookies alone", calls)
	}
	token, _ := strings.CutPrefix(calls[0].authorization, "Bearer ")
	if got, err := signin.UnverifiedClaims[audience](token); err != nil || got != (audience{Aud: apiA, Sub: signintest.Alice().Subject}) {
		t.Errorf("got a token for %+v, %v; want Alice's for the API", got, err)
	}
	srv.refuse(token)
	shows(t, "a token that was revoked", b.get("/a/orders"), "welcome")
	if calls := srv.asked(); len(calls) != 2 {
		t.Errorf("a token that was revoked: got %+v; want a second try", calls)
	}
	shows(t, "another host at the same address", b.get("/host/"), "welcome")
	if calls := srv.asked(); len(calls) != 1 || calls[0].authorization != "" || !withoutOurs(t, calls[0].cookie) {
		t.Errorf("another host at the same address: got %+v; want neither token nor cookie", calls)
	}

	stranger := a.browser()
	stranger.get("/open/orders?x=1").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fopen%2Forders%3Fx%3D1")
	b.get("/unguarded/").want(t, http.StatusInternalServerError, "")
	a.provider.Suspend(signintest.Alice().Subject)
	ended := b.copyOf()
	b.get("/b/orders?x=1").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fb%2Forders%3Fx%3D1")
	if got := ended.get("/b/orders", "Accept: application/json"); got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.body, `"not_signed_in"`) {
		t.Errorf("a program: got %d %q; want 401 not_signed_in", got.StatusCode, got.body)
	}
	if calls := srv.asked(); len(calls) > 0 {
		t.Errorf("without a token: got %+v; want no request", calls)
	}

	b = a.signedIn(signintest.XUser())
	shows(t, "another person", b.get("/a/orders"), "welcome")
	srv.Close()
	b.get("/a/orders").want(t, http.StatusBadGateway, "")
}
