// Package vault keeps sealed records: in cookies of its own, or in any gorilla
// sessions.Store.
//
// It is the one way in and out for session bytes. What it hands to a store, a
// browser, a disk or a database is sealed; what it reads from them is opened, or
// is no session. A store that is broken is an error, and never "no session".
package vault

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/seal"
)

// ErrTooLarge means that a session does not fit its store. Every other error of
// this package means that the store is broken.
var ErrTooLarge = errors.New("signin: the session is too large")

// Limits are those of a session's life, in the record and not in a cookie's
// Max-Age, which is the browser's to keep or not.
type Limits struct {
	Idle time.Duration // after it was last written as seen
	Max  time.Duration // after it was made
}

// Over reports why a session is over at a time, or "".
func (l Limits) Over(created, lastSeen, now time.Time) string {
	switch {
	case !now.Before(created.Add(l.Max)):
		return "lifetime"
	case !now.Before(lastSeen.Add(l.Idle)):
		return "idle"
	}
	return ""
}

// Expires is when a session ends unless it is used again.
func (l Limits) Expires(created, lastSeen time.Time) time.Time {
	idle, end := lastSeen.Add(l.Idle), created.Add(l.Max)
	if idle.Before(end) {
		return idle
	}
	return end
}

// Vault keeps sealed records: in cookies of its own, or in a gorilla store. It
// is safe for concurrent use.
type Vault struct {
	Limits
	// Name is that of the session cookie.
	Name    string
	jar     cookie.Jar
	box     *seal.Box
	store   sessions.Store // nil: cookies
	secure  bool
	buffers sync.Pool
}

// Buffers hold a session while it is being opened. They are used again, and
// wiped first: a token does not lie about in memory longer than it must.
type Buffers struct {
	sealed, plain []byte
	// Text is what the session was opened from; see Reopen.
	Text string
	// Joined and Keys are for the keys under which shared state is asked about
	// the session.
	Joined []byte
	Keys   [4]string
}

// New returns a Vault over a gorilla store, or over cookies if store is nil.
func New(store sessions.Store, name string, box *seal.Box, secure bool, l Limits) *Vault {
	return &Vault{
		Limits: l, Name: name, jar: cookie.NewJar(name), box: box, store: store, secure: secure,
		buffers: sync.Pool{New: func() any { return new(Buffers) }},
	}
}

// Buffers returns buffers to open a session into.
func (v *Vault) Buffers() *Buffers { return v.buffers.Get().(*Buffers) }

// Put gives buffers back, wiped.
func (v *Vault) Put(b *Buffers) {
	clear(b.plain)
	clear(b.Keys[:]) // they keep alive what they are part of
	b.Text = ""
	v.buffers.Put(b)
}

// encoding is strict, so that a sealed record has one text only.
var encoding = base64.RawURLEncoding.Strict()

// Open reads the session that a request presents into b. It reports false if
// there is none, for whatever reason; an error is a broken store's.
func (v *Vault) Open(r *http.Request, b *Buffers) (record.View, bool, error) {
	f := v.jar.Find(r.Header["Cookie"])
	if v.store == nil && len(f.First)+len(f.Second) > cookie.Max {
		return record.View{}, false, nil // we write none that long
	}
	text := f.First + f.Second // no copy if there is one part
	switch {
	case v.store == nil:
	case f.Present && !f.OK:
		return record.View{}, false, nil // the store would pick one of two
	default:
		var err error
		if text, err = v.stored(r); err != nil {
			return record.View{}, false, err
		}
	}
	return v.Reopen(text, b)
}

// Reopen opens into b what Open has opened before, given its Text.
func (v *Vault) Reopen(text string, b *Buffers) (record.View, bool, error) {
	b.Text = text
	if text == "" {
		return record.View{}, false, nil
	}
	sealed, err := encoding.AppendDecode(b.sealed[:0], []byte(text)) // makes no copy
	// Line breaks are skipped there: a text that has some is too long for its bytes.
	if err != nil || encoding.EncodedLen(len(sealed)) != len(text) {
		return record.View{}, false, nil
	}
	b.sealed = sealed
	plain, err := v.box.Open(b.plain[:0], sealed)
	if err != nil {
		return record.View{}, false, nil
	}
	b.plain = plain
	view, err := record.Parse(plain)
	return view, err == nil, nil
}

