package acceptance_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// TestField_SignIn has a row for each dialect of a provider that people have. None of
// them lets in another person: signature, issuer, subject, audience and nonce are as
// they must be. The rows at the end are lies beside them, which are refused.
func TestField_SignIn(t *testing.T) {
	t.Parallel()
	rsa := []signintest.Option{signintest.WithAlgorithm("RS256")}
	for name, row := range map[string]struct {
		faults   []signintest.Fault
		provider []signintest.Option
	}{
		"F1.1 Keycloak's tokens":                       {faults: fault(faults.TokensKeycloak)},
		"F1.2 Entra's tokens":                          {faults: fault(faults.TokensEntra)},
		"F4.1 acr is a number":                         {faults: fault(faults.IDTokenACRNumber)},
		"F4.1 auth_time is a text":                     {faults: fault(faults.IDTokenAuthTimeText)},
		"F4.1 sid is a number":                         {faults: fault(faults.IDTokenSIDNumber)},
		"F4.1 nbf is a text":                           {faults: fault(faults.IDTokenNotBeforeText)},
		"F4.1 at_hash is empty":                        {faults: fault(faults.IDTokenAtHashEmpty)},
		"F4.2 two spellings in the ID token":           {faults: fault(faults.IDTokenSpellings)},
		"F4.2 two spellings in userinfo":               {faults: fault(faults.UserInfoSpellings)},
		"F4.3 claims_supported is a text":              {faults: fault(faults.DiscoveryClaimsText)},
		"F4.3 scopes_supported is null":                {faults: fault(faults.DiscoveryScopesNull)},
		"F4.3 an unknown endpoint is a number":         {faults: fault(faults.DiscoveryEndpointOdd)},
		"F4.3 end_session_endpoint is relative":        {faults: fault(faults.DiscoveryEndRelative)},
		"F4.3 end_session_endpoint is http":            {faults: fault(faults.DiscoveryEndHTTP)},
		"F4.4 a byte order mark before the metadata":   {faults: fault(faults.DiscoveryMark)},
		"F4.4 a byte order mark before the keys":       {faults: fault(faults.KeysMark)},
		"F4.5 parameters that were not asked for":      {faults: fault(faults.ResponseExtras)},
		"F4.6 a code of 8 KB":                          {faults: fault(faults.ResponseCodeLong)},
		"F4.7 alg RSA":                                 {faults: fault(faults.KeysAlgRSA), provider: rsa},
		"F4.7 use SIG":                                 {faults: fault(faults.KeysUseCaps)},
		"F4.7 a numeric kid":                           {faults: fault(faults.KeysIDNumber)},
		"F4.7 a padded n":                              {faults: fault(faults.KeysPadded), provider: rsa},
		"F4.7 key_ops is a text":                       {faults: fault(faults.KeysOpsText)},
		"F4.7 another key of an unknown type":          {faults: fault(faults.KeysUnknown)},
		"F5.3 scope is a list":                         {faults: fault(faults.TokensScopeList)},
		"F5.3 expires_in is a text":                    {faults: fault(faults.TokensExpiresInText)},
		"F6.1 a second audience, azp is this client":   {faults: fault(faults.IDTokenAudienceExtra)},
		"F7.1 metadata redirected within the origin":   {faults: fault(faults.DiscoveryRedirect)},
		"F7.1 keys redirected within the origin":       {faults: fault(faults.KeysRedirect)},
		"F7.9 userinfo as a signed JWT":                {faults: fault(faults.UserInfoSigned)},
		"F7.8 no expires_in, and an opaque token":      {faults: fault(faults.TokensExpiresInAbsent)},
		"F7.5 no end_session_endpoint in the metadata": {faults: fault(faults.DiscoveryNoEndSession)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accepted(t, with{provider: row.provider, config: merged}, row.faults...)
		})
	}
	for name, on := range map[string][]signintest.Fault{
		"F6.1 a second audience, and no azp":               fault(faults.IDTokenAudienceNoAZP),
		"F6.1 a second audience, azp is another client":    fault(faults.IDTokenAudienceExtra, faults.IDTokenAZPWrong),
		"F7.9 userinfo signed with another key":            fault(faults.UserInfoSignedForeign),
		"F7.9 userinfo as a signed JWT for another client": fault(faults.UserInfoSignedAudience),
	} {
		rejection{name: name, with: with{config: merged}, faults: on, want: unbelieved}.run(t)
	}
}

