package authflow_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"

	"github.com/gosignin/signin/internal/cookie"
)

func TestKeep_FoundAgain(t *testing.T) {
	t.Parallel()
	all := at(t, start)
	for _, row := range []struct {
		name     string
		returnTo string
		others   int // bytes
		kept     bool
	}{
		{"2 KB in an empty browser", "/" + strings.Repeat("x", 2047), 0, true},
		{"characters of every kind", "/x?y=%E2%82%AC&amp=<\"'>#z", 0, true},
		{"ampersands, which queries are full of", "/?" + strings.Repeat("&", 2046), 0, true},
		{"more than returnto lets pass", "/" + strings.Repeat("x", 5000), 0, false},
		{"quotes, which take two bytes each", "/" + strings.Repeat(`"`, 2047), 0, false},
		{"with 6 KB of other cookies", "/x", 6 << 10, true},
		{"with 7 KB of them", "/x", 7 << 10, false},
	} {
		tx := begun(t, func(tx *transaction) {
			tx.ReturnTo, tx.Foreign, tx.Asked, tx.Subject, tx.Silent = row.returnTo, true, acr("mfa"), "alice", true
			tx.Start, tx.Demand = "/in?x", with(minute, "mfa", "hw")
		})
		set, _ := kept(all, browser(strings.Repeat("x", row.others)), tx)
		want := *tx
		if !row.kept {
			want.ReturnTo = ""
		}
		got, err := all.Find(browser(set[0].Name+"="+set[0].Value), tx.State)
		if err != nil || !reflect.DeepEqual(*got, want) || tx.ReturnTo != row.returnTo {
			t.Errorf("%s: got %v, %v; want the transaction, its return_to kept: %t", row.name, got, err, row.kept)
		}
	}
}

// The cookie and the redirect of an answer share a budget, and a page without its
// query is better than none.
func TestKeep_AnswerPassesProxies(t *testing.T) {
	t.Parallel()
	all := at(t, start)
	long := "/list?" + strings.Repeat("q", 1500)
	for _, row := range []struct {
		name     string
		location int // bytes
		planted  int
		want     string
	}{
		{"F1.5 an ordinary redirect", 700, 0, long},
		{"F1.5 a longer redirect", 1200, 0, "/list"},
		{"F1.5 cookies that are deleted besides", 700, 8, "/list"},
		{"F1.5 a redirect that takes all room", 3400, 0, ""},
	} {
		w, tx := httptest.NewRecorder(), begun(t, func(tx *transaction) { tx.ReturnTo = long })
		location := "https://op.test/" + strings.Repeat("x", row.location-len("https://op.test/"))
		all.Keep(w, browser(planted(row.planted, "x")...), tx, location)
		name, value := w.Result().Cookies()[0].Name, w.Result().Cookies()[0].Value
		got, err := all.Find(browser(name+"="+value), tx.State)
		if err != nil || got.ReturnTo != row.want {
			t.Errorf("%s: got %.20q, %v; want %.20q", row.name, got.ReturnTo, err, row.want)
		}
		w.Header().Set("Location", location)
		if size := cookie.AnswerSize(w.Header(), cookieName); row.want != "" && size >= cookie.Budget {
			t.Errorf("%s: got an answer of %d bytes; want less than %d", row.name, size, cookie.Budget)
		}
	}
}

const began = `{"Began":"2023-11-14T22:13:20Z"`

// A key holder of another version may have sealed other bytes.
func TestFind_SealedBytes(t *testing.T) {
	t.Parallel()
	all, r := at(t, start), ring(t, "transaction", "app")
	for _, row := range []struct {
		name, plain string
		found       bool
	}{
		{"a beginning is enough", began + "}", true},
		{"a later version's field", began + `,"Later":[1]}`, true},
		{"a return_to of 2,900 bytes", began + `,"ReturnTo":"/` + strings.Repeat("x", 2900) + `"}`, true},
		{"more than a cookie that Keep sets", began + `,"ReturnTo":"/` + strings.Repeat("x", 5000) + `"}`, false},
		{"an empty text", "", false},
		{"null", "null", false},
		{"no beginning", "{}", false},
		{"a beginning that is not a time", `{"Began":"x"}`, false},
		{"a maximum age beyond all numbers", began + `,"MaxAge":18446744073709551615}`, false},
		{"a negative maximum age", began + `,"MaxAge":-1000000000}`, false},
		{"a maximum age of a part of a second", began + `,"MaxAge":1}`, false},
		{"a part without end", began + `,"Nonce":"`, false},
		{"text behind the transaction", began + "}{}", false},
	} {
		got, err := all.Find(browser(sealed(r, prefix+"1x", row.plain)), "1x")
		if row.found != (err == nil) || !row.found && (got != nil || !errors.Is(err, authflow.ErrNoTransaction)) {
			t.Errorf("%s: got %+v, %v; want it found: %t", row.name, got, err, row.found)
		}
	}
}

