package app

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// read reads settings, with one variable in the environment.
func read(name, value string, args ...string) (*Settings, error) {
	return ReadSettings(flag.NewFlagSet("test", flag.ContinueOnError), args, func(asked string) string {
		if asked == name {
			return value
		}
		return ""
	})
}

// settings reads valid settings from flags.
func settings(t *testing.T, args ...string) *Settings {
	t.Helper()
	s, err := read("", "", args...)
	if err != nil {
		t.Fatalf("ReadSettings %q: got error %v; want none", args, err)
	}
	return s
}

// occupied returns an address that is in use until the test ends.
func occupied(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestReadSettings_Mistakes(t *testing.T) {
	t.Parallel()
	const all = "; set all of LOGTO_ENDPOINT, LOGTO_APP_ID, LOGTO_APP_SECRET, or none for the provider for tests"
	for _, row := range []struct{ name, variable, value, args, want string }{
		{"only the endpoint is set", "LOGTO_ENDPOINT", "https://tenant.logto.app", "", "missing: LOGTO_APP_ID, LOGTO_APP_SECRET" + all},
		{"only the secret is set", "LOGTO_APP_SECRET", "secret", "", "missing: LOGTO_ENDPOINT, LOGTO_APP_ID" + all},
		{"the base URL has a path", "BASE_URL", "https://example.com/app/", "",
			`BASE_URL is "https://example.com/app"; needs to end with its host`},
		{"the API is not an absolute URI", "API_RESOURCE", "orders", "",
			`API_RESOURCE is "orders"; needs an absolute URI such as https://api.example.com`},
		{"the API is not a URI", "API_RESOURCE", "%", "", `API_RESOURCE is "%"; needs an absolute URI such as https://api.example.com`},
		{"an unknown flag", "", "", "-port 3000", "flag provided but not defined: -port; -help lists the flags"},
		{"an argument that is not a flag", "", "", "serve", `"serve" is not a flag; -help lists the flags`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := read(row.variable, row.value, strings.Fields(row.args)...)
			if err == nil || err.Error() != row.want || !errors.As(err, new(Mistake)) {
				t.Errorf("got error %T %v; want the mistake %s", err, err, row.want)
			}
		})
	}
}

func TestReadSettings_APIResource(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, endpoint, resource, want string }{
		{"the provider for tests has an API", "", "", "https://api.example.com"},
		{"the provider for tests takes any API", "", "https://orders.example.test", "https://orders.example.test"},
		{"Logto may have no API", "https://tenant.logto.app", "", ""},
		{"Logto has the API that is set", "https://tenant.logto.app", "https://orders.example.test", "https://orders.example.test"},
	} {
		env := map[string]string{"API_RESOURCE": row.resource}
		if row.endpoint != "" {
			env["LOGTO_ENDPOINT"], env["LOGTO_APP_ID"], env["LOGTO_APP_SECRET"] = row.endpoint, "id", "secret"
		}
		s, err := ReadSettings(flag.NewFlagSet("test", flag.ContinueOnError), nil, func(name string) string { return env[name] })
		if err != nil || s.APIResource != row.want {
			t.Errorf("%s: got %+v, %v; want API %q", row.name, s, err, row.want)
		}
	}
}

func TestListen_BaseURL(t *testing.T) {
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
	for base, want := range map[string]string{"": "", "https://app.example.com/": "https://app.example.com"} {
		s, err := read("BASE_URL", base, "-addr", "127.0.0.1:0")
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

// Without a password, the provider for tests must not be reached from other machines.
// If its address is in use, it takes a free port.
func TestStartProvider_Addresses(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":3001", "0.0.0.0:0", "127.0.0.1"} {
		if _, err := settings(t, "-provider-addr", addr).StartProvider(); !errors.As(err, new(Mistake)) {
			t.Errorf("%s: got error %v; want a mistake", addr, err)
		}
	}
	taken := occupied(t)
	p, err := settings(t, "-provider-addr", taken).StartProvider()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !strings.HasPrefix(p.URL, "http://127.0.0.1:") || p.URL == "http://"+taken {
		t.Errorf("got a provider at %s; want it on 127.0.0.1, and not at %s", p.URL, taken)
	}
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	s := &Settings{Endpoint: "https://tenant.logto.app", AppID: "app-id", AppSecret: "app-secret",
		BaseURL: "https://app.example.com", APIResource: ordersAPI}
	got := s.Advice(s.Endpoint)
	for _, want := range []string{s.Endpoint, "App ID app-id", s.BaseURL + "/callback\n", s.BaseURL + "/backchannel-logout",
		"naver\n", ordersAPI + " (if it is missing, Logto refuses every sign-in)\n", "admin, a user role", "read:members, invite:members\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q; want %q in it", got, want)
		}
	}
	if strings.Contains(got, "app-secret") {
		t.Error("the advice shows the secret")
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		err  error
		code int
		said string
	}{
		{"no error", nil, 0, ""},
		{"a mistake names the variable", Mistake{errors.New("signin: Config.Keys[0] has 5 bytes")}, 2,
			"signin: Config.Keys[0] (SIGNIN_KEY) has 5 bytes\n"},
		{"a wrapped mistake", fmt.Errorf("start: %w", Mistake{errors.New("no")}), 2, "start: no\n"},
		{"another error", io.ErrClosedPipe, 1, "io: read/write on closed pipe\n"},
	} {
		var stderr bytes.Buffer
		if code := Report(row.err, &stderr); code != row.code || stderr.String() != row.said {
			t.Errorf("%s: got %d and %q; want %d and %q", row.name, code, stderr.String(), row.code, row.said)
		}
	}
}
