package lifecycle_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// jwt changes a session to one with the access token of 1.9 KB that Entra gives.
func jwt(s *session.Session) { s.AccessToken = session.Pack(strings.Repeat("a", 1900)) }

// sized gives a session claims of a size.
func sized(bytes int) func(*session.Session) {
	return func(s *session.Session) {
		s.Claims = claims(`{"sub":"u1","x":"` + strings.Repeat("x", bytes) + `"}`)
	}
}

// take gives a browser the cookies of an answer, of which there may be two.
func (b browser) take(rec *httptest.ResponseRecorder) {
	for _, c := range rec.Result().Cookies() {
		b[c.Name] = c.Value
	}
}

// started returns what is known of a request after a sign-in with a session whose
// access token has left it.
func (w *world) started(t *testing.T) *lifecycle.Known {
	t.Helper()
	b, rec := browser{}, httptest.NewRecorder()
	noError(t, w.Start(rec, b.request(t, ""), lifecycle.Beginning{Session: good(jwt, sized(1000)), Began: start}))
	b.take(rec)
	known, _, err := w.loadOnly(b.request(t, ""))
	noError(t, err)
	w.recorded()
	return known
}

// What does not fit the cookie goes to shared state, and is found there.
func TestStart_LargeAccessToken(t *testing.T) {
	const lost = "fetched for ; fetch token 0, set t"
	whole := strings.Repeat("a", 1900)
	for _, c := range []struct {
		name    string
		session *session.Session
		others  int
		server  bool
		fails   string
		loses   bool // shared state, what it kept
		did     string
		want    string // of Token
		err     error
	}{
		{name: "F1.1 Logto's small one stays, and nothing is written", session: good(), want: "access 0"},
		{name: "F1.1 Entra's leaves", session: good(jwt, sized(1000)), did: "set a", want: whole},
		{name: "F1.1 a long redirect takes its room", session: good(jwt), others: 1000, did: "set a", want: whole},
		{name: "F1.1 on a server it stays", session: good(jwt, sized(2000)), others: 1000, server: true, did: "save, save", want: whole},
		{
			name: "F1.1 shared state does not take it: it stays, in a second cookie", session: good(jwt, sized(1000)), fails: "set a",
			did: "set a, logged", want: whole,
		},
		{
			name: "F1.1 shared state does not take it, and two cookies do not hold it", session: good(jwt, sized(3500)), fails: "set a",
			did: "set a, logged", want: lost,
		},
		{name: "F1.1 shared state loses it: it is fetched", session: good(jwt, sized(1000)), loses: true, did: "set a", want: lost},
		{name: "F1.1 without a refresh token", session: good(jwt, sized(1000), unrefreshable), did: "set a", want: whole},
		{
			name: "F1.1 lost, without a refresh token", session: good(jwt, sized(1000), unrefreshable), loses: true,
			did: "set a", err: lifecycle.ErrNoRefreshToken,
		},
	} {
		bubble(t, c.name, c.server, func(t *testing.T, w *world) {
			w.fail(c.fails)
			b, rec := browser{}, httptest.NewRecorder()
			noError(t, w.Start(rec, b.request(t, ""), lifecycle.Beginning{Session: c.session, Began: start, Others: c.others}))
			if did := w.recorded(); did != c.did {
				t.Errorf("the sign-in did %q; want %q", did, c.did)
			}
			b.take(rec)
			w.fail("")
			if c.loses {
				w.memory = sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
				w.State = w.newState(t)
				w.Refresh.State = w.State
			}
			known, _, err := w.loadOnly(b.request(t, ""))
			noError(t, err)
			w.recorded()
			if c.err == nil {
				w.get(t, known, own, "", c.want)
				return
			}
			_, err = w.Token(t.Context(), known, own, "")
			wantError(t, err, c.err)
			if !strings.Contains(err.Error(), "shared state has lost") {
				t.Errorf("got %v; want that shared state has lost it", err)
			}
		})
	}
}

// The token that left the session is as good as one that is in it, and no better.
func TestToken_LeftTheSession(t *testing.T) {
	bubble(t, "asked for twice, it is read once", false, func(t *testing.T, w *world) {
		known := w.started(t)
		reads := w.reads
		for range 2 {
			_, err := w.Token(t.Context(), known, own, "")
			noError(t, err)
		}
		if got := w.reads - reads; got != 1 {
			t.Errorf("got %d reads; want one", got)
		}
	})
	bubble(t, "signed out meanwhile: it is not handed out", false, func(t *testing.T, w *world) {
		known := w.started(t)
		w.end(t, good(), sharedstate.SignedOut)
		if token, err := w.Token(t.Context(), known, own, ""); token != nil || !refresh.Over(err) {
			t.Errorf("got %v, %v; want that the session is over", token, err)
		}
	})
	bubble(t, "refused by its audience: another is fetched", false, func(t *testing.T, w *world) {
		known := w.started(t)
		w.get(t, known, own, strings.Repeat("a", 1900), "fetched for ; fetch token 0, set t")
	})
	bubble(t, "refused by its audience, and no refresh token: it is not lost", false, func(t *testing.T, w *world) {
		b, rec := browser{}, httptest.NewRecorder()
		noError(t, w.Start(rec, b.request(t, ""), lifecycle.Beginning{Session: good(jwt, sized(1000), unrefreshable), Began: start}))
		b.take(rec)
		known, _, err := w.loadOnly(b.request(t, ""))
		noError(t, err)
		_, err = w.Token(t.Context(), known, own, strings.Repeat("a", 1900))
		wantError(t, err, lifecycle.ErrNoRefreshToken)
		if strings.Contains(err.Error(), "lost") {
			t.Errorf("got %v; want that there is no refresh token, and nothing lost", err)
		}
	})
	bubble(t, "due: the session is refreshed", false, func(t *testing.T, w *world) {
		known := w.started(t)
		<-time.After(nearly)
		w.recorded()
		w.get(t, known, own, "", "access 1; refresh token 0, add n")
	})
	bubble(t, "a guard does not ask for it", false, func(t *testing.T, w *world) {
		b, rec := browser{}, httptest.NewRecorder()
		noError(t, w.Start(rec, b.request(t, ""), lifecycle.Beginning{Session: good(jwt, sized(1000)), Began: start}))
		b.take(rec)
		reads := w.reads
		if known, _, err := w.loadOnly(b.request(t, "")); err != nil || known.Session == nil || w.reads-reads != 1 {
			t.Errorf("got %v in %d reads; want a session in one", err, w.reads-reads)
		}
	})
}

// Once per process the log says which setting proxies need.
func TestStart_SecondCookieIsLoggedOnce(t *testing.T) {
	bubble(t, "two sign-ins with 3 KB of claims", false, func(t *testing.T, w *world) {
		for range 2 {
			rec := httptest.NewRecorder()
			noError(t, w.Start(rec, browser{}.request(t, ""), lifecycle.Beginning{Session: good(sized(3000)), Began: start}))
		}
		if n := strings.Count(w.logged.String(), "proxy_buffer_size 8k"); n != 1 {
			t.Errorf("got %d lines that name proxy_buffer_size; want one: %s", n, &w.logged)
		}
	})
}
