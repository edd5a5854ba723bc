package acceptance_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// stepUpApp is an application with pages behind step-ups.
func stepUpApp(t *testing.T, o with) *app {
	t.Helper()
	a := newApp(t, o)
	inside := http.HandlerFunc(a.account)
	fresh := signin.AuthenticatedWithin(5 * time.Minute)
	a.mount("/delete", a.auth.Require(fresh)(inside))
	if a.cfg.LogtoEndpoint != "" { // Logto has no classes
		return a
	}
	a.mount("/vault", a.auth.Require(signin.ACR("mfa", "phr"))(inside))
	a.mount("/fresh-and-strong", a.auth.Require(fresh, signin.ACR("mfa"))(inside))
	a.mount("/strong-inside-fresh", a.auth.Require(fresh)(a.auth.Require(signin.ACR("mfa"))(inside)))
	return a
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{provider: []signintest.Option{signintest.WithAccessTokenLifetime(2 * time.Minute)}})
	b := a.signedIn(signintest.Alice())
	before := b.session()
	a.clock.add(10 * time.Minute)
	b.get("/delete").want(t, http.StatusSeeOther, "/sign-in?max_age=300&return_to=%2Fdelete")
	got := b.visit("/delete", signintest.Alice())
	if got.StatusCode != http.StatusOK || got.Request.URL.Path != "/delete" || a.insideCalls() != 1 {
		t.Fatalf("got %s at %s, handler called %d times; want the page", got.Status, got.Request.URL.Path, a.insideCalls())
	}
	if sent := a.lastRequest(); sent.Effective.Get("max_age") != "300" || sent.Effective.Get("prompt") != "login consent" {
		t.Errorf("got max_age %q and prompt %q; want 300, and login consent", sent.Effective.Get("max_age"), sent.Effective.Get("prompt"))
	}
	if b.session() == before {
		t.Error("got the old session; want a new one")
	}
	b.get("/delete").want(t, http.StatusOK, "")
	// The time survives a refresh whose ID token does not state it.
	a.clock.add(4 * time.Minute)
	a.provider.Inject(faults.IDTokenAuthTimeMissing)
	b.get("/delete").want(t, http.StatusOK, "")
	a.provider.Clear()
	if a.provider.Stats().Refreshes == 0 {
		t.Error("the session was not refreshed")
	}
	a.clock.add(3 * time.Minute)
	b.get("/delete").want(t, http.StatusSeeOther, "/sign-in?max_age=300")
}

// A step-up cannot loop: each attempt that does not help ends at a page of the
// callback, and another attempt takes a click.
func TestStepUp_NotMet(t *testing.T) {
	t.Parallel()
	unmet := refusal{http.StatusForbidden, signin.ErrStepUpFailed, 1}
	for _, row := range []struct {
		name, page string
		fault      signintest.Fault
		person     signintest.User
		want       refusal
	}{
		{"2.9 a step-up answered without auth_time", "/delete", faults.IDTokenAuthTimeMissing, signintest.Alice(), unmet},
		{"2.9 a step-up answered with a stale auth_time", "/delete", faults.IDTokenAuthTimeStale, signintest.Alice(), unmet},
		{"2.9 a step-up that the provider ignores", "/delete", faults.IgnoreMaxAge, signintest.Alice(), unmet},
		{"2.9 a step-up that another person answers", "/delete", "", signintest.Bob(), unmet},
		{"7.4 a step-up that did not help", "/vault", "", signintest.Alice(), unmet},
		{"an answer that breaks a rule", "/delete", faults.IDTokenNonceWrong, signintest.Alice(), unbelieved},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := stepUpApp(t, with{recorded: true, config: otherProvider})
			b := a.browser()
			b.visit("/sign-in", signintest.Alice())
			held, copied := b.session(), b.copyOf()
			a.clock.add(10 * time.Minute)
			if row.fault != "" {
				a.provider.Inject(row.fault)
			}
			said, asked := len(a.log.String()), a.provider.Stats().Authorizations
			got := b.visit(row.page, row.person)
			if got.StatusCode != row.want.status || got.Request.URL.Path != "/callback" {
				t.Fatalf("got %s at %s; want %d from the callback", got.Status, got.Request.URL.Path, row.want.status)
			}
			row.want.wantError(t, a.errs(signin.EventSignInFailed))
			row.want.wantLogged(t, a.log.String()[said:])
			a.wantNoLeak(t)
			if n := a.provider.Stats().Authorizations - asked; n != 1 || a.insideCalls() != 0 {
				t.Errorf("the provider was asked %d times, the handler called %d times; want once and never", n, a.insideCalls())
			}
			start, _ := url.QueryUnescape(got.action(t))
			if row.want == unmet && (!strings.HasSuffix(start, row.page) || !strings.Contains(got.body, "confirm that it is you")) {
				t.Errorf("got %q; want a page that leads back to %s", got.body, row.page)
			}
			want := signintest.Alice().Subject
			if row.person.Subject != want { // then the provider ends her session, and says so with a logout token
				want = notSignedIn
			}
			if got := b.session(); got != held {
				t.Errorf("cookies afterwards: got %q; want those from before", got)
			}
			if b.who() != want || copied.who() != want {
				t.Errorf("signed in afterwards: got %q; want %s", b.who(), want)
			}
			if n := a.provider.LiveRefreshTokens(signintest.Bob().Subject); n != 0 {
				t.Errorf("refresh tokens of the other person: got %d alive; want none", n)
			}
		})
	}
}

