package faults

// The comment at each name says what goes wrong. The numbers in parentheses, and
// what begins with P-, are ids of rows in docs/conformance.md; FAPI means the
// section "FAPI 2.0" there.
//
// Faults of ID tokens change every ID token while they are on: inject them before
// the sign-in for the callback, after it for a refresh. Faults of access tokens
// change every JWT access token, and never the opaque one.

// Faults of the authorization endpoint, and of its codes.
const (
	// IgnoreMaxAge: max_age is ignored, and so is the prompt "login" sent with it. A
	// browser with a session is sent back with it, however old it is; auth_time is
	// the old one (2.9: a step-up is refused, once, and does not loop).
	IgnoreMaxAge = "ignore-max-age"
	// IgnorePKCE: a code is exchanged with any code_verifier. The code of another
	// browser can be injected; only the nonce reveals it (2.3).
	IgnorePKCE = "ignore-pkce"
	// BasicNotDecoded: the client's credentials in the Authorization header are
	// compared as they are, without form decoding, as at Glewlwyd (F7.4).
	BasicNotDecoded = "basic-not-decoded"
)

// Faults of the authorization response, errors included.
const (
	ResponseIssuerWrong   = "response-issuer-wrong"   // iss of another provider (2.1, FAPI)
	ResponseIssuerMissing = "response-issuer-missing" // no iss, though announced (2.1, FAPI)
	ResponseIssuerTwice   = "response-issuer-twice"   // iss, and iss again (2.5)
	ResponseStateWrong    = "response-state-wrong"    // an unknown state, marked as signin marks a first attempt (2.2, FAPI)
	ResponseStateMissing  = "response-state-missing"  // no state (2.2, FAPI)
	ResponseStateTwice    = "response-state-twice"    // state, and state again (2.5)
	ResponseCodeWrong     = "response-code-wrong"     // a code that the provider does not know (2.3)
	ResponseCodeTwice     = "response-code-twice"     // code, and code again (2.5)
	ResponseCodeHuge      = "response-code-huge"      // a code of 100 KB (2.5)
	ResponseCodeAndError  = "response-code-and-error" // a code and an error together (2.5)
	ResponseErrorTwice    = "response-error-twice"    // error, and error again (2.5)
	ResponseEmpty         = "response-empty"          // state and iss, neither code nor error (2.5)
	ResponseErrorMarkup   = "response-error-markup"   // access_denied, its description with markup and CR LF (2.7)
	ResponseDeclined      = "response-declined"       // access_denied in place of a code
	ResponseServerError   = "response-server-error"   // server_error in place of a code
	ResponseExtras        = "response-extras"         // session_state, client_info, x=a;b and y=100% besides: no harm (F4.5)
	ResponseCodeLong      = "response-code-long"      // a code of 8 KB, as at Azure AD B2C: no harm (F4.6)
	ResponseExpired       = "response-expired"        // temporarily_unavailable, authentication_expired, as at Keycloak (F9.2)
	ResponseBare          = "response-bare"           // no parameters, as when consent is cancelled at Logto (F12.8)
)

