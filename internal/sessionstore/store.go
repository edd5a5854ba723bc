// Package sessionstore keeps sealed sessions in a gorilla sessions.Store: one that
// the application has chosen, or Cookies, the default.
//
//	store := sessionstore.New(nil, "signin", box, true)
//	var s session.Session
//	found, err := store.Load(r, &s) // an error means that the store is broken
//	...
//	err = store.Save(w, r, &s, age, false)
//
// All sessions are stored and loaded through this package. The store gets only
// sealed values, and a value that does not open is not a session. A store that is
// broken is an error, and never "no session".
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
	box     *seal.Box
	store   sessions.Store
	cookies cookie.Writer
	buffers sync.Pool
}

// buffers hold a session while it is being opened.
type buffers struct{ sealed, plain []byte }

// New returns a Store over a gorilla store, or over Cookies if store is nil. The name
// is that of the session cookie.
func New(store sessions.Store, name string, box *seal.Box, secure bool) *Store {
	cookies := cookie.Writer{Secure: secure}
	if store == nil {
		store = &Cookies{Writer: cookies}
	} else {
		store = unambiguous{store}
	}
	return &Store{
		name: name, box: box, store: store, cookies: cookies,
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
	case err != nil && st.isForged(r.Context(), err):
		return false, nil
	case err != nil:
		return false, storeError("reading", err)
	}
	text, _ := kept.Values[valueKey].(string)
	b := st.buffers.Get().(*buffers)
	defer st.buffers.Put(b)
	return b.open(st.box, text, s), nil
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

// Save writes a session that lives for the given age. A fresh session belongs to a
// new sign-in and gets a new place in the store; see Forget for the old one.
//
// If the session does not fit, Save leaves out the access token, which can be fetched
// again, and then the ID token's header and signature, which are only a hint at
// sign-out.
func (st *Store) Save(w http.ResponseWriter, r *http.Request, s *session.Session, age time.Duration, fresh bool) error {
	rest := *s
	err := st.save(w, r, &rest, age, fresh)
	if tooLarge(err) {
		rest.AccessToken = session.Packed{}
		err = st.save(w, r, &rest, age, fresh)
	}
	if tooLarge(err) {
		rest.IDHeader, rest.IDSignature = "", ""
		err = st.save(w, r, &rest, age, fresh)
	}
	switch {
	case tooLarge(err):
		return fmt.Errorf("%w: claims of %d bytes, userinfo of %d and a refresh token of %d do not fit cookies of %d; "+
			"ask for fewer claims, or set Config.Store to a server-side store: %w",
			ErrTooLarge, len(s.Claims.Payload()), len(s.Claims.Extra()), len(s.RefreshToken), cookie.Max, err)
	case errors.Is(err, ErrTooLarge):
		return err
	}
	return storeError("writing", err)
}

func tooLarge(err error) bool {
	return errors.Is(err, cookie.ErrTooLarge) || errors.Is(err, session.ErrTooLarge)
}

func (st *Store) save(w http.ResponseWriter, r *http.Request, s *session.Session, age time.Duration, fresh bool) error {
	plain, err := s.Append(nil)
	if err != nil {
		return err
	}
	text := base64.RawURLEncoding.EncodeToString(st.box.Seal(nil, plain))
	kept, err := st.store.New(r, st.name)
	if err != nil && !st.isForged(r.Context(), err) {
		return err
	}
	if fresh || err != nil || kept.IsNew { // a new session may have the ID of a deleted one
		kept = sessions.NewSession(st.store, st.name) // without an ID: the store makes one
	}
	kept.Values = map[any]any{valueKey: text}
	kept.Options = st.options(age)
	cookie.Withdraw(w, st.name) // the store would add its cookie to an earlier one
	err = st.store.Save(r, w, kept)
	if err == nil || errors.Is(err, cookie.ErrTooLarge) || !mayBeRefusal(err) || st.Check(r.Context()) != nil {
		return err
	}
	// The store accepts an empty session, so it has keys and its server
	// answers. If it refuses the session again, the problem is not temporary.
	if err = st.store.Save(r, w, kept); err != nil && mayBeRefusal(err) {
		return fmt.Errorf("%w: the session store refuses %d bytes; raise its limit, or set Config.Store to another: %w",
			ErrTooLarge, len(text), err)
	}
	return err
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
	if err != nil && st.isForged(r.Context(), err) || err == nil && kept.IsNew {
		return nil
	}
	if err == nil {
		kept.Options = st.options(-1)
		err = st.store.Save(r, nowhere{}, kept)
	}
	return storeError("deleting from", err)
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

// Check writes a session to the store and deletes it.
func (st *Store) Check(ctx context.Context) error {
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}}).WithContext(ctx)
	kept := sessions.NewSession(st.store, st.name+"-check")
	kept.Options = st.options(time.Minute)
	if err := st.store.Save(r, nowhere{}, kept); err != nil {
		return storeError("writing", err)
	}
	kept.Options = st.options(-1)
	return storeError("deleting from", st.store.Save(r, nowhere{}, kept))
}

// options returns the options for every save, since a store's own may lack HttpOnly
// or have SameSite=None. A negative age deletes.
func (st *Store) options(age time.Duration) *sessions.Options {
	return &sessions.Options{
		Path: "/", MaxAge: cookie.Seconds(age), Secure: st.cookies.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// nowhere is a ResponseWriter for answers of a store that the browser must not get.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
