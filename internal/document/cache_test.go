package document_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/document"
)

var errDown = errors.New("down")

// source is fetched in a bubble. Its documents are numbered from 1.
type source struct {
	fetches atomic.Int32
	err     error
	takes   time.Duration
}

func (s *source) fetch(ctx context.Context) (*int, error) {
	time.Sleep(s.takes)
	n := int(s.fetches.Add(1))
	if s.err != nil {
		return nil, s.err
	}
	return &n, ctx.Err()
}

// bubble runs a test with a source and a cache of it.
func bubble(t *testing.T, stale time.Duration, test func(t *testing.T, s *source, c *document.Cache[int])) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		test(t, s, document.NewCache(time.Now, stale, s.fetch))
	})
}

// want returns a function that fails unless it gets a document.
func want(t *testing.T, number int) func(*int, error) *int {
	return func(got *int, err error) *int {
		t.Helper()
		if err != nil || *got != number {
			t.Fatalf("got %v, %v; want document %d", got, err, number)
		}
		return got
	}
}

// wantError returns a function that fails unless it gets an error with a wait.
func wantError(t *testing.T, cause error, wait time.Duration) func(*int, error) {
	return func(got *int, err error) {
		t.Helper()
		missing, ok := errors.AsType[*document.Error](err)
		if got != nil || !ok || !errors.Is(err, cause) || missing.RetryAfter != wait || err.Error() != cause.Error() {
			t.Fatalf("got %v, %v; want error %v, retry after %v", got, err, cause, wait)
		}
	}
}

// A caller that has seen an older document gets the one held without a fetch.
func TestCache_NewerThanNothing(t *testing.T) {
	bubble(t, 0, func(t *testing.T, _ *source, c *document.Cache[int]) {
		for range 2 {
			want(t, 1)(c.Newer(t.Context(), nil))
		}
		want(t, 1)(c.Held(), nil)
	})
}

func TestCache_ThousandCallers(t *testing.T) {
	bubble(t, 0, func(t *testing.T, s *source, c *document.Cache[int]) {
		s.takes = time.Second
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if got, err := c.Get(t.Context()); err != nil || *got != 1 {
					t.Errorf("got %v, %v; want the first document", got, err)
				}
			})
		}
		all.Wait()
	})
}

// A document is used for an hour, and fetched again when it is needed after 45
// minutes, without a caller having to wait.
func TestCache_Age(t *testing.T) {
	bubble(t, 0, func(t *testing.T, s *source, c *document.Cache[int]) {
		s.takes = time.Second
		want(t, 1)(c.Get(t.Context()))
		time.Sleep(45*time.Minute - time.Second)
		want(t, 1)(c.Get(t.Context()))
		time.Sleep(time.Second)
		synctest.Wait() // a fetch that began too early would end here
		began := time.Now()
		want(t, 1)(c.Get(t.Context()))
		if took := time.Since(began); took != 0 {
			t.Errorf("got the document after %v; want it at once", took)
		}
		time.Sleep(s.takes)
		synctest.Wait()
		want(t, 2)(c.Get(t.Context()))
		time.Sleep(time.Hour)
		want(t, 3)(c.Get(t.Context()))
		if n := s.fetches.Load(); n != 3 {
			t.Errorf("got %d fetches; want 3", n)
		}
	})
}

// If the clock is set back, a document must not be used, and a wait must not
// last, for as long as the clock is behind.
func TestCache_ClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, offset := new(source), time.Duration(0)
		c := document.NewCache(func() time.Time { return time.Now().Add(offset) }, 0, s.fetch)
		want(t, 1)(c.Get(t.Context()))
		offset = -time.Hour
		got := want(t, 2)(c.Get(t.Context()))

		s.err = errDown
		wantError(t, errDown, time.Second)(c.Newer(t.Context(), got))
		offset = -2 * time.Hour
		s.err = nil
		want(t, 4)(c.Newer(t.Context(), got))
	})
}

