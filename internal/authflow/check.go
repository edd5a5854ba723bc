package authflow

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// A URL with a few parameters of this length still passes every proxy.
	maxValue = 1024
	maxCount = 32 // values of one option
)

var (
	screens     = []string{"sign_in", "register", "reset_password", "identifier:sign_in", "identifier:register", "single_sign_on"}
	identifiers = []string{"email", "phone", "username"}
	prompts     = []string{"none", "login", "consent", "select_account"}
	// Logto answers invalid_request to any other.
	promptsAtLogto = []string{"none", "login", "consent"}

	connector    = regexp.MustCompile(`^(social|sso):[A-Za-z0-9_-]{1,128}$`)
	organization = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	// The outer form of https://www.rfc-editor.org/rfc/rfc5646#section-2.1
	locale = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,8}$`)
	// Every address has this form. So does some text that is not an address.
	email   = regexp.MustCompile(`^[^\s@]+@[^\s@]+$`)
	visible = regexp.MustCompile(`^[!-~]+$`) // 1*VSCHAR
	// https://www.rfc-editor.org/rfc/rfc6749#appendix-A, "param-name"
	paramName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
)

type mistakes []error

// add records a mistake in an option. Values in the message may come from a
// request, so they are quoted and cut short (%.64q).
func (m *mistakes) add(option, format string, args ...any) {
	*m = append(*m, fmt.Errorf("signin: %s: %s", option, fmt.Sprintf(format, args...)))
}

// Check reports every mistake in r at once, each under the name of the option that
// the application used. Unless the provider is Logto, Logto's own options are
// mistakes; if it is Logto, so is what Logto never does.
func (r *Request) Check(logto bool) error {
	var m mistakes
	r.checkPages(&m, logto)
	r.checkOneTimeToken(&m)
	m.text("LoginHint", r.LoginHint)
	r.checkPrompt(&m, logto)
	if r.MaxAge < 0 {
		m.add("MaxAge", "%v is negative", r.MaxAge)
	}
	if r.MaxAge%time.Second != 0 {
		m.add("MaxAge", "%v is not a whole number of seconds", r.MaxAge)
	}
	m.list("ACRValues", r.ACR, visible.MatchString, "is empty, or has spaces or characters beyond ASCII")
	if logto && len(r.ACR) > 0 {
		m.add("ACRValues", "%.64q cannot be met: %s", strings.Join(r.ACR, " "), noClasses)
	}
	m.list("UILocales", r.UILocales, locale.MatchString, "is not a BCP 47 language tag such as en or ko-KR")
	r.checkExtra(&m, logto)
	return errors.Join(m...)
}

// checkPages checks the options that say which of the provider's pages people see.
func (r *Request) checkPages(m *mistakes, logto bool) {
	direct, target := "Social", strings.TrimPrefix(r.DirectSignIn, "social:")
	if id, sso := strings.CutPrefix(r.DirectSignIn, "sso:"); sso {
		direct, target = "EnterpriseSSO", id
	}
	switch {
	case r.FirstScreen == "":
	case !slices.Contains(screens, r.FirstScreen):
		m.add("FirstScreen", "unknown screen %.64q; there are %s", r.FirstScreen, strings.Join(screens, ", "))
	case !logto && r.FirstScreen != register:
		m.add("FirstScreen", "%q is for Logto only (Config.LogtoEndpoint instead of Config.Issuer); other providers have %s", r.FirstScreen, register)
	}
	if !logto {
		m.logtoOnly("Identifiers", len(r.Identifiers) > 0)
		m.logtoOnly(direct, r.DirectSignIn != "")
		m.logtoOnly("OneTimeToken", r.OneTimeToken != "" || r.OneTimeEmail != "" || r.OneTimeAsked)
		m.logtoOnly("OrganizationBranding", r.Organization != "")
	}
	m.known("Identifiers", r.Identifiers, identifiers)
	if len(r.Identifiers) > 0 && !strings.HasPrefix(r.FirstScreen, "identifier:") {
		m.add("Identifiers", "only the first screens identifier:sign_in and identifier:register ask for an identifier; it is %.64q", r.FirstScreen)
	}
	if r.DirectSignIn != "" && !connector.MatchString(r.DirectSignIn) {
		m.add(direct, "%.64q is not a connector's target or ID (letters, digits, - and _)", target)
	}
	if r.Organization != "" && !organization.MatchString(r.Organization) {
		m.add("OrganizationBranding", "%.64q is not an organization ID (letters, digits, - and _)", r.Organization)
	}
}

func (r *Request) checkPrompt(m *mistakes, logto bool) {
	if logto {
		m.list("Prompt", r.Prompt, func(s string) bool { return slices.Contains(promptsAtLogto, s) },
			"is not one of "+strings.Join(promptsAtLogto, ", ")+", which are all that Logto knows; with login, people can choose another account")
	} else {
		m.known("Prompt", r.Prompt, prompts)
	}
	// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
	if len(r.Prompt) > 1 && r.Silent() {
		m.add("Prompt", "none cannot be combined with others, here %.64q", strings.Join(r.Prompt, " "))
	}
}

func (r *Request) checkOneTimeToken(m *mistakes) {
	if r.OneTimeToken == "" && r.OneTimeEmail == "" {
		if r.OneTimeAsked {
			m.add("OneTimeToken", "both the token and the e-mail address are missing")
		}
		return
	}
	if !visible.MatchString(r.OneTimeToken) || len(r.OneTimeToken) > maxValue {
		m.add("OneTimeToken", "the token is empty, too long, or has spaces or characters beyond ASCII")
	}
	if !email.MatchString(r.OneTimeEmail) {
		m.add("OneTimeToken", "the token needs the e-mail address to which it was sent")
	} else {
		m.text("OneTimeToken", r.OneTimeEmail)
	}
	if r.LoginHint != "" && r.LoginHint != r.OneTimeEmail {
		m.add("LoginHint", "differs from the e-mail address of OneTimeToken, which is the login hint")
	}
}

func (r *Request) checkExtra(m *mistakes, logto bool) {
	if len(r.Extra) > maxCount {
		m.add("ExtraParam", "more than %d parameters", maxCount)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.Extra)) {
		if !paramName.MatchString(name) {
			m.add("ExtraParam", "%.64q is not a parameter's name", name)
			continue
		}
		if r.Extra[name] == "" {
			// "Parameters sent without a value MUST be treated as if they were omitted":
			// https://www.rfc-editor.org/rfc/rfc6749#section-3.1
			m.add("ExtraParam", "%.64q has no value", name)
		}
		if why := reserved(name, logto); why != "" {
			m.add("ExtraParam", "%.64q %s", name, why)
		}
		m.text(fmt.Sprintf("ExtraParam: %.64q", name), r.Extra[name])
	}
}

// logtoOnly refuses an option that another provider would ignore or misunderstand.
func (m *mistakes) logtoOnly(option string, used bool) {
	if used {
		m.add(option, "is for Logto only (Config.LogtoEndpoint instead of Config.Issuer)")
	}
}

// text checks a free-form value. Its mistakes do not repeat the value.
func (m *mistakes) text(option, s string) {
	if len(s) > maxValue {
		m.add(option, "longer than %d bytes", maxValue)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		m.add(option, "contains a control character, or is not UTF-8")
	}
}

func (m *mistakes) known(option string, values, known []string) {
	m.list(option, values, func(s string) bool { return slices.Contains(known, s) }, "is not one of "+strings.Join(known, ", "))
}

// list checks values that are sent in one parameter, with spaces between them.
func (m *mistakes) list(option string, values []string, ok func(string) bool, otherwise string) {
	if len(values) > maxCount {
		m.add(option, "more than %d values", maxCount)
		return
	}
	for i, s := range values {
		if !ok(s) {
			m.add(option, "%.64q %s", s, otherwise)
		} else if slices.Contains(values[:i], s) {
			m.add(option, "%.64q is given twice", s)
		}
	}
	if len(strings.Join(values, " ")) > maxValue {
		m.add(option, "longer than %d bytes", maxValue)
	}
}
