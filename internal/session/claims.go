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
	numClaims
)

// names are the claims' names in a token. They are compared exactly.
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
	// replaces says that extra names claims which the payload names too.
	replaces bool
	// values holds the values of the claims, one after another: a string decoded,
	// any other type as its JSON. ends says where each of them ends.
	values string
	ends   [numClaims]uint16
}

// OfSignIn are the claims that say which session the provider has begun, and when and
// how the person authenticated. They are true of the sign-in, whatever a later token
// says.
func OfSignIn() []string { return []string{"sid", "auth_time", "acr", "amr"} }

// ParseClaims reads the claims of a token's payload, a JSON object, and of extra,
// another one, or empty. If both have a claim, the payload's counts, since it is
// signed. But those of [OfSignIn] are extra's, even if they are null there: extra
// has them only where a refreshed token disagrees with the sign-in's.
func ParseClaims(payload, extra string) (Claims, error) {
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
	for claim, name := range names {
		values.WriteString(first(Claim(claim), sources(Claim(claim), name, token, more)))
		if values.Len() > maxSize { // what is not UTF-8 grows when it is decoded
			return Claims{}, ErrTooLarge
		}
		c.ends[claim] = uint16(values.Len())
	}
	c.values = values.String()
	return c, nil
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
			if value == "true" {
				return value
			}
		case AuthTime:
			if _, err := strconv.ParseFloat(value, 64); err == nil { // a string keeps its quotes, and fails
				return value
			}
		case Roles, Organizations, OrganizationRoles:
			var all []*string
			// null would decode as an empty string.
			if json.Unmarshal(raw, &all) == nil && all != nil && !slices.Contains(all, nil) {
				return value
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

// List returns a claim that is an array of strings; nil if absent or empty.
func (c *Claims) List(claim Claim) []string {
	raw := c.Text(claim)
	if raw == "" {
		return nil
	}
	var all []string
	if strings.Contains(raw, `\`) {
		_ = json.Unmarshal([]byte(raw), &all) // ParseClaims has checked that it is a list
		return all
	}
	// No JSON parser here, since each guarded request comes this way.
	parts := strings.Split(raw, `"`)
	for i := 1; i < len(parts); i += 2 {
		all = append(all, parts[i])
	}
	return all
}
