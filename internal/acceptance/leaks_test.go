package acceptance_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// exchange is one answer of the application to a browser.
type exchange struct {
	url    *url.URL
	header http.Header
	body   string
}

// overhear sends a request and keeps the answer if it is the application's.
func (a *app) overhear(base http.RoundTripper, r *http.Request) (*http.Response, error) {
	resp, err := base.RoundTrip(r)
	if err != nil || !strings.HasSuffix(a.server.URL, "://"+r.URL.Host) {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, exchange{r.URL, resp.Header.Clone(), string(body)})
	return resp, err
}

// secrets must not be found in anything that the application says.
type secrets struct {
	hidden  []string // what only provider and application may know
	cookies []string // what only a browser may know, in Set-Cookie
	bound   []string // what may be in redirects to the provider and in names of cookies
}

// secrets returns the secrets so far.
func (a *app) secrets() (s secrets) {
	s.hidden = append(s.hidden, a.cfg.ClientSecret)
	for _, key := range a.cfg.Keys {
		s.hidden = append(s.hidden, string(key))
	}
	s.hide(a.provider.Secrets()...)
	for _, sent := range a.wire.requests() {
		s.hide(sent.form.Get("code_verifier"), sent.form.Get("code"), sent.header.Get("Authorization"))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.seen {
		s.hide(e.url.Query().Get("code"))
		s.bound = append(s.bound, e.url.Query().Get("state"))
		for _, c := range (&http.Response{Header: e.header}).Cookies() {
			s.cookies = append(s.cookies, c.Value)
		}
		if to, err := url.Parse(e.header.Get("Location")); err == nil && to.Query().Has("code_challenge") {
			s.bound = append(s.bound, to.Query().Get("state"), to.Query().Get("nonce"), to.Query().Get("code_challenge"))
		}
	}
	short := func(secret string) bool { return len(secret) < opening }
	s.cookies, s.bound = slices.DeleteFunc(s.cookies, short), slices.DeleteFunc(s.bound, short)
	return s
}

// hide adds secrets, and the parts of those that are JWTs.
func (s *secrets) hide(all ...string) {
	for _, secret := range all {
		for _, part := range append(strings.Split(secret, "."), secret) {
			// The header of a JWT says how it is signed, and is no secret.
			head := strings.HasPrefix(part, "eyJ") && !strings.Contains(part, ".") && len(part) < 80
			if len(part) >= opening && !head {
				s.hidden = append(s.hidden, part)
			}
		}
	}
}

// said returns everything that the application has said, by place.
func (a *app) said() map[string]string {
	all := map[string]string{"log": a.log.String()}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, e := range a.events {
		all[fmt.Sprintf("event %d", i)] = fmt.Sprintf("%+v %#v %v %+v %#v", e, e, e.Err, e.Err, e.Err)
	}
	for i, e := range a.seen {
		what := "answer"
		if e.url.Path == "/user" {
			what = "handlers" // a test writes this page, with the nonce among the claims
		}
		all[fmt.Sprintf("%s %d, of %s", what, i, e.url.Path)] = e.body
		for name, values := range e.header {
			all[fmt.Sprintf("%s %d, of %s", name, i, e.url.Path)] = strings.Join(values, "\n")
		}
	}
	return all
}

// wantNoLeak checks that no secret is in anything that the application has said.
func (a *app) wantNoLeak(t *testing.T) {
	t.Helper()
	for _, place := range a.secrets().search(a.provider.URL)(a.said()) {
		t.Errorf("leaked in %s", place)
	}
}

// search returns a function that looks for the secrets and returns the places, sorted,
// at which it found one. The name of a place begins with its kind.
func (s secrets) search(provider string) func(places map[string]string) (found []string) {
	hidden, told := newFinder(s.hidden), newFinder(slices.Concat(s.hidden, s.cookies))
	everything := newFinder(slices.Concat(s.hidden, s.cookies, s.bound))
	return func(places map[string]string) (found []string) {
		for place, text := range places {
			look, layers := everything, 0
			switch {
			case strings.HasPrefix(place, "Set-Cookie"):
				look = hidden
			case strings.HasPrefix(place, "Location") && strings.Contains(text, provider), strings.HasPrefix(place, "handlers"):
				look = told
			}
			if strings.HasPrefix(place, "Set-Cookie") || strings.HasPrefix(place, "shared") || strings.HasPrefix(place, "file") {
				layers = 3
			}
			for _, text := range unpacked(text, layers) {
				if form := look.find(text); form != "" {
					found = append(found, fmt.Sprintf("%s: %.16s…", place, form))
					break
				}
			}
		}
		slices.Sort(found)
		return found
	}
}

// written returns the forms in which a secret may be in a text.
func written(secret string) []string {
	all := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(fmt.Sprintf("%q", secret), `"`),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), fmt.Sprint([]byte(secret)),
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // the encoding depends on the number of bytes before it
			// The first and the last characters may hold bits of others.
			text := encoding.EncodeToString([]byte(strings.Repeat("x", before) + secret))
			all = append(all, text[(before*8+5)/6:len(text)-1])
		}
	}
	return all
}

