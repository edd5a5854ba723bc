package tokens_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/tokens"
)

// wantNewTokens checks that what the provider has rotated is not lost.
func wantNewTokens(t *testing.T, what string, s *session.Session, err error) {
	t.Helper()
	if err != nil || s == nil || s.RefreshToken != "new-refresh" || s.AccessToken.String() != "new-access" || !s.LastSeen.Equal(now) {
		t.Fatalf("%s: got %+v, %v; want the new tokens", what, s, err)
	}
}

// claimsOf are all claims of a session, as handlers see them.
func claimsOf(t *testing.T, s *session.Session) (claims object) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(s.Claims.JSON()))
	dec.UseNumber()
	if err := dec.Decode(&claims); err != nil {
		t.Fatalf("claims: got error %v; want an object", err)
	}
	return claims
}

func TestRefresh(t *testing.T) {
	for _, row := range []struct {
		name    string
		changes object
		want    string
		claim   string // the name
		nonce   string // that is kept
	}{
		{
			"all", nil, `new-refresh, new-access for 10m0s, openid email, ID token of alice`,
			"New", nonce,
		},
		{
			"nothing but an access token", object{"refresh_token": nil, "scope": nil, "id_token": nil, "expires_in": nil},
			`old-refresh, new-access for 1h0m0s, openid profile, ID token of alice`,
			"Old", "",
		},
		{
			"a list of scopes", object{"scope": []string{"roles", "read"}}, `new-refresh, new-access for 10m0s, roles read, ID token of alice`,
			"New", nonce,
		},
	} {
		f, s := newFake(t)
		changes := object{"id_token": f.idToken(object{"name": "New", "at_hash": atHash("new-access")})}
		maps.Copy(changes, row.changes)
		f.answers(changes)
		before := f.session(object{"name": "Old"}, "")
		r := *before
		next, err := s.Refresh(t.Context(), &r)
		if err != nil || described(next) != row.want || !next.LastSeen.Equal(now) ||
			next.ID != r.ID || next.Number != r.Number || next.IssuedAt != r.IssuedAt || !next.Created.Equal(r.Created) || next.Generation != r.Generation {
			t.Fatalf("%s: got %+v, %v; want %s", row.name, next, err, row.want)
		}
		if got := claimsOf(t, next)["name"]; got != row.claim || next.Nonce != row.nonce {
			t.Errorf("%s: got name %v, nonce %q; want %s, %q", row.name, got, next.Nonce, row.claim, row.nonce)
		}
		form := f.form()
		if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != "old-refresh" || form.Has("resource") {
			t.Errorf("%s: got form %v; want the old refresh token and no more", row.name, form)
		}
		if !reflect.DeepEqual(&r, before) {
			t.Errorf("%s: got the session changed to %+v; want it left alone", row.name, r)
		}
		f.wantRevoked()
		f.quiet(nil)
	}
}

// The session ends, and what was received is revoked. Package jwt tests which ID
// tokens are refused. These rows show which values they are compared with.
func TestRefresh_AnotherPerson(t *testing.T) {
	for name, row := range map[string]struct {
		token, info object
		revoke      int
	}{
		"an ID token of another person":            {token: object{"sub": "mallory"}},
		"an ID token with another nonce":           {token: object{"nonce": "x"}},
		"an ID token with a foreign at_hash":       {token: object{"at_hash": atHash("x")}},
		"userinfo of another person":               {info: object{"sub": "mallory"}},
		"userinfo without a subject":               {info: object{"name": "x"}},
		"another person, and it cannot be revoked": {token: object{"sub": "mallory"}, revoke: http.StatusInternalServerError},
	} {
		f, s := newFake(t, withUserInfo)
		f.answersID(row.token)
		f.info = reply{body: object{"sub": "alice"}}
		if row.info != nil {
			f.info.body = row.info
		}
		f.revoke = max(f.revoke, row.revoke)
		next, err := s.Refresh(t.Context(), f.session(nil, ""))
		if next != nil || !errors.Is(err, refresh.ErrFinal) {
			t.Errorf("%s: got %+v, %v; want the end of the session", name, next, err)
		}
		wantKind(t, name, err, provider.Rejected)
		f.wantRevoked("new-refresh")
		if strings.Contains(f.said.String(), "could not be revoked") != (row.revoke != 0) {
			t.Errorf("%s: got log %q", name, f.said.String())
		}
		f.quiet(err)
	}
}

