package signintest_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

const (
	api          = "https://api.example.com"
	allOfThem    = "urn:logto:resource:organizations"
	inOrgOne     = "urn:logto:organization:org_one"
	organization = "openid offline_access urn:logto:scope:organizations"
	permissions  = " read:orders write:orders read:members invite:members" // as scopes
)

// signInFor goes through the flow with resources, and returns the token response.
func (a *party) signInFor(t *testing.T, user signintest.User, scope string, resources ...string) answer {
	t.Helper()
	q := a.params("scope", scope)
	q["resource"] = resources
	return a.exchange(t, a.authorize(t, nil, user, q).Get("code"))
}

func TestRefreshForResourcesAndOrganizations(t *testing.T) {
	t.Parallel()
	a := start(t)
	const other = "https://other.example"
	token := a.signInFor(t, signintest.Alice(), organization+permissions, allOfThem, api, other).text("refresh_token")
	some := a.signInFor(t, signintest.Alice(), organization+" write:orders invite:members delete:orders", allOfThem, api).text("refresh_token")
	unasked := a.signInFor(t, signintest.Alice(), organization, allOfThem, api).text("refresh_token")
	noScope := a.signInFor(t, signintest.Alice(), "openid offline_access"+permissions, allOfThem, api).text("refresh_token")
	noResource := a.signInFor(t, signintest.Alice(), organization, api).text("refresh_token")

	tests := map[string]struct {
		token           string
		pairs           []string
		aud, org, scope string
		wantError       string
		status          int
	}{
		"a resource":                      {token, []string{"resource", api}, api, "", "read:orders write:orders", "", 200},
		"an organization":                 {token, []string{"organization_id", "org_one"}, inOrgOne, "", "read:members invite:members", "", 200},
		"both":                            {token, []string{"resource", api, "organization_id", "org_two"}, api, "org_two", "read:orders write:orders", "", 200},
		"a resource without permissions":  {token, []string{"resource", other}, other, "", "", "", 200},
		"an organization without":         {token, []string{"organization_id", "org_two"}, "urn:logto:organization:org_two", "", "", "", 200},
		"neither":                         {token, nil, "", "", organization + permissions, "", 200},
		"a resource, some asked for":      {some, []string{"resource", api}, api, "", "write:orders", "", 200},
		"an organization, some asked for": {some, []string{"organization_id", "org_one"}, inOrgOne, "", "invite:members", "", 200},
		"both, some asked for":            {some, []string{"resource", api, "organization_id", "org_two"}, api, "org_two", "write:orders", "", 200},
		"a resource, none asked for":      {unasked, []string{"resource", api}, api, "", "", "", 200},
		"an organization, none asked for": {unasked, []string{"organization_id", "org_one"}, inOrgOne, "", "", "", 200},
		"a resource, without the scope":   {noScope, []string{"resource", api}, api, "", "read:orders write:orders", "", 200},
		"a resource not asked":            {token, []string{"resource", "https://third.example"}, "", "", "", "invalid_target", 400},
		"not a member":                    {token, []string{"organization_id", "org_three"}, "", "", "", "access_denied", 403},
		"neither a member nor the scope":  {noScope, []string{"organization_id", "org_three"}, "", "", "", "access_denied", 403},
		"without the scope":               {noScope, []string{"organization_id", "org_one"}, "", "", "", "insufficient_scope", 403},
		"without the organizations":       {noResource, []string{"organization_id", "org_one"}, "", "", "", "insufficient_scope", 403},
		"both, without the organizations": {noResource, []string{"resource", api, "organization_id", "org_one"}, "", "", "", "insufficient_scope", 403},
		"an unknown token":                {"unknown", nil, "", "", "", "invalid_grant", 400},
		"a token that is empty":           {"", nil, "", "", "", "invalid_grant", 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := a.refresh(t, test.token, test.pairs...)
			if got.status != test.status || got.text("error") != test.wantError {
				t.Fatalf("got %d %s; want %d %s", got.status, got.text("error"), test.status, test.wantError)
			}
			if test.wantError != "" {
				if got.text("code") != "oidc."+test.wantError {
					t.Errorf("got code %q", got.text("code"))
				}
				return
			}
			if scope, there := got.body["scope"]; scope != test.scope || !there {
				t.Errorf("got scope %q; want %q", scope, test.scope)
			}
			access := got.text("access_token")
			info := a.get(t, a.p.Issuer+"/me", access).status
			if test.aud == "" {
				if info != 200 || strings.Contains(access, ".") {
					t.Errorf("userinfo: got %d for the opaque token; want 200", info)
				}
				return
			}
			header, claims := part(t, access, 0), part(t, access, 1)
			org, inOrg := claims["organization_id"]
			if header["typ"] != "at+jwt" || claims["aud"] != test.aud || claims["sub"] != signintest.Alice().Subject ||
				claims["client_id"] != a.cfg.ClientID || claims["scope"] != test.scope || inOrg != (test.org != "") || inOrg && org != test.org {
				t.Errorf("got %v %v", header, claims)
			}
			if info != 401 {
				t.Errorf("userinfo: got %d for a JWT; want 401", info)
			}
		})
	}
}

