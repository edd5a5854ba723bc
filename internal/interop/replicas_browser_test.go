package interop

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestInABrowserReplicas starts several replicas of the example behind one address,
// and their Redis, and goes from replica to replica.
func TestInABrowserReplicas(t *testing.T) {
	p := startExample(t, buildExample(t, filepath.Join("example", "replicas")))
	b := openBrowser(t)

	b.open(p.url + "/account")
	b.wantScreen("/sign-in", "Sign in")
	b.press("Alice Example")
	b.wantPage(p.url+"/account", http.StatusOK, "Alice Example", "alice@example.test")
	b.wantTidy("example-replicas-account")
	var replicas []int
	for range 3 {
		b.load("reload", reload)
		b.wantPage(p.url+"/account", http.StatusOK, "Alice Example")
		replicas = append(replicas, b.replica(3))
	}
	first := replicas[0]
	if slices.Sort(replicas); !slices.Equal(replicas, []int{1, 2, 3}) {
		t.Errorf("three reloads came from replicas %v; want one from each", replicas)
	}

	// A page with another number of files takes one turn as well.
	b.open(p.url + "/")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")
	b.wantPortrait(true)
	b.wantTidy("example-replicas-home")
	if got := b.replica(3); got != first {
		t.Errorf("the page after three reloads came from replica %d; want %d, whose turn it is", got, first)
	}

	b.press("Sign out")
	b.wantPage(p.url+"/", http.StatusOK, "You are not signed in")
	for range 3 {
		b.open(p.url + "/account")
		b.wantScreen("/sign-in", "Sign in")
	}
}

// replica is the number in the line at the bottom of the page.
func (b *tab) replica(of int) int {
	b.t.Helper()
	line := regexp.MustCompile(fmt.Sprintf(`\nThis page came from replica ([1-9]) of %d\.$`, of)).FindStringSubmatch(b.text())
	if line == nil {
		b.t.Fatalf("the page does not say at its end which replica it came from:\n%s", b.text())
	}
	return int(line[1][0] - '0')
}
