package acceptance_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// goodConfig returns a configuration without mistakes, for an application that
// is not started.
func goodConfig() signin.Config {
	return signin.Config{
		LogtoEndpoint: "https://tenant.logto.app",
		ClientID:      "an-id",
		ClientSecret:  "a-secret-for-tests",
		BaseURL:       "https://app.example.test",
		Keys:          [][]byte{bytes.Repeat([]byte("k"), 32)},
		Logger:        quiet(),
	}
}

// mistakes returns the fields that New complains about.
func mistakes(t *testing.T, cfg signin.Config) (fields []string) {
	t.Helper()
	auth, err := signin.New(cfg)
	if err == nil {
		return nil
	}
	if auth != nil {
		t.Error("got an Auth with an error; want none")
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got error %v; want one that joins all mistakes", err)
	}
	for _, e := range joined.Unwrap() {
		field, said, _ := strings.Cut(strings.TrimPrefix(e.Error(), "signin: Config."), " ")
		if !strings.HasPrefix(e.Error(), "signin: Config.") || said == "" {
			t.Errorf("got mistake %q; want one that begins with its field and says what is wrong", e)
		}
		fields = append(fields, field)
	}
	for _, secret := range []string{"a-secret-for-tests", "kkkkkkkk", "hunter2"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("got a secret in %v", err)
		}
	}
	return fields
}

// New reports every mistake with its field. Package settings tests what may be
// wrong with each.
func TestNew_Mistakes(t *testing.T) {
	t.Parallel()
	type cfg = *signin.Config
	for _, row := range []struct {
		name   string
		change func(cfg)
		want   []string
	}{
		{"nothing is wrong", func(cfg) {}, nil},
		{"nothing is set", func(c cfg) { *c = signin.Config{Logger: quiet()} },
			[]string{"LogtoEndpoint", "ClientID", "ClientSecret", "BaseURL", "Keys"}},
		{"two providers", func(c cfg) { c.Issuer = "https://op.example.test" }, []string{"Issuer"}},
		{"an address with a password", func(c cfg) { c.BaseURL = "https://me:hunter2@app.example.test" }, []string{"BaseURL"}},
		{"a path to return to, and no BaseURL", func(c cfg) {
			c.BaseURL, c.SignInOptions = "", []signin.SignInOption{signin.ReturnTo("/x")}
		}, []string{"BaseURL"}},
		{"no keys", func(c cfg) { c.Keys = nil }, []string{"Keys"}},
		{"no keys on loopback", func(c cfg) { c.Keys, c.BaseURL = nil, "http://localhost:8080" }, nil},
		{"a one-time token for every sign-in", func(c cfg) { c.SignInOptions = []signin.SignInOption{signin.OneTimeToken("t", "a@example.test")} }, []string{"SignInOptions"}},
		{"an option for Logto with Issuer", func(c cfg) {
			c.LogtoEndpoint, c.Issuer, c.SignInOptions = "", "https://op.example.test", []signin.SignInOption{signin.Social("naver")}
		}, []string{"SignInOptions"}},
		{"http beyond loopback", func(c cfg) { c.LogtoEndpoint, c.BaseURL = "http://logto:3001", "http://app.internal" }, []string{"LogtoEndpoint", "BaseURL"}},
		{"http beyond loopback in a development network", func(c cfg) {
			c.LogtoEndpoint, c.BaseURL, c.DangerouslyAllowHTTP = "http://logto:3001", "http://app.internal", true
			c.Provider.Endpoints = map[string]string{"authorization_endpoint": "http://localhost:3001/oidc/auth"}
		}, nil},
		{"no keys in a development network", func(c cfg) { c.BaseURL, c.DangerouslyAllowHTTP, c.Keys = "http://app.internal", true, nil }, []string{"Keys"}},
		{"metadata elsewhere", func(c cfg) { c.Provider.DiscoveryURL = "https://inner.example.test/metadata?p=1" }, nil},
		{"settings of a peculiar provider", func(c cfg) {
			c.Provider = signin.ProviderConfig{
				DiscoveryURL: "http://inner.example.test/metadata", ClientAuth: "post",
				Endpoints: map[string]string{"tokenEndpoint": "https://me:hunter2@inner.example.test/token"},
			}
		}, []string{"Provider.ClientAuth", "Provider.DiscoveryURL", "Provider.Endpoints"}},
		{"two routes with one path", func(c cfg) { c.Paths.Callback = "/sign-in" }, []string{"Paths"}},
		{"a landing page that signs in again", func(c cfg) { c.Paths.AfterSignIn = "/sign-in" }, []string{"Paths.AfterSignIn"}},
		{"a page after sign-out that signs out again", func(c cfg) { c.Paths.AfterSignOut = "/sign%2Dout" }, []string{"Paths.AfterSignOut"}},
		{"everything at once", func(c cfg) {
			*c = signin.Config{
				Issuer: "ftp://x", BaseURL: "https://app.example.test", Keys: [][]byte{{1}, {2}}, Scopes: []string{" "},
				Resources: []string{"x"}, Provider: signin.ProviderConfig{SigningAlgs: []string{"x"}, RolesClaim: "/"}, CookieName: ";", IdleTimeout: -1, MaxLifetime: -1, RefreshBefore: -1,
				Paths:         signin.Paths{SignIn: "x", Callback: "x", SignOut: "x", BackChannelLogout: "x", AfterSignIn: "x", AfterSignOut: "x"},
				SignInOptions: []signin.SignInOption{signin.Prompt("x")}, Logger: quiet(),
			}
		}, []string{"ClientID", "ClientSecret", "CookieName", "IdleTimeout", "Issuer", "Keys[0]", "Keys[1]", "MaxLifetime",
			"Paths.AfterSignIn", "Paths.AfterSignOut", "Paths.BackChannelLogout", "Paths.Callback", "Paths.SignIn", "Paths.SignOut",
			"Provider.RolesClaim", "Provider.SigningAlgs", "RefreshBefore", "Resources", "Scopes", "SignInOptions"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := goodConfig()
			row.change(&c)
			got := mistakes(t, c)
			slices.Sort(got)
			slices.Sort(row.want)
			if !slices.Equal(got, row.want) {
				t.Errorf("got mistakes in %q; want %q", got, row.want)
			}
		})
	}
}

