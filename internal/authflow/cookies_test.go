package authflow_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
)

func TestTransaction_ComesBackAsItWas(t *testing.T) {
	t.Parallel()
	all := at(t, start)
	for name, change := range map[string]func(*authflow.Transaction){
		"an ordinary one": func(*authflow.Transaction) {},
		"everything": func(tx *authflow.Transaction) {
			tx.ReturnTo, tx.Foreign, tx.Silent, tx.ACR = "/x?y=%E2%82%AC&amp=<\"'>#z", true, true, []string{"mfa", "hw"}
			tx.Demanded, tx.Subject = true, "alice"
		},
		"max_age=0": func(tx *authflow.Transaction) { tx.MaxAgeAsked = true },
		"max_age":   func(tx *authflow.Transaction) { tx.MaxAgeAsked, tx.MaxAge = true, 5*time.Minute },
		"a repeated one": func(tx *authflow.Transaction) {
			tx.Repeated, tx.State = true, "2"+tx.State[1:]
		},
	} {
		want := begun(t, change)
		got, err := all.Find(browser("a=b", pair(all, want)), want.State)
		if err != nil {
			t.Fatalf("%s: got error %v; want none", name, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v; want %+v", name, got, want)
		}
	}
}

func TestKeep_RoomForReturnTo(t *testing.T) {
	t.Parallel()
	all := at(t, start)
	for _, row := range []struct {
		name     string
		returnTo string
		others   int // bytes
		kept     bool
	}{
		{"2 KB in an empty browser", "/" + strings.Repeat("x", 2047), 0, true},
		{"ampersands, of which queries are full", "/?" + strings.Repeat("&", 2046), 0, true},
		{"more than returnto lets pass", "/" + strings.Repeat("x", 5000), 0, false},
		{"quotes, which take two bytes each", "/" + strings.Repeat(`"`, 2047), 0, false},
		{"beside 5 KB of cookies", "/x", 5 << 10, true},
		{"beside a byte more", "/x", 5<<10 + 1, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			tx := begun(t, func(tx *authflow.Transaction) { tx.ReturnTo = row.returnTo })
			set, _ := kept(all, browser(strings.Repeat("x", row.others)), tx)
			got, err := all.Find(browser(sent(set[0])), tx.State)
			if err != nil || (got.ReturnTo == row.returnTo) != row.kept || !row.kept && got.ReturnTo != "" {
				t.Errorf("got %v, %v; want the transaction, with its return_to: %t", got, err, row.kept)
			}
			if tx.ReturnTo != row.returnTo {
				t.Error("got another return_to in the caller's transaction; want it left alone")
			}
		})
	}
}

// Keep sets none that is longer than 4 KB, so nothing longer is worth opening.
func TestFind_LongCookie(t *testing.T) {
	t.Parallel()
	const form = `{"Began":"2023-11-14T22:13:20Z","ReturnTo":"/%s"}`
	for bytes, found := range map[int]bool{2900: true, 5000: false} {
		c := sealed(ring(t, "transaction", "app"), "1x", fmt.Appendf(nil, form, strings.Repeat("x", bytes)))
		if got, err := at(t, start).Find(browser(c), "1x"); (err == nil) != found || (got != nil) != found {
			t.Errorf("a return_to of %d bytes: got %v, %v; want it found: %t", bytes, got != nil, err, found)
		}
	}
}

// What a key holder of another version may have sealed is not a transaction, and no
// reason to panic.
func TestFind_SealedBytes(t *testing.T) {
	t.Parallel()
	all, r := at(t, start), ring(t, "transaction", "app")
	const began = `"Began":"2023-11-14T22:13:20Z"`
	for _, row := range []struct {
		name, plain string
		found       bool
	}{
		{"a beginning is enough", "{" + began + "}", true},
		{"a later version's field", "{" + began + `,"Later":[1]}`, true},
		{"nothing", "", false},
		{"an earlier version, in bytes", "\x02\x00\xf6\x91\xc1\xfa\xf9b\x00\x00\x00\x00\x00\x00", false},
		{"null", "null", false},
		{"no beginning", "{}", false},
		{"a beginning that is a number", `{"Began":1700000000}`, false},
		{"a beginning that is no time", `{"Began":"x"}`, false},
		{"a maximum age that is text", "{" + began + `,"MaxAge":"1"}`, false},
		{"a maximum age without end", "{" + began + `,"MaxAge":18446744073709551615}`, false},
		{"a maximum age before now", "{" + began + `,"MaxAge":-1000000000}`, false},
		{"a maximum age of a part of a second", "{" + began + `,"MaxAge":1}`, false},
		{"a part of another type", "{" + began + `,"Nonce":1}`, false},
		{"a part without end", "{" + began + `,"Nonce":"`, false},
		{"more than a transaction", "{" + began + "}{}", false},
	} {
		got, err := all.Find(browser(sealed(r, "1x", []byte(row.plain))), "1x")
		if row.found != (err == nil) || !row.found && (got != nil || !errors.Is(err, authflow.ErrNoTransaction)) {
			t.Errorf("%s: got %+v, %v; want it found: %t", row.name, got, err, row.found)
		}
	}
}

