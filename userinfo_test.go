package signin_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// infoScopes are those that open all that userinfo has at Logto.
var infoScopes = []string{"email", "phone", "custom_data", "identities", "sso_identities", "urn:logto:scope:organization_data"}

// describing is an application that may see all of userinfo.
func describing(t *testing.T, config func(*signin.Config), opts ...signintest.Option) (*app, *stopped, *mapState) {
	t.Helper()
	return granting(t, func(c *signin.Config) {
		c.Scopes = infoScopes
		if config != nil {
			config(c)
		}
	}, opts...)
}

// told is userinfo without what only a test of it looks at.
func told(t *testing.T, ctx context.Context) signin.UserInfo {
	t.Helper()
	info, err := signin.FetchUserInfo(ctx)
	if err != nil {
		t.Fatalf("got error %v; want userinfo", err)
	}
	if !json.Valid(info.Claims) {
		t.Errorf("got claims %q; want JSON", info.Claims)
	}
	got := *info
	got.Claims = nil
	return got
}

func TestFetchUserInfo(t *testing.T) {
	t.Parallel()
	alice := signin.UserInfo{
		Subject: "alice0000001", Name: "Alice Example", Username: "alice", Email: "alice@example.test", EmailVerified: true,
		PhoneNumber: "15550000001", PhoneNumberVerified: true, Picture: "https://pictures.example.test/alice.png",
	}
	for _, row := range []struct {
		name   string
		user   signintest.User
		claims map[string]any
		want   signin.UserInfo
	}{
		{"the standard claims", signintest.Alice(), nil, alice},
		{"null is nothing, and no error", signintest.XUser(), map[string]any{"custom_data": nil, "identities": nil, "sso_identities": nil, "organization_data": nil},
			signin.UserInfo{Subject: "x00000000001", Name: "Xavier Example"}},
		{"what only Logto has", signintest.User{Subject: "s1"}, map[string]any{
			"custom_data": map[string]any{"plan": "gold", "n": json.Number("12345678901234567890")},
			"identities": map[string]any{
				"naver": map[string]any{"userId": "n1", "details": map[string]any{"id": "n1", "nickname": "길동"}},
				"x":     map[string]any{"userId": "x1"},
			},
			"sso_identities":    []any{map[string]any{"issuer": "https://idp.test", "identityId": "i1", "detail": map[string]any{"a": 1}}},
			"organization_data": []any{map[string]any{"id": "org_one", "name": "One", "description": nil}, map[string]any{"id": "org_two", "name": "Two", "description": "The second"}},
		}, signin.UserInfo{
			Subject: "s1", CustomData: json.RawMessage(`{"n":12345678901234567890,"plan":"gold"}`),
			Identities: map[string]signin.Identity{
				"naver": {UserID: "n1", Details: json.RawMessage(`{"id":"n1","nickname":"길동"}`)}, "x": {UserID: "x1"},
			},
			SSOIdentities:    []signin.SSOIdentity{{Issuer: "https://idp.test", IdentityID: "i1", Detail: json.RawMessage(`{"a":1}`)}},
			OrganizationData: []signin.Organization{{ID: "org_one", Name: "One"}, {ID: "org_two", Name: "Two", Description: "The second"}},
		}},
		{"claims of other types are left out, each alone", signintest.Alice(), map[string]any{
			"name": 5, "email": []string{"a"}, "email_verified": "true", "phone_number_verified": 1, "picture": map[string]any{"url": "x"},
			"custom_data": "text is JSON, too", "identities": []any{map[string]any{"userId": "n1"}},
			"sso_identities": map[string]any{"issuer": "x"}, "organization_data": []any{map[string]any{"id": "org_one"}, map[string]any{"id": 5}},
		}, signin.UserInfo{Subject: alice.Subject, Username: alice.Username, PhoneNumber: alice.PhoneNumber, CustomData: json.RawMessage(`"text is JSON, too"`)}},
		{"a part of another type leaves out the whole", signintest.User{Subject: "s2", Username: "sue"}, map[string]any{
			"identities": map[string]any{"naver": map[string]any{"userId": "n1"}, "x": map[string]any{"userId": 7}},
		}, signin.UserInfo{Subject: "s2", Username: "sue"}},
		{"names are compared to the letter", signintest.User{Subject: "s3"}, map[string]any{"Custom_Data": true, "IDENTITIES": map[string]any{}},
			signin.UserInfo{Subject: "s3"}},
		{"the standard's name for a user name", signintest.User{Subject: "s4"}, map[string]any{"preferred_username": "sue"}, signin.UserInfo{Subject: "s4", Username: "sue"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, _, _ := describing(t, nil)
			row.user.Claims = row.claims
			a.within(t, a.signedIn(row.user).session(), func(ctx context.Context) {
				before := a.provider.Stats().UserInfo
				for range 2 {
					if got := told(t, ctx); !reflect.DeepEqual(got, row.want) {
						t.Errorf("got  %+v\nwant %+v", got, row.want)
					}
				}
				info, err := signin.FetchUserInfo(ctx)
				if err != nil {
					t.Fatalf("got error %v; want none", err)
				}
				var all map[string]any
				if err := json.Unmarshal(info.Claims, &all); err != nil || all["sub"] != row.want.Subject || row.claims["name"] != nil && all["name"] != 5.0 {
					t.Errorf("got claims %s, %v; want all of them, whatever they are", info.Claims, err)
				}
				if got := a.provider.Stats().UserInfo - before; got != 3 {
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
	info, err := signin.FetchUserInfo(ctx)
	if info != nil {
		t.Errorf("%s: got %+v; want nothing", when, info)
	}
	wantCode(t, when, nil, err, code)
}

// CASES 3.6.
func TestFetchUserInfoRefusesWhatItMust(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		fault    signintest.Fault
		code     signin.Code
		asked    int // at userinfo
		refreshs int
	}{
		{"of somebody else", signintest.UserInfoSubjectWrong, signin.ErrProviderRejected, 1, 0},
		{"of nobody", signintest.UserInfoSubjectMissing, signin.ErrProviderRejected, 1, 0},
		{"as a page", signintest.UserInfoContentType, signin.ErrProviderRejected, 1, 0},
		{"that is an ID token", signintest.UserInfoIDToken, signin.ErrProviderRejected, 1, 0},
		{"that is down", signintest.UserInfo500, signin.ErrProviderUnavailable, 1, 0},
		{"that redirects", signintest.UserInfoRedirect, signin.ErrProviderMisconfigured, 1, 0},
		{"that takes no token, tried twice and no more", signintest.UserInfo401, signin.ErrProviderRejected, 2, 1},
	} {
		t.Run("userinfo "+row.name, func(t *testing.T) {
			t.Parallel()
			a, _, _ := describing(t, nil)
			b := a.signedIn(signintest.Alice())
			a.provider.Inject(row.fault)
			a.within(t, b.session(), func(ctx context.Context) { infoError(t, row.name, ctx, row.code) })
			if got := a.provider.Stats().UserInfo; got != row.asked {
				t.Errorf("got %d requests; want %d", got, row.asked)
			}
			a.used(t, row.refreshs)
			a.provider.Clear()
			a.silent(t, nil)
			shows(t, "the next page", b.get("/account"), signintest.Alice().Subject) // it says nothing about the session
		})
	}
}

func TestFetchUserInfoTriesOnceMore(t *testing.T) {
	t.Parallel()
	for _, rotates := range []bool{false, true} {
		var opts []signintest.Option
		if rotates {
			opts = append(opts, signintest.WithRefreshRotation())
		}
		a, clock, _ := describing(t, nil, opts...)
		b := a.signedIn(signintest.Alice())
		a.within(t, b.session(), func(ctx context.Context) {
			a.provider.Inject(signintest.UserInfo401)
			a.provider.OnTokenRequest(func(form url.Values) {
				if form["resource"] != nil {
					t.Errorf("got %v; want a request for userinfo's own token", form)
				}
				a.provider.Clear() // the new token is taken
			})
			if got := told(t, ctx); got.Subject != signintest.Alice().Subject {
				t.Errorf("got %+v; want Alice", got)
			}
		})
		if got := a.provider.Stats().UserInfo; got != 2 {
			t.Errorf("rotating %v: got %d requests; want 2", rotates, got)
		}
		a.used(t, 1)
		clock.add(5 * time.Second)
		shows(t, "the next page", b.get("/account"), signintest.Alice().Subject)
		a.used(t, 1)
	}
}

func TestFetchUserInfoOfPeopleWhoAreGone(t *testing.T) {
	t.Parallel()
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		infoError(t, "no context", context.Background(), signin.ErrNotSignedIn)
		a, _, _ := describing(t, nil)
		called := false
		knock(a.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			called = true
			infoError(t, "nobody", r.Context(), signin.ErrNotSignedIn)
		})), "/", "")
		if !called || a.provider.Stats().UserInfo != 0 {
			t.Errorf("got %d requests, the handler called %v; want none, and it called", a.provider.Stats().UserInfo, called)
		}
	})
	t.Run("suspended", func(t *testing.T) {
		t.Parallel()
		a, _, _ := describing(t, nil)
		b := a.signedIn(signintest.Alice())
		a.within(t, b.session(), func(ctx context.Context) {
			a.provider.Suspend(signintest.Alice().Subject)
			infoError(t, "suspended", ctx, signin.ErrNotSignedIn)
		})
		b.get("/account").want(t, http.StatusSeeOther, "/sign-in")
	})
	t.Run("an expired session without a refresh token", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := describing(t, func(c *signin.Config) { c.OmitDefaultScopes = true })
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			told(t, ctx)
			clock.add(time.Hour)
			infoError(t, "expired", ctx, signin.ErrProviderMisconfigured)
		})
		if got := a.provider.Stats().UserInfo; got != 1 {
			t.Errorf("got %d requests; want 1", got)
		}
	})
	t.Run("a provider without userinfo", func(t *testing.T) {
		t.Parallel()
		a, _, _ := describing(t, nil)
		a.provider.Inject(signintest.DiscoveryNoUserInfo)
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			infoError(t, "none", ctx, signin.ErrProviderMisconfigured)
		})
	})
}

