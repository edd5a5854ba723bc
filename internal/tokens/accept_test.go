package tokens_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/tokens"
)

// described says what a session has got from a response.
func described(s *session.Session) string {
	kept := "no ID token"
	if s.IDHeader != "" {
		kept = "ID token"
	}
	life := fmt.Sprint(s.AccessLife)
	if left := s.AccessExpiry.Sub(s.LastSeen); left != s.AccessLife {
		life += " and not " + left.String()
	}
	return fmt.Sprintf("%s, %s for %s, %s, %s of %s",
		s.RefreshToken, s.AccessToken.String(), life, s.Scope, kept, s.Claims.Text(session.Subject))
}

// accept does what a callback does with a code.
func accept(t *testing.T, src *tokens.Source, want jwt.Expect) (*session.Session, error) {
	t.Helper()
	admitted, leave, err := src.Provider.Admit(t.Context())
	if err != nil {
		t.Fatalf("Admit: got error %v; want none", err)
	}
	defer leave()
	got, err := admitted.Exchange(t.Context(), "the-code", "the-verifier")
	if err != nil {
		t.Fatalf("Exchange: got error %v; want none", err)
	}
	return src.Accept(t.Context(), admitted, got, want)
}

func TestAccept(t *testing.T) {
	for _, row := range []struct {
		name    string
		logto   bool
		changes object
		want    string
	}{
		{"all", false, nil, `new-refresh, new-access for 10m0s, openid email, ID token of alice`},
		{"no scope: what was asked for", false, object{"scope": nil}, `new-refresh, new-access for 10m0s, openid profile offline_access, ID token of alice`},
		{"no refresh token", false, object{"refresh_token": nil}, `, new-access for 10m0s, openid email, ID token of alice`},
		{"no expiry: an hour", false, object{"expires_in": nil}, `new-refresh, new-access for 1h0m0s, openid email, ID token of alice`},
		// There an ID token is of no use at a sign-out, so a cookie need not hold it.
		{"Logto", true, nil, `new-refresh, new-access for 10m0s, openid email, no ID token of alice`},
	} {
		f, s := newFake(t, func(s *tokens.Source) { s.Logto = row.logto })
		f.answers(row.changes)
		r, err := accept(t, s, jwt.Expect{Nonce: nonce})
		if err != nil || described(r) != row.want {
			t.Fatalf("%s: got %s, %v; want %s", row.name, described(r), err, row.want)
		}
		if r.ID != (session.ID{}) || r.Number != (session.Number{}) || !r.Created.Equal(now) || !r.LastSeen.Equal(now) || r.IssuedAt != issued.Unix() ||
			r.Generation != 0 || r.Nonce != "" || r.Claims.Extra() != "" {
			t.Errorf("%s: got %+v; want a new session, without an ID, a number or userinfo", row.name, r)
		}
		if raw := f.tokens.body.(object)["id_token"]; !row.logto && r.IDToken() != raw {
			t.Errorf("%s: got ID token %q; want %q", row.name, r.IDToken(), raw)
		}
		f.quiet(nil)
	}
}

// Package jwt tests which ID tokens are refused. These rows show which values they are
// compared with.
func TestAccept_Refused(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer func(f *fake)
		nonce  string
		kind   provider.Kind
	}{
		{"an ID token of another sign-in", func(f *fake) { f.answers(nil) }, "another", provider.Rejected},
		{"an ID token with the hash of another access token", func(f *fake) { f.answersID(object{"at_hash": atHash("x")}) }, nonce, provider.Rejected},
		{"the keys cannot be fetched", func(f *fake) { f.answers(nil); f.keys = 500 }, nonce, provider.Unavailable},
	} {
		f, s := newFake(t)
		row.answer(f)
		r, err := accept(t, s, jwt.Expect{Nonce: row.nonce})
		if wantKind(t, row.name, err, row.kind); r != nil {
			t.Errorf("%s: got %+v; want no session", row.name, r)
		}
		f.quiet(err)
	}
}

