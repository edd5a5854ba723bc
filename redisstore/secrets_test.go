package redisstore_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gosignin/signin/signintest"
)

// secretsOf lists what must not be found in Redis: all that the provider has
// issued, what is inside of ID tokens, whom they are about, the cookies, a logout
// token, the client secret and the key that seals.
func secretsOf(a *application, browsers ...*browser) []string {
	secrets := a.provider.Secrets()
	for _, s := range a.provider.Secrets() {
		parts := strings.Split(s, ".")
		if len(parts) != 3 {
			continue
		}
		for _, part := range parts[1:] {
			raw, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				a.t.Fatal(err)
			}
			secrets = append(secrets, part, string(raw))
		}
	}
	for _, b := range browsers {
		if b.session() == "" {
			a.t.Fatal("a browser without a session cookie")
		}
		secrets = append(secrets, b.session())
	}
	alice := signintest.Alice()
	return append(secrets, alice.Subject, alice.Email, alice.Name, string(a.replicas[0].key),
		a.provider.Config(a.server.URL).ClientSecret, a.provider.LogoutToken(alice.Subject, ""))
}

// letters are runs of what base64 and hex are written in.
var letters = regexp.MustCompile(`[A-Za-z0-9+/_=-]{8,}`)

// findSecret returns a secret that what holds, in clear or under layers of
// base64, hex, gzip or escapes of URLs; "" if there is none.
func findSecret(what string, secrets []string) string {
	return findUnder(what, secrets, 3)
}

func findUnder(what string, secrets []string, layers int) string {
	for _, s := range secrets {
		if strings.Contains(what, s) {
			return s
		}
	}
	if layers == 0 {
		return ""
	}
	var inner []string
	if plain, err := url.QueryUnescape(what); err == nil && plain != what {
		inner = append(inner, plain)
	}
	for _, run := range letters.FindAllString(what, -1) {
		run = strings.TrimRight(run, "=")
		for skip := range 4 { // what stands before may end anywhere
			rest := run[min(skip, len(run)):]
			for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				for cut := range 2 {
					if b, err := encoding.DecodeString(rest[:max(0, len(rest)-cut)]); err == nil {
						inner = append(inner, string(b))
					}
				}
			}
		}
		if b, err := hex.DecodeString(run); err == nil {
			inner = append(inner, string(b))
		}
	}
	for i, rest := 0, what; ; { // gzip begins with 1f 8b
		next := strings.Index(rest[i:], "\x1f\x8b")
		if next < 0 {
			break
		}
		i += next
		if z, err := gzip.NewReader(strings.NewReader(rest[i:])); err == nil {
			b, _ := io.ReadAll(io.LimitReader(z, 1<<20))
			inner = append(inner, string(b))
		}
		i++
	}
	for _, what := range inner {
		if found := findUnder(what, secrets, layers-1); found != "" {
			return found
		}
	}
	return ""
}

// Who finds nothing proves nothing: this is what findSecret must see.
func TestFindSecret(t *testing.T) {
	t.Parallel()
	const secret = "a-refresh/token+0123456789"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, secret)
	_ = z.Close()
	std, inURL := base64.StdEncoding, base64.RawURLEncoding
	for name, what := range map[string]string{
		"in clear":                    "x" + secret + "y",
		"in base64":                   std.EncodeToString([]byte("x" + secret)),
		"in base64 for URLs":          inURL.EncodeToString([]byte("\xff\xfe" + secret)),
		"in JSON":                     `{"signin":"` + inURL.EncodeToString([]byte(secret)) + `"}`,
		"in base64 twice":             std.EncodeToString([]byte(inURL.EncodeToString([]byte(secret)))),
		"in base64 after other bytes": "ab" + inURL.EncodeToString([]byte(secret)),
		"in hex":                      hex.EncodeToString([]byte(secret)),
		"in hex in capitals":          strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"escaped for a URL":           "x=" + url.QueryEscape(secret) + "&y",
		"escaped in base64":           std.EncodeToString([]byte(url.QueryEscape(secret))),
		"in gzip":                     "xy" + zipped.String(),
		"in gzip in base64":           inURL.EncodeToString(zipped.Bytes()),
	} {
		if found := findSecret(what, []string{"other", secret}); found != secret {
			t.Errorf("%s: got %q; want %q", name, found, secret)
		}
	}
	if found := findSecret("nothing here: "+std.EncodeToString([]byte("nor here")), []string{secret}); found != "" {
		t.Errorf("got %q; want nothing", found)
	}
}
