package signintest_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

func TestExchange_Refused(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	code := func() string { return a.authorize(t, nil, signintest.Bob(), a.params()).Get("code") }
	const refused = "400 invalid_grant"
	same(t, "another verifier", a.exchange(t, code(), "code_verifier", "another").outcome(), refused)
	same(t, "another redirect_uri", a.exchange(t, code(), "redirect_uri", a.URL+"/other").outcome(), refused)
	same(t, "an unknown code", a.exchange(t, "unknown").outcome(), refused)
	late := code()
	c.Advance(time.Minute)
	same(t, "after a minute", a.exchange(t, late).outcome(), refused)
	suspended := code()
	a.p.Suspend(signintest.Bob().Subject)
	same(t, "a suspended user", a.exchange(t, suspended).outcome(), refused)
	a.p.Reinstate(signintest.Bob().Subject)
	same(t, "grants revoked", a.p.Stats().RevokedForReuse, 0)
}

// A grant belongs to a browser's session. It ends as a whole, and nothing else ends
// with it.
func TestGrant_EndsAsAWhole(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(a *party, code string, tokens answer) answer{
		"its code is sent again": func(a *party, code string, _ answer) answer { return a.exchange(t, code) },
		"its refresh token is revoked": func(a *party, _ string, tokens answer) answer {
			return a.revoke(t, tokens.text("refresh_token"))
		},
		"its access token is revoked": func(a *party, _ string, tokens answer) answer {
			return a.revoke(t, tokens.text("access_token"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			browser := a.p.NewClient()
			signIn := func(client *http.Client) (string, answer) {
				code := a.authorize(t, client, signintest.Bob(), a.params()).Get("code")
				return code, a.exchange(t, code)
			}
			works := func(tokens answer) string {
				return a.refresh(t, tokens.text("refresh_token")).outcome() + ", " +
					a.get(t, a.p.Issuer+"/me", tokens.text("access_token")).outcome()
			}
			const alive, dead = "200, 200", "400 invalid_grant, 401 invalid_token"
			_, second := signIn(browser)
			waiting := a.authorize(t, browser, signintest.Bob(), a.params()).Get("code")
			code, first := signIn(browser)
			_, elsewhere := signIn(a.p.NewClient())
			same(t, "before", works(first)+", "+works(second), alive+", "+alive)
			want := "200"
			if got := end(a, code, first).outcome(); name == "its code is sent again" {
				want = "400 invalid_grant"
				same(t, "the code", got, want)
			} else {
				same(t, "the revocation", got, want)
			}
			same(t, "its own tokens", works(first), dead)
			same(t, "the browser's other session", works(second), dead)
			same(t, "a code that was not used yet", a.exchange(t, waiting).outcome(), "400 invalid_grant")
			same(t, "another browser", works(elsewhere), alive)
			_, later := signIn(browser)
			same(t, "a later sign-in", works(later), alive)
		})
	}
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	const id, secret = "app:1", "s3cret+/%:&="
	a := start(t, signintest.WithClient(id, secret))
	basic := start(t, signintest.WithClient(id, secret), signintest.WithClientAuthMethods("client_secret_basic"))
	encodedID, encodedSecret := url.QueryEscape(id), url.QueryEscape(secret)
	inForm := url.Values{"client_id": {id}, "client_secret": {secret}}
	for name, test := range map[string]struct {
		at         *party
		user, pass string
		form       url.Values
		want       string
	}{
		"basic, encoded":               {a, encodedID, encodedSecret, nil, "400 unsupported_grant_type"},
		"basic, not encoded":           {a, "app:1", secret, nil, "401 invalid_client"},
		"in the form":                  {a, "", "", inForm, "400 unsupported_grant_type"},
		"in the form, not allowed":     {basic, "", "", inForm, "401 invalid_client"},
		"in both":                      {a, encodedID, encodedSecret, inForm, "400 invalid_request"},
		"a wrong secret":               {a, encodedID, "wrong", nil, "401 invalid_client"},
		"another client in the form":   {a, "", "", url.Values{"client_id": {"x"}, "client_secret": {secret}}, "401 invalid_client"},
		"no client":                    {a, "", "", nil, "401 invalid_client"},
		"a client ID with bad escapes": {a, "%zz", encodedSecret, nil, "401 invalid_client"},
	} {
		r := newRequest(t, http.MethodPost, test.at.p.Issuer+"/token", test.form)
		if test.user != "" {
			r.SetBasicAuth(test.user, test.pass)
		}
		got := send(t, test.at.client(), r)
		same(t, name, got.outcome(), test.want)
		challenge := map[int]string{401: `Basic realm="signintest"`}[got.status]
		same(t, name, got.header.Get("WWW-Authenticate"), challenge)
		if got.text("error_description") == "" || got.text("code") == "" || got.text("message") == "" {
			t.Errorf("%s: got %s; want an error as Logto writes it", name, got.raw)
		}
	}
}

func TestRefresh_KeepsTheTokenForMostOfItsLife(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	tokens := a.signIn(t, signintest.Bob())
	token, first := tokens.text("refresh_token"), part(t, tokens.text("id_token"), 1)

	c.Advance(9 * 24 * time.Hour)
	got := a.refresh(t, token)
	same(t, "before 70 % of its life", got.text("refresh_token"), token)
	claims := part(t, got.text("id_token"), 1)
	for _, claim := range []string{"nonce", "sid", "sub"} {
		same(t, claim, claims[claim], first[claim])
	}
	same(t, "iat", number(claims["iat"])-number(first["iat"]), 9*24*3600)
	c.Advance(24 * time.Hour)
	rotated := a.refresh(t, token).text("refresh_token")
	if rotated == "" || rotated == token {
		t.Error("got the same refresh token after 70 % of its life; want another")
	}
	c.Advance(14 * 24 * time.Hour)
	same(t, "after 14 days", a.refresh(t, rotated).outcome(), "400 invalid_grant")
	same(t, "live refresh tokens", a.p.LiveRefreshTokens(signintest.Bob().Subject), 0)
}

func TestWithRefreshRotation(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now), signintest.WithRefreshRotation())
	first := a.signIn(t, signintest.Bob(), "resource", api).text("refresh_token")
	second := a.refresh(t, first).text("refresh_token")
	third := a.refresh(t, second, "resource", api).text("refresh_token")
	if first == second || second == third || third == "" {
		t.Fatal("got the same refresh token; want a new one with each answer")
	}
	// A refused request does not use up the token.
	same(t, "another resource", a.refresh(t, third, "resource", "https://other.example").outcome(), "400 invalid_target")
	for range 3 {
		c.Advance(3 * time.Second)
		same(t, "a used token three seconds after its last use", a.refresh(t, first).outcome(), "200")
	}
	c.Advance(4 * time.Second)
	same(t, "a token that is not used", a.refresh(t, third).outcome(), "200")
	same(t, "a used token four seconds after its last use", a.refresh(t, first).outcome(), "400 invalid_grant")
	same(t, "its grant", a.refresh(t, third).outcome(), "400 invalid_grant")
	s := a.p.Stats()
	same(t, "grants revoked", s.RevokedForReuse, 1)
	same(t, "refreshes", s.Refreshes, 9)
	same(t, "refreshes at once", s.MostRefreshesAtOnce, 1)
}

