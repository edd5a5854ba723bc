package authflow_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/authflow"
)

// FuzzParseResponse holds ParseResponse to the same rules read in another way, in both directions:
// what it takes and what it refuses. Its errors, and what an error response is
// described as, repeat nothing of a query.
func FuzzParseResponse(f *testing.F) {
	for _, row := range queries {
		if len(row.query) < 8<<10 { // longer ones slow the fuzzing down
			f.Add(row.query)
		}
	}
	f.Add("code=c%7f&state=s")
	f.Fuzz(func(t *testing.T, query string) {
		got, err := authflow.ParseResponse(query)
		want, ok := read(query)
		if (err == nil) != ok || err == nil && *got != want || err != nil && got != nil {
			t.Fatalf("%q: got %+v, %v; want %+v, %t", query, got, err, want, ok)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "signin: authorization response ") || len(err.Error()) > 80 {
				t.Errorf("%q: got error %q; want one in words of the package", query, err)
			}
			return
		}
		cause := strings.TrimPrefix(got.Cause().Error(), "signin: the provider answered with ")
		if cause != got.Error && cause != "an error of its own" || strings.Trim(cause, "abcdefghijklmnopqrstuvwxyz_ ") != "" || len(cause) > 40 {
			t.Errorf("%q: got cause %q; want the error or none of it", query, cause)
		}
		if from := got.CheckIssuer("https://op.test", true) == nil; from != (got.Issuer == "https://op.test") {
			t.Errorf("%q: got a response of the issuer %t; want it of %q", query, from, got.Issuer)
		}
	})
}

// read is ParseResponse without url.ParseQuery.
func read(query string) (r authflow.Response, ok bool) {
	// Semicolons part nothing, and since it is unknown whether the provider meant them
	// to, no query has any. https://url.spec.whatwg.org/#urlencoded-parsing
	if len(query) > 16<<10 || strings.Contains(query, ";") || strings.Count(query, "&") >= 10_000 {
		return r, false
	}
	limits := map[string]int{"state": 512, "code": 4096, "error": 512, "iss": 512}
	seen := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return r, false
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return r, false
		}
		max, ours := limits[name]
		if !ours {
			continue
		}
		if _, twice := seen[name]; twice || len(value) > max {
			return r, false
		}
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				return r, false
			}
		}
		seen[name] = value
	}
	r = authflow.Response{State: seen["state"], Code: seen["code"], Error: seen["error"], Issuer: seen["iss"]}
	return r, r.State != "" && (r.Code == "") != (r.Error == "")
}
