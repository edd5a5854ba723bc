package faults_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
)

const (
	address     = "https://op.example"
	issuer      = address + "/oidc"
	otherIssuer = "https://other-provider.example/oidc"
	client      = "the-client"
	event       = "http://schemas.openid.net/event/backchannel-logout"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func newKey(id, algorithm string, curve elliptic.Curve) faults.Key {
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return faults.Key{ID: id, Algorithm: algorithm, Private: private}
}

// The provider's keys: the current one, the one before it, the spare one and
// the one of another algorithm.
var (
	current = newKey("current", "ES384", elliptic.P384())
	before  = newKey("before", "ES384", elliptic.P384())
	spare   = newKey("spare", "ES384", elliptic.P384())
	other   = newKey("other", "ES256", elliptic.P256())
)

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

// A token whose signature is 00 00 ff 00 00, and with one bit of that changed.
const rightSignature, brokenSignature = "header.payload.AAD_AAA", "header.payload.AAD-AAA"

// in returns a claim that is a time, so far from now.
func in(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }

// effects are what some faults change, as [effectOf] puts it: those whose effect is more
// than their name says.
var effects = map[string]string{
	faults.ResponseIssuerTwice:         `iss:["` + issuer + `","` + issuer + `"]`,
	faults.ResponseStateWrong:          `state:["1RANDOM"]`,
	faults.ResponseErrorTwice:          `-code error:["access_denied","access_denied"]`,
	faults.IDTokenIssuerCase:           `iss:"HTTPS://OP.EXAMPLE/OIDC"`,
	faults.IDTokenAudienceNoAZP:        `aud:["the-client","other-client"]`,
	faults.IDTokenExpired:              `exp:` + in(-10*time.Minute),
	faults.IDTokenDuplicateClaim:       `rewritten: {"sub":"mallory00001","sub":"bob"}`,
	faults.IDTokenAuthTimeStale:        `auth_time:` + in(-7*24*time.Hour),
	faults.IDTokenAtHashWrong:          `at_hash:"right-c-hash"`,
	faults.IDTokenAtHashRight:          `at_hash:"right-at-hash"`,
	faults.IDTokenAlgNone:              `-header.kid header.alg:"none"`,
	faults.IDTokenOtherAlgorithm:       `header.alg:"ES256" header.kid:"other"; 3 keys: current before other(ES256, sig)`,
	faults.IDTokenSignatureInvalid:     brokenSignature,
	faults.IDTokenHeaderJWK:            `header.jwk:` + encoded(spare.Public()) + ` header.kid:"spare"`,
	faults.IDTokenHeaderJKU:            `header.jku:"` + address + faults.ForeignKeysPath + `" header.kid:"spare"`,
	faults.IDTokenHeaderX5U:            `header.kid:"spare" header.x5u:"` + address + faults.ForeignKeysPath + `"`,
	faults.IDTokenHeaderCrit:           `header.crit:["urn:example:crit"] header.urn:example:crit:true`,
	faults.IDTokenEncrypted:            "encrypted",
	faults.IDTokenKeyForEncryption:     `header.kid:"spare"; 3 keys: current before spare(ES384, enc)`,
	faults.IDTokenAudienceExtra:        `aud:["the-client","other-client"] azp:"the-client"`,
	faults.AccessTokenAlgNone:          `-header.kid header.alg:"none"`,
	faults.AccessTokenHeaderCrit:       `header.crit:["urn:example:crit"] header.urn:example:crit:true`,
	faults.AccessTokenNotYetValid:      `nbf:` + in(10*time.Minute),
	faults.AccessTokenSignatureInvalid: brokenSignature,
	faults.TokenSecretExpired:          "token: 400 invalid_request: client secret has expired",
	faults.UserInfoContentType:         `userinfo: text/html; charset=utf-8: "the right body"`,
	faults.DiscoveryIssuerSlash:        `issuer:"` + issuer + `/"`,
	faults.KeysReversed:                "2 keys: before current",
	faults.Keys10000:                   "10002 keys: 9999(, ) current before",
	faults.LogoutTokenAlgNone:          `-header.kid header.alg:"none"`,
	faults.LogoutTokenNoSubject:        `-sid -sub`,
	faults.LogoutTokenOtherAlgorithm:   `header.alg:"ES256" header.kid:"other"; 3 keys: current before other(ES256, sig)`,
	faults.LogoutTokenSignature:        brokenSignature,
	faults.LogoutTokenIssuedAtOld:      `-exp iat:` + in(-10*time.Minute),
	faults.ResponseExpired:             `-code error:["temporarily_unavailable"] error_description:["authentication_expired"]`,
	faults.ResponseBare:                `-code -iss -state`,
	faults.ResponseCodeLong:            "sizes 8192 0 0",
	faults.TokensKeycloak:              "sizes 0 1300 700",
	faults.TokensEntra:                 "sizes 0 1900 1300",
	faults.TokensScopeList:             `scope:["openid","email"]`,
	faults.IDTokenIssuedAtSoon:         `iat:` + in(2*time.Minute),
	faults.IDTokenProfileMissing:       `-email -name`,
	faults.IDTokenProtocolOnly:         `-acr -client_id -email -events -jti -name`,
	faults.IDTokenAuthenticatedAnew:    `acr:"phr" auth_time:` + in(0) + ` sid:"another-sid"`,
	faults.IDTokenSpellings:            `Groups:["b"] groups:["a"]`,
	faults.IDTokenRolesMixed:           `roles:["admin",5]`,
	faults.AccessTokenAudienceExtra:    `aud:["right","the-client"]`,
	faults.LogoutTokenAudienceExtra:    `aud:["the-client","other-client"]`,
	faults.DiscoveryMark:               `discovery: application/json: "\ufeffthe right body"`,
	faults.DiscoveryRedirect:           `discovery: application/json/path?redirected=1: ""`,
	faults.KeysPadded:                  `a: n:"AAAAAA=="; of an unknown type: n:"AAAAAA=="`,
	faults.KeysIDNumber:                `header.kid:"42"; a: kid:42; of an unknown type: kid:42`,
	faults.WebhookLost:                 "0s the-key true",
	faults.WebhookSignature:            "0s RANDOM false",
	faults.WebhookLate:                 "-11m0s the-key false",
	faults.KeysUnknown:                 `3 keys: current before of an unknown type; a: ; of an unknown type: kty:"unknown"`,
}

// Each fault that does not answer in place of the provider changes something, and in a
// token one thing alone, unless effects has more: what refuses it is the one it names.
func TestOf(t *testing.T) {
	t.Parallel()
	for _, name := range faults.Names[string]() {
		effect := faults.Of(name)
		if effect.Answer != nil {
			continue
		}
		got, want := effectOf(t, effect), effects[name]
		if want != "" && got != want {
			t.Errorf("%s: got %.300s; want %.300s", name, got, want)
		}
		token := effect.IDToken != nil || effect.AccessToken != nil || effect.LogoutToken != nil
		if got == "" || token && want == "" && strings.Contains(got, " ") {
			t.Errorf("%s: got %.300s; want one change", name, got)
		}
	}
	if faults.Of("no-such-fault") != nil {
		t.Error("an unknown name: got an effect; want nil")
	}
}

var random = regexp.MustCompile(`[A-Z2-7]{26}`)

// effectOf applies e to what is right, and says how the result differs. For an
// effect that answers in place of the provider it returns "", as does a map for
// a name that it does not hold.
func effectOf(t *testing.T, e *faults.Effect) string {
	t.Helper()
	tokens := map[string]any{
		"access_token": "a", "refresh_token": "r", "id_token": "i", "token_type": "Bearer", "expires_in": 3600, "scope": "openid email",
	}
	metadata := map[string]any{
		"issuer":                                         issuer,
		"userinfo_endpoint":                              issuer + "/me",
		"revocation_endpoint":                            issuer + "/token/revocation",
		"end_session_endpoint":                           issuer + "/session/end",
		"id_token_signing_alg_values_supported":          []string{"ES384"},
		"authorization_response_iss_parameter_supported": true,
	}
	var out []string
	switch {
	case e.Refusal != nil:
		out = append(out, fmt.Sprintf("%s: %d %s: %s", e.At, e.Refusal.Status, e.Refusal.Code, e.Refusal.Description))
	case e.Wrap != nil:
		recorded := httptest.NewRecorder()
		w := e.Wrap(recorded, httptest.NewRequest(http.MethodGet, "/path", nil))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		fmt.Fprint(w, "the right body")
		out = append(out, fmt.Sprintf("%s: %s%s: %q", e.At, recorded.Header().Get("Content-Type"), recorded.Header().Get("Location"), recorded.Body))
		recorded = httptest.NewRecorder()
		w = e.Wrap(recorded, httptest.NewRequest(http.MethodGet, "/path?redirected=1", nil))
		if fmt.Fprint(w, "right"); !strings.HasSuffix(recorded.Body.String(), "right") {
			t.Errorf("%s, after a redirect: got %q; want the right body", e.At, recorded.Body)
		}
	case e.IgnoreMaxAge:
		out = append(out, "max_age is ignored")
	case e.IgnorePKCE:
		out = append(out, "PKCE is ignored")
	case e.BasicNotDecoded:
		out = append(out, "credentials are not decoded")
	case e.RepeatIDToken:
		out = append(out, "the ID token from before")
	case e.Appended != "":
		out = append(out, e.Appended)
	case e.CodeSize+e.AccessSize+e.RefreshSize > 0:
		out = append(out, fmt.Sprint("sizes ", e.CodeSize, e.AccessSize, e.RefreshSize))
	case e.UserInfoIDToken:
		out = append(out, "userinfo is an ID token")
	case e.Response != nil:
		out = append(out, changed(url.Values{"code": {"the-code"}, "state": {"the-state"}, "iss": {issuer}}, e.Response))
	case e.SignOut != nil:
		out = append(out, changed(url.Values{"state": {"the-state"}}, e.SignOut))
	case e.Tokens != nil:
		out = append(out, changed(tokens, e.Tokens))
	case e.UserInfo != nil:
		out = append(out, changed(map[string]any{"sub": "bob", "name": "Bob"}, e.UserInfo))
	case e.Webhook != nil:
		sent := faults.Webhook{Created: now, Key: "the-key"}
		e.Webhook(&sent)
		out = append(out, fmt.Sprint(sent.Created.Sub(now), " ", sent.Key, " ", sent.Lost))
	case e.Metadata != nil:
		out = append(out, changed(metadata, func(doc map[string]any) { e.Metadata(facts(), doc) }))
	}
	for _, apply := range []func(*faults.Facts, *faults.Token){e.IDToken, e.AccessToken, e.LogoutToken, e.InfoToken} {
		if apply != nil {
			out = append(out, changedToken(t, apply))
		}
	}
	if e.Keys != nil {
		out = append(out, publishedKeys(t, e.Keys))
	}
	if e.KeyMembers != nil {
		for _, kid := range []string{"a", "of an unknown type"} {
			out = append(out, kid+": "+changed(map[string]any{"kty": "RSA", "kid": kid, "n": "AAAAAA", "e": "AQAB"}, e.KeyMembers))
		}
	}
	return random.ReplaceAllString(strings.Join(out, "; "), "RANDOM")
}

// changed applies an effect, and returns what it changes: "-name" for what goes,
// "name:value" for what has another value, in JSON, or is new.
func changed[M ~map[string]V, V any](value M, apply func(M)) string {
	right := maps.Clone(value)
	apply(value)
	var out []string
	for name := range right {
		if _, there := value[name]; !there {
			out = append(out, "-"+name)
		}
	}
	for name, wrong := range value {
		if v, there := right[name]; !there || encoded(v) != encoded(wrong) {
			out = append(out, name+":"+encoded(wrong))
		}
	}
	slices.Sort(out) // a minus comes before all letters
	return strings.Join(out, " ")
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// newToken returns a right token with the claims of an ID token, of an access
// token and of a logout token.
func newToken() *faults.Token {
	token := &faults.Token{
		Header: map[string]any{"typ": "right"},
		Claims: map[string]any{
			"iss": issuer, "aud": "right", "sub": "bob", "sid": "a-sid", "nonce": "the-nonce", "jti": "an-id",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Add(-time.Minute).Unix(), "acr": "gold", "client_id": client,
			"events": map[string]any{event: map[string]any{}}, "name": "Bob", "email": "bob@example.test",
		},
		Public: current.Private.Public(),
		AtHash: "right-at-hash", CHash: "right-c-hash",
	}
	token.SignWith(current)
	return token
}

// changedToken is changed for the header and the claims of a token, which it
// expects to be signed with the key that its header names.
func changedToken(t *testing.T, apply func(*faults.Facts, *faults.Token)) string {
	t.Helper()
	token := newToken()
	all := func() map[string]any {
		m := maps.Clone(token.Claims)
		m["header.alg"] = token.Algorithm
		for name, value := range token.Header {
			m["header."+name] = value
		}
		return m
	}
	out := changed(all(), func(m map[string]any) {
		apply(facts(), token)
		clear(m)
		maps.Copy(m, all())
	})
	key := map[any]faults.Key{"current": current, "42": current, nil: current, "spare": spare, "other": other}[token.Header["kid"]]
	if strings.HasPrefix(token.Algorithm, "ES") && token.Key != key.Private {
		t.Errorf("got another key than the one named %v", token.Header["kid"])
	}
	if token.Rewrite != nil {
		out += "rewritten: " + string(token.Rewrite([]byte(`{"sub":"bob"}`)))
	}
	if token.Finish == nil {
		return out
	}
	finished := token.Finish(rightSignature)
	encryptions := []jose.ContentEncryption{jose.A256GCM}
	if _, err := jose.ParseEncryptedCompact(finished, []jose.KeyAlgorithm{jose.DIRECT}, encryptions); err == nil {
		finished = "encrypted"
	}
	return out + finished
}

// publishedKeys applies an effect to the current key and the one before it, and
// says what is published.
func publishedKeys(t *testing.T, apply func(*faults.Facts, *jose.JSONWebKeySet)) string {
	t.Helper()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{current.Public(), before.Public()}}
	apply(facts(), &set)
	if sent := encoded(set); len(sent) > 1<<20 || !strings.Contains(sent, `"keys":[`) {
		t.Errorf("got %d bytes; want an array of keys, in less than 1 MiB", len(sent))
	}
	out := fmt.Sprintf("%d keys:", len(set.Keys))
	for _, key := range set.Keys[max(len(set.Keys)-3, 0):] {
		out += fmt.Sprintf(" %s(%s, %s)", key.KeyID, key.Algorithm, key.Use)
	}
	return strings.ReplaceAll(out, "(ES384, sig)", "")
}
