package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/example/app"
	"github.com/gosignin/signin/signintest"
)

func TestEveryReplicaKnowsWhoHasSignedInAtOne(t *testing.T) {
	t.Parallel()
	p, logto := startAtLogto(t, startRedis(t).addr)
	alice, bob := logto.SignIn(t, newClient(t), p.url, signintest.Alice()), logto.SignIn(t, newClient(t), p.url, signintest.Bob())
	p.wantKnown(alice, "Alice Example")
	p.wantKnown(bob, "Bob Example")
	p.wantNobody(newClient(t))
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr: got %q; want nothing", got)
	}
	for _, want := range []string{logto.URL, p.url + "/callback\n", "Replicas: 3"} {
		if got := p.stdout.String(); !strings.Contains(got, want) {
			t.Errorf("stdout: got %q; want %q in it", got, want)
		}
	}
}

// The token for the API is in Redis, so the provider is asked for one, and not for
// three. And a form is the application's own, though the front changes Host.
func TestEveryReplicaAsksTheAPIWithTheSameToken(t *testing.T) {
	t.Parallel()
	p, logto := startAtLogto(t, startRedis(t).addr)
	alice := logto.SignIn(t, newClient(t), p.url, signintest.Alice())
	p.everywhere(alice, "/orders", func(a answer) bool {
		return a.status == http.StatusOK && strings.Contains(a.body, "The API lets you") && strings.Contains(a.body, "alice0000001")
	}, "what the API says")
	if got := logto.Stats().Refreshes; got != 1 {
		t.Errorf("got %d requests for tokens; want one", got)
	}
	if got := p.send(alice, "/orders", url.Values{}); got.status != http.StatusOK || !strings.Contains(got.body, "201 Created") {
		t.Errorf("an order: got %d; want 200 with the API's 201\n%s", got.status, got.body)
	}
}

// CASES 5.8, over replicas: what one has ended, no other goes on with, whether
// it is the browser's own cookie or a copy that was made before.
func TestWhoSignsOutAtOneReplicaIsOutAtAll(t *testing.T) {
	t.Parallel()
	p, logto := startAtLogto(t, startRedis(t).addr)
	alice, bob := logto.SignIn(t, newClient(t), p.url, signintest.Alice()), logto.SignIn(t, newClient(t), p.url, signintest.Bob())
	thief := p.copyOf(alice)
	p.wantKnown(thief, "Alice Example")

	if got := p.send(alice, "/sign-out", url.Values{}); got.status != http.StatusSeeOther || !strings.HasPrefix(got.location, logto.URL) {
		t.Fatalf("sign-out: got %d to %q; want 303 to the provider", got.status, got.location)
	}
	p.wantNobody(thief)
	p.wantNobody(alice)
	p.wantKnown(bob, "Bob Example")

	logto.SignIn(t, alice, p.url, signintest.Alice())
	p.wantKnown(alice, "Alice Example")
}

// CASES 5.8: the provider tells one replica, and all go by it.
func TestWhomTheProviderSignsOutIsOutAtAll(t *testing.T) {
	t.Parallel()
	p, logto := startAtLogto(t, startRedis(t).addr)
	alice, bob := logto.SignIn(t, newClient(t), p.url, signintest.Alice()), logto.SignIn(t, newClient(t), p.url, signintest.Bob())
	thief := p.copyOf(alice)
	p.wantKnown(thief, "Alice Example")

	deliveries := logto.Logout("", logto.SessionIDs(signintest.Alice().Subject)[0])
	if len(deliveries) != 1 || deliveries[0].URL != p.url+"/backchannel-logout" || deliveries[0].Status != http.StatusOK {
		t.Fatalf("logout tokens: got %+v; want one, taken with 200", deliveries)
	}
	p.wantNobody(thief)
	p.wantNobody(alice)
	p.wantKnown(bob, "Bob Example")
}

// CASES 5.9: without Redis nobody is let in, and nobody signed out.
func TestWithoutRedisEveryReplicaSaysSo(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	p, logto := startAtLogto(t, redis.addr)
	alice := logto.SignIn(t, newClient(t), p.url, signintest.Alice())
	p.wantKnown(alice, "Alice Example")

	redis.kill()
	p.everywhere(alice, "/account", func(a answer) bool {
		return a.status == http.StatusServiceUnavailable && !strings.Contains(a.body, "Alice")
	}, "503, and nobody's name")
	p.everywhere(newClient(t), "/", func(a answer) bool { return a.status == http.StatusOK }, "the home page of nobody")
	for _, replica := range []string{"replica=1", "replica=2", "replica=3"} {
		if got := p.stderr.String(); !strings.Contains(got, replica) {
			t.Errorf("stderr: got %q; want %s to complain", got, replica)
		}
	}

	if err := redis.start(); err != nil {
		t.Fatal(err)
	}
	p.wantKnown(alice, "Alice Example")
}

