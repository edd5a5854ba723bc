package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// tokenAnswer is a good answer after changes; nil removes a member.
func tokenAnswer(changes m) string {
	members := m{
		"access_token": accessToken, "token_type": "Bearer", "expires_in": 3600,
		"id_token": "a.b.c", "refresh_token": "r2", "scope": "openid profile",
	}
	for name, value := range changes {
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
	}
	return string(must(jsonOf(members)))
}

func exchange(c *provider.Client) (*provider.Tokens, error) {
	return c.Exchange(context.Background(), "the-code", "the-verifier")
}

func tokenAnswers(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) time.Time { return newClock().Now().Add(d) }
	year := 365 * 24 * time.Hour
	for _, c := range []struct {
		name    string
		changes m
		expiry  time.Time
		want    provider.Kind
	}{
		{"a good answer", nil, in(time.Hour), 0},
		{"3.5 without id_token", m{"id_token": nil}, time.Time{}, provider.Rejected},
		{"id_token null", m{"id_token": raw("null")}, time.Time{}, provider.Rejected},
		{"id_token of the wrong type", m{"id_token": m{}}, time.Time{}, provider.Unavailable},
		{"3.5 token_type in odd case", m{"token_type": "bEARER"}, in(time.Hour), 0},
		{"another token_type", m{"token_type": "DPoP"}, time.Time{}, provider.Rejected},
		{"token_type absent", m{"token_type": nil}, time.Time{}, provider.Rejected},
		{"token_type of the wrong type", m{"token_type": 1}, time.Time{}, provider.Rejected},
		{"3.5 expires_in as text", m{"expires_in": "60"}, in(time.Minute), 0},
		{"expires_in with a fraction", m{"expires_in": 60.9}, in(time.Minute), 0},
		{"3.5 expires_in 0", m{"expires_in": 0}, time.Time{}, 0},
		{"3.5 expires_in absent", m{"expires_in": nil}, time.Time{}, 0},
		{"expires_in negative", m{"expires_in": -5}, time.Time{}, 0},
		{"expires_in null", m{"expires_in": raw("null")}, time.Time{}, 0},
		{"expires_in as words", m{"expires_in": "soon"}, time.Time{}, 0},
		{"expires_in not a number", m{"expires_in": "NaN"}, time.Time{}, 0},
		{"expires_in an object", m{"expires_in": m{}}, time.Time{}, 0},
		{"3.5 expires_in absurd", m{"expires_in": raw("99999999999999999999")}, in(year), 0},
		{"expires_in beyond numbers", m{"expires_in": raw("1e400")}, in(year), 0},
		{"access_token absent", m{"access_token": nil}, time.Time{}, provider.Unavailable},
		{"access_token of the wrong type", m{"access_token": 1}, time.Time{}, provider.Unavailable},
		{"access_token that splits a header", m{"access_token": "a\r\nb: c"}, time.Time{}, provider.Unavailable},
		{"refresh_token of the wrong type", m{"refresh_token": []string{}}, time.Time{}, provider.Unavailable},
		{"scope as a list", m{"scope": []string{"openid"}}, in(time.Hour), 0},
		{"an error with status 200", m{"error": "invalid_grant"}, time.Time{}, provider.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Says("/x7/token", 200, tokenAnswer(c.changes))
			tokens, err := exchange(f.Client())
			wantKind(t, err, c.want)
			if (tokens != nil) != (c.want == 0) {
				t.Fatalf("got tokens %v with error %v; want one without the other", tokens, err)
			}
			if tokens != nil && !tokens.Expiry.Equal(c.expiry) {
				t.Errorf("got expiry %v; want %v", tokens.Expiry, c.expiry)
			}
		})
	}
}

func TestExchange(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Says("/x7/token", 200, tokenAnswer(nil))
	tokens, err := exchange(f.Client())
	wantKind(t, err, 0)
	if tokens.AccessToken != accessToken || tokens.IDToken != "a.b.c" || tokens.RefreshToken != "r2" || tokens.Scope != "openid profile" {
		t.Errorf("got %+v; want what the provider sent", *tokens)
	}
	want := url.Values{
		"grant_type": {"authorization_code"}, "code": {"the-code"}, "code_verifier": {"the-verifier"}, "redirect_uri": {redirectURL},
	}
	if got := f.Form(t).PostForm; got.Encode() != want.Encode() {
		t.Errorf("got form %q; want %q", got.Encode(), want.Encode())
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Says("/x7/token", 200, tokenAnswer(m{"id_token": nil, "refresh_token": nil, "scope": nil}))
	params := url.Values{"resource": {"https://a.example", "https://b.example"}, "grant_type": {"evil"}}
	tokens, err := f.Client().Refresh(context.Background(), "r1", params)
	wantKind(t, err, 0)
	if tokens.AccessToken != accessToken || tokens.IDToken != "" || tokens.RefreshToken != "" || tokens.Scope != "" {
		t.Errorf("got %+v; want an access token and nothing that was not sent", *tokens)
	}
	want := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"r1"}, "resource": params["resource"]}
	if got := f.Form(t).PostForm; got.Encode() != want.Encode() {
		t.Errorf("got form %q; want %q", got.Encode(), want.Encode())
	}
	if len(params) != 2 || params.Get("grant_type") != "evil" {
		t.Errorf("got the caller's parameters changed: %v", params)
	}
}

