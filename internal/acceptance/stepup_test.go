package acceptance_test

import (
	"encoding/json"
	"io"
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
	a.mount("/delete", a.auth.Require(signin.AuthenticatedWithin(5*time.Minute))(inside))
	a.mount("/vault", a.auth.Require(signin.ACR("mfa", "phr"))(inside))
	a.mount("/both", a.auth.Require(signin.AuthenticatedWithin(time.Hour), signin.ACR("mfa"), signin.AuthenticatedWithin(time.Minute))(inside))
	a.mount("/common", a.auth.Require(signin.ACR("mfa", "phr"), signin.ACR("phr", "pwd"))(inside))
	// Neither rule says before it is asked what it demands, or Require would panic.
	a.mount("/never", a.auth.Require(all(signin.ACR("mfa")), all(signin.ACR("phr")), all(signin.ACR("mfa")))(inside))
	a.mount("/fresh-and-strong", a.auth.Require(signin.AuthenticatedWithin(5*time.Minute), signin.ACR("mfa"))(inside))
	a.mount("/strong-inside-fresh", a.auth.Require(signin.AuthenticatedWithin(5*time.Minute))(a.auth.Require(signin.ACR("mfa"))(inside)))
	a.mount("/either", a.auth.Require(signin.AnyOf(all(signin.AuthenticatedWithin(5*time.Minute), signin.HasRole("owner")), signin.ACR("mfa")))(inside))
	a.mount("/owners", a.auth.Require(signin.AuthenticatedWithin(5*time.Minute), signin.HasRole("owner"))(inside))
	return a
}

// all is a rule of an application's own.
func all(rules ...signin.Rule) signin.Rule {
	return signin.RuleFunc(func(r *http.Request, u *signin.User) error {
		for _, rule := range rules {
			if err := rule.Check(r, u); err != nil {
				return err
			}
		}
		return nil
	})
}

// visit goes to a page as a person who answers whatever the provider asks.
func (b *browser) visit(path string, u signintest.User) answer {
	b.app.t.Helper()
	follow := *b.Client
	follow.CheckRedirect = nil
	resp := b.app.provider.Visit(b.app.t, &follow, b.app.server.URL+path, u)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.app.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

// CASES 7.4: an unmet step-up is a new sign-in, and back.
func TestAStepUp(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{provider: []signintest.Option{signintest.WithAccessTokenLifetime(2 * time.Minute)}})
	b := a.signedIn(signintest.Alice())
	before := b.session()
	first := b.get("/delete")
	first.want(t, http.StatusSeeOther, "/sign-in?max_age=300&return_to=%2Fdelete")
	if a.insideCalls() != 0 {
		t.Error("the handler was called before the step-up")
	}
	got := b.visit("/delete", signintest.Alice())
	if got.StatusCode != http.StatusOK || got.Request.URL.Path != "/delete" || a.insideCalls() != 1 {
		t.Fatalf("got %s at %s, handler called %d times; want the page", got.Status, got.Request.URL.Path, a.insideCalls())
	}
	if sent := a.lastRequest(); sent.Effective.Get("max_age") != "300" || sent.Effective.Get("prompt") != "login consent" {
		t.Errorf("got max_age %q and prompt %q; want 300, and Logto asked to ask again", sent.Effective.Get("max_age"), sent.Effective.Get("prompt"))
	}
	if b.session() == before {
		t.Error("got the old session; want a new one")
	}
	b.get("/delete").want(t, http.StatusOK, "")
	t.Run("when it happened survives a refresh, whose ID token does not say", func(t *testing.T) {
		a.clock.add(4 * time.Minute)
		a.provider.Inject(faults.IDTokenAuthTimeMissing)
		defer a.provider.Clear()
		b.get("/delete").want(t, http.StatusOK, "")
		if a.provider.Stats().Refreshes == 0 {
			t.Error("the session was not refreshed")
		}
	})
	a.clock.add(3 * time.Minute)
	b.get("/delete").want(t, http.StatusSeeOther, "/sign-in?max_age=300")
}

