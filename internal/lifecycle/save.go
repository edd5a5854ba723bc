package lifecycle

import (
	"errors"
	"net/http"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
)

// save gives a session to the store. others is the size of the other cookies of the
// answer, and of its redirect. If save fails, no session cookie is set.
func (l *Sessions) save(w http.ResponseWriter, r *http.Request, s *session.Session, now time.Time, others int, fresh bool) error {
	err := l.Store.Save(w, r, l.fit(r, s, now, others), l.Limits.Left(s, now), fresh)
	if err == nil {
		return nil
	}
	l.Store.Withdraw(w)
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	return Because(ErrStore, err)
}

// fit returns what of a session its store gets, so that the answer passes proxies. The
// access token that leaves it is first kept in shared state. If that does not take it,
// it stays, unless it does not fit two cookies either; then it is fetched again when it
// is wanted.
func (l *Sessions) fit(r *http.Request, s *session.Session, now time.Time, others int) *session.Session {
	rest, steps := l.Store.Fit(r, s, others, false)
	if steps != sessionstore.Whole && steps != sessionstore.TooLarge && s.AccessToken != (session.Packed{}) {
		if err := l.State.KeepAccess(r.Context(), s, now); err != nil {
			l.Log.WarnContext(r.Context(), "signin: shared state does not take the access token of a large session, so its cookies are longer", "error", err)
			if pinned, more := l.Store.Fit(r, s, others, true); more != sessionstore.TooLarge {
				rest, steps = pinned, more
			}
		}
	}
	if steps == sessionstore.OverBudget {
		l.warned.Do(func() {
			l.Log.WarnContext(r.Context(), "signin: a session is so large that proxies with default settings answer 502; "+
				"set proxy_buffer_size 8k in nginx, and as much in other proxies, ask for fewer claims, or set Config.Store to a server-side store")
		})
	}
	return rest
}
