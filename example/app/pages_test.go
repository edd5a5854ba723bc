package app

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

const ordersAPI = "https://api.example.com"

// reader may read at the API, and no more. Bob may nothing anywhere.
func reader() signintest.User {
	u := signintest.Bob()
	u.Subject, u.Permissions = "reader000001", map[string][]string{ordersAPI: {"read:orders"}}
	return u
}

// answer is what a person's browser got.
type answer struct {
	status         int
	location, body string
}

// ask sends a person's request and follows no redirect; nil is nobody's client.
func (a *running) ask(t *testing.T, client *http.Client, method, path string) answer {
	t.Helper()
	if client == nil {
		client = a.provider.NewClient()
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := http.NewRequestWithContext(t.Context(), method, a.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	resp, err := own.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return received(t, resp)
}

func received(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Location"), html.UnescapeString(string(body))}
}

// want checks an answer, and that nothing stands in it that must not.
func (got answer) want(t *testing.T, status int, location string, has []string, lacks ...string) {
	t.Helper()
	if got.status != status || got.location != location {
		t.Errorf("got %d to %q; want %d to %q\n%s", got.status, got.location, status, location, got.body)
	}
	for _, want := range has {
		if !strings.Contains(got.body, want) {
			t.Errorf("got no %q in the page; want it\n%s", want, got.body)
		}
	}
	for _, not := range lacks {
		if strings.Contains(got.body, not) {
			t.Errorf("got %q in the page; want it not to be there\n%s", not, got.body)
		}
	}
}

func TestEachPageIsForWhomItSays(t *testing.T) {
	t.Parallel()
	a := application(t, ordersAPI)
	people := map[string]*http.Client{"": nil}
	for name, u := range map[string]signintest.User{"alice": signintest.Alice(), "reader": reader(), "bob": signintest.Bob()} {
		people[name] = a.provider.SignIn(t, nil, a.url, u)
	}
	for _, row := range []struct {
		name, person, method, path string
		status                     int
		location                   string
		has, lacks                 []string
	}{
		{"home leads to every page", "alice", "GET", "/", 200, "",
			[]string{`href="/orders"`, `href="/admin"`, `href="/organizations"`, `href="/account/delete"`}, nil},
		{"so does the account", "alice", "GET", "/account", 200, "",
			[]string{`href="/orders"`, `href="/admin"`, `href="/organizations"`, `href="/account/delete"`}, nil},
		{"nobody is led there", "", "GET", "/", 200, "", nil, []string{`href="/orders"`, `href="/admin"`}},

		{"orders, of nobody", "", "GET", "/orders", 303, "/sign-in?return_to=%2Forders", nil, []string{"API"}},
		{"orders, with the scope", "alice", "GET", "/orders", 200, "",
			[]string{"The API lets you", "GET " + a.settings.APIURL + "/orders", "200 OK", "Two orders", "alice0000001", "read:orders, write:orders"}, []string{"insufficient_scope"}},
		{"orders, for a program that looks whether they are there", "alice", "HEAD", "/orders", 200, "", nil, []string{"<"}},
		{"an order, with the scope", "alice", "POST", "/orders", 200, "",
			[]string{"The API lets you", "POST " + a.settings.APIURL + "/orders", "201 Created", "One more order", "alice0000001"}, []string{"insufficient_scope"}},
		{"orders, with one scope of two", "reader", "GET", "/orders", 200, "",
			[]string{"The API lets you", "reader000001", "<dd>read:orders</dd>"}, []string{"insufficient_scope"}},
		{"an order, with the other scope", "reader", "POST", "/orders", 200, "",
			[]string{"The API says no", "403 Forbidden", "This needs the scope write:orders", `Bearer error="insufficient_scope", scope="write:orders"`}, []string{"One more order"}},
		{"orders, without a scope", "bob", "GET", "/orders", 200, "",
			[]string{"The API says no", "403 Forbidden", "This needs the scope read:orders"}, []string{"Two orders"}},

		{"the admin page, of nobody", "", "GET", "/admin", 303, "/sign-in?return_to=%2Fadmin", nil, []string{"Administration"}},
		{"the admin page, with the role", "alice", "GET", "/admin", 200, "", []string{"<h1>Administration</h1>"}, nil},
		{"the admin page, without the role", "bob", "GET", "/admin", 403, "",
			[]string{"This page is not open to you", "this needs the role admin"}, []string{"Administration"}},

		{"organizations, of nobody", "", "GET", "/organizations", 303, "/sign-in?return_to=%2Forganizations", nil, []string{"Your organizations"}},
		{"organizations, of a member of two", "alice", "GET", "/organizations", 200, "",
			[]string{`href="/organizations/org_one"`, `href="/organizations/org_two"`}, []string{"no organization"}},
		{"organizations, of a member of none", "bob", "GET", "/organizations", 200, "",
			[]string{"You belong to no organization"}, []string{`href="/organizations/`}},
		{"an organization, of nobody", "", "GET", "/organizations/org_one", 303, "/sign-in?return_to=%2Forganizations%2Forg_one", nil, []string{"member"}},
		{"an organization, of its owner", "alice", "GET", "/organizations/org_one", 200, "",
			[]string{"<h1>org_one</h1>", "<dd>owner</dd>", "<dd>read:members, invite:members</dd>"}, []string{"not known"}},
		{"an organization, of a plain member", "alice", "GET", "/organizations/org_two", 200, "",
			[]string{"<h1>org_two</h1>", "<dd>member</dd>", "<dd>none</dd>"}, []string{"not known"}},
		{"an organization, of somebody else", "bob", "GET", "/organizations/org_one", 403, "",
			[]string{"This page is not open to you", "org_one"}, []string{"read:members"}},
		{"an organization that is not there", "alice", "GET", "/organizations/org_none", 403, "", []string{"This page is not open to you"}, nil},
		{"settings, of the owner", "alice", "GET", "/organizations/org_one/settings", 200, "", []string{"<h1>Settings of org_one</h1>"}, nil},
		{"settings, of a plain member", "alice", "GET", "/organizations/org_two/settings", 403, "",
			[]string{"This page is not open to you", "org_two:owner"}, []string{"<h1>Settings"}},
		{"settings, of nobody", "", "GET", "/organizations/org_one/settings", 303, "/sign-in?return_to=%2Forganizations%2Forg_one%2Fsettings", nil, []string{"<h1>Settings"}},

		{"deleting, of nobody", "", "GET", "/account/delete", 303, "/sign-in?return_to=%2Faccount%2Fdelete", nil, []string{"Delete"}},
		{"deleting, after an ordinary sign-in", "alice", "GET", "/account/delete", 303, "/sign-in?max_age=300&return_to=%2Faccount%2Fdelete", nil, []string{"Delete"}},
		{"the form of it, after an ordinary sign-in", "alice", "POST", "/account/delete", 401, "",
			[]string{"Please confirm that it is you"}, []string{"deleted"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a.ask(t, people[row.person], row.method, row.path).want(t, row.status, row.location, row.has, row.lacks...)
		})
	}
}

// The provider asks once more, and then both the page and its form are open.
func TestDeletingTakesAFreshSignIn(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	alice := a.provider.SignIn(t, nil, a.url, signintest.Alice())
	before := time.Now().Add(-time.Second)
	got := received(t, a.provider.Visit(t, alice, a.url+"/account/delete", signintest.Alice()))
	got.want(t, 200, "", []string{"Delete your account?", ` method="post" action="/account/delete">`})
	requests := a.provider.AuthorizationRequests()
	if asked := requests[len(requests)-1].Effective; asked.Get("max_age") != "300" || len(requests) != 2 {
		t.Errorf("got max_age %q in authorization request %d; want 300 in the second", asked.Get("max_age"), len(requests))
	}
	confirmed := regexp.MustCompile(`datetime="([^"]+)"`).FindStringSubmatch(got.body)
	if confirmed == nil {
		t.Fatalf("got no time in the page; want when it was confirmed\n%s", got.body)
	}
	if at, err := time.Parse(time.RFC3339, confirmed[1]); err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("confirmed: got %s, %v; want a moment ago", confirmed[1], err)
	}
	a.ask(t, alice, "POST", "/account/delete").want(t, 200, "", []string{"Nothing was deleted"})
	a.ask(t, alice, "GET", "/account/delete").want(t, 200, "", []string{"Delete your account?"})
}

func TestWithoutAnAPITheOrdersPageSaysWhatToDo(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	got := a.ask(t, a.provider.SignIn(t, nil, a.url, signintest.Alice()), "GET", "/orders")
	got.want(t, 200, "", []string{"There is no API yet", "API_RESOURCE", "read:orders"}, "curl", "There is no answer")
}

func TestTroubleWithTheAPIStaysOnItsPage(t *testing.T) {
	t.Parallel()
	t.Run("the API is down", func(t *testing.T) {
		t.Parallel()
		a := application(t, ordersAPI)
		alice := a.provider.SignIn(t, nil, a.url, signintest.Alice())
		a.endAPI()
		a.ask(t, alice, "GET", "/orders").want(t, http.StatusBadGateway, "", []string{"There is no answer", "The API does not answer as it should"}, "connect")
	})
	t.Run("the API answers something else", func(t *testing.T) {
		t.Parallel()
		a := application(t, ordersAPI)
		alice := a.provider.SignIn(t, nil, a.url, signintest.Alice())
		other := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(other.Close)
		a.settings.APIURL = other.URL
		a.mount()
		a.ask(t, alice, "GET", "/orders").want(t, http.StatusBadGateway, "", []string{"There is no answer", "The API does not answer as it should"}, "404")
	})
	t.Run("the API has trouble", func(t *testing.T) {
		t.Parallel()
		a := application(t, ordersAPI)
		alice := a.provider.SignIn(t, nil, a.url, signintest.Alice())
		a.provider.OnTokenRequest(func(url.Values) { a.provider.Down() }) // before the API has its keys
		a.ask(t, alice, "GET", "/orders").want(t, 200, "", []string{"The API says no", "503 Service Unavailable"}, "Two orders")
	})
	t.Run("there is no token", func(t *testing.T) {
		t.Parallel()
		a := application(t, ordersAPI)
		alice := a.provider.SignIn(t, nil, a.url, signintest.Alice())
		a.provider.Down()
		a.ask(t, alice, "GET", "/orders").want(t, http.StatusServiceUnavailable, "", []string{"There is no answer", "is not answering"})
		a.ask(t, alice, "GET", "/organizations/org_one").want(t, http.StatusServiceUnavailable, "", []string{"<h1>org_one</h1>", "not known: "}, "read:members")
	})
}
