package authflow_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/cookie"
)

func TestTransaction_Again(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		tx    transaction
		want  string
		other string // for another person
	}{
		{"a page", transaction{Start: "/a", ReturnTo: "/a"}, "/a", ""},
		{"a route", transaction{Start: "/sign-in", Route: true}, "/sign-in", "/sign-in?prompt=login"},
		{
			"a route with a target", transaction{Start: "/sign-in", Route: true, ReturnTo: "/a?b&c"},
			"/sign-in?return_to=%2Fa%3Fb%26c", "/sign-in?prompt=login&return_to=%2Fa%3Fb%26c",
		},
		{
			"a route with a query", transaction{Start: "/sign-in?x=1", Route: true, ReturnTo: "/a"},
			"/sign-in?x=1&return_to=%2Fa", "/sign-in?x=1&prompt=login&return_to=%2Fa",
		},
		{
			"a route with a prompt that is ignored", transaction{Start: "/sign-in?prompt=none", Route: true},
			"/sign-in?prompt=none", "/sign-in?prompt=none&prompt=login",
		},
		{
			"a route that was begun for another person", transaction{Start: "/sign-in?prompt=login", Route: true},
			"/sign-in?prompt=login", "/sign-in?prompt=login",
		},
	} {
		if got := row.tx.AgainAs(); got != row.other {
			t.Errorf("%s: as another person: got %q; want %q", row.name, got, row.other)
		}
		if got := row.tx.Again(); got != row.want {
			t.Errorf("%s: got %q; want %q", row.name, got, row.want)
		}
	}
	for address, want := range map[string]string{
		"/sign-in": "/sign-in",
		"/sign-in?return_to=%2Fa&target_link_uri=b":    "/sign-in",
		"/sign-in?return%5Fto=%2Fa&acr_values=x&%zz=1": "/sign-in?acr_values=x&%zz=1",
	} {
		if got := authflow.WithoutReturnTo(address); got != want {
			t.Errorf("%s: got %q; want %q", address, got, want)
		}
	}
}

// A sign-in that the provider let expire is begun once more, and not twice.
func TestTransactions_Repeat(t *testing.T) {
	t.Parallel()
	all, w := at(t, start), httptest.NewRecorder()
	tx := begun(t, func(tx *transaction) { tx.Start, tx.Route, tx.ReturnTo = "/sign-in", true, "/a" })
	if all.Repeat(w, begun(t)) {
		t.Error("a sign-in that no route began: got a repetition; want none")
	}
	if !all.Repeat(w, tx) {
		t.Fatal("got no repetition; want one")
	}
	set := w.Result().Cookies()
	old := set[0].Name + "=" + set[0].Value
	if got, err := all.Find(browser(old), tx.State); err != nil || !got.Expired {
		t.Errorf("the old one: got %+v, %v; want it known, and marked", got, err)
	}
	again := begun(t, func(tx *transaction) { tx.Start, tx.Route, tx.ReturnTo = "/sign-in", true, "/a" })
	cookies, deleted := kept(all, browser(old), again)
	second, err := all.Find(browser(cookies[0].Name+"="+cookies[0].Value), again.State)
	if err != nil || !second.Repeated || all.Repeat(httptest.NewRecorder(), second) || !slices.Contains(deleted, set[0].Name) {
		t.Errorf("the new one: got %+v, %v, deleted %q; want it marked, not repeated, and the old one deleted", second, err, deleted)
	}
	other := begun(t, func(tx *transaction) { tx.Start, tx.Route = "/sign-in/strong", true })
	if kept(all, browser(old), other); other.Repeated {
		t.Error("another route: got it marked; want a sign-in of its own")
	}
}

func TestTransactions_NewestAndTwice(t *testing.T) {
	t.Parallel()
	all := at(t, start)
	first := begun(t)
	later := begun(t, func(tx *transaction) { tx.Began = start.Add(time.Second) })
	one, two := pair(all, first), pair(all, later)
	if got := all.Newest(browser(two, one)); got == nil || got.State != later.State {
		t.Errorf("got %+v; want the one that began last", got)
	}
	if got := all.Newest(browser()); got != nil {
		t.Errorf("without cookies: got %+v; want none", got)
	}
	name, twice := all.Twice(browser(one, prefix+first.State+"=x"), first.State)
	if _, once := all.Twice(browser(one, two), first.State); !twice || once || name != prefix+first.State {
		t.Errorf("got %q, %t, and %t for two sign-ins; want the name, true, and false", name, twice, once)
	}
}

