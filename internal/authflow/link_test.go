package authflow_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
)

func TestLink(t *testing.T) {
	t.Parallel()
	c := logto()
	c.Route, c.Home = "/sign-in", "/"
	long := strings.Repeat("x", 3000)
	for _, row := range []struct {
		name, target string
		asked        demand
		want         string
	}{
		{"where people land anyway", "/", demand{}, "/sign-in"},
		{"a page with a query", "/a?b=c&d", demand{}, "/sign-in?return_to=%2Fa%3Fb%3Dc%26d"},
		{"a step-up", "/a", demand{MaxAge: time.Minute, MaxAgeAsked: true}, "/sign-in?max_age=60&return_to=%2Fa"},
		{"another site", "https://evil.test/", demand{}, "/sign-in"},
		{"a route", "/callback", demand{}, "/sign-in"},
		{"a query that is too long", "/a?" + strings.Repeat("&", 1000), demand{}, "/sign-in?return_to=%2Fa"},
		{"a path that is too long", "/" + long, demand{}, "/sign-in"},
	} {
		if got := c.Link(row.target, row.asked); got != row.want {
			t.Errorf("%s: got %.80s; want %s", row.name, got, row.want)
		}
	}
}

func TestTransaction_AgainAs(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		tx   transaction
		want string
	}{
		{"a route", transaction{Route: true, Start: "/sign-in"}, "/sign-in?prompt=login"},
		{"a route with a query, and where to return", transaction{Route: true, Start: "/sign-in?max_age=60", ReturnTo: "/a"},
			"/sign-in?max_age=60&prompt=login&return_to=%2Fa"},
		{"a route that has asked already", transaction{Route: true, Start: "/sign-in?prompt=login"}, "/sign-in?prompt=login"},
		{"a page of the application", transaction{Start: "/welcome"}, ""},
	} {
		if got := row.tx.AgainAs(); got != row.want {
			t.Errorf("%s: got %q; want %q", row.name, got, row.want)
		}
	}
}

// Anyone can write a link with a prompt; it can only make the provider ask the person.
func TestFromQuery_Prompt(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		query       string
		route, want []string
	}{
		{"prompt=login", nil, []string{"login"}},
		{"prompt=login", []string{"none"}, []string{"login"}},
		{"prompt=login", []string{"consent", "login"}, []string{"consent", "login"}},
		{"prompt=none", nil, nil},
		{"prompt=consent", []string{"none"}, []string{"none"}},
	} {
		q, err := url.ParseQuery(row.query)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := logto().FromQuery(q, authflow.Request{Prompt: row.route}, "")
		if err != nil || !slices.Equal(got.Prompt, row.want) {
			t.Errorf("%s, on a route with %q: got %v, %v; want %q", row.query, row.route, got, err, row.want)
		}
	}
}
