package acceptance_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
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

// The headers by which a browser tells who sent it here, and for what.
var (
	linkHere  = []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	linkThere = []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
)

func but(headers []string, more ...string) []string { return append(slices.Clone(headers), more...) }

// leave sends a request to the sign-out route of an application that stands
// behind host.
func (b *browser) leave(method, host string, header ...string) answer {
	b.app.t.Helper()
	r, err := http.NewRequest(method, b.app.server.URL+"/sign-out", nil)
	if err != nil {
		b.app.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	if host == "" {
		return b.send(r)
	}
	// net/http's client looks for the cookies of Host; a proxy is behind them.
	r.Host = host
	r.Header.Set("Cookie", b.session())
	proxied := *b.Client
	proxied.Jar = nil
	return (&browser{&proxied, b.app}).send(r)
}

func TestCasesSignOut(t *testing.T) {
	t.Parallel()
	nothingEnds(t)
	itEnds(t)
	providerTrouble(t)
	incomplete(t)
	t.Run("5.8 a cookie copied before the sign-out is dead, and a new sign-in works", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		elsewhere := a.signedIn(signintest.Alice()).session()
		zero := b.session()
		clock.add(time.Hour)
		b.get("/")
		one := b.session()
		b.leave(http.MethodPost, "")
		wantCookies(t, "the copy", knock(a.handler(), "/", one), false, "signin cleared")
		if got := a.reasons(signin.EventSessionEnded); !slices.Equal(got, []string{"signed_out"}) {
			t.Errorf("events: got sessions ended for %q; want signed_out", got)
		}
		for range 2 {
			a.nobodyComes(t, a.handler(), one)
			a.nobodyComes(t, a.handler(), zero)
		}
		comes(t, a.handler(), elsewhere, signintest.Alice())
		b.signInAs(signintest.Alice())
		comes(t, a.handler(), b.session(), signintest.Alice())
		clock.add(time.Hour)
		comes(t, a.handler(), b.session(), signintest.Alice())
		a.nobodyComes(t, a.handler(), one)
	})
}

var button = regexp.MustCompile(`<form method="post" action="([^"]*)"><button>Sign out</button></form>`)

// nothingEnds is whatever another site, a mail or the browser by itself may send.
func nothingEnds(t *testing.T) {
	const page, refused = http.StatusOK, http.StatusForbidden
	image := []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}
	for name, row := range map[string]struct {
		method string
		header []string
		status int
	}{
		"an image on another site":                {"GET", image, page},
		"an image on a page of our own":           {"GET", but(image, "Sec-Fetch-Site: same-origin"), page},
		"a frame on a page of our own":            {"GET", but(linkHere, "Sec-Fetch-Dest: iframe"), page},
		"a fetch from a page of our own":          {"GET", but(linkHere, "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), page},
		"a link on another site":                  {"GET", linkThere, page},
		"a link on a sibling domain":              {"GET", but(linkHere, "Sec-Fetch-Site: same-site"), page},
		"a link in a mail":                        {"GET", but(linkHere, "Sec-Fetch-Site: none"), page},
		"a link, and a browser that says nothing": {"GET", nil, page},
		"a prefetch from a page of our own":       {"GET", but(linkHere, "Sec-Purpose: prefetch"), page},
		"a prerender from a page of our own":      {"GET", but(linkHere, "Sec-Purpose: prefetch;prerender"), page},
		"an older browser's prefetch":             {"GET", but(linkHere, "Purpose: prefetch"), page},
		"an older Firefox's prefetch":             {"GET", but(linkHere, "X-Moz: prefetch"), page},
		"a HEAD from a page of our own":           {"HEAD", linkHere, page},
		"a form on another site":                  {"POST", but(linkThere, "Origin: https://other.example"), refused},
		"a form on a sibling domain":              {"POST", but(linkHere, "Sec-Fetch-Site: same-site", "Origin: https://sibling.example"), refused},
		"a form, and a browser with Origin only":  {"POST", []string{"Origin: https://other.example"}, refused},
		"a form in a sandboxed frame":             {"POST", []string{"Origin: null"}, refused},
		"another method":                          {"DELETE", linkHere, http.StatusMethodNotAllowed},
	} {
		t.Run("8.1 nothing ends: "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			b := a.signedIn(signintest.Alice())
			got := b.leave(row.method, "", row.header...)
			got.want(t, row.status, "")
			wantCookies(t, "answer", got, false)
			if csp := got.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || got.Header.Get("Cache-Control") != "private, no-store" {
				t.Errorf("headers: got %q, %q; want a page that is not framed, nor kept", csp, got.Header.Get("Cache-Control"))
			}
			comes(t, a.handler(), b.session(), signintest.Alice())
			if kinds, s := a.kinds(), a.provider.Stats(); slices.Contains(kinds, signin.EventSignedOut) || s.Revocations != 0 {
				t.Errorf("got events %q and %d revocations; want nothing to end", kinds, s.Revocations)
			}
			if row.method == "HEAD" || row.method == "DELETE" {
				return
			}
			form := button.FindStringSubmatch(got.body)
			if form == nil || form[1] != "/sign-out" {
				t.Fatalf("page: got %q; want one with a button that posts to /sign-out", form)
			}
			b.leave(http.MethodPost, "", but(linkHere, "Origin: "+a.server.URL)...).want(t, http.StatusSeeOther, a.provider.URL)
			a.nobodyComes(t, a.handler(), b.session())
		})
	}
}

