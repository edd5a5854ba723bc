package acceptance_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

func TestStores(t *testing.T) {
	t.Parallel()
	storeLimits(t)
	t.Run("5.10 claims that grow at a refresh beyond what the store holds", claimsGrowAtARefresh)
	signOutReaches(t)
	refreshTokenOnce(t)
	t.Run("5.3 two hosts with one client, one key and one shared state", twoHosts)
}

// twoHosts: what one host has made is good there alone, and ends reach both.
func twoHosts(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	a := newApp(t, with{config: func(c *signin.Config) { c.Shared = new(mapState) }})
	here := a.handler()
	had, others, b := a.signedIn(alice).session(), a.signedIn(bob).session(), a.browser()
	back := strings.TrimPrefix(b.responded(), a.server.URL)
	a.cfg.BaseURL = "http://localhost:1"
	a.start()
	there := a.handler()

	a.wantSignedOut(t, there, had)
	before := a.provider.Stats().Exchanges
	knock(there, back, b.cookies()).want(t, http.StatusBadRequest, "")
	if got := a.provider.Stats().Exchanges; got != before {
		t.Errorf("a response at another host than its sign-in: got %d exchanges; want none", got-before)
	}
	knock(here, back, b.cookies()).want(t, http.StatusSeeOther, "/account")
	knock(here, back, had).want(t, http.StatusSeeOther, "/account") // a reload
	knock(there, back, "").want(t, http.StatusBadRequest, "")

	wantSignedIn(t, here, had, alice)
	wantSignedIn(t, here, others, bob)
	a.notify(a.provider.LogoutToken(alice.Subject, "")).want(t, http.StatusOK, "")
	if err := a.auth.EndSessions(t.Context(), bob.Subject); err != nil {
		t.Errorf("EndSessions: got error %v; want none", err)
	}
	a.wantSignedOut(t, here, had)
	a.wantSignedOut(t, here, others)
}

// storeLimits holds the column of docs/stores.md of sizes: a user can sign in with
// that many bytes of claims, an opaque access token and a refresh token, but not with
// a twentieth more.
func storeLimits(t *testing.T) {
	files := func(limit int) sessions.Store {
		store := sessions.NewFilesystemStore(t.TempDir(), storeKey)
		store.MaxLength(limit)
		return store
	}
	for name, row := range map[string]struct {
		store    sessions.Store
		promised int
	}{
		"cookies":                         {nil, 4600},
		"CookieStore":                     {sessions.NewCookieStore(storeKey, storeKey), 1500},
		"FilesystemStore":                 {files(64 << 10), 27_000},
		"FilesystemStore as it is made":   {files(4096), 1450},
		"FilesystemStore without a limit": {files(0), 48_000}, // an ID token may have 64 KB
	} {
		t.Run("5.10 what fits, sessions in "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: func(c *signin.Config) { c.Store = row.store }})
			alice, bob := signintest.Alice(), signintest.Bob()
			a.signedIn(large(alice, 0))
			others := a.claimsOf(alice.Subject)
			wantSignedIn(t, a.handler(), a.signedIn(large(alice, row.promised-others)).session(), alice)
			if got := a.claimsOf(alice.Subject); got != row.promised {
				t.Errorf("claims: got %d bytes; want %d", got, row.promised)
			}
			b := a.signedIn(bob)
			refused := b.signInAs(large(alice, row.promised+row.promised/20-others))
			wantSignedIn(t, a.handler(), b.session(), bob)
			if name == "FilesystemStore without a limit" {
				if refused.StatusCode < 500 {
					t.Errorf("a twentieth more: got %d; want it refused", refused.StatusCode)
				}
				return
			}
			refused.want(t, http.StatusInternalServerError, "")
			wantCookies(t, "refused", refused, false)
			if want := "Your account holds more information than this site can keep"; !strings.Contains(refused.body, want) {
				t.Errorf("page: got %q; want one that says %q", refused.body, want)
			}
			way := "Config.Store"
			if row.store != nil {
				way = "raise its limit"
			}
			for _, want := range []string{"code=session_too_large", " bytes", way} {
				if !strings.Contains(a.log.String(), want) {
					t.Errorf("log: got no %q; want it: %s", want, a.log)
				}
			}
		})
	}
}

