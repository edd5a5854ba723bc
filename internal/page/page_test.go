package page_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/page"
)

var codes = []string{
	"not_signed_in", "forbidden", "provider_unavailable", "provider_misconfigured", "provider_rejected", "declined",
	"bad_callback", "sign_in_expired", "cookies_blocked", "session_too_large", "store_unavailable", "shared_unavailable",
	"confirm_sign_out", "sign_out_incomplete", "method_not_allowed", "bad_request", "internal",
	"not_member", "mfa_required", "step_up_required", "step_up_failed", "invalid_token", "unknown_resource", "scope_missing",
}

func show(method string, p page.Page) *http.Response {
	w := httptest.NewRecorder()
	page.Write(w, httptest.NewRequest(method, "/x", nil), p)
	return w.Result()
}

func problem(method string, p page.Problem) *http.Response {
	w := httptest.NewRecorder()
	page.WriteProblem(w, httptest.NewRequest(method, "/x", nil), p)
	return w.Result()
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// checkHeader compares the whole header.
func checkHeader(t *testing.T, res *http.Response, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := res.Header.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s: got %q; want %q", name, got, value)
		}
	}
	for name, got := range res.Header {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: got %q; want none", name, got)
		}
	}
}

func TestCases(t *testing.T) {
	t.Parallel()
	t.Run("7.5 a page cannot be framed, cached or sniffed", func(t *testing.T) {
		t.Parallel()
		p := page.For("provider_unavailable")
		p.Status, p.RetryAfter, p.Actions[0].URL = http.StatusServiceUnavailable, 1500*time.Millisecond, "/sign-in"
		res := show("GET", p)
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("got status %d; want 503", res.StatusCode)
		}
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(read(t, res))
		if style == nil {
			t.Fatal("got no style element")
		}
		sum := sha256.Sum256([]byte(style[1]))
		checkHeader(t, res, map[string]string{
			"Content-Type":           "text/html; charset=utf-8",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "no-referrer",
			"Cache-Control":          "private, no-store",
			"Retry-After":            "2",
			"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
				"'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
		})
	})
	t.Run("7.5 a form may be followed to the provider and keeps its origin", func(t *testing.T) {
		t.Parallel()
		p := page.For("confirm_sign_out")
		p.Status, p.Actions[0].URL = http.StatusOK, "/sign-out"
		res := show("GET", p)
		if csp := res.Header.Get("Content-Security-Policy"); strings.Contains(csp, "form-action") || !strings.HasSuffix(csp, "; frame-ancestors 'none'") {
			t.Errorf("got Content-Security-Policy %q; want one without form-action", csp)
		}
		body := read(t, res)
		for _, want := range []string{
			`<form method="post" action="/sign-out"><button>Sign out</button></form>`,
			`<meta name="referrer" content="same-origin">`,
		} {
			if strings.Count(body, want) != 1 {
				t.Errorf("got\n%s\nwant %s in it once", body, want)
			}
		}
		if strings.Contains(body, "<a ") {
			t.Errorf("got a link beside the form:\n%s", body)
		}
	})
	t.Run("7.1 a refusal to a program is a problem document", testProblem)
	t.Run("7.1 no body for HEAD", func(t *testing.T) {
		t.Parallel()
		for name, res := range map[string]*http.Response{
			"page":    show("HEAD", page.Page{Status: 403}),
			"problem": problem("HEAD", page.Problem{Status: 403}),
		} {
			if body := read(t, res); res.StatusCode != 403 || body != "" || res.Header.Get("Content-Type") == "" {
				t.Errorf("%s: got %d, %q, %v; want 403 and headers alone", name, res.StatusCode, body, res.Header)
			}
		}
	})
	t.Run("2.7 nothing is shown raw", testEscaping)
}

