// Package tokens makes sessions of the provider's token responses: at the
// sign-in, when an authorization code is redeemed, and later, when a refresh
// token brings new tokens and claims.
//
// It decides what of a response is believed, and what of a session stays as it
// was. It does not know where sessions are kept, nor when the provider may be
// asked: see packages sessionstore and refresh, whose Source it is.
package tokens

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
)

// Source turns the provider's responses into sessions. It is not changed once it
// is in use, and safe for concurrent use then.
type Source struct {
	Provider *provider.Client
	// Logto says that the provider is Logto: its refusals are exact (see
	// [provider.Error.Final]), and an ID token is of no use there at a sign-out.
	Logto bool
	// UserInfo says that the claims of userinfo are merged.
	UserInfo bool
	// Scopes are those that a sign-in asks for.
	Scopes []string
	// Roles is where the roles are; see [session.ParseClaims].
	Roles string
	// Ahead is how long before its expiry a token for an audience is fetched
	// again, at most half of its life.
	Ahead time.Duration
	Log   *slog.Logger
	Now   func() time.Time

	repeats sync.Once // that the provider repeats its ID tokens is logged once
}

// Accept makes a session without an ID of what the provider has given for an
// authorization code. It asks through admitted, which [provider.Client.Admit] has
// returned. Errors are the provider package's, and [session.ErrTooLarge].
func (src *Source) Accept(ctx context.Context, admitted *provider.Client, got *provider.Tokens, want jwt.Expect) (*session.Session, error) {
	want.AccessToken = got.AccessToken
	id, err := admitted.VerifyIDToken(ctx, got.IDToken, want)
	if err != nil {
		return nil, err
	}
	now := src.Now()
	s := &session.Session{
		Created: now, LastSeen: now, IssuedAt: id.IssuedAt.Unix(),
		Scope: strings.Join(src.Scopes, " "), // RFC 6749, section 5.1: if omitted, what was asked for
	}
	take(s, got)
	payload := src.takeIDToken(s, id)
	extra, err := src.userInfo(ctx, admitted, got.AccessToken, payload, id.Subject)
	if err != nil {
		return nil, err
	}
	s.Claims, err = session.ParseClaims(payload, extra, src.Roles)
	return s, err
}

// Refresh asks the provider for a session's next generation. It is to be called
// under the session's lease. Its errors are those that [refresh.Source] says.
func (src *Source) Refresh(ctx context.Context, s *session.Session) (*session.Session, error) {
	got, err := src.Provider.Refresh(ctx, s.RefreshToken, nil)
	if err != nil {
		return rotated(s, got), src.refused(err)
	}
	next := *s
	next.LastSeen = src.Now()
	take(&next, got)
	described, err := src.describe(ctx, s, next, got)
	if errors.Is(err, refresh.ErrFinal) {
		_ = src.Revoke(ctx, &next) // which logs it
		return nil, err
	}
	if _, large := described.Append(nil); large != nil {
		described, err = next, large
	}
	// In any case the tokens are rotated and must be kept.
	described.Unconfirmed = 0
	switch {
	case err == nil:
		return &described, nil
	case err == errSameToken:
		src.repeats.Do(func() { src.Log.WarnContext(ctx, "signin: refreshed a session without new claims", "error", err) })
		return &described, nil
	case errors.Is(err, session.ErrTooLarge): // those of s were not
		src.Log.ErrorContext(ctx, "signin: refreshed a session whose new claims are too large to be kept", "error", err)
	default:
		src.Log.WarnContext(ctx, "signin: refreshed a session without new claims", "error", err)
	}
	described.Unconfirmed = cmp.Or(s.Unconfirmed, s.AccessExpiry.Unix())
	return &described, nil
}

