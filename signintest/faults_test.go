package signintest_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/signintest"
)

func TestEveryFaultIsTested(t *testing.T) {
	t.Parallel()
	tested := slices.Concat(
		slices.Collect(maps.Keys(responseFaults)),
		slices.Collect(maps.Keys(idTokenFaults)),
		slices.Collect(maps.Keys(accessTokenFaults)),
		slices.Collect(maps.Keys(tokensFaults)),
		slices.Collect(maps.Keys(answerFaults)),
		slices.Collect(maps.Keys(userInfoFaults)),
		slices.Collect(maps.Keys(metadataFaults)),
		slices.Collect(maps.Keys(keysFaults)),
		[]signintest.Fault{signintest.KeysReversed}, // TestKeysComeInAnotherOrder
		slices.Collect(maps.Keys(signOutFaults)),
		slices.Collect(maps.Keys(logoutTokenFaults)),
		bodyFaults,
		[]signintest.Fault{signintest.IgnoreMaxAge, signintest.IgnorePKCE}, // TestIgnoreMaxAge, TestIgnorePKCE
	)
	slices.Sort(tested)
	if got := slices.Compact(slices.Clone(tested)); len(got) != len(tested) {
		t.Errorf("got %d faults tested; want none twice, of %d", len(tested), len(got))
	}
	for _, f := range signintest.Faults() {
		if !slices.Contains(tested, f) {
			t.Errorf("got no test of %s", f)
		}
	}
}

var responseFaults = map[signintest.Fault]func(q url.Values, issuer string) bool{
	signintest.ResponseIssuerWrong:   func(q url.Values, issuer string) bool { return q.Has("iss") && q.Get("iss") != issuer && q.Has("code") },
	signintest.ResponseIssuerMissing: func(q url.Values, _ string) bool { return !q.Has("iss") && q.Has("code") },
	signintest.ResponseIssuerTwice:   func(q url.Values, issuer string) bool { return slices.Equal(q["iss"], []string{issuer, issuer}) },
	signintest.ResponseStateWrong: func(q url.Values, _ string) bool {
		return strings.HasPrefix(q.Get("state"), "1") && len(q.Get("state")) > 20
	},
	signintest.ResponseStateMissing: func(q url.Values, _ string) bool { return !q.Has("state") && q.Has("code") },
	signintest.ResponseStateTwice:   func(q url.Values, _ string) bool { return slices.Equal(q["state"], []string{"the-state", "the-state"}) },
	signintest.ResponseCodeWrong:    func(q url.Values, _ string) bool { return len(q["code"]) == 1 },
	signintest.ResponseCodeTwice:    func(q url.Values, _ string) bool { return len(q["code"]) == 2 && q["code"][0] == q["code"][1] },
	signintest.ResponseCodeHuge:     func(q url.Values, _ string) bool { return len(q.Get("code")) == 100<<10 },
	signintest.ResponseCodeAndError: func(q url.Values, _ string) bool { return q.Has("code") && q.Has("error") },
	signintest.ResponseErrorTwice:   func(q url.Values, _ string) bool { return !q.Has("code") && len(q["error"]) == 2 },
	signintest.ResponseEmpty:        func(q url.Values, _ string) bool { return len(q) == 2 && q.Has("state") && q.Has("iss") },
	signintest.ResponseErrorMarkup: func(q url.Values, _ string) bool {
		return q.Get("error") == "access_denied" && strings.Contains(q.Get("error_description"), "<script>") &&
			strings.Contains(q.Get("error_description"), "\r\n") && !q.Has("code")
	},
	signintest.ResponseServerError: func(q url.Values, _ string) bool { return q.Get("error") == "server_error" && !q.Has("code") },
}

func TestFaultsOfTheAuthorizationResponse(t *testing.T) {
	t.Parallel()
	for fault, is := range responseFaults {
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
			if fault == signintest.ResponseCodeWrong && a.exchange(t, got.Get("code")).text("error") != "invalid_grant" {
				t.Error("got a code that works")
			}
			a.p.Clear()
			if got := ask(); len(got) != 3 || got.Get("state") != "the-state" || got.Get("iss") != a.p.Issuer || !got.Has("code") {
				t.Errorf("after Clear: got %v; want the right response", got)
			}
		})
	}
}