func TestRefresh_Refused(t *testing.T) {
	for _, row := range []struct {
		status       int
		code         string
		logto, final bool
	}{
		{400, "invalid_grant", true, true},
		{400, "interaction_required", true, true},
		{403, "mfa_required", false, true},
		{400, "", false, false},
		{400, "", true, false}, // Logto says what it means
		{400, "invalid_request", false, false},
		{401, "invalid_client", false, false},
		{403, "access_denied", false, false},
		{503, "", false, false},
	} {
		f, s := newFake(t, func(s *tokens.Source) { s.Logto = row.logto })
		f.refuses(row.status, row.code, "confidential")
		next, err := s.Refresh(t.Context(), f.session(nil, ""))
		if next != nil || err == nil || errors.Is(err, refresh.ErrFinal) != row.final {
			t.Errorf("%+v: got %+v, %v", row, next, err)
		}
		f.wantRevoked()
		f.quiet(err)
	}
}

// Whatever fails after the provider has rotated the refresh token, the tokens
// are kept.
func TestRefresh_NoNewClaims(t *testing.T) {
	const old = `{"custom_data":1,"email":"a@test","email_verified":true}`
	for _, row := range []struct {
		name   string
		answer func(*fake)
		extra  string // before
		want   string // after
		claims string // the name in the ID token
	}{
		{"keys cannot be fetched: new tokens, old claims", func(f *fake) { f.keys = 500 }, old, old, "Old"},
		{"no ID token, and userinfo fails: the claims stay", func(f *fake) {
			f.answers(object{"id_token": nil})
			f.info = reply{status: 500}
		}, old, old, "Old"},
		{"userinfo fails: what may be added to the new ID token stays", func(f *fake) {
			f.answersID(object{"name": "New", "email": "b@test"})
			f.info = reply{status: 500}
		}, old, `{"custom_data":1}`, "New"},
		{"userinfo does not take the token", func(f *fake) { f.info = reply{status: 401} }, old, old, "New"},
		{"userinfo is not an object", func(f *fake) { f.info = reply{body: "x"} }, old, old, "New"},
		{"userinfo fails, and there were no other claims", func(f *fake) { f.info = reply{status: 500} }, "", "", "New"},
		{"more claims than a session can keep", func(f *fake) {
			f.info = reply{body: object{"sub": "alice", "custom_data": strings.Repeat("x", 70_000)}}
		}, `{"custom_data":1}`, `{"custom_data":1}`, "Old"},
		{"more claims than a session can keep with its tokens", func(f *fake) {
			f.info = reply{body: object{"sub": "alice", "custom_data": strings.Repeat("x", 59_750)}}
		}, `{"custom_data":1}`, `{"custom_data":1}`, "Old"},
	} {
		f, s := newFake(t, withUserInfo)
		f.answersID(object{"name": "New"})
		f.info = reply{body: object{"sub": "alice"}}
		row.answer(f)
		next, err := s.Refresh(t.Context(), f.session(object{"name": "Old", "sid": "s1"}, row.extra))
		wantNewTokens(t, row.name, next, err)
		if got := next.Claims.Extra(); got != row.want || !strings.Contains(next.Claims.Payload(), `"name":"`+row.claims+`"`) {
			t.Errorf("%s: got extra %.100q, claims %s; want %.100q, and the name %s", row.name, got, next.Claims.Payload(), row.want, row.claims)
		}
		if next.Unconfirmed != now.Unix() {
			t.Errorf("%s: got claims not confirmed since %v; want the expiry of the old access token", row.name, next.Unconfirmed)
		}
		want := "without new claims"
		if strings.HasPrefix(row.name, "more claims") {
			want = "too large to be kept"
		}
		if !strings.Contains(f.said.String(), want) {
			t.Errorf("%s: got log %q; want %q", row.name, f.said.String(), want)
		}
		f.wantRevoked()
		f.quiet(nil)
	}
}

// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
func TestRefresh_ClaimsOfSignIn(t *testing.T) {
	const then = 1_799_990_000
	for _, row := range []struct {
		name          string
		before, after object
		info          object // nil: not asked for
		want          object // nil: absent
	}{
		{"those that a refreshed ID token lacks", object{"sid": "s1", "auth_time": then, "acr": "two"}, object{"sid": nil},
			nil, object{"sid": "s1", "auth_time": json.Number("1799990000"), "acr": "two"}},
		{"with claims of userinfo", object{"sid": "s1", "auth_time": then}, object{"sid": nil},
			object{"custom_data": json.Number("12345678901234567890")},
			object{"sid": "s1", "auth_time": json.Number("1799990000"), "custom_data": json.Number("12345678901234567890")}},
		{"not those that it has", object{"sid": "s1", "auth_time": then, "acr": "two", "amr": []string{"pwd"}},
			object{"sid": "s2", "auth_time": now.Unix(), "acr": "three", "amr": []string{"pwd", "otp"}}, nil,
			object{"sid": "s1", "auth_time": json.Number("1799990000"), "acr": "two", "amr": []any{"pwd"}}},
		{"not those that the sign-in lacks", nil, object{"sid": "s2", "auth_time": now.Unix(), "acr": "three", "amr": []string{"otp"}},
			nil, object{"sid": nil, "auth_time": nil, "acr": nil, "amr": nil}},
		{"not those of userinfo", object{"sid": "s1"}, object{"sid": "s1"},
			object{"sid": "s2", "auth_time": now.Unix(), "acr": "three", "ACR": "four", "amr": []string{"otp"}, "exp": 1, "nonce": "x"},
			object{"sid": "s1", "auth_time": nil, "acr": nil, "ACR": nil, "amr": nil, "exp": json.Number("1800003600"), "nonce": nonce}},
		{"one that is changed, and one that is missing", object{"sid": "s1", "auth_time": then, "acr": "two"}, object{"sid": "s1", "acr": "three"},
			nil, object{"sid": "s1", "auth_time": json.Number("1799990000"), "acr": "two"}},
		{"nothing that was not there", object{"sid": nil}, object{"sid": nil}, nil, object{"sid": nil, "auth_time": nil, "acr": nil}},
		{"no claim that may grant something", object{"sid": "s1", "roles": []string{"admin"}, "plan": "gold"}, object{"sid": nil}, nil,
			object{"sid": "s1", "roles": nil, "plan": nil}},
		{"with characters that JSON escapes", object{"sid": `s"<1>\`, "acr": "a\nb"}, object{"sid": nil}, nil, object{"sid": `s"<1>\`, "acr": "a\nb"}},
	} {
		f, s := newFake(t, func(s *tokens.Source) { s.UserInfo = row.info != nil })
		after := object{"custom": 1} // a token of protocol claims alone would change nothing
		maps.Copy(after, row.after)
		f.answersID(after)
		f.info = reply{body: row.info}
		if row.info != nil {
			row.info["sub"] = "alice"
		}
		r := f.session(row.before, "")
		for range 3 { // the second time, the kept claims are in another place
			next, err := s.Refresh(t.Context(), r)
			wantNewTokens(t, row.name, next, err)
			claims := claimsOf(t, next)
			for name, want := range row.want {
				if !reflect.DeepEqual(claims[name], want) {
					t.Errorf("%s: got %s %#v; want %#v", row.name, name, claims[name], want)
				}
			}
			if sid, _ := row.want["sid"].(string); next.Claims.Text(session.SessionID) != sid {
				t.Errorf("%s: got provider session %q; want %q, or its logout tokens find nothing", row.name, next.Claims.Text(session.SessionID), sid)
			}
			if acr, _ := row.want["acr"].(string); next.Claims.Text(session.ACR) != acr || next.Claims.Time(session.AuthTime).After(r.Created) {
				t.Errorf("%s: got acr %q, auth_time %v; want those of the sign-in", row.name, next.Claims.Text(session.ACR), next.Claims.Time(session.AuthTime))
			}
			if got, want := next.IDToken(), f.tokens.body.(object)["id_token"]; got != want {
				t.Errorf("%s: got ID token %q; want it as it came, for the sign-out", row.name, got)
			}
			next.RefreshToken = "old-refresh"
			r = next
		}
	}
}

// A refreshed token may say less about the person, but what grants is what it says.
func TestRefresh_FewerClaims(t *testing.T) {
	gone := object{"name": nil, "email": nil, "email_verified": nil, "roles": nil}
	before := object{"name": "Old", "email": "a@test", "email_verified": true, "roles": []string{"admin"}}
	changed := func(changes object) object {
		after := maps.Clone(before)
		maps.Copy(after, changes)
		return after
	}
	for _, row := range []struct {
		name   string
		logto  bool
		roles  string
		before object
		after  object
		info   object // nil: not asked for
		want   object
	}{
		{"protocol claims alone change nothing", false, "", before, nil, nil, before},
		{"but they do at Logto", true, "", before, nil, nil, changed(object{"roles": nil})},
		{"but they do beside userinfo", false, "", before, nil, object{"roles": []string{"reader"}}, changed(object{"roles": []string{"reader"}})},
		{"any other claim is news", false, "", before, object{"x": 1}, nil, changed(object{"roles": nil})},
		{"a claim that is null is taken away", false, "", before, object{"name": json.RawMessage("null")}, nil, changed(object{"name": nil, "roles": nil})},
		{"another spelling", false, "", before, object{"Name": "New"}, nil, changed(object{"name": nil, "roles": nil})},
		{"the same address", false, "", before, object{"email": "a@test"}, nil, changed(object{"roles": nil})},
		{"another address is not verified", false, "", before, object{"email": "b@test"}, nil,
			changed(object{"email": "b@test", "email_verified": nil, "roles": nil})},
		{"the address in another case is another one", false, "", before, object{"email": "A@test"}, nil,
			changed(object{"email": "A@test", "email_verified": nil, "roles": nil})},
		{"verified without an address says nothing of the old one", false, "", object{"email": "a@test", "email_verified": false},
			object{"email_verified": true}, nil, object{"email": nil, "email_verified": true}},
		{"no longer verified", false, "", before, object{"email": "a@test", "email_verified": false}, nil,
			changed(object{"email_verified": false, "roles": nil})},
		{"another address of userinfo is not verified", false, "", before, object{"x": 1}, object{"email": "b@test"},
			changed(object{"email": "b@test", "email_verified": nil, "roles": nil})},
		{"a claim that holds the roles grants", false, "/address/roles", object{"address": object{"roles": "admin"}, "name": "Old"},
			object{"x": 1}, nil, object{"address": nil, "name": "Old"}},
	} {
		f, s := newFake(t, func(s *tokens.Source) { s.Logto, s.Roles, s.UserInfo = row.logto, row.roles, row.info != nil })
		f.answersID(row.after)
		if row.info != nil {
			row.info["sub"] = "alice"
		}
		f.info = reply{body: row.info}
		s1 := f.session(row.before, "")
		next, err := s.Refresh(t.Context(), s1)
		wantNewTokens(t, row.name, next, err)
		got, want := claimsOf(t, next), object{}
		for name := range gone {
			want[name] = nil
		}
		maps.Copy(want, row.want)
		for name, value := range want {
			if text, _ := json.Marshal(value); jsonOf(got[name]) != string(text) {
				t.Errorf("%s: got %s %s; want %s", row.name, name, jsonOf(got[name]), text)
			}
		}
	}
}

func jsonOf(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// An ID token that is odd leaves new tokens, old claims and a warning each time. Since
// when claims are not confirmed is kept, until a refresh brings some.
func TestRefresh_OddToken(t *testing.T) {
	before := object{"name": "Old", "roles": []string{"admin"}}
	for name, change := range map[string]object{
		"issued ahead of our clock":             {"iat": now.Unix() + 120},
		"issued before the session's last":      {"iat": issued.Unix() - 1},
		"issued long ago":                       {"iat": now.Unix() - 3600},
		"issued at a time that is not a number": {"iat": "now"},
	} {
		f, s := newFake(t)
		changes := object{"name": "New"}
		maps.Copy(changes, change)
		f.answersID(changes)
		next := f.session(before, "")
		next.AccessExpiry = now.Add(30 * time.Second)
		unconfirmed := next.AccessExpiry.Unix()
		for range 2 {
			var err error
			next, err = s.Refresh(t.Context(), next)
			wantNewTokens(t, name, next, err)
			if got := claimsOf(t, next); got["name"] != "Old" || jsonOf(got["roles"]) != `["admin"]` || next.Unconfirmed != unconfirmed {
				t.Errorf("%s: got claims %v, not confirmed since %v; want the old ones, %v", name, got, next.Unconfirmed, unconfirmed)
			}
		}
		if n := strings.Count(f.said.String(), "level=WARN"); n != 2 {
			t.Errorf("%s: got log %q; want two warnings", name, f.said.String())
		}
		for what, body := range map[string]object{
			"a good ID token": {"id_token": f.idToken(nil)}, "no ID token": {"id_token": nil}, "the same one": {"id_token": f.idToken(object{"name": "Old", "roles": []string{"admin"}, "sid": nil})},
		} {
			f.answers(body)
			if confirmed, err := s.Refresh(t.Context(), next); err != nil || confirmed.Unconfirmed != 0 {
				t.Errorf("%s, and then %s: got %+v, %v; want nothing against the claims", name, what, confirmed, err)
			}
		}
		f.wantRevoked()
		f.quiet(nil)
	}
}

// Some providers send the same ID token at each refresh. That is as if there were none,
// and logged once for all sessions.
func TestRefresh_SameToken(t *testing.T) {
	old := object{"name": "Old", "roles": []string{"admin"}, "at_hash": atHash("old-access")}
	f, s := newFake(t)
	f.answersID(object{"sid": nil, "name": "Old", "roles": []string{"admin"}, "at_hash": atHash("old-access")})
	for range 3 {
		next, err := s.Refresh(t.Context(), f.session(old, ""))
		wantNewTokens(t, "the same token", next, err)
		if got := claimsOf(t, next); got["name"] != "Old" || jsonOf(got["roles"]) != `["admin"]` || next.Unconfirmed != 0 {
			t.Errorf("got claims %v, not confirmed since %v; want the old ones", got, next.Unconfirmed)
		}
	}
	if n := strings.Count(f.said.String(), "level=WARN"); n != 1 || !strings.Contains(f.said.String(), "repeats the ID token") {
		t.Errorf("got log %q; want one warning", f.said.String())
	}
	f.wantRevoked()
	f.quiet(nil)
}

// The old refresh token may be used up, so the new one is kept.
func TestRefresh_UselessRest(t *testing.T) {
	for name, changes := range map[string]object{
		"a token type that is not Bearer": {"token_type": "DPoP"},
		"no access token":                 {"access_token": nil},
		"an empty access token":           {"access_token": ""},
	} {
		f, s := newFake(t)
		f.answers(changes)
		before := f.session(object{"name": "Old"}, "")
		want := *before
		want.RefreshToken = "new-refresh"
		next, err := s.Refresh(t.Context(), before)
		if err == nil || errors.Is(err, refresh.ErrFinal) || !reflect.DeepEqual(next, &want) {
			t.Errorf("%s: got %+v, %v; want an error, and the new refresh token alone", name, next, err)
		}
		token, next, err := s.Fetch(t.Context(), before, session.Audience{Resource: "urn:a"})
		if token != nil || err == nil || !reflect.DeepEqual(next, &want) {
			t.Errorf("%s, for an audience: got %+v, %+v, %v; want the same", name, token, next, err)
		}
		f.quiet(err)
	}
}

// A refreshed ID token need not repeat the nonce, but a later one that has another
// is refused.
func TestRefresh_NonceIsRemembered(t *testing.T) {
	f, s := newFake(t)
	f.answersID(object{"nonce": nil})
	next, err := s.Refresh(t.Context(), f.session(nil, ""))
	wantNewTokens(t, "without a nonce", next, err)
	plain, err := next.Append(nil)
	kept := new(session.Session) // as it is read back
	if err := errors.Join(err, kept.Decode(plain)); err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	f.answersID(nil)
	again, err := s.Refresh(t.Context(), kept)
	wantNewTokens(t, "with the nonce of the sign-in", again, err)
	f.answersID(object{"nonce": "another"})
	if next, err := s.Refresh(t.Context(), kept); next != nil || !errors.Is(err, refresh.ErrFinal) {
		t.Errorf("with another nonce: got %+v, %v; want the end of the session", next, err)
	}
}