// Faults of ID tokens.
const (
	IDTokenIssuerWrong      = "id-token-issuer-wrong"       // iss of another provider (P-invalid-iss, P-refresh-token-invalid-issuer)
	IDTokenIssuerMissing    = "id-token-issuer-missing"     // no iss (FAPI)
	IDTokenIssuerSlash      = "id-token-issuer-slash"       // iss with a slash at the end (3.2)
	IDTokenIssuerCase       = "id-token-issuer-case"        // iss in capitals (3.2)
	IDTokenIssuerPort       = "id-token-issuer-port"        // iss with another port (3.2)
	IDTokenAudienceWrong    = "id-token-audience-wrong"     // aud of another client (P-invalid-aud)
	IDTokenAudienceMissing  = "id-token-audience-missing"   // no aud (P-missing-aud)
	IDTokenAudienceArray    = "id-token-audience-array"     // aud as a list of one: no harm (FAPI)
	IDTokenAudienceExtra    = "id-token-audience-extra"     // a second aud, untrusted, with the right azp (3.2)
	IDTokenAudienceNoAZP    = "id-token-audience-no-azp"    // a second aud, and no azp (3.2)
	IDTokenAZPWrong         = "id-token-azp-wrong"          // azp of another client (3.2)
	IDTokenNonceWrong       = "id-token-nonce-wrong"        // another nonce (P-nonce-invalid)
	IDTokenNonceMissing     = "id-token-nonce-missing"      // no nonce
	IDTokenSIDMissing       = "id-token-sid-missing"        // no sid: no harm, as a refreshed ID token need not repeat it
	IDTokenSubjectWrong     = "id-token-subject-wrong"      // the sub of another user (P-refresh-token-invalid-sub)
	IDTokenSubjectMissing   = "id-token-subject-missing"    // no sub (P-missing-sub)
	IDTokenSubjectLong      = "id-token-subject-long"       // sub of 300 characters (3.2)
	IDTokenSubjectNonASCII  = "id-token-subject-non-ascii"  // sub that is not ASCII (3.2)
	IDTokenIssuedAtMissing  = "id-token-issued-at-missing"  // no iat (P-missing-iat)
	IDTokenIssuedAtOld      = "id-token-issued-at-old"      // iat a day ago (3.2)
	IDTokenIssuedAtAhead    = "id-token-issued-at-ahead"    // iat a day ahead (3.2)
	IDTokenExpired          = "id-token-expired"            // exp ten minutes ago (3.3)
	IDTokenExpiryMissing    = "id-token-expiry-missing"     // no exp
	IDTokenExpiryText       = "id-token-expiry-text"        // exp as text (3.2)
	IDTokenExpiryHuge       = "id-token-expiry-huge"        // exp is 1e400 (3.2)
	IDTokenDuplicateClaim   = "id-token-duplicate-claim"    // sub twice, the right one last (3.2)
	IDTokenAuthTimeMissing  = "id-token-auth-time-missing"  // no auth_time, though asked for (2.9)
	IDTokenAuthTimeZero     = "id-token-auth-time-zero"     // auth_time is 0 (2.9)
	IDTokenAuthTimeStale    = "id-token-auth-time-stale"    // auth_time a week ago (2.9)
	IDTokenACRMissing       = "id-token-acr-missing"        // no acr, though asked for; at a refresh: no harm
	IDTokenAtHashWrong      = "id-token-at-hash-wrong"      // at_hash of another access token (3.4)
	IDTokenAtHashRight      = "id-token-at-hash-right"      // at_hash, and right: no harm (3.4)
	IDTokenCHashPresent     = "id-token-c-hash-present"     // c_hash, and right: no harm (3.4)
	IDTokenAlgNone          = "id-token-alg-none"           // not signed (P-idtoken-sig-none)
	IDTokenHS256PEM         = "id-token-hs256-pem"          // HS256 keyed with the public key as PEM (3.1, P-invalid-sig-hs256)
	IDTokenHS256DER         = "id-token-hs256-der"          // HS256 keyed with the public key as DER (3.1)
	IDTokenHS256Modulus     = "id-token-hs256-modulus"      // HS256 keyed with the modulus, or the curve's point (3.1)
	IDTokenHS256Secret      = "id-token-hs256-secret"       // HS256 keyed with the client secret (3.1)
	IDTokenOtherAlgorithm   = "id-token-other-algorithm"    // signed with a published key of another algorithm (3.1)
	IDTokenSignatureInvalid = "id-token-signature-invalid"  // one bit of the signature changed (P-invalid-sig-rs256, P-invalid-sig-es256)
	IDTokenKeyIDUnknown     = "id-token-key-id-unknown"     // signed with a key that is not published
	IDTokenKeyIDMissing     = "id-token-key-id-missing"     // no kid: no harm (P-kid-absent-single-jwks, P-kid-absent-multiple-jwks)
	IDTokenHeaderJWK        = "id-token-header-jwk"         // signed with a foreign key that the header brings (3.1)
	IDTokenHeaderJKU        = "id-token-header-jku"         // signed with a foreign key that the header points to (3.1)
	IDTokenHeaderX5U        = "id-token-header-x5u"         // signed with a foreign key, the header points to a certificate (3.1)
	IDTokenHeaderCrit       = "id-token-header-crit"        // an unknown critical header (3.1)
	IDTokenEncrypted        = "id-token-encrypted"          // encrypted (3.1)
	IDTokenKeyForEncryption = "id-token-key-for-encryption" // signed with a published key whose use is "enc" (3.1)

	IDTokenIssuedAtSoon      = "id-token-issued-at-soon"      // iat two minutes ahead (F2.1)
	IDTokenRepeated          = "id-token-repeated"            // at a refresh, the same ID token once more (F2.1)
	IDTokenNonceEmpty        = "id-token-nonce-empty"         // nonce is "" (F2.2)
	IDTokenProfileMissing    = "id-token-profile-missing"     // no name and no e-mail address (F2.4)
	IDTokenProtocolOnly      = "id-token-protocol-only"       // no claims about the person (F2.4)
	IDTokenAuthenticatedAnew = "id-token-authenticated-anew"  // auth_time is now, another acr, another sid (F2.7)
	IDTokenACRNumber         = "id-token-acr-number"          // acr is 1 (F2.2, F4.1)
	IDTokenAuthTimeText      = "id-token-auth-time-text"      // auth_time is a date in words (F2.2, F4.1)
	IDTokenSIDNumber         = "id-token-sid-number"          // sid is 42 (F4.1)
	IDTokenNotBeforeText     = "id-token-not-before-text"     // nbf is "0" (F4.1)
	IDTokenAtHashEmpty       = "id-token-at-hash-empty"       // at_hash is "" (F4.1)
	IDTokenSpellings         = "id-token-spellings"           // groups and Groups (F4.2)
	IDTokenRolesText         = "id-token-roles-text"          // roles is "admin" (F5.1)
	IDTokenRolesObject       = "id-token-roles-object"        // roles is an object: none (F5.1)
	IDTokenRolesMixed        = "id-token-roles-mixed"         // roles is ["admin", 5] (F5.1)
	IDTokenOrganizationsText = "id-token-organizations-text"  // organizations is "org_one" (F5.1)
	IDTokenEmailVerifiedText = "id-token-email-verified-text" // email_verified is "true" (F5.2)
)

