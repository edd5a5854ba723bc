package signin_test

import (
	"context"
	"expvar"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// At the start: what does not work yet is in the log, and the application starts all the
// same.
func ExampleAuth_Diagnose_atStart() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := auth.Diagnose(ctx); err != nil {
		slog.Error("signing in does not work yet", "error", err) // and start all the same
	}
}

// A counter for each kind of event, for a dashboard and alerts.
func ExampleConfig_onEvent_metrics() {
	cfg := exampleConfig()
	events := expvar.NewMap("signin_events")
	cfg.OnEvent = func(_ context.Context, e signin.Event) {
		events.Add(string(e.Kind), 1)
	}
	cfg.Scopes = []string{"roles"}
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	admin := auth.Require(signin.HasRole("admin"))(http.HandlerFunc(home))
	for range 2 {
		admin.ServeHTTP(httptest.NewRecorder(), signintest.WithUser(httptest.NewRequest("GET", "/admin", nil), &signin.User{Subject: "bob"}))
	}
	fmt.Println(events)
	// Output: {"refused": 2}
}

// Behind a proxy that sends another Host than the one that browsers use.
func ExampleAuth_RequireAuth_behindProxy() {
	forms := http.NewCrossOriginProtection()
	if err := forms.AddTrustedOrigin("https://app.example.com"); err != nil { // the origin of BaseURL
		log.Fatal(err)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "http://10.0.0.7:8080/account", nil)
	r.Header.Set("Origin", "https://app.example.com")
	forms.Handler(http.HandlerFunc(account)).ServeHTTP(w, signintest.WithUser(r, &signin.User{Name: "Alice"}))
	fmt.Println(w.Code)
	// Output: 200
}
