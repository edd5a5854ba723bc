package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin/example/app"
	"github.com/gosignin/signin/signintest"
)

// anywhere are flags for free ports.
var anywhere = []string{"-addr", "127.0.0.1:0", "-provider-addr", "127.0.0.1:0"}

// program is one run of the program.
type program struct {
	t      *testing.T
	url    string // what it said to open
	stderr *output
	stdout *output
	stop   func() error // asks it to stop, and waits
}

// output is what a program writes, for a test to wait for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{}
}

func newOutput() *output { return &output{written: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.written <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// opened returns the address in the one line that begins with "Open ".
func (o *output) opened() string {
	_, after, _ := strings.Cut(o.String(), "\nOpen ")
	address, _, complete := strings.Cut(after, "\n")
	if !complete {
		return ""
	}
	return address
}

// start runs the program until the test ends.
func start(t *testing.T, args []string, env map[string]string) *program {
	t.Helper()
	p := &program{t: t, stdout: newOutput(), stderr: newOutput()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, lookup(env), p.stdout, p.stderr) }()
	p.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	for p.url == "" {
		select {
		case <-p.stdout.written:
			p.url = p.stdout.opened()
		case err := <-ended:
			ended <- err
			t.Fatalf("run: got error %v; want a line with the address to open", err)
		}
	}
	t.Cleanup(func() { _ = p.stop() })
	return p
}

// over is a context that is done, for a run that must not get as far as serving.
func over(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// browser is a client with cookies, which follows redirects.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second}
}

// page is where a browser has arrived.
type page struct {
	status int
	url    *url.URL
	header http.Header
	body   string
}

// visit opens an address, with a form if there is one, as a navigation does.
func visit(t *testing.T, c *http.Client, address string, form url.Values) page {
	t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Request.URL, resp.Header, string(got)}
}

// want checks where the browser is, and what it sees there.
func (p page) want(t *testing.T, status int, address string, texts ...string) {
	t.Helper()
	if got := p.url.String(); p.status != status || got != address {
		t.Fatalf("got %d at %s; want %d at %s\n%s", p.status, got, status, address, p.body)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Errorf("%s: got no %q in it; want it\n%s", address, text, p.body)
		}
	}
}

func TestAPersonSignsInAndOutWithTheProgramAsItStarts(t *testing.T) {
	t.Parallel()
	p, c := start(t, anywhere, nil), browser(t)
	visit(t, c, p.url+"/", nil).want(t, http.StatusOK, p.url+"/",
		"You are not signed in", `href="/sign-in"`, `href="/sign-up"`, `href="/sign-in/naver"`, `href="/sign-in/x"`)

	at := visit(t, c, p.url+"/account", nil)
	if !strings.Contains(p.stdout.String(), "http://"+at.url.Host) || at.url.Path != "/sign-in" {
		t.Fatalf("the account page: got to %s; want to the provider in %q", at.url, p.stdout)
	}
	at = visit(t, c, at.url.String(), url.Values{"user": {signintest.Alice().Subject}})
	at.want(t, http.StatusOK, p.url+"/account", "Alice Example", "alice@example.test", `src="`+p.url+`/static/portrait.svg"`)
	visit(t, c, p.url+"/", nil).want(t, http.StatusOK, p.url+"/", "Hello, Alice Example", `action="/sign-out"`)

	visit(t, c, p.url+"/sign-out", url.Values{}).want(t, http.StatusOK, p.url+"/", "You are not signed in")
	if at = visit(t, c, p.url+"/account", nil); at.url.Path != "/sign-in" {
		t.Errorf("the account page after signing out: got %s; want the provider's sign-in", at.url)
	}
	if !strings.Contains(p.stderr.String(), "everybody is signed out when this process ends") {
		t.Errorf("stderr: got %q; want a line that says that sessions end with the program", p.stderr)
	}
}

