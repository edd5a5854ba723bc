package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
)

// replicaVariable tells the program of these tests that it is to be a replica of
// an application, and which.
const replicaVariable = "SIGNIN_INTEROP_REPLICA"

func TestMain(m *testing.M) {
	if settings := os.Getenv(replicaVariable); settings != "" {
		if err := serveReplica(settings, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "replica:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// replicaSettings is what one replica has to know.
type replicaSettings struct {
	Endpoint, ClientID, ClientSecret, BaseURL string
	Key                                       []byte
	Redis                                     string
	Crowd                                     int // how many requests it counts before it says so
}

// figures is what a replica has seen of a crowd.
type figures struct {
	Slowest time.Duration // from a request's entering the guard until next was called
	Refresh time.Duration // what the token request took; zero if another replica made it
}

// replica is one process of the application.
type replica struct {
	ahead  atomic.Int64 // of the clock
	say    io.Writer
	crowd  int64
	counts atomic.Int64

	mu   sync.Mutex
	seen figures
}

// serveReplica is the program of a replica. It ends when its standard input does.
func serveReplica(settings string, in io.Reader, out io.Writer) error {
	var s replicaSettings
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: s.Redis, ContextTimeoutEnabled: true})
	defer client.Close()
	r := &replica{say: out, crowd: int64(s.Crowd)}
	auth, err := signin.New(signin.Config{
		LogtoEndpoint: s.Endpoint, ClientID: s.ClientID, ClientSecret: s.ClientSecret, BaseURL: s.BaseURL,
		Keys: [][]byte{s.Key}, Shared: redisstore.NewShared(client), HTTPClient: &http.Client{Transport: r},
		Logger: slog.New(slog.DiscardHandler),
		Now:    func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) },
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /clock", r.setClock)
	mux.HandleFunc("GET /figures", r.figures)
	mux.HandleFunc("GET /name", r.guarded(auth))
	mux.Handle("/", auth.WithRoutes(http.HandlerFunc(name)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = server.Close()
	}()
	fmt.Fprintln(out, "ready", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// name says what a refresh changes.
func name(w http.ResponseWriter, r *http.Request) {
	u, ok := signin.UserFrom(r.Context())
	if !ok {
		u = &signin.User{Name: "nobody"}
	}
	_, _ = io.WriteString(w, u.Name)
}

type enteredKey struct{}

// guarded measures how long a request waits in the guard.
func (r *replica) guarded(auth *signin.Auth) http.HandlerFunc {
	guard := auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		took := time.Since(req.Context().Value(enteredKey{}).(time.Time))
		r.mu.Lock()
		r.seen.Slowest = max(r.seen.Slowest, took)
		r.mu.Unlock()
		name(w, req)
	}))
	return func(w http.ResponseWriter, req *http.Request) {
		if r.counts.Add(1)%r.crowd == 0 {
			fmt.Fprintln(r.say, "arrived")
		}
		entered := time.Now()
		guard.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), enteredKey{}, entered)))
	}
}

// RoundTrip is the replica's way to the provider. It measures refreshes.
func (r *replica) RoundTrip(req *http.Request) (*http.Response, error) {
	refresh := false
	if req.GetBody != nil {
		body, _ := req.GetBody()
		text, _ := io.ReadAll(body)
		refresh = strings.Contains(string(text), "grant_type=refresh_token")
	}
	began := time.Now()
	resp, err := ownTransport.RoundTrip(req)
	if err != nil || !refresh {
		return resp, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(string(text)))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Refresh = time.Since(began)
	return resp, err
}

func (r *replica) setClock(w http.ResponseWriter, req *http.Request) {
	ahead, err := time.ParseDuration(req.FormValue("ahead"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.ahead.Store(int64(ahead))
}

// figures tells what was seen since it was last asked.
func (r *replica) figures(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = json.NewEncoder(w).Encode(r.seen)
	r.seen = figures{}
}
