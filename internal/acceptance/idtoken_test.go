package acceptance_test

import (
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/faults"
)

// TestIDToken has a row for each kind of mistake in the answers of the token and
// userinfo endpoints. Package jwt tests the other rules of signatures and claims.
func TestIDToken(t *testing.T) {
	t.Parallel()
	rs256 := algorithm("RS256") // RSA keys are the usual victims of key confusion (RFC 8725, section 2.1)
	for _, row := range []rejection{
		{
			name: "3.1 HS256 keyed with the client secret where the provider lists HS256", with: rs256, try: relisted,
			faults: fault(faults.IDTokenHS256Secret, faults.DiscoveryAlgNone), want: unbelieved,
		},
		{name: "3.1 a published key of an algorithm that the provider does not list", faults: fault(faults.IDTokenOtherAlgorithm), want: unbelieved},
		{name: "3.1 jku in the header is ignored", faults: fault(faults.IDTokenHeaderJKU), want: unbelieved, also: noHeaderURLFetched},
		{name: "3.4 at_hash wrong", faults: fault(faults.IDTokenAtHashWrong), want: unbelieved},
		{name: "3.5 a token response without id_token", faults: fault(faults.TokensNoIDToken), want: unbelieved},
		{name: "3.6 userinfo refused with 401", with: merging, faults: fault(faults.UserInfo401), want: unbelieved},
	} {
		row.run(t)
	}
	t.Run("3.4 at_hash right is accepted", func(t *testing.T) {
		t.Parallel()
		accepted(t, with{}, faults.IDTokenAtHashRight)
	})
}

// noHeaderURLFetched checks that no request went to an address in a token's header.
func noHeaderURLFetched(t *testing.T, a *app) {
	t.Helper()
	for _, s := range a.wire.requests() {
		if strings.HasPrefix(s.url.Path, "/foreign") {
			t.Errorf("requests: got one for %s; want none", s.url.Path)
		}
	}
}
