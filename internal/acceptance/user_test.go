package acceptance_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// asking runs f in a handler behind RequireAuth, for a user who has signed in.
func asking(t *testing.T, a *app, u signintest.User, f func(context.Context)) {
	t.Helper()
	a.within(t, a.signedIn(u).session(), f)
}

var allScopes = []string{"email", "phone", "roles", "urn:logto:scope:organizations", "urn:logto:scope:organization_roles"}

func TestUserFrom(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Scopes = allScopes }})
	granted := strings.Join(append([]string{"openid", "profile", "offline_access"}, allScopes...), " ")
	for _, row := range []struct {
		name string
		user signintest.User
		want signin.User
	}{
		{"everything", signintest.Alice(), signin.User{
			Subject: "alice0000001", Name: "Alice Example", Username: "alice", Email: "alice@example.test", EmailVerified: true,
			PhoneNumber: "15550000001", Picture: "https://pictures.example.test/alice.png", Roles: []string{"admin", "editor"},
			Organizations: []string{"org_one", "org_two"}, OrganizationRoles: []string{"org_one:owner", "org_two:member"}}},
		{"null is the zero value", signintest.XUser(), signin.User{Subject: "x00000000001", Name: "Xavier Example"}},
		{"values of another type are absent", signintest.User{Subject: "s1", Claims: map[string]any{
			"roles": map[string]any{"admin": true}, "organizations": map[string]any{"org_one": true}, "organization_roles": 1,
			"email_verified": 1, "name": 5, "email": []string{"a@example.test"}, "picture": true}},
			signin.User{Subject: "s1"}},
		{"one string is a list of one, and a boolean may be a text", signintest.User{Subject: "s5", Email: "a@example.test", Claims: map[string]any{
			"roles": "admin", "organizations": "org_one", "organization_roles": []any{"org_one:owner", 1}, "email_verified": "true"}},
			signin.User{Subject: "s5", Email: "a@example.test", EmailVerified: true, Roles: []string{"admin"}, Organizations: []string{"org_one"},
				OrganizationRoles: []string{"org_one:owner"}}},
		{"claims within claims do not count", signintest.User{Subject: "s2", Claims: map[string]any{
			"custom": map[string]any{"sub": "alice0000001", "roles": []string{"admin"}, "email": "a@example.test", "email_verified": true}}},
			signin.User{Subject: "s2"}},
		{"an address that is not verified", signintest.User{Subject: "s3", Email: "a@example.test", Claims: map[string]any{"email_verified": false}},
			signin.User{Subject: "s3", Email: "a@example.test"}},
		{"the standard's name for a user name", signintest.User{Subject: "s4", Claims: map[string]any{"preferred_username": "sue"}},
			signin.User{Subject: "s4", Username: "sue"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			asking(t, a, row.user, func(ctx context.Context) {
				u, ok := signin.UserFrom(ctx)
				if !ok {
					t.Fatal("got no user; want one")
				}
				if u.ProviderSessionID == "" || u.Issuer != a.provider.Issuer || !json.Valid(u.Claims) ||
					u.SignedInAt.IsZero() || u.AuthTime.IsZero() || strings.Join(sorted(u.Scopes), " ") != strings.Join(sorted(strings.Fields(granted)), " ") {
					t.Errorf("got %+v; want issuer, session, times, scopes and claims of this sign-in", u)
				}
				got := *u
				got.Issuer, got.ProviderSessionID, got.Scopes, got.Claims = "", "", nil, nil
				got.SignedInAt, got.ExpiresAt, got.AuthTime = time.Time{}, time.Time{}, time.Time{}
				if got, want := jsonOf(t, got), jsonOf(t, row.want); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		})
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestUserFrom_NewEachTime(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Scopes = allScopes }})
	asking(t, a, signintest.Alice(), func(ctx context.Context) {
		first, _ := signin.UserFrom(ctx)
		first.Subject, first.Roles[0], first.Roles = "mallory", "root", append(first.Roles, "root")
		first.Organizations[0], first.OrganizationRoles[0], first.Scopes[0] = "x", "x", "x"
		second, _ := signin.UserFrom(ctx)
		if first == second || second.Subject != signintest.Alice().Subject || !slices.Equal(second.Roles, signintest.Alice().Roles) ||
			second.Organizations[0] != "org_one" || second.OrganizationRoles[0] != "org_one:owner" || slices.Contains(second.Scopes, "x") {
			t.Errorf("got %+v after the first was changed; want Alice unchanged", second)
		}
	})
	if u, ok := signin.UserFrom(t.Context()); ok || u != nil {
		t.Errorf("without a request: got %v, %t; want no user", u, ok)
	}
}

