package bearer_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/bearer"
)

var long = strings.Repeat("a", 64<<10)

// authorizations are lines of Authorization, and what Token makes of them.
var authorizations = []struct {
	name  string
	lines []string
	want  string
	err   error
}{
	{"a JWT", []string{"Bearer eyJ.e30.c2ln"}, "eyJ.e30.c2ln", nil},
	{"all characters of a token68", []string{"Bearer azAZ09-._~+/=="}, "azAZ09-._~+/==", nil},
	{"the scheme in odd case", []string{"bEARER x"}, "x", nil},
	{"several spaces", []string{"Bearer   x"}, "x", nil},
	{"64 KB", []string{"Bearer " + long}, long, nil},
	{"64 KB and a byte", []string{"Bearer " + long + "a"}, "", bearer.ErrSyntax},

	{"Basic", []string{"Basic dTpw"}, "", bearer.ErrScheme},
	{"DPoP", []string{"DPoP eyJ.e30.c2ln"}, "", bearer.ErrScheme},
	{"a scheme that begins like it", []string{"BearerToken x"}, "", bearer.ErrScheme},
	{"a scheme that ends like it", []string{"XBearer x"}, "", bearer.ErrScheme},
	{"a token without scheme", []string{"eyJ.e30.c2ln"}, "", bearer.ErrScheme},
	{"an empty header", []string{""}, "", bearer.ErrScheme},
	{"a space in front", []string{" Bearer x"}, "", bearer.ErrScheme},
	{"a tab between", []string{"Bearer\tx"}, "", bearer.ErrScheme},
	{"a colon between", []string{"Bearer: x"}, "", bearer.ErrScheme},

	{"the scheme alone", []string{"Bearer"}, "", bearer.ErrSyntax},
	{"the scheme and a space", []string{"Bearer "}, "", bearer.ErrSyntax},
	{"padding alone", []string{"Bearer =="}, "", bearer.ErrSyntax},
	{"padding in the middle", []string{"Bearer x=y"}, "", bearer.ErrSyntax},
	{"two tokens", []string{"Bearer x y"}, "", bearer.ErrSyntax},
	{"two tokens, by comma", []string{"Bearer x,y"}, "", bearer.ErrSyntax},
	{"two credentials in one line", []string{"Bearer x, Bearer y"}, "", bearer.ErrSyntax},
	{"a space behind", []string{"Bearer x "}, "", bearer.ErrSyntax},
	{"a tab behind", []string{"Bearer x\t"}, "", bearer.ErrSyntax},
	{"quotes", []string{`Bearer "x"`}, "", bearer.ErrSyntax},
	{"a parameter", []string{`Bearer token="x"`}, "", bearer.ErrSyntax},
	{"a line break", []string{"Bearer x\ny"}, "", bearer.ErrSyntax},
	{"a NUL", []string{"Bearer x\x00"}, "", bearer.ErrSyntax},
	{"not ASCII", []string{"Bearer é"}, "", bearer.ErrSyntax},

	{"two lines", []string{"Bearer x", "Bearer y"}, "", bearer.ErrRepeated},
	{"the same line twice", []string{"Bearer x", "Bearer x"}, "", bearer.ErrRepeated},
	{"Basic beside it", []string{"Bearer x", "Basic dTpw"}, "", bearer.ErrRepeated},
	{"an empty line beside it", []string{"", "Bearer x"}, "", bearer.ErrRepeated},
}

func TestToken(t *testing.T) {
	t.Parallel()
	for _, c := range authorizations {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, present, err := bearer.Token(http.Header{"Authorization": c.lines})
			if got != c.want || !present || err != c.err {
				t.Errorf("got %q, present %t, %v; want %q, present, %v", got, present, err, c.want, c.err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "signin: ") {
				t.Errorf("got error text %q; want signin: in front", err)
			}
		})
	}
}

func TestTokenIsAbsentOnlyWithoutHeader(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.Header{
		"nil": nil, "no header": {}, "no value": {"Authorization": nil},
		"other places": {"Proxy-Authorization": {"Bearer x"}, "X-Authorization": {"Bearer x"}, "Cookie": {"access_token=x"}},
	} {
		if got, present, err := bearer.Token(h); got != "" || present || err != nil {
			t.Errorf("%s: got %q, present %t, %v; want nothing", name, got, present, err)
		}
	}
}
