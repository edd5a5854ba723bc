// Package acceptance_test tests package signin from outside, as an application
// uses it and a browser sees it. This file is the harness; it has
//
//   - [newApp], an application and its provider of package signintest, with a
//     clock, a log and a list of events; [app.start] starts it anew, and
//     [app.mount] adds pages
//   - [app.browser] and [app.signedIn], browsers with cookies, which stop at
//     redirects; [browser.visit] follows them and answers the provider's pages,
//     and [browser.respond] stops in front of the callback
//   - [answer], whose methods check a whole answer
//   - [rejection], a row of a table of sign-ins that must fail, and
//     [app.wantArrival] for one that must succeed
//   - with.recorded, which keeps what browsers and the provider are sent, so
//     that [app.wantNoLeak] can look for secrets in it (leaks_test.go)
//   - transports: [roundTrip] is a function, [wire] records, and [edited]
//     changes JSON documents of the provider
//   - [fragile], an application whose session store and shared state fail on
//     demand; [flaky] and [forgetful] are such a store and such shared state
//
// More helpers for tests of sessions and tokens are in fixtures_test.go.
package acceptance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// due is when an access token of an hour has to be refreshed.
const due = time.Hour - 30*time.Second

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// app is an application and its provider.
type app struct {
	mux      *http.ServeMux
	t        *testing.T
	provider *signintest.Provider
	server   *httptest.Server
	auth     *signin.Auth
	cfg      signin.Config
	clock    *clock
	log      *lockedBuffer
	wire     *wire // nil unless recorded
	signIn   []signin.SignInOption

	mu     sync.Mutex
	events []signin.Event
	inside int        // how often the protected handler was called
	seen   []exchange // if recorded, what browsers have seen
}

// with are the options of newApp.
type with struct {
	provider []signintest.Option
	config   func(*signin.Config)
	tls      bool
	signIn   []signin.SignInOption // of the sign-in route
	recorded bool
}

func newApp(t *testing.T, o with) *app {
	t.Helper()
	a := &app{t: t, clock: &clock{}, log: &lockedBuffer{}, signIn: o.signIn}
	a.provider = signintest.NewProvider(append([]signintest.Option{signintest.WithNow(a.clock.now)}, o.provider...)...)
	t.Cleanup(a.provider.Close)
	if o.tls {
		a.server = httptest.NewTLSServer(nil)
	} else {
		a.server = httptest.NewServer(nil)
	}
	t.Cleanup(a.server.Close)
	a.cfg = a.provider.Config(a.server.URL)
	a.cfg.Now = a.clock.now
	a.cfg.Logger = slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a.cfg.OnEvent = func(_ context.Context, e signin.Event) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.events = append(a.events, e)
	}
	if o.recorded {
		a.wire = &wire{}
		a.cfg.HTTPClient = &http.Client{Transport: a.wire}
	}
	if o.config != nil {
		o.config(&a.cfg)
	}
	a.start()
	return a
}

// start starts the application anew: it has asked the provider nothing yet.
func (a *app) start() {
	a.t.Helper()
	auth := newAuth(a.t, a.cfg)
	mux := http.NewServeMux()
	mux.Handle("/sign-in", auth.SignIn(a.signIn...))
	mux.Handle("/callback", auth.Callback())
	mux.Handle("/sign-out", auth.SignOut())
	mux.Handle("/backchannel-logout", auth.BackChannelLogout())
	mux.Handle("/", auth.Load(http.HandlerFunc(who)))
	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(a.account)))
	mux.Handle("/user", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := signin.UserFrom(r.Context())
		_ = json.NewEncoder(w).Encode(u)
	})))
	a.auth, a.mux, a.server.Config.Handler = auth, mux, mux
}

// mount adds a page to the application.
func (a *app) mount(path string, h http.Handler) { a.mux.Handle(path, h) }

