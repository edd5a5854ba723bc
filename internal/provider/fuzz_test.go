package provider_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/provider"
)

// answering is a provider whose documents are good, and that answers everything
// else with one answer.
type answering struct {
	discovery        string
	status           int
	mediaType, after string
	body             string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Request: r}
	body := a.discovery
	if !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		resp.StatusCode, body = a.status, a.body
		resp.Header["Content-Type"], resp.Header["Retry-After"] = []string{a.mediaType}, []string{a.after}
	}
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp, nil
}

func (a answering) Client(issuer string) *provider.Client {
	return provider.New(provider.Config{
		Issuer: issuer, ClientID: clientID, ClientSecret: clientSecret, RedirectURL: redirectURL,
		HTTPClient: &http.Client{Transport: a}, Now: func() time.Time { return now },
	})
}

const loopbackIssuer = "http://localhost:3001/oidc"

// goodMetadata is a document of an issuer, after changes.
func goodMetadata(issuer string, changes m) string {
	doc := m{
		"issuer": issuer, "authorization_endpoint": issuer + "/auth", "token_endpoint": issuer + "/token", "jwks_uri": issuer + "/jwks",
		"userinfo_endpoint": issuer + "/me", "revocation_endpoint": issuer + "/revoke", "end_session_endpoint": issuer + "/end",
		"scopes_supported": []string{"openid"}, "id_token_signing_alg_values_supported": []string{"ES384", "none"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post"}, "authorization_response_iss_parameter_supported": true,
	}
	for name, value := range changes {
		if doc[name] = value; value == nil {
			delete(doc, name)
		}
	}
	return string(must(json.Marshal(doc)))
}

// FuzzMetadata: a document that is used is of the issuer to the letter, and each of
// its endpoints, as encoding/json and net/url read them, is an https URL, or one of
// this machine if the issuer is; nothing of another one gets into an error.
func FuzzMetadata(f *testing.F) {
	for _, u := range []string{issuer, loopbackIssuer} {
		for _, changes := range []m{
			nil, {"issuer": "https://evil.example"}, {"issuer": u + "/"}, {"issuer": strings.ToUpper(u)}, {"issuer": nil}, {"authorization_endpoint": nil},
			{"token_endpoint": nil}, {"jwks_uri": nil}, {"userinfo_endpoint": nil, "end_session_endpoint": nil, "revocation_endpoint": nil, "scopes_supported": nil},
			{"token_endpoint": "/token"}, {"token_endpoint": "https://a b"}, {"token_endpoint": "https:///token"}, {"authorization_endpoint": u + "/a#"},
			{"token_endpoint": "https://u:p@id.example.com/"}, {"end_session_endpoint": "javascript:alert(1)"}, {"userinfo_endpoint": "http://id.example.com/me"},
			{"userinfo_endpoint": "https://id.example.com/me"}, {"userinfo_endpoint": "http://localhost/me"}, {"userinfo_endpoint": "http://[::1]:1/me"},
			{"scopes_supported": "openid"}, {"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}, {"Issuer": u}, {"ISSUER": u, "issuer": nil},
			{"userinfo_endpoint": "http://127.0.0.1.e.test/"}, {"userinfo_endpoint": "http://localhost.e.test/"}, {"userinfo_endpoint": "http://x.localhost/"},
		} {
			f.Add(goodMetadata(u, changes), u == issuer)
		}
	}
	for _, text := range objectTexts()[:60] {
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, doc string, https bool) {
		u := loopbackIssuer
		if https {
			u = issuer
		}
		meta, err := answering{discovery: doc}.Client(u).Metadata(context.Background())
		if err != nil {
			wantPlain(t, err)
			return
		}
		var in struct {
			Issuer        string
			Authorization string   `json:"authorization_endpoint"`
			Token         string   `json:"token_endpoint"`
			Keys          string   `json:"jwks_uri"`
			UserInfo      string   `json:"userinfo_endpoint"`
			EndSession    string   `json:"end_session_endpoint"`
			Revocation    string   `json:"revocation_endpoint"`
			Iss           bool     `json:"authorization_response_iss_parameter_supported"`
			Scopes        []string `json:"scopes_supported"`
			Auth          []string `json:"token_endpoint_auth_methods_supported"`
		}
		if err := json.Unmarshal([]byte(doc), &in); err != nil {
			t.Fatalf("%s: used; encoding/json says %v", doc, err)
		}
		basicOrPost := func(s string) bool { return s == "client_secret_basic" || s == "client_secret_post" }
		if in.Issuer != u || in.Authorization == "" || in.Token == "" || in.Keys == "" || len(in.Auth) > 0 && !slices.ContainsFunc(in.Auth, basicOrPost) {
			t.Errorf("%s: used for %s", doc, u)
		}
		got := []string{meta.AuthorizationEndpoint, meta.TokenEndpoint, meta.JWKSURI, meta.UserInfoEndpoint, meta.EndSessionEndpoint, meta.RevocationEndpoint}
		want := []string{in.Authorization, in.Token, in.Keys, in.UserInfo, in.EndSession, in.Revocation}
		if !slices.Equal(got, want) || meta.IssParameterSupported != in.Iss || !slices.Equal(meta.ScopesSupported, in.Scopes) {
			t.Errorf("%s: got %+v; want what it says", doc, meta)
		}
		for _, endpoint := range got {
			e, err := url.Parse(endpoint)
			switch {
			case endpoint == "":
			case err != nil || e.Hostname() == "" || e.User != nil || e.Fragment != "" || strings.Contains(endpoint, "#"):
				t.Errorf("%s: used with endpoint %q", doc, endpoint)
			case e.Scheme == "https":
			case e.Scheme != "http" || https || !slices.Contains([]string{"localhost", "::1"}, e.Hostname()) &&
				!strings.HasPrefix(e.Hostname(), "127.") && !strings.HasSuffix(e.Hostname(), ".localhost") && !strings.HasPrefix(e.Hostname(), "::ffff:127."):
				t.Errorf("%s: used with endpoint %q", doc, endpoint)
			}
		}
	})
}

// wantPlain fails unless an error is one of this package, in its own words.
func wantPlain(t *testing.T, err error) *provider.Error {
	t.Helper()
	var e *provider.Error
	if !errors.As(err, &e) || e.Kind < provider.Unavailable || e.Kind > provider.Refused || e.Err == nil {
		t.Fatalf("got error %v; want a *provider.Error", err)
	}
	text := strings.Replace(e.Error(), e.OAuthCode, "", 1)
	if len(text) > 160 || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) || e.RetryAfter < 0 || e.RetryAfter > time.Hour {
		t.Errorf("got error %q, retry after %v; want fixed words, and an hour at most", text, e.RetryAfter)
	}
	if len(e.OAuthCode) > 64 || strings.ContainsFunc(e.OAuthCode, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		t.Errorf("got code %q; want one of RFC 6749", e.OAuthCode)
	}
	return e
}

