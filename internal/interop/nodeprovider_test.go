package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// nodeSecret is different from itself before and after form encoding, which
// RFC 6749 asks for before Basic authentication
// (https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1).
const nodeSecret = "s3cret+/%:&="

// nodePatience is how long a start or an end of the process may take before the
// test gives up on it.
const nodePatience = 30 * time.Second

// startNodeProvider starts npm's oidc-provider in a process of its own with one
// confidential client for each application: PKCE required, refresh tokens that
// rotate on each use, revocation, end of session with logout tokens, tokens for
// APIs, its own sign-in pages, and everything signed with alg. It returns what each application
// has to know, in the order of their base URLs.
func startNodeProvider(t *testing.T, alg goidc.SignatureAlgorithm, baseURLs ...string) []foreign {
	t.Helper()
	if _, err := os.Stat("node_modules/oidc-provider"); err != nil {
		t.Fatalf("oidc-provider is not installed, run npm ci in this directory: %v", err)
	}
	type client struct {
		ClientID string `json:"clientID"`
		BaseURL  string `json:"baseURL"`
	}
	// Two keys, so that the one an ID token is signed with has to be looked for.
	other := goidc.ES256
	if alg == other {
		other = goidc.RS256
	}
	var clients []client
	for i, baseURL := range baseURLs {
		clients = append(clients, client{fmt.Sprintf("interop-%d", i+1), baseURL})
	}
	issuer := runNode(t, map[string]any{
		"clients":            clients,
		"clientSecret":       nodeSecret,
		"idTokenAlg":         alg,
		"accessTokenSeconds": int(accessTokenLifetime.Seconds()),
		"keys":               []goidc.JSONWebKey{signingKey(t, other), signingKey(t, alg)},
		"apis":               apiScopes,
		"machineID":          machineID,
	})
	var known []foreign
	for _, c := range clients {
		known = append(known, foreign{
			issuer:       issuer,
			alg:          alg,
			clientID:     c.ClientID,
			clientSecret: nodeSecret,
			// oidc-provider, as Logto, gives a refresh token only to those who ask
			// for consent: https://openid.net/specs/openid-connect-core-1_0.html#OfflineAccess.
			needsConsentPrompt: true,
			// 9.13.3 looks at the resource when it has already rotated.
			spendsOnRefusal: true,
		})
	}
	return known
}

// runNode runs oidc-provider.mjs until the test ends, and returns the issuer it
// says it is.
func runNode(t *testing.T, settings map[string]any) string {
	t.Helper()
	argument, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", "oidc-provider.mjs", string(argument))
	said := new(transcript)
	node.Stderr = said
	stdin, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatalf("start node: %v", err)
	}
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		ready <- strings.TrimSpace(line)
	}()
	// Killing is for a process that does not answer; one that does ends when
	// its standard input is closed.
	stop := time.AfterFunc(nodePatience, func() { _ = node.Process.Kill() })
	t.Cleanup(func() {
		stop.Reset(nodePatience)
		_ = stdin.Close()
		_ = node.Wait()
		stop.Stop()
		if t.Failed() {
			t.Logf("oidc-provider said:\n%s", said)
		}
	})
	line := <-ready
	stop.Stop()
	issuer, found := strings.CutPrefix(line, "ready ")
	if !found {
		t.Fatalf("oidc-provider did not start: got %q; want a line with its issuer\n%s", line, said)
	}
	return issuer
}

// A transcript collects what a process writes while it is being read. The zero
// value is ready, and it is safe for concurrent use.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
