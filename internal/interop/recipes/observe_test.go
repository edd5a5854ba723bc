package recipes

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

func TestObserve(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans)))
	registry := prometheus.NewRegistry()
	app := signintest.Start(t, func(cfg signin.Config) (http.Handler, error) {
		observe(&cfg, registry)
		return newSite(cfg)
	})
	ask(t, app.Browser(signintest.Alice()), "GET", app.URL+"/inbox", nil)

	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("got %d metrics, %v; want 1", len(families), err)
	}
	var counted []string
	for _, m := range families[0].GetMetric() {
		counted = append(counted, m.String())
	}
	if len(counted) != 1 || !strings.Contains(counted[0], "signed_in") {
		t.Errorf("got %v; want one sign-in counted", counted)
	}
	var asked []string
	for _, span := range spans.Ended() {
		for _, a := range span.Attributes() {
			if value := a.Value.String(); a.Key == "url.full" {
				asked = append(asked, strings.TrimPrefix(value, app.Provider.Issuer))
			}
		}
	}
	if !slices.Contains(asked, "/token") || slices.ContainsFunc(asked, func(u string) bool { return strings.Contains(u, "?") }) {
		t.Errorf("got spans for %q; want one for the token request, and none with a query", asked)
	}
}

func TestWithUser(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	plain := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	log := slog.New(withUser{plain})
	request := httptest.NewRequest("GET", "/", nil)
	ofAlice := signintest.WithUser(request, &signin.User{Subject: "alice"}).Context()
	log.InfoContext(ofAlice, "bought")
	log.With("article", "tea").InfoContext(ofAlice, "bought")
	log.WithGroup("cart").InfoContext(request.Context(), "looked")
	want := "level=INFO msg=bought user=alice\nlevel=INFO msg=bought article=tea user=alice\nlevel=INFO msg=looked\n"
	if out.String() != want {
		t.Errorf("got %q; want %q", &out, want)
	}
}
