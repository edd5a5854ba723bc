package provider

import (
	"context"
	"net/http"
	"time"
)

const (
	// maxSignIns is how many callbacks may ask the provider at once.
	maxSignIns = 32
	// admitWait is how long a callback waits to be one of them, and retryWait when it is
	// to come back if it does not get in.
	admitWait, retryWait = 20 * time.Second, 5 * time.Second
)

const errCrowded = fault("too many sign-ins are being completed at once")

// entrance is where callbacks wait. A slot of waiting or inside is taken by sending.
type entrance struct {
	client          *Client // with connections for callbacks
	inside, waiting chan struct{}
}

// entranceFor makes the entrance to c, whose documents the callbacks share.
func entranceFor(c *Client) *entrance {
	own := *c
	own.http = newHTTPClient(c.cfg.HTTPClient)
	if transport, ok := own.http.Transport.(*http.Transport); ok {
		own.http.Transport = transport.Clone()
	}
	return &entrance{client: &own, inside: make(chan struct{}, maxSignIns), waiting: make(chan struct{}, maxWaiting)}
}

// Admit lets a callback ask the provider, and returns the Client that it is to use
// until it calls leave. Anyone can bring many callbacks at once, so 32 are let in at a
// time. They have connections that no refresh, and no fetch of metadata and keys,
// needs or waits for, unless Config.HTTPClient has a Transport of another type than
// [http.Transport], which cannot be copied.
//
// The error is Unavailable if there is no room within 20 seconds. The provider has
// been asked nothing then, so the code is still good.
func (c *Client) Admit(ctx context.Context) (admitted *Client, leave func(), err error) {
	e := c.entrance
	in := func() (*Client, func(), error) { return e.client, func() { <-e.inside }, nil }
	select {
	case e.inside <- struct{}{}:
		return in()
	default:
	}
	crowded := &Error{Kind: Unavailable, Op: opExchange, RetryAfter: retryWait, Err: errCrowded}
	select {
	case e.waiting <- struct{}{}:
		defer func() { <-e.waiting }()
	default:
		return nil, nil, crowded
	}
	timer := time.NewTimer(admitWait)
	defer timer.Stop()
	select {
	case e.inside <- struct{}{}:
		return in()
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, nil, crowded
}
