//go:build linux

package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	// lease is that of package signin: how long a session may wait for a replica
	// that was killed during a refresh.
	lease = 30 * time.Second
	// dueAfter is when a token is due: RefreshBefore is a minute, but at most half
	// of a token's life.
	dueAfter = tokenLife / 2
	// slack is by how much the package may be early or late, since it keeps the
	// times of a token in whole seconds.
	slack = 600 * time.Millisecond
	// moment is how long before a kill an answer may have come without being
	// stored.
	moment = time.Second
)

// A cause is why a session was lost, or its refresh tokens revoked.
type cause string

const (
	byKill        cause = "(b) its replica was killed before it stored a refresh"
	byForgetting  cause = "(c) Redis lost its data"
	byNothingSeen cause = "unexplained"
)

var causes = []cause{byKill, byForgetting, byNothingSeen}

// figures are the results of a run.
type figures struct {
	sessions map[string]int // by how they ended; "" are those that have not
	lost     map[cause]int
	revoked  map[cause]int // chains in which an old token was used again
	// refused counts refreshes that the provider refused although the token was
	// current and the session had not ended.
	refused int
	orphans int // sign-ins at the provider whose answer never reached a browser

	adrift int // pages shown although the session had not been refreshed for too long

	fates    map[string]int // of thieves
	mistaken int            // thieves that were refused while the owner's session went on

	due, made int // generations due, and refreshes the provider made
	kept      int // due, but a failure kept every try from the provider until the session's end
	waiting   int // due less than a lease before the session's end, and not made
	missed    int // due, and not made for another reason
	early     int // made before due
	twice     int // made with a used token, without a named cause
	again     int // the same, with a named cause
	atOnce    int // the most refreshes at once, of a session without a named cause
}

// auditor judges what people saw by what the gate saw.
type auditor struct {
	*world
	figures
	byNonce map[string][]*session
	barred  map[string]bool // people whose accounts were blocked at some time
	streams streamFigures
	ended   time.Time // when all people had gone
}

func (w *world) audit() *report {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	a := auditor{world: w, ended: w.emptied, byNonce: map[string][]*session{},
		barred: map[string]bool{}, streams: streamFigures{ends: map[string]int{}}, figures: figures{
			sessions: map[string]int{}, lost: map[cause]int{}, revoked: map[cause]int{}, fates: map[string]int{},
		}}
	for _, s := range w.journal.sessions {
		a.sessions[s.how]++
		a.barred[s.person] = a.barred[s.person] || !s.blocked.IsZero() || s.how == byWebhook
		if s.nonce != "" {
			a.byNonce[s.nonce] = append(a.byNonce[s.nonce], s)
		}
	}
	for _, c := range w.gate.chains {
		a.chain(c)
	}
	for _, s := range w.journal.sessions {
		if s.how == lost {
			a.lost[a.whyLost(s)]++
		}
	}
	for _, s := range w.journal.sessions {
		a.streams.afterwards += a.afterRefusal(s)
	}
	for _, st := range w.journal.streams {
		a.judge(st)
	}
	for _, t := range w.journal.thieves {
		a.fates[t.kind+": "+a.fateOf(t)]++
	}
	for _, w := range w.journal.works {
		a.puzzle(fmt.Sprintf("a copy of %s worked at %.3f after its session was %s", w.of.person, a.since(w.at), w.of.how), a.gate.chains[w.of.nonce])
	}
	return a.report()
}

// chain counts the refreshes of one sign-in.
func (a *auditor) chain(c *chain) {
	sessions := a.byNonce[c.nonce]
	if len(sessions) == 0 {
		a.orphans++
	}
	for _, s := range sessions {
		a.adrift += c.adrift(s)
	}
	_, _, reused := c.reused()
	var why cause
	if reused {
		why = a.whyReused(c)
		a.revoked[why]++
	}
	named, twice := reused && why != byNothingSeen, 0
	if !named {
		a.atOnce = max(a.atOnce, c.most)
	}
	for _, g := range c.generations {
		good := g.rotations()
		a.made += len(good)
		switch {
		case len(good) == 0 && named: // the token was lost, so no refresh can be due
		case len(good) == 0:
			a.notMade(g, sessions)
		case good[0].at.Before(g.issued.Add(dueAfter - slack)):
			a.early++
		default:
			a.due++
		}
		twice += max(len(good)-1, 0)
		if g.refused() && c.revoked.IsZero() && !a.wantedToEnd(sessions) && a.whyRevoked(c) == byNothingSeen {
			a.refused++
			a.puzzle("a current refresh token was refused", c)
		}
	}
	switch {
	case named:
		a.again += twice
	case reused:
		a.twice += twice
		a.puzzle("an old refresh token was used again", c)
	}
}

