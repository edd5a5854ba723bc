package tokens_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/tokens"
)

func withUserInfo(s *tokens.Source) { s.UserInfo = true }

// wantKind checks what kind of error of the provider package an error is.
func wantKind(t *testing.T, err error, kind provider.Kind) {
	t.Helper()
	var pe *provider.Error
	if !errors.As(err, &pe) || pe.Kind != kind {
		t.Errorf("got error %v; want one that is %v", err, kind)
	}
}

func TestRedeemMakesARecord(t *testing.T) {
	t.Parallel()
	f, s, said := newFake(t)
	f.answers(object{"scope": nil})
	r, err := s.Redeem(t.Context(), "the-code", "the-verifier", jwt.Expect{Nonce: nonce})
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	if form := f.form(); form.Get("code") != "the-code" || form.Get("code_verifier") != "the-verifier" || form.Get("grant_type") != "authorization_code" {
		t.Errorf("got form %v; want code and verifier", form)
	}
	if r.ID != (session.ID{}) || !r.Created.Equal(now) || !r.LastSeen.Equal(now) || r.Generation != 0 || !r.Began.IsZero() {
		t.Errorf("got %+v; want a new record, without an ID or a beginning", r)
	}
	if r.RefreshToken != "new-refresh" || r.AccessToken.String() != "new-access" || !r.AccessExpiry.Equal(now.Add(10*time.Minute)) || r.AccessLife != 10*time.Minute {
		t.Errorf("got %+v; want the tokens, for ten minutes", r)
	}
	if r.Scope != "openid profile offline_access" || r.Claims.Extra() != "" || r.Nonce != "" {
		t.Errorf("got scope %q, extra %q, nonce %q; want what was asked for, since the answer does not say", r.Scope, r.Claims.Extra(), r.Nonce)
	}
	if raw := f.tokens.body.(object)["id_token"]; r.IDToken() != raw {
		t.Errorf("got ID token %q; want %q", r.IDToken(), raw)
	}
	if f.asked != 0 {
		t.Errorf("userinfo: got %d requests; want none", f.asked)
	}
	quiet(t, f, said, nil)
}

// At Logto an ID token is of no use at a sign-out, so a cookie need not hold all
// of it.
func TestRedeem_AtLogto(t *testing.T) {
	t.Parallel()
	f, s, _ := newFake(t, func(s *tokens.Source) { s.Logto = true })
	f.answers(nil)
	r, err := s.Redeem(t.Context(), "c", "v", jwt.Expect{Nonce: nonce})
	if err != nil || r.IDHeader != "" || r.IDSignature != "" || r.Claims.Text(session.Subject) != "alice" {
		t.Errorf("got %+v, %v; want the claims alone", r, err)
	}
}

func TestRedeemWithOtherAnswers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(f *fake)
		check  func(r *session.Session) bool
	}{
		{"the scope that was granted counts", func(f *fake) { f.answers(nil) },
			func(r *session.Session) bool { return r.Scope == "openid email" }},
		{"without a refresh token", func(f *fake) { f.answers(object{"refresh_token": nil}) },
			func(r *session.Session) bool { return r.RefreshToken == "" && r.AccessToken.String() == "new-access" }},
		{"who does not say how long the token is good is asked in an hour", func(f *fake) { f.answers(object{"expires_in": nil}) },
			func(r *session.Session) bool {
				return r.AccessExpiry.Equal(now.Add(time.Hour)) && r.AccessLife == time.Hour
			}},
	} {
		f, s, _ := newFake(t)
		row.change(f)
		r, err := s.Redeem(t.Context(), "c", "v", jwt.Expect{Nonce: nonce})
		if err != nil || !row.check(r) {
			t.Errorf("%s: got %+v, %v; want otherwise", row.name, r, err)
		}
	}
}

