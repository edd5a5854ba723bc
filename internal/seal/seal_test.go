package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gosignin/signin/internal/seal"
)

// overhead is how many bytes sealing adds: a nonce and a tag.
const overhead = 12 + 16

func key(b byte) []byte { return bytes.Repeat([]byte{b}, seal.MinKey) }

func box(t *testing.T, purpose, name, issuer, client string, keys ...[]byte) *seal.Box {
	t.Helper()
	r, err := seal.NewRing(keys, purpose, issuer, client)
	if err != nil {
		t.Fatalf("NewRing: got error %v; want none", err)
	}
	return r.Box(name)
}

// ring has the first key, for sessions.
func ring(t *testing.T, owner ...string) *seal.Ring {
	t.Helper()
	r, err := seal.NewRing([][]byte{key(1)}, "session", owner...)
	if err != nil {
		t.Fatalf("NewRing: got error %v; want none", err)
	}
	return r
}

func wantOpen(t *testing.T, box *seal.Box, sealed []byte, want string) {
	t.Helper()
	before := bytes.Clone(sealed)
	got, err := box.Open([]byte("before"), sealed)
	if err != nil || string(got) != "before"+want || !bytes.Equal(sealed, before) {
		t.Errorf("Open: got %q, %v; want %q appended, and the sealed value unchanged", got, err, want)
	}
}

func wantClosed(t *testing.T, box *seal.Box, sealed []byte) {
	t.Helper()
	if got, err := box.Open(nil, sealed); !errors.Is(err, seal.ErrOpen) || got != nil {
		t.Errorf("Open(%x): got %q, %v; want ErrOpen", sealed, got, err)
	}
}

func TestCases(t *testing.T) {
	t.Parallel()
	const plain = "what only a key holder may read"
	own := box(t, "session", "name", "https://op", "app", key(1))
	sealed := own.Seal(nil, []byte(plain))

	t.Run("5.3 the value itself opens and shows nothing", func(t *testing.T) {
		t.Parallel()
		wantOpen(t, own, sealed, plain)
		if bytes.Contains(sealed, []byte(plain[:8])) {
			t.Error("the sealed value holds the plain text")
		}
		if again := own.Seal(nil, []byte(plain)); bytes.Equal(again, sealed) {
			t.Error("two seals of one value are equal; want a new nonce each time")
		}
	})
	t.Run("5.3 a bit flipped at any byte, or a cut at any length, does not open", func(t *testing.T) {
		t.Parallel()
		for i := range sealed {
			wantClosed(t, own, sealed[:i])
			for bit := range 8 {
				forged := bytes.Clone(sealed)
				forged[i] ^= 1 << bit
				wantClosed(t, own, forged)
			}
		}
		wantClosed(t, own, append(bytes.Clone(sealed), 0))
	})
	for name, other := range map[string]*seal.Box{
		"5.3 another key does not open":                box(t, "session", "name", "https://op", "app", key(2)),
		"5.3 another name does not open":               box(t, "session", "nam", "https://op", "app", key(1)),
		"5.3 another issuer does not open":             box(t, "session", "name", "https://op/", "app", key(1)),
		"5.3 another client does not open":             box(t, "session", "name", "https://op", "apps", key(1)),
		"5.3 another purpose does not open":            box(t, "transaction", "name", "https://op", "app", key(1)),
		"5.3 parts do not run together":                box(t, "session", "nameht", "tps://op", "app", key(1)),
		"5.3 another place does not open":              ring(t, "https://op", "app").Box("name", "elsewhere"),
		"5.3 a part of the owner is none of the place": ring(t, "https://op").Box("app", "name"),
		"5.3 one owner more does not open":             ring(t, "https://op", "app", "").Box("name"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantClosed(t, other, sealed)
		})
	}
	t.Run("5.4 an old key opens, the new one seals, a removed one does not open", func(t *testing.T) {
		t.Parallel()
		both := box(t, "session", "name", "https://op", "app", key(2), key(1))
		wantOpen(t, both, sealed, plain)
		renewed := both.Seal(nil, []byte(plain))
		wantClosed(t, own, renewed)
		alone := box(t, "session", "name", "https://op", "app", key(2))
		wantOpen(t, alone, renewed, plain)
		wantClosed(t, alone, sealed)
	})
}

func TestNewRing_KeysMissingOrShort(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{
		"no key":      nil,
		"a short key": {key(1), make([]byte, seal.MinKey-1)},
	} {
		if r, err := seal.NewRing(keys, "p", "i", "c"); err == nil || r != nil {
			t.Errorf("%s: got %v, %v; want an error", name, r, err)
		}
	}
}

// FuzzOpen checks that only sealed values open, and that they open under their own
// name and no other.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{}, []byte{}, "name", "name")
	f.Add(make([]byte, overhead), []byte("x"), "name", "nam")
	f.Fuzz(func(t *testing.T, forged, plain []byte, name, other string) {
		own := box(t, "session", name, "https://op", "app", key(2), key(1))
		wantClosed(t, own, forged)
		sealed := own.Seal([]byte("before"), plain)
		if !bytes.HasPrefix(sealed, []byte("before")) || len(sealed) != len("before")+len(plain)+overhead {
			t.Fatalf("got %x; want the sealed value appended", sealed)
		}
		sealed = sealed[len("before"):]
		wantOpen(t, own, sealed, string(plain))
		if other != name {
			wantClosed(t, box(t, "session", other, "https://op", "app", key(2), key(1)), sealed)
		}
	})
}

func TestDerive(t *testing.T) {
	keys := [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	names, err := seal.Derive(keys, "names")
	again, err2 := seal.Derive(keys[1:], "names")
	others, err3 := seal.Derive(keys, "others")
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	if len(names) != 2 || len(names[0]) != 32 || !bytes.Equal(names[1], again[0]) {
		t.Errorf("got %x, and %x of the second key alone; want the same 32 bytes for it", names, again)
	}
	for i, secret := range names {
		if bytes.Equal(secret, others[i]) || bytes.Equal(secret, keys[i]) || bytes.Equal(names[0], names[1]) {
			t.Errorf("key %d: got %x, and %x for another purpose; want other secrets", i, secret, others[i])
		}
	}
	for name, keys := range map[string][][]byte{"no key": nil, "a short key": {keys[0], make([]byte, 31)}} {
		if got, err := seal.Derive(keys, "names"); got != nil || err == nil {
			t.Errorf("%s: got %x, %v; want an error", name, got, err)
		}
	}
}
