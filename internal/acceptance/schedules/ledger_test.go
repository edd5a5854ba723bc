package schedules_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// session is one sign-in and what came of it, as far as browsers and provider
// can see it.
type session struct {
	number              int
	nonce, subject, sid string
	from, by            time.Time // the sign-in began between these
	issued, authTime    int64     // of the sign-in's ID token
	cookies             []*cookie // the oldest first
	made                time.Time // when its first cookie was set

	newest      string               // refresh token
	spent       map[string]bool      // refresh tokens that were rotated away
	underWay    int                  // token requests
	generations int                  // at the provider: token requests that have made a new one
	due         map[string]time.Time // by audience: no token request may come before this

	mayHaveEnded string // what may have ended it, or ""
	ended        string // what has ended it for certain, or ""
	unwanted     bool   // its end was asked for, other than by a new sign-in
	replaced     bool   // a new sign-in began with it
	replaces     *cookie
	receivedLate bool   // it received a refresh token after its end
	kept         bool   // a fault has kept its refresh token from being revoked
	harm         string // the fault that may have cost it its refresh token
}

// What ends a session.
const (
	signedOut = "a sign-out"
	signedIn  = "a new sign-in"
	loggedOut = "a logout token"
	endedAll  = "EndSessions"
)

// cookie is one value of a session cookie.
type cookie struct {
	value       string
	of          *session
	generations int  // of the session when the cookie was made, at least
	shown       bool // a request came with it
	at          time.Time
}

// logout is a logout token on its way, or a call of EndSessions.
type logout struct {
	subject, sid string
	issued       int64     // of a logout token, by the provider's clock; 0 for EndSessions
	begun, done  time.Time // done is zero until the answer was 200
	answered     time.Time // with whatever status
}

func (l *logout) names(s *session) bool {
	if l.sid != "" {
		return s.sid == l.sid
	}
	return s.subject == l.subject
}

// ends reports whether a logout token ends a session: one whose ID token was
// issued no later, or up to ten seconds later without another authentication.
func (l *logout) ends(s *session) bool {
	return l.names(s) && (s.issued <= l.issued || s.issued <= l.issued+10 && s.authTime <= l.issued)
}

// ledger notes what happens, and what should not have happened.
type ledger struct {
	kind
	mu           sync.Mutex // guards what follows
	undiscovered bool       // a fault has hit a request for the metadata
	keyIsNew     bool       // a fetch of the provider's keys that is under way may miss the new one
	sessions     []*session
	byNonce      map[string]*session
	byToken      map[string]*session // refresh and access tokens
	byCookie     map[string]*cookie
	atCookie     map[string]string // the subject of a session at the provider, by its cookie
	logouts      []*logout
	revoked      map[string]time.Time // grants, by sid
	suspended    map[string]bool      // subjects, now or before
	violations   []string
	counts       map[string]int
}

func newLedger(k kind) *ledger {
	return &ledger{
		kind: k, byNonce: map[string]*session{}, byToken: map[string]*session{}, byCookie: map[string]*cookie{},
		atCookie: map[string]string{}, suspended: map[string]bool{}, revoked: map[string]time.Time{}, counts: map[string]int{},
	}
}

func (l *ledger) locked(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// violation notes something that must not happen. l.mu is held.
func (l *ledger) violation(format string, args ...any) {
	l.violations = append(l.violations, fmt.Sprintf(format, args...))
}

// violated calls violation with l.mu held.
func (l *ledger) violated(format string, args ...any) {
	l.locked(func() { l.violation(format, args...) })
}

// unlessExplained notes a violation unless a fault or a new key explains it.
func (l *ledger) unlessExplained(format string, args ...any) {
	l.locked(func() {
		if !l.faulty && !l.keyIsNew {
			l.violation(format, args...)
		}
	})
}

// signInBegun notes a sign-in.
func (l *ledger) signInBegun(nonce string, from, by time.Time) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &session{
		number: len(l.sessions) + 1, nonce: nonce, from: from, by: by,
		spent: map[string]bool{}, due: map[string]time.Time{},
	}
	l.sessions, l.byNonce[nonce] = append(l.sessions, s), s
	return s
}

