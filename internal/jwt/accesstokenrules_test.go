package jwt_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
)

// accessCase changes the claims of a good access token; the value raw replaces
// the payload as a whole. typ is the header's, "at+jwt" unless it says
// otherwise; with "-" there is none.
type accessCase struct {
	name     string
	typ      string
	changes  m
	raw      string
	audience string
	ok       bool
}

func (c accessCase) payload() string {
	return cmp.Or(c.raw, string(must(json.Marshal(accessClaims(now, c.changes)))))
}

func (c accessCase) header() string {
	if c.typ == "-" {
		return `{"alg":"EdDSA","kid":"ed"}`
	}
	return fmt.Sprintf(`{"alg":"EdDSA","kid":"ed","typ":%q}`, cmp.Or(c.typ, "at+jwt"))
}

func accessCases() []accessCase {
	good := accessCase{}.payload()
	const alice = `"sub":"alice"`
	cases := []accessCase{
		{name: "as Logto sends it", ok: true},
		{name: "a claim that nobody knows", changes: m{"x": 1}, ok: true},
		{name: "no jti", changes: m{"jti": nil}, ok: true},
		{name: "space around", raw: " " + good + "\n", ok: true},

		{name: "typ in odd case", typ: "AT+jwt", ok: true},
		{name: "typ in full", typ: "application/at+jwt", ok: true},
		{name: "typ in full and in odd case", typ: "Application/AT+JWT", ok: true},
		{name: "typ of a logout token", typ: "logout+jwt"},
		{name: "typ of an introspection answer", typ: "token-introspection+jwt"},
		{name: "typ that only holds the right one", typ: "x-at+jwt"},
		{name: "typ of another tree", typ: "text/at+jwt"},
		{name: "typ with a space", typ: " at+jwt"},
		{name: "typ of a proof of possession", typ: "dpop+jwt"},

		{name: "another issuer's", changes: m{"iss": "https://id.example.org/oidc"}},
		{name: "3.2 iss with a slash more", changes: m{"iss": issuer + "/"}},
		{name: "3.2 iss in another case", changes: m{"iss": strings.ToUpper(issuer)}},
		{name: "iss absent", changes: m{"iss": nil}},
		{name: "iss null", changes: m{"iss": raw("null")}},
		{name: "iss a list", changes: m{"iss": []string{issuer}}},

		{name: "aud a list of the API", changes: m{"aud": []string{api}}, ok: true},
		{name: "aud a list with the API in it", changes: m{"aud": []string{issuer + "/me", api}}, ok: true},
		{name: "aud with its slashes escaped", changes: m{"aud": raw(`"https:\/\/api.example.com"`)}, ok: true},
		{name: "aud of another API", changes: m{"aud": "https://other.example.com"}},
		{name: "aud that begins with the API", changes: m{"aud": api + "/v2"}},
		{name: "aud with a slash more", changes: m{"aud": api + "/"}},
		{name: "aud in another case", changes: m{"aud": strings.ToUpper(api)}},
		{name: "aud that holds the API among words", changes: m{"aud": api + " x"}},
		{name: "aud absent", changes: m{"aud": nil}},
		{name: "aud null", changes: m{"aud": raw("null")}},
		{name: "aud empty", changes: m{"aud": ""}},
		{name: "aud an empty list", changes: m{"aud": []string{}}},
		{name: "aud an object", changes: m{"aud": m{api: api}}},
		{name: "aud a list with a number", changes: m{"aud": []any{api, 1}}},
		{name: "aud a list with null", changes: m{"aud": []any{api, nil}}},
		{name: "aud a list in a list", changes: m{"aud": []any{[]string{api}}}},
		{name: "aud with this client beside the API", changes: m{"aud": []string{clientID, api}}},
		{name: "aud with this client behind the API", changes: m{"aud": []string{api, clientID}}},
		{name: "an organization's token", changes: m{"aud": organizationAPI}, audience: organizationAPI, ok: true},
		{name: "another organization's token", changes: m{"aud": "urn:logto:organization:org2"}, audience: organizationAPI},
		{name: "an API's token for an organization", audience: organizationAPI},

		{name: "exp 60 s ago", changes: m{"exp": at(-time.Minute)}, ok: true},
		{name: "3.3 exp 61 s ago", changes: m{"exp": at(-61 * time.Second)}},
		{name: "exp absent", changes: m{"exp": nil}},
		{name: "exp null", changes: m{"exp": raw("null")}},
		{name: "3.2 exp as text", changes: m{"exp": fmt.Sprint(at(time.Hour))}},
		{name: "3.2 exp of 1e400", changes: m{"exp": raw("1e400")}},
		{name: "exp zero", changes: m{"exp": 0}},
		{name: "exp negative", changes: m{"exp": -1}},
		{name: "exp with a fraction", changes: m{"exp": raw(fmt.Sprintf("%d.5", at(time.Hour)))}, ok: true},
		{name: "issued long ago and still good", changes: m{"iat": at(-30 * 24 * time.Hour)}, ok: true},
		{name: "3.3 iat 60 s ahead", changes: m{"iat": at(time.Minute)}, ok: true},
		{name: "iat 61 s ahead", changes: m{"iat": at(61 * time.Second)}},
		{name: "iat absent", changes: m{"iat": nil}},
		{name: "iat null", changes: m{"iat": raw("null")}},
		{name: "iat as text", changes: m{"iat": "1"}},
		{name: "nbf 60 s ahead", changes: m{"nbf": at(time.Minute)}, ok: true},
		{name: "nbf 61 s ahead", changes: m{"nbf": at(61 * time.Second)}},
		{name: "nbf past", changes: m{"nbf": at(-time.Hour)}, ok: true},
		{name: "nbf as text", changes: m{"nbf": "0"}},
		{name: "nbf null is absent", changes: m{"nbf": raw("null")}, ok: true},

		{name: "sub absent", changes: m{"sub": nil}},
		{name: "sub null", changes: m{"sub": raw("null")}},
		{name: "sub empty", changes: m{"sub": ""}},
		{name: "sub a number", changes: m{"sub": 7}},
		{name: "sub of 255 characters", changes: m{"sub": strings.Repeat("a", 255)}, ok: true},
		{name: "3.2 sub of 300 characters", changes: m{"sub": strings.Repeat("a", 300)}},
		{name: "3.2 sub not ASCII", changes: m{"sub": "ålice"}},
		{name: "sub with a line break", changes: m{"sub": "alice\n"}},
		{name: "sid absent", changes: m{"sid": nil}, ok: true},
		{name: "sid a number", changes: m{"sid": 7}},
		{name: "sid of 1,024 bytes", changes: m{"sid": strings.Repeat("s", 1024)}, ok: true},
		{name: "sid of 1,025 bytes", changes: m{"sid": strings.Repeat("s", 1025)}},

		{name: "client_id absent", changes: m{"client_id": nil}},
		{name: "client_id null", changes: m{"client_id": raw("null")}},
		{name: "client_id empty", changes: m{"client_id": ""}},
		{name: "client_id a number", changes: m{"client_id": 7}},
		{name: "client_id of 256 characters", changes: m{"client_id": strings.Repeat("c", 256)}},
		{name: "client_id of 255 characters", changes: m{"client_id": strings.Repeat("c", 255)}, ok: true},
		{name: "client_id not ASCII", changes: m{"client_id": "späh"}},
		{name: "azp for client_id", changes: m{"client_id": nil, "azp": "spa"}, ok: true},
		{name: "azp a list", changes: m{"azp": []string{"spa"}}},
		{name: "this application's own token for the API", changes: m{"client_id": clientID}, ok: true},
		{name: "the claim azp of this application", changes: m{"azp": clientID}, ok: true},

		{name: "organization_id", changes: m{"organization_id": "org1"}, ok: true},
		{name: "organization_id null is absent", changes: m{"organization_id": raw("null")}, ok: true},
		{name: "organization_id empty", changes: m{"organization_id": ""}},
		{name: "organization_id a list", changes: m{"organization_id": []string{"org1"}}},
		{name: "organization_id not printable", changes: m{"organization_id": "org1\x00"}},
		{name: "an organization's token that says so twice", changes: m{"aud": organizationAPI, "organization_id": "org1"}, audience: organizationAPI, ok: true},
		{name: "an organization's token that speaks of another", changes: m{"aud": organizationAPI, "organization_id": "org2"}, audience: organizationAPI},

		{name: "bound to a key of the client (RFC 9449)", changes: m{"cnf": m{"jkt": "x"}}},
		{name: "bound to a certificate (RFC 8705)", changes: m{"cnf": m{"x5t#S256": "x"}}},
		{name: "bound to something unreadable", changes: m{"cnf": ""}},
		{name: "bound to nothing", changes: m{"cnf": raw("null")}, ok: true},

		{name: "scope of the wrong type", changes: m{"scope": 7}, ok: true},
		{name: "scope absent", changes: m{"scope": nil}, ok: true},
		{name: "an access token of a sign-in, marked as such", changes: m{"nonce": nonce, "auth_time": 1, "acr": "0"}, ok: true},

		{name: "3.2 a claim twice", raw: strings.Replace(good, alice, alice+","+alice, 1)},
		{name: "3.2 a claim twice for encoding/json", changes: m{"Sub": "bob"}},
		{name: "a claim twice, with a letter that only folds to ours", changes: m{"ſub": "bob"}},
		{name: "a claim twice, one of them escaped", raw: strings.Replace(good, alice, alice+`,"s\u0075b":"alice"`, 1)},
		{name: "a claim in another case alone", changes: m{"sub": nil, "SUB": "alice"}},
		{name: "Scope with a capital", changes: m{"scope": nil, "Scope": "read"}},
		{name: "CNF in capitals", changes: m{"CNF": m{"jkt": "x"}}},
		{name: "a claim that is not read here, in another case", changes: m{"Email": "alice@example.com"}, ok: true},
		{name: "too deep", changes: m{"x": raw(strings.Repeat("[", 65) + strings.Repeat("]", 65))}},
		{name: "no object", raw: "[" + good + "]"},
		{name: "trailing data", raw: good + "{}"},
		{name: "cut short", raw: strings.TrimSuffix(good, "}")},
		{name: "not UTF-8", raw: strings.Replace(good, alice, alice+",\"x\":\"\xff\"", 1)},
		{name: "null", raw: "null"},
		{name: "nothing", raw: " "},
	}
	return append(cases, unmarkedCases()...)
}

