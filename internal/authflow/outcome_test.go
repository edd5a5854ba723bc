package authflow_test

import (
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/authflow"
)

// The cause says what an operator must look at. It never repeats a description.
func TestResponse_Outcome(t *testing.T) {
	t.Parallel()
	c := logto()
	c.Scopes, c.Resources = []string{"openid", "read:orders"}, []string{"https://api.test", "https://b.test"}
	classes := transaction{Demand: acr("phr"), Asked: acr("mfa")}
	const declined, silence, trouble, misfit, unmet = authflow.Declined, authflow.Silence, authflow.Trouble, authflow.Misfit, authflow.Unmet
	const log = "; the provider's own log says which parameter it means"
	for _, row := range []struct {
		codes  string
		tx     transaction
		want   authflow.Outcome
		suffix string
	}{
		{"login_required interaction_required consent_required account_selection_required", transaction{Silent: true}, silence, ""},
		{"login_required interaction_required consent_required account_selection_required", transaction{}, declined, ""},
		{"access_denied user_cancelled_login unauthorized Login_Required invalid_target%20", transaction{}, declined, ""},
		{"access_denied", transaction{Silent: true}, declined, ""},
		{"server_error temporarily_unavailable", transaction{Silent: true}, trouble, ""},
		{"unmet_authentication_requirements", classes, unmet, `; it was asked for the classes ["phr" "mfa"]`},
		{"invalid_scope", transaction{}, misfit, `; it was asked for the scopes ["openid" "read:orders"] (Config.Scopes)`},
		{"invalid_target invalid_resource", transaction{Silent: true}, misfit, `; it was asked for the resources ["https://api.test" "https://b.test"] (Config.Resources)`},
		{"unauthorized_client invalid_client", transaction{}, misfit, `; Config.ClientID is "app"`},
		{"invalid_redirect_uri", transaction{}, misfit, `; the redirect URI is "https://app.test/callback"`},
		{"unsupported_response_type", transaction{}, misfit, `; it was asked for "code"`},
		{"invalid_request unsupported_response_mode invalid_request_uri invalid_request_object request_not_supported " +
			"request_uri_not_supported registration_not_supported invalid_authorization_details", transaction{}, misfit, log},
	} {
		for code := range strings.FieldsSeq(row.codes) {
			got, cause := (&answered{Error: code}).Outcome(c, &row.tx)
			want := `signin: the provider answered the authorization request with "` + code + `"` + row.suffix
			if got != row.want || cause.Error() != want {
				t.Errorf("%s: got outcome %v, %q; want %v, %q", code, got, cause, row.want, want)
			}
		}
	}
	forged := "x\"\nlevel=ERROR " + strings.Repeat("x", 400)
	if _, cause := (&answered{Error: forged}).Outcome(c, &transaction{}); strings.Contains(cause.Error(), "\n") || len(cause.Error()) > 300 {
		t.Errorf("a code that anyone wrote: got %q; want it quoted, and cut short", cause)
	}
}
