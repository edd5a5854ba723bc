package provider_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// tokenAnswer is a good answer of the token endpoint, after changes.
func tokenAnswer(changes m) string {
	return string(must(json.Marshal(changed(m{
		"access_token": accessToken, "token_type": "Bearer", "expires_in": 3600,
		"id_token": "a.b.c", "refresh_token": "r2", "scope": "openid profile",
	}, changes))))
}

func TestExchange_Answers(t *testing.T) {
	t.Parallel()
	none, minute, hour := time.Time{}, now.Add(time.Minute), now.Add(time.Hour)
	for _, c := range []struct {
		name    string
		changes m
		expiry  time.Time
		want    provider.Kind
	}{
		{"a good answer", nil, hour, 0},
		{"3.5 without id_token", m{"id_token": nil}, none, provider.Rejected},
		{"id_token null", m{"id_token": raw("null")}, none, provider.Rejected},
		{"id_token of the wrong type", m{"id_token": m{}}, none, provider.Rejected},
		{"3.5 token_type in odd case", m{"token_type": "bEARER"}, hour, 0},
		{"another token_type", m{"token_type": "DPoP"}, none, provider.Rejected},
		{"token_type absent, as of some providers with bearer tokens only", m{"token_type": nil}, hour, 0},
		{"token_type null", m{"token_type": raw("null")}, hour, 0},
		{"token_type of the wrong type", m{"token_type": 1}, none, provider.Rejected},
		{"3.5 expires_in as text", m{"expires_in": "60"}, minute, 0},
		{"expires_in with a fraction", m{"expires_in": 60.9}, minute, 0},
		{"3.5 expires_in 0", m{"expires_in": 0}, none, 0},
		{"3.5 expires_in absent", m{"expires_in": nil}, none, 0},
		{"expires_in negative", m{"expires_in": -5}, none, 0},
		{"expires_in null", m{"expires_in": raw("null")}, none, 0},
		{"expires_in not a number", m{"expires_in": "NaN"}, none, 0},
		{"expires_in an object", m{"expires_in": m{}}, none, 0},
		{"3.5 expires_in absurd", m{"expires_in": raw("99999999999999999999")}, none, 0},
		{"expires_in of 1e400", m{"expires_in": raw("1e400")}, none, 0},
		{"access_token absent, as of Azure AD B2C", m{"access_token": nil}, none, provider.Misconfigured},
		{"access_token of the wrong type", m{"access_token": 1}, none, provider.Rejected},
		{"access_token that splits a header", m{"access_token": "a\r\nb: c"}, none, provider.Rejected},
		{"refresh_token of the wrong type", m{"refresh_token": []string{}}, none, provider.Rejected},
		{"refresh_token that splits a header", m{"refresh_token": "a\r\nb: c", "id_token": nil}, none, provider.Rejected},
		{"no refresh_token and no id_token", m{"refresh_token": nil, "id_token": nil}, none, provider.Rejected},
		{"id_token of the wrong type, beside no other fault", m{"id_token": false}, none, provider.Rejected},
		{"an error with status 200", m{"error": "invalid_grant"}, none, provider.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tokens, err := exchange(says(200, "", tokenAnswer(c.changes)))
			wantKind(t, err, c.want)
			if err != nil {
				// There is a refresh token to be revoked, if it can be read.
				_, own := c.changes["refresh_token"]
				if own = own || c.want == provider.Refused; tokens != nil == own || tokens != nil && *tokens != (provider.Tokens{RefreshToken: "r2"}) {
					t.Errorf("got tokens %v with error %v; want the refresh token alone, if there is one", tokens, err)
				}
				return
			}
			if !tokens.Expiry.Equal(c.expiry) {
				t.Errorf("got expiry %v; want %v", tokens.Expiry, c.expiry)
			}
		})
	}
}

// wantForm fails unless this was the last form posted.
func (f *fake) wantForm(t *testing.T, want url.Values) {
	t.Helper()
	if got := f.form.PostForm.Encode(); got != want.Encode() {
		t.Errorf("got form %q; want %q", got, want.Encode())
	}
}

