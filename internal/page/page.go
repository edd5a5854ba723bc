// Package page shows what the sign-in has to say by itself: one page for people,
// and one problem document for programs.
//
//	p := page.For("provider_unavailable")
//	p.Status, p.RetryAfter, p.Action.Href = http.StatusServiceUnavailable, 10*time.Second, "/sign-in"
//	page.Write(w, r, p)
//
// Each page is a title, a sentence and a way on. It loads nothing, runs nothing,
// cannot be framed or cached, and tells the next site nothing of where the person
// was. What the caller puts into a page is escaped; yet nothing that comes from a
// request or a provider belongs there: the texts are in this package, chosen by code.
//
// Both writers keep what else stands in the header of the answer: cookies,
// HX-Redirect, Allow and Vary are the caller's, and are set before.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

// Page is one page. The zero Page says that something went wrong, with status 500
// and no way on. [For] gives one for a code.
type Page struct {
	// Status is the status of the answer; 0 stands for 500.
	Status int
	// Title and Sentence are plain text; where empty, those of For("internal").
	Title, Sentence string
	// Action is the way on.
	Action Action
	// RetryAfter, if positive, is sent as Retry-After, in seconds rounded up.
	RetryAfter time.Duration
}

// Action is a link or, with Post, a form with one button. Without an Href none is
// shown. A javascript: or data: URL does not survive the escaping.
type Action struct {
	Label, Href string
	Post        bool
	// Way is where it leads, for the caller who knows the address.
	Way Way
}

// Way is a kind of place to go on.
type Way int

const (
	ToOutside Way = iota // where people are who are signed out
	ToStart              // where people are who have signed in
	ToSignIn
)

//go:embed page.css
var style string

//go:embed page.html
var source string

var (
	document = template.Must(template.New("page").Parse(source))

	// styleHash lets exactly this style in, and no other: no attribute, no link, no
	// element that somebody managed to write into a page.
	// https://www.w3.org/TR/CSP3/#grammardef-hash-source
	styleHash = func() string {
		sum := sha256.Sum256([]byte(style))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}()
)

// Write answers r with a page.
func Write(w http.ResponseWriter, r *http.Request, p Page) {
	if internal := For("internal"); p.Title == "" || p.Sentence == "" {
		p.Title, p.Sentence = internal.Title, internal.Sentence
	}
	var body bytes.Buffer
	must(document.Execute(&body, struct {
		Page
		Style template.CSS
	}{p, template.CSS(style)}))
	csp := "default-src 'none'; style-src " + styleHash + "; base-uri 'none'; frame-ancestors 'none'"
	if !p.Action.Post || p.Action.Href == "" {
		csp += "; form-action 'none'"
	}
	// It is tempting to say form-action 'self' where there is a form. The sign-out
	// form posts to the application, which redirects to the provider, which may
	// redirect to one more. Chromium applies form-action to each of these steps, and
	// the provider's next ones nobody here knows.
	// https://github.com/w3c/webappsec-csp/issues/8
	send(w, r, answer{
		status:     p.Status,
		retryAfter: p.RetryAfter,
		mediaType:  "text/html; charset=utf-8",
		csp:        csp,
		body:       body.Bytes(),
	})
}

// Problem is one problem document (https://www.rfc-editor.org/rfc/rfc9457). Its
// type is "about:blank", so that its title is the status's own; what happened is
// told by the code.
type Problem struct {
	// Status is the status of the answer; 0 stands for 500.
	Status int
	// Code is what happened, for programs.
	Code string
	// Detail is what happened, for whoever reads the program's log; if empty, the
	// sentence of For(Code).
	Detail string
	// SignIn is the URL at which a person can sign in, if that helps.
	SignIn string
	// RetryAfter, if positive, is sent as Retry-After, in seconds rounded up.
	RetryAfter time.Duration
}

// WriteProblem answers r with a problem document.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	if p.Status == 0 {
		p.Status = http.StatusInternalServerError
	}
	if p.Detail == "" {
		p.Detail = For(p.Code).Sentence
	}
	var body bytes.Buffer
	must(json.NewEncoder(&body).Encode(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
		SignIn string `json:"sign_in_url,omitempty"`
	}{http.StatusText(p.Status), p.Status, p.Detail, p.Code, p.SignIn}))
	send(w, r, answer{
		status:     p.Status,
		retryAfter: p.RetryAfter,
		mediaType:  "application/problem+json",
		csp:        "default-src 'none'; frame-ancestors 'none'",
		body:       body.Bytes(),
	})
}

// must is for what cannot fail: strings and numbers, written to memory.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

type answer struct {
	status         int
	retryAfter     time.Duration
	mediaType, csp string
	body           []byte
}

// Scheme is what a 401 must name: "The server generating a 401 response MUST send
// a WWW-Authenticate header field",
// https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2. Basic would open a
// browser's password window, and Bearer promise what is not accepted.
// https://datatracker.ietf.org/doc/html/draft-broyer-http-cookie-auth
const Scheme = `Cookie realm="sign-in"`

// Prepare sets what an answer's header owes to its status, for an application that
// writes pages of its own as well: WWW-Authenticate with 401, unless it is there, and
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

// send writes an answer, and no body to HEAD.
func send(w http.ResponseWriter, r *http.Request, a answer) {
	if a.status == 0 {
		a.status = http.StatusInternalServerError
	}
	h := w.Header()
	h.Del("Content-Length") // of what somebody meant to send instead
	h.Set("Content-Type", a.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", a.csp)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-store")
	Prepare(h, a.status, a.retryAfter)
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		// A failure means that the client has gone away: there is nobody to tell.
		_, _ = w.Write(a.body)
	}
}
