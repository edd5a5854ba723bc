package acceptance_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// stopped is a clock that stands still until a test moves it.
type stopped struct{ at atomic.Int64 }

func (s *stopped) now() time.Time      { return time.Unix(0, s.at.Load()) }
func (s *stopped) add(d time.Duration) { s.at.Add(int64(d)) }

// stoppedApp is newApp with a clock that stands still, at a whole second, for
// the application and the provider.
func stoppedApp(t *testing.T, o with) (*app, *stopped) {
	t.Helper()
	s, config := new(stopped), o.config
	s.at.Store(time.Now().Truncate(time.Second).UnixNano())
	o.provider = append(slices.Clone(o.provider), signintest.WithNow(s.now))
	o.config = func(c *signin.Config) {
		c.Now = s.now
		if config != nil {
			config(c)
		}
	}
	return newApp(t, o), s
}

// handler is the whole application.
func (a *app) handler() http.Handler { return a.server.Config.Handler }

// again returns the same application with another configuration, as after a
// deployment.
func (a *app) again(change func(*signin.Config)) http.Handler {
	a.t.Helper()
	cfg := a.cfg
	change(&cfg)
	auth, err := signin.New(cfg)
	if err != nil {
		a.t.Fatalf("New: got error %v; want none", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/sign-in", auth.SignIn())
	mux.Handle("/callback", auth.Callback())
	mux.Handle("/sign-out", auth.SignOut())
	mux.Handle("/", auth.Load(http.HandlerFunc(who)))
	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(a.account)))
	return mux
}

// knock is a navigation that reaches a handler with exactly these Cookie lines,
// one to a line: net/http's own client and server refuse some bytes.
func knock(h http.Handler, path, cookies string, header ...string) answer {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", "text/html")
	if cookies != "" {
		r.Header["Cookie"] = strings.Split(cookies, "\n")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.String()}
}

// nobodyComes checks that cookies are nobody's: the open page shows nobody, and
// the guarded one redirects without having been entered.
func (a *app) nobodyComes(t *testing.T, h http.Handler, cookies string) {
	t.Helper()
	before := a.insideCalls()
	if got := knock(h, "/", cookies); got.StatusCode != http.StatusOK || got.body != "nobody" {
		t.Errorf("open page: got %d %q; want 200 nobody", got.StatusCode, got.body)
	}
	knock(h, "/account", cookies).want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
	if got := a.insideCalls(); got != before {
		t.Error("guarded page: its handler was called; want it not to be")
	}
}

// comes checks that cookies are a person's.
func comes(t *testing.T, h http.Handler, cookies string, u signintest.User) {
	t.Helper()
	for _, path := range []string{"/", "/account"} {
		if got := knock(h, path, cookies); got.StatusCode != http.StatusOK || got.body != u.Subject {
			t.Errorf("%s: got %d %q; want 200 %s", path, got.StatusCode, got.body, u.Subject)
		}
	}
}

// watched keeps the last answer that came from a path.
type watched struct {
	http.RoundTripper
	path   string
	before func() // unless nil, called when the path is about to be asked
	seen   *http.Response
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.before != nil && r.URL.Path == w.path {
		w.before()
	}
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Path == w.path {
		w.seen = resp
	}
	return resp, err
}

// session returns the browser's session cookies, as a Cookie header. The
// provider is on the same host, so the jar holds its cookies as well.
func (b *browser) session() string {
	name := cmp.Or(b.app.cfg.CookieName, "signin")
	return strings.Join(slices.DeleteFunc(strings.Split(b.cookies(), "; "), func(c string) bool {
		c, _, _ = strings.Cut(strings.TrimPrefix(c, "__Host-"), "=")
		return strings.TrimSuffix(c, ".2") != name
	}), "; ")
}

// follow is the same browser, following redirects.
func (b *browser) follow() *http.Client {
	return &http.Client{Transport: b.Transport, Jar: b.Jar}
}

// signInAs signs a person in and returns what the callback answered.
func (b *browser) signInAs(u signintest.User) answer {
	b.app.t.Helper()
	return b.signInWhile(u, nil)
}

// signInWhile is signInAs with something that happens before the callback.
func (b *browser) signInWhile(u signintest.User, happens func()) answer {
	b.app.t.Helper()
	c := b.follow()
	w := &watched{RoundTripper: c.Transport, path: "/callback", before: happens}
	c.Transport = w
	last := b.app.provider.Visit(b.app.t, c, b.app.server.URL+"/sign-in", u)
	if w.seen == nil {
		b.app.t.Fatalf("signing in: got %s and no callback; want one", last.Status)
	}
	if last.Request.URL.Path != w.path {
		return answer{w.seen, ""}
	}
	body, err := io.ReadAll(last.Body) // an error's page
	if err != nil {
		b.app.t.Fatal(err)
	}
	return answer{last, string(body)}
}

