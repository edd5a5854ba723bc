package acceptance_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// sitting is one sign-in and what has come of it, as those know it who stand
// around the application: the browser, the provider, and the lines between them.
type sitting struct {
	number              int
	nonce, subject, sid string
	from, by            time.Time // the sign-in began neither before nor after these
	texts               []*text   // of its cookie, the oldest first

	newest    string          // refresh token
	spent     map[string]bool // refresh tokens that have been rotated away
	underWay  int             // token requests
	bumps     int             // token requests that have made a new generation
	nextDue   time.Time       // when its own access token is due
	nextFetch map[string]time.Time

	asked     string // what may have ended it, or ""
	over      string // what has ended it, and was answered; or ""
	signedOut bool   // somebody wanted it to end, and it was not merely replaced
	replaced  bool   // somebody has signed in where it was presented
	replaces  *text  // what was presented at its own sign-in
	late      bool   // it has been given a refresh token after it had ended
	kept      bool   // a fault has kept its refresh token from being revoked
	harmed    string // the fault that explains why it may be lost
}

// text is what a cookie has held.
type text struct {
	value string
	of    *sitting
	bumps int  // of the session, when it was made, at the least
	shown bool // it has been presented
}

// logout is a logout token on its way.
type logout struct {
	subject, sid string
	begun, done  time.Time // done is zero until it was answered with 200
	ended        bool      // there was an answer, whatever it said
	at           time.Time // of that answer
}

func (l *logout) names(s *sitting) bool {
	if l.sid != "" {
		return s.sid == l.sid
	}
	return s.subject == l.subject
}

// truth is what must hold, and what has not held.
type truth struct {
	rotating, faulty bool
	store            bool
	undiscovered     bool // a fault has hit a request for the metadata
	moved            bool // the provider has a new key, which a fetch under way does not bring

	mu       sync.Mutex
	sittings []*sitting
	byNonce  map[string]*sitting
	byToken  map[string]*sitting // refresh and access tokens
	byCookie map[string]*text
	logouts  []*logout
	revoked  map[string]time.Time // the grant of a provider session, by sid
	blocked  map[string]bool      // subjects that the provider has suspended now or before
	wrong    []string
	counts   map[string]int
}

func newTruth() *truth {
	return &truth{
		byNonce: map[string]*sitting{}, byToken: map[string]*sitting{}, byCookie: map[string]*text{},
		blocked: map[string]bool{}, revoked: map[string]time.Time{}, counts: map[string]int{},
	}
}

// lie notes something that must not be. tr.mu is held.
func (tr *truth) lie(format string, args ...any) {
	tr.wrong = append(tr.wrong, fmt.Sprintf(format, args...))
}

// begun notes a sign-in that has been started.
func (tr *truth) begun(nonce string, from, by time.Time) *sitting {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	s := &sitting{number: len(tr.sittings) + 1, nonce: nonce, from: from, by: by, spent: map[string]bool{}, nextFetch: map[string]time.Time{}}
	tr.sittings, tr.byNonce[nonce] = append(tr.sittings, s), s
	return s
}

// mayBeOver says why a session may be over, or "". tr.mu is held.
func (tr *truth) mayBeOver(s *sitting) string {
	if s.asked != "" {
		return s.asked
	}
	if tr.loggedOut(s) {
		return "a logout token"
	}
	if tr.blocked[s.subject] {
		return "suspended"
	}
	// The provider gives all sign-ins of one of its sessions the same grant.
	if at, there := tr.revoked[s.sid]; there && !s.from.After(at) {
		return "its grant was revoked with another session"
	}
	return s.harmed
}

// isOver says what has ended a session for certain before now. tr.mu is held.
func (tr *truth) isOver(s *sitting) string {
	if s.over != "" {
		return s.over
	}
	for _, l := range tr.logouts {
		if l.names(s) && !l.done.IsZero() && !s.by.After(l.begun) {
			return "a logout token"
		}
	}
	return ""
}

// loggedOut reports whether a logout token may have ended a session. tr.mu is held.
func (tr *truth) loggedOut(s *sitting) bool {
	return slices.ContainsFunc(tr.logouts, func(l *logout) bool { return l.names(s) && (!l.ended || !s.from.After(l.at)) })
}

// superseded reports whether a copy may be one that nobody should have any more.
// tr.mu is held.
func (x *text) superseded() bool {
	later := slices.ContainsFunc(x.of.texts, func(other *text) bool { return other != x && other.shown })
	return later && x.of.bumps >= x.bumps+2
}

// set notes what an answer has put into a cookie, in place of what was presented.
// The answer may have been on its way for long, so all that is known is that it is
// a later generation.
func (tr *truth) set(value string, s *sitting, presented *text) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if x := tr.byCookie[value]; x != nil {
		return
	}
	x := &text{value: value, of: s, bumps: 1}
	if presented != nil && presented.of == s {
		x.bumps = presented.bumps + 1
	}
	tr.byCookie[value], s.texts = x, append(s.texts, x)
}

