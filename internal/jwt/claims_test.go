package jwt_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
)

// claimsCase is a token with changes to the claims of a good one. If why is
// empty it is good as well. Otherwise why is part of the error.
type claimsCase struct {
	name     string
	changes  m
	edit     func(payload string) string // instead of changes
	alg      string                      // "" is EdDSA
	typ      string                      // "" is the usual one, and "-" leaves it out
	expect   func(*jwt.Expect)           // of an ID token
	audience string                      // of an access token; "" is the API
	why      string
}

func (c claimsCase) header(k kind) string {
	if c.typ == "-" {
		return `{"alg":"EdDSA","kid":"ed"}`
	}
	k.typ = cmp.Or(c.typ, k.typ)
	return k.header("")
}

func (c claimsCase) payload(k kind) string {
	payload := k.payload(c.changes)
	if c.edit != nil {
		payload = c.edit(payload)
	}
	return payload
}

func (c claimsCase) token(k kind) string {
	switch c.alg {
	case "":
		return signEd(c.header(k), c.payload(k))
	case "ES384":
		return sign(c.alg, ecKeys()[c.alg], "", c.payload(k), nil)
	}
	return sign(c.alg, rsaKey(), "", c.payload(k), nil)
}

func (c claimsCase) want() jwt.Expect {
	want := signedIn
	if c.expect != nil {
		c.expect(&want)
	}
	return want
}

func TestVerifier_Claims(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range casesOf(k) {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					verified, err := k.verify(everyKey(), c.token(k), c.want(), cmp.Or(c.audience, api))
					if verified != (err == nil) {
						t.Errorf("got a token: %t, error %v; want one of them", verified, err)
					}
					if verified != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
						t.Errorf("%s: got error %v; want %q", c.payload(k), err, c.why)
					}
				})
			}
		})
	}
}

func casesOf(k kind) []claimsCase {
	cases := commonCases(k.claims["aud"].(string))
	switch k.name {
	case idToken.name:
		return append(cases, idTokenCases()...)
	case logoutToken.name:
		return append(cases, logoutTokenCases()...)
	}
	return append(append(cases, accessTokenCases()...), unmarkedCases()...)
}

// exactNames are the claims that go-oidc or this package reads.
var exactNames = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "_claim_names", "_claim_sources",
	"azp", "sid", "auth_time", "acr", "jti", "events", "client_id", "cid", "organization_id", "scope", "scp", "cnf",
	"c_hash", "s_hash", "typ", "token_use", "gty", "idtyp",
}

