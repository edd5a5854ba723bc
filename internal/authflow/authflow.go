// Package authflow is one sign-in: the authorization request with which a browser
// leaves for the provider, and the authorization response with which it comes
// back.
package authflow
