package provider_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/provider"
)

// verification is a method of the client that verifies a token.
type verification struct {
	op   string
	good func(*fake) string
	bad  func(*fake) string // another client's, or API's
	call func(*provider.Client, string) error
}

func verifications(t *testing.T) []verification {
	ctx := context.Background()
	signed := func(claims m, typ string) string {
		return sign(t, "RS256", rsaKey(), "rsa", claims, m{"typ": typ})
	}
	return []verification{
		{"ID token", func(f *fake) string { return f.goodToken(t) }, func(f *fake) string { return signed(f.Claims(m{"aud": "other"}), "JWT") },
			func(c *provider.Client, token string) error {
				_, err := c.VerifyIDToken(ctx, token, signedIn)
				return err
			}},
		{"logout token", func(f *fake) string { return signed(f.LogoutClaims(nil), "logout+jwt") }, func(f *fake) string { return f.goodToken(t) },
			func(c *provider.Client, token string) error { _, err := c.VerifyLogoutToken(ctx, token); return err }},
		{"access token", func(f *fake) string { return f.accessToken(t) }, func(f *fake) string { return f.goodToken(t) },
			func(c *provider.Client, token string) error {
				_, err := c.VerifyAccessToken(ctx, token, api)
				return err
			}},
	}
}

// A token that breaks a rule is Rejected, and one that cannot be judged is not.
func TestVerify(t *testing.T) {
	t.Parallel()
	for _, v := range verifications(t) {
		t.Run(v.op, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			c := f.Client()
			wantKind(t, v.call(c, v.good(f)), 0)
			for name, token := range map[string]string{"another's": v.bad(f), "malformed": "opaque", "empty": ""} {
				if e := wantKind(t, v.call(c, token), provider.Rejected); e.Op != v.op || e.RetryAfter != 0 || e.UnknownKey() || e.Unmet() || e.Final(true) {
					t.Errorf("%s: got op %q, retry after %v, unknown key %t, unmet %t; want %s and no more", name, e.Op, e.RetryAfter, e.UnknownKey(), e.Unmet(), v.op)
				}
			}

			// By a key that was not published a moment ago, it is not called forged.
			f.Keys(public(otherRSAKey().Public(), "second"))
			forged := handmade(t, `{"alg":"RS256","kid":"unknown","typ":"`+map[string]string{"access token": "at+jwt"}[v.op]+`"}`, payload(t, v.good(f)))
			wantKind(t, v.call(c, forged), provider.Rejected)
			e := wantKind(t, v.call(c, forged), provider.Unavailable)
			if !e.UnknownKey() || e.Op != "keys" || e.RetryAfter != 30*time.Second {
				t.Errorf("got %v, unknown key %t, op %q, retry after %v; want an unknown key, and 30s", e, e.UnknownKey(), e.Op, e.RetryAfter)
			}
		})
	}
}

// payload returns that of a token.
func payload(t *testing.T, token string) string {
	t.Helper()
	return string(must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])))
}

// Without metadata or keys it is not known whether a token is good. It is again
// when they are to be had.
func TestVerify_WithoutMetadataOrKeys(t *testing.T) {
	t.Parallel()
	for _, v := range verifications(t) {
		for op, path := range map[string]string{"discovery": wellKnown, "keys": "/x7/keys"} {
			t.Run(v.op+" without "+op, func(t *testing.T) {
				t.Parallel()
				f := newFake(t)
				c := f.Client()
				up := f.answers[path]
				f.Says(path, 503, "")
				if e := wantKind(t, v.call(c, v.good(f)), provider.Unavailable); e.RetryAfter != time.Second || e.Op != op || e.Status != 503 || e.UnknownKey() {
					t.Errorf("got op %q, status %d, retry after %v, unknown key %t; want %s, 503, 1s", e.Op, e.Status, e.RetryAfter, e.UnknownKey(), op)
				}
				f.Answer(path, up)
				f.clock.Move(time.Second)
				wantKind(t, v.call(c, v.good(f)), 0)
			})
		}
	}
}

// Tokens that are no good by whomever they are signed cost no request.
func TestVerify_HopelessTokensCostNoRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Says(wellKnown, 503, "")
	for _, v := range verifications(t) {
		wantKind(t, v.call(f.Client(), "opaque"), provider.Rejected)
	}
	_, err := f.Client().VerifyAccessToken(context.Background(), f.goodToken(t), api)
	wantKind(t, err, provider.Rejected)
	for _, audience := range []string{"", clientID, jwt.OrganizationAudience} {
		_, err := f.Client().VerifyAccessToken(context.Background(), f.accessToken(t), audience)
		if e := wantKind(t, err, provider.Misconfigured); e.Op != "access token" {
			t.Errorf("got op %q; want the access token's", e.Op)
		}
	}
	if metadata, keys := f.Hits(wellKnown), f.Hits("/x7/keys"); metadata != 0 || keys != 0 {
		t.Errorf("got %d fetches of metadata and %d of keys; want none", metadata, keys)
	}
}

// An ID token that is good but for how the person has authenticated is told
// apart.
func TestVerify_Unmet(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, want := range []jwt.Expect{{Nonce: nonce, MaxAgeAsked: true}, {Nonce: nonce, ACR: []string{"mfa"}}} {
		_, err := f.Client().VerifyIDToken(context.Background(), f.goodToken(t), want)
		if e := wantKind(t, err, provider.Rejected); !e.Unmet() {
			t.Errorf("%+v: got %v; want an unmet demand", want, e)
		}
	}
}

