package acceptance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

const ordersAPI = "https://orders.example.com"

// apiApp is an application with an API that takes bearer tokens. Its handlers write
// the user.
func apiApp(t *testing.T, o with) *app {
	t.Helper()
	a := newApp(t, o)
	say := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.account(httptest.NewRecorder(), r) // counts the call
		u, _ := signin.UserFrom(r.Context())
		_ = json.NewEncoder(w).Encode(u)
	})
	a.mount("/api", a.auth.RequireBearer(ordersAPI)(say))
	a.mount("/api/read", a.auth.RequireBearer(ordersAPI, signin.HasScope("read"))(say))
	a.mount("/api/machines", a.auth.RequireBearer(ordersAPI, signin.AllowMachines())(say))
	a.mount("/api/org", a.auth.RequireBearer("urn:logto:organization:org_one", signin.MemberOf("org_one"))(say))
	a.mount("/either", a.auth.RequireSessionOrBearer(ordersAPI)(say))
	return a
}

// call asks the API, with an Authorization header for each value.
func (a *app) call(path string, authorization ...string) answer {
	a.t.Helper()
	r, err := http.NewRequest(http.MethodGet, a.server.URL+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header["Authorization"] = authorization
	if len(authorization) == 0 {
		delete(r.Header, "Authorization")
	}
	return a.browser().send(r)
}

// wantProblem checks a refusal: a problem document and a challenge, no cookie, and
// no handler called.
func (a *app) wantProblem(t *testing.T, got answer, status int, code signin.Code, challenge string) {
	t.Helper()
	var problem struct {
		Status int
		Code   signin.Code
	}
	if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %q of type %q; want a problem document", got.body, got.Header.Get("Content-Type"))
	}
	if got.StatusCode != status || problem.Status != status || problem.Code != code {
		t.Errorf("got status %d and %+v; want %d and %s", got.StatusCode, problem, status, code)
	}
	if c := got.Header.Get("WWW-Authenticate"); c != challenge {
		t.Errorf("WWW-Authenticate: got %q; want %q", c, challenge)
	}
	if got.Header.Get("Set-Cookie") != "" || a.insideCalls() != 0 ||
		!strings.Contains(got.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("got cookies %q, handler called %d times, Cache-Control %q; want no cookie, no call, and no-store",
			got.Header["Set-Cookie"], a.insideCalls(), got.Header.Get("Cache-Control"))
	}
}

func TestRequireBearer(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	const organization = "urn:logto:organization:org_one"
	alice := a.provider.AccessToken("alice0000001", ordersAPI, "read", "write")
	person := signin.User{Subject: "alice0000001", Scopes: []string{"read", "write"}}
	for _, row := range []struct {
		name, path, token string
		want              signin.User
	}{
		{"a person", "/api", alice, person},
		{"a person with a scope", "/api/read", alice, person},
		{"an organization's token", "/api/org", a.provider.AccessToken("alice0000001", organization),
			signin.User{Subject: "alice0000001", Organizations: []string{"org_one"}}},
		{"a machine", "/api/machines", a.provider.MachineToken("cron", ordersAPI, "read"),
			signin.User{Subject: "cron", Scopes: []string{"read"}, Machine: true}},
	} {
		got := a.call(row.path, "Bearer "+row.token)
		var u signin.User
		if err := json.Unmarshal([]byte(got.body), &u); err != nil || got.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d %q; want the user", row.name, got.StatusCode, got.body)
			continue
		}
		if u.Issuer != a.provider.Issuer || u.Subject != row.want.Subject || u.Machine != row.want.Machine ||
			!slices.Equal(u.Scopes, row.want.Scopes) || !slices.Equal(u.Organizations, row.want.Organizations) ||
			u.ExpiresAt.IsZero() || len(u.Claims) == 0 {
			t.Errorf("%s: got %+v; want %+v", row.name, u, row.want)
		}
		if got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control: got %q; want no-store", row.name, got.Header.Get("Cache-Control"))
		}
	}
}

