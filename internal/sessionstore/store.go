// Package sessionstore keeps sealed sessions in a gorilla sessions.Store: one that
// the application has chosen, or Cookies, the default.
//
//	store := sessionstore.New(nil, "signin", ring, true)
//	var s session.Session
//	found, err := store.Load(r, &s) // an error means that the store is broken
//	...
//	err = store.Save(w, r, &s, age, false)
//
// All sessions are stored and loaded through this package. The store gets only
// sealed values, and a value that does not open is not a session. A store that is
// broken is an error, and never "no session".
//
// A value is sealed for the place where it is kept: cookies, or a kind of store and
// the ID that the store gives it. A person who may write to the store gains nothing
// by copying the value of another person over their own, and no value in it is good
// as a cookie. (Its name for a session may be, if the store's cookie is the bare ID.)
// To know the ID before the value is sealed, an empty session is saved first. A store
// that gives no ID, like gorilla's CookieStore, is a place by itself.
package sessionstore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
)

// ErrTooLarge means that a session does not fit its store. Every other error of
// this package means that the store is broken.
var ErrTooLarge = errors.New("signin: the session is too large")

// Store keeps sealed sessions. It is safe for concurrent use.
type Store struct {
	name    string
	kind    string // of the store: its Go type
	ring    *seal.Ring
	noID    *seal.Box // for the sessions of a store that gives no IDs
	store   sessions.Store
	cookies cookie.Writer
	buffers sync.Pool
}

// buffers hold a session while it is being opened.
type buffers struct{ sealed, plain []byte }

// New returns a Store over a gorilla store, or over Cookies if store is nil. The name
// is that of the session cookie.
func New(store sessions.Store, name string, ring *seal.Ring, secure bool) *Store {
	cookies := cookie.Writer{Secure: secure}
	kind := fmt.Sprintf("%T", store)
	if store == nil {
		kind = "cookies"
		store = &Cookies{Writer: cookies}
	} else {
		store = unambiguous{store}
	}
	return &Store{
		name: name, kind: kind, ring: ring, noID: ring.Box(name, kind, ""), store: store, cookies: cookies,
		buffers: sync.Pool{New: func() any { return new(buffers) }},
	}
}

// OnServer reports whether sessions are kept on the server, so that a browser
// has only an ID. Of gorilla's stores, only CookieStore keeps them in cookies.
func (st *Store) OnServer() bool {
	u, ok := st.store.(unambiguous)
	if !ok {
		return false
	}
	_, cookies := u.Store.(*sessions.CookieStore)
	return !cookies
}

// unambiguous is a gorilla store that finds no session in a request with two
// cookies of the same name. The store that it wraps would choose one of them.
type unambiguous struct{ sessions.Store }

// New returns the session that a request presents, or a new one.
func (u unambiguous) New(r *http.Request, name string) (*sessions.Session, error) {
	if f := cookie.Find(r.Header["Cookie"], name); f.Present && !f.OK {
		s := sessions.NewSession(u.Store, name)
		s.IsNew = true
		return s, nil
	}
	return u.Store.New(r, name)
}

// box returns the box of what the store keeps under an ID.
func (st *Store) box(id string) *seal.Box {
	if id == "" { // with the default store, of which each request costs nothing more
		return st.noID
	}
	return st.ring.Box(st.name, st.kind, id)
}

// Unreadable reports whether a request has a session cookie that is not one of ours.
// Usually a new one replaces it.
func (st *Store) Unreadable(r *http.Request) bool {
	found, err := st.Load(r, new(session.Session))
	return !found && err == nil && cookie.Has(r.Header["Cookie"], st.name)
}

// valueKey is the key of the sealed session among the values of a gorilla session.
// The sealed session is text, since some stores keep JSON.
const valueKey = "signin"

// Load reads the session that a request presents into s, and reports whether the
// request presents one. An error means that the store is broken.
//
// It calls the store's New and not Get: the registry behind Get shares a session
// between two stores of one name, and changes the request.
func (st *Store) Load(r *http.Request, s *session.Session) (found bool, err error) {
	kept, err := st.store.New(r, st.name)
	switch {
	case err != nil && st.isForged(r, err):
		return false, nil
	case err != nil:
		return false, st.failure("reading", err)
	}
	text, _ := kept.Values[valueKey].(string)
	b := st.buffers.Get().(*buffers)
	defer st.buffers.Put(b)
	return b.open(st.box(kept.ID), text, s), nil
}

