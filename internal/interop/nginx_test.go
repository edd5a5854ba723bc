package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// nginx refuses an answer whose header does not fit one buffer. These are sessions
// with tokens of the sizes that providers give, behind nginx as Debian installs it.
func TestBehindNginx(t *testing.T) {
	roles := func(bytes int) map[string]any {
		var all []string
		for i := range 100 {
			all = append(all, fmt.Sprintf("%0*d", bytes, i))
		}
		return map[string]any{"roles": all}
	}
	for _, row := range []struct {
		name            string
		logto           bool
		claims          map[string]any
		access, refresh int // bytes; 0 is as the provider of signintest gives them
		settings        string
		warned          bool
	}{
		{"Logto", true, nil, 0, 0, "", false},
		{"Keycloak", false, map[string]any{"filler": strings.Repeat("x", 250)}, 1300, 700, "", false},
		{"Entra", false, map[string]any{"filler": strings.Repeat("x", 450)}, 1900, 1300, "", false},
		{"Logto with 100 roles of 8 bytes", true, roles(8), 0, 0, "", false},
		{"Keycloak's tokens with 100 roles of 8 bytes", false, roles(8), 1300, 700, "", false},
		{"Logto with 100 roles of 25 bytes", true, roles(25), 0, 0, "proxy_buffer_size 8k; proxy_buffers 8 8k;", true},
		{"Keycloak's tokens with 100 roles of 25 bytes", false, roles(25), 1300, 700, "proxy_buffer_size 8k; proxy_buffers 8 8k;", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			user := signintest.Alice()
			user.Claims = row.claims
			p := startProxied(t, row.settings, row.logto, &padded{access: row.access, refresh: row.refresh}, user)
			p.visit("sign-in", "/account", "/account")
			p.clock.move(untilRefreshed)
			p.visit("refresh in a page", "/account", "/account")
			p.clock.move(untilRefreshed)
			p.visit("refresh by itself", "/", "/")
			p.clock.move(10 * time.Minute)
			p.visit("step-up", "/fresh", "/fresh")
			p.clock.move(untilRefreshed)
			p.visit("refresh and step-up", "/fresh?page=2", "/fresh?page=2")
			p.visit("sign-out", "/sign-out", "/")
			if warnings := strings.Count(p.log.String(), "proxy_buffer_size 8k"); warnings > 1 || (warnings == 1) != row.warned {
				t.Errorf("got %d lines that name proxy_buffer_size; want one only if it is needed: %t", warnings, row.warned)
			}
		})
	}
}

// untilRefreshed is a little less than the life of an access token.
const untilRefreshed = time.Hour - time.Second

// A proxied application is one that browsers reach through nginx.
type proxied struct {
	t        *testing.T
	provider *signintest.Provider
	user     signintest.User
	browser  *http.Client
	base     string
	tokens   *padded
	clock    clock
	log      transcript

	mu      sync.Mutex
	largest int // header of an answer since the last visit
}

func startProxied(t *testing.T, settings string, logto bool, tokens *padded, user signintest.User) *proxied {
	t.Helper()
	p := &proxied{t: t, user: user, tokens: tokens}
	p.provider = signintest.NewProvider(signintest.WithNow(p.clock.Now), signintest.WithAlgorithm("RS256"))
	t.Cleanup(p.provider.Close)
	server := httptest.NewUnstartedServer(nil)
	p.base = startNginx(t, server.Listener.Addr().String(), settings)
	cfg := p.provider.Config(p.base)
	if !logto {
		cfg = p.provider.IssuerConfig(p.base)
		cfg.SignInOptions = []signin.SignInOption{signin.Prompt("consent")} // or there is no refresh token
	}
	cfg.Scopes = []string{"email", "roles"}
	cfg.HTTPClient = &http.Client{Transport: tokens}
	cfg.Logger = slog.New(slog.NewTextHandler(&p.log, nil))
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatalf("signin.New: %v", err)
	}
	m, page := http.NewServeMux(), http.HandlerFunc(p.page)
	m.Handle("/account", auth.RequireAuth(page))
	m.Handle("/fresh", auth.Require(signin.AuthenticatedWithin(5*time.Minute))(page))
	m.Handle("/", auth.Load(http.HandlerFunc(home)))
	routes := auth.WithRoutes(m)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		routes.ServeHTTP(w, r)
		p.note(w.Header())
	})
	server.Start()
	t.Cleanup(server.Close)
	p.browser = p.provider.NewClient()
	return p
}

