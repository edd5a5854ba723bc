package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// maxHeld is how many sessions are held at most.
const maxHeld = 4096

// held is a session that could not be written to shared state.
type held struct {
	session *session.Session
	until   time.Time // after which no browser can have the generation before it
}

// hold keeps next until it can be written, and returns it.
func (g *Group) hold(next *session.Session) *session.Session {
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
	g.held[next.ID] = held{next, g.Now().Add(g.Keep)}
	if !g.writing {
		g.writing = true
		go g.writeHeld()
	}
	return next
}

// rewrite is how often the writing of held sessions is tried.
const rewrite = time.Second

// writeHeld writes what is held, until it is written. It is tempting to leave that
// to the next request. But that may reach another replica and wait there until the
// lease has lapsed; then it uses the token again, and the session ends.
func (g *Group) writeHeld() {
	for {
		<-time.After(rewrite)
		all := g.unwritten()
		if len(all) == 0 {
			return
		}
		for _, h := range all {
			before := *h.session
			before.Generation--
			err := guard(func() error {
				ctx, cancel := context.WithTimeout(context.Background(), Lease) // there is no request
				defer cancel()
				_, err := g.keep(ctx, &before, h.session)
				return err
			})
			alone := Over(err) || errors.Is(err, session.ErrTooLarge) || errors.Is(err, sharedstate.ErrFull)
			if err != nil && !alone {
				break // the others would fail too
			}
		}
	}
}

// unwritten returns what is held. If there is nothing, the caller stops writing.
func (g *Group) unwritten() (all []held) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, h := range g.held {
		if !g.Now().Before(h.until) {
			delete(g.held, id)
			continue
		}
		all = append(all, h)
	}
	g.writing = len(all) > 0
	return all
}

// drop stops holding next.
func (g *Group) drop(next *session.Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, there := g.held[next.ID]; there && h.session.Generation == next.Generation {
		delete(g.held, next.ID)
	}
}

// heldAt returns a generation of a session if it could not be written yet, or nil.
func (g *Group) heldAt(id session.ID, generation uint64) *session.Session {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, there := g.held[id]; there && h.session.Generation == generation {
		return h.session
	}
	return nil
}

func (g *Group) heldAfter(s *session.Session) *session.Session { return g.heldAt(s.ID, s.Generation+1) }
