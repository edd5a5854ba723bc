package signintest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

func TestAuthorizationRequestsAreChecked(t *testing.T) {
	t.Parallel()
	a := start(t)
	tests := map[string]struct {
		pairs []string
		want  string
	}{
		"another response_type":       {[]string{"response_type", "token"}, "unsupported_response_type"},
		"another response_mode":       {[]string{"response_mode", "form_post"}, "unsupported_response_mode"},
		"no openid scope":             {[]string{"scope", "profile"}, "invalid_scope"},
		"no PKCE":                     {[]string{"code_challenge", ""}, "invalid_request"},
		"PKCE plain":                  {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"an unknown prompt":           {[]string{"prompt", "select_account"}, "invalid_request"},
		"prompt none with another":    {[]string{"prompt", "none consent"}, "invalid_request"},
		"max_age that is no number":   {[]string{"max_age", "soon"}, "invalid_request"},
		"max_age below zero":          {[]string{"max_age", "-1"}, "invalid_request"},
		"prompt none without session": {[]string{"prompt", "none"}, "login_required"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := a.authorize(t, nil, signintest.Bob(), a.params(test.pairs...))
			if got.Get("error") != test.want || got.Get("state") != "the-state" || got.Get("iss") != a.p.Issuer || got.Has("code") {
				t.Errorf("got %v; want %s with state and iss", got, test.want)
			}
		})
	}
}

func TestAParameterTwiceIsRefused(t *testing.T) {
	t.Parallel()
	a := start(t)
	q := a.params()
	q.Add("nonce", "again")
	if got := a.authorize(t, nil, signintest.Bob(), q).Get("error"); got != "invalid_request" {
		t.Errorf("got %q; want invalid_request", got)
	}
}

func TestUnknownClientsAndRedirectURIsAreNotRedirected(t *testing.T) {
	t.Parallel()
	a := start(t)
	for name, pairs := range map[string][]string{
		"another client":            {"client_id", "another"},
		"no client":                 {"client_id", ""},
		"another path":              {"redirect_uri", a.URL + "/callback/"},
		"another host":              {"redirect_uri", "https://evil.example/callback"},
		"a query that was not said": {"redirect_uri", a.URL + "/callback?x=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := a.get(t, a.p.Issuer+"/auth?"+a.params(pairs...).Encode(), "")
			if got.status != http.StatusBadRequest || got.header.Get("Location") != "" || got.text("code") == "" {
				t.Errorf("got %d to %q; want 400, no redirect", got.status, got.header.Get("Location"))
			}
		})
	}
}

func TestARedirectURIKeepsItsQuery(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.p.RegisterRedirectURIs(a.URL + "/callback?tenant=7")
	got := a.authorize(t, nil, signintest.Bob(), a.params("redirect_uri", a.URL+"/callback?tenant=7"))
	if got.Get("tenant") != "7" || got.Get("code") == "" {
		t.Errorf("got %v; want tenant=7 and a code", got)
	}
}

func TestOfflineAccessNeedsConsent(t *testing.T) {
	t.Parallel()
	a := start(t)
	for prompt, want := range map[string]bool{"": false, "login": false, "consent": true, "login consent": true} {
		t.Run("prompt "+prompt, func(t *testing.T) {
			t.Parallel()
			got := a.signIn(t, signintest.Bob(), "prompt", prompt)
			if has := got.text("refresh_token") != ""; has != want {
				t.Errorf("got refresh token %v; want %v", has, want)
			}
			if has := strings.Contains(got.text("scope"), "offline_access"); has != want {
				t.Errorf("got scope %q; want offline_access %v", got.text("scope"), want)
			}
		})
	}
}

