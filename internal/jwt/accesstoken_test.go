package jwt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
)

const (
	api             = "https://api.example.com"
	organizationAPI = "urn:logto:organization:org1"
)

// accessClaims are those of an access token as Logto issues it, after changes;
// nil removes one.
func accessClaims(now time.Time, changes m) m {
	claims := m{
		"iss": issuer, "aud": api, "sub": "alice", "sid": "s1", "client_id": "spa", "jti": "j1", "scope": "read write",
		"iat": now.Unix(), "exp": now.Unix() + 3600,
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// AccessClaims is accessClaims at this provider, now.
func (f *fake) AccessClaims(changes m) m { return accessClaims(f.clock.Now(), changes) }

// accessToken is signed with the published RSA key.
func (f *fake) accessToken(t *testing.T, changes m) string {
	t.Helper()
	return sign(t, "RS256", rsaKey(), "rsa", f.AccessClaims(changes), m{"typ": "at+jwt"})
}

// wantAccess verifies a token for the API.
func wantAccess(t *testing.T, v *jwt.Verifier, raw string, want kind) (text string, wait time.Duration) {
	t.Helper()
	got, err := v.AccessToken(context.Background(), raw, api)
	if (got != nil) != (err == nil) {
		t.Errorf("got token %+v with error %v; want one without the other", got, err)
	}
	return wantKind(t, err, want)
}

// An audience that no access token may have is a mistake of the program, which
// shows before anything of the token is looked at.
func TestAudienceThatIsNoAPI(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for name, audience := range map[string]string{"empty": "", "this client": clientID, "an organization without an ID": "urn:logto:organization:"} {
		for _, raw := range []string{f.accessToken(t, m{"aud": audience}), f.goodToken(t), ""} {
			got, err := f.Client().AccessToken(context.Background(), raw, audience)
			if wantKind(t, err, noAPI); got != nil {
				t.Errorf("%s: got %+v; want no token", name, got)
			}
		}
	}
	f.wantHits(t, 0)
}

// 64 KB is what a token may have, and not a byte more.
func TestAccessTokenSize(t *testing.T) {
	t.Parallel()
	c := offline{public(edKey().Public(), "ed")}.Client()
	seen := 0
	for pad := 48_500; pad < 49_200; pad++ {
		for _, header := range []string{`{"alg":"EdDSA","typ":"at+jwt"}`, `{"alg":"EdDSA","typ":"at+jwt" }`, `{"alg":"EdDSA","typ":"at+jwt"  }`} {
			payload := accessCase{changes: m{"x": strings.Repeat("x", pad)}}.payload()
			size := len(b64(header)) + len(b64(payload)) + 2 + 86
			if size != 64<<10 && size != 64<<10+1 {
				continue
			}
			seen |= 1 << (size - 64<<10)
			want := good
			if size > 64<<10 {
				want = rejected
			}
			wantAccess(t, c, signEd(header, payload), want)
		}
	}
	if seen != 3 {
		t.Errorf("got sizes %b; want both", seen)
	}
}

// 3.3 with a clock between two seconds.
func TestAccessTokenBetweenSeconds(t *testing.T) {
	t.Parallel()
	for _, between := range []time.Duration{0, time.Nanosecond, 999 * time.Millisecond} {
		f := newFake(t)
		second := f.clock.Now().Unix()
		f.clock.Move(between)
		for claim, offsets := range map[string]map[int64]kind{
			"exp": {-60: good, -61: rejected}, "iat": {60: good, 61: rejected}, "nbf": {60: good, 61: rejected},
		} {
			for offset, want := range offsets {
				wantAccess(t, f.Client(), f.accessToken(t, m{claim: second + offset}), want)
			}
		}
	}
}

// A clock that knows no time does not turn absent times into good ones.
func TestAbsentTimesOfAccessTokens(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	c.Now = func() time.Time { return time.Time{} }
	for _, typ := range []string{"at+jwt", "JWT"} {
		raw := sign(t, "RS256", rsaKey(), "rsa", f.AccessClaims(m{"exp": nil, "iat": nil}), m{"typ": typ})
		wantAccess(t, c, raw, rejected)
	}
}

// A refusal is for the reason that it names.
func TestRefusedAccessTokensSayWhy(t *testing.T) {
	t.Parallel()
	c := offline{public(edKey().Public(), "ed")}.Client()
	const marked = `{"alg":"EdDSA","kid":"ed","typ":"at+jwt"}`
	changed := func(changes m) string { return signEd(marked, accessCase{changes: changes}.payload()) }
	good := changed(nil)
	for _, test := range []struct{ raw, want string }{
		{"opaque", "no signed JWT"},
		{strings.Replace(good, ".", ".!", 1), "no signed JWT"},
		{good + "!", "no signed JWT"},
		{"!" + good, "no signed JWT"},
		{good[:strings.LastIndex(good, ".")+1], "no signed JWT"},
		{signEd(`[]`, `{}`), "no JSON object"},
		{signEd(`{"alg":1}`, `{}`), "wrong type"},
		{signEd(`{"alg":"EdDSA","crit":[]}`, `{}`), "crit"},
		{signEd(marked, `[]`), "no JSON object"},
		{signEd(marked, `{"sub":1,"SUB":1}`), "two members of one name"},
		{changed(m{"iss": "x"}), "iss"},
		{changed(m{"aud": "x"}), "aud does not name the API"},
		{changed(m{"aud": []string{api, clientID}}), "as in an ID token"},
		{changed(m{"cnf": m{}}), "bound to a key"},
		{changed(m{"exp": "x"}), "no number"},
		{changed(m{"exp": nil}), "exp is absent"},
		{changed(m{"exp": 1}), "exp is absent or past"},
		{changed(m{"iat": "x"}), "no number"},
		{changed(m{"iat": nil}), "iat"},
		{changed(m{"nbf": "x"}), "no number"},
		{changed(m{"nbf": at(time.Hour)}), "nbf"},
		{changed(m{"sub": 1}), "sub"},
		{changed(m{"sid": 1}), "sid"},
		{changed(m{"client_id": 1}), "client_id"},
		{changed(m{"azp": 1}), "azp"},
		{changed(m{"client_id": nil}), "client_id is absent"},
		{changed(m{"organization_id": 1}), "organization_id"},
		{signEd(`{"alg":"EdDSA","kid":"ed","typ":"logout+jwt"}`, accessCase{}.payload()), "the type of another token"},
		{signEd(`{"alg":"EdDSA","kid":"ed"}`, accessCase{changes: m{"nonce": "x"}}.payload()), "not marked"},
		{signEd(`{"alg":"EdDSA","kid":"ed"}`, accessCase{changes: m{"azp": api}}.payload()), "as in an ID token"},
		{signEd(`{"alg":"none","kid":"ed","typ":"at+jwt"}`, accessCase{}.payload()), "algorithm"},
		{good[:strings.LastIndex(good, ".")+1] + b64(strings.Repeat("x", 64)), "signature"},
	} {
		_, err := c.AccessToken(context.Background(), test.raw, api)
		if text, _ := wantKind(t, err, rejected); !strings.Contains(text, test.want) {
			t.Errorf("got %q; want it to say %q", text, test.want)
		}
	}
}

// Tokens that are no good whoever has signed them are refused without a look at
// the keys, also while they are not to be had.
func TestHopelessAccessTokensCostNoRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Down(true)
	c := f.Client()
	c.Keys = func(context.Context) (*jwt.KeySet, error) { t.Error("keys were asked for"); return nil, errDown }
	for name, raw := range map[string]string{
		"expired":            f.accessToken(t, m{"exp": f.clock.Now().Unix() - 61}),
		"another issuer's":   f.accessToken(t, m{"iss": issuer + "/"}),
		"another API's":      f.accessToken(t, m{"aud": "https://other.example.com"}),
		"an ID token":        f.goodToken(t),
		"opaque":             "opaque",
		"by a key long gone": sign(t, "RS256", otherRSAKey(), "gone", f.AccessClaims(m{"exp": f.clock.Now().Unix() - 61}), m{"typ": "at+jwt"}),
	} {
		t.Run(name, func(t *testing.T) { wantAccess(t, c, raw, rejected) })
	}
	f.wantHits(t, 0)
}

// Malformed tokens of the other kinds are refused so as well.
func TestMalformedTokensCostNoRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	c.Keys = func(context.Context) (*jwt.KeySet, error) { t.Error("keys were asked for"); return nil, errDown }
	claims := string(must(json.Marshal(f.Claims(nil))))
	for _, raw := range []string{"", "opaque", "a.b.c", f.goodToken(t) + "=", handmade(t, `{"alg":"RS256","crit":["x"]}`, claims), handmade(t, `{"alg":"RS256","typ":"at+jwt"}`, claims)} {
		wantVerify(t, c, raw, rejected)
		_, err := c.LogoutToken(t.Context(), raw)
		wantKind(t, err, rejected)
	}
}

