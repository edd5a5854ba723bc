package session_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// Providers write times in many ways.
func TestClaims_Time(t *testing.T) {
	t.Parallel()
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

func TestClaims_JSON(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ payload, extra, want string }{
		{`{"sub":"a"}`, `{"n":1}`, `{"sub":"a","n":1}`},
		{"\n {\"sub\":\"a\"}\t", "\r\n{ \"n\":1 } ", `{"sub":"a","n":1}`},
		{`{"sub":"a"} `, "", `{"sub":"a"} `},
		{`{"sub":"a"}`, `{ }`, `{"sub":"a"}`},
		{`{}`, `{"n":1}`, `{"n":1}`},
		{`{"sub":"u"} `, `{"a":{"b":[]}}`, `{"sub":"u","a":{"b":[]}}`},
	} {
		c := parse(row.payload, row.extra)
		if got := string(c.JSON()); got != row.want || !json.Valid([]byte(got)) {
			t.Errorf("%q and %q: got %q; want %q", row.payload, row.extra, got, row.want)
		}
		if got := c.Payload() + c.Extra(); got != row.payload+row.extra {
			t.Errorf("%q and %q: got %q; want them again", row.payload, row.extra, got)
		}
	}
}

// indexed are claims of ID tokens and of userinfo, and what is found in them.
var indexed = []struct {
	name, payload, extra string
	want                 map[session.Claim]string
}{
	{"strings are found", `{"sub":"u1", "sid" : "s1","name":"Zoë"}`, "", map[session.Claim]string{session.Subject: "u1", session.SessionID: "s1", session.Name: "Zoë"}},
	{"another type is absent", `{"sub":"u1","name":1,"email":["a"],"email_verified":"true","roles":"admin","auth_time":"5","acr":{"a":"b"}}`, "", map[session.Claim]string{session.Subject: "u1"}},
	{"escapes are decoded", `{"sub":"a\/b","name":"\"\u0041\\\n","email":"e"}`, "", map[session.Claim]string{session.Subject: "a/b", session.Name: "\"A\\\n", session.Email: "e"}},
	{"a nested claim is not the claim", `{"x":{"sub":"evil","roles":["admin"]},"y":"\"sub\":\"evil\"","sub":"u1"}`, "", map[session.Claim]string{session.Subject: "u1"}},
	{"names are compared exactly", `{"Sub":"evil","SUB":"evil","sub":"u1"}`, "", map[session.Claim]string{session.Subject: "u1"}},
	{"the ID token wins over userinfo", `{"sub":"u1","name":"token"}`, `{"name":"info","email":"e\u0040x"}`, map[session.Claim]string{session.Subject: "u1", session.Name: "token", session.Email: "e@x"}},
	{"preferred_username is the username", `{"sub":"u1","preferred_username":"p"}`, "", map[session.Claim]string{session.Subject: "u1", session.Username: "p"}},
	{"username wins over preferred_username", `{"sub":"u1","username":"u","preferred_username":"p"}`, "", map[session.Claim]string{session.Subject: "u1", session.Username: "u"}},
	{"a null username leaves the other", `{"sub":"u1","preferred_username":"\u0070","username":null}`, "", map[session.Claim]string{session.Subject: "u1", session.Username: "p"}},
	{"true is not a name", `{"name":true}`, "", map[session.Claim]string{}},
	// Userinfo is not signed, and replaces no claim of the ID token.
	{"the ID token's e-mail, beside a preferred_username", `{"preferred_username":"p","email":"a"}`, `{"email":"b"}`, map[session.Claim]string{session.Username: "p", session.Email: "a"}},
	{"the ID token's username", `{"username":"u"}`, `{"username":"v"}`, map[session.Claim]string{session.Username: "u"}},
	{"the ID token's username, behind a preferred one that is null", `{"preferred_username":null,"username":"u"}`, `{"username":"v"}`, map[session.Claim]string{session.Username: "u"}},
	{"a number is kept", `{"sub":"u1","auth_time":1700000000}`, "", map[session.Claim]string{session.Subject: "u1", session.AuthTime: "1700000000"}},
	{"a number is kept as it is written", `{"sub":"u1","auth_time":1.7e9}`, "", map[session.Claim]string{session.Subject: "u1", session.AuthTime: "1.7e9"}},
}

func TestClaims_Text(t *testing.T) {
	t.Parallel()
	for _, row := range indexed {
		s := full()
		s.Claims = parse(row.payload, row.extra)
		again := decode(t, s)
		for c := session.Subject; c <= session.AuthTime; c++ {
			if got, read := s.Claims.Text(c), again.Claims.Text(c); got != row.want[c] || read != got {
				t.Errorf("%s: claim %d: got %q, written and read %q; want %q", row.name, c, got, read, row.want[c])
			}
		}
	}
}

func TestClaims_OtherTypes(t *testing.T) {
	t.Parallel()
	c := parse(`{"sub":"u","email_verified":true,"auth_time":1700000000,"roles":[ "admin" , "a,b" ],`+
		`"organizations":["\u006frg"],"organization_roles":[]}`, "")
	if !c.True(session.EmailVerified) {
		t.Error("email_verified: got false; want true")
	}
	if got := c.Time(session.AuthTime); !got.Equal(time.Unix(1_700_000_000, 0)) {
		t.Errorf("auth_time: got %v; want 1700000000", got)
	}
	for claim, want := range map[session.Claim][]string{
		session.Roles: {"admin", "a,b"}, session.Organizations: {"org"}, session.OrganizationRoles: nil,
	} {
		if got := c.List(claim); !reflect.DeepEqual(got, want) {
			t.Errorf("claim %d: got %q; want %q", claim, got, want)
		}
	}
	c = parse(`{"sub":"u","email_verified":false,"roles":["admin",null],"organizations":["a",1],"auth_time":99999999999999999999}`, "")
	if c.True(session.EmailVerified) || c.List(session.Roles) != nil || c.List(session.Organizations) != nil || !c.Time(session.AuthTime).IsZero() {
		t.Error("claims of the wrong type: got some; want all absent")
	}
}

func TestParseClaims_Refused(t *testing.T) {
	t.Parallel()
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
			t.Errorf("%s: got %v; want ErrTooLarge exactly for what is too large", row.name, err)
		}
	}
}
