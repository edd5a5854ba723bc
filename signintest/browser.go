package signintest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// maxHops is more than the redirects of any sign-in.
const maxHops = 30

// SignIn signs user in at an application that [Start] does not run, such as one
// in another process: from appURL + "/sign-in" to the provider, through its form,
// and back through the callback. It returns the client that is signed in, whose
// cookie jar holds the session. If a step is refused, the test fails with a list
// of the steps taken.
//
// A nil client means a new one. A client without a cookie jar gets one. The
// account is made, or replaced, by [Provider.SetUser]. If the client has a session
// at the provider for another user, that session ends: with logout tokens where the
// provider asks who the user is, and without them where it would not ask.
func (p *Provider) SignIn(t testing.TB, client *http.Client, appURL string, user User) *http.Client {
	t.Helper()
	client = p.prepare(client, user)
	resp, b, err := p.visit(client, strings.TrimSuffix(appURL, "/")+"/sign-in", user)
	if err == nil {
		defer resp.Body.Close()
		if !b.calledBack {
			err = fmt.Errorf("%s at %s%s", resp.Status, withoutQuery(resp.Request.URL), excerpt(resp.Body))
		}
	}
	if err != nil {
		t.Fatalf("signintest: signing in %s got stuck: %v\n%s", user.Subject, err, strings.Join(b.trail, "\n"))
	}
	return client
}

// Visit opens address as [App.Browser] does, at an application that [Start] does
// not run, and returns the last response, whatever its status. The body is
// closed when the test ends. client and user are as for [Provider.SignIn].
func (p *Provider) Visit(t testing.TB, client *http.Client, address string, user User) *http.Response {
	t.Helper()
	resp, b, err := p.visit(p.prepare(client, user), address, user)
	if err != nil {
		t.Fatalf("signintest: visiting %s: %v\n%s", address, err, strings.Join(b.trail, "\n"))
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// NewClient returns a client with a new cookie jar, which accepts httptest's
// certificate and follows redirects. Unlike that of [App.Browser] it sends no
// headers of a browser, and does not fill in the provider's form.
func (p *Provider) NewClient() *http.Client {
	jar, err := cookiejar.New(nil)
	must(err)
	return &http.Client{Transport: p.transport, Jar: jar}
}

// prepare returns a client for a user who has an account.
func (p *Provider) prepare(client *http.Client, user User) *http.Client {
	if client == nil {
		client = p.NewClient()
	}
	if client.Jar == nil {
		jar, err := cookiejar.New(nil)
		must(err)
		client.Jar = jar
	}
	p.SetUser(user)
	return client
}

// forgetOther ends the session of a user other than subject whose browser sends
// r, if r asks the provider to sign that user in without a page. It sends no
// logout token.
func (p *Provider) forgetOther(r *http.Request, subject string) {
	q := r.URL.Query()
	if withoutQuery(r.URL) != p.URL+p.paths.authorize || slices.Contains(strings.Fields(q.Get("prompt")), "login") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessionOf(r); s != nil && s.subject != subject && !p.tooOld(s, q) {
		delete(p.sessions, s.id)
	}
}

// visit opens address with a copy of client that signs in as user where the
// provider asks. The browser that it returns has recorded the steps.
func (p *Provider) visit(client *http.Client, address string, user User) (*http.Response, *browser, error) {
	b := &browser{p: p, base: cmp.Or(client.Transport, http.DefaultTransport), user: user.Subject, watched: true}
	with := *client
	with.Transport = b
	with.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
		if len(via) >= maxHops {
			return fmt.Errorf("more than %d steps", maxHops)
		}
		return nil
	}
	resp, err := with.Get(address)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the address, which may hold a code
	}
	return resp, b, err
}

// browser is the transport of a client that acts as a user's browser: it sends
// the headers of a browser, and fills in the provider's form.
type browser struct {
	p    *Provider
	base http.RoundTripper
	user string // who fills in the form

	watched    bool // record trail and calledBack, for one navigation
	trail      []string
	calledBack bool // a redirect URI has been answered without an error
}

// RoundTrip returns the answer to r or, if that is the provider's form, the
// answer to the form.
func (b *browser) RoundTrip(r *http.Request) (*http.Response, error) {
	b.p.forgetOther(r, b.user)
	resp, err := b.send(asNavigation(r))
	if err != nil || !b.p.isForm(resp) {
		return resp, err
	}
	resp.Body.Close()
	form, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.URL.String(),
		strings.NewReader(url.Values{"user": {b.user}}.Encode()))
	must(err)
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	form.Header["Cookie"] = r.Header["Cookie"]
	return b.send(asNavigation(form))
}

func (b *browser) send(r *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(r)
	if err == nil && b.watched {
		b.trail = append(b.trail, fmt.Sprintf("\t%s %s → %d", r.Method, withoutQuery(r.URL), resp.StatusCode))
		if resp.StatusCode < 400 && b.p.isRedirectURI(withoutQuery(r.URL)) {
			b.calledBack = true
		}
	}
	return resp, err
}

// asNavigation returns r with the headers of a browser's navigation. A request
// that already has some of them is a script's, and is returned unchanged.
// https://www.w3.org/TR/fetch-metadata/#framework
func asNavigation(r *http.Request) *http.Request {
	if r.Header.Get("Accept") != "" || r.Header.Get("Sec-Fetch-Mode") != "" {
		return r
	}
	r = r.Clone(r.Context())
	if r.Response != nil {
		r.Header.Del("Referer") // net/http's own, with a query that browsers leave out
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-User", "?1")
	r.Header.Set("Sec-Fetch-Site", site(r))
	if r.Method != http.MethodGet {
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	return r
}

// site returns the Sec-Fetch-Site of a request. A navigation starts at the
// address bar or, for a form, at a page of the same origin; after redirects it
// is the value for the most distant site so far.
func site(r *http.Request) string {
	if r.Response == nil {
		if r.Method == http.MethodGet {
			return "none"
		}
		return "same-origin"
	}
	from := r.Response.Request
	switch before := from.Header.Get("Sec-Fetch-Site"); {
	case before == "none", before == "cross-site":
		return before
	case r.URL.Scheme != from.URL.Scheme || r.URL.Hostname() != from.URL.Hostname():
		return "cross-site"
	case before == "same-site" || r.URL.Host != from.URL.Host:
		return "same-site"
	}
	return "same-origin"
}

// isForm reports whether resp is one of the provider's pages that ask who the
// user is. A page that answers a form is not, since it says what was wrong.
func (p *Provider) isForm(resp *http.Response) bool {
	u := resp.Request.URL
	return resp.StatusCode == http.StatusOK && resp.Request.Method == http.MethodGet &&
		u.Scheme+"://"+u.Host == p.URL &&
		(u.Path == "/sign-in" || u.Path == "/register" || strings.HasPrefix(u.Path, "/connect/"))
}

func (p *Provider) isRedirectURI(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.redirects, address)
}

// withoutQuery keeps codes and states out of test logs.
func withoutQuery(u *url.URL) string {
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// excerpt returns the beginning of a refusal, on one line.
func excerpt(body io.Reader) string {
	b, err := io.ReadAll(io.LimitReader(body, 400))
	if err != nil || len(b) == 0 {
		return ""
	}
	return ": " + strings.Join(strings.Fields(string(b)), " ")
}
