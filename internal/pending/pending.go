// Package pending keeps one sign-in that is under way, from the redirect to
// the provider until the callback: its state, nonce and PKCE verifier, where
// the person wanted to go, and what was asked of the provider.
//
// Each attempt has a cookie of its own, sealed, named after its state. So tabs
// do not disturb each other, and the state of a callback is compared by the
// very act of finding its attempt: a cookie renamed to another state does not
// open.
package pending

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/seal"
)

// Lifetime is how long a person has to sign in at the provider.
const Lifetime = 10 * time.Minute

// Max is how many attempts one browser keeps under way. Each is a cookie sent
// with every request until it ends.
const Max = 5

// maxBytes is what their cookies may take together. Proxies refuse a request whose
// Cookie header exceeds 8 KB (nginx), every request, for as long as the cookies
// live; and another site could make a person's browser collect the longest ones.
const maxBytes = 4 << 10

// skew is how far the clocks of two replicas may be apart.
const skew = time.Minute

// ErrNone means that this browser has no attempt for a state: it never had, it
// is too old, or the cookie is not one of ours.
var ErrNone = errors.New("signin: no sign-in under way for this state: it took too long, was finished already, or was begun at another host than Config.BaseURL's")

// Attempt is one sign-in under way.
type Attempt struct {
	// State comes back from the provider. Its first letter says which round
	// this is (see SecondRound).
	State string
	// Nonce must stand in the ID token.
	Nonce string
	// Verifier is the PKCE code verifier (RFC 7636, section 4.1).
	Verifier string
	// Began is when the attempt was made.
	Began time.Time
	// ReturnTo is the path to go to afterwards; empty for the default.
	ReturnTo string
	// Foreign says that another site sent the person here.
	Foreign bool
	// Silent says that the provider was asked to show nothing (prompt=none).
	Silent bool
	// MaxAge was asked for if MaxAgeAsked, in whole seconds.
	MaxAge      time.Duration
	MaxAgeAsked bool
	// ACR are the authentication contexts asked for.
	ACR []string
	// Subject is who must answer, where it is a step-up of somebody who is signed
	// in; empty for anybody.
	Subject string
	// Demanded says that the browser's URL has asked for MaxAge or ACR, as a guard
	// does that wants a step-up.
	Demanded bool
}

// New returns an attempt with new random values. The second round is marked in
// the state, because the state comes back even where cookies are blocked.
func New(now time.Time, second bool) *Attempt {
	round := "1"
	if second {
		round = "2"
	}
	return &Attempt{State: round + random(16), Nonce: random(16), Verifier: random(32), Began: now}
}

// SecondRound reports whether a state marks the second round of an attempt
// that was already repeated once. Anybody can make such a state; all it brings
// is a page that explains, where another round would have been tried.
func SecondRound(state string) bool { return strings.HasPrefix(state, "2") }

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// Book finds and writes attempts. It is immutable and safe for concurrent use.
type Book struct {
	ring   *seal.Ring
	prefix string
	now    func() time.Time
}

// NewBook returns a Book whose cookies begin with cookieName.
func NewBook(ring *seal.Ring, cookieName string, now func() time.Time) *Book {
	return &Book{ring: ring, prefix: cookieName + ".tx.", now: now}
}

// Name returns the name of the cookie for a state.
func (b *Book) Name(state string) string { return b.prefix + state }

