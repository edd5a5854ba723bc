package signintest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gosignin/signin/signintest"
)

// page opens the first page of a sign-in and returns it with its address.
func (a *party) page(t *testing.T, pairs ...string) (address string, got answer) {
	t.Helper()
	address = a.next(t, a.client(), pairs...).String()
	return address, a.get(t, address, "")
}

// fill posts a form of a page, and returns where it redirects to.
func (a *party) fill(t *testing.T, address string, form url.Values) (answer, *url.URL) {
	t.Helper()
	got := send(t, a.client(), newRequest(t, http.MethodPost, address, form))
	at, err := url.Parse(got.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return got, at
}

func TestSignInPage(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.p.SetUser(signintest.User{Subject: "gone", Username: "gone"})
	a.p.Suspend("gone")
	bob := signintest.Bob()
	for name, test := range map[string]struct {
		form   url.Values
		status int
		says   string
	}{
		"a button":                     {url.Values{"user": {bob.Subject}}, 303, ""},
		"a username":                   {url.Values{"identifier": {" Bob "}}, 303, ""},
		"an e-mail address":            {url.Values{"identifier": {bob.Email}}, 303, ""},
		"a phone number":               {url.Values{"identifier": {signintest.Alice().Phone}}, 303, ""},
		"an unknown username":          {url.Values{"identifier": {"eve"}}, 422, "There is no such account."},
		"nothing":                      {url.Values{}, 422, "There is no such account."},
		"a button of another page":     {url.Values{"user": {"eve"}}, 422, "There is no such account."},
		"the name of a suspended user": {url.Values{"identifier": {"gone"}}, 403, "This account is suspended."},
	} {
		address, page := a.page(t)
		if !strings.Contains(page.raw, bob.Name) || strings.Contains(page.raw, signintest.NaverUser().Name) {
			t.Errorf("%s: got a list other than that of the users of this page", name)
		}
		got, at := a.fill(t, address, test.form)
		got.shows(t, name, test.status, test.says)
		if test.status != 303 {
			continue
		}
		q := at.Query()
		if at.Path != "/callback" || q.Get("code") == "" || q.Get("state") != "the-state" || q.Get("iss") != a.p.Issuer {
			t.Errorf("%s: got %s; want the callback with code, state and iss", name, at)
		}
		again, _ := a.fill(t, address, test.form)
		again.shows(t, name+", again", 400, "This sign-in is over")
	}
}

func TestPages_WithoutASignIn(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, path := range []string{"/sign-in", "/register", "/connect/social:naver", "/sign-in?interaction=unknown"} {
		a.get(t, a.p.URL+path, "").shows(t, path, 400, "This sign-in is over")
	}
}
