package faults

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"time"
)

func status(code int) func(*Facts, http.ResponseWriter, *http.Request) {
	return func(_ *Facts, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func tooMany(_ *Facts, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "30")
	w.WriteHeader(http.StatusTooManyRequests)
}

func page(_ *Facts, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, "<!doctype html><title>Maintenance</title><h1>We will be back</h1>")
}

func garbage(_ *Facts, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"issuer":"`+"\x00\xff{]")
}

// over waits, without limit if wait is 0, and reports whether the client of r has
// gone or the provider has ended.
func (f *Facts) over(r *http.Request, wait time.Duration) bool {
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
	case <-f.Closing:
	}
	return true
}

// hang sends no answer until the client gives up or the provider ends.
func hang(f *Facts, _ http.ResponseWriter, r *http.Request) {
	f.over(r, 0)
	panic(http.ErrAbortHandler)
}

func trickle(f *Facts, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for {
		io.WriteString(w, " ")
		http.NewResponseController(w).Flush()
		if f.over(r, time.Second) {
			panic(http.ErrAbortHandler)
		}
	}
}

// endless writes an object as long as the client reads.
func endless(f *Facts, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{")
	blanks := bytes.Repeat([]byte{' '}, 64<<10)
	for {
		select {
		case <-f.Closing:
			panic(http.ErrAbortHandler)
		default:
		}
		if _, err := w.Write(blanks); err != nil {
			return
		}
	}
}

// gzipBomb sends a gigabyte in one megabyte: a small member a thousand times,
// which readers unpack as one stream.
// https://www.rfc-editor.org/rfc/rfc1952#section-2.2
func gzipBomb(_ *Facts, w http.ResponseWriter, _ *http.Request) {
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

// reset ends the connection with a TCP reset, as when a server is killed.
func reset(_ *Facts, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	must(err)
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// redirectHere keeps method and body: a client that follows it would send its
// secrets to any address.
func redirectHere(f *Facts, w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, f.URL+r.URL.Path+"?redirected=1", http.StatusTemporaryRedirect)
}

// redirectedOnce answers a first request with a redirect to the same address, where
// the right answer is.
func redirectedOnce(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if r.URL.Query().Has("redirected") {
		return w
	}
	return elsewhere{w, r.URL.Path + "?redirected=1"}
}

// elsewhere is a redirect in place of every answer.
type elsewhere struct {
	http.ResponseWriter
	location string
}

func (w elsewhere) WriteHeader(int) {
	w.Header().Set("Location", w.location)
	w.ResponseWriter.WriteHeader(http.StatusFound)
}

func (elsewhere) Write(body []byte) (int, error) { return len(body), nil }

// marked puts a byte order mark before every body, which is written at once.
type marked struct{ http.ResponseWriter }

func (w marked) Write(body []byte) (int, error) {
	_, err := io.WriteString(w.ResponseWriter, "\ufeff"+string(body))
	return len(body), err
}

func withMark(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return marked{w} }

func withPageType(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return asPage{w} }

// asPage gives every body the type of a page.
type asPage struct{ http.ResponseWriter }

func (w asPage) WriteHeader(status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.ResponseWriter.WriteHeader(status)
}
