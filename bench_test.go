package signin_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

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
	if n := len(o.tokens.IDToken); n < 870 || n > 900 || o.tokens.RefreshToken == "" || len(jwtAccessToken()) != 870 {
		t.Fatalf("got an ID token of %d bytes, a refresh token of %d and a JWT of %d; want about 885, more than 0, and 870",
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

// megabyte is what net/http lets through in all headers of a request, less what an
// ordinary request has.
const megabyte = 1<<20 - 8<<10

// query stands for a request's query among its headers.
const query = "?"

// hostile are values of headers: as large as net/http lets them through, and as large
// as this package reads them.
func hostile(name, base string) map[string][]string {
	repeated := func(s string, size int) string { return strings.Repeat(s, size/len(s)) }
	elements, bound := []string{"a,", "text/html;q=0,", "text/event-stream,", `"`, ";", " ", ",", "true,", "%25"}, 4<<10
	switch name {
	case "Cookie":
		elements, bound = []string{"a;", "a=b; ", "signin=x;", "signin.tx.1x=x;", "signin.tx.1x;", ";", " ", "=", "signin"}, 64<<10
	case "Authorization":
		elements, bound = []string{"Bearer ", "a.", "a", " ", "=", ","}, 32<<10
	}
	all := map[string][]string{}
	for _, e := range elements {
		all[e+" in a line of a megabyte"] = []string{repeated(e, megabyte)}
		all[e+" in lines"] = slices.Repeat([]string{e}, megabyte/(len(name)+len(e)+32)) // HTTP/2 counts 32 more
		all[e+" in what is read"] = []string{repeated(e, bound)}
		all[e+" 250 times"] = []string{strings.Repeat(e, 250)}
		all[e+" 63 times"] = []string{strings.Repeat(e, 63)}
	}
	switch name {
	case "Accept":
		parameters := ""
		for i := range 500 {
			parameters += fmt.Sprintf(";a%d=b", i)
		}
		all["HTML with 500 parameters"] = []string{"text/html" + parameters}
		all["HTML with 20 parameters"] = []string{"text/html" + parameters[:115]}
	case "Cookie":
		var planted strings.Builder
		for i := range 250 {
			fmt.Fprintf(&planted, "signin.tx.1%026d=%s;", i, strings.Repeat("A", 80))
		}
		all["250 transactions"] = []string{planted.String()}
		all["15 transactions of 4 KB"] = []string{strings.ReplaceAll(planted.String()[:15*119], "A", strings.Repeat("A", 50))}
		all["a session, and blanks"] = []string{"signin=x" + repeated(" ", 60<<10)}
		all["two of 30 KB"] = []string{"signin=." + repeated("A", 30<<10) + "; signin.2=" + repeated("A", 30<<10)}
		all["a session of 6 KB"] = []string{"signin=." + repeated("A", 3199) + "; signin.2=" + repeated("A", 3196)}
	case "Hx-Current-Url", "Referer":
		all["an address of 2 KB"] = []string{base + "/" + repeated("%25", 2<<10)}
		all["an address of 4 KB"] = []string{base + "?" + repeated("%2", 4<<10)}
	case query:
		for _, parameter := range []string{"return_to=%2Fa", "max_age=1", "acr_values=a+b", "state=a", "code=a", "target_link_uri=" + base} {
			all[parameter+" in 2 KB"] = []string{parameter + repeated("%25", 2<<10)}
			all[parameter+" in 16 KB"] = []string{parameter + repeated("+%25", 16<<10-64)}
			all[parameter+" 64 times"] = []string{repeated(parameter+"&", 64*len(parameter+"&"))}
		}
	case "Accept-Language":
		for _, tag := range []string{"zh,", "sr-Latn-RS-x-abcdefgh,", "de-u-co-phonebk-cu-eur-nu-latn-ca-buddhist-kn-true,"} {
			all[tag+" in what is read"] = []string{repeated(tag, min(bound, 63*len(tag)))}
		}
		all["a tag of 4 KB"] = []string{"en-u-" + repeated("co-phonebk-", bound-8)}
	case "Authorization":
		maps.Copy(all, hostileTokens())
	}
	return all
}

// hostileTokens are Authorization headers that look like tokens.
func hostileTokens() map[string][]string {
	all := map[string][]string{}
	b64 := base64.RawURLEncoding.EncodeToString
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%d":0,`, i)
		}
		return b.String()
	}
	const header = `{"alg":"ES384","typ":"at+jwt","kid":"x"}`
	for name, parts := range map[string][2]string{
		"a header of 60 members":         {`{"alg":"ES384",` + members(60) + `"typ":"at+jwt"}`, `{"iss":"x"}`},
		"a deep header":                  {strings.Repeat(`{"a":`, 700) + "0" + strings.Repeat("}", 700), `{}`},
		"a payload of 500 members":       {header, `{` + members(500) + `"iss":"x"}`},
		"a deep payload":                 {header, strings.Repeat("[", 11<<10) + strings.Repeat("]", 11<<10)},
		"an audience of 500":             {header, `{"iss":"x","aud":[` + strings.Repeat(`"",`, 500) + `""]}`},
		"a scope of 10,000":              {header, `{"iss":"x","scope":"` + strings.Repeat("a ", 10000) + `"}`},
		"a payload of escapes":           {header, `{"iss":"` + strings.Repeat(`\u0061`, 3500) + `"}`},
		"a number of 20,000 digits":      {header, `{"iss":"x","exp":` + strings.Repeat("1", 20000) + `}`},
		"a payload of names in capitals": {header, `{` + strings.ToUpper(strings.ReplaceAll(members(500), `":`, `a":`)) + `"iss":"x"}`},
		"500 members and escapes":        {header, `{` + members(500) + `"iss":"` + strings.Repeat(`\u0061`, 2800) + `"}`},
	} {
		token := b64([]byte(parts[0])) + "." + b64([]byte(parts[1])) + "."
		all[name] = []string{"Bearer " + token + b64(bytes.Repeat([]byte{1}, 96))}
		all[name+" and a long signature"] = []string{"Bearer " + token + strings.Repeat("A", max(0, 32<<10-len(token))/4*4)}
	}
	return all
}

