package acceptance_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A mint makes access tokens with any claims. The provider publishes its key.
type mint struct {
	*app
	key *ecdsa.PrivateKey
}

// newMint starts an application whose provider has one key more.
func newMint(t *testing.T, o with) *mint {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &mint{key: key}
	config := o.config
	o.config = func(c *signin.Config) {
		c.HTTPClient = &http.Client{Transport: roundTrip(m.publish)}
		if config != nil {
			config(c)
		}
	}
	m.app = newApp(t, o)
	return m
}

func (m *mint) publish(r *http.Request) (*http.Response, error) {
	resp, err := ownTransport.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/jwks") {
		return resp, err
	}
	defer resp.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return nil, err
	}
	set.Keys = append(set.Keys, jose.JSONWebKey{Key: m.key.Public(), KeyID: "mint", Algorithm: "ES384", Use: "sig"})
	b, err := json.Marshal(set)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	resp.Header.Del("Content-Length")
	return resp, err
}

// token is the Authorization header of Carol, with further claims or other ones.
func (m *mint) token(further map[string]any) string {
	m.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES384, Key: jose.JSONWebKey{Key: m.key, KeyID: "mint"}}, new(jose.SignerOptions).WithType("at+jwt"))
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

// orders are all orders of some rules.
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

// The order of alternatives decides nothing about who is let in.
func TestAnyOf_EveryOrderOfABearersAlternatives(t *testing.T) {
	t.Parallel()
	m := newMint(t, with{})
	type claims = map[string]any
	both := func(a, b claims) claims { a = maps.Clone(a); maps.Copy(a, b); return a }
	within := claims{"organization_id": "org_one"}
	machine := claims{"sub": "cron", "client_id": "cron"}
	admin := claims{"roles": []string{"admin"}}
	strong := claims{"acr": "mfa"}
	fresh, stale := claims{"auth_time": m.clock.now().Unix()}, claims{"auth_time": m.clock.now().Add(-time.Hour).Unix()}
	one, two := signin.MemberOf("org_one"), signin.MemberOf("org_two")
	role, owner, scope := signin.HasRole("admin"), signin.HasRole("owner"), signin.HasScope("read")
	yes := signin.RuleFunc(func(*http.Request, *signin.User) error { return nil })
	asksItself := signin.RuleFunc(one.Check)
	path := func(organization string) signin.Rule {
		return signin.MemberOfFunc(func(*http.Request) string { return organization })
	}
	age, class := signin.AuthenticatedWithin(5*time.Minute), signin.ACR("mfa")
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
		{"the token's organization, a role and a scope that hold too", rules{one, role, scope}, nil, both(within, admin), "", ""},
		{"the token's organization, and a function that holds too", rules{one, yes, owner}, nil, within, "", ""},
		{"the token's organization, and a role that does not hold", rules{one, owner}, nil, within, "", ""},
		{"the token's organization or another", rules{one, two}, nil, within, "", ""},
		{"the path's organization, and a role that holds too", rules{path("org_one"), role}, nil, both(within, admin), "", ""},
		{"the token's organization deeper down", rules{signin.AnyOf(owner, one), role}, nil, both(within, admin), "", ""},
		{"the token's organization deeper down, beside what holds", rules{signin.AnyOf(role, one), scope}, nil, both(within, admin), "", ""},
		{"the token's organization, and a step-up that is met", rules{one, class}, nil, both(within, strong), "", ""},
		{"the token's organization, and a step-up that is not met", rules{one, class, age}, nil, within, "", ""},
		{"a role in the token's organization, and a role that holds too", rules{signin.HasOrganizationRole("org_one", "owner"), role}, nil,
			both(both(within, admin), claims{"organization_roles": []string{"org_one:owner"}}), "", ""},
		{"the token's organization by another rule of the guard", rules{role, scope}, rules{one}, both(within, admin), "", ""},
		{"another organization, and a role that holds", rules{two, role}, nil, both(within, admin), signin.ErrForbidden, ""},
		{"another organization that the token names too, and a role that holds", rules{two, role}, nil,
			both(both(within, admin), claims{"organizations": []string{"org_one", "org_two"}}), signin.ErrForbidden, ""},
		{"a role in another organization that holds", rules{signin.HasOrganizationRole("org_two", "owner"), role}, nil,
			both(both(within, admin), claims{"organization_roles": []string{"org_two:owner"}}), signin.ErrForbidden, ""},
		{"the path's organization is another, and a role holds", rules{path("org_two"), role}, nil, both(within, admin), signin.ErrForbidden, ""},
		{"no organization is asked for", rules{role, scope, yes}, nil, both(within, admin), signin.ErrForbidden, ""},
		{"a function asks for it", rules{asksItself, role}, nil, both(within, admin), signin.ErrForbidden, ""},
		{"a step-up alone is met", rules{two, class, age}, nil, both(both(within, strong), fresh), signin.ErrForbidden, ""},
		{"nothing holds", rules{two, owner}, nil, both(within, admin), signin.ErrForbidden, ""},

		{"a machine with a scope, where machines may be", rules{owner, scope}, rules{signin.AllowMachines()}, machine, "", ""},
		{"a machine with a scope, where none may be", rules{owner, scope, yes}, nil, machine, signin.ErrForbidden, ""},
		{"a machine without the scope", rules{owner, signin.HasRole("other")}, rules{signin.AllowMachines()}, machine, signin.ErrForbidden, ""},
		{"a machine within the organization", rules{one, scope}, rules{signin.AllowMachines()}, both(machine, within), "", ""},
		{"a machine within another", rules{two, scope}, rules{signin.AllowMachines()}, both(machine, within), signin.ErrForbidden, ""},
		{"a machine within the organization, where none may be", rules{one, scope}, nil, both(machine, within), signin.ErrForbidden, ""},

		{"a fresh authentication, and no role", rules{owner, age}, nil, fresh, "", ""},
		{"a role, and no fresh authentication", rules{role, age}, nil, both(admin, stale), "", ""},
		{"a role, and no class", rules{role, age, class}, nil, admin, "", ""},
		{"neither a role nor a fresh authentication", rules{owner, age}, nil, stale, signin.ErrStepUpRequired, ageAsked},
		{"neither a role nor the class", rules{owner, two, class}, nil, both(fresh, claims{"acr": "pwd"}), signin.ErrStepUpRequired, classAsked},
		{"a step-up would help, but another rule does not hold", rules{owner, age}, rules{signin.HasRole("x")}, stale, signin.ErrForbidden, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, alternatives := range orders(row.alternatives) {
				any := signin.AnyOf(alternatives...)
				for _, rules := range orders(append(rules{any}, row.beside...)) {
					for around, guard := range map[string]func(http.Handler) http.Handler{
						"RequireBearer": m.auth.RequireBearer(ordersAPI, rules...), "RequireSessionOrBearer": m.auth.RequireSessionOrBearer(ordersAPI, rules...),
					} {
						g := &guarded{}
						r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
						r.Header.Set("Authorization", m.token(row.token))
						guard(g).ServeHTTP(w, r)
						if row.code == "" {
							if w.Code != http.StatusOK || g.calls != 1 {
								t.Errorf("%s: got %d %q, handler called %d times; want it let in", around, w.Code, w.Body, g.calls)
							}
							continue
						}
						m.wantProblem(t, answer{w.Result(), w.Body.String()}, statusOf(row.code), row.code, row.challenge)
						if g.calls != 0 {
							t.Errorf("%s: handler called %d times; want none", around, g.calls)
						}
					}
				}
			}
		})
	}
}

