package acceptance_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/cookiejar"
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

// named is a row that has a test of its own.
type named struct {
	name string
	test func(*testing.T)
}

func runAll(t *testing.T, rejections []rejection, others []named) {
	for _, row := range rejections {
		row.run(t)
	}
	for _, row := range others {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.test(t)
		})
	}
}

// TestCasesCallback is about the authorization response.
func TestCasesCallback(t *testing.T) {
	t.Parallel()
	runAll(t, callbackRejections, []named{
		{"2.1 iss that is right and not announced is accepted", func(t *testing.T) { accepted(t, with{}, faults.DiscoveryNoResponseIssuer) }},
		{"2.1 no iss from a provider that announces none is accepted", func(t *testing.T) {
			accepted(t, with{}, faults.DiscoveryNoResponseIssuer, faults.ResponseIssuerMissing)
		}},
		{"2.4 a response brought twice signs in once and goes on to the application", replayedOnce},
		{"2.4 ten at once sign in once, and the others go on to the application", replayedInParallel},
		{"2.4 with all cookies blocked there is one round, then a page", blockedCookies},
		{"2.4 with cookies lost after the sign-in there are two rounds, then a page", lostCookies},
		{"2.4 with the session cookie alone lost there are two rounds, then a page", lostSession},
		{"2.5 a POST does not use up the response", postThenGet},
		{"2.6 two tabs at once both work, in either order", twoTabs},
		{"2.6 of 200 abandoned attempts five are kept, the newest among them", abandoned},
		{"2.6 attempts that another site starts do not push out one's own", crowdedByOthers},
		{"2.7 an error without a valid transaction leaves the one under way alone", strayError},
		{"2.8 a transaction of just ten minutes is accepted", tenMinutes},
		{"2.8 a transaction renamed to a session is no session", attemptAsSession},
		{"2.9 auth_time that is recent is accepted", func(t *testing.T) { accepted(t, aged) }},
		{"2.9 a step-up answered without auth_time", func(t *testing.T) { steppedUpInVain(t, signintest.Alice(), faults.IDTokenAuthTimeMissing) }},
		{"2.9 a step-up answered with an auth_time of zero", func(t *testing.T) { steppedUpInVain(t, signintest.Alice(), faults.IDTokenAuthTimeZero) }},
		{"2.9 a step-up answered with a stale auth_time", func(t *testing.T) { steppedUpInVain(t, signintest.Alice(), faults.IDTokenAuthTimeStale) }},
		{"2.9 a step-up that the provider does not heed", func(t *testing.T) { steppedUpInVain(t, signintest.Alice(), faults.IgnoreMaxAge) }},
		{"2.9 a step-up that another person answers", func(t *testing.T) { steppedUpInVain(t, signintest.Bob()) }},
	})
}

// bring returns an attempt that lets Alice sign in, changes the response on its
// way to the callback, and brings it.
func bring(change func(*trial, url.Values)) func(*trial, *browser) answer {
	return func(tr *trial, b *browser) answer {
		back := tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", signintest.Alice())
		q := back.Query()
		change(tr, q)
		back.RawQuery = q.Encode()
		return b.get(back.String())
	}
}

// aged asks for people to have authenticated within the hour.
var aged = with{signIn: []signin.SignInOption{signin.MaxAge(time.Hour)}}

