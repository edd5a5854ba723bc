package main

var returnTo = []row{
	{"6", "Names another site in any of the ways that browsers accept, in a query, in target_link_uri, in HX-Current-URL, at a guard or in the program.",
		"The person arrives at the application's default page.", append(in("TestCasesReturnTo", "6"),
			within(".", "internal/returnto", "TestCases", "6 off-site values", "6 another origin's URL")...)},
	{"6", "Names a route of the sign-in itself, however encoded.", "The default page; no loop.", within(".", "internal/returnto", "TestCases", "6 routes of the sign-in")},
	{"6", "Tries to split the Location header.", "The default page, and one header.", within(".", "internal/returnto", "TestCases", "6 headers are not split", "6 the Location header")},
	{"6", "Names one of thousands of addresses that are put together from prefixes, slashes, backslashes, control characters, user names and encodings.", "What is followed leads to this application for the URL parser of browsers, and to none of its routes.",
		append(within("internal/interop", ".", "TestReturnToForTheParserOfBrowsers"), within("internal/interop", ".", "TestReturnToOfARealSignInForTheParserOfBrowsers")...)},
	{"6", "Names a page of the application.", "Kept to the byte.", within(".", "internal/returnto", "TestCases", "6 everything else")},
}

func refused(id, does, here string, function string, names ...string) row {
	return row{id, does, here, in(function, names...)}
}

var refusals = []row{
	refused("7.1", "Opens a guarded page by navigating, not signed in: with no session, a forged one, one twice, another application's, or one that was signed out.", "303 to the sign-in, with return_to.",
		"TestCasesRefusals", "7.1 a navigation").and(within(".", "internal/requestkind", "TestCases", "7.1 a page navigation")...),
	refused("7.1", "Sends a form after the session is over.", "401, a page with a way to sign in.", "TestCasesRefusals", "7.1 a form").and(within(".", "internal/requestkind", "TestCases", "7.1 a form")...),
	refused("7.1", "HTMX.", "401 with HX-Redirect.", "TestCasesRefusals", "7.1 htmx").and(within(".", "internal/requestkind", "TestCases", "7.1 HTMX")...),
	refused("7.1", "fetch, XHR, JSON, an event stream, a WebSocket, a prefetch, a prerendering, a frame, an image, other methods, a program.", "401, WWW-Authenticate and problem+json.", "TestCasesRefusals",
		"7.1 fetch", "7.1 XHR", "7.1 JSON", "7.1 an event stream", "7.1 a WebSocket", "7.1 a prefetch", "7.1 a prerendering", "7.1 an old prefetch", "7.1 a frame", "7.1 an image",
		"7.1 OPTIONS", "7.1 PUT", "7.1 DELETE", "7.1 a program").and(within(".", "internal/requestkind", "TestCases", "7.1 everything else")...).
		and(within(".", "internal/page", "TestCases", "7.1 a refusal to a program")...),
	refused("7.1", "HEAD.", "401 without a body.", "TestCasesRefusals", "7.1 HEAD").and(within(".", "internal/page", "TestCases", "7.1 no body")...),
	refused("7.2", "Every refusal above.", "The protected handler is never called, and not a byte of it is sent.", "TestCasesRefused", "7.2"),
	refused("7.3", "Claims things in Accept, User-Agent, X-Forwarded-*, X-Original-* and other headers, in fragments, queries and paths.", "The decision to let in is the same for all.", "TestCasesDecision", "7.3"),
	refused("7.4", "Is signed in, and a rule is not met.", "403; no new sign-in; the session stands.", "TestCasesUnmet", "7.4 an unmet rule", "7.4 a rule of one's own"),
	refused("7.4", "A step-up is not met.", "A new sign-in, for a program 401; 403 from the callback if it did not help.", "TestCasesUnmet", "7.4 an unmet age", "7.4 an unmet class", "7.4 a step-up"),
	refused("7.5", "Looks for what caches may keep.", "no-store with every cookie and behind every guard, unless the handler chose its own; Vary: Cookie.", "TestCasesNotForCaches", "7.5"),
	refused("7.5", "Frames, sniffs or follows the package's own pages.", "frame-ancestors 'none', nosniff, Referrer-Policy: no-referrer.", "TestCasesOwnPages", "7.5").and(within(".", "internal/page", "TestCases", "7.5")...),
}

func signedOut(does, here string, names ...string) row {
	return row{"8.1", does, here, in("TestCasesSignOut", names...)}
}

func told(does, here string, names ...string) row {
	return row{"8.3", does, here, in("TestCasesBackChannel", names...)}
}

const refused400 = "400; the session stands."

var signingOut = []row{
	signedOut("GET from an image, a frame, another site, a mail, a prefetch or prerender; a cross-site form.", "Nothing ends.", "8.1 nothing ends").and(within(".", "internal/requestkind", "TestCases", "8.1")...),
	signedOut("A link or button of the application, also behind a proxy that rewrites Host.", "The session is ended.", "8.1 it ends", "8.1 who is not signed in"),
	{"8.2", "Is down or fails at sign-out, has no end_session_endpoint or no revocation_endpoint; its revocation fails, hangs, or redirects.",
		"The session here is ended first, within seconds, and the person is back in the application; a redirect is not followed.",
		in("TestCasesSignOut", "8.2 ended and back", "8.2 the local session ends", "8.2 BeginSignOut tells")},
	{"8.2", "Store or shared state fails at sign-out.", "The browser's cookie is cleared, the refresh token revoked if the session could be read, and a 503 page says that copies may live on.", in("TestCasesSignOut", "8.2 this browser is signed out")},
	told("A logout token with sub alone.", "200; every session of the person is ended.", "8.3 sub only"),
	told("A logout token with sid, or with both.", "200; that one of three sessions is ended.", "8.3 sid only", "8.3 sid and sub"),
	told("Another tenant's logout token with our sid; a sid that nobody has.", "The session here stands: 200 for a sid that is unknown, 400 for a token of another issuer.", "8.3 another tenant's sid", "8.3 an unknown sid"),
	told("The same jti twice.", "200 and nothing more.", "8.3 jti twice"),
	told("Keys or shared state are not to be had.", "503; the token works afterwards.", "8.3 keys not to be had", "8.3 shared state not to be had"),
	verified(row{id: "8.3", does: "Keys are not to be had, in other ways.", here: "Said to be a passing trouble, which becomes 503."}, "8.3 keys not to be had"),
	told("iat is old, missing or ahead; exp is past.", refused400, "8.3 iat", "8.3 no iat", "8.3 exp in the past"),
	told("No exp.", "Accepted within two minutes of iat.", "8.3 no exp"),
	verified(told("events is null, text, or an array; no jti; neither sub nor sid; a changed signature.", refused400,
		"8.3 events", "8.3 no jti", "8.3 neither sub nor sid", "8.3 a changed signature"), "8.3 claims of logout tokens", "8.3 forged logout tokens"),
	told("A body of 1 MB; JSON; two tokens; an ID token; a GET.", "400, and 405 for the GET; the session stands.", "8.3 what is no logout request"),
	told("It arrives before the callback has finished.", "The sign-in is rejected, 400.", "8.3 arriving before"),
}
