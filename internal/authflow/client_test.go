package authflow_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
)

// query starts a transaction and returns what its authorization request says.
func query(t *testing.T, c *authflow.Client, tx *authflow.Transaction, req *request, endpoint string, supported []string) url.Values {
	t.Helper()
	location, err := c.Start(tx, req, endpoint, supported)
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	if u.Host != "op.test" || u.Path != "/auth" {
		t.Errorf("got %s; want the endpoint", location)
	}
	return u.Query()
}

func TestStart_Location(t *testing.T) {
	t.Parallel()
	c, tx := logto(), &authflow.Transaction{}
	c.Resources = []string{"https://a.test", "https://b.test"}
	req := &request{FirstScreen: "register", Extra: map[string]string{"audience": "x", "nonce": "theirs"}}
	got := query(t, c, tx, req, endpoint+"?tenant=1&state=theirs", nil)
	challenge := sha256.Sum256([]byte(tx.Verifier))
	want := url.Values{
		"tenant": {"1"}, "first_screen": {"register"}, "audience": {"x"}, "prompt": {"consent"},
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {"https://app.test/callback"},
		"scope": {"openid offline_access"}, "resource": {"https://a.test", "https://b.test"},
		"state": {tx.State}, "nonce": {tx.Nonce}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got, err := c.Start(tx, req, "https://op.test/%zz", nil); err == nil {
		t.Errorf("an endpoint that is not a URL: got %q; want an error", got)
	}
}

func TestStart_OfflineAccess(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		change        func(*authflow.Client)
		supported     []string
		scope, prompt string
	}{
		{"Logto", nil, []string{"openid", "offline_access"}, "openid offline_access", "consent"},
		{"Logto that lists no scopes", nil, nil, "openid offline_access", "consent"},
		{"Logto that lists others", nil, []string{"openid"}, "openid", ""},
		{"Logto that lists none of its scopes", nil, []string{}, "openid", ""},
		{"Logto, and it is not wanted", func(c *authflow.Client) { c.Scopes = []string{"openid"} }, nil, "openid", ""},
		{"another provider", func(c *authflow.Client) { c.Logto = false }, nil, "openid offline_access", ""},
	} {
		c := logto()
		if row.change != nil {
			row.change(c)
		}
		before := slices.Clone(c.Scopes)
		got := query(t, c, &authflow.Transaction{}, &request{}, endpoint, row.supported)
		if got.Get("scope") != row.scope || got.Get("prompt") != row.prompt {
			t.Errorf("%s: got scope %q, prompt %q; want %q, %q", row.name, got.Get("scope"), got.Get("prompt"), row.scope, row.prompt)
		}
		if !slices.Equal(c.Scopes, before) {
			t.Errorf("%s: got the client's scopes %q; want %q still", row.name, c.Scopes, before)
		}
	}
}

func TestStart_Parameters(t *testing.T) {
	t.Parallel()
	flows := []string{"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method"}
	for _, tt := range []struct {
		name       string
		req        request
		addConsent bool
		want       string
	}{
		{"an ordinary request has no parameters", request{}, false, ""},
		{"everything at once", full(), true, "acr_values=urn%3Amace%3Aincommon%3Aiap%3Asilver+2" +
			"&direct_sign_in=social%3Anaver&display=page&first_screen=identifier%3Asign_in&identifier=email+phone" +
			"&login_hint=kim%40example.com&max_age=300&one_time_token=tok&organization_id=org_1" +
			"&prompt=login+consent&ui_locales=ko-KR+en&x=a+b%26c"},
		{"a one-time token brings its login hint", request{OneTimeToken: "tok", OneTimeEmail: "a@b.c"}, false,
			"login_hint=a%40b.c&one_time_token=tok"},
		{"consent is asked for to get a refresh token", request{}, true, "prompt=consent"},
		{"consent is not asked for twice", request{Prompt: []string{"consent", "login"}}, true, "prompt=consent+login"},
		{"consent is not added to none", request{Prompt: []string{"none"}}, true, "prompt=none"},
		{"consent is not added unasked", request{Prompt: []string{"select_account"}}, false, "prompt=select_account"},
		{"a maximal age of zero is sent", request{Demand: demand{MaxAgeAsked: true}}, false, "max_age=0"},
		{"a maximal age that is not set is not sent", request{Demand: demand{MaxAge: time.Second}}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := logto()
			if !tt.addConsent {
				c.Scopes = []string{"openid"}
			}
			got := query(t, c, &authflow.Transaction{}, &tt.req, endpoint, nil)
			for _, name := range flows {
				if !got.Has(name) {
					t.Errorf("got no %s", name)
				}
				got.Del(name)
			}
			if got.Encode() != tt.want {
				t.Errorf("got  %s\nwant %s", got.Encode(), tt.want)
			}
		})
	}
	t.Run("adding consent does not write into the caller's slice", func(t *testing.T) {
		t.Parallel()
		backing := []string{"login", "mine"}
		query(t, logto(), &authflow.Transaction{}, &request{Prompt: backing[:1]}, endpoint, nil)
		if backing[1] != "mine" {
			t.Errorf("got %q; want the backing array untouched", backing)
		}
	})
}

