package sessionstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
)

var hashKey, blockKey = bytes.Repeat([]byte{3}, 32), bytes.Repeat([]byte{4}, 32)

// CASES 5.10.
func TestGorillaStores(t *testing.T) {
	t.Parallel()
	for kind, store := range map[string]func(*testing.T) sessions.Store{
		"CookieStore":         func(*testing.T) sessions.Store { return sessions.NewCookieStore(hashKey, blockKey) },
		"CookieStore of text": func(*testing.T) sessions.Store { return textStore() },
		"FilesystemStore":     func(t *testing.T) sessions.Store { return sessions.NewFilesystemStore(t.TempDir(), hashKey) },
		"one in memory":       func(*testing.T) sessions.Store { return newFaulty() },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			v := newStore(t, store(t))
			wantNone(t, v)
			wantNone(t, v, name+"=forged")
			wantNone(t, v, name+"="+strings.Repeat("A", 5000)) // longer than its codec reads
			had := save(t, v, small(), true)
			if len(had) != 1 {
				t.Fatalf("got %d cookies; want 1", len(had))
			}
			wantSession(t, v, small(), had...)
			wantNone(t, v, had[0]+"; "+had[0])
			wantNone(t, v, name+"=planted; "+had[0])

			next := small()
			next.RefreshToken = "later"
			had = save(t, v, next, false, had...)
			wantSession(t, v, next, had...)

			w := httptest.NewRecorder()
			if err := v.Remove(w, request(had...)); err != nil {
				t.Errorf("Remove: got error %v; want none", err)
			}
			wantCookies(t, w, unset(name))
			if _, inCookie := store(t).(*sessions.CookieStore); !inCookie {
				wantNone(t, v, had...)
			}
			for _, had := range []string{had[0], name + "=forged", "a=b"} { // nothing there any more
				if err := v.Remove(httptest.NewRecorder(), request(had)); err != nil {
					t.Errorf("Remove again: got error %v; want none", err)
				}
			}
			if err := v.Check(t.Context()); err != nil {
				t.Errorf("Check: got error %v; want none", err)
			}
		})
	}
}

// forgedError is what securecookie says of a cookie that no key has made.
func forgedError(keyPairs ...[]byte) error {
	_, err := sessions.NewCookieStore(keyPairs...).New(request(name+"=Zm9yZ2Vk"), name)
	return err
}

func textStore() sessions.Store {
	cookies := sessions.NewCookieStore(hashKey)
	cookies.Codecs = append(cookies.Codecs[:0], textCodec{})
	return cookies
}

// textCodec keeps nothing but text, as stores that write JSON do.
type textCodec struct{}

func (textCodec) Encode(_ string, value any) (string, error) {
	text, ok := value.(map[any]any)["signin"].(string)
	if !ok {
		return "empty", nil
	}
	return text, nil
}

func (textCodec) Decode(_, value string, dst any) error {
	if len(value) > 4096 || value == "forged" || value == "planted" {
		return forgedError(hashKey)
	}
	(*dst.(*map[any]any))["signin"] = value
	return nil
}

// The session is in the store and sealed there (CASES 5.12), under options that
// are ours.
func TestWhatAStoreGets(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	v := newStore(t, store)
	w := httptest.NewRecorder()
	cookie.Writer{Secure: true}.Set(w, name, "x", time.Minute) // something earlier in this answer
	if err := saveAt(v, w, request(), small(), now, true); err != nil {
		t.Fatalf("Save: got error %v; want none", err)
	}
	wantCookies(t, w, set(name, limits.Idle))
	want := sessions.Options{Path: "/", MaxAge: 86400, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if len(store.saved) != 1 || !reflect.DeepEqual(store.saved[0], want) {
		t.Errorf("options: got %+v; want %+v", store.saved, want)
	}
	_ = save(t, v, small(), false, cookies(w)...)
	if len(store.saved) != 2 || !reflect.DeepEqual(store.saved[1], want) || len(store.kept) != 1 {
		t.Errorf("options of a later save: got %+v in %d sessions; want %+v in 1", store.saved, len(store.kept), want)
	}
	w = httptest.NewRecorder()
	if err := saveAt(v, w, request(name+"=id1"), small(), now, true); err != nil {
		t.Fatalf("Save: got error %v; want none", err)
	}
	wantCookies(t, w, set(name, limits.Idle)) // and not that the old one is deleted
	if err := v.Forget(request(name + "=id1")); err != nil {
		t.Errorf("Forget: got error %v; want none", err)
	}
	if err := v.Remove(httptest.NewRecorder(), request()); err != nil {
		t.Errorf("Remove: got error %v; want none", err)
	}
	if fmt.Sprint(store.deleted) != "[id1]" {
		t.Errorf("deleted: got %q; want the old session alone", store.deleted)
	}
	if shown := fmt.Sprint(store.kept); strings.Contains(shown, "canary") || strings.Contains(shown, `"sub"`) {
		t.Error("the store shows a token or a person")
	}
}

// CASES 5.1: an attacker who has planted a store cookie of their own reads
// nothing with it after the victim has signed in.
func TestAPlantedStoreCookieReadsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for kind, store := range map[string]sessions.Store{
		"FilesystemStore": sessions.NewFilesystemStore(dir, hashKey), "one in memory": newFaulty(),
	} {
		v := newStore(t, store)
		attackers := small()
		attackers.RefreshToken = "the attacker's"
		planted := save(t, v, attackers, true)
		victims := save(t, v, small(), true, planted...)
		if err := v.Forget(request(planted...)); err != nil {
			t.Errorf("%s: Forget: got error %v; want none", kind, err)
		}
		if planted[0] == victims[0] {
			t.Fatalf("%s: got the planted cookie again; want a new one", kind)
		}
		wantSession(t, v, small(), victims...)
		wantNone(t, v, planted...)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("got %d files, %v; want 1", len(files), err)
	}
}

func TestASessionWhoseFileIsGoneIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := newStore(t, sessions.NewFilesystemStore(dir, hashKey))
	had := save(t, v, small(), true)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %q, %v; want one file", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil || bytes.Contains(content, []byte("canary")) {
		t.Errorf("got a file that shows a token, or %v; want it sealed", err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatalf("Remove: got error %v; want none", err)
	}
	wantNone(t, v, had...)
	if err := v.Remove(httptest.NewRecorder(), request(had...)); err != nil {
		t.Errorf("Remove: got error %v; want none", err)
	}
	for _, fresh := range []bool{false, true} {
		if again := save(t, v, small(), fresh, had...); again[0] == had[0] {
			t.Error("got the cookie that was there; want a new one")
		}
		wantNone(t, v, had...)
	}
	again := save(t, v, small(), true, had...)
	wantSession(t, v, small(), again...)
	wantNone(t, v, had...)
}

func TestASessionThatAStoreCannotHold(t *testing.T) {
	t.Parallel()
	files := sessions.NewFilesystemStore(t.TempDir(), hashKey)
	for kind, store := range map[string]sessions.Store{
		"CookieStore, 4,096 bytes":     sessions.NewCookieStore(hashKey, blockKey),
		"FilesystemStore, 4,096 bytes": files,
	} {
		v := newStore(t, store)
		w := httptest.NewRecorder()
		err := saveAt(v, w, request(), sized(4000, 96, 20), now, true)
		if !errors.Is(err, sessionstore.ErrTooLarge) || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%s: got %v; want ErrTooLarge with the size", kind, err)
		}
		wantCookies(t, w)
	}
	files.MaxLength(100_000)
	v := newStore(t, files)
	rec := sized(30_000, 96, 20)
	wantSession(t, v, rec, save(t, v, rec, true)...)

	beyond := small()
	beyond.RefreshToken = strings.Repeat("r", 70_000)
	err := saveAt(v, httptest.NewRecorder(), request(), beyond, now, true)
	if !errors.Is(err, sessionstore.ErrTooLarge) {
		t.Errorf("beyond what a session may have: got %v; want ErrTooLarge", err)
	}
}

// CASES 5.9. Row: a store that fails, and which calls fail with it.
func TestABrokenStoreIsAnError(t *testing.T) {
	t.Parallel()
	decode := fmt.Errorf("store: %w", forgedError(hashKey, nil, hashKey, nil))
	gone := &fs.PathError{Op: "open", Path: "/var/lib/session_SECRETKEY", Err: fs.ErrNotExist}
	refused := &fs.PathError{Op: "open", Path: "/var/lib/session_SECRETKEY", Err: fs.ErrPermission}
	for name_, row := range map[string]struct {
		store                     *faulty
		open, save, fresh, remove bool // whether they fail
	}{
		"none":                       {store: &faulty{}},
		"New fails":                  {&faulty{newErr: errBroken}, true, true, true, true},
		"New is refused a file":      {&faulty{newErr: refused}, true, true, true, true},
		"New does not know a cookie": {store: &faulty{newErr: decode}},
		"New finds no file":          {store: &faulty{newErr: gone}},
		"Save fails":                 {store: &faulty{saveErr: errBroken}, save: true, fresh: true},
		"Save is refused a file":     {store: &faulty{saveErr: refused}, save: true, fresh: true},
		"deleting fails":             {store: &faulty{deleteErr: errBroken}, remove: true},
	} {
		t.Run(name_, func(t *testing.T) {
			t.Parallel()
			row.store.kept = map[string]map[any]any{"id0": {}}
			v := newStore(t, row.store)
			r := request(name + "=id0")
			ok, err := v.Load(r, new(session.Session))
			check := func(call string, err error, fails bool) {
				t.Helper()
				switch {
				case (err != nil) != fails:
					t.Errorf("%s: got error %v; want one: %v", call, err, fails)
				case err == nil:
				case errors.Is(err, sessionstore.ErrTooLarge) || !strings.HasPrefix(err.Error(), "signin: ") || strings.Contains(err.Error(), "SECRETKEY"):
					t.Errorf("%s: got error %v; want the store's, without a session's key", call, err)
				case !errors.Is(err, errBroken) && !errors.Is(err, fs.ErrPermission):
					t.Errorf("%s: got error %v; want the cause wrapped", call, err)
				}
			}
			if ok {
				t.Error("Load: got a session; want none")
			}
			check("Load", err, row.open)
			check("Save", saveAt(v, httptest.NewRecorder(), r, small(), now, false), row.save)
			row.store.kept["id0"] = map[any]any{}
			check("Save of a fresh one", saveAt(v, httptest.NewRecorder(), r, small(), now, true), row.fresh)
			check("Forget", v.Forget(r), row.remove)
			row.store.kept["id0"] = map[any]any{}
			w := httptest.NewRecorder()
			check("Remove", v.Remove(w, r), row.remove)
			wantCookies(t, w, unset(name)) // whatever the store does
			check("Check", v.Check(t.Context()), row.store.saveErr != nil || row.store.deleteErr != nil)
		})
	}
	t.Run("a CookieStore without keys is broken, and nothing is too large for it", func(t *testing.T) {
		t.Parallel()
		v := newStore(t, sessions.NewCookieStore())
		if _, err := open(v, name+"=x"); err == nil {
			t.Error("Load: got no error; want one")
		}
		err := saveAt(v, httptest.NewRecorder(), request(), small(), now, true)
		if err == nil || errors.Is(err, sessionstore.ErrTooLarge) {
			t.Errorf("Save: got %v; want an error of the store", err)
		}
		if err := v.Check(t.Context()); err == nil {
			t.Error("Check: got no error; want one")
		}
	})
}

