package jwt_test

import (
	"context"
	"testing"
	"time"
)

func TestVerifier_UserInfo(t *testing.T) {
	t.Parallel()
	info := kind{name: "userinfo", typ: "JWT", claims: m{"iss": issuer, "aud": []string{"other", clientID}, "sub": "alice", "name": "Alice", "Groups": 1, "groups": 2}}
	typed := func(typ string) string { return signEd(kind{typ: typ}.header(""), info.payload(nil)) }
	for name, row := range map[string]struct {
		raw  string
		good bool
	}{
		"for this client among others":        {info.token(nil), true},
		"without iss and aud":                 {info.token(m{"iss": nil, "aud": nil}), true},
		"with times":                          {info.token(m{"iat": at(0), "exp": at(time.Minute)}), true},
		"of another issuer":                   {info.token(m{"iss": "https://other.example"}), false},
		"with iss of another type":            {info.token(m{"iss": 5}), false},
		"for another client":                  {info.token(m{"aud": "other"}), false},
		"with aud of another type":            {info.token(m{"aud": m{}}), false},
		"expired":                             {info.token(m{"exp": at(-time.Hour)}), false},
		"sub in two spellings":                {info.token(m{"SUB": "bob"}), false},
		"email in two spellings":              {info.token(m{"email": "a@example.com", "Email": "b@example.com"}), false},
		"an ID token":                         {idToken.token(nil), false},
		"a logout token":                      {logoutToken.token(nil), false},
		"a logout token without its type":     {info.token(m{"events": m{logoutEvent: m{}}}), false},
		"an access token":                     {typed("at+jwt"), false},
		"not signed":                          {b64(`{"alg":"none"}`) + "." + b64(info.payload(nil)) + ".", false},
		"signed with a key that is not known": {info.token(nil)[:len(info.token(nil))-8] + "AAAAAAAA", false},
	} {
		got, err := everyKey().UserInfo(context.Background(), row.raw)
		if good := err == nil && string(got) != ""; good != row.good || err != nil && got != nil {
			t.Errorf("%s: got %s, %v; want it accepted: %t", name, got, err, row.good)
		}
	}
}