func TestStart_Transaction(t *testing.T) {
	t.Parallel()
	req := &request{Demand: demand{MaxAge: time.Minute, MaxAgeAsked: true, ACR: []string{"mfa"}}, Prompt: []string{"none"}}
	c := logto()
	c.Now = func() time.Time { return start.Add(time.Microsecond).In(time.FixedZone("", 3600)) }
	given := authflow.Transaction{ReturnTo: "/x", Foreign: true, Demanded: true, Subject: "alice"}
	got := given
	query(t, c, &got, req, endpoint, nil)
	want := given
	want.State, want.Nonce, want.Verifier = got.State, got.Nonce, got.Verifier
	want.Began, want.Silent, want.MaxAge, want.MaxAgeAsked, want.ACR = start, true, time.Minute, true, []string{"mfa"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
	a, b := got, begun(t)
	repeated := authflow.Transaction{Repeated: true}
	query(t, c, &repeated, req, endpoint, nil)
	if a.State[1:] == b.State[1:] || a.Nonce == b.Nonce || a.Verifier == b.Verifier || a.Nonce == a.State[1:] {
		t.Errorf("got %+v and %+v; want no value twice", a, b)
	}
	// https://www.rfc-editor.org/rfc/rfc7636#section-4.1: at least 43 characters. 128
	// bits or more for the others, at five a character.
	if len(a.Verifier) != 43 || len(a.Nonce) != 26 || len(a.State) != 27 {
		t.Errorf("got lengths %d %d %d; want 43 26 27", len(a.Verifier), len(a.Nonce), len(a.State))
	}
	if authflow.Repeated(a.State) || !authflow.Repeated(repeated.State) || authflow.Repeated("") {
		t.Errorf("got states %q and, repeated, %q; want them told apart", a.State, repeated.State)
	}
}

func TestNote(t *testing.T) {
	t.Parallel()
	for length, kept := range map[int]bool{0: true, 256: true, 257: false} {
		tx := authflow.Transaction{ReturnTo: strings.Repeat("x", length)}
		if got := string(tx.Note()); kept && got != tx.ReturnTo || !kept && got != "" {
			t.Errorf("%d bytes: got %d; want them kept: %t", length, len(got), kept)
		}
	}
}

func Example() {
	client := logto()
	route := authflow.Request{FirstScreen: "register", UILocales: []string{"ko"}}
	if err := route.Check(true); err != nil {
		fmt.Println(err)
		return
	}
	req, tx, err := client.FromQuery(url.Values{"return_to": {"/orders"}, "max_age": {"300"}}, route, "/")
	if err != nil {
		fmt.Println(err)
		return
	}
	location, err := client.Start(tx, req, "https://op.test/auth", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	u, _ := url.Parse(location)
	fmt.Println(u.Query().Get("first_screen"), u.Query().Get("prompt"), u.Query().Get("max_age"))

	response, err := authflow.ParseResponse("code=c0de&state=" + tx.State)
	fmt.Println(response.Code, response.State == tx.State, err)
	fmt.Println(response.CheckIssuer("https://op.test", false), tx.ReturnTo)
	// Output:
	// register login consent 300
	// c0de true <nil>
	// <nil> /orders
}