// who is a page that shows who is signed in.
func who(w http.ResponseWriter, r *http.Request) {
	if u, ok := signin.UserFrom(r.Context()); ok {
		_, _ = io.WriteString(w, u.Subject)
		return
	}
	_, _ = io.WriteString(w, notSignedIn)
}

func (a *app) account(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.inside++
	a.mu.Unlock()
	who(w, r)
}

func (a *app) insideCalls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inside
}

// guarded is a protected handler that counts its calls.
type guarded struct{ calls int }

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.calls++
	w.Header().Set("X-Inside", "1")
	fmt.Fprint(w, "INSIDE ")
}

// all is an application's rule, which holds if all of rules do.
func all(rules ...signin.Rule) signin.Rule {
	return signin.RuleFunc(func(r *http.Request, u *signin.User) error {
		for _, rule := range rules {
			if err := rule.Check(r, u); err != nil {
				return err
			}
		}
		return nil
	})
}

// kinds lists the kinds of the events so far.
func (a *app) kinds() (kinds []signin.EventKind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// errs lists the errors of the events of one kind.
func (a *app) errs(kind signin.EventKind) (errs []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if e.Kind == kind {
			errs = append(errs, e.Err)
		}
	}
	return errs
}

// signIns is how many sign-ins have succeeded.
func (a *app) signIns() int { return len(a.errs(signin.EventSignedIn)) }

// lastRequest is the authorization request that the provider has seen last.
func (a *app) lastRequest() signintest.AuthorizationRequest {
	all := a.provider.AuthorizationRequests()
	if len(all) == 0 {
		return signintest.AuthorizationRequest{}
	}
	return all[len(all)-1]
}

// request makes a request with header lines, in which {app} is the application.
func (a *app) request(method, target, lines string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for line := range strings.Lines(strings.ReplaceAll(lines, "{app}", a.server.URL)) {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r
}

// notify posts a logout token as the provider does: without cookies.
func (a *app) notify(token string) answer {
	a.t.Helper()
	return a.postLogout("application/x-www-form-urlencoded", url.Values{"logout_token": {token}}.Encode())
}

func (a *app) postLogout(contentType, body string) answer {
	a.t.Helper()
	r, err := http.NewRequest(http.MethodPost, a.server.URL+"/backchannel-logout", strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	return (&browser{Client: a.server.Client(), app: a}).send(r)
}

// browser is a client with a cookie jar, which navigates as a person does, and
// stops at redirects.
type browser struct {
	*http.Client
	app *app
}

func (a *app) browser() *browser {
	a.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	c := a.server.Client()
	c.Jar = jar
	if base := c.Transport; a.wire != nil {
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) { return a.overhear(base, r) })
	}
	stop := *c
	stop.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{Client: &stop, app: a}
}

// signedIn returns a browser in which a person has signed in.
func (a *app) signedIn(u signintest.User) *browser {
	a.t.Helper()
	b := a.browser()
	follow := *b.Client
	follow.CheckRedirect = nil
	a.provider.SignIn(a.t, &follow, a.server.URL, u)
	return b
}

// get navigates to a path of the application, or to a URL.
func (b *browser) get(target string, header ...string) answer {
	return b.do(http.MethodGet, target, header...)
}