func TestExchange_Request(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.Says(tokenPath, 200, tokenAnswer(nil))
	tokens, err := exchange(f.Client())
	wantKind(t, err, 0)
	want := provider.Tokens{IDToken: "a.b.c", AccessToken: accessToken, RefreshToken: "r2", Scope: "openid profile", Expiry: now.Add(time.Hour)}
	if *tokens != want {
		t.Errorf("got %+v; want %+v", *tokens, want)
	}
	f.wantForm(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {"the-code"}, "code_verifier": {"the-verifier"}, "redirect_uri": {redirectURL},
	})
}

func TestRefresh_OddAnswers(t *testing.T) {
	t.Parallel()
	const keeps = "r2"
	for _, row := range []struct {
		name    string
		changes m
		want    provider.Tokens
		kind    provider.Kind
		said    string // in the error
	}{
		{"scope as a list", m{"scope": []any{"openid", 5, "email"}}, provider.Tokens{Scope: "openid email"}, 0, ""},
		{"scope as a list of texts with spaces", m{"scope": []any{"openid email", "roles"}}, provider.Tokens{Scope: "openid email roles"}, 0, ""},
		{"scope as an empty list", m{"scope": []any{}}, provider.Tokens{}, 0, ""},
		{"names in another case", m{"Scope": "admin", "Access_token": "x", "ERROR": "invalid_grant", "scope": "openid"}, provider.Tokens{Scope: "openid"}, 0, ""},
		{"scope a number", m{"scope": 5}, provider.Tokens{}, 0, ""},
		{"an ID token of the wrong type", m{"id_token": m{}, "scope": "openid"}, provider.Tokens{Scope: "openid"}, 0, ""},
		{"another token_type", m{"token_type": "DPoP"}, provider.Tokens{RefreshToken: keeps}, provider.Rejected, `token_type is "DPoP"; needs Bearer`},
		{"a token_type that holds a token", m{"token_type": m{"access_token": "a1"}}, provider.Tokens{RefreshToken: keeps}, provider.Rejected, "token_type is not text; needs Bearer"},
		{"an empty access token", m{"access_token": ""}, provider.Tokens{RefreshToken: keeps}, provider.Misconfigured, "Config.Scopes"},
		{"an access token of the wrong type", m{"access_token": 5}, provider.Tokens{RefreshToken: keeps}, provider.Rejected, "access_token is not text"},
	} {
		// A byte order mark is no part of the answer.
		body := "\ufeff" + tokenAnswer(changed(m{"id_token": raw("null"), "expires_in": raw("null")}, row.changes))
		got, err := says(200, "", body).Refresh(context.Background(), "r1", nil)
		if row.kind == 0 {
			row.want.AccessToken, row.want.RefreshToken = accessToken, keeps
		}
		if e := wantKind(t, err, row.kind); e != nil && !strings.Contains(e.Error(), row.said) {
			t.Errorf("%s: got error %v; want %q in it", row.name, e, row.said)
		}
		if got == nil || *got != row.want {
			t.Errorf("%s: got %+v; want %+v", row.name, got, row.want)
		}
	}
}

func TestRefresh_Request(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.Says(tokenPath, 200, tokenAnswer(m{"id_token": nil, "refresh_token": nil, "scope": nil, "expires_in": nil}))
	params := url.Values{"resource": {"https://a.example", "https://b.example"}, "grant_type": {"evil"}}
	tokens, err := f.Client().Refresh(context.Background(), "r1", params)
	wantKind(t, err, 0)
	if want := (provider.Tokens{AccessToken: accessToken}); *tokens != want {
		t.Errorf("got %+v; want %+v", *tokens, want)
	}
	f.wantForm(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"r1"}, "resource": params["resource"]})
	if len(params) != 2 || params.Get("grant_type") != "evil" {
		t.Errorf("got the caller's parameters changed: %v", params)
	}
}

