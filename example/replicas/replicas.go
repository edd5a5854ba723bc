package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/example/app"
	"github.com/gosignin/signin/redisstore"
)

// replicas are running.
type replicas struct {
	urls    []*url.URL
	clients []redis.UniversalClient
	end     context.CancelFunc
	running sync.WaitGroup
}

// startReplicas starts as many as s asks for, all with cfg. They serve on when
// ctx is done, until they are stopped: the front may have requests for them.
func startReplicas(ctx context.Context, cfg signin.Config, s *app.Settings) (*replicas, error) {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	all := &replicas{end: end}
	for i := range s.Replicas {
		if err := all.start(ctx, i+1, cfg, s); err != nil {
			all.stop()
			return nil, err
		}
	}
	return all, nil
}

// start starts the replica of this number.
func (all *replicas) start(ctx context.Context, number int, cfg signin.Config, s *app.Settings) error {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 []string{s.Redis},
		ContextTimeoutEnabled: true, // or a Redis that hangs holds up every request
		DialerRetries:         1,    // or one that is down does so for two seconds
	})
	all.clients = append(all.clients, client)
	if err := ping(ctx, client); err != nil {
		return fmt.Errorf("what listens at %s does not answer as Redis does: %w", s.Redis, err)
	}
	cfg.Shared = redisstore.NewShared(client)
	cfg.Logger = cfg.Logger.With("replica", number)
	auth, err := signin.New(cfg)
	if err != nil {
		return app.Mistake{Err: err}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	all.urls = append(all.urls, &url.URL{Scheme: "http", Host: listener.Addr().String()})
	all.running.Go(func() {
		// If it fails there is no answer, and that is what the front then says.
		_ = app.Serve(ctx, listener, app.FromReplica(number, s.Replicas, app.Routes(auth, s)))
	})
	return nil
}

func ping(ctx context.Context, client redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return client.Ping(ctx).Err()
}

// stop has them finish what is under way, and end.
func (all *replicas) stop() {
	all.end()
	all.running.Wait()
	for _, client := range all.clients {
		client.Close()
	}
}