// 9.1: while the provider is down it is asked after 1, 2, 4, … 30 seconds, and
// every caller is told how long to wait. After a success this begins again.
func TestCache_BackOff(t *testing.T) {
	bubble(t, 0, func(t *testing.T, s *source, c *document.Cache[int]) {
		s.err = errDown
		for i, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			wait *= time.Second
			wantError(t, errDown, wait)(c.Get(t.Context()))
			time.Sleep(wait - time.Millisecond)
			wantError(t, errDown, time.Millisecond)(c.Get(t.Context()))
			if n := s.fetches.Load(); int(n) != i+1 {
				t.Fatalf("got %d fetches; want %d", n, i+1)
			}
			time.Sleep(time.Millisecond)
		}
		s.err = nil
		want(t, 8)(c.Get(t.Context()))
		s.err = errDown
		time.Sleep(time.Hour)
		wantError(t, errDown, time.Second)(c.Get(t.Context()))
	})
}

// busy is an error that asks for a wait.
type busy time.Duration

func (busy) Error() string         { return "busy" }
func (b busy) Wait() time.Duration { return time.Duration(b) }

func TestCache_WaitInError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for asked, wait := range map[time.Duration]time.Duration{0: time.Second, 10 * time.Second: 10 * time.Second, time.Hour: 30 * time.Second} {
			s := &source{err: busy(asked)}
			wantError(t, busy(asked), wait)(document.NewCache(time.Now, 0, s.fetch).Get(t.Context()))
		}
	})
}

// After an extra fetch no other is made for five seconds, or if it failed, during
// the back-off.
func TestCache_CoolDown(t *testing.T) {
	bubble(t, 0, func(t *testing.T, s *source, c *document.Cache[int]) {
		first := want(t, 1)(c.Get(t.Context()))
		second := want(t, 2)(c.Newer(t.Context(), first))
		time.Sleep(2 * time.Second)
		wantError(t, document.ErrCoolingDown, 3*time.Second)(c.Newer(t.Context(), second))
		want(t, 2)(c.Get(t.Context()))

		time.Sleep(3 * time.Second)
		s.err = errDown
		wantError(t, errDown, time.Second)(c.Newer(t.Context(), second))
		s.err = nil
		time.Sleep(time.Second)
		want(t, 4)(c.Newer(t.Context(), second))
	})
}

// A fetch goes on for other callers if the one that started it stops waiting.
func TestCache_CallerLeaves(t *testing.T) {
	bubble(t, 0, func(t *testing.T, s *source, c *document.Cache[int]) {
		s.takes = time.Minute
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		wantError(t, context.DeadlineExceeded, 0)(c.Get(ctx))
		want(t, 1)(c.Get(t.Context()))
		if n := s.fetches.Load(); n != 1 {
			t.Errorf("got %d fetches; want 1", n)
		}
	})
}

func TestCache_OldDocumentNotUsed(t *testing.T) {
	bubble(t, 0, func(t *testing.T, s *source, c *document.Cache[int]) {
		want(t, 1)(c.Get(t.Context()))
		time.Sleep(time.Hour)
		s.err = errDown
		wantError(t, errDown, time.Second)(c.Get(t.Context()))
	})
}

func TestCache_OldDocumentUsed(t *testing.T) {
	const stale = 500 * time.Millisecond
	bubble(t, stale, func(t *testing.T, s *source, c *document.Cache[int]) {
		s.takes = time.Second // if there is no old document, Get waits for the new one
		want(t, 1)(c.Get(t.Context()))
		time.Sleep(24 * time.Hour)
		s.takes, s.err = 10*time.Second, errDown
		began := time.Now()
		want(t, 1)(c.Get(t.Context()))
		if took := time.Since(began); took != stale {
			t.Errorf("got the old document after %v; want it after %v", took, stale)
		}
		time.Sleep(time.Minute) // the fetch ends by itself
		synctest.Wait()
		s.takes, s.err = 0, nil
		want(t, 3)(c.Get(t.Context()))
	})
}

// A panic of a fetch is an error, and the next fetch can succeed.
func TestCache_Panic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, broken := new(source), true
		c := document.NewCache(time.Now, 0, func(ctx context.Context) (*int, error) {
			if broken {
				panic("no")
			}
			return s.fetch(ctx)
		})
		if got, err := c.Get(t.Context()); got != nil || err == nil || err.Error() != "panic while fetching" {
			t.Errorf("got %v, %v; want an error", got, err)
		}
		broken = false
		time.Sleep(time.Second)
		want(t, 1)(c.Get(t.Context()))
	})
}
