// Package jwt verifies what a provider signs: ID tokens, logout tokens, and
// access tokens for APIs.
//
//	keys := jwt.NewKeySet(time.Now, slog.Default(), fetchKeys).Pin([]string{"ES384"})
//	v := jwt.Verifier{
//		Issuer: "https://…", ClientID: "…", Now: time.Now,
//		Keys: func(context.Context) (*jwt.KeySet, error) { return keys, nil },
//	}
//	id, err := v.IDToken(ctx, raw, jwt.Expect{Nonce: nonce})
//
// go-jose reads keys and checks signatures, and go-oidc checks ID tokens and
// logout tokens. It is given iss, sub, aud, exp and iat alone. A wrong type in any
// of these fails a token. The other rules are here. They read claims by their exact
// names, and never from [oidc.IDToken], because encoding/json, which fills it, takes
// "SUB" for "sub". A claim that is of no use here may have any type: at_hash, nbf
// and sid of a wrong type count as absent.
//
// A token is outside input. The keys that its header names (jwk, jku, x5u, x5c)
// are ignored, and claims by reference (_claim_names) are not fetched. An error
// quotes of a token at most iss, aud, azp, alg, kid and typ.
package jwt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/internal/document"
)

const (
	// maxSize is how long a token may be, in bytes.
	maxSize = 64 << 10
	// maxHeader is how long its header may be, in base64. This package and go-jose
	// read it several times before the signature is checked.
	maxHeader = 8 << 10
	// maxMembers is how many commas a header has, and maxClaims how many the claims
	// of a token that anyone may send: each member of an object, and each element of a
	// list, costs as much as a hundred bytes of text. They are read before the signature
	// is checked.
	maxMembers, maxClaims = 64, 512
	// maxLogout is how long a logout token may be, in bytes. Logto's has 600.
	maxLogout = 8 << 10
)

// fault says what is wrong with a token.
type fault string

func (f fault) Error() string { return string(f) }

// forged is the fault of a signature that fails under the very key that it names. later
// is not nil if that key may have changed: it could not be fetched again just now.
type forged struct {
	fault
	later error
}

func (f forged) Unwrap() error { return f.later }

// settled returns an error about a token that anyone may send. A signature that fails
// under the key that it names is forged then: that key has hardly changed in the last
// five seconds, and forged tokens must neither wait nor look like a fault of this program.
func settled(err error) error {
	if f, ok := err.(forged); ok {
		return f.fault
	}
	return err
}

// malformed makes a fault of an error of package document about a token.
func malformed(err error) error {
	if err == nil {
		return nil
	}
	return fault(err.Error())
}

// ErrOdd marks errors about a refreshed ID token from which nothing can be concluded:
// it is not used, and the session goes on with the claims that it has.
var ErrOdd = errors.New("signin: the ID token is odd")

// oddity marks a fault as ErrOdd.
type oddity struct{ error }

func (oddity) Is(target error) bool { return target == ErrOdd }

const (
	errForm   = fault("it is not a signed JWT in compact form")
	errHeader = fault("its header has crit or b64")
)

// errType is the fault of a token of another kind.
func errType(typ string) error {
	return fault("its typ is " + document.Quote(typ) + ", which is that of another kind of token")
}

// Verifier verifies tokens of one provider. All fields are required. It is safe
// for concurrent use while they are not changed.
//
// An error of its methods is one of Keys, or a [*document.Error] while the keys
// are not available, or ErrNoAPI. Any other error is about the token.
type Verifier struct {
	// Issuer is the provider's exact identifier. ClientID is this application's:
	// the audience of ID tokens and logout tokens.
	Issuer, ClientID string
	// Keys returns the provider's keys. It is not called for a malformed token,
	// nor for an access token that would be refused regardless of its
	// signature.
	Keys func(context.Context) (*KeySet, error)
	// Now is the clock. The age of a token is measured when it arrives, before the
	// keys are fetched.
	Now func() time.Time

	seen sync.Map // the algorithms that have signed this provider's ID tokens
}

// now returns the time in whole seconds, the unit of most claims. With a
// fraction, a claim that is 60 seconds off would often be refused.
func (v *Verifier) now() time.Time { return v.Now().Truncate(time.Second) }

// token is a JWT in compact form, decoded and not verified. alg, kid and typ
// are empty if the header lacks them. typ is in lower case, without
// "application/".
type token struct {
	raw, alg, kid, typ string
	payload            []byte
}