func TestClaimsAs(t *testing.T) {
	t.Parallel()
	type claims struct {
		Subject   string  `json:"sub"`
		Picture   *string `json:"picture"`
		UpdatedAt int64   `json:"updated_at"`
		Plan      struct{ Seats int }
	}
	a := newApp(t, with{})
	u := signintest.Bob()
	u.Claims = map[string]any{"plan": map[string]any{"seats": 12}}
	asking(t, a, u, func(ctx context.Context) {
		got, err := signin.ClaimsAs[claims](ctx)
		if err != nil || got.Subject != u.Subject || got.Picture != nil || got.Plan.Seats != 12 ||
			time.UnixMilli(got.UpdatedAt).Year() != 2025 {
			t.Errorf("got %+v, %v; want Bob's, with null as nothing and updated_at in milliseconds", got, err)
		}
		wrong, err := signin.ClaimsAs[struct {
			Sub  int
			Name string
		}](ctx)
		var badType *json.UnmarshalTypeError
		if !errors.As(err, &badType) || errors.Is(err, signin.ErrNotSignedIn) || wrong.Sub != 0 || wrong.Name != "" || strings.Contains(err.Error(), u.Subject) {
			t.Errorf("got %+v, %v; want the zero value, and an error of encoding/json without the claim's value", wrong, err)
		}
	})
	if got, err := signin.ClaimsAs[claims](t.Context()); !errors.Is(err, signin.ErrInternal) || got.Subject != "" {
		t.Errorf("without a guard: got %+v, %v; want ErrInternal", got, err)
	}
}

// Sessions and bearer tokens have their roles where the configuration says, and a change
// of it applies to people who are signed in. (The provider's access tokens have no claim
// for roles, so that of their scope takes its place.)
func TestUserFrom_RolesClaim(t *testing.T) {
	t.Parallel()
	from := func(claim string) func(*signin.Config) {
		return func(c *signin.Config) { c.Provider.RolesClaim = claim }
	}
	a := newApp(t, with{config: from("/realm_access/roles")})
	session := a.signedIn(signintest.User{Subject: "s1", Roles: []string{"other"}, Claims: map[string]any{
		"realm_access": map[string]any{"roles": []string{"admin"}}, "cognito:groups": "editor", "scope": "reader",
	}}).session()
	bearer := "Authorization: Bearer " + a.provider.AccessToken("s1", ordersAPI, "editor")
	for _, row := range []struct{ claim, role string }{
		{"/realm_access/roles", "admin"}, {"cognito:groups", "editor"}, {"scope", "reader"}, {"/realm_access/none", ""},
	} {
		cfg := a.cfg
		from(row.claim)(&cfg)
		auth := newAuth(t, cfg)
		behind(t, auth.RequireAuth, session, func(ctx context.Context) {
			u, _ := signin.UserFrom(ctx)
			if got := strings.Join(u.Roles, " "); got != row.role {
				t.Errorf("%s: got roles %q; want %q", row.claim, got, row.role)
			}
		})
		for _, role := range []string{"admin", "editor", "reader", "other"} {
			if got := knock(auth.Require(signin.HasRole(role))(http.HandlerFunc(showName)), "/", session); (got.StatusCode == http.StatusOK) != (role == row.role) {
				t.Errorf("%s, for the role %s: got status %d", row.claim, role, got.StatusCode)
			}
		}
		got := knock(auth.RequireBearer(ordersAPI, signin.HasRole("editor"))(http.HandlerFunc(showName)), "/", "", bearer)
		if (got.StatusCode == http.StatusOK) != (row.claim == "scope") {
			t.Errorf("%s, with a bearer token: got status %d", row.claim, got.StatusCode)
		}
	}
}
