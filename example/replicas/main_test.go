package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/gosignin/signin/example/app"
	"github.com/gosignin/signin/signintest"
)

func TestMain(m *testing.M) {
	logging.Disable() // some tests end Redis, and its client would log that
	os.Exit(m.Run())
}

// running is one run of the program.
type running struct {
	t              *testing.T
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

func newOutput() *output { return &output{opened: make(chan string, 1)} }

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

var anywhere = []string{"-addr", "127.0.0.1:0", "-provider-addr", "127.0.0.1:0"}

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

const webhookKey = "Xf7LgYmWzhbJ0W2r3MXVzdF4pLWNE1oI"

// start runs the program with three replicas until the test ends. People sign in at
// a provider that the test controls.
func start(t *testing.T, redisAddr string) (*running, *signintest.Provider) {
	t.Helper()
	logto := signintest.NewProvider(signintest.WithClient("app-id", "app-secret"))
	t.Cleanup(logto.Close)
	env := map[string]string{
		"LOGTO_ENDPOINT": logto.URL, "LOGTO_APP_ID": "app-id", "LOGTO_APP_SECRET": "app-secret",
		"SIGNIN_KEY": strings.Repeat("0123456789abcdef", 4), "API_RESOURCE": "https://api.example.com",
		"LOGTO_WEBHOOK_KEY": webhookKey,
	}
	p := &running{t: t, stdout: newOutput(), stderr: new(output)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{"-redis", redisAddr}, anywhere...), lookup(env), p.stdout, p.stderr)
	}()
	p.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = p.stop() })
	select {
	case p.url = <-p.stdout.opened:
	case err := <-ended:
		ended <- err
		t.Fatalf("got error %v; want a line with the address to open", err)
	}
	logto.RegisterRedirectURIs(p.url + "/callback")
	logto.RegisterSignOutURIs(p.url + "/")
	logto.RegisterBackChannelURIs(p.url + "/backchannel-logout")
	logto.SetWebhook(p.url+"/logto-webhook", webhookKey)
	return p, logto
}

// testRedis starts a Redis for one test.
func testRedis(t *testing.T) *redisServer {
	t.Helper()
	s, err := openRedis(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// answer is what a browser gets for one request.
type answer struct {
	status                  int
	location, replica, body string
}

// send sends one request as a navigation does, with a form if there is one, and
// follows no redirect.
func (p *running) send(c *http.Client, path string, form url.Values) answer {
	p.t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	one := *c
	one.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := one.Do(r)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Location"), resp.Header.Get("X-Replica"), string(body)}
}

// everywhere sends a request to each of the three replicas, and checks the answers.
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
	if slices.Sort(replicas); !slices.Equal(replicas, []string{"1", "2", "3"}) {
		p.t.Errorf("%s: got answers from replicas %v; want one from each", path, replicas)
	}
}

// stream opens the events of the live page at the replica whose turn it is. It returns
// them when the stream has ended.
func (p *running) stream(c *http.Client) <-chan string {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+"/live/events", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	resp, err := c.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		p.t.Fatalf("stream: got %s; want 200", resp.Status)
	}
	ended := make(chan string, 1)
	go func() {
		events, _ := io.ReadAll(resp.Body)
		ended <- string(events)
	}()
	return ended
}

// wantSignedIn checks that every replica knows the user, and names itself.
func (p *running) wantSignedIn(c *http.Client, name string) {
	p.t.Helper()
	p.everywhere(c, "/account", func(a answer) bool {
		return a.status == http.StatusOK && strings.Contains(a.body, name) &&
			strings.Contains(a.body, "This page came from replica "+a.replica+" of 3.")
	}, "200 with "+name+" and the replica's number")
}

