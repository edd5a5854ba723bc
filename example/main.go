// Command example is a small web application with a sign-in.
//
//	go run ./example
//
// starts it at http://localhost:3000, together with a provider for tests: it
// needs no account, no password and no network. If LOGTO_ENDPOINT, LOGTO_APP_ID
// and LOGTO_APP_SECRET are set, people sign in at that Logto instead, and the
// program says what to register there.
//
// It is meant to be copied: main.go holds the configuration, app/ the routes, the
// handlers, the pages and the server. By subject:
//
//	app/routes.go        who may see which page, and what a sign-in asks for
//	app/app.go           what all pages have in common, also those of package signin
//	app/account.go       who is signed in; signing out everywhere
//	app/orders.go        calling an API as that person; app/api.go is the API
//	app/admin.go         a page for a role
//	app/organization.go  pages for members and owners of an organization
//	app/live.go          a page that stays open, and ends with the session
//	app/delete.go        a page for which people have to sign in again
//	app/texts.go         the reader's language; texts/ has the texts, pages/ the pages
//
// In your copy, delete app/provider.go and replicas/: they are only for the
// demonstration. The program in replicas/ runs this application several times,
// with sign-outs shared through Redis.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/example/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(app.Report(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr), os.Stderr))
}

const usage = `Usage: go run ./example [-addr localhost:3000] [-provider-addr 127.0.0.1:3001]
`

// run is the whole program: it serves until ctx is done.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	s, err := app.ReadSettings(flag.NewFlagSet("example", flag.ContinueOnError), args, getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err = fmt.Fprint(stdout, usage, app.Help)
		return err
	case err != nil:
		return err
	}
	listener, err := s.Listen()
	if err != nil {
		return err
	}
	defer listener.Close() // if an error occurs before the server has it

	cfg := signin.Config{LogtoEndpoint: s.Endpoint, ClientID: s.AppID, ClientSecret: s.AppSecret, BaseURL: s.BaseURL}
	if s.Endpoint == "" {
		provider, err := s.StartProvider()
		if err != nil {
			return err
		}
		defer provider.Close()
		cfg = provider.Config(s.BaseURL)
	}
	if len(s.Keys) > 0 { // otherwise the provider for tests has brought a random key, and for Logto New warns
		cfg.Keys = s.Keys
	}
	cfg.Scopes = app.Scopes()
	if s.APIResource != "" {
		cfg.Resources = []string{s.APIResource}
	}
	cfg.Pages = app.ShowPage
	// What signin.New logs at level info is printed below, in other words.
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	auth, err := signin.New(cfg)
	if err != nil {
		return app.Mistake{Err: err}
	}
	if s.APIResource != "" {
		endAPI, err := s.StartAPI(cfg)
		if err != nil {
			return err
		}
		defer endAPI()
	}
	if _, err := fmt.Fprint(stdout, s.Advice(cfg.LogtoEndpoint), "\nOpen ", s.BaseURL, "\n"); err != nil {
		return err
	}
	return app.Serve(ctx, listener, app.Routes(auth, s))
}
