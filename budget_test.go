//go:build !race

package signin_test

import (
	"strings"
	"testing"
)

// TestBudget holds what DESIGN promises of a guarded request: figures that do
// not depend on the machine. The ratio of times is held loosely, since machines
// are shared; benchmarks say more. Under the race detector sync.Pool forgets at
// random, so the figures would be others there.
func TestBudget(t *testing.T) {
	o := openSession(t, "")
	if n := len(o.tokens.IDToken); n < 890 || n > 910 {
		t.Fatalf("the ID token has %d bytes; want about 900, or the figures mean nothing", n)
	}
	if o.tokens.RefreshToken == "" || o.tokens.AccessToken == "" || strings.Contains(o.tokens.AccessToken, ".") {
		t.Fatal("want a refresh token and an opaque access token, or the figures mean nothing")
	}
	if o.cookies > 1200 {
		t.Errorf("cookie: got %d bytes; want at most 1,200", o.cookies)
	}
	jwt := jwtAccessToken()
	if len(jwt) != 870 {
		t.Fatalf("the JWT access token has %d bytes; want 870", len(jwt))
	}
	if got := openSession(t, jwt).cookies; got > 2000 {
		t.Errorf("cookie with a JWT access token: got %d bytes; want at most 2,000", got)
	}
	guarded := testing.Benchmark(func(b *testing.B) { serve(b, o.handler(t), o.request, o.cookies) })
	without := testing.Benchmark(func(b *testing.B) { serve(b, bare, o.request, 0) })
	if got := guarded.AllocsPerOp() - without.AllocsPerOp(); got > 12 {
		t.Errorf("allocations over the bare handler: got %d; want at most 12", got)
	}
	if got := guarded.AllocedBytesPerOp() - without.AllocedBytesPerOp(); got > 2560 {
		t.Errorf("bytes over the bare handler: got %d; want at most 2,560", got)
	}
	h, r, n := cookieStore(t, o.tokens)
	compared := testing.Benchmark(func(b *testing.B) { serve(b, h, r, n) })
	ratio := float64(compared.NsPerOp()) / float64(guarded.NsPerOp())
	t.Logf("%d allocations, %d bytes, cookie of %d bytes; %.1f times cheaper than CookieStore (%d bytes)",
		guarded.AllocsPerOp(), guarded.AllocedBytesPerOp(), o.cookies, ratio, n)
	if ratio < 5 {
		t.Errorf("got %.1f times cheaper than CookieStore; want at least 10 on an idle machine, and never under 5", ratio)
	}
}

// A bearer token on a cached key costs one signature check, and most of its
// allocations are go-jose's.
func TestBearerBudget(t *testing.T) {
	h, r := bearerRequest(t, "ES384")
	guarded := testing.Benchmark(func(b *testing.B) { serve(b, h, r, 0) })
	t.Logf("%d allocations, %d bytes", guarded.AllocsPerOp(), guarded.AllocedBytesPerOp())
	if got := guarded.AllocsPerOp(); got > 250 {
		t.Errorf("allocations: got %d; want at most 250", got)
	}
}
