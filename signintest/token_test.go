package signintest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

func TestEmptyAttributesAreNullInTheIDToken(t *testing.T) {
	t.Parallel()
	a := start(t)
	tests := map[string]struct {
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
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims := part(t, a.signIn(t, test.user, "scope", "openid profile email phone").text("id_token"), 1)
			for claim, want := range test.want {
				if got, there := claims[claim]; !there || got != want {
					t.Errorf("%s: got %v (there: %v); want %v", claim, got, there, want)
				}
			}
		})
	}
}

func TestClaimsNeedTheirScopes(t *testing.T) {
	t.Parallel()
	a := start(t)
	user := signintest.Alice()
	user.Claims = map[string]any{
		"address": map[string]any{"country": "KR"}, "custom_data": map[string]any{"a": 1}, "identities": map[string]any{},
		"sso_identities": []string{}, "organization_data": []string{}, "acr": "urn:example:mfa",
	}
	const userInfo = "from userinfo only"
	tests := map[string]map[string]string{ // scope to claims
		"openid":                               {"sub": "", "acr": ""},
		"openid profile":                       {"name": "", "picture": "", "username": "", "created_at": "", "updated_at": ""},
		"openid email":                         {"email": "", "email_verified": ""},
		"openid phone":                         {"phone_number": "", "phone_number_verified": ""},
		"openid address":                       {"address": ""},
		"openid roles":                         {"roles": ""},
		"openid urn:logto:scope:organizations": {"organizations": ""},
		"openid urn:logto:scope:organization_roles": {"organization_roles": ""},
		"openid custom_data":                        {"custom_data": userInfo},
		"openid identities":                         {"identities": userInfo},
		"openid sso_identities":                     {"sso_identities": userInfo},
		"openid urn:logto:scope:organization_data":  {"organization_data": userInfo},
	}
	var scoped []string
	for scope, claims := range tests {
		for claim := range claims {
			if scope != "openid" {
				scoped = append(scoped, claim)
			}
		}
	}
	for scope, want := range tests {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			tokens := a.signIn(t, user, "scope", scope)
			id := part(t, tokens.text("id_token"), 1)
			info := a.get(t, a.p.Issuer+"/me", tokens.text("access_token")).body
			for claim, where := range want {
				if _, there := id[claim]; there != (where != userInfo) {
					t.Errorf("ID token: got %s %v", claim, there)
				}
				if _, there := info[claim]; !there {
					t.Errorf("userinfo: got no %s", claim)
				}
			}
			for _, claim := range scoped {
				_, asked := want[claim]
				_, inToken := id[claim]
				_, inInfo := info[claim]
				if !asked && (inToken || inInfo) {
					t.Errorf("got %s without its scope", claim)
				}
			}
		})
	}
}

func TestIDTokenSaysAuthTimeOnlyIfAsked(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now), signintest.WithAccessTokenLifetime(5*time.Minute))
	for name, maxAge := range map[string]string{"with max_age": "60", "without": ""} {
		tokens := a.signIn(t, signintest.Bob(), "max_age", maxAge)
		claims := part(t, tokens.text("id_token"), 1)
		at, there := claims["auth_time"]
		if there != (maxAge != "") || there && at != json.Number("1772600767") {
			t.Errorf("%s: got auth_time %v", name, at)
		}
		if claims["nonce"] != "the-nonce" || claims["aud"] != a.cfg.ClientID || claims["iss"] != a.p.Issuer || claims["sid"] == nil ||
			claims["iat"] != json.Number("1772600767") || claims["exp"] != json.Number("1772601067") {
			t.Errorf("%s: got %v", name, claims)
		}
		if _, there := claims["at_hash"]; there {
			t.Errorf("%s: got at_hash; want none, as at Logto 1.42", name)
		}
		if tokens.body["expires_in"] != 300.0 {
			t.Errorf("%s: got expires_in %v; want 300", name, tokens.body["expires_in"])
		}
	}
}

