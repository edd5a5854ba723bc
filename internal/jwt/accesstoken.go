package jwt

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/document"
)

const (
	// OrganizationAudience begins the audience of Logto's tokens for
	// organizations; the ID follows.
	OrganizationAudience = "urn:logto:organization:"

	// ErrNoAPI says that not the token is wrong, but what it was verified for.
	ErrNoAPI     = fault("the audience asked for is empty, names no organization, or is this client, for which ID tokens are")
	errForClient = fault("aud names this client, as in an ID token")
	errUnmarked  = fault("it is not marked as an access token, and may be an ID token or a logout token")
)

// AccessToken is a verified access token, a JWT as
// https://www.rfc-editor.org/rfc/rfc9068 describes it.
type AccessToken struct {
	// Payload is its claims: a JSON object whose member names are unique.
	Payload []byte
	// Subject (sub) is whose it is: 1 to 255 printable ASCII characters. A
	// machine's token has the machine's name here, so look at Machine before
	// taking it for a person's.
	Subject string
	// ClientID (client_id, else azp) is the application that asked for the token.
	// It may be empty only where the provider does not keep to RFC 9068.
	ClientID string
	// SessionID (sid) is empty if the provider sends none.
	SessionID string
	// Scopes (scope, else scp) is what it permits. What is not of the form that
	// RFC 6749 gives to scopes permits nothing and is left out.
	Scopes []string
	// Organization (organization_id, or the audience of an organization token) is
	// within which of Logto's organizations. Empty: none.
	Organization string
	// Expiry (exp) and IssuedAt (iat), to the second. IssuedAt may be zero only
	// where the provider does not keep to RFC 9068.
	Expiry, IssuedAt time.Time
	// Machine says that a client has got the token for itself, so that there is no
	// person. Providers that give a machine a name of its own (Keycloak, Auth0)
	// hide it: false means no more than that the token does not say so.
	Machine bool
}

// LogValue keeps the claims out of logs.
func (AccessToken) LogValue() slog.Value { return slog.StringValue("[access token]") }