// Faults of JWT access tokens.
const (
	AccessTokenIssuerWrong      = "access-token-issuer-wrong"       // iss of another provider (3.2)
	AccessTokenAudienceWrong    = "access-token-audience-wrong"     // aud of another API (RFC 8725, section 3.9)
	AccessTokenAudienceClientID = "access-token-audience-client-id" // aud is the client ID, as in an ID token
	AccessTokenExpired          = "access-token-expired"            // exp ten minutes ago (3.3)
	AccessTokenNotYetValid      = "access-token-not-yet-valid"      // nbf ten minutes ahead (3.3)
	AccessTokenAlgNone          = "access-token-alg-none"           // not signed (3.1)
	AccessTokenHS256PEM         = "access-token-hs256-pem"          // HS256 keyed with the public key as PEM (3.1)
	AccessTokenSignatureInvalid = "access-token-signature-invalid"  // one bit of the signature changed
	AccessTokenKeyIDUnknown     = "access-token-key-id-unknown"     // signed with a key that is not published
	AccessTokenTypeJWT          = "access-token-type-jwt"           // typ is "JWT": what RFC 9068 wants refused, and many providers send
	AccessTokenTypeMissing      = "access-token-type-missing"       // no typ: as above
	AccessTokenSubjectMissing   = "access-token-subject-missing"    // no sub (RFC 9068, section 2.2)
	AccessTokenClientIDMissing  = "access-token-client-id-missing"  // no client_id (RFC 9068, section 2.2)
	AccessTokenHeaderCrit       = "access-token-header-crit"        // an unknown critical header (3.1)
	AccessTokenAudienceExtra    = "access-token-audience-extra"     // aud names the client besides the API: no harm (F6.3)
)

