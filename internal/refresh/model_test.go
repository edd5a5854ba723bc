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

// This file checks a model: requests of one session, and what ends that, are
// parties which are stepped through every order of their operations on shared
// state and of the provider's answers (see scheduler). The rules that hold
// after each order are in stage.check.
//
// To extend it, add the new party in stage.play, what it may return in
// stage.checkParty, and a scenario with it to one of the tests.

// scenario is who takes part, and what the provider does.
type scenario struct {
	name       string
	generation uint64 // that all parties begin with; from 1 on, the one before is superseded
	refreshes  int
	fetches    []string // audiences
	together   bool     // all in one process; otherwise each in its own
	ends       end

	rotates bool // the provider rotates the refresh token with each token response
	final   bool // the provider refuses a refresh token that was revoked

	budget
	asked  int // how many token requests there are, if that is certain
	orders int // at least so many, or some were left out
}

// end is how the session ends.
type end int

const (
	signOut     end = iota // in another process
	signOutHere            // in the process of the first refresh
	backChannel            // by a logout token, which looks for no successor
	never
)

// A sign-out wins over a refresh that is under way: no token is left alive.
func TestEveryOrder_RefreshAndSignOut(t *testing.T) {
	all := budget{preemptions: -1}
	for _, s := range []scenario{
		{name: "the refresh token rotates", rotates: true, budget: all, orders: 31},
		{name: "the generation before is superseded", generation: 1, rotates: true, budget: all, orders: 37},
		{name: "the refresh token stays the same", budget: all, orders: 31},
		{name: "the provider refuses a revoked token", final: true, budget: all, orders: 31},
		{name: "in one process", rotates: true, ends: signOutHere, budget: all, orders: 31},
		{name: "in one process, superseding", generation: 1, rotates: true, ends: signOutHere, budget: all, orders: 37},
		{name: "back-channel logout", rotates: true, ends: backChannel, budget: all, orders: 36},
		{name: "back-channel logout, superseding", generation: 1, rotates: true, ends: backChannel, budget: all, orders: 45},
	} {
		s.refreshes = 1
		s.everyOrder(t)
	}
}

// The orders are those with few preemptions, and with one tick.
func TestEveryOrder_TwoRefreshesAndSignOut(t *testing.T) {
	few, fewer := budget{preemptions: 2 + 2*deep, ticks: 1}, budget{preemptions: 1 + 2*deep, ticks: 1}
	lapsing := budget{preemptions: 1 + 2*deep, ticks: 1, lapses: 1}
	for _, s := range []scenario{
		{name: "in a third process", budget: few, orders: []int{1740, 12237}[deep]},
		{name: "in one of the two processes", ends: signOutHere, budget: fewer, orders: []int{608, 10984}[deep]},
		{name: "back-channel logout", ends: backChannel, budget: few, orders: []int{1821, 17632}[deep]},
		{name: "no sign-out, and the lease ends", ends: never, budget: lapsing, orders: []int{610, 4415}[deep]},
	} {
		s.refreshes, s.rotates = 2, true
		s.everyOrder(t)
	}
}

// At one operation of each order shared state fails: the operation is done or
// not, and those after it work or not.
func TestEveryOrder_SharedStateFails(t *testing.T) {
	for _, s := range []scenario{
		{name: "the refresh token rotates", rotates: true, refreshes: 1, orders: 380},
		{name: "the generation before is superseded", generation: 1, rotates: true, refreshes: 1, orders: 461},
		{name: "the provider refuses a revoked token", final: true, refreshes: 1, orders: 380},
		{name: "in one process", rotates: true, refreshes: 1, ends: signOutHere, orders: 380},
		{name: "back-channel logout", rotates: true, refreshes: 1, ends: backChannel, orders: 460},
		{name: "a fetch", generation: 1, rotates: true, fetches: []string{"urn:a"}, orders: 610},
		{name: "a refresh without a sign-out", generation: 1, rotates: true, refreshes: 1, ends: never, orders: 22},
		{name: "a fetch without a sign-out", generation: 1, rotates: true, fetches: []string{"urn:a"}, ends: never, orders: 28},
	} {
		s.budget = budget{preemptions: -1, faults: 1}
		s.everyOrder(t)
	}
}

func TestEveryOrder_FetchAndSignOut(t *testing.T) {
	for _, s := range []scenario{
		{name: "the refresh token rotates", rotates: true, orders: 38},
		{name: "the generation before is superseded", generation: 1, rotates: true, orders: 44},
		{name: "the refresh token stays the same", orders: 24},
		{name: "back-channel logout", rotates: true, ends: backChannel, orders: 55},
	} {
		s.fetches, s.final, s.budget = []string{"urn:a"}, true, budget{preemptions: -1}
		s.everyOrder(t)
	}
}

