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
	"strconv"
	"strings"
	"time"
)

// Code is why a token does not do. The empty Code goes with a request that has
// presented none: whoever did not ask to be let in is not told that they failed.
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

// InvalidToken reports whether the answer of an API says, in a challenge to bearer
// tokens, that the one presented is no good: revoked, expired, or otherwise. What
// other schemes say does not count, nor what stands in the text of a parameter. A
// line is believed up to where it is ill formed, and nothing beyond the first 16 KB
// of all lines, up to the last line that is whole.
func InvalidToken(h http.Header) bool {
	var c challenges
	left := maxChallenges
	// Several lines say what one says that joins them by commas.
	// https://www.rfc-editor.org/rfc/rfc9110#section-5.3
	for _, line := range h.Values("WWW-Authenticate") {
		if left -= len(line); left < 0 {
			return false
		}
		c.rest = line
		for c.next() {
			if strings.EqualFold(c.scheme, scheme) && strings.EqualFold(c.name, "error") && c.value == string(CodeInvalidToken) {
				return true
			}
		}
	}
	return false
}

// challenges reads a list of challenges, parameter by parameter:
//
//	challenge = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
//
// Commas part challenges and parameters alike, so that what follows tells which of
// them has begun (https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1).
type challenges struct {
	rest string
	// scheme is that of the challenge begun last, "" if it takes no parameters.
	scheme string
	// name and value are the parameter that next has found.
	name, value string
}

// next goes on to the next parameter. It returns false at the end of the line, and
// where the line is ill formed.
func (c *challenges) next() bool {
	for {
		c.rest = strings.TrimLeft(c.rest, ", \t")
		if c.rest == "" {
			return false
		}
		if !c.atParam() {
			if !c.begin() {
				break
			}
			if ends(c.rest) {
				continue
			}
		}
		if !c.param() {
			break
		}
		return true
	}
	c.scheme, c.rest = "", ""
	return false
}

// atParam reports whether a parameter comes next.
func (c *challenges) atParam() bool {
	n := token(c.rest)
	return n > 0 && strings.HasPrefix(trim(c.rest[n:]), "=")
}

// begin reads the beginning of a challenge: its scheme and, if that is all it has,
// a token68. It returns false if what comes next is no scheme, or if neither a
// space nor the end of the element follows it.
func (c *challenges) begin() bool {
	n := token(c.rest)
	arguments := strings.TrimLeft(c.rest[n:], " ")
	if len(arguments) == len(c.rest[n:]) && !ends(arguments) {
		return false
	}
	c.scheme, c.rest = c.rest[:n], arguments
	if n := token68(arguments); n > 0 && ends(arguments[n:]) {
		c.scheme, c.rest = "", arguments[n:]
	}
	return true
}

// param reads a parameter, token BWS "=" BWS ( token / quoted-string ). It returns
// false if it is ill formed.
func (c *challenges) param() bool {
	if !c.atParam() {
		return false
	}
	n := token(c.rest)
	c.name = c.rest[:n]
	value := trim(trim(c.rest[n:])[1:])
	if n = token(value); n > 0 {
		c.value, c.rest = value[:n], value[n:]
		return ends(c.rest)
	}
	var ok bool
	c.value, c.rest, ok = quoted(value)
	return ok && ends(c.rest)
}

// quoted returns what a quoted-string at the beginning of s says, and what comes
// behind it. https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4
func quoted(s string) (text, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// token returns how many bytes s begins with that are a token.
// https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
func token(s string) int {
	n := 0
	for n < len(s) && (alphanumeric(s[n]) || strings.IndexByte("!#$%&'*+-.^_`|~", s[n]) >= 0) {
		n++
	}
	return n
}

// ends reports whether an element of a list ends here.
func ends(s string) bool {
	s = trim(s)
	return s == "" || s[0] == ','
}

// trim takes optional white space from the beginning.
func trim(s string) string { return strings.TrimLeft(s, " \t") }
