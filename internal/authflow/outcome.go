package authflow

import (
	"fmt"
	"slices"

	"github.com/gosignin/signin/internal/document"
)

// Outcome is what an error response means to an application.
type Outcome int

const (
	Declined Outcome = iota // the person or the provider said no
	Silence                 // the provider would have to ask the person, and was asked to show nothing
	Trouble                 // the provider has a problem that may pass
	Misfit                  // the provider does not accept such a request from this client, now or later
	Unmet                   // the provider cannot authenticate the person in the way that was asked for
)

// Outcome returns what the error response to tx means, and its cause for the log. An
// error code that is not known means Declined.
//
// The cause names the code, and what of this application's settings the code is about:
// an error_description may be personal, and anyone can write one.
func (r *Response) Outcome(c *Client, tx *Transaction) (Outcome, error) {
	outcome, asked := Declined, ""
	switch r.Error {
	// https://openid.net/specs/openid-connect-core-1_0.html#AuthError. Without
	// prompt=none the provider could have asked the person, and has given up.
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		if tx.Silent {
			outcome = Silence
		}
	case "server_error", "temporarily_unavailable":
		outcome = Trouble
	// https://openid.net/specs/openid-connect-unmet-authentication-requirements-1_0.html
	case "unmet_authentication_requirements":
		outcome, asked = Unmet, fmt.Sprintf("; it was asked for the classes %q", slices.Concat(tx.ACR, tx.Asked.ACR))
	case "invalid_scope":
		outcome, asked = Misfit, fmt.Sprintf("; it was asked for the scopes %q (Config.Scopes)", c.Scopes)
	// https://www.rfc-editor.org/rfc/rfc8707#section-2, and its name at Entra
	case "invalid_target", "invalid_resource":
		outcome, asked = Misfit, fmt.Sprintf("; it was asked for the resources %q (Config.Resources)", c.Resources)
	case "unauthorized_client", "invalid_client":
		outcome, asked = Misfit, fmt.Sprintf("; Config.ClientID is %q", c.ID)
	case "invalid_redirect_uri":
		outcome, asked = Misfit, fmt.Sprintf("; the redirect URI is %q", c.RedirectURI)
	case "unsupported_response_type":
		outcome, asked = Misfit, `; it was asked for "code"`
	// Most of these are about parameters that this package never sends, and that the
	// provider demands.
	case "invalid_request", "unsupported_response_mode", "invalid_request_uri", "invalid_request_object",
		"request_not_supported", "request_uri_not_supported", "registration_not_supported", "invalid_authorization_details":
		outcome, asked = Misfit, "; the provider's own log says which parameter it means"
	}
	return outcome, fmt.Errorf("signin: the provider answered the authorization request with %s%s", document.Quote(r.Error), asked)
}
