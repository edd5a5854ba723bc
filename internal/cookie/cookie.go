// Package cookie splits a value over at most two cookies, and puts it
// together again from a request's Cookie header.
//
// It reads the header itself: a scan for two names costs a tenth of
// [http.Request.Cookie], and shows whether a name occurs twice. Two cookies of
// one name mean that another origin (a sibling domain, a page served over http)
// has set one of them, and nothing tells which: such a request has no session.
package cookie

import (
	"errors"
	"strings"
)

// MaxValue is how long the value of one cookie may be, in bytes. Browsers allow
// 4,096 for name and value; but proxies refuse a request whose header line
// exceeds 8 KB (nginx: large_client_header_buffers), which locks a person out
// until the cookies expire. Two values of this size leave 1.7 KB of that line
// to sign-ins under way and to the application.
const MaxValue = 3200

// Max is the most that Split can place.
const Max = 2*MaxValue - len(marker)

// marker begins the first of two parts. It does not occur in base64url, so a
// whole value cannot be mistaken for half of one.
const marker = "."

// ErrTooLarge means that a value does not fit two cookies.
var ErrTooLarge = errors.New("signin: value does not fit two cookies")

// Second returns the name of the cookie that holds the second part.
func Second(name string) string { return name + secondSuffix }

const secondSuffix = ".2"

// Split returns the values for the cookies name and Second(name). The second
// is empty when one cookie is enough; then a second one that an earlier, longer
// value has left behind must be deleted. The value is base64url.
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

// blanks are what net/http cuts off around a pair and its name.
const blanks = " \t\r\n"

// Found is what a request's Cookie header holds under a name.
type Found struct {
	// First and Second make the value when concatenated. Second is empty if one
	// cookie holds all of it.
	First, Second string
	// Present says that a cookie of either name was sent.
	Present bool
	// OK says that First and Second make a value.
	OK bool
}

// Find looks through the lines of a Cookie header for a name. The work is
// bounded by the header's length, and it allocates nothing.
func Find(lines []string, name string) Found {
	var first, second string
	var firsts, seconds int
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			for pair != "" && strings.IndexByte(blanks, pair[0]) >= 0 { // TrimLeft doubles what Find takes
				pair = pair[1:]
			}
			pair, ok := strings.CutPrefix(pair, name) // the second name begins with the first
			if !ok {
				continue
			}
			// A name without "=" counts as the name: net/http reads it so.
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

// Without returns a Cookie header, of several lines or one, as one line without the
// cookies whose names are dropped, or nil if that leaves none. What stays is as it
// was, and is told apart as net/http does it.
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
