// Package redisstore keeps what an application's replicas share on Redis or
// Valkey: [Shared] is a signin.SharedState, [Sessions] a store for sessions
// that do not fit cookies.
//
//	client := redis.NewUniversalClient(&redis.UniversalOptions{
//		Addrs:                 []string{"127.0.0.1:6379"},
//		ContextTimeoutEnabled: true, // or a Redis that hangs holds up every request
//		DialerRetries:         1,    // or one that is down holds it up for two seconds
//	})
//	auth, err := signin.New(signin.Config{
//		// …
//		Shared: redisstore.NewShared(client),   // with more than one replica, always
//		Store:  redisstore.NewSessions(client), // only if cookies are too small
//	})
//
// The client may be one of a single node, of Sentinel or of a Cluster. Several
// applications may use one Redis, even with one prefix: the keys are hashes,
// either of random values or with a secret derived from Config.Keys, issuer and
// client.
//
// # What the server needs
//
//   - maxmemory-policy noeviction. Every key has a time to live, so any other
//     policy drops sign-outs when memory is short, and copies of the cookies of
//     ended sessions work again. With noeviction writes fail, and people see a
//     page that says so.
//   - appendonly yes. A server that restarts empty has lost the sign-outs, and
//     the sessions of [Sessions].
//
// # What its user needs
//
// The user of the client needs these commands, for keys with the prefix:
//
//	ACL SETUSER signin on >password ~signin:* +get +set +del
//
// On each node of a Cluster it also needs those that tell which node has which
// keys:
//
//	ACL SETUSER signin +cluster|slots +asking
//
// Options of the client may need more: DB needs +select, and ClientName needs
// +client|setname. The server may refuse whatever else the client sends;
// +client|setinfo, which Redis has had since 7.2, keeps these refusals out of
// ACL LOG.
//
// # What a failover can lose
//
// Replication of Redis is asynchronous. If a primary dies, its last writes may
// not have reached the replica that takes over, though Redis has confirmed
// them:
//
//   - a sign-out: the browser's own cookie is cleared, and the refresh token is
//     revoked at the provider, in any case. Copies of the cookie work until
//     their access token expires; until IdleTimeout or MaxLifetime if there is
//     no refresh token, or the provider has no way to revoke it.
//   - the successor of a session that was being refreshed: a browser that has
//     not received it yet still has a used refresh token, and has to sign in
//     again.
//   - a lease: two replicas may use one refresh token at once. Providers that
//     tolerate no reuse end the session.
//   - in a Cluster, the successor of a session but not the mark before it, which
//     is on another node: a cookie of an earlier generation leads nowhere, and its
//     browser has to sign in again.
//   - a session of [Sessions] that had just begun: its owner signs in again.
//
// min-replicas-to-write and min-replicas-max-lag bound the loss. While the
// network is split, a primary that has been replaced may still answer reads.
// None of this signs in a browser that was not signed in before.
package redisstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Option changes what [NewShared] and [NewSessions] return.
type Option func(*settings)

type settings struct {
	prefix  string
	timeout time.Duration
}

// Prefix sets what all keys begin with. Default "signin:".
func Prefix(prefix string) Option { return func(s *settings) { s.prefix = prefix } }

// Timeout sets how long one operation may take, the client's retries included.
// Default 2 seconds. It ends earlier if its context does.
func Timeout(d time.Duration) Option { return func(s *settings) { s.timeout = d } }

type server struct {
	settings
	client redis.UniversalClient
}

func newServer(client redis.UniversalClient, opts []Option) server {
	s := server{settings{prefix: "signin:", timeout: 2 * time.Second}, client}
	for _, o := range opts {
		o(&s.settings)
	}
	if s.timeout <= 0 {
		panic("redisstore: Timeout needs a duration above zero")
	}
	if mistake := unfit(client); mistake != "" {
		panic("redisstore: " + mistake)
	}
	return s
}

// unfit says why a client is not fit for this package, or "". Clients of other
// types are taken as they are.
func unfit(client redis.UniversalClient) string {
	const timeouts = "the client's options need ContextTimeoutEnabled: true, or a server that hangs holds up every request"
	switch c := client.(type) {
	case *redis.Client:
		switch o := c.Options(); {
		case !o.ContextTimeoutEnabled:
			return timeouts
		case o.ClientSideCache != nil || o.ClientSideCacheConfig != nil:
			return "the client's options must not have a client-side cache: sign-outs would be seen late"
		}
	case *redis.ClusterClient:
		switch o := c.Options(); {
		case !o.ContextTimeoutEnabled:
			return timeouts
		case o.ReadOnly: // RouteByLatency and RouteRandomly set it too
			return "the client's options must not have ReadOnly, RouteByLatency or RouteRandomly: replicas see sign-outs late"
		}
	case *redis.Ring:
		return "a Ring looks for the keys of a node that is down on another, and would find no sign-outs there; use Cluster or Sentinel"
	case nil:
		return "the client is nil"
	}
	return ""
}

// run sends commands, and returns an error unless all have been answered. An absent
// key counts as an answer; see isNone. The error begins with doing.
//
// Even a single command is sent in a pipeline. For a command outside a
// pipeline, a Cluster's client first asks for the table of all commands, for up
// to 5 seconds whatever ctx says, and makes every other request wait.
func (s *server) run(ctx context.Context, doing string, commands func(redis.Pipeliner)) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	pipe := s.client.Pipeline()
	commands(pipe)
	cmds, err := pipe.Exec(ctx)
	// It is tempting to use errors.Is. But a sentinel that does not know the
	// primary answers redis.Nil too, which becomes an error of the connection.
	// Then the commands were not sent, and may have no error.
	if err == nil || err == redis.Nil && ctx.Err() == nil && slices.ContainsFunc(cmds, isNone) {
		return nil
	}
	return fmt.Errorf("redisstore: %s: %w", doing, err)
}

// isNone reports whether the answer to a command is that the key is absent.
func isNone(cmd redis.Cmder) bool { return cmd.Err() == redis.Nil }