// Faults of token responses that are otherwise right.
const (
	TokensNoIDToken       = "tokens-no-id-token"       // no id_token (3.5; 4.4 at a refresh: no harm)
	TokensNoRefreshToken  = "tokens-no-refresh-token"  // no refresh_token (4.4: the old one stays)
	TokensNoAccessToken   = "tokens-no-access-token"   // no access_token
	TokensTypeOddCase     = "tokens-type-odd-case"     // token_type "bEARER": no harm (3.5)
	TokensExpiresInText   = "tokens-expires-in-text"   // expires_in as text (3.5)
	TokensExpiresInZero   = "tokens-expires-in-zero"   // expires_in 0 (3.5)
	TokensExpiresInAbsent = "tokens-expires-in-absent" // no expires_in (3.5)
	TokensExpiresInAbsurd = "tokens-expires-in-absurd" // expires_in of 300 million years (3.5)
	TokensScopeList       = "tokens-scope-list"        // scope as a list: no harm (F5.3)
	TokensTypeDPoP        = "tokens-type-dpop"         // token_type "DPoP" (F2.8)
	TokensAccessEmpty     = "tokens-access-empty"      // access_token "" (F2.8)
	TokensKeycloak        = "tokens-keycloak"          // tokens of 1.3 and 0.7 KB, as at Keycloak: no harm (F1.1)
	TokensEntra           = "tokens-entra"             // tokens of 1.9 and 1.3 KB, as at Entra: no harm (F1.2)
)

// Faults of the token endpoint, at the callback and at a refresh.
const (
	TokenInvalidGrant   = "token-invalid-grant"   // 400 invalid_grant (4.5: the session ends)
	TokenInvalidClient  = "token-invalid-client"  // 401 invalid_client: the secret was rotated (4.5)
	TokenSecretExpired  = "token-secret-expired"  // 400 invalid_request, "client secret has expired", as Logto says it (4.5)
	TokenInvalidRequest = "token-invalid-request" // 400 invalid_request without more (4.5: with Issuer the session ends)
	TokenInvalidTarget  = "token-invalid-target"  // 400 invalid_target (4.5)
	TokenInvalidScope   = "token-invalid-scope"   // 400 invalid_scope (4.5)
	TokenForbidden      = "token-forbidden"       // 403 access_denied (4.5)
	TokenUnauthorized   = "token-unauthorized"    // 401 unauthorized (F3.2)
	TokenAccessDenied   = "token-access-denied"   // 400 access_denied (F3.2)
	TokenInactive       = "token-inactive"        // 400 token_inactive (F3.2)
	TokenInvalidToken   = "token-invalid-token"   // 400 invalid_token (F3.2)

	// 400, each with the code that its name says (F3.1).
	TokenInteractionRequired      = "token-interaction-required"
	TokenLoginRequired            = "token-login-required"
	TokenConsentRequired          = "token-consent-required"
	TokenAccountSelectionRequired = "token-account-selection-required"
	TokenMFARequired              = "token-mfa-required"
	TokenUnauthorizedClient       = "token-unauthorized-client" // about the client, not the person (F3.3)

	TokenEmpty400 = "token-empty-400" // 400 without a body (4.5: with Issuer the session ends)
	Token429      = "token-429"       // 429 (4.5)
	Token500      = "token-500"       // 500 (4.5)
	TokenHTML     = "token-html"      // 200 and a page (4.5)
	TokenGarbage  = "token-garbage"   // 200 and no JSON (4.5)
	TokenHang     = "token-hang"      // no answer (4.5, 9.2)
	TokenTrickle  = "token-trickle"   // a byte a second (9.2)
	TokenEndless  = "token-endless"   // a body without an end (9.2)
	TokenGzipBomb = "token-gzip-bomb" // a small body that unpacks to a gigabyte (9.2)
	TokenReset    = "token-reset"     // the connection is reset (4.5)
	TokenRedirect = "token-redirect"  // 307 to the same endpoint (9.3)
)

