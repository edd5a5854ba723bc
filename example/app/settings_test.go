package app

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"
	"testing"
)

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func read(t *testing.T, args ...string) *Settings {
	t.Helper()
	s, err := ReadSettings(args, lookup(nil))
	if err != nil {
		t.Fatalf("ReadSettings %q: got error %v; want none", args, err)
	}
	return s
}

// occupied is an address where something listens until the test ends.
func occupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestAMistakeInTheSettingsIsOneSentence(t *testing.T) {
	t.Parallel()
	const all = "; set all of LOGTO_ENDPOINT, LOGTO_APP_ID, LOGTO_APP_SECRET, or none for the provider for tests"
	const noReplicas = "-redis needs -replicas, such as -replicas 3; a single process has nobody to share with"
	for _, row := range []struct {
		name string
		args string
		env  map[string]string
		want string
	}{
		{"the secret is missing", "", map[string]string{"LOGTO_ENDPOINT": "https://tenant.logto.app", "LOGTO_APP_ID": "id"}, "missing: LOGTO_APP_SECRET" + all},
		{"only the secret is there", "", map[string]string{"LOGTO_APP_SECRET": "secret"}, "missing: LOGTO_ENDPOINT, LOGTO_APP_ID" + all},
		{"the base URL has a path", "", map[string]string{"BASE_URL": "https://example.com/app/"}, `BASE_URL is "https://example.com/app"; needs to end with its host`},
		{"the API is no URI", "", map[string]string{"API_RESOURCE": "orders"}, `API_RESOURCE is "orders"; needs an absolute URI such as https://api.example.com`},
		{"the API is nothing at all", "", map[string]string{"API_RESOURCE": "%"}, `API_RESOURCE is "%"; needs an absolute URI such as https://api.example.com`},
		{"a flag is unknown", "-port 3000", nil, "flag provided but not defined: -port"},
		{"a word is no flag", "serve", nil, `"serve" is no flag; -help lists them`},
		{"replicas share nothing", "-replicas 3", nil,
			"-replicas needs -redis, such as -redis 127.0.0.1:6379, where replicas tell each other who has signed out"},
		{"Redis is for nobody", "-redis 127.0.0.1:6379", nil, noReplicas},
		{"Redis is for nobody, wherever it may be", "-redis here", nil, noReplicas},
		{"no replica at all", "-replicas 0 -redis 127.0.0.1:6379", nil, "-replicas is 0; needs a number from 1 to 9"},
		{"fewer than none", "-replicas -1 -redis 127.0.0.1:6379", nil, "-replicas is -1; needs a number from 1 to 9"},
		{"a crowd", "-replicas 10 -redis 127.0.0.1:6379", nil, "-replicas is 10; needs a number from 1 to 9"},
		{"replicas are not a number", "-replicas three -redis 127.0.0.1:6379", nil, `invalid value "three" for flag -replicas: parse error`},
		{"Redis has no port", "-replicas 3 -redis 127.0.0.1", nil, `-redis is "127.0.0.1"; needs an address such as 127.0.0.1:6379`},
		{"Redis has an empty port", "-replicas 3 -redis localhost:", nil, `-redis is "localhost:"; needs an address such as 127.0.0.1:6379`},
		{"Redis has a URL", "-replicas 3 -redis redis://127.0.0.1:6379", nil, `-redis is "redis://127.0.0.1:6379"; needs an address such as 127.0.0.1:6379`},
		{"Redis has no address", "-replicas 3 -redis=", nil, `-redis is ""; needs an address such as 127.0.0.1:6379`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadSettings(strings.Fields(row.args), lookup(row.env))
			if err == nil || err.Error() != row.want || !errors.As(err, new(Mistake)) {
				t.Errorf("got error %T %v; want the mistake %s", err, err, row.want)
			}
		})
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	if _, err := ReadSettings([]string{"-help"}, lookup(nil)); !errors.Is(err, flag.ErrHelp) || errors.As(err, new(Mistake)) {
		t.Errorf("got error %v; want %v", err, flag.ErrHelp)
	}
	for _, want := range []string{"-addr", "-provider-addr", "-replicas", "-redis",
		"LOGTO_ENDPOINT", "LOGTO_APP_ID", "LOGTO_APP_SECRET", "API_RESOURCE", "SIGNIN_KEY", "BASE_URL"} {
		if !strings.Contains(Help, "\n  "+want) && !strings.Contains(Help, ", "+want) {
			t.Errorf("help: got no line for %s; want one", want)
		}
	}
}

func TestReplicasAreFromOneToNine(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 9; n++ {
		if s := read(t, "-replicas", fmt.Sprint(n), "-redis", "localhost:6379"); s.Replicas != n || s.Redis != "localhost:6379" {
			t.Errorf("got %d replicas and Redis at %s; want %d and localhost:6379", s.Replicas, s.Redis, n)
		}
	}
	if s := read(t); s.Replicas != 0 || s.Redis != "" {
		t.Errorf("without flags: got %d replicas and Redis at %q; want none", s.Replicas, s.Redis)
	}
}

