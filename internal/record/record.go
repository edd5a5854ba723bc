// Package record holds what a session keeps, and its binary form.
//
// Bytes in a session are bytes in a cookie, and those cost the server more
// than anything it does with them: net/http parses 2 KB of cookie in 3.7 µs.
// So tokens are stored decoded (a JWT is base64 of its parts, and sealing makes
// base64 of it again), times are differences, and the claims that handlers read
// most are found through an index made once, when the ID token was verified.
//
// The binary form begins with a version. It is always sealed, so whoever reads
// it wrote it; but perhaps another version of this package, and so every length
// is checked all the same.
package record

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

const version = 1

// Flags of the binary form.
const (
	flagAccessJWT    = 1 << iota // the access token is stored as three parts
	flagAccessExpiry             // the access token's expiry is known
)

// maxSize is how long a record may be, so that two bytes address all of it and
// of what a Summary puts in front.
const maxSize = 60_000

// ErrTooLarge means that a record exceeds what its binary form can address.
var ErrTooLarge = errors.New("signin: session record too large")

// ID names a session: 128 random bits.
type ID [16]byte

// NewID returns a random ID.
func NewID() (id ID) {
	rand.Read(id[:]) // never fails: crypto/rand
	return id
}

// Record is what a session keeps. Times are kept in seconds but for Began,
// which is kept in milliseconds, since it is compared with sign-outs.
type Record struct {
	ID ID
	// Began is when the sign-in that made the session began.
	Began time.Time
	// Created is when that sign-in was completed.
	Created time.Time
	// LastSeen is when the session was last seen in use, as far as it has
	// been written.
	LastSeen time.Time
	// Generation counts the session's refreshes.
	Generation uint64
	// IDToken is the verified ID token.
	IDToken JWT
	// Extra is a JSON object of claims that the ID token does not have, from
	// userinfo; empty for none.
	Extra        string
	RefreshToken string
	AccessToken  string
	// AccessExpiry is when the access token expires; zero if nobody said.
	AccessExpiry time.Time
	// AccessLife is how long the access token was to live when it came, in
	// seconds.
	AccessLife time.Duration
	// Nonce is that of the sign-in. It is stored where the ID token does not hold
	// it: one that came with a refresh need not.
	Nonce string
	// Scope is what was granted, separated by spaces, in any order: it comes
	// back with the common values first.
	Scope string
}

// JWT is a compact JWT, its three parts decoded. Header and Signature are
// empty where they were left out to save room.
type JWT struct{ Header, Payload, Signature string }

// SplitJWT decodes a compact JWT. It reports false for anything that would not
// be the same bytes when encoded again.
func SplitJWT(compact string) (JWT, bool) {
	var raw [3]string
	if strings.Count(compact, ".") != 2 {
		return JWT{}, false
	}
	for i, part := range strings.Split(compact, ".") {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(b) == 0 || base64.RawURLEncoding.EncodedLen(len(b)) != len(part) {
			return JWT{}, false
		}
		raw[i] = string(b)
	}
	return JWT{Header: raw[0], Payload: raw[1], Signature: raw[2]}, true
}

// Compact encodes j again, or returns "" if a part was left out.
func (j JWT) Compact() string {
	if j.Header == "" || j.Payload == "" || j.Signature == "" {
		return ""
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(j.Header)) + "." + enc.EncodeToString([]byte(j.Payload)) + "." + enc.EncodeToString([]byte(j.Signature))
}

// Append appends the record's binary form to dst:
//
//	version, flags, ID, times, generation, common scopes,
//	lengths of all parts, index of claims,
//	payload, extra, decoded strings,             <- what the index points into
//	header, signature, refresh token, access token, other scopes, nonce
func (r *Record) Append(dst []byte) ([]byte, error) {
	index, decoded, err := buildIndex(r.IDToken.Payload, r.Extra)
	if err != nil {
		return nil, err
	}
	access, isJWT := SplitJWT(r.AccessToken)
	if !isJWT {
		access = JWT{Payload: r.AccessToken}
	}
	commonScopes, otherScopes := packScope(r.Scope)
	nonce := r.Nonce
	if strings.Contains(r.IDToken.Payload, `"`+nonce+`"`) {
		nonce = "" // no need to say it twice
	}
	parts := [numParts]string{
		partPayload: r.IDToken.Payload, partExtra: r.Extra, partDecoded: decoded,
		partHeader: r.IDToken.Header, partSignature: r.IDToken.Signature,
		partRefresh:      r.RefreshToken,
		partAccessHeader: access.Header, partAccess: access.Payload, partAccessSignature: access.Signature,
		partScope: otherScopes, partNonce: nonce,
	}
	var flags byte
	if isJWT {
		flags |= flagAccessJWT
	}
	if !r.AccessExpiry.IsZero() {
		flags |= flagAccessExpiry
	}

	start := len(dst)
	dst = append(dst, version, flags)
	dst = append(dst, r.ID[:]...)
	dst = binary.AppendVarint(dst, r.Began.UnixMilli())
	dst = binary.AppendVarint(dst, r.Created.Unix()-r.Began.Unix())
	dst = binary.AppendVarint(dst, r.LastSeen.Unix()-r.Created.Unix())
	dst = binary.AppendUvarint(dst, r.Generation)
	dst = binary.AppendUvarint(dst, commonScopes)
	if !r.AccessExpiry.IsZero() {
		dst = binary.AppendVarint(dst, r.AccessExpiry.Unix()-r.LastSeen.Unix())
		dst = binary.AppendVarint(dst, int64(r.AccessLife/time.Second))
	}
	for _, p := range parts {
		dst = binary.AppendUvarint(dst, uint64(len(p)))
	}
	dst = index.append(dst)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	if len(dst)-start > maxSize {
		return nil, ErrTooLarge
	}
	return dst, nil
}

// View returns a View of the record.
func (r *Record) View() (View, error) {
	b, err := r.Append(nil)
	if err != nil {
		return View{}, err
	}
	return Parse(b)
}