func merged(c *signin.Config) { c.MergeUserInfo = true }

// TestField_Claims is about claims that have another type than is usual.
func TestField_Claims(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		fault signintest.Fault
		see   func(signin.User) []string
		want  []string
	}{
		"F5.1 roles is a text": {faults.IDTokenRolesText, func(u signin.User) []string { return u.Roles }, []string{"admin"}},
		"F5.1 roles is a list of mixed types": {faults.IDTokenRolesMixed, func(u signin.User) []string { return u.Roles },
			[]string{"admin"}},
		"F5.1 roles is an object": {faults.IDTokenRolesObject, func(u signin.User) []string { return u.Roles }, nil},
		"F5.1 organizations is a text": {faults.IDTokenOrganizationsText, func(u signin.User) []string { return u.Organizations },
			[]string{"org_one"}},
		"F5.2 email_verified is a text": {faults.IDTokenEmailVerifiedText, func(u signin.User) []string {
			return map[bool][]string{true: {u.Email}}[u.EmailVerified]
		}, []string{signintest.Alice().Email}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, b := accepted(t, with{config: func(c *signin.Config) {
				c.Scopes = []string{"email", "roles", "urn:logto:scope:organizations"}
			}}, row.fault)
			if got := row.see(b.user()); !slices.Equal(got, row.want) {
				t.Errorf("got %q; want %q", got, row.want)
			}
		})
	}
}

// TestField_Refresh is about an hour after the sign-in, when the provider has begun to
// be odd and has another name for Alice.
func TestField_Refresh(t *testing.T) {
	t.Parallel()
	const old, renewed, ends = "Alice Example", "New", ""
	for name, row := range map[string]struct {
		faults []signintest.Fault
		issuer bool          // with Issuer, not LogtoEndpoint
		again  time.Duration // the outcome is that of a second try, so much later
		want   string        // the name that the page shows; ends for a new sign-in
	}{
		"F2.1 iat two minutes ahead":         {faults: fault(faults.IDTokenIssuedAtSoon), want: old},
		"F2.2 nonce is empty":                {faults: fault(faults.IDTokenNonceEmpty), want: renewed},
		"F2.2 acr is a number":               {faults: fault(faults.IDTokenACRNumber), want: renewed},
		"F2.2 auth_time is a text":           {faults: fault(faults.IDTokenAuthTimeText), want: renewed},
		"F2.3 a second audience, with azp":   {faults: fault(faults.IDTokenAudienceExtra), want: renewed},
		"F2.4 no name":                       {faults: fault(faults.IDTokenProfileMissing), want: old},
		"F2.4 protocol claims alone":         {faults: fault(faults.IDTokenProtocolOnly), issuer: true, want: old},
		"F2.5 an unknown key":                {faults: fault(faults.IDTokenKeyIDUnknown), want: old},
		"F2.5 an algorithm that is not used": {faults: fault(faults.IDTokenOtherAlgorithm), want: old},
		"F2.6 another nonce":                 {faults: fault(faults.IDTokenNonceWrong), want: ends},
		"F2.6 an audience without us":        {faults: fault(faults.IDTokenAudienceWrong), want: ends},
		"F2.6 a key's wrong signature":       {faults: fault(faults.IDTokenSignatureInvalid), want: ends},
		"F2.6 another issuer":                {faults: fault(faults.IDTokenIssuerWrong), want: ends},
		"F2.7 another authentication":        {faults: fault(faults.IDTokenAuthenticatedAnew), want: renewed},
		"F3.1 interaction_required":          {faults: fault(faults.TokenInteractionRequired), want: ends},
		"F3.1 login_required":                {faults: fault(faults.TokenLoginRequired), want: ends},
		"F3.1 consent_required":              {faults: fault(faults.TokenConsentRequired), want: ends},
		"F3.1 account_selection_required":    {faults: fault(faults.TokenAccountSelectionRequired), want: ends},
		"F3.1 mfa_required":                  {faults: fault(faults.TokenMFARequired), want: ends},
		"F3.2 unauthorized, once":            {faults: fault(faults.TokenUnauthorized), issuer: true, want: old},
		"F3.2 unauthorized":                  {faults: fault(faults.TokenUnauthorized), issuer: true, again: 16 * time.Minute, want: ends},
		"F3.2 access_denied":                 {faults: fault(faults.TokenAccessDenied), issuer: true, again: 16 * time.Minute, want: ends},
		"F3.2 access_denied with 403":        {faults: fault(faults.TokenForbidden), issuer: true, again: 16 * time.Minute, want: ends},
		"F3.2 token_inactive":                {faults: fault(faults.TokenInactive), issuer: true, again: 16 * time.Minute, want: ends},
		"F3.2 invalid_token":                 {faults: fault(faults.TokenInvalidToken), issuer: true, again: 16 * time.Minute, want: ends},
		"F3.2 access_denied, too soon again": {faults: fault(faults.TokenAccessDenied), issuer: true, again: 14 * time.Minute, want: old},
		"F3.2 access_denied, at Logto":       {faults: fault(faults.TokenAccessDenied), again: 16 * time.Minute, want: old},
		"F3.3 unauthorized_client":           {faults: fault(faults.TokenUnauthorizedClient), issuer: true, again: 16 * time.Minute, want: old},
		"F3.3 invalid_client":                {faults: fault(faults.TokenInvalidClient), issuer: true, again: 16 * time.Minute, want: old},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock, _ := refreshing(t, func(c *signin.Config) {
				if row.issuer {
					otherProvider(c)
				}
			})
			b := a.signedIn(signintest.Alice())
			a.renamed(renewed)
			clock.add(time.Hour)
			a.provider.Inject(row.faults...)
			got := b.get("/name")
			if row.again > 0 {
				shows(t, "the first time", got, old)
				clock.add(row.again)
				got = b.get("/name")
			}
			if row.want == ends {
				got.want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fname")
				return
			}
			shows(t, "refreshed", got, row.want)
		})
	}
}

