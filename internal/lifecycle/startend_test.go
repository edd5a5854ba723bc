package lifecycle_test

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

func TestStart(t *testing.T) {
	const started = "new token for 24h0m0s"
	for _, c := range []struct {
		name     string
		old      *session.Session
		claims   session.Claims
		fails    string
		inCookie bool
		cookie   string
		did      string
		finds    string // what a copy of the old cookies finds
		err      []error
	}{
		{name: "there was no session", cookie: started, did: "save"},
		{name: "there was one, on the server", old: good(), cookie: started, did: "save, set e, delete"},
		{name: "there was one, in cookies", inCookie: true, old: good(), cookie: started, did: "set e", finds: "token 0: replaced"},
		{
			name: "the person was signed out meanwhile: what was granted is revoked", old: good(), claims: claims(`{"sub":"u2"}`),
			did: "revoke new token", finds: "token 0", err: []error{lifecycle.ErrEnded},
		},

		// It is not known whether the person was signed out meanwhile, and which
		// session is to be replaced.
		{name: "shared state cannot be read", old: good(), fails: "get", finds: "token 0", err: []error{lifecycle.ErrShared, errDown}},
		{name: "the store cannot be read", old: good(), fails: "read", finds: "token 0", err: []error{lifecycle.ErrStore, errDown}},

		// The old session is as it was.
		{name: "the new one cannot be saved", old: good(), fails: "save", did: "save", finds: "token 0", err: []error{lifecycle.ErrStore, errDown}},
		{name: "the new one does not fit", inCookie: true, old: good(), claims: large(), finds: "token 0", err: []error{lifecycle.ErrTooLarge}},
		{
			name: "the old one cannot be ended", old: good(), fails: "set e",
			did: "save, set e", finds: "token 0", err: []error{lifecycle.ErrShared, errDown},
		},
		{
			name: "the old one cannot be removed: it is over all the same", old: good(), fails: "delete",
			cookie: started, did: "save, set e, delete, logged", finds: "token 0: replaced",
		},
	} {
		bubble(t, c.name, !c.inCookie, func(t *testing.T, w *world) {
			b := w.browserWith(t, c.old)
			w.end(t, sharedstate.EndedSubject, "u2", sharedstate.SignedOut)
			w.recorded()
			w.fail(c.fails)
			s := good(func(s *session.Session) { s.ID, s.RefreshToken, s.Claims = session.ID{8}, "new token", c.claims })
			thief, rec := maps.Clone(b), httptest.NewRecorder()
			err := w.Start(rec, b.request(t, ""), s)
			wantError(t, err, c.err...)
			cookie, did := w.receive(t, b, rec), w.recorded()
			if finds := w.finds(t, thief); cookie != c.cookie || did != c.did || finds != c.finds {
				t.Errorf("got cookie %q, did %q, and a copy finds %q; want %q, %q, %q", cookie, did, finds, c.cookie, c.did, c.finds)
			}
		})
	}
}

func TestEnd(t *testing.T) {
	for _, c := range []struct {
		name      string
		session   *session.Session
		succeeded bool
		fails     string
		onServer  bool
		said      string // presented, newest; and if all replicas know
		revoked   error
		did       string
		finds     string // what a copy of the cookies finds
		err       error
	}{
		{name: "there was no session", said: ", "},
		{name: "on the server", onServer: true, session: good(), said: "token 0, token 0 recorded", did: "delete, set e, revoke token 0, add u"},
		{
			name: "in cookies: a copy does not revoke again", session: good(),
			said: "token 0, token 0 recorded", did: "set e, revoke token 0, add u", finds: "token 0: signed_out; add u",
		},
		{
			name: "the token of the newest generation is revoked", session: good(), succeeded: true,
			said: "token 0, token 1 recorded", did: "set e, revoke token 1, add u", finds: "token 0: signed_out; add u",
		},
		{
			name: "one that was idle is ended as well", session: good(seen(24 * time.Hour)),
			said: "token 0, token 0 recorded", did: "set e, revoke token 0, add u", finds: "token 0: idle",
		},
		{
			name: "without a refresh token there is nothing to revoke, or to note", session: good(unrefreshable),
			said: ",  recorded", did: "set e", finds: ": signed_out; add u",
		},
		{
			name: "the provider is down: a copy revokes", session: good(), fails: "revoke token 0", revoked: errDown,
			said: "token 0, token 0 recorded", did: "set e, revoke token 0", finds: "token 0: signed_out; add u, revoke token 0",
		},
		{
			name: "the revocation cannot be noted: a copy revokes again", session: good(), fails: "add u",
			said: "token 0, token 0 recorded", did: "set e, revoke token 0, add u", finds: "token 0: signed_out; add u, revoke token 0",
		},
		{
			name: "shared state does not take it: a copy lives on", session: good(), fails: "set e",
			said: "token 0, token 0", did: "set e, revoke token 0", finds: "token 0", err: errDown,
		},
		{
			name: "the store does not delete it: it is ended all the same", onServer: true, session: good(), fails: "delete",
			said: "token 0, token 0 recorded", did: "delete, set e, revoke token 0",
			finds: "token 0: signed_out; add u, revoke token 0", err: errDown,
		},
		{
			name: "the store cannot be read: it is removed unread", onServer: true, session: good(), fails: "read",
			said: ", ", did: "delete", err: errDown,
		},
	} {
		bubble(t, c.name, c.onServer, func(t *testing.T, w *world) {
			b := w.browserWith(t, c.session)
			if c.succeeded {
				w.succeed(t, c.session)
			}
			w.recorded()
			w.fail(c.fails)
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

func TestEnd_SharedStateHangs(t *testing.T) {
	for operation, want := range map[string]error{"set e": context.DeadlineExceeded, "add u": nil} {
		bubble(t, operation, false, func(t *testing.T, w *world) {
			b := w.browserWith(t, good())
			w.before = func(ctx context.Context, o string) error {
				if o == operation {
					<-ctx.Done()
				}
				return ctx.Err()
			}
			began := time.Now()
			out, err := w.End(httptest.NewRecorder(), b.request(t, ""))
			took := time.Since(began)
			if !errors.Is(err, want) || out.Recorded != (want == nil) || took != 4*time.Second {
				t.Errorf("got %+v, %v after %v; want %v after four seconds", out, err, took, want)
			}
			if did := w.recorded(); !strings.Contains(did, "revoke token 0") {
				t.Errorf("got %q; want its token revoked", did)
			}
		})
	}
}
