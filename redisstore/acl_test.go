package redisstore_test

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

var documented = regexp.MustCompile(`(?m)^//\t(ACL SETUSER signin .*)$`)

// documentedUser returns the n-th command of the package documentation that
// makes the user.
func documentedUser(t testing.TB, n int) (command []any) {
	t.Helper()
	source, err := os.ReadFile("redisstore.go")
	if err != nil {
		t.Fatal(err)
	}
	commands := documented.FindAllSubmatch(source, -1)
	if len(commands) != 2 {
		t.Fatalf("package documentation: got %q; want two commands", commands)
	}
	for _, word := range strings.Fields(string(commands[n][1])) {
		command = append(command, word)
	}
	return command
}

// aclUser is the command that the package documentation gives for any Redis.
func aclUser(t testing.TB) []any { return documentedUser(t, 0) }

// aclUserOfCluster is what it adds for a Cluster.
func aclUserOfCluster(t testing.TB) []any { return documentedUser(t, 1) }

func asUser(o *redis.Options) { o.Username, o.Password = "signin", "password" }

func TestTheDocumentedUser(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.do(aclUser(t)...)
	ctx := context.Background()
	user := n.client(asUser)
	sharedContract(t, system{client: user, operator: n.operator, keys: n.keys})
	wantAll(t, ctx, operations(user, aCookie, patience), patience, works)
	t.Run("touches nothing outside of the prefix", func(t *testing.T) {
		n.operator.Set(ctx, "other", "value", 0)
		elsewhere := n.client(asUser)
		all := operations(elsewhere, aCookie, patience)
		for _, prefix := range []string{"", "other", "sign", "xsignin:"} {
			s := sharedOn(elsewhere, redisstore.Prefix(prefix))
			if _, err := s.Get(ctx, "other"); err == nil || !strings.Contains(err.Error(), "NOPERM") {
				t.Errorf("Get, prefix %q: got error %v; want NOPERM", prefix, err)
			}
			if err := s.Set(ctx, "other", nil, time.Minute); err == nil || !strings.Contains(err.Error(), "NOPERM") {
				t.Errorf("Set, prefix %q: got error %v; want NOPERM", prefix, err)
			}
		}
		for _, command := range [][]any{{"GET", "other"}, {"SET", "other", "x"}, {"DEL", "other"}} {
			if err := user.Do(ctx, command...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
				t.Errorf("%v: got error %v; want NOPERM", command, err)
			}
		}
		wantAll(t, ctx, all, patience, works)
		if got := n.operator.Get(ctx, "other").Val(); got != "value" {
			t.Errorf("other: got %q; want its value", got)
		}
	})
	t.Run("may run no other command", func(t *testing.T) {
		for _, command := range []string{
			"KEYS *", "SCAN 0", "FLUSHALL", "FLUSHDB", "CONFIG GET *", "INFO", "ACL LIST", "EVAL return 0", "GETDEL signin:a",
			"APPEND signin:a x", "EXPIRE signin:a 1", "RANDOMKEY", "DBSIZE", "MONITOR", "SHUTDOWN", "CLIENT LIST",
			"CLIENT KILL TYPE normal", "CLIENT PAUSE 1", "COMMAND", "SELECT 1", "SUBSCRIBE x", "PUBLISH x y", "MULTI", "SAVE",
		} {
			var args []any
			for _, word := range strings.Fields(command) {
				args = append(args, word)
			}
			if err := user.Do(ctx, args...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
				t.Errorf("%s: got error %v; want NOPERM", command, err)
			}
		}
	})
}

// Without any one of its commands something does not work, so the documentation
// asks for none in vain.
func TestNoCommandOfTheUserIsInVain(t *testing.T) {
	t.Parallel()
	if user := aclUser(t); len(user) != 9 {
		t.Fatalf("got %q; want three commands and no other", user)
	}
	for command, broken := range map[string][]string{
		"+get": {"Get", "Add", "New"},
		"+set": {"Set", "Add", "Save"},
		"+del": {"Delete", "Save to delete"},
	} {
		n := startNode(t)
		n.do(slices.DeleteFunc(aclUser(t), func(word any) bool { return word == command })...)
		wantAll(t, t.Context(), operations(n.client(asUser), aCookie, patience), patience, func(op operation, err error) string {
			if slices.Contains(broken, op.name) {
				return failsWith("NOPERM")(op, err)
			}
			return works(op, err)
		})
	}
}

// A client says on each connection who it is, and asks for what the server may
// not have. All of that may be refused.
func TestWhatTheClientSendsByItselfMayBeRefused(t *testing.T) {
	t.Parallel()
	t.Run("HELLO and CLIENT do not exist", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, "--rename-command", "HELLO", "", "--rename-command", "CLIENT", "")
		n.do(aclUser(t)...)
		sharedContract(t, system{client: n.client(asUser), operator: n.operator, keys: n.keys})
	})
	t.Run("as a newer server says it, to a user who may not", func(t *testing.T) {
		t.Parallel()
		n := startNode(t)
		n.do(aclUser(t)...)
		var refused atomic.Int32
		w := &wire{alter: func(read []byte) {
			// What 7.0 does not know, later ones do not allow. A message of the
			// same length, or the client would wait for the rest.
			for _, message := range [][]byte{[]byte("-ERR unknown subcommand"), []byte("-ERR Unknown subcommand")} {
				for i := bytes.Index(read, message); i >= 0; i = bytes.Index(read, message) {
					copy(read[i:], "-NOPERM has no permiss.")
					refused.Add(1)
				}
			}
		}}
		user := n.client(asUser, w.through)
		sharedContract(t, system{client: user, operator: n.operator, keys: n.keys})
		if refused.Load() < 3 {
			t.Errorf("got %d refusals; want CLIENT SETINFO twice and CLIENT MAINT_NOTIFICATIONS", refused.Load())
		}
	})
	t.Run("options that the documentation says need more", func(t *testing.T) {
		t.Parallel()
		n := startNode(t)
		n.do(aclUser(t)...)
		for rule, option := range map[string]func(*redis.Options){
			"+select":         func(o *redis.Options) { o.DB = 1 },
			"+client|setname": func(o *redis.Options) { o.ClientName = "app" },
		} {
			wantAll(t, t.Context(), operations(n.client(asUser, option), aCookie, patience), patience, failsWith("NOPERM"))
			n.do("ACL", "SETUSER", "signin", rule)
			wantAll(t, t.Context(), operations(n.client(asUser, option), aCookie, patience), patience, works)
		}
	})
}
