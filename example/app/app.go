// Package app is what the programs of the example share: pages, settings, a
// server, and the provider for tests. It is meant to be read and copied. It is not
// a library, and its names may change.
package app

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gosignin/signin"
)

//go:embed pages static texts
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"initial": initial,
	"join":    func(words []string) string { return strings.Join(words, ", ") },
	"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
}).ParseFS(files, "pages/*.html"))

// view is the data that every page has. In a page, {{.T "back"}} is a text in the
// reader's language.
type view struct {
	texts
	Title   string
	User    *signin.User // nil if the user is not signed in
	Replica *replica     // nil if there is one process only
	Switch  string       // where the language links lead, if not to the page itself
}

// viewOf returns what a page needs whose title has this name among the texts.
func viewOf(r *http.Request, title string, args ...any) view {
	v := view{texts: textsFor(r)}
	v.Title, _ = v.T(title, args...) // TestTexts finds a name that is missing
	v.User, _ = signin.UserFrom(r.Context())
	v.Replica, _ = r.Context().Value(replicaKey{}).(*replica)
	return v
}

// Name is how to address the user. Users from Naver or X may have no name, no
// username, no e-mail address, or none of the three.
func (v view) Name() (string, error) {
	if name := cmp.Or(v.User.Name, v.User.Username, v.User.Email); name != "" {
		return name, nil
	}
	return v.T("friend")
}

// initial is shown in place of a picture that is missing or does not load.
func initial(name string) string {
	r, _ := utf8.DecodeRuneInString(name)
	return string(r)
}

// Home is behind Load: everyone may see it, and it knows who is signed in.
func Home(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "home", viewOf(r, "home.title"))
}

// NotFound is behind Load, as Home is.
func NotFound(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusNotFound, "lost", viewOf(r, "lost.title"))
}

// ShowPage is Config.Pages: it shows the pages of package signin, such as the question
// whether to sign out, in this application's layout. The page has its texts already.
func ShowPage(w http.ResponseWriter, r *http.Request, p *signin.Page) {
	page := struct {
		view
		Page *signin.Page
	}{viewOf(r, "brand"), p}
	page.Title = p.Title
	// A link from the question to itself would be an answer: it signs out. That from a
	// callback would be another callback, and a form cannot be sent again by a link.
	if r.Method != http.MethodGet || r.URL.Path == "/sign-out" || r.URL.Path == "/callback" {
		page.Switch = "/"
	}
	w.Header().Set("Content-Security-Policy", policy) // package signin has set another
	render(w, p.Status, "message", page)
}

// Static serves /static/: style sheet, icon, and a picture.
func Static(w http.ResponseWriter, r *http.Request) {
	http.FileServerFS(files).ServeHTTP(w, r)
}

type replicaKey struct{}

// replica is one process of several.
type replica struct{ Number, Of int }

// FromReplica makes every page of next say which replica it came from.
func FromReplica(number, of int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), replicaKey{}, &replica{number, of})))
	})
}

func render(w http.ResponseWriter, status int, page string, data any) {
	var body bytes.Buffer // after an error in a template, no part of the page is sent
	if err := pages.ExecuteTemplate(&body, page, data); err != nil {
		slog.Error("page failed", "page", page, "error", err)
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // it fails only if the browser has gone
}

// fail logs the error, and tells the person only that something went wrong.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	slog.Error("request failed", "path", r.URL.Path, "error", err)
	render(w, http.StatusInternalServerError, "failed", viewOf(r, "failed.title"))
}

// Secure sets the header fields that every page of this application needs.
func Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		// Not no-referrer: with it a form is posted with "Origin: null", and the
		// sign-out button looks like another site's to an older browser.
		// https://fetch.spec.whatwg.org/#append-a-request-origin-header
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// policy allows no scripts. Pictures of people may come from any site. There is no
// form-action, because Chromium applies it also to redirects after a form, and the
// sign-out redirects to the provider.
// https://github.com/w3c/webappsec-csp/issues/8
const policy = "default-src 'none'; style-src 'self'; img-src 'self' https:; base-uri 'none'; frame-ancestors 'none'"
