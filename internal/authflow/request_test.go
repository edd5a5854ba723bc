package authflow_test

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// full uses everything that goes together at Logto.
func full() request {
	return request{
		FirstScreen:  "identifier:sign_in",
		Identifiers:  []string{"email", "phone"},
		DirectSignIn: "social:naver",
		LoginHint:    "kim@example.com",
		Prompt:       []string{"login"},
		Demand:       demand{MaxAge: 5 * time.Minute, MaxAgeAsked: true},
		UILocales:    []string{"ko-KR", "en"},
		OneTimeToken: "tok",
		OneTimeEmail: "kim@example.com",
		Organization: "org_1",
		Extra:        map[string]string{"display": "page", "x": "a b&c"},
	}
}

func TestCheck_Accepted(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		req   request
		logto bool
	}{
		{"an ordinary request to Logto", request{}, true},
		{"everything at once", full(), true},
		{"the screen identifier:register", screen("identifier:register", "username"), true},
		{"an enterprise connector", request{DirectSignIn: "sso:" + strings.Repeat("x", 128)}, true},
		{"a connector of one letter", request{DirectSignIn: "social:x"}, true},
		{"the prompt none", request{Prompt: []string{"none"}}, false},
		{"several prompts", request{Prompt: []string{"login", "consent", "select_account"}}, false},
		{"several prompts at Logto", request{Prompt: []string{"login", "consent"}}, true},
		{"classes", request{Demand: acr("urn:mace:incommon:iap:silver", "2")}, false},
		{"the page for registering, elsewhere", screen("register"), false},
		{"a maximal age of zero", request{Demand: demand{MaxAgeAsked: true}}, false},
		{"a login hint in Korean", request{LoginHint: "김 민수"}, false},
		{"the longest login hint", request{LoginHint: strings.Repeat("x", 1024)}, false},
		{"a hint that a one-time token repeats", request{LoginHint: "a@b.c", OneTimeToken: "t", OneTimeEmail: "a@b.c"}, true},
		{"locales of many shapes", request{UILocales: []string{"en", "zh-Hant-TW", "de-CH-1901", "x-pirate"}}, false},
		{"Logto's names at another provider", extra("organization_id", "first_screen", "identifier"), false},
		{"an extra parameter with any text", request{Extra: map[string]string{"audience": "https://api.test/?x=y z"}}, true},
	} {
		if err := row.req.Check(row.logto); err != nil {
			t.Errorf("%s: got %v; want no mistake", row.name, err)
		}
	}
	for screen := range strings.FieldsSeq("sign_in register reset_password single_sign_on identifier:sign_in") {
		if err := (&request{FirstScreen: screen}).Check(true); err != nil {
			t.Errorf("the screen %s: got %v; want no mistake", screen, err)
		}
	}
}

func screen(s string, identifiers ...string) request {
	return request{FirstScreen: s, Identifiers: identifiers}
}

// extra returns a request with these extra parameters.
func extra(names ...string) request {
	r := request{Extra: map[string]string{}}
	for _, name := range names {
		r.Extra[name] = "c4nary"
	}
	return r
}

// check expects one mistake, which repeats no value that may be personal or secret.
func check(t *testing.T, what string, req request, logto bool, want string) {
	t.Helper()
	err := req.Check(logto)
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), want) ||
		!strings.HasPrefix(err.Error(), "signin: ") || strings.Contains(err.Error(), "c4nary") {
		t.Errorf("%s: got %v; want one mistake: %s", what, err, want)
	}
}

