package sessionstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
)

var hashKey, blockKey = bytes.Repeat([]byte{3}, 32), bytes.Repeat([]byte{4}, 32)

func TestStore_GorillaStores(t *testing.T) {
	t.Parallel()
	for kind, store := range map[string]sessions.Store{
		"the default": nil, "CookieStore": sessions.NewCookieStore(hashKey, blockKey),
		"FilesystemStore": sessions.NewFilesystemStore(t.TempDir(), hashKey), "one in memory": newFaulty(),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			v := newStore(t, store)
			wantNone(t, v)
			wantNone(t, v, name+"=forged")
			wantNone(t, v, name+"="+strings.Repeat("A", 5000)) // longer than its codec reads
			planted := save(t, v, sized(50, 96, 20), true)
			had := save(t, v, small(), true, planted...)
			if had[0] == planted[0] || v.Forget(request(planted...)) != nil {
				t.Errorf("got the cookie %q for a new sign-in; want a new one", had)
			}
			wantSession(t, v, small(), had...)
			wantNone(t, v, had[0]+"; "+had[0])
			wantNone(t, v, name+"=planted; "+had[0])

			next := small()
			next.RefreshToken = "later"
			had = save(t, v, next, false, had...)
			wantSession(t, v, next, had...)
			// If there are two cookies, neither is read, but the session that the store
			// finds is deleted.
			wantRemoved(t, v, had[0]+"; "+name+"=planted")
			wantRemoved(t, v, had...) // which may not be there any more
			wantRemoved(t, v, name+"=forged")
			if kind == "FilesystemStore" || kind == "one in memory" {
				for _, fresh := range []bool{false, true} {
					again := save(t, v, small(), fresh, had...)
					wantSession(t, v, small(), again...)
					wantNone(t, v, had...)
				}
				// An attacker who has planted a cookie reads nothing with it.
				wantNone(t, v, planted...)
			}
			if err := v.Check(t.Context()); err != nil {
				t.Errorf("Check: got error %v; want none", err)
			}
		})
	}
}

// If the browser has the session itself, an old copy of it can be recognized.
func TestOnServer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		store sessions.Store
		want  bool
	}{
		"the default":     {nil, false},
		"CookieStore":     {sessions.NewCookieStore(hashKey, blockKey), false},
		"FilesystemStore": {sessions.NewFilesystemStore(t.TempDir(), hashKey), true},
		"one in memory":   {newFaulty(), true},
	} {
		if got := newStore(t, row.store).OnServer(); got != row.want {
			t.Errorf("%s: got %t; want %t", name, got, row.want)
		}
	}
}

// forgedError returns securecookie's error for a cookie that was not made with
// a key.
func forgedError(keyPairs ...[]byte) error {
	_, err := sessions.NewCookieStore(keyPairs...).New(request(name+"=Zm9yZ2Vk"), name)
	return err
}

// A store gets sealed sessions, with our options.
func TestSave_ServerSideStore(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	v := newStore(t, store)
	w := httptest.NewRecorder()
	cookie.Writer{Secure: true}.Set(w, name, "x", time.Minute) // earlier in this answer
	for i, fresh := range []bool{true, false, true} {
		store.options = nil
		if err := v.Save(w, request(name+"=id1"), small(), day, fresh); err != nil {
			t.Fatalf("Save: got error %v; want none", err)
		}
		wantCookies(t, w, set(name)) // and none that deletes an old one
		want := sessions.Options{Path: "/", MaxAge: 86400, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
		if got := store.options[len(store.options)-1]; !reflect.DeepEqual(got, want) || len(store.kept) != 1+i/2 {
			t.Errorf("got options %+v, %d sessions; want %+v, and a new session only if it is fresh", got, len(store.kept), want)
		}
	}
	if shown := fmt.Sprint(store.kept); strings.Contains(shown, "canary") || strings.Contains(shown, `"sub"`) {
		t.Error("the store shows a token or a person")
	}
	err := errors.Join(v.Forget(request(name+"=id1")), v.Forget(request()))
	if err != nil || fmt.Sprint(store.deleted) != "[id1]" {
		t.Errorf("Forget: got %v, %q deleted; want the old session alone", err, store.deleted)
	}
	// A session that is over is deleted.
	w = httptest.NewRecorder()
	if err := v.Save(w, request(name+"=id2"), small(), -time.Hour, false); err != nil || len(store.kept) != 0 {
		t.Errorf("Save: got %v, %d sessions in the store; want none", err, len(store.kept))
	}
	wantCookies(t, w, unset(name))
}

func TestSave_StoreLimit(t *testing.T) {
	t.Parallel()
	files := sessions.NewFilesystemStore(t.TempDir(), hashKey) // 4,096 bytes
	for _, store := range []sessions.Store{sessions.NewCookieStore(hashKey, blockKey), files} {
		w := httptest.NewRecorder()
		err := newStore(t, store).Save(w, request(), sized(4000, 96, 20), day, true)
		if !errors.Is(err, sessionstore.ErrTooLarge) || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%T: got %v; want ErrTooLarge with the size", store, err)
		}
		wantCookies(t, w)
	}
	files.MaxLength(100_000)
	v := newStore(t, files)
	s := sized(30_000, 96, 20)
	wantSession(t, v, s, save(t, v, s, true)...)

	s.RefreshToken = strings.Repeat("r", 70_000)
	if err := v.Save(httptest.NewRecorder(), request(), s, day, true); !errors.Is(err, sessionstore.ErrTooLarge) {
		t.Errorf("more than a session may have: got %v; want ErrTooLarge", err)
	}
}

