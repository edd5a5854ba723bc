package signintest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/signintest"
)

func TestEndSessionChecksItsParameters(t *testing.T) {
	t.Parallel()
	a := start(t)
	old := a.signIn(t, signintest.Bob()).text("id_token")
	a.p.RotateKey()
	hint := a.signIn(t, signintest.Bob()).text("id_token")
	a.p.RotateKey()
	id, home := a.cfg.ClientID, a.URL+"/"
	tests := map[string]struct {
		q        url.Values
		status   int
		location string
	}{
		"by client_id":               {url.Values{"client_id": {id}, "post_logout_redirect_uri": {home}, "state": {"s&1"}}, 303, home + "?state=s%261"},
		"by client_id without state": {url.Values{"client_id": {id}, "post_logout_redirect_uri": {a.URL}}, 303, a.URL},
		"by id_token_hint":           {url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {home}}, 303, home},
		"nowhere to go":              {url.Values{"client_id": {id}}, 200, ""},
		"nothing at all":             {nil, 200, ""},
		"a rotated key":              {url.Values{"id_token_hint": {old}, "post_logout_redirect_uri": {home}}, 400, ""},
		"a hint that is no token":    {url.Values{"id_token_hint": {"x"}, "client_id": {id}}, 400, ""},
		"an address not registered":  {url.Values{"client_id": {id}, "post_logout_redirect_uri": {home + "x"}}, 400, ""},
		"an address and no client":   {url.Values{"post_logout_redirect_uri": {home}}, 400, ""},
		"another client":             {url.Values{"client_id": {"x"}, "post_logout_redirect_uri": {home}}, 400, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := a.get(t, a.p.Issuer+"/session/end?"+test.q.Encode(), "")
			if got.status != test.status || got.header.Get("Location") != test.location {
				t.Errorf("got %d to %q; want %d to %q", got.status, got.header.Get("Location"), test.status, test.location)
			}
			if test.status == 400 && (got.text("error") == "" || got.text("code") == "") {
				t.Errorf("got %s; want an error as Logto writes it", got.raw)
			}
		})
	}
}

// receiver is an application that takes logout tokens as go-oidc's
// documentation tells.
func receiver(t *testing.T, p *signintest.Provider, status int) (app *httptest.Server, got chan *oidc.LogoutToken) {
	t.Helper()
	got = make(chan *oidc.LogoutToken, 10)
	mux := http.NewServeMux()
	app = httptest.NewTLSServer(mux)
	t.Cleanup(app.Close)
	cfg := p.Config(app.URL)
	op, err := oidc.NewProvider(context.Background(), p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("POST /backchannel-logout", func(w http.ResponseWriter, r *http.Request) {
		token, err := op.VerifierContext(context.Background(), &oidc.Config{ClientID: cfg.ClientID}).
			VerifyLogout(r.Context(), r.PostFormValue("logout_token"))
		if err != nil {
			t.Errorf("got %v; want a logout token that verifies", err)
		}
		got <- token
		w.WriteHeader(status)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	return app, got
}

func TestEndSessionTellsTheApplications(t *testing.T) {
	t.Parallel()
	a := start(t)
	app, got := receiver(t, a.p, 200)
	client := a.p.NewClient()
	tokens := a.exchange(t, a.authorize(t, client, signintest.Bob(), a.params()).Get("code"))
	sid := part(t, tokens.text("id_token"), 1)["sid"]

	address := a.p.Issuer + "/session/end?" + url.Values{"client_id": {a.cfg.ClientID}, "post_logout_redirect_uri": {a.URL + "/"}}.Encode()
	for range 2 { // the second time there is no session any more
		resp, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	deliveries := a.p.LogoutDeliveries()
	if len(deliveries) != 2 || deliveries[0].URL != a.URL+"/backchannel-logout" || deliveries[1].Status != 200 || deliveries[1].Err != nil {
		t.Fatalf("got %d deliveries; want one to each of two applications", len(deliveries))
	}
	token := <-got
	if token.Subject != signintest.Bob().Subject || token.SessionID != sid || deliveries[1].URL != app.URL+"/backchannel-logout" {
		t.Errorf("got a token of %s, %s; want Bob's, %v", token.Subject, token.SessionID, sid)
	}
	if got := a.p.SessionIDs(signintest.Bob().Subject); len(got) != 0 {
		t.Errorf("got sessions %v; want none", got)
	}
	// A refresh token with offline access outlives the session.
	if got := a.refresh(t, tokens.text("refresh_token")).status; got != 200 {
		t.Errorf("refresh: got %d; want 200", got)
	}
	if got := a.p.Stats().EndSessions; got != 2 {
		t.Errorf("got %d counted; want 2", got)
	}
}

func TestLogoutNamesAUserASessionOrBoth(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	_, got := receiver(t, p, 503)
	for name, test := range map[string]struct{ subject, sid string }{
		"a user": {"bob", ""}, "a session": {"", "the-sid"}, "both": {"bob", "the-sid"},
	} {
		d := p.Logout(test.subject, test.sid)
		if len(d) != 1 || d[0].Status != 503 || d[0].Token == "" {
			t.Fatalf("%s: got %d deliveries; want one answered with 503", name, len(d))
		}
		token := <-got
		if token.Subject != test.subject || token.SessionID != test.sid || token.TokenID == "" {
			t.Errorf("%s: got sub %q, sid %q, jti %q", name, token.Subject, token.SessionID, token.TokenID)
		}
	}
	if typ := part(t, p.LogoutToken("bob", ""), 0)["typ"]; typ != "logout+jwt" {
		t.Errorf("got typ %v; want logout+jwt", typ)
	}
}

func TestLogoutEndsSessionsAtTheProvider(t *testing.T) {
	t.Parallel()
	a := start(t)
	bob := signintest.Bob().Subject
	for range 3 {
		a.signIn(t, signintest.Bob())
	}
	a.signIn(t, signintest.Alice())
	sids := a.p.SessionIDs(bob)
	if len(sids) != 3 {
		t.Fatalf("got %d sessions; want 3", len(sids))
	}
	a.p.Logout(bob, sids[0])
	if got := len(a.p.SessionIDs(bob)); got != 2 {
		t.Errorf("after one: got %d sessions; want 2", got)
	}
	a.p.Logout(bob, "")
	if got := len(a.p.SessionIDs(bob)); got != 0 {
		t.Errorf("after all: got %d sessions; want none", got)
	}
	if got := len(a.p.SessionIDs(signintest.Alice().Subject)); got != 1 {
		t.Errorf("got %d sessions of Alice; want 1", got)
	}
}

func TestDeliveriesThatFailSayWhy(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	defer p.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	p.RegisterBackChannelURIs(gone.URL, gone.URL, "http://[::1", "http://127.0.0.1:1/\x7f")
	for _, d := range p.Logout("bob", "") {
		if d.Err == nil || d.Status != 0 {
			t.Errorf("%q: got %d, %v; want an error", d.URL, d.Status, d.Err)
		}
	}
	if got := len(p.LogoutDeliveries()); got != 3 {
		t.Errorf("got %d deliveries; want 3, one address was given twice", got)
	}
}

func TestSignedOutPageSaysThatItIsATest(t *testing.T) {
	t.Parallel()
	a := start(t)
	got := a.get(t, a.p.Issuer+"/session/end", "")
	if !strings.Contains(got.raw, "You are signed out") || !strings.Contains(got.raw, "test provider") {
		t.Errorf("got %s", got.raw)
	}
}
