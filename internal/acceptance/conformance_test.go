package acceptance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// trial is an application whose sign-ins go wrong, with an ear on every line:
// between browsers and the application, and between it and the provider.
type trial struct {
	*app
	w       with
	wire    *wire
	session string       // the session cookie's name
	other   *browser     // somebody else's, for rows that need one
	late    atomic.Int64 // how far the application's clock is ahead of the provider's

	heard sync.Mutex
	shown []*signin.Page // by Config.Pages
	seen  []exchange     // of browsers with the application
}

// exchange is one answer of the application.
type exchange struct {
	url    *url.URL
	header http.Header
	body   string
}

// newTrial starts an application. With shown, its pages are written by Config.Pages:
// of a request that no sign-in comes from, nothing but its page tells what was wrong.
func newTrial(t *testing.T, w with, shown bool) *trial {
	t.Helper()
	tr := &trial{w: w, wire: &wire{base: ownTransport}, session: "signin"}
	if w.tls {
		tr.session = "__Host-signin"
	}
	config := w.config
	w.config = func(cfg *signin.Config) {
		if cfg.HTTPClient != nil {
			tr.wire.base = cfg.HTTPClient.Transport
		}
		cfg.HTTPClient = &http.Client{Transport: tr.wire}
		if shown {
			cfg.Pages = tr.show
		}
		now := cfg.Now
		cfg.Now = func() time.Time { return now().Add(time.Duration(tr.late.Load())) }
		if config != nil {
			config(cfg)
		}
	}
	tr.app = newApp(t, w)
	tr.start()
	return tr
}

// start replaces the application by one that was just started: same
// configuration, nothing known of the provider.
func (tr *trial) start() {
	tr.t.Helper()
	auth, err := signin.New(tr.cfg)
	if err != nil {
		tr.t.Fatalf("New: got error %v; want none", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/sign-in", auth.SignIn(tr.w.signIn...))
	mux.Handle("/callback", auth.Callback())
	mux.Handle("/sign-out", auth.SignOut())
	mux.Handle("/", auth.Load(http.HandlerFunc(who)))
	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(tr.account)))
	mux.Handle("/claims", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := signin.UserFrom(r.Context())
		_, _ = w.Write(u.Claims)
	})))
	tr.auth, tr.server.Config.Handler = auth, mux
}

func (tr *trial) show(w http.ResponseWriter, _ *http.Request, p *signin.Page) {
	tr.heard.Lock()
	tr.shown = append(tr.shown, p)
	tr.heard.Unlock()
	w.WriteHeader(p.Status)
	_, _ = io.WriteString(w, p.Text)
}

// failures are the errors of the sign-ins that have failed so far, and what the
// application's own pages say of errors.
func (tr *trial) failures() (all []error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, e := range tr.events {
		if e.Kind == signin.EventSignInFailed {
			all = append(all, e.Err)
		}
	}
	tr.heard.Lock()
	defer tr.heard.Unlock()
	for _, p := range tr.shown {
		if p.Code != signin.ConfirmSignOut {
			all = append(all, &signin.Error{Code: p.Code, Status: p.Status, Message: p.Text})
		}
	}
	return all
}

