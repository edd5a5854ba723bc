package authflow

import "strings"

// reserved says why an extra parameter must not have this name, or "". It ignores
// case: names are case-sensitive, but not every provider treats them so. At best a
// provider would refuse a parameter that is set twice; at worst the second would
// undo what the flow relies on.
func reserved(name string, logto bool) string {
	name = strings.ToLower(name)
	switch name {
	case "response_type", "response_mode", "state", "nonce", "code_challenge", "code_challenge_method", "code", "iss",
		// https://www.rfc-editor.org/rfc/rfc9449#section-10
		"dpop_jkt",
		// Each of these can replace every other parameter.
		// https://openid.net/specs/openid-connect-core-1_0.html#JWTRequests
		"request", "request_uri", "registration":
		return "belongs to the flow"
	case "client_secret", "client_assertion", "client_assertion_type", "code_verifier", "access_token", "refresh_token",
		// Personal data, and an error once the provider's key has rotated.
		"id_token_hint":
		return "must never be sent through a browser"
	case "claims":
		// What it asks for (acr, auth_time, sub) would not be checked in the ID token.
		// MaxAge and ACRValues are.
		return "is not supported: use MaxAge, ACRValues or Config.Scopes"
	case "client_id":
		return "comes from Config.ClientID"
	case "redirect_uri":
		return "comes from Config.BaseURL and Config.CallbackPath"
	case "scope":
		return "comes from Config.Scopes"
	case "resource":
		return "comes from Config.Resources"
	}
	option := options[name]
	if option == "" && logto {
		option = optionsAtLogto[name]
	}
	if option == "" {
		return ""
	}
	return "has an option of its own: use " + option + " instead"
}

var (
	// options are the parameters that an option sets.
	options = map[string]string{
		"prompt": "Prompt", "max_age": "MaxAge", "acr_values": "ACRValues", "ui_locales": "UILocales", "login_hint": "LoginHint",
	}
	// optionsAtLogto are those whose names are free elsewhere; some providers mean
	// something else by organization_id.
	optionsAtLogto = map[string]string{
		"first_screen":     "FirstScreen",
		"interaction_mode": "FirstScreen", // its older form
		"identifier":       "Identifiers",
		"identifiers":      "Identifiers", // ignored by Logto
		"direct_sign_in":   "Social or EnterpriseSSO",
		"one_time_token":   "OneTimeToken",
		"organization_id":  "OrganizationBranding",
	}
)
