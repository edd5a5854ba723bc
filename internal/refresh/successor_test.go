package refresh_test

import (
	"errors"
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
	if got, err := g.Last(t.Context(), s); (err != nil) != (want == "unknown") || got.Generation != last || got.RefreshToken != fmt.Sprint("token ", last) {
		t.Errorf("Last: got %+v, %v; want generation %d", got, err, last)
	}
}

// Package sharedstate tests how far a session is followed, and which successors
// are refused.
func TestNewest(t *testing.T) {
	for _, behind := range []uint64{0, 1, 2, 100} {
		bubble(t, fmt.Sprintf("%d generations behind", behind), func(t *testing.T, w *world) {
			s, g := generation(3), w.replica()
			w.chain(t, s, 3+behind)
			newest(t, g, s, w.standing(t, s), fmt.Sprint(3+behind), 3+behind)
			w.want(t, nil, nil, nil)
		})
	}
	bubble(t, "the session has ended", func(t *testing.T, w *world) {
		s, g := generation(0), w.replica()
		w.chain(t, s, 2)
		before := w.standing(t, s)
		w.signOut(t, s)
		newest(t, g, s, before, "ended s", 2) // its token is to be revoked
		newest(t, g, s, w.standing(t, s), "ended s", 2)
		var ended *refresh.Ended
		if _, err := g.Newest(t.Context(), s, w.standing(t, s)); !errors.As(err, &ended) || ended.Session != s {
			t.Errorf("got %v; want the session that the request brought", ended)
		}
	})
	bubble(t, "its successors are lost", func(t *testing.T, w *world) {
		s := generation(0)
		w.chain(t, s, 3)
		w.forget(t)
		newest(t, w.replica(), s, w.standing(t, s), "lost", 0)
		refreshes(t, w.replica(), s, true, "lost")
		w.want(t, nil, nil, nil) // its refresh token is used up
	})
	bubble(t, "its successor does not open", func(t *testing.T, w *world) {
		s := generation(5)
		w.chain(t, s, 6)
		noError(t, w.Memory.Set(t.Context(), w.names["add n"][0], []byte("not sealed"), lease))
		newest(t, w.replica(), s, w.standing(t, s), "unknown", 5)
		refreshes(t, w.replica(), s, true, "unknown")
		w.want(t, nil, nil, []string{"5 failed"})
	})
	bubble(t, "shared state fails", func(t *testing.T, w *world) {
		s := generation(0)
		w.chain(t, s, 1)
		before := w.standing(t, s)
		w.interfere(fails("get"))
		newest(t, w.replica(), s, before, "unknown", 0)
	})
}

func TestNewestAndShown(t *testing.T) {
	bubble(t, "what its browser has shown", func(t *testing.T, w *world) {
		s := generation(3)
		w.chain(t, s, 8)
		for brought := range uint64(3) {
			noError(t, w.state.Show(t.Context(), s.ID, 5+brought, 6+brought))
			wait(2 * lease * 240) // more than the time of grace
		}
		got, shown, err := w.replica().NewestAndShown(t.Context(), s, w.standing(t, s))
		if want := (sharedstate.Shown{Settled: 6, Older: 7, Newer: 8}); err != nil || got.Generation != 8 || shown != want {
			t.Errorf("got %+v, %+v, %v; want generation 8 and %+v", got, shown, err, want)
		}
	})
}