// signIns is how many sign-ins have succeeded.
func (tr *trial) signIns() int {
	return len(slices.DeleteFunc(tr.kinds(), func(k signin.EventKind) bool { return k != signin.EventSignedIn }))
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// browser is app.browser, overheard.
func (tr *trial) browser() *browser {
	tr.t.Helper()
	b := tr.app.browser()
	base := b.Transport
	b.Transport = transport(func(r *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(r)
		if err != nil || "http://"+r.URL.Host != tr.server.URL && "https://"+r.URL.Host != tr.server.URL {
			return resp, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
		tr.heard.Lock()
		defer tr.heard.Unlock()
		tr.seen = append(tr.seen, exchange{r.URL, resp.Header.Clone(), string(body)})
		return resp, err
	})
	return b
}

// visit lets a person open a path of the application, and sign in on the way if
// they are asked to.
func (tr *trial) visit(b *browser, path string, u signintest.User) answer {
	tr.t.Helper()
	resp := tr.provider.Visit(tr.t, b.Client, tr.server.URL+path, u)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tr.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

// respond lets a person sign in at a provider and returns the address to which
// the browser would bring the response, without going there.
func (tr *trial) respond(p *signintest.Provider, b *browser, address string, u signintest.User) *url.URL {
	tr.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = tr.server.URL + address
	}
	var back *url.URL
	halted := *b.Client
	halted.Transport = transport(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/callback" {
			return b.Transport.RoundTrip(r)
		}
		back = r.URL
		return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	p.Visit(tr.t, &halted, address, u)
	if back == nil {
		tr.t.Fatalf("signing in %s: the provider did not send the browser back", u.Subject)
	}
	return back
}

// cookiesOf returns the browser's cookies of the application: its attempts, or
// all others.
func (tr *trial) cookiesOf(b *browser, attempts bool) (all []string) {
	for pair := range strings.SplitSeq(b.cookies(), "; ") {
		if strings.HasPrefix(pair, tr.session+".tx.") == attempts &&
			(strings.HasPrefix(pair, tr.session+"=") || strings.HasPrefix(pair, tr.session+".")) {
			all = append(all, pair)
		}
	}
	return all
}

// wire carries the requests to the provider: it keeps what was sent and, where
// the provider has no fault for it, changes forms and answers.
type wire struct {
	base   http.RoundTripper
	form   func(url.Values)
	answer func(path string, body []byte) []byte

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
		if w.form != nil {
			w.form(s.form)
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s.form.Encode())), int64(len(s.form.Encode()))
	}
	w.mu.Lock()
	w.sent = append(w.sent, s)
	w.mu.Unlock()
	resp, err := w.base.RoundTrip(r)
	if err != nil || w.answer == nil {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	body = w.answer(r.URL.Path, body)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, err
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
	// A document of the provider that an operator has to mend is fetched again
	// by itself, so there is a time to come back.
	mismatch = refusal{http.StatusServiceUnavailable, signin.ErrProviderMisconfigured, 0}
)

// rejection is a row: a sign-in that must not succeed.
type rejection struct {
	name   string
	with   with
	faults []signintest.Fault // switched on for the attempt
	shown  bool               // the error is told by its page, not by an event
	// prepare is called before.
	prepare func(*trial)
	// try makes the attempt and returns the answer to it. Default: Alice signs in.
	try  func(*trial, *browser) answer
	want refusal
	// also checks what is special about the row.
	also func(*testing.T, *trial)
}

func (row rejection) run(t *testing.T) {
	t.Run(row.name, func(t *testing.T) {
		t.Parallel()
		for _, before := range []string{"nobody", signintest.Bob().Subject} {
			t.Run("in a browser of "+before, func(t *testing.T) {
				t.Parallel()
				row.in(t, before)
			})
		}
	})
}

// in makes the attempt in a browser in which nobody, or Bob, has signed in
// before, and checks all that "rejected" means.
func (row rejection) in(t *testing.T, before string) {
	tr := newTrial(t, row.with, row.shown)
	b := tr.browser()
	if before != "nobody" {
		tr.visit(b, "/sign-in", signintest.Bob())
	}
	if row.prepare != nil {
		row.prepare(tr)
	}
	held, signIns, exchanges := tr.cookiesOf(b, false), tr.signIns(), tr.provider.Stats().Exchanges
	if got := b.who(); got != before || (len(held) == 0) != (before == "nobody") {
		t.Fatalf("before: got %q with cookies %d; want %q", got, len(held), before)
	}
	said := len(tr.log.String())
	tr.provider.Inject(row.faults...)
	try := row.try
	if try == nil {
		try = func(tr *trial, b *browser) answer {
			return tr.visit(b, "/sign-in?return_to=%2Faccount", signintest.Alice())
		}
	}
	got := try(tr, b)
	got.want(t, row.want.status, "")
	if from := got.Request.URL; from.Scheme+"://"+from.Host != tr.server.URL {
		t.Errorf("answer: got one of %s; want the application's", from.Host)
	}
	row.want.wantError(t, tr.failures())
	row.want.wantLogged(t, tr.log.String()[said:])
	if n := tr.signIns() - signIns; n != 0 {
		t.Errorf("sign-ins: got %d; want none", n)
	}
	if n := tr.provider.Stats().Exchanges - exchanges; n != row.want.exchanges {
		t.Errorf("token requests: got %d; want %d", n, row.want.exchanges)
	}
	if n := tr.insideCalls(); n != 0 {
		t.Errorf("protected handler: called %d times; want none", n)
	}
	if now := b.who(); now != before {
		t.Errorf("signed in afterwards: got %q; want %q", now, before)
	}
	if now := tr.cookiesOf(b, false); !slices.Equal(now, held) {
		t.Errorf("session cookies afterwards: got %d, or other ones; want the %d from before", len(now), len(held))
	}
	if row.also != nil {
		row.also(t, tr)
	}
	tr.wantNoLeak(t)
}

func (want refusal) wantError(t *testing.T, failures []error) {
	t.Helper()
	if len(failures) != 1 {
		t.Fatalf("errors told: got %d (%v); want 1", len(failures), failures)
	}
	var typed *signin.Error
	if !errors.Is(failures[0], want.code) || !errors.As(failures[0], &typed) || typed.Status != want.status {
		t.Errorf("error: got %v; want %s with status %d", failures[0], want.code, want.status)
	}
}

// wantLogged wants a refusal to be told once, and nothing else to be told as
// wrong.
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

// secrets are what only provider and application may know (tokens), what only
// this browser may know (cookies), and what stands in redirects to the provider
// and nowhere else (bound).
func (tr *trial) secrets() (tokens, cookies, bound []string) {
	for _, s := range tr.provider.Secrets() {
		tokens = append(tokens, append(strings.Split(s, "."), s, url.QueryEscape(s))...)
	}
	for _, s := range tr.wire.requests() {
		tokens = append(tokens, s.form.Get("code_verifier"), s.form.Get("code"), s.header.Get("Authorization"))
	}
	tr.heard.Lock()
	defer tr.heard.Unlock()
	for _, e := range tr.seen {
		tokens = append(tokens, e.url.Query().Get("code"))
		bound = append(bound, e.url.Query().Get("state"))
		for _, c := range (&http.Response{Header: e.header}).Cookies() {
			cookies = append(cookies, c.Value)
		}
		if to, err := url.Parse(e.header.Get("Location")); err == nil && to.Query().Has("code_challenge") {
			bound = append(bound, to.Query().Get("state"), to.Query().Get("nonce"), to.Query().Get("code_challenge"))
		}
	}
	short := func(s string) bool { return len(s) < 8 }
	return slices.DeleteFunc(tokens, short), slices.DeleteFunc(cookies, short), slices.DeleteFunc(bound, short)
}

// wantNoLeak searches for secrets in all that the application has said: log,
// errors, headers and pages.
func (tr *trial) wantNoLeak(t *testing.T) {
	t.Helper()
	tokens, cookies, bound := tr.secrets()
	search := func(where, text string, secrets []string) {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s: got one that holds the secret %.12s…; want none", where, s)
				return
			}
		}
	}
	hidden := slices.Concat(tokens, cookies)
	all := slices.Concat(hidden, bound)
	search("log", tr.log.String(), all)
	for _, err := range tr.failures() {
		search("error", err.Error(), all)
	}
	tr.mu.Lock()
	for _, e := range tr.events {
		if e.Err != nil {
			search("event "+string(e.Kind), e.Err.Error(), all)
		}
	}
	tr.mu.Unlock()
	tr.heard.Lock()
	defer tr.heard.Unlock()
	for _, e := range tr.seen {
		if e.url.Path != "/claims" { // written by this test: a nonce is a claim
			search("body of "+e.url.Path, e.body, all)
		}
		for name, values := range e.header {
			line := strings.Join(values, "\n")
			switch {
			case name == "Set-Cookie": // an attempt's cookie is named after its state
				search("Set-Cookie of "+e.url.Path, line, tokens)
			case name == "Location" && strings.HasPrefix(line, tr.provider.URL):
				search("Location of "+e.url.Path, line, hidden)
			default:
				search(name+" of "+e.url.Path, line, all)
			}
		}
	}
}

