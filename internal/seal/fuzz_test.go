package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gosignin/signin/internal/seal"
)

// FuzzOpen: nothing opens that was not sealed, and what was sealed opens, to the
// byte, by the ring that has its key, under its name, for its purpose, issuer and
// client, and by no other; not if a bit of it is another one either.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{}, []byte{}, "n", "n", "session", "https://op", "app", uint16(0))
	f.Add(make([]byte, overhead), []byte("what nobody else may read"), "name", "nam", "transaction", "https://op/", "apps", uint16(200))
	f.Add([]byte{1}, []byte("x"), "nameht", "name", "session", "tps://op", "app", uint16(99))
	f.Fuzz(func(t *testing.T, forged, plain []byte, name, other, purpose, issuer, client string, bit uint16) {
		made := func(purpose, issuer, client string, keys ...[]byte) *seal.Ring {
			r, err := seal.NewRing(keys, purpose, issuer, client)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		ring := made(purpose, issuer, client, key(2), key(1))
		box := ring.Box(name)
		wantClosed := func(what string, box *seal.Box, sealed []byte) {
			t.Helper()
			if got, err := box.Open(nil, sealed); !errors.Is(err, seal.ErrOpen) || got != nil {
				t.Errorf("%s: %x opened to %x, %v; want ErrOpen", what, sealed, got, err)
			}
		}
		wantClosed("forged", box, forged)

		sealed := made(purpose, issuer, client, key(1)).Box(name).Seal([]byte("before"), plain)
		if !bytes.HasPrefix(sealed, []byte("before")) || len(sealed) != len("before")+len(plain)+overhead {
			t.Fatalf("sealed to %x; want it behind what was there", sealed)
		}
		sealed = sealed[len("before"):]
		kept := bytes.Clone(sealed)
		if got, err := box.Open([]byte("before"), sealed); err != nil || string(got) != "before"+string(plain) || !bytes.Equal(sealed, kept) {
			t.Fatalf("got %q, %v; want %q behind what was there, and the sealed value as it was", got, err, plain)
		}
		if other != name {
			wantClosed("another name", ring.Box(other), sealed)
		}
		if other != purpose {
			wantClosed("another purpose", made(other, issuer, client, key(1)).Box(name), sealed)
		}
		if other != issuer {
			wantClosed("another issuer", made(purpose, other, client, key(1)).Box(name), sealed)
		}
		if other != client {
			wantClosed("another client", made(purpose, issuer, other, key(1)).Box(name), sealed)
		}
		wantClosed("another key", made(purpose, issuer, client, key(3)).Box(name), sealed)
		wantClosed("cut short", box, sealed[:int(bit)%len(sealed)])
		wantClosed("made longer", box, append(append(bytes.Clone(sealed), 0), forged...))
		sealed[int(bit)/8%len(sealed)] ^= 1 << (bit % 8)
		wantClosed("a bit changed", box, sealed)
	})
}
