//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Between two requests, or bursts of them, a person pauses.
const (
	shortestPause = 500 * time.Millisecond
	longestPause  = 2500 * time.Millisecond
	meanPause     = (shortestPause + longestPause) / 2
)

// A person uses the application with a browser.
type person struct {
	*world
	name    string
	random  *rand.Rand // serves the person's own goroutine
	browser *browser
	now     *session // nil if the person is not signed in
	before  *session // the one before, or nil
	old     []stolen // copies of sessions that have ended

	// The fields below are for one person in ten, who has a second browser.
	watched bool
	chance  *rand.Rand // so that copies do not change what the person does
	thief   *thief     // the last one
	thieves []*thief   // of sessions that have not ended
	fresh   []*thief   // who have not begun
	behind  *session   // that a sign-in with a stale cookie ends; nil if there is none
}

// stolen is a copy of a session's cookies, made before its end.
type stolen struct {
	values []*http.Cookie
	of     *session
}

// live signs the person in, and uses the application until day ends. A request
// that is under way then is finished, unless ctx ends too.
func (p *person) live(ctx, day context.Context) {
	var thieves sync.WaitGroup
	defer thieves.Wait()
	for {
		pass(day, shortestPause+time.Duration(p.random.Int64N(int64(longestPause-shortestPause))))
		if day.Err() != nil || p.budget.Add(-1) < 0 {
			return
		}
		if p.now == nil {
			p.signIn(ctx)
		} else {
			p.act(ctx)
		}
		p.beCopied()
		for _, t := range p.fresh {
			thieves.Go(func() { t.live(ctx, day) })
		}
		p.fresh = nil
	}
}

// act does one thing. Over the whole run, most people end their session once,
// in one way or another.
func (p *person) act(ctx context.Context) {
	once := meanPause.Seconds() / p.duration.Seconds() // the chance of an act that comes once per run
	roll := p.random.Float64()
	is := func(chance float64) bool {
		roll -= chance
		return roll < 0
	}
	switch {
	case p.thief != nil && p.thief.kind == backup && p.journal.busy(p.thief, p.now) && p.journal.canGoBack(p.thief):
		p.goBack(ctx)
	case !p.now.ending.IsZero(), is(0.5 * once):
		p.signOut(ctx)
	case is(0.3 * once):
		p.logOut(ctx)
	case is(0.3 * once):
		p.signOutEverywhere(ctx)
	case is(0.5 * once):
		p.presentOld(ctx)
	case is(0.10):
		p.burst(ctx)
	case is(0.05):
		p.goAway(ctx)
	case is(0.05):
		p.ask(ctx, "document", false)
	default:
		p.ask(ctx, "document", true)
	}
}

// burst requests a page's fetches and an image, all at once.
func (p *person) burst(ctx context.Context) {
	var all sync.WaitGroup
	s := p.now
	for i := range 3 + p.random.IntN(4) {
		kind, keep := "empty", p.random.Float64() > 0.05
		if i == 0 {
			kind = "image"
		}
		all.Go(func() { p.askFor(ctx, s, kind, keep) })
	}
	all.Wait()
	p.settle(s)
}

// goAway closes the tab in the middle of a request.
func (p *person) goAway(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.random.Int64N(int64(2*wayLength))))
	defer cancel()
	p.ask(ctx, "document", true)
}

// ask makes one request, and learns from it whether the session has ended.
func (p *person) ask(ctx context.Context, kind string, keep bool) {
	s := p.now
	p.askFor(ctx, s, kind, keep)
	p.settle(s)
}

// settle forgets a session that has ended.
func (p *person) settle(s *session) {
	p.journal.mu.Lock()
	defer p.journal.mu.Unlock()
	if !s.over.IsZero() {
		p.now, p.before = nil, s
	}
}

