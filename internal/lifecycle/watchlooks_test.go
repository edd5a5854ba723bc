package lifecycle_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/session"
)

// A stream refreshes its session, and follows those who have done so. Each token is used
// once, and the browser's next request has the newest generation.
func TestWatch_Refreshes(t *testing.T) {
	bubble(t, "", false, func(t *testing.T, w *world) {
		w.Limits.Idle = 14 * 24 * time.Hour // so that the stream lasts
		b := w.browserWith(t, good())
		known, _, err := w.loadOnly(b.request(t, ""))
		noError(t, err)
		ctx, cancel := w.Watch(t.Context(), known, 0)
		defer cancel()
		pass(time.Hour) // the stream has refreshed it
		if got, want := w.recorded(), "refresh token 0, add n"; got != want {
			t.Errorf("the stream: got %q; want %q", got, want)
		}
		pass(time.Hour - ahead - time.Second) // a request is faster than the stream
		_, _, err = w.loadOnly(b.request(t, ""))
		noError(t, err)
		pass(time.Hour)
		if got, want := w.recorded(), "refresh token 1, add n, set s, refresh token 2, add n"; got != want || ctx.Err() != nil {
			t.Errorf("a request, and the stream: got %q, %v; want %q", got, ctx.Err(), want)
		}
		if got, want := w.finds(t, b), "token 3"; got != want {
			t.Errorf("the browser: got %q; want %q", got, want)
		}
		w.recorded()
		pass(60 * time.Hour) // shared state has forgotten the first generations
		used := slices.DeleteFunc(strings.Split(w.recorded(), ", "), func(o string) bool { return !strings.HasPrefix(o, "refresh token") })
		if once := slices.Compact(slices.Sorted(slices.Values(used))); len(used) < 60 || len(once) != len(used) || ctx.Err() != nil {
			t.Errorf("for days: got %q, %v; want each token used once", used, ctx.Err())
		}
	})
}

// A browser that does nothing but hold a stream, and comes back when that ends, stays
// signed in with the cookie that it gets then; in between, it always has one that lives,
// with which a sign-out or another sign-in ends the stream.
func TestWatch_BrowserComesBack(t *testing.T) {
	for _, onServer := range []bool{false, true} {
		bubble(t, fmt.Sprintf("on the server: %v", onServer), onServer, func(t *testing.T, w *world) {
			b := w.browserWith(t, good())
			for time.Since(start) < 13*24*time.Hour {
				r := b.request(t, "")
				known, answer := new(lifecycle.Known), httptest.NewRecorder()
				out, err := w.Load(answer, r, known)
				if noError(t, err); known.Session == nil {
					t.Fatalf("after %v: got %+v; want the browser signed in", time.Since(start), out)
				}
				w.receive(t, b, answer)
				ctx, cancel := w.Watch(t.Context(), known, 0)
				<-ctx.Done()
				cancel()
				if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("after %v: got a stream ended by %v; want that its browser comes back", time.Since(start), err)
				}
			}
		})
	}
}

// times returns when shared state is read from now on, in seconds after start.
func (w *world) times() *[]int {
	var at []int
	w.from("get", func(context.Context) error {
		at = append(at, int(time.Since(start).Round(time.Second)/time.Second))
		return nil
	})
	return &at
}

// The streams of a session share its looks. The one with the shortest time decides for
// as long as it is there.
func TestWatch_Together(t *testing.T) {
	bubble(t, "", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good(unrefreshable))
		at := w.times()
		watch := func(every time.Duration) context.CancelFunc {
			_, cancel := w.Watch(t.Context(), known, every)
			return cancel
		}
		sleep := func(until time.Duration) { pass(time.Until(start.Add(until))) }
		// looked compares when there were looks since it was called last.
		looked := func(when string, want ...int) {
			t.Helper()
			if !slices.Equal(*at, want) {
				t.Errorf("%s: got looks at %v; want %v", when, *at, want)
			}
			*at = nil
		}
		slow := watch(100 * time.Second)
		sleep(210 * time.Second)
		looked("alone", 3, 103, 203)
		equal, quick := watch(100*time.Second), watch(20*time.Second)
		watch(time.Nanosecond)() // at least 5 s, so it is left before it causes a look
		sleep(270 * time.Second)
		looked("with a quicker one, right after a look", 223, 243, 263)
		quick()
		sleep(400 * time.Second)
		looked("the quicker one has left", 363)
		quick = watch(20 * time.Second)
		sleep(410 * time.Second)
		looked("with a quicker one, long after a look", 400)
		quick()
		slow()
		equal()
		sleep(time.Hour)
		looked("all have left")
		again := watch(0)
		sleep(time.Hour + time.Minute)
		looked("another, after an hour", 3601, 3631)
		again()
		again() // does nothing
	})
}

