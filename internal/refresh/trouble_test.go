package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

func refuse(context.Context, *session.Session) (*session.Session, error) {
	return nil, fmt.Errorf("%w: invalid_grant", refresh.ErrFinal)
}

// CASES 4.5.
func TestTheProvidersLastWord(t *testing.T) {
	t.Parallel()
	bubble(t, "it ends the session, for every replica", func(t *testing.T, w *world) {
		w.answer = refuse
		n, r := w.replica(), generation(0)
		got, err := n.Refresh(t.Context(), r, 0, true)
		wantEnded(t, got, err, sharedstate.ByProvider)
		if !errors.Is(err, refresh.ErrFinal) {
			t.Errorf("got %v; want it to say why", err)
		}
		for _, other := range []*refresh.Group{n, w.replica()} {
			got, err = other.Refresh(t.Context(), r, 0, true)
			wantEnded(t, got, err, sharedstate.ByProvider)
		}
		w.want(t, []string{"token 0"}, nil, nil)
	})
	// Row: what another process does while the provider answers.
	meanwhile := func(name string, do func(t *testing.T, w *world, r *session.Session), check func(*testing.T, *session.Session, error)) {
		bubble(t, name, func(t *testing.T, w *world) {
			r := generation(0)
			w.answer = func(ctx context.Context, r *session.Session) (*session.Session, error) {
				do(t, w, r)
				return refuse(ctx, r)
			}
			got, err := w.replica().Refresh(t.Context(), r, 0, true)
			check(t, got, err)
			if s := w.standing(t, r); s.Reason == sharedstate.ByProvider {
				t.Errorf("got %+v; want nothing written in place of what happened", s)
			}
		})
	}
	meanwhile("when another replica was faster, its successor is taken", func(t *testing.T, w *world, r *session.Session) {
		w.write(t, r, fresh(r))
	}, func(t *testing.T, got *session.Session, err error) { wantToken(t, got, err, "token 1") })
	meanwhile("when a browser has shown the successor meanwhile, its session lives on", func(t *testing.T, w *world, r *session.Session) {
		if err := w.state.Supersede(t.Context(), r.ID, 0); err != nil {
			t.Errorf("Supersede: got error %v; want none", err)
		}
	}, wantSuperseded)
	meanwhile("when a sign-out has revoked the token, it stays a sign-out", func(t *testing.T, w *world, r *session.Session) {
		w.end(t, r, sharedstate.SignedOut)
	}, func(t *testing.T, got *session.Session, err error) { wantEnded(t, got, err, sharedstate.SignedOut) })

	for _, operation := range []string{"get", "set e"} {
		bubble(t, "when shared state fails to "+operation+" then, the session stands", func(t *testing.T, w *world) {
			asked := false
			w.answer = func(ctx context.Context, r *session.Session) (*session.Session, error) {
				asked = true
				return refuse(ctx, r)
			}
			w.before = func(_ context.Context, op, _ string) error {
				if asked && op == operation {
					return errDown
				}
				return nil
			}
			got, err := w.replica().Refresh(t.Context(), generation(0), 0, true)
			wantPassing(t, err)
			if got != nil || !errors.Is(err, errDown) {
				t.Errorf("got %v, %v; want the failure", got, err)
			}
			w.want(t, []string{"token 0"}, nil, []string{"0 failed"})
		})
	}
}

// Row: the operation of shared state that fails before the provider is asked.
func TestWithoutSharedStateNoTokenIsSent(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"add l", "get"} {
		bubble(t, operation, func(t *testing.T, w *world) {
			w.before = func(_ context.Context, op, _ string) error {
				if op == operation {
					return errDown
				}
				return nil
			}
			got, err := w.replica().Refresh(t.Context(), generation(0), 0, true)
			wantPassing(t, err)
			if got != nil {
				t.Errorf("got %v; want nothing", got)
			}
			w.want(t, nil, nil, []string{"0 failed"})
		})
	}
	bubble(t, "while waiting for another", func(t *testing.T, w *world) {
		r := generation(0)
		if ok, err := w.state.TakeLease(t.Context(), r, lease); !ok || err != nil {
			t.Fatalf("TakeLease: got %v, %v; want true", ok, err)
		}
		w.before = func(_ context.Context, op, _ string) error {
			if op == "get" {
				return errDown
			}
			return nil
		}
		_, err := w.replica().Refresh(t.Context(), r, 0, true)
		wantPassing(t, err)
		w.want(t, nil, nil, []string{"0 failed"})
	})
}

// breakAfterAnswer makes an operation fail once the provider has answered,
// until the returned function is called.
func breakAfterAnswer(w *world, operation string) (mend func()) {
	asked := false
	w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
		asked = true
		return fresh(r), nil
	}
	w.before = func(_ context.Context, op, _ string) error {
		if asked && op == operation {
			return errDown
		}
		return nil
	}
	return func() { w.interfere(nil) }
}

