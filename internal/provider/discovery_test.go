package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

const wellKnown = "/.well-known/openid-configuration"

func TestMetadata(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	meta, err := f.Client().Metadata(context.Background())
	wantKind(t, err, 0)
	got := []string{
		meta.AuthorizationEndpoint, meta.TokenEndpoint, meta.JWKSURI,
		meta.UserInfoEndpoint, meta.EndSessionEndpoint, meta.RevocationEndpoint,
	}
	want := []string{"/x7/authorize", "/x7/token", "/x7/keys", "/x7/me", "/x7/end", "/x7/revoke"}
	for i := range want {
		if got[i] != f.URL+want[i] {
			t.Errorf("got endpoint %q; want %q", got[i], f.URL+want[i])
		}
	}
	if !meta.IssParameterSupported || !slices.Equal(meta.ScopesSupported, []string{"openid", "offline_access"}) {
		t.Errorf("got iss parameter %t, scopes %q; want true and those listed", meta.IssParameterSupported, meta.ScopesSupported)
	}
}

// badMetadata are documents that must not be used: P-discovery-issuer-mismatch,
// 9.1, 9.3.
func badMetadata(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		changes func(url string) m
		want    provider.Kind
	}{
		{"the issuer itself", func(u string) m { return m{"issuer": u} }, 0},
		{"another issuer", func(string) m { return m{"issuer": "https://evil.example"} }, provider.Misconfigured},
		{"the issuer with a slash", func(u string) m { return m{"issuer": u + "/"} }, provider.Misconfigured},
		{"the issuer in another case", func(u string) m { return m{"issuer": strings.Replace(u, "http", "HTTP", 1)} }, provider.Misconfigured},
		{"the issuer with another port", func(u string) m { return m{"issuer": u + "0"} }, provider.Misconfigured},
		{"the issuer by another name", func(u string) m { return m{"issuer": strings.Replace(u, "127.0.0.1", "localhost", 1)} }, provider.Misconfigured},
		{"no issuer", func(string) m { return m{"issuer": nil} }, provider.Misconfigured},
		{"no authorization endpoint", func(string) m { return m{"authorization_endpoint": nil} }, provider.Misconfigured},
		{"no token endpoint", func(string) m { return m{"token_endpoint": nil} }, provider.Misconfigured},
		{"no keys", func(string) m { return m{"jwks_uri": nil} }, provider.Misconfigured},
		{"none of what is optional", func(string) m {
			return m{"userinfo_endpoint": nil, "end_session_endpoint": nil, "revocation_endpoint": nil, "scopes_supported": nil}
		}, 0},
		{"a relative endpoint", func(string) m { return m{"token_endpoint": "/token"} }, provider.Misconfigured},
		{"an endpoint that does not parse", func(string) m { return m{"token_endpoint": "https://a b"} }, provider.Misconfigured},
		{"an endpoint without host", func(string) m { return m{"token_endpoint": "https:///token"} }, provider.Misconfigured},
		{"an endpoint with a fragment", func(u string) m { return m{"authorization_endpoint": u + "/a#"} }, provider.Misconfigured},
		{"an endpoint with a password", func(string) m { return m{"token_endpoint": "https://u:p@id.example.com/"} }, provider.Misconfigured},
		{"an endpoint of another scheme", func(string) m { return m{"end_session_endpoint": "javascript:alert(1)"} }, provider.Misconfigured},
		{"an http endpoint that is not on loopback", func(string) m { return m{"userinfo_endpoint": "http://id.example.com/me"} }, provider.Misconfigured},
		{"an https endpoint", func(string) m { return m{"userinfo_endpoint": "https://id.example.com/me"} }, 0},
		{"an endpoint below localhost", func(string) m { return m{"userinfo_endpoint": "http://op.localhost/me"} }, provider.Misconfigured},
		{"an endpoint on localhost", func(string) m { return m{"userinfo_endpoint": "http://localhost/me"} }, 0},
		{"an endpoint on ::1", func(string) m { return m{"userinfo_endpoint": "http://[::1]:1/me"} }, 0},
		{"a member of the wrong type", func(string) m { return m{"scopes_supported": "openid"} }, provider.Misconfigured},
		{"no known client authentication", func(string) m { return m{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}} }, provider.Misconfigured},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Meta(c.changes(f.URL))
			meta, err := f.Client().Metadata(context.Background())
			wantKind(t, err, c.want)
			if (meta == nil) != (c.want != 0) {
				t.Errorf("got metadata %v with error %v", meta, err)
			}
		})
	}
}

