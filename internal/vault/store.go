package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/record"
)

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

// saveStored writes a record to a gorilla store.
func (v *Vault) saveStored(w http.ResponseWriter, r *http.Request, rec *record.Record, age time.Duration, fresh bool) error {
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

// Forget deletes what the store has under the cookie that a request presents: a
// store cookie that an attacker planted in this browser must not read the new
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

// nowhere is a ResponseWriter for what a store would tell the browser and the
// browser must not hear.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
