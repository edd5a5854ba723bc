package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// refusing gives no token for urn:no, and is down for urn:down.
func (g *granting) refusing() {
	g.fetch = func(_ context.Context, _ *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
		switch a.Resource {
		case "urn:no":
			return nil, nil, fmt.Errorf("%w: access_denied", refresh.ErrRefused)
		case "urn:down":
			return nil, nil, errDown
		}
		return tokenFor(a, 0), nil, nil
	}
}

func TestARefusalOfOneAudienceIsAboutThatAlone(t *testing.T) {
	t.Parallel()
	grants(t, "others are asked for at once, and so is it", func(t *testing.T, g *granting) {
		g.refusing()
		n, r := g.replica(), live(0)
		for range 3 {
			fails(t, n, r, resource("urn:no"), refresh.ErrRefused)
		}
		gets(t, n, r, resource("urn:a"), "access 0 for urn:a")
		fails(t, n, r, resource("urn:no"), refresh.ErrRefused)
		g.want(t, []string{"token 0", "token 0", "token 0", "token 0", "token 0"}, nil, nil)
	})
	grants(t, "it ends no rest that the provider was given", func(t *testing.T, g *granting) {
		g.refusing()
		g.takes = time.Second
		n, r := g.replica(), live(0)
		no := ask(t.Context(), n, r, resource("urn:no"))
		synctest.Wait()
		down := ask(t.Context(), n, r, resource("urn:down"))
		if got := <-no; !errors.Is(got.err, refresh.ErrRefused) {
			t.Errorf("got %v; want it refused", got.err)
		}
		if got := <-down; !errors.Is(got.err, errDown) {
			t.Errorf("got %v; want the provider's error", got.err)
		}
		fails(t, n, r, resource("urn:no"), refresh.ErrResting)
		g.want(t, []string{"token 0", "token 0"}, nil, []string{"0 failed"})
	})
}

// CASES 4.5.
func TestAfterAFailedFetchTheSessionRests(t *testing.T) {
	t.Parallel()
	grants(t, "2 s, twice as long each time, for every audience and for refreshes", func(t *testing.T, g *granting) {
		g.refusing()
		n, r := g.replica(), live(0)
		gets(t, n, r, resource("urn:a"), "access 0 for urn:a")
		for i, delay := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			delay *= time.Second
			fails(t, n, r, resource("urn:down"), errDown)
			after(delay - 1)
			fails(t, n, r, resource("urn:down"), refresh.ErrResting)
			fails(t, n, r, resource("urn:b"), refresh.ErrResting)
			gets(t, n, r, resource("urn:a"), "access 0 for urn:a") // which nobody is asked for
			if got, err := n.Refresh(t.Context(), r, 0, true); got != r || err != nil {
				t.Errorf("Refresh: got %+v, %v; want nobody asked", got, err)
			}
			if got := len(g.fetched); got != i+2 {
				t.Errorf("after %v: got %d requests; want %d", delay-1, got, i+2)
			}
			after(1)
		}
		gets(t, n, r, resource("urn:b"), "access 0 for urn:b")
		fails(t, n, r, resource("urn:down"), errDown) // counted from the beginning again
		after(2 * time.Second)
		gets(t, n, r, resource("urn:c"), "access 0 for urn:c")
	})
	grants(t, "only the session that fails", func(t *testing.T, g *granting) {
		g.refusing()
		n := g.replica()
		fails(t, n, live(0), resource("urn:down"), errDown)
		other := live(0)
		other.ID = session.ID{8}
		gets(t, n, other, resource("urn:a"), "access 0 for urn:a")
	})
	grants(t, "also those that wait for their turn behind the one that fails", func(t *testing.T, g *granting) {
		g.refusing()
		g.takes = time.Second
		n := g.replica()
		for round := range 20 {
			r := live(0)
			r.ID = session.ID{9, byte(round)}
			first := ask(t.Context(), n, r, resource("urn:down"))
			synctest.Wait()
			var waiting []<-chan errandResult
			for i := range 20 {
				waiting = append(waiting, ask(t.Context(), n, r, resource(fmt.Sprint("urn:", i))))
			}
			if got := <-first; !errors.Is(got.err, errDown) {
				t.Errorf("the first: got %v; want the provider's error", got.err)
			}
			for _, w := range waiting {
				if got := <-w; !errors.Is(got.err, refresh.ErrResting) {
					t.Errorf("one behind it: got %+v, %v; want nobody asked", got.token, got.err)
				}
			}
			after(2 * time.Second) // it is not longer for those that have not asked
			gets(t, n, r, resource("urn:a"), "access 0 for urn:a")
		}
		if got := len(g.fetched); got != 40 {
			t.Errorf("got %d requests; want two in each of 20 rounds", got)
		}
	})
	grants(t, "and after a refresh that failed as well", func(t *testing.T, g *granting) {
		g.answer = func(context.Context, *session.Session) (*session.Session, error) { return nil, errDown }
		n, r := g.replica(), generation(0)
		_, err := n.Refresh(t.Context(), r, 0, true)
		wantPassing(t, err)
		fails(t, n, r, resource("urn:a"), refresh.ErrResting)
		g.used(t, "token 0")
	})
}

