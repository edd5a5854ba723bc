package page_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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
	"cookie_conflict", "sign_out_local_only", "not_member", "mfa_required", "step_up_required", "step_up_failed", "invalid_token", "unknown_resource", "scope_missing",
}

// checkHeaders compares the whole header.
func checkHeaders(t *testing.T, got http.Header, want map[string]string) {
	t.Helper()
	all := http.Header{}
	for name, value := range want {
		all.Set(name, value)
	}
	if !reflect.DeepEqual(got, all) {
		t.Errorf("got headers %v\nwant %v", got, all)
	}
}

func show(method string, p page.Page) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	page.Write(w, httptest.NewRequest(method, "/x", nil), p)
	return w
}

func problem(method string, p page.Problem) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	page.WriteProblem(w, httptest.NewRequest(method, "/x", nil), p)
	return w
}

// checkBody checks that some texts are in a body exactly once, and others not at all.
func checkBody(t *testing.T, w *httptest.ResponseRecorder, once, never []string) {
	t.Helper()
	body := w.Body.String()
	for _, want := range once {
		if strings.Count(body, want) != 1 {
			t.Errorf("got\n%s\nwant %s in it once", body, want)
		}
	}
	for _, other := range never {
		if strings.Contains(body, other) {
			t.Errorf("got %s in\n%s", other, body)
		}
	}
}

func TestCases(t *testing.T) {
	t.Parallel()
	t.Run("7.5 a page cannot be framed, cached or sniffed", func(t *testing.T) {
		t.Parallel()
		p := page.For("provider_unavailable")
		p.RetryAfter, p.Actions[0].URL = 1500*time.Millisecond, "/sign-in"
		w := show("GET", p)
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("got status %d; want 503", w.Code)
		}
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(w.Body.String())
		if style == nil {
			t.Fatal("got no style element")
		}
		sum := sha256.Sum256([]byte(style[1]))
		checkHeaders(t, w.Header(), map[string]string{
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
		p.Actions[0].URL = "/sign-out"
		p.Actions = append(p.Actions, page.Action{Text: "Stay", URL: "/home", Method: "GET"}, page.Action{Text: "Nowhere"})
		w := show("GET", p)
		csp := w.Header().Get("Content-Security-Policy")
		if strings.Contains(csp, "form-action") || !strings.HasSuffix(csp, "; frame-ancestors 'none'") {
			t.Errorf("got Content-Security-Policy %q; want one without form-action", csp)
		}
		const actions = `<form method="post" action="/sign-out"><button>Sign out</button></form>
<a href="/home">Stay</a>
</main>`
		checkBody(t, w, []string{actions, `<meta name="referrer" content="same-origin">`}, []string{"Nowhere"})
	})
	t.Run("7.1 a refusal to a program is a problem document", testProblem)
	t.Run("7.1 no body for HEAD", func(t *testing.T) {
		t.Parallel()
		for name, w := range map[string]*httptest.ResponseRecorder{
			"page":    show("HEAD", page.Page{Status: 403}),
			"problem": problem("HEAD", page.Problem{Status: 403}),
		} {
			if w.Code != 403 || w.Body.Len() != 0 || w.Header().Get("Content-Type") == "" {
				t.Errorf("%s: got %d, %q, %v; want 403 and headers alone", name, w.Code, w.Body, w.Header())
			}
		}
	})
	t.Run("2.7 nothing is shown raw", func(t *testing.T) {
		t.Parallel()
		const attack = `"'></p></style><script>alert(1)</script>`
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			action := page.Action{Text: attack, URL: "javascript:alert(1)//" + attack, Method: method}
			w := show("GET", page.Page{Title: attack, Text: attack, Actions: []page.Action{action}})
			checkBody(t, w, nil, []string{"<script", "javascript:", "alert(1)<", `"'>`})
		}
		checkBody(t, problem("GET", page.Problem{Code: attack, Detail: attack, SignIn: attack}), nil, []string{"<"})
	})
}

func testProblem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		problem page.Problem
		status  int
		body    string
		header  [2]string // one more
	}{
		{"not signed in", page.Problem{Status: 401, Code: "not_signed_in", SignIn: "https://app/sign-in?a=<b>"}, 401,
			`{"title":"Unauthorized","status":401,"detail":"` + page.For("not_signed_in").Text +
				`","code":"not_signed_in","sign_in_url":"https://app/sign-in?a=\u003cb\u003e"}`,
			[2]string{"WWW-Authenticate", `Cookie realm="sign-in"`}},
		{"come back later", page.Problem{Status: 503, Code: "x", Detail: "Closed.", RetryAfter: time.Minute}, 503,
			`{"title":"Service Unavailable","status":503,"detail":"Closed.","code":"x"}`,
			[2]string{"Retry-After", "60"}},
		{"no status", page.Problem{Code: "internal", Detail: "x"}, 500,
			`{"title":"Internal Server Error","status":500,"detail":"x","code":"internal"}`,
			[2]string{"Referrer-Policy", "no-referrer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := problem("POST", tt.problem)
			if body := w.Body.String(); w.Code != tt.status || body != tt.body+"\n" || !json.Valid([]byte(body)) {
				t.Errorf("got  %d %s\nwant %d %s", w.Code, body, tt.status, tt.body)
			}
			checkHeaders(t, w.Header(), map[string]string{
				"Content-Type":            "application/problem+json",
				"X-Content-Type-Options":  "nosniff",
				"Referrer-Policy":         "no-referrer",
				"Cache-Control":           "private, no-store",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
				tt.header[0]:              tt.header[1],
			})
		})
	}
}

