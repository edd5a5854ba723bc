package signintest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// What each fault changes is tested in package faults; here, that it arrives.

func TestFaultsOfTheAuthorizationResponse(t *testing.T) {
	t.Parallel()
	for fault, is := range map[signintest.Fault]func(q url.Values, issuer string) bool{
		faults.ResponseIssuerWrong: func(q url.Values, issuer string) bool { return q.Get("iss") != issuer && q.Has("code") },
		faults.ResponseCodeWrong:   func(q url.Values, _ string) bool { return len(q["code"]) == 1 },
		faults.ResponseCodeHuge:    func(q url.Values, _ string) bool { return len(q.Get("code")) == 100<<10 },
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			// The address of the redirect is looked at, not followed: 100 KB is
			// more than some servers take.
			client := a.p.NewClient()
			a.authorize(t, client, signintest.Bob(), a.params())
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			a.p.Inject(fault)
			ask := func() url.Values {
				resp, err := client.Get(a.p.Issuer + "/auth?" + a.params().Encode())
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				at, err := resp.Location()
				if err != nil {
					t.Fatal(err)
				}
				return at.Query()
			}
			got := ask()
			if !is(got, a.p.Issuer) {
				t.Errorf("got %.300v", got)
			}
			if fault == faults.ResponseCodeWrong && a.exchange(t, got.Get("code")).text("error") != "invalid_grant" {
				t.Error("got a code that works")
			}
			a.p.Clear()
			if got := ask(); len(got) != 3 || got.Get("state") != "the-state" || got.Get("iss") != a.p.Issuer || !got.Has("code") {
				t.Errorf("after Clear: got %v; want the right response", got)
			}
		})
	}
}

func TestFaultsOfTokenResponses(t *testing.T) {
	t.Parallel()
	a := start(t)
	right := a.signIn(t, signintest.Bob()).text("refresh_token")
	a.p.Inject(faults.TokensNoIDToken)
	for name, got := range map[string]answer{"sign-in": a.signIn(t, signintest.Bob()), "refresh": a.refresh(t, right)} {
		if got.body["id_token"] != nil || got.text("access_token") == "" {
			t.Errorf("%s: got %v; want no ID token", name, got.body)
		}
	}
}

// answerFault is a whole answer that stands in place of the right one.
type answerFault struct {
	endpoint    string
	status      int
	code        string // of the error
	contentType string
	body        string // some of it
}

var answerFaults = map[signintest.Fault]answerFault{
	faults.TokenInvalidGrant:  {"/token", 400, "invalid_grant", "application/json", "oidc.invalid_grant"},
	faults.TokenInvalidClient: {"/token", 401, "invalid_client", "application/json", ""},
	faults.TokenSecretExpired: {"/token", 400, "invalid_request", "application/json", "client secret has expired"},
	faults.TokenEmpty400:      {"/token", 400, "", "", ""},
	faults.Token429:           {"/token", 429, "", "", ""},
	faults.TokenRedirect:      {"/token", 307, "", "", ""},
	faults.UserInfo401:        {"/me", 401, "invalid_token", "application/json", ""},
	faults.UserInfoRedirect:   {"/me", 307, "", "text/html", ""},
	faults.DiscoveryHTML:      {"/.well-known/openid-configuration", 200, "", "text/html", "<h1>"},
	faults.KeysGarbage:        {"/jwks", 200, "", "application/json", "\xff"},
	faults.Revocation500:      {"/token/revocation", 500, "", "", ""},
}

// ask sends the endpoint a request of the right method.
func (a *party) ask(t *testing.T, endpoint string) answer {
	t.Helper()
	if strings.HasPrefix(endpoint, "/token") {
		return a.post(t, a.p.Issuer+endpoint, url.Values{"grant_type": {"refresh_token"}})
	}
	return a.get(t, a.p.Issuer+endpoint, "a-token")
}

func TestFaultsThatReplaceTheAnswer(t *testing.T) {
	t.Parallel()
	for fault, want := range answerFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			before := a.ask(t, want.endpoint)
			a.p.Inject(fault)
			got := a.ask(t, want.endpoint)
			if got.status != want.status || got.text("error") != want.code ||
				!strings.HasPrefix(got.header.Get("Content-Type"), want.contentType) || !strings.Contains(got.raw, want.body) {
				t.Errorf("got %d %q %q; want %+v", got.status, got.header.Get("Content-Type"), got.raw, want)
			}
			if (got.header.Get("Retry-After") != "") != (want.status == 429) {
				t.Errorf("got Retry-After %q", got.header.Get("Retry-After"))
			}
			if at := got.header.Get("Location"); (want.status == 307) != (at == a.p.Issuer+want.endpoint+"?redirected=1") {
				t.Errorf("got Location %q", at)
			}
			a.p.Clear()
			if after := a.ask(t, want.endpoint); after.status != before.status {
				t.Errorf("after Clear: got %d; want %d as before", after.status, before.status)
			}
		})
	}
}