func TestACodeIsGoodOnceAndForOneRequest(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	exchange := func(code string, pairs ...string) answer {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {code},
			"redirect_uri": {a.URL + "/callback"}, "code_verifier": {verifier}}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return a.post(t, a.p.Issuer+"/token", form)
	}
	code := func() string { return a.authorize(t, nil, signintest.Bob(), a.params()).Get("code") }

	for name, pairs := range map[string][]string{
		"another verifier":     {"code_verifier", "another"},
		"another redirect_uri": {"redirect_uri", a.URL + "/other"},
		"another code":         {"code", "unknown"},
	} {
		if got := exchange(code(), pairs...); got.status != 400 || got.text("error") != "invalid_grant" {
			t.Errorf("%s: got %d %s; want 400 invalid_grant", name, got.status, got.text("error"))
		}
	}
	late := code()
	c.Advance(60 * time.Second)
	if got := exchange(late); got.text("error") != "invalid_grant" {
		t.Errorf("after a minute: got %d; want invalid_grant", got.status)
	}
	suspended := code()
	a.p.Suspend(signintest.Bob().Subject)
	if got := exchange(suspended); got.text("error") != "invalid_grant" {
		t.Errorf("suspended: got %d; want invalid_grant", got.status)
	}
	a.p.Reinstate(signintest.Bob().Subject)
	used := code()
	first := exchange(used)
	if first.status != 200 {
		t.Fatalf("got %d %s; want 200", first.status, first.raw)
	}
	if got := exchange(used); got.text("error") != "invalid_grant" {
		t.Errorf("again: got %d; want invalid_grant", got.status)
	}
	if got := a.refresh(t, first.text("refresh_token")); got.text("error") != "invalid_grant" {
		t.Errorf("grant after reuse: got %d; want invalid_grant", got.status)
	}
	if got := a.p.Stats().RevokedForReuse; got != 1 {
		t.Errorf("got %d revoked; want 1", got)
	}
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	const id, secret = "app:1", "s3cret+/%:&="
	a := start(t, signintest.WithClient(id, secret))
	basic := start(t, signintest.WithClient(id, secret), signintest.WithClientAuthMethods("client_secret_basic"))
	inForm := url.Values{"client_id": {id}, "client_secret": {secret}}
	tests := map[string]struct {
		at         *party
		user, pass string
		form       url.Values
		want       string
	}{
		"basic, encoded":             {a, url.QueryEscape(id), url.QueryEscape(secret), nil, "unsupported_grant_type"},
		"basic, not encoded":         {a, "app:1", secret, nil, "invalid_client"},
		"in the form":                {a, "", "", inForm, "unsupported_grant_type"},
		"in the form, not allowed":   {basic, "", "", inForm, "invalid_client"},
		"both":                       {a, url.QueryEscape(id), url.QueryEscape(secret), inForm, "invalid_request"},
		"a wrong secret":             {a, url.QueryEscape(id), "wrong", nil, "invalid_client"},
		"a wrong client in the form": {a, "", "", url.Values{"client_id": {"x"}, "client_secret": {secret}}, "invalid_client"},
		"nothing":                    {a, "", "", nil, "invalid_client"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := formRequest(t, test.at.p.Issuer+"/token", test.form)
			if test.user != "" {
				r.SetBasicAuth(test.user, test.pass)
			}
			got := test.at.do(t, r)
			if got.text("error") != test.want {
				t.Errorf("got %q; want %q", got.text("error"), test.want)
			}
			if (got.status == 401) != (test.want == "invalid_client") || (got.status == 401) != (got.header.Get("WWW-Authenticate") != "") {
				t.Errorf("got %d, WWW-Authenticate %q", got.status, got.header.Get("WWW-Authenticate"))
			}
			for _, field := range []string{"error_description", "code", "message"} {
				if got.text(field) == "" {
					t.Errorf("got no %s; want Logto's form of an error", field)
				}
			}
		})
	}
}

func TestAConfidentialClientKeepsItsRefreshToken(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	tokens := a.signIn(t, signintest.Bob())
	token := tokens.text("refresh_token")
	first := part(t, tokens.text("id_token"), 1)

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

func TestReuseAfterRotation(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now), signintest.WithRefreshRotation())
	token := a.signIn(t, signintest.Bob()).text("refresh_token")
	second := a.refresh(t, token).text("refresh_token")
	if second == token || second == "" {
		t.Fatal("got no new refresh token")
	}
	c.Advance(3 * time.Second)
	if got := a.refresh(t, token); got.status != 200 {
		t.Errorf("within the grace: got %d; want 200", got.status)
	}
	c.Advance(time.Second)
	if got := a.refresh(t, token); got.text("error") != "invalid_grant" {
		t.Errorf("after the grace: got %d; want invalid_grant", got.status)
	}
	if got := a.refresh(t, second); got.text("error") != "invalid_grant" {
		t.Errorf("the whole grant: got %d; want invalid_grant", got.status)
	}
	if s := a.p.Stats(); s.RevokedForReuse != 1 || s.Refreshes != 4 || s.MostRefreshesAtOnce != 1 {
		t.Errorf("got %+v; want one grant revoked, four refreshes, one at a time", s)
	}
}