// accepted lets Alice sign in with faults switched on, and wants her to arrive.
func accepted(t *testing.T, w with, on ...signintest.Fault) (*trial, *browser) {
	t.Helper()
	tr := newTrial(t, w, false)
	b := tr.browser()
	tr.provider.Inject(on...)
	tr.wantArrival(t, b, signintest.Alice())
	return tr, b
}

// wantArrival lets somebody sign in on the way to the guarded page.
func (tr *trial) wantArrival(t *testing.T, b *browser, u signintest.User) {
	t.Helper()
	signIns := tr.signIns()
	got := tr.visit(b, "/sign-in?return_to=%2Faccount", u)
	if got.StatusCode != http.StatusOK || got.body != u.Subject || got.Request.URL.Path != "/account" {
		t.Fatalf("signing in: got %s %q at %s (%v); want %q at /account",
			got.Status, got.body, got.Request.URL.Path, tr.failures(), u.Subject)
	}
	if n := tr.signIns() - signIns; n != 1 {
		t.Errorf("sign-ins: got %d; want 1", n)
	}
	tr.wantNoLeak(t)
}

// claims returns what the application knows of whoever is signed in.
func (tr *trial) claims(b *browser) (claims map[string]any) {
	tr.t.Helper()
	if err := json.Unmarshal([]byte(b.get("/claims").body), &claims); err != nil {
		tr.t.Fatalf("claims: got error %v; want an object", err)
	}
	return claims
}