// unpacked returns a text, and what is in it under layers of base64 and gzip.
func unpacked(text string, layers int) []string {
	all := []string{text}
	if layers == 0 {
		return all
	}
	words := strings.FieldsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-", r)
	})
	for _, word := range words {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if b, err := encoding.DecodeString(word); err == nil && len(b) > 12 {
				all = append(all, unpacked(string(b), layers-1)...)
			}
		}
	}
	if at := strings.Index(text, "\x1f\x8b"); at >= 0 {
		if z, err := gzip.NewReader(strings.NewReader(text[at:])); err == nil {
			b, _ := io.ReadAll(io.LimitReader(z, 1<<20))
			all = append(all, unpacked(string(b), layers-1)...)
		}
	}
	return all
}

// A finder looks for many texts at once. Its keys are their first characters.
type finder map[string][]string

// opening is the length of a finder's keys. No secret is shorter.
const opening = 12

func newFinder(secrets []string) finder {
	f := finder{}
	for _, s := range slices.Compact(slices.Sorted(slices.Values(secrets))) {
		for _, form := range written(s) {
			f[form[:opening]] = append(f[form[:opening]], form)
		}
	}
	return f
}

// find returns the first of the finder's texts that is in text, or "".
func (f finder) find(text string) string {
	for i := range max(0, len(text)-opening+1) {
		for _, form := range f[text[i:i+opening]] {
			if strings.HasPrefix(text[i:], form) {
				return form
			}
		}
	}
	return ""
}

// wantFound checks that search finds a secret in each form at each place.
func wantFound(t *testing.T, secret string, search func(map[string]string) []string) {
	t.Helper()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, secret)
	_ = z.Close()
	everywhere := []string{"log", "handlers", "event 0", "answer 0, of /", "Location 0, of /", "Set-Cookie 0, of /", "shared state x", "file x"}
	for how, row := range map[string]struct {
		text   string
		places []string
	}{
		"in clear":           {"x" + secret + "y", everywhere},
		"in base64":          {base64.StdEncoding.EncodeToString([]byte("ab" + secret + "c")), everywhere},
		"in base64 for URLs": {base64.RawURLEncoding.EncodeToString([]byte(secret)), everywhere},
		"in hex":             {hex.EncodeToString([]byte(secret)), everywhere},
		"escaped":            {url.QueryEscape(secret), everywhere},
		"as bytes":           {fmt.Sprintf("%v", []byte(secret)), everywhere},
		"in gzip in base64":  {"signin=" + base64.RawURLEncoding.EncodeToString(zipped.Bytes()) + "; Path=/", everywhere[5:]},
	} {
		for _, place := range row.places {
			found := search(map[string]string{place: "before " + row.text + " after"})
			if len(found) != 1 || !strings.HasPrefix(found[0], place) {
				t.Errorf("a secret %s, %s: got %q; want it found there", how, place, found)
			}
		}
	}
}