// commonCases are the rules for all kinds of tokens. aud is the right audience.
func commonCases(aud string) []claimsCase {
	const alice = `"sub":"alice"`
	const notObject, written = "not a JSON object", " is written "
	cases := []claimsCase{
		{name: "a good token"},
		{name: "an unknown claim", changes: m{"trace_id": "t1"}},
		{name: "an unknown claim that is null", changes: m{"name": raw("null")}},
		{name: "Groups and groups", changes: m{"Groups": "a", "groups": "b"}},
		{name: "Email and email", changes: m{"Email": "bob@example.com", "email": "alice@example.com"}, why: written},
		{name: "ROLES and roles", changes: m{"ROLES": "admin", "roles": []string{}}, why: written},
		{name: "an unknown claim in another case", changes: m{"Email": "alice@example.com"}},

		{name: "P-invalid-iss: another issuer", changes: m{"iss": "https://id.example.org/oidc"}, why: `, not "https://id.example.com/oidc"`},
		{name: "3.2 iss with a further slash", changes: m{"iss": issuer + "/"}, why: `, not "https://id.example.com/oidc"`},
		{name: "3.2 iss in another case", changes: m{"iss": "https://ID.example.com/oidc"}, why: `, not "https://id.example.com/oidc"`},
		{name: "3.2 iss with its default port", changes: m{"iss": "https://id.example.com:443/oidc"}, why: `, not "https://id.example.com/oidc"`},
		{name: "iss absent", changes: m{"iss": nil}, why: `, not "https://id.example.com/oidc"`},
		{name: "iss a list", changes: m{"iss": []string{issuer}}, why: `, not "https://id.example.com/oidc"`},

		{name: "P-invalid-aud: another audience", changes: m{"aud": "other"}, why: "aud "},
		{name: "P-missing-aud", changes: m{"aud": nil}, why: "aud "},
		{name: "aud null", changes: m{"aud": raw("null")}, why: "aud "},
		{name: "aud an object", changes: m{"aud": m{aud: aud}}, why: "aud "},
		{name: "aud a list", changes: m{"aud": []string{aud}}},
		{name: "aud an empty list", changes: m{"aud": []string{}}, why: "aud "},
		{name: "aud a list with null", changes: m{"aud": []any{aud, nil}}, why: "aud "},
		{name: "aud a list with a number", changes: m{"aud": []any{aud, 5}}, why: "aud "},
		{name: "aud that begins with the right one", changes: m{"aud": aud + "/2"}, why: "aud "},
		{name: "aud in another case", changes: m{"aud": strings.ToUpper(aud)}, why: "aud "},

		{name: "sub empty", changes: m{"sub": ""}, why: "sub is"},
		{name: "sub a number", changes: m{"sub": 7}, why: "sub is"},
		{name: "sub of 255 characters", changes: m{"sub": strings.Repeat("a", 255)}},
		{name: "3.2 sub of 256 characters", changes: m{"sub": strings.Repeat("a", 256)}, why: "sub is"},
		{name: "3.2 sub not ASCII", changes: m{"sub": "ålice"}, why: "sub is"},

		{name: "3.2 exp as text", changes: m{"exp": "1772370000"}, why: "exp is not a number"},
		{name: "3.2 exp of 1e400", changes: m{"exp": raw("1e400")}, why: "exp is not a number"},
		{name: "exp with a fraction", changes: m{"exp": raw("1772370000.75")}},
		{name: "exp zero", changes: m{"exp": 0}, why: "exp is 1970-01-01T00:00:00Z, and the time is 2026-03-01T12:00:00Z"},
		{name: "iat absent", changes: m{"iat": nil}, why: "iat is absent"},
		{name: "iat null", changes: m{"iat": raw("null")}, why: "iat is absent"},
		{name: "iat as text", changes: m{"iat": "1772366400"}, why: "iat is not a number"},
		{name: "nbf past", changes: m{"nbf": at(-time.Hour)}},
		{name: "nbf as text, which counts as absent", changes: m{"nbf": "0"}},

		{name: "sid absent", changes: m{"sid": nil}},
		{name: "sid null", changes: m{"sid": raw("null")}},
		{name: "sid a number, which counts as absent", changes: m{"sid": 7}},
		{name: "sid of 4,096 bytes", changes: m{"sid": strings.Repeat("s", 4096)}},

		{name: "3.2 a claim twice", edit: replace(alice, alice+","+alice), why: "the same name"},
		{name: "3.2 a claim twice for encoding/json", changes: m{"Sub": "bob"}, why: `sub is written "Sub"`},
		{name: "a name twice within a claim", changes: m{"x": raw(`{"a":1,"a":2}`)}},
		{name: "a letter that only case folding makes equal", changes: m{"sid": nil, "ſid": "s1"}, why: written},
		{name: "white space around", edit: func(s string) string { return " " + s + "\n" }},
		{name: "not an object", edit: func(s string) string { return "[" + s + "]" }, why: notObject},
		{name: "trailing data", edit: func(s string) string { return s + "{}" }, why: notObject},
		{name: "not UTF-8", edit: replace("alice", "\xff"), why: notObject},
	}
	for _, name := range exactNames {
		cases = append(cases, claimsCase{
			name: name + " in capitals", changes: m{name: nil, strings.ToUpper(name): 1}, why: written,
		})
	}
	return cases
}

func replace(old, text string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, text, 1) }
}

func leftHalf(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) }

func refreshOf(subject string) func(*jwt.Expect) {
	return func(e *jwt.Expect) { e.Refresh, e.Subject = true, subject }
}

