package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gosignin/signin/internal/webhook"
)

var (
	key = []byte("a-signing-key")
	now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
)

const header = "logto-signature-sha-256"

func sign(key []byte, body string) string {
	sum := hmac.New(sha256.New, key)
	io.WriteString(sum, body)
	return hex.EncodeToString(sum.Sum(nil))
}

// send sends a body with a signature.
func send(body, signature string) (webhook.Notice, error) {
	r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(body))
	r.Header.Set(header, signature)
	return webhook.Read(httptest.NewRecorder(), r, key, now)
}

// said is what a webhook that is signed right is taken for.
func said(body string) string {
	n, err := send(body, sign(key, body))
	switch {
	case errors.Is(err, webhook.ErrMalformed):
		return strings.TrimPrefix(err.Error(), "signin: the webhook is ")
	case err != nil:
		return "another error: " + err.Error()
	}
	outcome := [...]string{"ignored", "late", "ends"}[n.Outcome]
	if n.Begun {
		outcome += " what has begun,"
	}
	return strings.TrimSpace(outcome + " " + n.Subject)
}

// event returns the body of a webhook that was created now, with more members.
func event(name, more string) string {
	return `{"event":"` + name + `","createdAt":"2026-03-04T05:06:07.000Z",` + more + `}`
}

func suspended(more string) string { return event("User.SuspensionStatus.Updated", more) }
func deleted(more string) string   { return event("User.Deleted", more) }
func reset(more string) string     { return event("PostResetPassword", more) }

// created returns the webhook of a deletion at another time.
func created(at string) string {
	return `{"event":"User.Deleted","createdAt":` + at + `,"params":{"userId":"u1"}}`
}

