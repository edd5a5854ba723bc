package jwt_test

import (
	"context"
	"testing"
)

// The rows of this file each stand for one condition that could be lost without
// any other test noticing.

func TestChecksOfIDTokens(t *testing.T) {
	t.Parallel()
	usual := string(claimsCase{}.payload())
	for _, c := range []struct {
		claimsCase
		why string
	}{
		{claimsCase{name: "an acr that is no text, though none was asked for", changes: m{"acr": 5}}, "a JSON member of the wrong type"},
		{claimsCase{name: "a name twice is said to be one", raw: usual[:len(usual)-1] + `,"SUB":"bob"}`}, "a JSON object with two members of one name"},
		{claimsCase{name: "an audience that is text but in part", changes: m{"aud": []any{clientID, 5}}}, "aud is not this client alone"},
		{claimsCase{name: "a time that is none is named", changes: m{"nbf": "soon"}}, "nbf is no number, or no time"},
		{claimsCase{name: "a claim in other letters", changes: m{"NBF": 1}}, "a JSON object with a member whose name is right but for the case of its letters"},
		{claimsCase{name: "what go-oidc alone objects to", changes: m{"_claim_names": 1}}, "a claim is malformed, and not one of those judged here: at_hash, say, or exp that is null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			id, err := check(c.payload(), "", signedIn, now)
			if id != nil || err == nil || err.Error() != c.why {
				t.Errorf("got %v, error %v; want error %q", id, err, c.why)
			}
		})
	}
}

func TestChecksOfAccessTokens(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	wantAccess(t, f.Client(), f.accessToken(t, m{"aud": []any{api, 5}}), rejected)
}

func TestChecksOfLogoutTokens(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for typ, want := range map[string]kind{"application/jwt": good, "APPLICATION/JWT": good, "application/at+jwt": rejected} {
		_, err := f.Client().LogoutToken(context.Background(), sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(nil), m{"typ": typ}))
		wantKind(t, err, want)
	}
}

// What does not say in the right way what it is for is for nothing.
func TestChecksOfKeys(t *testing.T) {
	t.Parallel()
	for _, changes := range []m{{"use": 1}, {"key_ops": "verify"}, {"alg": []string{"RS256"}}} {
		f := newFake(t)
		f.Keys(published(rsaKey().Public(), "rsa", changes))
		t.Log(changes)
		wantVerify(t, f.Client(), sign(t, "RS256", rsaKey(), "rsa", f.Claims(nil), nil), rejected)
	}
}
