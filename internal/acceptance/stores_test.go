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

// gorillaStores are the stores of gorilla/sessions as the README shows them, at
// their limits, and the default beside them; each changes a Config.
func gorillaStores(dir string) map[string]func(*signin.Config) {
	hash, block := []byte(strings.Repeat("h", 32)), []byte(strings.Repeat("b", 32))
	files := func(limit int) func(*signin.Config) {
		store := sessions.NewFilesystemStore(dir, hash)
		store.MaxLength(limit)
		return func(c *signin.Config) { c.Store = store }
	}
	return map[string]func(*signin.Config){
		"cookies of its own":              func(*signin.Config) {},
		"CookieStore":                     func(c *signin.Config) { c.Store = sessions.NewCookieStore(hash, block) },
		"FilesystemStore":                 files(64 << 10),
		"FilesystemStore as it is made":   files(4096),
		"FilesystemStore without a limit": files(0),
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

// TestWhatFits holds the README's column of sizes: so many bytes of claims let
// somebody sign in, beside an opaque access token and a refresh token, and a
// twentieth more do not.
func TestWhatFits(t *testing.T) {
	t.Parallel()
	stores := gorillaStores(t.TempDir())
	for name, promised := range map[string]int{
		"cookies of its own":              4600,
		"CookieStore":                     1450,
		"FilesystemStore":                 27_000,
		"FilesystemStore as it is made":   1450,
		"FilesystemStore without a limit": 48_000, // an ID token may have 64 KB
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, alice := newApp(t, with{config: stores[name]}), signintest.Alice()
			a.signedIn(large(alice, 0))
			others := a.claimsOf(alice.Subject)
			b := a.signedIn(large(alice, promised-others))
			comes(t, a.handler(), b.session(), alice)
			if got := a.claimsOf(alice.Subject); got != promised {
				t.Errorf("claims: got %d bytes; want %d", got, promised)
			}
			refused := a.browser().signInAs(large(alice, promised+promised/20-others))
			if refused.StatusCode < 500 {
				t.Errorf("a twentieth more: got %d; want it refused", refused.StatusCode)
			}
		})
	}
}

// roles returns u with so many roles of 20 letters.
func roles(u signintest.User, n int) signintest.User {
	u.Roles = nil
	for i := range n {
		u.Roles = append(u.Roles, fmt.Sprintf("department-%04d:edit", i))
	}
	return u
}

func TestCasesStores(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	for name, config := range gorillaStores(t.TempDir()) {
		t.Run("5.10 three hundred roles, sessions in "+name, func(t *testing.T) {
			t.Parallel()
			threeHundredRoles(t, config, name == "FilesystemStore" || name == "FilesystemStore without a limit")
		})
	}
	directoryBroken(t)
	t.Run("5.10 a file that another process is writing is nobody's", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		a := newApp(t, with{config: gorillaStores(dir)["FilesystemStore"]})
		b := a.signedIn(alice)
		if err := os.Truncate(onlyFile(t, dir), 100); err != nil { // os.WriteFile is not done at once
			t.Fatal(err)
		}
		a.nobodyComes(t, a.handler(), b.session())
	})
	t.Run("5.10 files of sessions that nobody ends are left to the operator", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		a, clock := stoppedApp(t, with{config: gorillaStores(dir)["FilesystemStore"]})
		a.signedIn(alice)
		left := onlyFile(t, dir)
		clock.add(month)
		a.signedIn(bob)
		if _, err := os.Stat(left); err != nil {
			t.Errorf("the file of a session that is over: got %v; want it there, as the README says", err)
		}
	})
	signOutReaches(t)
	refreshTokenOnce(t)
}

// threeHundredRoles are 7 KB of claims: they fit, or there is a clear error and
// no session.
func threeHundredRoles(t *testing.T, config func(*signin.Config), fit bool) {
	alice, bob := roles(signintest.Alice(), 300), signintest.Bob()
	a := newApp(t, with{config: func(c *signin.Config) {
		c.Scopes = []string{"roles"}
		config(c)
	}})
	b := a.signedIn(bob)
	got := b.signInAs(alice)
	if n := a.claimsOf(alice.Subject); n < 7000 {
		t.Fatalf("claims: got %d bytes; want the roles among them", n)
	}
	if fit {
		got.want(t, http.StatusSeeOther, "/")
		comes(t, a.handler(), b.session(), alice)
		return
	}
	got.want(t, http.StatusInternalServerError, "")
	wantCookies(t, "refused", got, false, "signin.tx.* cleared")
	if want := "Your account carries more information than this application can keep"; !strings.Contains(got.body, want) {
		t.Errorf("page: got %q; want one that says %q", got.body, want)
	}
	comes(t, a.handler(), b.session(), bob)
	way := "Config.Store"
	if a.cfg.Store != nil {
		way = "raise its limit"
	}
	for _, want := range []string{"code=session_too_large", " bytes", way} {
		if !strings.Contains(a.log.String(), want) {
			t.Errorf("log: got none that says %q; want one: %s", want, a.log)
		}
	}
}