// open reads a session from its text, and reports whether it is one of ours.
func (b *buffers) open(box *seal.Box, text string, s *session.Session) bool {
	var err error
	b.sealed, err = base64.RawURLEncoding.Strict().AppendDecode(b.sealed[:0], []byte(text))
	// Comparing the lengths detects line breaks, which encoding/base64 ignores.
	if err != nil || base64.RawURLEncoding.EncodedLen(len(b.sealed)) != len(text) {
		return false
	}
	plain, err := box.Open(b.plain[:0], b.sealed)
	if err != nil {
		return false
	}
	b.plain = plain
	defer clear(plain) // tokens stay in memory no longer than necessary
	return s.Decode(plain) == nil
}

// Save writes a session that lives for the given age; Fit has said what of it. A fresh
// session belongs to a new sign-in and gets a new place in the store; see Forget for
// the old one.
func (st *Store) Save(w http.ResponseWriter, r *http.Request, s *session.Session, age time.Duration, fresh bool) error {
	err := st.save(w, r, s, age, fresh)
	switch {
	case errors.Is(err, cookie.ErrTooLarge), errors.Is(err, session.ErrTooLarge):
		return tooLarge(s, err)
	case errors.Is(err, ErrTooLarge):
		return err
	}
	return st.failure("writing", err)
}

func (st *Store) save(w http.ResponseWriter, r *http.Request, s *session.Session, age time.Duration, fresh bool) error {
	plain, err := s.Append(nil)
	if err != nil {
		return err
	}
	kept, err := st.store.New(r, st.name)
	if err != nil && !st.isForged(r, err) {
		return err
	}
	made := fresh || err != nil || kept.IsNew // a new session may have the ID of a deleted one
	if made {
		if kept, err = st.reserve(r, age); err != nil {
			return err
		}
	}
	id := kept.ID
	kept.Values = map[any]any{valueKey: base64.RawURLEncoding.EncodeToString(st.box(id).Seal(nil, plain))}
	kept.Options = st.options(age)
	cookie.Withdraw(w, st.name) // the store would add its cookie to an earlier one
	err = st.write(w, r, kept, made)
	if err == nil && kept.ID != id {
		err = errMoved
	}
	if err != nil && (made || kept.ID != id) {
		_ = st.drop(r, kept) // the error that is returned says more
	}
	return err
}

// errMoved says why no session can be kept: it was sealed for another ID.
var errMoved = errors.New("it gives a session another ID whenever it is saved; set Config.Store to one that keeps the ID")

// write saves a session, and finds out whether a store that refuses it always will.
// made says that the store has just accepted an empty session.
func (st *Store) write(w http.ResponseWriter, r *http.Request, kept *sessions.Session, made bool) error {
	err := st.store.Save(r, w, kept)
	if err == nil || errors.Is(err, cookie.ErrTooLarge) || !mayBeRefusal(err) || !made && !st.accepts(r) {
		return err
	}
	// The store accepts an empty session, so it has keys and its server
	// answers. If it refuses the session again, the problem is not temporary.
	if err = st.store.Save(r, w, kept); err != nil && mayBeRefusal(err) {
		return fmt.Errorf("%w: the session store refuses %d bytes; raise its limit, or set Config.Store to another: %w",
			ErrTooLarge, len(kept.Values[valueKey].(string)), err)
	}
	return err
}

// reserve saves an empty session, which has an ID then, and returns it. It lives for
// a minute, unless it is saved again.
func (st *Store) reserve(r *http.Request, age time.Duration) (*sessions.Session, error) {
	kept, w := st.unsaved(), cookie.Answer{}
	kept.Options = st.options(min(age, time.Minute))
	if err := st.store.Save(r, w, kept); err != nil {
		return nil, err
	}
	kept.IsNew = false // some stores insert or update by that
	if kept.ID == "" { // only its cookie leads to it, and to save it again makes another
		return st.unsaved(), st.drop(returned(w, r), kept)
	}
	return kept, nil
}

