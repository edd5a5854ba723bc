package acceptance_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"

	"github.com/gosignin/signin/internal/sharedstate"
)

// notify posts a logout token as the provider does: without cookies.
func (a *app) notify(token string) answer {
	a.t.Helper()
	return a.postLogout("application/x-www-form-urlencoded", url.Values{"logout_token": {token}}.Encode())
}

func (a *app) postLogout(contentType, body string) answer {
	a.t.Helper()
	r, err := http.NewRequest(http.MethodPost, a.server.URL+"/backchannel-logout", strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	return (&browser{Client: a.server.Client(), app: a}).send(r)
}

func TestConformanceBackChannel(t *testing.T) {
	t.Parallel()
	t.Run("P-rp-backchannel-rpinitlogout", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		alice, bob := a.signedIn(signintest.Alice()), a.signedIn(signintest.Bob())
		sid := a.provider.SessionIDs(signintest.Alice().Subject)[0]
		token := a.provider.LogoutToken(signintest.Alice().Subject, sid)
		got := a.postLogout("application/x-www-form-urlencoded; charset=utf-8",
			url.Values{"logout_token": {token}, "something": {"else"}}.Encode())
		got.want(t, http.StatusOK, "")
		if cc := got.Header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
			t.Errorf("Cache-Control: got %q; want no-store (section 2.8)", cc)
		}
		if got := alice.who(); got != "nobody" {
			t.Errorf("Alice: got %q; want her session ended", got)
		}
		if got := bob.who(); got != signintest.Bob().Subject {
			t.Errorf("Bob: got %q; want his session to stand", got)
		}
		if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
			t.Errorf("Alice's refresh tokens: got %d alive; want them revoked when her session was shown again", n)
		}
	})
	for module, fault := range map[string]signintest.Fault{
		"alg-none":    faults.LogoutTokenAlgNone,
		"no-event":    faults.LogoutTokenNoEvents,
		"with-nonce":  faults.LogoutTokenNonce,
		"wrong-alg":   faults.LogoutTokenOtherAlgorithm,
		"wrong-aud":   faults.LogoutTokenAudienceWrong,
		"wrong-event": faults.LogoutTokenEventWrong,
		"wrong-iss":   faults.LogoutTokenIssuerWrong,
	} {
		t.Run("P-rp-backchannel-rpinitlogout-"+module, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: func(c *signin.Config) { c.Provider.SigningAlgs = []string{"ES384"} }})
			alice := a.signedIn(signintest.Alice())
			a.provider.Inject(fault)
			token := a.provider.LogoutToken(signintest.Alice().Subject, "")
			a.provider.Clear()
			a.refused(token, http.StatusBadRequest, signin.ErrBadRequest)
			if got := alice.who(); got != signintest.Alice().Subject {
				t.Errorf("Alice: got %q; want her session to stand", got)
			}
		})
	}
}

// refused posts a logout token that must change nothing.
func (a *app) refused(token string, status int, code signin.Code) {
	a.t.Helper()
	said := len(a.log.String())
	got := a.notify(token)
	got.want(a.t, status, "")
	if set := got.Cookies(); len(set) != 0 {
		a.t.Errorf("cookies: got %d; want none", len(set))
	}
	if n := strings.Count(a.log.String()[said:], "code="+string(code)); n != 1 {
		a.t.Errorf("log: got %d lines about %s; want 1", n, code)
	}
	if !strings.Contains(got.body, string(code)) {
		a.t.Errorf("body: got %q; want %s", got.body, code)
	}
	if strings.Contains(a.log.String(), token) {
		a.t.Error("the log holds the logout token")
	}
	if slices.Contains(a.kinds(), signin.EventSignedOut) {
		a.t.Error("events: got a sign-out; want none")
	}
}

