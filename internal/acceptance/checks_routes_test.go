package acceptance_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// untouched checks an answer that changes nothing: no cookie, no redirect, and one
// page or document, not two.
func (a answer) untouched(t *testing.T, status int, code signin.Code) {
	t.Helper()
	a.want(t, status, "")
	if set := a.Header["Set-Cookie"]; len(set) > 0 {
		t.Errorf("got cookies %q; want none", set)
	}
	title := map[signin.Code]string{
		signin.ErrNotSignedIn: "<h1>Please sign in</h1>", signin.ErrMethodNotAllowed: "<h1>This page does not work that way</h1>", signin.ErrDeclined: "<h1>The sign-in was not completed</h1>",
		signin.ErrProviderUnavailable:   "<h1>Signing in is not possible right now</h1>",
		signin.ErrProviderMisconfigured: "<h1>Signing in is not set up correctly</h1>",
		signin.ErrSessionTooLarge:       "<h1>You could not be signed in</h1>",
		signin.ErrProviderRejected:      "<h1>Signing in did not work</h1>",
		signin.ErrSharedUnavailable:     "<h1>We cannot look up your session right now</h1>",
		signin.ErrStoreUnavailable:      "<h1>We cannot look up your session right now</h1>",
	}[code]
	if n := strings.Count(a.body, "<h1>") + strings.Count(a.body, `"code":`); n != 1 {
		t.Errorf("got %d pages or documents in %q; want 1", n, a.body)
	}
	if !strings.Contains(a.body, `"code":"`+string(code)+`"`) && (title == "" || !strings.Contains(a.body, title)) {
		t.Errorf("got %q; want %s", a.body, code)
	}
}

// A route that is called with another method does nothing at all.
func TestChecksMethodsOfTheRoutes(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.signedIn(signintest.Alice())
	token := url.Values{"logout_token": {a.provider.LogoutToken(signintest.Alice().Subject, "")}}.Encode()
	asked, events := a.provider.Stats().Authorizations, len(a.kinds())
	for _, row := range []struct{ method, path, allow string }{
		{"POST", "/sign-in", "GET, HEAD"},
		{"DELETE", "/sign-in", "GET, HEAD"},
		{"PUT", "/sign-out", "GET, HEAD, POST"},
		{"DELETE", "/sign-out", "GET, HEAD, POST"},
		{"GET", "/backchannel-logout?" + token, "POST"},
		{"PUT", "/backchannel-logout", "POST"},
		{"PATCH", "/backchannel-logout", "POST"},
	} {
		r := newRequest(t, row.method, a.server.URL+row.path, strings.NewReader(token))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got := b.send(r)
		t.Log(row.method, row.path)
		got.untouched(t, http.StatusMethodNotAllowed, signin.ErrMethodNotAllowed)
		if allow := got.Header.Get("Allow"); allow != row.allow {
			t.Errorf("Allow: got %q; want %q", allow, row.allow)
		}
		if who := b.who(); who != signintest.Alice().Subject {
			t.Fatalf("got %q signed in; want the session to stand", who)
		}
	}
	if got := a.kinds()[events:]; len(got) > 0 || a.provider.Stats().Authorizations != asked {
		t.Errorf("got events %q; want none, and nothing asked of the provider", got)
	}
}