// A rotated key is known at once, and within the cool-down a token by an
// unknown one is "not now", never "forged".
func TestAccessTokensAndKeyRotation(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	wantAccess(t, c, f.accessToken(t, nil), good)
	f.Keys(public(otherRSAKey().Public(), "second"))
	by := func(private any, id string) string {
		return sign(t, "RS256", private, id, f.AccessClaims(nil), m{"typ": "at+jwt"})
	}
	wantAccess(t, c, by(otherRSAKey(), "second"), good)
	if _, wait := wantAccess(t, c, by(rsaKey(), "third"), unavailable); wait != 30*time.Second {
		t.Errorf("got retry after %v; want 30s", wait)
	}
	wantAccess(t, c, by(rsaKey(), "second"), rejected)
	wantAccess(t, c, by(otherRSAKey(), "second"), good)
	f.Keys(public(rsaKey().Public(), "third"))
	f.clock.Move(30 * time.Second)
	wantAccess(t, c, by(rsaKey(), "third"), good)
	f.wantHits(t, 3)
}

// A token is as old as it was on arrival, however long the keys take.
func TestAccessTokenAgeIsThatOnArrival(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.late = 5 * time.Second
	wantAccess(t, f.Client(), f.accessToken(t, m{"exp": f.clock.Now().Unix() - 60}), good)
}

