package lifecycle

import (
	"sync"

	"github.com/gosignin/signin/internal/session"
)

// maxTold is how many ends are remembered as told.
const maxTold = 4096

// told remembers which ends this process has reported. The zero value has none.
type told struct {
	mu   sync.Mutex
	ends map[end]struct{}
}

type end struct {
	id     session.ID
	reason Reason
}

// FirstTold reports whether this process has not reported yet that a session has ended
// for a reason. It forgets what was reported when that is too much to remember: then an
// end may be reported again.
func (l *Sessions) FirstTold(id session.ID, reason Reason) bool {
	l.told.mu.Lock()
	defer l.told.mu.Unlock()
	e := end{id, reason}
	if _, again := l.told.ends[e]; again {
		return false
	}
	if l.told.ends == nil || len(l.told.ends) >= maxTold {
		l.told.ends = make(map[end]struct{})
	}
	l.told.ends[e] = struct{}{}
	return true
}
