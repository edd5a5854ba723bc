package tokens_test

import (
	"bytes"
	"encoding/json"
	"errors"
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
func wantNewTokens(t *testing.T, what string, r *session.Session, err error) {
	t.Helper()
	if err != nil || r == nil || r.RefreshToken != "new-refresh" || r.AccessToken.String() != "new-access" || !r.LastSeen.Equal(now) {
		t.Fatalf("%s: got %+v, %v; want the new tokens", what, r, err)
	}
}

// claimsOf are all claims of a record, as handlers see them.
func claimsOf(t *testing.T, r *session.Session) (claims object) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(r.Claims.JSON()))
	dec.UseNumber()
	if err := dec.Decode(&claims); err != nil {
		t.Fatalf("claims: got error %v; want an object", err)
	}
	return claims
}

func TestRefreshMakesTheNextGeneration(t *testing.T) {
	t.Parallel()
	f, s, said := newFake(t)
	f.answers(object{"id_token": f.idToken(object{"name": "New", "at_hash": atHash("new-access")})})
	before := f.session(object{"name": "Old", "sid": "s1"}, "")
	r := *before
	next, err := s.Refresh(t.Context(), &r)
	wantNewTokens(t, "refreshed", next, err)
	if form := f.form(); form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != "old-refresh" || form.Has("resource") {
		t.Errorf("got form %v; want the old refresh token and no more", form)
	}
	if next.Scope != "openid email" || !next.AccessExpiry.Equal(now.Add(10*time.Minute)) || next.AccessLife != 10*time.Minute || next.Nonce != nonce {
		t.Errorf("got %+v; want what the answer says, and the nonce kept", next)
	}
	if claims := claimsOf(t, next); claims["name"] != "New" || next.Claims.Extra() != "" {
		t.Errorf("got claims %v, extra %q; want the new ones", claims, next.Claims.Extra())
	}
	if !reflect.DeepEqual(&r, before) {
		t.Errorf("got the record changed to %+v; want it left alone", r)
	}
	f.wantRevoked()
	quiet(t, f, said, nil)
}

// CASES 4.4.
func TestRefreshKeepsWhatTheAnswerLacks(t *testing.T) {
	t.Parallel()
	f, s, _ := newFake(t)
	f.answers(object{"refresh_token": nil, "scope": nil, "id_token": nil, "expires_in": nil})
	r := f.session(object{"name": "Old"}, `{"custom_data":1}`)
	next, err := s.Refresh(t.Context(), r)
	if err != nil || next.RefreshToken != "old-refresh" || next.Scope != "openid profile" || next.IDToken() != r.IDToken() || next.Nonce != r.Nonce {
		t.Errorf("got %+v, %v; want refresh token, scope and claims as they were", next, err)
	}
	if next.AccessToken.String() != "new-access" || !next.AccessExpiry.Equal(now.Add(time.Hour)) {
		t.Errorf("got %+v; want the new access token, for an hour as nobody said", next)
	}
}

// CASES 4.4.
func TestRefreshDisbelieves(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fake){
		"an ID token of another person":        func(f *fake) { f.answers(object{"id_token": f.idToken(object{"sub": "mallory"})}) },
		"an ID token of another issuer":        func(f *fake) { f.answers(object{"id_token": f.idToken(object{"iss": "https://x.test"})}) },
		"an ID token for another client":       func(f *fake) { f.answers(object{"id_token": f.idToken(object{"aud": "other"})}) },
		"an ID token with another nonce":       func(f *fake) { f.answers(object{"id_token": f.idToken(object{"nonce": "x"})}) },
		"an ID token with a foreign at_hash":   func(f *fake) { f.answers(object{"id_token": f.idToken(object{"at_hash": atHash("x")})}) },
		"an ID token whose signature is wrong": func(f *fake) { f.answers(object{"id_token": f.idToken(nil)[:80] + f.idToken(object{"a": 1})[80:]}) },
		"userinfo of another person":           func(f *fake) { f.answers(nil); f.info = reply{body: object{"sub": "mallory"}} },
		"userinfo of nobody":                   func(f *fake) { f.answers(nil); f.info = reply{body: object{"name": "x"}} },
	} {
		f, s, said := newFake(t, withUserInfo)
		f.info = reply{body: object{"sub": "alice"}}
		change(f)
		next, err := s.Refresh(t.Context(), f.session(nil, ""))
		if next != nil || !errors.Is(err, refresh.ErrFinal) {
			t.Errorf("%s: got %+v, %v; want the session's end", name, next, err)
		}
		wantKind(t, err, provider.Rejected)
		f.wantRevoked("new-refresh")
		quiet(t, f, said, err)
	}
}

