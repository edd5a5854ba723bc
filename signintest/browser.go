package signintest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// maxHops is more than any way through a sign-in has.
const maxHops = 30

// SignIn signs user in at the application at appURL, as a person with a browser
// does: from appURL + "/sign-in" to the provider, through its form, and back
// through the callback. It returns the client that is signed in, whose cookie
// jar holds the session. If anything on the way refuses, the test ends with a
// list of the steps taken.
//
// A nil client means a new one. A client without a cookie jar is given one. The
// account is made, or replaced, by [Provider.SetUser]; a session that another
// user has at the provider in this client is forgotten first.
func (p *Provider) SignIn(t testing.TB, client *http.Client, appURL string, user User) *http.Client {
	t.Helper()
	b := p.browser(client, user)
	resp, err := b.visit(strings.TrimSuffix(appURL, "/") + "/sign-in")
	if err == nil {
		defer resp.Body.Close()
		if !b.calledBack {
			err = fmt.Errorf("%s at %s%s", resp.Status, withoutQuery(resp.Request.URL), excerpt(resp.Body))
		}
	}
	if err != nil {
		t.Fatalf("signintest: signing in %s got stuck: %v\n%s", user.Subject, err, strings.Join(b.trail, "\n"))
	}
	return b.own
}

// Visit opens address as a person with a browser does, follows every redirect,
// fills in the provider's form as user when it comes up, and returns the last
// response, whatever its status. The body is closed when the test ends. Use it
// where a sign-in starts elsewhere than at "/sign-in": at a guarded page, at a
// step-up. client and user are as for [Provider.SignIn].
func (p *Provider) Visit(t testing.TB, client *http.Client, address string, user User) *http.Response {
	t.Helper()
	b := p.browser(client, user)
	resp, err := b.visit(address)
	if err != nil {
		t.Fatalf("signintest: visiting %s: %v\n%s", address, err, strings.Join(b.trail, "\n"))
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// NewClient returns a client with a cookie jar of its own, one browser as it
// were. It takes httptest's certificate, and follows redirects.
func (p *Provider) NewClient() *http.Client {
	jar, err := cookiejar.New(nil)
	must(err)
	return &http.Client{Transport: p.transport, Jar: jar}
}

// browser is one way through redirects and the provider's form.
type browser struct {
	p          *Provider
	own        *http.Client // the caller's
	client     *http.Client // a copy that follows no redirect by itself
	user       User
	initiator  *url.URL // whose page started this navigation; nil for the address bar
	chain      string   // Sec-Fetch-Site of the navigation so far
	trail      []string // what has happened, for the message
	calledBack bool     // a redirect URI has been answered without an error
}

func (p *Provider) browser(client *http.Client, user User) *browser {
	if client == nil {
		client = p.NewClient()
	}
	if client.Jar == nil {
		jar, err := cookiejar.New(nil)
		must(err)
		client.Jar = jar
	}
	p.SetUser(user)
	p.forgetOthers(client.Jar, user.Subject)
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{p: p, own: client, client: &own, user: user}
}

// forgetOthers ends the session that somebody else than subject has in a
// browser, or the provider would sign them in without asking. Nobody is told.
func (p *Provider) forgetOthers(jar http.CookieJar, subject string) {
	u, err := url.Parse(p.URL)
	must(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range jar.Cookies(u) {
		if s := p.sessions[c.Value]; c.Name == p.cookieName && s != nil && s.subject != subject {
			delete(p.sessions, c.Value)
		}
	}
}

// visit returns the first response that is neither a redirect nor the
// provider's form.
func (b *browser) visit(address string) (*http.Response, error) {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	for range maxHops {
		resp, err := b.do(r)
		if err != nil {
			return nil, err
		}
		next, err := b.next(resp)
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if next == nil {
			return resp, nil
		}
		resp.Body.Close()
		r = next
	}
	return nil, fmt.Errorf("more than %d steps", maxHops)
}

// do sends r with the headers of a browser's navigation.
// https://www.w3.org/TR/fetch-metadata/#framework
func (b *browser) do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-User", "?1")
	r.Header.Set("Sec-Fetch-Site", b.site(r.URL))
	resp, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	b.trail = append(b.trail, fmt.Sprintf("\t%s %s → %d", r.Method, withoutQuery(r.URL), resp.StatusCode))
	if resp.StatusCode < 400 && b.p.isRedirectURI(withoutQuery(r.URL)) {
		b.calledBack = true
	}
	return resp, nil
}

// site is what Sec-Fetch-Site says of a request in the navigation under way: the
// farthest it has been from where it started.
func (b *browser) site(to *url.URL) string {
	switch {
	case b.initiator == nil:
		return "none"
	case b.chain == "cross-site" || to.Scheme != b.initiator.Scheme || to.Hostname() != b.initiator.Hostname():
		b.chain = "cross-site"
	case b.chain == "same-site" || to.Host != b.initiator.Host:
		b.chain = "same-site"
	default:
		b.chain = "same-origin"
	}
	return b.chain
}

// next returns what a browser, or the person in front of it, sends after resp;
// nil if this is where they arrive.
func (b *browser) next(resp *http.Response) (*http.Request, error) {
	if resp.StatusCode/100 == 3 {
		to, err := resp.Location()
		if err != nil {
			return nil, fmt.Errorf("%s without a Location", resp.Status)
		}
		return http.NewRequest(http.MethodGet, to.String(), nil)
	}
	if !b.p.isForm(resp) {
		return nil, nil
	}
	form := url.Values{"user": {b.user.Subject}}
	r, err := http.NewRequest(http.MethodPost, resp.Request.URL.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b.initiator, b.chain = resp.Request.URL, ""
	return r, nil
}

// isForm reports whether resp is one of the provider's pages that ask who is
// there. The answer to a form is not: it says what was wrong.
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
