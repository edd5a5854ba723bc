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
	at     string
	status int
	body   string // some of it
	bytes  int64  // at least
	packed bool
	err    error
}

var answers = map[string]answer{
	faults.TokenEmpty400:      {at: faults.AtToken, status: 400},
	faults.Token429:           {at: faults.AtToken, status: 429},
	faults.Token500:           {at: faults.AtToken, status: 500},
	faults.TokenHTML:          {at: faults.AtToken, status: 200, body: "<h1>"},
	faults.TokenGarbage:       {at: faults.AtToken, status: 200, body: "\xff"},
	faults.TokenRedirect:      {at: faults.AtToken, status: 307},
	faults.UserInfo500:        {at: faults.AtUserInfo, status: 500},
	faults.UserInfoRedirect:   {at: faults.AtUserInfo, status: 307},
	faults.Discovery500:       {at: faults.AtDiscovery, status: 500},
	faults.DiscoveryHTML:      {at: faults.AtDiscovery, status: 200, body: "<h1>"},
	faults.DiscoveryGarbage:   {at: faults.AtDiscovery, status: 200, body: "\xff"},
	faults.Keys500:            {at: faults.AtKeys, status: 500},
	faults.KeysGarbage:        {at: faults.AtKeys, status: 200, body: "\xff"},
	faults.Revocation500:      {at: faults.AtRevocation, status: 500},
	faults.RevocationRedirect: {at: faults.AtRevocation, status: 307},

	faults.TokenTrickle:      {at: faults.AtToken, status: 200, bytes: 1},
	faults.TokenEndless:      {at: faults.AtToken, status: 200, bytes: 8 << 20},
	faults.TokenGzipBomb:     {at: faults.AtToken, status: 200, bytes: 64 << 20, packed: true},
	faults.UserInfoEndless:   {at: faults.AtUserInfo, status: 200, bytes: 8 << 20},
	faults.DiscoveryTrickle:  {at: faults.AtDiscovery, status: 200, bytes: 1},
	faults.DiscoveryEndless:  {at: faults.AtDiscovery, status: 200, bytes: 8 << 20},
	faults.DiscoveryGzipBomb: {at: faults.AtDiscovery, status: 200, bytes: 64 << 20, packed: true},
	faults.KeysEndless:       {at: faults.AtKeys, status: 200, bytes: 8 << 20},
	faults.KeysGzipBomb:      {at: faults.AtKeys, status: 200, bytes: 64 << 20, packed: true},

	faults.TokenHang:      {at: faults.AtToken, err: context.DeadlineExceeded},
	faults.UserInfoHang:   {at: faults.AtUserInfo, err: context.DeadlineExceeded},
	faults.DiscoveryHang:  {at: faults.AtDiscovery, err: context.DeadlineExceeded},
	faults.KeysHang:       {at: faults.AtKeys, err: context.DeadlineExceeded},
	faults.RevocationHang: {at: faults.AtRevocation, err: context.DeadlineExceeded},
	faults.TokenReset:     {at: faults.AtToken, err: syscall.ECONNRESET},
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for fault, want := range answers {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			if got := faults.Of(fault).At; got != want.at {
				t.Errorf("got an answer of %s; want of %s", got, want.at)
			}
			f := facts()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f.URL = "http://" + r.Host
				faults.Of(fault).Answer(f, w, r)
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
				want.compare(t, server.URL, resp)
			}
		})
	}
}

func (want answer) compare(t *testing.T, address string, resp *http.Response) {
	t.Helper()
	contentType := ""
	switch {
	case want.body == "<h1>":
		contentType = "text/html; charset=utf-8"
	case want.status == 200:
		contentType = "application/json"
	}
	if resp.StatusCode != want.status || !strings.HasPrefix(resp.Header.Get("Content-Type"), contentType) || resp.Uncompressed != want.packed {
		t.Errorf("got %s, %v", resp.Status, resp.Header)
	}
	if (resp.Header.Get("Retry-After") != "") != (want.status == 429) {
		t.Errorf("got Retry-After %q", resp.Header.Get("Retry-After"))
	}
	if at := resp.Header.Get("Location"); (want.status == 307) != (at == address+"/path?redirected=1") {
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
