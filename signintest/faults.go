package signintest

import (
	"maps"
	"slices"
)

// A Fault is something that a provider does wrong, switched on by
// [Provider.Inject]. Each is described at its name; the numbers are the rows of
// the list of cases this module is tested on, and P- stands for the module of
// the OpenID Foundation's conformance suite with that name.
//
// Faults of ID tokens hit each ID token while they are on: inject them before
// the sign-in to spoil the callback, after it to spoil a refresh. Faults of access
// tokens hit every JWT access token, those of [Provider.AccessToken] and
// [Provider.MachineToken] too, and never the opaque one.
type Fault string

// Faults of what the authorization endpoint and its codes stand for.
const (
	// IgnoreMaxAge: max_age is not heeded. A browser with a session is sent back
	// with it, whatever its age, and even with the prompt "login" beside max_age;
	// auth_time is the old one (2.9: a step-up is refused, once, and does not loop).
	IgnoreMaxAge Fault = "ignore-max-age"
	// IgnorePKCE: a code is exchanged whatever the code_verifier, so that one which
	// somebody else was given can be injected; the nonce alone tells (2.3).
	IgnorePKCE Fault = "ignore-pkce"
)

// Faults of the authorization response, errors included.
const (
	ResponseIssuerWrong   Fault = "response-issuer-wrong"   // iss of another provider (2.1, FAPI)
	ResponseIssuerMissing Fault = "response-issuer-missing" // no iss, though announced (2.1, FAPI)
	ResponseIssuerTwice   Fault = "response-issuer-twice"   // iss, and iss again (2.5)
	ResponseStateWrong    Fault = "response-state-wrong"    // a state nobody sent, of a first round as signin marks it (2.2, FAPI)
	ResponseStateMissing  Fault = "response-state-missing"  // no state (2.2, FAPI)
	ResponseStateTwice    Fault = "response-state-twice"    // state, and state again (2.5)
	ResponseCodeWrong     Fault = "response-code-wrong"     // a code that the provider does not know (2.3)
	ResponseCodeTwice     Fault = "response-code-twice"     // code, and code again (2.5)
	ResponseCodeHuge      Fault = "response-code-huge"      // a code of 100 KB (2.5)
	ResponseCodeAndError  Fault = "response-code-and-error" // a code and an error together (2.5)
	ResponseErrorTwice    Fault = "response-error-twice"    // error, and error again (2.5)
	ResponseEmpty         Fault = "response-empty"          // state and iss, neither code nor error (2.5)
	ResponseErrorMarkup   Fault = "response-error-markup"   // access_denied, its description with markup and CR LF (2.7)
	ResponseServerError   Fault = "response-server-error"   // server_error in place of a code
)