func TestWrite_Link(t *testing.T) {
	t.Parallel()
	p := page.For("not_signed_in")
	p.Actions[0].URL = "/sign-in?return_to=%2Fa&x=y"
	w := show("POST", p)
	checkBody(t, w, []string{
		"<title>Please sign in</title>", "<h1>Please sign in</h1>", "<p>" + p.Text + "</p>",
		`<a href="/sign-in?return_to=%2Fa&amp;x=y">Sign in</a>`,
		`<html lang="en">`, `<meta name="viewport" content="width=device-width, initial-scale=1">`,
	}, []string{"<form", `name="referrer"`, "<script", "http:", "https:", "url(", "@import", " style="})
	if got := w.Header().Get("WWW-Authenticate"); w.Code != 401 || got != `Cookie realm="sign-in"` {
		t.Errorf("got %d, WWW-Authenticate %q; want 401 and a challenge", w.Code, got)
	}
}

func TestWrite_ActionsWithoutURL(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"forbidden", "confirm_sign_out"} {
		w := show("GET", page.For(code))
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; form-action 'none'") {
			t.Errorf("%s: got Content-Security-Policy %q; want form-action 'none'", code, csp)
		}
		checkBody(t, w, nil, []string{"<a ", "<form", `name="referrer"`})
	}
}

func TestWrite_ZeroPage(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	w.Header().Set("Content-Length", "7") // of another body
	w.Header().Set("Cache-Control", "public")
	w.Header().Set("Set-Cookie", "a=b")
	page.Write(w, httptest.NewRequest("GET", "/", nil), page.Page{})
	checkBody(t, w, []string{"<h1>Something went wrong</h1>"}, nil)
	h := w.Header()
	if w.Code != 500 || h.Get("Content-Length") != "" || h.Get("Set-Cookie") != "a=b" ||
		h.Get("Cache-Control") != "private, no-store" {
		t.Errorf("got %d, headers %v; want 500, the caller's cookie, and no caching", w.Code, h)
	}
}

// An application may have set a challenge itself: one for bearer tokens, say.
func TestPrepare_ChallengeAlreadySet(t *testing.T) {
	t.Parallel()
	h := http.Header{"Www-Authenticate": {`Bearer realm="api"`}}
	page.Prepare(h, http.StatusUnauthorized, 0)
	checkHeaders(t, h, map[string]string{"WWW-Authenticate": `Bearer realm="api"`})
}

func TestProtect(t *testing.T) {
	t.Parallel()
	h := http.Header{"Content-Security-Policy": {"default-src *"}}
	page.Protect(h)
	checkHeaders(t, h, map[string]string{
		"Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "same-origin",
		"X-Content-Type-Options": "nosniff",
	})
}

func TestFor(t *testing.T) {
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
			if p.Actions[0].Method == http.MethodPost != (code == "confirm_sign_out" || code == "sign_out_local_only") {
				t.Errorf("got %v; want POST only to sign out", p.Actions[0].Method)
			}
			if code != "internal" && p.Title == page.For("internal").Title {
				t.Errorf("got %q, the text for unknown codes", p.Title)
			}
			for _, jargon := range []string{"token", "callback", "OAuth", "OpenID", "provider", "server", "state", "error"} {
				if strings.Contains(p.Title+p.Text, jargon) {
					t.Errorf("got %q, %q; want nothing about %q", p.Title, p.Text, jargon)
				}
			}
		})
	}
	got, want := page.For("unknown"), page.For("internal")
	want.Status = 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("unknown code: got %+v; want %+v", got, want)
	}
	got.Actions[0].URL = "/x"
	if again := page.For("unknown"); again.Actions[0].URL != "" {
		t.Errorf("got the URL %q that another caller set; want none", again.Actions[0].URL)
	}
}

// The contrast of texts is what https://www.w3.org/TR/WCAG22/#contrast-minimum
// asks for, in light and in dark.
func TestStyle_Contrast(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("page.css")
	schemes := regexp.MustCompile(`:root\{[^}]*\}`).FindAllString(string(css), -1)
	if err != nil || len(schemes) != 2 {
		t.Fatalf("got %v, %d colour schemes; want a light and a dark one", err, len(schemes))
	}
	for _, scheme := range schemes {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--(\w+):#(\w+)`).FindAllStringSubmatch(scheme, -1) {
			colours[m[1]] = luminance(t, m[2]) + 0.05
		}
		for pair, least := range map[[2]string]float64{
			{"text", "card"}: 7, {"soft", "card"}: 4.5, {"on", "key"}: 4.5, {"key", "card"}: 3, // the focus ring
		} {
			a, b := colours[pair[0]], colours[pair[1]]
			if got := max(a, b) / min(a, b); got < least {
				t.Errorf("%s: got a contrast of %.2f for %q; want %.1f", scheme, got, pair, least)
			}
		}
	}
}

func luminance(t *testing.T, hex string) (sum float64) {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		if c := float64(n) / 255; c <= 0.04045 {
			sum += weight * c / 12.92
		} else {
			sum += weight * math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return sum
}
