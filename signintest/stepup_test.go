package signintest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// formCounter counts the forms that a browser sends to the provider.
type formCounter struct {
	next http.RoundTripper
	n    int
}

func (c *formCounter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		c.n++
	}
	return c.next.RoundTrip(r)
}

// again signs Bob in with a client that may have a session. It returns how old
// auth_time is in the ID token, "" if there is none, and whether the page to
// sign in was shown.
func (a *party) again(t *testing.T, client *http.Client, pairs ...string) (age string, asked bool) {
	t.Helper()
	counted, forms := *client, &formCounter{next: client.Transport}
	counted.Transport = forms
	tokens := a.exchange(t, a.authorize(t, &counted, signintest.Bob(), a.params(pairs...)).Get("code"))
	return a.age(t, tokens), forms.n > 0
}

func (a *party) age(t *testing.T, tokens answer) string {
	t.Helper()
	authTime, there := part(t, tokens.text("id_token"), 1)["auth_time"]
	if !there {
		return ""
	}
	return a.cfg.Now().Sub(time.Unix(number(authTime), 0)).String()
}

func TestMaxAge(t *testing.T) {
	t.Parallel()
	ignored := []signintest.Fault{faults.IgnoreMaxAge}
	for name, test := range map[string]struct {
		faults []signintest.Fault
		pairs  []string
		asked  bool
		age    string // of auth_time
	}{
		"nothing asked for":                {nil, nil, false, ""},
		"max_age that is met":              {nil, []string{"max_age", "3600"}, false, "10m0s"},
		"max_age that is not met":          {nil, []string{"max_age", "60"}, true, "0s"},
		"max_age 0":                        {nil, []string{"max_age", "0"}, true, "0s"},
		"prompt login":                     {nil, []string{"prompt", "login consent"}, true, ""},
		"prompt login, and max_age is met": {nil, []string{"prompt", "login consent", "max_age", "3600"}, true, "0s"},
		"an unknown class":                 {nil, []string{"acr_values", "gold"}, false, ""},
		"ignored: max_age that is not met": {ignored, []string{"max_age", "60"}, false, "10m0s"},
		"ignored: with prompt login":       {ignored, []string{"max_age", "60", "prompt", "login consent"}, false, "10m0s"},
		"ignored: with prompt none":        {ignored, []string{"max_age", "60", "prompt", "none"}, false, "10m0s"},
		"ignored: prompt login by itself":  {ignored, []string{"prompt", "login consent"}, true, ""},
		"ignored: nothing asked for":       {ignored, nil, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			a := start(t, signintest.WithNow(c.Now))
			client := a.p.NewClient()
			a.p.Inject(test.faults...)
			if age, asked := a.again(t, client, "max_age", "60"); age != "0s" || !asked {
				t.Errorf("without a session: got auth_time %s ago, asked %v; want 0s, true", age, asked)
			}
			c.Advance(10 * time.Minute)
			if age, asked := a.again(t, client, test.pairs...); age != test.age || asked != test.asked {
				t.Errorf("got auth_time %s ago, asked %v; want %s, %v", age, asked, test.age, test.asked)
			}
			a.p.Clear()
			want := "10m0s"
			if test.asked {
				want = "0s" // the new time is the session's
			}
			if age, asked := a.again(t, client, "max_age", "3600"); age != want || asked {
				t.Errorf("afterwards: got auth_time %s ago, asked %v; want %s, false", age, asked, want)
			}
		})
	}
}

// A relying party may not take the newest ID token for a newer sign-in.
func TestRefresh_RepeatsWhatTheSignInSaid(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pairs []string
		age   string
		acr   any
	}{
		"nothing asked for": {nil, "", nil},
		"max_age":           {[]string{"max_age", "60"}, "1h0m0s", nil},
		"acr_values":        {[]string{"acr_values", "gold"}, "", "gold"},
	} {
		c := newClock()
		a := start(t, signintest.WithNow(c.Now), signintest.WithACR("gold"))
		token := a.signIn(t, signintest.Bob(), test.pairs...).text("refresh_token")
		c.Advance(time.Hour)
		tokens := a.refresh(t, token)
		if age, acr := a.age(t, tokens), part(t, tokens.text("id_token"), 1)["acr"]; age != test.age || acr != test.acr {
			t.Errorf("%s: got auth_time %q ago, acr %v; want %q, %v", name, age, acr, test.age, test.acr)
		}
	}
}

func TestWithACR(t *testing.T) {
	t.Parallel()
	known := start(t, signintest.WithACR("gold", "silver"), signintest.WithACR("bronze"))
	none := start(t)
	iron := signintest.Bob()
	iron.Claims = map[string]any{"acr": "iron"}
	for name, test := range map[string]struct {
		at    *party
		user  signintest.User
		asked string
		want  any
	}{
		"known":                        {known, signintest.Bob(), "gold", "gold"},
		"the second one is known":      {known, signintest.Bob(), "platinum silver", "silver"},
		"both are known":               {known, signintest.Bob(), "silver gold", "silver"},
		"in another option":            {known, signintest.Bob(), "bronze", "bronze"},
		"unknown":                      {known, signintest.Bob(), "platinum", nil},
		"not asked for":                {known, signintest.Bob(), "", nil},
		"no class is known":            {none, signintest.Bob(), "gold", nil},
		"the user has a claim":         {known, iron, "gold", "gold"},
		"the claim, nothing asked for": {known, iron, "", "iron"},
	} {
		claims := part(t, test.at.signIn(t, test.user, "acr_values", test.asked).text("id_token"), 1)
		if got, there := claims["acr"]; got != test.want || there != (test.want != nil) {
			t.Errorf("%s: got acr %v; want %v", name, got, test.want)
		}
	}
	const values = `"acr_values_supported":["gold","silver","bronze"]`
	if doc := known.metadata(t).raw; !strings.Contains(doc, values) || !strings.Contains(doc, `,"acr"]`) {
		t.Errorf("got %s; want the classes and the claim", doc)
	}
	if doc := none.metadata(t).raw; strings.Contains(doc, `"acr`) {
		t.Errorf("got %s; want no classes", doc)
	}
}
