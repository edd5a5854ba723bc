package signintest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/signintest"
)

func TestEndSession_Parameters(t *testing.T) {
	t.Parallel()
	a := start(t)
	old := a.signIn(t, signintest.Bob()).text("id_token")
	a.p.RotateKey()
	hint := a.signIn(t, signintest.Bob()).text("id_token")
	a.p.RotateKey()
	id, home := a.cfg.ClientID, a.URL+"/"
	q := func(pairs ...string) url.Values { return changedBy(url.Values{}, pairs) }
	const to = "post_logout_redirect_uri"
	for name, test := range map[string]struct {
		q        url.Values
		status   int
		location string
	}{
		"by client_id":               {q("client_id", id, to, home, "state", "s&1"), 303, home + "?state=s%261"},
		"by client_id without state": {q("client_id", id, to, a.URL), 303, a.URL},
		"by id_token_hint":           {q("id_token_hint", hint, to, home), 303, home},
		"no address":                 {q("client_id", id), 200, ""},
		"no parameters":              {q(), 200, ""},
		"a hint of a rotated key":    {q("id_token_hint", old, to, home), 400, ""},
		"a hint that is not a token": {q("id_token_hint", "x", "client_id", id), 400, ""},
		"an unknown address":         {q("client_id", id, to, home+"x"), 400, ""},
		"an address and no client":   {q(to, home), 400, ""},
		"another client":             {q("client_id", "x", to, home), 400, ""},
	} {
		got := a.get(t, a.p.Issuer+"/session/end?"+test.q.Encode(), "")
		same(t, name+": status", got.status, test.status)
		same(t, name+": location", got.header.Get("Location"), test.location)
		same(t, name+": a page", strings.Contains(got.raw, "You are signed out"), test.status == 200)
		same(t, name+": an error", got.text("error") != "", test.status == 400)
	}
}

// receiver is an application that verifies logout tokens with go-oidc, and
// answers with status.
func receiver(t *testing.T, p *signintest.Provider, status int) (app *httptest.Server, got chan *oidc.LogoutToken) {
	t.Helper()
	op, err := oidc.NewProvider(t.Context(), p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	got = make(chan *oidc.LogoutToken, 10)
	app = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verifier := op.VerifierContext(context.Background(), &oidc.Config{ClientID: "signintest-app"})
		token, err := verifier.VerifyLogout(r.Context(), r.PostFormValue("logout_token"))
		if err != nil {
			t.Errorf("got %v; want a logout token that verifies", err)
		}
		got <- token
		w.WriteHeader(status)
	}))
	t.Cleanup(app.Close)
	p.RegisterBackChannelURIs(app.URL + "/backchannel-logout")
	return app, got
}

func TestLogout_NamesUserOrSession(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	_, got := receiver(t, p, 503)
	for _, test := range []struct{ subject, sid string }{{"bob", ""}, {"", "the-sid"}, {"bob", "the-sid"}} {
		d := p.Logout(test.subject, test.sid)
		if len(d) != 1 || d[0].Status != 503 || part(t, d[0].Token, 0)["typ"] != "logout+jwt" {
			t.Fatalf("%v: got %d deliveries; want one answered with 503", test, len(d))
		}
		token := <-got
		if token.Subject != test.subject || token.SessionID != test.sid || token.TokenID == "" {
			t.Errorf("%v: got sub %q, sid %q, jti %q", test, token.Subject, token.SessionID, token.TokenID)
		}
	}
}

func TestLogout_EndsSessionsAtTheProvider(t *testing.T) {
	t.Parallel()
	a := start(t)
	bob := signintest.Bob().Subject
	for range 3 {
		a.signIn(t, signintest.Bob())
	}
	a.signIn(t, signintest.Alice())
	want := func(when string, bobs int) {
		t.Helper()
		same(t, when+": Bob's sessions", len(a.p.SessionIDs(bob)), bobs)
		same(t, when+": Alice's sessions", len(a.p.SessionIDs(signintest.Alice().Subject)), 1)
	}
	want("before", 3)
	a.p.Logout(bob, a.p.SessionIDs(bob)[0])
	want("after one", 2)
	a.p.Logout(bob, "")
	want("after all", 0)
}

func TestLogout_DeliveryFails(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	defer p.Close()
	p.RegisterBackChannelURIs("http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1/\x7f")
	for _, d := range p.Logout("bob", "") {
		if d.Err == nil || d.Status != 0 {
			t.Errorf("%q: got %d, %v; want an error", d.URL, d.Status, d.Err)
		}
	}
	same(t, "deliveries, where one address was given twice", len(p.LogoutDeliveries()), 2)
}
