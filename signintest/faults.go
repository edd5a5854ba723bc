package signintest

import (
	"slices"

	"github.com/gosignin/signin/internal/faults"
)

// A Fault is something that the provider does wrong from [Provider.Inject] to
// [Provider.Clear]. The comment at each name says how an application answers; the
// statuses are those of package signin's pages, which Config.Pages may replace.
//
// Other trouble has methods: [Provider.Down] for a provider that cannot be
// reached, [Provider.Suspend] and [Provider.DeleteUser] for an account that is
// blocked or deleted, [Provider.RotateKey] for new signing keys,
// [Provider.SetUser] for a user who loses a role.
type Fault string

// Faults of a sign-in, which ends at the callback without a session.
const (
	// SignInDeclined: the user cancels, or the provider does not let the user sign
	// in. The callback answers 403.
	SignInDeclined Fault = faults.ResponseDeclined
	// IDTokenForged: the ID token is not signed by the provider. The callback
	// answers 502.
	IDTokenForged Fault = faults.IDTokenSignatureInvalid
	// IDTokenReplayed: the ID token belongs to another sign-in, as its nonce shows.
	// The callback answers 502.
	IDTokenReplayed Fault = faults.IDTokenNonceWrong
	// StepUpIgnored: the provider does not ask the user to sign in again,
	// although it should. The guard that demands it, such as one with
	// [signin.AuthenticatedWithin], answers 403, and the session continues.
	StepUpIgnored Fault = faults.IgnoreMaxAge
)

// Faults of the token endpoint. Inject them before a sign-in, and the callback
// fails; inject them after it, and the next refresh does.
const (
	// ClientSecretWrong: the provider does not know the client secret, for example
	// since it was rotated. The callback answers 502. A session continues without
	// fresh tokens: guards let its user in, and [signin.AccessToken] returns an
	// error.
	ClientSecretWrong Fault = faults.TokenInvalidClient
	// TokensUnavailable: the token endpoint answers 500. The callback answers 503. A
	// session continues as with ClientSecretWrong.
	TokensUnavailable Fault = faults.Token500
	// RefreshTokenRevoked: the provider has revoked what it granted. At the next
	// refresh the session ends, and guards send its user to sign in. The callback
	// answers 400.
	RefreshTokenRevoked Fault = faults.TokenInvalidGrant
	// NoRefreshToken: the provider gives no refresh token at the sign-in.
	// [signin.AccessToken] returns an error when the access token has expired.
	NoRefreshToken Fault = faults.TokensNoRefreshToken
)

// Faults of userinfo, and of access tokens for APIs.
const (
	// UserInfoOfAnother: userinfo describes another user. With Config.MergeUserInfo
	// the callback answers 502; [signin.FetchUserInfo] returns an error.
	UserInfoOfAnother Fault = faults.UserInfoSubjectWrong
	// AccessTokenExpired: every access token for an API expired ten minutes ago,
	// also those of [Provider.AccessToken] and [Provider.MachineToken].
	// [signin.Auth.RequireBearer] answers 401.
	AccessTokenExpired Fault = faults.AccessTokenExpired
)

// Inject switches faults on, in addition to those that are on. It panics for an
// unknown name.
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

// Clear switches all faults off. Answers that already hang continue to hang.
func (p *Provider) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// injected returns the effects of the faults that are on, in the order of Inject.
func (p *Provider) injected() []*faults.Effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.faults)
}
