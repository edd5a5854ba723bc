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

// A handler may run for long, and its session ends meanwhile: shared state is asked
// again after five seconds for its own token, and each time for another.
func TestToken_SignedOutMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name     string
		session  *session.Session
		audience session.Audience
		after    time.Duration
		want     string // "" is that it was signed out
	}{
		{"its own, at once", good(), own, 0, "access 0"},
		{"its own, five seconds after the request began", good(), own, 5 * time.Second, "access 0"},
		{"its own, later", good(), own, 5*time.Second + 1, ""},
		{"its own, when it is due", good(), own, nearly, ""},
		{"its own, without a refresh token", good(unrefreshable), own, time.Minute, ""},
		{"another, at once", good(), api, 0, ""},
	} {
		bubble(t, c.name, false, func(t *testing.T, w *world) {
			known := w.loaded(t, c.session)
			<-time.After(c.after)
			w.end(t, c.session, sharedstate.SignedOut)
			w.recorded()
			if c.want != "" {
				w.get(t, known, c.audience, "", c.want)
				return
			}
			token, err := w.Token(t.Context(), known, c.audience, "")
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

// It was to be refreshed, and is over: the token that is good for a while is not
// handed out either.
func TestToken_EndedByRefresh(t *testing.T) {
	for name, row := range map[string]struct {
		answer func(w *world, s *session.Session) (*session.Session, error)
		fails  string
		over   bool
	}{
		"it is signed out meanwhile": {func(w *world, s *session.Session) (*session.Session, error) {
			return next(s), w.State.EndSession(context.Background(), s.ID, sharedstate.SignedOut)
		}, "", true},
		"the provider refuses for good":                             {func(_ *world, s *session.Session) (*session.Session, error) { return refuses(s) }, "", true},
		"the provider refuses for good, and that cannot be written": {func(_ *world, s *session.Session) (*session.Session, error) { return refuses(s) }, "add e", false},
	} {
		bubble(t, name, false, func(t *testing.T, w *world) {
			known := w.loaded(t, good())
			<-time.After(nearly)
			w.answer = func(s *session.Session) (*session.Session, error) { return row.answer(w, s) }
			w.fail(row.fails)
			token, err := w.Token(t.Context(), known, own, "")
			if token != nil || err == nil || refresh.Over(err) != row.over {
				t.Errorf("got %+v, %v; want no token, and over: %v", token, err, row.over)
			}
		})
	}
}

func TestToken_LooksAgain(t *testing.T) {
	bubble(t, "once in five seconds", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		reads := w.reads
		for _, want := range []int{0, 0, 1, 1, 2} {
			w.get(t, known, own, "", "access 0")
			if got := w.reads - reads; got != want {
				t.Errorf("got %d reads; want %d", got, want)
			}
			<-time.After(3 * time.Second)
		}
	})
	bubble(t, "at once if the clock was set back", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		w.Now = func() time.Time { return time.Now().Add(-time.Second) }
		reads := w.reads
		w.get(t, known, own, "", "access 0")
		if w.reads != reads+1 {
			t.Errorf("got %d reads; want 1", w.reads-reads)
		}
	})
	bubble(t, "and finds the newest generation", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		w.succeed(t, good())
		<-time.After(6 * time.Second)
		w.recorded()
		w.get(t, known, own, "", "access 1")
		w.get(t, known, api, "", "fetched for api; fetch token 1, set t")
	})
	bubble(t, "and shared state fails: it is not known whether the session goes on", false, func(t *testing.T, w *world) {
		known := w.loaded(t, good())
		<-time.After(6 * time.Second)
		w.fail("get")
		w.get(t, known, own, "", "", errDown)
		w.get(t, known, own, "", "access 0")
	})
}

// The handler of a request that runs for days does not keep its session alive.
func TestToken_IdleMeanwhile(t *testing.T) {
	for name, audience := range map[string]session.Audience{"its own": own, "another": api} {
		bubble(t, name, false, func(t *testing.T, w *world) {
			known := w.loaded(t, good(func(s *session.Session) { s.AccessExpiry = start.Add(48 * time.Hour) }))
			<-time.After(24*time.Hour - time.Second)
			if _, err := w.Token(t.Context(), known, audience, ""); err != nil {
				t.Errorf("a second before: got error %v; want a token", err)
			}
			<-time.After(time.Second)
			w.recorded()
			token, err := w.Token(t.Context(), known, audience, "another")
			if token != nil || !refresh.Over(err) {
				t.Errorf("got %+v, %v; want that it is over", token, err)
			}
			if did := w.recorded(); did != "" {
				t.Errorf("got %q; want its refresh token not used", did)
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