// Faults of ID tokens.
const (
	IDTokenIssuerWrong      Fault = "id-token-issuer-wrong"       // iss of another provider (P-invalid-iss, P-refresh-token-invalid-issuer)
	IDTokenIssuerMissing    Fault = "id-token-issuer-missing"     // no iss (FAPI)
	IDTokenIssuerSlash      Fault = "id-token-issuer-slash"       // iss with a slash at the end (3.2)
	IDTokenIssuerCase       Fault = "id-token-issuer-case"        // iss in capitals (3.2)
	IDTokenIssuerPort       Fault = "id-token-issuer-port"        // iss with another port (3.2)
	IDTokenAudienceWrong    Fault = "id-token-audience-wrong"     // aud of another client (P-invalid-aud)
	IDTokenAudienceMissing  Fault = "id-token-audience-missing"   // no aud (P-missing-aud)
	IDTokenAudienceArray    Fault = "id-token-audience-array"     // aud as a list of one: no harm (FAPI)
	IDTokenAudienceExtra    Fault = "id-token-audience-extra"     // a second aud, untrusted, with the right azp (3.2)
	IDTokenAudienceNoAZP    Fault = "id-token-audience-no-azp"    // a second aud, and no azp (3.2)
	IDTokenAZPWrong         Fault = "id-token-azp-wrong"          // azp of another client (3.2)
	IDTokenNonceWrong       Fault = "id-token-nonce-wrong"        // another nonce (P-nonce-invalid)
	IDTokenNonceMissing     Fault = "id-token-nonce-missing"      // no nonce
	IDTokenSIDMissing       Fault = "id-token-sid-missing"        // no sid: no harm, as a refreshed ID token need not repeat it
	IDTokenSubjectWrong     Fault = "id-token-subject-wrong"      // somebody else's sub (P-refresh-token-invalid-sub)
	IDTokenSubjectMissing   Fault = "id-token-subject-missing"    // no sub (P-missing-sub)
	IDTokenSubjectLong      Fault = "id-token-subject-long"       // sub of 300 characters (3.2)
	IDTokenSubjectNonASCII  Fault = "id-token-subject-non-ascii"  // sub that is not ASCII (3.2)
	IDTokenIssuedAtMissing  Fault = "id-token-issued-at-missing"  // no iat (P-missing-iat)
	IDTokenIssuedAtOld      Fault = "id-token-issued-at-old"      // iat a day ago (3.2)
	IDTokenIssuedAtAhead    Fault = "id-token-issued-at-ahead"    // iat a day ahead (3.2)
	IDTokenExpired          Fault = "id-token-expired"            // exp ten minutes ago (3.3)
	IDTokenExpiryMissing    Fault = "id-token-expiry-missing"     // no exp
	IDTokenExpiryText       Fault = "id-token-expiry-text"        // exp as text (3.2)
	IDTokenExpiryHuge       Fault = "id-token-expiry-huge"        // exp is 1e400 (3.2)
	IDTokenDuplicateClaim   Fault = "id-token-duplicate-claim"    // sub twice, the right one last (3.2)
	IDTokenAuthTimeMissing  Fault = "id-token-auth-time-missing"  // no auth_time, though asked for (2.9)
	IDTokenAuthTimeZero     Fault = "id-token-auth-time-zero"     // auth_time is 0 (2.9)
	IDTokenAuthTimeStale    Fault = "id-token-auth-time-stale"    // auth_time a week ago (2.9)
	IDTokenACRMissing       Fault = "id-token-acr-missing"        // no acr, though asked for; at a refresh: no harm
	IDTokenAtHashWrong      Fault = "id-token-at-hash-wrong"      // at_hash of another access token (3.4)
	IDTokenAtHashRight      Fault = "id-token-at-hash-right"      // at_hash, and right: no harm (3.4)
	IDTokenCHashPresent     Fault = "id-token-c-hash-present"     // c_hash, and right: no harm (3.4)
	IDTokenAlgNone          Fault = "id-token-alg-none"           // not signed (P-idtoken-sig-none)
	IDTokenHS256PEM         Fault = "id-token-hs256-pem"          // HS256 keyed with the public key as PEM (3.1, P-invalid-sig-hs256)
	IDTokenHS256DER         Fault = "id-token-hs256-der"          // HS256 keyed with the public key as DER (3.1)
	IDTokenHS256Modulus     Fault = "id-token-hs256-modulus"      // HS256 keyed with the modulus, or the curve's point (3.1)
	IDTokenHS256Secret      Fault = "id-token-hs256-secret"       // HS256 keyed with the client secret (3.1)
	IDTokenOtherAlgorithm   Fault = "id-token-other-algorithm"    // signed with a published key of another algorithm (3.1)
	IDTokenSignatureInvalid Fault = "id-token-signature-invalid"  // one bit of the signature changed (P-invalid-sig-rs256, P-invalid-sig-es256)
	IDTokenKeyIDUnknown     Fault = "id-token-key-id-unknown"     // signed with a key that is not published
	IDTokenKeyIDMissing     Fault = "id-token-key-id-missing"     // no kid: no harm (P-kid-absent-single-jwks, P-kid-absent-multiple-jwks)
	IDTokenHeaderJWK        Fault = "id-token-header-jwk"         // signed with a foreign key that the header brings (3.1)
	IDTokenHeaderJKU        Fault = "id-token-header-jku"         // signed with a foreign key that the header points to (3.1)
	IDTokenHeaderX5U        Fault = "id-token-header-x5u"         // signed with a foreign key, the header points to a certificate (3.1)
	IDTokenHeaderCrit       Fault = "id-token-header-crit"        // a critical header that nobody knows (3.1)
	IDTokenEncrypted        Fault = "id-token-encrypted"          // encrypted (3.1)
	IDTokenKeyForEncryption Fault = "id-token-key-for-encryption" // signed with a published key whose use is "enc" (3.1)
)