func TestWhereToOpenTheApplication(t *testing.T) {
	t.Parallel()
	listened := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4321}
	for addr, want := range map[string]string{
		"localhost:0":    "localhost:4321",
		"127.0.0.1:4321": "127.0.0.1:4321",
		"[::1]:0":        "[::1]:4321",
		":4321":          "localhost:4321",
		"0.0.0.0:4321":   "localhost:4321",
		"[::]:4321":      "localhost:4321",
	} {
		if got := browsable(addr, listened); got != want {
			t.Errorf("-addr %s: got %s; want %s", addr, got, want)
		}
	}
	for base, want := range map[string]string{"": "http://127.0.0.1:", "https://app.example.com/": "https://app.example.com"} {
		s, err := ReadSettings([]string{"-addr", "127.0.0.1:0"}, lookup(map[string]string{"BASE_URL": base}))
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Listen()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if base == "" {
			want = "http://" + l.Addr().String()
		}
		if s.BaseURL != want {
			t.Errorf("BASE_URL %q: got %s; want %s", base, s.BaseURL, want)
		}
	}
}

func TestAnAddressThatCannotBeHadIsOneSentence(t *testing.T) {
	t.Parallel()
	taken := occupied(t)
	_, err := read(t, "-addr", taken).Listen()
	if err == nil || !strings.Contains(err.Error(), taken) || !strings.HasSuffix(err.Error(), "; choose another address with -addr") {
		t.Errorf("Listen: got error %v; want one that names %s and -addr", err, taken)
	}
	_, err = read(t, "-provider-addr", "127.0.0.1:99999").StartProvider()
	if err == nil || !strings.Contains(err.Error(), "99999") || !strings.HasSuffix(err.Error(), "; choose another address with -provider-addr") {
		t.Errorf("StartProvider: got error %v; want one that names 99999 and -provider-addr", err)
	}
	for _, open := range []string{":3001", "0.0.0.0:0", "127.0.0.1"} {
		_, err := read(t, "-provider-addr", open).StartProvider()
		if !errors.As(err, new(Mistake)) || !strings.HasPrefix(err.Error(), fmt.Sprintf("-provider-addr is %q; needs ", open)) {
			t.Errorf("StartProvider: got error %v; want a mistake about %s", err, open)
		}
	}
}

func TestTheProviderForTestsMakesWayForAnotherProgram(t *testing.T) {
	t.Parallel()
	taken := occupied(t)
	p, err := read(t, "-provider-addr", taken).StartProvider()
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	defer p.Close()
	if !strings.HasPrefix(p.URL, "http://127.0.0.1:") || p.URL == "http://"+taken {
		t.Errorf("got a provider at %s; want it on 127.0.0.1, and not at %s", p.URL, taken)
	}
}

func TestWithoutRedisOneSentenceSaysWhatToDo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	s := read(t, "-replicas", "3", "-redis", addr)
	if err := s.FindRedis(t.Context()); err != nil {
		t.Errorf("with something at %s: got error %v; want none", addr, err)
	}
	l.Close()
	err = s.FindRedis(t.Context())
	want := "is Redis running at " + addr + "? On Debian: apt-get install redis-server; redis-server ("
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got error %v; want one line that begins with %s", err, want)
	}
}

func TestAdviceSaysWhatToRegisterAtLogto(t *testing.T) {
	t.Parallel()
	s := &Settings{Endpoint: "https://tenant.logto.app", AppID: "app-id", AppSecret: "app-secret", BaseURL: "https://app.example.com"}
	got := s.Advice(s.Endpoint)
	for _, want := range []string{s.Endpoint, "App ID app-id", s.BaseURL + "/callback\n", s.BaseURL + "/\n", s.BaseURL + "/backchannel-logout", "naver\n", "x\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q; want %q in it", got, want)
		}
	}
	if strings.Contains(got, "app-secret") {
		t.Error("the advice shows the secret")
	}
	if got := (&Settings{}).Advice("http://127.0.0.1:3001"); !strings.Contains(got, "provider for tests, http://127.0.0.1:3001") {
		t.Errorf("without a Logto: got %q; want where the provider for tests is", got)
	}
}

// another is the end of a program that this one has run.
type another int

func (another) Error() string   { return "exit status" }
func (a another) ExitCode() int { return int(a) }

func TestReportSaysOnceWhatWasWrong(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		err  error
		code int
		said string
	}{
		{"nothing was wrong", nil, 0, ""},
		{"a mistake names the variable", Mistake{errors.New("signin: Config.Keys[0] has 5 bytes")}, 2, "signin: Config.Keys[0] (SIGNIN_KEY) has 5 bytes\n"},
		{"a mistake on the way", fmt.Errorf("start: %w", Mistake{errors.New("no")}), 2, "start: no\n"},
		{"something else", errors.New("address already in use"), 1, "address already in use\n"},
		{"another program has said it already", another(3), 3, ""},
	} {
		var stderr bytes.Buffer
		if code := Report(row.err, &stderr); code != row.code || stderr.String() != row.said {
			t.Errorf("%s: got %d and %q; want %d and %q", row.name, code, stderr.String(), row.code, row.said)
		}
	}
}
