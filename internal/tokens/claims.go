package tokens

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/session"
)

// userInfo returns the claims that only userinfo has, as a JSON object; empty
// if there are none, or they were not asked for.
func (src *Source) userInfo(ctx context.Context, from *provider.Client, accessToken, payload, subject string) (string, error) {
	if !src.UserInfo {
		return "", nil
	}
	info, err := from.UserInfo(ctx, accessToken, subject)
	if err != nil {
		return "", err
	}
	return extraClaims(payload, info)
}

var errNoObject = errors.New("signin: userinfo is not an object")

// extraClaims returns what userinfo may add to the claims of an ID token.
func extraClaims(payload string, info []byte) (string, error) {
	var extra, token map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(info, &extra), json.Unmarshal([]byte(payload), &token)); err != nil {
		return "", errNoObject
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

// takenClaims are those that userinfo, which is not signed, may not add to
// an ID token, in the form in which encoding/json compares names: "Email" would
// replace "email" in a struct.
func takenClaims(token map[string]json.RawMessage) map[string]bool {
	taken := make(map[string]bool)
	for _, name := range append(ofToken(), "sub") {
		taken[name] = true
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

// ofToken are the claims that only a verified token can say, of itself or of the
// sign-in; in the form of [document.Fold].
func ofToken() []string {
	return append(session.OfSignIn(), "iss", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "jti")
}

// WithoutToken returns userinfo without claims that only a verified token can say. A
// handler that asks for them must not read other values than those of the session.
func WithoutToken(info []byte) ([]byte, error) {
	var claims map[string]json.RawMessage
	if json.Unmarshal(info, &claims) != nil {
		return nil, errNoObject
	}
	before := len(claims)
	maps.DeleteFunc(claims, func(name string, _ json.RawMessage) bool { return slices.Contains(ofToken(), document.Fold(name)) })
	if len(claims) == before {
		return info, nil // as it came
	}
	return json.Marshal(claims)
}

// keep makes the claims of a refresh from those of the token and of userinfo, and from
// those that the session has had before, absent ones included.
//
// Those of [session.OfSignIn] stay. A refreshed ID token need not repeat them, and must
// not change them. A logout token that names the provider's session (sid) must find
// this one. And since no one authenticates at a refresh, it must not open what is behind
// a step-up. (Keycloak states the newest authentication in the whole browser.)
// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
//
// What describes the person stays if it is absent: it grants nothing, and a refreshed
// token often has less. All other claims may grant something, so they are taken as they
// are: a role that is absent was taken away.
func (src *Source) keep(before *session.Claims, payload, extra string) (session.Claims, error) {
	was, is, kept := membersOf(before.JSON()), membersOf([]byte(payload)), membersOf([]byte(extra))
	for _, name := range session.OfSignIn() {
		delete(kept, name)
		then, now := cmp.Or(string(was[name]), null), cmp.Or(string(is[name]), null)
		if then != now {
			kept[name] = json.RawMessage(then)
		}
	}
	maps.Copy(kept, src.describing(was, is, kept))
	extra, err := object(kept)
	if err != nil {
		return session.Claims{}, err
	}
	return session.ParseClaims(payload, extra, src.Roles)
}

// describing returns the claims of before that describe the person, and that neither the
// new token nor the new userinfo has in any spelling.
func (src *Source) describing(before, token, info map[string]json.RawMessage) map[string]json.RawMessage {
	has := make(map[string]bool)
	for _, claims := range []map[string]json.RawMessage{token, info} {
		for name := range claims {
			has[document.Fold(name)] = true
		}
	}
	kept := make(map[string]json.RawMessage)
	keep := func(name string) {
		value, ok := before[name]
		if ok && !has[document.Fold(name)] && !src.grants(name) {
			kept[name] = value
		}
	}
	for _, name := range []string{
		"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "address", "updated_at",
	} {
		keep(name)
	}
	for _, name := range []string{"email", "phone_number"} {
		verified := name + "_verified"
		now := cmp.Or(string(token[name]), string(info[name]))
		switch {
		case !has[document.Fold(name)] && !has[document.Fold(verified)]:
			keep(name)
			keep(verified)
		case now != "" && sameText(now, string(before[name])):
			keep(verified) // which is said of this very address, and of no other
		}
	}
	return kept
}

// grants reports whether a claim holds the roles, whatever it describes elsewhere.
func (src *Source) grants(name string) bool {
	return src.Roles == name || strings.HasPrefix(src.Roles+"/", "/"+name+"/")
}

// sameText reports whether two JSON values are the same string.
func sameText(a, b string) bool {
	var one, other *string
	return json.Unmarshal([]byte(a), &one) == nil && json.Unmarshal([]byte(b), &other) == nil &&
		one != nil && other != nil && *one == *other
}

// bare reports whether an ID token says nothing but what the protocol needs. At some
// providers a refreshed one does, whatever that of the sign-in said
// (https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse).
func bare(payload []byte) bool {
	needed := append(ofToken(), "sub", "c_hash", "s_hash", "typ", "session_state")
	for name := range membersOf(payload) {
		if !slices.Contains(needed, document.Fold(name)) {
			return false
		}
	}
	return true
}

const null = "null"

// membersOf decodes claims that were parsed before, or are absent.
func membersOf(claims []byte) map[string]json.RawMessage {
	members := make(map[string]json.RawMessage)
	_ = json.Unmarshal(claims, &members)
	return members
}
