package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
)

// granting is a provider that gives access tokens: "access 1 for urn:a", and with
// each a new refresh token if it rotates them.
type granting struct {
	*world
	rotates bool
	takes   time.Duration
	// fetch is the provider's answer; nil for a token.
	fetch func(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error)

	mu        sync.Mutex
	fetched   []string // the audiences, in their order
	now, most int      // token requests under way at once
}

// Fetch is the provider's answer to a request for an access token.
func (g *granting) Fetch(ctx context.Context, r *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
	g.world.mu.Lock()
	g.sent = append(g.sent, r.RefreshToken)
	g.world.mu.Unlock()
	defer g.enter()()
	g.mu.Lock()
	g.fetched = append(g.fetched, a.Resource+a.Organization)
	number := len(g.fetched)
	g.mu.Unlock()
	after(g.takes)
	if g.fetch != nil {
		return g.fetch(ctx, r, a)
	}
	token, next := tokenFor(a, number), (*session.Session)(nil)
	if g.rotates {
		next = rotated(r)
	}
	return token, next, nil
}

// Refresh is counted beside Fetch: no two may be under way.
func (g *granting) Refresh(ctx context.Context, r *session.Session) (*session.Session, error) {
	defer g.enter()()
	return g.world.Refresh(ctx, r)
}

// enter counts the token requests that are under way.
func (g *granting) enter() (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now++
	g.most = max(g.most, g.now)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}
}

func (g *granting) replica() *refresh.Group { return g.asking(g) }

func tokenFor(a session.Audience, number int) *session.Token {
	now := time.Now().Truncate(time.Second)
	return &session.Token{
		Access: fmt.Sprintf("access %d for %s", number, a.Resource+a.Organization),
		Expiry: now.Add(time.Hour), Until: now.Add(59 * time.Minute),
	}
}

// rotated is r with the refresh token of its next generation.
func rotated(r *session.Session) *session.Session {
	next := *r
	next.ID = session.ID{} // which session it is, is not the provider's to say
	next.RefreshToken = fmt.Sprintf("token %d", r.Generation+1)
	return &next
}

// grants runs a test in time of its own, with a provider that does not rotate.
func grants(t *testing.T, name string, test func(t *testing.T, g *granting)) {
	t.Helper()
	bubble(t, name, func(t *testing.T, w *world) { test(t, &granting{world: w}) })
}

func resource(name string) refresh.Wanted {
	return refresh.Wanted{Audience: session.Audience{Resource: name}}
}

// live is a generation of a session whose own access token is not due.
func live(number uint64) *session.Session {
	r := generation(number)
	r.AccessExpiry = r.AccessExpiry.Add(time.Hour)
	return r
}

// gets asks for a token and compares it.
func gets(t *testing.T, n *refresh.Group, r *session.Session, want refresh.Wanted, access string) *session.Session {
	t.Helper()
	token, newest, err := n.Token(t.Context(), r, r.Generation, want)
	if err != nil || token.Access != access {
		t.Fatalf("got %+v, %v; want %q", token, err, access)
	}
	return newest
}

// fails asks for a token and compares the error.
func fails(t *testing.T, n *refresh.Group, r *session.Session, want refresh.Wanted, target error) {
	t.Helper()
	token, newest, err := n.Token(t.Context(), r, r.Generation, want)
	if token != nil || newest != nil || !errors.Is(err, target) {
		t.Errorf("got %+v, %+v, %v; want %v", token, newest, err, target)
	}
}

// used compares the refresh tokens that were sent, and that no two were at once.
func (g *granting) used(t *testing.T, sent ...string) {
	t.Helper()
	g.world.mu.Lock()
	defer g.world.mu.Unlock()
	if !slices.Equal(g.sent, sent) || g.most > 1 {
		t.Errorf("tokens sent: got %q, %d at once; want %q, one at a time", g.sent, g.most, sent)
	}
}

