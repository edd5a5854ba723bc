// Package app is what the programs of the example share: pages, settings, a
// server, and the provider for tests. It is meant to be read and copied. It is not
// a library, and its names may change.
package app

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gosignin/signin"
)

//go:embed pages static
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"name":    name,
	"initial": initial,
	"list":    list,
	"clock":   func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
	"day":     func(t time.Time) string { return t.UTC().Format("2 January 2006") },
	"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
}).ParseFS(files, "pages/*.html"))

// view is the data that every page has.
type view struct {
	Title   string
	User    *signin.User // nil if the user is not signed in
	Replica string       // "2 of 3", or empty if there is one process only
}

func viewOf(r *http.Request, title string) view {
	user, _ := signin.UserFrom(r.Context())
	replica, _ := r.Context().Value(replicaKey{}).(string)
	return view{title, user, replica}
}

// Home is behind Load: everyone may see it, and it knows who is signed in.
func Home(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "home", viewOf(r, "Home"))
}

// Account is behind RequireAuth: there is always a user.
func Account(w http.ResponseWriter, r *http.Request) {
	// User has no field for this claim, so it is decoded into a type with one.
	claims, err := signin.ClaimsAs[struct {
		CreatedAt int64 `json:"created_at"` // at Logto, in milliseconds
	}](r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	page := struct {
		view
		Since  time.Time // zero if the provider does not say
		Claims string
	}{view: viewOf(r, "Your account")}
	var all bytes.Buffer
	_ = json.Indent(&all, page.User.Claims, "", "  ") // ClaimsAs has decoded it, so it is JSON
	page.Claims = all.String()
	if claims.CreatedAt != 0 {
		page.Since = time.UnixMilli(claims.CreatedAt)
	}
	render(w, http.StatusOK, "account", page)
}

// NotFound is behind Load, as Home is.
func NotFound(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusNotFound, "not-found", viewOf(r, "No such page"))
}

// Static serves /static/: style sheet, icon, and a picture.
func Static(w http.ResponseWriter, r *http.Request) {
	http.FileServerFS(files).ServeHTTP(w, r)
}

type replicaKey struct{}

// FromReplica makes every page of next say which replica it came from.
func FromReplica(number, of int, next http.Handler) http.Handler {
	replica := fmt.Sprintf("%d of %d", number, of)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), replicaKey{}, replica)))
	})
}

// name returns how to address a user. Users from Naver or X may have no name, no
// username, no e-mail address, or none of the three.
func name(u *signin.User) string {
	for _, s := range []string{u.Name, u.Username, u.Email} {
		if s != "" {
			return s
		}
	}
	return "friend"
}

// list returns "a, b", or "none" if there are no words.
func list(words []string) string { return cmp.Or(strings.Join(words, ", "), "none") }

// initial is shown in place of a picture that is missing or does not load.
func initial(u *signin.User) string {
	r, _ := utf8.DecodeRuneInString(name(u))
	return string(r)
}

func render(w http.ResponseWriter, status int, page string, data any) {
	var body bytes.Buffer // after an error in a template, no part of the page is sent
	if err := pages.ExecuteTemplate(&body, page, data); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // it fails only if the browser has gone
}

// fail logs the error, and tells the person only that something went wrong.
func fail(w http.ResponseWriter, err error) {
	slog.Error("page failed", "error", err)
	http.Error(w, "Something went wrong.", http.StatusInternalServerError)
}

// Secure sets the header fields that every page of this application needs.
func Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Pictures of people may come from any site. There is no form-action, because
		// Chromium applies it also to redirects after a form, and the sign-out
		// redirects to the provider.
		// https://github.com/w3c/webappsec-csp/issues/8
		h.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; img-src 'self' https:; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		// Not no-referrer: with it a form is posted with "Origin: null", and the
		// sign-out button looks like another site's to an older browser.
		// https://fetch.spec.whatwg.org/#append-a-request-origin-header
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