var attemptName = regexp.MustCompile(`\.tx\..*`)

// setCookies describes the cookies that an answer sets, "signin 3600" or
// "signin cleared", sorted, and checks every attribute of each. The Expires of a
// gorilla store beside Max-Age says nothing else.
func setCookies(t *testing.T, a answer, secure bool) []string {
	t.Helper()
	var all []string
	for _, line := range a.Header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatalf("Set-Cookie: %v", err)
		}
		if c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.Secure != secure || c.SameSite != http.SameSiteLaxMode ||
			c.Quoted || c.Partitioned || len(c.Unparsed) > 0 {
			t.Errorf("Set-Cookie %s: got %q; want Path=/, HttpOnly, SameSite=Lax, Secure only with https, and no more",
				c.Name, strings.TrimPrefix(line, c.Name+"="+c.Value))
		}
		if strings.HasPrefix(c.Name, "__Host-") != secure {
			t.Errorf("name: got %q; want __Host- with https, and only there", c.Name)
		}
		life := fmt.Sprint(c.MaxAge)
		if c.MaxAge < 0 && c.Value == "" {
			life = "cleared"
		}
		all = append(all, attemptName.ReplaceAllString(c.Name, ".tx.*")+" "+life)
	}
	if len(all) > 0 && (a.Header.Get("Cache-Control") != "private, no-store" || a.Header.Get("CDN-Cache-Control") != "no-store") {
		t.Errorf("cache headers beside Set-Cookie: got %q, %q; want private, no-store and no-store",
			a.Header.Get("Cache-Control"), a.Header.Get("CDN-Cache-Control"))
	}
	slices.Sort(all)
	return all
}

func wantCookies(t *testing.T, when string, a answer, secure bool, want ...string) {
	t.Helper()
	if got := setCookies(t, a, secure); !slices.Equal(got, want) {
		t.Errorf("%s: got cookies %q; want %q", when, got, want)
	}
}

// reasons lists the reasons of the events of one kind.
func (a *app) reasons(kind signin.EventKind) (reasons []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if e.Kind == kind {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

// everyStore are the places for sessions; each changes a Config.
func everyStore() map[string]func(dir string) func(*signin.Config) {
	key := []byte(strings.Repeat("k", 32))
	return map[string]func(string) func(*signin.Config){
		"cookies of its own": func(string) func(*signin.Config) { return func(*signin.Config) {} },
		"CookieStore": func(string) func(*signin.Config) {
			return func(c *signin.Config) { c.Store = sessions.NewCookieStore(key) }
		},
		"FilesystemStore": func(dir string) func(*signin.Config) {
			store := sessions.NewFilesystemStore(dir, key)
			store.MaxLength(1 << 16)
			return func(c *signin.Config) { c.Store = store }
		},
	}
}

// tokens is a transport that changes the answers of the token endpoint.
type tokens func(body map[string]any)

func (change tokens) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := ownTransport.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/token") {
		return resp, err
	}
	defer resp.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return nil, err
	}
	change(body)
	text, err := json.Marshal(body)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return resp, err
}

// large returns u with so many bytes of claims more.
func large(u signintest.User, bytes int) signintest.User {
	u.Claims = map[string]any{"filler": strings.Repeat("x", bytes)}
	return u
}

const (
	month   = 30 * 24 * time.Hour
	twoEach = 3000 // bytes of claims for which a session needs two cookies
)

