package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

// margin is what an operation may take beyond its time-out on a machine that
// has much else to do. The client's own time-outs are longer: 5 seconds.
const margin = 4 * time.Second

// patience is the time-out of operations that are to succeed.
const patience = 20 * time.Second

// operation is one call, and the error it returned. A value beside an error
// counts as a mistake.
type operation struct {
	name  string
	write bool
	do    func(ctx context.Context) error
}

// operations are all calls of the package; id is a session's cookie.
func operations(client redis.UniversalClient, id string, timeout time.Duration) []operation {
	shared := redisstore.NewShared(client, redisstore.Timeout(timeout))
	store := redisstore.NewSessions(client, redisstore.Timeout(timeout))
	save := func(ctx context.Context, maxAge int) error {
		r, w := requestWith("name", "").WithContext(ctx), httptest.NewRecorder()
		session, _ := store.New(r, "name")
		session.ID, session.Options.MaxAge = id, maxAge
		err := store.Save(r, w, session)
		if cookies := w.Header()["Set-Cookie"]; err != nil && cookies != nil {
			return fmt.Errorf("cookies %q beside the error %v", cookies, err)
		}
		return err
	}
	return []operation{
		{"Get", false, func(ctx context.Context) error {
			values, err := shared.Get(ctx, "a", "b", "c", "d")
			if (values == nil) != (err != nil) {
				return fmt.Errorf("values %q beside the error %v", values, err)
			}
			return err
		}},
		{"Set", true, func(ctx context.Context) error { return shared.Set(ctx, "b", []byte("v"), time.Minute) }},
		{"Add", true, func(ctx context.Context) error {
			ok, err := shared.Add(ctx, "b", []byte("v"), time.Minute)
			if ok && err != nil {
				return fmt.Errorf("true beside the error %v", err)
			}
			return err
		}},
		{"Delete", false, func(ctx context.Context) error { return shared.Delete(ctx, "d") }},
		{"New", false, func(ctx context.Context) error {
			session, err := store.New(requestWith("name", id).WithContext(ctx), "name")
			if session == nil || err != nil && (!session.IsNew || session.ID != "" || len(session.Values) != 0) {
				return fmt.Errorf("session %+v beside the error %v", session, err)
			}
			return err
		}},
		{"Save", true, func(ctx context.Context) error { return save(ctx, 60) }},
		{"Save to delete", false, func(ctx context.Context) error { return save(ctx, -1) }},
	}
}

const aCookie = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" // of the right length

// wantAll runs all operations at once and checks what each returns, and how
// long it takes.
func wantAll(t *testing.T, ctx context.Context, all []operation, within time.Duration, check func(operation, error) string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, op := range all {
		wg.Go(func() {
			start := time.Now()
			err := op.do(ctx)
			if took := time.Since(start); took > within {
				t.Errorf("%s: got an answer after %v; want one within %v", op.name, took, within)
			}
			if want := check(op, err); want != "" {
				t.Errorf("%s: got error %v; want %s", op.name, err, want)
			}
		})
	}
	wg.Wait()
}

func fails(_ operation, err error) string {
	if err == nil || !strings.HasPrefix(err.Error(), "redisstore: ") {
		return "one of this package"
	}
	return ""
}

// failsWith wants an error that says why.
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

// CASES 5.9.
func TestAServerThatIsKilled(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	const timeout = 400 * time.Millisecond
	client := n.client()
	all, patient := operations(client, aCookie, timeout), operations(client, aCookie, patience)
	wantAll(t, t.Context(), patient, patience, works)
	for range 2 {
		n.kill()
		for range 2 {
			wantAll(t, t.Context(), all, timeout+margin, fails)
		}
		n.restart()
		// After so many failures, the client looks once a second only.
		eventually(t, patience, "there is a connection", func() bool { return patient[0].do(t.Context()) == nil })
		wantAll(t, t.Context(), patient, patience, works)
	}
}

func TestAServerThatNeverWas(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: freeAddr(t), ContextTimeoutEnabled: true})
	defer client.Close()
	const timeout = 300 * time.Millisecond
	wantAll(t, t.Context(), operations(client, aCookie, timeout), timeout+margin, fails)
}

// CASES 5.9.
func TestAServerThatHangs(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	const timeout = 200 * time.Millisecond
	client := n.client()
	all, patient := operations(client, aCookie, timeout), operations(client, aCookie, patience)
	wantAll(t, t.Context(), patient, patience, works)
	n.pause()
	for range 2 {
		wantAll(t, t.Context(), all, timeout+margin, fails)
	}
	// The shortest of several is not the fault of what else runs here.
	shortest := time.Hour
	for tries := 0; tries < 20 && shortest > timeout*3/2; tries++ {
		start := time.Now()
		_ = all[0].do(t.Context())
		shortest = min(shortest, time.Since(start))
	}
	if shortest < timeout || shortest > timeout*3/2 {
		t.Errorf("%s: got an error after %v; want one after %v", all[0].name, shortest, timeout)
	}
	n.resume()
	wantAll(t, t.Context(), patient, patience, works)
}