// What no person asked for starts no sign-in: neither cookie nor redirect.
func TestChecksOnlyANavigationStartsASignIn(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for name, header := range map[string][]string{
		"a prefetch":     {"Sec-Purpose: prefetch", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"},
		"a prerendering": {"Sec-Purpose: prefetch;prerender", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"},
		"an image":       {"Accept: image/*", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"},
		"a frame":        {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"},
		"fetch":          {"Accept: */*", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"},
	} {
		t.Log(name)
		b := a.browser()
		got := b.get("/sign-in?return_to=/x", header...)
		got.untouched(t, http.StatusUnauthorized, signin.ErrNotSignedIn)
		if cookies := b.cookies(); cookies != "" {
			t.Errorf("got cookies %q; want none", cookies)
		}
	}
	b := a.browser()
	b.do(http.MethodHead, "/sign-in").want(t, http.StatusUnauthorized, "")
	if cookies := b.cookies(); cookies != "" {
		t.Errorf("HEAD: got cookies %q; want none", cookies)
	}
}

// The sign-in route takes from its query no more than it says.
func TestChecksTheSignInQuery(t *testing.T) {
	t.Parallel()
	toIssuer := func(c *signin.Config) { c.Issuer, c.LogtoEndpoint = c.LogtoEndpoint+"/oidc", "" }
	for _, row := range []struct {
		name, query string // in which ISS is the provider
		config      func(*signin.Config)
		route       []signin.SignInOption
		want        map[string]string // parameters of the authorization request
	}{
		{"an age, at a route that asks for classes", "max_age=60", nil, []signin.SignInOption{signin.ACRValues("mfa")},
			map[string]string{"max_age": "60", "acr_values": "mfa", "prompt": "login consent"}},
		{"an age, at a provider that heeds it", "max_age=60", toIssuer, nil, map[string]string{"max_age": "60", "prompt": ""}},
		{"a hint of the provider's, at a route that has its own", "iss=ISS&login_hint=mallory%40example.com", nil,
			[]signin.SignInOption{signin.LoginHint("alice@example.com")}, map[string]string{"login_hint": "alice@example.com"}},
		{"a hint of the provider's", "iss=ISS&login_hint=alice%40example.com", nil, nil, map[string]string{"login_hint": "alice@example.com"}},
		{"a hint of nobody's", "login_hint=alice%40example.com", nil, nil, map[string]string{"login_hint": ""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: row.config, signIn: row.route})
			got := a.browser().get("/sign-in?" + strings.ReplaceAll(row.query, "ISS", url.QueryEscape(a.provider.Issuer)))
			got.want(t, http.StatusSeeOther, "http")
			to, err := got.Location()
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range row.want {
				if sent := to.Query().Get(name); sent != want {
					t.Errorf("%s: got %q; want %q", name, sent, want)
				}
			}
		})
	}
}

// respondWith starts a sign-in and brings an error response to it.
func (b *browser) respondWith(code string) answer {
	b.app.t.Helper()
	to, err := b.get("/sign-in?return_to=/wanted").Location()
	if err != nil {
		b.app.t.Fatal(err)
	}
	q := url.Values{"state": {to.Query().Get("state")}, "error": {code}, "iss": {b.app.provider.Issuer}}
	return b.get("/callback?" + q.Encode())
}

// An error response has the status of what it says, and ends no session.
func TestChecksErrorResponses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		says   string
		status int
		code   signin.Code
		retry  string
	}{
		{"server_error", http.StatusServiceUnavailable, signin.ErrProviderUnavailable, "5"},
		{"temporarily_unavailable", http.StatusServiceUnavailable, signin.ErrProviderUnavailable, "5"},
		{"invalid_scope", http.StatusBadGateway, signin.ErrProviderMisconfigured, ""},
		{"unauthorized_client", http.StatusBadGateway, signin.ErrProviderMisconfigured, ""},
		{"access_denied", http.StatusForbidden, signin.ErrDeclined, ""},
		// Nobody has asked for a sign-in without a page.
		{"login_required", http.StatusForbidden, signin.ErrDeclined, ""},
		{"consent_required", http.StatusForbidden, signin.ErrDeclined, ""},
	} {
		t.Run(row.says, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			b := a.signedIn(signintest.Alice())
			session := b.session()
			got := b.respondWith(row.says)
			set := got.Header["Set-Cookie"]
			if len(set) != 1 || !strings.HasPrefix(set[0], "signin.tx.") || !strings.Contains(set[0], "Max-Age=0") {
				t.Errorf("got cookies %q; want the attempt's cleared, and nothing else", set)
			}
			got.Header.Del("Set-Cookie")
			got.untouched(t, row.status, row.code)
			if retry := got.Header.Get("Retry-After"); retry != row.retry {
				t.Errorf("Retry-After: got %q; want %q", retry, row.retry)
			}
			if b.session() != session || b.who() != signintest.Alice().Subject {
				t.Errorf("got %q signed in; want the session to stand", b.who())
			}
			a.mu.Lock()
			last := a.events[len(a.events)-1]
			a.mu.Unlock()
			if last.Kind != signin.EventSignInFailed || !errors.Is(last.Err, row.code) {
				t.Errorf("got event %+v; want a failed callback, %s", last, row.code)
			}
		})
	}
}

