package sharedstate_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

const (
	out  = sharedstate.SignedOut
	away = sharedstate.Replaced
	by   = sharedstate.ByProvider
)

// A session began at start. Ends are given as kind and value, why, and how long
// after start.
func TestLook(t *testing.T) {
	type entry struct {
		kind   sharedstate.Kind
		value  string
		reason sharedstate.Reason
		at     time.Duration
	}
	id := string(with(t, both).ID[:])
	ended := func(r sharedstate.Reason, at time.Duration) entry { return entry{sharedstate.EndedSession, id, r, at} }
	person := func(r sharedstate.Reason, at time.Duration) entry {
		return entry{sharedstate.EndedSubject, "u1", r, at}
	}
	elsewhere := func(r sharedstate.Reason, at time.Duration) entry {
		return entry{sharedstate.EndedProviderSession, "s1", r, at}
	}
	for name, row := range map[string]struct {
		entries []entry
		want    sharedstate.Reason // 0 if it has not ended
	}{
		"nothing written":                                      {},
		"the session signed out":                               {[]entry{ended(out, time.Second)}, out},
		"the session, with a clock set back":                   {[]entry{ended(out, -time.Hour)}, out},
		"the subject after the sign-in began":                  {[]entry{person(out, time.Millisecond)}, out},
		"the subject at the millisecond the sign-in began":     {[]entry{person(out, 0)}, out},
		"the subject a millisecond before the sign-in began":   {[]entry{person(out, -time.Millisecond)}, 0},
		"the provider session after the sign-in began":         {[]entry{elsewhere(out, time.Hour)}, out},
		"the provider session at the moment the sign-in began": {[]entry{elsewhere(out, 0)}, out},
		"the provider session before the sign-in began":        {[]entry{elsewhere(out, -time.Millisecond)}, 0},
		"replaced":                                      {[]entry{ended(away, time.Second)}, away},
		"refused by the provider":                       {[]entry{ended(by, time.Second)}, by},
		"replaced, then signed out by subject":          {[]entry{ended(away, 1), person(out, time.Second)}, out},
		"replaced, then signed out by provider session": {[]entry{ended(away, 1), elsewhere(out, time.Second)}, out},
		"refused, and signed out elsewhere":             {[]entry{ended(by, 1), elsewhere(out, time.Second)}, out},
		"signed out, and an older replacement":          {[]entry{ended(out, 1), person(away, time.Second)}, out},
		"replaced, and a sign-out before it began":      {[]entry{ended(away, 1), person(out, -time.Second)}, away},
		"a reason of a later version":                   {[]entry{ended('x', time.Second)}, sharedstate.Unknown},
		"another person's sign-out": {[]entry{
			{sharedstate.EndedSubject, "u2", out, 1}, {sharedstate.EndedProviderSession, "s2", out, 1},
			{sharedstate.EndedSession, "another session.", out, 1},
			{sharedstate.EndedSubject, "s1", out, 1}, {sharedstate.EndedProviderSession, "u1", out, 1},
		}, 0},
	} {
		s := newShared()
		st := open(t, s, issuer, client)
		for _, e := range row.entries {
			end(t, st, e.kind, e.value, e.reason, start.Add(e.at))
			if got := s.ttls[st.Key(e.kind, []byte(e.value))]; got != ttl {
				t.Errorf("%s: got ttl %v; want %v", name, got, ttl)
			}
		}
		got, err := st.Look(t.Context(), with(t, both))
		want := sharedstate.Standing{Ended: row.want != 0, Reason: row.want}
		if err != nil || !reflect.DeepEqual(got, want) || got.Plain() == want.Ended {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestLook_UnreadableEnd(t *testing.T) {
	v := with(t, both)
	for _, value := range []string{"", "s", "s1234567", "s12345678z"} {
		for kind, of := range map[sharedstate.Kind]string{
			sharedstate.EndedSession: string(v.ID[:]), sharedstate.EndedSubject: "u1", sharedstate.EndedProviderSession: "s1",
		} {
			s := newShared()
			st := open(t, s, issuer, client)
			s.values[st.Key(kind, []byte(of))] = []byte(value)
			if got, err := st.Look(t.Context(), v); err != nil || !got.Ended || got.Reason != sharedstate.Unknown {
				t.Errorf("%q as %s: got %+v, %v; want it ended for an unknown reason", value, kind, got, err)
			}
		}
	}
}

// A replica whose clock is slow must not revive what another has ended.
func TestEnd_KnownEnd(t *testing.T) {
	for _, kind := range []sharedstate.Kind{sharedstate.EndedProviderSession, sharedstate.EndedSubject} {
		for _, row := range []struct {
			name     string
			known    any // a time, or a value
			at, want time.Duration
		}{
			{"an earlier one is moved on", start, time.Second, time.Second},
			{"a later one stays", start, -10 * time.Second, 0},
			{"one that cannot be read does not end later sessions for good", "?", 0, 0},
		} {
			s := newShared()
			st := open(t, s, issuer, client)
			key := st.Key(kind, []byte("x"))
			if at, ok := row.known.(time.Time); ok {
				end(t, st, kind, "x", out, at)
			} else {
				s.values[key] = []byte(row.known.(string))
			}
			end(t, st, kind, "x", out, start.Add(row.at))
			got := s.values[key]
			if len(got) != 9 || !time.UnixMilli(int64(binary.BigEndian.Uint64(got[1:]))).Equal(start.Add(row.want)) {
				t.Errorf("%s, %s: got %x; want what began by %v ended", kind, row.name, got, start.Add(row.want))
			}
		}
	}
}

func TestSuccessor(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s, issuer, client)
	next := successorTo(v, "the successor's refresh token")
	add(t, st, v, next)
	if ok, err := st.AddSuccessor(t.Context(), v, successorTo(v, "another")); ok || err != nil {
		t.Errorf("the second AddSuccessor: got %v, %v; want false", ok, err)
	}
	got, err := st.Look(t.Context(), v)
	if err != nil || got.Successor == nil || got.Superseded || got.Ended || got.Plain() {
		t.Fatalf("Look: got %+v, %v; want a successor", got, err)
	}
	if opened, err := st.Successor(v, got.Successor); err != nil || !reflect.DeepEqual(opened, next) {
		t.Errorf("Successor: got %+v, %v; want the first that was added", opened, err)
	}
	for k, value := range s.values {
		if bytes.Contains(value, []byte("successor")) || s.ttls[k] != ttl {
			t.Errorf("%s: got %q for %v; want it sealed, for %v", k, value, s.ttls[k], ttl)
		}
	}
	noError(t, st.Supersede(t.Context(), v.ID, 3))
	if got, err := st.Look(t.Context(), v); err != nil || !got.Superseded || got.Successor != nil || got.Plain() {
		t.Errorf("Look: got %+v, %v; want it superseded", got, err)
	}
	for k, value := range s.values {
		if len(value) > 1 || s.ttls[k] != ttl {
			t.Errorf("%s: got %q for %v; want a mark without tokens, for %v", k, value, s.ttls[k], ttl)
		}
	}
	if ok, err := st.AddSuccessor(t.Context(), v, next); ok || err != nil {
		t.Errorf("AddSuccessor of a superseded generation: got %v, %v; want false", ok, err)
	}
	if ok, err := st.AddSuccessor(t.Context(), v, successorTo(v, strings.Repeat("x", 70_000))); ok || !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("AddSuccessor of a session that is too large: got %v, %v; want ErrTooLarge", ok, err)
	}
}

func TestSuccessor_Refused(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s, issuer, client)
	place := st.GenerationKey(sharedstate.Successor, v.ID, 3)
	next := successorTo(v, "r")
	add(t, st, v, next)
	sealed := s.values[place]
	refused := func(name string, st *sharedstate.State, of *session.Session, sealed []byte) {
		t.Helper()
		if got, err := st.Successor(of, sealed); err == nil {
			t.Errorf("%s: got %+v; want an error", name, got)
		}
	}
	refused("copied to another session", st, changed(v, func(s *session.Session) { s.ID[0]++ }), sealed)
	refused("copied to another generation", st, next, sealed)
	refused("of another issuer", open(t, s, "https://other.test", client), v, sealed)
	refused("of another client", open(t, s, issuer, "other"), v, sealed)
	refused("sealed with another key", open(t, s, issuer, client, key(9)), v, sealed)
	refused("an empty value", st, v, []byte{})
	if got, err := open(t, s, issuer, client, key(9), key(1)).Successor(v, sealed); err != nil || !reflect.DeepEqual(got, next) {
		t.Errorf("with the key rotated: got %+v, %v; want it to open", got, err)
	}
	// What opens, but is not the next generation of this session.
	for name, change := range map[string]func(*session.Session){
		"another session":           func(s *session.Session) { s.ID[0]++ },
		"the same generation":       func(s *session.Session) { s.Generation-- },
		"the generation after next": func(s *session.Session) { s.Generation++ },
	} {
		delete(s.values, place)
		add(t, st, v, changed(next, change))
		refused(name, st, v, s.values[place])
	}
	// As the note of a one-time value it does not open either.
	s.values[st.Key(sharedstate.Used, []byte("state"))] = sealed
	if note, used, err := st.UsedNote(t.Context(), sharedstate.Used, []byte("state")); note != nil || !used || err != nil {
		t.Errorf("as a one-time value: got %q, %v, %v; want it used, without a note", note, used, err)
	}
}

