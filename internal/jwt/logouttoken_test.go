package jwt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutClaims are those of a good logout token with everything a provider may
// send, after changes; nil removes one.
func logoutClaims(now time.Time, changes m) m {
	claims := m{
		"iss": issuer, "aud": clientID, "sub": "alice", "sid": "s1", "jti": "j1",
		"iat": now.Unix(), "exp": now.Unix() + 120, "events": m{logoutEvent: m{}},
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// LogoutClaims is logoutClaims at this provider, now.
func (f *fake) LogoutClaims(changes m) m { return logoutClaims(f.clock.Now(), changes) }

// logoutToken is signed with the published RSA key.
func (f *fake) logoutToken(t *testing.T, changes m) string {
	t.Helper()
	return sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(changes), nil)
}

// logoutCase changes the claims of a good logout token; the value raw replaces
// the payload as a whole.
type logoutCase struct {
	name    string
	changes m
	raw     string
	ok      bool
}

func (c logoutCase) payload() []byte {
	if c.raw != "" {
		return []byte(c.raw)
	}
	return must(json.Marshal(logoutClaims(now, c.changes)))
}

func logoutCases() []logoutCase {
	good := string(logoutCase{}.payload())
	const jti = `"jti":"j1"`
	event := func(value any) m { return m{"events": m{logoutEvent: value}} }
	return []logoutCase{
		{name: "P-rp-backchannel-rpinitlogout: an extra claim", changes: m{"trace_id": "t1"}, ok: true},

		{name: "P-rp-backchannel-rpinitlogout-wrong-iss", changes: m{"iss": issuer + "/other"}},
		{name: "3.2 iss with a slash more", changes: m{"iss": issuer + "/"}},
		{name: "iss absent", changes: m{"iss": nil}},
		{name: "P-rp-backchannel-rpinitlogout-wrong-aud", changes: m{"aud": "other"}},
		{name: "aud absent", changes: m{"aud": nil}},
		{name: "aud a list of this client", changes: m{"aud": []string{clientID}}, ok: true},
		{name: "an audience beside this client, as in ID tokens", changes: m{"aud": []string{clientID, "other"}}},
		{name: "azp of another client, as in ID tokens", changes: m{"azp": "other"}},

		{name: "8.3 iat missing", changes: m{"iat": nil}},
		{name: "iat null", changes: m{"iat": raw("null")}},
		{name: "iat as text", changes: m{"iat": "1772366400"}},
		{name: "iat two minutes old", changes: m{"iat": at(-2 * time.Minute)}, ok: true},
		{name: "8.3 iat old by a second more", changes: m{"iat": at(-121 * time.Second)}},
		{name: "8.3 iat old and exp still ahead", changes: m{"iat": at(-10 * time.Minute), "exp": at(time.Hour)}},
		{name: "3.3 iat 60 s ahead", changes: m{"iat": at(time.Minute)}, ok: true},
		{name: "8.3 iat ahead by a second more", changes: m{"iat": at(61 * time.Second)}},

		{name: "8.3 no exp", changes: m{"exp": nil}, ok: true},
		{name: "no exp, and iat two minutes old", changes: m{"exp": nil, "iat": at(-2 * time.Minute)}, ok: true},
		{name: "8.3 no exp, and iat old", changes: m{"exp": nil, "iat": at(-121 * time.Second)}},
		{name: "8.3 no exp, and no iat", changes: m{"exp": nil, "iat": nil}},
		{name: "exp 60 s ago", changes: m{"exp": at(-time.Minute)}, ok: true},
		{name: "exp 61 s ago", changes: m{"exp": at(-61 * time.Second)}},
		{name: "exp as text", changes: m{"exp": "soon"}},
		{name: "exp zero is not absent", changes: m{"exp": 0}},
		{name: "nbf 60 s ahead", changes: m{"nbf": at(time.Minute)}, ok: true},
		{name: "nbf 61 s ahead", changes: m{"nbf": at(61 * time.Second)}},
		{name: "nbf as text", changes: m{"nbf": "0"}},

		{name: "jti absent", changes: m{"jti": nil}},
		{name: "jti null", changes: m{"jti": raw("null")}},
		{name: "jti empty", changes: m{"jti": ""}},
		{name: "jti a number", changes: m{"jti": 1}},
		{name: "jti of 1,024 bytes", changes: m{"jti": strings.Repeat("j", 1024)}, ok: true},
		{name: "jti of 1,025 bytes", changes: m{"jti": strings.Repeat("j", 1025)}},

		{name: "P-rp-backchannel-rpinitlogout-no-event", changes: m{"events": nil}},
		{name: "P-rp-backchannel-rpinitlogout-wrong-event", changes: m{"events": m{logoutEvent + "-not": m{}}}},
		{name: "8.3 events null", changes: m{"events": raw("null")}},
		{name: "8.3 events text", changes: m{"events": logoutEvent}},
		{name: "events text that holds an object", changes: m{"events": `{"` + logoutEvent + `":{}}`}},
		{name: "8.3 events array", changes: m{"events": []string{logoutEvent}}},
		{name: "events an array of the object", changes: m{"events": []any{m{logoutEvent: m{}}}}},
		{name: "events empty", changes: m{"events": m{}}},
		{name: "Events with a capital", changes: m{"events": nil, "Events": m{logoutEvent: m{}}}},
		{name: "the event in another case", changes: m{"events": m{strings.ToUpper(logoutEvent): m{}}}},
		{name: "the event null", changes: event(raw("null"))},
		{name: "the event text", changes: event("")},
		{name: "the event true", changes: event(true)},
		{name: "the event an array", changes: event([]any{})},
		{name: "the event with members", changes: event(m{"reason": "x"}), ok: true},
		{name: "the event beside another", changes: m{"events": m{logoutEvent: m{}, "urn:other": m{}}}, ok: true},
		{name: "the event with its slashes escaped", changes: m{"events": raw(`{"http:\/\/schemas.openid.net\/event\/backchannel-logout":{}}`)}, ok: true},
		{name: "the event twice", changes: m{"events": raw(`{"` + logoutEvent + `":{},"` + logoutEvent + `":{}}`)}},
		{name: "a member of the event twice", changes: event(raw(`{"a":1,"a":2}`))},

		{name: "P-rp-backchannel-rpinitlogout-with-nonce", changes: m{"nonce": nonce}},
		{name: "nonce empty", changes: m{"nonce": ""}},
		{name: "nonce null", changes: m{"nonce": raw("null")}},
		{name: "the claims of an ID token", raw: string(claimsCase{}.payload())},
		{name: "the claims of a refreshed ID token", raw: string(claimsCase{changes: m{"nonce": nil}}.payload())},
		{name: "the claims of an ID token with an ID", raw: string(claimsCase{changes: m{"nonce": nil, "jti": "j1"}}.payload())},

		{name: "8.3 sub only", changes: m{"sid": nil}, ok: true},
		{name: "8.3 sid only", changes: m{"sub": nil}, ok: true},
		{name: "8.3 neither sub nor sid", changes: m{"sub": nil, "sid": nil}},
		{name: "sub and sid null", changes: m{"sub": raw("null"), "sid": raw("null")}},
		{name: "sub null is absent", changes: m{"sub": raw("null")}, ok: true},
		{name: "sid null is absent", changes: m{"sid": raw("null")}, ok: true},
		{name: "sub empty", changes: m{"sub": ""}},
		{name: "sub a number", changes: m{"sub": 7}},
		{name: "sub of 255 characters", changes: m{"sub": strings.Repeat("a", 255)}, ok: true},
		{name: "3.2 sub of 300 characters", changes: m{"sub": strings.Repeat("a", 300)}},
		{name: "3.2 sub not ASCII", changes: m{"sub": "ålice"}},
		{name: "sid empty does not mean every session", changes: m{"sid": ""}},
		{name: "sid empty and nobody named", changes: m{"sub": nil, "sid": ""}},
		{name: "sid a number", changes: m{"sid": 7}},
		{name: "sid a list", changes: m{"sid": []string{"s1"}}},
		{name: "sid of 1,024 bytes", changes: m{"sid": strings.Repeat("s", 1024)}, ok: true},
		{name: "sid of 1,025 bytes", changes: m{"sid": strings.Repeat("s", 1025)}},

		{name: "3.2 a claim twice", raw: strings.Replace(good, jti, jti+","+jti, 1)},
		{name: "3.2 a claim twice for encoding/json", changes: m{"Sid": "s2"}},
		{name: "exp in another case alone", changes: m{"exp": nil, "EXP": at(time.Hour)}},
		{name: "nonce in another case", changes: m{"NONCE": nonce}},
		{name: "jti in another case alone", changes: m{"jti": nil, "Jti": "j1"}},
		{name: "at_hash of the wrong type", changes: m{"at_hash": 1}},
		{name: "no object", raw: "[" + good + "]"},
		{name: "trailing data", raw: good + "{}"},
		{name: "nothing", raw: " "},
	}
}

func logoutRules(t *testing.T) {
	t.Parallel()
	for _, c := range logoutCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := checkLogout(c.payload(), now)
			if accepted := err == nil; accepted != c.ok {
				t.Fatalf("%s: got accepted %t (%v); want %t", c.payload(), accepted, err, c.ok)
			}
			if (got != nil) != c.ok {
				t.Errorf("got token %v with error %v; want one without the other", got, err)
			}
		})
	}
}