var callbackRejections = []rejection{
	{name: "2.1 iss of another provider", faults: fault(faults.ResponseIssuerWrong), want: malformed},
	{name: "2.1 iss missing though announced", faults: fault(faults.ResponseIssuerMissing), want: malformed},
	{
		name:   "2.1 iss of another provider, where none is announced",
		faults: fault(faults.ResponseIssuerWrong, faults.DiscoveryNoResponseIssuer), try: relisted, want: malformed,
	},
	{name: "2.1 a response of provider A in a transaction of provider B", try: mixUp, want: malformed},
	{name: "2.2 attacker's code and state in a victim's browser", try: injectResponse, want: notUnderWay},
	{
		name: "2.2 a state that nobody sent", want: notUnderWay,
		try: bring(func(_ *trial, q url.Values) { q.Set("state", "1"+strings.Repeat("A", 22)) }),
	},
	{name: "2.2 a state that nobody sent, from the provider", faults: fault(faults.ResponseStateWrong), want: notUnderWay},
	{
		name: "2.2 a made-up state of a second round",
		try:  bring(func(_ *trial, q url.Values) { q.Set("state", "2"+strings.Repeat("A", 22)) }),
		want: refusal{http.StatusBadRequest, signin.ErrCookiesBlocked, 0},
	},
	{
		name: "2.3 victim's code in the attacker's transaction fails on PKCE", try: stolenCode,
		want: refusal{http.StatusBadRequest, signin.ErrSignInExpired, 1},
	},
	{
		name:   "2.3 victim's code in the attacker's transaction fails on the nonce where PKCE is not checked",
		faults: fault(faults.IgnorePKCE), try: stolenCode, want: unbelieved,
	},
	{
		name: "2.3 a code that the provider does not know", faults: fault(faults.ResponseCodeWrong),
		want: refusal{http.StatusBadRequest, signin.ErrSignInExpired, 1},
	},
	{name: "2.5 code twice", faults: fault(faults.ResponseCodeTwice), want: malformed},
	{name: "2.5 state twice", faults: fault(faults.ResponseStateTwice), want: malformed},
	{name: "2.5 iss twice", faults: fault(faults.ResponseIssuerTwice), want: malformed},
	{
		name:   "2.5 iss twice from a provider that need not send it",
		faults: fault(faults.ResponseIssuerTwice, faults.DiscoveryNoResponseIssuer), try: relisted, want: malformed,
	},
	{name: "2.5 error twice", faults: fault(faults.ResponseErrorTwice), want: malformed},
	{name: "2.5 code and error together", faults: fault(faults.ResponseCodeAndError), want: malformed},
	{name: "2.5 neither code nor error", faults: fault(faults.ResponseEmpty), want: malformed},
	{name: "2.5 no state", faults: fault(faults.ResponseStateMissing), want: malformed},
	{name: "2.5 a code of 100 KB", faults: fault(faults.ResponseCodeHuge), want: malformed},
	{
		name: "2.5 a POST", shown: true, want: refusal{http.StatusMethodNotAllowed, signin.ErrMethodNotAllowed, 0},
		try: func(tr *trial, b *browser) answer {
			back := tr.respond(tr.provider, b, "/sign-in", signintest.Alice())
			got := b.do(http.MethodPost, back.String())
			if allow := got.Header.Get("Allow"); allow != http.MethodGet {
				tr.t.Errorf("Allow: got %q; want GET", allow)
			}
			return got
		},
	},
	{
		name: "2.7 error_description with markup and CR LF", faults: fault(faults.ResponseErrorMarkup),
		want: refusal{http.StatusForbidden, signin.ErrDeclined, 0}, also: nothingRaw,
	},
	{
		name: "2.7 an error code with markup", want: refusal{http.StatusForbidden, signin.ErrDeclined, 0}, also: nothingRaw,
		try: bring(func(_ *trial, q url.Values) {
			q.Del("code")
			q.Set("error", `"><script>alert(1)</script>`)
		}),
	},
	{
		name: "2.7 an error code with CR LF", want: malformed, also: nothingRaw,
		try: bring(func(_ *trial, q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied\r\nSet-Cookie: signin=x")
		}),
	},
	{
		name: "2.7 an error without a valid transaction", want: notUnderWay,
		try: func(tr *trial, b *browser) answer {
			return b.get("/callback?error=access_denied&state=1bogus&iss=" + url.QueryEscape(tr.provider.Issuer))
		},
	},
	{
		name: "2.8 a transaction older than ten minutes", want: notUnderWay,
		try: bring(func(tr *trial, _ url.Values) { tr.clock.add(10*time.Minute + time.Second) }),
	},
	{
		name: "2.8 a transaction of this very Auth, as a control, gets as far as the code",
		try:  foreignAttempt(func(*signin.Config) {}), want: refusal{http.StatusBadRequest, signin.ErrSignInExpired, 1},
	},
	{
		name: "2.8 a transaction of an Auth for another provider with the same keys", want: notUnderWay,
		try: foreignAttempt(func(cfg *signin.Config) { cfg.Issuer, cfg.LogtoEndpoint = cfg.LogtoEndpoint+"/other", "" }),
	},
	{
		name: "2.8 a transaction of an Auth for another client with the same keys", want: notUnderWay,
		try: foreignAttempt(func(cfg *signin.Config) { cfg.ClientID = "another-client" }),
	},
	{
		name: "2.8 a transaction of an Auth with another cookie name and the same keys", want: notUnderWay,
		try: foreignAttempt(func(cfg *signin.Config) { cfg.CookieName = "another" }),
	},
	{
		name: "2.8 a transaction of an Auth with other keys", want: notUnderWay,
		try: foreignAttempt(func(cfg *signin.Config) { cfg.Keys = [][]byte{[]byte(strings.Repeat("k", 32))} }),
	},
	{name: "2.8 a session cookie renamed to a transaction", prepare: xSignsIn, try: sessionAsAttempt, want: notUnderWay},
	{name: "2.9 auth_time missing", with: aged, faults: fault(faults.IDTokenAuthTimeMissing), want: unbelieved},
	{name: "2.9 auth_time zero", with: aged, faults: fault(faults.IDTokenAuthTimeZero), want: unbelieved},
	{name: "2.9 auth_time stale", with: aged, faults: fault(faults.IDTokenAuthTimeStale), want: unbelieved},
}

// mixUp sends the browser's authorization request, made for provider B, to
// provider A, and brings A's response.
// https://www.rfc-editor.org/rfc/rfc9700#section-4.4
func mixUp(tr *trial, b *browser) answer {
	other := signintest.NewProvider(signintest.WithNow(tr.clock.now))
	tr.t.Cleanup(other.Close)
	other.RegisterRedirectURIs(tr.server.URL + "/callback")
	request := b.get("/sign-in?return_to=%2Faccount").Header.Get("Location")
	address := strings.Replace(request, tr.provider.URL, other.URL, 1)
	back := tr.respond(other, b, address, signintest.Alice())
	if iss := back.Query().Get("iss"); iss != other.Issuer {
		tr.t.Fatalf("iss: got %q; want that of provider A", iss)
	}
	got := b.get(back.String())
	if n := other.Stats().Exchanges; n != 0 {
		tr.t.Errorf("token requests at provider A: got %d; want none", n)
	}
	return got
}

// injectResponse brings to a victim's browser what the provider has answered
// to somebody else (login CSRF).
func injectResponse(tr *trial, victim *browser) answer {
	attackers := tr.respond(tr.provider, tr.browser(), "/sign-in?return_to=%2Faccount", signintest.XUser())
	return victim.get(attackers.String())
}

// stolenCode brings a victim's code in a transaction of the attacker's own.
// https://www.rfc-editor.org/rfc/rfc9700#section-4.5
func stolenCode(tr *trial, attacker *browser) answer {
	stolen := tr.respond(tr.provider, tr.browser(), "/sign-in", signintest.Alice())
	own := tr.respond(tr.provider, attacker, "/sign-in?return_to=%2Faccount", signintest.Bob())
	q := own.Query()
	q.Set("code", stolen.Query().Get("code"))
	own.RawQuery = q.Encode()
	return attacker.get(own.String())
}

