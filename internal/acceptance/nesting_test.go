package acceptance_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

type middleware = func(http.Handler) http.Handler

// below puts h below guards, the outermost first.
func below(h http.Handler, guards ...middleware) http.Handler {
	for _, guard := range slices.Backward(guards) {
		h = guard(h)
	}
	return h
}

// nested is an application in which Alice, an admin, may have a session, and Carol, who
// is none, may send a token.
type nested struct {
	*mint
	staff   *signin.Auth // another Auth, in which no one is signed in
	session string       // a Cookie header
}

func newNested(t *testing.T, o with) *nested {
	t.Helper()
	o.config = func(c *signin.Config) { c.Scopes = []string{"roles"} }
	n := &nested{mint: newMint(t, o)}
	cfg := n.cfg
	cfg.CookieName = "staff"
	cfg.Paths = signin.Paths{SignIn: "/staff/in", Callback: "/staff/cb", SignOut: "/staff/out", BackChannelLogout: "/staff/bc"}
	staff, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.staff, n.session = staff, n.signedIn(signintest.Alice()).cookies()
	return n
}

// ask sends a request with "a session", "a token", "both" or "neither", and with
// further header lines.
func (n *nested) ask(h http.Handler, with, token, lines string) *httptest.ResponseRecorder {
	n.t.Helper()
	r, w := n.request(http.MethodGet, "/page", lines), httptest.NewRecorder()
	if with == "a session" || with == "both" {
		r.Header.Set("Cookie", n.session)
	}
	if with == "a token" || with == "both" {
		r.Header.Set("Authorization", token)
	}
	m := http.NewServeMux()
	m.Handle("GET /page", h)
	m.ServeHTTP(w, r)
	return w
}

// outcome is an answer in short: whom the handler met, or the status with where it
// leads, or with the code and the challenge's scheme.
func outcome(w *httptest.ResponseRecorder) string {
	switch w.Code {
	case http.StatusOK:
		return w.Body.String()
	case http.StatusSeeOther:
		return "to " + w.Header().Get("Location")
	}
	var problem struct{ Code string }
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || w.Header().Get("Set-Cookie") != "" || !strings.Contains(w.Header().Get("Cache-Control"), "no-store") {
		return "no problem document, cookies, or cached: " + w.Body.String()
	}
	scheme, _, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), " ")
	return strings.TrimSpace(problem.Code + " " + scheme)
}

