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
// The package does not judge tokens. It never looks for one in a query or a form,
// since queries end up in logs and histories
// (https://www.rfc-editor.org/rfc/rfc9700#section-4.3.2).
package bearer

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Code is why a token is refused. A request without a token gets the empty Code,
// since the client has not tried to authenticate.
type Code string

// The codes, with the status of each:
// https://www.rfc-editor.org/rfc/rfc6750#section-3.1
const (
	CodeInvalidRequest    Code = "invalid_request"    // 400
	CodeInvalidToken      Code = "invalid_token"      // 401
	CodeInsufficientScope Code = "insufficient_scope" // 403
	// https://www.rfc-editor.org/rfc/rfc9470#section-3
	CodeInsufficientUserAuthentication Code = "insufficient_user_authentication" // 401
)

// Challenge is what a WWW-Authenticate header says
// (https://www.rfc-editor.org/rfc/rfc6750#section-3). The zero Challenge is for a
// request without a token. Values that are empty or malformed are left out.
type Challenge struct {
	Error     Code
	Scope     string   // the scopes that the request needs, with spaces between them
	ACRValues []string // the authentication context classes, of which it needs one
	// MaxAge, unless nil, is the longest time since the person authenticated. It is
	// rounded down to seconds; a negative one becomes 0.
	MaxAge *time.Duration
}

// String returns the header's value. No value in c can end a parameter or the
// header early.
func (c Challenge) String() string {
	var params []string
	param := func(name, value string) {
		if value != "" {
			params = append(params, name+`="`+value+`"`)
		}
	}
	switch c.Error {
	case CodeInvalidRequest, CodeInvalidToken, CodeInsufficientScope, CodeInsufficientUserAuthentication:
		param("error", string(c.Error))
	}
	param("scope", words(strings.Split(c.Scope, " ")))
	param("acr_values", words(c.ACRValues))
	if c.MaxAge != nil {
		param("max_age", strconv.FormatInt(max(0, int64(*c.MaxAge/time.Second)), 10))
	}
	// "This scheme MUST be followed by one or more auth-param values."
	if params == nil {
		return scheme + ` realm=""`
	}
	return scheme + " " + strings.Join(params, ", ")
}

// https://www.rfc-editor.org/rfc/rfc6749#section-3.3, "scope-token"
var word = regexp.MustCompile(`^[!#-\[\]-~]+$`)

// words joins the values that have the form of scopes and so need no escaping.
func words(values []string) string {
	malformed := func(s string) bool { return !word.MatchString(s) }
	return strings.Join(slices.DeleteFunc(slices.Clone(values), malformed), " ")
}

// maxChallenges limits how many bytes of an answer's challenges are read: net/http
// accepts ten megabytes of headers.
const maxChallenges = 16 << 10

// The grammar of a list of challenges. Commas are between challenges as well as
// between parameters: a parameter belongs to the last scheme before it.
// https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
const (
	token   = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	token68 = `[A-Za-z0-9._~+/-]+=*`
	quoted  = `"(?:[^"\\]|\\.)*"`
	equals  = `[ \t]*=[ \t]*`
	comma   = `[ \t]*,[ \t,]*` // with the empty elements after it
	param   = token + equals + `(?:` + token + `|` + quoted + `)`
	element = `(?:(?:` + token + ` +)?` + param + `|` + token + `(?: +` + token68 + `)?)`
	invalid = string(CodeInvalidToken)
)

// saysInvalidToken matches a Bearer challenge with that error and a comma after it.
// Everything before it must be well formed, so that the text of another parameter
// does not match.
var saysInvalidToken = regexp.MustCompile(`(?s)\A[ \t,]*(?:` + element + comma + `)*` +
	`(?i:` + scheme + `) +(?:` + comma + `)?(?:` + param + comma + `)*` +
	`(?i:error)` + equals + `(?:` + invalid + `|"` + escaped(invalid) + `")` + comma)

// escaped returns an expression for a text whose characters may be quoted-pairs:
// https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4
func escaped(text string) string {
	return `\\?` + strings.Join(strings.Split(text, ""), `\\?`)
}

// InvalidToken reports whether the answer of an API says, in a Bearer challenge,
// that the token was revoked, has expired, or is invalid for another reason.
// Challenges of other schemes are ignored, and so is everything after a malformed
// one. Only lines within the first 16 KB are read.
func InvalidToken(h http.Header) bool {
	// Several lines mean the same as one that joins them with commas:
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