func idTokenCases() []claimsCase {
	s256, s384, s512 := sha256.Sum256([]byte(received)), sha512.Sum384([]byte(received)), sha512.Sum512([]byte(received))
	noNonce := func(e *jwt.Expect) { e.Nonce = "" }
	about := func(subject string) func(*jwt.Expect) { return func(e *jwt.Expect) { e.Subject = subject } }
	return []claimsCase{
		{name: "as of Zitadel: other clients and the project", changes: m{"aud": []string{"other", clientID, "project"}, "azp": clientID}},
		{name: "3.2 several audiences without azp", changes: m{"aud": []string{clientID, "other"}}, why: `aud names "other" too, and azp is absent`},
		{name: "3.2 several audiences, azp another", changes: m{"aud": []string{clientID, "other"}, "azp": "other"}, why: `azp is "other", not "app"`},
		{name: "3.2 azp this client, which is no audience", changes: m{"aud": []string{"other"}, "azp": clientID}, why: `without "app"`},
		{name: "this client twice", changes: m{"aud": []string{clientID, clientID}}},
		{name: "azp the client", changes: m{"azp": clientID}},
		{name: "3.2 azp another client", changes: m{"azp": "other"}, why: "azp is"},
		{name: "azp empty", changes: m{"azp": ""}, why: "azp is"},
		{name: "azp a list", changes: m{"azp": []string{clientID}}, why: "azp is"},
		{name: "P-missing-sub", changes: m{"sub": nil}, why: "sub is"},
		{name: "2.9 sub of another person than expected", expect: about("bob"), why: "sub is not the person"},
		{name: "sub of the person expected", expect: about("alice")},
		{name: "exp absent", changes: m{"exp": nil}, why: "exp is absent"},
		{name: "exp null", changes: m{"exp": raw("null")}, why: "exp is absent"},
		{name: "sid empty", changes: m{"sid": ""}},

		{name: "P-nonce-invalid", changes: m{"nonce": nonce + "2"}, why: "nonce is"},
		{name: "nonce absent", changes: m{"nonce": nil}, why: "nonce is"},
		{name: "nonce a list", changes: m{"nonce": []string{nonce}}, why: "nonce is"},
		{name: "no nonce sent, none received", changes: m{"nonce": nil}, expect: noNonce, why: "nonce is"},
		{name: "no nonce sent, an empty one received", changes: m{"nonce": ""}, expect: noNonce, why: "nonce is"},
		{name: "P-refresh-token: without nonce", changes: m{"nonce": nil}, expect: refreshOf("alice")},
		{name: "a refresh with the first nonce", expect: refreshOf("alice")},
		{name: "a refresh with another nonce", changes: m{"nonce": nonce + "2"}, expect: refreshOf("alice"), why: "nonce is"},
		{name: "a refresh with an empty nonce", changes: m{"nonce": ""}, expect: refreshOf("alice")},
		{name: "P-refresh-token-invalid-sub", expect: refreshOf("bob"), why: "sub is not the person"},
		{name: "a refresh without an expected subject", expect: refreshOf(""), why: "sub is not the person"},

		{name: "3.4 at_hash right, SHA-256", changes: m{"at_hash": leftHalf(s256[:])}, alg: "RS256"},
		{name: "at_hash right, SHA-384", changes: m{"at_hash": leftHalf(s384[:])}, alg: "ES384"},
		{name: "at_hash right, SHA-512", changes: m{"at_hash": leftHalf(s512[:])}, alg: "PS512"},
		{name: "at_hash right, EdDSA", changes: m{"at_hash": leftHalf(s512[:])}},
		{name: "3.4 at_hash wrong", changes: m{"at_hash": leftHalf(s384[:])}, alg: "RS256", why: "at_hash is not"},
		{name: "at_hash empty, which counts as absent", changes: m{"at_hash": ""}},
		{name: "at_hash a number, which counts as absent", changes: m{"at_hash": 1}},
		{name: "3.4 c_hash is ignored", changes: m{"c_hash": "x"}},

		{name: "auth_time text, and amr too", changes: m{"auth_time": "2026-01-01T00:00:00Z", "amr": "pwd"}},
		{name: "acr a number", changes: m{"acr": 5}},

		{name: "claims by reference that are malformed", changes: m{"_claim_names": 1, "_claim_sources": "x"}},
	}
}

