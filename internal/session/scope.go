package session

import (
	"bytes"
	"slices"
	"strings"
)

// commonScopes are stored as one bit each: most sessions have the same few, and
// their cookies would be 45 bytes longer. The order is part of the binary form.
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

// appendScope appends a packed scope, the common values first.
func appendScope(dst []byte, common uint64, rest []byte) []byte {
	for i, s := range commonScopes {
		if common&(1<<i) != 0 {
			dst = append(append(dst, s...), ' ')
		}
	}
	return bytes.TrimSuffix(append(dst, rest...), []byte(" "))
}
