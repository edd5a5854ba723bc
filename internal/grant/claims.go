package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// keepSessionID keeps the provider session (sid) that a refreshed ID token need
// not repeat: a logout token that names it must find this session.
func keepSessionID(rec, next *record.Record) (string, error) {
	sid := sessionID(rec)
	if sid == "" || sessionID(next) != "" {
		return next.Extra, nil
	}
	extra := make(map[string]any)
	if next.Extra != "" {
		if err := json.Unmarshal([]byte(next.Extra), &extra); err != nil {
			return "", fmt.Errorf("signin: claims of a session: %w", err)
		}
	}
	extra["sid"] = sid
	merged, err := json.Marshal(extra)
	return string(merged), err
}

func sessionID(rec *record.Record) string {
	v, err := rec.View()
	if err != nil {
		return ""
	}
	return string(v.Claim(record.SessionID))
}
