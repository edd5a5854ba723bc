package session

import (
	"encoding/binary"
	"time"
)

// Audience is what an access token is for: a resource, an organization, a
// resource within one, or, if it is zero, the provider's own endpoints.
type Audience struct{ Resource, Organization string }

// Token is an access token for an Audience.
type Token struct {
	Access, Scope string
	// Expiry is when it expires, zero if that is unknown, and Until when it is to
	// be fetched again, both in seconds.
	Expiry, Until time.Time
	// Replaced is when it took the place of one that was refused, or zero.
	Replaced time.Time
}

const tokenVersion = 1

// Append appends the token's binary form to dst:
//
//	version, expiry, until, replaced, length of scope, scope, access token
func (t *Token) Append(dst []byte) []byte {
	dst = append(dst, tokenVersion)
	for _, at := range []time.Time{t.Expiry, t.Until, t.Replaced} {
		dst = binary.AppendVarint(dst, max(at.Unix(), 0))
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Scope)))
	dst = append(dst, t.Scope...)
	return append(dst, t.Access...)
}

// ParseToken reads what Append has written.
func ParseToken(b []byte) (*Token, error) {
	if len(b) == 0 || b[0] != tokenVersion {
		return nil, ErrMalformed
	}
	r := reader{b: b[1:]}
	t := &Token{Expiry: timeOrZero(r.signed()), Until: timeOrZero(r.signed()), Replaced: timeOrZero(r.signed())}
	t.Scope = string(r.bytes(r.length()))
	t.Access = string(r.b)
	if r.bad || t.Access == "" {
		return nil, ErrMalformed
	}
	return t, nil
}

func timeOrZero(seconds int64) time.Time {
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
