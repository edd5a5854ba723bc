package acceptance_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
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

// A canary is an application in whose life everything is kept that it says to
// anybody, and everything that it must not say.
type canary struct {
	*trial
	shared *mapState
	dir    string        // of the session store; empty for cookies
	json   *lockedBuffer // the log once more
	said   *lockedBuffer // by handlers of the application about what they are given
	keeps  sync.Mutex
	own    []string    // secrets that the provider and the wire do not know of
	echo   atomic.Bool // the provider repeats what it is sent
	panics atomic.Bool // in Config.Pages
}

// fan logs to two handlers.
type fan [2]slog.Handler

func (f fan) Enabled(context.Context, slog.Level) bool { return true }
func (f fan) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(f[0].Handle(ctx, r), f[1].Handle(ctx, r))
}
func (f fan) WithAttrs(a []slog.Attr) slog.Handler { return fan{f[0].WithAttrs(a), f[1].WithAttrs(a)} }
func (f fan) WithGroup(name string) slog.Handler {
	return fan{f[0].WithGroup(name), f[1].WithGroup(name)}
}

func newCanary(t *testing.T, inFiles bool) *canary {
	t.Helper()
	c := &canary{shared: new(mapState), json: new(lockedBuffer), said: new(lockedBuffer)}
	if inFiles {
		c.dir = t.TempDir()
	}
	text := new(lockedBuffer)
	c.trial = newTrial(t, with{
		provider: []signintest.Option{signintest.WithRefreshRotation(), signintest.WithACR("mfa")},
		config: func(cfg *signin.Config) {
			cfg.MergeUserInfo, cfg.Scopes, cfg.Resources, cfg.Shared = true, []string{"email", orgScope}, []string{apiA, apiB}, c.shared
			level := &slog.HandlerOptions{Level: slog.LevelDebug}
			cfg.Logger = slog.New(fan{slog.NewTextHandler(text, level), slog.NewJSONHandler(c.json, level)})
			if inFiles {
				store := sessions.NewFilesystemStore(c.dir, []byte(strings.Repeat("h", 32)))
				store.MaxLength(64 << 10)
				cfg.Store = store
			}
			wired := cfg.HTTPClient.Transport
			cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return c.roundTrip(wired, r) })}
			shown, noted := cfg.Pages, cfg.OnEvent
			cfg.Pages = func(w http.ResponseWriter, r *http.Request, p *signin.Page) {
				if c.panics.Load() {
					panic(*p)
				}
				fmt.Fprintf(c.said, "%v %+v %#v\n", *p, *p, p)
				shown(w, r, p)
			}
			cfg.OnEvent = func(ctx context.Context, e signin.Event) {
				c.tell(e.Err)
				noted(ctx, e)
			}
		},
	}, true)
	c.log = text
	c.server.Config.ErrorLog = log.New(text, "", 0)
	mux := c.server.Config.Handler.(*http.ServeMux)
	mux.Handle("/backchannel-logout", c.auth.BackChannelLogout())
	mux.Handle("/tell", c.auth.RequireAuth(http.HandlerFunc(c.tellAll)))
	mux.Handle("/panic", c.auth.RequireAuth(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("by the application") })))
	mux.Handle("/fresh", c.auth.Require(signin.AuthenticatedWithin(time.Minute))(http.HandlerFunc(c.account)))
	mux.Handle("/vault", c.auth.Require(signin.ACR("never"))(http.HandlerFunc(c.account)))
	mux.Handle("/role", c.auth.Require(signin.HasRole("nobody"))(http.HandlerFunc(c.account)))
	mux.Handle("/api", c.auth.RequireBearer(ordersAPI, signin.HasScope("read"))(http.HandlerFunc(c.tellAll)))
	return c
}

// roundTrip is the way to the provider: while echo is on, each request with
// credentials is refused with an answer that repeats all of it.
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

// tell writes down an error as programs print errors.
func (c *canary) tell(err error) {
	for ; err != nil; err = errors.Unwrap(err) {
		fmt.Fprintf(c.said, "%v\n%+v\n%#v\n%q\n", err, err, err, err)
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range several.Unwrap() {
				c.tell(one)
			}
		}
	}
}