func TestCasesTransaction(t *testing.T) {
	t.Parallel()
	tx, other := begun(t), begun(t)
	own := pair(at(t, start), tx)
	name, value, _ := strings.Cut(own, "=")
	for _, row := range []struct {
		name  string
		after time.Duration // since the transaction began
		app   string
		req   *http.Request
		state string
		found bool
	}{
		{"2.2 no cookie", 0, "app", browser(), tx.State, false},
		{"2.2 no state", 0, "app", browser(own), "", false},
		{"2.2 no state, and a cookie without a state in its name", 0, "app", browser(prefix + "=" + value), "", false},
		{"2.2 another state", 0, "app", browser(own), other.State, false},
		{"2.2 the cookie renamed to another state", 0, "app", browser(prefix + other.State + "=" + value), other.State, false},
		{"2.8 an hour old to the millisecond", time.Hour, "app", browser(own), tx.State, true},
		{"2.8 older than an hour", time.Hour + time.Millisecond, "app", browser(own), tx.State, false},
		{"2.8 a minute ahead", -time.Minute, "app", browser(own), tx.State, true},
		{"2.8 from the future", -61 * time.Second, "app", browser(own), tx.State, false},
		{"2.8 of another Auth", 0, "other", browser(own), tx.State, false},
		{"2.8 a session cookie renamed to a transaction", 0, "app",
			browser(sealed(ring(t, "session", "app"), name, began+"}")), tx.State, false},
		{"2.8 changed", 0, "app", browser(name + "=" + strings.ToUpper(value)), tx.State, false},
		{"2.8 not base64", 0, "app", browser(own + "!!!!"), tx.State, false},
		{"2.8 padded", 0, "app", browser(own + "="), tx.State, false},
		{"2.8 empty", 0, "app", browser(name + "="), tx.State, false},
		{"2.8 twice", 0, "app", browser(own, own), tx.State, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := of(t, row.app, start.Add(row.after)).Find(row.req, row.state)
			if row.found && !reflect.DeepEqual(got, tx) ||
				!row.found && ((got != nil) != (row.after > 0) || !errors.Is(err, authflow.ErrNoTransaction)) {
				t.Errorf("got %+v, %v; want it found: %t", got, err, row.found)
			}
		})
	}
}

func TestCasesCrowded(t *testing.T) {
	t.Parallel()
	all := at(t, start.Add(5*time.Minute))
	tx := func(minute int, foreign bool, length int) *transaction {
		return begun(t, func(tx *transaction) {
			tx.Began, tx.Foreign = start.Add(time.Duration(minute)*time.Minute), foreign
			tx.ReturnTo = strings.Repeat("x", length)
		})
	}
	var own, evil, long [6]*transaction // by the minute in which they began
	for minute := range own {
		own[minute], evil[minute], long[minute] = tx(minute, false, 0), tx(minute, true, 0), tx(minute, false, 1500)
	}
	same, old := tx(4, false, 0), tx(-60, false, 0)
	type txs = []*transaction
	for _, row := range []struct {
		name  string
		had   txs
		added *transaction
		gone  txs
	}{
		{"2.6 the first five stay", own[:4], own[5], nil},
		{"2.6 the oldest goes when all are one's own", txs{own[1], own[0], own[2], own[3], own[4]}, own[5], txs{own[0]}},
		{"2.6 another site's go first, the oldest of them", txs{own[0], own[1], own[2], evil[3], evil[2]}, own[5], txs{evil[2]}},
		{"2.6 another site's new one replaces its own kind", txs{own[0], own[1], own[2], own[3], evil[4]}, evil[5], txs{evil[4]}},
		{"2.6 another site's new one does not replace one's own", own[:5], evil[5], txs{evil[5]}},
		{"2.6 of the same age, the new one stays", own[:5], same, txs{own[0]}},
		{"2.6 of many transactions five are left", slices.Concat(own[:5], evil[:5]), own[5], append(evil[:5:5], own[0])},
		{"2.6 four kilobytes are the most, even of two", long[:2], long[2], long[:2]},
		{"2.6 one that took too long is cleared away", txs{old}, own[5], txs{old}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			had := []string{"theme=dark", cookieName + "=session", prefix + "junk=junk"}
			for _, tx := range row.had {
				had = append(had, pair(at(t, tx.Began), tx))
			}
			set, deleted := kept(all, browser(had...), row.added)
			want := []string{prefix + "junk"}
			for _, tx := range row.gone {
				want = append(want, prefix+tx.State)
			}
			added := prefix + row.added.State
			if slices.Contains(want, added) {
				if len(set) > 0 {
					t.Errorf("got %v; want no cookie set", set)
				}
			} else if len(set) != 1 || set[0].Name != added || set[0].MaxAge != 7200 || !set[0].HttpOnly || !set[0].Secure {
				t.Errorf("got %v; want the new transaction's cookie alone, for an hour", set)
			}
			slices.Sort(want)
			slices.Sort(deleted)
			if !slices.Equal(deleted, want) {
				t.Errorf("got %q deleted; want %q", deleted, want)
			}
		})
	}
}

