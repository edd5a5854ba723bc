//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// lookTimeout is that of package signin: how long a look at a stream's session may take.
const lookTimeout = 10 * time.Second

// rest is the longest time that a replica of package signin waits before it refreshes a
// session again, after failures of the provider that it has seen itself.
const rest = time.Minute

// streamFigures are what became of streams.
type streamFigures struct {
	ends       map[string]int // streams by why they ended
	late       int            // ended, or were open, too long after their session's end
	unfounded  int            // ended although nothing had happened to cause it
	latest     time.Duration  // from a session's end to that of a stream, at most
	afterwards int            // pages shown after the provider had refused to refresh
}

// judge judges when and why a stream ended.
func (a *auditor) judge(st *stream) {
	a.streams.ends[st.why]++
	if from := a.endOf(st.of); !from.IsZero() && st.over.After(from) {
		a.compare(st, from)
	}
	if !a.founded(st) {
		a.streams.unfounded++
		a.puzzleStream(st, "had no reason to end")
	}
}

// compare compares when a stream ended with when its session had.
func (a *auditor) compare(st *stream, from time.Time) {
	deadline := a.deadline(from)
	if a.forgottenBetween(st.of.tried, deadline) {
		return // no replica may know of the end
	}
	if st.why != closedStream {
		a.streams.latest = max(a.streams.latest, st.over.Sub(from))
	}
	if st.over.After(deadline) {
		a.streams.late++
		a.puzzleStream(st, "was late")
	}
}

func (a *auditor) puzzleStream(st *stream, what string) {
	a.puzzle(fmt.Sprintf("a stream of %s at %s, begun %.3f, %s: %s at %.3f", st.of.person, st.by, a.since(st.began), what,
		st.why, a.since(st.over)), a.gate.chains[st.of.nonce])
}

// endOf returns when a session had ended for certain; zero if that is not known. That
// of a blocked account is not refreshed any more.
func (a *auditor) endOf(s *session) time.Time {
	switch {
	case !s.blocked.IsZero():
		return s.blocked.Add(tokenLife + maxOffline)
	case s.unsettled():
		return time.Time{}
	}
	return s.over
}

// deadline returns when the streams of a session that ended at from must have ended:
// faults of Redis and a busy machine make it later.
func (a *auditor) deadline(from time.Time) time.Time {
	at := from.Add(streamEvery + lookTimeout + slack)
	for _, t := range a.journal.troubles { // the oldest first
		if slices.Contains(redisFaults, t.name) && t.to.After(from) && t.from.Before(at) {
			at = at.Add(t.to.Sub(t.from))
		}
	}
	return at.Add(4 * a.lag(from, at)) // a look is that many ways: Redis twice, and the provider twice
}

// lag returns the longest time that a probe took in a time.
func (a *auditor) lag(from, to time.Time) (longest time.Duration) {
	for _, p := range a.journal.probes {
		if p.at.Before(to) && p.at.Add(p.took).After(from) {
			longest = max(longest, p.took)
		}
	}
	return longest
}

// founded reports whether a stream had a reason to end.
func (a *auditor) founded(st *stream) bool {
	s, c := st.of, a.gate.chains[st.of.nonce]
	// Why a session was lost is judged apart; see whyLost.
	ends := s.how == lost || !s.ending.IsZero() && !st.over.Before(s.ending)
	killed, dead := a.journal.kills[st.by]
	switch st.why {
	case closedStream:
		return true
	case brokenStream:
		return dead && !st.over.Before(killed) && st.over.Before(killed.Add(moment+a.lag(killed, st.over)))
	case signedOutStream:
		return ends || c != nil && a.whyRevoked(c) != byNothingSeen
	case offlineStream:
		return ends || c != nil && a.wasOffline(c, st.over)
	}
	return false // no fault lasts long enough for another reason
}

// wasOffline reports whether a session had not been refreshed for MaxOffline, because
// of a fault. A refresh that another replica makes right now may come too late for it.
func (a *auditor) wasOffline(c *chain, at time.Time) bool {
	newest := c.generations[0]
	for _, g := range c.generations {
		if g.issued.Before(at.Add(-slack)) {
			newest = g
		}
	}
	if a.forgottenBetween(newest.issued, at) {
		return true // the replica may know of an older token only
	}
	due := newest.issued.Add(dueAfter - slack)
	return at.After(newest.issued.Add(tokenLife+maxOffline-2*slack)) &&
		(a.troubled(due, at, allFaults) || a.troubled(due.Add(-rest), at, providerFaults))
}

