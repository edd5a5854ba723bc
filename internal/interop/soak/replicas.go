//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A fleet is the replicas of the application, and the front through which
// people reach them.
type fleet struct {
	base      string // the front's address
	listener  net.Listener
	front     *http.Server
	transport *http.Transport
	log       io.Writer
	settings  replicaSettings // without the incarnation

	mu      sync.Mutex
	slots   []*replica // nil while it is killed
	lives   []int      // the number of incarnations so far
	logouts map[string]int
	deleted int // session cookies deleted by anything but a sign-out or a sign-in
}

// A replica is one process of the application.
type replica struct {
	name, addr string
	process    *process
}

// openFront takes the address where people reach the application.
func openFront(log io.Writer) (*fleet, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &fleet{
		base: "http://" + l.Addr().String(), listener: l, log: log, logouts: map[string]int{},
		// Each request has a new connection. If a reused one breaks, it is unknown
		// whether the request has reached the replica.
		transport: &http.Transport{DisableKeepAlives: true},
	}
	return f, nil
}

// start starts n replicas, and the front.
func (f *fleet) start(n int, settings replicaSettings) error {
	f.settings = settings
	f.slots, f.lives = make([]*replica, n), make([]int, n)
	for slot := range n {
		if err := f.revive(slot); err != nil {
			return err
		}
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// The request stays as it is. The transport chooses the replica.
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", r.In.Host, r.In.Host
		},
		Transport:    f,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	f.front = &http.Server{Handler: proxy, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = f.front.Serve(f.listener) }()
	return nil
}

// revive starts a new incarnation of a replica.
func (f *fleet) revive(slot int) error {
	f.mu.Lock()
	f.lives[slot]++
	s := f.settings
	s.Incarnation = fmt.Sprintf("%d.%d", slot+1, f.lives[slot])
	f.mu.Unlock()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	input, err := json.Marshal(s)
	if err != nil {
		return err
	}
	p, addr, err := start(exec.Command(self, replicaFlag), f.log, append(input, '\n'), "ready ")
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots[slot] = &replica{s.Incarnation, addr, p}
	return nil
}

// kill ends a replica as a power cut does, and returns its incarnation.
func (f *fleet) kill(slot int) (incarnation string, at time.Time) {
	f.mu.Lock()
	r := f.slots[slot]
	f.mu.Unlock()
	at = time.Now()
	r.process.kill()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots[slot] = nil
	return r.name, at
}

// addresses returns where the replicas that run listen.
func (f *fleet) addresses() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, r := range f.slots {
		if r != nil {
			all = append(all, r.addr)
		}
	}
	return all
}

func (f *fleet) close() {
	if f.front != nil {
		_ = f.front.Close()
	}
	_ = f.listener.Close()
	for _, r := range f.slots {
		if r != nil {
			r.process.kill()
		}
	}
}

var errNoReplica = errors.New("no replica accepts the connection")

// RoundTrip sends a request to any replica, and to another one only if the
// first did not accept the connection.
func (f *fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, 1<<20)); err != nil {
			return nil, err
		}
	}
	addresses := f.addresses()
	for _, i := range rand.Perm(len(addresses)) {
		out := r.Clone(r.Context())
		out.URL.Host = addresses[i]
		if body != nil {
			out.Body = io.NopCloser(bytes.NewReader(body))
		}
		resp, err := f.transport.RoundTrip(out)
		var refused *net.OpError
		if errors.As(err, &refused) && refused.Op == "dial" {
			continue
		}
		if err == nil && r.URL.Path == "/backchannel-logout" {
			f.heard(string(body), resp.StatusCode)
		}
		if err == nil && r.URL.Path != "/sign-out" && r.URL.Path != "/callback" {
			f.inspect(resp)
		}
		return resp, err
	}
	return nil, errNoReplica
}

// inspect looks for a session cookie that is deleted.
func (f *fleet) inspect(resp *http.Response) {
	deletes, sets := false, false
	for _, c := range resp.Cookies() {
		deletes = deletes || isSession(c.Name) && c.MaxAge < 0
		sets = sets || isSession(c.Name) && c.MaxAge >= 0 // then the deleted one was a part of the old session
	}
	if deletes && !sets {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.deleted++
	}
}

// deletions returns how many session cookies inspect has seen deleted.
func (f *fleet) deletions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.deleted
}

// heard notes what a replica has answered to a logout token.
func (f *fleet) heard(body string, status int) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return
	}
	var claims struct{ Sid string }
	if parts := strings.Split(form.Get("logout_token"), "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &claims)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logouts[claims.Sid] = status
}

// loggedOut waits until a replica has answered the logout token of a provider
// session, and reports whether it accepted the token.
func (f *fleet) loggedOut(ctx context.Context, sid string, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		f.mu.Lock()
		status := f.logouts[sid]
		f.mu.Unlock()
		if status != 0 || ctx.Err() != nil {
			return status == http.StatusOK
		}
		pass(ctx, 20*time.Millisecond)
	}
}
