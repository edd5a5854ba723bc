package refresh_test

import (
	"context"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// failAfterAnswer makes an operation fail once the provider has answered.
func failAfterAnswer(w *world, operation string) {
	w.answer = func(_ context.Context, s *session.Session) (*session.Session, error) {
		w.interfere(fails(operation))
		w.answer = nil
		return fresh(s), nil
	}
}

func TestHeld(t *testing.T) {
	for _, operation := range []string{"add n", "get"} {
		// held calls a test when the successor of generation 1 could not be written.
		held := func(name string, test func(t *testing.T, w *world, g *refresh.Group, s *session.Session)) {
			bubble(t, operation+" fails: "+name, func(t *testing.T, w *world) {
				g, s := w.replica(), generation(1)
				failAfterAnswer(w, operation)
				refreshes(t, g, s, true, "2 failed")
				test(t, w, g, s)
			})
		}
		held("the old cookie gets it without a token request", func(t *testing.T, w *world, g *refresh.Group, s *session.Session) {
			for _, must := range []bool{true, false} {
				refreshes(t, g, s, must, "2")
			}
			refreshes(t, g, generation(0), false, "0") // an older generation does not get it
			if last := g.Last(t.Context(), s); last.Generation != 2 {
				t.Errorf("Last: got generation %d; want 2, whose token a sign-out revokes", last.Generation)
			}
			w.want(t, []string{"token 1"}, nil, []string{"1 failed"})
		})
		held("another replica does not use the old token during the lease", func(t *testing.T, w *world, _ *refresh.Group, s *session.Session) {
			w.interfere(nil)
			refreshes(t, w.replica(), s, false, "1")
			w.want(t, []string{"token 1"}, nil, []string{"1 failed"})
		})
		held("it is written in time without another request", func(t *testing.T, w *world, _ *refresh.Group, s *session.Session) {
			w.interfere(nil)
			wait(2 * time.Second)
			refreshes(t, w.replica(), s, true, "2")
			w.want(t, []string{"token 1"}, nil, []string{"1 failed", "2 ok"})
		})
		held("it is tried again until it is written", func(t *testing.T, w *world, g *refresh.Group, s *session.Session) {
			wait(2 * time.Second)
			refreshes(t, g, s, true, "2 failed")
			w.interfere(nil)
			wait(4 * time.Second)
			for _, g := range []*refresh.Group{g, w.replica()} {
				refreshes(t, g, s, true, "2")
			}
			if !w.standing(t, generation(0)).Superseded {
				t.Error("got the generation before not superseded; want it to be")
			}
			w.want(t, []string{"token 1"}, nil, []string{"1 failed", "1 failed", "2 ok"})
			noError(t, w.Memory.Delete(t.Context(), w.state.GenerationKey(sharedstate.Successor, s.ID, 1)))
			if last := g.Last(t.Context(), s); last != s {
				t.Errorf("Last: got generation %d; want nothing held any more", last.Generation)
			}
		})
		held("another replica has written its own", func(t *testing.T, w *world, g *refresh.Group, s *session.Session) {
			w.interfere(nil)
			w.write(t, s, theirs(s))
			wait(2 * time.Second)
			refreshes(t, g, s, true, "2 theirs")
		})
	}
}

func TestHeld_Limit(t *testing.T) {
	bubble(t, "4096 sessions", func(t *testing.T, w *world) {
		g := w.replica()
		w.interfere(fails("add n"))
		var all []*session.Session
		for range 4096 + 10 {
			s := another(session.NewID())
			all = append(all, s)
			refreshes(t, g, s, true, "1 failed")
		}
		held := 0
		for _, s := range all {
			if g.Last(t.Context(), s) != s {
				held++
			}
		}
		if held != 4096 {
			t.Errorf("got %d held; want 4096", held)
		}
	})
}
