package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"
)

// ErrMalformed means that bytes are not a session of this version.
var ErrMalformed = errors.New("signin: malformed session")

// version is raised whenever the binary form changes, also when a claim or a
// text is added. Sessions of another version are malformed.
const version = 6

const (
	flagAccessExpiry = 1 << iota // the access token's expiry is known
	flagNumber                   // there is a Number
	flagReplaces                 // extra names claims that the payload names too
	flagUnconfirmed              // the newest refresh has not confirmed the claims
)

// maxSize is the maximum length of the binary form. Two bytes suffice for an
// offset into it, or into the values of Claims.
const maxSize = 60_000

// texts returns the strings that are stored unchanged, in the order of the
// binary form.
func (s *Session) texts() [numTexts]*string {
	access := &s.AccessToken.jwt
	return [...]*string{
		&s.IDHeader, &s.IDSignature, &s.RefreshToken, &access.Header, &access.Payload, &access.Signature, &s.Scope, &s.Nonce,
	}
}

const (
	numTexts  = 8
	textScope = 6
)

// Append appends the session's binary form to dst:
//
//	version, flags, ID, Number, times, generation, common scopes,
//	for each claim its length and its distance from the end of the one before,
//	lengths of payload, extra claims, other values of claims, and texts; then all of these
func (s *Session) Append(dst []byte) ([]byte, error) {
	stored := *s
	commonScopes, otherScopes := packScope(s.Scope)
	stored.Scope = otherScopes
	payload := s.Claims.Payload()
	if strings.Contains(payload, `"`+s.Nonce+`"`) {
		stored.Nonce = "" // the payload has it
	}
	flags := s.flags()
	start := len(dst)
	dst = append(dst, version, flags)
	dst = append(dst, s.ID[:]...)
	if flags&flagNumber != 0 {
		dst = append(dst, s.Number[:]...)
	}
	dst = binary.AppendVarint(dst, s.Created.Unix())
	dst = binary.AppendVarint(dst, s.IssuedAt-s.Created.Unix())
	dst = binary.AppendVarint(dst, s.LastSeen.Unix()-s.Created.Unix())
	dst = binary.AppendUvarint(dst, s.Generation)
	dst = binary.AppendUvarint(dst, commonScopes)
	if flags&flagAccessExpiry != 0 {
		dst = binary.AppendVarint(dst, s.AccessExpiry.Unix()-s.LastSeen.Unix())
		dst = binary.AppendVarint(dst, int64(s.AccessLife/time.Second))
	}
	if flags&flagUnconfirmed != 0 {
		dst = binary.AppendVarint(dst, s.Unconfirmed-s.LastSeen.Unix())
	}
	dst, decoded := s.Claims.appendPlaces(dst)
	parts := []string{payload, s.Claims.Extra(), decoded}
	for _, text := range stored.texts() {
		parts = append(parts, *text)
	}
	for _, p := range parts {
		dst = binary.AppendUvarint(dst, uint64(len(p)))
	}
	dst = append(dst, strings.Join(parts, "")...)
	if len(dst)-start > maxSize {
		return nil, ErrTooLarge
	}
	return dst, nil
}

// flags says which parts the binary form has.
func (s *Session) flags() (flags byte) {
	if !s.AccessExpiry.IsZero() {
		flags |= flagAccessExpiry
	}
	if s.Number != (Number{}) {
		flags |= flagNumber
	}
	if s.Claims.replaces {
		flags |= flagReplaces
	}
	if s.Unconfirmed != 0 {
		flags |= flagUnconfirmed
	}
	return flags
}

// appendPlaces appends where each claim's value is in the JSON, and returns the
// values that are not in it: strings with escapes. It does not matter which of
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

// Decode reads what Append has written. It does not retain b.
func (s *Session) Decode(b []byte) error {
	if len(b) < 2 || len(b) > maxSize || b[0] != version {
		return ErrMalformed
	}
	r := reader{b: b[2:]}
	copy(s.ID[:], r.bytes(len(ID{})))
	s.Number = Number{}
	if b[1]&flagNumber != 0 {
		copy(s.Number[:], r.bytes(len(Number{})))
	}
	s.Created = time.Unix(r.signed(), 0)
	s.IssuedAt = s.Created.Unix() + r.signed()
	s.LastSeen = time.Unix(s.Created.Unix()+r.signed(), 0)
	s.Generation = r.unsigned()
	scopes := r.unsigned()
	s.AccessExpiry, s.AccessLife, s.Unconfirmed = time.Time{}, 0, 0
	if b[1]&flagAccessExpiry != 0 {
		s.AccessExpiry = time.Unix(s.LastSeen.Unix()+r.signed(), 0)
		s.AccessLife = time.Duration(min(max(r.signed(), 0), maxLife)) * time.Second
	}
	if b[1]&flagUnconfirmed != 0 {
		s.Unconfirmed = s.LastSeen.Unix() + r.signed()
	}
	places := r.places()
	payload, extra, decoded := r.length(), r.length(), r.length()
	var lengths [numTexts]int
	for i := range lengths {
		lengths[i] = r.length()
	}
	indexed := r.bytes(payload + extra + decoded) // the places are offsets into this
	var texts [numTexts][]byte
	for i, n := range lengths {
		texts[i] = r.bytes(n)
	}
	if r.bad || len(r.b) > 0 {
		return ErrMalformed
	}
	s.Claims = Claims{json: bytes.Clone(indexed[:payload+extra]), payload: payload, replaces: b[1]&flagReplaces != 0}
	var space [256]byte // usually enough
	texts[textScope] = appendScope(space[:0], scopes, texts[textScope])
	return s.take(indexed, &places, &texts)
}

// take copies all strings into s with one allocation: the values of claims,
// which are at places in indexed, and texts.
func (s *Session) take(indexed []byte, places *[numClaims]place, texts *[numTexts][]byte) error {
	n := 0
	for i, p := range places {
		if n += p.len; p.len > len(indexed)-p.off || n > maxSize {
			return ErrMalformed
		}
		s.Claims.ends[i] = uint16(n)
	}
	size := n
	for _, text := range texts {
		size += len(text)
	}
	var b strings.Builder
	b.Grow(size)
	for _, p := range places {
		b.Write(indexed[p.off : p.off+p.len])
	}
	for _, text := range texts {
		b.Write(text)
	}
	all := b.String()
	s.Claims.values, all = all[:n], all[n:]
	for i, to := range s.texts() {
		n = len(texts[i])
		*to, all = all[:n], all[n:]
	}
	return nil
}

// maxLife is a year in seconds. A longer life of an access token is cut to it.
const maxLife = 365 * 24 * 60 * 60

// place is where a claim's value is in the JSON.
type place struct{ off, len int }

// reader reads from the front of b until something is bad; then it reads zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) unsigned() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

// signed reads a number as binary.AppendVarint writes it. Times beyond 2^50 are
// refused, since they could overflow a sum.
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

// commonScopes are stored as one bit each. Most sessions have the same few
// scopes, which would otherwise make a cookie 45 bytes longer. The order is
// part of the binary form.
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