func logoutTokenCases() []claimsCase {
	event := func(value any) m { return m{"events": m{logoutEvent: value}} }
	const notLogout = "events is"
	claimsOf := func(changes m) func(string) string {
		return func(string) string { return idToken.payload(changes) }
	}
	return []claimsCase{
		{name: "another audience after this client", changes: m{"aud": []string{clientID, "other"}}},
		{name: "azp, which has no meaning here", changes: m{"azp": "other"}},
		{name: "8.3 no exp, as from Logto 1.37, Hydra and Glewlwyd", changes: m{"exp": nil}},
		{name: "8.3 no exp, and no iat", changes: m{"exp": nil, "iat": nil}, why: "iat is absent"},

		{name: "8.3 no jti", changes: m{"jti": nil}, why: "jti is"},
		{name: "jti empty", changes: m{"jti": ""}, why: "jti is"},
		{name: "jti a number", changes: m{"jti": 1}, why: "jti is"},
		{name: "jti of 1,024 bytes", changes: m{"jti": strings.Repeat("j", 1024)}},
		{name: "jti of 1,025 bytes", changes: m{"jti": strings.Repeat("j", 1025)}, why: "jti is"},

		{name: "P-rp-backchannel-rpinitlogout-no-event", changes: m{"events": nil}, why: notLogout},
		{name: "P-rp-backchannel-rpinitlogout-wrong-event", changes: m{"events": m{logoutEvent + "-not": m{}}}, why: notLogout},
		{name: "8.3 events null", changes: m{"events": raw("null")}, why: notLogout},
		{name: "8.3 events text", changes: m{"events": logoutEvent}, why: notLogout},
		{name: "events text of an object", changes: m{"events": `{"` + logoutEvent + `":{}}`}, why: notLogout},
		{name: "8.3 events a list", changes: m{"events": []any{logoutEvent, m{logoutEvent: m{}}}}, why: notLogout},
		{name: "the event in another case", changes: m{"events": m{strings.ToUpper(logoutEvent): m{}}}, why: notLogout},
		{name: "the event null", changes: event(raw("null")), why: notLogout},
		{name: "the event text", changes: event(""), why: notLogout},
		{name: "the event a list", changes: event([]any{}), why: notLogout},
		{name: "the event with members", changes: event(m{"reason": "x"})},
		{name: "the event and another", changes: m{"events": m{logoutEvent: m{}, "urn:other": m{}}}},
		{name: "the event with its slashes escaped", changes: m{"events": raw(`{"http:\/\/schemas.openid.net\/event\/backchannel-logout":{}}`)}},
		{name: "the event twice", changes: m{"events": raw(`{"` + logoutEvent + `":{},"` + logoutEvent + `":{}}`)}, why: notLogout},
		{name: "a member of the event twice", changes: event(raw(`{"a":1,"a":2}`)), why: notLogout},

		{name: "P-rp-backchannel-rpinitlogout-with-nonce", changes: m{"nonce": nonce}, why: "nonce is"},
		{name: "nonce null", changes: m{"nonce": raw("null")}, why: "nonce is"},
		{name: "the claims of an ID token", edit: claimsOf(nil), why: notLogout},
		{name: "the claims of a refreshed ID token with an ID", edit: claimsOf(m{"nonce": nil, "jti": "j1"}), why: notLogout},

		{name: "8.3 sid only", changes: m{"sub": nil}},
		{name: "8.3 neither sub nor sid", changes: m{"sub": nil, "sid": nil}, why: "neither sub nor a sid"},
		{name: "sub and sid null", changes: m{"sub": raw("null"), "sid": raw("null")}, why: "neither sub nor a sid"},
		{name: "a sid that is not text only", changes: m{"sub": nil, "sid": 7}, why: "neither sub nor a sid"},
		{name: "an empty sid only", changes: m{"sub": nil, "sid": ""}, why: "neither sub nor a sid"},
		{name: "at_hash a number", changes: m{"at_hash": 1}},
	}
}

