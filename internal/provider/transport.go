package provider

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
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
	// No redirect is followed. It could send a code, a token or the client's
	// secret elsewhere, and the metadata and keys must come from where the issuer
	// says. It is tempting to allow one within the origin, but no provider is
	// known to need it.
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
	body      []byte
}

// ok reports whether the status is 2xx.
func (a answer) ok() bool { return a.status/100 == 2 }

// do sends a request for JSON. It returns an error if the request fails, and
// for those statuses that mean the same whatever was requested. The caller
// handles any other.
func (c *Client) do(ctx context.Context, op, method, endpoint string, header http.Header, body io.Reader) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, endpoint, body)
	if err != nil {
		return answer{}, misconfigured(op, errEndpoint)
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Accept", "application/json")
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
	switch {
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		wait := parseRetryAfter(resp.Header.Get("Retry-After"), c.cfg.Now())
		return answer{}, &Error{Kind: Unavailable, Op: op, Status: resp.StatusCode, RetryAfter: wait, Err: errStatus}
	case resp.StatusCode/100 == 3:
		return answer{}, &Error{Kind: Misconfigured, Op: op, Status: resp.StatusCode, Err: fault("the provider redirects, and redirects are not followed")}
	}
	return answer{status: resp.StatusCode, mediaType: resp.Header.Get("Content-Type"), body: got}, nil
}

// get fetches one of the provider's public documents.
func (c *Client) get(ctx context.Context, op, url string) ([]byte, error) {
	got, err := c.do(ctx, op, http.MethodGet, url, nil, nil)
	if err == nil && got.status != http.StatusOK {
		err = &Error{Kind: Misconfigured, Op: op, Status: got.status, Err: errStatus}
	}
	return got.body, err
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
