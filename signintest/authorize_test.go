package signintest_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

func TestAuthorize_Refused(t *testing.T) {
	t.Parallel()
	a := start(t)
	twice := a.params()
	twice.Add("nonce", "again")
	for name, test := range map[string]struct {
		q    url.Values
		want string
	}{
		"another response_type":        {a.params("response_type", "token"), "unsupported_response_type"},
		"another response_mode":        {a.params("response_mode", "form_post"), "unsupported_response_mode"},
		"no openid scope":              {a.params("scope", "profile"), "invalid_scope"},
		"no PKCE":                      {a.params("code_challenge", ""), "invalid_request"},
		"PKCE plain":                   {a.params("code_challenge_method", "plain"), "invalid_request"},
		"an unknown prompt":            {a.params("prompt", "select_account"), "invalid_request"},
		"prompt none with another":     {a.params("prompt", "none consent"), "invalid_request"},
		"max_age that is not a number": {a.params("max_age", "soon"), "invalid_request"},
		"max_age below zero":           {a.params("max_age", "-1"), "invalid_request"},
		"prompt none without session":  {a.params("prompt", "none"), "login_required"},
		"a parameter twice":            {twice, "invalid_request"},
	} {
		got := a.authorize(t, nil, signintest.Bob(), test.q)
		got.Del("error_description")
		same(t, name, got.Encode(), url.Values{"error": {test.want}, "state": {"the-state"}, "iss": {a.p.Issuer}}.Encode())
	}
}

func TestAuthorize_UnknownClientOrRedirectURI(t *testing.T) {
	t.Parallel()
	a := start(t)
	for name, pairs := range map[string][]string{
		"another client":                 {"client_id", "another"},
		"no client":                      {"client_id", ""},
		"another path":                   {"redirect_uri", a.URL + "/callback/"},
		"a query that is not registered": {"redirect_uri", a.URL + "/callback?x=1"},
	} {
		got := a.get(t, a.p.Issuer+"/auth?"+a.params(pairs...).Encode(), "")
		same(t, name, got.status, http.StatusBadRequest)
		same(t, name, got.header.Get("Location"), "")
	}
	a.p.RegisterRedirectURIs(a.URL + "/callback?x=1")
	got := a.authorize(t, nil, signintest.Bob(), a.params("redirect_uri", a.URL+"/callback?x=1"))
	same(t, "a query that is registered", got.Get("x"), "1")
}

func TestAuthorize_OfflineAccessNeedsConsent(t *testing.T) {
	t.Parallel()
	a := start(t)
	for prompt, want := range map[string]bool{"": false, "login": false, "consent": true, "login consent": true} {
		got := a.signIn(t, signintest.Bob(), "prompt", prompt)
		same(t, prompt+": a refresh token", got.text("refresh_token") != "", want)
		same(t, prompt+": the scope", strings.Contains(got.text("scope"), "offline_access"), want)
	}
}

func TestAuthorize_OneWrongValueDropsAllLogtoParameters(t *testing.T) {
	t.Parallel()
	values := map[string]struct{ right, wrong string }{
		"first_screen":     {"identifier:register", "signup"},
		"interaction_mode": {"signUp", "signup"},
		"identifier":       {"email phone", "email fax"},
		"direct_sign_in":   {"sso:unknown", "naver"},
		"login_hint":       {"alice", ""},
		"one_time_token":   {"unknown", ""},
		"organization_id":  {"org_one", ""},
		"ui_locales":       {"ko-KR en", "ko_KR"},
		"resource":         {"https://api.example,urn:other", "https://api.example#x"},
	}
	a := start(t)
	right := a.params()
	for name, value := range values {
		right.Set(name, value.right)
	}
	ask := func(q url.Values) signintest.AuthorizationRequest {
		a.authorize(t, nil, signintest.Alice(), q)
		all := a.p.AuthorizationRequests()
		return all[len(all)-1]
	}
	kept := ask(right)
	for name := range values {
		same(t, name+", which is right, is kept", kept.Effective.Has(name), true)
	}
	same(t, "resources", strings.Join(kept.Effective["resource"], " "), "https://api.example urn:other")
	for name, value := range values {
		wrong := maps.Clone(right)
		wrong[name] = []string{value.wrong}
		got := ask(wrong)
		for other := range values {
			same(t, name+" is wrong; kept: "+other, got.Effective.Has(other), false)
		}
		same(t, name+", as asked", got.Asked.Get(name), value.wrong)
		same(t, name+" is wrong; error", got.Err, "")
	}
}