func TestNestedGuards(t *testing.T) {
	t.Parallel()
	n := newNested(t, with{})
	const otherAPI = "https://invoices.example.com"
	var (
		a            = n.auth
		load         = a.Load
		auth         = a.RequireAuth
		bearer       = a.RequireBearer(ordersAPI)
		other        = a.RequireBearer(otherAPI)
		either       = a.RequireSessionOrBearer(ordersAPI)
		withMachines = a.RequireBearer(ordersAPI, signin.AllowMachines())
		within       = a.RequireBearer(ordersAPI, signin.MemberOf("org_one"))
		read         = a.Require(signin.HasScope("read"))
		admin        = a.Require(signin.HasRole("admin"))
		strip        = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r = r.Clone(r.Context())
				r.Header.Del("Authorization")
				r.Header.Del("Cookie")
				h.ServeHTTP(w, r)
			})
		}
	)
	type claims = map[string]any
	const (
		alice, carol = "alice0000001", "carol0000001"
		toSignIn     = "to /sign-in?return_to=%2Fpage"
		toStaff      = "to /staff/in?return_to=%2Fpage"
		noToken      = "not_signed_in Bearer"
		badToken     = "invalid_token Bearer"
	)
	for _, row := range []struct {
		name                          string
		guards                        []middleware
		token                         claims // further ones
		session, bearer, both, nobody string // for a session, a token, both, and neither
	}{
		{"bearer, rule, auth", []middleware{bearer, read, auth}, nil, noToken, carol, carol, noToken},
		{"bearer, auth, rule", []middleware{bearer, auth, read}, nil, noToken, carol, carol, noToken},
		{"bearer, load, auth", []middleware{bearer, load, auth}, nil, noToken, carol, carol, noToken},
		{"bearer, auth, load", []middleware{bearer, auth, load}, nil, noToken, carol, carol, noToken},
		{"bearer, load, a rule that the session alone meets", []middleware{bearer, load, admin}, nil, noToken, "forbidden", "forbidden", noToken},
		{"bearer, auth, a rule that the token meets", []middleware{bearer, auth, admin}, claims{"roles": []string{"admin"}}, noToken, carol, carol, noToken},
		{"bearer, rule, a scope that is missing", []middleware{bearer, auth, a.Require(signin.HasScope("write"))}, nil, noToken, "forbidden Bearer", "forbidden Bearer", noToken},
		{"bearer, auth, the same bearer", []middleware{bearer, auth, bearer}, nil, noToken, carol, carol, noToken},
		{"bearer, load, the same bearer with a rule", []middleware{bearer, load, a.RequireBearer(ordersAPI, signin.HasScope("write"))}, nil, noToken, "forbidden Bearer", "forbidden Bearer", noToken},
		{"the same bearer three times", []middleware{bearer, bearer, bearer}, nil, noToken, carol, carol, noToken},
		{"bearer, rule, another audience", []middleware{bearer, read, other}, nil, noToken, badToken, badToken, noToken},
		{"bearer, auth, another audience of the same token", []middleware{bearer, auth, other}, claims{"aud": []string{ordersAPI, otherAPI}}, noToken, carol, carol, noToken},
		{"bearer, another audience, the first one", []middleware{bearer, other, bearer}, claims{"aud": []string{ordersAPI, otherAPI}}, noToken, carol, carol, noToken},
		{"bearer, another audience, auth", []middleware{other, bearer, auth}, nil, noToken, badToken, badToken, noToken},

		{"either, rule, auth", []middleware{either, a.Require(signin.AnyOf(signin.HasRole("admin"), signin.HasScope("read"))), auth}, nil, alice, carol, carol, toSignIn},
		{"either, auth, a rule that the session alone meets", []middleware{either, auth, admin}, nil, alice, "forbidden", "forbidden", toSignIn},
		{"either, load, auth", []middleware{either, load, auth}, nil, alice, carol, carol, toSignIn},
		{"either, auth, load", []middleware{either, auth, load}, nil, alice, carol, carol, toSignIn},
		{"either, auth, either", []middleware{either, auth, either}, nil, alice, carol, carol, toSignIn},
		{"either, load, bearer", []middleware{either, load, bearer}, nil, noToken, carol, carol, toSignIn},
		{"either, auth, another audience", []middleware{either, auth, other}, nil, noToken, badToken, badToken, toSignIn},
		{"either, bearer, auth", []middleware{either, bearer, auth}, nil, noToken, carol, carol, toSignIn},

		{"load, bearer, rule", []middleware{load, bearer, read}, nil, noToken, carol, carol, noToken},
		{"load, either, auth", []middleware{load, either, auth}, nil, alice, carol, carol, toSignIn},
		{"auth, bearer, load", []middleware{auth, bearer, load}, nil, noToken, toSignIn, carol, toSignIn},
		{"auth, bearer, a rule that the session alone meets", []middleware{auth, bearer, admin}, nil, noToken, toSignIn, "forbidden", toSignIn},
		{"a rule that the session alone meets, bearer, auth", []middleware{admin, bearer, auth}, nil, noToken, toSignIn, carol, toSignIn},
		{"auth, load, rule", []middleware{auth, load, admin}, nil, alice, toSignIn, alice, toSignIn},

		{"a token that is no good", []middleware{either, auth, load}, claims{"iss": "https://e.test"}, alice, badToken, badToken, toSignIn},
		{"a token that has expired", []middleware{bearer, auth, load}, claims{"exp": 1}, noToken, badToken, badToken, noToken},

		// A bearer guard judges its own token once more by its own rules.
		{"a machine that only the outer bearer lets in", []middleware{withMachines, auth, bearer}, claims{"sub": "app-id"}, noToken, "forbidden", "forbidden", noToken},
		{"a machine, rule, auth", []middleware{withMachines, read, auth}, claims{"sub": "app-id"}, noToken, "app-id", "app-id", noToken},
		{"a machine that only the inner bearer lets in", []middleware{bearer, auth, withMachines}, claims{"sub": "app-id"}, noToken, "forbidden", "forbidden", noToken},
		{"an organization's token that only the outer bearer asks for", []middleware{within, auth, bearer}, claims{"organization_id": "org_one"}, noToken, "forbidden", "forbidden", noToken},
		{"an organization's token, rule, auth", []middleware{within, read, auth}, claims{"organization_id": "org_one"}, noToken, carol, carol, noToken},
		{"another organization's token, auth, rule", []middleware{within, auth, read}, claims{"organization_id": "org_two"}, noToken, "forbidden", "forbidden", noToken},

		// What was let in does not change below, whatever is done to the headers.
		{"bearer, headers gone, the same bearer", []middleware{bearer, strip, bearer}, nil, noToken, carol, carol, noToken},
		{"bearer, headers gone, auth", []middleware{bearer, strip, auth}, nil, noToken, carol, carol, noToken},
		{"bearer, headers gone, another audience", []middleware{bearer, strip, other}, claims{"aud": []string{ordersAPI, otherAPI}}, noToken, noToken, noToken, noToken},
		{"auth, headers gone, rule", []middleware{auth, strip, admin}, nil, alice, toSignIn, alice, toSignIn},

		// A guard lets in its own Auth's callers only.
		{"bearer, another Auth's load, auth", []middleware{bearer, n.staff.Load, auth}, nil, noToken, carol, carol, noToken},
		{"bearer, another Auth's load, rule", []middleware{bearer, n.staff.Load, read}, nil, noToken, carol, carol, noToken},
		{"bearer, load, another Auth's auth", []middleware{bearer, load, n.staff.RequireAuth}, nil, noToken, toStaff, toStaff, noToken},
		{"bearer, auth, another Auth's bearer", []middleware{bearer, auth, n.staff.RequireBearer(ordersAPI)}, nil, noToken, carol, carol, noToken},
		{"another Auth's bearer, load, auth", []middleware{n.staff.RequireBearer(ordersAPI), load, auth}, nil, noToken, toSignIn, alice, noToken},
		{"another Auth's bearer, load, bearer", []middleware{n.staff.RequireBearer(ordersAPI), load, bearer}, nil, noToken, carol, carol, noToken},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h, token := below(http.HandlerFunc(who), row.guards...), n.token(row.token)
			for with, want := range map[string]string{"a session": row.session, "a token": row.bearer, "both": row.both, "neither": row.nobody} {
				if got := outcome(n.ask(h, with, token, "Accept: text/html")); got != want {
					t.Errorf("%s: got %q; want %q", with, got, want)
				}
				// A program is refused at the same guard, without a redirect.
				if strings.HasPrefix(want, "to ") {
					want = "not_signed_in Cookie"
				}
				if got := outcome(n.ask(h, with, token, "Accept: application/json")); got != want {
					t.Errorf("%s, a program: got %q; want %q", with, got, want)
				}
			}
		})
	}
}

