package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// phase is the part of its interval after which the session of good is first looked at.
const phase = 7.0 / 256

// looks is when the nth look at the session of good comes.
func looks(n int, every time.Duration) time.Duration {
	return time.Duration((phase + float64(n-1)) * float64(every))
}

// translated is what the watches of tests make of causes.
type translated struct{ error }

func (t translated) Unwrap() error { return t.error }

// Watch is [lifecycle.Sessions.Watch] with that translation.
func (w *world) Watch(parent context.Context, k *lifecycle.Known, every time.Duration) (context.Context, context.CancelFunc) {
	return w.Sessions.Watch(parent, k, every, func(err error) error { return translated{err} })
}

// lasts says when a stream ends after start, and why, or that it lasts for a time.
func lasts(ctx context.Context, most time.Duration) string {
	select {
	case <-ctx.Done():
		return fmt.Sprint(time.Since(start), ": ", cause(ctx))
	case <-time.After(time.Until(start.Add(most))):
		return "goes on"
	}
}

// cause says why a stream has ended: the reason, or the sentinel that its cause matches.
func cause(ctx context.Context) string {
	err := context.Cause(ctx)
	var ended *lifecycle.Ended
	if _, ok := err.(translated); !ok {
		return fmt.Sprint(err)
	}
	switch {
	case errors.As(err, &ended) && ended.Session != nil && err.Error() == "signin: the session has ended: "+string(ended.Reason):
		return string(ended.Reason)
	case errors.Is(err, lifecycle.ErrShared):
		return "shared state"
	case errors.Is(err, lifecycle.ErrUnknown):
		return "unknown"
	case errors.Is(err, lifecycle.ErrOffline):
		return "offline"
	}
	return fmt.Sprint(err)
}

