package callback_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/callback"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/sharedstate"
)

// Of two requests with one response, one asks the provider. The other goes where that
// led, and sets no cookie.
func TestConclude_Again(t *testing.T) {
	slow := func(d time.Duration) func(*world) {
		return func(w *world) { w.before = func() { <-time.After(d) } }
	}
	both := func(fs ...func(*world)) func(*world) {
		return func(w *world) {
			for _, f := range fs {
				f(w)
			}
		}
	}
	nonceWrong := func(w *world) { w.claims["nonce"] = "another" }
	refused := func(w *world) {
		w.status, w.claims, w.members = http.StatusBadRequest, nil, object{"error": "invalid_grant"}
	}
	none := func(*world) {}
	for _, c := range []struct {
		name    string
		tx      []func(*authflow.Transaction)
		arrange func(*world)
		fails   string // in the second
		after   time.Duration
		leaves  time.Duration // the second's client; 0 is never
		said    string
		took    time.Duration // at most
		err     error
	}{
		{name: "an hour after the first", arrange: none, after: time.Hour, said: "to /account"},
		{name: "while the first is under way", arrange: slow(3 * time.Second), after: time.Millisecond, said: "to /account", took: 4 * time.Second},
		{
			name: "2.4 where the first has led to is long: the transaction knows it", tx: []func(*authflow.Transaction){func(tx *authflow.Transaction) {
				tx.ReturnTo = "/" + strings.Repeat("x", 300)
			}},
			arrange: none, after: time.Second, said: "to /" + strings.Repeat("x", 300),
		},
		{
			name: "the first did not meet what was asked", tx: []func(*authflow.Transaction){asking}, arrange: none, after: time.Second,
			said: "to /account unmet",
		},
		{
			name: "the first did not meet what was asked, and is under way", tx: []func(*authflow.Transaction){asking},
			arrange: slow(time.Second), after: time.Millisecond, said: "to /account unmet", took: 2 * time.Second,
		},
		{name: "the first has failed with its code", arrange: nonceWrong, after: time.Second, err: callback.ErrUsed},
		{
			name: "the first fails meanwhile with its code", arrange: both(nonceWrong, slow(time.Second)), after: time.Millisecond,
			took: 2 * time.Second, err: callback.ErrUsed,
		},
		{
			name: "the first fails meanwhile, without using its code", arrange: both(refused, slow(time.Second)), after: time.Millisecond,
			took: 2 * time.Second, err: callback.ErrUsed,
		},
		{
			name: "the first does not finish in time", arrange: slow(30 * time.Second), after: time.Millisecond,
			took: 10 * time.Second, err: callback.ErrUsed,
		},
		{
			name: "shared state fails meanwhile", arrange: slow(5 * time.Second), fails: "get", after: time.Millisecond, err: lifecycle.ErrShared,
		},
		{
			name: "the second's client goes away", arrange: slow(5 * time.Second), after: time.Millisecond, leaves: time.Second,
			took: time.Second, err: callback.ErrUsed,
		},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			c.arrange(w)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = w.bring(browser("").request(), transaction(c.tx...))
			}()
			<-time.After(c.after)
			w.failing(c.fails, 1)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			if c.leaves > 0 {
				time.AfterFunc(c.leaves, leave)
			}
			began, reads := time.Now(), w.countReads()
			said, err := w.bring(browser("").request().WithContext(ctx), transaction(c.tx...))
			took := time.Since(began)
			wantError(t, err, c.err)
			if n := w.countReads() - reads; n > 16 { // each costs a round trip
				t.Errorf("got %d looks at shared state; want at most 16 in ten seconds", n)
			}
			if said != c.said || took > c.took {
				t.Errorf("got %q after %v; want %q after %v at most", said, took, c.said, c.took)
			}
			<-done
			if w.exchanges != 1 {
				t.Errorf("got %d token requests; want one", w.exchanges)
			}
		})
	}
}

// Anyone can bring one response many times, and each request that waits costs memory.
func TestConclude_TooManyWait(t *testing.T) {
	bubble(t, "the 257th does not wait", func(t *testing.T, w *world) {
		w.before = func() { <-time.After(5 * time.Second) }
		for range 1 + 256 {
			go func() {
				if said, err := w.bring(browser("").request(), transaction()); err != nil || !strings.HasPrefix(said, "alice to /account") && said != "to /account" {
					t.Errorf("got %q, %v; want that it goes on", said, err)
				}
			}()
		}
		synctest.Wait()
		began := time.Now()
		_, err := w.bring(browser("").request(), transaction())
		if wantError(t, err, callback.ErrUsed); err != nil && !strings.Contains(err.Error(), "too many") || time.Since(began) != 0 {
			t.Errorf("got %v after %v; want at once that too many wait", err, time.Since(began))
		}
		<-time.After(10 * time.Second)
		if said, err := w.bring(browser("").request(), transaction()); said != "to /account" || err != nil || w.exchanges != 1 {
			t.Errorf("afterwards: got %q, %v, %d token requests; want that it goes on, after one", said, err, w.exchanges)
		}
	})
}

// A lease may be taken in vain: the one before has finished, or has used the code.
func TestConclude_LeaseAfterTheMark(t *testing.T) {
	for _, c := range []struct {
		progress sharedstate.Progress
		said     string
		err      error
	}{
		{sharedstate.Finished, "to /there", nil},
		{sharedstate.Exchanged, "", callback.ErrUsed},
	} {
		bubble(t, fmt.Sprintf("%q", byte(c.progress)), func(t *testing.T, w *world) {
			note := authflow.Note{Subject: "alice", ReturnTo: "/there"}
			noError(t, w.State.MarkCallback(t.Context(), state, c.progress, note.Encode(), time.Hour))
			said, err := w.bring(browser("").request(), transaction())
			if wantError(t, err, c.err); said != c.said || w.exchanges != 0 {
				t.Errorf("got %q, %d token requests; want %q, none", said, w.exchanges, c.said)
			}
		})
	}
}

// The caller compares the person of a note with the one of the browser: a response from
// a history must not tell another person where it led.
func TestFinished(t *testing.T) {
	for _, c := range []struct {
		name, returnTo, subject, to string
		note                        []byte
		unmet                       bool
	}{
		{name: "a note", note: authflow.Note{Subject: "alice", ReturnTo: "/a", Unmet: true}.Encode(), returnTo: "/b", subject: "alice", to: "/a", unmet: true},
		{name: "a note without an address", note: authflow.Note{Subject: "alice"}.Encode(), returnTo: "/b", subject: "alice", to: "/b"},
		{name: "one that cannot be read", note: []byte("x")},
	} {
		out, subject := callback.Finished(c.note, c.returnTo)
		if out.Session != nil || out.ReturnTo != c.to || subject != c.subject || (out.Unmet != nil) != c.unmet {
			t.Errorf("%s: got %+v, %q; want %q, %q, unmet: %t", c.name, out, subject, c.to, c.subject, c.unmet)
		}
	}
}
