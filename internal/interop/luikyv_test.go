package interop

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/luikyv/go-oidc/pkg/goidc"
	oidcprovider "github.com/luikyv/go-oidc/pkg/provider"
)

// luikyvSecret is the same before and after form encoding: this provider does
// not undo the encoding that RFC 6749 asks for in the Authorization header
// (https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1). See nodeSecret.
const luikyvSecret = "a-secret-for-one-test"

// luikyvCookie tells the provider who is signed in there. The provider asks for a
// name again only after a sign-out has reached it.
const luikyvCookie = "provider_session"

// luikyvForAPI marks the context of a request that names a resource, for the
// function that chooses the form of a token.
type luikyvForAPI struct{}

// startLuikyv starts github.com/luikyv/go-oidc with one confidential client for
// each application: PKCE required, refresh tokens that rotate on each use,
// revocation, end of session, tokens for APIs, and everything signed with alg.
// It returns what each application needs to know, in the order of baseURLs.
func startLuikyv(t *testing.T, alg goidc.SignatureAlgorithm, baseURLs ...string) []foreign {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	issuer := asLocalhost(t, "http://"+server.Listener.Addr().String())
	scopes := []goidc.Scope{goidc.ScopeOpenID, goidc.ScopeOfflineAccess, goidc.ScopeProfile, goidc.ScopeEmail}
	apiScopeIDs := strings.Join(slices.Sorted(maps.Values(apiScopes)), " ")
	for id := range strings.FieldsSeq(apiScopeIDs) {
		scopes = append(scopes, goidc.NewScope(id))
	}
	machine := &goidc.Client{
		ID:     machineID,
		Secret: luikyvSecret,
		ClientMeta: goidc.ClientMeta{
			GrantTypes:       []goidc.GrantType{goidc.GrantClientCredentials},
			ScopeIDs:         apiScopeIDs,
			TokenAuthnMethod: goidc.AuthnMethodSecretBasic,
		},
	}
	var (
		clients []*goidc.Client
		known   []foreign
	)
	for i, baseURL := range baseURLs {
		client := &goidc.Client{
			ID:     fmt.Sprintf("interop-%d", i+1),
			Secret: luikyvSecret,
			ClientMeta: goidc.ClientMeta{
				RedirectURIs:           []string{baseURL + "/callback"},
				PostLogoutRedirectURIs: []string{baseURL + "/"},
				GrantTypes:             []goidc.GrantType{goidc.GrantAuthorizationCode, goidc.GrantRefreshToken},
				ResponseTypes:          []goidc.ResponseType{goidc.ResponseTypeCode},
				ScopeIDs:               "openid offline_access profile email " + apiScopeIDs,
				TokenAuthnMethod:       goidc.AuthnMethodSecretBasic,
				IDTokenSigAlg:          alg,
			},
		}
		clients = append(clients, client)
		known = append(known, foreign{issuer: issuer, alg: alg, clientID: client.ID, clientSecret: client.Secret})
	}
	pages := luikyvPages{issuer: issuer}
	claims := func(_ context.Context, grant *goidc.Grant) map[string]any {
		return map[string]any{
			"name":    "Person " + grant.Subject,
			"email":   grant.Subject + "@example.com",
			"picture": "https://example.com/" + grant.Subject + ".png",
		}
	}
	keys := goidc.JSONWebKeySet{Keys: []goidc.JSONWebKey{signingKey(t, alg)}}
	op, err := oidcprovider.New(issuer, nil,
		func(context.Context) (goidc.JSONWebKeySet, error) { return keys, nil },
		oidcprovider.WithScopes(scopes...),
		oidcprovider.WithIDTokenSignatureAlgs(alg),
		oidcprovider.WithSecretBasicAuthn(),
		oidcprovider.WithPKCERequired(goidc.CodeChallengeMethodSHA256),
		oidcprovider.WithAuthCodeGrant(nil, goidc.ResponseTypeCode),
		oidcprovider.WithRefreshTokenGrant(nil),
		oidcprovider.WithRefreshTokenRotation(),
		oidcprovider.WithIssuerResponseParameter(),
		oidcprovider.WithClientCredentialsGrant(),
		oidcprovider.WithResourceIndicators(ordersAPI, reportsAPI),
		oidcprovider.WithOpaqueTokens(nil),
		oidcprovider.WithTokenOptions(func(ctx context.Context, grant *goidc.Grant, _ *goidc.Client) goidc.TokenOptions {
			// If the grant has APIs, only tokens for them are JWTs. If not, every token
			// is a JWT, and userinfo accepts it.
			if len(grant.Resources) > 0 && ctx.Value(luikyvForAPI{}) == nil {
				return goidc.NewOpaqueTokenOptions(int(accessTokenLifetime.Seconds()))
			}
			return goidc.NewJWTTokenOptions(alg, int(accessTokenLifetime.Seconds()))
		}),
		oidcprovider.WithTokenRevocation(func(context.Context, *goidc.Client) bool { return true }),
		oidcprovider.WithJTIConsumer(func(context.Context, string) error { return nil }),
		oidcprovider.WithUserInfoClaims(claims),
		oidcprovider.WithStaticClients(machine, clients...),
		oidcprovider.WithPolicies(goidc.NewPolicy("sign-in",
			func(*http.Request, *goidc.AuthnSession, *goidc.Client) bool { return true }, pages.signIn)),
		oidcprovider.WithLogout(nil, func(http.ResponseWriter, *http.Request, *goidc.LogoutSession) error {
			return errors.New("interop: sign-out without a post_logout_redirect_uri")
		}),
		oidcprovider.WithLogoutPolicies(goidc.NewLogoutPolicy("sign-out",
			func(*http.Request, *goidc.LogoutSession) bool { return true }, pages.signOut)),
	)
	if err != nil {
		t.Fatalf("start luikyv/go-oidc: %v", err)
	}
	handler := op.Handler()
	// One request at a time: v0.23.0 changes grants in its store without the store's
	// lock, while a request from another application may read them. The race detector
	// would report that.
	var turn sync.Mutex
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn.Lock()
		defer turn.Unlock()
		if r.PostFormValue("resource") != "" {
			r = r.WithContext(context.WithValue(r.Context(), luikyvForAPI{}, true))
		}
		handler.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(server.Close)
	return known
}