var comma = []byte{','}

// parse decodes a token. Encrypted tokens, which have five parts, and tokens in
// a JSON form are refused before anything is decoded.
func parse(raw string) (*token, error) {
	parts := strings.SplitN(raw, ".", 4)
	// Go's base64 decoder skips line breaks, which are not allowed in a token.
	if len(parts) != 3 || len(raw) > maxSize || len(parts[0]) > maxHeader || strings.ContainsAny(raw, "\r\n") {
		return nil, errForm
	}
	var decoded [3][]byte
	for i, part := range parts {
		// Without Strict a token could be encoded in several ways: go-jose
		// checks the signature over what it has decoded, and the encoding of
		// the signature is not protected at all.
		var err error
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil || part == "" {
			return nil, errForm
		}
	}
	if bytes.Count(decoded[0], comma) > maxMembers {
		return nil, errForm
	}
	header, err := document.Parse(decoded[0])
	if err := cmp.Or(err, spelled(header, "alg", "kid", "typ", "crit", "b64", "jwk")); err != nil {
		return nil, malformed(err)
	}
	// crit lists the extensions that a recipient must support, and none is
	// supported here (https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11).
	// go-jose supports b64, which a JWT must not have
	// (https://www.rfc-editor.org/rfc/rfc7797#section-7).
	for _, name := range []string{"crit", "b64"} {
		if _, ok := header[name]; ok {
			return nil, errHeader
		}
	}
	t := &token{raw: raw, payload: decoded[1]}
	// A kid that is a number is refused, as go-jose does: "Its value MUST be a
	// case-sensitive string" (https://www.rfc-editor.org/rfc/rfc7515#section-4.1.4).
	for name, to := range map[string]*string{"alg": &t.alg, "kid": &t.kid, "typ": &t.typ} {
		if *to, err = header.Text(name); err != nil {
			return nil, fault("its " + name + " is not text")
		}
	}
	// https://www.rfc-editor.org/rfc/rfc7515#section-4.1.9
	t.typ = strings.ToLower(t.typ)
	t.typ = cmp.Or(strings.TrimPrefix(t.typ, "application/"), t.typ)
	return t, nil
}

// verify checks the signature of a token.
func (v *Verifier) verify(ctx context.Context, t *token) error {
	keys, err := v.Keys(ctx)
	if err != nil {
		return err
	}
	return keys.verify(ctx, t)
}

// open checks what ID tokens and logout tokens have in common: form, header,
// signature, issuer and audience. objection is what go-oidc says. The caller
// returns it last, since it is the least precise.
func (v *Verifier) open(ctx context.Context, raw string, isType func(typ string) bool, cfg oidc.Config) (t *token, c claims, objection, err error) {
	if t, err = parse(raw); err != nil {
		return t, c, nil, err
	}
	if !isType(t.typ) {
		return t, c, nil, errType(t.typ)
	}
	cfg.ClientID, cfg.SupportedSigningAlgs = v.ClientID, []string{t.alg}
	sig := &signature{verifier: v, token: t, err: errForm}
	if _, err := oidc.NewVerifier(v.Issuer, sig, &cfg).Verify(ctx, raw); err != nil {
		objection = fault("go-oidc does not accept its iss, aud, exp or iat")
	}
	if sig.err != nil {
		return t, c, nil, sig.err
	}
	return t, sig.claims, objection, sig.claims.parties(v.Issuer, v.ClientID)
}

// signature is the [oidc.KeySet] for one token. It keeps the error, since
// go-oidc would return only its text.
type signature struct {
	verifier *Verifier
	token    *token
	claims   claims
	err      error // errForm until go-oidc has called VerifySignature
}

// VerifySignature implements [oidc.KeySet]. The signature is checked over the whole
// payload. go-oidc is given the claims that it is to judge, and no others: it would
// refuse a token for the type of a claim that is not used here.
func (s *signature) VerifySignature(ctx context.Context, _ string) ([]byte, error) {
	if s.err = s.verifier.verify(ctx, s.token); s.err == nil {
		s.claims, s.err = parseClaims(s.token.payload)
	}
	if s.err != nil {
		return nil, s.err
	}
	return s.claims.only("iss", "sub", "aud", "exp", "iat"), nil
}
