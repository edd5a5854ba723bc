package authflow

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// Request is what an application asks of one sign-in. The zero Request is an
// ordinary one. A Request may be shared if it is not changed.
type Request struct {
	LoginHint string // fills in the identifier on the sign-in page

	// Prompt is "none" alone, or any of "login", "consent" and, except at Logto,
	// "select_account":
	// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
	Prompt []string

	Demand

	UILocales []string // for the provider's pages, the best first (BCP 47)
	Extra     map[string]string

	// FirstScreen is the page that the person sees first: sign_in, register,
	// reset_password, identifier:sign_in, identifier:register or single_sign_on. All but
	// register are for Logto only.
	FirstScreen string

	// The fields below are for Logto only.

	// Identifiers are what the identifier:* screens may ask for: email, phone,
	// username.
	Identifiers []string

	// DirectSignIn skips Logto's page: "social:" and a connector's target
	// ("naver"), or "sso:" and the ID of an enterprise connector.
	DirectSignIn string

	// OneTimeToken is the token of a magic link, and OneTimeEmail the address to
	// which it was sent. The address becomes the login hint.
	OneTimeToken, OneTimeEmail string
	// OneTimeAsked says that the token is required: a link without its query must
	// not become an ordinary sign-in.
	OneTimeAsked bool

	// Organization is the ID of the organization whose branding the pages show. It
	// does not affect access.
	Organization string
}

// Silent reports whether the provider is asked to show nothing.
func (r *Request) Silent() bool { return slices.Contains(r.Prompt, "none") }

// register is the first screen that other providers have too.
const register = "register"

// elsewhere reports whether the person is to arrive on a page other than the one for
// signing in.
func (r *Request) elsewhere() bool {
	return r.DirectSignIn != "" || r.FirstScreen != "" && r.FirstScreen != "sign_in"
}

// values returns the parameters of a request that has passed Check, but not its
// prompt and its demand.
func (r *Request) values(logto bool) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	if logto {
		set("first_screen", r.FirstScreen)
	}
	// Logto ignores "identifiers".
	set("identifier", strings.Join(r.Identifiers, " "))
	set("direct_sign_in", r.DirectSignIn)
	set("login_hint", cmp.Or(r.OneTimeEmail, r.LoginHint))
	set("ui_locales", strings.Join(r.UILocales, " "))
	set("one_time_token", r.OneTimeToken)
	set("organization_id", r.Organization)
	for name, value := range r.Extra {
		v.Set(name, value)
	}
	return v
}
