package provider_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// The rows of this file each stand for one condition that could be lost without
// any other test noticing.

func TestChecksOfEndpoints(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]provider.Kind{
		"http://192.0.2.1/me":      provider.Misconfigured,
		"http://[2001:db8::1]/me":  provider.Misconfigured,
		"http://localhost.test/me": provider.Misconfigured,
		"http://127.1.2.3/me":      0,
		"http://id.localhost/me":   provider.Misconfigured,
		"http://localhost/me":      0,
	} {
		f := newFake(t)
		f.Meta(m{"userinfo_endpoint": raw})
		_, err := f.Client().Metadata(context.Background())
		t.Log(raw)
		wantKind(t, err, want)
	}
}

func TestChecksOfTransportCauses(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"unexpected EOF": io.ErrUnexpectedEOF,
	} {
		err = &url.Error{Op: "Get", URL: "https://id.example.com/?secret", Err: fmt.Errorf("read: %w", err)}
		if got := provider.TransportCause(err).Error(); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}

	f := newFake(t)
	f.Answer("/x7/me", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20+1)) })
	_, err := f.Client().UserInfo(context.Background(), accessToken, "alice")
	if e := wantKind(t, err, provider.Unavailable); !strings.Contains(e.Error(), "larger than 1 MiB") {
		t.Errorf("got %v; want an error that says that the answer is too large", e)
	}
}

// transporting is a transport that answers in its own way.
type transporting func(*http.Request) (*http.Response, error)

func (a transporting) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func (a transporting) client() *provider.Client {
	return provider.New(provider.Config{Issuer: issuer, ClientID: clientID, HTTPClient: &http.Client{Transport: a}, Now: func() time.Time { return now }})
}

// A panic on what was received is an error, and never metadata that says
// nothing.
func TestChecksOfPanics(t *testing.T) {
	t.Parallel()
	meta, err := transporting(func(*http.Request) (*http.Response, error) { panic("no") }).client().Metadata(context.Background())
	if e := wantKind(t, err, provider.Unavailable); meta != nil || e.Op != "discovery" {
		t.Errorf("got %v, op %q; want no metadata, and discovery", meta, e.Op)
	}
}

// Of the informational answers net/http hands on this one, and it is no
// success.
func TestChecksOfTokenAnswers(t *testing.T) {
	t.Parallel()
	c := transporting(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			return answering{discovery: goodMetadata(issuer, nil)}.RoundTrip(r)
		}
		body := `{"access_token":"a","token_type":"Bearer","id_token":"i"}`
		return &http.Response{StatusCode: 101, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}).client()
	tokens, err := exchange(c)
	if wantKind(t, err, provider.Unavailable); tokens != nil {
		t.Errorf("got %v; want no tokens", tokens)
	}
}

// Logto says access_denied for a second factor that is missing, and for more.
func TestChecksOfRefusals(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"error":"access_denied","error_description":"MFA is required"}`:   true,
		`{"error":"access_denied","error_description":"not a member"}`:      false,
		`{"error":"invalid_target","error_description":"MFA is no target"}`: false,
	} {
		if got := refused(t, 403, body).WantsMFA; got != want {
			t.Errorf("%s: got %t; want %t", body, got, want)
		}
	}
}

// What is ill formed is no word about the person: a session that is refreshed
// goes on, with its claims as they were.
func TestChecksOfUserInfo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mediaType, body string }{
		{"application/json; x", `{"sub":"alice"}`},
		{"application/json", `[]`},
		{"application/json", `{"sub":"alice","SUB":"bob"}`},
	} {
		f := newFake(t)
		f.Answer("/x7/me", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.mediaType)
			io.WriteString(w, c.body)
		})
		_, err := f.Client().UserInfo(context.Background(), accessToken, "alice")
		if e := wantKind(t, err, provider.Rejected); e.AnotherPerson() {
			t.Errorf("%s, %s: got another person; want an answer that is ill formed", c.mediaType, c.body)
		}
	}
}
