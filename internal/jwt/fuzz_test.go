package jwt_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/settings"
)

// FuzzKeys checks that a key that is used is one of those published, as go-jose
// reads them: public, with the same ID, and for signatures by its algorithm.
func FuzzKeys(f *testing.F) {
	for _, text := range malformedSets {
		f.Add([]byte(text))
	}
	for _, c := range keyCases() {
		f.Add(must(json.Marshal(m{"keys": c.keys})))
	}
	for _, k := range ecKeys() {
		f.Add(must(json.Marshal(m{"keys": []any{public(k.Public(), "k"), public(k, "private")}})))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, skipped, err := jwt.ParseKeys(body)
		if err != nil {
			if wantShortText(t, err); got != nil {
				t.Fatalf("got %v, %v; want keys or an error", got, err)
			}
			return
		}
		for _, which := range skipped {
			wantShortText(t, errors.New(which))
		}
		var set struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) > 100 || len(got)+len(skipped) != len(set.Keys) {
			t.Fatalf("%s: read as %d keys, %d skipped; encoding/json says %v, %d", body, len(got), len(skipped), err, len(set.Keys))
		}
		for _, k := range got {
			if !slices.ContainsFunc(set.Keys, func(raw json.RawMessage) bool { return sameKey(raw, k) }) {
				t.Errorf("%s: got key %q of type %T; want one of those", body, k.KeyID, k.Key)
			}
			for _, alg := range append(settings.Asymmetric(), "none", "HS256", "HS512", "RSA-OAEP", "ECDH-ES", "") {
				if k.Fits(alg) && !suits(k.Key, alg) {
					t.Errorf("%s: key %q of type %T fits %q", body, k.KeyID, k.Key, alg)
				}
			}
		}
	})
}

// sameKey reports whether a published key may be used as k, as go-jose reads
// its material.
func sameKey(raw json.RawMessage, k jwt.PublicKey) bool {
	var in m
	if json.Unmarshal(raw, &in) != nil || in["d"] != nil || in["k"] != nil {
		return false
	}
	if use, ok := in["use"].(string); ok && use != "" && !strings.EqualFold(use, "sig") {
		return false
	}
	if alg, ok := in["alg"].(string); ok && slices.Contains(settings.Asymmetric(), alg) && !k.Fits(alg) {
		return false
	}
	members := m{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if text, ok := in[name].(string); ok {
			members[name] = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
		}
	}
	var out jose.JSONWebKey
	return json.Unmarshal(must(json.Marshal(members)), &out) == nil && out.Valid() && out.IsPublic() && reflect.DeepEqual(out.Key, k.Key)
}

// suits reports whether an algorithm is one of a key's type.
// https://www.rfc-editor.org/rfc/rfc7518#section-3.1
func suits(key any, alg string) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(alg, "RS") && alg != "RSA-OAEP" || strings.HasPrefix(alg, "PS")) && key.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return alg != "" && alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Params().BitSize]
	case ed25519.PublicKey:
		return alg == "EdDSA" || alg == "Ed25519"
	}
	return false
}

