// Package jwt verifies what a provider signs: ID tokens, logout tokens, and
// access tokens for APIs.
//
//	keys := jwt.NewKeySet(time.Now, fetchKeys).Pin([]string{"ES384"})
//	v := jwt.Verifier{
//		Issuer: "https://…", ClientID: "…", Now: time.Now,
//		Keys: func(context.Context) (*jwt.KeySet, error) { return keys, nil },
//	}
//	id, err := v.IDToken(ctx, raw, jwt.Expect{Nonce: nonce})
//
// go-jose reads keys and checks signatures, and go-oidc judges ID tokens and
// logout tokens. The rules here are those that go-oidc leaves to its caller, or
// is lax about. They read claims by their exact names, never from
// [oidc.IDToken]: encoding/json, which fills that, takes "SUB" for "sub".
//
// A token is outside input. What its header says of keys (jwk, jku, x5u, x5c)
// plays no part, claims by reference (_claim_names) are not fetched, and
// nothing of its text gets into an error.
package jwt

import (
	"cmp"
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/internal/document"
)

const (
	// maxSize is how long a token may be, in bytes.
	maxSize = 64 << 10
	// maxHeader is how long its header may be, in base64. It is read several
	// times, by us and go-jose, before the signature says that it is worth it.
	maxHeader = 8 << 10
)

// fault is what is wrong with a token, in fixed words: a constant cannot carry
// anything that a provider sent.
type fault string

func (f fault) Error() string { return string(f) }

const (
	errForm   = fault("it is no signed JWT in compact form")
	errHeader = fault("its header has crit or b64, or the type of another token")
)

// Verifier verifies tokens of one provider. All fields are required. It is safe
// for concurrent use while they are not changed.
//
// An error of its methods is one of Keys, or a [*document.Error] while the keys
// are not to be had. Any other is about the token, but for ErrNoAPI.
type Verifier struct {
	// Issuer is the provider's, to the letter. ClientID is this application's:
	// the audience of ID tokens and logout tokens.
	Issuer, ClientID string
	// Keys returns the provider's keys. It is not called for a token that is
	// malformed, or an access token that no signature could save.
	Keys func(context.Context) (*KeySet, error)
	// Now is the clock. A token is as old as it is on arrival, however long the
	// keys take.
	Now func() time.Time
}

// now is the time in whole seconds, as most claims have it: with a fraction, 60
// seconds of skew would be more than a minute half of the time.
func (v *Verifier) now() time.Time { return v.Now().Truncate(time.Second) }

// token is one in compact form, taken apart and not verified. What the header
// does not say is "". typ is in lower case, without "application/".
type token struct {
	raw, alg, kid, typ string
	payload            []byte
}

// parse takes a token apart. Encrypted tokens (five parts) and those in a JSON
// form never reach a parser.
func parse(raw string) (*token, error) {
	parts := strings.SplitN(raw, ".", 4)
	// base64 as Go reads it skips line breaks; a token has none.
	if len(parts) != 3 || len(raw) > maxSize || len(parts[0]) > maxHeader || strings.ContainsAny(raw, "\r\n") {
		return nil, errForm
	}
	var decoded [3][]byte
	for i, part := range parts {
		// Strictly, or a token would have several spellings: go-jose checks the
		// signature of what it has decoded, and nothing signs the signature.
		var err error
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil || part == "" {
			return nil, errForm
		}
	}
	header, err := document.Parse(decoded[0])
	if err != nil {
		return nil, err
	}
	// crit lists what must be understood, and no extension is understood here
	// (https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11). go-jose understands
	// b64, which tokens do not have
	// (https://www.rfc-editor.org/rfc/rfc7797#section-7).
	for _, name := range []string{"crit", "b64"} {
		if _, ok := header[name]; ok {
			return nil, errHeader
		}
	}
	t := &token{raw: raw, payload: decoded[1]}
	for name, to := range map[string]*string{"alg": &t.alg, "kid": &t.kid, "typ": &t.typ} {
		if *to, err = header.Text(name); err != nil {
			return nil, err
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
// signature, issuer and audience. objection is go-oidc's. It comes last, since
// it quotes claims, and the errors of the rules here do not.
func (v *Verifier) open(ctx context.Context, raw string, isType func(typ string) bool, cfg oidc.Config) (t *token, c claims, objection, err error) {
	if t, err = parse(raw); err != nil {
		return t, c, nil, err
	}
	if !isType(t.typ) {
		return t, c, nil, errHeader
	}
	cfg.ClientID, cfg.SupportedSigningAlgs = v.ClientID, []string{t.alg}
	sig := &signature{verifier: v, token: t, err: errForm}
	if _, err := oidc.NewVerifier(v.Issuer, sig, &cfg).Verify(ctx, raw); err != nil {
		objection = fault("a claim is malformed, and not one of those judged here: at_hash, say, or exp that is null")
	}
	if sig.err != nil {
		return t, c, nil, sig.err
	}
	if c, err = parseClaims(t.payload); err != nil {
		return t, c, nil, err
	}
	return t, c, objection, c.parties(v.Issuer, v.ClientID)
}

// signature is the [oidc.KeySet] for one token. It keeps the outcome, since
// go-oidc passes on no more than an error's text.
type signature struct {
	verifier *Verifier
	token    *token
	err      error // errForm until go-oidc has asked
}

// VerifySignature implements [oidc.KeySet].
func (s *signature) VerifySignature(ctx context.Context, _ string) ([]byte, error) {
	s.err = s.verifier.verify(ctx, s.token)
	return s.token.payload, s.err
}
