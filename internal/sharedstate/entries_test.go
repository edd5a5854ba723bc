package sharedstate_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

// A callback takes a lease and leaves nothing else, until something is proven.
func TestCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
		st := open(t, m)
		at := func(what, state string, want sharedstate.CallbackStanding) {
			t.Helper()
			got, err := st.LookAtCallback(t.Context(), state)
			if err != nil || got.Progress != want.Progress || string(got.Note) != string(want.Note) || got.Leased != want.Leased {
				t.Errorf("%s: got %+v, %v; want %+v", what, got, err, want)
			}
		}
		take := func(what string, want bool) *sharedstate.Held {
			t.Helper()
			held, err := st.TakeCallback(t.Context(), "state", time.Minute)
			if (held != nil) != want || err != nil {
				t.Fatalf("%s: got %v, %v; want a lease: %t", what, held, err, want)
			}
			return held
		}
		at("before", "state", sharedstate.CallbackStanding{})
		held := take("the first", true)
		at("under the lease", "state", sharedstate.CallbackStanding{Leased: true})
		at("another sign-in", "other", sharedstate.CallbackStanding{})
		take("the second", false)
		noError(t, st.ReleaseLease(t.Context(), held))
		at("an exchange that failed", "state", sharedstate.CallbackStanding{})
		if n := m.Len(); n != 0 {
			t.Errorf("an exchange that failed: got %d entries; want nothing left", n)
		}
		late := take("a reload", true)
		time.Sleep(30 * time.Second)
		noError(t, st.ReleaseLease(t.Context(), late)) // it might be another's
		noError(t, st.MarkCallback(t.Context(), "state", sharedstate.Exchanged, nil, time.Hour))
		at("exchanged", "state", sharedstate.CallbackStanding{Progress: sharedstate.Exchanged, Leased: true})
		time.Sleep(30 * time.Second)
		at("exchanged, and stopped", "state", sharedstate.CallbackStanding{Progress: sharedstate.Exchanged})
		noError(t, st.MarkCallback(t.Context(), "state", sharedstate.Finished, []byte("/page"), time.Hour))
		at("finished", "state", sharedstate.CallbackStanding{Progress: sharedstate.Finished, Note: []byte("/page")})
		time.Sleep(time.Hour)
		at("as old as a transaction can be", "state", sharedstate.CallbackStanding{})
	})
}

func TestLookAtCallback_MarkWithoutProgress(t *testing.T) {
	s := newShared()
	st := open(t, s)
	noError(t, st.MarkCallback(t.Context(), "state", sharedstate.Exchanged, nil, time.Hour))
	name := s.keys("u")[0]
	s.values[name] = sealed(t, name, nil)
	if got, err := st.LookAtCallback(t.Context(), "state"); !errors.Is(err, sharedstate.ErrBroken) {
		t.Errorf("got %+v, %v; want ErrBroken", got, err)
	}
}

func TestUseLogoutToken_Kept(t *testing.T) {
	s := newShared()
	noError(t, open(t, s).UseLogoutToken(t.Context(), "j1", time.Minute))
	if got := s.ttls[s.keys("j")[0]]; got != time.Minute {
		t.Errorf("got it kept for %v; want a minute", got)
	}
}
