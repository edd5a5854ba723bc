//go:build long

package interop

import "github.com/luikyv/go-oidc/pkg/goidc"

var keyAlgorithms = []goidc.SignatureAlgorithm{goidc.RS256, goidc.ES256, goidc.ES384, edDSA, goidc.PS256}
