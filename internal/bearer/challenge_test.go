package bearer_test

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/bearer"
)

func TestChallenge(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) *time.Duration { return &d }
	for _, test := range []struct {
		name string
		c    bearer.Challenge
		want string
	}{
		{"no token was presented", bearer.Challenge{}, `Bearer realm=""`},
		{"invalid_request", bearer.Challenge{Error: bearer.CodeInvalidRequest}, `Bearer error="invalid_request"`},
		{"invalid_token", bearer.Challenge{Error: bearer.CodeInvalidToken}, `Bearer error="invalid_token"`},
		{
			"insufficient_scope", bearer.Challenge{Error: bearer.CodeInsufficientScope, Scope: "read write:all"},
			`Bearer error="insufficient_scope", scope="read write:all"`,
		},
		{
			"insufficient_user_authentication", bearer.Challenge{Error: bearer.CodeInsufficientUserAuthentication, ACRValues: []string{"mfa", "phr"}, MaxAge: ago(5 * time.Minute)},
			`Bearer error="insufficient_user_authentication", acr_values="mfa phr", max_age="300"`,
		},
		{"a max_age of now", bearer.Challenge{MaxAge: ago(0)}, `Bearer max_age="0"`},
		{"a max_age below nothing", bearer.Challenge{MaxAge: ago(-time.Hour)}, `Bearer max_age="0"`},
		{"a max_age between two seconds", bearer.Challenge{MaxAge: ago(1999 * time.Millisecond)}, `Bearer max_age="1"`},
		{"a max_age as long as can be", bearer.Challenge{MaxAge: ago(math.MaxInt64)}, `Bearer max_age="9223372036"`},
		{"an error that is none", bearer.Challenge{Error: `x", realm="y`}, `Bearer realm=""`},
		{"an error of the token endpoint", bearer.Challenge{Error: "invalid_grant"}, `Bearer realm=""`},
		{"scopes that are none", bearer.Challenge{Scope: "  a\" b\\ c\r\nd é \x7f a\tb ok  ko "}, `Bearer scope="ok ko"`},
		{"no scope that is one", bearer.Challenge{Scope: ` " `}, `Bearer realm=""`},
		{"every character of a scope", bearer.Challenge{Scope: "!#$[]~,;="}, `Bearer scope="!#$[]~,;="`},
		{"acr_values that are none", bearer.Challenge{ACRValues: []string{`"`, "", "urn:x:mfa", "a b", `\`}}, `Bearer acr_values="urn:x:mfa"`},
		{"no acr_values that are any", bearer.Challenge{ACRValues: []string{"a b"}}, `Bearer realm=""`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := test.c.String()
			if got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
			invalid := bearer.InvalidToken(http.Header{"Www-Authenticate": {got}})
			if want := test.c.Error == bearer.CodeInvalidToken; invalid != want {
				t.Errorf("got invalid token %t; want %t", invalid, want)
			}
		})
	}
}

// answers are lines of WWW-Authenticate, and whether they say that the token is no
// good.
var answers = []struct {
	name  string
	lines []string
	want  bool
}{
	{"as RFC 6750 has it", []string{`Bearer realm="example", error="invalid_token", error_description="The access token expired"`}, true},
	{"the error first", []string{`Bearer error="invalid_token"`}, true},
	{"without quotes", []string{`Bearer error=invalid_token`}, true},
	{"without quotes, and more behind", []string{`Bearer error=invalid_token, realm=x`}, true},
	{"scheme and name in odd case", []string{`bEaReR ERROR="invalid_token"`}, true},
	{"white space about everything", []string{" ,\t, Bearer   error \t=\t \"invalid_token\" \t"}, true},
	{"empty elements", []string{`,, Bearer ,, realm="x",, error="invalid_token",,`}, true},
	{"no space behind commas", []string{`Bearer realm="x",error="invalid_token",scope="y"`}, true},
	{"escapes", []string{`Bearer error="inv\alid\_token"`}, true},
	{"quotes, commas and escapes before it", []string{`Bearer realm="a\", b=\"c\\", error="invalid_token"`}, true},
	{"behind another challenge", []string{`Basic realm="x", Bearer error="invalid_token"`}, true},
	{"behind a challenge without parameters", []string{`Negotiate, Bearer error="invalid_token"`}, true},
	{"behind a token68", []string{`Negotiate YWJj/+==, Bearer error="invalid_token"`}, true},
	{"behind a token68 that looks like a parameter", []string{`Negotiate abc=, Bearer error="invalid_token"`}, true},
	{"before another challenge", []string{`Bearer error="invalid_token", Basic realm="x"`}, true},
	{"between two bearer challenges", []string{`Bearer realm="x", Bearer error="invalid_token", Bearer realm="y"`}, true},
	{"on the second line", []string{`Basic realm="x"`, `Bearer error="invalid_token"`}, true},
	{"parameters that go on upon the next line", []string{`Bearer realm="x"`, `error="invalid_token"`}, true},
	{"before something ill formed", []string{`Bearer error="invalid_token", "`}, true},

	{"no header", nil, false},
	{"an empty line", []string{""}, false},
	{"commas alone", []string{", ,,"}, false},
	{"the scheme alone", []string{"Bearer"}, false},
	{"no error", []string{`Bearer realm="x"`}, false},
	{"another error", []string{`Bearer error="insufficient_scope"`}, false},
	{"an error that begins like it", []string{`Bearer error="invalid_token2"`}, false},
	{"an error that ends like it", []string{`Bearer error=" invalid_token"`}, false},
	{"an error in another case", []string{`Bearer error="INVALID_TOKEN"`}, false},
	{"an empty error", []string{`Bearer error=""`}, false},
	{"another parameter with its value", []string{`Bearer errors="invalid_token"`}, false},
	{"a description", []string{`Bearer error_description="invalid_token"`}, false},
	{"the text of a description", []string{`Bearer error_description="error=\"invalid_token\""`}, false},
	{"the text of a realm", []string{`Bearer realm="x, error=invalid_token"`}, false},
	{"the text of a realm, dressed up as a challenge", []string{`Basic realm="x\", Bearer error=\"invalid_token"`}, false},
	{"another scheme", []string{`DPoP error="invalid_token"`}, false},
	{"another scheme behind it", []string{`Bearer realm="x", DPoP error="invalid_token"`}, false},
	{"another scheme behind it, without parameters between", []string{`Bearer, DPoP error="invalid_token"`}, false},
	{"another scheme behind it, on the next line", []string{`Bearer realm="x"`, `DPoP error="invalid_token"`}, false},
	{"a scheme that begins like it", []string{`BearerX error="invalid_token"`}, false},
	{"no scheme", []string{`error="invalid_token"`}, false},
	{"Bearer as a parameter", []string{`Basic Bearer="x", error="invalid_token"`}, false},
	{"Bearer as a parameter's value", []string{`Basic realm=Bearer, error="invalid_token"`}, false},
	{"Bearer as a token68", []string{`Negotiate Bearer, error="invalid_token"`}, false},
	{"two schemes without a comma", []string{`Basic Bearer error="invalid_token"`}, false},
	{"a parameter behind a token68", []string{`Bearer abc==, error="invalid_token"`}, false},
	{"an empty value", []string{`Bearer error=`}, false},
	{"an empty value, and more behind", []string{`Bearer realm="x", error=, invalid_token`}, false},
	{"a value with something behind", []string{`Bearer error="invalid_token"x`}, false},
	{"a value without quotes with something behind", []string{`Bearer error=invalid_token"x"`}, false},
	{"two values", []string{`Bearer error=invalid_token x`}, false},
	{"quotes that do not end", []string{`Bearer error="invalid_token`}, false},
	{"quotes that do not end, by an escape", []string{`Bearer error="invalid_token\"`}, false},
	{"an escape at the end", []string{`Bearer error="invalid_token\`}, false},
	{"quotes that do not end, before it", []string{`Bearer realm="x, error="invalid_token"`}, false},
	{"apostrophes for quotes", []string{`Bearer error='invalid_token'`}, false},
	{"a colon", []string{`Bearer: error="invalid_token"`}, false},
	{"a tab behind the scheme", []string{"Bearer\terror=\"invalid_token\""}, false},
	{"semicolons", []string{`Bearer realm="x"; error="invalid_token"`}, false},
	{"something ill formed before it", []string{`@, Bearer error="invalid_token"`}, false},
	{"a line that is ill formed before it", []string{`Basic realm="x`, `Bearer error="invalid_token"`}, false},
	{"a quoted string that ends on the next line", []string{`Basic realm="x`, `y", error="invalid_token"`}, false},
	{"a comma behind the scheme in place of a space", []string{`Bearer, error="invalid_token"`}, false},
	{"a tab behind the scheme and a space", []string{"Bearer \terror=\"invalid_token\""}, false},
	{"a parameter behind a line that is ill formed", []string{`Bearer realm="x`, `error="invalid_token"`}, false},
	{"a parameter without a name before it", []string{`Bearer realm="x", ="y", error="invalid_token"`}, false},
	{"a token68 without a scheme before it", []string{`/abc, Bearer error="invalid_token"`}, false},
	{"a token68 that no space parts from its scheme", []string{`Negotiate/abc, Bearer error="invalid_token"`}, false},
	{"arguments that are neither a token68 nor a parameter", []string{`Basic a!`}, false},
	{"arguments that are neither, before it", []string{`Basic a!, Bearer error="invalid_token"`}, false},
	{"a value that only ends in quotes", []string{`Bearer error=@invalid_token"`}, false},
	{"JSON", []string{`{"error":"invalid_token"}`}, false},
}

func TestInvalidToken(t *testing.T) {
	t.Parallel()
	for _, c := range answers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := bearer.InvalidToken(http.Header{"Www-Authenticate": c.lines}); got != c.want {
				t.Errorf("%q: got %t; want %t", c.lines, got, c.want)
			}
		})
	}
}

func TestInvalidTokenLooksAtOneHeaderOnly(t *testing.T) {
	t.Parallel()
	if bearer.InvalidToken(http.Header{"Proxy-Authenticate": {`Bearer error="invalid_token"`}}) {
		t.Error("a proxy's challenge was taken for the API's")
	}
}

func TestInvalidTokenReadsSoMuchAndNoMore(t *testing.T) {
	t.Parallel()
	const invalid = `Bearer error="invalid_token"`
	fill := strings.Repeat(",", 16<<10-len(invalid))
	for _, c := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"16 KB in one line", []string{fill + invalid}, true},
		{"16 KB in one line, and a byte", []string{fill + "," + invalid}, false},
		{"16 KB in two lines and the comma between them", []string{fill[1:], invalid}, true},
		{"16 KB in two lines and the comma between them, and a byte", []string{fill, invalid}, false},
		{"16 KB of empty lines", append(make([]string, 16<<10-len(invalid)), invalid), true},
		{"16 KB of empty lines, and one more", append(make([]string, 16<<10-len(invalid)+1), invalid), false},
		{"the first line of two that are too long", []string{invalid, fill + ","}, true},
		{"many lines", append(slices.Repeat([]string{"a b"}, 16<<10/3), invalid), false},
	} {
		if got := bearer.InvalidToken(http.Header{"Www-Authenticate": c.lines}); got != c.want {
			t.Errorf("%s: got %t; want %t", c.name, got, c.want)
		}
	}
}

func TestInvalidTokenComesToAnEnd(t *testing.T) {
	t.Parallel()
	for _, part := range []string{",", " ", "a", "a ", "a,", "a b,", "a=b,", `a="b",`, `a="\"",`, "Bearer ", "Bearer a=b, ", "=", `"`, "a/b==,", "\t,", `\`, "\x00", "é"} {
		line := strings.Repeat(part, 16<<10/len(part))
		if bearer.InvalidToken(http.Header{"Www-Authenticate": {line}}) {
			t.Errorf("%q, many times: got an invalid token", part)
		}
	}
}
