package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// signedIn is the session of a sign-in.
func signedIn() *session.Session {
	return good(func(s *session.Session) { s.ID, s.RefreshToken = session.ID{8}, "new token" })
}

func TestStart(t *testing.T) {
	const started = "new token for 24h0m0s"
	for _, c := range []struct {
		name     string
		old      *session.Session
		arrange  arranging
		claims   session.Claims
		fails    string
		nth      int32
		inCookie bool
		cookie   string
		did      string
		finds    string // what a copy of the old cookies finds
		err      []error
	}{
		{name: "there was no session", cookie: started, did: "save, save"},
		{name: "there was one, on the server", old: good(), cookie: started, did: "save, save, add e, delete"},
		{name: "there was one, in cookies", inCookie: true, old: good(), cookie: started, did: "add e", finds: "token 0: replaced"},
		{
			name: "there was a stale cookie: its session is ended where there is a newer one", inCookie: true, old: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.leave(t, s) },
			cookie:  "new token for 18h0m0s", did: "add e", finds: "token 0: replaced",
		},
		{
			name: "there was an idle one", inCookie: true, old: good(seen(24 * time.Hour)),
			cookie: started, did: "add e", finds: "token 0: idle",
		},
		{
			name: "there was one past its lifetime by any clock: it takes no room", inCookie: true, old: good(seen(14*24*time.Hour + 11*time.Minute)),
			cookie: started, finds: "token 0: lifetime",
		},
		{
			name: "there was one that was signed out: it stays signed out", inCookie: true, old: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.end(t, s, sharedstate.SignedOut) },
			cookie:  started, did: "add e", finds: "token 0: signed_out",
		},

		// It is not known whether the person's sessions were ended meanwhile, and which
		// session is to be replaced.
		{name: "shared state cannot be read", old: good(), fails: "get", nth: 1, finds: "token 0", err: []error{lifecycle.ErrShared, errDown}},
		{name: "it cannot be read a second time", old: good(), fails: "get", nth: 2, finds: "token 0", err: []error{lifecycle.ErrShared, errDown}},
		{name: "it cannot be read a third time", old: good(), fails: "get", nth: 3, finds: "token 0", err: []error{lifecycle.ErrShared, errDown}},
		{name: "the store cannot be read", old: good(), fails: "read", nth: 1, finds: "token 0", err: []error{lifecycle.ErrStore, errDown}},

		// The old session is as it was.
		{name: "the new one cannot be saved", old: good(), fails: "save", nth: 1, did: "save", finds: "token 0", err: []error{lifecycle.ErrStore, errDown}},
		{
			name: "the new one cannot be saved under its ID: nothing is left there", old: good(), fails: "save", nth: 2,
			did: "save, save, delete", finds: "token 0", err: []error{lifecycle.ErrStore, errDown},
		},
		{name: "the new one does not fit", inCookie: true, old: good(), claims: large(), finds: "token 0", err: []error{lifecycle.ErrTooLarge}},
		{
			name: "the old one cannot be ended: the new one is removed", old: good(), fails: "add e", nth: 1,
			did: "save, save, add e, delete", finds: "token 0", err: []error{lifecycle.ErrShared, errDown},
		},
		{
			name: "the old one cannot be removed: it is over all the same", old: good(), fails: "delete", nth: 1,
			cookie: started, did: "save, save, add e, delete, logged", finds: "token 0: replaced",
		},
	} {
		bubble(t, c.name, !c.inCookie, func(t *testing.T, w *world) {
			b := w.browserWith(t, c.old)
			if c.arrange != nil {
				c.arrange(t, w, c.old)
			}
			w.recorded()
			w.failNth(c.fails, c.nth)
			s := signedIn()
			if c.claims.Payload() != "" {
				s.Claims = c.claims
			}
			thief, rec := maps.Clone(b), httptest.NewRecorder()
			err := w.Start(rec, b.request(t, ""), lifecycle.Beginning{Session: s, Began: start})
			wantError(t, err, c.err...)
			cookie, did := w.receive(t, b, rec), w.recorded()
			if finds := w.finds(t, thief); cookie != c.cookie || did != c.did || finds != c.finds {
				t.Errorf("got cookie %q, did %q, and a copy finds %q; want %q, %q, %q", cookie, did, finds, c.cookie, c.did, c.finds)
			}
		})
	}
}

