package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAtBaseURL(t *testing.T) {
	t.Parallel()
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, row := range []struct{ name, base, host, location string }{
		{"another loopback name", "http://localhost:3000", "127.0.0.1:3000", "http://localhost:3000/account?x=y"},
		{"IPv6", "http://localhost:3000", "[::1]:3000", "http://localhost:3000/account?x=y"},
		{"the other way around", "http://127.0.0.1:3000", "localhost:3000", "http://127.0.0.1:3000/account?x=y"},
		{"BaseURL's own", "http://localhost:3000", "localhost:3000", ""},
		{"a proxy's address", "http://localhost:3000", "127.0.0.1:8080", ""},
		{"a name that is not loopback", "http://localhost:3000", "e.test:3000", ""},
		{"in production", "https://app.example.com", "127.0.0.1", ""},
	} {
		r, w := httptest.NewRequest("GET", "/account?x=y", nil), httptest.NewRecorder()
		r.Host = row.host
		AtBaseURL(&Settings{BaseURL: row.base}, inside).ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != row.location || (w.Code == http.StatusNoContent) != (row.location == "") {
			t.Errorf("%s: got %d, %q; want %q", row.name, w.Code, got, row.location)
		}
	}
}
