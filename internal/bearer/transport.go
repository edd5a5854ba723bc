package bearer

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Transport sends requests to one origin with a bearer token, and all others
// without. It is safe for concurrent use if its fields are not changed.
type Transport struct {
	Base   http.RoundTripper // gets the token, and must not send it elsewhere
	Origin *url.URL
	// Token returns a token for a request's context, other than the refused one.
	// refused is empty at the first attempt.
	Token func(ctx context.Context, refused string) (string, error)
}

// RoundTrip sends a request. Redirects come here one by one, so each is compared
// with the origin.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.isOrigin(r) {
		return t.Base.RoundTrip(r)
	}
	token, err := t.token(r, "")
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	resp, err := t.send(r, r.Body, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !InvalidToken(resp.Header) {
		return resp, err
	}
	again, ok := bodyAgain(r)
	if !ok {
		return resp, nil
	}
	fresh, err := t.token(r, token)
	if err != nil || fresh == token {
		again.Close()
		return resp, nil // the API's answer says more
	}
	// So that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	resp.Body.Close()
	return t.send(r, again, fresh)
}

// maxDrain limits how many bytes of a refusal are read before it is closed.
const maxDrain = 64 << 10

// isOrigin reports whether a request goes to the origin, and nowhere else: scheme,
// host and port are the same (https://www.rfc-editor.org/rfc/rfc6454#section-5), in
// the Host header too, since one that names another host is for another site at the
// same address. With Opaque, net/http sends a request line that may name any host. A
// user in the URL asks for other credentials than a token.
func (t *Transport) isOrigin(r *http.Request) bool {
	if r.URL == nil || r.URL.Opaque != "" || r.URL.User != nil || !sameOrigin(r.URL, t.Origin) {
		return false
	}
	return r.Host == "" || sameOrigin(&url.URL{Scheme: r.URL.Scheme, Host: r.Host}, t.Origin)
}

// sameOrigin ignores the case of ASCII letters only: strings.EqualFold takes the
// Kelvin sign for a k, and DNS does not.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && lower(a.Hostname()) == lower(b.Hostname()) && port(a) == port(b)
}

func lower(host string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, host)
}

func port(u *url.URL) string {
	if u.Scheme == "https" {
		return cmp.Or(u.Port(), "443")
	}
	return cmp.Or(u.Port(), "80")
}

// token asks for a token. If the request's context has ended, it returns the
// context's error.
func (t *Transport) token(r *http.Request, refused string) (string, error) {
	token, err := t.Token(r.Context(), refused)
	if err != nil && r.Context().Err() != nil {
		return "", r.Context().Err() // http.Client must recognize a time-out
	}
	return token, err
}

// send sends a copy of a request, since a RoundTripper must not change it. The
// answer's Request is the caller's own. With the copy, a CheckRedirect that copies
// headers would find the token.
func (t *Transport) send(r *http.Request, body io.ReadCloser, token string) (*http.Response, error) {
	c := r.Clone(r.Context())
	c.Body = body
	c.Header.Set("Authorization", "Bearer "+token)
	resp, err := t.Base.RoundTrip(c)
	if err == nil {
		resp.Request = r
	}
	return resp, err
}

// bodyAgain returns another copy of a request's body, if the request can provide it.
func bodyAgain(r *http.Request) (io.ReadCloser, bool) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return http.NoBody, true
	case r.GetBody == nil:
		return nil, false
	}
	body, err := r.GetBody()
	return body, err == nil
}
