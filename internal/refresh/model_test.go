package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// This file checks a model: requests of one session over two replicas, and what
// ends that session, are parties which are stepped through every order of their
// operations on shared state and of the provider's answers (see scheduler). The
// rules that hold after each order are in stage.check.
//
// To extend it, add the new party in stage.play, what it may return in
// stage.checkParty, and a scenario with it to one of the tests.

// scenario is who takes part, and what the provider does.
type scenario struct {
	name      string
	newest    uint64 // generation, when the parties begin
	behind    uint64 // how many generations older the first party's cookie is, as if an answer was lost
	refreshes int
	again     bool     // each refreshes once more what it got: access tokens expire at once
	fetches   []string // audiences
	together  bool     // all in one process; otherwise they take turns at two
	ends      []end

	rotates bool // the provider rotates the refresh token with each token response
	strict  bool // the provider refuses one that was revoked or used, which ends the whole grant

	budget
	asked int // how many token requests there are, if that is certain
}

// end is a party that ends the session.
type end string

const (
	signOut     end = "sign-out" // looks for the newest generation, and revokes it
	signOutHere end = "sign-out in the process of the first party"
	endSessions end = "EndSessions"
	logoutToken end = "logout token"
	// A sign-in replaces the session. It began before the other parties, or so late
	// that no other party began while it was under way.
	signIn      end = "sign-in"
	signInLater end = "later sign-in"
)

func ends(all ...end) []end { return all }

// A budget for two parties, and one for more.
var (
	exhaustive = budget{preemptions: -1}
	most       = budget{preemptions: 3 - 4*deep}
)

// A sign-out wins over a refresh that is under way: no token is left alive. After
// any other end none is revoked.
func TestEveryOrder_RefreshAndEnd(t *testing.T) {
	for _, s := range []scenario{
		{name: "the refresh token rotates", rotates: true, ends: ends(signOut)},
		{name: "the refresh token rotates, and its browser has an old cookie", newest: 2, behind: 2, rotates: true, ends: ends(signOut)},
		{name: "the refresh token stays the same", ends: ends(signOut)},
		{name: "the provider refuses a revoked token", strict: true, ends: ends(signOut)},
		{name: "in one process", rotates: true, ends: ends(signOutHere)},
		{name: "in one process, with an old cookie", newest: 2, behind: 1, rotates: true, ends: ends(signOutHere)},
		{name: "a logout token", newest: 1, rotates: true, strict: true, ends: ends(logoutToken)},
		{name: "EndSessions", newest: 1, rotates: true, strict: true, ends: ends(endSessions)},
		{name: "a sign-in", rotates: true, strict: true, ends: ends(signIn)},
		{name: "a sign-in, with a stale cookie", newest: 2, behind: 2, rotates: true, strict: true, ends: ends(signIn)},
	} {
		s.refreshes, s.budget = 1, most
		s.everyOrder(t)
	}
}

// A sign-in that has noted the number of EndSessions lives; all others are ended.
func TestEveryOrder_SignIn(t *testing.T) {
	for _, s := range []scenario{
		{name: "and EndSessions", budget: exhaustive, ends: ends(signIn, endSessions)},
		{name: "and EndSessions before it began", budget: exhaustive, ends: ends(signInLater, endSessions)},
		{name: "and a logout token", budget: exhaustive, ends: ends(signIn, logoutToken)},
		{name: "and a sign-out", budget: exhaustive, ends: ends(signIn, signOut)},
		{name: "EndSessions, and a refresh", refreshes: 1, budget: budget{preemptions: 2 + deep}, ends: ends(signInLater, endSessions)},
		{name: "a sign-out, and a refresh", refreshes: 1, budget: budget{preemptions: 2 + deep}, ends: ends(signIn, signOut)},
	} {
		s.rotates, s.strict = true, true
		s.everyOrder(t)
	}
}

