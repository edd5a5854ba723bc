package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/session"
)

// userInfo returns the claims that only userinfo has, as a JSON object; empty
// if there are none, or they were not asked for.
func (src *Source) userInfo(ctx context.Context, accessToken, payload, subject string) (string, error) {
	if !src.UserInfo {
		return "", nil
	}
	info, err := src.Provider.UserInfo(ctx, accessToken, subject)
	if err != nil {
		return "", err
	}
	return extraClaims(payload, info)
}

// extraClaims returns what userinfo may add to the claims of an ID token.
func extraClaims(payload string, info []byte) (string, error) {
	var extra, token map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(info, &extra), json.Unmarshal([]byte(payload), &token)); err != nil {
		return "", errors.New("signin: userinfo is not an object")
	}
	taken := takenClaims(token)
	maps.DeleteFunc(extra, func(name string, _ json.RawMessage) bool { return taken[document.Fold(name)] })
	return object(extra)
}

// object writes claims as a JSON object; empty for none.
func object(claims map[string]json.RawMessage) (string, error) {
	if len(claims) == 0 {
		return "", nil
	}
	text, err := json.Marshal(claims)
	return string(text), err
}

// takenClaims are those that userinfo, which is not signed, may not bring beside
// an ID token, in the form in which encoding/json compares names: "Email" would
// replace "email" in a struct.
func takenClaims(token map[string]json.RawMessage) map[string]bool {
	taken := make(map[string]bool)
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "nonce", "sid", "auth_time", "acr", "azp"} {
		taken[document.Fold(name)] = true
	}
	for name := range token {
		taken[document.Fold(name)] = true
	}
	// "Verified" speaks of the address that came with it, and of no other.
	for _, name := range []string{"email", "phone_number"} {
		value, verified := document.Fold(name), document.Fold(name+"_verified")
		if taken[value] || taken[verified] {
			taken[value], taken[verified] = true, true
		}
	}
	return taken
}

// keepFromSignIn returns the claims of a refresh with those about the sign-in
// itself that they lack. A refreshed ID token need not repeat them, and they are
// still true: a logout token that names the provider session (sid) must find this
// one, and when and how the person authenticated does not change by a refresh.
// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
func keepFromSignIn(before *session.Claims, after session.Claims) (session.Claims, error) {
	kept := make(map[string]json.RawMessage)
	for name, claim := range map[string]session.Claim{"sid": session.SessionID, "auth_time": session.AuthTime, "acr": session.ACR} {
		value := before.Text(claim)
		switch {
		case value == "" || after.Text(claim) != "":
		case claim == session.AuthTime:
			kept[name] = json.RawMessage(value) // a number
		default:
			kept[name], _ = json.Marshal(value) // strings always can
		}
	}
	if len(kept) == 0 {
		return after, nil
	}
	if extra := after.Extra(); extra != "" {
		_ = json.Unmarshal([]byte(extra), &kept) // ParseClaims has read it
	}
	extra, err := object(kept)
	if err != nil {
		return after, err
	}
	return session.ParseClaims(after.Payload(), extra)
}
