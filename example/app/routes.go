package app

import (
	"net/http"
	"slices"
	"time"

	"github.com/gosignin/signin"
)

// Scopes are what a sign-in asks for, besides "openid profile offline_access".
func Scopes() []string {
	return []string{
		"email",                              // for the account page
		"roles",                              // for HasRole
		"urn:logto:scope:organizations",      // for MemberOf, and for tokens of organizations
		"urn:logto:scope:organization_roles", // for HasOrganizationRole
		// Permissions of the API, and of organizations. A token has those of them that
		// the person's roles permit.
		"read:orders", "write:orders",
		"read:members", "invite:members",
	}
}

// Routes says who may see which page.
func Routes(auth *signin.Auth, s *Settings) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", signIn(auth))
	mux.HandleFunc("GET /sign-up", signIn(auth, signin.FirstScreen(signin.ScreenRegister)))
	mux.HandleFunc("GET /sign-in/naver", signIn(auth, signin.Social("naver")))
	mux.HandleFunc("GET /sign-in/x", signIn(auth, signin.Social("x")))
	mux.HandleFunc("GET /callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut()) // GET and POST
	mux.HandleFunc("/backchannel-logout", auth.BackChannelLogout())
	if s.WebhookKey != "" { // Logto tells at once that it has suspended a person
		mux.HandleFunc("/logto-webhook", auth.LogtoWebhook(s.WebhookKey))
	}

	mux.Handle("GET /{$}", auth.Load(http.HandlerFunc(Home)))               // the user, if there is one
	mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(Account))) // the user, or a sign-in
	mux.Handle("/", auth.Load(http.HandlerFunc(NotFound)))                  // everything else
	mux.HandleFunc("GET /static/{file}", Static)                            // for everyone

	mux.Handle("GET /live", auth.RequireAuth(Live(auth)))
	mux.Handle("GET /live/events", auth.RequireAuth(LiveEvents(auth)))

	// For people who are signed in and meet a rule.
	admin, member, owner := auth.Require(signin.HasRole("admin")), auth.Require(Member), auth.Require(Owner)
	mux.Handle("GET /admin", admin(http.HandlerFunc(Admin)))
	mux.Handle("GET /organizations", auth.RequireAuth(http.HandlerFunc(Organizations)))
	mux.Handle("GET /organizations/{organization}", member(Organization(auth)))
	mux.Handle("GET /organizations/{organization}/settings", owner(http.HandlerFunc(OrganizationSettings)))

	// Guards do not check which site a form comes from. These forms change something,
	// so forms of other sites are refused.
	sameOrigin := http.NewCrossOriginProtection()
	_ = sameOrigin.AddTrustedOrigin(s.BaseURL) // a proxy may change Host; New has checked that this is an origin
	recently := auth.Require(signin.AuthenticatedWithin(5 * time.Minute))
	mux.Handle("GET /orders", auth.RequireAuth(Orders(auth, s)))
	mux.Handle("POST /orders", sameOrigin.Handler(auth.RequireAuth(Orders(auth, s))))
	mux.Handle("GET /account/delete", recently(http.HandlerFunc(ConfirmDelete)))
	mux.Handle("POST /account/delete", sameOrigin.Handler(recently(http.HandlerFunc(Delete))))
	mux.Handle("POST /sign-out-everywhere", sameOrigin.Handler(auth.RequireAuth(SignOutEverywhere(auth))))
	return Secure(AtBaseURL(s, InLanguage(s, mux)))
}

// signIn begins sign-ins, and asks the provider for pages in the reader's language.
func signIn(auth *signin.Auth, options ...signin.SignInOption) http.HandlerFunc {
	in := map[string]http.HandlerFunc{}
	for _, t := range languages {
		in[t.Tag] = auth.SignIn(append(slices.Clip(options), signin.UILocales(t.Tag))...)
	}
	return func(w http.ResponseWriter, r *http.Request) { in[textsFor(r).Tag](w, r) }
}
