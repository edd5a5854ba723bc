package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/gosignin/signin/signintest"
)

// startProvider starts the provider for tests, at addr or, if another program is
// there, at a free port.
func startProvider(addr, baseURL string) (*signintest.Provider, error) {
	host, _, _ := net.SplitHostPort(addr) // empty where there is no port
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, mistake{fmt.Errorf("-provider-addr is %q; needs an address such as 127.0.0.1:3001 "+
			"that only this machine reaches, since there is no password", addr)}
	}
	// NewProvider panics where it cannot listen. So look first.
	switch l, err := net.Listen("tcp", addr); {
	case errors.Is(err, syscall.EADDRINUSE):
		addr = "127.0.0.1:0"
	case err != nil:
		return nil, fmt.Errorf("%w; choose another address with -provider-addr", err)
	default:
		l.Close()
	}
	provider := signintest.NewProvider(signintest.WithAddr(addr))
	// The pictures of the test users are nowhere to be found. This one is.
	for _, u := range []signintest.User{signintest.Alice(), signintest.NaverUser()} {
		u.Picture = baseURL + "/static/portrait.svg"
		provider.SetUser(u)
	}
	return provider, nil
}