// Value returns what the attempt's cookie holds.
func (b *Book) Value(a *Attempt) string {
	sealed := b.ring.Box(b.Name(a.State)).Seal(nil, a.append(nil))
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// Find returns the attempt that this browser has under way for a state, or
// ErrNone.
func (b *Book) Find(r *http.Request, state string) (*Attempt, error) {
	if state == "" {
		return nil, ErrNone
	}
	cookies := r.CookiesNamed(b.Name(state))
	// Two of one name: somebody else has set one of them, and nothing tells
	// which.
	if len(cookies) != 1 {
		return nil, ErrNone
	}
	return b.open(cookies[0])
}

func (b *Book) open(c *http.Cookie) (*Attempt, error) {
	if len(c.Value) > maxBytes {
		return nil, ErrNone // we write none that long
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(c.Value)
	if err != nil {
		return nil, ErrNone
	}
	plain, err := b.ring.Box(c.Name).Open(nil, sealed)
	if err != nil {
		return nil, ErrNone
	}
	a, ok := parse(plain)
	if !ok {
		return nil, ErrNone
	}
	if age := b.now().Sub(a.Began); age > Lifetime || age < -skew {
		return nil, ErrNone
	}
	a.State = strings.TrimPrefix(c.Name, b.prefix)
	return a, nil
}

// Crowded returns the names of the cookies to delete so that at most Max remain
// with the new attempt, and no more than proxies take: those that are no attempts, then those that
// another site started, then the oldest. If all the others are the person's
// own and another site started the new one, that is the one to go: whoever
// opens windows must not push out what the person has begun.
func (b *Book) Crowded(r *http.Request, added *Attempt) (names []string) {
	var all []*Attempt
	bytes := map[*Attempt]int{added: len(b.Name(added.State)) + len(b.Value(added))}
	total := bytes[added]
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, b.prefix) {
			continue
		}
		if a, err := b.open(c); err == nil {
			all = append(all, a)
			bytes[a] = len(c.Name) + len(c.Value)
			total += bytes[a]
		} else {
			names = append(names, c.Name)
		}
	}
	// The sort is stable: the one that is added counts as the newest also
	// where the clock says the same.
	all = append(all, added)
	slices.SortStableFunc(all, func(x, y *Attempt) int {
		if x.Foreign != y.Foreign {
			if x.Foreign {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Began.UnixMilli(), y.Began.UnixMilli())
	})
	for len(all) > Max || len(all) > 1 && total > maxBytes {
		total -= bytes[all[0]]
		names = append(names, b.Name(all[0].State))
		all = all[1:]
	}
	return names
}

// QuietTime is how long no silent sign-in is tried after one has failed.
const QuietTime = 5 * time.Minute

const quietSuffix = ".quiet"

// Quiet returns the cookie that says that a silent sign-in has just failed. A
// page that tries one each time it is shown would send people in circles.
func (b *Book) Quiet() (name, value string) {
	name = strings.TrimSuffix(b.prefix, ".tx.") + quietSuffix
	until := binary.BigEndian.AppendUint64(nil, uint64(b.now().Add(QuietTime).Unix()))
	return name, base64.RawURLEncoding.EncodeToString(b.ring.Box(name).Seal(nil, until))
}

// IsQuiet reports whether a silent sign-in has just failed in this browser.
func (b *Book) IsQuiet(r *http.Request) bool {
	name := strings.TrimSuffix(b.prefix, ".tx.") + quietSuffix
	for _, c := range r.CookiesNamed(name) {
		sealed, err := base64.RawURLEncoding.Strict().DecodeString(c.Value)
		if err != nil {
			continue
		}
		until, err := b.ring.Box(name).Open(nil, sealed)
		if err == nil && len(until) == 8 && uint64(b.now().Unix()) < binary.BigEndian.Uint64(until) {
			return true
		}
	}
	return false
}

// Flags of the binary form.
const (
	flagForeign = 1 << iota
	flagSilent
	flagMaxAge
	flagDemanded
)

const version = 2

// append writes the binary form; the state is the cookie's name.
func (a *Attempt) append(dst []byte) []byte {
	var flags byte
	for flag, set := range map[byte]bool{flagForeign: a.Foreign, flagSilent: a.Silent, flagMaxAge: a.MaxAgeAsked, flagDemanded: a.Demanded} {
		if set {
			flags |= flag
		}
	}
	dst = append(dst, version, flags)
	dst = binary.AppendVarint(dst, a.Began.UnixMilli())
	dst = binary.AppendUvarint(dst, uint64(a.MaxAge/time.Second))
	for _, s := range []string{a.Nonce, a.Verifier, strings.Join(a.ACR, " "), a.ReturnTo, a.Subject} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

func parse(b []byte) (*Attempt, bool) {
	if len(b) < 2 || b[0] != version {
		return nil, false
	}
	flags, rest := b[1], b[2:]
	began, n := binary.Varint(rest)
	if n <= 0 {
		return nil, false
	}
	rest = rest[n:]
	maxAge, n := binary.Uvarint(rest)
	if n <= 0 || maxAge > uint64(1<<63-1)/uint64(time.Second) {
		return nil, false
	}
	rest = rest[n:]
	var parts [5]string
	for i := range parts {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return nil, false
		}
		parts[i] = string(rest[n : n+int(length)])
		rest = rest[n+int(length):]
	}
	return &Attempt{
		Nonce: parts[0], Verifier: parts[1], ACR: strings.Fields(parts[2]), ReturnTo: parts[3], Subject: parts[4],
		Began: time.UnixMilli(began), Foreign: flags&flagForeign != 0, Silent: flags&flagSilent != 0,
		MaxAge: time.Duration(maxAge) * time.Second, MaxAgeAsked: flags&flagMaxAge != 0, Demanded: flags&flagDemanded != 0,
	}, len(rest) == 0
}
