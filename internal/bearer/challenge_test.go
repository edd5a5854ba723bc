package bearer_test

import (
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/bearer"
)

func TestChallenge(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) *time.Duration { return &d }
	for _, row := range []struct {
		name string
		c    bearer.Challenge
		want string
	}{
		{"no token was presented", bearer.Challenge{}, `Bearer realm=""`},
		{"invalid_request", bearer.Challenge{Error: bearer.CodeInvalidRequest}, `Bearer error="invalid_request"`},
		{"invalid_token", bearer.Challenge{Error: bearer.CodeInvalidToken}, `Bearer error="invalid_token"`},
		{"insufficient_scope", bearer.Challenge{Error: bearer.CodeInsufficientScope, Scope: "read write:all"},
			`Bearer error="insufficient_scope", scope="read write:all"`},
		{"insufficient_user_authentication", bearer.Challenge{
			Error: bearer.CodeInsufficientUserAuthentication, ACRValues: []string{"mfa", "phr"}, MaxAge: ago(time.Minute)},
			`Bearer error="insufficient_user_authentication", acr_values="mfa phr", max_age="60"`},
		{"a max_age of zero", bearer.Challenge{MaxAge: ago(0)}, `Bearer max_age="0"`},
		{"a negative max_age", bearer.Challenge{MaxAge: ago(-time.Hour)}, `Bearer max_age="0"`},
		{"a max_age between two seconds", bearer.Challenge{MaxAge: ago(1999 * time.Millisecond)}, `Bearer max_age="1"`},
		{"the longest max_age", bearer.Challenge{MaxAge: ago(math.MaxInt64)}, `Bearer max_age="9223372036"`},
		{"an error that ends the parameter", bearer.Challenge{Error: `x", realm="y`}, `Bearer realm=""`},
		{"an error of the token endpoint", bearer.Challenge{Error: "invalid_grant"}, `Bearer realm=""`},
		{"malformed scopes", bearer.Challenge{Scope: "  a\" b\\ c\r\nd é \x7f a\tb ok  ko "}, `Bearer scope="ok ko"`},
		{"malformed scopes alone", bearer.Challenge{Scope: ` " `}, `Bearer realm=""`},
		{"every character of a scope", bearer.Challenge{Scope: "!#$[]~,;="}, `Bearer scope="!#$[]~,;="`},
		{"malformed acr_values", bearer.Challenge{ACRValues: []string{`"`, "", "urn:mfa", "a b", `\`}}, `Bearer acr_values="urn:mfa"`},
		{"malformed acr_values alone", bearer.Challenge{ACRValues: []string{"a b"}}, `Bearer realm=""`},
	} {
		if got := row.c.String(); got != row.want {
			t.Errorf("%s: got %s; want %s", row.name, got, row.want)
		}
	}
}

// answers are lines of WWW-Authenticate, and whether they say that the token is
// invalid.
var answers = []struct {
	name  string
	lines []string
	want  bool
}{
	{"as in RFC 6750", []string{`Bearer realm="example", error="invalid_token", error_description="expired"`}, true},
	{"without quotes", []string{`Bearer error=invalid_token`}, true},
	{"scheme and name in mixed case", []string{`bEaReR ERROR="invalid_token"`}, true},
	{"white space around everything", []string{" ,\t, Bearer   error \t=\t \"invalid_token\" \t"}, true},
	{"empty elements", []string{`,, Bearer ,, realm="x",, error="invalid_token",,`}, true},
	{"escapes", []string{`Bearer error="inv\alid\_token"`}, true},
	{"quotes, commas and escapes before it", []string{`Bearer realm="a\", b=\"c\\", error="invalid_token"`}, true},
	{"after another challenge", []string{`Basic realm="x", Bearer error="invalid_token"`}, true},
	{"after a challenge without parameters", []string{`Negotiate, Bearer error="invalid_token"`}, true},
	{"after token68s, one of which looks like a parameter", []string{`Negotiate YWJj/+==, Negotiate abc=, Bearer error="invalid_token"`}, true},
	{"before another challenge", []string{`Bearer error="invalid_token", Basic realm="x"`}, true},
	{"on the second line", []string{`Basic realm="x"`, `Bearer error="invalid_token"`}, true},
	{"parameters that continue on the next line", []string{`Bearer realm="x"`, `error="invalid_token"`}, true},
	{"before a malformed challenge", []string{`Bearer error="invalid_token", "`}, true},

	{"no header", nil, false},
	{"no error", []string{`Bearer realm="x"`}, false},
	{"another error", []string{`Bearer error="insufficient_scope"`}, false},
	{"an error that begins like it", []string{`Bearer error="invalid_token2"`}, false},
	{"another parameter with its value", []string{`Bearer errors="invalid_token"`}, false},
	{"a description", []string{`Bearer error_description="invalid_token"`}, false},
	{"the text of a realm", []string{`Bearer realm="x, error=invalid_token"`}, false},
	{"the text of a realm that looks like a challenge", []string{`Basic realm="x\", Bearer error=\"invalid_token"`}, false},
	{"another scheme", []string{`DPoP error="invalid_token"`}, false},
	{"a scheme that begins like it", []string{`BearerX error="invalid_token"`}, false},
	{"no scheme", []string{`error="invalid_token"`}, false},
	{"Bearer as a token68", []string{`Negotiate Bearer, error="invalid_token"`}, false},
	{"a parameter after a token68", []string{`Bearer abc==, error="invalid_token"`}, false},
	{"an empty value, and more after it", []string{`Bearer realm="x", error=, invalid_token`}, false},
	{"text after a value without quotes", []string{`Bearer error=invalid_token"x"`}, false},
	{"quotes that do not end", []string{`Bearer error="invalid_token`}, false},
	{"quotes that do not end, before it", []string{`Bearer realm="x, error="invalid_token"`}, false},
	{"a tab after the scheme", []string{"Bearer\terror=\"invalid_token\""}, false},
	{"a malformed challenge before it", []string{`@, Bearer error="invalid_token"`}, false},
	{"a malformed line before it", []string{`Basic realm="x`, `Bearer error="invalid_token"`}, false},
	{"a comma after the scheme instead of a space", []string{`Bearer, error="invalid_token"`}, false},
	{"a space and a tab after the scheme", []string{"Bearer \terror=\"invalid_token\""}, false},
	{"a parameter without a name before it", []string{`Bearer realm="x", ="y", error="invalid_token"`}, false},
	{"a token68 without a scheme before it", []string{`/abc, Bearer error="invalid_token"`}, false},
	{"malformed arguments before it", []string{`Basic a!, Bearer error="invalid_token"`}, false},
}

func TestInvalidToken(t *testing.T) {
	t.Parallel()
	for _, row := range answers {
		if got := bearer.InvalidToken(http.Header{"Www-Authenticate": row.lines}); got != row.want {
			t.Errorf("%s: %q: got %t; want %t", row.name, row.lines, got, row.want)
		}
	}
	if bearer.InvalidToken(http.Header{"Proxy-Authenticate": {`Bearer error="invalid_token"`}}) {
		t.Error("got true for a proxy's challenge; want false")
	}
}

func TestInvalidToken_LongHeader(t *testing.T) {
	t.Parallel()
	const invalid = `Bearer error="invalid_token"`
	fill := strings.Repeat(",", 16<<10-len(invalid))
	for _, row := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"16 KB in one line", []string{fill + invalid}, true},
		{"16 KB in one line, and a byte", []string{fill + "," + invalid}, false},
		{"16 KB in two lines and the comma between them", []string{fill[1:], invalid}, true},
		{"16 KB in two lines and the comma between them, and a byte", []string{fill, invalid}, false},
		{"16 KB of empty lines, and one more", append(make([]string, 16<<10-len(invalid)+1), invalid), false},
		{"the first of two lines that are too long together", []string{invalid, fill + ","}, true},
	} {
		if got := bearer.InvalidToken(http.Header{"Www-Authenticate": row.lines}); got != row.want {
			t.Errorf("%s: got %t; want %t", row.name, got, row.want)
		}
	}
}

// FuzzInvalidToken checks that only a line with that error counts as one, that the
// same line inside quoted text does not, and that a well-formed list of challenges,
// composed from parts, means what its parts mean.
func FuzzInvalidToken(f *testing.F) {
	for _, row := range answers {
		f.Add(strings.Join(row.lines, ", "), "Bearer", "error", "invalid_token", byte(0))
	}
	f.Add("", "bEARER", "ERROR", "invalid_token", byte(0xff))
	f.Add("", "DPoP", "error", `in"valid\token`, byte(0x55))
	f.Fuzz(func(t *testing.T, line, scheme, name, value string, form byte) {
		says := bearer.InvalidToken(http.Header{"Www-Authenticate": {line}})
		if says && !strings.Contains(strings.ReplaceAll(line, `\`, ""), "invalid_token") {
			t.Errorf("%q: got true", line)
		}
		hidden := `Bearer realm=` + quote(line)
		if bearer.InvalidToken(http.Header{"Www-Authenticate": {hidden}}) {
			t.Errorf("%q: got true", hidden)
		}
		if !token.MatchString(scheme) || !token.MatchString(name) || len(scheme+name+value) > 4<<10 {
			return
		}
		composed := compose(scheme, name, value, form)
		want := strings.EqualFold(scheme, "bearer") && strings.EqualFold(name, "error") && value == "invalid_token"
		if got := bearer.InvalidToken(http.Header{"Www-Authenticate": {composed}}); got != want {
			t.Errorf("%q: got %t; want %t", composed, got, want)
		}
	})
}

var token = regexp.MustCompile("\\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\\z")

func quote(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

// compose writes a challenge with one parameter of interest between others. Each bit
// of form chooses one of two ways to write it.
func compose(scheme, name, value string, form byte) string {
	either := func(bit int, a, b string) string {
		if form>>bit&1 == 0 {
			return a
		}
		return b
	}
	if form&1 == 0 || !token.MatchString(value) {
		value = quote(value)
	}
	return either(1, "", `Basic realm="Bearer error=invalid_token", `) + either(2, "", ", ,\t") +
		either(3, "", "Negotiate YWJj==, ") + scheme + either(4, " ", "   ") + either(5, "", `realm="a\", b", `) +
		name + either(6, "=", " =\t") + value + either(7, "", ` , x=y,, DPoP algs="ES256"`)
}