// from makes what a kind of operation does from now on something else.
func (w *world) from(kind string, do func(ctx context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = func(ctx context.Context, operation string) error {
		if strings.HasPrefix(operation, kind) {
			return do(ctx)
		}
		return nil
	}
}

// pass lets time pass, and waits until what happens then is done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func down(context.Context) error { return errDown }

func TestWatch_WhyItEnds(t *testing.T) {
	const every = 30 * time.Second
	ends := func(n int, why string) string { return fmt.Sprint(looks(n, every), ": ", why) }
	ended := func(reason sharedstate.Reason) arranging {
		return func(t *testing.T, w *world, s *session.Session) { w.end(t, s, reason) }
	}
	fails := func(kind string, do func(context.Context) error) arranging {
		return func(_ *testing.T, w *world, _ *session.Session) { w.from(kind, do) }
	}
	soonDue := func(s *session.Session) { s.AccessExpiry = start.Add(ahead + time.Second) }
	for _, c := range []struct {
		name    string
		session *session.Session // nil is a good one
		at      time.Duration    // of what is arranged
		arrange arranging
		every   time.Duration // 0 is 30 s
		idle    time.Duration // 0 is so long that it does not matter
		parent  time.Duration // when its parent is canceled; 0 is never
		most    time.Duration
		want    string
	}{
		{name: "signed out", at: 12 * time.Second, arrange: ended(sharedstate.SignedOut), want: ends(2, "signed_out")},
		{name: "signed out before it began", arrange: ended(sharedstate.SignedOut), want: ends(1, "signed_out")},
		{
			name: "signed out, and looked at rarely", at: 12 * time.Second,
			every: 100 * time.Hour, arrange: ended(sharedstate.SignedOut), want: fmt.Sprint(looks(1, 100*time.Hour), ": signed_out"),
		},
		{
			name: "signed out, and looked at as often as can be", every: -time.Hour, at: 12 * time.Second,
			arrange: ended(sharedstate.SignedOut), want: fmt.Sprint(looks(4, 5*time.Second), ": signed_out"),
		},
		{name: "replaced by a sign-in", at: 12 * time.Second, arrange: ended(sharedstate.Replaced), want: ends(2, "replaced")},
		{
			name: "ended by EndSessions", at: 12 * time.Second, want: ends(2, "application"),
			arrange: func(t *testing.T, w *world, _ *session.Session) { noError(t, w.State.EndPerson(t.Context(), "u1")) },
		},
		{
			name: "ended by a logout token", at: 12 * time.Second, want: ends(2, "provider"),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				noError(t, w.State.EndByProvider(t.Context(), sharedstate.Ended{Subject: "u1"}, time.Unix(s.IssuedAt, 0)))
			},
		},
		{
			name: "signed out after a refresh by another request", at: 12 * time.Second, want: ends(2, "signed_out"),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				w.end(t, s, sharedstate.SignedOut)
			},
		},
		{
			name: "the provider refuses to refresh it", session: good(soonDue), want: ends(2, "provider"),
			arrange: answering(refuses),
		},
		{
			name: "its successor is lost", at: 12 * time.Second, want: ends(2, "lost"),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				w.succeed(t, good(func(s *session.Session) { s.Generation = 1 }))
				noError(t, w.memory.Delete(t.Context(), w.successors[1]))
			},
		},
		{
			name: "at the end of its life", want: ends(3, "lifetime"),
			session: good(func(s *session.Session) { s.Created = start.Add(time.Minute - 14*24*time.Hour) }),
		},
		{
			name: "when its browser has to come back, before the next look", idle: 24 * time.Hour, every: 1000 * time.Hour,
			want: fmt.Sprint(6*time.Hour+time.Duration(phase*float64(6*time.Hour)), ": context deadline exceeded"),
		},
		{
			name: "when its browser has to come back, while it still has a cookie", idle: 24 * time.Hour,
			want: fmt.Sprint(6*time.Hour+time.Duration(phase*float64(6*time.Hour)), ": context deadline exceeded"),
		},
		{
			name: "its cookie is left behind for hours, as that of a running handler may be", most: 10 * time.Hour, want: "goes on",
			arrange: func(t *testing.T, w *world, s *session.Session) { w.leave(t, s) },
		},

		// The provider is down. The access token expires after an hour.
		{name: "not refreshed for less than MaxOffline", arrange: fails("refresh", down), most: time.Hour + maxOffline, want: "goes on"},
		{name: "not refreshed for MaxOffline", arrange: fails("refresh", down), want: ends(1081, "offline")},

		// It is not known whether it goes on.
		{name: "shared state fails", at: 12 * time.Second, arrange: fails("get", down), want: ends(4, "shared state")},
		{
			name: "shared state fails, and is looked at rarely", every: time.Hour, arrange: fails("get", down),
			want: fmt.Sprint(looks(1, time.Hour)+time.Minute, ": shared state"),
		},
		{
			name: "shared state fails for less than a minute, again and again", most: 4 * time.Hour, want: "goes on",
			arrange: func(_ *testing.T, w *world, _ *session.Session) {
				began := time.Now()
				w.from("get", func(context.Context) error {
					if int(time.Since(began)/time.Minute)%2 == 1 {
						return nil
					}
					return errDown
				})
			},
		},
		{
			name: "shared state hangs", at: 12 * time.Second, want: fmt.Sprint(looks(4, every)+10*time.Second, ": shared state"),
			arrange: fails("get", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
		},
		{
			name: "shared state hangs, and does not heed its context", at: 12 * time.Second, want: fmt.Sprint(looks(2, every)+time.Minute, ": shared state"),
			arrange: fails("get", func(context.Context) error { <-time.After(90 * time.Second); return nil }),
		},
		{name: "shared state panics", at: 12 * time.Second, arrange: fails("get", func(context.Context) error { panic("a fault") }), want: ends(4, "unknown")},
		{
			name: "shared state ends the goroutine", at: 12 * time.Second, want: ends(4, "unknown"),
			arrange: fails("get", func(context.Context) error { runtime.Goexit(); return nil }),
		},
		{
			name: "it has expired, and another replica does not give back the lease", session: good(soonDue), every: 25 * time.Second,
			want:    fmt.Sprint(looks(6, 25*time.Second)+10*time.Second, ": unknown"),
			arrange: func(_ *testing.T, w *world, _ *session.Session) { w.leased.Store(true) },
		},
		{
			name: "shared state fails while the newest generation is looked for", at: 12 * time.Second, want: ends(4, "shared state"),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				reads := 0
				w.from("get", func(context.Context) error {
					if reads++; reads%2 == 1 {
						return nil
					}
					return errDown
				})
			},
		},

		{name: "the request is over", parent: 7 * time.Second, want: "7s: context canceled"},
	} {
		bubble(t, c.name, false, func(t *testing.T, w *world) {
			s := cmp.Or(c.session, good())
			w.Limits.Idle = cmp.Or(c.idle, 14*24*time.Hour)
			known := w.loaded(t, s)
			parent, over := context.WithCancel(t.Context())
			defer over()
			if c.arrange != nil && c.at == 0 {
				c.arrange(t, w, s)
			}
			ctx, cancel := w.Watch(parent, known, c.every)
			defer cancel()
			if c.parent > 0 {
				time.AfterFunc(c.parent, over)
			}
			if c.at > 0 {
				<-time.After(c.at)
				c.arrange(t, w, s)
			}
			if got := lasts(ctx, cmp.Or(c.most, 30*24*time.Hour)); got != c.want {
				t.Errorf("got %s; want %s", got, c.want)
			}
			w.reported(t, ctx)
		})
	}
}

