package interop

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// nesting puts a handler below three guards, in the idiom of each router.
var nesting = []struct {
	name  string
	mount func(h http.HandlerFunc, outer, middle, inner func(http.Handler) http.Handler) http.Handler
}{
	{"chi, Use and Group and With", func(h http.HandlerFunc, outer, middle, inner func(http.Handler) http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Use(outer)
		r.Group(func(r chi.Router) {
			r.Use(middle)
			r.With(inner).Get("/in/page", h)
		})
		return r
	}},
	{"chi, Route within Group", func(h http.HandlerFunc, outer, middle, inner func(http.Handler) http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Group(func(r chi.Router) {
			r.Use(outer)
			r.Route("/in", func(r chi.Router) {
				r.Use(middle, inner)
				r.Get("/page", h)
			})
		})
		return r
	}},
	{"chi, With before Route, and Mount", func(h http.HandlerFunc, outer, middle, inner func(http.Handler) http.Handler) http.Handler {
		below := chi.NewRouter()
		below.Use(inner)
		below.Get("/page", h)
		r := chi.NewRouter()
		r.With(outer).Route("/in", func(r chi.Router) { r.With(middle).Mount("/", below) })
		return r
	}},
	{"gorilla mux, Use and Subrouter", func(h http.HandlerFunc, outer, middle, inner func(http.Handler) http.Handler) http.Handler {
		r := mux.NewRouter()
		r.Use(outer)
		in := r.PathPrefix("/in").Subrouter()
		in.Use(middle)
		in.Handle("/page", inner(h)).Methods("GET")
		return r
	}},
	{"gorilla mux, Subrouter within Subrouter", func(h http.HandlerFunc, outer, middle, inner func(http.Handler) http.Handler) http.Handler {
		r := mux.NewRouter().NewRoute().Subrouter()
		r.Use(outer)
		in := r.PathPrefix("/in").Subrouter()
		in.Use(middle, inner)
		in.HandleFunc("/page", h)
		return r
	}},
	{"ServeMux below ServeMux", func(h http.HandlerFunc, outer, middle, inner func(http.Handler) http.Handler) http.Handler {
		below := http.NewServeMux()
		below.Handle("GET /page", inner(h))
		m := http.NewServeMux()
		m.Handle("/in/", outer(http.StripPrefix("/in", middle(below))))
		return m
	}},
}

// nestingApp starts an application and signs Alice in, who has the role admin.
func nestingApp(t *testing.T) (p *signintest.Provider, auth *signin.Auth, session string) {
	t.Helper()
	p = signintest.NewProvider(signintest.WithACR("mfa"))
	t.Cleanup(p.Close)
	server, base := listen()
	t.Cleanup(server.Close)
	cfg := p.Config(base)
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Scopes = []string{"roles"}
	cfg.SignInOptions = []signin.SignInOption{signin.MaxAge(time.Hour), signin.ACRValues("mfa", "phr")}
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = auth.WithRoutes(http.NotFoundHandler())
	server.Start()
	v := newVisitor(t)
	follow := *v.client
	follow.CheckRedirect = nil
	p.SignIn(t, &follow, base, signintest.Alice())
	var pairs []string
	for _, c := range v.client.Jar.Cookies(v.parse(base)) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return p, auth, strings.Join(pairs, "; ")
}

// nestedOutcome returns the subject that the handler saw, a redirect's Location, or
// a refusal's code and the scheme of its challenge.
func nestedOutcome(h http.Handler, header http.Header) string {
	r, w := httptest.NewRequest(http.MethodGet, "/in/page", nil), httptest.NewRecorder()
	r.Header = header
	h.ServeHTTP(w, r)
	switch w.Code {
	case http.StatusOK:
		return w.Body.String()
	case http.StatusSeeOther:
		return w.Header().Get("Location")
	}
	var problem struct{ Code string }
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
		return w.Body.String()
	}
	scheme, _, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), " ")
	return strings.TrimSpace(problem.Code + " " + scheme)
}

// On each router, the outer guard judges before the inner one.
func TestNestedGuards_EachRouter(t *testing.T) {
	t.Parallel()
	p, auth, session := nestingApp(t)
	type middleware = func(http.Handler) http.Handler
	var (
		bearer = auth.RequireBearer(ordersAPI)
		either = auth.RequireSessionOrBearer(ordersAPI)
		other  = auth.RequireBearer(reportsAPI)
		read   = auth.Require(signin.HasScope("read"))
		admin  = auth.Require(signin.HasRole("admin"))
		fresh  = auth.Require(signin.AuthenticatedWithin(time.Hour))
		strong = auth.Require(signin.ACR("mfa"))
		never  = auth.Require(signin.ACR("phr"))
	)
	const (
		alice, carol = "alice0000001", "carol0000001"
		toSignIn     = "/sign-in?return_to=%2Fin%2Fpage"
		toFresh      = "/sign-in?max_age=3600&return_to=%2Fin%2Fpage"
		noToken      = "not_signed_in Bearer"
	)
	token := "Bearer " + p.AccessToken(carol, ordersAPI, "read")
	for _, row := range []struct {
		name                          string
		guards                        [3]middleware
		session, token, both, neither string
	}{
		{"bearer, rule, auth", [3]middleware{bearer, read, auth.RequireAuth}, noToken, carol, carol, noToken},
		{"bearer, auth, a rule that only the session meets", [3]middleware{bearer, auth.RequireAuth, admin}, noToken, "forbidden", "forbidden", noToken},
		{"bearer, auth, another audience", [3]middleware{bearer, auth.RequireAuth, other}, noToken, "invalid_token Bearer", "invalid_token Bearer", noToken},
		{"either, auth, load", [3]middleware{either, auth.RequireAuth, auth.Load}, alice, carol, carol, toSignIn},
		{"either, load, a rule that only the session meets", [3]middleware{either, auth.Load, admin}, alice, "forbidden", "forbidden", toSignIn},
		{"load, bearer, rule", [3]middleware{auth.Load, bearer, read}, noToken, carol, carol, noToken},
		{"auth, bearer, load", [3]middleware{auth.RequireAuth, bearer, auth.Load}, noToken, toSignIn, carol, toSignIn},
		{"a time, a class, and a role", [3]middleware{fresh, strong, admin}, alice, toFresh, alice, toFresh},
		{"a time, no rule, and a class that is not met", [3]middleware{fresh, auth.Load, never}, "/sign-in?acr_values=phr&max_age=3600&return_to=%2Fin%2Fpage", toFresh,
			"/sign-in?acr_values=phr&max_age=3600&return_to=%2Fin%2Fpage", toFresh},
	} {
		for _, router := range nesting {
			t.Run(row.name+" on "+router.name, func(t *testing.T) {
				t.Parallel()
				h := router.mount(func(w http.ResponseWriter, r *http.Request) {
					u, _ := signin.UserFrom(r.Context())
					_, _ = io.WriteString(w, u.Subject)
				}, row.guards[0], row.guards[1], row.guards[2])
				for _, ask := range []struct {
					with          string
					cookie, token bool
					want          string
				}{{"a session", true, false, row.session}, {"a token", false, true, row.token}, {"both", true, true, row.both}, {"neither", false, false, row.neither}} {
					header := http.Header{"Accept": {"text/html"}}
					if ask.cookie {
						header.Set("Cookie", session)
					}
					if ask.token {
						header.Set("Authorization", token)
					}
					if got := nestedOutcome(h, header); got != ask.want {
						t.Errorf("%s: got %q; want %q", ask.with, got, ask.want)
					}
				}
			})
		}
	}
}
