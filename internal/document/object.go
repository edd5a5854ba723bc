package document

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	strict "github.com/go-jose/go-jose/v4/json"
)

const (
	// maxDepth is how deeply a document may be nested. encoding/json stops at
	// 10,000, which is far more than an application's own code expects.
	maxDepth = 64
	// lastSecond is the end of the year 9999, beyond which times have no text
	// form.
	lastSecond = 253402300799
)

// fault is an error with a fixed text, which cannot contain anything that a
// provider sent.
type fault string

func (f fault) Error() string { return string(f) }

const (
	errNoObject = fault("not a JSON object")
	errTwice    = fault("a JSON object with two members of the same name")
	errType     = fault("a JSON member of the wrong type")
)

// Object is the members of a JSON object: exact names, raw values.
type Object map[string]json.RawMessage

// Parse reads a JSON object with nothing after it. Names are exact, and must be unique
// (https://www.rfc-editor.org/rfc/rfc7519#section-4). It is tempting to refuse two names
// that differ by case alone, too, since encoding/json takes "Sub" for "sub". But only an
// application reads with that, and only claims: for these, package jwt has the rule.
func Parse(data []byte) (Object, error) {
	if !utf8.Valid(data) || depth(data) > maxDepth {
		return nil, errNoObject
	}
	var o Object
	switch err := strict.Unmarshal(data, &o); {
	case o == nil: // not JSON, null, or not an object
		return nil, errNoObject
	case err != nil:
		return nil, errTwice
	}
	return o, nil
}

// Fold maps all names that encoding/json treats as equal to one of them. A
// name of lower-case ASCII letters, as most are, is mapped to itself.
func Fold(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf || 'A' <= r && r <= 'Z' }) {
		return name // most names, at a fraction of the cost
	}
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		if 'A' <= least && least <= 'Z' {
			least += 'a' - 'A'
		}
		return least
	}, name)
}

// depth returns how deeply valid JSON is nested.
func depth(data []byte) int {
	deepest, open, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch b := data[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			open++
			deepest = max(deepest, open)
		case b == '}' || b == ']':
			open--
		}
	}
	return deepest
}

// Has reports whether a member is present. One that is null counts as absent:
// some providers write what they do not know as null.
func (o Object) Has(name string) bool {
	value, ok := o[name]
	return ok && string(value) != "null"
}

// Text returns a member that is a string, and "" if it is absent.
func (o Object) Text(name string) (string, error) {
	value := o[name]
	if len(value) > 1 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil // without the allocations of Unmarshal
	}
	var s string
	if o.Has(name) && json.Unmarshal(value, &s) != nil {
		return "", errType
	}
	return s, nil
}

// Texts returns a member that is a string or a list of strings. ok is false if
// it is neither. An absent member counts as the empty string.
func (o Object) Texts(name string) (texts []string, ok bool) {
	if one, err := o.Text(name); err == nil {
		return []string{one}, true
	}
	var several []*string
	if json.Unmarshal(o[name], &several) != nil || slices.Contains(several, nil) {
		return nil, false
	}
	for _, s := range several {
		texts = append(texts, *s)
	}
	return texts, true
}

// Time returns a member that is a number of seconds since 1970, rounded down to
// a whole second, and the zero time if it is absent.
func (o Object) Time(name string) (time.Time, error) {
	if !o.Has(name) {
		return time.Time{}, nil
	}
	// A JSON string is not taken for a number, since its quotes are still there.
	seconds, err := strconv.ParseFloat(string(o[name]), 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		return time.Time{}, fault(name + " is not a number of seconds since 1970")
	}
	return time.Unix(int64(math.Floor(seconds)), 0), nil
}

// Printable reports whether all characters of s are printable ASCII, as those
// of codes, tokens and identifiers are.
func Printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}