// do sends a request with the headers of a navigation; further headers are
// "Name: value", and an empty value removes one.
func (b *browser) do(method, target string, header ...string) answer {
	b.app.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.app.server.URL + target
	}
	r, err := http.NewRequest(method, target, nil)
	if err != nil {
		b.app.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	for _, h := range header {
		name, value, _ := strings.Cut(h, ":")
		if value = strings.TrimSpace(value); value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	return b.send(r)
}

func (b *browser) send(r *http.Request) answer {
	b.app.t.Helper()
	resp, err := b.Do(r)
	if err != nil {
		b.app.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return b.app.read(resp)
}

func (a *app) read(resp *http.Response) answer {
	a.t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

// leave sends a request to the sign-out route: directly if host is empty, and
// otherwise as a proxy that has set Host to it.
func (b *browser) leave(method, host string, header ...string) answer {
	b.app.t.Helper()
	if host == "" {
		return b.do(method, "/sign-out", append([]string{"Accept: text/html"}, header...)...)
	}
	r, err := http.NewRequest(method, b.app.server.URL+"/sign-out", nil)
	if err != nil {
		b.app.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	// The client would look for the cookies of Host, which only the proxy knows.
	r.Host = host
	r.Header.Set("Cookie", b.session())
	proxied := *b.Client
	proxied.Jar = nil
	return (&browser{&proxied, b.app}).send(r)
}

// visit goes to a page as a person who answers whatever the provider asks.
func (b *browser) visit(path string, u signintest.User) answer {
	b.app.t.Helper()
	follow := *b.Client
	follow.CheckRedirect = nil
	return b.app.read(b.app.provider.Visit(b.app.t, &follow, b.app.server.URL+path, u))
}

// onward follows redirects as long as they are absolute: to the provider and back.
func (b *browser) onward(got answer) answer {
	b.app.t.Helper()
	for range 10 {
		if !strings.HasPrefix(got.Header.Get("Location"), "http") {
			break
		}
		got = b.get(got.Header.Get("Location"))
	}
	return got
}

// respond lets a person sign in and returns the address to which the browser
// would bring the provider's response, without going there. The sign-in begins
// at a path of the application or with an authorization request.
func (b *browser) respond(p *signintest.Provider, address string, u signintest.User) string {
	b.app.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.app.server.URL + address
	}
	back, halted := "", *b.Client
	halted.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/callback" {
			return b.Transport.RoundTrip(r)
		}
		back = r.URL.String()
		return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	p.Visit(b.app.t, &halted, address, u)
	if back == "" {
		b.app.t.Fatalf("signing in %s: the provider did not send the browser back", u.Subject)
	}
	return back
}

// responded is respond for Alice, on her way to the protected page.
func (b *browser) responded() string {
	b.app.t.Helper()
	return b.respond(b.app.provider, "/sign-in?return_to=%2Faccount", signintest.Alice())
}

// who returns what the application's open page shows.
func (b *browser) who() string {
	b.app.t.Helper()
	a := b.get("/")
	if a.StatusCode != http.StatusOK {
		return a.Status
	}
	return a.body
}

// user returns what the application knows of the user who is signed in.
func (b *browser) user() (u signin.User) {
	b.app.t.Helper()
	if err := json.Unmarshal([]byte(b.get("/user").body), &u); err != nil {
		b.app.t.Fatalf("user: got error %v; want an object", err)
	}
	return u
}

// claims returns the claims of the user who is signed in.
func (b *browser) claims() (claims map[string]any) {
	b.app.t.Helper()
	if err := json.Unmarshal(b.user().Claims, &claims); err != nil {
		b.app.t.Fatalf("claims: got error %v; want an object", err)
	}
	return claims
}

func (b *browser) jar() []*http.Cookie {
	u, _ := url.Parse(b.app.server.URL)
	return b.Jar.Cookies(u)
}

// cookie returns the value of a cookie of the application.
func (b *browser) cookie(name string) string {
	for _, c := range b.jar() {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// cookies returns the browser's Cookie header for the application.
func (b *browser) cookies() string {
	var all []string
	for _, c := range b.jar() {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// attempts are the cookies of sign-ins under way.
func (b *browser) attempts() []*http.Cookie {
	return slices.DeleteFunc(b.jar(), func(c *http.Cookie) bool {
		return !strings.HasPrefix(strings.TrimPrefix(c.Name, "__Host-"), "signin.tx.")
	})
}

// copyOf is another browser with the same cookies for the application.
func (b *browser) copyOf() *browser {
	c := b.app.browser()
	u, _ := url.Parse(b.app.server.URL)
	c.Jar.SetCookies(u, b.jar())
	return c
}

type answer struct {
	*http.Response
	body string
}

// action returns where the first link of a page leads.
func (a answer) action(t *testing.T) string {
	t.Helper()
	_, main, _ := strings.Cut(a.body, "<main>")
	_, rest, _ := strings.Cut(main, `<a href="`)
	link, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Errorf("%s: got %q; want a page with a link", a.Status, a.body)
	}
	return html.UnescapeString(link)
}

// want checks an answer's status and how its Location begins.
func (a answer) want(t *testing.T, status int, location string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("status: got %d (%s); want %d", a.StatusCode, a.body, status)
	}
	if got := a.Header.Get("Location"); !strings.HasPrefix(got, location) || (location == "") != (got == "") {
		t.Errorf("Location: got %q; want %q", got, location)
	}
}

// titles has the titles of the pages for the codes that tests ask for.
var titles = map[signin.Code]string{
	signin.ErrNotSignedIn:           "Please sign in",
	signin.ErrMethodNotAllowed:      "This page cannot be opened that way",
	signin.ErrBadRequest:            "We did not understand that",
	signin.ErrInternal:              "Something went wrong",
	signin.ErrDeclined:              "The sign-in was not completed",
	signin.ErrProviderUnavailable:   "Signing in is not possible right now",
	signin.ErrProviderMisconfigured: "Signing in is not set up correctly",
	signin.ErrProviderRejected:      "Signing in did not work",
	signin.ErrSharedUnavailable:     "We cannot check your sign-in right now",
	signin.ErrStoreUnavailable:      "We cannot check your sign-in right now",
}

// untouched checks an answer that changes nothing: it sets no cookie, redirects
// nowhere, and is one page or problem document.
func (a answer) untouched(t *testing.T, status int, code signin.Code) {
	t.Helper()
	a.want(t, status, "")
	if set := a.Header["Set-Cookie"]; len(set) > 0 {
		t.Errorf("cookies: got %q; want none", set)
	}
	if n := strings.Count(a.body, "<h1>") + strings.Count(a.body, `"code":`); n != 1 {
		t.Errorf("body: got %d pages or documents in %q; want 1", n, a.body)
	}
	title, known := titles[code]
	if !strings.Contains(a.body, `"code":"`+string(code)+`"`) && !(known && strings.Contains(a.body, "<h1>"+title+"</h1>")) {
		t.Errorf("body: got %q; want %s", a.body, code)
	}
}

// wantHeader compares headers; "" means that the header must be absent.
func wantHeader(t *testing.T, got http.Header, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := strings.Join(got.Values(name), " | "); got != value {
			t.Errorf("%s: got %q; want %q", name, got, value)
		}
	}
}

// ownTransport is for clients of tests. Every httptest.Server that closes takes
// the idle connections of http.DefaultTransport with it, and so breaks requests
// of tests that run at the same time.
var ownTransport = http.DefaultTransport.(*http.Transport).Clone()

// roundTrip is a function that is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// wire is a transport to the provider that records the requests.
type wire struct {
	mu   sync.Mutex
	sent []sent
}

type sent struct {
	url    *url.URL
	header http.Header
	form   url.Values
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	s := sent{url: r.URL, header: r.Header.Clone()}
	if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if s.form, err = url.ParseQuery(string(raw)); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(raw))
	}
	w.mu.Lock()
	w.sent = append(w.sent, s)
	w.mu.Unlock()
	return ownTransport.RoundTrip(r)
}

func (w *wire) requests() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent)
}

