package jwt_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
)

func TestVerifier_AccessTokenFields(t *testing.T) {
	t.Parallel()
	// usual is a token with only the required claims, after a change.
	usual := func(change func(*jwt.AccessToken)) jwt.AccessToken {
		t := jwt.AccessToken{Subject: "alice", ClientID: "spa", Expiry: time.Unix(at(time.Hour), 0), IssuedAt: time.Unix(at(0), 0)}
		change(&t)
		return t
	}
	scopes := func(scopes ...string) jwt.AccessToken {
		return usual(func(t *jwt.AccessToken) { t.Scopes = scopes })
	}
	ofOrganization := usual(func(t *jwt.AccessToken) { t.Organization = "org1" })
	machine := func(clientID string, scopes ...string) jwt.AccessToken {
		return usual(func(t *jwt.AccessToken) { t.Subject, t.ClientID, t.Machine, t.Scopes = "robot", clientID, true, scopes })
	}
	for _, c := range []struct {
		claimsCase
		want jwt.AccessToken
	}{
		{claimsCase{name: "everything", changes: m{"sid": "s1", "scope": "read write", "organization_id": "org1"}}, usual(func(t *jwt.AccessToken) {
			t.SessionID, t.Scopes, t.Organization = "s1", []string{"read", "write"}, "org1"
		})},
		{claimsCase{name: "only what is required"}, scopes()},
		{claimsCase{name: "for an organization", changes: m{"aud": organization}, audience: organization}, ofOrganization},
		{claimsCase{name: "for an organization, in a claim as well", changes: m{"aud": organization, "organization_id": "org1"}, audience: organization}, ofOrganization},
		{claimsCase{name: "for the API and an organization", changes: m{"aud": []string{api, organization}}}, scopes()},
		{claimsCase{name: "names with escapes", edit: replace(`"alice"`, `"\u0061lice"`)}, scopes()},
		{claimsCase{name: "client_id and another azp", changes: m{"azp": "other"}}, scopes()},
		{claimsCase{name: "unmarked, with nothing else", typ: "JWT", changes: m{"client_id": nil, "iat": nil, "scp": "read"}}, usual(func(t *jwt.AccessToken) {
			t.ClientID, t.IssuedAt, t.Scopes = "", time.Time{}, []string{"read"}
		})},
		{claimsCase{name: "a machine by client_id", changes: m{"sub": "robot", "client_id": "robot"}}, machine("robot")},
		{claimsCase{name: "a machine by azp", changes: m{"sub": "robot", "client_id": nil, "azp": "robot"}}, machine("robot")},
		{claimsCase{name: "a machine by azp, with client_id", changes: m{"sub": "robot", "azp": "robot"}}, machine("spa")},
		{claimsCase{name: "a machine by cid of Okta", typ: "JWT", changes: m{"sub": "robot", "client_id": nil, "cid": "robot", "scp": []string{"read"}}}, machine("", "read")},

		{claimsCase{name: "a machine of Auth0", changes: m{"sub": "robot", "gty": "client-credentials"}}, machine("spa")},
		{claimsCase{name: "a machine of Auth0, without gty", changes: m{"sub": "spa@clients"}}, usual(func(t *jwt.AccessToken) { t.Subject, t.Machine = "spa@clients", true })},
		{claimsCase{name: "a person of Auth0", changes: m{"gty": []string{"password", "refresh_token"}}}, scopes()},
		{claimsCase{name: "a machine of FusionAuth", changes: m{"sub": "robot", "gty": []string{"client_credentials"}}}, machine("spa")},
		{claimsCase{name: "a machine of Entra", changes: m{"sub": "robot", "idtyp": "app"}}, machine("spa")},
		{claimsCase{name: "a person of Entra", changes: m{"idtyp": "user"}}, scopes()},
		{claimsCase{name: "a machine of Keycloak", changes: m{"sub": "robot", "client_id": "Cron", "preferred_username": "service-account-cron"}}, machine("Cron")},
		{claimsCase{name: "a machine of Keycloak, with azp alone", changes: m{"sub": "robot", "client_id": nil, "azp": "cron", "preferred_username": "service-account-cron"}}, machine("cron")},
		{claimsCase{name: "a person with another client's name", changes: m{"preferred_username": "service-account-cron"}}, scopes()},
		{claimsCase{name: "a person whose client has no name", typ: "JWT", changes: m{"client_id": nil, "scp": "read", "preferred_username": "service-account-"}}, usual(func(t *jwt.AccessToken) { t.ClientID, t.Scopes = "", []string{"read"} })},

		{claimsCase{name: "scope empty", changes: m{"scope": ""}}, scopes()},
		{claimsCase{name: "scope with further spaces", changes: m{"scope": "  read  write "}}, scopes("read", "write")},
		{claimsCase{name: "scope in its case and order", changes: m{"scope": "Write read"}}, scopes("Write", "read")},
		{claimsCase{name: "scope with punctuation", changes: m{"scope": "read:all,x https://x/y?z=1#w"}}, scopes("read:all,x", "https://x/y?z=1#w")},
		{claimsCase{name: "scope split by a tab", changes: m{"scope": "read\twrite delete"}}, scopes("delete")},
		{claimsCase{name: "scope with invalid characters", changes: m{"scope": `re"ad wr\ite dé x`}}, scopes("x")},
		{claimsCase{name: "scope a list", changes: m{"scope": []string{"read", "", "write"}}}, scopes("read", "write")},
		{claimsCase{name: "scope a list with a space", changes: m{"scope": []string{"read write"}}}, scopes()},
		{claimsCase{name: "scope a list with a number", changes: m{"scope": []any{"read", 7}}}, scopes()},
		{claimsCase{name: "scope a number, and scp text", changes: m{"scope": 7, "scp": "read"}}, scopes()},
		{claimsCase{name: "scope an object", changes: m{"scope": m{"read": true}}}, scopes()},
		{claimsCase{name: "scope and scp", changes: m{"scope": "read", "scp": []string{"write"}}}, scopes("read")},
		{claimsCase{name: "scope null, and scp text", changes: m{"scope": raw("null"), "scp": "read write"}}, scopes("read", "write")},
		{claimsCase{name: "scp a list", changes: m{"scp": []string{"read", "write"}}}, scopes("read", "write")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			changes := m{"sid": nil, "scope": nil}
			maps.Copy(changes, c.changes)
			c.changes = changes
			got, err := everyKey().AccessToken(context.Background(), c.token(accessToken), cmp.Or(c.audience, api))
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Payload) != c.payload(accessToken) {
				t.Errorf("got payload %s; want %s", got.Payload, c.payload(accessToken))
			}
			got.Payload = nil
			if got, want := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", c.want); got != want {
				t.Errorf("got %s; want %s", got, want)
			}
		})
	}
}

