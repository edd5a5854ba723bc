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
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/page"
)

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
		p := page.For(page.English, "provider_unavailable")
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
			"Vary":                   "Accept-Language",
			"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
				"'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
		})
	})
	t.Run("7.5 a form may be followed to the provider and keeps its origin", func(t *testing.T) {
		t.Parallel()
		p := page.For(page.English, "confirm_sign_out")
		p.Actions[0].URL, p.Actions[1].URL = "/sign-out", "/home"
		p.Actions = append(p.Actions, page.Action{Text: "Nowhere"})
		w := show("GET", p)
		csp := w.Header().Get("Content-Security-Policy")
		if strings.Contains(csp, "form-action") || !strings.HasSuffix(csp, "; frame-ancestors 'none'") {
			t.Errorf("got Content-Security-Policy %q; want one without form-action", csp)
		}
		const actions = `<form method="post" action="/sign-out"><button>Sign out</button></form>
<a href="/home">Stay signed in</a>
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
			home := page.Home{Name: attack, URL: "javascript:alert(1)//" + attack}
			w := show("GET", page.Page{Title: attack, Text: attack, Actions: []page.Action{action}, Home: home, Language: attack})
			checkBody(t, w, []string{`<html lang="en">`}, nil)
			checkBody(t, w, nil, []string{"<script", "javascript:", "alert(1)<", `"'>`})
		}
		role := show("GET", page.For(page.Thai, page.MissingRole, attack))
		checkBody(t, role, []string{`<html lang="th">`, "&lt;script&gt;alert(1)&lt;/script&gt;"}, []string{"<script", `"'>`})
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
			`{"title":"Unauthorized","status":401,"detail":"` + page.For(page.English, "not_signed_in").Text +
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
	p := page.For(page.English, "not_signed_in")
	p.Actions[0].URL = "/sign-in?return_to=%2Fa&x=y"
	p.Home = page.Home{Name: "app.example.com", URL: "/?a&b"}
	w := show("POST", p.NotSaved())
	checkBody(t, w, []string{
		"<title>Please sign in · app.example.com</title>", `<header><a href="/?a&amp;b" rel="home" dir="ltr">app.example.com</a></header>`, "<h1>Please sign in</h1>", "<p>" + p.Text + " What you have just sent was not saved.</p>",
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
		w := show("GET", page.For(page.English, code))
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
	w.Header().Set("Vary", "Cookie")
	page.Write(w, httptest.NewRequest("GET", "/", nil), page.Page{Home: page.Home{Name: "app.example.com"}})
	checkBody(t, w, []string{"<h1>Something went wrong</h1>", `<html lang="en">`}, []string{"<header>"})
	h := w.Header()
	if w.Code != 500 || h.Get("Content-Length") != "" || h.Get("Set-Cookie") != "a=b" ||
		h.Get("Cache-Control") != "private, no-store" || !slices.Equal(h["Vary"], []string{"Cookie", "Accept-Language"}) {
		t.Errorf("got %d, headers %v; want 500, the caller's cookie and Vary, and no caching", w.Code, h)
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
	page.Protect(h) // nothing is said twice
	checkHeaders(t, h, map[string]string{
		"Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "same-origin",
		"X-Content-Type-Options": "nosniff", "Vary": "Accept-Language",
	})
}

// Each language says everything that the others say, and nothing in English.
func TestLanguages(t *testing.T) {
	t.Parallel()
	_, labels := page.Written(page.English)
	for _, in := range page.Languages {
		t.Run(string(in), func(t *testing.T) {
			t.Parallel()
			if has, also := page.Written(in); !slices.Equal(has, page.Keys()) || !slices.Equal(also, labels) {
				t.Errorf("got texts for %q and labels %q\nwant %q and %q", has, also, page.Keys(), labels)
			}
			for _, key := range page.Keys() {
				p := page.For(in, key)
				values := map[string]int{page.MissingRole: 1, page.OtherAddress: 1, page.CookiesOf: 1}[key]
				if n := strings.Count(p.Text, "%"); n != values || strings.Count(p.Text, "%s") != n || strings.Contains(p.Title, "%") {
					t.Errorf("%s: got %q, %q; want %d values in the text", key, p.Title, p.Text, values)
				}
				checkTexts(t, in, p.Title, p.Text)
				for _, a := range p.Actions {
					checkTexts(t, in, a.Text, p.NotSaved().Text)
				}
				if key != "internal" && p.Title == page.For(in, "internal").Title {
					t.Errorf("%s: got %q, the title for unknown codes", key, p.Title)
				}
				// What does not pass by itself is not worth a second try in a moment.
				if p.Status != http.StatusServiceUnavailable && later.MatchString(p.Text) {
					t.Errorf("%s: got %q with %d; want no hope", key, p.Text, p.Status)
				}
			}
		})
	}
}

var (
	later  = regexp.MustCompile(`moment|잠시|สักครู่`)
	jargon = regexp.MustCompile(`\b(ID|scope|token|callback|session|OAuth|OpenID|provider|server|state|error)\b|토큰|세션|서버|오류|콜백|โทเค็น|เซสชัน|เซิร์ฟเวอร์`)
	// languageStyle is how a title or label, and a text, is written.
	languageStyle = map[page.Language][2]*regexp.Regexp{
		page.English: {regexp.MustCompile(`^[A-Z][a-z' -]+\??$`), regexp.MustCompile(`^([A-Z][^.%]+(\.|…)( |$))+$`)},
		page.Korean:  {regexp.MustCompile(`^[\p{Hangul}\d ]+\??$`), regexp.MustCompile(`^([\p{Hangul}\d ,‘’…]+요(\.|: …)( |$))+$`)},
		page.Thai:    {regexp.MustCompile(`^[\p{Thai} ]+$`), regexp.MustCompile(`^[\p{Thai} “”…]+$`)},
	}
)

func checkTexts(t *testing.T, in page.Language, title, text string) {
	t.Helper()
	style := languageStyle[in]
	text = strings.Replace(text, "%s", "…", 1)
	if !style[0].MatchString(title) || !style[1].MatchString(text) || jargon.MatchString(title+" "+text) {
		t.Errorf("got %q, %q; want them in the language and style of %q, without jargon", title, text, in)
	}
}

func TestFor(t *testing.T) {
	t.Parallel()
	for _, key := range page.Keys() {
		p := page.For(page.Korean, key)
		if !slices.ContainsFunc(p.Actions, func(a page.Action) bool { return a.Way == page.ToStart || a.Way == page.ToOutside }) {
			t.Errorf("%s: got %+v; want a way home", key, p.Actions)
		}
		for i, a := range p.Actions {
			question := key == "confirm_sign_out" || strings.HasPrefix(key, "sign_out_")
			post := a.Method == http.MethodPost
			if post != (question && i == 0) || post != (a.Way == page.ToSignOut) || a.URL != "" {
				t.Errorf("%s: got %+v; want POST only to sign out, and the address left to the caller", key, a)
			}
		}
	}
	for _, row := range []struct {
		name, got, want string
	}{
		{"a role", page.For(page.English, page.MissingRole, "admin").Text,
			"You are signed in, but this page is only for accounts with the role “admin”. If you need this role, ask the people who run this site."},
		{"a host", page.For(page.Korean, page.CookiesOf, "a.example.com").Text,
			"브라우저에 남아 있는 쿠키를 새것으로 바꾸지 못했어요. 브라우저 설정에서 a.example.com 사이트의 쿠키를 삭제한 뒤 다시 시도해 주세요."},
		{"a value with a verb", page.For(page.English, page.OtherAddress, "https://a/%d").Text,
			strings.Replace(page.For(page.English, page.OtherAddress).Text, "%s", "https://a/%d", 1)},
		{"a form that came too late", page.For(page.Thai, "internal").NotSaved().Text,
			page.For(page.Thai, "internal").Text + " ข้อมูลที่คุณเพิ่งส่งไม่ได้รับการบันทึก"},
		{"a form, and the application's own text", page.Page{Text: "Closed."}.NotSaved().Text, "Closed. What you have just sent was not saved."},
		{"a language that is not written", page.For("xx", "internal").Title, "Something went wrong"},
	} {
		if row.got != row.want {
			t.Errorf("%s: got  %q\nwant %q", row.name, row.got, row.want)
		}
	}
	got, want := page.For(page.Thai, "unknown"), page.For(page.Thai, "internal")
	want.Status = 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("unknown code: got %+v; want %+v", got, want)
	}
	got.Actions[0].URL = "/x"
	if again := page.For(page.Thai, "unknown"); again.Actions[0].URL != "" {
		t.Errorf("got the URL %q that another caller set; want none", again.Actions[0].URL)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, header string
		want         page.Language
	}{
		{"no header", "", page.English},
		{"Chrome in Korea", "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", page.Korean},
		{"Safari in Thailand", "th-TH,th;q=0.9", page.Thai},
		{"a Korean's English browser", "en-US,en;q=0.9,ko;q=0.8", page.English},
		{"British English before Korean", "en-GB,ko;q=0.9", page.English},
		{"a language that is not written, then one that is", "fr-FR,fr;q=0.9,th;q=0.5", page.Thai},
		{"only languages that are not written", "fr,zh-TW,ar", page.English},
		{"the order is that of the weights", "en;q=0.1, ko;q=0.3, th;q=0.2", page.Korean},
		{"a language that is not wanted", "ko;q=0, th", page.Thai},
		{"lower case and an underscore", "KO_kr", page.Korean},
		{"a private tag before it", "x-piglatin, th", page.Thai},
		{"an element that is no tag", "th-TH, ****, en;q=0.5", page.Thai},
		{"a weight that is no number", "xx;q=high, ko", page.Korean},
		{"anything", "*", page.English},
		{"an attack on a page", `"><script>alert(1)</script>`, page.English},
	} {
		if got := page.Choose(row.header); got != row.want {
			t.Errorf("%s: got %q for %q; want %q", row.name, got, row.header, row.want)
		}
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
			{"text", "card"}: 7, {"soft", "card"}: 4.5, {"on", "key"}: 4.5, {"onend", "end"}: 4.5, {"text", "ground"}: 7,
			// buttons, their borders, the focus ring
			{"key", "card"}: 3, {"end", "card"}: 3, {"line", "card"}: 3, {"key", "ground"}: 3,
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
