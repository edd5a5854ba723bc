package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// race steps two or more through every interleaving of their operations on shared
// state and of their token requests' beginnings and ends. One that waits for a
// lease polls it, so letting time pass is a step as well, a few times.
type race struct {
	*granting
	mu      sync.Mutex
	waiting map[string]chan struct{} // by who waits
	trace   []string
	running atomic.Int32
	patient int // how often time may pass while somebody could go on
}

const timePasses = "~" // after all names

func newRace(t *testing.T, rotates bool, patient int) *race {
	r := &race{
		granting: &granting{world: newWorld(t), rotates: rotates}, patient: patient,
		waiting: make(map[string]chan struct{}),
	}
	r.before = func(ctx context.Context, operation, _ string) error {
		r.step(ctx, operation)
		return nil
	}
	r.fetch = func(ctx context.Context, from *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
		r.step(ctx, "asks")
		if r.world.isRevoked(from.RefreshToken) {
			return nil, nil, fmt.Errorf("%w: invalid_grant", refresh.ErrFinal)
		}
		r.step(ctx, "hears")
		if !rotates {
			return tokenFor(a, 0), nil, nil
		}
		return tokenFor(a, 0), rotated(from), nil
	}
	r.answer = func(ctx context.Context, from *session.Session) (*session.Session, error) {
		r.step(ctx, "asks")
		if r.world.isRevoked(from.RefreshToken) {
			return refuse(ctx, from)
		}
		r.step(ctx, "hears")
		next := fresh(from)
		if !rotates {
			next.RefreshToken = from.RefreshToken
		}
		return next, nil
	}
	return r
}

func (w *world) isRevoked(token string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.revoked, token)
}

func (r *race) step(ctx context.Context, what string) {
	who := ctx.Value(actor{}).(string)
	granted := make(chan struct{})
	r.mu.Lock()
	r.waiting[who] = granted
	r.mu.Unlock()
	<-granted // its turn
	r.trace = append(r.trace, ctx.Value(actor{}).(string)+" "+what)
}

// enters starts somebody who takes part.
func (r *race) enters(name string, does func(context.Context)) {
	r.running.Add(1)
	go func() {
		defer r.running.Add(-1)
		does(context.WithValue(context.Background(), actor{}, name))
	}()
}

// run grants turns until nobody is left, as scheduler.run does.
func (r *race) run(choices []int) (taken, from []int) {
	for {
		synctest.Wait()
		r.mu.Lock()
		var names []string
		for name := range r.waiting {
			names = append(names, name)
		}
		r.mu.Unlock()
		slices.Sort(names)
		switch left := int(r.running.Load()); {
		case left == 0:
			return taken, from
		case len(names) == 0:
			after(50 * time.Millisecond)
			continue
		case len(names) < left && r.patient > 0:
			names = append(names, timePasses)
		}
		choice := 0
		if len(taken) < len(choices) {
			choice = choices[len(taken)]
		}
		taken, from = append(taken, choice), append(from, len(names))
		if names[choice] == timePasses {
			r.patient--
			after(50 * time.Millisecond)
			continue
		}
		r.mu.Lock()
		granted := r.waiting[names[choice]]
		delete(r.waiting, names[choice])
		r.mu.Unlock()
		close(granted)
	}
}

// story is what has happened, in its order.
func (r *race) story() string { return strings.Join(r.trace, ", ") }

// everyOrder runs a race in every order; enter starts those who take part and
// returns what is to be checked at the end.
func everyOrder(t *testing.T, rotates bool, patient, atLeast int, enter func(*testing.T, *race) (check func())) {
	t.Helper()
	orders := 0
	for choices := []int{}; choices != nil && !t.Failed(); orders++ {
		synctest.Test(t, func(t *testing.T) {
			r := newRace(t, rotates, patient)
			check := enter(t, r)
			taken, from := r.run(choices)
			r.interfere(nil)
			check()
			choices = following(taken, from)
		})
	}
	if orders < atLeast {
		t.Errorf("got %d orders; want %d or more, or some were left out", orders, atLeast)
	}
}

// last returns the index of the last step that somebody took, or -1.
func (r *race) last(step string) int {
	for i := len(r.trace) - 1; i >= 0; i-- {
		if r.trace[i] == step {
			return i
		}
	}
	return -1
}