func testProblem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		problem page.Problem
		status  int
		body    string
		header  map[string]string
	}{
		{"not signed in", page.Problem{Status: 401, Code: "not_signed_in", SignIn: "https://app/sign-in?a=<b>"}, 401,
			`{"title":"Unauthorized","status":401,"detail":"You are not signed in, or your session has ended: sign in, then try again.",` +
				`"code":"not_signed_in","sign_in_url":"https://app/sign-in?a=\u003cb\u003e"}`,
			map[string]string{"Www-Authenticate": `Cookie realm="sign-in"`}},
		{"a detail of its own", page.Problem{Status: 403, Code: "forbidden", Detail: "Accountants only."}, 403,
			`{"title":"Forbidden","status":403,"detail":"Accountants only.","code":"forbidden"}`, nil},
		{"come back later", page.Problem{Status: 503, Code: "store_unavailable", RetryAfter: time.Minute}, 503,
			`{"title":"Service Unavailable","status":503,"detail":"Something on our side is not answering: please try again in a moment.",` +
				`"code":"store_unavailable"}`,
			map[string]string{"Retry-After": "60"}},
		{"no status", page.Problem{Code: "internal", Detail: "x"}, 500,
			`{"title":"Internal Server Error","status":500,"detail":"x","code":"internal"}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res := problem("POST", tt.problem)
			body := read(t, res)
			if res.StatusCode != tt.status || body != tt.body+"\n" || !json.Valid([]byte(body)) {
				t.Errorf("got  %d %s\nwant %d %s", res.StatusCode, body, tt.status, tt.body)
			}
			want := map[string]string{
				"Content-Type":            "application/problem+json",
				"X-Content-Type-Options":  "nosniff",
				"Referrer-Policy":         "no-referrer",
				"Cache-Control":           "private, no-store",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			}
			for name, value := range tt.header {
				want[name] = value
			}
			checkHeader(t, res, want)
		})
	}
}

func testEscaping(t *testing.T) {
	t.Parallel()
	const attack = `"'></p></style><script>alert(1)</script>`
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		body := read(t, show("GET", page.Page{
			Title: attack, Text: attack, Actions: []page.Action{{Text: attack, URL: "javascript:alert(1)//" + attack, Method: method}},
		}))
		for _, raw := range []string{"<script", "javascript:", "alert(1)<", `"'>`} {
			if strings.Contains(body, raw) {
				t.Errorf("got %q in\n%s", raw, body)
			}
		}
	}
	if body := read(t, problem("GET", page.Problem{Code: attack, Detail: attack, SignIn: attack})); strings.Contains(body, "<") {
		t.Errorf("got markup in %s", body)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	t.Run("the way on is a link", func(t *testing.T) {
		t.Parallel()
		p := page.For("not_signed_in")
		p.Status, p.Actions[0].URL = http.StatusUnauthorized, "/sign-in?return_to=%2Fa&x=y"
		res := show("POST", p)
		body := read(t, res)
		for _, want := range []string{
			"<title>Please sign in</title>", "<h1>Please sign in</h1>",
			"<p>You are not signed in, or your session has ended: sign in, then try again.</p>",
			`<a href="/sign-in?return_to=%2Fa&amp;x=y">Sign in</a>`,
			`<html lang="en">`, `<meta name="viewport" content="width=device-width, initial-scale=1">`,
		} {
			if strings.Count(body, want) != 1 {
				t.Errorf("got\n%s\nwant %s in it once", body, want)
			}
		}
		for _, other := range []string{"<form", `name="referrer"`, "<script", "http:", "https:", "url(", "@import", " style="} {
			if strings.Contains(body, other) {
				t.Errorf("got %s in\n%s", other, body)
			}
		}
		if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != 401 || got != `Cookie realm="sign-in"` {
			t.Errorf("got %d, WWW-Authenticate %q; want 401 and a challenge", res.StatusCode, got)
		}
	})
	t.Run("several ways on, the main one first", func(t *testing.T) {
		t.Parallel()
		p := page.For("confirm_sign_out")
		p.Actions[0].URL = "/sign-out"
		p.Actions = append(p.Actions, page.Action{Text: "Stay", URL: "/home", Method: http.MethodGet}, page.Action{Text: "Nowhere"})
		const want = `<form method="post" action="/sign-out"><button>Sign out</button></form>
<a href="/home">Stay</a>
</main>`
		if body := read(t, show("GET", p)); !strings.Contains(body, want) {
			t.Errorf("got\n%s\nwant %s in it", body, want)
		}
	})
	t.Run("without an address there is no way on", func(t *testing.T) {
		t.Parallel()
		for _, code := range []string{"forbidden", "confirm_sign_out"} {
			res := show("GET", page.For(code))
			if csp := res.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; form-action 'none'") {
				t.Errorf("%s: got Content-Security-Policy %q; want form-action 'none'", code, csp)
			}
			if body := read(t, res); strings.Contains(body, "<a ") || strings.Contains(body, "<form") || strings.Contains(body, `name="referrer"`) {
				t.Errorf("%s: got a way on in\n%s", code, body)
			}
		}
	})
	t.Run("the zero Page says that something went wrong", func(t *testing.T) {
		t.Parallel()
		res := show("GET", page.Page{})
		if body := read(t, res); res.StatusCode != 500 || !strings.Contains(body, "<h1>Something went wrong</h1>") {
			t.Errorf("got %d\n%s\nwant 500 and a text", res.StatusCode, body)
		}
	})
	t.Run("what the caller set stays, but for what would be wrong", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		w.Header().Set("Content-Length", "7")
		w.Header().Set("Cache-Control", "public")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("HX-Redirect", "/sign-in")
		page.Write(w, httptest.NewRequest("GET", "/", nil), page.For("internal"))
		for name, want := range map[string]string{"Content-Length": "", "Cache-Control": "private, no-store", "Set-Cookie": "a=b", "HX-Redirect": "/sign-in"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: got %q; want %q", name, got, want)
			}
		}
	})
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, code := range codes {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			p := page.For(code)
			if p.Title == "" || p.Actions[0].Text == "" || p.Actions[0].URL != "" || p.Status < 200 {
				t.Errorf("got %+v; want a status, a title and a label, and the address left to the caller", p)
			}
			if !strings.HasSuffix(p.Text, ".") || strings.Count(p.Text, ".") != 1 {
				t.Errorf("got %q; want one sentence", p.Text)
			}
			if p.Actions[0].Method == http.MethodPost != (code == "confirm_sign_out") {
				t.Errorf("got %v; only confirm_sign_out acts", p.Actions[0].Method)
			}
			if code != "internal" && p.Title == page.For("internal").Title {
				t.Errorf("got %q, the text for unknown codes", p.Title)
			}
			for _, jargon := range []string{"token", "callback", "OAuth", "OpenID", "provider", "server", "state", "error"} {
				if strings.Contains(p.Title+p.Text, jargon) {
					t.Errorf("got %q, %q; want nothing about %q", p.Title, p.Text, jargon)
				}
			}
			p.Actions[0].URL = "/sign-in?return_to=" + strings.Repeat("x", 512)
			if n := len(read(t, show("GET", p))); n > 3<<10 {
				t.Errorf("got a page of %d bytes; want 3 KB at most", n)
			}
		})
	}
	got, want := page.For("never heard of"), page.For("internal")
	want.Status = 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("unknown code: got %+v; want %+v", got, want)
	}
	got.Actions[0].URL = "/x"
	if again := page.For("never heard of"); again.Actions[0].URL != "" {
		t.Errorf("got the URL %q of another page; want none", again.Actions[0].URL)
	}
}

