package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gosignin/signin/internal/provider"
)

// goodMetadata is a document of an issuer, after changes.
func goodMetadata(issuer string, changes m) string {
	return string(must(json.Marshal(changed(usualMeta(issuer), changes))))
}

// FuzzMetadata checks metadata that are accepted: they name the exact issuer, and
// each endpoint, as encoding/json and net/url read it, is an https URL, or one of
// this machine if the issuer is. Errors quote nothing of the others.
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
	for _, text := range []string{``, ` `, `null`, `[]`, `{}`, `{"a":1}`, `{} {}`, `{"issuer":1}`, `{"issuer":"a","issuer":"b"}`, "{\"issuer\":\"\xff\"}"} {
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, doc string, https bool) {
		u := loopbackIssuer
		if https {
			u = issuer
		}
		meta, err := canned{metadata: response{status: 200, body: doc}}.Client(u).Metadata(context.Background())
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

// wantPlain fails unless an error is one of this package with a fixed text.
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

// FuzzAnswers gives one answer to every request. Tokens are used only if the
// answer, as encoding/json reads it, is a success, and userinfo only if it is
// about the person. A session ends only if the answer says that its grant is no
// longer valid. Errors quote nothing of an answer except its code.
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
	f.Fuzz(func(t *testing.T, status uint16, mediaType, after, body string) {
		if status < 200 || status > 599 {
			return // HTTP has no such answer
		}
		a := response{status: int(status), mediaType: mediaType, retryAfter: after, body: body}
		c, ctx := canned{response{status: 200, body: goodMeta}, a}.Client(issuer), context.Background()
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

// readBack returns an object as encoding/json reads it. The value of a member that
// it cannot read, such as the number 1e400, is the raw text.
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

// unambiguous reports whether all JSON readers understand a text in the same way:
// its names are unique, and it is nested no deeper than allowed.
func unambiguous(body string) bool {
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	var names []string
	for open, atName := 0, true; ; {
		token, err := dec.Token()
		switch name, _ := token.(string); {
		case err != nil:
			return utf8.ValidString(body)
		case token == json.Delim('{'), token == json.Delim('['):
			if open++; open > 64 {
				return false
			}
		case token == json.Delim('}'), token == json.Delim(']'):
			open--
			atName = true
		case open == 1 && atName:
			if slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, name) }) {
				return false
			}
			names, atName = append(names, name), false
		case open == 1:
			atName = true
		}
	}
}

// wantTokens fails unless the tokens are those of an answer.
func wantTokens(t *testing.T, a response, said m, got *provider.Tokens) {
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
