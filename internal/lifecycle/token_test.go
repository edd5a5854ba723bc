package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

var (
	own = session.Audience{}
	api = session.Audience{Resource: "api"}
)

// nearly is when the access token of a good session is due.
const nearly = time.Hour - ahead/2

// loaded returns what is known of a request that has presented s.
func (w *world) loaded(t *testing.T, s *session.Session) *lifecycle.Known {
	t.Helper()
	known := new(lifecycle.Known)
	r := w.browserWith(t, s).request(t, "")
	if _, err := w.Load(httptest.NewRecorder(), r, known); err != nil || known.Session == nil {
		t.Fatalf("Load: got %+v, %v; want a session", known.Session, err)
	}
	return known
}

// get asks for a token, and compares it, what that did, and the error.
func (w *world) get(t *testing.T, known *lifecycle.Known, audience session.Audience, refused, want string, err ...error) {
	t.Helper()
	token, got := w.Token(t.Context(), known, audience, refused)
	wantError(t, got, err...)
	said := w.recorded()
	if token != nil {
		said = strings.TrimSuffix(token.Access+"; "+said, "; ")
	}
	if said != want {
		t.Errorf("got %q; want %q", said, want)
	}
}

func TestToken(t *testing.T) {
	missing := func(s *session.Session) { s.AccessToken = session.Packed{} }
	const fetched = "fetched for ; fetch token 0, set t"
	for _, c := range []struct {
		name     string
		session  *session.Session // nil is a good one
		runs     time.Duration    // how long the handler has run
		fails    string
		leased   bool // another replica has the lease
		audience session.Audience
		refused  string
		want     string
		err      error
	}{
		{name: "its own is at hand", want: "access 0"},
		{name: "its own is at hand, and another was refused", refused: "access 9", want: "access 0"},
		{name: "its own was left out", session: good(missing), want: fetched},
		{name: "its own was left out, and another was refused", session: good(missing), refused: "access 9", want: fetched},
		{name: "its own was refused", refused: "access 0", want: fetched},
		{name: "its own is due", runs: nearly, want: "access 1; refresh token 0, add n"},
		{name: "its own has expired", runs: time.Hour, want: "access 1; refresh token 0, add n"},
		{name: "its own is due, and another replica has the lease", runs: nearly, leased: true, want: "access 0"},
		{name: "its own has expired, and another replica has the lease", runs: time.Hour, leased: true, want: "access 1; refresh token 0, add n"},
		{name: "its own is due, and the provider fails", runs: nearly, fails: "refresh token 0", want: "access 0; refresh token 0"},
		{name: "its own has expired, and the provider fails", runs: time.Hour, fails: "refresh token 0", want: "refresh token 0", err: errDown},
		{
			name: "its own has expired, and shared state does not take the successor", runs: time.Hour, fails: "add n",
			want: "access 1; refresh token 0, add n",
		},
		{name: "another is fetched", audience: api, want: "fetched for api; fetch token 0, set t"},
		{name: "another cannot be fetched", fails: "fetch token 0", audience: api, want: "fetch token 0", err: errDown},

		{name: "no refresh token, and its own is good", session: good(unrefreshable), runs: time.Hour - time.Second, want: "access 0"},
		{name: "no refresh token, and its own has expired", session: good(unrefreshable), runs: time.Hour, err: lifecycle.ErrNoRefreshToken},
		{name: "no refresh token, and its own was refused", session: good(unrefreshable), refused: "access 0", err: lifecycle.ErrNoRefreshToken},
		{name: "no refresh token, and its own was left out", session: good(unrefreshable, missing), err: lifecycle.ErrNoRefreshToken},
		{name: "no refresh token for another", session: good(unrefreshable), audience: api, err: lifecycle.ErrNoRefreshToken},
	} {
		bubble(t, c.name, false, func(t *testing.T, w *world) {
			c.session = cmp.Or(c.session, good())
			known := w.loaded(t, c.session)
			<-time.After(c.runs)
			if c.leased {
				w.lease(t, c.session)
			}
			w.fail(c.fails)
			if c.err != nil {
				w.get(t, known, c.audience, c.refused, c.want, c.err)
			} else {
				w.get(t, known, c.audience, c.refused, c.want)
			}
			if c.runs == time.Hour && c.err == errDown { // it is not asked again at once
				w.get(t, known, c.audience, c.refused, "", refresh.ErrResting)
			}
		})
	}
}

// A token that is good for a while is not handed out either.
func TestToken_SessionSignedOutMeanwhile(t *testing.T) {
	for name, audience := range map[string]session.Audience{"its own": own, "another": api} {
		bubble(t, name, false, func(t *testing.T, w *world) {
			s := good()
			known := w.loaded(t, s)
			<-time.After(nearly)
			w.end(t, sharedstate.EndedSession, string(s.ID[:]), sharedstate.SignedOut)
			w.recorded()
			token, err := w.Token(t.Context(), known, audience, "")
			var ended *refresh.Ended
			if token != nil || !errors.As(err, &ended) || ended.Reason != sharedstate.SignedOut {
				t.Errorf("got %+v, %v; want that it was signed out", token, err)
			}
			if did := w.recorded(); did != "" {
				t.Errorf("got %q; want nothing asked", did)
			}
		})
	}
}

func TestToken_RequestGoesOnWithNewestGeneration(t *testing.T) {
	bubble(t, "after a refresh", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		<-time.After(time.Hour)
		w.get(t, known, own, "", "access 1; refresh token 0, add n")
		reads := w.reads
		w.get(t, known, own, "", "access 1")
		if w.reads != reads {
			t.Errorf("got %d more reads of shared state; want none", w.reads-reads)
		}
		w.get(t, known, api, "", "fetched for api; fetch token 1, set t")
		w.get(t, known, api, "fetched for api", "fetched for api; fetch token 1, set t")
	})
	bubble(t, "after its refresh token was rotated, and a look that began before tells of an older one", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		w.get(t, known, api, "", "fetched for api; fetch token 0, set t")
		release := make(chan struct{})
		first := true
		w.before = func(_ context.Context, operation string) error {
			if first && operation == "get" {
				first = false
				<-release
			}
			return nil
		}
		var wg sync.WaitGroup
		wg.Go(func() { w.get(t, known, api, "", "fetched for api") })
		synctest.Wait()
		w.rotate = true
		w.get(t, known, session.Audience{Resource: "mail"}, "", "fetched for mail; fetch token 0, set t, add n")
		close(release)
		wg.Wait()
		w.get(t, known, own, "", "access 1")
	})
}

// The browser still has the cookie that its request has brought, however often
// the handler has moved on.
func TestToken_BrowserIsNotLeftBehind(t *testing.T) {
	for name, audience := range map[string]session.Audience{"its own": own, "another": api} {
		bubble(t, name, false, func(t *testing.T, w *world) {
			w.rotate = true
			s := good()
			known := w.loaded(t, s)
			for range 3 {
				<-time.After(time.Hour)
				if _, err := w.Token(t.Context(), known, audience, ""); err != nil {
					t.Errorf("Token: got error %v; want none", err)
				}
			}
			w.recorded()
			if got := w.finds(t, w.browserWith(t, s)); got != "token 3" {
				t.Errorf("got %q; want token 3", got)
			}
		})
	}
}