// FuzzKeys: a key that is used is, as go-jose reads it from the same bytes, the same
// public key, under the same name, not for encryption and not for another algorithm.
func FuzzKeys(f *testing.F) {
	keys := []any{public(rsaKey(), "private"), public(ecKeys()["ES256"], "private"), public(edKey(), "private")}
	for _, k := range []any{rsaKey().Public(), ecKeys()["ES256"].Public(), ecKeys()["ES384"].Public(), ecKeys()["ES512"].Public(), edKey().Public()} {
		keys = append(keys, public(k, "k"), published(k, "", m{"use": "enc"}), published(k, "a", m{"use": "sig", "alg": "RS256"}),
			published(k, "b", m{"key_ops": []string{"encrypt"}}), published(k, "c", m{"key_ops": []string{"verify"}, "x5c": []string{"!"}, "x5t": "?"}))
	}
	keys = append(keys, m{"kty": "oct", "kid": "rsa", "k": "AAAA"}, m{"kty": "XYZ"}, m{"kty": 1}, 7, nil,
		m{"kty": "EC", "crv": "secp256k1"}, m{"kty": "OKP", "crv": "Ed448", "x": "AA"}, m{"kty": "RSA", "n": "!", "e": "AQAB"}, m{"KTY": "RSA", "n": "AQAB", "E": "AQAB"})
	for _, k := range keys {
		f.Add(must(json.Marshal(m{"keys": []any{k}})))
	}
	f.Add(must(json.Marshal(m{"keys": keys[len(keys)-10:]})))
	for _, text := range []string{`[]`, `{}`, `{"keys":null}`, `{"keys":{}}`, `{"keys":[]}`, `{"keys":[],"keys":[]}`, `<html>`, `{"keys":[` + strings.Repeat("1,", 100) + `1]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, failure := provider.ParseKeys(body)
		if failure != nil {
			if wantPlain(t, failure); got != nil || failure.Kind != provider.Unavailable {
				t.Fatalf("got %v, %v; want keys or an error that may pass", got, failure)
			}
			return
		}
		var set struct {
			Keys []m `json:"keys"`
		}
		var loose struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(body, &loose); err != nil || len(loose.Keys) > 100 || len(got) > len(loose.Keys) {
			t.Fatalf("%s: read as %d keys; encoding/json says %v, %d", body, len(got), err, len(loose.Keys))
		}
		for _, raw := range loose.Keys {
			var k m
			if json.Unmarshal(raw, &k) != nil {
				k = nil
			}
			set.Keys = append(set.Keys, k)
		}
		for _, k := range got {
			source := slices.IndexFunc(set.Keys, func(in m) bool { return sameKey(in, k) })
			if source < 0 {
				t.Errorf("%s: got key %q of type %T; want one of those", body, k.ID, k.Key)
			}
			for _, alg := range []string{"none", "HS256", "HS512", "RSA-OAEP", "ECDH-ES", ""} {
				if k.Fits(alg) {
					t.Errorf("%s: key %q fits %q", body, k.ID, alg)
				}
			}
			for _, alg := range []string{"RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
				if k.Fits(alg) && (k.Alg != "" && k.Alg != alg || !suits(k.Key, alg)) {
					t.Errorf("%s: key %q of type %T for %q fits %q", body, k.ID, k.Key, k.Alg, alg)
				}
			}
		}
	})
}

// sameKey reports whether a published key is one that may be used as k, in the eyes
// of go-jose.
func sameKey(in m, k provider.PublicKey) bool {
	members := m{}
	for name, value := range in {
		name = strings.ToLower(name) // as encoding/json compares them
		if name == "d" || name == "use" && value != nil && value != "" && value != "sig" {
			return false
		}
		if _, twice := members[name]; twice {
			return true // either may count, and both are the provider's
		}
		if slices.Contains([]string{"kty", "kid", "use", "key_ops", "alg", "crv", "x", "y", "n", "e"}, name) {
			members[name] = value
		}
	}
	var out jose.JSONWebKey
	if json.Unmarshal(must(json.Marshal(members)), &out) != nil || !out.Valid() || !out.IsPublic() {
		return false
	}
	switch out.Key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return false
	}
	return out.KeyID == k.ID && out.Algorithm == k.Alg && reflect.DeepEqual(out.Key, k.Key)
}

// suits reports whether an algorithm is one of a key's type.
// https://www.rfc-editor.org/rfc/rfc7518#section-3.1
func suits(key any, alg string) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return (alg[:2] == "RS" || alg[:2] == "PS") && key.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Params().BitSize]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// FuzzAnswers gives one answer to every request. Tokens are used only from an answer
// that is a success as encoding/json reads it, userinfo only if it is about the
// person, a session ends only for what says that its grant is dead, and nothing of
// an answer but its code gets into an error.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		tokenAnswer(nil), tokenAnswer(m{"token_type": "bEARER", "expires_in": "60"}), tokenAnswer(m{"id_token": nil}), tokenAnswer(m{"expires_in": raw("1e400")}),
		tokenAnswer(m{"access_token": "a\r\nb: c"}), tokenAnswer(m{"token_type": "DPoP"}), tokenAnswer(m{"error": "invalid_grant"}), tokenAnswer(m{"scope": []string{"x"}}),
		`{"sub":"alice","name":null}`, `{"sub":"bob"}`, `{"sub":"alice","SUB":"bob"}`, `{"sub":"bob","sub":"alice"}`, `{}`, `a.b.c`, ``, `<html>`, `[]`,
		`{"error":"invalid_grant"}`, `{"error":"invalid_request"}`, `{"error":"invalid_client"}`, `{"error":"access_denied","error_description":"MFA"}`,
		`{"error":"a\"b"}`, `{"error":"a\nb"}`, `{"error":{}}`, `{"error":null}`, `{"error":"` + strings.Repeat("a", 65) + `"}`,
	} {
		for _, status := range []uint16{200, 204, 302, 400, 401, 403, 429, 500} {
			f.Add(status, "application/json", "7", body)
		}
	}
	f.Add(uint16(200), "Application/JSON; charset=utf-8", "Sun, 01 Mar 2026 12:00:30 GMT", `{"sub":"alice"}`)
	f.Add(uint16(200), "text/html", "99999999999", `{"sub":"alice"}`)
	f.Add(uint16(503), "", "-7", ``)
	discovery := goodMetadata(issuer, nil)
	f.Fuzz(func(t *testing.T, status uint16, mediaType, after, body string) {
		if status < 200 || status > 599 {
			return // no answer of HTTP's
		}
		a := answering{discovery: discovery, status: int(status), mediaType: mediaType, after: after, body: body}
		c, ctx := a.Client(issuer), context.Background()
		said, isObject := readBack(body)

		exchanged, err := exchange(c)
		if err == nil && exchanged.IDToken == "" {
			t.Errorf("%d %s: redeemed without an ID token", a.status, body)
		}
		tokens, refreshErr := c.Refresh(ctx, "r1", nil)
		for _, got := range []*provider.Tokens{exchanged, tokens} {
			if got != nil {
				wantTokens(t, a, said, got)
			}
		}
		if refreshErr != nil {
			e := wantPlain(t, refreshErr)
			dead := said["error"] == any("invalid_grant")
			unclear := a.status == 400 && (len(body) == 0 || isObject && (said["error"] == any("invalid_request") || e.OAuthCode == ""))
			trouble := a.status >= 500 || a.status == 429 || a.status == 408 || a.status/100 == 3
			if e.Final(false) != (dead && isObject && !trouble && unambiguous(body)) && unambiguous(body) || e.Final(true) && !dead && !unclear || e.Final(false) && !e.Final(true) {
				t.Errorf("%d %q: got final %t, and %t if lenient: %v", a.status, body, e.Final(false), e.Final(true), e)
			}
		} else if a.status/100 != 2 {
			t.Errorf("%d %q: got tokens", a.status, body)
		}

		info, err := c.UserInfo(ctx, accessToken, "alice")
		media, _, mediaErr := mime.ParseMediaType(mediaType)
		if err != nil {
			wantPlain(t, err)
		} else if string(info) != body || a.status != 200 || mediaErr != nil || media != "application/json" || said["sub"] != any("alice") {
			t.Errorf("%d %q %q: got userinfo %q", a.status, mediaType, body, info)
		}
		if err := c.Revoke(ctx, "r1"); (err == nil) != (a.status/100 == 2) {
			t.Errorf("%d: revoked, and got %v", a.status, err)
		} else if err != nil {
			wantPlain(t, err)
		}
	})
}

// readBack is an object as encoding/json reads it. A member that it cannot read, as
// a number beyond all numbers, is there all the same.
func readBack(body string) (said m, isObject bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &members) != nil || members == nil {
		return nil, false
	}
	said = m{}
	for name, raw := range members {
		var value any
		if json.Unmarshal(raw, &value) != nil {
			value = raw
		}
		said[name] = value
	}
	return said, true
}

// unambiguous reports whether a text is read alike by all: names are unique, and it
// is nested no deeper than is looked at.
func unambiguous(body string) bool {
	_, err := provider.TokenizedObject([]byte(body))
	return err == nil
}

// wantTokens fails unless an answer says what was taken from it.
func wantTokens(t *testing.T, a answering, said m, got *provider.Tokens) {
	t.Helper()
	text := func(name string) string { s, _ := said[name].(string); return s }
	if a.status/100 != 2 || said["error"] != nil || !strings.EqualFold(text("token_type"), "bearer") || got.AccessToken == "" {
		t.Errorf("%d %s: got tokens %+v", a.status, a.body, *got)
	}
	if got.AccessToken != text("access_token") || got.IDToken != text("id_token") || got.RefreshToken != text("refresh_token") || got.Scope != text("scope") {
		t.Errorf("%s: got tokens %+v", a.body, *got)
	}
	if !got.Expiry.IsZero() && (got.Expiry.Before(now.Add(time.Second)) || got.Expiry.After(now.Add(365*24*time.Hour))) {
		t.Errorf("%s: got expiry %v; want none, or within a year", a.body, got.Expiry)
	}
	for _, token := range []string{got.AccessToken, got.IDToken, got.RefreshToken} {
		if strings.ContainsFunc(token, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%s: got token %q", a.body, token)
		}
	}
}

// FuzzSignedTokens gives one token to all who take some. No token is good for two of
// them (https://www.rfc-editor.org/rfc/rfc8725#section-3.11), and what is good for
// one go-jose verifies with the published key, with the payload that was judged.
// seal is as in FuzzVerifyAccessToken.
func FuzzSignedTokens(f *testing.F) {
	headers := []string{
		`{"alg":"EdDSA","kid":"ed"}`, `{"alg":"EdDSA","kid":"ed","typ":"JWT"}`, `{"alg":"EdDSA","typ":"at+jwt"}`, `{"alg":"EdDSA","typ":"logout+jwt"}`,
		`{"alg":"EdDSA","typ":"application/at+jwt"}`, `{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"RS256"}`, `{"alg":"EdDSA","crit":["x"]}`, `{"alg":"EdDSA","alg":"EdDSA"}`,
	}
	logout := string(must(json.Marshal(logoutClaims(issuer, now, nil))))
	both := m{"nonce": nonce, "events": m{logoutEvent: m{}}, "jti": "j", "scope": "read", "client_id": "c", "aud": []string{clientID, api}}
	for _, header := range headers {
		for _, payload := range []string{string(claimsCase{}.payload()), string(claimsCase{changes: both}.payload()), logout, accessCase{}.payload()} {
			for seal := range byte(3) {
				f.Add([]byte(header), []byte(payload), seal)
			}
		}
	}
	for _, c := range claimsCases() {
		f.Add([]byte(headers[0]), c.payload(), byte(0))
	}
	for _, c := range logoutCases() {
		f.Add([]byte(headers[0]), c.payload(), byte(0))
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	c := offline{public(edKey().Public(), "ed"), public(rsaKey().Public(), "rsa")}.Client()
	f.Fuzz(func(t *testing.T, header, payload []byte, seal byte) {
		input := b64(string(header)) + "." + b64(string(payload))
		signature := payload
		switch seal {
		case 0:
			signature = ed25519.Sign(edKey(), []byte(input))
		case 1:
			signature = ed25519.Sign(stranger, []byte(input))
		}
		ctx, token := context.Background(), input+"."+b64(string(signature))
		id, idErr := verify(c, token)
		logout, logoutErr := c.VerifyLogoutToken(ctx, token)
		access, accessErr := c.VerifyAccessToken(ctx, token, api)
		good := 0
		for _, err := range []error{idErr, logoutErr, accessErr} {
			if err == nil {
				good++
			} else if wantPlain(t, err); (id != nil) != (idErr == nil) || (logout != nil) != (logoutErr == nil) || (access != nil) != (accessErr == nil) {
				t.Fatalf("%q.%q: got a token and %v", header, payload, err)
			}
		}
		switch {
		case good > 1:
			t.Fatalf("%q.%q: good as %d kinds of tokens: %+v, %+v, %+v", header, payload, good, id, logout, access)
		case good == 0:
			return
		}
		jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
		if err != nil {
			t.Fatalf("%q.%q: accepted; go-jose says %v", header, payload, err)
		}
		verified, err := jws.Verify(edKey().Public())
		if err != nil || string(verified) != string(payload) || id != nil && string(id.Payload) != string(payload) {
			t.Fatalf("%q.%q: accepted; go-jose says %v, %q", header, payload, err, verified)
		}
		typ, _ := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
		typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
		if id != nil && (typ == "at+jwt" || typ == "logout+jwt") || logout != nil && typ == "at+jwt" || access != nil && typ == "logout+jwt" {
			t.Errorf("%q: accepted as another type", header)
		}
	})
}
