package sharedstate_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

func TestCheck(t *testing.T) {
	s := newShared()
	if err := open(t, s, key(1), key(2)).Check(t.Context()); err != nil || len(s.values) != 0 {
		t.Errorf("got %v and %d entries; want no error and nothing left", err, len(s.values))
	}
	for name, answer := range map[string]func([][]byte) [][]byte{
		"loses what it is given": func(v [][]byte) [][]byte { return make([][]byte, len(v)) },
		"gives something else":   func([][]byte) [][]byte { return [][]byte{{1}} },
		"gives another's probe": func(v [][]byte) [][]byte {
			return [][]byte{sealed(t, s.asked[len(s.asked)-1], []byte("another"))}
		},
	} {
		s.answer = answer
		err := open(t, s).Check(t.Context())
		if err == nil || strings.Contains(err.Error(), "%!") {
			t.Errorf("shared state that %s: got %v; want an error that can be read", name, err)
		}
	}
}

// If anything cannot be read or written, only an error is returned.
func TestState_StoreFails(t *testing.T) {
	ctx, down := t.Context(), errors.New("connection refused")
	none := func(err error) (any, error) { return nil, err }
	state, who := "state", sharedstate.Ended{Subject: "u1"}
	type call = func(st *sharedstate.State, v *session.Session) (any, error)
	check := func(st *sharedstate.State, _ *session.Session) (any, error) { return none(st.Check(ctx)) }
	endPerson := func(st *sharedstate.State, _ *session.Session) (any, error) { return none(st.EndPerson(ctx, "u1")) }
	endByProvider := func(st *sharedstate.State, _ *session.Session) (any, error) {
		return none(st.EndByProvider(ctx, who, start))
	}
	show := func(st *sharedstate.State, v *session.Session) (any, error) { return none(st.Show(ctx, v.ID, 1, 2)) }
	for name, call := range map[string]call{
		"Get Look": func(st *sharedstate.State, v *session.Session) (any, error) { return st.Look(ctx, v) },
		"Get LookForToken": func(st *sharedstate.State, v *session.Session) (any, error) {
			standing, token, err := st.LookForToken(ctx, v, session.Audience{})
			return !standing.Plain() || token != nil, err
		},
		"Get LookUnderLease": func(st *sharedstate.State, v *session.Session) (any, error) {
			standing, holds, err := st.LookUnderLease(ctx, v, new(sharedstate.Held))
			return !standing.Plain() || holds, err
		},
		"Get LookAtCallback":  func(st *sharedstate.State, _ *session.Session) (any, error) { return st.LookAtCallback(ctx, state) },
		"Get LogoutTokenUsed": func(st *sharedstate.State, _ *session.Session) (any, error) { return st.LogoutTokenUsed(ctx, "j") },
		"Get Person":          func(st *sharedstate.State, _ *session.Session) (any, error) { return st.Person(ctx, "u1") },
		"Get Same": func(st *sharedstate.State, _ *session.Session) (any, error) {
			return st.Same(ctx, "u1", sharedstate.Person{})
		},
		"Get EndPerson": endPerson, "Set EndPerson": endPerson,
		"Add EndByProvider": endByProvider, "Get EndByProvider": endByProvider, "Set EndByProvider": endByProvider,
		"Set EndSession": func(st *sharedstate.State, v *session.Session) (any, error) {
			return none(st.EndSession(ctx, v.ID, sharedstate.SignedOut))
		},
		"Add EndSession": func(st *sharedstate.State, v *session.Session) (any, error) {
			return none(st.EndSession(ctx, v.ID, sharedstate.Replaced))
		},
		"Add Show": show, "Get Show": show, "Set Show": show,
		"Set KeepToken": func(st *sharedstate.State, v *session.Session) (any, error) {
			return none(st.KeepToken(ctx, v.ID, session.Audience{}, apiToken(), ttl))
		},
		"Add AddSuccessor": func(st *sharedstate.State, v *session.Session) (any, error) { return st.AddSuccessor(ctx, v, v) },
		"Add TakeLease":    func(st *sharedstate.State, v *session.Session) (any, error) { return st.TakeLease(ctx, v, ttl) },
		"Add TakeCallback": func(st *sharedstate.State, _ *session.Session) (any, error) { return st.TakeCallback(ctx, state, ttl) },
		"Set MarkCallback": func(st *sharedstate.State, _ *session.Session) (any, error) {
			return none(st.MarkCallback(ctx, state, 'f', nil, ttl))
		},
		"Set UseLogoutToken": func(st *sharedstate.State, _ *session.Session) (any, error) {
			return none(st.UseLogoutToken(ctx, "j", ttl))
		},
		"Delete ReleaseLease": func(st *sharedstate.State, v *session.Session) (any, error) {
			held, err := st.TakeLease(ctx, v, ttl)
			noError(t, err)
			return none(st.ReleaseLease(ctx, held))
		},
		"Get Check": check, "Set Check": check, "Delete Check": check,
	} {
		operation, _, _ := strings.Cut(name, " ")
		s := newShared()
		s.fail[operation] = down
		got, err := call(open(t, s), with(t, both))
		if !errors.Is(err, down) || !strings.HasPrefix(err.Error(), "signin: ") || got != nil && !reflect.ValueOf(got).IsZero() {
			t.Errorf("%s: got %+v, %v; want the failure wrapped, and nothing else", name, got, err)
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
			if _, err := call(open(t, s), with(t, both)); err == nil {
				t.Errorf("%s, %s: got no error; want one", name, what)
			}
		}
	}
}