// EndSessions and logout tokens end sign-ins that are under way, and not those
// that begin later. The grant of a sign-in that is refused is not revoked here, since a
// later one may share it.
func TestStart_EndedMeanwhile(t *testing.T) {
	endPerson := func(t *testing.T, w *world) { noError(t, w.State.EndPerson(context.Background(), "u1")) }
	logoutToken := func(ago time.Duration) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			noError(t, w.State.EndByProvider(context.Background(), sharedstate.Ended{Subject: "u1"}, start.Add(-ago)))
		}
	}
	for _, c := range []struct {
		name  string
		end   func(*testing.T, *world)
		at    int32 // at which read of shared state that is; 0 is before Start
		began time.Time
		finds string // what the browser finds with its new cookie
		err   error
	}{
		{"EndSessions before the sign-in began", endPerson, 0, start.Add(time.Millisecond), "new token", nil},
		{"EndSessions for another person", func(t *testing.T, w *world) {
			noError(t, w.State.EndPerson(context.Background(), "u2"))
		}, 0, start.Add(-time.Minute), "new token", nil},
		{"EndSessions after it began", endPerson, 0, start.Add(-time.Millisecond), "", lifecycle.ErrEnded},
		{"EndSessions after the person was read", endPerson, 2, start.Add(time.Hour), "", lifecycle.ErrEnded},
		{"EndSessions right before the last look", endPerson, 3, start.Add(time.Hour), "", lifecycle.ErrEnded},
		{"EndSessions that has written its first entry only", func(t *testing.T, w *world) {
			w.failNth("set x", 2)
			if err := w.State.EndPerson(context.Background(), "u1"); !errors.Is(err, errDown) {
				t.Errorf("EndPerson: got error %v; want %v", err, errDown)
			}
		}, 0, start.Add(-time.Millisecond), "", lifecycle.ErrEnded},
		{"EndSessions twice, after it began", func(t *testing.T, w *world) {
			endPerson(t, w)
			endPerson(t, w)
		}, 0, start.Add(-time.Millisecond), "", lifecycle.ErrEnded},
		{"a logout token that was issued with its ID token", logoutToken(0), 0, start, "", lifecycle.ErrEnded},
		{"a logout token that was issued eleven seconds before", logoutToken(11 * time.Second), 0, start, "new token", nil},
	} {
		bubble(t, c.name, false, func(t *testing.T, w *world) {
			b := w.browserWith(t, nil)
			if c.at == 0 {
				c.end(t, w)
			}
			w.recorded()
			var reads atomic.Int32
			w.before = func(_ context.Context, operation string) error {
				if operation == "get" && reads.Add(1) == c.at {
					c.end(t, w)
				}
				return nil
			}
			rec := httptest.NewRecorder()
			err := w.Start(rec, b.request(t, ""), lifecycle.Beginning{Session: signedIn(), Began: c.began})
			if !errors.Is(err, c.err) {
				t.Errorf("got error %v; want %v", err, c.err)
			}
			if did := w.recorded(); strings.Contains(did, "revoke") {
				t.Errorf("got %q; want nothing revoked", did)
			}
			w.receive(t, b, rec)
			if finds := w.finds(t, b); finds != c.finds {
				t.Errorf("the browser: got %q; want %q", finds, c.finds)
			}
		})
	}
	bubble(t, "EndSessions after the last look: the session is ended by its number", false, func(t *testing.T, w *world) {
		b, rec := w.browserWith(t, nil), httptest.NewRecorder()
		noError(t, w.Start(rec, b.request(t, ""), lifecycle.Beginning{Session: signedIn(), Began: start}))
		w.receive(t, b, rec)
		endPerson(t, w)
		w.recorded()
		if finds := w.finds(t, b); finds != "new token: application" {
			t.Errorf("got %q; want it ended", finds)
		}
	})
}