// itEnds is what a page of the application sends, also where a proxy has written
// another Host into it.
func itEnds(t *testing.T) {
	for name, row := range map[string]struct {
		method, host string
		header       []string
		origin       bool // with Origin, that of BaseURL
	}{
		"a link":   {"GET", "", linkHere, false},
		"a button": {"POST", "", linkHere, true},
		"a button, and a browser with Origin only": {"POST", "", nil, true},
		"a program that sends neither":             {"POST", "", nil, false},
		"a button that is sent again":              {"POST", "", but(linkHere, "Sec-Fetch-Site: none"), true},
		"a link behind a proxy":                    {"GET", "internal:8080", linkHere, false},
		"a button behind a proxy":                  {"POST", "internal:8080", linkHere, true},
		"a button behind a proxy, Origin only":     {"POST", "internal:8080", nil, true},
		"a link to a host of other letters":        {"GET", "Internal", linkHere, false},
	} {
		t.Run("8.1 it ends: "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			b := a.signedIn(signintest.Alice())
			copied, header := b.session(), row.header
			if row.origin {
				header = but(header, "Origin: "+a.server.URL)
			}
			got := b.leave(row.method, row.host, header...)
			a.ended(t, got, copied)
			q := url.Values{"client_id": {a.cfg.ClientID}, "post_logout_redirect_uri": {a.server.URL + "/"}}
			if want := a.provider.URL + "/oidc/session/end?" + q.Encode(); got.Header.Get("Location") != want {
				t.Errorf("Location: got %q; want %q", got.Header.Get("Location"), want)
			}
			if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
				t.Errorf("refresh tokens: got %d alive; want none", n)
			}
			a.back(t, b, got)
		})
	}
	t.Run("8.1 it ends, and any other provider gets the hint it needs", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{config: otherProvider})
		b := a.signedIn(signintest.Alice())
		copied := b.session()
		got := b.leave(http.MethodPost, "")
		a.ended(t, got, copied)
		location, _ := got.Location()
		if hint := location.Query().Get("id_token_hint"); !slices.Contains(a.provider.Secrets(), hint) {
			t.Error("id_token_hint: got none; want the ID token")
		}
		a.back(t, b, got)
	})
	t.Run("8.1 who is not signed in is taken out all the same", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		b := a.browser()
		got := b.leave(http.MethodPost, "")
		got.want(t, http.StatusSeeOther, a.provider.URL)
		wantCookies(t, "signed out", got, false, "signin cleared")
		if kinds := a.kinds(); len(kinds) != 0 {
			t.Errorf("events: got %q; want none", kinds)
		}
	})
}

