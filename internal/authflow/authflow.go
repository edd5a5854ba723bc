// Package authflow is one sign-in of the authorization code flow: the request with
// which a browser leaves for the provider, the transaction that it keeps
// meanwhile, and the response with which it comes back.
//
//	// A route that starts sign-ins. Its request has passed Request.Check.
//	req, tx, err := client.FromQuery(r.URL.Query(), request, "/")
//	location, err := client.Start(tx, req, authorizationEndpoint, scopesSupported)
//	set(w, transactions.Cookies(r, tx)...) // with Path, Secure, HttpOnly, SameSite
//	returnto.Location(w, location, http.StatusSeeOther)
//
//	// The callback.
//	response, err := authflow.ParseResponse(r.URL.RawQuery)
//	tx, err := transactions.Find(r, response.State)
//	err = response.CheckIssuer(client.Issuer, issSupported)
//	set(w, transactions.Remove(response.State))
//
// The caller lets each state be used once, redeems the code with tx.Verifier, and
// holds the ID token against tx: nonce, max_age, acr and subject.
//
// A request is checked before a browser leaves, because a mistake is not reported
// afterwards: when one of its parameters has a wrong value, Logto silently drops
// all of them. Not checked is whether a connector, an organization, a locale or an
// authentication context exists at the provider.
//
// A transaction is in a sealed cookie named after its state. So tabs do not disturb
// each other, and to find the transaction of a response is to compare its state: a
// cookie renamed to another state does not open.
//
// Errors quote and shorten what is wrong where that helps: screens, prompts,
// locales, names. They never repeat hints, e-mail addresses, one-time tokens or the
// values of extra parameters, which may be personal or secret.
package authflow
