package page_test

import (
	"net/http"
	"testing"

	"github.com/gosignin/signin/internal/page"
)

// An application's own challenge stands: one for bearer tokens, say.
func TestChecksOfPrepare(t *testing.T) {
	t.Parallel()
	for had, want := range map[string]string{"": page.Scheme, `Bearer realm="api"`: `Bearer realm="api"`} {
		h := http.Header{}
		if had != "" {
			h.Set("WWW-Authenticate", had)
		}
		page.Prepare(h, http.StatusUnauthorized, 0)
		if got := h.Values("WWW-Authenticate"); len(got) != 1 || got[0] != want {
			t.Errorf("with %q: got %q; want %q", had, got, want)
		}
	}
}

// An application's own page loads what it likes, and cannot be framed; its form has an
// Origin.
func TestProtect(t *testing.T) {
	t.Parallel()
	h := http.Header{"Content-Security-Policy": {"default-src *"}}
	page.Protect(h)
	for name, want := range map[string]string{
		"Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
	} {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q; want %q", name, got, want)
		}
	}
}
