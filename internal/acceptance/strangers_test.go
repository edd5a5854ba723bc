package acceptance_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// Sign-ins without an account leave nothing in shared state: one that is begun and
// declined, and one that comes back with an invented code. A sign-out in the middle
// is written.
func TestStrangers_LeaveNothingInSharedState(t *testing.T) {
	t.Parallel()
	shared := new(mapState)
	a := newApp(t, with{config: func(c *signin.Config) { c.Shared = shared }})
	b := a.signedIn(signintest.Alice())
	entries := func() int {
		shared.mu.Lock()
		defer shared.mu.Unlock()
		return len(shared.values)
	}
	begin := func() (state, cookies string) {
		got := knock(a.handler(), "/sign-in", "")
		to, err := url.Parse(got.Header.Get("Location"))
		if err != nil || len(got.Cookies()) != 1 {
			t.Fatalf("got %v, %v and cookies %q; want a sign-in begun", to, err, got.Header["Set-Cookie"])
		}
		return to.Query().Get("state"), got.Cookies()[0].Name + "=" + got.Cookies()[0].Value
	}
	iss := url.QueryEscape(a.provider.Issuer)
	before := entries()
	for i := range strangers {
		state, cookies := begin()
		got := knock(a.handler(), "/callback?error=access_denied&state="+state+"&iss="+iss, cookies)
		if got.StatusCode != http.StatusForbidden {
			t.Fatalf("declined: got %d %q; want 403", got.StatusCode, got.body)
		}
		state, cookies = begin()
		got = knock(a.handler(), "/callback?code=invented&state="+state+"&iss="+iss, cookies)
		if got.StatusCode != http.StatusBadRequest {
			t.Fatalf("an invented code: got %d %q; want 400", got.StatusCode, got.body)
		}
		if i == strangers/2 {
			b.do(http.MethodPost, "/sign-out").want(t, http.StatusSeeOther, a.provider.URL)
			before++ // its end
		}
	}
	if after := entries(); after != before {
		t.Errorf("got %d entries; want %d, as before", after, before)
	}
	if got := b.who(); got != "not signed in" {
		t.Errorf("got %q; want the sign-out in the middle to hold", got)
	}
}
