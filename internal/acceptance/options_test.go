package acceptance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
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

// lastRequest is the authorization request that the provider has seen last.
func (a *app) lastRequest() signintest.AuthorizationRequest {
	all := a.provider.AuthorizationRequests()
	if len(all) == 0 {
		return signintest.AuthorizationRequest{}
	}
	return all[len(all)-1]
}

// flowParams are in every authorization request.
var flowParams = []string{"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method"}

// beyondFlow returns the parameters of a request that an option has added.
func beyondFlow(q url.Values) string {
	q = maps.Clone(q)
	for _, name := range flowParams {
		q.Del(name)
	}
	return q.Encode()
}

// options are all of them, with what Logto has to be asked besides
// prompt=consent.
var options = []struct {
	name string
	opts []signin.SignInOption
	want string
}{
	{"no option", nil, "prompt=consent"},
	{"the zero option", make([]signin.SignInOption, 1), "prompt=consent"},
	{"FirstScreen for a sign-up button", []signin.SignInOption{signin.FirstScreen(signin.ScreenRegister)}, "first_screen=register&prompt=consent"},
	{"FirstScreen for signing in", []signin.SignInOption{signin.FirstScreen(signin.ScreenSignIn)}, "first_screen=sign_in&prompt=consent"},
	{"FirstScreen for a forgotten password", []signin.SignInOption{signin.FirstScreen(signin.ScreenResetPassword)}, "first_screen=reset_password&prompt=consent"},
	{"FirstScreen for enterprises", []signin.SignInOption{signin.FirstScreen(signin.ScreenSingleSignOn)}, "first_screen=single_sign_on&prompt=consent"},
	{"Identifiers, in the singular that Logto reads", []signin.SignInOption{signin.FirstScreen(signin.ScreenIdentifierSignIn),
		signin.Identifiers(signin.IdentifierEmail, signin.IdentifierPhone)}, "first_screen=identifier%3Asign_in&identifier=email+phone&prompt=consent"},
	{"Identifiers of a sign-up", []signin.SignInOption{signin.FirstScreen(signin.ScreenIdentifierRegister),
		signin.Identifiers(signin.IdentifierUsername)}, "first_screen=identifier%3Aregister&identifier=username&prompt=consent"},
	{"Social for Naver", []signin.SignInOption{signin.Social("naver")}, "direct_sign_in=social%3Anaver&prompt=consent"},
	{"Social for X", []signin.SignInOption{signin.Social("x")}, "direct_sign_in=social%3Ax&prompt=consent"},
	{"EnterpriseSSO", []signin.SignInOption{signin.EnterpriseSSO("c0nn-1")}, "direct_sign_in=sso%3Ac0nn-1&prompt=consent"},
	{"LoginHint", []signin.SignInOption{signin.LoginHint("a+b@example.test")}, "login_hint=a%2Bb%40example.test&prompt=consent"},
	{"Prompt, with consent added", []signin.SignInOption{signin.Prompt("login")}, "prompt=login+consent"},
	{"Prompt that has consent", []signin.SignInOption{signin.Prompt("consent", "login")}, "prompt=consent+login"},
	{"Prompt none, to which nothing is added", []signin.SignInOption{signin.Prompt("none")}, "prompt=none"},
	{"MaxAge", []signin.SignInOption{signin.MaxAge(time.Hour)}, "max_age=3600&prompt=consent"},
	{"MaxAge zero, which is not nothing", []signin.SignInOption{signin.MaxAge(0)}, "max_age=0&prompt=consent"},
	{"ACRValues", []signin.SignInOption{signin.ACRValues("urn:mfa", "urn:pwd")}, "acr_values=urn%3Amfa+urn%3Apwd&prompt=consent"},
	{"UILocales", []signin.SignInOption{signin.UILocales("ko-KR", "en")}, "prompt=consent&ui_locales=ko-KR+en"},
	{"OrganizationBranding", []signin.SignInOption{signin.OrganizationBranding("org_one")}, "organization_id=org_one&prompt=consent"},
	{"ExtraParam", []signin.SignInOption{signin.ExtraParam("theme", "dark & bright"), signin.ExtraParam("beta", "1")}, "beta=1&prompt=consent&theme=dark+%26+bright"},
	{"ReturnTo, which is not the provider's business", []signin.SignInOption{signin.ReturnTo("/x")}, "prompt=consent"},
	{"the later of two options", []signin.SignInOption{signin.UILocales("en"), signin.Social("x"), signin.UILocales("ko"), signin.EnterpriseSSO("acme")},
		"direct_sign_in=sso%3Aacme&prompt=consent&ui_locales=ko"},
	{"the later of two lists", []signin.SignInOption{signin.Prompt("login"), signin.ACRValues("a"), signin.ACRValues("b"), signin.Prompt("consent")},
		"acr_values=b&prompt=consent"},
}