// Shared state that fails while a session is followed.
func TestFollow_StoreFails(t *testing.T) {
	down := errors.New("connection refused")
	for failing := range 5 { // the operation
		s, v := newShared(), with(t, both)
		chain(t, open(t, s), v, 80) // the hint is wrong, so there are two probes
		s.values[s.keys("h")[0]] = []byte("broken")
		standing, err := open(t, s).Look(t.Context(), v)
		noError(t, err)
		n := 0
		s.before = func(string) {
			if n++; n > failing {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.fail["Get"] = down
			}
		}
		got, now, shown, err := open(t, s).Follow(t.Context(), v, standing)
		switch {
		case failing == 4: // one more than there are
			noError(t, err)
		case !errors.Is(err, down) || got != nil || !now.Plain() || shown != (sharedstate.Shown{}):
			t.Errorf("operation %d: got %+v, %+v, %+v, %v; want the failure alone", failing, got, now, shown, err)
		}
	}
}

// Hints, marks and the release of a lease may fail: they are worth no error.
func TestState_FailuresThatDoNotMatter(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s)
	s.fail["Set"] = errors.New("connection refused")
	newest := chain(t, st, v, 3)
	if got, _, err := follows(t, st, v); err != nil || got.RefreshToken != newest.RefreshToken {
		t.Errorf("without hints and marks: got %+v, %v; want the newest", got, err)
	}
	s = newShared()
	s.fail["Delete"] = errors.New("connection refused")
	noError(t, open(t, s).EndByProvider(t.Context(), sharedstate.Ended{Subject: "u1"}, start))
}

// While keys are rotated an entry has two names. If it cannot be added under both, it
// is taken back, also if the time of the caller is over.
func TestAdd_HalfFails(t *testing.T) {
	for _, keys := range rotations() {
		s, v := newShared(), with(t, both)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		s.before = func(operation string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.fail, "Add")
			if n++; operation == "Add" && n == 2 {
				cancel()
				s.fail["Add"] = ctx.Err()
			}
		}
		if held, err := open(t, s, keys[1]...).TakeLease(ctx, v, ttl); held != nil || !errors.Is(err, context.Canceled) || len(s.values) != 0 {
			t.Errorf("got %v, %v, %d entries; want an error, and nothing left", held, err, len(s.values))
		}
	}
}

func TestNew_ShortKeys(t *testing.T) {
	for name, keys := range map[string][][]byte{"none": nil, "16 bytes": {make([]byte, 16)}, "a second of 16 bytes": {key(1), make([]byte, 16)}} {
		if _, err := sharedstate.New(sharedstate.Config{Store: newShared(), Keys: keys, Issuer: issuer, Client: client}); err == nil {
			t.Errorf("%s: got no error; want one", name)
		}
	}
}
