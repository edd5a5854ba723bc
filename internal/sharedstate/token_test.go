package sharedstate_test

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

const api = "https://api.test"

func apiToken() *session.Token {
	return &session.Token{
		Access: "the-access-token", Scope: "read",
		Expiry: start.Add(time.Hour), Until: start.Add(time.Minute),
	}
}

// wantKept compares what is found for an audience; nil is nothing.
func wantKept(t *testing.T, what string, st *sharedstate.State, s *session.Session, a session.Audience, want *session.Token) {
	t.Helper()
	standing, got, err := st.LookForToken(t.Context(), s, a)
	if err != nil || !reflect.DeepEqual(got, want) || !standing.Plain() {
		t.Errorf("%s: got %+v, %v (standing %+v); want %+v", what, got, err, standing, want)
	}
}

func TestKeepToken_ForSessionAndAudience(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s)
	audiences := []session.Audience{
		{}, {Resource: api}, {Organization: "org"}, {Resource: api, Organization: "org"},
		// The same bytes, split elsewhere.
		{Resource: api + "org"}, {Organization: api + "org"}, {Resource: "https://api.tes", Organization: "torg"},
	}
	tokenOf := func(a session.Audience) *session.Token {
		token := apiToken()
		token.Access = "the-access-token for " + a.Resource + " " + a.Organization
		return token
	}
	for _, a := range audiences {
		wantKept(t, "before it is kept", st, v, a, nil)
		noError(t, st.KeepToken(t.Context(), v.ID, a, tokenOf(a), time.Minute))
	}
	for _, a := range audiences {
		want := tokenOf(a)
		wantKept(t, "the same session", st, v, a, want)
		wantKept(t, "another session", st, changed(v, func(s *session.Session) { s.ID[0]++ }), a, nil)
		wantKept(t, "its next generation", st, successorTo(v, "r"), a, want)
	}
	for k := range s.values {
		if s.ttls[k] != time.Minute {
			t.Errorf("%s: got it kept for %v; want a minute", k, s.ttls[k])
		}
	}
}

// A later version may write tokens that this one cannot read: they are fetched again.
func TestLookForToken_UnreadableForm(t *testing.T) {
	st, v := open(t, newShared()), with(t, both)
	noError(t, st.KeepToken(t.Context(), v.ID, session.Audience{}, &session.Token{Until: start}, time.Minute))
	wantKept(t, "a token without characters", st, v, session.Audience{}, nil)
}

func TestLookForToken_Standing(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s)
	noError(t, st.KeepToken(t.Context(), v.ID, session.Audience{}, apiToken(), time.Minute))
	add(t, st, v, successorTo(v, "r"))
	noError(t, st.EndPerson(t.Context(), "u1"))
	s.rounds = 0
	got, token, err := st.LookForToken(t.Context(), v, session.Audience{})
	if err != nil || token == nil || got.Ended != sharedstate.ByApplication || got.Newest() || s.rounds != 1 {
		t.Errorf("got %+v, %v, %v in %d round trips; want the token, a successor and the end in one", got, token, err, s.rounds)
	}
}

// The session's own access token is found by the generations that have it, together
// with what ends the session.
func TestKeepAccess(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s)
	v = changed(v, func(s *session.Session) {
		s.AccessToken, s.AccessExpiry, s.Scope = session.Pack("own"), start.Add(time.Hour), "openid"
	})
	noError(t, st.KeepAccess(t.Context(), v, start.Add(50*time.Minute)))
	for k := range s.values {
		if k[0] != 'a' || s.ttls[k] != 10*time.Minute || strings.Contains(string(s.values[k]), "own") {
			t.Errorf("%s: got it kept for %v, %q; want it sealed, until it expires", k, s.ttls[k], s.values[k])
		}
	}
	kept := &session.Token{Access: "own", Scope: "openid", Expiry: v.AccessExpiry, Until: v.AccessExpiry}
	refreshed := changed(v, func(s *session.Session) { s.Generation, s.AccessExpiry = 1, start.Add(2*time.Hour) })
	for name, row := range map[string]struct {
		s    *session.Session
		want *session.Token
	}{
		"the same session":                  {v, kept},
		"a generation with the same token":  {changed(v, func(s *session.Session) { s.Generation = 1 }), kept},
		"a generation that was refreshed":   {refreshed, nil},
		"another session of the same times": {changed(v, func(s *session.Session) { s.ID[0]++ }), nil},
	} {
		standing, got, err := st.LookForAccess(t.Context(), row.s)
		if err != nil || !standing.Plain() || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, row.want)
		}
	}
	noError(t, st.KeepAccess(t.Context(), refreshed, refreshed.AccessExpiry))
	if len(s.values) != 1 {
		t.Errorf("got %d entries; want none for a token that has expired", len(s.values))
	}
	yearly := changed(v, func(s *session.Session) { s.AccessExpiry = start.Add(365 * 24 * time.Hour) })
	noError(t, st.KeepAccess(t.Context(), yearly, start))
	if longest := slices.Max(slices.Collect(maps.Values(s.ttls))); longest != personTTL {
		t.Errorf("a token of a year: got it kept for %v; want %v, since no session lives longer", longest, personTTL)
	}
	noError(t, st.EndSession(t.Context(), v.ID, sharedstate.SignedOut))
	s.rounds = 0
	if standing, _, err := st.LookForAccess(t.Context(), v); err != nil || standing.Ended != sharedstate.SignedOut || s.rounds != 1 {
		t.Errorf("got %+v, %v in %d round trips; want the end with it, in one", standing, err, s.rounds)
	}
}

// A kept token that does not open says nothing about its session. It is fetched again
// where that is possible, and takes the place of what was there.
func TestLookFor_TokenThatDoesNotOpen(t *testing.T) {
	s := newShared()
	st := open(t, s)
	refreshable := changed(with(t, both), func(s *session.Session) {
		s.RefreshToken, s.AccessToken, s.AccessExpiry = "r", session.Pack("own"), start.Add(time.Hour)
	})
	noError(t, st.KeepAccess(t.Context(), refreshable, start))
	noError(t, st.KeepToken(t.Context(), refreshable.ID, session.Audience{Resource: api}, apiToken(), time.Minute))
	for k := range s.values {
		s.values[k] = []byte("broken")
	}
	looks := map[string]func(*session.Session) (sharedstate.Standing, *session.Token, error){
		"its own": func(v *session.Session) (sharedstate.Standing, *session.Token, error) {
			return st.LookForAccess(t.Context(), v)
		},
		"another": func(v *session.Session) (sharedstate.Standing, *session.Token, error) {
			return st.LookForToken(t.Context(), v, session.Audience{Resource: api})
		},
	}
	for name, look := range looks {
		if standing, token, err := look(refreshable); token != nil || err != nil || !standing.Plain() {
			t.Errorf("%s: got %+v, %+v, %v; want that there is none", name, standing, token, err)
		}
		if _, token, err := look(changed(refreshable, func(s *session.Session) { s.RefreshToken = "" })); token != nil || !errors.Is(err, sharedstate.ErrBroken) {
			t.Errorf("%s, without a refresh token: got %+v, %v; want ErrBroken", name, token, err)
		}
	}
	// What decides about the session is never passed over.
	noError(t, st.EndSession(t.Context(), refreshable.ID, sharedstate.SignedOut))
	s.values[s.keys("e")[0]] = []byte("broken")
	for name, look := range looks {
		if _, _, err := look(refreshable); !errors.Is(err, sharedstate.ErrBroken) {
			t.Errorf("%s, and an end that does not open: got %v; want ErrBroken", name, err)
		}
	}
}
