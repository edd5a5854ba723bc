package signintest_test

import (
	"testing"

	"github.com/gosignin/signin/signintest"
)

const (
	api            = "https://api.example.com"
	allOfThem      = "urn:logto:resource:organizations"
	inOrganization = "urn:logto:organization:"
	organization   = "openid offline_access urn:logto:scope:organizations"
	permissions    = " read:orders write:orders read:members invite:members" // as scopes
)

// refreshTokenFor signs user in with scope and resources, and returns the
// refresh token.
func (a *party) refreshTokenFor(t *testing.T, user signintest.User, scope string, resources ...string) string {
	t.Helper()
	q := a.params("scope", scope)
	q["resource"] = resources
	return a.exchange(t, a.authorize(t, nil, user, q).Get("code")).text("refresh_token")
}

func TestRefresh_ResourcesAndOrganizations(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithMFARequired("org_mfa"), signintest.WithMFARequired("org_three"))
	const (
		other     = "https://other.example"
		unknown   = "400 invalid_target: resource indicator is missing, or unknown"
		notMember = "403 access_denied: user is not a member of the organization"
		noMFA     = "403 access_denied: organization requires MFA but user has no MFA configured"
		noScope   = "403 insufficient_scope: refresh token missing required scope"
	)
	alice := signintest.Alice()
	alice.Organizations = append(alice.Organizations, "org_mfa")
	careful := signintest.User{Subject: "careful00001", Organizations: []string{"org_mfa"}, MFA: true}
	all := a.refreshTokenFor(t, alice, organization+permissions, allOfThem, api, other)
	some := a.refreshTokenFor(t, alice, organization+" write:orders invite:members delete:orders", allOfThem, api)
	none := a.refreshTokenFor(t, alice, organization, allOfThem, api)
	withoutScope := a.refreshTokenFor(t, alice, "openid offline_access"+permissions, allOfThem, api)
	withoutOrganizations := a.refreshTokenFor(t, alice, organization, api)
	withMFA := a.refreshTokenFor(t, careful, organization, allOfThem)

	resource := []string{"resource", api}
	member := []string{"organization_id", "org_one"}
	both := []string{"resource", api, "organization_id", "org_two"}
	foreign := []string{"organization_id", "org_three"}
	strict := []string{"organization_id", "org_mfa"}
	for name, test := range map[string]struct {
		token           string
		pairs           []string
		aud, org, scope string
		refused         string
	}{
		"a resource":                      {all, resource, api, "", "read:orders write:orders", ""},
		"an organization":                 {all, member, inOrganization + "org_one", "", "read:members invite:members", ""},
		"both":                            {all, both, api, "org_two", "read:orders write:orders", ""},
		"a resource without permissions":  {all, []string{"resource", other}, other, "", "", ""},
		"neither":                         {all, nil, "", "", organization, ""},
		"a resource, some asked for":      {some, resource, api, "", "write:orders", ""},
		"an organization, some asked for": {some, member, inOrganization + "org_one", "", "invite:members", ""},
		"a resource, none asked for":      {none, resource, api, "", "", ""},
		"a resource, without the scope":   {withoutScope, resource, api, "", "read:orders write:orders", ""},
		"a member with a second factor":   {withMFA, strict, inOrganization + "org_mfa", "", "", ""},
		"a resource not asked for":        {all, []string{"resource", "https://third.example"}, "", "", "", unknown},
		"not a member":                    {all, foreign, "", "", "", notMember},
		"neither a member nor the scope":  {withoutScope, foreign, "", "", "", notMember},
		"a member without second factor":  {all, strict, "", "", "", noMFA},
		"neither that nor the scope":      {withoutScope, strict, "", "", "", noMFA},
		"without the scope":               {withoutScope, member, "", "", "", noScope},
		"without the organizations":       {withoutOrganizations, member, "", "", "", noScope},
		"an unknown token":                {"unknown", nil, "", "", "", "400 invalid_grant: refresh token not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := a.refresh(t, test.token, test.pairs...)
			if test.refused != "" {
				same(t, "refused", got.outcome()+": "+got.text("error_description"), test.refused)
				same(t, "code", got.text("code"), "oidc."+got.text("error"))
				return
			}
			access := got.text("access_token")
			same(t, "scope", got.body["scope"], any(test.scope))
			if test.aud == "" { // the opaque token
				same(t, "userinfo", a.get(t, a.p.Issuer+"/me", access).outcome(), "200")
				return
			}
			claims := part(t, access, 1)
			org, _ := claims["organization_id"].(string)
			same(t, "typ", part(t, access, 0)["typ"], "at+jwt")
			same(t, "aud", claims["aud"], any(test.aud))
			same(t, "client_id", claims["client_id"], any(a.cfg.ClientID))
			same(t, "scope in the token", claims["scope"], any(test.scope))
			same(t, "organization", org, test.org)
			same(t, "userinfo", a.get(t, a.p.Issuer+"/me", access).outcome(), "401 invalid_token")
		})
	}
}