// steppedUpInVain has Alice asked to authenticate again, and an answer come that does
// not show that she has: the callback itself says 403, and nothing has changed.
func steppedUpInVain(t *testing.T, person signintest.User, on ...signintest.Fault) {
	t.Helper()
	a := stepUpApp(t, with{})
	b := a.signedIn(signintest.Alice())
	held := b.session()
	a.clock.add(10 * time.Minute)
	a.provider.Inject(on...)
	said, asked := len(a.log.String()), a.provider.Stats().Authorizations
	got := b.visit("/delete", person)
	if got.StatusCode != http.StatusForbidden || got.Request.URL.Path != "/callback" {
		t.Fatalf("got %s at %s; want 403 from the callback", got.Status, got.Request.URL.Path)
	}
	var failed []error
	for _, e := range a.events {
		if e.Kind == signin.EventSignInFailed {
			failed = append(failed, e.Err)
		}
	}
	want := refusal{http.StatusForbidden, signin.ErrStepUpFailed, 1}
	want.wantError(t, failed)
	want.wantLogged(t, a.log.String()[said:])
	for _, secret := range a.provider.Secrets() {
		if strings.Contains(a.log.String(), secret) || strings.Contains(got.body, secret) {
			t.Errorf("log or page: got one with a secret of the provider's; want none")
		}
	}
	if n := a.provider.Stats().Authorizations - asked; n != 1 {
		t.Errorf("the provider was asked %d times; want once, and no loop", n)
	}
	if n := a.insideCalls(); n != 0 {
		t.Errorf("protected handler: called %d times; want none", n)
	}
	if who := b.who(); who != signintest.Alice().Subject || b.session() != held {
		t.Errorf("signed in afterwards: got %q; want Alice, with the session from before", who)
	}
	if n := a.provider.LiveRefreshTokens(signintest.Bob().Subject); n != 0 {
		t.Errorf("refresh tokens of the other person: got %d alive; want none", n)
	}
}

// nothingRaw wants nothing of what the provider, or the person, has put into an
// error to be shown, logged, or made a header.
func nothingRaw(t *testing.T, tr *trial) {
	t.Helper()
	for _, e := range tr.seen {
		if slices.Contains(e.header.Values("Set-Cookie"), "signin=x") {
			t.Errorf("answer of %s: got the cookie of the description; want none", e.url.Path)
		}
		for _, raw := range []string{"<script", "alert(1)", "signin=x"} {
			if strings.Contains(e.body, raw) || strings.Contains(e.header.Get("Location"), raw) {
				t.Errorf("answer of %s: got one with %q; want none", e.url.Path, raw)
			}
		}
	}
	for _, raw := range []string{"script", "alert(1)", "signin=x"} {
		if strings.Contains(tr.log.String(), raw) {
			t.Errorf("log: got one with %q; want none", raw)
		}
	}
}

// foreignAttempt begins a sign-in at an Auth with another configuration, and
// gives its cookie to the browser as one of the application's.
func foreignAttempt(change func(*signin.Config)) func(*trial, *browser) answer {
	return func(tr *trial, b *browser) answer {
		cfg := tr.cfg
		change(&cfg)
		cfg.HTTPClient = nil
		if cfg.Issuer != "" {
			cfg.HTTPClient = &http.Client{Transport: otherIssuer(tr.provider, cfg.Issuer)}
		}
		auth, err := signin.New(cfg)
		if err != nil {
			tr.t.Fatal(err)
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/sign-in", nil)
		auth.SignIn()(w, r)
		to, err := url.Parse(w.Header().Get("Location"))
		cookies := w.Result().Cookies()
		if err != nil || len(cookies) != 1 {
			tr.t.Fatalf("beginning at the other Auth: got status %d, %d cookies; want one", w.Code, len(cookies))
		}
		tr.plant(b, tr.session+".tx."+to.Query().Get("state"), cookies[0].Value)
		return b.get("/callback?" + url.Values{
			"code": {"a-code-of-another"}, "state": {to.Query().Get("state")}, "iss": {tr.provider.Issuer},
		}.Encode())
	}
}

// otherIssuer answers discovery as the provider would under another issuer.
func otherIssuer(p *signintest.Provider, issuer string) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		body := fmt.Sprintf(`{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%[2]q,"jwks_uri":%[2]q}`, issuer, p.URL+"/other")
		w := httptest.NewRecorder()
		_, _ = w.WriteString(body)
		return w.Result(), nil
	})
}

