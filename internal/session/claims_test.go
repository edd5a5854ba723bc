package session_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// Providers write times in many ways.
func TestClaims_Time(t *testing.T) {
	for number, want := range map[string]time.Time{
		"1700000000": time.Unix(1700000000, 0), "1700000000.9": time.Unix(1700000000, 0), "1.7e9": time.Unix(1700000000, 0),
		"17E+8": time.Unix(1700000000, 0), "0": time.Unix(0, 0), "253402300799": time.Unix(253402300799, 0),
		"253402300800": {}, "1e400": {}, "-1": {}, `"1700000000"`: {}, "null": {}, "true": {}, "[1700000000]": {},
	} {
		s := full()
		s.Claims = parse(`{"sub":"u1","auth_time":`+number+`}`, "")
		if got := decode(t, s).Claims.Time(session.AuthTime); !got.Equal(want) {
			t.Errorf("%s: got %v; want %v", number, got, want)
		}
	}
}

// Some providers write one value where others write a list, and booleans as texts.
func TestClaims_Dialects(t *testing.T) {
	for _, row := range []struct {
		name, roles string // in JSON
		want        []string
	}{
		{"one string", `"admin"`, []string{"admin"}},
		{"one string is not split", `"reader, admin editor"`, []string{"reader, admin editor"}},
		{"one string with escapes", `"\u0061\"dmin"`, []string{`a"dmin`}},
		{"an empty string", `""`, nil},
		{"a list with a number", `["admin", 5]`, []string{"admin"}},
		{"strings inside of other elements are none of the list's", `[{"a":"root"}, ["root"], "admin", null, true]`, []string{"admin"}},
		{"a list of other things", `[1, {"a":"root"}]`, nil},
		{"an object", `{"admin":1}`, nil},
		{"a number", `1`, nil},
		{"true", `true`, nil},
		{"null", `null`, nil},
	} {
		for claim, name := range map[session.Claim]string{
			session.Roles: "roles", session.Organizations: "organizations", session.OrganizationRoles: "organization_roles",
		} {
			s := full()
			s.Claims = parse(`{"`+name+`":`+row.roles+`}`, "")
			if got := decode(t, s).Claims.List(claim); !slices.Equal(got, row.want) {
				t.Errorf("%s: %s: got %q; want %q", name, row.name, got, row.want)
			}
		}
	}
	for verified, want := range map[string]bool{
		`true`: true, `"true"`: true, `"TRUE"`: false, `" true"`: false, `"false"`: false, `false`: false, `1`: false, `"1"`: false, `["true"]`: false,
	} {
		claims := parse(`{"email_verified":`+verified+`}`, "")
		if got := claims.True(session.EmailVerified); got != want {
			t.Errorf("email_verified %s: got %t; want %t", verified, got, want)
		}
	}
}

