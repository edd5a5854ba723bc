package recipes

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// usersTable returns a database with an empty table.
func usersTable(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1) // each connection has its own memory
	if _, err := db.Exec(createUsers); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestUsers(t *testing.T) {
	t.Parallel()
	db := usersTable(t)
	var cfg signin.Config
	keepUsers(&cfg, db)
	one, two := "https://one.example", "https://two.example"
	for _, test := range []struct {
		name string
		user signin.User
		id   int64
	}{
		{"a first sign-in", signin.User{Issuer: one, Subject: "a", Name: "Alice", Email: "alice@example.com"}, 1},
		{"the same person, with another name and address", signin.User{Issuer: one, Subject: "a", Name: "Alice B.", Email: "a@b.example"}, 1},
		{"another person who now has the old address", signin.User{Issuer: one, Subject: "b", Email: "alice@example.com"}, 2},
		{"the same subject of another provider", signin.User{Issuer: two, Subject: "a", Email: "alice@example.com"}, 3},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if err := cfg.OnSignIn(r, &test.user); err != nil {
			t.Errorf("%s: got %v", test.name, err)
		}
		if id, err := userID(signintest.WithUser(r, &test.user).Context(), db); err != nil || id != test.id {
			t.Errorf("%s: a later request: got the key %d, %v; want %d", test.name, id, err, test.id)
		}
	}
	var name string
	if err := db.QueryRow(`SELECT name FROM users WHERE id = 1`).Scan(&name); err != nil || name != "Alice B." {
		t.Errorf("got the name %q, %v; want that of the last sign-in", name, err)
	}
	if _, err := userID(t.Context(), db); !errors.Is(err, signin.ErrNotSignedIn) {
		t.Errorf("a request without a user: got %v; want %v", err, signin.ErrNotSignedIn)
	}
}

func TestUsers_SignIn(t *testing.T) {
	t.Parallel()
	db := usersTable(t)
	app := signintest.Start(t, func(cfg signin.Config) (http.Handler, error) {
		keepUsers(&cfg, db)
		auth, err := signin.New(cfg)
		if err != nil {
			return nil, err
		}
		return auth.WithRoutes(auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, err := userID(r.Context(), db)
			fmt.Fprint(w, id, err)
		}))), nil
	})
	if _, body := ask(t, app.Browser(signintest.Alice()), "GET", app.URL+"/", nil); body != "1 <nil>" {
		t.Errorf("after a sign-in: got %q; want the key of its row", body)
	}
	if _, err := db.Exec(`DROP TABLE users`); err != nil {
		t.Fatal(err)
	}
	bob := app.Browser(signintest.Bob())
	if resp, body := ask(t, bob, "GET", app.URL+"/", nil); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("without the table: got %d and %s; want 500", resp.StatusCode, body)
	}
}
