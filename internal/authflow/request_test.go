package authflow_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
)

type request = authflow.Request

// full uses everything that goes together at Logto.
func full() request {
	return request{
		FirstScreen:  "identifier:sign_in",
		Identifiers:  []string{"email", "phone"},
		DirectSignIn: "social:naver",
		LoginHint:    "kim@example.com",
		Prompt:       []string{"login"},
		Demand:       demand{MaxAge: 5 * time.Minute, MaxAgeAsked: true, ACR: []string{"urn:mace:incommon:iap:silver", "2"}},
		UILocales:    []string{"ko-KR", "en"},
		OneTimeToken: "tok",
		OneTimeEmail: "kim@example.com",
		Organization: "org_1",
		Extra:        map[string]string{"display": "page", "x": "a b&c"},
	}
}

func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		req   request
		logto bool
	}{
		{"an ordinary request to Logto", request{}, true},
		{"an ordinary request to another provider", request{}, false},
		{"everything at once", full(), true},
		{"the screen sign_in", request{FirstScreen: "sign_in"}, true},
		{"the screen register", request{FirstScreen: "register"}, true},
		{"the screen reset_password", request{FirstScreen: "reset_password"}, true},
		{"the screen single_sign_on", request{FirstScreen: "single_sign_on"}, true},
		{"the screen identifier:register", request{FirstScreen: "identifier:register", Identifiers: []string{"username"}}, true},
		{"an identifier screen that asks for any identifier", request{FirstScreen: "identifier:sign_in"}, true},
		{"an enterprise connector", request{DirectSignIn: "sso:" + strings.Repeat("x", 128)}, true},
		{"the prompt none", request{Prompt: []string{"none"}}, false},
		{"several prompts", request{Prompt: []string{"login", "consent", "select_account"}}, false},
		{"a maximal age of zero", request{Demand: demand{MaxAgeAsked: true}}, false},
		{"a login hint in Korean", request{LoginHint: "김 민수"}, false},
		{"a login hint as long as allowed", request{LoginHint: strings.Repeat("x", 1024)}, false},
		{"a login hint that a one-time token repeats", request{LoginHint: "a@b.c", OneTimeToken: "t", OneTimeEmail: "a@b.c"}, true},
		{"locales of many shapes", request{UILocales: []string{"en", "zh-Hant-TW", "de-CH-1901", "sl-rozaj-biske", "x-pirate"}}, false},
		{"Logto's names at another provider", request{Extra: map[string]string{
			"organization_id": "org_1", "first_screen": "x", "identifier": "x",
		}}, false},
		{"an extra parameter with any text", request{Extra: map[string]string{"audience": "https://api.test/?x=y z"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := tt.req.Check(tt.logto); err != nil {
				t.Errorf("got %v; want no mistake", err)
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1025)
	many, crowd := make([]string, 33), map[string]string{}
	for i := range many {
		crowd[strconv.Itoa(i)] = "x"
	}
	for _, tt := range []struct {
		name string
		req  request
		want string // without "signin: "
	}{
		{"an unknown screen", request{FirstScreen: "signup"},
			`FirstScreen: unknown screen "signup"; there are sign_in, register, reset_password, identifier:sign_in, identifier:register, single_sign_on`},
		{"a screen in other case", request{FirstScreen: "Register"}, `FirstScreen: unknown screen "Register"; `},
		{"a screen of a megabyte", request{FirstScreen: strings.Repeat("\n", 1<<20)}, strings.Repeat(`\n`, 64) + `"; there are`},
		{"an unknown identifier", request{FirstScreen: "identifier:sign_in", Identifiers: []string{"e-mail"}},
			`Identifiers: "e-mail" is not one of email, phone, username`},
		{"an identifier given twice", request{FirstScreen: "identifier:sign_in", Identifiers: []string{"email", "phone", "email"}},
			`Identifiers: "email" is given twice`},
		{"identifiers without a screen", request{Identifiers: []string{"email"}},
			"Identifiers: only the first screens identifier:sign_in and identifier:register ask for an identifier"},
		{"identifiers on a screen that does not ask", request{FirstScreen: "reset_password", Identifiers: []string{"email"}},
			"Identifiers: only the first screens"},
		{"a social target with a space", request{DirectSignIn: "social:na ver"}, "Social: not a connector's target or ID"},
		{"a social target with a line feed at the end", request{DirectSignIn: "social:naver\n"}, "Social: not a connector's target or ID"},
		{"no social target", request{DirectSignIn: "social:"}, "Social: not a connector's target or ID"},
		{"a long connector ID", request{DirectSignIn: "sso:" + strings.Repeat("x", 129)}, "EnterpriseSSO: not a connector's target or ID"},
		{"another method", request{DirectSignIn: "passkey:x"}, "Social: not a connector's target or ID"},
		{"a login hint with a line feed", request{LoginHint: "kim\nx"}, "LoginHint: contains a control character, or is not UTF-8"},
		{"a login hint with a C1 control", request{LoginHint: "kim\u0085"}, "LoginHint: contains a control character, or is not UTF-8"},
		{"a login hint that is not UTF-8", request{LoginHint: "\xff"}, "LoginHint: contains a control character, or is not UTF-8"},
		{"a long login hint", request{LoginHint: long}, "LoginHint: longer than 1024 bytes"},
		{"an unknown prompt", request{Prompt: []string{"signup"}}, `Prompt: "signup" is not one of none, login, consent, select_account`},
		{"an empty prompt", request{Prompt: []string{""}}, `Prompt: "" is not one of`},
		{"two prompts in one value", request{Prompt: []string{"login consent"}}, `Prompt: "login consent" is not one of`},
		{"a prompt given twice", request{Prompt: []string{"login", "login"}}, `Prompt: "login" is given twice`},
		{"none with another prompt", request{Prompt: []string{"none", "login"}}, "Prompt: none stands alone"},
		{"a negative maximal age", request{Demand: demand{MaxAge: -time.Second, MaxAgeAsked: true}}, "MaxAge: -1s is negative"},
		{"half a second", request{Demand: demand{MaxAge: 500 * time.Millisecond, MaxAgeAsked: true}}, "MaxAge: 500ms is not a whole number of seconds"},
		{"a context with a space", request{Demand: demand{ACR: []string{"a b"}}}, `ACRValues: "a b" is empty, or has spaces`},
		{"an empty context", request{Demand: demand{ACR: []string{""}}}, `ACRValues: "" is empty, or has spaces`},
		{"long contexts", request{Demand: demand{ACR: []string{long[:512], "y" + long[:511]}}}, "ACRValues: longer than 1024 bytes"},
		{"a locale with an underscore", request{UILocales: []string{"ko_KR"}}, `UILocales: "ko_KR" is not a BCP 47 language tag`},
		{"too many locales", request{UILocales: many}, "UILocales: more than 32 values"},
		{"no one-time token, though there has to be one", request{OneTimeAsked: true}, "OneTimeToken: there is neither a token nor an e-mail address"},
		{"a one-time token without an address", request{OneTimeToken: "secret"}, "OneTimeToken: the token needs the e-mail address to which it was sent"},
		{"a one-time token with half an address", request{OneTimeToken: "secret", OneTimeEmail: "kim@"}, "OneTimeToken: the token needs the e-mail address"},
		{"a one-time token with a long address", request{OneTimeToken: "t", OneTimeEmail: "a@" + long}, "OneTimeToken: longer than 1024 bytes"},
		{"an address without a one-time token", request{OneTimeEmail: "kim@example.com"}, "OneTimeToken: the token is empty, too long"},
		{"a long one-time token", request{OneTimeToken: long, OneTimeEmail: "a@b.c"}, "OneTimeToken: the token is empty, too long"},
		{"a one-time token for another person than the hint", request{LoginHint: "kim", OneTimeToken: "t", OneTimeEmail: "kim@example.com"},
			"LoginHint: differs from the e-mail address of OneTimeToken, which is the login hint"},
		{"an organization ID with a slash", request{Organization: "org/1"}, "OrganizationBranding: not an organization ID"},
		{"an extra parameter without a name", request{Extra: map[string]string{"": "x"}}, `ExtraParam: "" is not a parameter's name`},
		{"an extra parameter with an ampersand", request{Extra: map[string]string{"a&b": "x"}}, `ExtraParam: "a&b" is not a parameter's name`},
		{"an extra parameter without a value", request{Extra: map[string]string{"x": ""}}, `ExtraParam: "x" has no value`},
		{"an extra parameter with a NUL", request{Extra: map[string]string{"x": "\x00"}}, `ExtraParam: "x": contains a control character`},
		{"too many extra parameters", request{Extra: crowd}, "ExtraParam: more than 32 parameters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := lines(tt.req.Check(true))
			if len(got) != 1 || !strings.HasPrefix(got[0], "signin: ") || !strings.Contains(got[0], tt.want) {
				t.Errorf("got %q; want one mistake: %q", got, tt.want)
			}
		})
	}
}

// lines are the mistakes of an error, or none.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestCheckRefusesParametersOfTheFlow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want  string
		names []string
	}{
		{"belongs to the flow", []string{"response_type", "response_mode", "state", "nonce", "code_challenge",
			"code_challenge_method", "code", "iss", "request", "request_uri", "registration", "dpop_jkt", "Nonce"}},
		{"must never be sent through a browser", []string{"client_secret", "client_assertion", "client_assertion_type",
			"code_verifier", "access_token", "refresh_token", "id_token_hint"}},
		{"comes from Config.ClientID", []string{"client_id", "CLIENT_ID"}},
		{"comes from Config.BaseURL and Config.Paths.Callback", []string{"redirect_uri"}},
		{"comes from Config.Scopes", []string{"scope"}},
		{"comes from Config.Resources", []string{"resource"}},
		{"is not supported: use MaxAge, ACRValues or Config.Scopes", []string{"claims"}},
		{"use Prompt instead", []string{"prompt"}},
		{"use MaxAge instead", []string{"max_age"}},
		{"use ACRValues instead", []string{"acr_values"}},
		{"use UILocales instead", []string{"ui_locales"}},
		{"use LoginHint instead", []string{"login_hint"}},
		{"use FirstScreen instead", []string{"first_screen", "interaction_mode"}},
		{"use Identifiers instead", []string{"identifier", "identifiers"}},
		{"use Social or EnterpriseSSO instead", []string{"direct_sign_in"}},
		{"use OneTimeToken instead", []string{"one_time_token"}},
		{"use OrganizationBranding instead", []string{"organization_id"}},
	} {
		for _, name := range tt.names {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				req := request{Extra: map[string]string{name: "c4nary"}}
				got := lines(req.Check(true))
				if len(got) != 1 || !strings.HasPrefix(got[0], fmt.Sprintf("signin: ExtraParam: %q ", name)) || !strings.HasSuffix(got[0], tt.want) {
					t.Errorf("got %q; want one mistake that ends with %q", got, tt.want)
				}
			})
		}
	}
}

