package jwt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
)

// What a refreshed ID token leads to.
const (
	taken = "taken"
	odd   = "odd"
	lies  = "a lie"
	later = "not known yet"
)

// refreshCase is a refreshed ID token, and what it leads to.
type refreshCase struct {
	name string
	raw  string
	want string
}

// readCases are tokens whose signature is good.
func readCases() (cases []refreshCase) {
	for _, c := range []struct {
		name    string
		changes m
		want    string
	}{
		{"as expected", nil, taken},
		{"a second audience, azp this client", m{"aud": []string{clientID, "api"}, "azp": clientID}, taken},
		{"without nonce", m{"nonce": nil}, taken},
		{"nonce empty", m{"nonce": ""}, taken},
		{"nonce a number", m{"nonce": 1}, taken},
		{"acr a number, auth_time text, sid a number", m{"acr": 1, "auth_time": "x", "sid": 42}, taken},
		{"at_hash empty", m{"at_hash": ""}, taken},
		{"issued with the last one", m{"iat": at(-time.Minute)}, taken},

		{"iss of another issuer", m{"iss": issuer + "/other"}, lies},
		{"sub of another person", m{"sub": "bob"}, lies},
		{"sub in another case", m{"sub": "Alice"}, lies},
		{"another nonce", m{"nonce": "another"}, lies},
		{"aud of another client", m{"aud": "other"}, lies},
		{"aud without this client", m{"aud": []string{"other", "api"}, "azp": clientID}, lies},
		{"azp of another client", m{"azp": "other"}, odd},
		{"azp of another client, among several", m{"aud": []string{clientID, "other"}, "azp": "other"}, odd},
		{"several audiences without azp", m{"aud": []string{clientID, "other"}}, odd},
		{"at_hash of another access token", m{"at_hash": "x"}, lies},

		{"iss absent", m{"iss": nil}, odd},
		{"iss a list", m{"iss": []string{issuer}}, odd},
		{"sub absent", m{"sub": nil}, odd},
		{"sub a number", m{"sub": 7}, odd},
		{"aud absent", m{"aud": nil}, odd},
		{"aud an object", m{"aud": m{clientID: 1}}, odd},
		{"azp a list", m{"azp": []string{clientID}}, odd},
		{"exp past", m{"exp": at(-2 * time.Minute)}, odd},
		{"exp absent", m{"exp": nil}, odd},
		{"exp text", m{"exp": "1772370000"}, odd},
		{"iat two minutes ahead", m{"iat": at(2 * time.Minute)}, odd},
		{"iat absent", m{"iat": nil}, odd},
		{"iat text", m{"iat": "x"}, odd},
		{"iat long ago", m{"iat": at(-time.Hour)}, odd},
		{"iat before the last one's", m{"iat": at(-61 * time.Second)}, odd},
		{"nbf ahead", m{"nbf": at(time.Hour)}, odd},
		{"sub in two spellings", m{"Sub": "bob"}, odd},
		{"Nonce instead of nonce", m{"nonce": nil, "Nonce": nonce}, odd},

		{"iat ahead, and another sub", m{"iat": at(2 * time.Minute), "sub": "bob"}, lies},
		{"iat ahead, and another nonce", m{"iat": at(2 * time.Minute), "nonce": "another"}, lies},
		{"iat ahead, and another iss", m{"iat": at(2 * time.Minute), "iss": "https://evil.example"}, lies},
	} {
		cases = append(cases, refreshCase{c.name, idToken.token(c.changes), c.want})
	}
	return cases
}

// unreadCases are tokens whose signature fails, or is not checked.
func unreadCases() []refreshCase {
	payload, bob := idToken.payload(nil), idToken.payload(m{"sub": "bob"})
	other, unnamed := otherRSAKey(), sign("RS256", otherRSAKey(), "", bob, nil)
	twice := strings.Replace(payload, `"sub":"alice"`, `"sub":"alice","sub":"alice"`, 1)
	return []refreshCase{
		{"a signature that fails under the key that it names", sign("RS256", other, "rsa", payload, nil), lies},
		{"another signature without kid", sign("RS256", other, "", payload, nil), odd},
		{"another signature without kid, and another sub", unnamed, lies},
		{"an unknown kid", sign("RS256", other, "unknown", payload, nil), odd},
		{"an unknown kid, and another sub", sign("RS256", other, "unknown", bob, nil), lies},
		{"an unknown kid, and another iss", sign("RS256", other, "unknown", idToken.payload(m{"iss": "https://evil.example"}), nil), lies},
		{"an unknown kid, and another nonce", sign("RS256", other, "unknown", idToken.payload(m{"nonce": "another"}), nil), lies},
		{"an unknown kid, and aud of another client", sign("RS256", other, "unknown", idToken.payload(m{"aud": "other"}), nil), lies},
		{"an unknown kid, and aud an object", sign("RS256", other, "unknown", idToken.payload(m{"aud": m{}}), nil), odd},
		{"an unknown kid, and an empty nonce", sign("RS256", other, "unknown", idToken.payload(m{"nonce": ""}), nil), odd},
		{"the kid of a key of another type", sign("RS256", other, "ed", payload, nil), odd},
		{"an algorithm outside the pinned ones", sign("ES384", ecKeys()["ES384"], "ES384", payload, nil), odd},
		{"an algorithm outside the pinned ones, and another sub", sign("ES384", ecKeys()["ES384"], "ES384", bob, nil), lies},
		{"alg none", b64(`{"alg":"none"}`) + "." + b64(payload) + ".", odd},
		{"alg none, and another sub", b64(`{"alg":"none"}`) + "." + b64(bob) + ".", lies},
		{"HMAC keyed with the client secret", sign("HS256", []byte(strings.Repeat(clientSecret, 4)), "rsa", payload, nil), odd},
		{"crit", signEd(idToken.header(`,"crit":["x"],"x":1`), payload), odd},
		{"b64", signEd(idToken.header(`,"b64":true`), payload), odd},
		{"kid a number", signEd(`{"alg":"EdDSA","kid":1}`, payload), odd},
		{"typ of an access token", claimsCase{typ: "at+jwt"}.token(idToken), odd},
		{"typ of a logout token", claimsCase{typ: "logout+jwt"}.token(idToken), odd},
		{"a claim twice", signEd(idToken.header(""), twice), odd},
		{"claims that are not an object", signEd(idToken.header(""), "[]"), odd},
		{"opaque", "opaque", odd},
		{"five parts, as of an encrypted one", "a.b.c.d.e", odd},
	}
}

