package acceptance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

const webhookCanary = "webhook-key-0123456789abcdefghij"

// A canary is an application that goes through every kind of failure. All that it
// says is recorded, and so are the secrets that it must not say.
type canary struct {
	*app
	shared *mapState
	dir    string        // of the session store; empty for cookies
	json   *lockedBuffer // the log in JSON
	told   *lockedBuffer // what the application's handlers write about what they are given
	keeps  sync.Mutex
	own    []string    // secrets that the provider and the wire do not know of
	echo   atomic.Bool // the provider repeats what it is sent
	panics atomic.Bool // in Config.Pages
}

func newCanary(t *testing.T, inFiles bool) *canary {
	t.Helper()
	c := &canary{shared: new(mapState), json: new(lockedBuffer), told: new(lockedBuffer)}
	if inFiles {
		c.dir = t.TempDir()
	}
	text := new(lockedBuffer)
	c.app = newApp(t, with{
		recorded: true,
		provider: []signintest.Option{signintest.WithRefreshRotation()},
		config: func(cfg *signin.Config) {
			cfg.MergeUserInfo, cfg.Scopes, cfg.Resources, cfg.Shared = true, []string{"email", orgScope}, []string{apiA, apiB}, c.shared
			level := &slog.HandlerOptions{Level: slog.LevelDebug}
			cfg.Logger = slog.New(slog.NewMultiHandler(slog.NewTextHandler(text, level), slog.NewJSONHandler(c.json, level)))
			if inFiles {
				store := sessions.NewFilesystemStore(c.dir, []byte(strings.Repeat("h", 32)))
				store.MaxLength(64 << 10)
				cfg.Store = store
			}
			wired := cfg.HTTPClient.Transport
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return c.roundTrip(wired, r) })}
			noted := cfg.OnEvent
			cfg.Pages = func(w http.ResponseWriter, _ *http.Request, p *signin.Page) {
				if c.panics.Load() {
					panic(*p)
				}
				fmt.Fprintf(c.told, "%v %+v %#v\n", *p, *p, p)
				w.WriteHeader(p.Status)
				_, _ = io.WriteString(w, p.Text)
			}
			cfg.OnEvent = func(ctx context.Context, e signin.Event) {
				c.tell(e.Err)
				noted(ctx, e)
			}
		},
	})
	c.log = text
	c.server.Config.ErrorLog = log.New(text, "", 0)
	c.mount("/tell", c.auth.RequireAuth(http.HandlerFunc(c.tellAll)))
	c.mount("/panic", c.auth.RequireAuth(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("by the application") })))
	c.mount("/fresh", c.auth.Require(signin.AuthenticatedWithin(time.Minute))(http.HandlerFunc(c.account)))
	c.mount("/role", c.auth.Require(signin.HasRole("missing"))(http.HandlerFunc(c.account)))
	c.mount("/api", c.auth.RequireBearer(ordersAPI, signin.HasScope("read"))(http.HandlerFunc(c.tellAll)))
	c.mount("/logto-webhook", c.auth.LogtoWebhook(webhookCanary))
	c.provider.SetWebhook(c.server.URL+"/logto-webhook", webhookCanary)
	c.keep(webhookCanary)
	return c
}

// roundTrip sends a request to the provider. While echo is on, each request with
// credentials is refused instead, with an answer that repeats all of it.
func (c *canary) roundTrip(base http.RoundTripper, r *http.Request) (*http.Response, error) {
	if !c.echo.Load() || r.Method != http.MethodPost && r.Header.Get("Authorization") == "" {
		return base.RoundTrip(r)
	}
	sent := r.Header.Get("Authorization")
	if r.Body != nil {
		form, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		sent += " " + string(form)
		values, _ := url.ParseQuery(string(form))
		c.keep(values.Get("refresh_token"), values.Get("code"), values.Get("code_verifier"), values.Get("token"))
	}
	body, err := json.Marshal(map[string]string{"error": "invalid_scope", "error_description": sent, "error_uri": "https://e.test/?" + sent, "message": sent})
	return &http.Response{
		StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/json"}, "Www-Authenticate": {`Bearer error_description="` + sent + `"`}},
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, err
}

func (c *canary) keep(secrets ...string) {
	c.keeps.Lock()
	defer c.keeps.Unlock()
	c.own = append(c.own, secrets...)
}

// tell writes down an error in each way that programs print errors.
func (c *canary) tell(err error) {
	for ; err != nil; err = errors.Unwrap(err) {
		fmt.Fprintf(c.told, "%v\n%+v\n%#v\n%q\n", err, err, err, err)
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range several.Unwrap() {
				c.tell(one)
			}
		}
	}
}

