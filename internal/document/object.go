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

// fault is a cause in fixed words. As a constant it cannot carry anything that
// a provider sent.
type fault string

func (f fault) Error() string { return string(f) }

const (
	errNoObject = fault("no JSON object")
	errTwice    = fault("a JSON object with two members of one name")
	errSpelling = fault("a JSON object with a member whose name is right but for the case of its letters")
	errType     = fault("a JSON member of the wrong type")
)

// Object is a JSON object at its top level: names to the letter, values raw.
type Object map[string]json.RawMessage

// Parse reads a whole JSON object with nothing behind it. Names must be unique,
// https://www.rfc-editor.org/rfc/rfc7519#section-4, also in the eyes of
// encoding/json, which takes "Sub" for "sub": of such a pair this package would
// judge the one and an application read the other. For the same reason no name
// may be one of exact in other letters.
func Parse(data []byte, exact ...string) (Object, error) {
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
	odd := make(map[string]bool) // folded names of members that have others
	for name := range o {
		folded := Fold(name)
		if folded == name {
			continue
		}
		if _, taken := o[folded]; taken || odd[folded] {
			return nil, errTwice
		}
		odd[folded] = true
	}
	for _, name := range exact {
		if odd[name] {
			return nil, errSpelling
		}
	}
	return o, nil
}

// Fold maps names to one that encoding/json takes for the same. Those that
// documents usually have, in lower case, are mapped to themselves.
func Fold(name string) string {
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

// Has reports whether a member is there. A member that is null is not: some
// providers write what they do not know as null.
func (o Object) Has(name string) bool {
	value, ok := o[name]
	return ok && string(value) != "null"
}

// Text returns a member that is a string, and "" if it is not there.
func (o Object) Text(name string) (string, error) {
	value := o[name]
	if len(value) > 1 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil // without the garbage of Unmarshal
	}
	var s string
	if o.Has(name) && json.Unmarshal(value, &s) != nil {
		return "", errType
	}
	return s, nil
}

// Texts returns a member that is a string or a list of strings. ok is false if
// it is neither. One that is not there is the empty string.
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

// Time returns a member that is a number of seconds since 1970, to the second,
// and the zero time if it is not there.
func (o Object) Time(name string) (time.Time, error) {
	if !o.Has(name) {
		return time.Time{}, nil
	}
	// What is not a number in JSON is none here: text keeps its quotes.
	seconds, err := strconv.ParseFloat(string(o[name]), 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		return time.Time{}, fault(name + " is no number, or no time")
	}
	return time.Unix(int64(math.Floor(seconds)), 0), nil
}

// Printable reports whether s is of printable ASCII characters only, as codes,
// tokens and identifiers are.
func Printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}
