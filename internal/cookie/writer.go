package cookie

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Writer sets cookies of this application: for its whole host, out of reach of
// scripts, and sent with other sites' requests only when a link is followed.
type Writer struct{ Secure bool }

// Set sets a cookie, in place of an earlier one of its name in this answer. A
// negative age deletes it in the browser.
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

// Withdraw takes back what this answer was to set under a name.
func Withdraw(w http.ResponseWriter, name string) {
	h := w.Header()
	lines := slices.DeleteFunc(h["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, name+"=") })
	if len(lines) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = lines
}

// Seconds returns a Max-Age. It rounds up, so that a cookie lives as long as
// what it holds, and is never zero, which means until the browser is closed.
func Seconds(d time.Duration) int {
	if d <= 0 {
		return -1
	}
	return int((d + time.Second - 1) / time.Second)
}