// wrongOptions are options that no sign-in may start with.
var wrongOptions = map[string][]signin.SignInOption{
	"FirstScreen":              {signin.FirstScreen("sign_up")},
	"Identifiers":              {signin.FirstScreen(signin.ScreenIdentifierSignIn), signin.Identifiers("e-mail")},
	"Identifiers: only":        {signin.Identifiers(signin.IdentifierEmail)},
	"Social":                   {signin.Social("na ver")},
	"OneTimeToken: none":       {signin.OneTimeToken("", "")},
	"EnterpriseSSO":            {signin.EnterpriseSSO("")},
	"LoginHint":                {signin.LoginHint("a\r\nb")},
	"Prompt":                   {signin.Prompt("nothing")},
	"Prompt: none":             {signin.Prompt("none", "login")},
	"MaxAge":                   {signin.MaxAge(-time.Second)},
	"MaxAge: 1.5s":             {signin.MaxAge(1500 * time.Millisecond)},
	"ACRValues":                {signin.ACRValues("a b")},
	"UILocales":                {signin.UILocales("ko_KR")},
	"OrganizationBranding":     {signin.OrganizationBranding("a/b")},
	"OneTimeToken":             {signin.OneTimeToken("token", "nobody")},
	"ReturnTo":                 {signin.ReturnTo("https://e.test/")},
	`ExtraParam: "state"`:      {signin.ExtraParam("state", "x")},
	`ExtraParam: "resource"`:   {signin.ExtraParam("resource", "x")},
	`ExtraParam: "Prompt"`:     {signin.ExtraParam("Prompt", "x")},
	`ExtraParam: "identifier"`: {signin.ExtraParam("identifier", "x")},
}

func TestEachOptionArrivesAtTheProvider(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for _, row := range options {
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
			if got := beyondFlow(last.Asked); got != row.want {
				t.Errorf("%s by %s: got %q asked; want %q", row.name, way, got, row.want)
			}
			if got := beyondFlow(last.Effective); got != row.want {
				t.Errorf("%s by %s: got %q in effect; want all that was asked, %q", row.name, way, got, row.want)
			}
		}
	}
}

func TestOptionsOfTheConfigApplyToEverySignIn(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{
		config: func(c *signin.Config) {
			c.SignInOptions = []signin.SignInOption{signin.UILocales("ko"), signin.LoginHint("config@example.test"), signin.ReturnTo("/from-config")}
		},
		signIn: []signin.SignInOption{signin.LoginHint("route@example.test")},
	})
	const want = "login_hint=route%40example.test&prompt=consent&ui_locales=ko"
	b := a.browser()
	guard := b.get("/account")
	b.get(b.get(guard.Header.Get("Location")).Header.Get("Location"))
	if got := beyondFlow(a.lastRequest().Asked); got != want {
		t.Errorf("a sign-in that a guard starts: got %q; want %q", got, want)
	}
	resp := a.provider.Visit(t, nil, a.server.URL+"/sign-in", signintest.Bob())
	if got := resp.Request.URL.Path; got != "/from-config" {
		t.Errorf("got to %s; want /from-config", got)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	begun, err := a.auth.BeginSignIn(w, r)
	if u, _ := url.Parse(begun); err != nil || u.Query().Get("login_hint") != "config@example.test" {
		t.Errorf("BeginSignIn: got %q, %v; want the Config's login hint", begun, err)
	}
}

