package redisstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"
)

// Sessions is a store for github.com/gorilla/sessions. It is made by
// [NewSessions], and safe for concurrent use. Reading a session costs one round
// trip, and so does writing one.
//
// The browser gets a cookie with a random ID of 130 bits and nothing else. The
// keys in Redis are hashes of it: whoever reads them cannot make a cookie of
// them. Values are stored as they are given; package signin gives sealed ones.
//
// Keys and values of a session must be strings. Anything else would need
// encoding/gob, which is not made to read what an attacker may have written
// (https://pkg.go.dev/encoding/gob#hdr-Security).
type Sessions struct{ server }

// NewSessions returns a session store on client. It dials nobody, and panics as
// [NewShared] does.
func NewSessions(client redis.UniversalClient, opts ...Option) *Sessions {
	return &Sessions{newServer(client, opts)}
}

// A session whose cookie lives until the browser is closed (MaxAge is zero) is
// kept for a day.
const untilClosed = 24 * time.Hour

// Get returns the session of that name, the same one for each call with one
// request.
func (s *Sessions) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New returns the session that the request's cookie names, or a new one with
// IsNew set if there is none. An error is Redis's, and beside a new session.
func (s *Sessions) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	session.IsNew, session.Options = true, defaults()
	c, err := r.Cookie(name)
	if err != nil || len(c.Value) != idLen {
		return session, nil
	}
	ctx, cancel := s.within(r.Context())
	defer cancel()
	var stored *redis.StringCmd
	err = s.run(ctx, func(p redis.Pipeliner) { stored = p.Get(ctx, s.key(name, c.Value)) })
	switch {
	case err != nil:
		return session, fmt.Errorf("redisstore: reading a session: %w", err)
	case isNone(stored):
		return session, nil // an ID that a browser has made up is never taken on
	}
	var values map[string]string
	if err := json.Unmarshal([]byte(stored.Val()), &values); err != nil || values == nil {
		return session, nil // not written here, so it is nobody's
	}
	for k, v := range values {
		session.Values[k] = v
	}
	session.ID, session.IsNew = c.Value, false
	return session, nil
}

func defaults() *sessions.Options {
	return &sessions.Options{
		Path: "/", MaxAge: int(untilClosed / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// Save writes the session and its cookie, with the lifetime of
// session.Options.MaxAge in seconds. If that is negative, both are deleted.
func (s *Sessions) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if session.Options == nil {
		session.Options = defaults()
	}
	ctx, cancel := s.within(r.Context())
	defer cancel()
	if session.Options.MaxAge < 0 {
		if session.ID != "" {
			if err := s.run(ctx, func(p redis.Pipeliner) { p.Del(ctx, s.key(session.Name(), session.ID)) }); err != nil {
				return fmt.Errorf("redisstore: deleting a session: %w", err)
			}
		}
		http.SetCookie(w, sessions.NewCookie(session.Name(), "", session.Options))
		return nil
	}
	stored, err := encode(session.Values)
	if err != nil {
		return err
	}
	if session.ID == "" {
		session.ID = newID()
	}
	ttl := untilClosed
	if session.Options.MaxAge > 0 {
		ttl = time.Duration(session.Options.MaxAge) * time.Second
	}
	err = s.run(ctx, func(p redis.Pipeliner) { p.Set(ctx, s.key(session.Name(), session.ID), stored, ttl) })
	if err != nil {
		return fmt.Errorf("redisstore: writing a session: %w", err)
	}
	http.SetCookie(w, sessions.NewCookie(session.Name(), session.ID, session.Options))
	return nil
}

// idLen is the length of rand.Text, 130 bits in base32.
const idLen = 26

func newID() string { return rand.Text() }

// key is where a session is kept. A cookie is good under its own name only.
func (s *Sessions) key(name, id string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + id))
	return s.prefix + "session:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func encode(values map[any]any) ([]byte, error) {
	texts := make(map[string]string, len(values))
	for k, v := range values {
		key, ok := k.(string)
		text, ok2 := v.(string)
		// encoding/json would replace what is not UTF-8.
		if !ok || !ok2 || !utf8.ValidString(key) || !utf8.ValidString(text) {
			return nil, fmt.Errorf("redisstore: a session's keys and values must be strings of UTF-8; got %T and %T", k, v)
		}
		texts[key] = text
	}
	return json.Marshal(texts)
}