func TestVerifier_LogoutTokenFields(t *testing.T) {
	t.Parallel()
	issued := time.Unix(at(0), 0)
	for name, c := range map[string]struct {
		changes m
		want    jwt.LogoutToken
	}{
		"everything":         {nil, jwt.LogoutToken{Subject: "alice", SessionID: "s1", ID: "j1", IssuedAt: issued, Expiry: issued.Add(2 * time.Minute)}},
		"sid only":           {m{"sub": nil}, jwt.LogoutToken{SessionID: "s1", ID: "j1", IssuedAt: issued, Expiry: issued.Add(2 * time.Minute)}},
		"sub only, and null": {m{"sid": raw("null"), "exp": nil}, jwt.LogoutToken{Subject: "alice", ID: "j1", IssuedAt: issued}},
		// Not every session of the person: those that have no sid.
		"sub, and sid empty":    {m{"sid": "", "exp": nil}, jwt.LogoutToken{Subject: "alice", SessionID: `""`, ID: "j1", IssuedAt: issued}},
		"sub, and sid a number": {m{"sid": 42, "exp": nil}, jwt.LogoutToken{Subject: "alice", SessionID: "42", ID: "j1", IssuedAt: issued}},
	} {
		got, err := everyKey().LogoutToken(context.Background(), logoutToken.token(c.changes))
		if err != nil || *got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

func TestVerifier_IDTokenFields(t *testing.T) {
	t.Parallel()
	changes := m{"auth_time": at(-time.Hour), "acr": "mfa"}
	raw := idToken.token(changes)
	id, err := everyKey().IDToken(context.Background(), raw, signedIn)
	if err != nil || id.Raw != raw || id.Subject != "alice" || string(id.Payload) != idToken.payload(changes) {
		t.Errorf("got %+v, %v; want the token, alice, and the claims", *id, err)
	}
}

func TestTokens_LogValue(t *testing.T) {
	t.Parallel()
	const canary = "CaNaRy"
	var log bytes.Buffer
	access := jwt.AccessToken{Subject: canary, Payload: []byte(canary)}
	id := &jwt.IDToken{Raw: canary, Payload: []byte(canary), Subject: canary}
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "access", access, "pointer", &access, "id", id, "copy", *id)
	if text := log.String(); strings.Contains(text, canary) || !strings.Contains(text, "[access token]") {
		t.Errorf("got log line %q; want no part of a token", text)
	}
}
