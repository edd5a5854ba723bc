package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/settings"
)

// Metadata is what the provider says about itself, and has been checked. The
// endpoints are https URLs, or http URLs where [settings.PlainEndpoints] accepts
// them. Endpoints that are not required are empty if the provider lacks them, or
// names them in a way that cannot be used.
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
type Metadata struct {
	Issuer string

	AuthorizationEndpoint, TokenEndpoint, JWKSURI            string // required
	UserInfoEndpoint, EndSessionEndpoint, RevocationEndpoint string
	// IssParameterSupported says that authorization responses have iss, so that
	// one without it is forged. https://www.rfc-editor.org/rfc/rfc9207#section-3
	IssParameterSupported bool
	// ScopesSupported is nil if the provider does not list its scopes.
	ScopesSupported []string
	// PromptValues are the values of prompt that it lists, or nil.
	// https://openid.net/specs/openid-connect-prompt-create-1_0.html#section-4.1
	PromptValues []string

	tokenAuth, revocationAuth string
	keys                      *jwt.KeySet
}

// readMetadata checks metadata as received, after the endpoints of Config have
// replaced theirs, and chooses the ways to authenticate and the algorithms. The
// keys are left to the caller. What is not required and cannot be used is left out,
// and odd says what that is: a provider whose sign-ins work must not be refused for it.
func (c *Config) readMetadata(members document.Object) (meta *Metadata, algorithms, odd []string, err error) {
	// Exactly:
	// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation
	if issuer, _ := members.Text("issuer"); issuer != c.Issuer {
		return nil, nil, nil, fault(fmt.Sprintf("the issuer in the metadata is %s; needs the one configured, %s, to the letter",
			shown(members, "issuer"), document.Quote(c.Issuer)))
	}
	endpoints, odd, err := c.endpoints(members)
	if err != nil {
		return nil, nil, nil, err
	}
	odd = append(odd, oddMembers(members)...)
	meta = &Metadata{
		Issuer:                c.Issuer,
		AuthorizationEndpoint: endpoints[settings.AuthorizationEndpoint],
		TokenEndpoint:         endpoints[settings.TokenEndpoint],
		JWKSURI:               endpoints[settings.JWKSURI],
		UserInfoEndpoint:      endpoints[settings.UserInfoEndpoint],
		EndSessionEndpoint:    endpoints[settings.EndSessionEndpoint],
		RevocationEndpoint:    endpoints[settings.RevocationEndpoint],
		IssParameterSupported: strings.Trim(string(members[issParameterSupported]), `"`) == "true",
		ScopesSupported:       texts(members, scopesSupported),
		PromptValues:          texts(members, promptsSupported),
	}
	if meta.tokenAuth, meta.revocationAuth, err = c.auth(members); err != nil {
		return nil, nil, nil, err
	}
	if algorithms = c.algorithms(texts(members, algsSupported)); len(algorithms) == 0 {
		return nil, nil, nil, fault(fmt.Sprintf("the signing algorithms configured are %s; needs one of %s",
			strings.Join(c.SigningAlgs, " "), strings.Join(settings.Asymmetric(), " ")))
	}
	return meta, algorithms, odd, nil
}

// endpoints returns the endpoints to use, by their names in metadata. One that is
// required and cannot be used is an error, any other is left out.
func (c *Config) endpoints(members document.Object) (use map[string]string, odd []string, err error) {
	use = make(map[string]string)
	plain := settings.PlainEndpoints(c.Issuer, c.AnyHTTP)
	for name, address := range c.Endpoints {
		members[name], _ = json.Marshal(address)
	}
	required := settings.RequiredEndpoints()
	for _, name := range slices.Concat(required, settings.OptionalEndpoints()) {
		address, _ := members.Text(name)
		needed := slices.Contains(required, name)
		if text := string(members[name]); !needed && (text == "" || text == `""`) {
			continue // the provider has none, or it is not to be used
		}
		unusable := settings.Usable(address, plain)
		switch {
		case address == "": // absent, or of another type
			unusable = fault("needs an absolute URL such as https://host")
		case unusable == nil:
			use[name] = address
			continue
		}
		text := fmt.Sprintf("%s is %s; it %v", name, shown(members, name), unusable)
		if needed {
			return nil, nil, fault(text)
		}
		odd = append(odd, text)
	}
	return use, odd, nil
}

