package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// An exchange is one request of the application to its provider and what came
// back.
type exchange struct {
	path   string
	form   url.Values
	client string // the user name of Basic authentication
	secret string // and the password, with RFC 6749's encoding undone
	bearer string // the access token of Bearer authentication
	status int
	tokens struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		IDToken      string `json:"id_token"`
	}
}

// A wire sends the application's requests to its provider and records them.
// The zero value is ready, and it is safe for concurrent use.
type wire struct {
	mu        sync.Mutex
	exchanges []exchange
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	e := exchange{path: req.URL.Path}
	if id, secret, ok := req.BasicAuth(); ok {
		e.client, _ = url.QueryUnescape(id)
		e.secret, _ = url.QueryUnescape(secret)
	}
	e.bearer, _ = strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if e.client != "" {
		e.bearer = ""
	}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, err
		}
		// A RoundTripper may not change its request.
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
		if e.form, err = url.ParseQuery(string(body)); err != nil {
			return nil, err
		}
	}
	resp, err := ownTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	e.status = resp.StatusCode
	if e.form.Has("grant_type") {
		// Error responses have no tokens.
		_ = json.Unmarshal(body, &e.tokens)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.exchanges = append(w.exchanges, e)
	return resp, nil
}

// of returns the token requests with this grant_type, oldest first.
func (w *wire) of(grantType string) []exchange {
	return w.those(func(e exchange) bool { return e.form.Get("grant_type") == grantType })
}

// revocations returns the requests that revoke a token, oldest first.
func (w *wire) revocations() []exchange {
	return w.those(func(e exchange) bool { return e.form.Has("token") })
}

func (w *wire) those(match func(exchange) bool) []exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []exchange
	for _, e := range w.exchanges {
		if match(e) {
			found = append(found, e)
		}
	}
	return found
}

// claims reads a JWT without verifying it.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	return jwtPart(t, token, 1)
}

// header reads the header of a JWT.
func header(t *testing.T, token string) map[string]any {
	t.Helper()
	return jwtPart(t, token, 0)
}

func jwtPart(t *testing.T, token string, i int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a JWT of %d parts; want 3", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	return object
}
