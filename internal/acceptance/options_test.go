package acceptance_test

import (
	"errors"
	"maps"
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

// beyondFlow returns the parameters of a request that an option has added.
func beyondFlow(q url.Values) string {
	q = maps.Clone(q)
	for _, name := range []string{"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method"} {
		q.Del(name)
	}
	return q.Encode()
}

// Every option arrives at the provider, together with prompt=consent, without which
// Logto gives no refresh token.
func TestSignInOption(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for _, row := range []struct {
		name string
		opts []signin.SignInOption
		want string
	}{
		{"no option", nil, "prompt=consent"},
		{"the zero option", make([]signin.SignInOption, 1), "prompt=consent"},
		{"FirstScreen", []signin.SignInOption{signin.FirstScreen(signin.ScreenRegister)}, "first_screen=register&prompt=login+consent"},
		{"Identifiers", []signin.SignInOption{signin.FirstScreen(signin.ScreenIdentifierSignIn),
			signin.Identifiers(signin.IdentifierEmail, signin.IdentifierPhone)}, "first_screen=identifier%3Asign_in&identifier=email+phone&prompt=login+consent"},
		{"Social", []signin.SignInOption{signin.Social("naver")}, "direct_sign_in=social%3Anaver&prompt=login+consent"},
		{"EnterpriseSSO", []signin.SignInOption{signin.EnterpriseSSO("c0nn-1")}, "direct_sign_in=sso%3Ac0nn-1&prompt=login+consent"},
		{"LoginHint", []signin.SignInOption{signin.LoginHint("a+b@example.test")}, "login_hint=a%2Bb%40example.test&prompt=consent"},
		{"Prompt", []signin.SignInOption{signin.Prompt("login")}, "prompt=login+consent"},
		{"Prompt none, to which nothing is added", []signin.SignInOption{signin.Prompt("none")}, "prompt=none"},
		{"MaxAge zero, which is not the same as no option", []signin.SignInOption{signin.MaxAge(0)}, "max_age=0&prompt=consent"},
		{"Social, for people whom Logto may remember", []signin.SignInOption{signin.Social("naver"), signin.Prompt("consent")},
			"direct_sign_in=social%3Anaver&prompt=consent"},
		{"UILocales", []signin.SignInOption{signin.UILocales("ko-KR", "en")}, "prompt=consent&ui_locales=ko-KR+en"},
		{"OrganizationBranding", []signin.SignInOption{signin.OrganizationBranding("org_one")}, "organization_id=org_one&prompt=consent"},
		{"ExtraParam", []signin.SignInOption{signin.ExtraParam("theme", "dark & bright"), signin.ExtraParam("beta", "0"), signin.ExtraParam("beta", "1")},
			"beta=1&prompt=consent&theme=dark+%26+bright"},
		{"ReturnTo", []signin.SignInOption{signin.ReturnTo("/x")}, "prompt=consent"},
		{"the later of two options", []signin.SignInOption{signin.UILocales("en"), signin.Social("x"), signin.UILocales("ko"), signin.EnterpriseSSO("acme"),
			signin.MaxAge(time.Hour), signin.MaxAge(time.Minute)}, "direct_sign_in=sso%3Aacme&max_age=60&prompt=login+consent&ui_locales=ko"},
	} {
		for way, start := range map[string]func(http.ResponseWriter, *http.Request){
			"SignIn": a.auth.SignIn(row.opts...),
			"BeginSignIn": func(w http.ResponseWriter, r *http.Request) {
				location, err := a.auth.BeginSignIn(w, r, row.opts...)
				if err != nil {
					t.Errorf("%s: BeginSignIn: got error %v; want none", row.name, err)
				}
				w.Header().Set("Location", location)
			},
		} {
			w := httptest.NewRecorder()
			start(w, httptest.NewRequest("GET", "/begin", nil))
			a.browser().get(w.Header().Get("Location"))
			last := a.lastRequest()
			want, err := url.ParseQuery(row.want)
			if err != nil {
				t.Fatal(err)
			}
			if !want.Has("max_age") {
				want.Set("max_age", "315360000") // ten years, to be told auth_time
			}
			if asked, effective := beyondFlow(last.Asked), beyondFlow(last.Effective); asked != want.Encode() || effective != want.Encode() {
				t.Errorf("%s by %s: got %q asked, %q in effect; want %q", row.name, way, asked, effective, want.Encode())
			}
		}
	}
}

func TestSignInOption_OfConfig(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{
		config: func(c *signin.Config) {
			c.SignInOptions = []signin.SignInOption{signin.UILocales("ko"), signin.LoginHint("config@example.test"), signin.ReturnTo("/from-config")}
		},
		signIn: []signin.SignInOption{signin.LoginHint("route@example.test")},
	})
	const want = "login_hint=route%40example.test&max_age=315360000&prompt=consent&ui_locales=ko"
	b := a.browser()
	guard := b.get("/account")
	b.get(b.get(guard.Header.Get("Location")).Header.Get("Location"))
	if got := beyondFlow(a.lastRequest().Asked); got != want {
		t.Errorf("a sign-in that a guard starts: got %q; want %q", got, want)
	}
	if got := b.visit("/sign-in", signintest.Bob()).Request.URL.Path; got != "/from-config" {
		t.Errorf("got to %s; want /from-config", got)
	}
	begun, err := a.auth.BeginSignIn(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if u, _ := url.Parse(begun); err != nil || u.Query().Get("login_hint") != "config@example.test" {
		t.Errorf("BeginSignIn: got %q, %v; want the Config's login hint", begun, err)
	}
}

// A mistake in an option never reaches a browser; package authflow tests them all.
func TestSignInOption_Mistake(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for name, opts := range map[string][]signin.SignInOption{
		"FirstScreen":         {signin.FirstScreen("sign_up")},
		"Identifiers":         {signin.Identifiers(signin.IdentifierEmail)},
		"OneTimeToken":        {signin.OneTimeToken("", "")},
		"MaxAge":              {signin.MaxAge(-time.Second)},
		"ReturnTo":            {signin.ReturnTo("https://e.test/")},
		`ExtraParam: "state"`: {signin.ExtraParam("state", "x")},

		`Prompt: "select_account"`: {signin.Prompt("login", "select_account")}, // Logto does not have these
		`ExtraParam: "prompt"`:     {signin.ExtraParam("prompt", "select_account")},
		`ACRValues: "mfa"`:         {signin.ACRValues("mfa")},
		`ExtraParam: "acr_values"`: {signin.ExtraParam("acr_values", "mfa")},
	} {
		option, _, _ := strings.Cut(name, ":")
		w := httptest.NewRecorder()
		location, err := a.auth.BeginSignIn(w, httptest.NewRequest("GET", "/", nil), opts...)
		var e *signin.Error
		if !errors.As(err, &e) || e.Code != signin.ErrBadRequest || e.Status != http.StatusBadRequest || !strings.Contains(err.Error(), option) {
			t.Errorf("%s: BeginSignIn: got error %v; want ErrBadRequest that names the option", name, err)
		}
		if location != "" || len(w.Header()) > 0 {
			t.Errorf("%s: BeginSignIn: got location %q, headers %v; want nothing", name, location, w.Header())
		}
		if got := panicOf(func() { a.auth.SignIn(opts...) }); !strings.Contains(got, option) {
			t.Errorf("%s: SignIn: got panic %q; want one that names the option", name, got)
		}
		cfg := goodConfig()
		cfg.SignInOptions = opts
		if _, err := signin.New(cfg); err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("%s: New: got error %v; want one that names the option", name, err)
		}
	}
	if got := panicOf(func() { a.auth.SignIn(signin.OneTimeToken("token", "a@example.test")) }); !strings.Contains(got, "OneTimeToken") {
		t.Errorf("SignIn with one person's OneTimeToken: got panic %q; want one that names the option", got)
	}
}

