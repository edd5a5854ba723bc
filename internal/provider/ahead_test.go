package provider_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/provider"
)

// ageing is a provider in a bubble, whose documents are asked for and may hang
// or fail.
type ageing struct {
	mu    sync.Mutex
	hits  map[string]int
	state map[string]string // "", "down" or "hangs", for each document
}

func (a *ageing) client() *provider.Client {
	a.hits, a.state = make(map[string]int), make(map[string]string)
	documents := map[string]any{
		wellKnown: m{
			"issuer": "https://id.example.com", "authorization_endpoint": "https://id.example.com/authorize",
			"token_endpoint": "https://id.example.com/token", "jwks_uri": "https://id.example.com/keys",
		},
		"/keys": m{"keys": []any{public(&rsaKey().PublicKey, "rsa")}},
	}
	answer := roundTrip(func(r *http.Request) (*http.Response, error) {
		a.mu.Lock()
		a.hits[r.URL.Path]++
		state := a.state[r.URL.Path]
		a.mu.Unlock()
		switch state {
		case "hangs":
			<-r.Context().Done()
			return nil, r.Context().Err()
		case "down":
			return &http.Response{StatusCode: 503, Body: http.NoBody, Request: r}, nil
		}
		body := string(must(json.Marshal(documents[r.URL.Path])))
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
	return provider.New(provider.Config{Issuer: "https://id.example.com", ClientID: "app", HTTPClient: &http.Client{Transport: answer}})
}

// both puts both documents into a state.
func (a *ageing) both(state string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state[wellKnown], a.state["/keys"] = state, state
}

// asked checks how often each document was asked for.
func (a *ageing) asked(t *testing.T, want int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hits[wellKnown] != want || a.hits["/keys"] != want {
		t.Errorf("got %v; want each document asked for %d times", a.hits, want)
	}
}

// verify checks a token of now, and returns how long that took.
func (a *ageing) verify(t *testing.T, c *provider.Client) time.Duration {
	t.Helper()
	now := time.Now()
	raw := sign(t, "RS256", rsaKey(), "rsa", m{
		"iss": "https://id.example.com", "sub": "alice", "aud": "app", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nonce": "n",
	}, nil)
	if _, err := c.VerifyIDToken(t.Context(), raw, jwt.Expect{Nonce: "n"}); err != nil {
		t.Errorf("got error %v; want none", err)
	}
	return time.Since(now)
}

// A provider that is down while its documents get old is noticed by nobody, if
// it is back within a quarter of an hour.
func TestDocumentsAreFetchedAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := new(ageing)
		c := a.client()
		a.verify(t, c)
		time.Sleep(45*time.Minute - time.Second)
		a.verify(t, c)
		synctest.Wait()
		a.asked(t, 1)
		a.both("hangs")
		time.Sleep(time.Second)
		if took := a.verify(t, c); took != 0 {
			t.Errorf("got an answer after %v; want it at once", took)
		}
		time.Sleep(5 * time.Minute) // the time-out and the back-off are over
		a.both("")
		a.verify(t, c)
		synctest.Wait()
		a.both("down")
		time.Sleep(15 * time.Minute)
		if took := a.verify(t, c); took != 0 {
			t.Errorf("after an hour: got an answer after %v; want it at once", took)
		}
		synctest.Wait()
		a.asked(t, 3)
	})
}

// Old metadata serve, so nobody waits long for new ones.
func TestNobodyWaitsLongForNewMetadata(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := new(ageing)
		c := a.client()
		first, err := c.Metadata(t.Context())
		wantKind(t, err, 0)
		time.Sleep(24 * time.Hour)
		a.both("hangs")
		began := time.Now()
		again, err := c.Metadata(t.Context())
		wantKind(t, err, 0)
		if took := time.Since(began); again != first || took != 500*time.Millisecond {
			t.Errorf("got the old metadata %v after %v; want them after 500ms", again == first, took)
		}
		time.Sleep(time.Minute) // the flight ends by itself
	})
}
