package provider_test

import (
	"context"
	"crypto/rsa"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// verification is a method of a client that verifies a token.
type verification struct {
	op, typ string
	claims  m // of a good token, instead of those of an ID token
	verify  func(*provider.Client, string) (verified bool, err error)
}

func (v verification) token(f *fake, key any, id string, changes m) string {
	return sign("RS256", key, id, changed(f.Claims(v.claims), changes), m{"typ": v.typ})
}

var verifications = []verification{
	{"ID token", "JWT", nil, func(c *provider.Client, raw string) (bool, error) {
		got, err := c.VerifyIDToken(context.Background(), raw, signedIn)
		return got != nil, err
	}},
	{"logout token", "logout+jwt", m{"nonce": nil, "jti": "j1", "events": m{logoutEvent: m{}}}, func(c *provider.Client, raw string) (bool, error) {
		got, err := c.VerifyLogoutToken(context.Background(), raw)
		return got != nil, err
	}},
	{"access token", "at+jwt", m{"aud": api, "client_id": "spa", "nonce": nil}, func(c *provider.Client, raw string) (bool, error) {
		got, err := c.VerifyAccessToken(context.Background(), raw, api)
		return got != nil, err
	}},
}

// A token that breaks a rule is Rejected. While the keys may not be fetched again, an
// access token signed with an unknown key is Unavailable instead, and the provider's
// own tokens wait for the next fetch.
func TestVerify_GoodAndBadTokens(t *testing.T) {
	t.Parallel()
	for _, v := range verifications {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			c := f.Client()
			want := func(raw string, kind provider.Kind) *provider.Error {
				t.Helper()
				verified, err := v.verify(c, raw)
				if verified != (kind == 0) {
					t.Errorf("got a token: %t, error %v", verified, err)
				}
				return wantKind(t, err, kind)
			}
			want(v.token(f, rsaKey(), "rsa", nil), 0)
			for _, raw := range []string{v.token(f, rsaKey(), "rsa", m{"aud": "other"}), "opaque", ""} {
				if e := want(raw, provider.Rejected); e.Op != v.op || e.RetryAfter != 0 || e.UnknownKey() || e.Final() || e.Denied() {
					t.Errorf("%s: got %+v; want only %s, and nothing else", raw, e, v.op)
				}
			}
			forged := v.token(f, otherRSAKey(), "unknown", nil)
			want(forged, provider.Rejected)
			wantWait := func(raw string, wait time.Duration) {
				t.Helper()
				began := time.Now()
				time.AfterFunc(wait*4/5, func() { f.Move(wait) })
				want(raw, provider.Rejected)
				synctest.Wait()
				if waited := time.Since(began); waited != wait {
					t.Errorf("got an answer after %v; want it after %v", waited, wait)
				}
			}
			known := v.token(f, otherRSAKey(), "rsa", nil) // but the signature fails
			if v.op == "ID token" {
				wantWait(known, 5*time.Second)
				wantWait(forged, 5*time.Second)
				return
			}
			wantWait(known, 0) // strangers may have sent it
			f.wantHits(t, keysPath, 2)
			if v.op == "logout token" {
				wantWait(forged, 5*time.Second)
				return
			}
			if e := want(forged, provider.Unavailable); !e.UnknownKey() || e.Op != "keys" || e.RetryAfter != 5*time.Second {
				t.Errorf("got %v, unknown key %t, op %q, retry after %v; want keys, an unknown one, 5s", e, e.UnknownKey(), e.Op, e.RetryAfter)
			}
		})
	}
}

// Some providers make keys on demand, and conformance suites do so for each module.
// The provider's own tokens wait until the keys may be fetched again.
func TestVerify_KeysChangeBeforeEachToken(t *testing.T) {
	t.Parallel()
	for _, v := range verifications[:2] {
		for _, pause := range []time.Duration{30 * time.Second, 2 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				c := f.Client(func(cfg *provider.Config) { cfg.Now = time.Now })
				key := [...]*rsa.PrivateKey{rsaKey(), otherRSAKey()}
				for i := range 10 {
					id := fmt.Sprint("key ", i)
					f.Keys(public(key[i%2].Public(), id))
					began := time.Now()
					token := v.token(f, key[i%2], id, m{"iat": began.Unix(), "exp": began.Add(time.Minute).Unix()})
					verified, err := v.verify(c, token)
					if waited := time.Since(began); !verified || waited > 5*time.Second {
						t.Fatalf("%s %d after %v: got a token: %t after %v, error %v; want it within 5s", v.op, i, pause, verified, waited, err)
					}
					time.Sleep(pause)
				}
			})
		}
	}
}

