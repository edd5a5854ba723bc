package settings_test

import (
	"bytes"
	"errors"
	"net/url"
	"testing"

	"github.com/gosignin/signin/internal/settings"
)

func TestCheck(t *testing.T) {
	c := new(settings.Checker)
	if err := c.Err(); err != nil {
		t.Errorf("got %v; want no mistake yet", err)
	}
	double := func(n int) (int, error) { return 2 * n, nil }
	refuse := func(int) (int, error) { return 0, errors.New("is odd") }
	if got := settings.Check(c, "Even", 2, double); got != 4 || c.Err() != nil {
		t.Errorf("got %d, %v; want 4, and no mistake", got, c.Err())
	}
	settings.Check(c, "Odd", 1, refuse)
	c.Add("Other", errors.New("is missing"))
	if got, want := c.Err().Error(), "signin: Config.Odd is odd\nsignin: Config.Other is missing"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestKeys(t *testing.T) {
	loopback, public := &url.URL{Host: "localhost:8080"}, &url.URL{Host: "app.example.com"}
	good := bytes.Repeat([]byte{1}, 32)
	for _, row := range []struct {
		name  string
		given [][]byte
		base  *url.URL
		wrong string
	}{
		{"two keys", [][]byte{good, good}, public, ""},
		{"a short key behind a good one", [][]byte{good, good[:31]}, public, "signin: Config.Keys[1] has 31 bytes; needs 32 or more: openssl rand -hex 32"},
		{"no key on loopback", nil, loopback, ""},
		{"no key elsewhere", nil, public, "signin: Config.Keys are missing; make one with openssl rand -hex 32 (optional only while BaseURL is on loopback)"},
		{"no key, and a BaseURL that is a mistake", nil, nil, "signin: Config.Keys are missing; make one with openssl rand -hex 32 (optional only while BaseURL is on loopback)"},
	} {
		c := new(settings.Checker)
		got := settings.Keys(c, row.given, 32, row.base)
		if err := c.Err(); (err != nil) != (row.wrong != "") || err != nil && err.Error() != row.wrong {
			t.Errorf("%s: got %v; want %q", row.name, err, row.wrong)
		}
		if len(got) != max(1, len(row.given)) || row.given == nil && (len(got[0]) != 32 || bytes.Equal(got[0], make([]byte, 32))) {
			t.Errorf("%s: got %d keys; want those given, or a random one", row.name, len(got))
		}
	}
	given := [][]byte{bytes.Clone(good)}
	got := settings.Keys(new(settings.Checker), given, 32, public)
	if given[0][0] = 9; got[0][0] != 1 {
		t.Error("want a copy, which does not change with the caller's slice")
	}
}
