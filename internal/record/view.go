package record

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// ErrMalformed means that bytes are no record of this version.
var ErrMalformed = errors.New("signin: malformed session record")

// The parts of a record, in the order they are stored.
const (
	partPayload = iota
	partExtra
	partDecoded
	partHeader
	partSignature
	partRefresh
	partAccessHeader
	partAccess
	partAccessSignature
	partScope
	partNonce
	numParts
)

// idOffset is where the session ID stands: after version and flags.
const idOffset = 2

// View reads a record in its binary form without taking it apart, and without
// keeping it: what it returns is part of the bytes that were parsed.
type View struct {
	data         []byte
	began        int64 // milliseconds
	created      int64 // seconds, as all below
	lastSeen     int64
	accessExpiry int64
	accessLife   int64
	generation   uint64
	scopes       uint64
	parts        [numParts]span
	claims       index
	flags        byte
}

// Parse reads the layout of a record. The View is good as long as b is.
func Parse(b []byte) (View, error) {
	v := View{data: b}
	if len(b) < idOffset+len(ID{}) || len(b) > maxSize || b[0] != version {
		return View{}, ErrMalformed
	}
	v.flags = b[1]
	c := cursor{b: b, at: idOffset + len(ID{})}
	v.began = c.signed()
	v.created = v.Began().Unix() + c.signed()
	v.lastSeen = v.created + c.signed()
	v.generation = c.unsigned()
	v.scopes = c.unsigned()
	if v.flags&flagAccessExpiry != 0 {
		v.accessExpiry = v.lastSeen + c.signed()
		v.accessLife = c.signed()
	}
	var lengths [numParts]int
	for i := range lengths {
		lengths[i] = c.length()
	}
	c.index(&v.claims)

	off, total := c.at, 0
	base, indexed := off, lengths[partPayload]+lengths[partExtra]+lengths[partDecoded]
	for i, n := range lengths {
		if c.bad || n > len(b)-off {
			return View{}, ErrMalformed
		}
		v.parts[i] = span{uint16(off), uint16(n)}
		off += n
	}
	if off != len(b) {
		return View{}, ErrMalformed
	}
	for i, s := range v.claims {
		if s.len == 0 {
			continue
		}
		// Claims do not overlap, so together they are no longer than what
		// they stand in: a Summary relies on that.
		if total += int(s.len); total > indexed || int(s.off)+int(s.len) > indexed {
			return View{}, ErrMalformed
		}
		v.claims[i].off += uint16(base)
	}
	return v, nil
}

// cursor reads numbers until one is bad; then it reads zeros.
type cursor struct {
	b   []byte
	at  int
	bad bool
}

// unsigned reads a number. Most are small, and that case is inlined.
func (c *cursor) unsigned() uint64 {
	if c.at < len(c.b) && c.b[c.at] < 0x80 {
		c.at++
		return uint64(c.b[c.at-1])
	}
	return c.large()
}

func (c *cursor) large() uint64 {
	x, n := binary.Uvarint(c.b[c.at:])
	if n <= 0 {
		c.bad, c.at = true, len(c.b)
		return 0
	}
	c.at += n
	return x
}

// signed reads a zigzag number, as binary.AppendVarint writes it. Times further
// off than 2^50 are no times, and could overflow a sum.
func (c *cursor) signed() int64 {
	u := c.unsigned()
	x := int64(u>>1) ^ -int64(u&1)
	if x > 1<<50 || x < -1<<50 {
		c.bad = true
		return 0
	}
	return x
}

// length reads a number that cannot exceed the record's own length.
func (c *cursor) length() int {
	x := c.unsigned()
	if x > uint64(len(c.b)) {
		c.bad = true
		return 0
	}
	return int(x)
}

func (c *cursor) index(x *index) {
	present, end := c.unsigned(), 0
	if present >= 1<<numClaims {
		c.bad = true
		return
	}
	for i := range x {
		if present&(1<<i) == 0 {
			continue
		}
		off := int64(end) + c.signed()
		n := c.length()
		if off < 0 || off > int64(len(c.b)) || n == 0 {
			c.bad = true
			return
		}
		x[i] = span{uint16(off), uint16(n)}
		end = int(off) + n
	}
}

func (v *View) at(s span) []byte { return v.data[s.off : int(s.off)+int(s.len)] }

func (v *View) part(i int) string { return string(v.at(v.parts[i])) }

// ID returns the session ID.
func (v *View) ID() []byte { return v.data[idOffset : idOffset+len(ID{})] }

// Began returns when the sign-in that made the session began.
func (v *View) Began() time.Time { return time.UnixMilli(v.began) }

// Created returns when the session was made.
func (v *View) Created() time.Time { return time.Unix(v.created, 0) }

// LastSeen returns when the session was last written as seen.
func (v *View) LastSeen() time.Time { return time.Unix(v.lastSeen, 0) }

// Generation returns how often the session has been refreshed.
func (v *View) Generation() uint64 { return v.generation }

// Refreshable reports whether there is a refresh token.
func (v *View) Refreshable() bool { return v.parts[partRefresh].len != 0 }

// AccessExpiry returns when the access token expires; zero if nobody said.
func (v *View) AccessExpiry() time.Time {
	if v.flags&flagAccessExpiry == 0 {
		return time.Time{}
	}
	return time.Unix(v.accessExpiry, 0)
}

// AccessLife returns how long the access token was to live when it came.
func (v *View) AccessLife() time.Duration {
	return time.Duration(min(max(v.accessLife, 0), maxLife)) * time.Second
}

// maxLife is a year in seconds: no access token is taken to live longer.
const maxLife = 365 * 24 * 60 * 60

// Claim returns the value of a claim that is a string; nil if it is absent.
func (v *View) Claim(c Claim) []byte { return v.at(v.claims[c]) }

// Record returns a copy of all of it, to be changed and written again.
func (v *View) Record() *Record {
	r := &Record{
		ID: ID(v.ID()), Began: v.Began(), Created: v.Created(), LastSeen: v.LastSeen(),
		Generation:   v.generation,
		IDToken:      JWT{Header: v.part(partHeader), Payload: v.part(partPayload), Signature: v.part(partSignature)},
		Extra:        v.part(partExtra),
		RefreshToken: v.part(partRefresh), AccessExpiry: v.AccessExpiry(), AccessLife: v.AccessLife(),
		Scope:       strings.Join(appendScopes(nil, v.scopes, v.part(partScope)), " "),
		AccessToken: v.part(partAccess), Nonce: v.part(partNonce),
	}
	if v.flags&flagAccessJWT != 0 {
		r.AccessToken = JWT{Header: v.part(partAccessHeader), Payload: r.AccessToken, Signature: v.part(partAccessSignature)}.Compact()
	}
	return r
}
