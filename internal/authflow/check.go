package authflow

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxValue bounds one parameter, in bytes: a URL with a few of them still passes
	// every proxy.
	maxValue = 1024
	// maxCount bounds the values of one option.
	maxCount = 32
)

var (
	screens     = []string{"sign_in", "register", "reset_password", "identifier:sign_in", "identifier:register", "single_sign_on"}
	identifiers = []string{"email", "phone", "username"}
	prompts     = []string{"none", "login", "consent", "select_account"}

	// identifier fits connector targets, connector IDs and organization IDs.
	identifier = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	// locale is the outer form of https://www.rfc-editor.org/rfc/rfc5646#section-2.1
	locale = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,8}$`)
	// email is what every address looks like, and some that are not addresses.
	email = regexp.MustCompile(`^[^\s@]+@[^\s@]+$`)
	// visible is 1*VSCHAR.
	visible = regexp.MustCompile(`^[!-~]+$`)
	// paramName is https://www.rfc-editor.org/rfc/rfc6749#appendix-A; "param-name".
	paramName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
)

// mistakes gathers what is wrong, so that all of it is reported at once.
type mistakes []error

// add records a mistake, under the name by which the application knows the option.
func (m *mistakes) add(option, format string, args ...any) {
	*m = append(*m, fmt.Errorf("signin: %s: %s", option, fmt.Sprintf(format, args...)))
}

// Check reports every mistake in r at once, each with the name of the option by
// which it was made. With logto, the provider is Logto; if it is not, the options
// that are Logto's own are mistakes.
func (r *Request) Check(logto bool) error {
	var m mistakes
	if !logto {
		r.checkForeign(&m)
	}
	r.checkScreen(&m)
	r.checkDirectSignIn(&m)
	r.checkOneTimeToken(&m)
	if r.Organization != "" && !identifier.MatchString(r.Organization) {
		m.add("OrganizationBranding", "not an organization ID (letters, digits, - and _)")
	}
	m.text("LoginHint", r.LoginHint)
	r.checkPrompt(&m)
	if r.MaxAgeSet && r.MaxAge < 0 {
		m.add("MaxAge", "%v is negative", r.MaxAge)
	}
	if r.MaxAgeSet && r.MaxAge%time.Second != 0 {
		m.add("MaxAge", "%v is not a whole number of seconds", r.MaxAge)
	}
	m.list("ACRValues", r.ACRValues, func(s string) string {
		if !visible.MatchString(s) {
			return "is empty, or has spaces or characters beyond ASCII"
		}
		return ""
	})
	m.list("UILocales", r.UILocales, func(s string) string {
		if !locale.MatchString(s) {
			return "is not a BCP 47 language tag such as en or ko-KR"
		}
		return ""
	})
	r.checkExtra(&m, logto)
	return errors.Join(m...)
}

// checkForeign finds Logto's own options in a request to another provider, where
// they would have no effect, or a different one.
func (r *Request) checkForeign(m *mistakes) {
	for _, own := range []struct {
		option string
		used   bool
	}{
		{"FirstScreen", r.FirstScreen != ""},
		{"Identifiers", len(r.Identifiers) > 0},
		{r.directOption(), r.DirectSignIn != ""},
		{"OneTimeToken", r.OneTimeToken != "" || r.OneTimeEmail != "" || r.OneTimeAsked},
		{"OrganizationBranding", r.Organization != ""},
	} {
		if own.used {
			m.add(own.option, "is for Logto only (Config.LogtoEndpoint instead of Config.Issuer)")
		}
	}
}

func (r *Request) checkScreen(m *mistakes) {
	if r.FirstScreen != "" && !slices.Contains(screens, r.FirstScreen) {
		m.add("FirstScreen", "unknown screen %s; there are %s", quote(r.FirstScreen), strings.Join(screens, ", "))
	}
	m.list("Identifiers", r.Identifiers, oneOf(identifiers))
	if len(r.Identifiers) > 0 && !strings.HasPrefix(r.FirstScreen, "identifier:") {
		m.add("Identifiers", "only the first screens identifier:sign_in and identifier:register ask for an identifier")
	}
}

func (r *Request) checkDirectSignIn(m *mistakes) {
	if r.DirectSignIn == "" {
		return
	}
	method, name, _ := strings.Cut(r.DirectSignIn, ":")
	if (method != "social" && method != "sso") || !identifier.MatchString(name) {
		m.add(r.directOption(), "not a connector's target or ID (letters, digits, - and _)")
	}
}

// directOption is the option by which DirectSignIn was set.
func (r *Request) directOption() string {
	if strings.HasPrefix(r.DirectSignIn, "sso:") {
		return "EnterpriseSSO"
	}
	return "Social"
}

func (r *Request) checkOneTimeToken(m *mistakes) {
	if r.OneTimeToken == "" && r.OneTimeEmail == "" {
		if r.OneTimeAsked {
			m.add("OneTimeToken", "there is neither a token nor an e-mail address")
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

func (r *Request) checkPrompt(m *mistakes) {
	m.list("Prompt", r.Prompt, oneOf(prompts))
	// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
	if len(r.Prompt) > 1 && slices.Contains(r.Prompt, "none") {
		m.add("Prompt", "none stands alone")
	}
}

func (r *Request) checkExtra(m *mistakes, logto bool) {
	if len(r.Extra) > maxCount {
		m.add("ExtraParam", "more than %d parameters", maxCount)
		return
	}
	var seen []string
	for _, extra := range r.Extra {
		name, value := extra[0], extra[1]
		switch {
		case !paramName.MatchString(name):
			m.add("ExtraParam", "%s is not a parameter's name", quote(name))
			continue
		case slices.Contains(seen, name):
			// "parameters MUST NOT be included more than once"
			// https://www.rfc-editor.org/rfc/rfc6749#section-3.1
			m.add("ExtraParam", "%s is given twice", quote(name))
			continue
		case value == "":
			// "Parameters sent without a value MUST be treated as if they were omitted"
			m.add("ExtraParam", "%s has no value", quote(name))
		}
		seen = append(seen, name)
		if why := reserved(name, logto); why != "" {
			m.add("ExtraParam", "%s %s", quote(name), why)
		}
		m.text("ExtraParam: "+quote(name), value)
	}
}

// text checks a value of free form. The value is not repeated.
func (m *mistakes) text(option, s string) {
	if len(s) > maxValue {
		m.add(option, "longer than %d bytes", maxValue)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		m.add(option, "contains a control character, or is not UTF-8")
	}
}

// list checks the values of an option that takes several: each by wrong, which
// says what is wrong with it, and that no value is repeated. They are sent in one
// parameter, with spaces between them.
func (m *mistakes) list(option string, values []string, wrong func(string) string) {
	if len(values) > maxCount {
		m.add(option, "more than %d values", maxCount)
		return
	}
	for i, s := range values {
		if why := wrong(s); why != "" {
			m.add(option, "%s %s", quote(s), why)
		} else if slices.Contains(values[:i], s) {
			m.add(option, "%s is given twice", quote(s))
		}
	}
	if len(strings.Join(values, " ")) > maxValue {
		m.add(option, "longer than %d bytes", maxValue)
	}
}

func oneOf(known []string) func(string) string {
	return func(s string) string {
		if slices.Contains(known, s) {
			return ""
		}
		return "is not one of " + strings.Join(known, ", ")
	}
}

// quote makes s safe to print, and short: it may come from a request.
func quote(s string) string {
	if len(s) > 64 {
		return fmt.Sprintf("%q and %d more bytes", s[:64], len(s)-64)
	}
	return fmt.Sprintf("%q", s)
}
