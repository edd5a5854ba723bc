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

	"github.com/gosignin/signin/example/app"
	"github.com/gosignin/signin/signintest"
)

// anywhere are flags for free ports.
var anywhere = []string{"-addr", "127.0.0.1:0", "-provider-addr", "127.0.0.1:0"}

// program is one run of the program.
type program struct {
	url            string // what it said to open
	stdout, stderr *output
	stop           func() error // interrupts it, and waits for its end
}

// output collects what a program writes.
type output struct {
	mu     sync.Mutex
	text   bytes.Buffer
	opened chan string // gets the address in the line that begins with "Open "
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if _, address, found := strings.Cut(string(p), "\nOpen "); found {
		o.opened <- strings.TrimSpace(address)
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs the program until the test ends.
func start(t *testing.T, args []string, env map[string]string) *program {
	t.Helper()
	p := &program{stdout: &output{opened: make(chan string, 1)}, stderr: new(output)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, lookup(env), p.stdout, p.stderr) }()
	p.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = p.stop() })
	select {
	case p.url = <-p.stdout.opened:
	case err := <-ended:
		ended <- err
		t.Fatalf("run: got error %v; want a line with the address to open", err)
	}
	return p
}

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// wantPage checks the status of a response, and a text in its page.
func wantPage(t *testing.T, resp *http.Response, err error, text string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), text) {
		t.Errorf("%s: got %d, %v; want 200 with %q\n%s", resp.Request.URL, resp.StatusCode, err, text, body)
	}
}

func TestRun_ProviderForTests(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"-addr", "localhost:0", "-provider-addr", "localhost:0"}, nil)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: new(http.Transport)}
	t.Cleanup(c.CloseIdleConnections)
	resp, err := c.Get(p.url + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if at := resp.Request.URL; !strings.Contains(p.stdout.String(), "http://"+at.Host) || at.Path != "/sign-in" {
		t.Fatalf("sign-in: got to %s; want to the provider in %q", at, p.stdout)
	}
	resp, err = c.PostForm(resp.Request.URL.String(), url.Values{"user": {signintest.Alice().Subject}})
	wantPage(t, resp, err, "Hello, Alice Example")
	resp, err = c.Get(p.url + "/orders")
	wantPage(t, resp, err, "The API lets you")
	resp, err = c.PostForm(p.url+"/sign-out", url.Values{})
	wantPage(t, resp, err, "You are not signed in")
	if got := p.stderr.String(); !strings.Contains(got, "all users are signed out when this process ends") {
		t.Errorf("stderr: got %q; want a line that says that sessions end with the program", got)
	}

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

func TestRun_Logto(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, resource, orders string }{
		{"without an API", "", "There is no API yet"},
		{"with an API", "https://orders.example.test", "<dd>read:orders</dd>"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			logto := signintest.NewProvider(signintest.WithClient("app-id", "app-secret"))
			t.Cleanup(logto.Close)
			p := start(t, []string{"-addr", "127.0.0.1:0"}, map[string]string{
				"LOGTO_ENDPOINT": logto.URL, "LOGTO_APP_ID": "app-id", "LOGTO_APP_SECRET": "app-secret",
				"SIGNIN_KEY": strings.Repeat("0123456789abcdef", 4), "API_RESOURCE": row.resource,
			})
			for _, want := range []string{logto.URL, "App ID app-id", p.url + "/callback\n"} {
				if said := p.stdout.String(); !strings.Contains(said, want) {
					t.Errorf("stdout: got %q; want %q in it", said, want)
				}
			}
			if strings.Contains(p.stdout.String(), "app-secret") {
				t.Error("stdout has the secret")
			}
			logto.RegisterRedirectURIs(p.url + "/callback")
			user := signintest.Bob()
			user.Permissions = map[string][]string{row.resource: {"read:orders"}}
			resp, err := logto.SignIn(t, nil, p.url, user).Get(p.url + "/orders")
			wantPage(t, resp, err, row.orders)
			if got := p.stderr.String(); got != "" {
				t.Errorf("stderr: got %q; want nothing", got)
			}
		})
	}
}

func TestRun_Errors(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	const key = "0123456789abcdef0123456789abcdef"
	logto := func(endpoint, key, base string) map[string]string {
		return map[string]string{"LOGTO_ENDPOINT": endpoint, "LOGTO_APP_ID": "id",
			"LOGTO_APP_SECRET": "secret", "SIGNIN_KEY": key, "BASE_URL": base}
	}
	for _, row := range []struct {
		name string
		args []string
		env  map[string]string
		code int
		want string
	}{
		{"a mistake in the flags", []string{"-port", "3000"}, nil, 2, "flag provided but not defined: -port"},
		{"the endpoint is the issuer", nil, logto("https://tenant.logto.app/oidc", key, ""), 2,
			`signin: Config.LogtoEndpoint (LOGTO_ENDPOINT) is "https://tenant.logto.app/oidc"; needs the endpoint alone, such as https://tenant.logto.app`},
		{"the key is short", nil, logto("https://tenant.logto.app", "short", ""), 2,
			"signin: Config.Keys[0] (SIGNIN_KEY) has 5 bytes; needs 32 or more: openssl rand -hex 32"},
		{"the key is missing and the base URL is not on loopback", nil,
			logto("https://tenant.logto.app", "", "https://app.example.com"), 2,
			"signin: Config.Keys (SIGNIN_KEY) are missing; make one with openssl rand -hex 32 (optional only while BaseURL is on loopback)"},
		{"the base URL has plain http", nil, logto("https://tenant.logto.app", key, "http://app.example.com"), 2,
			`signin: Config.BaseURL (BASE_URL) is "http://app.example.com"; needs https, since http is accepted on loopback only`},
		{"the API has a fragment", nil, map[string]string{"API_RESOURCE": "https://api.example.com#orders"}, 2,
			`signin: Config.Resources (API_RESOURCE) has "https://api.example.com#orders"; needs absolute URIs without a fragment`},
		{"the provider for tests would be open to other machines", []string{"-provider-addr", ":3001"}, nil, 2,
			`-provider-addr is ":3001"; needs an address such as 127.0.0.1:3001 that only this machine reaches, since there is no password`},
		{"another program is at the address", []string{"-addr", l.Addr().String()}, nil, 1,
			"listen tcp " + l.Addr().String() + ": bind: address already in use; choose another address with -addr"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // if there is no error, it ends at once
			var stdout, stderr bytes.Buffer
			err := run(ctx, slices.Concat(anywhere, row.args), lookup(row.env), &stdout, io.Discard)
			if code := app.Report(err, &stderr); code != row.code || stderr.String() != row.want+"\n" {
				t.Errorf("got exit code %d and %q; want %d and %q", code, &stderr, row.code, row.want)
			}
			if stdout.Len() > 0 {
				t.Errorf("stdout: got %q; want nothing", &stdout)
			}
		})
	}
}

func TestRun_Help(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, lookup(nil), &stdout, &stderr); err != nil ||
		stdout.String() != usage+app.Help || stderr.Len() > 0 {
		t.Errorf("got error %v, %q and %q; want none, the help and nothing", err, &stdout, &stderr)
	}
}

func TestRun_OutputClosed(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	r.Close()
	for _, args := range [][]string{anywhere, {"-help"}} {
		if err := run(t.Context(), args, lookup(nil), w, io.Discard); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("run %v: got error %v; want %v", args, err, io.ErrClosedPipe)
		}
	}
}
