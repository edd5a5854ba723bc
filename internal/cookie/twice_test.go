package cookie_test

import (
	"testing"

	"github.com/gosignin/signin/internal/cookie"
)

func TestTwice(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, line string
		want       bool
	}{
		{"none", "", false},
		{"one", "a=1; b=2", false},
		{"two parts of one value", "a=.1; a.2=2", false},
		{"two with different paths", "a=1; b=2; a=2", true},
		{"two second parts", "a=.1; a.2=2; a.2=3", true},
		{"one value twice, by a proxy that repeats the header", "a=1; a=1", false},
		{"names that only begin alike", "a=1; aa=2; a.tx.X=3; a.tx.X=4", false},
	} {
		if got := cookie.Twice([]string{row.line}, "a"); got != row.want {
			t.Errorf("%s: got %t; want %t", row.name, got, row.want)
		}
	}
}