// tellAll writes down all that the package gives to a handler, tokens apart, which
// it asks for and uses.
func (c *canary) tellAll(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	u, _ := signin.UserFrom(ctx)
	fmt.Fprintf(c.said, "%v %+v %#v\n%v %+v\n", ctx, *u, *u, r.URL, slog.Any("user", u))
	for _, opts := range [][]signin.TokenOption{nil, {signin.ForResource(apiA)}, {signin.ForOrganization("org_one")}, {signin.ForResource("urn:unknown")}} {
		token, err := signin.AccessToken(ctx, opts...)
		c.tell(err)
		if err == nil {
			c.keep(token.AccessToken)
		}
	}
	info, err := signin.FetchUserInfo[map[string]any](ctx)
	c.tell(err)
	fmt.Fprintf(c.said, "%+v\n", info)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fmt.Fprintln(c.said, r.URL, r.Header) }))
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
			fmt.Fprintln(c.said, resp.Header)
		}
	}
	_, _ = io.WriteString(w, "told")
}

// live leads sessions through their lives, with all that can go wrong in them.
func (c *canary) live(t *testing.T) {
	alice := signintest.Alice()
	b := c.browser()
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in")
	c.visit(b, "/sign-in?return_to=%2Ftell", alice)
	b.get("/role").want(t, http.StatusForbidden, "")
	b.do(http.MethodGet, "/role", "Accept: application/json").want(t, http.StatusForbidden, "")
	c.visit(b, "/fresh", alice)
	c.visit(b, "/vault", alice)
	c.breaksOff(t, b, "/panic")
	c.clock.add(due)
	b.get("/tell").want(t, http.StatusOK, "")

	troubles := slices.DeleteFunc(faults.Names[signintest.Fault](), func(f signintest.Fault) bool {
		name := string(f)
		return strings.HasSuffix(name, "-hang") || strings.HasSuffix(name, "-trickle") || strings.HasPrefix(name, "logout-") || strings.HasPrefix(name, "access-")
	})
	for _, trouble := range troubles {
		c.provider.Inject(trouble)
		c.visit(c.browser(), "/sign-in", alice) // to a page or an error
		c.clock.add(due)
		b.get("/tell") // with old tokens, or new ones, or to a sign-in
		c.provider.Clear()
		if b.who() != alice.Subject {
			c.visit(b, "/sign-in", alice)
		}
	}
	c.clock.add(time.Minute)
	c.visit(b, "/sign-in?return_to=%2Ftell", alice)

	bob := c.browser()
	c.visit(bob, "/sign-in", signintest.Bob())
	c.echo.Store(true)
	c.visit(c.browser(), "/sign-in", alice)
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

	for _, fault := range append([]signintest.Fault{""}, faults.Names[signintest.Fault]()...) {
		name := string(fault)
		if fault != "" && !strings.HasPrefix(name, "logout-") && !strings.HasPrefix(name, "access-") {
			continue
		}
		if fault != "" {
			c.provider.Inject(fault)
		}
		logout, access := c.provider.LogoutToken(signintest.Bob().Subject, ""), c.provider.AccessToken(alice.Subject, ordersAPI, "write")
		c.provider.Clear()
		c.keep(logout, access)
		c.notify(logout)
		for _, authorization := range []string{"Bearer " + access, "Basic " + access, "Bearer x" + access, "Bearer " + access + " " + access} {
			for _, accept := range []string{"text/html", "application/json"} {
				b.do(http.MethodGet, "/api", "Authorization: "+authorization, "Accept: "+accept)
			}
		}
	}

	broken := errors.New("the store is broken")
	c.clock.add(time.Minute)
	c.visit(b, "/sign-in", alice)
	for _, op := range []string{"get", "set", "add", "delete"} {
		c.shared.before(func(did, _ string) error {
			if did == op {
				return broken
			}
			return nil
		})
		c.clock.add(due)
		b.get("/tell")
		c.visit(c.browser(), "/sign-in", alice)
	}
	b.do(http.MethodPost, "/sign-out")
	c.shared.before(nil)
	c.visit(b, "/sign-in?return_to=%2Ftell", alice)
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

// hidden are the secrets that nobody may see, cookies those of a browser, which
// stand in Set-Cookie alone, and bound those that stand in redirects to the provider
// and in the names of cookies, and nowhere else.
func (c *canary) hidden() (hidden, cookies, bound []string) {
	tokens, cookies, bound := c.secrets()
	c.keeps.Lock()
	defer c.keeps.Unlock()
	hidden = append(append(tokens, c.own...), c.cfg.ClientSecret)
	for _, s := range c.own {
		hidden = append(hidden, strings.Split(s, ".")...)
	}
	for _, key := range c.cfg.Keys {
		hidden = append(hidden, string(key))
	}
	// The head of a JWT says how it is signed, and is no secret.
	hidden = slices.DeleteFunc(hidden, func(s string) bool {
		return len(s) < opening || strings.HasPrefix(s, "eyJ") && !strings.Contains(s, ".") && len(s) < 80
	})
	short := func(s string) bool { return len(s) < opening }
	return hidden, slices.DeleteFunc(cookies, short), slices.DeleteFunc(bound, short)
}

// haystack is all that was said, by where.
func (c *canary) haystack(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"log": c.log.String(), "log in JSON": c.json.String(), "handlers": c.said.String()}
	for i, err := range c.failures() {
		all[fmt.Sprintf("error %d", i)] = fmt.Sprintf("%v %+v %#v", err, err, err)
	}
	c.mu.Lock()
	for i, e := range c.events {
		all[fmt.Sprintf("event %d", i)] = fmt.Sprintf("%+v %#v", e, e)
	}
	c.mu.Unlock()
	c.shared.mu.Lock()
	for key, value := range c.shared.past {
		all["shared state "+key] = key + " " + string(value)
	}
	c.shared.mu.Unlock()
	c.heard.Lock()
	defer c.heard.Unlock()
	for i, e := range c.seen {
		all[fmt.Sprintf("answer %d, of %s", i, e.url.Path)] = e.body
		for name, values := range e.header {
			all[fmt.Sprintf("%s %d, of %s", name, i, e.url.Path)] = strings.Join(values, "\n")
		}
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

// written are the ways in which a secret may stand in a text.
func written(secret string) []string {
	all := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(fmt.Sprintf("%q", secret), `"`),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), fmt.Sprint([]byte(secret)),
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // what stands in front shifts it
			// The first and the last characters may hold bits of others.
			text := encoding.EncodeToString([]byte(strings.Repeat("x", before) + secret))
			all = append(all, text[(before*8+5)/6:len(text)-1])
		}
	}
	return all
}

