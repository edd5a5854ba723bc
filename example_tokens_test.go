package signin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A user who is not signed in is sent to sign in; one who is not allowed gets 403.
func ExampleAuth_Require() {
	cfg := exampleConfig()
	cfg.Scopes = []string{"roles"} // without it, users have no roles
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/admin", auth.Require(signin.HasRole("admin"))(http.HandlerFunc(home)))
	mux.Handle("/articles", auth.Require(
		signin.AnyOf(signin.HasRole("admin"), signin.HasRole("editor")),
	)(http.HandlerFunc(home)))

	for _, path := range []string{"/admin", "/articles"} {
		for _, user := range []*signin.User{nil, {Name: "Bob", Roles: []string{"editor"}}, {Name: "Alice", Roles: []string{"admin"}}} {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", path, nil)
			r.Header.Set("Accept", "text/html")
			mux.ServeHTTP(w, signintest.WithUser(r, user))
			fmt.Print(w.Code, " ")
		}
		fmt.Println(path)
	}
	// Output:
	// 303 403 200 /admin
	// 303 200 200 /articles
}

// Rules of the application: an organization that the path names, and a fact from its
// database.
func ExampleRule() {
	cfg := exampleConfig()
	cfg.Scopes = []string{"urn:logto:scope:organizations"}
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	subscribed := func(organization string) bool { return organization != "org_two" } // a database

	member := signin.MemberOfFunc(func(r *http.Request) string { return r.PathValue("organization") })
	paid := signin.RuleFunc(func(r *http.Request, u *signin.User) error {
		if !subscribed(r.PathValue("organization")) {
			return &signin.Error{
				Code: signin.ErrForbidden, Status: http.StatusPaymentRequired,
				Message: "The subscription of this organization has ended.", // people read it
			}
		}
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("/organizations/{organization}/invoices", auth.Require(member, paid)(http.HandlerFunc(home)))
	// Wrong: before the router has looked at it, the path has no values. Every request
	// gets 500, and the log says why.
	//
	//	http.Handle("/", auth.Require(member)(mux))

	for _, organization := range []string{"org_one", "org_two", "org_three"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/organizations/"+organization+"/invoices", nil)
		mux.ServeHTTP(w, signintest.WithUser(r, &signin.User{Organizations: []string{"org_one", "org_two"}}))
		fmt.Println(w.Code, organization)
	}
	// Output:
	// 200 org_one
	// 402 org_two
	// 403 org_three
}

// A page that must be safe in a browser that was left open: the person signs in once
// more, and comes back.
func ExampleAuthenticatedWithin() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	fresh := auth.Require(signin.AuthenticatedWithin(5 * time.Minute))
	mux.Handle("GET /account/delete", fresh(http.HandlerFunc(account))) // a page with a form
	mux.Handle("POST /account/delete", fresh(http.HandlerFunc(account)))
	// Wrong: people fill in the form, have to sign in, and lose what they wrote.
	//
	//	mux.Handle("GET /account/delete", auth.RequireAuth(page))
	//	mux.Handle("POST /account/delete", fresh(remove))

	now := time.Now()
	for _, signedIn := range []time.Time{now, now.Add(-time.Hour), {}} { // the last is Logto's, until max_age is asked for
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/account/delete", nil)
		r.Header.Set("Accept", "text/html")
		mux.ServeHTTP(w, signintest.WithUser(r, &signin.User{AuthTime: signedIn}))
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Location"))
	}
	// Output:
	// 200 ""
	// 303 "/sign-in?max_age=300&return_to=%2Faccount%2Fdelete"
	// 303 "/sign-in?max_age=300&return_to=%2Faccount%2Fdelete"
}

// A token as a string, for a gRPC connection or a library. For HTTP there is Transport.
func ExampleAccessToken() {
	const api = "https://api.example.com" // one of Config.Resources
	orders := func(w http.ResponseWriter, r *http.Request) {
		token, err := signin.AccessToken(r.Context(), signin.ForResource(api))
		if e := (*signin.Error)(nil); errors.As(err, &e) {
			http.Error(w, e.Message, e.Status)
			return
		}
		fmt.Fprint(w, "asked with ", token.AccessToken)
	}
	for _, resource := range []string{api, "https://other.example.com"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/orders", nil)
		r = signintest.WithUser(r, &signin.User{Subject: "alice"})
		orders(w, signintest.WithAccessToken(r, "alice's token", signin.ForResource(resource)))
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 asked with alice's token
	// 500 This is not your fault, and trying again will not help. Please tell the people who run this site.
}

// Calling an API within one organization of the person. Logto puts into the token what
// they may do there. Without ForResource the token is for the organization itself.
func ExampleForOrganization() {
	const api = "https://api.example.com"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "invoices for %q", r.Header.Get("Authorization"))
	}))
	defer server.Close()
	origin := server.URL

	invoices := func(w http.ResponseWriter, r *http.Request) {
		// One for each organization; they share their connections.
		transport := signin.Transport(origin, signin.ForResource(api), signin.ForOrganization(r.PathValue("organization")))
		client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
		req, err := http.NewRequestWithContext(r.Context(), "GET", origin+"/invoices", nil)
		if err != nil {
			http.Error(w, "This is a mistake of ours.", http.StatusInternalServerError)
			return
		}
		resp, err := client.Do(req)
		if errors.Is(err, signin.ErrNotMember) {
			http.Error(w, "You do not belong to this organization.", http.StatusForbidden)
			return
		}
		if err != nil {
			http.Error(w, "Please try again later.", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/organizations/{organization}/invoices", invoices)

	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/organizations/org_one/invoices", nil)
	r = signintest.WithUser(r, &signin.User{Subject: "alice"})
	mux.ServeHTTP(w, signintest.WithAccessToken(r, "token-within-org_one", signin.ForResource(api), signin.ForOrganization("org_one")))
	fmt.Println(w.Code, w.Body)
	// Output: 200 invoices for "Bearer token-within-org_one"
}

// Calling an API as the person who sent the request.
func ExampleTransport() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	const api = "https://api.example.com" // the resource's name, which need not be its address
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "three orders for %q", r.Header.Get("Authorization"))
	}))
	defer server.Close()
	origin := server.URL

	client := &http.Client{Timeout: 5 * time.Second, Transport: signin.Transport(origin, signin.ForResource(api))} // once
	orders := func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), "GET", origin+"/orders", nil) // r's context has the user
		if err != nil {
			http.Error(w, "This is a mistake of ours.", http.StatusInternalServerError)
			return
		}
		resp, err := client.Do(req)
		switch {
		case auth.HandleError(w, r, err): // there is no token: the person is sent to sign in, or told why
			return
		case err != nil:
			http.Error(w, "Please try again later.", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/orders", nil)
	r = signintest.WithUser(r, &signin.User{Subject: "alice"})
	orders(w, signintest.WithAccessToken(r, "token-for-the-api", signin.ForResource(api)))
	fmt.Println(w.Code, w.Body)
	// Output: 200 three orders for "Bearer token-for-the-api"
}

// An API behind this application. Browsers call it with their session's cookie, which
// the proxy replaces by an access token.
func ExampleTransport_reverseProxy() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	const api = "https://api.example.com"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %q, with cookies %q", r.URL.Path, r.Header.Get("Authorization"), r.Header["Cookie"])
	}))
	defer server.Close()
	origin, err := url.Parse(server.URL)
	if err != nil {
		log.Fatal(err)
	}

	proxy := &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(origin) },
		Transport: signin.Transport(origin.String(), signin.ForResource(api)),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !auth.HandleError(w, r, err) { // there is a token, and the API cannot be reached
				http.Error(w, "Please try again later.", http.StatusBadGateway)
			}
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", auth.RequireAuth(proxy))
	// Browsers send the cookie with requests from other sites too.
	handler := http.NewCrossOriginProtection().Handler(mux)

	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/api/orders", nil)
	r.Header.Set("Cookie", "__Host-signin=the-session; theme=dark")
	r = signintest.WithUser(r, &signin.User{Subject: "alice"})
	handler.ServeHTTP(w, signintest.WithAccessToken(r, "token-for-the-api", signin.ForResource(api)))
	fmt.Println(w.Code, w.Body)
	// Output: 200 /api/orders for "Bearer token-for-the-api", with cookies ["theme=dark"]
}

