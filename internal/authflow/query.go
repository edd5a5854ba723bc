package authflow

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FromQuery returns the request of a route that starts sign-ins, together with what
// the query of its URL asks for, and a transaction to start with it. route is what
// the route's own options ask for, and returnTo the path that they lead to.
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
		tx.Demanded = true
		if err := req.demand(q, c.Logto); err != nil {
			return nil, nil, err
		}
	}
	return req, tx, nil
}

// initiated reads what a provider adds that starts a sign-in here:
// https://openid.net/specs/openid-connect-core-1_0.html#ThirdPartyInitiatedLogin
func (c *Client) initiated(q url.Values, req *Request, tx *Transaction) error {
	if iss := q["iss"]; len(iss) != 1 || iss[0] != c.Issuer {
		return errors.New("signin: a sign-in of another issuer was to be started")
	}
	if path, err := c.ReturnTo.URL(q.Get("target_link_uri")); err == nil {
		tx.ReturnTo = path
	}
	if req.LoginHint == "" {
		hinted := *req
		hinted.LoginHint = q.Get("login_hint")
		if hinted.Check(c.Logto) == nil {
			*req = hinted
		}
	}
	return nil
}

// demand narrows r by what a guard demands that wants a step-up.
func (r *Request) demand(q url.Values, logto bool) error {
	asked := Demand{ACR: strings.Fields(q.Get("acr_values"))}
	if maxAge := q.Get("max_age"); maxAge != "" {
		seconds, err := strconv.ParseUint(maxAge, 10, 31)
		if err != nil {
			return errors.New("signin: max_age is not a number of seconds")
		}
		asked.MaxAge, asked.MaxAgeAsked = time.Duration(seconds)*time.Second, true
	}
	var possible bool
	if r.Demand, possible = asked.And(r.Demand); !possible {
		return errors.New("signin: acr_values names none of those that this route asks for")
	}
	// "none" would show the person nothing. Logto heeds max_age by saying when they
	// authenticated; it asks them again only with "login".
	r.Prompt = slices.DeleteFunc(slices.Clone(r.Prompt), func(s string) bool { return s == "none" })
	if logto && !slices.Contains(r.Prompt, "login") {
		r.Prompt = append(r.Prompt, "login")
	}
	return r.Check(logto)
}
