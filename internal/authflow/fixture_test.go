package authflow_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/returnto"
	"github.com/gosignin/signin/internal/seal"
)

// start is when every transaction of these tests begins, unless they say otherwise.
var start = time.UnixMilli(1_700_000_000_123).UTC()

const (
	cookieName = "__Host-signin"
	prefix     = cookieName + ".tx."
	issuer     = "https://op.test/oidc"
	endpoint   = "https://op.test/auth"
)

type (
	request     = authflow.Request
	demand      = authflow.Demand
	transaction = authflow.Transaction
)

// logto returns the application as a client of Logto. A test may change it.
func logto() *authflow.Client {
	return &authflow.Client{
		Issuer: issuer, Logto: true,
		ID: "app", RedirectURI: "https://app.test/callback", Scopes: []string{"openid", "offline_access"},
		ReturnTo: returnto.New(&url.URL{Scheme: "https", Host: "app.test"}, []string{"/sign-in", "/callback"}),
		Now:      func() time.Time { return start },
	}
}

// begun returns a transaction that was started with an ordinary request.
func begun(t testing.TB, changes ...func(*transaction)) *transaction {
	t.Helper()
	tx := &transaction{}
	if _, err := logto().Start(tx, &request{}, authflow.Metadata{Endpoint: endpoint}); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(tx)
	}
	return tx
}

func ring(t testing.TB, purpose, client string) *seal.Ring {
	t.Helper()
	r, err := seal.NewRing([][]byte{bytes.Repeat([]byte{7}, 32)}, purpose, "https://op.test", client)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// at returns the transactions of the application "app" at a time.
func at(t testing.TB, now time.Time) *authflow.Transactions { return of(t, "app", now) }

// of returns the transactions of an application at a time.
func of(t testing.TB, client string, now time.Time) *authflow.Transactions {
	t.Helper()
	clock := func() time.Time { return now }
	return authflow.NewTransactions(ring(t, "transaction", client), cookie.Writer{Secure: true}, cookieName, clock)
}

// answer returns the cookies that write sets, and the names of those that it deletes.
func answer(write func(http.ResponseWriter)) (set []*http.Cookie, deleted []string) {
	w := httptest.NewRecorder()
	write(w)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			deleted = append(deleted, c.Name)
		} else {
			set = append(set, c)
		}
	}
	return set, deleted
}

// kept returns what the answer to r sets and deletes that keeps a copy of tx, which
// parallel tests share.
func kept(all *authflow.Transactions, r *http.Request, tx *transaction) (set []*http.Cookie, deleted []string) {
	own := *tx
	return answer(func(w http.ResponseWriter) { all.Keep(w, r, &own, "https://op.test/auth") })
}

// browser returns a request with these cookies.
func browser(cookies ...string) *http.Request {
	return &http.Request{Header: http.Header{"Cookie": {strings.Join(cookies, "; ")}}}
}

// pair returns the cookie of a transaction under way as a browser sends it.
func pair(all *authflow.Transactions, tx *transaction) string {
	set, _ := kept(all, browser(), tx)
	return set[0].Name + "=" + set[0].Value
}

// sealed returns a cookie that holds plain, as a key holder can make it.
func sealed(r *seal.Ring, name, plain string) string {
	return name + "=" + base64.RawURLEncoding.EncodeToString(r.Box(name).Seal(nil, []byte(plain)))
}
