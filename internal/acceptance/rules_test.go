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
			if err := row.rule.Check(r, claimsUser(t, map[string]any{row.claim: row.held})); err != nil {
				t.Errorf("held: got %v; want it allowed", err)
			}
			for name, value := range wrong {
				wantRefused(t, name, row.rule.Check(r, claimsUser(t, map[string]any{row.claim: value})))
			}
			wantRefused(t, "absent", row.rule.Check(r, claimsUser(t, nil)))
			wantRefused(t, "a user without anything", row.rule.Check(r, &signin.User{}))
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
	deny := signin.RuleFunc(func(*http.Request, *signin.User) error { return errors.New("no") })
	allow := signin.RuleFunc(func(*http.Request, *signin.User) error { return nil })
	// Machines need no role, and people do.
	machines := signin.RuleFunc(func(r *http.Request, u *signin.User) error {
		if u.Machine {
			return nil
		}
		return signin.HasRole("admin").Check(r, u)
	})
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
		{"none holds but a step-up would help", signin.AnyOf(signin.HasRole("x"), signin.ACR("mfa"), deny), signin.User{}, signin.ErrStepUpRequired},
		{"a step-up is not asked for if another rule holds", signin.AnyOf(signin.ACR("mfa"), allow), signin.User{}, nil},
		{"the class that is wanted", signin.ACR("mfa", "phr"), signin.User{ACR: "phr"}, nil},
		{"another class", signin.ACR("mfa"), signin.User{ACR: "pwd"}, signin.ErrStepUpRequired},
		{"no class", signin.ACR("mfa"), signin.User{}, signin.ErrStepUpRequired},
		{"machines or administrators: a person", machines, signin.User{}, signin.ErrForbidden},
		{"machines or administrators: an administrator", machines, signin.User{Roles: []string{"admin"}}, nil},
		{"machines or administrators: a machine", machines, signin.User{Machine: true}, nil},
		{"machines, deeper down: a person", signin.AnyOf(signin.AnyOf(machines), deny), signin.User{}, signin.ErrForbidden},
		{"machines as well: a person", signin.AllowMachines(), signin.User{}, nil},
		{"machines as well: a machine", signin.AllowMachines(), signin.User{Machine: true}, nil},
		{"signed in a moment ago", signin.AuthenticatedWithin(5 * time.Minute), signin.User{AuthTime: ago(0)}, nil},
		{"within the time, with the skew of clocks", signin.AuthenticatedWithin(5 * time.Minute), signin.User{AuthTime: ago(6*time.Minute - 5*time.Second)}, nil},
		{"too long ago", signin.AuthenticatedWithin(5 * time.Minute), signin.User{AuthTime: ago(6*time.Minute + 5*time.Second)}, signin.ErrStepUpRequired},
		{"within the longest time there is", signin.AuthenticatedWithin(math.MaxInt64), signin.User{AuthTime: ago(time.Hour)}, nil},
		{"in the future", signin.AuthenticatedWithin(5 * time.Minute), signin.User{AuthTime: ago(-2 * time.Minute)}, signin.ErrStepUpRequired},
		{"nobody said when", signin.AuthenticatedWithin(5 * time.Minute), signin.User{SignedInAt: ago(0)}, signin.ErrStepUpRequired},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, at := range []*time.Time{&row.user.AuthTime, &row.user.SignedInAt} {
				if !at.IsZero() {
					*at = time.Now().Add(at.Sub(time.Unix(0, 0)))
				}
			}
			err := row.rule.Check(httptest.NewRequest("GET", "/", nil), &row.user)
			if row.want == nil && err != nil || row.want != nil && !errors.Is(err, row.want) {
				t.Errorf("got %v; want %v", err, row.want)
			}
		})
	}
}

