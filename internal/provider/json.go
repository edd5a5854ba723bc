package provider

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gosignin/signin/internal/members"
)

// maxDepth is how deeply an answer may be nested. encoding/json stops at
// 10,000, which is far more than an application's own code expects.
const maxDepth = 64

const (
	errNoObject  = fault("no JSON object")
	errDuplicate = fault("a JSON object with two members of one name")
	errType      = fault("a JSON member of the wrong type")
)

// object is a JSON object at its top level: names to the letter, values raw.
type object map[string]json.RawMessage

// parseObject reads a whole JSON object with nothing behind it. Names must be
// unique, https://www.rfc-editor.org/rfc/rfc7519#section-4, in the eyes of
// encoding/json too: it takes "Sub" for "sub", so that of such a pair this
// package would judge the one and an application read the other. The values share
// memory with data.
func parseObject(data []byte) (object, error) {
	// Whether it is JSON is for Each to say.
	if !utf8.Valid(data) || depth(data) > maxDepth {
		return nil, errNoObject
	}
	o := make(object, min(bytes.Count(data, []byte(`":`)), 32))
	unusual := make(map[string]bool) // folded names that are not the members' own
	twice := false
	err := members.Each(string(data), func(name string, from, to int) {
		folded := foldLower(name)
		if _, known := o[folded]; known || unusual[folded] {
			twice = true
		}
		if folded != name {
			unusual[folded] = true
		}
		o[name] = data[from:to:to]
	})
	switch {
	case err != nil:
		return nil, errNoObject
	case twice:
		return nil, errDuplicate
	}
	return o, nil
}

// foldLower maps names to one that Fold takes for the same. That is the name
// itself for those that tokens have, in lower case, so that nothing is made.
func foldLower(name string) string {
	usual := !strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf || 'A' <= r && r <= 'Z' })
	if usual {
		return name
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, Fold(name))
}

// Fold maps names to one that encoding/json takes for the same.
func Fold(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
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

// has reports whether a member is there. A member that is null is not: some
// providers write what they do not know as null.
func (o object) has(name string) bool {
	value, ok := o[name]
	return ok && string(value) != "null"
}

// text returns a member that is a string, and "" if it is not there.
func (o object) text(name string) (string, error) {
	if !o.has(name) {
		return "", nil
	}
	if value := o[name]; value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil // without the garbage that json.Unmarshal makes
	}
	var s *string
	if err := json.Unmarshal(o[name], &s); err != nil {
		return "", errType
	}
	return *s, nil
}
