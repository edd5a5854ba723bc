package acceptance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A claim of the wrong type, or with nearly the right value, permits nothing.
func TestRulesAboutClaims(t *testing.T) {
	t.Parallel()
	m := newMint(t, with{})
	for _, row := range []struct {
		claim, held string
		rule        signin.Rule
	}{
		{"roles", "admin", signin.HasRole("admin")},
		{"organizations", "org", signin.MemberOf("org")},
		{"organization_roles", "org:admin", signin.HasOrganizationRole("org", "admin")},
	} {
		guard := m.auth.RequireBearer(ordersAPI, row.rule)(http.HandlerFunc(who))
		ask := func(name string, value any, status int) {
			t.Helper()
			got := knock(guard, "/", "", "Authorization: "+m.token(map[string]any{row.claim: value}))
			if got.StatusCode != status {
				t.Errorf("%s, %s: got %d %q; want %d", row.claim, name, got.StatusCode, got.body, status)
			}
		}
		for name, value := range map[string]any{
			"held": []any{"other", row.held}, "a text": row.held, "a list with null": []any{row.held, nil}, "a list with a number": []any{row.held, 1},
		} {
			ask(name, value, http.StatusOK)
		}
		for name, value := range map[string]any{
			"null": nil, "a text with several words": row.held + " other", "a number": 1,
			"an object": map[string]any{row.held: true}, "a list in a list": []any{[]any{row.held}},
			"an empty list":  []any{},
			"a longer value": []any{row.held + "istrator"}, "another case": []any{strings.ToUpper(row.held)},
			"a value with a space": []any{" " + row.held}, "an empty value": []any{""},
		} {
			ask(name, value, http.StatusForbidden)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	deny := signin.RuleFunc(func(*http.Request, *signin.User) error { return errors.New("no") })
	allow := signin.RuleFunc(func(*http.Request, *signin.User) error { return nil })
	within := signin.AuthenticatedWithin
	// ago is a user who authenticated d before the row runs: in a bubble of synctest,
	// time begins with the year 2000.
	ago := func(d time.Duration) signin.User {
		return signin.User{AuthTime: time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).Add(-d)}
	}
	for _, row := range []struct {
		name string
		rule signin.Rule
		user signin.User
		want error // nil: allowed
	}{
		{"a role without a name", signin.HasRole(""), signin.User{Roles: []string{""}}, signin.ErrForbidden},
		{"an organization without a name", signin.MemberOf(""), signin.User{Organizations: []string{""}}, signin.ErrForbidden},
		{"a scope that was granted", signin.HasScope("read"), signin.User{Scopes: []string{"openid", "read"}}, nil},
		{"a scope that was not granted", signin.HasScope("read"), signin.User{Scopes: []string{"openid", "reader"}},
			signin.ErrForbidden},
		{"a role in the organization", signin.HasOrganizationRole("a", "b"), signin.User{OrganizationRoles: []string{"a:b"}}, nil},
		{"a role in another organization", signin.HasOrganizationRole("a", "b"),
			signin.User{OrganizationRoles: []string{"c:b"}}, signin.ErrForbidden},
		{"a role that begins in the organization's ID", signin.HasOrganizationRole("a:b", "c"),
			signin.User{OrganizationRoles: []string{"a:b:c"}}, signin.ErrForbidden},
		{"an organization role without a name", signin.HasOrganizationRole("a", ""),
			signin.User{OrganizationRoles: []string{"a:"}}, signin.ErrForbidden},
		{"a role in an organization without a name", signin.HasOrganizationRole("", "b"),
			signin.User{OrganizationRoles: []string{":b"}}, signin.ErrForbidden},
		{"one of several rules holds", signin.AnyOf(deny, allow, deny), signin.User{}, nil},
		{"no rule holds", signin.AnyOf(signin.HasRole("x"), deny), signin.User{}, signin.ErrForbidden},
		{"no rule holds, but a step-up would help", signin.AnyOf(signin.HasRole("x"), signin.ACR("mfa"), deny), signin.User{},
			signin.ErrStepUpRequired},
		{"a rule holds that needs no step-up", signin.AnyOf(signin.ACR("mfa"), allow), signin.User{}, nil},
		{"one of the classes", signin.ACR("mfa", "phr"), signin.User{ACR: "phr"}, nil},
		{"another class", signin.ACR("mfa"), signin.User{ACR: "pwd"}, signin.ErrStepUpRequired},
		{"no class", signin.ACR("mfa"), signin.User{}, signin.ErrStepUpRequired},
		{"authenticated now", within(5 * time.Minute), ago(0), nil},
		{"as long ago as the clock skew allows", within(5 * time.Minute), ago(6 * time.Minute), nil},
		{"longer ago", within(5 * time.Minute), ago(6*time.Minute + 1), signin.ErrStepUpRequired},
		{"in the future, within the clock skew", within(5 * time.Minute), ago(-time.Minute), nil},
		{"in the future", within(5 * time.Minute), ago(-time.Minute - 1), signin.ErrStepUpRequired},
		{"within the longest duration", within(math.MaxInt64), ago(time.Hour), nil},
		{"at an unknown time", within(math.MaxInt64), signin.User{SignedInAt: time.Now()}, signin.ErrStepUpRequired},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				err := row.rule.Check(httptest.NewRequest("GET", "/", nil), &row.user)
				if row.want == nil && err != nil || row.want != nil && !errors.Is(err, row.want) {
					t.Errorf("got %v; want %v", err, row.want)
				}
			})
		})
	}
	if err := allow.Check(httptest.NewRequest("GET", "/", nil), nil); !errors.Is(err, signin.ErrInternal) {
		t.Errorf("no user and no guard: got %v; want %v", err, signin.ErrInternal)
	}
}

