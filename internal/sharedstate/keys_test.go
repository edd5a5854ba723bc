package sharedstate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

var kinds = []sharedstate.Kind{
	sharedstate.EndedSession, sharedstate.EndedProviderSession, sharedstate.EndedSubject, sharedstate.Successor,
	sharedstate.Lease, sharedstate.Used, sharedstate.Revoked, sharedstate.LogoutToken, sharedstate.Probe,
}

func TestKey(t *testing.T) {
	seen := map[string]string{}
	check := func(kind sharedstate.Kind, key, name string) {
		t.Helper()
		if other, twice := seen[key]; twice {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[key] = name
		if len(key) != sharedstate.KeyLen || key[0] != kind[0] || key[1] != '.' {
			t.Errorf("%s: got key %q; want %d bytes that begin with the letter of the kind", name, key, sharedstate.KeyLen)
		}
	}
	for _, of := range [][2]string{
		{issuer, client}, {"https://other.test/oidc", client}, {issuer, "other"},
		{issuer + "a", "pp"}, {"", issuer + client}, // the same bytes, split elsewhere
	} {
		st := open(t, newShared(), of[0], of[1])
		for _, kind := range kinds {
			for _, value := range []string{"", "a", "b", "aa", " revoked", "\x00", strings.Repeat("s", 255), strings.Repeat("s", 5000)} {
				name := fmt.Sprintf("%q %q %.20q (%d)", of, kind, value, len(value))
				key := st.Key(kind, []byte(value))
				check(kind, key, name)
				if len(value) > 2 && strings.Contains(key, value) {
					t.Errorf("%s: the key shows the value", name)
				}
			}
		}
		for _, id := range []session.ID{{1}, {2}, {15: 1}} {
			for _, generation := range []uint64{0, 1, 255, 256, 1<<24 - 1} {
				for _, kind := range []sharedstate.Kind{sharedstate.Successor, sharedstate.Lease, sharedstate.Revoked} {
					check(kind, st.GenerationKey(kind, id, generation), fmt.Sprintf("%q %q %x %d", of, kind, id, generation))
				}
			}
		}
	}
}

func TestKey_TellsClass(t *testing.T) {
	st := open(t, newShared(), issuer, client)
	kept := []sharedstate.Kind{
		sharedstate.EndedSession, sharedstate.EndedProviderSession, sharedstate.EndedSubject,
		sharedstate.Successor, sharedstate.Lease, sharedstate.LogoutToken,
	}
	for _, kind := range append(kinds, sharedstate.Token) {
		key := st.Key(kind, []byte("v"))
		if got, want := sharedstate.Kept(key), slices.Contains(kept, kind); got != want {
			t.Errorf("%q: got kept %t; want %t", kind, got, want)
		}
		if got, want := sharedstate.Cached(key), kind == sharedstate.Token; got != want {
			t.Errorf("%q: got cached %t; want %t", kind, got, want)
		}
	}
}

func TestLook_Keys(t *testing.T) {
	s := newShared()
	st := open(t, s, issuer, client)
	id := session.ID{15: 7}
	next, ended := st.GenerationKey(sharedstate.Successor, id, 3), st.Key(sharedstate.EndedSession, id[:])
	sub, sid := st.Key(sharedstate.EndedSubject, []byte("u1")), st.Key(sharedstate.EndedProviderSession, []byte("s1"))
	for payload, want := range map[string][]string{
		both:           {next, ended, sub, sid},
		`{"sub":"u1"}`: {next, ended, sub},
		`{"sid":"s1"}`: {next, ended, sid},
		`{}`:           {next, ended},
	} {
		if _, err := st.Look(t.Context(), with(t, payload)); err != nil || !slices.Equal(s.asked, want) {
			t.Errorf("%s: got keys %q, %v; want %q", payload, s.asked, err, want)
		}
		_, _, err := st.LookForToken(t.Context(), with(t, payload), session.Audience{})
		if n := len(want); err != nil || len(s.asked) != n+1 || !slices.Equal(s.asked[:n], want) {
			t.Errorf("%s and a token: got keys %q, %v; want %q and one more", payload, s.asked, err, want)
		}
	}
}
