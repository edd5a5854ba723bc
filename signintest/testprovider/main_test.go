package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin"
)

// start runs the program until the test ends, and returns the environment variables
// that it says to export.
func start(t *testing.T, args ...string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, w)
		w.Close()
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: got error %v; want none", err)
		}
	})
	env := map[string]string{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		for _, variable := range regexp.MustCompile(`(LOGTO_\w+)='([^']+)'`).FindAllStringSubmatch(lines.Text(), -1) {
			env[variable[1]] = variable[2]
		}
		if strings.HasPrefix(lines.Text(), "Issuer") { // the last line
			break
		}
	}
	return env
}

// application serves what the README's program does, in small.
func application(t *testing.T, env map[string]string, server *httptest.Server) {
	t.Helper()
	auth, err := signin.New(signin.Config{
		LogtoEndpoint: env["LOGTO_ENDPOINT"], ClientID: env["LOGTO_APP_ID"], ClientSecret: env["LOGTO_APP_SECRET"],
		BaseURL: server.URL, Keys: [][]byte{[]byte(strings.Repeat("k", 32))},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/sign-in", auth.SignIn())
	mux.HandleFunc("/callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut())
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "signed out") })
	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := signin.UserFrom(r.Context())
		fmt.Fprintf(w, "%s %v", user.Name, user.Subject)
	})))
	server.Config.Handler = mux
}

func TestRun_SignIn(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users.json")
	if err := os.WriteFile(users, []byte(`[{"Subject": "carol", "Name": "Carol"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, subject, want string
		args                []string
	}{
		{"a user that comes with it", "bob000000001", "Bob Example bob000000001", nil},
		{"a user from a file, and another client", "carol", "Carol carol", []string{"-users", users, "-client-id", "mine", "-client-secret", "s"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(nil)
			t.Cleanup(server.Close)
			env := start(t, slices.Concat([]string{"-addr", "127.0.0.1:0", "-redirect-uri", "http://elsewhere.test/callback",
				"-redirect-uri", server.URL + "/callback", "-post-logout-redirect-uri", server.URL + "/"}, row.args)...)
			application(t, env, server)
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Jar: jar, Transport: new(http.Transport)}
			t.Cleanup(client.CloseIdleConnections)
			page := visit(t, client, server.URL+"/account", nil)
			if !strings.HasPrefix(page.at, env["LOGTO_ENDPOINT"]+"/sign-in") {
				t.Fatalf("got to %s; want to the provider at %q", page.at, env)
			}
			if got := visit(t, client, page.at, url.Values{"user": {row.subject}}); got.text != row.want {
				t.Errorf("account: got %+v; want %q", got, row.want)
			}
			if got := visit(t, client, server.URL+"/sign-out", url.Values{}); got.text != "signed out" {
				t.Errorf("sign-out: got %+v; want the application's home page", got)
			}
		})
	}
}

// visited is a page, and the address where redirects have led.
type visited struct{ at, text string }

// visit opens an address, or posts a form there.
func visit(t *testing.T, client *http.Client, address string, form url.Values) visited {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if form != nil {
		r, err = http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Origin", "http://"+r.URL.Host)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return visited{resp.Request.URL.String(), string(text)}
}

func TestRun_Mistakes(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"none": `[{"Name": "Carol"}]`, "unknown": `[{"Subject": "c", "Rolls": []}]`, "two": `[] []`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"all addresses of the machine", []string{"-addr", ":0"}, `-addr is ":0"; needs an address such as localhost:3002`},
		{"an address that is in use", []string{"-addr", taken.Addr().String()}, "choose another address with -addr"},
		{"no client secret", []string{"-client-secret", ""}, "-client-secret is empty"},
		{"an unknown flag", []string{"-port", "1"}, "flag provided but not defined: -port"},
		{"an argument that is not a flag", []string{"serve"}, `"serve" is not a flag; -help lists them`},
		{"no file with users", []string{"-addr", "127.0.0.1:0", "-users", filepath.Join(dir, "gone")}, "gone: no such file"},
		{"two lists", []string{"-addr", "127.0.0.1:0", "-users", filepath.Join(dir, "two")}, "something follows the list; needs one list"},
		{"a user without a subject", []string{"-addr", "127.0.0.1:0", "-users", filepath.Join(dir, "none")}, "user 1 has no Subject; needs one"},
		{"a field that users do not have", []string{"-addr", "127.0.0.1:0", "-users", filepath.Join(dir, "unknown")}, `unknown field "Rolls"`},
	} {
		if err := run(t.Context(), row.args, io.Discard); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got error %v; want %q in it", row.name, err, row.want)
		}
	}
}

func TestRun_Help(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	if err := run(t.Context(), []string{"-help"}, &said); err != nil || !strings.Contains(said.String(), "-redirect-uri URI") ||
		!strings.Contains(said.String(), "(default http://localhost:8080/callback)") {
		t.Errorf("got %q, %v; want the flags and their defaults", said.String(), err)
	}
}

func TestCheckAddr(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		addr     string
		anywhere bool
		want     bool
	}{
		{"localhost:3002", false, true}, {"127.0.0.2:0", false, true}, {"[::1]:3002", false, true},
		{":3002", false, false}, {"0.0.0.0:3002", false, false}, {"[::]:3002", false, false}, {"192.0.2.1:3002", false, false},
		{"[::ffff:192.0.2.1]:3002", false, false}, {"localhost", false, false}, {"localhost:-1", true, false},
		{":3002", true, true}, {"192.0.2.1:3002", true, true},
	} {
		if err := checkAddr(row.addr, row.anywhere); (err == nil) != row.want {
			t.Errorf("%s, anywhere %t: got error %v; want it accepted: %t", row.addr, row.anywhere, err, row.want)
		}
	}
}
