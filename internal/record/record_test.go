package record_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/record"
)

func jwt(payload string) record.JWT {
	return record.JWT{Header: `{"alg":"ES384"}`, Payload: payload, Signature: strings.Repeat("\xf0", 96)}
}

func full() *record.Record {
	began := time.UnixMilli(1_700_000_000_123)
	return &record.Record{
		ID: record.ID{1, 2, 3, 15: 16}, Began: began,
		Created: time.Unix(1_700_000_007, 0), LastSeen: time.Unix(1_700_003_600, 0),
		Generation: 300, IDToken: jwt(`{"sub":"u1","sid":"s1"}`), Extra: `{"custom_data":{"a":1}}`,
		RefreshToken: "refresh", AccessToken: "opaque", AccessExpiry: time.Unix(1_700_007_200, 0), AccessLife: time.Hour,
		Scope: "openid profile",
	}
}

func view(t *testing.T, r *record.Record) record.View {
	t.Helper()
	v, err := r.View()
	if err != nil {
		t.Fatalf("View: got error %v; want none", err)
	}
	return v
}

func summary(t *testing.T, r *record.Record) record.Summary {
	t.Helper()
	v := view(t, r)
	return v.Summarize([]byte("prefix"))
}

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*record.Record){
		"all fields": func(*record.Record) {},
		"nothing but an ID token": func(r *record.Record) {
			*r = record.Record{Began: r.Began, Created: r.Created, LastSeen: r.LastSeen, IDToken: r.IDToken}
		},
		"a JWT as access token":           func(r *record.Record) { r.AccessToken = jwt(`{"aud":"api"}`).Compact() },
		"no signature kept":               func(r *record.Record) { r.IDToken.Header, r.IDToken.Signature = "", "" },
		"a life of nobody knows how long": func(r *record.Record) { r.AccessLife = 0 },
		"an expiry before the last use":   func(r *record.Record) { r.AccessExpiry = r.LastSeen.Add(-time.Hour) },
		"a clock that was set back":       func(r *record.Record) { r.LastSeen = r.Created.Add(-time.Hour) },
		"a nonce of its own":              func(r *record.Record) { r.Nonce = "n" },
		"no scope":                        func(r *record.Record) { r.Scope = "" },
		"scopes of all kinds":             func(r *record.Record) { r.Scope = "openid sso_identities api:read api:write" },
		"two dots and no JWT":             func(r *record.Record) { r.AccessToken = "a.b!.c" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := full()
			change(want)
			v := view(t, want)
			if got := v.Record(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v; want %+v", got, want)
			}
			if record.ID(v.ID()) != want.ID || v.Refreshable() != (want.RefreshToken != "") || !v.Created().Equal(want.Created) || !v.LastSeen().Equal(want.LastSeen) || v.Generation() != want.Generation {
				t.Errorf("accessors: got %v %v %v %d; want those of the record", v.ID(), v.Created(), v.LastSeen(), v.Generation())
			}
		})
	}
}

func TestSplitJWT(t *testing.T) {
	t.Parallel()
	good := jwt(`{"sub":"u"}`).Compact()
	if j, ok := record.SplitJWT(good); !ok || j.Compact() != good {
		t.Errorf("got %v, %v; want the token back", j, ok)
	}
	for name, s := range map[string]string{
		"opaque":                   "abcdef",
		"two parts":                "YQ.YQ",
		"four parts":               "YQ.YQ.YQ.YQ",
		"an empty part":            "YQ..YQ",
		"padding":                  "YQ==.YQ.YQ",
		"bits beyond the last one": "YR.YQ.YQ",
		"line breaks, which base64 of Go ignores": "Y\nQ.YQ.YQ",
		"not base64": "Y!.YQ.YQ",
	} {
		if j, ok := record.SplitJWT(s); ok {
			t.Errorf("%s: got %v; want it refused, since it would not be the same again", name, j)
		}
	}
	if got := (record.JWT{Payload: "x"}).Compact(); got != "" {
		t.Errorf("without its signature: got %q; want nothing", got)
	}
}

