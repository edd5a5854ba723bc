package sessionstore

import (
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/cookie"
)

// Cookies is a gorilla store that keeps a session's sealed text in one or two
// cookies. Unlike gorilla's CookieStore it holds 6 KB, and finds no session if a name
// occurs twice. It is safe for concurrent use.
type Cookies struct{ cookie.Writer }

// Get returns the session of a request, the same one each time it is called for
// that request.
func (c *Cookies) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(c, name)
}

// New returns the session that a request presents, or a new one.
func (c *Cookies) New(r *http.Request, name string) (*sessions.Session, error) {
	s := sessions.NewSession(c, name)
	f := cookie.Find(r.Header["Cookie"], name)
	// Longer values are not ours.
	if s.IsNew = !f.OK || len(f.First)+len(f.Second) > cookie.Max; !s.IsNew {
		s.Values[valueKey] = f.First + f.Second // not a copy if there is one part
	}
	return s, nil
}

// Save sets the cookies of a session, or deletes them if its Options have a negative
// MaxAge. The error is [cookie.ErrTooLarge], or says that the session has a value
// that Cookies does not keep.
func (c *Cookies) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	text, kept := s.Values[valueKey].(string)
	if len(s.Values) > 1 || len(s.Values) == 1 && !kept {
		return errors.New("signin: the default session store keeps only sealed sessions")
	}
	if s.Options.MaxAge < 0 {
		text = ""
	}
	first, second, err := cookie.Split(text)
	if err != nil {
		return err
	}
	age := time.Duration(s.Options.MaxAge) * time.Second
	c.Set(w, s.Name(), first, age)
	if second != "" {
		c.Set(w, cookie.Second(s.Name()), second, age)
		return nil
	}
	unsetSecond(c.Writer, w, r, s.Name())
	return nil
}
