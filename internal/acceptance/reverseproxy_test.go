package acceptance_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

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
func TestTransportTakesOffWhatCameIn(t *testing.T) {
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
					if status, _ := reads(t, c, out); status != http.StatusOK {
						t.Errorf("%s: got %d; want 200", target, status)
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

// The user is the one of each request's context, and not of whoever was first.
func TestTransportServesSeveralPeopleAtOnce(t *testing.T) {
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
func TestTransportTakesTheHTTPClientOfTheInnermostAuth(t *testing.T) {
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

// What a redirect's policy and a proxy look at holds no token.
func TestTransportAnswersTheCallersOwnRequest(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	origin, other := newAPI(t), newAPI(t)
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		tr := signin.Transport(origin.URL, signin.ForResource(apiA))
		for _, target := range []string{origin.URL, other.URL} {
			r := newRequest(t, http.MethodGet, target, nil).WithContext(ctx)
			r.Header.Set("X-Own", "kept")
			resp, err := tr.RoundTrip(r)
			if err != nil {
				t.Fatalf("got error %v; want an answer", err)
			}
			resp.Body.Close()
			if resp.Request != r || r.Header.Get("Authorization") != "" || r.Header.Get("X-Own") != "kept" {
				t.Errorf("got an answer to a request with %v; want it to name the caller's own, unchanged", resp.Request.Header)
			}
		}
		if calls := append(origin.asked(), other.asked()...); len(calls) != 2 || calls[0].authorization == "" {
			t.Errorf("got %+v; want two requests, the first with a token", calls)
		}
	})
}

// closing is a request's body that tells whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// A request without a user fails wherever it goes: a mistake in the application must
// not look like an answer to a stranger.
func TestTransportWithoutAUser(t *testing.T) {
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
		fails("nobody behind Load", r.Context(), signin.ErrNotSignedIn, origin.URL, other.URL)
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

func TestTransportPanicsForWhatIsNoOrigin(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"", "api.example.com", "http://api.example.com", "https://api.example.com/", "https://api.example.com/v1",
		"https://api.example.com?x", "https://api.example.com#x", "urn:api", "https://u:p@api.example.com", "https://*.example.com"} {
		t.Run(origin, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got, _ := recover().(string); !strings.HasPrefix(got, "signin: Transport: the origin ") || strings.Contains(got, "u:p") {
					t.Errorf("got panic %q; want one that says what is wrong with the origin", got)
				}
			}()
			signin.Transport(origin)
		})
	}
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

func TestTransportOfAReverseProxy(t *testing.T) {
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
	shows(t, "somebody else", b.get("/a/orders"), "welcome")
	srv.Close()
	b.get("/a/orders").want(t, http.StatusBadGateway, "")
}
