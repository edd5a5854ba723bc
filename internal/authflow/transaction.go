package authflow

import (
	"crypto/rand"
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
	// Demanded says that the query asks for more than the route does, as a guard's
	// step-up does.
	Demanded bool `json:",omitzero"`
	// Subject is the sub that the ID token must have, for a step-up of a person who
	// is signed in; empty if it may have any.
	Subject string `json:",omitzero"`
	// Repeated says that this sign-in replaces one that came back without its
	// cookies.
	Repeated bool `json:"-"`

	// Client.Start sets the others.

	State    string `json:"-"` // it is in the cookie's name
	Nonce    string // must be in the ID token
	Verifier string // https://www.rfc-editor.org/rfc/rfc7636#section-4.1
	Began    time.Time
	Silent   bool `json:",omitzero"` // the provider was asked to show nothing
	Demand
}

// A state begins with one of these. Unlike a cookie, it comes back even if the
// browser blocks cookies.
const (
	once     = "1"
	repeated = "2"
)

// Repeated reports whether a state is that of a repeated transaction. A forged one
// only leads to a page that explains, instead of to a repeated sign-in.
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

// Note returns what shared state keeps for a reload of the callback: the address to
// return to. Anyone can cause such notes, so they are short: after a longer
// ReturnTo, a reload leads to the default.
func (tx *Transaction) Note() []byte {
	if len(tx.ReturnTo) > 256 {
		return nil
	}
	return []byte(tx.ReturnTo)
}
