package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

type arranging func(t *testing.T, w *world, s *session.Session)

func answering(answer func(s *session.Session) (*session.Session, error)) arranging {
	return func(_ *testing.T, w *world, _ *session.Session) { w.answer = answer }
}

func refuses(*session.Session) (*session.Session, error) { return nil, refresh.ErrFinal }

func TestLoad(t *testing.T) {
	succeeded := func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s) }
	ended := func(reason sharedstate.Reason) arranging {
		return func(t *testing.T, w *world, s *session.Session) { w.end(t, s, reason) }
	}
	stale := func(t *testing.T, w *world, s *session.Session) { w.leave(t, s) }
	old := func(s *session.Session) { s.Created = start.Add(-14 * 24 * time.Hour) }
	const refreshed = "token 1, written token 1 for 24h0m0s; refresh token 0, add n, set s"
	for _, c := range []struct {
		name     string
		session  *session.Session
		arrange  arranging
		fails    string
		onServer bool
		dest     string
		want     string
		err      []error
	}{
		{name: "no cookie"},
		{name: "as it was presented", session: good(), want: "token 0"},

		// The use is written.
		{name: "seen a quarter of the idle time ago", session: good(seen(6 * time.Hour)), want: "token 0, written token 0 for 24h0m0s"},
		{name: "seen a second less ago", session: good(seen(6*time.Hour - time.Second)), want: "token 0"},
		{name: "seen long ago, for an image", session: good(seen(6 * time.Hour)), dest: "image", want: "token 0"},
		{
			name:    "seen long ago, and near the end of its life",
			session: good(seen(6*time.Hour), func(s *session.Session) { s.Created = start.Add(-14*24*time.Hour + 4*time.Hour) }),
			want:    "token 0, written token 0 for 4h0m0s",
		},

		// It is brought to its newest generation.
		{name: "due", session: good(due), want: refreshed},
		{name: "due, and the provider fails: there is nothing to write", session: good(due), fails: "refresh token 0", want: "token 0; refresh token 0"},
		{name: "due, for an image", session: good(due), dest: "image", want: "token 1; refresh token 0, add n"},
		{name: "due, in a store on the server, where no cookie is stale", onServer: true, session: good(due), want: "token 1, written token 1 for 24h0m0s; refresh token 0, add n, save"},
		{name: "due, and what its browser has shown cannot be written", session: good(due), fails: "set s", want: refreshed + ", logged"},
		{name: "refreshed by another request", session: good(), arrange: succeeded, want: "token 1, written token 1 for 24h0m0s; set s"},
		{
			name: "refreshed by another request, and due again", session: good(expired),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s, expired) },
			want:    "token 2, written token 2 for 24h0m0s; refresh token 1, add n, set s",
		},
		{
			name: "due, and the new claims do not fit: the browser keeps its cookie", session: good(due),
			arrange: answering(func(s *session.Session) (*session.Session, error) {
				n := next(s)
				n.Claims = large()
				return n, nil
			}),
			want: "token 1; refresh token 0, add n, logged",
		},

		// It is over, or its cookie is stale. The answer leaves the cookie alone: the
		// browser may have got another meanwhile.
		{name: "idle", session: good(seen(24 * time.Hour)), want: "token 0: idle"},
		{name: "idle, on the server", onServer: true, session: good(seen(24 * time.Hour)), want: "token 0: idle"},
		{name: "too old, and signed out besides", session: good(old), arrange: ended(sharedstate.SignedOut), want: "token 0: lifetime"},
		{name: "signed out", session: good(), arrange: ended(sharedstate.SignedOut), want: "token 0: signed_out"},
		{
			name: "signed out after a refresh", session: good(expired),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				w.end(t, s, sharedstate.SignedOut)
			},
			want: "token 0: signed_out",
		},
		{name: "refused by the provider", session: good(expired), arrange: ended(sharedstate.Refused), want: "token 0: provider"},
		{name: "replaced by a new sign-in", session: good(), arrange: ended(sharedstate.Replaced), want: "token 0: replaced"},
		{
			name: "ended by EndSessions", session: good(),
			arrange: func(t *testing.T, w *world, _ *session.Session) { noError(t, w.State.EndPerson(t.Context(), "u1")) },
			want:    "token 0: application",
		},
		{
			name: "ended by a logout token", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				noError(t, w.State.EndByProvider(t.Context(), sharedstate.Ended{Subject: "u1"}, time.Unix(s.IssuedAt, 0)))
			},
			want: "token 0: provider",
		},
		{
			name: "a stale cookie, whose session goes on elsewhere: its refresh token is not sent", session: good(), arrange: stale,
			want: "token 0: stale",
		},
		{
			name: "a stale cookie of a session that was signed out", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.leave(t, s)
				w.end(t, s, sharedstate.SignedOut)
			},
			want: "token 0: signed_out",
		},
		{
			name: "as old, in a store on the server: it is led on", onServer: true, session: good(), arrange: stale,
			want: "token 4, written token 4 for 24h0m0s; refresh token 3, add n, save",
		},
		{
			name: "its successor is lost", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				w.succeed(t, good(func(s *session.Session) { s.Generation = 1 }))
				noError(t, w.memory.Delete(t.Context(), w.successors[1]))
			},
			want: "token 0: lost",
		},
		{
			name: "due, and the provider refuses to refresh it", session: good(due), arrange: answering(refuses),
			want: "token 0: provider; refresh token 0, add e",
		},

		// It cannot be looked up: that is an error, and not the lack of a session.
		{name: "the store cannot be read", onServer: true, session: good(), fails: "read", err: []error{lifecycle.ErrStore, errDown}},
		{name: "shared state cannot be read", session: good(), fails: "get", err: []error{lifecycle.ErrShared, errDown}},
		{
			name: "shared state cannot be read a second time, for the successor", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				w.failNth("get", 2)
			},
			err: []error{lifecycle.ErrShared, errDown},
		},
		{
			name: "the store does not take what was refreshed", onServer: true, session: good(due), fails: "save",
			want: "; refresh token 0, add n, save", err: []error{lifecycle.ErrStore, errDown},
		},
	} {
		bubble(t, c.name, c.onServer, func(t *testing.T, w *world) {
			b := w.browserWith(t, c.session)
			if c.fails != "" {
				w.fail(c.fails)
			}
			if c.arrange != nil {
				c.arrange(t, w, c.session)
			}
			w.recorded()
			reads := w.reads
			got, err := w.load(t, b, b.request(t, c.dest))
			wantError(t, err, c.err...)
			if got != c.want {
				t.Errorf("got %q; want %q", got, c.want)
			}
			if c.want == "token 0" && w.reads-reads != 1 {
				t.Errorf("got %d reads of shared state; want one", w.reads-reads)
			}
		})
	}
}

