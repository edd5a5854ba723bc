package redisstore_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// application runs as two replicas, each with its own client of one Redis.
type application struct {
	*signintest.App
	replicas [2]http.Handler
	ahead    atomic.Int64 // of the clock
	count    atomic.Int64
}

// startApplication starts an application whose every page says who is signed
// in. The replicas take turns at requests from browsers.
func startApplication(t *testing.T, n *node, sessionsToo bool) *application {
	a := &application{}
	now := func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }
	a.App = signintest.Start(t, func(cfg signin.Config) (http.Handler, error) {
		cfg.Now, cfg.Logger = now, slog.New(slog.DiscardHandler)
		for i := range a.replicas {
			client := n.client(asUser)
			cfg.Shared = sharedOn(client)
			if sessionsToo {
				cfg.Store = sessionsOn(client)
			}
			auth, err := signin.New(cfg)
			if err != nil {
				return nil, err
			}
			a.replicas[i] = auth.WithRoutes(auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u, _ := signin.UserFrom(r.Context())
				_, _ = io.WriteString(w, u.Subject)
			})))
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.replicas[a.count.Add(1)%2].ServeHTTP(w, r)
		}), nil
	}, signintest.WithRefreshRotation(), signintest.WithNow(now))
	return a
}

// signIn signs a person in, in a browser that has these cookies, and returns
// those that it has afterwards.
func (a *application) signIn(t *testing.T, u signintest.User, had []*http.Cookie) []*http.Cookie {
	t.Helper()
	client := a.Provider.NewClient()
	client.Jar.SetCookies(a.base(), had)
	a.Provider.SignIn(t, client, a.URL, u)
	return client.Jar.Cookies(a.base())
}

func (a *application) base() *url.URL {
	u, _ := url.Parse(a.URL)
	return u
}

// ask sends one replica what a browser with these cookies sends.
func (a *application) ask(replica int, method, target string, cookies []*http.Cookie) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest(method, target, nil), httptest.NewRecorder()
	r.Header.Set("Accept", "text/html")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	a.replicas[replica].ServeHTTP(w, r)
	return w
}

// wantUser checks whom both replicas let in who has these cookies: the person
// with this subject, or no one if it is empty.
func (a *application) wantUser(t *testing.T, what string, cookies []*http.Cookie, subject string) {
	t.Helper()
	for i := range a.replicas {
		got := a.ask(i, http.MethodGet, "/account", cookies)
		if subject != "" && (got.Code != http.StatusOK || got.Body.String() != subject) {
			t.Errorf("%s at replica %d: got %d, %q; want 200, %q", what, i, got.Code, got.Body, subject)
		}
		if location := got.Header().Get("Location"); subject == "" && location != "/sign-in?return_to=%2Faccount" {
			t.Errorf("%s at replica %d: got %d, to %q; want the sign-in", what, i, got.Code, location)
		}
	}
}

// Rows 2.4, 4.1, 5.1 and 5.8 of CONFORMANCE.md, over two replicas.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.do(aclUser(t)...)
	for kind, sessionsToo := range map[string]bool{"sessions in cookies": false, "sessions on Redis": true} {
		for name, check := range map[string]func(*testing.T, *application){
			"5.8 a sign-out at one ends copies of the cookie at both":                  signedOutAtOne,
			"5.1 a planted cookie reads nothing after the victim's sign-in":            plantedCookie,
			"2.4 a callback that comes ten times signs in once":                        callbackTenTimes,
			"4.1 fifty requests refresh once, and a sign-out with the old cookie ends": refreshedOnce,
		} {
			t.Run(kind+": "+name, func(t *testing.T) {
				t.Parallel()
				check(t, startApplication(t, n, sessionsToo))
			})
		}
	}
}

func signedOutAtOne(t *testing.T, a *application) {
	alice := signintest.Alice()
	session, elsewhere := a.signIn(t, alice, nil), a.signIn(t, alice, nil)
	a.wantUser(t, "before", session, alice.Subject)
	if got := a.ask(0, http.MethodPost, "/sign-out", session); got.Code != http.StatusSeeOther {
		t.Errorf("sign-out: got %d; want 303", got.Code)
	}
	a.wantUser(t, "a copy", session, "")
	a.wantUser(t, "another browser", elsewhere, alice.Subject)
}

func plantedCookie(t *testing.T, a *application) {
	attackers := a.signIn(t, signintest.Alice(), nil)
	victims := a.signIn(t, signintest.Bob(), attackers)
	a.wantUser(t, "the victim's cookie", victims, signintest.Bob().Subject)
	a.wantUser(t, "the attacker's cookie", attackers, "")
}

func callbackTenTimes(t *testing.T, a *application) {
	browser, callback := a.Browser(signintest.Alice()), ""
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" {
			callback = r.URL.RequestURI()
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := browser.Get(a.URL + "/sign-in")
	if err != nil || callback == "" {
		t.Fatalf("got error %v, callback %q; want the callback's address", err, callback)
	}
	resp.Body.Close()
	transaction := browser.Jar.Cookies(a.base())
	var together sync.WaitGroup
	for i := range 10 {
		together.Go(func() {
			if got := a.ask(i%2, http.MethodGet, callback, transaction); got.Code != http.StatusSeeOther {
				t.Errorf("callback: got %d, %q; want a redirect", got.Code, got.Body)
			}
		})
	}
	together.Wait()
	if n := a.Provider.Stats().Exchanges; n != 1 {
		t.Errorf("got %d codes exchanged; want one", n)
	}
}

func refreshedOnce(t *testing.T, a *application) {
	alice := signintest.Alice()
	session := a.signIn(t, alice, nil)
	a.ahead.Add(int64(time.Hour))
	var together sync.WaitGroup
	var mu sync.Mutex
	var refreshed []*http.Cookie
	for i := range 50 {
		together.Go(func() {
			got := a.ask(i%2, http.MethodGet, "/account", session)
			if got.Code != http.StatusOK {
				t.Errorf("got %d, %q; want the page", got.Code, got.Body)
			}
			mu.Lock()
			defer mu.Unlock()
			refreshed = slices.Concat(got.Result().Cookies(), refreshed)
		})
	}
	together.Wait()
	if s := a.Provider.Stats(); s.Refreshes != 1 || s.MostRefreshesAtOnce != 1 || s.RevokedForReuse != 0 {
		t.Errorf("got %+v; want one refresh", s)
	}
	a.wantUser(t, "the old cookie", session, alice.Subject)
	a.ask(1, http.MethodPost, "/sign-out", session)
	a.wantUser(t, "the old cookie after the sign-out", session, "")
	if refreshed = slices.DeleteFunc(refreshed, func(c *http.Cookie) bool { return c.Name != "signin" || c.MaxAge < 0 }); len(refreshed) == 0 {
		t.Fatal("got no session cookie from the refresh; want one")
	}
	a.wantUser(t, "the new cookie after the sign-out", refreshed[:1], "")
}