func TestRedeemRefuses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(f *fake)
		want   jwt.Expect
		kind   provider.Kind
	}{
		{"a code that is not good", func(f *fake) { f.refuses(400, "invalid_grant", "confidential") }, jwt.Expect{Nonce: nonce}, provider.Refused},
		{"an answer without an ID token", func(f *fake) { f.answers(object{"id_token": nil}) }, jwt.Expect{Nonce: nonce}, provider.Rejected},
		{"an ID token for another client", func(f *fake) { f.answers(object{"id_token": f.idToken(object{"aud": "b"})}) }, jwt.Expect{Nonce: nonce}, provider.Rejected},
		{"an ID token of another attempt", func(f *fake) { f.answers(nil) }, jwt.Expect{Nonce: "another"}, provider.Rejected},
		{"an ID token with another access token's hash", func(f *fake) { f.answers(object{"id_token": f.idToken(object{"at_hash": atHash("x")})}) }, jwt.Expect{Nonce: nonce}, provider.Rejected},
		{"an ID token that would not be the same again", func(f *fake) { f.answers(object{"id_token": f.oddToken()}) }, jwt.Expect{Nonce: nonce}, provider.Rejected},
		{"keys that cannot be had", func(f *fake) { f.answers(nil); f.keys = 500 }, jwt.Expect{Nonce: nonce}, provider.Unavailable},
		{"a provider in trouble", func(f *fake) { f.tokens = reply{status: 500} }, jwt.Expect{Nonce: nonce}, provider.Unavailable},
	} {
		f, s, said := newFake(t)
		row.change(f)
		r, err := s.Redeem(t.Context(), "the-code", "the-verifier", row.want)
		t.Log(row.name)
		wantKind(t, err, row.kind)
		if r != nil {
			t.Errorf("%s: got %+v; want no record", row.name, r)
		}
		quiet(t, f, said, err)
	}
	f, s, _ := newFake(t)
	f.answers(object{"id_token": f.idToken(object{"at_hash": atHash("new-access")})})
	if _, err := s.Redeem(t.Context(), "c", "v", jwt.Expect{Nonce: nonce}); err != nil {
		t.Errorf("with its own access token's hash: got error %v; want none", err)
	}
}

