// Command example is a small web application with a sign-in.
//
//	go run ./example
//
// starts it at http://localhost:3000, with a provider for tests beside it: no
// account, no password, no network. With LOGTO_ENDPOINT, LOGTO_APP_ID and
// LOGTO_APP_SECRET it talks to a Logto instead, and says what to register there.
//
//	go run ./example -replicas 3 -redis 127.0.0.1:6379
//
// starts it three times, behind one address, with sign-outs shared through Redis.
//
// It is meant to be copied: main.go holds the configuration, app/ the routes, the
// handlers, the pages and the server. By subject:
//
//	app/routes.go        which page is for whom, and what a sign-in asks for
//	app/app.go           home and account: who is signed in
//	app/orders.go        calling an API as that person, with app/api.go, the API
//	app/admin.go         a page for a role
//	app/organization.go  pages for members and owners of an organization
//	app/delete.go        a page for which people have to sign in once more
//
// Delete app/provider.go, replicas.go and replicas/; they belong to the
// demonstration.
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
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for anybody
	os.Exit(app.Report(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr), os.Stderr))
}

// run is the whole program: it serves until ctx is done.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	s, err := app.ReadSettings(args, getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err = fmt.Fprint(stdout, app.Help)
		return err
	case err != nil:
		return err
	case s.Replicas > 0:
		return replicas{goCommand: "go", stdin: os.Stdin, stdout: stdout, stderr: stderr}.run(ctx, s, args)
	}
	listener, err := s.Listen()
	if err != nil {
		return err
	}
	defer listener.Close() // for the ways out before the server has it

	cfg := signin.Config{LogtoEndpoint: s.Endpoint, ClientID: s.AppID, ClientSecret: s.AppSecret, BaseURL: s.BaseURL}
	if s.Endpoint == "" {
		provider, err := s.StartProvider()
		if err != nil {
			return err
		}
		defer provider.Close()
		cfg = provider.Config(s.BaseURL)
	}
	cfg.Keys = s.Keys
	cfg.Scopes = app.Scopes()
	if s.APIResource != "" {
		cfg.Resources = []string{s.APIResource}
	}
	// What signin.New would log at level info is printed below, in other words.
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
