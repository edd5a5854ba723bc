package acceptance_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// describing is granting with the scopes for all of Logto's userinfo.
func describing(t *testing.T, config func(*signin.Config), opts ...signintest.Option) (*app, *stopped, *mapState) {
	t.Helper()
	return granting(t, func(c *signin.Config) {
		c.Scopes = []string{"email", "phone", "custom_data", "identities", "urn:logto:scope:organizations"}
		if config != nil {
			config(c)
		}
	}, opts...)
}

// info is what an application may want of userinfo.
type info struct {
	Subject             string                     `json:"sub"`
	Name                string                     `json:"name"`
	Username            string                     `json:"username"`
	Email               string                     `json:"email"`
	EmailVerified       bool                       `json:"email_verified"`
	PhoneNumber         string                     `json:"phone_number"`
	PhoneNumberVerified bool                       `json:"phone_number_verified"`
	Picture             string                     `json:"picture"`
	CustomData          map[string]json.RawMessage `json:"custom_data"`
	Organizations       []organization             `json:"organization_data"`
}

type organization struct{ ID, Name, Description string }

func told[T any](t *testing.T, ctx context.Context) T {
	t.Helper()
	got, err := signin.FetchUserInfo[T](ctx)
	if err != nil {
		t.Fatalf("got error %v; want userinfo", err)
	}
	return got
}

func TestFetchUserInfo(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		user   signintest.User
		claims map[string]any
		want   info
	}{
		{"the standard claims", signintest.Alice(), nil, info{
			Subject: "alice0000001", Name: "Alice Example", Username: "alice", Email: "alice@example.test", EmailVerified: true,
			PhoneNumber: "15550000001", PhoneNumberVerified: true, Picture: "https://pictures.example.test/alice.png",
		}},
		{"null, and what only Logto has", signintest.XUser(), map[string]any{
			"custom_data":       map[string]any{"plan": "gold", "n": json.Number("12345678901234567890")},
			"organization_data": []any{map[string]any{"id": "org_one", "name": "One", "description": nil}},
		}, info{
			Subject: "x00000000001", Name: "Xavier Example", Organizations: []organization{{ID: "org_one", Name: "One"}},
			CustomData: map[string]json.RawMessage{"n": json.RawMessage("12345678901234567890"), "plan": json.RawMessage(`"gold"`)},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, _, _ := describing(t, nil)
			row.user.Claims = row.claims
			a.within(t, a.signedIn(row.user).session(), func(ctx context.Context) {
				if got := told[info](t, ctx); !reflect.DeepEqual(got, row.want) {
					t.Errorf("got  %+v\nwant %+v", got, row.want)
				}
				if got := told[*info](t, ctx); !reflect.DeepEqual(*got, row.want) {
					t.Errorf("by a pointer: got  %+v\nwant %+v", *got, row.want)
				}
				if raw := told[json.RawMessage](t, ctx); !json.Valid(raw) || !strings.Contains(string(raw), `"sub":"`+row.want.Subject+`"`) {
					t.Errorf("got %s; want the answer as it is", raw)
				}
				if got := a.provider.Stats().UserInfo; got != 3 {
					t.Errorf("got %d requests; want one each time", got)
				}
			})
			a.used(t, 0)
		})
	}
}

// infoError checks an error of FetchUserInfo.
func infoError(t *testing.T, when string, ctx context.Context, code signin.Code) {
	t.Helper()
	got, err := signin.FetchUserInfo[map[string]any](ctx)
	if got != nil {
		t.Errorf("%s: got %+v; want nothing", when, got)
	}
	wantCode(t, when, nil, err, code)
}

func TestFetchUserInfo_BadAnswers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name      string
		fault     signintest.Fault
		code      signin.Code
		asked     int // at userinfo
		refreshes int
	}{
		{"of another person", faults.UserInfoSubjectWrong, signin.ErrProviderRejected, 1, 0},
		{"without a subject", faults.UserInfoSubjectMissing, signin.ErrProviderRejected, 1, 0},
		{"that is down", faults.UserInfo500, signin.ErrProviderUnavailable, 1, 0},
		{"that redirects", faults.UserInfoRedirect, signin.ErrProviderMisconfigured, 1, 0},
		{"that refuses every token, asked twice and no more", faults.UserInfo401, signin.ErrProviderRejected, 2, 1},
		{"that the provider does not have", faults.DiscoveryNoUserInfo, signin.ErrProviderMisconfigured, 0, 0},
	} {
		t.Run("userinfo "+row.name, func(t *testing.T) {
			t.Parallel()
			a, _, _ := describing(t, nil)
			a.provider.Inject(row.fault)
			b := a.signedIn(signintest.Alice())
			a.within(t, b.session(), func(ctx context.Context) { infoError(t, row.name, ctx, row.code) })
			if got := a.provider.Stats().UserInfo; got != row.asked {
				t.Errorf("got %d requests; want %d", got, row.asked)
			}
			a.used(t, row.refreshes)
			a.provider.Clear()
			a.wantNoSecretTold(t, nil)
			shows(t, "the next page", b.get("/account"), signintest.Alice().Subject) // the session goes on
		})
	}
}

