package acceptance_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/signintest"
)

// Attacks and accidents that fit no single row of the cases, each found by
// somebody who tried to break the package.

func TestASessionIDSurvivesARefreshThatDoesNotRepeatIt(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.signedIn(signintest.Alice())
	sid := a.provider.SessionIDs(signintest.Alice().Subject)[0]
	a.provider.Inject(faults.IDTokenSIDMissing)
	for range 2 {
		a.clock.add(time.Hour)
		if got := b.who(); got != signintest.Alice().Subject {
			t.Fatalf("after a refresh: got %q; want Alice", got)
		}
	}
	a.notify(a.provider.LogoutToken(signintest.Alice().Subject, sid)).want(t, http.StatusOK, "")
	if got := b.who(); got != "nobody" {
		t.Errorf("after a logout token that names the session: got %q; want nobody", got)
	}
}

// tellsOf makes userinfo say something else.
func tellsOf(edit func(map[string]any)) func(*signin.Config) {
	return func(c *signin.Config) {
		c.MergeUserInfo, c.Scopes = true, []string{"email"}
		c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := ownTransport.RoundTrip(r)
			if err != nil || r.Method != http.MethodGet || r.Header.Get("Authorization") == "" {
				return resp, err
			}
			defer resp.Body.Close()
			var claims map[string]any
			if err := json.NewDecoder(resp.Body).Decode(&claims); err != nil {
				return nil, err
			}
			edit(claims)
			body, err := json.Marshal(claims)
			resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
			return resp, err
		})}
	}
}

// claims serves what the package says of a person.
func (a *app) claims(t *testing.T, b *browser) (u signin.User, claims struct {
	Email    string `json:"email"`
	ACR      string `json:"acr"`
	AuthTime int64  `json:"auth_time"`
}) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", b.cookies())
	a.auth.RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, _ := signin.UserFrom(r.Context())
		u = *user
		var err error
		if claims, err = signin.ClaimsAs[struct {
			Email    string `json:"email"`
			ACR      string `json:"acr"`
			AuthTime int64  `json:"auth_time"`
		}](r.Context()); err != nil {
			t.Errorf("ClaimsAs: got error %v; want none", err)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	return u, claims
}

func TestUserInfoDoesNotSpeakOverTheIDToken(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: tellsOf(func(claims map[string]any) {
		delete(claims, "email")
		claims["Email"], claims["ACR"], claims["AUTH_TIME"], claims["\u017fid"] = "root@corp.test", "mfa", 1, "another"
	})})
	u, claims := a.claims(t, a.signedIn(signintest.Alice()))
	if claims.Email != signintest.Alice().Email || claims.ACR != "" || claims.AuthTime != 0 || u.ProviderSessionID == "another" {
		t.Errorf("got %+v, %+v; want the ID token's claims alone", u, claims)
	}
}

func TestAnAddressIsNotVerifiedByTheWordAboutAnother(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) {
		tellsOf(func(claims map[string]any) { claims["email"], claims["email_verified"] = "mallory@evil.test", true })(c)
		c.Scopes = nil // without it the ID token has the claim below and no email_verified
	}})
	bob := signintest.Bob()
	bob.Claims = map[string]any{"email": "victim@corp.test"}
	if u, _ := a.claims(t, a.signedIn(bob)); u.Email != "victim@corp.test" || u.EmailVerified {
		t.Errorf("got %q, verified %v; want the ID token's address, not verified", u.Email, u.EmailVerified)
	}
}

func TestUserInfoInTroubleEndsNoSession(t *testing.T) {
	t.Parallel()
	for _, fault := range []signintest.Fault{faults.UserInfoContentType, faults.UserInfo401} {
		a := newApp(t, with{config: func(c *signin.Config) { c.MergeUserInfo = true }})
		b := a.signedIn(signintest.Alice())
		a.provider.Inject(fault)
		a.clock.add(time.Hour)
		if got := b.who(); got != signintest.Alice().Subject {
			t.Errorf("%s: got %q; want the session to stand", fault, got)
		}
		if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n == 0 {
			t.Errorf("%s: got no refresh token alive; want the session's", fault)
		}
	}
}

func TestAnOldUserInfoDoesNotSpeakOverANewIDToken(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: tellsOf(func(claims map[string]any) { claims["plan"] = "gold" })})
	b := a.signedIn(signintest.Alice())
	alice := signintest.Alice()
	alice.Claims = map[string]any{"plan": "none"} // the ID token has it now
	a.provider.SetUser(alice)
	a.provider.Inject(faults.UserInfo500)
	a.clock.add(time.Hour)
	u, _ := a.claims(t, b)
	var claims struct{ Plan string }
	if err := json.Unmarshal(u.Claims, &claims); err != nil || claims.Plan != "none" {
		t.Errorf("got plan %q, %v in %s; want the ID token's", claims.Plan, err, u.Claims)
	}
}

