package sharedstate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

var kinds = []sharedstate.Kind{
	sharedstate.EndedSession, sharedstate.EndedProviderSession, sharedstate.EndedSubject, sharedstate.Successor,
	sharedstate.Lease, sharedstate.Used, sharedstate.Revoked, sharedstate.LogoutToken, sharedstate.Probe,
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
				if len(k) != sharedstate.KeyLen || k[0] != kind[0] || k[1] != '.' {
					t.Errorf("%s: got key %q; want %d bytes that begin with the kind's letter", name, k, sharedstate.KeyLen)
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

func TestKeysOfASessionDifferByGenerationAndKind(t *testing.T) {
	t.Parallel()
	l := open(t, newShared(), issuer, client)
	seen := map[string]bool{}
	for _, id := range []session.ID{{1}, {2}, {15: 1}} {
		for _, generation := range []uint64{0, 1, 255, 256, 1<<24 - 1} {
			for _, kind := range []sharedstate.Kind{sharedstate.Successor, sharedstate.Lease, sharedstate.Revoked} {
				k := l.GenerationKey(kind, id, generation)
				if seen[k] || len(k) != sharedstate.KeyLen {
					t.Errorf("%s %x %d: got %q; want a key of its own", kind, id, generation, k)
				}
				seen[k] = true
			}
		}
	}
}

func TestKeysTellWhatMustNotBeDropped(t *testing.T) {
	t.Parallel()
	l := open(t, newShared(), issuer, client)
	kept := []sharedstate.Kind{
		sharedstate.EndedSession, sharedstate.EndedProviderSession, sharedstate.EndedSubject,
		sharedstate.Successor, sharedstate.Lease, sharedstate.LogoutToken,
	}
	for _, kind := range append(kinds, sharedstate.Token) {
		key := l.Key(kind, []byte("v"))
		if got, want := sharedstate.Kept(key), slices.Contains(kept, kind); got != want {
			t.Errorf("%q: got kept %t; want %t", kind, got, want)
		}
		if got, want := sharedstate.Cached(key), kind == sharedstate.Token; got != want {
			t.Errorf("%q: got cached %t; want %t", kind, got, want)
		}
	}
}

func TestLook_KeysOfASession(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	id := session.ID{15: 7}
	next, ended := l.GenerationKey(sharedstate.Successor, id, 3), l.Key(sharedstate.EndedSession, id[:])
	sub, sid := l.Key(sharedstate.EndedSubject, []byte("u1")), l.Key(sharedstate.EndedProviderSession, []byte("s1"))
	for payload, want := range map[string][]string{
		both:           {next, ended, sub, sid},
		`{"sub":"u1"}`: {next, ended, sub},
		`{"sid":"s1"}`: {next, ended, sid},
		`{}`:           {next, ended},
	} {
		var got []string
		s.asked = func(keys []string) { got = append(got, keys...) }
		if _, err := l.Look(t.Context(), with(t, payload)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v; want %q", payload, got, err, want)
		}
	}
}

// Row: which entries there are, and what they say of a session that began at start.
func TestLook(t *testing.T) {
	t.Parallel()
	id := session.ID{15: 7}
	const out, away, by = sharedstate.SignedOut, sharedstate.Replaced, sharedstate.ByProvider
	type entry struct {
		kind   sharedstate.Kind
		value  string
		reason sharedstate.Reason
		at     time.Duration // after start
	}
	session := func(r sharedstate.Reason, at time.Duration) entry {
		return entry{sharedstate.EndedSession, string(id[:]), r, at}
	}
	person := func(r sharedstate.Reason, at time.Duration) entry {
		return entry{sharedstate.EndedSubject, "u1", r, at}
	}
	provider := func(r sharedstate.Reason, at time.Duration) entry {
		return entry{sharedstate.EndedProviderSession, "s1", r, at}
	}
	ended := func(r sharedstate.Reason) sharedstate.Standing { return sharedstate.Standing{Ended: true, Reason: r} }
	for name, row := range map[string]struct {
		entries []entry
		want    sharedstate.Standing
	}{
		"nothing written":                                      {},
		"the session signed out":                               {[]entry{session(out, time.Second)}, ended(out)},
		"the session, with a clock set back":                   {[]entry{session(out, -time.Hour)}, ended(out)},
		"the subject after the sign-in began":                  {[]entry{person(out, time.Millisecond)}, ended(out)},
		"the subject at the millisecond the sign-in began":     {[]entry{person(out, 0)}, ended(out)},
		"the subject a millisecond before the sign-in began":   {[]entry{person(out, -time.Millisecond)}, sharedstate.Standing{}},
		"the provider session after the sign-in began":         {[]entry{provider(out, time.Hour)}, ended(out)},
		"the provider session at the moment the sign-in began": {[]entry{provider(out, 0)}, ended(out)},
		"the provider session before the sign-in began":        {[]entry{provider(out, -time.Millisecond)}, sharedstate.Standing{}},
		"replaced":                                      {[]entry{session(away, time.Second)}, ended(away)},
		"refused by the provider":                       {[]entry{session(by, time.Second)}, ended(by)},
		"replaced, then signed out by subject":          {[]entry{session(away, 1), person(out, time.Second)}, ended(out)},
		"replaced, then signed out by provider session": {[]entry{session(away, 1), provider(out, time.Second)}, ended(out)},
		"refused, and signed out elsewhere":             {[]entry{session(by, 1), provider(out, time.Second)}, ended(out)},
		"signed out, and an older replacement":          {[]entry{session(out, 1), person(away, time.Second)}, ended(out)},
		"replaced, and a sign-out before it began":      {[]entry{session(away, 1), person(out, -time.Second)}, ended(away)},
		"a reason of a later version":                   {[]entry{session('x', time.Second)}, ended(sharedstate.Unknown)},
		"somebody else's sign-out": {[]entry{
			{sharedstate.EndedSubject, "u2", out, 1}, {sharedstate.EndedProviderSession, "s2", out, 1},
			{sharedstate.EndedSession, "another session.", out, 1}, {sharedstate.EndedSubject, "s1", out, 1}, {sharedstate.EndedProviderSession, "u1", out, 1},
		}, sharedstate.Standing{}},
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
			got, err := l.Look(t.Context(), with(t, both))
			if err != nil || got.Ended != row.want.Ended || got.Reason != row.want.Reason || got.Superseded || got.Successor != nil {
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
		for i := range 3 {
			s := newShared()
			l := open(t, s, issuer, client)
			v := with(t, both)
			keys := []string{
				l.Key(sharedstate.EndedSession, v.ID[:]),
				l.Key(sharedstate.EndedSubject, []byte("u1")), l.Key(sharedstate.EndedProviderSession, []byte("s1")),
			}
			s.values[keys[i]] = []byte(value)
			got, err := l.Look(t.Context(), v)
			if err != nil || !got.Ended || got.Reason != sharedstate.Unknown {
				t.Errorf("%q under end %d: got %+v, %v; want it ended for an unknown reason", value, i, got, err)
			}
		}
	}
}

// A replica whose clock is slow must not revive what another has ended.
func TestAnEndIsNeverMovedBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []sharedstate.Kind{sharedstate.EndedProviderSession, sharedstate.EndedSubject} {
		s := newShared()
		l := open(t, s, issuer, client)
		key := l.Key(kind, []byte("x"))
		end := func(at time.Time) []byte {
			t.Helper()
			if err := l.End(t.Context(), kind, []byte("x"), sharedstate.SignedOut, at); err != nil {
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
		if err := l.End(t.Context(), kind, []byte("x"), sharedstate.SignedOut, start); err == nil {
			t.Errorf("%s, shared state fails: got no error; want one", kind)
		}
	}
}

func TestSuccessors(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	v := with(t, both)
	next := successorTo(v, "the successor's refresh token")

	if ok, err := l.AddSuccessor(t.Context(), v, next); !ok || err != nil {
		t.Fatalf("AddSuccessor: got %v, %v; want true", ok, err)
	}
	if ok, err := l.AddSuccessor(t.Context(), v, successorTo(v, "another")); ok || err != nil {
		t.Errorf("the second AddSuccessor: got %v, %v; want false", ok, err)
	}
	got, err := l.Look(t.Context(), v)
	if err != nil || got.Successor == nil || got.Superseded || got.Ended || got.Plain() {
		t.Fatalf("Look: got %+v, %v; want a successor", got, err)
	}
	if opened, err := l.Successor(v, got.Successor); err != nil || !reflect.DeepEqual(opened, next) {
		t.Errorf("Successor: got %+v, %v; want the first that was added", opened, err)
	}
	for k, value := range s.values {
		if bytes.Contains(value, []byte("successor")) || s.ttls[k] != ttl {
			t.Errorf("%s: got %q for %v; want it sealed, for %v", k, value, s.ttls[k], ttl)
		}
	}

	if err := l.Supersede(t.Context(), v.ID, 3); err != nil {
		t.Fatalf("Supersede: got error %v; want none", err)
	}
	if got, err := l.Look(t.Context(), v); err != nil || !got.Superseded || got.Successor != nil || got.Plain() {
		t.Errorf("Look: got %+v, %v; want it superseded", got, err)
	}
	for k, value := range s.values {
		if len(value) > 1 || s.ttls[k] != ttl {
			t.Errorf("%s: got %q for %v; want a mark without tokens, for %v", k, value, s.ttls[k], ttl)
		}
	}
	if ok, err := l.AddSuccessor(t.Context(), v, next); ok || err != nil {
		t.Errorf("AddSuccessor of a superseded generation: got %v, %v; want false", ok, err)
	}
	if ok, err := l.AddSuccessor(t.Context(), v, successorTo(v, strings.Repeat("x", 70_000))); ok || !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("AddSuccessor of a session that is too large: got %v, %v; want ErrTooLarge", ok, err)
	}
}

// CASES 5.9.
func TestASealedValueCopiedToAnotherKeyDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	v := with(t, both)
	next := successorTo(v, "r")
	if _, err := l.AddSuccessor(t.Context(), v, next); err != nil {
		t.Fatalf("AddSuccessor: got error %v; want none", err)
	}
	sealed := s.values[l.GenerationKey(sharedstate.Successor, v.ID, 3)]
	other := *v
	other.ID = session.ID{2}
	type opener func() (*session.Session, error)
	for name, attempt := range map[string]opener{
		"another session":    func() (*session.Session, error) { return l.Successor(&other, sealed) },
		"another generation": func() (*session.Session, error) { return l.Successor(next, sealed) },
		"another issuer": func() (*session.Session, error) {
			return open(t, s, "https://other.test", client).Successor(v, sealed)
		},
		"another client": func() (*session.Session, error) { return open(t, s, issuer, "other").Successor(v, sealed) },
		"another key":    func() (*session.Session, error) { return open(t, s, issuer, client, key(9)).Successor(v, sealed) },
		"an empty value": func() (*session.Session, error) { return l.Successor(v, []byte{}) },
	} {
		if got, err := attempt(); err == nil {
			t.Errorf("%s: got %+v; want an error", name, got)
		}
	}
	s.values[l.Key(sharedstate.Used, []byte("state"))] = sealed
	if note, used, err := l.UsedNote(t.Context(), sharedstate.Used, []byte("state")); note != nil || !used || err != nil {
		t.Errorf("as a one-time value: got %q, %v, %v; want it used, without a note", note, used, err)
	}
	if got, err := open(t, s, issuer, client, key(9), key(1)).Successor(v, sealed); err != nil || !reflect.DeepEqual(got, next) {
		t.Errorf("with the key rotated: got %+v, %v; want it to open", got, err)
	}
}

// What opens, and is not this session's next generation, is not its successor.
func TestASuccessorOfAnotherGenerationIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*session.Session){
		"another session":           func(s *session.Session) { s.ID[0]++ },
		"the same generation":       func(s *session.Session) { s.Generation-- },
		"the generation after next": func(s *session.Session) { s.Generation++ },
	} {
		s := newShared()
		l := open(t, s, issuer, client)
		v := with(t, both)
		next := successorTo(v, "r")
		change(next)
		if _, err := l.AddSuccessor(t.Context(), v, next); err != nil {
			t.Fatalf("AddSuccessor: got error %v; want none", err)
		}
		if got, err := l.Successor(v, s.values[l.GenerationKey(sharedstate.Successor, v.ID, 3)]); err == nil {
			t.Errorf("%s: got %+v; want it refused", name, got)
		}
	}
}