// A refresh token that was rotated is kept, however useless the rest of the answer is.
func TestField_RotatedBesideUselessRest(t *testing.T) {
	t.Parallel()
	for name, on := range map[string][]signintest.Fault{
		"F2.8 token_type DPoP":       fault(faults.TokensTypeDPoP),
		"F2.8 an empty access token": fault(faults.TokensAccessEmpty),
		"F2.8 nothing else":          fault(faults.TokensTypeDPoP, faults.TokensAccessEmpty, faults.TokensNoIDToken),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock, _ := rotating(t, nil)
			b := a.signedIn(signintest.Alice())
			clock.add(time.Hour)
			a.provider.Inject(on...)
			shows(t, "useless", b.get("/name"), "Alice Example")
			a.provider.Clear()
			a.renamed("New")
			clock.add(time.Minute) // longer than the provider tolerates reuse
			shows(t, "afterwards", b.get("/name"), "New")
			a.used(t, 2)
		})
	}
}

// The same ID token at two refreshes is odd; the tokens beside it are new.
func TestField_IDTokenRepeated(t *testing.T) {
	t.Parallel()
	a, clock, _ := refreshing(t, nil)
	b := a.signedIn(signintest.Alice())
	clock.add(due)
	a.provider.Inject(faults.IDTokenRepeated)
	shows(t, "F2.1 the same ID token once more", b.get("/name"), "Alice Example")
	if got := a.kinds(); got[len(got)-1] != signin.EventRefreshed {
		t.Errorf("events: got %q; want refreshed last", got)
	}
}

// Keycloak says that its page has expired. It is asked once more, and no loop begins.
func TestField_AuthenticationExpired(t *testing.T) {
	t.Parallel()
	for name, works := range map[string]bool{"F9.2 and then works": true, "F9.2 and again": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: otherProvider})
			b := a.browser()
			a.provider.Inject(faults.ResponseExpired)
			back := b.responded()
			if works {
				a.provider.Clear()
			}
			got := b.visit(strings.TrimPrefix(back, a.server.URL), signintest.Alice())
			if n := a.provider.Stats().Authorizations; n != 2 {
				t.Errorf("the provider was asked %d times; want twice", n)
			}
			if works {
				got.want(t, http.StatusOK, "")
				if got.Request.URL.Path != "/account" {
					t.Errorf("got %s; want /account", got.Request.URL.Path)
				}
				return
			}
			got.want(t, http.StatusServiceUnavailable, "")
			if !strings.Contains(got.action(t), "return_to=%2Faccount") {
				t.Errorf("got a link to %q; want one that leads to /account", got.action(t))
			}
		})
	}
}

