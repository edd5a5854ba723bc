package cookie_test

import (
	"net/http"
	"testing"

	"github.com/gosignin/signin/internal/cookie"
)

func TestAnswerSize(t *testing.T) {
	t.Parallel()
	w := cookie.Answer{}
	if n, err := w.Write([]byte("body")); n != 4 || err != nil {
		t.Errorf("got %d, %v; want the body swallowed", n, err)
	}
	w.WriteHeader(http.StatusSeeOther)
	h := w.Header()
	h["Set-Cookie"] = []string{"signin=12345", "theme=dark"}
	h.Set("Location", "/a")
	h.Set("HX-Redirect", "/b")
	h.Set("X-Inertia-Location", "/c")
	h.Set("Cache-Control", "no-store")
	const redirects = len("Location: /a\r\n") + len("HX-Redirect: /b\r\n") + len("X-Inertia-Location: /c\r\n")
	if got, want := cookie.AnswerSize(h, "signin"), redirects+len("Set-Cookie: signin=12345\r\n"); got != want {
		t.Errorf("got %d; want %d, without the application's cookie", got, want)
	}
}

func TestMayHave(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"first", []string{"a=1; b=2"}, true},
		{"last, in a second line", []string{"b=2", "c=3; a="}, true},
		{"another that ends with the name", []string{"xa=1"}, false},
		{"another that begins with it", []string{"a.2=1; ab=2"}, false},
		{"no cookie", nil, false},
	} {
		if got := cookie.MayHave(row.lines, "a"); got != row.want {
			t.Errorf("%s: got %t; want %t", row.name, got, row.want)
		}
	}
}