// CASES 4.7, for a fetch.
func TestASignOutWinsOverAFetchInEveryOrder(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name       string
		rotates    bool
		generation uint64
		orders     int
	}{
		{"the refresh token rotates", true, 0, 44},
		{"the generation before is superseded", true, 1, 50},
		{"the refresh token stays the same", false, 0, 30},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			outcomes := map[string]int{}
			everyOrder(t, row.rotates, 0, row.orders, func(t *testing.T, r *race) func() {
				from := live(row.generation)
				var got errandResult
				r.enters("fetch", func(ctx context.Context) {
					got.token, got.newest, got.err = r.replica().Token(ctx, from, from.Generation, resource("urn:a"))
				})
				r.enters("sign-out", func(ctx context.Context) {
					if err := r.state.End(ctx, sharedstate.EndedSession, from.ID[:], sharedstate.SignedOut, time.Now()); err != nil {
						t.Errorf("End: got error %v; want none", err)
					}
					r.revoke(r.world.replica().Last(ctx, from))
				})
				return func() {
					if r.last("sign-out set e") < r.last("fetch get") != refresh.Over(got.err) || refresh.Over(got.err) != (got.token == nil) {
						t.Errorf("%s: got %+v, %v; want a token only if the last look came first", r.story(), got.token, got.err)
					}
					alive := from.RefreshToken
					if row.rotates && r.last("fetch hears") >= 0 {
						alive = fmt.Sprint("token ", row.generation+1)
					}
					if !r.isRevoked(alive) {
						t.Errorf("%s: got %q revoked; want %q to be", r.story(), r.revoked, alive)
					}
					requests := len(r.sent)
					for _, name := range []string{"urn:a", "urn:b"} {
						token, newest, err := r.replica().Token(t.Context(), from, from.Generation, resource(name))
						if token != nil || len(r.sent) != requests {
							t.Errorf("%s: afterwards got %+v and %q sent; want neither", r.story(), token, r.sent[requests:])
						}
						wantEnded(t, newest, err, sharedstate.SignedOut)
					}
					outcomes[fmt.Sprintf("asked %v, revoked %d, over %v", requests > 0, len(r.revoked), refresh.Over(got.err))]++
				}
			})
			if len(outcomes) < 3 {
				t.Errorf("got outcomes %v; want all", outcomes)
			}
		})
	}
}

// CASES 4.1: never two token requests of one session at once, and no refresh token
// used twice.
func TestFetchesAndRefreshesTakeTurnsInEveryOrder(t *testing.T) {
	t.Parallel()
	fetches := func(audience string) func(*race, *refresh.Group, *session.Session) func(context.Context) error {
		return func(_ *race, n *refresh.Group, from *session.Session) func(context.Context) error {
			return func(ctx context.Context) error {
				token, newest, err := n.Token(ctx, from, from.Generation, resource(audience))
				if err == nil && (!strings.HasSuffix(token.Access, audience) || newest == nil) {
					return errors.New("another's token")
				}
				return err
			}
		}
	}
	refreshes := func(_ *race, n *refresh.Group, from *session.Session) func(context.Context) error {
		return func(ctx context.Context) error {
			next, err := n.Refresh(ctx, from, from.Generation, true)
			if err == nil && next.AccessExpiry.Equal(from.AccessExpiry) {
				return errors.New("not refreshed")
			}
			return err
		}
	}
	for _, row := range []struct {
		name     string
		rotates  bool
		one      bool // both in one process
		other    func(*race, *refresh.Group, *session.Session) func(context.Context) error
		requests int
		patient  int // with more of it the others hold as well, in a hundred thousand orders
		orders   int
	}{
		{"a fetch and a refresh in two replicas, rotating", true, false, refreshes, 2, 0, 50},
		{"a fetch and a refresh in two replicas", false, false, refreshes, 2, 0, 50},
		{"a fetch and a refresh in one process, rotating", true, true, refreshes, 2, 0, 50},
		{"two fetches for one audience in two replicas, rotating", true, false, fetches("urn:a"), 1, 1, 4000},
		{"two fetches for two audiences in two replicas, rotating", true, false, fetches("urn:b"), 2, 0, 100},
		{"two fetches for two audiences in two replicas", false, false, fetches("urn:b"), 2, 1, 1500},
		{"two fetches for two audiences in one process, rotating", true, true, fetches("urn:b"), 2, 1, 100},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			everyOrder(t, row.rotates, row.patient, row.orders, func(t *testing.T, r *race) func() {
				from := generation(0)
				a, b := r.replica(), r.replica()
				if row.one {
					b = a
				}
				var errs [2]error
				first, second := fetches("urn:a")(r, a, from), row.other(r, b, from)
				r.enters("a", func(ctx context.Context) { errs[0] = first(ctx) })
				r.enters("b", func(ctx context.Context) { errs[1] = second(ctx) })
				return func() {
					if err := errors.Join(errs[:]...); err != nil {
						t.Errorf("%s: got error %v; want none", r.story(), err)
					}
					if len(r.sent) != row.requests || r.most != 1 || row.rotates && len(slices.Compact(slices.Sorted(slices.Values(r.sent)))) != len(r.sent) {
						t.Errorf("%s: got %q sent, %d at once; want %d, each once, one at a time", r.story(), r.sent, r.most, row.requests)
					}
					if row.rotates {
						if last := r.replica().Last(t.Context(), from); int(last.Generation) != row.requests || last.RefreshToken != fmt.Sprint("token ", row.requests) {
							t.Errorf("%s: got %+v as the newest; want generation %d", r.story(), last, row.requests)
						}
					}
				}
			})
		})
	}
}
