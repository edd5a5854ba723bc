package sharedstate_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// kept is an entry, or several that are written together: how it is written, and
// how it is read again.
type kept struct {
	name  string
	write func(t *testing.T, st *sharedstate.State, v *session.Session) error
	read  func(t *testing.T, st *sharedstate.State, v *session.Session) (there bool, err error)
	v     string // the claims of the session
}

// looks returns a way to read that asks why a session has ended.
func looks(want sharedstate.Reason) func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error) {
	return func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error) {
		standing, err := st.Look(t.Context(), v)
		return standing.Ended == want, err
	}
}

// follows reads where a session has gone on, and what was shown.
func follows(t *testing.T, st *sharedstate.State, v *session.Session) (*session.Session, sharedstate.Shown, error) {
	standing, err := st.Look(t.Context(), v)
	if err != nil {
		return nil, sharedstate.Shown{}, err
	}
	newest, now, shown, err := st.Follow(t.Context(), v, standing)
	if err == nil && !now.Newest() {
		t.Errorf("Follow: got generation %d, with a successor; want the newest", newest.Generation)
	}
	return newest, shown, err
}

// everything is each kind of entry that is read again.
func everything() []kept {
	type write = func(t *testing.T, st *sharedstate.State, v *session.Session) error
	ends := func(reason sharedstate.Reason) write {
		return func(t *testing.T, st *sharedstate.State, v *session.Session) error {
			return st.EndSession(t.Context(), v.ID, reason)
		}
	}
	logout := func(who sharedstate.Ended) write {
		return func(t *testing.T, st *sharedstate.State, _ *session.Session) error {
			return st.EndByProvider(t.Context(), who, start)
		}
	}
	person := func(t *testing.T, st *sharedstate.State, _ *session.Session) error {
		return st.EndPerson(t.Context(), "u1")
	}
	note := []byte("/secret/page")
	all := []kept{
		{"a sign-out", ends(sharedstate.SignedOut), looks(sharedstate.SignedOut), both},
		{"the end of a session that was replaced", ends(sharedstate.Replaced), looks(sharedstate.Replaced), both},
		{"the number of a person", person, looks(sharedstate.ByApplication), both},
		{"when a person's sessions were ended", person, func(t *testing.T, st *sharedstate.State, _ *session.Session) (bool, error) {
			p, err := st.Person(t.Context(), "u1")
			return !p.Since.IsZero() && p.Number != session.Number{}, err
		}, both},
		{"a logout token of a person", logout(sharedstate.Ended{Subject: "u1"}), looks(sharedstate.ByProvider), both},
		{"a logout token of a provider session", logout(sharedstate.Ended{SessionID: "s1"}), looks(sharedstate.ByProvider), both},
		{"a logout token of both", logout(sharedstate.Ended{Subject: "u1", SessionID: "s1"}), looks(sharedstate.ByProvider), both},
		{"a logout token of both, for a session without sid", logout(sharedstate.Ended{Subject: "u1", SessionID: "s1"}), looks(sharedstate.ByProvider), withoutID},
		{"a successor", func(t *testing.T, st *sharedstate.State, v *session.Session) error {
			_, err := st.AddSuccessor(t.Context(), v, successorTo(v, "secret"))
			return err
		}, func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error) {
			newest, _, err := follows(t, st, v)
			return err == nil && newest.RefreshToken == "secret", err
		}, both},
		{"what a browser has shown", func(t *testing.T, st *sharedstate.State, v *session.Session) error {
			_, err := st.AddSuccessor(t.Context(), v, successorTo(v, "secret"))
			return errors.Join(err, st.Show(t.Context(), v.ID, 3, 4))
		}, func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error) {
			_, shown, err := follows(t, st, v)
			return shown.Newer == 4, err
		}, both},
		{"the lease of a callback", func(t *testing.T, st *sharedstate.State, _ *session.Session) error {
			_, err := st.TakeCallback(t.Context(), "state", time.Minute)
			return err
		}, func(t *testing.T, st *sharedstate.State, _ *session.Session) (bool, error) {
			standing, err := st.LookAtCallback(t.Context(), "state")
			return standing.Leased, err
		}, both},
		{"the mark of a callback", func(t *testing.T, st *sharedstate.State, _ *session.Session) error {
			return st.MarkCallback(t.Context(), "state", sharedstate.Finished, note, time.Minute)
		}, func(t *testing.T, st *sharedstate.State, _ *session.Session) (bool, error) {
			standing, err := st.LookAtCallback(t.Context(), "state")
			return standing.Progress == sharedstate.Finished && bytes.Equal(standing.Note, note), err
		}, both},
		{"a logout token that was used", func(t *testing.T, st *sharedstate.State, _ *session.Session) error {
			return st.UseLogoutToken(t.Context(), "jti", time.Minute)
		}, func(t *testing.T, st *sharedstate.State, _ *session.Session) (bool, error) {
			return st.LogoutTokenUsed(t.Context(), "jti")
		}, both},
		{"an access token", func(t *testing.T, st *sharedstate.State, v *session.Session) error {
			return st.KeepToken(t.Context(), v.ID, session.Audience{Resource: api}, apiToken(), time.Minute)
		}, func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error) {
			_, token, err := st.LookForToken(t.Context(), v, session.Audience{Resource: api})
			return token != nil && token.Access == apiToken().Access, err
		}, both},
	}
	var held *sharedstate.Held
	return append(all, kept{"a lease", func(t *testing.T, st *sharedstate.State, v *session.Session) (err error) {
		held, err = st.TakeLease(t.Context(), v, time.Minute)
		return err
	}, func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error) {
		_, holds, err := st.LookUnderLease(t.Context(), v, held)
		return holds, err
	}, both})
}

