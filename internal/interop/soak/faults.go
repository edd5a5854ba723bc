//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The faults, by name. One is at work at a time.
const (
	killReplica = "replica"      // a replica is killed, and another one replaces it
	killRedis   = "redis-kill"   // Redis is killed, and restarted with its data
	pauseRedis  = "redis-pause"  // Redis does not answer for a while
	forgetRedis = "redis-memory" // Redis is killed, and restarted without its data; once
)

var (
	redisFaults    = []string{killRedis, pauseRedis, forgetRedis}
	providerFaults = []string{string(answers500), string(resets), string(hangs), string(garbage)}
	allFaults      = slices.Concat([]string{killReplica}, redisFaults, providerFaults)
)

// chooseFaults reads a list of faults, "all" or "none".
func chooseFaults(list string) ([]string, error) {
	switch list {
	case "all":
		return allFaults, nil
	case "none", "":
		return nil, nil
	}
	chosen := strings.Split(list, ",")
	for _, name := range chosen {
		if !slices.Contains(allFaults, name) {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(allFaults, ", "))
		}
	}
	return chosen, nil
}

// A troublemaker makes one fault after another.
type troublemaker struct {
	*world
	random *rand.Rand
	round  []string  // what is left of this round
	forget time.Time // when Redis is to lose its data; zero: never, or it has
}

func newTroublemaker(w *world) *troublemaker {
	t := &troublemaker{world: w, random: rand.New(rand.NewPCG(w.seed, 0))}
	if slices.Contains(t.faults, forgetRedis) {
		t.forget = w.began.Add(w.duration / 2)
	}
	return t
}

// work makes faults until day ends.
func (t *troublemaker) work(ctx, day context.Context) error {
	for len(t.faults) > 0 {
		pass(day, t.between(time.Second, 3*time.Second))
		if day.Err() != nil {
			return nil
		}
		name := t.next()
		if name == "" {
			continue
		}
		began := time.Now()
		over := t.journal.fault(name)
		err := t.make(day, name)
		over()
		t.tell("%s, %.1f s", name, time.Since(began).Seconds())
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// next returns the fault whose turn it is, or "". Each round has all of them in
// another order. But Redis loses its data only once, in the middle of the run,
// since that costs sessions.
func (t *troublemaker) next() string {
	if !t.forget.IsZero() && time.Now().After(t.forget) {
		t.forget = time.Time{}
		return forgetRedis
	}
	if len(t.round) == 0 {
		t.round = slices.DeleteFunc(slices.Clone(t.faults), func(name string) bool { return name == forgetRedis })
		t.random.Shuffle(len(t.round), func(i, j int) { t.round[i], t.round[j] = t.round[j], t.round[i] })
	}
	if len(t.round) == 0 {
		return ""
	}
	name := t.round[0]
	t.round = t.round[1:]
	return name
}

// between is a time between least and most, or less if the run is short.
func (t *troublemaker) between(least, most time.Duration) time.Duration {
	d := least + time.Duration(t.random.Int64N(int64(most-least)))
	return min(d, t.duration/25)
}

// make makes one fault, and ends it.
func (t *troublemaker) make(day context.Context, name string) error {
	switch name {
	case killReplica:
		slot := t.random.IntN(t.replicas)
		t.journal.killed(t.fleet.kill(slot))
		pass(day, t.between(time.Second, 2*time.Second))
		return t.fleet.revive(slot)
	case killRedis:
		t.redis.kill()
		pass(day, t.between(500*time.Millisecond, 2*time.Second))
		return t.redis.start()
	case pauseRedis:
		if err := t.redis.pause(); err != nil {
			return err
		}
		pass(day, t.between(time.Second, 3*time.Second))
		return t.redis.resume()
	case forgetRedis:
		t.journal.forgets()
		defer t.journal.remembers()
		t.redis.kill()
		if err := t.redis.forget(); err != nil {
			return err
		}
		pass(day, t.between(500*time.Millisecond, 2*time.Second))
		return t.redis.start()
	}
	t.gate.fail(failure(name))
	defer t.gate.fail("")
	pass(day, t.between(2*time.Second, 6*time.Second))
	return nil
}
