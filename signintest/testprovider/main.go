// Command testprovider runs the provider of package signintest as a server, to try
// an application in a browser without an account anywhere:
//
//	go run github.com/gosignin/signin/signintest/testprovider
//
// prints the environment variables for the program in the README, and knows its
// addresses. -help says how to serve another application, and other people.
//
// There is no password: anyone who reaches it can sign in as any of its users. It is
// for one developer's machine, and listens on loopback unless told otherwise.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gosignin/signin/signintest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testprovider:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	addr, clientID, clientSecret      string
	redirects, signOuts, backChannels []string
	users                             string // a file
	anywhere                          bool
}

// run is the whole program: it serves until ctx is done.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	s, flags := new(settings), flag.NewFlagSet("testprovider", flag.ContinueOnError)
	s.declare(flags)
	flags.SetOutput(io.Discard) // a mistake is reported once, by main
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("%q is not a flag; -help lists them", flags.Arg(0))
	}
	options, err := s.options()
	if err != nil {
		return err
	}
	provider := signintest.NewProvider(options...)
	defer provider.Close()
	provider.RegisterRedirectURIs(s.redirects...)
	provider.RegisterSignOutURIs(s.signOuts...)
	provider.RegisterBackChannelURIs(s.backChannels...)
	if _, err := io.WriteString(stdout, s.advice(provider)); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (s *settings) declare(flags *flag.FlagSet) {
	flags.StringVar(&s.addr, "addr", "localhost:3002", "the `address` to listen at")
	flags.StringVar(&s.clientID, "client-id", "test-app", "the client `ID`, at Logto the App ID")
	flags.StringVar(&s.clientSecret, "client-secret", "test-app-secret", "the client `secret`")
	uris := func(name string, list *[]string, standard string) {
		flags.Func(name, "a registered `URI`; may be repeated (default "+standard+")", func(uri string) error {
			*list = append(*list, uri)
			return nil
		})
	}
	uris("redirect-uri", &s.redirects, redirect)
	uris("post-logout-redirect-uri", &s.signOuts, signOut)
	uris("backchannel-logout-uri", &s.backChannels, backChannel)
	flags.StringVar(&s.users, "users", "", "a JSON `file` with a list of users, each an object with the fields of\n"+
		`signintest.User, such as [{"Subject": "carol", "Name": "Carol", "Roles": ["admin"]}]`)
	flags.BoolVar(&s.anywhere, "dangerously-listen-anywhere", false,
		"listen at addresses that other machines reach: everyone there can sign in as anyone")
}

// The addresses of the program in the README.
const (
	redirect    = "http://localhost:8080/callback"
	signOut     = "http://localhost:8080/"
	backChannel = "http://localhost:8080/backchannel-logout"
)

// options checks the settings, and completes them.
func (s *settings) options() ([]signintest.Option, error) {
	if s.clientID == "" || s.clientSecret == "" {
		return nil, errors.New("-client-id or -client-secret is empty; needs both")
	}
	if err := checkAddr(s.addr, s.anywhere); err != nil {
		return nil, err
	}
	if err := tryAddr(s.addr); err != nil {
		return nil, err
	}
	for list, standard := range map[*[]string]string{&s.redirects: redirect, &s.signOuts: signOut, &s.backChannels: backChannel} {
		if len(*list) == 0 {
			*list = []string{standard}
		}
	}
	options := []signintest.Option{signintest.WithAddr(s.addr), signintest.WithClient(s.clientID, s.clientSecret)}
	if s.users != "" {
		users, err := readUsers(s.users)
		if err != nil {
			return nil, err
		}
		options = append(options, signintest.WithUsers(users...))
	}
	return options, nil
}

// checkAddr makes sure that only this machine reaches addr, unless that is not wanted.
func checkAddr(addr string, anywhere bool) error {
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err == nil && !anywhere && !at.IP.IsLoopback() {
		err = fmt.Errorf("-addr is %q; needs an address such as localhost:3002 that only this machine reaches, "+
			"since there is no password, or -dangerously-listen-anywhere", addr)
	}
	return err
}

// tryAddr finds out whether the provider can listen, since NewProvider would panic.
func tryAddr(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w; choose another address with -addr", err)
	}
	return l.Close()
}

func readUsers(path string) (users []signintest.User, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fields := json.NewDecoder(f)
	fields.DisallowUnknownFields()
	if err := fields.Decode(&users); err != nil {
		return nil, fmt.Errorf("-users %s: %w", path, err)
	}
	if fields.More() {
		return nil, fmt.Errorf("-users %s: something follows the list; needs one list", path)
	}
	for i, u := range users {
		if u.Subject == "" {
			return nil, fmt.Errorf("-users %s: user %d has no Subject; needs one", path, i+1)
		}
	}
	return users, nil
}

func (s *settings) advice(p *signintest.Provider) string {
	quote := func(value string) string { return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'" }
	return "This is a test provider, without passwords. Never let other people reach it.\n\n" +
		"export LOGTO_ENDPOINT=" + quote(p.URL) + " LOGTO_APP_ID=" + quote(s.clientID) + " LOGTO_APP_SECRET=" + quote(s.clientSecret) + "\n" +
		"export SIGNIN_KEY=\"$(openssl rand -hex 32)\"\n\n" +
		"Registered: " + strings.Join(append(append(s.redirects, s.signOuts...), s.backChannels...), ", ") + "\n" +
		"Users: " + cmp.Or(s.users, "Alice and Bob, 길동 through Naver, and Xavier through X") + "\n" +
		"Issuer, for applications that know nothing of Logto: " + p.Issuer + "\n"
}
