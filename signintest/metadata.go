package signintest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// logtoPaths returns the paths of Logto's endpoints, or random ones.
func logtoPaths(randomPaths bool) paths {
	at := func(logto string) string {
		if randomPaths {
			return "/oidc/" + random()
		}
		return "/oidc/" + logto
	}
	return paths{
		keys:       at("jwks"),
		authorize:  at("auth"),
		token:      at("token"),
		userInfo:   at("me"),
		revocation: at("token/revocation"),
		endSession: at("session/end"),
	}
}

// metadata returns Logto's discovery document without what this provider does
// not serve.
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
func (p *Provider) metadata() map[string]any {
	doc := map[string]any{
		"issuer":                                     p.Issuer,
		"authorization_endpoint":                     p.URL + p.paths.authorize,
		"token_endpoint":                             p.URL + p.paths.token,
		"userinfo_endpoint":                          p.URL + p.paths.userInfo,
		"jwks_uri":                                   p.URL + p.paths.keys,
		"end_session_endpoint":                       p.URL + p.paths.endSession,
		"revocation_endpoint":                        p.URL + p.paths.revocation,
		"scopes_supported":                           supportedScopes,
		"claims_supported":                           supportedClaims,
		"response_types_supported":                   []string{"code"},
		"response_modes_supported":                   []string{"query"},
		"grant_types_supported":                      []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                    []string{"public"},
		"id_token_signing_alg_values_supported":      []string{p.settings.algorithm},
		"code_challenge_methods_supported":           []string{"S256"},
		"token_endpoint_auth_methods_supported":      p.settings.authMethods,
		"revocation_endpoint_auth_methods_supported": p.settings.authMethods,
		"claims_parameter_supported":                 false,
		"request_parameter_supported":                false,
		"request_uri_parameter_supported":            false,
		"backchannel_logout_supported":               true,
		"backchannel_logout_session_supported":       true,
		// https://www.rfc-editor.org/rfc/rfc9207#section-3
		"authorization_response_iss_parameter_supported": true,
	}
	if len(p.settings.acr) > 0 {
		doc["acr_values_supported"] = p.settings.acr
		doc["claims_supported"] = append(slices.Clone(supportedClaims), "acr")
	}
	return doc
}

func (p *Provider) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	doc := p.metadata()
	for _, f := range p.injected() {
		if f.Metadata != nil {
			f.Metadata(&p.facts, doc)
		}
	}
	writeJSON(w, http.StatusOK, doc)
}

func (p *Provider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	set := jose.JSONWebKeySet{}
	for _, k := range p.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	on := slices.Clone(p.faults)
	for _, f := range on {
		if f.Keys != nil {
			f.Keys(&p.facts, &set)
		}
	}
	p.mu.Unlock()
	var document any = set
	for _, f := range on {
		if f.KeyMembers != nil {
			document = changedKeys(document, f.KeyMembers)
		}
	}
	writeJSON(w, http.StatusOK, document)
}

// changedKeys returns a document of keys in which change has changed each.
func changedKeys(document any, change func(map[string]any)) any {
	raw, err := json.Marshal(document)
	must(err)
	var out struct {
		Keys []map[string]any `json:"keys"`
	}
	must(json.Unmarshal(raw, &out))
	for _, key := range out.Keys {
		change(key)
	}
	return out
}

// serveForeignKeys answers with the key of tokens whose header points here.
func (p *Provider) serveForeignKeys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.facts.Spare().Public()}})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	must(err)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b)
}

// oauthError is an error answer.
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2
type oauthError struct {
	status      int
	code        string
	description string
}

func badRequest(code, description string) *oauthError {
	return &oauthError{http.StatusBadRequest, code, description}
}

// logtoCode returns Logto's code for an error. Several errors share one.
func (e *oauthError) logtoCode() string {
	switch e.code {
	case "invalid_grant", "invalid_scope", "invalid_target", "invalid_token", "invalid_redirect_uri",
		"access_denied", "insufficient_scope", "unsupported_grant_type", "unsupported_response_type":
		return "oidc." + e.code
	}
	return "oidc.provider_error"
}

func (e *oauthError) write(w http.ResponseWriter) {
	switch {
	case e.code == "invalid_client" && e.status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="signintest"`)
	case e.status == http.StatusUnauthorized:
		// https://www.rfc-editor.org/rfc/rfc6750#section-3
		w.Header().Set("WWW-Authenticate", `Bearer realm="signintest", error="`+e.code+`"`)
	}
	writeJSON(w, e.status, map[string]string{
		"error":             e.code,
		"error_description": e.description,
		"code":              e.logtoCode(),
		"message":           strings.ToUpper(e.description[:1]) + e.description[1:] + ".",
	})
}
