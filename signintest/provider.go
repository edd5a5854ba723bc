package signintest

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
)

// A Provider is an OpenID provider on the loopback interface. Make one with
// [NewProvider] and end it with [Provider.Close].
type Provider struct {
	// URL is the address without a trailing slash, such as
	// "http://127.0.0.1:40123": what Logto calls the endpoint.
	URL string
	// Issuer is URL + "/oidc".
	Issuer string

	settings  settings
	facts     faults.Facts // what faults know of the provider
	paths     paths
	server    *httptest.Server
	transport *http.Transport
	// cookieName contains the port, since cookies do not tell ports apart
	// (https://www.rfc-editor.org/rfc/rfc6265#section-8.5), and the application
	// or a second provider is on the same host.
	cookieName string
	closing    chan struct{} // closed by Close, so that hanging answers end
	close      func()

	mu           sync.Mutex
	down         bool
	faults       []*faults.Effect // that are on
	stats        Stats
	onToken      func(url.Values)
	keys         []faults.Key // the current one first; all are published
	users        []User
	suspended    map[string]bool
	webhook      webhook
	redirects    []string
	signOuts     []string
	backChannels []string
	requests     []AuthorizationRequest
	interactions map[string]*interaction
	sessions     map[string]*session
	codes        map[string]*code
	refresh      map[string]*refreshToken
	access       map[string]*accessToken
	oneTime      map[string]string // one-time token to e-mail address
	delivered    []LogoutDelivery
	delivering   int       // deliveries under way
	delivery     sync.Cond // one of them has ended
	secrets      []string
}

// Stats counts what has reached a [Provider], refused requests included.
type Stats struct {
	Discovery      int // requests of the metadata document
	Keys           int // requests of the signing keys
	Authorizations int // requests at the authorization endpoint
	Exchanges      int // token requests with an authorization code
	Refreshes      int // token requests with a refresh token
	UserInfo       int // requests at the userinfo endpoint
	Revocations    int // requests at the revocation endpoint
	EndSessions    int // requests at the end session endpoint

	// RevokedForReuse counts the grants that were revoked because a refresh
	// token or code was used again after it was no longer valid.
	RevokedForReuse int
	// MostRefreshesAtOnce is the highest number of token requests of one grant
	// at the same time. It stays at one with a relying party that refreshes each
	// session once at a time.
	MostRefreshesAtOnce int
}

// paths are those of the endpoints, below URL.
type paths struct {
	keys, authorize, token, userInfo, revocation, endSession string
}

// NewProvider starts a provider. The caller ends it with Close. Like
// [httptest.NewServer] it panics when it cannot listen.
func NewProvider(opts ...Option) *Provider {
	s := settings{
		clientID:       "signintest-app",
		clientSecret:   "signintest-app-secret",
		algorithm:      "ES384",
		accessLifetime: time.Hour,
		users:          []User{Alice(), Bob(), NaverUser(), XUser()},
		connectors:     []string{"social:naver", "social:x"},
		authMethods:    []string{"client_secret_basic", "client_secret_post"},
	}
	for _, opt := range opts {
		opt(&s)
	}
	p := &Provider{
		settings:     s,
		paths:        logtoPaths(s.randomPaths),
		closing:      make(chan struct{}),
		keys:         []faults.Key{newKey(s.algorithm)},
		users:        s.users,
		suspended:    map[string]bool{},
		interactions: map[string]*interaction{},
		sessions:     map[string]*session{},
		codes:        map[string]*code{},
		refresh:      map[string]*refreshToken{},
		access:       map[string]*accessToken{},
		oneTime:      map[string]string{},
	}
	// No client trusts httptest's certificate. This transport only carries logout
	// tokens, webhooks and test users' requests to the application under test.
	p.transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	p.close = sync.OnceFunc(p.shutDown)
	p.delivery.L = &p.mu
	p.start()
	return p
}