// numberOf returns whose refresh token this is; 0 if nobody has got it.
func (tr *truth) numberOf(token string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if s := tr.byToken[token]; s != nil {
		return s.number
	}
	return 0
}

// tokenRequest notes a token request, and returns what notes its answer.
func (tr *truth) tokenRequest(form url.Values) (answered func(status int, body []byte, lost bool)) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	token := form.Get("refresh_token")
	s := tr.byToken[token]
	if token != "" {
		tr.refreshBegins(s, token)
	}
	return func(status int, body []byte, lost bool) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if token != "" && s != nil {
			s.underWay--
		}
		if status != 200 {
			return
		}
		var got struct {
			ID      string `json:"id_token"`
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		}
		_ = json.Unmarshal(body, &got) // what cannot be read names nobody
		claims := claimsIn(got.ID)
		of := tr.byNonce[claims.Nonce]
		if of == nil || s != nil && s != of {
			tr.lie("a token request of one sign-in was answered for another")
			return
		}
		tr.given(of, form, got.Refresh, got.Access, claims.Sub, claims.Sid, lost)
	}
}

// refreshBegins checks that a refresh token may be sent now. tr.mu is held.
func (tr *truth) refreshBegins(s *sitting, token string) {
	if s == nil {
		tr.lie("a refresh token was sent that nobody has got")
		return
	}
	if s.underWay++; s.underWay > 1 {
		tr.lie("3: %d token requests of one session at once", s.underWay)
	}
	if s.spent[token] && s.harmed == "" {
		tr.lie("3: a refresh token was sent that had been rotated away")
	}
}

const (
	tokenLife = time.Hour
	// early is how long before its expiry a token is renewed, and what of a second
	// is lost in between.
	early = time.Minute + 2*time.Second
)

// given notes what the provider has given to a sitting. tr.mu is held.
func (tr *truth) given(s *sitting, form url.Values, refresh, access, subject, sid string, lost bool) {
	now := time.Now()
	s.subject, s.sid = subject, sid
	tr.byToken[refresh], tr.byToken[access] = s, s
	if s.newest != "" && s.newest != refresh {
		s.spent[s.newest] = true
		if lost {
			s.harmed = "the answer with the rotated refresh token was lost"
		}
	}
	audience := form.Get("resource") + " " + form.Get("organization_id")
	plain := audience == " "
	if plain || s.newest != refresh {
		s.bumps++
		s.late = s.late || s.bumps > 1 && tr.isOver(s) == "a logout token"
	}
	s.newest = refresh
	switch {
	case plain:
		if now.Before(s.nextDue) && !tr.faulty {
			tr.lie("3: refreshed %v before it was due", s.nextDue.Sub(now))
		}
		s.nextDue = now.Add(tokenLife - early)
	default:
		if now.Before(s.nextFetch[audience]) && !tr.faulty {
			tr.lie("3: a token for %q fetched %v before it was due", audience, s.nextFetch[audience].Sub(now))
		}
		s.nextFetch[audience] = now.Add(tokenLife - early)
	}
	tr.counts["tokens given"]++
}

// revocation notes that a refresh token is given back.
func (tr *truth) revocation(token string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	s := tr.byToken[token]
	if s == nil {
		tr.lie("1: a token was revoked that nobody has got")
		return
	}
	if !s.signedOut && !tr.loggedOut(s) {
		if why := tr.mayBeOver(s); why == "" {
			tr.lie("1: the grant of a living session was revoked")
		} else if other := tr.shares(s); other != nil {
			tr.lie("1: the grant of a living session was revoked, with that of one that had ended because: %s", why)
		}
	}
	tr.revoked[s.sid] = time.Now()
	tr.counts["revoked"]++
}

// notRevoked notes that a fault hits a request to revoke a token, or one for the
// address at which tokens are revoked, whichever that is then for.
func (tr *truth) notRevoked(path, token string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.undiscovered = tr.undiscovered || strings.HasSuffix(path, "/openid-configuration")
	if s := tr.byToken[token]; s != nil {
		s.kept = true
	}
}

// shares returns a living session with the same grant as s. tr.mu is held.
func (tr *truth) shares(s *sitting) *sitting {
	for _, other := range tr.sittings {
		if other != s && other.sid == s.sid && tr.mayBeOver(other) == "" && len(other.texts) > 0 {
			return other
		}
	}
	return nil
}

// notified notes a logout token on its way, and returns what notes its answer.
func (tr *truth) notified(token string) (answered func(status int)) {
	claims := claimsIn(token)
	l := &logout{subject: claims.Sub, sid: claims.Sid, begun: time.Now()}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.logouts = append(tr.logouts, l)
	return func(status int) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		l.at, l.ended = time.Now(), true
		if status == 200 {
			l.done = l.at
			tr.counts["logout tokens"]++
		}
	}
}

// said are the claims that tell sessions apart.
type said struct{ Nonce, Sub, Sid, Aud string }

// claimsIn returns what a JWT says; nothing if it is none.
func claimsIn(token string) (claims said) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(raw, &claims) // what cannot be read names nobody
	}
	return claims
}
