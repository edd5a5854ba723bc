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

func TestTokenIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	until, expiry := time.Unix(1_700_000_000, 0), time.Unix(1_700_000_060, 0)
	for name, want := range map[string]session.Token{
		"all fields":                         {Access: "opaque", Scope: "api:read api:write", Until: until, Expiry: expiry},
		"no scope":                           {Access: "opaque", Until: until, Expiry: expiry},
		"an expiry that nobody said":         {Access: "opaque", Scope: "a", Until: until},
		"a JWT":                              {Access: jwt(`{"aud":"api"}`).Compact(), Until: until, Expiry: expiry},
		"what looks like the lengths before": {Access: "\x00\x01\x02", Scope: "\x05", Until: until, Expiry: expiry},
		"long":                               {Access: strings.Repeat("t", 100_000), Scope: strings.Repeat("s", 300), Until: until, Expiry: expiry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := []byte("before")
			got, err := session.ParseToken(want.Append(before)[len(before):])
			if err != nil || !reflect.DeepEqual(*got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
	t.Run("times are kept in seconds", func(t *testing.T) {
		t.Parallel()
		exact := session.Token{Access: "a", Until: until.Add(999 * time.Millisecond), Expiry: expiry.Add(time.Millisecond)}
		got, err := session.ParseToken(exact.Append(nil))
		if err != nil || !got.Until.Equal(until) || !got.Expiry.Equal(expiry) {
			t.Errorf("got %+v, %v; want no more than the seconds", got, err)
		}
	})
}

func TestWhatIsNoTokenIsRefused(t *testing.T) {
	t.Parallel()
	good := session.Token{Access: "a", Scope: "openid", Until: time.Unix(1_700_000_000, 0), Expiry: time.Unix(1_700_000_060, 0)}
	whole := good.Append(nil)
	for n := range len(whole) {
		if got, err := session.ParseToken(whole[:n]); !errors.Is(err, session.ErrMalformed) {
			t.Errorf("cut to %d of %d bytes: got %+v, %v; want it refused", n, len(whole), got, err)
		}
	}
	for name, b := range map[string][]byte{
		"a token without characters":            (&session.Token{Scope: "openid", Until: good.Until}).Append(nil),
		"a time beyond all times":               append(append([]byte{1}, bytes.Repeat([]byte{0xff}, 9)...), 0x01, 0, 0, 0, 'a'),
		"a time that overflows a sum":           append(binary.AppendVarint([]byte{1}, 1<<50+1), 0, 0, 0, 'a'),
		"a time before all times":               append(binary.AppendVarint([]byte{1}, -1<<50-1), 0, 0, 0, 'a'),
		"a number that does not end":            append([]byte{1}, bytes.Repeat([]byte{0xff}, 20)...),
		"a scope of all that there is":          {1, 0, 0, 0, 1, 'a'},
		"a scope longer than what there is":     {1, 0, 0, 0, 4, 'a'},
		"a scope longer than can be":            {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'a'},
		"a bad time before an otherwise good b": append(append([]byte{1}, bytes.Repeat([]byte{0x80}, 11)...), 'b'),
		"another version":                       append([]byte{2}, whole[1:]...),
	} {
		if got, err := session.ParseToken(b); !errors.Is(err, session.ErrMalformed) {
			t.Errorf("%s: got %+v, %v; want it refused", name, got, err)
		}
	}
}

// FuzzParseToken: what is read is what would be written again, and nothing panics.
func FuzzParseToken(f *testing.F) {
	f.Add([]byte(nil))
	f.Add((&session.Token{Access: "a", Until: time.Unix(5, 0)}).Append(nil))
	f.Add((&session.Token{Access: "a", Scope: "openid", Until: time.Unix(-5, 0), Expiry: time.Unix(1_700_000_060, 0)}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		token, err := session.ParseToken(b)
		if err != nil {
			if token != nil {
				t.Errorf("got %+v beside error %v; want no token", token, err)
			}
			return
		}
		again, err := session.ParseToken(token.Append(nil))
		if err != nil || !reflect.DeepEqual(again, token) || token.Access == "" {
			t.Errorf("got %+v, %v; want %+v again", again, err, token)
		}
	})
}
