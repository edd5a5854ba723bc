package jwt_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
)

// claimsCase changes the claims of a good ID token; the value raw replaces the
// payload as a whole.
type claimsCase struct {
	name    string
	changes map[string]any
	raw     string
	alg     string
	want    func(*jwt.Expect)
	ok      bool
}

// payload is what the case gives to check.
func (c claimsCase) payload() []byte {
	if c.raw != "" {
		return []byte(c.raw)
	}
	return must(json.Marshal(idClaims(now, c.changes)))
}

func leftHalf(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) }

func refreshOf(subject string) func(*jwt.Expect) {
	return func(e *jwt.Expect) { e.Refresh, e.Subject = true, subject }
}

func maxAge(d time.Duration) func(*jwt.Expect) {
	return func(e *jwt.Expect) { e.MaxAge, e.MaxAgeAsked = d, true }
}

func wantACR(values ...string) func(*jwt.Expect) {
	return func(e *jwt.Expect) { e.ACR = values }
}

func claimsCases() []claimsCase {
	s256, s384, s512 := sha256.Sum256([]byte(accessToken)), sha512.Sum384([]byte(accessToken)), sha512.Sum512([]byte(accessToken))
	deep := strings.Repeat(`[`, 70) + strings.Repeat(`]`, 70)
	good := string(claimsCase{}.payload())
	alice := `"sub":"alice"`
	return []claimsCase{
		{name: "P a good token", ok: true},

		{name: "P-invalid-iss: another issuer", changes: m{"iss": "https://id.example.org/oidc"}},
		{name: "iss absent", changes: m{"iss": nil}},
		{name: "3.2 iss with a slash more", changes: m{"iss": issuer + "/"}},
		{name: "3.2 iss in another case", changes: m{"iss": "https://ID.example.com/oidc"}},
		{name: "3.2 iss with its default port", changes: m{"iss": "https://id.example.com:443/oidc"}},
		{name: "iss as a list", changes: m{"iss": []string{issuer}}},

		{name: "P-invalid-aud: another client", changes: m{"aud": "other"}},
		{name: "P-missing-aud", changes: m{"aud": nil}},
		{name: "aud null", changes: m{"aud": raw("null")}},
		{name: "aud a number", changes: m{"aud": 1}},
		{name: "aud a list of one", changes: m{"aud": []string{clientID}}, ok: true},
		{name: "aud an empty list", changes: m{"aud": []string{}}},
		{name: "aud a list with null", changes: m{"aud": raw(`["app",null]`)}},
		{name: "aud that begins like ours", changes: m{"aud": clientID + "2"}},
		{name: "3.2 an untrusted extra audience", changes: m{"aud": []string{clientID, "other"}, "azp": clientID}},
		{name: "3.2 several audiences without azp", changes: m{"aud": []string{clientID, "other"}}},
		{name: "azp the client", changes: m{"azp": clientID}, ok: true},
		{name: "3.2 azp not the client", changes: m{"azp": "other"}},
		{name: "azp empty", changes: m{"azp": ""}},
		{name: "azp of the wrong type", changes: m{"azp": []string{clientID}}},

		{name: "P-missing-sub", changes: m{"sub": nil}},
		{name: "sub empty", changes: m{"sub": ""}},
		{name: "sub a number", changes: m{"sub": 7}},
		{name: "sub of 255 characters", changes: m{"sub": strings.Repeat("a", 255)}, ok: true},
		{name: "3.2 sub of 300 characters", changes: m{"sub": strings.Repeat("a", 300)}},
		{name: "3.2 sub not ASCII", changes: m{"sub": "ålice"}},
		{name: "sub with a control character", changes: m{"sub": "ali\x00ce"}},
		{name: "sub with DEL", changes: m{"sub": "alice\x7f"}},
		{name: "2.9 sub of somebody else than asked for", want: func(e *jwt.Expect) { e.Subject = "bob" }},
		{name: "sub as asked for", want: func(e *jwt.Expect) { e.Subject = "alice" }, ok: true},

		{name: "P-missing-iat", changes: m{"iat": nil}},
		{name: "3.3 iat 60 s ahead", changes: m{"iat": at(time.Minute)}, ok: true},
		{name: "iat 61 s ahead", changes: m{"iat": at(61 * time.Second)}},
		{name: "3.3 iat ten minutes ahead", changes: m{"iat": at(10 * time.Minute)}},
		{name: "iat dated back by five minutes, as Microsoft does, and on its way", changes: m{"iat": at(-5*time.Minute - time.Second)}, ok: true},
		{name: "3.3 iat ten minutes ago", changes: m{"iat": at(-10 * time.Minute)}},
		{name: "3.2 iat a day ago", changes: m{"iat": at(-24 * time.Hour)}},
		{name: "iat as text", changes: m{"iat": "1772366400"}},

		{name: "exp absent", changes: m{"exp": nil}},
		{name: "exp null", changes: m{"exp": raw("null")}},
		{name: "3.3 exp 60 s ago", changes: m{"exp": at(-time.Minute)}, ok: true},
		{name: "exp 61 s ago", changes: m{"exp": at(-61 * time.Second)}},
		{name: "3.3 exp ten minutes ago", changes: m{"exp": at(-10 * time.Minute)}},
		{name: "exp with a fraction", changes: m{"exp": raw("1772370000.75")}, ok: true},
		{name: "3.2 exp as text", changes: m{"exp": "1772370000"}},
		{name: "3.2 exp 1e400", changes: m{"exp": raw("1e400")}},
		{name: "exp finite and no date", changes: m{"exp": raw("1e300")}},
		{name: "exp negative", changes: m{"exp": -1}},
		{name: "exp beyond the year 9999", changes: m{"exp": raw("253402300800")}},
		{name: "exp an object", changes: m{"exp": m{}}},
		{name: "nbf 60 s ahead", changes: m{"nbf": at(time.Minute)}, ok: true},
		{name: "nbf 61 s ahead", changes: m{"nbf": at(61 * time.Second)}},
		{name: "nbf before all time", changes: m{"nbf": -1}},
		{name: "nbf as text", changes: m{"nbf": "0"}},

		{name: "P-nonce-invalid", changes: m{"nonce": "other"}},
		{name: "nonce absent", changes: m{"nonce": nil}},
		{name: "nonce of the wrong type", changes: m{"nonce": []string{nonce}}},
		{name: "no nonce was sent and none came", changes: m{"nonce": nil}, want: func(e *jwt.Expect) { e.Nonce = "" }},
		{name: "no nonce was sent and an empty one came", changes: m{"nonce": ""}, want: func(e *jwt.Expect) { e.Nonce = "" }},

		{name: "P-refresh-token: without nonce", changes: m{"nonce": nil}, want: refreshOf("alice"), ok: true},
		{name: "a refresh with the first nonce", want: refreshOf("alice"), ok: true},
		{name: "a refresh with another nonce", changes: m{"nonce": "other"}, want: refreshOf("alice")},
		{name: "a refresh with an empty nonce", changes: m{"nonce": ""}, want: refreshOf("alice")},
		{name: "P-refresh-token-invalid-sub", want: refreshOf("bob")},
		{name: "a refresh whose caller does not say of whom", want: refreshOf("")},

		{name: "3.4 at_hash right, SHA-256", changes: m{"at_hash": leftHalf(s256[:])}, alg: "RS256", ok: true},
		{name: "at_hash right, SHA-384", changes: m{"at_hash": leftHalf(s384[:])}, alg: "ES384", ok: true},
		{name: "at_hash right, SHA-512", changes: m{"at_hash": leftHalf(s512[:])}, alg: "PS512", ok: true},
		{name: "at_hash right, EdDSA", changes: m{"at_hash": leftHalf(s512[:])}, alg: "EdDSA", ok: true},
		{name: "3.4 at_hash wrong", changes: m{"at_hash": leftHalf(s384[:])}, alg: "RS256"},
		{name: "at_hash empty", changes: m{"at_hash": ""}},
		{name: "at_hash of the wrong type", changes: m{"at_hash": 1}},
		{name: "3.4 c_hash does no harm", changes: m{"c_hash": "x"}, ok: true},

		{name: "2.9 auth_time just now", changes: m{"auth_time": now.Unix()}, want: maxAge(0), ok: true},
		{name: "2.9 auth_time absent", want: maxAge(time.Hour)},
		{name: "2.9 auth_time zero", changes: m{"auth_time": 0}, want: maxAge(100 * 365 * 24 * time.Hour)},
		{name: "auth_time older by the skew", changes: m{"auth_time": at(-time.Hour - time.Minute)}, want: maxAge(time.Hour), ok: true},
		{name: "2.9 auth_time stale", changes: m{"auth_time": at(-time.Hour - 61*time.Second)}, want: maxAge(time.Hour)},
		{name: "auth_time ahead", changes: m{"auth_time": at(61 * time.Second)}, want: maxAge(time.Hour)},
		{name: "auth_time as text", changes: m{"auth_time": "1"}},
		{name: "auth_time old and not asked for", changes: m{"auth_time": 1}, ok: true},
		{name: "acr as asked", changes: m{"acr": "mfa"}, want: wantACR("phr", "mfa"), ok: true},
		{name: "acr not as asked", changes: m{"acr": "pwd"}, want: wantACR("mfa")},
		{name: "acr absent", want: wantACR("mfa")},
		{name: "acr absent, and an empty one asked for", want: wantACR("")},
		{name: "acr of the wrong type", changes: m{"acr": []string{"mfa"}}, want: wantACR("mfa")},
		{name: "sid of the wrong type", changes: m{"sid": 1}},
		{name: "sid of 1,024 bytes", changes: m{"sid": strings.Repeat("s", 1024)}, ok: true},
		{name: "sid longer than a logout token can have", changes: m{"sid": strings.Repeat("s", 1025)}},
		{name: "sid empty is none", changes: m{"sid": ""}, ok: true},
		{name: "no sid", changes: m{"sid": nil}, ok: true},

		{name: "a profile claim that is null", changes: m{"name": raw("null")}, ok: true},
		{name: "3.2 a claim twice", raw: strings.Replace(good, alice, alice+","+alice, 1)},
		{name: "3.2 a claim twice for encoding/json", changes: m{"Sub": "bob"}},
		{name: "a claim twice, with a letter that only folds to ours", changes: m{"ſub": "bob"}},
		{name: "a claim twice, one of them escaped", raw: strings.Replace(good, alice, alice+`,"s\u0075b":"alice"`, 1)},
		{name: "an unknown claim twice", raw: strings.Replace(good, alice, alice+`,"x":1,"x":1`, 1)},
		{name: "a claim in another case alone", changes: m{"sub": nil, "SUB": "alice"}},
		{name: "iss in another case alone", changes: m{"iss": nil, "Iss": issuer}},
		{name: "exp in another case alone", changes: m{"exp": nil, "EXP": at(time.Hour)}},
		{name: "exp in another case, past, beside a good one", changes: m{"Exp": 1}},
		{name: "nbf in another case, ahead", changes: m{"Nbf": at(time.Hour)}},
		{name: "azp in another case, another client", changes: m{"AZP": "other"}},
		{name: "nonce in another case, another one", changes: m{"nonce": nil, "Nonce": "other"}, want: refreshOf("alice")},
		{name: "at_hash in another case, wrong", changes: m{"AT_hash": "x"}},
		{name: "_claim_names in another case", changes: m{"_Claim_Names": m{}}},
		{name: "sid with a letter that only folds to ours", changes: m{"sid": nil, "ſid": "s1"}},
		{name: "a claim that is not read here, in another case", changes: m{"Email": "alice@example.com"}, ok: true},
		{name: "_claim_names of the wrong type", changes: m{"_claim_names": 1}},
		{name: "_claim_sources of the wrong type", changes: m{"_claim_sources": "x"}},
		{name: "names twice further down", changes: m{"x": raw(`{"a":1,"a":2}`)}, ok: true},
		{name: "too deep", changes: m{"x": raw(deep)}},
		{name: "brackets in text are not depth", changes: m{"x": strings.Repeat("[", 100)}, ok: true},
		{name: "brackets behind a quote in text are not depth", changes: m{"x": `"` + strings.Repeat("[", 100)}, ok: true},
		{name: "a backslash ends in text what it seems to begin", changes: m{"x": `\`, "y": raw(deep)}},
		{name: "space around", raw: " " + good + "\n", ok: true},
		{name: "no object", raw: "[" + good + "]"},
		{name: "nothing", raw: ` `},
		{name: "null", raw: `null`},
		{name: "trailing data", raw: good + "{}"},
		{name: "cut short", raw: strings.TrimSuffix(good, "}")},
		{name: "not UTF-8", raw: strings.Replace(good, alice, alice+",\"x\":\"\xff\"", 1)},
	}
}

func (c claimsCase) check() (*jwt.IDToken, error) {
	want := signedIn
	if c.want != nil {
		c.want(&want)
	}
	return check(c.payload(), c.alg, want, now)
}

func claimRules(t *testing.T) {
	for _, c := range claimsCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			id, err := c.check()
			if got := err == nil; got != c.ok {
				t.Fatalf("%s: got accepted %t (%v); want %t", c.payload(), got, err, c.ok)
			}
			if (id != nil) != c.ok {
				t.Errorf("got token %v with error %v; want one without the other", id, err)
			}
		})
	}
}

// A clock that knows no time does not turn absent times into good ones.
func TestAbsentTimesAreNeverNow(t *testing.T) {
	t.Parallel()
	for absent, changes := range map[string]m{"exp": {"exp": nil, "iat": nil}, "iat": {"exp": raw("0"), "iat": nil}} {
		_, err := check(claimsCase{changes: changes}.payload(), "", signedIn, time.Time{})
		if err == nil || !strings.HasPrefix(err.Error(), absent+" is absent") {
			t.Errorf("got %v without %s; want it rejected for that", err, absent)
		}
	}
	if _, err := checkLogout(must(json.Marshal(logoutClaims(now, m{"exp": nil, "iat": nil}))), time.Time{}); err == nil {
		t.Error("a logout token without iat was accepted")
	}
}

func TestCheckReturnsTheClaims(t *testing.T) {
	t.Parallel()
	c := claimsCase{changes: m{"auth_time": at(-time.Hour), "acr": "mfa"}}
	id, err := c.check()
	wantKind(t, err, good)
	if id.Subject != "alice" || string(id.Payload) != string(c.payload()) {
		t.Errorf("got %+v; want alice and the payload", *id)
	}
}

// FuzzIDToken holds check to its promise: whoever is let in has a subject, at
// this issuer, in a token for this client alone that is of now; as
// encoding/json reads the same bytes.
func FuzzIDToken(f *testing.F) {
	for _, c := range claimsCases() {
		f.Add(c.payload())
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		id, err := check(payload, "", signedIn, now)
		if err != nil {
			if id != nil {
				t.Fatalf("%q: got a token and %v", payload, err)
			}
			return
		}
		wantExactNames(t, payload)
		var claims struct {
			Iss, Sub, Nonce string
			Aud             any
			Iat, Exp        float64
		}
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatalf("%q: accepted; encoding/json says %v", payload, err)
		}
		list, _ := claims.Aud.([]any)
		forUs := claims.Aud == any(clientID) || len(list) == 1 && list[0] == any(clientID)
		if claims.Iss != issuer || !forUs || claims.Nonce != nonce || claims.Sub == "" || claims.Sub != id.Subject {
			t.Errorf("%q: accepted with %+v", payload, claims)
		}
		if claims.Exp < float64(at(-time.Minute)) || claims.Iat < float64(at(-6*time.Minute)) || claims.Iat > float64(at(62*time.Second)) {
			t.Errorf("%q: accepted at %d", payload, now.Unix())
		}
	})
}

// wantExactNames fails if a struct of an application, or go-oidc's, would take
// a member for a claim that has another name.
func wantExactNames(t *testing.T, payload []byte) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		t.Fatalf("%q: accepted; encoding/json says %v", payload, err)
	}
	for name := range members {
		for _, claim := range []string{
			"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "_claim_names", "_claim_sources", "azp", "sid", "auth_time", "acr", "jti",
			"events", "client_id", "cid", "organization_id", "scope", "scp", "cnf",
		} {
			if name != claim && strings.EqualFold(name, claim) {
				t.Errorf("%q: accepted with %q for %s", payload, name, claim)
			}
		}
	}
}
