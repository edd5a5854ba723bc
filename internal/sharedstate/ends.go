package sharedstate

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// Reason is why a session has ended. The zero Reason is for one that has not.
type Reason byte

const (
	SignedOut     Reason = 's' // by the person, in this application
	Refused       Reason = 'p' // the provider refused to refresh it
	Replaced      Reason = 'r' // a new sign-in in the same browser
	ByProvider    Reason = 'l' // a logout token
	ByApplication Reason = 'a' // EndSessions
)

const writingEnd = "writing a sign-out to"

// EndSession ends one session. A sign-out overwrites any other end, since it also
// revokes the session's refresh token; other ends overwrite nothing.
func (st *State) EndSession(ctx context.Context, id session.ID, reason Reason) error {
	names, plain := st.namer.ofSession(EndedSession, id, 0), []byte{byte(reason)}
	if reason == SignedOut {
		return st.set(ctx, writingEnd, names, plain, st.cfg.TTL)
	}
	// One name is enough: an end under any of them counts. It is tempting to use st.add,
	// which is all or nothing: but what it deletes on failure may be a sign-out by then.
	_, err := st.store.Add(ctx, names[0], st.seal(names[0], plain), st.cfg.TTL)
	return failure(writingEnd, err)
}

// EndPerson ends all sessions of a person that have begun. It compares no clocks
// for that: a session notes the number that its callback finds, and any other
// number ends it. Sign-ins under way have no number yet. They find the time of this
// end, which is written first.
func (st *State) EndPerson(ctx context.Context, subject string) error {
	since := binary.BigEndian.AppendUint64(random(), uint64(st.cfg.Now().UnixMilli()))
	if err := st.setAll(ctx, st.namer.names(Since, []byte(subject)), since, st.cfg.SinceTTL); err != nil {
		return err
	}
	_, err := st.EndBegun(ctx, subject)
	return err
}

// EndBegun ends all sessions of a person that have begun, and lets sign-ins under way go
// on. The session of one that notes the number it returns is spared.
func (st *State) EndBegun(ctx context.Context, subject string) (session.Number, error) {
	number := random()
	err := st.setAll(ctx, st.namer.names(Number, []byte(subject)), number, st.cfg.PersonTTL)
	return session.Number(number), err
}

func random() []byte {
	var number session.Number
	rand.Read(number[:]) // never fails: crypto/rand
	return number[:]
}

// setAll writes an entry about a person under its first name, and under each other
// that has a value: while Config.Keys are rotated, a number under the other key
// must neither outlive this one nor end a session that has noted both.
func (st *State) setAll(ctx context.Context, names []string, plain []byte, ttl time.Duration) error {
	values, err := st.read(ctx, names)
	if err != nil {
		return err
	}
	for i, name := range names {
		if i > 0 && values[i] == nil {
			continue
		}
		if err := st.store.Set(ctx, name, st.seal(name, plain), ttl); err != nil {
			return failure(writingEnd, err)
		}
	}
	return nil
}

// numberOf combines the distinct values of a person's Number entries into one.
func numberOf(values [][]byte) (number session.Number, err error) {
	for i, v := range values {
		if len(v) != len(number) {
			return session.Number{}, ErrBroken
		}
		if slices.ContainsFunc(values[:i], func(other []byte) bool { return bytes.Equal(other, v) }) {
			continue
		}
		for i := range number {
			number[i] ^= v[i]
		}
	}
	return number, nil
}

// Person is what a callback reads about the person who signs in.
type Person struct {
	Number session.Number
	// Since is when the sessions of the person were last ended, or zero if that
	// never happened or was long ago.
	Since time.Time
	since []byte // its value, which tells it from a later one
}

// Person reads what a new session has to note.
func (st *State) Person(ctx context.Context, subject string) (Person, error) {
	var p Person
	number, since, err := st.person(ctx, subject)
	if err != nil {
		return p, err
	}
	p.since = bytes.Join(since, nil)
	for _, v := range since {
		if len(v) != len(p.Number)+8 {
			return Person{}, ErrBroken
		}
		if at := time.UnixMilli(int64(binary.BigEndian.Uint64(v[len(p.Number):]))); at.After(p.Since) {
			p.Since = at
		}
	}
	p.Number, err = numberOf(number)
	return p, err
}

