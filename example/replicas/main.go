// Command replicas is the application in example/ several times, behind a front
// that asks one after the other, as a load balancer does.
//
//	go run ./example -replicas 3 -redis 127.0.0.1:6379
//
// in the root of a clone builds it and runs it. What makes one application of the
// replicas is in run: all have the same BaseURL, which is the front's, the same
// Keys, and one Config.Shared, on Redis. Each has an Auth, a Redis client and a
// listener of its own, as if it ran on a machine of its own.
//
// It is a module of its own, so that nobody has a Redis client among their
// dependencies who does not use one.
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
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/example/app"
)

func main() { os.Exit(program(os.Args[1:], os.Stdout, os.Stderr)) }

// program runs until it is asked to end, and returns its exit code.
func program(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Ctrl-C in a terminal arrives twice: from there, and from the program that
	// has started this one. Another that comes later does not wait for anybody.
	context.AfterFunc(ctx, func() { time.AfterFunc(2*time.Second, stop) })
	// What goes wrong with Redis is an error that package signin logs.
	logging.Disable()
	return app.Report(run(ctx, args, os.Getenv, stdout, stderr), stderr)
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
	case s.Replicas == 0:
		return app.Mistake{Err: errors.New("-replicas and -redis are missing, such as -replicas 3 -redis 127.0.0.1:6379")}
	}
	if err := s.FindRedis(ctx); err != nil {
		return err
	}
	listener, err := s.Listen() // the front's
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
	cfg.Scopes = app.Scopes()
	if s.APIResource != "" {
		cfg.Resources = []string{s.APIResource}
	}
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg.Keys = s.Keys
	if len(cfg.Keys) == 0 {
		// signin.New would make one for each replica, and none could read the
		// sessions of another.
		cfg.Keys = [][]byte{make([]byte, 32)}
		rand.Read(cfg.Keys[0])
		cfg.Logger.Warn("SIGNIN_KEY is empty: a random key is used, and everybody is signed out when this process ends")
	}
	if s.APIResource != "" { // one for all replicas, which ask it by themselves
		endAPI, err := s.StartAPI(cfg)
		if err != nil {
			return err
		}
		defer endAPI()
	}
	replicas, err := startReplicas(ctx, cfg, s)
	if err != nil {
		return err
	}
	defer replicas.stop() // when the front has no request left
	if _, err := fmt.Fprintf(stdout, "%s%s\nOpen %s\n", s.Advice(cfg.LogtoEndpoint), advice(s), s.BaseURL); err != nil {
		return err
	}
	return app.Serve(ctx, listener, front(replicas.urls, cfg.Logger))
}

// advice says what there is to see.
func advice(s *app.Settings) string {
	return fmt.Sprintf("Replicas: %d, which share the Redis at %s. Each page says at its bottom which one made it.\n", s.Replicas, s.Redis)
}
