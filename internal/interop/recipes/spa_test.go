package recipes

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// api is the name of the API at the provider; Alice has permissions there.
const api = "https://api.example.com"

// startSPA starts a single-page application, and the API that it calls.
func startSPA(t *testing.T) (app *signintest.App, origin string) {
	t.Helper()
	app = signintest.Start(t, func(cfg signin.Config) (http.Handler, error) {
		ofAPI, err := signin.New(cfg)
		if err != nil {
			return nil, err
		}
		server := httptest.NewServer(newAPI(ofAPI, api))
		t.Cleanup(server.Close)
		to, err := url.Parse(server.URL)
		if err != nil {
			return nil, err
		}
		origin = server.URL
		cfg.Resources = []string{api}
		cfg.Scopes = []string{"read:orders", "write:orders"}
		auth, err := signin.New(cfg)
		if err != nil {
			return nil, err
		}
		return newSPA(auth, fstest.MapFS{"index.html": {Data: []byte("<!doctype html>the application")}}, to, api), nil
	})
	return app, origin
}

func TestSPA(t *testing.T) {
	t.Parallel()
	app, _ := startSPA(t)
	alice := app.Browser(signintest.Alice())
	if resp, body := ask(t, alice, "GET", app.URL+"/", nil); body != "<!doctype html>the application" || resp.Header.Get("Vary")+resp.Header.Get("Cache-Control") != "" {
		t.Errorf("the files: got %q, Vary %q, Cache-Control %q; want the file, for caches too", body, resp.Header.Get("Vary"), resp.Header.Get("Cache-Control"))
	}
	ask(t, alice, "GET", app.URL+"/sign-in", nil)

	script := func(site string) http.Header {
		return http.Header{"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {site}}
	}
	for _, test := range []struct {
		name, method, path, from string
		status                   int
		body                     string
	}{
		{"who is signed in", "GET", "/me", "same-origin", 200, `{"name":"Alice Example","picture":"https://pictures.example.test/alice.png"}` + "\n"},
		{"a call of the API", "GET", "/api/orders", "same-origin", 200, `[{"article":"tea","buyer":"alice0000001"}]` + "\n"},
		{"a call that changes something", "POST", "/api/orders", "same-origin", 201, ""},
		{"a call that another site's page makes", "POST", "/api/orders", "cross-site", 403, "cross-origin request detected from Sec-Fetch-Site header\n"},
	} {
		resp, body := ask(t, alice, test.method, app.URL+test.path, script(test.from))
		if resp.StatusCode != test.status || body != test.body {
			t.Errorf("%s: got %d and %q; want %d and %q", test.name, resp.StatusCode, body, test.status, test.body)
		}
	}
}

// The script of the page runs in Node, which has fetch. Where a browser would go to
// another page, it writes a line.
func TestSPA_Script(t *testing.T) {
	t.Parallel()
	app, _ := startSPA(t)
	const page = `
		const base = process.argv[1], send = fetch;
		globalThis.location = { origin: base, assign: to => console.log("goes to", to) };
		globalThis.fetch = path => send(base + path, { headers: { Referer: base + "/orders?page=2" } }); // as browsers do
		const { call } = await import(process.cwd() + "/spa/call.mjs");
		console.log((await (await call("/me")).json()).code);
		console.log((await call("/")).status);
		for (const answer of ["no problem document", "null", '{"sign_in_url":"javascript:alert(1)"}', '{"sign_in_url":"' + base + '.e.test/"}']) {
			globalThis.fetch = async () => new Response(answer, { status: 401 });
			console.log((await (await call("/")).text()) == answer);
		}`
	out, err := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", page, app.URL).CombinedOutput()
	want := "goes to " + app.URL + "/sign-in?return_to=%2Forders%3Fpage%3D2\nnot_signed_in\n200\n" + strings.Repeat("true\n", 4)
	if err != nil || strings.ReplaceAll(string(out), "\r", "") != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	app, origin := startSPA(t)
	p := app.Provider
	for _, test := range []struct {
		name, method, token string
		status              int
	}{
		{"a token with the scope", "GET", p.AccessToken("alice", api, "read:orders"), 200},
		{"a token that may only read", "POST", p.AccessToken("alice", api, "read:orders"), 403},
		{"a token for another API", "GET", p.AccessToken("alice", "https://other.example", "read:orders"), 401},
		{"a machine's token", "GET", p.MachineToken("job", api, "read:orders"), 403},
		{"a token that is none", "GET", "x", 401},
	} {
		resp, body := ask(t, http.DefaultClient, test.method, origin+"/api/orders", http.Header{"Authorization": {"Bearer " + test.token}})
		if resp.StatusCode != test.status {
			t.Errorf("%s: got %d and %s; want %d", test.name, resp.StatusCode, body, test.status)
		}
	}
}
