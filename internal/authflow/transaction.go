package authflow

import (
	"crypto/rand"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Lifetime is how long a person has to sign in at the provider.
const Lifetime = 10 * time.Minute

// Transaction is one sign-in under way in one browser, from the authorization
// request until the callback.
type Transaction struct {
	// The caller may set these before Client.Start.

	ReturnTo string `json:",omitzero"` // a path; empty for the default
	Foreign  bool   `json:",omitzero"` // another site sent the person here
	// Route is the path of the route that began the sign-in, and Page the address of
	// the application's own page that did. One of them is set. A sign-in that fails is
	// started again there and nowhere else: another route asks for something else.
	Route string `json:",omitzero"`
	Page  string `json:",omitzero"`
	// Asked is what the query asks of the authentication besides what the route
	// demands, as a guard's redirect does.
	Asked Demand `json:",omitzero"`
	// Subject is the sub that the ID token must have, for a step-up of a person who
	// is signed in; empty if it may have any.
	Subject string `json:",omitzero"`
	// Repeated says that this sign-in follows one that came back without its cookies.
	Repeated bool `json:"-"`

	// Client.Start sets the others.

	State    string `json:"-"` // it is in the cookie's name
	Nonce    string // must be in the ID token
	Verifier string // https://www.rfc-editor.org/rfc/rfc7636#section-4.1
	Began    time.Time
	Silent   bool `json:",omitzero"` // the provider was asked to show nothing
	Demand        // what the route or page demands of the authentication
}

// A state begins with one of these. Unlike a cookie, it comes back even if the
// browser blocks cookies.
const (
	once     = "1"
	repeated = "2"
)

// Repeated reports whether a state is that of a repeated transaction. A forged one
// only leads to another page.
func Repeated(state string) bool { return strings.HasPrefix(state, repeated) }

func (tx *Transaction) begin(req *Request, now time.Time) {
	tx.State = once + rand.Text()
	if tx.Repeated {
		tx.State = repeated + rand.Text()
	}
	tx.Nonce = rand.Text()
	tx.Verifier = oauth2.GenerateVerifier()
	tx.Began = now.UTC().Truncate(time.Millisecond)
	tx.Silent = req.Silent()
	tx.Demand = req.Demand
}

// note is what shared state keeps of a transaction for a reload of the callback.
type note struct {
	ReturnTo string `json:",omitzero"`
	Route    string `json:",omitzero"`
	Page     string `json:",omitzero"`
	Asked    Demand `json:",omitzero"`
}

// maxNote limits what one sign-in adds to shared state.
const maxNote = 1 << 10

// Note returns what shared state keeps for a reload of the callback: where to return
// to, and where to start again. After a long ReturnTo, a reload leads to the default.
func (tx *Transaction) Note() []byte {
	n := note{tx.ReturnTo, tx.Route, tx.Page, tx.Asked}
	if len(n.ReturnTo) > maxNote/4 {
		n.ReturnTo = ""
	}
	b, _ := json.Marshal(n) // strings and numbers can always be encoded
	if len(b) > maxNote {
		return nil
	}
	return b
}

// ReadNote returns a transaction with what [Transaction.Note] has kept of it.
func ReadNote(b []byte) *Transaction {
	var n note
	_ = json.Unmarshal(b, &n) // if there is none, or it is not one, nothing is known
	return &Transaction{ReturnTo: n.ReturnTo, Route: n.Route, Page: n.Page, Asked: n.Asked}
}

// StartURL returns the path that starts this sign-in again, with all that was asked
// of it, or "" if it is not known.
func (tx *Transaction) StartURL() string {
	if tx.Page != "" || tx.Route == "" {
		return tx.Page
	}
	return StartURL(tx.Route, tx.ReturnTo, tx.Asked)
}

// StartURL returns the address of a route that starts sign-ins, with a query for
// [Client.FromQuery].
func StartURL(route, returnTo string, asked Demand) string {
	q := url.Values{}
	asked.Set(q)
	if returnTo != "" {
		q.Set("return_to", returnTo)
	}
	if len(q) == 0 {
		return route
	}
	return route + "?" + q.Encode()
}

// WithoutCookies marks an address of [StartURL]: the sign-in before it came back
// without its cookies. If this one does too, the browser blocks them.
func WithoutCookies(start string) string {
	if strings.Contains(start, "?") {
		return start + "&" + withoutCookies + "=1"
	}
	return start + "?" + withoutCookies + "=1"
}

const withoutCookies = "without_cookies"