// due is when an access token of an hour is to be refreshed.
const due = time.Hour - 30*time.Second

// TestConformance holds the modules of the OpenID Foundation's relying-party
// plans (oidcc-client-test…) that apply to a client of the code flow, by name.
// https://openid.net/certification/connect_rp_testing/
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, row := range conformanceRejections {
		row.run(t)
	}
	for _, row := range []struct {
		name string
		test func(*testing.T)
	}{
		{"P", conformsBasic},
		{"P-kid-absent-single-jwks", func(t *testing.T) { accepted(t, with{}, faults.IDTokenKeyIDMissing) }},
		{"P-kid-absent-multiple-jwks", conformsWithoutKeyID},
		{"P-idtoken-sig-rs256", func(t *testing.T) { accepted(t, algorithm("RS256")) }},
		{"P-scope-userinfo-claims", conformsScopes},
		{"P-client-secret-basic", conformsBasicAuthentication},
		{"P-userinfo-bearer-header", conformsBearer},
		{"P-discovery-openid-config", conformsDiscovery},
		{"P-discovery-jwks-uri-keys", conformsKeys},
		{"P-signing-key-rotation-just-before-signing", conformsRotationBeforeSigning},
		{"P-signing-key-rotation", conformsRotation},
		{"P-refresh-token", conformsRefresh},
		{"P-refresh-token-invalid-issuer", func(t *testing.T) { endsAtRefresh(t, faults.IDTokenIssuerWrong) }},
		{"P-refresh-token-invalid-sub", func(t *testing.T) { endsAtRefresh(t, faults.IDTokenSubjectWrong) }},
		{"P-rp-init-logout", func(t *testing.T) { signsOut(t) }},
		{"P-rp-init-logout-other-state", func(t *testing.T) { signsOut(t, faults.EndSessionStateWrong) }},
		{"P-rp-init-logout-no-state", func(t *testing.T) { signsOut(t, faults.EndSessionStateMissing) }},
		{"P-3rd-party-init-login", conformsThirdPartyInitiation},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.test(t)
		})
	}
}

func algorithm(name string) with {
	return with{provider: []signintest.Option{signintest.WithAlgorithm(name)}}
}

func fault(f ...signintest.Fault) []signintest.Fault { return f }

// merging merges userinfo, with all the claims there are.
var merging = with{config: func(cfg *signin.Config) {
	cfg.MergeUserInfo, cfg.Scopes = true, []string{"email", "phone", "address", "custom_data"}
}}

// initiate asks the sign-in route to begin what another site has begun.
func initiate(query string) func(*trial, *browser) answer {
	return func(_ *trial, b *browser) answer { return b.get("/sign-in?" + query) }
}

// discoverAgain begins a sign-in at an application that was just started.
func discoverAgain(tr *trial, b *browser) answer {
	tr.start()
	return b.get("/sign-in?return_to=%2Faccount")
}

func neverAsked(t *testing.T, tr *trial) {
	t.Helper()
	for _, e := range tr.seen {
		if e.url.Path == "/sign-in" && e.url.RawQuery != "" && e.header.Get("Location") != "" {
			t.Errorf("Location: got one; want none to the authorization endpoint")
		}
	}
}