// plant puts a cookie into a browser's jar.
func (tr *trial) plant(b *browser, name, value string) {
	u, err := url.Parse(tr.server.URL)
	if err != nil {
		tr.t.Fatal(err)
	}
	b.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// xSignsIn lets somebody else sign in, in a browser of their own.
func xSignsIn(tr *trial) {
	tr.other = tr.browser()
	tr.visit(tr.other, "/sign-in", signintest.XUser())
}

// sessionAsAttempt renames a session cookie to one of a sign-in under way.
func sessionAsAttempt(tr *trial, b *browser) answer {
	state := "1" + strings.Repeat("A", 22)
	session := tr.other.cookie(tr.session)
	if session == "" {
		tr.t.Fatal("preparing: got no session cookie; want one")
	}
	tr.plant(b, tr.session+".tx."+state, session)
	return b.get("/callback?" + url.Values{
		"code": {"some-code-of-some"}, "state": {state}, "iss": {tr.provider.Issuer},
	}.Encode())
}

// attemptAsSession renames the cookie of a sign-in under way to a session's.
func attemptAsSession(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	b.get("/sign-in").want(t, http.StatusSeeOther, tr.provider.URL)
	attempts := tr.cookiesOf(b, true)
	if len(attempts) != 1 {
		t.Fatalf("attempts: got %d; want 1", len(attempts))
	}
	_, value, _ := strings.Cut(attempts[0], "=")
	tr.plant(b, tr.session, value)
	if got := b.who(); got != "nobody" {
		t.Errorf("signed in: got %q; want nobody", got)
	}
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
	if n := tr.insideCalls(); n != 0 {
		t.Errorf("protected handler: called %d times; want none", n)
	}
}

// wantOne wants one sign-in to have come of however many responses.
func (tr *trial) wantOne(t *testing.T) {
	t.Helper()
	if n, exchanges := tr.signIns(), tr.provider.Stats().Exchanges; n != 1 || exchanges != 1 {
		t.Errorf("sign-ins: got %d by %d token requests; want 1 by 1", n, exchanges)
	}
	if failures := tr.failures(); len(failures) != 0 {
		t.Errorf("errors: got %v; want none", failures)
	}
	tr.wantNoLeak(t)
}

func replayedOnce(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	back := tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", signintest.Alice()).String()
	b.get(back).want(t, http.StatusSeeOther, "/account")
	session := b.cookie(tr.session)
	again := b.get(back)
	again.want(t, http.StatusSeeOther, "/account")
	if got := again.Cookies(); len(got) != 0 || b.cookie(tr.session) != session {
		t.Errorf("cookies set by the replay: got %d; want none, and the session as it was", len(got))
	}
	tr.wantOne(t)
}

func replayedInParallel(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	back := tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", signintest.Alice()).String()
	bare := &http.Client{Transport: b.Transport, CheckRedirect: b.CheckRedirect}
	cookies, gate := b.cookies(), make(chan struct{})
	var sessions, onwards sync.Map
	var all sync.WaitGroup
	for n := range 10 {
		all.Go(func() {
			r := httptest.NewRequest(http.MethodGet, back, nil)
			r.RequestURI = ""
			r.Header.Set("Cookie", cookies)
			r.Header.Set("Accept", "text/html")
			<-gate
			resp, err := bare.Do(r)
			if err != nil {
				t.Errorf("request %d: got error %v; want none", n, err)
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode == http.StatusSeeOther && resp.Header.Get("Location") == "/account" {
				onwards.Store(n, true)
			}
			if slices.ContainsFunc(resp.Cookies(), func(c *http.Cookie) bool { return c.Name == tr.session && c.MaxAge > 0 }) {
				sessions.Store(n, true)
			}
		})
	}
	close(gate)
	all.Wait()
	if got := count(&onwards); got != 10 {
		t.Errorf("sent on to the application: got %d; want all 10", got)
	}
	if got := count(&sessions); got != 1 {
		t.Errorf("answers with a session: got %d; want 1", got)
	}
	tr.wantOne(t)
}

func count(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

// refusing is a cookie jar that keeps cookies of the provider only.
type refusing struct{ http.CookieJar }

func (j refusing) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.CookieJar.SetCookies(u, slices.DeleteFunc(slices.Clone(cookies), func(c *http.Cookie) bool {
		return !strings.HasPrefix(c.Name, "signintest_")
	}))
}

// blocking returns a browser that blocks the application's cookies, and whose
// person the provider signs in without asking.
func (tr *trial) blocking() *browser {
	tr.t.Helper()
	b := tr.browser()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tr.t.Fatal(err)
	}
	b.Jar = refusing{jar}
	tr.visit(b, "/sign-in", signintest.Alice())
	return b
}

// wantPage wants a page with a way on, and at most two rounds before it.
func (tr *trial) wantPage(t *testing.T, got answer, code signin.Code, rounds int) {
	t.Helper()
	got.want(t, http.StatusBadRequest, "")
	if !strings.Contains(got.body, `href="/sign-in"`) {
		t.Errorf("page: got %q; want a link to start again", got.body)
	}
	failures := tr.failures()
	refusal{http.StatusBadRequest, code, 0}.wantError(t, failures[max(0, len(failures)-1):])
	if rounds > 2 {
		t.Errorf("rounds: got %d; want two at most", rounds)
	}
	tr.wantNoLeak(t)
}

func blockedCookies(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.blocking()
	before := tr.provider.Stats().Authorizations
	got := tr.visit(b, "/account", signintest.Alice())
	tr.wantPage(t, got, signin.ErrSignInExpired, tr.provider.Stats().Authorizations-before)
	if n := tr.insideCalls(); n != 0 {
		t.Errorf("protected handler: called %d times; want none", n)
	}
}

func lostCookies(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	back := tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", signintest.Alice())
	b.get(back.String()).want(t, http.StatusSeeOther, "/account")
	blocking := tr.blocking()
	before := tr.provider.Stats().Authorizations
	got := tr.visit(blocking, back.RequestURI(), signintest.Alice())
	rounds := 1 + tr.provider.Stats().Authorizations - before // the first was the other browser's
	tr.wantPage(t, got, signin.ErrCookiesBlocked, rounds)
	if rounds != 2 {
		t.Errorf("rounds: got %d; want a second one to be tried", rounds)
	}
}

func lostSession(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	first := tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", signintest.Alice()).RequestURI()
	b.get(first).want(t, http.StatusSeeOther, "/account")
	tr.plant(b, tr.session, "")
	again := b.get(first)
	again.want(t, http.StatusSeeOther, tr.provider.URL)
	second := tr.respond(tr.provider, b, again.Header.Get("Location"), signintest.Alice()).RequestURI()
	b.get(second).want(t, http.StatusSeeOther, "/account")
	tr.plant(b, tr.session, "")
	tr.wantPage(t, b.get(second), signin.ErrCookiesBlocked, tr.provider.Stats().Authorizations)
}

func postThenGet(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	back := tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", signintest.Alice()).String()
	b.do(http.MethodPost, back).want(t, http.StatusMethodNotAllowed, "")
	b.get(back).want(t, http.StatusSeeOther, "/account")
	tr.wantOne(t)
}

func twoTabs(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		tr := newTrial(t, with{}, false)
		b := tr.browser()
		tabs := []string{
			tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount%3Ftab%3D0", signintest.Alice()).String(),
			tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount%3Ftab%3D1", signintest.Alice()).String(),
		}
		for _, tab := range order {
			b.get(tabs[tab]).want(t, http.StatusSeeOther, "/account?tab="+strconv.Itoa(tab))
			if got := b.get("/account"); got.body != signintest.Alice().Subject {
				t.Errorf("order %v, after tab %d: got %s %q; want Alice", order, tab, got.Status, got.body)
			}
		}
		if n := tr.signIns(); n != 2 || len(tr.failures()) != 0 {
			t.Errorf("order %v: got %d sign-ins and errors %v; want 2 and none", order, n, tr.failures())
		}
		if left := tr.cookiesOf(b, true); len(left) != 0 {
			t.Errorf("order %v: got %d transaction cookies left; want none", order, len(left))
		}
	}
}

