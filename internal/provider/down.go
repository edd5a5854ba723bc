package provider

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// restDown is how long after a provider was found down it is not asked again.
const restDown = 5 * time.Second

// IsDown reports whether the provider gave no answer at all, or a proxy in front of it
// says so.
func IsDown(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unavailable {
		return false
	}
	switch e.Status {
	case 0, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// NoteDown notes that the provider did not answer. The next StillDown asks it at once.
func (c *Client) NoteDown() { c.down.Store(1) }

// StillDown returns an error if NoteDown was called and the provider is not known to
// answer again, before it is asked for its pages. Strangers can cause the call, so the
// provider is asked at most once in five seconds, and the others do not wait for that.
func (c *Client) StillDown(ctx context.Context, timeout time.Duration) error {
	last, now := c.down.Load(), c.cfg.Now().UnixNano()
	rests := last <= now && now < last+int64(restDown)
	switch {
	case last == 0:
		return nil
	case rests || !c.down.CompareAndSwap(last, now):
		return errors.New("signin: the provider did not answer a moment ago")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := c.Reach(ctx); IsDown(err) {
		return err
	}
	c.down.Store(0)
	return nil
}