func TestRequireBearerRefuses(t *testing.T) {
	t.Parallel()
	const (
		noToken    = `Bearer realm=""`
		badRequest = `Bearer error="invalid_request"`
		badToken   = `Bearer error="invalid_token"`
	)
	token := func(audience string, scopes ...string) func(*app) []string {
		return func(a *app) []string {
			return []string{"Bearer " + a.provider.AccessToken("alice0000001", audience, scopes...)}
		}
	}
	fixed := func(values ...string) func(*app) []string { return func(*app) []string { return values } }
	for _, row := range []struct {
		name, path string
		send       func(*app) []string
		status     int
		code       signin.Code
		challenge  string
	}{
		{"no token", "/api", fixed(), 401, signin.ErrNotSignedIn, noToken},
		{"another scheme", "/api", fixed("Basic YTpi"), 401, signin.ErrNotSignedIn, noToken},
		{"no token after the scheme", "/api", fixed("Bearer "), 400, signin.ErrBadRequest, badRequest},
		{"two headers", "/api", fixed("Bearer abcdef", "Bearer abcdef"), 400, signin.ErrBadRequest, badRequest},
		{"a token that is not a JWT", "/api", fixed("Bearer abcdef"), 401, signin.ErrInvalidToken, badToken},
		{"another API's token", "/api", token("https://other.example.com"), 401, signin.ErrInvalidToken, badToken},
		{"another organization's token", "/api/org", token("urn:logto:organization:org_two"), 401, signin.ErrInvalidToken, badToken},
		{"an ID token", "/api", func(a *app) []string {
			u, err := url.Parse(a.signedIn(signintest.Alice()).do(http.MethodPost, "/sign-out").Header.Get("Location"))
			if err != nil || u.Query().Get("id_token_hint") == "" {
				a.t.Fatalf("sign-out: got %v, %v; want an ID token in the redirect", u, err)
			}
			return []string{"Bearer " + u.Query().Get("id_token_hint")}
		}, 401, signin.ErrInvalidToken, badToken},
		{"a token that has expired", "/api", func(a *app) []string {
			defer a.clock.add(time.Hour + 62*time.Second)
			return token(ordersAPI)(a)
		}, 401, signin.ErrInvalidToken, badToken},
		{"a scope is missing", "/api/read", token(ordersAPI, "write"), 403, signin.ErrForbidden,
			`Bearer error="insufficient_scope", scope="read"`},
		{"a machine where only people may be", "/api", func(a *app) []string {
			return []string{"Bearer " + a.provider.MachineToken("cron", ordersAPI)}
		}, 403, signin.ErrForbidden, ""},
		{"the provider is down", "/api", func(a *app) []string {
			defer a.provider.Down()
			return token(ordersAPI)(a)
		}, 503, signin.ErrProviderUnavailable, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := apiApp(t, with{config: func(c *signin.Config) {
				c.Issuer, c.LogtoEndpoint = c.LogtoEndpoint+"/oidc", "" // whose sign-out gives the ID token back
			}})
			got := a.call(row.path, row.send(a)...)
			a.wantProblem(t, got, row.status, row.code, row.challenge)
			kinds := a.kinds()
			if refused := len(kinds) > 0 && kinds[len(kinds)-1] == signin.EventRefused; refused != (row.status < 500) {
				t.Errorf("events: got %v; want a refusal last, unless the status is 503", kinds)
			}
			if retry := got.Header.Get("Retry-After"); (retry != "") != (row.status == 503) {
				t.Errorf("Retry-After: got %q with %d", retry, row.status)
			}
			if log := a.log.String(); strings.Contains(log, `level=ERROR msg="signin: request failed"`) != (row.status == 503) {
				t.Errorf("got log %q with %d; want an error in it if the request could not be judged", log, row.status)
			}
		})
	}
}

// If there is an Authorization header, it alone decides, even without a token.
// TestNestedGuards has good and bad tokens.
func TestRequireSessionOrBearer(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	session := a.signedIn(signintest.Bob()).cookies()
	for authorization, status := range map[string]int{
		"Bearer": http.StatusBadRequest, "Basic YTpi": http.StatusUnauthorized, "": http.StatusUnauthorized,
	} {
		if got := knock(a.handler(), "/either", session, "Authorization: "+authorization); got.StatusCode != status {
			t.Errorf("%q: got %d %q; want %d", authorization, got.StatusCode, got.body, status)
		}
	}
	if got := knock(a.handler(), "/either", session); got.StatusCode != http.StatusOK || !strings.Contains(got.body, signintest.Bob().Subject) {
		t.Errorf("the session alone: got %d %q; want Bob", got.StatusCode, got.body)
	}
}

