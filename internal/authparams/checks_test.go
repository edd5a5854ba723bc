package authparams_test

import (
	"strings"
	"testing"
)

// Each half of a magic link is Logto's own.
func TestChecksOfForeignOptions(t *testing.T) {
	t.Parallel()
	for _, r := range []request{{OneTimeToken: "tok"}, {OneTimeEmail: "kim@example.com"}} {
		if err := r.Check(false); err == nil || !strings.Contains(err.Error(), "is for Logto only") {
			t.Errorf("%+v: got %v; want an error that it is for Logto only", r, err)
		}
	}
}
