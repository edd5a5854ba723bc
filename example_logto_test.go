package signin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// The counterparts of what Logto's packages for Python and Go offer.
func Example_fromLogto() {
	const api = "https://api.example.com"
	cfg := signin.Config{
		LogtoEndpoint:     os.Getenv("LOGTO_ENDPOINT"),
		ClientID:          os.Getenv("LOGTO_APP_ID"),
		ClientSecret:      os.Getenv("LOGTO_APP_SECRET"),
		BaseURL:           "https://app.example.com",
		Keys:              [][]byte{[]byte(os.Getenv("SIGNIN_KEY"))},
		Scopes:            []string{"email", "urn:logto:scope:organizations", "read:orders"},
		Resources:         []string{api},
		OmitDefaultScopes: false, // the opposite of IncludeReservedScopes
		SignInOptions:     []signin.SignInOption{signin.Prompt("login")},
	}
	cfg.Paths.Callback = "/sign-in-callback" // as the redirect URI has it
	cfg.Paths.AfterSignOut = "/goodbye"
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/sign-in", auth.SignIn())
	mux.HandleFunc("/sign-up", auth.SignIn(signin.FirstScreen(signin.ScreenRegister)))
	mux.HandleFunc("/sign-in/email", auth.SignIn(
		signin.FirstScreen(signin.ScreenIdentifierSignIn), signin.Identifiers(signin.IdentifierEmail)))
	mux.HandleFunc("/sign-in/naver", auth.SignIn(signin.Social("naver")))
	mux.HandleFunc("/sign-in/acme", auth.SignIn(signin.EnterpriseSSO("connector-id")))
	mux.HandleFunc("/sign-in/ko", auth.SignIn(signin.UILocales("ko"), signin.ExtraParam("name", "value")))
	mux.HandleFunc("/start", func(w http.ResponseWriter, r *http.Request) {
		location, err := auth.BeginSignIn(w, r, signin.LoginHint(r.FormValue("email")))
		if err != nil {
			http.Error(w, "Please try again.", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	})
	mux.HandleFunc("/sign-in-callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut())
	mux.HandleFunc("/backchannel-logout", auth.BackChannelLogout())
	leave := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		location, err := auth.BeginSignOut(w, r)
		if err != nil {
			http.Error(w, "Please try again.", http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	})
	mux.Handle("POST /leave", http.NewCrossOriginProtection().Handler(leave)) // otherwise any site could sign people out
	use := func(any, error) {}                                                // what the application does with a value, or with a *signin.Error
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if user, ok := signin.UserFrom(ctx); ok {
			fmt.Fprintln(w, "Hello,", user.Name)
		}
		type claims struct {
			Birthday string `json:"birthday"`
		}
		use(signin.ClaimsAs[claims](ctx))
		token, err := signin.AccessToken(ctx, signin.ForResource(api))
		if errors.Is(err, signin.ErrNotSignedIn) {
			http.Error(w, "Please sign in.", http.StatusUnauthorized)
			return
		}
		if err == nil {
			use(signin.UnverifiedClaims[claims](token.AccessToken))
		}
		use(signin.AccessToken(ctx, signin.ForOrganization("org_id")))
		use(signin.AccessToken(ctx, signin.ForResource(api), signin.ForOrganization("org_id")))
		use(signin.FetchUserInfo[claims](ctx))
	})
	mux.Handle("/", auth.Load(handler))
	mux.Handle("/protected", auth.RequireAuth(handler))
	log.Fatal(http.ListenAndServe(":8080", mux))
}

// Logto's Account API, by which people change their own profile. It takes the access
// token of the session itself, so Transport gets neither ForResource nor ForOrganization.
func ExampleTransport_accountAPI() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	logto := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		change, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s %s, %s\n", r.Method, r.URL.Path, change, r.Header.Get("Authorization"))
	}))
	defer logto.Close()
	endpoint := logto.URL // Config.LogtoEndpoint

	client := &http.Client{Timeout: 5 * time.Second, Transport: signin.Transport(endpoint)} // once
	rename := func(w http.ResponseWriter, r *http.Request) {
		change, err := json.Marshal(map[string]string{"name": r.FormValue("name")})
		if err != nil {
			http.Error(w, "This is a mistake of ours.", http.StatusInternalServerError)
			return
		}
		req, err := http.NewRequestWithContext(r.Context(), "PATCH", endpoint+"/api/my-account", bytes.NewReader(change))
		if err != nil {
			http.Error(w, "This is a mistake of ours.", http.StatusInternalServerError)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		switch {
		case auth.HandleError(w, r, err): // the person is sent to sign in, or told why
			return
		case err != nil:
			http.Error(w, "Please try again later.", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
	}

	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/account/name?name=Alice", nil)
	r = signintest.WithUser(r, &signin.User{Subject: "alice"})
	rename(w, signintest.WithAccessToken(r, "the-opaque-token"))
	fmt.Println(w.Code)
	// Output:
	// PATCH /api/my-account {"name":"Alice"}, Bearer the-opaque-token
	// 200
}
