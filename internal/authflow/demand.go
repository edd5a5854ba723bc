package authflow

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Demand is what a guard asks of an authentication: how long ago it may have been,
// and of which class it must be. The zero Demand asks for nothing. It is not
// changed once it is made.
type Demand struct {
	MaxAge      time.Duration
	MaxAgeAsked bool
	ACR         []string // one of these, if there are any
}

// And returns the demand that meets both d and o. It is not possible if they have
// no class of authentication in common.
func (d Demand) And(o Demand) (both Demand, possible bool) {
	if o.MaxAgeAsked && (!d.MaxAgeAsked || o.MaxAge < d.MaxAge) {
		d.MaxAge, d.MaxAgeAsked = o.MaxAge, true
	}
	if len(d.ACR) == 0 {
		d.ACR = o.ACR
		return d, true
	}
	if len(o.ACR) > 0 {
		d.ACR = slices.DeleteFunc(slices.Clone(d.ACR), func(class string) bool { return !slices.Contains(o.ACR, class) })
	}
	return d, len(d.ACR) > 0
}

// Set writes the demand into the query of a route that starts sign-ins, where
// [Client.FromQuery] reads it. That anyone can write such a URL does no harm: the
// guard decides, and all that the query can do is to ask for more.
func (d Demand) Set(q url.Values) {
	if d.MaxAgeAsked {
		q.Set("max_age", strconv.FormatInt(min(int64(d.MaxAge/time.Second), math.MaxInt32), 10))
	}
	if len(d.ACR) > 0 {
		q.Set("acr_values", strings.Join(d.ACR, " "))
	}
}
