package signin_test

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// claimsUser is the user that a session with these claims has.
func claimsUser(t *testing.T, claims map[string]any) *signin.User {
	t.Helper()
	a := newApp(t, with{config: func(c *signin.Config) {
		c.Scopes = []string{"roles", "urn:logto:scope:organizations", "urn:logto:scope:organization_roles"}
	}})
	var got *signin.User
	a.mount("/me", a.auth.RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = signin.UserFrom(r.Context())
	})))
	b := a.signedIn(signintest.User{Subject: "s1", Claims: claims})
	b.get("/me").want(t, http.StatusOK, "")
	return got
}

// Every rule both ways, and with claims of every wrong kind: never allowed by
// accident, never a panic.
func TestRulesAboutClaims(t *testing.T) {
	t.Parallel()
	wrong := map[string]any{
		"null": nil, "a text": "admin", "a text with the role among others": "admin editor", "a number": 1, "true": true,
		"an object": map[string]any{"admin": true}, "a list in a list": []any{[]any{"admin"}},
		"a list with null": []any{"admin", nil}, "a list with a number": []any{"admin", 1}, "an empty list": []any{},
		"a longer role": []any{"administrator"}, "another case": []any{"Admin"}, "with a space": []any{" admin"},
		"an empty text": []any{""},
	}
	for _, row := range []struct {
		claim string
		rule  signin.Rule
		held  any
	}{
		{"roles", signin.HasRole("admin"), []any{"editor", "admin"}},
		{"organizations", signin.MemberOf("admin"), []any{"admin"}},
		{"organization_roles", signin.HasOrganizationRole("org", "admin"), []any{"org:admin"}},
	} {
		t.Run(row.claim, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/", nil)
			if err := row.rule(r, claimsUser(t, map[string]any{row.claim: row.held})); err != nil {
				t.Errorf("held: got %v; want it allowed", err)
			}
			for name, value := range wrong {
				wantRefused(t, name, row.rule(r, claimsUser(t, map[string]any{row.claim: value})))
			}
			wantRefused(t, "absent", row.rule(r, claimsUser(t, nil)))
			wantRefused(t, "a user without anything", row.rule(r, &signin.User{}))
		})
	}
}

