package cookie

import (
	"net/http"
	"strings"
)

// Budget is what the cookies and the redirect of one answer may take together, in
// bytes of header lines. nginx answers 502 if the whole header of an answer exceeds
// proxy_buffer_size, by default 4,096 bytes; the application and the server add
// lines of their own.
const Budget = 3500

// AnswerSize returns the bytes of the header lines of an answer that set a cookie
// whose name begins with prefix, or that name the address of a redirect.
func AnswerSize(h http.Header, prefix string) int {
	size := 0
	for _, line := range h["Set-Cookie"] {
		if strings.HasPrefix(line, prefix) {
			size += lineSize("Set-Cookie", line)
		}
	}
	for _, name := range [...]string{"Location", "Hx-Redirect", "X-Inertia-Location"} {
		for _, value := range h[name] {
			size += lineSize(name, value)
		}
	}
	return size
}

// lineSize returns the bytes of a header line.
func lineSize(name, value string) int { return len(name) + len(": ") + len(value) + len("\r\n") }

// Answer is the header of an answer that no browser gets.
type Answer http.Header

// Header returns the header.
func (a Answer) Header() http.Header { return http.Header(a) }

// Write does nothing.
func (Answer) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader does nothing.
func (Answer) WriteHeader(int) {}
