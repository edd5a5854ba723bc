package app

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin"
)

// Every language has the texts that the pages and handlers name, and no others, with
// the same verbs.
func TestTexts(t *testing.T) {
	t.Parallel()
	used := map[string]bool{"months": true, "time": true, "day": true}
	for pattern, call := range map[string]*regexp.Regexp{
		"pages/*.html": regexp.MustCompile(`\.T "([^"]+)"`),
		"*.go":         regexp.MustCompile(`(?:\.T\(|viewOf\(r, )"([^"]+)"`),
	} {
		for _, text := range readAll(t, pattern) {
			for _, name := range call.FindAllStringSubmatch(text, -1) {
				used[name[1]] = true
			}
		}
	}
	verbs := regexp.MustCompile(`%(?:\[\d\])?(\w)`)
	for _, l := range languages {
		if got, want := slices.Sorted(maps.Keys(l.words)), slices.Sorted(maps.Keys(used)); !slices.Equal(got, want) {
			t.Errorf("%s: got texts %q; want %q", l.Tag, got, want)
		}
		for name, text := range l.words {
			got, want := verbs.FindAllStringSubmatch(text, -1), verbs.FindAllStringSubmatch(languages[0].words[name], -1)
			if text == "" || len(got) != len(want) || len(got) > 0 && got[0][1] != want[0][1] {
				t.Errorf("%s: %s is %q; want a text with the verbs of %q", l.Tag, name, text, languages[0].words[name])
			}
		}
		if months := strings.Fields(l.words["months"]); len(months) != 12 {
			t.Errorf("%s: got months %q; want twelve", l.Tag, months)
		}
	}
	if got, err := languages[0].T("no such text"); err == nil {
		t.Errorf("a name that there is not: got %q; want an error", got)
	}
}

// readAll returns the files of this package that match a pattern, without tests.
func readAll(t *testing.T, pattern string) (texts []string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: got %q, %v; want files", pattern, paths, err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

func TestInLanguage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, accept, cookie, query, want, remembers string }{
		{"a browser that says nothing", "", "", "", "en", ""},
		{"a Korean browser", "ko-KR,ko;q=0.9,en;q=0.8", "", "", "ko", ""},
		{"a browser whose first language is not here", "fr, th;q=0.5", "", "", "th", ""},
		{"a language that is none, and one that is", "a_b_c_d_e, ko", "", "", "ko", ""},
		{"a choice", "ko", "", "th", "th", "th"},
		{"an earlier choice", "ko", "th", "", "th", ""},
		{"an earlier choice, and another", "ko", "th", "en", "en", "en"},
		{"a choice that there is not", "ko", "", "tlh", "ko", ""},
		{"a cookie that someone has written", "ko", "<script>", "", "ko", ""},
		{"a header with too much in it", strings.Repeat("a-", 5000), "", "", "en", ""},
	} {
		for _, base := range []string{"http://localhost:3000", "https://app.example.com"} {
			r, w := httptest.NewRequest("GET", "/?lang="+row.query, nil), httptest.NewRecorder()
			r.Header.Set("Accept-Language", row.accept)
			if row.cookie != "" {
				r.AddCookie(&http.Cookie{Name: "lang", Value: row.cookie})
			}
			var got string
			InLanguage(&Settings{BaseURL: base}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = textsFor(r).Tag
			})).ServeHTTP(w, r)
			want := ""
			if row.remembers != "" {
				want = "lang=" + row.remembers + "; Path=/; Max-Age=31536000; HttpOnly"
				if strings.HasPrefix(base, "https:") {
					want += "; Secure"
				}
				want += "; SameSite=Lax"
			}
			if cookie := w.Header().Get("Set-Cookie"); got != row.want || cookie != want || r.Header.Get("Accept-Language") != row.accept {
				t.Errorf("%s, at %s: got %s and cookie %q; want %s and %q", row.name, base, got, cookie, row.want, want)
			}
		}
	}
}

// A page of package signin is shown in the application's layout, in its own language.
func TestShowPage(t *testing.T) {
	t.Parallel()
	r, w := httptest.NewRequest("GET", "/sign-out", nil), httptest.NewRecorder()
	r.Header.Set("Accept-Language", "ko")
	ShowPage(w, r, &signin.Page{Status: 200, Language: "th", Title: "<ออกจากระบบ>", Text: "จริงหรือ", Actions: []signin.Action{
		{Text: "ออก", URL: "/sign-out", Method: "POST"}, {Text: "อยู่", URL: "/", Method: "GET"},
	}})
	answer{w.Code, "", w.Body.String()}.want(t, 200, "", []string{
		`<html lang="ko">`, `<section class="card greeting" lang="th">`, "<h1>&lt;ออกจากระบบ&gt;</h1>", "<p>จริงหรือ</p>",
		`<form method="post" action="/sign-out"><button class="button main">ออก</button></form>`, `<a class="button" href="/">อยู่</a>`,
	})
	// A link to the question, from itself, would sign out.
	for address, want := range map[string]string{
		"GET /sign-out": "/?lang=th", "GET /callback": "/?lang=th", "POST /sign-out-everywhere": "/?lang=th", "GET /admin": "?lang=th",
	} {
		method, path, _ := strings.Cut(address, " ")
		w := httptest.NewRecorder()
		ShowPage(w, httptest.NewRequest(method, path, nil), &signin.Page{Status: 403})
		answer{w.Code, "", w.Body.String()}.want(t, 403, "", []string{`href="` + want + `"`})
	}
}