// CASES 4.6, and DESIGN.md: what cannot be written stays in this process and is
// tried again. Row: the operation that fails.
func TestWhatCannotBeWrittenIsHeld(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"add n", "get"} {
		held := func(name string, test func(t *testing.T, w *world, n *refresh.Group, r *session.Session, mend func())) {
			bubble(t, operation+": "+name, func(t *testing.T, w *world) {
				n, r := w.replica(), generation(1)
				mend := breakAfterAnswer(w, operation)
				got, err := n.Refresh(t.Context(), r, 1, true)
				wantToken(t, got, nil, "token 2")
				wantPassing(t, err)
				test(t, w, n, r, mend)
			})
		}
		held("the old cookie gets it without asking anybody", func(t *testing.T, w *world, n *refresh.Group, r *session.Session, _ func()) {
			for _, must := range []bool{true, false} {
				got, err := n.Refresh(t.Context(), r, 1, must)
				wantToken(t, got, err, "token 2")
			}
			if last := n.Last(t.Context(), r); last.Generation != 2 {
				t.Errorf("Last: got generation %d; want 2: a sign-out revokes its token", last.Generation)
			}
			w.want(t, []string{"token 1"}, nil, []string{"1 failed"})
		})
		held("another replica does not use the old token while the lease lasts", func(t *testing.T, w *world, _ *refresh.Group, r *session.Session, mend func()) {
			mend()
			got, err := w.replica().Refresh(t.Context(), r, 1, false)
			wantToken(t, got, err, "token 1")
			w.want(t, []string{"token 1"}, nil, []string{"1 failed"})
		})
		held("it is written in time, though nobody asks here again", func(t *testing.T, w *world, _ *refresh.Group, r *session.Session, mend func()) {
			mend()
			after(2 * time.Second)
			got, err := w.replica().Refresh(t.Context(), r, 1, true)
			wantToken(t, got, err, "token 2")
			w.want(t, []string{"token 1"}, nil, []string{"1 failed", "2 ok"})
		})
		held("it is tried again, and is written in the end", func(t *testing.T, w *world, n *refresh.Group, r *session.Session, mend func()) {
			after(2 * time.Second)
			got, err := n.Refresh(t.Context(), r, 1, true)
			wantToken(t, got, nil, "token 2")
			wantPassing(t, err)
			mend()
			after(4 * time.Second)
			got, err = n.Refresh(t.Context(), r, 1, true)
			wantToken(t, got, err, "token 2")
			got, err = w.replica().Refresh(t.Context(), r, 1, true)
			wantToken(t, got, err, "token 2")
			if !w.standing(t, generation(0)).Superseded {
				t.Error("got the generation before not superseded; want it to be")
			}
			w.want(t, []string{"token 1"}, nil, []string{"1 failed", "1 failed", "2 ok"})
			if err := w.Memory.Delete(t.Context(), w.state.GenerationKey(sharedstate.Successor, r.ID, 1)); err != nil {
				t.Errorf("Delete: got error %v; want none", err)
			}
			if last := n.Last(t.Context(), r); last != r {
				t.Errorf("Last: got generation %d; want nothing held any more", last.Generation)
			}
		})
		held("an hour later it is written and refreshed in turn", func(t *testing.T, w *world, n *refresh.Group, r *session.Session, mend func()) {
			mend()
			after(2 * time.Hour)
			got, err := n.Refresh(t.Context(), r, 1, true)
			wantToken(t, got, err, "token 3")
			w.want(t, []string{"token 1", "token 2"}, nil, []string{"1 failed", "2 ok", "3 ok"})
		})
		held("a browser that has got it needs it no more", func(t *testing.T, w *world, n *refresh.Group, _ *session.Session, mend func()) {
			mend()
			after(2 * time.Hour)
			got, err := n.Refresh(t.Context(), generation(2), 2, true)
			wantToken(t, got, err, "token 3")
			if !w.standing(t, generation(1)).Superseded {
				t.Error("got the generation before not superseded; want it to be, though it had no successor")
			}
			if last := n.Last(t.Context(), generation(1)); last.Generation != 1 {
				t.Errorf("Last: got generation %d; want nothing held", last.Generation)
			}
		})
		held("a session that is signed out meanwhile has it revoked", func(t *testing.T, w *world, n *refresh.Group, r *session.Session, mend func()) {
			mend()
			w.end(t, r, sharedstate.SignedOut)
			after(2 * time.Second)
			got, err := n.Refresh(t.Context(), r, 1, true)
			wantEnded(t, got, err, sharedstate.SignedOut)
			w.want(t, []string{"token 1"}, []string{"token 2"}, []string{"1 failed"})
			if last := n.Last(t.Context(), r); last != r {
				t.Errorf("Last: got generation %d; want nothing held", last.Generation)
			}
		})
		held("who was faster meanwhile wins", func(t *testing.T, w *world, n *refresh.Group, r *session.Session, mend func()) {
			mend()
			theirs := fresh(r)
			theirs.Scope = "theirs"
			w.write(t, r, theirs)
			after(2 * time.Second)
			got, err := n.Refresh(t.Context(), r, 1, true)
			wantToken(t, got, err, "token 2")
			if got != nil && got.Scope != "theirs" {
				t.Errorf("got scope %q; want theirs", got.Scope)
			}
		})
		held("an older generation has nothing to do with it", func(t *testing.T, w *world, n *refresh.Group, _ *session.Session, _ func()) {
			got, err := n.Refresh(t.Context(), generation(0), 0, false)
			wantToken(t, got, err, "token 0")
		})
	}
	bubble(t, "so many are held and no more", func(t *testing.T, w *world) {
		n := w.replica()
		w.before = func(_ context.Context, op, _ string) error {
			if op == "add n" {
				return errDown
			}
			return nil
		}
		var all []*session.Session
		for range 4096 + 10 {
			r := generation(0)
			r.ID = session.NewID()
			all = append(all, r)
			_, err := n.Refresh(t.Context(), r, 0, true)
			wantPassing(t, err)
		}
		held := 0
		for _, r := range all {
			if n.Last(t.Context(), r) != r {
				held++
			}
		}
		if held != 4096 {
			t.Errorf("got %d held; want 4096", held)
		}
	})
}