// next returns where the provider sends a browser that asks to sign in.
func (a *party) next(t *testing.T, client *http.Client, pairs ...string) *url.URL {
	t.Helper()
	staying := *client
	staying.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got := get(t, &staying, a.p.Issuer+"/auth?"+a.params(pairs...).Encode())
	same(t, "status", got.status, http.StatusSeeOther)
	at, err := url.Parse(got.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAuthorize_FirstPage(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithConnectors("sso:acme"))
	for name, test := range map[string]struct {
		pairs []string
		want  string
	}{
		"nothing asked for":               {nil, "/sign-in"},
		"first_screen register":           {[]string{"first_screen", "register"}, "/register"},
		"first_screen before the older":   {[]string{"first_screen", "sign_in", "interaction_mode", "signUp"}, "/sign-in"},
		"interaction_mode signUp":         {[]string{"interaction_mode", "signUp"}, "/register"},
		"Naver":                           {[]string{"direct_sign_in", "social:naver"}, "/connect/social:naver"},
		"a connector before first_screen": {[]string{"direct_sign_in", "sso:acme", "first_screen", "register"}, "/connect/sso:acme"},
		"an unknown connector":            {[]string{"direct_sign_in", "social:kakao"}, "/sign-in"},
		"all dropped":                     {[]string{"first_screen", "register", "ui_locales", "!"}, "/sign-in"},
	} {
		same(t, name, a.next(t, a.client(), test.pairs...).Path, test.want)
		browser := a.p.NewClient()
		a.authorize(t, browser, signintest.Bob(), a.params())
		same(t, name+", while Bob is remembered", a.next(t, browser, test.pairs...).Path, "/callback")
		asked := append([]string{"prompt", "login consent"}, test.pairs...)
		same(t, name+", while Bob is remembered, with prompt login", a.next(t, browser, asked...).Path, test.want)
	}
}

func TestAuthorize_Session(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	client := a.p.NewClient()
	a.authorize(t, client, signintest.Bob(), a.params())
	want := func(name, want string, pairs ...string) {
		t.Helper()
		at := a.next(t, client, pairs...)
		same(t, name, strings.TrimSpace(at.Path+" "+at.Query().Get("error")), want)
	}
	want("no page asked for", "/callback", "prompt", "none")
	want("a page asked for", "/sign-in", "prompt", "login")
	want("a sign-in now, without a page", "/callback login_required", "max_age", "0", "prompt", "none")
	a.p.Suspend(signintest.Bob().Subject)
	want("suspended", "/callback login_required", "prompt", "none")
	a.p.Reinstate(signintest.Bob().Subject)
	want("reinstated", "/callback", "prompt", "none")
	for range 3 {
		c.Advance(14*24*time.Hour - 1)
		want("within 14 days of the last request", "/callback")
	}
	c.Advance(14 * 24 * time.Hour)
	want("14 days after the last request", "/sign-in")
}

func TestAuthorize_SignsInAgain(t *testing.T) {
	t.Parallel()
	a := start(t)
	client := a.p.NewClient()
	signIn := func(user signintest.User, pairs ...string) (sid any, refresh string) {
		q := a.authorize(t, client, user, a.params(pairs...))
		same(t, "state", q.Get("state"), "the-state")
		got := a.exchange(t, q.Get("code"))
		return part(t, got.text("id_token"), 1)["sid"], got.text("refresh_token")
	}
	login := []string{"prompt", "login consent"}
	bob, token := signIn(signintest.Bob(), login...)
	again, _ := signIn(signintest.Bob(), login...)
	same(t, "sid of the same user", again, bob)
	same(t, "logout tokens", len(a.p.LogoutDeliveries()), 0)
	alice, _ := signIn(signintest.Alice(), login...)
	same(t, "another user has the same sid", alice == bob, false)
	same(t, "sessions of the first user", len(a.p.SessionIDs(signintest.Bob().Subject)), 0)
	same(t, "the first user's refresh token", a.refresh(t, token).outcome(), "200")
	sent := a.p.LogoutDeliveries()
	same(t, "logout tokens after another user's answer", len(sent), 1)
	same(t, "its sid", part(t, sent[0].Token, 1)["sid"], bob)
	signIn(signintest.Bob()) // Visit stands for a browser that the provider does not know
	same(t, "logout tokens where the provider would not ask", len(a.p.LogoutDeliveries()), 1)
	signIn(signintest.Alice(), "max_age", "0")
	same(t, "logout tokens where it asks because of max_age", len(a.p.LogoutDeliveries()), 2)
	bob, _ = signIn(signintest.Bob())
	get(t, client, a.p.Issuer+"/session/end")
	later, _ := signIn(signintest.Bob())
	same(t, "the same sid after a sign-out", later == bob, false)
}

func TestWithResources(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithResources(api), signintest.WithResources("urn:two"))
	for resources, want := range map[string]string{
		"": "", api: "", api + ",urn:two": "", api + "," + allOfThem: "",
		"https://other.example": "invalid_target", api + ",https://other.example": "invalid_target",
	} {
		got := a.authorize(t, nil, signintest.Bob(), a.params("resource", resources))
		same(t, resources+": error", got.Get("error"), want)
		same(t, resources+": a code", got.Has("code"), want == "")
		requests := a.p.AuthorizationRequests()
		same(t, resources+": error recorded", requests[len(requests)-1].Err, want)
	}
}

func TestOneTimeToken(t *testing.T) {
	t.Parallel()
	a := start(t)
	bob := signintest.Bob()
	for name, test := range map[string]struct{ token, email, want string }{
		"of a user with an account":        {a.p.OneTimeToken(bob.Email), bob.Email, "/callback"},
		"of a new user":                    {a.p.OneTimeToken("new@example.test"), "new@example.test", "/callback"},
		"another address than the token's": {a.p.OneTimeToken(bob.Email), "eve@example.test", "/sign-in"},
		"an unknown token":                 {"unknown", bob.Email, "/sign-in"},
	} {
		same(t, name, a.next(t, a.client(), "one_time_token", test.token, "login_hint", test.email).Path, test.want)
		same(t, name+", again", a.next(t, a.client(), "one_time_token", test.token, "login_hint", test.email).Path, "/sign-in")
	}
}
