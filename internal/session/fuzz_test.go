package session_test

import (
	"cmp"
	"encoding/json"
	"errors"
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
		func(s *session.Session) { s.Number, s.IssuedAt = session.Number{}, s.Created.Add(time.Hour).Unix() },
		func(s *session.Session) { s.Unconfirmed = s.LastSeen.Unix() - 3600 },
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

// FuzzPack: a token comes back as it was, whether or not it is a JWT.
func FuzzPack(f *testing.F) {
	for _, token := range []string{
		"opaque", "YQ.YQ", "YQ.YQ.YQ.YQ", "YQ..YQ", "YQ.YQ.YQ", jwt(`{}`).Compact(),
		"YQ==.YQ.YQ", "YR.YQ.YQ", "Y\nQ.YQ.YQ", "Y!.YQ.YQ", // padding, bits beyond the last, a line break that base64 ignores
	} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if got := session.Pack(token).String(); got != token {
			t.Errorf("got %q; want %q", got, token)
		}
		if j, ok := session.SplitJWT(token); ok && (j.Compact() != token || strings.Count(token, ".") != 2) {
			t.Errorf("got parts %+v of %q", j, token)
		}
	})
}

// FuzzParseClaims compares with encoding/json: each claim is the ID token's if that
// has the right type, or else userinfo's; those of the sign-in the other way round. It
// is the same when it is written and read.
func FuzzParseClaims(f *testing.F) {
	for _, claims := range [][2]string{
		{`{"sub":"u1", "sid" : "s1","name":"Zoë"}`},
		{`{"sub":"u1","name":null,"email":"","picture":1,"email_verified":"true","roles":"admin","acr":{"a":"b"}}`},
		{`{"sub":"a\/b","name":"\"\u0041\\\n","email":"e"}`},
		{`{"name":true,"email_verified":false,"roles":["admin",null],"organizations":["a",1]}`},
		{`{"roles":[ "a,b" , "\u0062" ],"organizations":[],"organization_roles":["a",null],"email_verified":true}`},
		// A nested claim is not the claim, and names are compared exactly.
		{`{"x":{"sub":"evil","roles":["admin"]},"y":"\"sub\":\"evil\"","sub":"u1"}`},
		{`{"Sub":"evil","SUB":"evil","sub":"u1"}`},
		{`{"x":{"sub":"y"},"sub":null}`, `{"preferred_username":"p","phone_number":"\ud800"}`},
		// Userinfo is not signed, and replaces no claim of the ID token.
		{`{"sub":"u1","name":"token"}`, `{"name":"info","email":"e\u0040x"}`},
		{`{"preferred_username":"p","email":"a"}`, `{"email":"b"}`},
		{`{"username":"u"}`, `{"username":"v"}`},
		{`{"preferred_username":null,"username":"u"}`, `{"username":"v"}`},
		{`{"roles":null}`, `{"roles":["a"]}`},
		{`{"roles":["a"],"email_verified":true}`, `{"roles":["b"],"acr":"x"}`},
		// A username wins over a preferred one.
		{`{"sub":"u1","preferred_username":"p"}`},
		{`{"sub":"u1","preferred_username":"\u0070","username":"u"}`},
		{`{"sub":"u1","preferred_username":"\u0070","username":null}`},
		// But not over one that is signed.
		{`{"sub":"u1","preferred_username":"signed"}`, `{"username":"evil"}`},
		{`{"sub":"u1"}`, `{"username":"u","preferred_username":"p"}`},
		// A refreshed token's claims about the sign-in, and those that were kept.
		{`{"sid":"new","acr":"new"}`, `{"sid":"old","acr":null}`},
		{`{"sid":"new","acr":"new"}`, `{"sid":1}`},
		{`{"roles":["a",5,{"b":"c"},["d"]],"organizations":"o\"p","organization_roles":{"a":1}}`},
		// Found by fuzzing.
		{`{"":""}`, "\n\n{\n\"n\":\"]nf\\uADDax\"}"},
	} {
		f.Add(claims[0], claims[1])
	}
	f.Fuzz(func(t *testing.T, payload, extra string) {
		// Package provider has parsed what comes here.
		if !utf8.ValidString(payload+extra) || !unique(payload) || extra != "" && !unique(extra) {
			return
		}
		claims, err := session.ParseClaims(payload, extra)
		if err != nil {
			return // too large
		}
		s := full()
		s.Claims = claims
		if _, err := s.Append(nil); err == nil {
			claims = decode(t, s).Claims
		}
		var all [2]map[string]any
		if errors.Join(json.Unmarshal([]byte(payload), &all[0]), json.Unmarshal([]byte(cmp.Or(extra, "{}")), &all[1])) != nil {
			return // a number that no float64 can hold
		}
		found := func(names ...string) (values []any) {
			for _, source := range all {
				for _, name := range names {
					values = append(values, source[name])
				}
			}
			if kept, ok := all[1][names[0]]; ok && slices.Contains(session.OfSignIn(), names[0]) {
				return []any{kept}
			}
			return values
		}
		for c, names := range map[session.Claim][]string{
			session.Subject: {"sub"}, session.SessionID: {"sid"}, session.Name: {"name"}, session.Picture: {"picture"},
			session.Username: {"username", "preferred_username"}, session.Email: {"email"}, session.PhoneNumber: {"phone_number"}, session.ACR: {"acr"},
		} {
			if got, want := claims.Text(c), first(found(names...), isText); got != want {
				t.Errorf("%s, %s: %s: got %q; want %q", payload, extra, names, got, want)
			}
		}
		for c, name := range map[session.Claim]string{
			session.Roles: "roles", session.Organizations: "organizations", session.OrganizationRoles: "organization_roles",
		} {
			if got, want := claims.List(c), first(found(name), isList); !slices.Equal(got, want) {
				t.Errorf("%s, %s: %s: got %q; want %q", payload, extra, name, got, want)
			}
		}
		if got, want := claims.True(session.EmailVerified), slices.ContainsFunc(found("email_verified"), isTrue); got != want {
			t.Errorf("%s, %s: email_verified: got %v; want %v", payload, extra, got, want)
		}
	})
}

// first returns the first value that has a type.
func first[T any](values []any, is func(any) (T, bool)) (value T) {
	for _, v := range values {
		if value, ok := is(v); ok {
			return value
		}
	}
	return value
}

func isText(v any) (string, bool) {
	s, ok := v.(string)
	return s, ok && s != ""
}

func isTrue(v any) bool { return v == true || v == "true" }

// isList takes a single string for a list of one, and leaves out what is not a string.
func isList(v any) (list []string, ok bool) {
	if one, ok := isText(v); ok {
		return []string{one}, true
	}
	values, ok := v.([]any)
	for _, v := range values {
		if s, is := v.(string); is {
			list = append(list, s)
		}
	}
	return list, ok
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