// Claims that Logto has in userinfo only, as they are now. Each has its scope, which
// must be in Config.Scopes.
func ExampleFetchUserInfo() {
	type userInfo struct {
		// What your application keeps at Logto about a person: "custom_data".
		CustomData struct {
			Size int `json:"size"`
		} `json:"custom_data"`
		// Accounts at social connectors, by the connector's target, such as "naver":
		// "identities".
		Identities map[string]struct {
			UserID  string          `json:"userId"`
			Details json.RawMessage `json:"details"` // in the form of that provider
		} `json:"identities"`
		// Accounts at the providers of enterprises: "identities" too.
		SSOIdentities []struct {
			Issuer     string          `json:"issuer"`
			IdentityID string          `json:"identityId"`
			Detail     json.RawMessage `json:"detail"`
		} `json:"sso_identities"`
		// Organizations that the person belongs to: "urn:logto:scope:organizations".
		Organizations []struct {
			ID          string `json:"id"`
			Name        string `json:"name"`
			Description string `json:"description"`
		} `json:"organization_data"`
	}
	shoes := func(w http.ResponseWriter, r *http.Request) {
		info, err := signin.FetchUserInfo[userInfo](r.Context())
		if err != nil {
			http.Error(w, "Please try again later.", http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "size %d, Naver's ID %q", info.CustomData.Size, info.Identities["naver"].UserID)
		for _, organization := range info.Organizations {
			fmt.Fprintf(w, ", with %s", organization.Name)
		}
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/shoes", nil)
	shoes(w, signintest.WithUser(r, &signin.User{Claims: []byte(`{
		"sub": "u1", "custom_data": {"size": 42}, "identities": {"naver": {"userId": "n1"}}, "sso_identities": null,
		"organization_data": [{"id": "org_one", "name": "Example Ltd.", "description": null}]
	}`)}))
	fmt.Println(w.Body)
	// Output: size 42, Naver's ID "n1", with Example Ltd.
}

// Reading a token that this application got from the provider: to show what is in it,
// not to decide anything.
func ExampleUnverifiedClaims() {
	p := signintest.NewProvider()
	defer p.Close()
	token := p.AccessToken("alice", "https://api.example.com", "read:orders") // from signin.AccessToken

	type claims struct {
		Subject string `json:"sub"`
		Scope   string `json:"scope"`
	}
	c, err := signin.UnverifiedClaims[claims](token)
	fmt.Println(c.Subject, c.Scope, err)
	// Output: alice read:orders <nil>
}

// An API of this application, for programs that bring an access token.
func ExampleAuth_RequireBearer() {
	p := signintest.NewProvider()
	defer p.Close()
	cfg := p.Config("https://app.example.com")
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	const api = "https://api.example.com" // its name at the provider
	orders := func(w http.ResponseWriter, r *http.Request) {
		user, _ := signin.UserFrom(r.Context())
		fmt.Fprintf(w, "orders of %s", user.Subject)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /api/orders", auth.RequireBearer(api, signin.HasScope("read:orders"))(http.HandlerFunc(orders)))
	// Wrong: any token of the provider for the API would do, whatever it permits.
	//
	//	mux.Handle("DELETE /api/orders", auth.RequireBearer(api)(remove))

	for _, token := range []string{p.AccessToken("alice", api, "read:orders"), p.AccessToken("bob", api), "forged"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/api/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		mux.ServeHTTP(w, r)
		body, _, _ := strings.Cut(w.Body.String(), "{") // a problem document
		fmt.Println(w.Code, body+w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 200 orders of alice
	// 403 Bearer error="insufficient_scope", scope="read:orders"
	// 401 Bearer error="invalid_token"
}

// One route for the pages of the application and for programs. A program needs a scope
// in its token; a person with a session needs a role.
func ExampleAuth_RequireSessionOrBearer() {
	p := signintest.NewProvider()
	defer p.Close()
	cfg := p.Config("https://app.example.com")
	cfg.Scopes = []string{"roles"}
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	const api = "https://api.example.com"
	mayRead := signin.RuleFunc(func(r *http.Request, u *signin.User) error {
		if _, program := r.Header["Authorization"]; program {
			return signin.HasScope("read:orders").Check(r, u)
		}
		return signin.HasRole("clerk").Check(r, u)
	})
	orders := auth.RequireSessionOrBearer(api, mayRead)(http.HandlerFunc(home))
	// Browsers send the session's cookie with requests from other sites too.
	handler := http.NewCrossOriginProtection().Handler(orders)

	person := signintest.WithUser(httptest.NewRequest("GET", "/orders", nil), &signin.User{Roles: []string{"clerk"}})
	program := httptest.NewRequest("GET", "/orders", nil)
	program.Header.Set("Authorization", "Bearer "+p.AccessToken("alice", api, "read:orders"))
	neither := httptest.NewRequest("GET", "/orders", nil)
	for _, r := range []*http.Request{person, program, neither} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 200
	// 401
}