// CASES 4.5.
func TestTheProvidersLastWordAtAFetch(t *testing.T) {
	t.Parallel()
	refused := func(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error) {
		return nil, nil, fmt.Errorf("%w: invalid_grant", refresh.ErrFinal)
	}
	ended := func(t *testing.T, n *refresh.Group, r *session.Session, reason sharedstate.Reason, name string) {
		t.Helper()
		token, newest, err := n.Token(t.Context(), r, 0, resource(name))
		if token != nil {
			t.Errorf("got %+v; want no token", token)
		}
		wantEnded(t, newest, err, reason)
	}
	grants(t, "it ends the session, for every replica and every token that is kept", func(t *testing.T, g *granting) {
		n, r := g.replica(), live(0)
		gets(t, n, r, resource("urn:b"), "access 1 for urn:b")
		g.fetch = refused
		ended(t, n, r, sharedstate.ByProvider, "urn:a")
		g.fetch = nil
		for _, other := range []*refresh.Group{n, g.replica()} {
			ended(t, other, r, sharedstate.ByProvider, "urn:a")
			ended(t, other, r, sharedstate.ByProvider, "urn:b")
		}
		g.want(t, []string{"token 0", "token 0"}, nil, nil)
	})
	grants(t, "when another replica was faster, its successor is asked with", func(t *testing.T, g *granting) {
		g.fetch = func(ctx context.Context, r *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			if r.Generation == 0 {
				g.write(t, r, rotated(r))
				return refused(ctx, r, a)
			}
			return tokenFor(a, 0), nil, nil
		}
		gets(t, g.replica(), live(0), resource("urn:a"), "access 0 for urn:a")
		g.used(t, "token 0", "token 1")
	})
	grants(t, "when a sign-out has revoked the token, it stays a sign-out", func(t *testing.T, g *granting) {
		g.fetch = func(ctx context.Context, r *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			g.end(t, r, sharedstate.SignedOut)
			return refused(ctx, r, a)
		}
		ended(t, g.replica(), live(0), sharedstate.SignedOut, "urn:a")
	})
	for _, operation := range []string{"get", "set e"} {
		grants(t, "when shared state fails to "+operation+" then, the session stands", func(t *testing.T, g *granting) {
			g.fetch = func(ctx context.Context, r *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
				g.before = func(_ context.Context, op, _ string) error {
					if op == operation {
						return errDown
					}
					return nil
				}
				return refused(ctx, r, a)
			}
			n, r := g.replica(), live(0)
			fails(t, n, r, resource("urn:a"), errDown)
			g.interfere(nil)
			g.fetch = nil
			after(2 * time.Second)
			gets(t, n, r, resource("urn:a"), "access 2 for urn:a")
		})
	}
}

// CASES 4.6: shared state fails at one operation of a fetch that rotates the
// refresh token, and comes back. The session goes on, and no refresh token is used
// twice.
func TestSharedStateFailsDuringAFetch(t *testing.T) {
	t.Parallel()
	// What a fetch of a generation whose predecessor was shown does.
	operations := func(g *granting) (all []string) {
		g.before = func(_ context.Context, op, _ string) error {
			all = append(all, op)
			return nil
		}
		_, _, _ = g.replica().Token(context.Background(), live(1), 1, resource("urn:a"))
		g.interfere(nil)
		return all
	}
	want := []string{"get", "add l", "get", "set t", "get", "add n", "get", "set n", "delete l"}
	grants(t, "the operations of a fetch", func(t *testing.T, g *granting) {
		g.rotates = true
		if got := operations(g); strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("got %q; want %q, or the rows of this test are not all there are", got, want)
		}
	})
	for at, operation := range want {
		for _, lasts := range []bool{false, true} {
			grants(t, fmt.Sprintf("operation %d, %s, and all after it: %v", at+1, operation, lasts), func(t *testing.T, g *granting) {
				g.rotates = true
				n, r, count := g.replica(), live(1), 0
				g.before = func(context.Context, string, string) error {
					if count++; count == at+1 || lasts && count > at {
						return errDown
					}
					return nil
				}
				token, newest, err := n.Token(t.Context(), r, 1, resource("urn:a"))
				if asked := at >= 3; asked != (err == nil) || asked && (token.Access != "access 1 for urn:a" || newest.RefreshToken != "token 2") {
					t.Errorf("got %+v, %+v, %v; want what was received: %v", token, newest, err, asked)
				}
				wantPassingOrNone(t, err)
				g.interfere(nil)
				after(5 * time.Second) // more than the back-off

				// The browser comes back with the old cookie.
				if _, _, err := n.Token(t.Context(), r, 1, resource("urn:b")); err != nil {
					t.Fatalf("after it: got error %v; want a token", err)
				}
				next, err := n.Refresh(t.Context(), n.Last(t.Context(), r), 1, true)
				if err != nil {
					t.Fatalf("a refresh after it: got error %v; want none", err)
				}
				seen := map[string]bool{}
				for _, token := range g.sent {
					if seen[token] {
						t.Errorf("tokens sent: got %q; want each once", g.sent)
					}
					seen[token] = true
				}
				if got := fmt.Sprint("token ", next.Generation); got != next.RefreshToken || int(next.Generation) != len(g.sent)+1 {
					t.Errorf("got %+v after %q; want the newest", next, g.sent)
				}
				if len(g.revoked) > 0 || g.standing(t, next).Ended {
					t.Errorf("got %q revoked, %+v; want the session alive", g.revoked, g.standing(t, next))
				}
			})
		}
	}
}

