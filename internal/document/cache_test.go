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

// source is fetched in a bubble. It counts, and fails with err.
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

// want fails unless a document was had, or an error with a wait.
func want(t *testing.T, got *int, err error, value int, cause error, wait time.Duration) {
	t.Helper()
	missing, _ := errors.AsType[*document.Error](err)
	if (got == nil) != (value == 0) || got != nil && *got != value || (cause == nil) != (err == nil) || !errors.Is(err, cause) {
		t.Fatalf("got %v, %v; want %d, %v", got, err, value, cause)
	}
	if err != nil && (missing == nil || missing.RetryAfter != wait || missing.Error() != cause.Error()) {
		t.Fatalf("got %v, retry after %v; want retry after %v", err, missing.RetryAfter, wait)
	}
}

// A caller who has seen an old document is served a newer one without a flight.
func TestCache_NewerThanNothingIsWhatIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := document.NewCache(time.Now, 0, s.fetch)
		for range 2 {
			got, err := c.Newer(t.Context(), nil)
			want(t, got, err, 1, nil, 0)
		}
		if held := c.Held(); held == nil || *held != 1 {
			t.Errorf("got %v held; want the first document", held)
		}
	})
}

// However many ask at once for what is not there, it is fetched once.
func TestCache_ThousandCallersOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Second}
		c := document.NewCache(time.Now, 0, s.fetch)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				got, err := c.Get(t.Context())
				if err != nil || *got != 1 {
					t.Errorf("got %v, %v; want the first document", got, err)
				}
			})
		}
		all.Wait()
		if n := s.fetches.Load(); n != 1 {
			t.Errorf("got %d fetches; want 1", n)
		}
	})
}

func TestCache_ServesForAnHourAndIsFetchedAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := document.NewCache(time.Now, 0, s.fetch)
		get := func(value int) {
			t.Helper()
			got, err := c.Get(t.Context())
			want(t, got, err, value, nil, 0)
			synctest.Wait()
		}
		get(1)
		time.Sleep(45*time.Minute - time.Second)
		get(1)
		time.Sleep(time.Second)
		get(1) // has it fetched
		get(2)
		time.Sleep(time.Hour)
		get(3)
		if n := s.fetches.Load(); n != 3 {
			t.Errorf("got %d fetches; want 3", n)
		}
	})
}

// A clock that was set back makes a document old, not young for years, and a
// wait not one of years.
func TestCache_ClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, offset := new(source), time.Duration(0)
		c := document.NewCache(func() time.Time { return time.Now().Add(offset) }, 0, s.fetch)
		got, err := c.Get(t.Context())
		want(t, got, err, 1, nil, 0)
		offset = -time.Hour
		got, err = c.Get(t.Context())
		want(t, got, err, 2, nil, 0)

		s.err = errDown
		_, err = c.Newer(t.Context(), got)
		want(t, nil, err, 0, errDown, time.Second)
		offset = -2 * time.Hour
		s.err = nil
		got, err = c.Newer(t.Context(), got)
		want(t, got, err, 4, nil, 0)
	})
}

// While it is down it is asked after 1, 2, 4, … 30 seconds, and every caller is
// told how long to wait. Back again, it begins with a second.
func TestCache_BackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{err: errDown}
		c := document.NewCache(time.Now, 0, s.fetch)
		for i, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			wait *= time.Second
			got, err := c.Get(t.Context())
			want(t, got, err, 0, errDown, wait)
			time.Sleep(wait - time.Millisecond)
			got, err = c.Get(t.Context())
			want(t, got, err, 0, errDown, time.Millisecond)
			if n := s.fetches.Load(); int(n) != i+1 {
				t.Fatalf("got %d fetches; want %d", n, i+1)
			}
			time.Sleep(time.Millisecond)
		}
		s.err = nil
		got, err := c.Get(t.Context())
		want(t, got, err, 8, nil, 0)
		s.err = errDown
		time.Sleep(time.Hour)
		got, err = c.Get(t.Context())
		want(t, got, err, 0, errDown, time.Second)
	})
}

// What a failure says of a wait is heeded, within bounds.
func TestCache_WaitThatIsAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for asked, wait := range map[time.Duration]time.Duration{0: time.Second, 10 * time.Second: 10 * time.Second, time.Hour: 30 * time.Second} {
			s := &source{err: busy(asked)}
			got, err := document.NewCache(time.Now, 0, s.fetch).Get(t.Context())
			want(t, got, err, 0, busy(asked), wait)
		}
	})
}

// busy is an error that asks for a wait.
type busy time.Duration

func (busy) Error() string         { return "busy" }
func (b busy) Wait() time.Duration { return time.Duration(b) }

// An extra fetch is followed by a cool-down, but one that failed by the
// back-off.
func TestCache_CoolDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := document.NewCache(time.Now, 0, s.fetch)
		first, err := c.Get(t.Context())
		want(t, first, err, 1, nil, 0)
		second, err := c.Newer(t.Context(), first)
		want(t, second, err, 2, nil, 0)
		time.Sleep(10 * time.Second)
		_, err = c.Newer(t.Context(), second)
		want(t, nil, err, 0, document.ErrCoolingDown, 20*time.Second)
		got, err := c.Get(t.Context())
		want(t, got, err, 2, nil, 0)

		time.Sleep(20 * time.Second)
		s.err = errDown
		_, err = c.Newer(t.Context(), second)
		want(t, nil, err, 0, errDown, time.Second)
		s.err = nil
		time.Sleep(time.Second)
		got, err = c.Newer(t.Context(), second)
		want(t, got, err, 4, nil, 0)
	})
}

// A caller that goes away does not take the flight with it.
func TestCache_CallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{takes: time.Minute}
		c := document.NewCache(time.Now, 0, s.fetch)
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		got, err := c.Get(ctx)
		want(t, got, err, 0, context.DeadlineExceeded, 0)
		got, err = c.Get(t.Context())
		want(t, got, err, 1, nil, 0)
	})
}

// An old document serves while no new one can be had, and the wait is short;
// one that must not serve for long does not.
func TestCache_Stale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, stale := range []time.Duration{0, 500 * time.Millisecond} {
			s := new(source)
			c := document.NewCache(time.Now, stale, s.fetch)
			got, err := c.Get(t.Context())
			want(t, got, err, 1, nil, 0)
			time.Sleep(24 * time.Hour)
			s.takes, s.err = 10*time.Second, errDown
			began := time.Now()
			got, err = c.Get(t.Context())
			took := time.Since(began)
			if stale == 0 {
				want(t, got, err, 0, errDown, time.Second)
				continue
			}
			if want(t, got, err, 1, nil, 0); took != stale {
				t.Errorf("got the old document after %v; want it after %v", took, stale)
			}
			time.Sleep(time.Minute) // the flight ends by itself
			synctest.Wait()
			s.takes, s.err = 0, nil
			got, err = c.Get(t.Context())
			want(t, got, err, 3, nil, 0)
		}
	})
}

// A panic on what was received is an error, and the next fetch can succeed.
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
		got, err := c.Get(t.Context())
		want(t, got, err, 1, nil, 0)
	})
}
