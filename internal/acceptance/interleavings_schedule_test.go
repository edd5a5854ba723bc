package acceptance_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

// schedule lets one thing happen at a time: whoever wants to touch shared state,
// the provider or the application waits for a turn, and a seed decides whose is
// next. It lives in a bubble, so it knows when nobody can go on by themselves.
type schedule struct {
	rand   *rand.Rand // the schedule's own goroutine's
	sticky float64    // how likely it is that who went on last goes on
	faults float64    // how likely it is that something goes wrong

	mu      sync.Mutex
	free    bool // nobody waits, and nothing goes wrong
	running int  // operations that have not ended
	waiting []*waiter
	stuck   bool
	took    []string // the turns, in their order
}

type waiter struct {
	who, what string
	leave     context.CancelFunc // of who is waiting at the other end; nil if nobody is
	granted   chan turn
}

// turn is what becomes of something that somebody has waited for.
type turn struct {
	fault bool
	pick  int // among kinds of faults, or replicas
}

// again reports whether the caller is to wait once more when it is done.
func (t turn) again() bool { return t.pick%4 == 0 }

type actorKey struct{}

// actor is who does something, in the context of all that comes of it.
type actor struct {
	name  string
	leave context.CancelFunc
}

// wait returns when it is the caller's turn to do something.
func (s *schedule) wait(ctx context.Context, what string) turn {
	w := &waiter{who: "nobody", what: what, granted: make(chan turn)}
	if a, ok := ctx.Value(actorKey{}).(actor); ok {
		w.who, w.leave = a.name, a.leave
	}
	s.mu.Lock()
	if s.free {
		s.mu.Unlock()
		return turn{pick: 1}
	}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	return <-w.granted
}

// act runs an operation.
func (s *schedule) act(name string, do func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	ctx = context.WithValue(ctx, actorKey{}, actor{name, cancel})
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
	go func() {
		defer cancel()
		do(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}()
}

// bound is more than all that the package waits for in one run.
const bound = 10 * time.Minute

// run grants turns until all operations, and what they have left behind, have ended.
func (s *schedule) run() {
	s.mu.Lock()
	s.free = false
	s.mu.Unlock()
	last, began := "", time.Now()
	for {
		synctest.Wait()
		s.mu.Lock()
		over, idle := s.running == 0 && len(s.waiting) == 0, len(s.waiting) == 0
		s.mu.Unlock()
		if over {
			break
		}
		if time.Since(began) > bound {
			s.stuck = true
			break
		}
		if idle { // all that are left wait for the clock
			<-time.After(10 * time.Millisecond)
			continue
		}
		<-time.After(time.Millisecond) // no two things happen at one time
		synctest.Wait()
		last = s.grant(last)
	}
	s.release()
}

// grant gives somebody a turn.
func (s *schedule) grant(last string) string {
	s.mu.Lock()
	slices.SortStableFunc(s.waiting, func(a, b *waiter) int { return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.what, b.what)) })
	i := s.rand.IntN(len(s.waiting))
	if s.rand.Float64() < s.sticky {
		if same := slices.IndexFunc(s.waiting, func(w *waiter) bool { return w.who == last }); same >= 0 {
			i = same
		}
	}
	w := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	t := turn{fault: s.rand.Float64() < s.faults, pick: s.rand.IntN(1 << 20)}
	leave := s.rand.Float64() < s.faults/4
	s.took = append(s.took, fmt.Sprintf("%v %s: %s %v", time.Now().Format("15:04:05.000"), w.who, w.what, t))
	s.mu.Unlock()
	if leave && w.leave != nil {
		w.leave()
	}
	w.granted <- t
	return w.who
}

// release lets everybody go on.
func (s *schedule) release() {
	s.mu.Lock()
	s.free = true
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, w := range waiting {
		w.granted <- turn{pick: 1}
	}
}

// pass lets time pass, in which what fails for a while is tried again.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// turns is shared state whose operations wait for their turn, and fail before or
// after they are done.
type turns struct {
	*schedule
	store *sharedstate.Memory
}

func (s turns) do(ctx context.Context, op, key string, operate func() error) error {
	t := s.wait(ctx, op+" "+key[:1])
	broken := t.fault && t.pick%2 == 0
	if broken {
		return errOnPurpose
	}
	err := operate()
	if t.again() {
		s.wait(ctx, "done "+op+" "+key[:1])
	}
	if t.fault {
		return errOnPurpose
	}
	return err
}

func (s turns) Get(ctx context.Context, keys ...string) (values [][]byte, err error) {
	err = s.do(ctx, "get", keys[0], func() (err error) { values, err = s.store.Get(ctx, keys...); return err })
	return values, err
}

func (s turns) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.do(ctx, "set", key, func() error { return s.store.Set(ctx, key, value, ttl) })
}

func (s turns) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error) {
	err = s.do(ctx, "add", key, func() (err error) { added, err = s.store.Add(ctx, key, value, ttl); return err })
	return added && err == nil, err
}

func (s turns) Delete(ctx context.Context, key string) error {
	return s.do(ctx, "delete", key, func() error { return s.store.Delete(ctx, key) })
}

// answerOf has a handler answer, and makes an error of its panic.
func answerOf(h http.Handler, r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic at %s: %v", r.URL.Path, p)
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp = w.Result()
	resp.Request = r
	return resp, nil
}

// cookieJar is a browser's cookies for one host.
type cookieJar struct {
	mu   sync.Mutex
	held map[string]string
}

func (j *cookieJar) get(name string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held[name]
}

func (j *cookieJar) header() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []string
	for name, value := range j.held {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func (j *cookieJar) take(cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(j.held, c.Name)
			continue
		}
		j.held[c.Name] = c.Value
	}
}

func newCookieJar() *cookieJar { return &cookieJar{held: map[string]string{}} }
