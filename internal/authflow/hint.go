package authflow

import "time"

// hint is what the state of a request tells the callback if the browser may be at
// another address of the application than BaseURL: its cookies stay there, and the
// callback would not know where the person was going. It is sealed, since the provider
// need not know that, and only for a link in a page.
type hint struct {
	ReturnTo string `json:",omitzero"`
	Until    time.Time
}

// hintName is no cookie's name, so that no hint is good as a cookie.
const hintName = "hint"

// Hint returns the hint for a transaction, for Transaction.Hint. A long ReturnTo is left
// out.
func (t *Transactions) Hint(returnTo string) string {
	if len(returnTo) > maxNote {
		returnTo = ""
	}
	return hintMark + t.seal(hintName, hint{returnTo, t.now().UTC().Add(Lifetime).Truncate(time.Second)})
}

// hintMark is between state and hint.
const hintMark = "."

// ReadHint returns the ReturnTo of a hint, and whether it is one.
func (t *Transactions) ReadHint(value string) (returnTo string, ok bool) {
	var h hint
	if value == "" || t.unseal(hintName, value, &h) != nil || !t.now().Before(h.Until) {
		return "", false
	}
	return h.ReturnTo, true
}