func TestCasesSessions(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	for name, store := range everyStore() {
		t.Run("5.1 another person signs in with the same browser, sessions in "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: store(t.TempDir())})
			b := a.signedIn(alice)
			old := b.session()
			b.signInAs(bob).want(t, http.StatusSeeOther, "/")
			comes(t, a.handler(), b.session(), bob)
			if name == "cookies of its own" { // the others have deleted it, or call it replaced
				wantCookies(t, "A's old cookie", knock(a.handler(), "/", old), false, "signin cleared")
				if got := a.reasons(signin.EventSessionEnded); !slices.Equal(got, []string{"replaced"}) {
					t.Errorf("events: got sessions ended for %q; want replaced, once", got)
				}
			}
			a.nobodyComes(t, a.handler(), old)
			comes(t, a.handler(), b.session(), bob)
		})
		t.Run("5.1 the ID changes when the same person signs in again, sessions in "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: store(t.TempDir())})
			b := a.signedIn(alice)
			old := b.session()
			b.signInAs(alice)
			a.nobodyComes(t, a.handler(), old)
			comes(t, a.handler(), b.session(), alice)
		})
		t.Run("5.1 a planted cookie of the attacker's own session reads nothing afterwards, sessions in "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: store(t.TempDir())})
			attacker := a.signedIn(bob)
			victim := attacker.copyOf()
			victim.signInAs(alice)
			comes(t, a.handler(), victim.session(), alice)
			a.nobodyComes(t, a.handler(), attacker.session())
		})
	}
	for _, secure := range []bool{true, false} {
		name := map[bool]string{true: "https", false: "loopback http"}[secure]
		t.Run("5.2 every attribute of every cookie, on "+name, func(t *testing.T) {
			t.Parallel()
			cookieAttributes(t, secure)
		})
	}
	for name, store := range everyStore() {
		bytes := map[bool][]int{true: {0, twoEach}, false: {0}}[name == "cookies of its own"]
		for _, n := range bytes {
			for path, what := range map[string]string{"/": "shows nobody", "/account": "redirects"} {
				t.Run(fmt.Sprintf("5.3 a bit flip at every byte and a cut at every length %s, %d bytes of claims in %s", what, n, name), func(t *testing.T) {
					t.Parallel()
					a := newApp(t, with{config: store(t.TempDir())})
					cookies := a.signedIn(large(alice, n)).session()
					comes(t, a.handler(), cookies, alice)
					spoiled(t, a, path, cookies)
				})
			}
		}
	}
	t.Run("5.3 another key, name, issuer or client opens nothing", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		cookies := a.signedIn(alice).session()
		comes(t, a.again(func(*signin.Config) {}), cookies, alice)
		a.nobodyComes(t, a.again(func(c *signin.Config) { c.Keys = [][]byte{make([]byte, 32)} }), cookies)
		a.nobodyComes(t, a.again(func(c *signin.Config) { c.CookieName = "other" }), strings.Replace(cookies, "signin=", "other=", 1))
		a.nobodyComes(t, a.again(func(c *signin.Config) { c.LogtoEndpoint += "0" }), cookies)
		a.nobodyComes(t, a.again(func(c *signin.Config) { c.ClientID += "0" }), cookies)
	})
	t.Run("5.4 keys rotate in two deployments, and a removed one does not open", keysRotate)
	t.Run("5.5 two cookies make the right session, or none", twoCookies)
	t.Run("5.5 a session that shrinks at a refresh deletes its second cookie", func(t *testing.T) {
		t.Parallel()
		a, clock := stoppedApp(t, with{})
		b := a.signedIn(large(alice, twoEach))
		if b.cookie("signin.2") == "" {
			t.Fatal("before: got one cookie; want two")
		}
		a.provider.SetUser(alice)
		clock.add(time.Hour)
		wantCookies(t, "refreshed", b.get("/"), false, "signin 86400", "signin.2 cleared")
		comes(t, a.handler(), b.session(), alice)
	})
	t.Run("5.5 a session that shrinks at a new sign-in deletes its second cookie", func(t *testing.T) {
		t.Parallel()
		a, _ := stoppedApp(t, with{})
		b := a.signedIn(large(alice, twoEach))
		wantCookies(t, "signed in", b.signInAs(alice), false, "signin 86400", "signin.2 cleared", "signin.tx.* cleared")
		comes(t, a.handler(), b.session(), alice)
	})
	t.Run("5.6 claims grow: the signature is left out, then a clear error", claimsGrow)
	t.Run("5.6 an access token that does not fit is left out first", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{config: func(c *signin.Config) {
			c.Issuer, c.LogtoEndpoint = c.LogtoEndpoint+"/oidc", ""
			c.HTTPClient = &http.Client{Transport: tokens(func(body map[string]any) { body["access_token"] = strings.Repeat("a", 16<<10) })}
		}})
		b := a.signedIn(alice)
		comes(t, a.handler(), b.session(), alice)
		if got := b.do(http.MethodPost, "/sign-out").Header.Get("Location"); !strings.Contains(got, "id_token_hint=") {
			t.Error("sign-out: got no id_token_hint; want the ID token kept whole, since it fits without the access token")
		}
	})
	t.Run("5.6 a Cookie header of 1 MB is bounded work", longHeader)
	lifetimes(t)
	storesWork(t)
	t.Run("5.11 two Auths on one host with the same keys", twoAuths)
	noTokens(t)
}

// cookieAttributes is a session's whole life, seen through Set-Cookie.
func cookieAttributes(t *testing.T, secure bool) {
	a, clock := stoppedApp(t, with{tls: secure, provider: []signintest.Option{signintest.WithAccessTokenLifetime(10 * time.Hour)}})
	p := map[bool]string{true: "__Host-", false: ""}[secure]
	b := a.browser()
	started := b.get("/sign-in")
	started.want(t, http.StatusSeeOther, a.provider.URL)
	wantCookies(t, "sign-in started", started, secure, p+"signin.tx.* 600")
	for range 4 {
		b.get("/sign-in")
	}
	wantCookies(t, "sixth attempt", b.get("/sign-in"), secure, p+"signin.tx.* 600", p+"signin.tx.* cleared")
	wantCookies(t, "callback", b.signInAs(large(signintest.Alice(), twoEach)), secure,
		p+"signin 86400", p+"signin.2 86400", p+"signin.tx.* cleared")
	wantCookies(t, "next request", b.get("/account"), secure)
	clock.add(6 * time.Hour)
	wantCookies(t, "last seen written again", b.get("/account"), secure, p+"signin 86400", p+"signin.2 86400")
	clock.add(4 * time.Hour)
	wantCookies(t, "refreshed", b.get("/account"), secure, p+"signin 86400", p+"signin.2 86400")
	copied := b.copyOf()
	wantCookies(t, "signed out", b.do(http.MethodPost, "/sign-out"), secure, p+"signin cleared", p+"signin.2 cleared")
	wantCookies(t, "a copy, found ended", copied.get("/"), secure, p+"signin cleared", p+"signin.2 cleared")
}