// What guards demand adds up, so that one sign-in meets all of it.
func TestNestedStepUps(t *testing.T) {
	t.Parallel()
	n := newNested(t, with{
		signIn:   []signin.SignInOption{signin.MaxAge(time.Hour), signin.ACRValues("mfa")},
		provider: []signintest.Option{signintest.WithACR("mfa")},
	})
	n.clock.add(10 * time.Minute)
	older := n.token(map[string]any{"acr": "mfa", "auth_time": n.clock.now().Add(-10 * time.Minute).Unix(), "roles": []string{"admin"}})
	require := func(rules ...signin.Rule) middleware { return n.auth.Require(rules...) }
	age, class, anyOf := signin.AuthenticatedWithin, signin.ACR, signin.AnyOf
	admin := signin.HasRole("admin")
	const forbidden = "forbidden"
	for _, row := range []struct {
		name   string
		top    []signin.Rule // of the outermost guard, which takes sessions and tokens
		guards []middleware
		query  string // of the redirect, "" for a page, or forbidden
		bearer string // what the challenge asks for
	}{
		{"all are met", []signin.Rule{age(time.Hour)}, []middleware{require(class("mfa")), require(age(20 * time.Minute))}, "", ""},
		{"the innermost is not", []signin.Rule{age(time.Hour)}, []middleware{require(class("mfa")), require(age(time.Minute))},
			"acr_values=mfa&max_age=60", `acr_values="mfa", max_age="60"`},
		{"the innermost is not, and asks for a class", []signin.Rule{age(time.Hour)}, []middleware{require(age(20 * time.Minute)), require(class("phr"))},
			"acr_values=phr&max_age=1200", `acr_values="phr", max_age="1200"`},
		{"the middle one is not", []signin.Rule{class("mfa", "phr")}, []middleware{require(age(time.Minute)), require(class("phr"))},
			"acr_values=mfa+phr&max_age=60", `acr_values="mfa phr", max_age="60"`},
		{"the outermost is not", []signin.Rule{age(time.Minute)}, []middleware{require(class("mfa")), require(class("mfa"))}, "max_age=60", `max_age="60"`},
		{"classes in common", []signin.Rule{class("mfa", "phr")}, []middleware{require(class("pwd", "phr", "mfa")), require(class("phr", "x"))},
			"acr_values=phr", `acr_values="phr"`},
		{"with guards without rules between", []signin.Rule{age(time.Hour)}, []middleware{n.auth.Load, n.auth.RequireAuth, require(admin), require(class("phr"))},
			"acr_values=phr&max_age=3600", `acr_values="phr", max_age="3600"`},
		{"with another Auth between", []signin.Rule{age(time.Hour)}, []middleware{n.staff.Load, require(class("phr"))},
			"acr_values=phr&max_age=3600", `acr_values="phr", max_age="3600"`},
		{"below alternatives of one kind", []signin.Rule{anyOf(age(20*time.Minute), age(time.Hour))}, []middleware{require(class("phr"))},
			"acr_values=phr&max_age=1200", `acr_values="phr", max_age="1200"`}, // the first that holds
		{"below alternatives of which the one that holds demands something", []signin.Rule{anyOf(age(20*time.Minute), admin)}, []middleware{require(class("phr"))},
			"acr_values=phr&max_age=1200", `acr_values="phr", max_age="1200"`},
		{"a rule that no step-up meets comes first", []signin.Rule{age(time.Hour)}, []middleware{require(class("mfa")), require(age(time.Minute), signin.HasRole("owner"))}, forbidden, ""},
		{"classes that exclude each other", []signin.Rule{class("mfa")}, []middleware{n.auth.RequireAuth, require(class("phr"))}, forbidden, ""},
		{"classes that exclude each other, all three of them", []signin.Rule{class("mfa", "phr")}, []middleware{require(class("mfa", "pwd")), require(class("phr", "pwd"))}, forbidden, ""},
		{"classes that exclude each other, and a time", []signin.Rule{class("mfa")}, []middleware{require(age(time.Hour)), require(age(time.Minute), class("phr"))}, forbidden, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := below(http.HandlerFunc(who), append([]middleware{n.auth.RequireSessionOrBearer(ordersAPI, row.top...)}, row.guards...)...)
			person, program, bearer := "to /sign-in?"+row.query+"&return_to=%2Fpage", "step_up_required Cookie", "step_up_required Bearer"
			switch row.query {
			case "":
				person, program, bearer = signintest.Alice().Subject, signintest.Alice().Subject, "carol0000001"
			case forbidden:
				program, bearer = forbidden, forbidden
			}
			w := n.ask(h, "a session", "", "Accept: text/html")
			switch {
			case row.query == forbidden:
				if w.Code != http.StatusForbidden || w.Header().Get("Location") != "" || !strings.Contains(w.Body.String(), "This page is not open to you") {
					t.Errorf("a person: got %d to %q; want the page that says no", w.Code, w.Header().Get("Location"))
				}
			case outcome(w) != person:
				t.Errorf("a person: got %q; want %q", outcome(w), person)
			}
			if got := outcome(n.ask(h, "a session", "", "Accept: application/json")); got != program {
				t.Errorf("a program: got %q; want %q", got, program)
			}
			challenge := ""
			if row.bearer != "" {
				challenge = `Bearer error="insufficient_user_authentication", ` + row.bearer
			}
			for _, with := range []string{"a token", "both"} {
				w := n.ask(h, with, older, "Accept: text/html")
				if got := outcome(w); got != bearer || w.Header().Get("WWW-Authenticate") != challenge {
					t.Errorf("%s: got %q and %q; want %q and %q", with, got, w.Header().Get("WWW-Authenticate"), bearer, challenge)
				}
			}
		})
	}
}