// Only a navigation is sent to the provider.
func TestStepUp_NotANavigation(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{})
	b := a.signedIn(signintest.Alice())
	a.clock.add(10 * time.Minute)
	program := b.get("/delete", "Accept: application/json")
	program.want(t, http.StatusUnauthorized, "")
	var problem map[string]any
	err := json.Unmarshal([]byte(program.body), &problem)
	if err != nil || problem["code"] != "step_up_required" || problem["sign_in_url"] != a.server.URL+"/sign-in?max_age=300" {
		t.Errorf("got %q; want a problem document that says where to sign in again", program.body)
	}
	htmx := b.get("/delete", "HX-Request: true", "HX-Current-URL: "+a.server.URL+"/settings")
	htmx.want(t, http.StatusUnauthorized, "")
	if got := htmx.Header.Get("HX-Redirect"); got != "/sign-in?max_age=300&return_to=%2Fsettings" {
		t.Errorf("HX-Redirect: got %q", got)
	}
	// A form leads back to the page that it was on.
	for referer, want := range map[string]string{
		"": "/sign-in?max_age=300", a.server.URL + "/delete": "/sign-in?max_age=300&amp;return_to=%2Fdelete",
		a.server.URL + "/sign-out": "/sign-in?max_age=300", "https://e.test/delete": "/sign-in?max_age=300", "/delete": "/sign-in?max_age=300",
	} {
		form := b.do(http.MethodPost, "/delete", "Referer: "+referer)
		form.want(t, http.StatusUnauthorized, "")
		if !strings.Contains(form.body, `href="`+want+`"`) {
			t.Errorf("a form from %q: got %q; want a link to %s", referer, form.body, want)
		}
	}
	if a.insideCalls() != 0 {
		t.Error("the handler was called")
	}
}