// wantSignedOut checks that every replica asks for a sign-in.
func (p *running) wantSignedOut(c *http.Client) {
	p.t.Helper()
	p.everywhere(c, "/account", func(a answer) bool {
		return a.status == http.StatusSeeOther && a.location == "/sign-in?return_to=%2Faccount" &&
			!strings.Contains(a.body, "About you")
	}, "303 to the sign-in")
	p.everywhere(c, "/", func(a answer) bool {
		return a.status == http.StatusOK && strings.Contains(a.body, "You are not signed in")
	}, "the home page for people who are not signed in")
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

func TestReplicas_SignOutReachesAll(t *testing.T) {
	t.Parallel()
	redis := testRedis(t).addr
	for _, row := range []struct {
		name    string
		signOut func(*running, *signintest.Provider, *http.Client)
	}{
		{"at one replica", func(p *running, logto *signintest.Provider, alice *http.Client) {
			got := p.send(alice, "/sign-out", url.Values{})
			if got.status != http.StatusSeeOther || !strings.HasPrefix(got.location, logto.URL) {
				p.t.Errorf("sign-out: got %d to %q; want 303 to the provider", got.status, got.location)
			}
		}},
		{"by a logout token, which the provider sends to one replica", func(p *running, logto *signintest.Provider, _ *http.Client) {
			sent := logto.Logout("", logto.SessionIDs(signintest.Alice().Subject)[0])
			if len(sent) != 1 || sent[0].URL != p.url+"/backchannel-logout" || sent[0].Status != http.StatusOK {
				p.t.Errorf("logout tokens: got %+v; want one, answered with 200", sent)
			}
		}},
		{"by suspending her, which a webhook tells one replica", func(p *running, logto *signintest.Provider, _ *http.Client) {
			if sent := logto.Suspend(signintest.Alice().Subject); sent.Status != http.StatusOK {
				p.t.Errorf("webhook: got %+v; want it answered with 200", sent)
			}
			logto.Reinstate(signintest.Alice().Subject) // so that no refresh ends the session
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p, logto := start(t, redis)
			alice := logto.SignIn(t, newBrowser(t), p.url, signintest.Alice())
			bob := logto.SignIn(t, newBrowser(t), p.url, signintest.Bob())
			p.wantSignedIn(alice, "Alice Example")
			at, _ := url.Parse(p.url)
			thief := newBrowser(t) // who has copied Alice's cookies
			thief.Jar.SetCookies(at, alice.Jar.Cookies(at))
			p.wantSignedIn(thief, "Alice Example")

			streams := []<-chan string{p.stream(alice), p.stream(alice), p.stream(alice)} // one at each replica

			row.signOut(p, logto, alice)
			p.wantSignedOut(alice)
			p.wantSignedOut(thief)
			p.wantSignedIn(bob, "Bob Example")
			for _, ended := range streams {
				select {
				case events := <-ended:
					if !strings.HasSuffix(events, "event: over\ndata:\n\n") {
						t.Errorf("stream: got %q; want it to say that it is over", events)
					}
				case <-time.After(15 * time.Second):
					t.Error("a stream goes on; want it ended within 5 seconds, or somewhat more on a busy machine")
				}
			}

			logto.SignIn(t, alice, p.url, signintest.Alice())
			p.wantSignedIn(alice, "Alice Example")
			if got := p.stderr.String(); got != "" {
				t.Errorf("stderr: got %q; want nothing", got)
			}
		})
	}
}

// A page that stays open does not hold up the end of the program.
func TestReplicas_EndWithOpenStreams(t *testing.T) {
	t.Parallel()
	p, logto := start(t, testRedis(t).addr)
	ended := p.stream(logto.SignIn(t, newBrowser(t), p.url, signintest.Bob()))
	if err := p.stop(); err != nil {
		t.Errorf("run: got error %v; want none", err)
	}
	if events := <-ended; !strings.HasPrefix(events, "event: session") || strings.Contains(events, "over") {
		t.Errorf("stream: got %q; want it ended, and not as if he were signed out", events)
	}
}

// The token for the API is in Redis, so one request to the provider is enough for
// all replicas. The application also accepts its own forms, although the front
// changes Host.
func TestReplicas_APITokenIsShared(t *testing.T) {
	t.Parallel()
	p, logto := start(t, testRedis(t).addr)
	alice := logto.SignIn(t, newBrowser(t), p.url, signintest.Alice())
	p.everywhere(alice, "/orders", func(a answer) bool {
		return a.status == http.StatusOK && strings.Contains(a.body, "The API lets you") &&
			strings.Contains(a.body, "alice0000001")
	}, "what the API says")
	if got := logto.Stats().Refreshes; got != 1 {
		t.Errorf("got %d requests for tokens; want one", got)
	}
	if got := p.send(alice, "/orders", url.Values{}); got.status != http.StatusOK ||
		!strings.Contains(got.body, "201 Created") {
		t.Errorf("an order: got %d; want 200 with the API's 201\n%s", got.status, got.body)
	}
}

// Without Redis, the replicas let no user in and sign no user out.
func TestReplicas_RedisDown(t *testing.T) {
	t.Parallel()
	redis := testRedis(t)
	p, logto := start(t, redis.addr)
	alice := logto.SignIn(t, newBrowser(t), p.url, signintest.Alice())
	redis.kill()
	p.everywhere(alice, "/account", func(a answer) bool {
		return a.status == http.StatusServiceUnavailable && !strings.Contains(a.body, "Alice")
	}, "503 without a name")
	p.everywhere(newBrowser(t), "/", func(a answer) bool { return a.status == http.StatusOK }, "the home page")
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	slices.Sort(lines)
	for _, replica := range []string{"replica=1", "replica=2", "replica=3"} {
		n := slices.IndexFunc(lines, func(line string) bool {
			return strings.Contains(line, " level=ERROR ") && strings.Contains(line, replica)
		})
		if n < 0 {
			t.Errorf("stderr: got %q; want an error from %s", lines, replica)
		}
	}
	if len(lines) != 3 {
		t.Errorf("stderr: got %q; want one line from each replica", lines)
	}
	if err := redis.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.wantSignedIn(alice, "Alice Example")
}

func TestRun_Errors(t *testing.T) {
	t.Parallel()
	redis := testRedis(t).addr
	foreign := behind(t, 1, http.NotFound)[0].Host
	key := strings.Repeat("k", 64)
	closed, w := io.Pipe()
	closed.Close()
	for _, row := range []struct {
		name   string
		args   []string
		env    map[string]string
		stdout io.Writer
		code   int
		want   string // how the line begins
	}{
		{"no replicas", []string{"-replicas", "0"}, nil, io.Discard, 2, "-replicas is 0; needs a number from 1 to 9"},
		{"no Redis at the address", []string{"-redis", "127.0.0.1:1"}, nil, io.Discard, 1,
			"no Redis answers at 127.0.0.1:1: dial tcp 127.0.0.1:1: "},
		{"the front's address is taken", []string{"-addr", foreign}, nil, io.Discard, 1, "listen tcp " + foreign},
		{"the API has a fragment", nil,
			map[string]string{"API_RESOURCE": "https://api.example.com#orders", "SIGNIN_KEY": key}, io.Discard, 2, "signin: Config.Resources (API_RESOURCE) has "},
		{"stdout is closed", nil, map[string]string{"SIGNIN_KEY": key}, w, 1, io.ErrClosedPipe.Error()},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			err := run(t.Context(), slices.Concat([]string{"-redis", redis}, anywhere, row.args), lookup(row.env), row.stdout, io.Discard)
			if code := app.Report(err, &stderr); code != row.code {
				t.Errorf("exit code: got %d; want %d", code, row.code)
			}
			if got := stderr.String(); !strings.HasPrefix(got, row.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("stderr: got %q; want one line that begins with %q", got, row.want)
			}
		})
	}
}