// CASES 4.1.
func TestATokenIsFetchedOnce(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{1, 2, 3} {
		grants(t, fmt.Sprintf("500 callers for three audiences over %d replicas, three requests", replicas), func(t *testing.T, g *granting) {
			g.takes = 3 * time.Second
			var all []*refresh.Group
			for range replicas {
				all = append(all, g.replica())
			}
			r := live(0)
			var wg sync.WaitGroup
			var tokens sync.Map
			for i := range 500 {
				wg.Go(func() {
					name := fmt.Sprintf("urn:%d", i%3)
					token, newest, err := all[i/3%replicas].Token(t.Context(), r, 0, resource(name))
					if err != nil || !strings.HasSuffix(token.Access, name) || newest.Generation != 0 {
						t.Errorf("got %+v, %+v, %v; want a token for %s", token, newest, err, name)
						return
					}
					tokens.Store(token.Access, true)
				})
			}
			wg.Wait()
			different := 0
			tokens.Range(func(any, any) bool { different++; return true })
			if different != 3 {
				t.Errorf("got %d different tokens; want 3", different)
			}
			g.used(t, "token 0", "token 0", "token 0")
		})
	}
	grants(t, "where refresh tokens rotate, and a refresh is due, each is used once", func(t *testing.T, g *granting) {
		g.takes, g.rotates = time.Second, true
		all := []*refresh.Group{g.replica(), g.replica()}
		r := generation(0) // it has expired
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if _, _, err := all[i%2].Token(t.Context(), r, 0, resource(fmt.Sprint("urn:", i%3))); err != nil {
					t.Errorf("got error %v; want a token", err)
				}
			})
			wg.Go(func() {
				if _, err := all[i%2].Refresh(t.Context(), r, 0, true); err != nil {
					t.Errorf("Refresh: got error %v; want none", err)
				}
			})
		}
		wg.Wait()
		g.used(t, "token 0", "token 1", "token 2", "token 3")
	})
	grants(t, "later calls find it, here and in another replica, until it is to be fetched again", func(t *testing.T, g *granting) {
		n, r := g.replica(), live(0)
		gets(t, n, r, resource("urn:a"), "access 1 for urn:a")
		after(59*time.Minute - 1)
		gets(t, n, r, resource("urn:a"), "access 1 for urn:a")
		gets(t, g.replica(), r, resource("urn:a"), "access 1 for urn:a")
		g.used(t, "token 0")
		after(1)
		gets(t, n, r, resource("urn:a"), "access 2 for urn:a")
		g.used(t, "token 0", "token 0")
	})
	grants(t, "each audience and each session has its own", func(t *testing.T, g *granting) {
		n, r := g.replica(), live(0)
		other := live(0)
		other.ID = session.ID{8}
		within := refresh.Wanted{Audience: session.Audience{Resource: "urn:a", Organization: "o"}}
		gets(t, n, r, resource("urn:a"), "access 1 for urn:a")
		gets(t, n, r, within, "access 2 for urn:ao")
		gets(t, n, r, resource("urn:ao"), "access 3 for urn:ao")
		gets(t, n, r, refresh.Wanted{}, "access 4 for ")
		gets(t, n, other, resource("urn:a"), "access 5 for urn:a")
		gets(t, n, r, within, "access 2 for urn:ao")
	})
	grants(t, "it does not take a refresh's place", func(t *testing.T, g *granting) {
		n, r := g.replica(), generation(0)
		gets(t, n, r, refresh.Wanted{}, "access 1 for ")
		next, err := n.Refresh(t.Context(), r, 0, true)
		wantToken(t, next, err, "token 1")
		g.used(t, "token 0", "token 0")
	})
	grants(t, "the session's next generation finds it", func(t *testing.T, g *granting) {
		g.rotates = true
		n := g.replica()
		newest := gets(t, n, live(0), resource("urn:a"), "access 1 for urn:a")
		if newest.Generation != 1 || newest.RefreshToken != "token 1" || newest.ID != (session.ID{7}) {
			t.Errorf("got %+v; want the next generation of the session", newest)
		}
		gets(t, n, newest, resource("urn:a"), "access 1 for urn:a")
		g.used(t, "token 0")
	})
	grants(t, "one that its audience has refused is fetched again, once", func(t *testing.T, g *granting) {
		n, r := g.replica(), live(0)
		gets(t, n, r, resource("urn:a"), "access 1 for urn:a")
		refused := resource("urn:a")
		refused.Refused = "access 1 for urn:a"
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { gets(t, n, r, refused, "access 2 for urn:a") })
		}
		wg.Wait()
		gets(t, n, r, refused, "access 2 for urn:a")
		gets(t, n, r, resource("urn:a"), "access 2 for urn:a")
		g.used(t, "token 0", "token 0")
	})
	grants(t, "one that is over when it comes is not kept", func(t *testing.T, g *granting) {
		g.fetch = func(_ context.Context, _ *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			token := tokenFor(a, 0)
			token.Until = time.Now()
			return token, nil, nil
		}
		g.before = func(_ context.Context, operation, _ string) error {
			if operation == "set t" {
				t.Error("got it written; want it not to be")
			}
			return nil
		}
		n, r := g.replica(), live(0)
		gets(t, n, r, resource("urn:a"), "access 0 for urn:a")
		gets(t, n, r, resource("urn:a"), "access 0 for urn:a")
		g.used(t, "token 0", "token 0")
	})
	grants(t, "sessions do not wait for each other", func(t *testing.T, g *granting) {
		stuck := make(chan struct{})
		g.fetch = func(_ context.Context, r *session.Session, a session.Audience) (*session.Token, *session.Session, error) {
			if r.ID == (session.ID{7}) {
				<-stuck
			}
			return tokenFor(a, 0), nil, nil
		}
		n := g.replica()
		first := ask(t.Context(), n, live(0), resource("urn:a"))
		synctest.Wait()
		other := live(0)
		other.ID = session.ID{8}
		gets(t, n, other, resource("urn:a"), "access 0 for urn:a")
		close(stuck)
		<-first
	})
}