func wantPassingOrNone(t *testing.T, err error) {
	t.Helper()
	if refresh.Over(err) {
		t.Errorf("got %v; want the session to stand", err)
	}
}

// CASES 4.8.
func TestTheLeaseOfAFetch(t *testing.T) {
	t.Parallel()
	grants(t, "when its holder has died, another takes over, with a whole lease for itself", func(t *testing.T, g *granting) {
		r, begin := live(0), time.Now()
		const held = lease + 20*time.Second // it was taken over before
		if ok, err := g.state.TakeLease(t.Context(), r, held); !ok || err != nil {
			t.Fatalf("TakeLease: got %v, %v; want true", ok, err)
		}
		g.fetch = func(ctx context.Context, _ *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			if waited := time.Since(begin); waited < held || waited > held+held/16+time.Second {
				t.Errorf("took over after %v; want after %v", waited, held)
			}
			if end, ok := ctx.Deadline(); !ok || time.Until(end) != asking {
				t.Errorf("got %v for the token request; want %v", time.Until(end), asking)
			}
			return tokenFor(a, 0), nil, nil
		}
		gets(t, g.replica(), r, resource("urn:a"), "access 0 for urn:a")
	})
	grants(t, "who waits takes what the holder has fetched", func(t *testing.T, g *granting) {
		g.takes = 3 * time.Second
		r := live(0)
		first := ask(t.Context(), g.replica(), r, resource("urn:a"))
		synctest.Wait()
		gets(t, g.replica(), r, resource("urn:a"), "access 1 for urn:a")
		<-first
		g.used(t, "token 0")
	})
	grants(t, "who waits does not use a refresh token whose successor it has seen expire", func(t *testing.T, g *granting) {
		r, begin := live(0), time.Now()
		if ok, err := g.state.TakeLease(t.Context(), r, lease); !ok || err != nil {
			t.Fatalf("TakeLease: got %v, %v; want true", ok, err)
		}
		var written atomic.Bool
		g.after = func(operation, key string) {
			if operation == "get" && written.CompareAndSwap(true, false) {
				_ = g.Memory.Delete(context.Background(), key)
			}
		}
		waiting := ask(t.Context(), g.replica(), r, resource("urn:a"))
		after(time.Second + time.Millisecond)
		g.write(t, r, rotated(r))
		written.Store(true)
		if got := <-waiting; got.err != nil || time.Since(begin) < lease {
			t.Errorf("got %+v, %v after %v; want it to wait for the lease", got.token, got.err, time.Since(begin))
		}
	})
	grants(t, "a holder that never finishes makes the others give up in the end", func(t *testing.T, g *granting) {
		g.before = func(_ context.Context, operation, key string) error {
			if operation == "add l" { // each time it lapses somebody else has it
				_ = g.Memory.Set(context.Background(), key, []byte{1}, lease)
			}
			return nil
		}
		begin := time.Now()
		_, _, err := g.replica().Token(t.Context(), live(0), 0, resource("urn:a"))
		if waited := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || waited != 2*lease {
			t.Errorf("got %v after %v; want to give up after %v", err, waited, 2*lease)
		}
		g.used(t)
	})
	grants(t, "is left to lapse where half of it is over", func(t *testing.T, g *granting) {
		unlocked := 0
		g.after = func(operation, _ string) {
			if operation == "delete l" {
				unlocked++
			}
		}
		for i, takes := range []time.Duration{lease/2 - time.Second, lease / 2} {
			g.takes = takes
			gets(t, g.replica(), live(uint64(i)), resource(fmt.Sprint("urn:", i)), fmt.Sprintf("access %d for urn:%d", i+1, i))
		}
		if unlocked != 1 {
			t.Errorf("unlocked: got %d times; want once, well inside the lease", unlocked)
		}
	})
	grants(t, "who waits hears of a sign-out", func(t *testing.T, g *granting) {
		r := live(0)
		if ok, err := g.state.TakeLease(t.Context(), r, lease); !ok || err != nil {
			t.Fatalf("TakeLease: got %v, %v; want true", ok, err)
		}
		waiting := ask(t.Context(), g.replica(), r, resource("urn:a"))
		after(time.Second)
		g.end(t, r, sharedstate.SignedOut)
		got := <-waiting
		wantEnded(t, got.newest, got.err, sharedstate.SignedOut)
		g.used(t)
	})
}
