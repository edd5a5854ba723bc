package faults

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

func failed(code, description string) func(url.Values) {
	return func(q url.Values) {
		q.Del("code")
		q.Set("error", code)
		q.Set("error_description", description)
	}
}

func denied(description string) func(url.Values) { return failed("access_denied", description) }

func with(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}

func without(name string) func(map[string]any) {
	return func(m map[string]any) { delete(m, name) }
}

func unlisted(name string) func(*Facts, map[string]any) {
	return func(_ *Facts, doc map[string]any) { delete(doc, name) }
}

func listed(name string, value any) func(*Facts, map[string]any) {
	return func(_ *Facts, doc map[string]any) { doc[name] = value }
}

// member gives one member of each published key another value.
func member(name string, value any) func(map[string]any) {
	return func(key map[string]any) { key[name] = value }
}

// padNumbers writes the numbers of each published key with base64's padding.
// https://www.rfc-editor.org/rfc/rfc7518#section-2
func padNumbers(key map[string]any) {
	for _, name := range []string{"n", "e", "x", "y"} {
		if number, ok := key[name].(string); ok {
			key[name] = number + strings.Repeat("=", (4-len(number)%4)%4)
		}
	}
}

func weakAlgorithms(f *Facts, doc map[string]any) {
	doc["id_token_signing_alg_values_supported"] = []string{"none", "HS256", f.Algorithm}
}

// otherProvider turns the document into that of another provider.
func otherProvider(f *Facts, doc map[string]any) {
	for name, value := range doc {
		if s, ok := value.(string); ok {
			doc[name] = strings.Replace(s, f.Issuer, foreignIssuer, 1)
		}
	}
}

// httpEndpoints turns https into http. The endpoints of a provider without https
// leave loopback, where http would be accepted.
func httpEndpoints(f *Facts, doc map[string]any) {
	base := "http://provider.example"
	if rest, ok := strings.CutPrefix(f.URL, "https://"); ok {
		base = "http://" + rest
	}
	for name, value := range doc {
		if s, ok := value.(string); ok && name != "issuer" {
			doc[name] = strings.Replace(s, f.URL, base, 1)
		}
	}
}

// manyKeys puts ten thousand Ed25519 keys, which are the shortest, in front.
func manyKeys(_ *Facts, set *jose.JSONWebKeySet) {
	keys := make([]jose.JSONWebKey, 0, 10_000+len(set.Keys))
	for i := range 10_000 {
		public := make(ed25519.PublicKey, ed25519.PublicKeySize)
		rand.Read(public)
		keys = append(keys, jose.JSONWebKey{Key: public, KeyID: strconv.Itoa(i)})
	}
	set.Keys = append(keys, set.Keys...)
}

func publishOther(f *Facts, set *jose.JSONWebKeySet) {
	set.Keys = append(set.Keys, f.Other().Public())
}

const unknownID = "of an unknown type"

func publishUnknown(f *Facts, set *jose.JSONWebKeySet) {
	key := f.Spare().Public()
	key.KeyID = unknownID
	set.Keys = append(set.Keys, key)
}

// unknownType changes the type of the key that publishUnknown adds.
func unknownType(key map[string]any) {
	if key["kid"] == unknownID {
		key["kty"] = "unknown"
	}
}

func publishForEncryption(f *Facts, set *jose.JSONWebKeySet) {
	key := f.Spare().Public()
	key.Use = "enc"
	set.Keys = append(set.Keys, key)
}
