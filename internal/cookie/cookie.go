// Package cookie splits a value over at most two cookies, and puts it
// together again from a request's Cookie header.
//
// It reads the header itself: a scan for two names takes a tenth of the time of
// [http.Request.Cookie], and shows whether a name occurs twice. If it does, another
// origin (a sibling domain, a page served over http) has set one of the cookies,
// and nothing tells which. Such a request has no session.
//
// A Cookie header of more than 64 KB or 256 cookies holds none of ours: Chromium and
// Firefox keep 180 cookies of a domain and its subdomains, and proxies refuse such a
// header, most of them at 8 KB. It is tempting to read its beginning. But a browser
// sends first what another origin has set for a longer path. If our own cookie came
// after the end, the planted one would be the only one of its name. An attacker
// who can plant that many cookies can sign people out, but one cookie of the same
// name is enough for that.
package cookie

import (
	"errors"
	"strings"
)

// MaxValue is how long the value of one cookie may be, in bytes. Browsers allow
// 4,096 for name and value. But proxies refuse a request whose Cookie line exceeds
// 8 KB (nginx: large_client_header_buffers), which locks a person out until the
// cookies expire. Two values of this size leave 1.7 KB of that line for sign-ins
// under way and for the application.
const MaxValue = 3200

// Max is the length of the longest value that Split accepts.
const Max = 2*MaxValue - len(marker)

// marker begins the first of two parts. Base64url does not contain it, so a whole
// value cannot be mistaken for a first part.
const marker = "."

// ErrTooLarge means that a value does not fit two cookies.
var ErrTooLarge = errors.New("signin: value does not fit two cookies")

// Second returns the name of the cookie that holds the second part.
func Second(name string) string { return name + secondSuffix }

const secondSuffix = ".2"

// Split returns the values for the cookies name and Second(name). The second is
// empty if one cookie is enough; the caller must then delete a second cookie that an
// earlier, longer value has left behind. The value is base64url.
func Split(value string) (first, second string, err error) {
	switch {
	case len(value) <= MaxValue:
		return value, "", nil
	case len(value) > Max:
		return "", "", ErrTooLarge
	}
	cut := MaxValue - len(marker)
	return marker + value[:cut], value[cut:], nil
}

// What is read of a Cookie header.
const (
	maxHeader  = 64 << 10 // bytes
	maxCookies = 256
	maxBlanks  = 512 // around names and values
)

// Size returns the length of a Cookie header, as if its lines were one.
func Size(lines []string) int {
	size := 0
	for _, line := range lines {
		size += len(line) + len("; ")
	}
	return max(0, size-len("; "))
}

// blanks are the characters that net/http cuts off around a pair and its name.
const blanks = " \t\r\n"

// pairs iterates over the pairs of a Cookie header.
type pairs struct {
	pair  string // the current one, without blanks before it
	line  string // what is left of the current line
	lines []string
	// How many more pairs and blanks are read.
	left, blanks int
	over         bool // the header is too large
}

func read(lines []string) pairs {
	if len(lines) > maxCookies || Size(lines) > maxHeader {
		return pairs{over: true}
	}
	return pairs{lines: lines, left: maxCookies, blanks: maxBlanks}
}

// next moves on to the next pair, and reports whether there is one. Pairs may be
// empty.
func (p *pairs) next() bool {
	for p.line == "" && len(p.lines) > 0 {
		p.line, p.lines = p.lines[0], p.lines[1:]
	}
	p.over = p.over || p.line != "" && p.left == 0
	if p.line == "" {
		return false
	}
	p.left--
	p.pair, p.line, _ = strings.Cut(p.line, ";")
	for !p.over && p.pair != "" && p.skips(p.pair[0]) { // TrimLeft would double the time of Find
		p.pair = p.pair[1:]
	}
	return !p.over
}

// skips reports whether b is a blank, and counts it.
func (p *pairs) skips(b byte) bool {
	switch b {
	default:
		return false
	case ' ', '\t', '\r', '\n': // blanks
	}
	p.blanks--
	p.over = p.blanks < 0
	return true
}

// split returns the name and the value of the current pair. A name without "=" is a
// cookie with an empty value, as for net/http.
func (p *pairs) split() (name, value string) {
	name, value, _ = strings.Cut(p.trimRight(p.pair), "=")
	return p.trimRight(name), value
}

func (p *pairs) trimRight(s string) string {
	for !p.over && s != "" && p.skips(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// Scan calls found with each cookie of a Cookie header whose name begins with prefix,
// which has no blanks and no "=", until found returns false. It does not allocate.
// Scan returns false if the header turns out to be too large; then none of the
// cookies is ours.
func Scan(lines []string, prefix string, found func(name, value string) bool) bool {
	p := read(lines)
	for p.next() {
		if !strings.HasPrefix(p.pair, prefix) {
			continue
		}
		if name, value := p.split(); !found(name, value) {
			break
		}
	}
	return !p.over
}

// Only returns the value of the only cookie of a name. ok is false if there are more,
// or none.
func Only(lines []string, name string) (value string, ok bool) {
	n := 0
	whole := Scan(lines, name, func(found, v string) bool {
		if found == name {
			value = v
			n++
		}
		return n < 2
	})
	return value, whole && n == 1
}

// Has reports whether a request has a cookie of a name. It is true if the Cookie
// header is too large to tell.
func Has(lines []string, name string) bool {
	has := false
	whole := Scan(lines, name, func(found, _ string) bool {
		has = found == name
		return !has
	})
	return has || !whole
}

// Found is the value that a request's Cookie header holds under a name.
type Found struct {
	// First and Second together are the value. Second is empty if one cookie holds
	// all of it.
	First, Second string
	// Present says that a cookie of either name was sent, or that the header is too
	// large to tell.
	Present bool
	// OK says that First and Second are a value.
	OK bool
}

// Find searches the lines of a Cookie header for a name. It reads the header once
// and does not allocate.
func Find(lines []string, name string) Found {
	var first, second string
	var firsts, seconds int
	p := read(lines)
	for firsts < 2 && seconds < 2 && p.next() {
		rest, ok := strings.CutPrefix(p.pair, name)
		if !ok || rest != "" && rest[0] == secondSuffix[0] && !strings.HasPrefix(rest, secondSuffix) {
			continue // most of ours are transactions, which do not have to be split
		}
		switch found, value := p.split(); strings.TrimPrefix(found, name) {
		case "":
			first = value
			firsts++
		case secondSuffix:
			second = value
			seconds++
		}
	}
	f := Found{Present: firsts+seconds > 0 || p.over}
	switch {
	case firsts != 1 || seconds > 1 || first == "" || p.over:
		return f
	case !strings.HasPrefix(first, marker):
		f.First, f.OK = first, true
	case seconds == 1 && len(first) > len(marker) && second != "":
		f.First, f.Second, f.OK = first[len(marker):], second, true
	}
	return f
}

// Without returns a Cookie header as one line without the cookies whose names are
// dropped, or nil if no cookie is left. It separates cookies as net/http does, and
// does not change those that stay. A header that is too large is dropped whole.
func Without(lines []string, dropped func(name string) bool) []string {
	var kept []string
	p := read(lines)
	for p.next() {
		name, _ := p.split()
		if pair := strings.TrimRight(p.pair, blanks); pair != "" && !dropped(name) {
			kept = append(kept, pair)
		}
	}
	if kept == nil || p.over {
		return nil
	}
	return []string{strings.Join(kept, "; ")}
}
