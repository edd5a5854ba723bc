package acceptance_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// aged requires that people have authenticated within the last hour.
var aged = with{signIn: []signin.SignInOption{signin.MaxAge(time.Hour)}}

// TestCallback is about the authorization response; package authflow tests more
// malformed ones.
func TestCallback(t *testing.T) {
	t.Parallel()
	declined := refusal{http.StatusForbidden, signin.ErrDeclined, 0}
	for _, row := range []rejection{
		{
			name:   "2.1 iss of another provider, from one that announces none",
			faults: fault(faults.ResponseIssuerWrong, faults.DiscoveryNoResponseIssuer), try: relisted, want: malformed,
		},
		{name: "2.1 a response of provider A in a transaction of provider B", try: mixUp, want: malformed},
		{name: "2.2 attacker's code and state in a victim's browser", try: injectResponse, want: notUnderWay},
		{
			name: "2.3 victim's code in the attacker's transaction fails on PKCE", try: stolenCode,
			want: refusal{http.StatusBadRequest, signin.ErrSignInExpired, 1},
		},
		{
			name:   "2.3 victim's code in the attacker's transaction fails on the nonce where PKCE is not checked",
			faults: fault(faults.IgnorePKCE), try: stolenCode, want: unbelieved,
		},
		{
			name: "9.1 a provider that is down, at an application that has just started",
			try: func(a *app, b *browser) answer {
				back := b.responded()
				a.provider.Down()
				a.start()
				return b.get(back)
			},
			want: refusal{http.StatusServiceUnavailable, signin.ErrProviderUnavailable, 0},
		},
		{
			name: "9.4 a client secret that has expired", faults: fault(faults.TokenSecretExpired),
			want: refusal{http.StatusBadGateway, signin.ErrProviderMisconfigured, 1},
		},
		{name: "2.5 code twice", faults: fault(faults.ResponseCodeTwice), want: malformed},
		{name: "2.7 error_description with markup and CR LF", faults: fault(faults.ResponseErrorMarkup), want: declined, also: nothingRaw},
		{
			name: "2.8 a transaction older than an hour", want: notUnderWay,
			with: with{provider: []signintest.Option{signintest.WithAccessTokenLifetime(2 * time.Hour)}},
			try:  bring(func(a *app, _ url.Values) { a.clock.add(time.Hour + time.Second) }),
		},
		{
			name: "2.8 a transaction of the same Auth, as a control, gets as far as the code",
			try:  foreignAttempt(func(*signin.Config) {}), want: refusal{http.StatusBadRequest, signin.ErrSignInExpired, 1},
		},
		{
			name: "2.8 a transaction of an Auth for another client with the same keys", want: notUnderWay,
			try: foreignAttempt(func(cfg *signin.Config) { cfg.ClientID = "another-client" }),
		},
		{name: "2.9 auth_time missing", with: aged, faults: fault(faults.IDTokenAuthTimeMissing), want: unbelieved},
		{name: "2.9 auth_time stale", with: aged, faults: fault(faults.IDTokenAuthTimeStale), want: unbelieved},
	} {
		row.run(t)
	}
	for name, test := range map[string]func(*testing.T){
		"2.1 no iss from a provider that announces none is accepted": func(t *testing.T) {
			accepted(t, with{}, faults.DiscoveryNoResponseIssuer, faults.ResponseIssuerMissing)
		},
		"2.4 a response sent ten times at once, and then once more, signs in once":       replayedTenTimes,
		"2.4 cookies lost after the sign-in lead to pages, and no sign-in by itself":     lostCookies,
		"2.4 a response in another browser does not tell where its sign-in led":          elsewhere,
		"2.5 a POST is refused and does not use up the response":                         postThenGet,
		"2.6 two tabs at once both work, in either order":                                twoTabs,
		"2.6 attempts that another site starts do not displace the person's":             crowdedByOthers,
		"2.7 an error without a valid transaction does not affect the sign-in under way": strayError,
		"2.9 auth_time that is recent is accepted":                                       func(t *testing.T) { accepted(t, aged) },
		"5.9 a response without its attempt is 503 if shared state fails":                unknownResponse("shared get", signin.ErrSharedUnavailable),
		"5.9 a response without its attempt is 503 if the session cannot be read":        unknownResponse("store new", signin.ErrStoreUnavailable),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// bring returns an attempt that signs Alice in at the provider, changes the
// response, and delivers it to the callback.
func bring(change func(*app, url.Values)) func(*app, *browser) answer {
	return func(a *app, b *browser) answer {
		back, err := url.Parse(b.responded())
		if err != nil {
			a.t.Fatal(err)
		}
		q := back.Query()
		change(a, q)
		back.RawQuery = q.Encode()
		return b.get(back.String())
	}
}

// mixUp sends the browser's authorization request, made for provider B, to
// provider A, and delivers A's response.
// https://www.rfc-editor.org/rfc/rfc9700#section-4.4
func mixUp(a *app, b *browser) answer {
	other := signintest.NewProvider(signintest.WithNow(a.clock.now))
	a.t.Cleanup(other.Close)
	other.RegisterRedirectURIs(a.server.URL + "/callback")
	request := b.get("/sign-in?return_to=%2Faccount").Header.Get("Location")
	back := b.respond(other, strings.Replace(request, a.provider.URL, other.URL, 1), signintest.Alice())
	if !strings.Contains(back, url.QueryEscape(other.Issuer)) {
		a.t.Fatalf("response: got %q; want the iss of provider A in it", back)
	}
	got := b.get(back)
	if n := other.Stats().Exchanges; n != 0 {
		a.t.Errorf("token requests at provider A: got %d; want none", n)
	}
	return got
}

// injectResponse delivers an attacker's authorization response in a victim's
// browser (login CSRF).
func injectResponse(a *app, victim *browser) answer {
	victim.plant(&http.Cookie{Name: "theme", Value: "dark", Path: "/"})
	return victim.get(a.browser().respond(a.provider, "/sign-in?return_to=%2Faccount", signintest.XUser()))
}

// stolenCode delivers a victim's code in a transaction that the attacker began.
// https://www.rfc-editor.org/rfc/rfc9700#section-4.5
func stolenCode(a *app, attacker *browser) answer {
	stolen, _ := url.Parse(a.browser().responded())
	own, _ := url.Parse(attacker.respond(a.provider, "/sign-in?return_to=%2Faccount", signintest.Bob()))
	q := own.Query()
	q.Set("code", stolen.Query().Get("code"))
	own.RawQuery = q.Encode()
	return attacker.get(own.String())
}

// nothingRaw checks that nothing that the provider or a person has put into an
// error is shown, logged, or put into a header.
func nothingRaw(t *testing.T, a *app) {
	t.Helper()
	for place, text := range a.said() {
		if strings.HasPrefix(place, "event") {
			continue // the error there is for programs, and holds the code quoted
		}
		for _, raw := range []string{"<script", "alert(1)", "Set-Cookie: signin=x"} {
			if strings.Contains(text, raw) || text == "signin=x" {
				t.Errorf("%s: got one with %q; want none", place, raw)
			}
		}
	}
}

// foreignAttempt begins a sign-in at an Auth with another configuration, and
// gives its cookie to the browser as one of the application's.
func foreignAttempt(change func(*signin.Config)) func(*app, *browser) answer {
	return func(a *app, b *browser) answer {
		cfg := a.cfg
		change(&cfg)
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/sign-in", nil)
		newAuth(a.t, cfg).SignIn()(w, r)
		to, err := url.Parse(w.Header().Get("Location"))
		cookies := w.Result().Cookies()
		if err != nil || len(cookies) != 1 {
			a.t.Fatalf("beginning at the other Auth: got status %d, %d cookies; want one", w.Code, len(cookies))
		}
		state := to.Query().Get("state")
		b.plant(&http.Cookie{Name: "signin.tx." + state, Value: cookies[0].Value, Path: "/"})
		return b.get("/callback?" + url.Values{"code": {"a-code-of-another"}, "state": {state}, "iss": {a.provider.Issuer}}.Encode())
	}
}

func replayedTenTimes(t *testing.T) {
	a := newApp(t, with{})
	b := a.browser()
	back := b.responded()
	cookies, gate := b.cookies(), make(chan struct{})
	var sessions, onwards sync.Map
	var all sync.WaitGroup
	for n := range 10 {
		all.Go(func() {
			<-gate
			got := knock(a.handler(), strings.TrimPrefix(back, a.server.URL), cookies)
			if got.StatusCode == http.StatusSeeOther && got.Header.Get("Location") == "/account" {
				onwards.Store(n, true)
			}
			if slices.ContainsFunc(got.Cookies(), func(c *http.Cookie) bool { return c.Name == "signin" && c.MaxAge > 0 }) {
				sessions.Store(n, true)
			}
		})
	}
	close(gate)
	all.Wait()
	if failures := a.errs(signin.EventSignInFailed); len(failures) != 0 || a.signIns() != 1 || a.provider.Stats().Exchanges != 1 {
		t.Errorf("got %d sign-ins, errors %v; want 1 and none", a.signIns(), failures)
	}
	if count(&onwards) != 10 || count(&sessions) != 1 {
		t.Errorf("got %d sent on to the application, %d with a session; want all 10, and one", count(&onwards), count(&sessions))
	}
	again := a.signedIn(signintest.Alice()).get(back)
	again.want(t, http.StatusSeeOther, "/account")
	if set := again.Cookies(); len(set) != 0 || a.provider.Stats().Exchanges != 2 {
		t.Errorf("once more: got cookies %v; want none, and no token request", set)
	}
}

// lostCookies sends responses again after the browser has lost its session, and brings
// them to other browsers. No sign-in starts by itself.
func lostCookies(t *testing.T) {
	a := newApp(t, with{})
	a.mount("/sign-in/strong", a.auth.SignIn(signin.MaxAge(time.Hour)))
	b := a.browser()
	back := b.respond(a.provider, "/sign-in/strong?return_to=%2Faccount", signintest.Alice())
	b.get(back).want(t, http.StatusSeeOther, "/account")
	b.plant(&http.Cookie{Name: "signin", Path: "/", MaxAge: -1})
	other := b.respond(a.provider, "/sign-in/strong", signintest.Alice())
	for _, row := range []struct {
		name, response string
		browser        *browser
		code           signin.Code
	}{
		{"a finished sign-in, in a browser that has lost its session", back, b, signin.ErrSignInExpired},
		{"a finished sign-in, in a browser without cookies", back, a.browser(), signin.ErrSignInExpired},
		{"one that has not finished, in a browser without cookies", other, a.browser(), signin.ErrCookiesBlocked},
		{"an unknown one, in a browser with other cookies", "/callback?code=x&state=unknown", b, signin.ErrSignInExpired},
		{"one that is malformed", "/callback?code=x", b, signin.ErrBadCallback},
	} {
		got, failures := row.browser.get(row.response), a.errs(signin.EventSignInFailed)
		refusal{http.StatusBadRequest, row.code, 0}.wantError(t, failures[max(0, len(failures)-1):])
		if start := got.action(t); start != "/" || strings.Contains(got.body, "account") || a.signIns() != 1 {
			t.Errorf("%s: got a link to %q; want the start page, and no more sign-ins", row.name, start)
		}
	}
}

// elsewhere brings a response to the browser of another person, who is signed in.
func elsewhere(t *testing.T) {
	a := newApp(t, with{})
	b := a.browser()
	back := b.respond(a.provider, "/sign-in?return_to=%2Faccount%3Fsecret", signintest.Alice())
	b.get(back).want(t, http.StatusSeeOther, "/account?secret")
	b.get(back).want(t, http.StatusSeeOther, "/account?secret")
	if got := a.signedIn(signintest.Bob()).get(back); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/" {
		t.Errorf("got %s to %q; want the start page", got.Status, got.Header.Get("Location"))
	}
	// The answer is lost, and shared state does not keep so long a return_to.
	long := "/account?" + strings.Repeat("x", 300)
	back = b.respond(a.provider, "/sign-in?return_to="+url.QueryEscape(long), signintest.Alice())
	held := b.cookies()
	for range 2 {
		knock(a.handler(), back, held).want(t, http.StatusSeeOther, long)
	}
}

// A sign-in that fails never goes on with less than its route asks for: the page, and
// that of a reload, lead back to the route with all that was asked of it.
func TestCallback_FailedLeadsBackToItsRoute(t *testing.T) {
	t.Parallel()
	decline := func(_ *app, q url.Values) { q.Del("code"); q.Set("error", "access_denied") }
	none := func(*app, url.Values) {}
	const strong = "/sign-in/strong?acr_values=mfa&return_to=%2Faccount"
	for _, row := range []struct {
		name, begin, want string
		fault             signintest.Fault
		response          func(*app, url.Values)
	}{
		{"declined", strong, strong, "", decline},
		{"declined on a page of the application", "/magic/?to=x", "/magic/?to=x", "", decline},
		{"declined on a page to which no link can lead", "/magic/%00", "/", "", decline},
		{"declined on a page whose address is long", "/magic/" + strings.Repeat("x", 600), "/", "", decline},
		{"declined, begun by a form on a page", "/form-on/account?x", "/account?x", "", decline},
		{"declined, begun by a form on the sign-out page", "/form-on/sign-out", "/", "", decline},
		{"declined below a stripped path", "/staff/in?return_to=%2F%2Fe.test", "/staff/in", "", decline},
		{"declined, after a query that no link needs", strong + "&x=" + strings.Repeat("x", 500), "/sign-in/strong?return_to=%2Faccount", "", decline},
		{"F9.3 declined, with a return_to of a kilobyte", "/sign-in/strong?acr_values=mfa&return_to=%2F" + strings.Repeat("x", 1000),
			"/sign-in/strong?acr_values=mfa&return_to=%2F" + strings.Repeat("x", 1000), "", decline},
		{"too late", strong, strong, "", func(a *app, _ url.Values) { a.clock.add(61 * time.Minute) }},
		{"F12.1 cancelled at Logto's consent page, which leads to the bare redirect URI", strong, strong, "", func(_ *app, q url.Values) { clear(q) }},
		{"too late, while shared state fails", strong, strong, "", func(a *app, _ url.Values) {
			a.clock.add(61 * time.Minute)
			a.cfg.Shared.(*mapState).failing(func(string) bool { return true })
		}},
		{"an ID token that breaks a rule", strong, strong, faults.IDTokenNonceWrong, none},
		{"an authentication that the route does not accept", strong, strong, faults.IDTokenACRMissing, none},
		{"the provider in trouble", strong, strong, "", func(_ *app, q url.Values) { q.Del("code"); q.Set("error", "server_error") }},
		{"a response of another provider", strong, strong, "", func(_ *app, q url.Values) { q.Set("iss", "https://e.test") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{
				provider: []signintest.Option{signintest.WithACR("mfa")}, config: func(c *signin.Config) { otherProvider(c); c.Shared = new(mapState) },
			})
			strict := a.auth.SignIn(signin.ACRValues("mfa"), signin.MaxAge(time.Hour))
			a.mount("/sign-in/strong", strict)
			a.mount("/staff/", http.StripPrefix("/staff", strict))
			begin := func(w http.ResponseWriter, r *http.Request) {
				location, _ := a.auth.BeginSignIn(w, r, signin.ACRValues("mfa"))
				http.Redirect(w, r, location, http.StatusSeeOther)
			}
			a.mount("/magic/", http.HandlerFunc(begin))
			a.mount("/form-on/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Method = http.MethodPost
				r.Header.Set("Referer", a.server.URL+strings.TrimPrefix(r.RequestURI, "/form-on"))
				begin(w, r)
			}))
			if row.fault != "" {
				a.provider.Inject(row.fault)
			}
			b := a.browser()
			back, err := url.Parse(b.respond(a.provider, row.begin, signintest.Alice()))
			if err != nil {
				t.Fatal(err)
			}
			q := back.Query()
			row.response(a, q)
			back.RawQuery = q.Encode()
			for _, visit := range []string{"at first", "after a reload", "after a second"} {
				got := b.get(back.String())
				if start := got.action(t); got.StatusCode < 400 || start != row.want || a.signIns() != 0 {
					t.Errorf("%s: got %s and a link to %q; want an error, and %q", visit, got.Status, start, row.want)
				}
			}
			if n := a.provider.Stats().Exchanges; n > 1 {
				t.Errorf("got %d token requests; want one at most", n)
			}
			if n := a.provider.Stats().Authorizations; n != 1 || b.who() != notSignedIn {
				t.Errorf("got %d authorization requests, and %q signed in; want one, and no user", n, b.who())
			}
		})
	}
}