func TestEnd(t *testing.T) {
	for _, c := range []struct {
		name     string
		session  *session.Session
		arrange  arranging
		fails    string
		nth      int32 // which of the operations that fails; 0 is the first
		onServer bool
		said     string // presented, newest; and if all replicas know
		revoked  error
		did      string
		finds    string // what a copy of the cookies finds
		err      error
	}{
		{name: "there was no session", said: ", "},
		{name: "on the server", onServer: true, session: good(), said: "token 0, token 0 recorded", did: "set e, delete, revoke token 0"},
		{name: "in cookies", session: good(), said: "token 0, token 0 recorded", did: "set e, revoke token 0", finds: "token 0: signed_out"},
		{
			name: "the token of the newest generation is revoked", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s) },
			said:    "token 0, token 1 recorded", did: "set e, revoke token 1", finds: "token 0: signed_out",
		},
		{
			name: "how it stands cannot be read: its token is revoked", session: good(), fails: "get", nth: 1,
			said: "token 0, token 0 recorded", did: "set e, revoke token 0", finds: "token 0: signed_out",
		},
		{
			name: "the newest generation cannot be read: one is revoked, and it is an error", session: good(), fails: "get", nth: 2,
			said: "token 0, token 0 recorded", did: "set e, revoke token 0", finds: "token 0: signed_out", err: errDown,
		},
		{
			name: "a stale cookie ends the session too", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.leave(t, s) },
			said:    "token 0, token 3 recorded", did: "set e, revoke token 3", finds: "token 0: signed_out",
		},
		{
			name: "one that was replaced: its grant may be that of the new one", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.end(t, s, sharedstate.Replaced) },
			said:    "token 0, token 0 recorded", finds: "token 0: replaced",
		},
		{
			name: "one whose person's sessions were ended", session: good(),
			arrange: func(t *testing.T, w *world, _ *session.Session) { noError(t, w.State.EndPerson(t.Context(), "u1")) },
			said:    "token 0, token 0 recorded", finds: "token 0: application",
		},
		{
			name: "one that the provider has ended, judging by this generation", session: good(),
			arrange: func(t *testing.T, w *world, _ *session.Session) {
				noError(t, w.State.EndByProvider(t.Context(), sharedstate.Ended{Subject: "u1"}, start))
			},
			said: "token 0, token 0 recorded", did: "set e", finds: "token 0: signed_out",
		},
		{
			name: "one that was signed out before, when the provider was down", session: good(),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.end(t, s, sharedstate.SignedOut) },
			said:    "token 0, token 0 recorded", did: "set e, revoke token 0", finds: "token 0: signed_out",
		},
		{
			name: "one that was idle: its refresh token is not sent any more", session: good(seen(24 * time.Hour)),
			said: "token 0, token 0 recorded", did: "set e", finds: "token 0: idle",
		},
		{
			name: "one that was idle, and it is not known whether another copy has gone on", session: good(seen(24 * time.Hour)), fails: "get", nth: 1,
			said: "token 0, token 0 recorded", did: "set e, revoke token 0", finds: "token 0: idle",
		},
		{
			name: "one that went on in another copy of its cookie", session: good(seen(24 * time.Hour)),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s) },
			said:    "token 0, token 1 recorded", did: "set e, revoke token 1", finds: "token 0: idle",
		},
		{
			name: "one past its lifetime, by this replica's clock", session: good(seen(14 * 24 * time.Hour)),
			said: "token 0, token 0 recorded", did: "set e", finds: "token 0: lifetime",
		},
		{name: "one past its lifetime by any clock: no entry", session: good(seen(14*24*time.Hour + 11*time.Minute)), said: ", ", finds: "token 0: lifetime"},
		{
			name: "without a refresh token there is nothing to revoke", session: good(unrefreshable),
			said: ",  recorded", did: "set e", finds: ": signed_out",
		},
		{
			name: "the provider is down", session: good(), fails: "revoke token 0", revoked: errDown,
			said: "token 0, token 0 recorded", did: "set e, revoke token 0", finds: "token 0: signed_out",
		},
		{
			name: "shared state does not take it: a copy lives on", session: good(), fails: "set e",
			said: "token 0, token 0", did: "set e, revoke token 0", finds: "token 0", err: errDown,
		},
		{
			name: "the store does not delete it: it is ended all the same", onServer: true, session: good(), fails: "delete",
			said: "token 0, token 0 recorded", did: "set e, delete, revoke token 0", finds: "token 0: signed_out", err: errDown,
		},
	} {
		bubble(t, c.name, c.onServer, func(t *testing.T, w *world) {
			b := w.browserWith(t, c.session)
			if c.arrange != nil {
				c.arrange(t, w, c.session)
			}
			w.recorded()
			w.failNth(c.fails, max(c.nth, 1))
			ctx, leave := context.WithCancel(t.Context())
			leave() // the person closes the window
			rec := httptest.NewRecorder()
			out, err := w.End(rec, b.request(t, "").WithContext(ctx))
			if !errors.Is(err, c.err) || !errors.Is(out.Revoked, c.revoked) {
				t.Errorf("got error %v, revoked %v; want %v, %v", err, out.Revoked, c.err, c.revoked)
			}
			said, did := refreshToken(out.Session)+", "+refreshToken(out.Newest), w.recorded()
			if out.Recorded {
				said += " recorded"
			}
			finds := w.finds(t, b)
			if cookie := w.receive(t, b, rec); said != c.said || did != c.did || finds != c.finds || cookie != "deleted" {
				t.Errorf("got %q, did %q, cookie %q, and a copy finds %q; want %q, %q, deleted, %q",
					said, did, cookie, finds, c.said, c.did, c.finds)
			}
		})
	}
}

