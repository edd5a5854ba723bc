package signintest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// party is a relying party that checks nothing and answers "ok" to everything,
// for tests that read what the provider sends.
type party struct {
	*httptest.Server
	p   *signintest.Provider
	cfg signin.Config
}

func start(t *testing.T, opts ...signintest.Option) *party {
	t.Helper()
	p := signintest.NewProvider(opts...)
	t.Cleanup(p.Close)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	t.Cleanup(app.Close)
	return &party{Server: app, p: p, cfg: p.Config(app.URL)}
}

const verifier = "a-code-verifier-of-the-length-that-is-asked-for"

// params returns a valid authorization request, changed by pairs.
func (a *party) params(pairs ...string) url.Values {
	return changedBy(url.Values{
		"client_id":             {a.cfg.ClientID},
		"redirect_uri":          {a.URL + "/callback"},
		"response_type":         {"code"},
		"scope":                 {"openid profile email offline_access"},
		"prompt":                {"consent"},
		"state":                 {"the-state"},
		"nonce":                 {"the-nonce"},
		"code_challenge":        {oauth2.S256ChallengeFromVerifier(verifier)},
		"code_challenge_method": {"S256"},
	}, pairs)
}

// changedBy sets parameters of q. pairs alternates their names and values. An
// empty value removes the name.
func changedBy(q url.Values, pairs []string) url.Values {
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return q
}

// authorize visits the authorization endpoint as user, and returns the
// parameters that the redirect URI got.
func (a *party) authorize(t *testing.T, client *http.Client, user signintest.User, q url.Values) url.Values {
	t.Helper()
	resp := a.p.Visit(t, client, a.p.Issuer+"/auth?"+q.Encode(), user)
	if !strings.HasPrefix(resp.Request.URL.String(), a.URL+"/callback?") {
		t.Fatalf("got stuck at %s with %s", resp.Request.URL.Path, resp.Status)
	}
	return resp.Request.URL.Query()
}

// answer is a response whose body has been read.
type answer struct {
	at     string // the address after all redirects
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

// outcome is the status and, if it is an error, its code.
func (a answer) outcome() string {
	return strings.TrimSpace(fmt.Sprint(a.status, " ", a.text("error")))
}

// same reports an error if got is not want.
func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v; want %v", what, got, want)
	}
}

// shows reports an error if an answer has another status, or lacks the text.
func (a answer) shows(t *testing.T, what string, status int, text string) {
	t.Helper()
	if a.status != status || !strings.Contains(a.raw, text) {
		t.Errorf("%s: got %d %.200q; want %d with %q", what, a.status, a.raw, status, text)
	}
}

// send sends a request and reads the answer.
func send(t *testing.T, client *http.Client, r *http.Request) answer {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := answer{at: resp.Request.URL.String(), status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &out.body) // some bodies are not JSON, on purpose
	return out
}

func get(t *testing.T, client *http.Client, address string) answer {
	t.Helper()
	return send(t, client, newRequest(t, http.MethodGet, address, nil))
}

// client returns a browser without cookies that does not follow redirects.
func (a *party) client() *http.Client {
	c := a.p.NewClient()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// newRequest returns a request, whose body is form unless that is nil.
func newRequest(t *testing.T, method, address string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// post sends a form with the client's credentials.
func (a *party) post(t *testing.T, address string, form url.Values) answer {
	t.Helper()
	r := newRequest(t, http.MethodPost, address, form)
	r.SetBasicAuth(url.QueryEscape(a.cfg.ClientID), url.QueryEscape(a.cfg.ClientSecret))
	return send(t, a.client(), r)
}

func (a *party) get(t *testing.T, address, bearer string) answer {
	t.Helper()
	r := newRequest(t, http.MethodGet, address, nil)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return send(t, a.client(), r)
}

func (a *party) metadata(t *testing.T) answer {
	t.Helper()
	return a.get(t, a.p.Issuer+"/.well-known/openid-configuration", "")
}

// exchange sends a code to the token endpoint, with a form changed by pairs.
func (a *party) exchange(t *testing.T, code string, pairs ...string) answer {
	t.Helper()
	return a.post(t, a.p.Issuer+"/token", changedBy(url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {a.URL + "/callback"},
		"code_verifier": {verifier},
	}, pairs))
}

func (a *party) refresh(t *testing.T, token string, pairs ...string) answer {
	t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	return a.post(t, a.p.Issuer+"/token", changedBy(form, pairs))
}

func (a *party) revoke(t *testing.T, token string) answer {
	t.Helper()
	return a.post(t, a.p.Issuer+"/token/revocation", url.Values{"token": {token}})
}

// signIn goes through the flow and returns the token response.
func (a *party) signIn(t *testing.T, user signintest.User, pairs ...string) answer {
	t.Helper()
	got := a.exchange(t, a.authorize(t, nil, user, a.params(pairs...)).Get("code"))
	if got.status != http.StatusOK {
		t.Fatalf("token endpoint: got %d %s", got.status, got.raw)
	}
	return got
}

// part decodes a part of a JWT: 0 is the header, 1 the claims.
func part(t *testing.T, token string, i int) map[string]any {
	t.Helper()
	var out map[string]any
	d := json.NewDecoder(strings.NewReader(rawPart(t, token, i)))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// rawPart is part before it is decoded as JSON.
func rawPart(t *testing.T, token string, i int) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got %d parts of a JWT; want 3", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// number returns a claim that is a number, or 0 if it is not.
func number(claim any) int64 {
	n, _ := claim.(json.Number)
	i, _ := n.Int64()
	return i
}

// clock is the provider's clock, which tests advance.
type clock struct{ passed atomic.Int64 }

func newClock() *clock { return &clock{} }

func (c *clock) Now() time.Time {
	return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).Add(time.Duration(c.passed.Load()))
}

func (c *clock) Advance(d time.Duration) { c.passed.Add(int64(d)) }