// Logto sends a person who cancels the consent of a third-party application to the bare
// redirect URI.
func TestField_ConsentCancelled(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	a.provider.Inject(faults.ResponseBare)
	got := a.browser().visit("/sign-in", signintest.Alice())
	if got.StatusCode >= 500 || !strings.Contains(got.body, "cancelled") || got.action(t) == "" {
		t.Errorf("F12.8: got %s %q; want a page that says that the sign-in was cancelled, with a way on", got.Status, got.body)
	}
}

func TestField_LogoutToken(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		signIn, logout signintest.Fault
		sid            string
		want           int
	}{
		"F6.2 another client besides this one": {logout: faults.LogoutTokenAudienceExtra, want: http.StatusOK},
		"F11.1 another published algorithm":    {logout: faults.LogoutTokenOtherAlgorithm, want: http.StatusBadRequest},
		"F11.2 sid and sub, and the session has no sid": {signIn: faults.IDTokenSIDMissing, sid: "a-sid",
			want: http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			if row.signIn != "" {
				a.provider.Inject(row.signIn)
			}
			b := a.signedIn(signintest.Alice())
			a.provider.Clear()
			if row.logout != "" {
				a.provider.Inject(row.logout)
			}
			a.notify(a.provider.LogoutToken(signintest.Alice().Subject, row.sid)).want(t, row.want, "")
			if got, ended := b.who(), row.want == http.StatusOK; (got == notSignedIn) != ended {
				t.Errorf("got %q; want the session ended: %v", got, ended)
			}
		})
	}
}

func TestField_AccessTokenNamesTheClientToo(t *testing.T) {
	t.Parallel()
	const api = "https://api.example.com"
	a := newApp(t, with{})
	a.provider.Inject(faults.AccessTokenAudienceExtra)
	guard := a.auth.RequireBearer(api)(http.HandlerFunc(a.account))
	a.mount("/api", guard)
	r := "Authorization: Bearer " + a.provider.AccessToken(signintest.Alice().Subject, api)
	a.browser().get("/api", r).want(t, http.StatusOK, "")
}

// Each permanent fault names what was found and is never said to end in a moment.
func TestField_PermanentFaults(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		faults   []signintest.Fault
		provider []signintest.Option
		status   int
		says     string // in the log
	}{
		"F7.2 the issuer has a slash more": {fault(faults.DiscoveryIssuerSlash), nil, 502, "/oidc/"},
		"F7.3 a client for client_secret_post": {fault(faults.DiscoveryAuthBoth),
			[]signintest.Option{signintest.WithClientAuthMethods("client_secret_post")}, 502, "ClientAuth"},
		"F7.4 a provider that does not decode Basic": {fault(faults.BasicNotDecoded),
			[]signintest.Option{signintest.WithClient("app", "a+b/c=!")}, 502, "ClientAuth"},
		"F7.7 no access token":        {fault(faults.TokensNoAccessToken), nil, 502, "access_token"},
		"F12.9 an unknown API":        {nil, []signintest.Option{signintest.WithResources("urn:other")}, 502, "https://api.example.com"},
		"F12.3 a wrong client secret": {fault(faults.TokenInvalidClient), nil, 502, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{provider: row.provider, config: func(c *signin.Config) {
				c.Resources = []string{"https://api.example.com"}
			}})
			a.provider.Inject(row.faults...)
			got := a.browser().visit("/sign-in", signintest.Alice())
			if got.StatusCode != row.status || strings.Contains(got.body, "in a moment") {
				t.Errorf("got %s %q; want %d, not in a moment", got.Status, got.body, row.status)
			}
			if !strings.Contains(a.log.String(), row.says) {
				t.Errorf("log: got %s; want %s in it", a.log.String(), row.says)
			}
		})
	}
}
