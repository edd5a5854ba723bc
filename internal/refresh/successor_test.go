package refresh_test

import (
	"fmt"
	"testing"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// chain writes the successors of s up to a generation and returns the last.
func (w *world) chain(t *testing.T, s *session.Session, upTo uint64) *session.Session {
	t.Helper()
	for s.Generation < upTo {
		s = w.write(t, s, fresh(s))
	}
	return s
}

// newest compares what Newest and Last return.
func newest(t *testing.T, g *refresh.Group, s *session.Session, standing sharedstate.Standing, want string, last uint64) {
	t.Helper()
	got, err := g.Newest(t.Context(), s, standing)
	wantSaid(t, outcome{session: got, err: err}, want)
	if got := g.Last(t.Context(), s); got.Generation != last || got.RefreshToken != fmt.Sprint("token ", last) {
		t.Errorf("Last: got %+v; want generation %d", got, last)
	}
}

func TestNewest(t *testing.T) {
	for _, behind := range []uint64{1, 2, 32, 33} {
		bubble(t, fmt.Sprintf("%d generations behind", behind), func(t *testing.T, w *world) {
			s, g := generation(3), w.replica()
			w.chain(t, s, 3+behind)
			want := fmt.Sprint(3 + behind)
			if behind > 32 { // no browser misses so many answers
				want = "superseded"
			}
			newest(t, g, s, w.standing(t, s), want, 3+min(behind, 32))
			w.want(t, nil, nil, nil)
		})
	}
	bubble(t, "the session has ended", func(t *testing.T, w *world) {
		s, g := generation(0), w.replica()
		w.chain(t, s, 2)
		before := w.standing(t, s)
		w.signOut(t, s)
		newest(t, g, s, before, "ended s", 2) // its token is to be revoked
	})
	bubble(t, "the browser has shown a later generation than the next", func(t *testing.T, w *world) {
		s := generation(0)
		w.chain(t, s, 3)
		w.supersede(t, generation(1))
		newest(t, w.replica(), s, w.standing(t, s), "superseded", 1)
	})
	bubble(t, "shared state fails", func(t *testing.T, w *world) {
		s := generation(0)
		w.chain(t, s, 1)
		before := w.standing(t, s)
		w.interfere(fails("get"))
		newest(t, w.replica(), s, before, "failed", 0)
	})
}

// There is a successor, so the refresh token of the generation before is used
// up. Package sharedstate tests which successors are refused.
func TestNewest_UnreadableSuccessor(t *testing.T) {
	bubble(t, "the session is superseded", func(t *testing.T, w *world) {
		s, g := generation(5), w.replica()
		key := w.state.GenerationKey(sharedstate.Successor, s.ID, 5)
		noError(t, w.Memory.Set(t.Context(), key, []byte("not sealed"), lease))
		refreshes(t, g, s, true, "superseded")
		newest(t, g, s, w.standing(t, s), "superseded", 5)
		w.want(t, nil, nil, nil)
	})
}

func TestRefresh_Supersedes(t *testing.T) {
	for _, row := range []struct {
		name             string
		shown, refreshed uint64
		superseded       string // generations 0 to 3
	}{
		{"the first generation is shown", 0, 0, "...."},
		{"the second is shown", 1, 1, "s..."},
		{"the fourth is shown: only the one before", 3, 3, "..s."},
		{"the second is shown, and the fourth refreshed", 1, 3, "s..."},
		{"the first is shown, and the third refreshed", 0, 2, "...."},
	} {
		bubble(t, row.name, func(t *testing.T, w *world) {
			s := w.chain(t, generation(0), row.refreshed)
			_, err := w.replica().Refresh(t.Context(), s, row.shown, true)
			noError(t, err)
			got := ""
			for g := range uint64(4) {
				if w.standing(t, generation(g)).Superseded {
					got += "s"
				} else {
					got += "."
				}
			}
			if got != row.superseded {
				t.Errorf("got %s superseded; want %s", got, row.superseded)
			}
		})
	}
	bubble(t, "a copy that is superseded does not send its token", func(t *testing.T, w *world) {
		s := generation(0)
		w.supersede(t, s)
		for _, must := range []bool{false, true} {
			refreshes(t, w.replica(), s, must, "superseded")
		}
		w.want(t, nil, nil, nil)
	})
	bubble(t, "the refresh counts when the mark cannot be written", func(t *testing.T, w *world) {
		w.interfere(fails("set n"))
		refreshes(t, w.replica(), generation(1), true, "2 failed")
		w.want(t, []string{"token 1"}, nil, []string{"2 ok", "1 failed"})
		if got := w.standing(t, generation(1)); got.Successor == nil {
			t.Error("got no successor; want it written")
		}
	})
}
