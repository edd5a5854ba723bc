package jwt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/internal/document"
)

const (
	// maxTransit is how old an ID token may be, including the skew. It is
	// generous, since some providers (Microsoft Entra) set iat five minutes back.
	maxTransit = 5*time.Minute + skew

	errSubject = fault("sub is not the person expected")
	errNonce   = fault("nonce is not the one sent")
	errHash    = fault("at_hash is not that of the access token")
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
	// IssuedSince is when the last accepted ID token of the session was issued. A
	// refreshed one that was issued before is odd. Zero means that it may be any time.
	IssuedSince time.Time
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
//
// An error about a refreshed token is marked as [ErrOdd], unless the token lies.
func (v *Verifier) IDToken(ctx context.Context, raw string, want Expect) (*IDToken, error) {
	id, err := v.idToken(ctx, raw, want)
	if err != nil && want.Refresh {
		err = v.refreshed(err, raw, want)
	}
	return id, err
}

func (v *Verifier) idToken(ctx context.Context, raw string, want Expect) (*IDToken, error) {
	now := v.now()
	// Tokens of other kinds have other types:
	// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
	// https://www.rfc-editor.org/rfc/rfc9068#section-2.1
	isType := func(typ string) bool { return typ != "logout+jwt" && typ != "at+jwt" }
	t, c, objection, err := v.open(ctx, raw, isType, oidc.Config{Now: func() time.Time { return now.Add(-skew) }})
	if err == nil {
		err = c.issuedTo(v.ClientID)
	}
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
		return nil, mistimed("exp", exp, now)
	case iat.IsZero() || iat.Before(now.Add(-maxTransit)):
		return nil, mistimed("iat", iat, now)
	}
	sub, errSub := c.subject()
	if err := cmp.Or(errSub, want.met(c, sub, iat, t.alg), objection); err != nil {
		return nil, err
	}
	v.seen.Store(t.alg, true)
	return &IDToken{Raw: raw, Payload: t.payload, Subject: sub, IssuedAt: iat}, nil
}

// issuedTo checks that an ID token was issued to this client. One that names other
// audiences besides is good for those, too, and so azp has to say who asked for it.
// The numbers are the steps of
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation.
func (c claims) issuedTo(clientID string) error {
	aud, _ := c.Texts("aud")
	azp, _ := c.Text("azp")
	other := slices.IndexFunc(aud, func(audience string) bool { return audience != clientID })
	switch {
	case c.Has("azp") && azp != clientID: // (5)
		return fault("azp is " + c.found("azp") + ", not " + document.Quote(clientID))
	case other >= 0 && azp == "": // (4)
		return fault("aud names " + document.Quote(aud[other]) + " too, and azp is absent")
	}
	return nil
}

// met checks what is expected of this token. The numbers are the steps of
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation.
//
// A nonce or an at_hash that is empty, or not text, counts as absent. That proves
// nothing, but at_hash is not required, and neither is the nonce at a refresh.
func (e Expect) met(c claims, sub string, iat time.Time, alg string) error {
	nonce, _ := c.Text("nonce")
	hash, _ := c.Text("at_hash")
	switch {
	// Without a Subject to compare with, a refresh could change the person.
	// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
	case (e.Refresh || e.Subject != "") && sub != e.Subject:
		return errSubject
	case e.Refresh && nonce == "": // a refresh need not repeat it
	case nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(e.Nonce)) != 1: // (11)
		return errNonce
	}
	switch {
	// https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowTokenValidation
	case hash != "" && hash != leftHash(alg, e.AccessToken):
		return errHash
	case e.Refresh && iat.Before(e.IssuedSince):
		return fault("iat is before that of the session's last ID token")
	}
	return nil
}

// refreshed says what an error about a refreshed ID token means: the token lies, or it is
// odd, or nothing is known, since keys are missing.
//
// It lies if its signature fails under the very key that it names, if at_hash is that of
// another access token, or if it says that it is of another issuer, person, client or
// sign-in. A dialect of a provider explains none of these. What a token says counts here
// even if its signature was not checked; nothing else in such a token is read.
func (v *Verifier) refreshed(err error, raw string, want Expect) error {
	_, rest, _ := strings.Cut(raw, ".")
	payload, _, _ := strings.Cut(rest, ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(payload)
	// Not by document.Parse: what makes a token unreadable as a whole must not hide these.
	var c claims
	_ = json.Unmarshal(decoded, &c.Object)
	iss, _ := c.Text("iss")
	sub, _ := c.Text("sub")
	nonce, _ := c.Text("nonce")
	aud, readable := c.Texts("aud")
	signature, failed := err.(forged)
	_, about := err.(fault)
	switch {
	case failed && signature.later == nil, err == errHash:
		return err
	case iss != "" && iss != v.Issuer:
		return c.differs("iss", v.Issuer)
	case sub != "" && sub != want.Subject:
		return errSubject
	case nonce != "" && nonce != want.Nonce:
		return errNonce
	case c.Has("aud") && readable && !slices.Contains(aud, v.ClientID):
		return c.differs("aud", v.ClientID)
	case about:
		return oddity{err}
	}
	return err
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
