package jwt

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/document"
)

const (
	// maxKeys is how many keys a set may have. A token that does not name its key
	// is verified with each of them.
	maxKeys = 100
	// ed25519Name is the name in RFC 9864 of an algorithm that go-jose knows only
	// as EdDSA: https://www.rfc-editor.org/rfc/rfc9864#section-2.2
	ed25519Name = "Ed25519"
)

// KeySet is the keys that a provider publishes at one address, and the
// algorithms that they may be used with. Keys are used for an hour at most.
// Otherwise a key that the provider has withdrawn would be trusted for as long
// as an attacker keeps the provider's site unreachable. It is safe for
// concurrent use.
type KeySet struct {
	keys       *document.Cache[[]key]
	algorithms []string
}

// NewKeySet makes a set of the keys that fetch returns in the form of
// https://www.rfc-editor.org/rfc/rfc7517#section-5. Keys that cannot be used are
// named in log, once for as long as they are published. No algorithms are pinned
// yet, so it verifies no token; see Pin.
func NewKeySet(now func() time.Time, log *slog.Logger, fetch func(context.Context) ([]byte, error)) *KeySet {
	var named []string // one flight at a time fetches the keys
	return &KeySet{keys: document.NewCache(now, 0, func(ctx context.Context) (*[]key, error) {
		body, err := fetch(ctx)
		if err != nil {
			return nil, err
		}
		keys, skipped, err := parseKeys(body)
		if err != nil {
			return nil, err
		}
		for _, which := range skipped {
			if !slices.Contains(named, which) {
				log.WarnContext(ctx, "signin: a key that the provider publishes is not used", "key", which)
			}
		}
		named = skipped
		return &keys, nil
	})}
}

// Pin returns a set of the same keys that verifies only signatures by these
// algorithms.
func (s *KeySet) Pin(algorithms []string) *KeySet {
	return &KeySet{keys: s.keys, algorithms: slices.Clone(algorithms)}
}

// verify checks the signature of a token.
//
// If no key fits, the keys are fetched once more, since providers rotate them
// (https://openid.net/specs/openid-connect-core-1_0.html#RotateSigKeys), and
// then not again for five seconds. Otherwise each forged token would cause a
// request. During these five seconds nothing says that a token is forged, since its
// key may be a new one, even under an ID that is known. If it did, a refresh could end
// the session, and an attacker who posts forged tokens during a rotation could end many
// sessions. See settled for tokens that anyone may send.
func (s *KeySet) verify(ctx context.Context, t *token) error {
	// https://www.rfc-editor.org/rfc/rfc8725#section-3.1
	if !slices.Contains(s.algorithms, t.alg) {
		return fault("its algorithm is " + document.Quote(t.alg) + ", and those pinned are " + strings.Join(s.algorithms, ", "))
	}
	jws, err := jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.alg)})
	if err != nil {
		return errForm // for example, the header has a malformed jwk
	}
	held, err := s.keys.Get(ctx)
	if err != nil {
		return err
	}
	signed, known := signedBy(*held, t, jws)
	if signed {
		return nil
	}
	newer, err := s.keys.Newer(ctx, held)
	if err == nil {
		if signed, known = signedBy(*newer, t, jws); signed {
			return nil
		}
	}
	switch failed := fault("the signature is not by the key that it names, " + document.Quote(t.kid)); {
	case known && (err == nil || errors.Is(err, document.ErrCoolingDown)):
		return forged{failed, err}
	case known: // the keys cannot be fetched
		return failed + ", which may have changed"
	case err != nil:
		return err
	}
	return fault("it is not signed by a key of the provider for kid " + document.Quote(t.kid) + " and algorithm " + document.Quote(t.alg))
}

// signedBy reports whether a token is signed by a key that fits its algorithm
// and key ID, and whether a key with that ID is known. IDs are optional on both
// sides (https://openid.net/specs/openid-connect-core-1_0.html#Signing): a
// token without one may be signed by any key, and a key without one may have
// signed any token whose ID no other key has.
func signedBy(keys []key, t *token, jws *jose.JSONWebSignature) (signed, known bool) {
	var named, anonymous []key
	for _, k := range keys {
		switch {
		case !slices.Contains(k.algorithms, t.alg):
		case t.kid == "" || k.KeyID == "":
			anonymous = append(anonymous, k)
		case k.KeyID == t.kid:
			named = append(named, k)
		}
	}
	fitting := named
	if len(named) == 0 {
		fitting = anonymous
	}
	return slices.ContainsFunc(fitting, func(k key) bool {
		by := k.Key
		if t.alg == ed25519Name {
			by = ed25519Verifier(by.(ed25519.PublicKey))
		}
		_, err := jws.Verify(by)
		return err == nil
	}), len(named) > 0
}

// ed25519Verifier is a key for an algorithm whose name go-jose does not know.
type ed25519Verifier ed25519.PublicKey

// VerifyPayload implements [jose.OpaqueVerifier].
func (v ed25519Verifier) VerifyPayload(input, signature []byte, _ jose.SignatureAlgorithm) error {
	if !ed25519.Verify(ed25519.PublicKey(v), input, signature) {
		return jose.ErrCryptoFailure
	}
	return nil
}