func statusOf(code signin.Code) int {
	return map[signin.Code]int{signin.ErrForbidden: 403, signin.ErrStepUpRequired: 401, signin.ErrInvalidToken: 401, signin.ErrNotSignedIn: 401, signin.ErrInternal: 500}[code]
}

// Of people with sessions too: who has the role is not asked for a step-up.
func TestAnyOf_EveryOrderOfAPersonsAlternatives(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Scopes = []string{"roles"} }})
	b := a.signedIn(signintest.Alice())
	for i, row := range []struct {
		name         string
		alternatives []signin.Rule
		status       int
		demand       string
	}{
		{"a role that holds, and two step-ups", []signin.Rule{signin.HasRole("admin"), signin.ACR("mfa"), signin.AuthenticatedWithin(time.Minute)}, 200, ""},
		{"a role that does not hold, and a class", []signin.Rule{signin.HasRole("owner"), signin.ACR("mfa"), signin.MemberOf("x")}, 303, "acr_values=mfa"},
		{"a role that does not hold, and a time", []signin.Rule{signin.HasRole("owner"), signin.AuthenticatedWithin(time.Minute)}, 303, "max_age=60"},
		{"no role, and no step-up", []signin.Rule{signin.HasRole("owner"), signin.HasRole("x"), signin.MemberOf("x")}, 403, ""},
	} {
		for n, alternatives := range orders(row.alternatives) {
			path, to := fmt.Sprint("/any/", i, "/", n), ""
			if row.demand != "" {
				to = "/sign-in?" + row.demand + "&return_to=%2Fany%2F"
			}
			a.mount(path, a.auth.Require(signin.AnyOf(alternatives...))(http.HandlerFunc(who)))
			t.Log(row.name, n)
			b.get(path).want(t, row.status, to)
		}
	}
}

