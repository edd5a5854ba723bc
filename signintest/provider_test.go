package signintest_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

func TestAnIndependentClientSignsIn(t *testing.T) {
	t.Parallel()
	tests := map[string][]signintest.Option{
		"with nothing changed":           nil,
		"with RS256":                     {signintest.WithAlgorithm("RS256")},
		"with PS256":                     {signintest.WithAlgorithm("PS256")},
		"with ES256":                     {signintest.WithAlgorithm("ES256")},
		"with ES512":                     {signintest.WithAlgorithm("ES512")},
		"with EdDSA":                     {signintest.WithAlgorithm("EdDSA")},
		"with TLS":                       {signintest.WithTLS()},
		"at random paths":                {signintest.WithRandomPaths()},
		"with the secret in the form":    {signintest.WithClientAuthMethods("client_secret_post")},
		"with the secret in the header":  {signintest.WithClientAuthMethods("client_secret_basic")},
		"with an odd secret (CASES 9.4)": {signintest.WithClient("app:1", "s3cret+/%:&=")},
		"as Logto 1.37":                  {signintest.WithLogto137()},
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := signintest.NewProvider(opts...)
			defer p.Close()
			app := oidcApp(t, p)
			client := p.SignIn(t, nil, app.URL, signintest.Alice())
			resp, err := client.Get(app.URL + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if got, want := string(body), signintest.Alice().Subject; got != want {
				t.Errorf("got %q; want %q", got, want)
			}
			if s := p.Stats(); s.Exchanges == 0 || s.UserInfo != 1 || s.Discovery != 1 || s.Authorizations != 1 || s.Keys == 0 {
				t.Errorf("got %+v; want each endpoint asked", s)
			}
		})
	}
}

func TestStartingIsQuick(t *testing.T) {
	t.Parallel()
	best := time.Hour
	for range 20 {
		began := time.Now()
		p := signintest.NewProvider()
		best = min(best, time.Since(began))
		p.Close()
	}
	if best > 5*time.Millisecond {
		t.Errorf("got %v; want about a millisecond", best)
	}
}

func TestMetadataSayWhatIsServed(t *testing.T) {
	t.Parallel()
	a := start(t)
	doc := a.get(t, a.p.Issuer+"/.well-known/openid-configuration", "").body
	want := map[string]any{
		"issuer":                 a.p.Issuer,
		"authorization_endpoint": a.p.Issuer + "/auth",
		"token_endpoint":         a.p.Issuer + "/token",
		"userinfo_endpoint":      a.p.Issuer + "/me",
		"jwks_uri":               a.p.Issuer + "/jwks",
		"end_session_endpoint":   a.p.Issuer + "/session/end",
		"revocation_endpoint":    a.p.Issuer + "/token/revocation",
		"authorization_response_iss_parameter_supported": true,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
		"request_parameter_supported":                    false,
	}
	for name, value := range want {
		if doc[name] != value {
			t.Errorf("%s: got %v; want %v", name, doc[name], value)
		}
	}
}

func TestConfigRegistersWhatTheApplicationNeeds(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(1, 0) }
	p := signintest.NewProvider(signintest.WithTLS(), signintest.WithNow(now), signintest.WithClient("an-id", "a-secret"))
	defer p.Close()
	cfg := p.Config("http://app.example/base/")
	switch {
	case cfg.LogtoEndpoint != p.URL, cfg.Issuer != "", cfg.ClientID != "an-id", cfg.ClientSecret != "a-secret",
		cfg.BaseURL != "http://app.example/base/", len(cfg.Keys) != 1, len(cfg.Keys[0]) != 32,
		cfg.HTTPClient == nil, cfg.Now == nil:
		t.Errorf("got LogtoEndpoint %q, Issuer %q, ClientID %q, BaseURL %q", cfg.LogtoEndpoint, cfg.Issuer, cfg.ClientID, cfg.BaseURL)
	}
	plain := p.IssuerConfig("http://app.example/base")
	if plain.LogtoEndpoint != "" || plain.Issuer != p.Issuer {
		t.Errorf("got LogtoEndpoint %q, Issuer %q; want none, %q", plain.LogtoEndpoint, plain.Issuer, p.Issuer)
	}
	if bytes.Equal(cfg.Keys[0], plain.Keys[0]) {
		t.Error("got the same key twice")
	}
}

