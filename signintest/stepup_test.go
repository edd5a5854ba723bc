package signintest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// tokensFor asks once more in a browser that has a session, and returns the token
// response and whether the person had to show who they are.
func (a *party) tokensFor(t *testing.T, client *http.Client, pairs ...string) (tokens answer, asked bool) {
	t.Helper()
	counted := *client
	pages := &pageCounter{next: client.Transport}
	counted.Transport = pages
	tokens = a.exchange(t, a.authorize(t, &counted, signintest.Bob(), a.params(pairs...)).Get("code"))
	return tokens, pages.n > 0
}

// pageCounter counts the forms that a person sends to the provider.
type pageCounter struct {
	next http.RoundTripper
	n    int
}

func (c *pageCounter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		c.n++
	}
	return c.next.RoundTrip(r)
}

func TestASecondSignInSaysWhenItWas(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pairs []string
		asked bool
		age   any // of auth_time, when the tokens are issued; nil for no auth_time
	}{
		"nothing asked":                     {nil, false, nil},
		"max_age that is met":               {[]string{"max_age", "3600"}, false, 10 * time.Minute},
		"max_age that is not met":           {[]string{"max_age", "60"}, true, time.Duration(0)},
		"max_age of nothing":                {[]string{"max_age", "0"}, true, time.Duration(0)},
		"prompt login":                      {[]string{"prompt", "login consent"}, true, nil},
		"prompt login, and max_age is met":  {[]string{"prompt", "login consent", "max_age", "3600"}, true, time.Duration(0)},
		"prompt login, and it is not":       {[]string{"prompt", "login consent", "max_age", "60"}, true, time.Duration(0)},
		"a class of authentication, unheld": {[]string{"acr_values", "gold"}, false, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			a := start(t, signintest.WithNow(c.Now))
			client := a.p.NewClient()
			a.tokensFor(t, client)
			c.Advance(10 * time.Minute)
			tokens, asked := a.tokensFor(t, client, test.pairs...)
			if asked != test.asked {
				t.Errorf("got the person asked %v; want %v", asked, test.asked)
			}
			claims := part(t, tokens.text("id_token"), 1)
			checkAge(t, c, claims, test.age)
			// From then on the new time is the session's.
			want := any(10 * time.Minute)
			if test.asked {
				want = time.Duration(0)
			}
			again, asked := a.tokensFor(t, client, "max_age", "3600")
			if asked {
				t.Error("got the person asked once more; want not")
			}
			checkAge(t, c, part(t, again.text("id_token"), 1), want)
		})
	}
}

// checkAge compares how long ago auth_time is with want, nil for no auth_time.
func checkAge(t *testing.T, c *clock, claims map[string]any, want any) {
	t.Helper()
	at, there := claims["auth_time"].(json.Number)
	if !there {
		if want != nil || claims["auth_time"] != nil {
			t.Errorf("got auth_time %v; want one %v ago", claims["auth_time"], want)
		}
		return
	}
	n, err := at.Int64()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Now().Sub(time.Unix(n, 0)); got != want {
		t.Errorf("got auth_time %v ago; want %v", got, want)
	}
}

// A relying party may not take the newest ID token for a newer sign-in.
func TestRefreshedIDTokensSayWhatTheSignInSaid(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pairs  []string
		faults []signintest.Fault // from the refresh on
		age    any
		acr    any
	}{
		"nothing asked": {nil, nil, nil, nil},
		"max_age":       {[]string{"max_age", "60"}, nil, time.Hour, nil},
		"acr_values":    {[]string{"acr_values", "gold"}, nil, nil, "gold"},
		"both":          {[]string{"max_age", "60", "acr_values", "gold"}, nil, time.Hour, "gold"},
		"both, not repeated": {
			[]string{"max_age", "60", "acr_values", "gold"},
			[]signintest.Fault{faults.IDTokenAuthTimeMissing, faults.IDTokenACRMissing}, nil, nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			a := start(t, signintest.WithNow(c.Now), signintest.WithACR("gold"))
			token := a.signIn(t, signintest.Bob(), test.pairs...).text("refresh_token")
			a.p.Inject(test.faults...)
			c.Advance(time.Hour)
			claims := part(t, a.refresh(t, token).text("id_token"), 1)
			checkAge(t, c, claims, test.age)
			if claims["acr"] != test.acr {
				t.Errorf("got acr %v; want %v", claims["acr"], test.acr)
			}
		})
	}
}