func TestWrongOptionsNeverReachABrowser(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for name, opts := range wrongOptions {
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
		t.Errorf("SignIn with somebody's OneTimeToken: got panic %q; want one that names the option", got)
	}
}

func panicOf(f func()) (said string) {
	defer func() {
		switch v := recover().(type) {
		case error:
			said = v.Error()
		case string:
			said = v
		}
	}()
	f()
	return ""
}

func TestOneTimeTokenSignsInWithoutAPage(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	token := a.provider.OneTimeToken(signintest.Bob().Email)
	mux := a.server.Config.Handler.(*http.ServeMux)
	mux.HandleFunc("/magic", func(w http.ResponseWriter, r *http.Request) {
		location, err := a.auth.BeginSignIn(w, r, signin.OneTimeToken(r.FormValue("token"), r.FormValue("email")), signin.ReturnTo("/account"))
		if err != nil {
			t.Errorf("BeginSignIn: got error %v; want none", err)
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	})
	b := a.browser()
	next := b.get("/magic?token=" + token + "&email=" + signintest.Bob().Email)
	next = b.get(next.Header.Get("Location"))
	next = b.get(next.Header.Get("Location"))
	next.want(t, http.StatusSeeOther, "/account")
	if got := b.get("/account").body; got != signintest.Bob().Subject {
		t.Errorf("got %q; want Bob", got)
	}
	if got, want := a.lastRequest().Effective.Get("login_hint"), signintest.Bob().Email; got != want {
		t.Errorf("login_hint: got %q; want %q", got, want)
	}
}

func TestEachSignInIsBoundToItsBrowserAnew(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	seen := map[string]string{}
	for range 3 {
		b := a.browser()
		b.get(b.get("/sign-in").Header.Get("Location"))
		q := a.lastRequest().Asked
		if got := q.Get("code_challenge_method"); got != "S256" {
			t.Errorf("code_challenge_method: got %q; want S256 (RFC 7636, section 4.3)", got)
		}
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			v := q.Get(name)
			if len(v) < 22 || seen[v] != "" {
				t.Errorf("%s: got %q, seen before as %q; want 128 fresh bits or more", name, v, seen[v])
			}
			seen[v] = name
		}
		for name, want := range map[string]string{
			"response_type": "code", "client_id": a.cfg.ClientID, "redirect_uri": a.server.URL + "/callback",
			"scope": "openid profile offline_access",
		} {
			if got := q[name]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: got %q; want %q", name, got, want)
			}
		}
		if b.cookies() == "" || strings.Contains(b.cookies(), q.Get("nonce")) {
			t.Errorf("got cookies %q; want one for this attempt, and no nonce to be read in it", b.cookies())
		}
	}
}

// listing is a transport that changes the scopes a provider lists.
func listing(scopes any) http.RoundTripper {
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
		doc["scopes_supported"] = scopes
		b, err := json.Marshal(doc)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		resp.Header.Del("Content-Length")
		return resp, err
	})
}

func TestOfflineAccessIsAskedOnlyOfThoseThatKnowIt(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		listed        any
		logto, omit   bool
		scope, prompt string
	}{
		{"listed", []string{"openid", "offline_access"}, false, false, "openid profile offline_access", ""},
		{"nothing is listed", nil, false, false, "openid profile offline_access", ""},
		{"not among those listed", []string{"openid", "profile"}, false, false, "openid profile", ""},
		{"an empty list", []string{}, false, false, "openid profile", ""},
		{"not at this Logto, so no consent either", []string{"openid"}, true, false, "openid profile", ""},
		{"at Logto", []string{"openid", "offline_access"}, true, false, "openid profile offline_access", "consent"},
		{"not wanted", []string{"openid", "offline_access"}, true, true, "openid", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: func(c *signin.Config) {
				c.HTTPClient = &http.Client{Transport: listing(row.listed)}
				c.OmitDefaultScopes = row.omit
				if !row.logto {
					c.Issuer, c.LogtoEndpoint = c.LogtoEndpoint+"/oidc", ""
				}
			}})
			for range 2 { // the first must not spoil the second
				b := a.browser()
				b.get(b.get("/sign-in").Header.Get("Location"))
				q := a.lastRequest().Asked
				if q.Get("scope") != row.scope || q.Get("prompt") != row.prompt {
					t.Errorf("got scope %q, prompt %q; want %q, %q", q.Get("scope"), q.Get("prompt"), row.scope, row.prompt)
				}
			}
		})
	}
}

