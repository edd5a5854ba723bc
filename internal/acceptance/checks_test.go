package acceptance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// metadata is a transport that changes what a provider says of itself.
func metadata(edit func(map[string]any)) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := ownTransport.RoundTrip(r)
		if err != nil || !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			return resp, err
		}
		defer resp.Body.Close()
		var doc map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
			return nil, err
		}
		edit(doc)
		b, err := json.Marshal(doc)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		resp.Header.Del("Content-Length")
		return resp, err
	})
}

// Every code's page has a link that may help, and its status.
func TestChecksWaysOn(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Paths.AfterSignIn, c.Paths.AfterSignOut = "/home", "/bye" }})
	b := a.signedIn(signintest.Alice())
	for i, row := range []struct {
		code   signin.Code
		status int
		href   string
	}{
		{signin.ErrNotSignedIn, 401, "/sign-in"},
		{signin.ErrStepUpRequired, 401, "/sign-in"},
		{signin.ErrStepUpFailed, 403, "/sign-in"},
		{signin.ErrBadCallback, 400, "/sign-in"},
		{signin.ErrSignInExpired, 400, "/sign-in"},
		{signin.ErrCookiesBlocked, 400, "/sign-in"},
		{signin.ErrDeclined, 403, "/sign-in"},
		{signin.ErrProviderUnavailable, 503, "/sign-in"},
		{signin.ErrProviderRejected, 502, "/sign-in"},
		{signin.ErrStoreUnavailable, 503, "/sign-in"},
		{signin.ErrSharedUnavailable, 503, "/sign-in"},
		{signin.ErrForbidden, 403, "/home"},
		{signin.ErrNotMember, 403, "/home"},
		{signin.ErrMFARequired, 403, "/home"},
		{signin.ErrUnknownResource, 500, "/home"},
		{signin.ErrScopeMissing, 500, "/home"},
		{signin.ErrBadRequest, 400, "/bye"},
		{signin.ErrSessionTooLarge, 500, "/bye"},
		{signin.ErrProviderMisconfigured, 502, "/bye"},
		{signin.ErrSignOutIncomplete, 503, "/bye"},
		{signin.ErrInvalidToken, 401, "/bye"},
		{signin.ErrMethodNotAllowed, 405, "/bye"},
		{signin.ErrInternal, 500, "/bye"},
	} {
		path, cause := fmt.Sprint("/refused/", i), errors.New("cause-of-"+string(row.code))
		a.mount(path, a.auth.Require(signin.RuleFunc(func(*http.Request, *signin.User) error {
			return &signin.Error{Code: row.code, Err: cause}
		}))(http.HandlerFunc(a.account)))
		got := b.get(path)
		got.want(t, row.status, "")
		if !strings.Contains(got.body, `<a href="`+row.href+`">`) {
			t.Errorf("%s: got %q; want a link to %s", row.code, got.body, row.href)
		}
		// What is an operator's to know of is logged, and the rest is not.
		if logged := strings.Contains(a.log.String(), cause.Error()); logged != (row.status >= 500) {
			t.Errorf("%s: got logged %t; want %t", row.code, logged, row.status >= 500)
		}
		if strings.Contains(got.body, cause.Error()) || len(got.Header["Set-Cookie"]) > 0 || a.insideCalls() != 0 {
			t.Errorf("%s: got cookies %q, %q; want neither cookies nor the cause, and no handler called", row.code, got.Header["Set-Cookie"], got.body)
		}
	}
	if got := b.who(); got != signintest.Alice().Subject {
		t.Errorf("got %q signed in; want the session to stand", got)
	}
}

// A rule's own error reaches whoever listens to events, and no page.
func TestChecksTheCauseOfARefusalIsTold(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	mine := errors.New("the list is closed")
	a.mount("/closed", a.auth.Require(signin.RuleFunc(func(*http.Request, *signin.User) error { return mine }))(http.HandlerFunc(a.account)))
	got := a.signedIn(signintest.Alice()).get("/closed")
	got.want(t, http.StatusForbidden, "")
	a.mu.Lock()
	last := a.events[len(a.events)-1]
	a.mu.Unlock()
	if last.Kind != signin.EventRefused || !errors.Is(last.Err, mine) || !errors.Is(last.Err, signin.ErrForbidden) || strings.Contains(got.body, mine.Error()) {
		t.Errorf("got event %+v and page %q; want the cause in the event alone", last, got.body)
	}
}