// luikyvPages are the pages that this provider leaves to its user.
type luikyvPages struct{ issuer string }

var luikyvPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><title>luikyv/go-oidc</title>
<form method="post" action="{{.Action}}">
{{if .Subject}}<p>Signed in as {{.Subject}}</p>
<button id="go" name="consent" value="yes">Allow</button>
<button name="consent" value="no">Deny</button>
{{else}}<label>Name <input name="login" required></label>
<label>Password <input name="password" type="password"></label>
<button id="go">Sign in</button>{{end}}
</form></html>`))

// signIn asks for a name, unless the browser is signed in at the provider, and
// then for consent.
func (p luikyvPages) signIn(w http.ResponseWriter, r *http.Request, session *goidc.AuthnSession, _ *goidc.Client) (goidc.Status, error) {
	if session.Subject == "" {
		if cookie, err := r.Cookie(luikyvCookie); err == nil {
			session.Subject = cookie.Value
		} else if name := r.PostFormValue("login"); name != "" {
			session.Subject = name
			http.SetCookie(w, &http.Cookie{Name: luikyvCookie, Value: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
	}
	switch consent := r.PostFormValue("consent"); {
	case session.Subject != "" && consent == "yes":
		session.GrantedScopes = session.Scopes
		session.GrantedResources = session.Resources
		return goidc.StatusSuccess, nil
	case consent == "no":
		return goidc.StatusFailure, errors.New("the person denied")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := luikyvPage.Execute(w, struct{ Action, Subject string }{
		Action:  p.issuer + "/authorize/" + session.ID,
		Subject: session.Subject,
	})
	if err != nil {
		return goidc.StatusFailure, err
	}
	return goidc.StatusPending, nil
}

// signOut ends the session of the browser at the provider without a question.
func (luikyvPages) signOut(w http.ResponseWriter, _ *http.Request, _ *goidc.LogoutSession) (goidc.Status, error) {
	http.SetCookie(w, &http.Cookie{Name: luikyvCookie, Path: "/", MaxAge: -1})
	return goidc.StatusSuccess, nil
}

// asLocalhost replaces the loopback address in address by localhost, which browsers
// take for another site.
func asLocalhost(t *testing.T, address string) string {
	t.Helper()
	_, port, found := strings.Cut(address, "http://127.0.0.1:")
	if !found {
		t.Fatalf("got %s; want an address on 127.0.0.1", address)
	}
	return "http://localhost:" + port
}
