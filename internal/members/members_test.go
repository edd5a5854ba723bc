package members_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/members"
)

type member struct{ name, value string }

func each(object string) (all []member, err error) {
	err = members.Each(object, func(name string, from, to int) { all = append(all, member{name, object[from:to]}) })
	return all, err
}

// tokenized is the oracle: the same by encoding/json's tokenizer.
func tokenized(object string) (all []member, ok bool) {
	dec := json.NewDecoder(strings.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, false
		}
		all = append(all, member{name.(string), string(value)})
	}
	if _, err := dec.Token(); err != nil {
		return nil, false
	}
	rest := make([]byte, 1)
	n, _ := dec.Buffered().Read(rest)
	return all, n == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0
}

var objects = []string{
	`{}`, ` { } `, `{"a":1}`, `{"a":"b","c":[1,{"d":2}],"e":{"f":"}"},"g":null,"h":true,"i":-1.5e3}`,
	`{"a" : "b" , "c" : "d" }`, "{\n\t\"a\":\r\n1\n}", `{"\u0073ub":"x","s\"b":"\\\"}","\\":"]"}`,
	`{"a":1,"a":2}`, "{\"\xe7\":\"\xe7\"}", `{"":""}`, `{"a":"\\"}`, `{"a":"\ud83d\ude00"}`, `{"a":[[[]]],"b":[{}]}`, `{"a":{"sub":"inner"},"sub":"outer"}`,
}

var noObjects = []string{
	"", " ", "null", "[]", `"a"`, "1", "{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1}{}`, `{"a":1} x`, `{"a":"b}`, "{\"a\":\"\n\"}", `{"a":01}`,
}

func TestEach(t *testing.T) {
	t.Parallel()
	for _, object := range objects {
		got, err := each(object)
		want, ok := tokenized(object)
		if err != nil || !ok || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v; want %q", object, got, err, want)
		}
	}
	for _, text := range noObjects {
		if got, err := each(text); err == nil || got != nil {
			t.Errorf("%q: got %q, %v; want an error and no members", text, got, err)
		}
	}
}

// Each finds what encoding/json's tokenizer finds, and is never confused by
// anything.
func FuzzEach(f *testing.F) {
	for _, s := range slices.Concat(objects, noObjects) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := each(text)
		want, ok := tokenized(text)
		if json.Valid([]byte(text)) && ok {
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		} else if err == nil {
			t.Errorf("got %q; want an error", got)
		}
	})
}
