package main

import (
	"bytes"
	"context"
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
		t.Fatalf("sign-in: got to %s; want the provider's address in %q", at, p.stdout)
	}
	resp, err = c.PostForm(resp.Request.URL.String(), url.Values{"user": {signintest.Alice().Subject}})
	wantPage(t, resp, err, "Hello, Alice Example")
	resp, err = c.Get(p.url + "/orders")
	wantPage(t, resp, err, "The API lets you")
	resp, err = c.PostForm(p.url+"/sign-out", url.Values{})
	wantPage(t, resp, err, "You are not signed in")
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr: got %q; want no warnings in a demonstration", got)
	}

	if err := p.stop(); err != nil {
		t.Errorf("run: got error %v; want none", err)
	}
	addresses := regexp.MustCompile(`http://[\w.]+:\d+`).FindAllString(p.stdout.String(), -1)
	slices.Sort(addresses)
	if addresses = slices.Compact(addresses); len(addresses) != 3 {
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
	logto := signintest.NewProvider(signintest.WithClient("app-id", "app-secret"))
	t.Cleanup(logto.Close)
	p := start(t, []string{"-addr", "127.0.0.1:0"}, map[string]string{
		"LOGTO_ENDPOINT": logto.URL, "LOGTO_APP_ID": "app-id", "LOGTO_APP_SECRET": "app-secret",
		"SIGNIN_KEY": strings.Repeat("0123456789abcdef", 4), "API_RESOURCE": "https://orders.example.test",
	})
	logto.RegisterRedirectURIs(p.url + "/callback")
	user := signintest.Bob()
	user.Permissions = map[string][]string{"https://orders.example.test": {"read:orders"}}
	resp, err := logto.SignIn(t, nil, p.url, user).Get(p.url + "/orders")
	wantPage(t, resp, err, "<dd>read:orders</dd>")
	if said := p.stdout.String(); !strings.Contains(said, logto.URL) || strings.Contains(said, "app-secret") || p.stderr.String() != "" {
		t.Errorf("got %q and %q; want the endpoint, no secret, and nothing on stderr", said, p.stderr)
	}
}

// Packages app and settings test which mistakes there are.
func TestRun_Errors(t *testing.T) {
	t.Parallel()
	closed, w := io.Pipe()
	closed.Close()
	for _, row := range []struct {
		name   string
		args   []string
		env    map[string]string
		stdout io.Writer
		want   string
	}{
		{"a mistake in the flags", []string{"-port", "3000"}, nil, io.Discard, "flag provided but not defined: -port; -help lists the flags"},
		{"a mistake in Config", nil, map[string]string{"API_RESOURCE": "https://api.example.com#orders"}, io.Discard,
			`signin: Config.Resources (API_RESOURCE) has "https://api.example.com#orders"; needs absolute URIs without a fragment`},
		{"an address that it cannot take", []string{"-addr", "127.0.0.1:99999"}, nil, io.Discard,
			"listen tcp: address 99999: invalid port; choose another address with -addr"},
		{"an address for the provider that it cannot take", []string{"-provider-addr", "127.0.0.1:99999"}, nil, io.Discard,
			"listen tcp: address 99999: invalid port; choose another address with -provider-addr"},
		{"stdout is closed", nil, nil, w, "io: read/write on closed pipe"},
		{"stdout is closed, with -help", []string{"-help"}, nil, w, "io: read/write on closed pipe"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			app.Report(run(t.Context(), slices.Concat(anywhere, row.args), lookup(row.env), row.stdout, io.Discard), &stderr)
			if stderr.String() != row.want+"\n" {
				t.Errorf("got %q; want %q", &stderr, row.want)
			}
		})
	}
}
