package lifecycle_test

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/session"
)

// The application is asked last. What it refuses leaves nothing, and an end that it
// writes itself spares this session alone.
func TestStart_Admit(t *testing.T) {
	stranger := errors.New("a stranger")
	for _, c := range []struct {
		name   string
		admit  func(*world, *session.Session) error
		cookie string
		did    string
		finds  string // what a copy of the old cookies finds
		now    string // what the browser finds
		err    error
	}{
		{
			name: "it agrees", admit: func(*world, *session.Session) error { return nil },
			cookie: "new token for 24h0m0s", did: "add e", finds: "token 0: replaced", now: "new token",
		},
		{name: "it refuses", admit: func(*world, *session.Session) error { return stranger }, finds: "token 0", now: "token 0", err: stranger},
		{
			name: "EndSessions meanwhile, elsewhere", admit: func(w *world, _ *session.Session) error {
				return w.State.EndPerson(context.Background(), "u1")
			},
			did: "set x, set x", finds: "token 0: application", now: "token 0: application", err: lifecycle.ErrEnded,
		},
		{
			name: "EndSessions by itself", admit: func(w *world, s *session.Session) (err error) {
				s.Number, err = w.State.EndBegun(context.Background(), "u1")
				return err
			},
			cookie: "new token for 24h0m0s", did: "set x, add e", finds: "token 0: replaced", now: "new token",
		},
		{
			name: "EndSessions by itself, and elsewhere", admit: func(w *world, s *session.Session) (err error) {
				s.Number, err = w.State.EndBegun(context.Background(), "u1")
				return errors.Join(err, w.State.EndPerson(context.Background(), "u1"))
			},
			did: "set x, set x, set x", finds: "token 0: application", now: "token 0: application", err: lifecycle.ErrEnded,
		},
	} {
		bubble(t, c.name, false, func(t *testing.T, w *world) {
			b := w.browserWith(t, good())
			thief, rec := maps.Clone(b), httptest.NewRecorder()
			err := w.Start(rec, b.request(t, ""), lifecycle.Beginning{
				Session: signedIn(), Began: start.Add(time.Second), Admit: func(s *session.Session) error { return c.admit(w, s) },
			})
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("got error %v; want %v", err, c.err)
			}
			did, cookie := w.recorded(), w.receive(t, b, rec)
			if finds, now := w.finds(t, thief), w.finds(t, b); cookie != c.cookie || did != c.did || finds != c.finds || now != c.now {
				t.Errorf("got cookie %q, did %q, and a copy finds %q, the browser %q; want %q, %q, %q, %q",
					cookie, did, finds, now, c.cookie, c.did, c.finds, c.now)
			}
		})
	}
}

// A stale cookie does not sign its browser in, though its session goes on elsewhere.
func TestIsStale(t *testing.T) {
	for _, c := range []struct {
		name   string
		leave  bool
		fails  string
		nth    int32
		server bool
		want   bool
	}{
		{name: "a cookie that its browser still shows"},
		{name: "one that it left behind hours ago", leave: true, want: true},
		{name: "one in a store on the server, which leads on", leave: true, server: true},
		{name: "shared state cannot be read", leave: true, fails: "get", nth: 1},
		{name: "shared state cannot be read a second time", leave: true, fails: "get", nth: 2},
	} {
		bubble(t, c.name, c.server, func(t *testing.T, w *world) {
			s := good()
			b := w.browserWith(t, s)
			if c.leave {
				w.leave(t, s)
			}
			live, err := w.Live(b.request(t, ""))
			if err != nil || live == nil {
				t.Fatalf("Live: got %+v, %v; want the session", live, err)
			}
			w.failNth(c.fails, c.nth)
			if got := w.IsStale(b.request(t, ""), live); got != c.want {
				t.Errorf("got %t; want %t", got, c.want)
			}
		})
	}
}
