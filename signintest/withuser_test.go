package signintest_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/testuser"
	"github.com/gosignin/signin/signintest"
)

func TestWithUserCarriesACopy(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/account", nil)
	user := &signin.User{Subject: "s", Roles: []string{"admin"}}
	got := signintest.WithUser(r, user)
	user.Subject, user.Roles[0] = "changed", "changed"

	v := testuser.From(got.Context())
	if v == nil {
		t.Fatal("got no user")
	}
	u, ok := v.User.(*signin.User)
	if !ok || u.Subject != "s" || u.Roles[0] != "admin" {
		t.Errorf("got %+v; want the user as given", u)
	}
	if testuser.From(r.Context()) != nil {
		t.Error("got the given request changed; want a copy")
	}
}

func TestWithUserOfNilIsNobody(t *testing.T) {
	t.Parallel()
	v := testuser.From(signintest.WithUser(httptest.NewRequest("GET", "/", nil), nil).Context())
	if v == nil || v.User != nil {
		t.Errorf("got %v; want a value without a user", v)
	}
}

func TestWithUserPanicsInARunningProgram(t *testing.T) {
	t.Parallel()
	defer func() {
		if got, _ := recover().(string); !strings.Contains(got, "test binary only") {
			t.Errorf("got panic %q; want one that says why", got)
		}
	}()
	signintest.WithUserOutsideTests(httptest.NewRequest("GET", "/", nil), &signin.User{Subject: "s"})
}

// tokens are those that a handler gets for a request, or the codes of the errors.
func tokens(r *http.Request, each ...[]signin.TokenOption) []string {
	var out []string
	for _, opts := range each {
		token, err := signin.AccessToken(r.Context(), opts...)
		switch code, ok := errors.AsType[*signin.Error](err); {
		case err == nil:
			out = append(out, token.AccessToken+" "+token.TokenType+token.RefreshToken)
		case ok:
			out = append(out, string(code.Code))
		default:
			out = append(out, "an error of no type")
		}
	}
	return out
}

func TestWithAccessTokenIsForTheSameOptions(t *testing.T) {
	t.Parallel()
	const other = "https://other.example"
	own := []signin.TokenOption(nil)
	forAPI := []signin.TokenOption{signin.ForResource(api)}
	forOrg := []signin.TokenOption{signin.ForOrganization("org_one")}
	forBoth := []signin.TokenOption{signin.ForResource(api), signin.ForOrganization("org_one")}
	swapped := []signin.TokenOption{signin.ForOrganization("org_one"), signin.ForResource(api)}
	forOther := []signin.TokenOption{signin.ForResource(other)}
	const unknown = string(signin.ErrUnknownResource)

	user := signintest.WithUser(httptest.NewRequest("GET", "/", nil), &signin.User{Subject: "s"})
	withOwn := signintest.WithAccessToken(user, "own")
	withAPI := signintest.WithAccessToken(withOwn, "for-api", forAPI...)
	withBoth := signintest.WithAccessToken(withAPI, "for-both", forBoth...)
	tests := map[string]struct {
		r    *http.Request
		want []string // own, for the API, for the organization, for both, swapped, for another API
	}{
		"a user without a token": {user, []string{unknown, unknown, unknown, unknown, unknown, unknown}},
		"the session's own":      {withOwn, []string{"own Bearer", unknown, unknown, unknown, unknown, unknown}},
		"one for an API, too":    {withAPI, []string{"own Bearer", "for-api Bearer", unknown, unknown, unknown, unknown}},
		"and within an organization": {withBoth, []string{
			"own Bearer", "for-api Bearer", unknown, "for-both Bearer", "for-both Bearer", unknown}},
		"for an organization alone": {signintest.WithAccessToken(user, "for-org", forOrg...), []string{
			unknown, unknown, "for-org Bearer", unknown, unknown, unknown}},
		"another in its place": {signintest.WithAccessToken(withBoth, "newer", forAPI...), []string{
			"own Bearer", "newer Bearer", unknown, "for-both Bearer", "for-both Bearer", unknown}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tokens(test.r, own, forAPI, forOrg, forBoth, swapped, forOther); !slices.Equal(got, test.want) {
				t.Errorf("got %q; want %q", got, test.want)
			}
			if u, ok := signin.UserFrom(test.r.Context()); !ok || u.Subject != "s" {
				t.Errorf("got user %v; want the same as before", u)
			}
		})
	}
}

func TestWithAccessTokenKeepsItsOwnOptions(t *testing.T) {
	t.Parallel()
	opts := []signin.TokenOption{signin.ForResource(api)}
	r := signintest.WithAccessToken(signintest.WithUser(httptest.NewRequest("GET", "/", nil), &signin.User{Subject: "s"}), "for-api", opts...)
	opts[0] = signin.ForResource("https://changed.example")
	if got := tokens(r, []signin.TokenOption{signin.ForResource(api)}, opts); !slices.Equal(got, []string{"for-api Bearer", "unknown_resource"}) {
		t.Errorf("got %q; want the token where it was meant for", got)
	}
}

func TestWithAccessTokenReachesTransport(t *testing.T) {
	t.Parallel()
	var sent []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
	}))
	defer srv.Close()
	client := &http.Client{Transport: signin.Transport(srv.URL, signin.ForResource(api))}
	user := signintest.WithUser(httptest.NewRequest("GET", "/", nil), &signin.User{Subject: "s"})
	for name, test := range map[string]struct {
		r    *http.Request
		want error
	}{
		"with a token":    {signintest.WithAccessToken(user, "for-api", signin.ForResource(api)), nil},
		"without a token": {signintest.WithAccessToken(user, "own"), signin.ErrUnknownResource},
	} {
		sent = nil
		r, err := http.NewRequestWithContext(test.r.Context(), http.MethodGet, srv.URL+"/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		if !errors.Is(err, test.want) || (err == nil) != slices.Equal(sent, []string{"Bearer for-api"}) {
			t.Errorf("%s: got %q sent, error %v; want error %v", name, sent, err, test.want)
		}
	}
}

func TestWithAccessTokenNeedsAUser(t *testing.T) {
	t.Parallel()
	plain := httptest.NewRequest("GET", "/", nil)
	nobody := signintest.WithUser(plain, nil)
	for name, r := range map[string]*http.Request{"a request of no test": plain, "a request of nobody": nobody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, "WithAccessToken needs a request that WithUser has returned") {
					t.Errorf("got panic %q; want one that says what is missing", got)
				}
			}()
			signintest.WithAccessToken(r, "a-token")
		})
	}
	if got := tokens(nobody, nil, []signin.TokenOption{signin.ForResource(api)}); !slices.Equal(got, []string{"not_signed_in", "not_signed_in"}) {
		t.Errorf("nobody's tokens: got %q; want not_signed_in", got)
	}
	// A later user has none of the tokens of an earlier one.
	alice := signintest.WithAccessToken(signintest.WithUser(plain, &signin.User{Subject: "alice"}), "hers")
	for name, r := range map[string]*http.Request{
		"not_signed_in":    signintest.WithUser(alice, nil),
		"unknown_resource": signintest.WithUser(alice, &signin.User{Subject: "bob"}),
	} {
		if got := tokens(r, nil); !slices.Equal(got, []string{name}) {
			t.Errorf("got %q; want %s", got, name)
		}
	}
}
