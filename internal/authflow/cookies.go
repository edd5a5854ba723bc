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

	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/returnto"
	"github.com/gosignin/signin/internal/seal"
)

const (
	// maxUnderWay is how many transactions one browser keeps. The browser sends
	// the cookie of each with every request until the transaction ends.
	maxUnderWay = 5
	// maxBytes limits the size of all their cookies together. nginx refuses
	// requests whose Cookie header exceeds 8 KB, so a browser with more would be
	// locked out until the cookies expire; and another site could make a browser
	// collect long ones.
	maxBytes = 4 << 10
	// maxHeader is how long the Cookie header may become with a ReturnTo. The rest of
	// what nginx lets through is for the application's own cookies.
	maxHeader = 7 << 10
	// maxLooked is how many cookies that are named like transactions are opened when
	// another begins, and maxDeleted how many an answer deletes. Another origin can
	// plant hundreds: a sibling domain, whose cookies this host cannot delete at all.
	// The transaction of a callback is found by its name, wherever it is among them.
	maxLooked, maxDeleted = 16, 8
	// maxNoted is how many cookies of the name quiet are opened, and of the name unread.
	maxNoted = 4
	// maxState is the length of a state. A longer name is not ours, and an answer that
	// deletes it would be long.
	maxState = 26
	// remembered is for how long a transaction is known that took too long, so that it
	// can be started again where it began, if the browser still has its cookie.
	remembered = 2 * Lifetime
	// skew is how far the clocks of two replicas may be apart.
	skew = time.Minute
)

// ErrNoTransaction means that a browser has no transaction for a state: it never had
// one, the transaction is too old, or the cookie is not one of ours.
var ErrNoTransaction = errors.New("signin: no sign-in under way for this state: it took too long, was finished already, or was begun at another host than Config.BaseURL's")

// Transactions keeps the transactions of a browser in sealed cookies, each named
// after its state, so that tabs do not disturb each other. A cookie renamed to
// another state does not open. Transactions is immutable and safe for concurrent
// use.
type Transactions struct {
	ring    *seal.Ring
	cookies cookie.Writer
	prefix  string // of a transaction's cookie; the state follows
	quiet   string // the cookie of SetQuiet
	unread  string // the cookie that Finish sets if it is told so
	now     func() time.Time
}

// NewTransactions returns Transactions whose cookies begin with cookieName.
func NewTransactions(ring *seal.Ring, cookies cookie.Writer, cookieName string, now func() time.Time) *Transactions {
	return &Transactions{ring: ring, cookies: cookies, prefix: cookieName + ".tx.", quiet: cookieName + ".quiet", unread: cookieName + ".unread", now: now}
}

// Find returns the transaction that a browser has under way for a state, or
// ErrNoTransaction. One that has just become too old is returned with the error, so
// that the caller knows where to start again.
func (t *Transactions) Find(r *http.Request, state string) (*Transaction, error) {
	name := t.prefix + state
	value, ok := cookie.Only(r.Header["Cookie"], name)
	if !ok { // another origin has set one of two, and nothing tells which
		return nil, ErrNoTransaction
	}
	return t.open(name, value)
}

func (t *Transactions) open(name, value string) (*Transaction, error) {
	tx := &Transaction{}
	if t.unseal(name, value, tx) != nil || tx.MaxAge < 0 || tx.MaxAge%time.Second != 0 {
		return nil, ErrNoTransaction
	}
	tx.State = strings.TrimPrefix(name, t.prefix)
	switch age := t.now().Sub(tx.Began); {
	case age > remembered || age < -skew:
		return nil, ErrNoTransaction
	case age > Lifetime:
		return tx, ErrNoTransaction
	}
	return tx, nil
}

// Twice returns the name of a transaction's cookie if a browser has two of them.
func (t *Transactions) Twice(r *http.Request, state string) (name string, twice bool) {
	name = t.prefix + state
	return name, cookie.Twice(r.Header["Cookie"], name)
}

