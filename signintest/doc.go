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
// What goes wrong at real providers is switched on by name; every [Fault] says
// what it does:
//
//	p.Inject(signintest.IDTokenNonceWrong)
//
// # What it is and is not
//
// By default the provider behaves as Logto 1.42; [WithLogto137] selects the
// older behaviour. It knows one confidential client, and reads time through
// [WithNow] only. It offers no pushed
// authorization requests, no introspection, no token exchange, no consent
// screen, and no password: whoever picks a name is signed in. It is therefore
// no provider to put on a network: listen on loopback only.
//
// A person can use it with a browser, too: its pages need no JavaScript, and
// they say that they belong to a test.
//
// All methods of [Provider] may be called from several goroutines at once.
package signintest
