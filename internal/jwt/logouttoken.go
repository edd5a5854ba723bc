package jwt

import (
	"context"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/internal/document"
)

const (
	// maxLogoutAge is how old a logout token may be, including the skew. It limits
	// the use of a captured token if the provider sends no exp.
	// https://openid.net/specs/openid-connect-backchannel-1_0.html#Security
	maxLogoutAge = 2 * time.Minute
	// maxTokenID is the longest jti, in bytes.
	maxTokenID = 1 << 10
	// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// LogoutToken is a verified logout token, by which the provider says that a
// person has signed out.
type LogoutToken struct {
	// Subject (sub) and SessionID (sid) say what has ended: only that session
	// if there is a SessionID, else every session of the person. One of them
	// may be empty. A sid that is not text is given as its JSON, so that a number ends
	// the session whose sid is the same digits as text, and none of the person's others.
	Subject, SessionID string
	// ID (jti) identifies the token, in 1 to 1,024 bytes. A token can be good for
	// about three minutes, so the ID has to be remembered for longer than that.
	ID string
	// IssuedAt (iat) and Expiry (exp), to the second. Expiry is zero if the
	// provider sends none (Logto 1.37, Hydra, Glewlwyd).
	IssuedAt, Expiry time.Time
}

// LogoutToken verifies a logout token as
// https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation says.
// The numbers are the steps listed there. The caller has to check that its ID
// has not been seen before.
func (v *Verifier) LogoutToken(ctx context.Context, raw string) (*LogoutToken, error) {
	if len(raw) > maxLogout {
		return nil, errForm
	}
	now := v.now()
	// The type is only recommended, and Keycloak says "JWT".
	// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
	isLogout := func(typ string) bool { return typ == "" || typ == "jwt" || typ == "logout+jwt" }
	// (4) There may be other audiences, and azp has no meaning here: a token that ends
	// a session lets no one in. It is tempting to use go-oidc's VerifyLogout. But it
	// requires exp, takes any value for the event, and ignores iat.
	signed, c, objection, err := v.open(ctx, raw, isLogout, oidc.Config{SkipExpiryCheck: true})
	if err != nil {
		return nil, settled(err)
	}
	t := new(LogoutToken)
	t.Expiry, t.IssuedAt, err = c.times(now)
	t.ID, _ = c.Text("jti")
	_, hasNonce := c.Object["nonce"] // null included
	switch {
	case err != nil:
		return nil, err
	case t.IssuedAt.IsZero() || t.IssuedAt.Before(now.Add(-maxLogoutAge)):
		return nil, mistimed("iat", t.IssuedAt, now)
	case !c.logsOut(): // (6), which rejects ID tokens, and (7)
		return nil, fault("events is not an object, or its logout event is not an object")
	case !v.signsIDTokens(signed.alg):
		return nil, fault("its algorithm has not signed an ID token here")
	case hasNonce:
		return nil, fault("nonce is present, as in an ID token")
	case t.ID == "" || len(t.ID) > maxTokenID: // (8) needs an ID to compare
		return nil, fault("jti is absent, or not text of 1 to 1,024 bytes")
	}
	if t.Subject, t.SessionID, err = c.person(); err != nil {
		return nil, err
	}
	if objection != nil {
		return nil, objection
	}
	return t, nil
}

// signsIDTokens reports whether an algorithm has signed ID tokens of this provider:
// a logout token's signature is validated as an ID token's is (2). Before this
// process has seen an ID token, any pinned algorithm is accepted.
func (v *Verifier) signsIDTokens(alg string) bool {
	none := true
	v.seen.Range(func(_, _ any) bool { none = false; return false })
	_, seen := v.seen.Load(alg)
	return seen || none
}

// person returns the person, or the person's session, that a logout token is
// about (5).
//
// A sid that is empty, or not text, names no session: sessions were made without
// one then. If it counted as absent here, the token would end all sessions of the
// person. So its JSON is the ID of a session that there is not, and beside a sub the
// sessions without a sid end.
func (c claims) person() (sub, sid string, err error) {
	if c.Has("sub") {
		if sub, err = c.subject(); err != nil {
			return "", "", err
		}
	}
	sid, _ = c.Text("sid")
	switch {
	case sub == "" && sid == "":
		return "", "", fault("it has neither sub nor a sid that is text")
	case sid == "" && c.Has("sid"):
		sid = string(c.Object["sid"])
	}
	return sub, sid, nil
}

// logsOut reports whether events has the logout event. Member names in both
// objects have to be unique as well.
func (c claims) logsOut() bool {
	events, _ := document.Parse(c.Object["events"]) // nil if it is not an object
	_, err := document.Parse(events[logoutEvent])
	return err == nil
}