// New logs what to register at the provider, and what is only right for a
// single process.
func TestNew_Log(t *testing.T) {
	t.Parallel()
	const keys, shared = "Config.Keys is empty", "Config.Shared is empty"
	const dangerous, keycloak = "DangerouslyAllowHTTP is set", "at Keycloak, offline_access"
	for _, row := range []struct {
		name         string
		change       func(*signin.Config)
		want, refuse []string
	}{
		{"one process", func(*signin.Config) {}, []string{"register these URLs", shared,
			"redirect_uri=https://app.example.test/callback", "post_logout_redirect_uri=https://app.example.test/"}, []string{keys}},
		{"a developer's machine", func(c *signin.Config) { c.Keys, c.BaseURL = nil, "http://127.0.0.1:8080" },
			[]string{keys, shared, "redirect_uri=http://127.0.0.1:8080/callback"}, nil},
		{"shared state", func(c *signin.Config) { c.Shared = forgetful{} }, nil, []string{keys, shared, dangerous, keycloak}},
		{"a development network", func(c *signin.Config) { c.BaseURL, c.DangerouslyAllowHTTP = "http://app.internal", true },
			[]string{dangerous, "base_url=http://app.internal"}, []string{keycloak}},
		{"offline_access at Keycloak", func(c *signin.Config) { c.LogtoEndpoint, c.Issuer = "", "https://sso.example.test/realms/staff" },
			[]string{keycloak, "OmitDefaultScopes"}, []string{dangerous}},
		{"no offline_access at Keycloak", func(c *signin.Config) {
			c.LogtoEndpoint, c.Issuer, c.OmitDefaultScopes = "", "https://sso.example.test/realms/staff", true
		}, nil, []string{keycloak}},
	} {
		var log lockedBuffer
		c := goodConfig()
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		row.change(&c)
		if got := mistakes(t, c); got != nil {
			t.Fatalf("%s: got mistakes in %q; want none", row.name, got)
		}
		for _, text := range append(row.want, append(row.refuse, c.ClientSecret, "kkkkkkkk")...) {
			if got, want := strings.Contains(log.String(), text), slices.Contains(row.want, text); got != want {
				t.Errorf("%s: got log %s; want %q in it: %t", row.name, log.String(), text, want)
			}
		}
	}
}

