package provider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/provider"
)

// canaries is 9.5: what goes out in requests and what comes back in answers is
// not in an error, however it is printed and however far it is unwrapped.
func canaries(t *testing.T) {
	t.Parallel()
	const canary = "CaNaRy"
	bodies := map[string]string{
		"JSON":             `{"error":"invalid_grant","error_description":"` + canary + `","access_token":"` + canary + `"}`,
		"a good answer":    `{"access_token":"` + canary + `","token_type":"bearer","id_token":"` + canary + `.` + canary + `.` + canary + `"}`,
		"a number":         `{"access_token":31415926535,"expires_in":31415926535,"sub":31415926535}`,
		"text":             canary,
		"broken JSON":      `{"` + canary + `": ` + canary,
		"a claim twice":    `{"` + canary + `":1,"` + canary + `":2}`,
		"a code too long":  `{"error":"` + strings.Repeat(canary, 20) + `"}`,
		"a code not ASCII": `{"error":"` + canary + `å"}`,
	}
	for name, body := range bodies {
		for _, status := range []int{200, 302, 400, 401, 500} {
			t.Run(fmt.Sprint(name, " with ", status), func(t *testing.T) {
				t.Parallel()
				f := newFake(t)
				up := f.answers[wellKnown]
				answer := func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					w.Header().Set("Location", "https://"+canary+" /")
					w.WriteHeader(status)
					w.Write([]byte(body))
				}
				for _, path := range []string{wellKnown, "/x7/token", "/x7/me", "/x7/revoke", "/x7/keys"} {
					f.Answer(path, answer)
				}
				quiet(t, callAll(t, f, canary), canary)
				f.Answer(wellKnown, up)
				quiet(t, callAll(t, f, canary), canary)
			})
		}
	}
}

// callAll makes every call of a client, with canaries for values.
func callAll(t *testing.T, f *fake, canary string) []error {
	ctx := context.Background()
	c := f.Client(func(cfg *provider.Config) { cfg.ClientSecret = canary })
	_, metadata := c.Metadata(ctx)
	tokens, exchanged := c.Exchange(ctx, canary, canary)
	_, refreshed := c.Refresh(ctx, canary, nil)
	_, info := c.UserInfo(ctx, canary, canary)
	errs := []error{metadata, exchanged, refreshed, info, c.Revoke(ctx, canary)}
	raws := []string{canary, handmade(t, `{"alg":"RS256","kid":"`+canary+`"}`, `{}`), sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"iss": canary, "aud": canary, "sub": canary}), nil),
		sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(m{"jti": canary, "sid": canary, "sub": canary, "events": canary}), nil)}
	if tokens != nil {
		raws = append(raws, tokens.IDToken)
	}
	for _, raw := range raws {
		_, err := c.VerifyIDToken(ctx, raw, jwt.Expect{Nonce: canary, AccessToken: canary, Subject: canary})
		errs = append(errs, err)
		_, err = c.VerifyLogoutToken(ctx, raw)
		errs = append(errs, err)
	}
	return errs
}

// quiet fails if an error, or a cause of it, shows a canary.
func quiet(t *testing.T, errs []error, canary string) {
	t.Helper()
	for _, err := range errs {
		for ; err != nil; err = errors.Unwrap(err) {
			text := fmt.Sprintf("%v %+v %#v", err, err, err)
			if strings.Contains(strings.ToLower(text), strings.ToLower(canary)) || strings.Contains(text, "31415926535") {
				t.Errorf("got a canary in %s", text)
			}
		}
	}
}

// A server that does not speak HTTP is quoted by net/http, and not by us.
func TestMalformedResponseIsNotQuoted(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"CaNaRy\r\n\r\n", "HTTP/1.1 200 OK\r\nCaNaRy\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: http://CaNaRy%zz\r\n\r\n"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			conn.Write([]byte(reply))
			conn.Close()
		}()
		_, err = provider.New(provider.Config{Issuer: "http://" + l.Addr().String()}).Metadata(context.Background())
		if err == nil {
			t.Errorf("%q: got no error", reply)
		}
		quiet(t, []error{err}, "CaNaRy")
		l.Close()
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	const canary = "CaNaRy"
	slog.New(slog.NewTextHandler(&log, nil)).Info("x",
		"config", provider.Config{ClientID: "app", ClientSecret: canary},
		"tokens", &provider.Tokens{IDToken: canary, AccessToken: canary, RefreshToken: canary},
		"id", &jwt.IDToken{Raw: canary, Payload: []byte(canary), Subject: canary})
	if strings.Contains(log.String(), canary) || !strings.Contains(log.String(), "config.client_id=app") {
		t.Errorf("got log line %q; want the client's ID and no canary", log.String())
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	cause := errors.New("why")
	for _, c := range []struct {
		err  *provider.Error
		want string
	}{
		{&provider.Error{Kind: provider.Rejected, Op: "ID token", Err: cause}, "signin: ID token: why"},
		{&provider.Error{Kind: provider.Unavailable, Op: "keys", Status: 503, Err: cause}, "signin: keys: why (503)"},
		{&provider.Error{Kind: provider.Refused, Op: "refresh", Status: 400, OAuthCode: "invalid_grant", Err: cause}, "signin: refresh: why (400 invalid_grant)"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q; want %q", got, c.want)
		}
		if !errors.Is(c.err, cause) {
			t.Errorf("%v does not wrap its cause", c.err)
		}
	}
}