// P-client-secret-basic, and 9.4: the secret is s3cret+/%:&=.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	const basic, post = "client_secret_basic", "client_secret_post"
	for _, c := range []struct {
		name               string
		listed, revocation any
		wantBasic          [2]bool // at the token and the revocation endpoint
		revokeFails        bool
		configured         string
	}{
		{name: "both listed, post configured", listed: []string{basic, post}, configured: post},
		{name: "post listed, basic configured", listed: []string{post}, configured: basic, wantBasic: [2]bool{true, true}},
		{name: "neither listed, post configured", listed: []string{"private_key_jwt"}, revocation: []string{"none"}, configured: post},
		{name: "nothing listed", wantBasic: [2]bool{true, true}},
		{name: "an empty list", listed: []string{}, wantBasic: [2]bool{true, true}},
		{name: "basic alone", listed: []string{basic}, wantBasic: [2]bool{true, true}},
		{name: "both, post first", listed: []string{post, basic}, wantBasic: [2]bool{true, true}},
		{name: "post alone", listed: []string{"none", post}},
		{name: "post as text", listed: post, revocation: basic, wantBasic: [2]bool{false, true}},
		{name: "revocation by post", listed: []string{basic}, revocation: []string{post}, wantBasic: [2]bool{true, false}},
		{name: "revocation by an unsupported method", revocation: []string{"tls_client_auth"}, wantBasic: [2]bool{true}, revokeFails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.Meta(m{"token_endpoint_auth_methods_supported": c.listed, "revocation_endpoint_auth_methods_supported": c.revocation})
			f.Says(tokenPath, 200, tokenAnswer(nil))
			f.Says(revocationPath, 200, "")
			client := f.Client(func(cfg *provider.Config) { cfg.ClientID, cfg.ClientAuth = "my app", c.configured })
			_, err := exchange(client)
			wantKind(t, err, 0)
			wantCredentials(t, f.form, c.wantBasic[0])
			err = client.Revoke(context.Background(), "r1")
			if c.revokeFails {
				wantKind(t, err, provider.Misconfigured)
				return
			}
			wantKind(t, err, 0)
			wantCredentials(t, f.form, c.wantBasic[1])
		})
	}
}

// An operator learns which of the two ways was tried, and which setting chooses it.
func TestClientAuthentication_Refused(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		f := newFake()
		f.Says(tokenPath, 401, `{"error":"invalid_client"}`)
		_, err := exchange(f.Client(func(cfg *provider.Config) { cfg.ClientAuth = method }))
		e := wantKind(t, err, provider.Misconfigured)
		for _, text := range []string{method, "Config.Provider.ClientAuth", "401 invalid_client"} {
			if !strings.Contains(e.Error(), text) || strings.Contains(e.Error(), clientSecret) {
				t.Errorf("got %v; want %s in it, and no secret", e, text)
			}
		}
	}
}

// wantCredentials fails unless r has the client's, in one way only.
func wantCredentials(t *testing.T, r *http.Request, basic bool) {
	t.Helper()
	id, secret, ok := r.BasicAuth()
	if ok != basic {
		t.Errorf("got Basic %t; want %t", ok, basic)
	}
	if basic && (id != "my+app" || secret != "s3cret%2B%2F%25%3A%26%3D" || r.PostForm.Has("client_secret")) {
		t.Errorf("got %q, %q; want both form encoded, and not in the form", id, secret)
	}
	if !basic && (r.PostForm.Get("client_id") != "my app" || r.PostForm.Get("client_secret") != clientSecret) {
		t.Errorf("got form %v; want the credentials in it", r.PostForm)
	}
}

