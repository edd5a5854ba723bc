// Package grant makes session records of what the provider grants: at the
// sign-in, when an authorization code is redeemed, and later, when a refresh
// token brings new tokens and claims.
//
// It decides what of an answer is believed, and what of the session stays as it
// was. Where sessions are kept, and who may ask the provider when, is not its
// business.
package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/renew"
)

// Source turns the provider's answers into records. It is not changed once it
// is in use, and safe for concurrent use then.
type Source struct {
	Provider *provider.Client
	// Lenient is for providers other than Logto; see [provider.Error.Final].
	Lenient bool
	// UserInfo says that the claims of userinfo are merged.
	UserInfo bool
	// Scopes are those that a sign-in asks for.
	Scopes []string
	// Ahead is how long before its expiry a token for an audience is fetched
	// again, at most half of its life.
	Ahead time.Duration
	Log   *slog.Logger
	Now   func() time.Time
}

// Redeem turns an authorization code into a record without an ID. Errors are the
// provider package's.
func (s *Source) Redeem(ctx context.Context, code, verifier string, want provider.Expect) (*record.Record, error) {
	tokens, err := s.Provider.Exchange(ctx, code, verifier)
	if err != nil {
		return nil, err
	}
	want.AccessToken = tokens.AccessToken
	id, err := s.Provider.VerifyIDToken(ctx, tokens.IDToken, want)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	rec := &record.Record{
		Created: now, LastSeen: now,
		Scope: strings.Join(s.Scopes, " "), // RFC 6749, section 5.1: if omitted, what was asked for
	}
	take(rec, tokens, id)
	rec.Extra, err = s.userInfo(ctx, rec, id.Subject)
	return rec, err
}

// Refresh asks the provider for a record's next generation. It is to be called
// under the session's lock. An error that ends the session wraps
// [renew.ErrFinal].
func (s *Source) Refresh(ctx context.Context, rec *record.Record) (*record.Record, error) {
	// Before the provider is asked: what it answers may be a token that it has
	// rotated, and nothing but a lie may lose that.
	first, err := signInClaims(rec)
	if err != nil {
		return nil, err
	}
	tokens, err := s.Provider.Refresh(ctx, rec.RefreshToken, nil)
	var pe *provider.Error
	if errors.As(err, &pe) && pe.Final(s.Lenient) {
		return nil, fmt.Errorf("%w: %w", renew.ErrFinal, err)
	}
	if err != nil {
		return nil, err
	}
	next := *rec
	next.LastSeen = s.Now()
	var id *provider.IDToken
	if tokens.IDToken != "" {
		id, err = s.Provider.VerifyIDToken(ctx, tokens.IDToken, provider.Expect{
			Refresh: true, Nonce: first.Nonce, Subject: first.Subject, AccessToken: tokens.AccessToken,
		})
	}
	disbelieved := errors.As(err, &pe) && pe.Kind == provider.Rejected
	take(&next, tokens, id)
	if id != nil {
		next.Nonce = first.Nonce
	}
	if err == nil {
		next.Extra, err = s.userInfo(ctx, &next, first.Subject)
		disbelieved = errors.As(err, &pe) && pe.AnotherPerson()
	}
	if disbelieved {
		// Whoever answers so is not believed, whatever it is that it holds.
		_ = s.Revoke(ctx, &next) // which logs it
		return nil, fmt.Errorf("%w: %w", renew.ErrFinal, err)
	}
	if err != nil {
		// The tokens are rotated and must be kept. Keys or userinfo were not to
		// be had: the claims stay as they were.
		if next.Extra = rec.Extra; id != nil && rec.Extra != "" {
			// Yet no more than may stand beside the new ID token.
			next.Extra, _ = extraClaims(next.IDToken.Payload, []byte(rec.Extra))
		}
		s.Log.WarnContext(ctx, "signin: refreshed a session without new claims", "error", err)
	}
	next.Extra = keepFromSignIn(rec, &next)
	if _, err := next.View(); errors.Is(err, record.ErrTooLarge) {
		// The same: the tokens count, and the claims that there were fitted.
		next.IDToken, next.Extra, next.Nonce = rec.IDToken, rec.Extra, rec.Nonce
		s.Log.ErrorContext(ctx, "signin: refreshed a session whose new claims are too large to be kept", "error", err)
	}
	return &next, nil
}