// Newest returns the transaction of a browser that began last, or nil.
func (t *Transactions) Newest(r *http.Request) (tx *Transaction) {
	all, _ := t.underWay(r)
	for _, u := range all {
		if tx == nil || u.Began.After(tx.Began) {
			tx = u.Transaction
		}
	}
	return tx
}

// Keep sets the cookie of tx, and deletes others if there are too many. The answer
// redirects to location. If there is too little room for a long ReturnTo, in the
// browser's requests or in the answer, Keep leaves out its query, or all of it.
func (t *Transactions) Keep(w http.ResponseWriter, r *http.Request, tx *Transaction, location string) {
	redirect := cookie.Answer{}
	returnto.Location(redirect, location, http.StatusSeeOther)
	room := cookie.Budget - cookie.AnswerSize(redirect.Header(), "")
	header := cookie.Size(r.Header["Cookie"])
	all, junk := t.underWay(r)
	// Of too many cookies, most of them planted, the one that was repeated may not be
	// among those looked at. Then there is no repetition, or it could go on for ever.
	tx.Repeated = tx.Repeated || len(all)+len(junk) >= maxLooked
	for i, u := range all {
		if u.Expired && u.Again() == tx.Again() {
			tx.Foreign, tx.Repeated = u.Foreign, true
			junk, all = append([]string{t.prefix + u.State}, junk...), slices.Delete(all, i, i+1)
			break
		}
	}
	var answer cookie.Answer
	for _, target := range []string{tx.ReturnTo, returnto.WithoutQuery(tx.ReturnTo), ""} {
		kept, name := *tx, t.prefix+tx.State
		kept.ReturnTo = target
		value := t.seal(name, kept)
		answer = cookie.Answer{}
		t.cookies.Set(answer, name, value, remembered)
		t.makeRoom(answer, append(slices.Clone(all), underWay{tx, len(name) + len(value)}), junk)
		if header+len(name)+len(value) <= maxHeader && len(value) <= maxBytes && cookie.AnswerSize(answer.Header(), t.prefix) < room {
			break
		}
	}
	for _, line := range answer.Header()["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		cookie.Withdraw(w, name)
		w.Header().Add("Set-Cookie", line)
	}
}

// Repeat prepares for tx to be begun once more, since the provider has let it expire,
// and reports whether it may be: only once. The caller redirects to tx.Again.
func (t *Transactions) Repeat(w http.ResponseWriter, tx *Transaction) bool {
	if tx.Repeated || !tx.Route {
		return false
	}
	old := *tx
	old.Expired = true
	name := t.prefix + old.State
	t.cookies.Set(w, name, t.seal(name, old), repeatTime)
	return true
}

// underWay is a transaction, with the size of its cookie.
type underWay struct {
	*Transaction
	size int
}

// underWay returns the transactions of a browser, and the names of cookies that are
// named like them and do not open.
func (t *Transactions) underWay(r *http.Request) (all []underWay, junk []string) {
	cookie.Scan(r.Header["Cookie"], t.prefix, func(name, value string) bool {
		state := name[len(t.prefix):]
		if len(state) > maxState || strings.Trim(state, letters) != "" {
			return true
		}
		if tx, err := t.open(name, value); err == nil || tx != nil && tx.Expired {
			all = append(all, underWay{tx, len(name) + len(value)})
		} else {
			junk = append(junk, name)
		}
		return len(all)+len(junk) < maxLooked
	})
	return all, junk
}

// letters are the characters of a state, and lower-case ones.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Finish deletes the cookie of a transaction. unread says that the browser has signed in
// with a session cookie that could not be read, and is noted there: if the new one does
// not replace it, a redirect to a sign-in would be followed by the next forever.
func (t *Transactions) Finish(w http.ResponseWriter, state string, unread bool) {
	t.cookies.Unset(w, t.prefix+state)
	if unread {
		t.note(w, t.unread, unreadTime)
	}
}