// Faults of JWT access tokens.
const (
	AccessTokenIssuerWrong      Fault = "access-token-issuer-wrong"       // iss of another provider (3.2)
	AccessTokenAudienceWrong    Fault = "access-token-audience-wrong"     // aud of another API (RFC 8725, section 3.9)
	AccessTokenAudienceClientID Fault = "access-token-audience-client-id" // aud is the client ID, as in an ID token
	AccessTokenExpired          Fault = "access-token-expired"            // exp ten minutes ago (3.3)
	AccessTokenNotYetValid      Fault = "access-token-not-yet-valid"      // nbf ten minutes ahead (3.3)
	AccessTokenAlgNone          Fault = "access-token-alg-none"           // not signed (3.1)
	AccessTokenHS256PEM         Fault = "access-token-hs256-pem"          // HS256 keyed with the public key as PEM (3.1)
	AccessTokenSignatureInvalid Fault = "access-token-signature-invalid"  // one bit of the signature changed
	AccessTokenKeyIDUnknown     Fault = "access-token-key-id-unknown"     // signed with a key that is not published
	AccessTokenTypeJWT          Fault = "access-token-type-jwt"           // typ is "JWT": what RFC 9068 wants refused, and many providers send
	AccessTokenTypeMissing      Fault = "access-token-type-missing"       // no typ: as above
	AccessTokenSubjectMissing   Fault = "access-token-subject-missing"    // no sub (RFC 9068, section 2.2)
	AccessTokenClientIDMissing  Fault = "access-token-client-id-missing"  // no client_id (RFC 9068, section 2.2)
	AccessTokenHeaderCrit       Fault = "access-token-header-crit"        // a critical header that nobody knows (3.1)
)

// Faults of token responses that are otherwise right.
const (
	TokensNoIDToken       Fault = "tokens-no-id-token"       // no id_token (3.5; 4.4 at a refresh: no harm)
	TokensNoRefreshToken  Fault = "tokens-no-refresh-token"  // no refresh_token (4.4: the old one stays)
	TokensNoAccessToken   Fault = "tokens-no-access-token"   // no access_token
	TokensTypeOddCase     Fault = "tokens-type-odd-case"     // token_type "bEARER": no harm (3.5)
	TokensExpiresInText   Fault = "tokens-expires-in-text"   // expires_in as text (3.5)
	TokensExpiresInZero   Fault = "tokens-expires-in-zero"   // expires_in 0 (3.5)
	TokensExpiresInAbsent Fault = "tokens-expires-in-absent" // no expires_in (3.5)
	TokensExpiresInAbsurd Fault = "tokens-expires-in-absurd" // expires_in of 300 million years (3.5)
)