func TestACodeIsExchangedForAResourceToo(t *testing.T) {
	t.Parallel()
	a := start(t)
	q := a.params("scope", "openid"+permissions)
	q["resource"] = []string{api}
	got := a.post(t, a.p.Issuer+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {a.authorize(t, nil, signintest.Alice(), q).Get("code")},
		"redirect_uri": {a.URL + "/callback"}, "code_verifier": {verifier}, "resource": {api},
	})
	if got.status != 200 {
		t.Fatalf("got %d %s; want 200", got.status, got.raw)
	}
	claims := part(t, got.text("access_token"), 1)
	if claims["aud"] != api || claims["scope"] != "read:orders write:orders" || got.text("scope") != "read:orders write:orders" {
		t.Errorf("got %v, scope %q", claims, got.text("scope"))
	}
}

func TestPermissionsAreThoseOfNow(t *testing.T) {
	t.Parallel()
	a := start(t)
	user := signintest.Alice()
	token := a.signInFor(t, user, "openid offline_access"+permissions, api).text("refresh_token")
	scope := func() string { return a.refresh(t, token, "resource", api).text("scope") }

	user.Permissions[api][0] = "changed" // the provider has a copy of its own
	user.Permissions["urn:other"] = []string{"changed"}
	if got, want := scope(), "read:orders write:orders"; got != want {
		t.Errorf("got %q; want %q as it was when the user was set", got, want)
	}
	user.Permissions = map[string][]string{api: {"read:orders"}}
	a.p.SetUser(user)
	if got, want := scope(), "read:orders"; got != want {
		t.Errorf("got %q; want %q after SetUser", got, want)
	}
	user.Permissions = nil
	a.p.SetUser(user)
	if got := scope(); got != "" {
		t.Errorf("got %q; want none", got)
	}
	if got := signintest.Alice().Permissions[api][0]; got != "read:orders" {
		t.Errorf("got %q of another Alice; want none of the changes", got)
	}
}

func TestOrganizationsThatRequireASecondFactor(t *testing.T) {
	t.Parallel()
	alice, withMFA := signintest.Alice(), signintest.Alice()
	withMFA.MFA = true
	const refused = "organization requires MFA but user has no MFA configured"
	tests := map[string]struct {
		user         signintest.User
		organization string
		scope        string
		want         string // error_description
	}{
		"a member without one":                {alice, "org_one", organization, refused},
		"a member with one":                   {withMFA, "org_one", organization, ""},
		"an organization that does not":       {alice, "org_two", organization, ""},
		"not a member, which is said first":   {alice, "org_three", organization, "user is not a member of the organization"},
		"no member with one":                  {withMFA, "org_three", organization, "user is not a member of the organization"},
		"without the scope, which comes last": {alice, "org_one", "openid offline_access", refused},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, signintest.WithMFARequired("org_one"), signintest.WithMFARequired("org_three"))
			token := a.signInFor(t, test.user, test.scope, allOfThem, api).text("refresh_token")
			for _, pairs := range [][]string{{"organization_id", test.organization}, {"organization_id", test.organization, "resource", api}} {
				got := a.refresh(t, token, pairs...)
				if got.text("error_description") != test.want {
					t.Errorf("got %d %s; want %q", got.status, got.raw, test.want)
				}
				if test.want != "" && (got.status != 403 || got.text("error") != "access_denied") || test.want == "" && got.status != 200 {
					t.Errorf("got %d %s", got.status, got.text("error"))
				}
			}
			if got := a.refresh(t, token, "resource", api).status; got != 200 {
				t.Errorf("outside of organizations: got %d; want 200", got)
			}
		})
	}
}