func TestCasesBackChannel(t *testing.T) {
	t.Parallel()
	subject := signintest.Alice().Subject
	t.Run("8.3 sub only ends every session of the person", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		one, two, bob := a.signedIn(signintest.Alice()), a.signedIn(signintest.Alice()), a.signedIn(signintest.Bob())
		a.notify(a.provider.LogoutToken(subject, "")).want(t, http.StatusOK, "")
		if one.who() != "nobody" || two.who() != "nobody" || bob.who() != signintest.Bob().Subject {
			t.Errorf("got %q, %q, %q; want both of Alice's ended and Bob's not", one.who(), two.who(), bob.who())
		}
	})
	for name, sub := range map[string]string{"sid only": "", "sid and sub": subject} {
		t.Run("8.3 "+name+" ends one of three sessions", func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			browsers := []*browser{a.signedIn(signintest.Alice()), a.signedIn(signintest.Alice()), a.signedIn(signintest.Alice())}
			sids := a.provider.SessionIDs(subject)
			if len(sids) != 3 {
				t.Fatalf("got %d sessions at the provider; want three", len(sids))
			}
			a.notify(a.provider.LogoutToken(sub, sids[1])).want(t, http.StatusOK, "")
			ended := 0
			for _, b := range browsers {
				if b.who() == "nobody" {
					ended++
				}
			}
			if ended != 1 {
				t.Errorf("got %d sessions ended; want one", ended)
			}
		})
	}
	t.Run("8.3 an unknown sid is 200 and ends nothing", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		alice := a.signedIn(signintest.Alice())
		a.notify(a.provider.LogoutToken("", "nobody-has-this")).want(t, http.StatusOK, "")
		if got := alice.who(); got != subject {
			t.Errorf("got %q; want Alice", got)
		}
	})
	t.Run("8.3 jti twice is 200 and nothing more", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		token := a.provider.LogoutToken(subject, "")
		a.notify(token).want(t, http.StatusOK, "")
		a.clock.add(time.Second)
		again := a.signedIn(signintest.Alice())
		a.notify(token).want(t, http.StatusOK, "")
		if got := again.who(); got != subject {
			t.Errorf("a session begun after the logout: got %q; want it to stand when the token is replayed", got)
		}
	})
	t.Run("8.3 arriving before the callback has finished, the session does not survive", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		b := a.browser()
		begun := b.get("/sign-in")
		begun.want(t, http.StatusSeeOther, a.provider.URL)
		follow, door := *b.Client, &stopAtCallback{}
		follow.Transport = door
		a.provider.Visit(t, &follow, begun.Header.Get("Location"), signintest.Alice())
		a.notify(a.provider.LogoutToken(subject, "")).want(t, http.StatusOK, "")
		b.get(door.response).want(t, http.StatusBadRequest, "")
		if got := b.who(); got != "nobody" {
			t.Errorf("got %q; want nobody", got)
		}
	})
	t.Run("5.8 a copied cookie is dead after back-channel logout, and a new sign-in works", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		alice := a.signedIn(signintest.Alice())
		copied := alice.copyOf()
		a.notify(a.provider.LogoutToken(subject, "")).want(t, http.StatusOK, "")
		if got := copied.who(); got != "nobody" {
			t.Errorf("the copy: got %q; want nobody", got)
		}
		a.clock.add(time.Second)
		if got := a.signedIn(signintest.Alice()).who(); got != subject {
			t.Errorf("a new sign-in: got %q; want Alice", got)
		}
	})
	t.Run("8.3 iat of three minutes ago, or three ahead, is 400", func(t *testing.T) {
		t.Parallel()
		for _, d := range []time.Duration{3 * time.Minute, -3 * time.Minute} {
			a := newApp(t, with{})
			a.signedIn(signintest.Alice()) // the keys are known
			token := a.provider.LogoutToken(subject, "")
			a.clock.add(d)
			a.refused(token, http.StatusBadRequest, signin.ErrBadRequest)
		}
	})
	for name, fault := range map[string]signintest.Fault{
		"iat ten minutes ago and no exp": faults.LogoutTokenIssuedAtOld,
		"iat ten minutes ahead":          faults.LogoutTokenIssuedAtAhead,
		"no iat":                         faults.LogoutTokenIssuedAtMissing,
		"exp in the past":                faults.LogoutTokenExpired,
		"events that are null":           faults.LogoutTokenEventsNull,
		"events that are text":           faults.LogoutTokenEventsText,
		"events that are an array":       faults.LogoutTokenEventsArray,
		"no jti":                         faults.LogoutTokenIDMissing,
		"neither sub nor sid":            faults.LogoutTokenNobody,
		"a changed signature":            faults.LogoutTokenSignature,
	} {
		t.Run("8.3 "+name+" is 400", func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			alice := a.signedIn(signintest.Alice())
			held := alice.cookies()
			a.provider.Inject(fault)
			token := a.provider.LogoutToken(subject, "")
			a.provider.Clear()
			a.refused(token, http.StatusBadRequest, signin.ErrBadRequest)
			if got := alice.who(); got != subject || alice.cookies() != held {
				t.Errorf("got %q; want Alice's session to stand as it was", got)
			}
		})
	}
	t.Run("8.3 another tenant's sid ends nothing here", func(t *testing.T) {
		t.Parallel()
		shared := new(mapState)
		sharing := with{config: func(c *signin.Config) { c.Shared = shared }}
		here, there := newApp(t, sharing), newApp(t, sharing)
		alice := here.signedIn(signintest.Alice())
		sid := here.provider.SessionIDs(subject)[0]
		there.notify(there.provider.LogoutToken(subject, sid)).want(t, http.StatusOK, "")
		here.refused(there.provider.LogoutToken(subject, sid), http.StatusBadRequest, signin.ErrBadRequest)
		if got := alice.who(); got != subject {
			t.Errorf("got %q; want Alice's session at the other tenant to stand", got)
		}
	})
	t.Run("8.3 no exp, as Logto 1.37 sends it, is accepted", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{provider: []signintest.Option{signintest.WithLogto137()}})
		alice := a.signedIn(signintest.Alice())
		a.notify(a.provider.LogoutToken(subject, "")).want(t, http.StatusOK, "")
		if got := alice.who(); got != "nobody" {
			t.Errorf("got %q; want nobody", got)
		}
	})
	t.Run("8.3 what is no logout request is 400", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		alice := a.signedIn(signintest.Alice())
		token := a.provider.LogoutToken(subject, "")
		form := url.Values{"logout_token": {token}}.Encode()
		for name, r := range map[string][2]string{
			"JSON":             {"application/json", `{"logout_token":"` + token + `"}`},
			"no media type":    {"", form},
			"no token":         {"application/x-www-form-urlencoded", "a=b"},
			"two tokens":       {"application/x-www-form-urlencoded", form + "&" + form},
			"a malformed form": {"application/x-www-form-urlencoded", "logout_token=%zz"},
			"a body of 1 MB":   {"application/x-www-form-urlencoded", form + "&x=" + strings.Repeat("x", 1<<20)},
			"an ID token":      {"application/x-www-form-urlencoded", "logout_token=" + idToken(a)},
		} {
			got := a.postLogout(r[0], r[1])
			if got.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: got %d; want 400", name, got.StatusCode)
			}
		}
		if got := alice.who(); got != subject {
			t.Errorf("got %q; want Alice's session to stand", got)
		}
		get := (&browser{Client: a.server.Client(), app: a}).get("/backchannel-logout")
		if get.StatusCode != http.StatusMethodNotAllowed || get.Header.Get("Allow") != "POST" {
			t.Errorf("GET: got %d, Allow %q; want 405, POST", get.StatusCode, get.Header.Get("Allow"))
		}
	})
	t.Run("8.3 keys not to be had are 503", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		token := a.provider.LogoutToken(subject, "")
		a.provider.Down()
		a.refused(token, http.StatusServiceUnavailable, signin.ErrProviderUnavailable)
	})
	t.Run("8.3 shared state not to be had is 503, and the token works afterwards", func(t *testing.T) {
		t.Parallel()
		shared := &brokenShared{}
		a := newApp(t, with{config: func(c *signin.Config) { c.Shared = shared }})
		alice := a.signedIn(signintest.Alice())
		token := a.provider.LogoutToken(subject, "")
		for _, call := range []string{"Get", "Set"} {
			shared.breakCall(call)
			a.refused(token, http.StatusServiceUnavailable, signin.ErrSharedUnavailable)
		}
		shared.breakCall("Add") // the sign-out is written by then
		a.notify(token).want(t, http.StatusServiceUnavailable, "")
		shared.breakCall("")
		a.notify(token).want(t, http.StatusOK, "")
		if got := alice.who(); got != "nobody" {
			t.Errorf("got %q; want nobody", got)
		}
	})
}

