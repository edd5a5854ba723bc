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

// api is the server of an API. It records calls, and refuses some tokens.
type api struct {
	*httptest.Server
	answer http.HandlerFunc // after a token was accepted; nil for 200

	mu      sync.Mutex
	refused []string // tokens that are answered with 401 invalid_token
	all     bool     // every token is
	says    string   // WWW-Authenticate in place of invalid_token
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

// asked returns the calls since the last time.
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

// calling is granting with ownTransport, which Transport uses for APIs as well.
func calling(t *testing.T, opts ...signintest.Option) (*app, *stopped, *mapState) {
	t.Helper()
	return granting(t, func(c *signin.Config) { c.HTTPClient = &http.Client{Transport: ownTransport} }, opts...)
}

// clientOf returns a client that sends requests as the user of a context. They keep
// their own deadlines.
func clientOf(ctx context.Context, origin string, opts ...signin.TokenOption) *http.Client {
	tr := signin.Transport(origin, opts...)
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return tr.RoundTrip(r.WithContext(withValues{r.Context(), ctx}))
	})}
}

// withValues is a context with the values of another in addition to its own.
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

// Requests have the token of the context's user. If Auths are nested, the user and
// HTTPClient of the innermost one are used.
func TestTransport(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	srv := newAPI(t)
	cfg := a.cfg
	cfg.CookieName, cfg.HTTPClient = "outer", &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("the outer Auth's HTTPClient")
	})}
	outer, session := newAuth(t, cfg), a.signedIn(signintest.Alice()).session()
	knock(outer.Load(a.auth.RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		ctx := in.Context()
		for _, row := range []struct {
			want audience
			opts []signin.TokenOption
		}{
			{audience{Aud: apiA}, []signin.TokenOption{signin.ForResource(apiA)}},
			{audience{Aud: apiA, Organization: "org_one"}, []signin.TokenOption{signin.ForResource(apiA), signin.ForOrganization("org_one")}},
		} {
			c := &http.Client{Transport: signin.Transport(srv.URL, row.opts...)}
			for range 2 {
				r := newRequest(t, http.MethodPost, srv.URL+"/orders", strings.NewReader("one"))
				status, body := reads(t, c, r.WithContext(ctx))
				calls, token := srv.asked(), hasToken(t, ctx, row.want, row.opts...).AccessToken
				want := []call{{"POST", "/orders", "Bearer " + token, "", "one"}}
				if status != http.StatusOK || body != "welcome" || !slices.Equal(calls, want) {
					t.Errorf("got %d %q for %+v; want one request with the token", status, body, calls)
				}
			}
		}
		own, err := signin.AccessToken(ctx)
		reads(t, clientOf(ctx, srv.URL), newRequest(t, http.MethodGet, srv.URL, nil))
		if calls := srv.asked(); err != nil || calls[0].authorization != "Bearer "+own.AccessToken {
			t.Errorf("without options: got %+v, %v; want the session's own token", calls, err)
		}
	}))), "/", session).want(t, http.StatusOK, "")
	a.used(t, 2)

	c := &http.Client{Transport: signin.Transport(srv.URL, signin.ForResource(apiA))} // one for several people
	for _, person := range []signintest.User{signintest.Alice(), signintest.XUser()} {
		a.within(t, a.signedIn(person).session(), func(ctx context.Context) {
			reads(t, c, newRequest(t, http.MethodGet, srv.URL, nil).WithContext(ctx))
			claims, err := signin.UnverifiedClaims[audience](strings.TrimPrefix(srv.asked()[0].authorization, "Bearer "))
			if err != nil || claims.Sub != person.Subject {
				t.Errorf("got a token of %q, %v; want one of %q", claims.Sub, err, person.Subject)
			}
		})
	}
}

// Package bearer tests what an API may say. However many requests it refuses at once, the
// provider is asked for one new token.
func TestTransport_TokenRefusedByTheAPI(t *testing.T) {
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
}