// unmarkedCases are tokens of providers that say JWT, or nothing, of ID tokens
// and access tokens alike.
func unmarkedCases() []accessCase {
	idToken := func(changes m) m {
		claims := m{"client_id": nil, "scope": nil, "azp": "spa", "aud": "spa", "nonce": nonce, "at_hash": "x"}
		maps.Copy(claims, changes)
		return claims
	}
	cases := []accessCase{
		{name: "in full", typ: "application/jwt", ok: true},
		{name: "in odd case", typ: "jWt", ok: true},
		{name: "as Keycloak 26 sends it", changes: m{"client_id": nil, "azp": "spa", "typ": "Bearer", "acr": "1", "aud": []string{"account", api}}, ok: true},
		{name: "as Keycloak before 25 sends it, with nonce", changes: m{"client_id": nil, "azp": "spa", "typ": "Bearer", "nonce": nonce}},
		{name: "as Okta sends it", changes: m{"client_id": nil, "cid": "spa", "scope": nil, "scp": []string{"read"}}, ok: true},
		{name: "as Entra sends it for a person", changes: m{"client_id": nil, "azp": "spa", "scope": nil, "scp": "read"}, ok: true},
		{name: "as Entra sends it for a machine, which looks like an ID token", changes: m{"client_id": nil, "azp": "spa", "scope": nil}},
		{name: "without iat", changes: m{"iat": nil}, ok: true},
		{name: "with iat as text", changes: m{"iat": "1"}},
		{name: "with a scope of nothing", changes: m{"client_id": nil, "scope": ""}, ok: true},
		{name: "without scope", changes: m{"scope": nil}, ok: true},
		{name: "with neither client_id nor scope", changes: m{"client_id": nil, "scope": nil}},
		{name: "with azp alone", changes: m{"client_id": nil, "scope": nil, "azp": "spa"}},
		{name: "with client_id null alone", changes: m{"client_id": raw("null"), "scope": nil}},
		{name: "with a scope of the wrong type alone", changes: m{"client_id": nil, "scope": 7}},
		{name: "with scp of the wrong type alone", changes: m{"client_id": nil, "scope": nil, "scp": m{}}},
		{name: "with the claim typ of an ID token at Keycloak", changes: m{"typ": "ID"}},
		{name: "with the claim typ of a refresh token at Keycloak", changes: m{"typ": "Refresh"}},
		{name: "with the claim typ null", changes: m{"typ": raw("null")}},
		{name: "with the claim typ a list", changes: m{"typ": []string{"Bearer"}}},
		{name: "with the token_use of an access token at Cognito", changes: m{"token_use": "access"}, ok: true},
		{name: "with the token_use of an ID token at Cognito", changes: m{"token_use": "id"}},
		{name: "for the very client that asked for it", changes: m{"client_id": api}},
		{name: "for the very client that asked for it, by azp", changes: m{"azp": api}},
		{name: "for the very client that asked for it, in a list", changes: m{"aud": []string{"spa", api}}},
		{name: "an ID token of this client", changes: idToken(m{"aud": clientID, "azp": nil})},
		{name: "an ID token of this client and the API", changes: idToken(m{"aud": []string{clientID, api}, "azp": clientID})},
		{name: "an ID token of another client", changes: idToken(nil), audience: "spa"},
		{name: "a refreshed ID token of another client", changes: idToken(m{"nonce": nil, "at_hash": nil}), audience: "spa"},
		{name: "a refreshed ID token of another client, with its client_id", changes: idToken(m{"nonce": nil, "at_hash": nil, "client_id": "spa"}), audience: "spa"},
		{name: "a refreshed ID token of another client, with scopes", changes: idToken(m{"nonce": nil, "at_hash": nil, "scope": "read"}), audience: "spa"},
		{name: "a logout token", changes: m{"exp": at(2 * time.Minute), "scope": nil, "events": m{logoutEvent: m{}}}},
		{name: "another provider's issuer", changes: m{"iss": issuer + "/"}},
		{name: "another API", changes: m{"aud": "https://other.example.com"}},
		{name: "expired", changes: m{"exp": at(-61 * time.Second)}},
		{name: "nobody's", changes: m{"sub": nil}},
		{name: "client_id a number", changes: m{"client_id": 7}},
	}
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		cases = append(cases,
			accessCase{name: "with " + name, changes: m{name: "x"}},
			accessCase{name: "with " + name + " null", changes: m{name: raw("null")}},
			accessCase{name: "with " + name + " empty", changes: m{name: ""}})
	}
	for i := range cases {
		cases[i].name = "unmarked " + cases[i].name
		cases[i].typ = cmp.Or(cases[i].typ, "JWT")
	}
	for _, c := range slices.Clone(cases) {
		if c.typ == "JWT" {
			c.typ, c.name = "-", c.name+", and no typ"
			cases = append(cases, c)
		}
	}
	return cases
}