func TestOneWrongValueDropsAllOfLogtosParameters(t *testing.T) {
	t.Parallel()
	right := url.Values{
		"first_screen":     {"identifier:register"},
		"interaction_mode": {"signUp"},
		"identifier":       {"email phone"},
		"direct_sign_in":   {"sso:unknown"},
		"login_hint":       {"alice"},
		"one_time_token":   {"unknown"},
		"organization_id":  {"org_one"},
		"ui_locales":       {"ko-KR en"},
		"resource":         {"https://api.example,urn:other"},
	}
	wrong := map[string]string{
		"first_screen":     "signup",
		"interaction_mode": "signup",
		"identifier":       "email fax",
		"direct_sign_in":   "naver",
		"login_hint":       "",
		"one_time_token":   "",
		"organization_id":  "",
		"ui_locales":       "ko_KR",
		"resource":         "https://api.example#x",
	}
	a := start(t)
	last := func() signintest.AuthorizationRequest {
		all := a.p.AuthorizationRequests()
		return all[len(all)-1]
	}
	ask := func(change string, value string) signintest.AuthorizationRequest {
		q := a.params()
		for name, values := range right {
			q[name] = slices.Clone(values)
		}
		if change != "" {
			q.Set(change, value)
		}
		a.authorize(t, nil, signintest.Alice(), q)
		return last()
	}
	kept := ask("", "")
	for name := range right {
		if !kept.Effective.Has(name) {
			t.Errorf("%s: got dropped; want kept, since all are right", name)
		}
	}
	if got, want := kept.Effective["resource"], []string{"https://api.example", "urn:other"}; !slices.Equal(got, want) {
		t.Errorf("resource: got %q; want %q", got, want)
	}
	for name, value := range wrong {
		got := ask(name, value)
		for other := range right {
			if got.Effective.Has(other) {
				t.Errorf("%s wrong: got %s kept; want all dropped", name, other)
			}
		}
		if got.Asked.Get(name) != value || got.Err != "" {
			t.Errorf("%s wrong: got asked %q, error %q; want %q, none", name, got.Asked.Get(name), got.Err, value)
		}
	}
}

func TestFirstPage(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithConnectors("sso:acme"))
	tests := map[string]struct {
		pairs []string
		want  string
	}{
		"nothing asked":                   {nil, "/sign-in"},
		"first_screen register":           {[]string{"first_screen", "register"}, "/register"},
		"first_screen before the older":   {[]string{"first_screen", "sign_in", "interaction_mode", "signUp"}, "/sign-in"},
		"interaction_mode signUp":         {[]string{"interaction_mode", "signUp"}, "/register"},
		"Naver":                           {[]string{"direct_sign_in", "social:naver"}, "/connect/social:naver"},
		"X":                               {[]string{"direct_sign_in", "social:x"}, "/connect/social:x"},
		"a connector before first_screen": {[]string{"direct_sign_in", "sso:acme", "first_screen", "register"}, "/connect/sso:acme"},
		"an unknown connector":            {[]string{"direct_sign_in", "social:kakao"}, "/sign-in"},
		"all dropped":                     {[]string{"first_screen", "register", "ui_locales", "!"}, "/sign-in"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := a.get(t, a.p.Issuer+"/auth?"+a.params(test.pairs...).Encode(), "")
			at, err := url.Parse(got.header.Get("Location"))
			if err != nil || got.status != http.StatusSeeOther || at.Path != test.want || at.Query().Get("interaction") == "" {
				t.Errorf("got %d to %q; want 303 to %s", got.status, at, test.want)
			}
		})
	}
}