func (p *person) askFor(ctx context.Context, s *session, kind string, keep bool) {
	sent := time.Now()
	a, err := p.browser.send(ctx, navigation(p.at(accountPath), kind), keep)
	outcome := a.outcome(ctx, err)
	p.journal.request(s, sent, outcome, err == nil && a.header.Get(incarnationHeader) != "")
	if keep && outcome == "" && a.moves() {
		p.journal.moves(s)
	}
	switch outcome {
	case "":
		var page accountPage
		if err := json.Unmarshal(a.body, &page); err != nil {
			page.Subject = fmt.Sprintf("a broken page: %v", err)
		}
		p.journal.page(s, page)
	case askedToSignIn:
		p.journal.loses(s, a.event())
	}
}

// askedToSignIn is the outcome for a person who is not signed in.
const askedToSignIn = "asked to sign in"

// outcome is "" for a page for a person who is signed in, and otherwise a name
// for the answer.
func (a answer) outcome(ctx context.Context, err error) string {
	switch {
	case err != nil && ctx.Err() != nil:
		return "went away"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer in %v", patience)
	case err != nil:
		return "connection broken"
	case a.status == http.StatusOK:
		return ""
	case a.status == http.StatusUnauthorized, a.location != nil && a.location.Path == "/sign-in":
		return askedToSignIn
	}
	return fmt.Sprintf("status %d at %s", a.status, a.url.Path)
}

// signIn goes to the account page and passes the provider.
func (p *person) signIn(ctx context.Context) {
	var calledBack bool
	sent := time.Now()
	a, err := p.browser.visit(ctx, p.at(accountPath), p.name, func(a answer) bool {
		for _, c := range a.cookies {
			calledBack = calledBack || a.url.Host == p.base.Host && a.url.Path == "/callback" &&
				a.location != nil && c.Name == cookieName && c.MaxAge > 0
		}
		return calledBack
	})
	switch {
	case calledBack:
		p.journal.request(nil, sent, "", true)
		if s := p.behind; s != nil {
			p.behind = nil
			p.journal.end(s, replaced)
			p.presentAll(ctx, s, nil)
		}
		p.now = p.journal.begin(p.name)
		p.ask(ctx, "document", true)
	case err == nil && a.url.Path == accountPath && a.status == http.StatusOK && p.before != nil:
		// The person got in without the provider: the session that had ended works
		// again. So the person ends it once more.
		p.journal.request(nil, sent, "", true)
		p.journal.copied(p.before, accepted)
		p.behind = nil
		p.now = p.journal.begin(p.name)
		p.journal.ending(p.now)
	default:
		p.journal.request(nil, sent, "sign-in: "+a.outcome(ctx, err), true)
	}
}

// signOut signs out by the link, after a thief has copied the cookies.
func (p *person) signOut(ctx context.Context) {
	s, cookies := p.now, p.steal()
	p.journal.ending(s)
	sent := time.Now()
	a, err := p.browser.send(ctx, navigation(p.at("/sign-out"), "document"), true)
	done := err == nil && a.status == http.StatusSeeOther
	outcome := ""
	if !done {
		outcome = "sign-out: " + a.outcome(ctx, err)
	}
	p.journal.request(nil, sent, outcome, true)
	switch {
	case done:
		p.ended(ctx, s, signedOut, cookies)
		if a.location.Host != p.base.Host {
			_, _ = p.browser.visit(ctx, a.location, p.name, func(answer) bool { return false })
		}
	case len(p.browser.session(p.base)) == 0:
		p.journal.end(s, incomplete)
		p.settle(s)
	}
}

// logOut signs out at the provider, which tells the application. It does so
// once: if that fails, the session goes on, and the person signs out of it
// later.
func (p *person) logOut(ctx context.Context) {
	s, cookies := p.now, p.steal()
	if s.sid == "" {
		return
	}
	p.journal.ending(s)
	_, err := p.browser.visit(ctx, p.op.endSession, p.name, func(answer) bool { return false })
	if err == nil && p.fleet.loggedOut(ctx, s.sid, patience) {
		p.ended(ctx, s, loggedOut, cookies)
	}
}