// HandleError answers where no guard stands around, too.
func TestChecksHandleErrorWithoutASession(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	a.mount("/bare", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.auth.HandleError(w, r, &signin.Error{Code: signin.ErrForbidden})
	}))
	got := a.browser().get("/bare")
	got.want(t, http.StatusForbidden, "")
	if len(got.Header["Set-Cookie"]) > 0 || !strings.Contains(got.body, "<h1>This page is not open to you</h1>") {
		t.Errorf("got cookies %q, %q; want a page", got.Header["Set-Cookie"], got.body)
	}
}

// What a rule needs is named if it is one word, and in no other case.
func TestChecksWhatARuleNames(t *testing.T) {
	t.Parallel()
	generic := func(name string) bool {
		var e *signin.Error
		if !errors.As(signin.HasRole(name).Check(httptest.NewRequest("GET", "/", nil), &signin.User{}), &e) || e.Code != signin.ErrForbidden || e.Status != http.StatusForbidden {
			t.Errorf("%q: got %v; want %v", name, e, signin.ErrForbidden)
			return false
		}
		return strings.HasPrefix(e.Message, "You are signed in, but your account has no access here")
	}
	for name, want := range map[string]bool{
		"editor": false, strings.Repeat("x", 64): false,
		"": true, strings.Repeat("x", 65): true, "a b": true, "<b>": true,
	} {
		if got := generic(name); got != want {
			t.Errorf("%q: got left out %t; want %t", name, got, want)
		}
	}
}

func TestChecksACRNeedsWords(t *testing.T) {
	t.Parallel()
	for _, values := range [][]string{nil, {""}, {" mfa"}, {"mfa\t"}, {"mfa pwd"}, {"mfa", "pwd "}} {
		if said := panicOf(func() { signin.ACR(values...) }); !strings.Contains(said, "ACR needs classes") {
			t.Errorf("%q: got %q; want a panic", values, said)
		}
	}
}

// Several step-ups are the strictest of them, in whatever order; of those in
// AnyOf it is the first.
func TestChecksWhichStepUp(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.signedIn(signintest.Alice())
	for path, row := range map[string]struct {
		rules []signin.Rule
		want  string
	}{
		"/short-first": {[]signin.Rule{signin.AuthenticatedWithin(time.Minute), signin.AuthenticatedWithin(time.Hour)}, "/sign-in?max_age=60&return_to=%2Fshort-first"},
		"/short-last":  {[]signin.Rule{signin.AuthenticatedWithin(time.Hour), signin.AuthenticatedWithin(time.Minute)}, "/sign-in?max_age=60&return_to=%2Fshort-last"},
		"/age-first":   {[]signin.Rule{signin.AnyOf(signin.AuthenticatedWithin(time.Minute), signin.ACR("mfa"))}, "/sign-in?max_age=60&return_to=%2Fage-first"},
		"/class-first": {[]signin.Rule{signin.AnyOf(signin.ACR("mfa"), signin.AuthenticatedWithin(time.Minute))}, "/sign-in?acr_values=mfa&return_to=%2Fclass-first"},
	} {
		a.mount(path, a.auth.Require(row.rules...)(http.HandlerFunc(a.account)))
		got := b.get(path)
		got.want(t, http.StatusSeeOther, row.want)
		if to := got.Header.Get("Location"); to != row.want || a.insideCalls() != 0 {
			t.Errorf("%s: got %q, handler called %d times; want %q, and none", path, to, a.insideCalls(), row.want)
		}
	}
}