// codecErr is an error of securecookie about a cookie.
type codecErr struct{ decode, usage, internal bool }

func (codecErr) Error() string      { return "no cookie of ours" }
func (e codecErr) IsDecode() bool   { return e.decode }
func (e codecErr) IsUsage() bool    { return e.usage }
func (e codecErr) IsInternal() bool { return e.internal }

// A store that is broken must not sign people out, and a cookie that is forged must
// not look like a store that is broken.
func TestStore_Broken(t *testing.T) {
	t.Parallel()
	gone := &fs.PathError{Op: "open", Path: filepath.Join(t.TempDir(), "session_SECRETKEY"), Err: fs.ErrNotExist}
	nowhere := &fs.PathError{Op: "open", Path: filepath.Join(t.TempDir(), "none", "session_SECRETKEY"), Err: fs.ErrNotExist}
	refused := &fs.PathError{Op: "open", Path: "/var/lib/session_SECRETKEY", Err: fs.ErrPermission}
	socket := &net.OpError{Op: "dial", Net: "unix", Err: syscall.ENOENT}
	for _, row := range []struct {
		name  string
		store *faulty
		fails string // of Load, Save, Forget, Check
		saves int    // made by two calls of Load
	}{
		{"it works", &faulty{}, "", 0},
		{"New fails", &faulty{newErr: errBroken}, "Load Save Forget Check", 0},
		{"New may not read a file", &faulty{newErr: refused}, "Load Save Forget Check", 0},
		{"a server that is down, on a Unix socket", &faulty{newErr: socket}, "Load Save Forget Check", 0},
		{"a CookieStore without keys", &faulty{newErr: forgedError()}, "Load Save Forget Check", 0},
		{"a codec that fails", &faulty{newErr: codecErr{internal: true}}, "Load Save Forget Check", 0},
		{"a forged cookie", &faulty{newErr: fmt.Errorf("store: %w", forgedError(hashKey, nil, hashKey, nil))}, "Check", 0},
		{"a forged cookie, and another key does not work", &faulty{newErr: codecErr{decode: true, internal: true}}, "Check", 0},
		{"a cookie that is too long", &faulty{newErr: codecErr{}}, "Check", 0},
		{"a file that is gone", &faulty{newErr: gone}, "Check", 0},
		{"a file that is gone, and Save fails", &faulty{newErr: gone, saveErr: errBroken}, "Save Check", 0},
		{"a directory that is not this machine's", &faulty{newErr: nowhere}, "Check", 4},
		{"the same, and deleting fails", &faulty{newErr: nowhere, deleteErr: errBroken}, "Load Save Forget Check", 4},
		{"a directory that is gone", &faulty{newErr: nowhere, saveErr: nowhere}, "Load Save Forget Check", 2},
		{"a session that is gone, and Save fails", &faulty{newErr: fs.ErrNotExist, saveErr: errBroken}, "Save Check", 0},
		{"Save fails", &faulty{saveErr: errBroken}, "Save Check", 0},
		{"Save may not write a file", &faulty{saveErr: refused}, "Save Check", 0},
		{"deleting fails", &faulty{deleteErr: errBroken}, "Forget Check", 0},
		{"it forgets what it is told", &faulty{forgets: true}, "Check", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.store.kept = map[string]map[any]any{"id0": {}}
			v, r := newStore(t, row.store), request(name+"=id0")
			causes := []error{errBroken, fs.ErrPermission, fs.ErrNotExist, row.store.newErr}
			check := func(call string, err error) {
				t.Helper()
				switch fails := strings.Contains(row.fails, call); {
				case (err != nil) != fails:
					t.Errorf("%s: got error %v; want one: %t", call, err, fails)
				case err == nil:
				case errors.Is(err, sessionstore.ErrTooLarge), !strings.HasPrefix(err.Error(), "signin: "),
					strings.Contains(err.Error(), "SECRETKEY"), !strings.Contains(err.Error(), "(*sessionstore_test.faulty)"):
					t.Errorf("%s: got error %v; want the store's, with its kind and without a session's key", call, err)
				case call == "Check" && row.store.saveErr == nil && strings.Contains(err.Error(), "does not give back"):
				case !slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(err, cause) }):
					t.Errorf("%s: got error %v; want the cause wrapped", call, err)
				}
			}
			found, err := v.Load(r, new(session.Session))
			if found {
				t.Error("Load: got a session; want none")
			}
			check("Load", err)
			_, err = load(v) // some stores find a session without a cookie
			check("Load", err)
			if row.store.saves != row.saves {
				t.Errorf("Load: got %d saves; want %d", row.store.saves, row.saves)
			}
			check("Save", v.Save(httptest.NewRecorder(), r, small(), day, false))
			check("Save", v.Save(httptest.NewRecorder(), r, small(), day, true))
			check("Forget", v.Forget(r))
			row.store.kept["id0"] = map[any]any{}
			w := httptest.NewRecorder()
			check("Forget", v.Remove(w, r))
			wantCookies(t, w, unset(name)) // whether the store works or not
			check("Check", v.Check(t.Context()))
		})
	}
}

