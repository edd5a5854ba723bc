package record_test

import (
	"testing"

	"github.com/gosignin/signin/internal/record"
)

// Userinfo is not signed: whatever stands beside it, it replaces no claim of the
// ID token.
func TestChecksOfTheIndex(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, payload, extra string
		claim                record.Claim
		want                 string
	}{
		{"an e-mail beside a preferred_username", `{"preferred_username":"p","email":"a"}`, `{"email":"b"}`, record.Email, "a"},
		{"an e-mail beside a username", `{"username":"u","email":"a"}`, `{"email":"b"}`, record.Email, "a"},
		{"a username", `{"username":"u"}`, `{"username":"v"}`, record.Username, "u"},
		{"a username before other claims", `{"username":"u","email":"a"}`, `{"username":"v"}`, record.Username, "u"},
		{"a username behind a preferred one that is null", `{"preferred_username":null,"username":"u"}`, `{"username":"v"}`, record.Username, "u"},
		{"a true that is no flag", `{"name":true}`, "", record.Name, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := full()
			r.IDToken.Payload, r.Extra = row.payload, row.extra
			sum := summary(t, r)
			if got := sum.Claim(row.claim); got != row.want {
				t.Errorf("got %q; want %q", got, row.want)
			}
		})
	}
}

// A hint at sign-out is a whole ID token or none.
func TestChecksOfCompact(t *testing.T) {
	t.Parallel()
	for _, j := range []record.JWT{
		{Payload: "p", Signature: "s"},
		{Header: "h", Signature: "s"},
		{Header: "h", Payload: "p"},
	} {
		if got := j.Compact(); got != "" {
			t.Errorf("%+v: got %q; want nothing", j, got)
		}
	}
}