func TestEveryOrder_TwoEnds(t *testing.T) {
	few := budget{preemptions: 2 + deep}
	for _, s := range []scenario{
		{name: "a sign-out and EndSessions", budget: few, ends: ends(signOut, endSessions)},
		{name: "a sign-out and a logout token", budget: few, ends: ends(signOut, logoutToken)},
		{name: "EndSessions twice", budget: few, ends: ends(endSessions, endSessions)},
	} {
		s.refreshes, s.rotates, s.strict = 1, true, true
		s.everyOrder(t)
	}
}

// The orders are those with few preemptions, and with one tick.
func TestEveryOrder_TwoRefreshesAndEnd(t *testing.T) {
	few, fewer := budget{preemptions: 1 + deep, ticks: 1}, budget{preemptions: 1 + deep}
	for _, s := range []scenario{
		{name: "a sign-out in a third process", budget: few, ends: ends(signOut)},
		{name: "a sign-out in one of the two processes", budget: few, ends: ends(signOutHere)},
		{name: "a logout token", budget: few, ends: ends(logoutToken)},
		{name: "EndSessions", budget: few, ends: ends(endSessions)},
		{name: "a sign-in", budget: few, ends: ends(signIn)},
		{name: "none", budget: few},
		{name: "of two generations, and a sign-out", again: true, budget: fewer, ends: ends(signOut)},
		{name: "of two generations, and an old cookie", newest: 1, behind: 1, again: true, budget: fewer, ends: ends(endSessions)},
		{name: "of two generations", again: true, budget: fewer},
	} {
		s.refreshes, s.rotates, s.strict = 2, true, true
		s.everyOrder(t)
	}
}

// Between any two operations all that wait are stopped, for longer than a lease.
// Two may use a refresh token then, which may end the session, but nothing else.
func TestEveryOrder_Stopped(t *testing.T) {
	few := budget{preemptions: 1 + deep, lapses: 1}
	for _, s := range []scenario{
		{name: "two refreshes", refreshes: 2, budget: few},
		{name: "two refreshes of two generations", refreshes: 2, again: true, budget: budget{preemptions: 1, lapses: 1}},
		{name: "two refreshes and a sign-out", refreshes: 2, budget: budget{preemptions: 1 + deep, lapses: 1}, ends: ends(signOut)},
		{name: "a refresh and a sign-out", refreshes: 1, budget: few, ends: ends(signOut)},
		{name: "a refresh and EndSessions", refreshes: 1, budget: few, ends: ends(endSessions)},
		{name: "a refresh and a sign-in", refreshes: 1, budget: few, ends: ends(signIn)},
		{name: "a fetch and a sign-out", fetches: []string{"urn:a"}, budget: few, ends: ends(signOut)},
		{name: "EndSessions and a sign-in", budget: few, ends: ends(endSessions, signIn)},
	} {
		s.rotates, s.strict = true, true
		s.everyOrder(t)
	}
}

// At one operation of each order shared state fails: the operation is done or
// not, and those after it work or not.
func TestEveryOrder_SharedStateFails(t *testing.T) {
	a := []string{"urn:a"}
	all, few := budget{preemptions: -1, faults: 1}, budget{preemptions: 1 + 2*deep, faults: 1}
	for _, s := range []scenario{
		{name: "a refresh", newest: 1, rotates: true, strict: true, refreshes: 1, budget: all},
		{name: "a refresh of two generations", newest: 1, behind: 1, rotates: true, strict: true, refreshes: 1, again: true, budget: all},
		{name: "a fetch", newest: 1, rotates: true, strict: true, fetches: a, budget: all},
		{name: "a refresh and a sign-out", rotates: true, refreshes: 1, budget: few, ends: ends(signOut)},
		{name: "a refresh and a sign-out, and the provider refuses a revoked token", strict: true, refreshes: 1, budget: few, ends: ends(signOut)},
		{name: "a refresh and a sign-out in one process", rotates: true, refreshes: 1, budget: few, ends: ends(signOutHere)},
		{name: "a refresh and a logout token", rotates: true, refreshes: 1, budget: few, ends: ends(logoutToken)},
		{name: "a refresh and EndSessions", rotates: true, refreshes: 1, budget: few, ends: ends(endSessions)},
		{name: "a refresh and a sign-in", rotates: true, refreshes: 1, budget: few, ends: ends(signIn)},
		{name: "a fetch and a sign-out", newest: 1, rotates: true, fetches: a, budget: few, ends: ends(signOut)},
		{name: "EndSessions and a sign-in", budget: few, ends: ends(endSessions, signIn)},
	} {
		s.everyOrder(t)
	}
}

