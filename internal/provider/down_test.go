package provider_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// A sign-out says that the provider may still know the person only if it is down.
func TestIsDown(t *testing.T) {
	for _, row := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("another error"), false},
		{&provider.Error{Kind: provider.Unavailable}, true},
		{fmt.Errorf("revoking: %w", &provider.Error{Kind: provider.Unavailable, Status: 503}), true},
		{&provider.Error{Kind: provider.Unavailable, Status: 502}, true},
		{&provider.Error{Kind: provider.Unavailable, Status: 504}, true},
		{&provider.Error{Kind: provider.Unavailable, Status: 500}, false},
		{&provider.Error{Kind: provider.Unavailable, Status: 429}, false},
		{&provider.Error{Kind: provider.Refused, Status: 503}, false},
	} {
		if got := provider.IsDown(row.err); got != row.want {
			t.Errorf("%v: got %t; want %t", row.err, got, row.want)
		}
	}
}

// Strangers who sign out again and again cause one request in five seconds, also if the
// clock goes back.
func TestStillDown(t *testing.T) {
	asked, up, now := 0, false, time.Unix(1_800_000_000, 0)
	c := provider.New(provider.Config{
		Issuer: "https://op.test", Now: func() time.Time { return now },
		HTTPClient: &http.Client{Transport: sends(func(r *http.Request) (*http.Response, error) {
			asked++
			if !up {
				return nil, errors.New("no answer")
			}
			return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})},
	})
	ask := func(name string, wantDown bool, wantAsked int) {
		t.Helper()
		asked = 0
		for range 3 {
			if err := c.StillDown(t.Context(), time.Second); (err != nil) != wantDown {
				t.Errorf("%s: got %v; want an error: %t", name, err, wantDown)
			}
		}
		if asked != wantAsked {
			t.Errorf("%s: got %d requests for 3 calls; want %d", name, asked, wantAsked)
		}
	}
	ask("nothing noted", false, 0)
	c.NoteDown()
	ask("noted", true, 1)
	now = now.Add(4 * time.Second)
	ask("a moment later", true, 0)
	now = now.Add(-time.Hour)
	ask("the clock went back", true, 1)
	now, up = now.Add(6*time.Second), true
	ask("it answers, and has no such page", false, 1)
}

type sends func(*http.Request) (*http.Response, error)

func (f sends) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
