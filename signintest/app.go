package signintest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gosignin/signin"
)

// An App is an application under test and its provider, both served on the
// loopback interface. Make one with [Start].
type App struct {
	// URL is the application's address without a trailing slash, such as
	// "http://127.0.0.1:40124".
	URL string
	// Provider is where its users sign in.
	Provider *Provider
}

// Start starts a provider and an application that signs people in there. It
// calls app with a [signin.Config] that is complete for both, as
// [Provider.Config] makes it; app may change any field before it gives it to
// [signin.New], and returns what answers at [App.URL]. With [WithTLS] the
// application is served by https, too.
//
// The test fails at once if app returns an error. The provider and the
// application end with the test.
func Start(t testing.TB, app func(signin.Config) (http.Handler, error), opts ...Option) *App {
	t.Helper()
	p := NewProvider(opts...)
	server := httptest.NewUnstartedServer(nil)
	// The provider ends first, since a request of the application may hang there.
	t.Cleanup(server.Close)
	t.Cleanup(p.Close)
	scheme, start := "http://", server.Start
	if p.settings.tls {
		scheme, start = "https://", server.StartTLS
	}
	a := &App{URL: scheme + server.Listener.Addr().String(), Provider: p}
	handler, err := app(p.Config(a.URL))
	if err != nil {
		t.Fatalf("signintest: the application does not start: %v", err)
	}
	server.Config.Handler = handler
	start()
	return a
}

// Browser returns a client that visits any page of the application as user would
// with a browser. It keeps cookies, and so the session, from one request to the
// next. It follows redirects, and signs in as user where the provider asks: the
// first request of a guarded page already returns that page.
//
// A GET looks like a navigation to an address that the user typed, so that GET
// /sign-out asks for confirmation. A POST looks like that of a form on a page of
// the application. A request that has an Accept or Sec-Fetch-Mode header is a
// script's, and is sent unchanged: a test of a form on another site sets
// Sec-Fetch-Mode "navigate" and Sec-Fetch-Site "cross-site". In any other request
// the headers of a browser are set anew.
//
// The account is made, or replaced, by [Provider.SetUser]. The client may be used
// from several goroutines at once.
func (a *App) Browser(user User) *http.Client {
	a.Provider.SetUser(user)
	client := a.Provider.NewClient()
	client.Transport = &browser{p: a.Provider, base: client.Transport, user: user.Subject}
	// A sign-in takes five redirects and a step-up after it five more, which is one
	// more than net/http follows.
	client.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
		if len(via) > 20 {
			return errors.New("signintest: more than 20 redirects")
		}
		return nil
	}
	return client
}