// A reload of a callback leads where the sign-in led, unless that is long.
func TestChecksAReloadLeadsOn(t *testing.T) {
	t.Parallel()
	for length, again := range map[int]string{256: "", 257: "/home"} {
		a := newApp(t, with{config: func(c *signin.Config) { c.Paths.AfterSignIn = "/home" }})
		tr := &trial{app: a}
		b := a.browser()
		target := "/" + strings.Repeat("x", length-1)
		back := tr.respond(a.provider, b, "/sign-in?return_to="+target, signintest.Alice()).String()
		b.get(back).want(t, http.StatusSeeOther, target)
		if again == "" {
			again = target
		}
		if got := b.get(back).Header.Get("Location"); got != again {
			t.Errorf("%d bytes: got %q; want %q", length, got, again)
		}
		if who := b.who(); who != signintest.Alice().Subject {
			t.Errorf("%d bytes: got %q signed in; want Alice", length, who)
		}
	}
}

// A response without its attempt is answered with 503 while nobody can say whether
// it has been used, or who is signed in: not with a new sign-in.
func TestChecksAResponseWithoutItsAttempt(t *testing.T) {
	t.Parallel()
	for what, code := range map[string]signin.Code{"shared get": signin.ErrSharedUnavailable, "store new": signin.ErrStoreUnavailable} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a, _, fail := fragile(t)
			b := a.browser()
			back := (&trial{app: a}).respond(a.provider, b, "/sign-in", signintest.Alice()).String()
			b.get(back).want(t, http.StatusSeeOther, "/")
			session, asked := b.session(), a.provider.Stats().Authorizations
			fail(what)
			b.get(back).untouched(t, http.StatusServiceUnavailable, code)
			fail("")
			if b.session() != session || b.who() != signintest.Alice().Subject || a.provider.Stats().Authorizations != asked {
				t.Errorf("got %q signed in; want the session to stand, and no new sign-in", b.who())
			}
		})
	}
}

// faltering is a store whose next few reads fail.
type faltering struct {
	sessions.Store
	left atomic.Int32
}

func (f *faltering) New(r *http.Request, name string) (*sessions.Session, error) {
	if f.left.Add(-1) >= 0 {
		return sessions.NewSession(f, name), errOnPurpose
	}
	return f.Store.New(r, name)
}

// A sign-in that cannot see which session it replaces would leave that one alive.
func TestChecksASignInSeesWhatItReplaces(t *testing.T) {
	t.Parallel()
	store := new(faltering)
	a := newApp(t, with{config: func(c *signin.Config) {
		everyStore()["FilesystemStore"](t.TempDir())(c)
		store.Store, c.Store = c.Store, store
	}})
	b := a.signedIn(signintest.Alice())
	copied := b.session()
	back := (&trial{app: a}).respond(a.provider, b, "/sign-in", signintest.Bob()).String()
	store.left.Store(1)
	got := b.get(back)
	store.left.Store(0)
	if set := strings.Join(got.Header["Set-Cookie"], "\n"); strings.Contains(set, "signin=") {
		t.Errorf("got cookies %q; want no session's", set)
	}
	got.Header.Del("Set-Cookie") // the attempt's
	got.untouched(t, http.StatusServiceUnavailable, signin.ErrStoreUnavailable)
	comes(t, a.handler(), copied, signintest.Alice())
	if got := b.who(); got != signintest.Alice().Subject {
		t.Errorf("got %q signed in; want Alice still", got)
	}
}

