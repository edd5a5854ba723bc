package signintest

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// logtoParams are Logto's parameters beyond OpenID Connect. If one has an unknown
// value, Logto ignores all of them, without an error.
var logtoParams = []string{
	"first_screen", "interaction_mode", "identifier", "direct_sign_in", "login_hint",
	"one_time_token", "organization_id", "ui_locales", "resource",
}

// languageTag matches as much of BCP 47 as a sign-in page needs.
// https://www.rfc-editor.org/rfc/rfc5646#section-2.1
var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

func validLogtoParams(q url.Values) bool {
	oneOf := func(name string, values ...string) bool {
		return !q.Has(name) || slices.Contains(values, q.Get(name))
	}
	each := func(name string, valid func(string) bool) bool {
		if !q.Has(name) {
			return true
		}
		fields := strings.Fields(q.Get(name))
		return len(fields) > 0 && !slices.ContainsFunc(fields, func(s string) bool { return !valid(s) })
	}
	filled := func(name string) bool { return !q.Has(name) || q.Get(name) != "" }
	return oneOf("first_screen", "sign_in", "register", "reset_password",
		"identifier:sign_in", "identifier:register", "single_sign_on") &&
		oneOf("interaction_mode", "signIn", "signUp") &&
		each("identifier", func(s string) bool { return slices.Contains([]string{"email", "phone", "username"}, s) }) &&
		each("ui_locales", languageTag.MatchString) &&
		(!q.Has("direct_sign_in") || validDirectSignIn(q.Get("direct_sign_in"))) &&
		filled("login_hint") && filled("one_time_token") && filled("organization_id") &&
		!slices.ContainsFunc(resourcesOf(q), func(s string) bool { return !validResource(s) })
}

func validDirectSignIn(s string) bool {
	method, target, ok := strings.Cut(s, ":")
	return ok && target != "" && (method == "social" || method == "sso")
}

// validResource is the rule of https://www.rfc-editor.org/rfc/rfc8707#section-2:
// an absolute URI without a fragment.
func validResource(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && !strings.Contains(s, "#")
}

// resourcesOf returns the resources asked for: the parameter is repeated, or
// holds several, with commas between them.
func resourcesOf(q url.Values) []string {
	var out []string
	for _, value := range q["resource"] {
		out = append(out, strings.Split(value, ",")...)
	}
	return out
}

// firstPage returns the address of the first page that the user sees.
// direct_sign_in, if its connector exists, takes precedence over first_screen,
// and that over interaction_mode.
func (p *Provider) firstPage(in *interaction) string {
	q := in.params
	if c := q.Get("direct_sign_in"); slices.Contains(p.settings.connectors, c) {
		return p.pageURL("/connect/"+url.PathEscape(c), in.id)
	}
	screen := q.Get("first_screen")
	if screen == "" && q.Get("interaction_mode") == "signUp" {
		screen = "register"
	}
	if screen == "register" || screen == "identifier:register" {
		return p.pageURL("/register", in.id)
	}
	return p.pageURL("/sign-in", in.id)
}

// OneTimeToken returns a token for a magic link. An authorization request with
// the token as one_time_token and with email as login_hint signs the user in
// without a page, once. A user without an account gets one.
func (p *Provider) OneTimeToken(email string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	token := p.secret(usual)
	p.oneTime[token] = email
	return token
}

// byOneTimeToken uses up the one-time token in params. p.mu is held.
func (p *Provider) byOneTimeToken(params url.Values) (User, bool) {
	token := params.Get("one_time_token")
	email, ok := p.oneTime[token]
	if !ok || email != params.Get("login_hint") {
		return User{}, false
	}
	delete(p.oneTime, token)
	u, known := p.identified(email)
	if !known {
		return p.newUser("", email), true
	}
	return p.active(u.Subject)
}