// describe returns next with the claims of a refreshed ID token, if there is one,
// and of userinfo. The error says which of these could not be fetched, or is odd; then
// the claims of s stay, as far as they may. If the error wraps [refresh.ErrFinal], the
// answer is not to be believed, and the session is over.
func (src *Source) describe(ctx context.Context, s *session.Session, next session.Session, got *provider.Tokens) (session.Session, error) {
	described := next
	subject, payload := s.Claims.Text(session.Subject), s.Claims.Payload()
	var repeated error
	if parts, ok := session.SplitJWT(got.IDToken); ok && parts.Payload == payload {
		// It was verified when it came first. Its at_hash is that of another access token.
		repeated = errSameToken
	} else if got.IDToken != "" {
		nonce := nonceOf(s)
		id, err := src.Provider.VerifyIDToken(ctx, got.IDToken, jwt.Expect{
			Refresh: true, Nonce: nonce, Subject: subject, AccessToken: got.AccessToken, IssuedSince: issuedAt(s),
		})
		switch {
		case err != nil:
			return next, final(err, func(e *provider.Error) bool { return e.Kind == provider.Rejected && !errors.Is(err, jwt.ErrOdd) })
		case !src.Logto && !src.UserInfo && bare(id.Payload):
			return next, nil
		}
		payload, described.Nonce = src.takeIDToken(&described, id), nonce
	}
	extra, unknown := src.userInfo(ctx, src.Provider, got.AccessToken, payload, subject)
	if unknown != nil {
		unknown = final(unknown, (*provider.Error).AnotherPerson)
		if errors.Is(unknown, refresh.ErrFinal) || !src.Logto && bare([]byte(payload)) {
			return next, unknown
		}
		extra = s.Claims.Extra()
		if got.IDToken != "" && extra != "" {
			// Keep only what may be added to the new ID token.
			extra, _ = extraClaims(payload, []byte(extra))
		}
	}
	claims, err := src.keep(&s.Claims, payload, extra)
	if err != nil {
		return next, errors.Join(unknown, err)
	}
	described.Claims = claims
	return described, cmp.Or(unknown, repeated)
}

// errSameToken says that the provider has sent the ID token that the session has. Some
// always do. It is no news, as if there were none, and nothing is wrong with it.
var errSameToken = errors.New("signin: the provider repeats the ID token that the session has, so roles stay as they were; Config.MergeUserInfo brings newer ones")

// issuedAt is when the last accepted ID token was issued.
func issuedAt(s *session.Session) time.Time {
	claims, _ := document.Parse([]byte(s.Claims.Payload())) // has been read before
	at, _ := claims.Time("iat")
	return at
}

// refused marks an error of a refresh that names no audience.
func (src *Source) refused(err error) error {
	pe, ok := errors.AsType[*provider.Error](err)
	if ok && !src.Logto && pe.Denied() { // Logto says what it means
		return fmt.Errorf("%w: %w", refresh.ErrDenied, err)
	}
	return final(err, (*provider.Error).Final)
}

// rotated returns s with a new refresh token that an answer has brought; nil if it has
// brought none.
func rotated(s *session.Session, got *provider.Tokens) *session.Session {
	if got == nil || got.RefreshToken == "" || got.RefreshToken == s.RefreshToken {
		return nil
	}
	next := *s
	next.RefreshToken = got.RefreshToken
	return &next
}

// final marks an error of the provider package that ends the session.
func final(err error, ends func(*provider.Error) bool) error {
	var pe *provider.Error
	if errors.As(err, &pe) && ends(pe) {
		return fmt.Errorf("%w: %w", refresh.ErrFinal, err)
	}
	return err
}

// nonceOf returns the nonce of the sign-in, to which a refreshed ID token is held.
// That of the last ID token was held to it, too.
func nonceOf(s *session.Session) (nonce string) {
	_ = json.Unmarshal(membersOf([]byte(s.Claims.Payload()))["nonce"], &nonce)
	return cmp.Or(nonce, s.Nonce)
}

// Fetch asks the provider for an access token for an audience, and returns the
// session's next generation too if that has rotated its refresh token. It is to
// be called under the session's lease. Its errors are those that [refresh.Source] says.
func (src *Source) Fetch(ctx context.Context, s *session.Session, audience session.Audience) (*session.Token, *session.Session, error) {
	params := url.Values{}
	if audience.Resource != "" {
		params.Set("resource", audience.Resource) // RFC 8707, section 2.2
	}
	if audience.Organization != "" {
		params.Set("organization_id", audience.Organization)
	}
	got, err := src.Provider.Refresh(ctx, s.RefreshToken, params)
	if err != nil && audience == (session.Audience{}) {
		return nil, rotated(s, got), src.refused(err)
	}
	if err != nil {
		next, err := src.unfetched(ctx, s, got, err)
		return nil, next, err
	}
	now := src.Now()
	expiry := expires(got, now)
	token := &session.Token{Access: got.AccessToken, Scope: got.Scope, Expiry: expiry, Until: expiry.Add(-min(src.Ahead, expiry.Sub(now)/2))}
	return token, rotated(s, got), nil
}

