//go:build linux

package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gosignin/signin"
)

// Why a stream ended. The application says the first three.
const (
	signedOutStream = string(signin.ErrNotSignedIn)
	offlineStream   = string(signin.ErrProviderUnavailable)
	unknownStream   = string(signin.ErrSharedUnavailable)
	closedStream    = "closed by the browser"
	brokenStream    = "broken off"
)

// maxTabs is how many tabs with events a session has at once.
const maxTabs = 2

// A stream is the events of one tab, from its first one on.
type stream struct {
	of          *session
	by          string // the incarnation that sends them
	began, over time.Time
	why         string
}

// A tab shows events until they end, or until the person closes it. It does not come
// back, as an EventSource would.
type tab struct {
	*stream
	world *world
	body  io.ReadCloser
	stop  context.CancelFunc // breaks the connection
	stays time.Duration
}

// openTab opens a tab with events. Like a page, it is answered by a replica or not.
func (p *person) openTab(ctx context.Context) {
	s, sent := p.now, time.Now()
	if s.nonce == "" || p.journal.tabs(s) == maxTabs {
		return // without a nonce it is not known which sign-in it is of
	}
	ctx, stop := context.WithCancel(ctx)
	late := time.AfterFunc(patience, stop)
	r := navigation(p.at(eventsPath), "empty")
	r.Header.Set("Accept", "text/event-stream")
	a, body, err := p.browser.open(ctx, r)
	late.Stop()
	outcome := a.outcome(ctx, err)
	p.journal.request(s, sent, outcome, err == nil && a.header.Get(incarnationHeader) != "")
	if outcome != "" {
		stop()
		if outcome == askedToSignIn {
			p.journal.loses(s, a.event())
			p.settle(s)
		}
		return
	}
	p.browser.jar.SetCookies(p.base, a.cookies)
	if a.moves() {
		p.journal.moves(s)
	}
	t := &tab{
		stream: &stream{of: s, by: a.header.Get(incarnationHeader), began: time.Now()},
		world:  p.world, body: body, stop: stop,
		stays: p.duration, // most stay open
	}
	if p.random.Float64() < 0.3 {
		t.stays = time.Duration(p.random.Int64N(int64(p.duration / 4)))
	}
	p.journal.opens(t.stream)
	p.fresh = append(p.fresh, t)
}

// live reads events until they end, the person closes the tab, or day ends.
func (t *tab) live(_, day context.Context) {
	defer t.stop()
	defer t.body.Close()
	day, cancel := context.WithTimeout(day, t.stays)
	defer cancel()
	context.AfterFunc(day, t.stop)
	why := brokenStream
	for lines := bufio.NewScanner(t.body); lines.Scan(); {
		switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
		case "event":
			why = value
		case "data":
			t.world.journal.page(t.of, accountPage{Subject: value})
		}
	}
	if why == brokenStream && day.Err() != nil {
		why = closedStream
	}
	t.world.journal.closes(t.stream, why)
}

// opens notes that a stream has begun.
func (j *journal) opens(st *stream) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.streams = append(j.streams, st)
	st.of.tabs++
}

// tabs returns how many tabs with events a session has.
func (j *journal) tabs(s *session) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return s.tabs
}

// closes notes why a stream has ended.
func (j *journal) closes(st *stream, why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	st.over, st.why = time.Now(), why
	st.of.tabs--
}

// A probe says how long the application took to answer a request that needs neither
// Redis nor the provider: how late the machine makes everything else.
type probe struct {
	at   time.Time
	took time.Duration
}

// measure probes until day ends.
func (w *world) measure(day context.Context, transport http.RoundTripper) {
	b := newBrowser(transport)
	for day.Err() == nil {
		began := time.Now()
		if _, err := b.send(day, navigation(w.at("/"), "document"), false); err == nil || time.Since(began) >= patience {
			w.journal.mu.Lock()
			w.journal.probes = append(w.journal.probes, probe{began, time.Since(began)})
			w.journal.mu.Unlock()
		}
		pass(day, 200*time.Millisecond)
	}
}