func TestCheck_Mistakes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1025)
	many := make([]string, 33)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	age := func(d time.Duration) request { return request{Demand: demand{MaxAge: d, MaxAgeAsked: true}} }
	hint := func(s string) request { return request{LoginHint: s} }
	prompts := func(s ...string) request { return request{Prompt: s} }
	classes := func(s ...string) request { return request{Demand: acr(s...)} }
	once := func(token, email string) request { return request{OneTimeToken: token, OneTimeEmail: email} }
	direct := func(s string) request { return request{DirectSignIn: s} }
	for _, row := range []struct {
		name string
		req  request
		want string
	}{
		{"an unknown screen", screen("signup"), `FirstScreen: unknown screen "signup"; there are ` +
			`sign_in, register, reset_password, identifier:sign_in, identifier:register, single_sign_on`},
		{"a screen of a megabyte", screen(strings.Repeat("\t", 1<<20)), strings.Repeat(`\t`, 64) + `"; there are`},
		{"an unknown identifier", screen("identifier:sign_in", "e-mail"), `Identifiers: "e-mail" is not one of email, phone`},
		{"an identifier twice", screen("identifier:sign_in", "email", "phone", "email"), `Identifiers: "email" is given twice`},
		{"identifiers without a screen", screen("", "email"), "Identifiers: only the first screens identifier:sign_in and"},
		{"identifiers on a screen that does not ask", screen("reset_password", "email"), `ask for an identifier; it is "reset_password"`},
		{"a social target with a space", direct("social:na ver"), `Social: "na ver" is not a connector's target or ID`},
		{"a social target with a line feed at the end", direct("social:naver\n"), `Social: "naver\n" is not a connector's target or ID`},
		{"an empty social target", direct("social:"), `Social: "" is not a connector's target or ID`},
		{"a long connector ID", direct("sso:" + strings.Repeat("x", 129)), `EnterpriseSSO: "` + strings.Repeat("x", 64) + `" is not a connector's target or ID`},
		{"another method", direct("passkey:x"), `Social: "passkey:x" is not a connector's target or ID`},
		{"a login hint with a line feed", hint("c4nary\nx"), "LoginHint: contains a control character, or is not UTF-8"},
		{"a login hint with a C1 control", hint("c4nary\u0085"), "LoginHint: contains a control character, or is not UTF-8"},
		{"a login hint that is not UTF-8", hint("\xff"), "LoginHint: contains a control character, or is not UTF-8"},
		{"a long login hint", hint(long), "LoginHint: longer than 1024 bytes"},
		{"an unknown prompt", prompts("signup"), `Prompt: "signup" is not one of none, login, consent, which`},
		{"a prompt that Logto does not know", prompts("login", "select_account"),
			`Prompt: "select_account" is not one of none, login, consent, which are all that Logto knows; with login, people can choose another account`},
		{"a prompt that is really two", prompts("login select_account"), `Prompt: "login select_account" is not one of`},
		{"none with another prompt", prompts("none", "login"), `Prompt: none cannot be combined with others, here "none login"`},
		{"a negative maximal age", age(-time.Second), "MaxAge: -1s is negative"},
		{"half a second", age(500 * time.Millisecond), "MaxAge: 500ms is not a whole number of seconds"},
		{"classes, which Logto never states", classes("mfa", "phr"),
			`ACRValues: "mfa phr" cannot be met: Logto never states the class of an authentication (acr): ask for its time instead`},
		{"a locale with an underscore", request{UILocales: []string{"ko_KR"}}, `UILocales: "ko_KR" is not a BCP 47 language tag`},
		{"a required one-time token that is missing", request{OneTimeAsked: true}, "OneTimeToken: both the token and the"},
		{"a one-time token without an address", once("c4nary", ""), "OneTimeToken: the token needs the e-mail address"},
		{"a one-time token with half an address", once("t", "c4nary@"), "OneTimeToken: the token needs the e-mail address"},
		{"a one-time token with a long address", once("t", "a@"+long), "OneTimeToken: longer than 1024 bytes"},
		{"an address without a one-time token", once("", "c4nary@example.com"), "OneTimeToken: the token is empty, too long"},
		{"a long one-time token", once(long, "a@b.c"), "OneTimeToken: the token is empty, too long"},
		{"a one-time token for another person than the hint",
			request{LoginHint: "kim", OneTimeToken: "t", OneTimeEmail: "c4nary@example.com"},
			"LoginHint: differs from the e-mail address of OneTimeToken, which is the login hint"},
		{"an organization ID with a slash", request{Organization: "org/1"}, `OrganizationBranding: "org/1" is not an organization ID`},
		{"an extra parameter without a name", extra(""), `ExtraParam: "" is not a parameter's name`},
		{"an extra parameter with an ampersand", extra("a&b"), `ExtraParam: "a&b" is not a parameter's name`},
		{"an extra parameter without a value", request{Extra: map[string]string{"x": ""}}, `ExtraParam: "x" has no value`},
		{"an extra parameter with a NUL", request{Extra: map[string]string{"x": "c4nary\x00"}}, `ExtraParam: "x": contains a control`},
		{"too many extra parameters", extra(many...), "ExtraParam: more than 32 parameters"},
	} {
		check(t, row.name, row.req, true, row.want)
	}
}

