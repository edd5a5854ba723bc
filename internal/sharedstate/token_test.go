package sharedstate_test

import (
	"reflect"
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
