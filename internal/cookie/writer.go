package cookie

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Writer sets cookies for the whole host of this application. Scripts cannot read
// them, and other sites' requests carry them only when a person follows a link.
type Writer struct{ Secure bool }

// Set sets a cookie. It replaces an earlier one of the name in this answer. An age
// that is not positive deletes the cookie in the browser.
func (wr Writer) Set(w http.ResponseWriter, name, value string, age time.Duration) {
	c := http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: Seconds(age),
		Secure: wr.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	Withdraw(w, name)
	w.Header().Add("Set-Cookie", c.String())
}

// Unset deletes a cookie in the browser.
func (wr Writer) Unset(w http.ResponseWriter, name string) { wr.Set(w, name, "", -1) }

// Withdraw removes the cookies of a name from this answer.
func Withdraw(w http.ResponseWriter, name string) {
	h := w.Header()
	lines := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, name+"=") })
	if len(lines) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = lines
}

// Seconds returns a Max-Age. It rounds up, so that a cookie lives as long as its
// content. It is never zero, which net/http takes for no Max-Age at all: such a
// cookie lives until the browser is closed.
func Seconds(d time.Duration) int {
	if d <= 0 {
		return -1
	}
	return int((d + time.Second - 1) / time.Second)
}
