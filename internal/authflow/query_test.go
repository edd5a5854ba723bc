package authflow_test

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// asked are queries of a route that starts sign-ins.
var asked = []struct {
	name, query string
	route       request
	change      func(*request)
	returnTo    string
	demanded    bool
	wrong       string
}{
	{name: "nothing", returnTo: "/home"},
	{name: "a return_to", query: "return_to=/x?y", returnTo: "/x?y"},
	{name: "a return_to elsewhere is ignored", query: "return_to=//evil.test", returnTo: "/home"},
	{name: "a return_to that is a route is ignored", query: "return_to=/sign-in", returnTo: "/home"},
	{name: "parameters of a request are ignored", query: "login_hint=x&prompt=none&target_link_uri=https://app.test/x&scope=y", returnTo: "/home"},

	{name: "a provider's start", query: "iss=" + issuer, returnTo: "/home"},
	{name: "a provider's target", query: "return_to=/x&target_link_uri=https://app.test/y&iss=" + issuer, returnTo: "/y"},
	{name: "a provider's target elsewhere is ignored", query: "return_to=/x&target_link_uri=https://evil.test/y&iss=" + issuer, returnTo: "/x"},
	{name: "a provider's hint", query: "login_hint=kim&iss=" + issuer, returnTo: "/home", change: func(r *request) { r.LoginHint = "kim" }},
	{name: "a provider's hint beside the route's own", query: "login_hint=kim&iss=" + issuer, route: request{LoginHint: "lee"}, returnTo: "/home"},
	{name: "a provider's hint beside a magic link", query: "login_hint=kim&iss=" + issuer, route: request{OneTimeToken: "t", OneTimeEmail: "a@b.c"}, returnTo: "/home"},
	{name: "a provider's hint that is too long", query: "login_hint=" + strings.Repeat("x", 1025) + "&iss=" + issuer, returnTo: "/home"},
	{name: "another issuer's start", query: "iss=https://evil.test", wrong: "another issuer"},
	{name: "an issuer that is empty", query: "iss=", wrong: "another issuer"},
	{name: "two issuers", query: "iss=" + issuer + "&iss=" + issuer, wrong: "another issuer"},

	{name: "a maximum age", query: "max_age=60", returnTo: "/home", demanded: true,
		change: func(r *request) { r.MaxAge, r.MaxAgeAsked, r.Prompt = time.Minute, true, []string{"login"} }},
	{name: "a maximum age of zero", query: "max_age=0", returnTo: "/home", demanded: true,
		change: func(r *request) { r.MaxAge, r.MaxAgeAsked, r.Prompt = 0, true, []string{"login"} }},
	{name: "a longer maximum age than the route's", query: "max_age=60", route: request{Demand: demand{MaxAge: time.Second, MaxAgeAsked: true}}, returnTo: "/home", demanded: true,
		change: func(r *request) { r.Prompt = []string{"login"} }},
	{name: "a shorter maximum age than the route's", query: "max_age=1", route: request{Demand: demand{MaxAge: time.Minute, MaxAgeAsked: true}}, returnTo: "/home", demanded: true,
		change: func(r *request) { r.MaxAge, r.Prompt = time.Second, []string{"login"} }},
	{name: "a step-up is not silent", query: "max_age=60", route: request{Prompt: []string{"none"}}, returnTo: "/home", demanded: true,
		change: func(r *request) { r.MaxAge, r.MaxAgeAsked, r.Prompt = time.Minute, true, []string{"login"} }},
	{name: "a step-up asks for login once", query: "max_age=60", route: request{Prompt: []string{"login", "consent"}}, returnTo: "/home", demanded: true,
		change: func(r *request) { r.MaxAge, r.MaxAgeAsked = time.Minute, true }},
	{name: "a negative maximum age", query: "max_age=-1", wrong: "max_age is not a number"},
	{name: "a maximum age with a sign", query: "max_age=%2B1", wrong: "max_age is not a number"},
	{name: "a maximum age of more than 68 years", query: "max_age=2147483648", wrong: "max_age is not a number"},
	{name: "a maximum age of words", query: "max_age=soon", wrong: "max_age is not a number"},

	{name: "contexts", query: "acr_values=mfa+hw", returnTo: "/home", demanded: true,
		change: func(r *request) { r.ACR, r.Prompt = []string{"mfa", "hw"}, []string{"login"} }},
	{name: "contexts of blanks", query: "acr_values=++", returnTo: "/home"},
	{name: "contexts of which the route asks for one", query: "acr_values=mfa+hw", route: request{Demand: demand{ACR: []string{"hw", "pwd"}}}, returnTo: "/home", demanded: true,
		change: func(r *request) { r.ACR, r.Prompt = []string{"hw"}, []string{"login"} }},
	{name: "contexts that the route does not ask for", query: "acr_values=mfa", route: request{Demand: demand{ACR: []string{"hw"}}}, wrong: "acr_values names none"},
	{name: "a context beyond ASCII", query: "acr_values=%E2%82%AC", wrong: "ACRValues"},
	{name: "too many contexts", query: "acr_values=" + strings.Repeat("x+", 33), wrong: "ACRValues: more than 32"},
	{name: "both, from a provider", query: "max_age=1&acr_values=mfa&login_hint=kim&return_to=/x&iss=" + issuer, returnTo: "/x", demanded: true,
		change: func(r *request) {
			r.MaxAge, r.MaxAgeAsked, r.ACR, r.LoginHint, r.Prompt = time.Second, true, []string{"mfa"}, "kim", []string{"login"}
		}},
}