// A provider that lists its scopes, without offline_access, is not asked for
// it, and so Logto needs no consent.
func TestScopes_OfflineAccessNotListed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		scopes        []string
		scope, prompt string
	}{
		{nil, "openid profile", ""},
		{[]string{"offline_access"}, "openid profile offline_access", "consent"}, // the application has named it
	} {
		a := newApp(t, with{config: func(c *signin.Config) {
			c.Scopes = row.scopes
			c.HTTPClient = &http.Client{Transport: metadata(func(doc map[string]any) { doc["scopes_supported"] = []string{"openid"} })}
		}})
		for range 2 { // the first must not spoil the second
			b := a.browser()
			b.get(b.get("/sign-in").Header.Get("Location"))
			if q := a.lastRequest().Asked; q.Get("scope") != row.scope || q.Get("prompt") != row.prompt {
				t.Errorf("got scope %q, prompt %q; want %q, %q", q.Get("scope"), q.Get("prompt"), row.scope, row.prompt)
			}
		}
	}
}

// A request that no person made starts no sign-in: no cookie, no redirect.
func TestSignIn_NotANavigation(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.browser()
	b.get("/sign-in?return_to=/x", "Sec-Purpose: prefetch", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document").
		untouched(t, http.StatusUnauthorized, signin.ErrNotSignedIn)
	b.do(http.MethodHead, "/sign-in").want(t, http.StatusUnauthorized, "")
	if cookies := b.cookies(); cookies != "" {
		t.Errorf("got cookies %q; want none", cookies)
	}
}

// After a silent sign-in has failed, the browser is quiet: no other one is tried
// for five minutes.
func TestSilentSignIn(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{signIn: []signin.SignInOption{signin.Prompt("none")}})
	b := a.browser()
	try := func(want bool) {
		t.Helper()
		before := len(a.provider.AuthorizationRequests())
		b.onward(b.get("/sign-in?return_to=/shop%3Fa=b")).want(t, http.StatusSeeOther, "/shop?a=b")
		if got := len(a.provider.AuthorizationRequests()) > before; got != want {
			t.Errorf("the provider was asked: got %t; want %t", got, want)
		}
	}
	try(true)
	if got := b.who(); got != notSignedIn {
		t.Errorf("got %q; want no user signed in", got)
	}
	try(false)
	a.clock.add(4 * time.Minute)
	try(false)
	a.clock.add(2 * time.Minute)
	try(true)
	if got := a.kinds(); len(got) > 0 {
		t.Errorf("got events %v; want none: nothing went wrong", got)
	}
	// A person with a session at the provider is signed in without a page.
	silent := a.signInAtProvider(signintest.Bob())
	silent.onward(silent.get("/sign-in?return_to=/x")).want(t, http.StatusSeeOther, "/x")
	if got := silent.who(); got != signintest.Bob().Subject {
		t.Errorf("got %q; want Bob", got)
	}
}

