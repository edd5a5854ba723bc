package redisstore

import (
	"cmp"
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
// keys in Redis are hashes of it, from which no cookie can be made. Values are
// stored as they are given; package signin gives sealed ones.
//
// Keys and values of a session must be strings. Other types would need
// encoding/gob, which is not made to read what an attacker may have written
// (https://pkg.go.dev/encoding/gob#hdr-Security).
type Sessions struct{ server }

// NewSessions returns a session store on client. It does not connect, and
// panics as [NewShared] does.
func NewSessions(client redis.UniversalClient, opts ...Option) *Sessions {
	return &Sessions{newServer(client, opts)}
}

// untilClosed is how many seconds to keep a session whose cookie lives until
// the browser is closed (MaxAge is zero).
const untilClosed = 24 * 60 * 60

// Get returns the session of that name, the same one for each call with one
// request.
func (s *Sessions) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New returns the session that the request's cookie names, or a new one with
// IsNew set. If Redis fails, it returns a new one and an error.
func (s *Sessions) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	session.IsNew, session.Options = true, defaults()
	c, err := r.Cookie(name)
	if err != nil || len(c.Value) != idLen {
		return session, nil
	}
	ctx := r.Context()
	var stored *redis.StringCmd
	err = s.run(ctx, "reading a session", func(p redis.Pipeliner) { stored = p.Get(ctx, s.key(name, c.Value)) })
	if err != nil {
		return session, err
	}
	var values map[string]string
	if err := json.Unmarshal([]byte(stored.Val()), &values); err != nil || values == nil {
		// The key is absent, or another program has written it. The new session does
		// not adopt the ID, since an attacker may have made it up.
		return session, nil
	}
	for k, v := range values {
		session.Values[k] = v
	}
	session.ID, session.IsNew = c.Value, false
	return session, nil
}

func defaults() *sessions.Options {
	return &sessions.Options{
		Path: "/", MaxAge: untilClosed,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// Save writes the session and its cookie, for session.Options.MaxAge seconds.
// If that is negative, it deletes both.
func (s *Sessions) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if session.Options == nil {
		session.Options = defaults()
	}
	ctx := r.Context()
	if session.Options.MaxAge < 0 {
		if session.ID != "" {
			err := s.run(ctx, "deleting a session", func(p redis.Pipeliner) { p.Del(ctx, s.key(session.Name(), session.ID)) })
			if err != nil {
				return err
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
		session.ID = rand.Text()
	}
	ttl := time.Duration(cmp.Or(session.Options.MaxAge, untilClosed)) * time.Second
	err = s.run(ctx, "writing a session", func(p redis.Pipeliner) { p.Set(ctx, s.key(session.Name(), session.ID), stored, ttl) })
	if err != nil {
		return err
	}
	http.SetCookie(w, sessions.NewCookie(session.Name(), session.ID, session.Options))
	return nil
}

const idLen = 26 // of rand.Text, 130 bits in base32

// key is where a session is kept. A cookie under another name finds nothing.
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
