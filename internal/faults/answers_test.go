package faults_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
)

// answer is a whole answer, or how far one comes.
type answer struct {
	status      int
	contentType string
	body        string // some of it
	bytes       int64  // at least
	packed      bool
	err         error
}

// answers has, for each fault that answers in place of the provider, what its
// name says behind the endpoint.
var answers = map[string]answer{
	"empty-400": {status: 400},
	"429":       {status: 429},
	"500":       {status: 500},
	"redirect":  {status: 307, contentType: "text/html; charset=utf-8"},
	"html":      {status: 200, contentType: "text/html; charset=utf-8", body: "<h1>"},
	"garbage":   {status: 200, contentType: "application/json", body: "\xff"},
	"trickle":   {status: 200, contentType: "application/json", bytes: 1},
	"endless":   {status: 200, contentType: "application/json", bytes: 8 << 20},
	"gzip-bomb": {status: 200, contentType: "application/json", bytes: 64 << 20, packed: true},
	"hang":      {err: context.DeadlineExceeded},
	"reset":     {err: syscall.ECONNRESET},
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, fault := range faults.Names[string]() {
		effect := faults.Of(fault)
		if effect.Answer == nil {
			continue
		}
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			want, known := answers[strings.TrimPrefix(fault, effect.At+"-")]
			if !known {
				t.Fatalf("got an answer of %s", effect.At)
			}
			f := facts()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f.URL = "http://" + r.Host
				effect.Answer(f, w, r)
			}))
			defer server.Close()
			client := server.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			if want.err == context.DeadlineExceeded {
				client.Timeout = 50 * time.Millisecond
			}
			resp, err := client.Get(server.URL + "/path")
			if !errors.Is(err, want.err) {
				t.Fatalf("got %v; want %v", err, want.err)
			}
			if err == nil {
				defer resp.Body.Close()
				want.compare(t, resp)
			}
		})
	}
}

func (want answer) compare(t *testing.T, resp *http.Response) {
	t.Helper()
	contentType := resp.Header.Get("Content-Type")
	if resp.StatusCode != want.status || contentType != want.contentType || resp.Uncompressed != want.packed {
		t.Errorf("got %s, %v", resp.Status, resp.Header)
	}
	if after := resp.Header.Get("Retry-After"); (after != "") != (want.status == 429) {
		t.Errorf("got Retry-After %q", after)
	}
	at := resp.Header.Get("Location")
	if here := "http://" + resp.Request.URL.Host + "/path?redirected=1"; (want.status == 307) != (at == here) {
		t.Errorf("got Location %q", at)
	}
	if want.bytes > 0 {
		if n, err := io.CopyN(io.Discard, resp.Body, want.bytes); n != want.bytes || err != nil {
			t.Errorf("got %d bytes, %v; want %d", n, err, want.bytes)
		}
		return
	}
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), want.body) {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestGzipBomb_IsSmallAndEnds(t *testing.T) {
	t.Parallel()
	recorded := httptest.NewRecorder()
	faults.Of(faults.KeysGzipBomb).Answer(facts(), recorded, nil)
	if n := recorded.Body.Len(); n > 16<<20 || n < 1<<10 {
		t.Errorf("got %d bytes; want about a megabyte", n)
	}
}

// gone is the writer of a connection that has ended.
type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAnswers_ProviderEnds(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{faults.TokenHang, faults.TokenTrickle, faults.TokenEndless} {
		f, closing := facts(), make(chan struct{})
		close(closing)
		f.Closing = closing
		func() {
			defer func() {
				if got := recover(); got != http.ErrAbortHandler {
					t.Errorf("%s: got %v; want the connection ended", fault, got)
				}
			}()
			faults.Of(fault).Answer(f, gone{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil))
		}()
	}
}