// A page to which everybody comes after a sign-in is not named in its URL.
func TestChecksTheStartIsNotNamed(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Paths.AfterSignIn = "/home" }})
	a.mount("/home", a.auth.RequireAuth(http.HandlerFunc(a.account)))
	for path, want := range map[string]string{"/home": "/sign-in", "/home?tab=1": "/sign-in?return_to=%2Fhome%3Ftab%3D1"} {
		if got := a.browser().get(path).Header.Get("Location"); got != want {
			t.Errorf("%s: got %q; want %q", path, got, want)
		}
	}
}

// Rules let in whom they are for, and no others, by what a token says.
func TestChecksBearers(t *testing.T) {
	t.Parallel()
	const organization = "urn:logto:organization:org_one"
	a := apiApp(t, with{config: func(c *signin.Config) {
		c.Scopes, c.Resources = []string{"urn:logto:scope:organizations"}, []string{ordersAPI}
	}})
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := signin.UserFrom(r.Context())
		fmt.Fprint(w, "inside ", u.Subject)
	})
	// Both are asked, and one is enough. A function cannot say that it has asked.
	either := func(r *http.Request, u *signin.User) error {
		one, two := signin.MemberOf("org_one").Check(r, u), signin.MemberOf("org_two").Check(r, u)
		if one == nil || two == nil {
			return nil
		}
		return one
	}
	machinesOrAdmins := func(r *http.Request, u *signin.User) error {
		if u.Machine {
			return nil
		}
		return signin.HasRole("admin").Check(r, u)
	}
	a.mount("/organization", a.auth.RequireBearer(organization)(inside))
	a.mount("/either-organization", a.auth.RequireBearer(ordersAPI, signin.AnyOf(signin.MemberOf("org_one"), signin.MemberOf("org_two")))(inside))
	a.mount("/either-by-function", a.auth.RequireBearer(ordersAPI, signin.RuleFunc(either))(inside))
	a.mount("/machines-or-admins", a.auth.RequireBearer(ordersAPI, signin.AllowMachines(), signin.RuleFunc(machinesOrAdmins))(inside))
	var within string
	a.mount("/token", a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := signin.AccessToken(r.Context(), signin.ForResource(ordersAPI), signin.ForOrganization("org_one"))
		if err != nil {
			t.Error(err)
			return
		}
		within = token.AccessToken
	})))
	a.signedIn(signintest.Alice()).get("/token").want(t, http.StatusOK, "")
	for _, row := range []struct{ name, path, token, want string }{
		{"an organization's token, for that organization", "/organization", a.provider.AccessToken("alice0000001", organization), "inside alice0000001"},
		{"a token within one of two organizations", "/either-organization", within, "inside alice0000001"},
		{"a machine, where machines may be", "/machines-or-admins", a.provider.MachineToken("cron", ordersAPI), "inside cron"},
	} {
		got := a.call(row.path, "Bearer "+row.token)
		if got.StatusCode != http.StatusOK || got.body != row.want {
			t.Errorf("%s: got %d %q; want %q", row.name, got.StatusCode, got.body, row.want)
		}
	}
	a.wantProblem(t, a.call("/either-by-function", "Bearer "+within), http.StatusForbidden, signin.ErrForbidden, "")
	a.wantProblem(t, a.call("/machines-or-admins", "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI)), http.StatusForbidden, signin.ErrForbidden, "")
}

// A configuration's mistakes are reported, and never a panic or an Auth that
// lacks a part.
func TestChecksMistakesThatMeet(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.BaseURL, cfg.SignInOptions = "", []signin.SignInOption{signin.ReturnTo("/x")}
	if got := mistakes(t, cfg); !slices.Equal(got, []string{"BaseURL"}) {
		t.Errorf("a path to return to, and nothing to return to: got mistakes %q; want BaseURL", got)
	}
	cfg = goodConfig()
	cfg.BaseURL = "https://[fe80::1%25eth0]"
	if got := mistakes(t, cfg); !slices.Equal(got, []string{"BaseURL"}) {
		t.Errorf("a host with a zone: got mistakes %q; want BaseURL", got)
	}
}

// What no session can hold makes no session at a sign-in. At a refresh the person
// stays who they are, and signing out works.
func TestChecksMoreThanASessionHolds(t *testing.T) {
	t.Parallel()
	var huge atomic.Bool
	a, clock, _ := refreshing(t, func(c *signin.Config) {
		everyStore()["FilesystemStore"](t.TempDir())(c)
		c.HTTPClient = &http.Client{Transport: tokens(func(body map[string]any) {
			if huge.Load() {
				body["refresh_token"] = strings.Repeat("x", 70_000)
			}
		})}
	})
	b := a.signedIn(signintest.Alice())
	huge.Store(true)
	got := b.signInAs(signintest.Bob())
	got.want(t, http.StatusInternalServerError, "")
	wantCookies(t, "at the sign-in", got, false, "signin.tx.* cleared")
	comes(t, a.handler(), b.session(), signintest.Alice())

	clock.add(time.Hour)
	if got := b.get("/account"); got.StatusCode != http.StatusOK || !strings.Contains(got.body, signintest.Alice().Subject) {
		t.Errorf("after the refresh: got %d %q; want the person", got.StatusCode, got.body)
	}
	huge.Store(false)
	b.leave(http.MethodPost, "", "Sec-Fetch-Site: same-origin").want(t, http.StatusSeeOther, a.provider.Issuer)
	if got := b.who(); got != "nobody" {
		t.Errorf("after the sign-out: got %q; want nobody", got)
	}
	b.signInAs(signintest.Bob()).want(t, http.StatusSeeOther, "/")
	comes(t, a.handler(), b.session(), signintest.Bob())
}

// An HTTP client without a transport has net/http's.
func TestChecksAClientWithoutATransport(t *testing.T) {
	t.Parallel()
	a, _, _ := calling(t)
	srv := newAPI(t)
	cookies := a.signedIn(signintest.Alice()).session()
	cfg := a.cfg
	cfg.HTTPClient = &http.Client{}
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	(&app{t: t, auth: auth}).within(t, cookies, func(ctx context.Context) {
		token, err := signin.AccessToken(ctx)
		if err != nil {
			t.Fatal(err)
		}
		status, body := reads(t, clientOf(ctx, srv.URL), newRequest(t, http.MethodGet, srv.URL+"/orders", nil))
		if calls := srv.asked(); status != http.StatusOK || body != "welcome" || len(calls) != 1 || calls[0].authorization != "Bearer "+token.AccessToken {
			t.Errorf("got %d %q for %+v; want one request with the token", status, body, calls)
		}
	})
}

func TestChecksATestUserByTheirClaims(t *testing.T) {
	t.Parallel()
	r := signintest.WithUser(httptest.NewRequest(http.MethodGet, "/", nil), &signin.User{
		Subject: "u1", Claims: json.RawMessage(`{"sub":"u1","email":"u@example.test","email_verified":true}`),
	})
	info, err := signin.FetchUserInfo[struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
	}](r.Context())
	if err != nil || info.Email != "u@example.test" || !info.Verified {
		t.Errorf("got %+v, %v; want the verified address", info, err)
	}
}

