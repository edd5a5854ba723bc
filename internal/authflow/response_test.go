package authflow_test

import (
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/authflow"
)

var long = strings.Repeat("x", 5000)

// queries are responses, and what comes of them.
var queries = []struct {
	name, query string
	want        authflow.Response // the zero Response: refused
}{
	{"2.5 a code", "code=c&state=s&iss=https%3A%2F%2Fop.test", authflow.Response{Code: "c", State: "s", Issuer: "https://op.test"}},
	{"2.5 an error", "error=access_denied&error_description=no&state=s", authflow.Response{Error: "access_denied", State: "s"}},
	{"2.5 other parameters are let be", "code=c&state=s&session_state=x&session_state=y&scope=openid", authflow.Response{Code: "c", State: "s"}},
	{"2.5 a code of 4,096 bytes", "state=s&code=" + long[:4096], authflow.Response{Code: long[:4096], State: "s"}},
	{"2.5 two codes", "code=c&code=c&state=s", authflow.Response{}},
	{"2.5 two states", "code=c&state=s&state=s", authflow.Response{}},
	{"2.5 two issuers", "code=c&state=s&iss=a&iss=b", authflow.Response{}},
	{"2.5 two errors", "error=a&error=b&state=s", authflow.Response{}},
	{"2.5 a second code that is empty", "code=c&code=&state=s", authflow.Response{}},
	{"2.5 code and error", "code=c&error=e&state=s", authflow.Response{}},
	{"2.5 neither", "state=s", authflow.Response{}},
	{"2.5 nothing at all", "", authflow.Response{}},
	{"2.5 no state", "code=c", authflow.Response{}},
	{"2.5 an empty state", "code=c&state=", authflow.Response{}},
	{"2.5 a code of 100 KB", "state=s&code=" + strings.Repeat("x", 100<<10), authflow.Response{}},
	{"2.5 a code that is too long", "state=s&code=" + long, authflow.Response{}},
	{"2.5 a state that is too long", "code=c&state=" + long[:513], authflow.Response{}},
	{"2.5 a malformed query", "code=c&state=s&x=%zz", authflow.Response{}},
	{"2.5 a semicolon between parameters", "code=c;state=s", authflow.Response{}},
	{"2.7 a line break in a code", "code=c%0d%0aSet-Cookie:x&state=s", authflow.Response{}},
	{"2.7 markup beyond ASCII in an error", "error=%E2%82%AC&state=s", authflow.Response{}},
}

func TestCasesResponse(t *testing.T) {
	t.Parallel()
	for _, row := range queries {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := authflow.ParseResponse(row.query)
			if (err != nil) != (row.want == authflow.Response{}) {
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
			r := authflow.Response{Issuer: row.iss}
			if err := r.CheckIssuer(issuer, row.announced); (err == nil) != row.accepted {
				t.Errorf("got %v; want accepted %v", err, row.accepted)
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]struct {
		outcome authflow.Outcome
		cause   string
	}{
		"access_denied":           {authflow.Declined, "signin: the provider answered with access_denied"},
		"login_required":          {authflow.PersonNeeded, "signin: the provider answered with login_required"},
		"consent_required":        {authflow.PersonNeeded, "signin: the provider answered with consent_required"},
		"temporarily_unavailable": {authflow.Trouble, "signin: the provider answered with temporarily_unavailable"},
		"server_error":            {authflow.Trouble, "signin: the provider answered with server_error"},
		"invalid_scope":           {authflow.Misfit, "signin: the provider answered with invalid_scope"},
		"<script>":                {authflow.Declined, "signin: the provider answered with an error of its own"},
		strings.Repeat("x", 41):   {authflow.Declined, "signin: the provider answered with an error of its own"},
		"Login_Required":          {authflow.Declined, "signin: the provider answered with an error of its own"},
	} {
		r := authflow.Response{Error: code}
		if got := r.Outcome(); got != want.outcome {
			t.Errorf("%s: got outcome %v; want %v", code, got, want.outcome)
		}
		if got := r.Cause().Error(); got != want.cause {
			t.Errorf("%s: got %q; want %q", code, got, want.cause)
		}
	}
}

func TestParseResponse_Length(t *testing.T) {
	t.Parallel()
	const response = "code=c&state=s&x="
	fits := response + strings.Repeat("x", 16<<10-len(response))
	if _, err := authflow.ParseResponse(fits); err != nil {
		t.Errorf("a query of 16 KB: got %v; want a response", err)
	}
	if got, err := authflow.ParseResponse(fits + "x"); err == nil {
		t.Errorf("a byte more, in a parameter that is not read: got %+v; want an error", got)
	}
}

// Every code that https://openid.net/specs/openid-connect-core-1_0.html#AuthError,
// https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1 and
// https://www.rfc-editor.org/rfc/rfc8707#section-2 name, and that does not mean
// that the person declined.
func TestOutcome_EveryRegisteredCode(t *testing.T) {
	t.Parallel()
	for want, codes := range map[authflow.Outcome]string{
		authflow.PersonNeeded: "login_required interaction_required consent_required account_selection_required",
		authflow.Trouble:      "server_error temporarily_unavailable",
		authflow.Misfit:       "invalid_request unauthorized_client unsupported_response_type invalid_scope invalid_target",
	} {
		for code := range strings.FieldsSeq(codes) {
			r := authflow.Response{Error: code}
			if got := r.Outcome(); got != want {
				t.Errorf("%s: got outcome %v; want %v", code, got, want)
			}
		}
	}
}