var conformanceRejections = []rejection{
	{name: "P-invalid-iss", faults: fault(faults.IDTokenIssuerWrong), want: unbelieved},
	{name: "P-invalid-aud", faults: fault(faults.IDTokenAudienceWrong), want: unbelieved},
	{name: "P-nonce-invalid", faults: fault(faults.IDTokenNonceWrong), want: unbelieved},
	{name: "P-nonce-invalid because there is none", faults: fault(faults.IDTokenNonceMissing), want: unbelieved},
	{name: "P-missing-sub", faults: fault(faults.IDTokenSubjectMissing), want: unbelieved},
	{name: "P-missing-iat", faults: fault(faults.IDTokenIssuedAtMissing), want: unbelieved},
	{name: "P-missing-aud", faults: fault(faults.IDTokenAudienceMissing), want: unbelieved},
	{
		name:   "P-kid-absent-multiple-jwks with a signature by none of them",
		faults: fault(faults.IDTokenKeyIDMissing, faults.IDTokenSignatureInvalid), want: unbelieved,
		try: func(tr *trial, b *browser) answer {
			tr.provider.RotateKey()
			return tr.visit(b, "/sign-in?return_to=%2Faccount", signintest.Alice())
		},
	},
	{name: "P-idtoken-sig-none", with: algorithm("RS256"), faults: fault(faults.IDTokenAlgNone), want: unbelieved},
	{
		name: "P-idtoken-sig-none from a provider that lists none", with: algorithm("RS256"),
		faults: fault(faults.IDTokenAlgNone, faults.DiscoveryAlgNone), want: unbelieved,
		try: func(tr *trial, b *browser) answer {
			tr.start() // so that the list is read
			return tr.visit(b, "/sign-in?return_to=%2Faccount", signintest.Alice())
		},
	},
	{name: "P-invalid-sig-rs256", with: algorithm("RS256"), faults: fault(faults.IDTokenSignatureInvalid), want: unbelieved},
	{name: "P-invalid-sig-es256", with: algorithm("ES256"), faults: fault(faults.IDTokenSignatureInvalid), want: unbelieved},
	{name: "P-invalid-sig-hs256", with: algorithm("RS256"), faults: fault(faults.IDTokenHS256PEM), want: unbelieved},
	{name: "P-userinfo-invalid-sub", with: merging, faults: fault(faults.UserInfoSubjectWrong), want: unbelieved},
	{
		name: "P-discovery-issuer-mismatch", faults: fault(faults.DiscoveryIssuerWrong),
		try: discoverAgain, want: mismatch, also: neverAsked,
	},
	{
		name: "P-discovery-issuer-mismatch by a slash", faults: fault(faults.DiscoveryIssuerSlash),
		try: discoverAgain, want: mismatch, also: neverAsked,
	},
	{
		name: "P-discovery-issuer-mismatch by the whole document of another provider", faults: fault(faults.DiscoveryOtherProvider),
		try: discoverAgain, want: mismatch, also: func(t *testing.T, tr *trial) { neverAsked(t, tr); unfollowed(t, tr) },
	},
	{
		name: "P-3rd-party-init-login of a foreign issuer", shown: true,
		try:  initiate("iss=https%3A%2F%2Fother-provider.example%2Foidc&target_link_uri=%2Faccount"),
		want: refusal{http.StatusBadRequest, signin.ErrBadRequest, 0}, also: neverAsked,
	},
	{
		name: "P-3rd-party-init-login of two issuers", shown: true,
		try: func(tr *trial, b *browser) answer {
			q := url.Values{"iss": {tr.provider.Issuer, "https://other-provider.example/oidc"}}
			return b.get("/sign-in?" + q.Encode())
		},
		want: refusal{http.StatusBadRequest, signin.ErrBadRequest, 0}, also: neverAsked,
	},
}

// fapi is as far as this package follows FAPI 2.0: signatures by ES256 alone, and
// userinfo asked for, as a resource that no request may reach after a rejection.
var fapi = with{
	provider: []signintest.Option{signintest.WithAlgorithm("ES256")},
	config: func(cfg *signin.Config) {
		cfg.Provider.SigningAlgs = []string{"ES256"}
		merging.config(cfg)
	},
}

