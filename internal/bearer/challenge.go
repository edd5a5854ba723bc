// Package bearer reads and writes what HTTP says about bearer tokens: the
// Authorization header in which one is presented to an API, and the
// WWW-Authenticate header in which the API answers.
//
//	token, present, err := bearer.Token(r.Header)
//	switch {
//	case !present || err == bearer.ErrScheme:
//		w.Header().Set("WWW-Authenticate", bearer.Challenge{}.String()) // 401
//	case err != nil:
//		w.Header().Set("WWW-Authenticate", bearer.Challenge{Error: bearer.CodeInvalidRequest}.String()) // 400
//	}
//
// It knows the form of headers and nothing of tokens: whether one is any good is
// for others to say. A token in a query or a form is never looked for, since it
// would end up in logs and histories
// (https://www.rfc-editor.org/rfc/rfc9700#section-4.3.2).
package bearer

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Code is why a token does not do. The empty Code goes with a request that has
// presented none: a client that did not try has not failed.
type Code string

// https://www.rfc-editor.org/rfc/rfc6750#section-3.1, with the status that goes
// with each.
const (
	CodeInvalidRequest    Code = "invalid_request"    // 400
	CodeInvalidToken      Code = "invalid_token"      // 401
	CodeInsufficientScope Code = "insufficient_scope" // 403
	// https://www.rfc-editor.org/rfc/rfc9470#section-3
	CodeInsufficientUserAuthentication Code = "insufficient_user_authentication" // 401
)

// Challenge is what a WWW-Authenticate header says
// (https://www.rfc-editor.org/rfc/rfc6750#section-3). What is empty is left out; the
// zero Challenge is for a request without a token.
type Challenge struct {
	// Error that is none of the four above is left out.
	Error Code
	// Scope is what the request needs, parted by spaces. What is no scope is left
	// out (https://www.rfc-editor.org/rfc/rfc6749#section-3.3).
	Scope string
	// ACRValues are the authentication context classes of which the request needs
	// one; they have the form of scopes.
	ACRValues []string
	// MaxAge, unless nil, is how long ago the person may have authenticated. It is
	// rounded down to seconds, and 0 if negative.
	MaxAge *time.Duration
}

// String returns the header's value. Nothing in c can end a parameter or the header
// early.
func (c Challenge) String() string {
	var params []string
	param := func(name, value string) { params = append(params, name+`="`+value+`"`) }
	switch c.Error {
	case CodeInvalidRequest, CodeInvalidToken, CodeInsufficientScope, CodeInsufficientUserAuthentication:
		param("error", string(c.Error))
	}
	if scope := words(strings.Split(c.Scope, " ")); scope != "" {
		param("scope", scope)
	}
	if acr := words(c.ACRValues); acr != "" {
		param("acr_values", acr)
	}
	if c.MaxAge != nil {
		param("max_age", strconv.FormatInt(max(0, int64(*c.MaxAge/time.Second)), 10))
	}
	// "This scheme MUST be followed by one or more auth-param values."
	if params == nil {
		param("realm", "")
	}
	return scheme + " " + strings.Join(params, ", ")
}

// words joins those values that are scopes, which need no escape.
func words(values []string) string {
	var fit []string
	for _, s := range values {
		unfit := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
		if s != "" && !unfit {
			fit = append(fit, s)
		}
	}
	return strings.Join(fit, " ")
}

// maxChallenges is how much of an answer's challenges is read, in bytes: net/http
// lets ten megabytes of headers pass.
const maxChallenges = 16 << 10

// The grammar of a list of challenges. Commas part challenges and parameters alike:
// a parameter belongs to the last scheme before it.
// https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
const (
	token   = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	token68 = `[A-Za-z0-9._~+/-]+=*`
	quoted  = `"(?:[^"\\]|\\.)*"`
	equals  = `[ \t]*=[ \t]*`
	comma   = `[ \t]*,[ \t,]*` // and the empty elements behind it
	param   = token + equals + `(?:` + token + `|` + quoted + `)`
	element = `(?:(?:` + token + ` +)?` + param + `|` + token + `(?: +` + token68 + `)?)`
	invalid = string(CodeInvalidToken)
)

// saysInvalidToken finds a challenge to bearer tokens with that error, and a comma
// behind it. All before it must be well formed, so that what looks like one in the
// text of another parameter is not found.
var saysInvalidToken = regexp.MustCompile(`(?s)\A[ \t,]*(?:` + element + comma + `)*` +
	`(?i:` + scheme + `) +(?:` + comma + `)?(?:` + param + comma + `)*` +
	`(?i:error)` + equals + `(?:` + invalid + `|"` + escaped(invalid) + `")` + comma)

// escaped matches a text each of whose characters may be a quoted-pair.
// https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4
func escaped(text string) string {
	return `\\?` + strings.Join(strings.Split(text, ""), `\\?`)
}

// InvalidToken reports whether the answer of an API says, in a challenge to bearer
// tokens, that the one presented is no good: revoked, expired, or otherwise. What
// other schemes say does not count, nor what is ill formed or comes after it. No
// more than 16 KB is read, up to the last line that is whole.
func InvalidToken(h http.Header) bool {
	// Several lines say what one says that joins them by commas.
	// https://www.rfc-editor.org/rfc/rfc9110#section-5.3
	var said strings.Builder
	for _, line := range h.Values("WWW-Authenticate") {
		if said.Len()+len(line) > maxChallenges {
			break
		}
		said.WriteString(line + ",")
	}
	return saysInvalidToken.MatchString(said.String())
}
