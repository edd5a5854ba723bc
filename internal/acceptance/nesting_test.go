package acceptance_test

import (
	"encoding/json"
	"net/http"
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

// nested is an application in which Alice, an admin, has a session, and Carol, who is
// not an admin, has a token.
type nested struct {
	*mint
	staff   *signin.Auth // another Auth, without sessions
	session string       // a Cookie header
}

func newNested(t *testing.T, o with) *nested {
	t.Helper()
	provider := o.config
	o.config = func(c *signin.Config) {
		if provider != nil {
			provider(c)
		}
		c.Scopes = []string{"roles"}
	}
	n := &nested{mint: newMint(t, o)}
	cfg := n.cfg
	cfg.CookieName = "staff"
	cfg.Paths = signin.Paths{SignIn: "/staff/in", Callback: "/staff/cb", SignOut: "/staff/out", BackChannelLogout: "/staff/bc"}
	n.staff, n.session = newAuth(t, cfg), n.signedIn(signintest.Alice()).cookies()
	return n
}

// ask sends a request with "a session", "a token", "both" or "neither".
func (n *nested) ask(h http.Handler, with, token, accept string) answer {
	cookies, lines := "", []string{"Accept: " + accept}
	if with == "a session" || with == "both" {
		cookies = n.session
	}
	if with == "a token" || with == "both" {
		lines = append(lines, "Authorization: "+token)
	}
	return knock(h, "/page", cookies, lines...)
}

// outcome sums up an answer: the subject that the handler saw, or where the answer
// redirects to, or its code and the scheme of its challenge.
func (a answer) outcome() string {
	switch a.StatusCode {
	case http.StatusOK:
		return a.body
	case http.StatusSeeOther:
		return "to " + a.Header.Get("Location")
	}
	var problem struct{ Code string }
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil || a.Header.Get("Set-Cookie") != "" ||
		!strings.Contains(a.Header.Get("Cache-Control"), "no-store") {
		return "no problem document, cookies, or cached: " + a.body
	}
	scheme, _, _ := strings.Cut(a.Header.Get("WWW-Authenticate"), " ")
	return strings.TrimSpace(problem.Code + " " + scheme)
}

// Below a guard that accepts tokens, guards and Load see the token's user. A
// guard for another audience verifies the token for that audience.
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
		staffBearer  = n.staff.RequireBearer(ordersAPI)
		strip        = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r = r.Clone(r.Context())
				r.Header.Del("Authorization")
				r.Header.Del("Cookie")
				h.ServeHTTP(w, r)
			})
		}
	)
	type (
		claims = map[string]any
		chain  = []middleware
	)
	const (
		alice, carol = "alice0000001", "carol0000001"
		toSignIn     = "to /sign-in?return_to=%2Fpage"
		toStaff      = "to /staff/in?return_to=%2Fpage"
		noToken      = "not_signed_in Bearer"
		badToken     = "invalid_token Bearer"
		forbidden    = "forbidden"
	)
	twoAPIs := claims{"aud": []string{ordersAPI, otherAPI}}
	organization, machine := claims{"organization_id": "org_one"}, claims{"sub": "app-id"}
	for _, row := range []struct {
		name                           string
		guards                         chain
		token                          claims // added to the usual ones
		session, bearer, both, neither string // the outcomes by what is sent
	}{
		{"bearer, load", chain{bearer, load}, nil, noToken, carol, carol, noToken},
		{"bearer, rule, auth", chain{bearer, read, auth}, nil, noToken, carol, carol, noToken},
		{"bearer, load, a rule that only the session meets", chain{bearer, load, admin}, nil, noToken, forbidden, forbidden, noToken},
		{"the same bearer three times", chain{bearer, bearer, bearer}, nil, noToken, carol, carol, noToken},
		{"bearer, rule, another audience", chain{bearer, read, other}, nil, noToken, badToken, badToken, noToken},

		{"either, rule, auth", chain{either, a.Require(signin.AnyOf(signin.HasRole("admin"), signin.HasScope("read"))), auth}, nil,
			alice, carol, carol, toSignIn},
		{"either, auth, a rule that only the session meets", chain{either, auth, admin}, nil, alice, forbidden, forbidden, toSignIn},
		{"either, auth, bearer", chain{either, auth, bearer}, nil, noToken, carol, carol, toSignIn},

		{"load, bearer, rule", chain{load, bearer, read}, nil, noToken, carol, carol, noToken},
		{"auth, bearer, load", chain{auth, bearer, load}, nil, noToken, toSignIn, carol, toSignIn},
		{"a rule that only the session meets, bearer, auth", chain{admin, bearer, auth}, nil, noToken, toSignIn, carol, toSignIn},
		{"either, a bad token", chain{either, auth, load}, claims{"iss": "https://e.test"}, alice, badToken, badToken, toSignIn},

		// A bearer guard below another judges the same token by its own rules.
		{"a machine, rule, auth", chain{withMachines, read, auth}, machine, noToken, "app-id", "app-id", noToken},
		{"a machine that only the outer bearer lets in", chain{withMachines, auth, bearer}, machine, noToken, forbidden, forbidden, noToken},
		{"a machine that only the inner bearer lets in", chain{bearer, auth, withMachines}, machine, noToken, forbidden, forbidden, noToken},
		{"an organization's token, rule, auth", chain{within, read, auth}, organization, noToken, carol, carol, noToken},
		{"an organization's token that only the outer bearer asks for", chain{within, auth, bearer}, organization,
			noToken, forbidden, forbidden, noToken},

		// Below a guard that has let a token in, its user is the caller, even
		// if the header has been removed.
		{"bearer, headers gone, auth", chain{bearer, strip, auth}, nil, noToken, carol, carol, noToken},
		{"bearer, headers gone, another audience", chain{bearer, strip, other}, twoAPIs, noToken, noToken, noToken, noToken},
		{"a machine, headers gone, either without machines", chain{withMachines, strip, either}, machine,
			noToken, forbidden, forbidden, noToken},
		{"auth, headers gone, rule", chain{auth, strip, admin}, nil, alice, toSignIn, alice, toSignIn},

		// A guard lets in callers of its own Auth only.
		{"bearer, another Auth's load, load", chain{bearer, n.staff.Load, load}, nil, noToken, carol, carol, noToken},
		{"bearer, load, another Auth's auth", chain{bearer, load, n.staff.RequireAuth}, nil, noToken, toStaff, toStaff, noToken},
		{"another Auth's bearer, load, auth", chain{staffBearer, load, auth}, nil, noToken, toSignIn, alice, noToken},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h, token := below(http.HandlerFunc(who), row.guards...), n.token(row.token)
			for with, want := range map[string]string{
				"a session": row.session, "a token": row.bearer, "both": row.both, "neither": row.neither,
			} {
				if got := n.ask(h, with, token, "text/html").outcome(); got != want {
					t.Errorf("%s: got %q; want %q", with, got, want)
				}
				// A program is refused at the same guard, without a redirect.
				if strings.HasPrefix(want, "to ") {
					want = "not_signed_in Cookie"
				}
				if got := n.ask(h, with, token, "application/json").outcome(); got != want {
					t.Errorf("%s, a program: got %q; want %q", with, got, want)
				}
			}
		})
	}
}

