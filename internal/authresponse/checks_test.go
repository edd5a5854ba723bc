package authresponse_test

import (
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/authresponse"
)

func TestChecksOfTheQuery(t *testing.T) {
	t.Parallel()
	const response = "code=c&state=s&x="
	fits := response + strings.Repeat("x", 16<<10-len(response))
	if _, err := authresponse.Parse(fits); err != nil {
		t.Errorf("a query of 16 KB: got %v; want a response", err)
	}
	if got, err := authresponse.Parse(fits + "x"); err == nil {
		t.Errorf("a byte more, in a parameter that nobody reads: got %+v; want an error", got)
	}
}

// Every code that https://openid.net/specs/openid-connect-core-1_0.html#AuthError,
// https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1 and
// https://www.rfc-editor.org/rfc/rfc8707#section-2 name and that is no plain no.
func TestChecksOfOutcomes(t *testing.T) {
	t.Parallel()
	for want, codes := range map[authresponse.Outcome]string{
		authresponse.PersonNeeded: "login_required interaction_required consent_required account_selection_required",
		authresponse.Trouble:      "server_error temporarily_unavailable",
		authresponse.Misfit:       "invalid_request unauthorized_client unsupported_response_type invalid_scope invalid_target",
	} {
		for code := range strings.FieldsSeq(codes) {
			r := authresponse.Response{Error: code}
			if got := r.Outcome(); got != want {
				t.Errorf("%s: got outcome %v; want %v", code, got, want)
			}
		}
	}
}
