package signin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// newShop makes an application as its main would: a page that may know the user, one
// that needs a user, and one that needs a role. Only the Config differs in tests.
func newShop(cfg signin.Config) (http.Handler, error) {
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Scopes = []string{"email", "roles"}
	auth, err := signin.New(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", auth.SignIn())
	mux.HandleFunc("GET /sign-up", auth.SignIn(signin.FirstScreen(signin.ScreenRegister)))
	mux.HandleFunc("GET /callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut()) // GET asks, POST acts

	// Load: the user, if there is one.
	mux.Handle("GET /{$}", auth.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, ok := signin.UserFrom(r.Context()); ok {
			fmt.Fprintf(w, "Welcome back, %s", user.Name)
			return
		}
		fmt.Fprint(w, "Welcome")
	})))
	// RequireAuth: always a user, here with claims of the application's choice.
	mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := signin.ClaimsAs[struct {
			Email    string `json:"email"`
			Verified bool   `json:"email_verified"`
		}](r.Context())
		if err != nil {
			http.Error(w, "the claims are of other types", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s, verified: %v", claims.Email, claims.Verified)
	})))
	// Require: a user for whom the rules hold.
	mux.Handle("GET /admin", auth.Require(signin.HasRole("admin"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "The shop's numbers")
	})))
	return mux, nil
}

// A tour of the package: what a visitor, a customer, an administrator and a program
// get.
func TestTour(t *testing.T) {
	t.Parallel()
	shop := signintest.Start(t, newShop)
	page := func(c *http.Client, path string) (status int, body string) {
		t.Helper()
		resp, err := c.Get(shop.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	shows := func(c *http.Client, path string, status int, text string) {
		t.Helper()
		if got, body := page(c, path); got != status || !strings.Contains(body, text) {
			t.Errorf("%s: got %d %q; want %d and %q", path, got, body, status, text)
		}
	}

	customer := shop.Browser(signintest.User{Subject: "grace", Name: "Grace", Email: "grace@example.test"})
	shows(customer, "/", http.StatusOK, "Welcome")
	// The guard sends her to the provider, which sends her back to the page.
	shows(customer, "/account", http.StatusOK, "grace@example.test, verified: true")
	shows(customer, "/", http.StatusOK, "Welcome back, Grace")
	// Another sign-in would not help her: the page says what is missing.
	shows(customer, "/admin", http.StatusForbidden, "the role “admin”")

	shows(shop.Browser(signintest.User{Subject: "ada", Roles: []string{"admin"}}), "/admin", http.StatusOK, "The shop's numbers")

	// A program cannot sign in; it gets a problem document (RFC 9457).
	status, body := page(http.DefaultClient, "/account")
	var problem struct {
		Code      string `json:"code"`
		SignInURL string `json:"sign_in_url"`
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil || status != http.StatusUnauthorized || problem.Code != "not_signed_in" || problem.SignInURL != shop.URL+"/sign-in" {
		t.Errorf("a program: got %d %s; want 401, not_signed_in, and where a person signs in", status, body)
	}

	// A sign-out ends the session here, and then the provider's.
	resp, err := customer.Post(shop.URL+"/sign-out", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	shows(customer, "/", http.StatusOK, "Welcome")
	if _, body := page(customer, "/"); strings.Contains(body, "Grace") {
		t.Errorf("signed out: got %q; want no name", body)
	}
}