// In a handler's unit test, requests have the token of the test's user.
func TestTransport_TestUser(t *testing.T) {
	t.Parallel()
	srv := newAPI(t)
	alice := signintest.WithUser(httptest.NewRequest(http.MethodGet, "/", nil), &signin.User{Subject: "u1"})
	given := signintest.WithAccessToken(alice, "given", signin.ForResource(apiA))
	c := &http.Client{Transport: signin.Transport(srv.URL, signin.ForResource(apiA))}
	ask := func(r *http.Request) (*http.Response, error) {
		return c.Do(newRequest(t, http.MethodGet, srv.URL, nil).WithContext(r.Context()))
	}
	srv.refuse("given") // the only token
	resp, err := ask(given)
	if calls := srv.asked(); err != nil || resp.StatusCode != 401 || len(calls) != 1 || calls[0].authorization != "Bearer given" {
		t.Errorf("refused: got %v, %v, %+v; want the API's refusal, after one request", resp, err, calls)
	} else {
		resp.Body.Close()
	}
	for r, code := range map[*http.Request]signin.Code{
		alice: signin.ErrUnknownResource, signintest.WithUser(given, nil): signin.ErrNotSignedIn,
	} {
		if resp, err := ask(r); resp != nil || !errors.Is(err, code) || len(srv.asked()) > 0 {
			t.Errorf("got %v, %v; want %s and no request", resp, err, code)
		}
		token, err := signin.AccessToken(r.Context(), signin.ForResource(apiA))
		wantCode(t, "AccessToken", token, err, code)
	}
}

// proxying is an Auth without a provider, for test users, with ownTransport for APIs.
func proxying(t *testing.T, base, cookieName string) *signin.Auth {
	t.Helper()
	return newAuth(t, signin.Config{
		Issuer: "https://provider.example.test", ClientID: "app", ClientSecret: "secret", BaseURL: base, CookieName: cookieName,
		Keys: [][]byte{[]byte(strings.Repeat("k", 32))}, Logger: quiet(), HTTPClient: &http.Client{Transport: ownTransport},
	})
}

// The token goes to its origin only, even if requests are redirected away and back.
// This package's cookies are not passed on: an API that got them could act as the user
// in this application.
func TestTransport_RedirectedAndBack(t *testing.T) {
	t.Parallel()
	const https, http8080 = "https://app.example.test", "http://localhost:8080"
	outer, inner := proxying(t, https, "outer"), proxying(t, https, "inner")
	for _, row := range []struct {
		name  string
		auths []*signin.Auth // the outermost first
		sent  []string       // Cookie lines, in which TX is the rest of a transaction's cookie
		want  string
	}{
		{"no cookie", []*signin.Auth{proxying(t, http8080, "")}, nil, ""},
		{"all of this package, with http", []*signin.Auth{proxying(t, http8080, "")},
			[]string{"a=b; signin=.sealed; signin.2=sealed; signinTX; signin.quiet=sealed; c=d"}, "a=b; c=d"},
		{"a name of the application, with https", []*signin.Auth{proxying(t, https, "mine")},
			[]string{"__Host-mine=sealed; __Host-mine.2=sealed; a=b; __Host-mineTX"}, "a=b"},
		{"several lines", []*signin.Auth{proxying(t, http8080, "")}, []string{"a=b; signin=.sealed", "signin.2=sealed", "c=d"}, "a=b; c=d"},
		{"names that begin alike", []*signin.Auth{proxying(t, http8080, "")},
			[]string{`signinx=1; signin-2=2; xsignin=3; "signin"=4; d="signin=5"`}, `signinx=1; signin-2=2; xsignin=3; "signin"=4; d="signin=5"`},
		{"two Auths nested, and the outer once more", []*signin.Auth{outer, inner, outer},
			[]string{"__Host-outer=sealed; __Host-outer.2=sealed; __Host-outerTX; a=b; __Host-inner=sealed; __Host-inner.quiet=sealed"}, "a=b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			origin, other := newAPI(t), newAPI(t)
			origin.answer = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/leave" {
					http.Redirect(w, r, other.URL+"/away", http.StatusTemporaryRedirect)
				}
			}
			other.answer = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/away" {
					http.Redirect(w, r, origin.URL+"/back", http.StatusTemporaryRedirect)
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
					// CheckRedirect must not find a token in the answer's request.
					if h := resp.Request.Header; h.Get("Authorization") != "" && h.Get("Authorization") != "Basic from-the-browser" {
						t.Errorf("%s: got an answer to a request with %v; want the caller's", target, h)
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
			r.Header.Set("Authorization", "Basic from-the-browser")
			for _, line := range row.sent {
				r.Header.Add("Cookie", strings.ReplaceAll(line, "TX", ".tx.0123456789abcdef=sealed"))
			}
			h.ServeHTTP(httptest.NewRecorder(), signintest.WithAccessToken(r, "given", signin.ForResource(apiA)))
			got := append(origin.asked(), other.asked()...)
			if want := []call{
				{"GET", "/", "Bearer given", row.want, ""}, {"GET", "/leave", "Bearer given", row.want, ""},
				{"GET", "/back", "Bearer given", row.want, ""},
				{"GET", "/direct", "", row.want, ""}, {"GET", "/away", "", row.want, ""},
			}; !slices.Equal(got, want) {
				t.Errorf("got %+v; want %+v", got, want)
			}
		})
	}
}

