package sharedstate

import (
	"context"

	"github.com/gosignin/signin/internal/session"
)

// Standing is what shared state says of one generation of a session.
type Standing struct {
	Ended Reason
	next  entry // of its successor
}

// Newest reports whether shared state had no successor. Only a Standing that was
// read under the generation's lease can be relied on.
func (s Standing) Newest() bool { return !s.next.there() }

// Plain reports whether shared state says nothing about the session.
func (s Standing) Plain() bool { return s.Ended == 0 && s.Newest() }

// Look reads what shared state says of a session, in one round trip.
func (st *State) Look(ctx context.Context, s *session.Session) (Standing, error) {
	standing, _, err := st.look(ctx, s, nil)
	return standing, err
}

// look also reads another entry, given by its names.
func (st *State) look(ctx context.Context, s *session.Session, other []string) (Standing, entry, error) {
	// A Store has the slice only until it returns, so the next request can use it.
	space := st.spaces.Get().(*[]string)
	names := st.namer.deciding((*space)[:0], s)
	defer func() {
		clear(names) // each name keeps a whole string alive
		*space = names[:0]
		st.spaces.Put(space)
	}()
	own := len(names)
	names = append(names, other...)
	values, err := st.read(ctx, names)
	if err != nil {
		return Standing{}, entry{}, err
	}
	var found entry
	for i, name := range other {
		if v := values[own+i]; v != nil && !found.there() {
			found = entry{name, v}
		}
	}
	standing, err := st.judge(s, names[:own], values[:own])
	return standing, found, err
}

// judge makes a Standing of the values of the entries that decide.
func (st *State) judge(s *session.Session, names []string, values [][]byte) (standing Standing, err error) {
	var numbers [][]byte
	byProvider := false
	for i, v := range values {
		if v == nil {
			continue
		}
		e := entry{names[i], v}
		switch i % deciding {
		case 0:
			if standing.Newest() {
				standing.next = e
			}
		case 1:
			plain, err := st.open(e)
			if err != nil || len(plain) != 1 {
				return Standing{}, ErrBroken
			}
			if standing.Ended != SignedOut {
				standing.Ended = Reason(plain[0])
			}
		case 2:
			plain, err := st.open(e)
			if err != nil {
				return Standing{}, err
			}
			numbers = append(numbers, plain)
		default:
			at, err := st.issued(e)
			if err != nil {
				return Standing{}, err
			}
			byProvider = byProvider || endedBy(s, at)
		}
	}
	number, err := numberOf(numbers)
	switch {
	case err != nil:
		return Standing{}, err
	case standing.Ended != 0: // the session's own end takes precedence
	case len(numbers) > 0 && number != s.Number:
		standing.Ended = ByApplication
	case byProvider:
		standing.Ended = ByProvider
	}
	return standing, nil
}