// At a refresh, an oddity of a provider is told from a token that is about another
// person, or of another origin.
func TestIDToken_Refreshed(t *testing.T) {
	t.Parallel()
	want := jwt.Expect{Refresh: true, Nonce: nonce, Subject: "alice", AccessToken: received, IssuedSince: time.Unix(at(-time.Minute), 0)}
	for _, c := range append(readCases(), unreadCases()...) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := newFake().Verifier("RS256", "EdDSA").IDToken(context.Background(), c.raw, want)
			if outcome := refreshed(err); outcome != c.want || (got != nil) != (outcome == taken) {
				t.Errorf("got %s (%v), and a token: %t; want %s", outcome, err, got != nil, c.want)
			}
		})
	}
}

// Where the keys cannot be fetched, or are those of before a failed fetch, nothing
// is known of the signature. Another person's token is refused all the same.
func TestIDToken_RefreshedWithoutKeys(t *testing.T) {
	t.Parallel()
	want := jwt.Expect{Refresh: true, Nonce: nonce, Subject: "alice"}
	forged := func(changes m) string { return sign("RS256", otherRSAKey(), "rsa", idToken.payload(changes), nil) }
	for name, c := range map[string]struct {
		known bool // keys were fetched before
		raw   string
		want  string
	}{
		"no keys":                         {false, idToken.token(nil), later},
		"no keys, and another sub":        {false, idToken.token(m{"sub": "bob"}), lies},
		"keys of before, signature fails": {true, forged(nil), odd},
		"keys of before, and another sub": {true, forged(m{"sub": "bob"}), lies},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			v := f.Verifier()
			if c.known {
				idToken.want(t, v, idToken.token(nil), good)
			}
			f.Down(true)
			if _, err := v.IDToken(context.Background(), c.raw, want); refreshed(err) != c.want {
				t.Errorf("got %s (%v); want %s", refreshed(err), err, c.want)
			}
		})
	}
}

// While the keys may not be fetched, the key of a known ID may be another one by now. It
// is a lie only if the signature fails after a fetch.
func TestIDToken_RefreshedWhileKeysRest(t *testing.T) {
	t.Parallel()
	want := jwt.Expect{Refresh: true, Nonce: nonce, Subject: "alice"}
	by := func(id string, changes m) string {
		return sign("RS256", otherRSAKey(), id, idToken.payload(changes), nil)
	}
	for name, c := range map[string]struct {
		changes m
		resting string // what the token leads to before the fetch
		replace bool   // the key is replaced under its ID
		want    string // after the fetch
	}{
		"the key has changed":             {nil, later, true, taken},
		"the key is the same":             {nil, later, false, lies},
		"another sub, whatever the key":   {m{"sub": "bob"}, lies, true, lies},
		"another nonce, whatever the key": {m{"nonce": "another"}, lies, true, lies},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			v := f.Verifier()
			idToken.want(t, v, by("unknown", nil), rejected) // has fetched the keys twice
			raw := by("rsa", c.changes)
			if _, err := v.IDToken(t.Context(), raw, want); refreshed(err) != c.resting {
				t.Errorf("got %s (%v) while keys rest; want %s", refreshed(err), err, c.resting)
			}
			f.wantHits(t, 2)
			if c.replace {
				f.Publish(public(otherRSAKey().Public(), "rsa"))
			}
			f.Move(5 * time.Second)
			if _, err := v.IDToken(t.Context(), raw, want); refreshed(err) != c.want {
				t.Errorf("got %s (%v) after a fetch; want %s", refreshed(err), err, c.want)
			}
		})
	}
}

// refreshed says what the error about a refreshed token leads to.
func refreshed(err error) string {
	missing, _ := outcomeOf(err)
	switch {
	case err == nil:
		return taken
	case errors.Is(err, jwt.ErrOdd):
		return odd
	case missing == unavailable:
		return later
	}
	return lies
}

// A sign-in has no claims to go on with: what is odd at a refresh is refused there,
// and not marked as odd.
func TestIDToken_OddAtASignIn(t *testing.T) {
	t.Parallel()
	for _, c := range append(readCases(), unreadCases()...) {
		if c.want == taken {
			continue
		}
		_, err := newFake().Verifier("RS256", "EdDSA").IDToken(context.Background(), c.raw, jwt.Expect{
			Nonce: nonce, Subject: "alice", AccessToken: received,
		})
		if errors.Is(err, jwt.ErrOdd) || err == nil && !strings.HasPrefix(c.name, "iat before") {
			t.Errorf("%s: got %v; want it refused, and not marked as odd", c.name, err)
		}
	}
}
