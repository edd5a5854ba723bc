//go:build linux && long

package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test program be a replica too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == replicaFlag {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// Rows 4.1, 4.2, 4.5, 4.6, 5.8 and 5.9 of docs/conformance.md, all at once and for
// a short while. Only a run of some minutes shows what takes longer than a lease.
func TestSoak(t *testing.T) {
	for _, test := range []struct{ sessions, provider string }{
		{"cookie", "signintest"},
		{"redis", "signintest"},
		{"cookie", "node"},
	} {
		t.Run("in "+test.sessions+", with "+test.provider, func(t *testing.T) {
			t.Parallel()
			r, err := soak(t.Context(), options{
				duration: 18 * time.Second, people: 60, replicas: 4, sessions: test.sessions, provider: test.provider,
				faults: allFaults, seed: 1,
			}, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			if len(r.broken) > 0 {
				t.Errorf("got broken promises:\n%s\nwant none\n%s", strings.Join(r.broken, "\n"), r)
			}
			for _, name := range allFaults {
				if r.faults[name] == 0 {
					t.Errorf("fault %s: got none; want one", name)
				}
			}
		})
	}
}