func accessTokenCases() []claimsCase {
	const otherClient, bound = "aud names this client", "bound to a key"
	ofOrganization := m{"aud": organization, "organization_id": "org2"}
	return []claimsCase{
		{name: "jti absent", changes: m{"jti": nil}},
		{name: "aud a list with the API in it", changes: m{"aud": []string{issuer + "/me", api}}},
		{name: "aud with the API among words", changes: m{"aud": api + " x"}, why: "without "},
		{name: "aud with this client before the API", changes: m{"aud": []string{clientID, api}}},
		{name: "aud with this client after the API", changes: m{"aud": []string{api, clientID}}},
		{name: "aud with this client, and a nonce", changes: m{"aud": []string{api, clientID}, "nonce": nonce}, why: otherClient},
		{name: "aud with this client, and events", changes: m{"aud": []string{api, clientID}, "events": m{}}, why: otherClient},
		{name: "aud with this client alone", changes: m{"aud": clientID}, why: `aud is "app"`},
		{name: "another organization's token", changes: m{"aud": "urn:logto:organization:org2"}, audience: organization, why: "without "},
		{name: "an API's token for an organization", audience: organization, why: "without "},
		{name: "an organization's token with another organization_id", changes: ofOrganization, audience: organization, why: "organization_id is not the"},
		{name: "exp absent", changes: m{"exp": nil}, why: "exp is absent"},
		{name: "exp null", changes: m{"exp": raw("null")}, why: "exp is absent"},
		{name: "issued long ago", changes: m{"iat": at(-30 * 24 * time.Hour)}},
		{name: "nbf null", changes: m{"nbf": raw("null")}},
		{name: "sub absent", changes: m{"sub": nil}, why: "sub is"},

		{name: "client_id absent", changes: m{"client_id": nil}, why: "client_id is absent"},
		{name: "client_id null", changes: m{"client_id": raw("null")}, why: "client_id is absent"},
		{name: "client_id empty", changes: m{"client_id": ""}, why: "client_id is not"},
		{name: "client_id a number", changes: m{"client_id": 7}, why: "client_id is not"},
		{name: "client_id of 255 characters", changes: m{"client_id": strings.Repeat("c", 255)}},
		{name: "client_id of 256 characters", changes: m{"client_id": strings.Repeat("c", 256)}, why: "client_id is not"},
		{name: "client_id not ASCII", changes: m{"client_id": "späh"}, why: "client_id is not"},
		{name: "azp instead of client_id", changes: m{"client_id": nil, "azp": "spa"}},
		{name: "azp a list", changes: m{"azp": []string{"spa"}}, why: "azp is not"},
		{name: "this application's token for the API", changes: m{"client_id": clientID, "azp": clientID}},
		{name: "organization_id null", changes: m{"organization_id": raw("null")}},
		{name: "organization_id empty", changes: m{"organization_id": ""}, why: "organization_id is not"},

		{name: "bound to a key of the client (RFC 9449)", changes: m{"cnf": m{"jkt": "x"}}, why: bound},
		{name: "bound to a certificate (RFC 8705)", changes: m{"cnf": m{"x5t#S256": "x"}}, why: bound},
		{name: "cnf empty", changes: m{"cnf": ""}, why: bound},
		{name: "cnf null", changes: m{"cnf": raw("null")}},
		{name: "an access token of a sign-in, marked as such", changes: m{"nonce": nonce, "auth_time": 1, "acr": "0"}},
	}
}

// unmarkedCases are access tokens of providers whose tokens of all kinds say
// JWT, or nothing.
func unmarkedCases() (cases []claimsCase) {
	const unmarked, ofClient, noAudience = "not marked", "aud names this client", "without "
	idTokenFor := func(aud any, changes m) m {
		claims := m{"client_id": nil, "scope": nil, "azp": "spa", "aud": aud}
		for name, value := range changes {
			claims[name] = value
		}
		return claims
	}
	for _, typ := range []string{"JWT", "-"} {
		add := func(name, why string, changes m) {
			audience := ""
			if strings.Contains(name, "another client") {
				audience = "spa"
			}
			name = fmt.Sprintf("typ %s, %s", typ, name)
			cases = append(cases, claimsCase{name: name, typ: typ, changes: changes, audience: audience, why: why})
		}
		add("as of Keycloak 26", "", m{"client_id": nil, "azp": "spa", "typ": "Bearer", "acr": "1", "aud": []string{"account", api}})
		add("as of Keycloak before 25, with nonce", unmarked, m{"client_id": nil, "azp": "spa", "typ": "Bearer", "nonce": nonce})
		add("as of Okta", "", m{"client_id": nil, "cid": "spa", "scope": nil, "scp": []string{"read"}})
		add("as of Entra for a person", "", m{"client_id": nil, "azp": "spa", "scope": nil, "scp": "read"})
		add("as of Entra for a machine, with azp alone", unmarked, m{"client_id": nil, "azp": "spa", "scope": nil})
		add("as of Entra for a machine, with idtyp", "", m{"client_id": nil, "azp": "spa", "scope": nil, "idtyp": "app"})
		add("as of Keycloak, for this client too", ofClient, m{"aud": []string{api, clientID}})
		add("without iat", "", m{"iat": nil})
		add("with an empty scope", "", m{"client_id": nil, "scope": ""})
		add("without scope", "", m{"scope": nil})
		add("with neither client_id nor scope", unmarked, m{"client_id": nil, "scope": nil})
		add("with client_id null alone", unmarked, m{"client_id": raw("null"), "scope": nil})
		add("with a scope of the wrong type alone", unmarked, m{"client_id": nil, "scope": 7})
		add("with scp of the wrong type alone", unmarked, m{"client_id": nil, "scope": nil, "scp": m{}})
		for _, value := range []any{"ID", "Refresh", raw("null"), []string{"Bearer"}} {
			add(fmt.Sprint("with the claim typ ", value, " of Keycloak"), unmarked, m{"typ": value})
		}
		add("with token_use access of Cognito", "", m{"token_use": "access"})
		add("with token_use id of Cognito", unmarked, m{"token_use": "id"})
		add("for the client that asked for it", ofClient, m{"client_id": api})
		add("for the client that asked for it, by azp", ofClient, m{"azp": api})
		add("for the client that asked for it, in a list", ofClient, m{"aud": []string{"spa", api}})
		add("an ID token of this client", noAudience, idTokenFor(clientID, m{"nonce": nonce, "azp": nil}))
		add("an ID token of this client and the API", ofClient, idTokenFor([]string{clientID, api}, m{"nonce": nonce}))
		add("an ID token of another client", unmarked, idTokenFor("spa", m{"nonce": nonce}))
		add("a refreshed ID token of another client", unmarked, idTokenFor("spa", nil))
		add("a refreshed ID token of another client, with its client_id", ofClient, idTokenFor("spa", m{"client_id": "spa"}))
		add("a refreshed ID token of another client, with scopes", ofClient, idTokenFor("spa", m{"scope": "read"}))
		for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
			add("with "+name, unmarked, m{name: "x"})
			add("with "+name+" null", unmarked, m{name: raw("null")})
		}
	}
	return cases
}