func pinnedAlgorithms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		pinned []string
		listed any
		alg    string
		want   provider.Kind
	}{
		{"one of those configured", []string{"PS384"}, []string{"RS256"}, "PS384", 0},
		{"listed but not configured", []string{"PS384"}, []string{"RS256"}, "RS256", provider.Rejected},
		{"listed", nil, []string{"PS384"}, "PS384", 0},
		{"not listed", nil, []string{"PS384"}, "RS256", provider.Rejected},
		{"no list means RS256", nil, nil, "RS256", 0},
		{"no list means RS256 alone", nil, nil, "PS384", provider.Rejected},
		{"a list of what must not be used means RS256", nil, []string{"none", "HS256"}, "RS256", 0},
		{"only HMAC configured", []string{"HS256", "none"}, nil, "RS256", provider.Misconfigured},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Meta(m{"id_token_signing_alg_values_supported": c.listed})
			client := f.Client(pin(c.pinned...))
			_, err := verify(client, sign(t, c.alg, rsaKey(), "rsa", f.Claims(nil), nil))
			wantKind(t, err, c.want)
			access := sign(t, c.alg, rsaKey(), "rsa", f.Claims(m{"aud": api, "client_id": "spa", "nonce": nil}), m{"typ": "at+jwt"})
			_, err = client.VerifyAccessToken(context.Background(), access, api)
			wantKind(t, err, c.want)
		})
	}
}

func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	algs := []string{"RS256"}
	c := f.Client(func(cfg *provider.Config) { cfg.SigningAlgs = algs })
	algs[0] = "PS384"
	_, err := verify(c, f.goodToken(t))
	wantKind(t, err, 0)
}

// Nothing that a token points to is fetched.
func TestVerify_NothingIsFetchedForAToken(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	_, err := verify(f.Client(), sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{
		"_claim_names":   m{"groups": "src1"},
		"_claim_sources": m{"src1": m{"endpoint": f.URL + "/evil", "access_token": "x"}},
	}), nil))
	wantKind(t, err, 0)
	_, err = verify(f.Client(), sign(t, "RS256", otherRSAKey(), "", f.Claims(nil), m{"jku": f.URL + "/evil", "x5u": f.URL + "/evil"}))
	wantKind(t, err, provider.Rejected)
	if hits := f.Hits("/evil"); hits != 0 {
		t.Errorf("got %d requests to an address in a token; want none", hits)
	}
}

func badKeySets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   provider.Kind
	}{
		{"500", 500, "", provider.Unavailable},
		{"404", 404, "", provider.Misconfigured},
		{"a redirect", 302, "", provider.Misconfigured},
		{"HTML", 200, "<html>", provider.Unavailable},
		{"no keys member", 200, `{}`, provider.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Says("/x7/keys", c.status, c.body)
			raw := f.goodToken(t)
			client := f.Client()
			for range 10 {
				_, err := verify(client, raw)
				if e := wantKind(t, err, c.want); e.Op != "keys" || e.RetryAfter <= 0 {
					t.Fatalf("got op %q, retry after %v; want keys and a wait", e.Op, e.RetryAfter)
				}
			}
			if hits := f.Hits("/x7/keys"); hits != 1 {
				t.Errorf("got %d fetches; want 1", hits)
			}
		})
	}
}

// What the provider asks for after it was asked for keys is waited for.
func TestRetryAfterOfTheKeysIsKept(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Answer("/x7/keys", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(429)
	})
	_, err := verify(f.Client(), f.goodToken(t))
	if e := wantKind(t, err, provider.Unavailable); e.RetryAfter != 10*time.Second || e.Status != 429 {
		t.Errorf("got retry after %v, status %d; want 10s, 429", e.RetryAfter, e.Status)
	}
}

// Metadata that are fetched again, and say the same, do not cost the keys.
func TestKeysStayWithTheMetadata(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	_, err := c.Metadata(context.Background())
	wantKind(t, err, 0)
	for range 2 {
		f.clock.Move(30 * time.Minute)
		_, err := verify(c, f.goodToken(t))
		wantKind(t, err, 0)
	}
	if metadata, keys := f.Hits(wellKnown), f.Hits("/x7/keys"); metadata != 2 || keys != 1 {
		t.Errorf("got %d fetches of metadata and %d of keys; want 2 and 1", metadata, keys)
	}
}

// But algorithms that are no longer listed are no longer taken.
func TestAlgorithmsMoveWithTheMetadata(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	_, err := verify(c, f.goodToken(t))
	wantKind(t, err, 0)
	f.Meta(m{"id_token_signing_alg_values_supported": []string{"PS384"}})
	f.clock.Move(time.Hour)
	_, err = verify(c, f.goodToken(t))
	wantKind(t, err, provider.Rejected)
	_, err = verify(c, sign(t, "PS384", rsaKey(), "rsa", f.Claims(nil), nil))
	wantKind(t, err, 0)
}

func TestKeysMoveWithTheMetadata(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	_, err := verify(c, f.goodToken(t))
	wantKind(t, err, 0)
	f.Meta(m{"jwks_uri": f.URL + "/x8/keys"})
	f.Answer("/x8/keys", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(m{"keys": []any{public(otherRSAKey().Public(), "rsa")}})
	})
	f.clock.Move(time.Hour)
	_, err = verify(c, f.goodToken(t))
	wantKind(t, err, provider.Rejected)
	_, err = verify(c, sign(t, "RS256", otherRSAKey(), "rsa", f.Claims(nil), nil))
	wantKind(t, err, 0)
}
