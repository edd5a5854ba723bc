// Package ledger gives names and meaning to what stands in shared state: which
// sessions have ended, what their successors are, which one-time values have
// been used.
//
// Nothing in it is overwritten by somebody who has read before, because shared
// state knows no compare-and-swap. A sign-out is one key, a successor is
// another; a refresh that does not know of a sign-out cannot undo it.
//
// Keys are hashes of kind, issuer, client and value, so shared state shows
// neither who is signed in nor a session ID that would be of use. Values that
// hold something are sealed under their full key: one copied to another key
// does not open.
package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gosignin/signin/internal/memory"
	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/seal"
)

// Shared is shared state as the root package defines it.
type Shared interface {
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)
	Delete(ctx context.Context, key string) error
}

// Kind is what an entry is for. Its first letter is also the key's, so that
// shared state may tell what must not be dropped, and operators what fills it.
type Kind string

const (
	EndedSession         Kind = "e session"          // by session ID
	EndedProviderSession Kind = "e provider session" // by sid
	EndedSubject         Kind = "e subject"          // by sub
	Next                 Kind = "n"                  // by session ID and generation
	Lock                 Kind = "l"                  // by session ID and generation
	Used                 Kind = "u"                  // by state
	Revoked              Kind = "u revoked"          // by session ID and generation
	LogoutToken          Kind = "j"                  // by jti
	Token                Kind = "t"                  // by session ID and audience
	Probe                Kind = "u probe"            // by a random value
)

// KeyLen is the length of every key.
const KeyLen = 2 + 24

// Class tells shared state in memory what a key's entry is worth.
func Class(key string) memory.Class {
	switch key[0] {
	case 'e', 'n', 'l', 'j': // logout tokens are the provider's to make, and nobody else's
		return memory.Kept
	case 't':
		return memory.Cached
	}
	return memory.Ordinary
}

// Reason is why a session has ended.
type Reason byte

const (
	SignedOut  Reason = 's' // by the person, here or at the provider
	ByProvider Reason = 'p' // the provider refused to refresh it
	Replaced   Reason = 'r' // a new sign-in in the same browser
	Unknown    Reason = '?' // an entry that cannot be read
)

// Ledger is immutable and safe for concurrent use.
type Ledger struct {
	shared Shared
	scope  [16]byte
	next   *seal.Ring
	used   *seal.Ring
	token  *seal.Ring
	ttl    time.Duration
}

// New returns the ledger of one client at one issuer. ttl is how long an entry
// that ends or moves on a session must be known: as long as any cookie that it
// speaks of can still be of use.
func New(shared Shared, keys [][]byte, issuer, client string, ttl time.Duration) (*Ledger, error) {
	l := &Ledger{shared: shared, ttl: ttl}
	in := binary.BigEndian.AppendUint32(nil, uint32(len(issuer)))
	sum := sha256.Sum256(append(append(in, issuer...), client...))
	copy(l.scope[:], sum[:])
	var err, err2, err3 error
	l.next, err = seal.NewRing(keys, "shared next", issuer, client)
	l.used, err2 = seal.NewRing(keys, "shared used", issuer, client)
	l.token, err3 = seal.NewRing(keys, "shared token", issuer, client)
	return l, errors.Join(err, err2, err3)
}

// AppendKey appends the key of an entry to dst.
func (l *Ledger) AppendKey(dst []byte, kind Kind, value []byte) []byte {
	const id = len(record.ID{})
	switch {
	case kind == EndedSession:
		return appendSessionKey(dst, kind, l.hash("session", value), 0)
	case (kind == Next || kind == Lock || kind == Revoked) && len(value) == id+8:
		return appendSessionKey(dst, kind, l.hash("session", value[:id]), binary.BigEndian.Uint64(value[id:]))
	}
	sum := l.hash(kind, value)
	dst = append(dst, kind[0], '.')
	// 144 bits: who chooses the values finds no two that collide.
	return base64.RawURLEncoding.AppendEncode(dst, sum[:18])
}

