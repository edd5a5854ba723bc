package authflow_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/authflow"
)

type answered = authflow.Response

const response = "code=c&state=s"

var long = strings.Repeat("x", 16<<10)

// queries are responses, and what is read from them.
var queries = []struct {
	name, query string
	want        answered // the zero Response: refused
}{
	{"2.5 a code", response + "&iss=https%3A%2F%2Fop.test", answered{Code: "c", State: "s", Issuer: "https://op.test"}},
	{"2.5 an error", "error=access_denied&error_description=no&state=s", answered{Error: "access_denied", State: "s"}},
	{"2.5 other parameters, also twice", response + "&session_state=x&session_state=y", answered{Code: "c", State: "s"}},
	{"2.5 a code of 16 KB", "state=s&code=" + long, answered{Code: long, State: "s"}},
	{"2.5 a query of 64 KB", response + "&x=" + strings.Repeat("x", 64<<10-len(response)-3), answered{Code: "c", State: "s"}},
	{"2.5 a query of a byte more", response + "&x=" + strings.Repeat("x", 64<<10-len(response)-2), answered{}},
	{"F4.1 session_state and client_info", response + "&session_state=a.b&client_info=eyJ", answered{Code: "c", State: "s"}},
	{"F4.1 a semicolon in another parameter", response + "&x=a;b", answered{Code: "c", State: "s"}},
	{"F4.1 a malformed percent-encoding in another parameter", "y=100%&%zz=1&" + response, answered{Code: "c", State: "s"}},
	{"F4.1 a state of another reader behind a semicolon", response + "&x;state=evil", answered{Code: "c", State: "s"}},
	{"F9.4 a state with a hint", "code=c&state=s.h", answered{Code: "c", State: "s", Hint: "h"}},
	{"F9.4 a hint without a state", "code=c&state=.h", answered{}},
	{"2.5 a code with a semicolon", "state=s&code=a;b", answered{}},
	{"2.5 a malformed percent-encoding in a code", "state=s&code=100%", answered{}},
	{"2.5 the name of a second state in another spelling", response + "&st%61te=evil", answered{}},
	{"F9.2 what Keycloak says of a page that was open too long",
		"error=temporarily_unavailable&error_description=authentication_expired&state=s", answered{Error: "temporarily_unavailable", State: "s", Expired: true}},
	{"F9.2 the same description of another error", "error=access_denied&error_description=authentication_expired&state=s", answered{Error: "access_denied", State: "s"}},
	{"2.5 a query of 64 parameters", response + strings.Repeat("&", 62), answered{Code: "c", State: "s"}},
	{"2.5 a query of one more", response + strings.Repeat("&", 63), answered{}},
	{"2.5 two codes", response + "&code=c", answered{}},
	{"2.5 two states", response + "&state=s", answered{}},
	{"2.5 two issuers", response + "&iss=a&iss=b", answered{}},
	{"2.5 two errors", "error=a&error=b&state=s", answered{}},
	{"2.5 a second code that is empty", response + "&code=", answered{}},
	{"2.5 code and error", response + "&error=e", answered{}},
	{"2.5 neither code nor error", "state=s", answered{}},
	{"2.5 no state", "code=c", answered{}},
	{"2.5 a code that is too long", "state=s&code=x" + long, answered{}},
	{"2.5 a state that is too long", "code=c&state=" + long[:513], answered{}},
	{"2.5 a semicolon between parameters", "code=c;state=s", answered{}},
	{"2.7 a line break in a code", "code=c%0d%0aSet-Cookie:x&state=s", answered{}},
	{"2.7 a character beyond ASCII in an error", "error=%E2%82%AC&state=s", answered{}},
}

func TestCasesResponse(t *testing.T) {
	t.Parallel()
	for _, row := range queries {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := authflow.ParseResponse(row.query)
			if (err != nil) != (row.want == answered{}) {
				t.Fatalf("got %+v, %v; want %+v", got, err, row.want)
			}
			if err == nil && *got != row.want {
				t.Errorf("got %+v; want %+v", *got, row.want)
			}
			if err != nil && (got != nil || strings.Contains(err.Error(), "Set-Cookie")) {
				t.Errorf("got %+v, %v; want an error that repeats nothing", got, err)
			}
		})
	}
}

func TestCasesIssuer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, iss           string
		announced, accepted bool
	}{
		{"2.1 the issuer", issuer, true, true},
		{"2.1 the issuer, not announced", issuer, false, true},
		{"2.1 no issuer, not announced", "", false, true},
		{"2.1 no issuer, though announced", "", true, false},
		{"2.1 another", "https://evil.test/oidc", true, false},
		{"2.1 another, not announced", "https://evil.test/oidc", false, false},
		{"2.1 with a slash", issuer + "/", true, false},
		{"2.1 in another case", "https://OP.test/oidc", true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := answered{Issuer: row.iss}
			if err := r.CheckIssuer(issuer, row.announced); (err == nil) != row.accepted {
				t.Errorf("got %v; want it accepted: %t", err, row.accepted)
			}
		})
	}
}

// FuzzParseResponse checks that a response has a state, and one of code and error,
// each once and printable, and that errors repeat nothing of a query.
func FuzzParseResponse(f *testing.F) {
	for _, row := range queries {
		if len(row.query) < 8<<10 { // longer ones slow the fuzzing down
			f.Add(row.query)
		}
	}
	f.Add("code=c%7f&state=s")
	f.Fuzz(func(t *testing.T, query string) {
		got, err := authflow.ParseResponse(query)
		if err != nil {
			if errors.Is(err, authflow.ErrBare) {
				return
			}
			if got != nil || !strings.HasPrefix(err.Error(), "signin: authorization response ") || len(err.Error()) > 90 {
				t.Errorf("%q: got %+v, error %q; want one in words of the package", query, got, err)
			}
			return
		}
		q, _ := url.ParseQuery(query) // what it does not read is no part of a response
		if got.State == "" || (got.Code == "") == (got.Error == "") {
			t.Errorf("%q: got %+v; want a state, and a code or an error", query, got)
		}
		if !strings.HasPrefix(q.Get("state"), got.State) || len(q["state"]) != 1 || len(got.State) > 512 {
			t.Errorf("%q: got state %q; want it once, and short", query, got.State)
		}
		said := map[string]string{"code": got.Code, "error": got.Error, "iss": got.Issuer}
		for name, value := range said {
			unprintable := strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' })
			if q.Get(name) != value || len(q[name]) > 1 || len(value) > 16<<10 || unprintable {
				t.Errorf("%q: got %s %q; want it once, short and printable", query, name, value)
			}
		}
	})
}