// signInAtProvider returns a browser in which a person is signed in at the
// provider and not at the application.
func (a *app) signInAtProvider(u signintest.User) *browser {
	a.t.Helper()
	b := a.browser()
	location, err := a.auth.BeginSignIn(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), signin.Prompt("login"))
	if err != nil {
		a.t.Fatal(err)
	}
	// The callback refuses: this browser has no attempt under way.
	a.provider.Visit(a.t, b.Client, location, u)
	return b
}

// Where every sign-in is silent, a guard does not send people in circles.
func TestSilentSignIn_Guard(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{config: func(c *signin.Config) { c.SignInOptions = []signin.SignInOption{signin.Prompt("none")} }})
	b := a.browser()
	next := b.get("/account")
	for range 10 {
		target, err := next.Location()
		if err != nil {
			break
		}
		next = b.get(target.String())
	}
	next.untouched(t, http.StatusUnauthorized, signin.ErrNotSignedIn)
	// A page that loads a part of itself would go in the same circle by htmx.
	part := b.get("/account", "HX-Request: true", "HX-Current-URL: "+a.server.URL+"/shop")
	if part.want(t, http.StatusUnauthorized, ""); part.Header.Get("HX-Redirect") != "" {
		t.Errorf("htmx: got HX-Redirect %q; want none", part.Header.Get("HX-Redirect"))
	}
	// A user who is signed in still gets to a step-up.
	alice := a.signInAtProvider(signintest.Alice())
	alice.onward(alice.get("/sign-in"))
	alice.plant(&http.Cookie{Name: "signin.quiet", Value: b.cookie("signin.quiet")})
	if got := alice.who(); got != signintest.Alice().Subject || b.cookie("signin.quiet") == "" {
		t.Fatalf("got %q signed in, and cookies %q elsewhere; want Alice, and a quiet browser", got, b.cookies())
	}
	a.clock.add(7 * time.Minute)
	b.onward(b.get("/sign-in"))
	alice.plant(&http.Cookie{Name: "signin.quiet", Value: b.cookie("signin.quiet")})
	alice.get("/delete").want(t, http.StatusSeeOther, "/sign-in?max_age=300&return_to=%2Fdelete")
	a.clock.add(6 * time.Minute)
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
}

