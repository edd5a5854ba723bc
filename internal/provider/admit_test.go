package provider_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// Anyone can bring many callbacks at once.
func TestAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFake().Client()
		in := make(chan func(), 2000)
		admit := func(ctx context.Context) error {
			admitted, leave, err := c.Admit(ctx)
			if err == nil && admitted == nil {
				t.Error("got no client; want one")
			}
			if err == nil {
				in <- leave
			}
			return err
		}
		crowded := func(what string, began time.Time, err error, after time.Duration) {
			e := wantKind(t, err, provider.Unavailable)
			if e.RetryAfter != 5*time.Second || e.Status != 0 || time.Since(began) != after {
				t.Errorf("%s: got %v, to be tried again after %v, in %v; want 5s, in %v", what, err, e.RetryAfter, time.Since(began), after)
			}
		}
		for range 32 {
			if err := admit(t.Context()); err != nil {
				t.Fatalf("got error %v; want 32 admitted at once", err)
			}
		}
		began := time.Now()
		crowded("the 33rd", began, admit(t.Context()), 20*time.Second)
		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		crowded("one whose time is over", began, admit(gone), time.Second)

		began = time.Now()
		for range 1000 {
			go admit(t.Context())
		}
		synctest.Wait()
		crowded("one more than may wait", began, admit(t.Context()), 0)
		for range 1032 { // those that wait are let in one after another
			(<-in)()
		}
		synctest.Wait()
		if err := admit(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("when all have left: got %v after %v; want it admitted at once", err, time.Since(began))
		}
	})
}

// A transport that allows one connection shows who waits for whom.
func TestAdmit_OwnConnections(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.listen(t)
	c := f.Client(func(cfg *provider.Config) {
		cfg.HTTPClient = &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	})
	asked, answer := make(chan bool), make(chan bool)
	f.Answer(tokenPath, func(w http.ResponseWriter, r *http.Request) {
		if r.PostForm.Has("code") {
			asked <- true
			<-answer
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(tokenAnswer(nil)))
	})
	admitted, leave, err := c.Admit(t.Context())
	wantKind(t, err, 0)
	defer leave()
	done := make(chan error)
	go func() { _, err := exchange(admitted); done <- err }()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := c.Refresh(ctx, "r1", nil); err != nil {
		t.Errorf("a refresh during an exchange: got error %v; want it answered", err)
	}
	close(answer)
	if err := <-done; err != nil {
		t.Errorf("the exchange: got error %v; want tokens", err)
	}
	f.wantHits(t, wellKnown, 1)
}
