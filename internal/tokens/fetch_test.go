package tokens_test

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/tokens"
)

func TestFetch(t *testing.T) {
	for name, row := range map[string]struct {
		audience session.Audience
		form     url.Values // in addition to the refresh token
	}{
		"the provider's own endpoints": {},
		"a resource":                   {session.Audience{Resource: "https://api.test"}, url.Values{"resource": {"https://api.test"}}},
		"an organization":              {session.Audience{Organization: "org"}, url.Values{"organization_id": {"org"}}},
		"names that would end the value of a form": {
			session.Audience{Resource: "urn:a&b=c", Organization: "o&resource=x"},
			url.Values{"resource": {"urn:a&b=c"}, "organization_id": {"o&resource=x"}},
		},
	} {
		f, s := newFake(t)
		f.answers(object{"access_token": "for-it", "scope": "read write", "id_token": nil})
		before := f.session(nil, "")
		r := *before
		token, next, err := s.Fetch(t.Context(), &r, row.audience)
		if err != nil {
			t.Fatalf("%s: got error %v; want none", name, err)
		}
		want := session.Token{Access: "for-it", Scope: "read write", Expiry: now.Add(10 * time.Minute), Until: now.Add(9 * time.Minute)}
		if *token != want {
			t.Errorf("%s: got %+v; want %+v", name, *token, want)
		}
		form := f.form()
		if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != "old-refresh" ||
			!reflect.DeepEqual(form["resource"], row.form["resource"]) || !reflect.DeepEqual(form["organization_id"], row.form["organization_id"]) {
			t.Errorf("%s: got form %v; want the refresh token and %v", name, form, row.form)
		}
		rotated := *before
		rotated.RefreshToken = "new-refresh"
		if !reflect.DeepEqual(next, &rotated) || !reflect.DeepEqual(&r, before) {
			t.Errorf("%s: got %+v of %+v; want a session with the new refresh token, and the old one left alone", name, next, r)
		}
		f.quiet(nil)
	}
	for name, refresh := range map[string]any{"the same refresh token": "old-refresh", "no refresh token": nil} {
		f, s := newFake(t)
		f.answers(object{"refresh_token": refresh})
		if token, next, err := s.Fetch(t.Context(), f.session(nil, ""), session.Audience{}); err != nil || token == nil || next != nil {
			t.Errorf("%s: got %+v, %+v, %v; want a token and no more", name, token, next, err)
		}
	}
}

func TestFetch_Until(t *testing.T) {
	for name, row := range map[string]struct {
		seconds any
		ahead   time.Duration
		until   time.Duration
	}{
		"a minute ahead of its expiry":                {3600, time.Minute, 59 * time.Minute},
		"at half of its life at the earliest":         {60, time.Minute, 30 * time.Second},
		"as much ahead as was asked for":              {3600, 20 * time.Minute, 40 * time.Minute},
		"half of a short life, to the second":         {1, time.Minute, 500 * time.Millisecond},
		"an hour if it is not said how long":          {nil, time.Minute, 59 * time.Minute},
		"an hour if what is said of it is not a time": {-5, time.Minute, 59 * time.Minute},
		"an hour if it is said to be ten years":       {315_360_000, time.Minute, 59 * time.Minute},
	} {
		f, s := newFake(t, func(s *tokens.Source) { s.Ahead = row.ahead })
		f.answers(object{"expires_in": row.seconds})
		token, _, err := s.Fetch(t.Context(), f.session(nil, ""), session.Audience{Resource: "urn:a"})
		if err != nil || !token.Until.Equal(now.Add(row.until)) {
			t.Errorf("%s: got %+v, %v; want it fetched again after %v", name, token, err, row.until)
		}
	}
}

// An answer that does not say how long an access token is good.
func TestExpiry(t *testing.T) {
	jwt := func(exp string) string {
		return session.JWT{Header: `{"alg":"RS256"}`, Payload: `{"exp":` + exp + `}`, Signature: "x"}.Compact()
	}
	for _, row := range []struct {
		name    string
		access  string
		seconds any
		want    time.Duration
	}{
		{"a token that is not a JWT", "opaque", nil, time.Hour},
		{"a JWT", jwt("1800000300"), nil, 5 * time.Minute},
		{"a JWT, and zero seconds", jwt("1800000300"), 0, 5 * time.Minute},
		{"a JWT, and ten years", jwt("1800000300"), 315_360_000, 5 * time.Minute},
		{"what the answer says comes first", jwt("1800000300"), 600, 10 * time.Minute},
		{"a JWT that has expired", jwt("1799999999"), nil, time.Hour},
		{"a JWT with milliseconds", jwt("1800000300000"), nil, time.Hour},
		{"a JWT with a text", jwt(`"1800000300"`), nil, time.Hour},
		{"a JWT whose claims are no object", session.JWT{Header: "{}", Payload: "[]", Signature: "x"}.Compact(), nil, time.Hour},
	} {
		f, s := newFake(t)
		f.answers(object{"access_token": row.access, "expires_in": row.seconds})
		next, err := s.Refresh(t.Context(), f.session(nil, ""))
		if err != nil || next.AccessExpiry.Sub(now) != row.want || next.AccessLife != row.want {
			t.Errorf("%s: got a life of %v, expiry %v, %v; want %v", row.name, next.AccessLife, next.AccessExpiry, err, row.want)
		}
		token, _, err := s.Fetch(t.Context(), f.session(nil, ""), session.Audience{Resource: "urn:a"})
		if err != nil || token.Expiry.Sub(now) != row.want {
			t.Errorf("%s, for an audience: got %+v, %v; want %v", row.name, token, err, row.want)
		}
	}
}

