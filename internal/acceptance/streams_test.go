package acceptance_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// streaming is an application whose streams are tested in a bubble of package synctest,
// to which Config.Now does not belong. There is no network in a bubble.
type streaming struct {
	*app
	clock  *stopped
	shared *mapState
	down   atomic.Bool // the provider
	cookie string      // of Alice's session
}

func newStreaming(t *testing.T) *streaming {
	t.Helper()
	s := new(streaming)
	s.app, s.clock, s.shared = refreshing(t, func(c *signin.Config) {
		c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if s.down.Load() {
				return nil, errors.New("connection refused")
			}
			return http.DefaultTransport.RoundTrip(r)
		})}
	})
	s.cookie = s.signedIn(signintest.Alice()).session()
	s.down.Store(true)
	return s
}

// contextBehind returns the context of a request that has passed a guard.
func contextBehind(t *testing.T, guard func(http.Handler) http.Handler, r *http.Request) (ctx context.Context) {
	t.Helper()
	w := httptest.NewRecorder()
	guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() })).ServeHTTP(w, r)
	if ctx == nil {
		t.Fatalf("got %d %s; want the handler called", w.Code, w.Body)
	}
	return ctx
}

// ofSession returns the context of a request with Alice's session.
func (s *streaming) ofSession(t *testing.T, guard func(http.Handler) http.Handler) context.Context {
	r := httptest.NewRequest(http.MethodGet, "/events", nil)
	r.Header.Set("Cookie", s.cookie)
	return contextBehind(t, guard, r)
}

// suspend sends another replica the webhook of a suspension.
func (s *streaming) suspend(t *testing.T) {
	body := fmt.Sprintf(`{"event":"User.SuspensionStatus.Updated","createdAt":%q,"data":{"id":%q,"isSuspended":true}}`,
		s.clock.now().UTC().Format(time.RFC3339), signintest.Alice().Subject)
	sum := hmac.New(sha256.New, []byte(webhookKey))
	sum.Write([]byte(body))
	r := httptest.NewRequest(http.MethodPost, "/logto-webhook", strings.NewReader(body))
	r.Header.Set("logto-signature-sha-256", hex.EncodeToString(sum.Sum(nil)))
	w := httptest.NewRecorder()
	newAuth(t, s.cfg).LogtoWebhook(webhookKey)(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("webhook: got %d %s; want 200", w.Code, w.Body)
	}
}

// Each row is what happens to Alice's session after a stream has begun, when the stream
// ends, and what its cause says.
func TestWhileSignedIn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		happens func(*testing.T, *streaming)
		after   time.Duration // it goes on for that long
		within  time.Duration // it has ended
		want    signin.Code
		reason  string // of the event
		log     string
	}{
		{name: "10.16 a webhook at another replica", happens: func(t *testing.T, s *streaming) { s.suspend(t) }, within: 10 * time.Second, want: signin.ErrNotSignedIn, reason: "application"},
		{name: "10.16 the end of its life", happens: func(_ *testing.T, s *streaming) { s.clock.add(14 * 24 * time.Hour) }, within: 10 * time.Second, want: signin.ErrNotSignedIn, reason: "lifetime"},
		{
			name: "10.16 shared state fails", happens: func(_ *testing.T, s *streaming) { s.shared.failing(func(string) bool { return true }) },
			after: time.Minute, within: 70 * time.Second, want: signin.ErrSharedUnavailable, log: "the streams of a session have ended",
		},
		{
			name: "10.16 the provider is down for longer than MaxOffline", happens: func(_ *testing.T, s *streaming) { s.clock.add(9 * time.Hour) },
			within: 10 * time.Second, want: signin.ErrProviderUnavailable, log: "the streams of a session have ended",
		},
		{name: "the provider is down for a while", happens: func(_ *testing.T, s *streaming) { s.clock.add(8 * time.Hour) }, after: time.Hour},
		{name: "nothing, for a quarter of IdleTimeout", happens: func(*testing.T, *streaming) {}, after: 6*time.Hour - time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newStreaming(t)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := s.auth.WhileSignedIn(s.ofSession(t, s.auth.RequireAuth), 10*time.Second)
				defer cancel()
				row.happens(t, s)
				if <-time.After(row.after); ctx.Err() != nil {
					t.Fatalf("after %v: got %v; want it to go on", row.after, context.Cause(ctx))
				}
				if row.want == "" {
					return
				}
				<-time.After(row.within - row.after)
				synctest.Wait()
				var e *signin.Error
				if cause := context.Cause(ctx); !errors.As(cause, &e) || !errors.Is(cause, row.want) {
					t.Errorf("after %v: got %v; want %v", row.within, cause, row.want)
				}
				if got, want := strings.Join(s.reasons(signin.EventSessionEnded), " "), row.reason; got != want {
					t.Errorf("event: got reason %q; want %q", got, want)
				}
				if !strings.Contains(s.log.String(), row.log) {
					t.Errorf("log: got %s; want %q", s.log, row.log)
				}
			})
		})
	}
}