func TestCheck_MistakesElsewhere(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 512)
	many := strings.Fields(strings.Repeat("x ", 33))
	classes := func(s ...string) request { return request{Demand: acr(s...)} }
	for _, row := range []struct {
		name string
		req  request
		want string
	}{
		{"a class with a space", classes("a b"), `ACRValues: "a b" is empty, or has spaces`},
		{"an empty class", classes(""), `ACRValues: "" is empty, or has spaces`},
		{"too many classes", classes(many...), "ACRValues: more than 32 values"},
		{"long classes", classes(long, "y"+long), "ACRValues: longer than 1024 bytes"},
		{"an unknown prompt", request{Prompt: []string{"create"}}, `Prompt: "create" is not one of none, login, consent, select_account`},
		{"an unknown screen", screen("signup"), `FirstScreen: unknown screen "signup"; there are`},
	} {
		check(t, row.name, row.req, false, row.want)
	}
}

func TestCheck_ReservedParameters(t *testing.T) {
	t.Parallel()
	for want, names := range map[string]string{
		"belongs to the flow": "response_type response_mode state nonce code_challenge code_challenge_method code iss " +
			"request request_uri registration dpop_jkt Nonce",
		"must never be sent through a browser": "client_secret client_assertion client_assertion_type code_verifier " +
			"access_token refresh_token id_token_hint",
		"comes from Config.ClientID":                               "client_id CLIENT_ID",
		"comes from Config.BaseURL and Config.Paths.Callback":      "redirect_uri",
		"comes from Config.Scopes":                                 "scope",
		"comes from Config.Resources":                              "resource",
		"is not supported: use MaxAge, ACRValues or Config.Scopes": "claims",
		"use Prompt instead":                                       "prompt",
		"use MaxAge instead":                                       "max_age",
		"has no effect: Logto never states the class":              "acr_values ACR_values",
		"use UILocales instead":                                    "ui_locales",
		"use LoginHint instead":                                    "login_hint",
		"use FirstScreen instead":                                  "first_screen interaction_mode",
		"use Identifiers instead":                                  "identifier identifiers",
		"use Social or EnterpriseSSO instead":                      "direct_sign_in",
		"use OneTimeToken instead":                                 "one_time_token",
		"use OrganizationBranding instead":                         "organization_id",
	} {
		for name := range strings.FieldsSeq(names) {
			check(t, name, extra(name), true, want)
		}
	}
	check(t, "acr_values elsewhere", extra("acr_values"), false, "use ACRValues instead")
}

func TestCheck_LogtoOptionsElsewhere(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		option string
		req    request
	}{
		{"Identifiers", request{FirstScreen: "identifier:sign_in", Identifiers: []string{"email"}}},
		{"Social", request{DirectSignIn: "social:naver"}},
		{"EnterpriseSSO", request{DirectSignIn: "sso:x"}},
		{"OneTimeToken", request{OneTimeToken: "tok"}},
		{"OneTimeToken", request{OneTimeEmail: "kim@example.com"}},
		{"OneTimeToken", request{OneTimeAsked: true}},
		{"OrganizationBranding", request{Organization: "org_1"}},
	} {
		want := "signin: " + row.option + ": is for Logto only (Config.LogtoEndpoint instead of Config.Issuer)"
		if err := row.req.Check(false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v; want %s", row.req, err, want)
		}
	}
	for s := range strings.FieldsSeq("sign_in reset_password identifier:sign_in identifier:register single_sign_on") {
		want := "FirstScreen: " + strconv.Quote(s) + " is for Logto only (Config.LogtoEndpoint instead of Config.Issuer); other providers have register"
		check(t, s, screen(s), false, want)
	}
}

func TestCheck_EveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	req := request{
		FirstScreen: "x", Identifiers: []string{"x"}, DirectSignIn: "sso:", LoginHint: "c4nary\n", Prompt: []string{"none", "x"},
		Demand: demand{MaxAge: -time.Millisecond, MaxAgeAsked: true, ACR: []string{" "}}, UILocales: []string{"_"},
		OneTimeToken: "c4nary\n", OneTimeEmail: "c4nary\n@example.com", Organization: "/",
		Extra: map[string]string{"&": "c4nary", "state": "c4nary\n"},
	}
	err := req.Check(true)
	if err == nil || strings.Contains(err.Error(), "c4nary") {
		t.Fatalf("got %v; want mistakes, and no value that may be personal or secret", err)
	}
	for option := range strings.FieldsSeq("FirstScreen Identifiers EnterpriseSSO LoginHint Prompt MaxAge ACRValues " +
		"UILocales OneTimeToken OrganizationBranding ExtraParam") {
		if !strings.Contains(err.Error(), "signin: "+option+": ") {
			t.Errorf("got no mistake of %s in:\n%v", option, err)
		}
	}
}
