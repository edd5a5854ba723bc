package bearer_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/bearer"
)

// credentials is https://www.rfc-editor.org/rfc/rfc6750#section-2.1 as a regular
// expression.
var credentials = regexp.MustCompile(`\A(?i:bearer) +([A-Za-z0-9._~+/-]+=*)\z`)

// FuzzToken compares with the grammar, in both directions.
func FuzzToken(f *testing.F) {
	for _, c := range authorizations {
		if line := strings.Join(c.lines, "\n"); len(line) < 1<<10 { // long ones slow the fuzzing down to nothing
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		want := ""
		if m := credentials.FindStringSubmatch(line); m != nil && len(m[1]) <= 64<<10 {
			want = m[1]
		}
		got, present, err := bearer.Token(http.Header{"Authorization": {line}})
		if got != want || !present || (err == nil) != (want != "") {
			t.Fatalf("%q: got %q, present %t, %v; want %q", line, got, present, err, want)
		}
		scheme, _, _ := strings.Cut(line, " ")
		if err != nil && (err == bearer.ErrScheme) == strings.EqualFold(scheme, "Bearer") {
			t.Errorf("%q: got %v", line, err)
		}
		if got, _, err := bearer.Token(http.Header{"Authorization": {line, "Bearer x"}}); got != "" || err != bearer.ErrRepeated {
			t.Errorf("%q, and another header: got %q, %v; want neither", line, got, err)
		}
	})
}

// written is what a Challenge may look like: parameters in quoted-strings of
// printable ASCII. https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4
var (
	written   = regexp.MustCompile(`\ABearer [a-z_]+="(?:[ !#-\[\]-~]|\\["\\])*"(?:, [a-z_]+="(?:[ !#-\[\]-~]|\\["\\])*")*\z`)
	parameter = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// FuzzChallenge: whatever it is made of, it is a challenge of the form of RFC 9110
// that says what it was told to say as far as that can be said, and nothing else.
func FuzzChallenge(f *testing.F) {
	f.Add("invalid_token", "read write", "mfa")
	f.Add("invalid_request", `x", error="invalid_token`, `\`)
	f.Add("", "\x00", `" Bearer error=invalid_token`)
	f.Add("insufficient_scope", "  a\" b\\ c\r\nd é \x7f a\tb ok  ko ", "a b")
	f.Add("insufficient_user_authentication", "!#$[]~,;=", "urn:x:mfa")
	f.Fuzz(func(t *testing.T, code, scope, acr string) {
		got := bearer.Challenge{Error: bearer.Code(code), Scope: scope, ACRValues: []string{acr, scope}}.String()
		if !written.MatchString(got) {
			t.Fatalf("got %q", got)
		}
		said := map[string]string{}
		for _, m := range parameter.FindAllStringSubmatch(got, -1) {
			if _, twice := said[m[1]]; twice {
				t.Errorf("%q: %s twice", got, m[1])
			}
			said[m[1]] = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(m[2])
		}
		known := []string{"invalid_request", "invalid_token", "insufficient_scope", "insufficient_user_authentication"}
		if !slices.Contains(known, code) {
			code = ""
		}
		for name, want := range map[string]string{
			"realm": "", "error": code, "scope": scopes(strings.Split(scope, " ")), "acr_values": scopes([]string{acr, scope}),
		} {
			if _, there := said[name]; said[name] != want || there && want == "" && (name != "realm" || len(said) > 1) {
				t.Errorf("%q: got %s %q; want %q", got, name, said[name], want)
			}
		}
		if len(got) < 16<<10 && bearer.InvalidToken(http.Header{"Www-Authenticate": {got}}) != (code == "invalid_token") {
			t.Errorf("%q: got %q, read as something else", code, got)
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc6749#section-3.3
var scopeToken = regexp.MustCompile(`\A[!#-\[\]-~]+\z`)

// scopes joins those that are of the form of a scope.
func scopes(values []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(values), func(s string) bool { return !scopeToken.MatchString(s) }), " ")
}

// FuzzInvalidToken: only a line that holds all three words can be true, quoted text
// that is put around a line hides it, and a list of challenges that is well formed,
// written out from parts, says what its parts say. What is ill formed may be taken
// for less than it says.
func FuzzInvalidToken(f *testing.F) {
	for _, c := range answers {
		first, second := strings.Join(c.lines, ", "), ""
		if len(c.lines) == 2 {
			first, second = c.lines[0], c.lines[1]
		}
		f.Add(first, second, "Bearer", "error", "invalid_token", byte(0))
	}
	f.Add("", "", "bEARER", "ERROR", "invalid_token", byte(0xff))
	f.Add("", "", "DPoP", "error", `in"valid\token`, byte(0x55))
	f.Fuzz(func(t *testing.T, first, second, scheme, name, value string, form byte) {
		got := bearer.InvalidToken(http.Header{"Www-Authenticate": {first, second}})
		bare := strings.ToLower(strings.ReplaceAll(first+second, `\`, ""))
		if got && !(strings.Contains(bare, "bearer") && strings.Contains(bare, "error") && strings.Contains(bare, "invalid_token")) {
			t.Errorf("%q, %q: got true", first, second)
		}
		hidden := `Bearer realm="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(first+second) + `"`
		if bearer.InvalidToken(http.Header{"Www-Authenticate": {hidden}}) {
			t.Errorf("%q: got true", hidden)
		}
		if alone := bearer.InvalidToken(http.Header{"Www-Authenticate": {first}}); alone && !got {
			t.Errorf("%q: got true, and false with %q behind it", first, second)
		}

		if !token.MatchString(scheme) || !token.MatchString(name) || len(scheme+name+value) > 4<<10 {
			return
		}
		line := compose(scheme, name, value, form)
		want := strings.EqualFold(scheme, "bearer") && strings.EqualFold(name, "error") && value == "invalid_token"
		if got := bearer.InvalidToken(http.Header{"Www-Authenticate": {line}}); got != want {
			t.Errorf("%q: got %t; want %t", line, got, want)
		}
	})
}

var token = regexp.MustCompile("\\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\\z")

// compose writes a challenge with one parameter of interest between others; each
// bit of form chooses one of two ways to write it.
func compose(scheme, name, value string, form byte) string {
	either := func(bit int, a, b string) string {
		if form>>bit&1 == 0 {
			return a
		}
		return b
	}
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	if form>>0&1 == 1 && token.MatchString(value) {
		quoted = value
	}
	return either(1, "", `Basic realm="Bearer error=invalid_token", `) +
		either(2, "", ", ,\t") +
		either(3, "", "Negotiate YWJj==, ") +
		scheme + either(4, " ", "   ") +
		either(5, "", `realm="a\", b", `) +
		name + either(6, "=", " =\t") + quoted +
		either(7, "", ` , x=y,, DPoP algs="ES256"`)
}