// ended checks that the local session is over, in this browser and in copies.
func (a *app) ended(t *testing.T, got answer, copied string) {
	t.Helper()
	if got.StatusCode != http.StatusSeeOther {
		t.Errorf("status: got %d; want 303", got.StatusCode)
	}
	wantCookies(t, "signed out", got, false, "signin cleared")
	a.mu.Lock()
	last := a.events[len(a.events)-1]
	a.mu.Unlock()
	if last.Kind != signin.EventSignedOut || last.Subject != signintest.Alice().Subject || last.ProviderSessionID == "" {
		t.Errorf("events: got %+v last; want signed out, with Alice's subject and session", last)
	}
	a.nobodyComes(t, a.handler(), copied)
}

// back follows where a sign-out leads, as a browser does: to the application.
func (a *app) back(t *testing.T, b *browser, out answer) {
	t.Helper()
	location, err := out.Location()
	if err != nil {
		t.Fatalf("Location: %v", err)
	}
	resp, err := b.follow().Get(location.String())
	if err != nil {
		t.Errorf("after the sign-out: got error %v; want the application", err)
		return
	}
	defer resp.Body.Close()
	if got, _, _ := strings.Cut(resp.Request.URL.String(), "?"); got != a.server.URL+"/" || resp.StatusCode != http.StatusOK {
		t.Errorf("after the sign-out: got %d at %s; want 200 at the application", resp.StatusCode, got)
	}
	if got := b.who(); got != "nobody" {
		t.Errorf("after the sign-out: got %q; want nobody", got)
	}
}

// providerTrouble is a provider that does not play its part in a sign-out.
func providerTrouble(t *testing.T) {
	for name, row := range map[string]struct {
		before, fault signintest.Fault // from the beginning, and from the sign-out on
		down          bool
		alive         int // refresh tokens that are left
	}{
		"the provider is down":            {down: true, alive: 1},
		"no end_session_endpoint":         {before: faults.DiscoveryNoEndSession},
		"no revocation_endpoint":          {before: faults.DiscoveryNoRevocation, alive: 1},
		"revocation fails":                {fault: faults.Revocation500, alive: 1},
		"revocation redirects":            {fault: faults.RevocationRedirect, alive: 1},
		"revocation hangs":                {fault: faults.RevocationHang, alive: 1},
		"another state comes back":        {fault: faults.EndSessionStateWrong},
		"no state comes back":             {fault: faults.EndSessionStateMissing},
		"discovery fails from now on":     {fault: faults.Discovery500},
		"the provider's keys are no more": {fault: faults.Keys500},
	} {
		t.Run("8.2 ended and back in the application: "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			if row.before != "" {
				a.provider.Inject(row.before)
			}
			b := a.signedIn(signintest.Alice())
			copied := b.session()
			if row.fault != "" {
				a.provider.Inject(row.fault)
			}
			if row.down {
				a.provider.Down()
			}
			began := time.Now()
			got := b.leave(http.MethodPost, "")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took: got %v; want the three seconds that revocation may take", took)
			}
			if n := a.provider.Stats().Revocations; n > 1 {
				t.Errorf("revocations: got %d; want one, and no redirect followed with a secret", n)
			}
			a.ended(t, got, copied)
			a.back(t, b, got)
			a.provider.Up()
			if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != row.alive {
				t.Errorf("refresh tokens: got %d alive; want %d", n, row.alive)
			}
			failed := row.fault == faults.Revocation500 || row.fault == faults.RevocationHang || row.fault == faults.RevocationRedirect || row.down
			if got := strings.Contains(a.log.String(), "could not be revoked"); got != failed {
				t.Errorf("log: got %t for a revocation that failed; want %t", got, failed)
			}
		})
	}
	t.Run("8.2 ended and back in the application: the provider is down since this process began", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		b := a.signedIn(signintest.Alice())
		a.provider.Down()
		h := a.again(func(*signin.Config) {})
		comes(t, h, b.session(), signintest.Alice())
		got := signOutWith(h, b.session())
		got.want(t, http.StatusSeeOther, "/")
		wantCookies(t, "signed out", got, false, "signin cleared")
		a.nobodyComes(t, h, b.session())
	})
	t.Run("8.2 the local session ends before the provider is asked", func(t *testing.T) {
		t.Parallel()
		revoking := &held{begun: make(chan struct{}), released: make(chan struct{})}
		a := newApp(t, with{config: func(c *signin.Config) { c.HTTPClient = &http.Client{Transport: revoking} }})
		copied := a.signedIn(signintest.Alice()).session()
		done := make(chan answer)
		go func() { done <- signOutWith(a.handler(), copied) }()
		<-revoking.begun
		a.nobodyComes(t, a.handler(), copied)
		close(revoking.released)
		wantCookies(t, "signed out", <-done, false, "signin cleared")
	})
}