func TestDownClosesConnectionsAndUpServesAgain(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.p.Down()
	if resp, err := a.client().Get(a.p.Issuer + "/jwks"); err == nil {
		resp.Body.Close()
		t.Errorf("got %s; want no answer", resp.Status)
	}
	a.p.Up()
	if got := a.get(t, a.p.Issuer+"/jwks", "").status; got != 200 {
		t.Errorf("got %d; want 200", got)
	}
	if got := a.p.Stats().Keys; got != 1 {
		t.Errorf("got %d requests counted; want 1", got)
	}
}

func TestAddressIsTheOneAskedFor(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("got no panic for an address in use")
			}
		}()
		signintest.NewProvider(signintest.WithAddr(addr))
	}()
	l.Close()
	p := signintest.NewProvider(signintest.WithAddr(addr))
	defer p.Close()
	if want := "http://" + addr; p.URL != want {
		t.Errorf("got %s; want %s", p.URL, want)
	}
}

func TestCloseEndsAnswersThatHang(t *testing.T) {
	t.Parallel()
	for _, fault := range []signintest.Fault{faults.DiscoveryHang, faults.DiscoveryTrickle, faults.DiscoveryEndless} {
		p := signintest.NewProvider()
		p.Inject(fault)
		ended := make(chan error)
		go func() {
			resp, err := p.NewClient().Get(p.Issuer + "/.well-known/openid-configuration")
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			ended <- err
		}()
		for p.Stats().Discovery == 0 { // until it hangs
			runtime.Gosched()
		}
		p.Close()
		p.Close() // twice is harmless
		if err := <-ended; err == nil {
			t.Errorf("%s: got a whole answer; want none", fault)
		}
	}
}

func TestRotatedKeysStayForOneRotation(t *testing.T) {
	t.Parallel()
	a := start(t)
	first := a.signIn(t, signintest.Bob()).text("id_token")
	a.p.RotateKey()
	second := a.signIn(t, signintest.Bob()).text("id_token")
	if part(t, first, 0)["kid"] == part(t, second, 0)["kid"] {
		t.Error("got the same key after RotateKey")
	}
	for _, token := range []string{first, second} {
		if err := a.verify(t, token); err != nil {
			t.Errorf("got %v; want both to verify", err)
		}
	}
	a.p.RotateKey()
	if a.verify(t, first) == nil {
		t.Error("got the first token accepted; want its key gone after two rotations")
	}
}

func TestSecretsAreEverythingThatWasIssued(t *testing.T) {
	t.Parallel()
	a := start(t)
	code := a.authorize(t, nil, signintest.Bob(), a.params()).Get("code")
	tokens := a.exchange(t, code)
	secrets := a.p.Secrets()
	for _, s := range []string{a.cfg.ClientSecret, code, tokens.text("access_token"), tokens.text("refresh_token"), tokens.text("id_token")} {
		if !slices.Contains(secrets, s) {
			t.Errorf("got no %.12s… among the secrets", s)
		}
	}
}

func TestMistakesPanicAtOnce(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	defer p.Close()
	tests := map[string]struct {
		do   func()
		want string
	}{
		"an unknown algorithm":   {func() { signintest.NewProvider(signintest.WithAlgorithm("HS256")) }, "unknown algorithm HS256"},
		"an unknown fault":       {func() { p.Inject("no-such-fault") }, "unknown fault no-such-fault"},
		"a user without subject": {func() { p.SetUser(signintest.User{Name: "Nobody"}) }, "a User needs a Subject"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, test.want) {
					t.Errorf("got panic %q; want %q", got, test.want)
				}
			}()
			test.do()
		})
	}
}

func TestTLSIsWhatConfigTrusts(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithTLS())
	if !strings.HasPrefix(a.p.URL, "https://") {
		t.Fatalf("got %s; want https", a.p.URL)
	}
	if transport := a.cfg.HTTPClient.Transport.(*http.Transport); transport.TLSClientConfig.InsecureSkipVerify ||
		transport.TLSClientConfig.MinVersion > tls.VersionTLS13 {
		t.Error("got a client that trusts everybody")
	}
	if got := a.get(t, a.p.Issuer+"/jwks", "").status; got != 200 {
		t.Errorf("got %d; want 200", got)
	}
}
