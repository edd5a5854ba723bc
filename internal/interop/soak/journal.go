//go:build linux

package main

import (
	"sync"
	"time"
)

// A journal records what people and the soak itself saw. It is safe for
// concurrent use.
type journal struct {
	mu       sync.Mutex
	sessions []*session
	requests int
	outcomes map[string]int // of requests that failed
	copies   map[string]int // outcomes of requests with copies of ended sessions
	thieves  []*thief
	works    []worked // copies that worked after their session's end
	mixedUp  []string
	stale    int // browsers whose own cookie was taken for an old copy
	overdue  int // copies that were let in, although they had to be stale
	streams  []*stream
	probes   []probe
	calls    map[string]int // what became of the application's own ends
	faults   map[string]int
	troubles []trouble
	kills    map[string]time.Time // by incarnation
	// forgot is when Redis lost its data, and back when it ran again.
	forgot, back time.Time
	// What was left a while after all people had gone.
	leftGoroutines, leftRefreshes int
}

// trouble is a fault from its beginning to its end.
type trouble struct {
	name     string
	from, to time.Time
}

func newJournal() *journal {
	return &journal{
		outcomes: map[string]int{}, copies: map[string]int{}, calls: map[string]int{},
		faults: map[string]int{}, kills: map[string]time.Time{},
	}
}

// A session is one that a person has, or had, as far as the person can tell.
type session struct {
	person     string
	began      time.Time
	nonce, sid string      // of its sign-in, from the first page that it got
	asked      []time.Time // when requests were sent that a replica answered without a sign-in
	good       time.Time   // when the last one was sent that was answered as signed in
	// ending is when the person first asked for its end. From then on the
	// session may have ended, even if the answer was an error.
	ending time.Time
	tried  time.Time // when the person last asked for its end
	// blocked is when the person's account was blocked, if no webhook has told the
	// application.
	blocked time.Time
	over    time.Time
	how     string
	pages   []page
	moved   []time.Time // when the person's browser got a newer cookie
	event   string      // what the application said when it was lost
	tabs    int         // with events, that are open
}

// page says when a page that came was asked for, and when it came.
type page struct{ sent, came time.Time }

// worked says when a copy of a session that had ended worked.
type worked struct {
	of *session
	at time.Time
}

// How a session ended.
const (
	signedOut       = "signed out"
	incomplete      = "signed out, with a 503 that says that copies may still work"
	loggedOut       = "logged out by the provider"
	endedEverywhere = "signed out everywhere"
	byWebhook       = "ended by a webhook"
	refusedRefresh  = "ended by the refusal of a refresh, after a webhook that was not heard"
	replaced        = "ended by a sign-in with a stale cookie"
	lost            = "lost"
)

func (j *journal) begin(person string) *session {
	s := &session{person: person, began: time.Now()}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sessions = append(j.sessions, s)
	return s
}

// request counts one request, which may be for a session or for none. The
// outcome is "" if it succeeded.
func (j *journal) request(s *session, sent time.Time, outcome string, reached bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests++
	if outcome != "" {
		j.outcomes[outcome]++
	}
	if s != nil && reached && outcome != askedToSignIn {
		s.asked = append(s.asked, sent)
		if outcome == "" {
			s.good = later(s.good, sent)
			s.pages = append(s.pages, page{sent, time.Now()})
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// moves notes that a person's browser has got a newer cookie.
func (j *journal) moves(s *session) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.moved = append(s.moved, time.Now())
}

// page notes what a page said about a session.
func (j *journal) page(s *session, p accountPage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.Subject != s.person {
		j.mixedUp = append(j.mixedUp, s.person+" was shown the page of "+p.Subject)
		return
	}
	if s.nonce == "" {
		s.nonce, s.sid = p.Nonce, p.SessionID
	}
}

// ending notes that a person asks for a session's end.
func (j *journal) ending(s *session) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.tried = time.Now()
	if s.ending.IsZero() {
		s.ending = s.tried
	}
}

// blocks notes that the provider has blocked the session's person, and that the
// application was not told.
func (j *journal) blocks(s *session) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.blocked = time.Now()
}

// called notes what became of one of the application's own ends.
func (j *journal) called(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls[what]++
}

// unsettled reports whether nothing is promised about copies of a session that is over.
func (s *session) unsettled() bool {
	return s.how == lost || s.how == incomplete || s.how == refusedRefresh
}

// loses notes that a person was asked to sign in, and what the application said
// about the session.
func (j *journal) loses(s *session, event string) {
	j.end(s, lost)
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.event == "" {
		s.event = event
	}
	if event == staleEvent {
		j.stale++
	}
}

// end notes that a session has ended. It is not lost if its end was asked for.
func (j *journal) end(s *session, how string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case how == lost && !s.blocked.IsZero():
		how = refusedRefresh
	case how == lost && !s.ending.IsZero():
		how = signedOut
	}
	s.over, s.how = time.Now(), how
}

// copied notes the outcome of a request with cookies of a session that has ended.
// After Redis has lost its data, no replica knows of the end, even if the end was
// written just before and answered after that.
func (j *journal) copied(of *session, outcome string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if outcome == accepted {
		j.accepts(of)
		return
	}
	j.copies[outcome]++
}

// accepts notes that a copy of a session that has ended worked. The caller
// holds j.mu.
func (j *journal) accepts(of *session) {
	outcome := accepted
	if of.how != lost && j.forgottenSince(of.tried) {
		outcome = acceptedForgotten
	}
	j.copies[outcome]++
	if outcome == accepted {
		j.works = append(j.works, worked{of, time.Now()})
	}
}

// The outcomes of a request with a copy.
const (
	refusedCopy       = "refused"
	unanswered        = "answered with an error"
	accepted          = "accepted"
	acceptedForgotten = "accepted, after Redis lost its data"
)

// fault notes that a fault begins. The caller calls over when it has ended.
func (j *journal) fault(name string) (over func()) {
	from := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faults[name]++
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.troubles = append(j.troubles, trouble{name, from, time.Now()})
	}
}

func (j *journal) killed(incarnation string, at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kills[incarnation] = at
}

// forgets notes that Redis is about to lose its data.
func (j *journal) forgets() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forgot = time.Now()
}

// remembers notes that Redis runs again, without its data.
func (j *journal) remembers() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.back = time.Now()
}