func postThenGet(t *testing.T) {
	a := newApp(t, with{})
	b := a.browser()
	back := b.responded()
	got := b.do(http.MethodPost, back)
	got.untouched(t, http.StatusMethodNotAllowed, signin.ErrMethodNotAllowed)
	if allow := got.Header.Get("Allow"); allow != http.MethodGet {
		t.Errorf("Allow: got %q; want GET", allow)
	}
	b.get(back).want(t, http.StatusSeeOther, "/account")
}

func twoTabs(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		a := newApp(t, with{})
		b := a.browser()
		tabs := []string{
			b.respond(a.provider, "/sign-in?return_to=%2Faccount%3Ftab%3D0", signintest.Alice()),
			b.respond(a.provider, "/sign-in?return_to=%2Faccount%3Ftab%3D1", signintest.Alice()),
		}
		for _, tab := range order {
			b.get(tabs[tab]).want(t, http.StatusSeeOther, "/account?tab="+strconv.Itoa(tab))
			if got := b.get("/account"); got.body != signintest.Alice().Subject {
				t.Errorf("order %v, after tab %d: got %s %q; want Alice", order, tab, got.Status, got.body)
			}
		}
		if left := b.attempts(); len(left) != 0 || a.signIns() != 2 {
			t.Errorf("order %v: got %d sign-ins, %d transaction cookies left; want 2 and none", order, a.signIns(), len(left))
		}
	}
}

