package lifecycle_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

func TestLoad(t *testing.T) {
	type arranging func(t *testing.T, w *world, s *session.Session)
	succeeded := func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s) }
	ended := func(reason sharedstate.Reason) arranging {
		return func(t *testing.T, w *world, s *session.Session) {
			w.end(t, sharedstate.EndedSession, string(s.ID[:]), reason)
		}
	}
	answer := func(answer func(s *session.Session) (*session.Session, error)) arranging {
		return func(_ *testing.T, w *world, _ *session.Session) { w.answer = answer }
	}
	leased := func(t *testing.T, w *world, s *session.Session) { w.lease(t, s) }
	old := func(s *session.Session) { s.Created = start.Add(-14 * 24 * time.Hour) }
	const refreshed = "token 1, written token 1 for 24h0m0s; refresh token 0, add n"
	for _, c := range []struct {
		name     string
		session  *session.Session
		arrange  arranging
		fails    string
		onServer bool
		dest     string
		want     string
		err      []error
	}{
		{name: "no cookie"},
		{name: "as it was presented", session: good(), want: "token 0"},

		// The use is written.
		{name: "seen a quarter of the idle time ago", session: good(seen(6 * time.Hour)), want: "token 0, written token 0 for 24h0m0s"},
		{name: "seen a second less ago", session: good(seen(6*time.Hour - time.Second)), want: "token 0"},
		{name: "seen long ago, for an image", session: good(seen(6 * time.Hour)), dest: "image", want: "token 0"},
		{
			name:    "seen long ago, and near the end of its life",
			session: good(seen(6*time.Hour), func(s *session.Session) { s.Created = start.Add(-14*24*time.Hour + 4*time.Hour) }),
			want:    "token 0, written token 0 for 4h0m0s",
		},

		// It is brought to its newest generation.
		{name: "due", session: good(due), want: refreshed},
		{name: "due, for an image", session: good(due), dest: "image", want: "token 1; refresh token 0, add n"},
		{name: "refreshed by another request", session: good(), arrange: succeeded, want: "token 1, written token 1 for 24h0m0s"},
		{
			name: "refreshed by another request, and due again", session: good(expired),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s, expired) },
			want:    "token 2, written token 2 for 24h0m0s; refresh token 1, add n",
		},
		{name: "due, and another replica has the lease", session: good(due), arrange: leased, want: "token 0"},
		{
			name: "expired, and another replica has the lease: it is waited for", session: good(expired), arrange: leased,
			want: "token 1, written token 1 for 24h0m31s; refresh token 0, add n",
		},
		{name: "due, and the provider fails", session: good(due), fails: "refresh token 0", want: "token 0; refresh token 0"},
		{name: "expired, and the provider fails", session: good(expired), fails: "refresh token 0", want: "token 0; refresh token 0"},
		{name: "due, and shared state does not take the successor", session: good(due), fails: "add n", want: refreshed},
		{
			name: "due, and the new claims do not fit: the browser keeps its cookie", session: good(due),
			arrange: answer(func(s *session.Session) (*session.Session, error) {
				n := next(s)
				n.Claims = large()
				return n, nil
			}),
			want: "token 1; refresh token 0, add n, logged",
		},

		// It is over.
		{name: "idle", session: good(seen(24 * time.Hour)), want: "token 0: idle, written deleted"},
		{name: "idle, for an image, which caches may share", session: good(seen(24 * time.Hour)), dest: "image", want: "token 0: idle"},
		{
			name: "too old, and signed out besides", session: good(old), arrange: ended(sharedstate.SignedOut),
			want: "token 0: lifetime, written deleted",
		},
		{
			name: "signed out", session: good(), arrange: ended(sharedstate.SignedOut),
			want: "token 0: signed_out, written deleted; add u, revoke token 0",
		},
		{
			name: "signed out after a refresh", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				w.succeed(t, s)
				ended(sharedstate.SignedOut)(t, w, s)
			},
			want: "token 0: signed_out, written deleted; add u, revoke token 1",
		},
		{
			name: "signed out, and its revocation cannot be noted", session: good(), fails: "add u",
			arrange: ended(sharedstate.SignedOut), want: "token 0: signed_out, written deleted; add u, revoke token 0",
		},
		{name: "ended by the provider", session: good(), arrange: ended(sharedstate.ByProvider), want: "token 0: provider, written deleted"},
		{name: "replaced by a new sign-in", session: good(), arrange: ended(sharedstate.Replaced), want: "token 0: replaced, written deleted"},
		{name: "ended by another release, for an unknown reason", session: good(), arrange: ended('x'), want: "token 0: unknown, written deleted"},
		{
			name: "its browser has shown a later generation", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) {
				noError(t, w.State.Supersede(t.Context(), s.ID, 0))
			},
			want: "token 0: superseded, written deleted",
		},
		{
			name: "due, and the provider refuses to refresh it", session: good(due),
			arrange: answer(func(*session.Session) (*session.Session, error) { return nil, refresh.ErrFinal }),
			want:    "token 0: provider, written deleted; refresh token 0, set e",
		},
		{
			name: "idle, and it cannot be removed", onServer: true, session: good(seen(24 * time.Hour)), fails: "delete",
			want: "token 0: idle, written deleted; delete, logged",
		},

		// It cannot be looked up: that is an error, and not the lack of a session.
		{name: "the store cannot be read", onServer: true, session: good(), fails: "read", err: []error{lifecycle.ErrStore, errDown}},
		{name: "shared state cannot be read", session: good(), fails: "get", err: []error{lifecycle.ErrShared, errDown}},
		{
			name: "shared state cannot be read a second time, for the successor", session: good(),
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
			name: "the store does not take what was refreshed", onServer: true, session: good(due), fails: "save",
			want: "; refresh token 0, add n, save", err: []error{lifecycle.ErrStore, errDown},
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
				t.Errorf("got %q; want %q", got, c.want)
			}
			if c.want == "token 0" && w.reads != 1 {
				t.Errorf("got %d reads of shared state; want one", w.reads)
			}
		})
	}
}

func TestLoad_SignedOutSessionTwice(t *testing.T) {
	bubble(t, "its token is revoked once, even if the client leaves", false, func(t *testing.T, w *world) {
		s := good()
		b := w.browserWith(t, s)
		w.end(t, sharedstate.EndedSession, string(s.ID[:]), sharedstate.SignedOut)
		w.recorded()
		for _, want := range []string{"; add u, revoke token 0", "; add u"} {
			ctx, leave := context.WithCancel(t.Context())
			w.before = func(_ context.Context, operation string) error {
				if operation == "add u" {
					leave()
				}
				return nil
			}
			got, err := w.load(t, browser{}, b.request(t, "").WithContext(ctx))
			if want := "token 0: signed_out, written deleted" + want; err != nil || got != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
	})
}

// A browser has not shown the generations that its images were led to.
func TestLoad_BrowserIsNotLeftBehind(t *testing.T) {
	bubble(t, "images refresh its session", false, func(t *testing.T, w *world) {
		b := w.browserWith(t, good(due))
		for i := range 3 {
			want := fmt.Sprintf("token %d; refresh token %d, add n", i+1, i)
			if got := w.finds(t, b); got != want {
				t.Errorf("got %q; want %q", got, want)
			}
			<-time.After(time.Hour)
		}
	})
}