func TestRead_WhoseSessionsEnd(t *testing.T) {
	t.Parallel()
	const (
		noObject  = "malformed: it is not a JSON object with distinct members"
		noData    = "malformed: its data is not an object with distinct members"
		noPerson  = "malformed: it names no person in data.id, params.userId, userId or user.id"
		noID      = "malformed: the ID of its person is not 1 to 255 printable characters of ASCII"
		noBool    = "malformed: its data.isSuspended is neither true nor false"
		noCreated = "malformed: its createdAt is not a time as in RFC 3339"
		noEvent   = "malformed: its event is not text"
		twoNames  = `malformed: it names two persons: "u1" and "u2"`
	)
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	for name, row := range map[string]struct{ body, want string }{
		"suspended, the whole account":                  {suspended(`"data":{"id":"u1","name":"A","isSuspended":true},"params":{"userId":"u1"}`), "ends u1"},
		"suspended, what has changed":                   {suspended(`"data":{"isSuspended":true},"params":{"userId":"u1"}`), "ends u1"},
		"reinstated":                                    {suspended(`"data":{"id":"u1","isSuspended":false}`), "ignored"},
		"deleted, without data":                         {deleted(`"data":null,"params":{"userId":"u1"}`), "ends u1"},
		"password reset":                                {reset(`"userId":"u1","user":{"id":"u1"},"interactionEvent":"ForgotPassword"`), "ends what has begun, u1"},
		"password reset, user alone":                    {reset(`"user":{"id":"u1"}`), "ends what has begun, u1"},
		"an ID with an escape":                          {reset(`"userId":"\u00751"`), "ends what has begun, u1"},
		"custom data nested deeply":                     {suspended(`"data":{"id":"u1","customData":` + deep + `,"isSuspended":true}`), "ends u1"},
		"custom data of a megabyte, as Logto writes it": {suspended(`"data":{"id":"u1","customData":{"a":[1` + strings.Repeat(",100000000000000000000", 1<<20/len(",1e20")) + `]},"isSuspended":true}`), "ends u1"},
		"custom data with the names of members":         {suspended(`"data":{"id":"u1","customData":{"id":"u2","isSuspended":false,"isSuspended":1},"isSuspended":true}`), "ends u1"},
		"a profile that changed, or a password":         {event("User.Data.Updated", `"data":{"id":"u1","isSuspended":true}`), "ignored"},
		"a membership that changed":                     {event("Organization.Membership.Updated", `"organizationId":"o1","data":[]`), "ignored"},
		"another event without a time":                  {`{"event":"PostSignIn"}`, "ignored"},
		"a name of an event in another case":            {event("user.deleted", `"params":{"userId":"u1"}`), "ignored"},
		"ten minutes old":                               {created(`"2026-03-04T04:56:07Z"`), "ends u1"},
		"older, or one that was recorded":               {created(`"2026-03-04T04:56:06.999Z"`), "late u1"},
		"five minutes ahead, in another time zone":      {created(`"2026-03-04T14:11:07+09:00"`), "ends u1"},
		"further ahead":                                 {created(`"2026-03-04T05:11:07.001Z"`), "late u1"},
		"without a time, so it could be sent again":     {created("null"), noCreated},
		"a time as a number":                            {created("1772600767000"), noCreated},
		"a time in words":                               {created(`"Wed, 04 Mar 2026 05:06:07 GMT"`), noCreated},
		"two persons in data and params":                {deleted(`"data":{"id":"u1"},"params":{"userId":"u2"}`), twoNames},
		"two persons in userId and user":                {reset(`"userId":"u1","user":{"id":"u2"}`), twoNames},
		"the second person long":                        {reset(`"userId":"u1","user":{"id":"` + strings.Repeat("x", 130) + `"}`), `malformed: it names two persons: "u1" and "` + strings.Repeat("x", 120) + `"...`},
		"no person":                                     {deleted(`"data":{"name":"u1"}`), noPerson},
		"the person in members in another case":         {deleted(`"Data":{"id":"u1"},"UserID":"u1","data":{"ID":"u1"}`), noPerson},
		"the person null":                               {deleted(`"data":{"id":null}`), noPerson},
		"an ID without characters":                      {deleted(`"data":{"id":""},"params":{"userId":"u1"}`), noID},
		"a number as an ID":                             {deleted(`"data":{"id":1e999}`), noID},
		"a NUL in an ID":                                {deleted(`"data":{"id":"u1\u0000"}`), noID},
		"an ID that is not UTF-8":                       {deleted("\"data\":{\"id\":\"u\xff\"}"), noID},
		"an ID that is too long":                        {deleted(`"data":{"id":"` + strings.Repeat("x", 256) + `"}`), noID},
		"an ID as long as it may be":                    {deleted(`"data":{"id":"` + strings.Repeat("x", 255) + `"}`), "ends " + strings.Repeat("x", 255)},
		"data is a list":                                {deleted(`"data":["u1"]`), noData},
		"params is text":                                {deleted(`"params":"u1"`), "malformed: its params is not an object with distinct members"},
		"user is a number":                              {deleted(`"user":1`), "malformed: its user is not an object with distinct members"},
		"two IDs in data":                               {deleted(`"data":{"id":"u1","id":"u2"}`), noData},
		"isSuspended twice":                             {suspended(`"data":{"id":"u1","isSuspended":true,"isSuspended":false}`), noData},
		"isSuspended as text":                           {suspended(`"data":{"id":"u1","isSuspended":"true"}`), noBool},
		"isSuspended null":                              {suspended(`"data":{"id":"u1","isSuspended":null}`), noBool},
		"isSuspended absent":                            {suspended(`"data":{"id":"u1","issuspended":true}`), noBool},
		"the event twice":                               {`{"event":"PostSignIn","event":"User.Deleted"}`, noObject},
		"no event":                                      {`{"data":{"id":"u1"}}`, noEvent},
		"an event that is not text":                     {`{"event":["User.Deleted"]}`, noEvent},
		"null":                                          {`null`, noObject},
		"a list":                                        {`[]`, noObject},
		"two objects":                                   {deleted(`"userId":"u1"`) + `{}`, noObject},
		"a NUL after it":                                {deleted(`"userId":"u1"`) + "\x00", noObject},
		"nothing":                                       {``, noObject},
		"a megabyte of brackets":                        {strings.Repeat("[", 1<<20), noObject},
		"a megabyte of members":                         {strings.Repeat(`{"a":`, 1<<20/5), noObject},
	} {
		if got := said(row.body); got != row.want {
			t.Errorf("%s: got %q; want %q", name, got, row.want)
		}
	}
}

