package signin_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// Server-sent events, which end when the person is signed out, within 30 seconds.
func ExampleAuth_WhileSignedIn() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	messages := make(chan string)
	events := auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := auth.WhileSignedIn(r.Context(), 0)
		defer cancel()
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		for {
			select {
			case m := <-messages:
				_ = rc.SetWriteDeadline(time.Now().Add(10 * time.Second)) // for a browser that does not read
				fmt.Fprintf(w, "data: %s\n\n", m)
			case <-ctx.Done():
				return // an EventSource comes back by itself; if it gets 401 or 503, it stops
			}
			if err := rc.Flush(); err != nil {
				return
			}
		}
	}))

	ctx, leave := context.WithCancel(context.Background())
	go func() { // what the application does meanwhile
		messages <- "one"
		messages <- "two"
		leave() // the browser closes the connection
	}()
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/events", nil).WithContext(ctx)
	events.ServeHTTP(w, signintest.WithUser(r, &signin.User{Subject: "alice"}))
	fmt.Printf("%q\n", w.Body)
	// Output: "data: one\n\ndata: two\n\n"
}

// A person who is suspended in Logto is signed out at once, everywhere.
func ExampleAuth_LogtoWebhook() {
	signingKey := "Xf7LgYmWzhbJ0W2r3MXVzdF4pLWNE1oI" // the webhook's, from Logto's console
	cfg := exampleConfig()
	cfg.OnEvent = func(_ context.Context, e signin.Event) { fmt.Println(e.Kind, e.Subject) }
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /logto-webhook", auth.LogtoWebhook(signingKey))

	app := httptest.NewServer(mux)
	defer app.Close()
	logto := signintest.NewProvider()
	defer logto.Close()
	logto.SetWebhook(app.URL+"/logto-webhook", signingKey)
	fmt.Println(logto.Suspend(signintest.Alice().Subject).Status)
	// Output:
	// signed_out alice0000001
	// 200
}