// If a request refreshes the session during a sign-out, at any moment, the refresh
// token that is left is revoked.
func TestEnd_RefreshedBeforeEachOperation(t *testing.T) {
	for at := int32(1); at <= 4; at++ {
		bubble(t, fmt.Sprint("before operation ", at), false, func(t *testing.T, w *world) {
			b := w.browserWith(t, good(due))
			var n atomic.Int32
			w.before = func(context.Context, string) error {
				if n.Add(1) == at {
					_, _, _ = w.loadOnly(b.request(t, ""))
				}
				return nil
			}
			_, err := w.End(httptest.NewRecorder(), b.request(t, ""))
			noError(t, err)
			did := w.recorded()
			if refreshed := strings.Contains(did, "refresh token 0"); !strings.Contains(did, "revoke token 1") && refreshed || refreshed != (at <= 2) {
				t.Errorf("got %q; want the newest token revoked, and no refresh after the end", did)
			}
		})
	}
}

func TestEnd_SharedStateHangs(t *testing.T) {
	for name, onServer := range map[string]bool{"in cookies": false, "on the server": true} {
		bubble(t, name+": for four seconds at most, and the session is removed", onServer, func(t *testing.T, w *world) {
			b := w.browserWith(t, good())
			w.recorded()
			w.before = func(ctx context.Context, o string) error {
				if o == "set e" {
					<-ctx.Done()
				}
				return ctx.Err()
			}
			began, rec := time.Now(), httptest.NewRecorder()
			out, err := w.End(rec, b.request(t, ""))
			took := time.Since(began)
			if !errors.Is(err, context.DeadlineExceeded) || out.Recorded || took != 4*time.Second {
				t.Errorf("got %+v, %v after %v; want an error after four seconds", out, err, took)
			}
			want := "set e, revoke token 0"
			if onServer {
				want = "set e, delete, revoke token 0"
			}
			if did, cookie := w.recorded(), w.receive(t, b, rec); did != want || cookie != "deleted" {
				t.Errorf("got %q, cookie %q; want %q, deleted", did, cookie, want)
			}
		})
	}
}
