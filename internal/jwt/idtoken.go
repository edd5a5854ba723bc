package jwt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// maxTransit is how old an ID token may be, including the skew. It is
	// generous, since some providers (Microsoft Entra) set iat five minutes back.
	maxTransit = 5*time.Minute + skew
)

// Expect is what is required of an ID token beyond the rules for all ID tokens.
type Expect struct {
	// Nonce is the one sent with the authorization request. The token must have
	// the same. An empty Nonce matches no token.
	Nonce string
	// Refresh says that the token came with a refresh. It may then lack a nonce,
	// but not have a different one, and Subject must be set.
	// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
	Refresh bool
	// Subject is the person that the token must be about. Empty means anyone.
	Subject string
	// AccessToken is the one received together with the ID token. at_hash, if
	// present, must be its hash.
	AccessToken string
}

// IDToken is a verified ID token.
type IDToken struct {
	// Raw is the token as received, Payload its claims: a JSON object whose
	// member names are unique.
	Raw     string
	Payload []byte
	// Subject (sub) identifies the person at this issuer: 1 to 255 printable
	// ASCII characters.
	Subject string
	// IssuedAt (iat) is when the provider issued it, by its clock.
	IssuedAt time.Time
}

// LogValue keeps token and claims out of logs.
func (IDToken) LogValue() slog.Value { return slog.StringValue("[ID token]") }

// IDToken verifies an ID token: form, algorithm, signature, and all that
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation (or
// #RefreshTokenResponse) requires.
func (v *Verifier) IDToken(ctx context.Context, raw string, want Expect) (*IDToken, error) {
	now := v.now()
	// Tokens of other kinds have other types:
	// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
	// https://www.rfc-editor.org/rfc/rfc9068#section-2.1
	isType := func(typ string) bool { return typ != "logout+jwt" && typ != "at+jwt" }
	t, c, objection, err := v.open(ctx, raw, isType, oidc.Config{Now: func() time.Time { return now.Add(-skew) }})
	if err != nil {
		return nil, err
	}
	// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation (9),
	// (10)
	exp, iat, err := c.times(now)
	switch {
	case err != nil:
		return nil, err
	case exp.IsZero():
		return nil, errExpired
	case iat.IsZero() || iat.Before(now.Add(-maxTransit)):
		return nil, errIssuedAt
	}
	sub, errSub := c.subject()
	_, errSid := c.sessionID()
	if err := cmp.Or(errSub, errSid, want.met(c, sub, t.alg), objection); err != nil {
		return nil, err
	}
	v.seen.Store(t.alg, true)
	return &IDToken{Raw: raw, Payload: t.payload, Subject: sub, IssuedAt: iat}, nil
}

// met checks what is expected of this token. The numbers are the steps of
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation.
func (e Expect) met(c claims, sub, alg string) error {
	nonce, _ := c.Text("nonce")
	hash, _ := c.Text("at_hash")
	_, errAuth := c.Time("auth_time") // their values are judged by the caller
	_, errACR := c.Text("acr")
	if err := cmp.Or(errAuth, errACR); err != nil {
		return err
	}
	switch {
	// Without a Subject to compare with, a refresh could change the person.
	// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
	case (e.Refresh || e.Subject != "") && sub != e.Subject:
		return fault("sub is not the person expected")
	case e.Refresh && !c.Has("nonce"): // a refresh need not repeat it
	case nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(e.Nonce)) != 1: // (11)
		return fault("nonce is not the one sent")
	}
	// https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowTokenValidation
	if c.Has("at_hash") && hash != leftHash(alg, e.AccessToken) {
		return fault("at_hash is not that of the access token")
	}
	return nil
}

// leftHash returns the left half of the hash that belongs to an algorithm. For
// Ed25519 it is SHA-512, as for EdDSA; go-oidc knows only the latter name.
func leftHash(alg, token string) string {
	h := sha512.New()
	switch {
	case strings.HasSuffix(alg, "256"):
		h = sha256.New()
	case strings.HasSuffix(alg, "384"):
		h = sha512.New384()
	}
	io.WriteString(h, token)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:h.Size()/2])
}
