package provider_test

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/provider"
)

func TestEndSessionURL(t *testing.T) {
	t.Parallel()
	const after = "https://app.test/"
	f := newFake(t)
	f.Meta(map[string]any{"end_session_endpoint": f.URL + "/x7/end?tenant=1"})
	c := f.Client()
	meta, err := c.Metadata(context.Background())
	wantKind(t, err, 0)
	for hint, want := range map[string][]string{"": nil, "a.b.c": {"a.b.c"}} {
		got, err := c.EndSessionURL(context.Background(), after, hint)
		wantKind(t, err, 0)
		u, err := url.Parse(got)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if !strings.HasPrefix(got, meta.EndSessionEndpoint[:len(f.URL)]+"/x7/end?") || q.Get("tenant") != "1" ||
			q.Get("client_id") == "" || q.Get("post_logout_redirect_uri") != after || !reflect.DeepEqual(q["id_token_hint"], want) {
			t.Errorf("hint %q: got %s; want the endpoint with its own query, client, return address and hint", hint, got)
		}
	}

	without := newFake(t)
	without.Meta(map[string]any{"end_session_endpoint": nil})
	if got, err := without.Client().EndSessionURL(context.Background(), after, ""); got != "" || err != nil {
		t.Errorf("no endpoint: got %q, %v; want nothing", got, err)
	}

	down := newFake(t)
	down.Says("/.well-known/openid-configuration", http.StatusInternalServerError, "{}")
	got, err := down.Client().EndSessionURL(context.Background(), after, "")
	wantKind(t, err, provider.Unavailable)
	if got != "" {
		t.Errorf("provider down: got %q; want nothing", got)
	}
}
