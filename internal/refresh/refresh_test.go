package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

func TestRefresh_Group(t *testing.T) {
	bubble(t, "a thousand over four replicas share one request", func(t *testing.T, w *world) {
		w.takes = 3 * time.Second
		replicas := []*refresh.Group{w.replica(), w.replica(), w.replica(), w.replica()}
		s := generation(0)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				refreshes(t, replicas[i%4], s, true, "1")
			})
		}
		wg.Wait()
		refreshes(t, replicas[0], s, true, "1") // later, with the old cookie
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "one with a good access token does not wait for another", func(t *testing.T, w *world) {
		w.takes = 3 * time.Second
		g, s := w.replica(), generation(0)
		first := start(t.Context(), g, s, false)
		synctest.Wait()
		began := time.Now()
		for _, g := range []*refresh.Group{g, w.replica()} { // which finds the lease taken
			refreshes(t, g, s, false, "0")
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("got an answer after %v; want it at once", waited)
		}
		wantSaid(t, <-first, "1") // the first one waits
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
}

func TestRefresh_DueAtOnce(t *testing.T) {
	bubble(t, "an access token that expires at once is asked for once", func(t *testing.T, w *world) {
		w.answer = func(_ context.Context, s *session.Session) (*session.Session, error) {
			return generation(s.Generation + 1), nil
		}
		refreshes(t, w.replica(), generation(0), true, "1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
}

// The outcome of a flight is not the right answer for every caller that waited for it.
func TestRefresh_FlightOfAnotherCaller(t *testing.T) {
	for _, row := range []struct {
		name      string
		must      bool   // the first caller's, with generation 0
		second    uint64 // the generation of a second one, which must have an answer
		arrange   func(*testing.T, *world)
		meanwhile func(*testing.T, *world)
		first     string // what it gets
		want      string // what the second gets
	}{
		{
			name: "it did not wait for another replica", must: false, second: 0,
			arrange: func(t *testing.T, w *world) { w.lease(t, generation(0), time.Second) },
			first:   "0", want: "1",
		},
		{
			name: "it was about an old cookie, whose successor is lost", must: true, second: 2,
			meanwhile: func(t *testing.T, w *world) {
				w.chain(t, generation(0), 2)
				w.forget(t)
			},
			first: "lost", want: "3",
		},
		{
			name: "it was about an old cookie, and the provider has failed", must: true, second: 2,
			arrange: func(_ *testing.T, w *world) { w.answer = down },
			first:   "failed", want: "failed",
		},
		{
			name: "it has led to an older generation", must: true, second: 3,
			first: "1", want: "4",
		},
	} {
		bubble(t, row.name, func(t *testing.T, w *world) {
			if row.arrange != nil {
				row.arrange(t, w)
			}
			open, g := w.gate("add l"), w.replica()
			first := start(t.Context(), g, generation(0), row.must)
			synctest.Wait()
			second := start(t.Context(), g, generation(row.second), true)
			synctest.Wait()
			if row.meanwhile != nil {
				row.meanwhile(t, w)
			}
			open()
			wantSaid(t, <-first, row.first)
			wantSaid(t, <-second, row.want)
		})
	}
}

func TestRefresh_CallerLeaves(t *testing.T) {
	for _, waits := range []bool{false, true} {
		bubble(t, fmt.Sprint("the flight goes on; it waits for another replica: ", waits), func(t *testing.T, w *world) {
			w.takes = 3 * time.Second
			g, s := w.replica(), generation(0)
			if waits {
				w.lease(t, s, lease)
			}
			ctx, leave := context.WithCancel(t.Context())
			first, second := start(ctx, g, s, true), start(t.Context(), g, s, true)
			wait(time.Second)
			leave()
			if got := <-first; !errors.Is(got.err, context.Canceled) || got.session != nil {
				t.Errorf("got %v, %v; want the error of the context", got.session, got.err)
			}
			wantSaid(t, <-second, "1")
			w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
		})
	}
}

func TestRefresh_ProviderFails(t *testing.T) {
	bubble(t, "the session rests for 2 s, twice as long each time, 60 s at most", func(t *testing.T, w *world) {
		g, s := w.replica(), generation(0)
		fail := func(s *session.Session, delay time.Duration) {
			t.Helper()
			w.answer = down
			tries := len(w.sent)
			refreshes(t, g, s, true, "failed")
			wait(delay - 1)
			refreshes(t, g, s, true, fmt.Sprint(s.Generation))
			if got := len(w.sent) - tries; got != 1 {
				t.Errorf("before %v are over: got %d requests; want 1", delay, got)
			}
			wait(1)
			w.answer = nil
		}
		for _, seconds := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			fail(s, seconds*time.Second)
		}
		refreshes(t, g, s, true, "1")
		fail(generation(1), 2*time.Second)
		refreshes(t, g, generation(1), true, "2")
	})
	bubble(t, "other sessions do not rest", func(t *testing.T, w *world) {
		g := w.replica()
		w.answer = down
		refreshes(t, g, another(session.ID{8}), true, "failed")
		w.answer = nil
		refreshes(t, g, generation(0), true, "1")
		w.want(t, []string{"token 0", "token 0"}, nil, []string{"0 failed", "1 ok"})
	})
	bubble(t, "a clock that is set back does not prolong the rest", func(t *testing.T, w *world) {
		g, s, now := w.replica(), generation(0), time.Now()
		g.Now = func() time.Time { return now }
		w.answer = down
		refreshes(t, g, s, true, "failed")
		now, w.answer = now.Add(-time.Hour), nil
		refreshes(t, g, s, true, "1")
	})
	bubble(t, "old failures are forgotten", func(t *testing.T, w *world) {
		g, s := w.replica(), generation(0)
		w.answer = down
		fail := func(s *session.Session) {
			refreshes(t, g, s, true, "failed")
		}
		fail(s)
		wait(2 * time.Second)
		fail(s) // it rests for 4 s now
		wait(5 * time.Minute)
		for range 1100 { // more than are kept without looking for old ones
			fail(another(session.NewID()))
		}
		fail(s)
		wait(2 * time.Second)
		tries := len(w.sent)
		fail(s) // it has rested for 2 s, as after a first failure
		if got := len(w.sent) - tries; got != 1 {
			t.Errorf("got %d tries; want 1", got)
		}
	})
}

// A panic on the goroutine of a flight would end the process: net/http recovers
// only those of handlers.
func TestRefresh_SourceIsBroken(t *testing.T) {
	for name, answer := range map[string]func(context.Context, *session.Session) (*session.Session, error){
		"it panics": func(context.Context, *session.Session) (*session.Session, error) { panic("broken") },
		"it ends the goroutine": func(context.Context, *session.Session) (*session.Session, error) {
			runtime.Goexit()
			return nil, nil
		},
		"it returns neither session nor error": func(context.Context, *session.Session) (*session.Session, error) { return nil, nil },
		"it returns a session that is too large": func(_ context.Context, s *session.Session) (*session.Session, error) {
			next := fresh(s)
			next.RefreshToken = strings.Repeat("x", 70_000)
			return next, nil
		},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			w.answer, w.takes = answer, time.Second
			g, s := w.replica(), generation(0)
			for _, done := range []<-chan outcome{start(t.Context(), g, s, true), start(t.Context(), g, s, true)} {
				got := <-done
				if got.err == nil || refresh.Over(got.err) || name == "it panics" && !strings.Contains(got.err.Error(), "broken") {
					t.Errorf("got %v; want a passing error that says what the panic said", got.err)
				}
			}
			w.want(t, []string{"token 0"}, nil, []string{"0 failed"})
			if strings.Contains(name, "large") {
				return // it is held, and returned from now on
			}
			w.answer = nil
			wait(lease)
			refreshes(t, g, s, true, "1")
		})
	}
}