// Faults of the token endpoint, at the callback and at a refresh.
const (
	TokenInvalidGrant   Fault = "token-invalid-grant"   // 400 invalid_grant (4.5: the session ends)
	TokenInvalidClient  Fault = "token-invalid-client"  // 401 invalid_client: the secret was rotated (4.5)
	TokenSecretExpired  Fault = "token-secret-expired"  // 400 invalid_request, "client secret has expired", as Logto says it (4.5)
	TokenInvalidRequest Fault = "token-invalid-request" // 400 invalid_request without more (4.5: with Issuer the session ends)
	TokenInvalidTarget  Fault = "token-invalid-target"  // 400 invalid_target (4.5)
	TokenInvalidScope   Fault = "token-invalid-scope"   // 400 invalid_scope (4.5)
	TokenForbidden      Fault = "token-forbidden"       // 403 access_denied (4.5)
	TokenEmpty400       Fault = "token-empty-400"       // 400 without a body (4.5: with Issuer the session ends)
	Token429            Fault = "token-429"             // 429 (4.5)
	Token500            Fault = "token-500"             // 500 (4.5)
	TokenHTML           Fault = "token-html"            // 200 and a page (4.5)
	TokenGarbage        Fault = "token-garbage"         // 200 and no JSON (4.5)
	TokenHang           Fault = "token-hang"            // no answer (4.5, 9.2)
	TokenTrickle        Fault = "token-trickle"         // a byte a second (9.2)
	TokenEndless        Fault = "token-endless"         // a body without an end (9.2)
	TokenGzipBomb       Fault = "token-gzip-bomb"       // a small body that unpacks to a gigabyte (9.2)
	TokenReset          Fault = "token-reset"           // the connection is reset (4.5)
	TokenRedirect       Fault = "token-redirect"        // 307 to the same endpoint (9.3)
)

// Faults of userinfo.
const (
	UserInfoSubjectWrong   Fault = "userinfo-subject-wrong"   // somebody else's sub (P-userinfo-invalid-sub)
	UserInfoSubjectMissing Fault = "userinfo-subject-missing" // no sub (3.6)
	UserInfoContentType    Fault = "userinfo-content-type"    // the right body as text/html (3.6)
	UserInfoIDToken        Fault = "userinfo-id-token"        // an ID token in its place (3.6)
	UserInfo401            Fault = "userinfo-401"             // 401 (3.6)
	UserInfo500            Fault = "userinfo-500"             // 500
	UserInfoRedirect       Fault = "userinfo-redirect"        // 307 to the same endpoint (9.3)
	UserInfoHang           Fault = "userinfo-hang"            // no answer (9.2)
	UserInfoEndless        Fault = "userinfo-endless"         // a body without an end (9.2)
)

// Faults of the metadata document.
const (
	Discovery500              Fault = "discovery-500"                // 500 (9.1)
	DiscoveryHTML             Fault = "discovery-html"               // 200 and a page (9.1)
	DiscoveryGarbage          Fault = "discovery-garbage"            // 200 and no JSON (9.1)
	DiscoveryIssuerWrong      Fault = "discovery-issuer-wrong"       // issuer of another provider (P-discovery-issuer-mismatch)
	DiscoveryIssuerSlash      Fault = "discovery-issuer-slash"       // issuer with a slash at the end (P-discovery-issuer-mismatch)
	DiscoveryOtherProvider    Fault = "discovery-other-provider"     // issuer and endpoints of another provider (P-discovery-issuer-mismatch)
	DiscoveryNoResponseIssuer Fault = "discovery-no-response-issuer" // does not announce the iss of authorization responses, and sends it (2.1; with ResponseIssuerMissing it sends none)
	DiscoveryHTTPEndpoints    Fault = "discovery-http-endpoints"     // http endpoints; away from loopback, unless the provider runs with [WithTLS] (9.3)
	DiscoveryNoEndSession     Fault = "discovery-no-end-session"     // no end_session_endpoint (8.2)
	DiscoveryNoRevocation     Fault = "discovery-no-revocation"      // no revocation_endpoint
	DiscoveryNoUserInfo       Fault = "discovery-no-userinfo"        // no userinfo_endpoint
	DiscoveryAlgNone          Fault = "discovery-alg-none"           // none and HS256 among the algorithms (3.1)
	DiscoveryHang             Fault = "discovery-hang"               // no answer (9.2)
	DiscoveryTrickle          Fault = "discovery-trickle"            // a byte a second (9.2)
	DiscoveryEndless          Fault = "discovery-endless"            // a body without an end (9.2)
	DiscoveryGzipBomb         Fault = "discovery-gzip-bomb"          // a small body that unpacks to a gigabyte (9.2)
)