// A guard that would refuse every request panics when it is created.
func TestRules_Impossible(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: otherProvider})
	const api = "https://api.example.com"
	for name, mount := range map[string]func(){
		"Require of the zero Rule":       func() { a.auth.Require(signin.HasRole("x"), signin.Rule{}) },
		"RequireBearer of the zero Rule": func() { a.auth.RequireBearer(api, signin.Rule{}) },
		"AnyOf of the zero Rule":         func() { signin.AnyOf(signin.HasRole("x"), signin.Rule{}) },
		"Check of the zero Rule": func() {
			_ = signin.Rule{}.Check(httptest.NewRequest("GET", "/", nil), &signin.User{})
		},
		"AnyOf of nothing":       func() { signin.AnyOf() },
		"AnyOf of AllowMachines": func() { signin.AnyOf(signin.HasRole("x"), signin.AllowMachines()) },
		"two classes":            func() { a.auth.Require(signin.ACR("mfa"), signin.HasRole("x"), signin.ACR("phr")) },
		"three pairs of classes with none in common": func() {
			a.auth.RequireSessionOrBearer(api, signin.ACR("a", "b"), signin.ACR("b", "c"), signin.ACR("c", "a"))
		},
		"a class, and another in AnyOf": func() {
			a.auth.RequireBearer(api, signin.ACR("mfa"), signin.AnyOf(signin.ACR("phr"), signin.ACR("pwd")))
		},
		"classes of 513 bytes": func() {
			a.auth.Require(signin.AnyOf(signin.ACR(strings.Repeat("a", 256)), signin.ACR(strings.Repeat("b", 256))))
		},
		"33 classes":                 func() { a.auth.Require(signin.ACR(strings.Fields("1" + strings.Repeat(" 1", 32))...)) },
		"a class that is not ASCII":  func() { a.auth.Require(signin.ACR("강함")) },
		"a time below zero":          func() { signin.AuthenticatedWithin(-time.Second) },
		"no audience":                func() { a.auth.RequireBearer("") },
		"the client ID":              func() { a.auth.RequireBearer(a.cfg.ClientID) },
		"an organization without ID": func() { a.auth.RequireBearer("urn:logto:organization:") },
		"no audience with sessions":  func() { a.auth.RequireSessionOrBearer("") },
	} {
		if said := panicOf(mount); !strings.HasPrefix(said, "signin: ") {
			t.Errorf("%s: got %q; want a panic that says what is wrong", name, said)
		}
	}
}

