//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

// One person in oneIn has a second browser.
const oneIn = 10

// What a copy of a person's cookies is for.
const (
	inUse  = "used at the same time as by the owner"
	asleep = "asleep for minutes"
	backup = "a backup that the owner goes back to"
)

// ripe is how many times of grace it takes until a copy must be stale: three in
// which the owner's browser gets a new cookie, one more if a late request has
// brought an old one, and one more if Redis failed at that moment.
const ripe = 5

// A thief is a second browser with copied cookies. It never signs out, and
// never signs in.
type thief struct {
	*world
	kind    string
	browser *browser
	random  *rand.Rand
	of      *session
	taken   time.Time

	// What follows is guarded by the journal.
	looks   int    // how often it was let in
	fate    string // why it gave up; "" if it has not
	refused time.Time
	event   string // what the application said when it refused
}

// Why a thief gives up.
const (
	ended      = "dead" // the owner had asked for the session's end
	stale      = "stale"
	refused    = "refused, although its owner had not asked for that"
	stillWorks = "accepted after its owner's end"
	pointless  = "nothing is promised" // the session was lost, or a sign-out was not complete
)

// beCopied makes a copy of the person's cookies, if it is time for one.
func (p *person) beCopied() {
	if !p.watched || p.now == nil || !p.now.ending.IsZero() || p.journal.busy(p.thief, p.now) {
		return
	}
	kind := []string{inUse, asleep, backup}[p.chance.IntN(3)]
	if kind == backup && p.world.sessions == "redis" {
		kind = inUse // the cookie is a name that does not change
	}
	p.giveAway(kind, p.steal())
}

// giveAway gives copied cookies to a thief.
func (p *person) giveAway(kind string, cookies stolen) {
	t := &thief{
		world: p.world, kind: kind, browser: newBrowser(p.browser.client.Transport), of: cookies.of, taken: time.Now(),
		random: rand.New(rand.NewPCG(p.seed, p.chance.Uint64())),
	}
	t.browser.jar.SetCookies(p.base, cookies.values)
	p.journal.steals(t)
	p.thief, p.thieves = t, append(p.thieves, t)
	if kind != backup {
		p.fresh = append(p.fresh, t)
	}
}

// live uses the copy until it is of no use, or day ends.
func (t *thief) live(ctx, day context.Context) {
	nap := t.between(shortestPause, longestPause)
	if t.kind == asleep {
		nap = t.between(t.duration/4, t.duration/2)
	}
	for {
		pass(day, nap)
		if day.Err() != nil || t.look(ctx) {
			return
		}
		if t.kind == asleep {
			nap = t.between(t.duration/12, t.duration/6)
		} else {
			nap = t.between(shortestPause, longestPause)
		}
	}
}

func (t *thief) between(least, most time.Duration) time.Duration {
	return least + time.Duration(t.random.Int64N(int64(most-least)))
}

// look opens the account page, and reports whether the copy is of no use any
// more. Only a copy in use keeps the cookies that it gets.
func (t *thief) look(ctx context.Context) (over bool) {
	sent := time.Now()
	a, err := t.browser.send(ctx, navigation(t.at(accountPath), "document"), t.kind == inUse)
	return t.journal.looked(t, sent, a.outcome(ctx, err), a.event())
}

// goBack restores the browser's cookies from a backup that must be stale, and
// leaves the newer ones to a thief. The person has to sign in then, which ends
// the session for the thief.
func (p *person) goBack(ctx context.Context) {
	s, newer, old := p.now, p.steal(), p.thief
	p.put(old.browser.session(p.base))
	sent := time.Now()
	a, err := p.browser.send(ctx, navigation(p.at(accountPath), "document"), true)
	outcome := a.outcome(ctx, err)
	p.journal.request(nil, sent, outcome, true)
	switch {
	case outcome == askedToSignIn && a.event() == staleEvent:
		p.journal.looked(old, sent, outcome, a.event())
		p.journal.ending(s)
		p.giveAway(inUse, newer)
		p.now, p.before, p.behind = nil, s, s
	case outcome == askedToSignIn:
		p.journal.loses(s, a.event())
		p.settle(s)
	case outcome == "":
		p.journal.looked(old, sent, outcome, a.event())
	default:
		p.put(newer.values) // and tries again later
	}
}

// put gives the browser other cookies of the session.
func (p *person) put(cookies []*http.Cookie) {
	for _, c := range p.browser.session(p.base) {
		p.browser.jar.SetCookies(p.base, []*http.Cookie{{Name: c.Name, Path: "/", MaxAge: -1}})
	}
	p.browser.jar.SetCookies(p.base, values(cookies))
}

// values are cookies as a browser has them, to be set in another.
func values(cookies []*http.Cookie) (all []*http.Cookie) {
	for _, c := range cookies {
		all = append(all, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/"})
	}
	return all
}

// steals notes a copy.
func (j *journal) steals(t *thief) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.thieves = append(j.thieves, t)
}

// busy reports whether a thief still uses a copy of a session.
func (j *journal) busy(t *thief, s *session) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return t != nil && t.of == s && t.fate == ""
}

// looked notes what a thief saw, and reports whether it gives up.
func (j *journal) looked(t *thief, sent time.Time, outcome, event string) (over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := t.of
	after := !s.over.IsZero() && sent.After(s.over)
	switch {
	case outcome == "" && after && s.unsettled():
		t.fate = pointless
	case outcome == "" && after:
		j.accepts(s)
		t.fate = stillWorks
	case outcome == "":
		if t.kind != inUse && j.mustBeStale(t) {
			j.overdue++
		}
		t.looks++
	case outcome == askedToSignIn && event == staleEvent:
		t.fate = stale
	case outcome == askedToSignIn && (after || !s.ending.IsZero()):
		t.fate = ended
	case outcome == askedToSignIn:
		t.fate = refused
	}
	if t.fate != "" {
		t.refused, t.event = time.Now(), event
	}
	return t.fate != ""
}

// mustBeStale reports whether a copy that has not been used since it was taken
// must be stale. The caller holds j.mu.
func (j *journal) mustBeStale(t *thief) bool {
	if t.world.sessions == "redis" || j.forgottenSince(t.taken) {
		return false
	}
	times, last := 0, t.taken
	for _, at := range t.of.moved {
		if at.Sub(last) > graceTime+time.Second {
			times, last = times+1, at
		}
	}
	return times >= ripe+t.looks
}

// forgottenSince reports whether Redis may have lost what it knew at a time. The
// caller holds j.mu.
func (j *journal) forgottenSince(at time.Time) bool {
	return !j.forgot.IsZero() && (j.back.IsZero() || at.Before(j.back))
}

// canGoBack reports whether a backup must be stale. One from before Redis lost
// its data is given up.
func (j *journal) canGoBack(t *thief) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.forgottenSince(t.taken) {
		t.fate = pointless
		return false
	}
	return j.mustBeStale(t)
}