// held is a transport on which the first revocation waits.
type held struct {
	begun, released chan struct{}
	met             atomic.Bool
}

func (h *held) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/revocation") {
		if h.met.CompareAndSwap(false, true) {
			close(h.begun)
			<-h.released
		}
	}
	return ownTransport.RoundTrip(r)
}

// moody is a store that fails where a test says so.
type moody struct {
	sessions.Store
	mu   sync.Mutex
	fail string // "new", "save", "delete", or none
}

func (m *moody) fails(op string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == op {
		return errOnPurpose
	}
	return nil
}

func (m *moody) set(fail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *moody) New(r *http.Request, name string) (*sessions.Session, error) {
	if err := m.fails("new"); err != nil {
		return sessions.NewSession(m, name), err
	}
	return m.Store.New(r, name)
}

func (m *moody) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	op := "save"
	if s.Options.MaxAge < 0 {
		op = "delete"
	}
	if err := m.fails(op); err != nil {
		return err
	}
	return m.Store.Save(r, w, s)
}

// fragile is an application whose store and shared state fail on demand: fail
// takes "store new" or "shared get" and the like; "" ends it.
func fragile(t *testing.T) (a *app, clock *stopped, fail func(what string)) {
	t.Helper()
	store := &moody{}
	a, clock, shared := refreshing(t, func(c *signin.Config) {
		everyStore()["FilesystemStore"](t.TempDir())(c)
		store.Store = c.Store
		c.Store = store
	}, signintest.WithAccessTokenLifetime(month))
	return a, clock, func(what string) {
		where, op, _ := strings.Cut(what, " ")
		store.set("")
		shared.before(nil)
		switch where {
		case "store":
			store.set(op)
		case "shared":
			shared.before(func(got, _ string) error {
				if got == op || op == "all" {
					return errOnPurpose
				}
				return nil
			})
		}
	}
}

