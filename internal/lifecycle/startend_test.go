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
	t.Parallel()
	const started = "new token for 24h0m0s"
	type want struct {
		cookie, did string
		logged      bool
		thief       string // what a copy of the old cookies finds
	}
	for _, c := range []struct {
		name     string
		onServer bool
		old      *session.Session
		claims   session.Claims
		fails    string
		want     want
		err      []error
	}{
		{name: "there was no session", onServer: true, want: want{cookie: started, did: "save"}},
		{
			name: "the old session is ended when the new one is saved, and removed then", onServer: true, old: good(),
			want: want{cookie: started, did: "save, set e, delete"},
		},
		{
			name: "a copy of the old session is over", old: good(),
			want: want{cookie: started, did: "set e", thief: "replaced"},
		},
		{
			name: "the person was signed out meanwhile: what was granted is revoked", onServer: true, old: good(), claims: claims(`{"sub":"u2"}`),
			want: want{did: "revoke new token", thief: "token 0"}, err: []error{lifecycle.ErrEnded},
		},
		{
			name: "it is not known whether the person was signed out meanwhile", onServer: true, old: good(), fails: "get",
			want: want{thief: "token 0"}, err: []error{lifecycle.ErrShared, errDown},
		},
		{
			name: "it is not known which session is to be replaced", onServer: true, old: good(), fails: "read",
			want: want{thief: "token 0"}, err: []error{lifecycle.ErrStore, errDown},
		},
		{
			name: "the new session cannot be saved: the old one is as it was", onServer: true, old: good(), fails: "save",
			want: want{did: "save", thief: "token 0"}, err: []error{lifecycle.ErrStore, errDown},
		},
		{
			name: "the new session does not fit: the old one is as it was", old: good(), claims: large(),
			want: want{thief: "token 0"}, err: []error{lifecycle.ErrTooLarge},
		},
		{
			name: "the old session cannot be ended: the browser keeps it", onServer: true, old: good(), fails: "set e",
			want: want{did: "save, set e", thief: "token 0"}, err: []error{lifecycle.ErrShared, errDown},
		},
		{
			name: "the old session cannot be removed: it is over all the same", onServer: true, old: good(), fails: "delete",
			want: want{cookie: started, did: "save, set e, delete", logged: true, thief: "replaced"},
		},
	} {
		bubble(t, c.name, c.onServer, func(t *testing.T, w *world) {
			b := w.browserWith(t, c.old)
			w.end(t, sharedstate.EndedSubject, "u2", sharedstate.SignedOut)
			w.recorded()
			w.fail(c.fails)
			s := good(func(s *session.Session) { s.ID, s.RefreshToken, s.Claims = session.ID{8}, "new token", c.claims })
			rec := httptest.NewRecorder()
			r := b.request(t, "")
			err := w.Start(rec, r, s)
			wantError(t, err, c.err...)
			thief := maps.Clone(b)
			got := want{cookie: w.receive(t, b, rec)}
			got.did, got.logged = w.recorded()
			var did string
			if got.thief, did = w.finds(t, thief); got != c.want || strings.Contains(did, "revoke") {
				t.Errorf("got %+v, and then %q; want %+v, and nothing revoked", got, did, c.want)
			}
		})
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	type want struct {
		session, newest string
		recorded        bool
		revoked         error
		did             string
		thief, then     string // what a copy of the cookies finds, and does
	}
	for _, c := range []struct {
		name     string
		onServer bool
		session  *session.Session
		succeeds bool
		fails    string
		want     want
		err      []error
	}{
		{name: "there was no session"},
		{
			name: "a session is removed, recorded and revoked, and that is noted", onServer: true, session: good(),
			want: want{session: "token 0", newest: "token 0", recorded: true, did: "delete, set e, revoke token 0, add u"},
		},
		{
			name: "a copy of its cookies is signed out, and does not revoke again", session: good(),
			want: want{session: "token 0", newest: "token 0", recorded: true, did: "set e, revoke token 0, add u", thief: "signed_out", then: "add u"},
		},
		{
			name: "the token of its newest generation is revoked", session: good(), succeeds: true,
			want: want{session: "token 0", newest: "token 1", recorded: true, did: "set e, revoke token 1, add u", thief: "signed_out", then: "add u"},
		},
		{
			name: "one that is past its limits is ended as well", session: good(seen(24 * time.Hour)),
			want: want{session: "token 0", newest: "token 0", recorded: true, did: "set e, revoke token 0, add u", thief: "idle"},
		},
		{
			name: "without a refresh token there is nothing to revoke, or to note", session: good(unrefreshable),
			want: want{recorded: true, did: "set e", thief: "signed_out", then: "add u"},
		},
		{
			name: "the provider is down: a copy of the cookies revokes", session: good(), fails: "revoke token 0",
			want: want{session: "token 0", newest: "token 0", recorded: true, revoked: errDown, did: "set e, revoke token 0", thief: "signed_out", then: "add u, revoke token 0"},
		},
		{
			name: "its revocation cannot be noted: a copy of the cookies revokes again", session: good(), fails: "add u",
			want: want{session: "token 0", newest: "token 0", recorded: true, did: "set e, revoke token 0, add u", thief: "signed_out", then: "add u, revoke token 0"},
		},
		{
			name: "shared state does not take it: the browser has no session, but a copy lives on", session: good(), fails: "set e",
			want: want{session: "token 0", newest: "token 0", did: "set e, revoke token 0", thief: "token 0"},
			err:  []error{errDown},
		},
		{
			name: "the store does not delete it: it is ended all the same", onServer: true, session: good(), fails: "delete",
			want: want{session: "token 0", newest: "token 0", recorded: true, did: "delete, set e, revoke token 0", thief: "signed_out", then: "delete, add u, revoke token 0"},
			err:  []error{errDown},
		},
		{
			name: "the store cannot be read: it is removed, unread", onServer: true, session: good(), fails: "read",
			want: want{did: "delete"}, err: []error{errDown},
		},
	} {
		bubble(t, c.name, c.onServer, func(t *testing.T, w *world) {
			b := w.browserWith(t, c.session)
			if c.succeeds {
				w.succeed(t, c.session)
			}
			w.recorded()
			w.fail(c.fails)
			ctx, leave := context.WithCancel(t.Context())
			leave() // the person closes the window
			rec := httptest.NewRecorder()
			out, err := w.End(rec, b.request(t, "").WithContext(ctx))
			if (err == nil) != (c.err == nil) || c.err != nil && !errors.Is(err, c.err[0]) {
				t.Errorf("got error %v; want %v", err, c.err)
			}
			got := want{session: refreshToken(out.Session), newest: refreshToken(out.Newest), recorded: out.Recorded, revoked: out.Revoked}
			got.did, _ = w.recorded()
			got.thief, got.then = w.finds(t, b)
			if cookie := w.receive(t, b, rec); got != c.want || cookie != "deleted" {
				t.Errorf("got %+v, cookie %q; want %+v, deleted", got, cookie, c.want)
			}
		})
	}
}

func TestEnd_SharedStateHangs(t *testing.T) {
	t.Parallel()
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
			if did, _ := w.recorded(); !strings.Contains(did, "revoke token 0") {
				t.Errorf("got %q; want its token revoked", did)
			}
		})
	}
}