// isShown notes that a request comes with a cookie, and returns the cookie and what
// has certainly ended its session before.
func (l *ledger) isShown(value string) (c *cookie, ended string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c = l.byCookie[value]; c == nil {
		return nil, ""
	}
	c.shown = true
	return c, l.hasEnded(c.of)
}

// checkPage compares a page with the session whose cookie was sent. l.mu is held.
func (l *ledger) checkPage(p page, sent *cookie, ended string) {
	switch {
	case p.User == "" && sent == nil:
	case p.User == "":
		l.counts["pages without a user"]++
		if l.mayHaveEnded(sent.of) == "" && !sent.stale() {
			l.violation("4: %s was signed out without a reason", sent.of.subject)
		}
	case sent == nil:
		l.violation("4: %s is signed in without a cookie", p.User)
	case ended != "":
		l.violation("1: a session is used after its end by %s", ended)
	case p.Nonce != sent.of.nonce || p.User != sent.of.subject || p.Sub != p.User || p.Sid != sent.of.sid:
		l.violation("2: a page in a session of %[2]s is for %[1]s", p.User, sent.of.subject)
	case p.Error == "not_signed_in":
		if l.mayHaveEnded(sent.of) == "" && !sent.stale() {
			l.violation("4: a living session has no access token")
		}
	case p.Error != "" && !l.faulty && l.mayHaveEnded(sent.of) == "":
		l.violation("4: there is no access token: %s", p.Error)
	case p.Token != "":
		l.counts["access tokens"]++
		if c := claimsOf(p.Token); l.byToken[p.Token] != sent.of || c.Sub != "" && c.Sub != p.User {
			l.violation("2: a page of %s has an access token of another session", p.User)
		}
	}
}

// mayHaveEnded says what may have ended a session, or "". l.mu is held.
func (l *ledger) mayHaveEnded(s *session) string {
	if s.mayHaveEnded != "" {
		return s.mayHaveEnded
	}
	if l.mayBeLoggedOut(s) {
		return loggedOut
	}
	if l.suspended[s.subject] {
		return "suspended"
	}
	// The provider gives all sign-ins of one of its sessions the same grant.
	if at, ok := l.revoked[s.sid]; ok && !s.from.After(at) {
		return "its grant was revoked with another session"
	}
	return s.harm
}

// hasEnded says what has certainly ended a session, or "". l.mu is held.
func (l *ledger) hasEnded(s *session) string {
	if s.ended != "" {
		return s.ended
	}
	for _, o := range l.logouts {
		switch {
		case o.done.IsZero():
		case o.issued != 0 && s.issued != 0 && o.ends(s):
			return loggedOut
		// A sign-in under way may note the number that EndSessions has just written.
		case o.issued == 0 && o.names(s) && !s.made.IsZero() && s.made.Before(o.begun):
			return endedAll
		}
	}
	return ""
}

// mayBeLoggedOut reports whether a logout token may have ended a session. l.mu
// is held.
func (l *ledger) mayBeLoggedOut(s *session) bool {
	return slices.ContainsFunc(l.logouts, func(o *logout) bool {
		if o.issued != 0 {
			return s.issued == 0 || o.ends(s)
		}
		return o.names(s) && (o.answered.IsZero() || !s.from.After(o.answered))
	})
}

// stale reports whether a cookie may be stale: its browser has got two later ones,
// two hours apart.
func (c *cookie) stale() bool {
	return time.Since(c.at) >= 4*time.Hour && c.of.generations >= c.generations+2
}

// setCookie notes a cookie that an answer has set in place of the one that was sent.
// The answer may have been on its way for long, so all that is known is that the
// cookie is of a later generation.
func (l *ledger) setCookie(value string, s *session, sent *cookie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byCookie[value] != nil {
		return
	}
	c := &cookie{value: value, of: s, generations: 1, at: time.Now()}
	if sent != nil && sent.of == s {
		c.generations = sent.generations + 1
	}
	l.byCookie[value], s.cookies = c, append(s.cookies, c)
	if s.made.IsZero() {
		s.made = time.Now()
	}
}

