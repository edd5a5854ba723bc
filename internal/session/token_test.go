package session_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
)

func TestParseToken(t *testing.T) {
	until, expiry := time.Unix(1_700_000_000, 0), time.Unix(1_700_000_060, 0)
	for name, want := range map[string]session.Token{
		"all fields":                    {Access: "opaque", Scope: "api:read api:write", Until: until, Expiry: expiry},
		"no scope":                      {Access: "opaque", Until: until, Expiry: expiry},
		"an unknown expiry":             {Access: "opaque", Scope: "a", Until: until},
		"a JWT":                         {Access: jwt(`{"aud":"api"}`).Compact(), Until: until, Expiry: expiry},
		"bytes that look like a length": {Access: "\x00\x01\x02", Scope: "\x05", Until: until, Expiry: expiry},
		"long":                          {Access: strings.Repeat("t", 100_000), Scope: strings.Repeat("s", 300), Until: until, Expiry: expiry},
	} {
		written := want
		written.Until = want.Until.Add(999 * time.Millisecond) // times are kept in seconds
		before := []byte("before")
		got, err := session.ParseToken(written.Append(before)[len(before):])
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestParseToken_Malformed(t *testing.T) {
	good := session.Token{Access: "a", Scope: "openid", Until: time.Unix(1_700_000_000, 0), Expiry: time.Unix(1_700_000_060, 0)}
	whole := good.Append(nil)
	for n := range len(whole) {
		if got, err := session.ParseToken(whole[:n]); !errors.Is(err, session.ErrMalformed) {
			t.Errorf("cut to %d of %d bytes: got %+v, %v; want it refused", n, len(whole), got, err)
		}
	}
	for name, b := range map[string][]byte{
		"a token without characters":       (&session.Token{Scope: "openid", Until: good.Until}).Append(nil),
		"a time that is too late":          append(append([]byte{1}, bytes.Repeat([]byte{0xff}, 9)...), 0x01, 0, 0, 0, 'a'),
		"a time that overflows a sum":      append(binary.AppendVarint([]byte{1}, 1<<50+1), 0, 0, 0, 'a'),
		"a time that is too early":         append(binary.AppendVarint([]byte{1}, -1<<50-1), 0, 0, 0, 'a'),
		"a number that does not end":       append([]byte{1}, bytes.Repeat([]byte{0xff}, 20)...),
		"a scope and no token":             {1, 0, 0, 0, 1, 'a'},
		"a scope longer than what is left": {1, 0, 0, 0, 4, 'a'},
		"a scope longer than possible":     {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'a'},
		"a bad time before a good token":   append(append([]byte{1}, bytes.Repeat([]byte{0x80}, 11)...), 'b'),
		"another version":                  append([]byte{2}, whole[1:]...),
	} {
		if got, err := session.ParseToken(b); !errors.Is(err, session.ErrMalformed) {
			t.Errorf("%s: got %+v, %v; want it refused", name, got, err)
		}
	}
}