// TestConformanceFAPI holds what the client modules of the FAPI 2.0 Security Profile
// (fapi2-security-profile-id2-client-test-…) do to the authorization response and to
// the ID token. What the profile asks for besides, pushed requests, client
// authentication by keys, and sender-constrained tokens, is not supported.
// https://openid.net/specs/fapi-security-profile-2_0-final.html
func TestConformanceFAPI(t *testing.T) {
	t.Parallel()
	unused := func(t *testing.T, tr *trial) {
		t.Helper()
		if got, want := tr.provider.Stats().UserInfo, tr.signIns(); got != want {
			t.Errorf("requests with an access token: got %d; want %d, none after the rejection", got, want)
		}
	}
	for module, row := range map[string]struct {
		fault signintest.Fault
		want  refusal
	}{
		"invalid-iss":                        {faults.IDTokenIssuerWrong, unbelieved},
		"invalid-missing-iss":                {faults.IDTokenIssuerMissing, unbelieved},
		"invalid-aud":                        {faults.IDTokenAudienceWrong, unbelieved},
		"invalid-secondary-aud":              {faults.IDTokenAudienceNoAZP, unbelieved},
		"invalid-secondary-aud with azp":     {faults.IDTokenAudienceExtra, unbelieved},
		"invalid-missing-aud":                {faults.IDTokenAudienceMissing, unbelieved},
		"invalid-null-alg":                   {faults.IDTokenAlgNone, unbelieved},
		"invalid-alternate-alg":              {faults.IDTokenOtherAlgorithm, unbelieved},
		"invalid-expired-exp":                {faults.IDTokenExpired, unbelieved},
		"invalid-missing-exp":                {faults.IDTokenExpiryMissing, unbelieved},
		"invalid-nonce":                      {faults.IDTokenNonceWrong, unbelieved},
		"invalid-missing-nonce":              {faults.IDTokenNonceMissing, unbelieved},
		"invalid-authorization-response-iss": {faults.ResponseIssuerWrong, malformed},
		"remove-authorization-response-iss":  {faults.ResponseIssuerMissing, malformed},
		"ensure-authorization-response-with-invalid-state-fails":         {faults.ResponseStateWrong, notUnderWay},
		"ensure-authorization-response-with-invalid-missing-state-fails": {faults.ResponseStateMissing, malformed},
	} {
		rejection{name: "P-fapi2-" + module, with: fapi, faults: fault(row.fault), want: row.want, also: unused}.run(t)
	}
	for module, f := range map[string]signintest.Fault{
		"valid-aud-as-array":                         faults.IDTokenAudienceArray,
		"token-endpoint-response-without-expires-in": faults.TokensExpiresInAbsent,
		"token-type-case-insensitivity":              faults.TokensTypeOddCase,
	} {
		t.Run("P-fapi2-"+module, func(t *testing.T) {
			t.Parallel()
			accepted(t, fapi, f)
		})
	}
}

func conformsBasic(t *testing.T) {
	alice := signintest.Alice()
	alice.Claims = map[string]any{"custom_data": map[string]any{"team": "blue"}}
	tr := newTrial(t, merging, false)
	b := tr.browser()
	tr.wantArrival(t, b, alice)
	if n := tr.provider.Stats().UserInfo; n != 1 {
		t.Errorf("userinfo requests: got %d; want 1", n)
	}
	// custom_data is in userinfo only.
	if team, _ := tr.claims(b)["custom_data"].(map[string]any); team["team"] != "blue" {
		t.Errorf("claims: got custom_data %v; want that of userinfo", team)
	}
}

func conformsWithoutKeyID(t *testing.T) {
	tr := newTrial(t, with{}, false)
	tr.provider.RotateKey() // two keys of one algorithm
	tr.provider.Inject(faults.IDTokenKeyIDMissing, faults.KeysReversed)
	tr.wantArrival(t, tr.browser(), signintest.Alice())
}

func conformsScopes(t *testing.T) {
	tr := newTrial(t, merging, false)
	b := tr.browser()
	alice := signintest.Alice()
	alice.Claims = map[string]any{"address": map[string]any{"locality": "Basel"}}
	tr.wantArrival(t, b, alice)
	requests := tr.provider.AuthorizationRequests()
	asked := strings.Fields(requests[len(requests)-1].Asked.Get("scope"))
	for _, scope := range []string{"openid", "profile", "email", "phone", "address"} {
		if !slices.Contains(asked, scope) {
			t.Errorf("scope: got %v; want %s in it", asked, scope)
		}
	}
	got := tr.claims(b)
	for claim, want := range map[string]string{"name": alice.Name, "email": alice.Email, "phone_number": alice.Phone} {
		if got[claim] != want {
			t.Errorf("%s: got %v; want %s", claim, got[claim], want)
		}
	}
	if address, _ := got["address"].(map[string]any); address["locality"] != "Basel" {
		t.Errorf("address: got %v; want Basel", address)
	}
}

