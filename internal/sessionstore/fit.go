package sessionstore

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/session"
)

// Steps are what is done so that the answer with a session's cookies passes the
// proxies that people have. Each includes those before it.
type Steps int

const (
	Whole         Steps = iota // nothing
	WithoutAccess              // the access token is kept elsewhere, or fetched again
	WithoutHint                // the ID token's header and signature, a hint at sign-out, are left out
	OverBudget                 // proxies must be told to let it through; by default in a second cookie
	TooLarge                   // nothing helps
)

// Decide returns the steps for a session. sizes are those of its cookies: with all of
// it, without its access token, and without the ID token's header and signature as
// well. room is what the answer has for them.
func Decide(sizes [3]int, room int) Steps {
	for steps, size := range sizes {
		if size < room {
			return Steps(steps)
		}
	}
	if sizes[WithoutHint] == unfit {
		return TooLarge
	}
	return OverBudget
}

// unfit is the size of what the store cannot keep at all.
const unfit = math.MaxInt

// Fit returns what of a session is to be saved, and which steps that takes. others is
// the size of the other cookies of the answer, and of its redirect. If pinned, the
// access token stays, as no other place takes it.
//
// Sessions on the server lose a part only if they exceed what a session can be.
func (st *Store) Fit(r *http.Request, s *session.Session, others int, pinned bool) (*session.Session, Steps) {
	kept := [...]session.Session{Whole: *s, WithoutAccess: *s, WithoutHint: *s}
	kept[WithoutHint].IDHeader, kept[WithoutHint].IDSignature = "", ""
	if !pinned {
		kept[WithoutAccess].AccessToken, kept[WithoutHint].AccessToken = session.Packed{}, session.Packed{}
	}
	room := cookie.Budget - others
	if st.OnServer() {
		room = cookie.Budget
	}
	var sizes [3]int
	for i := range kept {
		if sizes[i] = st.measure(r, &kept[i]); sizes[i] < room {
			break // those that follow are not needed
		}
	}
	steps := Decide(sizes, room)
	return &kept[min(steps, WithoutHint)], steps
}

// measure returns how much of the budget of an answer the cookies of a session take.
// It is nothing for one on the server.
func (st *Store) measure(r *http.Request, s *session.Session) int {
	plain, err := s.Append(nil)
	switch {
	case err != nil:
		return unfit
	case st.OnServer():
		return 0
	}
	kept, w := st.unsaved(), cookie.Answer{}
	kept.Values[valueKey] = base64.RawURLEncoding.EncodeToString(st.noID.Seal(nil, plain))
	kept.Options = st.options(longest)
	if st.store.Save(r, w, kept) != nil {
		return unfit // or the store is broken, which Save finds
	}
	return cookie.AnswerSize(w.Header(), st.name)
}

// longest is an age that takes as many digits as any.
const longest = 365 * 24 * time.Hour

// MakeRoom withdraws the session cookies from an answer if they leave no room for its
// redirect to the given address. A later answer sets them: shared state has what a
// refresh has brought.
func (st *Store) MakeRoom(w http.ResponseWriter, location string) {
	redirect := http.Header{"Location": {location}}
	if cookie.AnswerSize(w.Header(), st.name)+cookie.AnswerSize(redirect, "") >= cookie.Budget {
		st.Withdraw(w)
	}
}

// tooLarge is the error for a session that two cookies cannot hold.
func tooLarge(s *session.Session, err error) error {
	name, size := largest(s.Claims.JSON())
	return fmt.Errorf("%w: claims of %d bytes (the largest is %.64q with %d), userinfo of %d and a refresh token of %d do not fit cookies of %d; "+
		"ask for fewer claims, or set Config.Store to a server-side store: %w",
		ErrTooLarge, len(s.Claims.Payload()), name, size, len(s.Claims.Extra()), len(s.RefreshToken), cookie.Max, err)
}

// largest returns the claim that takes most room.
func largest(claims []byte) (name string, size int) {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(claims, &members) // they were parsed before
	for n, value := range members {
		if len(value) > size || len(value) == size && n < name {
			name, size = n, len(value)
		}
	}
	return name, size
}
