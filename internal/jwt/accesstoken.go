package jwt

import (
	"bytes"
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

	// ErrNoAPI says that the audience asked for is wrong, and not the token.
	ErrNoAPI     = fault("the audience asked for is empty, is an organization without an ID, or is this client")
	errForClient = fault("aud names this client, as in an ID token")
	errUnmarked  = fault("it is not marked as an access token, and may be an ID token or a logout token")
)

// AccessToken is a verified access token, a JWT as
// https://www.rfc-editor.org/rfc/rfc9068 describes it.
type AccessToken struct {
	// Payload is its claims: a JSON object whose member names are unique.
	Payload []byte
	// Subject (sub) is the person, in 1 to 255 printable ASCII characters. In a
	// machine's token it is the machine, so look at Machine first.
	Subject string
	// ClientID (client_id, else azp) is the application that asked for the token.
	// It may be empty only if the provider does not follow RFC 9068.
	ClientID string
	// SessionID (sid) is empty if the provider sends none, or one that is not text.
	SessionID string
	// Scopes (scope, else scp) is what the token permits. Values that do not have
	// the form of a scope in RFC 6749 are left out.
	Scopes []string
	// Organization (organization_id, or the audience of an organization token) is
	// the organization at Logto that the token is for. It may be empty.
	Organization string
	// Expiry (exp) and IssuedAt (iat), to the second. IssuedAt may be zero only if
	// the provider does not follow RFC 9068.
	Expiry, IssuedAt time.Time
	// Machine says that a client got the token for itself, so that there is no
	// person. False does not mean that there is one: a provider may give a machine a
	// subject that differs from its client ID, and say nothing else. Auth0, Entra
	// (with the optional claim idtyp), FusionAuth, Keycloak and Okta are understood.
	Machine bool
}

// LogValue keeps the claims out of logs.
func (AccessToken) LogValue() slog.Value { return slog.StringValue("[access token]") }

// AccessToken verifies a token that was presented to an API, as
// https://www.rfc-editor.org/rfc/rfc9068#section-4 and
// https://www.rfc-editor.org/rfc/rfc8725#section-3 say. audience is the
// resource indicator of the API, or the audience of an organization at Logto.
// The caller has to check that the scopes suffice, and, if it matters, that the
// person's session at the provider has not ended.
//
// The algorithms are those pinned for ID tokens. Providers publish no separate
// list for access tokens, and sign both with the same keys.
func (v *Verifier) AccessToken(ctx context.Context, raw, audience string) (*AccessToken, error) {
	// This client is the audience of every ID token, and so cannot be an API.
	if audience == "" || audience == v.ClientID || audience == OrganizationAudience {
		return nil, ErrNoAPI
	}
	t, err := parse(raw)
	if err != nil {
		return nil, err
	}
	// The claims are checked before the signature, although they cannot be trusted
	// without it. A token that has expired, or is from another issuer, is then
	// refused for that reason, and not with "try again" because its key is not
	// known any more. It also costs no fetch of keys and no verification.
	access, err := v.access(t, audience)
	if err == nil {
		err = v.verify(ctx, t)
	}
	if err != nil {
		return nil, settled(err)
	}
	return access, nil
}

// access checks that the claims of a token are those of an access token for an
// API. It does not verify the signature.
func (v *Verifier) access(t *token, audience string) (*AccessToken, error) {
	if bytes.Count(t.payload, comma) > maxClaims {
		return nil, fault("its claims have more than 512 commas")
	}
	c, err := parseClaims(t.payload)
	if err != nil {
		return nil, err
	}
	// If the header says that the token follows RFC 9068, it must have all that is
	// required there.
	explicit := t.typ == "at+jwt"
	a := &AccessToken{Payload: t.payload}
	if err := c.forAPI(v.Issuer, v.ClientID, audience, explicit); err != nil {
		return nil, err
	}
	// How long ago it was issued does not matter: exp limits its life.
	a.Expiry, a.IssuedAt, err = c.times(v.now())
	switch {
	case err != nil:
		return nil, err
	case a.Expiry.IsZero(): // https://www.rfc-editor.org/rfc/rfc9068#section-4
		return nil, mistimed("exp", a.Expiry, v.now())
	case a.IssuedAt.IsZero() && explicit: // https://www.rfc-editor.org/rfc/rfc9068#section-2.2
		return nil, mistimed("iat", a.IssuedAt, v.now())
	}
	if err := c.names(a, audience); err != nil {
		return nil, err
	}
	switch {
	case !explicit:
		err = c.unmarked(t.typ, a.ClientID)
	case a.ClientID == "":
		// https://www.rfc-editor.org/rfc/rfc9068#section-2.2. Without it a machine
		// cannot be told from a person.
		err = fault("client_id is absent")
	}
	if err != nil {
		return nil, err
	}
	a.Scopes, _ = c.scopes()
	return a, nil
}