// A step-up cannot loop: each attempt that does not help ends in one 403, and each
// further one costs a click.
func TestAStepUpThatDoesNotHelp(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, page string
		fault      signintest.Fault
		person     signintest.User
	}{
		{"auth_time is missing", "/delete", faults.IDTokenAuthTimeMissing, signintest.Alice()},
		{"auth_time is zero", "/delete", faults.IDTokenAuthTimeZero, signintest.Alice()},
		{"auth_time is old", "/delete", faults.IDTokenAuthTimeStale, signintest.Alice()},
		{"max_age is ignored", "/delete", faults.IgnoreMaxAge, signintest.Alice()},
		{"the class is another", "/vault", "", signintest.Alice()},
		{"somebody else answers", "/delete", "", signintest.Bob()},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := stepUpApp(t, with{})
			b := a.signedIn(signintest.Alice())
			copied := b.copyOf()
			a.clock.add(10 * time.Minute)
			if row.fault != "" {
				a.provider.Inject(row.fault)
			}
			asked := a.provider.Stats().Authorizations
			got := b.visit(row.page, row.person)
			if got.StatusCode != http.StatusForbidden || got.Request.URL.Path != "/callback" {
				t.Fatalf("got %s at %s; want 403 from the callback", got.Status, got.Request.URL.Path)
			}
			if n := a.provider.Stats().Authorizations - asked; n != 1 {
				t.Errorf("the provider was asked %d times; want once", n)
			}
			if !strings.Contains(got.body, `href="`+row.page+`"`) || !strings.Contains(got.body, "confirm that it is you") {
				t.Errorf("got %q; want a page that links to %s", got.body, row.page)
			}
			if a.insideCalls() != 0 {
				t.Error("the handler was called")
			}
			if b.who() != "alice0000001" || copied.who() != "alice0000001" {
				t.Error("the session did not stand")
			}
			if n := a.provider.LiveRefreshTokens(signintest.Bob().Subject); n != 0 {
				t.Errorf("got %d live refresh tokens of whoever answered; want none", n)
			}
		})
	}
}

// Only a navigation is sent to the provider.
func TestAStepUpOfWhatDoesNotNavigate(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{})
	b := a.signedIn(signintest.Alice())
	program := b.get("/delete", "Accept: application/json")
	program.want(t, http.StatusUnauthorized, "")
	var problem struct {
		Code   string `json:"code"`
		SignIn string `json:"sign_in_url"`
	}
	if err := json.Unmarshal([]byte(program.body), &problem); err != nil || problem.Code != "step_up_required" || problem.SignIn != a.server.URL+"/sign-in?max_age=300" {
		t.Errorf("got %q; want a problem document that says where to sign in again", program.body)
	}
	form := b.do(http.MethodPost, "/delete")
	form.want(t, http.StatusUnauthorized, "")
	if !strings.Contains(form.body, `href="/sign-in?max_age=300"`) {
		t.Errorf("got %q; want a page with a way to sign in again", form.body)
	}
	htmx := b.get("/delete", "HX-Request: true", "HX-Current-URL: "+a.server.URL+"/settings")
	htmx.want(t, http.StatusUnauthorized, "")
	if got := htmx.Header.Get("HX-Redirect"); got != "/sign-in?max_age=300&return_to=%2Fsettings" {
		t.Errorf("HX-Redirect: got %q", got)
	}
	if a.insideCalls() != 0 {
		t.Error("the handler was called")
	}
}

func TestSeveralDemands(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{config: func(c *signin.Config) { c.Scopes = []string{"roles"} }})
	b := a.signedIn(signintest.Alice())
	b.get("/both").want(t, http.StatusSeeOther, "/sign-in?acr_values=mfa&max_age=60&return_to=%2Fboth")
	b.get("/common").want(t, http.StatusSeeOther, "/sign-in?acr_values=phr&return_to=%2Fcommon")
	b.get("/never").want(t, http.StatusForbidden, "") // no sign-in meets both
	// A page that is not theirs is no reason to sign in again.
	b.get("/owners").want(t, http.StatusForbidden, "")
}

