package provider

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Whoever has seen an old edition is served a newer one without a flight.
func TestSharedServesWhatIsNewer(t *testing.T) {
	t.Parallel()
	var flights atomic.Int32
	s := shared[int]{op: "x", now: time.Now, get: func(context.Context) (int, *Error) { return int(flights.Add(1)), nil }}
	for range 2 {
		got, err := s.fetch(context.Background(), 0, true)
		if err != nil || got.value != 1 || got.number != 1 {
			t.Errorf("got %+v, %v; want the first edition", got, err)
		}
	}
}

// However many ask at once for what nobody has, it is fetched once.
func TestSharedFliesOnce(t *testing.T) {
	t.Parallel()
	var flights atomic.Int32
	s := shared[int]{op: "x", now: time.Now, get: func(context.Context) (int, *Error) { return int(flights.Add(1)), nil }}
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if got, err := s.fetch(context.Background(), 0, false); err != nil || got.value != 1 {
				t.Errorf("got %+v, %v; want the first edition", got, err)
			}
		})
	}
	all.Wait()
	if flights.Load() != 1 {
		t.Errorf("got %d flights; want 1", flights.Load())
	}
}
