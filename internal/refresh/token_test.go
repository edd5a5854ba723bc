package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
)

func resource(name string) refresh.Wanted {
	return refresh.Wanted{Audience: session.Audience{Resource: name}}
}

// ask calls Token on a goroutine of its own.
func ask(ctx context.Context, g *refresh.Group, s *session.Session, want refresh.Wanted) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		token, newest, err := g.Token(ctx, s, want)
		done <- outcome{token, newest, err}
	}()
	return done
}

// gets asks for a token and compares it.
func gets(t *testing.T, g *refresh.Group, s *session.Session, want refresh.Wanted, access string) *session.Session {
	t.Helper()
	got := <-ask(t.Context(), g, s, want)
	if got.err != nil || got.token.Access != access {
		t.Fatalf("got %+v, %v; want %q", got.token, got.err, access)
	}
	return got.session
}

// fetchFails asks for a token and compares the error.
func fetchFails(t *testing.T, g *refresh.Group, s *session.Session, audience string, want error) {
	t.Helper()
	if got := <-ask(t.Context(), g, s, resource(audience)); got.token != nil || got.session != nil || !errors.Is(got.err, want) {
		t.Errorf("%s: got %+v, %+v, %v; want %v", audience, got.token, got.session, got.err, want)
	}
}

func TestToken_Kept(t *testing.T) {
	bubble(t, "until it is to be fetched again, for all replicas", func(t *testing.T, w *world) {
		g, s := w.replica(), generation(0)
		gets(t, g, s, resource("urn:a"), "access 1 for urn:a")
		wait(59*time.Minute - 1)
		gets(t, g, s, resource("urn:a"), "access 1 for urn:a")
		gets(t, w.replica(), s, resource("urn:a"), "access 1 for urn:a")
		w.used(t, "token 0")
		wait(1)
		gets(t, g, s, resource("urn:a"), "access 2 for urn:a")
		w.used(t, "token 0", "token 0")
	})
	bubble(t, "a refresh asks the provider all the same", func(t *testing.T, w *world) {
		g := w.replica()
		gets(t, g, generation(0), refresh.Wanted{}, "access 1 for ")
		refreshes(t, g, generation(0), true, "1")
	})
	bubble(t, "a refused token is fetched again, but not each minute", func(t *testing.T, w *world) {
		g, s := w.replica(), generation(0)
		gets(t, g, s, resource("urn:a"), "access 1 for urn:a")
		refused := resource("urn:a")
		refused.Refused = "access 1 for urn:a"
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { gets(t, g, s, refused, "access 2 for urn:a") })
		}
		wg.Wait()
		gets(t, g, s, resource("urn:a"), "access 2 for urn:a")
		refused.Refused = "access 2 for urn:a" // the audience is out of order
		wait(time.Minute - 1)
		gets(t, g, s, refused, "access 2 for urn:a")
		w.used(t, "token 0", "token 0")
		wait(1)
		gets(t, g, s, refused, "access 3 for urn:a")
	})
	bubble(t, "a token that has expired when it comes is not kept", func(t *testing.T, w *world) {
		w.fetch = func(_ context.Context, _ *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			token := tokenFor(a, 0)
			token.Until = time.Now()
			return token, nil, nil
		}
		g := w.replica()
		gets(t, g, generation(0), resource("urn:a"), "access 0 for urn:a")
		gets(t, g, generation(0), resource("urn:a"), "access 0 for urn:a")
		w.used(t, "token 0", "token 0")
	})
	bubble(t, "a token that the store has kept too long is fetched again", func(t *testing.T, w *world) {
		s, want := generation(0), resource("urn:a")
		old := tokenFor(want.Audience, 7)
		old.Until = time.Now()
		noError(t, w.state.KeepToken(t.Context(), s.ID, want.Audience, old, time.Hour))
		gets(t, w.replica(), s, want, "access 1 for urn:a")
	})
	bubble(t, "a token of another replica is not used after a sign-out", func(t *testing.T, w *world) {
		s, want := generation(0), resource("urn:a")
		w.interfere(func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				w.interfere(nil)
				if err := w.state.KeepToken(context.Background(), s.ID, want.Audience, tokenFor(want.Audience, 1), time.Hour); err != nil {
					t.Errorf("KeepToken: got error %v; want none", err)
				}
				w.signOut(t, s)
			}
			return nil
		})
		wantSaid(t, <-ask(t.Context(), w.replica(), s, want), "ended s")
		w.used(t)
	})
}

