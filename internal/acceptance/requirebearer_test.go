package acceptance_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

const ordersAPI = "https://orders.example.com"

// apiApp is an application with an API that takes bearer tokens.
func apiApp(t *testing.T, o with) *app {
	t.Helper()
	a := newApp(t, o)
	say := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.account(httptest.NewRecorder(), r) // which counts
		u, _ := signin.UserFrom(r.Context())
		_ = json.NewEncoder(w).Encode(u)
	})
	a.mount("/api", a.auth.RequireBearer(ordersAPI)(say))
	a.mount("/api/read", a.auth.RequireBearer(ordersAPI, signin.HasScope("read"))(say))
	a.mount("/api/machines", a.auth.RequireBearer(ordersAPI, signin.AllowMachines())(say))
	a.mount("/api/org", a.auth.RequireBearer("urn:logto:organization:org_one", signin.MemberOf("org_one"))(say))
	a.mount("/api/fresh", a.auth.RequireBearer(ordersAPI, signin.AuthenticatedWithin(5*time.Minute), signin.ACR("mfa"))(say))
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

// wantProblem checks a refusal: no handler, no session, no cookie, a problem
// document and a challenge.
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
	if got.Header.Get("Set-Cookie") != "" || a.insideCalls() != 0 || !strings.Contains(got.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("got cookies %q, handler called %d times, Cache-Control %q; want none of it, and no-store",
			got.Header["Set-Cookie"], a.insideCalls(), got.Header.Get("Cache-Control"))
	}
}

func TestRequireBearer(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	alice := "Bearer " + a.provider.AccessToken("alice0000001", ordersAPI, "read", "write")
	got := a.call("/api", alice)
	var u signin.User
	if err := json.Unmarshal([]byte(got.body), &u); err != nil || got.StatusCode != http.StatusOK {
		t.Fatalf("got %d %q; want the user", got.StatusCode, got.body)
	}
	if u.Issuer != a.provider.Issuer || u.Subject != "alice0000001" || fmt.Sprint(u.Scopes) != "[read write]" || u.Machine || u.ExpiresAt.IsZero() || len(u.Claims) == 0 {
		t.Errorf("got %+v; want what the token says", u)
	}
	if got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control: got %q; want no-store", got.Header.Get("Cache-Control"))
	}
	a.call("/api", strings.Replace(alice, "Bearer", "bearer", 1)).want(t, http.StatusOK, "")
	a.call("/api/read", alice).want(t, http.StatusOK, "")
	org := a.call("/api/org", "Bearer "+a.provider.AccessToken("alice0000001", "urn:logto:organization:org_one"))
	if err := json.Unmarshal([]byte(org.body), &u); err != nil || fmt.Sprint(u.Organizations) != "[org_one]" {
		t.Errorf("got %d %q; want the organization of the token", org.StatusCode, org.body)
	}
	machine := a.call("/api/machines", "Bearer "+a.provider.MachineToken("cron", ordersAPI, "read"))
	if err := json.Unmarshal([]byte(machine.body), &u); err != nil || !u.Machine || u.Subject != "cron" {
		t.Errorf("got %d %q; want the machine", machine.StatusCode, machine.body)
	}
	a.call("/api/machines", alice).want(t, http.StatusOK, "")
}

