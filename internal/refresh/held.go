package refresh

import (
	"context"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// maxHeld is how many sessions are held at most.
const maxHeld = 4096

// held is a session that could not be written to shared state.
type held struct {
	session *session.Session
	shown   uint64
	until   time.Time // the end of the lease under which it was fetched, at the latest
}

// hold keeps next until it can be written, and returns it.
func (g *Group) hold(next *session.Session, shown uint64) *session.Session {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held[next.ID].session == next {
		return next
	}
	if len(g.held) >= maxHeld {
		for id := range g.held { // any of them: its browser most likely has it
			delete(g.held, id)
			break
		}
	}
	g.held[next.ID] = held{next, shown, g.Now().Add(Lease)}
	if !g.writing {
		g.writing = true
		go g.writeHeld()
	}
	return next
}

// rewrite is how often writing what is held is tried.
const rewrite = time.Second

// writeHeld writes what is held while its lease keeps other replicas from using
// the token before it. It is tempting to leave that to the next request. But
// that may reach another replica and wait there until the lease has lapsed;
// then it uses the token again, and the session is over.
func (g *Group) writeHeld() {
	for {
		<-time.After(rewrite)
		all := g.heldUnderLease()
		if len(all) == 0 {
			return
		}
		for _, h := range all {
			before := *h.session
			before.Generation--
			err := guard(func() error {
				ctx, cancel := context.WithTimeout(context.Background(), Lease) // there is no request
				defer cancel()
				_, err := g.keep(ctx, &before, h.session, h.shown)
				return err
			})
			if err != nil && !Over(err) {
				break // the others would fail too
			}
		}
	}
}

// heldUnderLease returns what is held under a lease that has not lapsed. If
// there is nothing, the caller stops writing.
func (g *Group) heldUnderLease() (all []held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.held {
		if g.Now().Before(h.until) {
			all = append(all, h)
		}
	}
	g.writing = len(all) > 0
	return all
}

func (g *Group) drop(id session.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.held, id)
}

// heldAfter returns the successor of s if it could not be written yet, or nil.
func (g *Group) heldAfter(s *session.Session) *session.Session {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, there := g.held[s.ID]; there && h.session.Generation == s.Generation+1 {
		return h.session
	}
	return nil
}