// Logto says when somebody authenticated only if it was asked, others their class
// too: a step-up for one rule must not lose what another holds for.
func TestADemandThatIsMetIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"/fresh-and-strong", "/strong-inside-fresh"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			a := stepUpApp(t, with{signIn: []signin.SignInOption{signin.MaxAge(time.Hour)}, provider: []signintest.Option{signintest.WithACR("mfa")}})
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
	t.Run("but not what another Auth's guard has found met", func(t *testing.T) {
		t.Parallel()
		a := stepUpApp(t, with{provider: []signintest.Option{signintest.WithACR("mfa")}, signIn: []signin.SignInOption{signin.ACRValues("mfa")}})
		cfg := a.cfg
		cfg.CookieName, cfg.Paths.SignIn, cfg.Paths.Callback, cfg.Paths.SignOut, cfg.Paths.BackChannelLogout = "staff", "/staff/in", "/staff/cb", "/staff/out", "/staff/bc"
		staff, err := signin.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		a.provider.RegisterRedirectURIs(a.server.URL + "/staff/cb")
		a.mount("/staff/in", staff.SignIn())
		a.mount("/staff/cb", staff.Callback())
		a.mount("/two", a.auth.Require(signin.ACR("mfa"))(staff.Require(signin.ACR("phr"))(http.HandlerFunc(a.account))))
		b := a.signedIn(signintest.Alice())
		if got := b.visit("/staff/in", signintest.Alice()); got.StatusCode != http.StatusOK {
			t.Fatalf("got %s; want staff signed in", got.Status)
		}
		b.get("/two").want(t, http.StatusSeeOther, "/staff/in?acr_values=phr&return_to=%2Ftwo")
	})
	t.Run("but not one of a way that is closed", func(t *testing.T) {
		t.Parallel()
		a := stepUpApp(t, with{config: func(c *signin.Config) { c.Scopes = []string{"roles"} }, signIn: []signin.SignInOption{signin.MaxAge(time.Hour)}})
		a.signedIn(signintest.Alice()).get("/either").want(t, http.StatusSeeOther, "/sign-in?acr_values=mfa&return_to=%2Feither")
	})
	t.Run("nor where both cannot be had at once", func(t *testing.T) {
		t.Parallel()
		a := stepUpApp(t, with{provider: []signintest.Option{signintest.WithACR("mfa")}})
		b := a.signedIn(signintest.Alice())
		b.get("/never").want(t, http.StatusForbidden, "")
	})
}

// The query of the sign-in route can only ask for more.
func TestTheStepUpQuery(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, query string
		route       []signin.SignInOption
		status      int
		want        map[string]string // parameters of the authorization request
	}{
		{"more than the route's", "max_age=60", []signin.SignInOption{signin.MaxAge(time.Hour)}, 303, map[string]string{"max_age": "60"}},
		{"less than the route's", "max_age=3600", []signin.SignInOption{signin.MaxAge(time.Minute)}, 303, map[string]string{"max_age": "60"}},
		{"not at all", "", []signin.SignInOption{signin.MaxAge(time.Minute)}, 303, map[string]string{"max_age": "60"}},
		{"zero", "max_age=0", nil, 303, map[string]string{"max_age": "0", "prompt": "login consent"}},
		{"a silent route asks", "max_age=60", []signin.SignInOption{signin.Prompt("none")}, 303, map[string]string{"prompt": "login consent"}},
		{"classes", "acr_values=a+b", nil, 303, map[string]string{"acr_values": "a b"}},
		{"fewer classes than the route's", "acr_values=a+c", []signin.SignInOption{signin.ACRValues("a", "b")}, 303, map[string]string{"acr_values": "a"}},
		{"other classes than the route's", "acr_values=pwd", []signin.SignInOption{signin.ACRValues("mfa")}, 400, nil},
		{"a route that asks again still does", "max_age=999999", []signin.SignInOption{signin.Prompt("login")}, 303, map[string]string{"prompt": "login consent"}},
		{"not a number", "max_age=x", nil, 400, nil},
		{"negative", "max_age=-1", nil, 400, nil},
		{"a fraction", "max_age=1.5", nil, 400, nil},
		{"endless", "max_age=99999999999", nil, 400, nil},
		{"control characters", "acr_values=a%00b", nil, 400, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{signIn: row.route})
			got := a.browser().get("/sign-in?" + row.query)
			if got.StatusCode != row.status {
				t.Fatalf("got %d (%s); want %d", got.StatusCode, got.body, row.status)
			}
			if row.status != http.StatusSeeOther {
				return
			}
			to, err := url.Parse(got.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			sent := to.Query()
			for name, want := range row.want {
				if sent.Get(name) != want {
					t.Errorf("%s: got %q; want %q", name, sent.Get(name), want)
				}
			}
		})
	}
}

