// Package page shows what the sign-in has to say by itself: one page for people,
// and one problem document for programs.
//
//	p := page.For("provider_unavailable")
//	p.RetryAfter, p.Actions[0].URL = 10*time.Second, "/sign-in"
//	page.Write(w, r, p)
//
// Each page is a title, a sentence and the ways on. It loads nothing, runs nothing,
// cannot be framed or cached, and does not tell the next site where the person was.
// What the caller puts into a page is escaped. Nothing that comes from a request or
// a provider belongs there nonetheless: the texts are in this package, chosen by
// code.
//
// The caller sets other headers before: cookies, HX-Redirect, Allow and Vary.
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
// and no way on. [For] gives one for a code.
type Page struct {
	Status int // 0 means 500
	// Title and Text are plain text. If one is empty, both are those of
	// For("internal").
	Title, Text string
	Actions     []Action      // the main one first
	RetryAfter  time.Duration // see Prepare
}

// Action is a link or, with the method POST, a form with one button. Without a URL it
// is not shown. A javascript: or data: URL does not survive the escaping.
type Action struct {
	Text, URL string
	Method    string // GET or POST
	Way       Way    // where it leads; the caller knows the address
}

// Way is a kind of place to go on.
type Way int

const (
	ToOutside Way = iota // for people who are signed out
	ToStart              // for people who have signed in
	ToSignIn
)

//go:embed page.css
var style string

//go:embed page.html
var source string

var (
	document = template.Must(template.New("page").Parse(source))

	// styleSource lets in this style and no other: no attribute, no link, no element
	// that an attacker has managed to write into a page.
	// https://www.w3.org/TR/CSP3/#grammardef-hash-source
	styleSource = "'sha256-" + base64.StdEncoding.EncodeToString(styleSum[:]) + "'"
	styleSum    = sha256.Sum256([]byte(style))
)

// Write answers r with a page.
func Write(w http.ResponseWriter, r *http.Request, p Page) {
	if internal := For("internal"); p.Title == "" || p.Text == "" {
		p.Title, p.Text = internal.Title, internal.Text
	}
	p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return a.URL == "" })
	form := slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Method == http.MethodPost })
	var body bytes.Buffer
	// It fails only if page.html is wrong.
	_ = document.Execute(&body, struct {
		Page
		Form  bool
		Style template.CSS
	}{p, form, template.CSS(style)})
	csp := "default-src 'none'; style-src " + styleSource + "; base-uri 'none'; frame-ancestors 'none'"
	if !form {
		csp += "; form-action 'none'"
	}
	// It is tempting to say form-action 'self' where there is a form. The sign-out
	// form posts to the application, which redirects to the provider, which may
	// redirect further, to hosts that this application does not know. Chromium
	// applies form-action to each of these steps.
	// https://github.com/w3c/webappsec-csp/issues/8
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", csp)
	send(w, r, p.Status, p.RetryAfter, body.Bytes())
}

// Problem is one problem document (https://www.rfc-editor.org/rfc/rfc9457). Its
// type is "about:blank", so its title is the status's own, and the code tells what
// happened.
type Problem struct {
	Status int `json:"status"` // 0 means 500
	// Detail is for the reader of the program's log; if empty, it is the text of
	// For(Code).
	Detail     string        `json:"detail"`
	Code       string        `json:"code"`                  // for programs
	SignIn     string        `json:"sign_in_url,omitempty"` // if signing in helps
	RetryAfter time.Duration `json:"-"`                     // see Prepare
}

// WriteProblem answers r with a problem document.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	p.Status = cmp.Or(p.Status, http.StatusInternalServerError)
	p.Detail = cmp.Or(p.Detail, For(p.Code).Text)
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
// https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2. Basic would open a
// browser's password window, and Bearer promise what is not accepted.
// https://datatracker.ietf.org/doc/html/draft-broyer-http-cookie-auth
const Scheme = `Cookie realm="sign-in"`

// Prepare sets the headers that go with a status, also for an application that
// writes its pages itself: WWW-Authenticate with 401, unless it is there, and
// Retry-After, in seconds rounded up, if retryAfter is positive.
func Prepare(h http.Header, status int, retryAfter time.Duration) {
	if retryAfter > 0 {
		seconds := (retryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", Scheme)
	}
}

// Protect sets the headers of an application's own page that a page of this package
// has as well: it cannot be framed, and keeps the Origin of a form and nothing else of
// its address from others.
func Protect(h http.Header) {
	h.Set("Content-Security-Policy", "frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
}

// send writes an answer, and no body to HEAD.
func send(w http.ResponseWriter, r *http.Request, status int, retryAfter time.Duration, body []byte) {
	status = cmp.Or(status, http.StatusInternalServerError)
	h := w.Header()
	h.Del("Content-Length") // of another body, meant to be sent before
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-store")
	Prepare(h, status, retryAfter)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // fails if the client has gone away
	}
}