// What the token says is what the caller is told, and what it does not say is
// empty.
func TestVerifyLogoutTokenReturnsTheClaims(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	issued := time.Unix(f.clock.Now().Unix(), 0)
	for name, c := range map[string]struct {
		changes m
		want    jwt.LogoutToken
	}{
		"everything": {nil, jwt.LogoutToken{Subject: "alice", SessionID: "s1", ID: "j1", IssuedAt: issued, Expiry: issued.Add(2 * time.Minute)}},
		"sid only":   {m{"sub": nil}, jwt.LogoutToken{SessionID: "s1", ID: "j1", IssuedAt: issued, Expiry: issued.Add(2 * time.Minute)}},
		"sub only, and no exp, as Logto 1.37, Hydra and Glewlwyd send it": {m{"sid": nil, "exp": nil}, jwt.LogoutToken{Subject: "alice", ID: "j1", IssuedAt: issued}},
	} {
		got, err := f.Client().LogoutToken(context.Background(), sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(c.changes), m{"typ": "logout+jwt"}))
		wantKind(t, err, good)
		if *got != c.want {
			t.Errorf("%s: got %+v; want %+v", name, *got, c.want)
		}
	}
}

// The rules of a token are applied to what its signature covers.
func TestVerifyLogoutTokenAppliesTheRules(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	for name, token := range map[string]string{
		"an ID token":             f.goodToken(t),
		"a refreshed ID token":    sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"nonce": nil}), nil),
		"another client's":        sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(m{"aud": "other"}), nil),
		"another issuer's":        sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(m{"iss": issuer + "/"}), nil),
		"one of ten minutes ago":  sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(m{"iat": f.clock.Now().Unix() - 600}), nil),
		"one go-oidc cannot read": sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(m{"_claim_names": m{"x": "nowhere"}}), nil),
	} {
		got, err := c.LogoutToken(context.Background(), token)
		if wantKind(t, err, rejected); got != nil {
			t.Errorf("%s: got %+v; want no token", name, got)
		}
	}
}

