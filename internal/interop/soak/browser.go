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
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/interop/form"
)

const (
	// patience is how long a person waits for an answer.
	patience = 5 * time.Second
	// maxHops is how many redirects and forms a visit follows.
	maxHops = 20
)

// A browser has no screen. It keeps cookies, and sends the headers that
// browsers send. It is safe for concurrent use.
type browser struct {
	client *http.Client // without a jar, since the browser may not keep an answer's cookies
	jar    *cookiejar.Jar
}

func newBrowser(transport http.RoundTripper) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // never: there are no options
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

// event returns what the package told the application about the request.
func (a answer) event() string { return a.header.Get(eventHeader) }

// moves reports whether the answer has a session cookie.
func (a answer) moves() bool {
	return slices.ContainsFunc(a.cookies, func(c *http.Cookie) bool { return isSession(c.Name) && c.MaxAge >= 0 })
}

// navigation returns a browser's request of a kind: "document" for a page that the
// person opens, "empty" for a fetch of that page, "image" for an image in it.
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
// browser keeps those of the answer.
func (b *browser) send(ctx context.Context, r *http.Request, keep bool) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, body, err := b.open(ctx, r)
	if err != nil {
		return answer{}, err
	}
	defer body.Close()
	if a.body, err = io.ReadAll(io.LimitReader(body, 1<<20)); err != nil {
		return answer{}, err
	}
	if keep {
		b.jar.SetCookies(r.URL, a.cookies)
	}
	return a, nil
}

// open makes one request with the browser's cookies, and returns the answer without
// its body, which the caller reads and closes.
func (b *browser) open(ctx context.Context, r *http.Request) (answer, io.ReadCloser, error) {
	r = r.WithContext(ctx)
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return answer{}, nil, err
	}
	a := answer{url: r.URL, status: resp.StatusCode, header: resp.Header, cookies: resp.Cookies()}
	if resp.StatusCode/100 == 3 {
		if a.location, err = resp.Location(); err != nil {
			_ = resp.Body.Close()
			return answer{}, nil, err
		}
	}
	return a, resp.Body, nil
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
		switch f, ok := form.First(string(a.body)); {
		case a.location != nil:
			r = navigation(a.location, "document")
		case ok && a.status == http.StatusOK:
			if r, err = submit(f, a.url, person); err != nil {
				return a, err
			}
			site = "cross-site" // from now on, since the provider's page began it
		default:
			return a, nil
		}
	}
	return answer{}, errors.New("redirects and forms without end")
}

// session returns the cookies that are the session.
func (b *browser) session(base *url.URL) (cookies []*http.Cookie) {
	for _, c := range b.jar.Cookies(base) {
		if isSession(c.Name) {
			cookies = append(cookies, c)
		}
	}
	return cookies
}

// isSession reports whether a cookie with this name is the session, or a part of
// it.
func isSession(name string) bool {
	return name == cookieName || strings.HasPrefix(name, cookieName+".")
}

// submit fills in the person's name where the form asks for it.
func submit(f form.Form, from *url.URL, person string) (*http.Request, error) {
	to, err := from.Parse(f.Action)
	if err != nil {
		return nil, fmt.Errorf("a form's action: %w", err)
	}
	for _, name := range []string{"login", "password", "identifier"} {
		if f.Values.Has(name) {
			f.Values.Set(name, person)
		}
	}
	r := navigation(to, "document")
	if f.Method != http.MethodPost {
		to.RawQuery = f.Values.Encode()
		return r, nil
	}
	body := f.Values.Encode()
	r.Method, r.Body, r.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", from.Scheme+"://"+from.Host)
	return r, nil
}