// route is a handler, and an ordinary request to it.
type route struct {
	name    string
	handler http.Handler
	request *http.Request
	base    string // of the application
}

// routes returns the routes of an application, with requests as a browser or a program
// sends them.
func routes(t testing.TB) []route {
	o := openSession(t, "")
	base := strings.TrimSuffix(o.request.URL.String(), "/")
	es384, es384Request := bearerRequest(t, "ES384")
	browser := func(method, target string, session bool) *http.Request {
		r := httptest.NewRequest(method, target, nil)
		r.Header = http.Header{
			"Accept":     {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"},
			"Connection": {"keep-alive"}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
		}
		if session {
			r.Header["Cookie"] = o.request.Header["Cookie"]
		}
		return r
	}
	htmx := browser("GET", "/", false)
	htmx.Header.Set("Hx-Request", "true")
	htmx.Header.Set("Hx-Current-Url", base+"/account?tab=orders")
	form := browser("POST", "/", false)
	form.Header.Set("Referer", base+"/account?tab=orders")
	logout := httptest.NewRequest("POST", "/backchannel-logout", nil)
	logout.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rs256, rs256Request := bearerRequest(t, "RS256")
	return []route{
		{"Load", o.auth.Load(bare), browser("GET", "/", true), base},
		{"RequireAuth, signed in", o.auth.RequireAuth(bare), browser("GET", "/", true), base},
		{"RequireAuth, not signed in", o.auth.RequireAuth(bare), browser("GET", "/account", false), base},
		{"RequireAuth, htmx", o.auth.RequireAuth(bare), htmx, base},
		{"RequireAuth, a form", o.auth.RequireAuth(bare), form, base},
		{"RequireBearer, ES384", es384, es384Request, base},
		{"RequireBearer, RS256", rs256, rs256Request, base},
		{"RequireSessionOrBearer", o.auth.RequireSessionOrBearer("https://api.example.com")(bare), browser("GET", "/", true), base},
		{"sign-in", o.auth.SignIn(), browser("GET", "/sign-in?return_to=%2Faccount", false), base},
		{"callback", o.auth.Callback(), browser("GET", "/callback?state=1x&code=c", false), base},
		{"sign-out", o.auth.SignOut(), browser("POST", "/sign-out", true), base}, // the last one with this session
		{"back-channel logout", o.auth.BackChannelLogout(), logout, base},
	}
}

// readHeaders are the headers that decide anything, in canonical form.
var readHeaders = []string{
	"Accept", "Accept-Language", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Sec-Purpose", "Purpose", "X-Moz", "X-Requested-With",
	"Hx-Request", "Hx-Current-Url", "Referer", "Origin", "Connection", "Upgrade", "Content-Type", "Cookie", "Authorization", query,
}

// cost is the least time that a handler takes for a request: of several turns, so that
// a busy machine does not matter.
func cost(h http.Handler, r *http.Request) time.Duration {
	w := &discard{http.Header{}}
	least := time.Hour
	for n, turn := 1, 0; turn < 3; {
		start := time.Now()
		for range n {
			clear(w.h)
			h.ServeHTTP(w, r)
		}
		took := time.Since(start)
		if took < 50*time.Microsecond && n < 1<<12 {
			n *= 2
			continue
		}
		least = min(least, took/time.Duration(n))
		turn++
	}
	return least
}

// TestBudgets_HostileHeaders checks that no header costs ten times as much as an
// ordinary request does, without the bare handler: a usual request to the same route,
// or that of a person who is signed in.
func TestBudgets_HostileHeaders(t *testing.T) {
	if !*budgets {
		t.Skip("needs -budgets")
	}
	all := routes(t)
	signedIn := cost(all[0].handler, all[0].request)
	for _, route := range all {
		guard := func(r *http.Request) time.Duration { return cost(route.handler, r) - cost(bare, r) }
		// To refuse takes less than to let a person in.
		ordinary := max(signedIn, min(guard(route.request), guard(route.request), guard(route.request)))
		for _, name := range readHeaders {
			if name == "Authorization" && route.name == "RequireSessionOrBearer" {
				continue // with it, the request is one of RequireBearer
			}
			worst, which := 0.0, ""
			for what, lines := range hostile(name, route.base) {
				r := route.request.Clone(route.request.Context())
				if r.Header[name] = lines; name == query {
					r.URL.RawQuery = lines[0]
					r.RequestURI = r.URL.Path + "?" + lines[0]
				}
				ratio := float64(guard(r)) / float64(ordinary)
				for try := 0; ratio > 10 && try < 10; try++ { // another program may have had the processor
					ratio = min(ratio, float64(guard(r))/float64(ordinary))
				}
				if ratio > worst {
					worst, which = ratio, what
				}
			}
			t.Logf("%s: %s: %.1f times an ordinary request of %v (%s)", route.name, name, worst, ordinary, which)
			if worst > 10 {
				t.Errorf("%s: %s: got %.1f times the cost of an ordinary request, by %s; want at most 10", route.name, name, worst, which)
			}
		}
	}
}

// BenchmarkHostileHeaders sends headers over HTTP/1.1 and HTTP/2, to a guarded and to
// a bare handler: the difference is what the guard costs. HTTP/2 sends a line that is
// repeated in one byte.
func BenchmarkHostileHeaders(b *testing.B) {
	o := openSession(b, "")
	mux := http.NewServeMux()
	mux.Handle("/bare", bare)
	mux.Handle("/guarded", o.auth.RequireAuth(bare))
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		srv := httptest.NewUnstartedServer(mux)
		srv.EnableHTTP2 = version == "HTTP/2.0"
		srv.StartTLS()
		b.Cleanup(srv.Close)
		client := srv.Client()
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for _, row := range []struct {
			name, header string
			lines        []string
		}{
			{"ordinary", "Accept", []string{"text/html"}},
			{"Accept of a megabyte", "Accept", []string{strings.Repeat("text/html;q=0,", 1_000_000/14)}},
			{"270 lines of Accept", "Accept", slices.Repeat([]string{strings.Repeat("a,", 1850)}, 270)},
			{"Sec-Fetch-Dest of a megabyte", "Sec-Fetch-Dest", []string{strings.Repeat("a,", 500_000)}},
			{"20,000 cookies", "Cookie", []string{strings.Repeat("signin=x; ", 20_000)}}, // HTTP/2 sends each by itself
			{"Authorization of a megabyte", "Authorization", []string{"Bearer " + strings.Repeat("a", 1_000_000)}},
		} {
			for _, path := range []string{"/bare", "/guarded"} {
				b.Run(version+path+" "+row.name, func(b *testing.B) {
					r, err := http.NewRequest(http.MethodGet, srv.URL+path, nil)
					if err != nil {
						b.Fatal(err)
					}
					r.Header[row.header] = row.lines
					for b.Loop() {
						resp, err := client.Do(r)
						if err != nil {
							b.Fatal(err)
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
						if resp.Proto != version || resp.StatusCode == http.StatusRequestHeaderFieldsTooLarge {
							b.Fatalf("got %s, %s; want %s, and the handler's answer", resp.Proto, resp.Status, version)
						}
					}
				})
			}
		}
	}
}
