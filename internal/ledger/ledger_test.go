package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/memory"
	"github.com/gosignin/signin/internal/record"
)

var kinds = []ledger.Kind{
	ledger.EndedSession, ledger.EndedProviderSession, ledger.EndedSubject, ledger.Next,
	ledger.Lock, ledger.Used, ledger.Revoked, ledger.LogoutToken, ledger.Probe,
}

func TestKeysAreOnePerKindIssuerClientAndValue(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, of := range [][2]string{
		{issuer, client}, {"https://other.test/oidc", client}, {issuer, "other"},
		{issuer + "a", "pp"}, {"", issuer + client}, // the same bytes, cut elsewhere
	} {
		l := open(t, newShared(), of[0], of[1])
		for _, kind := range kinds {
			for _, value := range []string{
				"", "a", "b", "aa", " revoked", "\x00", strings.Repeat("s", 255), strings.Repeat("s", 256), strings.Repeat("s", 5000),
			} {
				name := fmt.Sprintf("%q %q %.20q (%d)", of, kind, value, len(value))
				k := l.Key(kind, []byte(value))
				if other, twice := seen[k]; twice {
					t.Errorf("%s and %s have one key", name, other)
				}
				seen[k] = name
				if len(k) != ledger.KeyLen || k[0] != kind[0] || k[1] != '.' {
					t.Errorf("%s: got key %q; want %d bytes that begin with the kind's letter", name, k, ledger.KeyLen)
				}
				if len(value) > 2 && strings.Contains(k, value) {
					t.Errorf("%s: the key shows the value", name)
				}
				if again := l.Key(kind, []byte(value)); again != k {
					t.Errorf("%s: got %q, then %q; want the same key", name, k, again)
				}
			}
		}
	}
}

func TestGenerationsOfASessionAreDifferentValues(t *testing.T) {
	t.Parallel()
	a, b := record.ID{1}, record.ID{2}
	values := [][24]byte{
		ledger.Generation(a[:], 0), ledger.Generation(a[:], 1), ledger.Generation(a[:], 256),
		ledger.Generation(a[:], 1<<63), ledger.Generation(b[:], 0),
	}
	for i, v := range values {
		if j := slices.Index(values, v); j != i {
			t.Errorf("values %d and %d are the same", i, j)
		}
	}
}

func TestKeysOfASessionDifferByGenerationAndKind(t *testing.T) {
	t.Parallel()
	l := open(t, newShared(), issuer, client)
	seen := map[string]bool{}
	for _, id := range []record.ID{{1}, {2}, {15: 1}} {
		for _, generation := range []uint64{0, 1, 255, 256, 1<<24 - 1} {
			g := ledger.Generation(id[:], generation)
			for _, kind := range []ledger.Kind{ledger.Next, ledger.Lock, ledger.Revoked} {
				k := l.Key(kind, g[:])
				if seen[k] || len(k) != ledger.KeyLen {
					t.Errorf("%s %x %d: got %q; want a key of its own", kind, id, generation, k)
				}
				seen[k] = true
			}
		}
	}
}

func TestClass(t *testing.T) {
	t.Parallel()
	l := open(t, newShared(), issuer, client)
	want := map[ledger.Kind]memory.Class{
		ledger.EndedSession: memory.Kept, ledger.EndedProviderSession: memory.Kept,
		ledger.EndedSubject: memory.Kept, ledger.Next: memory.Kept, ledger.Lock: memory.Kept, ledger.LogoutToken: memory.Kept,
	}
	for _, kind := range kinds { // what is not named is memory.Ordinary
		if got := ledger.Class(l.Key(kind, []byte("v"))); got != want[kind] {
			t.Errorf("%q: got class %v; want %v", kind, got, want[kind])
		}
	}
	if got := ledger.Class("t." + strings.Repeat("x", 24)); got != memory.Cached {
		t.Errorf("a token's key: got class %v; want %v", got, memory.Cached)
	}
}

