//go:build long

package cookie_test

import (
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/cookie"
)

func TestFind_Allocations(t *testing.T) {
	lines := []string{strings.Repeat("a=b; ", 200_000), name + "=v"}
	if n := testing.AllocsPerRun(3, func() { cookie.Find(lines, name) }); n != 0 {
		t.Errorf("got %v allocations; want none", n)
	}
}