func TestWithLogtoTheProgramSaysWhatToRegisterAndSignsIn(t *testing.T) {
	t.Parallel()
	logto := signintest.NewProvider(signintest.WithClient("app-id", "app-secret"))
	t.Cleanup(logto.Close)
	p := start(t, []string{"-addr", "127.0.0.1:0"}, map[string]string{
		"LOGTO_ENDPOINT": logto.URL, "LOGTO_APP_ID": "app-id", "LOGTO_APP_SECRET": "app-secret",
		"SIGNIN_KEY": strings.Repeat("0123456789abcdef", 4),
	})
	said := p.stdout.String()
	for _, want := range []string{logto.URL, "App ID app-id", p.url + "/callback\n", p.url + "/\n", "naver\n", "x\n",
		"API_RESOURCE set to it\n", "read:orders, write:orders\n", "admin, a user role", "read:members, invite:members\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("stdout: got %q; want %q in it", said, want)
		}
	}
	if strings.Contains(said+p.stderr.String(), "app-secret") {
		t.Error("the program shows the secret")
	}
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr: got %q; want nothing", got)
	}

	logto.RegisterRedirectURIs(p.url + "/callback")
	logto.RegisterSignOutURIs(p.url + "/")
	c := logto.SignIn(t, nil, p.url, signintest.Bob())
	visit(t, c, p.url+"/", nil).want(t, http.StatusOK, p.url+"/", "Hello, Bob Example")
	visit(t, c, p.url+"/orders", nil).want(t, http.StatusOK, p.url+"/orders", "There is no API yet")
	visit(t, c, p.url+"/sign-out", url.Values{}).want(t, http.StatusOK, p.url+"/", "You are not signed in")
}

func TestWithLogtoAndAnAPIItAsksForTheAPI(t *testing.T) {
	t.Parallel()
	logto := signintest.NewProvider()
	t.Cleanup(logto.Close)
	p := start(t, []string{"-addr", "127.0.0.1:0"}, map[string]string{
		"LOGTO_ENDPOINT": logto.URL, "LOGTO_APP_ID": "signintest-app", "LOGTO_APP_SECRET": "signintest-app-secret",
		"API_RESOURCE": "https://orders.example.test",
	})
	if said := p.stdout.String(); !strings.Contains(said, "https://orders.example.test (if it is missing, Logto refuses every sign-in)\n") {
		t.Errorf("stdout: got %q; want the API to register", said)
	}
	logto.RegisterRedirectURIs(p.url + "/callback")
	alice := signintest.Alice()
	alice.Permissions = map[string][]string{"https://orders.example.test": {"read:orders"}}
	c := logto.SignIn(t, nil, p.url, alice)
	visit(t, c, p.url+"/orders", nil).want(t, http.StatusOK, p.url+"/orders", "The API lets you", "<dd>read:orders</dd>")
	visit(t, c, p.url+"/orders", url.Values{}).want(t, http.StatusOK, p.url+"/orders", "The API says no", "write:orders")
}

func TestEachWayToSignInAsksLogtoForIt(t *testing.T) {
	t.Parallel()
	logto := signintest.NewProvider()
	t.Cleanup(logto.Close)
	p := start(t, []string{"-addr", "127.0.0.1:0"}, map[string]string{
		"LOGTO_ENDPOINT": logto.URL, "LOGTO_APP_ID": "signintest-app", "LOGTO_APP_SECRET": "signintest-app-secret",
	})
	logto.RegisterRedirectURIs(p.url + "/callback")
	for _, row := range []struct{ path, firstScreen, direct string }{
		{"/sign-in", "", ""},
		{"/sign-up", "register", ""},
		{"/sign-in/naver", "", "social:naver"},
		{"/sign-in/x", "", "social:x"},
	} {
		visit(t, browser(t), p.url+row.path, nil)
		requests := logto.AuthorizationRequests()
		asked := requests[len(requests)-1].Effective
		if got := asked.Get("first_screen"); got != row.firstScreen {
			t.Errorf("%s: first_screen: got %q; want %q", row.path, got, row.firstScreen)
		}
		if got := asked.Get("direct_sign_in"); got != row.direct {
			t.Errorf("%s: direct_sign_in: got %q; want %q", row.path, got, row.direct)
		}
		if got, want := asked.Get("scope"), "openid profile offline_access email roles urn:logto:scope:organizations "+
			"urn:logto:scope:organization_roles read:orders write:orders read:members invite:members"; got != want {
			t.Errorf("%s: scope: got %q; want %q", row.path, got, want)
		}
	}
}

