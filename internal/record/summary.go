package record

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Summary is what a request keeps of its session while handlers run: the
// person, and no token. It has two allocations of its own, one for the claims
// and one for all strings, and may be read by many goroutines.
type Summary struct {
	text     string
	scopes   uint64
	scope    span // of the values that are not common
	index    index
	claims   []byte
	created  int64
	lastSeen int64
}

// Summarize copies what a request keeps. prefix, of at most 1 KB, is copied too,
// in front of the strings, so that whoever needs a few more bytes for as long
// gets them in the same allocation; see Prefix. What follows the prefix in its
// array is overwritten.
func (v *View) Summarize(prefix []byte) Summary {
	s := Summary{scopes: v.scopes, created: v.created, lastSeen: v.lastSeen, claims: v.mergedClaims()}
	text := prefix
	for c, at := range v.claims {
		if at.len != 0 {
			s.index[c] = span{uint16(len(text)), at.len}
			text = append(text, v.at(at)...)
		}
	}
	scope := v.parts[partScope]
	s.scope = span{uint16(len(text)), scope.len}
	s.text = string(append(text, v.at(scope)...))
	return s
}

// mergedClaims returns a copy of the claims as one JSON object: those of the ID
// token, and those that came from userinfo beside them.
func (v *View) mergedClaims() []byte {
	payload, extra := v.at(v.parts[partPayload]), v.at(v.parts[partExtra])
	claims, others := inside(payload), inside(extra)
	switch {
	case len(others) == 0:
		return bytes.Clone(payload)
	case len(claims) == 0:
		return bytes.Clone(extra)
	}
	merged := make([]byte, 0, len(claims)+len(others)+len("{,}"))
	merged = append(append(merged, '{'), claims...)
	merged = append(append(merged, ','), others...)
	return append(merged, '}')
}

// inside returns what stands between the braces of a JSON object.
func inside(object []byte) []byte {
	const space = " \t\r\n"
	object = bytes.Trim(object, space)
	if len(object) < len("{}") {
		return nil
	}
	return bytes.Trim(object[1:len(object)-1], space)
}

// Prefix returns the first n bytes of what was given to Summarize.
func (s *Summary) Prefix(n int) string { return s.text[:n] }

// Created returns when the session was made.
func (s *Summary) Created() time.Time { return time.Unix(s.created, 0) }

// LastSeen returns when the session was last written as seen.
func (s *Summary) LastSeen() time.Time { return time.Unix(s.lastSeen, 0) }

// Claims returns all claims as a JSON object. The bytes are the Summary's own.
func (s *Summary) Claims() []byte { return s.claims[:len(s.claims):len(s.claims)] }

func (s *Summary) at(at span) string { return s.text[at.off : int(at.off)+int(at.len)] }

// Claim returns the value of a claim that is a string, or "".
func (s *Summary) Claim(c Claim) string { return s.at(s.index[c]) }

// AppendScopes appends the granted scopes to dst, the common ones first.
func (s *Summary) AppendScopes(dst []string) []string {
	return appendScopes(dst, s.scopes, s.at(s.scope))
}

// True reports whether a claim is true.
func (s *Summary) True(c Claim) bool { return s.index[c].len != 0 }

// Time returns a claim that counts the seconds since 1970, without their fraction;
// zero if it is absent, or no time.
func (s *Summary) Time(c Claim) time.Time {
	number := s.Claim(c)
	if number == "" {
		return time.Time{} // without the error, which allocates
	}
	const lastSecond = 253402300799 // the end of the year 9999
	seconds, err := strconv.ParseFloat(number, 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// Strings returns a claim that is an array of strings; nil if absent or empty.
func (s *Summary) Strings(c Claim) []string {
	raw := s.Claim(c)
	if raw == "" {
		return nil
	}
	if strings.Contains(raw, `\`) {
		var all []string
		_ = json.Unmarshal([]byte(raw), &all) // it was one when it was indexed
		return all
	}
	n := strings.Count(raw, `"`) / 2
	if n == 0 {
		return nil
	}
	all := make([]string, 0, n)
	for range n {
		_, raw, _ = strings.Cut(raw, `"`)
		var item string
		item, raw, _ = strings.Cut(raw, `"`)
		all = append(all, item)
	}
	return all
}
