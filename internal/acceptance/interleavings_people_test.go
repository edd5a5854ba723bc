package acceptance_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/gosignin/signin/signintest"
)

// surfer is a browser with its cookies, whose owner opens many tabs.
type surfer struct {
	*world
	name           string
	app, providers *cookieJar
}

func (w *world) surfer(name string) *surfer {
	return &surfer{world: w, name: name, app: newCookieJar(), providers: newCookieJar()}
}

// copied is another browser with the same cookies of the application.
func (b *surfer) copied(name string) *surfer {
	c := b.world.surfer(name)
	if value := b.app.get("signin"); value != "" {
		c.app.held["signin"] = value
	}
	return c
}

// ask sends a request to the application, and checks what it says of the session
// whose cookie went with it, which it returns beside the answer. made is the sign-in
// that the request completes.
func (b *surfer) ask(ctx context.Context, method, target string, made *sitting, header ...string) (*http.Response, *text) {
	r := httptest.NewRequestWithContext(ctx, method, appURL+target, nil)
	r.Header.Set("Accept", "text/html")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if cookies := b.app.header(); cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	// What is sent, and not what the jar holds by now: another tab may have had an
	// answer.
	value := ""
	if c, err := r.Cookie("signin"); err == nil {
		value = c.Value
	}
	presented, over := b.presents(value)
	switch {
	case made != nil:
		b.replaces(made, presented)
	case target == "/sign-out":
		b.leaves(presented)
	}
	resp, err := b.toApp(r)
	if err != nil {
		return nil, presented
	}
	of := made
	if of == nil && presented != nil {
		of = presented.of
	}
	for _, c := range resp.Cookies() {
		if c.Name == "signin" && c.MaxAge >= 0 && of != nil {
			b.set(c.Value, of, presented)
		}
	}
	b.app.take(resp.Cookies()) // when it is known whose they are
	if resp.StatusCode >= 400 && resp.StatusCode != http.StatusServiceUnavailable && made == nil ||
		resp.StatusCode == http.StatusInternalServerError {
		b.wronged("4: %s %s was answered %d", method, r.URL.Path, resp.StatusCode)
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		b.odd("4: %s %s was answered 503", method, r.URL.Path)
	}
	if path := r.URL.Path; path == "/" || path == "/account" || path == "/tokens" {
		b.judge(resp, presented, over)
	}
	return resp, presented
}

// presents notes that a cookie is shown, and says what has ended its session for
// certain.
func (b *surfer) presents(value string) (presented *text, over string) {
	b.truth.mu.Lock()
	defer b.truth.mu.Unlock()
	if presented = b.byCookie[value]; presented == nil {
		return nil, ""
	}
	presented.shown = true
	return presented, b.isOver(presented.of)
}

// judge compares a page with whom its cookie belongs to.
func (b *surfer) judge(resp *http.Response, presented *text, over string) {
	var page shown
	if resp.StatusCode == http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		if err := json.Unmarshal(body, &page); err != nil {
			b.wronged("a page cannot be read: %v", err)
			return
		}
	}
	b.truth.mu.Lock()
	defer b.truth.mu.Unlock()
	b.counts["pages"]++
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
	case page.Page == "" && presented == nil:
	case page.Page == "":
		b.counts["nobody's pages"]++
		if b.mayBeOver(presented.of) == "" && !presented.superseded() {
			b.lie("4: %s was signed out without a reason", presented.of.subject)
		}
	case presented == nil:
		b.lie("4: %s is signed in, without a cookie", page.Page)
	case over != "":
		b.lie("1: a session is used again that was over: %s", over)
	case page.Nonce != presented.of.nonce || page.Page != presented.of.subject || page.Sub != page.Page || page.Sid != presented.of.sid:
		b.lie("2: a page says %s of a session of %s", page.Page, presented.of.subject)
	case page.Error == "not_signed_in":
		if b.mayBeOver(presented.of) == "" && !presented.superseded() {
			b.lie("4: a living session has no access token")
		}
	case page.Error != "" && !b.faulty && b.mayBeOver(presented.of) == "":
		b.lie("4: there is no access token: %s", page.Error)
	case page.Token != "":
		b.counts["access tokens"]++
		if claims := claimsIn(page.Token); b.byToken[page.Token] != presented.of || claims.Sub != "" && claims.Sub != page.Page {
			b.lie("2: the page of %s has an access token of somebody else's", page.Page)
		}
	}
}

// signIn goes from the application to the provider and back. A person who has a
// session there is not asked, unless they want to be somebody else.
func (b *surfer) signIn(ctx context.Context, person signintest.User, another bool) {
	from := time.Now()
	resp, _ := b.ask(ctx, http.MethodGet, "/sign-in", nil)
	if resp == nil || resp.StatusCode != http.StatusSeeOther {
		return
	}
	to, _ := resp.Location()
	made := b.begun(to.Query().Get("nonce"), from, time.Now())
	if another {
		b.providers.take([]*http.Cookie{{Name: b.providerCookie(), MaxAge: -1}})
	}
	back, subject := b.atProvider(ctx, to, person)
	if back == nil {
		return
	}
	resp, _ = b.ask(ctx, http.MethodGet, back.RequestURI(), made)
	b.signedInAs(resp, made, subject)
}

