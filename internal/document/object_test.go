package document_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gosignin/signin/internal/document"
)

const (
	notObject = "not a JSON object"
	twice     = "a JSON object with two members of the same name"
)

// texts are objects and other texts, with all that a reader may get wrong.
func texts() []string {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	return []string{
		``, ` `, `null`, `7`, `"x"`, `[]`, `[{}]`, `{}`, " {\t}\r\n", `{} {}`, `{}x`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, "\ufeff{}", `{a:1}`, `{"a":1} x`,
		`{"a":1}`, ` { "a" : 1 , "b" : "x" } `, `{"a":-1.5e+3,"b":true,"c":false,"d":null,"e":[],"f":{}}`, `{"a":"b}`, "{\"a\":\"\n\"}",
		`{"a":"}","b":"]","c":"\"","d":"\\","e":"\\\"","f":",","g":":"}`, `{"a":"x\u0041\n\/"}`, `{"a":"\ud800"}`, `{"a":"\ud83d\ude00"}`, `{"a":""}`, `{"":1}`,
		`{"a":[1,[2,{"b":"]}"}]],"c":{"a":{"a":1,"a":2}}}`, `{"a":{"b":1} ,"c":[ ] }`, "{\"a\"\n:\t1\r}", `{"a":{"sub":"inner"},"sub":"outer"}`,
		`{"\u0073ub":"x","s\"b":"\\\"}","\\":"]"}`, "{\"\xe7\":\"\xe7\"}",
		`{"a":1,"a":1}`, `{"a":1,"A":1}`, `{"A":1,"a":1}`, `{"A":1,"A":1}`, `{"a":1,"\u0061":1}`, `{"sub":1,"ſub":1}`, `{"ſub":1,"sub":1}`, `{"ſ":1,"S":1}`,
		`{"k":1,"K":1}`, `{"K":1,"K":1}`, `{"ä":1,"Ä":1}`, `{"ä":1,"a":1}`, `{"A":1,"B":1,"c":1}`, `{"z":1,"Z":1}`, `{"a0_":1,"A0_":1}`, `{"A0":1,"aP":1}`,
		`{"x5t":1,"X5t":2}`, `{"a@z":1,"A@Z":2}`, `{"a\u0000":1,"a":1}`, `{"\ud800":1,"\ud801":1}`, `{"İ":1,"i":1}`, `{"ß":1,"ẞ":1}`, `{"Σ":1,"ς":1}`,
		`{"a":1,"b":{"c":2},"a":3}`, "{\"a\":\"\xff\"}", "{\"\xff\":1}", `{"a":"` + "\x00" + `"}`, `{"a":01}`, `{"a":tru}`,
		`{"a":` + nested(63) + `}`, `{"a":` + nested(64) + `}`, `{"a":"` + nested(64) + `"}`, `{"a":"\"` + nested(64) + `"}`, `{"a":"\\","b":` + nested(64) + `}`,
	}
}

// tokenized returns what Parse has to return, by the tokenizer of
// encoding/json.
func tokenized(text []byte) (object map[string]json.RawMessage, objection string) {
	if !utf8.Valid(text) || !json.Valid(text) || depth(text) > 64 {
		return nil, notObject
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, _ := dec.Token(); open != json.Delim('{') {
		return nil, notObject
	}
	object = make(map[string]json.RawMessage)
	for dec.More() {
		token, _ := dec.Token()
		name, _ := token.(string)
		if _, again := object[name]; again {
			return nil, twice
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, notObject
		}
		object[name] = value
	}
	return object, ""
}

// depth returns how deeply valid JSON is nested.
func depth(text []byte) (deepest int) {
	dec, open := json.NewDecoder(bytes.NewReader(text)), 0
	for {
		token, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open++
		case json.Delim('}'), json.Delim(']'):
			open--
		}
		deepest = max(deepest, open)
	}
}

// agree fails unless both readers return the same for a text.
func agree(t *testing.T, text []byte) {
	t.Helper()
	want, objection := tokenized(text)
	got, err := document.Parse(text)
	if err != nil && (got != nil || err.Error() != objection) || err == nil && objection != "" {
		t.Fatalf("%q: got %q, %v; want error %q", text, got, err, objection)
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("%q: got %q; want %q", text, got, want)
	}
	for name, value := range want {
		var s *string
		readable := json.Unmarshal(value, &s) == nil
		text, err := got.Text(name)
		if (err == nil) != readable || got.Has(name) != (string(value) != "null") || s != nil && text != *s || s == nil && text != "" {
			t.Errorf("member %s: got %q, %v, has %t; want it as encoding/json reads it", value, text, err, got.Has(name))
		}
	}
}

