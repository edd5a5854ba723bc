//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
)

const (
	// replicaFlag makes this program one replica of the application.
	replicaFlag = "-replica"
	// incarnationHeader names the incarnation (one process of one replica) that
	// sends a request to the provider, or an answer.
	incarnationHeader = "Soak-Incarnation"
	// cookieName is that of the session. No cookie of the provider begins with it.
	cookieName = "soak"
	// accountPath is behind RequireAuth and says who is signed in.
	accountPath = "/account"
	// everywherePath is behind RequireAuth and ends all sessions of a person.
	everywherePath = "/sign-out-everywhere"
	// eventsPath is behind RequireAuth and sends events for as long as the session
	// lives.
	eventsPath = "/events"
	// webhookPath is where Logto sends webhooks.
	webhookPath = "/logto-webhook"
	// goroutinesPath says what a replica is doing. Only the soak asks for it.
	goroutinesPath = "/goroutines"
	// streamEvery is how often the session of a stream is looked up.
	streamEvery = 5 * time.Second
	// eventHeader says what the package told the application about a request.
	eventHeader = "Soak-Event"
	// staleEvent is what it says about a cookie that its browser left behind.
	staleEvent = string(signin.EventStaleSession)
)

// replicaSettings are all that a replica knows. It reads them from its standard
// input, so that keys and secrets are in no list of processes.
type replicaSettings struct {
	Incarnation string
	Base        string // where people reach the application
	Redis       string
	Gate        string // the proxy for requests to the provider
	Sessions    string // "cookie" or "redis"
	Key         []byte
	Client      clientSettings
}

// clientSettings are the application's registration at the provider.
type clientSettings struct {
	LogtoEndpoint, Issuer, ID, Secret string
	// Consent says that the provider gives a refresh token only if the
	// application asks for consent.
	Consent bool
	// WebhookKey signs Logto's webhooks; empty if there are none.
	WebhookKey string
}

// serveReplica is one replica of the application, until standard input ends.
func serveReplica() error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var s replicaSettings
	if err := json.Unmarshal(line, &s); err != nil {
		return err
	}
	auth, err := s.auth(slog.New(slog.NewTextHandler(os.Stderr, nil)).With("incarnation", s.Incarnation))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.routes(auth)}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = server.Close()
	}()
	fmt.Println("ready", listener.Addr())
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// auth configures package signin as an application with several replicas
// does.
func (s *replicaSettings) auth(log *slog.Logger) (*signin.Auth, error) {
	client := redis.NewClient(&redis.Options{Addr: s.Redis, ContextTimeoutEnabled: true})
	gate, err := url.Parse(s.Gate)
	if err != nil {
		return nil, err
	}
	cfg := signin.Config{
		LogtoEndpoint: s.Client.LogtoEndpoint, Issuer: s.Client.Issuer,
		ClientID: s.Client.ID, ClientSecret: s.Client.Secret,
		BaseURL: s.Base, Keys: [][]byte{s.Key}, CookieName: cookieName,
		Shared:     hasty{redisstore.NewShared(client)},
		MaxOffline: maxOffline,
		HTTPClient: &http.Client{Transport: named{s.Incarnation, &http.Transport{Proxy: http.ProxyURL(gate)}}},
		Logger:     log,
		OnEvent: func(ctx context.Context, e signin.Event) {
			switch e.Kind {
			case signin.EventSessionEnded, signin.EventStaleSession:
				log.InfoContext(ctx, string(e.Kind), "subject", e.Subject, "sid", e.ProviderSessionID, "reason", e.Reason)
				if h, ok := ctx.Value(eventKey{}).(http.Header); ok {
					h.Set(eventHeader, strings.TrimSpace(string(e.Kind)+" "+e.Reason))
				}
			}
		},
	}
	if s.Client.Consent {
		cfg.SignInOptions = []signin.SignInOption{signin.Prompt("consent")}
	}
	if s.Sessions == "redis" {
		cfg.Store = redisstore.NewSessions(client)
	}
	return signin.New(cfg)
}

// graceTime is how long a browser may have an old cookie. It is two hours in
// package signin.
const graceTime = 20 * time.Second

// maxOffline is short, so that failures of the provider last longer.
const maxOffline = time.Second

// hasty is shared state in which graceTime passes within a run.
type hasty struct{ *redisstore.Shared }

func (h hasty) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if strings.HasPrefix(key, "g.") {
		ttl = graceTime
	}
	return h.Shared.Add(ctx, key, value, ttl)
}

// eventKey finds the header of the answer to a request in its context.
type eventKey struct{}

// named tells the gate who sends a request.
type named struct {
	incarnation string
	base        http.RoundTripper
}

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper may not change its request
	r.Header.Set(incarnationHeader, n.incarnation)
	return n.base.RoundTrip(r)
}

// routes is the application. Each answer says who gave it.
func (s *replicaSettings) routes(auth *signin.Auth) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/sign-in", auth.SignIn())
	mux.HandleFunc("/callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut())
	mux.HandleFunc("/backchannel-logout", auth.BackChannelLogout())
	mux.Handle(accountPath, auth.RequireAuth(http.HandlerFunc(account)))
	mux.Handle("POST "+everywherePath, auth.RequireAuth(everywhere(auth)))
	mux.Handle(eventsPath, auth.RequireAuth(events(auth)))
	if key := s.Client.WebhookKey; key != "" {
		mux.HandleFunc("POST "+webhookPath, auth.LogtoWebhook(key))
	}
	mux.HandleFunc(goroutinesPath, func(w http.ResponseWriter, _ *http.Request) {
		_ = pprof.Lookup("goroutine").WriteTo(w, 2)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "home") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(incarnationHeader, s.Incarnation)
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), eventKey{}, w.Header())))
	})
}

// everywhere signs a person out in all browsers.
func everywhere(auth *signin.Auth) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := signin.UserFrom(r.Context())
		if err := auth.EndSessions(r.Context(), user.Subject); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// account says who is signed in, and by which sign-in: all ID tokens of one
// sign-in have the same nonce.
func account(w http.ResponseWriter, r *http.Request) {
	user, ok := signin.UserFrom(r.Context())
	claims, err := signin.ClaimsAs[struct{ Nonce string }](r.Context())
	if !ok || err != nil {
		http.Error(w, "a guarded page without a user", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(accountPage{user.Subject, user.ProviderSessionID, claims.Nonce})
}

// events sends who is signed in, and at the end why there is nothing more to come.
func events(auth *signin.Auth) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := auth.WhileSignedIn(r.Context(), streamEvery)
		defer cancel()
		user, _ := signin.UserFrom(r.Context())
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\n", user.Subject)
		_ = http.NewResponseController(w).Flush() // if it fails, ctx is done
		<-ctx.Done()
		if why, ok := errors.AsType[*signin.Error](context.Cause(ctx)); ok {
			fmt.Fprintf(w, "event: %s\n\n", string(why.Code))
		}
	})
}

// accountPage is what the account page says.
type accountPage struct{ Subject, SessionID, Nonce string }