// People pass nested step-ups with one sign-in, and those that exclude each other
// end in a refusal, and not in a loop.
func TestNestedStepUps_OfAPersonWhoAnswers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		rules  []signin.Rule // of one guard each, the outermost first
		status int
		asked  int // how often the provider is
	}{
		{"a time, a class and a shorter time", []signin.Rule{signin.AuthenticatedWithin(time.Hour), signin.ACR("mfa"), signin.AuthenticatedWithin(time.Minute)}, http.StatusOK, 1},
		{"classes of which one is in all", []signin.Rule{signin.ACR("a", "mfa"), signin.ACR("mfa", "b"), signin.ACR("mfa", "c")}, http.StatusOK, 0},
		{"classes that exclude each other", []signin.Rule{signin.ACR("mfa"), signin.AuthenticatedWithin(time.Hour), signin.ACR("phr")}, http.StatusForbidden, 0},
		{"classes that exclude each other, the outer one's not met", []signin.Rule{signin.AuthenticatedWithin(time.Minute), signin.ACR("mfa"), signin.ACR("phr")}, http.StatusForbidden, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{
				signIn:   []signin.SignInOption{signin.MaxAge(time.Hour), signin.ACRValues("mfa")},
				provider: []signintest.Option{signintest.WithACR("mfa"), signintest.WithAccessTokenLifetime(2 * time.Hour)},
			})
			var guards []middleware
			for _, rule := range row.rules {
				guards = append(guards, a.auth.Require(rule))
			}
			a.mount("/page", below(http.HandlerFunc(a.account), guards...))
			b := a.signedIn(signintest.Alice())
			a.clock.add(10 * time.Minute)
			asked := a.provider.Stats().Authorizations
			got := b.visit("/page", signintest.Alice())
			if got.StatusCode != row.status || got.Request.URL.Path != "/page" {
				t.Errorf("got %s at %s; want %d at /page", got.Status, got.Request.URL.Path, row.status)
			}
			if n := a.provider.Stats().Authorizations - asked; n != row.asked {
				t.Errorf("the provider was asked %d times; want %d", n, row.asked)
			}
			if calls := a.insideCalls(); (calls == 1) != (row.status == http.StatusOK) {
				t.Errorf("handler called %d times with %d", calls, row.status)
			}
			if who := b.who(); who != signintest.Alice().Subject {
				t.Errorf("got %q signed in; want Alice", who)
			}
		})
	}
}

