package acceptance_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// The headers by which a browser says where a link was, and what the answer is
// for.
var (
	linkHere  = []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	linkThere = []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
)

func but(headers []string, more ...string) []string { return append(slices.Clone(headers), more...) }

var button = regexp.MustCompile(`<form method="post" action="([^"]*)"><button>Sign out</button></form>`)

// Requests that another site, a mail, or the browser by itself may cause do not
// end the session. Package requestkind tests more of them.
func TestSignOut_NothingEnds(t *testing.T) {
	t.Parallel()
	const page, refused = http.StatusOK, http.StatusForbidden
	for name, row := range map[string]struct {
		method string
		header []string
		status int
	}{
		"a link on another site":                 {"GET", linkThere, page},
		"an image on a page of our own":          {"GET", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, page},
		"a HEAD from a page of our own":          {"HEAD", linkHere, page},
		"a form on another site":                 {"POST", but(linkThere, "Origin: https://other.example"), refused},
		"a form, and a browser with Origin only": {"POST", []string{"Origin: https://other.example"}, refused},
		"another method":                         {"DELETE", linkHere, http.StatusMethodNotAllowed},
	} {
		t.Run("8.1 nothing ends: "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			b := a.signedIn(signintest.Alice())
			got := b.leave(row.method, "", row.header...)
			got.want(t, row.status, "")
			wantCookies(t, "answer", got, false)
			csp, caching := got.Header.Get("Content-Security-Policy"), got.Header.Get("Cache-Control")
			if !strings.Contains(csp, "frame-ancestors 'none'") || caching != "private, no-store" {
				t.Errorf("headers: got %q, %q; want a page that cannot be framed or stored", csp, caching)
			}
			wantSignedIn(t, a.handler(), b.session(), signintest.Alice())
			if kinds, s := a.kinds(), a.provider.Stats(); slices.Contains(kinds, signin.EventSignedOut) || s.Revocations != 0 {
				t.Errorf("got events %q and %d revocations; want nothing to end", kinds, s.Revocations)
			}
			if row.method == "HEAD" || row.method == "DELETE" {
				return
			}
			if form := button.FindStringSubmatch(got.body); form == nil || form[1] != "/sign-out" {
				t.Fatalf("page: got %q; want one with a button that posts to /sign-out", form)
			}
			b.leave(http.MethodPost, "", but(linkHere, "Origin: "+a.server.URL)...).want(t, http.StatusSeeOther, a.provider.URL)
			a.wantSignedOut(t, a.handler(), b.session())
		})
	}
}

// A request from a page of the application ends the session, even behind a proxy
// that changes its Host.
func TestSignOut_ItEnds(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		method, host string
		header       []string // in which APP is the application
		config       func(*signin.Config)
	}{
		"a link": {"GET", "", linkHere, nil},
		"a link, at a provider that is not Logto": {"GET", "", linkHere, otherProvider},
		"a program that sends no such header":     {"POST", "", nil, nil},
		"a link behind a proxy":                   {"GET", "internal:8080", linkHere, nil},
		"a button behind a proxy, Origin only":    {"POST", "internal:8080", []string{"Origin: APP"}, nil},
	} {
		t.Run("8.1 it ends: "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: row.config})
			b := a.signedIn(signintest.Alice())
			copied := b.session()
			var header []string
			for _, line := range row.header {
				header = append(header, strings.Replace(line, "APP", a.server.URL, 1))
			}
			got := b.leave(row.method, row.host, header...)
			a.ended(t, got, copied)
			location, _ := got.Location()
			q := location.Query()
			if hint := q.Get("id_token_hint"); (row.config == nil) != (hint == "") || hint != "" && !slices.Contains(a.provider.Secrets(), hint) {
				t.Errorf("id_token_hint: got %.12q; want the ID token where the provider is not Logto", hint)
			}
			q.Del("id_token_hint")
			want := url.Values{"client_id": {a.cfg.ClientID}, "post_logout_redirect_uri": {a.server.URL + "/"}}
			if location.Path != "/oidc/session/end" || q.Encode() != want.Encode() {
				t.Errorf("Location: got %q; want the end-session endpoint, with %v", location, want)
			}
			if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
				t.Errorf("refresh tokens: got %d alive; want none", n)
			}
			a.back(t, b, got)
		})
	}
	t.Run("8.1 a user who is not signed in is sent to the provider too", func(t *testing.T) {
		t.Parallel()
		a, _, shared := refreshing(t, nil)
		got := a.browser().leave(http.MethodPost, "")
		got.want(t, http.StatusSeeOther, a.provider.URL)
		wantCookies(t, "signed out", got, false, "signin cleared")
		if len(a.kinds()) != 0 || len(shared.ever()) != 0 {
			t.Errorf("got events %q, %d entries in shared state; want none", a.kinds(), len(shared.ever()))
		}
	})
}

// ended checks that the local session has ended, in this browser and in copies.
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
	a.wantSignedOut(t, a.handler(), copied)
}