// claimsOf is how many bytes of claims the newest ID token of a subject has.
func (a *app) claimsOf(subject string) int {
	a.t.Helper()
	for _, secret := range slices.Backward(a.provider.Secrets()) {
		parts := strings.Split(secret, ".")
		if len(parts) != 3 {
			continue
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && strings.Contains(string(payload), `"sub":"`+subject+`"`) {
			return len(payload)
		}
	}
	a.t.Fatalf("got no ID token of %s; want one", subject)
	return 0
}

// claimsGrowAtARefresh gives a user hundreds of roles while they are signed in,
// which must not lock them out of every page.
func claimsGrowAtARefresh(t *testing.T) {
	t.Parallel()
	alice := signintest.Alice()
	a, clock := stoppedApp(t, with{})
	b := a.signedIn(alice)
	before := b.session()
	a.provider.SetUser(large(alice, 16<<10))
	for range 3 {
		clock.add(time.Hour)
		for _, path := range []string{"/account", "/"} {
			got := b.get(path)
			shows(t, path, got, alice.Subject)
			wantCookies(t, path, got, false)
		}
	}
	a.used(t, 3)
	if !strings.Contains(a.log.String(), "does not fit its store") {
		t.Error("the log does not say why")
	}
	b.do(http.MethodPost, "/sign-out")
	if n := a.provider.LiveRefreshTokens(alice.Subject); n != 0 {
		t.Errorf("refresh tokens: got %d alive after the sign-out; want none, the newest included", n)
	}
	a.wantSignedOut(t, a.handler(), before)
}

// signOutReaches holds what docs/stores.md says of sign-outs: Config.Shared decides,
// and a store on the server adds only that a sign-out deletes the session. Another
// process with its own memory is what this one is after a restart. Files that come
// back from a backup change nothing.
func signOutReaches(t *testing.T) {
	alice := signintest.Alice()
	for store, config := range everyStore() {
		for way, end := range map[string]func(*app, *browser){
			"a sign-out": func(a *app, b *browser) {
				b.copyOf().do(http.MethodPost, "/sign-out").want(a.t, http.StatusSeeOther, a.provider.URL)
			},
			"a back-channel logout": func(a *app, _ *browser) {
				a.notify(a.provider.LogoutToken(alice.Subject, "")).want(a.t, http.StatusOK, "")
			},
		} {
			for shared, common := range map[string]bool{"the same Shared": true, "its own memory": false} {
				t.Run(fmt.Sprintf("5.8 %s, seen by another process with %s, sessions in %s", way, shared, store), func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					inStore := config(dir)
					a, clock := stoppedApp(t, with{config: func(c *signin.Config) {
						inStore(c)
						if common {
							c.Shared = new(mapState)
						}
					}})
					b, other := a.signedIn(alice), a.again(func(*signin.Config) {})
					wantSignedIn(t, other, b.session(), alice)
					restore := backUp(t, dir)
					end(a, b)
					if common || way == "a sign-out" && store == "FilesystemStore" {
						a.wantSignedOut(t, other, b.session())
					} else {
						wantSignedIn(t, other, b.session(), alice)
					}
					a.wantSignedOut(t, a.handler(), b.session())
					if restore(); common {
						a.wantSignedOut(t, other, b.session())
					}
					if way == "a sign-out" { // its refresh token was revoked
						clock.add(time.Hour)
						a.wantSignedOut(t, other, b.session())
					}
				})
			}
		}
	}
}

// backUp copies the files of a directory, and returns a function that brings them back.
func backUp(t *testing.T, dir string) (restore func()) {
	t.Helper()
	kept := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		if kept[name], err = os.ReadFile(name); err != nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		for name, content := range kept {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// refreshTokenOnce: where a refresh token is good for one use, two processes that
// do not share their state end the session.
func refreshTokenOnce(t *testing.T) {
	alice := signintest.Alice()
	for shared, common := range map[string]bool{"the same Shared": true, "its own memory": false} {
		t.Run("4.2 the cookie of before a refresh comes to another process with "+shared, func(t *testing.T) {
			t.Parallel()
			a, clock := stoppedApp(t, with{
				provider: []signintest.Option{signintest.WithRefreshRotation()},
				config: func(c *signin.Config) {
					if common {
						c.Shared = new(mapState)
					}
				},
			})
			old, other := a.signedIn(alice).session(), a.again(func(*signin.Config) {})
			clock.add(time.Hour)
			wantSignedIn(t, a.handler(), old, alice)
			clock.add(time.Minute)
			if common {
				wantSignedIn(t, other, old, alice)
				return
			}
			a.wantSignedOut(t, other, old)
		})
	}
}