// TestRefresh_Refusals shows which errors end a session: at every provider, at
// those other than Logto, or nowhere.
func TestRefresh_Refusals(t *testing.T) {
	t.Parallel()
	const nowhere, everywhere, elsewhere = 0, 1, 2
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   provider.Kind
		code   string
		final  int
	}{
		{"invalid_grant", 400, `{"error":"invalid_grant"}`, provider.Refused, "invalid_grant", everywhere},
		{"invalid_grant with 403, as of Auth0", 403, `{"error":"invalid_grant"}`, provider.Refused, "invalid_grant", everywhere},
		{"invalid_grant with 401", 401, `{"error":"invalid_grant"}`, provider.Refused, "invalid_grant", everywhere},
		{"invalid_grant with 500", 500, `{"error":"invalid_grant"}`, provider.Unavailable, "", nowhere},
		{"invalid_request, as of dex", 400, `{"error":"invalid_request"}`, provider.Refused, "invalid_request", elsewhere},
		{"an empty 400, as of Glewlwyd", 400, ``, provider.Refused, "", elsewhere},
		{"an object without code", 400, `{"message":"no"}`, provider.Unavailable, "", nowhere},
		{"a code of the wrong type", 400, `{"error":{}}`, provider.Unavailable, "", nowhere},
		{"a code with a quote", 400, `{"error":"a\"b"}`, provider.Unavailable, "", nowhere},
		{"a code with a line break", 400, `{"error":"a\nb"}`, provider.Unavailable, "", nowhere},
		{"a code of 65 characters", 400, `{"error":"` + strings.Repeat("a", 65) + `"}`, provider.Unavailable, "", nowhere},
		{"HTML with 400, likely from a proxy", 400, `<html>`, provider.Unavailable, "", nowhere},
		{"invalid_client", 401, `{"error":"invalid_client"}`, provider.Misconfigured, "invalid_client", nowhere},
		{"invalid_client with 400, as of Logto", 400, `{"error":"invalid_client"}`, provider.Misconfigured, "invalid_client", nowhere},
		{"unauthorized_client", 400, `{"error":"unauthorized_client"}`, provider.Misconfigured, "unauthorized_client", nowhere},
		{"401 without code", 401, ``, provider.Misconfigured, "", nowhere},
		{"401 with another code", 401, `{"error":"invalid_request"}`, provider.Misconfigured, "invalid_request", elsewhere},
		{"403 without code", 403, ``, provider.Misconfigured, "", nowhere},
		{"access_denied, as of Logto for a person who is not a member", 403, `{"error":"access_denied"}`, provider.Refused, "access_denied", elsewhere},
		{"invalid_request with 403", 403, `{"error":"invalid_request"}`, provider.Refused, "invalid_request", elsewhere},
		{"access_denied with 404", 404, `{"error":"access_denied"}`, provider.Refused, "access_denied", nowhere},
		{"unauthorized", 401, `{"error":"unauthorized"}`, provider.Misconfigured, "unauthorized", elsewhere},
		{"token_inactive", 400, `{"error":"token_inactive"}`, provider.Refused, "token_inactive", elsewhere},
		{"invalid_token", 403, `{"error":"invalid_token"}`, provider.Refused, "invalid_token", elsewhere},
		{"interaction_required", 400, `{"error":"interaction_required"}`, provider.Refused, "interaction_required", everywhere},
		{"login_required with 401", 401, `{"error":"login_required"}`, provider.Refused, "login_required", everywhere},
		{"consent_required with 403", 403, `{"error":"consent_required"}`, provider.Refused, "consent_required", everywhere},
		{"account_selection_required with 200", 200, `{"error":"account_selection_required"}`, provider.Refused, "account_selection_required", everywhere},
		{"mfa_required, as of Auth0", 403, `{"error":"mfa_required"}`, provider.Refused, "mfa_required", everywhere},
		{"another code that ends so", 400, `{"error":"x_required"}`, provider.Refused, "x_required", nowhere},
		{"invalid_target", 400, `{"error":"invalid_target"}`, provider.Refused, "invalid_target", nowhere},
		{"invalid_scope", 400, `{"error":"invalid_scope"}`, provider.Refused, "invalid_scope", nowhere},
		{"server_error with 400", 400, `{"error":"server_error"}`, provider.Unavailable, "server_error", nowhere},
		{"temporarily_unavailable", 400, `{"error":"temporarily_unavailable"}`, provider.Unavailable, "temporarily_unavailable", nowhere},
		{"408", 408, ``, provider.Unavailable, "", nowhere},
		{"429", 429, `{"error":"invalid_grant"}`, provider.Unavailable, "", nowhere},
		{"503", 503, `<html>`, provider.Unavailable, "", nowhere},
		{"404", 404, ``, provider.Misconfigured, "", nowhere},
		{"405 with a page", 405, `<html>`, provider.Misconfigured, "", nowhere},
		{"a redirect", 302, ``, provider.Misconfigured, "", nowhere},
		{"tokens with 101", 101, tokenAnswer(nil), provider.Unavailable, "", nowhere},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := says(c.status, "", c.body).Refresh(context.Background(), "r1", nil)
			if e := wantKind(t, err, c.kind); e.OAuthCode != c.code || e.Status != c.status {
				t.Errorf("got code %q, status %d; want %q, %d", e.OAuthCode, e.Status, c.code, c.status)
			} else if e.Final() != (c.final == everywhere) || e.Denied() != (c.final == elsewhere) {
				t.Errorf("got final %t, or if it is repeated: %t", e.Final(), e.Denied())
			}
		})
	}
	for _, body := range []string{"", "<html>", "access_token=a&token_type=bearer", "[]", `{"a":1,"a":2}`} {
		_, err := says(200, "", body).Refresh(context.Background(), "r1", nil)
		if e := wantKind(t, err, provider.Unavailable); e.Final() || e.Denied() {
			t.Errorf("%q with 200: got final; want the session to go on", body)
		}
	}
}

