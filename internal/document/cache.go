package document

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxAge is how long a document serves before it is fetched again. The first
	// caller who needs it after aheadAge has it fetched for those who come later,
	// so that none of them waits, or notices a provider that is down for a while.
	maxAge   = time.Hour
	aheadAge = 45 * time.Minute
	// After a failure the provider is not asked for firstBackOff, and for twice
	// as long after each further one. The first is short, so that a provider
	// that is back is in use again at once.
	firstBackOff = time.Second
	maxBackOff   = 30 * time.Second
	// coolDown is how long after an extra fetch there is no other.
	coolDown = 30 * time.Second
)

// ErrCoolingDown is the cause where a document is not fetched because it was a
// moment ago.
const ErrCoolingDown = fault("fetched a moment ago, not again yet")

// Error says that a document is not to be had at the moment.
type Error struct {
	// RetryAfter is how long to wait before trying again. 0: nothing is known.
	RetryAfter time.Duration
	// Err is the cause, never nil.
	Err error
}

// Error returns the text of the cause.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Cache holds a document that all callers share: fetched by one flight however
// many are waiting, and not at all during the back-off that follows a failure.
// It starts no flight by itself. It is safe for concurrent use.
type Cache[T any] struct {
	now   func() time.Time
	fetch func(context.Context) (*T, error)
	stale time.Duration

	mu       sync.Mutex
	held     *T // nil if it was never fetched
	at       time.Time
	flight   *flight[T]
	failure  error // of the last flight; nil if it landed well
	failures uint  // in a row
	retryAt  time.Time
	extraAt  time.Time
}

// flight is a fetch under way. got and err are to be read when done is closed.
type flight[T any] struct {
	done chan struct{}
	got  *T
	err  error
}

// waiting is an error of a fetch that says when the next may be made.
type waiting interface {
	error
	Wait() time.Duration
}

// NewCache makes a cache of what fetch returns. If its error has a method Wait
// that returns a time.Duration, the next fetch is that far away, within bounds.
// While a new document cannot be had within stale, an old one serves; with 0 it
// never does.
func NewCache[T any](now func() time.Time, stale time.Duration, fetch func(context.Context) (*T, error)) *Cache[T] {
	return &Cache[T]{now: now, stale: stale, fetch: fetch}
}

// Held returns the document whatever its age, and nil if there is none.
func (c *Cache[T]) Held() *T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

// Get returns the document, fetched if there is none or it is an hour old. It
// must not be changed. The error is an *Error.
func (c *Cache[T]) Get(ctx context.Context) (*T, error) {
	c.mu.Lock()
	held, age := c.held, c.now().Sub(c.at)
	// A clock that was set back makes a document of the future, which is not
	// young.
	young := held != nil && age >= 0 && age < maxAge
	if age >= aheadAge {
		_, _ = c.start(ctx, false) // if that may not be now, it is tried again
	}
	c.mu.Unlock()
	if young {
		return held, nil
	}
	serves := held != nil && c.stale > 0
	if serves {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.stale)
		defer cancel()
	}
	got, err := c.other(ctx, held, false)
	if err != nil && serves {
		return held, nil
	}
	return got, err
}

// Newer returns a later document than one that will not do, though it is young.
// That is fetched no more than once in 30 seconds. The error is an *Error.
func (c *Cache[T]) Newer(ctx context.Context, than *T) (*T, error) {
	return c.other(ctx, than, true)
}

// other returns another document than old: the one held if another caller has
// been faster, or what the flight in the air brings, or a new one. An extra
// fetch is one that age does not explain. A caller whose context ends leaves;
// the flight goes on for the others, bounded by the HTTP client's time-out.
func (c *Cache[T]) other(ctx context.Context, old *T, extra bool) (*T, error) {
	c.mu.Lock()
	if c.held != old {
		defer c.mu.Unlock()
		return c.held, nil
	}
	f, err := c.start(ctx, extra)
	c.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil: // for select, either would do
		return nil, &Error{Err: ctx.Err()}
	}
	select {
	case <-f.done:
		return f.got, f.err
	case <-ctx.Done():
		return nil, &Error{Err: ctx.Err()}
	}
}

// start returns the flight in the air, or a new one. c.mu is held.
func (c *Cache[T]) start(ctx context.Context, extra bool) (*flight[T], error) {
	if c.flight != nil {
		return c.flight, nil
	}
	now := c.now()
	switch {
	case c.failure != nil:
		if wait := remaining(c.retryAt.Sub(now), maxBackOff); wait > 0 {
			return nil, &Error{RetryAfter: wait, Err: c.failure}
		}
	case extra:
		if wait := remaining(c.extraAt.Add(coolDown).Sub(now), coolDown); wait > 0 {
			return nil, &Error{RetryAfter: wait, Err: ErrCoolingDown}
		}
	}
	if extra {
		c.extraAt = now
	}
	c.flight = &flight[T]{done: make(chan struct{})}
	go c.fly(context.WithoutCancel(ctx), c.flight)
	return c.flight, nil
}

// remaining is the rest of a wait that was at most limit when it began: more
// than that means that the clock was set back, and then there is no waiting.
func remaining(wait, limit time.Duration) time.Duration {
	if wait > limit {
		return 0
	}
	return wait
}

func (c *Cache[T]) fly(ctx context.Context, f *flight[T]) {
	got, err := c.guarded(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	c.flight, c.failure = nil, err
	if err == nil {
		f.got, c.held, c.at, c.failures = got, got, c.now(), 0
		return
	}
	wait := firstBackOff << min(c.failures, 5)
	if asked, ok := errors.AsType[waiting](err); ok {
		wait = max(wait, asked.Wait())
	}
	wait = min(wait, maxBackOff)
	c.failures++
	c.retryAt = c.now().Add(wait)
	f.err = &Error{RetryAfter: wait, Err: err}
}

// guarded fetches, and makes an error of a panic. net/http recovers a handler's
// own goroutine; here, on what a provider or an HTTPClient has sent, it would
// end the process.
func (c *Cache[T]) guarded(ctx context.Context) (got *T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault("panic while fetching")
		}
	}()
	return c.fetch(ctx)
}