// errandResult is what Token returns.
type errandResult struct {
	token  *session.Token
	newest *session.Session
	err    error
}

func ask(ctx context.Context, n *refresh.Group, r *session.Session, want refresh.Wanted) <-chan errandResult {
	done := make(chan errandResult, 1)
	go func() {
		token, newest, err := n.Token(ctx, r, r.Generation, want)
		done <- errandResult{token, newest, err}
	}()
	return done
}

// CASES 4.2: the answer of the request that fetches a token has been sent already,
// so its browser comes back with the old cookie.
func TestARotatedRefreshTokenIsHandedOn(t *testing.T) {
	t.Parallel()
	for _, together := range []bool{false, true} {
		grants(t, fmt.Sprintf("twenty audiences from one old generation, at once: %v", together), func(t *testing.T, g *granting) {
			g.rotates, g.takes = true, time.Second
			n, r := g.replica(), live(0)
			var want []string
			var waiting []<-chan errandResult
			for i := range 20 {
				want = append(want, fmt.Sprint("token ", i))
				waiting = append(waiting, ask(t.Context(), n, r, resource(fmt.Sprint("urn:", i))))
				if !together {
					<-waiting[i]
				}
			}
			for i := range 20 {
				if together {
					if got := <-waiting[i]; got.err != nil {
						t.Errorf("audience %d: got error %v; want a token", i, got.err)
					}
				}
			}
			g.used(t, want...)
			got, err := g.replica().Newest(t.Context(), r, g.standing(t, r))
			wantToken(t, got, err, "token 20")
		})
	}
	grants(t, "the generation before the one that the browser has shown is superseded", func(t *testing.T, g *granting) {
		g.rotates = true
		gets(t, g.replica(), live(3), resource("urn:a"), "access 1 for urn:a")
		if !g.standing(t, live(2)).Superseded {
			t.Error("got the generation before not superseded; want it to be")
		}
		if s := g.standing(t, live(3)); s.Successor == nil {
			t.Errorf("got %+v; want a successor", s)
		}
		g.want(t, []string{"token 3"}, nil, []string{"4 ok"})
	})
	grants(t, "a refresh that this process could not write is written first", func(t *testing.T, g *granting) {
		g.rotates = true
		n, r := g.replica(), generation(0)
		mend := breakAfterAnswer(g.world, "add n")
		got, err := n.Refresh(t.Context(), r, 0, true)
		wantToken(t, got, nil, "token 1")
		wantPassing(t, err)
		mend()
		after(5 * time.Second)
		gets(t, n, r, resource("urn:a"), "access 1 for urn:a")
		g.used(t, "token 0", "token 1")
	})
	grants(t, "a session that moves on faster than anybody follows", func(t *testing.T, g *granting) {
		next := live(0)
		g.before = g.outrun(t, &next)
		_, _, err := g.replica().Token(t.Context(), live(0), 0, resource("urn:a"))
		wantPassing(t, err)
		g.used(t)
	})
}