// An old copy of a cookie is nobody's, also while its access token is good: a token
// for a resource may cost a refresh token as well.
func TestChecksASupersededCookieWhoseTokenIsGood(t *testing.T) {
	t.Parallel()
	a, _, _ := granting(t, nil, signintest.WithRefreshRotation())
	b := a.signedIn(signintest.Alice())
	fetch := func(cookies, resource string) {
		t.Helper()
		a.within(t, cookies, func(ctx context.Context) {
			hasToken(t, ctx, audience{Aud: resource}, signin.ForResource(resource))
		})
	}
	zero := b.session()
	fetch(zero, apiA)
	b.get("/name")
	one := b.session()
	if one == zero {
		t.Fatal("the browser has no new cookie")
	}
	fetch(one, apiB)
	a.used(t, 2)
	before := a.insideCalls()
	wantCookies(t, "superseded", knock(a.handler(), "/account", zero), false, "signin cleared")
	if got := a.kinds(); !slices.Contains(got, signin.EventSuperseded) {
		t.Errorf("events: got %q; want superseded", got)
	}
	a.nobodyComes(t, a.handler(), zero)
	comes(t, a.handler(), one, signintest.Alice())
	if got := a.insideCalls(); got != before+1 {
		t.Errorf("handler called %d times; want 1, for the newest", got-before)
	}
	a.used(t, 2)
}

