package app

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// served is a server that Serve runs.
type served struct {
	t        *testing.T
	listener net.Listener
	stop     context.CancelFunc
	ended    chan error
}

func serve(t *testing.T, handler func(*served) http.Handler) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &served{t, l, cancel, make(chan error, 1)}
	go func() { s.ended <- Serve(ctx, l, handler(s)) }()
	return s
}

// get opens the server's page over a connection of its own.
func (s *served) get(language string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+s.listener.Addr().String(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Accept-Language", language)
	resp, err := (&http.Client{Transport: new(http.Transport)}).Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// wantEnd checks that the server has been stopped, and finished in time.
func (s *served) wantEnd() {
	s.t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Errorf("Serve: got error %v; want none", err)
	}
}

func TestServe_FinishesRequestUnderWay(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *served) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			s.stop()
			for { // until Shutdown has closed the listener
				c, err := net.Dial("tcp", s.listener.Addr().String())
				if err != nil {
					break
				}
				c.Close()
			}
			_, _ = io.WriteString(w, "finished")
		})
	})
	resp := s.get("")
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(body) != "finished" {
		t.Errorf("got %d %q, %v; want 200 finished", resp.StatusCode, body, err)
	}
	s.wantEnd()
}

// A stream does not hold up the end of the program.
func TestServe_EndsStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, func(*served) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "open")
			_ = http.NewResponseController(w).Flush()
			<-Stopping(r.Context())
		})
	})
	resp := s.get("")
	s.stop()
	if body, err := io.ReadAll(resp.Body); string(body) != "open" || err != nil {
		t.Errorf("got %q, %v; want the stream to end", body, err)
	}
	s.wantEnd()
}

func TestServe_LargeHeader(t *testing.T) {
	t.Parallel()
	s := serve(t, func(*served) http.Handler { return http.NotFoundHandler() })
	for size, want := range map[int]int{32 << 10: http.StatusNotFound, 128 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		if resp := s.get(strings.Repeat("a,", size/2)); resp.StatusCode != want {
			t.Errorf("a header of %d bytes: got %d; want %d", size, resp.StatusCode, want)
		}
	}
	s.wantEnd()
}
