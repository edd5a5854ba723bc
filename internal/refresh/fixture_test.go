package refresh_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

const (
	lease = refresh.Lease
	// asking is what the provider may take of it.
	asking = lease - 5*time.Second
)

var errDown = errors.New("connection refused")

// world is what replicas have in common: shared state and a provider. Its times
// are those of the bubble it is made in.
type world struct {
	*sharedstate.Memory
	// before is asked ahead of each operation of shared state, and may make it
	// fail; after is told once it is done; lost may make an error of the answer
	// to one that was done.
	before func(ctx context.Context, operation, key string) error
	after  func(operation, key string)
	lost   func(ctx context.Context) error
	// answer is the provider's; nil for the next generation's tokens.
	answer func(context.Context, *session.Session) (*session.Session, error)

	state *sharedstate.State

	mu      sync.Mutex
	sent    []string // refresh tokens that the provider got
	revoked []string
	reports []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Memory: sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1 << 20, Bytes: 1 << 30})}
	var err error
	w.state, err = sharedstate.New(w, [][]byte{bytes.Repeat([]byte{1}, 32)}, "https://op.test", "app", 24*time.Hour)
	if err != nil {
		t.Fatalf("sharedstate.New: got error %v; want none", err)
	}
	return w
}

// interfere sets before while others may be at work.
func (w *world) interfere(before func(ctx context.Context, operation, key string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = before
}

func (w *world) ask(ctx context.Context, operation, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	before := w.before
	w.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(ctx, operation, key)
}

func (w *world) tell(ctx context.Context, operation, key string) error {
	if w.after != nil {
		w.after(operation, key)
	}
	if w.lost == nil {
		return nil
	}
	return w.lost(ctx)
}

func (w *world) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	if err := w.ask(ctx, "get", keys[0]); err != nil {
		return nil, err
	}
	values, err := w.Memory.Get(ctx, keys...)
	return values, cmp.Or(w.tell(ctx, "get", keys[0]), err)
}

func (w *world) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := w.ask(ctx, "set "+key[:1], key); err != nil {
		return err
	}
	err := w.Memory.Set(ctx, key, value, ttl)
	return cmp.Or(w.tell(ctx, "set "+key[:1], key), err)
}

func (w *world) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := w.ask(ctx, "add "+key[:1], key); err != nil {
		return false, err
	}
	ok, err := w.Memory.Add(ctx, key, value, ttl)
	if err := cmp.Or(w.tell(ctx, "add "+key[:1], key), err); err != nil {
		return false, err
	}
	return ok, nil
}

func (w *world) Delete(ctx context.Context, key string) error {
	if err := w.ask(ctx, "delete "+key[:1], key); err != nil {
		return err
	}
	err := w.Memory.Delete(ctx, key)
	return cmp.Or(w.tell(ctx, "delete "+key[:1], key), err)
}

// replica returns a process's Group.
func (w *world) replica() *refresh.Group { return w.asking(w) }

func (w *world) asking(source refresh.Source) *refresh.Group {
	return refresh.New(refresh.Config{State: w.state, Source: source, Observer: w, Now: time.Now})
}

func (w *world) Refresh(ctx context.Context, r *session.Session) (*session.Session, error) {
	w.mu.Lock()
	w.sent = append(w.sent, r.RefreshToken)
	w.mu.Unlock()
	if w.answer != nil {
		return w.answer(ctx, r)
	}
	return fresh(r), nil
}

func (w *world) Fetch(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error) {
	panic("not used")
}

func (w *world) Revoke(ctx context.Context, r *session.Session) error {
	if ctx.Err() == nil {
		w.revoke(r)
	}
	return ctx.Err()
}

func (w *world) Refreshed(_ context.Context, r *session.Session, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what := fmt.Sprintf("%d ok", r.Generation)
	if err != nil {
		what = fmt.Sprintf("%d failed", r.Generation)
	}
	w.reports = append(w.reports, what)
}

// observer is an Observer of errors.
type observer func(err error)

func (o observer) Refreshed(_ context.Context, _ *session.Session, err error) { o(err) }

