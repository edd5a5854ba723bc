package sharedstate_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

const api = "https://api.test"

func apiToken() *session.Token {
	return &session.Token{Access: "the-access-token", Scope: "read", Expiry: start.Add(time.Hour).Truncate(time.Second), Until: start.Add(time.Minute).Truncate(time.Second)}
}

func keepToken(t *testing.T, l *sharedstate.State, v *session.Session, a session.Audience, token *session.Token) {
	t.Helper()
	if err := l.KeepToken(t.Context(), v.ID, a, token, time.Minute); err != nil {
		t.Fatalf("KeepToken: got error %v; want none", err)
	}
}

// wantKept checks what is found for an audience; nil for nothing.
func wantKept(t *testing.T, what string, l *sharedstate.State, v *session.Session, a session.Audience, want *session.Token) {
	t.Helper()
	s, got, err := l.LookForToken(t.Context(), v, a)
	if err != nil || !reflect.DeepEqual(got, want) || !s.Plain() {
		t.Errorf("%s: got %+v, %v (standing %+v); want %+v", what, got, err, s, want)
	}
}

// changed is v with something else.
func changed(v *session.Session, change func(*session.Session)) *session.Session {
	other := *v
	change(&other)
	return &other
}

// tokenKeys are the keys of the tokens that are there.
func (s *shared) tokenKeys() (keys []string) {
	for k := range s.values {
		if k[0] == 't' {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestATokenIsKeptForOneSessionAndOneAudience(t *testing.T) {
	t.Parallel()
	s := newShared()
	l, v := open(t, s, issuer, client), with(t, both)
	audiences := []session.Audience{
		{}, {Resource: api}, {Organization: "org"}, {Resource: api, Organization: "org"},
		{Resource: api + "org"}, {Organization: api + "org"}, {Resource: "https://api.tes", Organization: "torg"}, // the same bytes, cut elsewhere
	}
	for _, a := range audiences {
		wantKept(t, "before it is kept", l, v, a, nil)
		token := apiToken()
		token.Access = a.Resource + " " + a.Organization
		keepToken(t, l, v, a, token)
	}
	for _, a := range audiences {
		want := apiToken()
		want.Access = a.Resource + " " + a.Organization
		wantKept(t, "its own", l, v, a, want)
		wantKept(t, "another session", l, changed(v, func(r *session.Session) { r.ID[0]++ }), a, nil)
		wantKept(t, "its next generation", l, changed(v, func(r *session.Session) { r.Generation++ }), a, want)
		wantKept(t, "another issuer", open(t, s, "https://other.test", client), v, a, nil)
		wantKept(t, "another client", open(t, s, issuer, "other"), v, a, nil)
		wantKept(t, "another key", open(t, s, issuer, client, key(2)), v, a, nil)
		wantKept(t, "the key rotates", open(t, s, issuer, client, key(2), key(1)), v, a, want)
	}
	if got := len(s.tokenKeys()); got != len(audiences) {
		t.Errorf("got %d keys; want one for each audience", got)
	}
}

func TestAKeptTokenIsSealedAndForSoLong(t *testing.T) {
	t.Parallel()
	s := newShared()
	l, v := open(t, s, issuer, client), with(t, both)
	keepToken(t, l, v, session.Audience{Resource: api}, apiToken())
	keepToken(t, l, v, session.Audience{Organization: "org"}, apiToken())
	keys := s.tokenKeys()
	for _, k := range keys {
		if value := s.values[k]; bytes.Contains(value, []byte("access")) || bytes.Contains(value, []byte("read")) || s.ttls[k] != time.Minute || len(k) != sharedstate.KeyLen {
			t.Errorf("%s: got %q for %v; want it sealed, for a minute", k, value, s.ttls[k])
		}
	}
	for name, spoil := range map[string]func(value []byte) []byte{
		"copied from another key": func([]byte) []byte { return s.values[keys[1]] },
		"garbage":                 func([]byte) []byte { return []byte("garbage") },
		"empty":                   func([]byte) []byte { return []byte{} },
		"a bit changed":           func(v []byte) []byte { v = bytes.Clone(v); v[len(v)-1] ^= 1; return v },
		"cut short":               func(v []byte) []byte { return v[:len(v)-1] },
		"a successor's":           func([]byte) []byte { return successorOf(t, s, l) },
	} {
		good := s.values[keys[0]]
		a := session.Audience{Resource: api}
		if l.Key(sharedstate.Token, tokenValue(v, a)) != keys[0] {
			a = session.Audience{Organization: "org"}
		}
		s.values[keys[0]] = spoil(good)
		wantKept(t, name, l, v, a, nil)
		s.values[keys[0]] = good
		wantKept(t, "mended", l, v, a, apiToken())
	}
}

// tokenValue is what the key of a token is made of: the length tells the two
// names apart.
func tokenValue(v *session.Session, a session.Audience) []byte {
	value := append(slices.Clone(v.ID[:]), byte(len(a.Resource)))
	return append(append(value, a.Resource...), a.Organization...)
}

func successorOf(t *testing.T, s *shared, l *sharedstate.State) []byte {
	t.Helper()
	v := changed(with(t, `{}`), func(s *session.Session) { s.ID[0]++ })
	if _, err := l.AddSuccessor(t.Context(), v, successorTo(v, "r")); err != nil {
		t.Fatalf("AddSuccessor: got error %v; want none", err)
	}
	return s.values[l.GenerationKey(sharedstate.Successor, v.ID, v.Generation)]
}

func TestASealedTokenThatIsNoneIsNone(t *testing.T) {
	t.Parallel()
	s := newShared()
	l, v := open(t, s, issuer, client), with(t, both)
	keepToken(t, l, v, session.Audience{}, &session.Token{Until: start}) // without an access token
	wantKept(t, "no token", l, v, session.Audience{}, nil)
}

func TestOneRoundTripTellsOfTheSessionAsWell(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]int{both: 5, `{"sub":"u1"}`: 4, `{}`: 3} {
		s := newShared()
		var asked []int
		s.answer = func(values [][]byte) [][]byte {
			asked = append(asked, len(values))
			return values
		}
		l, v := open(t, s, issuer, client), with(t, payload)
		keepToken(t, l, v, session.Audience{}, apiToken())
		look := func() sharedstate.Standing {
			t.Helper()
			standing, token, err := l.LookForToken(t.Context(), v, session.Audience{})
			if err != nil || token == nil {
				t.Errorf("%s: got %v, %v; want the token", payload, token, err)
			}
			return standing
		}
		if got := look(); !got.Plain() || !slices.Equal(asked, []int{want}) {
			t.Errorf("%s: got %+v after Gets of %v keys; want it plain after one of %d", payload, got, asked, want)
		}
		if _, err := l.AddSuccessor(t.Context(), v, successorTo(v, "r")); err != nil {
			t.Fatalf("AddSuccessor: got error %v; want none", err)
		}
		if got := look(); got.Ended || got.Superseded || got.Successor == nil {
			t.Errorf("%s: got %+v; want a successor", payload, got)
		}
		if err := l.Supersede(t.Context(), v.ID, v.Generation); err != nil {
			t.Fatalf("Supersede: got error %v; want none", err)
		}
		if got := look(); !got.Superseded {
			t.Errorf("%s: got %+v; want it superseded", payload, got)
		}
		if err := l.End(t.Context(), sharedstate.EndedSession, v.ID[:], sharedstate.SignedOut, start); err != nil {
			t.Fatalf("End: got error %v; want none", err)
		}
		if got := look(); !got.Ended || got.Reason != sharedstate.SignedOut {
			t.Errorf("%s: got %+v; want it ended", payload, got)
		}
	}
}

func TestTokensAndBrokenSharedState(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken on purpose")
	s := newShared()
	l, v := open(t, s, issuer, client), with(t, both)
	s.fail["Set"] = broken
	if err := l.KeepToken(t.Context(), v.ID, session.Audience{}, apiToken(), time.Minute); !errors.Is(err, broken) {
		t.Errorf("KeepToken: got %v; want the failure", err)
	}
	s.fail["Get"] = broken
	if standing, token, err := l.LookForToken(t.Context(), v, session.Audience{}); !errors.Is(err, broken) || token != nil || !standing.Plain() {
		t.Errorf("LookForToken: got %+v, %v, %v; want the failure", standing, token, err)
	}
	delete(s.fail, "Get")
	s.answer = func(values [][]byte) [][]byte { return values[:len(values)-1] }
	if _, token, err := l.LookForToken(t.Context(), v, session.Audience{}); err == nil || token != nil {
		t.Errorf("one value less than keys: got %v, %v; want an error", token, err)
	}
}
