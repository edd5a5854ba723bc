// Package seal is the key ring: it seals bytes so that only a holder of its
// keys can read or change them, and opens them again.
//
//	ring, err := seal.NewRing(keys, "session", issuer, client, baseURL)
//	sealed := ring.Box(cookieName, place).Seal(nil, plain)
//	plain, err = ring.Box(cookieName, place).Open(nil, sealed)
//
// The cipher is AES-256-GCM with random nonces. HKDF-SHA256 derives a key for
// each purpose from each configured key, so a value sealed for one purpose
// never opens for another, even if its additional data is the same.
//
// A random nonce of 96 bits allows 2^32 seals with one key (NIST SP 800-38D,
// section 8.3). A site that seals a thousand sessions a second reaches that
// after seven weeks: rotate keys monthly on such sites.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// MinKey is the length a configured key must have, in bytes.
const MinKey = 32

// ErrOpen means that a value was not sealed by a key of this ring, for its purpose
// and under this name. It gives no details, since they could help an attacker.
var ErrOpen = errors.New("signin: sealed value does not open")

// Ring holds the keys of one purpose. It is immutable and safe for concurrent
// use.
type Ring struct {
	aeads []cipher.AEAD // the first seals, all open
	data  []byte        // what begins the additional data of each box
}

// NewRing derives the keys for a purpose. Every sealed value is bound to its owner:
// the issuer, the client, and what else tells applications apart that share keys.
// None of them can open another's values.
func NewRing(keys [][]byte, purpose string, owner ...string) (*Ring, error) {
	derived, err := Derive(keys, purpose)
	if err != nil {
		return nil, err
	}
	// The count tells the owner's parts from those of a box.
	r := &Ring{data: appendParts([]byte{byte(len(owner))}, append([]string{purpose}, owner...))}
	for _, key := range derived {
		r.aeads = append(r.aeads, must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key)))))
	}
	return r, nil
}

// Derive returns a secret of 32 bytes for a purpose, one from each configured key.
func Derive(keys [][]byte, purpose string) (derived [][]byte, err error) {
	if len(keys) == 0 {
		return nil, errors.New("signin: no key")
	}
	for i, key := range keys {
		if len(key) < MinKey {
			return nil, fmt.Errorf("signin: key %d has %d bytes, needs %d", i, len(key), MinKey)
		}
		derived = append(derived, must(hkdf.Key(sha256.New, key, nil, "signin/v1/"+purpose, 32)))
	}
	return derived, nil
}

// must panics on errors that only a wrong length causes, since lengths are constants.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Box seals and opens the values of one place. It is immutable and safe for
// concurrent use.
type Box struct {
	aeads []cipher.AEAD
	data  []byte
}

// Box returns the box of a place: the name of a cookie, or of an entry in shared
// state, and what else says where a value is kept. A value that is moved to another
// place does not open.
func (r *Ring) Box(place ...string) *Box {
	return &Box{aeads: r.aeads, data: appendParts(slices.Clip(r.data), place)}
}

// appendParts appends each part after its length, so that "ab","c" is not "a","bc".
func appendParts(data []byte, parts []string) []byte {
	size := 0
	for _, part := range parts {
		size += 4 + len(part)
	}
	data = slices.Grow(data, size)
	for _, part := range parts {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	return data
}

// Seal appends the sealed form of plain to dst. The two must not overlap.
func (b *Box) Seal(dst, plain []byte) []byte {
	return b.aeads[0].Seal(dst, nil, plain, b.data)
}

// Open appends to dst what sealed holds, or returns ErrOpen. The two must not
// overlap: opening in place would cost an allocation, and destroy the value
// before the second key is tried.
func (b *Box) Open(dst, sealed []byte) ([]byte, error) {
	for _, aead := range b.aeads {
		if plain, err := aead.Open(dst, nil, sealed, b.data); err == nil {
			return plain, nil
		}
	}
	return nil, ErrOpen
}