// FinishSize returns how much of the budget of an answer Finish takes, and the redirect to
// location.
func (t *Transactions) FinishSize(state, location string, unread bool) int {
	w := cookie.Answer{}
	t.Finish(w, state, unread)
	returnto.Location(w, location, http.StatusSeeOther)
	return cookie.AnswerSize(w.Header(), "")
}

// makeRoom deletes cookies of transactions until proxies accept the rest: first those
// that another site started, then the oldest, and those that do not open. The new one
// comes last. But if another site started it, and the person all the others, it is
// deleted: a site that opens windows must not push out what the person has begun.
func (t *Transactions) makeRoom(w http.ResponseWriter, all []underWay, junk []string) {
	total := 0
	for _, u := range all {
		total += u.size
	}
	// The sort is stable: the new one counts as the newest even if another began in
	// the same millisecond.
	slices.SortStableFunc(all, func(x, y underWay) int { return x.Began.Compare(y.Began) })
	var gone []string
	for len(all) > maxUnderWay || len(all) > 1 && total > maxBytes {
		i := max(0, slices.IndexFunc(all, func(u underWay) bool { return u.Foreign }))
		total -= all[i].size
		gone = append(gone, t.prefix+all[i].State)
		all = slices.Delete(all, i, i+1)
	}
	gone = append(gone, junk...)
	for _, name := range gone[:min(len(gone), maxDeleted)] {
		t.cookies.Unset(w, name)
	}
}

// repeatTime is how long a browser may take to follow the redirect of a repetition.
const repeatTime = time.Minute

// quietTime is how long to wait after a failed silent sign-in before the next one.
const quietTime = 5 * time.Minute

// SetQuiet notes in the browser that a silent sign-in has just failed. A page that
// tries one each time it is shown would redirect people forever.
func (t *Transactions) SetQuiet(w http.ResponseWriter) {
	t.note(w, t.quiet, quietTime)
}

// unreadTime is for how long a browser is not sent to sign in again, by a redirect, if
// it goes on sending a session cookie that cannot be read. A loop takes seconds.
const unreadTime = time.Minute

// IsUnread reports whether Finish has noted that in a browser a moment ago.
func (t *Transactions) IsUnread(r *http.Request) bool {
	noted, _ := t.noted(r, t.unread)
	return noted
}

func (t *Transactions) note(w http.ResponseWriter, name string, life time.Duration) {
	t.cookies.Set(w, name, t.seal(name, t.now().Add(life)), life)
}

// IsQuiet reports whether a silent sign-in has just failed in a browser. It is true
// if that cannot be told because another origin has planted cookies, since a redirect
// could be followed by the same one forever.
func (t *Transactions) IsQuiet(r *http.Request) bool {
	noted, unclear := t.noted(r, t.quiet)
	return noted || unclear
}

func (t *Transactions) noted(r *http.Request, name string) (noted, unclear bool) {
	seen := 0
	whole := cookie.Scan(r.Header["Cookie"], name, func(found, value string) bool {
		if found != name {
			return true
		}
		var until time.Time
		noted = t.unseal(name, value, &until) == nil && t.now().Before(until)
		seen++
		return !noted && seen < maxNoted
	})
	return noted, seen == maxNoted || !whole
}

// seal returns the value of the cookie that holds v.
func (t *Transactions) seal(name string, v any) string {
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false) // an ampersand of a return_to would take six bytes
	_ = e.Encode(v)        // fails only from the year 10000 on
	return base64.RawURLEncoding.EncodeToString(t.ring.Box(name).Seal(nil, plain.Bytes()))
}

// unseal reads the value of a cookie into v.
func (t *Transactions) unseal(name, value string, v any) error {
	if len(value) > maxBytes {
		return ErrNoTransaction // Keep sets no cookie that long
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil {
		return err
	}
	plain, err := t.ring.Box(name).Open(nil, sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}