// CASES 4.5.
func TestRefreshTellsFinalErrorsFromOthers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		answer  func(*fake)
		lenient bool
		final   bool
	}{
		{"invalid_grant", func(f *fake) { f.refuses(400, "invalid_grant", "confidential") }, false, true},
		{"an empty 400 of another provider", func(f *fake) { f.refuses(400, "", "") }, true, true},
		{"an empty 400 of Logto", func(f *fake) { f.refuses(400, "", "") }, false, false},
		{"invalid_request of another provider", func(f *fake) { f.refuses(400, "invalid_request", "") }, true, true},
		{"invalid_client", func(f *fake) { f.refuses(401, "invalid_client", "confidential") }, true, false},
		{"access_denied", func(f *fake) { f.refuses(403, "access_denied", "confidential") }, true, false},
		{"an error of the server", func(f *fake) { f.tokens = reply{status: 503} }, true, false},
	} {
		f, s, said := newFake(t, func(s *tokens.Source) { s.Logto = !row.lenient })
		row.answer(f)
		next, err := s.Refresh(t.Context(), f.session(nil, ""))
		if next != nil || err == nil || errors.Is(err, refresh.ErrFinal) != row.final {
			t.Errorf("%s: got %+v, %v; want an error that is final: %v", row.name, next, err, row.final)
		}
		f.wantRevoked()
		quiet(t, f, said, err)
	}
}

// Whatever fails after the provider has rotated the refresh token, the tokens are
// kept.
func TestRefreshLosesNoTokens(t *testing.T) {
	t.Parallel()
	const old = `{"custom_data":1,"email":"a@test","email_verified":true}`
	for _, row := range []struct {
		name   string
		change func(*fake)
		extra  string // before
		want   string // after
		claims string // the name in the ID token
	}{
		{"keys that cannot be had: new tokens, old claims", func(f *fake) { f.keys = 500 }, old, old, "Old"},
		{"no ID token and no userinfo: the claims stay", func(f *fake) {
			f.answers(object{"id_token": nil})
			f.info = reply{status: 500}
		}, old, old, "Old"},
		{"userinfo that fails: what may stand beside the new ID token stays", func(f *fake) {
			f.answers(object{"id_token": f.idToken(object{"name": "New", "email": "b@test"})})
			f.info = reply{status: 500}
		}, old, `{"custom_data":1}`, "New"},
		{"userinfo that does not take the token", func(f *fake) { f.info = reply{status: 401} }, old, old, "New"},
		{"userinfo that is none", func(f *fake) { f.info = reply{body: "x"} }, old, old, "New"},
		{"userinfo fails, and there were no other claims", func(f *fake) { f.info = reply{status: 500} }, "", "", "New"},
		{"more claims than a session can keep", func(f *fake) {
			f.info = reply{body: object{"sub": "alice", "custom_data": strings.Repeat("x", 70_000)}}
		}, `{"custom_data":1}`, `{"custom_data":1}`, "Old"},
	} {
		f, s, said := newFake(t, withUserInfo)
		f.answers(object{"id_token": f.idToken(object{"name": "New"})})
		f.info = reply{body: object{"sub": "alice"}}
		row.change(f)
		next, err := s.Refresh(t.Context(), f.session(object{"name": "Old", "acr": "one"}, row.extra))
		wantNewTokens(t, row.name, next, err)
		if got := without(next.Claims.Extra(), "acr"); got != row.want || !strings.Contains(next.Claims.Payload(), `"name":"`+row.claims+`"`) {
			t.Errorf("%s: got extra %.100q, claims %s; want %.100q beside the name %s", row.name, next.Claims.Extra(), next.Claims.Payload(), row.want, row.claims)
		}
		want := "without new claims"
		if strings.HasPrefix(row.name, "more claims") {
			want = "too large to be kept"
		}
		if !strings.Contains(said.String(), want) {
			t.Errorf("%s: got log %q; want %q", row.name, said.String(), want)
		}
		f.wantRevoked()
		quiet(t, f, said, nil)
	}
}

// without takes a member out of an object, and leaves what is none.
func without(text, name string) string {
	var o map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &o) != nil || o[name] == nil {
		return text
	}
	delete(o, name)
	if len(o) == 0 {
		return ""
	}
	b, _ := json.Marshal(o)
	return string(b)
}

// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
func TestRefreshKeepsWhatIsTrueOfTheSignIn(t *testing.T) {
	t.Parallel()
	const then = 1_799_990_000
	for _, row := range []struct {
		name          string
		before, after object
		info          object // nil: not asked for
		want          object // nil: absent
	}{
		{"sid, auth_time and acr that a refreshed ID token lacks", object{"sid": "s1", "auth_time": then, "acr": "two"}, object{"sid": nil},
			nil, object{"sid": "s1", "auth_time": json.Number("1799990000"), "acr": "two"}},
		{"beside what userinfo says", object{"sid": "s1", "auth_time": then}, object{"sid": nil},
			object{"custom_data": json.Number("12345678901234567890")},
			object{"sid": "s1", "auth_time": json.Number("1799990000"), "custom_data": json.Number("12345678901234567890")}},
		{"not those that it has", object{"sid": "s1", "auth_time": then, "acr": "two"}, object{"sid": "s2", "auth_time": now.Unix(), "acr": "three"},
			nil, object{"sid": "s2", "auth_time": json.Number("1800000000"), "acr": "three"}},
		{"only those that it lacks", object{"sid": "s1", "auth_time": then, "acr": "two"}, object{"sid": "s1", "acr": "three"},
			nil, object{"sid": "s1", "auth_time": json.Number("1799990000"), "acr": "three"}},
		{"nothing that there was not", object{"sid": nil}, object{"sid": nil}, nil, object{"sid": nil, "auth_time": nil, "acr": nil}},
		{"no other claim", object{"sid": "s1", "name": "Old", "email": "a@test"}, object{"sid": nil}, nil, object{"sid": "s1", "name": nil, "email": nil}},
		{"with characters that JSON writes otherwise", object{"sid": `s"<1>\`, "acr": "a\nb"}, object{"sid": nil}, nil, object{"sid": `s"<1>\`, "acr": "a\nb"}},
	} {
		f, s, _ := newFake(t, func(s *tokens.Source) { s.UserInfo = row.info != nil })
		f.answers(object{"id_token": f.idToken(row.after)})
		f.info = reply{body: row.info}
		if row.info != nil {
			row.info["sub"] = "alice"
		}
		r := f.session(row.before, "")
		// More than once, since what was kept stands elsewhere then.
		for range 3 {
			next, err := s.Refresh(t.Context(), r)
			wantNewTokens(t, row.name, next, err)
			claims := claimsOf(t, next)
			for name, want := range row.want {
				if claims[name] != want {
					t.Errorf("%s: got %s %#v; want %#v", row.name, name, claims[name], want)
				}
			}
			if sid, _ := row.want["sid"].(string); next.Claims.Text(session.SessionID) != sid {
				t.Errorf("%s: got provider session %q; want %q, or its logout tokens find nothing", row.name, next.Claims.Text(session.SessionID), sid)
			}
			next.RefreshToken = "old-refresh"
			r = next
		}
	}
}

// A refreshed ID token need not repeat the nonce, but a later one that has another
// is refused all the same. CASES 4.4.
func TestRefreshRemembersTheNonce(t *testing.T) {
	t.Parallel()
	f, s, _ := newFake(t)
	f.answers(object{"id_token": f.idToken(object{"nonce": nil})})
	next, err := s.Refresh(t.Context(), f.session(nil, ""))
	wantNewTokens(t, "without a nonce", next, err)
	plain, err := next.Append(nil)
	if err != nil {
		t.Fatalf("Append: got error %v; want none", err)
	}
	kept := new(session.Session) // as it comes back from where it is kept
	if err := kept.Decode(plain); err != nil {
		t.Fatalf("Decode: got error %v; want none", err)
	}
	f.answers(object{"id_token": f.idToken(nil)})
	again, err := s.Refresh(t.Context(), kept)
	wantNewTokens(t, "with the nonce of the sign-in", again, err)
	f.answers(object{"id_token": f.idToken(object{"nonce": "another"})})
	if next, err := s.Refresh(t.Context(), kept); next != nil || !errors.Is(err, refresh.ErrFinal) {
		t.Errorf("with another nonce: got %+v, %v; want the session's end", next, err)
	}
}

func TestWhatCannotBeRevokedIsDisbelievedAllTheSame(t *testing.T) {
	t.Parallel()
	f, s, said := newFake(t)
	f.answers(object{"id_token": f.idToken(object{"sub": "mallory"})})
	f.revoke = http.StatusInternalServerError
	next, err := s.Refresh(t.Context(), f.session(nil, ""))
	if next != nil || !errors.Is(err, refresh.ErrFinal) || !strings.Contains(said.String(), "could not be revoked") {
		t.Errorf("got %+v, %v, log %q; want the session's end, and a word about the revocation", next, err, said.String())
	}
	quiet(t, f, said, err)
}
