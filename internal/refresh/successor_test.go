package refresh_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// chain writes the successors of r up to a generation and returns the last.
func (w *world) chain(t *testing.T, r *session.Session, upTo uint64) *session.Session {
	t.Helper()
	for r.Generation < upTo {
		r = w.write(t, r, fresh(r))
	}
	return r
}

// CASES 4.2.
func TestNewestFollowsSuccessors(t *testing.T) {
	t.Parallel()
	for _, behind := range []uint64{1, 2, 8, 32, 33} {
		bubble(t, fmt.Sprintf("%d generations behind", behind), func(t *testing.T, w *world) {
			r := generation(3)
			w.chain(t, r, 3+behind)
			n := w.replica()
			got, err := n.Newest(t.Context(), r, w.standing(t, r))
			if behind <= 32 {
				wantToken(t, got, err, fmt.Sprintf("token %d", 3+behind))
			} else { // nobody's browser misses that many answers
				wantSuperseded(t, got, err)
			}
			if got := n.Last(t.Context(), r); got.Generation != 3+min(behind, 32) {
				t.Errorf("Last: got generation %d; want %d", got.Generation, 3+min(behind, 32))
			}
			w.want(t, nil, nil, nil)
		})
	}
	bubble(t, "the last one has ended", func(t *testing.T, w *world) {
		r := generation(0)
		w.chain(t, r, 2)
		before := w.standing(t, r)
		w.end(t, r, sharedstate.SignedOut)
		got, err := w.replica().Newest(t.Context(), r, before)
		wantEnded(t, got, err, sharedstate.SignedOut)
		if last := w.replica().Last(t.Context(), r); last.Generation != 2 {
			t.Errorf("Last: got generation %d; want 2: its token is the one to revoke", last.Generation)
		}
	})
	bubble(t, "the browser has shown a later one than the next", func(t *testing.T, w *world) {
		r := generation(0)
		w.chain(t, r, 3)
		if err := w.state.Supersede(t.Context(), r.ID, 1); err != nil {
			t.Fatalf("Supersede: got error %v; want none", err)
		}
		got, err := w.replica().Newest(t.Context(), r, w.standing(t, r))
		wantSuperseded(t, got, err)
	})
	bubble(t, "shared state fails", func(t *testing.T, w *world) {
		r := generation(0)
		w.chain(t, r, 1)
		before := w.standing(t, r)
		w.before = func(context.Context, string, string) error { return errDown }
		_, err := w.replica().Newest(t.Context(), r, before)
		wantPassing(t, err)
		if got := w.replica().Last(t.Context(), r); got != r {
			t.Errorf("Last: got %v; want the record itself", got)
		}
	})
}

// CASES 5.9. There is a successor, so the token of the one before is used up.
func TestASuccessorThatIsNotOneMeansSuperseded(t *testing.T) {
	t.Parallel()
	foreign := func(change func(*session.Session)) func(*testing.T, *world, *session.Session) {
		return func(t *testing.T, w *world, r *session.Session) {
			next := fresh(r)
			next.ID, next.Generation = r.ID, r.Generation+1
			change(next)
			if ok, err := w.state.AddSuccessor(t.Context(), r, next); !ok || err != nil {
				t.Fatalf("AddSuccessor: got %v, %v; want true", ok, err)
			}
		}
	}
	put := func(t *testing.T, w *world, r *session.Session, value []byte) {
		if err := w.Memory.Set(t.Context(), w.state.GenerationKey(sharedstate.Successor, r.ID, 5), value, lease); err != nil {
			t.Fatalf("Set: got error %v; want none", err)
		}
	}
	for name, write := range map[string]func(*testing.T, *world, *session.Session){
		"another session":              foreign(func(r *session.Session) { r.ID = session.ID{9} }),
		"an older generation":          foreign(func(r *session.Session) { r.Generation -= 2 }),
		"the same generation":          foreign(func(r *session.Session) { r.Generation-- }),
		"a later generation":           foreign(func(r *session.Session) { r.Generation++ }),
		"something that is not sealed": func(t *testing.T, w *world, r *session.Session) { put(t, w, r, []byte("something else")) },
		"nothing":                      func(t *testing.T, w *world, r *session.Session) { put(t, w, r, nil) },
		"the successor of another session": func(t *testing.T, w *world, r *session.Session) {
			other := generation(5)
			other.ID = session.ID{9}
			w.write(t, other, fresh(other))
			values, _ := w.Memory.Get(t.Context(), w.state.GenerationKey(sharedstate.Successor, other.ID, 5))
			put(t, w, r, values[0])
		},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			r := generation(5)
			write(t, w, r)
			n := w.replica()
			got, err := n.Refresh(t.Context(), r, 5, true)
			wantSuperseded(t, got, err)
			got, err = n.Newest(t.Context(), r, w.standing(t, r))
			wantSuperseded(t, got, err)
			if last := n.Last(t.Context(), r); last != r {
				t.Errorf("Last: got %v; want the record itself", last)
			}
			w.want(t, nil, nil, nil)
		})
	}
}

// CASES 4.3. Row: what the browser has shown, what is renewed, and which
// generations are superseded then.
func TestSuperseding(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name               string
		presented, renewed uint64
		superseded         string
	}{
		{"the first generation is shown", 0, 0, "...."},
		{"the second is shown and refreshed", 1, 1, "s..."},
		{"the fourth is shown and refreshed: only the one before", 3, 3, "..s."},
		{"the second is shown, and the fourth is refreshed", 1, 3, "s..."},
		{"the first is shown, and the third is refreshed", 0, 2, "...."},
	} {
		bubble(t, row.name, func(t *testing.T, w *world) {
			r := w.chain(t, generation(0), row.renewed)
			r.AccessExpiry = generation(0).AccessExpiry
			marks := 0
			w.after = func(operation, _ string) {
				if operation == "set n" {
					marks++
				}
			}
			_, err := w.replica().Refresh(t.Context(), r, row.presented, true)
			if err != nil {
				t.Errorf("Refresh: got error %v; want none", err)
			}
			var got strings.Builder
			for g := range uint64(4) {
				mark := "."
				if w.standing(t, generation(g)).Superseded {
					mark = "s"
				}
				got.WriteString(mark)
			}
			if want := strings.Count(row.superseded, "s"); marks != want {
				t.Errorf("got %d marks written; want %d", marks, want)
			}
			if got.String() != row.superseded {
				t.Errorf("superseded: got %s; want %s", got.String(), row.superseded)
			}
		})
	}
	bubble(t, "a copy that is superseded does not send its token", func(t *testing.T, w *world) {
		r := generation(0)
		if err := w.state.Supersede(t.Context(), r.ID, 0); err != nil {
			t.Fatalf("Supersede: got error %v; want none", err)
		}
		for _, must := range []bool{false, true} {
			got, err := w.replica().Refresh(t.Context(), r, 0, must)
			wantSuperseded(t, got, err)
		}
		w.want(t, nil, nil, nil)
	})
	bubble(t, "when the mark cannot be written, the refresh counts nonetheless", func(t *testing.T, w *world) {
		w.before = func(_ context.Context, operation, _ string) error {
			if operation == "set n" {
				return errDown
			}
			return nil
		}
		n := w.replica()
		got, err := n.Refresh(t.Context(), generation(1), 1, true)
		wantToken(t, got, nil, "token 2")
		wantPassing(t, err)
		w.want(t, []string{"token 1"}, nil, []string{"2 ok", "1 failed"})
		if got := w.standing(t, generation(1)); got.Successor == nil {
			t.Error("got no successor; want it written")
		}
	})
}
