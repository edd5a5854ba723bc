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
	barred  bool     // the provider has blocked the account
	fresh   []living // thieves and tabs that have not begun

	// The fields below are for one person in ten, who has a second browser.
	watched bool
	chance  *rand.Rand // so that copies do not change what the person does
	thief   *thief     // the last one
	thieves []*thief   // of sessions that have not ended
	behind  *session   // that a sign-in with a stale cookie ends; nil if there is none
}

// living is what goes on beside the person until day ends.
type living interface {
	live(ctx, day context.Context)
}

// live signs the person in, and uses the application until day ends. A request
// that is under way then is finished, unless ctx ends too.
func (p *person) live(ctx, day context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
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
		for _, l := range p.fresh {
			beside.Go(func() { l.live(ctx, day) })
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
	case !p.now.blocked.IsZero():
		p.ask(ctx, "document", true)
	case !p.now.ending.IsZero(), is(0.5 * once):
		p.signOut(ctx)
	case is(0.3 * once):
		p.logOut(ctx)
	case is(0.3 * once):
		p.signOutEverywhere(ctx)
	case p.op.test != nil && is(0.5*once):
		p.changeAccount(ctx)
	case is(0.5 * once):
		p.presentOld(ctx)
	case is(0.10):
		p.openTab(ctx)
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
	if p.barred && !p.unblock() {
		return
	}
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

// at is an address of the application.
func (w *world) at(path string) *url.URL {
	return &url.URL{Scheme: w.base.Scheme, Host: w.base.Host, Path: path}
}