// Anyone can send logout tokens signed with unknown keys. At most 1,000 of them wait.
func TestVerify_ManyLogoutTokensByUnknownKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, v := newFake(), verifications[1]
		c := f.Client()
		_, err := v.verify(c, v.token(f, rsaKey(), "rsa", nil))
		wantKind(t, err, 0)
		forged := v.token(f, otherRSAKey(), "unknown", nil)
		_, err = v.verify(c, forged) // has fetched the keys
		wantKind(t, err, provider.Rejected)
		var answered atomic.Int32
		for range 1100 {
			go func() {
				_, err := v.verify(c, forged)
				wantKind(t, err, provider.Unavailable)
				answered.Add(1)
			}()
		}
		synctest.Wait()
		if n := answered.Load(); n != 100 {
			t.Errorf("got %d of 1,100 answered at once; want 1,000 to wait", n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := answered.Load(); n != 1100 {
			t.Errorf("got %d of 1,100 answered; want all, after five seconds", n)
		}
	})
}

// Without metadata or keys it is not known whether a token is good, and the
// provider's Retry-After is passed on.
func TestVerify_WithoutMetadataOrKeys(t *testing.T) {
	t.Parallel()
	for _, v := range verifications {
		for op, path := range map[string]string{"discovery": wellKnown, "keys": keysPath} {
			t.Run(v.op+" without "+op, func(t *testing.T) {
				t.Parallel()
				f := newFake()
				c, raw := f.Client(), v.token(f, rsaKey(), "rsa", nil)
				f.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", "10")
					w.WriteHeader(503)
				})
				_, err := v.verify(c, raw)
				if e := wantKind(t, err, provider.Unavailable); e.RetryAfter != 10*time.Second || e.Op != op || e.Status != 503 || e.UnknownKey() {
					t.Errorf("got op %q, status %d, retry after %v, unknown key %t; want %s, 503, 10s", e.Op, e.Status, e.RetryAfter, e.UnknownKey(), op)
				}
				f.Answer(path, nil)
				f.Move(10 * time.Second)
				_, err = v.verify(c, raw)
				wantKind(t, err, 0)
			})
		}
	}
}

func TestVerify_AudienceThatIsNotAnAPI(t *testing.T) {
	t.Parallel()
	_, err := newFake().Client().VerifyAccessToken(context.Background(), "opaque", "")
	if e := wantKind(t, err, provider.Misconfigured); e.Op != "access token" {
		t.Errorf("got op %q; want access token", e.Op)
	}
}

func TestVerify_PinnedAlgorithms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		pinned []string
		listed any
		alg    string
		want   provider.Kind
	}{
		{"configured", []string{"PS384"}, []string{"RS256"}, "PS384", 0},
		{"listed but not configured", []string{"PS384"}, []string{"RS256"}, "RS256", provider.Rejected},
		{"listed", nil, []string{"PS384"}, "PS384", 0},
		{"not listed", nil, []string{"PS384"}, "RS256", provider.Rejected},
		{"listed as text", nil, "PS384", "PS384", 0},
		{"not in the text", nil, "PS384", "RS256", provider.Rejected},
		{"RS256 without a list", nil, nil, "RS256", 0},
		{"PS384 without a list", nil, nil, "PS384", provider.Rejected},
		{"a list without a usable one means RS256", nil, []string{"none", "HS256"}, "RS256", 0},
		{"only HMAC configured", []string{"HS256", "none"}, nil, "RS256", provider.Misconfigured},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.Meta(m{"id_token_signing_alg_values_supported": c.listed})
			client := f.Client(func(cfg *provider.Config) { cfg.SigningAlgs = c.pinned })
			if len(c.pinned) > 0 {
				c.pinned[0] = "changed" // New has copied it
			}
			for _, v := range verifications {
				_, err := v.verify(client, sign(c.alg, rsaKey(), "rsa", f.Claims(v.claims), m{"typ": v.typ}))
				wantKind(t, err, c.want)
			}
		})
	}
}

// The addresses in a token are not fetched.
func TestVerify_AddressesInTokens(t *testing.T) {
	t.Parallel()
	f := newFake()
	wantKind(t, verify(f.Client(), sign("RS256", rsaKey(), "rsa", f.Claims(m{
		"_claim_names":   m{"groups": "src1"},
		"_claim_sources": m{"src1": m{"endpoint": issuer + "/evil", "access_token": "x"}},
	}), nil)), 0)
	forged := sign("RS256", otherRSAKey(), "", f.Claims(nil), m{"jku": issuer + "/evil", "x5u": issuer + "/evil"})
	wantKind(t, verify(f.Client(), forged), provider.Rejected)
	f.wantHits(t, "/evil", 0)
}