func TestToken_SharedStateFails(t *testing.T) {
	bubble(t, "it is no failure of the provider, and the session does not rest", func(t *testing.T, w *world) {
		g := w.replica()
		w.interfere(fails("get"))
		fetchFails(t, g, generation(0), "urn:a", errDown)
		w.interfere(nil)
		gets(t, g, generation(0), resource("urn:a"), "access 1 for urn:a")
		w.want(t, []string{"token 0"}, nil, nil)
	})
	bubble(t, "nothing is asked if it fails under the lease", func(t *testing.T, w *world) {
		w.interfere(func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				w.interfere(func(context.Context, string, string) error {
					w.interfere(nil)
					return errDown
				})
			}
			return nil
		})
		fetchFails(t, w.replica(), generation(0), "urn:a", errDown)
		w.used(t)
	})
	bubble(t, "a token that cannot be kept is fetched again", func(t *testing.T, w *world) {
		g, s := w.replica(), generation(0)
		w.interfere(fails("set t"))
		gets(t, g, s, resource("urn:a"), "access 1 for urn:a")
		gets(t, g, s, resource("urn:a"), "access 2 for urn:a")
		w.want(t, []string{"token 0", "token 0"}, nil, []string{"0 failed", "0 failed"})
	})
	bubble(t, "a rotated refresh token that cannot be written is held", func(t *testing.T, w *world) {
		w.rotates = true
		g, s := w.replica(), generation(0)
		w.interfere(fails("add n"))
		if next := gets(t, g, s, resource("urn:a"), "access 1 for urn:a"); next.RefreshToken != "token 1" {
			t.Errorf("got %+v; want the rotated refresh token", next)
		}
		w.interfere(nil)
		gets(t, g, s, resource("urn:b"), "access 2 for urn:b")
		w.used(t, "token 0", "token 1")
	})
}

func TestToken_SessionMovesOn(t *testing.T) {
	bubble(t, "faster than it can be followed", func(t *testing.T, w *world) {
		newest := generation(0)
		var outrun hook
		outrun = func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				w.interfere(nil)
				newest = w.write(t, newest, rotated(newest))
				w.interfere(outrun)
			}
			return nil
		}
		w.interfere(outrun)
		wantSaid(t, <-ask(t.Context(), w.replica(), generation(0), resource("urn:a")), "unknown")
		w.used(t)
	})
}

func TestToken_LeaseIsTaken(t *testing.T) {
	bubble(t, "its holder has written a successor, which has expired since", func(t *testing.T, w *world) {
		s, began := generation(0), time.Now()
		w.lease(t, s, lease)
		waiting := ask(t.Context(), w.replica(), s, resource("urn:a"))
		wait(time.Second + time.Millisecond)
		w.write(t, s, rotated(s))
		w.expire()
		if got := <-waiting; got.err != nil || time.Since(began) < lease {
			t.Errorf("got %+v, %v after %v; want it to wait for the lease", got.token, got.err, time.Since(began))
		}
	})
}

func TestToken_CallersLeaveQueue(t *testing.T) {
	bubble(t, "the provider is asked for those who stay", func(t *testing.T, w *world) {
		w.takes = time.Second
		g, s := w.replica(), generation(0)
		first := ask(t.Context(), g, s, resource("urn:first"))
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		var left []<-chan outcome
		for i := range 100 {
			left = append(left, ask(ctx, g, s, resource(fmt.Sprint("urn:", i))))
		}
		synctest.Wait()
		stays := ask(t.Context(), g, s, resource("urn:7")) // waits with the one who leaves
		synctest.Wait()
		leave()
		for _, l := range left {
			if got := <-l; !errors.Is(got.err, context.Canceled) {
				t.Errorf("one who leaves: got %+v, %v; want the error of the context", got.token, got.err)
			}
		}
		for _, s := range []<-chan outcome{first, stays} {
			if got := <-s; got.err != nil {
				t.Errorf("one who stays: got error %v; want a token", got.err)
			}
		}
		wait(10 * time.Second)
		if want := []string{"urn:first", "urn:7"}; !slices.Equal(w.fetched, want) {
			t.Errorf("fetched: got %q; want %q", w.fetched, want)
		}
		gets(t, g, s, resource("urn:3"), "access 3 for urn:3") // it is neither blocked nor resting
	})
}