func TestUse(t *testing.T) {
	s := newShared()
	st, value := open(t, s, issuer, client), []byte("state")
	if note, used, err := st.UsedNote(t.Context(), sharedstate.Used, value); note != nil || used || err != nil {
		t.Errorf("before: got %q, %v, %v; want it unused", note, used, err)
	}
	for _, row := range []struct {
		name, note string
		kind       sharedstate.Kind
		want       bool
	}{
		{"the first use", "/secret/page", sharedstate.Used, true},
		{"the second use", "/other", sharedstate.Used, false},
		{"the same value of another kind", "", sharedstate.LogoutToken, true},
	} {
		if first, err := st.Use(t.Context(), row.kind, value, []byte(row.note), time.Minute); first != row.want || err != nil {
			t.Errorf("%s: got %v, %v; want %v", row.name, first, err, row.want)
		}
	}
	if note, used, err := st.UsedNote(t.Context(), sharedstate.Used, value); string(note) != "/secret/page" || !used || err != nil {
		t.Errorf("after: got %q, %v, %v; want the first note", note, used, err)
	}
	for k, v := range s.values {
		if bytes.Contains(v, []byte("page")) || s.ttls[k] != time.Minute {
			t.Errorf("%s: got %q for %v; want it sealed, for a minute", k, v, s.ttls[k])
		}
	}
}

