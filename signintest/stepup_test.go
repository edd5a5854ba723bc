package signintest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// again signs Bob in with a client that may have a session. It returns how old
// auth_time is in the ID token, "" if there is none, and whether Bob was asked.
func (a *party) again(t *testing.T, client *http.Client, pairs ...string) (age string, asked bool) {
	t.Helper()
	asked = a.next(t, client, pairs...).Path == "/sign-in"
	code := a.authorize(t, client, signintest.Bob(), a.params(pairs...)).Get("code")
	return a.age(t, a.exchange(t, code)), asked
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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			a := start(t, signintest.WithNow(c.Now))
			client := a.p.NewClient()
			a.p.Inject(test.faults...)
			age, asked := a.again(t, client, "max_age", "60")
			same(t, "without a session: auth_time", age, "0s")
			same(t, "without a session: asked", asked, true)
			c.Advance(10 * time.Minute)
			age, asked = a.again(t, client, test.pairs...)
			same(t, "auth_time", age, test.age)
			same(t, "asked", asked, test.asked)
			a.p.Clear()
			want := "10m0s"
			if test.asked {
				want = "0s" // the new time is the session's
			}
			age, asked = a.again(t, client, "max_age", "3600")
			same(t, "afterwards: auth_time", age, want)
			same(t, "afterwards: asked", asked, false)
		})
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