// beforeCallback notes that a sign-in is about to replace the session whose cookie
// is sent with its callback.
func (l *ledger) beforeCallback(made *session, sent *cookie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if made.replaces = sent; sent != nil {
		sent.of.replaced = true
		sent.of.mayHaveEnded = cmp.Or(sent.of.mayHaveEnded, signedIn)
	}
}

// revokedJustNow reports whether a grant was revoked in the last second. A code that was
// not yet exchanged then is dead too, if it was given out under the same grant.
func (l *ledger) revokedJustNow() bool {
	for _, at := range l.revoked {
		if time.Since(at) < time.Second {
			return true
		}
	}
	return false
}

// afterCallback checks the answer to a callback of a person who is subject at
// the provider.
func (l *ledger) afterCallback(status int, made *session, subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if status != http.StatusSeeOther {
		if len(made.cookies) > 0 {
			l.violation("4: a callback was answered %d with a session", status)
		}
		if l.mayHaveEnded(made) == "" && !l.suspended[subject] && !l.faulty && !l.keyIsNew && !l.revokedJustNow() {
			l.violation("4: a callback was answered %d", status)
		}
		// The application may revoke what it received for this sign-in.
		made.mayHaveEnded, made.unwanted = "a sign-in that failed", true
		return
	}
	l.counts["sign-ins"]++
	if len(made.cookies) == 0 || made.subject != subject {
		l.violation("2: %s signed in, and the session is of %q", subject, made.subject)
	}
	if made.replaces == nil {
		return
	}
	// A sign-out that could not be written has removed the session from a store on
	// the server, so the sign-in did not find it to end it.
	old := made.replaces.of
	if lost := l.faulty && l.files && old.mayHaveEnded == signedOut; !lost {
		old.ended = cmp.Or(old.ended, signedIn)
	}
}

// beforeSignOut notes that a sign-out is about to end the session of a cookie.
func (l *ledger) beforeSignOut(sent *cookie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent == nil {
		return
	}
	// After another end, the sign-out must not revoke the grant, which may be that of
	// a new session, unless a fault keeps it from learning of that end.
	ended := l.hasEnded(sent.of)
	sent.of.unwanted = sent.of.unwanted || ended == "" || ended == signedOut || l.faulty
	sent.of.mayHaveEnded = signedOut
}

// afterSignOut notes that a sign-out has succeeded.
func (l *ledger) afterSignOut(sent *cookie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent != nil {
		sent.of.ended = signedOut
		l.counts["sign-outs"]++
	}
}

// numberOf returns the number of a refresh token's session, or 0.
func (l *ledger) numberOf(token string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.byToken[token]; s != nil {
		return s.number
	}
	return 0
}

