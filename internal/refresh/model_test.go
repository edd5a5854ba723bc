package refresh_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// play is who meets in one model: so many refreshes of one session, each in a
// replica of its own, and what ends it.
type play struct {
	name       string
	generation uint64
	refreshes  int
	stays      bool // the provider does not rotate, as Logto most of the time
	final      bool // the provider refuses a token that was revoked
	ends       end
	budget
	orders int // at least so many; fewer, and some were left out
}

// end is how the session ends.
type end int

const (
	elsewhere   end = iota // a sign-out in another replica
	here                   // a sign-out in the first refresh's
	backChannel            // a logout token, which looks for no successor
	nowhere                // it does not
)

// CASES 4.7, in every order of reads and writes: the parties are stepped through
// the interleavings of their operations on shared state; the provider's answer is
// one more. The numbers of orders are those of all there are, or of all with so
// many preemptions.
func TestASignOutWinsInEveryOrder(t *testing.T) {
	t.Parallel()
	all := budget{preemptions: -1}
	for _, p := range []play{
		{name: "the token rotates", budget: all, orders: 31},
		{name: "the generation before is superseded", generation: 1, budget: all, orders: 31},
		{name: "the token stays the same", stays: true, budget: all, orders: 31},
		{name: "the provider refuses a revoked token", stays: true, final: true, budget: all, orders: 31},
		{name: "in the process that refreshes", ends: here, budget: all, orders: 31},
		{name: "in the process that refreshes, superseding", generation: 1, ends: here, budget: all, orders: 31},
		{name: "a back-channel logout", ends: backChannel, budget: all, orders: 8},
		{name: "a back-channel logout, superseding", generation: 1, ends: backChannel, budget: all, orders: 9},
	} {
		p.refreshes = 1
		p.everyOrder(t)
	}
}

// CASES 4.7. Two replicas find the session expired at the same time, and it is
// ended: all orders with two or three preemptions, and one look of who waits
// before all others wait as well.
func TestASignOutWinsOverTwoRefreshesInEveryOrder(t *testing.T) {
	t.Parallel()
	for _, p := range []play{
		{name: "elsewhere", budget: budget{preemptions: 3, ticks: 1}, orders: 4800},
		{name: "in one of the two processes", ends: here, budget: budget{preemptions: 2, ticks: 1}, orders: 3300},
		{name: "by back-channel logout", ends: backChannel, budget: budget{preemptions: 3, ticks: 1}, orders: 1400},
		{name: "nowhere, and the lease ends in the middle", ends: nowhere, budget: budget{preemptions: 2, ticks: 1, lapses: 1}, orders: 1600},
	} {
		p.refreshes = 2
		p.everyOrder(t)
	}
}

// Shared state fails once: at each operation of each order, done or not.
func TestASignOutThatIsReportedHoldsWhereverSharedStateFails(t *testing.T) {
	t.Parallel()
	once := budget{preemptions: -1, failures: 1}
	for _, p := range []play{
		{name: "the token rotates", budget: once, orders: 260},
		{name: "the generation before is superseded", generation: 1, budget: once, orders: 320},
		{name: "the provider refuses a revoked token", stays: true, final: true, budget: once, orders: 260},
		{name: "in the process that refreshes", ends: here, budget: once, orders: 260},
		{name: "a back-channel logout", ends: backChannel, budget: once, orders: 70},
	} {
		p.refreshes = 1
		p.everyOrder(t)
	}
}

func (p play) everyOrder(t *testing.T) {
	t.Run(p.name, func(t *testing.T) {
		t.Parallel()
		orders, outcomes := 0, map[string]int{}
		for choices := []int{}; choices != nil && !t.Failed(); orders++ {
			synctest.Test(t, func(t *testing.T) {
				s := &stage{play: p, t: t, w: newWorld(t)}
				taken, from := s.order(choices)
				outcomes[s.outcome()]++
				choices = following(taken, from)
			})
		}
		if orders < p.orders || len(outcomes) < 2 {
			t.Errorf("got %d orders with outcomes %v; want %d or more", orders, outcomes, p.orders)
		}
		t.Logf("%d orders: %v", orders, outcomes)
	})
}

