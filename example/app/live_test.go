package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

// stream opens the events of the live page, and returns the text of one each time it is
// asked; "" after the last.
func (a *running) stream(t *testing.T, client *http.Client) func() string {
	t.Helper()
	resp, err := client.Get(a.settings.BaseURL + "/live/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s, %s; want an event stream", resp.Status, resp.Header.Get("Content-Type"))
	}
	rest := ""
	return func() string {
		for {
			event, more, found := strings.Cut(rest, "\n\n")
			if found {
				rest = more
				return event
			}
			part := make([]byte, 1024)
			n, err := resp.Body.Read(part)
			if rest += string(part[:n]); err != nil && n == 0 {
				return ""
			}
		}
	}
}

// A person whom the provider suspends is out at the next request, and what is open ends
// within the time that WhileSignedIn takes to notice. Other people go on.
func TestLive(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	alice, bob := a.browserOf(t, signintest.Alice()), a.browserOf(t, signintest.Bob())
	a.ask(t, alice, "GET", "/live").want(t, 200, "", []string{"Your session, live", `src="/static/live.js"`, `id="token"`})
	events, bobs := a.stream(t, alice), a.stream(t, bob)
	for name, next := range map[string]func() string{"Alice": events, "Bob": bobs} {
		if got := next(); !strings.HasPrefix(got, `event: session`+"\n"+`data: {"looked":"`) || !strings.Contains(got, `"token":"`) {
			t.Fatalf("%s: got %q; want what is known of the session", name, got)
		}
	}

	began := time.Now()
	if sent := a.provider.Suspend(signintest.Alice().Subject); sent.Status != http.StatusOK {
		t.Errorf("webhook: got %+v; want it answered with 200", sent)
	}
	a.ask(t, alice, "GET", "/account").want(t, 303, "/sign-in?return_to=%2Faccount", nil)
	got := events()
	for strings.HasPrefix(got, "event: session") {
		got = events()
	}
	if took := time.Since(began); got != "event: over\ndata:" || took > liveEvery+5*time.Second {
		t.Errorf("got %q after %v; want the end of the stream within %v", got, took, liveEvery)
	}
	if got := events(); got != "" {
		t.Errorf("after the end: got %q; want nothing more", got)
	}
	a.ask(t, bob, "GET", "/account").want(t, 200, "", []string{"Bob Example"})
	if got := bobs(); !strings.HasPrefix(got, "event: session") {
		t.Errorf("Bob: got %q; want his stream to go on", got)
	}
}

// Without a token the page is that of package signin, and not one for a mistake of ours.
func TestLive_NoToken(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	r, w := signintest.WithUser(httptest.NewRequest("GET", "/live", nil), nil), httptest.NewRecorder()
	if Live(a.auth)(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("got %d; want 401", w.Code)
	}
}

// The end may be noticed where the token is asked for, before WhileSignedIn looks again.
func TestLiveEvents_EndedMeanwhile(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	r, w := signintest.WithUser(httptest.NewRequest("GET", "/live/events", nil), nil), httptest.NewRecorder()
	if LiveEvents(a.auth)(w, r); w.Body.String() != "event: over\ndata:\n\n" {
		t.Errorf("got %q; want that it is over", w.Body)
	}
}

// Only people who are signed in get the page and the stream, which is not a redirect that
// a browser would follow from an EventSource.
func TestLive_NotSignedIn(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	a.ask(t, nil, "GET", "/live").want(t, 303, "/sign-in?return_to=%2Flive", nil)
	r, w := httptest.NewRequest("GET", "/live/events", nil), httptest.NewRecorder()
	r.Header.Set("Accept", "text/event-stream")
	if a.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("events: got %d; want 401", w.Code)
	}
}

// deadlines is a ResponseWriter that notes until when each event may be written.
type deadlines struct {
	*httptest.ResponseRecorder
	at    time.Time
	left  []time.Duration
	leave func()
}

func (d *deadlines) SetWriteDeadline(at time.Time) error { d.at = at; return nil }

func (d *deadlines) Flush() { d.left = append(d.left, time.Until(d.at)); d.leave() }

// A browser that does not read holds its stream for seconds only: a handler that waits in
// a write does not notice that the session has ended.
func TestLiveEvents_Deadline(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	alice := a.browserOf(t, signintest.Alice())
	ctx, leave := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", a.settings.BaseURL+"/live/events", nil)
	for _, c := range alice.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	w := &deadlines{ResponseRecorder: httptest.NewRecorder(), leave: leave}
	a.ServeHTTP(w, r)
	if len(w.left) != 1 || w.left[0] <= liveEvery || w.left[0] > time.Minute {
		t.Errorf("got %v left for events, %s; want one with more than %v and less than a minute", w.left, w.Body, liveEvery)
	}
}
