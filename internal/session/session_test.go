package session_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
)

func jwt(payload string) session.JWT {
	return session.JWT{Header: `{"alg":"ES384"}`, Payload: payload, Signature: strings.Repeat("\xf0", 96)}
}

func full() *session.Session {
	return &session.Session{
		ID: session.ID{1, 2, 3, 15: 16}, Number: session.Number{7: 9}, IssuedAt: 1_700_000_004,
		Created: time.Unix(1_700_000_007, 0), LastSeen: time.Unix(1_700_003_600, 0),
		Generation: 300, Claims: parse(`{"sub":"u1","sid":"s1"}`, `{"custom_data":{"a":1}}`),
		IDHeader: `{"alg":"ES384"}`, IDSignature: strings.Repeat("\xf0", 96),
		RefreshToken: "refresh", AccessToken: session.Pack("opaque"), AccessExpiry: time.Unix(1_700_007_200, 0), AccessLife: time.Hour,
		Scope: "openid profile",
	}
}

// parse is session.ParseClaims, and panics on an error.
func parse(payload, extra string) session.Claims {
	c, err := session.ParseClaims(payload, extra)
	if err != nil {
		panic(err)
	}
	return c
}

// written returns the binary form of a session.
func written(t testing.TB, s *session.Session) []byte {
	t.Helper()
	b, err := s.Append([]byte("before"))
	if err != nil {
		t.Fatalf("Append: got error %v; want none", err)
	}
	return b[len("before"):]
}

// decode writes a session and reads it.
func decode(t *testing.T, s *session.Session) *session.Session {
	t.Helper()
	b, got := written(t, s), full() // Decode must overwrite all of it
	got.Unconfirmed = 1
	if err := got.Decode(b); err != nil {
		t.Fatalf("Decode: got error %v; want none", err)
	}
	clear(b) // got must not refer to b
	return got
}

func TestDecode(t *testing.T) {
	for name, change := range map[string]func(*session.Session){
		"all fields": func(*session.Session) {},
		"only claims": func(s *session.Session) {
			*s = session.Session{IssuedAt: s.IssuedAt, Created: s.Created, LastSeen: s.LastSeen, Claims: parse(`{}`, "")}
		},
		"a JWT as access token":                    func(s *session.Session) { s.AccessToken = session.Pack(jwt(`{"aud":"api"}`).Compact()) },
		"no signature kept":                        func(s *session.Session) { s.IDHeader, s.IDSignature = "", "" },
		"an unknown life":                          func(s *session.Session) { s.AccessLife = 0 },
		"an expiry before the last use":            func(s *session.Session) { s.AccessExpiry = s.LastSeen.Add(-time.Hour) },
		"claims that were not confirmed":           func(s *session.Session) { s.Unconfirmed = s.LastSeen.Add(-time.Hour).Unix() },
		"a person without a number":                func(s *session.Session) { s.Number = session.Number{} },
		"a provider's clock that is an hour ahead": func(s *session.Session) { s.IssuedAt = s.Created.Add(time.Hour).Unix() },
		"a clock that was set back":                func(s *session.Session) { s.LastSeen = s.Created.Add(-time.Hour) },
		"a nonce":                                  func(s *session.Session) { s.Nonce = "n" },
		"no scope":                                 func(s *session.Session) { s.Scope = "" },
		"scopes of all kinds":                      func(s *session.Session) { s.Scope = "openid sso_identities api:read api:write" },
		"two dots and not a JWT":                   func(s *session.Session) { s.AccessToken = session.Pack("a.b!.c") },
		"userinfo that names the same claims":      func(s *session.Session) { s.Claims = parse(`{"sub":"u1","acr":"a"}`, `{"acr":"b"}`) },
		"strings with escapes":                     func(s *session.Session) { s.Claims = parse(`{"sub":"a\/b","name":"\u0041\n"}`, "") },
	} {
		want := full()
		change(want)
		if got := decode(t, want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v; want %+v", name, got, want)
		}
	}
}

func TestIDToken(t *testing.T) {
	s := full()
	if got, want := s.IDToken(), jwt(`{"sub":"u1","sid":"s1"}`).Compact(); got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	s.IDSignature = ""
	if got := s.IDToken(); got != "" {
		t.Errorf("without its signature: got %q; want nothing", got)
	}
}

func TestDue(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, row := range []struct {
		name        string
		left, life  time.Duration
		refreshable bool
		want        bool
	}{
		{"long before it expires", time.Hour, time.Hour, true, false},
		{"a second before it is due", time.Minute + time.Second, time.Hour, true, false},
		{"a minute ahead", time.Minute, time.Hour, true, true},
		{"in the first half of a short life", 40 * time.Second, time.Minute, true, false},
		{"in the second half of a short life", 30 * time.Second, time.Minute, true, true},
		{"expired", -time.Hour, time.Hour, true, true},
		{"expired, without a refresh token", -time.Hour, time.Hour, false, false},
	} {
		s := &session.Session{AccessExpiry: now.Add(row.left), AccessLife: row.life}
		if row.refreshable {
			s.RefreshToken = "r"
		}
		if got := s.Due(now, time.Minute); got != row.want {
			t.Errorf("%s: got %t; want %t", row.name, got, row.want)
		}
	}
	if s := (&session.Session{RefreshToken: "r"}); s.Due(now, time.Minute) {
		t.Error("an unknown expiry: got due; want not due")
	}
}

