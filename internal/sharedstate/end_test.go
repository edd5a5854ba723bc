package sharedstate_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

// An entry that cannot be read ends what began at any time, but not for good: once
// the end is known again, people can sign in.
func TestChecksOfAnEndThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, kind := range []sharedstate.Kind{sharedstate.EndedProviderSession, sharedstate.EndedSubject} {
		s := newShared()
		l := open(t, s, issuer, client)
		entry := l.Key(kind, []byte("u1"))
		s.values[entry] = []byte("?")
		if err := l.End(t.Context(), kind, []byte("u1"), sharedstate.ByProvider, start); err != nil {
			t.Fatalf("End: got error %v; want none", err)
		}
		got := s.values[entry]
		if len(got) != 9 || time.UnixMilli(int64(binary.BigEndian.Uint64(got[1:]))) != start {
			t.Errorf("%s: got %x; want the end of what began by %v", kind, got, start)
		}
	}
}
