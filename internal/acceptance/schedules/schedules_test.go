// Package schedules_test lets people, replicas, a provider and its operator act
// on the same sessions at once, in an order that a seed decides. Each schedule is
// a small world in a synctest bubble: an application of one to four
// replicas whose keys may be in rotation, two people with several tabs, browsers
// and copied cookies, and a provider that sends logout tokens, suspends people
// and rotates its keys. In some kinds of worlds shared state and the way to the
// provider fail now and then, and browsers go away. Whatever touches shared
// state, the provider or the application waits for its turn, so that any two
// operations may meet in any order.
//
// A ledger notes what browsers and provider see, and knows nothing of how the
// application works. It reports each violation of these invariants, by number:
//
//  1. An end is final. Once a session was ended by a sign-out, a logout token,
//     EndSessions or a new sign-in in the same browser, none of its cookies, of
//     any generation, at any replica, makes a request signed in. After a sign-out
//     its refresh token does not live on. The grant of a living session is not
//     revoked.
//  2. No request is given the user, the claims or an access token of another
//     session.
//  3. A session has at most one token request under way. None sends a refresh
//     token that was rotated away, and none comes before a token is due.
//  4. A living session works: it is not signed out, has its access tokens, and
//     is answered without an error unless a fault explains it. There is no
//     status 500 and no panic, and nothing waits forever.
//
// To cover a change of the protocol, add what people do with it to browser.do or
// operate, what can fail to world or sharedState, and what must hold to the ledger.
//
// A seed decides nearly all of a schedule; the order of a map or of a select may
// differ. To repeat a seed that failed, and to run many:
//
//	go test ./internal/acceptance/schedules -run 'TestSchedules/cookies,_rotation$' -seeds 1 -first 1234 -count 20
//	go test -race -timeout 0 ./internal/acceptance/schedules -seeds 100000
package schedules_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/signintest"
)

var (
	seedCount = flag.Uint64("seeds", seeds, "how many schedules there are of each kind")
	firstSeed = flag.Uint64("first", 1, "the seed of the first schedule")
)

// kind is what the worlds of one row have in common.
type kind struct {
	files    bool // sessions are in a FilesystemStore, or else in cookies
	rotating bool // refresh tokens are good for one use
	faulty   bool
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]kind{
		"cookies":                   {},
		"cookies, rotation":         {rotating: true},
		"files, rotation":           {files: true, rotating: true},
		"cookies, faults":           {faulty: true},
		"cookies, rotation, faults": {rotating: true, faulty: true},
		"files, faults":             {files: true, faulty: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			counts := map[string]int{}
			for seed := *firstSeed; seed < *firstSeed+*seedCount && !t.Failed(); seed++ {
				runSeed(t, k, seed, counts)
			}
			t.Logf("%d schedules: %v", *seedCount, counts)
			for _, what := range []string{"pages", "pages without a user", "access tokens", "sign-ins", "sign-outs", "logout tokens", "revocations"} {
				if counts[what] == 0 && *seedCount >= seeds {
					t.Errorf("%s: got none in all schedules; want some", what)
				}
			}
		})
	}
}

// runSeed runs one schedule and adds what happened in it to counts.
func runSeed(t *testing.T, k kind, seed uint64, counts map[string]int) {
	opts := []signintest.Option{signintest.WithAlgorithm("ES256"), signintest.WithUsers(people()...)}
	if k.rotating {
		opts = append(opts, signintest.WithRefreshRotation())
	}
	provider, dir := signintest.NewProvider(opts...), ""
	provider.Close() // its handler answers without a socket
	if k.files {
		dir = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, k, provider, rand.New(rand.NewPCG(seed, 0)), dir)
		w.act()
		w.settle()
		for _, violation := range w.violations {
			t.Errorf("seed %d, %d replicas, %d sign-ins: %s", seed, len(w.replicas), len(w.sessions), violation)
		}
		if t.Failed() {
			t.Log(strings.Join(w.turns, "\n"))
		}
		for what, n := range w.counts {
			counts[what] += n
		}
	})
}

// act lets people do things at once, a few times over.
func (w *world) act() {
	ctx := context.Background()
	first := w.browser("browser 0", "")
	browsers := []*browser{first, first, first} // three tabs
	first.signIn(ctx, people()[0], false)
	for i := range w.rand.IntN(3) {
		browsers = append(browsers, w.browser(fmt.Sprint("copy ", i), first.cookie(atApp, cookieName)))
	}
	if w.rand.IntN(2) == 0 {
		other := w.browser("browser 1", "")
		other.signIn(ctx, people()[w.rand.IntN(2)], false)
		browsers = append(browsers, other)
	}
	for range 1 + w.rand.IntN(3) {
		pass([]time.Duration{5 * time.Second, tokenLife - early/2, tokenLife + time.Minute}[w.rand.IntN(3)])
		for i := range 2 + w.rand.IntN(4) {
			b := browsers[w.rand.IntN(len(browsers))]
			random := rand.New(rand.NewPCG(w.rand.Uint64(), 0))
			w.start(fmt.Sprint(i, " ", b.name), func(ctx context.Context) { b.do(ctx, random) })
		}
		w.keyIsNew = false
		w.operate()
		w.run()
		pass(time.Minute) // what could not be written is written now
		if w.stuck {
			w.violated("4: something waits forever")
			return
		}
		if w.rand.IntN(3) == 0 {
			browsers = append(browsers, w.browser("a later copy", first.cookie(atApp, cookieName)))
		}
	}
}

