package document

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// maxAge is how long a document is used before it is fetched again. The first
	// caller after aheadAge starts a fetch without waiting for it, so that later
	// callers need not wait, even if the provider is down for some minutes.
	maxAge   = time.Hour
	aheadAge = 45 * time.Minute
	// After a failure no request is made for firstBackOff, and for twice as long
	// after each further failure. The first wait is short, so that a provider is
	// soon in use again after a brief failure.
	firstBackOff = time.Second
	maxBackOff   = 30 * time.Second
	// coolDown is how long after an extra fetch another one is refused.
	coolDown = 5 * time.Second
)

// ErrCoolingDown is the cause of an Error if a document is not fetched because
// an extra fetch was made less than five seconds ago.
const ErrCoolingDown = fault("fetched less than five seconds ago; it is too early to fetch it again")

// Error says that a document is not available at the moment.
type Error struct {
	// RetryAfter is how long to wait before trying again. 0 means unknown.
	RetryAfter time.Duration
	// Err is the cause, never nil.
	Err error
}

// Error returns the text of the cause.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Cache holds a document that all callers share. A single flight fetches it,
// however many callers wait, and none starts during the back-off that follows a
// failure. Only a call of a method starts a flight. A Cache is safe for concurrent
// use.
type Cache[T any] struct {
	now   func() time.Time
	fetch func(context.Context) (*T, error)
	stale time.Duration

	mu       sync.Mutex
	held     *T // nil if it was never fetched
	at       time.Time
	flight   *flight[T]
	failure  error // of the last flight; nil if it succeeded
	failures uint  // in a row
	retryAt  time.Time
	extraAt  time.Time
}

// flight is a fetch under way. got and err may be read once done is closed.
type flight[T any] struct {
	done chan struct{}
	got  *T
	err  error
}

// waiting is an error of a fetch that says how long to wait before the next
// one.
type waiting interface {
	error
	Wait() time.Duration
}

// NewCache makes a cache of what fetch returns. If its error has a method Wait
// that returns a time.Duration, the next fetch is made after that time, within
// bounds. If no new document arrives within stale, the old one is used.
// With a stale of 0 an old document is never used.
func NewCache[T any](now func() time.Time, stale time.Duration, fetch func(context.Context) (*T, error)) *Cache[T] {
	return &Cache[T]{now: now, stale: stale, fetch: fetch}
}

// Held returns the document, however old it is, or nil if none was fetched.
func (c *Cache[T]) Held() *T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

// Get returns the document. It fetches it first if none is held, or if the one
// held is an hour old. The document must not be changed. The error is an
// *Error.
func (c *Cache[T]) Get(ctx context.Context) (*T, error) {
	c.mu.Lock()
	held, age := c.held, c.now().Sub(c.at)
	// The age is negative if the clock was set back. Such a document counts as
	// old, or it might be used for years.
	young := held != nil && age >= 0 && age < maxAge
	if age >= aheadAge {
		_, _ = c.start(ctx, false) // an error is for a later caller to see
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

// Newer returns a later document than the one given, which need not be old.
// Such an extra fetch is made at most once in five seconds. The error is an
// *Error.
func (c *Cache[T]) Newer(ctx context.Context, than *T) (*T, error) {
	return c.other(ctx, than, true)
}

// other returns another document than old: the one held if another caller was
// faster, or the result of the current flight, or of a new one. A fetch is
// extra if it is not made because of the document's age. If a caller's context
// ends, it stops waiting; the flight goes on for the others, until the HTTP
// client's time-out at the latest.
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
	case ctx.Err() != nil: // select might choose the other case
		return nil, &Error{Err: ctx.Err()}
	}
	select {
	case <-f.done:
		return f.got, f.err
	case <-ctx.Done():
		return nil, &Error{Err: ctx.Err()}
	}
}

// start returns the current flight, or a new one. c.mu must be held.
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

// remaining returns the rest of a wait that was limit at most when it began. If
// more than that is left, the clock was set back, and the wait has ended.
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

// guarded calls fetch and turns a panic into an error. net/http recovers only
// the goroutine of a handler; a panic in this one, caused by what the provider
// sent or by an HTTPClient, would end the process.
func (c *Cache[T]) guarded(ctx context.Context) (got *T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault("panic while fetching")
		}
	}()
	return c.fetch(ctx)
}