// planted returns cookies that another origin has named like transactions.
func planted(n int, value string) (cookies []string) {
	for i := range n {
		cookies = append(cookies, fmt.Sprintf("%s%026d=%s", prefix, i, value))
	}
	return cookies
}

func TestKeep_PlantedCookies(t *testing.T) {
	t.Parallel()
	all, first := at(t, start), begun(t)
	genuine := pair(all, first)
	var six []string // of the person
	for range 6 {
		six = append(six, pair(all, begun(t)))
	}
	for _, row := range []struct {
		name    string
		cookies []string
		deleted int // in all
		own     int // of the six
	}{
		{"2.6 200, and the person's behind them", append(planted(200, "x"), genuine), 8, 0},
		{"2.6 the person's before them", append([]string{genuine}, planted(200, "x")...), 8, 0},
		{"2.6 eight, each of 4 KB", append(planted(8, strings.Repeat("A", 4000)), genuine), 8, 0},
		{"2.6 sixteen hide six of the person's", slices.Concat(planted(16, "x"), six, []string{genuine}), 8, 0},
		{"2.6 eleven leave five to be looked at", slices.Concat(planted(11, "x"), six, []string{genuine}), 8, 1},
		{"2.6 those of the person that are too many go before them", slices.Concat(six, planted(9, "x"), []string{genuine}), 8, 3},
		{"2.6 names that an answer would repeat", []string{prefix + strings.Repeat("x", 27) + "=x", genuine}, 0, 0},
		{"2.6 names that are not a state", []string{prefix + "1/x=x", prefix + "é=x", prefix + "=x", genuine}, 1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w, added := httptest.NewRecorder(), begun(t)
			r := browser(row.cookies...)
			all.Keep(w, r, added, "https://op.test/auth")
			set := w.Header()["Set-Cookie"]
			size := len(strings.Join(set, ""))
			if len(set) != row.deleted+1 || !strings.HasPrefix(set[0], prefix+added.State+"=") || size > 1600 {
				t.Errorf("got %d cookies in %d bytes, %q; want the new one and %d deleted, in 1,600 bytes", len(set), size, set, row.deleted)
			}
			own := 0
			for _, line := range set {
				name, _, _ := strings.Cut(line, "=")
				own += strings.Count(strings.Join(six, "; "), name+"=")
			}
			if own != row.own {
				t.Errorf("got %d of the person's deleted; want %d", own, row.own)
			}
			if slices.ContainsFunc(set, func(line string) bool { return strings.HasPrefix(line, prefix+first.State+"=") }) {
				t.Error("the person's newest transaction is deleted; want it kept")
			}
			if got, err := all.Find(r, first.State); err != nil || got.State != first.State {
				t.Errorf("the person's transaction: got %v, %v; want it found", got, err)
			}
		})
	}
}

func TestIsQuiet(t *testing.T) {
	t.Parallel()
	const name = cookieName + ".quiet"
	set, deleted := answer(at(t, start).SetQuiet)
	if len(set) != 1 || set[0].Name != name || set[0].MaxAge != 300 || len(deleted) > 0 {
		t.Fatalf("got %v set, %q deleted; want %s for five minutes", set, deleted, name)
	}
	own, r := name+"="+set[0].Value, ring(t, "transaction", "app")
	_, value, _ := strings.Cut(pair(at(t, start), begun(t)), "=")
	for what, row := range map[string]struct {
		after  time.Duration
		cookie string
		want   bool
	}{
		"just set":                    {0, own, true},
		"after a forged one":          {0, name + "=AAAA; " + own, true},
		"after three":                 {0, strings.Repeat(name+"=AAAA; ", 3) + own, true},
		"four forged":                 {0, strings.Repeat(name+"=AAAA; ", 4), true}, // it may be behind them
		"three forged":                {0, strings.Repeat(name+"=AAAA; ", 3), false},
		"among more than are read":    {0, strings.Repeat("a=b; ", 256) + own, true},
		"only other names":            {0, strings.Repeat(name+"x=AAAA; ", 4), false},
		"before a forged one":         {0, own + "; " + name + "=AAAA", true},
		"five forged":                 {0, strings.Repeat(name+"=AAAA; ", 5), true},
		"a second before its end":     {5*time.Minute - time.Second, own, true},
		"at its end":                  {5 * time.Minute, own, false},
		"forged":                      {0, name + "=AAAA", false},
		"a transaction renamed to it": {0, name + "=" + value, false},
		"not base64":                  {0, own + "!", false},
		"sealed, and empty":           {0, sealed(r, name, ""), false},
		"sealed, and null":            {0, sealed(r, name, "null"), false},
		"sealed, and another type":    {0, sealed(r, name, "{}"), false},
	} {
		if got := at(t, start.Add(row.after)).IsQuiet(browser(row.cookie)); got != row.want {
			t.Errorf("%s: got %v; want %v", what, got, row.want)
		}
	}
}