// Save writes a record. A fresh one belongs to a new sign-in: it gets a new place
// in the store; see Forget for the old one.
func (v *Vault) Save(w http.ResponseWriter, r *http.Request, rec *record.Record, now time.Time, fresh bool) error {
	age := min(v.Expires(rec.Created, rec.LastSeen).Sub(now), v.Max)
	if v.store == nil {
		return v.saveCookies(w, r, rec, age)
	}
	return v.saveStored(w, r, rec, age, fresh)
}

func (v *Vault) encode(rec *record.Record) (string, error) {
	plain, err := rec.Append(nil)
	if err != nil {
		return "", err
	}
	return encoding.EncodeToString(v.box.Seal(nil, plain)), nil
}

// saveCookies writes a record to one cookie or two. What does not fit is left
// out, the least needed first: the access token can be had again, and the ID
// token's signature serves as a hint at sign-out only.
func (v *Vault) saveCookies(w http.ResponseWriter, r *http.Request, rec *record.Record, age time.Duration) error {
	rest := *rec
	text, err := v.encode(&rest)
	for _, leaveOut := range []func(){
		func() { rest.AccessToken = "" },
		func() { rest.IDToken.Header, rest.IDToken.Signature = "", "" },
	} {
		if err == nil && len(text) <= cookie.Max {
			break
		}
		leaveOut()
		text, err = v.encode(&rest)
	}
	var first, second string
	if err == nil {
		first, second, err = cookie.Split(text)
	}
	if err != nil {
		return fmt.Errorf("%w: claims of %d bytes, userinfo of %d and a refresh token of %d do not fit cookies of %d; "+
			"ask for fewer claims, or set Config.Store to a server-side store: %w",
			ErrTooLarge, len(rest.IDToken.Payload), len(rest.Extra), len(rest.RefreshToken), cookie.Max, err)
	}
	v.Set(w, v.Name, first, age)
	if second != "" {
		v.Set(w, cookie.Second(v.Name), second, age)
	} else {
		v.unsetSecond(w, r)
	}
	return nil
}

// unsetSecond deletes the second cookie if the browser has one, whether or not
// it was part of a session: two of them, and no session could be read. One that
// this answer was to set goes as well.
func (v *Vault) unsetSecond(w http.ResponseWriter, r *http.Request) {
	name := cookie.Second(v.Name)
	v.withdraw(w, name)
	if strings.Contains(strings.Join(r.Header["Cookie"], ";"), name+"=") {
		v.Unset(w, name)
	}
}

// Remove deletes what the browser and the store have of a session.
func (v *Vault) Remove(w http.ResponseWriter, r *http.Request) error {
	v.Unset(w, v.Name)
	v.unsetSecond(w, r)
	return v.Forget(r)
}

// options are ours on every save: a store's own may lack HttpOnly, or be
// SameSite=None. A negative age deletes.
func (v *Vault) options(age time.Duration) *sessions.Options {
	return &sessions.Options{
		Path: "/", MaxAge: seconds(age), Secure: v.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// seconds rounds up, so that a cookie lives as long as what it holds; and it is
// never zero, which would mean "until the browser is closed".
func seconds(d time.Duration) int {
	if d <= 0 {
		return -1
	}
	return int((d + time.Second - 1) / time.Second)
}

// Set sets a cookie, in place of an earlier one of its name in this answer.
func (v *Vault) Set(w http.ResponseWriter, name, value string, age time.Duration) {
	c := http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds(age),
		Secure: v.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	v.withdraw(w, name)
	w.Header().Add("Set-Cookie", c.String())
}

// Unset deletes a cookie in the browser.
func (v *Vault) Unset(w http.ResponseWriter, name string) { v.Set(w, name, "", -1) }

// Withdraw takes back the session cookies that this answer was to set.
func (v *Vault) Withdraw(w http.ResponseWriter) {
	v.withdraw(w, v.Name)
	v.withdraw(w, cookie.Second(v.Name))
}

func (v *Vault) withdraw(w http.ResponseWriter, name string) {
	h := w.Header()
	lines := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, name+"=") })
	if len(lines) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = lines
}