func abandoned(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	for n := range 200 {
		tr.clock.add(time.Second)
		b.get("/sign-in").want(t, http.StatusSeeOther, tr.provider.URL)
		if got := len(tr.cookiesOf(b, true)); got != min(n+1, 5) {
			t.Fatalf("transaction cookies after attempt %d: got %d; want %d", n+1, got, min(n+1, 5))
		}
	}
	tr.wantArrival(t, b, signintest.Alice())
}

func crowdedByOthers(t *testing.T) {
	for _, own := range []int{1, 5} {
		tr := newTrial(t, with{}, false)
		b := tr.browser()
		var mine []string
		for range own {
			mine = append(mine, tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", signintest.Alice()).String())
		}
		for range 200 {
			tr.clock.add(100 * time.Millisecond)
			b.get("/sign-in", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document").
				want(t, http.StatusSeeOther, tr.provider.URL)
		}
		if got := len(tr.cookiesOf(b, true)); got > 5 {
			t.Errorf("transaction cookies: got %d; want five at most", got)
		}
		for n, back := range mine {
			b.get(back).want(t, http.StatusSeeOther, "/account")
			if got := tr.signIns(); got != n+1 {
				t.Errorf("one's own attempt %d of %d: got %d sign-ins; want it to work", n+1, own, got)
			}
		}
	}
}

func strayError(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	back := tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", signintest.Alice())
	b.get("/callback?error=access_denied&state=1bogus").want(t, http.StatusBadRequest, "")
	b.get("/callback?error=access_denied").want(t, http.StatusBadRequest, "")
	b.get(back.String()).want(t, http.StatusSeeOther, "/account")
	if got := b.who(); got != signintest.Alice().Subject {
		t.Errorf("the sign-in under way: got %q; want Alice signed in", got)
	}
}

func tenMinutes(t *testing.T) {
	tr := newTrial(t, with{}, false)
	b := tr.browser()
	request := b.get("/sign-in?return_to=%2Faccount").Header.Get("Location")
	tr.clock.add(10*time.Minute - 10*time.Second) // room for a slow machine
	back := tr.respond(tr.provider, b, request, signintest.Alice())
	b.get(back.String()).want(t, http.StatusSeeOther, "/account")
	tr.wantOne(t)
}

// TestCasesTokens is about what the token and userinfo endpoints answer.
func TestCasesTokens(t *testing.T) {
	t.Parallel()
	runAll(t, tokenRejections, []named{
		{"3.3 a provider sixty seconds behind is accepted", func(t *testing.T) { skewed(t, 60*time.Second, time.Hour, true) }},
		{"3.3 a provider sixty seconds ahead is accepted", func(t *testing.T) { skewed(t, -60*time.Second, time.Hour, true) }},
		{"3.3 a provider sixty-one seconds ahead is rejected", func(t *testing.T) { skewed(t, -61*time.Second, time.Hour, false) }},
		{"3.3 an ID token sixty seconds past its end is accepted", func(t *testing.T) { skewed(t, 70*time.Second, 10*time.Second, true) }},
		{"3.3 an ID token sixty-one seconds past its end is rejected", func(t *testing.T) { skewed(t, 71*time.Second, 10*time.Second, false) }},
		{"3.4 at_hash right is accepted", func(t *testing.T) { accepted(t, with{}, faults.IDTokenAtHashRight) }},
		{"3.4 at_hash absent is accepted", func(t *testing.T) {
			tr, b := accepted(t, with{})
			if hash, there := tr.claims(b)["at_hash"]; there {
				t.Errorf("at_hash: got %v; want an ID token without one", hash)
			}
		}},
		{"3.4 c_hash present does no harm", func(t *testing.T) { accepted(t, with{}, faults.IDTokenCHashPresent) }},
		{"3.5 token_type in odd case is accepted", func(t *testing.T) { accepted(t, with{}, faults.TokensTypeOddCase) }},
		{"3.5 expires_in as text is read", func(t *testing.T) { expires(t, faults.TokensExpiresInText, 1) }},
		{"3.5 expires_in 0 is an hour", func(t *testing.T) { expires(t, faults.TokensExpiresInZero, 1) }},
		{"3.5 expires_in absent is an hour", func(t *testing.T) { expires(t, faults.TokensExpiresInAbsent, 1) }},
		{"3.5 expires_in absurd is bounded", func(t *testing.T) { expires(t, faults.TokensExpiresInAbsurd, 0) }},
	})
}

// rsa is a provider with an RSA key, the classic victim of key confusion.
// https://www.rfc-editor.org/rfc/rfc8725#section-2.1
var rsa = algorithm("RS256")

// later moves the application's clock, and not the provider's, and lets Alice
// sign in.
func later(d time.Duration) func(*trial, *browser) answer {
	return func(tr *trial, b *browser) answer {
		tr.late.Store(int64(d))
		return tr.visit(b, "/sign-in?return_to=%2Faccount", signintest.Alice())
	}
}

// noneFetched wants nothing to be fetched from where a token's header points.
func noneFetched(t *testing.T, tr *trial) {
	t.Helper()
	for _, s := range tr.wire.requests() {
		if strings.HasPrefix(s.url.Path, "/foreign") {
			t.Errorf("requests: got one for %s; want none", s.url.Path)
		}
	}
}

// pinned accepts signatures by RS256 only; the provider's are by ES384.
func pinned(tr *trial) {
	tr.cfg.Provider.SigningAlgs = []string{"RS256"}
	tr.start()
}

// relisted lets the application read the provider's metadata again.
func relisted(tr *trial, b *browser) answer {
	tr.start()
	return tr.visit(b, "/sign-in?return_to=%2Faccount", signintest.Alice())
}

var tokenRejections = []rejection{
	{name: "3.1 HS256 keyed with the RSA public key as PEM", with: rsa, faults: fault(faults.IDTokenHS256PEM), want: unbelieved},
	{name: "3.1 HS256 keyed with the RSA public key as DER", with: rsa, faults: fault(faults.IDTokenHS256DER), want: unbelieved},
	{name: "3.1 HS256 keyed with the RSA modulus", with: rsa, faults: fault(faults.IDTokenHS256Modulus), want: unbelieved},
	{name: "3.1 HS256 keyed with the client secret", with: rsa, faults: fault(faults.IDTokenHS256Secret), want: unbelieved},
	{
		name: "3.1 HS256 keyed with the client secret where the provider lists HS256", with: rsa, try: relisted,
		faults: fault(faults.IDTokenHS256Secret, faults.DiscoveryAlgNone), want: unbelieved,
	},
	{name: "3.1 a published key of an algorithm that the provider does not list", faults: fault(faults.IDTokenOtherAlgorithm), want: unbelieved},
	{name: "3.1 an algorithm outside of SigningAlgs", prepare: pinned, want: unbelieved},
	{name: "3.1 unknown crit", faults: fault(faults.IDTokenHeaderCrit), want: unbelieved},
	{name: "3.1 jwk in the header is ignored", faults: fault(faults.IDTokenHeaderJWK), want: unbelieved},
	{name: "3.1 jku in the header is ignored", faults: fault(faults.IDTokenHeaderJKU), want: unbelieved, also: noneFetched},
	{name: "3.1 x5u in the header is ignored", faults: fault(faults.IDTokenHeaderX5U), want: unbelieved, also: noneFetched},
	{name: "3.1 an encrypted token", faults: fault(faults.IDTokenEncrypted), want: unbelieved},
	{name: "3.1 a key with use enc", faults: fault(faults.IDTokenKeyForEncryption), want: unbelieved},
	{name: "3.2 issuer differing by a slash", faults: fault(faults.IDTokenIssuerSlash), want: unbelieved},
	{name: "3.2 issuer differing by case", faults: fault(faults.IDTokenIssuerCase), want: unbelieved},
	{name: "3.2 issuer differing by port", faults: fault(faults.IDTokenIssuerPort), want: unbelieved},
	{name: "3.2 an untrusted extra audience", faults: fault(faults.IDTokenAudienceExtra), want: unbelieved},
	{name: "3.2 several audiences without azp", faults: fault(faults.IDTokenAudienceNoAZP), want: unbelieved},
	{name: "3.2 azp not the client", faults: fault(faults.IDTokenAZPWrong), want: unbelieved},
	{name: "3.2 sub of 300 characters", faults: fault(faults.IDTokenSubjectLong), want: unbelieved},
	{name: "3.2 sub that is not ASCII", faults: fault(faults.IDTokenSubjectNonASCII), want: unbelieved},
	{name: "3.2 exp as text", faults: fault(faults.IDTokenExpiryText), want: unbelieved},
	{name: "3.2 exp of 1e400", faults: fault(faults.IDTokenExpiryHuge), want: unbelieved},
	{name: "3.2 exp missing", faults: fault(faults.IDTokenExpiryMissing), want: unbelieved},
	{name: "3.2 iat a day ago", faults: fault(faults.IDTokenIssuedAtOld), want: unbelieved},
	{name: "3.2 iat a day ahead", faults: fault(faults.IDTokenIssuedAtAhead), want: unbelieved},
	{name: "3.2 duplicate claim names", faults: fault(faults.IDTokenDuplicateClaim), want: unbelieved},
	{name: "3.3 a provider ten minutes behind", try: later(10 * time.Minute), want: unbelieved},
	{name: "3.3 a provider ten minutes ahead", try: later(-10 * time.Minute), want: unbelieved},
	{name: "3.3 an ID token ten minutes past its end", faults: fault(faults.IDTokenExpired), want: unbelieved},
	{name: "3.4 at_hash wrong", faults: fault(faults.IDTokenAtHashWrong), want: unbelieved},
	{name: "3.5 a token response without id_token", faults: fault(faults.TokensNoIDToken), want: unbelieved},
	{name: "3.6 userinfo of another sub", with: merging, faults: fault(faults.UserInfoSubjectWrong), want: unbelieved},
	{name: "3.6 userinfo without sub", with: merging, faults: fault(faults.UserInfoSubjectMissing), want: unbelieved},
	{name: "3.6 userinfo of the wrong content type", with: merging, faults: fault(faults.UserInfoContentType), want: unbelieved},
	{name: "3.6 userinfo refused with 401", with: merging, faults: fault(faults.UserInfo401), want: unbelieved},
	{name: "3.6 an ID token in place of userinfo", with: merging, faults: fault(faults.UserInfoIDToken), want: unbelieved},
}

// skewed lets Alice sign in while the provider's clock stands still, and so
// does the application's, ahead of it by a time.
func skewed(t *testing.T, ahead, lifetime time.Duration, good bool) {
	t.Helper()
	start := time.Now().Truncate(time.Second)
	w := with{
		provider: []signintest.Option{
			signintest.WithNow(func() time.Time { return start }), signintest.WithAccessTokenLifetime(lifetime),
		},
		config: func(cfg *signin.Config) {
			cfg.Now = func() time.Time { return start.Add(ahead) }
			cfg.OmitDefaultScopes = true // nothing to refresh with
		},
	}
	if good {
		accepted(t, w)
		return
	}
	rejection{name: "rejected", with: w, want: unbelieved}.in(t, "nobody")
}

// expires lets Alice sign in with a fault of expires_in: the session must not
// be refreshed at once, and as often as is said once an hour has passed.
func expires(t *testing.T, f signintest.Fault, refreshes int) {
	t.Helper()
	tr, b := accepted(t, with{}, f)
	if n := tr.provider.Stats().Refreshes; n != 0 {
		t.Errorf("refreshes at once: got %d; want none", n)
	}
	tr.clock.add(due)
	b.get("/account").want(t, http.StatusOK, "")
	if n := tr.provider.Stats().Refreshes; n != refreshes {
		t.Errorf("refreshes after an hour: got %d; want %d", n, refreshes)
	}
}

// TestCasesProvider is about a provider in trouble.
func TestCasesProvider(t *testing.T) {
	t.Parallel()
	down := func(p *signintest.Provider) { p.Down() }
	injecting := func(f signintest.Fault) func(*signintest.Provider) {
		return func(p *signintest.Provider) { p.Inject(f) }
	}
	var all []named
	for _, row := range []struct {
		name  string
		spoil func(*signintest.Provider)
		code  signin.Code
	}{
		{"9.1 down at start", down, signin.ErrProviderUnavailable},
		{"9.1 answering 500 at start", injecting(faults.Discovery500), signin.ErrProviderUnavailable},
		{"9.1 answering HTML at start", injecting(faults.DiscoveryHTML), signin.ErrProviderUnavailable},
		{"9.1 answering garbage at start", injecting(faults.DiscoveryGarbage), signin.ErrProviderUnavailable},
		{"9.1 being another issuer at start", injecting(faults.DiscoveryIssuerWrong), signin.ErrProviderMisconfigured},
	} {
		all = append(all,
			named{row.name + " is 503 until the provider is back", func(t *testing.T) { recovers(t, row.spoil, row.code) }},
			named{row.name + " makes no storm of 1,000 sign-ins", func(t *testing.T) { noStorm(t, row.spoil) }})
	}
	runAll(t, providerRejections, append(all,
		named{"9.4 secret is encoded for Basic as RFC 6749 says", func(t *testing.T) { oddSecret(t, "client_secret_basic") }},
		named{"9.4 secret is encoded once for a form", func(t *testing.T) { oddSecret(t, "client_secret_post") }},
		named{"9.5 canaries of a whole life of a session are seen nowhere", canaries},
	))
}

// unfollowed wants no request to go where a redirect pointed, and none in plain
// text.
func unfollowed(t *testing.T, tr *trial) {
	t.Helper()
	for _, s := range tr.wire.requests() {
		if s.url.Query().Has("redirected") || !strings.HasPrefix(s.url.String(), tr.provider.URL) {
			t.Errorf("requests: got one for %s://%s%s; want none", s.url.Scheme, s.url.Host, s.url.Path)
		}
	}
}

var providerRejections = []rejection{
	{
		name: "9.3 a token endpoint that redirects", faults: fault(faults.TokenRedirect), also: unfollowed,
		want: refusal{http.StatusBadGateway, signin.ErrProviderMisconfigured, 1},
	},
	{
		name: "9.3 a userinfo endpoint that redirects", with: merging, faults: fault(faults.UserInfoRedirect), also: unfollowed,
		want: refusal{http.StatusBadGateway, signin.ErrProviderMisconfigured, 1},
	},
	{
		name:   "9.3 http endpoints in the metadata of an https issuer",
		with:   with{tls: true, provider: []signintest.Option{signintest.WithTLS()}},
		faults: fault(faults.DiscoveryHTTPEndpoints), try: discoverAgain, want: mismatch,
		also: func(t *testing.T, tr *trial) { neverAsked(t, tr); unfollowed(t, tr) },
	},
}

// recovers starts an application while the provider is in trouble: whoever is
// signed in stays so, a sign-in is told to come back, and then it works.
func recovers(t *testing.T, spoil func(*signintest.Provider), code signin.Code) {
	t.Helper()
	tr := newTrial(t, with{}, false)
	bob := tr.browser()
	tr.visit(bob, "/sign-in", signintest.Bob())
	before := len(tr.wire.requests())
	spoil(tr.provider)
	tr.start()
	if n := len(tr.wire.requests()) - before; n != 0 {
		t.Errorf("requests of New: got %d; want none", n)
	}
	if got := bob.who(); got != signintest.Bob().Subject {
		t.Errorf("whoever is signed in: got %q; want Bob", got)
	}
	b := tr.browser()
	got := b.get("/sign-in")
	got.want(t, http.StatusServiceUnavailable, "")
	refusal{http.StatusServiceUnavailable, code, 0}.wantError(t, tr.failures())
	if cookies := got.Cookies(); len(cookies) != 0 {
		t.Errorf("cookies: got %d; want none", len(cookies))
	}
	wait, err := strconv.Atoi(got.Header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 60 {
		t.Fatalf("Retry-After: got %q; want seconds, and a minute at most", got.Header.Get("Retry-After"))
	}
	tr.provider.Up()
	tr.provider.Clear()
	tr.clock.add(time.Duration(wait) * time.Second)
	tr.wantArrival(t, b, signintest.Alice())
}

// noStorm starts 1,000 sign-ins in a minute while the provider is in trouble.
func noStorm(t *testing.T, spoil func(*signintest.Provider)) {
	t.Helper()
	tr := newTrial(t, with{}, false)
	spoil(tr.provider)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 100 {
				tr.clock.add(time.Minute / 1000)
				w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/sign-in", nil)
				tr.server.Config.Handler.ServeHTTP(w, r)
				if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
					t.Errorf("sign-in: got status %d, Retry-After %q; want 503 and when to come back", w.Code, w.Header().Get("Retry-After"))
					return
				}
			}
		})
	}
	all.Wait()
	// After 1, 2, 4, 8 and 16 seconds, and then each 30.
	if n := len(tr.wire.requests()); n < 2 || n > 8 {
		t.Errorf("requests to the provider: got %d; want a handful", n)
	}
}