func TestFetchUserInfo_NotSignedIn(t *testing.T) {
	t.Parallel()
	infoError(t, "no guard", t.Context(), signin.ErrInternal)
	a, clock, _ := describing(t, func(c *signin.Config) { c.OmitDefaultScopes = true })
	behind(t, a.auth.Load, "", func(ctx context.Context) { infoError(t, "no cookie", ctx, signin.ErrNotSignedIn) })
	behind(t, a.auth.RequireBearer(apiA), "", func(ctx context.Context) { infoError(t, "a program", ctx, signin.ErrNotSignedIn) },
		"Authorization: Bearer "+a.provider.AccessToken(signintest.Alice().Subject, apiA))
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		clock.add(time.Hour)
		infoError(t, "expired, without a refresh token", ctx, signin.ErrProviderMisconfigured)
	})
	if got := a.provider.Stats().UserInfo; got != 0 {
		t.Errorf("got %d requests; want none", got)
	}
}

func TestFetchUserInfo_TestUser(t *testing.T) {
	t.Parallel()
	of := func(u *signin.User) context.Context {
		return signintest.WithUser(httptest.NewRequest(http.MethodGet, "/", nil), u).Context()
	}
	for _, row := range []struct {
		name string
		user signin.User
		want map[string]any
	}{
		{"by their fields", signin.User{Subject: "u1", Name: "Una", Username: "una", Email: "u@example.test",
			EmailVerified: true, PhoneNumber: "1", Picture: "p", Roles: []string{"admin"}},
			map[string]any{"sub": "u1", "name": "Una", "username": "una", "email": "u@example.test",
				"email_verified": true, "phone_number": "1", "picture": "p"}},
		{"by few fields", signin.User{Subject: "u1"}, map[string]any{"sub": "u1", "email_verified": false}},
		{"by both, and the claims win", signin.User{Subject: "u3", Name: "Three", Email: "u@example.test", EmailVerified: true,
			Claims: json.RawMessage(`{"sub":"u4","name":null,"email_verified":false,"custom_data":{"a":1}}`)},
			map[string]any{"sub": "u4", "name": nil, "email": "u@example.test", "email_verified": false, "custom_data": map[string]any{"a": 1.0}}},
		{"claims that are not JSON add nothing", signin.User{Subject: "u5", Claims: json.RawMessage(`{"sub":`)},
			map[string]any{"sub": "u5", "email_verified": false}},
		{"claims that are a list add nothing", signin.User{Subject: "u5", Claims: json.RawMessage(`["sub"]`)},
			map[string]any{"sub": "u5", "email_verified": false}},
	} {
		if got := told[map[string]any](t, of(&row.user)); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %v; want %v", row.name, got, row.want)
		}
	}
	got := told[info](t, of(&signin.User{Subject: "u1", Claims: json.RawMessage(`{"custom_data":{"n":12345678901234567890}}`)}))
	if want := (info{Subject: "u1", CustomData: map[string]json.RawMessage{"n": json.RawMessage("12345678901234567890")}}); !reflect.DeepEqual(got, want) {
		t.Errorf("a long number: got %+v; want %+v, as in userinfo", got, want)
	}
	misfit, err := signin.FetchUserInfo[struct {
		Sub  string
		Name int
	}](of(&signin.User{Subject: "u1", Name: "Una"}))
	if err == nil || !strings.HasPrefix(err.Error(), "signin: ") || misfit.Sub != "" {
		t.Errorf("a claim that does not fit: got %+v, %v; want an error, and nothing decoded in part", misfit, err)
	}
	infoError(t, "no user", of(nil), signin.ErrNotSignedIn)
}

func TestUnverifiedClaims(t *testing.T) {
	t.Parallel()
	sign := func(payload string) string {
		return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	type claims struct {
		Aud   string
		Scope string
	}
	if got, err := signin.UnverifiedClaims[claims](sign(`{"aud":"api","scope":"read","x":1}`)); err != nil || got != (claims{"api", "read"}) {
		t.Errorf("a JWT: got %+v, %v; want its claims", got, err)
	}
	for name, token := range map[string]string{
		"opaque": "0123456789abcdef", "not an object": sign(`["aud"]`), "a part of another type": sign(`{"scope":"read","aud":5}`),
	} {
		got, err := signin.UnverifiedClaims[claims](token)
		if err == nil || got != (claims{}) || !strings.HasPrefix(err.Error(), "signin: ") {
			t.Errorf("%s: got %+v, %v; want an error and nothing", name, got, err)
		}
	}
}