// A rule that a handler asks is answered as the guard with that rule answers: status,
// headers, body, event and log.
func TestCheck_AnswersAsTheGuard(t *testing.T) {
	t.Parallel()
	m := newMint(t, with{config: func(c *signin.Config) { c.Scopes = []string{"roles"} }})
	session := m.signedIn(signintest.Alice()).cookies()
	own := func(err error) signin.Rule {
		return signin.RuleFunc(func(*http.Request, *signin.User) error { return err })
	}
	callers := map[string]http.Header{
		"a person": {"Cookie": {session}, "Accept": {"text/html"}}, "a program": {"Cookie": {session}, "Accept": {"application/json"}},
		"HTMX":                         {"Cookie": {session}, "Hx-Request": {"true"}, "Hx-Current-Url": {m.server.URL + "/list"}},
		"a bearer":                     {"Authorization": {m.token(nil)}},
		"a bearer that takes pages":    {"Authorization": {m.token(nil)}, "Accept": {"text/html"}},
		"a bearer with a session's":    {"Authorization": {m.token(nil)}, "Cookie": {session}, "Accept": {"text/html"}},
		"a form (its method is below)": {"Cookie": {session}, "Accept": {"text/html"}, "Referer": {m.server.URL + "/form"}},
	}
	for name, rule := range map[string]signin.Rule{
		"a role": signin.HasRole("owner"), "a scope": signin.HasScope("never"), "an organization": signin.MemberOf("org_three"),
		"an organization that is empty": signin.MemberOfFunc(func(*http.Request) string { return "" }),
		"a class":                       signin.ACR("mfa"), "a time": signin.AuthenticatedWithin(0),
		"one of several": signin.AnyOf(signin.HasRole("owner"), signin.ACR("mfa", "phr")),
		"a function":     own(errors.New("the reason")), "a code": own(signin.ErrNotMember), "a code in an error": own(fmt.Errorf("the reason: %w", signin.ErrMFARequired)),
		"an error with a message": own(&signin.Error{Code: "mine", Status: 423, Message: "Not today."}),
		"a failure":               own(&signin.Error{Code: signin.ErrStoreUnavailable, Err: errors.New("the reason")}),
		"a rule that holds":       signin.AllowMachines(),
	} {
		t.Run(name, func(t *testing.T) {
			g := &guarded{}
			check := m.auth.RequireSessionOrBearer(ordersAPI)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u, _ := signin.UserFrom(r.Context())
				if m.auth.HandleError(w, r, rule.Check(r, u)) {
					return
				}
				g.ServeHTTP(w, r)
			}))
			guards := map[string]http.Handler{
				"one guard":     m.auth.RequireSessionOrBearer(ordersAPI, rule)(g),
				"another guard": m.auth.RequireSessionOrBearer(ordersAPI)(m.auth.Require(rule)(g)),
			}
			for caller, header := range callers {
				ask := func(h http.Handler) (w *httptest.ResponseRecorder, events []string, logged int) {
					r := httptest.NewRequest("GET", "/page?a=b", nil)
					if header.Get("Referer") != "" {
						r.Method = http.MethodPost
					}
					r.Header, w = header.Clone(), httptest.NewRecorder()
					before, said := len(m.kinds()), len(m.log.String())
					h.ServeHTTP(w, r)
					for _, e := range m.events[before:] {
						events = append(events, fmt.Sprint(e.Kind, e.Subject, e.Err))
					}
					return w, events, strings.Count(m.log.String()[said:], "code=")
				}
				got, gotEvents, gotLogged := ask(check)
				for around, guard := range guards {
					want, wantEvents, wantLogged := ask(guard)
					if got.Code != want.Code || got.Body.String() != want.Body.String() || !reflect.DeepEqual(got.Header(), want.Header()) {
						t.Errorf("%s, %s: got %d %v %q; want %d %v %q", caller, around, got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
					}
					if !slices.Equal(gotEvents, wantEvents) || gotLogged != wantLogged {
						t.Errorf("%s, %s: got events %q and %d records; want %q and %d", caller, around, gotEvents, gotLogged, wantEvents, wantLogged)
					}
				}
				if want := 3 * len(callers); name != "a rule that holds" && g.calls != 0 || g.calls > want {
					t.Errorf("%s: handler called %d times; want none", caller, g.calls)
				}
			}
			if name == "a rule that holds" && g.calls != 3*len(callers) {
				t.Errorf("handler called %d times; want %d", g.calls, 3*len(callers))
			}
		})
	}
}