func wantRefused(t *testing.T, name string, err error) {
	t.Helper()
	var e *signin.Error
	if !errors.As(err, &e) || e.Code != signin.ErrForbidden || e.Status != http.StatusForbidden {
		t.Errorf("%s: got %v; want it forbidden", name, err)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return time.Unix(0, 0).Add(-d) } // filled in when the row runs
	deny := func(*http.Request, *signin.User) error { return errors.New("no") }
	allow := func(*http.Request, *signin.User) error { return nil }
	for _, row := range []struct {
		name string
		rule signin.Rule
		user signin.User
		want error // nil: allowed
	}{
		{"nobody has a role without a name", signin.HasRole(""), signin.User{Roles: []string{""}}, signin.ErrForbidden},
		{"nobody belongs to an organization without a name", signin.MemberOf(""), signin.User{Organizations: []string{""}}, signin.ErrForbidden},
		{"a scope that was granted", signin.HasScope("read"), signin.User{Scopes: []string{"openid", "read"}}, nil},
		{"a scope that was not", signin.HasScope("read"), signin.User{Scopes: []string{"openid", "reader"}}, signin.ErrForbidden},
		{"a role in the organization", signin.HasOrganizationRole("a", "b"), signin.User{OrganizationRoles: []string{"a:b"}}, nil},
		{"the same role in another", signin.HasOrganizationRole("a", "b"), signin.User{OrganizationRoles: []string{"c:b"}}, signin.ErrForbidden},
		{"a role that begins in the organization's ID", signin.HasOrganizationRole("a:b", "c"), signin.User{OrganizationRoles: []string{"a:b:c"}}, signin.ErrForbidden},
		{"a role without a name", signin.HasOrganizationRole("a", ""), signin.User{OrganizationRoles: []string{"a:"}}, signin.ErrForbidden},
		{"an organization without a name", signin.HasOrganizationRole("", "b"), signin.User{OrganizationRoles: []string{":b"}}, signin.ErrForbidden},
		{"one of several rules holds", signin.AnyOf(deny, allow, deny), signin.User{}, nil},
		{"none holds", signin.AnyOf(signin.HasRole("x"), deny), signin.User{}, signin.ErrForbidden},
		{"of no rules none holds", signin.AnyOf(), signin.User{}, signin.ErrForbidden},
		{"none holds but a step-up would help", signin.AnyOf(signin.HasRole("x"), signin.ACR("mfa"), deny), signin.User{}, signin.ErrStepUpRequired},
		{"a step-up is not asked for if another rule holds", signin.AnyOf(signin.ACR("mfa"), allow), signin.User{}, nil},
		{"the class that is wanted", signin.ACR("mfa", "phr"), signin.User{ACR: "phr"}, nil},
		{"another class", signin.ACR("mfa"), signin.User{ACR: "pwd"}, signin.ErrStepUpRequired},
		{"no class", signin.ACR("mfa"), signin.User{}, signin.ErrStepUpRequired},
		{"machines or administrators: a person", signin.AnyOf(signin.Machines(), signin.HasRole("admin")), signin.User{}, signin.ErrForbidden},
		{"machines or administrators: an administrator", signin.AnyOf(signin.Machines(), signin.HasRole("admin")), signin.User{Roles: []string{"admin"}}, nil},
		{"machines or administrators: a machine", signin.AnyOf(signin.HasRole("admin"), signin.Machines()), signin.User{Machine: true}, nil},
		{"machines, deeper down: a person", signin.AnyOf(signin.AnyOf(signin.Machines()), deny), signin.User{}, signin.ErrForbidden},
		{"machines as well: a person", signin.Machines(), signin.User{}, nil},
		{"signed in a moment ago", signin.SignedInWithin(5 * time.Minute), signin.User{AuthTime: ago(0)}, nil},
		{"within the time, with the skew of clocks", signin.SignedInWithin(5 * time.Minute), signin.User{AuthTime: ago(6*time.Minute - 5*time.Second)}, nil},
		{"too long ago", signin.SignedInWithin(5 * time.Minute), signin.User{AuthTime: ago(6*time.Minute + 5*time.Second)}, signin.ErrStepUpRequired},
		{"within the longest time there is", signin.SignedInWithin(math.MaxInt64), signin.User{AuthTime: ago(time.Hour)}, nil},
		{"in the future", signin.SignedInWithin(5 * time.Minute), signin.User{AuthTime: ago(-2 * time.Minute)}, signin.ErrStepUpRequired},
		{"nobody said when", signin.SignedInWithin(5 * time.Minute), signin.User{SignedInAt: ago(0)}, signin.ErrStepUpRequired},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, at := range []*time.Time{&row.user.AuthTime, &row.user.SignedInAt} {
				if !at.IsZero() {
					*at = time.Now().Add(at.Sub(time.Unix(0, 0)))
				}
			}
			err := row.rule(httptest.NewRequest("GET", "/", nil), &row.user)
			if row.want == nil && err != nil || row.want != nil && !errors.Is(err, row.want) {
				t.Errorf("got %v; want %v", err, row.want)
			}
		})
	}
}

func TestARuleThatIsNilPanicsWhenItIsMounted(t *testing.T) {
	t.Parallel()
	auth, err := signin.New(exampleConfig())
	if err != nil {
		t.Fatal(err)
	}
	for name, mount := range map[string]func(){
		"Require":                func() { auth.Require(signin.HasRole("x"), nil) },
		"AnyOf":                  func() { signin.AnyOf(nil) },
		"RequireBearer":          func() { auth.RequireBearer("https://api.example.com", nil) },
		"RequireSessionOrBearer": func() { auth.RequireSessionOrBearer("https://api.example.com", nil) },
		"no audience":            func() { auth.RequireBearer("") },
		"ACR of nothing":         func() { signin.ACR() },
		"ACR of an empty class":  func() { signin.ACR("mfa", "") },
		"ACR of two in one":      func() { signin.ACR("mfa phr") },
		"a time below zero":      func() { signin.SignedInWithin(-time.Second) },
		"the client ID":          func() { auth.RequireBearer("app-id") },
		"no organization":        func() { auth.RequireBearer("urn:logto:organization:") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("got no panic; want one")
				}
			}()
			mount()
		})
	}
}