// spoiled sends cookies with one bit changed, at each place, and cut short, at
// each place.
func spoiled(t *testing.T, a *app, path, cookies string) {
	status, location := http.StatusOK, ""
	if path == "/account" {
		status, location = http.StatusSeeOther, "/sign-in?return_to=%2Faccount"
	}
	before := a.insideCalls()
	try := func(what string, at int, cookies string) {
		got := knock(a.handler(), path, cookies)
		if got.StatusCode != status || got.Header.Get("Location") != location || path == "/" && got.body != "nobody" {
			t.Fatalf("%s at %d: got %d %q; want %d and nobody", what, at, got.StatusCode, got.body, status)
		}
	}
	for i := range len(cookies) {
		try("cut", i, cookies[:i])
		for bit := range 8 {
			if path == "/account" && bit != i%8 {
				continue // both ask the same question; one of them asks it in full
			}
			flipped := []byte(cookies)
			flipped[i] ^= 1 << bit
			if gorillaReads(string(flipped)) == gorillaReads(cookies) {
				continue
			}
			try("flip", i, string(flipped))
		}
	}
	if got := a.insideCalls(); got != before {
		t.Errorf("guarded handler: got %d calls; want none", got-before)
	}
}

// gorillaReads returns what a gorilla store makes of a cookie: its base64 takes
// no notice of the spare bits of the last letter, so it reads the same of two.
// What this package seals stands further in, and ends in no spare bits.
func gorillaReads(cookie string) string {
	name, value, _ := strings.Cut(cookie, "=")
	raw, err := base64.URLEncoding.DecodeString(value)
	if err != nil {
		return cookie
	}
	return name + "=" + string(raw)
}

func keysRotate(t *testing.T) {
	t.Parallel()
	first, second := []byte(strings.Repeat("1", 32)), []byte(strings.Repeat("2", 32))
	alice := signintest.Alice()
	a, clock := stoppedApp(t, with{
		provider: []signintest.Option{signintest.WithAccessTokenLifetime(month)},
		config:   func(c *signin.Config) { c.Keys = [][]byte{first} },
	})
	keys := func(keys ...[]byte) http.Handler { return a.again(func(c *signin.Config) { c.Keys = keys }) }
	old := a.signedIn(alice).session()
	comes(t, keys(first, second), old, alice)
	comes(t, keys(second, first), old, alice)
	a.nobodyComes(t, keys(second), old)

	clock.add(6 * time.Hour) // a session is written again now
	written := func(h http.Handler) string {
		for _, c := range knock(h, "/", old).Cookies() {
			if c.Name == "signin" {
				return c.Name + "=" + c.Value
			}
		}
		t.Fatal("last seen: got no cookie; want it written again")
		return ""
	}
	// The key that is added last only opens: replicas that do not know it yet
	// must open what the new ones seal.
	comes(t, keys(first), written(keys(first, second)), alice)
	renewed := written(keys(second, first))
	comes(t, keys(second), renewed, alice)
	a.nobodyComes(t, keys(first), renewed)
}