// Logto states the time of an authentication only if asked, and other providers do
// the same with its class. So a step-up for one rule must also ask for what another
// rule demands, even if that is met already.
func TestStepUp_DemandThatIsMet(t *testing.T) {
	t.Parallel()
	mfa := []signintest.Option{signintest.WithACR("mfa")}
	for _, page := range []string{"/fresh-and-strong", "/strong-inside-fresh"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			a := stepUpApp(t, with{config: otherProvider, signIn: []signin.SignInOption{signin.MaxAge(time.Hour)}, provider: mfa})
			a.provider.Inject(faults.IDTokenACRMissing)
			b := a.signedIn(signintest.Alice())
			a.provider.Clear()
			asked := a.provider.Stats().Authorizations
			b.get(page).want(t, http.StatusSeeOther, "/sign-in?acr_values=mfa&max_age=300&return_to="+url.QueryEscape(page))
			got := b.visit(page, signintest.Alice())
			if got.StatusCode != http.StatusOK || got.Request.URL.Path != page || a.insideCalls() != 1 {
				t.Errorf("got %s at %s; want the page", got.Status, got.Request.URL)
			}
			if n := a.provider.Stats().Authorizations - asked; n != 1 {
				t.Errorf("the provider was asked %d times; want once", n)
			}
		})
	}
	t.Run("the demand of another Auth's guard is not asked for", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{config: otherProvider})
		cfg := a.cfg
		cfg.Paths.SignIn = "/staff/in"
		two := a.auth.Require(signin.ACR("mfa"))(newAuth(t, cfg).Require(signin.ACR("phr"))(http.HandlerFunc(a.account)))
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/two", nil)
		r.Header.Set("Accept", "text/html")
		two.ServeHTTP(w, signintest.WithUser(r, &signin.User{Subject: "alice", ACR: "mfa"}))
		answer{w.Result(), ""}.want(t, http.StatusSeeOther, "/staff/in?acr_values=phr&return_to=%2Ftwo")
	})
}

// A guard's demand is part of the first sign-in, so that a password is typed once. If
// the provider does not meet it, the person is signed in nevertheless, and gets a page
// with 403. Anyone can write such a URL, so that is not logged as an error.
func TestStepUp_NotSignedIn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		page, start string
		provider    []signintest.Option
		fault       signintest.Fault
	}{
		{"/vault", "/sign-in?acr_values=mfa+phr&return_to=%2Fvault", []signintest.Option{signintest.WithACR("phr")}, faults.IDTokenACRMissing},
		{"/delete", "/sign-in?max_age=300&return_to=%2Fdelete", nil, faults.IDTokenAuthTimeMissing},
	} {
		a := stepUpApp(t, with{config: otherProvider, provider: row.provider})
		b := a.browser()
		b.get(row.page).want(t, http.StatusSeeOther, row.start)
		got := b.visit(row.page, signintest.Alice())
		if got.StatusCode != http.StatusOK || a.insideCalls() != 1 || a.provider.Stats().Authorizations != 1 {
			t.Errorf("%s: got %s after %d rounds; want the page after one", row.page, got.Status, a.provider.Stats().Authorizations)
		}
		a.provider.Inject(row.fault)
		b = a.browser()
		got = b.visit(row.page, signintest.Alice())
		if got.StatusCode != http.StatusForbidden || got.Request.URL.Path != "/callback" || got.action(t) != row.page || b.who() != signintest.Alice().Subject {
			t.Errorf("%s, unmet: got %s, a link to %q, %s signed in; want 403, the page and Alice", row.page, got.Status, got.action(t), b.who())
		}
		if again := b.get(got.Request.URL.String()); again.StatusCode != http.StatusForbidden || again.action(t) != row.page {
			t.Errorf("%s, unmet, reloaded: got %s; want the same page", row.page, again.Status)
		}
		if logged := a.log.String(); a.insideCalls() != 1 || strings.Contains(logged, "level=ERROR") || len(a.errs(signin.EventRefused)) != 1 {
			t.Errorf("%s, unmet: got %q, handler called %d times; want no error logged, and one refusal", row.page, logged, a.insideCalls())
		}
	}
	// A session that has begun meanwhile is not replaced by one that does not meet it.
	for _, other := range []signintest.User{signintest.Alice(), signintest.Bob()} {
		a := stepUpApp(t, with{config: otherProvider})
		b := a.browser()
		late := b.respond(a.provider, "/sign-in?acr_values=mfa&return_to=%2Fvault", other)
		b.get(b.respond(a.provider, "/sign-in", signintest.Alice())).want(t, http.StatusSeeOther, "/")
		held := b.session()
		b.get(late).want(t, http.StatusForbidden, "")
		if b.session() != held || b.who() != signintest.Alice().Subject {
			t.Errorf("answered late by %s: got %q signed in; want Alice, with her session", other.Subject, b.who())
		}
	}
	// A session that has ended does not tie the sign-in to its person.
	a := stepUpApp(t, with{})
	b := a.signedIn(signintest.Alice())
	a.notify(a.provider.LogoutToken(signintest.Alice().Subject, "")).want(t, http.StatusOK, "")
	if got := b.visit("/sign-in?max_age=60", signintest.Bob()); got.StatusCode != http.StatusOK || b.who() != signintest.Bob().Subject {
		t.Errorf("after a sign-out: got %s, and %q signed in; want Bob", got.Status, b.who())
	}
}