// Whatever the body is, the signature decides first.
func TestRead_SignatureIsWrong(t *testing.T) {
	t.Parallel()
	body := deleted(`"userId":"u1"`)
	right := sign(key, body)
	for name, row := range map[string]struct{ body, signature string }{
		"absent":                            {body, ""},
		"of another key":                    {body, sign([]byte("another"), body)},
		"of no key":                         {body, sign(nil, body)},
		"of another body":                   {deleted(`"userId":"u2"`), right},
		"of the same JSON in other bytes":   {body + " ", right},
		"cut, as a comparison might":        {body, right[:62]},
		"with more after it":                {body, right + "00"},
		"of an odd length":                  {body, right[:63]},
		"with spaces":                       {body, right + " "},
		"not hexadecimal":                   {body, strings.Repeat("g", 64)},
		"with the name of its algorithm":    {body, "sha256=" + right},
		"of a body that is not JSON":        {"{", right},
		"absent, where the body is large":   {strings.Repeat("x", 8<<20+1), ""},
		"one bit changed":                   {body, flipped(right)},
		"several, the right one among them": {body, right + "," + right},
	} {
		n, err := send(row.body, row.signature)
		if !errors.Is(err, webhook.ErrSignature) || n != (webhook.Notice{}) || strings.Contains(err.Error(), right) {
			t.Errorf("%s: got %+v, %v; want %v", name, n, err, webhook.ErrSignature)
		}
	}
	if n, err := send(body, strings.ToUpper(right)); err != nil || n.Subject != "u1" || n.Event != "User.Deleted" || !n.Created.Equal(now) {
		t.Errorf("in upper case: got %+v, %v; want it read", n, err)
	}
}

func flipped(signature string) string {
	b, _ := hex.DecodeString(signature)
	b[31] ^= 1
	return hex.EncodeToString(b)
}

func TestRead_BodyCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		body io.Reader
		want error
	}{
		"a byte too large":                          {strings.NewReader(strings.Repeat(" ", 8<<20+1)), webhook.ErrTooLarge},
		"the client has gone away":                  {iotest.ErrReader(io.ErrUnexpectedEOF), webhook.ErrMalformed},
		"as large as it may be, and wrongly signed": {strings.NewReader(strings.Repeat(" ", 8<<20)), webhook.ErrSignature},
	} {
		r := httptest.NewRequest(http.MethodPost, "/webhook", row.body)
		r.Header.Set(header, strings.Repeat("0", 64))
		if n, err := webhook.Read(httptest.NewRecorder(), r, key, now); !errors.Is(err, row.want) || n != (webhook.Notice{}) {
			t.Errorf("%s: got %+v, %v; want %v", name, n, err, row.want)
		}
	}
}

// FuzzRead checks that a webhook ends the sessions of a person only if encoding/json
// finds that person, one of the three events and, for a suspension, true in it.
func FuzzRead(f *testing.F) {
	for _, body := range []string{
		suspended(`"data":{"id":"u1","isSuspended":true},"params":{"userId":"u1"}`), deleted(`"data":null,"params":{"userId":"u1"}`),
		reset(`"userId":"u1","user":{"id":"u1"}`), event("User.Data.Updated", `"data":{"id":"u1"}`), created(`"2026-03-04T04:56:06Z"`),
		deleted(`"data":{"id":"u1","id":"u2"}`), suspended(`"data":{"id":"u1","isSuspended":"true"}`), `{"event":1}`, `null`, "\x00",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := send(string(body), sign(key, string(body)))
		if err != nil {
			if n != (webhook.Notice{}) || len(err.Error()) > 600 || bytes.ContainsAny([]byte(err.Error()), "\x00\r\n") {
				t.Fatalf("got %+v, %q; want a short error alone", n, err)
			}
			return
		}
		if n.Outcome == webhook.Ignored {
			return
		}
		var o map[string]any // exact names, unlike in a struct
		if err := json.Unmarshal(body, &o); err != nil {
			t.Fatalf("%q: got %+v; want it refused: %v", body, n, err)
		}
		of := func(name string) map[string]any { in, _ := o[name].(map[string]any); return in }
		if created, _ := o["createdAt"].(string); !strings.Contains(created, "T") || n.Created.IsZero() {
			t.Errorf("%s: got created %v; want that in it", body, n.Created)
		}
		if n.Event != o["event"] || n.Event == "User.SuspensionStatus.Updated" && of("data")["isSuspended"] != true {
			t.Errorf("%s: got %+v; want nothing done", body, n)
		}
		for _, id := range []any{of("data")["id"], of("params")["userId"], o["userId"], of("user")["id"]} {
			if n.Subject == "" || id != nil && id != n.Subject {
				t.Errorf("%s: got the person %q; want %v", body, n.Subject, id)
			}
		}
	})
}
