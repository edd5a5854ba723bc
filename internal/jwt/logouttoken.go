package jwt

import (
	"context"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/internal/document"
)

const (
	// maxLogoutAge is how old a logout token may be, the skew counted. It is what
	// bounds a captured one where the provider sends no exp.
	// https://openid.net/specs/openid-connect-backchannel-1_0.html#Security
	maxLogoutAge = 2 * time.Minute
	// maxTokenID is the longest jti, in bytes.
	maxTokenID = 1 << 10
	// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// LogoutToken is a verified logout token: the provider says that a person has
// signed out.
type LogoutToken struct {
	// Subject (sub) and SessionID (sid) say who: that session alone if there is a
	// SessionID, else every session of the person. One of them may be empty, and
	// both have the form that they have in an ID token.
	Subject, SessionID string
	// ID (jti) is the token's own, of 1 to 1,024 bytes. A token is good for
	// about three minutes after it first was, and so an ID has to be remembered
	// for longer than that.
	ID string
	// IssuedAt (iat) and Expiry (exp), to the second. Expiry is zero if the
	// provider sends none (Logto 1.37, Hydra, Glewlwyd).
	IssuedAt, Expiry time.Time
}

// LogoutToken checks a logout token in full, as
// https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation says,
// to whose steps the numbers refer. Whether its ID has been seen before is left
// to the caller.
func (v *Verifier) LogoutToken(ctx context.Context, raw string) (*LogoutToken, error) {
	now := v.now()
	// The explicit type is no more than recommended, and Keycloak says "JWT".
	// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
	isLogout := func(typ string) bool { return typ == "" || typ == "jwt" || typ == "logout+jwt" }
	// (4) "in the same way they are validated in ID Tokens": an audience beside
	// this client is one too many here as well. It is tempting to use go-oidc's
	// VerifyLogout. But that insists on exp, takes any value for the event and
	// further audiences, and is indifferent to iat.
	_, c, objection, err := v.open(ctx, raw, isLogout, oidc.Config{SkipExpiryCheck: true})
	if err != nil {
		return nil, err
	}
	t := new(LogoutToken)
	t.Expiry, t.IssuedAt, err = c.times(now)
	t.ID, _ = c.Text("jti")
	_, hasNonce := c.Object["nonce"] // null included
	switch {
	case err != nil:
		return nil, err
	case t.IssuedAt.IsZero() || t.IssuedAt.Before(now.Add(-maxLogoutAge)):
		return nil, errIssuedAt
	case !c.logsOut(): // (6), which an ID token fails, and (7)
		return nil, fault("events is no object that holds the logout event, itself an object")
	case hasNonce:
		return nil, fault("nonce is there, as in an ID token")
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

// person reads which person, or which session of theirs, a logout token is
// about (5).
func (c claims) person() (sub, sid string, err error) {
	if c.Has("sub") {
		if sub, err = c.subject(); err != nil {
			return "", "", err
		}
	}
	// An empty sid names no session. Taken for an absent one, it would end all.
	if sid, _ = c.sessionID(); sid == "" && c.Has("sid") {
		return "", "", errSessionID
	}
	if sub == "" && sid == "" {
		return "", "", fault("it has neither sub nor sid")
	}
	return sub, sid, nil
}

// logsOut reports whether the claims are about a logout. Member names within
// have to be unique as well.
func (c claims) logsOut() bool {
	events, _ := document.Parse(c.Object["events"]) // nil if it is no object
	_, err := document.Parse(events[logoutEvent])
	return err == nil
}
