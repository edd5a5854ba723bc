package authflow_test

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	second = demand{MaxAge: time.Second, MaxAgeAsked: true}
	minute = demand{MaxAge: time.Minute, MaxAgeAsked: true}
	zero   = demand{MaxAgeAsked: true}
	hour   = demand{MaxAge: time.Hour, MaxAgeAsked: true}
)

func acr(classes ...string) demand { return demand{ACR: classes} }

// with returns d with the classes of an authentication.
func with(d demand, classes ...string) demand {
	d.ACR = classes
	return d
}

func TestDemand_AndOr(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		a, b, and, or demand // and is zero if no demand is both
	}{
		{"an age in the second", demand{}, minute, minute, demand{}},
		{"an age in the first", minute, demand{}, minute, demand{}},
		{"the shorter age first", minute, hour, minute, hour},
		{"the longer age first", hour, minute, minute, hour},
		{"an age of zero", minute, zero, zero, minute},
		{"an age and a class", minute, acr("mfa"), with(minute, "mfa"), demand{}},
		{"an age and a class, and an age", with(second, "mfa"), minute, with(second, "mfa"), minute},
		{"classes, in the first one's order", acr("b", "a", "c"), acr("d", "c", "b"), acr("b", "c"), acr("b", "a", "c", "d")},
		{"one class in common", acr("a", "b"), acr("b"), acr("b"), acr("a", "b")},
		{"classes in the first alone", acr("b"), demand{}, acr("b"), demand{}},
		{"no class in common", acr("a"), acr("b"), demand{}, acr("a", "b")},
	} {
		before := slices.Clone(row.a.ACR)
		and, possible := row.a.And(row.b)
		impossible := reflect.DeepEqual(row.and, demand{})
		if possible == impossible || possible && !reflect.DeepEqual(and, row.and) {
			t.Errorf("%s: And: got %+v, %t; want %+v", row.name, and, possible, row.and)
		}
		if or := row.a.Or(row.b); !reflect.DeepEqual(or, row.or) {
			t.Errorf("%s: Or: got %+v; want %+v", row.name, or, row.or)
		}
		if !slices.Equal(row.a.ACR, before) {
			t.Errorf("%s: got the first changed to %+v", row.name, row.a)
		}
	}
}

// A query adds to the route's demand, and takes nothing from it.
func TestDemand_Besides(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name               string
		route, asked, want demand // want is zero if no demand is both
	}{
		{"nothing on the route", demand{}, with(minute, "mfa"), with(minute, "mfa")},
		{"nothing in the query", with(minute, "mfa"), demand{}, with(minute, "mfa")},
		{"the shorter age", hour, minute, minute},
		{"a longer age", minute, hour, minute},
		{"the last of the route's classes", acr("phr", "mfa", "pwd"), acr("pwd"), acr("pwd", "phr", "mfa")},
		{"classes in the query's order", acr("a", "b", "c"), acr("x", "c", "a"), acr("c", "a", "b")},
		{"no class in common", acr("a"), acr("b"), demand{}},
	} {
		before := slices.Clone(row.route.ACR)
		got, possible := row.route.Besides(row.asked)
		impossible := reflect.DeepEqual(row.want, demand{})
		if possible == impossible || possible && !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %+v, %t; want %+v", row.name, got, possible, row.want)
		}
		if !slices.Equal(row.route.ACR, before) {
			t.Errorf("%s: got the route's classes changed to %q", row.name, row.route.ACR)
		}
	}
}