func TestSuspend(t *testing.T) {
	t.Parallel()
	a := start(t)
	bob := signintest.Bob()
	tokens := a.signIn(t, bob)
	same(t, "live refresh tokens before", a.p.LiveRefreshTokens(bob.Subject), 1)
	a.p.Suspend(bob.Subject)
	same(t, "refresh", a.refresh(t, tokens.text("refresh_token")).outcome(), "400 invalid_grant")
	same(t, "userinfo", a.get(t, a.p.Issuer+"/me", tokens.text("access_token")).outcome(), "401 invalid_token")
	same(t, "live refresh tokens after", a.p.LiveRefreshTokens(bob.Subject), 0)
}

func TestUserInfo_RefusesOtherTokens(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	tokens := a.signIn(t, signintest.Bob())
	c.Advance(time.Hour)
	for name, bearer := range map[string]string{
		"no token": "", "the ID token": tokens.text("id_token"), "the refresh token": tokens.text("refresh_token"),
		"an expired access token": tokens.text("access_token"),
	} {
		got := a.get(t, a.p.Issuer+"/me", bearer)
		same(t, name, got.outcome(), "401 invalid_token")
		same(t, name, got.header.Get("WWW-Authenticate"), `Bearer realm="signintest", error="invalid_token"`)
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	a := start(t)
	token := a.signIn(t, signintest.Bob()).text("refresh_token")
	anonymous := newRequest(t, http.MethodPost, a.p.Issuer+"/token/revocation", url.Values{"token": {token}})
	same(t, "without client authentication", send(t, a.client(), anonymous).outcome(), "401 invalid_client")
	same(t, "without a token", a.revoke(t, "").outcome(), "400 invalid_request")
	same(t, "an unknown token", a.revoke(t, "unknown").outcome(), "200")
	same(t, "a JWT", a.revoke(t, a.p.AccessToken("bob", api)).outcome(), "400 unsupported_token_type")
	same(t, "the token after all that", a.refresh(t, token).outcome(), "200")
	got := a.revoke(t, token)
	same(t, "a refresh token", got.outcome()+got.raw, "200")
	same(t, "revocations counted", a.p.Stats().Revocations, 5)
}

func TestWithLogto137(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts    []signintest.Option
		atHash  bool
		expires bool
		revoked string
	}{
		"1.37": {[]signintest.Option{signintest.WithLogto137()}, true, false, "200"},
		"1.42": {nil, false, true, "400 unsupported_token_type"},
	} {
		a := start(t, test.opts...)
		id := a.signIn(t, signintest.Bob()).text("id_token")
		_, atHash := part(t, id, 1)["at_hash"]
		_, expires := part(t, a.p.LogoutToken("bob", ""), 1)["exp"]
		same(t, name+": at_hash", atHash, test.atHash)
		same(t, name+": exp in the logout token", expires, test.expires)
		same(t, name+": revoking a JWT", a.revoke(t, id).outcome(), test.revoked)
	}
}

func TestOnTokenRequest_TwoAtOnce(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithRefreshRotation())
	token := a.signIn(t, signintest.Bob()).text("refresh_token")
	arrived, release := make(chan string), make(chan struct{})
	a.p.OnTokenRequest(func(form url.Values) {
		arrived <- form.Get("grant_type")
		<-release
	})
	done := make(chan int, 2)
	for range 2 {
		go func() {
			resp, err := a.client().PostForm(a.p.Issuer+"/token", url.Values{
				"grant_type": {"refresh_token"}, "refresh_token": {token},
				"client_id": {a.cfg.ClientID}, "client_secret": {a.cfg.ClientSecret},
			})
			if err != nil {
				done <- 0
				return
			}
			resp.Body.Close()
			done <- resp.StatusCode
		}()
	}
	same(t, "the first", <-arrived, "refresh_token")
	same(t, "the second", <-arrived, "refresh_token")
	close(release)
	for range 2 {
		same(t, "a refresh", <-done, 200)
	}
	same(t, "refreshes at once", a.p.Stats().MostRefreshesAtOnce, 2)
	a.p.OnTokenRequest(nil)
	same(t, "without the hook", a.refresh(t, token).status, 200)
}