// replaces notes that a sign-in is about to replace the session that was presented
// with its callback, if one was.
func (b *surfer) replaces(made *sitting, presented *text) {
	b.truth.mu.Lock()
	defer b.truth.mu.Unlock()
	if made.replaces = presented; presented != nil {
		presented.of.replaced = true
		presented.of.asked = cmp.Or(presented.of.asked, "a new sign-in")
	}
}

// leaves notes that somebody is about to end the session that is presented.
func (b *surfer) leaves(presented *text) {
	b.truth.mu.Lock()
	defer b.truth.mu.Unlock()
	if presented != nil {
		presented.of.asked, presented.of.signedOut = "a sign-out", true
	}
}

// signedInAs checks what a callback has answered.
func (b *surfer) signedInAs(resp *http.Response, made *sitting, subject string) {
	b.truth.mu.Lock()
	defer b.truth.mu.Unlock()
	replaced := made.replaces
	switch {
	case resp == nil:
	case resp.StatusCode == http.StatusSeeOther:
		b.counts["sign-ins"]++
		if len(made.texts) == 0 || made.subject != subject {
			b.lie("2: %s signed in, and the session is of %q", subject, made.subject)
		}
		// A sign-out that could not be written has removed its session from a store on
		// the server, and the sign-in has not found it there; the person was told so.
		lost := replaced != nil && b.faulty && b.store && replaced.of.asked == "a sign-out"
		if replaced != nil && replaced.of.over == "" && !lost {
			replaced.of.over = "a new sign-in"
		}
	default:
		if len(made.texts) > 0 {
			b.lie("4: a callback was answered %d with a session", resp.StatusCode)
		}
		if b.mayBeOver(made) == "" && !b.blocked[subject] && !b.faulty && !b.moved {
			b.lie("4: a callback was answered %d", resp.StatusCode)
		}
		// What the provider has given for it is given back, or it may be.
		made.asked, made.signedOut = "a sign-in that failed", true
	}
}

func (w *world) providerCookie() string {
	return "signintest_" + w.provider.URL[strings.LastIndex(w.provider.URL, ":")+1:]
}

// atProvider answers an authorization request as a person does, and returns where
// it leads back to and whom the provider knows there.
func (b *surfer) atProvider(ctx context.Context, to *url.URL, person signintest.User) (*url.URL, string) {
	session := ""
	for range 4 {
		if to.Host == appHost {
			return to, b.subjectAt(session)
		}
		r := httptest.NewRequest(http.MethodGet, to.String(), nil)
		var resp *http.Response
		resp, session = b.send(ctx, r)
		if resp != nil && resp.StatusCode == http.StatusOK && to.Path == "/sign-in" {
			form := url.Values{"user": {person.Subject}}
			r := httptest.NewRequest(http.MethodPost, to.String(), strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if resp, session = b.send(ctx, r); resp != nil {
				b.people.Lock()
				b.people.at[session] = person.Subject
				b.people.Unlock()
			}
		}
		if resp == nil || resp.StatusCode != http.StatusSeeOther {
			return nil, ""
		}
		to, _ = resp.Location()
	}
	return nil, ""
}

func (w *world) subjectAt(session string) string {
	w.people.Lock()
	defer w.people.Unlock()
	return w.people.at[session]
}

// send sends a request of the browser's to the provider, and returns what names
// the browser's session there afterwards.
func (b *surfer) send(ctx context.Context, r *http.Request) (resp *http.Response, session string) {
	b.wait(ctx, "browser to "+r.URL.Path)
	r.Header.Set("Cookie", b.providers.header())
	if c, err := r.Cookie(b.providerCookie()); err == nil {
		session = c.Value
	}
	resp, err := answerOf(b.oidc, r)
	if err != nil {
		b.wronged("%v", err)
		return nil, ""
	}
	for _, c := range resp.Cookies() {
		session = c.Value
	}
	b.providers.take(resp.Cookies())
	return resp, session
}

// signOut presses the button, and perhaps follows to the provider.
func (b *surfer) signOut(ctx context.Context, follow bool) {
	resp, presented := b.ask(ctx, http.MethodPost, "/sign-out", nil, "Sec-Fetch-Site", "same-origin")
	if resp == nil || resp.StatusCode != http.StatusSeeOther {
		return
	}
	if presented != nil {
		b.truth.mu.Lock()
		presented.of.over = "a sign-out"
		b.counts["sign-outs"]++
		b.truth.mu.Unlock()
	}
	if to, _ := resp.Location(); follow && to.Host != "" && to.Host != appHost {
		b.send(ctx, httptest.NewRequest(http.MethodGet, to.String(), nil))
	}
}

// do is one thing that a person does.
func (b *surfer) do(ctx context.Context, random *rand.Rand) {
	people := members()
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
			q.Set("api", apiA)
		}
		if n%3 == 0 {
			q.Set("org", "org_one")
		}
		b.ask(ctx, http.MethodGet, "/tokens?"+q.Encode(), nil)
	case n < 16:
		b.signIn(ctx, people[0], false)
	case n < 17:
		b.signIn(ctx, people[1], true)
	default:
		b.signOut(ctx, n == 19)
	}
}