// unfetched returns what an error of a request for an audience means for the session.
func (src *Source) unfetched(ctx context.Context, s *session.Session, got *provider.Tokens, err error) (*session.Session, error) {
	pe, ok := errors.AsType[*provider.Error](err)
	if !ok || pe.Kind != provider.Refused {
		return rotated(s, got), err
	}
	refused := fmt.Errorf("%w: %w", refresh.ErrRefused, err)
	if pe.OAuthCode != "invalid_grant" {
		return rotated(s, got), refused
	}
	// Some providers say so of an audience that was not granted.
	next, err := src.Refresh(ctx, s)
	if err != nil {
		return next, err
	}
	return next, refused
}

// MayRevoke reports whether the grant of a sign-in that failed may be revoked: not if
// another session may rest on it, and would end with it. live is the session that the
// browser presents, or nil. subject is the sub of the sign-in's ID token, or empty if
// the token was not verified, and may be about anyone. At Logto all sessions of a
// browser share one grant, even those that the browser does not present.
func (src *Source) MayRevoke(live *session.Session, subject string) bool {
	switch {
	case src.Logto:
		return false
	case live == nil:
		return true
	}
	return subject != "" && live.Claims.Text(session.Subject) != subject
}

// GiveBack revokes the refresh token of a sign-in that has failed, as callbacks ask the
// provider: few at a time, over their own connections.
func (src *Source) GiveBack(ctx context.Context, refreshToken string) {
	admitted, leave, err := src.Provider.Admit(ctx)
	if err == nil {
		defer leave()
		err = admitted.Revoke(ctx, refreshToken)
	}
	src.logRevoked(ctx, err)
}

// Revoke gives a refresh token back to the provider, and logs a failure.
func (src *Source) Revoke(ctx context.Context, s *session.Session) error {
	if s.RefreshToken == "" {
		return nil
	}
	err := src.Provider.Revoke(ctx, s.RefreshToken)
	src.logRevoked(ctx, err)
	return err
}

func (src *Source) logRevoked(ctx context.Context, err error) {
	if err != nil {
		src.Log.WarnContext(ctx, "signin: a refresh token could not be revoked", "error", err)
	}
}

// take puts the tokens of a response into a session, but for the ID token.
func take(s *session.Session, got *provider.Tokens) {
	s.AccessToken, s.AccessExpiry = session.Pack(got.AccessToken), expires(got, s.LastSeen)
	s.RefreshToken = cmp.Or(got.RefreshToken, s.RefreshToken)
	s.Scope = cmp.Or(got.Scope, s.Scope)
	s.AccessLife = s.AccessExpiry.Sub(s.LastSeen).Truncate(time.Second)
}

const (
	// unknownLife is that of an access token of which neither the answer nor the token
	// says how long it is good. Its expiry is the moment to learn whether the session
	// has ended at the provider, so there has to be one.
	unknownLife = time.Hour
	// longestLife is the longest that an access token is believed to have.
	longestLife = 365 * 24 * time.Hour
)

// expires returns when the access token of a response expires: if the response does not
// say, when the token itself says, which is a JWT at many providers. Nothing is
// concluded from it but when to ask for another, so it need not be verified.
func expires(got *provider.Tokens, now time.Time) time.Time {
	if !got.Expiry.IsZero() {
		return got.Expiry
	}
	if jwt, ok := session.SplitJWT(got.AccessToken); ok {
		claims, _ := document.Parse([]byte(jwt.Payload)) // nil if there are none
		if exp, err := claims.Time("exp"); err == nil && exp.After(now) && exp.Before(now.Add(longestLife)) {
			return exp
		}
	}
	return now.Add(unknownLife)
}

// takeIDToken puts what an ID token has besides its claims into a session, and
// returns these.
func (src *Source) takeIDToken(s *session.Session, id *jwt.IDToken) (payload string) {
	s.IDHeader, s.IDSignature = "", ""
	if !src.Logto {
		parts, _ := session.SplitJWT(id.Raw) // has been verified, so it is one
		s.IDHeader, s.IDSignature = parts.Header, parts.Signature
	}
	return string(id.Payload)
}