// An answer to a step-up that breaks a rule is not one that merely does not help.
func TestChecksABadAnswerToAStepUp(t *testing.T) {
	t.Parallel()
	a := stepUpApp(t, with{})
	b := a.signedIn(signintest.Alice())
	session := b.session()
	a.provider.Inject(faults.IDTokenNonceWrong)
	got := b.visit("/delete", signintest.Alice())
	got.Header.Del("Set-Cookie") // the attempt's
	got.untouched(t, http.StatusBadGateway, signin.ErrProviderRejected)
	if b.session() != session || b.who() != signintest.Alice().Subject || a.insideCalls() != 0 {
		t.Errorf("got %q signed in, handler called %d times; want the session to stand, and none", b.who(), a.insideCalls())
	}
}

// Signing nobody out leaves nothing in shared state.
func TestChecksSigningNobodyOut(t *testing.T) {
	t.Parallel()
	a, _, shared := refreshing(t, nil)
	a.browser().leave(http.MethodPost, "", "Sec-Fetch-Site: same-origin").want(t, http.StatusSeeOther, a.provider.Issuer)
	if got := shared.ever(); len(got) != 0 {
		t.Errorf("got %d entries in shared state; want none", len(got))
	}
}

// A provider that cannot be told to revoke is not one that is down: its own
// session is ended all the same.
func TestChecksSignOutWithoutRevocation(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) {
		c.HTTPClient = &http.Client{Transport: metadata(func(doc map[string]any) {
			doc["revocation_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
		})}
	}})
	b := a.signedIn(signintest.Alice())
	copied := b.session()
	got := b.leave(http.MethodPost, "", "Sec-Fetch-Site: same-origin")
	got.want(t, http.StatusSeeOther, a.provider.Issuer)
	a.ended(t, got, copied)
}

// A logout request that is not one form with one token changes nothing, and one
// whose token cannot be looked up is 503.
func TestChecksLogoutRequests(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for _, row := range []struct {
		name, media, body string // in which TOKEN is a good one
		broken            string // operation of shared state
		times             int    // how often it fails; 0 for always
		status            int
		code              signin.Code
	}{
		{"a form", form, "logout_token=TOKEN", "", 0, http.StatusOK, ""},
		{"a form that is broken behind the token", form, "logout_token=TOKEN&x=%zz", "", 0, http.StatusBadRequest, signin.ErrBadRequest},
		{"two tokens", form, "logout_token=TOKEN&logout_token=TOKEN", "", 0, http.StatusBadRequest, signin.ErrBadRequest},
		{"another type", "text/plain", "logout_token=TOKEN", "", 0, http.StatusBadRequest, signin.ErrBadRequest},
		{"a type that is none", form + "; charset", "logout_token=TOKEN", "", 0, http.StatusBadRequest, signin.ErrBadRequest},
		{"64 KB and more", form, "logout_token=TOKEN&x=" + strings.Repeat("x", 64<<10), "", 0, http.StatusBadRequest, signin.ErrBadRequest},
		{"shared state cannot be read", form, "logout_token=TOKEN", "get", 0, http.StatusServiceUnavailable, signin.ErrSharedUnavailable},
		{"shared state cannot be read for a moment", form, "logout_token=TOKEN", "get", 1, http.StatusServiceUnavailable, signin.ErrSharedUnavailable},
		{"shared state cannot be written", form, "logout_token=TOKEN", "set", 0, http.StatusServiceUnavailable, signin.ErrSharedUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, _, shared := refreshing(t, nil)
			b := a.signedIn(signintest.Alice())
			token := a.provider.LogoutToken(signintest.Alice().Subject, "")
			failures := 0
			shared.before(func(op, _ string) error {
				if op != row.broken || row.times > 0 && failures == row.times {
					return nil
				}
				failures++
				return errOnPurpose
			})
			got := a.postLogout(row.media, strings.ReplaceAll(row.body, "TOKEN", token))
			shared.before(nil)
			want := signintest.Alice().Subject
			if row.code == "" {
				got.want(t, row.status, "")
				want = "nobody"
			} else {
				got.untouched(t, row.status, row.code)
			}
			if who := b.who(); who != want {
				t.Errorf("got %q signed in; want %q", who, want)
			}
			if strings.Contains(got.body+a.log.String(), token) {
				t.Error("the token is shown")
			}
		})
	}
}