// It is not known which of two cookies is the person's own, so none is read. But the
// session that the store finds is deleted.
func TestRemoveDeletesFromAStoreBesideAPlantedCookie(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	v := newStore(t, store)
	had := save(t, v, small(), true)
	both := had[0] + "; " + name + "=planted"
	wantNone(t, v, both)
	if err := v.Remove(httptest.NewRecorder(), request(both)); err != nil || len(store.kept) != 0 {
		t.Errorf("got %v, and %d sessions in the store; want none", err, len(store.kept))
	}
	wantNone(t, v, had...)
}

func TestWhatAStoreHoldsMustBeText(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	store.kept = map[string]map[any]any{
		"number": {"signin": 5}, "nothing": {}, "other": {"else": "x"}, "empty": {"signin": ""}, "bytes": {"signin": []byte("x")},
	}
	for id := range store.kept {
		wantNone(t, newStore(t, store), name+"="+id)
	}
}

// A session has one text. Its length modulo three decides how many bits of the last
// character are beyond its last byte, and must be zero.
func TestASessionHasOneText(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	v := newStore(t, store)
	for size := range 3 {
		had := save(t, v, sized(50, 96, 20+size), true)
		_, id, _ := strings.Cut(had[0], "=")
		value := store.kept[id]["signin"].(string)
		opens := func(text string) bool {
			store.kept[id] = map[any]any{"signin": text}
			got, err := open(v, had...)
			if err != nil {
				t.Fatalf("got error %v; want none", err)
			}
			return got != nil
		}
		if !opens(value) {
			t.Fatalf("%d characters: got no session; want the one that was saved", len(value))
		}
		for at := range len(value) {
			for _, c := range []byte{0, ' ', '\n', '\r', '=', '+', '/', '.', '@', '[', '`', '{', 0x7f, 0x80, 0xff} {
				for what, text := range map[string]string{
					"in place of one": value[:at] + string([]byte{c}) + value[at+1:],
					"before one":      value[:at] + string([]byte{c}) + value[at:],
				} {
					if opens(text) {
						t.Errorf("%d characters, %q %s at %d: got a session; want none", len(value), c, what, at)
					}
				}
			}
		}
		for _, more := range []string{"\n", "\r", "\r\n", "=", "==", "\n=", "=\n", " ", "A", "AA", "AAA", "AAAA", "A\n", "AA\n\n", "AAA\n"} {
			if opens(value + more) {
				t.Errorf("%d characters and %q: got a session; want none", len(value), more)
			}
		}
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for _, last := range letters {
			text := value[:len(value)-1] + string(last)
			if got := opens(text); got != (text == value) {
				t.Errorf("%d characters, %q for the last: got a session: %v; want %v", len(value), last, got, text == value)
			}
		}
	}
}

func TestASessionThatIsOverIsDeletedFromItsStore(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	v := newStore(t, store)
	had := save(t, v, small(), true)
	w := httptest.NewRecorder()
	if err := saveAt(v, w, request(had...), small(), now.Add(limits.Max+time.Hour), false); err != nil {
		t.Errorf("Save: got error %v; want none", err)
	}
	wantCookies(t, w, unset(name))
	if len(store.kept) != 0 {
		t.Errorf("got %d sessions in the store; want none", len(store.kept))
	}
}

func TestCheckOfCookiesNeedsNothing(t *testing.T) {
	t.Parallel()
	if err := newStore(t, nil).Check(t.Context()); err != nil {
		t.Errorf("got %v; want no error", err)
	}
}