func TestTheProgramStopsWhenItIsAskedTo(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"-addr", "localhost:0", "-provider-addr", "localhost:0"}, nil)
	if err := p.stop(); err != nil {
		t.Errorf("run: got error %v; want none", err)
	}
	addresses := regexp.MustCompile(`http://[\w.]+:\d+`).FindAllString(p.stdout.String(), -1)
	if len(addresses) != 3 {
		t.Fatalf("got addresses %q; want those of provider, API and application", addresses)
	}
	for _, address := range addresses {
		l, err := net.Listen("tcp", strings.TrimPrefix(address, "http://"))
		if err != nil {
			t.Errorf("%s after the program: got %v; want it free", address, err)
			continue
		}
		l.Close()
	}
}

// providerOf returns the address at which the program says its provider is: the
// first one it names.
func providerOf(p *program) string {
	return regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.stdout.String())
}

func TestAMistakeInTheSettingsIsOneClearLine(t *testing.T) {
	t.Parallel()
	logto := map[string]string{"LOGTO_ENDPOINT": "https://tenant.logto.app", "LOGTO_APP_ID": "id", "LOGTO_APP_SECRET": "secret"}
	with := func(name, value string) map[string]string {
		env := map[string]string{name: value}
		for k, v := range logto {
			if k != name {
				env[k] = v
			}
		}
		return env
	}
	const all = "; set all of LOGTO_ENDPOINT, LOGTO_APP_ID, LOGTO_APP_SECRET, or none for the provider for tests"
	for _, row := range []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"the secret is missing", nil, with("LOGTO_APP_SECRET", ""), "missing: LOGTO_APP_SECRET" + all},
		{"the endpoint is missing", nil, with("LOGTO_ENDPOINT", ""), "missing: LOGTO_ENDPOINT" + all},
		{"only the endpoint is there", nil, map[string]string{"LOGTO_ENDPOINT": "https://tenant.logto.app"}, "missing: LOGTO_APP_ID, LOGTO_APP_SECRET" + all},
		{"the endpoint is the issuer", nil, with("LOGTO_ENDPOINT", "https://tenant.logto.app/oidc"),
			`signin: Config.LogtoEndpoint (LOGTO_ENDPOINT) is "https://tenant.logto.app/oidc"; needs the endpoint alone, such as https://tenant.logto.app`},
		{"the key is short", nil, with("SIGNIN_KEY", "short"), "signin: Config.Keys[0] (SIGNIN_KEY) has 5 bytes; needs 32 or more: openssl rand -hex 32"},
		{"the key is missing where it has to last", nil, with("BASE_URL", "https://app.example.com"),
			"signin: Config.Keys (SIGNIN_KEY) are missing; make one with openssl rand -hex 32 (optional only while BaseURL is on loopback)"},
		{"the base URL has a path", nil, with("BASE_URL", "https://example.com/app"), `BASE_URL is "https://example.com/app"; needs to end with its host`},
		{"the base URL is plain http", nil, map[string]string{"BASE_URL": "http://app.example.com", "SIGNIN_KEY": strings.Repeat("k", 32)},
			`signin: Config.BaseURL (BASE_URL) is "http://app.example.com"; needs https, since http is accepted on loopback only`},
		{"the base URL is none", nil, map[string]string{"BASE_URL": "app.example.com", "SIGNIN_KEY": strings.Repeat("k", 32)},
			`signin: Config.BaseURL (BASE_URL) is "app.example.com"; needs an absolute URL such as https://host`},
		{"the API has no scheme", nil, with("API_RESOURCE", "api.example.com"), `API_RESOURCE is "api.example.com"; needs an absolute URI such as https://api.example.com`},
		{"the API has a fragment", nil, with("API_RESOURCE", "https://api.example.com#orders"),
			`signin: Config.Resources (API_RESOURCE) has "https://api.example.com#orders"; needs absolute URIs without a fragment`},
		{"a flag is unknown", []string{"-port", "3000"}, nil, "flag provided but not defined: -port"},
		{"replicas share nothing", []string{"-replicas", "3"}, nil,
			"-replicas needs -redis, such as -redis 127.0.0.1:6379, where replicas tell each other who has signed out"},
		{"Redis is for nobody", []string{"-redis", "127.0.0.1:6379"}, nil, "-redis needs -replicas, such as -replicas 3; a single process has nobody to share with"},
		{"a word is no flag", []string{"serve"}, nil, `"serve" is no flag; -help lists them`},
		{"the provider for tests would be in the open", []string{"-provider-addr", ":3001"}, nil,
			`-provider-addr is ":3001"; needs an address such as 127.0.0.1:3001 that only this machine reaches, since there is no password`},
		{"the provider for tests would be at every address", []string{"-provider-addr", "0.0.0.0:0"}, nil,
			`-provider-addr is "0.0.0.0:0"; needs an address such as 127.0.0.1:3001 that only this machine reaches, since there is no password`},
		{"the provider for tests has no port", []string{"-provider-addr", "127.0.0.1"}, nil,
			`-provider-addr is "127.0.0.1"; needs an address such as 127.0.0.1:3001 that only this machine reaches, since there is no password`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var stdout bytes.Buffer
			err := run(over(t), slices.Concat(anywhere, row.args), lookup(row.env), &stdout, io.Discard)
			if err == nil || err.Error() != row.want {
				t.Fatalf("run: got error %v; want %s", err, row.want)
			}
			if got := app.Report(err, io.Discard); got != 2 {
				t.Errorf("exit code: got %d; want 2", got)
			}
			if stdout.Len() > 0 {
				t.Errorf("stdout: got %q; want nothing", &stdout)
			}
		})
	}
}