func TestKeysOfARecord(t *testing.T) {
	t.Parallel()
	l := open(t, newShared(), issuer, client)
	id := record.ID{15: 7}
	g := ledger.Generation(id[:], 3)
	next, session := l.Key(ledger.Next, g[:]), l.Key(ledger.EndedSession, id[:])
	sub, sid := l.Key(ledger.EndedSubject, []byte("u1")), l.Key(ledger.EndedProviderSession, []byte("s1"))
	for payload, want := range map[string][]string{
		both:           {next, session, sub, sid},
		`{"sub":"u1"}`: {next, session, sub},
		`{"sid":"s1"}`: {next, session, sid},
		`{}`:           {next, session},
	} {
		v := view(t, payload)
		if got := l.Keys(v); !slices.Equal(got, want) {
			t.Errorf("%s: got %q; want %q", payload, got, want)
		}
		joined, n := l.AppendKeys([]byte("before"), v)
		if n != len(want) || n > ledger.MaxKeys || string(joined) != "before"+strings.Join(want, "") {
			t.Errorf("%s: AppendKeys: got %q and %d; want them appended", payload, joined, n)
		}
	}
}

// Longer values than any known provider sends may allocate.
func TestAppendKeysAllocatesNothingButItsResult(t *testing.T) {
	l := open(t, newShared(), issuer, client)
	v := view(t, `{"sub":"`+strings.Repeat("u", 64)+`","sid":"s1"}`)
	dst := make([]byte, 0, ledger.MaxKeys*ledger.KeyLen)
	if got := testing.AllocsPerRun(100, func() { dst, _ = l.AppendKeys(dst[:0], v) }); got != 0 {
		t.Errorf("got %v allocations; want 0", got)
	}
}

// Row: which entries there are, and what they say of a session that began at start.
func TestLook(t *testing.T) {
	t.Parallel()
	id := record.ID{15: 7}
	const out, away, by = ledger.SignedOut, ledger.Replaced, ledger.ByProvider
	type entry struct {
		kind   ledger.Kind
		value  string
		reason ledger.Reason
		at     time.Duration // after start
	}
	session := func(r ledger.Reason, at time.Duration) entry {
		return entry{ledger.EndedSession, string(id[:]), r, at}
	}
	person := func(r ledger.Reason, at time.Duration) entry { return entry{ledger.EndedSubject, "u1", r, at} }
	provider := func(r ledger.Reason, at time.Duration) entry {
		return entry{ledger.EndedProviderSession, "s1", r, at}
	}
	ended := func(r ledger.Reason) ledger.Standing { return ledger.Standing{Ended: true, Reason: r} }
	for name, row := range map[string]struct {
		entries []entry
		want    ledger.Standing
	}{
		"nothing written":                                      {},
		"the session signed out":                               {[]entry{session(out, time.Second)}, ended(out)},
		"the session, with a clock set back":                   {[]entry{session(out, -time.Hour)}, ended(out)},
		"the subject after the sign-in began":                  {[]entry{person(out, time.Millisecond)}, ended(out)},
		"the subject at the millisecond the sign-in began":     {[]entry{person(out, 0)}, ended(out)},
		"the subject a millisecond before the sign-in began":   {[]entry{person(out, -time.Millisecond)}, ledger.Standing{}},
		"the provider session after the sign-in began":         {[]entry{provider(out, time.Hour)}, ended(out)},
		"the provider session at the moment the sign-in began": {[]entry{provider(out, 0)}, ended(out)},
		"the provider session before the sign-in began":        {[]entry{provider(out, -time.Millisecond)}, ledger.Standing{}},
		"replaced":                                      {[]entry{session(away, time.Second)}, ended(away)},
		"refused by the provider":                       {[]entry{session(by, time.Second)}, ended(by)},
		"replaced, then signed out by subject":          {[]entry{session(away, 1), person(out, time.Second)}, ended(out)},
		"replaced, then signed out by provider session": {[]entry{session(away, 1), provider(out, time.Second)}, ended(out)},
		"refused, and signed out elsewhere":             {[]entry{session(by, 1), provider(out, time.Second)}, ended(out)},
		"signed out, and an older replacement":          {[]entry{session(out, 1), person(away, time.Second)}, ended(out)},
		"replaced, and a sign-out before it began":      {[]entry{session(away, 1), person(out, -time.Second)}, ended(away)},
		"a reason of a later version":                   {[]entry{session('x', time.Second)}, ended(ledger.Unknown)},
		"somebody else's sign-out": {[]entry{
			{ledger.EndedSubject, "u2", out, 1}, {ledger.EndedProviderSession, "s2", out, 1},
			{ledger.EndedSession, "another session.", out, 1}, {ledger.EndedSubject, "s1", out, 1}, {ledger.EndedProviderSession, "u1", out, 1},
		}, ledger.Standing{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShared()
			l := open(t, s, issuer, client)
			for _, e := range row.entries {
				if err := l.End(t.Context(), e.kind, []byte(e.value), e.reason, start.Add(e.at)); err != nil {
					t.Fatalf("End: got error %v; want none", err)
				}
				if got := s.ttls[l.Key(e.kind, []byte(e.value))]; got != ttl {
					t.Errorf("End: got ttl %v; want %v", got, ttl)
				}
			}
			got, err := l.Look(t.Context(), l.Keys(view(t, both)), start)
			if err != nil || got.Ended != row.want.Ended || got.Reason != row.want.Reason || got.Superseded || got.Next != nil {
				t.Errorf("got %+v, %v; want %+v", got, err, row.want)
			}
			if got.Plain() == row.want.Ended {
				t.Errorf("Plain: got %v; want %v", got.Plain(), !row.want.Ended)
			}
		})
	}
}

