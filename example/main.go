// Command example is a small web application with a sign-in.
//
//	go run ./example
//
// starts it at http://localhost:3000, with a provider for tests beside it: no
// account, no password, no network. With LOGTO_ENDPOINT, LOGTO_APP_ID and
// LOGTO_APP_SECRET it talks to a Logto instead, and says what to register there.
//
// It is meant to be copied: main.go holds configuration, routes and server,
// app.go the handlers. Delete provider.go; it belongs to the demonstration.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gosignin/signin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for anybody
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

// run is the whole program: it serves until ctx is done.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	s, err := readSettings(args, getenv)
	if errors.Is(err, flag.ErrHelp) {
		_, err = fmt.Fprint(stdout, help)
		return err
	}
	if err != nil {
		return mistake{err}
	}
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("%w; choose another address with -addr", err)
	}
	defer listener.Close() // for the ways out before the server has it
	s.listenedAt(listener.Addr())

	cfg := signin.Config{LogtoEndpoint: s.endpoint, ClientID: s.appID, ClientSecret: s.appSecret, BaseURL: s.baseURL}
	if s.endpoint == "" {
		provider, err := startProvider(s.providerAddr, s.baseURL)
		if err != nil {
			return err
		}
		defer provider.Close()
		cfg = provider.Config(s.baseURL)
	}
	cfg.Keys = s.keys
	cfg.Scopes = []string{"email", "roles"}
	// What signin.New would log at level info is printed below, in other words.
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	auth, err := signin.New(cfg)
	if err != nil {
		return mistake{err}
	}
	if _, err := fmt.Fprint(stdout, s.advice(cfg.LogtoEndpoint), "\nOpen ", s.baseURL, "\n"); err != nil {
		return err
	}
	return serve(ctx, listener, routes(auth))
}

// routes says which page is for whom.
func routes(auth *signin.Auth) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", auth.SignIn())
	mux.HandleFunc("GET /sign-up", auth.SignIn(signin.FirstScreen(signin.ScreenRegister)))
	mux.HandleFunc("GET /sign-in/naver", auth.SignIn(signin.Social("naver")))
	mux.HandleFunc("GET /sign-in/x", auth.SignIn(signin.Social("x")))
	mux.HandleFunc("GET /callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut()) // GET and POST
	mux.HandleFunc("/backchannel-logout", auth.BackChannelLogout())

	mux.Handle("GET /{$}", auth.Load(http.HandlerFunc(home)))               // the user, if there is one
	mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account))) // the user, or a sign-in
	mux.Handle("/", auth.Load(http.HandlerFunc(notFound)))                  // everything else
	mux.Handle("GET /static/{file}", http.FileServerFS(files))              // for everybody
	return secure(mux)
}

// serve answers requests until ctx is done, and then finishes those that are
// under way.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	// Without these a few thousand connections that say nothing hold up
	// everybody. WriteTimeout leaves a handler time to ask the provider.
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

// settings are the program's flags and environment variables.
type settings struct {
	addr, providerAddr         string
	endpoint, appID, appSecret string // all, or none
	keys                       [][]byte
	baseURL                    string
}

const help = `Usage: go run ./example [-addr localhost:3000] [-provider-addr 127.0.0.1:3001]

  -addr           where the application listens
  -provider-addr  where the provider for tests listens, if there is no Logto

Environment:

  LOGTO_ENDPOINT, LOGTO_APP_ID, LOGTO_APP_SECRET
                  a Logto to sign in with; all of them or none
  SIGNIN_KEY      seals the sessions (openssl rand -hex 32); without it they
                  end with the program
  BASE_URL        where people reach the application, if not at -addr
`

func readSettings(args []string, getenv func(string) string) (*settings, error) {
	s := &settings{
		endpoint: getenv("LOGTO_ENDPOINT"), appID: getenv("LOGTO_APP_ID"), appSecret: getenv("LOGTO_APP_SECRET"),
		baseURL: strings.TrimRight(getenv("BASE_URL"), "/"),
	}
	flags := flag.NewFlagSet("example", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake is reported once, by main
	flags.StringVar(&s.addr, "addr", "localhost:3000", "")
	flags.StringVar(&s.providerAddr, "provider-addr", "127.0.0.1:3001", "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag; -help lists them", flags.Arg(0))
	}
	logto := []string{"LOGTO_ENDPOINT", "LOGTO_APP_ID", "LOGTO_APP_SECRET"}
	missing := slices.DeleteFunc(slices.Clone(logto), func(name string) bool { return getenv(name) != "" })
	if n := len(missing); n > 0 && n < len(logto) {
		return nil, fmt.Errorf("missing: %s; set all of %s, or none for the provider for tests",
			strings.Join(missing, ", "), strings.Join(logto, ", "))
	}
	if key := getenv("SIGNIN_KEY"); key != "" {
		s.keys = [][]byte{[]byte(key)}
	}
	// The links in the pages begin at the root.
	if u, err := url.Parse(s.baseURL); err == nil && u.Path != "" && u.Host != "" {
		return nil, fmt.Errorf("BASE_URL is %q; needs to end with its host", s.baseURL)
	}
	return s, nil
}

// listenedAt completes the base URL with the port that was found free, where
// the one asked for was 0.
func (s *settings) listenedAt(addr net.Addr) {
	if s.baseURL != "" {
		return
	}
	host, _, _ := net.SplitHostPort(s.addr)        // net.Listen has taken it
	_, port, _ := net.SplitHostPort(addr.String()) // net.Listen has made it
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost" // all addresses of this machine: this one needs no https
	}
	s.baseURL = "http://" + net.JoinHostPort(host, port)
}

// advice says who signs people in, and what there is to do for it.
func (s *settings) advice(endpoint string) string {
	if s.endpoint == "" {
		return "People sign in at a provider for tests, " + endpoint + ": no account, no password.\n" +
			"For a Logto, set LOGTO_ENDPOINT, LOGTO_APP_ID and LOGTO_APP_SECRET.\n"
	}
	return `People sign in at Logto, ` + endpoint + `. Register in its console:

  Applications > the one with App ID ` + s.appID + `, of the kind "Traditional web"
    Redirect URI                ` + s.baseURL + `/callback
    Post sign-out redirect URI  ` + s.baseURL + `/
    Backchannel logout URI      ` + s.baseURL + `/backchannel-logout (if Logto can reach it)
  Connectors > Social connectors, for the two buttons on the home page
    Naver, with the target      naver
    X, with the target          x
`
}

// mistake is an error that whoever starts the program can mend.
type mistake struct{ error }

// Error names the variables from which the fields of signin.Config come.
func (m mistake) Error() string {
	return strings.NewReplacer(
		"Config.LogtoEndpoint", "Config.LogtoEndpoint (LOGTO_ENDPOINT)",
		"Config.BaseURL", "Config.BaseURL (BASE_URL)",
		"Config.Keys[0]", "Config.Keys[0] (SIGNIN_KEY)",
		"Config.Keys", "Config.Keys (SIGNIN_KEY)",
	).Replace(m.error.Error())
}

// exitCode is 2 for a mistake, as the flag package has it, and 1 for anything
// else that went wrong.
func exitCode(err error) int {
	if errors.As(err, new(mistake)) {
		return 2
	}
	return 1
}
