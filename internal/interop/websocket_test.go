package interop

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A WebSocket that ends when the person is signed out, and that other sites cannot open.
func Example_webSocket() {
	var cfg signin.Config
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	messages := make(chan string)
	mux := http.NewServeMux()
	mux.Handle("GET /messages", auth.RequireAuth(sendMessages(auth, messages)))
}

func sendMessages(auth *signin.Auth, messages <-chan string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// Browsers let any site open a WebSocket to this one. Accept refuses those whose
		// Origin is not r.Host: behind a proxy that replaces Host, name that of BaseURL in
		// AcceptOptions.OriginPatterns. Never set InsecureSkipVerify.
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // Accept has answered
		}
		defer conn.CloseNow()
		gone := conn.CloseRead(r.Context()) // it notices that the browser has closed the connection
		ctx, cancel := auth.WhileSignedIn(gone, 5*time.Second)
		defer cancel()
		for {
			select {
			case m := <-messages:
				// Not for as long as ctx, whose end would cut a message off. A browser that
				// does not read must not hold this handler past its sign-out.
				writing, written := context.WithTimeout(gone, 5*time.Second)
				err := conn.Write(writing, websocket.MessageText, []byte(m))
				if written(); err != nil {
					return
				}
			case <-ctx.Done():
				// A page cannot see the status that refuses its next WebSocket, so tell it now.
				if errors.Is(context.Cause(ctx), signin.ErrNotSignedIn) {
					conn.Close(websocket.StatusPolicyViolation, "signed out")
					return
				}
				conn.Close(websocket.StatusTryAgainLater, "")
				return
			}
		}
	}
}

// startMessages starts the application of the example. ended is told when the handler of a
// WebSocket has returned.
func startMessages(t *testing.T) (app *signintest.App, messages chan string, ended chan struct{}) {
	t.Helper()
	const key = "Xf7LgYmWzhbJ0W2r3MXVzdF4pLWNE1oI"
	messages, ended = make(chan string), make(chan struct{}, 16)
	app = signintest.Start(t, func(cfg signin.Config) (http.Handler, error) {
		cfg.Logger = slog.New(slog.DiscardHandler)
		auth, err := signin.New(cfg)
		if err != nil {
			return nil, err
		}
		mux := http.NewServeMux()
		mux.Handle("GET /messages", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { ended <- struct{}{} }()
			sendMessages(auth, messages)(w, r)
		})))
		mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account)))
		mux.Handle("POST /logto-webhook", auth.LogtoWebhook(key))
		return auth.WithRoutes(mux), nil
	})
	app.Provider.SetWebhook(app.URL+"/logto-webhook", key)
	return app, messages, ended
}

// signedIn returns a browser in which Alice has signed in.
func signedIn(t *testing.T, app *signintest.App) *http.Client {
	t.Helper()
	browser := app.Browser(signintest.Alice())
	resp, err := browser.Get(app.URL + "/account")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("sign-in: got %d; want 200", resp.StatusCode)
	}
	return browser
}

// dial opens the WebSocket from a page of an origin; "" is a program. It returns nil, and
// the status of the answer, if that is refused.
func dial(t *testing.T, browser *http.Client, app *signintest.App, origin string) (*websocket.Conn, int) {
	t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	conn, resp, err := websocket.Dial(t.Context(), app.URL+"/messages", &websocket.DialOptions{HTTPClient: browser, HTTPHeader: header})
	switch {
	case resp == nil:
		t.Fatalf("got no answer: %v", err)
	case err != nil:
		return nil, resp.StatusCode
	}
	t.Cleanup(func() { conn.CloseNow() })
	return conn, resp.StatusCode
}

// read returns the next message, or the code and the reason with which the connection
// was closed.
func read(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, message, err := conn.Read(ctx)
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return closed.Code.String() + " " + closed.Reason
	case err != nil:
		return err.Error()
	}
	return string(message)
}

// Each row is a page that opens a WebSocket with Alice's cookie.
func TestWebSocket_WhoMayOpenIt(t *testing.T) {
	t.Parallel()
	app, _, _ := startMessages(t)
	browser := signedIn(t, app)
	for name, row := range map[string]struct {
		origin string
		status int
	}{
		"its own page":                   {app.URL, http.StatusSwitchingProtocols},
		"a program":                      {"", http.StatusSwitchingProtocols},
		"another site":                   {"https://evil.example", http.StatusForbidden},
		"another port of the host":       {"http://127.0.0.1:1", http.StatusForbidden},
		"a host that begins as this one": {app.URL + ".evil.example", http.StatusForbidden},
		"a sandboxed frame":              {"null", http.StatusForbidden},
		"a host with this one as a user": {strings.Replace(app.URL, "://", "://"+strings.TrimPrefix(app.URL, "http://")+"@", 1) + ".evil.example", http.StatusForbidden},
	} {
		conn, status := dial(t, browser, app, row.origin)
		if status != row.status {
			t.Errorf("%s: got %d; want %d", name, status, row.status)
		}
		if conn != nil {
			conn.CloseNow()
		}
	}
	if _, status := dial(t, http.DefaultClient, app, app.URL); status != http.StatusUnauthorized {
		t.Errorf("not signed in: got %d; want 401", status)
	}
}

// A WebSocket is closed in the time that it asks for after the account was suspended, and
// cannot be opened again.
func TestWebSocket_EndsWithTheSession(t *testing.T) {
	t.Parallel()
	app, messages, _ := startMessages(t)
	browser := signedIn(t, app)
	conn, status := dial(t, browser, app, app.URL)
	if conn == nil {
		t.Fatalf("got %d; want a WebSocket", status)
	}
	messages <- "before"
	if got := read(t, conn); got != "before" {
		t.Errorf("got %q; want before", got)
	}
	if got := app.Provider.Suspend(signintest.Alice().Subject); got.Status != http.StatusOK {
		t.Errorf("webhook: got %+v; want 200", got)
	}
	if got := read(t, conn); got != "StatusPolicyViolation signed out" {
		t.Errorf("got %q; want it closed because of the sign-out", got)
	}
	if _, status := dial(t, browser, app, app.URL); status != http.StatusUnauthorized {
		t.Errorf("again: got %d; want 401", status)
	}
}

// A browser that does not read keeps its handler in a write, where it would not notice that
// the account was suspended.
func TestWebSocket_BrowserDoesNotRead(t *testing.T) {
	t.Parallel()
	app, messages, ended := startMessages(t)
	dial(t, signedIn(t, app), app, app.URL)
	for full := false; !full; {
		select {
		case messages <- strings.Repeat("x", 1<<20):
		case <-time.After(time.Second):
			full = true
		}
	}
	app.Provider.Suspend(signintest.Alice().Subject)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("got a handler that goes on for 20 seconds; want it to end")
	}
}