// Without a refresh token there is the session's own token, and no other: nothing
// is asked of the provider.
func TestChecksTokensWithoutARefreshToken(t *testing.T) {
	t.Parallel()
	without := func(large bool) func(*signin.Config) {
		return func(c *signin.Config) {
			c.HTTPClient = &http.Client{Transport: tokens(func(body map[string]any) {
				delete(body, "refresh_token")
				if large {
					body["access_token"] = strings.Repeat("x", 8<<10)
				}
			})}
		}
	}
	t.Run("one that was refused", func(t *testing.T) {
		t.Parallel()
		a, _, _ := granting(t, without(false))
		srv := newAPI(t)
		srv.all = true
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			before := a.provider.Stats()
			status, body := reads(t, clientOf(ctx, srv.URL), newRequest(t, http.MethodGet, srv.URL, nil))
			if calls := srv.asked(); status != http.StatusUnauthorized || body != "refused" || len(calls) != 1 || a.provider.Stats() != before {
				t.Errorf("got %d %q for %d requests, and %+v asked; want the API's own answer to one, and nothing", status, body, len(calls), a.provider.Stats())
			}
		})
	})
	t.Run("one that did not fit", func(t *testing.T) {
		t.Parallel()
		a, _, _ := granting(t, without(true))
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			before := a.provider.Stats()
			token, err := signin.AccessToken(ctx)
			wantCode(t, "too large", token, err, signin.ErrProviderMisconfigured)
			if a.provider.Stats() != before {
				t.Errorf("got %+v; want nothing asked", a.provider.Stats())
			}
		})
	})
	t.Run("an organization without a name", func(t *testing.T) {
		t.Parallel()
		a, _, _ := granting(t, nil)
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			before := a.provider.Stats()
			token, err := signin.AccessToken(ctx, signin.ForOrganization(""))
			wantCode(t, "no name", token, err, signin.ErrNotMember)
			if a.provider.Stats() != before {
				t.Errorf("got %+v; want nothing asked", a.provider.Stats())
			}
		})
	})
}

// What a session's own token is worth ends with the session, also for a handler
// that has run for long.
func TestChecksAHandlerThatRunsForLong(t *testing.T) {
	t.Parallel()
	a, clock, _ := granting(t, nil)
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		if _, err := signin.AccessToken(ctx); err != nil {
			t.Fatalf("got error %v; want a token", err)
		}
		clock.add(59*time.Minute + 30*time.Second) // it is due, and good for half a minute yet
		a.provider.Suspend(signintest.Alice().Subject)
		token, err := signin.AccessToken(ctx)
		wantCode(t, "the session has ended", token, err, signin.ErrNotSignedIn)
	})
}

// leased is shared state in which another replica has the lease of every session,
// and keeps it.
type leased struct{ *mapState }

func (l leased) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if key[0] == 'l' {
		return false, nil
	}
	return l.mapState.Add(ctx, key, value, ttl)
}

// A replica that hangs at the provider is the provider's trouble, and not that of
// shared state.
func TestChecksWaitingForAnotherReplica(t *testing.T) {
	t.Parallel()
	a, _, shared := granting(t, nil)
	cookies := a.signedIn(signintest.Alice()).session()
	asked := a.provider.Stats()
	synctest.Test(t, func(t *testing.T) {
		cfg := a.cfg
		cfg.Shared = leased{shared}
		auth, err := signin.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		(&app{t: t, auth: auth}).within(t, cookies, func(ctx context.Context) {
			token, err := signin.AccessToken(ctx, signin.ForResource(apiA))
			wantCode(t, "another replica has the lease", token, err, signin.ErrProviderUnavailable)
		})
	})
	if got := a.provider.Stats(); got != asked {
		t.Errorf("got %+v; want nothing asked", got)
	}
}
