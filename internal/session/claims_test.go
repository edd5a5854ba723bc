package session_test

import (
	"encoding/json"
	"errors"
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