// Logto says access_denied if a second factor is missing, and in other cases.
func TestRefresh_WantsMFA(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"error":"access_denied","error_description":"MFA is required"}`:   true,
		`{"error":"access_denied","error_description":"not a member"}`:      false,
		`{"error":"invalid_target","error_description":"MFA is no target"}`: false,
	} {
		_, err := says(403, "", body).Refresh(context.Background(), "r1", nil)
		if got := wantKind(t, err, provider.Refused).WantsMFA; got != want {
			t.Errorf("%s: got %t; want %t", body, got, want)
		}
	}
}

// No request follows without metadata, and no redirect (9.3) is followed.
func TestClient_NoMetadataAndRedirects(t *testing.T) {
	t.Parallel()
	for i, c := range calls[1:] {
		t.Run(fmt.Sprint(c.path, i), func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.Says(wellKnown, 500, "")
			wantKind(t, c.call(f, f.Client()), provider.Unavailable)
			f.wantHits(t, c.path, 0)
			f.Answer(wellKnown, nil)
			to := issuer + "/evil" // a request with a credential follows none
			if c.path == keysPath {
				to = "https://cdn.example.com/evil"
			}
			for _, status := range []int{301, 302, 303, 307, 308} {
				f.Answer(c.path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, status) })
				wantKind(t, c.call(f, f.Client()), provider.Misconfigured)
				f.wantHits(t, "/evil", 0)
			}
		})
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.Says(revocationPath, 200, "")
	c, ctx := f.Client(), context.Background()
	wantKind(t, c.Revoke(ctx, "r1"), 0)
	f.wantForm(t, url.Values{"token": {"r1"}, "token_type_hint": {"refresh_token"}})
	f.Says(revocationPath, 400, `{"error":"unsupported_token_type"}`)
	if e := wantKind(t, c.Revoke(ctx, "r1"), provider.Refused); e.OAuthCode != "unsupported_token_type" {
		t.Errorf("got code %q; want unsupported_token_type", e.OAuthCode)
	}
	f.Says(revocationPath, 503, "")
	wantKind(t, c.Revoke(ctx, "r1"), provider.Unavailable)

	without := newFake()
	without.Meta(m{"revocation_endpoint": nil})
	wantKind(t, without.Client().Revoke(ctx, "r1"), 0)
}

// What an endpoint has in its query is neither changed nor added again.
func TestEndSessionURL_Query(t *testing.T) {
	t.Parallel()
	const after, added = "https://app.test/", "post_logout_redirect_uri=https%3A%2F%2Fapp.test%2F"
	for query, want := range map[string]string{
		"?client_id=x&logout_uri=https%3A%2F%2Fapp.test%2F": "?client_id=x&logout_uri=https%3A%2F%2Fapp.test%2F&id_token_hint=a.b.c&" + added,
		"?post_logout_redirect_uri=x&b=2&a=1;c":             "?post_logout_redirect_uri=x&b=2&a=1;c&client_id=app&id_token_hint=a.b.c",
		"?id_token_hint=":                                   "?id_token_hint=&client_id=app&" + added,
		"?":                                                 "?client_id=app&id_token_hint=a.b.c&" + added,
	} {
		f := newFake()
		client := f.Client(func(cfg *provider.Config) {
			cfg.Endpoints = map[string]string{"end_session_endpoint": "https://login.example/logout" + query}
		})
		got, err := client.EndSessionURL(context.Background(), after, "a.b.c")
		if wantKind(t, err, 0); got != "https://login.example/logout"+want {
			t.Errorf("%s: got %s; want %s", query, got, want)
		}
	}
}

func TestEndSessionURL(t *testing.T) {
	t.Parallel()
	const after = "https://app.test/"
	f := newFake()
	f.Meta(m{"end_session_endpoint": issuer + "/x7/end?tenant=1"})
	whole := strings.Repeat("h", 2000-len(issuer+"/x7/end?tenant=1&client_id="+clientID+"&id_token_hint=&post_logout_redirect_uri="+url.QueryEscape(after)))
	for hint, want := range map[string][]string{"": nil, "a.b.c": {"a.b.c"}, whole: {whole}, whole + "h": nil} {
		got, err := f.Client().EndSessionURL(context.Background(), after, hint)
		wantKind(t, err, 0)
		query := must(url.Parse(got)).Query()
		values := url.Values{"tenant": {"1"}, "client_id": {clientID}, "post_logout_redirect_uri": {after}}
		if want != nil {
			values["id_token_hint"] = want
		}
		if !strings.HasPrefix(got, issuer+"/x7/end?") || !reflect.DeepEqual(query, values) {
			t.Errorf("hint %q: got %s; want the endpoint with %v", hint, got, values)
		}
	}
	f.Meta(m{"end_session_endpoint": nil})
	got, err := f.Client().EndSessionURL(context.Background(), after, "")
	if wantKind(t, err, 0); got != "" {
		t.Errorf("no endpoint: got %q; want nothing", got)
	}
	f.Says(wellKnown, 500, "{}")
	got, err = f.Client().EndSessionURL(context.Background(), after, "")
	if wantKind(t, err, provider.Unavailable); got != "" {
		t.Errorf("provider down: got %q; want nothing", got)
	}
}

func TestUserInfo_Answers(t *testing.T) {
	t.Parallel()
	const json, another, unusable = "application/json", "another person", "unusable"
	for _, c := range []struct {
		name      string
		status    int
		mediaType string
		body      string
		subject   string
		want      string // "" is userinfo of the person
	}{
		{"P-userinfo-bearer-header", 200, json, `{"sub":"alice","name":null}`, "alice", ""},
		{"with a charset", 200, "Application/JSON; charset=utf-8", `{"sub":"alice"}`, "alice", ""},
		{"P-userinfo-invalid-sub", 200, json, `{"sub":"bob"}`, "alice", another},
		{"3.6 sub missing", 200, json, `{"name":"Alice"}`, "alice", another},
		{"sub missing, and no subject expected", 200, json, `{}`, "", another},
		{"sub of the wrong type", 200, json, `{"sub":1}`, "1", another},
		{"sub in another case", 200, json, `{"sub":"Alice"}`, "alice", another},
		{"sub twice", 200, json, `{"sub":"bob","sub":"alice"}`, "alice", unusable},
		{"sub twice for encoding/json", 200, json, `{"sub":"alice","SUB":"bob"}`, "alice", unusable},
		{"two spellings of a claim that is not read", 200, json, `{"sub":"alice","Groups":["a"],"groups":["b"]}`, "alice", ""},
		{"two spellings of a claim that is read", 200, json, `{"sub":"alice","Roles":["a"],"roles":["b"]}`, "alice", unusable},
		{"a JSON type of its own", 200, "application/scim+json", `{"sub":"alice"}`, "alice", ""},
		{"3.6 wrong content type", 200, "text/html", `{"sub":"alice"}`, "alice", unusable},
		{"a malformed content type", 200, "application/json; x", `{"sub":"alice"}`, "alice", unusable},
		{"no content type", 200, "", `{"sub":"alice"}`, "alice", unusable},
		{"3.6 an ID token instead", 200, "application/jwt", "a.b.c", "alice", unusable},
		{"an ID token instead, as JSON", 200, json, "a.b.c", "alice", unusable},
		{"3.6 401", 401, json, `{"sub":"alice"}`, "alice", unusable},
		{"204", 204, "", ``, "alice", unusable},
		{"404", 404, "text/html", `<html>`, "alice", "misconfigured"},
		{"408", 408, "", ``, "alice", "unavailable"},
		{"500", 500, json, `{"sub":"alice"}`, "alice", "unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := says(c.status, c.mediaType, c.body).UserInfo(context.Background(), accessToken, c.subject)
			kind := map[string]provider.Kind{"": 0, another: provider.Rejected, unusable: provider.Rejected, "unavailable": provider.Unavailable, "misconfigured": provider.Misconfigured}[c.want]
			e := wantKind(t, err, kind)
			if e == nil && string(got) != c.body || e != nil && got != nil {
				t.Errorf("got %q with error %v; want the body, or an error", got, err)
			}
			if e != nil && e.AnotherPerson() != (c.want == another) || c.status != 200 && e.Status != c.status {
				t.Errorf("got another person %t, status %d; want %s, %d", e.AnotherPerson(), e.Status, c.want, c.status)
			}
		})
	}
}

// A signed answer is held to the rules for ID tokens, as far as it has their claims.
func TestUserInfo_Signed(t *testing.T) {
	t.Parallel()
	about := m{"nonce": nil, "sid": nil, "iat": nil, "exp": nil}
	for _, row := range []struct {
		name    string
		changes m // of a good ID token's claims, besides those of about
		header  m
		forged  bool
		good    bool
	}{
		{name: "with iss and aud", good: true},
		{name: "without iss and aud", changes: m{"iss": nil, "aud": nil}, good: true},
		{name: "with exp and iat", changes: m{"exp": now.Unix() + 60, "iat": now.Unix()}, good: true},
		{name: "several audiences", changes: m{"aud": []string{"other", clientID}}, good: true},
		{name: "another issuer", changes: m{"iss": "https://evil.example"}},
		{name: "another audience", changes: m{"aud": "other"}},
		{name: "another person", changes: m{"sub": "bob"}},
		{name: "no person", changes: m{"sub": nil}},
		{name: "expired", changes: m{"exp": now.Unix() - 120}},
		{name: "another key", forged: true},
		{name: "an ID token of the same person", changes: m{"nonce": nonce}},
		{name: "an access token", header: m{"typ": "at+jwt"}},
	} {
		f, key := newFake(), rsaKey()
		if row.forged {
			key = otherRSAKey()
		}
		body := sign("RS256", key, "rsa", changed(f.Claims(about), row.changes), row.header)
		got, err := f.answering(userInfoPath, "application/jwt; charset=utf-8", body+"\n").UserInfo(context.Background(), accessToken, "alice")
		if !row.good {
			if wantKind(t, err, provider.Rejected); got != nil {
				t.Errorf("%s: got %s with an error", row.name, got)
			}
			continue
		}
		if wantKind(t, err, 0); !strings.Contains(string(got), `"sub":"alice"`) {
			t.Errorf("%s: got %s; want the claims", row.name, got)
		}
	}
	for name, body := range map[string]string{
		"not signed": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.", "encrypted": "a.b.c.d.e", "plain JSON": `{"sub":"alice"}`,
	} {
		if _, err := newFake().answering(userInfoPath, "application/jwt", body).UserInfo(context.Background(), accessToken, "alice"); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// answering returns a client of f, which gives one answer at a path.
func (f *fake) answering(path, mediaType, body string) *provider.Client {
	f.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		io.WriteString(w, body)
	})
	return f.Client()
}

func TestUserInfo_Request(t *testing.T) {
	t.Parallel()
	f, ctx := newFake(), context.Background()
	for _, token := range []string{"", "a\nb", "å"} {
		_, err := f.Client().UserInfo(ctx, token, "alice")
		wantKind(t, err, provider.Rejected)
	}
	f.wantHits(t, userInfoPath, 0)
	f.Answer(userInfoPath, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+accessToken {
			t.Errorf("got Authorization %q; want the access token", got)
		}
	})
	f.Client().UserInfo(ctx, accessToken, "alice")
	f.wantHits(t, userInfoPath, 1)
	f.Meta(m{"userinfo_endpoint": nil})
	_, err := f.Client().UserInfo(ctx, accessToken, "alice")
	wantKind(t, err, provider.Misconfigured)
}
