package app

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Help is what -help says of the settings in this file, below the usage line of
// the program.
const Help = `
  -addr           where the application listens
  -provider-addr  where the provider for tests listens, if there is no Logto

Environment:

  LOGTO_ENDPOINT, LOGTO_APP_ID, LOGTO_APP_SECRET
                  the Logto to sign in with; all of them or none
  API_RESOURCE    what Logto calls the API of the orders page, such as
                  https://api.example.com; without it that page has no API.
                  Sign in again after a change: a session has tokens only for
                  what was asked for when it began
  LOGTO_WEBHOOK_KEY
                  the signing key of the webhook in Logto's console; without it
                  the application does not take webhooks
  SIGNIN_KEY      seals the sessions (openssl rand -hex 32); without it they
                  end with the program
  BASE_URL        where people reach the application, if not at -addr
`

// Settings are a program's flags and environment variables.
type Settings struct {
	Endpoint, AppID, AppSecret string // all, or none
	Keys                       [][]byte
	BaseURL                    string // Listen completes it
	APIResource                string // what the provider calls the API; empty without an API
	APIURL                     string // where the API listens; StartAPI sets it
	WebhookKey                 string // of Logto's webhook; empty without one

	addr, providerAddr string
}

// ReadSettings returns the settings of a program, [flag.ErrHelp] or a [Mistake].
// It adds its flags to those that the program has in flags already.
func ReadSettings(flags *flag.FlagSet, args []string, getenv func(string) string) (*Settings, error) {
	s := &Settings{
		Endpoint: getenv("LOGTO_ENDPOINT"), AppID: getenv("LOGTO_APP_ID"), AppSecret: getenv("LOGTO_APP_SECRET"),
		BaseURL: strings.TrimRight(getenv("BASE_URL"), "/"), APIResource: getenv("API_RESOURCE"),
		WebhookKey: getenv("LOGTO_WEBHOOK_KEY"),
	}
	// Logto refuses every sign-in that asks for an API it does not know. The
	// provider for tests accepts any API.
	if s.APIResource == "" && s.Endpoint == "" {
		s.APIResource = "https://api.example.com"
	}
	flags.SetOutput(io.Discard) // a mistake is reported once, by main
	flags.StringVar(&s.addr, "addr", "localhost:3000", "")
	flags.StringVar(&s.providerAddr, "provider-addr", "127.0.0.1:3001", "")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil, err
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%q is not a flag", flags.Arg(0))
	}
	if err != nil {
		return nil, Mistake{fmt.Errorf("%w; -help lists the flags", err)}
	}
	if err := checkEnvironment(getenv); err != nil {
		return nil, Mistake{err}
	}
	if key := getenv("SIGNIN_KEY"); key != "" {
		s.Keys = [][]byte{[]byte(key)}
	}
	return s, nil
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

// Listen listens at -addr. Without BASE_URL it sets BaseURL, with the port that
// was chosen if -addr has port 0.
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
	host, _, _ := net.SplitHostPort(addr)              // net.Listen accepted it
	_, port, _ := net.SplitHostPort(listened.String()) // net.Listen made it
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost" // it listens at all addresses; this one needs no https
	}
	return net.JoinHostPort(host, port)
}

// people are the users of the provider for tests.
const people = `
  Alice Example   may open every page, and list and place orders
  Bob Example     has no role and no organization; may list orders
  길동             signs in through Naver; may do nothing with orders
  Xavier Example  signs in through X; has no picture and no e-mail address

Try to place an order as Bob, to delete an account five minutes after signing in, to
sign out everywhere with two browsers, and to suspend someone who is signed in:
`

// Advice says where people sign in, and what to set up for that.
func (s *Settings) Advice(endpoint string) string {
	if s.Endpoint == "" {
		return "People sign in at a provider for tests, " + endpoint + ", without passwords. Only this machine\n" +
			"reaches it. The orders are at an API, " + s.APIURL + ".\n" + people + "\n  " + endpoint +
			"/console\n\n-help says how to use a real Logto.\n"
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
  Webhooks, for people who are suspended or deleted, or reset their password
    Endpoint URL                ` + s.BaseURL + `/logto-webhook (if Logto can reach it)
    Events                      User.SuspensionStatus.Updated, User.Deleted,
                                PostResetPassword
    Signing key                 start this with LOGTO_WEBHOOK_KEY set to it
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

// Mistake is an error that the person who starts the program can correct.
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

// Report writes the error that has ended a program, if there is one, and returns
// the exit code: 2 for a mistake, as in the flag package, and 1 for other errors.
func Report(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, err)
	if errors.As(err, new(Mistake)) {
		return 2
	}
	return 1
}