// A refusal is about the whole session, about the audience alone, or passing.
func TestFetch_Refused(t *testing.T) {
	own, resource, within := session.Audience{}, session.Audience{Resource: "urn:a"}, session.Audience{Organization: "o"}
	for _, row := range []struct {
		status   int
		code     string
		audience session.Audience
		logto    bool
		about    error // nil if it is passing
	}{
		{400, "invalid_grant", resource, true, refresh.ErrFinal},
		{400, "invalid_grant", own, true, refresh.ErrFinal},
		{400, "", own, false, refresh.ErrDenied},
		{401, "login_required", own, true, refresh.ErrFinal},
		{401, "login_required", resource, true, refresh.ErrRefused},
		{400, "unauthorized", own, false, refresh.ErrDenied},
		{403, "access_denied", own, true, nil},
		{400, "", resource, false, refresh.ErrRefused},
		{400, "invalid_request", within, false, refresh.ErrRefused},
		{400, "", own, true, nil}, // Logto says what it means
		{400, "invalid_target", resource, true, refresh.ErrRefused},
		{403, "access_denied", resource, false, refresh.ErrRefused},
		{401, "invalid_client", resource, true, nil},
		{500, "", resource, true, nil},
	} {
		f, s := newFake(t, func(s *tokens.Source) { s.Logto = row.logto })
		f.refuses(row.status, row.code, "confidential")
		token, next, err := s.Fetch(t.Context(), f.session(nil, ""), row.audience)
		var pe *provider.Error
		if token != nil || next != nil || !errors.As(err, &pe) {
			t.Errorf("%+v: got %+v, %+v, %v; want the error of the provider alone", row, token, next, err)
		}
		for _, about := range []error{refresh.ErrFinal, refresh.ErrRefused, refresh.ErrDenied} {
			if errors.Is(err, about) != (about == row.about) {
				t.Errorf("%+v: got %v", row, err)
			}
		}
		f.quiet(err)
	}
}

// An invalid_grant for an audience may be about that audience, so a plain refresh decides.
func TestFetch_InvalidGrantForAnAudience(t *testing.T) {
	f, s := newFake(t)
	f.perAudience = &reply{400, object{"error": "invalid_grant"}}
	f.answers(nil)
	token, next, err := s.Fetch(t.Context(), f.session(nil, ""), session.Audience{Resource: "urn:a"})
	if token != nil || !errors.Is(err, refresh.ErrRefused) || errors.Is(err, refresh.ErrFinal) || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("got %+v, %v; want the audience refused, with the code", token, err)
	}
	wantNewTokens(t, "the plain refresh succeeds", next, nil)
	if len(f.forms) != 2 || f.forms[1].Has("resource") {
		t.Errorf("got requests %v; want one for the audience, and a plain one", f.forms)
	}
}

func TestRevoke(t *testing.T) {
	f, s := newFake(t)
	if err := s.Revoke(t.Context(), &session.Session{}); err != nil {
		t.Errorf("no refresh token: got error %v; want none", err)
	}
	f.wantRevoked()
	if err := s.Revoke(t.Context(), f.session(nil, "")); err != nil || f.said.String() != "" {
		t.Errorf("got error %v, log %q; want neither", err, f.said.String())
	}
	f.wantRevoked("old-refresh")
	s.GiveBack(t.Context(), "a sign-in's")
	f.wantRevoked("old-refresh", "a sign-in's")
	f.revoke = http.StatusInternalServerError
	err := s.Revoke(t.Context(), f.session(nil, ""))
	wantKind(t, "the provider fails", err, provider.Unavailable)
	if !strings.Contains(f.said.String(), "could not be revoked") {
		t.Errorf("got log %q; want the failure in it", f.said.String())
	}
	f.quiet(err)
}
