// Package session holds what a session keeps, and its binary form: it is
// decoded once for each request, without parsing JSON.
//
//	s := &session.Session{ID: session.NewID(), Created: now, RefreshToken: token, …}
//	if s.Claims, err = session.ParseClaims(payload, ""); err != nil {
//		return err
//	}
//	plain, err := s.Append(nil) // to be sealed
//	…
//	var opened session.Session
//	err = opened.Decode(plain)
//	opened.Claims.Text(session.Subject)
//
// Bytes in a session are bytes in a cookie, and those cost the server more than
// anything it does with them: net/http parses 2 KB of cookie in 3.7 µs. So the
// binary form keeps a JWT as its three parts, decoded (the store makes base64
// of what is sealed), times as differences, and the claims that handlers read
// most as places in the ID token's payload.
//
// The binary form is always sealed, so this package has written it, though perhaps
// in another version: it begins with a version, and every length is checked.
package session

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// ErrTooLarge means that a session exceeds what its binary form can address.
var ErrTooLarge = errors.New("signin: session too large")

// ID names a session: 128 random bits.
type ID [16]byte

// NewID returns a random ID.
func NewID() (id ID) {
	rand.Read(id[:]) // never fails: crypto/rand
	return id
}

// Number changes when all sessions of a person are ended, so that those that began
// before can be told from later ones. The zero Number is that of a person whose
// sessions were never ended.
type Number [8]byte

// Session is what a session keeps. Times are kept in seconds.
type Session struct {
	ID         ID
	Number     Number    // the person's, when the session began
	IssuedAt   int64     // when the provider issued the sign-in's ID token (iat), in seconds since 1970 by its clock
	Created    time.Time // when the sign-in was completed
	LastSeen   time.Time // when the session was last written as in use
	Generation uint64    // counts the session's refreshes
	Claims     Claims    // of the verified ID token, and those added by userinfo
	// IDHeader and IDSignature are the rest of the ID token, without its claims,
	// decoded. They are empty where they were left out to save room.
	IDHeader, IDSignature string
	RefreshToken          string
	AccessToken           Packed        // for the provider's own endpoints
	AccessExpiry          time.Time     // zero if it is unknown
	AccessLife            time.Duration // how long the access token was to live when it came
	// Unconfirmed is zero unless the newest refresh has brought no claims that could be
	// used. Then it is when the access token expired that had come with the last ones,
	// in seconds since 1970.
	Unconfirmed int64
	// Nonce is that of the sign-in. An ID token that came with a refresh need not
	// have it.
	Nonce string
	// Scope is what was granted, separated by spaces. The order is not kept.
	Scope string
}

// IDToken returns the ID token as it was received, or "" if a part is missing.
func (s *Session) IDToken() string {
	return JWT{Header: s.IDHeader, Payload: s.Claims.Payload(), Signature: s.IDSignature}.Compact()
}

// Due reports whether the access token should be renewed, and can be: ahead of its
// expiry, but never in the first half of its life, or a token that lives for a
// minute would be renewed with each request.
func (s *Session) Due(now time.Time, ahead time.Duration) bool {
	return s.RefreshToken != "" && !s.AccessExpiry.IsZero() &&
		!now.Before(s.AccessExpiry.Add(-min(ahead, s.AccessLife/2)))
}

// Limits bound a session's life. They are compared with the times in the session,
// since a browser may ignore a cookie's Max-Age.
type Limits struct {
	Idle    time.Duration // after it was last written as seen
	Max     time.Duration // after it was made
	Offline time.Duration // without a refresh, or without claims that it confirms; see Adrift
}

// Adrift reports whether a session with a refresh token has gone without a refresh, or
// without one that confirms its claims, for too long after its access token expired. Its
// requests are not served then until a refresh succeeds: a role may have been taken away.
func (l Limits) Adrift(s *Session, now time.Time) bool {
	since := s.AccessExpiry
	if s.Unconfirmed != 0 {
		since = time.Unix(s.Unconfirmed, 0)
	}
	return s.RefreshToken != "" && !since.IsZero() && !now.Before(since.Add(l.Offline))
}

// Ended reports why a session has reached a limit, or "".
func (l Limits) Ended(s *Session, now time.Time) string {
	switch {
	case !now.Before(s.Created.Add(l.Max)):
		return "lifetime"
	case !now.Before(s.LastSeen.Add(l.Idle)):
		return "idle"
	}
	return ""
}

// Expires is when a session ends unless it is used again.
func (l Limits) Expires(s *Session) time.Time {
	idle, end := s.LastSeen.Add(l.Idle), s.Created.Add(l.Max)
	if idle.Before(end) {
		return idle
	}
	return end
}

// Left is how long a session lives from now on, unless it is used again. It is at
// most l.Max, even if the clock was set back.
func (l Limits) Left(s *Session, now time.Time) time.Duration {
	return min(l.Expires(s).Sub(now), l.Max)
}

// Unwritten reports whether a session's last use should be saved now. It is not
// saved each time, or each request would cost a write.
func (l Limits) Unwritten(s *Session, now time.Time) bool {
	return now.Sub(s.LastSeen) >= l.Idle/4
}

// JWT is a compact JWT, its three parts decoded.
type JWT struct{ Header, Payload, Signature string }

// SplitJWT decodes a compact JWT. It reports false for anything that would not
// be the same bytes when encoded again.
func SplitJWT(compact string) (JWT, bool) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return JWT{}, false
	}
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		// encoding/base64 ignores line breaks.
		if err != nil || len(b) == 0 || base64.RawURLEncoding.EncodedLen(len(b)) != len(part) {
			return JWT{}, false
		}
		parts[i] = string(b)
	}
	return JWT{Header: parts[0], Payload: parts[1], Signature: parts[2]}, true
}

// Compact encodes j again, or returns "" if a part is missing.
func (j JWT) Compact() string {
	if j.Header == "" || j.Payload == "" || j.Signature == "" {
		return ""
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(j.Header)) + "." + enc.EncodeToString([]byte(j.Payload)) + "." + enc.EncodeToString([]byte(j.Signature))
}

// Packed is a token as compactly as it can be kept: a JWT as its three parts,
// any other as it came. The zero Packed is no token.
type Packed struct{ jwt JWT }

// Pack packs a token.
func Pack(token string) Packed {
	if jwt, ok := SplitJWT(token); ok {
		return Packed{jwt}
	}
	return Packed{JWT{Payload: token}}
}

// String returns the token.
func (p Packed) String() string {
	if p.jwt.Header == "" {
		return p.jwt.Payload
	}
	return p.jwt.Compact()
}