// P-3rd-party-init-login; OpenID Connect Core 1.0, section 4.
func TestAProviderMayStartASignIn(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	iss := url.QueryEscape(a.provider.Issuer)
	own := url.QueryEscape(a.server.URL)
	for _, row := range []struct {
		name, query string
		status      int
		end, hint   string
	}{
		{"its own iss", "iss=" + iss, http.StatusSeeOther, "/", ""},
		{"a page of this application", "iss=" + iss + "&target_link_uri=" + own + "%2Faccount%3Fa%3Db", http.StatusSeeOther, "/account?a=b", ""},
		{"a page of another site", "iss=" + iss + "&target_link_uri=https%3A%2F%2Fe.test%2Faccount", http.StatusSeeOther, "/", ""},
		{"a path, which is no URL", "iss=" + iss + "&target_link_uri=%2Faccount", http.StatusSeeOther, "/", ""},
		{"a hint", "iss=" + iss + "&login_hint=bob%40example.test", http.StatusSeeOther, "/", "bob@example.test"},
		{"a hint that would make Logto drop everything", "iss=" + iss + "&login_hint=a%00b", http.StatusSeeOther, "/", ""},
		{"a hint from who knows where", "login_hint=bob%40example.test", http.StatusSeeOther, "/", ""},
		{"a target from who knows where", "target_link_uri=" + own + "%2Faccount", http.StatusSeeOther, "/", ""},
		{"a foreign iss", "iss=https%3A%2F%2Fe.test", http.StatusBadRequest, "", ""},
		{"an iss with a slash more", "iss=" + iss + "%2F", http.StatusBadRequest, "", ""},
		{"an empty iss", "iss=", http.StatusBadRequest, "", ""},
		{"two", "iss=" + iss + "&iss=" + iss, http.StatusBadRequest, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(a.provider.AuthorizationRequests())
			first := a.browser().get("/sign-in?" + row.query)
			if row.status != http.StatusSeeOther {
				first.want(t, row.status, "")
				if len(first.Cookies()) > 0 || len(a.provider.AuthorizationRequests()) != before {
					t.Errorf("got cookies %v; want no sign-in begun", first.Cookies())
				}
				return
			}
			first.want(t, http.StatusSeeOther, a.provider.Issuer)
			resp := a.provider.Visit(t, nil, a.server.URL+"/sign-in?"+row.query, signintest.Bob())
			if got := resp.Request.URL.RequestURI(); got != row.end {
				t.Errorf("got to %s; want %s", got, row.end)
			}
			if got := a.lastRequest().Effective.Get("login_hint"); got != row.hint {
				t.Errorf("login_hint: got %q; want %q", got, row.hint)
			}
		})
	}
}

func TestASilentSignInThatFailsIsQuietForFiveMinutes(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{signIn: []signin.SignInOption{signin.Prompt("none")}})
	b := a.browser()
	try := func(want bool) {
		t.Helper()
		before := len(a.provider.AuthorizationRequests())
		next := b.get("/sign-in?return_to=/shop%3Fa=b")
		for strings.HasPrefix(next.Header.Get("Location"), "http") {
			next = b.get(next.Header.Get("Location"))
		}
		next.want(t, http.StatusSeeOther, "/shop?a=b")
		if got := len(a.provider.AuthorizationRequests()) > before; got != want {
			t.Errorf("the provider was asked: got %t; want %t", got, want)
		}
	}
	try(true)
	if got := b.who(); got != "nobody" {
		t.Errorf("got %q; want nobody", got)
	}
	try(false)
	a.clock.add(5*time.Minute - 2*time.Second)
	try(false)
	a.clock.add(3 * time.Second)
	try(true)
	if got := a.kinds(); len(got) > 0 {
		t.Errorf("got events %v; want none: nothing went wrong", got)
	}
	// Who has a session at the provider is signed in without a page.
	silent := a.signInAtProvider(signintest.Bob())
	silent.get(silent.get(silent.get("/sign-in?return_to=/x").Header.Get("Location")).Header.Get("Location")).want(t, http.StatusSeeOther, "/x")
	if got := silent.who(); got != signintest.Bob().Subject {
		t.Errorf("got %q; want Bob", got)
	}
}

