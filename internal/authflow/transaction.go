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
	// These are the caller's to set before Client.Start.

	// ReturnTo is the path to go to afterwards; empty for the default.
	ReturnTo string `json:",omitzero"`
	// Foreign says that another site sent the person here.
	Foreign bool `json:",omitzero"`
	// Demanded says that the query has asked for more than the route, as a guard does
	// that wants a step-up.
	Demanded bool `json:",omitzero"`
	// Subject is who must answer, for a step-up of a person who is signed in; empty
	// if anyone may.
	Subject string `json:",omitzero"`
	// Repeated says that this sign-in takes the place of one that came back without
	// its cookies.
	Repeated bool `json:"-"`

	// Client.Start sets the others.

	// State comes back from the provider.
	State string `json:"-"` // it is in the cookie's name
	// Nonce must be in the ID token.
	Nonce string
	// Verifier is the code verifier: https://www.rfc-editor.org/rfc/rfc7636#section-4.1
	Verifier string
	Began    time.Time
	// Silent says that the provider was asked to show nothing.
	Silent bool `json:",omitzero"`
	Demand
}

// A state begins with one of these, because it comes back even where cookies are
// blocked.
const (
	once     = "1"
	repeated = "2"
)

// Repeated reports whether a state is that of a repeated transaction. Anyone can
// make such a state; the only effect is a page that explains, where the sign-in
// would have been repeated.
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

// Note returns what to keep in shared state of where a finished sign-in led, for a
// reload of its callback. Anyone can make such notes, so they are short: a reload
// of a sign-in with a longer ReturnTo leads to the default.
func (tx *Transaction) Note() []byte {
	if len(tx.ReturnTo) > 256 {
		return nil
	}
	return []byte(tx.ReturnTo)
}