// Same reports whether no EndPerson has begun since p was read. An entry that has
// only expired since then does not count.
func (st *State) Same(ctx context.Context, subject string, p Person) (bool, error) {
	_, since, err := st.person(ctx, subject)
	now := bytes.Join(since, nil)
	return err == nil && (len(now) == 0 || bytes.Equal(now, p.since)), err
}

func (st *State) person(ctx context.Context, subject string) (number, since [][]byte, err error) {
	names := append(st.namer.names(Number, []byte(subject)), st.namer.names(Since, []byte(subject))...)
	values, err := st.read(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	for i, v := range values {
		if v == nil {
			continue
		}
		plain, err := st.open(entry{names[i], v})
		switch {
		case err != nil:
			return nil, nil, err
		case i < len(names)/2:
			number = append(number, plain)
		default:
			since = append(since, plain)
		}
	}
	return number, since, nil
}

// Ended names what a logout token ends; one of the two may be empty.
type Ended struct{ Subject, SessionID string }

// ErrBusy means that another replica has been writing the same end for too long.
var ErrBusy = errors.New("signin: another logout token of the same person is being written")

const (
	endLease   = 20 * time.Second
	endPatient = 2 * time.Second // while another replica has the lease
)

// EndByProvider ends the sessions that a logout token names, up to those whose ID
// token was issued when the logout token was. Only the provider's clock counts. A
// later end is not moved back; since an end is read before it is written, this
// takes a lease.
func (st *State) EndByProvider(ctx context.Context, who Ended, issued time.Time) error {
	switch {
	case who.SessionID == "":
		return st.endByProvider(ctx, EndedSubject, who.Subject, issued)
	case who.Subject == "":
		return st.endByProvider(ctx, EndedProviderSession, who.SessionID, issued)
	}
	return errors.Join(st.endByProvider(ctx, EndedProviderSession, who.SessionID, issued),
		// A session whose ID token had no sid may be the one that is meant.
		st.endByProvider(ctx, EndedWithoutSID, who.Subject, issued))
}

func (st *State) endByProvider(ctx context.Context, kind Kind, value string, issued time.Time) error {
	names := st.namer.names(kind, []byte(value))
	lease := st.namer.names(EndLease, []byte(string(kind)+value))
	for began := time.Now(); ; {
		held, err := st.take(ctx, lease, nil, endLease)
		switch {
		case err != nil:
			return err
		case held != nil:
			// If it fails, the lease lapses by itself.
			defer func() { _ = st.ReleaseLease(context.WithoutCancel(ctx), held) }()
			return st.moveEnd(ctx, names, issued, held.inside)
		case time.Since(began) > endPatient:
			return ErrBusy
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// moveEnd writes an end unless a later one is there, or it is too late to write.
func (st *State) moveEnd(ctx context.Context, names []string, issued, inside time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, inside)
	defer cancel()
	values, err := st.read(ctx, names)
	if err != nil {
		return err
	}
	for i, v := range values {
		at, err := st.issued(entry{names[i], v})
		if err != nil {
			return err
		}
		if !issued.After(at) {
			return nil
		}
	}
	if err := ctx.Err(); err != nil { // a store may ignore it
		return failure(writingEnd, err)
	}
	return st.set(ctx, writingEnd, names, binary.BigEndian.AppendUint64(nil, uint64(issued.Unix())), st.cfg.TTL)
}

// issued is when the logout token of an end was issued; zero for no end.
func (st *State) issued(e entry) (time.Time, error) {
	if !e.there() {
		return time.Time{}, nil
	}
	plain, err := st.open(e)
	if err != nil || len(plain) != 8 {
		return time.Time{}, ErrBroken
	}
	return time.Unix(int64(binary.BigEndian.Uint64(plain)), 0), nil
}

// underWay is how long after a logout token the provider may still issue an ID
// token for a code that it made earlier.
const underWay = 10 * time.Second

// endedBy reports whether a logout token that was issued at that time ends a
// session. Both times are the provider's.
func endedBy(s *session.Session, at time.Time) bool {
	if s.IssuedAt <= at.Unix() {
		return true
	}
	return s.IssuedAt <= at.Add(underWay).Unix() && !s.Claims.Time(session.AuthTime).After(at)
}
