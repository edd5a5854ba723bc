package sharedstate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
)

// Kind is what an entry is for. Names begin with its first letter, so that a Memory
// can tell what must not be dropped, and operators what fills their store.
type Kind string

const (
	EndedSession         Kind = "e session"             // by session ID
	EndedProviderSession Kind = "e provider session"    // by sid
	EndedSubject         Kind = "x subject"             // by sub
	EndedWithoutSID      Kind = "x subject without sid" // by sub
	Number               Kind = "x number"              // by sub
	Since                Kind = "x since"               // by sub
	Successor            Kind = "n"                     // by session ID and generation
	Newest               Kind = "h"                     // by session ID
	ShownByBrowser       Kind = "s"                     // by session ID
	Grace                Kind = "g"                     // by session ID
	Lease                Kind = "l"                     // by session ID and generation
	Denied               Kind = "d"                     // by session ID and generation
	EndLease             Kind = "x lease"               // by the kind and value of an end
	Callback             Kind = "c"                     // by state: the lease of its callback
	Used                 Kind = "u"                     // by state
	LogoutToken          Kind = "j"                     // by jti
	Token                Kind = "t"                     // by session ID and audience
	Probe                Kind = "u probe"               // by a random value
)

// NameLen is the length of every name.
const NameLen = 2 + 20

// everywhere reports whether entries of a kind are known to all applications of a
// client: an end of a person's sessions, or of the provider's, reaches those of all
// hosts. All others are an application's own, even if a stranger brings to one host
// the state of a callback at another.
func (k Kind) everywhere() bool {
	switch k {
	case EndedProviderSession, EndedSubject, EndedWithoutSID, Number, Since, EndLease, LogoutToken:
		return true
	}
	return false
}

// namer makes the names of entries. A name is a hash of a secret that is derived
// from one of Config.Keys, so that neither another deployment on the same store nor
// a person who may write to it can name any entry of ours.
type namer struct {
	// secrets are in the order of Config.Keys: the first names what is written, and
	// reading looks under the names of all.
	secrets []secret
	// fixed is an order of secrets that all replicas share: see State.add.
	fixed []int
}

// secret is what names are hashes of: those that the applications of a client have in
// common, and the application's own.
type secret struct{ common, own [32]byte }

func newNamer(keys [][]byte, issuer, client, base string) (namer, error) {
	secrets, err := seal.Derive(keys, "shared names")
	if err != nil {
		return namer{}, err
	}
	n := namer{secrets: make([]secret, len(secrets)), fixed: make([]int, len(secrets))}
	in := binary.BigEndian.AppendUint32(nil, uint32(len(issuer)))
	in = append(append(in, issuer...), client...)
	for i, of := range secrets {
		common := sha256.Sum256(append(of, in...))
		n.secrets[i] = secret{common, sha256.Sum256(append(common[:], base...))}
		n.fixed[i] = i
	}
	slices.SortFunc(n.fixed, func(i, j int) int {
		return cmp.Or(bytes.Compare(n.secrets[i].common[:], n.secrets[j].common[:]), cmp.Compare(i, j))
	})
	return n, nil
}

// names returns the names of an entry, in the order of Config.Keys.
func (n *namer) names(kind Kind, value []byte) (all []string) {
	for _, s := range n.secrets {
		key := &s.own
		if kind.everywhere() {
			key = &s.common
		}
		all = append(all, string(appendName(nil, kind, hash(key, kind, value))))
	}
	return all
}

// ofSession returns the names of an entry about a session, or about one of its
// generations.
func (n *namer) ofSession(kind Kind, id session.ID, generation uint64) (all []string) {
	for _, s := range n.secrets {
		all = append(all, string(appendSessionName(nil, kind, hash(&s.own, "session", id[:]), generation)))
	}
	return all
}

// appendSessionName appends a name that is about a session, given the hash of its
// ID: every request needs two such names, and half of a name's cost is the hash.
// 96 bits of it are enough, since session IDs are random.
func appendSessionName(dst []byte, kind Kind, sum [32]byte, generation uint64) []byte {
	sum[12], sum[13], sum[14] = byte(generation>>16), byte(generation>>8), byte(generation)
	return appendName(dst, kind, sum)
}

// appendName appends a name of 120 bits of a hash. Since the rest of the hash is
// left out, the name does not help to compute that of a longer value.
func appendName(dst []byte, kind Kind, sum [32]byte) []byte {
	return base64.RawURLEncoding.AppendEncode(append(dst, kind[0], '.'), sum[:15])
}

func hash(secret *[32]byte, kind Kind, value []byte) [32]byte {
	var space [128]byte // enough for what providers send; what is longer allocates
	in := append(space[:0], secret[:]...)
	in = append(in, kind...)
	in = append(in, 0) // ends the kind
	return sha256.Sum256(append(in, value...))
}

// deciding is how many entries decide about a session.
const deciding = 5

// deciding appends the names of the entries that decide about a session: its
// successor, and whatever may have ended it. They are grouped by key of
// Config.Keys.
func (n *namer) deciding(names []string, s *session.Session) []string {
	var space [deciding * NameLen]byte // one allocation for all, since each request needs them
	all := space[:0]
	subject := []byte(s.Claims.Text(session.Subject))
	withoutSID, sid := EndedWithoutSID, subject
	if text := s.Claims.Text(session.SessionID); text != "" {
		withoutSID, sid = EndedProviderSession, []byte(text)
	}
	for i := range n.secrets {
		sum, common := hash(&n.secrets[i].own, "session", s.ID[:]), &n.secrets[i].common
		all = appendSessionName(all, Successor, sum, s.Generation)
		all = appendSessionName(all, EndedSession, sum, 0)
		all = appendName(all, Number, hash(common, Number, subject))
		all = appendName(all, EndedSubject, hash(common, EndedSubject, subject))
		all = appendName(all, withoutSID, hash(common, withoutSID, sid))
	}
	for joined := string(all); joined != ""; joined = joined[NameLen:] {
		names = append(names, joined[:NameLen])
	}
	return names
}
