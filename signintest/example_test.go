package signintest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

func account(w http.ResponseWriter, r *http.Request) {
	if user, ok := signin.UserFrom(r.Context()); ok {
		fmt.Fprintf(w, "Hello, %s", user.Name)
	}
}

// A test of an application, from the first redirect to the guarded page.
func Example() {
	test := func(t *testing.T) {
		p := signintest.NewProvider()
		defer p.Close()

		mux := http.NewServeMux()
		app := httptest.NewServer(mux)
		defer app.Close()

		auth, err := signin.New(p.Config(app.URL))
		if err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc("GET /sign-in", auth.SignIn())
		mux.HandleFunc("GET /callback", auth.Callback())
		mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account)))

		alice := p.SignIn(t, nil, app.URL, signintest.Alice())
		resp, err := alice.Get(app.URL + "/account")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("got %s; want 200", resp.Status)
		}
	}
	_ = test // run by go test
}

// A test of one handler, without a provider.
func ExampleWithUser() {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/account", nil)
	account(w, signintest.WithUser(r, &signin.User{Subject: "alice", Name: "Alice"}))
	fmt.Println(w.Body)
	// Output: Hello, Alice
}

// What a sign-in must not survive.
func ExampleProvider_Inject() {
	test := func(t *testing.T) {
		p := signintest.NewProvider()
		defer p.Close()
		mux := http.NewServeMux()
		app := httptest.NewServer(mux)
		defer app.Close()
		auth, err := signin.New(p.Config(app.URL))
		if err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc("GET /sign-in", auth.SignIn())
		mux.HandleFunc("GET /callback", auth.Callback())

		p.Inject(signintest.IDTokenNonceWrong)
		resp := p.Visit(t, nil, app.URL+"/sign-in", signintest.Alice())
		if resp.StatusCode < 400 {
			t.Errorf("got %s; want the sign-in refused", resp.Status)
		}
	}
	_ = test // run by go test
}