// outrun writes a successor each time that somebody takes a lease.
func (g *granting) outrun(t *testing.T, next **session.Session) func(context.Context, string, string) error {
	var hook func(context.Context, string, string) error
	hook = func(_ context.Context, operation, _ string) error {
		if operation == "add l" {
			g.interfere(nil)
			*next = g.write(t, *next, rotated(*next))
			g.interfere(hook)
		}
		return nil
	}
	return hook
}

func TestWhoWaitsForATokenMayGo(t *testing.T) {
	t.Parallel()
	grants(t, "the other who waits gets it, whoever was first", func(t *testing.T, g *granting) {
		for _, leaves := range []int{0, 1} {
			g.takes = time.Second
			n, r := g.replica(), live(0)
			want := resource(fmt.Sprint("urn:", leaves))
			var waiting [2]<-chan errandResult
			var cancels [2]context.CancelFunc
			for i := range waiting {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				waiting[i], cancels[i] = ask(ctx, n, r, want), cancel
				synctest.Wait()
			}
			cancels[leaves]()
			if got := <-waiting[leaves]; !errors.Is(got.err, context.Canceled) || got.token != nil {
				t.Errorf("who has left: got %+v, %v; want the context's error", got.token, got.err)
			}
			if got := <-waiting[1-leaves]; got.err != nil {
				t.Errorf("who waits: got %v; want a token", got.err)
			}
		}
		g.used(t, "token 0", "token 0")
	})
	grants(t, "also while both wait for another replica", func(t *testing.T, g *granting) {
		n, r := g.replica(), live(0)
		if ok, err := g.state.TakeLease(t.Context(), r, lease); !ok || err != nil {
			t.Fatalf("TakeLease: got %v, %v; want true", ok, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := ask(ctx, n, r, resource("urn:a"))
		synctest.Wait()
		second := ask(t.Context(), n, r, resource("urn:a"))
		after(time.Second)
		cancel()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("who has left: got %+v, %v; want the context's error", got.token, got.err)
		}
		if got := <-second; got.err != nil {
			t.Errorf("who waits: got %v; want a token", got.err)
		}
		g.used(t, "token 0")
	})
	grants(t, "nobody waits any more when its turn comes, and the provider is not asked", func(t *testing.T, g *granting) {
		g.takes = time.Second
		n, r := g.replica(), live(0)
		first := ask(t.Context(), n, r, resource("urn:first"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var left []<-chan errandResult
		for i := range 100 {
			left = append(left, ask(ctx, n, r, resource(fmt.Sprint("urn:", i))))
		}
		synctest.Wait()
		stays := ask(t.Context(), n, r, resource("urn:7")) // beside one who leaves
		synctest.Wait()
		cancel()
		for _, l := range left {
			if got := <-l; !errors.Is(got.err, context.Canceled) {
				t.Errorf("who has left: got %+v, %v; want the context's error", got.token, got.err)
			}
		}
		if got := <-first; got.err != nil {
			t.Errorf("the first: got %v; want a token", got.err)
		}
		if got := <-stays; got.err != nil {
			t.Errorf("who stays: got %v; want a token", got.err)
		}
		after(10 * time.Second)
		if want := []string{"urn:first", "urn:7"}; !slices.Equal(g.fetched, want) {
			t.Errorf("fetched: got %q; want %q", g.fetched, want)
		}
		// Nothing of it is in the way of the next, nor reported as a failure.
		gets(t, n, r, resource("urn:3"), "access 3 for urn:3")
	})
	grants(t, "nobody waits any more, and what was rotated is kept", func(t *testing.T, g *granting) {
		g.takes, g.rotates = time.Second, true
		n, r := g.replica(), live(0)
		ctx, cancel := context.WithCancel(t.Context())
		waiting := ask(ctx, n, r, resource("urn:a"))
		synctest.Wait()
		cancel()
		<-waiting
		after(2 * time.Second)
		gets(t, g.replica(), r, resource("urn:a"), "access 1 for urn:a")
		g.used(t, "token 0")
		if s := g.standing(t, r); s.Successor == nil {
			t.Errorf("got %+v; want a successor", s)
		}
	})
}

func TestAnErrandAnswersOnlyThoseItSpeaksOf(t *testing.T) {
	t.Parallel()
	grants(t, "an old copy that is superseded does not take the newest with it", func(t *testing.T, g *granting) {
		gate := make(chan struct{})
		var once sync.Once
		g.before = func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				once.Do(func() { <-gate })
			}
			return nil
		}
		n := g.replica()
		first := ask(t.Context(), n, live(0), resource("urn:a"))
		synctest.Wait()
		second := ask(t.Context(), n, live(2), resource("urn:a"))
		synctest.Wait()
		if err := g.state.Supersede(t.Context(), live(0).ID, 0); err != nil {
			t.Errorf("Supersede: got error %v; want none", err)
		}
		close(gate)
		if got := <-first; !errors.Is(got.err, refresh.ErrSuperseded) {
			t.Errorf("the old copy: got %+v, %v; want it superseded", got.token, got.err)
		}
		if got := <-second; got.err != nil || got.newest.Generation != 2 {
			t.Errorf("the newest: got %+v, %v; want a token", got.newest, got.err)
		}
		g.used(t, "token 2")
	})
}

// A panic on an errand's own goroutine would end the process.
func TestAPanicInAFetchEndsNeitherTheProcessNorTheWaiting(t *testing.T) {
	t.Parallel()
	for name, fetch := range map[string]func(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error){
		"a panic": func(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error) {
			panic("broken")
		},
		"a goroutine ended from within": func(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error) {
			runtime.Goexit()
			return nil, nil, nil
		},
		"neither a token nor an error": func(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error) {
			return nil, nil, nil
		},
	} {
		grants(t, name, func(t *testing.T, g *granting) {
			g.fetch, g.takes = fetch, time.Second
			n, r := g.replica(), live(0)
			var waiting []<-chan errandResult
			for range 3 {
				waiting = append(waiting, ask(t.Context(), n, r, resource("urn:a")))
			}
			for _, w := range waiting {
				got := <-w
				wantPassing(t, got.err)
				if name == "a panic" && !strings.Contains(fmt.Sprint(got.err), "broken") {
					t.Errorf("got %v; want an error that says what the panic said", got.err)
				}
			}
			g.want(t, []string{"token 0"}, nil, []string{"0 failed"})
			g.fetch = nil
			after(2 * time.Second)
			gets(t, n, r, resource("urn:a"), "access 2 for urn:a") // lease and turn were given back
		})
	}
	grants(t, "a report that panics changes nothing of the outcome", func(t *testing.T, g *granting) {
		g.rotates = true
		n := g.replica()
		n.Observer = observer(func(error) { panic("in the application's OnEvent") })
		gets(t, n, live(0), resource("urn:a"), "access 1 for urn:a")
	})
}
