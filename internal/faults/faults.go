// Package faults is how the provider of signintest misbehaves: a name for each
// fault, and its effect on what the provider is about to say.
//
// The names are untyped constants, so that a test of this module gives them to
// signintest.Provider.Inject as they are; signintest has names of its own for
// the few that applications need. Effects work on plain values, such as the
// claims of a token or the parameters of a response, and know the provider by
// its [Facts] only.
package faults

import (
	"crypto"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An Effect is what a fault changes: one of the fields, or two where a token
// and the published keys belong together.
type Effect struct {
	// At names the endpoint of Refusal, Answer and Wrap, of which one is set.
	At      string
	Refusal *Refusal                                         // in place of the right answer
	Answer  func(*Facts, http.ResponseWriter, *http.Request) // in place of the right answer
	Wrap    func(http.ResponseWriter) http.ResponseWriter    // what the right answer is written to

	IgnoreMaxAge    bool // at the authorization endpoint
	IgnorePKCE      bool // when a code is exchanged
	UserInfoIDToken bool // an ID token in place of the userinfo response

	Response    func(url.Values)                  // the authorization response
	Tokens      func(body map[string]any)         // the token response
	UserInfo    func(claims map[string]any)       // the userinfo response
	SignOut     func(url.Values)                  // the way back from the end session endpoint
	Metadata    func(*Facts, map[string]any)      // the metadata document
	Keys        func(*Facts, *jose.JSONWebKeySet) // the published keys
	IDToken     func(*Facts, *Token)
	AccessToken func(*Facts, *Token) // a JWT, not the opaque one
	LogoutToken func(*Facts, *Token)
}

// The endpoints of [Effect.At].
const (
	AtDiscovery  = "discovery"
	AtKeys       = "keys"
	AtToken      = "token"
	AtUserInfo   = "userinfo"
	AtRevocation = "revocation"
)

// A Refusal is an OAuth error response.
type Refusal struct {
	Status            int
	Code, Description string
}

// Facts are what effects know of the provider. They do not change, and are safe
// for concurrent use.
type Facts struct {
	URL, Issuer            string
	ClientID, ClientSecret string
	Algorithm              string // of the tokens
	Now                    func() time.Time
	Closing                <-chan struct{} // closed when the provider ends, so that nothing hangs longer
	Spare                  func() Key      // a key of Algorithm, which only a fault publishes
	Other                  func() Key      // a key of an algorithm that the metadata do not name
}

// ForeignKeysPath is where a token with a jku or x5u header points, below
// [Facts.URL]: a client that goes there finds the key that the token is signed
// with.
const ForeignKeysPath = "/foreign/jwks"

// A Key is a key pair with its name and its one algorithm.
type Key struct {
	ID        string
	Algorithm string
	Private   crypto.Signer
}

// Public returns the key as the provider publishes it.
func (k Key) Public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"}
}

// A Token is a JWT before it is signed.
type Token struct {
	Header    map[string]any // without alg
	Claims    map[string]any
	Algorithm string           // "none" is not signed
	Key       any              // as [jose.SigningKey] takes it
	Public    crypto.PublicKey // the published key that belongs to the right one

	AtHash, CHash string // what these claims of an ID token would rightly say

	Rewrite func(payload []byte) []byte // says what a map cannot; may be nil
	Finish  func(compact string) string // changes the signed token; may be nil
}

// SignWith has k sign t.
func (t *Token) SignWith(k Key) { t.Algorithm, t.Key, t.Header["kid"] = k.Algorithm, k.Private, k.ID }

// Of returns the effect of a fault, which is not to be changed, or nil if there
// is no fault of this name.
func Of(name string) *Effect { return effects[name] }

// Names returns the name of every fault, sorted, as signintest.Fault or another
// type of text.
func Names[T ~string]() []T {
	names := make([]T, 0, len(effects))
	for name := range effects {
		names = append(names, T(name))
	}
	slices.Sort(names)
	return names
}
