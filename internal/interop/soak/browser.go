//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// patience is how long a person waits for an answer.
	patience = 5 * time.Second
	// maxHops is how many redirects and forms lead nowhere.
	maxHops = 20
)

// A browser is one without a screen: it keeps cookies, and says of its requests
// what browsers say. It is safe for concurrent use.
type browser struct {
	client *http.Client // without a jar: what is lost on the way never gets into it
	jar    *cookiejar.Jar
}

func newBrowser(transport http.RoundTripper) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // it has no reason to
	}
	return &browser{jar: jar, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// An answer is a response, read to its end.
type answer struct {
	url      *url.URL
	status   int
	location *url.URL // where it redirects to, or nil
	header   http.Header
	body     []byte
	cookies  []*http.Cookie
}

// navigation is what a browser says of a request of that kind: "document" is a
// page that the person goes to, "empty" a fetch of that page, "image" an image
// in it.
func navigation(to *url.URL, kind string) *http.Request {
	r := &http.Request{Method: http.MethodGet, URL: to, Host: to.Host, Header: http.Header{}}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Dest", kind)
	switch kind {
	case "document":
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	case "image":
		r.Header.Set("Sec-Fetch-Mode", "no-cors")
		r.Header.Set("Accept", "image/*")
	default:
		r.Header.Set("Sec-Fetch-Mode", "cors")
		r.Header.Set("Accept", "application/json")
	}
	return r
}

// send makes one request with the browser's cookies. keep tells whether the
// answer's cookies arrive.
func (b *browser) send(ctx context.Context, r *http.Request, keep bool) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r = r.WithContext(ctx)
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{url: r.URL, status: resp.StatusCode, header: resp.Header, cookies: resp.Cookies()}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return answer{}, err
	}
	if resp.StatusCode/100 == 3 {
		if a.location, err = resp.Location(); err != nil {
			return answer{}, err
		}
	}
	if keep {
		b.jar.SetCookies(r.URL, a.cookies)
	}
	return a, nil
}

// visit goes to an address, follows redirects and fills in forms as person,
// until there is neither, or stop says that this is far enough.
func (b *browser) visit(ctx context.Context, to *url.URL, person string, stop func(answer) bool) (answer, error) {
	r, site := navigation(to, "document"), "none"
	for range maxHops {
		if r.Method == http.MethodGet {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		a, err := b.send(ctx, r, true)
		if err != nil || stop(a) {
			return a, err
		}
		switch f, ok := firstForm(string(a.body)); {
		case a.location != nil:
			r = navigation(a.location, "document")
		case ok && a.status == http.StatusOK:
			if r, err = f.submit(a.url, person); err != nil {
				return a, err
			}
			site = "cross-site" // whatever comes of it, the provider's page began it
		default:
			return a, nil
		}
	}
	return answer{}, errors.New("redirects and forms without end")
}

// session returns the cookies that are the session.
func (b *browser) session(base *url.URL) (cookies []*http.Cookie) {
	for _, c := range b.jar.Cookies(base) {
		if c.Name == cookieName || strings.HasPrefix(c.Name, cookieName+".") {
			cookies = append(cookies, c)
		}
	}
	return cookies
}

// A form is what a browser sends when its first button is pressed.
type form struct {
	method, action string
	values         url.Values
	button         bool
}

// submit fills in who it is, wherever the form asks for that.
func (f form) submit(from *url.URL, person string) (*http.Request, error) {
	to, err := from.Parse(f.action)
	if err != nil {
		return nil, fmt.Errorf("a form's action: %w", err)
	}
	for _, name := range []string{"login", "password", "identifier"} {
		if f.values.Has(name) {
			f.values.Set(name, person)
		}
	}
	r := navigation(to, "document")
	if f.method != http.MethodPost {
		to.RawQuery = f.values.Encode()
		return r, nil
	}
	body := f.values.Encode()
	r.Method, r.Body, r.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", from.Scheme+"://"+from.Host)
	return r, nil
}

// firstForm reads the first form of an HTML page. A button may stand outside.
func firstForm(body string) (form, bool) {
	if !strings.Contains(body, "<form") {
		return form{}, false
	}
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		return form{}, false
	}
	for node := range root.Descendants() {
		if node.DataAtom != atom.Form {
			continue
		}
		f := form{method: strings.ToUpper(attribute(node, "method")), action: attribute(node, "action"), values: url.Values{}}
		id := attribute(node, "id")
		for control := range root.Descendants() {
			if within(control, node) || id != "" && attribute(control, "form") == id {
				f.add(control)
			}
		}
		return f, true
	}
	return form{}, false
}

// add takes a control over into the form; of the buttons only the first.
func (f *form) add(control *html.Node) {
	switch {
	case control.DataAtom == atom.Button && !f.button:
		f.button = true
	case control.DataAtom != atom.Input:
		return
	}
	if name := attribute(control, "name"); name != "" {
		f.values.Add(name, attribute(control, "value"))
	}
}

func within(node, ancestor *html.Node) bool {
	for n := range node.Ancestors() {
		if n == ancestor {
			return true
		}
	}
	return false
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