// refusal is how a sign-in that must not succeed is answered.
type refusal struct {
	status    int
	code      signin.Code
	exchanges int // token requests made on the way
}

var (
	unbelieved  = refusal{http.StatusBadGateway, signin.ErrProviderRejected, 1}
	malformed   = refusal{http.StatusBadRequest, signin.ErrBadCallback, 0}
	notUnderWay = refusal{http.StatusBadRequest, signin.ErrSignInExpired, 0}
	// A document that the provider's operator has to correct is fetched again
	// later, so the answer says when to come back.
	mismatch = refusal{http.StatusBadGateway, signin.ErrProviderMisconfigured, 0}
)

// rejection is a row: a sign-in that must not succeed.
type rejection struct {
	name   string
	with   with
	faults []signintest.Fault // switched on for the attempt
	// try makes the attempt and returns the answer to it. Default: Alice signs in.
	try  func(*app, *browser) answer
	want refusal
	// noEvent is for requests that are not a sign-in, such as those by POST.
	noEvent bool
	// also checks what is special about the row.
	also func(*testing.T, *app)
}

func fault(f ...signintest.Fault) []signintest.Fault { return f }

// run makes the attempt in a browser in which no user is signed in, and in one
// in which Bob is.
func (row rejection) run(t *testing.T) {
	t.Run(row.name, func(t *testing.T) {
		t.Parallel()
		for _, before := range []string{notSignedIn, signintest.Bob().Subject} {
			t.Run("before "+before, func(t *testing.T) {
				t.Parallel()
				row.in(t, before)
			})
		}
	})
}

