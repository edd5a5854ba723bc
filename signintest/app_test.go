package signintest_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// newHandler is an application with a guarded page, a page with a step-up, one
// that needs an access token, one that needs userinfo, and an API.
func newHandler(cfg signin.Config) (http.Handler, error) {
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.MergeUserInfo = true
	auth, err := signin.New(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {})
	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(account)))
	mux.Handle("/delete", auth.Require(signin.AuthenticatedWithin(5*time.Minute))(http.HandlerFunc(account)))
	mux.Handle("/token", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := signin.AccessToken(r.Context()); err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
	})))
	mux.Handle("/userinfo", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := signin.FetchUserInfo[map[string]any](r.Context()); err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
	})))
	mux.Handle("/api", auth.RequireBearer(api)(http.HandlerFunc(account)))
	return auth.WithRoutes(mux), nil
}

func TestStart_ApplicationThatDoesNotStart(t *testing.T) {
	t.Parallel()
	var conn net.Conn // to the provider
	panics(t, "signintest: the application does not start: no database", func() {
		runTest(func(t testing.TB) {
			signintest.Start(t, func(cfg signin.Config) (http.Handler, error) {
				conn, _ = net.Dial("tcp", strings.TrimPrefix(cfg.LogtoEndpoint, "http://"))
				return nil, errors.New("no database")
			})
		})
	})
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("got the provider running after the test")
	}
}

// echo answers with what a browser sends except cookies, and redirects to where the
// query says.
func echo(signin.Config) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if onward := r.URL.Query().Get("onward"); onward != "" {
			http.Redirect(w, r, onward, http.StatusSeeOther)
			return
		}
		for _, name := range []string{"Accept", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Origin", "Referer"} {
			fmt.Fprintf(w, "%s|", r.Header.Get(name))
		}
	}), nil
}

func TestBrowser_Headers(t *testing.T) {
	t.Parallel()
	app := signintest.Start(t, echo)
	const page = "text/html,application/xhtml+xml,*/*;q=0.8|navigate|document|"
	port := signintest.Start(t, echo).URL
	host := strings.Replace(app.URL, "127.0.0.1", "localhost", 1)
	for name, row := range map[string]struct {
		method, path string
		header       http.Header
		want         string
	}{
		"an address typed in":      {"GET", "/", nil, page + "none|||"},
		"a redirect":               {"GET", "/?onward=/", nil, page + "none|||"},
		"a form":                   {"POST", "/", nil, page + "same-origin|" + app.URL + "||"},
		"a form and a redirect":    {"POST", "/?onward=/", nil, page + "same-origin|||"},
		"to another port":          {"POST", "/?onward=" + port, nil, page + "same-site|||"},
		"to another port and back": {"POST", "/?onward=" + url.QueryEscape(port+"?onward="+app.URL), nil, page + "same-site|||"},
		"to another host":          {"POST", "/?onward=" + host, nil, page + "cross-site|||"},
		"to another host and back": {"POST", "/?onward=" + url.QueryEscape(host+"?onward="+app.URL), nil, page + "cross-site|||"},
		"a form of a page":         {"POST", "/", http.Header{"Referer": {"/page"}}, page + "same-origin|" + app.URL + "|/page|"},
		"a script":                 {"GET", "/", http.Header{"Accept": {"application/json"}}, "application/json||||||"},
		"fetch":                    {"POST", "/", http.Header{"Sec-Fetch-Mode": {"cors"}}, "|cors|||||"},
	} {
		r := newRequest(t, row.method, app.URL+row.path, nil)
		if row.header != nil {
			r.Header = row.header
		}
		same(t, name, send(t, app.Browser(signintest.Bob()), r).raw, row.want)
	}
}
