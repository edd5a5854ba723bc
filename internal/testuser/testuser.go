// Package testuser holds the context key by which signintest hands a user to the
// handlers and guards under test.
//
// The package is internal so that no code outside this module can use the key: an
// application cannot put a user into a running program, by accident or on purpose.
package testuser

import "context"

type key struct{}

// Value is what a context carries. The zero Value means that no user is signed in.
type Value struct {
	// User is a *signin.User. Its type is not named here because internal
	// packages do not import the root.
	User any
	// Tokens are the user's access tokens.
	Tokens []Token
}

// Token is an access token, and the options with which a handler asks for it.
type Token struct {
	Options any // a []signin.TokenOption
	Access  string
}

// With returns a copy of ctx that carries v.
func With(ctx context.Context, v *Value) context.Context {
	return context.WithValue(ctx, key{}, v)
}

// From returns the value that ctx carries, or nil.
func From(ctx context.Context) *Value {
	v, _ := ctx.Value(key{}).(*Value)
	return v
}
