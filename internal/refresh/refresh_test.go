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
)

// bubble runs a test in time of its own.
func bubble(t *testing.T, name string, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			test(t, newWorld(t))
			after(2 * lease) // nobody goes on for longer
		})
	})
}

// slow makes the provider take its time.
func (w *world) slow(d time.Duration) {
	w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
		after(d)
		return fresh(r), nil
	}
}

// The provider has most of a lease, and the rest is for writing down what it said:
// another replica, whenever it comes, does not use the same refresh token.
func TestASlowProviderLeavesTimeToWriteDown(t *testing.T) {
	t.Parallel()
	for i := range 20 {
		synctest.Test(t, func(t *testing.T) {
			w, s := newWorld(t), generation(0)
			w.answer = func(ctx context.Context, s *session.Session) (*session.Session, error) {
				for range 4 { // discovery, token, keys, userinfo
					select {
					case <-time.After(8 * time.Second):
					case <-ctx.Done():
					}
				}
				return fresh(s), nil
			}
			a := start(t.Context(), w.replica(), s, 0, true)
			after(time.Duration(i)*97*time.Millisecond + time.Millisecond)
			b := start(t.Context(), w.replica(), s, 0, true)
			<-a
			<-b
			if len(w.sent) != 1 {
				t.Errorf("a replica that comes after %d: got %q sent; want one token, once", i, w.sent)
			}
		})
	}
}

// outcome is what Refresh returns.
type outcome struct {
	record *session.Session
	err    error
}

func start(ctx context.Context, n *refresh.Group, r *session.Session, presented uint64, must bool) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		next, err := n.Refresh(ctx, r, presented, must)
		done <- outcome{next, err}
	}()
	return done
}

// CASES 4.1.
func TestOneFlight(t *testing.T) {
	t.Parallel()
	bubble(t, "a thousand callers over four replicas whose token has expired, one refresh", func(t *testing.T, w *world) {
		w.slow(3 * time.Second)
		var replicas []*refresh.Group
		for range 4 {
			replicas = append(replicas, w.replica())
		}
		r := generation(0)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				next, err := replicas[i%4].Refresh(t.Context(), r, 0, true)
				wantToken(t, next, err, "token 1")
			})
		}
		wg.Wait()
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
		if got := w.standing(t, r); got.Successor == nil {
			t.Error("got no successor in shared state; want one")
		}
	})
	bubble(t, "a caller whose token is still good goes on with it, and does not wait", func(t *testing.T, w *world) {
		w.slow(3 * time.Second)
		n, r := w.replica(), generation(0)
		first := start(t.Context(), n, r, 0, false)
		synctest.Wait()
		begin := time.Now()
		next, err := n.Refresh(t.Context(), r, 0, false)
		wantToken(t, next, err, "token 0")
		next, err = w.replica().Refresh(t.Context(), r, 0, false) // it finds the lease taken
		wantToken(t, next, err, "token 0")
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited %v; want no waiting", waited)
		}
		got := <-first // the leading one waits
		wantToken(t, got.record, got.err, "token 1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "late callers with the old cookie get the successor", func(t *testing.T, w *world) {
		n, r := w.replica(), generation(0)
		for range 3 {
			next, err := n.Refresh(t.Context(), r, 0, true)
			wantToken(t, next, err, "token 1")
		}
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "sessions do not wait for each other", func(t *testing.T, w *world) {
		stuck := make(chan struct{})
		w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
			if r.ID == (session.ID{7}) {
				<-stuck
			}
			return fresh(r), nil
		}
		n := w.replica()
		first := start(t.Context(), n, generation(0), 0, true)
		synctest.Wait()
		other := generation(0)
		other.ID = session.ID{8}
		if next, err := n.Refresh(t.Context(), other, 0, true); err != nil || next.Generation != 1 {
			t.Errorf("got %v, %v; want the other session refreshed", next, err)
		}
		close(stuck)
		<-first
	})
	bubble(t, "a token that lives for less than it is renewed ahead is asked for once", func(t *testing.T, w *world) {
		w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
			next := fresh(r)
			next.AccessExpiry = time.Now()
			return next, nil
		}
		next, err := w.replica().Refresh(t.Context(), generation(0), 0, true)
		wantToken(t, next, err, "token 1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "a successor that is due itself is refreshed", func(t *testing.T, w *world) {
		r := generation(0)
		w.write(t, r, generation(1))
		next, err := w.replica().Refresh(t.Context(), r, 0, true)
		wantToken(t, next, err, "token 2")
		w.want(t, []string{"token 1"}, nil, []string{"2 ok"})
	})
	bubble(t, "the record keeps whose session it is, and when it began", func(t *testing.T, w *world) {
		w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
			next := fresh(r)
			next.ID, next.Generation, next.Began, next.Created = session.ID{9}, 99, time.Now(), time.Now()
			return next, nil
		}
		r := generation(4)
		next, err := w.replica().Refresh(t.Context(), r, 0, true)
		if err != nil || next.ID != r.ID || next.Generation != 5 || !next.Began.Equal(r.Began) || !next.Created.Equal(r.Created) {
			t.Errorf("got %+v, %v; want the same session's generation 5", next, err)
		}
	})
}

