package acceptance_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// TestBackChannelLogout has a row for each module of the OpenID Foundation's
// back-channel plan; package jwt tests more mistakes in a token.
// https://openid.net/specs/openid-connect-backchannel-1_0.html
func TestBackChannelLogout(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]signintest.Fault{
		"P-rp-backchannel-rpinitlogout-alg-none":    faults.LogoutTokenAlgNone,
		"P-rp-backchannel-rpinitlogout-no-event":    faults.LogoutTokenNoEvents,
		"P-rp-backchannel-rpinitlogout-with-nonce":  faults.LogoutTokenNonce,
		"P-rp-backchannel-rpinitlogout-wrong-alg":   faults.LogoutTokenOtherAlgorithm,
		"P-rp-backchannel-rpinitlogout-wrong-aud":   faults.LogoutTokenAudienceWrong,
		"P-rp-backchannel-rpinitlogout-wrong-event": faults.LogoutTokenEventWrong,
		"P-rp-backchannel-rpinitlogout-wrong-iss":   faults.LogoutTokenIssuerWrong,
		"8.3 iat ten minutes ago and no exp is 400": faults.LogoutTokenIssuedAtOld,
		"8.3 a changed signature is 400":            faults.LogoutTokenSignature,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: func(c *signin.Config) { c.Provider.SigningAlgs = []string{"ES384"} }})
			alice := a.signedIn(signintest.Alice())
			held := alice.cookies()
			a.provider.Inject(f)
			token := a.provider.LogoutToken(signintest.Alice().Subject, "")
			a.provider.Clear()
			a.refused(token, http.StatusBadRequest, signin.ErrBadRequest)
			if got := alice.who(); got != signintest.Alice().Subject || alice.cookies() != held {
				t.Errorf("got %q; want Alice's session as it was", got)
			}
		})
	}
	for name, test := range map[string]func(*testing.T){
		"P-rp-backchannel-rpinitlogout":                                  oneSessionEnds,
		"8.3 sub only ends every session of the person":                  func(t *testing.T) { ends(t, signintest.Alice().Subject, false, 3) },
		"8.3 sid only ends one of three sessions":                        func(t *testing.T) { ends(t, "", true, 1) },
		"8.3 sid and sub ends one of three sessions":                     func(t *testing.T) { ends(t, signintest.Alice().Subject, true, 1) },
		"8.3 jti twice is 200 and nothing more":                          tokenTwice,
		"8.3 another tenant's sid, and an unknown one, end nothing here": anotherTenant,
		"8.3 keys cannot be fetched: 503":                                withoutKeys,
		"8.3 shared state fails: 503, and the token works afterwards":    withoutSharedState,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// refused posts a logout token that must change nothing.
func (a *app) refused(token string, status int, code signin.Code) {
	a.t.Helper()
	said := len(a.log.String())
	got := a.notify(token)
	got.untouched(a.t, status, code)
	if n := strings.Count(a.log.String()[said:], "code="+string(code)); n != 1 {
		a.t.Errorf("log: got %d lines about %s; want 1", n, code)
	}
	if strings.Contains(got.body+a.log.String(), token) {
		a.t.Error("page or log: got the logout token in it; want none")
	}
	if slices.Contains(a.kinds(), signin.EventSignedOut) {
		a.t.Error("events: got a sign-out; want none")
	}
}

// oneSessionEnds also sends a parameter that the package does not know.
func oneSessionEnds(t *testing.T) {
	a := newApp(t, with{})
	alice, bob := a.signedIn(signintest.Alice()), a.signedIn(signintest.Bob())
	copied := alice.copyOf()
	sid := a.provider.SessionIDs(signintest.Alice().Subject)[0]
	token := a.provider.LogoutToken(signintest.Alice().Subject, sid)
	got := a.postLogout("application/x-www-form-urlencoded; charset=utf-8",
		url.Values{"logout_token": {token}, "something": {"else"}}.Encode())
	got.want(t, http.StatusOK, "")
	if cc := got.Header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
		t.Errorf("Cache-Control: got %q; want no-store (section 2.8)", cc)
	}
	if got := bob.who(); got != signintest.Bob().Subject {
		t.Errorf("Bob: got %q; want him still signed in", got)
	}
	if alice.who() != notSignedIn || copied.who() != notSignedIn { // 5.8
		t.Errorf("afterwards: got %q, with a copy of the cookies %q; want no user signed in", alice.who(), copied.who())
	}
	a.clock.add(time.Second)
	if got := a.signedIn(signintest.Alice()).who(); got != signintest.Alice().Subject {
		t.Errorf("a new sign-in: got %q; want Alice", got)
	}
}

