package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

const (
	// patience is the time-out of operations that should succeed.
	patience = time.Minute
	// impatience is the time-out of operations on a server that does not
	// answer. No test measures how long they take. Without it they would take
	// an hour, the time-out of the clients here (slow).
	impatience = 200 * time.Millisecond
)

// slow sets time-outs so long that only this package's time-out ends a call.
func slow(o *redis.Options) {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = time.Hour, time.Hour, time.Hour, time.Hour
}

// operation is one call, and the error it returned. A value returned with an error
// counts as a mistake.
type operation struct {
	name string
	do   func(ctx context.Context) error
}

// operations returns an operation for each call of the package.
func operations(client redis.UniversalClient, timeout time.Duration) []operation {
	shared := redisstore.NewShared(client, redisstore.Timeout(timeout))
	store := redisstore.NewSessions(client, redisstore.Timeout(timeout))
	save := func(ctx context.Context, maxAge int) error {
		r, w := requestWith("name", "").WithContext(ctx), httptest.NewRecorder()
		session, _ := store.New(r, "name")
		session.ID, session.Options.MaxAge = aCookie, maxAge
		err := store.Save(r, w, session)
		if cookies := w.Header()["Set-Cookie"]; err != nil && cookies != nil {
			return fmt.Errorf("cookies %q with the error %v", cookies, err)
		}
		return err
	}
	return []operation{
		{"Get", func(ctx context.Context) error {
			values, err := shared.Get(ctx, "a", "b", "c", "d")
			if (values == nil) != (err != nil) {
				return fmt.Errorf("values %q with the error %v", values, err)
			}
			return err
		}},
		{"Set", func(ctx context.Context) error { return shared.Set(ctx, "b", []byte("v"), time.Minute) }},
		{"Add", func(ctx context.Context) error {
			ok, err := shared.Add(ctx, "b", []byte("v"), time.Minute)
			if ok && err != nil {
				return fmt.Errorf("true with the error %v", err)
			}
			return err
		}},
		{"Delete", func(ctx context.Context) error { return shared.Delete(ctx, "d") }},
		{"New", func(ctx context.Context) error {
			session, err := store.Get(requestWith("name", aCookie).WithContext(ctx), "name")
			if session == nil || err != nil && (!session.IsNew || session.ID != "" || len(session.Values) != 0) {
				return fmt.Errorf("session %+v with the error %v", session, err)
			}
			return err
		}},
		{"Save", func(ctx context.Context) error { return save(ctx, 60) }},
		{"Save to delete", func(ctx context.Context) error { return save(ctx, -1) }},
	}
}

const aCookie = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" // of the right length

// wantAll runs all operations at once and checks what each returns.
func wantAll(t *testing.T, ctx context.Context, all []operation, check func(operation, error) string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, op := range all {
		wg.Go(func() {
			err := op.do(ctx)
			if want := check(op, err); want != "" {
				t.Errorf("%s: got error %v; want %s", op.name, err, want)
			}
		})
	}
	wg.Wait()
}

func fails(_ operation, err error) string {
	if err == nil || !strings.HasPrefix(err.Error(), "redisstore: ") {
		return "an error of this package"
	}
	return ""
}

// failsWith checks that there is an error, and that it says why.
func failsWith(why string) func(operation, error) string {
	return func(op operation, err error) string {
		if want := fails(op, err); want != "" || !strings.Contains(err.Error(), why) {
			return why
		}
		return ""
	}
}

func works(_ operation, err error) string {
	if err != nil {
		return "none"
	}
	return ""
}

func TestOperations_ServerIsKilled(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	client := n.client()
	patient := operations(client, patience)
	wantAll(t, t.Context(), patient, works)
	n.kill()
	wantAll(t, t.Context(), operations(client, impatience), fails)
	n.restart()
	// After so many failures, the client tries to connect only once a second.
	eventually(t, "there is a connection", func() bool { return patient[0].do(t.Context()) == nil })
	wantAll(t, t.Context(), patient, works)
}

func TestOperations_ServerHangs(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	client := n.client(slow)
	patient := operations(client, patience)
	wantAll(t, t.Context(), patient, works)
	n.pause()
	wantAll(t, t.Context(), operations(client, impatience), fails)
	n.resume()
	wantAll(t, t.Context(), patient, works)
}

// An answer that comes after its time-out must not be mistaken for the answer
// to the next command on that connection.
func TestShared_LateAnswer(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	client := n.client(func(o *redis.Options) { o.PoolSize, o.MaxRetries = 1, -1 })
	patient := sharedOn(client)
	set(t, patient, "late", "value")
	set(t, patient, "next", "its own")
	n.pause()
	if _, err := redisstore.NewShared(client, redisstore.Timeout(impatience)).Get(t.Context(), "late"); err == nil {
		t.Error("Get from a server that hangs: got no error; want one")
	}
	n.resume()
	wantValues(t, patient, []string{"next", "no"}, "its own", absent)
}

func TestOperations_ContextEnds(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	client := n.client(slow)
	all := operations(client, time.Hour)
	wantAll(t, t.Context(), all, works)
	n.pause()
	short, cancel := context.WithTimeout(t.Context(), impatience)
	defer cancel()
	wantAll(t, short, all, fails)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, down := range []string{"hangs", "was killed"} {
		wantAll(t, cancelled, all, func(op operation, err error) string {
			if want := fails(op, err); want != "" || !errors.Is(err, context.Canceled) {
				return "context.Canceled, of a server that " + down
			}
			return ""
		})
		n.kill()
	}
}

// A sentinel that does not know the primary's name answers with a null, as a
// server does for an absent key.
func TestOperations_SentinelDoesNotKnowThePrimary(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{startNode(t, conf, "--sentinel").addr}, MasterName: "primary", ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { client.Close() })
	wantAll(t, t.Context(), operations(client, patience), failsWith("sentinels"))
}

// An error of the connection is an error, even if it is redis.Nil, by which the
// client reports an absent key.
func TestOperations_ErrorThatLooksLikeAnAnswer(t *testing.T) {
	t.Parallel()
	t.Run("from a dialer", func(t *testing.T) {
		t.Parallel()
		client := redis.NewClient(&redis.Options{
			ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: -1,
			Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, redis.Nil },
		})
		defer client.Close()
		wantAll(t, t.Context(), operations(client, patience), fails)
	})
	t.Run("from a Cluster's list of nodes, at the time-out", func(t *testing.T) {
		t.Parallel()
		client := redis.NewClusterClient(&redis.ClusterOptions{
			ContextTimeoutEnabled: true,
			ClusterSlots: func(ctx context.Context) ([]redis.ClusterSlot, error) {
				<-ctx.Done()
				return nil, redis.Nil
			},
		})
		defer client.Close()
		wantAll(t, t.Context(), operations(client, impatience), fails)
	})
}