func TestFetchUserInfoOfATestUser(t *testing.T) {
	t.Parallel()
	of := func(u *signin.User) context.Context {
		return signintest.WithUser(httptest.NewRequest(http.MethodGet, "/", nil), u).Context()
	}
	for _, row := range []struct {
		name string
		user signin.User
		want signin.UserInfo
	}{
		{"by its fields", signin.User{Subject: "u1", Name: "Una", Username: "una", Email: "u@example.test", EmailVerified: true, PhoneNumber: "1", Picture: "p"},
			signin.UserInfo{Subject: "u1", Name: "Una", Username: "una", Email: "u@example.test", EmailVerified: true, PhoneNumber: "1", Picture: "p"}},
		{"by its claims", signin.User{Claims: json.RawMessage(`{"sub":"u2","name":"Two","custom_data":{"a":1}}`)},
			signin.UserInfo{Subject: "u2", Name: "Two", CustomData: json.RawMessage(`{"a":1}`)}},
		{"by both, and the claims are what userinfo says", signin.User{Subject: "u3", Name: "Three", Email: "u@example.test", Claims: json.RawMessage(`{"sub":"u3","name":"Third"}`)},
			signin.UserInfo{Subject: "u3", Name: "Third", Email: "u@example.test"}},
	} {
		info, err := signin.FetchUserInfo(of(&row.user))
		if err != nil {
			t.Fatalf("%s: got error %v; want none", row.name, err)
		}
		if string(info.Claims) != string(row.user.Claims) {
			t.Errorf("%s: got claims %s; want those of the user", row.name, info.Claims)
		}
		if info.Claims = nil; !reflect.DeepEqual(*info, row.want) {
			t.Errorf("%s: got %+v; want %+v", row.name, *info, row.want)
		}
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
	if got, err := signin.UnverifiedClaims[map[string]any](sign(`{"aud":["a","b"]}`)); err != nil || len(got["aud"].([]any)) != 2 {
		t.Errorf("into a map: got %+v, %v; want its claims", got, err)
	}
	for name, token := range map[string]string{
		"opaque": "0123456789abcdef", "empty": "", "two parts": "YQ.YQ", "four parts": "YQ.YQ.YQ.YQ", "no signature": "YQ.e30.",
		"not base64": "YQ.{}.YQ", "no JSON": sign("aud"), "no object": sign(`["aud"]`), "another type": sign(`{"aud":["api"]}`),
		"a part of another type": sign(`{"scope":"read","aud":5}`), "cut short": sign(`{"aud":"api"`),
	} {
		got, err := signin.UnverifiedClaims[claims](token)
		if err == nil || got != (claims{}) || !strings.HasPrefix(err.Error(), "signin: ") {
			t.Errorf("%s: got %+v, %v; want an error and nothing", name, got, err)
		}
	}
}
