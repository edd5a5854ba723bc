package signintest

import (
	"net/http"

	"github.com/gosignin/signin"
)

// WithUserOutsideTests does what WithUser does outside of tests.
func WithUserOutsideTests(r *http.Request, user *signin.User) *http.Request {
	return withUser(false, r, user)
}