// Names and values show nothing to a person who can read the store, except what an
// entry is for: operators and a Memory need that.
func TestNames_ShowOnlyTheKind(t *testing.T) {
	for _, e := range everything() {
		s := newShared()
		noError(t, e.write(t, open(t, s), with(t, e.v)))
		for k, v := range s.values {
			if len(k) != sharedstate.NameLen || !strings.Contains("exnhsglcujt", k[:1]) || k[1] != '.' {
				t.Errorf("%s: got the name %q; want %d bytes that begin with the letter of a kind", e.name, k, sharedstate.NameLen)
			}
			// Each is too long to be there by chance.
			for _, secret := range []string{"secret", "state", "access-token", "https://"} {
				if strings.Contains(k+string(v), secret) {
					t.Errorf("%s: got %q under %q; want no %q in it", e.name, v, k, secret)
				}
			}
		}
	}
}

// No two kinds, values, issuers, clients or keys have a name in common, however the
// same bytes are split.
func TestNames_Distinct(t *testing.T) {
	seen := map[string]string{}
	for _, d := range []struct {
		issuer, client string
		key            byte
	}{
		{issuer, client, 1}, {issuer, client, 2}, {"https://other.test/oidc", client, 1}, {issuer, "other", 1},
		{issuer + "a", "pp", 1}, {"", issuer + client, 1},
	} {
		for _, value := range []string{"a", "b", "aa", "\x00", " without sida", strings.Repeat("s", 255), strings.Repeat("s", 5000)} {
			for i, write := range []func(*sharedstate.State) error{
				func(st *sharedstate.State) error { return st.EndPerson(t.Context(), value) },
				func(st *sharedstate.State) error {
					return st.EndByProvider(t.Context(), sharedstate.Ended{Subject: value}, start)
				},
				func(st *sharedstate.State) error {
					return st.EndByProvider(t.Context(), sharedstate.Ended{Subject: value, SessionID: value}, start)
				},
				func(st *sharedstate.State) error { return st.UseLogoutToken(t.Context(), value, ttl) },
				func(st *sharedstate.State) error {
					return st.MarkCallback(t.Context(), value, sharedstate.Exchanged, nil, ttl)
				},
				func(st *sharedstate.State) error {
					_, err := st.TakeCallback(t.Context(), value, ttl)
					return err
				},
				func(st *sharedstate.State) error {
					return st.Show(t.Context(), session.ID([]byte(fmt.Sprintf("%-16.16s", value))), 1, 2)
				},
				func(st *sharedstate.State) error {
					v := &session.Session{ID: session.ID([]byte(fmt.Sprintf("%-16.16s", value))), Generation: uint64(len(value))}
					_, err := st.TakeLease(t.Context(), v, ttl)
					_, err2 := st.AddSuccessor(t.Context(), v, v)
					return errors.Join(err, err2, st.EndSession(t.Context(), v.ID, sharedstate.SignedOut))
				},
			} {
				if value == strings.Repeat("s", 5000) && i > 5 {
					continue // the ID of the one before it
				}
				s := newShared()
				noError(t, write(openAs(t, s, d.issuer, d.client, key(d.key))))
				for k := range s.values {
					if len(value) > 10 && strings.Contains(k, value[:6]) {
						t.Errorf("%.20q (%d): got the name %s, which shows it", value, len(value), k)
					}
					what := fmt.Sprintf("%q %.20q (%d), write %d", d, value, len(value), i)
					if other, twice := seen[k]; twice {
						t.Errorf("%s and %s: got the name %s for both", what, other, k)
					}
					seen[k] = what
				}
			}
		}
	}
	for _, generation := range []uint64{0, 1, 255, 256, 1 << 16, 1<<24 - 1} {
		s := newShared()
		_, err := open(t, s).TakeLease(t.Context(), &session.Session{ID: session.ID{1}, Generation: generation}, ttl)
		noError(t, err)
		for k := range s.values {
			if other, twice := seen[k]; twice {
				t.Errorf("generation %d and %s: got the name %s for both", generation, other, k)
			}
			seen[k] = fmt.Sprint("generation ", generation)
		}
	}
}