func (p *Provider) start() {
	p.server = httptest.NewUnstartedServer(p.routes())
	if p.settings.addr != "" {
		l, err := net.Listen("tcp", p.settings.addr)
		if err != nil {
			panic("signintest: cannot listen: " + err.Error())
		}
		p.server.Listener.Close()
		p.server.Listener = l
	}
	if at, ok := p.server.Listener.Addr().(*net.TCPAddr); ok && at.IP.IsLoopback() {
		p.server.Config.Handler = onLoopback(p.server.Config.Handler)
	}
	if p.settings.tls {
		p.server.StartTLS()
	} else {
		p.server.Start()
	}
	p.URL = p.server.URL
	p.Issuer = p.URL + "/oidc"
	p.facts = faults.Facts{
		URL: p.URL, Issuer: p.Issuer,
		ClientID: p.settings.clientID, ClientSecret: p.settings.clientSecret,
		Algorithm: p.settings.algorithm,
		Now:       p.now,
		Closing:   p.closing,
		Spare:     sync.OnceValue(func() faults.Key { return newKey(p.settings.algorithm) }),
		Other:     sync.OnceValue(func() faults.Key { return newKey(otherAlgorithm(p.settings.algorithm)) }),
	}
	_, port, _ := net.SplitHostPort(p.server.Listener.Addr().String())
	p.cookieName = "signintest_" + port
}

// Handler returns what answers at the provider's address, for requests without a
// network: from a test in a bubble of testing/synctest, with a RoundTripper that
// calls it. Close does not end it.
func (p *Provider) Handler() http.Handler { return p.routes() }

// Close ends the provider. It ends hanging answers, waits for logout tokens in
// progress, and gives up the address. It may be called more than once.
func (p *Provider) Close() { p.close() }

func (p *Provider) shutDown() {
	close(p.closing)
	p.LogoutDeliveries()
	p.transport.CloseIdleConnections()
	p.server.Close()
}

// Down makes the provider unreachable without giving up its address: every
// connection is closed without an answer, until [Provider.Up].
func (p *Provider) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
}

// Up ends what [Provider.Down] began.
func (p *Provider) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// Stats returns what has been counted so far.
func (p *Provider) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// OnTokenRequest makes the provider call fn with the form of each token request
// before it processes the request. A test that acts in the middle of a refresh
// blocks in fn; no lock is held. A nil fn ends this.
func (p *Provider) OnTokenRequest(fn func(form url.Values)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onToken = fn
}

// Secrets returns the client secret and every code, refresh token, access token
// and ID token issued so far: what must not appear in a log, an error or a page.
func (p *Provider) Secrets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{p.settings.clientSecret}, p.secrets...)
}

// Config returns the configuration of an application at baseURL that signs in
// through this provider as through Logto, and registers the application's
// addresses, as an operator does in Logto's console: baseURL + "/callback" as
// redirect URI, baseURL and baseURL + "/" as post sign-out redirect URIs,
// baseURL + "/backchannel-logout" for logout tokens. Keys is random. Change any
// field before giving it to [signin.New].
func (p *Provider) Config(baseURL string) signin.Config {
	base := strings.TrimSuffix(baseURL, "/")
	p.RegisterRedirectURIs(base + "/callback")
	p.RegisterSignOutURIs(base, base+"/")
	p.RegisterBackChannelURIs(base + "/backchannel-logout")
	key := make([]byte, 32)
	rand.Read(key)
	cfg := signin.Config{
		LogtoEndpoint: p.URL,
		ClientID:      p.settings.clientID,
		ClientSecret:  p.settings.clientSecret,
		BaseURL:       baseURL,
		Keys:          [][]byte{key},
		Now:           p.settings.now,
	}
	if p.settings.tls {
		cfg.HTTPClient = p.server.Client()
	}
	return cfg
}

// IssuerConfig is [Provider.Config] for an application that treats the provider
// as any other OpenID provider: with Issuer in place of LogtoEndpoint.
func (p *Provider) IssuerConfig(baseURL string) signin.Config {
	cfg := p.Config(baseURL)
	cfg.LogtoEndpoint, cfg.Issuer = "", p.Issuer
	return cfg
}

// RegisterRedirectURIs adds to the redirect URIs that [Provider.Config]
// registers. They are compared exactly.
func (p *Provider) RegisterRedirectURIs(uris ...string) { p.register(&p.redirects, uris) }