// oddSecret signs in and out with credentials full of characters that have a
// meaning in forms and in Basic.
// https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1
func oddSecret(t *testing.T, method string) {
	t.Helper()
	const secret = "s3cret+/%:&="
	tr, b := accepted(t, with{provider: []signintest.Option{
		signintest.WithClient("client:one", secret), signintest.WithClientAuthMethods(method),
	}})
	b.do(http.MethodPost, "/sign-out").want(t, http.StatusSeeOther, tr.provider.URL)
	if n := tr.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
		t.Errorf("refresh tokens alive after the revocation: got %d; want none", n)
	}
	basic, posted := "Basic "+base64.StdEncoding.EncodeToString([]byte("client%3Aone:s3cret%2B%2F%25%3A%26%3D")), ""
	if method == "client_secret_post" {
		basic, posted = "", secret
	}
	for _, s := range tr.wire.requests() {
		if s.form != nil && (s.header.Get("Authorization") != basic || s.form.Get("client_secret") != posted) {
			t.Errorf("credentials at %s: got other ones, or elsewhere; want %s as RFC 6749 has it", s.url.Path, method)
		}
	}
	tr.wantNoLeak(t)
}

// canaries leads a session through its life, with all that can go wrong in it,
// and searches everything that was said for its secrets.
func canaries(t *testing.T) {
	w := merging
	w.provider = []signintest.Option{signintest.WithRefreshRotation()}
	tr := newTrial(t, w, false)
	b, alice := tr.browser(), signintest.Alice()
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in")
	back := tr.respond(tr.provider, b, "/sign-in?return_to=%2Faccount", alice).String()
	tr.browser().get(back).want(t, http.StatusBadRequest, "") // in another's browser
	b.get(back).want(t, http.StatusSeeOther, "/account")
	b.get(back).want(t, http.StatusSeeOther, "/account")
	for _, trouble := range []signintest.Fault{
		faults.TokenInvalidClient, faults.TokenGarbage, faults.TokenReset, faults.Keys500, faults.UserInfo500,
	} {
		tr.provider.Inject(trouble)
		tr.clock.add(due)
		b.get("/account").want(t, http.StatusOK, "")
		tr.provider.Clear()
	}
	tr.clock.add(due)
	b.get("/account").want(t, http.StatusOK, "")
	for _, trouble := range []signintest.Fault{
		faults.TokenInvalidGrant, faults.TokenHTML, faults.IDTokenSignatureInvalid, faults.UserInfoIDToken,
	} {
		tr.provider.Inject(trouble)
		if got := tr.visit(tr.browser(), "/sign-in", alice); got.StatusCode < 400 {
			t.Errorf("signing in with %s: got %s; want an error page", trouble, got.Status)
		}
		tr.provider.Clear()
	}
	tr.provider.Inject(faults.Revocation500)
	out := b.do(http.MethodPost, "/sign-out")
	out.want(t, http.StatusSeeOther, tr.provider.URL)
	tr.provider.Visit(t, b.Client, out.Header.Get("Location"), alice)
	b.get(back).want(t, http.StatusBadRequest, "") // used up, hours ago

	tokens, cookies, bound := tr.secrets()
	if len(tokens) < 20 || len(cookies) < 5 || len(bound) < 6 || !strings.Contains(tr.log.String(), "request failed") {
		t.Errorf("canaries: got %d tokens, %d cookies, %d values of redirects; want those of a whole life", len(tokens), len(cookies), len(bound))
	}
	tr.wantNoLeak(t)
}
