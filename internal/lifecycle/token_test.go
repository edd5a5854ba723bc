package lifecycle_test

import (
	"context"
	"errors"
	"net/http/httptest"
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

// get asks for a token, and compares it and what that did.
func (w *world) get(t *testing.T, known *lifecycle.Known, audience session.Audience, refused, access, did string) {
	t.Helper()
	token, err := w.Token(t.Context(), known, audience, refused)
	if err != nil || token.Access != access {
		t.Errorf("got %+v, %v; want %q", token, err, access)
	}
	if got, _ := w.recorded(); got != did {
		t.Errorf("got %q; want %q", got, did)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	const nearly = time.Hour - ahead/2 // and the token of a good session is due
	missing := func(s *session.Session) { s.AccessToken = session.Packed{} }
	for _, c := range []struct {
		name     string
		session  *session.Session
		runs     time.Duration // how long the handler has run
		fails    string
		audience session.Audience
		refused  string
		access   string // "" for none
		did      string
		err      error
	}{
		{name: "its own token is at hand", session: good(), access: "access 0"},
		{name: "its own token is at hand when another was refused", session: good(), refused: "access 9", access: "access 0"},
		{
			name: "its own token is good without a refresh token until it expires", session: good(unrefreshable),
			runs: time.Hour - time.Second, access: "access 0",
		},
		{name: "its own token has expired, and there is no refresh token", session: good(unrefreshable), runs: time.Hour, err: lifecycle.ErrNoRefreshToken},
		{name: "its own token was refused, and there is no refresh token", session: good(unrefreshable), refused: "access 0", err: lifecycle.ErrNoRefreshToken},
		{name: "its own token was left out, and there is no refresh token", session: good(unrefreshable, missing), err: lifecycle.ErrNoRefreshToken},
		{name: "another token cannot be had without a refresh token", session: good(unrefreshable), audience: api, err: lifecycle.ErrNoRefreshToken},
		{name: "its own token was left out, and is fetched", session: good(missing), access: "fetched for ", did: "fetch token 0, set t"},
		{name: "its own token was left out, another was refused, and it is fetched", session: good(missing), refused: "access 9", access: "fetched for ", did: "fetch token 0, set t"},
		{name: "its own token was refused, and is fetched", session: good(), refused: "access 0", access: "fetched for ", did: "fetch token 0, set t"},
		{name: "its own token is due, and refreshed", session: good(), runs: nearly, access: "access 1", did: "refresh token 0, add n"},
		{name: "its own token has expired, and is refreshed", session: good(), runs: time.Hour, access: "access 1", did: "refresh token 0, add n"},
		{
			name: "its own token is due and good, and the refresh fails for a passing reason", session: good(),
			runs: nearly, fails: "refresh token 0", access: "access 0", did: "refresh token 0",
		},
		{
			name: "its own token has expired, and the refresh fails for a passing reason", session: good(),
			runs: time.Hour, fails: "refresh token 0", did: "refresh token 0", err: errDown,
		},
		{
			name: "its own token was refreshed, and shared state does not take it", session: good(),
			runs: time.Hour, fails: "add n", access: "access 1", did: "refresh token 0, add n",
		},
		{name: "another token is fetched", session: good(), audience: api, access: "fetched for api", did: "fetch token 0, set t"},
		{name: "another token cannot be fetched", session: good(), fails: "fetch token 0", audience: api, did: "fetch token 0", err: errDown},
	} {
		bubble(t, c.name, false, func(t *testing.T, w *world) {
			known := w.loaded(t, c.session)
			<-time.After(c.runs)
			w.fail(c.fails)
			if c.err == nil {
				w.get(t, known, c.audience, c.refused, c.access, c.did)
				return
			}
			token, err := w.Token(t.Context(), known, c.audience, c.refused)
			if token != nil {
				t.Errorf("got %+v; want none", token)
			}
			wantError(t, err, c.err)
			if did, _ := w.recorded(); did != c.did {
				t.Errorf("got %q; want %q", did, c.did)
			}
		})
	}
}

func TestToken_ProviderHasJustFailed(t *testing.T) {
	t.Parallel()
	bubble(t, "it is not asked again", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		<-time.After(time.Hour)
		w.fail("refresh token 0")
		for _, want := range []error{errDown, refresh.ErrResting} {
			token, err := w.Token(t.Context(), known, own, "")
			if token != nil {
				t.Errorf("got %+v; want none", token)
			}
			wantError(t, err, want)
		}
	})
}

// A token that is good for a while yet is not handed out either.
func TestToken_SessionSignedOutMeanwhile(t *testing.T) {
	t.Parallel()
	for name, audience := range map[string]session.Audience{"its own": own, "another": api} {
		bubble(t, name, false, func(t *testing.T, w *world) {
			s := good()
			known := w.loaded(t, s)
			<-time.After(time.Hour - ahead/2)
			w.end(t, sharedstate.EndedSession, string(s.ID[:]), sharedstate.SignedOut)
			w.recorded()
			token, err := w.Token(t.Context(), known, audience, "")
			var ended *refresh.Ended
			if token != nil || !errors.As(err, &ended) || ended.Reason != sharedstate.SignedOut {
				t.Errorf("got %+v, %v; want that it was signed out", token, err)
			}
			if did, _ := w.recorded(); did != "" {
				t.Errorf("got %q; want nothing asked", did)
			}
		})
	}
}

func TestToken_SharedByRequests(t *testing.T) {
	t.Parallel()
	bubble(t, "one that was fetched is kept", false, func(t *testing.T, w *world) {
		s := good()
		w.get(t, w.loaded(t, s), api, "", "fetched for api", "fetch token 0, set t")
		w.get(t, w.loaded(t, s), api, "", "fetched for api", "")
		w.get(t, w.loaded(t, s), api, "fetched for api", "fetched for api", "fetch token 0, set t")
	})
}

func TestToken_RequestGoesOnWithNewestGeneration(t *testing.T) {
	t.Parallel()
	bubble(t, "after a refresh", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		<-time.After(time.Hour)
		w.get(t, known, own, "", "access 1", "refresh token 0, add n")
		reads := w.reads
		w.get(t, known, own, "", "access 1", "")
		if w.reads != reads {
			t.Errorf("got %d more reads of shared state; want none", w.reads-reads)
		}
		w.get(t, known, api, "", "fetched for api", "fetch token 1, set t")
	})
	bubble(t, "after its refresh token was rotated", false, func(t *testing.T, w *world) {
		w.rotate = true
		known := w.loaded(t, good())
		w.get(t, known, api, "", "fetched for api", "fetch token 0, set t, add n")
		w.get(t, known, own, "", "access 1", "")
	})
	bubble(t, "also if a look that began before tells of an older one", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		w.get(t, known, api, "", "fetched for api", "fetch token 0, set t")
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
		wg.Go(func() { w.get(t, known, api, "", "fetched for api", "") })
		synctest.Wait()
		w.rotate = true
		w.get(t, known, session.Audience{Resource: "mail"}, "", "fetched for mail", "fetch token 0, set t, add n")
		close(release)
		wg.Wait()
		w.get(t, known, own, "", "access 1", "")
	})
}

// The browser still has what its request has brought, however often the handler
// has moved on.
func TestToken_BrowserIsNotLeftBehind(t *testing.T) {
	t.Parallel()
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
			if got, _ := w.finds(t, w.browserWith(t, s)); got != "token 3" {
				t.Errorf("got %q; want token 3", got)
			}
		})
	}
}

func TestToken_WhileAnotherRequestRefreshes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		runs time.Duration
		want string
	}{
		{"a token that is good is had at once", time.Hour - ahead/2, "0s access 0, 3s access 1"},
		{"one that has expired is waited for", time.Hour, "3s access 1, 3s access 1"},
	} {
		bubble(t, c.name, false, func(t *testing.T, w *world) {
			w.takes = 3 * time.Second
			var calls []func() string
			for range 2 {
				known := w.loaded(t, good())
				calls = append(calls, func() string {
					token, err := w.Token(t.Context(), known, own, "")
					if err != nil {
						return err.Error()
					}
					return token.Access
				})
			}
			<-time.After(c.runs)
			if got := together(calls...); got != c.want {
				t.Errorf("got %q; want %q", got, c.want)
			}
		})
	}
}