// A refused request does not reach the handler and does not end the session.
// The answer contains neither the cause nor text from the request.
func TestRequire(t *testing.T) {
	t.Parallel()
	fails := func(err error) signin.Rule {
		return signin.RuleFunc(func(*http.Request, *signin.User) error { return err })
	}
	const here, outside = "/in/org_one/books", "/outside"
	organization := func(r *http.Request) string { return r.PathValue("organization") }
	member, owner := signin.MemberOfFunc(organization), signin.HasOrganizationRoleFunc(organization, "owner")
	type rules = []signin.Rule
	a := newApp(t, with{config: func(c *signin.Config) {
		otherProvider(c)
		c.Scopes = []string{"roles", "urn:logto:scope:organizations", "urn:logto:scope:organization_roles"}
	}})
	session := a.signedIn(signintest.Alice()).cookies()
	for _, row := range []struct {
		name, path string
		rules      rules
		status     int
		says       string
	}{
		{"no rules", here, nil, 200, "INSIDE"},
		{"all rules hold", here, rules{signin.HasRole("admin"), signin.HasRole("editor")}, 200, "INSIDE"},
		{"one rule does not hold", here, rules{signin.HasRole("admin"), signin.HasRole("owner")}, 403, "the role “owner”"},
		{"a function's error", here, rules{fails(errors.New("secret"))}, 403, "not open to your account"},
		{"an Error with status and message", here, rules{fails(&signin.Error{
			Code: signin.ErrStoreUnavailable, Status: http.StatusServiceUnavailable, Message: "The members cannot be listed.",
		})}, 503, "The members cannot be listed"},
		{"an Error whose status is not an error", here, rules{fails(&signin.Error{Code: signin.ErrNotMember, Status: 200})}, 403, "organization"},
		{"an Error with a code of the application", here, rules{fails(&signin.Error{Code: "mine", Message: "Ask <b>later</b>."})}, 403, "Ask"},
		{"an Error with a code of the application and a status", here, rules{fails(&signin.Error{Code: "mine", Status: 503})},
			503, "our mistake"},
		{"a code", here, rules{fails(signin.ErrNotMember)}, 403, "organization"},
		{"a code inside another error", here, rules{fails(fmt.Errorf("secret: %w", signin.ErrBadRequest))}, 400, "not right"},
		{"a code of the application", here, rules{fails(signin.Code("missing_role"))}, 403, "not open to your account"},
		{"a code that is not an error", here, rules{fails(signin.ConfirmSignOut)}, 403, "not open to your account"},
		{"a nil Error", here, rules{fails((*signin.Error)(nil))}, 403, "not open to your account"},

		{"an organization of the user", "/in/org_two/books", rules{member}, 200, "INSIDE"},
		{"another organization", "/in/org_three/books", rules{member}, 403, "does not belong to the organization"},
		{"an organization of several words", "/in/call%20Bob%20now/books", rules{member}, 403, "does not belong to the organization"},
		{"no organization in the request", outside, rules{member}, 500, "our mistake"},
		{"no organization for one of several rules", outside, rules{signin.AnyOf(signin.HasRole("owner"), member)}, 500, "our mistake"},
		{"no organization, and a step-up", outside, rules{signin.AnyOf(member, signin.ACR("mfa"))}, 500, "our mistake"},
		{"a role in the organization", here, rules{owner}, 200, "INSIDE"},
		{"a role in another organization", "/in/org_two/books", rules{owner}, 403, "the role “owner”"},
	} {
		t.Run(row.name, func(t *testing.T) {
			mux, g := http.NewServeMux(), &guarded{}
			mux.Handle("/in/{organization}/books", a.auth.Require(row.rules...)(g))
			mux.Handle(outside, a.auth.Require(row.rules...)(g))
			logged := len(a.log.String())
			person, program := knock(mux, row.path, session), knock(mux, row.path, session, "Accept: application/json")
			for _, got := range []answer{person, program} {
				got.want(t, row.status, "")
				if !strings.Contains(got.body, row.says) || strings.Contains(got.body, "secret") ||
					strings.Contains(got.body, "Bob") || strings.Contains(got.body, "org_three") || strings.Contains(got.body, "<b>") {
					t.Errorf("got %q; want %q in it, and nothing that is secret or from the request", got.body, row.says)
				}
				if got.Header["Set-Cookie"] != nil {
					t.Errorf("got cookies %q; want none", got.Header["Set-Cookie"])
				}
			}
			calls, records := 0, 0
			switch {
			case row.status == http.StatusOK:
				calls = 2
			case row.status >= 500:
				records = 2
			}
			if n := strings.Count(a.log.String()[logged:], "code="); n != records || g.calls != calls {
				t.Errorf("got %d records, handler called %d times; want %d and %d", n, g.calls, records, calls)
			}
			if calls > 0 {
				return
			}
			var problem struct{ Code, Detail string }
			if err := json.Unmarshal([]byte(program.body), &problem); err != nil || problem.Code == "" ||
				problem.Detail == "" || strings.Contains(program.body, "sign_in_url") {
				t.Errorf("got %q; want a problem document that does not ask for a sign-in", program.body)
			}
			kinds := a.kinds()
			if refused := kinds[len(kinds)-1] == signin.EventRefused; refused != (row.status < 500) {
				t.Errorf("events: got %v; want a refusal last, unless something is broken", kinds)
			}
			a.events = a.events[:1]
		})
	}
	t.Run("a user who is not signed in", func(t *testing.T) {
		guard := a.auth.Require(signin.RuleFunc(func(*http.Request, *signin.User) error {
			t.Error("the rule was checked; want the sign-in first")
			return nil
		}))(http.HandlerFunc(who))
		knock(guard, "/guarded", "").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fguarded")
		knock(guard, "/guarded", "", "Accept: application/json").want(t, http.StatusUnauthorized, "")
	})
}

