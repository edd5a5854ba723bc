package authflow_test

import (
	"strings"
	"testing"
	"time"
)

func TestHint(t *testing.T) {
	t.Parallel()
	all := at(t, start)
	own := strings.TrimPrefix(all.Hint("/x"), ".")
	long := strings.TrimPrefix(all.Hint("/"+strings.Repeat("x", 256)), ".")
	_, cookie, _ := strings.Cut(pair(all, begun(t)), "=")
	for _, row := range []struct {
		name, value string
		after       time.Duration
		want        string
		ok          bool
	}{
		{"its own", own, 0, "/x", true},
		{"of a return_to of more than 256 bytes", long, 0, "", true},
		{"an hour old", own, time.Hour, "", false},
		{"none", "", 0, "", false},
		{"changed", own[:len(own)-1], 0, "", false},
		{"a transaction's cookie", cookie, 0, "", false},
	} {
		got, ok := at(t, start.Add(row.after)).ReadHint(row.value)
		if got != row.want || ok != row.ok {
			t.Errorf("%s: got %q, %t; want %q, %t", row.name, got, ok, row.want, row.ok)
		}
	}
	if n := len(all.Hint("/" + strings.Repeat("x", 255))); n > 512 {
		t.Errorf("got a hint of %d bytes; want 512 at most", n)
	}
}
