package lifecycle_test

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
	"github.com/gosignin/signin/internal/sharedstate"
)

// This file is a model of one honest browser, and of a copy of its cookies. Time is
// simulated: at the beginning of a request the browser sends the cookies that it
// has, and at its end it takes those of the answer. Other requests begin and end
// in between. The rules:
//
//   - No cookie of the honest browser is ever stale, and no session is lost: a
//     refresh token is used once, and each request goes on.
//   - A copy that sleeps while the browser is in use is stale when it comes back.

// office is a browser, the application that it visits, and the clock of both.
type office struct {
	t        *testing.T
	random   *rand.Rand
	mu       sync.Mutex // what could not be written is written in the background
	now      time.Time
	events   events
	sessions *lifecycle.Sessions
	life     time.Duration // of access tokens
	failing  *rand.Rand
	broken   int // how many of a hundred writes to shared state fail

	jar     string
	keeps   []string // what the jar was before, for a crash
	rotated int      // refresh tokens so far
	good    string   // the one that the provider takes

	requests, refreshes, stale, lost int
}

type event struct {
	at time.Time
	do func()
}

// events is a heap: the next one is at its top.
type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// flaky is shared state of which some writes fail.
type flaky struct {
	*sharedstate.Memory
	o *office
}

func (f flaky) fails() bool {
	f.o.mu.Lock()
	defer f.o.mu.Unlock()
	return f.o.failing.IntN(100) < f.o.broken
}

func (f flaky) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if f.fails() {
		return errors.New("broken on purpose")
	}
	return f.Memory.Set(ctx, key, value, ttl)
}

func (f flaky) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if f.fails() {
		return false, errors.New("broken on purpose")
	}
	return f.Memory.Add(ctx, key, value, ttl)
}

func newOffice(t *testing.T, seed uint64, life time.Duration) *office {
	t.Helper()
	o := &office{t: t, random: rand.New(rand.NewPCG(seed, 0)), failing: rand.New(rand.NewPCG(seed, 1)), now: time.Now(), life: life}
	now := func() time.Time {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.now
	}
	keys := [][]byte{bytes.Repeat([]byte{7}, 32)}
	limits := session.Limits{Idle: 24 * time.Hour, Max: 14 * 24 * time.Hour, Offline: 8 * time.Hour}
	keep := limits.Idle + 10*time.Minute
	state, err := sharedstate.New(sharedstate.Config{
		Store: flaky{sharedstate.NewMemory(now, sharedstate.Limits{Entries: 1 << 20, Bytes: 1 << 28}), o},
		Keys:  keys, Issuer: "https://op.test", Client: "app", TTL: keep, PersonTTL: limits.Max + 10*time.Minute, SinceTTL: 70 * time.Minute, Now: now,
	})
	ring, err2 := seal.NewRing(keys, "session", "https://op.test", "app")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	o.sessions = &lifecycle.Sessions{
		Store: sessionstore.New(nil, "signin", ring, false), State: state, Limits: limits,
		Refresh: refresh.New(refresh.Config{State: state, Source: o, Observer: o, Ahead: time.Minute, Keep: keep, Now: now}),
		Log:     slog.New(slog.DiscardHandler), Now: now,
	}
	return o
}

// Refreshed is the Observer's.
func (o *office) Refreshed(_ context.Context, _ *session.Session, err error) {
	if err == nil {
		o.refreshes++
	}
}

// Refresh, Fetch and Revoke are the provider's. It rotates the refresh token at
// each use, and ends the session if one is used twice.
func (o *office) Refresh(_ context.Context, s *session.Session) (*session.Session, error) {
	next, err := o.use(s)
	if err != nil {
		return nil, err
	}
	next.AccessToken, next.AccessExpiry, next.AccessLife = session.Pack(fmt.Sprint("access ", o.rotated)), o.now.Add(o.life), o.life
	next.LastSeen = o.now
	return next, nil
}

