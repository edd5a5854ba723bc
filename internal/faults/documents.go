package faults

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

func denied(description string) func(url.Values) {
	return func(q url.Values) {
		q.Del("code")
		q.Set("error", "access_denied")
		q.Set("error_description", description)
	}
}

func with(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}

func without(name string) func(map[string]any) {
	return func(m map[string]any) { delete(m, name) }
}

func unlisted(name string) func(*Facts, map[string]any) {
	return func(_ *Facts, doc map[string]any) { delete(doc, name) }
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

func publishForEncryption(f *Facts, set *jose.JSONWebKeySet) {
	key := f.Spare().Public()
	key.Use = "enc"
	set.Keys = append(set.Keys, key)
}