func crowdedByOthers(t *testing.T) {
	a := newApp(t, with{})
	b := a.browser()
	var mine []string
	for range 5 {
		mine = append(mine, b.responded())
	}
	for range 10 {
		a.clock.add(100 * time.Millisecond)
		b.get("/sign-in", linkThere...).want(t, http.StatusSeeOther, a.provider.URL)
	}
	if got := len(b.attempts()); got > 5 {
		t.Errorf("transaction cookies: got %d; want at most five", got)
	}
	for n, back := range mine {
		b.get(back).want(t, http.StatusSeeOther, "/account")
		if got := a.signIns(); got != n+1 {
			t.Errorf("the person's attempt %d: got %d sign-ins; want it to work", n+1, got)
		}
	}
}

func strayError(t *testing.T) {
	a := newApp(t, with{})
	b := a.signedIn(signintest.Bob())
	back := b.responded()
	b.get("/callback?error=access_denied&state=1bogus").want(t, http.StatusBadRequest, "")
	b.get("/callback?error=access_denied").want(t, http.StatusBadRequest, "")
	if got := b.who(); got != signintest.Bob().Subject {
		t.Errorf("before: got %q; want Bob still", got)
	}
	b.get(back).want(t, http.StatusSeeOther, "/account")
	if got := b.who(); got != signintest.Alice().Subject {
		t.Errorf("the sign-in under way: got %q; want Alice signed in", got)
	}
}

