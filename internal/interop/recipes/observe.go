package recipes

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/gosignin/signin"
)

// observe sets what a Config needs for metrics and traces.
func observe(cfg *signin.Config, registry prometheus.Registerer) {
	events := promauto.With(registry).NewCounterVec(prometheus.CounterOpts{
		Name: "signin_events_total",
		Help: "What happened to sign-ins and sessions.",
	}, []string{"kind", "reason"})
	cfg.OnEvent = func(_ context.Context, e signin.Event) {
		events.WithLabelValues(string(e.Kind), e.Reason).Inc() // no subject: one series for each person
	}
	cfg.HTTPClient = &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
}

// withUser is a slog.Handler that says in each record who sent the request.
type withUser struct{ slog.Handler }

func (h withUser) Handle(ctx context.Context, record slog.Record) error {
	if user, ok := signin.UserFrom(ctx); ok {
		record = record.Clone()
		record.AddAttrs(slog.String("user", user.Subject))
	}
	return h.Handler.Handle(ctx, record)
}

func (h withUser) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withUser{h.Handler.WithAttrs(attrs)}
}

func (h withUser) WithGroup(name string) slog.Handler {
	return withUser{h.Handler.WithGroup(name)}
}