// reported compares what was told of a stream that has ended with its cause.
func (w *world) reported(t *testing.T, ctx context.Context) {
	t.Helper()
	synctest.Wait()
	var want []string
	var ended *lifecycle.Ended
	if errors.As(context.Cause(ctx), &ended) {
		want = append(want, string(ended.Reason))
	}
	if !slices.Equal(w.ended, want) {
		t.Errorf("OnEnd was told %q; want %q", w.ended, want)
	}
	lines := 0
	if _, ok := context.Cause(ctx).(translated); ok && ended == nil {
		lines = 1
	}
	if got := strings.Count(w.logged.String(), "streams of a session have ended"); got != lines {
		t.Errorf("got %d lines about the streams; want %d:\n%s", got, lines, &w.logged)
	}
}

// A panic of what is told of an end is logged, and the streams have ended before.
func TestWatch_OnEndPanics(t *testing.T) {
	bubble(t, "", false, func(t *testing.T, w *world) {
		w.OnEnd = func(context.Context, *lifecycle.Ended) { panic("a fault") }
		s := good()
		ctx, cancel := w.Watch(t.Context(), w.loaded(t, s), 0)
		defer cancel()
		w.end(t, s, sharedstate.SignedOut)
		pass(time.Minute)
		if got, log := cause(ctx), w.logged.String(); got != "signed_out" || strings.Count(log, "panic=\"a fault\"") != 1 {
			t.Errorf("got %s and the log %q; want signed_out, and one line", got, log)
		}
	})
}

// A panic is logged, and what it leaves unknown may pass.
func TestWatch_PanicOnce(t *testing.T) {
	bubble(t, "", false, func(t *testing.T, w *world) {
		ctx, cancel := w.Watch(t.Context(), w.loaded(t, good()), 0)
		defer cancel()
		var panicked atomic.Bool
		w.from("get", func(context.Context) error {
			if !panicked.Swap(true) {
				panic("a fault")
			}
			return nil
		})
		if got := lasts(ctx, 10*time.Minute); got != "goes on" {
			t.Errorf("got %s; want it to go on", got)
		}
		if log := w.logged.String(); strings.Count(log, "panic=\"a fault\"") != 1 || !strings.Contains(log, "watch_test.go") {
			t.Errorf("got the log %q; want one line with the stack", log)
		}
	})
}

// The cause has the error with which the provider has refused.
func TestWatch_CauseOfTheProvider(t *testing.T) {
	bubble(t, "", false, func(t *testing.T, w *world) {
		w.answer = refuses
		known := w.loaded(t, good())
		ctx, cancel := w.Watch(t.Context(), known, 0)
		defer cancel()
		<-ctx.Done()
		var ended *lifecycle.Ended
		if err := context.Cause(ctx); !errors.As(err, &ended) || !errors.Is(err, refresh.ErrFinal) || ended.Session.ID != known.Session.ID {
			t.Errorf("got %v; want one that is %v", err, refresh.ErrFinal)
		}
	})
}