func TestDemand_Met(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return start.Add(-d) }
	for _, row := range []struct {
		name     string
		demand   demand
		authTime time.Time
		acr      string
		met      bool
	}{
		{"nothing demanded, nothing stated", demand{}, time.Time{}, "", true},
		{"2.9 auth_time now", zero, start, "", true},
		{"2.9 auth_time absent", hour, time.Time{}, "", false},
		{"2.9 auth_time zero", demand{MaxAge: 290 * 365 * 24 * time.Hour, MaxAgeAsked: true}, time.Unix(0, 0), "", false},
		{"auth_time older by the difference between clocks", hour, ago(time.Hour + time.Minute), "", true},
		{"2.9 auth_time older by a second more", hour, ago(time.Hour + 61*time.Second), "", false},
		{"auth_time a minute ahead", hour, ago(-time.Minute), "", true},
		{"auth_time 61 s ahead", hour, ago(-61 * time.Second), "", false},
		{"auth_time old, and none demanded", acr("mfa"), ago(time.Hour), "mfa", true},
		{"acr the second of two", acr("phr", "mfa"), start, "mfa", true},
		{"acr another", acr("mfa"), start, "pwd", false},
		{"acr absent", acr("mfa"), start, "", false},
		{"acr absent, and an empty one demanded", acr(""), start, "", false},
		{"acr met, and auth_time absent", with(minute, "mfa"), time.Time{}, "mfa", false},
		{"auth_time met, and acr another", with(minute, "mfa"), start, "pwd", false},
	} {
		if err := row.demand.Met(row.authTime, row.acr, start); (err == nil) != row.met {
			t.Errorf("%s: got error %v; want it met: %t", row.name, err, row.met)
		}
	}
}

const byIssuer = "&iss=" + issuer

// asked are queries of a route that starts sign-ins. A row without returnTo and wrong
// leads to /home.
var asked = []struct {
	name, query string
	route, want request
	asked       demand
	returnTo    string
	wrong       string
	other       bool // a provider that is not Logto
}{
	{name: "no query"},
	{name: "a return_to", query: "return_to=/x?y", returnTo: "/x?y"},
	{name: "a return_to that may not be followed", query: "return_to=//evil.test"},
	{name: "parameters of a request", query: "login_hint=x&prompt=none&target_link_uri=https://app.test/x&scope=y"},

	{name: "a provider's start", query: byIssuer[1:]},
	{name: "a provider's target", query: "return_to=/x&target_link_uri=https://app.test/y" + byIssuer, returnTo: "/y"},
	{name: "a provider's target elsewhere", query: "return_to=/x&target_link_uri=https://e.test" + byIssuer, returnTo: "/x"},
	{name: "a provider's hint", query: "login_hint=kim" + byIssuer, want: request{LoginHint: "kim"}},
	{name: "a provider's hint, and the route's own", query: "login_hint=kim" + byIssuer,
		route: request{LoginHint: "lee"}, want: request{LoginHint: "lee"}},
	{name: "a provider's hint, and a magic link", query: "login_hint=kim" + byIssuer,
		route: request{OneTimeToken: "t", OneTimeEmail: "a@b.c"}, want: request{OneTimeToken: "t", OneTimeEmail: "a@b.c"}},
	{name: "another issuer", query: "iss=https://evil.test", wrong: "iss is not this provider's"},
	{name: "an empty issuer", query: "iss=", wrong: "iss is not this provider's"},
	{name: "two issuers", query: byIssuer + byIssuer, wrong: "iss is not this provider's"},

	{name: "a maximum age", query: "max_age=60", want: request{Prompt: []string{"login"}}, asked: minute},
	{name: "a maximum age of zero", query: "max_age=0", want: request{Prompt: []string{"login"}}, asked: zero},
	{name: "a maximum age at another provider", query: "max_age=60", want: request{}, asked: minute, other: true},
	{name: "a longer maximum age than the route's", query: "max_age=60",
		route: request{Demand: second}, want: request{Demand: second, Prompt: []string{"login"}}, asked: minute},
	{name: "one of the route's classes", query: "acr_values=pwd",
		route: request{Demand: acr("mfa", "pwd")}, want: request{Demand: acr("mfa", "pwd")}, asked: acr("pwd"), other: true},
	{name: "a step-up on a silent route", query: "max_age=60",
		route: request{Prompt: []string{"none"}}, want: request{Prompt: []string{"login"}}, asked: minute},
	{name: "another account", query: "prompt=login", want: request{Prompt: []string{"login"}}},
	{name: "another account, on a silent route", query: "prompt=login",
		route: request{Prompt: []string{"none"}}, want: request{Prompt: []string{"login"}}},
	{name: "another account, besides what the route asks for", query: "prompt=login",
		route: request{Prompt: []string{"consent"}}, want: request{Prompt: []string{"consent", "login"}}, other: true},
	{name: "another account, on a route that asks for login", query: "prompt=login&max_age=60",
		route: request{Prompt: []string{"login"}}, want: request{Prompt: []string{"login"}}, asked: minute},
	{name: "another account, after a prompt that is ignored", query: "prompt=consent&prompt=login", want: request{Prompt: []string{"login"}}},
	{name: "another prompt", query: "prompt=consent", route: request{Prompt: []string{"none"}}, want: request{Prompt: []string{"none"}}},
	{name: "login among others", query: "prompt=login+consent", want: request{}},
	{name: "a step-up on a route that asks for login", query: "max_age=60",
		route: request{Prompt: []string{"login"}}, want: request{Prompt: []string{"login"}}, asked: minute},
	{name: "a negative maximum age", query: "max_age=-1", wrong: "max_age is not a number"},
	{name: "a maximum age of more than 68 years", query: "max_age=2147483648", wrong: "max_age is not a number"},

	{name: "classes", query: "acr_values=mfa+hw", want: request{}, asked: acr("mfa", "hw"), other: true},
	{name: "classes at Logto, which would be asked for again and again", query: "acr_values=mfa+hw",
		wrong: `ACRValues: "mfa hw" cannot be met: Logto never`},
	{name: "an age and a class at Logto", query: "max_age=60&acr_values=mfa", wrong: `ACRValues: "mfa" cannot be met`},
	{name: "classes of blanks", query: "acr_values=++"},
	{name: "classes that the route does not ask for", query: "acr_values=mfa",
		route: request{Demand: acr("hw")}, wrong: "acr_values has no class", other: true},
	{name: "a class beyond ASCII", query: "acr_values=%E2%82%AC", wrong: "ACRValues", other: true},
	{name: "age, class and hint, from a provider", query: "max_age=1&acr_values=mfa&login_hint=kim" + byIssuer,
		want: request{LoginHint: "kim"}, asked: with(second, "mfa"), other: true},
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
			c := logto()
			c.Logto = !row.other
			req, tx, err := c.FromQuery(q, row.route, "/home")
			if !slices.Equal(row.route.Prompt, prompt) {
				t.Errorf("got the route's prompt changed to %q", row.route.Prompt)
			}
			if row.wrong != "" {
				if err == nil || !strings.HasPrefix(err.Error(), "signin: "+row.wrong) || req != nil || tx != nil {
					t.Errorf("got %+v, %+v, %v; want an error that says %q", req, tx, err, row.wrong)
				}
				return
			}
			want := transaction{ReturnTo: "/home", Asked: row.asked}
			if row.returnTo != "" {
				want.ReturnTo = row.returnTo
			}
			if err != nil || !reflect.DeepEqual(*req, row.want) || !reflect.DeepEqual(*tx, want) {
				t.Errorf("got %+v, %+v, %v; want %+v, %+v", req, tx, err, row.want, want)
			}
		})
	}
}

