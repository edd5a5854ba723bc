package signin_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// tokenResponse is what the provider's token endpoint has answered.
type tokenResponse struct {
	IDToken      string `json:"id_token"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
}

// tap is a transport that keeps the last token response. If accessToken is set, it
// replaces the one in the response.
type tap struct {
	base        http.RoundTripper
	accessToken string
	seen        tokenResponse
}

func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/token") {
		return resp, err
	}
	defer resp.Body.Close()
	var all map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return nil, err
	}
	if t.accessToken != "" {
		all["access_token"] = t.accessToken
	}
	body, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, json.Unmarshal(body, &t.seen)
}

const benchSubject = "k2v8s0q7z1xw"

// benchUser has an ID token of about 900 bytes, signed with ES384.
func benchUser() signintest.User {
	return signintest.User{
		Subject: benchSubject, Username: "alice", Name: "Alice Example", Email: "alice@example.com",
		Picture: "https://images.example.com/avatars/k2v8s0q7z1xw.png",
		Claims:  map[string]any{"zoneinfo": "Europe/Berlin", "locale": "de-DE", "website": "https://alice.example.com"},
	}
}

// opened is a session of this package, with a request that presents it.
type opened struct {
	auth    *signin.Auth
	request *http.Request
	tokens  tokenResponse
	cookies int // bytes of values
}

func openSession(t testing.TB, accessToken string) opened {
	t.Helper()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	cfg := p.Config(srv.URL)
	cfg.Scopes = []string{"email"}
	transport := &tap{base: http.DefaultTransport.(*http.Transport).Clone(), accessToken: accessToken}
	cfg.HTTPClient = &http.Client{Transport: transport}
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/sign-in", auth.SignIn())
	mux.Handle("/callback", auth.Callback())
	mux.Handle("/", auth.Load(bare))
	client := p.SignIn(t, nil, srv.URL, benchUser())
	o := opened{auth: auth, request: httptest.NewRequest(http.MethodGet, srv.URL+"/", nil), tokens: transport.seen}
	for _, c := range client.Jar.Cookies(o.request.URL) {
		o.request.AddCookie(c)
		o.cookies += len(c.Value)
	}
	return o
}

// handler returns a handler behind RequireAuth that reads the subject.
func (o opened) handler(t testing.TB) http.Handler {
	return o.auth.RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if u, ok := signin.UserFrom(r.Context()); !ok || u.Subject != benchSubject {
			t.Error("got no user, or another; want the user")
		}
	}))
}

// cookieStore is the baseline: the guard that tutorials show.
// It keeps the same data (tokens, times, and the verified claims) in gorilla's
// CookieStore with hash and block key, encoded with gob, and puts the claims into the
// request's context.
func cookieStore(t testing.TB, tokens tokenResponse) (http.Handler, *http.Request, int) {
	t.Helper()
	store := sessions.NewCookieStore([]byte(strings.Repeat("h", 32)), []byte(strings.Repeat("b", 32)))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	sess, err := store.New(r, "session")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tokens.IDToken, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil }) // gob has no null
	gob.Register(claims)
	for name, value := range map[string]any{
		"claims": claims, "id_token": tokens.IDToken, "access_token": tokens.AccessToken,
		"refresh_token": tokens.RefreshToken, "scope": tokens.Scope,
		"created": int64(1_700_000_000), "last_seen": int64(1_700_000_000), "expires_at": int64(1_700_003_600),
	} {
		sess.Values[name] = value
	}
	if err := store.Save(r, w, sess); err != nil {
		t.Fatal(err)
	}
	c := w.Result().Cookies()[0]
	r.AddCookie(c)
	type key struct{}
	guard := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Get would find the session that the last turn left in the context of the
			// benchmark's only request.
			sess, err := store.New(r, "session")
			claims, ok := sess.Values["claims"].(map[string]any)
			if err != nil || !ok {
				http.Error(w, "", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, claims)))
		})
	}
	return guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claims, _ := r.Context().Value(key{}).(map[string]any)
		if subject, _ := claims["sub"].(string); subject != benchSubject {
			t.Error("got no user, or another; want the user")
		}
	})), r, len(c.Value)
}

// discard is a ResponseWriter that keeps its header, and discards the body.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func serve(b *testing.B, h http.Handler, r *http.Request, cookies int) {
	w := &discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
	b.ReportMetric(float64(cookies), "cookie-bytes")
}

var bare http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// BenchmarkRequireAuth compares a guarded request with a bare handler, and with the
// same data in gorilla's CookieStore.
func BenchmarkRequireAuth(b *testing.B) {
	o := openSession(b, "")
	b.Run("bare", func(b *testing.B) { serve(b, bare, o.request, 0) })
	b.Run("signin", func(b *testing.B) { serve(b, o.handler(b), o.request, o.cookies) })
	b.Run("CookieStore", func(b *testing.B) {
		h, r, n := cookieStore(b, o.tokens)
		serve(b, h, r, n)
	})
	b.Run("signin-jwt-access-token", func(b *testing.B) {
		o := openSession(b, jwtAccessToken())
		serve(b, o.handler(b), o.request, o.cookies)
	})
}

// jwtAccessToken returns a token in the form of a JWT of 870 bytes.
func jwtAccessToken() string {
	part := func(n int) string { return base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xA5}, n)) }
	return part(66) + "." + part(489) + "." + part(96)
}

// bearerRequest returns a request with a token of about 870 bytes, and the guard that
// lets it in.
func bearerRequest(t testing.TB, algorithm string) (http.Handler, *http.Request) {
	t.Helper()
	p := signintest.NewProvider(signintest.WithAlgorithm(algorithm))
	t.Cleanup(p.Close)
	cfg := p.Config("http://localhost:8080")
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+p.AccessToken(benchSubject, "https://api.example.com", "read", "write"))
	return auth.RequireBearer("https://api.example.com", signin.HasScope("read"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if u, ok := signin.UserFrom(r.Context()); !ok || u.Subject != benchSubject {
			t.Error("got no user, or another; want the user")
		}
	})), r
}

// BenchmarkRequireBearer compares a session with a token, whose signature is checked
// each time.
func BenchmarkRequireBearer(b *testing.B) {
	for _, algorithm := range []string{"ES384", "RS256"} {
		h, r := bearerRequest(b, algorithm)
		b.Run(algorithm, func(b *testing.B) { serve(b, h, r, 0) })
	}
	o := openSession(b, "")
	b.Run("session", func(b *testing.B) { serve(b, o.handler(b), o.request, o.cookies) })
}

// budgets is for .ci/run: the race detector changes the figures, and a busy machine
// makes them meaningless.
var budgets = flag.Bool("budgets", false, "check the cost of a request against its budget")

// TestBudgets checks what a guarded request costs.
func TestBudgets(t *testing.T) {
	if !*budgets {
		t.Skip("needs -budgets, and an idle machine")
	}
	o := openSession(t, "")
	if n := len(o.tokens.IDToken); n < 890 || n > 910 || o.tokens.RefreshToken == "" || len(jwtAccessToken()) != 870 {
		t.Fatalf("got an ID token of %d bytes, a refresh token of %d and a JWT of %d; want about 900, more than 0, and 870",
			n, len(o.tokens.RefreshToken), len(jwtAccessToken()))
	}
	without := testing.Benchmark(func(b *testing.B) { serve(b, bare, o.request, 0) })
	guarded := testing.Benchmark(func(b *testing.B) { serve(b, o.handler(t), o.request, o.cookies) })
	h, r, n := cookieStore(t, o.tokens)
	compared := testing.Benchmark(func(b *testing.B) { serve(b, h, r, n) })
	h, r = bearerRequest(t, "ES384")
	bearer := testing.Benchmark(func(b *testing.B) { serve(b, h, r, 0) })
	for _, row := range []struct {
		what      string
		got, most int64
	}{
		{"allocations over the bare handler", guarded.AllocsPerOp() - without.AllocsPerOp(), 12},
		{"bytes over the bare handler", guarded.AllocedBytesPerOp() - without.AllocedBytesPerOp(), 2570}, // 2.5 KB, and pools that are filled again after a collection
		{"bytes of cookies", int64(o.cookies), 1200},
		{"bytes of cookies with a JWT access token", int64(openSession(t, jwtAccessToken()).cookies), 2000},
		{"thousandths of the time of CookieStore", 1000 * guarded.NsPerOp() / compared.NsPerOp(), 200}, // 100 on an idle machine
		{"allocations of RequireBearer, most of them go-jose's", bearer.AllocsPerOp(), 250},
	} {
		t.Logf("%s: %d", row.what, row.got)
		if row.got > row.most {
			t.Errorf("%s: got %d; want at most %d", row.what, row.got, row.most)
		}
	}
}