// adrift counts pages that came longer than maxOffline after the expiry of the
// newest access token that the provider had given.
func (c *chain) adrift(s *session) (n int) {
	for _, p := range s.pages {
		newest := c.generations[0]
		for _, g := range c.generations {
			if g.issued.Before(p.came) {
				newest = g
			}
		}
		if p.sent.Sub(newest.issued) > tokenLife+maxOffline+2*slack {
			n++
		}
	}
	return n
}

// notMade counts a generation that has no next one, if it was due.
func (a *auditor) notMade(g *generation, sessions []*session) {
	due, left := a.wanted(g, sessions)
	switch {
	case !due:
		return
	case g.kept > 0:
		a.kept++
	case left < lease:
		a.waiting++
	default:
		a.missed++
	}
	a.due++
}

// refused reports whether the provider has refused a token that it had not
// rotated.
func (g *generation) refused() bool {
	return len(g.rotations()) == 0 && slices.ContainsFunc(g.uses, func(u use) bool { return u.status/100 == 4 })
}

// rotations are the uses that gave a new token.
func (g *generation) rotations() (good []use) {
	for _, u := range g.uses {
		if u.next != 0 {
			good = append(good, u)
		}
	}
	return good
}

// wanted reports whether a replica has answered a request of a session when its
// token was due, and how long that was before the session's end.
func (a *auditor) wanted(g *generation, sessions []*session) (due bool, left time.Duration) {
	from := g.issued.Add(dueAfter + slack)
	for _, s := range sessions {
		end := a.ended
		switch {
		case a.forgotten(s):
			end = a.journal.forgot
		case !s.ending.IsZero():
			end = s.ending
		case !s.over.IsZero():
			end = s.over
		}
		for _, sent := range s.asked {
			if sent.After(from) && sent.Before(end) {
				due, left = true, max(left, end.Sub(sent))
			}
		}
	}
	return due, left
}

// wantedToEnd reports whether a person has asked for a session's end. Where an account
// was blocked, that was meant for all its sessions: also for one that Redis has lost,
// and that a stream goes on with.
func (a *auditor) wantedToEnd(sessions []*session) bool {
	return slices.ContainsFunc(sessions, func(s *session) bool { return !s.ending.IsZero() || a.barred[s.person] })
}

// reused finds a refresh token that was used again after its rotation, and
// returns both uses.
func (c *chain) reused() (rotation, again use, used bool) {
	for _, g := range c.generations {
		good := g.rotations()
		for _, u := range g.uses {
			if len(good) > 0 && u.at.After(good[0].at) {
				return good[0], u, true
			}
		}
	}
	return use{}, use{}, false
}

// last is when the last answer to a refresh came.
func (c *chain) last() (at time.Time) {
	for _, g := range c.generations {
		for _, u := range g.uses {
			at = later(at, u.answered)
		}
	}
	return at
}

// whyReused names why an old refresh token was used again: the new one was
// known only to a replica that was killed at that moment, or only to Redis.
func (a *auditor) whyReused(c *chain) cause {
	rotation, again, _ := c.reused()
	successor := c.generations[rotation.next]
	killed, dead := a.journal.kills[rotation.by]
	forgot, back := a.journal.forgot, a.journal.back
	switch {
	case dead && rotation.answered.After(killed.Add(-moment)) && len(successor.uses) == 0:
		return byKill
	case !forgot.IsZero() && again.at.After(forgot) && successor.issued.Before(back.Add(moment)):
		return byForgetting
	}
	return byNothingSeen
}