func TestRulesThatCannotHoldPanicWhenTheyAreMounted(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	auth := a.auth
	for name, mount := range map[string]func(){
		"Require":                func() { auth.Require(signin.HasRole("x"), signin.Rule{}) },
		"AnyOf":                  func() { signin.AnyOf(signin.HasRole("x"), signin.Rule{}) },
		"AnyOf nothing":          func() { signin.AnyOf() },
		"AnyOf machines":         func() { signin.AnyOf(signin.HasRole("x"), signin.AllowMachines()) },
		"AnyOf machines alone":   func() { signin.AnyOf(signin.AllowMachines()) },
		"Check":                  func() { _ = signin.Rule{}.Check(httptest.NewRequest("GET", "/", nil), &signin.User{}) },
		"RequireBearer":          func() { auth.RequireBearer("https://api.example.com", signin.Rule{}) },
		"RequireSessionOrBearer": func() { auth.RequireSessionOrBearer("https://api.example.com", signin.Rule{}) },
		"two classes":            func() { auth.Require(signin.ACR("mfa"), signin.HasRole("x"), signin.ACR("phr")) },
		"two classes of three":   func() { auth.Require(signin.ACR("a", "b"), signin.ACR("b", "c"), signin.ACR("c", "a")) },
		"two classes, one of them in AnyOf": func() {
			auth.Require(signin.ACR("mfa"), signin.AnyOf(signin.ACR("phr"), signin.ACR("pwd")))
		},
		"two classes of a bearer": func() { auth.RequireBearer("https://api.example.com", signin.ACR("mfa"), signin.ACR("phr")) },
		"two classes of either": func() {
			auth.RequireSessionOrBearer("https://api.example.com", signin.ACR("mfa"), signin.ACR("phr"))
		},
		"no audience":           func() { auth.RequireBearer("") },
		"ACR of nothing":        func() { signin.ACR() },
		"ACR of an empty class": func() { signin.ACR("mfa", "") },
		"ACR of two in one":     func() { signin.ACR("mfa phr") },
		"a time below zero":     func() { signin.AuthenticatedWithin(-time.Second) },
		"the client ID":         func() { auth.RequireBearer(a.cfg.ClientID) },
		"no organization":       func() { auth.RequireBearer("urn:logto:organization:") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if said := panicOf(mount); !strings.HasPrefix(said, "signin: ") {
				t.Errorf("got %q; want a panic that says what is wrong", said)
			}
		})
	}
}

// CASES 7.4, and 7.2: the handler is not called, and nothing of it is sent.
func TestRequire(t *testing.T) {
	t.Parallel()
	// own are rules of the application's own, which hold for nobody.
	own := func(err error) []signin.Rule {
		return []signin.Rule{signin.RuleFunc(func(*http.Request, *signin.User) error { return err })}
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
		{"a rule of one's own", own(errors.New("secret reason")), http.StatusForbidden, "no access here"},
		{"a rule with a status and a message of its own", own(&signin.Error{
			Code: signin.ErrStoreUnavailable, Status: http.StatusServiceUnavailable, Message: "The list of members is not to be had.",
		}), http.StatusServiceUnavailable, "The list of members"},
		{"a status that is no error", own(&signin.Error{Code: signin.ErrNotMember, Status: http.StatusOK}), http.StatusForbidden, "organization"},
		{"no status, and a code that nobody knows", own(&signin.Error{Code: "mine", Message: "Ask again <b>tomorrow</b>."}), http.StatusForbidden, "Ask again"},
		{"a code alone", own(signin.ErrNotMember), http.StatusForbidden, "organization"},
		{"a code alone, inside another error", own(fmt.Errorf("secret reason: %w", signin.ErrBadRequest)), http.StatusBadRequest, "not right"},
		{"a code alone that is a mistake of the program", own(signin.ErrInternal), http.StatusInternalServerError, "our mistake"},
		{"a code alone that nobody knows", own(signin.Code("mine")), http.StatusForbidden, "no access here"},
		{"a code that is no error", own(signin.ConfirmSignOut), http.StatusForbidden, "no access here"},
		{"an error that is nil inside", own((*signin.Error)(nil)), http.StatusForbidden, "no access here"},
		{"a value from the request is not shown to people", []signin.Rule{signin.RuleFunc(func(r *http.Request, u *signin.User) error {
			return signin.MemberOf("call Bob now").Check(r, u)
		})}, http.StatusForbidden, "no access here"},
		{"a value from the request's path is not shown to people", []signin.Rule{
			signin.MemberOfFunc(func(*http.Request) string { return "call Bob now" }),
		}, http.StatusForbidden, "no access here"},
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
			kinds := a.kinds()
			if refused := kinds[len(kinds)-1] == signin.EventRefused; refused != (row.status < 500) {
				t.Errorf("events: got %v; want the last to be %v, unless something is broken", kinds, signin.EventRefused)
			}
			if b.who() != "alice0000001" {
				t.Error("the session did not stand")
			}
		})
	}
	t.Run("whoever is not signed in is asked to, whatever the rules say", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		a.mount("/guarded", a.auth.Require(signin.RuleFunc(func(*http.Request, *signin.User) error {
			t.Error("a rule was asked about nobody")
			return nil
		}))(http.HandlerFunc(who)))
		a.browser().get("/guarded").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fguarded")
		a.browser().get("/guarded", "Accept: application/json").want(t, http.StatusUnauthorized, "")
	})
}

