// Package page writes the answers that are not the application's own: pages for
// people, and problem documents for programs.
//
//	p := page.For(page.Choose(acceptLanguage), "provider_unavailable")
//	p.RetryAfter, p.Actions[0].URL = 10*time.Second, "/sign-in"
//	p.Home = page.Home{Name: "app.example.com", URL: "/"}
//	page.Write(w, r, p)
//
// Each page is a title, a few sentences and links or a button, in the reader's
// language. It loads nothing, runs no script, cannot be framed or cached, and sends
// no Referer to the next site. All text is escaped. Even so, callers must not put
// text from a request or a provider into a page: the texts are in this package,
// chosen by code. What programs get is in English.
//
// outlines.go has the status and the actions of each page; english.go, korean.go and
// thai.go have the texts.
//
// The caller sets other headers first: cookies, HX-Redirect, Allow and Vary.
package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Page is one page. The zero Page says that something went wrong, with status 500
// and no link. [For] returns the page for a code.
type Page struct {
	Status   int      // 0 means 500
	Language Language // of the texts
	// Title and Text are plain text. If one is empty, both are those of "internal".
	Title, Text string
	Actions     []Action      // the main one first
	RetryAfter  time.Duration // see Prepare
	Home        Home
}

// Home is the application: its name above the page, and where that leads. Without a
// URL it is not shown.
type Home struct{ Name, URL string }

// Action is a link or, with the method POST, a form with one button. Without a URL it
// is not shown. The escaping replaces javascript: and data: URLs.
type Action struct {
	Text, URL string
	Method    string // GET or POST
	Way       Way    // where it leads; the caller sets the URL
}

// Way is the kind of page that an Action leads to.
type Way int

const (
	ToOutside Way = iota // for people who are signed out
	ToStart              // for people who have signed in
	ToSignIn
	ToSignOut
	ToSwitch // a sign-in that asks for another account
)

//go:embed page.css
var style string

//go:embed page.html
var source string

var (
	document = template.Must(template.New("page").Parse(source))

	// styleSource allows this style and no other: no style attribute, no link, and no
	// element that an attacker has managed to write into a page.
	// https://www.w3.org/TR/CSP3/#grammardef-hash-source
	styleSource = "'sha256-" + base64.StdEncoding.EncodeToString(styleSum[:]) + "'"
	styleSum    = sha256.Sum256([]byte(style))
)

// Write answers r with a page.
func Write(w http.ResponseWriter, r *http.Request, p Page) {
	p.Language = p.Language.orEnglish()
	if internal := For(p.Language, "internal"); p.Title == "" || p.Text == "" {
		p.Title, p.Text = internal.Title, internal.Text
	}
	p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return a.URL == "" })
	form := slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Method == http.MethodPost })
	var body bytes.Buffer
	// Executing fails only if page.html has a mistake.
	_ = document.Execute(&body, struct {
		Page
		Form  bool
		Style template.CSS
	}{p, form, template.CSS(style)})
	csp := "default-src 'none'; style-src " + styleSource + "; base-uri 'none'; frame-ancestors 'none'"
	if !form {
		csp += "; form-action 'none'"
	}
	// It is tempting to set form-action 'self' for a page with a form. But the
	// sign-out form posts to the application, which redirects to the provider, which
	// may redirect to hosts that this application does not know. Chromium applies
	// form-action to each of these redirects.
	// https://github.com/w3c/webappsec-csp/issues/8
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", csp)
	vary(w.Header())
	send(w, r, p.Status, p.RetryAfter, body.Bytes())
}

// Problem is one problem document (https://www.rfc-editor.org/rfc/rfc9457). Its
// type is "about:blank", so its title is the text of the status, and the code says
// what happened.
type Problem struct {
	Status int `json:"status"` // 0 means 500
	// Detail is for the reader of the program's log; if empty, it is the English text
	// for Code.
	Detail     string        `json:"detail"`
	Code       string        `json:"code"`                  // for programs
	SignIn     string        `json:"sign_in_url,omitempty"` // if signing in helps
	RetryAfter time.Duration `json:"-"`                     // see Prepare
}

// WriteProblem answers r with a problem document.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	p.Status = cmp.Or(p.Status, http.StatusInternalServerError)
	p.Detail = cmp.Or(p.Detail, For(English, p.Code).Text)
	var body bytes.Buffer
	_ = json.NewEncoder(&body).Encode(struct { // strings and numbers cannot fail
		Title string `json:"title"`
		Problem
	}{http.StatusText(p.Status), p})
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	send(w, r, p.Status, p.RetryAfter, body.Bytes())
}

// Scheme is for WWW-Authenticate, which every 401 must have:
// https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2. Basic would open the
// browser's password window, and Bearer would say that tokens are accepted.
// https://datatracker.ietf.org/doc/html/draft-broyer-http-cookie-auth
const Scheme = `Cookie realm="sign-in"`

// Prepare sets the headers that belong to a status, also for an application that
// writes its pages itself: WWW-Authenticate for 401, unless the caller has set it,
// and Retry-After, in seconds rounded up, if retryAfter is positive.
func Prepare(h http.Header, status int, retryAfter time.Duration) {
	if retryAfter > 0 {
		seconds := (retryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", Scheme)
	}
}

// Protect sets headers for an application's own page: it cannot be framed or sniffed,
// other sites do not get its address, and its texts depend on the reader's language.
// The referrer policy is same-origin, since with no-referrer a browser sends a form
// without its Origin.
func Protect(h http.Header) {
	h.Set("Content-Security-Policy", "frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	vary(h)
}

// vary says that an answer depends on the reader's language, besides what the caller
// has said.
func vary(h http.Header) {
	if !slices.Contains(h["Vary"], "Accept-Language") {
		h.Add("Vary", "Accept-Language")
	}
}

// send writes an answer. The answer to HEAD has no body.
func send(w http.ResponseWriter, r *http.Request, status int, retryAfter time.Duration, body []byte) {
	status = cmp.Or(status, http.StatusInternalServerError)
	h := w.Header()
	h.Del("Content-Length") // of the body that the handler meant to send
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-store")
	Prepare(h, status, retryAfter)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // fails if the client has gone away
	}
}