// RegisterSignOutURIs adds to the post sign-out redirect URIs that
// [Provider.Config] registers. They are compared exactly.
func (p *Provider) RegisterSignOutURIs(uris ...string) { p.register(&p.signOuts, uris) }

// RegisterBackChannelURIs adds to the addresses for logout tokens that
// [Provider.Config] registers.
func (p *Provider) RegisterBackChannelURIs(uris ...string) { p.register(&p.backChannels, uris) }

func (p *Provider) register(list *[]string, uris []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, uri := range uris {
		if !slices.Contains(*list, uri) {
			*list = append(*list, uri)
		}
	}
}

func (p *Provider) now() time.Time {
	if p.settings.now != nil {
		return p.settings.now()
	}
	return time.Now()
}

// The endpoints that no fault replaces. Package faults names the others.
const (
	atAuthorize  = "authorize"
	atEndSession = "end session"
	atPages      = "pages"
)

func (p *Provider) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, at string, h http.HandlerFunc) {
		mux.Handle(pattern, p.serve(at, h))
	}
	handle("GET /oidc/.well-known/openid-configuration", faults.AtDiscovery, p.serveMetadata)
	handle("GET "+p.paths.keys, faults.AtKeys, p.serveKeys)
	handle("GET "+p.paths.authorize, atAuthorize, p.serveAuthorize)
	handle("POST "+p.paths.authorize, atAuthorize, p.serveAuthorize)
	handle("POST "+p.paths.token, faults.AtToken, p.serveToken)
	handle("GET "+p.paths.userInfo, faults.AtUserInfo, p.serveUserInfo)
	handle("POST "+p.paths.userInfo, faults.AtUserInfo, p.serveUserInfo)
	handle("POST "+p.paths.revocation, faults.AtRevocation, p.serveRevocation)
	handle("GET "+p.paths.endSession, atEndSession, p.serveEndSession)
	handle("POST "+p.paths.endSession, atEndSession, p.serveEndSession)
	handle("GET "+faults.ForeignKeysPath, atPages, p.serveForeignKeys)
	for pattern, h := range p.pages() {
		handle(pattern, atPages, h)
	}
	return mux
}

func (p *Provider) serve(at string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.isDown() {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		p.count(at, r)
		w.Header().Set("Cache-Control", "no-store")
		for _, f := range p.injected() {
			switch {
			case f.At != at:
			case f.Refusal != nil:
				(&oauthError{f.Refusal.Status, f.Refusal.Code, f.Refusal.Description}).write(w)
				return
			case f.Answer != nil:
				f.Answer(&p.facts, w, r)
				return
			default:
				w = f.Wrap(w, r)
			}
		}
		next(w, r)
	})
}

func (p *Provider) isDown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

func (p *Provider) count(at string, r *http.Request) {
	grant := ""
	if at == faults.AtToken {
		grant = r.PostFormValue("grant_type")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch at {
	case faults.AtDiscovery:
		p.stats.Discovery++
	case faults.AtKeys:
		p.stats.Keys++
	case atAuthorize:
		p.stats.Authorizations++
	case faults.AtToken:
		if grant == "refresh_token" {
			p.stats.Refreshes++
		} else {
			p.stats.Exchanges++
		}
	case faults.AtUserInfo:
		p.stats.UserInfo++
	case faults.AtRevocation:
		p.stats.Revocations++
	case atEndSession:
		p.stats.EndSessions++
	}
}

// random returns 128 random bits; rand.Read never fails.
func random() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// secret returns random text, and keeps it for [Provider.Secrets]. A fault may say
// that it has more bytes than usual. p.mu is held.
func (p *Provider) secret(size func(*faults.Effect) int) string {
	s := random()
	for _, f := range p.faults {
		s += strings.Repeat("x", max(size(f)-len(s), 0))
	}
	p.secrets = append(p.secrets, s)
	return s
}

func usual(*faults.Effect) int { return 0 }

func cloneValues(v url.Values) url.Values {
	out := maps.Clone(v)
	for k, values := range out {
		out[k] = slices.Clone(values)
	}
	return out
}
