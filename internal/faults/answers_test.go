package faults_test

import (
	"crypto/tls"
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

// refusals are the answers that are an OAuth error.
var refusals = map[string]faults.Refusal{
	faults.TokenInvalidGrant:   {Status: 400, Code: "invalid_grant"},
	faults.TokenInvalidClient:  {Status: 401, Code: "invalid_client"},
	faults.TokenSecretExpired:  {Status: 400, Code: "invalid_request", Description: "client secret has expired"},
	faults.TokenInvalidRequest: {Status: 400, Code: "invalid_request"},
	faults.TokenInvalidTarget:  {Status: 400, Code: "invalid_target"},
	faults.TokenInvalidScope:   {Status: 400, Code: "invalid_scope"},
	faults.TokenForbidden:      {Status: 403, Code: "access_denied"},
	faults.UserInfo401:         {Status: 401, Code: "invalid_token"},
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for fault, want := range refusals {
		got := faults.Of(fault).Refusal
		if got.Status != want.Status || got.Code != want.Code || got.Description == "" || !strings.Contains(got.Description, want.Description) {
			t.Errorf("%s: got %+v; want %+v", fault, got, want)
		}
	}
}

// answer is a whole answer, or how far one comes.
type answer struct {
	at          string
	status      int
	contentType string
	body        string // some of it
	bytes       int64  // at least
	packed      bool
	err         func(error) bool
}

var (
	timedOut = func(err error) bool {
		var timeout interface{ Timeout() bool }
		return errors.As(err, &timeout) && timeout.Timeout()
	}
	wasReset = func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	json200  = "application/json"
)

var answers = map[string]answer{
	faults.TokenEmpty400:      {at: faults.AtToken, status: 400},
	faults.Token429:           {at: faults.AtToken, status: 429},
	faults.Token500:           {at: faults.AtToken, status: 500},
	faults.TokenHTML:          {at: faults.AtToken, status: 200, contentType: "text/html", body: "<h1>"},
	faults.TokenGarbage:       {at: faults.AtToken, status: 200, contentType: json200, body: "\xff"},
	faults.TokenRedirect:      {at: faults.AtToken, status: 307},
	faults.UserInfo500:        {at: faults.AtUserInfo, status: 500},
	faults.UserInfoRedirect:   {at: faults.AtUserInfo, status: 307},
	faults.Discovery500:       {at: faults.AtDiscovery, status: 500},
	faults.DiscoveryHTML:      {at: faults.AtDiscovery, status: 200, contentType: "text/html", body: "<h1>"},
	faults.DiscoveryGarbage:   {at: faults.AtDiscovery, status: 200, contentType: json200, body: "\xff"},
	faults.Keys500:            {at: faults.AtKeys, status: 500},
	faults.KeysGarbage:        {at: faults.AtKeys, status: 200, contentType: json200, body: "\xff"},
	faults.Revocation500:      {at: faults.AtRevocation, status: 500},
	faults.RevocationRedirect: {at: faults.AtRevocation, status: 307},

	faults.TokenTrickle:      {at: faults.AtToken, status: 200, contentType: json200, bytes: 1},
	faults.TokenEndless:      {at: faults.AtToken, status: 200, contentType: json200, bytes: 8 << 20},
	faults.TokenGzipBomb:     {at: faults.AtToken, status: 200, contentType: json200, bytes: 64 << 20, packed: true},
	faults.UserInfoEndless:   {at: faults.AtUserInfo, status: 200, contentType: json200, bytes: 8 << 20},
	faults.DiscoveryTrickle:  {at: faults.AtDiscovery, status: 200, contentType: json200, bytes: 1},
	faults.DiscoveryEndless:  {at: faults.AtDiscovery, status: 200, contentType: json200, bytes: 8 << 20},
	faults.DiscoveryGzipBomb: {at: faults.AtDiscovery, status: 200, contentType: json200, bytes: 64 << 20, packed: true},
	faults.KeysEndless:       {at: faults.AtKeys, status: 200, contentType: json200, bytes: 8 << 20},
	faults.KeysGzipBomb:      {at: faults.AtKeys, status: 200, contentType: json200, bytes: 64 << 20, packed: true},

	faults.TokenHang:      {at: faults.AtToken, err: timedOut},
	faults.UserInfoHang:   {at: faults.AtUserInfo, err: timedOut},
	faults.DiscoveryHang:  {at: faults.AtDiscovery, err: timedOut},
	faults.KeysHang:       {at: faults.AtKeys, err: timedOut},
	faults.RevocationHang: {at: faults.AtRevocation, err: timedOut},
	faults.TokenReset:     {at: faults.AtToken, err: wasReset},
}

// serve answers every request with what is said in place of the right answer.
func serve(t *testing.T, fault string, start func(*httptest.Server)) (server *httptest.Server, end func()) {
	t.Helper()
	f, closing := facts(), make(chan struct{})
	f.Closing = closing
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		faults.Of(fault).Answer(f, w, r)
	}))
	start(server)
	f.URL = server.URL
	return server, func() { close(closing); server.Close() }
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for fault, want := range answers {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			server, end := serve(t, fault, (*httptest.Server).Start)
			defer end()
			client := server.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			if strings.HasSuffix(fault, "-hang") {
				client.Timeout = 50 * time.Millisecond
			}
			if got := faults.Of(fault).At; got != want.at {
				t.Errorf("got an answer of %s; want of %s", got, want.at)
			}
			resp, err := client.Get(server.URL + "/path")
			if want.err != nil {
				if err == nil || !want.err(err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != want.status || !strings.HasPrefix(resp.Header.Get("Content-Type"), want.contentType) || resp.Uncompressed != want.packed {
				t.Errorf("got %s, %v", resp.Status, resp.Header)
			}
			if (resp.Header.Get("Retry-After") != "") != (want.status == 429) {
				t.Errorf("got Retry-After %q", resp.Header.Get("Retry-After"))
			}
			if at := resp.Header.Get("Location"); (want.status == 307) != (at == server.URL+"/path?redirected=1") {
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
		})
	}
}

