// Package cookie splits a value over at most two cookies, and puts it
// together again from a request's Cookie header.
//
// It reads the header itself: a scan for two names takes a tenth of the time of
// [http.Request.Cookie], and shows whether a name occurs twice. If it does, another
// origin (a sibling domain, a page served over http) has set one of the cookies,
// and nothing tells which. Such a request has no session.
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

// blanks are the characters that net/http cuts off around a pair and its name.
const blanks = " \t\r\n"

// Found is the value that a request's Cookie header holds under a name.
type Found struct {
	// First and Second together are the value. Second is empty if one cookie holds
	// all of it.
	First, Second string
	// Present says that a cookie of either name was sent.
	Present bool
	// OK says that First and Second are a value.
	OK bool
}

// Find searches the lines of a Cookie header for a name. It reads the header once
// and does not allocate.
func Find(lines []string, name string) Found {
	var first, second string
	var firsts, seconds int
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			for pair != "" && strings.IndexByte(blanks, pair[0]) >= 0 { // TrimLeft would double the time of Find
				pair = pair[1:]
			}
			pair, ok := strings.CutPrefix(pair, name) // the second name begins with the first
			if !ok {
				continue
			}
			// A name without "=" is a cookie with an empty value, as for net/http.
			suffix, value, _ := strings.Cut(strings.TrimRight(pair, blanks), "=")
			switch strings.TrimRight(suffix, blanks) {
			case "":
				first = value
				firsts++
			case secondSuffix:
				second = value
				seconds++
			}
		}
	}
	f := Found{Present: firsts+seconds > 0}
	switch {
	case firsts != 1 || seconds > 1 || first == "":
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
// does not change those that stay.
func Without(lines []string, dropped func(name string) bool) []string {
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(pair, "=")
			if pair = strings.Trim(pair, blanks); pair != "" && !dropped(strings.Trim(name, blanks)) {
				kept = append(kept, pair)
			}
		}
	}
	if kept == nil {
		return nil
	}
	return []string{strings.Join(kept, "; ")}
}
