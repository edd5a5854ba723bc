package challenge_test

import (
	"net/http"
	"testing"

	"github.com/gosignin/signin/internal/challenge"
)

func TestChecksOfMayStart(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"*/*":                   true,
		"application/json":      false,
		"*/*, application/json": false,
		"*/*, */*":              false,
	} {
		if got := challenge.MayStart(request(http.MethodGet, "Accept: "+accept)); got != want {
			t.Errorf("Accept: %s: got %v; want %v", accept, got, want)
		}
	}
}

func TestChecksOfNavigations(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"a mode, no destination, and nothing of pages", []string{"Accept: */*", "Sec-Fetch-Mode: navigate"}, false},
		{"a weight beyond all numbers", []string{"Accept: text/html;q=1e999"}, false},
		{"a backslash outside of quotes is a character like others", []string{`Accept: x\,text/html`}, true},
	} {
		if got := challenge.Of(request(http.MethodGet, row.lines...)) == challenge.Navigation; got != row.want {
			t.Errorf("%s: got a navigation: %v; want %v", row.name, got, row.want)
		}
	}
}
