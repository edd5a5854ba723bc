package authflow

import (
	"net/url"
	"slices"
	"strings"
)

// Request is what an application asks of one sign-in. The zero Request is an
// ordinary one. Its methods only read it, so it may be shared once it is filled
// in.
type Request struct {
	// FirstScreen is the page of Logto on which the person arrives: sign_in,
	// register, reset_password, identifier:sign_in, identifier:register or
	// single_sign_on. It is Logto's own, as are the fields that say so.
	FirstScreen string

	// Identifiers are the kinds of identifier that the page asks for: email, phone,
	// username. Only the two identifier:* screens ask for one. Logto's own.
	Identifiers []string

	// DirectSignIn skips Logto's page: "social:" and a connector's target ("naver"),
	// or "sso:" and the ID of an enterprise connector. Logto's own.
	DirectSignIn string

	// LoginHint pre-fills the identifier.
	LoginHint string

	// Prompt are values of
	// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest: none alone,
	// or any of login, consent and select_account.
	Prompt []string

	Demand

	// UILocales are the languages for the provider's pages, the best first (BCP 47).
	UILocales []string

	// OneTimeToken is that of a magic link, and OneTimeEmail the address to which it
	// was sent; the latter becomes the login hint. Logto's own.
	OneTimeToken, OneTimeEmail string
	// OneTimeAsked says that the token is required: a link that has lost its query
	// must not become an ordinary sign-in.
	OneTimeAsked bool

	// Organization is the ID of the organization whose branding Logto's pages show.
	// It has nothing to do with access. Logto's own.
	Organization string

	// Extra are further parameters.
	Extra map[string]string
}

// Silent reports whether the provider is asked to show nothing.
func (r *Request) Silent() bool { return slices.Contains(r.Prompt, "none") }

// values returns the parameters of a request that has passed Check. With
// addConsent, consent is added to the prompt, but to none: "If this parameter
// contains none with any other value, an error is returned"
// (https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest).
func (r *Request) values(addConsent bool) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("first_screen", r.FirstScreen)
	// Singular. Packages that send "identifiers" are ignored.
	set("identifier", strings.Join(r.Identifiers, " "))
	set("direct_sign_in", r.DirectSignIn)
	set("login_hint", r.LoginHint)
	prompt := r.Prompt
	if addConsent && !r.Silent() && !slices.Contains(prompt, "consent") {
		prompt = append(slices.Clip(prompt), "consent")
	}
	set("prompt", strings.Join(prompt, " "))
	r.Demand.Set(v)
	set("ui_locales", strings.Join(r.UILocales, " "))
	if r.OneTimeToken != "" {
		v.Set("one_time_token", r.OneTimeToken)
		v.Set("login_hint", r.OneTimeEmail)
	}
	set("organization_id", r.Organization)
	for name, value := range r.Extra {
		v.Set(name, value)
	}
	return v
}
