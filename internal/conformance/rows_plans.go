package main

// The plans of the OpenID Foundation's conformance suite.

func module(id, does, here string, names ...string) row {
	return row{id, does, here, in("TestConformance", append([]string{id}, names...)...)}
}

var basic = []row{
	module("P", "Everything right.", "Signed in; userinfo is fetched once and merged."),
	module("P-invalid-iss", "The ID token's iss is another provider's.", "Rejected, 502."),
	module("P-invalid-aud", "The ID token's aud is another client's.", "Rejected, 502."),
	module("P-nonce-invalid", "The ID token has another nonce, or none.", "Rejected, 502.", "P-nonce-invalid because there is none"),
	module("P-missing-sub", "The ID token has no sub.", "Rejected, 502."),
	module("P-missing-iat", "The ID token has no iat.", "Rejected, 502."),
	module("P-missing-aud", "The ID token has no aud.", "Rejected, 502."),
	module("P-kid-absent-single-jwks", "The ID token names no key; the provider publishes one.", "Signed in: the one key that fits is tried."),
	module("P-kid-absent-multiple-jwks", "The ID token names no key; the provider publishes two of its algorithm, the right one last.",
		"Signed in: each that fits is tried. A signature by none of them is rejected, 502.",
		"P-kid-absent-multiple-jwks with a signature by none of them"),
	module("P-idtoken-sig-rs256", "The ID token is signed with RS256.", "Signed in."),
	module("P-idtoken-sig-none", "The ID token is not signed, also where the metadata list none.", "Rejected, 502.",
		"P-idtoken-sig-none from a provider that lists none"),
	module("P-invalid-sig-rs256", "One bit of an RS256 signature is changed.", "Rejected, 502."),
	module("P-invalid-sig-es256", "One bit of an ES256 signature is changed.", "Rejected, 502."),
	module("P-invalid-sig-hs256", "The ID token is signed with HS256, keyed with the RSA public key.", "Rejected, 502."),
	module("P-userinfo-invalid-sub", "Userinfo is somebody else's.", "Rejected, 502; the claims are dropped."),
	module("P-scope-userinfo-claims", "Delivers profile, email, phone and address, which were asked for.", "Signed in, with their claims."),
	module("P-client-secret-basic", "Takes client_secret_basic only.", "Signed in; no secret in any form."),
	module("P-userinfo-bearer-header", "Watches how userinfo is asked for.", "The access token is sent in the Authorization header alone."),
}

var config = []row{
	module("P-discovery-openid-config", "Has its endpoints at random paths.", "Every endpoint is found: sign-in, userinfo, refresh, revocation, sign-out."),
	module("P-discovery-jwks-uri-keys", "Has its keys at a random path.", "Signed in; keys are fetched once, from there."),
	module("P-discovery-issuer-mismatch", "The metadata are another issuer's: another URL, one slash more, or the whole document of another provider.",
		"503; nobody is sent to an authorization endpoint, and nothing to any endpoint it names.",
		"P-discovery-issuer-mismatch by a slash", "P-discovery-issuer-mismatch by the whole document of another provider"),
	module("P-signing-key-rotation-just-before-signing", "Signs the ID token with a new key, which it has just published.", "Keys are fetched once more; signed in."),
	module("P-signing-key-rotation", "Signs the ID token of a refresh with a new key.", "Keys are fetched once more; refreshed."),
}

var refreshTokens = []row{
	module("P-refresh-token", "Gives a new refresh token at each use.", "Refreshed three times with the newest; never is an old one used again."),
	module("P-refresh-token-invalid-issuer", "The refreshed ID token's iss is another provider's.",
		"The new tokens are dropped and revoked, the session is ended, copies of its cookie too."),
	module("P-refresh-token-invalid-sub", "The refreshed ID token is somebody else's.",
		"The new tokens are dropped and revoked, the session is ended, copies of its cookie too."),
}

var initiatedLogout = []row{
	module("P-rp-init-logout", "Signs the person out and sends them back.", "The session here had ended before; refresh token revoked, person back in the application."),
	module("P-rp-init-logout-other-state", "Sends them back with another state.", "The same."),
	module("P-rp-init-logout-no-state", "Sends them back without the state.", "The same."),
}

