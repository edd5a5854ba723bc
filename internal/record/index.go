package record

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gosignin/signin/internal/members"
)

// Claim is a claim that the index knows.
type Claim int

// The claims that handlers read most. Their order is that of the index, which
// is shortest when it is the order in which providers write them.
const (
	Subject Claim = iota
	SessionID
	Name
	Picture
	Username // "username", or else "preferred_username"
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

// kind is the JSON type that a claim must have to be indexed. Any other type,
// null among them, is as good as absent: never a role by accident.
type kind int

const (
	text kind = iota
	flag
	number
	list
)

var known = map[string]struct {
	claim Claim
	kind  kind
}{
	"sub":                {Subject, text},
	"sid":                {SessionID, text},
	"name":               {Name, text},
	"picture":            {Picture, text},
	"username":           {Username, text},
	"preferred_username": {Username, text},
	"email":              {Email, text},
	"email_verified":     {EmailVerified, flag},
	"phone_number":       {PhoneNumber, text},
	"roles":              {Roles, list},
	"organizations":      {Organizations, list},
	"organization_roles": {OrganizationRoles, list},
	"acr":                {ACR, text},
	"auth_time":          {AuthTime, number},
}

// span is a part of a record: the record addresses 64 KB, and a request keeps
// one span for each claim, so they are as small as can be.
type span struct{ off, len uint16 }

type index [numClaims]span

// buildIndex finds the known claims at the top level of payload and, where
// payload lacks them, of extra. Spans count from the beginning of the payload;
// extra follows it, then the strings that had to be decoded, which are the
// second result.
func buildIndex(payload, extra string) (index, string, error) {
	if len(payload)+len(extra) > maxSize {
		return index{}, "", ErrTooLarge
	}
	b := builder{}
	if err := b.read(payload, 0); err != nil {
		return index{}, "", err
	}
	if extra != "" {
		if err := b.read(extra, len(payload)); err != nil {
			return index{}, "", err
		}
	}
	for i := range b.late {
		b.index[i].off += uint16(len(payload) + len(extra))
	}
	if len(payload)+len(extra)+b.decoded.Len() > maxSize {
		return index{}, "", ErrTooLarge
	}
	return b.index, b.decoded.String(), nil
}

type builder struct {
	index   index
	decoded strings.Builder
	late    map[Claim]bool // those whose span counts from the decoded strings
	weak    bool           // the username stands under preferred_username
}

// read goes through the members of one JSON object.
func (b *builder) read(object string, base int) error {
	err := members.Each(object, func(name string, from, to int) { b.member(name, object[from:to], base+from) })
	if err != nil {
		return fmt.Errorf("signin: claims: %w", err)
	}
	return nil
}

// member puts one claim into the index, if it is known, of the right type, not
// empty, and not there yet. off is where its value stands.
func (b *builder) member(name, value string, off int) {
	k, ok := known[name]
	if !ok {
		return
	}
	if b.index[k.claim].len != 0 && (name != "username" || !b.weak) {
		return
	}
	switch {
	case value == `""`: // or it would take the place of preferred_username
	case k.kind == text && value[0] == '"':
		if strings.Contains(value, `\`) {
			b.decode(k.claim, value)
			break
		}
		b.set(k.claim, off+1, len(value)-2)
	case k.kind == flag && value == "true",
		k.kind == number && isNumber(value),
		k.kind == list && isList(value):
		b.set(k.claim, off, len(value))
	}
	if k.claim == Username {
		b.weak = name != "username"
	}
}

func (b *builder) set(c Claim, off, n int) {
	b.index[c] = span{uint16(off), uint16(n)}
	delete(b.late, c)
}

// decode keeps a string that has escapes in its decoded form.
func (b *builder) decode(c Claim, value string) {
	var s string
	if json.Unmarshal([]byte(value), &s) != nil {
		return
	}
	b.set(c, b.decoded.Len(), len(s))
	b.decoded.WriteString(s)
	if b.late == nil {
		b.late = make(map[Claim]bool)
	}
	b.late[c] = true
}

// isNumber tells a number from what else a JSON value may be.
func isNumber(value string) bool {
	_, err := strconv.ParseFloat(value, 64)
	return err == nil
}

func isList(value string) bool {
	var all []*string
	if json.Unmarshal([]byte(value), &all) != nil {
		return false
	}
	return all != nil && !slices.Contains(all, nil) // null would decode as an empty string, or as no list
}

// append writes the index: which claims there are, and for each how far it
// stands from the end of the one before, and its length.
func (x *index) append(dst []byte) []byte {
	var present uint64
	for i, s := range x {
		if s.len != 0 {
			present |= 1 << i
		}
	}
	dst = binary.AppendUvarint(dst, present)
	end := 0
	for _, s := range x {
		if s.len != 0 {
			dst = binary.AppendVarint(dst, int64(int(s.off)-end))
			dst = binary.AppendUvarint(dst, uint64(s.len))
			end = int(s.off) + int(s.len)
		}
	}
	return dst
}