// appendSessionKey appends a key that is about a session, from the hash of its
// ID: every request asks for two of them, and half of such a key's cost is the
// hash. 120 bits of it, since session IDs are random, and nobody chooses them.
func appendSessionKey(dst []byte, kind Kind, sum [32]byte, generation uint64) []byte {
	binary.BigEndian.PutUint32(sum[14:], uint32(sum[14])<<24|uint32(generation&0xffffff))
	dst = append(dst, kind[0], '.')
	return base64.RawURLEncoding.AppendEncode(dst, sum[:18])
}

func (l *Ledger) hash(kind Kind, value []byte) [32]byte {
	var space [96]byte // enough for what providers send; what is longer allocates
	in := append(space[:0], kind...)
	in = append(in, 0) // ends the kind
	in = append(in, l.scope[:]...)
	return sha256.Sum256(append(in, value...))
}

// Key returns the key of an entry.
func (l *Ledger) Key(kind Kind, value []byte) string { return string(l.AppendKey(nil, kind, value)) }

// Generation returns the value that stands for one generation of a session.
func Generation(id []byte, generation uint64) [24]byte {
	var v [24]byte
	copy(v[:], id)
	binary.BigEndian.PutUint64(v[16:], generation)
	return v
}

// MaxKeys is the most that AppendKeys appends.
const MaxKeys = 4

// AppendKeys appends the keys whose values decide about a session: Next, and
// that of each way it may have ended. It returns how many there are.
func (l *Ledger) AppendKeys(dst []byte, v *record.View) ([]byte, int) {
	n := 2
	sum := l.hash("session", v.ID())
	dst = appendSessionKey(dst, Next, sum, v.Generation())
	dst = appendSessionKey(dst, EndedSession, sum, 0)
	if sub := v.Claim(record.Subject); len(sub) > 0 {
		dst = l.AppendKey(dst, EndedSubject, sub)
		n++
	}
	if sid := v.Claim(record.SessionID); len(sid) > 0 {
		dst = l.AppendKey(dst, EndedProviderSession, sid)
		n++
	}
	return dst, n
}

// Keys returns the same keys for a record.
func (l *Ledger) Keys(v *record.View) []string {
	joined, n := l.AppendKeys(nil, v)
	return SplitKeys(make([]string, n), string(joined))
}

// SplitKeys fills keys from what AppendKeys has joined.
func SplitKeys(keys []string, joined string) []string {
	for i := range keys {
		keys[i] = joined[i*KeyLen : (i+1)*KeyLen]
	}
	return keys
}

// Standing is what shared state says of a session.
type Standing struct {
	// Ended says that the session is over, and Reason why.
	Ended  bool
	Reason Reason
	// Superseded says that the browser has shown a later generation.
	Superseded bool
	// Next is the sealed successor; nil if this is the newest generation.
	Next []byte
}

// Plain reports that there is nothing to say: the session is as it was
// presented.
func (s Standing) Plain() bool { return !s.Ended && !s.Superseded && s.Next == nil }

// superseded is what a successor is reduced to. A sealed value is longer.
var superseded = []byte{'s'}

// Look reads what the keys of AppendKeys or Keys say about a session whose
// sign-in began at a time.
func (l *Ledger) Look(ctx context.Context, keys []string, began time.Time) (Standing, error) {
	values, err := l.get(ctx, keys...)
	if err != nil {
		return Standing{}, err
	}
	return read(values, began), nil
}

// read makes out the values of a session's keys.
func read(values [][]byte, began time.Time) Standing {
	var s Standing
	for i, v := range values[1:] {
		reason, at := readEnd(v)
		// A session ID belongs to one sign-in, so its end needs no time; and
		// with one, a clock that was set back would undo a sign-out.
		if reason == 0 || i > 0 && began.UnixMilli() > at {
			continue
		}
		// A sign-out outweighs any other reason: its token is revoked.
		if !s.Ended || reason == SignedOut {
			s.Ended, s.Reason = true, reason
		}
	}
	switch next := values[0]; {
	case next == nil:
	case len(next) == len(superseded):
		s.Superseded = true
	default:
		s.Next = next
	}
	return s
}

