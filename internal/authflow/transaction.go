package authflow

import (
	"crypto/rand"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Lifetime is how long a person has to sign in at the provider. Logto waits an hour.
const Lifetime = time.Hour

// Transaction is one sign-in under way in one browser, from the authorization
// request until the callback.
type Transaction struct {
	// The caller may set these before Client.Start.

	ReturnTo string `json:",omitzero"` // a path; empty for the default
	Foreign  bool   `json:",omitzero"` // another site sent the person here
	// Start is the address of the route or page that began the sign-in; see Again. If it
	// is a route, Route is true, and the address has no return_to.
	Start string `json:",omitzero"`
	Route bool   `json:",omitzero"`
	// Asked is what the query asks of the authentication besides what the route
	// demands, as a guard's redirect does.
	Asked Demand `json:",omitzero"`
	// Subject is the sub that the ID token must have, for a step-up of a person who
	// is signed in; empty if it may have any.
	Subject string `json:",omitzero"`
	// Hint follows the state in the request, if it is not empty; see Transactions.Hint.
	Hint string `json:"-"`
	// Client.Start sets the others.

	State    string `json:"-"` // it is in the cookie's name
	Nonce    string // must be in the ID token
	Verifier string // https://www.rfc-editor.org/rfc/rfc7636#section-4.1
	Began    time.Time
	Silent   bool `json:",omitzero"` // the provider was asked to show nothing
	Demand        // what the route or page demands of the authentication

	// Transactions sets these: the provider has let the sign-in expire, and it is begun
	// once more; or this is such a second sign-in.
	Expired, Repeated bool `json:",omitzero"`
}

// Again returns the address that begins the sign-in once more: the same route or page,
// since another route may demand less, with the same place to return to.
func (tx *Transaction) Again() string {
	if !tx.Route || tx.ReturnTo == "" {
		return tx.Start
	}
	joint := "?"
	if strings.Contains(tx.Start, "?") {
		joint = "&"
	}
	return tx.Start + joint + "return_to=" + url.QueryEscape(tx.ReturnTo)
}

// AgainAs returns the address at which another person can begin the sign-in once more; ""
// if a page of the application began it, which has its own options.
func (tx *Transaction) AgainAs() string {
	if !tx.Route {
		return ""
	}
	other := *tx
	if u, err := url.Parse(tx.Start); err == nil && !slices.Contains(u.Query()[promptName], login) {
		joint := "?"
		if u.RawQuery != "" {
			joint = "&"
		}
		other.Start += joint + promptName + "=" + login
	}
	return other.Again()
}

// WithoutReturnTo returns the address of a route without the parameters of its query that
// say where to return to, for Start.
func WithoutReturnTo(address string) string {
	path, query, _ := strings.Cut(address, "?")
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); pair != "" && (err != nil || name != "return_to" && name != "target_link_uri") {
			kept = append(kept, pair)
		}
	}
	if len(kept) == 0 {
		return path
	}
	return path + "?" + strings.Join(kept, "&")
}

func (tx *Transaction) begin(req *Request, now time.Time) {
	tx.State = rand.Text()
	tx.Nonce = rand.Text()
	tx.Verifier = oauth2.GenerateVerifier()
	tx.Began = now.UTC().Truncate(time.Millisecond)
	tx.Silent = req.Silent()
	tx.Demand = req.Demand
}

// Note is what shared state keeps of a sign-in that has finished, for a reload of the
// callback.
type Note struct {
	// Subject is the person who has signed in. To other browsers a note tells nothing:
	// the address of a callback is in histories and in the logs of proxies.
	Subject string
	// ReturnTo is where the person goes on. A long one is not kept.
	ReturnTo string `json:",omitzero"`
	// Unmet says that the authentication was not what the query asked for.
	Unmet bool `json:",omitzero"`
}

// maxNote is how long a ReturnTo may be that a Note keeps.
const maxNote = 256

// Encode returns the note in the form that shared state keeps.
func (n Note) Encode() []byte {
	if len(n.ReturnTo) > maxNote {
		n.ReturnTo = ""
	}
	b, _ := json.Marshal(n) // strings can always be encoded
	return b
}

// ReadNote returns the note that Encode has encoded.
func ReadNote(b []byte) Note {
	var n Note
	_ = json.Unmarshal(b, &n) // if it is none, nothing is known
	return n
}
