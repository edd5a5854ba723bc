package signintest

import (
	"net/http"

	"github.com/gosignin/signin"
)

// WithUserOutsideTests is WithUser as it is in a running program.
func WithUserOutsideTests(r *http.Request, user *signin.User) *http.Request {
	return withUser(false, r, user)
}