// A refusal by a guard below a bearer guard is told with whom it was about, and is not
// about whoever's session came along.
func TestNestedGuards_TellWhomTheyRefuse(t *testing.T) {
	t.Parallel()
	n := newNested(t, with{})
	token := n.token(map[string]any{"sid": "a-session-of-carols"})
	for name, guard := range map[string]middleware{
		"Require": n.auth.Require(signin.HasRole("admin")), "RequireBearer": n.auth.RequireBearer(ordersAPI, signin.HasRole("admin")),
	} {
		h := below(http.HandlerFunc(who), n.auth.RequireBearer(ordersAPI), n.auth.Load, guard)
		if got := outcome(n.ask(h, "both", token, "Accept: text/html")); got != "forbidden" {
			t.Fatalf("%s: got %q; want it forbidden", name, got)
		}
		last := n.events[len(n.events)-1]
		if last.Kind != signin.EventRefused || last.Subject != "carol0000001" || last.ProviderSessionID != "a-session-of-carols" {
			t.Errorf("%s: got %+v; want Carol refused", name, last)
		}
	}
}

// A token that a guard has let in is judged as one by the guards below, even where
// its header was taken off on the way.
func TestNestedGuards_TheHeaderIsTakenOff(t *testing.T) {
	t.Parallel()
	n := newNested(t, with{})
	a := n.auth
	strip := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			r.Header.Del("Authorization")
			h.ServeHTTP(w, r)
		})
	}
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, row := range []struct {
		name         string
		outer, inner middleware
		claims       map[string]any
		status       int
	}{
		{"a person", a.RequireBearer(ordersAPI), a.RequireSessionOrBearer(ordersAPI), nil, http.StatusTeapot},
		{"a machine", a.RequireBearer(ordersAPI, signin.AllowMachines()), a.RequireSessionOrBearer(ordersAPI), map[string]any{"sub": "m2m", "client_id": "m2m"}, http.StatusForbidden},
		{"an organization's token", a.RequireBearer(ordersAPI, signin.MemberOf("org_one")), a.RequireSessionOrBearer(ordersAPI), map[string]any{"organization_id": "org_one"}, http.StatusForbidden},
		{"another audience", a.RequireBearer(ordersAPI), a.RequireSessionOrBearer("https://invoices.example.com"), nil, http.StatusUnauthorized},
	} {
		if got := n.ask(below(inside, row.outer, strip, row.inner), "a token", n.token(row.claims), ""); got.Code != row.status {
			t.Errorf("%s: got %d; want %d", row.name, got.Code, row.status)
		}
	}
}