// ends sends a logout token, and checks how many of Alice's three sessions it ends.
// Bob's must go on.
func ends(t *testing.T, sub string, withSID bool, want int) {
	t.Helper()
	a := newApp(t, with{})
	browsers := []*browser{a.signedIn(signintest.Alice()), a.signedIn(signintest.Alice()), a.signedIn(signintest.Alice())}
	bob, sid := a.signedIn(signintest.Bob()), ""
	if withSID {
		sid = a.provider.SessionIDs(signintest.Alice().Subject)[1]
	}
	a.notify(a.provider.LogoutToken(sub, sid)).want(t, http.StatusOK, "")
	ended := 0
	for _, b := range browsers {
		if b.who() == notSignedIn {
			ended++
		}
	}
	if ended != want || bob.who() != signintest.Bob().Subject {
		t.Errorf("got %d sessions ended, and %q; want %d, and Bob still signed in", ended, bob.who(), want)
	}
}

func tokenTwice(t *testing.T) {
	a := newApp(t, with{})
	a.signedIn(signintest.Alice())
	token := a.provider.LogoutToken(signintest.Alice().Subject, "")
	a.notify(token).want(t, http.StatusOK, "")
	a.clock.add(time.Second)
	again := a.signedIn(signintest.Alice())
	a.notify(token).want(t, http.StatusOK, "")
	if got := again.who(); got != signintest.Alice().Subject {
		t.Errorf("the token again, after a new sign-in: got %q; want Alice still signed in", got)
	}
}

func anotherTenant(t *testing.T) {
	shared, subject := new(mapState), signintest.Alice().Subject
	sharing := with{config: func(c *signin.Config) { c.Shared = shared }}
	here, there := newApp(t, sharing), newApp(t, sharing)
	alice := here.signedIn(signintest.Alice())
	sid := here.provider.SessionIDs(subject)[0]
	there.notify(there.provider.LogoutToken(subject, sid)).want(t, http.StatusOK, "")
	here.refused(there.provider.LogoutToken(subject, sid), http.StatusBadRequest, signin.ErrBadRequest)
	here.notify(here.provider.LogoutToken("", "unknown-sid")).want(t, http.StatusOK, "")
	if got := alice.who(); got != subject {
		t.Errorf("got %q; want Alice still signed in at the other tenant", got)
	}
}

func withoutKeys(t *testing.T) {
	a := newApp(t, with{})
	token := a.provider.LogoutToken(signintest.Alice().Subject, "")
	a.provider.Down()
	a.refused(token, http.StatusServiceUnavailable, signin.ErrProviderUnavailable)
}

func withoutSharedState(t *testing.T) {
	a, _, fail := fragile(t)
	alice := a.signedIn(signintest.Alice())
	token := a.provider.LogoutToken(signintest.Alice().Subject, "")
	for _, what := range []string{"shared get", "shared get once", "shared set"} {
		fail(what)
		a.refused(token, http.StatusServiceUnavailable, signin.ErrSharedUnavailable)
	}
	fail("shared add") // the sign-out is written by then
	a.notify(token).want(t, http.StatusServiceUnavailable, "")
	fail("")
	a.notify(token).want(t, http.StatusOK, "")
	if got := alice.who(); got != notSignedIn {
		t.Errorf("got %q; want the session ended", got)
	}
}

// Only a form with exactly one token is accepted; any other request changes nothing.
func TestBackChannelLogout_MalformedRequest(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	a := newApp(t, with{})
	alice := a.signedIn(signintest.Alice())
	token := a.provider.LogoutToken(signintest.Alice().Subject, "")
	idToken := a.provider.Secrets()[slices.IndexFunc(a.provider.Secrets(), func(s string) bool { return strings.Count(s, ".") == 2 })]
	for name, r := range map[string][2]string{
		"JSON":                             {"application/json", `{"logout_token":"TOKEN"}`},
		"text":                             {"text/plain", "logout_token=TOKEN"},
		"no media type":                    {"", "logout_token=TOKEN"},
		"a malformed media type":           {form + "; charset", "logout_token=TOKEN"},
		"no token":                         {form, "a=b"},
		"two tokens":                       {form, "logout_token=TOKEN&logout_token=TOKEN"},
		"a form malformed after the token": {form, "logout_token=TOKEN&x=%zz"},
		"64 KB and more":                   {form, "logout_token=TOKEN&x=" + strings.Repeat("x", 64<<10)},
		"65 parameters":                    {form, "logout_token=TOKEN" + strings.Repeat("&x", 64)},
		"a media type of 257 bytes":        {form + "; charset=" + strings.Repeat("x", 257-len(form+"; charset=")), "logout_token=TOKEN"},
		"an ID token":                      {form, "logout_token=" + idToken},
	} {
		t.Run("8.3 a malformed logout request is 400: "+name, func(t *testing.T) {
			a.postLogout(r[0], strings.ReplaceAll(r[1], "TOKEN", token)).untouched(t, http.StatusBadRequest, signin.ErrBadRequest)
		})
	}
	if got := alice.who(); got != signintest.Alice().Subject || strings.Contains(a.log.String(), token) {
		t.Errorf("got %q signed in; want still Alice, and no token in the log", got)
	}
}