func TestTransactions_Unread(t *testing.T) {
	t.Parallel()
	set, deleted := answer(func(w http.ResponseWriter) { at(t, start).Finish(w, "STATE", true) })
	if !slices.Equal(deleted, []string{prefix + "STATE"}) || len(set) != 1 {
		t.Fatalf("got %q deleted, %v set; want the transaction's cookie deleted, and a note", deleted, set)
	}
	noted := browser(set[0].Name + "=" + set[0].Value)
	if all := at(t, start.Add(59*time.Second)); !all.IsUnread(noted) || all.IsUnread(browser()) || at(t, start.Add(time.Minute)).IsUnread(noted) {
		t.Error("want it noted for a minute, in this browser alone")
	}
	if set, deleted := answer(func(w http.ResponseWriter) { at(t, start).Finish(w, "STATE", false) }); len(set) != 0 || len(deleted) != 1 {
		t.Errorf("a cookie that could be read: got %v set, %q deleted; want no note", set, deleted)
	}
	for _, unread := range []bool{false, true} {
		rec := httptest.NewRecorder()
		at(t, start).Finish(rec, "STATE", unread)
		rec.Header().Set("Location", "/a")
		if size, want := at(t, start).FinishSize("STATE", "/a", unread), cookie.AnswerSize(rec.Header(), ""); size != want {
			t.Errorf("unread %t: got %d bytes; want %d", unread, size, want)
		}
	}
}

func TestLogoutToken(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for _, row := range []struct{ name, media, body, want string }{
		{"a form", form, "logout_token=a.b.c&x=1", "a.b.c"},
		{"a form with a charset", form + "; charset=utf-8", "logout_token=a.b.c", "a.b.c"},
		{"JSON", "application/json", "{}", ""},
		{"a long media type", strings.Repeat("x", 300), "logout_token=a.b.c", ""},
		{"two tokens", form, "logout_token=a&logout_token=b", ""},
		{"no token", form, "", ""},
		{"a malformed escape", form, "logout_token=%zz", ""},
		{"65 parameters", form, "logout_token=a" + strings.Repeat("&x=1", 64), ""},
		{"17 KB", form, "logout_token=" + strings.Repeat("a", 17<<10), ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/?logout_token=q", strings.NewReader(row.body))
		r.Header.Set("Content-Type", row.media)
		got, err := authflow.LogoutToken(httptest.NewRecorder(), r)
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s: got %q, %v; want %q", row.name, got, err, row.want)
		}
	}
	parsed := &http.Request{Header: http.Header{"Content-Type": {form}}, PostForm: url.Values{"logout_token": {"a"}}}
	if got, err := authflow.LogoutToken(httptest.NewRecorder(), parsed); got != "a" || err != nil {
		t.Errorf("parsed before: got %q, %v; want the token", got, err)
	}
}

func TestDemand_Checks(t *testing.T) {
	t.Parallel()
	classes, none := demand{ACR: []string{"mfa"}}, demand{MaxAgeAsked: true, MaxAge: time.Minute}
	if classes.CheckLogto() == nil || none.CheckLogto() != nil {
		t.Error("at Logto: want classes to be a mistake, and a time not")
	}
	long := demand{ACR: []string{strings.Repeat("x", 300), strings.Repeat("y", 300)}}
	if classes.CheckLink() != nil || long.CheckLink() == nil {
		t.Error("in a link: want short classes to be good, and long ones not")
	}
	if authflow.CheckQuery("a=b") != nil || authflow.CheckQuery(strings.Repeat("x", 17<<10)) == nil {
		t.Error("want a short query to be good, and one of 17 KB not")
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	c := logto()
	c.Route, c.Home = "/sign-in", "/home"
	long := strings.Repeat("&", 1000) // which takes 3,000 bytes in a query
	for _, row := range []struct {
		name, target string
		asked        demand
		want         string
	}{
		{"no target", "", demand{}, "/sign-in"},
		{"the page after a sign-in", "/home", demand{}, "/sign-in"},
		{"a page", "/a?b&c", demand{}, "/sign-in?return_to=%2Fa%3Fb%26c"},
		{"a page and a step-up", "/a", with(minute, "mfa"), "/sign-in?acr_values=mfa&max_age=60&return_to=%2Fa"},
		{"a step-up alone", "", zero, "/sign-in?max_age=0"},
		{"6 another site", "//evil.test", minute, "/sign-in?max_age=60"},
		{"6 the callback", "/callback?code=x", demand{}, "/sign-in"},
		{"a long query", "/a?" + long, demand{}, "/sign-in?return_to=%2Fa"},
		{"a long path", "/" + long, minute, "/sign-in?max_age=60"},
	} {
		if got := c.Link(row.target, row.asked); got != row.want {
			t.Errorf("%s: got %q; want %q", row.name, got, row.want)
		}
	}
}
