package jwt

import (
	"cmp"
	"context"
	"slices"

	"github.com/gosignin/signin/internal/document"
)

// ParseUserInfo reads claims of userinfo, whose sub may not be written in another case,
// and what describes a person not in two.
func ParseUserInfo(info []byte) (document.Object, error) {
	object, err := document.Parse(info)
	return object, cmp.Or(err, spelled(object, "sub"))
}

// UserInfo verifies a signed userinfo response and returns its claims. It need not say
// which client it is for, and when it was issued. But what it says must be right. The
// caller compares sub.
// https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse
func (v *Verifier) UserInfo(ctx context.Context, raw string) ([]byte, error) {
	now := v.now()
	t, err := parse(raw)
	switch {
	case err != nil:
		return nil, err
	case t.typ == "logout+jwt" || t.typ == "at+jwt":
		return nil, errType(t.typ)
	}
	if err := v.verify(ctx, t); err != nil {
		return nil, err
	}
	c, err := parseClaims(t.payload)
	if err != nil {
		return nil, err
	}
	aud, _ := c.Texts("aud")
	_, _, errTimes := c.times(now)
	switch iss, _ := c.Text("iss"); {
	case c.Has("iss") && iss != v.Issuer:
		return nil, c.differs("iss", v.Issuer)
	case c.Has("aud") && !slices.Contains(aud, v.ClientID):
		return nil, c.differs("aud", v.ClientID)
	case c.Has("nonce"), c.Has("at_hash"), c.Has("events"):
		return nil, fault("it is not userinfo: it has nonce, at_hash or events")
	}
	if errTimes != nil {
		return nil, errTimes
	}
	return t.payload, nil
}
