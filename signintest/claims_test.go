package signintest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

// everyScope are the scopes that Logto knows.
const everyScope = "openid offline_access profile email phone address roles custom_data identities " +
	"urn:logto:scope:organizations urn:logto:scope:organization_roles"

func TestClaims(t *testing.T) {
	t.Parallel()
	bare := signintest.User{Subject: "bare00000001"}
	full := signintest.Alice()
	full.Claims = map[string]any{
		"custom_data": 1, "identities": 2, "sso_identities": 3, "organization_data": 4, "address": 5, "custom": 6,
	}
	const nulls = "email=null name=null phone_number=null picture=null username=null"
	const others = " created_at email_verified phone_number_verified updated_at"
	for name, row := range map[string]struct {
		user             signintest.User
		scope            string
		idToken, further string // the claims of the ID token, and what userinfo has besides
	}{
		"a user without attributes": {bare, everyScope,
			nulls + " organization_roles=[] organizations=[] roles=[]" + others, ""},
		"openid alone": {full, "openid", "custom", ""},
		"every scope": {full, everyScope, "address created_at custom email email_verified name organization_roles organizations " +
			"phone_number phone_number_verified picture roles updated_at username", "custom_data identities organization_data sso_identities"},
		"identities":               {full, "openid identities", "custom", "identities sso_identities"},
		"organizations":            {full, "openid urn:logto:scope:organizations", "custom organizations", "organization_data"},
		"scopes that do not exist": {full, "openid sso_identities urn:logto:scope:organization_data", "custom", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			tokens := a.signIn(t, row.user, "scope", row.scope, "max_age", "3600")
			idToken := part(t, tokens.text("id_token"), 1)
			userInfo := a.get(t, a.p.Issuer+"/me", tokens.text("access_token")).body
			for _, claim := range strings.Fields("sub sid aud iss exp iat nonce auth_time") {
				if _, there := idToken[claim]; !there {
					t.Errorf("got no %s in the ID token", claim)
				}
				if _, there := userInfo[claim]; there != (claim == "sub") {
					t.Errorf("got %s %v in userinfo", claim, userInfo[claim])
				}
			}
			same(t, "the ID token", described(idToken), sorted(row.idToken))
			same(t, "userinfo", described(userInfo), sorted(row.idToken+" "+row.further))
			same(t, "at_hash", idToken["at_hash"], nil)
		})
	}
}

// described lists the claims about a user, with their values if these are null or
// an empty list.
func described(claims map[string]any) string {
	var out []string
	for name, value := range claims {
		switch list, isList := value.([]any); {
		case slices.Contains(strings.Fields("sub sid aud iss exp iat nonce auth_time"), name):
			continue
		case value == nil:
			name += "=null"
		case isList && len(list) == 0:
			name += "=[]"
		}
		out = append(out, name)
	}
	return sorted(strings.Join(out, " "))
}

func sorted(words string) string {
	list := strings.Fields(words)
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestTokens_AsLogtoWritesThem(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	tokens := a.signIn(t, signintest.Bob(), "max_age", "3600", "acr_values", "gold")
	first := part(t, tokens.text("id_token"), 1)
	if header := part(t, tokens.text("id_token"), 0); header["typ"] != nil || len(header) != 2 {
		t.Errorf("got the header %v of an ID token; want alg and kid", header)
	}
	same(t, "acr", first["acr"], nil)
	c.Advance(time.Hour)
	refreshed := part(t, a.refresh(t, tokens.text("refresh_token")).text("id_token"), 1)
	same(t, "auth_time after a refresh", refreshed["auth_time"], first["auth_time"])
	logout := a.p.LogoutToken("bob", "the-sid")
	claims := part(t, logout, 1)
	same(t, "typ of a logout token", part(t, logout, 0)["typ"], any("logout+jwt"))
	same(t, "iat of a logout token", number(claims["iat"]), c.Now().Unix())
	same(t, "exp of a logout token", number(claims["exp"])-number(claims["iat"]), 120)
	a.p.Suspend(signintest.Bob().Subject)
	same(t, "logout tokens after a suspension", len(a.p.LogoutDeliveries()), 0)
}
