package acceptance_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// mint is an application that can also make access tokens with any claims. They
// are signed by a key that is published with the provider's keys.
type mint struct {
	*app
	key *ecdsa.PrivateKey
}

func newMint(t *testing.T, o with) *mint {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &mint{key: key}
	config := o.config
	o.config = func(c *signin.Config) {
		c.HTTPClient = &http.Client{Transport: edited("/jwks", func(set map[string]any) {
			set["keys"] = append(set["keys"].([]any), jose.JSONWebKey{Key: key.Public(), KeyID: "mint", Algorithm: "ES384", Use: "sig"})
		})}
		if config != nil {
			config(c)
		}
	}
	m.app = newApp(t, o)
	return m
}

// token returns an Authorization header with a token of Carol, who has the scope "read".
// The further claims are added to the usual ones, or replace them.
func (m *mint) token(further map[string]any) string {
	m.t.Helper()
	key := jose.SigningKey{Algorithm: jose.ES384, Key: jose.JSONWebKey{Key: m.key, KeyID: "mint"}}
	signer, err := jose.NewSigner(key, new(jose.SignerOptions).WithType("at+jwt"))
	if err != nil {
		m.t.Fatal(err)
	}
	now := m.clock.now()
	claims := map[string]any{"iss": m.provider.Issuer, "sub": "carol0000001", "aud": ordersAPI, "client_id": "app-id", "jti": "j",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "scope": "read"}
	maps.Copy(claims, further)
	payload, err := json.Marshal(claims)
	if err != nil {
		m.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		m.t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		m.t.Fatal(err)
	}
	return "Bearer " + raw
}

// orders returns the rules in every order.
func orders(rules []signin.Rule) (all [][]signin.Rule) {
	if len(rules) < 2 {
		return [][]signin.Rule{rules}
	}
	for i, first := range rules {
		for _, rest := range orders(slices.Concat(rules[:i], rules[i+1:])) {
			all = append(all, append([]signin.Rule{first}, rest...))
		}
	}
	return all
}