func TestOneTimeValues(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	value := []byte("state")
	if note, used, err := l.UsedNote(t.Context(), sharedstate.Used, value); note != nil || used || err != nil {
		t.Errorf("before: got %q, %v, %v; want it unused", note, used, err)
	}
	if first, err := l.Use(t.Context(), sharedstate.Used, value, []byte("/secret/page"), time.Minute); !first || err != nil {
		t.Errorf("the first use: got %v, %v; want true", first, err)
	}
	if first, err := l.Use(t.Context(), sharedstate.Used, value, []byte("/other"), time.Minute); first || err != nil {
		t.Errorf("the second use: got %v, %v; want false", first, err)
	}
	if first, err := l.Use(t.Context(), sharedstate.LogoutToken, value, nil, time.Minute); !first || err != nil {
		t.Errorf("the same value of another kind: got %v, %v; want true", first, err)
	}
	if note, used, err := l.UsedNote(t.Context(), sharedstate.Used, value); string(note) != "/secret/page" || !used || err != nil {
		t.Errorf("after: got %q, %v, %v; want the first note", note, used, err)
	}
	for k, v := range s.values {
		if bytes.Contains(v, []byte("page")) || s.ttls[k] != time.Minute {
			t.Errorf("%s: got %q for %v; want it sealed, for a minute", k, v, s.ttls[k])
		}
	}
}

