package interop

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/gosignin/signin/internal/interop/form"
)

// maxHops is the number of redirects after which a visitor gives up, as browsers do.
const maxHops = 20

// A visitor is a person's browser without its screen: it keeps cookies, follows
// redirects, fills in forms, and sends the headers that browsers send. Only the
// goroutine of its test may use it.
type visitor struct {
	t      *testing.T
	client *http.Client
	// holdAt, unless empty, is a path to which the visitor does not follow a
	// redirect: the page returned has that address, and no status.
	holdAt string
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, client: &http.Client{
		Transport: ownTransport,
		Jar:       jar,
		Timeout:   20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// A hop is one request of a navigation and its answer.
type hop struct {
	method   string
	url      *url.URL
	status   int
	location string
	cookies  []*http.Cookie
}

// A page is where a navigation ended, and the way there.
type page struct {
	url    *url.URL
	status int
	body   string
	hops   []hop
}

// hop returns the first request of the navigation that went to path.
func (p *page) hop(t *testing.T, path string) hop {
	t.Helper()
	for _, h := range p.hops {
		if h.url.Path == path {
			return h
		}
	}
	t.Fatalf("no request to %s on the way: %s", path, p.way())
	return hop{}
}

// way lists the hops without their queries, which contain secrets.
func (p *page) way() string {
	var b strings.Builder
	for _, h := range p.hops {
		b.WriteString("\n  " + h.method + " " + h.url.Host + h.url.Path + " " + http.StatusText(h.status))
	}
	return b.String()
}

// visit opens address as if it were typed.
func (v *visitor) visit(address string) *page {
	v.t.Helper()
	return v.navigate(nil, http.MethodGet, v.parse(address), nil)
}

// follow opens a link on the page from.
func (v *visitor) follow(from *page, href string) *page {
	v.t.Helper()
	return v.navigate(from.url, http.MethodGet, from.url.ResolveReference(v.parse(href)), nil)
}

// submit fills in the first form of from and presses its first button.
func (v *visitor) submit(from *page, fields url.Values) *page {
	v.t.Helper()
	f, ok := form.First(from.body)
	if !ok {
		v.t.Fatalf("%s shows no form:\n%s", from.url.Path, from.body)
	}
	for name := range fields {
		if f.Values.Has(name) {
			f.Values.Set(name, fields.Get(name))
		}
	}
	action := from.url.ResolveReference(v.parse(f.Action))
	if f.Method != http.MethodPost {
		action.RawQuery = f.Values.Encode()
		return v.navigate(from.url, http.MethodGet, action, nil)
	}
	return v.navigate(from.url, http.MethodPost, action, []byte(f.Values.Encode()))
}

// passProvider answers what the provider at issuer asks (the sign-in as person,
// consent, and sign-out) until it redirects the visitor to another site.
func (v *visitor) passProvider(from *page, issuer, person string) *page {
	v.t.Helper()
	at := from
	var hops []hop
	for range maxHops {
		hops = append(hops, at.hops...)
		if !strings.HasPrefix(at.url.String(), issuer+"/") {
			at.hops = hops
			return at
		}
		at = v.submit(at, url.Values{"login": {person}, "password": {"any"}})
	}
	v.t.Fatalf("%s asks again and again", issuer)
	return nil
}

// cancelAtProvider signs in at the provider as person and then refuses what the
// application asks for.
func (v *visitor) cancelAtProvider(from *page, person string) *page {
	v.t.Helper()
	at := v.submit(from, url.Values{"login": {person}, "password": {"any"}})
	if f, ok := form.First(at.body); ok && f.Values.Get("consent") == "yes" {
		return v.submit(at, url.Values{"consent": {"no"}})
	}
	_, rest, found := strings.Cut(at.body, `href="`)
	for found {
		href, after, _ := strings.Cut(rest, `"`)
		if strings.HasSuffix(href, "/abort") {
			return v.follow(at, html.UnescapeString(href))
		}
		_, rest, found = strings.Cut(after, `href="`)
	}
	v.t.Fatalf("the provider offers no way to refuse:\n%s", at.body)
	return nil
}

// navigate makes a request as a browser navigates, and follows its redirects.
func (v *visitor) navigate(from *url.URL, method string, to *url.URL, body []byte) *page {
	v.t.Helper()
	var hops []hop
	chain := []*url.URL{to}
	for range maxHops {
		req, err := http.NewRequest(method, to.String(), bytes.NewReader(body))
		if err != nil {
			v.t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
		req.Header.Set("Upgrade-Insecure-Requests", "1")
		req.Header.Set("Sec-Fetch-Mode", "navigate")
		req.Header.Set("Sec-Fetch-Dest", "document")
		req.Header.Set("Sec-Fetch-Site", fetchSite(from, chain))
		req.Header.Set("Sec-Fetch-User", "?1")
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", from.Scheme+"://"+from.Host)
		}
		h, text, err := v.send(req)
		if err != nil {
			v.t.Fatal(err)
		}
		hops = append(hops, h)
		if h.location == "" {
			return &page{url: to, status: h.status, body: text, hops: hops}
		}
		if to, err = to.Parse(h.location); err != nil {
			v.t.Fatal(err)
		}
		if v.holdAt != "" && to.Path == v.holdAt {
			return &page{url: to, hops: hops}
		}
		chain = append(chain, to)
		if h.status != http.StatusTemporaryRedirect && h.status != http.StatusPermanentRedirect {
			method, body = http.MethodGet, nil
		}
	}
	v.t.Fatalf("a redirect loop: %s", (&page{hops: hops}).way())
	return nil
}

// send makes one request and reads its answer.
func (v *visitor) send(req *http.Request) (hop, string, error) {
	resp, err := v.client.Do(req)
	if err != nil {
		return hop{}, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return hop{}, "", err
	}
	h := hop{
		method:  req.Method,
		url:     req.URL,
		status:  resp.StatusCode,
		cookies: resp.Cookies(),
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		h.location = resp.Header.Get("Location")
	}
	return h, string(body), nil
}

func (v *visitor) parse(address string) *url.URL {
	v.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		v.t.Fatal(err)
	}
	return u
}

// fetchSite returns the value of Sec-Fetch-Site for a navigation that starts at from,
// or in the address bar if from is nil, and that has been redirected along chain
// (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header).
func fetchSite(from *url.URL, chain []*url.URL) string {
	if from == nil {
		return "none"
	}
	site := "same-origin"
	for _, to := range chain {
		if to.Hostname() != from.Hostname() {
			return "cross-site"
		}
		if to.Host != from.Host {
			site = "same-site"
		}
	}
	return site
}

// ownTransport is for clients in tests. An httptest.Server that closes also closes
// the idle connections of http.DefaultTransport, and so breaks requests of other
// tests that run at the same time.
var ownTransport = http.DefaultTransport.(*http.Transport).Clone()
