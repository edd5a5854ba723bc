package signintest

import (
	"slices"
	"time"
)

// An Option changes the provider that [Start] or [NewProvider] starts.
type Option func(*settings)

// settings are fixed once the provider runs.
type settings struct {
	clientID, clientSecret string
	addr                   string
	tls                    bool
	algorithm              string
	accessLifetime         time.Duration
	alwaysRotate           bool
	logto137               bool
	randomPaths            bool
	authMethods            []string
	connectors             []string
	mfaRequired            []string
	acr                    []string
	resources              []string
	users                  []User
	now                    func() time.Time
}

// WithAddr listens at addr, such as "127.0.0.1:3001", instead of a free port of
// the loopback interface. Everyone who can reach the address can sign in as any
// user. At a loopback address, only requests for loopback hosts are answered.
func WithAddr(addr string) Option { return func(s *settings) { s.addr = addr } }

// WithTLS serves https, with [net/http/httptest]'s certificate, and so does
// [Start]. [Provider.Config] then brings an HTTPClient that trusts it.
func WithTLS() Option { return func(s *settings) { s.tls = true } }

// WithClient sets the client ID and the client secret.
func WithClient(id, secret string) Option {
	return func(s *settings) { s.clientID, s.clientSecret = id, secret }
}

// WithClientAuthMethods limits how a client may authenticate, and what the
// metadata says about it: "client_secret_basic" or "client_secret_post". By
// default both are accepted.
func WithClientAuthMethods(methods ...string) Option {
	return func(s *settings) { s.authMethods = slices.Clone(methods) }
}

// WithAlgorithm sets the algorithm that signs tokens: "ES384" (the default, as at
// Logto), "ES256", "ES512", "RS256", "PS256" or "EdDSA". Generating an RSA key
// takes a tenth of a second. [NewProvider] panics for any other name.
func WithAlgorithm(name string) Option { return func(s *settings) { s.algorithm = name } }

// WithAccessTokenLifetime sets how long access tokens and ID tokens are valid.
// The default is one hour, as at Logto.
func WithAccessTokenLifetime(d time.Duration) Option {
	return func(s *settings) { s.accessLifetime = d }
}

// WithRefreshRotation gives a new refresh token at each use. By default a
// refresh token stays until 70 % of its fourteen days have passed, as at Logto
// for confidential clients.
func WithRefreshRotation() Option { return func(s *settings) { s.alwaysRotate = true } }

// WithLogto137 behaves as Logto 1.37 where that differs from 1.42: ID tokens
// carry at_hash, logout tokens carry no exp, and revoking a JWT is answered
// with 200 instead of unsupported_token_type.
func WithLogto137() Option { return func(s *settings) { s.logto137 = true } }

// WithRandomPaths puts each endpoint at a random path, so that only a client
// that uses the metadata finds it.
func WithRandomPaths() Option { return func(s *settings) { s.randomPaths = true } }

// WithConnectors adds to the connectors that direct_sign_in may name, which
// are "social:naver" and "social:x" by default, such as "social:github" or "sso:acme".
func WithConnectors(names ...string) Option {
	return func(s *settings) { s.connectors = append(s.connectors, names...) }
}

// WithMFARequired makes organizations, by their IDs, require a second factor of
// their members. For those without [User.MFA] the token endpoint answers 403
// access_denied, and says why in error_description only, as Logto does.
func WithMFARequired(organizations ...string) Option {
	return func(s *settings) { s.mfaRequired = append(s.mfaRequired, organizations...) }
}

// WithACR sets the authentication context classes that the provider knows. The
// acr of ID tokens is the first class in acr_values that it knows; the user is
// not asked for more. Without a known class, as by default, there is no acr.
// Logto never sends one. The option stands for other providers; use it with
// [Provider.IssuerConfig].
func WithACR(values ...string) Option {
	return func(s *settings) { s.acr = append(s.acr, values...) }
}

// WithResources sets the API resources that are registered, by their indicators.
// An authorization request that names another one is refused with
// invalid_target. Without this option every API is registered.
func WithResources(indicators ...string) Option {
	return func(s *settings) { s.resources = append(s.resources, indicators...) }
}

// WithUsers sets who has an account, in place of [Alice], [Bob], [NaverUser]
// and [XUser]. [App.Browser] and [Provider.SetUser] add others later.
func WithUsers(users ...User) Option {
	return func(s *settings) {
		s.users = nil
		for _, u := range users {
			s.users = append(s.users, u.clone())
		}
	}
}

// WithNow sets the clock of the provider, and of the configuration that
// [Provider.Config] returns. It must be safe for concurrent use.
func WithNow(now func() time.Time) Option { return func(s *settings) { s.now = now } }
