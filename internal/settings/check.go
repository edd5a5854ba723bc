package settings

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
)

// Checker collects the mistakes in a configuration. The zero value has none.
type Checker struct{ mistakes []error }

// Add adds what is wrong with a field.
func (c *Checker) Add(field string, err error) {
	c.mistakes = append(c.mistakes, fmt.Errorf("signin: Config.%s %w", field, err))
}

// Err joins all mistakes; nil if there are none.
func (c *Checker) Err() error { return errors.Join(c.mistakes...) }

// Check returns what a rule makes of a field's value, and adds the rule's error.
func Check[In, Out any](c *Checker, field string, in In, rule func(In) (Out, error)) Out {
	out, err := rule(in)
	if err != nil {
		c.Add(field, err)
	}
	return out
}

// Keys returns a copy of the keys, which have at least least bytes. Without any, on
// loopback alone, it returns a random one. base is the application's BaseURL, nil if that
// is a mistake.
func Keys(c *Checker, given [][]byte, least int, base *url.URL) [][]byte {
	var keys [][]byte
	for i, k := range given {
		if len(k) < least {
			c.Add(fmt.Sprintf("Keys[%d]", i), fmt.Errorf("has %d bytes; needs %d or more: openssl rand -hex 32", len(k), least))
		}
		keys = append(keys, slices.Clone(k))
	}
	if len(keys) > 0 {
		return keys
	}
	if base == nil || !LoopbackInBrowsers(base.Hostname()) {
		c.Add("Keys", errors.New("are missing; make one with openssl rand -hex 32 (optional only while BaseURL is on loopback)"))
	}
	random := make([]byte, least)
	rand.Read(random) // never fails: crypto/rand
	return [][]byte{random}
}