// A silent route does not prevent ordinary sign-ins, and a page that tries a silent
// sign-in is shown once that has failed.
func TestSilentSignIn_RouteAndPage(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	a.mount("/silent", a.auth.SignIn(signin.Prompt("none")))
	a.mount("/quiet", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		location, err := a.auth.BeginSignIn(w, r, signin.Prompt("none"), signin.ReturnTo("/quiet"))
		if errors.Is(err, signin.ErrNotSignedIn) {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	}))
	b := a.browser()
	b.onward(b.get("/silent")).want(t, http.StatusSeeOther, "/")
	if b.cookie("signin.quiet") == "" {
		t.Fatal("the browser is not quiet")
	}
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
	c := a.browser()
	c.onward(c.get("/quiet")).want(t, http.StatusSeeOther, "/quiet")
	c.get("/quiet").want(t, http.StatusTeapot, "")
	if n := len(a.provider.AuthorizationRequests()); n != 2 {
		t.Errorf("the provider was asked %d times; want once for each browser", n)
	}
}

func TestBeginSignIn(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	w := httptest.NewRecorder()
	location, err := a.auth.BeginSignIn(w, httptest.NewRequest("POST", "/login", nil), signin.OneTimeToken("t0ken", "bob@example.test"))
	u, _ := url.Parse(location)
	q := u.Query()
	if err != nil || !strings.HasPrefix(location, a.provider.Issuer+"/auth?") || q.Get("one_time_token")+q.Get("login_hint") != "t0kenbob@example.test" {
		t.Errorf("got %q, %v; want the authorization endpoint, with the token and whom it is for", location, err)
	}
	wantCookies(t, "begun", answer{w.Result(), ""}, false, "signin.tx.* 7200")
	if w.Result().Cookies()[0].Name != "signin.tx."+q.Get("state") || w.Body.Len() > 0 || w.Header().Get("Location") != "" {
		t.Errorf("got cookies %v, headers %q; want the attempt's, and the answer left to the caller", w.Result().Cookies(), w.Header())
	}
	a.provider.Down()
	a.start()
	w = httptest.NewRecorder()
	location, err = a.auth.BeginSignIn(w, httptest.NewRequest("GET", "/", nil))
	if location != "" || !errors.Is(err, signin.ErrProviderUnavailable) || len(w.Header()) > 0 {
		t.Errorf("provider down: got %q, %v and headers %q; want %v alone", location, err, w.Header(), signin.ErrProviderUnavailable)
	}
	if failed := a.errs(signin.EventSignInFailed); len(failed) != 1 || !errors.Is(failed[0], signin.ErrProviderUnavailable) {
		t.Errorf("events: got %v; want one sign-in that failed", failed)
	}
}

