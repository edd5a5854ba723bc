package signintest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/testuser"
)

// WithUser returns a copy of r that comes from user, as if user had signed in:
// every guard of every [signin.Auth] accepts it, and [signin.UserFrom] returns
// the user. With a nil user the request comes from a user who is not signed in,
// even if it carries a session. WithUser copies user and its slices.
//
// It panics outside a test binary, so that a running program cannot sign users
// in this way.
func WithUser(r *http.Request, user *signin.User) *http.Request {
	return withUser(testing.Testing(), r, user)
}

func withUser(inTest bool, r *http.Request, user *signin.User) *http.Request {
	if !inTest {
		panic("signintest: WithUser works in a test binary only; sign people in with signin.Auth")
	}
	v := &testuser.Value{}
	if user != nil {
		u := *user
		u.Roles = slices.Clone(u.Roles)
		u.Organizations = slices.Clone(u.Organizations)
		u.OrganizationRoles = slices.Clone(u.OrganizationRoles)
		u.Scopes = slices.Clone(u.Scopes)
		u.Claims = slices.Clone(u.Claims)
		v.User = &u
	}
	return r.WithContext(testuser.With(r.Context(), v))
}

// WithAccessToken returns a copy of r, which comes from [WithUser], whose user
// has an access token: the one that [signin.AccessToken] and [signin.Transport]
// get with the same options. A user without a token for what is asked for gets
// [signin.ErrUnknownResource].
//
// It panics if r does not come from WithUser, or from WithUser with a nil user.
func WithAccessToken(r *http.Request, token string, opts ...signin.TokenOption) *http.Request {
	before := testuser.From(r.Context())
	if before == nil || before.User == nil {
		panic("signintest: WithAccessToken needs a request that WithUser has returned")
	}
	v := &testuser.Value{User: before.User, Tokens: slices.Clone(before.Tokens)}
	// First, so that it replaces an earlier one.
	v.Tokens = slices.Insert(v.Tokens, 0, testuser.Token{Options: slices.Clone(opts), Access: token})
	return r.WithContext(testuser.With(r.Context(), v))
}