// back follows the redirects of a sign-out, as a browser does, and checks that
// they lead to the application.
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
	if got := b.who(); got != notSignedIn {
		t.Errorf("after the sign-out: got %q; want no user signed in", got)
	}
}

// The local session ends even if the provider fails.
func TestSignOut_ProviderTrouble(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		before, fault signintest.Fault // from the beginning, and from the sign-out on
		down, anew    bool             // the provider is down, and the application has restarted since
		transport     http.RoundTripper
		alive         int // refresh tokens that are left
	}{
		"the provider is down":                               {down: true, alive: 1},
		"the provider is down since the application started": {down: true, anew: true, alive: 1},
		"no end_session_endpoint":                            {before: faults.DiscoveryNoEndSession},
		"no revocation_endpoint":                             {before: faults.DiscoveryNoRevocation, alive: 1},
		"revocation fails":                                   {fault: faults.Revocation500, alive: 1},
		"revocation redirects":                               {fault: faults.RevocationRedirect, alive: 1},
		"discovery fails at the sign-out":                    {fault: faults.Discovery500},
		"revocation requires private_key_jwt": {alive: 1, transport: metadata(func(doc map[string]any) {
			doc["revocation_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
		})},
	} {
		t.Run("8.2 ended and back in the application: "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: func(c *signin.Config) {
				if row.transport != nil {
					c.HTTPClient = &http.Client{Transport: row.transport}
				}
			}})
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
			if row.anew {
				a.start()
			}
			got := b.leave(http.MethodPost, "")
			if row.down {
				a.wantLocalOnly(t, b, got, copied)
				return
			}
			if n := a.provider.Stats().Revocations; n > 1 {
				t.Errorf("revocations: got %d; want one, and no redirect followed with a secret", n)
			}
			a.ended(t, got, copied)
			if at := strings.HasPrefix(got.Header.Get("Location"), a.provider.URL); at == (row.before == faults.DiscoveryNoEndSession) {
				t.Errorf("Location: got %q; want the provider's if it can end its session", got.Header.Get("Location"))
			}
			a.back(t, b, got)
			if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != row.alive {
				t.Errorf("refresh tokens: got %d alive; want %d", n, row.alive)
			}
			failed := row.alive > 0 && row.before == ""
			if got := strings.Contains(a.log.String(), "could not be revoked"); got != failed {
				t.Errorf("log: got %t for a revocation that failed; want %t", got, failed)
			}
		})
	}
}

// wantLocalOnly checks the page of a sign-out that did not reach the provider: the
// session here has ended, and the page's button signs out there later.
func (a *app) wantLocalOnly(t *testing.T, b *browser, got answer, copied string) {
	t.Helper()
	got.want(t, http.StatusServiceUnavailable, "")
	wantCookies(t, "signed out", got, false, "signin cleared")
	a.wantSignedOut(t, a.handler(), copied)
	form := regexp.MustCompile(`action="([^"]*)"><button>Sign out again<`).FindStringSubmatch(got.body)
	if form == nil || form[1] != "/sign-out" || got.action(t) != "/" || !strings.Contains(got.body, "you may still be signed in there") {
		t.Fatalf("got %q; want a page that says so, with a button that signs out, and a way home", got.body)
	}
	again := b.do(http.MethodPost, form[1], "Origin: "+a.server.URL)
	again.want(t, http.StatusServiceUnavailable, "")
	a.provider.Up()
	a.clock.add(time.Minute) // until it is asked again
	b.do(http.MethodPost, form[1], "Origin: "+a.server.URL).want(t, http.StatusSeeOther, a.provider.URL)
}

// A sign-out that cannot be recorded everywhere.
func TestSignOut_Incomplete(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		what      string
		copyEnds  bool // a copy of the cookie is signed out
		tokenEnds bool
	}{
		{"shared set", false, true},
		{"store delete", true, true},
		{"store new", false, false}, // it is unknown whose session it is
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
			if !strings.Contains(got.body, "You are signed out in this browser<") || !strings.Contains(a.log.String(), "code=sign_out_incomplete") {
				t.Errorf("page: got %q; want one that says so, and a log record", got.body)
			}
			if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); (n == 0) != row.tokenEnds {
				t.Errorf("refresh tokens: got %d alive; want none: %t", n, row.tokenEnds)
			}
			fail("")
			if got := b.who(); got != notSignedIn {
				t.Errorf("this browser: got %q; want no user signed in", got)
			}
			if row.copyEnds {
				a.wantSignedOut(t, a.handler(), copied)
			}
		})
	}
	t.Run("8.2 BeginSignOut returns the error", func(t *testing.T) {
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
		if !strings.HasPrefix(location, a.provider.Issuer+"/session/end?") || err != nil {
			t.Errorf("got %q, error %v; want the provider's end-session endpoint", location, err)
		}
		wantCookies(t, "signed out", answer{w.Result(), ""}, false, "signin cleared")
		if w.Header().Get("Location") != "" || w.Body.Len() > 0 {
			t.Error("BeginSignOut wrote an answer; want that left to the caller")
		}
	})
}
