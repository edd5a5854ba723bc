package lifecycle_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// outcome is all that came of Load. Sessions are named by their refresh tokens.
type outcome struct {
	session string // that the request goes on with
	ended   lifecycle.Reason
	over    string // the session that has ended
	written bool
	cookie  string // what the answer does with it
	did     string // what store, shared state and provider were asked
	logged  bool
}

func (w *world) load(t *testing.T, b browser, r *http.Request) (outcome, error) {
	t.Helper()
	var known lifecycle.Known
	rec := httptest.NewRecorder()
	out, err := w.Load(rec, r, &known)
	got := outcome{
		session: refreshToken(known.Session), ended: out.Ended, over: refreshToken(out.Session),
		written: out.Written, cookie: w.receive(t, b, rec),
	}
	got.did, got.logged = w.recorded()
	return got, err
}

// arranging changes the world before a session of it is presented.
type arranging func(t *testing.T, w *world, s *session.Session)

func TestLoad(t *testing.T) {
	t.Parallel()
	succeeded := func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s) }
	for _, c := range []struct {
		name     string
		onServer bool
		session  *session.Session
		arrange  arranging
		fails    string
		dest     string
		want     outcome
		err      []error
	}{
		{name: "without a cookie there is no session"},
		{
			name: "a session that is as it was presented changes nothing", session: good(),
			want: outcome{session: "token 0"},
		},
		{
			name: "one that was seen a quarter of the idle time ago is written again", session: good(seen(6 * time.Hour)),
			want: outcome{session: "token 0", written: true, cookie: "token 0 for 24h0m0s"},
		},
		{
			name: "one that was seen a second less ago is not", session: good(seen(6*time.Hour - time.Second)),
			want: outcome{session: "token 0"},
		},
		{
			name: "one that was seen long ago is not written with an image", session: good(seen(6 * time.Hour)), dest: "image",
			want: outcome{session: "token 0"},
		},
		{
			name:    "one near the end of its life is written for what is left",
			session: good(seen(6*time.Hour), func(s *session.Session) { s.Created = start.Add(-14*24*time.Hour + 4*time.Hour) }),
			want:    outcome{session: "token 0", written: true, cookie: "token 0 for 4h0m0s"},
		},
		{
			name: "one that is due is refreshed, and written", session: good(due),
			want: outcome{session: "token 1", written: true, cookie: "token 1 for 24h0m0s", did: "refresh token 0, add n"},
		},
		{
			name: "one that is due is refreshed with an image, and not written", session: good(due), dest: "image",
			want: outcome{session: "token 1", did: "refresh token 0, add n"},
		},
		{
			name: "one that another request has refreshed is led on, and written", session: good(), arrange: succeeded,
			want: outcome{session: "token 1", written: true, cookie: "token 1 for 24h0m0s"},
		},
		{
			name: "one is led on, and refreshed if that is due", session: good(expired),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s, expired) },
			want:    outcome{session: "token 2", written: true, cookie: "token 2 for 24h0m0s", did: "refresh token 1, add n"},
		},
		{
			name: "one whose refresh fails for a passing reason goes on", session: good(due), fails: "refresh token 0",
			want: outcome{session: "token 0", did: "refresh token 0"},
		},
		{
			name: "one goes on also when its access token has expired", session: good(expired), fails: "refresh token 0",
			want: outcome{session: "token 0", did: "refresh token 0"},
		},
		{
			name: "one that was refreshed is written though shared state does not take it", session: good(due), fails: "add n",
			want: outcome{session: "token 1", written: true, cookie: "token 1 for 24h0m0s", did: "refresh token 0, add n"},
		},
		{
			name: "one whose new claims do not fit goes on, and the browser keeps the old cookie", session: good(due),
			arrange: func(_ *testing.T, w *world, _ *session.Session) {
				w.answer = func(s *session.Session) (*session.Session, error) {
					n := next(s)
					n.Claims = large()
					return n, nil
				}
			},
			want: outcome{session: "token 1", did: "refresh token 0, add n", logged: true},
		},
		{
			name: "a store that cannot be read is not the lack of a session", onServer: true, session: good(), fails: "read",
			err: []error{lifecycle.ErrStore, errDown},
		},
		{
			name: "shared state that cannot be read lets no session in", session: good(), fails: "get",
			err: []error{lifecycle.ErrShared, errDown},
		},
		{
			name: "nor does it if it fails when a session is led on", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				w.before = func(_ context.Context, operation string) error {
					if operation == "get" && w.reads > 1 {
						return errDown
					}
					return nil
				}
			},
			err: []error{lifecycle.ErrShared, errDown},
		},
		{
			name: "what the store does not take is not handed to the handler, nor to the browser", onServer: true, session: good(due), fails: "save",
			want: outcome{did: "refresh token 0, add n, save"},
			err:  []error{lifecycle.ErrStore, errDown},
		},
		{
			name: "one that is over and cannot be removed is over", onServer: true, session: good(seen(24 * time.Hour)), fails: "delete",
			want: outcome{ended: lifecycle.Idle, over: "token 0", written: true, cookie: "deleted", did: "delete", logged: true},
		},
	} {
		bubble(t, c.name, c.onServer, func(t *testing.T, w *world) {
			b := w.browserWith(t, c.session)
			w.fail(c.fails)
			if c.arrange != nil {
				c.arrange(t, w, c.session)
			}
			w.recorded()
			got, err := w.load(t, b, b.request(t, c.dest))
			wantError(t, err, c.err...)
			if got != c.want {
				t.Errorf("got %+v; want %+v", got, c.want)
			}
		})
	}
}

