package refresh_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

const (
	lease = refresh.Lease
	// asking is how much of a lease the provider may use.
	asking = lease - 5*time.Second
	// keep is how long a generation can be of use after it has a successor.
	keep = 10 * time.Minute
)

var errDown = errors.New("connection refused")

// hook is told of an operation on shared state: "get", or "add", "set" or
// "delete" and the first letter of the key. Its error becomes the operation's.
type hook func(ctx context.Context, operation, key string) error

// world is what replicas have in common: shared state and a provider. Its clock
// is that of the bubble in which it was made.
type world struct {
	*sharedstate.Memory
	state *sharedstate.State
	names map[string][]string // of the entries that were written, by operation
	hints [][]byte            // of the newest generation, that were written
	// What is called before each operation on shared state, and after it.
	before, after hook

	// The provider takes its time. It rotates the refresh token with each access
	// token for an audience. It answers a refresh and a fetch in its usual way
	// unless these functions are set.
	takes   time.Duration
	rotates bool
	panics  bool // the observer
	answer  func(context.Context, *session.Session) (*session.Session, error)
	fetch   func(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error)

	mu            sync.Mutex
	sent, revoked []string // refresh tokens that the provider got
	fetched       []string // audiences
	reports       []string
	asked, most   int // token requests under way: now, and at most
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		Memory: sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1 << 20, Bytes: 1 << 30}),
		names:  map[string][]string{},
	}
	var err error
	w.state, err = sharedstate.New(sharedstate.Config{
		Store: w, Keys: [][]byte{bytes.Repeat([]byte{1}, 32)}, Issuer: "https://op.test", Client: "app",
		TTL: 24 * time.Hour, PersonTTL: 24 * time.Hour, SinceTTL: time.Hour, Now: time.Now,
	})
	noError(t, err)
	return w
}

// bubble runs a test with a clock that moves only while all goroutines wait.
func bubble(t *testing.T, name string, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			test(t, w)
			w.interfere(nil)
			wait(keep + lease) // no flight takes longer, and nothing is held for longer
		})
	})
}

func wait(d time.Duration) { <-time.After(d) }

// interfere sets what is called before each operation.
func (w *world) interfere(before hook) { w.meddle(before, nil) }

// meddle sets what is called before each operation, and after it.
func (w *world) meddle(before, after hook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = before, after
}

// fails returns a hook with which one kind of operation fails.
func fails(operation string) hook {
	return func(_ context.Context, o, _ string) error {
		if o == operation {
			return errDown
		}
		return nil
	}
}

// named lists the entries that an operation was for.
func (w *world) named(operation string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.names[operation])
}

// gate holds up the first operation of a kind until the gate is opened.
func (w *world) gate(operation string) (open func()) {
	gate := make(chan struct{})
	var once sync.Once
	w.interfere(func(_ context.Context, o, _ string) error {
		if o == operation {
			once.Do(func() { <-gate })
		}
		return nil
	})
	return func() { close(gate) }
}

func (w *world) do(ctx context.Context, operation, key string, do func() error) error {
	w.mu.Lock()
	before, after := w.before, w.after
	if operation != "get" {
		w.names[operation] = append(w.names[operation], key)
	}
	w.mu.Unlock()
	err := ctx.Err()
	if err == nil && before != nil {
		err = before(ctx, operation, key)
	}
	if err != nil {
		return err
	}
	err = do()
	if after != nil {
		err = cmp.Or(after(ctx, operation, key), err)
	}
	return err
}

func (w *world) Get(ctx context.Context, keys ...string) (values [][]byte, err error) {
	err = w.do(ctx, "get", keys[0], func() (err error) {
		values, err = w.Memory.Get(ctx, keys...)
		return err
	})
	return values, err
}

func (w *world) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return w.do(ctx, "set "+key[:1], key, func() error {
		if key[0] == 'h' {
			w.mu.Lock()
			w.hints = append(w.hints, value)
			w.mu.Unlock()
		}
		return w.Memory.Set(ctx, key, value, ttl)
	})
}

func (w *world) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error) {
	err = w.do(ctx, "add "+key[:1], key, func() (err error) {
		added, err = w.Memory.Add(ctx, key, value, ttl)
		return err
	})
	return added && err == nil, err
}

func (w *world) Delete(ctx context.Context, key string) error {
	return w.do(ctx, "delete "+key[:1], key, func() error { return w.Memory.Delete(ctx, key) })
}

