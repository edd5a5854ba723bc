package interop

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gosignin/signin"
)

const (
	// ordersAPI and reportsAPI are resource indicators
	// (https://www.rfc-editor.org/rfc/rfc8707#section-2), at which no server
	// listens.
	ordersAPI  = "https://orders.example.com"
	reportsAPI = "https://reports.example.com"
	// machineID is a client that gets tokens for itself.
	machineID = "machine"
)

// apiScopes are what may be done at each API that the providers know.
var apiScopes = map[string]string{
	ordersAPI:  "orders:read",
	reportsAPI: "reports:read",
}

// The application asks for an access token for one API
// (https://www.rfc-editor.org/rfc/rfc9068), the provider makes it, and an API that
// knows only the provider judges it.
func TestTokensForAPIs(t *testing.T) {
	t.Parallel()
	for _, provider := range foreignsWithEachKey {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			tests := []struct {
				name  string
				check func(*testing.T, *httptest.Server, foreign)
			}{
				{"one API after the other, with a refresh token that rotates", checkTokensInTurn},
				{"a resource that was configured after the sign-in", checkResourceConfiguredLater},
				{"the API's guard refuses tokens that are not for it", checkGuard},
			}
			servers, ops := startFor(t, provider, len(tests))
			for i, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					op := ops[i]
					op.resources = []string{ordersAPI, reportsAPI}
					op.scopes = []string{"orders:read", "reports:read"}
					test.check(t, servers[i], op)
				})
			}
		})
	}
}

// grantedToken is what an application's page says of an access token.
type grantedToken struct {
	Token, Refresh, Scope string
	Code                  signin.Code
}

// withTokens adds a page to an application, /token, that says what AccessToken
// returns.
func withTokens(auth *signin.Auth) http.Handler {
	m := http.NewServeMux()
	m.Handle("/", onServeMux(auth))
	m.Handle("GET /token", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var opts []signin.TokenOption
		if resource := r.FormValue("resource"); resource != "" {
			opts = append(opts, signin.ForResource(resource))
		}
		var granted grantedToken
		token, err := signin.AccessToken(r.Context(), opts...)
		if failed, ok := errors.AsType[*signin.Error](err); ok {
			granted.Code = failed.Code
		} else if err == nil {
			granted.Token, granted.Refresh = token.AccessToken, token.RefreshToken
			granted.Scope, _ = token.Extra("scope").(string)
		}
		_ = json.NewEncoder(w).Encode(granted)
	})))
	return m
}

// token asks the application's page for a token for a resource, or for the session's
// own if resource is empty.
func (a *application) token(t *testing.T, v *visitor, resource string) grantedToken {
	t.Helper()
	at := v.visit(a.url + "/token?resource=" + url.QueryEscape(resource))
	var granted grantedToken
	if err := json.Unmarshal([]byte(at.body), &granted); err != nil || at.status != http.StatusOK {
		t.Fatalf("the page with a token: got %d at %s, %v; want 200%s", at.status, at.url.Path, err, at.way())
	}
	if granted.Refresh != "" {
		t.Error("got a refresh token with an access token; want none")
	}
	return granted
}

// wantTokenFor checks that an access token is what RFC 9068 demands, for one API.
func wantTokenFor(t *testing.T, a *application, granted grantedToken, api, person string) {
	t.Helper()
	if granted.Token == "" {
		t.Fatalf("a token for %s: got the error %q; want a token", api, granted.Code)
	}
	head, c := header(t, granted.Token), claims(t, granted.Token)
	if head["typ"] != "at+jwt" || head["alg"] != string(a.op.alg) {
		t.Errorf("the header of a token for %s: got %v; want typ at+jwt and alg %s", api, head, a.op.alg)
	}
	for name, want := range map[string]string{"aud": api, "iss": a.op.issuer, "sub": person, "client_id": a.op.clientID} {
		if c[name] != want {
			t.Errorf("%s of a token for %s: got %v; want %s alone", name, api, c[name], want)
		}
	}
	if scopes, _ := c["scope"].(string); !slices.Contains(strings.Fields(scopes), apiScopes[api]) {
		t.Errorf("scope of a token for %s: got %q; want %s in it", api, scopes, apiScopes[api])
	}
	if !slices.Contains(strings.Fields(granted.Scope), apiScopes[api]) {
		t.Errorf("the scope that goes with a token for %s: got %q; want %s in it", api, granted.Scope, apiScopes[api])
	}
}

