package sharedstate

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// LookForToken reads what Look reads, and the access token that is kept for an
// audience, in one round trip. The token is nil if there is none, or none that
// can be read.
func (st *State) LookForToken(ctx context.Context, s *session.Session, audience session.Audience) (Standing, *session.Token, error) {
	key := st.tokenKey(s.ID, audience)
	values, err := st.get(ctx, append(st.keys(nil, s), key)...)
	if err != nil {
		return Standing{}, nil, err
	}
	last := len(values) - 1
	standing := read(values[:last], s.Began)
	if values[last] == nil {
		return standing, nil, nil
	}
	plain, err := st.tokens.Box(key).Open(nil, values[last])
	if err != nil {
		return standing, nil, nil
	}
	token, err := session.ParseToken(plain)
	if err != nil {
		return standing, nil, nil
	}
	return standing, token, nil
}

// KeepToken keeps an access token for a time, sealed.
func (st *State) KeepToken(ctx context.Context, id session.ID, audience session.Audience, token *session.Token, ttl time.Duration) error {
	key := st.tokenKey(id, audience)
	if err := st.store.Set(ctx, key, st.tokens.Box(key).Seal(nil, token.Append(nil)), ttl); err != nil {
		return fmt.Errorf("signin: writing an access token to shared state: %w", err)
	}
	return nil
}

// tokenKey is where a session's access token for an audience is kept. The length
// tells the two names apart.
func (st *State) tokenKey(id session.ID, audience session.Audience) string {
	value := binary.AppendUvarint(bytes.Clone(id[:]), uint64(len(audience.Resource)))
	value = append(value, audience.Resource...)
	return st.Key(Token, append(value, audience.Organization...))
}
