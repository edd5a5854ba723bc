package record

import (
	"slices"
	"strings"
)

// commonScopes are stored as one bit each: a session's scope is the same few
// words for everybody. Their order is part of the binary form.
var commonScopes = [...]string{
	"openid", "profile", "offline_access", "email", "phone", "address", "roles",
	"urn:logto:scope:organizations", "urn:logto:scope:organization_roles",
	"custom_data", "identities", "sso_identities",
}

// packScope splits a scope into the bits of the common values and the rest.
func packScope(scope string) (common uint64, rest string) {
	var others []string
	for _, s := range strings.Fields(scope) {
		if i := slices.Index(commonScopes[:], s); i >= 0 {
			common |= 1 << i
		} else {
			others = append(others, s)
		}
	}
	return common, strings.Join(others, " ")
}

// appendScopes appends the values of a packed scope, the common ones first.
func appendScopes(values []string, common uint64, rest string) []string {
	for i, s := range commonScopes {
		if common&(1<<i) != 0 {
			values = append(values, s)
		}
	}
	for rest != "" {
		var s string
		s, rest, _ = strings.Cut(rest, " ")
		values = append(values, s)
	}
	return values
}