// AccessToken checks in full a token that was presented to an API:
// https://www.rfc-editor.org/rfc/rfc9068#section-4, and what
// https://www.rfc-editor.org/rfc/rfc8725#section-3 adds. audience is the API's
// own name (its resource indicator), or that of an organization at Logto.
// Whether the scopes suffice, and whether the person's session goes on at the
// provider, is left to the caller.
//
// The algorithms are those pinned for ID tokens. A provider publishes no list
// of its own for access tokens, and signs both with the same keys.
func (v *Verifier) AccessToken(ctx context.Context, raw, audience string) (*AccessToken, error) {
	// Every ID token has this client for its audience, so it cannot be an API's.
	if audience == "" || audience == v.ClientID || audience == OrganizationAudience {
		return nil, ErrNoAPI
	}
	t, err := parse(raw)
	if err != nil {
		return nil, err
	}
	// The claims come before the signature, though nothing they say is true
	// without it. A token that has expired, or is another issuer's, is then
	// refused for that, and not with "not now" because its key has long gone, and
	// it costs neither a fetch of keys nor arithmetic.
	access, err := v.access(t, audience)
	if err == nil {
		err = v.verify(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	return access, nil
}

// access decides whether the claims of a token are those of an access token for
// an API. It verifies nothing.
func (v *Verifier) access(t *token, audience string) (*AccessToken, error) {
	c, err := parseClaims(t.payload)
	if err != nil {
		return nil, err
	}
	// Its header may say that it is what RFC 9068 describes. Then it has all that
	// is required there.
	explicit := t.typ == "at+jwt"
	a := &AccessToken{Payload: t.payload}
	if err := c.forAPI(v.Issuer, v.ClientID, audience); err != nil {
		return nil, err
	}
	// How long ago it was issued does not matter: exp says how long it lives.
	a.Expiry, a.IssuedAt, err = c.times(v.now())
	switch {
	case err != nil:
		return nil, err
	case a.Expiry.IsZero(): // https://www.rfc-editor.org/rfc/rfc9068#section-4
		return nil, errExpired
	case a.IssuedAt.IsZero() && explicit: // https://www.rfc-editor.org/rfc/rfc9068#section-2.2
		return nil, errIssuedAt
	}
	if err := c.names(a, audience); err != nil {
		return nil, err
	}
	switch {
	case !explicit:
		err = c.unmarked(t.typ, a.ClientID)
	case a.ClientID == "":
		// https://www.rfc-editor.org/rfc/rfc9068#section-2.2. Without it a machine
		// could not be told from a person.
		err = fault("client_id is absent")
	}
	if err != nil {
		return nil, err
	}
	a.Scopes, _ = c.scopes()
	return a, nil
}

// forAPI checks issuer and audience of an access token.
func (c claims) forAPI(issuer, clientID, audience string) error {
	iss, _ := c.Text("iss")
	aud, _ := c.Texts("aud")
	switch {
	case iss != issuer: // https://www.rfc-editor.org/rfc/rfc8725#section-3.8
		return errIssuer
	case !slices.Contains(aud, audience): // https://www.rfc-editor.org/rfc/rfc8725#section-3.9
		return fault("aud does not name the API")
	// An ID token names its client here
	// (https://openid.net/specs/openid-connect-core-1_0.html#IDToken). A token for
	// an API has no reason to, whatever it is marked as.
	case slices.Contains(aud, clientID):
		return errForClient
	// A bound token is good only together with a proof, and none is looked for
	// here. Without the proof it has most likely been stolen.
	// https://www.rfc-editor.org/rfc/rfc9449#section-7.2,
	// https://www.rfc-editor.org/rfc/rfc8705#section-3
	case c.Has("cnf"):
		return fault("it is bound to a key, of which no proof is looked for")
	}
	return nil
}

// names reads subject, session, client and organization of an access token.
func (c claims) names(t *AccessToken, audience string) error {
	var errSub, errSid, errOrg error
	t.Subject, errSub = c.subject()
	t.SessionID, errSid = c.sessionID()
	t.Organization, errOrg = c.name("organization_id")
	clientID, errClient := c.name("client_id")
	azp, errAzp := c.name("azp")
	if err := cmp.Or(errSub, errSid, errClient, errAzp, errOrg); err != nil {
		return err
	}
	t.ClientID = cmp.Or(clientID, azp)
	// https://www.rfc-editor.org/rfc/rfc9068#section-5
	cid, _ := c.Text("cid") // Okta's client_id
	t.Machine = t.Subject == clientID || t.Subject == azp || t.Subject == cid
	if id, ok := strings.CutPrefix(audience, OrganizationAudience); ok {
		if t.Organization != "" && t.Organization != id {
			return fault("it is for one organization and speaks of another")
		}
		t.Organization = id
	}
	return nil
}

// unmarked checks that a token whose header does not say so is an access token,
// and none of the others that the provider signs with the same keys.
// https://www.rfc-editor.org/rfc/rfc8725#section-3.11
func (c claims) unmarked(typ, clientID string) error {
	present := func(name string) bool { _, ok := c.Object[name]; return ok } // null included
	_, scoped := c.scopes()
	aud, _ := c.Texts("aud")
	azp, _ := c.name("azp")
	switch {
	// https://www.rfc-editor.org/rfc/rfc9068#section-4 ends here. But many
	// providers (Keycloak as it comes, Okta, Entra) say JWT or nothing, and then
	// the claims must tell: https://www.rfc-editor.org/rfc/rfc8725#section-3.12
	case typ != "" && typ != "jwt":
		return errHeader
	// Only ID tokens and logout tokens have these. Keycloak before 25 puts nonce
	// into access tokens too: those are refused, since nothing else tells them
	// apart for certain.
	case slices.ContainsFunc([]string{"nonce", "at_hash", "c_hash", "s_hash", "events"}, present):
		return errUnmarked
	// Some say in a claim what RFC 9068 says in the header: Keycloak in typ (else
	// ID, Logout, Refresh), Cognito in token_use (else id).
	case !c.says("typ", "Bearer") || !c.says("token_use", "access"):
		return errUnmarked
	// And it must have what ID tokens lack. azp alone will not do: that is a claim
	// of ID tokens, https://openid.net/specs/openid-connect-core-1_0.html#IDToken
	case !scoped && !c.Has("client_id"):
		return errUnmarked
	// An ID token of another client, for which it would be as much an audience.
	case slices.Contains(aud, clientID) || slices.Contains(aud, azp):
		return errForClient
	}
	return nil
}

// scopes returns what the token permits: the words of one string
// (https://www.rfc-editor.org/rfc/rfc8693#section-4.2), or a list of them,
// which Okta, Hydra and Spring send. ok is false if there is nothing of either
// kind.
func (c claims) scopes() (scopes []string, ok bool) {
	claim := "scope"
	if !c.Has(claim) {
		claim = "scp"
	}
	if text, err := c.Text(claim); err != nil {
		scopes, ok = c.Texts(claim)
	} else if ok = c.Has(claim); ok {
		scopes = strings.Split(text, " ")
	}
	// https://www.rfc-editor.org/rfc/rfc6749#section-3.3. In a list, what is not
	// one scope is not made into two.
	return slices.DeleteFunc(scopes, func(s string) bool {
		return s == "" || strings.ContainsAny(s, ` "\\`) || !document.Printable(s)
	}), ok
}
