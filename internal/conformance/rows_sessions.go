package main

func refreshed(id, does, here string, names ...string) row {
	return row{id, does, here, in("TestCasesRefresh", names...)}
}

const (
	stands = "The session stands with the tokens it has; an event; the next try waits, two seconds at first."
	ended  = "The session is ended, and what was received is revoked."
)

var refresh = []row{
	refreshed("4.1", "1,000 requests at once with one session whose access token is due, or has expired.", "One refresh; who has a token that is still good does not wait.",
		"4.1 a thousand requests at once with a token", "4.1 who has a token that is still good"),
	{"4.1", "The same over four replicas, or over two with Redis.", "One refresh.",
		append(in("TestCasesRefresh", "4.1 a thousand requests at once over four replicas"), within("redisstore", ".", "TestTwoReplicas")...)},
	refreshed("4.1", "Tokens for resources and organizations are asked for at the moment of the refresh, at two replicas.", "Each kind is fetched once, and never two token requests of one session at once.",
		"4.1 a session's tokens for all audiences"),
	refreshed("4.2", "A request still carries the old cookie after the refresh.", "Served with the new tokens; the old refresh token is not used again.", "4.2 an old cookie"),
	refreshed("4.2", "The new cookie never arrives, twice in a row, and the browser comes back an hour later.", "The same.", "4.2 the new cookie never arrives"),
	{"4.2", "The old cookie comes to another process.", "The same with a common Config.Shared. Without one, that process uses the old refresh token, and where tokens rotate the session ends there.",
		in("TestCasesStores", "4.2 the cookie of before a refresh")},
	refreshed("4.3", "A cookie is shown whose successor the browser has shown and refreshed.", "Not signed in; an event; its refresh token is never sent.", "4.3"),
	refreshed("4.4", "The answer has no new refresh token; no ID token; an ID token without nonce; or keys cannot be had.", "Refreshed: the old refresh token stays, the old claims stay.",
		"4.4 no new refresh token", "4.4 no ID token", "4.4 no nonce", "4.4 keys not to be had"),
	refreshed("4.4", "The new ID token has a wrong signature or none, or another issuer, person, client or nonce.", ended, "4.4 an ID token"),
	checkedTo("4.5", "invalid_grant; with Config.Issuer also a 400 that is empty or says invalid_request.", "The session is ended.",
		"4.5 invalid_grant", "4.5 an empty 400, any other provider", "4.5 invalid_request, any other provider"),
	refreshed("4.5", "invalid_client, “client secret has expired”, 403, invalid_target, invalid_scope; at Logto also a 400 that is empty or says invalid_request.", stands,
		"4.5 invalid_client", "4.5 400 client secret has expired", "4.5 403", "4.5 invalid_target", "4.5 invalid_scope", "4.5 an empty 400, Logto", "4.5 invalid_request, Logto"),
	refreshed("4.5", "429, 500, a page, garbage, a reset, a time-out.", stands+" Another person's session does not wait.",
		"4.5 429", "4.5 500", "4.5 a page", "4.5 garbage", "4.5 a reset", "4.5 a time-out", "4.5 after a failure it waits", "4.5 one person's failure"),
	refreshed("4.6", "The client goes away in the middle of the refresh.", "The rotated token is kept.", "4.6 the client goes away"),
	refreshed("4.6", "Shared state fails while the result is written, or the lock released.", "It still reaches the cookie, and this process's other requests. Without a lock nothing is sent, and the session stands.",
		"4.6 it still reaches the cookie", "4.6 what could not be written", "4.6 without a lock"),
	{"4.7", "A sign-out during a refresh, on another replica, at every step of it.", "It stays signed out; what the refresh received is revoked.",
		append(in("TestCasesRefresh", "4.7"), proof{".", "internal/refresh", "TestASignOutWinsInEveryOrder"}, proof{".", "internal/refresh", "TestASignOutWinsOverTwoRefreshesInEveryOrder"})},
	{"4.8", "A replica is killed while it holds the lock.", "Another takes over after the lease, with a whole lease for itself.",
		append(in("TestCasesRefresh", "4.8"), proof{".", "internal/refresh", "TestLease"})},
	{"4.9", "The refresh is due on an image, style, script, font or the like.", "The changed session cookie is not set there, and elsewhere only with private, no-store.",
		append(in("TestCasesRefresh", "4.9"), within(".", "internal/requestkind", "TestCases", "4.9")...)},
}

// checkedTo is refreshed, with what internal/provider makes of each refusal.
func checkedTo(id, does, here string, names ...string) row {
	return checked(refreshed(id, does, here, names...), "4.5 refusals")
}