func TestEveryOrder_FetchAndEnd(t *testing.T) {
	for _, s := range []scenario{
		{name: "the refresh token rotates", rotates: true, ends: ends(signOut)},
		{name: "with an old cookie", newest: 2, behind: 2, rotates: true, ends: ends(signOut)},
		{name: "the refresh token stays the same", ends: ends(signOut)},
		{name: "a logout token", rotates: true, ends: ends(logoutToken)},
		{name: "EndSessions", rotates: true, ends: ends(endSessions)},
		{name: "a sign-in", rotates: true, ends: ends(signIn)},
	} {
		s.fetches, s.strict, s.budget = []string{"urn:a"}, true, most
		s.everyOrder(t)
	}
}

// No two token requests of one session are under way at once.
func TestEveryOrder_FetchesAndRefreshes(t *testing.T) {
	a, aa, ab := []string{"urn:a"}, []string{"urn:a", "urn:a"}, []string{"urn:a", "urn:b"}
	for _, s := range []scenario{
		{name: "a fetch and a refresh", refreshes: 1, fetches: a, asked: 2},
		{name: "a fetch and a refresh, rotating", rotates: true, refreshes: 1, fetches: a, asked: 2},
		{name: "a fetch and a refresh in one process", rotates: true, together: true, refreshes: 1, fetches: a, asked: 2},
		{name: "two fetches for one audience", rotates: true, fetches: aa, asked: 1},
		{name: "two fetches for two audiences", fetches: ab, budget: budget{ticks: deep}, asked: 2},
		{name: "two fetches for two audiences, rotating", rotates: true, fetches: ab, asked: 2},
		{name: "two fetches in one process", rotates: true, together: true, fetches: ab, budget: budget{ticks: 1}, asked: 2},
	} {
		s.preemptions, s.strict = -1, true
		s.everyOrder(t)
	}
	for _, s := range []scenario{
		{name: "a refresh, a fetch and a sign-out", refreshes: 1, fetches: a, ends: ends(signOut)},
		{name: "a refresh, a fetch and EndSessions", refreshes: 1, fetches: a, ends: ends(endSessions)},
		{name: "two refreshes and a fetch", refreshes: 2, fetches: a, asked: 2, budget: budget{preemptions: 1 + deep}},
		{name: "two fetches, and an old cookie", newest: 1, behind: 1, fetches: ab, asked: 2},
	} {
		s.rotates, s.strict = true, true
		if s.budget == (budget{}) {
			s.budget = budget{preemptions: 1 + deep, ticks: 1}
		}
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
		if orders < 10 || len(s.ends) > 0 && s.refreshes+len(s.fetches) > 0 && len(outcomes) < 2 {
			t.Errorf("got %d orders with outcomes %v; want more", orders, outcomes)
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
	cookies   []*session.Session // one of each generation, when the parties begin
	replicas  [2]*refresh.Group
	requests  []*requesting
	endings   []*ending

	mu    sync.Mutex
	trace []string
	fates map[string]fate // of the operation under way, by party
	alive map[string]bool // refresh tokens at the provider
	gone  bool            // the provider has ended the grant
}

// requesting is a party that refreshes or fetches.
type requesting struct {
	name     string
	group    *refresh.Group
	cookie   *session.Session
	audience string
	outcome
}

// ending is a party that ends the session.
type ending struct {
	end
	name    string
	err     error            // if it is nil, the end is written
	session *session.Session // of a sign-in
	refused bool             // the sign-in was refused, since it is older than EndSessions
}

// play plays one order.
func (st *stage) play(choices []int) (taken, of []int) {
	st.scheduler = scheduler{budget: st.budget, waiting: make(map[string]turn), lapsed: func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.trace = append(st.trace, lapse)
	}}
	st.fates, st.replicas = make(map[string]fate), [2]*refresh.Group{st.w.replica(), st.w.replica()}
	s := generation(0)
	for st.cookies = append(st.cookies, s); s.Generation < st.newest; st.cookies = append(st.cookies, s) {
		s = st.w.write(st.t, s, generation(s.Generation+1))
	}
	st.alive = map[string]bool{s.RefreshToken: true}
	st.w.meddle(st.beforeOperation, st.afterOperation)
	st.w.answer, st.w.fetch = st.refresh, st.fetch
	for i := range st.refreshes {
		r := st.add(fmt.Sprint("refresh ", i+1), "")
		st.scheduler.start(r.name, func(ctx context.Context) {
			r.session, r.err = r.group.Refresh(ctx, r.cookie, true)
			if st.again && r.err == nil {
				r.session, r.err = r.group.Refresh(ctx, r.session, true)
			}
		})
	}
	for i, audience := range st.fetches {
		r := st.add(fmt.Sprint("fetch ", i+1), audience)
		st.scheduler.start(r.name, func(ctx context.Context) {
			r.token, r.session, r.err = r.group.Token(ctx, r.cookie, resource(audience))
		})
	}
	if len(st.requests) == 2 && st.behind == 0 && !slices.Contains(st.ends, signOutHere) && st.refreshes != 1 {
		st.scheduler.alike = [2]string{st.requests[0].name, st.requests[1].name}
	}
	for i, kind := range st.ends {
		e := &ending{end: kind, name: fmt.Sprint(kind, " ", i+1)}
		st.endings = append(st.endings, e)
		st.scheduler.start(e.name, func(ctx context.Context) { e.err = st.finish(ctx, e) })
	}
	taken, of = st.scheduler.run(choices)
	wait(2 * lease) // no flight takes longer
	st.w.meddle(nil, nil)
	st.w.answer, st.w.fetch, st.w.rotates = nil, nil, st.rotates
	wait(2 * time.Second) // what is held is written
	return taken, of
}

func (st *stage) add(name, audience string) *requesting {
	i := len(st.requests)
	r := &requesting{name: name, group: st.replicas[i%2], cookie: st.cookies[st.newest], audience: audience}
	if st.together {
		r.group = st.replicas[0]
	}
	if i == 0 {
		r.cookie = st.cookies[st.newest-st.behind]
	}
	st.requests = append(st.requests, r)
	return r
}

// beforeOperation waits for the turn of the party. Writes in the background have no
// turn.
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
	if st.again && s.Generation < st.newest+1 {
		next.AccessExpiry = time.Now().Truncate(time.Second)
	}
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
// on.
func (st *stage) exchange(ctx context.Context, s *session.Session) (refreshToken string, err error) {
	st.scheduler.await(ctx, true)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.trace = append(st.trace, who(ctx)+" provider")
	switch {
	case st.strict && (st.gone || !st.alive[s.RefreshToken] || st.w.hasRevoked(s.RefreshToken)):
		// It may have been stolen: the provider ends the whole grant.
		st.gone = true
		clear(st.alive)
		_, err := refuse(ctx, s)
		return "", err
	case !st.rotates:
		return s.RefreshToken, nil
	}
	next := fmt.Sprintf("token %d of %s", s.Generation+1, who(ctx))
	delete(st.alive, s.RefreshToken)
	st.alive[next] = true
	return next, nil
}

// finish ends the session, as packages lifecycle and signin do.
func (st *stage) finish(ctx context.Context, e *ending) error {
	cookie := st.cookies[st.newest-st.behind]
	switch e.end {
	case endSessions:
		return st.w.state.EndPerson(ctx, "u1")
	case logoutToken:
		return st.w.state.EndByProvider(ctx, sharedstate.Ended{SessionID: "s1"}, time.Unix(cookie.IssuedAt, 0))
	case signIn, signInLater:
		return st.signIn(ctx, e, cookie)
	}
	group := st.replicas[1]
	if e.end == signOutHere {
		group = st.replicas[0]
	}
	err := st.w.state.EndSession(ctx, cookie.ID, sharedstate.SignedOut)
	newest, err2 := group.Last(ctx, cookie)
	_ = st.w.Revoke(ctx, newest)
	return errors.Join(err, err2)
}

// signIn does what lifecycle.Sessions.Start does.
func (st *stage) signIn(ctx context.Context, e *ending, old *session.Session) error {
	began := old.Created
	if e.end == signInLater {
		began = time.Now().Add(time.Hour)
	}
	person, err := st.w.state.Person(ctx, "u1")
	if err != nil {
		return err
	}
	s := another(session.ID{9})
	s.IssuedAt, s.Number, s.RefreshToken = old.IssuedAt+3600, person.Number, "token of the sign-in"
	standing, err := st.w.state.Look(ctx, s)
	if err != nil {
		return err
	}
	same, err := st.w.state.Same(ctx, "u1", person)
	switch {
	case err != nil:
		return err
	case standing.Ended != 0, person.Since.After(began), !same:
		e.refused = true
		return nil
	}
	if err := st.w.state.EndSession(ctx, old.ID, sharedstate.Replaced); err != nil {
		return err
	}
	e.session = s
	return nil
}

// wrong reports that a rule is broken, and in which order.
func (st *stage) wrong(format string, args ...any) {
	st.t.Helper()
	st.t.Errorf("%s: %s", strings.Join(st.trace, ", "), fmt.Sprintf(format, args...))
}

// lapsed reports whether leases have ended while their holders were stopped.
func (st *stage) lapsed() bool { return slices.Contains(st.trace, lapse) }

// twoLeases reports whether a lease has ended where its holder cannot notice:
// after it has looked at it for the last time, and before it has written what the
// provider has answered.
func (st *stage) twoLeases() bool {
	for _, r := range st.requests {
		look, begun := 0, false
		for i, what := range append(slices.Clone(st.trace), r.name+" add n") {
			switch {
			case what == r.name+" get" && !begun:
				look = i
			case what == r.name+" provider":
				begun = true
			case what == r.name+" add n" && begun:
				if slices.Contains(st.trace[look:min(i, len(st.trace))], lapse) {
					return true
				}
				begun = false
			}
		}
	}
	return false
}

// check checks what must hold after each order.
func (st *stage) check() {
	st.t.Helper()
	for _, r := range st.requests {
		st.checkParty(r)
	}
	st.checkSent()
	for _, e := range st.endings {
		st.checkSignIn(e)
	}
	ended := st.written()
	switch {
	case len(st.ends) == 0 && !st.gone:
		st.checkGoesOn()
	case len(ended) > 0:
		st.checkEnded()
	}
	if !slices.ContainsFunc(st.ends, end.isSignOut) && len(st.w.revoked) > 0 {
		st.wrong("got %q revoked; want none, since the session was not signed out", st.w.revoked)
	}
	st.checkReached()
}

func (e end) isSignOut() bool { return e == signOut || e == signOutHere }

// written returns the ends that are reported as written.
func (st *stage) written() (all []*ending) {
	for _, e := range st.endings {
		if e.err == nil && !e.refused {
			all = append(all, e)
		}
	}
	return all
}

// checkSent checks what must hold for all token requests: a refresh token is used
// once, and no two are used at once.
func (st *stage) checkSent() {
	st.t.Helper()
	if st.twoLeases() {
		return
	}
	if st.w.most > 1 {
		st.wrong("got %d token requests at once; want one", st.w.most)
	}
	once := slices.Compact(slices.Sorted(slices.Values(st.w.sent)))
	if st.rotates && len(once) != len(st.w.sent) {
		st.wrong("got tokens %q sent; want each once", st.w.sent)
	}
}

// checkParty checks what must hold for one request.
func (st *stage) checkParty(r *requesting) {
	st.t.Helper()
	isFetch := r.audience != ""
	switch {
	case r.err == nil && (r.session == nil || isFetch != (r.token != nil)):
		st.wrong("%s: got %+v; want a session, and a token if it is a fetch", r.name, r.outcome)
	case r.err == nil && isFetch && r.token.Access != "access 0 for "+r.audience:
		st.wrong("%s: got %+v; want a token for %s", r.name, r.token, r.audience)
	case r.err == nil && !isFetch && !r.session.AccessExpiry.After(r.cookie.AccessExpiry):
		st.wrong("%s: got %+v; want it refreshed", r.name, r.session)
	case r.err != nil && len(st.ends)+st.budget.faults == 0 && !st.lapsed():
		st.wrong("%s: got %v; want no error", r.name, r.err)
	}
	if st.budget.faults > 0 || st.lapsed() || len(st.written()) < len(st.endings) {
		return
	}
	looked, ended := st.last(r.name+" get"), len(st.trace)
	for _, e := range st.endings {
		ended = min(ended, max(st.last(e.name+" set e"), st.last(e.name+" add e"), st.last(e.name+" set x")))
	}
	if ended < looked && !refresh.Over(r.err) || ended > looked && r.err != nil {
		st.wrong("%s: got %v; want it signed in only if its last look came before the end", r.name, r.err)
	}
	if answered := st.last(r.name + " provider"); ended < answered && st.last(r.name+" add n") > answered {
		st.wrong("%s: wrote a successor; want none, since the session had ended before the provider answered", r.name)
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

// checkSignIn checks a sign-in during which EndSessions was called: it must be ended
// or refused if it has noted an older number, and must live otherwise.
func (st *stage) checkSignIn(e *ending) {
	st.t.Helper()
	other := slices.IndexFunc(st.endings, func(e *ending) bool { return e.end == endSessions })
	switch {
	case e.refused && other < 0:
		st.wrong("%s: got it refused; want a session, since nothing has ended it", e.name)
	case e.session == nil:
		return
	}
	standing := st.w.standing(st.t, e.session)
	if other < 0 {
		if standing.Ended != 0 {
			st.wrong("%s: got it ended %c; want a session", e.name, standing.Ended)
		}
		return
	}
	if st.budget.faults > 0 && st.endings[other].err != nil {
		return
	}
	noted, written := slices.Index(st.trace, e.name+" get"), max(st.last(st.endings[other].name+" set e"), st.last(st.endings[other].name+" set x"))
	if late := noted > written; late == (standing.Ended != 0) {
		st.wrong("%s: got %+v; want it to live only if it has read what EndSessions wrote", e.name, standing)
	}
	if e.end == signIn && noted > written {
		st.wrong("%s: got a session; want it refused, since it began before EndSessions", e.name)
	}
}

// checkGoesOn checks what must hold after an order without an end.
func (st *stage) checkGoesOn() {
	st.t.Helper()
	if st.asked > 0 && len(st.w.sent) != st.asked {
		st.wrong("got tokens %q sent; want %d requests", st.w.sent, st.asked)
	}
	// The browser comes back with any cookie that it may have.
	for _, cookie := range st.handedOut() {
		for _, group := range st.replicas {
			if last, _ := group.Last(st.t.Context(), cookie); !st.alive[last.RefreshToken] {
				st.wrong("generation %d leads to %q; want a token that is alive", cookie.Generation, last.RefreshToken)
			}
		}
	}
	first := st.cookies[0]
	_, _, err := st.replicas[1].Token(st.t.Context(), first, resource("urn:c"))
	_, err2 := st.replicas[0].Refresh(st.t.Context(), first, true)
	if err != nil || err2 != nil {
		st.wrong("afterwards got %v, %v; want the session alive", err, err2)
	}
	st.checkSent()
}

// handedOut returns each session whose cookie a browser may have.
func (st *stage) handedOut() []*session.Session {
	all := slices.Clone(st.cookies)
	for _, r := range st.requests {
		if r.session != nil {
			all = append(all, r.session)
		}
	}
	return all
}

// checkReached checks that each cookie leads to the newest generation, whatever the
// hint says.
func (st *stage) checkReached() {
	st.t.Helper()
	if st.budget.faults > 0 && st.w.standing(st.t, st.cookies[0]).Ended != 0 {
		return // what could not be written before the end is revoked
	}
	group, cookies := st.w.replica(), st.handedOut()
	newest, _ := group.Last(st.t.Context(), st.cookies[0])
	hint, hints := "", append([][]byte{nil}, st.w.hints...)
	if names := st.w.names["set h"]; len(names) > 0 {
		hint = names[0]
		// One that is too far ahead.
		far := generation(60)
		st.w.write(st.t, far, generation(61))
		hints = append(hints, st.w.hints[len(st.w.hints)-1])
		st.w.forget(st.t)
	}
	for i, value := range hints {
		noError(st.t, st.w.Memory.Delete(st.t.Context(), hint))
		if value != nil {
			noError(st.t, st.w.Memory.Set(st.t.Context(), hint, value, time.Hour))
		}
		for _, cookie := range cookies {
			if got, _ := group.Last(st.t.Context(), cookie); !st.twoLeases() && !sameSession(got, newest) {
				st.wrong("with hint %d, generation %d leads to %d with %q; want %d with %q",
					i, cookie.Generation, got.Generation, got.RefreshToken, newest.Generation, newest.RefreshToken)
			}
		}
	}
}

// checkEnded checks what must hold once an end has been reported as written.
func (st *stage) checkEnded() {
	st.t.Helper()
	if got := st.w.standing(st.t, st.cookies[0]); got.Ended == 0 {
		st.wrong("got %+v; want it ended", got)
	}
	st.checkRevoked()
	sent := len(st.w.sent)
	for _, group := range append(st.replicas[:], st.w.replica()) {
		for _, cookie := range st.handedOut() {
			next, err := group.Refresh(st.t.Context(), cookie, true)
			token, _, err2 := group.Token(st.t.Context(), cookie, resource("urn:a"))
			if next != nil || token != nil || !refresh.Over(err) || !refresh.Over(err2) {
				st.wrong("generation %d afterwards: got %v, %v and %v, %v; want it ended", cookie.Generation, next, err, token, err2)
			}
		}
	}
	if len(st.w.sent) != sent {
		st.wrong("got tokens %q sent afterwards; want none", st.w.sent[sent:])
	}
}

// checkRevoked checks what must hold once a sign-out has been reported as written:
// what was received for the session is revoked. If it had ended in another way before
// that, what a request received then is not revoked.
func (st *stage) checkRevoked() {
	st.t.Helper()
	if !slices.ContainsFunc(st.written(), func(e *ending) bool { return e.end.isSignOut() }) {
		return
	}
	alive := maps.Clone(st.alive)
	for _, token := range st.w.revoked {
		delete(alive, token)
	}
	for _, r := range st.requests {
		var over *refresh.Ended
		if errors.As(r.err, &over) && over.Reason != sharedstate.SignedOut {
			delete(alive, over.Session.RefreshToken)
		}
	}
	if len(alive) > 0 {
		st.wrong("got %q revoked and %q alive; want none alive", st.w.revoked, slices.Collect(maps.Keys(alive)))
	}
}

// summary tells outcomes apart.
func (st *stage) summary() string {
	said := fmt.Sprintf("asked %d, revoked %d", len(st.w.sent), len(st.w.revoked))
	for _, r := range st.requests {
		said += fmt.Sprintf(", %s %v", r.name, r.err == nil)
	}
	for _, e := range st.endings {
		said += fmt.Sprintf(", %s %v", e.name, e.err == nil && !e.refused)
	}
	return said
}

// sameSession compares two sessions as they are written.
func sameSession(a, b *session.Session) bool {
	x, err := a.Append(nil)
	y, err2 := b.Append(nil)
	return err == nil && err2 == nil && string(x) == string(y)
}