// LookForToken reads what Look reads, and the access token that is kept for an
// audience, in one round trip. The token is nil if there is none, or none that
// can be read.
func (l *Ledger) LookForToken(ctx context.Context, v *record.View, began time.Time, audience record.Audience) (Standing, *record.Token, error) {
	key := l.tokenKey(v.ID(), audience)
	values, err := l.get(ctx, append(l.Keys(v), key)...)
	if err != nil {
		return Standing{}, nil, err
	}
	last := len(values) - 1
	s := read(values[:last], began)
	if values[last] == nil {
		return s, nil, nil
	}
	plain, err := l.token.Box(key).Open(nil, values[last])
	if err != nil {
		return s, nil, nil
	}
	token, err := record.ParseToken(plain)
	if err != nil {
		return s, nil, nil
	}
	return s, token, nil
}

// KeepToken keeps an access token for a time, sealed.
func (l *Ledger) KeepToken(ctx context.Context, id []byte, audience record.Audience, token *record.Token, ttl time.Duration) error {
	key := l.tokenKey(id, audience)
	if err := l.shared.Set(ctx, key, l.token.Box(key).Seal(nil, token.Append(nil)), ttl); err != nil {
		return fmt.Errorf("signin: writing an access token to shared state: %w", err)
	}
	return nil
}

// tokenKey is where a session's access token for an audience is kept. The length
// tells the two names apart.
func (l *Ledger) tokenKey(id []byte, audience record.Audience) string {
	value := binary.AppendUvarint(bytes.Clone(id), uint64(len(audience.Resource)))
	value = append(value, audience.Resource...)
	return l.Key(Token, append(value, audience.Organization...))
}

// readEnd reads one way in which a session may have ended: why, and up to which
// beginnings, in milliseconds. An entry that cannot be read ends every session
// that it speaks of: somebody wanted it ended.
func readEnd(value []byte) (Reason, int64) {
	switch {
	case value == nil:
		return 0, 0
	case len(value) != 9:
		return Unknown, math.MaxInt64
	}
	at := int64(binary.BigEndian.Uint64(value[1:]))
	switch reason := Reason(value[0]); reason {
	case SignedOut, ByProvider, Replaced:
		return reason, at
	}
	return Unknown, at
}

// End ends what value names: the session with that ID, or every session of that
// provider session or subject whose sign-in began at or before at. An end that is
// known already is never moved back: a replica whose clock is slow would revive
// what another has ended.
func (l *Ledger) End(ctx context.Context, kind Kind, value []byte, reason Reason, at time.Time) error {
	if kind != EndedSession { // whose end needs no time
		known, err := l.getOne(ctx, l.Key(kind, value))
		if err != nil {
			return err
		}
		if _, before := readEnd(known); before != math.MaxInt64 && before > at.UnixMilli() {
			at = time.UnixMilli(before)
		}
	}
	entry := binary.BigEndian.AppendUint64([]byte{byte(reason)}, uint64(at.UnixMilli()))
	if err := l.shared.Set(ctx, l.Key(kind, value), entry, l.ttl); err != nil {
		return fmt.Errorf("signin: writing a sign-out to shared state: %w", err)
	}
	return nil
}

// AddNext keeps the sealed successor of one generation of a session. It
// reports false if there is one already.
func (l *Ledger) AddNext(ctx context.Context, id []byte, generation uint64, successor []byte) (bool, error) {
	g := Generation(id, generation)
	key := l.Key(Next, g[:])
	ok, err := l.shared.Add(ctx, key, l.next.Box(key).Seal(nil, successor), l.ttl)
	if err != nil {
		return false, fmt.Errorf("signin: writing a refreshed session to shared state: %w", err)
	}
	return ok, nil
}

