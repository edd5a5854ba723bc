package bearer_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/bearer"
)

var long = strings.Repeat("a", 32<<10)

const b64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

// authorizations are lines of Authorization, and what Token makes of them.
var authorizations = []struct {
	name  string
	lines []string
	want  string
	err   error
}{
	{"a JWT", []string{"Bearer eyJ.e30.c2ln"}, "eyJ.e30.c2ln", nil},
	{"all characters of a token68", []string{"Bearer " + b64 + "=="}, b64 + "==", nil},
	{"the scheme in mixed case", []string{"bEARER x"}, "x", nil},
	{"several spaces", []string{"Bearer   x"}, "x", nil},
	{"32 KB", []string{"Bearer " + long}, long, nil},
	{"32 KB and a byte", []string{"Bearer " + long + "a"}, "", bearer.ErrSyntax},
	{"a token behind 32 KB of spaces", []string{"Bearer " + strings.Repeat(" ", 32<<10) + "x"}, "", bearer.ErrSyntax},
	{"a megabyte of another scheme", []string{"Basic " + strings.Repeat("x", 1<<20)}, "", bearer.ErrSyntax},

	{"Basic", []string{"Basic dTpw"}, "", bearer.ErrScheme},
	{"a scheme that begins like it", []string{"BearerToken x"}, "", bearer.ErrScheme},
	{"a scheme that ends like it", []string{"XBearer x"}, "", bearer.ErrScheme},
	{"a token without a scheme", []string{"eyJ.e30.c2ln"}, "", bearer.ErrScheme},
	{"an empty header", []string{""}, "", bearer.ErrScheme},
	{"a leading space", []string{" Bearer x"}, "", bearer.ErrScheme},

	{"the scheme and a space", []string{"Bearer "}, "", bearer.ErrSyntax},
	{"padding alone", []string{"Bearer =="}, "", bearer.ErrSyntax},
	{"padding in the middle", []string{"Bearer x=y"}, "", bearer.ErrSyntax},
	{"two tokens", []string{"Bearer x y"}, "", bearer.ErrSyntax},
	{"a trailing space", []string{"Bearer x "}, "", bearer.ErrSyntax},
	{"quotes", []string{`Bearer "x"`}, "", bearer.ErrSyntax},
	{"a line break", []string{"Bearer x\ny"}, "", bearer.ErrSyntax},
	{"a letter beyond ASCII", []string{"Bearer é"}, "", bearer.ErrSyntax},

	{"the same line twice", []string{"Bearer x", "Bearer x"}, "", bearer.ErrRepeated},
	{"Basic after it", []string{"Bearer x", "Basic dTpw"}, "", bearer.ErrRepeated},
	{"an empty line before it", []string{"", "Bearer x"}, "", bearer.ErrRepeated},
}

func TestToken(t *testing.T) {
	t.Parallel()
	for _, row := range authorizations {
		got, present, err := bearer.Token(http.Header{"Authorization": row.lines})
		if got != row.want || !present || err != row.err {
			t.Errorf("%s: got %q, present %t, %v; want %q, present, %v", row.name, got, present, err, row.want, row.err)
		}
	}
	for name, h := range map[string]http.Header{
		"no header": nil, "no value": {"Authorization": nil},
		"other places": {"Proxy-Authorization": {"Bearer x"}, "Cookie": {"access_token=x"}},
	} {
		if got, present, err := bearer.Token(h); got != "" || present || err != nil {
			t.Errorf("%s: got %q, present %t, %v; want nothing", name, got, present, err)
		}
	}
}

// credentials is https://www.rfc-editor.org/rfc/rfc6750#section-2.1 as a regular
// expression.
var credentials = regexp.MustCompile(`\A(?i:bearer) +([A-Za-z0-9._~+/-]+=*)\z`)

// FuzzToken compares Token with the grammar.
func FuzzToken(f *testing.F) {
	for _, row := range authorizations {
		if line := strings.Join(row.lines, "\n"); len(line) < 1<<10 { // long ones slow the fuzzing down
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 32<<10 {
			return // see authorizations
		}
		want := ""
		if m := credentials.FindStringSubmatch(line); m != nil {
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
	})
}
