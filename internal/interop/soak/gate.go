//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A gate is the proxy between the replicas and their provider. It records every
// token request and the provider's answer, by which the soak judges, and simulates
// the failures of the provider. A failing gate never forwards a request, so that no
// failure loses a token that the provider has rotated.
type gate struct {
	url       string
	server    *http.Server
	transport *http.Transport

	mu      sync.Mutex
	failing failure
	over    chan struct{} // closed when failing ends
	kept    int           // refreshes that a failure kept from the provider
	chains  map[string]*chain
	tokens  map[string]place // of each refresh token ever given
}

// A failure is a way in which the provider fails.
type failure string

const (
	answers500 failure = "provider-500"
	resets     failure = "provider-reset"
	hangs      failure = "provider-hang"
	garbage    failure = "provider-garbage"
)

// A chain is the refresh tokens of one sign-in, which its nonce names.
type chain struct {
	nonce, subject, sid string
	generations         []*generation
	inFlight, most      int // refreshes at the provider at once
	// revoked is when the application revoked the grant, or zero.
	revoked time.Time
}

// A generation is one refresh token.
type generation struct {
	issued time.Time
	to     string // the incarnation that asked for it
	uses   []use  // that reached the provider
	kept   int    // uses that a failure kept from it
}

// A use is one refresh that has reached the provider.
type use struct {
	at, answered time.Time
	by           string // the incarnation
	status       int
	next         int // the generation that it gave; 0: none
}

// place is the position of a refresh token in its chain.
type place struct {
	*chain
	number int
}

// wayLength is the longest time that a token request takes to the provider, and its
// answer back, as over a network.
const wayLength = 30 * time.Millisecond

func startGate() (*gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{
		url: "http://" + l.Addr().String(), transport: &http.Transport{MaxIdleConnsPerHost: 64},
		chains: map[string]*chain{}, tokens: map[string]place{},
	}
	g.server = &http.Server{Handler: g}
	go func() { _ = g.server.Serve(l) }()
	return g, nil
}

func (g *gate) close() {
	g.fail("")
	_ = g.server.Close()
	g.transport.CloseIdleConnections()
}

// fail makes the provider fail from now on, or with "" work again.
func (g *gate) fail(f failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failing != "" {
		close(g.over)
	}
	g.failing, g.over = f, make(chan struct{})
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	form := url.Values{}
	if r.Method == http.MethodPost {
		if form, err = url.ParseQuery(string(body)); err != nil {
			http.Error(w, "not a form", http.StatusBadRequest)
			return
		}
		pass(r.Context(), rand.N(wayLength))
	}
	if g.failed(w, r, form) {
		return
	}
	g.forward(w, r, body, form)
}

// failed answers in the provider's place while it is to fail.
func (g *gate) failed(w http.ResponseWriter, r *http.Request, form url.Values) bool {
	g.mu.Lock()
	failing, over := g.failing, g.over
	if failing != "" && form.Get("grant_type") == "refresh_token" {
		g.kept++
		if from, known := g.tokens[form.Get("refresh_token")]; known {
			from.generations[from.number].kept++
		}
	}
	g.mu.Unlock()
	switch failing {
	case answers500:
		http.Error(w, "on purpose", http.StatusInternalServerError)
	case garbage:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token": "cut sh`)
	case resets:
		reset(w)
	case hangs:
		select {
		case <-over:
		case <-r.Context().Done():
		}
		reset(w)
	default:
		return false
	}
	return true
}

// reset ends a connection as a crash of the other side does.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

// pass waits for d, or until ctx ends.
func pass(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// forward sends a request to the provider. Its replica may be killed meanwhile,
// but the provider's answer is still recorded.
func (g *gate) forward(w http.ResponseWriter, r *http.Request, body []byte, form url.Values) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
	defer cancel()
	out := r.Clone(ctx)
	out.RequestURI, out.Body, out.ContentLength = "", io.NopCloser(bytes.NewReader(body)), int64(len(body))
	by := out.Header.Get(incarnationHeader)
	out.Header.Del(incarnationHeader)
	out.Header.Del("Proxy-Connection")
	out.Header.Del("Accept-Encoding") // so that the transport sets, and decodes, its own

	done := g.reaches(form, by)
	resp, err := g.transport.RoundTrip(out)
	if err != nil {
		done(0, nil)
		http.Error(w, "the provider cannot be reached", http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		done(0, nil)
		http.Error(w, "the provider broke off", http.StatusBadGateway)
		return
	}
	done(resp.StatusCode, answer)
	if r.Method == http.MethodPost {
		pass(r.Context(), rand.N(wayLength))
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer)
}

// reaches records that a request of incarnation by reaches the provider. The
// caller calls done with the answer, or with status 0 without one.
func (g *gate) reaches(form url.Values, by string) (done func(status int, answer []byte)) {
	at := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case form.Get("grant_type") == "authorization_code":
		return func(status int, answer []byte) { g.exchanged(by, status, answer) }
	case form.Get("grant_type") == "refresh_token":
		from, known := g.tokens[form.Get("refresh_token")]
		if !known {
			break
		}
		from.inFlight++
		from.most = max(from.most, from.inFlight)
		return func(status int, answer []byte) { g.refreshed(from, use{at: at, by: by, status: status}, answer) }
	case form.Has("token"):
		if of, known := g.tokens[form.Get("token")]; known && of.revoked.IsZero() {
			of.revoked = at
		}
	}
	return func(int, []byte) {}
}

// tokenAnswer is the part of a token endpoint's answer that the gate records.
type tokenAnswer struct {
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
}

func (g *gate) exchanged(by string, status int, answer []byte) {
	var tokens tokenAnswer
	if status != http.StatusOK || json.Unmarshal(answer, &tokens) != nil || tokens.RefreshToken == "" {
		return
	}
	var claims struct{ Nonce, Sub, Sid string }
	if parts := strings.Split(tokens.IDToken, "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &claims)
	}
	c := &chain{nonce: claims.Nonce, subject: claims.Sub, sid: claims.Sid}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.chains[c.nonce] = c
	g.add(c, tokens.RefreshToken, by)
}

func (g *gate) refreshed(from place, u use, answer []byte) {
	var tokens tokenAnswer
	_ = json.Unmarshal(answer, &tokens) // error responses have no tokens
	u.answered = time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	from.inFlight--
	if u.status == http.StatusOK && tokens.RefreshToken != "" {
		u.next = g.add(from.chain, tokens.RefreshToken, u.by)
	}
	token := from.generations[from.number]
	token.uses = append(token.uses, u)
}

// add records a new refresh token and returns its number. The caller holds
// g.mu.
func (g *gate) add(c *chain, token, to string) int {
	number := len(c.generations)
	c.generations = append(c.generations, &generation{issued: time.Now(), to: to})
	g.tokens[token] = place{c, number}
	return number
}

// refreshes returns how many refreshes the provider has made, and how many a
// failure kept from it.
func (g *gate) refreshes() (made, kept int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.chains {
		made += len(c.generations) - 1
	}
	return made, g.kept
}
