package schedules_test

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gosignin/signin/signintest"
)

// browser has cookies of the application and of the provider. Its tabs are
// operations that use it at once.
type browser struct {
	*world
	name             string
	app, providerJar *jar
}

func (w *world) browser(name string) *browser { return &browser{w, name, newJar(), newJar()} }

// copied is another browser with the same session cookie.
func (b *browser) copied(name string) *browser {
	c := b.world.browser(name)
	if value := b.app.get(cookieName); value != "" {
		c.app.held[cookieName] = value
	}
	return c
}

// do is one thing that a person does.
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
	if cookies := b.app.header(); cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	// What was sent counts, and not what the jar holds later: another tab may have
	// had an answer meanwhile.
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
	b.app.take(resp.Cookies()) // after the ledger knows whose they are
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
		b.providerJar.take([]*http.Cookie{{Name: b.providerCookie(), MaxAge: -1}})
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
func (b *browser) atProvider(ctx context.Context, to *url.URL, person signintest.User) (*url.URL, string) {
	at := ""
	for range 4 {
		b.known.Lock()
		subject := b.known.subjects[at]
		b.known.Unlock()
		if to.Host == appHost {
			return to, subject
		}
		var resp *http.Response
		resp, at = b.send(ctx, httptest.NewRequest(http.MethodGet, to.String(), nil))
		if resp != nil && resp.StatusCode == http.StatusOK && to.Path == "/sign-in" {
			form := url.Values{"user": {person.Subject}}
			r := httptest.NewRequest(http.MethodPost, to.String(), strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if resp, at = b.send(ctx, r); resp != nil {
				b.known.Lock()
				b.known.subjects[at] = person.Subject
				b.known.Unlock()
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
	r.Header.Set("Cookie", b.providerJar.header())
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
	b.providerJar.take(resp.Cookies())
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

// jar holds a browser's cookies for one host.
type jar struct {
	mu   sync.Mutex
	held map[string]string
}

func newJar() *jar { return &jar{held: map[string]string{}} }

func (j *jar) get(name string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held[name]
}

func (j *jar) header() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []string
	for name, value := range j.held {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func (j *jar) take(cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(j.held, c.Name)
		} else {
			j.held[c.Name] = c.Value
		}
	}
}