func TestAnEndThatCannotBeReadIsAnEnd(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "s", "s1234567", "s12345678z", strings.Repeat("s", 100)} {
		for i := 1; i < 4; i++ {
			s := newShared()
			l := open(t, s, issuer, client)
			keys := l.Keys(view(t, both))
			s.values[keys[i]] = []byte(value)
			got, err := l.Look(t.Context(), keys, start)
			if err != nil || !got.Ended || got.Reason != ledger.Unknown {
				t.Errorf("%q under key %d: got %+v, %v; want it ended for an unknown reason", value, i, got, err)
			}
		}
	}
}

// A replica whose clock is slow must not revive what another has ended.
func TestAnEndIsNeverMovedBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []ledger.Kind{ledger.EndedProviderSession, ledger.EndedSubject} {
		s := newShared()
		l := open(t, s, issuer, client)
		key := l.Key(kind, []byte("x"))
		end := func(at time.Time) []byte {
			t.Helper()
			if err := l.End(t.Context(), kind, []byte("x"), ledger.SignedOut, at); err != nil {
				t.Fatalf("End: got error %v; want none", err)
			}
			return s.values[key]
		}
		first := end(start)
		if got := end(start.Add(-10 * time.Second)); !bytes.Equal(got, first) {
			t.Errorf("%s, a slow clock: got %x; want %x", kind, got, first)
		}
		if got := end(start.Add(time.Second)); bytes.Equal(got, first) {
			t.Errorf("%s, a later end: got %x; want it moved on", kind, got)
		}
		s.values[key] = []byte("garbage")
		if got := end(start); len(got) != 9 {
			t.Errorf("%s, an entry that cannot be read: got %x; want one that can", kind, got)
		}
		s.fail["Get"] = errors.New("down")
		if err := l.End(t.Context(), kind, []byte("x"), ledger.SignedOut, start); err == nil {
			t.Errorf("%s, shared state fails: got no error; want one", kind)
		}
	}
}

func TestSuccessors(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	id := record.ID{15: 7}
	v := view(t, both)
	secret := []byte("the successor, with its refresh token")

	if ok, err := l.AddNext(t.Context(), id[:], 3, secret); !ok || err != nil {
		t.Fatalf("AddNext: got %v, %v; want true", ok, err)
	}
	if ok, err := l.AddNext(t.Context(), id[:], 3, []byte("another")); ok || err != nil {
		t.Errorf("the second AddNext: got %v, %v; want false", ok, err)
	}
	got, err := l.Look(t.Context(), l.Keys(v), start)
	if err != nil || got.Next == nil || got.Superseded || got.Ended || got.Plain() {
		t.Fatalf("Look: got %+v, %v; want a successor", got, err)
	}
	if plain, err := l.OpenNext(id[:], 3, got.Next); err != nil || !bytes.Equal(plain, secret) {
		t.Errorf("OpenNext: got %q, %v; want the first that was added", plain, err)
	}
	for k, value := range s.values {
		if bytes.Contains(value, []byte("successor")) || s.ttls[k] != ttl {
			t.Errorf("%s: got %q for %v; want it sealed, for %v", k, value, s.ttls[k], ttl)
		}
	}

	if err := l.Supersede(t.Context(), id[:], 3); err != nil {
		t.Fatalf("Supersede: got error %v; want none", err)
	}
	if got, err := l.Look(t.Context(), l.Keys(v), start); err != nil || !got.Superseded || got.Next != nil || got.Plain() {
		t.Errorf("Look: got %+v, %v; want it superseded", got, err)
	}
	for k, value := range s.values {
		if len(value) > 1 || s.ttls[k] != ttl {
			t.Errorf("%s: got %q for %v; want a mark without tokens, for %v", k, value, s.ttls[k], ttl)
		}
	}
	if ok, err := l.AddNext(t.Context(), id[:], 3, secret); ok || err != nil {
		t.Errorf("AddNext of a superseded generation: got %v, %v; want false", ok, err)
	}
}