// picky accepts only empty sessions.
type picky struct {
	*faulty
	err   error
	asked int
}

func (s *picky) Save(r *http.Request, w http.ResponseWriter, kept *sessions.Session) error {
	if len(kept.Values) > 0 {
		s.asked++
		return s.err
	}
	return s.faulty.Save(r, w, kept)
}

// A session is too large only if the store says so twice. Errors of a disk or a
// network are not about the size.
func TestSave_Refused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err   error
		asked int
	}{
		{errors.New("too long"), 2},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 1},
		{&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, 1},
		{fmt.Errorf("read: %w", io.EOF), 1},
		{fmt.Errorf("read: %w", context.Canceled), 1},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 1},
	} {
		store := &picky{faulty: newFaulty(), err: row.err}
		err := newStore(t, store).Save(httptest.NewRecorder(), request(), small(), day, true)
		if err == nil || errors.Is(err, sessionstore.ErrTooLarge) != (row.asked == 2) || store.asked != row.asked {
			t.Errorf("%v: got %v after %d attempts; want %d", row.err, err, store.asked, row.asked)
		}
	}
}

// A session has only one valid encoding. Its length modulo three decides how
// many bits of the last character must be zero.
func TestLoad_OneTextForASession(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	v := newStore(t, store)
	for size := range 3 {
		had := save(t, v, sized(50, 96, 20+size), true)
		_, id, _ := strings.Cut(had[0], "=")
		value := store.kept[id]["signin"].(string) // not []byte, since some stores keep JSON
		check := func(text string) {
			t.Helper()
			store.kept[id] = map[any]any{"signin": text}
			if got, err := load(v, had...); err != nil || (got != nil) != (text == value) {
				t.Errorf("%q in place of %q: got a session %t, %v", text, value, got != nil, err)
			}
		}
		for at := range len(value) {
			for _, c := range []string{"\x00", " ", "\n", "\r", "=", "+", "/", ".", "\x80"} {
				check(value[:at] + c + value[at+1:])
				check(value[:at] + c + value[at:])
			}
		}
		for _, more := range []string{"\n", "\r\n", "=", "==", "\n=", " ", "A", "AA", "AAA", "AAAA", "AA\n\n", "AAA\n"} {
			check(value + more)
		}
		for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			check(value[:len(value)-1] + string(last))
		}
	}
}