// Answers that come when nobody waits for them any more must not be taken for
// those to later questions.
func TestNoAnswerIsMistakenForAnother(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	s := redisstore.NewShared(n.client(), redisstore.Timeout(50*time.Millisecond))
	patient := sharedOn(n.client())
	const count = 50
	key := func(i int) string { return fmt.Sprint("key", i) }
	for i := range count {
		set(t, patient, key(i), "of "+key(i))
	}
	var wg sync.WaitGroup
	var answered atomic.Int32
	stop := make(chan struct{})
	for i := range count {
		wg.Go(func() {
			for {
				values, err := s.Get(context.Background(), key(i), "no", key(count-1-i))
				if err == nil {
					answered.Add(1)
				}
				if err == nil && (string(values[0]) != "of "+key(i) || values[1] != nil || string(values[2]) != "of "+key(count-1-i)) {
					t.Errorf("Get(%q, no, %q): got %q; want their own", key(i), key(count-1-i), values)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 3 {
		before := answered.Load()
		eventually(t, patience, "there are answers", func() bool { return answered.Load() >= before+count })
		n.pause()
		_, err := s.Get(context.Background(), key(0))
		for err == nil { // one of those under way when the server stopped
			_, err = s.Get(context.Background(), key(0))
		}
		n.resume()
		if _, err := patient.Get(context.Background(), key(0)); err != nil {
			t.Errorf("Get: got error %v; want none", err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestAContextThatEndsFirst(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	client := n.client()
	all := operations(client, aCookie, time.Minute)
	wantAll(t, t.Context(), all, patience, works)
	n.pause()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	wantAll(t, short, all, 100*time.Millisecond+margin, fails)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, down := range []string{"hangs", "was killed"} {
		wantAll(t, cancelled, all, margin, func(op operation, err error) string {
			if want := fails(op, err); want != "" || !errors.Is(err, context.Canceled) {
				return "context.Canceled at once, of a server that " + down
			}
			return ""
		})
		n.kill()
	}
}

// Whatever the server answers that is no value is an error.
func TestAServerThatRefuses(t *testing.T) {
	t.Parallel()
	const timeout = patience // none of these is about time
	t.Run("OOM: writes fail, and what is there is read", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, "--maxmemory-policy", "noeviction")
		client := n.client()
		kept := sharedOn(client)
		set(t, kept, "a", "value")
		n.do("CONFIG", "SET", "maxmemory", "1")
		wantAll(t, t.Context(), operations(client, aCookie, timeout), timeout, func(op operation, err error) string {
			if op.write {
				return failsWith("OOM")(op, err)
			}
			return works(op, err)
		})
		wantValues(t, kept, []string{"a", "b"}, "value", absent)
		n.do("CONFIG", "SET", "maxmemory", "0")
		wantAll(t, t.Context(), operations(client, aCookie, timeout), timeout, works)
	})
	t.Run("READONLY: a primary that was made a replica takes no writes", func(t *testing.T) {
		t.Parallel()
		n := startNode(t)
		client := n.client()
		n.do("REPLICAOF", "127.0.0.1", "1")
		wantAll(t, t.Context(), operations(client, aCookie, timeout), timeout, func(op operation, err error) string {
			if op.write || strings.Contains(op.name, "elete") {
				return failsWith("READONLY")(op, err)
			}
			return works(op, err)
		})
		n.do("CONFIG", "SET", "replica-serve-stale-data", "no")
		wantAll(t, t.Context(), operations(client, aCookie, timeout), timeout, fails)
		n.do("REPLICAOF", "NO", "ONE")
		wantAll(t, t.Context(), operations(client, aCookie, timeout), timeout, works)
	})
	t.Run("WRONGPASS and NOAUTH", func(t *testing.T) {
		t.Parallel()
		n := startNode(t)
		wrong := n.client(func(o *redis.Options) { o.Username, o.Password = "signin", "wrong" })
		wantAll(t, t.Context(), operations(wrong, aCookie, timeout), timeout, failsWith("WRONGPASS"))
		n.do("CONFIG", "SET", "requirepass", "password")
		wantAll(t, t.Context(), operations(n.client(), aCookie, timeout), timeout, failsWith("NOAUTH"))
	})
	t.Run("LOADING: a server that has just started reads what it kept, then all works", func(t *testing.T) {
		t.Parallel()
		n := startNode(t)
		client := n.client()
		s := sharedOn(client)
		for i := range 1000 {
			n.operator.Set(t.Context(), fmt.Sprint("other:", i), "value", 0)
		}
		set(t, s, "a", "value")
		n.do("SAVE")
		n.kill()
		n.args = []string{"--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"}
		n.restart()
		if _, err := s.Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "LOADING") {
			t.Errorf("Get: got error %v; want LOADING", err)
		}
		wantAll(t, t.Context(), operations(client, aCookie, 200*time.Millisecond), 200*time.Millisecond+margin, fails)
		n.do("CONFIG", "SET", "key-load-delay", 0)
		eventually(t, patience, "the server has loaded", func() bool {
			_, err := s.Get(t.Context(), "a")
			return err == nil
		})
		wantValues(t, s, []string{"a"}, "value")
	})
}
