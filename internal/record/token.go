package record

import (
	"encoding/binary"
	"time"
)

// Audience is what an access token is for: a resource, an organization, a
// resource within an organization, or, if it is zero, the provider's own
// endpoints.
type Audience struct{ Resource, Organization string }

// Token is an access token for an Audience.
type Token struct {
	Access, Scope string
	// Expiry is when it expires, and Until when it is to be fetched again, both
	// in seconds. Expiry is zero if nobody said.
	Expiry, Until time.Time
}

// Append appends the token's binary form to dst:
//
//	expiry, until, length of scope, scope, access token
func (t *Token) Append(dst []byte) []byte {
	var expiry int64
	if !t.Expiry.IsZero() {
		expiry = t.Expiry.Unix()
	}
	dst = binary.AppendVarint(dst, expiry)
	dst = binary.AppendVarint(dst, t.Until.Unix())
	dst = binary.AppendUvarint(dst, uint64(len(t.Scope)))
	dst = append(dst, t.Scope...)
	return append(dst, t.Access...)
}

// ParseToken reads what Append has written.
func ParseToken(b []byte) (*Token, error) {
	c := cursor{b: b}
	expiry, until := c.signed(), c.signed()
	scope := c.length()
	if c.bad || scope >= len(b)-c.at { // an access token is not empty
		return nil, ErrMalformed
	}
	t := &Token{Scope: string(b[c.at : c.at+scope]), Access: string(b[c.at+scope:]), Until: time.Unix(until, 0)}
	if expiry != 0 {
		t.Expiry = time.Unix(expiry, 0)
	}
	return t, nil
}
