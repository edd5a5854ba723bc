package provider

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"
)

const opAccessToken = "access token"

const (
	// maxName is the longest client_id, azp or organization_id, as of a sub.
	maxName = maxSubject
	// OrganizationAudience begins the audience of Logto's tokens for organizations; the ID follows.
	OrganizationAudience = "urn:logto:organization:"
)

const (
	errNoAPI        = fault("the audience asked for is empty, names no organization, or is this client, for which ID tokens are")
	errWrongAPI     = fault("aud does not name the API")
	errForClient    = fault("aud names this client, as in an ID token")
	errUnmarked     = fault("it is not marked as an access token, and may be an ID token or a logout token")
	errName         = fault("client_id, azp or organization_id is not 1 to 255 printable ASCII characters")
	errNoClient     = fault("client_id is absent")
	errOrganization = fault("it is for one organization and speaks of another")
	errBound        = fault("it is bound to a key that nobody has shown")
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

// VerifyAccessToken checks in full a token that was presented to an API:
// https://www.rfc-editor.org/rfc/rfc9068#section-4, and what
// https://www.rfc-editor.org/rfc/rfc8725#section-3 adds. audience is the API's own
// name (its resource indicator), or that of an organization at Logto. Whether the
// scopes suffice, and whether the person's session still stands at the provider,
// is left to the caller.
//
// The algorithms are those pinned for ID tokens. A provider publishes no list of
// its own for access tokens, and signs both with the same keys.
//
// An error that is Rejected is about the token, and one that is Misconfigured
// about audience or the provider's set-up. Any other says that nobody could tell.
func (c *Client) VerifyAccessToken(ctx context.Context, raw, audience string) (*AccessToken, error) {
	now := c.cfg.Now()
	// Every ID token has this client for its audience, so it cannot be an API's.
	if audience == "" || audience == c.cfg.ClientID || audience == OrganizationAudience {
		return nil, misconfigured(opAccessToken, errNoAPI)
	}
	head, payload, signature, cause := parseParts(raw)
	if cause != nil {
		return nil, &Error{Kind: Rejected, Op: opAccessToken, Err: cause}
	}
	// The claims come before the signature, though nothing they say is true
	// without it. A token that has expired, or is another issuer's, is then
	// refused for that, and not with "not now" because its key has long gone, and
	// it costs neither a fetch of keys nor arithmetic.
	token, cause := checkAccess(payload, accessRules{issuer: c.cfg.Issuer, clientID: c.cfg.ClientID, audience: audience, typ: head.typ, now: now})
	if cause != nil {
		return nil, &Error{Kind: Rejected, Op: opAccessToken, Err: cause}
	}
	meta, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	// https://www.rfc-editor.org/rfc/rfc8725#section-3.1
	if !slices.Contains(meta.algorithms, head.alg) {
		return nil, rejected(opAccessToken, errAlgorithm)
	}
	input := signingInput(raw)
	err = meta.keys.verify(ctx, opAccessToken, head.alg, head.kid, func(k key) bool { return k.signed(head.alg, input, signature) })
	if err != nil {
		return nil, err
	}
	return token, nil
}

// parseParts checks the form of a token and takes it apart.
func parseParts(raw string) (head header, payload, signature []byte, err error) {
	if head, err = parseHeader(raw); err != nil {
		return head, nil, nil, err
	}
	_, rest, _ := strings.Cut(raw, ".")
	second, third, _ := strings.Cut(rest, ".")
	if payload, err = base64.RawURLEncoding.DecodeString(second); err != nil {
		return head, nil, nil, errForm
	}
	// Strict, since nothing signs the signature: bits at its end that say nothing
	// would give one token several spellings.
	if signature, err = base64.RawURLEncoding.Strict().DecodeString(third); err != nil {
		return head, nil, nil, errForm
	}
	return head, payload, signature, nil
}

// accessRules is all that decides about an access token's claims, besides the
// claims.
type accessRules struct {
	issuer, clientID, audience string
	typ                        string // of the header
	now                        time.Time
}

// checkAccess decides whether claims are those of an access token for an API.
func checkAccess(payload []byte, r accessRules) (*AccessToken, error) {
	claims, err := parseObject(payload)
	if err != nil {
		return nil, err
	}
	t := &AccessToken{Payload: payload}
	if err := r.parties(claims); err != nil {
		return nil, err
	}
	if err := r.times(claims, t); err != nil {
		return nil, err
	}
	if err := r.names(claims, t); err != nil {
		return nil, err
	}
	if err := r.kind(claims, t); err != nil {
		return nil, err
	}
	t.Scopes, _ = claims.scopes()
	return t, nil
}

// explicit reports whether the header says that the token is what RFC 9068
// describes. Such a token has all that is required there.
func (r accessRules) explicit() bool {
	typ := strings.ToLower(r.typ)
	return typ == "at+jwt" || typ == "application/at+jwt"
}

// parties checks by whom and for whom the token is.
func (r accessRules) parties(claims object) error {
	// https://www.rfc-editor.org/rfc/rfc8725#section-3.8
	if iss, err := claims.text("iss"); err != nil || iss != r.issuer {
		return errTokenIssuer
	}
	// https://www.rfc-editor.org/rfc/rfc8725#section-3.9
	aud, _ := claims.list("aud")
	if !slices.Contains(aud, r.audience) {
		return errWrongAPI
	}
	// An ID token names its client here
	// (https://openid.net/specs/openid-connect-core-1_0.html#IDToken). A token for
	// an API has no reason to, whatever it is marked as.
	if slices.Contains(aud, r.clientID) {
		return errForClient
	}
	// A bound token is good only together with a proof, and none is looked for
	// here. Without the proof it has most likely been stolen.
	// https://www.rfc-editor.org/rfc/rfc9449#section-7.2, https://www.rfc-editor.org/rfc/rfc8705#section-3
	if claims.has("cnf") {
		return errBound
	}
	return nil
}

// times checks when the token is good. How long ago it was issued does not
// matter: exp says how long it lives.
func (r accessRules) times(claims object, t *AccessToken) (err error) {
	now := r.now.Truncate(time.Second) // as for ID tokens
	// https://www.rfc-editor.org/rfc/rfc9068#section-4
	if t.Expiry, err = claims.time("exp"); err != nil {
		return err
	}
	if t.Expiry.IsZero() || now.After(t.Expiry.Add(skew)) {
		return errExpired
	}
	if t.IssuedAt, err = claims.time("iat"); err != nil {
		return err
	}
	// https://www.rfc-editor.org/rfc/rfc9068#section-2.2
	if t.IssuedAt.IsZero() && r.explicit() || t.IssuedAt.After(now.Add(skew)) {
		return errIssuedAt
	}
	// https://www.rfc-editor.org/rfc/rfc7519#section-4.1.5
	nbf, err := claims.time("nbf")
	if err != nil {
		return err
	}
	if nbf.After(now.Add(skew)) {
		return errNotYet
	}
	return nil
}

// names reads whose token it is, through whom, and within what.
func (r accessRules) names(claims object, t *AccessToken) (err error) {
	if t.Subject, _ = claims.name("sub"); t.Subject == "" {
		return errSubject
	}
	if t.SessionID, err = claims.text("sid"); err != nil || len(t.SessionID) > maxSessionID {
		return errSessionID
	}
	clientID, err := claims.name("client_id")
	if err != nil {
		return err
	}
	azp, err := claims.name("azp")
	if err != nil {
		return err
	}
	t.ClientID = cmp.Or(clientID, azp)
	// https://www.rfc-editor.org/rfc/rfc9068#section-2.2. Without it nobody could
	// tell a machine from a person.
	if t.ClientID == "" && r.explicit() {
		return errNoClient
	}
	// https://www.rfc-editor.org/rfc/rfc9068#section-5
	cid, _ := claims.text("cid") // Okta's client_id
	t.Machine = t.Subject == clientID || t.Subject == azp || t.Subject == cid

	if t.Organization, err = claims.name("organization_id"); err != nil {
		return err
	}
	if id, ok := strings.CutPrefix(r.audience, OrganizationAudience); ok {
		if t.Organization != "" && t.Organization != id {
			return errOrganization
		}
		t.Organization = id
	}
	return nil
}

// kind checks that it is an access token, and none of the others that the
// provider signs with the same keys.
// https://www.rfc-editor.org/rfc/rfc8725#section-3.11
func (r accessRules) kind(claims object, t *AccessToken) error {
	if r.explicit() {
		return nil
	}
	// https://www.rfc-editor.org/rfc/rfc9068#section-4 ends here. But many
	// providers (Keycloak as it comes, Okta, Entra) say JWT or nothing, and then
	// the claims must tell: https://www.rfc-editor.org/rfc/rfc8725#section-3.12
	switch strings.ToLower(r.typ) {
	case "", "jwt", "application/jwt":
	default:
		return errHeader
	}
	// Only ID tokens and logout tokens have these, and their presence is what
	// counts, null included. Keycloak before 25 puts nonce into access tokens too:
	// those are refused, since nothing else tells them apart for certain.
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		if _, ok := claims[name]; ok {
			return errUnmarked
		}
	}
	// Some say in a claim what RFC 9068 says in the header: Keycloak in typ (else
	// ID, Logout, Refresh), Cognito in token_use (else id).
	if !claims.says("typ", "Bearer") || !claims.says("token_use", "access") {
		return errUnmarked
	}
	// And it must have what ID tokens lack. azp alone will not do: that is a claim
	// of ID tokens, https://openid.net/specs/openid-connect-core-1_0.html#IDToken
	_, scoped := claims.scopes()
	if !scoped && !claims.has("client_id") {
		return errUnmarked
	}
	// An ID token of another client, for which it would be as much an audience.
	aud, _ := claims.list("aud")
	azp, _ := claims.name("azp")
	if slices.Contains(aud, t.ClientID) || slices.Contains(aud, azp) {
		return errForClient
	}
	return nil
}