// A provider that states of an authentication only what it is asked for must be asked
// for all of it at once, or for none of it: people would go round without end.
func TestNestedStepUps_OfAnAlternativeThatHeld(t *testing.T) {
	t.Parallel()
	auth := newApp(t, with{}).auth
	inside := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	mfa := auth.Require(signin.AnyOf(signin.ACR("mfa"), signin.HasRole("admin")))
	for _, row := range []struct {
		name   string
		inner  middleware
		user   signin.User
		status int
		query  string
	}{
		{"class and age", auth.Require(signin.AuthenticatedWithin(time.Minute)), signin.User{ACR: "mfa"}, http.StatusSeeOther, "acr_values=mfa&max_age=60&return_to=%2Fpage"},
		{"the alternative asks for nothing", auth.Require(signin.AuthenticatedWithin(time.Minute)), signin.User{Roles: []string{"admin"}}, http.StatusSeeOther, "max_age=60&return_to=%2Fpage"},
		{"classes that exclude each other", auth.Require(signin.ACR("c")), signin.User{ACR: "mfa"}, http.StatusForbidden, ""},
		{"both", auth.Require(signin.AuthenticatedWithin(time.Minute)), signin.User{ACR: "mfa", AuthTime: time.Now()}, http.StatusTeapot, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/page", nil)
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		mfa(row.inner(inside)).ServeHTTP(w, signintest.WithUser(r, &row.user))
		if _, query, _ := strings.Cut(w.Header().Get("Location"), "?"); w.Code != row.status || query != row.query {
			t.Errorf("%s: got %d, %q; want %d, %q", row.name, w.Code, query, row.status, row.query)
		}
	}
}
