package signintest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/planted"
)

// A UserOption adds to what [WithUser] puts into a request.
type UserOption func(*planted.Value)

// AccessToken is what the handler under test gets as the user's access token.
func AccessToken(token string) UserOption {
	return func(v *planted.Value) { v.AccessToken = token }
}

// WithUser returns a copy of r that comes from user, as if they had signed in:
// every guard of every [signin.Auth] accepts it, rules are applied to it, and
// [signin.UserFrom] returns it. A nil user is nobody, also where the request
// carries a session. It keeps a copy of user; the slices are copied too.
//
// It panics outside a test binary, so that no running program can sign somebody
// in this way.
func WithUser(r *http.Request, user *signin.User, opts ...UserOption) *http.Request {
	return plant(testing.Testing(), r, user, opts)
}

func plant(inTest bool, r *http.Request, user *signin.User, opts []UserOption) *http.Request {
	if !inTest {
		panic("signintest: WithUser works in a test binary only; sign people in with signin.Auth")
	}
	v := &planted.Value{}
	if user != nil {
		u := *user
		u.Roles = slices.Clone(u.Roles)
		u.Organizations = slices.Clone(u.Organizations)
		u.OrganizationRoles = slices.Clone(u.OrganizationRoles)
		u.Scopes = slices.Clone(u.Scopes)
		u.Claims = slices.Clone(u.Claims)
		v.User = &u
	}
	for _, opt := range opts {
		opt(v)
	}
	return r.WithContext(planted.With(r.Context(), v))
}
