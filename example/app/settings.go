package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Help is what -help shows.
const Help = `Usage: go run ./example [-addr localhost:3000] [-provider-addr 127.0.0.1:3001]
                        [-replicas 3 -redis 127.0.0.1:6379]

  -addr           where the application listens
  -provider-addr  where the provider for tests listens, if there is no Logto
  -replicas       how many replicas of the application to run, 1 to 9, behind a
                  front at -addr that asks one after the other
  -redis          where the Redis is that the replicas share

Environment:

  LOGTO_ENDPOINT, LOGTO_APP_ID, LOGTO_APP_SECRET
                  a Logto to sign in with; all of them or none
  API_RESOURCE    what Logto calls the API of the orders page, such as
                  https://api.example.com; without it that page has no API
  SIGNIN_KEY      seals the sessions (openssl rand -hex 32); without it they
                  end with the program
  BASE_URL        where people reach the application, if not at -addr

With -replicas, each page says at its bottom which replica made it, and each
answer in its header X-Replica. Sign in and reload a few times: they all know
you. Sign out in one: none knows you any more, nor takes a copy of the cookie.
Stop Redis: they say that something does not answer, and let nobody in. The
replicas are a program of their own, example/replicas, which is built whenever
it is asked for.
`

// Settings are a program's flags and environment variables.
type Settings struct {
	Endpoint, AppID, AppSecret string // all, or none
	Keys                       [][]byte
	BaseURL                    string // Listen completes it
	APIResource                string // what the provider calls the API; empty if there is none
	APIURL                     string // where it listens; StartAPI sets it
	Replicas                   int    // 0 is a single process, without Redis
	Redis                      string

	addr, providerAddr string
}

// ReadSettings returns what a program was asked for: settings, [flag.ErrHelp] or
// a [Mistake].
func ReadSettings(args []string, getenv func(string) string) (*Settings, error) {
	s := &Settings{
		Endpoint: getenv("LOGTO_ENDPOINT"), AppID: getenv("LOGTO_APP_ID"), AppSecret: getenv("LOGTO_APP_SECRET"),
		BaseURL: strings.TrimRight(getenv("BASE_URL"), "/"), APIResource: getenv("API_RESOURCE"),
	}
	// A Logto refuses every sign-in that asks for an API it does not know. The
	// provider for tests knows all.
	if s.APIResource == "" && s.Endpoint == "" {
		s.APIResource = "https://api.example.com"
	}
	given, err := s.readFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil, err
	}
	if err == nil {
		err = s.checkReplicas(given)
	}
	if err == nil {
		err = checkEnvironment(getenv)
	}
	if err != nil {
		return nil, Mistake{err}
	}
	if key := getenv("SIGNIN_KEY"); key != "" {
		s.Keys = [][]byte{[]byte(key)}
	}
	return s, nil
}

// readFlags returns which flags are there.
func (s *Settings) readFlags(args []string) (given []string, err error) {
	flags := flag.NewFlagSet("example", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake is reported once, by main
	flags.StringVar(&s.addr, "addr", "localhost:3000", "")
	flags.StringVar(&s.providerAddr, "provider-addr", "127.0.0.1:3001", "")
	flags.IntVar(&s.Replicas, "replicas", 0, "")
	flags.StringVar(&s.Redis, "redis", "", "")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag; -help lists them", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) { given = append(given, f.Name) })
	return given, nil
}

func (s *Settings) checkReplicas(given []string) error {
	replicas, redis := slices.Contains(given, "replicas"), slices.Contains(given, "redis")
	switch {
	case replicas && !redis:
		return errors.New("-replicas needs -redis, such as -redis 127.0.0.1:6379, where replicas tell each other who has signed out")
	case redis && !replicas:
		return errors.New("-redis needs -replicas, such as -replicas 3; a single process has nobody to share with")
	case replicas && (s.Replicas < 1 || s.Replicas > 9):
		return fmt.Errorf("-replicas is %d; needs a number from 1 to 9", s.Replicas)
	}
	if _, port, err := net.SplitHostPort(s.Redis); redis && (err != nil || port == "") {
		return fmt.Errorf("-redis is %q; needs an address such as 127.0.0.1:6379", s.Redis)
	}
	return nil
}

func checkEnvironment(getenv func(string) string) error {
	logto := []string{"LOGTO_ENDPOINT", "LOGTO_APP_ID", "LOGTO_APP_SECRET"}
	missing := slices.DeleteFunc(slices.Clone(logto), func(name string) bool { return getenv(name) != "" })
	if n := len(missing); n > 0 && n < len(logto) {
		return fmt.Errorf("missing: %s; set all of %s, or none for the provider for tests",
			strings.Join(missing, ", "), strings.Join(logto, ", "))
	}
	if r := getenv("API_RESOURCE"); r != "" {
		if u, err := url.Parse(r); err != nil || !u.IsAbs() {
			return fmt.Errorf("API_RESOURCE is %q; needs an absolute URI such as https://api.example.com", r)
		}
	}
	// The links in the pages begin at the root.
	base := strings.TrimRight(getenv("BASE_URL"), "/")
	if u, err := url.Parse(base); err == nil && u.Path != "" && u.Host != "" {
		return fmt.Errorf("BASE_URL is %q; needs to end with its host", base)
	}
	return nil
}

// Listen listens at -addr, and completes BaseURL with the port that was found
// free, where the one asked for was 0.
func (s *Settings) Listen() (net.Listener, error) {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another address with -addr", err)
	}
	if s.BaseURL == "" {
		s.BaseURL = "http://" + browsable(s.addr, l.Addr())
	}
	return l, nil
}

