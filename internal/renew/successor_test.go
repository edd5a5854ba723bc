package renew_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/record"
)

// chain writes the successors of r up to a generation and returns the last.
func (w *world) chain(t *testing.T, r *record.Record, upTo uint64) *record.Record {
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
			r := session(3)
			w.chain(t, r, 3+behind)
			n := w.replica()
			got, err := n.Newest(t.Context(), r, w.standing(t, r).Next)
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
		r := session(0)
		w.chain(t, r, 2)
		next := w.standing(t, r).Next
		w.end(t, r, ledger.SignedOut)
		got, err := w.replica().Newest(t.Context(), r, next)
		wantEnded(t, got, err, ledger.SignedOut)
		if last := w.replica().Last(t.Context(), r); last.Generation != 2 {
			t.Errorf("Last: got generation %d; want 2: its token is the one to revoke", last.Generation)
		}
	})
	bubble(t, "the browser has shown a later one than the next", func(t *testing.T, w *world) {
		r := session(0)
		w.chain(t, r, 3)
		if err := w.ledger.Supersede(t.Context(), r.ID[:], 1); err != nil {
			t.Fatalf("Supersede: got error %v; want none", err)
		}
		got, err := w.replica().Newest(t.Context(), r, w.standing(t, r).Next)
		wantSuperseded(t, got, err)
	})
	bubble(t, "shared state fails", func(t *testing.T, w *world) {
		r := session(0)
		w.chain(t, r, 1)
		next := w.standing(t, r).Next
		w.before = func(context.Context, string, string) error { return errDown }
		_, err := w.replica().Newest(t.Context(), r, next)
		wantPassing(t, err)
		if got := w.replica().Last(t.Context(), r); got != r {
			t.Errorf("Last: got %v; want the record itself", got)
		}
	})
}

// CASES 5.9. There is a successor, so the token of the one before is used up.
func TestASuccessorThatIsNotOneMeansSuperseded(t *testing.T) {
	t.Parallel()
	foreign := func(change func(*record.Record)) func(*testing.T, *world, *record.Record) []byte {
		return func(t *testing.T, _ *world, r *record.Record) []byte {
			next := fresh(r)
			next.ID, next.Generation = r.ID, r.Generation+1
			change(next)
			plain, err := next.Append(nil)
			if err != nil {
				t.Fatalf("Append: got error %v; want none", err)
			}
			return plain
		}
	}
	for name, successor := range map[string]func(*testing.T, *world, *record.Record) []byte{
		"a record of another session":      foreign(func(r *record.Record) { r.ID = record.ID{9} }),
		"a record of an older generation":  foreign(func(r *record.Record) { r.Generation -= 2 }),
		"a record of the same generation":  foreign(func(r *record.Record) { r.Generation-- }),
		"a record of a later generation":   foreign(func(r *record.Record) { r.Generation++ }),
		"no record":                        func(*testing.T, *world, *record.Record) []byte { return []byte("something else") },
		"nothing":                          func(*testing.T, *world, *record.Record) []byte { return nil },
		"the successor of another session": nil,
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			r := session(5)
			if successor != nil {
				if ok, err := w.ledger.AddNext(t.Context(), r.ID[:], 5, successor(t, w, r)); !ok || err != nil {
					t.Fatalf("AddNext: got %v, %v; want true", ok, err)
				}
			} else {
				other := session(5)
				other.ID = record.ID{9}
				w.write(t, other, fresh(other))
				from, to := ledger.Generation(other.ID[:], 5), ledger.Generation(r.ID[:], 5)
				values, _ := w.Store.Get(t.Context(), w.ledger.Key(ledger.Next, from[:]))
				if err := w.Store.Set(t.Context(), w.ledger.Key(ledger.Next, to[:]), values[0], lease); err != nil {
					t.Fatalf("Set: got error %v; want none", err)
				}
			}
			n := w.replica()
			got, err := n.Renew(t.Context(), r, 5, true)
			wantSuperseded(t, got, err)
			got, err = n.Newest(t.Context(), r, w.standing(t, r).Next)
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
			r := w.chain(t, session(0), row.renewed)
			r.AccessExpiry = session(0).AccessExpiry
			marks := 0
			w.after = func(operation, _ string) {
				if operation == "set n" {
					marks++
				}
			}
			_, err := w.replica().Renew(t.Context(), r, row.presented, true)
			if err != nil {
				t.Errorf("Renew: got error %v; want none", err)
			}
			var got strings.Builder
			for g := range uint64(4) {
				mark := "."
				if w.standing(t, session(g)).Superseded {
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
		r := session(0)
		if err := w.ledger.Supersede(t.Context(), r.ID[:], 0); err != nil {
			t.Fatalf("Supersede: got error %v; want none", err)
		}
		for _, must := range []bool{false, true} {
			got, err := w.replica().Renew(t.Context(), r, 0, must)
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
		got, err := n.Renew(t.Context(), session(1), 1, true)
		wantToken(t, got, nil, "token 2")
		wantPassing(t, err)
		w.want(t, []string{"token 1"}, nil, []string{"2 ok", "1 failed"})
		if got := w.standing(t, session(1)); got.Next == nil {
			t.Error("got no successor; want it written")
		}
	})
}
