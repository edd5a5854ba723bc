package signintest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

func TestIDToken_EmptyAttributesAreNull(t *testing.T) {
	t.Parallel()
	a := start(t)
	for name, test := range map[string]struct {
		user signintest.User
		want map[string]any
	}{
		"Alice": {signintest.Alice(), map[string]any{
			"sub": "alice0000001", "name": "Alice Example", "username": "alice", "email": "alice@example.test",
			"email_verified": true, "phone_number": "15550000001", "phone_number_verified": true,
			"created_at": json.Number("1735787045678"), "updated_at": json.Number("1735787045678"),
		}},
		"Naver": {signintest.NaverUser(), map[string]any{
			"name": "길동", "username": nil, "email": "gildong@naver.example.test", "phone_number": nil, "phone_number_verified": false,
		}},
		"X": {signintest.XUser(), map[string]any{
			"name": "Xavier Example", "username": nil, "picture": nil, "email": nil, "email_verified": false,
		}},
	} {
		claims := part(t, a.signIn(t, test.user, "scope", "openid profile email phone").text("id_token"), 1)
		for claim, want := range test.want {
			if got, there := claims[claim]; !there || got != want {
				t.Errorf("%s: %s: got %v (there: %v); want %v", name, claim, got, there, want)
			}
		}
	}
}

func TestIDToken_Claims(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithNow(newClock().Now), signintest.WithAccessTokenLifetime(5*time.Minute))
	tokens := a.signIn(t, signintest.Bob())
	claims := part(t, tokens.text("id_token"), 1)
	if claims["nonce"] != "the-nonce" || claims["aud"] != a.cfg.ClientID || claims["iss"] != a.p.Issuer || claims["sid"] == nil ||
		number(claims["iat"]) != 1772600767 || number(claims["exp"]) != 1772601067 {
		t.Errorf("got %v", claims)
	}
	if tokens.body["expires_in"] != 300.0 {
		t.Errorf("got expires_in %v; want 300", tokens.body["expires_in"])
	}
}

func TestClaims_NeedTheirScopes(t *testing.T) {
	t.Parallel()
	a := start(t)
	user := signintest.Alice()
	user.Claims = map[string]any{
		"address": map[string]any{"country": "KR"}, "custom_data": map[string]any{"a": 1}, "identities": map[string]any{},
		"sso_identities": []string{}, "organization_data": []string{}, "acr": "urn:example:mfa",
	}
	scopeOf := map[string]string{
		"name": "profile", "picture": "profile", "username": "profile", "created_at": "profile", "updated_at": "profile",
		"email": "email", "email_verified": "email", "phone_number": "phone", "phone_number_verified": "phone",
		"address": "address", "roles": "roles", "organizations": "urn:logto:scope:organizations",
		"organization_roles": "urn:logto:scope:organization_roles", "organization_data": "urn:logto:scope:organization_data",
		"custom_data": "custom_data", "identities": "identities", "sso_identities": "sso_identities",
		"sub": "", "acr": "",
	}
	userInfoOnly := map[string]bool{"custom_data": true, "identities": true, "sso_identities": true, "organization_data": true}
	scopes := map[string]bool{}
	for _, scope := range scopeOf {
		scopes[scope] = true
	}
	for scope := range scopes {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			tokens := a.signIn(t, user, "scope", "openid "+scope)
			id := part(t, tokens.text("id_token"), 1)
			info := a.get(t, a.p.Issuer+"/me", tokens.text("access_token")).body
			for claim, needs := range scopeOf {
				want := needs == "" || needs == scope
				if _, got := info[claim]; got != want {
					t.Errorf("userinfo: got %s %v; want %v", claim, got, want)
				}
				if _, got := id[claim]; got != (want && !userInfoOnly[claim]) {
					t.Errorf("ID token: got %s %v", claim, got)
				}
			}
		})
	}
}

