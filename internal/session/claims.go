package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	exact "github.com/go-jose/go-jose/v4/json"
)

// Claim is a claim that handlers often read.
type Claim int

// These claims are found once, when a token has been verified.
const (
	Subject Claim = iota
	SessionID
	Name
	Picture
	Username // or else "preferred_username" of the same source
	Email
	EmailVerified
	PhoneNumber
	Roles
	Organizations
	OrganizationRoles
	ACR
	AuthTime
	rolesFrom // not a claim, but the setting by which Roles were found
	numClaims
)

// names are the claims' names in a token. They are compared exactly. A setting may say
// that Roles are elsewhere; see [ParseClaims].
var names = [numClaims]string{
	Subject: "sub", SessionID: "sid", Name: "name", Picture: "picture", Username: "username",
	Email: "email", EmailVerified: "email_verified", PhoneNumber: "phone_number", Roles: "roles",
	Organizations: "organizations", OrganizationRoles: "organization_roles", ACR: "acr", AuthTime: "auth_time",
}

// Claims are what a verified token says, and what userinfo adds to it. They are
// immutable and safe for concurrent use. The zero Claims say nothing.
type Claims struct {
	// json is the token's payload and, behind it, the extra claims.
	json    []byte
	payload int // its length
	// values holds the values of the claims, one after another: a string decoded,
	// any other type as its JSON. ends says where each of them ends.
	values string
	ends   [numClaims]uint16
	// replaces says that extra names claims which the payload names too.
	replaces bool
}

// OfSignIn are the claims that say which session the provider has begun, and when and
// how the person authenticated. They are true of the sign-in, whatever a later token
// says.
func OfSignIn() []string { return []string{"sid", "auth_time", "acr", "amr"} }

// ParseClaims reads the claims of a token's payload, a JSON object, and of extra,
// another one, or empty. If both have a claim, the payload's counts, since it is
// signed. But those of [OfSignIn] are extra's, even if they are null there: extra
// has them only where a refreshed token disagrees with the sign-in's.
//
// rolesClaim says where the roles are: the name of a claim or, if it begins with a slash,
// a JSON pointer (RFC 6901). Without it, or if it is empty, they are in "roles".
func ParseClaims(payload, extra string, rolesClaim ...string) (Claims, error) {
	if len(payload)+len(extra) > maxSize {
		return Claims{}, ErrTooLarge
	}
	token, err := members(payload)
	if err != nil {
		return Claims{}, err
	}
	var more map[string]json.RawMessage
	if extra != "" {
		if more, err = members(extra); err != nil {
			return Claims{}, err
		}
	}
	c := Claims{json: []byte(payload + extra), payload: len(payload)}
	for name := range more {
		_, twice := token[name]
		c.replaces = c.replaces || twice
	}
	var values strings.Builder
	for claim := range numClaims {
		values.WriteString(find(claim, strings.Join(rolesClaim, ""), token, more))
		if values.Len() > maxSize { // what is not UTF-8 grows when it is decoded
			return Claims{}, ErrTooLarge
		}
		c.ends[claim] = uint16(values.Len())
	}
	c.values = values.String()
	return c, nil
}

// find returns what Claims keep of a claim.
func find(claim Claim, rolesClaim string, token, more map[string]json.RawMessage) string {
	switch {
	case claim == rolesFrom:
		return rolesClaim
	case claim == Roles && rolesClaim != "":
		path := pathOf(rolesClaim)
		return first(claim, []json.RawMessage{at(token, path), at(more, path)})
	}
	return first(claim, sources(claim, names[claim], token, more))
}

// pathOf returns the names of the members that lead to the roles.
func pathOf(rolesClaim string) []string {
	pointer, ok := strings.CutPrefix(rolesClaim, "/")
	if !ok {
		return []string{rolesClaim}
	}
	path := strings.Split(pointer, "/")
	for i, name := range path {
		path[i] = unescape.Replace(name)
	}
	return path
}

// https://www.rfc-editor.org/rfc/rfc6901#section-4
var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// at returns the member of claims to which a path leads, or nil.
func at(claims map[string]json.RawMessage, path []string) json.RawMessage {
	for ; len(path) > 1; path = path[1:] {
		inner, err := members(string(claims[path[0]]))
		if err != nil {
			return nil
		}
		claims = inner
	}
	return claims[path[0]]
}

// sources returns where a claim may be found, the best first. What is signed comes
// first, with all its names: a claim of userinfo must not replace another that means
// the same.
func sources(claim Claim, name string, token, more map[string]json.RawMessage) []json.RawMessage {
	switch claim {
	case Username:
		const other = "preferred_username"
		return []json.RawMessage{token[name], token[other], more[name], more[other]}
	case SessionID, ACR, AuthTime:
		if kept, ok := more[name]; ok {
			return []json.RawMessage{kept}
		}
	}
	return []json.RawMessage{token[name], more[name]}
}

// members decodes a JSON object. Unlike encoding/json, it refuses an object that
// has a name twice.
func members(object string) (all map[string]json.RawMessage, err error) {
	if exact.Unmarshal([]byte(object), &all) != nil || all == nil { // null
		return nil, errors.New("signin: claims that are not a JSON object")
	}
	return all, nil
}

