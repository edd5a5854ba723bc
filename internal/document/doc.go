// Package document reads the JSON objects that a provider writes, strictly: its
// answers, and the headers and claims of its tokens. And it keeps those that
// many callers need: the provider's metadata and its keys.
//
//	keys := document.NewCache(time.Now, 0, fetchKeys)
//	got, err := keys.Get(ctx) // an *Error says when to ask again
//	…
//	claims, err := document.Parse(payload, "iss", "sub", "aud")
//	if err != nil {
//		return err // and no part of it is used
//	}
//	subject, err := claims.Text("sub")
//
// All of it is outside input, which two readers may understand in two ways. So
// what is ambiguous is refused as a whole. And a provider that is down, or
// tokens by unknown keys, must not turn into many requests.
package document
