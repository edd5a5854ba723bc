package renew

import (
	"context"

	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/record"
)

// maxSteps is how many generations a request may be behind. Each is an expiry
// that its browser did not hear of, or, where refresh tokens rotate, an access
// token that its handler has asked for.
const maxSteps = 32

// Newest follows the successors of a record as far as they go. sealed is the
// first of them.
func (n *Renewer) Newest(ctx context.Context, r *record.Record, sealed []byte) (*record.Record, error) {
	for range maxSteps {
		next, err := n.successor(r, sealed)
		if err != nil {
			return nil, err
		}
		s, err := n.standing(ctx, next)
		switch {
		case err != nil:
			return nil, err
		case s.Ended:
			return nil, &Ended{Reason: s.Reason, Record: next}
		case s.Superseded:
			// The newest that there is has successors that were shown: this
			// browser was left behind long ago.
			return nil, ErrSuperseded
		case s.Next == nil:
			return next, nil
		}
		r, sealed = next, s.Next
	}
	return nil, ErrSuperseded
}

// follow goes where a standing that is not plain says.
func (n *Renewer) follow(ctx context.Context, r *record.Record, s ledger.Standing) (*record.Record, error) {
	switch {
	case s.Ended:
		return nil, &Ended{Reason: s.Reason, Record: r}
	case s.Superseded:
		return nil, ErrSuperseded
	}
	return n.Newest(ctx, r, s.Next)
}

// successor opens what was handed on. A successor that does not open, or is
// not this session's next generation, exists all the same: the token of the
// generation before it must not be used.
func (n *Renewer) successor(r *record.Record, sealed []byte) (*record.Record, error) {
	plain, err := n.Ledger.OpenNext(r.ID[:], r.Generation, sealed)
	if err != nil {
		return nil, ErrSuperseded
	}
	v, err := record.Parse(plain)
	if err != nil {
		return nil, ErrSuperseded
	}
	next := v.Record()
	if next.ID != r.ID || next.Generation != r.Generation+1 {
		return nil, ErrSuperseded
	}
	return next, nil
}

func (n *Renewer) standing(ctx context.Context, r *record.Record) (ledger.Standing, error) {
	v, err := r.View()
	if err != nil {
		return ledger.Standing{}, err
	}
	return n.Ledger.Look(ctx, n.Ledger.Keys(&v), r.Began)
}

// Last returns the newest generation of a session, whether or not it has
// ended: the one whose refresh token is alive.
func (n *Renewer) Last(ctx context.Context, r *record.Record) *record.Record {
	for range maxSteps {
		next := n.held(r)
		if next == nil {
			s, err := n.standing(ctx, r)
			if err != nil || s.Next == nil {
				return r
			}
			if next, err = n.successor(r, s.Next); err != nil {
				return r
			}
		}
		r = next
	}
	return r
}