// browsable is what to type into a browser for a listener at addr.
func browsable(addr string, listened net.Addr) string {
	host, _, _ := net.SplitHostPort(addr)              // net.Listen has taken it
	_, port, _ := net.SplitHostPort(listened.String()) // net.Listen has made it
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost" // all addresses of this machine: this one needs no https
	}
	return net.JoinHostPort(host, port)
}

// FindRedis looks whether anything listens at -redis, and says what to do if not.
// A Redis client would try for longer, and say less.
func (s *Settings) FindRedis(ctx context.Context) error {
	dialer := net.Dialer{Timeout: 3 * time.Second}
	c, err := dialer.DialContext(ctx, "tcp", s.Redis)
	if err != nil {
		return fmt.Errorf("is Redis running at %s? On Debian: apt-get install redis-server; redis-server (%w)", s.Redis, err)
	}
	return c.Close()
}

// Advice says who signs people in, and what there is to do for it.
func (s *Settings) Advice(endpoint string) string {
	if s.Endpoint == "" {
		return "People sign in at a provider for tests, " + endpoint + ": no account, no password.\n" +
			"Alice may open every page, Bob only some. Their orders are at an API, " + s.APIURL + ".\n" +
			"For a Logto, set LOGTO_ENDPOINT, LOGTO_APP_ID and LOGTO_APP_SECRET.\n"
	}
	api := "the identifier that you choose; then start this with API_RESOURCE set to it"
	if s.APIResource != "" {
		api = s.APIResource + " (if it is missing, Logto refuses every sign-in)"
	}
	return `People sign in at Logto, ` + endpoint + `. Register in its console:

  Applications > the one with App ID ` + s.AppID + `, of the kind "Traditional web"
    Redirect URI                ` + s.BaseURL + `/callback
    Post sign-out redirect URI  ` + s.BaseURL + `/
    Backchannel logout URI      ` + s.BaseURL + `/backchannel-logout (if Logto can reach it)
  Connectors > Social connectors, for the two buttons on the home page
    Naver, with the target      naver
    X, with the target          x
  API resources, for the orders page
    API identifier              ` + api + `
    Permissions                 read:orders, write:orders
  Roles, for the admin page and the orders page
    admin, a user role          with both permissions of the API; assign it to yourself
  Organization template, for the pages of organizations
    Organization permissions    read:members, invite:members
    Organization roles          owner, with both permissions
  Organizations > one of yours > Members
    Yourself                    with the role owner
`
}

// Mistake is an error that whoever starts the program can mend.
type Mistake struct{ Err error }

// Error names the variables from which the fields of signin.Config come.
func (m Mistake) Error() string {
	return strings.NewReplacer(
		"Config.LogtoEndpoint", "Config.LogtoEndpoint (LOGTO_ENDPOINT)",
		"Config.BaseURL", "Config.BaseURL (BASE_URL)",
		"Config.Keys[0]", "Config.Keys[0] (SIGNIN_KEY)",
		"Config.Keys", "Config.Keys (SIGNIN_KEY)",
		"Config.Resources", "Config.Resources (API_RESOURCE)",
	).Replace(m.Err.Error())
}

// Report writes what has ended a program, if anything has, and returns its exit
// code: 2 for a mistake, as the flag package has it, and 1 for anything else. A
// program that was run by this one has said by itself what ended it; its code is
// handed on.
func Report(err error, stderr io.Writer) int {
	var program interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &program):
		return program.ExitCode()
	}
	fmt.Fprintln(stderr, err)
	if errors.As(err, new(Mistake)) {
		return 2
	}
	return 1
}
