//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// stolen is a copy of a session's cookies, made before its end.
type stolen struct {
	values []*http.Cookie
	of     *session
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

// signOutEverywhere signs out in all browsers, by EndSessions.
func (p *person) signOutEverywhere(ctx context.Context) {
	p.endEverywhere(ctx, endedEverywhere, func() bool {
		r := navigation(p.at(everywherePath), "empty")
		r.Method = http.MethodPost
		sent := time.Now()
		a, err := p.browser.send(ctx, r, true)
		done, outcome := err == nil && a.status == http.StatusNoContent, ""
		if !done {
			outcome = "sign-out everywhere: " + a.outcome(ctx, err)
		}
		p.journal.request(nil, sent, outcome, true)
		p.journal.called("EndSessions: " + cmp.Or(outcome, "done"))
		return done
	})
}

// endEverywhere ends all sessions of the person, after a sign-in in another browser.
// end reports whether the application has said that it is done.
func (p *person) endEverywhere(ctx context.Context, how string, end func() bool) (done bool) {
	s, cookies := p.now, p.steal()
	other, elsewhere := p.signInElsewhere(ctx)
	p.journal.ending(s)
	if other != nil {
		p.journal.ending(other)
	}
	if !end() {
		return false
	}
	if other != nil {
		p.journal.end(other, how)
		p.presentAll(ctx, other, elsewhere)
	}
	p.ended(ctx, s, how, cookies)
	return true
}

// changeAccount does to the person's account what Logto sends a webhook about. Some
// webhooks are lost: then the refusal of the next refresh ends a session, but after a
// reset of the password nothing does.
func (p *person) changeAccount(ctx context.Context) {
	s, change, lose := p.now, accountChanges[p.random.IntN(len(accountChanges))], p.random.Float64() < 0.4
	send := func() bool {
		d := p.op.change(change, p.name, lose)
		said := "lost on purpose"
		if !lose {
			said = strconv.Itoa(d.Status)
		}
		p.journal.called("webhook " + d.Event + ": " + said)
		return d.Status == http.StatusOK
	}
	p.barred = change.blocks
	switch {
	case lose && !change.blocks:
		send()
	case p.endEverywhere(ctx, byWebhook, send):
		if p.barred {
			p.op.unblock(p.name)
			p.barred = false
		}
	case change.blocks:
		p.journal.blocks(s)
	}
}

// unblock makes the account good again, when the streams of the session that was
// refused have had the time to end.
func (p *person) unblock() bool {
	if time.Since(p.before.over) < tokenLife+streamEvery {
		return false
	}
	p.op.unblock(p.name)
	p.barred = false
	return true
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