func (o *office) Fetch(_ context.Context, s *session.Session, _ session.Audience) (*session.Token, *session.Session, error) {
	next, err := o.use(s)
	if err != nil {
		return nil, nil, err
	}
	expiry := o.now.Add(o.life)
	return &session.Token{Access: fmt.Sprint("API ", o.rotated), Expiry: expiry, Until: expiry.Add(-o.life / 2)}, next, nil
}

func (o *office) use(s *session.Session) (*session.Session, error) {
	if s.RefreshToken != o.good {
		return nil, fmt.Errorf("%w: a refresh token was used twice", refresh.ErrFinal)
	}
	o.rotated++
	o.good = fmt.Sprint("refresh ", o.rotated)
	next := *s
	next.RefreshToken = o.good
	return &next, nil
}

func (o *office) Revoke(context.Context, *session.Session) error { return nil }

func (o *office) at(when time.Duration, do func()) {
	heap.Push(&o.events, event{o.now.Add(when), do})
}

func (o *office) between(least, most time.Duration) time.Duration {
	return least + time.Duration(o.random.Int64N(int64(most-least)+1))
}

// run lets time pass until an event is later than end.
func (o *office) run(end time.Time) {
	for len(o.events) > 0 && !o.events[0].at.After(end) {
		e := heap.Pop(&o.events).(event)
		o.set(e.at)
		e.do()
	}
	o.set(end)
}

func (o *office) set(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = now
}

// signIn makes a session of a callback.
func (o *office) signIn() {
	claims, err := session.ParseClaims(`{"sub":"alice","sid":"s"}`, "")
	if err != nil {
		o.t.Fatal(err)
	}
	o.rotated++
	o.good = fmt.Sprint("refresh ", o.rotated)
	s := &session.Session{
		ID: session.NewID(), IssuedAt: o.now.Unix(), Created: o.now, LastSeen: o.now, Claims: claims, RefreshToken: o.good,
		AccessToken: session.Pack("access"), AccessExpiry: o.now.Add(o.life), AccessLife: o.life,
	}
	w, r := o.request(o.jar)
	if err := o.sessions.Start(w, r, lifecycle.Beginning{Session: s, Began: o.now}); err != nil {
		if o.broken == 0 {
			o.t.Fatalf("a sign-in failed: %v", err)
		}
		o.signIn()
		return
	}
	o.take(w)
}

func (o *office) request(cookies string) (*httptest.ResponseRecorder, *http.Request) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", "text/html")
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	return httptest.NewRecorder(), r
}

// take is what a browser does with an answer that has come.
func (o *office) take(w *httptest.ResponseRecorder) {
	for _, c := range w.Result().Cookies() {
		if c.Name == "signin" {
			o.keeps = append(o.keeps, o.jar)
			o.jar = c.Name + "=" + c.Value
		}
	}
}

// load sends a request with cookies, and returns what is known of its session.
func (o *office) load(cookies string) (*httptest.ResponseRecorder, *lifecycle.Known, lifecycle.Outcome) {
	w, r := o.request(cookies)
	k := new(lifecycle.Known)
	out, err := o.sessions.Load(w, r, k)
	if err != nil && o.broken == 0 {
		o.t.Fatalf("got error %v; want none", err)
	}
	return w, k, out
}

// visit is a request of the honest browser whose handler takes a while, and asks
// for a token of an API at its end, if it has one.
func (o *office) visit(takes time.Duration, api string) {
	o.requests++
	w, k, out := o.load(o.jar)
	switch out.Ended {
	case "":
	case lifecycle.Stale:
		o.stale++
	case lifecycle.Idle, lifecycle.Lifetime:
	default:
		o.lost++
	}
	if k.Session == nil {
		if out.Ended != "" {
			o.signIn()
		}
		return
	}
	o.at(takes, func() {
		if api != "" {
			o.token(k, api)
		}
		o.take(w)
	})
}