// The order of alternatives and rules does not change which tokens are let in.
func TestAnyOf_Bearer(t *testing.T) {
	t.Parallel()
	m := newMint(t, with{config: otherProvider})
	type claims = map[string]any
	both := func(a, b claims) claims { a = maps.Clone(a); maps.Copy(a, b); return a }
	within := claims{"organization_id": "org_one"}
	machine := claims{"sub": "cron", "client_id": "cron"}
	admin := claims{"roles": []string{"admin"}}
	strong := claims{"acr": "mfa"}
	fresh, stale := claims{"auth_time": m.clock.now().Unix()}, claims{"auth_time": m.clock.now().Add(-time.Hour).Unix()}
	one, two := signin.MemberOf("org_one"), signin.MemberOf("org_two")
	ownerOf := func(organization string) signin.Rule { return signin.HasOrganizationRole(organization, "owner") }
	role, owner, scope := signin.HasRole("admin"), signin.HasRole("owner"), signin.HasScope("read")
	age, class, machines := signin.AuthenticatedWithin(5*time.Minute), signin.ACR("mfa"), signin.AllowMachines()
	yes := signin.RuleFunc(func(*http.Request, *signin.User) error { return nil })
	path := func(organization string) signin.Rule {
		return signin.MemberOfFunc(func(*http.Request) string { return organization })
	}
	const (
		ageAsked   = `Bearer error="insufficient_user_authentication", max_age="300"`
		classAsked = `Bearer error="insufficient_user_authentication", acr_values="mfa"`
	)
	type rules = []signin.Rule
	for _, row := range []struct {
		name         string
		alternatives rules
		beside       rules // other rules of the guard
		token        claims
		code         signin.Code // "": let in
		challenge    string
	}{
		{"the token's organization, and a role that holds too", rules{one, role}, nil, both(within, admin), "", ""},
		{"the token's organization or another", rules{one, two}, nil, within, "", ""},
		{"the token's organization in the path", rules{path("org_one"), role}, nil, both(within, admin), "", ""},
		{"the token's organization in a nested AnyOf", rules{signin.AnyOf(role, one), scope}, nil, both(within, admin), "", ""},
		{"the token's organization, and a step-up that is met", rules{one, class}, nil, both(within, strong), "", ""},
		{"the token's organization, and a step-up that is not met", rules{one, class, age}, nil, within, "", ""},
		{"a role in the token's organization", rules{ownerOf("org_one"), role}, nil,
			both(both(within, admin), claims{"organization_roles": []string{"org_one:owner"}}), "", ""},
		{"the token's organization by another rule of the guard", rules{role, scope}, rules{one}, both(within, admin), "", ""},
		{"another organization that the token names too", rules{two, role}, nil,
			both(both(within, admin), claims{"organizations": []string{"org_one", "org_two"}}), signin.ErrForbidden, ""},
		{"another organization in the path", rules{path("org_two"), role}, nil, both(within, admin), signin.ErrForbidden, ""},
		{"no rule asks for the organization", rules{role, scope, yes}, nil, both(within, admin), signin.ErrForbidden, ""},
		{"a function asks for the organization", rules{all(one), role}, nil, both(within, admin), signin.ErrForbidden, ""},
		{"a function asks for the organization, and for a scope that is missing", rules{all(one, signin.HasScope("x")), yes}, nil,
			within, signin.ErrForbidden, ""},
		{"only the step-up rules hold", rules{two, class, age}, nil, both(both(within, strong), fresh), signin.ErrForbidden, ""},

		{"a machine with a scope, where machines are allowed", rules{owner, scope}, rules{machines, machines}, machine, "", ""},
		{"a machine with a scope, where only people are allowed", rules{owner, scope, yes}, nil, machine, signin.ErrForbidden, ""},
		{"a machine that a function allows", rules{all(machines), yes}, nil, machine, signin.ErrForbidden, ""},
		{"a machine without the scope", rules{owner, signin.HasRole("x")}, rules{machines}, machine, signin.ErrForbidden, ""},
		{"a machine within the organization", rules{one, scope}, rules{machines}, both(machine, within), "", ""},
		{"a person without the role, where machines are allowed", rules{owner, two}, rules{machines}, nil, signin.ErrForbidden, ""},

		{"a fresh authentication, and no role", rules{owner, age}, nil, fresh, "", ""},
		{"a role, and no fresh authentication", rules{role, age}, nil, both(admin, stale), "", ""},
		{"neither a role nor a fresh authentication", rules{owner, age}, nil, stale, signin.ErrStepUpRequired, ageAsked},
		{"neither a role nor the class", rules{owner, two, class}, nil, claims{"acr": "pwd"}, signin.ErrStepUpRequired, classAsked},
		{"a step-up would help, but another rule does not hold", rules{owner, age}, rules{signin.HasRole("x")}, stale,
			signin.ErrForbidden, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			token := "Authorization: " + m.token(row.token)
			for _, alternatives := range orders(row.alternatives) {
				for _, rules := range orders(append(rules{signin.AnyOf(alternatives...)}, row.beside...)) {
					g := &guarded{}
					got := knock(m.auth.RequireSessionOrBearer(ordersAPI, rules...)(g), "/", "", token)
					switch row.code {
					case "":
						if got.StatusCode != http.StatusOK || g.calls != 1 {
							t.Errorf("got %d %q, handler called %d times; want it let in", got.StatusCode, got.body, g.calls)
						}
						continue
					case signin.ErrStepUpRequired:
						m.wantProblem(t, got, http.StatusUnauthorized, row.code, row.challenge)
					default:
						m.wantProblem(t, got, http.StatusForbidden, row.code, row.challenge)
					}
					if g.calls != 0 {
						t.Errorf("got the handler called %d times; want no call", g.calls)
					}
				}
			}
		})
	}
}