// A generation that could not be written is not refreshed before it is. When its
// access token has expired, too, it is not known what the provider would say.
func TestLoad_HeldAndExpired(t *testing.T) {
	bubble(t, "503 until it can be written", false, func(t *testing.T, w *world) {
		w.Refresh.Keep = 25 * time.Hour
		b := w.browserWith(t, good(expired))
		var up atomic.Bool
		w.before = func(_ context.Context, o string) error {
			if o == "add n" && !up.Load() {
				return errDown
			}
			return nil
		}
		said, err := w.load(t, b, b.request(t, "document"))
		noError(t, err)
		if !strings.HasPrefix(said, "token 1, ") {
			t.Errorf("got %q; want token 1, which is held", said)
		}
		<-time.After(100 * time.Minute)
		if said, err := w.load(t, b, b.request(t, "document")); !errors.Is(err, lifecycle.ErrUnknown) {
			t.Errorf("got %q, %v; want ErrUnknown", said, err)
		}
		up.Store(true)
		<-time.After(2 * time.Second)
		if said, err := w.load(t, b, b.request(t, "document")); !strings.HasPrefix(said, "token 2, ") || err != nil {
			t.Errorf("got %q, %v; want token 2", said, err)
		}
	})
}

// Where a refresh is due, the handler runs only in the rows with a token: that is
// the table in docs/security.md.
func TestLoad_FailsClosed(t *testing.T) {
	var (
		offline = func(s *session.Session) { s.AccessExpiry = start.Add(-maxOffline) }
		nearly  = func(s *session.Session) { s.AccessExpiry = start.Add(-maxOffline + time.Second) }
		tokens  = map[string]func(*session.Session){"good": due, "expired": expired, "offline": offline, "nearly offline": nearly}
	)
	fails := func(operation string, nth int32) arranging {
		return func(_ *testing.T, w *world, _ *session.Session) { w.failNth(operation, nth) }
	}
	down := fails("refresh token 0", 1)
	unknown, shared := lifecycle.ErrUnknown, lifecycle.ErrShared
	for _, c := range []struct {
		name    string
		arrange arranging
		leaves  time.Duration // after that the client is gone; 0: it waits
		want    map[string]any
	}{
		{"the provider answers", nil, 0, map[string]any{"good": "token 1", "expired": "token 1", "offline": "token 1"}},
		{"the provider fails", down, 0, map[string]any{"good": "token 0", "expired": "token 0", "nearly offline": "token 0", "offline": lifecycle.ErrOffline}},
		{"the provider has failed, and is given a rest", func(t *testing.T, w *world, s *session.Session) {
			down(t, w, s)
			_, _ = w.Refresh.Refresh(t.Context(), s, true)
		}, 0, map[string]any{"good": "token 0", "expired": "token 0", "nearly offline": "token 0", "offline": lifecycle.ErrOffline}},
		{"the client goes away, or a time-out around the guard ends", slow, time.Second, map[string]any{"good": "token 0", "expired": unknown, "offline": unknown}},
		{"the provider takes its time, and the client waits", slow, 0, map[string]any{"good": "token 1", "expired": "token 1"}},
		{"the lease cannot be taken", fails("add l", 1), 0, map[string]any{"good": "token 0", "expired": unknown}},
		{"it cannot be looked at under the lease", fails("get", 2), 0, map[string]any{"good": "token 0", "expired": unknown}},
		{"it cannot be looked at after the answer", fails("get", 3), 0, map[string]any{"good": "token 1", "expired": "token 1"}},
		{"the successor cannot be written", fails("add n", 1), 0, map[string]any{"good": "token 1", "expired": "token 1"}},
		{"it cannot be looked at after that", fails("get", 4), 0, map[string]any{"good": "token 1", "expired": "token 1"}},
		{"another replica has the lease, and does not finish", func(_ *testing.T, w *world, _ *session.Session) { w.leased.Store(true) }, 0,
			map[string]any{"good": "token 0", "expired": unknown}},
		{"another replica has the lease, and dies", func(t *testing.T, w *world, s *session.Session) { w.lease(t, s) }, 0,
			map[string]any{"good": "token 0", "expired": "token 1"}},
		{"what asks the provider panics", answering(func(*session.Session) (*session.Session, error) { panic("broken") }), 0,
			map[string]any{"good": "token 0", "expired": unknown}},
		{"the provider refuses for good", answering(refuses), 0, map[string]any{"good": "token 0: provider", "expired": "token 0: provider"}},
		{"the provider refuses for good, and that cannot be written", func(t *testing.T, w *world, s *session.Session) {
			w.answer = refuses
			w.failNth("add e", 1)
		}, 0, map[string]any{"good": shared, "expired": shared}},
		{"the provider refuses for good, and it cannot be looked at once more", func(t *testing.T, w *world, s *session.Session) {
			w.answer = refuses
			w.failNth("get", 3)
		}, 0, map[string]any{"good": shared, "expired": shared}},
		{"it is signed out meanwhile", func(t *testing.T, w *world, s *session.Session) {
			w.answer = func(s *session.Session) (*session.Session, error) {
				return next(s), w.State.EndSession(context.Background(), s.ID, sharedstate.SignedOut)
			}
		}, 0, map[string]any{"good": "token 1: signed_out", "expired": "token 1: signed_out"}},
	} {
		for token, want := range c.want {
			bubble(t, c.name+": "+token, false, func(t *testing.T, w *world) {
				s := good(tokens[token])
				b := w.browserWith(t, s)
				if c.arrange != nil {
					c.arrange(t, w, s)
				}
				w.recorded()
				ctx := t.Context()
				if c.leaves > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.leaves)
					defer cancel()
				}
				known, out, err := w.loadOnly(b.request(t, "image").WithContext(ctx))
				got := refreshToken(known.Session)
				if out.Ended != "" {
					got = fmt.Sprintf("%s: %s", refreshToken(out.Session), out.Ended)
				}
				if sentinel, ok := want.(error); ok {
					if got != "" || !errors.Is(err, sentinel) {
						t.Errorf("got %q, %v; want the request not to go on: %v", got, err, sentinel)
					}
					return
				}
				if err != nil || got != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
			})
		}
	}
}