// says reports whether a claim is absent or has a value, in any case.
func (o object) says(name, want string) bool {
	_, ok := o[name]
	value, _ := o.text(name)
	return !ok || strings.EqualFold(value, want)
}

// name returns a claim that names something, and "" if it is not there.
func (o object) name(claim string) (string, error) {
	s, _ := o.text(claim) // "" if it is no text
	if o.has(claim) && s == "" || len(s) > maxName || !printable(s) {
		return "", errName
	}
	return s, nil
}

// list returns a claim that is a string or a list of strings. ok is false if it is
// neither. One that is not there is the empty string, which names nothing.
func (o object) list(claim string) (values []string, ok bool) {
	if one, err := o.text(claim); err == nil {
		return []string{one}, true
	}
	var several []*string
	if json.Unmarshal(o[claim], &several) != nil {
		return nil, false
	}
	for _, s := range several {
		if s == nil {
			return nil, false
		}
		values = append(values, *s)
	}
	return values, true
}

// scopes returns what the token permits: the words of one string
// (https://www.rfc-editor.org/rfc/rfc8693#section-4.2), or a list of them, which
// Okta, Hydra and Spring send. ok is false if there is nothing of either kind.
func (o object) scopes() (scopes []string, ok bool) {
	claim := "scope"
	if !o.has(claim) {
		claim = "scp"
	}
	if text, err := o.text(claim); err != nil {
		scopes, ok = o.list(claim)
	} else if ok = o.has(claim); ok {
		scopes = strings.Split(text, " ")
	}
	// https://www.rfc-editor.org/rfc/rfc6749#section-3.3. In a list, what is not
	// one scope is not made into two.
	return slices.DeleteFunc(scopes, func(s string) bool {
		return s == "" || strings.ContainsAny(s, ` "\\`) || !printable(s)
	}), ok
}
