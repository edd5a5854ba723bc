package provider

import (
	"context"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const opLogoutToken = "logout token"

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

const (
	errEvents      = fault("events is no object that holds the logout event, itself an object")
	errLogoutNonce = fault("nonce is there, as in an ID token")
	errTokenID     = fault("jti is absent, or not text of 1 to 1,024 bytes")
	errNobody      = fault("neither sub nor sid says whom it is about")
)

// LogoutToken is a verified logout token: the provider says that somebody has
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

// VerifyLogoutToken checks a logout token in full, as
// https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation says.
// Whether its ID has been seen before is left to the caller.
//
// An error that is Rejected is about the token. Any other says that nobody
// could tell, since the metadata or the keys are not to be had at the moment.
func (c *Client) VerifyLogoutToken(ctx context.Context, raw string) (*LogoutToken, error) {
	// Its age is that on arrival: fetching keys takes its time.
	now := c.cfg.Now()
	// It is tempting to use go-oidc's VerifyLogout. But that insists on exp, takes
	// any value for the event and further audiences, and is indifferent to iat.
	token, err := c.open(ctx, opLogoutToken, raw, isLogoutToken, oidc.Config{SkipExpiryCheck: true})
	if err != nil {
		return nil, err
	}
	logout, cause := checkLogout(token.payload, c.cfg.Issuer, c.cfg.ClientID, now)
	if cause == nil && token.objection != nil {
		cause = errClaims
	}
	if cause != nil {
		return nil, &Error{Kind: Rejected, Op: opLogoutToken, Err: cause}
	}
	return logout, nil
}

// isLogoutToken reports whether a header's typ may be that of a logout token.
// The explicit type is no more than recommended, and Keycloak says "JWT".
// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
func isLogoutToken(typ string) bool {
	switch strings.ToLower(typ) {
	case "", "jwt", "logout+jwt", "application/jwt", "application/logout+jwt":
		return true
	default:
		return false
	}
}

// checkLogout decides whether claims are those of a logout token for this
// client. The numbers are the steps of
// https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation.
func checkLogout(payload []byte, issuer, clientID string, now time.Time) (*LogoutToken, error) {
	claims, err := parseObject(payload)
	if err != nil {
		return nil, err
	}
	// (4) "in the same way they are validated in ID Tokens": an audience beside
	// this client is one too many here as well.
	if err := claims.parties(issuer, clientID); err != nil {
		return nil, err
	}
	t := new(LogoutToken)
	if t.Expiry, t.IssuedAt, err = claims.times(now, maxLogoutAge); err != nil {
		return nil, err
	}
	// (6) and (7) are what an ID token fails.
	if err := claims.logoutEvent(); err != nil {
		return nil, err
	}
	// Its presence is what counts, null included.
	if _, ok := claims["nonce"]; ok {
		return nil, errLogoutNonce
	}
	// (8) needs an ID to compare.
	if t.ID, err = claims.text("jti"); err != nil || t.ID == "" || len(t.ID) > maxTokenID {
		return nil, errTokenID
	}
	// (5)
	if claims.has("sub") {
		if t.Subject, err = claims.subject(); err != nil {
			return nil, err
		}
	}
	if t.SessionID, err = claims.sessionID(); err != nil {
		return nil, err
	}
	// An empty sid names no session. Taken for an absent one, it would end all.
	if claims.has("sid") && t.SessionID == "" {
		return nil, errSessionID
	}
	if t.Subject == "" && t.SessionID == "" {
		return nil, errNobody
	}
	return t, nil
}

// logoutEvent checks that the claims are about a logout. Member names within
// have to be unique as well.
func (o object) logoutEvent() error {
	events, err := parseObject(o["events"])
	if err != nil {
		return errEvents
	}
	if _, err := parseObject(events[logoutEvent]); err != nil {
		return errEvents
	}
	return nil
}
