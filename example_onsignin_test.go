package signin_test

import (
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A row for each user, inserted or brought up to date at each sign-in. Issuer and
// Subject find it: people change their e-mail addresses, and providers give them to
// other people. One statement is enough, and two sign-ins at once do no harm.
func ExampleConfig_onSignIn() {
	var db *sql.DB // from sql.Open
	cfg := exampleConfig()
	cfg.OnSignIn = func(r *http.Request, u *signin.User) error {
		_, err := db.ExecContext(r.Context(), // it is done after ten seconds
			`INSERT INTO users (issuer, subject, name, email) VALUES ($1, $2, $3, $4)
			ON CONFLICT (issuer, subject) DO UPDATE SET name = excluded.name, email = excluded.email`,
			u.Issuer, u.Subject, u.Name, u.Email)
		return err // the person is not signed in, and sees a page with status 500
	}
	// Wrong: an e-mail address that is not verified can be anyone's, and one that is may
	// be another person's next year.
	//
	//	db.QueryRow("SELECT id FROM users WHERE email = $1", u.Email)
	if _, err := signin.New(cfg); err != nil {
		log.Fatal(err)
	}
}

// The cart that a visitor has filled belongs to the person who signs in. The visitor's
// cookie, a gorilla session of the application, only has its ID, so that it is given to
// one person, once: people sign in again, and on computers that others use.
func ExampleConfig_onSignIn_cart() {
	visitors := sessions.NewCookieStore([]byte("32 random bytes, like Config.Keys"))
	var mu sync.Mutex
	owner := map[string]string{} // of each cart, by its ID: a table
	app, stop := exampleApp(func(cfg *signin.Config) {
		cfg.OnSignIn = func(r *http.Request, u *signin.User) error {
			visitor, _ := visitors.Get(r, "visitor") // a cookie that cannot be read has no cart
			mu.Lock()
			defer mu.Unlock()
			if id, ok := visitor.Values["cart"].(string); ok && owner[id] == "" {
				owner[id] = u.Subject
			}
			return nil
		}
	}, func(mux *http.ServeMux) {
		mux.HandleFunc("/buy", func(w http.ResponseWriter, r *http.Request) {
			visitor, _ := visitors.Get(r, "visitor")
			visitor.Values["cart"] = "cart-7" // a random one
			if err := visitor.Save(r, w); err != nil {
				http.Error(w, "The cart could not be saved.", http.StatusInternalServerError)
			}
		})
	})
	defer stop()

	alice := app.Browser(signintest.Alice())
	show(alice, app.URL+"/buy")
	show(alice, app.URL+"/account")
	fmt.Println(owner)
	// Output:
	// 200
	// 200
	// map[cart-7:alice0000001]
}

// Only people who have been invited come in. The provider's e-mail address counts here,
// and must be verified.
func ExampleConfig_onSignIn_invited() {
	invited := []string{"alice@example.test"}
	app, stop := exampleApp(func(cfg *signin.Config) {
		cfg.Scopes = []string{"email"}
		cfg.OnSignIn = func(_ *http.Request, u *signin.User) error {
			if u.EmailVerified && slices.Contains(invited, u.Email) {
				return nil
			}
			return &signin.Error{
				Code: "not_invited", Status: http.StatusForbidden,
				Message: "This shop is for people who have been invited.",
				Err:     errors.New("not invited"), // for the log
			}
		}
	}, func(*http.ServeMux) {})
	defer stop()

	show(app.Browser(signintest.Alice()), app.URL+"/account")
	show(app.Browser(signintest.Bob()), app.URL+"/account")
	// Output:
	// 200
	// 403
}

// exampleApp serves an application with its provider for as long as stop is not called.
func exampleApp(change func(*signin.Config), mount func(*http.ServeMux)) (app *signintest.App, stop func()) {
	p, mux := signintest.NewProvider(), http.NewServeMux()
	server := httptest.NewServer(mux)
	cfg := p.Config(server.URL)
	cfg.Logger = slog.New(slog.DiscardHandler)
	change(&cfg)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/", auth.WithRoutes(auth.RequireAuth(http.HandlerFunc(account))))
	mount(mux)
	return &signintest.App{URL: server.URL, Provider: p}, func() { server.Close(); p.Close() }
}

// show prints the status of a page.
func show(browser *http.Client, url string) {
	resp, err := browser.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode)
}