// tokenRequest notes a token request, and returns a function that notes its answer.
func (l *ledger) tokenRequest(form url.Values) (answered func(status int, body []byte, lost bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	token := form.Get("refresh_token")
	s := l.byToken[token]
	if token != "" {
		l.refreshBegins(s, token)
	}
	return func(status int, body []byte, lost bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if token != "" && s != nil {
			s.underWay--
		}
		if status != http.StatusOK {
			if s != nil && s.harm != "" { // the token was used twice, and the provider may have revoked the grant
				l.revoked[s.sid] = time.Now()
			}
			return
		}
		var got tokens
		_ = json.Unmarshal(body, &got) // an answer that cannot be read has no nonce
		of := l.byNonce[claimsOf(got.ID).Nonce]
		if of == nil || s != nil && s != of {
			l.violation("2: a token request of one sign-in was answered for another")
			return
		}
		l.received(of, form, got, lost)
	}
}

// tokens is a token response.
type tokens struct {
	ID      string `json:"id_token"`
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// refreshBegins checks that a refresh token may be sent now. l.mu is held.
func (l *ledger) refreshBegins(s *session, token string) {
	if s == nil {
		l.violation("3: a refresh token was sent that the provider has not given out")
		return
	}
	if s.underWay++; s.underWay > 1 {
		l.violation("3: %d token requests of one session at once", s.underWay)
	}
	if s.spent[token] && s.harm == "" {
		l.violation("3: a refresh token was sent that had been rotated away")
	}
}

const (
	tokenLife = time.Hour
	// early is how long before its expiry a token is renewed, plus two seconds that
	// rounding may cost.
	early = time.Minute + 2*time.Second
)

// received notes what the provider has sent for a session. l.mu is held.
func (l *ledger) received(s *session, form url.Values, got tokens, lost bool) {
	said := claimsOf(got.ID)
	s.subject, s.sid = said.Sub, said.Sid
	if s.issued == 0 {
		s.issued, s.authTime = said.Iat, said.AuthTime
	}
	l.byToken[got.Refresh], l.byToken[got.Access] = s, s
	if s.newest != "" && s.newest != got.Refresh {
		s.spent[s.newest] = true
		if lost {
			s.harm = "the answer with the rotated refresh token was lost"
		}
	}
	audience := form.Get("resource") + " " + form.Get("organization_id")
	if own := audience == " "; own || s.newest != got.Refresh {
		s.generations++
		s.receivedLate = s.receivedLate || s.generations > 1 && l.hasEnded(s) == signedOut
	}
	s.newest = got.Refresh
	now := time.Now()
	if early := s.due[audience].Sub(now); early > 0 && !l.faulty {
		l.violation("3: a token for %q was asked for %v before it was due", audience, early)
	}
	s.due[audience] = now.Add(tokenLife - early)
}

// revocation notes that a refresh token is revoked.
func (l *ledger) revocation(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byToken[token]
	if s == nil {
		l.violation("1: a token was revoked that the provider has not given out")
		return
	}
	if !s.unwanted && !l.mayBeLoggedOut(s) {
		if why := l.mayHaveEnded(s); why == "" {
			l.violation("1: the grant of a living session was revoked")
		} else if l.isShared(s) {
			l.violation("1: the grant that a living session shares with an ended one was revoked: %s", why)
		}
	}
	l.revoked[s.sid] = time.Now()
	l.counts["revocations"]++
}

// faultAt notes that a fault hits a request to the provider, which may be one that
// revokes a token, or one that finds out where tokens are revoked.
func (l *ledger) faultAt(path, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.undiscovered = l.undiscovered || strings.HasSuffix(path, "/openid-configuration")
	if s := l.byToken[token]; s != nil {
		s.kept = true
	}
}

// isShared reports whether a living session has the same grant as s. l.mu is held.
func (l *ledger) isShared(s *session) bool {
	return slices.ContainsFunc(l.sessions, func(other *session) bool {
		return other != s && other.sid == s.sid && l.mayHaveEnded(other) == "" && len(other.cookies) > 0
	})
}

// logoutToken notes a logout token, and returns a function that notes its answer.
func (l *ledger) logoutToken(token string) (answered func(status int)) {
	said := claimsOf(token)
	return l.end(&logout{subject: said.Sub, sid: said.Sid, issued: said.Iat, begun: time.Now()})
}

// endSessions notes a call of EndSessions, and returns a function that notes its
// outcome.
func (l *ledger) endSessions(subject string) (answered func(status int)) {
	return l.end(&logout{subject: subject, begun: time.Now()})
}

func (l *ledger) end(o *logout) (answered func(status int)) {
	l.locked(func() { l.logouts = append(l.logouts, o) })
	return func(status int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if o.answered = time.Now(); status == http.StatusOK {
			o.done = o.answered
			l.counts["logout tokens"]++
		}
	}
}

// claims are the claims that tell sessions apart.
type claims struct {
	Nonce, Sub, Sid string
	Iat             int64
	AuthTime        int64 `json:"auth_time"`
}

// claimsOf returns the claims of a token, or none if it is not a JWT.
func claimsOf(token string) (c claims) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(raw, &c)
	}
	return c
}