// One transaction has one text. What is read before the first wrong character may be
// all of it.
func TestFind_TextBehindTheValue(t *testing.T) {
	t.Parallel()
	all := at(t, start)
	for length := range 3 {
		tx := begun(t, func(tx *authflow.Transaction) { tx.ReturnTo = "/" + strings.Repeat("x", length) })
		for _, more := range []string{"!", "!!!!", "="} {
			if got, err := all.Find(browser(pair(all, tx)+more), tx.State); !errors.Is(err, authflow.ErrNoTransaction) {
				t.Errorf("with %q behind it: got %v, %v; want ErrNoTransaction", more, got, err)
			}
		}
	}
}

func TestCasesTransaction(t *testing.T) {
	t.Parallel()
	tx, other := begun(t), begun(t)
	name, value, _ := strings.Cut(pair(at(t, start), tx), "=")
	forged, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	forged[20] ^= 1
	session := base64.RawURLEncoding.EncodeToString(ring(t, "session", "app").Box(name).Seal(nil, []byte("x")))
	for _, row := range []struct {
		name  string
		now   time.Time
		all   *authflow.Transactions
		req   *http.Request
		state string
	}{
		{"2.2 no cookie", start, nil, browser(), tx.State},
		{"2.2 no state", start, nil, browser(name + "=" + value), ""},
		{"2.2 no state, and a cookie for none", start, nil, browser(prefix + "=" + value), ""},
		{"2.2 another state", start, nil, browser(name + "=" + value), other.State},
		{"2.2 the cookie renamed to another state", start, nil, browser(prefix + other.State + "=" + value), other.State},
		{"2.8 older than ten minutes", start.Add(10*time.Minute + time.Millisecond), nil, browser(name + "=" + value), tx.State},
		{"2.8 from the future", start.Add(-61 * time.Second), nil, browser(name + "=" + value), tx.State},
		{"2.8 of another Auth", start, of(t, "other", start),
			browser(name + "=" + value), tx.State},
		{"2.8 a session cookie renamed to a transaction", start, nil, browser(name + "=" + session), tx.State},
		{"2.8 changed", start, nil, browser(name + "=" + base64.RawURLEncoding.EncodeToString(forged)), tx.State},
		{"2.8 not base64", start, nil, browser(name + "=" + value + "!"), tx.State},
		{"2.8 empty", start, nil, browser(name + "="), tx.State},
		{"2.8 twice", start, nil, browser(name+"="+value, name+"="+value), tx.State},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			all := row.all
			if all == nil {
				all = at(t, row.now)
			}
			if got, err := all.Find(row.req, row.state); !errors.Is(err, authflow.ErrNoTransaction) || got != nil {
				t.Errorf("got %+v, %v; want ErrNoTransaction", got, err)
			}
		})
	}
	for name, now := range map[string]time.Time{
		"2.8 ten minutes old to the millisecond": start.Add(10 * time.Minute),
		"2.8 a minute ahead":                     start.Add(-time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := at(t, now).Find(browser(pair(at(t, start), tx)), tx.State); err != nil {
				t.Errorf("got %v; want it found", err)
			}
		})
	}
}