func TestAnAddressThatCannotBeHadIsOneClearLine(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, row := range []struct{ name, addr, providerAddr, about, flag string }{
		{"another program is there", l.Addr().String(), "127.0.0.1:0", l.Addr().String(), "-addr"},
		{"there is no such port", "127.0.0.1:99999", "127.0.0.1:0", "99999", "-addr"},
		{"there is no such port for the provider", "127.0.0.1:0", "127.0.0.1:99999", "99999", "-provider-addr"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := run(over(t), []string{"-addr", row.addr, "-provider-addr", row.providerAddr}, lookup(nil), io.Discard, io.Discard)
			if err == nil || strings.Contains(err.Error(), "\n") ||
				!strings.Contains(err.Error(), row.about) || !strings.HasSuffix(err.Error(), "; choose another address with "+row.flag) {
				t.Errorf("run: got error %v; want one line with %s and %s", err, row.about, row.flag)
			}
			if got := app.Report(err, io.Discard); got != 1 {
				t.Errorf("exit code: got %d; want 1", got)
			}
		})
	}
}

func TestHelpIsAllThatHelpShows(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if err := run(over(t), []string{"-help"}, lookup(nil), &stdout, &stderr); err != nil || stdout.String() != app.Help || stderr.Len() > 0 {
		t.Errorf("got error %v, %q and %q; want none, the help and nothing", err, &stdout, &stderr)
	}
}

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	r.Close()
	for _, args := range [][]string{anywhere, {"-help"}} {
		if err := run(over(t), args, lookup(nil), w, io.Discard); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("run %v: got error %v; want %v", args, err, io.ErrClosedPipe)
		}
	}
}