// tellAll writes down everything that the package gives to a handler, except the
// tokens, which it only asks for and uses.
func (c *canary) tellAll(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	u, _ := signin.UserFrom(ctx)
	fmt.Fprintf(c.told, "%v %+v %#v\n%v %+v\n", ctx, *u, *u, r.URL, slog.Any("user", u))
	for _, opts := range [][]signin.TokenOption{nil, {signin.ForResource(apiA)}, {signin.ForOrganization("org_one")}, {signin.ForResource("urn:unknown")}} {
		token, err := signin.AccessToken(ctx, opts...)
		c.tell(err)
		if err == nil {
			c.keep(token.AccessToken)
		}
	}
	info, err := signin.FetchUserInfo[map[string]any](ctx)
	c.tell(err)
	fmt.Fprintf(c.told, "%+v\n", info)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fmt.Fprintln(c.told, r.URL, r.Header) }))
	defer elsewhere.Close()
	api := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/elsewhere", http.StatusFound))
	defer api.Close()
	for _, target := range []string{api.URL + "/x", elsewhere.URL + "/not-its-origin", "http://127.0.0.1:1/down"} {
		out, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			panic(err)
		}
		out.Header = r.Header.Clone() // as a proxy does
		resp, err := (&http.Client{Transport: signin.Transport(api.URL, signin.ForResource(apiA))}).Do(out)
		c.tell(err)
		if err == nil {
			resp.Body.Close()
			fmt.Fprintln(c.told, resp.Header)
		}
	}
	_, _ = io.WriteString(w, "told")
}