// unpacked are a text and what is in it under layers of base64 and gzip.
func unpacked(text string, layers int) []string {
	all := []string{text}
	if layers == 0 {
		return all
	}
	words := strings.FieldsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-", r)
	})
	for _, word := range words {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if b, err := encoding.DecodeString(word); err == nil && len(b) > 12 {
				all = append(all, unpacked(string(b), layers-1)...)
			}
		}
	}
	for at := strings.Index(text, "\x1f\x8b"); at >= 0; at = -1 {
		if z, err := gzip.NewReader(strings.NewReader(text[at:])); err == nil {
			b, _ := io.ReadAll(io.LimitReader(z, 1<<20))
			all = append(all, unpacked(string(b), layers-1)...)
		}
	}
	return all
}

// A finder looks for many texts at once, by how they begin.
type finder map[string][]string

// opening is how many bytes decide where to look closer. No secret is shorter.
const opening = 12

func newFinder(secrets []string) finder {
	f := finder{}
	for _, s := range slices.Compact(slices.Sorted(slices.Values(secrets))) {
		for _, form := range written(s) {
			f[form[:opening]] = append(f[form[:opening]], form)
		}
	}
	return f
}

// find returns what text holds of what is looked for, or "".
func (f finder) find(text string) string {
	for i := range max(0, len(text)-opening+1) {
		for _, form := range f[text[i:i+opening]] {
			if strings.HasPrefix(text[i:], form) {
				return form
			}
		}
	}
	return ""
}