func twoCookies(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	a, clock := stoppedApp(t, with{})
	b := a.signedIn(large(alice, twoEach))
	a1, a2 := b.cookie("signin"), b.cookie("signin.2")
	other := a.signedIn(large(bob, twoEach))
	b1, b2 := other.cookie("signin"), other.cookie("signin.2")
	whole := a.signedIn(signintest.XUser()).cookie("signin")
	clock.add(time.Hour)
	b.get("/")
	n1, n2 := b.cookie("signin"), b.cookie("signin.2")
	if n1 == a1 || n2 == a2 || n2 == "" {
		t.Fatal("after an hour: got the same cookies; want a second generation of both")
	}
	for name, row := range map[string]struct{ cookies, want string }{ // $ stands for signin
		"in order":                               {"$=" + a1 + "; $.2=" + a2, alice.Subject},
		"in the other order":                     {"$.2=" + a2 + "; $=" + a1, alice.Subject},
		"on two header lines":                    {"$=" + a1 + "\n$.2=" + a2, alice.Subject},
		"numbers out of range beside it":         {"$.0=" + b2 + "; $=" + a1 + "; $.3=" + b2 + "; $.2=" + a2 + "; $.-1=" + b2 + "; $.1=" + b1 + "; $.02=" + b2, alice.Subject},
		"first part missing":                     {"$.2=" + a2, ""},
		"second part missing":                    {"$=" + a1, ""},
		"second part empty":                      {"$=" + a1 + "; $.2=", ""},
		"second part numbered 3":                 {"$=" + a1 + "; $.3=" + a2, ""},
		"parts exchanged":                        {"$=" + a2 + "; $.2=" + a1, ""},
		"second part doubled":                    {"$=" + a1 + "; $.2=" + a2 + "; $.2=" + a2, ""},
		"first part doubled":                     {"$=" + a1 + "; $=" + a1 + "; $.2=" + a2, ""},
		"first part doubled on two lines":        {"$=" + a1 + "; $.2=" + a2 + "\n$=" + a1, ""},
		"of two people":                          {"$=" + a1 + "; $.2=" + b2, ""},
		"of two generations":                     {"$=" + n1 + "; $.2=" + a2, ""},
		"of two generations, the other way":      {"$=" + a1 + "; $.2=" + n2, ""},
		"an attacker's second part first":        {"$=" + a1 + "; $.2=" + b2 + "; $.2=" + a2, ""},
		"an attacker's whole session first":      {"$=" + whole + "; $=" + a1 + "; $.2=" + a2, ""},
		"an attacker's whole session last":       {"$=" + a1 + "; $.2=" + a2 + "; $=" + whole, ""},
		"an attacker's, then one whole":          {"$=" + b1 + "; $.2=" + b2 + "; $=" + whole, ""},
		"a stale second part beside a whole one": {"$=" + whole + "; $.2=" + b2, signintest.XUser().Subject},
		"an empty one of the same name":          {"$=; $=" + whole, ""},
		"a bare name beside it":                  {"$; $=" + whole, ""},
	} {
		t.Run("5.5 "+name, func(t *testing.T) {
			cookies := strings.ReplaceAll(row.cookies, "$", "signin")
			if row.want == "" {
				a.nobodyComes(t, a.handler(), cookies)
				return
			}
			comes(t, a.handler(), cookies, signintest.User{Subject: row.want})
		})
	}
}

// claimsGrow finds the steps from outside: whether the ID token is whole shows
// in the hint that it makes at sign-out.
func claimsGrow(t *testing.T) {
	t.Parallel()
	alice := signintest.Alice()
	a := newApp(t, with{config: func(c *signin.Config) { c.Issuer, c.LogtoEndpoint = c.LogtoEndpoint+"/oidc", "" }})
	var steps []string
	for bytes := 3600; bytes < 4800; bytes += 50 {
		b := a.browser()
		step := "refused"
		if callback := b.signInAs(large(alice, bytes)); callback.StatusCode == http.StatusSeeOther {
			comes(t, a.handler(), b.session(), alice)
			step = "whole"
			if !strings.Contains(b.do(http.MethodPost, "/sign-out").Header.Get("Location"), "id_token_hint=") {
				step = "without signature"
			}
		}
		if len(steps) == 0 || steps[len(steps)-1] != step {
			steps = append(steps, step)
		}
	}
	if want := []string{"whole", "without signature", "refused"}; !slices.Equal(steps, want) {
		t.Errorf("steps: got %q; want %q", steps, want)
	}

	b := a.signedIn(signintest.Bob())
	refused := b.signInAs(large(alice, 16<<10))
	refused.want(t, http.StatusInternalServerError, "")
	wantCookies(t, "16 KB of claims", refused, false, "signin.tx.* cleared")
	if got := a.kinds(); got[len(got)-1] != signin.EventSignInFailed {
		t.Errorf("events: got %q last; want callback failed", got[len(got)-1])
	}
	comes(t, a.handler(), b.session(), signintest.Bob())
	for _, want := range []string{"session_too_large", `claims of 1\d{4} bytes, userinfo of 0 and a refresh token of \d+ do not fit cookies of 6399`, `Config\.Store`} {
		if !regexp.MustCompile(want).MatchString(a.log.String()) {
			t.Errorf("log: got none that says %q; want the sizes and the way out", want)
		}
	}
}

func longHeader(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	own := a.signedIn(signintest.Alice()).session()
	const size = 1 << 20
	noise := base64.RawURLEncoding.EncodeToString(make([]byte, size/4*3))
	for name, cookies := range map[string]string{
		"one session of 1 MB":       "signin=" + noise,
		"two parts of 1 MB":         "signin=." + noise[:size/2] + "; signin.2=" + noise[:size/2],
		"a million separators":      strings.Repeat(";", size),
		"one name, 100,000 times":   strings.Repeat("signin=x; ", size/10),
		"attempts without an end":   strings.Repeat("signin.tx.1=x; ", size/15),
		"a name without a value":    strings.Repeat("signin", size/6),
		"our own behind 1 MB of it": strings.Repeat("signin=x; ", size/10) + own,
	} {
		t.Run("5.6 "+name, func(t *testing.T) {
			began := time.Now()
			a.nobodyComes(t, a.handler(), cookies)
			// Milliseconds, and a hundred times that on a busy machine; what
			// this finds is work that grows with the square.
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took: got %v; want less than 2 s", took)
			}
		})
	}
}

