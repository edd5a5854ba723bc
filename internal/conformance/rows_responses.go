package main

func response(id, does, here string, names ...string) row {
	return row{id, does, here, in("TestCasesCallback", names...)}
}

var responses = []row{
	response("2.1", "A response of provider A is delivered to a transaction of provider B.", "Rejected, 400, before any token request at either.",
		"2.1 a response of provider A in a transaction of provider B"),
	response("2.1", "iss is another provider's, whether the metadata announce iss or not.", "Rejected, 400, before any token request.", "2.1 iss of another provider"),
	response("2.1", "iss is missing though announced.", "Rejected, 400, before any token request.", "2.1 iss missing though announced"),
	response("2.1", "Does not announce iss, and sends the right one, or none.", "Signed in.",
		"2.1 iss that is right and not announced is accepted", "2.1 no iss from a provider that announces none is accepted"),
	{"2.1", "iss differs by a slash, by case, or altogether.", "Rejected, 400.", within(".", "internal/authflow", "TestCasesIssuer", "2.1")},
	{"2.2", "An attacker's code and state are brought to a victim's browser, which has begun nothing.", "Rejected, 400, before any token request; the victim's session stands.",
		append(in("TestCasesCallback", "2.2 attacker's code and state in a victim's browser"), within(".", "internal/authflow", "TestCasesTransaction", "2.2")...)},
	response("2.2", "A state that nobody sent, also one made to look like that of a second attempt.", "Rejected, 400, before any token request; no further attempt is begun.",
		"2.2 a state that nobody sent", "2.2 a made-up state of a second round"),
	response("2.3", "A victim's code is injected into a transaction of the attacker's own.", "Rejected, 400: the provider refuses it, since the PKCE verifier does not fit.",
		"2.3 victim's code in the attacker's transaction fails on PKCE"),
	response("2.3", "The same at a provider that ignores PKCE.", "Rejected, 502: the nonce is not the transaction's.",
		"2.3 victim's code in the attacker's transaction fails on the nonce where PKCE is not checked"),
	response("2.3", "A code that the provider does not know.", "Rejected, 400.", "2.3 a code that the provider does not know"),
	response("2.4", "A callback is brought twice, or ten times at once.", "One sign-in; the others go on to the application.",
		"2.4 a response brought twice signs in once and goes on to the application", "2.4 ten at once sign in once, and the others go on to the application"),
	{"2.4", "The same, with requests spread over two replicas with Redis.", "One sign-in; the others go on to the application.", within("redisstore", ".", "TestTwoReplicas")},
	response("2.4", "The browser keeps no cookie and the provider signs in by itself; or cookies are lost after the sign-in.", "One round, or two at the most, then a page that explains. No loop.",
		"2.4 with all cookies blocked there is one round, then a page", "2.4 with cookies lost after the sign-in there are two rounds, then a page",
		"2.4 with the session cookie alone lost there are two rounds, then a page"),
	response("2.5", "code, state, iss or error twice, iss also where none is announced.", "Rejected, 400, before any token request.",
		"2.5 code twice", "2.5 state twice", "2.5 iss twice", "2.5 error twice"),
	response("2.5", "A code and an error together; neither of them; no state.", "Rejected, 400, before any token request.",
		"2.5 code and error together", "2.5 neither code nor error", "2.5 no state"),
	response("2.5", "A code of 100 KB.", "Rejected, 400, before any token request.", "2.5 a code of 100 KB"),
	{"2.5", "Parameters of every other shape: empty, malformed, too long, beside others.", "Each once and bounded, or none of it is taken.", within(".", "internal/authflow", "TestCasesResponse", "2.5")},
	response("2.5", "The response by POST.", "405, which names GET; the same response by GET then works.", "2.5 a POST"),
	response("2.6", "Two tabs sign in at once.", "Both arrive, in either order.", "2.6 two tabs at once both work"),
	{"2.6", "200 attempts are begun and left.", "Five cookies, the newest attempts' among them.",
		append(in("TestCasesCallback", "2.6 of 200 abandoned attempts five are kept"), within(".", "internal/authflow", "TestCasesCrowded", "2.6")...)},
	{"2.6", "Another site begins attempts in a person's browser.", "They push out one another, not the person's own.",
		append(in("TestCasesCallback", "2.6 attempts that another site starts"), within(".", "internal/requestkind", "TestCases", "2.6")...)},
	{"2.7", "error or error_description with markup or CR LF.", "A refusal; nothing of it is shown, logged or made a header.",
		append(in("TestCasesCallback", "2.7 error_description with markup", "2.7 an error code with"),
			append(within(".", "internal/page", "TestCases", "2.7"), within(".", "internal/authflow", "TestCasesResponse", "2.7")...)...)},
	response("2.7", "An error response without a valid transaction.", "Rejected, 400; neither the session nor a sign-in under way is harmed.", "2.7 an error without a valid transaction"),
	response("2.8", "A transaction is ten minutes old, or older.", "Taken at ten minutes; after that rejected, 400.",
		"2.8 a transaction older than ten minutes", "2.8 a transaction of just ten minutes is accepted"),
	response("2.8", "The transaction of another Auth: other provider, client, cookie name, or keys.", "Rejected, 400, before any token request.",
		"2.8 a transaction of an Auth", "2.8 a transaction of this very Auth, as a control"),
	{"2.8", "A session cookie is renamed to a transaction, or the reverse.", "Rejected, 400; and nobody is signed in.",
		append(in("TestCasesCallback", "2.8 a session cookie renamed to a transaction", "2.8 a transaction renamed to a session"), within(".", "internal/authflow", "TestCasesTransaction", "2.8")...)},
	response("2.9", "max_age was asked for, and auth_time is missing, zero, or stale.", "Rejected, 502; a recent one is taken.", "2.9 auth_time"),
	response("2.9", "The same as the answer to a step-up; or the provider does not heed max_age.", "403 from the callback, asked once, no loop; the session stands.", "2.9 a step-up answered", "2.9 a step-up that the provider"),
	response("2.9", "Another person answers a step-up.", "403 from the callback; the session stands, and the other person's tokens are revoked.", "2.9 a step-up that another person answers"),
}