// onlyFile is the one file in a directory.
func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files: got %q, %v; want one", files, err)
	}
	return files[0]
}

// directoryBroken is a FilesystemStore that cannot be read: nobody is let in, and
// nobody is signed out. Access rights would say nothing to a test that root runs.
func directoryBroken(t *testing.T) {
	for name, breaks := range map[string]func(dir, file string) error{
		"its directory is gone": func(string, string) error { return nil },
		"there is a file in place of its directory": func(dir, _ string) error {
			return os.WriteFile(dir, []byte("x"), 0o600)
		},
		"a session's file cannot be read": func(dir, file string) error {
			return os.MkdirAll(filepath.Join(dir, file), 0o700)
		},
	} {
		t.Run("5.9 a request is neither let in nor signed out: "+name, func(t *testing.T) {
			t.Parallel()
			alice, dir := signintest.Alice(), filepath.Join(t.TempDir(), "sessions")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			a := newApp(t, with{config: gorillaStores(dir)["FilesystemStore"]})
			b := a.signedIn(alice)
			file := filepath.Base(onlyFile(t, dir))
			if err := os.Rename(dir, dir+".away"); err != nil {
				t.Fatal(err)
			}
			if err := breaks(dir, file); err != nil {
				t.Fatal(err)
			}
			cannotLookUp(t, a, b, file)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(dir+".away", dir); err != nil {
				t.Fatal(err)
			}
			comes(t, a.handler(), b.session(), alice)
		})
	}
}

// cannotLookUp checks what an application says whose store does not answer about
// the session in b; key is the session's in the store, and in no log.
func cannotLookUp(t *testing.T, a *app, b *browser, key string) {
	t.Helper()
	before := a.insideCalls()
	for _, path := range []string{"/", "/account"} {
		got := b.get(path)
		got.want(t, http.StatusServiceUnavailable, "")
		wantCookies(t, path, got, false)
		if want := "We cannot look up your session right now"; !strings.Contains(got.body, want) {
			t.Errorf("%s: got %q; want the page that says %q", path, got.body, want)
		}
	}
	out := signOutWith(a.handler(), b.session())
	out.want(t, http.StatusServiceUnavailable, "")
	wantCookies(t, "signed out", out, false, "signin cleared")
	if want := "sign_out_incomplete"; !strings.Contains(out.body, want) {
		t.Errorf("sign-out: got %q; want a problem that says %q", out.body, want)
	}
	if a.insideCalls() != before {
		t.Error("guarded handler: got a call; want none")
	}
	if got := a.log.String(); !strings.Contains(got, "code=store_unavailable") || strings.Contains(got, key) {
		t.Error("log: want store_unavailable in it, and nowhere the session's key")
	}
}

// signOutReaches holds what the README says of sign-outs: Config.Shared decides,
// and a store on the server adds only that a session is deleted when its owner ends
// it. Another process with memory of its own is what this one is after a restart.
func signOutReaches(t *testing.T) {
	alice := signintest.Alice()
	ways := map[string]func(*app, *browser){
		"a sign-out": func(a *app, b *browser) {
			b.copyOf().do(http.MethodPost, "/sign-out").want(a.t, http.StatusSeeOther, a.provider.URL)
		},
		"a back-channel logout": func(a *app, _ *browser) {
			a.notify(a.provider.LogoutToken(alice.Subject, "")).want(a.t, http.StatusOK, "")
		},
	}
	for _, store := range []string{"cookies of its own", "CookieStore", "FilesystemStore"} {
		for way, end := range ways {
			for shared, common := range map[string]bool{"the same Shared": true, "memory of its own": false} {
				t.Run(fmt.Sprintf("5.8 %s, seen by another process with %s, sessions in %s", way, shared, store), func(t *testing.T) {
					t.Parallel()
					config := gorillaStores(t.TempDir())[store]
					a, clock := stoppedApp(t, with{config: func(c *signin.Config) {
						config(c)
						if common {
							c.Shared = new(mapState)
						}
					}})
					b, other := a.signedIn(alice), a.again(func(*signin.Config) {})
					comes(t, other, b.session(), alice)
					end(a, b)
					if common || way == "a sign-out" && store == "FilesystemStore" {
						a.nobodyComes(t, other, b.session())
					} else {
						comes(t, other, b.session(), alice)
					}
					a.nobodyComes(t, a.handler(), b.session())
					if way == "a sign-out" { // its refresh token was revoked
						clock.add(time.Hour)
						a.nobodyComes(t, other, b.session())
					}
				})
			}
		}
	}
}

// refreshTokenOnce is the other half of the rule for several processes: where a
// refresh token is good for one use, two of them end the session.
func refreshTokenOnce(t *testing.T) {
	alice := signintest.Alice()
	for shared, common := range map[string]bool{"the same Shared": true, "memory of its own": false} {
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
			comes(t, a.handler(), old, alice)
			clock.add(time.Minute)
			if common {
				comes(t, other, old, alice)
				return
			}
			a.nobodyComes(t, other, old)
		})
	}
}