// checkTokensInTurn asks for the tokens of two APIs, and again when they are
// due.
func checkTokensInTurn(t *testing.T, server *httptest.Server, op foreign) {
	a := serve(t, server, withTokens, op, "")
	v := newVisitor(t)
	a.signIn(t, v, "ada")

	own := a.token(t, v, "")
	if own.Token == "" || strings.Count(own.Token, ".") == 2 {
		t.Errorf("the session's own token: got %d parts; want an opaque one", strings.Count(own.Token, ".")+1)
	}
	if own.Token != a.wire.of("authorization_code")[0].tokens.AccessToken {
		t.Error("the session's own token is not the one that came with the sign-in")
	}
	orders := a.token(t, v, ordersAPI)
	wantTokenFor(t, a, orders, ordersAPI, "ada")
	reports := a.token(t, v, reportsAPI)
	wantTokenFor(t, a, reports, reportsAPI, "ada")
	if again := a.token(t, v, ordersAPI); again.Token != orders.Token {
		t.Error("a token that is still good was fetched again")
	}
	wantResources(t, a, ordersAPI, reportsAPI)

	// All are due now. The session's own is refreshed with the request, the others
	// when they are asked for.
	a.clock.move(untilRefresh)
	checkAccount(t, a, v.visit(a.url+"/account"))
	if next := a.token(t, v, ordersAPI); next.Token == orders.Token {
		t.Error("a token that was due was not fetched again")
	} else {
		wantTokenFor(t, a, next, ordersAPI, "ada")
	}
	if next := a.token(t, v, ""); next.Token == own.Token || strings.Count(next.Token, ".") == 2 {
		t.Error("the session's own token was not refreshed, or is no longer opaque")
	}
	wantResources(t, a, ordersAPI, reportsAPI, "", ordersAPI)
	checkAccount(t, a, v.visit(a.url+"/account"))
	checkSignOut(t, a, v)
}