// Keys that are not to be had are the operator's to know of; a token that names a
// key nobody has is not.
func TestChecksTokensThatCannotBeVerified(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		prepare func(a *app) (token string)
		level   string
	}{
		{"the keys are not to be had", func(a *app) string {
			token := a.provider.AccessToken("alice0000001", ordersAPI)
			a.provider.Inject(faults.Keys500)
			return token
		}, "ERROR"},
		{"the provider is down", func(a *app) string {
			token := a.provider.AccessToken("alice0000001", ordersAPI)
			a.provider.Down()
			return token
		}, "ERROR"},
		{"nobody has published its key, and they have just been looked for", func(a *app) string {
			a.provider.Inject(faults.AccessTokenKeyIDUnknown)
			defer a.provider.Clear()
			for range 2 {
				a.call("/api", "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI))
			}
			return a.provider.AccessToken("alice0000001", ordersAPI)
		}, "INFO"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := apiApp(t, with{})
			got := a.call("/api", "Bearer "+row.prepare(a))
			a.wantProblem(t, got, http.StatusServiceUnavailable, signin.ErrProviderUnavailable, "")
			line := " msg=\"signin: request failed\""
			if log := a.log.String(); !strings.Contains(log, "level="+row.level+line) || row.level == "INFO" && strings.Contains(log, "level=ERROR") {
				t.Errorf("log: got %q; want lines of level %s", log, row.level)
			}
		})
	}
	t.Run("the caller has gone", func(t *testing.T) {
		t.Parallel()
		a := apiApp(t, with{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, r := range []*http.Request{
			httptest.NewRequest(http.MethodGet, "/sign-in", nil),
			httptest.NewRequest(http.MethodGet, "/api", nil),
		} {
			r.Header.Set("Authorization", "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI))
			w := httptest.NewRecorder()
			a.handler().ServeHTTP(w, r.WithContext(ctx))
			answer{w.Result(), w.Body.String()}.untouched(t, http.StatusServiceUnavailable, signin.ErrProviderUnavailable)
		}
	})
}

// A silent sign-in that has just failed stops sign-ins that would be silent, and
// no others.
func TestChecksQuietBrowsers(t *testing.T) {
	t.Parallel()
	t.Run("whoever is signed in still gets to a step-up", func(t *testing.T) {
		t.Parallel()
		a := stepUpApp(t, with{config: func(c *signin.Config) { c.SignInOptions = []signin.SignInOption{signin.Prompt("none")} }})
		nobody := a.browser()
		silent(nobody, "/sign-in").want(t, http.StatusSeeOther, "/")
		got := nobody.get("/account")
		got.untouched(t, http.StatusUnauthorized, signin.ErrNotSignedIn)
		b := a.signInAtProvider(signintest.Alice())
		silent(b, "/sign-in")
		quiet := slices.IndexFunc(strings.Split(nobody.cookies(), "; "), func(c string) bool { return strings.HasPrefix(c, "signin.quiet=") })
		if b.who() != signintest.Alice().Subject || quiet < 0 {
			t.Fatalf("got %q signed in, and cookies %q elsewhere; want Alice, and a quiet browser", b.who(), nobody.cookies())
		}
		b.plant(&http.Cookie{Name: "signin.quiet", Value: nobody.cookie("signin.quiet")})
		b.get("/delete").want(t, http.StatusSeeOther, "/sign-in?max_age=300&return_to=%2Fdelete")
		if a.insideCalls() != 0 {
			t.Error("the handler was called")
		}
	})
	t.Run("a silent route beside the ordinary one", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		a.mount("/silent", a.auth.SignIn(signin.Prompt("none")))
		b := a.browser()
		silent(b, "/silent").want(t, http.StatusSeeOther, "/")
		if b.cookie("signin.quiet") == "" {
			t.Fatal("the browser is not quiet")
		}
		b.get("/account").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
	})
}

// silent follows a silent sign-in to its end.
func silent(b *browser, path string) answer {
	b.app.t.Helper()
	got := b.get(path)
	for strings.HasPrefix(got.Header.Get("Location"), "http") {
		got = b.get(got.Header.Get("Location"))
	}
	return got
}