// stopAtCallback is a transport that keeps the provider's response instead of
// delivering it.
type stopAtCallback struct{ response string }

func (s *stopAtCallback) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/callback" {
		return ownTransport.RoundTrip(r)
	}
	s.response = r.URL.String()
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

func TestWithRoutesTakesLogoutTokens(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	r := httptest.NewRequest(http.MethodPost, "/backchannel-logout", nil)
	w := httptest.NewRecorder()
	a.auth.WithRoutes(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("an empty logout request: got %d; want 400 from the route", w.Code)
	}
}

// idToken returns an ID token that the provider has issued.
func idToken(a *app) string {
	for _, s := range a.provider.Secrets() {
		if strings.Count(s, ".") == 2 {
			return s
		}
	}
	a.t.Fatal("the provider has issued no ID token")
	return ""
}

// brokenShared is shared state of which one call fails.
// The clock of the replica that a logout token reaches is slow, and the sign-in was
// a moment ago at another.
func TestALogoutTokenAtAReplicaWhoseClockIsSlow(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Shared = &brokenShared{} }})
	b := a.signedIn(signintest.Alice())
	a.clock.add(2 * time.Second)
	cfg := a.cfg
	cfg.Now = func() time.Time { return a.clock.now().Add(-20 * time.Second) }
	slow, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/backchannel-logout", strings.NewReader(url.Values{"logout_token": {a.provider.LogoutToken(signintest.Alice().Subject, "")}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	slow.BackChannelLogout()(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s; want 200", w.Code, w.Body)
	}
	if got := b.who(); got != "nobody" {
		t.Errorf("got %q; want the session ended", got)
	}
}

type brokenShared struct {
	once   sync.Once
	memory *sharedstate.Memory
	broken atomic.Value
}

var errBroken = errors.New("broken on purpose")

func (s *brokenShared) breakCall(name string) { s.broken.Store(name) }

func (s *brokenShared) store(name string) (*sharedstate.Memory, error) {
	s.once.Do(func() {
		s.memory = sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
	})
	if s.broken.Load() == name {
		return nil, errBroken
	}
	return s.memory, nil
}

func (s *brokenShared) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	m, err := s.store("Get")
	if err != nil {
		return nil, err
	}
	return m.Get(ctx, keys...)
}

func (s *brokenShared) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	m, err := s.store("Set")
	if err != nil {
		return err
	}
	return m.Set(ctx, key, value, ttl)
}

func (s *brokenShared) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	m, err := s.store("Add")
	if err != nil {
		return false, err
	}
	return m.Add(ctx, key, value, ttl)
}

func (s *brokenShared) Delete(ctx context.Context, key string) error {
	m, err := s.store("Delete")
	if err != nil {
		return err
	}
	return m.Delete(ctx, key)
}