// Without a session there is nothing to look at, and the answer is known at once.
func TestWhileSignedIn_WithoutSession(t *testing.T) {
	t.Parallel()
	const api = "https://api.example.com"
	s := newStreaming(t)
	get := func() *http.Request { return httptest.NewRequest(http.MethodGet, "/events", nil) }
	bearer := get()
	bearer.Header.Set("Authorization", "Bearer "+s.provider.AccessToken(signintest.Alice().Subject, api))
	s.down.Store(false)
	known := contextBehind(t, s.auth.RequireBearer(api), bearer) // fetches the keys
	s.down.Store(true)
	lasts := func(ctx context.Context) string {
		begun := time.Now()
		ctx, cancel := s.auth.WhileSignedIn(ctx, 10*time.Second)
		defer cancel()
		select {
		case <-ctx.Done():
			var e *signin.Error
			errors.As(context.Cause(ctx), &e)
			return fmt.Sprintf("%v: %s", time.Since(begun), string(e.Code))
		case <-time.After(24 * time.Hour):
		}
		cancel()
		return "until it is canceled: " + context.Cause(ctx).Error()
	}
	other := newAuth(t, s.cfg)
	for name, row := range map[string]struct {
		ctx  context.Context
		want string
	}{
		"an access token of an hour":       {known, "1h0m0s: invalid_token"},
		"not signed in":                    {contextBehind(t, s.auth.Load, get()), "0s: not_signed_in"},
		"signed in to another Auth":        {s.ofSession(t, other.RequireAuth), "0s: not_signed_in"},
		"no guard":                         {context.Background(), "0s: internal"},
		"the user of a test":               {contextBehind(t, s.auth.RequireAuth, signintest.WithUser(get(), &signin.User{})), "until it is canceled: context canceled"},
		"the user of a test, without Load": {signintest.WithUser(get(), &signin.User{}).Context(), "until it is canceled: context canceled"},
		"a test without user":              {signintest.WithUser(get(), nil).Context(), "0s: not_signed_in"},
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := lasts(row.ctx); got != row.want {
				t.Errorf("%s: got %s; want %s", name, got, row.want)
			}
		})
	}
}

// A stream ends with its request, and may be canceled twice, from another goroutine.
func TestWhileSignedIn_Canceled(t *testing.T) {
	t.Parallel()
	s := newStreaming(t)
	synctest.Test(t, func(t *testing.T) {
		parent, over := context.WithCancel(s.ofSession(t, s.auth.RequireAuth))
		first, cancel := s.auth.WhileSignedIn(parent, 0)
		second, cancelSecond := s.auth.WhileSignedIn(parent, 0)
		go cancel()
		<-first.Done()
		cancel()
		if second.Err() != nil || !errors.Is(context.Cause(first), context.Canceled) {
			t.Errorf("got %v, and %v for the other; want one canceled", context.Cause(first), context.Cause(second))
		}
		over()
		synctest.Wait()
		if !errors.Is(context.Cause(second), context.Canceled) {
			t.Errorf("the request is over: got %v; want canceled", context.Cause(second))
		}
		cancelSecond()
		s.shared.asked()
		<-time.After(time.Hour)
		if got := s.shared.asked(); len(got) > 0 {
			t.Errorf("after the last stream: got shared state asked for %v keys; want none", got)
		}
	})
}
