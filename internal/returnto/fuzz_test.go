package returnto_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/returnto"
)

// FuzzPath asks a browser's parser and a ServeMux what becomes of each value that
// Path or URL lets through, and whether a Location can end its header.
func FuzzPath(f *testing.F) {
	for _, tt := range slices.Concat(offSite, looping, broken) {
		f.Add(tt.value)
		f.Add(base + tt.value)
	}
	for _, value := range kept {
		f.Add(value)
		f.Add(base + value)
	}
	for _, value := range []string{"HTTPS://APP:443/x?y#z", "https://app", "https://app?x", "https://u@app/x", `https://app\@e.test/`, "https://app%2e/", "https://app.e.test/"} {
		f.Add(value)
	}
	u, err := url.Parse(base)
	if err != nil {
		f.Fatal(err)
	}
	r := returnto.New(u, slices.Concat(routes, below))
	f.Fuzz(func(t *testing.T, value string) {
		got, err := r.Path(value)
		if viaURL, _ := r.URL(base + value); viaURL != got && strings.HasPrefix(value, "/") {
			t.Errorf("URL(%q): got %q; want %q, as from Path", base+value, viaURL, got)
		}
		switch {
		case err == nil && got != value:
			t.Errorf("Path(%q): got %q; want it kept to the byte", value, got)
		case err == nil:
			checkFollowed(t, value)
		case got != "" || len(value) > 20 && strings.Contains(err.Error(), value):
			t.Errorf("Path(%q): got %q, %v; want nothing of it", value, got, err)
		}
		if got, err := r.URL(value); err == nil {
			origin, path := browse("https://e.test/", value)
			_, sent := browse(base+"/callback", got)
			if origin != base || path != sent || !strings.HasSuffix(value, strings.TrimPrefix(got, "/")) {
				t.Errorf("URL(%q): got %q; a browser goes to %q, %q", value, got, origin, path)
			}
			checkFollowed(t, got)
		}
		w := httptest.NewRecorder()
		returnto.Location(w, value, http.StatusSeeOther)
		location := w.Header().Get("Location")
		if strings.ContainsFunc(location, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			t.Errorf("Location of %q: got %q", value, location)
		}
		if plain := !strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c >= 0x7f }); plain && location != value {
			t.Errorf("Location of %q: got %q; want it kept", value, location)
		}
	})
}
