package redisstore_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

func benchmarked(b *testing.B) *redis.Client {
	b.Helper()
	return startNode(b).client()
}

// BenchmarkShared is what each request of a signed-in person asks: four keys, of
// which one is there.
func BenchmarkShared(b *testing.B) {
	s := redisstore.NewShared(benchmarked(b))
	keys := []string{"n.aaaaaaaaaaaaaaaaaaaaaaaa", "e.bbbbbbbbbbbbbbbbbbbbbbbb", "e.cccccccccccccccccccccccc", "e.dddddddddddddddddddddddd"}
	ctx := context.Background()
	if err := s.Set(ctx, keys[2], []byte("s12345678"), time.Hour); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		values, err := s.Get(ctx, keys...)
		if err != nil || values[0] != nil || string(values[2]) != "s12345678" {
			b.Fatal(values, err)
		}
	}
}

// BenchmarkSessions reads a session of 1.5 KB.
func BenchmarkSessions(b *testing.B) {
	s := redisstore.NewSessions(benchmarked(b))
	r := requestWith("signin", "")
	session, err := s.New(r, "signin")
	if err != nil {
		b.Fatal(err)
	}
	session.Values["signin"] = strings.Repeat("x", 1500)
	if err := s.Save(r, httptest.NewRecorder(), session); err != nil {
		b.Fatal(err)
	}
	r = requestWith("signin", session.ID)
	b.ReportAllocs()
	for b.Loop() {
		if session, err := s.New(r, "signin"); err != nil || session.IsNew {
			b.Fatal(session, err)
		}
	}
}