// CASES 5.9.
func TestASealedValueCopiedToAnotherKeyDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	id, other := record.ID{1}, record.ID{2}
	if _, err := l.AddNext(t.Context(), id[:], 3, []byte("plain")); err != nil {
		t.Fatalf("AddNext: got error %v; want none", err)
	}
	g := ledger.Generation(id[:], 3)
	sealed := s.values[l.Key(ledger.Next, g[:])]
	for name, attempt := range map[string]func() ([]byte, error){
		"another session":    func() ([]byte, error) { return l.OpenNext(other[:], 3, sealed) },
		"another generation": func() ([]byte, error) { return l.OpenNext(id[:], 4, sealed) },
		"another issuer": func() ([]byte, error) {
			return open(t, s, "https://other.test", client).OpenNext(id[:], 3, sealed)
		},
		"another client": func() ([]byte, error) { return open(t, s, issuer, "other").OpenNext(id[:], 3, sealed) },
		"another key":    func() ([]byte, error) { return open(t, s, issuer, client, key(9)).OpenNext(id[:], 3, sealed) },
		"an empty value": func() ([]byte, error) { return l.OpenNext(id[:], 3, []byte{}) },
		"a one-time value's purpose": func() ([]byte, error) {
			s.values[l.Key(ledger.Used, []byte("state"))] = sealed
			note, used, err := l.UsedNote(t.Context(), ledger.Used, []byte("state"))
			if !used || err != nil {
				t.Errorf("UsedNote: got %v, %v; want it used all the same", used, err)
			}
			if note != nil {
				return note, nil
			}
			return nil, errors.New("does not open")
		},
	} {
		if got, err := attempt(); err == nil {
			t.Errorf("%s: got %q; want an error", name, got)
		}
	}
	if got, err := open(t, s, issuer, client, key(9), key(1)).OpenNext(id[:], 3, sealed); err != nil || string(got) != "plain" {
		t.Errorf("with the key rotated: got %q, %v; want it to open", got, err)
	}
}

func TestOneTimeValues(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	value := []byte("state")
	if note, used, err := l.UsedNote(t.Context(), ledger.Used, value); note != nil || used || err != nil {
		t.Errorf("before: got %q, %v, %v; want it unused", note, used, err)
	}
	if first, err := l.Use(t.Context(), ledger.Used, value, []byte("/secret/page"), time.Minute); !first || err != nil {
		t.Errorf("the first use: got %v, %v; want true", first, err)
	}
	if first, err := l.Use(t.Context(), ledger.Used, value, []byte("/other"), time.Minute); first || err != nil {
		t.Errorf("the second use: got %v, %v; want false", first, err)
	}
	if first, err := l.Use(t.Context(), ledger.Revoked, value, nil, time.Minute); !first || err != nil {
		t.Errorf("the same value of another kind: got %v, %v; want true", first, err)
	}
	if note, used, err := l.UsedNote(t.Context(), ledger.Used, value); string(note) != "/secret/page" || !used || err != nil {
		t.Errorf("after: got %q, %v, %v; want the first note", note, used, err)
	}
	for k, v := range s.values {
		if bytes.Contains(v, []byte("page")) || s.ttls[k] != time.Minute {
			t.Errorf("%s: got %q for %v; want it sealed, for a minute", k, v, s.ttls[k])
		}
	}
}

func TestLocks(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	id := record.ID{1}
	try := func(generation uint64, want bool) {
		t.Helper()
		if ok, err := l.TryLock(t.Context(), id[:], generation, 30*time.Second); ok != want || err != nil {
			t.Errorf("TryLock of generation %d: got %v, %v; want %v", generation, ok, err, want)
		}
	}
	try(1, true)
	try(1, false)
	try(2, true)
	for k := range s.values {
		if s.ttls[k] != 30*time.Second {
			t.Errorf("got a lock for %v; want it for the lease", s.ttls[k])
		}
	}
	if err := l.Unlock(t.Context(), id[:], 1); err != nil {
		t.Errorf("Unlock: got error %v; want none", err)
	}
	try(2, false)
	try(1, true)
}

func TestCheckLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newShared()
	if err := open(t, s, issuer, client).Check(t.Context()); err != nil || len(s.values) != 0 {
		t.Errorf("got %v and %d entries; want no error and nothing left", err, len(s.values))
	}
	for name, answer := range map[string]func([][]byte) [][]byte{
		"loses what it is given": func(v [][]byte) [][]byte { return make([][]byte, len(v)) },
		"gives something else":   func(v [][]byte) [][]byte { return [][]byte{{1}} },
	} {
		s := newShared()
		s.answer = answer
		err := open(t, s, issuer, client).Check(t.Context())
		if err == nil || strings.Contains(err.Error(), "%!") {
			t.Errorf("shared state that %s: got %v; want an error that can be read", name, err)
		}
	}
}

// Row: an operation of shared state fails, or answers with a wrong number of
// values, and so does the one of the ledger.
func TestSharedStateThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	id := record.ID{1}
	calls := map[string]func(context.Context, *ledger.Ledger) error{
		"Get Look": func(ctx context.Context, l *ledger.Ledger) error {
			s, err := l.Look(ctx, l.Keys(view(t, both)), start)
			if !s.Plain() {
				t.Errorf("Look: got %+v beside an error; want nothing", s)
			}
			return err
		},
		"Get UsedNote": func(ctx context.Context, l *ledger.Ledger) error {
			_, used, err := l.UsedNote(ctx, ledger.Used, []byte("v"))
			if used {
				t.Error("UsedNote: got used beside an error; want false")
			}
			return err
		},
		"Get Check":    func(ctx context.Context, l *ledger.Ledger) error { return l.Check(ctx) },
		"Set Check":    func(ctx context.Context, l *ledger.Ledger) error { return l.Check(ctx) },
		"Delete Check": func(ctx context.Context, l *ledger.Ledger) error { return l.Check(ctx) },
		"Set End": func(ctx context.Context, l *ledger.Ledger) error {
			return l.End(ctx, ledger.EndedSubject, []byte("u1"), ledger.SignedOut, start)
		},
		"Set Supersede": func(ctx context.Context, l *ledger.Ledger) error { return l.Supersede(ctx, id[:], 1) },
		"Add AddNext": func(ctx context.Context, l *ledger.Ledger) error {
			_, err := l.AddNext(ctx, id[:], 1, []byte("plain"))
			return err
		},
		"Add Use": func(ctx context.Context, l *ledger.Ledger) error {
			_, err := l.Use(ctx, ledger.Used, []byte("v"), nil, ttl)
			return err
		},
		"Add TryLock": func(ctx context.Context, l *ledger.Ledger) error {
			_, err := l.TryLock(ctx, id[:], 1, ttl)
			return err
		},
		"Delete Unlock": func(ctx context.Context, l *ledger.Ledger) error { return l.Unlock(ctx, id[:], 1) },
	}
	for name, call := range calls {
		operation, _, _ := strings.Cut(name, " ")
		s := newShared()
		s.fail[operation] = down
		if err := call(t.Context(), open(t, s, issuer, client)); !errors.Is(err, down) || !strings.HasPrefix(err.Error(), "signin: ") {
			t.Errorf("%s: got %v; want the failure wrapped", name, err)
		}
		if operation != "Get" {
			continue
		}
		for what, answer := range map[string]func([][]byte) [][]byte{
			"too few values":  func(v [][]byte) [][]byte { return v[1:] },
			"too many values": func(v [][]byte) [][]byte { return append(v, nil) },
			"no values":       func([][]byte) [][]byte { return nil },
		} {
			s := newShared()
			s.answer = answer
			if err := call(t.Context(), open(t, s, issuer, client)); err == nil {
				t.Errorf("%s, %s: got no error; want one", name, what)
			}
		}
	}
}

func TestNewRefusesKeysThatAreTooShort(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{"none": nil, "16 bytes": {make([]byte, 16)}} {
		if _, err := ledger.New(newShared(), keys, issuer, client, ttl); err == nil {
			t.Errorf("%s: got no error; want one", name)
		}
	}
}