func badDiscovery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   provider.Kind
	}{
		{"500", 500, "", provider.Unavailable},
		{"429", 429, "", provider.Unavailable},
		{"404", 404, "", provider.Misconfigured},
		{"HTML", 200, "<!doctype html>", provider.Unavailable},
		{"nothing", 200, "", provider.Unavailable},
		{"a list", 200, "[]", provider.Unavailable},
		{"an issuer twice", 200, `{"issuer":"a","issuer":"b"}`, provider.Unavailable},
		{"an empty object", 200, "{}", provider.Misconfigured},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Says(wellKnown, c.status, c.body)
			_, err := f.Client().Metadata(context.Background())
			if e := wantKind(t, err, c.want); e.RetryAfter != time.Second {
				t.Errorf("got retry after %v; want 1s", e.RetryAfter)
			}
		})
	}
}

func TestIssuersThatNobodyDials(t *testing.T) {
	t.Parallel()
	dialed := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return nil, errors.New("no")
	})}
	for _, issuer := range []string{
		"", "id.example.com", "http://id.example.com", "https://id.example.com?a", "https://id.example.com/#", "ftp://localhost", "https://a b",
	} {
		_, err := provider.New(provider.Config{Issuer: issuer, HTTPClient: dialed}).Metadata(context.Background())
		wantKind(t, err, provider.Misconfigured)
	}
}

func TestIssuerWithPath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/oidc", "/oidc/"} {
		f := newFake(t)
		f.Meta(m{"issuer": f.URL + path})
		f.Answer("/oidc"+wellKnown, f.answers[wellKnown])
		c := f.Client(func(cfg *provider.Config) { cfg.Issuer += path })
		_, err := c.Metadata(context.Background())
		wantKind(t, err, 0)
	}
}

// 9.3: the metadata of an https issuer may not lead to http.
func TestHTTPEndpointsOfAnHTTPSIssuer(t *testing.T) {
	t.Parallel()
	var body string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
	t.Cleanup(srv.Close)
	for scheme, want := range map[string]provider.Kind{"https": 0, "http": provider.Misconfigured} {
		body = fmt.Sprintf(`{"issuer":%q,"authorization_endpoint":"https://id.example.com/a","token_endpoint":"%s://127.0.0.1/t","jwks_uri":"https://id.example.com/k"}`, srv.URL, scheme)
		c := provider.New(provider.Config{Issuer: srv.URL, HTTPClient: srv.Client()})
		_, err := c.Metadata(context.Background())
		wantKind(t, err, want)
	}
	// And the certificate has to be good.
	_, err := provider.New(provider.Config{Issuer: srv.URL}).Metadata(context.Background())
	if e := wantKind(t, err, provider.Unavailable); !strings.Contains(e.Error(), "certificate") {
		t.Errorf("got %v; want the certificate named", e)
	}
}