// The demands of nested guards are combined, so that one sign-in meets all of
// them. A provider may state the class and the time of an authentication only
// if it is asked for both. If each guard asked only for its own, people would
// be sent to sign in without end.
func TestNestedStepUps(t *testing.T) {
	t.Parallel()
	n := newNested(t, with{
		config:   otherProvider,
		signIn:   []signin.SignInOption{signin.MaxAge(time.Hour), signin.ACRValues("mfa")},
		provider: []signintest.Option{signintest.WithACR("mfa")},
	})
	n.clock.add(10 * time.Minute)
	older := n.token(map[string]any{
		"acr": "mfa", "auth_time": n.clock.now().Add(-10 * time.Minute).Unix(), "roles": []string{"admin"},
	})
	require := func(rules ...signin.Rule) middleware { return n.auth.Require(rules...) }
	age, class, anyOf := signin.AuthenticatedWithin, signin.ACR, signin.AnyOf
	hour, minute := age(time.Hour), age(time.Minute)
	admin, owner := signin.HasRole("admin"), signin.HasRole("owner")
	const forbidden = "forbidden"
	type (
		rules = []signin.Rule
		chain = []middleware
	)
	for _, row := range []struct {
		name   string
		top    rules // of the outermost guard, which takes sessions and tokens
		guards chain
		query  string // of the redirect, "" for a page, or forbidden
		bearer string // what the challenge asks for
	}{
		{"all are met", rules{hour}, chain{require(class("mfa")), require(age(20 * time.Minute))}, "", ""},
		{"the innermost is not met", rules{hour}, chain{require(class("mfa")), require(minute)},
			"acr_values=mfa&max_age=60", `acr_values="mfa", max_age="60"`},
		{"the middle one is not met", rules{class("mfa", "phr")}, chain{require(minute), require(class("phr"))},
			"acr_values=mfa+phr&max_age=60", `acr_values="mfa phr", max_age="60"`},
		{"the outermost is not met", rules{minute}, chain{require(class("mfa"))}, "max_age=60", `max_age="60"`},
		{"alternatives, of which the first that holds demands a time", rules{anyOf(age(20*time.Minute), hour, admin)},
			chain{require(class("phr"))}, "acr_values=phr&max_age=1200", `acr_values="phr", max_age="1200"`},
		{"alternatives, of which the one that holds demands nothing", rules{anyOf(class("phr"), admin)}, chain{require(minute)},
			"max_age=60", `max_age="60"`},
		{"an alternative that holds excludes the class", rules{anyOf(class("mfa"), owner)}, chain{require(class("phr"))}, forbidden, ""},
		{"an alternative that fails is met in part", rules{hour}, chain{require(anyOf(all(age(20*time.Minute), owner), class("phr")))},
			"acr_values=phr&max_age=3600", `acr_values="phr", max_age="3600"`},
		// These rules do not say in advance what they demand. If they did, Require
		// would panic.
		{"one guard with classes that exclude each other", rules{hour}, chain{require(all(class("pwd")), all(class("phr")))}, forbidden, ""},
		{"another rule, which no step-up meets", rules{hour}, chain{require(class("mfa")), require(minute, owner)}, forbidden, ""},
		{"classes that exclude each other", rules{class("mfa")}, chain{n.auth.RequireAuth, require(class("phr"))}, forbidden, ""},
		{"classes that exclude each other, all three of them", rules{class("mfa", "phr")},
			chain{require(class("mfa", "pwd")), require(class("phr", "pwd"))}, forbidden, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := below(http.HandlerFunc(who), append(chain{n.auth.RequireSessionOrBearer(ordersAPI, row.top...)}, row.guards...)...)
			status, program, bearer, location := http.StatusSeeOther, "step_up_required Cookie", "step_up_required Bearer", ""
			switch row.query {
			case "":
				status, program, bearer = http.StatusOK, "alice0000001", "carol0000001"
			case forbidden:
				status, program, bearer = http.StatusForbidden, forbidden, forbidden
			default:
				location = "/sign-in?" + row.query + "&return_to=%2Fpage"
			}
			person := n.ask(h, "a session", "", "text/html")
			if to := person.Header.Get("Location"); person.StatusCode != status || to != location {
				t.Errorf("a person: got %d to %q; want %d to %q", person.StatusCode, to, status, location)
			}
			if got := n.ask(h, "a session", "", "application/json").outcome(); got != program {
				t.Errorf("a program: got %q; want %q", got, program)
			}
			got, challenge := n.ask(h, "both", older, "text/html"), ""
			if row.bearer != "" {
				challenge = `Bearer error="insufficient_user_authentication", ` + row.bearer
			}
			if c := got.Header.Get("WWW-Authenticate"); got.outcome() != bearer || c != challenge {
				t.Errorf("a token: got %q and %q; want %q and %q", got.outcome(), c, bearer, challenge)
			}
		})
	}
}