func TestAFlightAnswersOnlyThoseItSpeaksOf(t *testing.T) {
	t.Parallel()
	bubble(t, "who must have a token does not take a flight's word that did not wait for another replica", func(t *testing.T, w *world) {
		r, gate := generation(0), make(chan struct{})
		if ok, err := w.state.TakeLease(t.Context(), r, time.Second); !ok || err != nil {
			t.Fatalf("TakeLease: got %v, %v; want true", ok, err)
		}
		var once sync.Once
		w.before = func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				once.Do(func() { <-gate })
			}
			return nil
		}
		n := w.replica()
		first := start(t.Context(), n, r, 0, false)
		synctest.Wait()
		second := start(t.Context(), n, r, 0, true)
		synctest.Wait()
		close(gate)
		got := <-first
		wantToken(t, got.record, got.err, "token 0")
		got = <-second
		wantToken(t, got.record, got.err, "token 1")
	})
	bubble(t, "an old copy that is superseded does not take the newest with it", func(t *testing.T, w *world) {
		old, gate := generation(0), make(chan struct{})
		var once sync.Once
		w.before = func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				once.Do(func() { <-gate })
			}
			return nil
		}
		n := w.replica()
		first := start(t.Context(), n, old, 0, true)
		synctest.Wait()
		second := start(t.Context(), n, generation(2), 2, true)
		synctest.Wait()
		if err := w.state.Supersede(t.Context(), old.ID, 0); err != nil {
			t.Errorf("Supersede: got error %v; want none", err)
		}
		close(gate)
		got := <-first
		wantSuperseded(t, got.record, got.err)
		got = <-second
		wantToken(t, got.record, got.err, "token 3")
		w.want(t, []string{"token 2"}, nil, []string{"3 ok"})
	})
	bubble(t, "a flight of an older generation does not take a newer one back", func(t *testing.T, w *world) {
		gate := make(chan struct{})
		var once sync.Once
		w.before = func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				once.Do(func() { <-gate })
			}
			return nil
		}
		n := w.replica()
		first := start(t.Context(), n, generation(0), 0, true)
		synctest.Wait()
		second := start(t.Context(), n, generation(3), 3, true)
		synctest.Wait()
		close(gate)
		got := <-first
		wantToken(t, got.record, got.err, "token 1")
		got = <-second
		wantToken(t, got.record, got.err, "token 4")
	})
}