// operate does what an operator of the provider may do meanwhile.
func (w *world) operate() {
	subject := people()[w.rand.IntN(2)].Subject
	n, sids, at := w.rand.IntN(9), w.provider.SessionIDs(subject), w.rand.IntN(len(w.replicas))
	w.start("operator", func(ctx context.Context) {
		w.wait(ctx, "operator")
		switch {
		case n < 2:
			w.locked(func() { w.keyIsNew = true })
			w.provider.RotateKey()
		case n == 2:
			w.provider.Logout(subject, "")
		case n == 3 && len(sids) > 0:
			w.provider.Logout("", sids[0])
		case n == 4 && len(sids) > 0:
			w.provider.Logout(subject, sids[0])
		case n == 5:
			w.locked(func() { w.suspended[subject] = true })
			w.provider.Suspend(subject)
			w.wait(ctx, "operator")
			w.provider.Reinstate(subject)
		case n == 6:
			answered := w.endSessions(subject)
			status := http.StatusOK
			if err := w.auths[at].EndSessions(ctx, subject); err != nil {
				status = http.StatusServiceUnavailable
			}
			answered(status)
		}
	})
}

// settle checks what must hold when all is quiet.
func (w *world) settle() {
	for _, s := range w.sessions { // even if no request comes with the session again
		late := false
		w.locked(func() { late = s.receivedLate && w.mustBeRevoked(s) && !w.faulty })
		if late && w.alive(s.newest) {
			w.violated("1: what session %d received after its end is alive", s.number)
		}
	}
	w.showAll()
	pass(tokenLife + time.Minute)
	w.showAll()
	alive := map[string]bool{}
	for _, s := range w.sessions {
		alive[s.newest] = s.newest != "" && w.alive(s.newest)
	}
	w.locked(func() { w.checkGrants(alive) })
}

// showAll sends a request with every cookie that there has been.
func (w *world) showAll() {
	for _, s := range slices.Clone(w.sessions) {
		for i, c := range slices.Clone(s.cookies) {
			w.browser("copy", c.value).ask(context.WithValue(context.Background(), actorKey{}, actor{name: "copy"}),
				http.MethodGet, []string{"/", "/account"}[i%2], nil)
		}
	}
}

// mustBeRevoked reports whether the refresh token of a session must have been revoked.
// A session that was replaced shares its grant with the new one. A logout token revokes
// nothing, since a new session may have the grant. Nor does a sign-out that comes after
// either, or after a refusal by the provider. w.mu is held.
func (w *world) mustBeRevoked(s *session) bool {
	return s.ended == signedOut && !s.replaced && !w.mayBeLoggedOut(s) && !w.suspended[s.subject]
}

// checkGrants checks which refresh tokens are alive in the end. w.mu is held.
func (w *world) checkGrants(alive map[string]bool) {
	// If a store could not write a session's end, or the revocation endpoint could not
	// be discovered, a refresh token stays alive.
	excused := w.faulty && (w.files || w.undiscovered)
	mayLive := map[string]bool{} // by subject
	bySid, harmed := map[string]int{}, false
	for _, s := range w.sessions {
		bySid[s.sid]++
		harmed = harmed || s.harm != ""
		if s.newest == "" {
			continue
		}
		gone := w.mustBeRevoked(s)
		if gone && alive[s.newest] && !s.kept && !excused {
			w.violation("1: a refresh token is alive though its session, number %d, has ended: %s", s.number, w.hasEnded(s))
		}
		mayLive[s.subject] = mayLive[s.subject] || !gone || s.kept
	}
	for _, u := range people() {
		if n := w.provider.LiveRefreshTokens(u.Subject); n > 0 && !mayLive[u.Subject] && !excused {
			w.violation("1: %d refresh tokens of %s are alive; want none", n, u.Subject)
		}
	}
	stats := w.provider.Stats()
	if stats.RevokedForReuse > 0 && !harmed {
		w.violation("3: %d grants were revoked for reuse", stats.RevokedForReuse)
	}
	delete(bySid, "")
	if stats.MostRefreshesAtOnce > 1 && slices.Max(append(slices.Collect(maps.Values(bySid)), 0)) < 2 {
		w.violation("3: %d refreshes of one session at once", stats.MostRefreshesAtOnce)
	}
}