// The provider has not answered a refresh since the access token expired.
func TestLimits_Adrift(t *testing.T) {
	expiry := time.Unix(1_700_000_000, 0)
	l := session.Limits{Offline: 8 * time.Hour}
	for _, row := range []struct {
		name  string
		s     session.Session
		after time.Duration // the access token expired
		want  bool
	}{
		{"before it expires", session.Session{RefreshToken: "r", AccessExpiry: expiry}, -time.Minute, false},
		{"a second before the limit", session.Session{RefreshToken: "r", AccessExpiry: expiry}, 8*time.Hour - time.Second, false},
		{"at the limit", session.Session{RefreshToken: "r", AccessExpiry: expiry}, 8 * time.Hour, true},
		{"in a later generation", session.Session{RefreshToken: "r", AccessExpiry: expiry, Generation: 7}, 9 * time.Hour, true},
		{"a token of now, claims that were not confirmed until a second before the limit",
			session.Session{RefreshToken: "r", AccessExpiry: expiry.Add(9 * time.Hour), Unconfirmed: expiry.Unix()}, 8*time.Hour - time.Second, false},
		{"a token of now, claims that were not confirmed until the limit",
			session.Session{RefreshToken: "r", AccessExpiry: expiry.Add(9 * time.Hour), Unconfirmed: expiry.Unix()}, 8 * time.Hour, true},
		{"without a refresh token", session.Session{AccessExpiry: expiry}, 9 * time.Hour, false},
		{"an unknown expiry", session.Session{RefreshToken: "r"}, 9 * time.Hour, false},
	} {
		if got := l.Adrift(&row.s, expiry.Add(row.after)); got != row.want {
			t.Errorf("%s: got %t; want %t", row.name, got, row.want)
		}
	}
}

func TestSplitJWT(t *testing.T) {
	good := jwt(`{"sub":"u"}`).Compact()
	if j, ok := session.SplitJWT(good); !ok || j.Compact() != good {
		t.Errorf("got %v, %v; want the token back", j, ok)
	}
	for name, s := range map[string]string{
		"opaque":                   "abcdef",
		"two parts":                "YQ.YQ",
		"four parts":               "YQ.YQ.YQ.YQ",
		"an empty part":            "YQ..YQ",
		"padding":                  "YQ==.YQ.YQ",
		"bits beyond the last one": "YR.YQ.YQ",
		"line breaks, which encoding/base64 ignores": "Y\nQ.YQ.YQ",
		"not base64": "Y!.YQ.YQ",
	} {
		if j, ok := session.SplitJWT(s); ok {
			t.Errorf("%s: got %v; want it refused, since Compact would return another text", name, j)
		}
	}
	for name, j := range map[string]session.JWT{
		"without its signature": {Header: "x", Payload: "x"}, "without its header": {Payload: "x", Signature: "x"}, "without its claims": {Header: "x", Signature: "x"},
	} {
		if got := j.Compact(); got != "" {
			t.Errorf("%s: got %q; want nothing", name, got)
		}
	}
}

func TestLimits(t *testing.T) {
	l := session.Limits{Idle: 24 * time.Hour, Max: 14 * 24 * time.Hour}
	now := time.Unix(1_700_000_000, 0)
	for _, row := range []struct {
		name              string
		created, lastSeen time.Duration // ago
		ended             string
		left              time.Duration
		unwritten         bool
	}{
		{"just made", 0, 0, "", 24 * time.Hour, false},
		{"used less than a quarter of the idle time ago", time.Hour * 30, 6*time.Hour - 1, "", 18*time.Hour + 1, false},
		{"used a quarter of the idle time ago", time.Hour * 30, 6 * time.Hour, "", 18 * time.Hour, true},
		{"a second before it is idle", time.Hour * 30, 24*time.Hour - time.Second, "", time.Second, true},
		{"at the idle time", time.Hour * 30, 24 * time.Hour, "idle", 0, true},
		{"long after the idle time", time.Hour * 90, 48 * time.Hour, "idle", -24 * time.Hour, true},
		{"a second before its lifetime is over", 14*24*time.Hour - time.Second, 0, "", time.Second, false},
		{"at the end of its lifetime", 14 * 24 * time.Hour, 0, "lifetime", 0, false},
		{"both", 20 * 24 * time.Hour, 10 * 24 * time.Hour, "lifetime", -9 * 24 * time.Hour, true},
		{"the clock was set back by an hour", -time.Hour, -time.Hour, "", 25 * time.Hour, false},
		{"the clock was set back by a year", -365 * 24 * time.Hour, -365 * 24 * time.Hour, "", 14 * 24 * time.Hour, false},
	} {
		s := &session.Session{Created: now.Add(-row.created), LastSeen: now.Add(-row.lastSeen)}
		ended, left, unwritten := l.Ended(s, now), l.Left(s, now), l.Unwritten(s, now)
		if ended != row.ended || left != row.left || unwritten != row.unwritten {
			t.Errorf("%s: got %q, %v, %v; want %q, %v, %v", row.name, ended, left, unwritten, row.ended, row.left, row.unwritten)
		}
	}
}

