package schedules_test

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/gosignin/signin/signintest"
)

// browser has cookies of the application and of the provider. Operations that use it
// at once are its tabs.
type browser struct {
	*world
	name string
	jar  http.CookieJar
}

var atApp = &url.URL{Scheme: "http", Host: appHost, Path: "/"}

// browser returns a new browser. Unless it is empty, value is its session cookie.
func (w *world) browser(name, value string) *browser {
	jar, _ := cookiejar.New(nil) // which never fails
	if value != "" {
		jar.SetCookies(atApp, []*http.Cookie{{Name: cookieName, Value: value}})
	}
	return &browser{w, name, jar}
}

// cookie returns the value of a cookie.
func (b *browser) cookie(at *url.URL, name string) string {
	for _, c := range b.jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// addCookies adds the browser's cookies to a request.
func (b *browser) addCookies(r *http.Request) {
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
}

// do does one thing that a person may do.
func (b *browser) do(ctx context.Context, random *rand.Rand) {
	switch n := random.IntN(20); {
	case n < 5:
		b.ask(ctx, http.MethodGet, "/account", nil)
	case n < 7:
		b.ask(ctx, http.MethodGet, "/", nil)
	case n < 8:
		b.ask(ctx, http.MethodGet, "/", nil, "Sec-Fetch-Dest", "image")
	case n < 14:
		q := url.Values{}
		if n%2 == 0 {
			q.Set("resource", "1")
		}
		if n%3 == 0 {
			q.Set("organization", "1")
		}
		b.ask(ctx, http.MethodGet, "/tokens?"+q.Encode(), nil)
	case n < 16:
		b.signIn(ctx, people()[0], false)
	case n < 17:
		b.signIn(ctx, people()[1], true)
	default:
		b.signOut(ctx, n == 19)
	}
}

// ask sends a request to the application and checks the answer against the
// session whose cookie was sent, which it returns as well. made is the session
// that the request completes, if it is a callback.
func (b *browser) ask(ctx context.Context, method, target string, made *session, header ...string) (*http.Response, *cookie) {
	r := httptest.NewRequestWithContext(ctx, method, appURL+target, nil)
	r.Header.Set("Accept", "text/html")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	b.addCookies(r)
	// The cookie that was sent counts, and not what the jar holds later: another tab
	// may have got an answer meanwhile.
	value := ""
	if c, err := r.Cookie(cookieName); err == nil {
		value = c.Value
	}
	sent, ended := b.isShown(value)
	switch {
	case made != nil:
		b.beforeCallback(made, sent)
	case target == "/sign-out":
		b.beforeSignOut(sent)
	}
	resp, err := b.toApp(r)
	if err != nil {
		return nil, sent
	}
	of := made
	if of == nil && sent != nil {
		of = sent.of
	}
	for _, c := range resp.Cookies() {
		if c.Name == cookieName && c.MaxAge >= 0 && of != nil {
			b.setCookie(c.Value, of, sent)
		}
	}
	b.jar.SetCookies(atApp, resp.Cookies()) // after the ledger knows whose they are
	switch path, status := r.URL.Path, resp.StatusCode; {
	case status == http.StatusServiceUnavailable:
		b.unlessExplained("4: %s %s was answered 503", method, path)
	case status == http.StatusInternalServerError, status >= 400 && made == nil:
		b.violated("4: %s %s was answered %d", method, path, status)
	}
	if path := r.URL.Path; path == "/" || path == "/account" || path == "/tokens" {
		b.judge(resp, sent, ended)
	}
	return resp, sent
}

// judge reads a page and has the ledger check it.
func (b *browser) judge(resp *http.Response, sent *cookie, ended string) {
	var p page
	if resp.StatusCode == http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		if err := json.Unmarshal(body, &p); err != nil {
			b.violated("4: a page cannot be read: %v", err)
			return
		}
	}
	b.locked(func() {
		b.counts["pages"]++
		if resp.StatusCode != http.StatusServiceUnavailable {
			b.checkPage(p, sent, ended)
		}
	})
}

// signIn goes to the provider and back. A person with a session at the provider is
// not asked there, unless the browser's session there is dropped first.
func (b *browser) signIn(ctx context.Context, person signintest.User, another bool) {
	from := time.Now()
	resp, _ := b.ask(ctx, http.MethodGet, "/sign-in", nil)
	if resp == nil || resp.StatusCode != http.StatusSeeOther {
		return
	}
	to, _ := resp.Location()
	made := b.signInBegun(to.Query().Get("nonce"), from, time.Now())
	if another {
		b.jar.SetCookies(to, []*http.Cookie{{Name: b.providerCookie(), Path: "/", MaxAge: -1}})
	}
	back, subject := b.atProvider(ctx, to, person)
	if back == nil {
		return
	}
	resp, _ = b.ask(ctx, http.MethodGet, back.RequestURI(), made)
	if resp != nil {
		b.afterCallback(resp.StatusCode, made, subject)
	}
}

func (w *world) providerCookie() string {
	return "signintest_" + w.provider.URL[strings.LastIndex(w.provider.URL, ":")+1:]
}

// atProvider answers an authorization request as a person does. It returns the
// URL of the callback and the subject of the browser's session at the provider.
func (b *browser) atProvider(ctx context.Context, to *url.URL, person signintest.User) (back *url.URL, subject string) {
	at := "" // the cookie of that session
	for range 4 {
		if to.Host == appHost {
			b.locked(func() { subject = b.atCookie[at] })
			return to, subject
		}
		var resp *http.Response
		resp, at = b.send(ctx, httptest.NewRequest(http.MethodGet, to.String(), nil))
		if resp != nil && resp.StatusCode == http.StatusOK && to.Path == "/sign-in" {
			form := url.Values{"user": {person.Subject}}
			r := httptest.NewRequest(http.MethodPost, to.String(), strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if resp, at = b.send(ctx, r); resp != nil {
				b.locked(func() { b.atCookie[at] = person.Subject })
			}
		}
		if resp == nil || resp.StatusCode != http.StatusSeeOther {
			return nil, ""
		}
		to, _ = resp.Location()
	}
	return nil, ""
}

// send sends a request to the provider, and returns the cookie of the browser's
// session there as it is afterwards.
func (b *browser) send(ctx context.Context, r *http.Request) (resp *http.Response, at string) {
	b.wait(ctx, "browser to "+r.URL.Path)
	b.addCookies(r)
	if c, err := r.Cookie(b.providerCookie()); err == nil {
		at = c.Value
	}
	resp, err := serve(b.oidc, r)
	if err != nil {
		b.violated("4: %v", err)
		return nil, ""
	}
	for _, c := range resp.Cookies() {
		at = c.Value
	}
	b.jar.SetCookies(r.URL, resp.Cookies())
	return resp, at
}

// signOut signs out, and perhaps follows to the provider.
func (b *browser) signOut(ctx context.Context, follow bool) {
	resp, sent := b.ask(ctx, http.MethodPost, "/sign-out", nil, "Sec-Fetch-Site", "same-origin")
	if resp == nil || resp.StatusCode != http.StatusSeeOther {
		return
	}
	b.afterSignOut(sent)
	if to, _ := resp.Location(); follow && to.Host != "" && to.Host != appHost {
		b.send(ctx, httptest.NewRequest(http.MethodGet, to.String(), nil))
	}
}