// With another provider, "Sign up" is prompt=create if the provider lists it, and an
// ordinary sign-in if not; what Logto alone has is a mistake.
func TestSignInOption_OtherProvider(t *testing.T) {
	t.Parallel()
	for _, listed := range [][]string{{"none", "create"}, {"login"}, nil} {
		a := newApp(t, with{config: func(c *signin.Config) {
			otherProvider(c)
			c.SignInOptions = nil
			c.HTTPClient = &http.Client{Transport: metadata(func(doc map[string]any) { doc["prompt_values_supported"] = listed })}
		}})
		want := ""
		if slices.Contains(listed, "create") {
			want = "create"
		}
		location, err := a.auth.BeginSignIn(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), signin.FirstScreen(signin.ScreenRegister))
		u, _ := url.Parse(location)
		if err != nil || u.Query().Get("prompt") != want || u.Query().Has("first_screen") {
			t.Errorf("%v listed: got %q, %v; want the prompt %q", listed, location, err, want)
		}
		for name, option := range map[string]signin.SignInOption{
			"FirstScreen": signin.FirstScreen(signin.ScreenResetPassword), "Social": signin.Social("naver"), "EnterpriseSSO": signin.EnterpriseSSO("x"),
			"OrganizationBranding": signin.OrganizationBranding("x"), "OneTimeToken": signin.OneTimeToken("t", "a@b.c"),
		} {
			if said := panicOf(func() { a.auth.SignIn(option) }); !strings.Contains(said, name) || !strings.Contains(said, "for Logto only") {
				t.Errorf("%s: got panic %q; want one that says it is for Logto only", name, said)
			}
		}
	}
}

// "Sign up" and "Naver" never sign in the person whom Logto remembers.
func TestSignInOption_PersonRemembered(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.signInAtProvider(signintest.Bob())
	for name, option := range map[string]signin.SignInOption{
		"a screen": signin.FirstScreen(signin.ScreenRegister), "a connector": signin.Social("naver"), "an enterprise": signin.EnterpriseSSO("acme"),
	} {
		path := "/" + strings.ReplaceAll(name, " ", "-")
		a.mount(path, a.auth.SignIn(option))
		if next := b.get(b.get(path).Header.Get("Location")).Header.Get("Location"); strings.Contains(next, "/callback") {
			t.Errorf("%s: got sent on to %q; want a page of the provider", name, next)
		}
	}
}

// What a provider answers to a sign-in is named to operators, and never quoted to people.
func TestCallback_ErrorNamesItsCause(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Resources = []string{"https://api.example.com"} }})
	for _, row := range []struct {
		code   string
		status int
		want   signin.Code
		log    string
	}{
		{"invalid_target", http.StatusBadGateway, signin.ErrProviderMisconfigured, "https://api.example.com"},
		{"invalid_scope", http.StatusBadGateway, signin.ErrProviderMisconfigured, "offline_access"},
		{"server_error", http.StatusServiceUnavailable, signin.ErrProviderUnavailable, "server_error"},
		{"unmet_authentication_requirements", http.StatusForbidden, signin.ErrStepUpFailed, "classes"},
		{"interaction_required", http.StatusForbidden, signin.ErrDeclined, "interaction_required"},
	} {
		said := len(a.log.String())
		b := a.browser()
		back, _ := url.Parse(b.respond(a.provider, "/sign-in", signintest.Alice()))
		q := back.Query()
		q.Del("code")
		q.Set("error", row.code)
		q.Set("error_description", "c4nary")
		back.RawQuery = q.Encode()
		got := b.get(back.String())
		got.want(t, row.status, "")
		logged, failed := a.log.String()[said:], a.errs(signin.EventSignInFailed)
		last := failed[len(failed)-1]
		if !errors.Is(last, row.want) || !strings.Contains(last.Error(), `"`+row.code+`"`) || !strings.Contains(last.Error(), row.log) ||
			!strings.Contains(logged, row.code) || strings.Contains(logged+got.body, "c4nary") {
			t.Errorf("%s: got event %v, log %q; want %v with %s", row.code, last, logged, row.want, row.log)
		}
		if soon := strings.Contains(got.body, "in a moment"); soon != (row.status == http.StatusServiceUnavailable) {
			t.Errorf("%s: got %q; want it to say \"in a moment\" only of what may pass", row.code, got.body)
		}
	}
}