// first returns what Claims keep of the first value that has the type of its claim.
// A value of another type, null included, counts as absent: it must not become a
// role by accident.
func first(claim Claim, found []json.RawMessage) string {
	for _, raw := range found {
		if len(raw) == 0 {
			continue // json.Unmarshal would allocate an error
		}
		value := string(raw)
		switch claim {
		case EmailVerified:
			if value == "true" || value == `"true"` { // as Cognito and Apple write it
				return value
			}
		case AuthTime:
			if _, err := strconv.ParseFloat(value, 64); err == nil { // a string keeps its quotes, and fails
				return value
			}
		case Roles, Organizations, OrganizationRoles:
			if list := listed(raw); list != "" {
				return list
			}
		default:
			var s string
			if json.Unmarshal(raw, &s) == nil && s != "" {
				return s
			}
		}
	}
	return ""
}

// listed returns a list of strings in JSON, or "" for any other value. A single string
// counts as a list of one (ADFS and IdentityServer write lists so), and is not split.
// Elements of other types are left out: none of them names a role.
func listed(raw json.RawMessage) string {
	var one string
	switch {
	case raw[0] == '"' && json.Unmarshal(raw, &one) == nil && one != "":
		return string(raw)
	case raw[0] != '[':
		return ""
	}
	var all []json.RawMessage
	_ = json.Unmarshal(raw, &all) // members has read it
	texts := slices.DeleteFunc(slices.Clone(all), func(e json.RawMessage) bool { return e[0] != '"' })
	if len(texts) == len(all) {
		return string(raw)
	}
	text, _ := json.Marshal(texts)
	return string(text)
}

// Payload returns the token's payload.
func (c *Claims) Payload() string { return string(c.json[:c.payload]) }

// Extra returns the claims that the token does not have, a JSON object; empty
// for none.
func (c *Claims) Extra() string { return string(c.json[c.payload:]) }

// JSON returns all claims as one JSON object, each once. The bytes are shared, and
// must not be changed.
func (c *Claims) JSON() []byte {
	if c.replaces {
		return c.merged()
	}
	payload, extra := c.json[:c.payload:c.payload], c.json[c.payload:]
	claims, others := inside(payload), inside(extra)
	switch {
	case len(others) == 0:
		return payload
	case len(claims) == 0:
		return extra[:len(extra):len(extra)]
	}
	return bytes.Join([][]byte{[]byte("{"), claims, []byte(","), others, []byte("}")}, nil)
}

// merged is JSON where payload and extra name the same claims: of these, it has only
// extra's.
func (c *Claims) merged() []byte {
	all := make(map[string]json.RawMessage)
	_ = json.Unmarshal(c.json[:c.payload], &all) // ParseClaims has read both
	_ = json.Unmarshal(c.json[c.payload:], &all)
	text, _ := json.Marshal(all)
	return text
}

// inside returns what is between the braces of a JSON object.
func inside(object []byte) []byte {
	object = bytes.TrimPrefix(bytes.TrimSpace(object), []byte("{"))
	return bytes.TrimSpace(bytes.TrimSuffix(object, []byte("}")))
}

// Text returns a claim that is a string, or "" if it is absent.
func (c *Claims) Text(claim Claim) string {
	start := uint16(0)
	if claim > 0 {
		start = c.ends[claim-1]
	}
	return c.values[start:c.ends[claim]]
}

// True reports whether a claim is true.
func (c *Claims) True(claim Claim) bool { return c.Text(claim) != "" }

// Time returns a claim that counts the seconds since 1970, without their
// fraction; zero if it is absent or not a time.
func (c *Claims) Time(claim Claim) time.Time {
	number := c.Text(claim)
	if number == "" {
		return time.Time{} // ParseFloat would allocate an error
	}
	const lastSecond = 253402300799 // the end of the year 9999
	seconds, err := strconv.ParseFloat(number, 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// RolesFrom returns the roles that are where rolesClaim says. If other claims were looked
// for when the session was made, it looks for these.
func (c *Claims) RolesFrom(rolesClaim string) []string {
	if c.Text(rolesFrom) == rolesClaim {
		return c.List(Roles)
	}
	again, err := ParseClaims(c.Payload(), c.Extra(), rolesClaim)
	if err != nil { // too large
		return nil
	}
	return again.List(Roles)
}

// List returns a claim that is a list of strings, or one string; nil if absent or empty.
func (c *Claims) List(claim Claim) []string {
	raw := c.Text(claim)
	if raw == "" {
		return nil
	}
	var all []string
	if strings.Contains(raw, `\`) { // ParseClaims has checked what it is
		if raw[0] == '"' {
			all = []string{""}
			_ = json.Unmarshal([]byte(raw), &all[0])
			return all
		}
		_ = json.Unmarshal([]byte(raw), &all)
		return all
	}
	// No JSON parser here, since each guarded request comes this way.
	parts := strings.Split(raw, `"`)
	for i := 1; i < len(parts); i += 2 {
		all = append(all, parts[i])
	}
	return all
}
