// Package vault keeps sealed records: in cookies of its own, or in any gorilla
// sessions.Store.
//
// It is the one way in and out for session bytes. What it hands to a store, a
// browser, a disk or a database is sealed; what it reads from them is opened, or
// is no session. A store that is broken is an error, and never "no session".
package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
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
	// Line breaks are ignored there; a text with some is longer than it should be.
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

// valueKey is where a gorilla session holds the sealed record, as text: some
// stores keep JSON.
const valueKey = "signin"

// stored reads a gorilla store. It goes through New and not Get: the registry
// behind Get shares a session between two stores of one name, and rewrites the
// request.
func (v *Vault) stored(r *http.Request) (string, error) {
	sess, err := v.store.New(r, v.Name)
	if err != nil {
		if v.isForged(r.Context(), err) {
			return "", nil
		}
		return "", storeError("reading", err)
	}
	text, _ := sess.Values[valueKey].(string)
	return text, nil
}

// codecError is what securecookie's Error and MultiError have in common. The
// second is made by codecs alone, never by a disk or a network.
type codecError interface {
	error
	IsDecode() bool
	IsUsage() bool
	IsInternal() bool
}

// isForged tells a cookie that the store has not written, or whose session is
// gone, from a store that is broken. A cookie that is too long is of no kind:
// securecookie makes a text of that error.
func (v *Vault) isForged(ctx context.Context, err error) bool {
	var codec codecError
	if errors.As(err, &codec) {
		return codec.IsDecode() || !codec.IsUsage() && !codec.IsInternal()
	}
	// A server that is down does not exist either, if it listens on a Unix
	// socket, and no session's file does if its directory is gone.
	var network *net.OpError
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &network) {
		return false
	}
	var file *fs.PathError
	return !errors.As(err, &file) || v.Check(ctx) == nil
}

// Save writes a record. A fresh one belongs to a new sign-in: it gets a new place
// in the store; see Forget for the old one.
func (v *Vault) Save(w http.ResponseWriter, r *http.Request, rec *record.Record, now time.Time, fresh bool) error {
	age := min(v.Expires(rec.Created, rec.LastSeen).Sub(now), v.Max)
	if v.store == nil {
		return v.saveCookies(w, r, rec, age)
	}
	text, err := v.encode(rec)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	old, err := v.store.New(r, v.Name)
	if err != nil && !v.isForged(r.Context(), err) {
		return storeError("reading", err)
	}
	sess := old
	if fresh || err != nil || old.IsNew { // a new one may have the ID of one that is gone
		sess = sessions.NewSession(v.store, v.Name) // without an ID: the store makes one
	}
	sess.Values = map[any]any{valueKey: text}
	sess.Options = v.options(age)
	v.withdraw(w, v.Name) // the store adds its cookie beside an earlier one
	err = v.store.Save(r, w, sess)
	if err != nil && mayBeRefusal(err) && v.Check(r.Context()) == nil {
		// It takes an empty session, so it has keys, and a server that answers.
		// What was passing has passed when it is asked again.
		if err = v.store.Save(r, w, sess); err != nil && mayBeRefusal(err) {
			return fmt.Errorf("%w: the session store refuses %d bytes; raise its limit, or set Config.Store to another: %w",
				ErrTooLarge, len(text), err)
		}
	}
	if err != nil {
		return storeError("writing", err)
	}
	return nil
}

// mayBeRefusal tells what a store may say of a value that is too long, for which
// neither securecookie nor other stores have a kind of error, from what a disk or
// a network says.
func mayBeRefusal(err error) bool {
	var file *fs.PathError
	var network *net.OpError
	return !errors.As(err, &file) && !errors.As(err, &network) && !errors.Is(err, io.EOF) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// storeError says what was being done when a store failed. A file's name is cut
// off: it is the session's key in the store, and this goes to a log.
func storeError(doing string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = &fs.PathError{Op: path.Op, Path: filepath.Dir(path.Path), Err: path.Err}
	}
	return fmt.Errorf("signin: %s the session store: %w", doing, err)
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

// Forget deletes what the store has under the cookie that a request presents: a
// store cookie that somebody planted in this browser must not read the new
// session, nor the old one.
func (v *Vault) Forget(r *http.Request) error {
	if v.store == nil {
		return nil
	}
	sess, err := v.store.New(r, v.Name)
	if err != nil && v.isForged(r.Context(), err) || err == nil && sess.IsNew {
		return nil
	}
	if err == nil {
		sess.Options = v.options(-1)
		err = v.store.Save(r, nowhere{}, sess)
	}
	if err != nil {
		return storeError("deleting from", err)
	}
	return nil
}

// Remove deletes what the browser and the store have of a session.
func (v *Vault) Remove(w http.ResponseWriter, r *http.Request) error {
	v.Unset(w, v.Name)
	v.unsetSecond(w, r)
	return v.Forget(r)
}

// Check writes a session to the store and deletes it.
func (v *Vault) Check(ctx context.Context) error {
	if v.store == nil {
		return nil
	}
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}}).WithContext(ctx)
	sess := sessions.NewSession(v.store, v.Name+"-check")
	sess.Options = v.options(time.Minute)
	if err := v.store.Save(r, nowhere{}, sess); err != nil {
		return storeError("writing", err)
	}
	sess.Options = v.options(-1)
	if err := v.store.Save(r, nowhere{}, sess); err != nil {
		return storeError("deleting from", err)
	}
	return nil
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

// nowhere is a ResponseWriter for what a store would tell the browser and the
// browser must not hear.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
