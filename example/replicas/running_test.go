package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/gosignin/signin/signintest"
)

// The test binary is the program itself where it is called by its name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "replicas" {
		main()
	}
	// Redis is taken from under some of the programs here, and its client would
	// fill the screen with it.
	logging.Disable()
	os.Exit(m.Run())
}

// running is one run of the program.
type running struct {
	t      *testing.T
	url    string // what it said to open
	stdout *output
	stderr *output
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

// opened waits for the line that says what to open.
func (o *output) opened(t *testing.T, ended <-chan error) string {
	t.Helper()
	for {
		_, after, _ := strings.Cut(o.String(), "\nOpen ")
		if address, _, complete := strings.Cut(after, "\n"); complete {
			return address
		}
		select {
		case <-o.written:
		case err := <-ended:
			t.Fatalf("got error %v; want a line with the address to open\n%s", err, o)
		}
	}
}

// replicasOf are the flags for as many replicas, on free ports.
func replicasOf(n int, redis string) []string {
	return []string{"-replicas", fmt.Sprint(n), "-redis", redis, "-addr", "127.0.0.1:0", "-provider-addr", "127.0.0.1:0"}
}

// start runs the program until the test ends.
func start(t *testing.T, args []string, env map[string]string) *running {
	t.Helper()
	p := &running{t: t, stdout: newOutput(), stderr: newOutput()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, lookup(env), p.stdout, p.stderr) }()
	p.url = p.stdout.opened(t, ended)
	p.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = p.stop() })
	return p
}

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// newLogto is a provider that the test has in its hand.
func newLogto(t *testing.T) *signintest.Provider {
	t.Helper()
	logto := signintest.NewProvider(signintest.WithClient("app-id", "app-secret"))
	t.Cleanup(logto.Close)
	return logto
}

// environ is what the program has to be told of logto.
func environ(logto *signintest.Provider) []string {
	return []string{
		"LOGTO_ENDPOINT=" + logto.URL, "LOGTO_APP_ID=app-id", "LOGTO_APP_SECRET=app-secret",
		"SIGNIN_KEY=" + strings.Repeat("0123456789abcdef", 4), "API_RESOURCE=https://api.example.com",
	}
}

// register does what is to be done in Logto's console.
func (p *running) register(logto *signintest.Provider) {
	logto.RegisterRedirectURIs(p.url + "/callback")
	logto.RegisterSignOutURIs(p.url + "/")
	logto.RegisterBackChannelURIs(p.url + "/backchannel-logout")
}

// startAtLogto runs three replicas for the people of a provider.
func startAtLogto(t *testing.T, redis string) (*running, *signintest.Provider) {
	t.Helper()
	logto, env := newLogto(t), map[string]string{}
	for _, line := range environ(logto) {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	p := start(t, replicasOf(3, redis), env)
	p.register(logto)
	return p, logto
}

// An answer is what a browser gets for one request.
type answer struct {
	status            int
	location, replica string
	session           bool // a new one came with it
	body              string
}

// send makes one request as a navigation does, with a form if there is one, and
// follows no redirect.
func (p *running) send(c *http.Client, path string, form url.Values) answer {
	p.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	still := *c
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := still.Do(r)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{
		status: resp.StatusCode, location: resp.Header.Get("Location"), replica: resp.Header.Get("X-Replica"), body: string(got),
	}
}

// everywhere sends a request to each of the three replicas, and checks what they
// answer. They have to come in turn.
func (p *running) everywhere(c *http.Client, path string, want func(answer) bool, wanted string) {
	p.t.Helper()
	var replicas []string
	for range 3 {
		got := p.send(c, path, nil)
		replicas = append(replicas, got.replica)
		if !want(got) {
			p.t.Errorf("%s from replica %s: got %d to %q; want %s\n%s", path, got.replica, got.status, got.location, wanted, got.body)
		}
	}
	slices.Sort(replicas)
	if !slices.Equal(replicas, []string{"1", "2", "3"}) {
		p.t.Errorf("%s: got answers from replicas %v; want one from each", path, replicas)
	}
}

// wantKnown checks that every replica knows somebody by name, and says which
// replica it is.
func (p *running) wantKnown(c *http.Client, name string) {
	p.t.Helper()
	p.everywhere(c, "/account", func(a answer) bool {
		return a.status == http.StatusOK && strings.Contains(a.body, name) &&
			strings.Contains(a.body, "This page came from replica "+a.replica+" of 3.")
	}, "200 with "+name+" and the replica's number")
}

// wantNobody checks that every replica asks who is there.
func (p *running) wantNobody(c *http.Client) {
	p.t.Helper()
	p.everywhere(c, "/account", func(a answer) bool {
		return a.status == http.StatusSeeOther && a.location == "/sign-in?return_to=%2Faccount" && !strings.Contains(a.body, "About you")
	}, "303 to the sign-in")
	p.everywhere(c, "/", func(a answer) bool {
		return a.status == http.StatusOK && strings.Contains(a.body, "You are not signed in")
	}, "the home page of nobody")
}

// copyOf is another browser with the cookies that c has for the application.
func (p *running) copyOf(c *http.Client) *http.Client {
	p.t.Helper()
	thief := newClient(p.t)
	at, err := url.Parse(p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	cookies := c.Jar.Cookies(at)
	if len(cookies) == 0 {
		p.t.Fatal("there is no cookie to copy")
	}
	thief.Jar.SetCookies(at, cookies)
	return thief
}

func newClient(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second}
}

// refused waits until nobody listens at address any more: a server there has begun
// to stop.
func refused(address string) {
	for {
		c, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
		if err != nil {
			return
		}
		c.Close()
	}
}

// signIn signs Alice in with c, and returns the callback's answer. What comes
// after it is not asked for: perhaps nobody is there any more.
func (p *running) signIn(c *http.Client) answer {
	p.t.Helper()
	resp, err := c.Get(p.url + "/sign-in")
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	c.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.String() == p.url+"/" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err = c.PostForm(resp.Request.URL.String(), url.Values{"user": {signintest.Alice().Subject}})
	if err != nil {
		p.t.Fatal(err)
	}
	resp.Body.Close()
	session := slices.ContainsFunc(resp.Cookies(), func(c *http.Cookie) bool { return c.Name == "signin" && c.Value != "" })
	return answer{status: resp.StatusCode, location: resp.Header.Get("Location"), session: session}
}
