package authflow

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FromQuery combines the options of a route that starts sign-ins, route and
// returnTo, with the query of its URL. It returns a request, and a transaction to
// start with it.
//
// Anyone can write such a URL. It can only ask for more than the route does, and a
// return_to that may not be followed is ignored.
func (c *Client) FromQuery(q url.Values, route Request, returnTo string) (*Request, *Transaction, error) {
	req, tx := &route, &Transaction{ReturnTo: returnTo}
	if path, err := c.ReturnTo.Path(q.Get("return_to")); err == nil {
		tx.ReturnTo = path
	}
	if q.Has("iss") {
		if err := c.initiated(q, req, tx); err != nil {
			return nil, nil, err
		}
	}
	if q.Get("max_age") != "" || strings.TrimSpace(q.Get("acr_values")) != "" {
		var err error
		if tx.Asked, err = req.demand(q, c.Logto); err != nil {
			return nil, nil, err
		}
	}
	if slices.Contains(q[promptName], login) {
		req.ask(true)
	}
	return req, tx, nil
}

// In a query, prompt=login asks for another person to be able to sign in than the one
// that the provider remembers. Other values are ignored.
const promptName, login = "prompt", "login"

// ask makes sure that the provider can ask the person, and if again is true that it
// does, though it remembers one.
func (r *Request) ask(again bool) {
	r.Prompt = slices.DeleteFunc(slices.Clone(r.Prompt), func(s string) bool { return s == "none" })
	if again && !slices.Contains(r.Prompt, login) {
		r.Prompt = append(r.Prompt, login)
	}
}

// initiated reads the query of a sign-in that the provider starts:
// https://openid.net/specs/openid-connect-core-1_0.html#ThirdPartyInitiatedLogin
func (c *Client) initiated(q url.Values, req *Request, tx *Transaction) error {
	if iss := q["iss"]; len(iss) != 1 || iss[0] != c.Issuer {
		return errors.New("signin: iss is not this provider's issuer, or is there twice")
	}
	if path, err := c.ReturnTo.URL(q.Get("target_link_uri")); err == nil {
		tx.ReturnTo = path
	}
	if req.LoginHint == "" {
		req.LoginHint = q.Get("login_hint")
		if req.Check(c.Logto) != nil {
			req.LoginHint = ""
		}
	}
	return nil
}

// maxClasses limits what a link can put into the cookie of a transaction.
const maxClasses = 512

// demand returns what a query asks for besides the demand of r, and makes sure that
// the provider can ask the person.
func (r *Request) demand(q url.Values, logto bool) (Demand, error) {
	classes := q.Get("acr_values")
	if len(classes) > maxClasses {
		return Demand{}, errors.New("signin: acr_values is longer than 512 bytes")
	}
	asked := Demand{}
	if classes := strings.Fields(classes); len(classes) > 0 {
		asked.ACR = classes
	}
	if maxAge := q.Get("max_age"); maxAge != "" {
		seconds, err := strconv.ParseUint(maxAge, 10, 31)
		if err != nil {
			return Demand{}, errors.New("signin: max_age is not a number of seconds")
		}
		asked.MaxAge, asked.MaxAgeAsked = time.Duration(seconds)*time.Second, true
	}
	if _, possible := r.Demand.Besides(asked); !possible {
		return Demand{}, errors.New("signin: acr_values has no class that this route asks for")
	}
	if err := (&Request{Demand: asked}).Check(logto); err != nil {
		return Demand{}, err
	}
	// With "none" the provider could not ask the person. With max_age alone, Logto
	// only says when the person authenticated; with "login" it asks again.
	r.ask(logto)
	return asked, nil
}

// CheckLink returns an error if a link to a route that starts sign-ins cannot ask for
// the classes of d: the route would answer 400 to it.
func (d Demand) CheckLink() error {
	if len(strings.Join(d.ACR, " ")) > maxClasses {
		return errors.New("signin: its classes of authentication are longer than 512 bytes")
	}
	return (&Request{Demand: Demand{ACR: d.ACR}}).Check(false)
}