func conformsBasicAuthentication(t *testing.T) {
	tr, _ := accepted(t, with{provider: []signintest.Option{signintest.WithClientAuthMethods("client_secret_basic")}})
	for _, s := range tr.wire.requests() {
		if s.form != nil && (!strings.HasPrefix(s.header.Get("Authorization"), "Basic ") || s.form.Has("client_secret")) {
			t.Errorf("token request: got the secret in its form, or nowhere; want Basic alone")
		}
	}
}

func conformsBearer(t *testing.T) {
	tr, _ := accepted(t, merging)
	requests := slices.DeleteFunc(tr.wire.requests(), func(s sent) bool { return s.url.Path != "/oidc/me" })
	if len(requests) != 1 {
		t.Fatalf("userinfo requests: got %d; want 1", len(requests))
	}
	if r := requests[0]; !strings.HasPrefix(r.header.Get("Authorization"), "Bearer ") || r.url.RawQuery != "" || r.form != nil {
		t.Errorf("userinfo request: got query %q, form %v; want the token in the header alone", r.url.RawQuery, r.form)
	}
}

func conformsDiscovery(t *testing.T) {
	w := merging
	w.provider = []signintest.Option{signintest.WithRandomPaths()}
	tr, b := accepted(t, w)
	tr.clock.add(due)
	b.get("/account").want(t, http.StatusOK, "")
	out := b.do(http.MethodPost, "/sign-out")
	out.want(t, http.StatusSeeOther, tr.provider.URL)
	tr.provider.Visit(t, b.Client, out.Header.Get("Location"), signintest.Alice())
	got := tr.provider.Stats()
	// Both documents may have been fetched ahead by now, from where they were found.
	got.Discovery, got.Keys = min(got.Discovery, 1), min(got.Keys, 1)
	want := signintest.Stats{
		Discovery: 1, Keys: 1, Authorizations: 1, Exchanges: 1, Refreshes: 1, UserInfo: 2, Revocations: 1, EndSessions: 1,
		MostRefreshesAtOnce: 1,
	}
	if got != want {
		t.Errorf("requests that found their endpoint: got %+v; want %+v", got, want)
	}
}

func conformsKeys(t *testing.T) {
	tr, _ := accepted(t, with{provider: []signintest.Option{signintest.WithRandomPaths()}})
	if n := tr.provider.Stats().Keys; n != 1 {
		t.Errorf("requests at the address of jwks_uri: got %d; want 1", n)
	}
}

func conformsRotationBeforeSigning(t *testing.T) {
	tr, b := accepted(t, with{})
	tr.provider.RotateKey()
	tr.wantArrival(t, b, signintest.Bob())
	if n := tr.provider.Stats().Keys; n != 2 {
		t.Errorf("key requests: got %d; want 2, one before the rotation and one after", n)
	}
}

func conformsRotation(t *testing.T) {
	tr, b := accepted(t, with{})
	tr.provider.RotateKey()
	alice := signintest.Alice()
	alice.Name = "Alice Changed"
	tr.provider.SetUser(alice)
	tr.clock.add(due)
	if got := tr.claims(b)["name"]; got != alice.Name {
		t.Errorf("name after a refresh signed with the new key: got %v; want %s", got, alice.Name)
	}
	if n := tr.provider.Stats().Keys; n != 2 {
		t.Errorf("key requests: got %d; want 2, one before the rotation and one after", n)
	}
}

func conformsRefresh(t *testing.T) {
	tr, b := accepted(t, with{provider: []signintest.Option{signintest.WithRefreshRotation()}})
	alice := signintest.Alice()
	alice.Name = "Alice Changed"
	tr.provider.SetUser(alice)
	for n := range 3 {
		tr.clock.add(due)
		if got := tr.claims(b)["name"]; got != alice.Name {
			t.Errorf("name after refresh %d: got %v; want %s", n+1, got, alice.Name)
		}
	}
	if got := tr.provider.Stats(); got.Refreshes != 3 || got.RevokedForReuse != 0 {
		t.Errorf("refreshes: got %d, grants revoked for reuse %d; want 3 and none", got.Refreshes, got.RevokedForReuse)
	}
	tr.wantNoLeak(t)
}