func logoutForgeries(t *testing.T) {
	t.Parallel()
	claims := func(f *fake) string { return string(must(json.Marshal(f.LogoutClaims(nil)))) }
	for name, forge := range map[string]func(*testing.T, *fake) string{
		"P-rp-backchannel-rpinitlogout-alg-none": func(_ *testing.T, f *fake) string {
			return b64(`{"alg":"none"}`) + "." + b64(claims(f)) + "."
		},
		"alg none with a signature": func(t *testing.T, f *fake) string { return handmade(t, `{"alg":"none","kid":"rsa"}`, claims(f)) },
		"P-rp-backchannel-rpinitlogout-wrong-alg: a published key of another algorithm": func(t *testing.T, f *fake) string {
			f.Keys(public(rsaKey().Public(), "rsa"), public(ecKeys()["ES256"].Public(), "ec"))
			return sign(t, "ES256", ecKeys()["ES256"], "ec", f.LogoutClaims(nil), nil)
		},
		"wrong-alg: the pinned key by another algorithm": func(t *testing.T, f *fake) string {
			return sign(t, "PS384", rsaKey(), "rsa", f.LogoutClaims(nil), nil)
		},
		"3.1 HS256 keyed with the modulus of the public key": func(t *testing.T, f *fake) string {
			return sign(t, "HS256", rsaKey().N.Bytes(), "rsa", f.LogoutClaims(nil), nil)
		},
		"a key of somebody else": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "rsa", f.LogoutClaims(nil), nil)
		},
		"3.1 jwk in the header": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "", f.LogoutClaims(nil), m{"jwk": public(otherRSAKey().Public(), "")})
		},
		"3.1 unknown crit": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"RS256","kid":"rsa","crit":["x"],"x":1}`, claims(f))
		},
		"a header name twice":  func(t *testing.T, f *fake) string { return handmade(t, `{"alg":"RS256","alg":"RS256"}`, claims(f)) },
		"another token's body": func(t *testing.T, f *fake) string { return swapBody(f.goodToken(t), claims(f)) },
		"3.1 encrypted, five parts": func(*testing.T, *fake) string {
			return b64(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.a.a.a"
		},
		"a megabyte": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(m{"x": strings.Repeat("x", 1<<20)}), nil)
		},
		"nothing": func(*testing.T, *fake) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			token := forge(t, f)
			got, err := f.Client("RS256").LogoutToken(context.Background(), token)
			if wantKind(t, err, rejected); got != nil {
				t.Errorf("got %+v; want no token", got)
			}
		})
	}
}

// swapBody gives a signed token another payload.
func swapBody(token, payload string) string {
	parts := strings.Split(token, ".")
	return parts[0] + "." + b64(payload) + "." + parts[2]
}

// TestTypeOfLogoutToken is about the header's typ alone.
func TestTypeOfLogoutToken(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	for header, want := range map[string]kind{
		`{"alg":"RS256","kid":"rsa"}`:                                  good,
		`{"alg":"RS256","kid":"rsa","typ":"JWT"}`:                      good, // Keycloak
		`{"alg":"RS256","kid":"rsa","typ":"jwt"}`:                      good,
		`{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`:               good,
		`{"alg":"RS256","kid":"rsa","typ":"Logout+JWT"}`:               good,
		`{"alg":"RS256","kid":"rsa","typ":"application/logout+jwt"}`:   good,
		`{"alg":"RS256","kid":"rsa","typ":"at+jwt"}`:                   rejected,
		`{"alg":"RS256","kid":"rsa","typ":"application/at+jwt"}`:       rejected,
		`{"alg":"RS256","kid":"rsa","typ":"secevent+jwt"}`:             rejected,
		`{"alg":"RS256","kid":"rsa","typ":"application/"}`:             rejected,
		`{"alg":"RS256","kid":"rsa","typ":" JWT"}`:                     rejected,
		`{"alg":"RS256","kid":"rsa","typ":["logout+jwt"]}`:             rejected,
		`{"alg":"RS256","kid":"rsa","typ":"JWT","typ":"logout+jwt"}`:   rejected,
		`{"alg":"RS256","kid":"rsa","typ":"JWT","crit":["typ"]}`:       rejected,
		`{"alg":"RS256","kid":"rsa","typ":"application/application/"}`: rejected,
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			_, err := c.LogoutToken(context.Background(), handmade(t, header, string(must(json.Marshal(f.LogoutClaims(nil))))))
			wantKind(t, err, want)
		})
	}
}

// logoutWithoutKeys is what the endpoint answers with 503: it is not known
// whether the token is good. It is again when the keys are to be had.
func logoutWithoutKeys(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	token := f.logoutToken(t, nil)
	f.Down(true)
	_, err := c.LogoutToken(context.Background(), token)
	if _, wait := wantKind(t, err, unavailable); wait != time.Second {
		t.Errorf("got retry after %v; want 1s", wait)
	}
	f.Down(false)
	f.clock.Move(time.Second)
	_, err = c.LogoutToken(context.Background(), token)
	wantKind(t, err, good)
}

// P-signing-key-rotation, and what forged key IDs do to it: a token by a new
// key is good at once, and within the cool-down it is "not now", never
// "forged". Tokens that name a known key are judged all the while.
func TestLogoutTokensAndKeyRotation(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	verify := func(private any, id string, want kind) time.Duration {
		t.Helper()
		_, err := c.LogoutToken(context.Background(), sign(t, "RS256", private, id, f.LogoutClaims(nil), nil))
		_, wait := wantKind(t, err, want)
		return wait
	}
	verify(rsaKey(), "rsa", good)
	f.Keys(public(otherRSAKey().Public(), "second"))
	verify(otherRSAKey(), "second", good)
	if wait := verify(rsaKey(), "forged", unavailable); wait != 30*time.Second {
		t.Errorf("got retry after %v; want 30s", wait)
	}
	verify(rsaKey(), "second", rejected)
	verify(otherRSAKey(), "second", good)
	for range 100 {
		verify(rsaKey(), "forged", unavailable)
	}
	f.wantHits(t, 2)
	f.clock.Move(30 * time.Second)
	verify(rsaKey(), "forged", rejected)
}

// A token is as old as it was on arrival, however long the keys take.
func TestLogoutTokenAgeIsThatOnArrival(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.late = 5 * time.Second
	old := f.logoutToken(t, m{"iat": f.clock.Now().Add(-2 * time.Minute).Unix(), "exp": nil})
	_, err := f.Client().LogoutToken(context.Background(), old)
	wantKind(t, err, good)
}

// The window is as wide as it says between two seconds as well.
func TestLogoutTokenBetweenSeconds(t *testing.T) {
	t.Parallel()
	second := now.Truncate(time.Second)
	for _, between := range []time.Duration{0, time.Nanosecond, 999 * time.Millisecond} {
		for age, ok := range map[time.Duration]bool{-61 * time.Second: false, -time.Minute: true, 2 * time.Minute: true, 121 * time.Second: false} {
			claims := logoutClaims(second.Add(-age), m{"exp": nil})
			_, err := checkLogout(must(json.Marshal(claims)), second.Add(between))
			if got := err == nil; got != ok {
				t.Errorf("got accepted %t (%v) at an age of %v and %v; want %t", got, err, age, between, ok)
			}
		}
	}
}

// FuzzLogoutToken holds checkLogout to its promise: what is accepted is, as
// encoding/json reads the same bytes, of this issuer, for this client alone, of
// now, about a logout, about somebody, and no ID token.
func FuzzLogoutToken(f *testing.F) {
	for _, c := range logoutCases() {
		f.Add(c.payload())
	}
	// A number that no float64 can hold, where nobody looks.
	f.Add([]byte(`{"aud":"app","events":{"http://schemas.openid.net/event/backchannel-logout":{}},"":7e66520,"iat":1772366400,"iss":"https://id.example.com/oidc","jti":"j1","sub":"alice"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := checkLogout(payload, now)
		if err != nil {
			if got != nil {
				t.Fatalf("%q: got a token and %v", payload, err)
			}
			return
		}
		wantExactNames(t, payload)
		var claims m
		if err := exactly(payload, &claims); err != nil {
			t.Fatalf("%q: accepted; encoding/json says %v", payload, err)
		}
		list, _ := claims["aud"].([]any)
		forUs := claims["aud"] == any(clientID) || len(list) == 1 && list[0] == any(clientID)
		events, _ := claims["events"].(m)
		_, isLogout := events[logoutEvent].(m)
		_, hasNonce := claims["nonce"]
		if claims["iss"] != issuer || !forUs || !isLogout || hasNonce {
			t.Errorf("%q: accepted", payload)
		}
		iat, dated := float(claims["iat"])
		exp, expires := float(claims["exp"])
		if !dated || iat < float64(at(-2*time.Minute)) || iat >= float64(at(61*time.Second)) || expires && exp < float64(at(-time.Minute)) {
			t.Errorf("%q: accepted at %d", payload, now.Unix())
		}
		if expires == got.Expiry.IsZero() || claims["exp"] != nil && !expires {
			t.Errorf("%q: got expiry %v", payload, got.Expiry)
		}
		for name, text := range map[string]string{"sub": got.Subject, "sid": got.SessionID, "jti": got.ID} {
			if claims[name] != nil && claims[name] != text || claims[name] == nil && text != "" || len(text) > 1024 {
				t.Errorf("%q: got %s %q", payload, name, text)
			}
		}
		if got.ID == "" || got.Subject == "" && got.SessionID == "" {
			t.Errorf("%q: got %+v; want an ID and somebody", payload, got)
		}
	})
}

// exactly decodes JSON without making float64 of its numbers: the value of a
// claim that nobody looks at may be one that none can hold.
func exactly(text []byte, claims *m) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(claims); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows")
	}
	return nil
}

// float returns a claim that is a number.
func float(claim any) (float64, bool) {
	n, ok := claim.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}