// No two token requests of one session are under way at once.
func TestEveryOrder_FetchesAndRefreshes(t *testing.T) {
	a, aa, ab := []string{"urn:a"}, []string{"urn:a", "urn:a"}, []string{"urn:a", "urn:b"}
	for _, s := range []scenario{
		{name: "a fetch and a refresh", refreshes: 1, fetches: a, asked: 2, orders: 41},
		{name: "a fetch and a refresh, rotating", rotates: true, refreshes: 1, fetches: a, asked: 2, orders: 43},
		{name: "a fetch and a refresh in one process", rotates: true, together: true, refreshes: 1, fetches: a, asked: 2, orders: 43},
		{name: "two fetches for one audience", rotates: true, fetches: aa, budget: budget{ticks: deep}, asked: 1, orders: []int{42, 5683}[deep]},
		{name: "two fetches for two audiences", fetches: ab, budget: budget{ticks: deep}, asked: 2, orders: []int{33, 1716}[deep]},
		{name: "two fetches for two audiences, rotating", rotates: true, fetches: ab, asked: 2, orders: 52},
		{name: "two fetches in one process", rotates: true, together: true, fetches: ab, budget: budget{ticks: 1}, asked: 2, orders: 45},
	} {
		s.preemptions = -1
		s.ends = never
		s.everyOrder(t)
	}
}

func (s scenario) everyOrder(t *testing.T) {
	t.Run(s.name, func(t *testing.T) {
		t.Parallel()
		orders, outcomes := 0, map[string]int{}
		for choices := []int{}; choices != nil && !t.Failed(); orders++ {
			synctest.Test(t, func(t *testing.T) {
				st := &stage{scenario: s, t: t, w: newWorld(t)}
				taken, of := st.play(choices)
				st.check()
				outcomes[st.summary()]++
				choices = following(taken, of)
			})
		}
		if orders < s.orders || s.ends != never && len(outcomes) < 3 {
			t.Errorf("got %d orders with outcomes %v; want %d or more", orders, outcomes, s.orders)
		}
		t.Logf("%d orders: %v", orders, outcomes)
	})
}

// stage is one order of a scenario.
type stage struct {
	scenario
	t         *testing.T
	w         *world
	scheduler scheduler
	from      *session.Session // that all parties begin with
	requests  []*requesting
	signedOut error // of the sign-out

	mu    sync.Mutex
	trace []string
	fates map[string]fate // of the operation under way, by party
	alive map[string]bool // refresh tokens at the provider
}

// requesting is a party that refreshes or fetches.
type requesting struct {
	name     string
	group    *refresh.Group
	audience string
	outcome
}

// play plays one order.
func (st *stage) play(choices []int) (taken, of []int) {
	st.scheduler = scheduler{budget: st.budget, waiting: make(map[string]turn)}
	st.from, st.fates = generation(st.generation), make(map[string]fate)
	st.alive = map[string]bool{st.from.RefreshToken: true}
	st.w.before, st.w.after, st.w.answer, st.w.fetch = st.beforeOperation, st.afterOperation, st.refresh, st.fetch
	for i := range st.refreshes {
		r := st.add(fmt.Sprint("refresh ", i+1), "")
		st.scheduler.start(r.name, func(ctx context.Context) {
			r.session, r.err = r.group.Refresh(ctx, st.from, st.generation, true)
		})
	}
	for i, audience := range st.fetches {
		r := st.add(fmt.Sprint("fetch ", i+1), audience)
		st.scheduler.start(r.name, func(ctx context.Context) {
			r.token, r.session, r.err = r.group.Token(ctx, st.from, st.generation, resource(audience))
		})
	}
	if len(st.requests) == 2 && st.ends != signOutHere && st.refreshes != 1 {
		st.scheduler.alike = [2]string{st.requests[0].name, st.requests[1].name}
	}
	if st.ends != never {
		st.scheduler.start("sign-out", st.signOut)
	}
	taken, of = st.scheduler.run(choices)
	wait(2 * lease) // no flight takes longer
	st.w.before, st.w.after, st.w.answer, st.w.fetch, st.w.rotates = nil, nil, nil, nil, st.rotates
	return taken, of
}

func (st *stage) add(name, audience string) *requesting {
	r := &requesting{name: name, group: st.w.replica(), audience: audience}
	if st.together && len(st.requests) > 0 {
		r.group = st.requests[0].group
	}
	st.requests = append(st.requests, r)
	return r
}

// beforeOperation waits for the turn of the party. What is written in the
// background has none.
func (st *stage) beforeOperation(ctx context.Context, operation, _ string) error {
	if who(ctx) == "" {
		return st.scheduler.background()
	}
	becomes := st.scheduler.await(ctx, false)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.fates[who(ctx)] = becomes
	st.trace = append(st.trace, who(ctx)+" "+operation+string(becomes))
	if becomes == failed || becomes == outage {
		return errDown
	}
	return nil
}