func TestCasesCrowded(t *testing.T) {
	t.Parallel()
	tx := func(minute int, foreign bool) *authflow.Transaction {
		return begun(t, func(tx *authflow.Transaction) {
			tx.Began, tx.Foreign = start.Add(time.Duration(minute)*time.Minute), foreign
		})
	}
	all := at(t, start.Add(5*time.Minute))
	names := func(txs ...*authflow.Transaction) (n []string) {
		for _, tx := range txs {
			n = append(n, prefix+tx.State)
		}
		slices.Sort(n)
		return n
	}
	cookies := func(txs ...*authflow.Transaction) *http.Request {
		c := []string{"theme=dark"}
		for _, tx := range txs {
			c = append(c, pair(all, tx))
		}
		return browser(c...)
	}
	own := []*authflow.Transaction{tx(1, false), tx(0, false), tx(2, false), tx(3, false), tx(4, false)}
	foreign := []*authflow.Transaction{tx(1, true), tx(2, true), tx(3, true)}
	mine, theirs, same := tx(5, false), tx(5, true), tx(4, false)
	old := tx(-60, false)
	long := func(minute int) *authflow.Transaction {
		long := tx(minute, false)
		long.ReturnTo = "/" + strings.Repeat("x", 1500)
		return long
	}
	first, second, third := long(1), long(2), long(3)
	for _, row := range []struct {
		name  string
		req   *http.Request
		added *authflow.Transaction
		want  []string
	}{
		{"2.6 nothing to do for the first five", cookies(own[:4]...), mine, nil},
		{"2.6 the oldest goes when all are one's own", cookies(own...), mine, names(own[1])},
		{"2.6 another site's go first, the oldest of them", cookies(own[0], own[1], own[2], foreign[1], foreign[0]), mine, names(foreign[0])},
		{"2.6 another site's new one pushes out its own kind", cookies(own[0], own[1], own[2], own[3], foreign[0]), theirs, names(foreign[0])},
		{"2.6 another site's new one does not push out one's own", cookies(own...), theirs, names(theirs)},
		{"2.6 of the same age, the new one stays", cookies(own[0], own[2], own[3], own[4], tx(4, false)), same, names(own[0])},
		{"2.6 two hundred transactions leave five", cookies(append(slices.Clone(own), foreign...)...), mine, names(append(slices.Clone(foreign), own[1])...)},
		{"2.6 four kilobytes are the most, however few they are", cookies(first, second), third, names(first, second)},
		{"2.6 what is no transaction is cleared away", browser(pair(at(t, old.Began), old), prefix+"junk=junk", cookieName+"=session"), mine,
			slices.Sorted(slices.Values(append(names(old), prefix+"junk")))},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			set, deleted := kept(all, row.req, row.added)
			switch added := prefix + row.added.State; {
			case slices.Contains(row.want, added):
				if len(set) > 0 {
					t.Errorf("got %v; want no cookie set", set)
				}
			case len(set) != 1 || set[0].Name != added || set[0].MaxAge != 600 || !set[0].HttpOnly || !set[0].Secure:
				t.Errorf("got %v; want the new transaction's cookie alone, for ten minutes", set)
			}
			slices.Sort(deleted)
			if !slices.Equal(deleted, row.want) {
				t.Errorf("got %q deleted; want %q", deleted, row.want)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	tx := begun(t)
	set, deleted := answer(func(w http.ResponseWriter) { at(t, start).Remove(w, tx.State) })
	if len(set) > 0 || !slices.Equal(deleted, []string{prefix + tx.State}) {
		t.Errorf("got %v set, %q deleted; want the transaction's cookie deleted", set, deleted)
	}
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	set, deleted := answer(at(t, start).SetQuiet)
	if len(set) != 1 || set[0].Name != cookieName+".quiet" || set[0].MaxAge != 300 || len(deleted) > 0 {
		t.Fatalf("got %v set, %q deleted; want %s for five minutes", set, deleted, cookieName+".quiet")
	}
	c := set[0]
	_, value, _ := strings.Cut(pair(at(t, start), begun(t)), "=")
	under := func(plain string) string {
		return c.Name + "=" + base64.RawURLEncoding.EncodeToString(ring(t, "transaction", "app").Box(c.Name).Seal(nil, []byte(plain)))
	}
	for what, row := range map[string]struct {
		now    time.Time
		cookie string
		want   bool
	}{
		"just set":                      {start, sent(c), true},
		"beside a forged one":           {start, c.Name + "=AAAA; " + sent(c), true},
		"a second before its end":       {start.Add(5*time.Minute - time.Second), sent(c), true},
		"at its end":                    {start.Add(5 * time.Minute), sent(c), false},
		"absent":                        {start, "a=b", false},
		"forged":                        {start, c.Name + "=AAAA", false},
		"a transaction renamed to it":   {start, c.Name + "=" + value, false},
		"not base64":                    {start, sent(c) + "!", false},
		"sealed, and nothing":           {start, under(""), false},
		"sealed, and null":              {start, under("null"), false},
		"sealed, and of the wrong type": {start, under(`{}`), false},
	} {
		if got := at(t, row.now).IsQuiet(browser(row.cookie)); got != row.want {
			t.Errorf("%s: got %v; want %v", what, got, row.want)
		}
	}
}
