package bearer

import (
	"errors"
	"net/http"
	"strings"
)

const scheme = "Bearer"

// b64 are the characters of a b64token, except "=" at its end
// (https://www.rfc-editor.org/rfc/rfc6750#section-2.1). It is tempting to use a
// regular expression, but that takes 9 µs for a token of 880 bytes, not 0.6.
const b64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

// maxHeader is how long the header's value may be. A longer one is not read: the
// token would be too long, or behind spaces that no client sends.
const (
	maxToken  = 32 << 10 // parsing a longer token takes longer than checking many signatures
	maxHeader = len(scheme+" ") + maxToken
)

// These errors say why no token can be read from a request.
var (
	// ErrScheme is answered like a request without a token, since the client has
	// not tried to present one: https://www.rfc-editor.org/rfc/rfc6750#section-3
	ErrScheme = errors.New("signin: the scheme of the Authorization header is not Bearer")
	ErrSyntax = errors.New("signin: the Authorization header has no well-formed token of at most 32 KB")
	// With two headers, a proxy might judge one and the application read the other.
	ErrRepeated = errors.New("signin: more than one Authorization header")
)

// Token returns the token that a request presents. present is false only if there
// is no Authorization header at all; err is nil only if there is a token.
func Token(h http.Header) (token string, present bool, err error) {
	lines := h["Authorization"]
	if len(lines) == 0 {
		return "", false, nil
	}
	if len(lines) > 1 {
		return "", true, ErrRepeated
	}
	if len(lines[0]) > maxHeader {
		return "", true, ErrSyntax
	}
	// The case is ignored: https://www.rfc-editor.org/rfc/rfc9110#section-11.1
	name, rest, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(name, scheme) {
		return "", true, ErrScheme
	}
	// credentials = "Bearer" 1*SP b64token
	token = strings.TrimLeft(rest, " ")
	unpadded := strings.TrimRight(token, "=")
	if unpadded == "" || strings.TrimLeft(unpadded, b64) != "" {
		return "", true, ErrSyntax
	}
	return token, true, nil
}