// wantResources checks which resource each refresh so far was for.
func wantResources(t *testing.T, a *application, want ...string) {
	t.Helper()
	var got []string
	for _, e := range a.wire.of("refresh_token") {
		got = append(got, strings.Join(e.form["resource"], " "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("refreshes by resource: got %q; want %q", got, want)
	}
}

// checkResourceConfiguredLater starts an application that knows one more API than
// the one in which the session began. The person has not granted that API, and the
// provider says so. Providers differ in whether the refresh token survives that.
func checkResourceConfiguredLater(t *testing.T, server *httptest.Server, op foreign) {
	before := op
	before.resources = []string{ordersAPI}
	v := newVisitor(t)
	serve(t, server, onServeMux, before, "").signIn(t, v, "ada")
	server.Close()
	l, err := net.Listen("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	next := httptest.NewUnstartedServer(nil)
	_ = next.Listener.Close()
	next.Listener = l
	a := serve(t, next, withTokens, op, "")
	a.wantSignedIn(t, v, "ada")

	if got := a.token(t, v, reportsAPI); got.Code != signin.ErrUnknownResource || got.Token != "" {
		t.Errorf("a token for an API that was not granted: got the error %q; want %q", got.Code, signin.ErrUnknownResource)
	}
	a.wantSignedIn(t, v, "ada")
	orders := a.token(t, v, ordersAPI)
	if op.spendsOnRefusal {
		if orders.Code != signin.ErrNotSignedIn || orders.Token != "" {
			t.Errorf("a token after the provider has spent the refresh token: got the error %q; want %q", orders.Code, signin.ErrNotSignedIn)
		}
		a.wantSignedOut(t, v)
		wantResources(t, a, reportsAPI, ordersAPI, "") // a plain refresh confirms the end
		return
	}
	wantTokenFor(t, a, orders, ordersAPI, "ada")
	a.wantSignedIn(t, v, "ada")
	wantResources(t, a, reportsAPI, ordersAPI)
}

// An api is an API without sessions. Its answers name the caller.
type api struct {
	*httptest.Server
	calls *transcript
}

// startAPI starts the orders API, which trusts op. It is another program than the
// application, so it has another Auth, with another client.
func startAPI(t *testing.T, op foreign) api {
	t.Helper()
	auth, err := signin.New(signin.Config{
		Issuer:       op.issuer,
		ClientID:     "orders",
		ClientSecret: "not-used",
		BaseURL:      "http://127.0.0.1:1",
		Keys:         [][]byte{[]byte(strings.Repeat("a", 32))},
		HTTPClient:   &http.Client{Transport: ownTransport},
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("signin.New: %v", err)
	}
	said := new(transcript)
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = said.Write([]byte("called\n"))
		user, ok := signin.UserFrom(r.Context())
		if !ok {
			http.Error(w, "a guarded API without a user", http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(caller{user.Subject, user.Issuer, user.Machine})
	})
	m := http.NewServeMux()
	m.Handle("GET /orders", auth.RequireBearer(ordersAPI, signin.HasScope("orders:read"))(who))
	m.Handle("GET /orders/cancel", auth.RequireBearer(ordersAPI, signin.HasScope("orders:write"))(who))
	m.Handle("GET /orders/export", auth.RequireBearer(ordersAPI, signin.AllowMachines(), signin.HasScope("orders:read"))(who))
	// No API should have this audience: it is that of ID tokens.
	m.Handle("GET /careless", auth.RequireBearer(op.clientID)(who))
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	return api{server, said}
}

type caller struct {
	Subject, Issuer string
	Machine         bool
}

// wantCaller checks that an answer of the API names this caller.
func wantCaller(t *testing.T, status int, body string, want caller) {
	t.Helper()
	var got caller
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK || got != want {
		t.Errorf("the API: got %d %q; want 200 and %+v", status, body, want)
	}
}

func checkGuard(t *testing.T, server *httptest.Server, op foreign) {
	orders := startAPI(t, op)
	a := serve(t, server, withTokens, op, "")
	v := newVisitor(t)
	a.signIn(t, v, "ada")
	orderToken := a.token(t, v, ordersAPI)
	wantTokenFor(t, a, orderToken, ordersAPI, "ada")
	reportToken := a.token(t, v, reportsAPI)
	wantTokenFor(t, a, reportToken, reportsAPI, "ada")
	good, reports := orderToken.Token, reportToken.Token
	idToken := a.wire.of("authorization_code")[0].tokens.IDToken

	for name, call := range map[string]struct {
		path, token string
		status      int
	}{
		"an ID token, where its audience is asked for": {"/careless", idToken, http.StatusUnauthorized},
		"a token for another API":                      {"/orders", reports, http.StatusUnauthorized},
		"the session's own, opaque token":              {"/orders", a.token(t, v, "").Token, http.StatusUnauthorized},
		"a scope that was not granted":                 {"/orders/cancel", good, http.StatusForbidden},
		"a machine, where none is let in":              {"/orders", machineToken(t, op), http.StatusForbidden},
	} {
		if status, body := orders.call(t, call.path, call.token); status != call.status {
			t.Errorf("%s: got %d and %q; want %d", name, status, body, call.status)
		}
	}
	if got := orders.calls.String(); got != "" {
		t.Errorf("the API's handler got requests that the guard refuses: %q", got)
	}
	status, body := orders.call(t, "/orders", good)
	wantCaller(t, status, body, caller{Subject: "ada", Issuer: op.issuer})
	status, body = orders.call(t, "/orders/export", machineToken(t, op))
	wantCaller(t, status, body, caller{Subject: machineID, Issuer: op.issuer, Machine: true})
}

// call sends token to the API.
func (s api) call(t *testing.T, path, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := (&http.Client{Transport: ownTransport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// machineToken gets an access token for the orders API without a person
// (https://www.rfc-editor.org/rfc/rfc6749#section-4.4).
func machineToken(t *testing.T, op foreign) string {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: ownTransport})
	provider, err := oidc.NewProvider(ctx, op.issuer)
	if err != nil {
		t.Fatal(err)
	}
	token, err := (&clientcredentials.Config{
		ClientID: machineID, ClientSecret: op.clientSecret, TokenURL: provider.Endpoint().TokenURL,
		Scopes: []string{"orders:read"}, EndpointParams: url.Values{"resource": {ordersAPI}},
	}).Token(ctx)
	if err != nil {
		t.Fatalf("a token for a machine: %v", err)
	}
	return token.AccessToken
}
