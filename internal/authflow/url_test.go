package authflow_test

import (
	"net/url"
	"reflect"
	"testing"

	"github.com/gosignin/signin/internal/authflow"
)

func TestURL(t *testing.T) {
	t.Parallel()
	r := authflow.Request{FirstScreen: "register", Extra: [][2]string{{"audience", "x"}}}
	flow := authflow.Flow{
		ClientID: "app", RedirectURI: "https://app.test/callback", Scopes: []string{"openid", "email"},
		Resources: []string{"https://a.test", "https://b.test"}, State: "s", Nonce: "n", CodeChallenge: "c",
	}
	got, err := r.URL("https://op.test/auth?tenant=1&state=theirs", true, flow)
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	u, err := url.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"tenant": {"1"}, "first_screen": {"register"}, "audience": {"x"}, "prompt": {"consent"},
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {"https://app.test/callback"},
		"scope": {"openid email"}, "state": {"s"}, "nonce": {"n"}, "code_challenge": {"c"},
		"code_challenge_method": {"S256"}, "resource": {"https://a.test", "https://b.test"},
	}
	if !reflect.DeepEqual(u.Query(), want) || u.Host != "op.test" || u.Path != "/auth" {
		t.Errorf("got %s; want the endpoint with %v", got, want)
	}
	if got, err := r.URL("https://op.test/%zz", true, flow); err == nil {
		t.Errorf("an endpoint that is no URL: got %q; want an error", got)
	}
}