// signInAtProvider returns a browser in which somebody is signed in at the
// provider and nobody at the application.
func (a *app) signInAtProvider(u signintest.User) *browser {
	a.t.Helper()
	b := a.browser()
	w := httptest.NewRecorder()
	location, err := a.auth.BeginSignIn(w, httptest.NewRequest("GET", "/", nil), signin.Prompt("login"))
	if err != nil {
		a.t.Fatal(err)
	}
	// The callback refuses: this browser has no attempt under way.
	a.provider.Visit(a.t, b.Client, location, u)
	return b
}

func TestAGuardWhoseSignInIsSilentDoesNotSendPeopleInCircles(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.SignInOptions = []signin.SignInOption{signin.Prompt("none")} }})
	b := a.browser()
	next := b.get("/account")
	for range 10 {
		if next.StatusCode/100 != 3 {
			break
		}
		target, err := next.Location()
		if err != nil {
			t.Fatal(err)
		}
		next = b.get(target.String())
	}
	next.want(t, http.StatusUnauthorized, "")
	// A page that loads a part of itself would go in the same circle by htmx.
	part := b.get("/account", "HX-Request: true", "HX-Current-URL: "+a.server.URL+"/shop")
	if part.want(t, http.StatusUnauthorized, ""); part.Header.Get("HX-Redirect") != "" {
		t.Errorf("htmx: got HX-Redirect %q; want none", part.Header.Get("HX-Redirect"))
	}
	a.clock.add(6 * time.Minute)
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
}

func TestBeginSignInAndBeginSignOutActAtOnce(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	w := httptest.NewRecorder()
	location, err := a.auth.BeginSignIn(w, httptest.NewRequest("POST", "/login", nil), signin.ReturnTo("/account"))
	if err != nil || !strings.HasPrefix(location, a.provider.Issuer+"/auth?") {
		t.Errorf("BeginSignIn: got %q, %v; want the authorization endpoint", location, err)
	}
	u, _ := url.Parse(location)
	set := w.Result().Cookies()
	if len(set) != 1 || set[0].Name != "signin.tx."+u.Query().Get("state") || set[0].MaxAge != 600 || !set[0].HttpOnly {
		t.Errorf("BeginSignIn: got cookies %v; want the attempt's", set)
	}
	b := a.signedIn(signintest.Bob())
	r := httptest.NewRequest("POST", "/logout", nil)
	r.Header.Set("Cookie", b.cookies())
	w = httptest.NewRecorder()
	location, err = a.auth.BeginSignOut(w, r)
	if err != nil || !strings.HasPrefix(location, a.provider.Issuer+"/session/end?") {
		t.Errorf("BeginSignOut: got %q, %v; want the end-session endpoint", location, err)
	}
	if set := w.Result().Cookies(); len(set) != 1 || set[0].Name != "signin" || set[0].MaxAge >= 0 || set[0].Value != "" {
		t.Errorf("BeginSignOut: got cookies %v; want the session's cleared", set)
	}
	if got := b.who(); got != "nobody" {
		t.Errorf("the cookie as it was: got %q; want nobody", got)
	}
	if w.Header().Get("Location") != "" || w.Body.Len() > 0 {
		t.Error("BeginSignOut: got an answer written; want that left to the caller")
	}
	a.provider.Down()
	down := newApp(t, with{config: func(c *signin.Config) { c.LogtoEndpoint = a.provider.URL }})
	if location, err := down.auth.BeginSignIn(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)); location != "" || !errors.Is(err, signin.ErrProviderUnavailable) {
		t.Errorf("BeginSignIn while the provider is down: got %q, %v; want ErrProviderUnavailable", location, err)
	}
}