// replica returns the Group of one process.
func (w *world) replica() *refresh.Group {
	return refresh.New(refresh.Config{State: w.state, Source: w, Observer: w, Keep: keep, Now: time.Now})
}

// request notes a token request, and the audience if it is a fetch.
func (w *world) request(s *session.Session, audience ...string) (number int, done func()) {
	w.mu.Lock()
	w.sent, w.fetched = append(w.sent, s.RefreshToken), append(w.fetched, audience...)
	w.asked++
	w.most, number = max(w.most, w.asked), len(w.fetched)
	w.mu.Unlock()
	wait(w.takes)
	return number, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked--
	}
}

func (w *world) Refresh(ctx context.Context, s *session.Session) (*session.Session, error) {
	_, done := w.request(s)
	defer done()
	if w.answer != nil {
		return w.answer(ctx, s)
	}
	return fresh(s), nil
}

func (w *world) Fetch(ctx context.Context, s *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
	number, done := w.request(s, a.Resource)
	defer done()
	switch {
	case w.fetch != nil:
		return w.fetch(ctx, s, a)
	case w.rotates:
		return tokenFor(a, number), rotated(s), nil
	}
	return tokenFor(a, number), nil, nil
}

func (w *world) Revoke(ctx context.Context, s *session.Session) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() == nil {
		w.revoked = append(w.revoked, s.RefreshToken)
	}
	return ctx.Err()
}

func (w *world) hasRevoked(refreshToken string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.revoked, refreshToken)
}

func (w *world) Refreshed(_ context.Context, s *session.Session, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what, ended := "ok", new(refresh.Ended)
	switch {
	case errors.As(err, &ended):
		what = "ended"
	case err != nil:
		what = "failed"
	}
	w.reports = append(w.reports, fmt.Sprint(s.Generation, " ", what))
	if w.panics {
		panic("in Config.OnEvent")
	}
}

func down(context.Context, *session.Session) (*session.Session, error) { return nil, errDown }

func refuse(context.Context, *session.Session) (*session.Session, error) {
	return nil, fmt.Errorf("%w: invalid_grant", refresh.ErrFinal)
}

// generation returns a generation of a session whose access token has expired.
func generation(number uint64) *session.Session {
	now := time.Now().Truncate(time.Second)
	claims, err := session.ParseClaims(`{"sub":"u1","sid":"s1"}`, "")
	if err != nil {
		panic(err)
	}
	return &session.Session{
		ID: session.ID{7}, Number: session.Number{3}, IssuedAt: now.Add(-time.Hour).Unix(), Created: now.Add(-time.Hour), LastSeen: now.Add(-time.Hour),
		Generation: number, Claims: claims,
		RefreshToken: fmt.Sprintf("token %d", number), AccessExpiry: now,
	}
}

// another returns generation 0 of another session.
func another(id session.ID) *session.Session {
	s := generation(0)
	s.ID = id
	return s
}

// fresh is the provider's usual answer to a refresh of s.
func fresh(s *session.Session) *session.Session {
	next := rotated(s)
	next.AccessExpiry = time.Now().Truncate(time.Second).Add(time.Hour)
	next.LastSeen = time.Now().Truncate(time.Second)
	return next
}

// rotated is s with the refresh token of its next generation.
func rotated(s *session.Session) *session.Session {
	next := *s
	// The provider does not say which session it is, or when it began.
	next.ID, next.Number, next.Generation, next.IssuedAt, next.Created = session.ID{}, session.Number{}, 0, time.Now().Unix(), time.Now()
	next.RefreshToken = fmt.Sprintf("token %d", s.Generation+1)
	return &next
}

// tokenFor is the provider's usual answer to its nth fetch.
func tokenFor(a session.Audience, n int) *session.Token {
	now := time.Now().Truncate(time.Second)
	return &session.Token{
		Access: fmt.Sprintf("access %d for %s", n, a.Resource), Expiry: now.Add(time.Hour), Until: now.Add(59 * time.Minute),
	}
}

// theirs is a successor of s that another replica has got.
func theirs(s *session.Session) *session.Session {
	next := fresh(s)
	next.Scope = "theirs"
	return next
}

// write puts the successor of s into shared state and returns it.
func (w *world) write(t *testing.T, s, next *session.Session) *session.Session {
	t.Helper()
	next.ID, next.Number, next.Generation, next.IssuedAt, next.Created = s.ID, s.Number, s.Generation+1, s.IssuedAt, s.Created
	_, err := w.state.AddSuccessor(t.Context(), s, next)
	noError(t, err)
	return next
}