// failing gives no token for urn:no, and is down for urn:down.
func failing(_ context.Context, _ *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
	switch a.Resource {
	case "urn:no":
		return nil, nil, fmt.Errorf("%w: access_denied", refresh.ErrRefused)
	case "urn:down":
		return nil, nil, errDown
	}
	return tokenFor(a, 0), nil, nil
}

func TestToken_AudienceRefused(t *testing.T) {
	bubble(t, "it and others are asked for at once", func(t *testing.T, w *world) {
		w.fetch = failing
		g, s := w.replica(), generation(0)
		fetchFails(t, g, s, "urn:no", refresh.ErrRefused)
		fetchFails(t, g, s, "urn:no", refresh.ErrRefused)
		gets(t, g, s, resource("urn:a"), "access 0 for urn:a")
		w.want(t, []string{"token 0", "token 0", "token 0"}, nil, nil)
	})
	bubble(t, "a session that rests goes on resting", func(t *testing.T, w *world) {
		w.fetch, w.takes = failing, time.Second
		g, s := w.replica(), generation(0)
		no := ask(t.Context(), g, s, resource("urn:no"))
		synctest.Wait()
		fetchFails(t, g, s, "urn:down", errDown)
		if got := <-no; !errors.Is(got.err, refresh.ErrRefused) {
			t.Errorf("got %v; want it refused", got.err)
		}
		fetchFails(t, g, s, "urn:no", refresh.ErrResting)
		w.want(t, []string{"token 0", "token 0"}, nil, []string{"0 failed"})
	})
}

// A provider may say invalid_grant of an audience, and a refresh shows that the session
// goes on. Then the refresh is kept, and nothing rests.
func TestToken_AudienceRefusedByARefresh(t *testing.T) {
	refused := func(_ context.Context, s *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
		if a.Resource == "urn:no" {
			return nil, fresh(s), fmt.Errorf("%w: invalid_grant", refresh.ErrRefused)
		}
		return tokenFor(a, 0), nil, nil
	}
	bubble(t, "the successor is kept, and others are asked for at once", func(t *testing.T, w *world) {
		w.fetch = refused
		g, s := w.replica(), generation(0)
		fetchFails(t, g, s, "urn:no", refresh.ErrRefused)
		gets(t, w.replica(), s, resource("urn:a"), "access 0 for urn:a")
		gets(t, g, s, resource("urn:b"), "access 0 for urn:b")
		w.want(t, []string{"token 0", "token 1", "token 1"}, nil, []string{"1 ok"})
	})
	bubble(t, "a successor that cannot be written is held", func(t *testing.T, w *world) {
		w.fetch = refused
		g, s := w.replica(), generation(0)
		w.interfere(fails("add n"))
		fetchFails(t, g, s, "urn:no", refresh.ErrRefused)
		w.interfere(nil)
		gets(t, g, s, resource("urn:a"), "access 0 for urn:a")
		w.used(t, "token 0", "token 1")
	})
	bubble(t, "a session that was signed out meanwhile gets nothing", func(t *testing.T, w *world) {
		g, s := w.replica(), generation(0)
		w.fetch = func(ctx context.Context, s *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			w.signOut(t, s)
			return refused(ctx, s, a)
		}
		wantSaid(t, <-ask(t.Context(), g, s, resource("urn:no")), "ended s")
		w.want(t, []string{"token 0"}, []string{"token 1"}, nil)
	})
}