// A rule that panics lets nobody in, and its panic is not kept.
func TestRuleFunc_Panics(t *testing.T) {
	t.Parallel()
	a := apiApp(t, with{})
	g := &guarded{}
	gone := signin.RuleFunc(func(*http.Request, *signin.User) error { panic("the database is gone") })
	held := signin.RuleFunc(func(*http.Request, *signin.User) error { return nil })
	session, token := a.signedIn(signintest.Alice()).cookies(), "Bearer "+a.provider.AccessToken("alice0000001", ordersAPI)
	for name, h := range map[string]http.Handler{
		"Require":                          a.auth.Require(gone)(g),
		"Require, after a rule that holds": a.auth.Require(held, gone)(g),
		"AnyOf":                            a.auth.Require(signin.AnyOf(gone, held))(g),
		"below another guard":              a.auth.RequireAuth(a.auth.Load(a.auth.Require(gone)(g))),
		"RequireBearer":                    a.auth.RequireBearer(ordersAPI, gone)(g),
		"below RequireBearer":              a.auth.RequireBearer(ordersAPI)(a.auth.Require(gone)(g)),
		"RequireSessionOrBearer":           a.auth.RequireSessionOrBearer(ordersAPI, gone)(g),
		"an organization's function": a.auth.Require(signin.MemberOfFunc(func(*http.Request) string {
			panic("the database is gone")
		}))(g),
		"Check": a.auth.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, _ := signin.UserFrom(r.Context())
			if !a.auth.HandleError(w, r, gone.Check(r, u)) {
				g.ServeHTTP(w, r)
			}
		})),
	} {
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		if strings.Contains(name, "RequireBearer") {
			r.Header.Set("Authorization", token)
		} else {
			r.Header.Set("Cookie", session)
		}
		if said := panicOf(func() { h.ServeHTTP(w, r) }); said != "the database is gone" {
			t.Errorf("%s: got %q; want the rule's own panic", name, said)
		}
		if g.calls != 0 || w.Body.Len() > 0 || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: handler called %d times, got %q and cookies %q; want nothing", name, g.calls, w.Body, w.Header()["Set-Cookie"])
		}
	}
}

// What a function writes to its user is for nobody else: not for the rules after it,
// the handler, the next guard, or the next request.
func TestRuleFunc_WritesToItsUser(t *testing.T) {
	t.Parallel()
	writes := map[string]func(*signin.User){
		"fields": func(u *signin.User) {
			u.Subject, u.Name, u.Machine, u.ACR, u.AuthTime, u.Claims = "mallory", "Mallory", true, "mfa", time.Now(), nil
			u.Roles, u.Organizations, u.OrganizationRoles, u.Scopes = []string{"owner"}, []string{"org"}, []string{"org:owner"}, []string{"all"}
		},
		"elements": func(u *signin.User) {
			u.Roles[0], u.Organizations[0], u.OrganizationRoles[0], u.Scopes[0] = "owner", "org", "org:owner", "all"
		},
		"the ends of slices": func(u *signin.User) {
			u.Roles, u.Scopes = append(u.Roles[:0], "owner"), append(u.Scopes[:0], "all")
			u.Organizations, u.OrganizationRoles = append(u.Organizations[:0], "org"), append(u.OrganizationRoles[:0], "org:owner")
		},
	}
	gains := map[string]signin.Rule{
		"role": signin.HasRole("owner"), "organization": signin.MemberOf("org"), "organization role": signin.HasOrganizationRole("org", "owner"),
		"scope": signin.HasScope("all"), "class": signin.ACR("mfa"),
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: func(c *signin.Config) {
				c.Scopes = []string{"roles", "urn:logto:scope:organizations", "urn:logto:scope:organization_roles"}
			}})
			writer := signin.RuleFunc(func(_ *http.Request, u *signin.User) error { write(u); return nil })
			cookies := a.signedIn(signintest.Alice()).cookies()
			ask := func(h http.Handler) int {
				r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
				r.Header.Set("Cookie", cookies)
				h.ServeHTTP(w, r)
				return w.Code
			}
			g := &guarded{}
			for what, rule := range gains {
				for around, h := range map[string]http.Handler{
					"the rule after it": a.auth.Require(writer, rule)(g), "the guard below": a.auth.Require(writer)(a.auth.Require(rule)(g)),
					"AnyOf": a.auth.Require(signin.AnyOf(all(writer, signin.HasRole("never")), rule))(g),
				} {
					if status := ask(h); status == http.StatusOK || g.calls != 0 {
						t.Errorf("%s, %s: got %d, handler called %d times; want it refused", what, around, status, g.calls)
						g.calls = 0
					}
				}
			}
			var before, after *signin.User
			ask(a.auth.RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { before, _ = signin.UserFrom(r.Context()) })))
			ask(a.auth.Require(writer)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { after, _ = signin.UserFrom(r.Context()) })))
			if before == nil || !reflect.DeepEqual(before, after) {
				t.Errorf("the handler: got %+v; want %+v", after, before)
			}
			mine, err := *before, writer.Check(httptest.NewRequest("GET", "/", nil), before)
			if err != nil || !reflect.DeepEqual(before, after) || !reflect.DeepEqual(&mine, after) {
				t.Errorf("the user whom a handler asks about: got %+v, %v; want %+v", before, err, after)
			}
		})
	}
}