func TestFromQuery(t *testing.T) {
	t.Parallel()
	for _, row := range asked {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			q, err := url.ParseQuery(row.query)
			if err != nil {
				t.Fatal(err)
			}
			prompt := slices.Clone(row.route.Prompt)
			req, tx, err := logto().FromQuery(q, row.route, "/home")
			if row.wrong != "" {
				if err == nil || !strings.HasPrefix(err.Error(), "signin: ") || !strings.Contains(err.Error(), row.wrong) || req != nil || tx != nil {
					t.Errorf("got %+v, %+v, %v; want an error that says %q", req, tx, err, row.wrong)
				}
				return
			}
			if err != nil {
				t.Fatalf("got %v; want no error", err)
			}
			want := row.route
			if row.change != nil {
				row.change(&want)
			}
			if !reflect.DeepEqual(*req, want) {
				t.Errorf("got %+v; want %+v", *req, want)
			}
			if tx.ReturnTo != row.returnTo || tx.Demanded != row.demanded {
				t.Errorf("got return_to %q, demanded %t; want %q, %t", tx.ReturnTo, tx.Demanded, row.returnTo, row.demanded)
			}
			if !slices.Equal(row.route.Prompt, prompt) {
				t.Errorf("got the route's prompt %q; want %q still", row.route.Prompt, prompt)
			}
		})
	}
	t.Run("another provider's step-up does not ask for login", func(t *testing.T) {
		t.Parallel()
		c := logto()
		c.Logto = false
		req, _, err := c.FromQuery(url.Values{"max_age": {"60"}}, request{}, "")
		if err != nil || len(req.Prompt) != 0 {
			t.Errorf("got %+v, %v; want no prompt", req, err)
		}
	})
}

// FuzzFromQuery gives the query of a route to a route that asks for something itself:
// what comes of it is a request that passes Check, asks for no less, and leads to a
// path that may be followed.
func FuzzFromQuery(f *testing.F) {
	for _, row := range asked {
		f.Add(row.query)
	}
	c := logto()
	f.Fuzz(func(t *testing.T, query string) {
		q, _ := url.ParseQuery(query)
		route := request{Demand: demand{MaxAge: time.Minute, MaxAgeAsked: true, ACR: []string{"mfa", "hw"}}, Prompt: []string{"none"}}
		req, tx, err := c.FromQuery(q, route, "/home")
		if err != nil {
			return
		}
		if err := req.Check(true); err != nil {
			t.Errorf("%q: got a request with the mistake %v", query, err)
		}
		foreign := func(acr string) bool { return !slices.Contains(route.ACR, acr) }
		if !req.MaxAgeAsked || req.MaxAge > time.Minute || len(req.ACR) == 0 || slices.ContainsFunc(req.ACR, foreign) {
			t.Errorf("%q: got %+v; want no less than the route asks for", query, req)
		}
		if req.Silent() == tx.Demanded {
			t.Errorf("%q: got silent %t, demanded %t; want the one or the other", query, req.Silent(), tx.Demanded)
		}
		if path, err := c.ReturnTo.Path(tx.ReturnTo); err != nil || path != tx.ReturnTo {
			t.Errorf("%q: got return_to %q, %v; want a path that may be followed", query, tx.ReturnTo, err)
		}
	})
}
