package provider_test

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/settings"
)

// FuzzMetadata checks metadata that is accepted: it names the exact issuer,
// and each endpoint, as encoding/json and net/url read it, is an https URL, or
// one of this machine if the issuer is. Errors about other metadata are short and
// in ASCII.
func FuzzMetadata(f *testing.F) {
	for _, u := range []string{issuer, loopbackIssuer} {
		for _, c := range metadataCases(u) {
			f.Add(metaOf(u, c.changes), u == issuer)
		}
	}
	for _, text := range []string{``, ` `, `null`, `[]`, `{}`, `{"a":1}`, `{} {}`, `{"issuer":1}`, `{"issuer":"a","issuer":"b"}`, "{\"issuer\":\"\xff\"}"} {
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, doc string, https bool) {
		u := loopbackIssuer
		if https {
			u = issuer
		}
		meta, err := publishes(u, doc).Metadata(context.Background())
		if err != nil {
			wantPlain(t, err)
			return
		}
		in, err := document.Parse([]byte(strings.TrimPrefix(doc, "\ufeff")))
		if err != nil {
			t.Fatalf("%s: used; package document says %v", doc, err)
		}
		got := endpoints(meta)
		if said, _ := in.Text("issuer"); said != u || slices.Contains(got[:3], "") {
			t.Errorf("%s: used for %s", doc, u)
		}
		for i, name := range slices.Concat(settings.RequiredEndpoints(), settings.OptionalEndpoints()) {
			if said, _ := in.Text(name); got[i] != "" && got[i] != said {
				t.Errorf("%s: got %s %q; want what it says", doc, name, got[i])
			}
		}
		for _, endpoint := range got {
			e, err := url.Parse(endpoint)
			switch {
			case endpoint == "":
			case err != nil || e.Hostname() == "" || e.User != nil || e.Fragment != "" || strings.Contains(endpoint, "#"):
				t.Errorf("%s: used with endpoint %q", doc, endpoint)
			case e.Scheme == "https":
			case e.Scheme != "http" || https || !slices.Contains([]string{"localhost", "::1"}, e.Hostname()) &&
				!strings.HasPrefix(e.Hostname(), "127.") && !strings.HasSuffix(e.Hostname(), ".localhost") && !strings.HasPrefix(e.Hostname(), "::ffff:127."):
				t.Errorf("%s: used with endpoint %q", doc, endpoint)
			}
		}
	})
}

