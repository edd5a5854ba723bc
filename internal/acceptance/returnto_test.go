package acceptance_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// origin is what a browser makes of a Location that comes from base, an http or
// https URL without a path: the states of
// https://url.spec.whatwg.org/#url-parsing as far as origins are concerned. It
// shares no code with the package.
func origin(base, location string) string {
	s := strings.TrimFunc(location, func(c rune) bool { return c <= ' ' })
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(s)
	baseScheme, _, _ := strings.Cut(base, ":")
	scheme, after, hasScheme := strings.Cut(s, ":")
	scheme = strings.ToLower(scheme)
	hasScheme = hasScheme && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" &&
		scheme != "" && scheme[0] >= 'a'
	switch {
	case hasScheme && scheme != "http" && scheme != "https":
		return "null"
	case hasScheme && (scheme != baseScheme || strings.HasPrefix(after, "//")):
		s = "//" + strings.TrimLeft(after, "/")
	case hasScheme, !strings.HasPrefix(s, "//"):
		return base // "https:x" is a path at an https base
	default:
		scheme = baseScheme
	}
	host := strings.TrimLeft(s, "/") // "special authority ignore slashes state"
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		host = host[:end]
	}
	return scheme + "://" + strings.ToLower(host[strings.LastIndex(host, "@")+1:])
}

func TestOriginIsABrowsers(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"/a": "http://app", "": "http://app", "x:y": "null", "http:x": "http://app", "https:x": "https://x", "//e.test/a": "https://e.test",
		`/\e.test`: "https://e.test", "/\t/e.test": "https://e.test", " //a@E.test": "https://e.test", "/javascript:x": "http://app",
		"///e.test": "https://e.test", "HTTP://app/x": "http://app", "/.//e.test": "http://app", "1:x": "http://app",
	} {
		base := "http://app"
		if strings.HasPrefix(want, "https://e.test") {
			base = "https://app"
		}
		if got := origin(base, location); got != want {
			t.Errorf("%q at %s: got %q; want %q", location, base, got, want)
		}
	}
}

// offSite are the values of 6 that must not be followed from the application at
// https://app, and more of their kind.
var offSite = []string{
	"//e.test", "///e.test", `/\e.test`, `\\e.test`, `\/e.test`, "/\t/e.test", "/\n/e.test", "/\t\\e.test", " //e.test", "\x00//e.test",
	"https://e.test", "HtTpS://e.test", `https:\\e.test`, "//app@e.test", "https://app.e.test", `https://e.test\@app`, "//[::1]",
	"//2130706433", "//ｅ.test", "javascript:alert(1)", "java\tscript:x", "data:text/html,x", "file:///x", `/./\e.test`, `/a/../\e.test`,
	"http://app/", "https://app:8443/", "@e.test", ".e.test", ":1@e.test", "%2f/e.test", "/%2fe.test", `/%5ce.test`, "/%09/e.test", "e.test", "/.//e.test", `/ok?x=\e.test`,
	// Not looping.
	"/sign-in", "/callback?code=x", "/sign-out", "/sign%2Dout", "/./sign-out", "/SIGN-OUT", "/sign-out?x", "/x/..//sign-out", "/sign-out//..", "/sign-in/x",
	// Not splitting.
	"/ok\r\nSet-Cookie:x", "/ok%0d%0aSet-Cookie:x", "/ok?x\r\nSet-Cookie:y", "/ok?\x00",
	// Bounded.
	"/" + strings.Repeat("a", 2048),
}

// kept are the values of 6 that are followed to the byte.
var kept = []string{"/", "/ok?x=%E2%82%AC&y=a+b#f", "/ok?u=https://e.test//x", "/a//b?x#//e.test", "/~me;v=1/!$&'()*,:@"}

// doors are the ways by which an address to return to comes in. Each returns
// where a sign-in then begins, "" if nowhere, and with which options.
var doors = []struct {
	name  string
	url   bool // it takes whole URLs, and not paths
	guard bool // it refuses a value before it sends anybody to sign in
	begin func(auth *signin.Auth, iss, value string) (path string, opts []signin.SignInOption)
}{
	{"the query of the sign-in route", false, false, func(_ *signin.Auth, _, v string) (string, []signin.SignInOption) {
		return "/sign-in?return_to=" + url.QueryEscape(v), nil
	}},
	{"ReturnTo", false, false, func(auth *signin.Auth, _, v string) (string, []signin.SignInOption) {
		if panicOf(func() { auth.SignIn(signin.ReturnTo(v)) }) != "" {
			return "", nil
		}
		return "/sign-in", []signin.SignInOption{signin.ReturnTo(v)}
	}},
	{"a guarded page's address", false, true, func(auth *signin.Auth, _, v string) (string, []signin.SignInOption) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI = v
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		auth.RequireAuth(http.NotFoundHandler()).ServeHTTP(w, r)
		return w.Header().Get("Location"), nil
	}},
	{"target_link_uri", true, false, func(_ *signin.Auth, iss, v string) (string, []signin.SignInOption) {
		return "/sign-in?iss=" + url.QueryEscape(iss) + "&target_link_uri=" + url.QueryEscape(v), nil
	}},
	{"HX-Current-URL", true, true, func(auth *signin.Auth, _, v string) (string, []signin.SignInOption) {
		r := httptest.NewRequest("GET", "/part", nil)
		r.Header = http.Header{"Hx-Request": {"true"}, "Hx-Current-Url": {v}}
		w := httptest.NewRecorder()
		auth.RequireAuth(http.NotFoundHandler()).ServeHTTP(w, r)
		return w.Header().Get("HX-Redirect"), nil
	}},
}

