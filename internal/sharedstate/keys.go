package sharedstate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/gosignin/signin/internal/session"
)

// Kind is what an entry is for. Its first letter is also the key's, so that
// shared state can tell what must not be dropped, and operators what fills it.
type Kind string

const (
	EndedSession         Kind = "e session"          // by session ID
	EndedProviderSession Kind = "e provider session" // by sid
	EndedSubject         Kind = "e subject"          // by sub
	Successor            Kind = "n"                  // by session ID and generation
	Lease                Kind = "l"                  // by session ID and generation
	Used                 Kind = "u"                  // by state
	Revoked              Kind = "u revoked"          // by session ID and generation
	LogoutToken          Kind = "j"                  // by jti
	Token                Kind = "t"                  // by session ID and audience
	Probe                Kind = "u probe"            // by a random value
)

// KeyLen is the length of every key.
const KeyLen = 2 + 24

// Key returns the key of an entry.
func (st *State) Key(kind Kind, value []byte) string { return string(st.appendKey(nil, kind, value)) }

func (st *State) appendKey(dst []byte, kind Kind, value []byte) []byte {
	if kind == EndedSession {
		return appendSessionKey(dst, kind, st.hash("session", value), 0)
	}
	// 144 bits, or an attacker who chooses values could find two that collide.
	return appendName(dst, kind, st.hash(kind, value))
}

// GenerationKey returns the key of an entry about one generation of a session.
func (st *State) GenerationKey(kind Kind, id session.ID, generation uint64) string {
	return string(appendSessionKey(nil, kind, st.hash("session", id[:]), generation))
}

// appendSessionKey appends a key that is about a session, given the hash of its
// ID: every request needs two such keys, and half of a key's cost is the hash.
// 120 bits of it are enough, since session IDs are random.
func appendSessionKey(dst []byte, kind Kind, sum [32]byte, generation uint64) []byte {
	binary.BigEndian.PutUint32(sum[14:], uint32(sum[14])<<24|uint32(generation&0xffffff))
	return appendName(dst, kind, sum)
}

func appendName(dst []byte, kind Kind, sum [32]byte) []byte {
	return base64.RawURLEncoding.AppendEncode(append(dst, kind[0], '.'), sum[:18])
}

func (st *State) hash(kind Kind, value []byte) [32]byte {
	var space [96]byte // enough for what providers send; what is longer allocates
	in := append(space[:0], kind...)
	in = append(in, 0) // ends the kind
	in = append(in, st.scope[:]...)
	return sha256.Sum256(append(in, value...))
}

// most is how many keys decide about a session.
const most = 4

// keys appends the keys whose values decide about a session: its successor's,
// and those under which it may have ended.
func (st *State) keys(keys []string, s *session.Session) []string {
	var space [most * KeyLen]byte // one allocation for all, since each request needs them
	sum := st.hash("session", s.ID[:])
	all := appendSessionKey(space[:0], Successor, sum, s.Generation)
	all = appendSessionKey(all, EndedSession, sum, 0)
	if sub := s.Claims.Text(session.Subject); sub != "" {
		all = st.appendKey(all, EndedSubject, []byte(sub))
	}
	if sid := s.Claims.Text(session.SessionID); sid != "" {
		all = st.appendKey(all, EndedProviderSession, []byte(sid))
	}
	for joined := string(all); joined != ""; joined = joined[KeyLen:] {
		keys = append(keys, joined[:KeyLen])
	}
	return keys
}