// clientAuth covers P-client-secret-basic and 9.4. The secret is
// s3cret+/%:&=.
func clientAuth(t *testing.T) {
	t.Parallel()
	const basic, post = "client_secret_basic", "client_secret_post"
	for _, c := range []struct {
		name               string
		listed, revocation any
		wantBasic          [2]bool // at the token and the revocation endpoint
		revokeFails        bool
	}{
		{name: "nothing listed", wantBasic: [2]bool{true, true}},
		{name: "an empty list", listed: []string{}, wantBasic: [2]bool{true, true}},
		{name: "basic alone", listed: []string{basic}, wantBasic: [2]bool{true, true}},
		{name: "both, post first", listed: []string{post, basic}, wantBasic: [2]bool{true, true}},
		{name: "both, basic first", listed: []string{basic, post}, wantBasic: [2]bool{true, true}},
		{name: "post alone", listed: []string{"none", post}},
		{name: "revocation by post", listed: []string{basic}, revocation: []string{post}, wantBasic: [2]bool{true, false}},
		{name: "revocation in no known way", revocation: []string{"tls_client_auth"}, wantBasic: [2]bool{true}, revokeFails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Meta(m{"token_endpoint_auth_methods_supported": c.listed, "revocation_endpoint_auth_methods_supported": c.revocation})
			f.Says("/x7/token", 200, tokenAnswer(nil))
			f.Says("/x7/revoke", 200, "")
			client := f.Client(func(cfg *provider.Config) { cfg.ClientID = "my app" })
			_, err := exchange(client)
			wantKind(t, err, 0)
			wantCredentials(t, f.Form(t), c.wantBasic[0])
			err = client.Revoke(context.Background(), "r1")
			if c.revokeFails {
				wantKind(t, err, provider.Misconfigured)
				return
			}
			wantKind(t, err, 0)
			wantCredentials(t, f.Form(t), c.wantBasic[1])
		})
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

func redirectingTokenEndpoint(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			redirect := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, f.URL+"/evil", status) }
			for _, path := range []string{"/x7/token", "/x7/revoke", "/x7/me", "/x7/keys"} {
				f.Answer(path, redirect)
			}
			c := f.Client(func(cfg *provider.Config) { cfg.HTTPClient = &http.Client{} })
			ctx := context.Background()
			_, err := exchange(c)
			wantKind(t, err, provider.Misconfigured)
			_, err = c.Refresh(ctx, "r1", nil)
			wantKind(t, err, provider.Misconfigured)
			wantKind(t, c.Revoke(ctx, "r1"), provider.Misconfigured)
			_, err = c.UserInfo(ctx, accessToken, "alice")
			wantKind(t, err, provider.Misconfigured)
			_, err = verify(c, f.goodToken(t))
			wantKind(t, err, provider.Misconfigured)
			if hits := f.Hits("/evil"); hits != 0 {
				t.Errorf("got %d requests redirected; want none", hits)
			}
		})
	}
}

// refused is the error of a refresh that is answered so.
func refused(t *testing.T, status int, body string) *provider.Error {
	t.Helper()
	_, err := answering{discovery: goodMetadata(issuer, nil), status: status, body: body}.Client(issuer).Refresh(context.Background(), "r1", nil)
	e, ok := errors.AsType[*provider.Error](err)
	if !ok {
		t.Fatalf("got error %v; want a *provider.Error", err)
	}
	return e
}

