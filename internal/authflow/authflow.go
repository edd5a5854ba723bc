// Package authflow implements one sign-in by the authorization code flow: the
// authorization request that sends a browser to the provider, the transaction that
// the browser keeps meanwhile, and the authorization response that it brings back.
//
//	// A route that starts sign-ins. Its request has passed Request.Check.
//	req, tx, err := client.FromQuery(r.URL.Query(), request, "/")
//	location, err := client.Start(tx, req, metadata)
//	transactions.Keep(w, r, tx)
//	returnto.Location(w, location, http.StatusSeeOther)
//
//	// The callback.
//	response, err := authflow.ParseResponse(r.URL.RawQuery)
//	tx, err := transactions.Find(r, response.State)
//	err = response.CheckIssuer(client.Issuer, issSupported)
//	transactions.Finish(w, response.State, false)
//
// The caller lets each state be used once, redeems the code with tx.Verifier,
// and checks the ID token against tx: nonce, max_age, acr and subject.
//
// A request is checked before the browser leaves, because Logto does not report
// mistakes: if one of its own parameters has a wrong value, it ignores all of them,
// and it never states the class of an authentication (acr) that it is asked for.
// Whether a connector, an organization, a locale or an authentication context
// exists at the provider is not checked.
//
// Errors quote screens, prompts, classes, locales, connectors, organizations and
// names, cut short. They never repeat values that may be personal or secret: hints,
// e-mail addresses, one-time tokens, and the values of extra parameters.
package authflow