// Each text is read in full, cut short, and with one byte changed.
func TestParse_LikeTokenizer(t *testing.T) {
	t.Parallel()
	for n, text := range texts() {
		agree(t, []byte(text))
		for i := range len(text) {
			if n > 47 {
				break // the others are long
			}
			agree(t, []byte(text[:i]))
			for _, b := range []byte(`{}[]",:\ 1aA`) {
				mangled := []byte(text)
				mangled[i] = b
				agree(t, mangled)
			}
		}
	}
}

// FuzzParse compares the two readers.
func FuzzParse(f *testing.F) {
	for _, text := range texts() {
		f.Add([]byte(text))
	}
	f.Fuzz(agree)
}

// A megabyte of brackets is refused without recursion, which would need far
// more memory than a megabyte.
func TestParse_MegabyteOfBrackets(t *testing.T) {
	t.Parallel()
	const n = 1 << 20
	for _, text := range []string{
		strings.Repeat("[", n), strings.Repeat("{", n), strings.Repeat(`{"a":`, n/5), `{"a":` + strings.Repeat("[", n),
		`{"a":` + strings.Repeat("[", n/2) + strings.Repeat("]", n/2) + "}",
		strings.Repeat(`{"a":`, n/6) + "1" + strings.Repeat("}", n/6),
		`{"a":[` + strings.Repeat("[],", n/3) + "[]]", // not deep, and truncated
		`{"a":"` + strings.Repeat("[", n), strings.Repeat("]", n),
	} {
		if _, err := document.Parse([]byte(text)); err == nil || err.Error() != notObject {
			t.Errorf("%.10q…: got error %v; want %s", text, err, notObject)
		}
	}
}

func TestObject_Texts(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		`"a b"`: {"a b"}, `["a","b"]`: {"a", "b"}, `["\u0061"]`: {"a"}, `""`: {""}, `null`: {""}, `[]`: {}, `[""]`: {""},
		`1`: nil, `{}`: nil, `true`: nil, `["a",1]`: nil, `["a",null]`: nil, `[["a"]]`: nil,
	} {
		o, err := document.Parse([]byte(`{"x":` + value + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := o.Texts("x"); ok != (want != nil) || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %t; want %q", value, got, ok, want)
		}
	}
	if got, ok := (document.Object{}).Texts("x"); !ok || !slices.Equal(got, []string{""}) {
		t.Errorf("absent: got %q, %t; want the empty string", got, ok)
	}
}

func TestObject_Time(t *testing.T) {
	t.Parallel()
	const bad = -1
	for value, want := range map[string]int64{
		`0`: 0, `1`: 1, `1.75`: 1, `1e3`: 1000, `253402300799`: 253402300799,
		`-1`: bad, `-0.5`: bad, `253402300800`: bad, `253402300799.5`: bad, `1e300`: bad, `1e400`: bad, `"1"`: bad, `true`: bad, `[1]`: bad, `{}`: bad, `""`: bad,
	} {
		got, err := document.Object{"exp": []byte(value)}.Time("exp")
		if want == bad && (err == nil || err.Error() != "exp is not a number of seconds since 1970" || !got.IsZero()) {
			t.Errorf("%s: got %v, %v; want an error that names it", value, got, err)
		} else if want != bad && (err != nil || got.Unix() != want) {
			t.Errorf("%s: got %v, %v; want %d", value, got, err, want)
		}
	}
	for _, o := range []document.Object{{}, {"exp": []byte("null")}} {
		if got, err := o.Time("exp"); err != nil || !got.IsZero() {
			t.Errorf("%s: got %v, %v; want the zero time", o, got, err)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"": true, " ~a": true, "a\n": false, "\x1f": false, "\x7f": false, "å": false, "\xff": false} {
		if got := document.Printable(s); got != want {
			t.Errorf("%q: got %t; want %t", s, got, want)
		}
	}
}

// Fold returns the same for two names if encoding/json takes one for the other,
// and only then.
func TestFold(t *testing.T) {
	t.Parallel()
	names := []string{"sub", "Sub", "ſub", "SUB", "k", "K", "K", "ä", "Ä", "a", "i", "I", "İ", "ı", "ß", "ẞ", "Å", "å", "Å", "_x", "_X", "", "1"}
	for _, a := range names {
		for _, b := range names {
			if got := document.Fold(a) == document.Fold(b); got != strings.EqualFold(a, b) {
				t.Errorf("%q and %q: got alike %t; want %t", a, b, got, !got)
			}
		}
	}
	if usual := []string{"sub", "auth_time", "x5t#s256", "_claim_names"}; !slices.EqualFunc(usual, usual, func(a, b string) bool { return document.Fold(a) == b }) {
		t.Error("got names in lower case changed")
	}
}
