// Package faults says how the provider of signintest misbehaves. Each fault has a
// name, and an effect on what the provider is about to send.
//
// The names are untyped constants, so that tests of this module can pass them to
// signintest.Provider.Inject; signintest exports the few that applications need.
// Effects change plain values, such as the claims of a token or the parameters
// of a response, and know the provider only by its [Facts].
package faults

import (
	"crypto"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An Effect is what a fault changes. One field is set, or two if a token and the
// published keys belong together.
type Effect struct {
	// At is the endpoint of Refusal, Answer or Wrap.
	At      string
	Refusal *Refusal                                         // in place of the right answer
	Answer  func(*Facts, http.ResponseWriter, *http.Request) // in place of the right answer
	// Wrap changes the right answer as it is written.
	Wrap func(http.ResponseWriter, *http.Request) http.ResponseWriter

	IgnoreMaxAge    bool // at the authorization endpoint
	IgnorePKCE      bool // when a code is exchanged
	BasicNotDecoded bool // in the Authorization header of a client
	RepeatIDToken   bool // a refresh returns the ID token from before
	UserInfoIDToken bool // an ID token in place of the userinfo response

	// The sizes of what is issued, in bytes; 0 is as usual.
	CodeSize, AccessSize, RefreshSize int

	Response    func(url.Values)                  // the authorization response
	Appended    string                            // what follows the authorization response's query, as it is
	Tokens      func(body map[string]any)         // the token response
	UserInfo    func(claims map[string]any)       // the userinfo response
	SignOut     func(url.Values)                  // the redirect from the end session endpoint
	Metadata    func(*Facts, map[string]any)      // the metadata document
	Keys        func(*Facts, *jose.JSONWebKeySet) // the published keys
	KeyMembers  func(key map[string]any)          // each published key as JSON
	IDToken     func(*Facts, *Token)
	AccessToken func(*Facts, *Token) // a JWT, not the opaque one
	LogoutToken func(*Facts, *Token)
	InfoToken   func(*Facts, *Token) // the userinfo response as a JWT
	Webhook     func(*Webhook)
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
	Closing                <-chan struct{} // closed when the provider ends, so that hanging answers end
	Spare                  func() Key      // a key of Algorithm that only a fault publishes
	Other                  func() Key      // a key of an algorithm that the metadata does not list
}

// ForeignKeysPath is the path below [Facts.URL] that the jku or x5u header of a
// token points to. A client that follows it finds the key that signed the token.
const ForeignKeysPath = "/foreign/jwks"

// A Key is a key pair with its name and its one algorithm.
type Key struct {
	ID        string
	Algorithm string
	Private   crypto.Signer
}

// A Webhook is one of Logto's webhooks before it is sent.
type Webhook struct {
	Created time.Time
	Key     string // that signs it
	Lost    bool
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
	Public    crypto.PublicKey // the published key of the provider

	AtHash, CHash string // right values of these claims of an ID token

	Rewrite func(payload []byte) []byte // makes a payload that a map cannot hold; may be nil
	Finish  func(compact string) string // changes the signed token; may be nil
}

// SignWith has k sign t.
func (t *Token) SignWith(k Key) { t.Algorithm, t.Key, t.Header["kid"] = k.Algorithm, k.Private, k.ID }

// Of returns the effect of a fault, which must not be changed, or nil for an
// unknown name.
func Of(name string) *Effect { return effects[name] }

// Names returns the names of all faults, sorted, as signintest.Fault or another
// string type.
func Names[T ~string]() []T {
	names := make([]T, 0, len(effects))
	for name := range effects {
		names = append(names, T(name))
	}
	slices.Sort(names)
	return names
}
