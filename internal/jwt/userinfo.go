package jwt

import (
	"cmp"
	"context"
	"slices"

	"github.com/gosignin/signin/internal/document"
)

// UserInfo verifies a userinfo answer that is signed, and returns its claims: signature
// and algorithm as those of an ID token, iss, aud and times if they are there. The caller
// compares sub. One that is encrypted, or a token of another kind, is refused.
// https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse
func (v *Verifier) UserInfo(ctx context.Context, raw string) (document.Object, []byte, error) {
	now := v.now()
	t, err := parse(raw)
	if err != nil {
		return nil, nil, err
	}
	if t.typ == "logout+jwt" || t.typ == "at+jwt" {
		return nil, nil, errType(t.typ)
	}
	if err := v.verify(ctx, t); err != nil {
		return nil, nil, err
	}
	c, err := parseClaims(t.payload)
	if err != nil {
		return nil, nil, err
	}
	iss, _ := c.Text("iss")
	aud, _ := c.Texts("aud")
	switch {
	case c.Has("iss") && iss != v.Issuer:
		return nil, nil, c.differs("iss", v.Issuer)
	case c.Has("aud") && !slices.Contains(aud, v.ClientID):
		return nil, nil, fault("aud is " + c.found("aud") + ", without " + document.Quote(v.ClientID))
	case c.Has("nonce") || c.Has("events"):
		return nil, nil, fault("it has nonce or events, as ID tokens and logout tokens have")
	}
	_, _, err = c.times(now)
	return c.Object, t.payload, err
}

// ParseUserInfo reads a userinfo answer that is not signed. Of the claims that this
// package reads it may say sub, and what describes the person, none in two spellings.
// What it says of a token or a sign-in is not used.
func ParseUserInfo(answer []byte) (document.Object, error) {
	object, err := document.Parse(answer, "sub")
	if err := cmp.Or(err, ambiguous(object)); err != nil {
		return nil, err
	}
	return object, nil
}