// search returns what looks for all secrets that there are so far: it returns at
// which places one was found, sorted.
func (c *canary) search() func(haystack map[string]string) (found []string) {
	hidden, cookies, bound := c.hidden()
	set, told, all := newFinder(hidden), newFinder(slices.Concat(hidden, cookies)), newFinder(slices.Concat(hidden, cookies, bound))
	return func(haystack map[string]string) []string { return leaks(haystack, set, told, all, c.provider.URL) }
}

func leaks(haystack map[string]string, set, told, all finder, provider string) (found []string) {
	for place, text := range haystack {
		look, layers := all, 0
		switch {
		case strings.HasPrefix(place, "Set-Cookie"):
			look = set
		case strings.HasPrefix(place, "Location") && strings.Contains(text, provider), place == "handlers":
			look = told // a nonce is a claim, which handlers are told
		}
		if strings.HasPrefix(place, "Set-Cookie") || strings.HasPrefix(place, "shared") || strings.HasPrefix(place, "file") {
			layers = 3
		}
		for _, text := range unpacked(text, layers) {
			if form := look.find(text); form != "" {
				found = append(found, fmt.Sprintf("%s: %.16s…", place, form))
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// CASES 9.5 and 5.12.
func TestCasesCanaries(t *testing.T) {
	t.Parallel()
	for name, inFiles := range map[string]bool{"sessions in cookies": false, "sessions in files": true} {
		t.Run("9.5 secrets of a life with all its failures are seen nowhere, "+name, func(t *testing.T) {
			t.Parallel()
			c := newCanary(t, inFiles)
			c.live(t)
			haystack := c.haystack(t)
			hidden, cookies, bound := c.hidden()
			if len(hidden) < 300 || len(cookies) < 100 || len(bound) < 100 || len(haystack) < 1000 || len(c.shared.past) < 20 || !strings.Contains(haystack["log"], "by the application") {
				t.Errorf("got %d, %d and %d secrets, %d places, %d keys of shared state; want those of a whole life", len(hidden), len(cookies), len(bound), len(haystack), len(c.shared.past))
			}
			search := c.search()
			for _, place := range search(haystack) {
				t.Errorf("leaked in %s", place)
			}
			t.Run("who finds nothing there finds what is planted", func(t *testing.T) { c.findsPlanted(t, hidden, search) })
		})
	}
}

// findsPlanted says a secret in each way, at each place, and wants it found.
func (c *canary) findsPlanted(t *testing.T, hidden []string, search func(map[string]string) []string) {
	secret := slices.MaxFunc(hidden, func(a, b string) int { return strings.Count(a, ".") - strings.Count(b, ".") })
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, secret)
	_ = z.Close()
	for how, text := range map[string]string{
		"in clear": "x" + secret + "y", "in base64": base64.StdEncoding.EncodeToString([]byte("ab" + secret + "c")), "in base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"in hex": hex.EncodeToString([]byte(secret)), "escaped": url.QueryEscape(secret), "as bytes": fmt.Sprintf("%v", []byte(secret)),
	} {
		for _, place := range []string{"log", "handlers", "error 0", "event 0", "answer 0, of /", "Location 0, of /", "Set-Cookie 0, of /", "shared state x", "file x"} {
			if found := search(map[string]string{place: "before " + text + " behind"}); len(found) != 1 || !strings.HasPrefix(found[0], place) {
				t.Errorf("a secret %s, %s: got %q; want it found there", how, place, found)
			}
		}
	}
	for _, place := range []string{"Set-Cookie 0, of /", "shared state x", "file x"} {
		text := base64.RawURLEncoding.EncodeToString(zipped.Bytes())
		if found := search(map[string]string{place: "signin=" + text + "; Path=/"}); len(found) != 1 {
			t.Errorf("a secret in gzip in base64, %s: got %q; want it found", place, found)
		}
	}
	// An application that says one itself is found out as well, wherever it does.
	c.cfg.Logger.Debug("careless", "error", fmt.Errorf("refused: %w", errors.New(secret)))
	found := search(c.haystack(t))
	if len(found) != 2 || !strings.HasPrefix(found[0], "log in JSON: ") || !strings.HasPrefix(found[1], "log: ") {
		t.Errorf("a secret that was logged: got %q; want it in both logs", found)
	}
}
