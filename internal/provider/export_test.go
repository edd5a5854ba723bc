package provider

import "time"

// Check is check, for tables and fuzzing.
func Check(payload []byte, issuer, clientID, alg string, want Expect, now time.Time) (*IDToken, error) {
	return check(payload, rules{issuer: issuer, clientID: clientID, alg: alg, want: want, now: now})
}

// CheckLogout is checkLogout, for tables and fuzzing.
func CheckLogout(payload []byte, issuer, clientID string, now time.Time) (*LogoutToken, error) {
	return checkLogout(payload, issuer, clientID, now)
}

// Refusal is refusal for an answer with this status and body.
func Refusal(status int, body string) *Error {
	return refusal("refresh", answer{status: status, body: []byte(body)})
}

// TransportCause is transportCause.
func TransportCause(err error) error { return transportCause(err) }

// ParseRetryAfter is parseRetryAfter.
func ParseRetryAfter(value string, now time.Time) time.Duration { return parseRetryAfter(value, now) }