func TestLoad_SessionAsPresented(t *testing.T) {
	t.Parallel()
	bubble(t, "one look at shared state", false, func(t *testing.T, w *world) {
		if got, _ := w.finds(t, w.browserWith(t, good())); got != "token 0" || w.reads != 1 {
			t.Errorf("got %q with %d reads; want token 0 with one", got, w.reads)
		}
	})
}

func TestLoad_UseIsWrittenOnce(t *testing.T) {
	t.Parallel()
	bubble(t, "seen long ago", false, func(t *testing.T, w *world) {
		b := w.browserWith(t, good(seen(23*time.Hour), unrefreshable))
		for i, want := range []bool{true, false} {
			if got, err := w.load(t, b, b.request(t, "")); err != nil || got.written != want {
				t.Errorf("%d: got %+v, %v; want written %v", i, got, err, want)
			}
			<-time.After(5 * time.Hour)
		}
	})
}

func TestLoad_SessionIsOver(t *testing.T) {
	t.Parallel()
	ends := func(reason sharedstate.Reason) arranging {
		return func(t *testing.T, w *world, s *session.Session) {
			w.end(t, sharedstate.EndedSession, string(s.ID[:]), reason)
		}
	}
	for _, c := range []struct {
		name    string
		session *session.Session
		arrange arranging
		fails   string
		ended   lifecycle.Reason
		did     string
	}{
		{name: "it was not used for the idle time", session: good(seen(24 * time.Hour)), ended: lifecycle.Idle},
		{
			name:    "it has lived for the longest time, and was signed out besides",
			session: good(func(s *session.Session) { s.Created = start.Add(-14 * 24 * time.Hour) }),
			arrange: ends(sharedstate.SignedOut), ended: lifecycle.Lifetime,
		},
		{
			name: "it was signed out elsewhere", session: good(),
			arrange: ends(sharedstate.SignedOut), ended: lifecycle.SignedOut, did: "add u, revoke token 0",
		},
		{
			name: "it was signed out after a refresh that this browser has missed", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				ends(sharedstate.SignedOut)(t, w, s)
			},
			ended: lifecycle.SignedOut, did: "add u, revoke token 1",
		},
		{
			name: "it was signed out, and its revocation cannot be noted", session: good(), fails: "add u",
			arrange: ends(sharedstate.SignedOut), ended: lifecycle.SignedOut, did: "add u, revoke token 0",
		},
		{
			name: "the provider has ended it, as another request was told", session: good(),
			arrange: ends(sharedstate.ByProvider), ended: lifecycle.ByProvider,
		},
		{name: "a new sign-in has replaced it", session: good(), arrange: ends(sharedstate.Replaced), ended: lifecycle.Replaced},
		{name: "its end cannot be read", session: good(), arrange: ends('x'), ended: lifecycle.Unknown},
		{
			name: "its browser has shown a later generation", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				if err := w.State.Supersede(t.Context(), s.ID, 0); err != nil {
					t.Fatal(err)
				}
			},
			ended: lifecycle.Superseded,
		},
		{
			name: "the provider refuses to refresh it", session: good(due),
			arrange: func(_ *testing.T, w *world, _ *session.Session) {
				w.answer = func(*session.Session) (*session.Session, error) { return nil, refresh.ErrFinal }
			},
			ended: lifecycle.ByProvider, did: "refresh token 0, set e",
		},
	} {
		for dest, want := range map[string]outcome{
			"document": {written: true, cookie: "deleted"},
			"image":    {}, // which a cache may share
		} {
			bubble(t, c.name+", "+dest, false, func(t *testing.T, w *world) {
				b := w.browserWith(t, c.session)
				w.fail(c.fails)
				if c.arrange != nil {
					c.arrange(t, w, c.session)
				}
				w.recorded()
				want.ended, want.over, want.did = c.ended, "token 0", c.did
				got, err := w.load(t, b, b.request(t, dest))
				wantError(t, err)
				if got != want {
					t.Errorf("got %+v; want %+v", got, want)
				}
			})
		}
	}
}