// expire makes a successor expire once it has been seen.
func (w *world) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after = func(ctx context.Context, operation, key string) error {
		if operation == "get" {
			_ = w.Memory.Delete(ctx, key)
		}
		return nil
	}
}

// lease takes the lease of s, as another replica does.
func (w *world) lease(t *testing.T, s *session.Session, d time.Duration) {
	t.Helper()
	_, err := w.state.TakeLease(t.Context(), s, d)
	noError(t, err)
}

// forget deletes the newest successor that was written.
func (w *world) forget(t *testing.T) {
	t.Helper()
	names := w.names["add n"]
	noError(t, w.Memory.Delete(t.Context(), names[len(names)-1]))
}

func (w *world) signOut(t *testing.T, s *session.Session) { w.end(t, s, sharedstate.SignedOut) }

func (w *world) end(t *testing.T, s *session.Session, reason sharedstate.Reason) {
	t.Helper()
	noError(t, w.state.EndSession(t.Context(), s.ID, reason))
}

func (w *world) standing(t *testing.T, s *session.Session) sharedstate.Standing {
	t.Helper()
	standing, err := w.state.Look(t.Context(), s)
	noError(t, err)
	return standing
}

// noError reports an error.
func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("got error %v; want none", err)
	}
}

// outcome is what Refresh or Token returns.
type outcome struct {
	token   *session.Token
	session *session.Session
	err     error
}

// String describes an outcome: "1" is generation 1, "ended s" and "lost" are the
// end. "failed" says that the provider failed, and "unknown" that the session's fate
// is not known; either may follow a generation. A scope follows its generation.
func (o outcome) String() string {
	var said []string
	if s := o.session; s != nil {
		said = append(said, fmt.Sprint(s.Generation))
		if s.RefreshToken != fmt.Sprint("token ", s.Generation) {
			said = append(said, "with "+s.RefreshToken)
		}
		if s.Scope != "" {
			said = append(said, s.Scope)
		}
	}
	var ended *refresh.Ended
	over := false
	switch {
	case errors.As(o.err, &ended) && ended.Session != nil && strings.Contains(o.err.Error(), "session has ended"):
		over, said = true, append(said, fmt.Sprintf("ended %c", ended.Reason))
	case errors.Is(o.err, sharedstate.ErrLost):
		over, said = true, append(said, "lost")
	case errors.Is(o.err, refresh.ErrFailed):
		said = append(said, "failed")
	case o.err != nil:
		said = append(said, "unknown")
	}
	if refresh.Over(o.err) != over {
		said = append(said, fmt.Sprint("and over: ", !over))
	}
	return strings.Join(said, " ")
}

func wantSaid(t *testing.T, got outcome, want string) {
	t.Helper()
	if got.String() != want {
		t.Errorf("got %q (%v); want %q", got, got.err, want)
	}
}

// refreshes calls Refresh for a browser that has shown s.
func refreshes(t *testing.T, g *refresh.Group, s *session.Session, must bool, want string) outcome {
	t.Helper()
	got := <-start(t.Context(), g, s, must)
	wantSaid(t, got, want)
	if next := got.session; next != nil && (next.ID != s.ID || next.Number != s.Number || next.IssuedAt != s.IssuedAt || !next.Created.Equal(s.Created)) {
		t.Errorf("got %+v; want the session of %+v", next, s)
	}
	return got
}

// start calls Refresh on a goroutine of its own.
func start(ctx context.Context, g *refresh.Group, s *session.Session, must bool) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		next, err := g.Refresh(ctx, s, must)
		done <- outcome{nil, next, err}
	}()
	return done
}

// want compares what the provider and the observer got.
func (w *world) want(t *testing.T, sent, revoked, reports []string) {
	t.Helper()
	w.used(t, sent...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.revoked, revoked) {
		t.Errorf("tokens revoked: got %q; want %q", w.revoked, revoked)
	}
	if !slices.Equal(w.reports, reports) {
		t.Errorf("reports: got %q; want %q", w.reports, reports)
	}
}

// used compares the refresh tokens that were sent; no two may be sent at once.
func (w *world) used(t *testing.T, sent ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.sent, sent) || w.most > 1 {
		t.Errorf("tokens sent: got %q, %d at once; want %q, one at a time", w.sent, w.most, sent)
	}
}