func TestRevoked(t *testing.T) {
	st, v := open(t, newShared(), issuer, client), with(t, both)
	for i, s := range []*session.Session{v, v, successorTo(v, "")} {
		if first, err := st.Revoked(t.Context(), s); first != (i != 1) || err != nil {
			t.Errorf("note %d: got %v, %v; want %v", i, first, err, i != 1)
		}
	}
}

func TestLease(t *testing.T) {
	s := newShared()
	st := open(t, s, issuer, client)
	try := func(generation uint64, want bool) {
		t.Helper()
		ok, err := st.TakeLease(t.Context(), &session.Session{ID: session.ID{1}, Generation: generation}, 30*time.Second)
		if ok != want || err != nil {
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
	noError(t, st.ReleaseLease(t.Context(), &session.Session{ID: session.ID{1}, Generation: 1}))
	try(2, false)
	try(1, true)
}

func TestCheck(t *testing.T) {
	s := newShared()
	if err := open(t, s, issuer, client).Check(t.Context()); err != nil || len(s.values) != 0 {
		t.Errorf("got %v and %d entries; want no error and nothing left", err, len(s.values))
	}
	for name, answer := range map[string]func([][]byte) [][]byte{
		"loses what it is given": func(v [][]byte) [][]byte { return make([][]byte, len(v)) },
		"gives something else":   func([][]byte) [][]byte { return [][]byte{{1}} },
	} {
		s.answer = answer
		err := open(t, s, issuer, client).Check(t.Context())
		if err == nil || strings.Contains(err.Error(), "%!") {
			t.Errorf("shared state that %s: got %v; want an error that can be read", name, err)
		}
	}
}

func TestState_StoreFails(t *testing.T) {
	ctx, down := t.Context(), errors.New("connection refused")
	calls := func(s *shared) map[string]func() (any, error) {
		st, v := open(t, s, issuer, client), with(t, both)
		none := func(err error) (any, error) { return nil, err }
		check := func() (any, error) { return none(st.Check(ctx)) }
		return map[string]func() (any, error){
			"Get Look": func() (any, error) { return st.Look(ctx, v) },
			"Get LookForToken": func() (any, error) {
				standing, token, err := st.LookForToken(ctx, v, session.Audience{})
				return !standing.Plain() || token != nil, err
			},
			"Get UsedNote": func() (any, error) {
				note, used, err := st.UsedNote(ctx, sharedstate.Used, []byte("v"))
				return used || note != nil, err
			},
			"Get End":             func() (any, error) { return none(st.End(ctx, sharedstate.EndedSubject, []byte("u1"), out, start)) },
			"Set End":             func() (any, error) { return none(st.End(ctx, sharedstate.EndedSession, v.ID[:], out, start)) },
			"Set Supersede":       func() (any, error) { return none(st.Supersede(ctx, v.ID, 1)) },
			"Set KeepToken":       func() (any, error) { return none(st.KeepToken(ctx, v.ID, session.Audience{}, apiToken(), ttl)) },
			"Add AddSuccessor":    func() (any, error) { return st.AddSuccessor(ctx, v, successorTo(v, "r")) },
			"Add Use":             func() (any, error) { return st.Use(ctx, sharedstate.Used, []byte("v"), nil, ttl) },
			"Add TakeLease":       func() (any, error) { return st.TakeLease(ctx, v, ttl) },
			"Delete ReleaseLease": func() (any, error) { return none(st.ReleaseLease(ctx, v)) },
			"Get Check":           check, "Set Check": check, "Delete Check": check,
		}
	}
	for name := range calls(newShared()) {
		operation, _, _ := strings.Cut(name, " ")
		s := newShared()
		s.fail[operation] = down
		got, err := calls(s)[name]()
		if !errors.Is(err, down) || !strings.HasPrefix(err.Error(), "signin: ") || got != nil && !reflect.ValueOf(got).IsZero() {
			t.Errorf("%s: got %+v, %v; want the failure wrapped, and nothing beside it", name, got, err)
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
			if _, err := calls(s)[name](); err == nil {
				t.Errorf("%s, %s: got no error; want one", name, what)
			}
		}
	}
}

func TestNew_ShortKeys(t *testing.T) {
	for name, keys := range map[string][][]byte{"none": nil, "16 bytes": {make([]byte, 16)}} {
		if _, err := sharedstate.New(newShared(), keys, issuer, client, ttl); err == nil {
			t.Errorf("%s: got no error; want one", name)
		}
	}
}