// atHash is https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken
func atHash(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func TestRedeemMergesUserInfo(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		token object
		info  object
		want  string // JSON
	}{
		{"adds what the ID token lacks", nil, object{"custom_data": object{"a": 1}, "name": "Alice"}, `{"custom_data":{"a":1},"name":"Alice"}`},
		{"has nothing to add", nil, object{}, ``},
		{"never replaces a claim of the ID token", object{"name": "Token", "roles": nil}, object{"name": "Info"}, ``},
		{"nor one that is null there", object{"name": json.RawMessage("null")}, object{"name": "Info"}, ``},
		{"nor one in another case", object{"name": "Token"}, object{"Name": "Info"}, ``},
		{"nor brings a claim of the protocol", object{"sid": nil}, object{
			"iss": "x", "aud": "x", "exp": 1, "iat": 1, "nonce": "x", "sid": "x", "auth_time": 1, "acr": "x", "azp": "x", "SID": "y",
		}, ``},
		{"nor says of the ID token's address that it is verified", object{"email": "a@test"}, object{"email_verified": true}, ``},
		{"nor brings an address for what the ID token has verified", object{"phone_number_verified": true}, object{"phone_number": "1"}, ``},
		{"brings both where the ID token has neither", nil, object{"email": "a@test", "email_verified": true}, `{"email":"a@test","email_verified":true}`},
	} {
		f, s, _ := newFake(t, withUserInfo)
		f.answers(object{"id_token": f.idToken(row.token)})
		row.info["sub"] = "alice"
		if _, twice := row.info["SID"]; twice {
			delete(row.info, "sid") // members that differ in case are refused together
		}
		f.info = reply{body: row.info}
		r, err := s.Redeem(t.Context(), "c", "v", jwt.Expect{Nonce: nonce})
		if err != nil || r.Claims.Extra() != row.want {
			t.Errorf("userinfo %s: got %q, %v; want %q", row.name, r.Claims.Extra(), err, row.want)
		}
		if f.lastSeen != "Bearer new-access" {
			t.Errorf("userinfo %s: got Authorization %q; want the new token", row.name, f.lastSeen)
		}
	}
	for name, answer := range map[string]reply{
		"of somebody else": {body: object{"sub": "mallory"}}, "of nobody": {body: object{"name": "x"}},
		"that is none": {body: []string{"alice"}}, "that fails": {status: 500}, "that is refused": {status: 401},
	} {
		f, s, said := newFake(t, withUserInfo)
		f.answers(nil)
		f.info = answer
		_, err := s.Redeem(t.Context(), "c", "v", jwt.Expect{Nonce: nonce})
		if err == nil {
			t.Errorf("userinfo %s: got no error; want one", name)
		}
		quiet(t, f, said, err)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	f, s, said := newFake(t)
	if err := s.Revoke(t.Context(), &session.Session{}); err != nil {
		t.Errorf("no refresh token: got error %v; want none", err)
	}
	f.wantRevoked()
	if err := s.Revoke(t.Context(), f.session(nil, "")); err != nil || said.String() != "" {
		t.Errorf("got error %v, log %q; want neither", err, said.String())
	}
	f.wantRevoked("old-refresh")
	f.revoke = http.StatusInternalServerError
	err := s.Revoke(t.Context(), f.session(nil, ""))
	wantKind(t, err, provider.Unavailable)
	if !strings.Contains(said.String(), "could not be revoked") {
		t.Errorf("got log %q; want the failure in it", said.String())
	}
	quiet(t, f, said, err)
}

func TestFetchAsksForOneAudience(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		audience               session.Audience
		resource, organization []string
	}{
		"the provider's own endpoints":        {},
		"a resource":                          {session.Audience{Resource: "https://api.test"}, []string{"https://api.test"}, nil},
		"an organization":                     {session.Audience{Organization: "org"}, nil, []string{"org"}},
		"a resource within an organization":   {session.Audience{Resource: "https://api.test", Organization: "org"}, []string{"https://api.test"}, []string{"org"}},
		"names that would end a form's value": {session.Audience{Resource: "urn:a&b=c", Organization: "o&resource=x"}, []string{"urn:a&b=c"}, []string{"o&resource=x"}},
	} {
		f, s, said := newFake(t)
		f.answers(object{"access_token": "for-it", "scope": "read write", "id_token": nil})
		before := f.session(nil, "")
		r := *before
		token, next, err := s.Fetch(t.Context(), &r, row.audience)
		if err != nil {
			t.Fatalf("%s: got error %v; want none", name, err)
		}
		want := session.Token{Access: "for-it", Scope: "read write", Expiry: now.Add(10 * time.Minute), Until: now.Add(9 * time.Minute)}
		if *token != want {
			t.Errorf("%s: got %+v; want %+v", name, *token, want)
		}
		form := f.form()
		if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != "old-refresh" ||
			strings.Join(form["resource"], " ") != strings.Join(row.resource, " ") || strings.Join(form["organization_id"], " ") != strings.Join(row.organization, " ") {
			t.Errorf("%s: got form %v; want the refresh token and the audience", name, form)
		}
		rotated := *before
		rotated.RefreshToken = "new-refresh"
		if !reflect.DeepEqual(next, &rotated) {
			t.Errorf("%s: got %+v; want the session with its new refresh token, and else as it was", name, next)
		}
		if !reflect.DeepEqual(&r, before) {
			t.Errorf("%s: got the record changed to %+v; want it left alone", name, r)
		}
		quiet(t, f, said, nil)
	}
}

