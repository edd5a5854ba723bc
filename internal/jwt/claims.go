package jwt

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/document"
)

const (
	// skew is how far the provider's clock may be from ours.
	skew = time.Minute
	// maxName is the longest sub,
	// https://openid.net/specs/openid-connect-core-1_0.html#IDToken, and likewise
	// the longest client_id, azp or organization_id.
	maxName = 255
	// maxSessionID is the longest sid, in bytes. It is the same for logout tokens
	// and ID tokens, or there could be sessions that no logout token can end.
	maxSessionID = 1 << 10

	errIssuer    = fault("iss is not the configured issuer")
	errExpired   = fault("exp is absent or past")
	errIssuedAt  = fault("iat is absent, too long ago, or in the future")
	errSessionID = fault("sid is not text of at most 1,024 bytes, or is empty in a logout token")
)

// claims is the claims of a token.
type claims struct{ document.Object }

// parseClaims reads a payload. It lists the claims that go-oidc and this
// package read. None of them may be written in another case, since go-oidc, and
// encoding/json in an application, would take "Nonce" for "nonce".
func parseClaims(payload []byte) (claims, error) {
	object, err := document.Parse(payload,
		"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "_claim_names", "_claim_sources",
		"azp", "sid", "auth_time", "acr", "amr", "jti", "events",
		"client_id", "cid", "organization_id", "scope", "scp", "cnf", "c_hash", "s_hash", "typ", "token_use")
	return claims{object}, err
}

// parties checks issuer and audience of an ID token or a logout token. The
// numbers are the steps of
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation.
func (c claims) parties(issuer, clientID string) error {
	iss, _ := c.Text("iss")
	aud, _ := c.Texts("aud")
	azp, _ := c.Text("azp")
	switch {
	case iss != issuer: // (2) exactly; go-oidc makes an exception for Google
		return errIssuer
	// (3) Any other audience is not known to be trusted, whatever azp says.
	case !slices.Equal(aud, []string{clientID}):
		return fault("aud is not this client alone")
	case c.Has("azp") && azp != clientID: // (4), (5)
		return fault("azp is not this client")
	}
	return nil
}

// times returns exp and iat, zero if absent, and checks them and nbf against
// the time.
func (c claims) times(now time.Time) (exp, iat time.Time, err error) {
	exp, errExp := c.Time("exp")
	iat, errIat := c.Time("iat")
	nbf, errNbf := c.Time("nbf")
	switch err := cmp.Or(errExp, errIat, errNbf); {
	case err != nil:
		return exp, iat, err
	case !exp.IsZero() && now.After(exp.Add(skew)):
		return exp, iat, errExpired
	case iat.After(now.Add(skew)):
		return exp, iat, errIssuedAt
	case nbf.After(now.Add(skew)):
		return exp, iat, fault("nbf is in the future")
	}
	return exp, iat, nil
}

// subject returns sub, which is required.
func (c claims) subject() (string, error) {
	if sub, _ := c.name("sub"); sub != "" {
		return sub, nil
	}
	return "", fault("sub is absent, or not 1 to 255 printable ASCII characters")
}

// sessionID returns sid, and "" if it is absent.
func (c claims) sessionID() (string, error) {
	sid, err := c.Text("sid")
	if err != nil || len(sid) > maxSessionID {
		return "", errSessionID
	}
	return sid, nil
}

// name returns a claim that is an identifier, and "" if it is absent.
func (c claims) name(claim string) (string, error) {
	s, _ := c.Text(claim) // "" if it is not text
	if c.Has(claim) && s == "" || len(s) > maxName || !document.Printable(s) {
		return "", fault(claim + " is not 1 to 255 printable ASCII characters")
	}
	return s, nil
}

// says reports whether a claim is absent or equal to want, ignoring case.
func (c claims) says(name, want string) bool {
	_, ok := c.Object[name]
	value, _ := c.Text(name)
	return !ok || strings.EqualFold(value, want)
}