// unknownLife is how long a token is kept whose provider does not say how long
// it is good.
const unknownLife = time.Minute

// Fetch asks the provider for an access token for an audience, and returns the
// session's next generation too if that has rotated its refresh token. It is to
// be called under the session's lock. An error that ends the session wraps
// [renew.ErrFinal], one that is about the audience alone [renew.ErrRefused].
func (s *Source) Fetch(ctx context.Context, rec *record.Record, audience record.Audience) (*record.Token, *record.Record, error) {
	params := url.Values{}
	if audience.Resource != "" {
		params.Set("resource", audience.Resource) // RFC 8707, section 2.2
	}
	if audience.Organization != "" {
		params.Set("organization_id", audience.Organization)
	}
	now := s.Now()
	tokens, err := s.Provider.Refresh(ctx, rec.RefreshToken, params)
	var pe *provider.Error
	switch {
	case errors.As(err, &pe) && pe.Final(s.Lenient && audience == record.Audience{}):
		return nil, nil, fmt.Errorf("%w: %w", renew.ErrFinal, err)
	case errors.As(err, &pe) && pe.Kind == provider.Refused:
		return nil, nil, fmt.Errorf("%w: %w", renew.ErrRefused, err)
	case err != nil:
		return nil, nil, err
	}
	token := &record.Token{Access: tokens.AccessToken, Scope: tokens.Scope, Expiry: tokens.Expiry, Until: now.Add(unknownLife)}
	if life := tokens.Expiry.Sub(now); !tokens.Expiry.IsZero() {
		token.Until = tokens.Expiry.Add(-min(s.Ahead, life/2))
	}
	if tokens.RefreshToken == "" || tokens.RefreshToken == rec.RefreshToken {
		return token, nil, nil
	}
	next := *rec
	next.RefreshToken = tokens.RefreshToken
	return token, &next, nil
}

// Revoke gives a refresh token back to the provider, and logs a failure.
func (s *Source) Revoke(ctx context.Context, rec *record.Record) error {
	if rec.RefreshToken == "" {
		return nil
	}
	err := s.Provider.Revoke(ctx, rec.RefreshToken)
	if err != nil {
		s.Log.WarnContext(ctx, "signin: a refresh token could not be revoked", "error", err)
	}
	return err
}

// take puts what the token endpoint has given into a record. id is nil where
// the claims stay.
func take(rec *record.Record, tokens *provider.Tokens, id *provider.IDToken) {
	rec.AccessToken, rec.AccessExpiry = tokens.AccessToken, tokens.Expiry
	if tokens.RefreshToken != "" {
		rec.RefreshToken = tokens.RefreshToken
	}
	if tokens.Scope != "" {
		rec.Scope = tokens.Scope
	}
	if rec.AccessExpiry.IsZero() {
		// Nobody said. The access token's expiry is the moment to learn
		// whether the session still stands, so there has to be one.
		rec.AccessExpiry = rec.LastSeen.Add(time.Hour)
	}
	rec.AccessLife = rec.AccessExpiry.Sub(rec.LastSeen).Truncate(time.Second)
	if id == nil {
		return
	}
	jwt, exact := record.SplitJWT(id.Raw)
	if !exact {
		jwt = record.JWT{Payload: string(id.Payload)}
	}
	rec.IDToken = jwt
}

// firstClaims are those to which a refreshed ID token is held: the subject's and
// the nonce of the sign-in.
type firstClaims struct {
	Subject string `json:"sub"`
	Nonce   string `json:"nonce"`
}

func signInClaims(rec *record.Record) (claims firstClaims, err error) {
	if err := json.Unmarshal([]byte(rec.IDToken.Payload), &claims); err != nil {
		return claims, fmt.Errorf("signin: claims of a session: %w", err)
	}
	if claims.Nonce == "" {
		claims.Nonce = rec.Nonce
	}
	return claims, nil
}