func TestRequireBearer_TestUser(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	for status, u := range map[int]*signin.User{http.StatusOK: {Subject: "given"}, http.StatusUnauthorized: nil} {
		w := httptest.NewRecorder()
		a.handler().ServeHTTP(w, signintest.WithUser(httptest.NewRequest("GET", "/api", nil), u))
		if w.Code != status || u != nil && !strings.Contains(w.Body.String(), u.Subject) {
			t.Errorf("%+v: got %d %q; want %d", u, w.Code, w.Body, status)
		}
	}
}

// A handler answers an error of this package as its guard would.
func TestHandleError(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	var failure error
	answered := false
	ask := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answered = a.auth.HandleError(w, r, failure); !answered {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	page := a.auth.RequireAuth(ask)
	cookies := a.signedIn(signintest.Alice()).cookies()
	check := func(rule signin.Rule) error {
		return rule.Check(httptest.NewRequest("GET", "/", nil), &signin.User{})
	}
	notSignedIn := signin.RuleFunc(func(*http.Request, *signin.User) error { return signin.ErrNotSignedIn })
	const toSignIn = "/sign-in?return_to=%2Fpage"
	for _, row := range []struct {
		name           string
		err            error
		guard          http.Handler
		status         int
		location, body string
	}{
		{"no error", nil, page, http.StatusTeapot, "", ""},
		{"an error of another package", errors.New("x"), page, http.StatusTeapot, "", ""},
		{"a nil *Error", (*signin.Error)(nil), page, http.StatusTeapot, "", ""},
		{"a user who is not signed in any more", &signin.Error{Code: signin.ErrNotSignedIn}, page, http.StatusSeeOther, toSignIn, ""},
		{"only its code", signin.ErrNotSignedIn, page, http.StatusSeeOther, toSignIn, ""},
		{"the code from a rule, for a user who is signed in", check(notSignedIn), page, http.StatusUnauthorized, "", "Please sign in"},
		{"inside the error of a client", &url.Error{Op: "Get", URL: "u", Err: &signin.Error{Code: signin.ErrNotMember, Message: "Not yours."}},
			page, http.StatusForbidden, "", "Not yours."},
		{"a code inside another error", fmt.Errorf("x: %w", signin.ErrSharedUnavailable), page, http.StatusServiceUnavailable, "", "try again"},
		{"without a guard", &signin.Error{Code: signin.ErrForbidden, Message: "No."}, ask, http.StatusForbidden, "", "No."},
		{"a step-up", check(signin.AuthenticatedWithin(0)), page, http.StatusSeeOther, "/sign-in?max_age=0&return_to=%2Fpage", ""},
		{"a mistake of the program", signin.ErrInternal, page, http.StatusInternalServerError, "", "our mistake"},
	} {
		failure = row.err
		got := knock(row.guard, "/page", cookies)
		got.want(t, row.status, row.location)
		if answered != (row.status != http.StatusTeapot) || !strings.Contains(got.body, row.body) {
			t.Errorf("%s: got answered %v, %q; want %q", row.name, answered, got.body, row.body)
		}
	}
	api, token := a.auth.RequireBearer(ordersAPI)(ask), "Authorization: Bearer "+a.provider.AccessToken("alice0000001", ordersAPI)
	failure = signin.ErrNotSignedIn
	a.wantProblem(t, knock(api, "/", "", token), http.StatusUnauthorized, signin.ErrNotSignedIn, `Bearer realm=""`)
	failure = check(signin.HasScope("admin"))
	a.wantProblem(t, knock(api, "/", "", token), http.StatusForbidden, signin.ErrForbidden,
		`Bearer error="insufficient_scope", scope="admin"`)
	if last := a.events[len(a.events)-1]; last.Kind != signin.EventRefused || last.Subject != "alice0000001" {
		t.Errorf("got %+v; want a refusal of Alice", last)
	}
}