// Changing a Config or its slices after New changes nothing.
func TestNew_ConfigChangedAfterwards(t *testing.T) {
	t.Parallel()
	var kept []byte
	a := newApp(t, with{config: func(c *signin.Config) {
		kept = slices.Clone(c.Keys[0])
		c.Scopes, c.Resources = []string{"email"}, []string{"https://api.example.test"}
		c.Provider.SigningAlgs = []string{"ES384"}
		c.SignInOptions = []signin.SignInOption{signin.UILocales("ko")}
	}})
	clear(a.cfg.Keys[0]) // the app's Config shares its slices with the one that New was given
	a.cfg.Scopes[0], a.cfg.Resources[0], a.cfg.Provider.SigningAlgs[0] = "roles", "https://evil.example.test", "RS256"
	a.cfg.SignInOptions[0] = signin.UILocales("fr")
	b := a.signedIn(signintest.Bob())
	q := a.lastRequest().Asked
	if q.Get("scope") != "openid profile offline_access email" || q.Get("resource") != "https://api.example.test" || q.Get("ui_locales") != "ko" {
		t.Errorf("asked: got %v; want what was configured", q)
	}
	same := a.again(func(c *signin.Config) {
		c.Keys[0], c.Provider.SigningAlgs[0], c.SignInOptions[0] = kept, "ES384", signin.UILocales("ko")
	})
	wantSignedIn(t, same, b.session(), signintest.Bob()) // it is sealed with the key that was given
}

func TestConfig_Defaults(t *testing.T) {
	t.Parallel()
	for life, config := range map[time.Duration]func(*signin.Config){
		24 * time.Hour:      nil, // the idle time-out ends it first
		14 * 24 * time.Hour: func(c *signin.Config) { c.IdleTimeout = 1000 * time.Hour },
	} {
		b := newApp(t, with{config: config}).signedIn(signintest.Alice())
		if u := b.user(); u.ExpiresAt.Sub(u.SignedInAt) != life || b.cookie("signin") == "" {
			t.Errorf("got user %+v and cookies %s; want a session in the cookie signin that ends after %v", u, b.cookies(), life)
		}
	}
	// By default a token is refreshed a minute ahead.
	for ahead, sure := range map[time.Duration]time.Duration{0: 58 * time.Minute, 10 * time.Minute: 49 * time.Minute} {
		a, clock, _ := granting(t, func(c *signin.Config) { c.RefreshBefore = ahead })
		b := a.signedIn(signintest.Alice())
		for _, visit := range []struct {
			after   time.Duration
			fetched int
		}{{0, 1}, {sure, 1}, {90 * time.Second, 3}} { // the session's own token, and the resource's
			clock.add(visit.after)
			a.within(t, b.session(), func(ctx context.Context) { hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)) })
			a.used(t, visit.fetched)
		}
	}
}