func TestRefresh_ObserverPanics(t *testing.T) {
	bubble(t, "the refresh counts, and the panic is reported", func(t *testing.T, w *world) {
		w.panics = true
		refreshes(t, w.replica(), generation(0), true, "1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok", "1 failed"})
	})
}

func TestRefresh_ProviderEndsSession(t *testing.T) {
	bubble(t, "for every replica", func(t *testing.T, w *world) {
		w.answer = refuse
		g, s := w.replica(), generation(0)
		if got := refreshes(t, g, s, true, "ended p"); !errors.Is(got.err, refresh.ErrFinal) {
			t.Errorf("got %v; want it to say why", got.err)
		}
		for _, other := range []*refresh.Group{g, w.replica()} {
			refreshes(t, other, s, true, "ended p")
		}
		w.want(t, []string{"token 0"}, nil, []string{"0 ended"})
	})
	for _, row := range []struct {
		name, want string
		do         func(*testing.T, *world, *session.Session) // meanwhile
	}{
		{"not if another replica has written a successor", "1", func(t *testing.T, w *world, s *session.Session) { w.write(t, s, fresh(s)) }},
		{"not if another replica's successor is due: it is refreshed", "2", func(t *testing.T, w *world, s *session.Session) {
			w.answer = nil
			w.write(t, s, generation(1))
		}},
		{"not if a sign-out has revoked the token", "ended s", func(t *testing.T, w *world, s *session.Session) { w.signOut(t, s) }},
		{"not if shared state cannot be read", "unknown", func(_ *testing.T, w *world, _ *session.Session) { w.interfere(fails("get")) }},
		{"not if it cannot be written down", "unknown", func(_ *testing.T, w *world, _ *session.Session) { w.interfere(fails("add e")) }},
	} {
		bubble(t, row.name, func(t *testing.T, w *world) {
			w.answer = func(ctx context.Context, s *session.Session) (*session.Session, error) {
				row.do(t, w, s)
				return refuse(ctx, s)
			}
			refreshes(t, w.replica(), generation(0), true, row.want)
			w.interfere(nil)
			if standing := w.standing(t, generation(0)); standing.Ended == sharedstate.Refused {
				t.Errorf("got %+v; want what has happened meanwhile", standing)
			}
		})
	}
}

