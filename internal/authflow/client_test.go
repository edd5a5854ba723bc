package authflow_test

import (
	"crypto/sha256"
	"encoding/base64"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
)

// query starts a transaction and returns the query of its authorization request.
func query(
	t *testing.T, c *authflow.Client, tx *transaction, req *request, meta authflow.Metadata,
) url.Values {
	t.Helper()
	location, err := c.Start(tx, req, meta)
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	u, err := url.Parse(location)
	if err != nil || u.Host != "op.test" || u.Path != "/auth" {
		t.Fatalf("got %s, %v; want the endpoint", location, err)
	}
	return u.Query()
}

func TestStart_Location(t *testing.T) {
	t.Parallel()
	c, tx := logto(), &transaction{}
	c.Resources = []string{"https://a.test", "https://b.test"}
	req := &request{UILocales: []string{"ko"}, Extra: map[string]string{"audience": "x", "nonce": "theirs"}}
	got := query(t, c, tx, req, authflow.Metadata{Endpoint: endpoint + "?tenant=1&state=theirs"})
	challenge := sha256.Sum256([]byte(tx.Verifier))
	want := url.Values{
		"tenant": {"1"}, "ui_locales": {"ko"}, "audience": {"x"}, "prompt": {"consent"}, "max_age": {"315360000"},
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {"https://app.test/callback"},
		"scope": {"openid offline_access"}, "resource": {"https://a.test", "https://b.test"},
		"state": {tx.State}, "nonce": {tx.Nonce}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got, err := c.Start(tx, req, authflow.Metadata{Endpoint: "https://op.test/%zz"}); err == nil {
		t.Errorf("an endpoint that is not a URL: got %q; want an error", got)
	}
}

func TestStart_Parameters(t *testing.T) {
	t.Parallel()
	const (
		openid, both = "openid", "openid offline_access"
		scope        = "scope=openid+offline_access"
		anyAge       = "max_age=315360000&" // ten years, asked of Logto so that it tells auth_time
	)
	backing := []string{"login", "mine"}
	for _, row := range []struct {
		name      string
		req       request
		logto     bool
		scopes    string
		supported []string
		want      string
	}{
		{"an ordinary request", request{}, true, openid, nil, anyAge + "scope=openid"},
		{"an ordinary request at another provider", request{}, false, openid, nil, "scope=openid"},
		{"everything at once", full(), true, both, nil, "" +
			"direct_sign_in=social%3Anaver&display=page&first_screen=identifier%3Asign_in&identifier=email+phone" +
			"&login_hint=kim%40example.com&max_age=300&one_time_token=tok&organization_id=org_1" +
			"&prompt=login+consent&scope=openid+offline_access&ui_locales=ko-KR+en&x=a+b%26c"},
		{"a one-time token brings its login hint", request{OneTimeToken: "tok", OneTimeEmail: "a@b.c"}, true, openid, nil,
			"login_hint=a%40b.c&" + anyAge + "one_time_token=tok&scope=openid"},
		{"offline_access at Logto", request{}, true, both, []string{openid, "offline_access"}, anyAge + "prompt=consent&" + scope},
		{"offline_access at Logto that lists no scopes", request{}, true, both, nil, anyAge + "prompt=consent&" + scope},
		{"offline_access at Logto that lists others", request{}, true, both, []string{openid}, anyAge + "scope=openid"},
		{"offline_access at Logto that lists an empty set", request{}, true, both, []string{}, anyAge + "scope=openid"},
		{"offline_access at another provider", request{}, false, both, nil, scope},
		{"offline_access at one that lists others", request{}, false, both, []string{openid}, "scope=openid"},
		{"a class, and a maximal age of zero", request{Demand: with(zero, "mfa")}, false, openid, nil,
			"acr_values=mfa&max_age=0&scope=openid"},
		{"a maximal age that is not asked for", request{Demand: demand{MaxAge: time.Hour}}, true, openid, nil, anyAge + "scope=openid"},
		{"a maximal age of two centuries", request{Demand: demand{MaxAge: math.MaxInt64, MaxAgeAsked: true}}, true, openid, nil,
			"max_age=2147483647&scope=openid"},
		{"consent once", request{Prompt: []string{"consent", "login"}}, true, both, nil, anyAge + "prompt=consent+login&" + scope},
		{"consent is not added to none", request{Prompt: []string{"none"}}, true, both, nil, anyAge + "prompt=none&" + scope},
		{"consent is not added unasked", request{Prompt: []string{"login"}}, true, openid, nil, anyAge + "prompt=login&scope=openid"},
		{"consent is not written into the caller's slice", request{Prompt: backing[:1]}, true, both, nil,
			anyAge + "prompt=login+consent&" + scope},
	} {
		c := logto()
		c.Logto, c.Scopes = row.logto, strings.Fields(row.scopes)
		got := query(t, c, &transaction{}, &row.req, authflow.Metadata{Endpoint: endpoint, Scopes: row.supported})
		const others = "response_type client_id redirect_uri state nonce code_challenge code_challenge_method"
		for name := range strings.FieldsSeq(others) {
			got.Del(name)
		}
		if got.Encode() != row.want {
			t.Errorf("%s: got  %s\nwant %s", row.name, got.Encode(), row.want)
		}
		if backing[1] != "mine" || !slices.Equal(c.Scopes, strings.Fields(row.scopes)) {
			t.Errorf("%s: got the caller's prompts %q, scopes %q changed", row.name, backing, c.Scopes)
		}
	}
}

// Azure AD B2C lists openid alone, and gives a refresh token to an application that names
// offline_access.
func TestStart_OfflineAccessByName(t *testing.T) {
	t.Parallel()
	for _, listed := range [][]string{nil, {}, {"openid"}, {"openid", "offline_access"}} {
		c := logto()
		c.Logto, c.Scopes, c.Offline = false, []string{"openid", "offline_access"}, true
		got := query(t, c, &transaction{}, &request{}, authflow.Metadata{Endpoint: endpoint, Scopes: listed}).Get("scope")
		if got != "openid offline_access" {
			t.Errorf("listed %q: got %q; want offline_access asked for", listed, got)
		}
	}
}

// While Logto remembers a person, it ignores the options for another page, and signs
// that person in, unless the prompt is login. Other providers show their page for
// registering if they list the prompt create.
func TestStart_Prompt(t *testing.T) {
	t.Parallel()
	const logtos, others = true, false
	prompts := func(s ...string) []string { return s }
	create, listed := prompts("create"), prompts("login", "create")
	signUp := screen("register")
	for _, row := range []struct {
		name   string
		req    request
		logto  bool
		listed []string
		asked  demand
		want   string // with consent, at Logto
	}{
		{"no page", request{}, logtos, create, demand{}, "consent"},
		{"the page for signing in", screen("sign_in"), logtos, nil, demand{}, "consent"},
		{"the page for registering", signUp, logtos, create, demand{}, "login consent"},
		{"the page for a new password", screen("reset_password"), logtos, nil, demand{}, "login consent"},
		{"a page for an identifier", screen("identifier:sign_in", "email"), logtos, nil, demand{}, "login consent"},
		{"the page for enterprises", screen("single_sign_on"), logtos, nil, demand{}, "login consent"},
		{"a social connector", request{DirectSignIn: "social:naver"}, logtos, nil, demand{}, "login consent"},
		{"an enterprise connector", request{DirectSignIn: "sso:x", FirstScreen: "sign_in"}, logtos, nil, demand{}, "login consent"},
		{"a page, and a prompt that lets Logto remember", request{FirstScreen: "register", Prompt: prompts("consent")}, logtos, nil, demand{}, "consent"},
		{"a connector, and nothing to be shown", request{DirectSignIn: "social:naver", Prompt: prompts("none")}, logtos, nil, demand{}, "none"},
		{"a connector, and a prompt and a step-up", request{DirectSignIn: "social:naver", Prompt: prompts("consent", "login")}, logtos, nil, minute, "consent login"},

		{"registering elsewhere", signUp, others, listed, demand{}, "create"},
		{"registering with a maximum age", request{FirstScreen: "register", Demand: minute}, others, listed, demand{}, "create"},
		{"registering where it is not listed", signUp, others, prompts("login", "CREATE"), demand{}, ""},
		{"registering where nothing is listed", signUp, others, nil, demand{}, ""},
		{"registering with a prompt", request{FirstScreen: "register", Prompt: prompts("login")}, others, listed, demand{}, "login"},
		{"registering with nothing to be shown", request{FirstScreen: "register", Prompt: prompts("none")}, others, listed, demand{}, "none"},
		{"a step-up of a person, who is registered", signUp, others, listed, minute, ""},
		{"no page elsewhere", request{}, others, listed, demand{}, ""},
	} {
		c := logto()
		c.Logto = row.logto
		got := query(t, c, &transaction{Asked: row.asked}, &row.req, authflow.Metadata{Endpoint: endpoint, Prompts: row.listed})
		if got.Get("prompt") != row.want || got.Has("prompt") != (row.want != "") {
			t.Errorf("%s: got prompt %q; want %q", row.name, got["prompt"], row.want)
		}
		if got.Has("first_screen") != (row.logto && row.req.FirstScreen != "") {
			t.Errorf("%s: got first_screen %q; want it at Logto alone", row.name, got["first_screen"])
		}
	}
}

func TestStart_Transaction(t *testing.T) {
	t.Parallel()
	req := &request{Demand: with(minute, "mfa"), Prompt: []string{"none"}}
	c := logto()
	c.Now = func() time.Time { return start.Add(time.Microsecond).In(time.FixedZone("", 3600)) }
	want := transaction{ReturnTo: "/x", Foreign: true, Start: "/in?x", Asked: acr("mfa"), Subject: "alice"}
	got := want
	query(t, c, &got, req, authflow.Metadata{Endpoint: endpoint})
	want.State, want.Nonce, want.Verifier = got.State, got.Nonce, got.Verifier
	want.Began, want.Silent, want.Demand = start, true, req.Demand
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
	var b transaction
	query(t, c, &b, req, authflow.Metadata{Endpoint: endpoint})
	a := got
	if a.State == b.State || a.Nonce == b.Nonce || a.Verifier == b.Verifier || a.Nonce == a.State {
		t.Errorf("got %+v and %+v; want no value twice", a, b)
	}
	// https://www.rfc-editor.org/rfc/rfc7636#section-4.1: at least 43 characters. 128
	// bits or more for the others, at five a character.
	if len(a.Verifier) != 43 || len(a.Nonce) != 26 || len(a.State) != 26 {
		t.Errorf("got lengths %d %d %d; want 43 26 26", len(a.Verifier), len(a.Nonce), len(a.State))
	}
}

func TestNote(t *testing.T) {
	t.Parallel()
	long := authflow.Note{Subject: "alice", ReturnTo: "/" + strings.Repeat("x", 256), Unmet: true}
	for want, n := range map[authflow.Note]authflow.Note{
		{Subject: "alice", ReturnTo: "/x?y"}: {Subject: "alice", ReturnTo: "/x?y"},
		{Subject: "alice", Unmet: true}:      long, // without its return_to
		{}:                                   {},
	} {
		if got := authflow.ReadNote(n.Encode()); got != want {
			t.Errorf("%+v: got %+v; want %+v", n, got, want)
		}
	}
	if got := authflow.ReadNote([]byte("no note")); got != (authflow.Note{}) {
		t.Errorf("got %+v; want nothing", got)
	}
}