// 9.1: 1,000 sign-ins while the provider is down cause a handful of requests,
// and it is in use again as soon as it is back.
func downAndBack(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	up := f.answers[wellKnown]
	f.Says(wellKnown, 503, "")
	thousand := func() {
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				_, err := c.Metadata(context.Background())
				var e *provider.Error
				if !errors.As(err, &e) || e.Kind != provider.Unavailable || e.RetryAfter <= 0 {
					t.Errorf("got %v; want Unavailable, and when to come back", err)
				}
			})
		}
		all.Wait()
	}
	thousand()
	if hits := f.Hits(wellKnown); hits != 1 {
		t.Errorf("got %d requests for 1,000 sign-ins; want 1", hits)
	}
	waits := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i, wait := range waits {
		f.clock.Move(wait*time.Second - time.Nanosecond)
		thousand()
		f.clock.Move(time.Nanosecond)
		thousand()
		if hits := f.Hits(wellKnown); hits != i+2 {
			t.Fatalf("got %d requests after the back-off of %ds; want %d", hits, wait, i+2)
		}
	}
	f.Answer(wellKnown, up)
	f.clock.Move(30 * time.Second)
	_, err := c.Metadata(context.Background())
	wantKind(t, err, 0)

	// The next failure starts with a short wait again.
	f.Says(wellKnown, 503, "")
	f.clock.Move(time.Hour)
	for i := range 3 {
		_, err := c.Metadata(context.Background())
		wantKind(t, err, 0) // the old document serves
		if hits := f.Hits(wellKnown); hits != len(waits)+2+1+i {
			t.Errorf("got %d requests; want one more for each second or two", hits)
		}
		f.clock.Move(2 * time.Second)
	}
}

func TestRetryAfterOfTheProviderIsKept(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Answer(wellKnown, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(429)
	})
	_, err := f.Client().Metadata(context.Background())
	if e := wantKind(t, err, provider.Unavailable); e.RetryAfter != 10*time.Second || e.Status != 429 {
		t.Errorf("got retry after %v, status %d; want 10s, 429", e.RetryAfter, e.Status)
	}
}

func TestMetadataAge(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	endSession := func() string {
		meta, err := c.Metadata(context.Background())
		wantKind(t, err, 0)
		return strings.TrimPrefix(meta.EndSessionEndpoint, f.URL)
	}
	first := endSession()
	f.Meta(m{"end_session_endpoint": f.URL + "/x8/end"})
	f.clock.Move(time.Hour - time.Second)
	if got := endSession(); got != first {
		t.Errorf("got %q within the hour; want %q", got, first)
	}
	f.clock.Move(time.Second)
	if got := endSession(); got != "/x8/end" {
		t.Errorf("got %q after an hour; want the new one", got)
	}
	// A document that must not be used does not replace the one in use.
	f.Meta(m{"issuer": "https://evil.example", "end_session_endpoint": "https://evil.example"})
	f.clock.Move(time.Hour)
	if got := endSession(); got != "/x8/end" {
		t.Errorf("got %q; want the old one", got)
	}
	// A clock that was set back makes a document old, not young for years.
	f.Meta(m{"issuer": f.URL, "end_session_endpoint": f.URL + "/x9/end"})
	f.clock.Move(-24 * time.Hour)
	if got := endSession(); got != "/x9/end" {
		t.Errorf("got %q after the clock was set back; want the new one", got)
	}
}

// A caller that goes away does not take the flight with it.
func TestCallerLeavesTheFlight(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	up := f.answers[wellKnown]
	arrived, goOn := make(chan struct{}), make(chan struct{})
	f.Answer(wellKnown, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-goOn
		up(w, r)
	})
	c := f.Client()
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		_, err := c.Metadata(ctx)
		left <- err
	}()
	<-arrived
	stayed := make(chan error)
	go func() {
		_, err := c.Metadata(context.Background())
		stayed <- err
	}()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want context.Canceled", err)
	}
	close(goOn)
	wantKind(t, <-stayed, 0)
	if hits := f.Hits(wellKnown); hits != 1 {
		t.Errorf("got %d requests; want 1", hits)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (rt roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return rt(r) }

func TestReachAsksEachTime(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	_, err := c.Metadata(context.Background())
	wantKind(t, err, 0)
	wantKind(t, c.Reach(context.Background()), 0)
	f.Says("/.well-known/openid-configuration", http.StatusInternalServerError, "{}")
	wantKind(t, c.Reach(context.Background()), provider.Unavailable)
	_, err = c.Metadata(context.Background())
	wantKind(t, err, 0) // what was known goes on serving
}
