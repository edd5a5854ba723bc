package signintest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

func account(w http.ResponseWriter, r *http.Request) {
	if user, ok := signin.UserFrom(r.Context()); ok {
		fmt.Fprintf(w, "Hello, %s", user.Name)
	}
}

// newApp is what main calls, too, with the configuration of its environment.
func newApp(cfg signin.Config) (http.Handler, error) {
	auth, err := signin.New(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", auth.SignIn())
	mux.HandleFunc("GET /callback", auth.Callback())
	mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account)))
	return mux, nil
}

// runTest runs a test inside an Example.
func runTest(test func(t testing.TB)) {
	t := &exampleT{}
	defer func() {
		for _, end := range slices.Backward(t.cleanups) {
			end()
		}
	}()
	test(t)
}

// exampleT is a testing.TB as far as an Example needs it.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                           {}
func (t *exampleT) Cleanup(end func())                { t.cleanups = append(t.cleanups, end) }
func (t *exampleT) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// A test of an application, from the first redirect to the guarded page. Where
// runTest is, a test has its func TestAccount(t *testing.T).
func ExampleStart() {
	runTest(func(t testing.TB) {
		app := signintest.Start(t, newApp)
		resp, err := app.Browser(signintest.Alice()).Get(app.URL + "/account")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(resp.StatusCode, string(body))
	})
	// Output: 200 Hello, Alice Example
}

// A test of one handler, without a provider.
func ExampleWithUser() {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/account", nil)
	account(w, signintest.WithUser(r, &signin.User{Subject: "alice", Name: "Alice"}))
	fmt.Println(w.Body)
	// Output: Hello, Alice
}

// What users see when something goes wrong.
func ExampleProvider_Inject() {
	runTest(func(t testing.TB) {
		app := signintest.Start(t, newApp)
		alice := app.Browser(signintest.Alice())
		app.Provider.Inject(signintest.SignInDeclined)
		resp, err := alice.Get(app.URL + "/account")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		fmt.Println(resp.StatusCode, resp.Request.URL.Path)
	})
	// Output: 403 /callback
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

// A job that runs without a person gets its own token.
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