// forAPI checks issuer and audience of an access token.
func (c claims) forAPI(issuer, clientID, audience string, explicit bool) error {
	iss, _ := c.Text("iss")
	aud, _ := c.Texts("aud")
	switch {
	case iss != issuer: // https://www.rfc-editor.org/rfc/rfc8725#section-3.8
		return c.differs("iss", issuer)
	case !slices.Contains(aud, audience): // https://www.rfc-editor.org/rfc/rfc8725#section-3.9
		return fault("aud is " + c.found("aud") + ", without " + document.Quote(audience))
	// The audience of an ID token is its client
	// (https://openid.net/specs/openid-connect-core-1_0.html#IDToken). Only a token
	// that says that it is an access token, which no ID token may say here, can name
	// the client besides, as Keycloak and Zitadel do.
	case slices.Contains(aud, clientID) && (!explicit || c.ofIDToken()):
		return errForClient
	// A token that is bound to a key is good only with a proof that the sender has
	// the key, which is not supported here. Without that proof it may be stolen.
	// https://www.rfc-editor.org/rfc/rfc9449#section-7.2,
	// https://www.rfc-editor.org/rfc/rfc8705#section-3
	case c.Has("cnf"):
		return fault("it is bound to a key, and proof of possession is not supported")
	}
	return nil
}

// names reads the subject, session, client and organization of an access token.
func (c claims) names(t *AccessToken, audience string) error {
	var errSub, errOrg error
	t.Subject, errSub = c.subject()
	t.SessionID, _ = c.Text("sid")
	t.Organization, errOrg = c.name("organization_id")
	clientID, errClient := c.name("client_id")
	azp, errAzp := c.name("azp")
	if err := cmp.Or(errSub, errClient, errAzp, errOrg); err != nil {
		return err
	}
	t.ClientID = cmp.Or(clientID, azp)
	cid, _ := c.Text("cid") // Okta's client_id
	t.Machine = c.ofMachine(t.Subject, clientID, azp, cid)
	if id, ok := strings.CutPrefix(audience, OrganizationAudience); ok {
		if t.Organization != "" && t.Organization != id {
			return fault("organization_id is not the organization asked for")
		}
		t.Organization = id
	}
	return nil
}

// unmarked checks that a token whose header does not say what it is is an
// access token, and not an ID token or logout token signed with the same keys.
// https://www.rfc-editor.org/rfc/rfc8725#section-3.11
func (c claims) unmarked(typ, clientID string) error {
	_, scoped := c.scopes()
	aud, _ := c.Texts("aud")
	azp, _ := c.name("azp")
	switch {
	// https://www.rfc-editor.org/rfc/rfc9068#section-4 would refuse all other
	// types. But many providers (Keycloak by default, Okta, Entra) say JWT or
	// nothing, and then the claims decide:
	// https://www.rfc-editor.org/rfc/rfc8725#section-3.12
	case typ != "" && typ != "jwt":
		return errType(typ)
	case c.ofIDToken():
		return errUnmarked
	// Some providers have a claim for what RFC 9068 says in the header: Keycloak
	// has typ (or else ID, Logout, Refresh), Cognito has token_use (or else id).
	case !c.says("typ", "Bearer") || !c.says("token_use", "access"):
		return errUnmarked
	// It must have a claim that ID tokens lack. azp does not suffice: ID tokens
	// have it too, https://openid.net/specs/openid-connect-core-1_0.html#IDToken
	// Entra's idtyp is one as well, and its tokens for machines have no scope.
	case !scoped && !c.Has("client_id") && !c.Has("idtyp"):
		return errUnmarked
	// An ID token of another client, whose ID is the audience asked for.
	case slices.Contains(aud, clientID) || slices.Contains(aud, azp):
		return errForClient
	}
	return nil
}

// ofIDToken reports whether there is a claim that only ID tokens and logout tokens
// have, null included. Keycloak before 25 puts nonce into access tokens too. Those are
// refused, since nothing else tells them apart reliably.
func (c claims) ofIDToken() bool {
	return slices.ContainsFunc([]string{"nonce", "at_hash", "c_hash", "s_hash", "events"}, func(name string) bool {
		_, ok := c.Object[name]
		return ok
	})
}

// ofMachine reports whether a client got a token for itself. clients are the names
// that the token has for its client, some of them empty.
//
// A token of a person who has chosen the name of a machine counts as a machine's. It
// loses by that, since a guard for machines lets people in as well.
func (c claims) ofMachine(subject string, clients ...string) bool {
	// Auth0 says client-credentials, and FusionAuth a list with client_credentials:
	// https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
	grants, _ := c.Texts("gty")
	if slices.Contains(grants, "client-credentials") || slices.Contains(grants, "client_credentials") {
		return true
	}
	// https://learn.microsoft.com/entra/identity-platform/optional-claims-reference
	if kind, _ := c.Text("idtyp"); kind == "app" {
		return true
	}
	username, _ := c.Text("preferred_username")
	return slices.ContainsFunc(clients, func(client string) bool {
		// https://www.rfc-editor.org/rfc/rfc9068#section-5, then Auth0 and Keycloak,
		// whose user names are in lower case
		return client != "" && (subject == client || subject == client+"@clients" ||
			strings.EqualFold(username, "service-account-"+client))
	})
}

// scopes returns the scopes of a token: the words of a string
// (https://www.rfc-editor.org/rfc/rfc8693#section-4.2), or a list of strings,
// which Okta, Hydra and Spring send. ok is false if there is neither.
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
	// https://www.rfc-editor.org/rfc/rfc6749#section-3.3. In a list, a string with
	// a space is not taken for two scopes.
	return slices.DeleteFunc(scopes, func(s string) bool {
		return s == "" || strings.ContainsAny(s, ` "\\`) || !document.Printable(s)
	}), ok
}
