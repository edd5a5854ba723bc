package signintest_test

import (
	"bytes"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

func TestProvider_IndependentClientSignsIn(t *testing.T) {
	t.Parallel()
	older := signintest.WithLogto137() // whose at_hash the client checks
	for name, opts := range map[string][]signintest.Option{
		"with nothing changed":          nil,
		"with RS256":                    {signintest.WithAlgorithm("RS256"), older},
		"with PS256":                    {signintest.WithAlgorithm("PS256"), older},
		"with ES256":                    {signintest.WithAlgorithm("ES256"), older},
		"with ES384":                    {signintest.WithAlgorithm("ES384"), older},
		"with ES512":                    {signintest.WithAlgorithm("ES512"), older},
		"with EdDSA":                    {signintest.WithAlgorithm("EdDSA"), older},
		"with TLS":                      {signintest.WithTLS()},
		"at random paths":               {signintest.WithRandomPaths()},
		"with the secret in the form":   {signintest.WithClientAuthMethods("client_secret_post")},
		"with the secret in the header": {signintest.WithClientAuthMethods("client_secret_basic")},
		"with a secret that is escaped": {signintest.WithClient("app:1", "s3cret+/%:&=")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, opts...)
			a.independentSignIn(t)
			if s := a.p.Stats(); s.Exchanges == 0 || s.UserInfo != 1 || s.Discovery != 1 || s.Authorizations != 1 || s.Keys == 0 {
				t.Errorf("got %+v; want each endpoint asked", s)
			}
		})
	}
}

// independentSignIn signs Alice in with golang.org/x/oauth2 and go-oidc, as
// their documentation describes.
func (a *party) independentSignIn(t *testing.T) {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), a.client())
	op, err := oidc.NewProvider(ctx, a.p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	config := oauth2.Config{
		ClientID: a.cfg.ClientID, ClientSecret: a.cfg.ClientSecret, Endpoint: op.Endpoint(),
		RedirectURL: a.URL + "/callback", Scopes: []string{"openid", "profile"},
	}
	address := config.AuthCodeURL("the-state", oidc.Nonce("the-nonce"), oauth2.S256ChallengeOption(verifier))
	q := a.p.Visit(t, nil, address, signintest.Alice()).Request.URL.Query()
	same(t, "state", q.Get("state"), "the-state")
	token, err := config.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := op.VerifierContext(ctx, &oidc.Config{ClientID: a.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "sub", id.Subject, signintest.Alice().Subject)
	same(t, "nonce", id.Nonce, "the-nonce")
	if id.AccessTokenHash != "" {
		same(t, "at_hash", id.VerifyAccessToken(token.AccessToken), nil)
	}
	info, err := op.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "sub of userinfo", info.Subject, id.Subject)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(1, 0) }
	p := signintest.NewProvider(signintest.WithTLS(), signintest.WithNow(now), signintest.WithClient("an-id", "a-secret"))
	defer p.Close()
	cfg := p.Config("http://app.example/base/")
	same(t, "LogtoEndpoint, Issuer", cfg.LogtoEndpoint+" "+cfg.Issuer, p.URL+" ")
	same(t, "ClientID, ClientSecret", cfg.ClientID+" "+cfg.ClientSecret, "an-id a-secret")
	same(t, "BaseURL", cfg.BaseURL, "http://app.example/base/")
	same(t, "length of the key", len(cfg.Keys[0]), 32)
	same(t, "Now", cfg.Now(), now())
	transport := cfg.HTTPClient.Transport.(*http.Transport)
	same(t, "every certificate is accepted", transport.TLSClientConfig.InsecureSkipVerify, false)
	same(t, "by https", strings.HasPrefix(p.URL, "https://"), true)
	get(t, cfg.HTTPClient, p.Issuer+"/jwks").shows(t, "keys", 200, "keys")
	plain := p.IssuerConfig("http://app.example/base")
	same(t, "LogtoEndpoint, Issuer", plain.LogtoEndpoint+" "+plain.Issuer, " "+p.Issuer)
	same(t, "the same key", bytes.Equal(cfg.Keys[0], plain.Keys[0]), false)
}

func TestDown(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.p.Down()
	if _, err := a.client().Get(a.p.Issuer + "/jwks"); err == nil {
		t.Error("got an answer; want none")
	}
	a.p.Up()
	same(t, "after Up", a.get(t, a.p.Issuer+"/jwks", "").outcome(), "200")
	same(t, "requests counted", a.p.Stats().Keys, 1)
}

func TestClose_EndsAnswersThatHang(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	p.Inject(faults.DiscoveryHang)
	ended := make(chan error)
	go func() {
		_, err := p.NewClient().Get(p.Issuer + "/.well-known/openid-configuration")
		ended <- err
	}()
	for p.Stats().Discovery == 0 { // until it hangs
		runtime.Gosched()
	}
	p.Close()
	p.Close() // twice is harmless
	if err := <-ended; err == nil {
		t.Error("got a whole answer; want none")
	}
}

func TestWithAddr(t *testing.T) {
	t.Parallel()
	for range 20 { // another listener may take the address in between
		first := signintest.NewProvider()
		addr := signintest.WithAddr(strings.TrimPrefix(first.URL, "http://"))
		panics(t, "cannot listen", func() { signintest.NewProvider(addr) })
		first.Close()
		second := first
		if panicOf(func() { second = signintest.NewProvider(addr) }) == "" {
			defer second.Close()
			same(t, "URL", second.URL, first.URL)
			return
		}
	}
	t.Error("got no free address in 20 tries")
}

// A site can make its own name lead to this machine, and then read what answers there.
func TestProvider_OtherHost(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	defer p.Close()
	port := p.URL[strings.LastIndex(p.URL, ":"):]
	for host, want := range map[string]int{
		"127.0.0.1" + port: http.StatusOK, "[::1]" + port: http.StatusOK, "localhost" + port: http.StatusOK, "idp.localhost" + port: http.StatusOK,
		"e.test" + port: http.StatusMisdirectedRequest, "127.0.0.1.e.test" + port: http.StatusMisdirectedRequest,
		"192.0.2.1" + port: http.StatusMisdirectedRequest, "localhost.e.test": http.StatusMisdirectedRequest,
	} {
		r, err := http.NewRequest(http.MethodGet, p.Issuer+"/.well-known/openid-configuration", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := p.NewClient().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		same(t, host, resp.StatusCode, want)
	}
}

func TestProvider_MistakesPanic(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	defer p.Close()
	panics(t, "unknown algorithm HS256", func() { signintest.NewProvider(signintest.WithAlgorithm("HS256")) })
	panics(t, "unknown fault no-such-fault", func() { p.Inject("no-such-fault") })
	panics(t, "a User needs a Subject", func() { p.SetUser(signintest.User{Name: "Bob"}) })
}

// panics reports a function that does not panic with the text wanted.
func panics(t *testing.T, want string, f func()) {
	t.Helper()
	if got := panicOf(f); !strings.Contains(got, want) {
		t.Errorf("got panic %q; want %q", got, want)
	}
}

// panicOf returns the text that f panics with.
func panicOf(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}
