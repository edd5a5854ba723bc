package authflow

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/gosignin/signin/internal/returnto"
)

// Client describes this application as a client of its provider. It is safe for
// concurrent use if its fields are not changed.
type Client struct {
	Issuer      string
	Logto       bool // the provider is Logto
	ID          string
	RedirectURI string
	Scopes      []string
	Offline     bool // offline_access is asked for even where the provider does not list it
	Resources   []string
	ReturnTo    returnto.Rule // judges the addresses in a query
	Route, Home string        // the paths of the ordinary sign-in, and of where it leads by itself
	Now         func() time.Time
}

// Metadata is what the provider says about authorization requests. A list is nil if
// the provider has none.
type Metadata struct {
	Endpoint        string
	Scopes, Prompts []string
}

// Start begins tx with a request that has passed Check, and returns the URL of
// the authorization request:
// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
func (c *Client) Start(tx *Transaction, req *Request, meta Metadata) (string, error) {
	u, err := url.Parse(meta.Endpoint)
	if err != nil {
		return "", errors.New("signin: the authorization endpoint is not a URL")
	}
	tx.begin(req, c.Now())
	scopes := c.Scopes
	if !c.Offline && meta.Scopes != nil && !slices.Contains(meta.Scopes, offlineAccess) { // it might be refused
		scopes = slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == offlineAccess })
	}
	// "The endpoint URI MAY include a query component, which MUST be retained":
	// https://www.rfc-editor.org/rfc/rfc6749#section-3.1
	q := u.Query()
	maps.Copy(q, req.values(c.Logto))
	if prompt := c.prompt(req, tx.Asked, slices.Contains(scopes, offlineAccess), meta.Prompts); len(prompt) > 0 {
		q.Set("prompt", strings.Join(prompt, " "))
	}
	ask, _ := req.Demand.Besides(tx.Asked) // FromQuery has refused what is impossible
	ask.Set(q)
	if c.Logto && !q.Has("max_age") {
		q.Set("max_age", anyAge)
	}
	q.Set("response_type", "code")
	q.Set("client_id", c.ID)
	q.Set("redirect_uri", c.RedirectURI)
	q.Set("scope", strings.Join(scopes, " "))
	if len(c.Resources) > 0 {
		q["resource"] = c.Resources
	}
	q.Set("state", tx.State+tx.Hint)
	q.Set("nonce", tx.Nonce)
	// https://www.rfc-editor.org/rfc/rfc7636#section-4.3
	q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(tx.Verifier))
	q.Set("code_challenge_method", "S256")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// prompt returns the prompts of a request for which a query has asked besides.
func (c *Client) prompt(req *Request, asked Demand, offline bool, listed []string) []string {
	prompt := slices.Clip(req.Prompt)
	switch {
	case len(prompt) > 0: // the application, or a step-up, has decided
	case c.Logto && req.elsewhere():
		// While Logto remembers a person it ignores these options, and signs that person
		// in: behind "Sign up" or "Naver", the person who used the browser before.
		prompt = []string{"login"}
	case !c.Logto && req.FirstScreen == register && asked.IsZero() && slices.Contains(listed, "create"):
		// "it is RECOMMENDED that create not be present with any other values":
		// https://openid.net/specs/openid-connect-prompt-create-1_0.html#section-4
		return []string{"create"}
	}
	// Logto silently drops offline_access unless the prompt includes consent, as
	// https://openid.net/specs/openid-connect-core-1_0.html#OfflineAccess demands. "If
	// this parameter contains none with any other value, an error is returned":
	// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
	if c.Logto && offline && !req.Silent() && !slices.Contains(prompt, "consent") {
		prompt = append(prompt, "consent")
	}
	return prompt
}

const offlineAccess = "offline_access"

// anyAge, ten years, is the max_age for Logto if there is no other. Logto sends
// auth_time only if max_age is present, and without auth_time a sign-in right
// after a sign-out cannot be distinguished from one that was under way. No
// session at Logto lasts that long.
const anyAge = "315360000"