// CASES 7.4, and 7.2: the handler is not called, and nothing of it is sent.
func TestRequire(t *testing.T) {
	t.Parallel()
	unavailable := func(*http.Request, *signin.User) error {
		return &signin.Error{Code: signin.ErrStoreUnavailable, Status: http.StatusServiceUnavailable, Message: "The list of members is not to be had."}
	}
	for _, row := range []struct {
		name   string
		rules  []signin.Rule
		status int
		detail string // in the answer
	}{
		{"no rules", nil, http.StatusOK, "inside"},
		{"all hold", []signin.Rule{signin.HasRole("admin"), signin.HasRole("editor")}, http.StatusOK, "inside"},
		{"one does not", []signin.Rule{signin.HasRole("admin"), signin.HasRole("owner")}, http.StatusForbidden, "the role owner"},
		{"a rule of one's own", []signin.Rule{func(*http.Request, *signin.User) error { return errors.New("secret reason") }}, http.StatusForbidden, "no access here"},
		{"a rule with a status and a message of its own", []signin.Rule{unavailable}, http.StatusServiceUnavailable, "The list of members"},
		{"a status that is no error", []signin.Rule{func(*http.Request, *signin.User) error {
			return &signin.Error{Code: signin.ErrNotMember, Status: http.StatusOK}
		}}, http.StatusForbidden, "organization"},
		{"no status, and a code that nobody knows", []signin.Rule{func(*http.Request, *signin.User) error {
			return &signin.Error{Code: "mine", Message: "Ask again <b>tomorrow</b>."}
		}}, http.StatusForbidden, "Ask again"},
		{"an error that is nil inside", []signin.Rule{func(*http.Request, *signin.User) error {
			var e *signin.Error
			return e
		}}, http.StatusForbidden, "no access here"},
		{"a value from the request is not shown to people", []signin.Rule{func(r *http.Request, u *signin.User) error {
			return signin.MemberOf("call Bob now")(r, u)
		}}, http.StatusForbidden, "no access here"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: func(c *signin.Config) { c.Scopes = []string{"roles"} }})
			called := false
			a.mount("/guarded", a.auth.Require(row.rules...)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				called = true
				_, _ = w.Write([]byte("inside"))
			})))
			b := a.signedIn(signintest.Alice())
			person := b.get("/guarded")
			person.want(t, row.status, "")
			program := b.get("/guarded", "Accept: application/json")
			program.want(t, row.status, "")
			if called != (row.status == http.StatusOK) {
				t.Errorf("the handler was called: %v", called)
			}
			for _, got := range []answer{person, program} {
				if !strings.Contains(got.body, row.detail) || strings.Contains(got.body, "secret") || strings.Contains(got.body, "Bob") || strings.Contains(got.body, "<b>") {
					t.Errorf("got %q; want %q in it, and nothing that is secret or from the request", got.body, row.detail)
				}
			}
			if row.status == http.StatusOK {
				return
			}
			var problem struct{ Code, Detail string }
			if err := json.Unmarshal([]byte(program.body), &problem); err != nil || problem.Code == "" || problem.Detail == "" || strings.Contains(program.body, "sign_in_url") {
				t.Errorf("got %q; want a problem document that sends nobody to sign in", program.body)
			}
			if kinds := a.kinds(); len(kinds) == 0 || kinds[len(kinds)-1] != signin.EventDenied {
				t.Errorf("events: got %v; want the last to be %v", kinds, signin.EventDenied)
			}
			if b.who() != "alice0000001" {
				t.Error("the session did not stand")
			}
		})
	}
	t.Run("whoever is not signed in is asked to, whatever the rules say", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		a.mount("/guarded", a.auth.Require(func(*http.Request, *signin.User) error {
			t.Error("a rule was asked about nobody")
			return nil
		})(http.HandlerFunc(who)))
		a.browser().get("/guarded").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fguarded")
		a.browser().get("/guarded", "Accept: application/json").want(t, http.StatusUnauthorized, "")
	})
}
