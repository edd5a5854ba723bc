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

// A test of an API that people and machines call with access tokens, without a
// sign-in.
func ExampleProvider_AccessToken() {
	p := signintest.NewProvider()
	defer p.Close()
	auth, err := signin.New(p.Config("http://localhost:8080"))
	if err != nil {
		fmt.Println(err)
		return
	}
	const api = "https://api.example.com"
	orders := auth.RequireBearer(api, signin.HasScope("read:orders"))(http.HandlerFunc(account))

	for _, token := range []string{
		p.AccessToken("alice", api, "read:orders", "write:orders"),
		p.AccessToken("alice", api), // without the scope
		p.AccessToken("alice", "https://other.example", "read:orders"),
		p.MachineToken("nightly-job", api, "read:orders"), // needs signin.AllowMachines
	} {
		r := httptest.NewRequest("GET", "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		orders.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 403
	// 401
	// 403
}

// A job that runs without a person has a token of its own.
func ExampleProvider_MachineToken() {
	p := signintest.NewProvider()
	defer p.Close()
	auth, err := signin.New(p.Config("http://localhost:8080"))
	if err != nil {
		fmt.Println(err)
		return
	}
	const api = "https://api.example.com"
	report := auth.RequireBearer(api, signin.AllowMachines(), signin.HasScope("read:orders"))(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, _ := signin.UserFrom(r.Context())
			fmt.Println(user.Subject, user.Machine)
		}))

	r := httptest.NewRequest("GET", "/report", nil)
	r.Header.Set("Authorization", "Bearer "+p.MachineToken("nightly-job", api, "read:orders"))
	report.ServeHTTP(httptest.NewRecorder(), r)
	// Output: nightly-job true
}