var tokensFaults = map[signintest.Fault]func(body map[string]any) bool{
	signintest.TokensNoIDToken:       func(b map[string]any) bool { return b["id_token"] == nil && b["access_token"] != nil },
	signintest.TokensNoRefreshToken:  func(b map[string]any) bool { return b["refresh_token"] == nil && b["access_token"] != nil },
	signintest.TokensNoAccessToken:   func(b map[string]any) bool { return b["access_token"] == nil && b["id_token"] != nil },
	signintest.TokensTypeOddCase:     func(b map[string]any) bool { return b["token_type"] == "bEARER" },
	signintest.TokensExpiresInText:   func(b map[string]any) bool { return b["expires_in"] == "3600" },
	signintest.TokensExpiresInZero:   func(b map[string]any) bool { return b["expires_in"] == 0.0 },
	signintest.TokensExpiresInAbsent: func(b map[string]any) bool { _, there := b["expires_in"]; return !there && b["access_token"] != nil },
	signintest.TokensExpiresInAbsurd: func(b map[string]any) bool { return b["expires_in"] == 9e15 },
}

func TestFaultsOfTokenResponses(t *testing.T) {
	t.Parallel()
	for fault, is := range tokensFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			right := a.signIn(t, signintest.Bob()).text("refresh_token")
			a.p.Inject(fault)
			for name, got := range map[string]answer{"sign-in": a.signIn(t, signintest.Bob()), "refresh": a.refresh(t, right)} {
				if !is(got.body) {
					t.Errorf("%s: got %v", name, got.body)
				}
			}
		})
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
	signintest.TokenInvalidGrant:   {"/token", 400, "invalid_grant", "application/json", "oidc.invalid_grant"},
	signintest.TokenInvalidClient:  {"/token", 401, "invalid_client", "application/json", ""},
	signintest.TokenSecretExpired:  {"/token", 400, "invalid_request", "application/json", "client secret has expired"},
	signintest.TokenInvalidRequest: {"/token", 400, "invalid_request", "application/json", ""},
	signintest.TokenInvalidTarget:  {"/token", 400, "invalid_target", "application/json", ""},
	signintest.TokenInvalidScope:   {"/token", 400, "invalid_scope", "application/json", ""},
	signintest.TokenForbidden:      {"/token", 403, "access_denied", "application/json", ""},
	signintest.TokenEmpty400:       {"/token", 400, "", "", ""},
	signintest.Token429:            {"/token", 429, "", "", ""},
	signintest.Token500:            {"/token", 500, "", "", ""},
	signintest.TokenHTML:           {"/token", 200, "", "text/html", "<h1>"},
	signintest.TokenGarbage:        {"/token", 200, "", "application/json", "\xff"},
	signintest.TokenRedirect:       {"/token", 307, "", "", ""},
	signintest.UserInfo401:         {"/me", 401, "invalid_token", "application/json", ""},
	signintest.UserInfo500:         {"/me", 500, "", "", ""},
	signintest.UserInfoRedirect:    {"/me", 307, "", "text/html", ""},
	signintest.Discovery500:        {"/.well-known/openid-configuration", 500, "", "", ""},
	signintest.DiscoveryHTML:       {"/.well-known/openid-configuration", 200, "", "text/html", "<h1>"},
	signintest.DiscoveryGarbage:    {"/.well-known/openid-configuration", 200, "", "application/json", "\xff"},
	signintest.Keys500:             {"/jwks", 500, "", "", ""},
	signintest.KeysGarbage:         {"/jwks", 200, "", "application/json", "\xff"},
	signintest.Revocation500:       {"/token/revocation", 500, "", "", ""},
	signintest.RevocationRedirect:  {"/token/revocation", 307, "", "", ""},
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

// bodyFaults are answers that do not end, or do not begin.
var bodyFaults = []signintest.Fault{
	signintest.TokenHang, signintest.TokenTrickle, signintest.TokenEndless, signintest.TokenGzipBomb, signintest.TokenReset,
	signintest.UserInfoHang, signintest.UserInfoEndless,
	signintest.DiscoveryHang, signintest.DiscoveryTrickle, signintest.DiscoveryEndless, signintest.DiscoveryGzipBomb,
	signintest.KeysHang, signintest.KeysEndless, signintest.KeysGzipBomb,
	signintest.RevocationHang,
}

func TestFaultsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	endpoints := map[string]string{
		"token": "/token", "userinfo": "/me", "discovery": "/.well-known/openid-configuration",
		"keys": "/jwks", "revocation": "/token/revocation",
	}
	for _, fault := range bodyFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			a.p.Inject(fault)
			at, what, _ := strings.Cut(string(fault), "-")
			method := http.MethodGet
			if strings.HasPrefix(endpoints[at], "/token") {
				method = http.MethodPost
			}
			r, err := http.NewRequest(method, a.p.Issuer+endpoints[at], nil)
			if err != nil {
				t.Fatal(err)
			}
			client := a.client()
			if what == "hang" {
				client.Timeout = 50 * time.Millisecond
			}
			resp, err := client.Do(r)
			var timeout interface{ Timeout() bool }
			switch {
			case what == "hang":
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("got %v; want a time-out", err)
				}
				return
			case what == "reset":
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("got %v; want a reset", err)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			defer resp.Body.Close()
			enough := map[string]int64{"trickle": 1, "endless": 8 << 20, "gzip-bomb": 64 << 20}[what]
			if n, err := io.CopyN(io.Discard, resp.Body, enough); n != enough || err != nil {
				t.Errorf("got %d bytes, %v; want %d", n, err, enough)
			}
			if resp.Uncompressed != (what == "gzip-bomb") {
				t.Errorf("got uncompressed %v", resp.Uncompressed)
			}
		})
	}
}

func TestAGzipBombIsSmallAndEnds(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.p.Inject(signintest.KeysGzipBomb)
	r, err := http.NewRequest(http.MethodGet, a.p.Issuer+"/jwks", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip") // and it is left packed
	got := a.do(t, r)
	if len(got.raw) > 16<<20 || len(got.raw) < 1<<10 || got.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %d bytes; want a few megabytes", len(got.raw))
	}
}

var userInfoFaults = map[signintest.Fault]func(t *testing.T, got answer) bool{
	signintest.UserInfoSubjectWrong:   func(_ *testing.T, got answer) bool { return got.text("sub") == "mallory00001" && got.status == 200 },
	signintest.UserInfoSubjectMissing: func(_ *testing.T, got answer) bool { return got.body["sub"] == nil && got.text("name") != "" },
	signintest.UserInfoContentType: func(_ *testing.T, got answer) bool {
		return strings.HasPrefix(got.header.Get("Content-Type"), "text/html") && got.text("sub") == signintest.Bob().Subject
	},
	signintest.UserInfoIDToken: func(t *testing.T, got answer) bool {
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

var metadataFaults = map[signintest.Fault]func(doc map[string]any, p *signintest.Provider) bool{
	signintest.DiscoveryIssuerWrong: func(doc map[string]any, _ *signintest.Provider) bool {
		return doc["issuer"] == "https://other-provider.example/oidc"
	},
	signintest.DiscoveryIssuerSlash: func(doc map[string]any, p *signintest.Provider) bool { return doc["issuer"] == p.Issuer+"/" },
	signintest.DiscoveryHTTPEndpoints: func(doc map[string]any, p *signintest.Provider) bool {
		return doc["issuer"] == p.Issuer && doc["token_endpoint"] == "http://provider.example/oidc/token" && doc["jwks_uri"] == "http://provider.example/oidc/jwks"
	},
	signintest.DiscoveryOtherProvider: func(doc map[string]any, p *signintest.Provider) bool {
		return doc["issuer"] == "https://other-provider.example/oidc" && doc["token_endpoint"] == "https://other-provider.example/oidc/token" &&
			doc["end_session_endpoint"] == "https://other-provider.example/oidc/session/end" && doc["jwks_uri"] == "https://other-provider.example/oidc/jwks"
	},
	signintest.DiscoveryNoResponseIssuer: func(doc map[string]any, p *signintest.Provider) bool {
		return doc["authorization_response_iss_parameter_supported"] == nil && doc["issuer"] == p.Issuer
	},
	signintest.DiscoveryNoEndSession: func(doc map[string]any, _ *signintest.Provider) bool { return doc["end_session_endpoint"] == nil },
	signintest.DiscoveryNoRevocation: func(doc map[string]any, _ *signintest.Provider) bool { return doc["revocation_endpoint"] == nil },
	signintest.DiscoveryNoUserInfo:   func(doc map[string]any, _ *signintest.Provider) bool { return doc["userinfo_endpoint"] == nil },
	signintest.DiscoveryAlgNone: func(doc map[string]any, _ *signintest.Provider) bool {
		return slices.Equal(doc["id_token_signing_alg_values_supported"].([]any), []any{"none", "HS256", "ES384"})
	},
}

func TestFaultsOfMetadata(t *testing.T) {
	t.Parallel()
	for fault, is := range metadataFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			address := a.p.Issuer + "/.well-known/openid-configuration"
			if is(a.get(t, address, "").body, a.p) {
				t.Error("got it before it was injected")
			}
			a.p.Inject(fault)
			if got := a.get(t, address, ""); !is(got.body, a.p) {
				t.Errorf("got %s", got.raw)
			}
		})
	}
}