// in makes the attempt and checks all that "rejected" means.
func (row rejection) in(t *testing.T, before string) {
	row.with.recorded = true
	a := newApp(t, row.with)
	b := a.browser()
	if before != notSignedIn {
		b.visit("/sign-in", signintest.Bob())
	}
	held, signIns, stats := b.session(), a.signIns(), a.provider.Stats()
	if got := b.who(); got != before || (held == "") != (before == notSignedIn) {
		t.Fatalf("before: got %q; want %q", got, before)
	}
	said := len(a.log.String())
	a.provider.Inject(row.faults...)
	var got answer
	if row.try == nil {
		got = b.visit("/sign-in?return_to=%2Faccount", signintest.Alice())
	} else {
		got = row.try(a, b)
	}
	got.want(t, row.want.status, "")
	if from := got.Request.URL; from.Scheme+"://"+from.Host != a.server.URL {
		t.Errorf("answer: got one of %s; want the application's", from.Host)
	}
	if failed := a.errs(signin.EventSignInFailed); !row.noEvent || len(failed) > 0 {
		row.want.wantError(t, failed)
	}
	row.want.wantLogged(t, a.log.String()[said:])
	now := a.provider.Stats()
	if n := now.Exchanges - stats.Exchanges; n != row.want.exchanges {
		t.Errorf("token requests: got %d; want %d", n, row.want.exchanges)
	}
	if n := a.signIns() - signIns; n != 0 || a.insideCalls() != 0 {
		t.Errorf("got %d sign-ins, protected handler called %d times; want none", n, a.insideCalls())
	}
	if who := b.who(); who != before || b.session() != held {
		t.Errorf("signed in afterwards: got %q; want %q, with the cookies from before", who, before)
	}
	if row.also != nil {
		row.also(t, a)
	}
	a.wantNoLeak(t)
}

func (want refusal) wantError(t *testing.T, failures []error) {
	t.Helper()
	if len(failures) != 1 {
		t.Fatalf("errors of events: got %d (%v); want 1", len(failures), failures)
	}
	var typed *signin.Error
	if !errors.Is(failures[0], want.code) || !errors.As(failures[0], &typed) || typed.Status != want.status {
		t.Errorf("error: got %v; want %s with status %d", failures[0], want.code, want.status)
	}
}

// wantLogged checks that the log has one line about the refusal, and no other that
// reports a mistake.
func (want refusal) wantLogged(t *testing.T, log string) {
	t.Helper()
	var wrong []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") || strings.Contains(line, "code=") {
			wrong = append(wrong, line)
		}
	}
	if len(wrong) != 1 || !strings.Contains(wrong[0], "code="+string(want.code)) || !strings.Contains(wrong[0], "status="+strconv.Itoa(want.status)) {
		t.Errorf("log: got %q; want one line about %s with status %d", wrong, want.code, want.status)
	}
}

