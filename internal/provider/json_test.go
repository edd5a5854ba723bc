package provider_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/provider"
)

// objectTexts are objects, and what is none, with all that a reader can trip over.
func objectTexts() []string {
	texts := []string{
		``, ` `, `null`, `7`, `"x"`, `[]`, `[{}]`, `{}`, " {\t}\r\n", `{} {}`, `{}x`, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, "\ufeff{}",
		`{"a":1}`, ` { "a" : 1 , "b" : "x" } `, `{"a":-1.5e+3,"b":true,"c":false,"d":null,"e":[],"f":{}}`,
		`{"a":"}","b":"]","c":"\"","d":"\\","e":"\\\"","f":",","g":":"}`, `{"a":"x\u0041\n\/"}`, `{"a":"\ud800"}`, `{"a":""}`, `{"":1}`,
		`{"a":[1,[2,{"b":"]}"}]],"c":{"a":{"a":1,"a":2}}}`, `{"a":{"b":1} ,"c":[ ] }`, "{\"a\"\n:\t1\r}",
		`{"a":1,"a":1}`, `{"a":1,"A":1}`, `{"A":1,"a":1}`, `{"A":1,"A":1}`, `{"a":1,"\u0061":1}`, `{"sub":1,"ſub":1}`, `{"ſub":1,"sub":1}`, `{"ſ":1,"S":1}`,
		`{"k":1,"K":1}`, `{"K":1,"K":1}`, `{"ä":1,"Ä":1}`, `{"ä":1,"a":1}`, `{"A":1,"B":1,"c":1}`, `{"z":1,"Z":1}`, `{"a0_":1,"A0_":1}`, `{"A0":1,"aP":1}`, `{"a\u0000":1,"a":1}`, `{"\ud800":1,"\ud801":1}`,
		`{"a":1,"b":{"c":2},"a":3}`, "{\"a\":\"\xff\"}", "{\"\xff\":1}", `{"a":"` + "\x00" + `"}`, `{"a":01}`, `{"a":tru}`,
		`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
	}
	for _, c := range accessCases() {
		texts = append(texts, c.payload())
	}
	return texts
}

// sameObject fails unless both readers say the same of a text.
func sameObject(t *testing.T, text []byte) {
	t.Helper()
	got, gotErr := provider.ParseObject(text)
	want, wantErr := provider.TokenizedObject(text)
	if gotErr != wantErr || !maps.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("%q: got %q, %v; want %q, %v", text, got, gotErr, want, wantErr)
	}
	for name := range got {
		str, text, strErr, textErr := provider.Texts(got, name)
		if str != text || strErr != textErr {
			t.Errorf("member %q: got %q, %v; want %q, %v", name, str, strErr, text, textErr)
		}
	}
}

func TestParseObjectReadsAsATokenizerDoes(t *testing.T) {
	t.Parallel()
	for _, text := range objectTexts() {
		sameObject(t, []byte(text))
	}
}

// Every text that is cut short, and every text with one byte changed.
func TestParseObjectReadsMangledTextsAsATokenizerDoes(t *testing.T) {
	t.Parallel()
	for _, text := range objectTexts()[:48] {
		for i := range len(text) {
			sameObject(t, []byte(text[:i]))
			for _, b := range []byte(`{}[]",:\ 1aA`) {
				mangled := []byte(text)
				mangled[i] = b
				sameObject(t, mangled)
			}
		}
	}
}

// FuzzParseObject holds the two readers of JSON objects to one another.
func FuzzParseObject(f *testing.F) {
	for _, text := range objectTexts() {
		f.Add([]byte(text))
	}
	f.Fuzz(sameObject)
}
