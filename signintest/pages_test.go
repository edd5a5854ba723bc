package signintest_test

import (
	"net/http"
	"net/url"
	"regexp"
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
			if typed := `name="identifier" value="` + test.form.Get("identifier") + `"`; !strings.Contains(got.raw, typed) {
				t.Errorf("%s: got %s; want what was typed in it, %s", name, got.raw, typed)
			}
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

// The console does to an account what Logto's does.
func TestConsole(t *testing.T) {
	t.Parallel()
	a := start(t)
	bob := signintest.Bob().Subject
	state := func() string {
		got := a.get(t, a.p.URL+"/console", "")
		return strings.Join(regexp.MustCompile(`Suspended|value="reinstate"`).FindAllString(got.raw, -1), " ")
	}
	do := func(user, what string) answer {
		return send(t, a.client(), newRequest(t, http.MethodPost, a.p.URL+"/console", url.Values{"user": {user}, "do": {what}}))
	}
	if got := state(); got != "" {
		t.Errorf("at first: got %q; want no suspended user", got)
	}
	do(bob, "suspend").shows(t, "suspend", 303, "")
	if got := state(); got != `Suspended value="reinstate"` {
		t.Errorf("suspended: got %q; want one", got)
	}
	address, _ := a.page(t)
	got, _ := a.fill(t, address, url.Values{"user": {bob}})
	got.shows(t, "a suspended user", 403, "This account is suspended.")
	do(bob, "reinstate").shows(t, "reinstate", 303, "")
	do(bob, "reset").shows(t, "reset", 303, "")
	if got := state(); got != "" {
		t.Errorf("reinstated: got %q; want no suspended user", got)
	}
	do("eve", "suspend").shows(t, "an unknown user", 400, "There is no such account.")
	r := newRequest(t, http.MethodPost, a.p.URL+"/console", url.Values{"user": {bob}, "do": {"suspend"}})
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := send(t, a.client(), r); got.status != 403 || state() != "" {
		t.Errorf("a form of another site: got %d; want 403, and nothing done", got.status)
	}
}

// Pages are in the first known language of ui_locales, or else of the browser.
func TestPages_Languages(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, row := range []struct{ name, uiLocales, accept, language, heading string }{
		{"nothing", "", "", "en", "Sign in"},
		{"the application's choice", "ko", "th", "ko", "로그인"},
		{"a region, after a language that is not here", "fr th-TH", "ko", "th", "เข้าสู่ระบบ"},
		{"the browser's", "", "ko-KR,ko;q=0.9,en;q=0.8", "ko", "로그인"},
		{"neither is here", "fr", "de", "en", "Sign in"},
	} {
		address := a.next(t, a.client(), "ui_locales", row.uiLocales).String()
		r := newRequest(t, http.MethodGet, address, nil)
		r.Header.Set("Accept-Language", row.accept)
		page := send(t, a.client(), r).raw
		if !strings.Contains(page, `<html lang="`+row.language+`">`) || !strings.Contains(page, row.heading+"</h1>") {
			t.Errorf("%s: got %s; want language %s and heading %s", row.name, page, row.language, row.heading)
		}
	}
}

// No text is left in English on a page in another language.
func TestPages_Translations(t *testing.T) {
	t.Parallel()
	a := start(t)
	markup := regexp.MustCompile(`(?s)<style.*?</style>|<[^>]*>|[\w.]+@[\w.]+`)
	english := regexp.MustCompile(`[a-z]{4,}`)
	for _, language := range []string{"ko", "th"} {
		for path, form := range map[string]url.Values{
			"/sign-in": {"user": {"eve"}}, "/register": {"email": {""}}, "/connect/social:naver": nil, "/connect/social:x": nil, "/over": nil, "/console": nil,
		} {
			address, _ := a.page(t, "ui_locales", language, "organization_id", "org")
			if path == "/console" {
				address = a.p.URL + path
			} else if path == "/over" {
				a.fill(t, address, url.Values{"user": {signintest.Bob().Subject}})
			} else {
				address = strings.Replace(address, "/sign-in", path, 1)
			}
			method := http.MethodGet
			if form != nil {
				method = http.MethodPost
			}
			r := newRequest(t, method, address, form)
			r.Header.Set("Accept-Language", language)
			page := send(t, a.client(), r).raw
			text := strings.NewReplacer("Alice Example", "", "Bob Example", "", "Xavier Example", "", "Naver", "", "x00000000001", "").
				Replace(markup.ReplaceAllString(page, " "))
			if got := english.FindString(text); got != "" || !strings.Contains(page, `<html lang="`+language+`">`) {
				t.Errorf("%s in %s: got %q; want no English", path, language, got)
			}
		}
	}
}