// A relying party that asks for an API's token must keep the refresh token that
// comes with it.
func TestRefreshForAResourceRotatesAsAnyOther(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now), signintest.WithRefreshRotation())
	first := a.signInFor(t, signintest.Alice(), organization, allOfThem, api).text("refresh_token")
	seen := []string{first}
	for _, pairs := range [][]string{{"resource", api}, {"organization_id", "org_one"}, {"resource", api, "organization_id", "org_one"}} {
		got := a.refresh(t, seen[len(seen)-1], pairs...)
		if got.status != 200 || got.text("refresh_token") == "" || slices.Contains(seen, got.text("refresh_token")) {
			t.Fatalf("%v: got %d, refresh token known %v; want 200 and a new one", pairs, got.status, slices.Contains(seen, got.text("refresh_token")))
		}
		seen = append(seen, got.text("refresh_token"))
	}
	// One that is refused has not been used.
	if got := a.refresh(t, seen[3], "resource", "https://third.example"); got.text("error") != "invalid_target" {
		t.Fatalf("got %d %s; want invalid_target", got.status, got.text("error"))
	}
	c.Advance(4 * time.Second)
	if got := a.refresh(t, seen[3]); got.status != 200 {
		t.Errorf("after a refusal: got %d; want 200", got.status)
	}
	if got := a.refresh(t, first, "resource", api); got.text("error") != "invalid_grant" || a.p.Stats().RevokedForReuse != 1 {
		t.Errorf("a used one after its grace: got %d; want invalid_grant, and the grant revoked", got.status)
	}
}

func TestMintedTokensAreAsTheTokenEndpointsOwn(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now), signintest.WithAccessTokenLifetime(5*time.Minute))
	alice := signintest.Alice().Subject
	issued := a.refresh(t, a.signInFor(t, signintest.Alice(), "openid offline_access read:orders write:orders", api).text("refresh_token"), "resource", api).text("access_token")
	minted := a.p.AccessToken(alice, api, "read:orders", "write:orders")

	header, claims := part(t, issued, 0), part(t, issued, 1)
	mintedHeader, mintedClaims := part(t, minted, 0), part(t, minted, 1)
	if claims["jti"] == mintedClaims["jti"] || mintedClaims["jti"] == nil {
		t.Errorf("got jti %v twice", claims["jti"])
	}
	delete(claims, "jti")
	delete(mintedClaims, "jti")
	if !maps.Equal(header, mintedHeader) || !maps.Equal(claims, mintedClaims) {
		t.Errorf("got %v %v; want %v %v", mintedHeader, mintedClaims, header, claims)
	}
	if seconds(mintedClaims, "exp") != 5*time.Minute || seconds(mintedClaims, "iat") != 0 {
		t.Errorf("got %v; want it to begin now, and to end in five minutes", mintedClaims)
	}
	tests := map[string]struct {
		token                       string
		sub, clientID, aud, scopeIs string
	}{
		"a person's":                         {minted, alice, a.cfg.ClientID, api, "read:orders write:orders"},
		"a person's, without scope":          {a.p.AccessToken(alice, api), alice, a.cfg.ClientID, api, ""},
		"nobody's we know":                   {a.p.AccessToken("stranger", api, "a"), "stranger", a.cfg.ClientID, api, "a"},
		"an organization's":                  {a.p.AccessToken(alice, inOrgOne, "read:members"), alice, a.cfg.ClientID, inOrgOne, "read:members"},
		"a machine's":                        {a.p.MachineToken("a-job", api, "read:orders"), "a-job", "a-job", api, "read:orders"},
		"a machine's within an organization": {a.p.MachineToken("a-job", inOrgOne), "a-job", "a-job", inOrgOne, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := part(t, test.token, 1)
			if got["sub"] != test.sub || got["client_id"] != test.clientID || got["aud"] != test.aud || got["scope"] != test.scopeIs || got["organization_id"] != nil {
				t.Errorf("got %v; want %+v", got, test)
			}
			if err := a.verifyFor(t, test.aud, test.token); err != nil {
				t.Errorf("go-oidc: got %v; want it accepted", err)
			}
			if !slices.Contains(a.p.Secrets(), test.token) {
				t.Error("got it not among the secrets")
			}
			if got := a.get(t, a.p.Issuer+"/me", test.token).status; got != 401 {
				t.Errorf("userinfo: got %d; want 401", got)
			}
		})
	}
}

