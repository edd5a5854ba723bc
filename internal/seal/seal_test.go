package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gosignin/signin/internal/seal"
)

// overhead is by how many bytes a sealed value is longer than what it holds: a
// nonce and a tag.
const overhead = 12 + 16

func key(b byte) []byte { return bytes.Repeat([]byte{b}, seal.MinKey) }

func ring(t *testing.T, purpose, issuer, client string, keys ...[]byte) *seal.Ring {
	t.Helper()
	r, err := seal.NewRing(keys, purpose, issuer, client)
	if err != nil {
		t.Fatalf("NewRing: got error %v; want none", err)
	}
	return r
}

func TestCases(t *testing.T) {
	t.Parallel()
	plain := []byte("what nobody else may read")
	box := ring(t, "session", "https://op", "app", key(1)).Box("name")
	sealed := box.Seal(nil, plain)

	t.Run("5.3 the value itself opens", func(t *testing.T) {
		t.Parallel()
		got, err := box.Open([]byte("before"), sealed)
		if err != nil || string(got) != "before"+string(plain) {
			t.Errorf("Open: got %q, %v; want the plain text appended", got, err)
		}
		if len(sealed) != len(plain)+overhead {
			t.Errorf("sealed length: got %d; want %d", len(sealed), len(plain)+overhead)
		}
		if bytes.Contains(sealed, plain[:8]) {
			t.Error("the sealed value holds the plain text")
		}
	})
	t.Run("5.3 a bit flipped at any byte does not open", func(t *testing.T) {
		t.Parallel()
		for i := range sealed {
			for bit := range 8 {
				forged := bytes.Clone(sealed)
				forged[i] ^= 1 << bit
				if got, err := box.Open(nil, forged); !errors.Is(err, seal.ErrOpen) || got != nil {
					t.Fatalf("byte %d bit %d: got %q, %v; want ErrOpen", i, bit, got, err)
				}
			}
		}
	})
	t.Run("5.3 truncated at any length does not open", func(t *testing.T) {
		t.Parallel()
		for n := range sealed {
			if _, err := box.Open(nil, sealed[:n]); !errors.Is(err, seal.ErrOpen) {
				t.Fatalf("%d bytes: got %v; want ErrOpen", n, err)
			}
		}
	})
	for name, other := range map[string]*seal.Box{
		"5.3 another key does not open":     ring(t, "session", "https://op", "app", key(2)).Box("name"),
		"5.3 another name does not open":    ring(t, "session", "https://op", "app", key(1)).Box("nam"),
		"5.3 another issuer does not open":  ring(t, "session", "https://op/", "app", key(1)).Box("name"),
		"5.3 another client does not open":  ring(t, "session", "https://op", "apps", key(1)).Box("name"),
		"5.3 another purpose does not open": ring(t, "transaction", "https://op", "app", key(1)).Box("name"),
		"5.3 parts do not run together":     ring(t, "session", "tps://op", "app", key(1)).Box("nameht"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := other.Open(nil, sealed); !errors.Is(err, seal.ErrOpen) {
				t.Errorf("got %v; want ErrOpen", err)
			}
		})
	}
	t.Run("5.4 an old key opens, the new one seals, a removed one does not open", func(t *testing.T) {
		t.Parallel()
		both := ring(t, "session", "https://op", "app", key(2), key(1)).Box("name")
		if got, err := both.Open(nil, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("old value: got %q, %v; want it to open", got, err)
		}
		renewed := both.Seal(nil, plain)
		if _, err := box.Open(nil, renewed); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("new value with the old key alone: got %v; want ErrOpen", err)
		}
		alone := ring(t, "session", "https://op", "app", key(2)).Box("name")
		if got, err := alone.Open(nil, renewed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("new value with the new key: got %q, %v; want it to open", got, err)
		}
		if _, err := alone.Open(nil, sealed); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("old value with the old key removed: got %v; want ErrOpen", err)
		}
	})
}

func TestSealIsNeverTheSameTwice(t *testing.T) {
	t.Parallel()
	box := ring(t, "session", "i", "c", key(1)).Box("n")
	if a, b := box.Seal(nil, []byte("x")), box.Seal(nil, []byte("x")); bytes.Equal(a, b) {
		t.Error("two seals of one value are equal; want a new nonce each time")
	}
}

func TestNewRingRefusesKeysThatAreNone(t *testing.T) {
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