// FuzzTokens verifies one token as each kind. No token is good as two kinds
// (https://www.rfc-editor.org/rfc/rfc8725#section-3.11). If it is good as one,
// its signature over exactly these bytes is by the published key, and the
// claims, as encoding/json reads them, follow the rules of that kind. seal is
// what the token is signed with: the published key, another one, or nothing.
func FuzzTokens(f *testing.F) {
	for _, k := range kinds {
		for _, c := range casesOf(k) {
			f.Add([]byte(c.header(k)), []byte(c.payload(k)), byte(0))
		}
	}
	both := m{"nonce": nonce, "events": m{logoutEvent: m{}}, "jti": "j", "scope": "read", "client_id": "c", "aud": []string{clientID, api}}
	for _, header := range []string{
		`{"alg":"none","typ":"at+jwt"}`, `{"alg":"HS256","kid":"ed"}`, `{"alg":"RS256","kid":"rsa","typ":"at+jwt"}`, `{"alg":"EdDSA","typ":"at+jwt"}`,
		`{"alg":"EdDSA","kid":"other"}`, `{"alg":"EdDSA","kid":"ed","typ":"application/at+jwt"}`, `{"alg":"EdDSA","crit":["x"]}`,
		`{"alg":"EdDSA","kid":"ed","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"EdDSA","alg":"EdDSA"}`, `[]`, ``,
	} {
		for _, payload := range []string{idToken.payload(nil), idToken.payload(both), logoutToken.payload(nil), accessToken.payload(nil)} {
			for seal := range byte(3) {
				f.Add([]byte(header), []byte(payload), seal)
			}
		}
	}
	// A number that no float64 can hold, in a claim that is not read.
	f.Add([]byte(logoutToken.header("")), []byte(strings.Replace(logoutToken.payload(nil), "{", `{"":7e66520,`, 1)), byte(0))
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	v := everyKey()
	f.Fuzz(func(t *testing.T, header, payload []byte, seal byte) {
		input := b64(string(header)) + "." + b64(string(payload))
		signature := payload
		switch seal {
		case 0:
			signature = ed25519.Sign(edKey(), []byte(input))
		case 1:
			signature = ed25519.Sign(stranger, []byte(input))
		}
		ctx, token := context.Background(), input+"."+b64(string(signature))
		id, idErr := v.IDToken(ctx, token, signedIn)
		logout, logoutErr := v.LogoutToken(ctx, token)
		access, accessErr := v.AccessToken(ctx, token, api)
		if (id != nil) != (idErr == nil) || (logout != nil) != (logoutErr == nil) || (access != nil) != (accessErr == nil) {
			t.Fatalf("%q.%q: got %v, %v, %v with errors %v, %v, %v", header, payload, id, logout, access, idErr, logoutErr, accessErr)
		}
		goodAs := 0
		for _, err := range []error{idErr, logoutErr, accessErr} {
			if err != nil {
				wantShortText(t, err)
			} else {
				goodAs++
			}
		}
		if goodAs > 1 {
			t.Errorf("%q.%q: good as %d kinds of tokens", header, payload, goodAs)
		}
		if goodAs == 0 {
			return
		}
		if !ed25519.Verify(edKey().Public().(ed25519.PublicKey), []byte(input), signature) {
			t.Errorf("%q.%q: accepted with signature %x", header, payload, signature)
		}
		a := accepted{header: m{}, claims: m{}}
		if exactly(header, &a.header) != nil || exactly(payload, &a.claims) != nil {
			t.Fatalf("%q.%q: accepted; encoding/json cannot read it", header, payload)
		}
		objections := a.common()
		switch {
		case id != nil:
			objections = append(objections, a.asIDToken(id)...)
		case logout != nil:
			objections = append(objections, a.asLogoutToken(logout)...)
		default:
			objections = append(objections, a.asAccessToken(access)...)
		}
		if len(objections) > 0 {
			t.Errorf("%q.%q: accepted with a wrong %s", header, payload, strings.Join(objections, ", "))
		}
	})
}

// accepted is a token that was accepted, as encoding/json reads it. Its methods
// return what is wrong with it.
type accepted struct{ header, claims m }

// wrong returns the names whose value is true.
func wrong(all map[string]bool) (names []string) {
	for name, is := range all {
		if is {
			names = append(names, name)
		}
	}
	return names
}

func (a accepted) text(name string) string { s, _ := a.claims[name].(string); return s }

func (a accepted) audience() []any {
	if list, isList := a.claims["aud"].([]any); isList {
		return list
	}
	return []any{a.claims["aud"]}
}