// whyRevoked names why a session's family was revoked. After a sign-out
// everywhere, the provider's own session and its grant go on, so the next
// sign-in is of the same family.
func (a *auditor) whyRevoked(c *chain) cause {
	for _, other := range a.gate.chains {
		if other != c && (c.sid == "" || other.sid != c.sid || other.subject != c.subject) {
			continue
		}
		_, again, used := other.reused()
		if !used || other != c && again.at.After(c.last()) {
			continue
		}
		if why := a.whyReused(other); why != byNothingSeen {
			return why
		}
	}
	return byNothingSeen
}

// forgotten reports whether a session was in Redis when Redis lost its data.
func (a *auditor) forgotten(s *session) bool {
	forgot, back := a.journal.forgot, a.journal.back
	return a.world.sessions == "redis" && s.how == lost && !forgot.IsZero() &&
		s.over.After(forgot) && s.began.Before(back) && s.good.Before(back)
}

// whyLost names why a person whose session had not been ended was asked to sign
// in.
func (a *auditor) whyLost(s *session) cause {
	if a.forgotten(s) {
		return byForgetting
	}
	c := a.gate.chains[s.nonce]
	why := byNothingSeen
	if c != nil {
		why = a.whyRevoked(c)
	}
	if why == byNothingSeen {
		a.puzzle("a session was lost: "+s.person, c)
	}
	return why
}

// fateOf says what has become of a copy.
func (a *auditor) fateOf(t *thief) string {
	s, c := t.of, a.gate.chains[t.of.nonce]
	switch {
	case t.fate == ended && s.how == "":
		return "dead, as its owner had asked for"
	case t.fate == ended && s.how == lost:
		return "refused, as its owner was: " + cmp.Or(t.event, "not told why")
	case t.fate == ended:
		return "dead, " + s.how
	case t.fate == "" && s.unsettled():
		return pointless
	case t.fate == "" && s.how != "":
		return "not used any more: " + s.how
	case t.fate == "":
		return "good at the end, as its owner's"
	case t.fate == stale && t.kind == inUse:
		a.journal.stale++
		a.puzzle("a copy in use is stale: "+s.person, c)
	case t.fate != refused:
		return t.fate
	case a.journal.forgottenSince(t.taken):
		return "refused, after Redis lost its data"
	case s.how == lost, !s.good.After(t.refused):
		return "refused, as its owner was: " + cmp.Or(t.event, "not told why")
	default:
		if c != nil && a.whyRevoked(c) != byNothingSeen {
			return "refused, as an old token was used again"
		}
		a.mistaken++
		a.puzzle(fmt.Sprintf("a copy was refused (%s) at %.3f: %s", t.event, a.since(t.refused), s.person), c)
	}
	return t.fate
}

// puzzle describes an outcome without a named cause, and all chains of the same grant.
func (a *auditor) puzzle(what string, c *chain) {
	a.tell("UNEXPLAINED: %s", what)
	if c == nil {
		return
	}
	for _, other := range a.gate.chains {
		if other == c || c.sid != "" && other.sid == c.sid && other.subject == c.subject {
			a.describe(other)
		}
	}
}

func (a *auditor) describe(c *chain) {
	for _, s := range a.byNonce[c.nonce] {
		a.tell("  session of %s, sid %s: began %.3f, last good %.3f, ending %.3f, over %.3f %s %s", s.person, s.sid,
			a.since(s.began), a.since(s.good), a.since(s.ending), a.since(s.over), s.how, s.event)
	}
	if !c.revoked.IsZero() {
		a.tell("  revoked by the application %.3f", a.since(c.revoked))
	}
	first := max(0, len(c.generations)-4)
	for i, g := range c.generations[first:] {
		a.tell("  token %d of 0 to %d: issued %.3f to %s", first+i, len(c.generations)-1, a.since(g.issued), g.to)
		for _, u := range g.uses {
			a.tell("    used %.3f by %s, answered %.3f with %d, next %d", a.since(u.at), u.by, a.since(u.answered), u.status, u.next)
		}
	}
}

// since is a time in seconds of the run; -1 for the zero time.
func (a *auditor) since(t time.Time) float64 {
	if t.IsZero() {
		return -1
	}
	return t.Sub(a.began).Seconds()
}