func lifetimes(t *testing.T) {
	const second, day = time.Second, 24 * time.Hour
	alice := signintest.Alice().Subject
	type visit struct {
		at      time.Duration // since the sign-in
		want    string
		cookies []string
	}
	written := func(age int) []string { return []string{fmt.Sprint("signin ", age)} }
	cleared := []string{"signin cleared"}
	for name, row := range map[string]struct {
		idle   time.Duration
		visits []visit
		reason []string
	}{
		"idle: a second before":            {0, []visit{{day - second, alice, written(86400)}}, nil},
		"idle: at the second":              {0, []visit{{day, "nobody", cleared}}, []string{"idle"}},
		"idle: use is written at 6 hours":  {0, []visit{{6*time.Hour - second, alice, nil}, {6 * time.Hour, alice, written(86400)}, {6*time.Hour + second, alice, nil}}, nil},
		"idle: unwritten use adds nothing": {0, []visit{{6*time.Hour - second, alice, nil}, {day, "nobody", cleared}}, []string{"idle"}},
		"idle: counted from written use":   {0, []visit{{6 * time.Hour, alice, written(86400)}, {30*time.Hour - second, alice, written(86400)}}, nil},
		"idle: at the second after it":     {0, []visit{{6 * time.Hour, alice, written(86400)}, {30 * time.Hour, "nobody", cleared}}, []string{"idle"}},
		"lifetime: a second before":        {month, []visit{{14*day - second, alice, written(1)}}, nil},
		"lifetime: at the second":          {month, []visit{{14 * day, "nobody", cleared}}, []string{"lifetime"}},
		"lifetime: however much used":      {10 * day, []visit{{9 * day, alice, written(5 * 86400)}, {14 * day, "nobody", cleared}}, []string{"lifetime"}},
		"clock set back, and right again":  {0, []visit{{-time.Hour, alice, nil}, {-10 * day, alice, nil}, {time.Hour, alice, nil}, {day, "nobody", cleared}}, []string{"idle"}},
	} {
		t.Run("5.7 "+name, func(t *testing.T) {
			t.Parallel()
			a, clock := stoppedApp(t, with{
				provider: []signintest.Option{signintest.WithAccessTokenLifetime(20 * day)},
				config:   func(c *signin.Config) { c.IdleTimeout = row.idle },
			})
			b := a.signedIn(signintest.Alice())
			began := clock.now()
			for _, v := range row.visits {
				clock.add(v.at - clock.now().Sub(began))
				got := b.get("/")
				if got.StatusCode != http.StatusOK || got.body != v.want {
					t.Errorf("after %v: got %d %q; want 200 %s", v.at, got.StatusCode, got.body, v.want)
				}
				wantCookies(t, v.at.String(), got, false, v.cookies...)
			}
			if got := a.reasons(signin.EventSessionEnded); !slices.Equal(got, row.reason) {
				t.Errorf("events: got sessions ended for %q; want %q", got, row.reason)
			}
		})
	}
}