// Another deployment on the same store has other keys, or another provider or
// client. It sees nothing, and harms nothing.
func TestNames_TwoDeployments(t *testing.T) {
	for name, other := range map[string]func(s sharedstate.Store) *sharedstate.State{
		"other keys":     func(s sharedstate.Store) *sharedstate.State { return open(t, s, key(8), key(9)) },
		"another issuer": func(s sharedstate.Store) *sharedstate.State { return openAs(t, s, "https://other.test", client) },
		"another client": func(s sharedstate.Store) *sharedstate.State { return openAs(t, s, issuer, "other") },
	} {
		for _, e := range everything() {
			s := newShared()
			v := with(t, e.v)
			noError(t, e.write(t, other(s), v))
			if e.name == "a lease" { // whose holder it is
				if held, err := open(t, s).TakeLease(t.Context(), v, time.Minute); held == nil || err != nil {
					t.Errorf("%s, %s: got %v, %v; want it taken here too", name, e.name, held, err)
				}
				continue
			}
			if there, err := e.read(t, open(t, s), v); there || err != nil {
				t.Errorf("%s, %s: got there %t, %v; want nothing", name, e.name, there, err)
			}
			noError(t, e.write(t, open(t, s), v))
			if there, err := e.read(t, open(t, s), v); !there || err != nil {
				t.Errorf("%s, %s, written here too: got there %t, %v; want it", name, e.name, there, err)
			}
		}
	}
}

// A person who may write to the store copies values, changes them, or writes
// something else. A value that does not open is an error, and never "no entry".
// Ends reach the applications of a client on all hosts; all else is one application's.
func TestNames_TwoHosts(t *testing.T) {
	s := newShared()
	at := func(base string) *sharedstate.State {
		st, err := sharedstate.New(sharedstate.Config{
			Store: s, Keys: [][]byte{key(1)}, Issuer: issuer, Client: client, Base: base,
			TTL: ttl, PersonTTL: personTTL, SinceTTL: sinceTTL, Now: time.Now,
		})
		noError(t, err)
		return st
	}
	here, there, ctx := at("https://a.test"), at("https://b.test"), t.Context()
	before, err := there.Person(ctx, "alice")
	noError(t, err)
	noError(t, here.EndPerson(ctx, "alice"))
	noError(t, here.UseLogoutToken(ctx, "jti", time.Minute))
	noError(t, here.MarkCallback(ctx, "state", sharedstate.Finished, nil, time.Minute))
	same, errSame := there.Same(ctx, "alice", before)
	used, errUsed := there.LogoutTokenUsed(ctx, "jti")
	callback, errCallback := there.LookAtCallback(ctx, "state")
	if same || !used || callback.Progress != 0 || errSame != nil || errUsed != nil || errCallback != nil {
		t.Errorf("got same %t, used %t, callback %+v; want the ends alone", same, used, callback)
	}
}