func TestCheckRefusesLogtosOptionsElsewhere(t *testing.T) {
	t.Parallel()
	req := full()
	req.FirstScreen, req.Identifiers = "identifier:register", []string{"email"}
	var want []string
	for _, option := range []string{"FirstScreen", "Identifiers", "Social", "OneTimeToken", "OrganizationBranding"} {
		want = append(want, "signin: "+option+": is for Logto only (Config.LogtoEndpoint instead of Config.Issuer)")
	}
	if got := lines(req.Check(false)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := lines((&request{OneTimeAsked: true}).Check(false)); !slices.Contains(got, "signin: OneTimeToken: is for Logto only (Config.LogtoEndpoint instead of Config.Issuer)") {
		t.Errorf("no one-time token: got %q; want it refused", got)
	}
	sso := request{DirectSignIn: "sso:x"}
	if got := lines(sso.Check(false)); len(got) != 1 || !strings.HasPrefix(got[0], "signin: EnterpriseSSO: is for Logto only") {
		t.Errorf("got %q; want EnterpriseSSO refused", got)
	}
}

// Each half of a magic link is Logto's own.
func TestCheckRefusesHalfAMagicLinkElsewhere(t *testing.T) {
	t.Parallel()
	for _, r := range []request{{OneTimeToken: "tok"}, {OneTimeEmail: "kim@example.com"}} {
		if err := r.Check(false); err == nil || !strings.Contains(err.Error(), "is for Logto only") {
			t.Errorf("%+v: got %v; want an error that it is for Logto only", r, err)
		}
	}
}

func TestCheckReportsEverythingAtOnceAndNothingPersonal(t *testing.T) {
	t.Parallel()
	req := request{
		FirstScreen:  "x",
		Identifiers:  []string{"x"},
		DirectSignIn: "sso:",
		LoginHint:    "c4nary\n",
		Prompt:       []string{"none", "x"},
		Demand:       demand{MaxAge: -time.Millisecond, MaxAgeAsked: true, ACR: []string{" "}},
		UILocales:    []string{"_"},
		OneTimeToken: "c4nary\n",
		OneTimeEmail: "c4nary\n@example.com",
		Organization: "/",
		Extra:        map[string]string{"&": "c4nary", "state": "c4nary\n"},
	}
	err := req.Check(true)
	if err == nil {
		t.Fatal("got no mistake")
	}
	for _, option := range []string{"FirstScreen", "Identifiers", "EnterpriseSSO", "LoginHint", "Prompt", "MaxAge", "ACRValues",
		"UILocales", "OneTimeToken", "OrganizationBranding", "ExtraParam"} {
		if !strings.Contains(err.Error(), "signin: "+option+": ") {
			t.Errorf("got no mistake of %s in:\n%v", option, err)
		}
	}
	if strings.Contains(err.Error(), "c4nary") {
		t.Errorf("got a value that may be personal or secret in:\n%v", err)
	}
}

func ExampleRequest_Check() {
	req := authflow.Request{FirstScreen: "reset_password", Identifiers: []string{"mail"}, Prompt: []string{"none", "login"}}
	fmt.Println(req.Check(true))
	// Output:
	// signin: Identifiers: "mail" is not one of email, phone, username
	// signin: Identifiers: only the first screens identifier:sign_in and identifier:register ask for an identifier
	// signin: Prompt: none stands alone
}
