// Package document reads the JSON objects that a provider writes: its answers,
// and the headers and claims of its tokens. It also caches the two documents
// that many callers share: the provider's metadata and its keys.
//
//	keys := document.NewCache(time.Now, 0, fetchKeys)
//	got, err := keys.Get(ctx) // an *Error says when to try again
//	…
//	claims, err := document.Parse(payload)
//	if err != nil {
//		return err
//	}
//	subject, err := claims.Text("sub")
//
// All of this is outside input. Names are exact, and a document with a name twice is
// refused as a whole, since two readers could understand it differently. A provider that
// is down, or tokens signed by unknown keys, must not cause many requests.
package document