func TestWithoutSettingsThereIsOneKeyAndOneProviderForAll(t *testing.T) {
	t.Parallel()
	p := start(t, replicasOf(2, startRedis(t).addr), nil)
	provider := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.stdout.String())
	c := newClient(t)
	resp, err := c.Get(p.url + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	at := resp.Request.URL
	if "http://"+at.Host != provider {
		t.Fatalf("sign-in: got to %s; want to the provider at %s", at, provider)
	}
	resp, err = c.PostForm(at.String(), url.Values{"user": {signintest.Alice().Subject}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for range 2 {
		got := p.send(c, "/account", nil)
		if got.status != http.StatusOK || !strings.Contains(got.body, "Alice Example") || !strings.Contains(got.body, "came from replica "+got.replica+" of 2.") {
			t.Errorf("account from replica %s: got %d; want 200 with Alice's name\n%s", got.replica, got.status, got.body)
		}
	}
	if got := p.stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "everybody is signed out when this process ends") {
		t.Errorf("stderr: got %q; want one line that says that sessions end with the program", got)
	}
}

func TestTheProgramStopsWhenItIsAskedTo(t *testing.T) {
	t.Parallel()
	p := start(t, replicasOf(3, startRedis(t).addr), nil)
	if err := p.stop(); err != nil {
		t.Errorf("run: got error %v; want none", err)
	}
	for _, address := range append(regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindAllString(p.stdout.String(), -1), p.url) {
		l, err := net.Listen("tcp", strings.TrimPrefix(address, "http://"))
		if err != nil {
			t.Errorf("%s after the program: got %v; want it free", address, err)
			continue
		}
		l.Close()
	}
}

// The front may still have requests for them.
func TestReplicasServeUntilTheFrontIsDoneWithThem(t *testing.T) {
	t.Parallel()
	s, err := app.ReadSettings(replicasOf(2, startRedis(t).addr), lookup(nil))
	if err != nil {
		t.Fatal(err)
	}
	provider := signintest.NewProvider()
	t.Cleanup(provider.Close)
	cfg := provider.Config("http://localhost:3000")
	cfg.Logger = quiet()
	ctx, cancel := context.WithCancel(t.Context())
	all, err := startReplicas(ctx, cfg, s)
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	cancel()
	c := newClient(t)
	for _, address := range all.urls {
		resp, err := c.Get(address.String() + "/")
		if err != nil {
			t.Fatalf("a replica that has not been stopped: got %v; want an answer", err)
		}
		resp.Body.Close()
	}
	all.stop()
	for _, address := range all.urls {
		if conn, err := net.Dial("tcp", address.Host); err == nil {
			conn.Close()
			t.Errorf("%s after the end: got a connection; want none", address)
		}
	}
}

// A request under way has a replica to answer it until it is answered, and that
// one has its Redis.
func TestASignInThatIsUnderWayIsFinishedFirst(t *testing.T) {
	t.Parallel()
	p, logto := startAtLogto(t, startRedis(t).addr)
	stopped := make(chan error, 1)
	logto.OnTokenRequest(func(url.Values) {
		go func() { stopped <- p.stop() }()
		refused(p.url)
	})
	if got := p.signIn(newClient(t)); got.status != http.StatusSeeOther || got.location != "/" || !got.session {
		t.Errorf("callback: got %d to %q, session %t; want 303 to / with a session", got.status, got.location, got.session)
	}
	if err := <-stopped; err != nil {
		t.Errorf("run: got error %v; want none", err)
	}
}

func TestWhatKeepsTheProgramFromStartingIsOneLine(t *testing.T) {
	t.Parallel()
	redis, taken := startRedis(t).addr, foreigner(t)
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
		{"no flags", nil, nil, io.Discard, 2, "-replicas and -redis are missing, such as -replicas 3 -redis 127.0.0.1:6379"},
		{"half of the flags", []string{"-replicas", "3"}, nil, io.Discard, 2, "-replicas needs -redis"},
		{"no Redis", replicasOf(3, "127.0.0.1:1"), nil, io.Discard, 1, "is Redis running at 127.0.0.1:1? On Debian: apt-get install redis-server; redis-server ("},
		{"something that is not Redis", replicasOf(3, taken), nil, io.Discard, 1, "what listens at " + taken + " does not answer as Redis does: "},
		{"the front's address is taken", append(replicasOf(3, redis), "-addr", taken), nil, io.Discard, 1, "listen tcp " + taken},
		{"the provider would be in the open", append(replicasOf(3, redis), "-provider-addr", ":0"), nil, io.Discard, 2, `-provider-addr is ":0"`},
		{"the key is short", replicasOf(3, redis), map[string]string{"SIGNIN_KEY": "short"}, io.Discard, 2, "signin: Config.Keys[0] (SIGNIN_KEY) has 5 bytes; needs 32 or more"},
		{"the API has a fragment", replicasOf(3, redis), map[string]string{"API_RESOURCE": "https://api.example.com#orders", "SIGNIN_KEY": strings.Repeat("k", 32)}, io.Discard, 2, "signin: Config.Resources (API_RESOURCE) has "},
		{"nobody reads what to open", replicasOf(3, redis), map[string]string{"SIGNIN_KEY": strings.Repeat("k", 32)}, w, 1, io.ErrClosedPipe.Error()},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			err := run(t.Context(), row.args, lookup(row.env), row.stdout, io.Discard)
			if code := app.Report(err, &stderr); code != row.code {
				t.Errorf("exit code: got %d; want %d", code, row.code)
			}
			if got := stderr.String(); !strings.HasPrefix(got, row.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("stderr: got %q; want one line that begins with %q", got, row.want)
			}
		})
	}
}

func TestHelpIsThatOfTheExample(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := program([]string{"-help"}, &stdout, &stderr); code != 0 || stdout.String() != app.Help || stderr.Len() > 0 {
		t.Errorf("got exit code %d, %q and %q; want 0, the help and nothing", code, &stdout, &stderr)
	}
}

// foreigner is an address where something listens that speaks another language
// than Redis.
func foreigner(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}
