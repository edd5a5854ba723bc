package provider

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// skew is how far the provider's clock may be from ours.
	skew = time.Minute
	// maxTransit is how old a token may be that has just been received, the
	// skew not counted. It is generous, since some providers (Microsoft Entra)
	// date their tokens back by five minutes.
	maxTransit = 5 * time.Minute
	// maxSubject is the longest sub, https://openid.net/specs/openid-connect-core-1_0.html#IDToken
	maxSubject = 255
	// maxSessionID is the longest sid, in bytes. Logout tokens and ID tokens have
	// the one limit, or there would be sessions that no logout token can end.
	maxSessionID = 1 << 10
	// lastSecond is the end of the year 9999, beyond which times have no text form.
	lastSecond = 253402300799
)

const (
	errClaims      = fault("it breaks a rule of OpenID Connect")
	errTokenIssuer = fault("iss is not the configured issuer")
	errAudience    = fault("aud is not this client alone")
	errAuthorized  = fault("azp is not this client")
	errTime        = fault("a time is no number, or no time")
	errExpired     = fault("exp is absent or past")
	errIssuedAt    = fault("iat is absent, long past or ahead")
	errNotYet      = fault("nbf is ahead")
	errSubject     = fault("sub is absent, or not 1 to 255 printable ASCII characters")
	errSessionID   = fault("sid is not text of 1,024 bytes at the most, or is empty where it counts")
	errPerson      = fault("sub is of somebody else")
	errNonce       = fault("nonce is not the one sent")
	errHash        = fault("at_hash is not that of the access token")
	errAuthTime    = fault("auth_time is absent, or longer ago than asked for")
	errACR         = fault("acr is none of those asked for")
)

// Expect is what an ID token must say beyond what every ID token must.
type Expect struct {
	// Nonce is the one sent with the authorization request. It must come back;
	// an empty one matches nothing.
	Nonce string
	// Refresh says that the token came with a refresh. It may then lack a nonce,
	// though not have another one, and Subject must be set.
	// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
	Refresh bool
	// Subject is who it must be. Empty: anybody.
	Subject string
	// AccessToken is the one received together with the ID token; at_hash, if
	// there is one, must be its hash.
	AccessToken string
	// MaxAge is how long ago the person may have been asked, if MaxAgeAsked.
	MaxAge      time.Duration
	MaxAgeAsked bool
	// ACR, unless empty, lists the context classes of which acr must be one.
	ACR []string
}

// rules is all that decides about a token's claims, besides the claims.
type rules struct {
	issuer, clientID string
	alg              string // with which the token is signed
	want             Expect
	now              time.Time
}

// check decides whether claims are those of a person who may come in.
func check(payload []byte, r rules) (*IDToken, error) {
	claims, err := parseObject(payload)
	if err != nil {
		return nil, err
	}
	if err := claims.parties(r.issuer, r.clientID); err != nil {
		return nil, err
	}
	id := &IDToken{Payload: payload}
	for _, rule := range []func(object, *IDToken) error{r.times, r.subject, r.nonce, r.hash, r.authentication} {
		if err := rule(claims, id); err != nil {
			return nil, err
		}
	}
	if id.SessionID, err = claims.sessionID(); err != nil {
		return nil, err
	}
	return id, nil
}

// parties checks by whom and for whom the token is.
func (o object) parties(issuer, clientID string) error {
	// To the letter, also where go-oidc makes an exception for Google.
	if iss, err := o.text("iss"); err != nil || iss != issuer {
		return errTokenIssuer
	}
	// An audience beside this client is one that nobody told us to trust,
	// whatever azp says. https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation (3)
	if aud, _ := o.list("aud"); !slices.Equal(aud, []string{clientID}) {
		return errAudience
	}
	// (4) and (5)
	if azp, err := o.text("azp"); err != nil || o.has("azp") && azp != clientID {
		return errAuthorized
	}
	return nil
}

// times checks when the token is good, https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation (9), (10).
func (r rules) times(claims object, id *IDToken) (err error) {
	if !claims.has("exp") {
		return errExpired
	}
	id.Expiry, id.IssuedAt, err = claims.times(r.now, maxTransit+skew)
	return err
}

