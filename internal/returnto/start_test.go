package returnto_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/returnto"
)

func TestRule_Start(t *testing.T) {
	t.Parallel()
	r := rule(t, "https://app.test", "/sign-in")
	long := strings.Repeat("x", 600)
	for _, row := range []struct{ name, page, want string }{
		{"a page", "/a?b=c", "/a?b=c"},
		{"a route", "/sign-in?acr_values=x", "/sign-in?acr_values=x"},
		{"a page with a fragment", "/a#top", "/a"},
		{"a long query", "/a?" + long, "/a"},
		{"a long path", "/" + long, "/home"},
		{"another host", "//e.test", "/home"},
		{"nothing", "", "/home"},
	} {
		if got := r.Start(row.page, "/home"); got != row.want {
			t.Errorf("%s: got %q; want %q", row.name, got, row.want)
		}
	}
}

func TestRule_SeenIn(t *testing.T) {
	t.Parallel()
	r := rule(t, "https://app.test/app")
	for _, row := range []struct{ name, uri, url, want string }{
		{"a path that a proxy has stripped", "/a?b", "/a?b", "/app/a?b"},
		{"the browser's path, and a handler below StripPrefix", "/app/a", "/a", "/app/a"},
		{"the absolute form", "https://app.test/a", "https://app.test/app/a", "/app/a"},
		{"no path", "*", "", "/app/"},
	} {
		req, err := http.NewRequest(http.MethodGet, row.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.RequestURI = row.uri
		if got := r.SeenIn(req); got != row.want {
			t.Errorf("%s: got %q; want %q", row.name, got, row.want)
		}
	}
	if got := returnto.WithoutQuery("/a?b#c"); got != "/a" {
		t.Errorf("without query: got %q; want /a", got)
	}
}
