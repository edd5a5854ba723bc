package refresh_test

import (
	"context"
	"errors"
	"slices"
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
				refreshes(t, g, s, true, "2 unknown")
				test(t, w, g, s)
			})
		}
		held("the old cookie gets it without a token request", func(t *testing.T, w *world, g *refresh.Group, s *session.Session) {
			for _, must := range []bool{true, false} {
				refreshes(t, g, s, must, "2 unknown")
			}
			if last, err := g.Last(t.Context(), s); last.Generation != 2 || (err != nil) != (operation == "get") {
				t.Errorf("Last: got generation %d, %v; want 2, whose token a sign-out revokes", last.Generation, err)
			}
			w.want(t, []string{"token 1"}, nil, []string{"1 failed", "1 failed", "1 failed"})
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
			refreshes(t, g, s, true, "2 unknown")
			w.interfere(nil)
			wait(4 * time.Second)
			for _, g := range []*refresh.Group{g, w.replica()} {
				refreshes(t, g, s, true, "2")
			}
			w.want(t, []string{"token 1"}, nil, []string{"1 failed", "1 failed", "2 ok"})
			w.forget(t)
			if last, _ := g.Last(t.Context(), s); last != s {
				t.Errorf("Last: got generation %d; want nothing held any more", last.Generation)
			}
		})
		held("it is written before its own token is used", func(t *testing.T, w *world, g *refresh.Group, s *session.Session) {
			w.rotates = true
			got := <-start(t.Context(), g, s, true)
			fetchFails(t, g, got.session, "urn:a", errDown)
			w.interfere(nil)
			gets(t, g, got.session, resource("urn:a"), "access 1 for urn:a")
			refreshes(t, w.replica(), s, true, "3") // an old cookie leads on
			w.used(t, "token 1", "token 2")
		})
		held("another replica has written its own", func(t *testing.T, w *world, g *refresh.Group, s *session.Session) {
			w.interfere(nil)
			w.write(t, s, theirs(s))
			refreshes(t, g, s, true, "2 theirs")
			wait(2 * time.Second)
			refreshes(t, g, s, true, "2 theirs")
		})
	}
}

// A flight that has waited for the lease while the successor could not be written has
// it when that lapses, and must not send the token that is used up.
func TestHeld_LeaseIsAwaited(t *testing.T) {
	bubble(t, "by a fetch", func(t *testing.T, w *world) {
		w.takes = 2 * time.Second
		g, s := w.replica(), generation(1)
		w.interfere(fails("add n"))
		first := start(t.Context(), g, s, true)
		wait(time.Second)
		second := ask(t.Context(), g, s, resource("urn:a"))
		wantSaid(t, <-first, "2 unknown")
		if got := <-second; !errors.Is(got.err, errDown) {
			t.Errorf("got %v; want shared state's error", got.err)
		}
		w.used(t, "token 1")
	})
}

// Sessions for which there is no room do not keep others from being written.
func TestHeld_SomeDoNotFit(t *testing.T) {
	bubble(t, "thirty", func(t *testing.T, w *world) {
		g, small := w.replica(), another(session.NewID())
		w.interfere(fails("add n"))
		for range 30 {
			refreshes(t, g, another(session.NewID()), true, "1 unknown")
		}
		large := w.named("add n")
		w.interfere(func(_ context.Context, o, key string) error {
			if o == "add n" && slices.Contains(large, key) {
				return sharedstate.ErrFull
			}
			return fails("add n")(context.Background(), o, key)
		})
		refreshes(t, g, small, true, "1 unknown")
		w.interfere(func(_ context.Context, o, key string) error {
			if slices.Contains(large, key) {
				return sharedstate.ErrFull
			}
			return nil
		})
		wait(2 * time.Second)
		if w.standing(t, small).Plain() {
			t.Error("after two seconds: got no successor; want it written")
		}
		w.interfere(nil)
	})
}

// After that no cookie of the generation before it is of use.
func TestHeld_Expiry(t *testing.T) {
	bubble(t, "after Config.Keep", func(t *testing.T, w *world) {
		g, s := w.replica(), generation(0)
		failAfterAnswer(w, "add n")
		refreshes(t, g, s, true, "1 unknown")
		wait(keep - time.Second)
		if last, _ := g.Last(t.Context(), s); last.Generation != 1 {
			t.Errorf("got generation %d; want what is held", last.Generation)
		}
		wait(2 * time.Second)
		if last, _ := g.Last(t.Context(), s); last != s {
			t.Errorf("got generation %d; want it dropped", last.Generation)
		}
	})
}

func TestHeld_Limit(t *testing.T) {
	bubble(t, "4096 sessions", func(t *testing.T, w *world) {
		g := w.replica()
		w.interfere(fails("add n"))
		var all []*session.Session
		for range 4096 + 10 {
			s := another(session.NewID())
			all = append(all, s)
			refreshes(t, g, s, true, "1 unknown")
		}
		held := 0
		for _, s := range all {
			if last, _ := g.Last(t.Context(), s); last != s {
				held++
			}
		}
		if held != 4096 {
			t.Errorf("got %d held; want 4096", held)
		}
	})
}