// twoAuths is staff and customers of one shop: one provider, one client, the
// same keys, and names of their own.
func twoAuths(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	a := newApp(t, with{config: func(c *signin.Config) { c.CookieName = "customers" }})
	cfg := a.cfg
	cfg.CookieName, cfg.Paths.SignIn, cfg.Paths.Callback, cfg.Paths.SignOut = "staff", "/staff/in", "/staff/callback", "/staff/out"
	staff, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.provider.RegisterRedirectURIs(a.server.URL + "/staff/callback")
	customers, page := a.auth, http.HandlerFunc(a.account)
	mux := a.handler().(*http.ServeMux)
	mux.Handle("/staff/in", staff.SignIn())
	mux.Handle("/staff/callback", staff.Callback())
	ours, theirs := a.signedIn(alice), a.browser()
	a.provider.Visit(t, theirs.follow(), a.server.URL+"/staff/in", bob)
	customer, worker := ours.session(), "staff="+theirs.cookie("staff")

	for name, row := range map[string]struct {
		h       http.Handler
		cookies string
		want    string // who comes; or where they are sent
	}{
		"a customer behind customers, then staff":         {customers.Load(staff.RequireAuth(page)), customer, "/staff/in"},
		"a customer behind a guard, then staff's":         {customers.RequireAuth(staff.RequireAuth(page)), customer, "/staff/in"},
		"a customer behind staff's guard, then customers": {staff.RequireAuth(customers.Load(page)), customer, "/staff/in"},
		"a worker behind staff, then customers":           {staff.Load(customers.RequireAuth(page)), worker, "/sign-in"},
		"a worker behind a guard, then customers'":        {staff.RequireAuth(customers.RequireAuth(page)), worker, "/sign-in"},
		"both, and the innermost speaks: customers":       {staff.RequireAuth(customers.RequireAuth(page)), customer + "; " + worker, alice.Subject},
		"both, and the innermost speaks: staff":           {customers.RequireAuth(staff.RequireAuth(page)), customer + "; " + worker, bob.Subject},
		"both, three deep":                                {customers.Load(staff.Load(customers.RequireAuth(page))), customer + "; " + worker, alice.Subject},
		"a customer inside Load of staff is nobody":       {customers.RequireAuth(staff.Load(page)), customer, "nobody"},
		"a customer's cookie renamed":                     {staff.RequireAuth(page), strings.Replace(customer, "customers=", "staff=", 1), "/staff/in"},
		"a worker's cookie renamed":                       {customers.RequireAuth(page), strings.Replace(worker, "staff=", "customers=", 1), "/sign-in"},
	} {
		t.Run("5.11 "+name, func(t *testing.T) {
			before := a.insideCalls()
			got := knock(row.h, "/account", row.cookies)
			if !strings.HasPrefix(row.want, "/") {
				if got.StatusCode != http.StatusOK || got.body != row.want {
					t.Errorf("got %d %q; want 200 %s", got.StatusCode, got.body, row.want)
				}
				return
			}
			got.want(t, http.StatusSeeOther, row.want)
			if a.insideCalls() != before {
				t.Error("guarded handler: got a call; want none")
			}
		})
	}
	t.Run("5.11 a transaction of one Auth is no good for the other", func(t *testing.T) {
		begun := ours.get("/sign-in")
		tx := begun.Cookies()[0]
		state := strings.TrimPrefix(tx.Name, "customers.tx.")
		// Both under the other's name: the session that stands, and the attempt.
		renamed := worker + "; staff.tx." + state + "=" + tx.Value
		got := knock(staff.Callback(), "/staff/callback?code=x&state="+state, renamed)
		got.want(t, http.StatusBadRequest, "")
		wantCookies(t, "callback", got, false)
		if n := a.provider.Stats().Exchanges; n != 2 {
			t.Errorf("token requests: got %d; want the two of the sign-ins", n)
		}
		comes(t, staff.RequireAuth(page), worker, bob)
	})
}

// storesWork is a session's whole life in every store, and what happens at the
// store's own limit.
func storesWork(t *testing.T) {
	alice, bob := signintest.Alice(), signintest.Bob()
	for name, store := range everyStore() {
		t.Run("5.10 a whole session in "+name, func(t *testing.T) {
			t.Parallel()
			a, clock := stoppedApp(t, with{config: store(t.TempDir())})
			b := a.browser()
			wantCookies(t, "signed in", b.signInAs(alice), false, "signin 86400", "signin.tx.* cleared")
			comes(t, a.handler(), b.session(), alice)
			clock.add(time.Hour)
			wantCookies(t, "refreshed", b.get("/account"), false, "signin 86400")
			comes(t, a.handler(), b.session(), alice)
			copied := b.session()
			out := b.do(http.MethodPost, "/sign-out")
			out.want(t, http.StatusSeeOther, a.provider.URL)
			wantCookies(t, "signed out", out, false, "signin cleared")
			a.nobodyComes(t, a.handler(), b.session())
			a.nobodyComes(t, a.handler(), copied)
		})
	}
	key := []byte(strings.Repeat("k", 32))
	for name, store := range map[string]sessions.Store{
		"CookieStore":     sessions.NewCookieStore(key),
		"FilesystemStore": sessions.NewFilesystemStore(t.TempDir(), key), // its limit is 4,096 bytes unless raised
	} {
		t.Run("5.10 a session beyond the limit of "+name+" is a clear error", func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: func(c *signin.Config) { c.Store = store }})
			b := a.signedIn(bob)
			refused := b.signInAs(large(alice, twoEach))
			refused.want(t, http.StatusInternalServerError, "")
			if want := "Your account carries more information than this application can keep"; !strings.Contains(refused.body, want) {
				t.Errorf("page: got %q; want one that says %q", refused.body, want)
			}
			wantCookies(t, "refused", refused, false, "signin.tx.* cleared")
			comes(t, a.handler(), b.session(), bob)
			if got := a.log.String(); !strings.Contains(got, "session_too_large") || !strings.Contains(got, " bytes") {
				t.Error("log: got none that says session_too_large and how many bytes; want one")
			}
		})
	}
	t.Run("5.10 a server-side store takes 16 KB of claims", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{config: everyStore()["FilesystemStore"](t.TempDir())})
		comes(t, a.handler(), a.signedIn(large(alice, 16<<10)).session(), alice)
	})
	t.Run("5.1 a planted store cookie without a sign-in reads nothing afterwards", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		store := sessions.NewFilesystemStore(dir, key)
		w := httptest.NewRecorder()
		empty := sessions.NewSession(store, "signin")
		empty.Options, empty.Values["cart"] = &sessions.Options{MaxAge: 3600}, "full"
		if err := store.Save(httptest.NewRequest(http.MethodGet, "/", nil), w, empty); err != nil {
			t.Fatal(err)
		}
		a := newApp(t, with{config: func(c *signin.Config) { c.Store = store }})
		victim := a.browser()
		victim.plant(w.Result().Cookies()...)
		planted := victim.session()
		victim.signInAs(alice)
		comes(t, a.handler(), victim.session(), alice)
		a.nobodyComes(t, a.handler(), planted)
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
			t.Errorf("files: got %d; want one, that of the new session", len(files))
		}
	})
}