func TestRequireBearerRefuses(t *testing.T) {
	t.Parallel()
	person := func(scopes ...string) func(*app) []string {
		return func(a *app) []string {
			return []string{"Bearer " + a.provider.AccessToken("alice0000001", ordersAPI, scopes...)}
		}
	}
	fixed := func(values ...string) func(*app) []string { return func(*app) []string { return values } }
	for _, row := range []struct {
		name, path string
		fault      signintest.Fault
		send       func(*app) []string
		status     int
		code       signin.Code
		challenge  string
	}{
		{"no token", "/api", "", fixed(), 401, signin.ErrNotSignedIn, `Bearer realm=""`},
		{"another scheme", "/api", "", fixed("Basic YTpi"), 401, signin.ErrNotSignedIn, `Bearer realm=""`},
		{"no token after the scheme", "/api", "", fixed("Bearer "), 400, signin.ErrBadRequest, `Bearer error="invalid_request"`},
		{"garbage", "/api", "", fixed("Bearer a b"), 400, signin.ErrBadRequest, `Bearer error="invalid_request"`},
		{"a token that is no JWT", "/api", "", fixed("Bearer abcdef"), 401, signin.ErrInvalidToken, `Bearer error="invalid_token"`},
		{"two headers", "/api", "", func(a *app) []string { return append(person()(a), person()(a)...) }, 400, signin.ErrBadRequest, `Bearer error="invalid_request"`},
		{"another API's token", "/api", "", func(a *app) []string {
			return []string{"Bearer " + a.provider.AccessToken("alice0000001", "https://other.example.com")}
		}, 401, signin.ErrInvalidToken, `Bearer error="invalid_token"`},
		{"another organization's token", "/api/org", "", func(a *app) []string {
			return []string{"Bearer " + a.provider.AccessToken("alice0000001", "urn:logto:organization:org_two")}
		}, 401, signin.ErrInvalidToken, `Bearer error="invalid_token"`},
		{"a scope is missing", "/api/read", "", person("write"), 403, signin.ErrForbidden, `Bearer error="insufficient_scope", scope="read"`},
		{"a machine is not welcome", "/api", "", func(a *app) []string {
			return []string{"Bearer " + a.provider.MachineToken("cron", ordersAPI)}
		}, 403, signin.ErrForbidden, ""},
		{"the person has not authenticated as it needs", "/api/fresh", "", person(), 401, signin.ErrStepUpRequired,
			`Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="300"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := apiApp(t, with{})
			got := a.call(row.path, row.send(a)...)
			a.wantProblem(t, got, row.status, row.code, row.challenge)
			if kinds := a.kinds(); len(kinds) == 0 || kinds[len(kinds)-1] != signin.EventRefused {
				t.Errorf("events: got %v; want the last to be %v", kinds, signin.EventRefused)
			}
		})
	}
	t.Run("an ID token", func(t *testing.T) {
		t.Parallel()
		var seen struct {
			IDToken     string `json:"id_token"`
			AccessToken string `json:"access_token"`
		}
		a := apiApp(t, with{config: func(c *signin.Config) {
			c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := ownTransport.RoundTrip(r)
				if err != nil || !strings.HasSuffix(r.URL.Path, "/token") {
					return resp, err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				resp.Body = io.NopCloser(bytes.NewReader(body))
				return resp, cmp.Or(err, json.Unmarshal(body, &seen))
			})}
		}})
		a.signedIn(signintest.Alice())
		if seen.IDToken == "" {
			t.Fatal("got no ID token")
		}
		for _, token := range []string{seen.IDToken, seen.AccessToken, a.provider.LogoutToken("alice0000001", "")} {
			a.wantProblem(t, a.call("/api", "Bearer "+token), http.StatusUnauthorized, signin.ErrInvalidToken, `Bearer error="invalid_token"`)
		}
	})
	t.Run("a token that has expired", func(t *testing.T) {
		t.Parallel()
		a := apiApp(t, with{})
		token := "Bearer " + a.provider.AccessToken("alice0000001", ordersAPI)
		a.clock.add(time.Hour + 59*time.Second)
		a.call("/api", token).want(t, http.StatusOK, "")
		b := apiApp(t, with{})
		token = "Bearer " + b.provider.AccessToken("alice0000001", ordersAPI)
		b.clock.add(time.Hour + 62*time.Second)
		b.wantProblem(t, b.call("/api", token), http.StatusUnauthorized, signin.ErrInvalidToken, `Bearer error="invalid_token"`)
	})
	t.Run("the provider is down: 503, and nobody is let in", func(t *testing.T) {
		t.Parallel()
		a := apiApp(t, with{})
		token := "Bearer " + a.provider.AccessToken("alice0000001", ordersAPI)
		a.provider.Down()
		got := a.call("/api", token)
		a.wantProblem(t, got, http.StatusServiceUnavailable, signin.ErrProviderUnavailable, "")
		if got.Header.Get("Retry-After") == "" {
			t.Error("got no Retry-After")
		}
	})
}

// An Authorization header, if there is one, decides alone.
func TestRequireSessionOrBearer(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	b := a.signedIn(signintest.Bob())
	alice := "Bearer " + a.provider.AccessToken("alice0000001", ordersAPI)
	for _, row := range []struct {
		name, authorization string
		status              int
		subject             string
	}{
		{"the session alone", "", http.StatusOK, signintest.Bob().Subject},
		{"a token beside the session", alice, http.StatusOK, "alice0000001"},
		{"a token that is no good beside the session", "Bearer abc", http.StatusUnauthorized, ""},
		{"another scheme beside the session", "Basic YTpi", http.StatusUnauthorized, ""},
		{"a header that is none beside the session", "Bearer", http.StatusBadRequest, ""},
	} {
		got := b.get("/either", "Authorization: "+row.authorization)
		if got.StatusCode != row.status || row.subject != "" && !strings.Contains(got.body, row.subject) {
			t.Errorf("%s: got %d %q; want %d and %q", row.name, got.StatusCode, got.body, row.status, row.subject)
		}
	}
	r, err := http.NewRequest(http.MethodGet, a.server.URL+"/either", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{""}
	if got := b.send(r); got.StatusCode == http.StatusOK {
		t.Errorf("an empty header: got %d; want no fallback to the session", got.StatusCode)
	}
	a.browser().get("/either").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Feither")
}

// A token's user is nobody to the guards of another Auth, and WithUser's is to all.
func TestRequireBearerAndOthers(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	given := httptest.NewRecorder()
	a.handler().ServeHTTP(given, signintest.WithUser(httptest.NewRequest("GET", "/api", nil), &signin.User{Subject: "given"}))
	if given.Code != http.StatusOK || !strings.Contains(given.Body.String(), "given") {
		t.Errorf("got %d %q; want the test's user", given.Code, given.Body)
	}
	nobody := httptest.NewRecorder()
	a.handler().ServeHTTP(nobody, signintest.WithUser(httptest.NewRequest("GET", "/api", nil), nil))
	if nobody.Code != http.StatusUnauthorized {
		t.Errorf("got %d; want 401", nobody.Code)
	}
	// What a bearer brings has no session to get tokens from.
	a.mount("/token", a.auth.RequireBearer(ordersAPI)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := signin.AccessToken(r.Context())
		fmt.Fprint(w, err)
	})))
	if got := a.call("/token", "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI)); !strings.Contains(got.body, "not signed in") {
		t.Errorf("got %q; want ErrNotSignedIn", got.body)
	}
}

// An API's token that holds within an organization has the scopes of a role there.
func TestAnOrganizationsTokenForAnAPI(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{config: func(c *signin.Config) {
		c.Scopes, c.Resources = []string{"urn:logto:scope:organizations"}, []string{ordersAPI}
	}})
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("inside")) })
	a.mount("/api/orders/one", a.auth.RequireBearer(ordersAPI, signin.MemberOf("org_one"))(inside))
	a.mount("/api/orders/two", a.auth.RequireBearer(ordersAPI, signin.MemberOf("org_two"))(inside))
	a.mount("/token", a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := signin.AccessToken(r.Context(), signin.ForResource(ordersAPI), signin.ForOrganization("org_one"))
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(w, token.AccessToken)
		for _, none := range [][]signin.TokenOption{
			{signin.ForResource("")}, {signin.ForOrganization("")}, {signin.ForResource(ordersAPI), signin.ForOrganization("")},
		} {
			if token, err := signin.AccessToken(r.Context(), none...); err == nil {
				t.Errorf("a name that is empty: got %v; want an error", token)
			}
		}
	})))
	token := "Bearer " + a.signedIn(signintest.Alice()).get("/token").body
	a.wantProblem(t, a.call("/api", token), http.StatusForbidden, signin.ErrForbidden, "")
	a.wantProblem(t, a.call("/api/orders/two", token), http.StatusForbidden, signin.ErrForbidden, "")
	a.call("/api/orders/one", token).want(t, http.StatusOK, "")
}

// machinesOr lets machines in, and people for whom a rule holds. Without
// AllowMachines beside it, it lets no machine in.
func machinesOr(rule signin.Rule) signin.Rule {
	return signin.RuleFunc(func(r *http.Request, u *signin.User) error {
		if u.Machine {
			return nil
		}
		return rule.Check(r, u)
	})
}

// AllowMachines is not a condition: it asks nothing of people, in whatever order.
func TestAllowMachines(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("inside")) })
	for path, rules := range map[string][]signin.Rule{
		"/before": {signin.AllowMachines(), machinesOr(signin.HasScope("admin"))},
		"/after":  {machinesOr(signin.HasScope("admin")), signin.AllowMachines()},
		"/twice":  {signin.AllowMachines(), machinesOr(signin.HasScope("admin")), signin.AllowMachines()},
	} {
		a.mount(path, a.auth.RequireBearer(ordersAPI, rules...)(inside))
		a.wantProblem(t, a.call(path, "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI)),
			http.StatusForbidden, signin.ErrForbidden, `Bearer error="insufficient_scope", scope="admin"`)
		a.call(path, "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI, "admin")).want(t, http.StatusOK, "")
		a.call(path, "Bearer "+a.provider.MachineToken("cron", ordersAPI)).want(t, http.StatusOK, "")
	}
	a.mount("/one-way", a.auth.RequireBearer(ordersAPI, signin.AllowMachines(), signin.AnyOf(signin.HasScope("read")))(inside))
	a.call("/one-way", "Bearer "+a.provider.MachineToken("cron", ordersAPI, "read")).want(t, http.StatusOK, "")
	a.wantProblem(t, a.call("/one-way", "Bearer "+a.provider.MachineToken("cron", ordersAPI)),
		http.StatusForbidden, signin.ErrForbidden, `Bearer error="insufficient_scope", scope="read"`)
	a.mount("/without", a.auth.RequireBearer(ordersAPI, machinesOr(signin.HasScope("admin")))(inside))
	a.wantProblem(t, a.call("/without", "Bearer "+a.provider.MachineToken("cron", ordersAPI)), http.StatusForbidden, signin.ErrForbidden, "")
}

// Anybody can write tokens that name unknown keys: they cost two requests for keys
// at the most, and no error in the log for whoever is on call.
func TestForgedBearerTokens(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	a.call("/api", "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI)).want(t, http.StatusOK, "")
	fetched := a.provider.Stats().Keys
	a.provider.Inject(faults.AccessTokenKeyIDUnknown)
	forged := "Bearer " + a.provider.AccessToken("alice0000001", ordersAPI)
	a.provider.Clear()
	before := len(a.log.String())
	var wait sync.WaitGroup
	statuses := make(chan int, 1000)
	for range 20 {
		wait.Go(func() {
			c := &http.Client{Transport: ownTransport}
			for range 50 {
				r, err := http.NewRequest(http.MethodGet, a.server.URL+"/api", nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", forged)
				resp, err := c.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				statuses <- resp.StatusCode
			}
		})
	}
	wait.Wait()
	close(statuses)
	for status := range statuses {
		if status != http.StatusUnauthorized && status != http.StatusServiceUnavailable {
			t.Fatalf("got %d; want 401, or 503 while nobody knows", status)
		}
	}
	if n := a.provider.Stats().Keys - fetched; n > 2 || n == 0 {
		t.Errorf("1,000 forged tokens caused %d requests for keys; want one or two", n)
	}
	if logged := a.log.String()[before:]; strings.Contains(logged, "level=ERROR") {
		t.Errorf("got %.300q; want no error logged", logged)
	}
	if a.insideCalls() != 1 {
		t.Errorf("the handler was called %d times; want once, with the good token", a.insideCalls())
	}
}

// A refused token says nothing about whoever's session came with it.
func TestARefusedBearerNamesNobodyElse(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	a.mount("/loaded", a.auth.Load(a.auth.RequireBearer(ordersAPI)(http.HandlerFunc(who))))
	b := a.signedIn(signintest.Bob())
	b.get("/loaded", "Authorization: Bearer abc").want(t, http.StatusUnauthorized, "")
	last := a.events[len(a.events)-1]
	if last.Kind != signin.EventRefused || last.Subject != "" || last.ProviderSessionID != "" {
		t.Errorf("got %+v; want nobody named", last)
	}
}

// No cookie lends a token another person.
func TestLoadBelowRequireBearer(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	cfg := a.cfg
	cfg.CookieName, cfg.Paths.SignIn, cfg.Paths.Callback, cfg.Paths.SignOut, cfg.Paths.BackChannelLogout = "staff", "/staff/in", "/staff/cb", "/staff/out", "/staff/bc"
	staff, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	load := a.auth.Load(http.HandlerFunc(who))
	a.mount("/below", a.auth.RequireBearer(ordersAPI)(load))
	a.mount("/between", a.auth.RequireBearer(ordersAPI)(staff.Load(load)))
	b := a.signedIn(signintest.Bob())
	for _, path := range []string{"/below", "/between"} {
		got := b.get(path, "Authorization: Bearer "+a.provider.AccessToken("alice0000001", ordersAPI))
		got.want(t, http.StatusOK, "")
		if !strings.Contains(got.body, "alice0000001") {
			t.Errorf("%s: got %q; want the token's person", path, got.body)
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
	a.mount("/page", a.auth.RequireAuth(ask))
	a.mount("/public", a.auth.Load(ask))
	a.mount("/api/ask", a.auth.RequireBearer(ordersAPI)(ask))
	b := a.signedIn(signintest.Alice())
	for _, row := range []struct {
		name     string
		err      error
		path     string
		status   int
		location string
		body     string
	}{
		{"nothing", nil, "/page", http.StatusTeapot, "", ""},
		{"an error of somebody else's", errors.New("x"), "/page", http.StatusTeapot, "", ""},
		{"an *Error that is nil", (*signin.Error)(nil), "/page", http.StatusTeapot, "", ""},
		{"not signed in any more", &signin.Error{Code: signin.ErrNotSignedIn}, "/page", http.StatusSeeOther, "/sign-in?return_to=%2Fpage", ""},
		{"inside the error of a client", &url.Error{Op: "Get", URL: "u", Err: &signin.Error{Code: signin.ErrNotMember, Message: "Not yours."}}, "/page", http.StatusForbidden, "", "Not yours."},
		{"nobody signed in, on a page for everybody", &signin.Error{Code: signin.ErrForbidden, Message: "No."}, "/public", http.StatusForbidden, "", "No."},
		{"a rule that a step-up would meet", signin.ACR("mfa").Check(httptest.NewRequest("GET", "/", nil), &signin.User{}), "/page", http.StatusSeeOther, "/sign-in?acr_values=mfa&return_to=%2Fpage", ""},
		{"the provider is down", &signin.Error{Code: signin.ErrProviderUnavailable}, "/page", http.StatusServiceUnavailable, "", ""},
		{"a code alone", signin.ErrNotMember, "/page", http.StatusForbidden, "", "does not belong to this organization"},
		{"a code alone, inside another error", fmt.Errorf("members: %w", signin.ErrSharedUnavailable), "/page", http.StatusServiceUnavailable, "", "try again"},
		{"a code alone, of a user who is not signed in any more", signin.ErrNotSignedIn, "/page", http.StatusSeeOther, "/sign-in?return_to=%2Fpage", ""},
		{"a rule that says so of a user who is signed in", signin.RuleFunc(func(*http.Request, *signin.User) error { return signin.ErrNotSignedIn }).Check(httptest.NewRequest("GET", "/", nil), &signin.User{}), "/page", http.StatusUnauthorized, "", "Please sign in"},
		{"a mistake of the program", signin.ErrInternal, "/page", http.StatusInternalServerError, "", "our mistake"},
	} {
		failure = row.err
		got := b.get(row.path)
		got.want(t, row.status, row.location)
		if answered != (row.status != http.StatusTeapot) || !strings.Contains(got.body, row.body) {
			t.Errorf("%s: got answered %v, %q; want %q", row.name, answered, got.body, row.body)
		}
	}
	failure = signin.HasScope("admin").Check(httptest.NewRequest("GET", "/", nil), &signin.User{})
	got := a.call("/api/ask", "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI))
	a.wantProblem(t, got, http.StatusForbidden, signin.ErrForbidden, `Bearer error="insufficient_scope", scope="admin"`)
	if last := a.events[len(a.events)-1]; last.Kind != signin.EventRefused || last.Subject != "alice0000001" {
		t.Errorf("got %+v; want the refusal told, with whom it was about", last)
	}
}

// What a rule has welcomed before another part of it did not hold is not welcome.
func TestHalfOfARuleWelcomesNobody(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{config: func(c *signin.Config) {
		c.Scopes, c.Resources = []string{"urn:logto:scope:organizations"}, []string{ordersAPI}
	}})
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("inside")) })
	a.mount("/machines", a.auth.RequireBearer(ordersAPI,
		signin.AnyOf(all(signin.AllowMachines(), signin.HasScope("never")), signin.HasScope("read")))(inside))
	a.mount("/organization", a.auth.RequireBearer(ordersAPI,
		signin.AnyOf(all(signin.MemberOf("org_one"), signin.HasScope("never")), signin.RuleFunc(func(*http.Request, *signin.User) error { return nil })))(inside))
	a.mount("/token", a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := signin.AccessToken(r.Context(), signin.ForResource(ordersAPI), signin.ForOrganization("org_one"))
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(w, token.AccessToken)
	})))
	a.wantProblem(t, a.call("/machines", "Bearer "+a.provider.MachineToken("cron", ordersAPI, "read")), http.StatusForbidden, signin.ErrForbidden, "")
	a.call("/machines", "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI, "read")).want(t, http.StatusOK, "")
	a.wantProblem(t, a.call("/organization", "Bearer "+a.signedIn(signintest.Alice()).get("/token").body), http.StatusForbidden, signin.ErrForbidden, "")
}