func token(id, does, here string, names ...string) row {
	return row{id, does, here, in("TestCasesTokens", names...)}
}

// checked adds tests of internal/provider, which checks what a provider answers.
func checked(r row, names ...string) row {
	return r.and(within(".", "internal/provider", "TestCases", names...)...)
}

// verified adds tests of internal/jwt, which verifies tokens.
func verified(r row, names ...string) row {
	return r.and(within(".", "internal/jwt", "TestCases", names...)...)
}

var tokens = []row{
	verified(token("3.1", "The ID token is signed with HS256, keyed with the RSA public key (PEM, DER, modulus) or with the client secret.", "Rejected, 502.", "3.1 HS256"), "3.1 forged tokens"),
	checked(verified(token("3.1", "It is signed with an algorithm that the provider does not list, or outside of Config.Provider.SigningAlgs.", "Rejected, 502.",
		"3.1 a published key of an algorithm", "3.1 an algorithm outside of SigningAlgs"), "3.1 pinned algorithms", "3.1 good tokens by every algorithm"), "3.1 pinned algorithms"),
	token("3.1", "It has a critical header that nobody knows.", "Rejected, 502.", "3.1 unknown crit"),
	verified(token("3.1", "Its header brings a key (jwk), or points to one (jku, x5u).", "The header is ignored, nothing is fetched; the signature is not by the provider, so it is rejected, 502.",
		"3.1 jwk", "3.1 jku", "3.1 x5u"), "3.1 forged key IDs"),
	token("3.1", "It is encrypted.", "Rejected, 502.", "3.1 an encrypted token"),
	verified(token("3.1", "It is signed with a published key whose use is enc.", "Rejected, 502.", "3.1 a key with use enc"), "3.1 which key may verify"),
	token("3.2", "Its issuer differs by a slash, by case, or by a port.", "Rejected, 502.", "3.2 issuer differing"),
	token("3.2", "It has an untrusted extra audience.", "Rejected, 502.", "3.2 an untrusted extra audience"),
	token("3.2", "Its azp is not the client; or it has several audiences without azp.", "Rejected, 502.", "3.2 azp not the client", "3.2 several audiences without azp"),
	token("3.2", "Its sub has 300 characters, or is not ASCII.", "Rejected, 502.", "3.2 sub"),
	token("3.2", "Its exp is text, 1e400, or missing.", "Rejected, 502.", "3.2 exp"),
	token("3.2", "Its iat is a day off, either way.", "Rejected, 502.", "3.2 iat"),
	token("3.2", "It has a claim name twice.", "Rejected, 502.", "3.2 duplicate claim names"),
	verified(row{id: "3.2", does: "Every claim with every wrong type and value.", here: "Refused where it matters, and not otherwise."}, "3.2 claims"),
	token("3.3", "Clocks differ by sixty seconds, either way; an ID token is sixty seconds past its end.", "Signed in. With a provider 61 seconds ahead, or an ID token 61 seconds past its end: rejected, 502.",
		"3.3 a provider sixty", "3.3 an ID token sixty"),
	verified(token("3.3", "Clocks differ by ten minutes, either way; an ID token is ten minutes past its end.", "Rejected, 502.", "3.3 a provider ten", "3.3 an ID token ten"), "3.3 skewed clocks"),
	token("3.4", "at_hash is another access token's.", "Rejected, 502.", "3.4 at_hash wrong"),
	token("3.4", "at_hash is right or absent; there is a c_hash.", "Signed in.", "3.4 at_hash right", "3.4 at_hash absent", "3.4 c_hash present"),
	token("3.5", "The token response has no id_token.", "Rejected, 502.", "3.5 a token response without id_token"),
	token("3.5", "token_type is “bEARER”.", "Signed in.", "3.5 token_type in odd case"),
	checked(token("3.5", "expires_in is text, 0, absent, or 300 million years.", "Signed in: text is read, 0 and none count as an hour, the absurd is bounded.", "3.5 expires_in"), "3.5 token answers"),
	token("3.6", "Userinfo has another sub, or none.", "Rejected, 502.", "3.6 userinfo of another sub", "3.6 userinfo without sub"),
	checked(token("3.6", "Userinfo has the wrong content type, is 401, or is an ID token.", "Rejected, 502.", "3.6 userinfo of the wrong content type", "3.6 userinfo refused with 401", "3.6 an ID token in place"), "3.6 userinfo"),
}

