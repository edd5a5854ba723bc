package app

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

// Alice has every permission of the API, Bob may only read there, and the user
// from X has no permission.
func TestRoutes_People(t *testing.T) {
	t.Parallel()
	a := application(t, ordersAPI)
	people := map[string]*http.Client{"": nil}
	for name, u := range map[string]signintest.User{"alice": signintest.Alice(), "bob": signintest.Bob(), "x": signintest.XUser()} {
		people[name] = a.browserOf(t, u)
	}
	people["alice, some time ago"] = a.browserBefore(t)
	for _, row := range []struct {
		name, person, method, path string
		status                     int
		location                   string
		has, lacks                 []string
	}{
		{"account, not signed in", "", "GET", "/account", 303, "/sign-in?return_to=%2Faccount", nil, []string{"About you"}},
		{"account, with the picture of this application", "alice", "GET", "/account", 200, "",
			[]string{"alice@example.test", `src="` + a.settings.BaseURL + `/static/portrait.svg"`}, nil},

		{"orders, not signed in", "", "GET", "/orders", 303, "/sign-in?return_to=%2Forders", nil, []string{"API"}},
		{"orders, with the scope", "alice", "GET", "/orders", 200, "",
			[]string{"The API lets you", "GET " + a.settings.APIURL + "/orders", "200 OK", "Two orders",
				"alice0000001", "read:orders, write:orders"},
			[]string{"insufficient_scope"}},
		{"orders, with HEAD", "alice", "HEAD", "/orders", 200, "", nil, []string{"<"}},
		{"an order, with the scope", "alice", "POST", "/orders", 200, "",
			[]string{"The API lets you", "POST " + a.settings.APIURL + "/orders", "201 Created", "One more order", "alice0000001"},
			[]string{"insufficient_scope"}},
		{"orders, with one scope of two", "bob", "GET", "/orders", 200, "",
			[]string{"The API lets you", "bob000000001", "<dd>read:orders</dd>"}, []string{"insufficient_scope"}},
		{"an order, with only the other scope", "bob", "POST", "/orders", 200, "",
			[]string{"The API says no", "403 Forbidden", "lacks a permission",
				`Bearer error="insufficient_scope", scope="write:orders"`},
			[]string{"One more order"}},
		{"orders, without a scope", "x", "GET", "/orders", 200, "",
			[]string{"The API says no", "403 Forbidden", "lacks a permission"},
			[]string{"Two orders"}},

		{"the admin page, not signed in", "", "GET", "/admin", 303, "/sign-in?return_to=%2Fadmin", nil, []string{"Administration"}},
		{"the admin page, with the role", "alice", "GET", "/admin", 200, "", []string{"<h1>Administration</h1>"}, nil},
		{"the admin page, without the role", "bob", "GET", "/admin", 403, "",
			[]string{"You do not have access to this page", "the role “admin”"}, []string{"Administration"}},

		{"organizations, not signed in", "", "GET", "/organizations", 303,
			"/sign-in?return_to=%2Forganizations", nil, []string{"Your organizations"}},
		{"organizations, for a member of two", "alice", "GET", "/organizations", 200, "",
			[]string{`href="/organizations/org_one">Leaf & Kettle</a>`, `href="/organizations/org_two">Biscuit Club</a>`},
			[]string{"do not belong"}},
		{"organizations, for a person in no organization", "bob", "GET", "/organizations", 200, "",
			[]string{"You do not belong to an organization"}, []string{`href="/organizations/`}},
		{"an organization, not signed in", "", "GET", "/organizations/org_one", 303,
			"/sign-in?return_to=%2Forganizations%2Forg_one", nil, []string{"member"}},
		{"an organization, for its owner", "alice", "GET", "/organizations/org_one", 200, "",
			[]string{"<h1>Leaf & Kettle</h1>", "<dd>owner</dd>", "<dd>read:members, invite:members</dd>"}, []string{">org_one"}},
		{"an organization, for a plain member", "alice", "GET", "/organizations/org_two", 200, "",
			[]string{"<h1>Biscuit Club</h1>", "<dd>member</dd>", "<dd>none</dd>"}, nil},
		{"an organization, for a person who is not a member", "bob", "GET", "/organizations/org_one", 403, "",
			[]string{"You do not have access to this page", "does not belong to the organization"}, []string{"read:members", "org_one"}},
		{"an organization that does not exist", "alice", "GET", "/organizations/org_none", 403, "",
			[]string{"You do not have access to this page"}, nil},
		{"settings, not signed in", "", "GET", "/organizations/org_one/settings", 303,
			"/sign-in?return_to=%2Forganizations%2Forg_one%2Fsettings", nil, []string{"<h1>Settings"}},
		{"settings, for the owner", "alice", "GET", "/organizations/org_one/settings", 200, "",
			[]string{"<h1>Settings for Leaf & Kettle</h1>"}, nil},
		{"settings, for a plain member", "alice", "GET", "/organizations/org_two/settings", 403, "",
			[]string{"You do not have access to this page", "the role “owner”"}, []string{"<h1>Settings"}},

		{"deleting, not signed in", "", "GET", "/account/delete", 303, "/sign-in?max_age=300&return_to=%2Faccount%2Fdelete", nil, []string{"Delete"}},
		{"deleting, after a sign-in some time ago", "alice, some time ago", "GET", "/account/delete", 303,
			"/sign-in?max_age=300&return_to=%2Faccount%2Fdelete", nil, []string{"Delete"}},
		{"the form for deleting, after a sign-in some time ago", "alice, some time ago", "POST", "/account/delete", 401, "",
			[]string{"Please confirm that it is you", `href="/sign-in?max_age=300"`}, []string{"deleted"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a.ask(t, people[row.person], row.method, row.path).want(t, row.status, row.location, row.has, row.lacks...)
		})
	}
}

