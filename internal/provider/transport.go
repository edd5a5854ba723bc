package provider

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// requestTimeout is for a whole request, from dialing to the last byte.
	requestTimeout = 10 * time.Second
	// maxBody is how much of an answer is read, in bytes after decompression.
	maxBody = 1 << 20
	// maxRetryAfter bounds what a provider may ask for.
	maxRetryAfter = time.Hour
)

const (
	errBodyTooLarge = fault("the answer is larger than 1 MiB")
	errRedirect     = fault("the provider redirects, and redirects are not followed")
	errStatus       = fault("unexpected status")
)

// newHTTPClient returns the client for all requests, made of the one given.
func newHTTPClient(given *http.Client) *http.Client {
	c := new(http.Client)
	if given != nil {
		*c = *given
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	c.Transport = cappedTransport{c.Transport}
	c.Timeout = requestTimeout
	// No redirect is followed, on any request: a code, a token or the client's
	// secret would be sent on, and discovery or keys come from where the issuer
	// says or not at all. It is tempting to allow one within the origin; no
	// provider is known to need it.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// newTransport is http.DefaultTransport as net/http makes it, apart from the
// bounds: other code may have replaced or changed that variable.
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

// cappedTransport makes reading beyond maxBody an error. It sits above the
// transport that decompresses, so a gzip bomb is bounded too; and it is an
// error, since what is silently cut short may still parse.
type cappedTransport struct{ base http.RoundTripper }

func (t cappedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err == nil && resp.Body != nil {
		resp.Body = &cappedBody{ReadCloser: resp.Body, left: maxBody}
	}
	return resp, err
}

type cappedBody struct {
	io.ReadCloser
	left int
}

func (b *cappedBody) Read(p []byte) (int, error) {
	// One byte more than is left tells a body that ends here from one that goes on.
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > b.left {
		n, err = b.left, errBodyTooLarge
	}
	b.left -= n
	return n, err
}

// answer is a response, read to its end.
type answer struct {
	status     int
	mediaType  string
	retryAfter time.Duration
	body       []byte
}

// do sends a request. Its errors are about the way there and back; what to
// think of a status is up to the caller.
func (c *Client) do(op string, req *http.Request) (answer, *Error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, unavailable(op, transportCause(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, unavailable(op, transportCause(err))
	}
	return answer{
		status:     resp.StatusCode,
		mediaType:  resp.Header.Get("Content-Type"),
		retryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), c.cfg.Now()),
		body:       body,
	}, nil
}

// get fetches one of the provider's public documents.
func (c *Client) get(ctx context.Context, op, url string) ([]byte, *Error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, misconfigured(op, errEndpoint)
	}
	req.Header.Set("Accept", "application/json")
	got, failure := c.do(op, req)
	if failure == nil {
		failure = trouble(op, got)
	}
	switch {
	case failure != nil:
		return nil, failure
	case got.status != http.StatusOK:
		return nil, &Error{Kind: Misconfigured, Op: op, Status: got.status, Err: errStatus}
	}
	return got.body, nil
}

// trouble is the error for those statuses that mean the same whatever was
// asked, and nil for all others.
func trouble(op string, a answer) *Error {
	switch {
	case a.status >= 500, a.status == http.StatusTooManyRequests, a.status == http.StatusRequestTimeout:
		return &Error{Kind: Unavailable, Op: op, Status: a.status, RetryAfter: a.retryAfter, Err: errStatus}
	case a.status >= 300 && a.status < 400:
		return &Error{Kind: Misconfigured, Op: op, Status: a.status, Err: errRedirect}
	default:
		return nil
	}
}

// parseRetryAfter reads both forms of
// https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3, and 0 from anything else.
func parseRetryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
