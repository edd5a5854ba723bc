// Package signintest is a provider for tests, in the spirit of
// [net/http/httptest]: it starts in about a millisecond, listens on loopback,
// needs no network, and behaves as Logto does where an application can tell
// the difference.
//
// A whole test of an application, from the first redirect to the page behind
// the guard:
//
//	func TestAccountPage(t *testing.T) {
//		p := signintest.NewProvider()
//		defer p.Close()
//
//		mux := http.NewServeMux()
//		app := httptest.NewServer(mux)
//		defer app.Close()
//
//		auth, err := signin.New(p.Config(app.URL))
//		if err != nil {
//			t.Fatal(err)
//		}
//		mux.HandleFunc("GET /sign-in", auth.SignIn())
//		mux.HandleFunc("GET /callback", auth.Callback())
//		mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account)))
//
//		alice := p.SignIn(t, nil, app.URL, signintest.Alice())
//		resp, err := alice.Get(app.URL + "/account")
//		…
//	}
//
// A handler alone needs no provider. [WithUser] puts a user into a request, and
// every guard of every Auth accepts it, in a test binary and nowhere else:
//
//	r := signintest.WithUser(httptest.NewRequest("GET", "/account", nil), &signin.User{Name: "Alice"})
//	account(w, r)
//
// [WithAccessToken] gives that user an access token. The other side, an API to
// which such tokens come, is tested with [Provider.AccessToken] and
// [Provider.MachineToken], which make one without a sign-in:
//
//	r := httptest.NewRequest("GET", "/orders", nil)
//	r.Header.Set("Authorization", "Bearer "+p.AccessToken("alice", "https://api.example.com", "read:orders"))
//
// What goes wrong at real providers is switched on by name; every [Fault] says
// what it does:
//
//	p.Inject(signintest.IDTokenNonceWrong)
//
// # What it is and is not
//
// By default the provider behaves as Logto 1.42; [WithLogto137] selects the
// older behaviour. It knows one confidential client, and reads time through
// [WithNow] only. It offers no pushed authorization requests, no introspection,
// no token exchange, no client credentials grant, no consent screen, and no
// password: whoever picks a name is signed in. It is therefore no provider to put
// on a network: listen on loopback only.
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