// CASES 4.6.
func TestAClientThatGoesAwayLosesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, "the flight goes on and its result is kept in shared state", func(t *testing.T, w *world) {
		w.slow(3 * time.Second)
		n, r := w.replica(), generation(0)
		ctx, cancel := context.WithCancel(t.Context())
		first := start(ctx, n, r, 0, true)
		synctest.Wait()
		cancel()
		if got := <-first; !errors.Is(got.err, context.Canceled) || got.record != nil {
			t.Errorf("got %v, %v; want the context's error", got.record, got.err)
		}
		after(5 * time.Second)
		next, err := w.replica().Refresh(t.Context(), r, 0, true)
		wantToken(t, next, err, "token 1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "it goes on waiting for another replica, too", func(t *testing.T, w *world) {
		r := generation(0)
		if ok, err := w.state.TakeLease(t.Context(), r, lease); !ok || err != nil {
			t.Fatalf("TakeLease: got %v, %v; want true", ok, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := start(ctx, w.replica(), r, 0, true)
		after(time.Second)
		cancel()
		<-first
		after(lease)
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
}

func TestBackOff(t *testing.T) {
	t.Parallel()
	bubble(t, "a session that fails waits 2 s, twice as long each time, 60 s at the most", func(t *testing.T, w *world) {
		n, r := w.replica(), generation(0)
		w.answer = func(context.Context, *session.Session) (*session.Session, error) { return nil, errDown }
		for i, delay := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			delay *= time.Second
			next, err := n.Refresh(t.Context(), r, 0, true)
			wantPassing(t, err)
			if next != nil || !errors.Is(err, errDown) {
				t.Errorf("try %d: got %v, %v; want the provider's error", i, next, err)
			}
			after(delay - 1)
			next, err = n.Refresh(t.Context(), r, 0, true)
			wantToken(t, next, err, "token 0")
			if len(w.sent) != i+1 {
				t.Errorf("after %v: got %d tries; want %d", delay-1, len(w.sent), i+1)
			}
			after(1)
		}
		w.answer = nil
		next, err := n.Refresh(t.Context(), r, 0, true)
		wantToken(t, next, err, "token 1")
		w.answer = func(context.Context, *session.Session) (*session.Session, error) { return nil, errDown }
		tries := len(w.sent)
		for range 2 { // counted from the beginning again
			_, err = n.Refresh(t.Context(), generation(1), 1, true)
			wantPassing(t, err)
			after(2 * time.Second)
		}
		if got := len(w.sent) - tries; got != 2 {
			t.Errorf("after a success: got %d tries; want 2", got)
		}
	})
	bubble(t, "only the session that fails waits", func(t *testing.T, w *world) {
		n := w.replica()
		w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
			if r.ID == (session.ID{8}) {
				return nil, errDown
			}
			return fresh(r), nil
		}
		other := generation(0)
		other.ID = session.ID{8}
		_, err := n.Refresh(t.Context(), other, 0, true)
		wantPassing(t, err)
		next, err := n.Refresh(t.Context(), generation(0), 0, true)
		wantToken(t, next, err, "token 1")
		w.want(t, []string{"token 0", "token 0"}, nil, []string{"0 failed", "1 ok"})
	})
	bubble(t, "a clock that is set back makes nobody wait for it", func(t *testing.T, w *world) {
		n, r := w.replica(), generation(0)
		now := time.Now()
		n.Now = func() time.Time { return now }
		w.answer = func(context.Context, *session.Session) (*session.Session, error) { return nil, errDown }
		_, err := n.Refresh(t.Context(), r, 0, true)
		wantPassing(t, err)
		now, w.answer = now.Add(-time.Hour), nil
		next, err := n.Refresh(t.Context(), r, 0, true)
		wantToken(t, next, err, "token 1")
	})
	bubble(t, "an outage leaves nothing behind for sessions that do not come back", func(t *testing.T, w *world) {
		n := w.replica()
		w.answer = func(context.Context, *session.Session) (*session.Session, error) { return nil, errDown }
		fail := func(count int) {
			for range count {
				r := generation(0)
				r.ID = session.NewID()
				_, err := n.Refresh(t.Context(), r, 0, true)
				wantPassing(t, err)
			}
		}
		r := generation(0)
		_, err := n.Refresh(t.Context(), r, 0, true)
		wantPassing(t, err)
		after(2 * time.Second)
		_, err = n.Refresh(t.Context(), r, 0, true) // its delay is 4 s now
		wantPassing(t, err)
		after(5 * time.Minute)
		fail(1100) // more than are kept without a look
		_, err = n.Refresh(t.Context(), r, 0, true)
		wantPassing(t, err)
		after(2 * time.Second)
		tries := len(w.sent)
		_, err = n.Refresh(t.Context(), r, 0, true) // forgotten, so its delay is 2 s again
		wantPassing(t, err)
		if got := len(w.sent) - tries; got != 1 {
			t.Errorf("got %d tries; want 1, since the earlier failures are forgotten", got)
		}
	})
}

// A flight's goroutine is nobody's request: net/http does not recover it.
func TestAPanicEndsNeitherTheProcessNorTheWaiting(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(context.Context, *session.Session) (*session.Session, error){
		"a panic":                       func(context.Context, *session.Session) (*session.Session, error) { panic("broken") },
		"a goroutine ended from within": func(context.Context, *session.Session) (*session.Session, error) { runtime.Goexit(); return nil, nil },
		"neither a record nor an error": func(context.Context, *session.Session) (*session.Session, error) { return nil, nil },
		"a session that is too large":   nil,
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			w.answer = func(ctx context.Context, r *session.Session) (*session.Session, error) {
				after(time.Second)
				if answer == nil {
					next := fresh(r)
					next.RefreshToken = strings.Repeat("x", 70_000)
					return next, nil
				}
				return answer(ctx, r)
			}
			n, r := w.replica(), generation(0)
			first, second := start(t.Context(), n, r, 0, true), start(t.Context(), n, r, 0, true)
			for _, done := range []<-chan outcome{first, second} {
				got := <-done
				wantPassing(t, got.err)
				if name == "a panic" && !strings.Contains(fmt.Sprint(got.err), "broken") {
					t.Errorf("got %v; want an error that says what the panic said", got.err)
				}
			}
			w.want(t, []string{"token 0"}, nil, []string{"0 failed"})
			if answer == nil {
				return // held, and returned from now on
			}
			w.answer = nil
			after(lease) // the lock of a goroutine that ended from within is given back, too
			next, err := n.Refresh(t.Context(), r, 0, true)
			wantToken(t, next, err, "token 1")
		})
	}
	bubble(t, "a report that panics changes nothing of the outcome", func(t *testing.T, w *world) {
		n := w.replica()
		var told []error
		n.Observer = observer(func(err error) {
			told = append(told, err)
			panic("in the application's OnEvent")
		})
		next, err := n.Refresh(t.Context(), generation(0), 0, true)
		wantToken(t, next, err, "token 1")
		if len(told) != 2 || told[0] != nil || told[1] == nil || !strings.Contains(told[1].Error(), "OnEvent") {
			t.Errorf("got reports %v; want the refresh, then the panic", told)
		}
	})
}