// A function's changes to its user do not affect the rules after it, the
// handler, or the caller of Check.
func TestRuleFunc_WritesToItsUser(t *testing.T) {
	t.Parallel()
	auth := newApp(t, with{config: otherProvider}).auth
	user := func() *signin.User {
		return &signin.User{Subject: "alice", Roles: []string{"user"}, Scopes: []string{"read"},
			Organizations: []string{"one"}, OrganizationRoles: []string{"one:user"}}
	}
	writes := signin.RuleFunc(func(_ *http.Request, u *signin.User) error {
		u.Roles[0], u.Scopes[0], u.Organizations[0], u.OrganizationRoles[0] = "owner", "all", "org", "org:owner"
		*u = signin.User{Subject: "mallory", ACR: "mfa", AuthTime: time.Now(), Machine: true, Roles: u.Roles, Scopes: u.Scopes,
			Organizations: u.Organizations, OrganizationRoles: u.OrganizationRoles}
		return nil
	})
	for _, rule := range []signin.Rule{
		signin.HasRole("owner"), signin.HasScope("all"), signin.MemberOf("org"), signin.HasOrganizationRole("org", "owner"),
		signin.ACR("mfa"), signin.AuthenticatedWithin(time.Hour),
	} {
		g, w := &guarded{}, httptest.NewRecorder()
		auth.Require(writes, rule)(g).ServeHTTP(w, signintest.WithUser(httptest.NewRequest("GET", "/", nil), user()))
		if w.Code == http.StatusOK || g.calls != 0 {
			t.Errorf("got %d, handler called %d times; want the rule after the function to refuse", w.Code, g.calls)
		}
	}
	var got *signin.User
	auth.Require(writes)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = signin.UserFrom(r.Context())
	})).ServeHTTP(httptest.NewRecorder(), signintest.WithUser(httptest.NewRequest("GET", "/", nil), user()))
	asked := user()
	if err := writes.Check(httptest.NewRequest("GET", "/", nil), asked); err != nil || !reflect.DeepEqual(asked, user()) || !reflect.DeepEqual(got, user()) {
		t.Errorf("Check: got %v; the handler: got %+v, the caller %+v; want %+v", err, got, asked, user())
	}
}