func logout(module, does, here string) row {
	id := "P-rp-backchannel-rpinitlogout" + module
	return row{id, does, here, in("TestConformanceBackChannel", id)}
}

var backChannel = []row{
	logout("", "Sends a logout token, with a claim and a parameter that nobody knows.", "200, not to be stored; her session is ended and its refresh token revoked, another person's stands."),
	logout("-alg-none", "The logout token is not signed.", "400; her session stands."),
	logout("-no-event", "The logout token has no events.", "400; her session stands."),
	logout("-with-nonce", "The logout token has a nonce.", "400; her session stands."),
	logout("-wrong-alg", "The logout token is signed with a published key of an algorithm outside of Config.Provider.SigningAlgs.", "400; her session stands."),
	logout("-wrong-aud", "The logout token is for another client.", "400; her session stands."),
	logout("-wrong-event", "The logout token is about another event.", "400; her session stands."),
	logout("-wrong-iss", "The logout token is another provider's.", "400; her session stands."),
}

var thirdParty = []row{
	module("P-3rd-party-init-login", "Another site sends the person to /sign-in with iss, target_link_uri and login_hint.",
		"A sign-in begins with the hint, and ends at the target if that is a page of the application, else at its default page. An iss of another provider, or two: 400.",
		"P-3rd-party-init-login of a foreign issuer", "P-3rd-party-init-login of two issuers"),
}

// Form post is not there yet. What a POST meets instead is row 2.5.
var formPost = []row{
	{"P-form-post", "The Basic modules, with the response sent by POST (response_mode=form_post).",
		"Responses are asked for, and taken, by GET only; a POST to the callback is 405 and uses nothing up (2.5).", nil},
	{"P-form-post-error", "An error response by POST.", "As above: 405.", nil},
}

func fapi2(module, does, here string, names ...string) row {
	id := "P-fapi2-" + module
	return row{id, does, here, in("TestConformanceFAPI", append([]string{id}, names...)...)}
}

const noUse = "Rejected, 502; the access token is not used."

var fapi = []row{
	fapi2("invalid-iss", "The ID token's iss is another provider's.", noUse),
	fapi2("invalid-missing-iss", "The ID token has no iss.", noUse),
	fapi2("invalid-aud", "The ID token's aud is another client's.", noUse),
	fapi2("invalid-secondary-aud", "The ID token has a second aud that is not trusted, without azp or with the right one.", noUse, "P-fapi2-invalid-secondary-aud with azp"),
	fapi2("invalid-missing-aud", "The ID token has no aud.", noUse),
	fapi2("invalid-null-alg", "The ID token is not signed.", noUse),
	fapi2("invalid-alternate-alg", "The ID token is signed with a published key of an algorithm outside of Config.Provider.SigningAlgs.", noUse),
	fapi2("invalid-expired-exp", "The ID token's exp was ten minutes ago.", noUse),
	fapi2("invalid-missing-exp", "The ID token has no exp.", noUse),
	fapi2("invalid-nonce", "The ID token has another nonce.", noUse),
	fapi2("invalid-missing-nonce", "The ID token has no nonce.", noUse),
	fapi2("invalid-authorization-response-iss", "The response's iss is another provider's.", "Rejected, 400, before any token request."),
	fapi2("remove-authorization-response-iss", "The response has no iss, though the metadata announce it.", "Rejected, 400, before any token request."),
	fapi2("ensure-authorization-response-with-invalid-state-fails", "The response has a state that nobody sent.", "Rejected, 400, before any token request."),
	fapi2("ensure-authorization-response-with-invalid-missing-state-fails", "The response has no state.", "Rejected, 400, before any token request."),
	fapi2("valid-aud-as-array", "The ID token's aud is a list of one.", "Signed in."),
	fapi2("token-endpoint-response-without-expires-in", "The token response has no expires_in.", "Signed in."),
	fapi2("token-type-case-insensitivity", "token_type is “bEARER”.", "Signed in."),
	{"P-fapi2-happy-path", "Demands pushed authorization requests (PAR), authentication by private_key_jwt or mutual TLS, and sender-constrained tokens (DPoP or mutual TLS).",
		"None of the three can be done, so the plan as a whole cannot be run.", nil},
}