func TestRevoked(t *testing.T) {
	t.Parallel()
	s := newShared()
	l, v := open(t, s, issuer, client), with(t, both)
	for i, want := range []bool{true, false} {
		if first, err := l.Revoked(t.Context(), v); first != want || err != nil {
			t.Errorf("note %d: got %v, %v; want %v", i, first, err, want)
		}
	}
	if first, err := l.Revoked(t.Context(), successorTo(v, "")); !first || err != nil {
		t.Errorf("the next generation: got %v, %v; want true", first, err)
	}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	s := newShared()
	l := open(t, s, issuer, client)
	of := func(generation uint64) *session.Session {
		return &session.Session{ID: session.ID{1}, Generation: generation}
	}
	try := func(generation uint64, want bool) {
		t.Helper()
		if ok, err := l.TakeLease(t.Context(), of(generation), 30*time.Second); ok != want || err != nil {
			t.Errorf("TakeLease of generation %d: got %v, %v; want %v", generation, ok, err, want)
		}
	}
	try(1, true)
	try(1, false)
	try(2, true)
	for k := range s.values {
		if s.ttls[k] != 30*time.Second {
			t.Errorf("got a lease of %v; want half a minute", s.ttls[k])
		}
	}
	if err := l.ReleaseLease(t.Context(), of(1)); err != nil {
		t.Errorf("ReleaseLease: got error %v; want none", err)
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
// values, and so does the one of the sharedstate.
func TestSharedStateThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	id := session.ID{1}
	calls := map[string]func(context.Context, *sharedstate.State) error{
		"Get Look": func(ctx context.Context, l *sharedstate.State) error {
			s, err := l.Look(ctx, with(t, both))
			if !s.Plain() {
				t.Errorf("Look: got %+v beside an error; want nothing", s)
			}
			return err
		},
		"Get UsedNote": func(ctx context.Context, l *sharedstate.State) error {
			_, used, err := l.UsedNote(ctx, sharedstate.Used, []byte("v"))
			if used {
				t.Error("UsedNote: got used beside an error; want false")
			}
			return err
		},
		"Get Check":    func(ctx context.Context, l *sharedstate.State) error { return l.Check(ctx) },
		"Set Check":    func(ctx context.Context, l *sharedstate.State) error { return l.Check(ctx) },
		"Delete Check": func(ctx context.Context, l *sharedstate.State) error { return l.Check(ctx) },
		"Set End": func(ctx context.Context, l *sharedstate.State) error {
			return l.End(ctx, sharedstate.EndedSubject, []byte("u1"), sharedstate.SignedOut, start)
		},
		"Set Supersede": func(ctx context.Context, l *sharedstate.State) error { return l.Supersede(ctx, id, 1) },
		"Add AddSuccessor": func(ctx context.Context, l *sharedstate.State) error {
			v := with(t, both)
			_, err := l.AddSuccessor(ctx, v, successorTo(v, "r"))
			return err
		},
		"Add Use": func(ctx context.Context, l *sharedstate.State) error {
			_, err := l.Use(ctx, sharedstate.Used, []byte("v"), nil, ttl)
			return err
		},
		"Add TakeLease": func(ctx context.Context, l *sharedstate.State) error {
			_, err := l.TakeLease(ctx, with(t, both), ttl)
			return err
		},
		"Delete ReleaseLease": func(ctx context.Context, l *sharedstate.State) error { return l.ReleaseLease(ctx, with(t, both)) },
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
		if _, err := sharedstate.New(newShared(), keys, issuer, client, ttl); err == nil {
			t.Errorf("%s: got no error; want one", name)
		}
	}
}