// accepted lets Alice sign in with faults switched on, and checks that she arrives.
func accepted(t *testing.T, w with, on ...signintest.Fault) (*app, *browser) {
	t.Helper()
	w.recorded = true
	a := newApp(t, w)
	b := a.browser()
	a.provider.Inject(on...)
	a.wantArrival(t, b, signintest.Alice())
	return a, b
}

// wantArrival lets a person sign in on the way to the protected page.
func (a *app) wantArrival(t *testing.T, b *browser, u signintest.User) {
	t.Helper()
	signIns := a.signIns()
	got := b.visit("/sign-in?return_to=%2Faccount", u)
	if got.StatusCode != http.StatusOK || got.body != u.Subject || got.Request.URL.Path != "/account" {
		t.Fatalf("signing in: got %s %q at %s (%v); want %q at /account",
			got.Status, got.body, got.Request.URL.Path, a.errs(signin.EventSignInFailed), u.Subject)
	}
	if n := a.signIns() - signIns; n != 1 {
		t.Errorf("sign-ins: got %d; want 1", n)
	}
	a.wantNoLeak(t)
}

// flaky is a store with one operation that fails.
type flaky struct {
	sessions.Store
	mu   sync.Mutex
	op   string // "new", "save" or "delete", or "" if none fails
	left int    // how often it still fails
}

func (f *flaky) fail(op string, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.op, f.left = op, times
}

func (f *flaky) fails(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.op != op || f.left == 0 {
		return nil
	}
	f.left--
	return errOnPurpose
}

func (f *flaky) New(r *http.Request, name string) (*sessions.Session, error) {
	if err := f.fails("new"); err != nil {
		return sessions.NewSession(f, name), err
	}
	return f.Store.New(r, name)
}

func (f *flaky) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	op := "save"
	if s.Options.MaxAge < 0 {
		op = "delete"
	}
	if err := f.fails(op); err != nil {
		return err
	}
	return f.Store.Save(r, w, s)
}

// forgetful is shared state that takes everything and keeps nothing.
type forgetful struct{ signin.SharedState }

func (forgetful) Get(context.Context, ...string) ([][]byte, error)                 { return nil, nil }
func (forgetful) Set(context.Context, string, []byte, time.Duration) error         { return nil }
func (forgetful) Add(context.Context, string, []byte, time.Duration) (bool, error) { return true, nil }

// fragile is an application whose store and shared state fail on demand. fail
// takes "store new", "shared get", "shared get once" and the like; "" ends it.
func fragile(t *testing.T) (a *app, clock *stopped, fail func(what string)) {
	t.Helper()
	store := &flaky{}
	a, clock, shared := refreshing(t, func(c *signin.Config) {
		everyStore()["FilesystemStore"](t.TempDir())(c)
		store.Store, c.Store = c.Store, store
	}, signintest.WithAccessTokenLifetime(month))
	return a, clock, func(what string) {
		where, op, _ := strings.Cut(what, " ")
		op, once := strings.CutSuffix(op, " once")
		left := map[bool]int{true: 1, false: -1}[once]
		store.fail("", 0)
		shared.before(nil)
		switch where {
		case "store":
			store.fail(op, left)
		case "shared":
			calls := &flaky{op: op, left: left}
			shared.before(func(got, _ string) error { return calls.fails(got) })
		}
	}
}

// panicOf returns what f panics with, or "" if it does not.
func panicOf(f func()) (said string) {
	defer func() {
		switch v := recover().(type) {
		case error:
			said = v.Error()
		case string:
			said = v
		}
	}()
	f()
	return ""
}

func count(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}