func TestHTTPEndpointsStayAtAnHTTPSProvider(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithTLS())
	a.p.Inject(signintest.DiscoveryHTTPEndpoints)
	doc := a.get(t, a.p.Issuer+"/.well-known/openid-configuration", "").body
	if want := "http://" + strings.TrimPrefix(a.p.Issuer, "https://") + "/token"; doc["token_endpoint"] != want || doc["issuer"] != a.p.Issuer {
		t.Errorf("got %v; want %s", doc["token_endpoint"], want)
	}
}

var keysFaults = map[signintest.Fault]func(keys []jose.JSONWebKey, size int) bool{
	signintest.KeysEmpty: func(keys []jose.JSONWebKey, _ int) bool { return len(keys) == 0 },
	signintest.Keys10000: func(keys []jose.JSONWebKey, size int) bool {
		return len(keys) == 10_001 && keys[10_000].Algorithm == "ES384" && size < 1<<20
	},
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
	a.p.Inject(signintest.KeysReversed)
	reversed := order()
	a.p.Clear()
	if len(right) != 2 || reversed[0] != right[1] || reversed[1] != right[0] || !slices.Equal(order(), right) {
		t.Errorf("got %v, then %v, then %v; want two, reversed, and as before", right, reversed, order())
	}
	if signer := part(t, a.signIn(t, signintest.Bob()).text("id_token"), 0)["kid"]; signer != right[0] {
		t.Errorf("got a token signed with %v; want the first key, %s", signer, right[0])
	}
}

func TestFaultsOfKeys(t *testing.T) {
	t.Parallel()
	for fault, is := range keysFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			a.p.Inject(fault)
			got := a.get(t, a.p.Issuer+"/jwks", "")
			var set jose.JSONWebKeySet
			if err := json.Unmarshal([]byte(got.raw), &set); err != nil {
				t.Fatal(err)
			}
			if !is(set.Keys, len(got.raw)) || !strings.Contains(got.raw, `"keys":[`) {
				t.Errorf("got %d keys in %d bytes", len(set.Keys), len(got.raw))
			}
		})
	}
}

func TestKeysOfTheWrongKindArePublished(t *testing.T) {
	t.Parallel()
	for fault, want := range map[signintest.Fault]struct{ alg, use string }{
		signintest.IDTokenOtherAlgorithm:     {"ES256", "sig"},
		signintest.LogoutTokenOtherAlgorithm: {"ES256", "sig"},
		signintest.IDTokenKeyForEncryption:   {"ES384", "enc"},
	} {
		a := start(t)
		a.p.Inject(fault)
		token := a.p.LogoutToken("bob", "")
		if fault != signintest.LogoutTokenOtherAlgorithm {
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

var signOutFaults = map[signintest.Fault]func(q url.Values) bool{
	signintest.EndSessionStateWrong:   func(q url.Values) bool { return q.Has("state") && q.Get("state") != "s" },
	signintest.EndSessionStateMissing: func(q url.Values) bool { return !q.Has("state") },
}

func TestFaultsOfEndSession(t *testing.T) {
	t.Parallel()
	for fault, is := range signOutFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t)
			a.p.Inject(fault)
			q := url.Values{"client_id": {a.cfg.ClientID}, "post_logout_redirect_uri": {a.URL}, "state": {"s"}}
			got := a.get(t, a.p.Issuer+"/session/end?"+q.Encode(), "").header.Get("Location")
			if at, err := url.Parse(got); err != nil || !is(at.Query()) || !strings.HasPrefix(got, a.URL) {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func TestAResetOverTLSEndsTheConnection(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithTLS())
	a.p.Inject(signintest.TokenReset)
	resp, err := a.client().PostForm(a.p.Issuer+"/token", nil)
	if err == nil {
		resp.Body.Close()
		t.Errorf("got %s; want no answer", resp.Status)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		t.Errorf("got %v; want the connection ended, not refused", err)
	}
}