func TestUserInfoOfAnotherPersonEndsTheSessionAtARefresh(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.MergeUserInfo = true }})
	b := a.signedIn(signintest.Alice())
	a.provider.Inject(faults.UserInfoSubjectWrong)
	a.clock.add(time.Hour)
	if got := b.who(); got != "nobody" {
		t.Errorf("got %q; want nobody", got)
	}
}

func TestAttemptsFitWhatProxiesTake(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.browser()
	for range 6 {
		b.get("/sign-in?return_to=/"+strings.Repeat("a", 2000), "Sec-Fetch-Site: cross-site",
			"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document").want(t, http.StatusSeeOther, a.provider.URL)
		if n := len(b.cookies()); n > 4200 {
			t.Fatalf("Cookie header: got %d bytes; want it to stay far under 8 KB", n)
		}
	}
}

func TestASilentBeginSignInDoesNotGoInCircles(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	begin := func(w http.ResponseWriter, r *http.Request) {
		location, err := a.auth.BeginSignIn(w, r, signin.Prompt("none"), signin.ReturnTo("/quiet"))
		if errors.Is(err, signin.ErrNotSignedIn) {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	}
	a.server.Config.Handler.(*http.ServeMux).HandleFunc("/quiet", begin)
	b := a.browser()
	next, hops := b.get("/quiet"), 0
	for ; next.StatusCode == http.StatusSeeOther && hops < 10; hops++ {
		location, err := next.Location()
		if err != nil {
			t.Fatal(err)
		}
		next = b.get(location.String())
	}
	if next.StatusCode != http.StatusTeapot || len(a.provider.AuthorizationRequests()) != 1 {
		t.Errorf("got %d after %d hops and %d requests to the provider; want one", next.StatusCode, hops, len(a.provider.AuthorizationRequests()))
	}
}

func TestAnOperatorsMistakeAtTheCallbackIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	for _, fault := range []signintest.Fault{faults.TokenSecretExpired, faults.TokenInvalidTarget, faults.TokenInvalidScope, faults.TokenForbidden} {
		a := newApp(t, with{})
		a.provider.Inject(fault)
		resp := a.provider.Visit(t, a.provider.NewClient(), a.server.URL+"/sign-in", signintest.Bob())
		if resp.StatusCode != http.StatusBadGateway || !strings.Contains(a.log.String(), "level=ERROR") {
			t.Errorf("%s: got %d, log %s; want 502 and an error", fault, resp.StatusCode, a.log)
		}
	}
}

func TestAPanicWhileFetchingMetadataEndsNothing(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) {
		c.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("a transport of the application's") })}
	}})
	a.browser().get("/sign-in").want(t, http.StatusServiceUnavailable, "")
}

func TestACallbackOvertakenByALogoutLeavesNoTokens(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	met := false
	a.provider.OnTokenRequest(func(url.Values) {
		if !met {
			met = true
			a.notify(a.provider.LogoutToken(signintest.Bob().Subject, ""))
		}
	})
	resp := a.provider.Visit(t, a.provider.NewClient(), a.server.URL+"/sign-in", signintest.Bob())
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("callback: got %d; want 400", resp.StatusCode)
	}
	if n := a.provider.LiveRefreshTokens(signintest.Bob().Subject); n != 0 {
		t.Errorf("refresh tokens that nobody holds: got %d; want none", n)
	}
}

func TestLogoutTokensFitWhenSignInsDoNot(t *testing.T) {
	t.Parallel()
	var full *sharedstate.Memory
	a := newApp(t, with{config: func(c *signin.Config) {
		full = sharedstate.NewMemory(c.Now, sharedstate.Limits{Entries: 800, Bytes: 1 << 30})
		c.Shared = full
	}})
	b := a.signedIn(signintest.Bob())
	for i := 0; ; i++ {
		if full.Set(t.Context(), "u."+strings.Repeat("x", i), nil, time.Hour) != nil {
			break
		}
	}
	a.browser().get("/sign-in").want(t, http.StatusSeeOther, a.provider.URL)
	a.notify(a.provider.LogoutToken(signintest.Bob().Subject, "")).want(t, http.StatusOK, "")
	if got := b.who(); got != "nobody" {
		t.Errorf("got %q; want nobody", got)
	}
}

func TestALaterExtraParamReplacesAnEarlierOne(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{
		config: func(c *signin.Config) { c.SignInOptions = []signin.SignInOption{signin.ExtraParam("ui", "dark")} },
		signIn: []signin.SignInOption{signin.ExtraParam("ui", "light")},
	})
	location, err := a.browser().get("/sign-in").Location()
	if err != nil {
		t.Fatal(err)
	}
	if got := location.Query()["ui"]; len(got) != 1 || got[0] != "light" {
		t.Errorf("got %q; want the later one", got)
	}
}