// FuzzFromQuery gives a query to a route that demands something itself. The outcome
// is a request that passes Check, demands no less, and leads to a path that may be
// followed.
func FuzzFromQuery(f *testing.F) {
	for _, row := range asked {
		f.Add(row.query)
	}
	f.Add("prompt=login&prompt=none")
	c := logto()
	c.Logto = false // which has classes
	f.Fuzz(func(t *testing.T, query string) {
		q, _ := url.ParseQuery(query)
		if _, tx, err := logto().FromQuery(q, request{}, "/home"); err == nil && len(tx.Asked.ACR) > 0 {
			t.Errorf("%q at Logto: got %+v asked; want no classes, since Logto states none", query, tx.Asked)
		}
		route := request{Demand: with(minute, "mfa", "hw"), Prompt: []string{"none"}}
		req, tx, err := c.FromQuery(q, route, "/home")
		if err != nil {
			return
		}
		if err := req.Check(false); err != nil {
			t.Errorf("%q: got a request with the mistake %v", query, err)
		}
		if !reflect.DeepEqual(req.Demand, route.Demand) {
			t.Errorf("%q: got %+v; want what the route demands", query, req)
		}
		if req.Silent() != (tx.Asked.IsZero() && !slices.Contains(q["prompt"], "login")) {
			t.Errorf("%q: got silent %t, asked %+v; want one of them", query, req.Silent(), tx.Asked)
		}
		if path, err := c.ReturnTo.Path(tx.ReturnTo); err != nil || path != tx.ReturnTo {
			t.Errorf("%q: got return_to %q, %v; want a path that may be followed", query, tx.ReturnTo, err)
		}
	})
}
