//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// tokenLife is how long an access token lives: short, so that minutes have as
// many refreshes as weeks in production.
const tokenLife = 8 * time.Second

// A provider signs people in, and rotates refresh tokens at each use.
type provider struct {
	client     clientSettings // what the application has to know
	endSession *url.URL       // where a browser signs out of the provider itself
	test       *signintest.Provider
	close      func()

	changing sync.Mutex // since a webhook that is lost is a fault of all of them
}

// startTestProvider starts the project's own provider for tests, in this
// process, for an application at base.
func startTestProvider(base string, people []string) (*provider, error) {
	var users []signintest.User
	for _, name := range people {
		users = append(users, userNamed(name))
	}
	test := signintest.NewProvider(signintest.WithUsers(users...), signintest.WithRefreshRotation(),
		signintest.WithAccessTokenLifetime(tokenLife))
	cfg := test.Config(base)
	p := &provider{test: test, close: test.Close, client: clientSettings{
		LogtoEndpoint: cfg.LogtoEndpoint, ID: cfg.ClientID, Secret: cfg.ClientSecret, WebhookKey: rand.Text(),
	}}
	test.SetWebhook(base+webhookPath, p.client.WebhookKey)
	return p, p.discover(test.Issuer)
}

func userNamed(name string) signintest.User {
	return signintest.User{Subject: name, Username: name, Name: "Person " + name}
}

// An accountChange is what Logto sends a webhook about.
type accountChange struct {
	make   func(p *signintest.Provider, subject string) signintest.WebhookDelivery
	blocks bool // the account's refresh tokens are good no more
}

var accountChanges = []accountChange{
	{(*signintest.Provider).Suspend, true},
	{(*signintest.Provider).DeleteUser, true},
	{(*signintest.Provider).ResetPassword, false},
}

// change changes an account. The webhook about it may be lost.
func (p *provider) change(c accountChange, subject string, lose bool) signintest.WebhookDelivery {
	p.changing.Lock()
	defer p.changing.Unlock()
	if lose {
		p.test.Inject(faults.WebhookLost)
		defer p.test.Clear()
	}
	return c.make(p.test, subject)
}

// unblock undoes what has blocked an account.
func (p *provider) unblock(name string) {
	p.test.Reinstate(name)
	p.test.SetUser(userNamed(name))
}

// startNodeProvider starts npm's oidc-provider in another process.
func startNodeProvider(base string, log *os.File) (*provider, error) {
	dir := "." // for go run, as the package documentation says; tests run in soak
	if _, err := os.Stat("oidc-provider.mjs"); err != nil {
		dir = ".."
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		return nil, fmt.Errorf("oidc-provider is not installed, run npm ci in internal/interop: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	client := clientSettings{ID: "soak", Secret: "s3cret+/%:&=", Consent: true}
	settings, err := json.Marshal(map[string]any{
		"clients":            []map[string]string{{"clientID": client.ID, "baseURL": base}},
		"clientSecret":       client.Secret,
		"idTokenAlg":         goidc.ES256,
		"accessTokenSeconds": int(tokenLife.Seconds()),
		"keys":               []goidc.JSONWebKey{{KeyID: "soak", Algorithm: string(goidc.ES256), Use: "sig", Key: key}},
		// By default it keeps the tokens of only a few people.
		"maxEntries": 1_000_000,
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("node", "oidc-provider.mjs", string(settings))
	cmd.Dir = dir
	process, issuer, err := start(cmd, log, nil, "ready ")
	if err != nil {
		return nil, err
	}
	client.Issuer = issuer
	p := &provider{client: client, close: process.kill}
	return p, p.discover(issuer)
}

// discover looks up what a browser needs to know.
func (p *provider) discover(issuer string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(issuer + "/.well-known/openid-configuration")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var metadata struct {
		EndSessionEndpoint string `json:"end_session_endpoint"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&metadata); err != nil {
		return err
	}
	p.endSession, err = url.Parse(metadata.EndSessionEndpoint)
	return err
}