// 9.5: nothing of a token is in an error or a log line.
func TestAccessTokensAreNotShown(t *testing.T) {
	t.Parallel()
	const canary = "CaNaRy"
	f := newFake(t)
	c := f.Client()
	var errs []error
	for _, claim := range []string{"iss", "aud", "exp", "iat", "nbf", "cnf", "sub", "sid", "client_id", "azp", "organization_id"} {
		for _, value := range []any{canary, []string{canary}, canary + "å", strings.Repeat(canary, 200)} {
			_, err := c.AccessToken(context.Background(), f.accessToken(t, m{claim: value}), api)
			errs = append(errs, err)
		}
	}
	for _, header := range []string{`{"alg":"CaNaRy"}`, `{"alg":"RS256","kid":"CaNaRy","typ":"at+jwt"}`, `{"alg":"RS256","typ":"CaNaRy"}`, canary, `{"CaNaRy":1,"CaNaRy":2}`} {
		input := b64(header) + "." + b64(string(must(json.Marshal(f.AccessClaims(nil)))))
		_, err := c.AccessToken(context.Background(), input+"."+b64(canary), api)
		errs = append(errs, err)
	}
	_, err := c.AccessToken(context.Background(), canary+"."+canary+"."+canary, api)
	for _, err := range append(errs, err) {
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(strings.ToLower(text), strings.ToLower(canary)) {
			t.Errorf("got a canary in %s", text)
		}
	}
	if failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil }); len(failed) < 40 {
		t.Errorf("got %d errors; want most of the tokens refused", len(failed))
	}

	var log bytes.Buffer
	token := jwt.AccessToken{Subject: canary, Payload: []byte(canary)}
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", token, "pointer", &token)
	if strings.Contains(log.String(), canary) || !strings.Contains(log.String(), "[access token]") {
		t.Errorf("got log line %q; want no canary", log.String())
	}
}