func TestAccessTokenRules(t *testing.T) {
	t.Parallel()
	c := offline{public(edKey().Public(), "ed")}.Client()
	for _, test := range accessCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := c.AccessToken(context.Background(), signEd(test.header(), test.payload()), cmp.Or(test.audience, api))
			if test.ok {
				wantKind(t, err, good)
				return
			}
			if wantKind(t, err, rejected); got != nil {
				t.Errorf("got %+v; want no token", got)
			}
		})
	}
}

// What the token says is what the caller is told, and what it does not say is
// empty.
func TestVerifyAccessTokenReturnsTheClaims(t *testing.T) {
	t.Parallel()
	c := offline{public(edKey().Public(), "ed")}.Client()
	// usual is what a token says that has no more than it must, after a change.
	usual := func(change func(*jwt.AccessToken)) jwt.AccessToken {
		t := jwt.AccessToken{Subject: "alice", ClientID: "spa", Expiry: time.Unix(at(time.Hour), 0), IssuedAt: time.Unix(at(0), 0)}
		change(&t)
		return t
	}
	scopes := func(scopes ...string) jwt.AccessToken {
		return usual(func(t *jwt.AccessToken) { t.Scopes = scopes })
	}
	for _, test := range []struct {
		name string
		accessCase
		want jwt.AccessToken
	}{
		{"everything", accessCase{changes: m{"sid": "s1", "scope": "read write", "organization_id": "org1"}}, usual(func(t *jwt.AccessToken) {
			t.SessionID, t.Scopes, t.Organization = "s1", []string{"read", "write"}, "org1"
		})},
		{"no more than it must", accessCase{}, scopes()},
		{"an organization's", accessCase{changes: m{"aud": organizationAPI}, audience: organizationAPI}, usual(func(t *jwt.AccessToken) { t.Organization = "org1" })},
		{"names with escapes", accessCase{raw: strings.Replace(accessCase{changes: m{"sid": nil, "scope": nil}}.payload(), `"alice"`, `"\u0061lice"`, 1)}, scopes()},
		{"another organization's audience beside the API", accessCase{changes: m{"aud": []string{api, organizationAPI}}}, scopes()},
		{"a machine's", accessCase{changes: m{"sub": "robot", "client_id": "robot"}}, usual(func(t *jwt.AccessToken) {
			t.Subject, t.ClientID, t.Machine = "robot", "robot", true
		})},
		{"a machine's, by azp", accessCase{changes: m{"sub": "robot", "client_id": nil, "azp": "robot"}}, usual(func(t *jwt.AccessToken) {
			t.Subject, t.ClientID, t.Machine = "robot", "robot", true
		})},
		{"a machine's that azp gives away", accessCase{changes: m{"sub": "robot", "azp": "robot"}}, usual(func(t *jwt.AccessToken) {
			t.Subject, t.Machine = "robot", true
		})},
		{"a machine's, by cid", accessCase{typ: "JWT", changes: m{"sub": "robot", "client_id": nil, "cid": "robot", "scp": []string{"read"}}}, usual(func(t *jwt.AccessToken) {
			t.Subject, t.ClientID, t.Machine, t.Scopes = "robot", "", true, []string{"read"}
		})},
		{"client_id wins over azp", accessCase{changes: m{"azp": "other"}}, scopes()},
		{"unmarked, with nothing else", accessCase{typ: "JWT", changes: m{"client_id": nil, "iat": nil, "scp": "read"}}, usual(func(t *jwt.AccessToken) {
			t.ClientID, t.IssuedAt, t.Scopes = "", time.Time{}, []string{"read"}
		})},

		{"scope of one word", accessCase{changes: m{"scope": "read"}}, scopes("read")},
		{"scope empty", accessCase{changes: m{"scope": ""}}, scopes()},
		{"scope with spaces too many", accessCase{changes: m{"scope": "  read  write "}}, scopes("read", "write")},
		{"scope keeps its case and its order", accessCase{changes: m{"scope": "Write read"}}, scopes("Write", "read")},
		{"scope with punctuation", accessCase{changes: m{"scope": "read:all https://x/y?z=1#w"}}, scopes("read:all", "https://x/y?z=1#w")},
		{"scope parted by other space is not two", accessCase{changes: m{"scope": "read\twrite delete"}}, scopes("delete")},
		{"scope parted by commas is not two", accessCase{changes: m{"scope": "read,write"}}, scopes("read,write")},
		{"scope with what no scope holds", accessCase{changes: m{"scope": `re"ad wr\ite dé x`}}, scopes("x")},
		{"scope a list", accessCase{changes: m{"scope": []string{"read", "write"}}}, scopes("read", "write")},
		{"scope a list of one that is not two", accessCase{changes: m{"scope": []string{"read write"}}}, scopes()},
		{"scope a list of one", accessCase{changes: m{"scope": []string{"read"}}}, scopes("read")},
		{"scope an empty list", accessCase{changes: m{"scope": []string{}}}, scopes()},
		{"scope a list with an empty one", accessCase{changes: m{"scope": []string{"", "read"}}}, scopes("read")},
		{"scope a list with a number", accessCase{changes: m{"scope": []any{"read", 7}}}, scopes()},
		{"scope a list with null", accessCase{changes: m{"scope": []any{"read", nil}}}, scopes()},
		{"scope a number", accessCase{changes: m{"scope": 7}}, scopes()},
		{"scope true", accessCase{changes: m{"scope": true}}, scopes()},
		{"scope an object", accessCase{changes: m{"scope": m{"read": true}}}, scopes()},
		{"scope of the wrong type is not made good by scp", accessCase{changes: m{"scope": 7, "scp": "read"}}, scopes()},
		{"scp a list", accessCase{changes: m{"scp": []string{"read", "write"}}}, scopes("read", "write")},
		{"scp text", accessCase{changes: m{"scp": "read write"}}, scopes("read", "write")},
		{"scp where scope is null", accessCase{changes: m{"scope": raw("null"), "scp": "read"}}, scopes("read")},
		{"scope wins over scp", accessCase{changes: m{"scope": "read", "scp": []string{"write"}}}, scopes("read")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.raw == "" {
				changes := m{"sid": nil, "scope": nil}
				maps.Copy(changes, test.changes)
				test.changes = changes
			}
			got, err := c.AccessToken(context.Background(), signEd(test.header(), test.payload()), cmp.Or(test.audience, api))
			wantKind(t, err, good)
			if string(got.Payload) != test.payload() {
				t.Errorf("got payload %s; want %s", got.Payload, test.payload())
			}
			got.Payload = nil
			if len(got.Scopes) == 0 {
				got.Scopes = nil
			}
			if gotText, want := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", test.want); gotText != want {
				t.Errorf("got %s; want %s", gotText, want)
			}
		})
	}
}