func TestRead_ValueThatDoesNotOpen(t *testing.T) {
	others := newShared()
	st := open(t, others)
	for _, e := range everything() {
		noError(t, e.write(t, st, changed(with(t, e.v), func(v *session.Session) { v.ID[0]++ })))
	}
	for _, e := range everything() {
		s := newShared()
		st, v := open(t, s), with(t, e.v)
		noError(t, e.write(t, st, v))
		s.asked = nil
		if there, err := e.read(t, st, v); !there || err != nil {
			t.Fatalf("%s: got there %t, %v; want it", e.name, there, err)
		}
		spoiled := 0
		for k, value := range s.values {
			if !slices.Contains(s.asked, k) || k[0] == 'h' { // a hint is not believed anyway
				continue
			}
			flipped := bytes.Clone(value)
			flipped[len(flipped)/2] ^= 1
			bad := map[string][]byte{
				"a bit flipped": flipped, "cut": value[:len(value)-1], "empty": {}, "garbage": []byte("garbage"),
				"of another deployment": sealedElsewhere(t, e.name, k),
			}
			for other, v := range others.values {
				if other != k {
					bad["of another entry, "+other] = v
				}
			}
			for what, b := range bad {
				s.values[k] = b
				if there, err := e.read(t, st, v); there || !errors.Is(err, sharedstate.ErrBroken) {
					t.Errorf("%s, %s: got there %t, %v; want ErrBroken", e.name, what, there, err)
				}
				spoiled++
			}
			s.values[k] = value
		}
		if spoiled == 0 {
			t.Errorf("%s: got no value that is read; want one", e.name)
		}
	}
}

// sealed seals a value for a name, as a State with key 1 does.
func sealed(t *testing.T, name string, plain []byte) []byte {
	t.Helper()
	ring, err := seal.NewRing([][]byte{key(1)}, "shared", issuer, client)
	noError(t, err)
	return ring.Box(name).Seal(nil, plain)
}

// A value that opens, but does not have the form that this version writes, is broken
// as well: it is not taken for something else.
func TestRead_ValueOfAnotherForm(t *testing.T) {
	forms := [][]byte{{}, {1, 2, 3}, {0x80, 0x80}, bytes.Repeat([]byte{0xff}, 9), bytes.Repeat([]byte{1}, 300)}
	for _, e := range everything() {
		if slices.Contains([]string{"a lease", "the lease of a callback", "the mark of a callback", "a logout token that was used", "an access token"}, e.name) {
			continue // they have no form, or any, or are fetched again
		}
		s := newShared()
		st, v := open(t, s), with(t, e.v)
		noError(t, e.write(t, st, v))
		s.asked = nil
		_, err := e.read(t, st, v)
		noError(t, err)
		for k, value := range s.values {
			if !slices.Contains(s.asked, k) || k[0] == 'h' {
				continue
			}
			for _, plain := range forms {
				if k[0] == 's' && len(plain) == 3 || k[0] == 's' && len(plain) == 300 {
					continue // three numbers
				}
				s.values[k] = sealed(t, k, plain)
				if there, err := e.read(t, st, v); there || !errors.Is(err, sharedstate.ErrBroken) {
					t.Errorf("%s, % .10x: got there %t, %v; want ErrBroken", e.name, plain, there, err)
				}
			}
			s.values[k] = value
		}
	}
}

// sealedElsewhere returns a value of the same kind that was sealed with another key.
func sealedElsewhere(t *testing.T, kind, name string) []byte {
	s := newShared()
	for _, e := range everything() {
		if e.name == kind {
			noError(t, e.write(t, open(t, s, key(9)), with(t, e.v)))
		}
	}
	return s.values[s.keys(name[:1])[0]]
}
