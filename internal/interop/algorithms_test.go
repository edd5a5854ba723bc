//go:build !long

package interop

import "github.com/luikyv/go-oidc/pkg/goidc"

// keyAlgorithms are the algorithms of ID tokens. Each takes a process of Node, so
// the others run only with the tag long.
var keyAlgorithms = []goidc.SignatureAlgorithm{goidc.ES384}
