package document_test

import (
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/document"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, value, want string }{
		{"an issuer", "https://id.example", `"https://id.example"`},
		{"no value", "", `""`},
		{"a second line of a log", "a\nlevel=ERROR", `"a\nlevel=ERROR"`},
		{"what turns text round", "a\u202eb", `"a\u202eb"`},
		{"a long value", strings.Repeat("x", 121), `"` + strings.Repeat("x", 120) + `"...`},
	} {
		if got := document.Quote(row.value); got != row.want {
			t.Errorf("%s: got %s; want %s", row.name, got, row.want)
		}
	}
}