// go-oidc knows ID tokens only, and so nothing of what an access token must have.
// accessTokenFaults are whether go-oidc, which leaves some checks to its caller, takes such a
// token.
var accessTokenFaults = map[signintest.Fault]bool{
	faults.AccessTokenIssuerWrong:      false,
	faults.AccessTokenAudienceWrong:    false,
	faults.AccessTokenAudienceClientID: false,
	faults.AccessTokenExpired:          false,
	faults.AccessTokenNotYetValid:      false,
	faults.AccessTokenAlgNone:          false,
	faults.AccessTokenHS256PEM:         false,
	faults.AccessTokenSignatureInvalid: false,
	faults.AccessTokenKeyIDUnknown:     false,
	faults.AccessTokenTypeJWT:          true,
	faults.AccessTokenTypeMissing:      true,
	faults.AccessTokenSubjectMissing:   true,
	faults.AccessTokenClientIDMissing:  true,
	faults.AccessTokenHeaderCrit:       false,
}

func TestFaultsOfAccessTokens(t *testing.T) {
	t.Parallel()
	for fault, takes := range accessTokenFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t, signintest.WithNow(newClock().Now))
			refresh := a.signInFor(t, signintest.Alice(), organization, allOfThem, api).text("refresh_token")
			a.p.Inject(fault)
			for name, token := range map[string]string{
				"of the token endpoint": a.refresh(t, refresh, "resource", api).text("access_token"),
				"of AccessToken":        a.p.AccessToken("alice", api),
				"of MachineToken":       a.p.MachineToken("a-job", api),
			} {
				typ := any("at+jwt")
				switch fault {
				case faults.AccessTokenTypeJWT:
					typ = "JWT"
				case faults.AccessTokenTypeMissing:
					typ = nil
				}
				if got := part(t, token, 0)["typ"]; got != typ {
					t.Errorf("%s: got typ %v; want %v", name, got, typ)
				}
				if err := a.verifyFor(t, api, token); (err == nil) != takes {
					t.Errorf("%s: go-oidc: got %v; want accepted %v", name, err, takes)
				}
			}
			inside := a.refresh(t, refresh, "organization_id", "org_one").text("access_token")
			if err := a.verifyFor(t, "urn:logto:organization:org_one", inside); (err == nil) != takes {
				t.Errorf("for an organization: go-oidc: got %v; want accepted %v", err, takes)
			}
			plain := a.refresh(t, refresh)
			if err := a.verify(t, plain.text("id_token")); err != nil || a.get(t, a.p.Issuer+"/me", plain.text("access_token")).status != 200 {
				t.Errorf("the ID token and the opaque access token: got %v; want them left alone", err)
			}
			a.p.Clear()
			if err := a.verifyFor(t, api, a.p.AccessToken("alice", api)); err != nil {
				t.Errorf("after Clear: got %v; want none", err)
			}
		})
	}
}

// publicPEM is the key that everybody can fetch.
func (a *party) publicPEM(t *testing.T) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.get(t, a.p.Issuer+"/jwks", "").raw), &set); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(set.Keys[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestAnAccessTokenIsKeyedWithThePublicKey(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithAlgorithm("RS256"))
	a.p.Inject(faults.AccessTokenHS256PEM)
	signed, err := jose.ParseSignedCompact(a.p.AccessToken("alice", api), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Verify(a.publicPEM(t)); err != nil {
		t.Errorf("got %v; want HS256 with the public key that is published", err)
	}
}