// Providers write times as they like; what the callback has accepted must hold later.
func TestTimes(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]time.Time{
		"1700000000": time.Unix(1700000000, 0), "1700000000.9": time.Unix(1700000000, 0), "1.7e9": time.Unix(1700000000, 0),
		"17E+8": time.Unix(1700000000, 0), "0": time.Unix(0, 0), "253402300799": time.Unix(253402300799, 0),
		"253402300800": {}, "1e400": {}, "-1": {}, `"1700000000"`: {}, "null": {}, "true": {}, "[1700000000]": {},
	} {
		r := full()
		r.IDToken.Payload, r.Extra = `{"sub":"u1","auth_time":`+number+`}`, ""
		b, err := r.Append(nil)
		if err != nil {
			t.Fatalf("%s: Append: got error %v; want none", number, err)
		}
		v, err := record.Parse(b)
		if err != nil {
			t.Fatalf("%s: Parse: got error %v; want none", number, err)
		}
		sum := v.Summarize(nil)
		if got := sum.Time(record.AuthTime); !got.Equal(want) {
			t.Errorf("%s: got %v; want %v", number, got, want)
		}
	}
}

// Whatever stands around the braces, the claims are one object.
func TestMergedClaims(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ payload, extra, want string }{
		{`{"sub":"a"}`, `{"n":1}`, `{"sub":"a","n":1}`},
		{"\n {\"sub\":\"a\"}\t", "\r\n{ \"n\":1 } ", `{"sub":"a","n":1}`},
		{`{"sub":"a"}`, "", `{"sub":"a"}`},
		{`{"sub":"a"}`, `{ }`, `{"sub":"a"}`},
		{`{}`, `{"n":1}`, `{"n":1}`},
	} {
		r := full()
		r.IDToken.Payload, r.Extra = row.payload, row.extra
		v, err := r.View()
		if err != nil {
			t.Fatalf("%q, %q: got error %v; want none", row.payload, row.extra, err)
		}
		sum := v.Summarize(nil)
		if got := string(sum.Claims()); got != row.want {
			t.Errorf("%q and %q: got %q; want %q", row.payload, row.extra, got, row.want)
		}
	}
}

// indexed are claims of ID tokens and of userinfo, and what the index finds in them.
var indexed = []struct {
	name, payload, extra string
	want                 map[record.Claim]string
}{
	{"strings are found", `{"sub":"u1", "sid" : "s1","name":"Zoë"}`, "", map[record.Claim]string{record.Subject: "u1", record.SessionID: "s1", record.Name: "Zoë"}},
	{"null is absent", `{"sub":"u1","name":null,"email":null,"picture":null}`, "", map[record.Claim]string{record.Subject: "u1"}},
	{"another type is absent", `{"sub":"u1","name":1,"email":["a"],"email_verified":"true","roles":"admin","auth_time":"5","acr":{"a":"b"}}`, "", map[record.Claim]string{record.Subject: "u1"}},
	{"escapes are decoded", `{"sub":"a\/b","name":"\"\u0041\\\n","email":"e"}`, "", map[record.Claim]string{record.Subject: "a/b", record.Name: "\"A\\\n", record.Email: "e"}},
	{"a nested claim is not the claim", `{"x":{"sub":"evil","roles":["admin"]},"y":"\"sub\":\"evil\"","sub":"u1"}`, "", map[record.Claim]string{record.Subject: "u1"}},
	{"names are compared to the letter", `{"Sub":"evil","SUB":"evil","sub":"u1"}`, "", map[record.Claim]string{record.Subject: "u1"}},
	{"the ID token wins over userinfo", `{"sub":"u1","name":"token"}`, `{"name":"info","email":"e\u0040x"}`, map[record.Claim]string{record.Subject: "u1", record.Name: "token", record.Email: "e@x"}},
	{"preferred_username stands in", `{"sub":"u1","preferred_username":"p"}`, "", map[record.Claim]string{record.Subject: "u1", record.Username: "p"}},
	{"username wins, first", `{"sub":"u1","username":"u","preferred_username":"p"}`, "", map[record.Claim]string{record.Subject: "u1", record.Username: "u"}},
	{"username wins, last", `{"sub":"u1","preferred_username":"\u0070","username":"u"}`, "", map[record.Claim]string{record.Subject: "u1", record.Username: "u"}},
	{"a null username leaves the other", `{"sub":"u1","preferred_username":"\u0070","username":null}`, "", map[record.Claim]string{record.Subject: "u1", record.Username: "p"}},
	{"empty strings are absent", `{"sub":"u1","name":""}`, "", map[record.Claim]string{record.Subject: "u1"}},
	{"a number is kept", `{"sub":"u1","auth_time":1700000000}`, "", map[record.Claim]string{record.Subject: "u1", record.AuthTime: "1700000000"}},
	{"a number is kept as it is written", `{"sub":"u1","auth_time":1.7e9}`, "", map[record.Claim]string{record.Subject: "u1", record.AuthTime: "1.7e9"}},
}

