package signintest_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/internal/webhook"
	"github.com/gosignin/signin/signintest"
)

const webhookKey = "the-signing-key"

// listen serves an application that reads webhooks as package signin does, and returns
// its address and what it reads. The clocks agree.
func listen(t *testing.T, now func() time.Time) (address string, read func() string) {
	t.Helper()
	got := make(chan string, 10)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/webhook", http.StatusTemporaryRedirect)
			return
		}
		n, err := webhook.Read(w, r, []byte(webhookKey), now())
		switch {
		case errors.Is(err, webhook.ErrSignature):
			w.WriteHeader(http.StatusUnauthorized)
		case err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json":
			t.Errorf("got %s, %v; want a webhook", r.Method, err)
		}
		got <- fmt.Sprintf("%s %s %s", n.Event, [...]string{"ignored", "late", "ends"}[n.Outcome], n.Subject)
	}))
	t.Cleanup(app.Close)
	return app.URL, func() string {
		select {
		case s := <-got:
			return s
		default:
			return ""
		}
	}
}

func TestSetWebhook_EachEvent(t *testing.T) {
	t.Parallel()
	c := newClock()
	a := start(t, signintest.WithNow(c.Now))
	bob := signintest.Bob()
	tokens := a.signIn(t, bob)
	address, read := listen(t, c.Now)
	if d := a.p.ResetPassword(bob.Subject); d != (signintest.WebhookDelivery{}) {
		t.Errorf("before SetWebhook: got %+v; want nothing sent", d)
	}
	a.p.SetWebhook(address+"/moved", webhookKey)
	refresh := func() string { return a.refresh(t, tokens.text("refresh_token")).outcome() }
	for _, row := range []struct {
		name          string
		do            func(subject string) signintest.WebhookDelivery
		fault         signintest.Fault
		status        int
		read, refresh string
	}{
		{"a reset", a.p.ResetPassword, "", 200, "PostResetPassword ends bob000000001", "200"},
		{"a suspension", a.p.Suspend, "", 200, "User.SuspensionStatus.Updated ends bob000000001", "400 invalid_grant"},
		{"its end", a.p.Reinstate, "", 200, "User.SuspensionStatus.Updated ignored ", "200"},
		{"a wrong signature", a.p.ResetPassword, faults.WebhookSignature, 401, " ignored ", "200"},
		{"late", a.p.ResetPassword, faults.WebhookLate, 200, "PostResetPassword late bob000000001", "200"},
		{"lost", a.p.Suspend, faults.WebhookLost, 0, "", "400 invalid_grant"},
		{"a deletion", a.p.DeleteUser, "", 200, "User.Deleted ends bob000000001", "400 invalid_grant"},
	} {
		if row.fault != "" {
			a.p.Inject(row.fault)
		}
		d := row.do(bob.Subject)
		a.p.Clear()
		same(t, row.name+": status", d.Status, row.status)
		same(t, row.name+": an error", d.Err != nil, row.status == 0)
		same(t, row.name+": read", read(), row.read)
		same(t, row.name+": refresh", refresh(), row.refresh)
	}
	same(t, "logout tokens", len(a.p.LogoutDeliveries()), 0)
	a.p.SetWebhook("", webhookKey)
	a.p.Reinstate(bob.Subject)
	a.p.SetUser(bob)
	same(t, "after another SetWebhook", read(), "")
	same(t, "refresh of an account that was made again", refresh(), "200")
}

// What was sent can be sent again, which is what an attacker does who has recorded it.
func TestSetWebhook_SentAgain(t *testing.T) {
	t.Parallel()
	c := newClock()
	p := signintest.NewProvider(signintest.WithNow(c.Now))
	t.Cleanup(p.Close)
	address, read := listen(t, c.Now)
	p.SetWebhook(address, webhookKey)
	d := p.Suspend(signintest.Alice().Subject)
	same(t, "sent", read(), "User.SuspensionStatus.Updated ends alice0000001")
	same(t, "the account is in it", strings.Contains(d.Body, `"name":"Alice Example"`), true)
	c.Advance(11 * time.Minute)
	r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(d.Body))
	r.Header.Set("logto-signature-sha-256", d.Signature)
	n, err := webhook.Read(httptest.NewRecorder(), r, []byte(webhookKey), c.Now())
	if err != nil || n.Outcome != webhook.Late {
		t.Errorf("sent again: got %+v, %v; want it late", n, err)
	}
}

func TestSetWebhook_DeliveryFails(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	for _, address := range []string{"http://127.0.0.1:1", "http://127.0.0.1:1/\x7f"} {
		p.SetWebhook(address, webhookKey)
		if d := p.ResetPassword("bob"); d.Err == nil || d.Status != 0 {
			t.Errorf("%q: got %d, %v; want an error", address, d.Status, d.Err)
		}
	}
}
