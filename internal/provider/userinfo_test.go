package provider_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/gosignin/signin/internal/provider"
)

func jsonOf(v any) ([]byte, error) { return json.Marshal(v) }

func userInfo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		status    int
		mediaType string
		body      string
		subject   string
		want      provider.Kind
	}{
		{"P-userinfo-bearer-header", 200, "application/json", `{"sub":"alice","name":null}`, "alice", 0},
		{"with a charset", 200, "Application/JSON; charset=utf-8", `{"sub":"alice"}`, "alice", 0},
		{"P-userinfo-invalid-sub", 200, "application/json", `{"sub":"bob"}`, "alice", provider.Rejected},
		{"3.6 sub missing", 200, "application/json", `{"name":"Alice"}`, "alice", provider.Rejected},
		{"sub missing, and nobody expected", 200, "application/json", `{}`, "", provider.Rejected},
		{"sub empty", 200, "application/json", `{"sub":""}`, "", provider.Rejected},
		{"sub of the wrong type", 200, "application/json", `{"sub":1}`, "1", provider.Rejected},
		{"sub in another case", 200, "application/json", `{"sub":"Alice"}`, "alice", provider.Rejected},
		{"sub twice", 200, "application/json", `{"sub":"bob","sub":"alice"}`, "alice", provider.Rejected},
		{"sub twice for encoding/json", 200, "application/json", `{"sub":"alice","SUB":"bob"}`, "alice", provider.Rejected},
		{"3.6 wrong content type", 200, "text/html", `{"sub":"alice"}`, "alice", provider.Rejected},
		{"no content type", 200, "", `{"sub":"alice"}`, "alice", provider.Rejected},
		{"3.6 an ID token in its place", 200, "application/jwt", "a.b.c", "alice", provider.Rejected},
		{"an ID token that says it is JSON", 200, "application/json", "a.b.c", "alice", provider.Rejected},
		{"a list", 200, "application/json", `[{"sub":"alice"}]`, "alice", provider.Rejected},
		{"3.6 401", 401, "application/json", `{"sub":"alice"}`, "alice", provider.Rejected},
		{"403", 403, "", ``, "alice", provider.Rejected},
		{"204", 204, "", ``, "alice", provider.Rejected},
		{"500", 500, "application/json", `{"sub":"alice"}`, "alice", provider.Unavailable},
		{"408", 408, "", ``, "alice", provider.Unavailable},
		{"429", 429, "", ``, "alice", provider.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Answer("/x7/me", func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Authorization"); got != "Bearer "+accessToken {
					t.Errorf("got Authorization %q; want the access token", got)
				}
				w.Header()["Content-Type"] = []string{c.mediaType}
				w.WriteHeader(c.status)
				w.Write([]byte(c.body))
			})
			got, err := f.Client().UserInfo(context.Background(), accessToken, c.subject)
			e := wantKind(t, err, c.want)
			if e == nil && string(got) != c.body || e != nil && got != nil {
				t.Errorf("got %q with error %v; want the body, or an error", got, err)
			}
			if c.status != 200 && e.Status != c.status {
				t.Errorf("got status %d in the error; want %d", e.Status, c.status)
			}
		})
	}
}

func TestUserInfoIsNotAsked(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, token := range []string{"", "a\nb", "å"} {
		_, err := f.Client().UserInfo(context.Background(), token, "alice")
		wantKind(t, err, provider.Rejected)
	}
	if hits := f.Hits("/x7/me"); hits != 0 {
		t.Errorf("got %d requests; want none", hits)
	}
	f.Meta(m{"userinfo_endpoint": nil})
	_, err := f.Client().UserInfo(context.Background(), accessToken, "alice")
	wantKind(t, err, provider.Misconfigured)
}
