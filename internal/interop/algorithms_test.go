//go:build !long

package interop

import "github.com/luikyv/go-oidc/pkg/goidc"

// keyAlgorithms are what ID tokens are signed with. Each of them takes a
// process of Node, so the others run with the tag long.
var keyAlgorithms = []goidc.SignatureAlgorithm{goidc.ES384}
