package redisstore_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

// documentedUsers are the commands of the package documentation that make the
// user: the one for any Redis, and the one that a Cluster needs as well.
func documentedUsers(t testing.TB) (commands [][]any) {
	t.Helper()
	source, err := os.ReadFile("redisstore.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^//\t(ACL SETUSER signin .*)$`).FindAllSubmatch(source, -1) {
		commands = append(commands, words(string(found[1])))
	}
	if len(commands) != 2 {
		t.Fatalf("package documentation: got %q; want two commands", commands)
	}
	return commands
}

func words(command string) (args []any) {
	for word := range strings.FieldsSeq(command) {
		args = append(args, word)
	}
	return args
}

func aclUser(t testing.TB) []any { return documentedUsers(t)[0] }

func asUser(o *redis.Options) { o.Username, o.Password = "signin", "password" }

func TestDocumentedUser(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.do(aclUser(t)...)
	user := n.client(asUser)
	sharedContract(t, system{client: user, operator: n.operator, keys: n.keys})
	wantAll(t, t.Context(), operations(user, patience), works)
	t.Run("reaches nothing outside the prefix", func(t *testing.T) {
		n.operator.Set(t.Context(), "other", "value", 0)
		for _, prefix := range []string{"", "other", "sign", "xsignin:"} {
			s := sharedOn(user, redisstore.Prefix(prefix))
			if _, err := s.Get(t.Context(), "other"); err == nil || !strings.Contains(err.Error(), "NOPERM") {
				t.Errorf("Get, prefix %q: got error %v; want NOPERM", prefix, err)
			}
			if err := s.Set(t.Context(), "other", nil, time.Minute); err == nil || !strings.Contains(err.Error(), "NOPERM") {
				t.Errorf("Set, prefix %q: got error %v; want NOPERM", prefix, err)
			}
		}
		if got := n.operator.Get(t.Context(), "other").Val(); got != "value" {
			t.Errorf("other: got %q; want its value", got)
		}
	})
	t.Run("may run no other command", func(t *testing.T) {
		for _, command := range []string{
			"KEYS *", "SCAN 0", "FLUSHALL", "CONFIG GET *", "INFO", "ACL LIST", "EVAL return 0", "GETDEL signin:a",
			"APPEND signin:a x", "EXPIRE signin:a 1", "MONITOR", "SHUTDOWN", "CLIENT LIST", "SELECT 1", "SUBSCRIBE x", "MULTI",
		} {
			if err := user.Do(t.Context(), words(command)...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
				t.Errorf("%s: got error %v; want NOPERM", command, err)
			}
		}
	})
}

// The user needs each command that the documentation lists. If one
// command of a pipeline is refused, that is an error, even if another one says that
// a key is absent.
func TestDocumentedUser_WithoutOneCommand(t *testing.T) {
	t.Parallel()
	if user := aclUser(t); len(user) != 9 {
		t.Fatalf("got %q; want three commands and no other", user)
	}
	n := startNode(t)
	for command, broken := range map[string][]string{
		"+get": {"Get", "Add", "New"},
		"+set": {"Set", "Add", "Save"},
		"+del": {"Delete", "Save to delete"},
	} {
		n.do("FLUSHALL")
		n.do("ACL", "DELUSER", "signin")
		n.do(slices.DeleteFunc(aclUser(t), func(word any) bool { return word == command })...)
		wantAll(t, t.Context(), operations(n.client(asUser), patience), func(op operation, err error) string {
			if slices.Contains(broken, op.name) {
				return failsWith("NOPERM")(op, err)
			}
			return works(op, err)
		})
	}
}

// On each connection, a client says who it is and asks for features of newer
// servers. Servers may refuse all of that.
func TestDocumentedUser_ServerRefusesWhatTheClientSendsByItself(t *testing.T) {
	t.Parallel()
	t.Run("HELLO and CLIENT do not exist", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, "--rename-command", "HELLO", "", "--rename-command", "CLIENT", "")
		n.do(aclUser(t)...)
		wantAll(t, t.Context(), operations(n.client(asUser), patience), works)
	})
	t.Run("options that need more commands, as documented", func(t *testing.T) {
		t.Parallel()
		n := startNode(t)
		n.do(aclUser(t)...)
		for rule, option := range map[string]func(*redis.Options){
			"+select":         func(o *redis.Options) { o.DB = 1 },
			"+client|setname": func(o *redis.Options) { o.ClientName = "app" },
		} {
			wantAll(t, t.Context(), operations(n.client(asUser, option), patience), failsWith("NOPERM"))
			n.do("ACL", "SETUSER", "signin", rule)
			wantAll(t, t.Context(), operations(n.client(asUser, option), patience), works)
		}
	})
}
