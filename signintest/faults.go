package signintest

import (
	"slices"

	"github.com/gosignin/signin/internal/faults"
)

// A Fault is something that the provider does wrong from [Provider.Inject] to
// [Provider.Clear]. What an application makes of each is told at its name: the
// status is the one of this package's page, which Config.Pages may replace.
//
// For some trouble there are methods: [Provider.Down] for a provider that cannot
// be reached, [Provider.Suspend] for an account that is blocked,
// [Provider.RotateKey] for new signing keys, [Provider.SetUser] for a user who
// loses a role.
type Fault string

// Faults of a sign-in. It ends at the callback, with no session.
const (
	// SignInDeclined: the user cancels, or the provider does not want them to sign
	// in. The callback answers 403.
	SignInDeclined Fault = faults.ResponseDeclined
	// IDTokenForged: the ID token is not signed by the provider. The callback
	// answers 502.
	IDTokenForged Fault = faults.IDTokenSignatureInvalid
	// IDTokenReplayed: the ID token is of another sign-in, which its nonce tells.
	// The callback answers 502.
	IDTokenReplayed Fault = faults.IDTokenNonceWrong
	// StepUpIgnored: a user who should prove again who they are is not asked, and
	// comes back as they went. The guard that wanted it, such as one with
	// [signin.AuthenticatedWithin], answers 403, and the session goes on.
	StepUpIgnored Fault = faults.IgnoreMaxAge
)

// Faults of the token endpoint. Inject them before a sign-in, and the callback
// fails; inject them after it, and the next refresh does.
const (
	// ClientSecretWrong: the provider does not know the client secret (any more).
	// The callback answers 502. A session goes on without fresh tokens: guards let
	// its user in, and [signin.AccessToken] returns an error.
	ClientSecretWrong Fault = faults.TokenInvalidClient
	// TokensUnavailable: the token endpoint answers 500. The callback answers 503. A
	// session goes on as with ClientSecretWrong.
	TokensUnavailable Fault = faults.Token500
	// RefreshTokenRevoked: the provider takes back what it has granted. At the next
	// refresh the session ends, and guards send its user to sign in. The callback
	// answers 400.
	RefreshTokenRevoked Fault = faults.TokenInvalidGrant
	// NoRefreshToken: there is no refresh token with a sign-in. [signin.AccessToken]
	// returns an error when the access token has expired.
	NoRefreshToken Fault = faults.TokensNoRefreshToken
)

// Faults of what is told about users, and to APIs.
const (
	// UserInfoOfAnother: userinfo describes another user. It is not believed: with
	// Config.MergeUserInfo the callback answers 502, and [signin.FetchUserInfo]
	// returns an error.
	UserInfoOfAnother Fault = faults.UserInfoSubjectWrong
	// AccessTokenExpired: every access token for an API, those of
	// [Provider.AccessToken] and [Provider.MachineToken] too, expired ten minutes
	// ago. [signin.Auth.RequireBearer] answers 401.
	AccessTokenExpired Fault = faults.AccessTokenExpired
)

// Inject switches faults on, in addition to those that are on. It panics for a
// name that is none.
func (p *Provider) Inject(names ...Fault) {
	on := make([]*faults.Effect, 0, len(names))
	for _, f := range names {
		e := faults.Of(string(f))
		if e == nil {
			panic("signintest: unknown fault " + string(f))
		}
		on = append(on, e)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, on...)
}

// Clear switches all faults off. Answers that hang already go on hanging.
func (p *Provider) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// injected returns what the faults that are on do, in the order of Inject.
func (p *Provider) injected() []*faults.Effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.faults)
}
