package recipes

import (
	"context"
	"database/sql"

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
)`

// saveUser adds a user, or brings what is known about the user up to date, and
// returns the key for other tables to refer to.
func saveUser(ctx context.Context, db *sql.DB, u *signin.User) (id int64, err error) {
	err = db.QueryRowContext(ctx, `
		INSERT INTO users (issuer, subject, name, email) VALUES ($1, $2, $3, $4)
		ON CONFLICT (issuer, subject) DO UPDATE SET name = excluded.name, email = excluded.email
		RETURNING id`,
		u.Issuer, u.Subject, u.Name, u.Email).Scan(&id)
	return id, err
}

// userID returns the key of the user who sent a request.
func userID(ctx context.Context, db *sql.DB) (id int64, err error) {
	user, ok := signin.UserFrom(ctx)
	if !ok {
		return 0, signin.ErrNotSignedIn
	}
	err = db.QueryRowContext(ctx, `SELECT id FROM users WHERE issuer = $1 AND subject = $2`,
		user.Issuer, user.Subject).Scan(&id)
	return id, err
}
