package grant

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/record"
)

// userInfo returns the claims that only userinfo has, as a JSON object; empty
// if there are none, or they were not asked for.
func (s *Source) userInfo(ctx context.Context, rec *record.Record, subject string) (string, error) {
	if !s.UserInfo {
		return "", nil
	}
	info, err := s.Provider.UserInfo(ctx, rec.AccessToken, subject)
	if err != nil {
		return "", err
	}
	return extraClaims(rec.IDToken.Payload, info)
}

// extraClaims returns what userinfo may add to the claims of an ID token.
func extraClaims(payload string, info []byte) (string, error) {
	var extra, token map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(info, &extra), json.Unmarshal([]byte(payload), &token)); err != nil {
		return "", errors.New("signin: userinfo is not an object")
	}
	taken := takenClaims(token)
	maps.DeleteFunc(extra, func(name string, _ json.RawMessage) bool { return taken[provider.Fold(name)] })
	if len(extra) == 0 {
		return "", nil
	}
	merged, err := json.Marshal(extra)
	return string(merged), err
}

// takenClaims are those that userinfo, which is not signed, may not bring beside
// an ID token, in the form in which encoding/json compares names: "Email" would
// replace "email" in a struct.
func takenClaims(token map[string]json.RawMessage) map[string]bool {
	taken := make(map[string]bool)
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "nonce", "sid", "auth_time", "acr", "azp"} {
		taken[provider.Fold(name)] = true
	}
	for name := range token {
		taken[provider.Fold(name)] = true
	}
	// "Verified" speaks of the address that came with it, and of no other.
	for _, name := range []string{"email", "phone_number"} {
		value, verified := provider.Fold(name), provider.Fold(name+"_verified")
		if taken[value] || taken[verified] {
			taken[value], taken[verified] = true, true
		}
	}
	return taken
}

// fromSignIn are the claims about the sign-in itself. A refreshed ID token need
// not repeat them, and they are still true: a logout token that names the provider
// session (sid) must find this one, and when and how the person authenticated does
// not change by a refresh.
// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
var fromSignIn = map[string]record.Claim{"sid": record.SessionID, "auth_time": record.AuthTime, "acr": record.ACR}

// keepFromSignIn returns next's extra claims with those that rec has from the
// sign-in and next lacks. It never fails: the tokens in next are rotated, and must
// not be lost over claims.
func keepFromSignIn(rec, next *record.Record) string {
	before, err := rec.View()
	after, err2 := next.View()
	if err != nil || err2 != nil {
		return next.Extra // it is too large, which is for whoever stores it to say
	}
	claims := make(map[string]json.RawMessage)
	for name, claim := range fromSignIn {
		value := before.Claim(claim)
		switch {
		case len(value) == 0 || len(after.Claim(claim)) > 0:
		case claim == record.AuthTime:
			claims[name] = value // a number
		default:
			claims[name], _ = json.Marshal(string(value)) // strings always can
		}
	}
	if len(claims) == 0 {
		return next.Extra
	}
	if next.Extra != "" {
		_ = json.Unmarshal([]byte(next.Extra), &claims) // View has read it
	}
	merged, err := json.Marshal(claims)
	if err != nil {
		return next.Extra
	}
	return string(merged)
}