// A handler that checks a rule answers as a guard with that rule does: with the
// same status, headers, body, event and log. A step-up also asks for what the
// guards around the handler demand. Otherwise each step-up would undo the
// other.
func TestCheck_AnswersAsTheGuard(t *testing.T) {
	t.Parallel()
	m := newMint(t, with{
		config:   func(c *signin.Config) { otherProvider(c); c.Scopes = []string{"roles"} },
		signIn:   []signin.SignInOption{signin.MaxAge(time.Hour), signin.ACRValues("mfa")},
		provider: []signintest.Option{signintest.WithACR("mfa")},
	})
	session := m.signedIn(signintest.Alice()).cookies()
	token := m.token(map[string]any{"acr": "mfa", "auth_time": m.clock.now().Unix()})
	callers := map[string]http.Header{
		"a person": {"Cookie": {session}, "Accept": {"text/html"}}, "a program": {"Cookie": {session}},
		"HTMX":                  {"Cookie": {session}, "Hx-Request": {"true"}, "Hx-Current-Url": {m.server.URL + "/list"}},
		"a form":                {"Cookie": {session}, "Accept": {"text/html"}, "Referer": {m.server.URL + "/form"}},
		"a token":               {"Authorization": {token}, "Accept": {"text/html"}},
		"a token and a session": {"Authorization": {token}, "Cookie": {session}, "Accept": {"text/html"}},
	}
	fails := func(err error) signin.Rule {
		return signin.RuleFunc(func(*http.Request, *signin.User) error { return err })
	}
	hour := signin.AuthenticatedWithin(time.Hour)
	for _, row := range []struct {
		name         string
		outer, inner signin.Rule
	}{
		{"a role", hour, signin.HasRole("owner")},
		{"a scope", hour, signin.HasScope("never")},
		{"an organization", hour, signin.MemberOf("org_three")},
		{"no organization in the request", hour, signin.MemberOfFunc(func(*http.Request) string { return "" })},
		{"a class", fails(nil), signin.ACR("phr")},
		{"a class inside a guard with a time", hour, signin.ACR("phr")},
		{"a time inside a guard with a class", signin.ACR("mfa"), signin.RuleFunc(func(r *http.Request, _ *signin.User) error {
			return signin.AuthenticatedWithin(time.Minute).Check(r, &signin.User{})
		})},
		{"classes that exclude each other", signin.ACR("mfa"), signin.ACR("phr")},
		{"one of several", hour, signin.AnyOf(signin.HasRole("owner"), signin.ACR("x", "phr"))},
		{"a function", hour, fails(errors.New("the reason"))},
		{"a code", hour, fails(fmt.Errorf("the reason: %w", signin.ErrMFARequired))},
		{"an error with a message", hour, fails(&signin.Error{Code: "mine", Status: 423, Message: "Not today."})},
		{"a failure", hour, fails(&signin.Error{Code: signin.ErrStoreUnavailable, Err: errors.New("the reason")})},
		{"a rule that holds", hour, signin.AllowMachines()},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := &guarded{}
			around := m.auth.RequireSessionOrBearer(ordersAPI, row.outer)
			check := around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u, _ := signin.UserFrom(r.Context())
				if !m.auth.HandleError(w, r, row.inner.Check(r, u)) {
					g.ServeHTTP(w, r)
				}
			}))
			for caller, header := range callers {
				ask := func(h http.Handler) string {
					r, w := httptest.NewRequest("GET", "/page?a=b", nil), httptest.NewRecorder()
					if r.Header = header.Clone(); caller == "a form" {
						r.Method = http.MethodPost
					}
					m.events, m.log.b = nil, bytes.Buffer{}
					h.ServeHTTP(w, r)
					for _, e := range m.events {
						fmt.Fprintf(w, "\nevent: %v %v %v", e.Kind, e.Subject, e.Err)
					}
					return fmt.Sprintf("%d %v %v\nrecords: %d", w.Code, w.Header(), w.Body, strings.Count(m.log.String(), "code="))
				}
				// A guard also knows that the handler was not called.
				want := strings.Replace(ask(around(m.auth.Require(row.inner)(g))), " What you have just sent was not saved.", "", 1)
				if got := ask(check); got != want {
					t.Errorf("%s: got %s\nwant %s", caller, got, want)
				}
			}
			calls := 0
			if row.name == "a rule that holds" {
				calls = 2 * len(callers)
			}
			if g.calls != calls {
				t.Errorf("got the handler called %d times; want %d", g.calls, calls)
			}
		})
	}
}
