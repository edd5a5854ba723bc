package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/gosignin/signin/signintest"
)

// StartProvider starts the provider for tests, at -provider-addr or, if another
// program is there, at a free port. Listen comes first: it completes BaseURL.
func (s *Settings) StartProvider() (*signintest.Provider, error) {
	addr := s.providerAddr
	host, _, _ := net.SplitHostPort(addr) // empty where there is no port
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, Mistake{fmt.Errorf("-provider-addr is %q; needs an address such as 127.0.0.1:3001 "+
			"that only this machine reaches, since there is no password", addr)}
	}
	// NewProvider panics if it cannot listen, so try first.
	switch l, err := net.Listen("tcp", addr); {
	case errors.Is(err, syscall.EADDRINUSE):
		addr = "127.0.0.1:0"
	case err != nil:
		return nil, fmt.Errorf("%w; choose another address with -provider-addr", err)
	default:
		l.Close()
	}
	provider := signintest.NewProvider(signintest.WithAddr(addr))
	s.WebhookKey = rand.Text()
	provider.SetWebhook(s.BaseURL+"/logto-webhook", s.WebhookKey)
	alice, bob, naver := signintest.Alice(), signintest.Bob(), signintest.NaverUser()
	// Other users have no permission of the API.
	alice.Permissions[s.APIResource] = []string{"read:orders", "write:orders"}
	bob.Permissions = map[string][]string{s.APIResource: {"read:orders"}}
	// The pictures of the test users do not exist. This one does.
	alice.Picture = s.BaseURL + "/static/portrait.svg"
	naver.Picture = alice.Picture
	alice.Claims = map[string]any{"organization_data": []organization{
		{ID: "org_one", Name: "Leaf & Kettle"}, {ID: "org_two", Name: "Biscuit Club"},
	}}
	for _, u := range []signintest.User{alice, bob, naver} {
		provider.SetUser(u)
	}
	return provider, nil
}
