package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gosignin/signin/signintest"
)

// signedIn is a browser in which somebody has signed in at the provider for tests.
func (p *program) signedIn(user signintest.User) *http.Client {
	p.t.Helper()
	c := browser(p.t)
	at := visit(p.t, c, p.url+"/sign-in", nil)
	visit(p.t, c, at.url.String(), url.Values{"user": {user.Subject}}).want(p.t, http.StatusOK, p.url+"/", "Hello, "+user.Name)
	return c
}

func TestThePeopleOfTheProviderForTestsSeeWhatTheyMay(t *testing.T) {
	t.Parallel()
	p := start(t, anywhere, nil)
	alice, bob, x := p.signedIn(signintest.Alice()), p.signedIn(signintest.Bob()), p.signedIn(signintest.XUser())
	for _, row := range []struct {
		path   string
		client *http.Client
		form   url.Values
		status int
		text   string
	}{
		{"/orders", alice, nil, 200, "<dd>read:orders, write:orders</dd>"},
		{"/orders", alice, url.Values{}, 200, "<code>201 Created</code>"},
		{"/orders", bob, nil, 200, "<dd>read:orders</dd>"},
		{"/orders", bob, url.Values{}, 200, "This needs the scope write:orders"},
		{"/orders", x, nil, 200, "This needs the scope read:orders"},
		{"/admin", alice, nil, 200, "<h1>Administration</h1>"},
		{"/admin", bob, nil, 403, "this needs the role admin"},
		{"/organizations", alice, nil, 200, `href="/organizations/org_one"`},
		{"/organizations", bob, nil, 200, "You belong to no organization"},
		{"/organizations/org_one", alice, nil, 200, "<dd>read:members, invite:members</dd>"},
		{"/organizations/org_one", bob, nil, 403, "This page is not open to you"},
		{"/organizations/org_one/settings", alice, nil, 200, "<h1>Settings of org_one</h1>"},
		{"/organizations/org_two/settings", alice, nil, 403, "This page is not open to you"},
	} {
		visit(t, row.client, p.url+row.path, row.form).want(t, row.status, p.url+row.path, row.text)
	}
}

func TestDeletingAnAccountAsksForAnotherSignIn(t *testing.T) {
	t.Parallel()
	p := start(t, anywhere, nil)
	c := p.signedIn(signintest.Alice())
	visit(t, c, p.url+"/account/delete", url.Values{}).want(t, http.StatusUnauthorized, p.url+"/account/delete",
		"Please confirm that it is you", `href="/sign-in?max_age=300"`)
	at := visit(t, c, p.url+"/account/delete", nil)
	if at.url.Path != "/sign-in" || "http://"+at.url.Host != providerOf(p) {
		t.Fatalf("the page for deleting: got to %s; want the provider's sign-in", at.url)
	}
	visit(t, c, at.url.String(), url.Values{"user": {signintest.Alice().Subject}}).
		want(t, http.StatusOK, p.url+"/account/delete", "Delete your account?")
	visit(t, c, p.url+"/account/delete", url.Values{}).want(t, http.StatusOK, p.url+"/account/delete", "Nothing was deleted")
}

// What comes from a form of another site is refused, whoever is signed in.
func TestFormsOfOtherSitesDoNothing(t *testing.T) {
	t.Parallel()
	p := start(t, anywhere, nil)
	c := p.signedIn(signintest.Alice())
	for _, row := range []struct {
		name, value string
		status      int
	}{
		{"Sec-Fetch-Site", "cross-site", 403},
		{"Sec-Fetch-Site", "same-site", 403},
		{"Origin", "https://elsewhere.example.test", 403},
		{"Origin", "null", 403},
		{"Sec-Fetch-Site", "same-origin", 200},
		{"Origin", p.url, 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(row.name, row.value)
		for _, cookie := range c.Jar.Cookies(r.URL) {
			r.AddCookie(cookie)
		}
		r.Host = "behind-a-proxy.example.test" // for which c has no cookies
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if done := strings.Contains(string(body), "One more order"); err != nil || resp.StatusCode != row.status || done != (row.status == 200) {
			t.Errorf("%s: %s: got %d, an order %t, %v; want %d", row.name, row.value, resp.StatusCode, done, err, row.status)
		}
		r.URL.Path = "/account/delete" // after the same question, a step-up
		if resp, err = c.Do(r); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := map[int]int{200: 401, 403: 403}[row.status]; resp.StatusCode != want {
			t.Errorf("%s: %s, deleting: got %d; want %d", row.name, row.value, resp.StatusCode, want)
		}
	}
}