// Faults of userinfo.
const (
	UserInfoSubjectWrong   = "userinfo-subject-wrong"   // the sub of another user (P-userinfo-invalid-sub)
	UserInfoSubjectMissing = "userinfo-subject-missing" // no sub (3.6)
	UserInfoContentType    = "userinfo-content-type"    // the right body as text/html (3.6)
	UserInfoIDToken        = "userinfo-id-token"        // an ID token in its place (3.6)
	UserInfoSigned         = "userinfo-signed"          // as a signed JWT: no harm (F7.9)
	UserInfoSignedForeign  = "userinfo-signed-foreign"  // as a JWT signed with a key that is not published (F7.9)
	UserInfoSignedAudience = "userinfo-signed-audience" // as a signed JWT for another client (F7.9)
	UserInfoSpellings      = "userinfo-spellings"       // groups and Groups (F4.2)
	UserInfo401            = "userinfo-401"             // 401 (3.6)
	UserInfo500            = "userinfo-500"             // 500
	UserInfoRedirect       = "userinfo-redirect"        // 307 to the same endpoint (9.3)
	UserInfoHang           = "userinfo-hang"            // no answer (9.2)
	UserInfoEndless        = "userinfo-endless"         // a body without an end (9.2)
)

// Faults of the metadata document.
const (
	Discovery500              = "discovery-500"                // 500 (9.1)
	DiscoveryHTML             = "discovery-html"               // 200 and a page (9.1)
	DiscoveryGarbage          = "discovery-garbage"            // 200 and no JSON (9.1)
	DiscoveryIssuerWrong      = "discovery-issuer-wrong"       // issuer of another provider (P-discovery-issuer-mismatch)
	DiscoveryIssuerSlash      = "discovery-issuer-slash"       // issuer with a slash at the end (P-discovery-issuer-mismatch)
	DiscoveryOtherProvider    = "discovery-other-provider"     // issuer and endpoints of another provider (P-discovery-issuer-mismatch)
	DiscoveryNoResponseIssuer = "discovery-no-response-issuer" // does not announce the iss of authorization responses, but sends it (2.1; with ResponseIssuerMissing it sends none)
	DiscoveryHTTPEndpoints    = "discovery-http-endpoints"     // http endpoints; away from loopback, unless the provider serves https (9.3)
	DiscoveryNoEndSession     = "discovery-no-end-session"     // no end_session_endpoint (8.2)
	DiscoveryNoRevocation     = "discovery-no-revocation"      // no revocation_endpoint
	DiscoveryNoUserInfo       = "discovery-no-userinfo"        // no userinfo_endpoint
	DiscoveryAlgNone          = "discovery-alg-none"           // none and HS256 among the algorithms (3.1)
	DiscoveryClaimsText       = "discovery-claims-text"        // claims_supported is "sub" (F4.3)
	DiscoveryScopesNull       = "discovery-scopes-null"        // scopes_supported is null (F4.3)
	DiscoveryEndpointOdd      = "discovery-endpoint-odd"       // an unknown endpoint is 42 (F4.3)
	DiscoveryEndRelative      = "discovery-end-relative"       // end_session_endpoint is a path (F4.3)
	DiscoveryEndHTTP          = "discovery-end-http"           // end_session_endpoint is http, away from loopback (F4.3)
	DiscoveryMark             = "discovery-mark"               // a byte order mark before the JSON (F4.4)
	DiscoveryRedirect         = "discovery-redirect"           // a redirect within the origin, once (F7.1)
	DiscoveryAuthBoth         = "discovery-auth-both"          // both ways to authenticate a client, whatever it is registered for (F7.3)
	DiscoveryHang             = "discovery-hang"               // no answer (9.2)
	DiscoveryTrickle          = "discovery-trickle"            // a byte a second (9.2)
	DiscoveryEndless          = "discovery-endless"            // a body without an end (9.2)
	DiscoveryGzipBomb         = "discovery-gzip-bomb"          // a small body that unpacks to a gigabyte (9.2)
)

