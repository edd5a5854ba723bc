// Package authflow is one sign-in: the authorization request with which a browser
// leaves for the provider, and the authorization response with which it comes
// back.
//
//	req := authflow.Request{FirstScreen: "register", UILocales: []string{"ko"}}
//	if err := req.Check(true); err != nil {
//		return err // every mistake, each with its option's name
//	}
//
// Requests are checked before a browser leaves the application, because a mistake
// is not reported afterwards: when one of its parameters has a wrong value, Logto
// silently drops all of them, and the person meets the plain sign-in page. Some
// values come from a request at run time (most often a login hint); the same check
// bounds them, and keeps control characters out.
//
// Errors quote and shorten what is wrong where that helps: screens, prompts,
// locales, names. They never repeat hints, e-mail addresses, one-time tokens or the
// values of extra parameters, which may be personal or secret.
//
// It is not checked whether a connector, an organization, a locale or an
// authentication context exists at the provider.
package authflow