func provider(id, does, here string, names ...string) row {
	return row{id, does, here, in("TestCasesProvider", names...)}
}

var trouble = []row{
	verified(checked(provider("9.1", "Is down, or answers 500, HTML, garbage, or as another issuer, when the application starts.",
		"The application starts, whoever is signed in stays so, a sign-in is 503 with Retry-After; it recovers by itself.",
		"9.1 down at start is 503", "9.1 answering 500 at start is 503", "9.1 answering HTML at start is 503", "9.1 answering garbage at start is 503", "9.1 being another issuer at start is 503"),
		"9.1 discovery fails", "9.1 down and back", "9.1 keys fail"), "9.1 keys that are none"),
	provider("9.1", "The same, while 1,000 sign-ins are tried within a minute.", "Each is 503; the provider is asked eight times at the most.",
		"9.1 down at start makes no storm", "9.1 answering 500 at start makes no storm", "9.1 answering HTML at start makes no storm", "9.1 answering garbage at start makes no storm", "9.1 being another issuer at start makes no storm"),
	checked(row{id: "9.2", does: "Hangs before headers, or sends a byte a second.", here: "Given up after ten seconds, a revocation after three."}, "9.2 slow answers").
		and(within(".", "internal/provider", "TestCasesOfTime")...),
	checked(row{id: "9.2", does: "Sends an endless body, or a gzip bomb.", here: "Refused after 1 MiB."}, "9.2 large answers"),
	{"9.2", "Answers any request with a gigabyte: plain, as JSON, with an error status, announced, packed, or in headers.", "Refused; less than 64 MB of memory, and 32 MB received.",
		within(".", "internal/provider", "TestCasesOfMemory")},
	{"9.2", "Somebody sends a gigabyte as a logout token, a form, a query, a Cookie or an Authorization header, or headers of 64 MB where a server takes them.", "Refused, or nobody is signed in; less than 64 MB of memory beside what the server holds.",
		within(".", "internal/provider", "TestCasesOfMemoryTakenByRequests")},
	checked(row{id: "9.2", does: "Publishes 10,000 keys.", here: "None of them is used; whatever needs a key fails as it does while the provider is down."}, "9.2 10,000 keys"),
	checked(provider("9.3", "Its token or userinfo endpoint redirects.", "Rejected, 502; not followed.", "9.3 a token endpoint", "9.3 a userinfo endpoint"), "9.3 a redirecting token endpoint"),
	checked(provider("9.3", "An https issuer's metadata name http endpoints.", "503; nothing is sent to any of them.", "9.3 http endpoints"), "9.3 metadata that must not be used"),
	checked(provider("9.4", "Was given the secret s3cret+/%:&=.", "It is encoded as RFC 6749 says, for Basic, and once in a form.", "9.4 secret"), "9.4 client authentication"),
	checked(provider("9.5", "Goes wrong in many ways during the whole life of a session.", "No code, state, nonce, verifier, token, secret or cookie in logs, errors, events, headers or pages.", "9.5 canaries"), "9.5 canaries"),
	{"9.5", "The same with APIs, step-ups, logout tokens, panics and a broken shared state; sessions in cookies, and in files.", "Nor in shared state, files or cookies, in clear, base64, hex or escapes, also after gzip is undone.",
		in("TestCasesCanaries")},
}