// forgottenBetween reports whether Redis has lost in a time what it was told before.
func (a *auditor) forgottenBetween(from, to time.Time) bool {
	return a.journal.forgottenSince(from) && a.journal.forgot.Before(to)
}

// troubled reports whether there was one of these faults in a time.
func (a *auditor) troubled(from, to time.Time, names []string) bool {
	return slices.ContainsFunc(a.journal.troubles, func(t trouble) bool {
		return t.to.After(from) && t.from.Before(to) && slices.Contains(names, t.name)
	})
}

// afterRefusal counts pages that came after the provider had refused to refresh the
// session of a blocked account, unless a fault kept that from the other replicas.
func (a *auditor) afterRefusal(s *session) (n int) {
	c := a.gate.chains[s.nonce]
	if s.blocked.IsZero() || c == nil {
		return 0
	}
	for _, u := range c.generations[len(c.generations)-1].uses {
		for _, p := range s.pages {
			from := u.answered.Add(slack + a.lag(u.answered, p.sent))
			if u.status/100 == 4 && p.sent.After(from) && !a.troubled(u.answered, p.came, allFaults) {
				n++
			}
		}
	}
	return n
}

// tally is the part of the table about streams, and about what the application ends.
func (a *auditor) tally(r *report) {
	r.section("ends by the application")
	r.list("", a.journal.calls)
	r.section("streams")
	r.line("begun", len(a.journal.streams))
	r.list("ended: ", a.streams.ends)
	r.line("the latest after its session had ended", a.streams.latest.Round(10*time.Millisecond))
	r.line("the longest time that a page without a session took", a.lag(a.began, a.ended).Round(10*time.Millisecond))
}

// keeps says which promises about streams were kept.
func (a *auditor) keeps(r *report) {
	j := a.journal
	r.promise("each stream ends with its session, as soon as the next look can tell", a.streams.late == 0)
	r.promise("a stream ends only with its session, its replica, or MaxOffline", a.streams.unfounded == 0)
	r.promise("no page is shown after the refusal of a refresh, when a webhook was not heard", a.streams.afterwards == 0)
	r.promise("when all people have gone, no goroutine of package signin is left, and no session is refreshed",
		j.leftGoroutines == 0 && j.leftRefreshes == 0)
	if a.people >= 100 && a.duration >= time.Minute {
		some := a.streams.ends[signedOutStream] > 0 && a.streams.ends[closedStream] > 0
		if a.op.test != nil {
			some = some && a.figures.sessions[byWebhook] > 0 && a.figures.sessions[refusedRefresh] > 0
		}
		r.promise("some streams end with their sessions, and some sessions with an account", some)
	}
}

// afterAll waits until nothing can be under way any more, and notes what is.
func (w *world) afterAll(ctx context.Context) {
	left := w.goroutines(ctx)
	until, enough := context.WithTimeout(ctx, lease+lookTimeout)
	defer enough()
	for len(left) > 0 && until.Err() == nil {
		pass(until, time.Second)
		left = w.goroutines(ctx)
	}
	for _, stack := range left {
		w.tell("UNEXPLAINED: %s", stack)
	}
	before, _ := w.gate.refreshes()
	pass(ctx, tokenLife+2*streamEvery)
	after, _ := w.gate.refreshes()
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	w.journal.leftGoroutines, w.journal.leftRefreshes = len(left), after-before
}

// goroutines returns the stacks of those that are in package signin or serve a stream,
// at all replicas.
func (w *world) goroutines(ctx context.Context) (stacks []string) {
	b := newBrowser(http.DefaultTransport)
	for _, addr := range w.fleet.addresses() {
		to := *w.base
		to.Host, to.Path = addr, goroutinesPath
		a, err := b.send(ctx, navigation(&to, "document"), false)
		if err != nil || a.status != http.StatusOK {
			stacks = append(stacks, fmt.Sprintf("%s says nothing about its goroutines: %d %v", addr, a.status, err))
		}
		for stack := range strings.SplitSeq(string(a.body), "\n\n") {
			if strings.Contains(stack, "signin/internal/lifecycle.") || strings.Contains(stack, "signin/internal/refresh.") ||
				strings.Contains(stack, "main.events.") {
				stacks = append(stacks, stack)
			}
		}
	}
	return stacks
}
