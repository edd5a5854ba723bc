package authflow

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Demand is what is asked of an authentication. The zero Demand asks for nothing.
type Demand struct {
	// MaxAge, if MaxAgeAsked, is how long ago the authentication may have been, in
	// whole seconds; zero asks for the password each time. A fraction of a second
	// is a mistake: rounded up it would demand less than the application asked for,
	// and rounded down it could become zero by accident.
	MaxAge      time.Duration `json:",omitzero"`
	MaxAgeAsked bool          `json:",omitzero"`
	// ACR are the acceptable authentication context classes, the best first.
	ACR []string `json:",omitempty"`
}

// And returns the demand that meets both d and o. It is impossible if they have no
// class in common.
func (d Demand) And(o Demand) (both Demand, possible bool) {
	if o.MaxAgeAsked && (!d.MaxAgeAsked || o.MaxAge < d.MaxAge) {
		d.MaxAge, d.MaxAgeAsked = o.MaxAge, true
	}
	switch {
	case len(d.ACR) == 0:
		d.ACR = o.ACR
	case len(o.ACR) > 0:
		d.ACR = slices.DeleteFunc(slices.Clone(d.ACR), func(class string) bool { return !slices.Contains(o.ACR, class) })
		return d, len(d.ACR) > 0
	}
	return d, true
}

// Besides returns what to ask of the provider for d, the demand of a route, and
// another that comes in a query. The answer has to be in both lists of classes, so
// those in both come first. The rest of the route's list stays: without it, a link
// could keep the provider from doing what the route prefers. It is impossible if
// the lists have no class in common.
func (d Demand) Besides(asked Demand) (ask Demand, possible bool) {
	ask, possible = asked.And(d)
	for _, class := range d.ACR {
		if !slices.Contains(ask.ACR, class) {
			ask.ACR = append(slices.Clip(ask.ACR), class)
		}
	}
	return ask, possible
}

// noClasses says why a demand for classes is a mistake at Logto. If it were not, people
// would be sent to step up again and again, and no step-up would help.
const noClasses = "Logto never states the class of an authentication (acr): ask for its time instead " +
	"(MaxAge, AuthenticatedWithin), or let Logto demand a second factor, in its own settings or those of an organization"

// CheckLogto returns an error if Logto cannot meet d.
func (d Demand) CheckLogto() error {
	if len(d.ACR) == 0 {
		return nil
	}
	return fmt.Errorf("signin: ACR: %.64q cannot be met: %s", strings.Join(d.ACR, " "), noClasses)
}

// IsZero reports whether d asks for nothing.
func (d Demand) IsZero() bool { return !d.MaxAgeAsked && len(d.ACR) == 0 }

// Met returns an error unless an authentication at authTime, of the class acr, is
// what d asks for. A zero authTime and an empty acr are those that a provider does
// not state, and meet no demand.
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation (12), (13)
func (d Demand) Met(authTime time.Time, acr string, now time.Time) error {
	// A time in the future is a mistake of the provider, and would stay fresh.
	recent := authTime.Unix() > 0 && now.Sub(authTime)-skew <= d.MaxAge && now.Sub(authTime) >= -skew
	switch {
	case d.MaxAgeAsked && !recent:
		return fmt.Errorf("signin: needs an authentication within %v", d.MaxAge)
	case len(d.ACR) > 0 && (acr == "" || !slices.Contains(d.ACR, acr)):
		return fmt.Errorf("signin: needs an authentication of class %q", d.ACR)
	}
	return nil
}

// Or returns the strictest demand that is met whenever d or o is met.
func (d Demand) Or(o Demand) Demand {
	either := Demand{MaxAge: max(d.MaxAge, o.MaxAge), MaxAgeAsked: d.MaxAgeAsked && o.MaxAgeAsked}
	if !either.MaxAgeAsked {
		either.MaxAge = 0
	}
	if len(d.ACR) > 0 && len(o.ACR) > 0 {
		others := slices.DeleteFunc(slices.Clone(o.ACR), func(class string) bool { return slices.Contains(d.ACR, class) })
		either.ACR = slices.Concat(d.ACR, others)
	}
	return either
}

// Set writes the demand into an authorization request, or into the query of a
// route that starts sign-ins, for [Client.FromQuery]. Anyone can write such a URL.
// That is harmless: a guard decides, and the query can only ask for more.
func (d Demand) Set(q url.Values) {
	if d.MaxAgeAsked {
		q.Set("max_age", strconv.FormatInt(min(int64(d.MaxAge/time.Second), math.MaxInt32), 10))
	}
	if len(d.ACR) > 0 {
		q.Set("acr_values", strings.Join(d.ACR, " "))
	}
}