// A step-up for a rule that a handler asks must not lose what the guards around it
// demand, or each step-up undoes the other.
func TestCheck_BelowAGuardThatDemandsAStepUp(t *testing.T) {
	t.Parallel()
	m := newMint(t, with{signIn: []signin.SignInOption{signin.MaxAge(time.Hour), signin.ACRValues("mfa")}, provider: []signintest.Option{signintest.WithACR("mfa")}})
	session := m.signedIn(signintest.Alice()).cookies()
	token := m.token(map[string]any{"acr": "mfa", "auth_time": m.clock.now().Unix()})
	for _, row := range []struct {
		name         string
		outer, inner signin.Rule
	}{
		{"a class below a time", signin.AuthenticatedWithin(5 * time.Minute), signin.ACR("phr")},
		{"a time below a class", signin.ACR("mfa"), signin.RuleFunc(func(r *http.Request, _ *signin.User) error {
			return signin.AuthenticatedWithin(time.Minute).Check(r, &signin.User{})
		})},
		{"two classes that exclude each other", signin.ACR("mfa"), signin.ACR("phr")},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := &guarded{}
			check := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u, _ := signin.UserFrom(r.Context())
				if !m.auth.HandleError(w, r, row.inner.Check(r, u)) {
					g.ServeHTTP(w, r)
				}
			})
			around := m.auth.RequireSessionOrBearer(ordersAPI, row.outer)
			for caller, header := range map[string]http.Header{
				"a person": {"Cookie": {session}, "Accept": {"text/html"}}, "a program": {"Cookie": {session}}, "a bearer": {"Authorization": {token}},
			} {
				ask := func(h http.Handler) *httptest.ResponseRecorder {
					r, w := httptest.NewRequest("GET", "/page", nil), httptest.NewRecorder()
					r.Header = header
					h.ServeHTTP(w, r)
					return w
				}
				got, want := ask(around(check)), ask(around(m.auth.Require(row.inner)(g)))
				if got.Code != want.Code || got.Body.String() != want.Body.String() || !reflect.DeepEqual(got.Header(), want.Header()) {
					t.Errorf("%s: got %d %v %q; want %d %v %q, as the guard", caller, got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
				}
				if g.calls != 0 {
					t.Errorf("%s: handler called %d times; want none", caller, g.calls)
				}
			}
		})
	}
}