// times returns exp, zero if it is not there, and iat, which must be, of a
// token that is good now and was issued no longer ago than oldest.
func (o object) times(now time.Time, oldest time.Duration) (exp, iat time.Time, err error) {
	// Claims are in whole seconds, mostly; with a fraction of ours, sixty seconds
	// of skew would be more than a minute half of the time.
	now = now.Truncate(time.Second)
	if exp, err = o.time("exp"); err != nil {
		return exp, iat, err
	}
	if !exp.IsZero() && now.After(exp.Add(skew)) {
		return exp, iat, errExpired
	}
	if iat, err = o.time("iat"); err != nil {
		return exp, iat, err
	}
	if iat.IsZero() || iat.After(now.Add(skew)) || iat.Before(now.Add(-oldest)) {
		return exp, iat, errIssuedAt
	}
	nbf, err := o.time("nbf")
	if err != nil {
		return exp, iat, err
	}
	if nbf.After(now.Add(skew)) {
		return exp, iat, errNotYet
	}
	return exp, iat, nil
}

// time returns a NumericDate, https://www.rfc-editor.org/rfc/rfc7519#section-2,
// to the second, and the zero time if it is not there.
func (o object) time(name string) (time.Time, error) {
	if !o.has(name) {
		return time.Time{}, nil
	}
	// What is not a number in JSON is none here: text keeps its quotes.
	seconds, err := strconv.ParseFloat(string(o[name]), 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		return time.Time{}, errTime
	}
	return time.Unix(int64(math.Floor(seconds)), 0), nil
}

// subject checks who it is.
func (r rules) subject(claims object, id *IDToken) error {
	sub, err := claims.subject()
	if err != nil {
		return err
	}
	// Without a subject to compare with, a refresh could change the person.
	// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
	if (r.want.Refresh || r.want.Subject != "") && sub != r.want.Subject {
		return errPerson
	}
	id.Subject = sub
	return nil
}

// subject returns sub, which must be there.
func (o object) subject() (string, error) {
	sub, err := o.text("sub")
	if err != nil || sub == "" || len(sub) > maxSubject || !printable(sub) {
		return "", errSubject
	}
	return sub, nil
}

// sessionID returns sid, and "" if it is not there.
func (o object) sessionID() (string, error) {
	sid, err := o.text("sid")
	if err != nil || len(sid) > maxSessionID {
		return "", errSessionID
	}
	return sid, nil
}

// printable reports whether s is of printable ASCII characters only.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// nonce checks that the token answers this sign-in, (11).
func (r rules) nonce(claims object, _ *IDToken) error {
	if r.want.Refresh && !claims.has("nonce") {
		return nil
	}
	nonce, err := claims.text("nonce")
	if err != nil || nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(r.want.Nonce)) != 1 {
		return errNonce
	}
	return nil
}

// hash checks that the access token belongs to the ID token,
// https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowTokenValidation.
func (r rules) hash(claims object, _ *IDToken) error {
	if !claims.has("at_hash") {
		return nil
	}
	hash, err := claims.text("at_hash")
	if err != nil || hash != accessTokenHash(r.alg, r.want.AccessToken) {
		return errHash
	}
	return nil
}

// accessTokenHash is the left half of the hash that goes with an algorithm;
// Ed25519's is SHA-512.
func accessTokenHash(alg, token string) string {
	h := sha512.New()
	switch {
	case strings.HasSuffix(alg, "256"):
		h = sha256.New()
	case strings.HasSuffix(alg, "384"):
		h = sha512.New384()
	}
	io.WriteString(h, token)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:h.Size()/2])
}

// authentication checks when and how the person was asked, if that was asked
// for: https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation (12), (13).
func (r rules) authentication(claims object, id *IDToken) (err error) {
	if id.AuthTime, err = claims.time("auth_time"); err != nil {
		return err
	}
	if r.want.MaxAgeAsked {
		now := r.now.Truncate(time.Second)
		late := now.After(id.AuthTime.Add(r.want.MaxAge + skew))
		if id.AuthTime.Unix() <= 0 || late || id.AuthTime.After(now.Add(skew)) {
			return errAuthTime
		}
	}
	if id.ACR, err = claims.text("acr"); err != nil {
		return err
	}
	if len(r.want.ACR) > 0 && (id.ACR == "" || !slices.Contains(r.want.ACR, id.ACR)) {
		return errACR
	}
	return nil
}
