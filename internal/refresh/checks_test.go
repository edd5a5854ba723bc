package refresh_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

// A session that can wait is no reason to hide that shared state is down.
func TestChecksOfALeaseThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	for name, must := range map[string]bool{"refreshed ahead of time": false, "whose token has expired": true} {
		bubble(t, name, func(t *testing.T, w *world) {
			w.before = func(_ context.Context, operation, _ string) error {
				if operation == "add l" {
					return errDown
				}
				return nil
			}
			next, err := w.replica().Refresh(t.Context(), generation(0), 0, must)
			if wantPassing(t, err); next != nil || !errors.Is(err, errDown) {
				t.Errorf("got %v, %v; want no record, and %v", next, err, errDown)
			}
			w.want(t, nil, nil, []string{"0 failed"})
		})
	}
}

// CASES 4.7, for tokens. Another replica has fetched the token, and then the
// person has signed out, all while this one was taking the lease.
func TestChecksOfATokenThatCameBeforeASignOut(t *testing.T) {
	t.Parallel()
	grants(t, "the token is kept, but not for those who are signed out", func(t *testing.T, g *granting) {
		r, want := live(0), resource("urn:a")
		g.interfere(func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				g.interfere(nil)
				if err := g.state.KeepToken(context.Background(), r.ID, want.Audience, tokenFor(want.Audience, 1), time.Hour); err != nil {
					t.Errorf("KeepToken: got error %v; want none", err)
				}
				g.end(t, r, sharedstate.SignedOut)
			}
			return nil
		})
		token, newest, err := g.replica().Token(t.Context(), r, 0, want)
		if token != nil {
			t.Errorf("got token %+v; want none", token)
		}
		wantEnded(t, newest, err, sharedstate.SignedOut)
		g.used(t)
	})
}

// A store whose clock is slow keeps a token longer than it is good.
func TestChecksOfATokenThatIsKeptTooLong(t *testing.T) {
	t.Parallel()
	grants(t, "it is fetched again", func(t *testing.T, g *granting) {
		r, want := live(0), resource("urn:a")
		old := tokenFor(want.Audience, 1)
		old.Access, old.Until = "old", time.Now()
		if err := g.state.KeepToken(t.Context(), r.ID, want.Audience, old, time.Hour); err != nil {
			t.Fatalf("KeepToken: got error %v; want none", err)
		}
		gets(t, g.replica(), r, want, "access 1 for urn:a")
	})
}
