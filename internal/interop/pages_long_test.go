//go:build long

package interop

import (
	"net/http"
	"net/http/httptest"
	"testing"

	pages "github.com/gosignin/signin/internal/page"
)

// Every page of this package, of the example and of its provider, in each language:
// see (*tab).wantGood.
func TestInABrowser_Pages(t *testing.T) {
	program := buildExample(t, "example")
	for _, in := range []pages.Language{pages.English, pages.Korean, pages.Thai} {
		t.Run(string(in), func(t *testing.T) {
			p, b := startExample(t, program), openBrowser(t)
			b.allowScripts(false)
			b.read(string(in))
			walkPackage(t, b)
			walkSignIns(p, b)
			walkAccount(p, b)
		})
	}
}

// walkPackage opens every page of the package. Their links lead nowhere.
func walkPackage(t *testing.T, b *tab) {
	values := map[string][]any{
		pages.MissingRole:  {"billing-administrator"},
		pages.OtherAddress: {"https://a-rather-long-name.app.example.com/"},
		pages.CookiesOf:    {"a-rather-long-name.app.example.com"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Query().Get("key")
		p := pages.For(pages.Choose(r.Header.Get("Accept-Language")), key, values[key]...)
		if r.URL.Query().Has("form") {
			p = p.NotSaved()
		}
		for i := range p.Actions {
			p.Actions[i].URL = "/elsewhere"
		}
		p.Home = pages.Home{Name: "app.example.com", URL: "/"}
		pages.Write(w, r, p)
	}))
	defer server.Close()
	for _, key := range pages.Keys() {
		b.open(server.URL + "/?key=" + key)
		b.wantGood("package-" + key)
	}
	b.open(server.URL + "/?form&key=not_signed_in")
	b.wantGood("package-not-saved")
}

// walkSignIns goes, by keyboard alone, through the ways to sign in, and what can go
// wrong there.
func walkSignIns(p *exampleProgram, b *tab) {
	b.open(p.url + "/")
	b.wantGoodPage("example-home-signed-out", 200)
	b.open(p.url + "/callback?code=forged&state=unknown")
	b.wantGoodPage("example-bad-callback", 400)
	b.enter(`main a[href="/"]`)
	b.enter("footer a[lang=" + b.language + "]") // remembered from here on
	b.enter(`a[href="/sign-up"]`)
	b.wantGoodPage("provider-register", 200)
	b.fill("email", "alice@example.test")
	b.enter("main form button")
	b.wantGoodPage("provider-register-taken", 422)
	b.enter(`main a[href^="/sign-in"]`)
	b.wantGoodPage("provider-sign-in", 200)
	b.fill("identifier", "an-account-that-is-not-there@example.test")
	b.enter("button.main")
	b.wantGoodPage("provider-sign-in-unknown", 422)
	b.enter(`a[href^="/connect/social:x"]`)
	b.wantGoodPage("provider-x", 200)
	b.enter("main form button")
	b.wantGoodPage("example-home-without-picture", 200)
	b.enter(`main a[href="/account"]`)
	b.wantGoodPage("example-account-without-picture", 200)
	b.open(p.url + "/admin")
	b.wantGoodPage("example-missing-role", 403)
	b.enter(`main a[href="/"]`)
	b.enter(`main a[href="/organizations"]`)
	b.wantGoodPage("example-organizations-none", 200)
	b.enter("header form button")

	b.enter(`a[href="/sign-in/naver"]`)
	b.wantGoodPage("provider-naver", 200)
	b.enter("main form button")
	b.wantGoodPage("example-home-naver", 200)
	b.enter(`main a[href="/orders"]`)
	b.wantGoodPage("example-orders-refused", 200)
	b.enter("header form button")

	provider := b.authorizationRequest()
	b.open(provider.String() + "&organization_id=org_one")
	b.wantGoodPage("provider-organization", 200)
	provider.Path, provider.RawQuery = "/sign-in", "interaction=over"
	b.open(provider.String())
	b.wantGoodPage("provider-over", 400)
	provider.Path, provider.RawQuery = "/oidc/session/end", ""
	b.open(provider.String())
	b.wantGoodPage("provider-signed-out", 200)
}

// walkAccount goes, by keyboard alone, through what is for people who have signed in.
func walkAccount(p *exampleProgram, b *tab) {
	b.open(p.url + "/account")
	b.enter(`button[value^="alice"]`)
	b.wantGoodPage("example-account", 200)
	b.unfold("summary")
	b.wantGoodPage("example-account-claims", 200)
	b.enter(".danger")
	b.wantGoodPage("example-account-everywhere", 200)
	for _, page := range []struct{ link, name string }{
		{"header a.brand", "home"},
		{`main a[href="/orders"]`, "orders"},
		{"main form button", "orders-placed"},
		{"header a.brand", "home-again"},
		{`main a[href="/organizations"]`, "organizations"},
		{`main a[href$="/org_one"]`, "organization"},
		{`main a[href$="/settings"]`, "organization-settings"},
		{"header a.brand", "home-again"},
		{`main a[href="/admin"]`, "admin"},
		{`main a[href="/"]`, "home-again"},
		{`main a[href="/account/delete"]`, "delete"},
		{"main form button", "deleted"},
	} {
		b.enter(page.link)
		if page.name != "home-again" {
			b.wantGoodPage("example-"+page.name, 200)
		}
	}
	b.open(p.url + "/nowhere")
	b.wantGoodPage("example-not-found", 404)
	b.open(p.url + "/sign-out")
	b.wantGoodPage("example-sign-out", 200)
	b.enter("footer a[lang=" + b.language + "]")
	b.tabTo(`main a[href="/account"]`) // another language is no answer: the person is still signed in
	b.open(p.url + "/sign-out")
	b.enter("main form button")
	b.wantGoodPage("example-home-signed-out", 200)
}

// wantGoodPage checks the page's status besides.
func (b *tab) wantGoodPage(name string, status int64) {
	b.t.Helper()
	if b.status != status {
		b.t.Fatalf("%s: got %d at %s; want %d\n%s", name, b.status, b.at(), status, b.text())
	}
	b.wantGood(name)
}