// live takes sessions through everything that can go wrong in them.
func (c *canary) live(t *testing.T) {
	alice := signintest.Alice()
	b := c.browser()
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in")
	b.visit("/sign-in?return_to=%2Ftell", alice)
	b.get("/role").want(t, http.StatusForbidden, "")
	b.get("/role", "Accept: application/json").want(t, http.StatusForbidden, "")
	b.visit("/fresh", alice)
	c.clock.add(5 * time.Minute)
	c.provider.Inject(faults.IgnoreMaxAge)
	b.visit("/fresh", alice) // a step-up that is not met
	c.provider.Clear()
	c.breaksOff(t, b, "/panic")
	c.clock.add(due)
	b.get("/tell").want(t, http.StatusOK, "")

	var ofTokens []signintest.Fault // faults of logout tokens, and of access tokens for APIs
	var ofWebhooks []signintest.Fault
	for _, trouble := range faults.Names[signintest.Fault]() {
		name := string(trouble)
		if strings.HasSuffix(name, "-hang") || strings.HasSuffix(name, "-trickle") {
			continue
		}
		if strings.HasPrefix(name, "logout-") || strings.HasPrefix(name, "access-") {
			ofTokens = append(ofTokens, trouble)
			continue
		}
		if strings.HasPrefix(name, "webhook-") {
			ofWebhooks = append(ofWebhooks, trouble)
			continue
		}
		c.provider.Inject(trouble)
		c.browser().visit("/sign-in", alice) // ends at a page or an error
		c.clock.add(due)
		b.get("/tell") // with old or new tokens, or a redirect to the sign-in
		c.provider.Clear()
		if b.who() != alice.Subject {
			b.visit("/sign-in", alice)
		}
	}
	c.clock.add(time.Minute)
	b.visit("/sign-in?return_to=%2Ftell", alice)

	bob := c.browser()
	bob.visit("/sign-in", signintest.Bob())
	c.echo.Store(true)
	c.browser().visit("/sign-in", alice)
	c.clock.add(due)
	b.get("/tell")
	c.panics.Store(true)
	c.breaksOff(t, b, "/callback?code=panic-code-0123456789&state=panic-state-0123456789")
	c.panics.Store(false)
	b.get("/callback?code=stray-code-0123456789&state=stray-state-0123456789").want(t, http.StatusBadRequest, "")
	b.get("/callback?error=stray-error-0123456789&error_description=stray-code-0123456789&state=stray-state-0123456789").want(t, http.StatusBadRequest, "")
	c.keep("panic-code-0123456789", "panic-state-0123456789", "stray-code-0123456789", "stray-state-0123456789", "stray-error-0123456789")
	bob.do(http.MethodPost, "/sign-out")
	c.echo.Store(false)

	for _, trouble := range append([]signintest.Fault{""}, ofTokens...) {
		if trouble != "" {
			c.provider.Inject(trouble)
		}
		logout, access := c.provider.LogoutToken(signintest.Bob().Subject, ""), c.provider.AccessToken(alice.Subject, ordersAPI, "write")
		c.provider.Clear()
		c.keep(logout, access)
		c.notify(logout)
		for _, authorization := range []string{"Bearer " + access, "Basic " + access, "Bearer x" + access, "Bearer " + access + " " + access} {
			b.get("/api", "Authorization: "+authorization)
			b.get("/api", "Authorization: "+authorization, "Accept: application/json")
		}
	}

	c.clock.add(time.Minute)
	b.visit("/sign-in", alice)
	for _, trouble := range append([]signintest.Fault{""}, ofWebhooks...) {
		if trouble != "" {
			c.provider.Inject(trouble)
		}
		c.keep(c.provider.ResetPassword(signintest.Bob().Subject).Signature)
		c.provider.Clear()
	}
	for _, op := range []string{"get", "set", "add", "delete"} {
		c.shared.before(func(did, _ string) error {
			if did == op {
				return errOnPurpose
			}
			return nil
		})
		c.clock.add(due)
		b.get("/tell")
		c.browser().visit("/sign-in", alice)
	}
	b.do(http.MethodPost, "/sign-out")
	c.shared.before(nil)
	b.visit("/sign-in?return_to=%2Ftell", alice)
	b.do(http.MethodPost, "/sign-out").want(t, http.StatusSeeOther, c.provider.URL)
}

// breaksOff asks for a page whose handler panics.
func (c *canary) breaksOff(t *testing.T, b *browser, path string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if resp, err := b.Do(r); err == nil {
		resp.Body.Close()
		t.Errorf("%s, whose handler panics: got %s; want no answer", path, resp.Status)
	}
}

func (c *canary) secrets() secrets {
	s := c.app.secrets()
	c.keeps.Lock()
	defer c.keeps.Unlock()
	s.hide(c.own...)
	return s
}

// said returns everything that was said or written, by place.
func (c *canary) said(t *testing.T) map[string]string {
	t.Helper()
	all := c.app.said()
	all["log in JSON"], all["handlers"] = c.json.String(), c.told.String()
	for key, value := range c.shared.ever() {
		all["shared state "+key] = key + " " + string(value)
	}
	if c.dir == "" {
		return all
	}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all["file "+path] = path + " " + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCanary(t *testing.T) {
	t.Parallel()
	for name, inFiles := range canaryStores {
		t.Run("9.5 no secret is shown, whatever fails, "+name, func(t *testing.T) {
			t.Parallel()
			c := newCanary(t, inFiles)
			c.live(t)
			said, s := c.said(t), c.secrets()
			if len(s.hidden) < 300 || len(s.cookies) < 100 || len(s.bound) < 100 || len(said) < 1000 ||
				len(c.shared.ever()) < 20 || !strings.Contains(said["log"], "by the application") {
				t.Errorf("got %d, %d and %d secrets, %d places; want more, as after all failures", len(s.hidden), len(s.cookies), len(s.bound), len(said))
			}
			search := s.search(c.provider.URL)
			for _, place := range search(said) {
				t.Errorf("leaked in %s", place)
			}
			token := slices.MaxFunc(s.hidden, func(a, b string) int { return strings.Count(a, ".") - strings.Count(b, ".") })
			wantFound(t, token, search)
		})
	}
}
