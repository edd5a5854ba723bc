package signintest

import (
	"net/http"

	"github.com/gosignin/signin"
)

// PlantOutsideTests is WithUser as it is in a running program.
func PlantOutsideTests(r *http.Request, user *signin.User) *http.Request {
	return plant(false, r, user)
}
