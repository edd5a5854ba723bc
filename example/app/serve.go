package app

import (
	"context"
	"net"
	"net/http"
	"time"
)

type stoppingKey struct{}

// Stopping returns a channel that is closed when the server begins to stop: what a
// stream waits for, since it would not end by itself.
func Stopping(ctx context.Context) <-chan struct{} {
	server, _ := ctx.Value(stoppingKey{}).(context.Context)
	if server == nil {
		return nil // a test without Serve
	}
	return server.Done()
}

// Serve answers requests until ctx is done, and then finishes those that are
// under way.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	// Without these timeouts, a few thousand connections that send nothing would
	// block the server. WriteTimeout leaves a handler time to ask the provider. To read
	// a megabyte of Accept-Language, the default, takes longer than all other work.
	server := &http.Server{
		Handler:           handler,
		MaxHeaderBytes:    64 << 10,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, ctx)
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(rest)
}
