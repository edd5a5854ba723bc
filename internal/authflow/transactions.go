package authflow

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/seal"
)

const (
	// maxUnderWay is how many transactions one browser keeps. Each is a cookie that is
	// sent with every request until it ends.
	maxUnderWay = 5
	// maxBytes is what their cookies may take together. Proxies refuse a request whose
	// Cookie header exceeds 8 KB (nginx), and so every request while the cookies live;
	// and another site could make a browser collect the longest ones.
	maxBytes = 4 << 10
	// roomForReturnTo is how long a Cookie header may be for another cookie with a
	// long ReturnTo to fit beside it.
	roomForReturnTo = 5 << 10
	// skew is how far the clocks of two replicas may be apart.
	skew = time.Minute
)

// ErrNoTransaction means that a browser has no transaction for a state: there never
// was one, it is too old, or the cookie is not one of ours.
var ErrNoTransaction = errors.New("signin: no sign-in under way for this state: it took too long, was finished already, or was begun at another host than Config.BaseURL's")

// Transactions keeps the transactions of a browser in its cookies. It is immutable
// and safe for concurrent use.
//
// The cookies that it returns have a name, a value and a MaxAge, which is negative
// for one to be deleted. The other attributes are the caller's to add.
type Transactions struct {
	ring   *seal.Ring
	prefix string // of a transaction's cookie; the state follows
	quiet  string // the cookie of Quiet
	now    func() time.Time
}

// NewTransactions returns Transactions whose cookies begin with cookieName.
func NewTransactions(ring *seal.Ring, cookieName string, now func() time.Time) *Transactions {
	return &Transactions{ring: ring, prefix: cookieName + ".tx.", quiet: cookieName + ".quiet", now: now}
}

// Find returns the transaction that a browser has under way for a state, or
// ErrNoTransaction.
func (t *Transactions) Find(r *http.Request, state string) (*Transaction, error) {
	cookies := r.CookiesNamed(t.prefix + state)
	// Of two, someone else has set one, and there is no telling which.
	if len(cookies) != 1 {
		return nil, ErrNoTransaction
	}
	return t.open(cookies[0])
}

func (t *Transactions) open(c *http.Cookie) (*Transaction, error) {
	tx := &Transaction{}
	if t.unseal(c, tx) != nil || tx.MaxAge < 0 || tx.MaxAge%time.Second != 0 {
		return nil, ErrNoTransaction
	}
	if age := t.now().Sub(tx.Began); age > Lifetime || age < -skew {
		return nil, ErrNoTransaction
	}
	tx.State = strings.TrimPrefix(c.Name, t.prefix)
	tx.Repeated = Repeated(tx.State)
	return tx, nil
}

// Cookies returns what the answer that starts tx sets: the cookie of tx, and those
// to delete beside it. If there is too little room, tx is kept without its ReturnTo.
func (t *Transactions) Cookies(r *http.Request, tx *Transaction) []*http.Cookie {
	kept, name := *tx, t.prefix+tx.State
	own := t.seal(name, kept, Lifetime)
	if len(own.Value) > maxBytes || len(strings.Join(r.Header["Cookie"], "; ")) > roomForReturnTo {
		kept.ReturnTo = ""
		own = t.seal(name, kept, Lifetime)
	}
	return append([]*http.Cookie{own}, t.crowded(append(r.Cookies(), own))...)
}

// Remove returns the cookie that deletes a transaction.
func (t *Transactions) Remove(state string) *http.Cookie {
	return &http.Cookie{Name: t.prefix + state, MaxAge: -1}
}

// crowded returns what deletes as many of the cookies as proxies would not take:
// first those that are not transactions, then those that another site started, then
// the oldest. The last of the cookies is new. If another site started it and the
// person all the others, then it is the one to go: opening windows must not push out
// what the person has begun.
func (t *Transactions) crowded(cookies []*http.Cookie) (removed []*http.Cookie) {
	type underWay struct {
		*Transaction
		size int
	}
	var all []underWay
	total := 0
	for _, c := range cookies {
		state, ok := strings.CutPrefix(c.Name, t.prefix)
		if !ok {
			continue
		}
		tx, err := t.open(c)
		if err != nil {
			removed = append(removed, t.Remove(state))
			continue
		}
		size := len(c.Name) + len(c.Value)
		all = append(all, underWay{tx, size})
		total += size
	}
	// The sort is stable: the new one counts as the newest even if another began in
	// the same millisecond.
	slices.SortStableFunc(all, func(x, y underWay) int { return x.Began.Compare(y.Began) })
	for len(all) > maxUnderWay || len(all) > 1 && total > maxBytes {
		i := max(0, slices.IndexFunc(all, func(u underWay) bool { return u.Foreign }))
		total -= all[i].size
		removed = append(removed, t.Remove(all[i].State))
		all = slices.Delete(all, i, i+1)
	}
	return removed
}

// quietTime is how long no silent sign-in is tried after one has failed.
const quietTime = 5 * time.Minute

// Quiet returns the cookie that says that a silent sign-in has just failed. A page
// that tries one each time it is shown would send people in circles.
func (t *Transactions) Quiet() *http.Cookie {
	return t.seal(t.quiet, t.now().Add(quietTime), quietTime)
}

// IsQuiet reports whether a silent sign-in has just failed in a browser.
func (t *Transactions) IsQuiet(r *http.Request) bool {
	return slices.ContainsFunc(r.CookiesNamed(t.quiet), func(c *http.Cookie) bool {
		var until time.Time
		return t.unseal(c, &until) == nil && t.now().Before(until)
	})
}

// seal returns the cookie that holds v.
func (t *Transactions) seal(name string, v any, life time.Duration) *http.Cookie {
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false) // an ampersand of a return_to would take six bytes
	_ = e.Encode(v)        // fails only from the year 10000 on
	value := base64.RawURLEncoding.EncodeToString(t.ring.Box(name).Seal(nil, plain.Bytes()))
	return &http.Cookie{Name: name, Value: value, MaxAge: int(life / time.Second)}
}

// unseal reads into v what a cookie holds.
func (t *Transactions) unseal(c *http.Cookie, v any) error {
	if len(c.Value) > maxBytes {
		return ErrNoTransaction // Cookies writes none that long
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(c.Value)
	if err != nil {
		return err
	}
	plain, err := t.ring.Box(c.Name).Open(nil, sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}
