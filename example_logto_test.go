package signin_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/gosignin/signin"
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