func TestCasesBroken(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	codes := map[string]string{"store": "store_unavailable", "shared": "shared_unavailable"}
	for _, what := range []string{"store new", "shared get", "shared all"} {
		t.Run("5.9 a request is neither let in nor signed out: "+what, func(t *testing.T) {
			t.Parallel()
			a, _, fail := fragile(t)
			b := a.signedIn(alice)
			before := a.insideCalls()
			fail(what)
			for _, path := range []string{"/", "/account"} {
				got := b.get(path)
				got.want(t, http.StatusServiceUnavailable, "")
				wantCookies(t, path, got, false)
				if !strings.Contains(got.body, "We cannot look up your session right now") || got.Header.Get("Cache-Control") != "private, no-store" {
					t.Errorf("%s: got %q, Cache-Control %q; want the page, not kept", path, got.body, got.Header.Get("Cache-Control"))
				}
			}
			where, _, _ := strings.Cut(what, " ")
			problem := b.get("/account", "Accept: application/json")
			problem.want(t, http.StatusServiceUnavailable, "")
			if got := problem.Header.Get("Content-Type"); got != "application/problem+json" || !strings.Contains(problem.body, codes[where]) {
				t.Errorf("a program: got %s %s; want a problem that says %s", got, problem.body, codes[where])
			}
			if n := strings.Count(a.log.String(), "code="+codes[where]); n != 3 || a.insideCalls() != before {
				t.Errorf("got %d log records and %d calls of the guarded handler; want 3 and none", n, a.insideCalls()-before)
			}
			fail("")
			comes(t, a.handler(), b.session(), alice)
		})
	}
	t.Run("5.9 shared state that gives too few values is down", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		b := a.signedIn(alice)
		knock(a.again(func(c *signin.Config) { c.Shared = forgetful{} }), "/account", b.session()).want(t, http.StatusServiceUnavailable, "")
		b.get("/account").want(t, http.StatusOK, "")
	})
	for _, what := range []string{"shared get", "shared all"} {
		t.Run("5.9 a sign-in does not begin that could not be completed: "+what, func(t *testing.T) {
			t.Parallel()
			a, _, fail := fragile(t)
			b := a.signedIn(bob)
			fail(what)
			asked := a.provider.Stats().Authorizations
			got := b.get("/sign-in")
			got.want(t, http.StatusServiceUnavailable, "")
			wantCookies(t, "sign-in", got, false)
			if n := a.provider.Stats().Authorizations - asked; n != 0 {
				t.Errorf("the provider was asked %d times; want never", n)
			}
			fail("")
			comes(t, a.handler(), b.session(), bob)
		})
	}
	for _, what := range []string{"store new", "store save", "shared get", "shared add", "shared set", "shared all"} {
		t.Run("5.9 nobody is signed in, and who was still is: "+what, func(t *testing.T) {
			t.Parallel()
			a, _, fail := fragile(t)
			b := a.signedIn(bob)
			old := b.session()
			got := b.signInWhile(alice, func() { fail(what) })
			got.want(t, http.StatusServiceUnavailable, "")
			for _, c := range setCookies(t, got, false) {
				if c != "signin.tx.* cleared" {
					t.Errorf("callback: got cookie %q; want none but the attempt's, cleared", c)
				}
			}
			if kinds := a.kinds(); !slices.Equal(kinds, []signin.EventKind{signin.EventSignedIn, signin.EventSignInFailed}) {
				t.Errorf("events: got %q; want Bob signed in, Alice's callback failed", kinds)
			}
			fail("")
			if b.session() != old {
				t.Error("cookie: got another; want Bob's")
			}
			comes(t, a.handler(), b.session(), bob)
		})
	}
	for _, what := range []string{"store save", "store new"} {
		t.Run("5.9 use that cannot be written signs nobody out: "+what, func(t *testing.T) {
			t.Parallel()
			a, clock, fail := fragile(t)
			b := a.signedIn(alice)
			clock.add(6 * time.Hour)
			fail(what)
			got := b.get("/account")
			got.want(t, http.StatusServiceUnavailable, "")
			wantCookies(t, "unwritten", got, false)
			fail("")
			comes(t, a.handler(), b.session(), alice)
		})
	}
	key := []byte(strings.Repeat("k", 32))
	for name, value := range map[string]string{
		"no base64":             "%%%",
		"another key's":         signedBy([]byte(strings.Repeat("o", 32))),
		"a session that is not": signedBy(key), // of a FilesystemStore: its file is gone
		"5,000 bytes":           strings.Repeat("x", 5000),
		"nothing":               "",
	} {
		for store, config := range everyStore() {
			t.Run("5.9 a forged cookie is no error of the store: "+name+", "+store, func(t *testing.T) {
				t.Parallel()
				a := newApp(t, with{config: config(t.TempDir())})
				a.nobodyComes(t, a.handler(), "signin="+value)
				b := a.browser()
				b.plant(&http.Cookie{Name: "signin", Value: value, Path: "/"})
				b.signInAs(alice).want(t, http.StatusSeeOther, "/")
				comes(t, a.handler(), b.session(), alice)
				if out := signOutWith(a.handler(), "signin="+value); out.StatusCode != http.StatusSeeOther {
					t.Errorf("sign-out with it: got %d; want 303", out.StatusCode)
				}
			})
		}
	}
}