// A look that is under way ends with the last stream. A stream that comes meanwhile is
// watched, and a generation that it brings is what is looked at from then on.
func TestWatch_WhileLooking(t *testing.T) {
	bubble(t, "", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		_, first := w.Watch(t.Context(), known, 5*time.Second)
		ended := time.Duration(0)
		w.from("get", func(ctx context.Context) error {
			<-ctx.Done()
			ended = time.Since(start)
			return ctx.Err()
		})
		pass(2 * time.Second)
		_, second := w.Watch(t.Context(), known, 6*time.Second)
		first()
		pass(time.Second)
		second()
		synctest.Wait()
		if ended != 3*time.Second {
			t.Errorf("got the look ended after %v; want 3s", ended)
		}
		w.fail("")
		s := good()
		_, old := w.Watch(t.Context(), known, 0)
		w.succeed(t, s)
		newer := next(s)
		newer.Generation = 1
		ctx, cancel := w.Watch(t.Context(), &lifecycle.Known{Session: newer}, 5*time.Second)
		at := w.times()
		pass(time.Second) // one look, whose generation is the newest already
		if len(*at) != 1 || ctx.Err() != nil {
			t.Errorf("with a newer generation: got reads at %v, %v; want one", *at, ctx.Err())
		}
		cancel()
		old()
	})
}

// A look that hangs ends the streams that began before it, and those that came
// meanwhile. When it returns at last, the streams of the same session that have begun
// since still share their looks.
func TestWatch_LookThatHangsReturns(t *testing.T) {
	bubble(t, "", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		first, cancel := w.Watch(t.Context(), known, 0)
		defer cancel()
		var hung atomic.Bool
		w.from("get", func(context.Context) error {
			if !hung.Swap(true) {
				<-time.After(90 * time.Second)
				return errDown
			}
			return nil
		})
		pass(looks(1, 30*time.Second) + time.Second)
		quick, cancel := w.Watch(t.Context(), known, 10*time.Second)
		defer cancel()
		pass(58 * time.Second)
		if first.Err() != nil || quick.Err() != nil {
			t.Error("got streams that have ended after 59 seconds; want a minute")
		}
		pass(2 * time.Second)
		if got, want := cause(first)+", "+cause(quick), "shared state, shared state"; got != want {
			t.Errorf("got %s; want %s", got, want)
		}
		_, cancel = w.Watch(t.Context(), known, 0)
		defer cancel()
		pass(40 * time.Second) // the first look has returned
		at := w.times()
		_, cancel = w.Watch(t.Context(), known, 0)
		defer cancel()
		pass(5 * time.Minute)
		if len(*at) != 10 {
			t.Errorf("got looks at %v; want one in 30 s", *at)
		}
	})
}

// 10,000 streams of 1,000 sessions, which all begin at the same moment as after a
// deployment, need 100 reads of shared state a second, and no crowd of them at once.
// Meanwhile no goroutine waits, and when they end nothing is left.
func TestWatch_TenThousandStreams(t *testing.T) {
	const sessions, each, every = 1000, 10, 10 * time.Second
	bubble(t, "", false, func(t *testing.T, w *world) {
		known := make([]*lifecycle.Known, sessions)
		for i := range known {
			known[i] = &lifecycle.Known{Session: good(unrefreshable, func(s *session.Session) {
				s.ID = session.NewID()
				binary.BigEndian.PutUint64(s.ID[8:], uint64(i))
			})}
		}
		counts := make([]atomic.Int32, 180) // of reads in each second
		w.from("get", func(context.Context) error {
			counts[time.Since(start)/time.Second].Add(1)
			return nil
		})
		var cancels []context.CancelFunc
		goroutines, memory := runtime.NumGoroutine(), inUse()
		for _, k := range known {
			for range each {
				_, cancel := w.Watch(t.Context(), k, every)
				cancels = append(cancels, cancel)
			}
		}
		if waiting := runtime.NumGoroutine() - goroutines; waiting > 10 {
			t.Errorf("got %d goroutines that wait; want none", waiting)
		}
		if a := (inUse() - memory) / (sessions * each); a > 1200 {
			t.Errorf("got %d bytes a stream; want at most 1,200", a)
		}
		pass(time.Minute)
		total, most := int32(0), int32(0)
		for i := range counts {
			total, most = total+counts[i].Load(), max(most, counts[i].Load())
		}
		if total != 6000 || most > 150 {
			t.Errorf("got %d reads in a minute, at most %d in a second; want 6000, at most 150", total, most)
		}
		for _, cancel := range cancels {
			cancel()
		}
		pass(time.Minute)
		for i := range counts[61:] {
			total -= counts[61+i].Load()
		}
		if total != 6000 {
			t.Errorf("after the last stream has ended: got %d reads; want none", 6000-total)
		}
		cancels = nil
		if a := (inUse() - memory) / (sessions * each); a > 300 { // what maps keep
			t.Errorf("after the last stream has ended: got %d bytes a stream; want at most 300", a)
		}
		runtime.KeepAlive(known) // which counts as before
	})
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
