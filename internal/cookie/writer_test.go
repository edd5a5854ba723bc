package cookie_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/cookie"
)

func TestWriter(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	w.Header()["Set-Cookie"] = []string{"theme=dark", "ax=1"}
	theirs := []string{"theme=dark", "ax=1"}
	secure := cookie.Writer{Secure: true}
	for _, row := range []struct {
		name string
		do   func()
		want []string
	}{
		{"set", func() { secure.Set(w, "a", "1", time.Minute) }, []string{"a=1; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"}},
		{"set again, in place of itself", func() { secure.Set(w, "a", "2", time.Hour) }, []string{"a=2; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"}},
		{"without https there is no Secure", func() { cookie.Writer{}.Set(w, "a", "3", time.Hour) }, []string{"a=3; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"}},
		{"the rest of a second counts as a second", func() { secure.Set(w, "a", "4", 1500*time.Millisecond) }, []string{"a=4; Path=/; Max-Age=2; HttpOnly; Secure; SameSite=Lax"}},
		{"no time is left", func() { secure.Set(w, "a", "5", 0) }, []string{"a=5; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"}},
		{"unset", func() { secure.Unset(w, "a") }, []string{"a=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"}},
		{"withdrawn", func() { cookie.Withdraw(w, "a") }, nil},
	} {
		row.do()
		if got := w.Header()["Set-Cookie"]; !reflect.DeepEqual(got, append(theirs[:2:2], row.want...)) {
			t.Errorf("%s: got %q; want %q behind the application's own", row.name, got, row.want)
		}
	}
	none := httptest.NewRecorder()
	secure.Set(none, "a", "1", time.Minute)
	cookie.Withdraw(none, "a")
	if !reflect.DeepEqual(none.Header(), http.Header{}) {
		t.Errorf("withdrawn, and nothing is left: got %v; want no header", none.Header())
	}
}