// land signs Bob in, beginning at path, and returns the Location of the callback.
func land(t *testing.T, p *signintest.Provider, auth *signin.Auth, path string, opts []signin.SignInOption) string {
	t.Helper()
	var landed []string
	mux := http.NewServeMux()
	mux.Handle("/sign-in", auth.SignIn(opts...))
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		auth.Callback()(answer, r)
		if answer.Code == http.StatusSeeOther {
			landed = answer.Header()["Location"]
		}
		w.WriteHeader(http.StatusNoContent) // this browser goes no further
	})
	p.Visit(t, at("app", mux, p.NewClient()), "https://app"+path, signintest.Bob())
	if len(landed) != 1 {
		t.Fatalf("got Location %q from the callback; want one", landed)
	}
	return landed[0]
}

func TestCasesReturnTo(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	cfg := p.Config("https://app")
	cfg.Logger, cfg.Paths.AfterSignIn = quiet(), "/home"
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, door := range doors {
		run := func(value, want string) {
			t.Run(fmt.Sprintf("6 %s: %.40q", door.name, value), func(t *testing.T) {
				t.Parallel()
				begin, opts := door.begin(auth, p.Issuer, value)
				if begin == "" && want == "/home" {
					return // a mistake of the program, refused when it starts
				}
				if got := origin("https://app", begin); got != "https://app" || !strings.HasPrefix(begin, "/sign-in") {
					t.Fatalf("got sent to %q, which is at %s; want the sign-in route", begin, got)
				}
				if door.guard && want == "/home" && begin != "/sign-in" {
					t.Errorf("got sent to %q; want to /sign-in, and nothing to return to", begin)
				}
				location := land(t, p, auth, begin, opts)
				if got := origin("https://app", location); got != "https://app" {
					t.Errorf("got Location %q, which is at %s; want this application", location, got)
				}
				if location != want && (want != "" || location != "/" && location != "/home") {
					t.Errorf("got Location %q; want %q", location, want)
				}
			})
		}
		for _, value := range offSite {
			if door.guard && !door.url && !strings.HasPrefix(value, "/") {
				run(value, "") // not in origin form (RFC 9112, section 3.2): anywhere here will do
				continue
			}
			run(value, "/home")
			if door.url {
				run("https://app"+value, "/home")
			}
		}
		for _, value := range kept {
			if !door.url {
				run(value, value)
				continue
			}
			run("https://app"+value, value)
			run("HTTPS://APP:443"+value, value)
			run(value, "/home") // a path is no URL
		}
	}
}

// What a guard remembers is what the browser asked for, also where a router has
// taken a prefix off (6).
func TestReturnToSurvivesStripPrefix(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	mux := a.server.Config.Handler.(*http.ServeMux)
	mux.Handle("/shop/", http.StripPrefix("/shop", a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "inside %s", r.URL.RequestURI())
	}))))
	const page = "/shop/caf%C3%A9?a=b%2Fc&d"
	a.browser().get(page).want(t, http.StatusSeeOther, "/sign-in?return_to="+url.QueryEscape(page))
	resp := a.provider.Visit(t, nil, a.server.URL+page, signintest.Bob())
	if got := resp.Request.URL.RequestURI(); got != page || resp.StatusCode != http.StatusOK {
		t.Errorf("got %s at %s; want 200 at %s", resp.Status, got, page)
	}
}

func TestWithRoutesServesTheRoutesAndGuardsNothing(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	cfg := p.Config("https://app")
	cfg.Logger = quiet()
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tree := http.NewServeMux()
	tree.HandleFunc("/", who)
	tree.Handle("/account", auth.RequireAuth(http.HandlerFunc(who)))
	tree.HandleFunc("/sign-in", func(http.ResponseWriter, *http.Request) { t.Error("got the tree's own /sign-in called") })
	client := at("app", auth.WithRoutes(tree), p.NewClient())
	// Nobody is asked to sign in but by a guard.
	for path, want := range map[string]string{"/": "nobody", "/any/page": "nobody", "/sign-in/x": "nobody", "/backchannel": "nobody"} {
		if got := read(t, client, path); got != want {
			t.Errorf("%s: got %q; want %q", path, got, want)
		}
	}
	p.Visit(t, client, "https://app/account", signintest.Bob())
	for _, path := range []string{"/", "/account", "/any/page"} {
		if got := read(t, client, path); got != signintest.Bob().Subject {
			t.Errorf("%s: got %q; want Bob", path, got)
		}
	}
	if resp := p.Visit(t, client, "https://app/sign-out", signintest.Bob()); resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("/sign-out: got %s; want the question before signing out", resp.Status)
	}
}

func read(t *testing.T, client *http.Client, path string) string {
	t.Helper()
	resp, err := client.Get("https://app" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