// Anybody can write such a URL: it ends in a page, and not in an error for whoever is
// on call.
func TestADemandOfNobodyInParticular(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"acr_values=mfa", "max_age=60"} {
		a := newApp(t, with{})
		a.provider.Inject(faults.IDTokenAuthTimeMissing)
		b := a.browser()
		got := b.visit("/sign-in?"+query, signintest.Alice())
		if got.StatusCode != http.StatusForbidden || b.who() != "nobody" {
			t.Errorf("%s: got %s, and %s signed in; want 403 and nobody", query, got.Status, b.who())
		}
		if logged := a.log.String(); strings.Contains(logged, "level=ERROR") {
			t.Errorf("%s: got %q; want no error logged", query, logged)
		}
	}
}

// A form that cannot be sent any more leads back to the page it stood on.
func TestAFormThatComesTooLate(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{})
	b := a.signedIn(signintest.Alice())
	for referer, want := range map[string]string{
		a.server.URL + "/delete": "/sign-in?max_age=300&amp;return_to=%2Fdelete", a.server.URL + "/sign-out": "/sign-in?max_age=300",
		"https://e.test/delete": "/sign-in?max_age=300", "/delete": "/sign-in?max_age=300",
	} {
		form := b.do(http.MethodPost, "/delete", "Referer: "+referer)
		form.want(t, http.StatusUnauthorized, "")
		if !strings.Contains(form.body, `href="`+want+`"`) {
			t.Errorf("from %s: got %q; want a link to %s", referer, form.body, want)
		}
	}
}

// At a provider that is not Logto, where nothing but the options asks for "login".
func TestTheStepUpQueryLeavesThePrompt(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{
		config: func(c *signin.Config) { c.Issuer, c.LogtoEndpoint = c.LogtoEndpoint+"/oidc", "" },
		signIn: []signin.SignInOption{signin.Prompt("login")},
	})
	to, err := url.Parse(a.browser().get("/sign-in?max_age=999999").Header.Get("Location"))
	if err != nil || to.Query().Get("prompt") != "login" {
		t.Errorf("got %v, %v; want prompt=login", to, err)
	}
}

// A session that is over ties nobody's sign-in to its person.
func TestAStepUpInABrowserWhoseSessionIsOver(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{})
	b := a.signedIn(signintest.Alice())
	a.notify(a.provider.LogoutToken(signintest.Alice().Subject, "")).want(t, http.StatusOK, "")
	if got := b.visit("/sign-in?max_age=60", signintest.Bob()); got.StatusCode != http.StatusOK || b.who() != signintest.Bob().Subject {
		t.Errorf("got %s, and %q signed in; want Bob", got.Status, b.who())
	}
}

// While it cannot be told who is signed in, a step-up would let anyone answer.
func TestAStepUpWhileTheStoreIsBroken(t *testing.T) {
	t.Parallel()
	store := new(faltering)
	a := newApp(t, with{config: func(c *signin.Config) {
		everyStore()["FilesystemStore"](t.TempDir())(c)
		store.Store, c.Store = c.Store, store
	}})
	b := a.signedIn(signintest.Alice())
	asked := len(a.provider.AuthorizationRequests())
	store.left.Store(1)
	got := b.get("/sign-in?max_age=60")
	store.left.Store(0)
	got.untouched(t, http.StatusServiceUnavailable, signin.ErrStoreUnavailable)
	if n := len(a.provider.AuthorizationRequests()); n != asked || b.who() != signintest.Alice().Subject {
		t.Errorf("got %d requests to the provider, %q signed in; want %d, and Alice still", n, b.who(), asked)
	}
}

// A test of an application follows the redirect of a guard with its user.
func TestATestUserIsSentToAStepUp(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	r := signintest.WithUser(httptest.NewRequest(http.MethodGet, "/sign-in?max_age=60", nil), &signin.User{Subject: "u"})
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	a.auth.SignIn().ServeHTTP(w, r)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.Contains(to, "max_age=60") {
		t.Errorf("got %d to %q; want 303 to the provider, with max_age=60", w.Code, to)
	}
}
