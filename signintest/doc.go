// Package signintest is a provider for tests, in the spirit of
// [net/http/httptest]: it starts in about a millisecond, listens on loopback,
// needs no network, and behaves as Logto does where an application can tell
// the difference.
//
// A whole test of an application, from the first redirect to the page behind
// the guard. [Start] serves the application, whose main calls newApp too, and
// [App.Browser] is what Alice visits it with:
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
// A handler alone needs no provider. [WithUser] puts a user into a request, and
// every guard of every Auth accepts it, in a test binary and nowhere else:
//
//	r := signintest.WithUser(httptest.NewRequest("GET", "/account", nil), &signin.User{Name: "Alice"})
//	account(w, r)
//
// What goes wrong in the field is switched on by name. Each [Fault] says what
// comes of it:
//
//	app.Provider.Inject(signintest.SignInDeclined)
//
// An API to which access tokens come is tested with [Provider.AccessToken] and
// [Provider.MachineToken], which make one without a sign-in; [WithAccessToken]
// gives one to the user of WithUser:
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
// password: to click on a name is to be signed in. It is therefore no provider to
// put on a network: listen on loopback only.
//
// In one place it is not Logto. It gives a token for an organization only if the
// authorization request had "urn:logto:resource:organizations" among its
// resources, beside the scope "urn:logto:scope:organizations", and otherwise 403
// insufficient_scope; Logto may look at the scope alone, and then gives a token
// that permits nothing.
//
// A person can use it with a browser, too: its pages need no JavaScript, and
// they say that they belong to a test.
//
// All methods of [Provider] may be called from several goroutines at once.
package signintest
