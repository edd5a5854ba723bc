package sessionstore_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/sessionstore"
)

// nameless is a store that gives no IDs, renamed is a store of another kind, and
// moving gives a session a new ID whenever it is saved.
type (
	nameless struct{ *faulty }
	renamed  struct{ *faulty }
	moving   struct{ *faulty }
)

func (s nameless) New(r *http.Request, name string) (*sessions.Session, error) {
	kept, err := s.faulty.New(r, name)
	kept.ID = ""
	return kept, err
}

func (s nameless) Save(r *http.Request, w http.ResponseWriter, kept *sessions.Session) error {
	with := *kept
	if c, err := r.Cookie(kept.Name()); err == nil && !kept.IsNew {
		with.ID = c.Value
	}
	return s.faulty.Save(r, w, &with)
}

func (s moving) Save(r *http.Request, w http.ResponseWriter, kept *sessions.Session) error {
	if kept.Options.MaxAge > 0 {
		delete(s.kept, kept.ID)
		kept.ID = ""
	}
	return s.faulty.Save(r, w, kept)
}

// raw returns what a store has for a browser, and put replaces it, as a person with
// read and write access to the store can.
func raw(t *testing.T, store sessions.Store, had string) string {
	t.Helper()
	kept, err := store.New(request(had), name)
	text, ok := kept.Values["signin"].(string)
	if err != nil || !ok {
		t.Fatalf("got %v, %v; want a session", kept.Values, err)
	}
	return text
}

func put(t *testing.T, store sessions.Store, had, text string) (now string) {
	t.Helper()
	r, w := request(had), httptest.NewRecorder()
	kept, err := store.New(r, name)
	kept.Values["signin"], kept.Options = text, &sessions.Options{MaxAge: 60}
	if err := errors.Join(err, store.Save(r, w, kept)); err != nil {
		t.Fatal(err)
	}
	return cookies(w)[0]
}

// A value opens only in its own place, and not when it was copied from store to store,
// or from one session of a store to another. A store that gives no IDs is one place.
func TestLoad_ValueMoved(t *testing.T) {
	t.Parallel()
	memory := newFaulty()
	stores := map[string]sessions.Store{
		"the default": &sessionstore.Cookies{}, "CookieStore": sessions.NewCookieStore(hashKey), "no IDs": nameless{newFaulty()},
		"FilesystemStore": sessions.NewFilesystemStore(t.TempDir(), hashKey), "in memory": memory, "of another kind": renamed{memory},
	}
	over := func(kind, name, base string) *sessionstore.Store {
		store := stores[kind]
		if kind == "the default" {
			store = nil
		}
		return sessionstore.New(store, name, ring(t, 1, base), true)
	}
	onePlace := []string{"the default", "CookieStore", "no IDs"}
	for from, source := range stores {
		victims := save(t, over(from, name, base), small(), true)[0]
		stolen := raw(t, source, victims)
		for to, target := range stores {
			v := over(to, name, base)
			own := save(t, v, sized(50, 96, 20), true)[0]
			got, err := load(v, put(t, target, own, stolen))
			if want := from == to && slices.Contains(onePlace, to); (got != nil) != want || err != nil {
				t.Errorf("from %q to %q: got a session %t, %v; want one: %t", from, to, got != nil, err, want)
			}
		}
		wantSession(t, over(from, name, base), small(), victims)
		wantNone(t, over(from, name, "https://other.test"), victims)
		wantNone(t, over(from, name, base+"/app"), victims)
		wantNone(t, over(from, "another", base), strings.Replace(victims, name, "another", 1))
	}
	// The same ID in a store of another kind.
	wantNone(t, over("of another kind", name, base), save(t, over("in memory", name, base), small(), true)...)
}

// A store first gets an empty session, and the real one is sealed for its ID.
func TestSave_PlaceOfASession(t *testing.T) {
	t.Parallel()
	store := newFaulty()
	v := newStore(t, store)
	first := save(t, v, small(), true)
	copied := raw(t, store, first[0])
	second := save(t, v, small(), true, first...)
	if err := v.Forget(request(first...)); err != nil || len(store.kept) != 1 {
		t.Errorf("got %d sessions, %v; want the new one alone", len(store.kept), err)
	}
	wantNone(t, v, put(t, store, second[0], copied))

	w := httptest.NewRecorder()
	if err := v.Save(w, request(), small(), day, true); err != nil {
		t.Fatal(err)
	}
	if err := v.TakeBack(w, request(second...)); err != nil || len(store.kept) != 1 || len(w.Header()["Set-Cookie"]) > 0 {
		t.Errorf("TakeBack: got %d sessions, %v; want what was saved removed, and nothing else", len(store.kept), err)
	}
	refusing, changing, unnamed := newFaulty(), newFaulty(), newFaulty()
	for _, row := range []struct {
		what  string
		store sessions.Store
		kept  *faulty
		fails bool
		left  int // of Save and Check
	}{
		{"works", store, store, false, len(store.kept) + 1},
		{"refuses what is not empty", &picky{faulty: refusing, err: errBroken}, refusing, true, 0},
		{"gives another ID with each save", moving{changing}, changing, true, 0},
		{"gives no IDs", nameless{unnamed}, unnamed, false, 1},
	} {
		v := newStore(t, row.store)
		err, wrong := v.Save(httptest.NewRecorder(), request(), small(), day, true), v.Check(t.Context())
		if (err != nil) != row.fails || (wrong != nil) != row.fails || len(row.kept.kept) != row.left {
			t.Errorf("a store that %s: Save: %v, Check: %v, %d sessions; want errors: %t, and %d", row.what, err, wrong, len(row.kept.kept), row.fails, row.left)
		}
	}
}