// A request without a user fails wherever it goes, and its body is closed: a mistake in
// the application must not look like an answer.
func TestTransport_NoUser(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	origin, other := newAPI(t), newAPI(t)
	tr := signin.Transport(origin.URL, signin.ForResource(apiA))
	for code, guard := range map[signin.Code]middleware{signin.ErrInternal: func(h http.Handler) http.Handler { return h }, signin.ErrNotSignedIn: a.auth.Load} {
		behind(t, guard, "", func(ctx context.Context) {
			for _, target := range []string{origin.URL, other.URL} {
				body, end := io.Pipe()
				end.Close()
				resp, err := tr.RoundTrip(newRequest(t, http.MethodPost, target, body).WithContext(ctx))
				if _, closed := body.Read(nil); resp != nil || !errors.Is(err, code) || closed != io.ErrClosedPipe {
					t.Errorf("%s: got %v, %v, reading the body: %v; want no answer, and the body closed", code, resp, err, closed)
				}
			}
		})
	}
	if calls := append(origin.asked(), other.asked()...); len(calls) > 0 {
		t.Errorf("got %+v; want no request", calls)
	}
}

func TestTransport_HTTPClientWithoutATransport(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	srv := newAPI(t)
	cookies := a.signedIn(signintest.Alice()).session()
	a.cfg.HTTPClient = &http.Client{}
	a.another(t).within(t, cookies, func(ctx context.Context) {
		status, body := reads(t, clientOf(ctx, srv.URL), newRequest(t, http.MethodGet, srv.URL+"/orders", nil))
		if calls := srv.asked(); status != http.StatusOK || body != "welcome" || len(calls) != 1 ||
			calls[0].authorization != "Bearer "+own(t, ctx).AccessToken {
			t.Errorf("got %d %q for %+v; want one request with the token", status, body, calls)
		}
	})
}

// Package settings tests which origins are allowed.
func TestTransport_NotAnOrigin(t *testing.T) {
	t.Parallel()
	said := panicOf(func() { signin.Transport("https://u:p@api.example.com") })
	if !strings.HasPrefix(said, "signin: Transport: the origin ") || strings.Contains(said, "u:p") {
		t.Errorf("got panic %q; want one that says what is wrong with the origin, without the password", said)
	}
}

func TestTransport_ReverseProxy(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t, signintest.WithRefreshRotation())
	srv := newAPI(t)
	origin, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := func(resource string) *httputil.ReverseProxy {
		return &httputil.ReverseProxy{
			Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(origin) },
			Transport: signin.Transport(srv.URL, signin.ForResource(resource)),
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				if !a.auth.HandleError(w, r, err) {
					w.WriteHeader(http.StatusBadGateway)
				}
			},
		}
	}
	a.mount("/a/", a.auth.RequireAuth(proxy(apiA)))
	a.mount("/b/", a.auth.RequireAuth(proxy(apiB)))
	a.mount("/open/", a.auth.Load(proxy(apiA)))
	a.mount("/unguarded/", proxy(apiA))
	session := a.signedIn(signintest.Alice()).session()
	ask := func(path string, header ...string) answer {
		return knock(a.handler(), path, session+"; theme=dark", header...)
	}

	shows(t, "the API", ask("/a/orders?x=1", "Authorization: Basic mine"), "welcome")
	a.within(t, session, func(ctx context.Context) {
		token := hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)).AccessToken
		if got, want := srv.asked(), (call{"GET", "/a/orders", "Bearer " + token, "theme=dark", ""}); !slices.Equal(got, []call{want}) {
			t.Errorf("got %+v; want %+v", got, want)
		}
	})
	a.browser().get("/open/orders?x=1").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fopen%2Forders%3Fx%3D1")
	ask("/unguarded/").want(t, http.StatusInternalServerError, "")
	a.provider.Suspend(signintest.Alice().Subject)
	ask("/b/orders?x=1").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fb%2Forders%3Fx%3D1")
	ask("/b/orders", "Accept: application/json").want(t, http.StatusUnauthorized, "")
	if calls := srv.asked(); len(calls) > 0 {
		t.Errorf("without a token: got %+v; want no request", calls)
	}
	b := a.signedIn(signintest.XUser())
	srv.Close()
	b.get("/a/orders").want(t, http.StatusBadGateway, "")
}