func TestClaims_RolesFrom(t *testing.T) {
	const keycloak = `{"roles":["other"],"groups":"staff","cognito:groups":["a"],"a/b":{"~c":["d"]},"realm_access":{"roles":["admin"],"x":["y"]}}`
	for _, row := range []struct {
		name, from, payload, extra string
		want                       []string
	}{
		{"roles", "", keycloak, "", []string{"other"}},
		{"the name of a claim", "groups", keycloak, "", []string{"staff"}},
		{"a name with a colon", "cognito:groups", keycloak, "", []string{"a"}},
		{"a pointer", "/realm_access/roles", keycloak, "", []string{"admin"}},
		{"a pointer with escapes", "/a~1b/~0c", keycloak, "", []string{"d"}},
		{"a name with a dot is no pointer", "realm_access.roles", keycloak, "", nil},
		{"a pointer to nothing", "/realm_access/none", keycloak, "", nil},
		{"a pointer through a list", "/cognito:groups/0", keycloak, "", nil},
		{"a pointer to an object", "/realm_access", keycloak, "", nil},
		{"only in userinfo", "/r/s", `{}`, `{"r":{"s":"admin"}}`, []string{"admin"}},
		{"the roles of the token come first", "/r/s", `{"r":{"s":["reader"]}}`, `{"r":{"s":["admin"]}}`, []string{"reader"}},
		{"another spelling", "groups", `{"Groups":["admin"]}`, "", nil},
		{"two spellings: the exact name wins", "groups", `{"Groups":["admin"],"groups":["user"],"GROUPS":["root"]}`, "", []string{"user"}},
		{"two spellings on the way", "/r/s", `{"R":{"s":["admin"]},"r":{"S":["admin"],"s":["user"]}}`, "", []string{"user"}},
		{"the exact name of the wrong type", "groups", `{"Groups":["admin"],"groups":{}}`, "", nil},
		{"an inner name twice", "/r/s", `{"r":{"s":["reader"],"s":["admin"]}}`, "", nil},
	} {
		claims, err := session.ParseClaims(row.payload, row.extra, row.from)
		if err != nil {
			t.Fatalf("%s: got error %v; want none", row.name, err)
		}
		s := full()
		s.Claims = claims
		if got := decode(t, s).Claims.RolesFrom(row.from); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q; want %q", row.name, got, row.want)
		}
		s.Claims = parse(row.payload, row.extra) // with the setting of another time
		if got := decode(t, s).Claims.RolesFrom(row.from); !slices.Equal(got, row.want) {
			t.Errorf("%s, in a session of another setting: got %q; want %q", row.name, got, row.want)
		}
		s.Claims, _ = session.ParseClaims(row.payload, row.extra, "/sub/x")
		if got := decode(t, s).Claims.RolesFrom(row.from); !slices.Equal(got, row.want) {
			t.Errorf("%s, in a session of a third setting: got %q; want %q", row.name, got, row.want)
		}
	}
}

func TestClaims_JSON(t *testing.T) {
	for _, row := range []struct{ payload, extra, want string }{
		{`{"sub":"a"}`, `{"n":1}`, `{"sub":"a","n":1}`},
		{"\n {\"sub\":\"a\"}\t", "\r\n{ \"n\":1 } ", `{"sub":"a","n":1}`},
		{`{"sub":"a"} `, "", `{"sub":"a"} `},
		{`{"sub":"a"}`, `{ }`, `{"sub":"a"}`},
		{`{}`, `{"n":1}`, `{"n":1}`},
		{`{"sub":"u"} `, `{"a":{"b":[]}}`, `{"sub":"u","a":{"b":[]}}`},
		// A refreshed token's claims about the sign-in, and those of the sign-in's token.
		{`{"acr":"new","amr":["new"],"sub":"u"}`, `{"acr":null,"amr":["old"],"n":1}`, `{"acr":null,"amr":["old"],"n":1,"sub":"u"}`},
	} {
		c := parse(row.payload, row.extra)
		if got := string(c.JSON()); got != row.want || !json.Valid([]byte(got)) {
			t.Errorf("%q and %q: got %q; want %q", row.payload, row.extra, got, row.want)
		}
		if got := c.Payload() + c.Extra(); got != row.payload+row.extra {
			t.Errorf("%q and %q: got %q; want both unchanged", row.payload, row.extra, got)
		}
	}
}

func TestParseClaims_Refused(t *testing.T) {
	big := strings.Repeat("x", 60_000)
	for _, row := range []struct {
		name, payload, extra string
		tooLarge             bool
	}{
		{"claims over 60 KB", `{"a":"` + big + `"}`, "", true},
		{"bytes that grow when they are decoded", `{"name":"` + strings.Repeat("\xff", 30_000) + `"}`, "", true},
		{"a list", `["sub"]`, "", false},
		{"claims that break off", `{"sub":`, "", false},
		{"claims that break off in a name", `{"sub`, "", false},
		{"nothing", "", "", false},
		{"two objects", `{}{}`, "", false},
		{"a name twice", `{"sub":"u1","sub":"u2"}`, "", false},
		{"userinfo with a name twice", `{}`, `{"name":"a","name":"b"}`, false},
		{"userinfo that is null", `{}`, `null`, false},
		{"userinfo that is a list", `{}`, `[]`, false},
	} {
		if _, err := session.ParseClaims(row.payload, row.extra); err == nil {
			t.Errorf("%s: got claims; want an error", row.name)
		} else if errors.Is(err, session.ErrTooLarge) != row.tooLarge {
			t.Errorf("%s: got %v; want ErrTooLarge only for claims that are too large", row.name, err)
		}
	}
}
