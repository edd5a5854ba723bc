package provider

import (
	"context"
	"encoding/base64"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const opIDToken = "ID token"

// maxTokenSize is how long a signed token may be, in bytes.
const maxTokenSize = 64 << 10

const (
	errForm      = fault("it is no signed JWT in compact form")
	errHeader    = fault("its header has crit, or the type of another token")
	errAlgorithm = fault("its algorithm is not one of those pinned")
)

// IDToken is a verified ID token.
type IDToken struct {
	// Raw is the token as received, Payload its claims: a JSON object whose
	// member names are unique.
	Raw     string
	Payload []byte
	// Subject (sub) identifies the person at this issuer: 1 to 255 printable
	// ASCII characters. SessionID (sid) is empty if the provider sends none.
	Subject, SessionID string
	// Expiry (exp) and IssuedAt (iat), to the second.
	Expiry, IssuedAt time.Time
	// AuthTime (auth_time) is zero, ACR (acr) empty if the token does not say.
	AuthTime time.Time
	ACR      string
}

// LogValue keeps token and claims out of logs.
func (IDToken) LogValue() slog.Value { return slog.StringValue("[ID token]") }

// VerifyIDToken checks a token in full: form, algorithm, signature, and all
// that https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
// (or #RefreshTokenResponse) asks for. Claims by reference
// (_claim_names, _claim_sources) are never fetched.
func (c *Client) VerifyIDToken(ctx context.Context, raw string, want Expect) (*IDToken, error) {
	now := c.cfg.Now()
	token, err := c.open(ctx, opIDToken, raw, isIDToken, oidc.Config{
		Now: func() time.Time { return now.Truncate(time.Second).Add(-skew) },
	})
	if err != nil {
		return nil, err
	}
	id, cause := check(token.payload, rules{issuer: c.cfg.Issuer, clientID: c.cfg.ClientID, alg: token.alg, want: want, now: now})
	if cause == nil && token.objection != nil {
		cause = errClaims
	}
	if cause != nil {
		return nil, &Error{Kind: Rejected, Op: opIDToken, Err: cause}
	}
	id.Raw = raw
	return id, nil
}

// isIDToken reports whether a header's typ may be that of an ID token. A token
// made for something else says so:
// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
// https://www.rfc-editor.org/rfc/rfc9068#section-2.1
func isIDToken(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "logout+jwt", "at+jwt":
		return false
	default:
		return true
	}
}

// signed is a token signed by the provider, whose claims nobody has checked
// but go-oidc.
type signed struct {
	alg     string
	payload []byte
	// objection is go-oidc's, nil if it has none. It is not to be shown.
	objection error
}

// open checks what ID tokens and logout tokens have in common: form, header,
// algorithm, signature. fits says whether the header's typ will do.
//
// go-oidc looks at iss and aud as well, and at exp unless cfg says otherwise;
// whoever calls checks these again, and the rest. Both have to agree, but only
// the words of the second are reported: go-oidc's quote claims.
func (c *Client) open(ctx context.Context, op, raw string, fits func(typ string) bool, cfg oidc.Config) (*signed, error) {
	head, cause := parseHeader(raw)
	if cause == nil && !fits(head.typ) {
		cause = errHeader
	}
	alg := head.alg
	if cause != nil {
		return nil, &Error{Kind: Rejected, Op: op, Err: cause}
	}
	meta, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(meta.algorithms, alg) {
		return nil, rejected(op, errAlgorithm)
	}
	sig := &signature{op: op, keys: meta.keys}
	cfg.ClientID, cfg.SupportedSigningAlgs = c.cfg.ClientID, []string{alg}
	_, objection := oidc.NewVerifier(c.cfg.Issuer, sig, &cfg).Verify(ctx, raw)
	if sig.err != nil {
		return nil, sig.err
	}
	if sig.payload == nil {
		return nil, rejected(op, errForm)
	}
	return &signed{alg: alg, payload: sig.payload, objection: objection}, nil
}

// signature is the oidc.KeySet for one verification. It keeps its outcome,
// since go-oidc passes on no more than an error's text.
type signature struct {
	op   string
	keys *keyring

	payload []byte
	err     error
}

// VerifySignature implements oidc.KeySet. What the token's header says of keys (jwk,
// jku, x5u, x5c) plays no part.
func (s *signature) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	head, payload, signature, err := parseParts(raw)
	if err != nil {
		return nil, errForm
	}
	input := signingInput(raw)
	s.err = s.keys.verify(ctx, s.op, head.alg, head.kid, func(k key) bool { return k.signed(head.alg, input, signature) })
	if s.err == nil {
		s.payload = payload
	}
	return s.payload, s.err
}

// signingInput is what is signed: the text as received.
// https://www.rfc-editor.org/rfc/rfc7515#section-5.2
func signingInput(raw string) []byte { return []byte(raw[:strings.LastIndexByte(raw, '.')]) }

// header is what a token's header says of algorithm, key and type, "" where it
// does not.
type header struct{ alg, kid, typ string }

// parseHeader checks the form of a token and reads its header. Only the compact
// form of a signed token will do, so that an encrypted one (five parts) and the
// JSON forms never reach a parser.
func parseHeader(raw string) (header, error) {
	if len(raw) > maxTokenSize || strings.Count(raw, ".") != 2 {
		return header{}, errForm
	}
	for part := range strings.SplitSeq(raw, ".") {
		// base64 as Go reads it skips line breaks; a token has none.
		if part == "" || strings.ContainsAny(part, "\r\n") {
			return header{}, errForm
		}
	}
	first, _, _ := strings.Cut(raw, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return header{}, errForm
	}
	members, err := parseObject(decoded)
	if err != nil {
		return header{}, err
	}
	// crit lists what must be understood, and no extension is understood here.
	// https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11
	if _, ok := members["crit"]; ok {
		return header{}, errHeader
	}
	var head header
	if head.alg, err = members.text("alg"); err != nil {
		return header{}, err
	}
	if head.kid, err = members.text("kid"); err != nil {
		return header{}, err
	}
	head.typ, err = members.text("typ")
	return head, err
}
