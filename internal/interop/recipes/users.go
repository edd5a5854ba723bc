package recipes

import (
	"context"
	"database/sql"
	"net/http"

	"github.com/gosignin/signin"
)

const createUsers = `
CREATE TABLE users (
	id      INTEGER PRIMARY KEY, -- PostgreSQL: BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY
	issuer  TEXT NOT NULL,
	subject TEXT NOT NULL,
	name    TEXT NOT NULL,       -- these two describe a person, and may be empty,
	email   TEXT NOT NULL,       -- change, or belong to several people
	UNIQUE (issuer, subject)
)
`

// keepUsers lets each sign-in add a row for the user, or bring it up to date.
func keepUsers(cfg *signin.Config, db *sql.DB) {
	cfg.OnSignIn = func(r *http.Request, u *signin.User) error {
		_, err := db.ExecContext(r.Context(), `
			INSERT INTO users (issuer, subject, name, email) VALUES ($1, $2, $3, $4)
			ON CONFLICT (issuer, subject) DO UPDATE SET name = excluded.name, email = excluded.email`,
			u.Issuer, u.Subject, u.Name, u.Email)
		return err // the person is not signed in, and sees a page with status 500
	}
}

// userID returns the key of the user who sent a request, for other tables to refer to.
func userID(ctx context.Context, db *sql.DB) (id int64, err error) {
	user, ok := signin.UserFrom(ctx)
	if !ok {
		return 0, signin.ErrNotSignedIn
	}
	err = db.QueryRowContext(ctx, `SELECT id FROM users WHERE issuer = $1 AND subject = $2`,
		user.Issuer, user.Subject).Scan(&id)
	return id, err
}
