//go:build long

package interop

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
	"github.com/gosignin/signin/signintest"
)

// 100,000 declined sign-ins, and as many with an invented code, leave nothing in
// Redis. A sign-out among them is written.
func TestStrangers_LeaveNothingInRedis(t *testing.T) {
	const strangers = 100_000
	server := startRedis(t)
	client := server.client()
	k := startKeeper(t, func(c *signin.Config) { c.Shared = redisstore.NewShared(client) })
	cookie := k.signIn(signintest.Alice(), "")
	entries := func() int64 {
		t.Helper()
		n, err := client.DBSize(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	h := k.handler
	bring := func(response string) int {
		begun := httptest.NewRecorder()
		h.ServeHTTP(begun, httptest.NewRequest(http.MethodGet, "/sign-in", nil))
		to, err := url.Parse(begun.Header().Get("Location"))
		if err != nil || len(begun.Result().Cookies()) == 0 {
			t.Fatalf("got %d, %v; want a sign-in begun", begun.Code, err)
		}
		q := url.Values{"state": {to.Query().Get("state")}, "iss": {k.provider.Issuer}}
		r, w := httptest.NewRequest(http.MethodGet, "/callback?"+q.Encode()+"&"+response, nil), httptest.NewRecorder()
		r.AddCookie(begun.Result().Cookies()[0])
		h.ServeHTTP(w, r)
		return w.Code
	}
	before := entries()
	for i := range strangers {
		if declined, invented := bring("error=access_denied"), bring("code=invented"); declined != http.StatusForbidden || invented != http.StatusBadRequest {
			t.Fatalf("got %d and %d; want 403 for what was declined, and 400", declined, invented)
		}
		if i == strangers/2 {
			ask(h, "/sign-out", cookie)
			before++ // its end
		}
	}
	// The lease of Alice's callback may have expired meanwhile.
	if after := entries(); after != before && after != before-1 {
		t.Errorf("got %d entries; want %d, as before", after, before)
	}
	k.wantSignedOut(h, cookie)
}
