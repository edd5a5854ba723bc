package authresponse_test

import (
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/authresponse"
)

var long = strings.Repeat("x", 5000)

// queries are responses, and what comes of them.
var queries = []struct {
	name, query string
	want        authresponse.Response // the zero Response: refused
}{
	{"2.5 a code", "code=c&state=s&iss=https%3A%2F%2Fop.test", authresponse.Response{Code: "c", State: "s", Issuer: "https://op.test"}},
	{"2.5 an error", "error=access_denied&error_description=no&state=s", authresponse.Response{Error: "access_denied", State: "s"}},
	{"2.5 other parameters are let be", "code=c&state=s&session_state=x&session_state=y&scope=openid", authresponse.Response{Code: "c", State: "s"}},
	{"2.5 a code of 4,096 bytes", "state=s&code=" + long[:4096], authresponse.Response{Code: long[:4096], State: "s"}},
	{"2.5 two codes", "code=c&code=c&state=s", authresponse.Response{}},
	{"2.5 two states", "code=c&state=s&state=s", authresponse.Response{}},
	{"2.5 two issuers", "code=c&state=s&iss=a&iss=b", authresponse.Response{}},
	{"2.5 two errors", "error=a&error=b&state=s", authresponse.Response{}},
	{"2.5 a second code that is empty", "code=c&code=&state=s", authresponse.Response{}},
	{"2.5 code and error", "code=c&error=e&state=s", authresponse.Response{}},
	{"2.5 neither", "state=s", authresponse.Response{}},
	{"2.5 nothing at all", "", authresponse.Response{}},
	{"2.5 no state", "code=c", authresponse.Response{}},
	{"2.5 an empty state", "code=c&state=", authresponse.Response{}},
	{"2.5 a code of 100 KB", "state=s&code=" + strings.Repeat("x", 100<<10), authresponse.Response{}},
	{"2.5 a code that is too long", "state=s&code=" + long, authresponse.Response{}},
	{"2.5 a state that is too long", "code=c&state=" + long[:513], authresponse.Response{}},
	{"2.5 a malformed query", "code=c&state=s&x=%zz", authresponse.Response{}},
	{"2.5 a semicolon between parameters", "code=c;state=s", authresponse.Response{}},
	{"2.7 a line break in a code", "code=c%0d%0aSet-Cookie:x&state=s", authresponse.Response{}},
	{"2.7 markup beyond ASCII in an error", "error=%E2%82%AC&state=s", authresponse.Response{}},
}

func TestCases(t *testing.T) {
	t.Parallel()
	for _, row := range queries {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := authresponse.Parse(row.query)
			if (err != nil) != (row.want == authresponse.Response{}) {
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
	const issuer = "https://op.test/oidc"
	for _, row := range []struct {
		name, iss string
		announced bool
		accepted  bool
	}{
		{"2.1 the issuer", issuer, true, true},
		{"2.1 the issuer, not announced", issuer, false, true},
		{"2.1 none, not announced", "", false, true},
		{"2.1 none, though announced", "", true, false},
		{"2.1 another", "https://evil.test/oidc", true, false},
		{"2.1 another, not announced", "https://evil.test/oidc", false, false},
		{"2.1 with a slash", issuer + "/", true, false},
		{"2.1 in another case", "https://OP.test/oidc", true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := authresponse.Response{Issuer: row.iss}
			if err := r.From(issuer, row.announced); (err == nil) != row.accepted {
				t.Errorf("got %v; want accepted %v", err, row.accepted)
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]struct {
		outcome authresponse.Outcome
		cause   string
	}{
		"access_denied":           {authresponse.Declined, "signin: the provider answered with access_denied"},
		"login_required":          {authresponse.PersonNeeded, "signin: the provider answered with login_required"},
		"consent_required":        {authresponse.PersonNeeded, "signin: the provider answered with consent_required"},
		"temporarily_unavailable": {authresponse.Trouble, "signin: the provider answered with temporarily_unavailable"},
		"server_error":            {authresponse.Trouble, "signin: the provider answered with server_error"},
		"invalid_scope":           {authresponse.Misfit, "signin: the provider answered with invalid_scope"},
		"<script>":                {authresponse.Declined, "signin: the provider answered with an error of its own"},
		strings.Repeat("x", 41):   {authresponse.Declined, "signin: the provider answered with an error of its own"},
		"Login_Required":          {authresponse.Declined, "signin: the provider answered with an error of its own"},
	} {
		r := authresponse.Response{Error: code}
		if got := r.Outcome(); got != want.outcome {
			t.Errorf("%s: got outcome %v; want %v", code, got, want.outcome)
		}
		if got := r.Cause().Error(); got != want.cause {
			t.Errorf("%s: got %q; want %q", code, got, want.cause)
		}
	}
}
