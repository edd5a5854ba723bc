package signin_test

import (
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// providerConfig is what the Configs of docs/providers.md have in common.
func providerConfig() signin.Config {
	return signin.Config{
		ClientID:     "client-id",
		ClientSecret: "client-secret",
		BaseURL:      "https://app.example.com",
		Keys:         [][]byte{[]byte(strings.Repeat("a real one is random", 2))},
		Logger:       slog.New(slog.DiscardHandler),
	}
}

// mustBeComplete ends the example if cfg has a mistake.
func mustBeComplete(cfg signin.Config) {
	if _, err := signin.New(cfg); err != nil {
		log.Fatal(err)
	}
}

func ExampleConfig_keycloak() {
	cfg := providerConfig()
	cfg.Issuer = "https://keycloak.example.com/realms/REALM"
	cfg.OmitDefaultScopes = true // no offline_access: see below
	cfg.Scopes = []string{"profile", "email"}
	cfg.Provider.RolesClaim = "/realm_access/roles" // a JSON pointer: these roles are inside an object
	mustBeComplete(cfg)
	// Output:
}

func ExampleConfig_entra() {
	cfg := providerConfig()
	cfg.Issuer = "https://login.microsoftonline.com/TENANT-ID/v2.0" // the tenant's ID, not "common"
	cfg.Scopes = []string{"email"}
	mustBeComplete(cfg)
	// Output:
}

func ExampleConfig_auth0() {
	cfg := providerConfig()
	cfg.Issuer = "https://TENANT.eu.auth0.com/" // with the slash
	cfg.Scopes = []string{"email"}
	// Only if you call an API of yours:
	cfg.SignInOptions = []signin.SignInOption{signin.ExtraParam("audience", "https://api.example.com")}
	cfg.Provider.RolesClaim = "https://app.example.com/roles" // which an Action sets
	mustBeComplete(cfg)
	// Output:
}

func ExampleConfig_google() {
	cfg := providerConfig()
	cfg.Issuer = "https://accounts.google.com"
	cfg.Scopes = []string{"email"}
	cfg.SignInOptions = []signin.SignInOption{
		signin.ExtraParam("access_type", "offline"), signin.Prompt("consent"), // for a refresh token
	}
	mustBeComplete(cfg)
	// Output:
}

// The people of one company: Google's parameter hd only pre-selects their accounts.
func ExampleRuleFunc_company() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	type workspace struct {
		Domain string `json:"hd"`
	}
	ours := signin.RuleFunc(func(r *http.Request, _ *signin.User) error {
		claims, err := signin.ClaimsAs[workspace](r.Context())
		if err == nil && claims.Domain != "example.com" {
			err = signin.ErrForbidden
		}
		return err
	})
	guarded := auth.Require(ours)(http.HandlerFunc(account))

	for _, claims := range []string{`{"sub": "1", "hd": "example.com"}`, `{"sub": "2", "hd": "example.net"}`, `{"sub": "3"}`} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/account", nil)
		guarded.ServeHTTP(w, signintest.WithUser(r, &signin.User{Claims: []byte(claims)}))
		fmt.Println(w.Code, claims)
	}
	// Output:
	// 200 {"sub": "1", "hd": "example.com"}
	// 403 {"sub": "2", "hd": "example.net"}
	// 403 {"sub": "3"}
}

func ExampleConfig_zitadel() {
	cfg := providerConfig()
	cfg.Issuer = "https://INSTANCE.zitadel.cloud"
	cfg.Scopes = []string{"email"}
	cfg.MergeUserInfo = true // name and e-mail are in userinfo
	mustBeComplete(cfg)
	// Output:
}

// Zitadel names a person's roles as the members of an object, which RolesClaim does not
// read.
func ExampleRuleFunc_zitadel() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	type project struct {
		Roles map[string]any `json:"urn:zitadel:iam:org:project:roles"`
	}
	admin := signin.RuleFunc(func(r *http.Request, _ *signin.User) error {
		claims, err := signin.ClaimsAs[project](r.Context())
		if _, is := claims.Roles["admin"]; err == nil && !is {
			err = signin.ErrForbidden
		}
		return err
	})
	guarded := auth.Require(admin)(http.HandlerFunc(account))

	for _, role := range []string{"admin", "reader"} {
		claims := fmt.Sprintf(`{"sub": "1", "urn:zitadel:iam:org:project:roles": {%q: {"178204173316174381": "example.com"}}}`, role)
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/admin", nil)
		guarded.ServeHTTP(w, signintest.WithUser(r, &signin.User{Claims: []byte(claims)}))
		fmt.Println(w.Code, role)
	}
	// Output:
	// 200 admin
	// 403 reader
}

func ExampleConfig_cognito() {
	cfg := providerConfig()
	cfg.Issuer = "https://cognito-idp.REGION.amazonaws.com/POOL-ID"
	cfg.Scopes = []string{"email"}
	cfg.Provider.RolesClaim = "cognito:groups"
	cfg.Provider.Endpoints = map[string]string{
		"end_session_endpoint": "https://DOMAIN.auth.REGION.amazoncognito.com/logout?client_id=CLIENT-ID&logout_uri=https%3A%2F%2Fapp.example.com%2F",
	}
	mustBeComplete(cfg)
	// Output:
}

func ExampleConfig_authentik() {
	cfg := providerConfig()
	cfg.Issuer = "https://authentik.example.com/application/o/SLUG/" // with the slash
	cfg.Scopes = []string{"email"}
	cfg.Provider.RolesClaim = "groups"
	mustBeComplete(cfg)
	// Output:
}

func ExampleConfig_b2c() {
	cfg := providerConfig()
	cfg.Issuer = "https://TENANT.b2clogin.com/TENANT-ID/v2.0/" // with the slash
	cfg.Provider.DiscoveryURL = "https://TENANT.b2clogin.com/TENANT.onmicrosoft.com/POLICY/v2.0/.well-known/openid-configuration"
	cfg.Scopes = []string{"CLIENT-ID", "offline_access"} // without a scope of an API, B2C gives no access token
	mustBeComplete(cfg)
	// Output:
}
