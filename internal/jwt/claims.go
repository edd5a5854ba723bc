package jwt

import (
	"cmp"
	"encoding/json"
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
)

// claims is the claims of a token.
type claims struct{ document.Object }

// parseClaims reads a payload. It lists the claims that this package reads.
func parseClaims(payload []byte) (claims, error) {
	object, err := document.Parse(payload)
	return claims{object}, malformed(cmp.Or(err, spelled(object,
		"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "_claim_names", "_claim_sources",
		"azp", "sid", "auth_time", "acr", "amr", "jti", "events", "gty", "idtyp",
		"client_id", "cid", "organization_id", "scope", "scp", "cnf", "c_hash", "s_hash", "typ", "token_use")))
}

// spelled returns an error if one of the members named is written in another case, or if
// a claim that describes a user is there in two. Names are read exactly here, but an
// application may decode claims with encoding/json, which takes "Nonce" for "nonce".
func spelled(object document.Object, read ...string) error {
	for name := range object {
		folded := document.Fold(name)
		_, both := object[folded]
		if folded != name && (slices.Contains(read, folded) || both && slices.Contains(describing(), folded)) {
			return fault(folded + " is written " + document.Quote(name))
		}
	}
	return nil
}

// describing are the claims that become fields of a user. One of them may be written
// in another case, and is then not read, but not in two.
func describing() []string {
	return []string{"name", "picture", "username", "preferred_username", "email", "email_verified",
		"phone_number", "phone_number_verified", "roles", "organizations", "organization_roles"}
}

// only returns an object of these claims alone. One that is null counts as absent.
func (c claims) only(names ...string) []byte {
	object := make(document.Object)
	for _, name := range names {
		if c.Has(name) {
			object[name] = c.Object[name]
		}
	}
	text, _ := json.Marshal(object) // cannot fail: it was parsed from JSON
	return text
}

// found returns what a claim is, for an error.
func (c claims) found(name string) string {
	text, err := c.Text(name)
	switch {
	case !c.Has(name):
		return "absent"
	case err != nil:
		return document.Quote(string(c.Object[name]))
	}
	return document.Quote(text)
}

// differs returns the error for a claim that has to be want.
func (c claims) differs(name, want string) error {
	return fault(name + " is " + c.found(name) + ", not " + document.Quote(want))
}

// parties checks issuer and audience of an ID token or a logout token. The
// numbers are the steps of
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation.
func (c claims) parties(issuer, clientID string) error {
	iss, _ := c.Text("iss")
	aud, _ := c.Texts("aud")
	switch {
	case iss != issuer: // (2) exactly; go-oidc makes an exception for Google
		return c.differs("iss", issuer)
	case !slices.Contains(aud, clientID): // (3)
		return fault("aud is " + c.found("aud") + ", without " + document.Quote(clientID))
	}
	return nil
}

// times returns exp and iat, zero if absent, and checks them and nbf against
// the time. An nbf of another type counts as absent: the provider has issued the
// token, and exp limits its life.
func (c claims) times(now time.Time) (exp, iat time.Time, err error) {
	exp, errExp := c.Time("exp")
	iat, errIat := c.Time("iat")
	nbf, _ := c.Time("nbf")
	switch err := cmp.Or(errExp, errIat); {
	case err != nil:
		return exp, iat, malformed(err)
	case !exp.IsZero() && now.After(exp.Add(skew)):
		return exp, iat, mistimed("exp", exp, now)
	case iat.After(now.Add(skew)):
		return exp, iat, mistimed("iat", iat, now)
	case nbf.After(now.Add(skew)):
		return exp, iat, mistimed("nbf", nbf, now)
	}
	return exp, iat, nil
}

// mistimed returns the error for a time that is absent, past or ahead.
func mistimed(name string, found, now time.Time) error {
	if found.IsZero() {
		return fault(name + " is absent")
	}
	return fault(name + " is " + found.UTC().Format(time.RFC3339) + ", and the time is " + now.UTC().Format(time.RFC3339))
}

// subject returns sub, which is required.
func (c claims) subject() (string, error) {
	if sub, _ := c.name("sub"); sub != "" {
		return sub, nil
	}
	return "", fault("sub is absent, or not 1 to 255 printable ASCII characters")
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
