// Package members finds the members of a JSON object, at its top level, without
// decoding them.
//
// encoding/json says first whether the text is valid at all; what is left is to
// find where each member begins and ends. Its own tokenizer does that as well, with
// some fifteen allocations for each member. Searching the text for `"sub":` would
// find that inside a nested claim too.
package members

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrNoObject means that a text is not one JSON object, and nothing besides.
var ErrNoObject = errors.New("signin: not a JSON object")

// Each calls f for each member of an object, in their order, duplicates included:
// its name, decoded, and where its value stands, object[from:to].
func Each(object string, f func(name string, from, to int)) error {
	i := skipSpace(object, 0)
	if !json.Valid([]byte(object)) || object[i] != '{' {
		return ErrNoObject
	}
	for i = skipSpace(object, i+1); object[i] != '}'; {
		end := valueEnd(object, i)
		name := unquote(object[i:end])
		i = skipSpace(object, skipSpace(object, end)+1) // behind the colon
		end = valueEnd(object, i)
		f(name, i, end)
		if i = skipSpace(object, end); object[i] == ',' {
			i = skipSpace(object, i+1)
		}
	}
	return nil
}

// skipSpace returns where, from i on, the next byte is that is not white space.
func skipSpace(text string, i int) int {
	for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
		i++
	}
	return i
}

// valueEnd returns where the value ends that begins at i: a member of an object
// that is valid JSON, so that something comes behind it.
func valueEnd(text string, i int) int {
	open, quoted := 0, false
	for ; ; i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case quoted && b != '"':
		case b == '"':
			if quoted = !quoted; !quoted && open == 0 {
				return i + 1
			}
		case b == '{' || b == '[':
			open++
		case open > 0 && (b == '}' || b == ']'):
			if open--; open == 0 {
				return i + 1
			}
		case open == 0 && strings.IndexByte(",} \t\r\n", b) >= 0:
			return i // of a number, or of true, false, null
		}
	}
}

// unquote returns what a string in valid JSON says.
func unquote(quoted string) string {
	if strings.IndexByte(quoted, '\\') < 0 && utf8.ValidString(quoted) {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal([]byte(quoted), &s) // it is a string
	return s
}
