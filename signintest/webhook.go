package signintest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/faults"
)

const (
	// webhookTimeout is how long Logto waits for the answer to a webhook. It does not
	// retry.
	webhookTimeout = 10 * time.Second
	// logtoTime is how Logto writes times.
	logtoTime = "2006-01-02T15:04:05.000Z"
)

// webhook is what SetWebhook has set.
type webhook struct{ address, key string }

// A WebhookDelivery is a webhook that was sent, and how the application answered. The
// zero value means that none is set.
type WebhookDelivery struct {
	Event           string // such as "User.Deleted"
	Body, Signature string // what was sent; Signature in the header "logto-signature-sha-256"
	Status          int    // of the application's answer; 0 without an answer
	Err             error  // why it did not answer
}

// SetWebhook makes the provider send webhooks to an address, signed with a key, as
// Logto does for one that was set up in its console. [Provider.Suspend],
// [Provider.Reinstate], [Provider.DeleteUser] and [Provider.ResetPassword] each send
// one, once, and wait for the answer. No other event is sent. An empty address ends
// this.
//
//	app.Provider.SetWebhook(app.URL+"/logto-webhook", signingKey)
//	app.Provider.Suspend(signintest.Alice().Subject) // Alice is signed out
func (p *Provider) SetWebhook(address, signingKey string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.webhook = webhook{address, signingKey}
}

// Suspend blocks an account as Logto's console does. Its user cannot sign in, its
// refresh tokens are answered with invalid_grant and its access tokens with 401
// at userinfo; no logout token is sent.
func (p *Provider) Suspend(subject string) WebhookDelivery { return p.suspend(subject, true) }

// Reinstate ends the effect of [Provider.Suspend].
func (p *Provider) Reinstate(subject string) WebhookDelivery { return p.suspend(subject, false) }

func (p *Provider) suspend(subject string, suspended bool) WebhookDelivery {
	p.mu.Lock()
	p.suspended[subject] = suspended
	data := map[string]any{"id": subject, "isSuspended": suspended, "customData": map[string]any{}}
	for _, u := range p.users {
		if u.Subject == subject {
			data["username"], data["name"], data["primaryEmail"] = u.Username, u.Name, u.Email
		}
	}
	p.mu.Unlock()
	return p.notify("User.SuspensionStatus.Updated", map[string]any{"data": data})
}

// DeleteUser deletes an account as Logto's console does. For its user the effect is
// that of [Provider.Suspend]; [Provider.SetUser] makes the account again.
func (p *Provider) DeleteUser(subject string) WebhookDelivery {
	p.mu.Lock()
	p.users = slices.DeleteFunc(p.users, func(u User) bool { return u.Subject == subject })
	p.mu.Unlock()
	return p.notify("User.Deleted", map[string]any{"data": nil, "params": map[string]any{"userId": subject}})
}

// ResetPassword is what happens when a user has forgotten the password and sets
// another one. Tokens and sessions at the provider go on, as at Logto: only the
// webhook tells the application, if one is set.
func (p *Provider) ResetPassword(subject string) WebhookDelivery {
	return p.notify("PostResetPassword", map[string]any{
		"interactionEvent": "ForgotPassword", "userId": subject, "user": map[string]any{"id": subject},
	})
}

// notify sends a webhook with the members that its event has. Where the person's ID is
// differs from event to event, as at Logto.
func (p *Provider) notify(event string, members map[string]any) WebhookDelivery {
	p.mu.Lock()
	hook := p.webhook
	sent := &faults.Webhook{Created: p.now(), Key: hook.key}
	for _, f := range p.faults {
		if f.Webhook != nil {
			f.Webhook(sent)
		}
	}
	p.mu.Unlock()
	if hook.address == "" {
		return WebhookDelivery{}
	}
	members["event"], members["hookId"] = event, "signintest"
	members["createdAt"] = sent.Created.UTC().Format(logtoTime)
	members["ip"], members["userAgent"] = "127.0.0.1", "signintest"
	body, _ := json.Marshal(members) // text and booleans: no error
	sum := hmac.New(sha256.New, []byte(sent.Key))
	sum.Write(body)
	d := WebhookDelivery{Event: event, Body: string(body), Signature: hex.EncodeToString(sum.Sum(nil))}
	if sent.Lost {
		d.Err = errors.New("signintest: the webhook was lost")
		return d
	}
	d.Status, d.Err = p.sendWebhook(hook.address, d)
	return d
}

// sendWebhook follows redirects, as Logto does.
func (p *Provider) sendWebhook(address string, d WebhookDelivery) (status int, err error) {
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(d.Body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("logto-signature-sha-256", d.Signature)
	client := &http.Client{Transport: p.transport, Timeout: webhookTimeout}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}
