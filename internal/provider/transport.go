package provider

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/document"
)

const (
	// requestTimeout limits a whole request, from dialing to the last byte.
	requestTimeout = 10 * time.Second
	// maxBody is how much of an answer is read, in bytes after decompression.
	maxBody = 1 << 20
	// maxRetryAfter limits the wait that a provider may ask for.
	maxRetryAfter = time.Hour
)

const errStatus = fault("unexpected status")

// newHTTPClient returns the client for all requests, a copy of the one given.
func newHTTPClient(given *http.Client) *http.Client {
	c := new(http.Client)
	if given != nil {
		*c = *given
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	c.Timeout = requestTimeout
	// No redirect is followed here. It could send a code, a token or the client's
	// secret elsewhere. Those of public documents are followed by get.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// newTransport returns a transport like http.DefaultTransport, with other
// limits. Other code may have replaced or changed that variable.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           16,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// answer is a response, read to its end.
type answer struct {
	status    int
	mediaType string
	location  string // of a redirect
	auth      string // how the client authenticated, if it did
	body      []byte
}

// ok reports whether the status is 2xx.
func (a answer) ok() bool { return a.status/100 == 2 }

// missing reports whether the status says that there is no such endpoint.
func (a answer) missing() bool {
	return a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed || a.status == http.StatusGone
}

const errMissing = fault("there is no such endpoint at the provider")

// do sends a request for JSON, and does not follow a redirect.
func (c *Client) do(ctx context.Context, op, method, endpoint string, header http.Header, body io.Reader) (answer, error) {
	got, err := c.send(ctx, op, method, endpoint, header, body)
	if err == nil && got.status/100 == 3 {
		return answer{}, redirected(op, got, fault("the provider redirects to "+got.destination()+", and this request follows no redirect"))
	}
	return got, err
}

func redirected(op string, a answer, cause error) error {
	return &Error{Kind: Misconfigured, Op: op, Status: a.status, Err: cause}
}

// destination returns where an answer redirects, for an error: without the query, which
// may hold what was sent. The path is needed to mend the address, and no request sends a
// secret in a path.
func (a answer) destination() string {
	u, err := url.Parse(a.location)
	if err != nil || a.location == "" {
		return "no URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return document.Quote(u.String())
}

// byteOrderMark is what some providers write before JSON, against
// https://www.rfc-editor.org/rfc/rfc8259#section-8.1, which allows to ignore it.
const byteOrderMark = "\ufeff"

// send sends a request for JSON. It returns an error if the request fails, and
// for those statuses that mean the same whatever was requested. The caller
// handles any other.
func (c *Client) send(ctx context.Context, op, method, endpoint string, header http.Header, body io.Reader) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint, body)
	if err != nil {
		return answer{}, misconfigured(op, fault("the endpoint is not a URL"))
	}
	req.Header.Set("Accept", "application/json")
	maps.Copy(req.Header, header)
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, unavailable(op, transportCause(err))
	}
	defer resp.Body.Close()
	// A body that is too large is an error, since a truncated one may still parse.
	// Its size is counted after decompression.
	got, err := io.ReadAll(http.MaxBytesReader(nil, resp.Body, maxBody))
	if err != nil {
		return answer{}, unavailable(op, transportCause(err))
	}
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout {
		wait := parseRetryAfter(resp.Header.Get("Retry-After"), c.cfg.Now())
		return answer{}, &Error{Kind: Unavailable, Op: op, Status: resp.StatusCode, RetryAfter: wait, Err: errStatus}
	}
	return answer{
		status: resp.StatusCode, mediaType: resp.Header.Get("Content-Type"), location: resp.Header.Get("Location"),
		body: bytes.TrimPrefix(got, []byte(byteOrderMark)),
	}, nil
}

// maxRedirects is how many redirects to one document are followed.
const maxRedirects = 3

// get fetches one of the provider's public documents. The request carries no
// credential, so redirects are followed where mayFollow allows it.
func (c *Client) get(ctx context.Context, op, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for redirects := 0; ; redirects++ {
		got, err := c.send(ctx, op, http.MethodGet, address, nil, nil)
		switch {
		case err != nil:
			return nil, err
		case got.status == http.StatusOK:
			return got.body, nil
		case got.status/100 != 3:
			return nil, &Error{Kind: Misconfigured, Op: op, Status: got.status, Err: fault("unexpected status of " + document.Quote(address))}
		case redirects == maxRedirects:
			return nil, redirected(op, got, fault("the provider redirects more than three times"))
		}
		next, err := mayFollow(address, got.location)
		if err != nil {
			return nil, redirected(op, got, fault(document.Quote(address)+" redirects to "+got.destination()+"; "+err.Error()))
		}
		address = next
	}
}

// mayFollow returns where a document may be fetched that is said to have moved: within
// its origin, or by https instead of http on its host. Elsewhere another party could
// answer for the provider.
func mayFollow(from, location string) (string, error) {
	old, err := url.Parse(from)
	if err != nil || location == "" {
		return "", fault("needs a URL")
	}
	moved, err := old.Parse(location)
	if err != nil {
		return "", fault("needs a URL")
	}
	secured := old.Scheme == "http" && moved.Scheme == "https"
	if !strings.EqualFold(old.Hostname(), moved.Hostname()) || moved.User != nil ||
		!secured && (old.Scheme != moved.Scheme || port(old) != port(moved)) {
		return "", fault("needs the same origin, or https instead of http on the same host")
	}
	moved.Fragment = ""
	return moved.String(), nil
}

// port returns the port of a URL.
func port(u *url.URL) string {
	if u.Port() == "" {
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Port()
}

// parseRetryAfter reads both forms of
// https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3, and returns 0 for
// anything else.
func parseRetryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