func TestIndex(t *testing.T) {
	t.Parallel()
	for _, row := range indexed {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := full()
			r.IDToken.Payload, r.Extra = row.payload, row.extra
			b, err := r.Append([]byte("prefix"))
			if err != nil {
				t.Fatalf("Append: got error %v; want none", err)
			}
			b = b[len("prefix"):]
			v, err := record.Parse(b)
			if err != nil {
				t.Fatalf("Parse: got error %v; want none", err)
			}
			sum := v.Summarize([]byte("prefix"))
			clear(b) // a summary keeps nothing of what it was read from
			for c := record.Subject; c <= record.AuthTime; c++ {
				if got := sum.Claim(c); got != row.want[c] {
					t.Errorf("claim %d: got %q; want %q", c, got, row.want[c])
				}
			}
			if got := sum.Prefix(6) + " " + strings.Join(sum.AppendScopes(nil), " "); got != "prefix openid profile" {
				t.Errorf("prefix and scope: got %q; want both", got)
			}
		})
	}
}

func TestTypedClaims(t *testing.T) {
	t.Parallel()
	r := full()
	r.IDToken.Payload = `{"sub":"u","email_verified":true,"auth_time":1700000000,"roles":[ "admin" , "a,b" ],` +
		`"organizations":["\u006frg"],"organization_roles":[]}`
	v := summary(t, r)
	if !v.Created().Equal(r.Created) || !v.LastSeen().Equal(r.LastSeen) {
		t.Errorf("times: got %v and %v; want the record's", v.Created(), v.LastSeen())
	}
	if !v.True(record.EmailVerified) {
		t.Error("email_verified: got false; want true")
	}
	if got := v.Time(record.AuthTime); !got.Equal(time.Unix(1_700_000_000, 0)) {
		t.Errorf("auth_time: got %v; want 1700000000", got)
	}
	for c, want := range map[record.Claim][]string{
		record.Roles: {"admin", "a,b"}, record.Organizations: {"org"}, record.OrganizationRoles: nil,
	} {
		if got := v.Strings(c); !reflect.DeepEqual(got, want) {
			t.Errorf("claim %d: got %q; want %q", c, got, want)
		}
	}
	r.IDToken.Payload = `{"sub":"u","email_verified":false,"roles":["admin",null],"organizations":["a",1],"auth_time":99999999999999999999}`
	v = summary(t, r)
	if v.True(record.EmailVerified) || v.Strings(record.Roles) != nil || v.Strings(record.Organizations) != nil || !v.Time(record.AuthTime).IsZero() {
		t.Error("claims of the wrong type: got some; want all absent")
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for scope, want := range map[string][]string{
		"":                                   {},
		"openid":                             {"openid"},
		" email  x openid y x ":              {"openid", "email", "x", "y", "x"},
		"openid openid":                      {"openid"},
		"urn:logto:scope:organization_roles": {"urn:logto:scope:organization_roles"},
	} {
		r := full()
		r.Scope = scope
		sum := summary(t, r)
		if got := sum.AppendScopes(nil); !slices.Equal(got, want) {
			t.Errorf("%q: got %q; want %q", scope, got, want)
		}
	}
}

func TestClaimsMergesUserinfo(t *testing.T) {
	t.Parallel()
	for extra, want := range map[string]string{
		"":               `{"sub":"u"} `,
		"{}":             `{"sub":"u"} `,
		`{"a":{"b":[]}}`: `{"sub":"u","a":{"b":[]}}`,
	} {
		r := full()
		r.IDToken.Payload, r.Extra = `{"sub":"u"} `, extra
		v := summary(t, r)
		if got := string(v.Claims()); got != want || !json.Valid([]byte(got)) {
			t.Errorf("extra %q: got %q; want %q", extra, got, want)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 60_000)
	for name, change := range map[string]func(*record.Record){
		"claims over 60 KB":               func(r *record.Record) { r.IDToken.Payload = `{"a":"` + big + `"}` },
		"a refresh token over 60 KB":      func(r *record.Record) { r.RefreshToken = big },
		"decoded strings over 60 KB":      func(r *record.Record) { r.IDToken.Payload = `{"name":"\n` + big[:35_000] + `"}` },
		"claims that are no object":       func(r *record.Record) { r.IDToken.Payload = `["sub"]` },
		"claims that break off":           func(r *record.Record) { r.IDToken.Payload = `{"sub":` },
		"claims that break off in a name": func(r *record.Record) { r.IDToken.Payload = `{"sub` },
		"userinfo that is no object":      func(r *record.Record) { r.Extra = `null` },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := full()
			change(r)
			if b, err := r.Append(nil); err == nil {
				t.Errorf("got %d bytes; want an error", len(b))
			} else if errors.Is(err, record.ErrTooLarge) != strings.Contains(name, "60 KB") {
				t.Errorf("got %v; want ErrTooLarge exactly for what is too large", err)
			}
		})
	}
}

func TestParseRefusesWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	b, err := full().Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, err := record.Parse(b[:n]); !errors.Is(err, record.ErrMalformed) {
			t.Fatalf("%d of %d bytes: got %v; want ErrMalformed", n, len(b), err)
		}
	}
	if _, err := record.Parse(append(bytes.Clone(b), 0)); !errors.Is(err, record.ErrMalformed) {
		t.Errorf("a byte too many: got %v; want ErrMalformed", err)
	}
	other := bytes.Clone(b)
	other[0]++
	if _, err := record.Parse(other); !errors.Is(err, record.ErrMalformed) {
		t.Errorf("another version: got %v; want ErrMalformed", err)
	}
	if _, err := record.Parse(make([]byte, 1<<16)); !errors.Is(err, record.ErrMalformed) {
		t.Errorf("60 KB: got %v; want ErrMalformed", err)
	}
}

// The layout has room for what DESIGN's figures promise: see the root's test
// for the cookie itself.
func TestOverheadIsSmall(t *testing.T) {
	t.Parallel()
	r := full()
	r.Extra = ""
	b, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	held := len(r.IDToken.Header+r.IDToken.Payload+r.IDToken.Signature) + len(r.RefreshToken+r.AccessToken+r.Scope) + len(r.ID)
	if got := len(b) - held; got > 45 {
		t.Errorf("overhead: got %d bytes; want at most 45", got)
	}
}

func BenchmarkParse(b *testing.B) {
	r := full()
	r.IDToken = jwt(`{"sub":"u1","sid":"s1","name":"A","picture":"p","username":"u","email":"e","email_verified":true,"roles":["r"],"x":"` +
		base64.RawURLEncoding.EncodeToString(make([]byte, 300)) + `"}`)
	data, err := r.Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := record.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
