package settings_test

import (
	"testing"

	"github.com/gosignin/signin/internal/settings"
)

// https://www.rfc-editor.org/rfc/rfc6749#section-3.3
func TestChecksOfScopes(t *testing.T) {
	t.Parallel()
	for _, scope := range []string{`a\`, "a\x7f", "é"} {
		if got, err := settings.Scopes([]string{scope}, false); err == nil {
			t.Errorf("%q: got %q; want an error", scope, got)
		}
	}
}