// OpenNext opens the successor of one generation of a session.
func (l *Ledger) OpenNext(id []byte, generation uint64, sealed []byte) ([]byte, error) {
	g := Generation(id, generation)
	return l.next.Box(l.Key(Next, g[:])).Open(nil, sealed)
}

// Supersede reduces the successor of a generation to a mark without tokens.
func (l *Ledger) Supersede(ctx context.Context, id []byte, generation uint64) error {
	g := Generation(id, generation)
	if err := l.shared.Set(ctx, l.Key(Next, g[:]), superseded, l.ttl); err != nil {
		return fmt.Errorf("signin: marking a session superseded in shared state: %w", err)
	}
	return nil
}

// Use marks a one-time value as used and keeps a note with it, sealed. It
// reports false if it has been used before.
func (l *Ledger) Use(ctx context.Context, kind Kind, value, note []byte, ttl time.Duration) (bool, error) {
	key := l.Key(kind, value)
	ok, err := l.shared.Add(ctx, key, l.used.Box(key).Seal(nil, note), ttl)
	if err != nil {
		return false, fmt.Errorf("signin: writing a one-time value to shared state: %w", err)
	}
	return ok, nil
}

// UsedNote returns the note of a one-time value that has been used, and
// whether it has.
func (l *Ledger) UsedNote(ctx context.Context, kind Kind, value []byte) (note []byte, used bool, err error) {
	key := l.Key(kind, value)
	sealed, err := l.getOne(ctx, key)
	if err != nil || sealed == nil {
		return nil, false, err
	}
	note, _ = l.used.Box(key).Open(nil, sealed) // one that does not open is used all the same
	return note, true, nil
}

func (l *Ledger) getOne(ctx context.Context, key string) ([]byte, error) {
	values, err := l.get(ctx, key)
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// get reads shared state. Values that are not one for each key say nothing
// about any of them.
func (l *Ledger) get(ctx context.Context, keys ...string) ([][]byte, error) {
	values, err := l.shared.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("signin: reading shared state: %w", err)
	}
	if len(values) != len(keys) {
		return nil, fmt.Errorf("signin: shared state gave %d values for %d keys", len(values), len(keys))
	}
	return values, nil
}

// TryLock takes a lease on one generation of a session, or reports that
// somebody else holds it.
func (l *Ledger) TryLock(ctx context.Context, id []byte, generation uint64, lease time.Duration) (bool, error) {
	g := Generation(id, generation)
	ok, err := l.shared.Add(ctx, l.Key(Lock, g[:]), []byte{1}, lease)
	if err != nil {
		return false, fmt.Errorf("signin: locking a session in shared state: %w", err)
	}
	return ok, nil
}

// Unlock gives the lease back. Only its holder calls it, and only while well
// inside the lease: a late call frees somebody else's.
func (l *Ledger) Unlock(ctx context.Context, id []byte, generation uint64) error {
	g := Generation(id, generation)
	if err := l.shared.Delete(ctx, l.Key(Lock, g[:])); err != nil {
		return fmt.Errorf("signin: unlocking a session in shared state: %w", err)
	}
	return nil
}

// Check writes an entry, reads it, and removes it.
func (l *Ledger) Check(ctx context.Context) error {
	probe := []byte(rand.Text())
	key := l.Key(Probe, probe)
	if err := l.shared.Set(ctx, key, probe, time.Minute); err != nil {
		return fmt.Errorf("signin: writing to shared state: %w", err)
	}
	value, err := l.getOne(ctx, key)
	if err != nil {
		return err
	}
	if !bytes.Equal(value, probe) {
		return errors.New("signin: shared state does not give back what was written to it")
	}
	if err := l.shared.Delete(ctx, key); err != nil {
		return fmt.Errorf("signin: deleting from shared state: %w", err)
	}
	return nil
}
