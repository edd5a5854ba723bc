// Package webhook reads Logto's webhooks, and says whose sessions one of them ends.
//
//	notice, err := webhook.Read(w, r, signingKey, now)
//	switch {
//	case errors.Is(err, webhook.ErrSignature): // 401
//	case errors.Is(err, webhook.ErrTooLarge): // 413
//	case err != nil: // 400
//	case notice.Outcome == webhook.Ends:
//		… // all sessions of notice.Subject, and sign-ins under way unless notice.Begun
//	}
//
// A webhook is believed for its signature alone, so that is checked over the bytes of
// the body before any of them is parsed.
//
// A webhook has no ID, so one that was recorded can be sent again. For ten minutes that
// signs the same person out again, and does nothing else; later it does nothing.
//
// Logto sends a webhook once. If it is lost, a session goes on until its next refresh,
// which Logto refuses if the account was suspended or deleted. After a reset of the
// password that was lost, the session goes on.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	strict "github.com/go-jose/go-jose/v4/json"

	"github.com/gosignin/signin/internal/document"
)

// Why a webhook is refused.
var (
	ErrSignature = errors.New("signin: the webhook is not signed")
	ErrMalformed = errors.New("signin: the webhook is malformed")
	ErrTooLarge  = errors.New("signin: the webhook is too large")
)

// Outcome is what a webhook asks for.
type Outcome int

const (
	Ignored Outcome = iota // nothing: an event that ends no sessions
	Late                   // nothing, since it is too old, or from the future
	Ends                   // that the sessions of a person end
)

// Notice is a webhook that was read.
type Notice struct {
	Event   string // as Logto names it
	Outcome Outcome
	Subject string    // the person whose sessions end; "" if Ignored
	Created time.Time // by Logto's clock; zero if Ignored
	// Begun says that sign-ins under way go on: one of them has reset the password.
	Begun bool
}

const (
	signature = "logto-signature-sha-256"
	// maxBody is far more than Logto sends about anyone but a person with much custom
	// data. Some may write that themselves, and must not be able to keep their
	// suspension from being read. Logto takes a megabyte at once, in which 1e20 is a
	// number that it writes with 21 digits. net/http takes more than this in a form.
	maxBody = 8 << 20
	// maxSubject is that of ID tokens: https://openid.net/specs/openid-connect-core-1_0.html#IDToken
	maxSubject = 255

	maxAge   = 10 * time.Minute
	maxAhead = 5 * time.Minute // for clocks that differ
)

// The events that end sessions. It is tempting to add User.Data.Updated, which is sent
// when a password is changed through Logto's API. But it is also sent when a person
// changes their picture, and does not tell the two apart.
const (
	suspension = "User.SuspensionStatus.Updated"
	deletion   = "User.Deleted"
	reset      = "PostResetPassword"
)

// Read reads the webhook that a request is, given the signing key that Logto's console
// shows. now is compared with the time that the webhook was created at. The error matches
// one of Err…; a request whose body ends early is ErrMalformed.
func Read(w http.ResponseWriter, r *http.Request, key []byte, now time.Time) (Notice, error) {
	body, err := signed(w, r, key)
	if err != nil {
		return Notice{}, err
	}
	o, err := parse(body)
	if err != nil {
		return Notice{}, err
	}
	n, err := judge(o, now)
	if err != nil {
		return Notice{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return n, nil
}

// signed returns the body of a request if its signature is right.
func signed(w http.ResponseWriter, r *http.Request, key []byte) ([]byte, error) {
	given, err := hex.DecodeString(r.Header.Get(signature))
	if err != nil || len(given) != sha256.Size {
		return nil, fmt.Errorf("%w: it has no header %s with 64 hexadecimal digits", ErrSignature, signature)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, maxBody)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: its body cannot be read", ErrMalformed)
	}
	sum := hmac.New(sha256.New, key)
	sum.Write(body)
	if !hmac.Equal(given, sum.Sum(nil)) {
		return nil, fmt.Errorf("%w with the signing key that this application has", ErrSignature)
	}
	return body, nil
}

// parse reads a JSON object: exact names, and no two members of the same name. It is
// tempting to use document.Parse, but that limits how deeply objects are nested, also
// those in a person's custom data; see maxBody. This parser does not recurse into what
// it is not asked for.
func parse(data []byte) (o document.Object, err error) {
	if err = strict.Unmarshal(data, &o); err != nil || o == nil {
		return nil, fmt.Errorf("%w: it is not a JSON object with distinct members", ErrMalformed)
	}
	return o, nil
}

// judge decides what a webhook asks for.
func judge(o document.Object, now time.Time) (Notice, error) {
	event, err := o.Text("event")
	switch {
	case err != nil || event == "":
		return Notice{}, errors.New("its event is not text")
	case event != suspension && event != deletion && event != reset:
		return Notice{Event: event}, nil
	}
	data, err := member(o, "data")
	if err != nil {
		return Notice{}, err
	}
	subject, err := person(o, data)
	if err != nil {
		return Notice{}, err
	}
	if event == suspension {
		var suspended *bool
		if err := json.Unmarshal(data["isSuspended"], &suspended); err != nil || suspended == nil {
			return Notice{}, errors.New("its data.isSuspended is neither true nor false")
		}
		if !*suspended {
			return Notice{Event: event}, nil
		}
	}
	text, _ := o.Text("createdAt")
	created, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return Notice{}, errors.New("its createdAt is not a time as in RFC 3339")
	}
	n := Notice{Event: event, Outcome: Ends, Subject: subject, Created: created, Begun: event == reset}
	if age := now.Sub(created); age > maxAge || age < -maxAhead {
		n.Outcome = Late
	}
	return n, nil
}

// person returns the ID of the person that a webhook is about. Where it is depends on
// the event, and on how the change was made. If it is in several places, these agree:
// otherwise it would not be known whose sessions are to end.
func person(o, data document.Object) (string, error) {
	params, err := member(o, "params")
	if err != nil {
		return "", err
	}
	user, err := member(o, "user")
	if err != nil {
		return "", err
	}
	subject := ""
	for _, at := range []struct {
		in   document.Object
		name string
	}{{data, "id"}, {params, "userId"}, {o, "userId"}, {user, "id"}} {
		if !at.in.Has(at.name) {
			continue
		}
		id, err := at.in.Text(at.name)
		switch {
		case err != nil || id == "" || len(id) > maxSubject || !document.Printable(id):
			return "", errors.New("the ID of its person is not 1 to 255 printable characters of ASCII")
		case subject != "" && subject != id:
			return "", fmt.Errorf("it names two persons: %s and %s", document.Quote(subject), document.Quote(id))
		}
		subject = id
	}
	if subject == "" {
		return "", errors.New("it names no person in data.id, params.userId, userId or user.id")
	}
	return subject, nil
}

// member returns a member that is an object; nil, which has no members, if it is absent
// or null.
func member(o document.Object, name string) (document.Object, error) {
	if !o.Has(name) {
		return nil, nil
	}
	in, err := parse(o[name])
	if err != nil {
		return nil, fmt.Errorf("its %s is not an object with distinct members", name)
	}
	return in, nil
}
