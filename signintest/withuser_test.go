package signintest_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/testuser"
	"github.com/gosignin/signin/signintest"
)

// requestOf returns a request of a user, nil for a user who is not signed in.
func requestOf(user *signin.User) *http.Request {
	return signintest.WithUser(httptest.NewRequest("GET", "/account", nil), user)
}

func TestWithUser_CarriesACopy(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/account", nil)
	user := &signin.User{Subject: "s", Roles: []string{"admin"}}
	got := signintest.WithUser(r, user)
	user.Subject, user.Roles[0] = "changed", "changed"
	if u, ok := signin.UserFrom(got.Context()); !ok || u.Subject != "s" || u.Roles[0] != "admin" {
		t.Errorf("got %+v; want the user as given", u)
	}
	if testuser.From(r.Context()) != nil {
		t.Error("got the given request changed; want a copy")
	}
}

func TestWithUser_OutsideTests(t *testing.T) {
	t.Parallel()
	panics(t, "test binary only", func() {
		signintest.WithUserOutsideTests(httptest.NewRequest("GET", "/", nil), &signin.User{Subject: "s"})
	})
}

func TestWithAccessToken_Options(t *testing.T) {
	t.Parallel()
	forAPI := []signin.TokenOption{signin.ForResource(api)}
	forOrg := []signin.TokenOption{signin.ForOrganization("org_one")}
	forBoth := []signin.TokenOption{signin.ForResource(api), signin.ForOrganization("org_one")}
	swapped := []signin.TokenOption{signin.ForOrganization("org_one"), signin.ForResource(api)}

	user := requestOf(&signin.User{Subject: "s"})
	withOwn := signintest.WithAccessToken(user, "own")
	withAPI := signintest.WithAccessToken(withOwn, "for-api", forAPI...)
	withBoth := signintest.WithAccessToken(withAPI, "for-both", forBoth...)
	changed := []signin.TokenOption{signin.ForResource(api)}
	withChanged := signintest.WithAccessToken(user, "for-api", changed...)
	changed[0] = signin.ForResource("https://changed.example")
	for name, test := range map[string]struct {
		r    *http.Request
		want string // the session's own, for the API, for the organization, for both, swapped; - for unknown
	}{
		"a user without a token":     {user, "- - - - -"},
		"the session's own":          {withOwn, "own - - - -"},
		"and for an API":             {withAPI, "own for-api - - -"},
		"and within an organization": {withBoth, "own for-api - for-both for-both"},
		"for an organization":        {signintest.WithAccessToken(user, "for-org", forOrg...), "- - for-org - -"},
		"another in its place":       {signintest.WithAccessToken(withBoth, "newer", forAPI...), "own newer - for-both for-both"},
		"options that change later":  {withChanged, "- for-api - - -"},
		"another user later":         {signintest.WithUser(withOwn, &signin.User{Subject: "bob"}), "- - - - -"},
	} {
		var got []string
		for _, opts := range [][]signin.TokenOption{nil, forAPI, forOrg, forBoth, swapped} {
			token, err := signin.AccessToken(test.r.Context(), opts...)
			if errors.Is(err, signin.ErrUnknownResource) {
				got = append(got, "-")
				continue
			}
			same(t, "token type", token.TokenType+token.RefreshToken, "Bearer")
			got = append(got, token.AccessToken)
		}
		same(t, name, strings.Join(got, " "), test.want)
	}
	if u, ok := signin.UserFrom(withBoth.Context()); !ok || u.Subject != "s" {
		t.Errorf("got user %v; want the same as before", u)
	}
	if _, err := signin.AccessToken(signintest.WithUser(withOwn, nil).Context()); !errors.Is(err, signin.ErrNotSignedIn) {
		t.Errorf("no user later: got %v; want %v", err, signin.ErrNotSignedIn)
	}
}

func TestWithAccessToken_NoUser(t *testing.T) {
	t.Parallel()
	for _, r := range []*http.Request{httptest.NewRequest("GET", "/", nil), requestOf(nil)} {
		panics(t, "WithAccessToken needs a request that WithUser has returned", func() {
			signintest.WithAccessToken(r, "a-token")
		})
	}
}