// TestContrast computes what https://www.w3.org/TR/WCAG22/#contrast-minimum asks
// for, in light and in dark.
func TestContrast(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`:root\{[^}]*\}`).FindAllString(string(css), -1)
	if len(schemes) != 2 {
		t.Fatalf("got %d colour schemes; want a light and a dark one", len(schemes))
	}
	for _, scheme := range schemes {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--(\w+):#(\w+)`).FindAllStringSubmatch(scheme, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for _, tt := range []struct {
			front, back string
			least       float64
		}{
			{"text", "card", 7}, {"soft", "card", 4.5}, {"on", "key", 4.5},
			{"key", "card", 3}, // the focus ring
		} {
			a, b := colours[tt.front]+0.05, colours[tt.back]+0.05
			if got := max(a, b) / min(a, b); got < tt.least {
				t.Errorf("%s: got a contrast of %.2f for %s on %s; want %.1f", scheme, got, tt.front, tt.back, tt.least)
			}
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func Example() {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/account", nil)

	p := page.For("provider_unavailable")
	p.Status, p.RetryAfter, p.Actions[0].URL = http.StatusServiceUnavailable, 10*time.Second, "/sign-in"
	page.Write(w, r, p)
	fmt.Println(w.Code, w.Header().Get("Retry-After"), p.Title)
	// Output: 503 10 Signing in is not possible right now
}