func TestFetchSaysHowLongATokenIsGood(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		seconds any
		ahead   time.Duration
		until   time.Duration
	}{
		"a minute ahead of its expiry":          {3600, time.Minute, 59 * time.Minute},
		"at half of its life at the earliest":   {60, time.Minute, 30 * time.Second},
		"as much ahead as was asked for":        {3600, 20 * time.Minute, 40 * time.Minute},
		"half of a short life, to the second":   {1, time.Minute, 500 * time.Millisecond},
		"a minute where nobody says how long":   {nil, time.Minute, time.Minute},
		"a minute where what is said is absurd": {-5, time.Minute, time.Minute},
	} {
		f, s, _ := newFake(t, func(s *tokens.Source) { s.Ahead = row.ahead })
		f.answers(object{"expires_in": row.seconds})
		token, _, err := s.Fetch(t.Context(), f.session(nil, ""), session.Audience{Resource: "urn:a"})
		if err != nil || !token.Until.Equal(now.Add(row.until)) {
			t.Errorf("%s: got %+v, %v; want it fetched again after %v", name, token, err, row.until)
			continue
		}
		if seconds, said := row.seconds.(int); said && seconds > 0 != !token.Expiry.IsZero() || !said && !token.Expiry.IsZero() {
			t.Errorf("%s: got expiry %v; want the provider's, or none", name, token.Expiry)
		}
	}
}

func TestFetchWithoutRotationHasNoNextGeneration(t *testing.T) {
	t.Parallel()
	for name, refresh := range map[string]any{"the same refresh token": "old-refresh", "no refresh token": nil} {
		f, s, _ := newFake(t)
		f.answers(object{"refresh_token": refresh})
		token, next, err := s.Fetch(t.Context(), f.session(nil, ""), session.Audience{Organization: "org"})
		if err != nil || token == nil || next != nil {
			t.Errorf("%s: got %+v, %+v, %v; want a token and no more", name, token, next, err)
		}
	}
}

func TestFetchTellsWhomARefusalIsAbout(t *testing.T) {
	t.Parallel()
	const whole, audience, passing = "the session", "the audience", "neither"
	own, resource := session.Audience{}, session.Audience{Resource: "urn:a"}
	for _, row := range []struct {
		name     string
		answer   func(*fake)
		audience session.Audience
		lenient  bool
		about    string
	}{
		{"invalid_grant", func(f *fake) { f.refuses(400, "invalid_grant", "confidential") }, resource, false, whole},
		{"invalid_grant, without an audience", func(f *fake) { f.refuses(400, "invalid_grant", "") }, own, false, whole},
		{"an empty 400 of another provider", func(f *fake) { f.refuses(400, "", "") }, own, true, whole},
		{"an empty 400 of another provider, with an audience", func(f *fake) { f.refuses(400, "", "") }, resource, true, audience},
		{"invalid_request of another provider, with an organization", func(f *fake) { f.refuses(400, "invalid_request", "") }, session.Audience{Organization: "o"}, true, audience},
		{"an empty 400 of Logto", func(f *fake) { f.refuses(400, "", "") }, own, false, audience},
		{"invalid_target", func(f *fake) { f.refuses(400, "invalid_target", "confidential") }, resource, false, audience},
		{"access_denied", func(f *fake) { f.refuses(403, "access_denied", "confidential") }, resource, true, audience},
		{"insufficient_scope", func(f *fake) { f.refuses(403, "insufficient_scope", "confidential") }, resource, false, audience},
		{"invalid_client", func(f *fake) { f.refuses(401, "invalid_client", "confidential") }, resource, false, passing},
		{"an error of the server", func(f *fake) { f.tokens = reply{status: 500} }, resource, false, passing},
		{"too many requests", func(f *fake) { f.tokens = reply{status: 429} }, resource, true, passing},
		{"a token of another type", func(f *fake) { f.answers(object{"token_type": "DPoP"}) }, resource, false, passing},
		{"an answer that is none", func(f *fake) { f.tokens = reply{body: "x"} }, resource, false, passing},
	} {
		f, s, said := newFake(t, func(s *tokens.Source) { s.Logto = !row.lenient })
		row.answer(f)
		token, next, err := s.Fetch(t.Context(), f.session(nil, ""), row.audience)
		var pe *provider.Error
		if token != nil || next != nil || !errors.As(err, &pe) {
			t.Errorf("%s: got %+v, %+v, %v; want the provider's error alone", row.name, token, next, err)
		}
		if errors.Is(err, refresh.ErrFinal) != (row.about == whole) || errors.Is(err, refresh.ErrRefused) != (row.about == audience) {
			t.Errorf("%s: got %v; want it to be about %s", row.name, err, row.about)
		}
		quiet(t, f, said, err)
	}
}