func TestRoutes_WaysToSignIn(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	for _, row := range []struct{ path, firstScreen, direct, language string }{
		{"/sign-in", "", "", "en"},
		{"/sign-up", "register", "", "en"},
		{"/sign-in/naver?lang=ko", "", "social:naver", "ko"},
		{"/sign-in/x?lang=th", "", "social:x", "th"},
	} {
		a.send(t, a.provider.NewClient(), "GET", a.settings.BaseURL+row.path, nil)
		requests := a.provider.AuthorizationRequests()
		asked := requests[len(requests)-1].Effective
		if first, direct := asked.Get("first_screen"), asked.Get("direct_sign_in"); first != row.firstScreen || direct != row.direct {
			t.Errorf("%s: got first_screen %q and direct_sign_in %q; want %q and %q", row.path, first, direct, row.firstScreen, row.direct)
		}
		if got := asked.Get("ui_locales"); got != row.language {
			t.Errorf("%s: got ui_locales %q; want %q", row.path, got, row.language)
		}
		if got, want := asked.Get("scope"), "openid profile offline_access email roles urn:logto:scope:organizations "+
			"urn:logto:scope:organization_roles read:orders write:orders read:members invite:members"; got != want {
			t.Errorf("%s: scope: got %q; want %q", row.path, got, want)
		}
	}
}

// After one more sign-in both the page and its form are open.
func TestRoutes_DeleteAfterStepUp(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	alice := a.browserBefore(t)
	before := time.Now().Add(-time.Second)
	got := a.signIn(t, alice, "/account/delete", signintest.Alice().Subject)
	got.want(t, 200, "", []string{"Delete your account?", ` method="post" action="/account/delete">`})
	requests := a.provider.AuthorizationRequests()
	if asked := requests[len(requests)-1].Effective; asked.Get("max_age") != "300" || len(requests) != 2 {
		t.Errorf("got max_age %q in authorization request %d; want 300 in the second", asked.Get("max_age"), len(requests))
	}
	confirmed := regexp.MustCompile(`datetime="([^"]+)"`).FindStringSubmatch(got.body)
	if confirmed == nil {
		t.Fatalf("got no time in the page; want the time of the sign-in\n%s", got.body)
	}
	if at, err := time.Parse(time.RFC3339, confirmed[1]); err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("confirmed: got %s, %v; want a time after the test began", confirmed[1], err)
	}
	a.ask(t, alice, "POST", "/account/delete").want(t, 200, "", []string{"Nothing was deleted"})
	a.ask(t, alice, "GET", "/account/delete").want(t, 200, "", []string{"Delete your account?"})
}