// unknownResponse sends a response a second time while the application cannot
// tell whether it has been used, or who is signed in.
func unknownResponse(what string, code signin.Code) func(*testing.T) {
	return func(t *testing.T) {
		a, _, fail := fragile(t)
		b := a.browser()
		back := b.responded()
		b.get(back).want(t, http.StatusSeeOther, "/account")
		session, asked := b.session(), a.provider.Stats().Authorizations
		fail(what)
		b.get(back).untouched(t, http.StatusServiceUnavailable, code)
		fail("")
		if b.session() != session || b.who() != signintest.Alice().Subject || a.provider.Stats().Authorizations != asked {
			t.Errorf("got %q signed in; want Alice still, and no new sign-in", b.who())
		}
	}
}

// The error of the response determines the status. The session stays.
func TestCallback_ErrorResponse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		says   string
		status int
		code   signin.Code
		retry  string
	}{
		{"server_error", http.StatusServiceUnavailable, signin.ErrProviderUnavailable, "5"},
		{"invalid_scope", http.StatusBadGateway, signin.ErrProviderMisconfigured, ""},
		{"access_denied", http.StatusForbidden, signin.ErrDeclined, ""},
		{"login_required", http.StatusForbidden, signin.ErrDeclined, ""}, // though the sign-in was not silent
	} {
		t.Run(row.says, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			b := a.signedIn(signintest.Alice())
			session := b.session()
			got := bring(func(_ *app, q url.Values) {
				q.Del("code")
				q.Set("error", row.says)
			})(a, b)
			wantCookies(t, "callback", got, false) // the person may go back to the provider, and go on
			got.untouched(t, row.status, row.code)
			if retry := got.Header.Get("Retry-After"); retry != row.retry {
				t.Errorf("Retry-After: got %q; want %q", retry, row.retry)
			}
			if b.session() != session || b.who() != signintest.Alice().Subject {
				t.Errorf("got %q signed in; want Alice still", b.who())
			}
			refusal{status: row.status, code: row.code}.wantError(t, a.errs(signin.EventSignInFailed))
		})
	}
}