// If the store cannot tell who is signed in, another person could answer a step-up.
func TestStepUp_BrokenStore(t *testing.T) {
	t.Parallel()
	a, _, fail := fragile(t)
	b := a.signedIn(signintest.Alice())
	asked := len(a.provider.AuthorizationRequests())
	fail("store new once")
	got := b.get("/sign-in?max_age=60")
	got.untouched(t, http.StatusServiceUnavailable, signin.ErrStoreUnavailable)
	if start := got.action(t); start != "/sign-in?max_age=60" {
		t.Errorf("got a link to %q; want the same again", start)
	}
	if n := len(a.provider.AuthorizationRequests()); n != asked || b.who() != signintest.Alice().Subject {
		t.Errorf("got %d requests to the provider, %q signed in; want %d, and Alice", n, b.who(), asked)
	}
	// Nor may one that falls short replace a session that cannot be read.
	back := b.respond(a.provider, "/sign-in?max_age=0", signintest.Alice())
	fail("store new")
	b.get(back).untouched(t, http.StatusServiceUnavailable, signin.ErrStoreUnavailable)
	fail("")
	if got := b.who(); got != signintest.Alice().Subject {
		t.Errorf("got %q signed in; want Alice still", got)
	}
}

// Logto never states acr, so people would be sent to a step-up again and again. A rule
// for it is a mistake of the program, and a link that asks for it leads nowhere.
func TestStepUp_ClassesAtLogto(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	class := signin.ACR("mfa")
	for name, mount := range map[string]func(){
		"a rule":                        func() { a.auth.Require(class) },
		"an alternative":                func() { a.auth.Require(signin.AnyOf(signin.HasRole("admin"), class)) },
		"an alternative within another": func() { a.auth.Require(signin.AnyOf(signin.AnyOf(class, signin.HasRole("x")), signin.HasRole("y"))) },
		"a rule for tokens":             func() { a.auth.RequireBearer(ordersAPI, class) },
		"a rule for both":               func() { a.auth.RequireSessionOrBearer(ordersAPI, class) },
	} {
		if said := panicOf(mount); !strings.Contains(said, `"mfa" cannot be met: Logto never`) || !strings.Contains(said, "AuthenticatedWithin") {
			t.Errorf("%s: got panic %q; want one that says why, and what to use", name, said)
		}
	}
	inside := http.HandlerFunc(a.account)
	unbound := httptest.NewRequest("GET", "/", nil)
	a.mount("/checked", a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := signin.UserFrom(r.Context())
		a.auth.HandleError(w, r, class.Check(r, u))
	})))
	a.mount("/rule", a.auth.Require(signin.RuleFunc(class.Check))(inside))
	a.mount("/unbound", a.auth.Require(signin.RuleFunc(func(_ *http.Request, u *signin.User) error {
		return class.Check(unbound, u) // which knows no provider
	}))(inside))
	b := a.signedIn(signintest.Alice())
	for _, page := range []string{"/checked", "/rule", "/unbound"} {
		said := len(a.log.String())
		b.get(page).untouched(t, http.StatusInternalServerError, signin.ErrInternal)
		if logged := a.log.String()[said:]; !strings.Contains(logged, "cannot be met: Logto never") {
			t.Errorf("%s: got log %q; want the reason", page, logged)
		}
	}
	b.get("/sign-in?acr_values=mfa&return_to=%2Faccount").untouched(t, http.StatusBadRequest, signin.ErrBadRequest)
	if a.insideCalls() != 0 || b.who() != signintest.Alice().Subject {
		t.Errorf("the handler was called %d times, %q is signed in; want never, and Alice", a.insideCalls(), b.who())
	}
}