// Faults of the signing keys.
const (
	Keys500      Fault = "keys-500"       // 500 (4.4)
	KeysEmpty    Fault = "keys-empty"     // no key
	KeysGarbage  Fault = "keys-garbage"   // 200 and no JSON
	KeysReversed Fault = "keys-reversed"  // the current key last, not first: no harm (P-kid-absent-multiple-jwks)
	Keys10000    Fault = "keys-10000"     // ten thousand foreign keys before the right ones, in less than 1 MiB (9.2)
	KeysHang     Fault = "keys-hang"      // no answer (9.2)
	KeysEndless  Fault = "keys-endless"   // a body without an end (9.2)
	KeysGzipBomb Fault = "keys-gzip-bomb" // a small body that unpacks to a gigabyte (9.2)
)

// Faults of signing out.
const (
	Revocation500          Fault = "revocation-500"            // 500 (8.2)
	RevocationHang         Fault = "revocation-hang"           // no answer (8.2)
	RevocationRedirect     Fault = "revocation-redirect"       // 307 to the same endpoint (8.2, 9.3)
	EndSessionStateWrong   Fault = "end-session-state-wrong"   // another state comes back (P-rp-init-logout-other-state)
	EndSessionStateMissing Fault = "end-session-state-missing" // no state comes back (P-rp-init-logout-no-state)
)

// Faults of logout tokens.
const (
	LogoutTokenAlgNone         Fault = "logout-token-alg-none"          // not signed (P-rp-backchannel…-alg-none)
	LogoutTokenOtherAlgorithm  Fault = "logout-token-other-algorithm"   // signed with a published key of another algorithm (…-wrong-alg)
	LogoutTokenSignature       Fault = "logout-token-signature"         // one bit of the signature changed
	LogoutTokenIssuerWrong     Fault = "logout-token-issuer-wrong"      // iss of another provider (…-wrong-iss)
	LogoutTokenAudienceWrong   Fault = "logout-token-audience-wrong"    // aud of another client (…-wrong-aud)
	LogoutTokenNoEvents        Fault = "logout-token-no-events"         // no events (…-no-event)
	LogoutTokenEventWrong      Fault = "logout-token-event-wrong"       // another event (…-wrong-event)
	LogoutTokenEventsNull      Fault = "logout-token-events-null"       // events is null (8.3)
	LogoutTokenEventsText      Fault = "logout-token-events-text"       // events is text (8.3)
	LogoutTokenEventsArray     Fault = "logout-token-events-array"      // events is an array (8.3)
	LogoutTokenNonce           Fault = "logout-token-nonce"             // a nonce (…-with-nonce)
	LogoutTokenIDMissing       Fault = "logout-token-id-missing"        // no jti
	LogoutTokenIssuedAtOld     Fault = "logout-token-issued-at-old"     // iat ten minutes ago, and no exp (8.3)
	LogoutTokenIssuedAtAhead   Fault = "logout-token-issued-at-ahead"   // iat ten minutes ahead (8.3)
	LogoutTokenIssuedAtMissing Fault = "logout-token-issued-at-missing" // no iat (8.3)
	LogoutTokenExpired         Fault = "logout-token-expired"           // exp ten minutes ago
	LogoutTokenExpiryMissing   Fault = "logout-token-expiry-missing"    // no exp: no harm, as at Logto 1.37 (8.3)
	LogoutTokenExtraClaim      Fault = "logout-token-extra-claim"       // a claim that nobody knows: no harm (P-rp-backchannel-rpinitlogout)
	LogoutTokenNobody          Fault = "logout-token-nobody"            // neither sub nor sid
)

// Faults returns the name of every fault, sorted.
func Faults() []Fault { return slices.Sorted(maps.Keys(effects)) }

// Inject switches faults on, in addition to those that are on. It panics for a
// name that is none.
func (p *Provider) Inject(faults ...Fault) {
	on := make([]*effect, 0, len(faults))
	for _, f := range faults {
		e := effects[f]
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
func (p *Provider) injected() []*effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.faults)
}
