package lifecycle

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
)

const (
	usualEvery = 30 * time.Second
	leastEvery = 5 * time.Second
	// lookTimeout limits one look. A refresh that takes longer goes on without it.
	lookTimeout = 10 * time.Second
	// unknownFor is how long it may be unknown whether a session goes on before its
	// streams end. Deployments of shared state take less.
	unknownFor = time.Minute
)

// Ended is the cause of a watched context whose session has ended.
type Ended struct {
	Reason  Reason
	Session *session.Session // the newest generation known
	Cause   error            // why the provider has refused to refresh it; nil for most ends
}

func (e *Ended) Error() string { return "signin: the session has ended: " + string(e.Reason) }
func (e *Ended) Unwrap() error { return e.Cause }

// watches are the sessions that streams of this process watch. The zero value has none.
type watches struct {
	mu sync.Mutex
	of map[session.ID]*watch
}

// watch is a session, and the streams that end with it. They share one timer and one
// look at a time. watches.mu guards all of it.
type watch struct {
	session  *session.Session // the newest generation known
	streams  map[*stream]struct{}
	shortest time.Duration // of their intervals; it may be that of a stream that has left
	timer    *time.Timer
	stop     context.CancelFunc // ends a look that is under way

	since   time.Time // when the last look began, or the watch if there was none
	looked  bool
	looking bool
	failing time.Time // when the first of the looks began that have failed since one succeeded
}

type stream struct {
	every  time.Duration
	cancel context.CancelCauseFunc
	why    func(error) error
}

// Watch returns a context for a response that takes long. It is done when the session
// that k knows has ended, when parent is done, or when the function is called, which the
// caller must do. [context.Cause] is what why makes of an *[Ended], of an error that
// matches [ErrOffline] or, if it was not known for a minute whether the session goes on,
// of one that matches [ErrShared] or [ErrUnknown]. l.OnEnd is told of an *[Ended] too.
//
// The session is looked at once in the time of every, which is 30 seconds if it is zero,
// and at least 5. It is looked at once for all its streams in this process, as often as
// the one with the shortest time wants. The request has just looked, so the first look
// comes up to that much later, at a time that depends on the session's ID: otherwise all
// browsers that come back after a deployment would be looked up at once, again and again.
//
// A session that is due is refreshed. Its successor stays in shared state for the
// browser's next request, since a stream cannot set a cookie. So the browser has to come
// back in time: after a quarter to a half of Limits.Idle, depending on the ID too, the
// cause is [context.DeadlineExceeded]. Otherwise its cookie would expire first, and then
// neither a sign-out nor another sign-in in that browser would end the stream.
func (l *Sessions) Watch(parent context.Context, k *Known, every time.Duration, why func(error) error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	st := &stream{max(cmp.Or(every, usualEvery), leastEvery), cancel, why}
	s := cmp.Or(k.newest.Load(), k.Session)
	w := l.join(st, s)
	quarter := l.Limits.Idle / 4
	comeBack := time.AfterFunc(quarter+part(s.ID, quarter), func() { cancel(context.DeadlineExceeded) })
	context.AfterFunc(ctx, func() {
		comeBack.Stop()
		l.leave(w, st)
	})
	return ctx, func() { cancel(nil) }
}

// join adds a stream to the watch of its session.
func (l *Sessions) join(st *stream, s *session.Session) *watch {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	w := l.watches.of[s.ID]
	if w == nil {
		w = &watch{session: clone(s), streams: make(map[*stream]struct{}), shortest: st.every, since: time.Now()}
		var ctx context.Context
		ctx, w.stop = context.WithCancel(context.Background()) // its streams come and go
		w.timer = time.AfterFunc(time.Until(w.due()), func() { l.tick(ctx, w) })
		if l.watches.of == nil {
			l.watches.of = make(map[session.ID]*watch)
		}
		l.watches.of[s.ID] = w
	}
	w.streams[st] = struct{}{}
	if w.session.Generation < s.Generation {
		w.session = clone(s)
	}
	if st.every < w.shortest {
		w.shortest = st.every
		if !w.looking {
			w.timer.Reset(time.Until(w.due()))
		}
	}
	return w
}

// clone returns a copy of a session, so that a watch does not keep the memory of the
// request that has brought it.
func clone(s *session.Session) *session.Session {
	own := *s
	return &own
}

// due returns when the session is to be looked at next.
func (w *watch) due() time.Time {
	pause := w.shortest
	switch {
	case !w.failing.IsZero():
		pause = min(pause, usualEvery) // or two failures, an hour apart, would end a stream
	case !w.looked:
		pause = part(w.session.ID, pause)
	}
	return w.since.Add(pause)
}

// part returns a part of d that depends on an ID, which is random.
func part(id session.ID, d time.Duration) time.Duration {
	return time.Duration(float64(binary.BigEndian.Uint32(id[:])) / (1 << 32) * float64(d))
}