// plant puts cookies into a browser.
func (b *browser) plant(cookies ...*http.Cookie) {
	u, _ := url.Parse(b.app.server.URL)
	b.Jar.SetCookies(u, cookies)
}

// noTokens looks through everything that leaves the process: cookies, files and
// shared state.
func noTokens(t *testing.T) {
	zipped := new(bytes.Buffer)
	w := gzip.NewWriter(zipped)
	_, _ = io.WriteString(w, `{"token":"`+base64.StdEncoding.EncodeToString([]byte("the-refresh-token"))+`"}`)
	_ = w.Close()
	t.Run("5.12 the search finds a token that is there", func(t *testing.T) {
		t.Parallel()
		cookie := "signin=" + base64.URLEncoding.EncodeToString([]byte("1700000000|"+base64.RawURLEncoding.EncodeToString(zipped.Bytes())+"|mac"))
		if !holds([]byte(cookie), []string{"the-refresh-token"}, 6) {
			t.Error("got nothing in base64 of gzip of base64; want it found")
		}
	})
	for name, store := range everyStore() {
		t.Run("5.12 no token is to be found, sessions in "+name, func(t *testing.T) {
			t.Parallel()
			shared, dir := new(mapState), t.TempDir()
			a, clock := stoppedApp(t, with{
				provider: []signintest.Option{signintest.WithRefreshRotation()},
				config: func(c *signin.Config) {
					c.Shared = shared
					store(dir)(c)
				},
			})
			b := a.browser()
			var seen bytes.Buffer
			look := func(answer answer) {
				_ = answer.Header.Write(&seen)
				seen.WriteString("\n" + b.session() + "\n")
				files, _ := filepath.Glob(filepath.Join(dir, "*"))
				for _, file := range files {
					content, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					seen.Write(append(content, '\n'))
				}
			}
			look(b.signInAs(signintest.Alice()))
			clock.add(time.Hour)
			look(b.get("/account"))
			clock.add(time.Hour)
			look(b.get("/account"))
			look(b.do(http.MethodPost, "/sign-out"))
			for key, value := range shared.ever() {
				fmt.Fprintf(&seen, "%s %s\n", key, value)
			}
			if holds(seen.Bytes(), tokenParts(a.provider.Secrets()), 6) {
				t.Error("got a token in what leaves the process; want none")
			}
		})
	}
}

// tokenParts adds to tokens the parts of those that are JWTs, decoded.
func tokenParts(all []string) []string {
	for _, token := range slices.Clone(all) {
		if parts := strings.Split(token, "."); len(parts) == 3 {
			for _, part := range parts[1:] {
				raw, _ := base64.RawURLEncoding.DecodeString(part)
				all = append(all, part, string(raw))
			}
		}
	}
	return all
}

var base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}`)

// holds reports whether data holds one of the secrets, as it is or below layers
// of base64 and gzip.
func holds(data []byte, secrets []string, depth int) bool {
	for _, secret := range secrets {
		if bytes.Contains(data, []byte(secret)) {
			return true
		}
	}
	if depth == 0 {
		return false
	}
	for at := range data {
		if !bytes.HasPrefix(data[at:], []byte{0x1f, 0x8b}) {
			continue
		}
		if r, err := gzip.NewReader(bytes.NewReader(data[at:])); err == nil {
			if plain, _ := io.ReadAll(r); len(plain) > 0 && holds(plain, secrets, depth-1) {
				return true
			}
		}
	}
	for _, run := range base64Run.FindAll(data, -1) {
		for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
			// What was decoded before an error counts as well.
			plain := make([]byte, enc.DecodedLen(len(run)))
			n, _ := enc.Decode(plain, run)
			if n > 0 && holds(plain[:n], secrets, depth-1) {
				return true
			}
		}
	}
	return false
}