func (a accepted) typ() string {
	typ, _ := a.header["typ"].(string)
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

func (a accepted) common() []string {
	exp, expires := number(a.claims["exp"])
	iat, _ := number(a.claims["iat"])
	nbf, _ := number(a.claims["nbf"])
	ahead := float64(at(61 * time.Second))
	_, crit := a.header["crit"]
	alias := false // a name that a struct of an application would take for another
	for name := range a.claims {
		alias = alias || slices.ContainsFunc(exactNames, func(claim string) bool { return name != claim && strings.EqualFold(name, claim) })
	}
	return wrong(map[string]bool{
		"header": crit || a.header["alg"] != "EdDSA", "issuer": a.claims["iss"] != issuer, "name": alias,
		"time": expires && exp < float64(at(-time.Minute)) || iat >= ahead || nbf >= ahead,
	})
}

func (a accepted) asIDToken(got *jwt.IDToken) []string {
	_, expires := number(a.claims["exp"])
	iat, _ := number(a.claims["iat"])
	return wrong(map[string]bool{
		"audience": !slices.Contains(a.audience(), any(clientID)) || a.claims["azp"] != nil && a.text("azp") != clientID ||
			a.claims["azp"] == nil && slices.ContainsFunc(a.audience(), func(one any) bool { return one != clientID }),
		"nonce":   a.text("nonce") != nonce,
		"subject": got.Subject == "" || got.Subject != a.text("sub"), "time": !expires || iat < float64(at(-6*time.Minute)),
		"type": a.typ() == "at+jwt" || a.typ() == "logout+jwt",
	})
}

func (a accepted) asLogoutToken(got *jwt.LogoutToken) []string {
	events, _ := a.claims["events"].(m)
	_, isLogout := events[logoutEvent].(m)
	_, hasNonce := a.claims["nonce"]
	iat, _ := number(a.claims["iat"])
	return wrong(map[string]bool{
		"audience": !slices.Contains(a.audience(), any(clientID)), "event": !isLogout, "nonce": hasNonce,
		"time":    iat < float64(at(-2*time.Minute)) || (a.claims["exp"] == nil) != got.Expiry.IsZero(),
		"ID":      got.ID == "" || got.ID != a.text("jti") || len(got.ID) > 1024,
		"person":  got.Subject != a.text("sub") || a.text("sid") != "" && got.SessionID != a.text("sid") || got.Subject == "" && a.text("sid") == "",
		"session": a.claims["sid"] != nil && got.SessionID == "",
		"type":    a.typ() == "at+jwt",
	})
}

func (a accepted) asAccessToken(got *jwt.AccessToken) []string {
	audience, client, sub := a.audience(), cmp.Or(a.text("client_id"), a.text("azp")), a.text("sub")
	explicit := a.typ() == "at+jwt"
	_, expires := number(a.claims["exp"])
	_, dated := number(a.claims["iat"])
	_, nonce := a.claims["nonce"]
	_, hash := a.claims["at_hash"]
	_, events := a.claims["events"]
	evidence := a.claims["client_id"] != nil || a.claims["scope"] != nil || a.claims["scp"] != nil || a.claims["idtyp"] != nil
	scopes := must(json.Marshal([]any{a.claims["scope"], a.claims["scp"]}))
	return wrong(map[string]bool{
		"audience": !slices.Contains(audience, any(api)) || slices.Contains(audience, any(clientID)) && (!explicit || nonce || hash || events),
		"time":     !expires || explicit && !dated,
		"client":   client != got.ClientID || explicit && client == "",
		"mark": !explicit && (a.typ() != "" && a.typ() != "jwt" || nonce || hash || events || !evidence ||
			slices.Contains(audience, any(client))),
		"subject":      a.claims["cnf"] != nil || sub == "" || len(sub) > 255 || sub != got.Subject,
		"machine":      !got.Machine && slices.Contains([]string{client, a.text("azp"), a.text("cid")}, sub),
		"organization": a.text("organization_id") != got.Organization,
		"scope": slices.ContainsFunc(got.Scopes, func(scope string) bool {
			quoted := bytes.Trim(must(json.Marshal(scope)), `"`)
			return scope == "" || strings.Contains(scope, " ") || !bytes.Contains(scopes, quoted)
		}),
	})
}

// exactly decodes JSON without converting numbers to float64, since a claim
// that is not read may have a number that no float64 can hold.
func exactly(text []byte, object *m) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(object); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows")
	}
	return nil
}

// number returns a claim that is a number.
func number(claim any) (float64, bool) {
	n, ok := claim.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}
