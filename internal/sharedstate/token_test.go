package sharedstate_test

import (
	"bytes"
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
		Expiry: start.Add(time.Hour).Truncate(time.Second), Until: start.Add(time.Minute).Truncate(time.Second),
	}
}

func keepToken(t *testing.T, st *sharedstate.State, s *session.Session, a session.Audience, token *session.Token) {
	t.Helper()
	noError(t, st.KeepToken(t.Context(), s.ID, a, token, time.Minute))
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
	st := open(t, s, issuer, client)
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
		keepToken(t, st, v, a, tokenOf(a))
	}
	for _, a := range audiences {
		want := tokenOf(a)
		wantKept(t, "the same session", st, v, a, want)
		wantKept(t, "another session", st, changed(v, func(s *session.Session) { s.ID[0]++ }), a, nil)
		wantKept(t, "its next generation", st, successorTo(v, "r"), a, want)
		wantKept(t, "another issuer", open(t, s, "https://other.test", client), v, a, nil)
		wantKept(t, "another client", open(t, s, issuer, "other"), v, a, nil)
		wantKept(t, "another key", open(t, s, issuer, client, key(2)), v, a, nil)
		wantKept(t, "the key rotates", open(t, s, issuer, client, key(2), key(1)), v, a, want)
	}
	for k, value := range s.values {
		if bytes.Contains(value, []byte("access")) || bytes.Contains(value, []byte("read")) ||
			s.ttls[k] != time.Minute || len(k) != sharedstate.KeyLen {
			t.Errorf("%s: got %q for %v; want it sealed, for a minute", k, value, s.ttls[k])
		}
	}
}

func TestLookForToken_Spoiled(t *testing.T) {
	s, v := newShared(), with(t, both)
	st, other := open(t, s, issuer, client), changed(v, func(s *session.Session) { s.ID[0]++ })
	// keep keeps a token, and returns its key.
	keep := func(v *session.Session, token *session.Token) string {
		keepToken(t, st, v, session.Audience{}, token)
		_, _, _ = st.LookForToken(t.Context(), v, session.Audience{})
		return s.asked[len(s.asked)-1]
	}
	place := keep(v, apiToken())
	for name, value := range map[string][]byte{
		"copied from another key": s.values[keep(other, apiToken())],
		"garbage":                 []byte("garbage"),
		"empty":                   {},
		"without an access token": s.values[keep(v, &session.Token{Until: start})],
	} {
		s.values[place] = value
		wantKept(t, name, st, v, session.Audience{}, nil)
	}
}

func TestLookForToken_Standing(t *testing.T) {
	st, v := open(t, newShared(), issuer, client), with(t, both)
	keepToken(t, st, v, session.Audience{}, apiToken())
	add(t, st, v, successorTo(v, "r"))
	end(t, st, sharedstate.EndedSubject, "u1", out, start)
	got, token, err := st.LookForToken(t.Context(), v, session.Audience{})
	if err != nil || token == nil || !got.Ended || got.Reason != out || got.Successor == nil {
		t.Errorf("got %+v, %v, %v; want the token, a successor and the end", got, token, err)
	}
}