// unsaved is a new session without an ID, for which the store makes one.
func (st *Store) unsaved() *sessions.Session {
	kept := sessions.NewSession(st.store, st.name)
	kept.IsNew = true
	return kept
}

// dropTimeout is how long deleting what is left of a failure may take.
const dropTimeout = 4 * time.Second

// drop deletes a session from the store, also if the client has gone away.
func (st *Store) drop(r *http.Request, kept *sessions.Session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), dropTimeout)
	defer cancel()
	kept.Values, kept.Options = map[any]any{}, st.options(-1)
	return st.store.Save(r.WithContext(ctx), cookie.Answer{}, kept)
}

// accepts reports whether the store keeps an empty session and deletes it.
func (st *Store) accepts(r *http.Request) bool {
	kept, err := st.reserve(r, time.Minute)
	return err == nil && st.drop(r, kept) == nil
}

// Forget deletes the session that the store has for the cookie of a request. An
// attacker who has planted a store's cookie in this browser must not be able to
// use it to read the new session, or the old one.
func (st *Store) Forget(r *http.Request) error {
	store := st.store
	if u, ok := store.(unambiguous); ok {
		store = u.Store // it finds one of two sessions; deleting one is better than none
	}
	kept, err := store.New(r, st.name)
	if err != nil && st.isForged(r, err) || err == nil && kept.IsNew {
		return nil
	}
	if err == nil {
		kept.Options = st.options(-1)
		err = st.store.Save(r, cookie.Answer{}, kept)
	}
	return st.failure("deleting from", err)
}

// Remove deletes a session from the browser and from the store.
func (st *Store) Remove(w http.ResponseWriter, r *http.Request) error {
	st.cookies.Unset(w, st.name)
	unsetSecond(st.cookies, w, r, st.name)
	return st.Forget(r)
}

// unsetSecond deletes the second cookie if the browser has one, and withdraws
// any from this answer. It deletes a second cookie even if it was not part of a
// session: together with that of a later session, it would make the session
// unreadable.
func unsetSecond(cookies cookie.Writer, w http.ResponseWriter, r *http.Request, name string) {
	second := cookie.Second(name)
	cookie.Withdraw(w, second)
	if cookie.Has(r.Header["Cookie"], second) {
		cookies.Unset(w, second)
	}
}

// Withdraw removes the session cookies from an answer.
func (st *Store) Withdraw(w http.ResponseWriter) {
	cookie.Withdraw(w, st.name)
	cookie.Withdraw(w, cookie.Second(st.name))
}

// TakeBack undoes a Save of this answer.
func (st *Store) TakeBack(w http.ResponseWriter, r *http.Request) error {
	err := st.Forget(returned(w, r))
	st.Withdraw(w)
	return err
}

// returned is r as a browser sends it again that has got the cookies of its answer.
func returned(w http.ResponseWriter, r *http.Request) *http.Request {
	again := r.Clone(r.Context())
	again.Header.Del("Cookie")
	for _, c := range (&http.Response{Header: w.Header()}).Cookies() {
		again.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return again
}

// Check saves a session, reads it, and removes it. The session has expired, so it
// signs no user in even if it is left behind.
func (st *Store) Check(ctx context.Context) error {
	began := time.Unix(0, 0)
	s := &session.Session{ID: session.NewID(), Created: began, LastSeen: began}
	w, r := cookie.Answer{}, (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}}).WithContext(ctx)
	if err := st.Save(w, r, s, time.Minute, true); err != nil {
		return err
	}
	r = returned(w, r)
	got := new(session.Session)
	_, err := st.Load(r, got)
	if err == nil && got.ID != s.ID {
		err = st.failure("reading", errors.New("it does not give back what was written to it"))
	}
	return errors.Join(err, st.Forget(r))
}

// options returns the options for every save, since a store's own may lack HttpOnly
// or have SameSite=None. A negative age deletes.
func (st *Store) options(age time.Duration) *sessions.Options {
	return &sessions.Options{
		Path: "/", MaxAge: cookie.Seconds(age), Secure: st.cookies.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