// A session whose refreshes succeed, but bring no claims that can be used, is offline
// after a while: a role may have been taken away. The provider is asked once a minute.
func TestLoad_Unconfirmed(t *testing.T) {
	since := func(limit time.Duration) func(*session.Session) {
		return func(s *session.Session) { s.Unconfirmed = start.Add(-limit).Unix() }
	}
	bubble(t, "until the limit it is served", false, func(t *testing.T, w *world) {
		b := w.browserWith(t, good(since(maxOffline-time.Second)))
		if said, err := w.load(t, b, b.request(t, "document")); said != "token 0" || err != nil {
			t.Errorf("got %q, %v; want token 0", said, err)
		}
	})
	bubble(t, "then it is not, until a refresh confirms its claims", false, func(t *testing.T, w *world) {
		b := w.browserWith(t, good(since(maxOffline), seen(time.Minute)))
		for i, asks := range []string{"; refresh token 0, add n", "", "", "; refresh token 1, add n"} {
			if said, err := w.load(t, b, b.request(t, "document")); !errors.Is(err, lifecycle.ErrOffline) || !errors.Is(err, lifecycle.ErrUnconfirmed) || said != asks {
				t.Errorf("request %d: got %q, %v; want %q, and ErrOffline with ErrUnconfirmed", i, said, err, asks)
			}
			<-time.After(20 * time.Second)
		}
		<-time.After(40 * time.Second)
		w.answer = func(s *session.Session) (*session.Session, error) {
			n := next(s)
			n.Unconfirmed = 0
			return n, nil
		}
		if said, err := w.load(t, b, b.request(t, "document")); !strings.HasPrefix(said, "token 3, written") || err != nil {
			t.Errorf("got %q, %v; want token 3, and its cookie", said, err)
		}
	})
	bubble(t, "two requests at once wait for the same refresh", false, func(t *testing.T, w *world) {
		b := w.browserWith(t, good(since(maxOffline), seen(time.Minute)))
		w.answer = func(s *session.Session) (*session.Session, error) {
			<-time.After(3 * time.Second)
			n := next(s)
			n.Unconfirmed = 0
			return n, nil
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if known, _, err := w.loadOnly(b.request(t, "document")); err != nil || refreshToken(known.Session) != "token 1" {
					t.Errorf("got %s, %v; want token 1", refreshToken(known.Session), err)
				}
			})
		}
		both.Wait()
	})
	bubble(t, "one whose cookie is that of before", false, func(t *testing.T, w *world) {
		s := good(expired)
		b := w.browserWith(t, s)
		w.succeed(t, s, since(maxOffline))
		if said, err := w.load(t, b, b.request(t, "document")); !errors.Is(err, lifecycle.ErrOffline) {
			t.Errorf("got %q, %v; want ErrOffline", said, err)
		}
	})
}

// slow makes the provider take three seconds.
func slow(_ *testing.T, w *world, _ *session.Session) {
	w.answer = func(s *session.Session) (*session.Session, error) {
		<-time.After(3 * time.Second)
		return next(s), nil
	}
}

// A browser has not shown the generations that it never got.
func TestLoad_BrowserIsNotLeftBehind(t *testing.T) {
	for name, dest := range map[string]string{"images refresh its session for hours": "image", "the answers to its requests are lost for hours": ""} {
		bubble(t, name, false, func(t *testing.T, w *world) {
			b := w.browserWith(t, good(due))
			for i := range 18 {
				known, out, err := w.loadOnly(b.request(t, dest))
				if got, want := refreshToken(known.Session), fmt.Sprintf("token %d", i+1); err != nil || got != want {
					t.Errorf("got %q, %+v, %v; want %q", got, out, err, want)
				}
				<-time.After(time.Hour)
			}
		})
	}
}
