package renew_test

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

	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/memory"
	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/renew"
)

const lease = 30 * time.Second

var errDown = errors.New("connection refused")

// world is what replicas have in common: shared state and a provider. Its times
// are those of the bubble it is made in.
type world struct {
	*memory.Store
	// before is asked ahead of each operation of shared state, and may make it
	// fail; after is told once it is done; lost may make an error of the answer
	// to one that was done.
	before func(ctx context.Context, operation, key string) error
	after  func(operation, key string)
	lost   func(ctx context.Context) error
	// answer is the provider's; nil for the next generation's tokens.
	answer func(context.Context, *record.Record) (*record.Record, error)

	ledger *ledger.Ledger

	mu      sync.Mutex
	sent    []string // refresh tokens that the provider got
	revoked []string
	reports []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Store: memory.New(time.Now, ledger.Class, memory.Limits{Entries: 1 << 20, Bytes: 1 << 30})}
	var err error
	w.ledger, err = ledger.New(w, [][]byte{bytes.Repeat([]byte{1}, 32)}, "https://op.test", "app", 24*time.Hour)
	if err != nil {
		t.Fatalf("ledger.New: got error %v; want none", err)
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
	values, err := w.Store.Get(ctx, keys...)
	return values, cmp.Or(w.tell(ctx, "get", keys[0]), err)
}

func (w *world) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := w.ask(ctx, "set "+key[:1], key); err != nil {
		return err
	}
	err := w.Store.Set(ctx, key, value, ttl)
	return cmp.Or(w.tell(ctx, "set "+key[:1], key), err)
}

func (w *world) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := w.ask(ctx, "add "+key[:1], key); err != nil {
		return false, err
	}
	ok, err := w.Store.Add(ctx, key, value, ttl)
	if err := cmp.Or(w.tell(ctx, "add "+key[:1], key), err); err != nil {
		return false, err
	}
	return ok, nil
}

func (w *world) Delete(ctx context.Context, key string) error {
	if err := w.ask(ctx, "delete "+key[:1], key); err != nil {
		return err
	}
	err := w.Store.Delete(ctx, key)
	return cmp.Or(w.tell(ctx, "delete "+key[:1], key), err)
}

// replica returns a process's Renewer.
func (w *world) replica() *renew.Renewer {
	return renew.New(renew.Config{
		Ledger: w.ledger,
		Refresh: func(ctx context.Context, r *record.Record) (*record.Record, error) {
			w.mu.Lock()
			w.sent = append(w.sent, r.RefreshToken)
			w.mu.Unlock()
			if w.answer != nil {
				return w.answer(ctx, r)
			}
			return fresh(r), nil
		},
		Revoke: func(ctx context.Context, r *record.Record) {
			if ctx.Err() == nil {
				w.revoke(r)
			}
		},
		Report: func(_ context.Context, r *record.Record, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			what := fmt.Sprintf("%d ok", r.Generation)
			if err != nil {
				what = fmt.Sprintf("%d failed", r.Generation)
			}
			w.reports = append(w.reports, what)
		},
		Due:   func(r *record.Record) bool { return !time.Now().Before(r.AccessExpiry) },
		Now:   time.Now,
		Lease: lease,
	})
}

func (w *world) revoke(r *record.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked = append(w.revoked, r.RefreshToken)
}

// session returns a generation of a session whose access token has expired.
func session(generation uint64) *record.Record {
	now := time.Now().Truncate(time.Second)
	return &record.Record{
		ID: record.ID{7}, Began: now.Add(-time.Hour), Created: now.Add(-time.Hour), LastSeen: now.Add(-time.Hour),
		Generation: generation, IDToken: record.JWT{Payload: `{"sub":"u1","sid":"s1"}`},
		RefreshToken: fmt.Sprintf("token %d", generation), AccessExpiry: now,
	}
}

// fresh is what a provider makes of r.
func fresh(r *record.Record) *record.Record {
	next := *r
	next.ID = record.ID{} // which session it is, is not the provider's to say
	next.RefreshToken = fmt.Sprintf("token %d", r.Generation+1)
	next.AccessExpiry = time.Now().Truncate(time.Second).Add(time.Hour)
	next.LastSeen = time.Now().Truncate(time.Second)
	return &next
}

// write puts r's successor into shared state and returns it.
func (w *world) write(t *testing.T, r, next *record.Record) *record.Record {
	t.Helper()
	next.ID, next.Generation = r.ID, r.Generation+1
	plain, err := next.Append(nil)
	if err != nil {
		t.Fatalf("Append: got error %v; want none", err)
	}
	if ok, err := w.ledger.AddNext(t.Context(), r.ID[:], r.Generation, plain); !ok || err != nil {
		t.Fatalf("AddNext: got %v, %v; want true", ok, err)
	}
	return next
}

func (w *world) standing(t *testing.T, r *record.Record) ledger.Standing {
	t.Helper()
	v, err := r.View()
	if err != nil {
		t.Fatalf("View: got error %v; want none", err)
	}
	s, err := w.ledger.Look(t.Context(), w.ledger.Keys(&v), r.Began)
	if err != nil {
		t.Fatalf("Look: got error %v; want none", err)
	}
	return s
}

func (w *world) end(t *testing.T, r *record.Record, reason ledger.Reason) {
	t.Helper()
	if err := w.ledger.End(t.Context(), ledger.EndedSession, r.ID[:], reason, time.Now()); err != nil {
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

// wantToken compares an outcome that is a record.
func wantToken(t *testing.T, got *record.Record, err error, token string) {
	t.Helper()
	switch {
	case err != nil:
		t.Errorf("got error %v; want the record with %q", err, token)
	case got == nil || got.RefreshToken != token || got.ID != record.ID{7} || fmt.Sprintf("token %d", got.Generation) != token:
		t.Errorf("got %+v; want the record with %q", got, token)
	}
}

// wantEnded compares an outcome that is the session's end.
func wantEnded(t *testing.T, got *record.Record, err error, reason ledger.Reason) {
	t.Helper()
	var ended *renew.Ended
	if got != nil || !errors.As(err, &ended) || ended.Reason != reason || ended.Record == nil || !renew.Over(err) {
		t.Errorf("got %v, %v; want it ended by %q", got, err, reason)
	}
}

func wantSuperseded(t *testing.T, got *record.Record, err error) {
	t.Helper()
	if got != nil || !errors.Is(err, renew.ErrSuperseded) || !renew.Over(err) {
		t.Errorf("got %v, %v; want it superseded", got, err)
	}
}

// wantPassing compares an outcome that is trouble.
func wantPassing(t *testing.T, err error) {
	t.Helper()
	if err == nil || renew.Over(err) {
		t.Errorf("got error %v; want one that passes", err)
	}
}

// after waits in a bubble's time.
func after(d time.Duration) { <-time.After(d) }
