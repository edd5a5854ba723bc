package provider

import (
	"context"
	"sync"
	"time"
)

const (
	// maxAge is how long a document serves before it is fetched again. Somebody
	// who needs it after aheadAge has it fetched for those after them: a provider
	// that is down for a while is noticed by nobody then.
	maxAge   = time.Hour
	aheadAge = 45 * time.Minute
	// After a failure nobody asks the provider for firstBackOff, and for twice
	// as long after each further one. The first is short, so that a provider
	// that is back is in use again at once.
	firstBackOff = time.Second
	maxBackOff   = 30 * time.Second
	// coolDown is how long after an extra fetch there is no other.
	coolDown = 30 * time.Second
)

const errCoolingDown = fault("fetched a moment ago, not again yet")

// shared is a document of the provider that all callers share: fetched by one
// flight however many are waiting, and not at all during the back-off that
// follows a failure. It starts no flight by itself.
type shared[T any] struct {
	op  string
	now func() time.Time
	get func(context.Context) (T, *Error)

	mu       sync.Mutex
	held     edition[T]
	flight   *flight[T]
	failure  *Error // of the last flight; nil if it landed well
	failures uint   // in a row
	retryAt  time.Time
	extraAt  time.Time
}

// edition is a document as of some time. The first one is number 1; number 0
// is that of none.
type edition[T any] struct {
	value  T
	number int
	at     time.Time
}

// flight is a fetch under way. got and err are to be read when done is closed.
type flight[T any] struct {
	done chan struct{}
	got  edition[T]
	err  *Error
}

// current returns what is held, whatever its age.
func (s *shared[T]) current() edition[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// young reports whether e exists and need not be fetched again. A clock that
// was set back makes an edition from the future, which is not young.
func (s *shared[T]) young(e edition[T]) bool {
	age := s.now().Sub(e.at)
	return e.number > 0 && age >= 0 && age < maxAge
}

// fetch returns an edition later than the one with the number after: the one
// held if somebody has been faster, or that of the flight in the air, or of a
// new one. An extra fetch is one that age does not explain, and there are no
// two of these within coolDown. A caller whose context ends leaves; the flight
// goes on for the others, bounded by the client's time-out.
func (s *shared[T]) fetch(ctx context.Context, after int, extra bool) (edition[T], *Error) {
	s.mu.Lock()
	if s.held.number > after {
		defer s.mu.Unlock()
		return s.held, nil
	}
	f, err := s.start(ctx, extra)
	s.mu.Unlock()
	if err != nil {
		return edition[T]{}, err
	}
	select {
	case <-f.done:
		return f.got, f.err
	case <-ctx.Done():
		return edition[T]{}, unavailable(s.op, ctx.Err())
	}
}

// ahead has the next edition fetched, without waiting for it, if the one that is
// held will not be young for much longer.
func (s *shared[T]) ahead(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(s.held.at) >= aheadAge {
		_, _ = s.start(ctx, false) // if that may not be now, it is tried again
	}
}

// start returns the flight in the air, or a new one. s.mu is held.
func (s *shared[T]) start(ctx context.Context, extra bool) (*flight[T], *Error) {
	if s.flight == nil {
		if err := s.mayFetch(extra); err != nil {
			return nil, err
		}
		s.flight = &flight[T]{done: make(chan struct{})}
		go s.fly(context.WithoutCancel(ctx), s.flight)
	}
	return s.flight, nil
}

// mayFetch returns nil if a flight may start. s.mu is held.
func (s *shared[T]) mayFetch(extra bool) *Error {
	now := s.now()
	switch {
	case s.failure != nil:
		if wait := remaining(s.retryAt.Sub(now), maxBackOff); wait > 0 {
			resting := *s.failure
			resting.RetryAfter = wait
			return &resting
		}
	case extra:
		if wait := remaining(s.extraAt.Add(coolDown).Sub(now), coolDown); wait > 0 {
			return &Error{Kind: Unavailable, Op: s.op, RetryAfter: wait, Err: errCoolingDown}
		}
	}
	if extra {
		s.extraAt = now
	}
	return nil
}

// remaining is the rest of a wait that was at most limit when it began: more
// than that means that the clock was set back, and then there is no waiting.
func remaining(wait, limit time.Duration) time.Duration {
	if wait > limit {
		return 0
	}
	return wait
}

func (s *shared[T]) fly(ctx context.Context, f *flight[T]) {
	value, err := guarded(ctx, s.op, s.get)

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.done)
	s.flight = nil
	if err != nil {
		f.err = s.fail(err)
		return
	}
	s.failure, s.failures = nil, 0
	s.held = edition[T]{value: value, number: s.held.number + 1, at: s.now()}
	f.got = s.held
}

// guarded calls get and makes an error of its panic. net/http recovers a handler's
// own goroutine; here, on what a provider or an HTTPClient has sent, it would end
// the process.
func guarded[T any](ctx context.Context, op string, get func(context.Context) (T, *Error)) (value T, err *Error) {
	defer func() {
		if p := recover(); p != nil {
			err = unavailable(op, fault("panic while fetching"))
		}
	}()
	return get(ctx)
}

// fail notes a failed flight and returns the error for those who waited for
// it. s.mu is held.
func (s *shared[T]) fail(err *Error) *Error {
	wait := max(firstBackOff<<min(s.failures, 5), err.RetryAfter)
	wait = min(wait, maxBackOff)
	s.failures++
	s.retryAt = s.now().Add(wait)
	s.failure = err
	told := *err
	told.RetryAfter = wait
	return &told
}
