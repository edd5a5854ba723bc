// Command replicas runs the application in example/ several times, behind a front
// that asks one replica after the other, as a load balancer does.
//
//	cd example/replicas
//	go run .
//
// It also starts the Redis that the replicas share, and so needs redis-server (on
// Debian: apt-get install redis-server), or the address of a Redis with -redis.
//
// Function run shows what makes one application of the replicas: they have the
// same BaseURL, which is the front's, the same Keys, and a Config.Shared on the
// same Redis. Each has an Auth, a Redis client and a listener to itself, as if it
// ran on a separate machine.
//
// This is a separate module because only applications that share their sessions
// through Redis need a Redis client among their dependencies.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9/logging"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/example/app"
)

const usage = `Usage: go run . [-addr localhost:3000] [-provider-addr 127.0.0.1:3001]
                [-replicas 3] [-redis 127.0.0.1:6379]

  -replicas       how many replicas of the application to run, 1 to 9, behind a
                  front at -addr that asks one after the other
  -redis          the address of the Redis that the replicas share; without it
                  this program starts one, and ends it`

const advice = `
Each page says at its bottom which replica made it, and each answer in its
header X-Replica. Sign in and reload a few times: every replica knows you. Sign
out at one: no replica knows you any more, even if a copy of your cookie comes
back. Stop Redis: the replicas answer that something does not work, and no page
for people who are signed in is shown.
`

func main() { os.Exit(program(os.Args[1:], os.Stdout, os.Stderr)) }

// program runs until it is interrupted, and returns its exit code.
func program(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	// The Redis client logs errors that it also returns, and package signin logs those.
	logging.Disable()
	return app.Report(run(ctx, args, os.Getenv, stdout, stderr), stderr)
}

// run is the whole program: it serves until ctx is done.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	s, err := readSettings(args, getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err = fmt.Fprint(stdout, usage, app.Help, advice)
		return err
	case err != nil:
		return err
	}
	redis, err := openRedis(ctx, s.redis)
	if err != nil {
		return err
	}
	defer redis.stop()
	listener, err := s.Listen() // the front's
	if err != nil {
		return err
	}
	defer listener.Close() // if an error comes before the server has it
	cfg := config(s, stderr)
	if s.Endpoint == "" {
		provider, err := s.StartProvider()
		if err != nil {
			return err
		}
		defer provider.Close()
		p := provider.Config(s.BaseURL)
		cfg.LogtoEndpoint, cfg.ClientID, cfg.ClientSecret = p.LogtoEndpoint, p.ClientID, p.ClientSecret
	}
	if s.APIResource != "" { // the replicas call the same API
		endAPI, err := s.StartAPI(cfg)
		if err != nil {
			return err
		}
		defer endAPI()
	}
	replicas, err := startReplicas(ctx, cfg, s, redis.addr)
	if err != nil {
		return err
	}
	defer replicas.stop() // after the last request at the front
	if _, err := fmt.Fprintf(stdout, "%sReplicas: %d, which share the Redis at %s.\n%s\nOpen %s\n",
		s.Advice(cfg.LogtoEndpoint), s.replicas, redis.addr, advice, s.BaseURL); err != nil {
		return err
	}
	return app.Serve(ctx, listener, front(replicas.urls, cfg.Logger))
}

// settings are those of the example, and this program's own.
type settings struct {
	*app.Settings
	replicas int
	redis    string // empty if this program starts one
}

func readSettings(args []string, getenv func(string) string) (*settings, error) {
	s, flags := new(settings), flag.NewFlagSet("replicas", flag.ContinueOnError)
	flags.IntVar(&s.replicas, "replicas", 3, "")
	flags.StringVar(&s.redis, "redis", "", "")
	var err error
	if s.Settings, err = app.ReadSettings(flags, args, getenv); err != nil {
		return nil, err
	}
	if s.replicas < 1 || s.replicas > 9 {
		return nil, app.Mistake{Err: fmt.Errorf("-replicas is %d; needs a number from 1 to 9", s.replicas)}
	}
	return s, nil
}

// config returns what the replicas have in common, except for Shared. Without a
// Logto, the provider for tests still has to be added.
func config(s *settings, stderr io.Writer) signin.Config {
	cfg := signin.Config{
		LogtoEndpoint: s.Endpoint, ClientID: s.AppID, ClientSecret: s.AppSecret,
		BaseURL: s.BaseURL,
		Keys:    s.Keys,
		Scopes:  app.Scopes(),
		Pages:   app.ShowPage,
		Logger:  slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if s.APIResource != "" {
		cfg.Resources = []string{s.APIResource}
	}
	if len(cfg.Keys) == 0 {
		// signin.New would make a different key for each replica, and then no replica
		// could read the sessions of another.
		cfg.Keys = [][]byte{[]byte(rand.Text() + rand.Text())}
		cfg.Logger.Warn("SIGNIN_KEY is empty: a random key is used, and all users are signed out when this process ends")
	}
	return cfg
}