func TestToken_ProviderFails(t *testing.T) {
	bubble(t, "the session rests, for all audiences, and is refreshed all the same", func(t *testing.T, w *world) {
		w.fetch = failing
		g, s := w.replica(), generation(0)
		gets(t, g, s, resource("urn:a"), "access 0 for urn:a")
		fetchFails(t, g, s, "urn:down", errDown)
		wait(2*time.Second - 1)
		fetchFails(t, g, s, "urn:b", refresh.ErrResting)
		gets(t, g, s, resource("urn:a"), "access 0 for urn:a") // which is kept
		refreshes(t, g, s, true, "1")
		gets(t, g, generation(1), resource("urn:b"), "access 0 for urn:b") // the provider is back
	})
	bubble(t, "after a refresh that failed it rests as well", func(t *testing.T, w *world) {
		w.answer = down
		g, s := w.replica(), generation(0)
		refreshes(t, g, s, true, "failed")
		fetchFails(t, g, s, "urn:a", refresh.ErrResting)
		w.used(t, "token 0")
		w.signOut(t, s)
		wantSaid(t, <-ask(t.Context(), g, s, resource("urn:a")), "ended s") // and does not rest
	})
	bubble(t, "those that wait in the queue are told to rest", func(t *testing.T, w *world) {
		w.fetch, w.takes = failing, time.Second
		g, s := w.replica(), generation(0)
		first := ask(t.Context(), g, s, resource("urn:down"))
		synctest.Wait()
		var waiting []<-chan outcome
		for i := range 50 {
			waiting = append(waiting, ask(t.Context(), g, s, resource(fmt.Sprint("urn:", i))))
		}
		if got := <-first; !errors.Is(got.err, errDown) {
			t.Errorf("the first: got %v; want the error of the provider", got.err)
		}
		for _, w := range waiting {
			if got := <-w; !errors.Is(got.err, refresh.ErrResting) {
				t.Errorf("one behind it: got %+v, %v; want it to rest", got.token, got.err)
			}
		}
		w.want(t, []string{"token 0"}, nil, []string{"0 failed"})
		wait(2 * time.Second) // those that have not asked do not make it longer
		gets(t, g, s, resource("urn:a"), "access 0 for urn:a")
		w.used(t, "token 0", "token 0")
	})
	bubble(t, "the source ends the goroutine: the next in the queue has its turn", func(t *testing.T, w *world) {
		w.takes = time.Second
		w.fetch = func(_ context.Context, _ *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			runtime.Goexit()
			return nil, nil, nil
		}
		g, s := w.replica(), generation(0)
		wantSaid(t, <-ask(t.Context(), g, s, resource("urn:a")), "unknown")
		w.fetch = nil
		wait(2 * time.Second)
		gets(t, g, s, resource("urn:a"), "access 2 for urn:a")
	})
}

func TestToken_ProviderEndsSession(t *testing.T) {
	refused := func(ctx context.Context, s *session.Session, _ session.Audience) (*session.Token, *session.Session, error) {
		_, err := refuse(ctx, s)
		return nil, nil, err
	}
	bubble(t, "for every replica, and for tokens that are kept", func(t *testing.T, w *world) {
		g, s := w.replica(), generation(0)
		gets(t, g, s, resource("urn:b"), "access 1 for urn:b")
		w.fetch = refused
		for _, audience := range []string{"urn:a", "urn:b"} {
			for _, g := range []*refresh.Group{g, w.replica()} {
				wantSaid(t, <-ask(t.Context(), g, s, resource(audience)), "ended p")
			}
		}
		w.want(t, []string{"token 0", "token 0"}, nil, []string{"0 ended"})
	})
	bubble(t, "not if another replica has written a successor, which is used", func(t *testing.T, w *world) {
		w.fetch = func(ctx context.Context, s *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			w.fetch = nil
			w.write(t, s, rotated(s))
			return refused(ctx, s, a)
		}
		gets(t, w.replica(), generation(0), resource("urn:a"), "access 2 for urn:a")
		w.used(t, "token 0", "token 1")
	})
}