// With a path in BaseURL everything is below it.
func TestNew_BaseURLWithPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.BaseURL = "https://x.test/app/" }})
	a.provider.RegisterRedirectURIs("https://x.test/app/callback")
	tree := http.NewServeMux()
	tree.HandleFunc("/app/", who)
	tree.Handle("/app/account", a.auth.RequireAuth(http.HandlerFunc(who)))
	client := at("x.test", a.auth.WithRoutes(tree), a.provider.NewClient())
	for from, to := range map[string]string{
		"/app/account?a=b":                  "/app/account?a=b",
		"/app/sign-in":                      "/app/",
		"/app/sign-in?return_to=%2Foutside": "/app/", // another application's
	} {
		if got := a.provider.Visit(t, client, "https://x.test"+from, signintest.Bob()).Request.URL.RequestURI(); got != to {
			t.Errorf("from %s: got to %s; want %s", from, got, to)
		}
	}
	location, err := a.auth.BeginSignOut(httptest.NewRecorder(), httptest.NewRequest("POST", "https://x.test/app/sign-out", nil))
	u, _ := url.Parse(location)
	if err != nil || u.Query().Get("post_logout_redirect_uri") != "https://x.test/app/" {
		t.Errorf("BeginSignOut: got %q, %v; want https://x.test/app/ to come back to", location, err)
	}
}

func TestDiagnose(t *testing.T) {
	t.Parallel()
	broken := func(c *signin.Config) {
		shared, store := new(mapState), &flaky{Store: sessions.NewCookieStore(make([]byte, 32))}
		shared.before(func(string, string) error { return errOnPurpose })
		store.fail("save", -1)
		c.Shared, c.Store = shared, store
	}
	for _, row := range []struct {
		name   string
		change func(*signin.Config, *signintest.Provider)
		want   []signin.Code
	}{
		{"all is well", func(*signin.Config, *signintest.Provider) {}, nil},
		{"all is well with a store", func(c *signin.Config, _ *signintest.Provider) { c.Store = sessions.NewCookieStore(make([]byte, 32)) }, nil},
		{"the metadata is that of another issuer", func(_ *signin.Config, p *signintest.Provider) { p.Inject(faults.DiscoveryIssuerWrong) },
			[]signin.Code{signin.ErrProviderMisconfigured}},
		{"shared state forgets", func(c *signin.Config, _ *signintest.Provider) { c.Shared = forgetful{} },
			[]signin.Code{signin.ErrSharedUnavailable}},
		{"store and shared state are broken", func(c *signin.Config, _ *signintest.Provider) { broken(c) },
			[]signin.Code{signin.ErrStoreUnavailable, signin.ErrSharedUnavailable}},
		{"the store has no directory", func(c *signin.Config, _ *signintest.Provider) {
			c.Store = sessions.NewFilesystemStore(filepath.Join(t.TempDir(), "none"), make([]byte, 32))
		}, []signin.Code{signin.ErrStoreUnavailable}},
		{"nothing works", func(c *signin.Config, p *signintest.Provider) { broken(c); p.Down() },
			[]signin.Code{signin.ErrProviderUnavailable, signin.ErrStoreUnavailable, signin.ErrSharedUnavailable}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			row.change(&a.cfg, a.provider)
			a.start()
			err := a.auth.Diagnose(t.Context())
			for _, code := range []signin.Code{signin.ErrProviderUnavailable, signin.ErrProviderMisconfigured,
				signin.ErrStoreUnavailable, signin.ErrSharedUnavailable} {
				if got, want := errors.Is(err, code), slices.Contains(row.want, code); got != want {
					t.Errorf("got %v; want %q in it: %t", err, string(code), want)
				}
			}
			if (err != nil) != (row.want != nil) {
				t.Errorf("got %v; want %q", err, row.want)
			}
			if other := strings.Contains(row.name, "another issuer"); other && !strings.Contains(err.Error(), strconv.Quote(a.provider.Issuer)) {
				t.Errorf("got %v; want the issuer configured in it, beside the other", err)
			}
		})
	}
}