// TestVerifier_ClockSkew also sets the clock between two seconds, since most claims
// are whole seconds.
func TestVerifier_ClockSkew(t *testing.T) {
	t.Parallel()
	offsets := func(k kind) map[string]map[int64]outcome {
		all := map[string]map[int64]outcome{
			"exp": {-60: good, -61: rejected, -600: rejected},
			"iat": {60: good, 61: rejected, 600: rejected, 24 * 3600: rejected},
			"nbf": {60: good, 61: rejected, 600: rejected},
		}
		switch k.name {
		case idToken.name: // Microsoft Entra sets iat five minutes back
			all["iat"][-360], all["iat"][-361] = good, rejected
		case logoutToken.name:
			all["iat"][-120], all["iat"][-121] = good, rejected
		}
		return all
	}
	for _, between := range []time.Duration{0, time.Nanosecond, 999 * time.Millisecond} {
		v := *everyKey()
		second := now.Truncate(time.Second)
		v.Now = func() time.Time { return second.Add(between) }
		for _, k := range kinds {
			for claim, wants := range offsets(k) {
				for offset, want := range wants {
					k.want(t, &v, k.token(m{claim: second.Unix() + offset}), want)
				}
			}
		}
	}
}

// A clock without a time must not make absent times valid.
func TestVerifier_AbsentTimesWithAZeroClock(t *testing.T) {
	t.Parallel()
	v := *everyKey()
	v.Now = func() time.Time { return time.Time{} }
	for _, k := range kinds {
		k.want(t, &v, k.token(m{"exp": nil, "iat": nil}), rejected)
		k.want(t, &v, k.token(m{"exp": raw("0"), "iat": nil}), rejected)
	}
}

// The age of a token is measured on arrival, before the keys are fetched.
func TestVerifier_SlowKeys(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		f := newFake()
		f.late = 5 * time.Second
		k.want(t, f.Verifier(), k.token(m{"exp": at(-time.Minute)}), good)
	}
}

// go-oidc takes accounts.google.com for the issuer of Google.
func TestVerifier_GooglesOtherIssuer(t *testing.T) {
	t.Parallel()
	v := *everyKey()
	v.Issuer = "https://accounts.google.com"
	for _, k := range kinds {
		k.want(t, &v, k.token(m{"iss": v.Issuer}), good)
		k.want(t, &v, k.token(m{"iss": "accounts.google.com"}), rejected)
	}
}

// The audience of an access token is checked before anything in the token.
func TestVerifier_AudienceThatIsNotAnAPI(t *testing.T) {
	t.Parallel()
	f := newFake()
	for name, audience := range map[string]string{"empty": "", "this client": clientID, "an organization without an ID": jwt.OrganizationAudience} {
		for _, raw := range []string{accessToken.token(m{"aud": audience}), idToken.token(nil), ""} {
			got, err := f.Verifier().AccessToken(context.Background(), raw, audience)
			if is, _ := outcomeOf(err); is != noAPI || got != nil {
				t.Errorf("%s: got %+v, %v; want ErrNoAPI", name, got, err)
			}
		}
	}
	f.wantHits(t, 0)
}
