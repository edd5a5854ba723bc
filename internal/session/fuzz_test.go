package session_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gosignin/signin/internal/session"
)

// FuzzDecode: what is read as a session is one that can be written, and then says
// the same however often it is read.
func FuzzDecode(f *testing.F) {
	for _, change := range []func(*session.Session){
		func(*session.Session) {},
		func(s *session.Session) { s.AccessToken = session.Pack(jwt(`{}`).Compact()) },
		func(s *session.Session) {
			s.Claims = parse(`{"sub":"a\/b","name":"\u0041","roles":["x"],"email_verified":true}`, "")
		},
		func(s *session.Session) { s.Nonce, s.Scope = "n", "sso_identities api:read" },
		func(s *session.Session) { s.AccessExpiry, s.LastSeen = time.Time{}, s.Created.Add(-time.Hour) },
		func(s *session.Session) {
			s.IDHeader, s.IDSignature, s.Claims = "", "", parse(`{"sub":"u1"}`, "")
		},
	} {
		s := full()
		change(s)
		b, err := s.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		first := new(session.Session)
		if first.Decode(b) != nil {
			return
		}
		for c := session.Subject; c <= session.AuthTime; c++ {
			got := first.Claims.Text(c)
			if first.Claims.True(c) != (got != "") || len(first.Claims.List(c)) > len(got) {
				t.Errorf("claim %d: got %t and %q of %q", c, first.Claims.True(c), first.Claims.List(c), got)
			}
		}
		_, _ = first.Claims.JSON(), first.IDToken()
		again, ok := rewrite(t, first)
		if !ok {
			return // it has grown too large, by strings that are kept twice
		}
		// Written again, a nonce that the ID token has goes, and scopes are sorted.
		same := *again
		same.Nonce, same.Scope = first.Nonce, first.Scope
		if !reflect.DeepEqual(&same, first) || again.Nonce != first.Nonce && again.Nonce != "" {
			t.Errorf("got %+v; want %+v again", again, first)
		}
		if third, ok := rewrite(t, again); !ok || !reflect.DeepEqual(third, again) {
			t.Errorf("got %+v the third time; want %+v", third, again)
		}
	})
}

// rewrite writes a session and reads it. It returns false if it cannot be
// written.
func rewrite(t *testing.T, s *session.Session) (*session.Session, bool) {
	t.Helper()
	b, err := s.Append(nil)
	if err != nil {
		return nil, false
	}
	again := new(session.Session)
	if err := again.Decode(b); err != nil {
		t.Fatalf("%+v: written and not read: %v", s, err)
	}
	return again, true
}

// FuzzSession writes a session made of what a provider sends, and reads it: nothing
// of it is lost, and a JWT comes back to the byte or is kept as it came.
func FuzzSession(f *testing.F) {
	compact := jwt(`{"aud":"api"}`).Compact()
	f.Add(`{"sub":"u1","nonce":"n"}`, `{"a":1}`, "refresh", compact, "n", "openid profile x", int64(1_700_000_000_123), int64(3600), int64(-5))
	f.Add(`{}`, "", "", "", "", "", int64(0), int64(0), int64(0))
	for _, token := range []string{"abcdef", "YQ.YQ", "YQ.YQ.YQ.YQ", "YQ..YQ", "YQ==.YQ.YQ", "YR.YQ.YQ", "Y\nQ.YQ.YQ", "Y!.YQ.YQ", "a.b!.c", "YQ.YQ.YQ"} {
		f.Add(`{"sub":"u"}`, "{}", token, token, token, " b a  openid ", int64(1), int64(1), int64(1))
	}
	f.Fuzz(func(t *testing.T, payload, extra, refresh, access, nonce, scope string, began, created, seen int64) {
		j, ok := session.SplitJWT(access)
		if want := isCompact(access); ok != want || ok && j.Compact() != access {
			t.Fatalf("SplitJWT(%q): got %+v, %t; want %t, and the same again", access, j, ok, want)
		}
		const year = 366 * 24 * 60 * 60
		start := time.UnixMilli(began % (5000 * year * 1000))
		claims, err := session.ParseClaims(payload, extra)
		if err != nil {
			if wellFormed(payload) && (extra == "" || wellFormed(extra)) && len(payload)+len(extra) < 20_000 {
				t.Fatalf("%q, %q: got %v; want claims", payload, extra, err)
			}
			return
		}
		if !wellFormed(payload) || extra != "" && !wellFormed(extra) {
			t.Fatalf("%q, %q: got claims; want an error", payload, extra)
		}
		want := &session.Session{
			ID: session.ID{9}, Began: start, Generation: uint64(seen),
			Created:  time.Unix(start.Unix()+created%year, 0),
			LastSeen: time.Unix(start.Unix()+created%year+seen%year, 0),
			Claims:   claims, RefreshToken: refresh, AccessToken: session.Pack(access), Nonce: nonce, Scope: scope,
		}
		if created%2 == 0 {
			want.AccessExpiry, want.AccessLife = time.Unix(want.LastSeen.Unix()+seen%year, 0), time.Duration(max(0, seen%year))*time.Second
		}
		got, ok := rewrite(t, want)
		if !ok {
			if len(payload)+len(extra)+len(refresh)+len(access)+len(scope)+len(nonce) < 20_000 {
				t.Fatalf("%+v: not written", want)
			}
			return
		}
		if got.Nonce != nonce && (got.Nonce != "" || !strings.Contains(payload, `"`+nonce+`"`)) {
			t.Errorf("got nonce %q; want %q", got.Nonce, nonce)
		}
		words := func(s string) []string { return slices.Compact(slices.Sorted(slices.Values(strings.Fields(s)))) }
		if !slices.Equal(words(got.Scope), words(scope)) {
			t.Errorf("got scope %q; want %q in some order", got.Scope, scope)
		}
		got.Nonce, got.Scope = nonce, scope
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v; want %+v", got, want)
		}
	})
}

// wellFormed reports whether a text is a JSON object whose names are unique.
func wellFormed(text string) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &o) == nil && o != nil && (len(o) == 0 || unique(text))
}

// isCompact reports whether a text is three parts of base64url, each in the one way
// to write its bytes.
func isCompact(text string) bool {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || len(b) == 0 || base64.RawURLEncoding.EncodeToString(b) != part {
			return false
		}
	}
	return len(parts) == 3
}

// FuzzParseClaims compares with encoding/json: each claim is there if it is in the ID
// token with the right type, or else in userinfo.
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
		// What comes here has been through provider's parser.
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
		if len(extra) > 2 && unique(merged(payload, extra)) {
			var got, want map[string]any
			if json.Unmarshal(claims.JSON(), &got) != nil || json.Unmarshal([]byte(merged(payload, extra)), &want) != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: got claims %s", payload, extra, claims.JSON())
			}
		}
	})
}

// merged is the members of two objects in one.
func merged(payload, extra string) string {
	var all, more map[string]json.RawMessage
	if json.Unmarshal([]byte(payload), &all) != nil || json.Unmarshal([]byte(extra), &more) != nil {
		return ""
	}
	for name := range more {
		if _, twice := all[name]; twice {
			return ""
		}
	}
	maps.Copy(all, more)
	b, _ := json.Marshal(all)
	return string(b)
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

// byUnmarshal are the claims as encoding/json would have it.
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