func session(id, does, here string, names ...string) row {
	return row{id, does, here, in("TestCasesSessions", names...)}
}

func onRedis(r row, names ...string) row {
	r.proofs = append(r.proofs, within("internal/interop", ".", "TestCasesStoresOnRedis", names...)...)
	return r
}

func store(id, does, here string, names ...string) row {
	return row{id, does, here, in("TestCasesStores", names...)}
}

func broken(id, does, here string, names ...string) row {
	return row{id, does, here, in("TestCasesBroken", names...)}
}

func (r row) and(more ...proof) row {
	r.proofs = append(r.proofs, more...)
	return r
}

var sessions = []row{
	session("5.1", "The same person, or another, signs in with a browser in which somebody is signed in.", "A new session; the old cookie is dead in every store.",
		"5.1 another person signs in", "5.1 the ID changes"),
	onRedis(session("5.1", "An attacker plants their own session's cookie, or a store's cookie without a session, before the victim signs in.", "The attacker's copy reads nothing afterwards.",
		"5.1 a planted"), "5.1").and(within("redisstore", ".", "TestTwoReplicas")...),
	session("5.2", "Looks at every attribute of every cookie, set and cleared, on https and on loopback http.", "As documented: HttpOnly, SameSite=Lax, Path=/, no Domain; __Host- and Secure on https.", "5.2"),
	session("5.3", "Flips a bit at every byte of a session, or cuts it at every length.", "Not signed in; never 500.", "5.3 a bit flip").and(within(".", "internal/seal", "TestCases", "5.3")...),
	session("5.3", "Brings a session of another key, cookie name, issuer or client.", "Not signed in.", "5.3 another key"),
	session("5.4", "Rotates keys in two deployments.", "The old key opens, the new one seals, a removed one does not open.", "5.4").and(within(".", "internal/seal", "TestCases", "5.4")...),
	session("5.5", "Chunks missing, reordered, doubled, of two generations, out of range; one name twice, in either order.", "The right session or none, never a mixture.", "5.5 two cookies").
		and(within(".", "internal/cookie", "TestCases", "5.5")...),
	session("5.5", "A session shrinks from two cookies to one.", "The second is deleted.", "5.5 a session that shrinks"),
	session("5.6", "Sends up to 16 KB of claims.", "The access token is left out, then the ID token's header and signature; then the sign-in fails with an error that names the way out.", "5.6 claims grow", "5.6 an access token"),
	session("5.6", "Sends a Cookie header of 1 MB.", "Bounded work; not signed in, or the session that is in it.", "5.6 a Cookie header").and(within(".", "internal/cookie", "TestCasesOfSize", "5.6")...),
	session("5.7", "Comes a second before, at, and after the idle time-out and the lifetime; sets the clock back.", "Judged to the second, by the last use that was written.", "5.7"),
	{"5.8", "Keeps a copy of a cookie from before a sign-out or a back-channel logout.", "Dead afterwards; a new sign-in of the same person works.",
		append(in("TestCasesSignOut", "5.8"), in("TestCasesBackChannel", "5.8")...)},
	onRedis(store("5.8", "Brings that copy to another process.", "Dead with a common Config.Shared. Without one, the other process knows only what a server-side store has lost: a copy lives on there, after a sign-out until its next refresh.", "5.8"), "5.8").and(within("redisstore", ".", "TestTwoReplicas")...),
	onRedis(broken("5.9", "Store or shared state fails.", "503; nobody is let in or signed in, and who was signed in stays so.",
		"5.9 a request is neither", "5.9 a sign-in does not begin", "5.9 nobody is signed in", "5.9 shared state that gives", "5.9 use that cannot be written"),
		"5.9 a server").and(in("TestCasesStores", "5.9")...),
	onRedis(broken("5.9", "Brings a forged cookie to every kind of store.", "Not signed in; it is no error of the store.", "5.9 a forged cookie"), "5.9 a forged cookie"),
	refreshed("5.9", "Copies a sealed value of shared state to another key.", "No session.", "5.9 a successor that was copied"),
	onRedis(session("5.10", "Keeps sessions in cookies, CookieStore, FilesystemStore, redistore or redisstore.", "A whole session works in each; one that is too large is a clear error; server-side stores take 16 KB of claims.", "5.10"), "5.10").
		and(in("TestCasesStores", "5.10")...),
	session("5.11", "Puts two Auths with the same keys on one host, nested either way.", "No session, transaction or guard of one is good for the other.", "5.11"),
	onRedis(session("5.12", "Searches cookies, files and Redis for tokens, with base64 and gzip undone.", "None is found; the search finds one that is there.", "5.12"), "5.12"),
}