// signOutEverywhere signs out in all browsers, after a sign-in in another one.
func (p *person) signOutEverywhere(ctx context.Context) {
	s, cookies := p.now, p.steal()
	other, elsewhere := p.signInElsewhere(ctx)
	p.journal.ending(s)
	if other != nil {
		p.journal.ending(other)
	}
	r := navigation(p.at(everywherePath), "empty")
	r.Method = http.MethodPost
	sent := time.Now()
	a, err := p.browser.send(ctx, r, true)
	done := err == nil && a.status == http.StatusNoContent
	outcome := ""
	if !done {
		outcome = "sign-out everywhere: " + a.outcome(ctx, err)
	}
	p.journal.request(nil, sent, outcome, true)
	if !done {
		return
	}
	if other != nil {
		p.journal.end(other, endedEverywhere)
		p.presentAll(ctx, other, elsewhere)
	}
	p.ended(ctx, s, endedEverywhere, cookies)
}

// signInElsewhere signs in with another browser, and returns its session and
// cookies; nil if that fails.
func (p *person) signInElsewhere(ctx context.Context) (*session, []*http.Cookie) {
	b, sent := newBrowser(p.browser.client.Transport), time.Now()
	a, err := b.visit(ctx, p.at(accountPath), p.name, func(a answer) bool {
		return a.url.Host == p.base.Host && a.url.Path == accountPath && a.status == http.StatusOK
	})
	var page accountPage
	if err != nil || json.Unmarshal(a.body, &page) != nil || page.Nonce == "" {
		return nil, nil
	}
	s := p.journal.begin(p.name)
	p.journal.request(s, sent, "", true)
	p.journal.page(s, page)
	return s, values(b.session(p.base))
}

// ended presents the copies of a session that has just ended to each replica.
func (p *person) ended(ctx context.Context, s *session, how string, cookies stolen) {
	p.journal.end(s, how)
	p.settle(s)
	p.presentAll(ctx, s, cookies.values)
	p.old = append(p.old, cookies)
}

// presentAll presents copies of a session that has ended to each replica: the given
// one, if any, and those of thieves.
func (p *person) presentAll(ctx context.Context, s *session, last []*http.Cookie) {
	var copies []stolen
	if len(last) > 0 {
		copies = append(copies, stolen{last, s})
	}
	for _, t := range p.thieves {
		if t.of == s {
			copies = append(copies, stolen{values(t.browser.session(p.base)), s})
		}
	}
	p.thieves = slices.DeleteFunc(p.thieves, func(t *thief) bool { return t.of == s })
	for _, addr := range p.fleet.addresses() {
		for _, c := range copies {
			p.present(ctx, c, "http://"+addr)
		}
	}
}

// presentOld presents a copy of a session that ended some time ago.
func (p *person) presentOld(ctx context.Context) {
	if len(p.old) > 0 {
		p.present(ctx, p.old[p.random.IntN(len(p.old))], p.base.String())
	}
}

// present presents a copy as a thief does.
func (p *person) present(ctx context.Context, cookies stolen, address string) {
	to, err := url.Parse(address + accountPath)
	if err != nil {
		panic(err) // the address was in use before
	}
	thief := newBrowser(p.browser.client.Transport)
	thief.jar.SetCookies(to, cookies.values)
	r := navigation(to, "document")
	r.Host = p.base.Host
	a, err := thief.send(ctx, r, false)
	switch a.outcome(ctx, err) {
	case "":
		p.journal.copied(cookies.of, accepted)
	case askedToSignIn:
		p.journal.copied(cookies.of, refusedCopy)
	default:
		p.journal.copied(cookies.of, unanswered)
	}
}

func (p *person) steal() stolen {
	return stolen{values(p.browser.session(p.base)), p.now}
}

// at is an address of the application.
func (w *world) at(path string) *url.URL {
	return &url.URL{Scheme: w.base.Scheme, Host: w.base.Host, Path: path}
}
