package authflow

import "strings"

const (
	flow = "belongs to the flow"
	leak = "must never be sent through a browser"
)

// reservedAlways are the parameters that an extra one must not set, with the
// reason or what to use instead. At best the provider would refuse a parameter that
// is set twice; at worst it would undo what the flow relies on.
var reservedAlways = map[string]string{
	"response_type":         flow,
	"response_mode":         flow,
	"state":                 flow,
	"nonce":                 flow,
	"code_challenge":        flow,
	"code_challenge_method": flow,
	"code":                  flow,
	"iss":                   flow,
	"dpop_jkt":              flow, // https://www.rfc-editor.org/rfc/rfc9449#section-10
	// Each of these can replace every other parameter.
	// https://openid.net/specs/openid-connect-core-1_0.html#JWTRequests
	"request":      flow,
	"request_uri":  flow,
	"registration": flow,
	// What the claims parameter asks for (acr, auth_time, sub) would not be checked in
	// the ID token. MaxAge and ACRValues are.
	"claims": "is not supported: use MaxAge, ACRValues or Config.Scopes",
	// Personal data in a URL, and an error once the provider's key has rotated.
	"id_token_hint": leak,

	"client_secret":         leak,
	"client_assertion":      leak,
	"client_assertion_type": leak,
	"code_verifier":         leak,
	"access_token":          leak,
	"refresh_token":         leak,

	"client_id":    "comes from Config.ClientID",
	"redirect_uri": "comes from Config.BaseURL and Config.CallbackPath",
	"scope":        "comes from Config.Scopes",
	"resource":     "comes from Config.Resources",

	"prompt":     "has an option of its own: use Prompt instead",
	"max_age":    "has an option of its own: use MaxAge instead",
	"acr_values": "has an option of its own: use ACRValues instead",
	"ui_locales": "has an option of its own: use UILocales instead",
	"login_hint": "has an option of its own: use LoginHint instead",
}

// reservedAtLogto are Logto's own parameters. With other providers their options
// are mistakes, and the names are free: organization_id, for one, means something
// else elsewhere.
var reservedAtLogto = map[string]string{
	"first_screen":     "has an option of its own: use FirstScreen instead",
	"interaction_mode": "is the older form of first_screen: use FirstScreen instead",
	"identifier":       "has an option of its own: use Identifiers instead",
	"identifiers":      "is ignored by Logto: use Identifiers instead",
	"direct_sign_in":   "has an option of its own: use Social or EnterpriseSSO instead",
	"one_time_token":   "has an option of its own: use OneTimeToken instead",
	"organization_id":  "has an option of its own: use OrganizationBranding instead",
}

// reserved says why an extra parameter must not have this name, or "". It ignores
// case: names are case-sensitive, but not every provider treats them so.
func reserved(name string, logto bool) string {
	name = strings.ToLower(name)
	if why := reservedAlways[name]; why != "" || !logto {
		return why
	}
	return reservedAtLogto[name]
}
