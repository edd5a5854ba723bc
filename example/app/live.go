package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gosignin/signin"
)

// liveEvery is how late the live page may notice that a session has ended, and how often
// it changes.
const liveEvery = 5 * time.Second

// Live is behind RequireAuth. It shows what this application knows of the session, and
// /static/live.js keeps that up to date with the events of LiveEvents.
func Live(auth *signin.Auth) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		now, err := lookAt(r)
		if err != nil {
			auth.HandleError(w, r, err) // lookAt has no errors but those of package signin
			return
		}
		w.Header().Set("Content-Security-Policy", policy+"; script-src 'self'; connect-src 'self'")
		render(w, http.StatusOK, "live", struct {
			view
			Now liveness
		}{viewOf(r, "live.title"), now})
	}
}

// LiveEvents is behind RequireAuth: a stream of server-sent events. Guards look at a
// session when a request arrives, and this one goes on for as long as the page is open.
// So WhileSignedIn ends it when the person is signed out, wherever that happens.
func LiveEvents(auth *signin.Auth) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := auth.WhileSignedIn(r.Context(), liveEvery)
		defer cancel()
		out := http.NewResponseController(w)
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		for {
			now, err := lookAt(r)
			if err != nil {
				sayOver(w, err)
				return // the browser comes back, and the guard says what is wrong
			}
			// Serve's deadline is for pages. Without any, a browser that does not read would
			// hold this handler in a write, where it does not notice the end of ctx.
			_ = out.SetWriteDeadline(time.Now().Add(2 * liveEvery))
			data, _ := json.Marshal(now) // two texts
			if _, err := fmt.Fprintf(w, "event: session\ndata: %s\n\n", data); err != nil || out.Flush() != nil {
				return // the browser has gone
			}
			select {
			case <-tick.C:
			case <-Stopping(r.Context()):
				return
			case <-ctx.Done():
				sayOver(w, context.Cause(ctx))
				return
			}
		}
	}
}

// sayOver tells the page, if the person is signed out, so that it does not come back.
func sayOver(w http.ResponseWriter, err error) {
	if errors.Is(err, signin.ErrNotSignedIn) {
		_, _ = fmt.Fprint(w, "event: over\ndata:\n\n") // sent when the handler returns
	}
}

// liveness is what the page shows. The names are the IDs of its elements.
type liveness struct {
	Looked string `json:"looked"` // the time now
	Token  string `json:"token"`  // the time at which the access token expires
}

// lookAt asks for the access token, which package signin renews before it expires.
func lookAt(r *http.Request) (liveness, error) {
	token, err := signin.AccessToken(r.Context())
	if err != nil {
		return liveness{}, err
	}
	const layout = "15:04:05 UTC"
	return liveness{time.Now().UTC().Format(layout), token.Expiry.UTC().Format(layout)}, nil
}
