package signintest

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// foreignKeysPath is where a token with a jku or x5u header points: a client
// that goes there finds the key that the token is signed with.
const foreignKeysPath = "/foreign/jwks"

func (p *Provider) serveForeignKeys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.spareKey().public()}}
	p.mu.Unlock()
	writeJSON(w, http.StatusOK, set)
}

type answer = func(*Provider, http.ResponseWriter, *http.Request)

func refuse(status int, code, description string) answer {
	return func(_ *Provider, w http.ResponseWriter, _ *http.Request) {
		(&oauthError{status, code, description}).write(w)
	}
}

func status(code int) answer {
	return func(_ *Provider, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func tooMany(_ *Provider, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "30")
	w.WriteHeader(http.StatusTooManyRequests)
}

func page(_ *Provider, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, "<!doctype html><title>Maintenance</title><h1>We will be back</h1>")
}

func garbage(_ *Provider, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"issuer":"`+"\x00\xff{]")
}

// over waits, without end if wait is 0, and reports whether nobody waits for the
// answer to r any more.
func (p *Provider) over(r *http.Request, wait time.Duration) bool {
	var timer <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
		return false
	case <-r.Context().Done():
	case <-p.closing:
	}
	return true
}

// hang ends without an answer when the client gives up or the provider closes.
func hang(p *Provider, _ http.ResponseWriter, r *http.Request) {
	p.over(r, 0)
	panic(http.ErrAbortHandler)
}

func trickle(p *Provider, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for {
		io.WriteString(w, " ")
		http.NewResponseController(w).Flush()
		if p.over(r, time.Second) {
			panic(http.ErrAbortHandler)
		}
	}
}

// endless writes an object for as long as somebody reads.
func endless(p *Provider, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{")
	blanks := bytes.Repeat([]byte{' '}, 64<<10)
	for {
		select {
		case <-p.closing:
			panic(http.ErrAbortHandler)
		default:
		}
		if _, err := w.Write(blanks); err != nil {
			return
		}
	}
}

// gzipBomb is a gigabyte in one megabyte: a small member a thousand times, which
// readers take for one stream. https://www.rfc-editor.org/rfc/rfc1952#section-2.2
func gzipBomb(_ *Provider, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	w.Write(packed([]byte("{")))
	member := packed(bytes.Repeat([]byte{' '}, 1<<20))
	for range 1 << 10 {
		if _, err := w.Write(member); err != nil {
			return
		}
	}
}

func packed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(b)
	must(err)
	must(z.Close())
	return out.Bytes()
}

// reset ends the connection with a TCP reset, which is what a client sees of a
// server that is killed.
func reset(_ *Provider, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	must(err)
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// redirectHere keeps method and body: a client that follows it sends its
// secrets to wherever it is told.
func redirectHere(p *Provider, w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, p.URL+r.URL.Path+"?redirected=1", http.StatusTemporaryRedirect)
}

func userInfoAsPage(p *Provider, w http.ResponseWriter, r *http.Request) {
	p.serveUserInfo(asPage{w}, r)
}

// asPage calls every body a page.
type asPage struct{ http.ResponseWriter }

func (w asPage) WriteHeader(status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.ResponseWriter.WriteHeader(status)
}

func idTokenAsUserInfo(p *Provider, w http.ResponseWriter, r *http.Request) {
	u, a, err := p.bearer(r)
	if err != nil {
		err.write(w)
		return
	}
	p.mu.Lock()
	token := p.idToken(u, a, nil, "", "")
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/jwt")
	io.WriteString(w, token)
}

func weakAlgorithms(p *Provider, doc map[string]any) {
	doc["id_token_signing_alg_values_supported"] = []string{"none", "HS256", p.settings.algorithm}
}

// otherProvider is the document as another provider serves it.
func otherProvider(p *Provider, doc map[string]any) {
	for name, value := range doc {
		if s, ok := value.(string); ok {
			doc[name] = strings.Replace(s, p.Issuer, foreignIssuer, 1)
		}
	}
}

// httpEndpoints takes the s out of https or, where there is none, points away
// from loopback.
func httpEndpoints(p *Provider, doc map[string]any) {
	base := "http://provider.example"
	if rest, ok := strings.CutPrefix(p.URL, "https://"); ok {
		base = "http://" + rest
	}
	for name, value := range doc {
		if s, ok := value.(string); ok && name != "issuer" {
			doc[name] = strings.Replace(s, p.URL, base, 1)
		}
	}
}

// manyKeys puts Ed25519 keys in front, the shortest there are.
func manyKeys(_ *Provider, set *jose.JSONWebKeySet) {
	keys := make([]jose.JSONWebKey, 0, 10_000+len(set.Keys))
	for i := range 10_000 {
		public := make(ed25519.PublicKey, ed25519.PublicKeySize)
		rand.Read(public)
		keys = append(keys, jose.JSONWebKey{Key: public, KeyID: strconv.Itoa(i)})
	}
	set.Keys = append(keys, set.Keys...)
}
