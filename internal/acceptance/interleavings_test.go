package acceptance_test

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

// For longer runs, and for one that has failed:
//
//	go test -race -run TestInterleavings . -interleavings 100000
//	go test -race -run 'TestInterleavings/cookies' . -interleavings 1 -interleaving 1234
var (
	interleavings = flag.Int("interleavings", 0, "how many runs of TestInterleavings there are of each kind; 0 is what each kind says")
	interleaving  = flag.Uint64("interleaving", 1, "the seed of the first of them")
)

// worldKind is what the worlds of one row have in common.
type worldKind struct {
	files    bool // sessions in a FilesystemStore
	rotating bool // refresh tokens are good for one use
	faulty   bool
	runs     int
}

func TestInterleavings(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]worldKind{
		"cookies, refresh tokens that stay":          {runs: 160},
		"cookies, refresh tokens that rotate":        {runs: 160, rotating: true},
		"files, refresh tokens that rotate":          {runs: 100, rotating: true, files: true},
		"cookies and faults, tokens that stay":       {runs: 130, faulty: true},
		"cookies and faults, tokens that rotate":     {runs: 130, rotating: true, faulty: true},
		"files and faults, refresh tokens that stay": {runs: 100, files: true, faulty: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs, counts := kind.runs, map[string]int{}
			if *interleavings > 0 {
				runs = *interleavings
			}
			for seed := *interleaving; seed < *interleaving+uint64(runs) && !t.Failed(); seed++ {
				interleave(t, kind, seed, counts)
			}
			t.Logf("%d runs: %v", runs, counts)
		})
	}
}

// interleave lets one world go on as a seed says, and checks what must hold.
func interleave(t *testing.T, kind worldKind, seed uint64, counts map[string]int) {
	opts := []signintest.Option{signintest.WithAlgorithm("ES256"), signintest.WithUsers(members()...)}
	if kind.rotating {
		opts = append(opts, signintest.WithRefreshRotation())
	}
	p, dir := signintest.NewProvider(opts...), ""
	p.Close()
	if kind.files {
		dir = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kind, p, rand.New(rand.NewPCG(seed, 0)), dir)
		w.live()
		w.end()
		for _, wrong := range w.wrong {
			t.Errorf("seed %d, %v: %s", seed, w, wrong)
		}
		if t.Failed() {
			t.Log(strings.Join(w.took, "\n"))
		}
		for what, n := range w.counts {
			counts[what] += n
		}
	})
}

// live lets people do things at once, a few times over.
func (w *world) live() {
	here := w.surfer("browser 0")
	browsers := []*surfer{here, here, here}
	here.signIn(context.Background(), members()[0], false)
	for i := range w.rand.IntN(3) {
		browsers = append(browsers, here.copied(fmt.Sprint("copy ", i)))
	}
	if w.rand.IntN(2) == 0 {
		other := w.surfer("browser 1")
		other.signIn(context.Background(), members()[w.rand.IntN(2)], false)
		browsers = append(browsers, other)
	}
	for range 1 + w.rand.IntN(3) {
		pass([]time.Duration{5 * time.Second, tokenLife - early/2, tokenLife + time.Minute}[w.rand.IntN(3)])
		for i := range 2 + w.rand.IntN(4) {
			b := browsers[w.rand.IntN(len(browsers))]
			random := rand.New(rand.NewPCG(w.rand.Uint64(), 0))
			w.act(fmt.Sprint(i, " ", b.name), func(ctx context.Context) { b.do(ctx, random) })
		}
		w.moved = false
		w.atTheProvider()
		w.run()
		pass(time.Minute) // what could not be written is written
		if w.stuck {
			w.lie("something waits for ever")
			return
		}
		if w.rand.IntN(3) == 0 {
			browsers = append(browsers, here.copied("a later copy"))
		}
	}
}

// atTheProvider is what an operator does there while people use the application.
func (w *world) atTheProvider() {
	subject := members()[w.rand.IntN(2)].Subject
	n, sids := w.rand.IntN(8), w.provider.SessionIDs(subject)
	w.act("operator", func(ctx context.Context) {
		w.wait(ctx, "operator")
		switch {
		case n < 2:
			w.truth.mu.Lock()
			w.moved = true
			w.truth.mu.Unlock()
			w.provider.RotateKey()
		case n == 2:
			w.provider.Logout(subject, "")
		case n == 3 && len(sids) > 0:
			w.provider.Logout("", sids[0])
		case n == 4 && len(sids) > 0:
			w.provider.Logout(subject, sids[0])
		case n == 5:
			w.truth.mu.Lock()
			w.blocked[subject] = true
			w.truth.mu.Unlock()
			w.provider.Suspend(subject)
			w.wait(ctx, "operator")
			w.provider.Reinstate(subject)
		}
	})
}

// end checks what must hold when all is quiet.
func (w *world) end() {
	show := func() {
		for _, s := range slices.Clone(w.sittings) {
			for i, x := range slices.Clone(s.texts) {
				b := w.surfer("copy")
				b.app.held["signin"] = x.value
				b.ask(context.WithValue(context.Background(), actorKey{}, actor{name: "copy"}), http.MethodGet, []string{"/", "/account"}[i%2], nil)
			}
		}
	}
	for _, s := range w.sittings { // nobody has to come for that
		if s.late && !s.replaced && !w.faulty && w.alive(s.newest) {
			w.lie("1: what a session received after its end, number %d, is alive", s.number)
		}
	}
	show()
	pass(tokenLife + time.Minute)
	show()
	alive := map[string]bool{}
	for _, s := range w.sittings {
		alive[s.newest] = s.newest != "" && w.alive(s.newest)
	}
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	standing := map[string]bool{}
	excused := w.faulty && (w.store || w.undiscovered)
	for _, s := range w.sittings {
		if s.newest == "" {
			continue
		}
		// The refresh token of one that was replaced is left alone.
		gone := s.over == "a sign-out" && !s.replaced || w.isOver(s) == "a logout token" && len(s.texts) > 0
		if gone && alive[s.newest] && !s.kept && !excused {
			w.lie("1: a refresh token is alive though its session, number %d, has ended: %s", s.number, w.isOver(s))
		}
		standing[s.subject] = standing[s.subject] || !gone || s.kept
	}
	for _, u := range members() {
		if n := w.provider.LiveRefreshTokens(u.Subject); n > 0 && !standing[u.Subject] && !excused {
			w.lie("1: %d refresh tokens of %s are alive; want none", n, u.Subject)
		}
	}
	shared, harmed := map[string]int{}, false
	for _, s := range w.sittings {
		shared[s.sid]++
		harmed = harmed || s.harmed != ""
	}
	stats := w.provider.Stats()
	if stats.RevokedForReuse > 0 && !harmed {
		w.lie("3: %d grants were revoked for reuse", stats.RevokedForReuse)
	}
	delete(shared, "")
	if stats.MostRefreshesAtOnce > 1 && slices.Max(append(slices.Collect(maps.Values(shared)), 0)) < 2 {
		w.lie("3: %d refreshes of one session at once", stats.MostRefreshesAtOnce)
	}
}