func TestLoad_SignedOutSessionFoundTwice(t *testing.T) {
	t.Parallel()
	bubble(t, "its token is revoked once, and though the client leaves", false, func(t *testing.T, w *world) {
		s := good()
		b := w.browserWith(t, s)
		w.end(t, sharedstate.EndedSession, string(s.ID[:]), sharedstate.SignedOut)
		w.recorded()
		for i, want := range []string{"add u, revoke token 0", "add u"} {
			ctx, leave := context.WithCancel(t.Context())
			w.before = func(_ context.Context, operation string) error {
				if operation == "add u" {
					leave()
				}
				return nil
			}
			got, err := w.load(t, browser{}, b.request(t, "").WithContext(ctx))
			if err != nil || got.ended != lifecycle.SignedOut || got.did != want {
				t.Errorf("%d: got %+v, %v; want %q", i, got, err, want)
			}
		}
	})
}

// together makes calls at once, and says after which time each has had its answer.
func together(calls ...func() string) string {
	began, got := time.Now(), make([]string, len(calls))
	var wg sync.WaitGroup
	for i, call := range calls {
		wg.Go(func() {
			answer := call()
			got[i] = fmt.Sprint(time.Since(began), " ", answer)
		})
	}
	wg.Wait()
	slices.Sort(got)
	return strings.Join(got, ", ")
}

func TestLoad_WhileAnotherRequestRefreshes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		session *session.Session
		want    string
	}{
		{"one whose access token is good does not wait", good(due), "0s token 0, 3s token 1"},
		{"one whose access token has expired waits", good(expired), "3s token 1, 3s token 1"},
	} {
		bubble(t, c.name, false, func(t *testing.T, w *world) {
			w.takes = 3 * time.Second
			b := w.browserWith(t, c.session)
			load := func() string {
				got, err := w.load(t, browser{}, b.request(t, "image"))
				wantError(t, err)
				return got.session
			}
			if got := together(load, load); got != c.want {
				t.Errorf("got %q; want %q", got, c.want)
			}
		})
	}
}

// A browser has not shown the generations that its requests were led on to.
func TestLoad_BrowserIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	bubble(t, "by images that refresh its session", false, func(t *testing.T, w *world) {
		b := w.browserWith(t, good(due))
		for _, want := range []string{"token 1", "token 2", "token 3"} {
			if got, err := w.load(t, b, b.request(t, "image")); err != nil || got.session != want {
				t.Errorf("got %+v, %v; want %q", got, err, want)
			}
			<-time.After(time.Hour)
		}
	})
}