// Only the provider is given a rest: what has become of the session is not known.
func TestRefresh_SharedStateFails(t *testing.T) {
	for _, row := range []struct {
		name, operation string
		must, waits     bool
	}{
		{"no lease can be taken, and the access token is good", "add l", false, false},
		{"no lease can be taken", "add l", true, false},
		{"it cannot be read", "get", true, false},
		{"it cannot be read while another replica has the lease", "get", true, true},
	} {
		bubble(t, row.name, func(t *testing.T, w *world) {
			s := generation(0)
			if row.waits {
				w.lease(t, s, lease)
			}
			w.interfere(fails(row.operation))
			if got := <-start(t.Context(), w.replica(), s, row.must); got.String() != "unknown" || !errors.Is(got.err, errDown) {
				t.Errorf("got %v, %v; want no session, and %v", got.session, got.err, errDown)
			}
			w.want(t, nil, nil, []string{"0 failed"})
			w.interfere(nil)
			refreshes(t, w.replica(), s, true, "1")
		})
	}
}

// Words that a gateway may have said end a session when the same generation hears them
// again a quarter of an hour later, from any replica.
func TestRefresh_Denied(t *testing.T) {
	denies := func(context.Context, *session.Session) (*session.Session, error) {
		return nil, fmt.Errorf("%w: access_denied", refresh.ErrDenied)
	}
	bubble(t, "twice, a quarter of an hour apart, at two replicas", func(t *testing.T, w *world) {
		w.answer = denies
		one, other, s := w.replica(), w.replica(), generation(0)
		refreshes(t, one, s, true, "failed")
		wait(15*time.Minute - time.Second)
		refreshes(t, other, s, true, "failed")
		wait(2 * time.Second)
		if got := refreshes(t, other, s, true, "ended p"); !strings.Contains(got.err.Error(), "access_denied") {
			t.Errorf("got %v; want the provider's word", got.err)
		}
	})
	bubble(t, "not if a refresh has succeeded meanwhile", func(t *testing.T, w *world) {
		w.answer = denies
		g, s := w.replica(), generation(0)
		refreshes(t, g, s, true, "failed")
		wait(20 * time.Minute)
		w.answer = nil
		refreshes(t, g, s, true, "1")
		wait(2 * time.Hour)
		w.answer = denies
		refreshes(t, g, generation(1), true, "failed")
	})
	bubble(t, "not if shared state cannot say when it was first", func(t *testing.T, w *world) {
		w.answer = denies
		g, s := w.replica(), generation(0)
		refreshes(t, g, s, true, "failed")
		wait(20 * time.Minute)
		w.interfere(fails("add d"))
		refreshes(t, g, s, true, "failed")
		w.interfere(nil)
		if standing := w.standing(t, s); standing.Ended != 0 {
			t.Errorf("got %+v; want a session that goes on", standing)
		}
	})
	bubble(t, "not if another wrote the note", func(t *testing.T, w *world) {
		w.answer = denies
		g, s := w.replica(), generation(0)
		refreshes(t, g, s, true, "failed")
		noError(t, w.Memory.Set(t.Context(), w.named("add d")[0], []byte("forged"), time.Hour))
		wait(20 * time.Minute)
		refreshes(t, g, s, true, "failed")
	})
}

func TestRefresh_RotatedBesideAnError(t *testing.T) {
	bubble(t, "the new refresh token is the next one that is sent", func(t *testing.T, w *world) {
		w.answer = func(_ context.Context, s *session.Session) (*session.Session, error) { return rotated(s), errDown }
		g, s := w.replica(), generation(0)
		refreshes(t, g, s, true, "1 failed")
		w.answer = nil
		wait(2 * time.Second)
		refreshes(t, w.replica(), s, true, "2")
		w.want(t, []string{"token 0", "token 1"}, nil, []string{"0 failed", "2 ok"})
	})
}