var userInfoFaults = map[signintest.Fault]func(t *testing.T, got answer) bool{
	faults.UserInfoSubjectWrong: func(_ *testing.T, got answer) bool { return got.text("sub") == "mallory00001" && got.status == 200 },
	faults.UserInfoContentType: func(_ *testing.T, got answer) bool {
		return strings.HasPrefix(got.header.Get("Content-Type"), "text/html") && got.text("sub") == signintest.Bob().Subject
	},
	faults.UserInfoIDToken: func(t *testing.T, got answer) bool {
		return got.header.Get("Content-Type") == "application/jwt" && part(t, got.raw, 1)["sub"] == signintest.Bob().Subject
	},
}

func TestFaultsOfUserInfo(t *testing.T) {
	t.Parallel()
	for fault, is := range userInfoFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			access := a.signIn(t, signintest.Bob()).text("access_token")
			a.p.Inject(fault)
			if got := a.get(t, a.p.Issuer+"/me", access); !is(t, got) {
				t.Errorf("got %d %q %s", got.status, got.header.Get("Content-Type"), got.raw)
			}
			if got := a.get(t, a.p.Issuer+"/me", "unknown").status; got != 401 {
				t.Errorf("an unknown token: got %d; want 401", got)
			}
		})
	}
}

func TestFaultsOfMetadata(t *testing.T) {
	t.Parallel()
	a := start(t)
	address := a.p.Issuer + "/.well-known/openid-configuration"
	for name, row := range map[string]struct {
		inject []signintest.Fault
		want   string
	}{
		"before": {nil, a.p.Issuer},
		"after":  {[]signintest.Fault{faults.DiscoveryIssuerSlash}, a.p.Issuer + "/"},
	} {
		a.p.Clear()
		a.p.Inject(row.inject...)
		if got := a.get(t, address, "").text("issuer"); got != row.want {
			t.Errorf("%s: got issuer %s; want %s", name, got, row.want)
		}
	}
}

func TestKeysComeInAnotherOrder(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.p.RotateKey()
	order := func() (ids []string) {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(a.get(t, a.p.Issuer+"/jwks", "").raw), &set); err != nil {
			t.Fatal(err)
		}
		for _, key := range set.Keys {
			ids = append(ids, key.KeyID)
		}
		return ids
	}
	right := order()
	a.p.Inject(faults.KeysReversed)
	reversed := order()
	a.p.Clear()
	if len(right) != 2 || reversed[0] != right[1] || reversed[1] != right[0] || !slices.Equal(order(), right) {
		t.Errorf("got %v, then %v, then %v; want two, reversed, and as before", right, reversed, order())
	}
	if signer := part(t, a.signIn(t, signintest.Bob()).text("id_token"), 0)["kid"]; signer != right[0] {
		t.Errorf("got a token signed with %v; want the first key, %s", signer, right[0])
	}
}

func TestKeysOfTheWrongKindArePublished(t *testing.T) {
	t.Parallel()
	for fault, want := range map[signintest.Fault]struct{ alg, use string }{
		faults.IDTokenOtherAlgorithm:     {"ES256", "sig"},
		faults.LogoutTokenOtherAlgorithm: {"ES256", "sig"},
		faults.IDTokenKeyForEncryption:   {"ES384", "enc"},
	} {
		a := start(t)
		a.p.Inject(fault)
		token := a.p.LogoutToken("bob", "")
		if fault != faults.LogoutTokenOtherAlgorithm {
			token = a.signIn(t, signintest.Bob()).text("id_token")
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(a.get(t, a.p.Issuer+"/jwks", "").raw), &set); err != nil {
			t.Fatal(err)
		}
		keys := set.Key(part(t, token, 0)["kid"].(string))
		if len(set.Keys) != 2 || len(keys) != 1 || keys[0].Algorithm != want.alg || keys[0].Use != want.use {
			t.Fatalf("%s: got %d keys, %d that sign; want two, one for %+v", fault, len(set.Keys), len(keys), want)
		}
		signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(want.alg)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signed.Verify(keys[0]); err != nil {
			t.Errorf("%s: got %v; want a right signature", fault, err)
		}
	}
}

func TestFaultsOfEndSession(t *testing.T) {
	t.Parallel()
	a := start(t)
	q := url.Values{"client_id": {a.cfg.ClientID}, "post_logout_redirect_uri": {a.URL}, "state": {"s"}}
	a.p.Inject(faults.EndSessionStateMissing)
	if got := a.get(t, a.p.Issuer+"/session/end?"+q.Encode(), "").header.Get("Location"); got != a.URL {
		t.Errorf("got sent to %s; want to %s, without the state", got, a.URL)
	}
}