// Faults of the signing keys.
const (
	Keys500      = "keys-500"       // 500 (4.4)
	KeysEmpty    = "keys-empty"     // no key
	KeysGarbage  = "keys-garbage"   // 200 and no JSON
	KeysReversed = "keys-reversed"  // the current key last, not first: no harm (P-kid-absent-multiple-jwks)
	Keys10000    = "keys-10000"     // ten thousand foreign keys before the right ones, in less than 1 MiB (9.2)
	KeysMark     = "keys-mark"      // a byte order mark before the JSON (F4.4)
	KeysRedirect = "keys-redirect"  // a redirect within the origin, once (F7.1)
	KeysAlgRSA   = "keys-alg-rsa"   // alg is "RSA" (F4.7)
	KeysUseCaps  = "keys-use-caps"  // use is "SIG" (F4.7)
	KeysIDNumber = "keys-id-number" // kid is 42, and "42" in ID tokens (F4.7)
	KeysPadded   = "keys-padded"    // n with base64's padding (F4.7)
	KeysOpsText  = "keys-ops-text"  // key_ops is "verify" (F4.7)
	KeysUnknown  = "keys-unknown"   // another key, of an unknown type (F4.7)
	KeysHang     = "keys-hang"      // no answer (9.2)
	KeysEndless  = "keys-endless"   // a body without an end (9.2)
	KeysGzipBomb = "keys-gzip-bomb" // a small body that unpacks to a gigabyte (9.2)
)

// Faults of signing out.
const (
	Revocation500          = "revocation-500"            // 500 (8.2)
	RevocationHang         = "revocation-hang"           // no answer (8.2)
	RevocationRedirect     = "revocation-redirect"       // 307 to the same endpoint (8.2, 9.3)
	EndSessionStateWrong   = "end-session-state-wrong"   // another state comes back (P-rp-init-logout-other-state)
	EndSessionStateMissing = "end-session-state-missing" // no state comes back (P-rp-init-logout-no-state)
)

// Faults of logout tokens.
const (
	LogoutTokenAlgNone         = "logout-token-alg-none"          // not signed (P-rp-backchannel…-alg-none)
	LogoutTokenOtherAlgorithm  = "logout-token-other-algorithm"   // signed with a published key of another algorithm (…-wrong-alg)
	LogoutTokenSignature       = "logout-token-signature"         // one bit of the signature changed
	LogoutTokenIssuerWrong     = "logout-token-issuer-wrong"      // iss of another provider (…-wrong-iss)
	LogoutTokenAudienceWrong   = "logout-token-audience-wrong"    // aud of another client (…-wrong-aud)
	LogoutTokenNoEvents        = "logout-token-no-events"         // no events (…-no-event)
	LogoutTokenEventWrong      = "logout-token-event-wrong"       // another event (…-wrong-event)
	LogoutTokenEventsNull      = "logout-token-events-null"       // events is null (8.3)
	LogoutTokenEventsText      = "logout-token-events-text"       // events is text (8.3)
	LogoutTokenEventsArray     = "logout-token-events-array"      // events is an array (8.3)
	LogoutTokenNonce           = "logout-token-nonce"             // a nonce (…-with-nonce)
	LogoutTokenIDMissing       = "logout-token-id-missing"        // no jti
	LogoutTokenIssuedAtOld     = "logout-token-issued-at-old"     // iat ten minutes ago, and no exp (8.3)
	LogoutTokenIssuedAtAhead   = "logout-token-issued-at-ahead"   // iat ten minutes ahead (8.3)
	LogoutTokenIssuedAtMissing = "logout-token-issued-at-missing" // no iat (8.3)
	LogoutTokenExpired         = "logout-token-expired"           // exp ten minutes ago
	LogoutTokenExpiryMissing   = "logout-token-expiry-missing"    // no exp: no harm, as at Logto 1.37 (8.3)
	LogoutTokenAudienceExtra   = "logout-token-audience-extra"    // aud names another client besides this one: no harm (F6.2)
	LogoutTokenExtraClaim      = "logout-token-extra-claim"       // an unknown claim: no harm (P-rp-backchannel-rpinitlogout)
	LogoutTokenNoSubject       = "logout-token-no-subject"        // neither sub nor sid
)

// Faults of Logto's webhooks.
const (
	WebhookLost      = "webhook-lost"      // it is not sent, and not sent again
	WebhookSignature = "webhook-signature" // signed with another key
	WebhookLate      = "webhook-late"      // created eleven minutes ago, as one that was recorded and sent again
)