// wantPlain fails unless an error is one of this package, with a text for a log.
func wantPlain(t *testing.T, err error) *provider.Error {
	t.Helper()
	var e *provider.Error
	if !errors.As(err, &e) || e.Kind < provider.Unavailable || e.Kind > provider.Refused || e.Err == nil {
		t.Fatalf("got error %v; want a *provider.Error", err)
	}
	text := strings.Replace(e.Error(), e.OAuthCode, "", 1)
	if len(text) > 1600 || !document.Printable(text) || e.RetryAfter < 0 || e.RetryAfter > time.Hour {
		t.Errorf("got error %q, retry after %v; want a line of ASCII, and at most an hour", text, e.RetryAfter)
	}
	if len(e.OAuthCode) > 64 || !document.Printable(e.OAuthCode) || strings.ContainsAny(e.OAuthCode, `"\`) {
		t.Errorf("got code %q; want one of RFC 6749", e.OAuthCode)
	}
	return e
}

// FuzzAnswers gives one answer to every request. Tokens are used only if the
// answer, as package document reads it, is a success, and userinfo only if it
// is about the person. A session ends only if the answer says that its grant is
// no longer valid. Errors quote nothing of an answer except its code.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		tokenAnswer(nil), tokenAnswer(m{"token_type": "bEARER", "expires_in": "60"}), tokenAnswer(m{"id_token": nil}), tokenAnswer(m{"expires_in": raw("1e400")}),
		tokenAnswer(m{"access_token": "a\r\nb: c"}), tokenAnswer(m{"token_type": "DPoP"}), tokenAnswer(m{"error": "invalid_grant"}), tokenAnswer(m{"scope": []string{"x"}}),
		`{"sub":"alice","name":null}`, `{"sub":"bob"}`, `{"sub":"alice","SUB":"bob"}`, `{"sub":"bob","sub":"alice"}`, `{}`, `a.b.c`, ``, `<html>`, `[]`,
		`{"error":"invalid_grant"}`, `{"error":"invalid_request"}`, `{"error":"invalid_client"}`, `{"error":"access_denied","error_description":"MFA"}`,
		`{"error":"a\"b"}`, `{"error":"a\nb"}`, `{"error":{}}`, `{"error":null}`, `{"error":"` + strings.Repeat("a", 65) + `"}`,
	} {
		for _, status := range []uint16{200, 204, 302, 400, 401, 403, 429, 500} {
			f.Add(status, "application/json", "7", body)
		}
	}
	f.Add(uint16(200), "Application/JSON; charset=utf-8", "Sun, 01 Mar 2026 12:00:30 GMT", `{"sub":"alice"}`)
	f.Add(uint16(200), "text/html", "99999999999", `{"sub":"alice"}`)
	f.Add(uint16(503), "", "-7", ``)
	f.Add(uint16(200), "application/json", "", `{"sub":"alice","Groups":[],"groups":[]}`)
	f.Add(uint16(200), "application/jwt", "", `{"sub":"alice"}`)
	f.Add(uint16(200), "application/json", "", tokenAnswer(m{"id_token": "\x7fc"}))
	f.Fuzz(func(t *testing.T, status uint16, mediaType, after, body string) {
		if status < 200 || status > 599 {
			return // HTTP has no such status
		}
		f := newFake()
		for _, path := range []string{tokenPath, userInfoPath, revocationPath} {
			f.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"], w.Header()["Retry-After"] = []string{mediaType}, []string{after}
				w.WriteHeader(int(status))
				io.WriteString(w, body)
			})
		}
		c, ctx := f.Client(), context.Background()
		said, unreadable := document.Parse([]byte(strings.TrimPrefix(body, "\ufeff")))
		code, _ := said.Text("error")

		exchanged, err := exchange(c)
		if err == nil && exchanged.IDToken == "" {
			t.Errorf("%d %s: redeemed without an ID token", status, body)
		}
		if err != nil && exchanged != nil {
			if refresh, _ := said.Text("refresh_token"); refresh == "" || *exchanged != (provider.Tokens{RefreshToken: refresh}) {
				t.Errorf("%d %s: got tokens %+v with error %v", status, body, *exchanged, err)
			}
			exchanged = nil
		}
		tokens, refreshErr := c.Refresh(ctx, "r1", nil)
		if refreshErr != nil {
			tokens = nil // it has been compared above
		}
		for _, got := range []*provider.Tokens{exchanged, tokens} {
			if got != nil && got.AccessToken != "" {
				wantTokens(t, int(status), body, said, got)
			}
		}
		if refreshErr != nil {
			e := wantPlain(t, refreshErr)
			trouble := status >= 500 || status == 429 || status == 408 || status/100 == 3
			dead := slices.Contains([]string{"invalid_grant", "interaction_required", "login_required", "consent_required", "account_selection_required",
				"mfa_required"}, code) && !trouble
			denied := status == 400 && (body == "" || unreadable == nil && e.OAuthCode == "") ||
				slices.Contains([]string{"access_denied", "unauthorized", "invalid_token", "token_inactive", "invalid_request"}, code) && status >= 400 && status < 404
			if e.Final() != dead || e.Denied() && !denied || e.Final() && e.Denied() {
				t.Errorf("%d %q: got final %t, denied %t: %v", status, body, e.Final(), e.Denied(), e)
			}
			if refresh, _ := said.Text("refresh_token"); tokens != nil && (refresh == "" || *tokens != (provider.Tokens{RefreshToken: refresh})) {
				t.Errorf("%d %s: got tokens %+v with error %v", status, body, *tokens, refreshErr)
			}
		} else if status/100 != 2 {
			t.Errorf("%d %q: got tokens", status, body)
		}

		info, err := c.UserInfo(ctx, accessToken, "alice")
		media, _, mediaErr := mime.ParseMediaType(mediaType)
		about, _ := document.Parse([]byte(strings.TrimPrefix(body, "\ufeff")))
		if err != nil {
			wantPlain(t, err)
		} else if sub, _ := about.Text("sub"); string(info) != strings.TrimPrefix(body, "\ufeff") || status != 200 || mediaErr != nil || media != "application/json" && !strings.HasSuffix(media, "+json") || sub != "alice" {
			t.Errorf("%d %q %q: got userinfo %q", status, mediaType, body, info)
		}
		if err := c.Revoke(ctx, "r1"); (err == nil) != (status/100 == 2) {
			t.Errorf("%d: revoked, and got %v", status, err)
		} else if err != nil {
			wantPlain(t, err)
		}
	})
}

// wantTokens fails unless the tokens are those of an answer.
func wantTokens(t *testing.T, status int, body string, said document.Object, got *provider.Tokens) {
	t.Helper()
	text := func(name string) string { s, _ := said.Text(name); return s }
	if typ := text("token_type"); status/100 != 2 || text("error") != "" || typ != "" && !strings.EqualFold(typ, "bearer") || got.AccessToken == "" {
		t.Errorf("%d %s: got tokens %+v", status, body, *got)
	}
	id := text("id_token")
	if !document.Printable(id) {
		id = "" // which counts as absent
	}
	if got.AccessToken != text("access_token") || got.IDToken != id || got.RefreshToken != text("refresh_token") {
		t.Errorf("%s: got tokens %+v", body, *got)
	}
	if !got.Expiry.IsZero() && (got.Expiry.Before(now.Add(time.Second)) || got.Expiry.After(now.Add(365*24*time.Hour))) {
		t.Errorf("%s: got expiry %v; want none, or within a year", body, got.Expiry)
	}
	if !document.Printable(got.AccessToken + got.IDToken + got.RefreshToken) {
		t.Errorf("%s: got tokens %+v", body, *got)
	}
}
