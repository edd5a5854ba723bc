package provider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/provider"
)

const canary = "CaNaRy"

// 9.5: no error, and no error that it wraps, contains what was sent in requests
// or received in answers.
func TestErrors_Canaries(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"JSON":             `{"error":"invalid_grant","error_description":"` + canary + `","access_token":"` + canary + `"}`,
		"a good answer":    `{"access_token":"` + canary + `","token_type":"bearer","id_token":"` + canary + `.` + canary + `.` + canary + `"}`,
		"a number":         `{"access_token":31415926535,"expires_in":31415926535,"sub":31415926535}`,
		"text":             canary,
		"broken JSON":      `{"` + canary + `": ` + canary,
		"a claim twice":    `{"` + canary + `":1,"` + canary + `":2}`,
		"a code too long":  `{"error":"` + strings.Repeat(canary, 20) + `"}`,
		"a code not ASCII": `{"error":"` + canary + `å"}`,
	} {
		for _, status := range []int{200, 302, 400, 401, 500} {
			t.Run(fmt.Sprint(name, " with ", status), func(t *testing.T) {
				t.Parallel()
				f := newFake()
				for _, path := range []string{wellKnown, tokenPath, userInfoPath, revocationPath, keysPath} {
					f.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Type", "application/json")
						w.Header().Set("Location", "https://"+canary+" /")
						w.WriteHeader(status)
						w.Write([]byte(body))
					})
				}
				wantQuiet(t, callAll(f))
				f.Answer(wellKnown, nil)
				wantQuiet(t, callAll(f))
			})
		}
	}
}

// callAll makes every call of a client, with canaries for values.
func callAll(f *fake) []error {
	ctx := context.Background()
	c := f.Client(func(cfg *provider.Config) { cfg.ClientSecret = canary })
	_, metadata := c.Metadata(ctx)
	tokens, exchanged := c.Exchange(ctx, canary, canary)
	_, refreshed := c.Refresh(ctx, canary, nil)
	_, info := c.UserInfo(ctx, canary, canary)
	errs := []error{metadata, exchanged, refreshed, info, c.Revoke(ctx, canary)}
	raw := canary
	if tokens != nil {
		raw = tokens.IDToken
	}
	for _, v := range verifications {
		_, err := v.verify(c, raw)
		errs = append(errs, err)
	}
	return errs
}

// wantQuiet fails if an error, or one that it wraps, shows a canary.
func wantQuiet(t *testing.T, errs []error) {
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

func TestLogValue(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x",
		"config", provider.Config{ClientID: "app", ClientSecret: canary},
		"tokens", &provider.Tokens{IDToken: canary, AccessToken: canary, RefreshToken: canary})
	if strings.Contains(log.String(), canary) || !strings.Contains(log.String(), "config.client_id=app") {
		t.Errorf("got log line %q; want the client's ID and no canary", log.String())
	}
}

func TestError_Text(t *testing.T) {
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
		if got := c.err.Error(); got != c.want || !errors.Is(c.err, cause) {
			t.Errorf("got %q, cause wrapped: %t; want %q", got, errors.Is(c.err, cause), c.want)
		}
	}
}