// Userinfo is not signed, so it does not replace what the ID token says.
func TestAccept_UserInfo(t *testing.T) {
	for _, row := range []struct {
		name  string
		token object
		info  object
		want  string // JSON
	}{
		{"what the ID token lacks", nil, object{"custom_data": object{"a": 1}, "name": "Alice"}, `{"custom_data":{"a":1},"name":"Alice"}`},
		{"nothing", nil, object{}, ``},
		{"a claim of the ID token", object{"name": "Token", "roles": nil}, object{"name": "Info"}, ``},
		{"a claim that is null in the ID token", object{"name": json.RawMessage("null")}, object{"name": "Info"}, ``},
		{"a claim of the ID token in another case", object{"name": "Token"}, object{"Name": "Info"}, ``},
		{"claims of the protocol", nil, object{
			"iss": "x", "aud": "x", "exp": 1, "iat": 1, "nonce": "x", "sid": "x", "auth_time": 1, "acr": "x", "azp": "x", "amr": []string{"x"}, "at_hash": "x", "jti": "x", "nbf": 1,
		}, ``},
		{"one in another case", object{"sid": nil}, object{"SID": "y"}, ``},
		{"that the address of the ID token is verified", object{"email": "a@test"}, object{"email_verified": true}, ``},
		{"an address for one that the ID token has verified", object{"phone_number_verified": true}, object{"phone_number": "1"}, ``},
		{"both, where the ID token has neither", nil, object{"email": "a@test", "email_verified": true}, `{"email":"a@test","email_verified":true}`},
	} {
		f, s := newFake(t, withUserInfo)
		f.answersID(row.token)
		row.info["sub"] = "alice"
		f.info = reply{body: row.info}
		r, err := accept(t, s, jwt.Expect{Nonce: nonce})
		if err != nil || r.Claims.Extra() != row.want || len(f.bearers) != 1 || f.bearers[0] != "Bearer new-access" {
			t.Errorf("userinfo has %s: got %+v, %v, for %q; want extra claims %q", row.name, r, err, f.bearers, row.want)
		}
	}
	for name, info := range map[string]reply{
		"of another person": {body: object{"sub": "mallory"}}, "without a subject": {body: object{"name": "x"}},
		"that is not an object": {body: []string{"alice"}}, "that fails": {status: 500}, "that is refused": {status: 401},
	} {
		f, s := newFake(t, withUserInfo)
		f.answers(nil)
		f.info = info
		_, err := accept(t, s, jwt.Expect{Nonce: nonce})
		if err == nil {
			t.Errorf("userinfo %s: got no error; want one", name)
		}
		f.quiet(err)
	}
}

// What a handler fetches must not contradict what a rule has looked at.
func TestWithoutToken(t *testing.T) {
	for info, want := range map[string]string{
		`{"sub":"alice", "name":"A"}`: `{"sub":"alice", "name":"A"}`,
		`{"sub":"alice","acr":"x","ACR":"x","amr":["x"],"auth_time":1,"sid":"x"}`: `{"sub":"alice"}`,
		`{"sub":"alice","iss":"x","aud":"x","exp":1,"nonce":"x","\u017fid":"x"}`:  `{"sub":"alice"}`,
	} {
		if got, err := tokens.WithoutToken([]byte(info)); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v; want %s", info, got, err, want)
		}
	}
	if got, err := tokens.WithoutToken([]byte("[]")); err == nil {
		t.Errorf("a list: got %s; want an error", got)
	}
}

func TestMayRevoke(t *testing.T) {
	f, _ := newFake(t)
	live := f.session(nil, "") // Alice's
	for _, row := range []struct {
		name    string
		logto   bool
		live    *session.Session
		subject string
		want    bool
	}{
		{"no session in the browser", false, nil, "alice", true},
		{"no session in the browser, and an ID token that is not believed", false, nil, "", true},
		{"a session of the same person, which may rest on the same grant", false, live, "alice", false},
		{"a session of another person, who has another grant", false, live, "bob", true},
		{"a session, and an ID token that is not believed: it may be the same person", false, live, "", false},
		{"Logto, and no session", true, nil, "alice", false},
		{"Logto, and a session of another person: the browser has one grant", true, live, "bob", false},
	} {
		src := tokens.Source{Logto: row.logto}
		if got := src.MayRevoke(row.live, row.subject); got != row.want {
			t.Errorf("%s: got %t; want %t", row.name, got, row.want)
		}
	}
}