func TestAppend_Scope(t *testing.T) {
	for scope, want := range map[string]string{
		"":                                   "",
		"openid":                             "openid",
		" email  x openid y x ":              "openid email x y x",
		"openid openid":                      "openid",
		"x":                                  "x",
		"urn:logto:scope:organization_roles": "urn:logto:scope:organization_roles",
	} {
		s := full()
		s.Scope = scope
		if got := decode(t, s).Scope; got != want {
			t.Errorf("%q: got %q; want %q", scope, got, want)
		}
	}
}

// Few people have had all their sessions ended at once, so most cookies have no
// number.
func TestAppend_NoNumber(t *testing.T) {
	s := full()
	with := len(written(t, s))
	s.Number = session.Number{}
	if without := len(written(t, s)); with-without != len(s.Number) {
		t.Errorf("got %d bytes with a number, %d without; want %d fewer", with, without, len(s.Number))
	}
}

// A JWT is kept decoded, which saves a quarter of its length.
func TestAppend_JWT(t *testing.T) {
	token := jwt(`{"aud":"` + strings.Repeat("a", 600) + `"}`).Compact()
	s := full()
	s.AccessToken = session.Pack(token)
	packed := len(written(t, s))
	s.AccessToken = session.Pack(token + ".") // not a JWT
	if plain := len(written(t, s)); packed > plain-len(token)/5 {
		t.Errorf("got %d bytes with a JWT of %d, %d with a text of that length; want a fifth of it less", packed, len(token), plain)
	}
}

func TestAppend_TooLarge(t *testing.T) {
	s := full()
	s.Claims = parse(`{"name":"\n`+strings.Repeat("x", 35_000)+`"}`, "") // kept twice
	if b, err := s.Append(nil); !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("decoded strings over 60 KB: got %d bytes, %v; want ErrTooLarge", len(b), err)
	}
	s = full()
	s.RefreshToken = strings.Repeat("x", 60_000)
	if b, err := s.Append(nil); !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("a refresh token over 60 KB: got %d bytes, %v; want ErrTooLarge", len(b), err)
	}
}

// Stored sessions outlive the program that wrote them.
func TestAppend_SameForm(t *testing.T) {
	b := written(t, full())
	const want = "version 6: 87cc9a36e18a3d4976b55da750d9e1afd7ca4d1c5283b6b7f5ebbac4303b3fe3"
	if got := fmt.Sprintf("version %d: %x", b[0], sha256.Sum256(b)); got != want {
		t.Errorf("got %s; want %s (if the form has changed, raise the version)", got, want)
	}
}

func TestDecode_Malformed(t *testing.T) {
	b := written(t, full())
	other := bytes.Clone(b)
	other[0]++
	refused := map[string][]byte{"a byte too many": append(bytes.Clone(b), 0), "another version": other, "64 KB": make([]byte, 1<<16)}
	for n := range b {
		refused[strconv.Itoa(n)+" bytes of it"] = b[:n]
	}
	// The places of claims come after version, flags, ID, Number, and seven numbers of
	// these lengths.
	places := 2 + len(session.ID{}) + len(session.Number{}) + 5 + 1 + 2 + 2 + 1 + 2 + 2
	for name, change := range map[string][]byte{
		"a claim before the beginning":    {1, 1},
		"a claim beyond the end":          {1, 0xfe, 0x7f},
		"a claim longer than the session": {0xff, 0x7f},
	} {
		bad := bytes.Clone(b)
		copy(bad[places:], change)
		refused[name] = bad
	}
	// Only the second claim is changed, so that what follows is read correctly.
	if got := b[places : places+4]; got[0] != 2 || got[2] != 2 {
		t.Fatalf("got claims at % x; want two of two bytes", got)
	}
	far, long := bytes.Clone(b), bytes.Clone(b)
	far[places+3], long[places+2] = 0x7e, 0x7f
	refused["one claim beyond the end"], refused["one claim longer than what is left"] = far, long
	for name, b := range refused {
		if err := new(session.Session).Decode(b); !errors.Is(err, session.ErrMalformed) {
			t.Errorf("%s: got %v; want ErrMalformed", name, err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	s := full()
	s.Claims = parse(`{"sub":"u1","sid":"s1","name":"A","picture":"p","username":"u","email":"e","email_verified":true,"roles":["r"],"x":"`+
		base64.RawURLEncoding.EncodeToString(make([]byte, 300))+`"}`, "")
	data := written(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
