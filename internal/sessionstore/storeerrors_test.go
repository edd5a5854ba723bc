package sessionstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/sessionstore"
)

// Some stores find their sessions without a cookie of this name: it is for them to
// say that there is none.
func TestChecksOfAStoreWithoutACookie(t *testing.T) {
	t.Parallel()
	v := newStore(t, &faulty{newErr: errBroken})
	if got, err := open(v); got != nil || !errors.Is(err, errBroken) {
		t.Errorf("got %v, %v; want no session, and the store's error", got, err)
	}
}

// codecErr is what securecookie says of a cookie, of whatever kind.
type codecErr struct{ decode, usage, internal bool }

func (codecErr) Error() string      { return "no cookie of ours" }
func (e codecErr) IsDecode() bool   { return e.decode }
func (e codecErr) IsUsage() bool    { return e.usage }
func (e codecErr) IsInternal() bool { return e.internal }

// A store that is broken must not sign people out, and a cookie that is forged
// must not look like a store that is broken.
func TestChecksOfForgedCookies(t *testing.T) {
	t.Parallel()
	for name_, row := range map[string]struct {
		store  *faulty
		broken bool
	}{
		"forged":                                  {&faulty{newErr: codecErr{decode: true}}, false},
		"forged, and another key does not work":   {&faulty{newErr: codecErr{decode: true, internal: true}}, false},
		"too long":                                {&faulty{newErr: codecErr{}}, false},
		"a codec without keys":                    {&faulty{newErr: codecErr{usage: true}}, true},
		"a codec that fails":                      {&faulty{newErr: codecErr{internal: true}}, true},
		"a server that is down, on a Unix socket": {&faulty{newErr: &net.OpError{Op: "dial", Net: "unix", Err: syscall.ENOENT}}, true},
		"a session that is gone, in a store that cannot write": {&faulty{newErr: fs.ErrNotExist, saveErr: errBroken}, false},
		"a file that is gone, in a store that cannot write": {
			&faulty{newErr: &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, saveErr: errBroken}, true},
	} {
		if got, err := open(newStore(t, row.store), name+"=x"); got != nil || (err != nil) != row.broken {
			t.Errorf("%s: got %v, %v; want no session, and an error: %v", name_, got, err, row.broken)
		}
	}
}

// picky takes empty sessions only.
type picky struct {
	*faulty
	err   error
	asked int
}

func (s *picky) Save(r *http.Request, w http.ResponseWriter, sess *sessions.Session) error {
	if len(sess.Values) > 0 {
		s.asked++
		return s.err
	}
	return s.faulty.Save(r, w, sess)
}

// What a disk or a network says is not about the size, and not asked for twice.
func TestChecksOfARefusal(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err      error
		tooLarge bool
		asked    int
	}{
		{errors.New("too long"), true, 2},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, false, 1},
		{&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, false, 1},
		{fmt.Errorf("read: %w", io.EOF), false, 1},
		{fmt.Errorf("read: %w", context.Canceled), false, 1},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), false, 1},
	} {
		store := &picky{faulty: newFaulty(), err: row.err}
		err := saveAt(newStore(t, store), httptest.NewRecorder(), request(), small(), now, true)
		if err == nil || errors.Is(err, sessionstore.ErrTooLarge) != row.tooLarge || store.asked != row.asked {
			t.Errorf("%v: got %v after %d attempts; want ErrTooLarge: %v, after %d", row.err, err, store.asked, row.tooLarge, row.asked)
		}
	}
}