func TestAGzipBombIsSmallAndEnds(t *testing.T) {
	t.Parallel()
	server, end := serve(t, faults.KeysGzipBomb, (*httptest.Server).Start)
	defer end()
	r, err := http.NewRequest(http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip") // and it is left packed
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n > 16<<20 || n < 1<<10 || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %d bytes, %v; want a few megabytes", n, err)
	}
}

// Nothing that does not end outlives the provider.
func TestAnswersEndWithTheProvider(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{faults.TokenHang, faults.TokenTrickle, faults.TokenEndless} {
		server, end := serve(t, fault, (*httptest.Server).Start)
		ended := make(chan error)
		go func() {
			resp, err := server.Client().Get(server.URL)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			ended <- err
		}()
		time.AfterFunc(50*time.Millisecond, end)
		if err := <-ended; err == nil {
			t.Errorf("%s: got a whole answer; want the connection ended", fault)
		}
	}
}

func TestAResetOverTLSEndsTheConnection(t *testing.T) {
	t.Parallel()
	server, end := serve(t, faults.TokenReset, (*httptest.Server).StartTLS)
	defer end()
	resp, err := server.Client().Get(server.URL)
	if err == nil {
		resp.Body.Close()
		t.Errorf("got %s; want no answer", resp.Status)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		t.Errorf("got %v; want the connection ended, not refused", err)
	}
}

func TestUserInfoContentType(t *testing.T) {
	t.Parallel()
	effect, recorded := faults.Of(faults.UserInfoContentType), httptest.NewRecorder()
	w := effect.Wrap(recorded)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	io.WriteString(w, `{"sub":"bob"}`)
	if effect.At != faults.AtUserInfo || recorded.Header().Get("Content-Type") != "text/html; charset=utf-8" || recorded.Body.String() != `{"sub":"bob"}` {
		t.Errorf("got %v %s at %s; want the right body, called a page", recorded.Header(), recorded.Body, effect.At)
	}
}
