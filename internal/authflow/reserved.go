package authflow

import (
	"cmp"
	"strings"
)

// reserved returns the reason why an extra parameter must not have this name, or "".
// A provider may refuse a parameter that is sent twice, or use the second value,
// which would defeat the checks of the flow. Names are case-sensitive, but some
// providers ignore case.
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
		// Whether the ID token meets claims (acr, auth_time, sub) is not checked.
		// MaxAge and ACRValues are checked.
		return "is not supported: use MaxAge, ACRValues or Config.Scopes"
	case "client_id":
		return "comes from Config.ClientID"
	case "redirect_uri":
		return "comes from Config.BaseURL and Config.Paths.Callback"
	case "scope":
		return "comes from Config.Scopes"
	case "resource":
		return "comes from Config.Resources"
	}
	option := options[name]
	if logto {
		if name == "acr_values" {
			return "has no effect: " + noClasses
		}
		option = cmp.Or(option, optionsAtLogto[name])
	}
	if option == "" {
		return ""
	}
	return "has its own option: use " + option + " instead"
}

var (
	options = map[string]string{
		"prompt": "Prompt", "max_age": "MaxAge", "acr_values": "ACRValues", "ui_locales": "UILocales", "login_hint": "LoginHint",
	}
	// At other providers these names may mean something else, as organization_id
	// does at some.
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