func TestACRIsTheFirstAskedThatIsKnown(t *testing.T) {
	t.Parallel()
	gold := signintest.WithACR("gold", "silver")
	tests := map[string]struct {
		opts  []signintest.Option
		asked string
		want  any
	}{
		"known":                        {[]signintest.Option{gold}, "gold", "gold"},
		"the second one is known":      {[]signintest.Option{gold}, "platinum silver", "silver"},
		"both are known":               {[]signintest.Option{gold}, "silver gold", "silver"},
		"in two options":               {[]signintest.Option{gold, signintest.WithACR("bronze")}, "bronze", "bronze"},
		"unknown":                      {[]signintest.Option{gold}, "platinum", nil},
		"not asked":                    {[]signintest.Option{gold}, "", nil},
		"asked, and no class is known": {nil, "gold", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, test.opts...)
			claims := part(t, a.signIn(t, signintest.Bob(), "acr_values", test.asked).text("id_token"), 1)
			if got, there := claims["acr"]; got != test.want || there != (test.want != nil) {
				t.Errorf("got acr %v; want %v", got, test.want)
			}
			doc := a.get(t, a.p.Issuer+"/.well-known/openid-configuration", "")
			_, there := doc.body["acr_values_supported"]
			if listed := strings.Contains(doc.raw, `"acr_values_supported":["gold","silver"`); listed != (test.opts != nil) || there != listed || strings.Contains(doc.raw, `"acr"]`) != listed {
				t.Errorf("got acr_values_supported %v", doc.body["acr_values_supported"])
			}
		})
	}
}

func TestAskingForAClassWinsOverAClaimOfTheUsers(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithACR("gold"))
	user := signintest.Bob()
	user.Claims = map[string]any{"acr": "iron"}
	for asked, want := range map[string]string{"gold": "gold", "": "iron"} {
		if got := part(t, a.signIn(t, user, "acr_values", asked).text("id_token"), 1)["acr"]; got != want {
			t.Errorf("asked for %q: got %v; want %s", asked, got, want)
		}
	}
}

// CASES 2.9.
func TestIgnoreMaxAge(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pairs []string
		asked bool
		age   any
	}{
		"max_age":                     {[]string{"max_age", "60"}, false, 10 * time.Minute},
		"max_age of nothing":          {[]string{"max_age", "0"}, false, 10 * time.Minute},
		"max_age, with a prompt":      {[]string{"max_age", "60", "prompt", "login consent"}, false, 10 * time.Minute},
		"the prompt alone is heeded":  {[]string{"prompt", "login consent"}, true, nil},
		"nothing asked":               {nil, false, nil},
		"no form, which is all right": {[]string{"max_age", "60", "prompt", "none"}, false, 10 * time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			a := start(t, signintest.WithNow(c.Now))
			client := a.p.NewClient()
			a.p.Inject(faults.IgnoreMaxAge)
			first, asked := a.tokensFor(t, client, "max_age", "60") // there is no session yet
			if !asked {
				t.Error("without a session: got nobody asked; want the person asked")
			}
			checkAge(t, c, part(t, first.text("id_token"), 1), time.Duration(0))
			c.Advance(10 * time.Minute)
			for range 2 {
				tokens, asked := a.tokensFor(t, client, test.pairs...)
				if asked != test.asked {
					t.Errorf("got the person asked %v; want %v", asked, test.asked)
				}
				checkAge(t, c, part(t, tokens.text("id_token"), 1), test.age)
			}
			a.p.Clear()
			if tokens, asked := a.tokensFor(t, client, "max_age", "0"); !asked {
				t.Error("after Clear: got nobody asked; want the person asked")
			} else {
				checkAge(t, c, part(t, tokens.text("id_token"), 1), time.Duration(0))
			}
		})
	}
}