// A session in another browser ends, and this one goes on as a new session. Another
// site cannot cause that, and other people do not notice.
func TestRoutes_SignOutEverywhere(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	here, elsewhere, bob := a.browserOf(t, signintest.Alice()), a.browserOf(t, signintest.Alice()), a.browserOf(t, signintest.Bob())
	a.ask(t, nil, "POST", "/sign-out-everywhere").want(t, 401, "", []string{"Please sign in"})
	forged := httptest.NewRequest("POST", "/sign-out-everywhere", nil)
	forged.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	if a.ServeHTTP(w, signintest.WithUser(forged, alice)); w.Code != http.StatusForbidden {
		t.Errorf("from another site: got %d; want 403", w.Code)
	}
	a.ask(t, elsewhere, "GET", "/account").want(t, 200, "", []string{"Alice Example"})

	got, at := a.send(t, here, "POST", a.settings.BaseURL+"/sign-out-everywhere", url.Values{})
	if got.want(t, 200, "", []string{"Alice Example", "signed out in all other browsers"}); at != a.settings.BaseURL+"/account?everywhere" {
		t.Errorf("got to %s; want to the account page, which says so", at)
	}
	a.ask(t, elsewhere, "GET", "/account").want(t, 303, "/sign-in?return_to=%2Faccount", nil)
	a.ask(t, bob, "GET", "/account").want(t, 200, "", []string{"Bob Example"})
}

// Cross-site request forgery: forms of other sites are refused although the
// browser sends the cookies of a person who is signed in.
func TestRoutes_FormsOfOtherSites(t *testing.T) {
	t.Parallel()
	a := application(t, ordersAPI)
	alice := a.browserBefore(t)
	for _, row := range []struct {
		name, value      string
		orders, deleting int
	}{
		{"Sec-Fetch-Site", "cross-site", 403, 403},
		{"Sec-Fetch-Site", "same-site", 403, 403},
		{"Origin", "https://elsewhere.example.test", 403, 403},
		{"Origin", "null", 403, 403},
		{"Sec-Fetch-Site", "same-origin", 200, 401}, // 401 asks for a step-up
		{"Origin", a.settings.BaseURL, 200, 401},
	} {
		for path, want := range map[string]int{"/orders": row.orders, "/account/delete": row.deleting} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.settings.BaseURL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(row.name, row.value)
			for _, cookie := range alice.Jar.Cookies(r.URL) {
				r.AddCookie(cookie)
			}
			r.Host = "behind-a-proxy.example.test" // the jar has no cookies for it
			resp, err := alice.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("POST %s with %s: %s: got %d; want %d", path, row.name, row.value, resp.StatusCode, want)
			}
		}
	}
}

func TestOrders_NoAPI(t *testing.T) {
	t.Parallel()
	a := application(t, "")
	a.ask(t, a.browserOf(t, signintest.Alice()), "GET", "/orders").
		want(t, 200, "", []string{"There is no API yet", "API_RESOURCE", "read:orders"}, "curl", "No answer from the API")
}

func TestOrders_Trouble(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		cause func(*testing.T, *running)
		path  string
		want  int
		has   []string
		lacks string
	}{
		{"the API is down", func(_ *testing.T, a *running) { a.endAPI() },
			"/orders", 502, []string{"No answer from the API", "The API is not answering as it should", `<html lang="en">`}, "connect"},
		{"the API cannot fetch the provider's keys", func(_ *testing.T, a *running) {
			a.provider.OnTokenRequest(func(url.Values) { a.provider.Down() })
		}, "/orders", 200, []string{"The API says no", "503 Service Unavailable"}, "Two orders"},
		{"the provider gives no token for the API", func(_ *testing.T, a *running) { a.provider.Down() },
			"/orders", 503, []string{"Signing in is not possible right now", `class="brand"`}, "Two orders"},
		{"the provider gives no token for the organization", func(_ *testing.T, a *running) { a.provider.Down() },
			"/organizations/org_one", 503, []string{"Signing in is not possible right now", `class="brand"`}, "read:members"},
		{"the provider does not say what the organizations are called", func(_ *testing.T, a *running) { a.provider.Down() },
			"/organizations", 200, []string{`href="/organizations/org_one">Organization 1</a>`, `href="/organizations/org_two">Organization 2</a>`}, "Kettle"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := application(t, ordersAPI)
			alice := a.browserOf(t, signintest.Alice())
			row.cause(t, a)
			a.ask(t, alice, "GET", row.path).want(t, row.want, "", row.has, row.lacks)
		})
	}
}