func (o *office) token(k *lifecycle.Known, api string) {
	_, err := o.sessions.Token(context.Background(), k, session.Audience{Resource: api}, "")
	if err != nil && o.broken == 0 && !refresh.Over(err) {
		o.t.Fatalf("a token for %q: got error %v; want none", api, err)
	}
	if errors.Is(err, refresh.ErrFinal) {
		o.lost++
	}
}

// stream is a handler that runs for hours and asks for tokens all the time.
func (o *office) stream(lasts time.Duration) {
	_, k, _ := o.load(o.jar)
	if k.Session == nil {
		return
	}
	var next func()
	end := o.now.Add(lasts)
	next = func() {
		o.token(k, "")
		if o.now.Before(end) {
			o.at(o.life, next)
		}
	}
	next()
}

// crash sets the jar back to what it was some writes before.
func (o *office) crash() {
	if n := len(o.keeps); n > 0 {
		o.jar = o.keeps[max(0, n-1-o.random.IntN(2))]
	}
}

// day is a day in which a person works with the application.
func (o *office) day() {
	const hour = time.Hour
	begins := o.between(0, 2*hour)
	for at := begins; at < begins+14*hour; at += o.between(time.Second, 10*time.Minute) {
		if at > begins+5*hour && at < begins+8*hour {
			continue // the laptop sleeps
		}
		api := []string{"", "", "urn:a", "urn:b", "urn:c"}[o.random.IntN(5)]
		takes := o.between(0, 2*time.Second)
		switch o.random.IntN(20) {
		case 0:
			takes = o.between(time.Minute, 15*time.Minute) // an upload
		case 1: // tabs that load at once
			for range 4 {
				o.at(at+o.between(0, 50*time.Millisecond), func() { o.visit(o.between(0, 5*time.Second), "") })
			}
		case 2:
			if o.random.IntN(10) == 0 {
				o.at(at, o.crash)
			}
		}
		o.at(at, func() { o.visit(takes, api) })
	}
	if o.random.IntN(3) == 0 {
		o.at(begins+time.Minute, func() { o.stream(12 * hour) })
	}
	o.run(o.now.Add(24 * hour))
}

// TestHonestBrowser_IsNeverStale is the first rule.
func TestHonestBrowser_IsNeverStale(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour} {
		t.Run(life.String(), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, 1, life)
			o.signIn()
			for range honestDays {
				o.keeps = nil // a crash does not set a jar back to another day
				o.day()
			}
			t.Logf("%d days: %d requests, %d refreshes", honestDays, o.requests, o.refreshes)
			if o.stale > 0 || o.lost > 0 || o.requests < 50*honestDays {
				t.Errorf("got %d stale cookies and %d lost sessions in %d requests; want none in many", o.stale, o.lost, o.requests)
			}
		})
	}
}

// TestCopiedCookie_IsStaleAfterTenHours is the second.
func TestCopiedCookie_IsStaleAfterTenHours(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		broken int
		least  int // of a hundred
	}{{"all writes succeed", 0, 100}, {"one write in twenty fails", 5, 90}} {
		for _, life := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour} {
			t.Run(strings.Join([]string{row.name, life.String()}, ", "), func(t *testing.T) {
				t.Parallel()
				found := 0
				for seed := range uint64(copiedRuns) {
					o := newOffice(t, seed, life)
					o.broken = row.broken
					o.signIn()
					o.run(o.now.Add(o.between(0, time.Hour)))
					copied := o.jar
					for at := time.Duration(0); at < 10*time.Hour; at += o.between(time.Second, 10*time.Minute) {
						o.at(at, func() { o.visit(o.between(0, time.Second), "") })
					}
					o.run(o.now.Add(10 * time.Hour))
					if _, k, out := o.load(copied); out.Ended == lifecycle.Stale && k.Session == nil {
						found++
					}
				}
				if found < row.least*copiedRuns/100 {
					t.Errorf("got the copy stale in %d of %d runs; want %d of a hundred", found, copiedRuns, row.least)
				}
				t.Logf("stale in %d of %d runs", found, copiedRuns)
			})
		}
	}
}
