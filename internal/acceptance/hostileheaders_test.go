package acceptance_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

const megabyte = 1 << 20

// Headers and queries as large as net/http lets them through are not read, and decide
// nothing but the form of an answer; TestBudgets_HostileHeaders measures what they
// cost.
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	a.mount("/api", a.auth.RequireBearer("https://api.example")(http.HandlerFunc(a.account)))
	a.mount("/both", a.auth.RequireSessionOrBearer("https://api.example")(http.HandlerFunc(a.account)))
	a.mount("/logto-webhook", a.auth.LogtoWebhook("key"))
	session := a.signedIn(signintest.Alice()).session()
	pages, elements := strings.Repeat("text/html;q=0,", megabyte/14), strings.Repeat("a,", 64)
	for _, row := range []struct {
		name, method, path, header, value string
		person                            bool // who is signed in
		status                            int
	}{
		{"9.2 a megabyte of Accept is a program's", "GET", "/account", "Accept", pages, false, 401},
		{"9.2 a megabyte of Accept-Language is a program's", "GET", "/account", "Accept-Language", strings.Repeat("ko,", megabyte/3), false, 401},
		{"9.2 65 purposes are a program's", "GET", "/account", "Purpose", elements, false, 401},
		{"9.2 65 X-Requested-With are a program's", "GET", "/account", "X-Requested-With", elements, false, 401},
		{"9.2 65 HX-Request are a program's", "GET", "/account", "Hx-Request", "true," + elements, false, 401},
		{"9.2 a program begins no sign-in", "GET", "/sign-in", "Accept", pages, false, 401},
		{"9.2 a person with such a header is let in", "GET", "/account", "Accept", pages, true, 200},
		{"9.2 a session among 257 cookies is not read", "GET", "/account", "Cookie", session + strings.Repeat("; a=b", 256), false, 303},
		{"9.2 a session before a megabyte is not read", "GET", "/both", "Cookie", session + "; a=" + strings.Repeat("b", megabyte), false, 303},
		{"9.2 a session among 100 cookies is read", "GET", "/account", "Cookie", session + strings.Repeat("; a=b", 99), false, 200},
		{"9.2 a megabyte of token is malformed", "GET", "/api", "Authorization", "Bearer " + strings.Repeat("a.", megabyte/2), false, 400},
		{"9.2 a megabyte of token and a session is malformed", "GET", "/both", "Authorization", strings.Repeat("a", megabyte), true, 400},
		{"9.2 65 parameters begin no sign-in", "GET", "/sign-in?max_age=0" + strings.Repeat("&a", 64), "", "", false, 400},
		{"9.2 a query of 16 KB and more begins no sign-in", "GET", "/sign-in?max_age=0&a=" + strings.Repeat("a", 16<<10), "", "", false, 400},
		{"9.2 a response of 65 parameters is malformed", "GET", "/callback?state=s&code=c" + strings.Repeat("&a", 63), "", "", false, 400},
		{"9.2 an origin of 513 bytes is another site's", "POST", "/sign-out", "Origin", a.server.URL + "/" + strings.Repeat("a", 512-len(a.server.URL)), true, 403},
		{"9.2 a megabyte of signature is none", "POST", "/logto-webhook", "Logto-Signature-Sha-256", strings.Repeat("a", megabyte), false, 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := a.request(row.method, a.server.URL+row.path, "Accept: text/html")
			if row.person {
				r.Header.Set("Cookie", session)
			}
			if row.header != "" {
				r.Header.Set(row.header, row.value)
			}
			w := httptest.NewRecorder()
			a.mux.ServeHTTP(w, r)
			problem := strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json")
			if w.Code != row.status || problem != (row.status == 401 && row.path != "/logto-webhook" || row.header == "Authorization") {
				t.Errorf("got %d, problem document %t: %s; want %d", w.Code, problem, w.Body, row.status)
			}
			if w.Header().Get("Set-Cookie") != "" || len(w.Body.String())+len(w.Header().Get("Location")) > 8<<10 {
				t.Errorf("got cookies %q and a body of %d bytes; want no cookies, and a short body", w.Header()["Set-Cookie"], w.Body.Len())
			}
		})
	}
	wantSignedIn(t, a.handler(), session, signintest.Alice())
	if len(a.errs(signin.EventSignedOut)) > 0 {
		t.Error("got a sign-out; want none")
	}
}