// sameSession compares two sessions as they are written.
func sameSession(a, b *session.Session) bool {
	x, err := a.Append(nil)
	y, err2 := b.Append(nil)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func (w *world) revoke(r *session.Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked = append(w.revoked, r.RefreshToken)
}

// generation returns a generation of a session whose access token has expired.
func generation(number uint64) *session.Session {
	now := time.Now().Truncate(time.Second)
	claims, err := session.ParseClaims(`{"sub":"u1","sid":"s1"}`, "")
	if err != nil {
		panic(err)
	}
	return &session.Session{
		ID: session.ID{7}, Began: now.Add(-time.Hour), Created: now.Add(-time.Hour), LastSeen: now.Add(-time.Hour),
		Generation: number, Claims: claims,
		RefreshToken: fmt.Sprintf("token %d", number), AccessExpiry: now,
	}
}

// fresh is what a provider makes of r.
func fresh(r *session.Session) *session.Session {
	next := *r
	next.ID = session.ID{} // which session it is, is not the provider's to say
	next.RefreshToken = fmt.Sprintf("token %d", r.Generation+1)
	next.AccessExpiry = time.Now().Truncate(time.Second).Add(time.Hour)
	next.LastSeen = time.Now().Truncate(time.Second)
	return &next
}

// write puts r's successor into shared state and returns it.
func (w *world) write(t *testing.T, r, next *session.Session) *session.Session {
	t.Helper()
	next.ID, next.Generation = r.ID, r.Generation+1
	if ok, err := w.state.AddSuccessor(t.Context(), r, next); !ok || err != nil {
		t.Fatalf("AddSuccessor: got %v, %v; want true", ok, err)
	}
	return next
}

func (w *world) standing(t *testing.T, r *session.Session) sharedstate.Standing {
	t.Helper()
	s, err := w.state.Look(t.Context(), r)
	if err != nil {
		t.Fatalf("Look: got error %v; want none", err)
	}
	return s
}

func (w *world) end(t *testing.T, r *session.Session, reason sharedstate.Reason) {
	t.Helper()
	if err := w.state.End(t.Context(), sharedstate.EndedSession, r.ID[:], reason, time.Now()); err != nil {
		t.Errorf("End: got error %v; want none", err)
	}
}

// want compares what has happened.
func (w *world) want(t *testing.T, sent, revoked, reports []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.sent, sent) {
		t.Errorf("tokens sent: got %q; want %q", w.sent, sent)
	}
	if !slices.Equal(w.revoked, revoked) {
		t.Errorf("tokens revoked: got %q; want %q", w.revoked, revoked)
	}
	if !slices.Equal(w.reports, reports) {
		t.Errorf("reports: got %q; want %q", w.reports, reports)
	}
}

// wantToken compares an outcome that is a session.
func wantToken(t *testing.T, got *session.Session, err error, token string) {
	t.Helper()
	switch {
	case err != nil:
		t.Errorf("got error %v; want the record with %q", err, token)
	case got == nil || got.RefreshToken != token || got.ID != session.ID{7} || fmt.Sprintf("token %d", got.Generation) != token:
		t.Errorf("got %+v; want the record with %q", got, token)
	}
}

// wantEnded compares an outcome that is the session's end.
func wantEnded(t *testing.T, got *session.Session, err error, reason sharedstate.Reason) {
	t.Helper()
	var ended *refresh.Ended
	if got != nil || !errors.As(err, &ended) || ended.Reason != reason || ended.Session == nil || !refresh.Over(err) {
		t.Errorf("got %v, %v; want it ended by %q", got, err, reason)
	}
}

func wantSuperseded(t *testing.T, got *session.Session, err error) {
	t.Helper()
	if got != nil || !errors.Is(err, refresh.ErrSuperseded) || !refresh.Over(err) {
		t.Errorf("got %v, %v; want it superseded", got, err)
	}
}

// wantPassing compares an outcome that is trouble.
func wantPassing(t *testing.T, err error) {
	t.Helper()
	if err == nil || refresh.Over(err) {
		t.Errorf("got error %v; want one that passes", err)
	}
}

// after waits in a bubble's time.
func after(d time.Duration) { <-time.After(d) }