// The lists in metadata that are read, and a boolean.
const (
	scopesSupported     = "scopes_supported"
	promptsSupported    = "prompt_values_supported"
	algsSupported       = "id_token_signing_alg_values_supported"
	tokenAuthSupported  = "token_endpoint_auth_methods_supported"
	revokeAuthSupported = "revocation_endpoint_auth_methods_supported"

	issParameterSupported = "authorization_response_iss_parameter_supported"
)

// oddMembers says which members have not the type of their kind. They count as absent.
func oddMembers(members document.Object) (odd []string) {
	judged := slices.Concat(settings.RequiredEndpoints(), settings.OptionalEndpoints())
	for _, name := range slices.Sorted(maps.Keys(members)) {
		wanted := wantedType(members, name)
		if wanted == "" || slices.Contains(judged, name) {
			continue
		}
		if len(odd) < maxOdd {
			odd = append(odd, fmt.Sprintf("%s is %s; it needs %s", document.Quote(name), shown(members, name), wanted))
		}
	}
	return odd
}

// wantedType returns what a member should be, and "" if it is that, or if its name does
// not tell: what is supported is a boolean or a list, for some extensions an object.
// Endpoints and other addresses are text. Text in place of a list is a list of one.
func wantedType(members document.Object, name string) string {
	value := string(members[name])
	text := strings.HasPrefix(value, `"`)
	list := slices.Contains([]string{scopesSupported, promptsSupported, algsSupported, tokenAuthSupported, revokeAuthSupported}, name)
	boolean := strings.Trim(value, `"`) // some write booleans as text
	switch {
	case strings.HasSuffix(name, "_endpoint"), strings.HasSuffix(name, "_uri"):
		if !text {
			return "text"
		}
	case !strings.HasSuffix(name, "_supported"), !list && (boolean == "true" || boolean == "false"):
	case name == issParameterSupported:
		return "a boolean"
	case text, strings.HasPrefix(value, "["), !list && strings.HasPrefix(value, "{"):
	case list:
		return "a list"
	default:
		return "a list or a boolean"
	}
	return ""
}

// maxOdd is how many members of unexpected types are named.
const maxOdd = 16

// texts returns the texts in a list, and nil if the member is not one. One text counts as
// a list of one, and is not split.
func texts(members document.Object, name string) (all []string) {
	if text, err := members.Text(name); err == nil && text != "" {
		return []string{text}
	}
	var list []any
	_ = json.Unmarshal(members[name], &list) // nil if it is not a list
	for _, element := range list {
		if text, ok := element.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

// shown returns the value of a member, for an error or a log.
func shown(members document.Object, name string) string {
	value, ok := members[name]
	if !ok {
		return "absent"
	}
	if text, err := members.Text(name); err == nil && string(value) != "null" {
		return document.Quote(text)
	}
	return document.Quote(string(value))
}

// auth returns the ways to authenticate at the token and the revocation endpoint:
// the one configured, else what the metadata list. revocation may be empty.
func (c *Config) auth(members document.Object) (token, revocation string, err error) {
	if c.ClientAuth != "" {
		return c.ClientAuth, c.ClientAuth, nil
	}
	token = chooseAuth(texts(members, tokenAuthSupported))
	if token == "" {
		return "", "", fault(fmt.Sprintf("%s is %s; needs one of %s, or set Config.Provider.ClientAuth",
			tokenAuthSupported, shown(members, tokenAuthSupported), strings.Join(settings.ClientAuths(), " ")))
	}
	revocation = token
	if listed := texts(members, revokeAuthSupported); len(listed) > 0 {
		revocation = chooseAuth(listed)
	}
	return token, revocation, nil
}
