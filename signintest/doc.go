// Package signintest is a provider for tests, in the spirit of
// [net/http/httptest]: it starts in about a millisecond, listens on loopback,
// needs no network, and behaves as Logto does where an application can tell
// the difference.
//
// This is a whole test of an application, from the first redirect to the guarded
// page. newApp is called by the application's main, too; [Start] serves what it
// returns, and [App.Browser] returns Alice's browser:
//
//	func newApp(cfg signin.Config) (http.Handler, error) {
//		auth, err := signin.New(cfg)
//		if err != nil {
//			return nil, err
//		}
//		mux := http.NewServeMux()
//		mux.HandleFunc("GET /sign-in", auth.SignIn())
//		mux.HandleFunc("GET /callback", auth.Callback())
//		mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account)))
//		return mux, nil
//	}
//
//	func TestAccount(t *testing.T) {
//		app := signintest.Start(t, newApp)
//		resp, err := app.Browser(signintest.Alice()).Get(app.URL + "/account")
//		…
//	}
//
// A test of a handler needs no provider. [WithUser] puts a user into a request,
// and every guard of every Auth accepts it, in test binaries only:
//
//	r := signintest.WithUser(httptest.NewRequest("GET", "/account", nil), &signin.User{Name: "Alice"})
//	account(w, r)
//
// Faults that happen in production are switched on by name. The comment at each
// [Fault] says how an application answers:
//
//	app.Provider.Inject(signintest.SignInDeclined)
//
// Logto's webhooks, which tell an application at once that an account was suspended or
// deleted, or that its password was reset, are sent after [Provider.SetWebhook].
//
// [WithAccessToken] gives an access token to the user of WithUser. A test of an
// API makes access tokens with [Provider.AccessToken] and
// [Provider.MachineToken], which need no sign-in:
//
//	r := httptest.NewRequest("GET", "/orders", nil)
//	r.Header.Set("Authorization", "Bearer "+p.AccessToken("alice", "https://api.example.com", "read:orders"))
//
// # What it is and is not
//
// By default the provider behaves as Logto 1.42; [WithLogto137] selects the
// older behaviour. It knows one confidential client, and reads time through
// [WithNow] only. It offers no pushed authorization requests, no introspection,
// no token exchange, no client credentials grant, no consent screen, and no
// password: a click on a name signs in. Let it listen on loopback only.
//
// It differs from Logto in three places. Every API is registered, unless
// [WithResources] says which are. Two sign-ins that are under way in one browser
// do not disturb each other; at Logto the later one wins. And it gives a token for
// an organization only if the authorization request had
// "urn:logto:resource:organizations" among its resources, and the scope
// "urn:logto:scope:organizations"; otherwise it answers 403 insufficient_scope.
// Logto may look at the scope alone, and then gives a token that permits nothing.
//
// Where another provider behaves differently, an option or a fault stands for it,
// such as [WithACR] and [WithRefreshRotation]; [Provider.IssuerConfig] is the
// configuration of an application that knows nothing of Logto.
//
// It can also be used with a browser. Its pages need no JavaScript, and say that
// they belong to a test.
//
// All methods of [Provider] may be called from several goroutines at once.
package signintest
