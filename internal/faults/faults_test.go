package faults_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
)

func TestEveryFaultIsTested(t *testing.T) {
	t.Parallel()
	tested := slices.Concat(
		slices.Collect(maps.Keys(responseFaults)),
		slices.Collect(maps.Keys(signOutFaults)),
		slices.Collect(maps.Keys(tokensFaults)),
		slices.Collect(maps.Keys(userInfoFaults)),
		slices.Collect(maps.Keys(metadataFaults)),
		slices.Collect(maps.Keys(keysFaults)),
		slices.Collect(maps.Keys(idTokenFaults)),
		slices.Collect(maps.Keys(accessTokenFaults)),
		slices.Collect(maps.Keys(logoutTokenFaults)),
		slices.Collect(maps.Keys(refusals)),
		slices.Collect(maps.Keys(answers)),
		[]string{faults.UserInfoContentType},                                     // TestUserInfoContentType
		[]string{faults.IgnoreMaxAge, faults.IgnorePKCE, faults.UserInfoIDToken}, // flags: tests of signintest
	)
	slices.Sort(tested)
	if got := slices.Compact(slices.Clone(tested)); len(got) != len(tested) {
		t.Errorf("got %d faults tested; want none twice, of %d", len(tested), len(got))
	}
	if names := faults.Names[string](); !slices.Equal(names, tested) {
		t.Errorf("got tests of %q; want those of %q", tested, names)
	}
}

func TestOf_UnknownName(t *testing.T) {
	t.Parallel()
	if faults.Of("no-such-fault") != nil {
		t.Error("got an effect; want nil")
	}
}

const (
	address = "https://op.example"
	issuer  = address + "/oidc"
	client  = "the-client"
	event   = "http://schemas.openid.net/event/backchannel-logout"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func newKey(algorithm string, curve elliptic.Curve) faults.Key {
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return faults.Key{ID: "key of " + algorithm, Algorithm: algorithm, Private: private}
}

// keys are the provider's current one, its spare one, and another algorithm's.
var current, spare, other = newKey("ES384", elliptic.P384()), newKey("ES384", elliptic.P384()), newKey("ES256", elliptic.P256())

func facts() *faults.Facts {
	return &faults.Facts{
		URL: address, Issuer: issuer, ClientID: client, ClientSecret: "short",
		Algorithm: "ES384",
		Now:       func() time.Time { return now },
		Closing:   make(chan struct{}),
		Spare:     func() faults.Key { return spare },
		Other:     func() faults.Key { return other },
	}
}

var responseFaults = map[string]func(q url.Values) bool{
	faults.ResponseIssuerWrong:   func(q url.Values) bool { return q.Has("iss") && q.Get("iss") != issuer && q.Has("code") },
	faults.ResponseIssuerMissing: func(q url.Values) bool { return !q.Has("iss") && q.Has("code") },
	faults.ResponseIssuerTwice:   func(q url.Values) bool { return slices.Equal(q["iss"], []string{issuer, issuer}) },
	faults.ResponseStateWrong:    func(q url.Values) bool { return strings.HasPrefix(q.Get("state"), "1") && len(q.Get("state")) > 20 },
	faults.ResponseStateMissing:  func(q url.Values) bool { return !q.Has("state") && q.Has("code") },
	faults.ResponseStateTwice:    func(q url.Values) bool { return slices.Equal(q["state"], []string{"the-state", "the-state"}) },
	faults.ResponseCodeWrong:     func(q url.Values) bool { return len(q["code"]) == 1 && q.Get("code") != "the-code" },
	faults.ResponseCodeTwice:     func(q url.Values) bool { return slices.Equal(q["code"], []string{"the-code", "the-code"}) },
	faults.ResponseCodeHuge:      func(q url.Values) bool { return len(q.Get("code")) == 100<<10 },
	faults.ResponseCodeAndError:  func(q url.Values) bool { return q.Has("code") && q.Has("error") },
	faults.ResponseErrorTwice:    func(q url.Values) bool { return !q.Has("code") && len(q["error"]) == 2 },
	faults.ResponseEmpty:         func(q url.Values) bool { return len(q) == 2 && q.Has("state") && q.Has("iss") },
	faults.ResponseErrorMarkup: func(q url.Values) bool {
		return q.Get("error") == "access_denied" && strings.Contains(q.Get("error_description"), "<script>") &&
			strings.Contains(q.Get("error_description"), "\r\n") && !q.Has("code")
	},
	faults.ResponseDeclined:    func(q url.Values) bool { return q.Get("error") == "access_denied" && q.Has("state") && !q.Has("code") },
	faults.ResponseServerError: func(q url.Values) bool { return q.Get("error") == "server_error" && !q.Has("code") },
}

func TestResponses(t *testing.T) {
	t.Parallel()
	for fault, is := range responseFaults {
		q := url.Values{"code": {"the-code"}, "state": {"the-state"}, "iss": {issuer}}
		if faults.Of(fault).Response(q); !is(q) {
			t.Errorf("%s: got %.300v", fault, q)
		}
	}
}

var signOutFaults = map[string]func(q url.Values) bool{
	faults.EndSessionStateWrong:   func(q url.Values) bool { return q.Has("state") && q.Get("state") != "the-state" },
	faults.EndSessionStateMissing: func(q url.Values) bool { return !q.Has("state") },
}

func TestSignOuts(t *testing.T) {
	t.Parallel()
	for fault, is := range signOutFaults {
		q := url.Values{"state": {"the-state"}}
		if faults.Of(fault).SignOut(q); !is(q) {
			t.Errorf("%s: got %v", fault, q)
		}
	}
}

var tokensFaults = map[string]func(body map[string]any) bool{
	faults.TokensNoIDToken:       func(b map[string]any) bool { return b["id_token"] == nil && b["access_token"] != nil },
	faults.TokensNoRefreshToken:  func(b map[string]any) bool { return b["refresh_token"] == nil && b["access_token"] != nil },
	faults.TokensNoAccessToken:   func(b map[string]any) bool { return b["access_token"] == nil && b["id_token"] != nil },
	faults.TokensTypeOddCase:     func(b map[string]any) bool { return b["token_type"] == "bEARER" },
	faults.TokensExpiresInText:   func(b map[string]any) bool { return b["expires_in"] == "3600" },
	faults.TokensExpiresInZero:   func(b map[string]any) bool { return b["expires_in"] == 0 },
	faults.TokensExpiresInAbsent: func(b map[string]any) bool { _, there := b["expires_in"]; return !there && b["access_token"] != nil },
	faults.TokensExpiresInAbsurd: func(b map[string]any) bool { return b["expires_in"] == int64(9e15) },
}

func TestTokenResponses(t *testing.T) {
	t.Parallel()
	for fault, is := range tokensFaults {
		body := map[string]any{"access_token": "a", "refresh_token": "r", "id_token": "i", "token_type": "Bearer", "expires_in": 3600}
		if faults.Of(fault).Tokens(body); !is(body) {
			t.Errorf("%s: got %v", fault, body)
		}
	}
}

var userInfoFaults = map[string]func(claims map[string]any) bool{
	faults.UserInfoSubjectWrong:   func(claims map[string]any) bool { return claims["sub"] == "mallory00001" && claims["name"] == "Bob" },
	faults.UserInfoSubjectMissing: func(claims map[string]any) bool { return claims["sub"] == nil && claims["name"] == "Bob" },
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	for fault, is := range userInfoFaults {
		claims := map[string]any{"sub": "bob", "name": "Bob"}
		if faults.Of(fault).UserInfo(claims); !is(claims) {
			t.Errorf("%s: got %v", fault, claims)
		}
	}
}