// signedBy is a cookie of a FilesystemStore with some key, for a session that
// has no file.
func signedBy(key []byte) string {
	value, err := sessions.NewFilesystemStore("", key).Codecs[0].Encode("signin", strings.Repeat("A", 52))
	if err != nil {
		panic(err)
	}
	return value
}

// forgetful is shared state that breaks its contract.
type forgetful struct{ signin.SharedState }

func (forgetful) Get(context.Context, ...string) ([][]byte, error) { return nil, nil }

// incomplete is a sign-out that cannot be written down everywhere.
func incomplete(t *testing.T) {
	for _, row := range []struct {
		what      string
		copyEnds  bool // somebody else's copy of the cookie is dead
		tokenEnds bool
	}{
		{"shared set", false, true},
		{"shared all", false, true},
		{"store delete", true, true},
		{"store new", false, false}, // nobody knows whose session it is
	} {
		t.Run("8.2 this browser is signed out, and the page says that copies may live on: "+row.what, func(t *testing.T) {
			t.Parallel()
			a, _, fail := fragile(t)
			b := a.signedIn(signintest.Alice())
			copied := b.session()
			fail(row.what)
			got := b.leave(http.MethodPost, "")
			got.want(t, http.StatusServiceUnavailable, "")
			wantCookies(t, "signed out", got, false, "signin cleared")
			if !strings.Contains(got.body, "You are signed out in this browser only") || !strings.Contains(a.log.String(), "code=sign_out_incomplete") {
				t.Errorf("page: got %q; want one that says so, and a log record", got.body)
			}
			if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); (n == 0) != row.tokenEnds {
				t.Errorf("refresh tokens: got %d alive; want none: %t", n, row.tokenEnds)
			}
			fail("")
			if got := b.who(); got != "nobody" {
				t.Errorf("this browser: got %q; want nobody", got)
			}
			if row.copyEnds {
				a.nobodyComes(t, a.handler(), copied)
			}
		})
	}
	t.Run("8.2 BeginSignOut tells its caller", func(t *testing.T) {
		t.Parallel()
		a, _, fail := fragile(t)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", a.signedIn(signintest.Alice()).session())
		fail("shared set")
		w := httptest.NewRecorder()
		location, err := a.auth.BeginSignOut(w, r)
		if location != "" || !errors.Is(err, signin.ErrSignOutIncomplete) {
			t.Errorf("got %q, error %v; want ErrSignOutIncomplete", location, err)
		}
		wantCookies(t, "signed out", answer{w.Result(), ""}, false, "signin cleared")
		fail("")
		w = httptest.NewRecorder()
		location, err = a.auth.BeginSignOut(w, r)
		if !strings.HasPrefix(location, a.provider.URL) || err != nil {
			t.Errorf("got %q, error %v; want the provider's end-session endpoint", location, err)
		}
		wantCookies(t, "signed out", answer{w.Result(), ""}, false, "signin cleared")
	})
}

// Whoever clicks and closes the tab is signed out nonetheless.
func TestASignOutDoesNotWaitForThePerson(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Shared = obedient{new(mapState)} }})
	b := a.signedIn(signintest.Alice())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest("POST", "/sign-out", nil).WithContext(gone)
	r.Header["Cookie"] = []string{b.session()}
	a.handler().ServeHTTP(httptest.NewRecorder(), r)
	if got := b.who(); got != "nobody" {
		t.Errorf("got %q; want the session ended", got)
	}
}

// obedient is shared state that heeds contexts, as one across a network does.
type obedient struct{ *mapState }

func (o obedient) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return o.mapState.Set(ctx, key, value, ttl)
}