func (st *stage) afterOperation(ctx context.Context, _, _ string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.fates[who(ctx)] == lost {
		return errDown
	}
	return nil
}

// refresh and fetch are the provider's answers.

func (st *stage) refresh(ctx context.Context, s *session.Session) (*session.Session, error) {
	token, err := st.exchange(ctx, s)
	if err != nil {
		return nil, err
	}
	next := fresh(s)
	next.RefreshToken = token
	return next, nil
}

func (st *stage) fetch(ctx context.Context, s *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
	token, err := st.exchange(ctx, s)
	switch {
	case err != nil:
		return nil, nil, err
	case token == s.RefreshToken:
		return tokenFor(a, 0), nil, nil
	}
	next := rotated(s)
	next.RefreshToken = token
	return tokenFor(a, 0), next, nil
}

// exchange is the provider's answer to a refresh token: the one to use from now
// on. A token that is revoked does not take the whole grant with it.
func (st *stage) exchange(ctx context.Context, s *session.Session) (refreshToken string, err error) {
	st.scheduler.await(ctx, true)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.trace = append(st.trace, who(ctx)+" provider")
	switch {
	case st.final && st.w.hasRevoked(s.RefreshToken):
		_, err := refuse(ctx, s)
		return "", err
	case !st.rotates:
		return s.RefreshToken, nil
	}
	next := received(s, who(ctx))
	delete(st.alive, s.RefreshToken)
	st.alive[next] = true
	return next, nil
}

// received is the refresh token that a party gets for that of s.
func received(s *session.Session, party string) string {
	return fmt.Sprintf("token %d of %s", s.Generation+1, party)
}

// signOut does what packages lifecycle and signin do: it writes the end, looks
// for the newest generation, and revokes its token.
func (st *stage) signOut(ctx context.Context) {
	if st.ends == backChannel {
		st.signedOut = st.w.state.End(ctx, sharedstate.EndedProviderSession, []byte("s1"), sharedstate.SignedOut, st.from.AccessExpiry)
		return
	}
	group := st.w.replica()
	if st.ends == signOutHere {
		group = st.requests[0].group
	}
	newest := st.from
	st.signedOut = st.w.state.End(ctx, sharedstate.EndedSession, st.from.ID[:], sharedstate.SignedOut, st.from.AccessExpiry)
	if st.signedOut == nil {
		newest = group.Last(ctx, st.from)
	}
	_ = st.w.Revoke(ctx, newest)
}

// wrong reports that a rule is broken, and in which order.
func (st *stage) wrong(format string, args ...any) {
	st.t.Helper()
	st.t.Errorf("%s: %s", strings.Join(st.trace, ", "), fmt.Sprintf(format, args...))
}

// check is what must hold after each order.
func (st *stage) check() {
	st.t.Helper()
	for _, r := range st.requests {
		st.checkParty(r)
	}
	st.checkSent()
	switch {
	case st.ends == never:
		st.checkGoesOn()
	case st.signedOut == nil:
		st.checkEnded()
	}
}

// checkSent is what must hold for all token requests: a refresh token is used
// once, and no two are used at once.
func (st *stage) checkSent() {
	st.t.Helper()
	if st.lapses > 0 {
		return // two had a lease at once
	}
	if st.w.most > 1 {
		st.wrong("got %d token requests at once; want one", st.w.most)
	}
	once := slices.Compact(slices.Sorted(slices.Values(st.w.sent)))
	if st.rotates && len(once) != len(st.w.sent) {
		st.wrong("got tokens %q sent; want each once", st.w.sent)
	}
}

// checkParty is what must hold for one request.
func (st *stage) checkParty(r *requesting) {
	st.t.Helper()
	isFetch := strings.HasPrefix(r.name, "fetch")
	switch {
	case r.err == nil && (r.session == nil || isFetch != (r.token != nil)):
		st.wrong("%s: got %+v; want a session, and a token if it is a fetch", r.name, r.outcome)
	case r.err == nil && isFetch && r.token.Access != "access 0 for "+r.audience:
		st.wrong("%s: got %+v; want a token for %s", r.name, r.token, r.audience)
	case r.err == nil && !isFetch && !r.session.AccessExpiry.After(st.from.AccessExpiry):
		st.wrong("%s: got %+v; want it refreshed", r.name, r.session)
	case r.err == nil && (!isFetch || st.faults == 0) && !st.written(r.session):
		st.wrong("%s: got a session that is not in shared state", r.name)
	case r.err != nil && st.ends == never && st.faults+st.lapses == 0:
		st.wrong("%s: got %v; want no error", r.name, r.err)
	}
	ended := st.last("sign-out set e")
	answered, added, looked := st.last(r.name+" provider"), st.last(r.name+" add n"), st.last(r.name+" get")
	if st.signedOut != nil || ended < 0 || st.faults > 0 {
		return
	}
	if isFetch && (ended < looked) != refresh.Over(r.err) {
		st.wrong("%s: got %v; want a token only if its last look came before the end", r.name, r.err)
	}
	if answered < 0 {
		return
	}
	if ended < answered && added > answered {
		st.wrong("%s: wrote a successor; want none, since the session had ended before the provider answered", r.name)
	}
	token := received(st.from, r.name)
	if ended < looked && len(st.w.sent) == 1 && st.alive[token] && !slices.Contains(st.w.revoked, token) {
		st.wrong("%s: got %q revoked; want what it received, since it looked after the end", r.name, st.w.revoked)
	}
}