// endsAtRefresh wants new tokens that are not to be believed to be dropped, and
// the session ended with them.
func endsAtRefresh(t *testing.T, f signintest.Fault) {
	t.Helper()
	tr, b := accepted(t, with{provider: []signintest.Option{signintest.WithRefreshRotation()}})
	copied := b.copyOf()
	inside := tr.insideCalls()
	tr.provider.Inject(f)
	tr.clock.add(due)
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
	if n := tr.insideCalls(); n != inside {
		t.Errorf("protected handler: called with tokens that are not to be believed")
	}
	if got := tr.cookiesOf(b, false); len(got) != 0 {
		t.Errorf("session cookies: got %d; want none", len(got))
	}
	tr.provider.Clear()
	for name, who := range map[string]string{"the browser": b.who(), "a copy of the old cookie": copied.who()} {
		if who != "nobody" {
			t.Errorf("%s afterwards: got %q; want nobody", name, who)
		}
	}
	if n := tr.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
		t.Errorf("refresh tokens alive: got %d; want none", n)
	}
	ended := slices.IndexFunc(tr.events, func(e signin.Event) bool { return e.Kind == signin.EventSessionEnded })
	if ended < 0 || tr.events[ended].Reason != "provider" || tr.events[ended].Subject != signintest.Alice().Subject {
		t.Errorf("events: got %v; want one that the provider has ended Alice's session", tr.kinds())
	}
	tr.wantNoLeak(t)
}

// signsOut wants the session ended here and at the provider, and the person
// back in the application, whatever state comes back with them.
func signsOut(t *testing.T, on ...signintest.Fault) {
	t.Helper()
	tr, b := accepted(t, with{}, on...)
	copied := b.copyOf()
	out := b.do(http.MethodPost, "/sign-out")
	out.want(t, http.StatusSeeOther, tr.provider.URL)
	if got := b.who(); got != "nobody" {
		t.Errorf("before the provider has heard of it: got %q; want nobody", got)
	}
	back := tr.provider.Visit(t, b.Client, out.Header.Get("Location"), signintest.Alice())
	if got := back.Request.URL; back.StatusCode != http.StatusOK || !strings.HasPrefix(got.String(), tr.server.URL+"/") {
		t.Errorf("arrived: got %s at %s; want the application", back.Status, got.Host)
	}
	if sent := back.Request.URL.Query().Has("state"); sent != slices.Contains(on, faults.EndSessionStateWrong) {
		t.Errorf("state came back: got %t; want what the module does", sent)
	}
	for name, who := range map[string]string{"the browser": b.who(), "a copy of the old cookie": copied.who()} {
		if who != "nobody" {
			t.Errorf("%s afterwards: got %q; want nobody", name, who)
		}
	}
	subject := signintest.Alice().Subject
	if n, left := tr.provider.LiveRefreshTokens(subject), tr.provider.SessionIDs(subject); n != 0 || len(left) != 0 {
		t.Errorf("left at the provider: got %d refresh tokens, %d sessions; want none", n, len(left))
	}
	tr.wantNoLeak(t)
}

func conformsThirdPartyInitiation(t *testing.T) {
	tr := newTrial(t, with{}, false)
	for _, row := range []struct{ name, target, arrives string }{
		{"a page of the application", tr.server.URL + "/account?tab=2", "/account?tab=2"},
		{"another site's page", "https://other.example/account", "/"},
	} {
		b := tr.browser()
		q := url.Values{"iss": {tr.provider.Issuer}, "target_link_uri": {row.target}, "login_hint": {"alice@example.test"}}
		got := tr.visit(b, "/sign-in?"+q.Encode(), signintest.Alice())
		if got.StatusCode != http.StatusOK || got.body != signintest.Alice().Subject || got.Request.URL.RequestURI() != row.arrives {
			t.Errorf("%s: got %s %q at %s; want Alice at %s", row.name, got.Status, got.body, got.Request.URL, row.arrives)
		}
		requests := tr.provider.AuthorizationRequests()
		if hint := requests[len(requests)-1].Asked.Get("login_hint"); hint != "alice@example.test" {
			t.Errorf("%s: got login_hint %q; want the initiator's", row.name, hint)
		}
	}
	tr.wantNoLeak(t)
}