// refusals is the table behind "does the session stand", DESIGN.md
// "Refreshing".
func refusals(t *testing.T) {
	t.Parallel()
	const no, always, lenient = 0, 1, 2
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   provider.Kind
		code   string
		final  int
	}{
		{"invalid_grant", 400, `{"error":"invalid_grant"}`, provider.Refused, "invalid_grant", always},
		{"invalid_grant with 403, as Auth0 says it", 403, `{"error":"invalid_grant"}`, provider.Refused, "invalid_grant", always},
		{"invalid_grant with 401", 401, `{"error":"invalid_grant"}`, provider.Refused, "invalid_grant", always},
		{"invalid_grant with 500 is trouble", 500, `{"error":"invalid_grant"}`, provider.Unavailable, "", no},
		{"invalid_request, as dex says it", 400, `{"error":"invalid_request"}`, provider.Refused, "invalid_request", lenient},
		{"nothing, as Glewlwyd says it", 400, ``, provider.Refused, "", lenient},
		{"an object without code", 400, `{"message":"no"}`, provider.Refused, "", lenient},
		{"a code of the wrong type", 400, `{"error":{}}`, provider.Refused, "", lenient},
		{"HTML with 400 is by some box on the way", 400, `<html>`, provider.Unavailable, "", no},
		{"invalid_client", 401, `{"error":"invalid_client"}`, provider.Misconfigured, "invalid_client", no},
		{"Logto's client secret has expired", 400, `{"error":"invalid_client","error_description":"client secret has expired"}`, provider.Misconfigured, "invalid_client", no},
		{"unauthorized_client", 400, `{"error":"unauthorized_client"}`, provider.Misconfigured, "unauthorized_client", no},
		{"401 without code", 401, ``, provider.Misconfigured, "", no},
		{"401 with another code", 401, `{"error":"invalid_request"}`, provider.Misconfigured, "invalid_request", no},
		{"403 without code", 403, ``, provider.Misconfigured, "", no},
		{"Logto's access_denied: not a member", 403, `{"error":"access_denied"}`, provider.Refused, "access_denied", no},
		{"invalid_request with 403", 403, `{"error":"invalid_request"}`, provider.Refused, "invalid_request", no},
		{"invalid_target", 400, `{"error":"invalid_target"}`, provider.Refused, "invalid_target", no},
		{"invalid_scope", 400, `{"error":"invalid_scope"}`, provider.Refused, "invalid_scope", no},
		{"server_error with 400", 400, `{"error":"server_error"}`, provider.Unavailable, "server_error", no},
		{"temporarily_unavailable", 400, `{"error":"temporarily_unavailable"}`, provider.Unavailable, "temporarily_unavailable", no},
		{"408", 408, ``, provider.Unavailable, "", no},
		{"429", 429, `{"error":"invalid_grant"}`, provider.Unavailable, "", no},
		{"500", 500, ``, provider.Unavailable, "", no},
		{"503", 503, `<html>`, provider.Unavailable, "", no},
		{"404", 404, ``, provider.Unavailable, "", no},
		{"a redirect", 302, ``, provider.Misconfigured, "", no},
		{"a code with a quote", 400, `{"error":"a\"b"}`, provider.Refused, "", lenient},
		{"a code with a line break", 400, `{"error":"a\nb"}`, provider.Refused, "", lenient},
		{"a code of 65 characters", 400, `{"error":"` + strings.Repeat("a", 65) + `"}`, provider.Refused, "", lenient},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := refused(t, c.status, c.body)
			if e.Kind != c.kind || e.OAuthCode != c.code || e.Status != c.status {
				t.Errorf("got %v, code %q, status %d; want %v, %q, %d", e.Kind, e.OAuthCode, e.Status, c.kind, c.code, c.status)
			}
			if got, want := e.Final(false), c.final == always; got != want {
				t.Errorf("got final %t at Logto; want %t", got, want)
			}
			if got, want := e.Final(true), c.final != no; got != want {
				t.Errorf("got final %t elsewhere; want %t", got, want)
			}
		})
	}
}

func TestTokenEndpointAnswersGarbage(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "<html>", "access_token=a&token_type=bearer", "[]", `{"a":1,"a":2}`} {
		f := newFake(t)
		f.Says("/x7/token", 200, body)
		_, err := f.Client().Refresh(context.Background(), "r1", nil)
		if e := wantKind(t, err, provider.Unavailable); e.Final(true) {
			t.Errorf("got final for %q; want the session to stand", body)
		}
	}
}

func TestNoMetadataNoRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Says(wellKnown, 500, "")
	c, ctx := f.Client(), context.Background()
	_, err := exchange(c)
	wantKind(t, err, provider.Unavailable)
	_, err = c.UserInfo(ctx, accessToken, "alice")
	wantKind(t, err, provider.Unavailable)
	wantKind(t, c.Revoke(ctx, "r1"), provider.Unavailable)
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Says("/x7/revoke", 200, "")
	c, ctx := f.Client(), context.Background()
	wantKind(t, c.Revoke(ctx, "r1"), 0)
	want := url.Values{"token": {"r1"}, "token_type_hint": {"refresh_token"}}
	if got := f.Form(t).PostForm; got.Encode() != want.Encode() {
		t.Errorf("got form %q; want %q", got.Encode(), want.Encode())
	}
	f.Says("/x7/revoke", 400, `{"error":"unsupported_token_type"}`)
	if e := wantKind(t, c.Revoke(ctx, "r1"), provider.Refused); e.OAuthCode != "unsupported_token_type" {
		t.Errorf("got code %q; want unsupported_token_type", e.OAuthCode)
	}
	f.Says("/x7/revoke", 503, "")
	wantKind(t, c.Revoke(ctx, "r1"), provider.Unavailable)

	none := newFake(t)
	none.Meta(m{"revocation_endpoint": nil})
	wantKind(t, none.Client().Revoke(ctx, "r1"), 0)
}