func TestASuspendedUserIsRefused(t *testing.T) {
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
	if got := a.get(t, a.p.Issuer+"/me", tokens.text("access_token")); got.status != 401 || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("userinfo: got %d; want 401 with WWW-Authenticate", got.status)
	}
	if got := a.p.LiveRefreshTokens(signintest.Bob().Subject); got != 0 {
		t.Errorf("got %d live refresh tokens; want none", got)
	}
}

func TestUserInfoTakesTheAccessTokenOnly(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	tokens := a.signIn(t, signintest.Bob())
	for name, bearer := range map[string]string{
		"none": "", "the ID token": tokens.text("id_token"), "the refresh token": tokens.text("refresh_token"),
	} {
		if got := a.get(t, a.p.Issuer+"/me", bearer).status; got != http.StatusUnauthorized {
			t.Errorf("%s: got %d; want 401", name, got)
		}
	}
	c.Advance(time.Hour)
	if got := a.get(t, a.p.Issuer+"/me", tokens.text("access_token")).status; got != http.StatusUnauthorized {
		t.Errorf("expired: got %d; want 401", got)
	}
}

func TestRevocationEndsTheGrant(t *testing.T) {
	t.Parallel()
	a := start(t)
	address := a.p.Issuer + "/token/revocation"
	client := a.p.NewClient()
	first := a.exchange(t, a.authorize(t, client, signintest.Bob(), a.params()).Get("code"))
	second := a.exchange(t, a.authorize(t, client, signintest.Bob(), a.params()).Get("code"))

	if got := a.do(t, formRequest(t, address, url.Values{"token": {first.text("refresh_token")}})); got.status != 401 {
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
			t.Errorf("after revocation: got %d; want invalid_grant", got.status)
		}
	}
	third := a.exchange(t, a.authorize(t, client, signintest.Bob(), a.params()).Get("code"))
	if got := a.refresh(t, third.text("refresh_token")); got.status != 200 {
		t.Errorf("a sign-in afterwards: got %d; want 200", got.status)
	}
	if got := a.post(t, address, url.Values{"token": {third.text("access_token")}}); got.status != 200 {
		t.Errorf("access token: got %d; want 200", got.status)
	}
	if got := a.get(t, a.p.Issuer+"/me", third.text("access_token")).status; got != 401 {
		t.Errorf("revoked access token: got %d; want 401", got)
	}
	if got := a.p.Stats().Revocations; got != 5 {
		t.Errorf("got %d revocations counted; want 5", got)
	}
}

func TestLogto137(t *testing.T) {
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
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, test.opts...)
			id := a.signIn(t, signintest.Bob()).text("id_token")
			if _, got := part(t, id, 1)["at_hash"]; got != test.atHash {
				t.Errorf("at_hash: got %v; want %v", got, test.atHash)
			}
			if _, got := part(t, a.p.LogoutToken("bob", ""), 1)["exp"]; got != test.exp {
				t.Errorf("exp in the logout token: got %v; want %v", got, test.exp)
			}
			if got := a.post(t, a.p.Issuer+"/token/revocation", url.Values{"token": {id}}).status; got != test.status {
				t.Errorf("revoking a JWT: got %d; want %d", got, test.status)
			}
		})
	}
}

func TestTheHookSeesEachTokenRequest(t *testing.T) {
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
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token},
				"client_id": {a.cfg.ClientID}, "client_secret": {a.cfg.ClientSecret}}
			resp, err := a.client().PostForm(a.p.Issuer+"/token", form)
			if err != nil {
				done <- 0
				return
			}
			resp.Body.Close()
			done <- resp.StatusCode
		}()
	}
	got := []string{<-arrived, <-arrived}
	close(release)
	if !slices.Equal(got, []string{"refresh_token", "refresh_token"}) {
		t.Errorf("got %q; want two refreshes", got)
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