// last returns where in the order something happened last, or -1.
func (st *stage) last(what string) int {
	for i := len(st.trace) - 1; i >= 0; i-- {
		if st.trace[i] == what {
			return i
		}
	}
	return -1
}

// written reports whether a session is the first one, or among its successors
// in shared state.
func (st *stage) written(want *session.Session) bool {
	st.t.Helper()
	for s := st.from; ; {
		if sameSession(s, want) {
			return true
		}
		next, err := st.w.state.Successor(s, st.w.standing(st.t, s).Successor)
		if err != nil {
			return false
		}
		s = next
	}
}

// checkGoesOn is what must hold after an order without a sign-out.
func (st *stage) checkGoesOn() {
	st.t.Helper()
	if st.asked > 0 && len(st.w.sent) != st.asked {
		st.wrong("got tokens %q sent; want %d requests", st.w.sent, st.asked)
	}
	group := st.requests[0].group
	if last := group.Last(st.t.Context(), st.from); !st.alive[last.RefreshToken] {
		st.wrong("got %q of the newest generation; want it alive", last.RefreshToken)
	}
	// The browser comes back with its old cookie.
	_, _, err := group.Token(st.t.Context(), st.from, st.generation, resource("urn:c"))
	_, err2 := group.Refresh(st.t.Context(), st.from, st.generation, true)
	if err != nil || err2 != nil || len(st.w.revoked) > 0 {
		st.wrong("afterwards got %v, %v, and %q revoked; want the session alive", err, err2, st.w.revoked)
	}
	st.checkSent()
}

// checkEnded is what must hold once a sign-out has been reported as done.
func (st *stage) checkEnded() {
	st.t.Helper()
	if got := st.w.standing(st.t, st.from); !got.Ended {
		st.wrong("got %+v; want it ended", got)
	}
	if st.ends == backChannel || st.faults > 0 {
		st.present()
	}
	alive := maps.Clone(st.alive)
	for _, token := range st.w.revoked {
		delete(alive, token)
	}
	if len(alive) > 0 {
		st.wrong("got %q revoked and %q alive; want none alive", st.w.revoked, slices.Collect(maps.Keys(alive)))
	}
	sent := len(st.w.sent)
	for _, r := range append(st.requests, &requesting{name: "another process", group: st.w.replica()}) {
		next, err := r.group.Refresh(st.t.Context(), st.from, st.generation, true)
		token, _, err2 := r.group.Token(st.t.Context(), st.from, st.generation, resource("urn:a"))
		if next != nil || token != nil || !refresh.Over(err) || !refresh.Over(err2) {
			st.wrong("%s afterwards: got %v, %v and %v, %v; want it ended", r.name, next, err, token, err2)
		}
	}
	if len(st.w.sent) != sent {
		st.wrong("got tokens %q sent afterwards; want none", st.w.sent[sent:])
	}
}

// present does what package lifecycle does when a browser comes with a session
// that has ended, each process with the old cookie and the new one: it revokes
// the newest token.
func (st *stage) present() {
	for _, r := range st.requests {
		for _, shown := range []*session.Session{st.from, r.session} {
			if shown != nil && st.w.standing(st.t, shown).Ended {
				_ = st.w.Revoke(st.t.Context(), r.group.Last(st.t.Context(), shown))
			}
		}
	}
}

// summary tells outcomes apart.
func (st *stage) summary() string {
	said := fmt.Sprintf("asked %d, revoked %d, signed out %v", len(st.w.sent), len(st.w.revoked), st.signedOut == nil)
	for _, r := range st.requests {
		said += fmt.Sprintf(", %s %v", r.name, r.err == nil)
	}
	return said
}

// sameSession compares two sessions as they are written.
func sameSession(a, b *session.Session) bool {
	x, err := a.Append(nil)
	y, err2 := b.Append(nil)
	return err == nil && err2 == nil && string(x) == string(y)
}