// An organization that the request names is the one that counts, and a request that
// names none is a mistake of the program.
func TestOrganizationsOfTheRequest(t *testing.T) {
	t.Parallel()
	named := func(r *http.Request) string { return r.PathValue("organization") }
	for _, row := range []struct {
		name, path string
		rule       signin.Rule
		status     int
		says       string
	}{
		{"an organization of the user's", "/in/org_two/books", signin.MemberOfFunc(named), http.StatusOK, "INSIDE"},
		{"another organization", "/in/org_three/books", signin.MemberOfFunc(named), http.StatusForbidden, "the membership in org_three"},
		{"an organization with another's name within", "/in/org_two%2Forg_three/books", signin.MemberOfFunc(named), http.StatusForbidden, "no access here"},
		{"an empty organization", "/outside", signin.MemberOfFunc(named), http.StatusInternalServerError, "our mistake"},
		{"an organization that a query names", "/outside?organization=org_two", signin.MemberOfFunc(named), http.StatusInternalServerError, "our mistake"},
		{"a role in the organization", "/in/org_one/books", signin.HasOrganizationRoleFunc(named, "owner"), http.StatusOK, "INSIDE"},
		{"a role in another of the user's", "/in/org_two/books", signin.HasOrganizationRoleFunc(named, "owner"), http.StatusForbidden, "the organization role org_two:owner"},
		{"another role", "/in/org_one/books", signin.HasOrganizationRoleFunc(named, "member"), http.StatusForbidden, "the organization role org_one:member"},
		{"a role in no organization", "/outside", signin.HasOrganizationRoleFunc(named, "owner"), http.StatusInternalServerError, "our mistake"},
		{"a role that begins in the organization's name", "/in/org_one%3Aowner/books", signin.HasOrganizationRoleFunc(named, ""), http.StatusForbidden, "no access here"},
		{"one of several rules", "/outside", signin.AnyOf(signin.MemberOfFunc(named), signin.HasRole("owner")), http.StatusInternalServerError, "our mistake"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, g := newApp(t, with{config: func(c *signin.Config) {
				c.Scopes = []string{"roles", "urn:logto:scope:organizations", "urn:logto:scope:organization_roles"}
			}}), &guarded{}
			guard := a.auth.Require(row.rule)(g)
			a.mount("/in/{organization}/books", guard)
			a.mount("/outside", guard)
			b := a.signedIn(signintest.Alice())
			said := len(a.log.String())
			person, program := b.get(row.path), b.get(row.path, "Accept: application/json")
			person.want(t, row.status, "")
			program.want(t, row.status, "")
			for _, got := range []answer{person, program} {
				if !strings.Contains(got.body, row.says) {
					t.Errorf("got %q; want %q in it", got.body, row.says)
				}
			}
			logged := strings.Count(a.log.String()[said:], "code=internal")
			if row.status == http.StatusOK {
				if g.calls != 2 || logged != 0 {
					t.Errorf("handler called %d times, %d records; want 2, and none", g.calls, logged)
				}
				return
			}
			code, records := signin.ErrForbidden, 0
			if row.status == http.StatusInternalServerError {
				code, records = signin.ErrInternal, 2
			}
			var problem struct{ Code signin.Code }
			if err := json.Unmarshal([]byte(program.body), &problem); err != nil || problem.Code != code || program.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %q; want a problem document, %s", program.body, code)
			}
			if !strings.Contains(person.Header.Get("Content-Type"), "text/html") || g.calls != 0 || logged != records {
				t.Errorf("got type %q, handler called %d times, %d records; want a page, none, and %d", person.Header.Get("Content-Type"), g.calls, logged, records)
			}
			last := a.kinds()
			if refused := last[len(last)-1] == signin.EventRefused; refused != (row.status < 500) || b.who() != signintest.Alice().Subject {
				t.Errorf("got events %q, and %q signed in; want a refusal unless the mistake is the program's, and the session to stand", last, b.who())
			}
		})
	}
}