// stage is one order of a play.
type stage struct {
	play
	t *testing.T
	w *world

	mu        sync.Mutex
	trace     []string
	verdicts  map[string]verdict // of each actor's operation under way
	alive     map[string]bool    // refresh tokens at the provider
	replicas  []*refresh.Group
	refreshed []outcome // by replica
	reported  error     // of the sign-out
}

func (s *stage) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, what)
}

func who(ctx context.Context) string { return ctx.Value(actor{}).(string) }

// order plays one order and checks what must hold in each.
func (s *stage) order(choices []int) (taken, from []int) {
	sched := &scheduler{budget: s.budget, waiting: make(map[string]chan verdict), reliable: make(map[string]bool)}
	if s.refreshes == 2 && s.ends != here {
		sched.alike = [2]string{"refresh 1", "refresh 2"}
	}
	s.verdicts = make(map[string]verdict)
	s.w.before = func(ctx context.Context, operation, _ string) error {
		if ctx.Value(actor{}) == nil { // what is held is written once more, in a time of its own
			return nil
		}
		v := sched.turn(ctx, false)
		s.mu.Lock()
		s.verdicts[who(ctx)] = v
		s.mu.Unlock()
		s.note(strings.TrimSpace(fmt.Sprintf("%s %s%c", who(ctx), operation, v)))
		if v == failed {
			return errDown
		}
		return nil
	}
	s.w.lost = func(ctx context.Context) error {
		if ctx.Value(actor{}) == nil {
			return nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.verdicts[who(ctx)] == lost {
			return errDown
		}
		return nil
	}
	r := generation(s.generation)
	s.alive = map[string]bool{r.RefreshToken: true}
	s.w.answer = func(ctx context.Context, r *session.Session) (*session.Session, error) {
		sched.turn(ctx, true)
		return s.provide(ctx, r)
	}
	s.refreshed = make([]outcome, s.refreshes)
	for range s.refreshes + 1 {
		s.replicas = append(s.replicas, s.w.replica())
	}
	for i, n := range s.replicas[:s.refreshes] {
		sched.act(s.t.Context(), fmt.Sprint("refresh ", i+1), func(ctx context.Context) {
			next, err := n.Refresh(ctx, r, s.generation, true)
			s.refreshed[i] = outcome{next, err}
		})
	}
	if s.ends != nowhere {
		sched.act(s.t.Context(), "sign-out", func(ctx context.Context) { s.signOut(ctx, r) })
	}
	taken, from = sched.run(choices)
	after(2 * lease) // nobody goes on for longer
	s.w.before, s.w.lost, s.w.answer = nil, nil, nil
	s.check(r)
	return taken, from
}

// provide is the provider's answer to a refresh token. It asks no grant: a
// token that is revoked takes no other with it.
func (s *stage) provide(ctx context.Context, r *session.Session) (*session.Session, error) {
	s.note(who(ctx) + " provider")
	if s.final && slices.Contains(s.w.revoked, r.RefreshToken) {
		return refuse(ctx, r)
	}
	next := fresh(r)
	if s.stays {
		next.RefreshToken = r.RefreshToken
		return next, nil
	}
	next.RefreshToken += " of " + who(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.alive, r.RefreshToken)
	s.alive[next.RefreshToken] = true
	return next, nil
}

// signOut is what the root package does: end first, then look for the newest
// token and revoke it.
func (s *stage) signOut(ctx context.Context, r *session.Session) {
	if s.ends == backChannel {
		s.reported = s.w.state.End(ctx, sharedstate.EndedProviderSession, []byte("s1"), sharedstate.SignedOut, r.AccessExpiry)
		return
	}
	newest := r
	if s.reported = s.w.state.End(ctx, sharedstate.EndedSession, r.ID[:], sharedstate.SignedOut, r.AccessExpiry); s.reported == nil {
		newest = s.signingOut().Last(ctx, r)
	}
	s.w.revoke(newest)
}

// signingOut is the replica that signs out.
func (s *stage) signingOut() *refresh.Group {
	if s.ends == here {
		return s.replicas[0]
	}
	return s.replicas[len(s.replicas)-1]
}

// left returns the refresh tokens that are alive at the provider.
func (s *stage) left() []string {
	alive := maps.Clone(s.alive)
	for _, token := range s.w.revoked {
		delete(alive, token)
	}
	return slices.Sorted(maps.Keys(alive))
}

// place returns where in the order something happened last, or -1.
func (s *stage) place(what string) int {
	for i := len(s.trace) - 1; i >= 0; i-- {
		if s.trace[i] == what {
			return i
		}
	}
	return -1
}

// check is what must hold after each order.
func (s *stage) check(r *session.Session) {
	s.t.Helper()
	wrong := func(format string, args ...any) {
		s.t.Helper()
		s.t.Errorf("%s: %s", strings.Join(s.trace, ", "), fmt.Sprintf(format, args...))
	}
	failing := s.budget.failures > 0
	sent := slices.Sorted(slices.Values(s.w.sent))
	if n := len(slices.Compact(slices.Clone(sent))); n != len(sent) && s.lapses == 0 {
		wrong("got tokens %q sent; want each once", sent)
	}
	for i, got := range s.refreshed {
		s.checkRefreshed(r, fmt.Sprint("refresh ", i+1), got, wrong)
	}
	if s.ends == nowhere || s.reported != nil {
		return
	}
	if got := s.w.standing(s.t, r); !got.Ended {
		wrong("got %+v; want it ended", got)
	}
	if s.ends == backChannel || failing {
		s.presented(r)
	}
	if left := s.left(); len(left) > 0 {
		wrong("got %q revoked and %q alive; want none alive", s.w.revoked, left)
	}
	after(2 * lease) // nothing is left of locks and back-offs
	for i, n := range append(s.replicas, s.w.replica()) {
		next, err := n.Refresh(s.t.Context(), r, s.generation, true)
		if err == nil || next != nil || !refresh.Over(err) {
			wrong("replica %d afterwards: got %v, %v; want it ended", i, next, err)
		}
	}
	if len(s.w.sent) != len(sent) {
		wrong("got tokens %q sent afterwards; want none", s.w.sent[len(sent):])
	}
}

// checkRefreshed is what must hold for one refresh.
func (s *stage) checkRefreshed(r *session.Session, name string, got outcome, wrong func(string, ...any)) {
	s.t.Helper()
	if got.err == nil {
		standing := s.w.standing(s.t, r)
		if got.record == nil || standing.Successor == nil {
			wrong("%s: got %v, and %+v; want a record that stands in shared state", name, got.record, standing)
			return
		}
		if next, err := s.w.state.Successor(r, standing.Successor); err != nil || !sameSession(next, got.record) {
			wrong("%s: got a record that is not the one in shared state (%v)", name, err)
		}
	}
	ended := s.place("sign-out set e")
	answered, added, looked := s.place(name+" provider"), s.place(name+" add n"), s.place(name+" get")
	if s.reported != nil || ended < 0 || answered < 0 || s.budget.failures > 0 {
		return
	}
	if ended < answered && added > answered {
		wrong("%s: wrote a successor; want none, since the session had ended before the provider answered", name)
	}
	if ended < looked && !s.stays && len(s.w.sent) == 1 {
		if token := fresh(r).RefreshToken + " of " + name; !slices.Contains(s.w.revoked, token) {
			wrong("%s: got %q revoked; want what it received, since it looked after the end was written", name, s.w.revoked)
		}
	}
}

// presented is what the root package does when somebody comes with a session that
// has ended: with the old cookie or the new one, at each replica.
func (s *stage) presented(r *session.Session) {
	for i, n := range s.replicas {
		shown := []*session.Session{r}
		if i < len(s.refreshed) && s.refreshed[i].record != nil {
			shown = append(shown, s.refreshed[i].record)
		}
		for _, shown := range shown {
			if s.w.standing(s.t, shown).Ended {
				s.w.revoke(n.Last(s.t.Context(), shown))
			}
		}
	}
}

func (s *stage) outcome() string {
	said := ""
	for _, got := range s.refreshed {
		said += fmt.Sprintf(", record %v, error %v", got.record != nil, got.err != nil)
	}
	return fmt.Sprintf("asked %d, revoked %d%s, sign-out reported %v", len(s.w.sent), len(s.w.revoked), said, s.reported == nil)
}
