package settings_test

import (
	"errors"
	"testing"

	"github.com/gosignin/signin/internal/settings"
)

func TestAfterSignOut(t *testing.T) {
	t.Parallel()
	onRoute := func(u string) error {
		if u == "https://app.example/sign-in" {
			return errors.New("a route")
		}
		return nil
	}
	for u, good := range map[string]bool{
		"https://www.example.com/bye?x=1":  true,
		"http://www.example.com/":          false,
		"https://user@www.example.com/":    false,
		"https://www.example.com/#x":       false,
		"https:///bye":                     false,
		"https:www.example.com":            false,
		"javascript:alert(1)":              false,
		"https://www.example.com\\@e.test": false,
		"https://app.example/sign-in":      false,
	} {
		got, err := settings.AfterSignOut(u, onRoute)
		if (err == nil) != good || err == nil && got != u {
			t.Errorf("%s: got %q, %v; want it accepted: %t", u, got, err, good)
		}
	}
}

func TestOfflineAtKeycloak(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		issuer string
		scopes []string
		want   bool
	}{
		{"https://sso.example/realms/staff", []string{"openid", "offline_access"}, true},
		{"https://sso.example/realms/staff", []string{"openid"}, false},
		{"https://sso.example/oidc", []string{"offline_access"}, false},
	} {
		if got := settings.OfflineAtKeycloak(row.issuer, row.scopes); got != row.want {
			t.Errorf("%s, %v: got %t; want %t", row.issuer, row.scopes, got, row.want)
		}
	}
}