// leave removes a stream, and its watch if it was the last.
func (l *Sessions) leave(w *watch, st *stream) {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	if delete(w.streams, st); len(w.streams) == 0 {
		l.watches.remove(w)
	}
}

// remove removes a watch, and returns its streams. mu is held.
func (ws *watches) remove(w *watch) map[*stream]struct{} {
	w.timer.Stop()
	w.stop()
	if ws.of[w.session.ID] == w { // and not another that was begun since
		delete(ws.of, w.session.ID)
	}
	streams := w.streams
	w.streams = nil
	return streams
}

// tick looks at a session if that is due.
func (l *Sessions) tick(ctx context.Context, w *watch) {
	s, hangs := l.begin(w)
	switch {
	case hangs:
		l.settle(w, nil, Because(ErrShared, errors.New("signin: shared state does not return when its time is over")))
	case s != nil:
		newest, err := (*session.Session)(nil), Because(ErrUnknown, errors.New("signin: looking at a session was cut short"))
		defer func() { l.settle(w, newest, err) }() // also if this goroutine is ended from within
		newest, err = l.stillGood(ctx, s)
	}
}

// begin returns the session to look at, or nil if none is to be looked at now. hangs
// says that a look is under way for far too long: shared state does not heed its context.
func (l *Sessions) begin(w *watch) (s *session.Session, hangs bool) {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	switch {
	case len(w.streams) == 0:
		return nil, false
	case w.looking:
		return nil, time.Since(w.since) >= unknownFor
	}
	w.shortest = 0
	for st := range w.streams {
		if w.shortest == 0 || st.every < w.shortest {
			w.shortest = st.every
		}
	}
	if left := time.Until(w.due()); left > 0 {
		w.timer.Reset(left)
		return nil, false
	}
	w.looking, w.looked, w.since = true, true, time.Now()
	w.timer.Reset(unknownFor)
	return w.session, false
}

// settle notes the outcome of a look. It ends the streams if the session has ended, or
// if it was not known for too long whether it has.
func (l *Sessions) settle(w *watch, newest *session.Session, err error) {
	streams := l.outcome(w, newest, err)
	for st := range streams {
		st.cancel(st.why(err))
	}
	if len(streams) > 0 { // reported last, since that calls the application
		l.reportEnd(err)
	}
}

// reportEnd reports why the streams of a session have ended. The context of their looks
// is not for the application: it has ended with the streams.
func (l *Sessions) reportEnd(err error) {
	ctx := context.Background()
	defer l.recovered(ctx, nil)
	if ended, ok := errors.AsType[*Ended](err); ok {
		l.OnEnd(ctx, ended)
		return
	}
	l.Log.ErrorContext(ctx, "signin: the streams of a session have ended, since it is not known whether it goes on", "error", err)
}

// recovered is deferred where a panic of the application or of shared state would end the
// process: net/http recovers nothing on goroutines that are not its own.
func (l *Sessions) recovered(ctx context.Context, err *error) {
	p := recover()
	if p == nil {
		return
	}
	l.Log.ErrorContext(ctx, "signin: panic while watching the session of a stream", "panic", p, "stack", string(debug.Stack()))
	if err != nil {
		*err = Because(ErrUnknown, errors.New("signin: panic while watching a session"))
	}
}

// outcome returns the streams that end.
func (l *Sessions) outcome(w *watch, newest *session.Session, err error) map[*stream]struct{} {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	w.looking = false
	var ended *Ended
	switch {
	case err == nil:
		w.failing = time.Time{}
		if w.session.Generation < newest.Generation {
			w.session = newest
		}
	case errors.As(err, &ended), errors.Is(err, ErrOffline):
		return l.watches.remove(w)
	default:
		if w.failing.IsZero() {
			w.failing = w.since
		}
		if time.Since(w.failing) >= unknownFor {
			return l.watches.remove(w)
		}
	}
	if len(w.streams) > 0 {
		w.timer.Reset(time.Until(w.due()))
	}
	return nil
}

// stillGood returns the newest generation of a session, which it refreshes if that is
// due, or why the session does not go on, or why that is not known.
func (l *Sessions) stillGood(ctx context.Context, s *session.Session) (newest *session.Session, err error) {
	defer l.recovered(ctx, &err)
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	now := l.Now()
	if l.Limits.Ended(s, now) == string(Lifetime) {
		return nil, &Ended{Reason: Lifetime, Session: s}
	}
	standing, err := l.State.Look(ctx, s)
	if err != nil {
		return nil, Because(ErrShared, err)
	}
	newest, err = l.Refresh.Newest(ctx, s, standing)
	switch {
	case err == nil:
		newest, err = l.renew(ctx, newest, now)
	case !refresh.Over(err):
		err = Because(ErrShared, err)
	}
	if out := over(s, err); out.Ended != "" {
		return nil, &Ended{out.Ended, out.Session, out.Cause}
	}
	return newest, err
}
