package provider

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/gosignin/signin/internal/members"
)

// readObject is parseObject for tokens that come with each request: it returns
// the same objects and refuses the same texts, without the garbage of a
// json.Decoder. The values share memory with data.
func readObject(data []byte) (object, error) {
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

// str is text for tokens that come with each request: the same answers, without
// the garbage that json.Unmarshal makes of a string.
func (o object) str(name string) (string, error) {
	if value := o[name]; len(value) > 0 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	return o.text(name)
}
