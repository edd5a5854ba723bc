package session_test

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gosignin/signin/internal/session"
)

// FuzzDecode: what is read as a session can be written, and is the same when it
// is read again.
func FuzzDecode(f *testing.F) {
	for _, change := range []func(*session.Session){
		func(*session.Session) {},
		func(s *session.Session) { s.AccessToken = session.Pack(jwt(`{}`).Compact()) },
		func(s *session.Session) {
			s.Claims = parse(`{"sub":"a\/b","name":"\u0041","roles":["x"],"email_verified":true}`, "")
		},
		func(s *session.Session) { s.Nonce, s.Scope = "n", "sso_identities api:read" },
		func(s *session.Session) { s.AccessExpiry, s.LastSeen = time.Time{}, s.Created.Add(-time.Hour) },
	} {
		s := full()
		change(s)
		b := written(f, s)
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		first := new(session.Session)
		if first.Decode(b) != nil {
			return
		}
		for c := session.Subject; c <= session.AuthTime; c++ {
			if got := first.Claims.Text(c); len(first.Claims.List(c)) > len(got) {
				t.Errorf("claim %d: got %q of %q", c, first.Claims.List(c), got)
			}
		}
		_, _ = first.Claims.JSON(), first.IDToken()
		if _, err := first.Append(nil); err != nil {
			return // strings that are kept twice make it too large
		}
		again := decode(t, first)
		// Written again, a nonce that the ID token has goes, and scopes are sorted.
		same := *again
		same.Nonce, same.Scope = first.Nonce, first.Scope
		if !reflect.DeepEqual(&same, first) || again.Nonce != first.Nonce && again.Nonce != "" {
			t.Errorf("got %+v; want %+v again", again, first)
		}
		if third := decode(t, again); !reflect.DeepEqual(third, again) {
			t.Errorf("got %+v the third time; want %+v", third, again)
		}
	})
}

// FuzzPack: a token comes back as it was.
func FuzzPack(f *testing.F) {
	for _, token := range []string{"abcdef", "YQ.YQ", "YQ..YQ", "YQ==.YQ.YQ", "YR.YQ.YQ", "Y\nQ.YQ.YQ", "YQ.YQ.YQ", jwt(`{}`).Compact()} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if got := session.Pack(token).String(); got != token {
			t.Errorf("got %q; want %q", got, token)
		}
	})
}

// FuzzParseClaims compares with encoding/json: each claim is the ID token's if that
// has the right type, or else userinfo's.
func FuzzParseClaims(f *testing.F) {
	for _, row := range indexed {
		f.Add(row.payload, row.extra)
	}
	f.Add(`{"sub":"u","name":"\u0041","roles":["a"],"email_verified":true}`, `{"roles":["b"],"acr":"x"}`)
	f.Add(`{"preferred_username":"p","username":""}`, "")
	f.Add(`{"roles":null}`, `{"roles":["a"]}`)
	f.Add(`{"":""}`, "\n\n{\n\"n\":\"]nf\\uADDax\"}") // found by fuzzing
	f.Add("{}", ` { "n" : 1 } `)
	f.Add(`{"n":1}`, "{ \n}")
	f.Add(`{"x":{"sub":"y"},"sub":null}`, `{"preferred_username":"p","phone_number":"\ud800"}`)
	f.Add(`{"roles":[ "a" , "\u0062" ],"organizations":[],"organization_roles":["a",null],"auth_time":1700000000}`, "")
	f.Fuzz(func(t *testing.T, payload, extra string) {
		// Package provider has parsed what comes here.
		if !utf8.ValidString(payload+extra) || !unique(payload) || extra != "" && !unique(extra) {
			return
		}
		claims, err := session.ParseClaims(payload, extra)
		if err != nil {
			return // too large
		}
		want := byUnmarshal(payload, extra)
		for c := session.Subject; c <= session.AuthTime; c++ {
			if got := claims.Text(c); got != want[c] {
				t.Errorf("%s, %s: claim %d: got %q; want %q", payload, extra, c, got, want[c])
			}
			var all []string
			if c >= session.Roles && c <= session.OrganizationRoles && json.Unmarshal([]byte(cmp.Or(want[c], "null")), &all) != nil {
				t.Fatalf("%q is not a list", want[c])
			}
			if got := claims.List(c); c >= session.Roles && c <= session.OrganizationRoles && !slices.Equal(got, all) {
				t.Errorf("%s, %s: claim %d: got %q; want %q", payload, extra, c, got, all)
			}
		}
	})
}

// unique reports whether a text is a JSON object with members, whose names are
// unique.
func unique(text string) bool {
	var o map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &o) != nil || len(o) == 0 {
		return false
	}
	dec, n := json.NewDecoder(strings.NewReader(text)), 0
	dec.Token()
	for dec.More() {
		dec.Token()
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return false
		}
		n++
	}
	return n == len(o)
}

// byUnmarshal finds the claims with encoding/json.
func byUnmarshal(payload, extra string) map[session.Claim]string {
	var in [2]map[string]json.RawMessage
	json.Unmarshal([]byte(payload), &in[0])
	json.Unmarshal([]byte(extra), &in[1])
	text := func(raw json.RawMessage) string {
		var s *string
		if json.Unmarshal(raw, &s) != nil || s == nil {
			return ""
		}
		return *s
	}
	is := func(fits func(raw string) bool) func(json.RawMessage) string {
		return func(raw json.RawMessage) string {
			if raw != nil && fits(string(raw)) {
				return string(raw)
			}
			return ""
		}
	}
	list := is(func(raw string) bool {
		var all []*string
		return json.Unmarshal([]byte(raw), &all) == nil && all != nil && !slices.Contains(all, nil)
	})
	first := func(read func(json.RawMessage) string, names ...string) (value string) {
		for _, name := range names {
			value = cmp.Or(value, read(in[0][name]), read(in[1][name]))
		}
		return value
	}
	return map[session.Claim]string{
		session.Subject: first(text, "sub"), session.SessionID: first(text, "sid"), session.Name: first(text, "name"),
		session.Picture: first(text, "picture"), session.Username: first(text, "username", "preferred_username"),
		session.Email: first(text, "email"), session.PhoneNumber: first(text, "phone_number"), session.ACR: first(text, "acr"),
		session.EmailVerified: first(is(func(raw string) bool { return raw == "true" }), "email_verified"),
		session.AuthTime: first(is(func(raw string) bool {
			var n *float64
			return json.Unmarshal([]byte(raw), &n) == nil && n != nil
		}), "auth_time"),
		session.Roles: first(list, "roles"), session.Organizations: first(list, "organizations"),
		session.OrganizationRoles: first(list, "organization_roles"),
	}
}
