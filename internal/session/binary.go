package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// ErrMalformed means that bytes are not a session of this version.
var ErrMalformed = errors.New("signin: malformed session")

const version = 2

// flagAccessExpiry says that the access token's expiry is known.
const flagAccessExpiry = 1

// maxSize is how long the binary form may be, so that two bytes address all of it
// and all values of Claims.
const maxSize = 60_000

// The parts of the binary form, in the order in which they are stored.
const (
	partPayload = iota
	partExtra
	partDecoded // values of claims that are not in the two before as they are
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

// Append appends the session's binary form to dst:
//
//	version, flags, ID, times, generation, common scopes,
//	of each claim its length and how far it is from the end of the one before,
//	lengths of all parts, all parts
func (s *Session) Append(dst []byte) ([]byte, error) {
	commonScopes, otherScopes := packScope(s.Scope)
	parts := [numParts]string{
		partPayload: s.Claims.Payload(), partExtra: s.Claims.Extra(),
		partHeader: s.IDHeader, partSignature: s.IDSignature,
		partRefresh: s.RefreshToken, partScope: otherScopes, partNonce: s.Nonce,
		partAccessHeader: s.AccessToken.jwt.Header, partAccess: s.AccessToken.jwt.Payload, partAccessSignature: s.AccessToken.jwt.Signature,
	}
	if strings.Contains(parts[partPayload], `"`+s.Nonce+`"`) {
		parts[partNonce] = "" // no need to say it twice
	}
	var flags byte
	if !s.AccessExpiry.IsZero() {
		flags = flagAccessExpiry
	}
	start := len(dst)
	dst = append(dst, version, flags)
	dst = append(dst, s.ID[:]...)
	dst = binary.AppendVarint(dst, s.Began.UnixMilli())
	dst = binary.AppendVarint(dst, s.Created.Unix()-s.Began.Unix())
	dst = binary.AppendVarint(dst, s.LastSeen.Unix()-s.Created.Unix())
	dst = binary.AppendUvarint(dst, s.Generation)
	dst = binary.AppendUvarint(dst, commonScopes)
	if !s.AccessExpiry.IsZero() {
		dst = binary.AppendVarint(dst, s.AccessExpiry.Unix()-s.LastSeen.Unix())
		dst = binary.AppendVarint(dst, int64(s.AccessLife/time.Second))
	}
	dst, parts[partDecoded] = s.Claims.appendPlaces(dst)
	for _, p := range parts {
		dst = binary.AppendUvarint(dst, uint64(len(p)))
	}
	for _, p := range parts {
		dst = append(dst, p...)
	}
	if len(dst)-start > maxSize {
		return nil, ErrTooLarge
	}
	return dst, nil
}

// appendPlaces appends where each claim's value is in the JSON, and returns what
// is not there as it is: strings that have escapes. It does not matter which of
// several places is found, since each has the same bytes.
func (c *Claims) appendPlaces(dst []byte) ([]byte, string) {
	var decoded []byte
	end := 0
	for claim := range numClaims {
		value := c.Text(claim)
		dst = binary.AppendUvarint(dst, uint64(len(value)))
		if value == "" {
			continue
		}
		at := bytes.Index(c.json, []byte(value))
		if at < 0 {
			at = len(c.json) + len(decoded)
			decoded = append(decoded, value...)
		}
		dst = binary.AppendVarint(dst, int64(at-end))
		end = at + len(value)
	}
	return dst, string(decoded)
}

// Decode reads what Append has written. It keeps nothing of b.
func (s *Session) Decode(b []byte) error {
	if len(b) < 2 || len(b) > maxSize || b[0] != version {
		return ErrMalformed
	}
	flags := b[1]
	r := reader{b: b[2:]}
	copy(s.ID[:], r.bytes(len(ID{})))
	s.Began = time.UnixMilli(r.signed())
	s.Created = time.Unix(s.Began.Unix()+r.signed(), 0)
	s.LastSeen = time.Unix(s.Created.Unix()+r.signed(), 0)
	s.Generation = r.unsigned()
	scopes := r.unsigned()
	s.AccessExpiry, s.AccessLife = time.Time{}, 0
	if flags&flagAccessExpiry != 0 {
		s.AccessExpiry = time.Unix(s.LastSeen.Unix()+r.signed(), 0)
		s.AccessLife = time.Duration(min(max(r.signed(), 0), maxLife)) * time.Second
	}
	places := r.places()
	var lengths [numParts]int
	for i := range lengths {
		lengths[i] = r.length()
	}
	// What the places are in is at the beginning, in one piece.
	indexed, n := r.b, lengths[partPayload]+lengths[partExtra]
	indexed = indexed[:min(n+lengths[partDecoded], len(indexed))]
	var parts [numParts][]byte
	for i, n := range lengths {
		parts[i] = r.bytes(n)
	}
	if r.bad || len(r.b) > 0 {
		return ErrMalformed
	}
	s.Claims = Claims{json: bytes.Clone(indexed[:n]), payload: lengths[partPayload]}
	return s.take(indexed, &places, &parts, scopes)
}

// take copies all strings into s, which is one allocation: the values of claims,
// which are at places in indexed, and parts.
func (s *Session) take(indexed []byte, places *[numClaims]place, parts *[numParts][]byte, scopes uint64) error {
	n := 0
	for i, p := range places {
		if n += p.len; p.len > len(indexed)-p.off || n > maxSize {
			return ErrMalformed
		}
		s.Claims.ends[i] = uint16(n)
	}
	var space [256]byte // most often enough
	scope := appendScope(space[:0], scopes, parts[partScope])
	pieces := [...]struct {
		to   *string
		from []byte
	}{
		{&s.IDHeader, parts[partHeader]},
		{&s.IDSignature, parts[partSignature]},
		{&s.RefreshToken, parts[partRefresh]},
		{&s.AccessToken.jwt.Header, parts[partAccessHeader]},
		{&s.AccessToken.jwt.Payload, parts[partAccess]},
		{&s.AccessToken.jwt.Signature, parts[partAccessSignature]},
		{&s.Nonce, parts[partNonce]},
		{&s.Scope, scope},
	}
	size := n
	for _, p := range pieces {
		size += len(p.from)
	}
	var b strings.Builder
	b.Grow(size)
	for _, p := range places {
		b.Write(indexed[p.off : p.off+p.len])
	}
	for _, p := range pieces {
		b.Write(p.from)
	}
	text := b.String()
	s.Claims.values, text = text[:n], text[n:]
	for _, p := range pieces {
		*p.to, text = text[:len(p.from)], text[len(p.from):]
	}
	return nil
}

// maxLife is a year in seconds: no access token is taken to live longer.
const maxLife = 365 * 24 * 60 * 60

// place is where a claim's value is in the JSON.
type place struct{ off, len int }

// reader reads from the front of b until something is bad; then it reads zeros.
type reader struct {
	b   []byte
	bad bool
}

// unsigned reads a number.
func (r *reader) unsigned() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

// signed reads a number as binary.AppendVarint writes it. Times further off than
// 2^50 are not times, and could overflow a sum.
func (r *reader) signed() int64 {
	u := r.unsigned()
	x := int64(u>>1) ^ -int64(u&1)
	if x > 1<<50 || x < -1<<50 {
		r.bad = true
		return 0
	}
	return x
}

// length reads a number that cannot exceed the longest session.
func (r *reader) length() int {
	x := r.unsigned()
	if x > maxSize {
		r.bad = true
		return 0
	}
	return int(x)
}

// bytes reads n bytes.
func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// places reads what appendPlaces has written.
func (r *reader) places() (places [numClaims]place) {
	end := 0
	for i := range places {
		n := r.length()
		if n == 0 {
			continue
		}
		off := end + int(r.signed())
		if off < 0 || off > maxSize {
			r.bad = true
			return places
		}
		places[i] = place{off, n}
		end = off + n
	}
	return places
}
