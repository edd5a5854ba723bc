package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// nodeSecret is not the same after form encoding, which RFC 6749 asks for before
// Basic authentication (https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1).
const nodeSecret = "s3cret+/%:&="

// startNodeProvider starts npm's oidc-provider with one confidential client for
// each application: PKCE required, refresh tokens that rotate on each use,
// revocation, end of session with logout tokens, tokens for APIs, its own
// sign-in pages, and everything signed with alg. It returns what each
// application needs to know, in the order of baseURLs.
func startNodeProvider(t *testing.T, alg goidc.SignatureAlgorithm, baseURLs ...string) []foreign {
	t.Helper()
	if _, err := os.Stat("node_modules/oidc-provider"); err != nil {
		t.Fatalf("oidc-provider is not installed, run npm ci in this directory: %v", err)
	}
	// With two keys, the application has to find the one that signed an ID token.
	other := goidc.ES256
	if alg == other {
		other = goidc.RS256
	}
	var clients []map[string]string
	for i, baseURL := range baseURLs {
		clients = append(clients, map[string]string{"clientID": fmt.Sprintf("interop-%d", i+1), "baseURL": baseURL})
	}
	settings, err := json.Marshal(map[string]any{
		"clients":            clients,
		"clientSecret":       nodeSecret,
		"idTokenAlg":         alg,
		"accessTokenSeconds": int(accessTokenLifetime.Seconds()),
		"keys":               []goidc.JSONWebKey{signingKey(t, other), signingKey(t, alg)},
		"apis":               apiScopes,
		"machineID":          machineID,
	})
	if err != nil {
		t.Fatal(err)
	}
	node := startNode(t, "oidc-provider.mjs", string(settings))
	line, _ := node.lines.ReadString('\n')
	issuer, found := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !found {
		t.Fatalf("oidc-provider did not start: got %q; want a line with its issuer\n%s", line, node.said)
	}
	var known []foreign
	for _, c := range clients {
		known = append(known, foreign{
			issuer:       issuer,
			alg:          alg,
			clientID:     c["clientID"],
			clientSecret: nodeSecret,
			// Like Logto, oidc-provider gives a refresh token only if consent was asked
			// for: https://openid.net/specs/openid-connect-core-1_0.html#OfflineAccess.
			needsConsentPrompt: true,
			// Version 9.13.3 rotates the token before it looks at the resource.
			spendsOnRefusal: true,
		})
	}
	return known
}

// A nodeProgram is a JavaScript program in a process of Node, which ends when
// its standard input does.
type nodeProgram struct {
	in    io.Writer
	lines *bufio.Reader // of its standard output
	said  *transcript   // on its standard error
}

// startNode starts a program, which runs until the test ends.
func startNode(tb testing.TB, args ...string) *nodeProgram {
	tb.Helper()
	node := exec.Command("node", args...)
	p := &nodeProgram{said: new(transcript)}
	node.Stderr = p.said
	stdin, err := node.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := node.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := node.Start(); err != nil {
		tb.Fatalf("start node: %v", err)
	}
	p.in, p.lines = stdin, bufio.NewReader(stdout)
	tb.Cleanup(func() {
		_ = stdin.Close()
		kill := time.AfterFunc(time.Minute, func() { _ = node.Process.Kill() })
		_ = node.Wait()
		kill.Stop()
		if tb.Failed() && p.said.String() != "" {
			tb.Logf("node said:\n%s", p.said)
		}
	})
	return p
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
