package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// files is a FilesystemStore whose operations are those of serverSide.
type files struct {
	w *world
	*sessions.FilesystemStore
}

func (f files) New(r *http.Request, name string) (*sessions.Session, error) {
	if err := f.w.do(r.Context(), "read"); err != nil {
		return nil, err
	}
	return f.FilesystemStore.New(r, name)
}

func (f files) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	if err := f.w.do(r.Context(), "save"); err != nil {
		return err
	}
	return f.FilesystemStore.Save(r, w, s)
}

// another is a request that ends the session of one that saves it.
type another struct {
	name string
	do   func(ctx context.Context, t *testing.T, w *world, b browser) error
	left int // sessions in the store
}

// party is the context key that tells the two requests apart.
type party struct{}

// loadBeside loads a session in a FilesystemStore while another request ends it. The
// load stops before its kth operation. The other request then runs up to its nth
// operation, and goes on when the load has finished. Both counts are returned.
func loadBeside(t *testing.T, w *world, changes func(*session.Session), other another, k, n int32) (loading, ending int32) {
	t.Helper()
	dir := t.TempDir()
	w.keepIn(files{w, sessions.NewFilesystemStore(dir, bytes.Repeat([]byte{2}, 32))})
	b := w.browserWith(t, good(changes))
	var operations [2]atomic.Int32
	stopped, goOn, loaded := make(chan bool, 1), make(chan bool, 2), make(chan bool)
	w.before = func(ctx context.Context, _ string) error {
		who := ctx.Value(party{}).(int)
		switch count := operations[who].Add(1); {
		case who == 0 && count == k:
			stopped <- true
			<-goOn
		case who == 1 && count == n:
			goOn <- true
			<-loaded
		}
		return nil
	}
	rec, known := httptest.NewRecorder(), new(lifecycle.Known)
	go func() {
		defer close(loaded)
		// An error means that the session has ended.
		_, _ = w.Load(rec, b.request(t, "").WithContext(context.WithValue(t.Context(), party{}, 0)), known)
	}()
	select {
	case <-stopped:
	case <-loaded:
	}
	noError(t, other.do(context.WithValue(t.Context(), party{}, 1), t, w, b))
	over := operations[1].Load() < n // before the session was saved
	goOn <- true
	<-loaded
	left, err := os.ReadDir(dir)
	noError(t, err)
	if len(left) != other.left {
		t.Errorf("got %d sessions in the store; want %d", len(left), other.left)
	}
	if over && operations[0].Load() >= k && (known.Session != nil || len(rec.Result().Cookies()) > 0) {
		t.Errorf("got %+v, cookies %v; want no session", known.Session, rec.Result().Cookies())
	}
	return operations[0].Load(), operations[1].Load()
}

// A save that is under way when the session ends leaves nothing behind, whichever
// operations of the one request come between two of the other.
func TestLoad_EndedMeanwhile(t *testing.T) {
	for _, other := range []another{
		{"signed out", func(ctx context.Context, t *testing.T, w *world, b browser) error {
			_, err := w.End(httptest.NewRecorder(), b.request(t, "").WithContext(ctx))
			return err
		}, 0},
		{"replaced by a sign-in", func(ctx context.Context, t *testing.T, w *world, b browser) error {
			return w.Start(httptest.NewRecorder(), b.request(t, "").WithContext(ctx), lifecycle.Beginning{Session: signedIn(), Began: start})
		}, 1},
	} {
		for name, changes := range map[string]func(*session.Session){"refreshed": due, "in use": seen(6 * time.Hour)} {
			most := [2]int32{1, 1}
			for k := int32(1); k <= most[0]; k++ {
				for n := int32(1); n <= most[1]+1; n++ {
					bubble(t, fmt.Sprintf("%s while %s, from operation %d to %d", other.name, name, k, n), false, func(t *testing.T, w *world) {
						loading, ending := loadBeside(t, w, changes, other, k, n)
						most = [2]int32{max(most[0], loading), max(most[1], ending)}
					})
				}
			}
			if most[0] < 6 || most[1] < 6 {
				t.Errorf("%s while %s: got %v operations; want more", other.name, name, most)
			}
		}
	}
}

// If it is not known whether the session has ended, or it cannot be removed, the
// request does not go on.
func TestLoad_SavedAndStoreFails(t *testing.T) {
	for _, c := range []struct {
		name, fails string
		nth         int32
		gone        bool // the client goes away
		want        error
	}{
		{"shared state cannot be read", "get", 2, false, lifecycle.ErrShared},
		{"the session has ended, and cannot be removed", "delete", 1, false, lifecycle.ErrStore},
		{"the session has ended", "", 0, false, nil},
		{"the session has ended, and its client has gone away", "", 0, true, nil},
	} {
		bubble(t, c.name, true, func(t *testing.T, w *world) {
			s := good(seen(6 * time.Hour))
			b := w.browserWith(t, s)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			w.failNth(c.fails, c.nth)
			before := w.before
			w.before = func(ctx context.Context, operation string) error {
				if operation == "save" {
					noError(t, w.State.EndSession(context.Background(), s.ID, sharedstate.SignedOut))
					if c.gone {
						leave()
					}
				}
				return before(ctx, operation)
			}
			rec, known := httptest.NewRecorder(), new(lifecycle.Known)
			out, err := w.Load(rec, b.request(t, "").WithContext(ctx), known)
			if known.Session != nil || out.Written || len(rec.Result().Cookies()) > 0 {
				t.Errorf("got %+v, %+v, cookies %v; want no session", known.Session, out, rec.Result().Cookies())
			}
			if !errors.Is(err, c.want) || c.want == nil && out.Ended != lifecycle.SignedOut {
				t.Errorf("got %+v, error %v; want %v", out, err, c.want)
			}
		})
	}
}

// A callback asks Live whether it may revoke its grant. What it cannot know counts as
// live.
func TestLive(t *testing.T) {
	for _, c := range []struct {
		name    string
		s       *session.Session
		arrange arranging
		fails   string
		live    bool
		err     error
	}{
		{name: "no session"},
		{name: "one that goes on", s: good(), live: true},
		{name: "one that was signed out", s: good(), arrange: func(t *testing.T, w *world, s *session.Session) { w.end(t, s, sharedstate.SignedOut) }},
		{name: "one that is idle", s: good(seen(24 * time.Hour))},
		{
			name: "one that is idle here, and goes on in a newer generation", s: good(seen(24 * time.Hour)),
			arrange: func(t *testing.T, w *world, s *session.Session) { w.succeed(t, s) }, live: true,
		},
		{name: "one past its lifetime by any clock", s: good(seen(14*24*time.Hour + 11*time.Minute)), fails: "get"},
		{name: "one whose end is not known", s: good(), fails: "get", live: true},
		{name: "one that cannot be read", s: good(), fails: "read", err: errDown},
	} {
		bubble(t, c.name, true, func(t *testing.T, w *world) {
			r := httptest.NewRequest("GET", "/callback", nil)
			if c.s != nil {
				r = w.browserWith(t, c.s).request(t, "document")
			}
			if c.arrange != nil {
				c.arrange(t, w, c.s)
			}
			w.fail(c.fails)
			got, err := w.Live(r)
			if (got != nil) != c.live || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v; want a session: %t, and %v", got, err, c.live, c.err)
			}
		})
	}
}
