package signintest_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
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

// tokens returns the access tokens that a handler gets for a request, or the
// codes of the errors.
func tokens(r *http.Request, each ...[]signin.TokenOption) []string {
	var out []string
	for _, opts := range each {
		token, err := signin.AccessToken(r.Context(), opts...)
		if e, ok := errors.AsType[*signin.Error](err); ok {
			out = append(out, string(e.Code))
			continue
		}
		out = append(out, token.AccessToken+" "+token.TokenType+token.RefreshToken)
	}
	return out
}

func TestWithAccessToken_Options(t *testing.T) {
	t.Parallel()
	own := []signin.TokenOption(nil)
	forAPI := []signin.TokenOption{signin.ForResource(api)}
	forOrg := []signin.TokenOption{signin.ForOrganization("org_one")}
	forBoth := []signin.TokenOption{signin.ForResource(api), signin.ForOrganization("org_one")}
	swapped := []signin.TokenOption{signin.ForOrganization("org_one"), signin.ForResource(api)}
	const unknown = string(signin.ErrUnknownResource)

	user := requestOf(&signin.User{Subject: "s"})
	withOwn := signintest.WithAccessToken(user, "own")
	withAPI := signintest.WithAccessToken(withOwn, "for-api", forAPI...)
	withBoth := signintest.WithAccessToken(withAPI, "for-both", forBoth...)
	changed := []signin.TokenOption{signin.ForResource(api)}
	withChanged := signintest.WithAccessToken(user, "for-api", changed...)
	changed[0] = signin.ForResource("https://changed.example")
	for name, test := range map[string]struct {
		r    *http.Request
		want []string // own, for the API, for the organization, for both, swapped
	}{
		"a user without a token":     {user, []string{unknown, unknown, unknown, unknown, unknown}},
		"the session's own":          {withOwn, []string{"own Bearer", unknown, unknown, unknown, unknown}},
		"and for an API":             {withAPI, []string{"own Bearer", "for-api Bearer", unknown, unknown, unknown}},
		"and within an organization": {withBoth, []string{"own Bearer", "for-api Bearer", unknown, "for-both Bearer", "for-both Bearer"}},
		"for an organization":        {signintest.WithAccessToken(user, "for-org", forOrg...), []string{unknown, unknown, "for-org Bearer", unknown, unknown}},
		"another in its place":       {signintest.WithAccessToken(withBoth, "newer", forAPI...), []string{"own Bearer", "newer Bearer", unknown, "for-both Bearer", "for-both Bearer"}},
		"options that change later":  {withChanged, []string{unknown, "for-api Bearer", unknown, unknown, unknown}},
		"another user later":         {signintest.WithUser(withOwn, &signin.User{Subject: "bob"}), []string{unknown, unknown, unknown, unknown, unknown}},
	} {
		if got := tokens(test.r, own, forAPI, forOrg, forBoth, swapped); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q; want %q", name, got, test.want)
		}
	}
	if u, ok := signin.UserFrom(withBoth.Context()); !ok || u.Subject != "s" {
		t.Errorf("got user %v; want the same as before", u)
	}
	if got := tokens(signintest.WithUser(withOwn, nil), own); got[0] != string(signin.ErrNotSignedIn) {
		t.Errorf("no user later: got %s; want not_signed_in", got)
	}
}

func TestWithAccessToken_NoUser(t *testing.T) {
	t.Parallel()
	for _, r := range []*http.Request{httptest.NewRequest("GET", "/", nil), requestOf(nil)} {
		panics(t, "WithAccessToken needs a request that WithUser has returned", func() { signintest.WithAccessToken(r, "a-token") })
	}
}
