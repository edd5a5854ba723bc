package recipes

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection has a memory of its own
	if _, err := db.Exec(createUsers); err != nil {
		t.Fatal(err)
	}
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
		id, err := saveUser(t.Context(), db, &test.user)
		if err != nil || id != test.id {
			t.Errorf("%s: got the key %d, %v; want %d", test.name, id, err, test.id)
		}
		if id, err := userID(requestOf(&test.user), db); err != nil || id != test.id {
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

// requestOf returns the context of a request of a user.
func requestOf(u *signin.User) context.Context {
	return signintest.WithUser(httptest.NewRequest(http.MethodGet, "/", nil), u).Context()
}
