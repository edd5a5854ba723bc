package main

import (
	"context"
	"net"
	"net/url"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/example/app"
	"github.com/gosignin/signin/redisstore"
)

// replicas are the running replicas.
type replicas struct {
	urls    []*url.URL
	clients []*redis.Client
	end     context.CancelFunc
	running sync.WaitGroup
}

// startReplicas starts replicas with cfg, which share the Redis at redisAddr. They
// go on when ctx is done, until they are stopped, because the front may still have
// requests for them.
func startReplicas(ctx context.Context, cfg signin.Config, s *settings, redisAddr string) (*replicas, error) {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	all := &replicas{end: end}
	for number := 1; number <= s.replicas; number++ {
		client := newClient(redisAddr)
		all.clients = append(all.clients, client)
		one := cfg
		one.Shared = redisstore.NewShared(client)
		one.Logger = cfg.Logger.With("replica", number)
		auth, err := signin.New(one)
		if err != nil {
			all.stop()
			return nil, app.Mistake{Err: err}
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			all.stop()
			return nil, err
		}
		all.urls = append(all.urls, &url.URL{Scheme: "http", Host: listener.Addr().String()})
		handler := app.FromReplica(number, s.replicas, app.Routes(auth, s.Settings))
		// If Serve fails, the front says that this replica does not answer.
		all.running.Go(func() { _ = app.Serve(ctx, listener, handler) })
	}
	return all, nil
}

// stop lets the replicas finish the requests under way, and ends them.
func (all *replicas) stop() {
	all.end()
	all.running.Wait()
	for _, client := range all.clients {
		client.Close()
	}
}