func TestASessionAnswersWithoutAForm(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	client := a.p.NewClient()
	a.authorize(t, client, signintest.Bob(), a.params())
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	// sends a request as the browser that Bob has used, and returns where it ends.
	ask := func(pairs ...string) string {
		resp, err := client.Get(a.p.Issuer + "/auth?" + a.params(pairs...).Encode())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		at, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		if e := at.Query().Get("error"); e != "" {
			return e
		}
		return at.Path
	}
	c.Advance(100 * time.Second)
	tests := []struct {
		name  string
		pairs []string
		want  string
	}{
		{"asks for nothing", nil, "/callback"},
		{"asks for no form", []string{"prompt", "none"}, "/callback"},
		{"asks for a form", []string{"prompt", "login"}, "/sign-in"},
		{"asks for a sign-in that is recent enough", []string{"max_age", "100"}, "/callback"},
		{"asks for a more recent sign-in", []string{"max_age", "99"}, "/sign-in"},
		{"asks for a sign-in now", []string{"max_age", "0"}, "/sign-in"},
		{"asks for a more recent one without a form", []string{"max_age", "99", "prompt", "none"}, "login_required"},
	}
	for _, test := range tests {
		if got := ask(test.pairs...); got != test.want {
			t.Errorf("%s: got %s; want %s", test.name, got, test.want)
		}
	}
	a.p.Suspend(signintest.Bob().Subject)
	if got := ask("prompt", "none"); got != "login_required" {
		t.Errorf("suspended: got %s; want login_required", got)
	}
	a.p.Reinstate(signintest.Bob().Subject)
	if got := ask("prompt", "none"); got != "/callback" {
		t.Errorf("reinstated: got %s; want /callback", got)
	}
}

func TestSigningInAgainKeepsTheSessionOfTheSamePerson(t *testing.T) {
	t.Parallel()
	a := start(t)
	client := a.p.NewClient()
	sid := func(user signintest.User) any {
		got := a.exchange(t, a.authorize(t, client, user, a.params("prompt", "login")).Get("code"))
		return part(t, got.text("id_token"), 1)["sid"]
	}
	bob := sid(signintest.Bob())
	if again := sid(signintest.Bob()); again != bob {
		t.Errorf("got sid %v; want %v as before", again, bob)
	}
	if alice := sid(signintest.Alice()); alice == bob {
		t.Error("got Bob's sid for Alice")
	}
	if got := a.p.SessionIDs(signintest.Bob().Subject); len(got) != 0 {
		t.Errorf("got %d sessions of Bob; want none in Alice's browser", len(got))
	}
}

func TestAOneTimeTokenSignsInOnce(t *testing.T) {
	t.Parallel()
	a := start(t)
	bob := signintest.Bob()
	tests := map[string]struct{ token, email, want string }{
		"a token of somebody with an account": {a.p.OneTimeToken(bob.Email), bob.Email, "/callback"},
		"a token of somebody new":             {a.p.OneTimeToken("new@example.test"), "new@example.test", "/callback"},
		"another address than the token's":    {a.p.OneTimeToken(bob.Email), "eve@example.test", "/sign-in"},
		"an unknown token":                    {"unknown", bob.Email, "/sign-in"},
	}
	for name, test := range tests {
		for i, want := range []string{test.want, "/sign-in"} {
			got := a.get(t, a.p.Issuer+"/auth?"+a.params("one_time_token", test.token, "login_hint", test.email).Encode(), "")
			if at, _ := url.Parse(got.header.Get("Location")); at.Path != want {
				t.Errorf("%s, use %d: got %s; want %s", name, i+1, at.Path, want)
			}
		}
	}
}

func TestIgnorePKCE(t *testing.T) {
	t.Parallel()
	a := start(t)
	exchange := func(codeVerifier string) answer {
		return a.post(t, a.p.Issuer+"/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {a.authorize(t, nil, signintest.Bob(), a.params()).Get("code")},
			"redirect_uri": {a.URL + "/callback"}, "code_verifier": {codeVerifier},
		})
	}
	for _, wrong := range []string{"", "somebody else's"} {
		a.p.Inject(faults.IgnorePKCE)
		if got := exchange(wrong); got.status != 200 || part(t, got.text("id_token"), 1)["nonce"] != a.params().Get("nonce") {
			t.Errorf("verifier %q: got %d %s; want tokens with the nonce of the request", wrong, got.status, got.raw)
		}
		a.p.Clear()
		if got := exchange(wrong); got.text("error") != "invalid_grant" {
			t.Errorf("verifier %q, after Clear: got %d; want invalid_grant", wrong, got.status)
		}
	}
}