// page checks that the session's own token is there, wherever it is kept.
func (p *proxied) page(w http.ResponseWriter, r *http.Request) {
	token, err := signin.AccessToken(r.Context())
	if err != nil || !p.tokens.gave(token.AccessToken) {
		p.t.Errorf("AccessToken: got %v; want the newest token of the session", err)
	}
	account(w, r)
}

// note measures the header of an answer.
func (p *proxied) note(h http.Header) {
	var b bytes.Buffer
	_ = h.Write(&b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.largest = max(p.largest, b.Len())
}

// takeLargest returns the size of the largest header since it was called before. The race
// detector sees no order of events through nginx, which is another process.
func (p *proxied) takeLargest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := p.largest
	p.largest = 0
	return size
}

// visit opens a page, with all redirects and the provider's form, and checks where that
// ends. It logs the largest header of an answer on the way.
func (p *proxied) visit(what, path, want string) {
	p.t.Helper()
	p.takeLargest()
	r := p.provider.Visit(p.t, p.browser, p.base+path, p.user)
	if r.Request.URL.Path == "/sign-out" { // a page that asks
		r = p.post(path)
	}
	body, _ := io.ReadAll(r.Body)
	if got := r.Request.URL.RequestURI(); r.StatusCode != http.StatusOK || got != want {
		p.t.Errorf("%s: got %d at %s; want 200 at %s\n%.300s", what, r.StatusCode, got, want, body)
	}
	p.t.Logf("%s: %d bytes; tokens asked for: %d", what, p.takeLargest(), p.tokens.times())
}

func (p *proxied) post(path string) *http.Response {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.base+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Origin", p.base)
	answer, err := p.browser.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// padded is a transport to the provider, whose tokens it makes as long as those of
// other providers: the access token a JWT, the refresh token one with a longer end.
type padded struct {
	access, refresh int

	mu    sync.Mutex
	asked int
	last  string // access token
}

const end = ".."

func (p *padded) gave(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return token == p.last
}

func (p *padded) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *padded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		var kept []string
		for _, pair := range strings.Split(string(body), "&") {
			pair, _, _ = strings.Cut(pair, end)
			kept = append(kept, pair)
		}
		short := strings.Join(kept, "&")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(short)), int64(len(short))
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/token") {
		return resp, err
	}
	return resp, p.pad(resp)
}

// pad makes the tokens of a response longer.
func (p *padded) pad(resp *http.Response) error {
	var body map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.access > 0 {
		text := func(n int) string { return base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", n))) }
		signature := text(256)
		body["access_token"] = text(90) + "." + text((p.access-len(signature))*3/4-90-8) + fmt.Sprintf("%08d", p.asked) + "." + signature
	}
	if token, ok := body["refresh_token"].(string); ok && p.refresh > 0 {
		body["refresh_token"] = token + end + strings.Repeat("r", max(0, p.refresh-len(token)-len(end)))
	}
	p.last, _ = body["access_token"].(string)
	long, err := json.Marshal(maps.Clone(body))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(long)), int64(len(long))
	resp.Header.Del("Content-Length")
	return err
}

// startNginx starts nginx on a free port of 127.0.0.1, in front of an upstream, and
// returns its address. All its settings of proxies are the defaults, but for those given.
func startNginx(t *testing.T, upstream, settings string) string {
	t.Helper()
	dir := t.TempDir()
	for range 10 {
		// As for redis-server, the port is below those that the kernel assigns.
		addr := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server { listen %[2]s; location / { proxy_pass http://%[3]s; %[4]s } }
}`, dir, addr, upstream, settings)
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		process := exec.Command(nginxProgram(), "-e", "stderr", "-p", dir, "-c", file)
		said := new(transcript)
		process.Stderr = said
		if err := process.Start(); err != nil {
			t.Fatalf("nginx, from the package of that name: %v", err)
		}
		ended := make(chan struct{})
		go func() { _ = process.Wait(); close(ended) }()
		if answers(addr, ended) {
			t.Cleanup(func() {
				_ = process.Process.Kill()
				<-ended
				if t.Failed() {
					t.Logf("nginx logged:\n%s", said)
				}
			})
			return "http://" + addr
		}
		_ = process.Process.Kill()
		<-ended
		t.Logf("nginx at %s: %s", addr, said)
	}
	t.Fatal("nginx does not start")
	return ""
}

// answers waits until a server takes connections, and reports false if it ends first.
func answers(addr string, ended <-chan struct{}) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		select {
		case <-ended:
			return false
		case <-tick.C:
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return true
		}
	}
	return false
}

// nginxProgram is where Debian installs nginx, which is not on every PATH.
func nginxProgram() string {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	return "/usr/sbin/nginx"
}