func TestExchange_Refused(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	code := func() string { return a.authorize(t, nil, signintest.Bob(), a.params()).Get("code") }
	refused := func(name string, got answer) {
		t.Helper()
		if got.status != 400 || got.text("error") != "invalid_grant" {
			t.Errorf("%s: got %d %s; want 400 invalid_grant", name, got.status, got.text("error"))
		}
	}
	refused("another verifier", a.exchange(t, code(), "code_verifier", "another"))
	refused("another redirect_uri", a.exchange(t, code(), "redirect_uri", a.URL+"/other"))
	refused("an unknown code", a.exchange(t, "unknown"))
	late := code()
	c.Advance(time.Minute)
	refused("after a minute", a.exchange(t, late))
	suspended := code()
	a.p.Suspend(signintest.Bob().Subject)
	refused("a suspended user", a.exchange(t, suspended))
	a.p.Reinstate(signintest.Bob().Subject)
	used := code()
	first := a.exchange(t, used)
	if first.status != 200 {
		t.Fatalf("got %d %s; want 200", first.status, first.raw)
	}
	refused("a used code", a.exchange(t, used))
	refused("the grant of a used code", a.refresh(t, first.text("refresh_token")))
	if got := a.p.Stats().RevokedForReuse; got != 1 {
		t.Errorf("got %d grants revoked; want 1", got)
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
		"basic, encoded":               {a, encodedID, encodedSecret, nil, "unsupported_grant_type"},
		"basic, not encoded":           {a, "app:1", secret, nil, "invalid_client"},
		"in the form":                  {a, "", "", inForm, "unsupported_grant_type"},
		"in the form, not allowed":     {basic, "", "", inForm, "invalid_client"},
		"in both":                      {a, encodedID, encodedSecret, inForm, "invalid_request"},
		"a wrong secret":               {a, encodedID, "wrong", nil, "invalid_client"},
		"another client in the form":   {a, "", "", url.Values{"client_id": {"x"}, "client_secret": {secret}}, "invalid_client"},
		"no client":                    {a, "", "", nil, "invalid_client"},
		"a client ID of wrong escapes": {a, "%zz", encodedSecret, nil, "invalid_client"},
	} {
		r := newRequest(t, http.MethodPost, test.at.p.Issuer+"/token", test.form)
		if test.user != "" {
			r.SetBasicAuth(test.user, test.pass)
		}
		got := test.at.do(t, r)
		if got.text("error") != test.want {
			t.Errorf("%s: got %q; want %q", name, got.text("error"), test.want)
		}
		unauthorized, challenged := got.status == 401, got.header.Get("WWW-Authenticate") == `Basic realm="signintest"`
		if unauthorized != (test.want == "invalid_client") || unauthorized != challenged {
			t.Errorf("%s: got %d, WWW-Authenticate %q", name, got.status, got.header.Get("WWW-Authenticate"))
		}

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
	if got.text("refresh_token") != token {
		t.Error("got another refresh token before 70 % of its life; want the same")
	}
	claims := part(t, got.text("id_token"), 1)
	if claims["nonce"] != "the-nonce" || claims["sid"] != first["sid"] || claims["sub"] != first["sub"] || claims["iat"] == first["iat"] {
		t.Errorf("got %v; want the first nonce, sid and sub, and a new iat", claims)
	}
	c.Advance(24 * time.Hour)
	rotated := a.refresh(t, token).text("refresh_token")
	if rotated == "" || rotated == token {
		t.Error("got the same refresh token after 70 % of its life; want another")
	}
	c.Advance(14 * 24 * time.Hour)
	if got := a.refresh(t, rotated); got.text("error") != "invalid_grant" {
		t.Errorf("after 14 days: got %d; want invalid_grant", got.status)
	}
	if got := a.p.LiveRefreshTokens(signintest.Bob().Subject); got != 0 {
		t.Errorf("got %d live refresh tokens; want none", got)
	}
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
	refused := func(name, token string, pairs ...string) {
		t.Helper()
		if got := a.refresh(t, token, pairs...); got.status != 400 {
			t.Errorf("%s: got %d; want 400", name, got.status)
		}
	}
	refused("a token for another resource", third, "resource", "https://other.example")
	c.Advance(3 * time.Second)
	if got := a.refresh(t, first); got.status != 200 {
		t.Errorf("a used token within the grace: got %d; want 200", got.status)
	}
	c.Advance(time.Second)
	if got := a.refresh(t, third); got.status != 200 {
		t.Errorf("a token that was refused, which does not use it: got %d; want 200", got.status)
	}
	refused("a used token after the grace", first)
	refused("the grant of a token used again", third)
	if s := a.p.Stats(); s.RevokedForReuse != 1 || s.Refreshes != 7 || s.MostRefreshesAtOnce != 1 {
		t.Errorf("got %+v; want one grant revoked, seven refreshes, one at a time", s)
	}
}

func TestSuspend(t *testing.T) {
	t.Parallel()
	a := start(t)
	tokens := a.signIn(t, signintest.Bob())
	if got := a.p.LiveRefreshTokens(signintest.Bob().Subject); got != 1 {
		t.Errorf("got %d live refresh tokens; want 1", got)
	}
	a.p.Suspend(signintest.Bob().Subject)
	if got := a.refresh(t, tokens.text("refresh_token")); got.text("error") != "invalid_grant" {
		t.Errorf("refresh: got %d; want invalid_grant", got.status)
	}
	if got := a.get(t, a.p.Issuer+"/me", tokens.text("access_token")).status; got != 401 {
		t.Errorf("userinfo: got %d; want 401", got)
	}
	if got := a.p.LiveRefreshTokens(signintest.Bob().Subject); got != 0 {
		t.Errorf("got %d live refresh tokens; want none", got)
	}
}

func TestUserInfo_RefusesOtherTokens(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	tokens := a.signIn(t, signintest.Bob())
	refused := func(name, bearer string) {
		t.Helper()
		got := a.get(t, a.p.Issuer+"/me", bearer)
		if challenge := `Bearer realm="signintest", error="invalid_token"`; got.status != 401 || got.header.Get("WWW-Authenticate") != challenge {
			t.Errorf("%s: got %d, %q; want 401, %q", name, got.status, got.header.Get("WWW-Authenticate"), challenge)
		}
	}
	refused("no token", "")
	refused("the ID token", tokens.text("id_token"))
	refused("the refresh token", tokens.text("refresh_token"))
	c.Advance(time.Hour)
	refused("an expired access token", tokens.text("access_token"))
}

func TestRevocation_EndsTheGrant(t *testing.T) {
	t.Parallel()
	a := start(t)
	address := a.p.Issuer + "/token/revocation"
	client := a.p.NewClient()
	signIn := func() answer {
		return a.exchange(t, a.authorize(t, client, signintest.Bob(), a.params()).Get("code"))
	}
	first, second := signIn(), signIn()
	if got := a.do(t, newRequest(t, http.MethodPost, address, url.Values{"token": {first.text("refresh_token")}})); got.status != 401 {
		t.Errorf("without client authentication: got %d; want 401", got.status)
	}
	if got := a.refresh(t, first.text("refresh_token")); got.status != 200 {
		t.Errorf("after a refused revocation: got %d; want 200", got.status)
	}
	if got := a.post(t, address, nil); got.text("error") != "invalid_request" {
		t.Errorf("without a token: got %d; want invalid_request", got.status)
	}
	for _, token := range []string{first.text("refresh_token"), "unknown"} {
		if got := a.post(t, address, url.Values{"token": {token}}); got.status != 200 || got.raw != "" {
			t.Errorf("got %d %q; want 200 and nothing", got.status, got.raw)
		}
	}
	// Both sign-ins of one session share a grant.
	for _, tokens := range []answer{first, second} {
		if got := a.refresh(t, tokens.text("refresh_token")); got.text("error") != "invalid_grant" {
			t.Errorf("after the revocation: got %d; want invalid_grant", got.status)
		}
	}
	third := signIn()
	if got := a.refresh(t, third.text("refresh_token")); got.status != 200 {
		t.Errorf("a sign-in afterwards: got %d; want 200", got.status)
	}
	if got := a.post(t, address, url.Values{"token": {third.text("access_token")}}); got.status != 200 {
		t.Errorf("an access token: got %d; want 200", got.status)
	}
	if got := a.get(t, a.p.Issuer+"/me", third.text("access_token")).status; got != 401 {
		t.Errorf("a revoked access token: got %d; want 401", got)
	}
	if got := a.p.Stats().Revocations; got != 5 {
		t.Errorf("got %d revocations counted; want 5", got)
	}
}

func TestWithLogto137(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts   []signintest.Option
		atHash bool
		exp    bool
		status int
	}{
		"1.37": {[]signintest.Option{signintest.WithLogto137()}, true, false, 200},
		"1.42": {nil, false, true, 400},
	} {
		a := start(t, test.opts...)
		id := a.signIn(t, signintest.Bob()).text("id_token")
		if _, got := part(t, id, 1)["at_hash"]; got != test.atHash {
			t.Errorf("%s: at_hash: got %v; want %v", name, got, test.atHash)
		}
		if _, got := part(t, a.p.LogoutToken("bob", ""), 1)["exp"]; got != test.exp {
			t.Errorf("%s: exp in the logout token: got %v; want %v", name, got, test.exp)
		}
		if got := a.post(t, a.p.Issuer+"/token/revocation", url.Values{"token": {id}}).status; got != test.status {
			t.Errorf("%s: revoking a JWT: got %d; want %d", name, got, test.status)
		}
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
	one, two := <-arrived, <-arrived
	close(release)
	if one != "refresh_token" || two != "refresh_token" {
		t.Errorf("got %q, %q; want two refreshes", one, two)
	}
	for range 2 {
		if status := <-done; status != 200 {
			t.Errorf("got %d; want 200", status)
		}
	}
	if got := a.p.Stats().MostRefreshesAtOnce; got != 2 {
		t.Errorf("got %d at once; want 2", got)
	}
	a.p.OnTokenRequest(nil)
	if got := a.refresh(t, token).status; got != 200 {
		t.Errorf("without the hook: got %d; want 200", got)
	}
}
