//go:build linux

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A report is the table, and the promises that were broken.
type report struct {
	figures
	requests int
	faults   map[string]int
	copies   map[string]int
	broken   []string
	rows     []row
}

// A row is one line of the table; without a value, it is a title.
type row struct{ label, value string }

// String returns the table.
func (r *report) String() string {
	width := 0
	for _, row := range r.rows {
		if row.value != "" {
			width = max(width, len(row.label))
		}
	}
	var b strings.Builder
	for _, row := range r.rows {
		if row.value == "" {
			fmt.Fprintln(&b, row.label)
			continue
		}
		fmt.Fprintf(&b, "  %-*s  %7s\n", width, row.label, row.value)
	}
	return b.String()
}

func (r *report) section(title string) { r.rows = append(r.rows, row{label: title}) }

func (r *report) line(label string, value any) {
	r.rows = append(r.rows, row{label, fmt.Sprint(value)})
}

// list adds a row for each outcome, in alphabetical order.
func (r *report) list(before string, counts map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		r.line(before+name, counts[name])
	}
}

// promise adds a row that says whether a promise was kept.
func (r *report) promise(what string, kept bool) {
	word := "kept"
	if !kept {
		word = "BROKEN"
		r.broken = append(r.broken, what)
	}
	r.line(what, word)
}

// report makes the table.
func (a *auditor) report() *report {
	j := a.journal
	r := &report{figures: a.figures, requests: j.requests, faults: j.faults, copies: j.copies}
	faults := "none"
	if len(a.faults) > 0 {
		faults = strings.Join(a.faults, ",")
	}
	r.section(fmt.Sprintf("soak -duration %v -people %d -replicas %d -sessions %s -provider %s -seed %d",
		a.duration, a.people, a.replicas, a.world.sessions, a.provider, a.seed))
	r.section("     -faults " + faults)
	r.section("faults that came")
	r.list("", j.faults)
	r.section("people")
	r.line("requests", j.requests)
	r.list("requests that saw: ", j.outcomes)
	r.line("people shown another person's page", len(j.mixedUp))
	r.list("copies of cookies of ended sessions: ", j.copies)
	r.section("sessions")
	r.line("signed in", len(j.sessions))
	r.line("still signed in at the end", a.figures.sessions[""])
	for _, how := range []string{signedOut, endedEverywhere, byWebhook, refusedRefresh, incomplete, loggedOut, replaced} {
		r.line("(a) "+how, a.figures.sessions[how])
	}
	for _, why := range causes {
		r.line("lost: "+string(why), a.lost[why])
	}
	r.section("copies of cookies, of every tenth person")
	r.list("", a.fates)
	a.tally(r)
	a.tokens(r)
	a.zeros(r)
	a.promises(r)
	return r
}

// tokens is the part of the table that the gate has recorded.
func (a *auditor) tokens(r *report) {
	r.section("refresh tokens, as seen between the application and its provider")
	r.line("generations due: a request came in the second half of the access token's life", a.due)
	r.line("refreshes that the provider made", a.made)
	r.line("refreshes per generation due", fmt.Sprintf("%.4f", float64(a.made)/float64(max(a.due, 1))))
	r.line("due, but failures of the provider kept every try from it", a.kept)
	r.line("due less than a lease before the end, and not made yet", a.waiting)
	r.line("due, and not made", a.missed)
	r.line("made before due", a.early)
	r.line("made with a used token: (b) and (c)", a.again)
	r.line("made with a used token: unexplained", a.twice)
	r.line("tries that failures of the provider kept from it", a.gate.kept)
	r.line("refused by the provider, although current and the session had not ended", a.refused)
	r.line("most refreshes of one session at once", a.atOnce)
	for _, why := range causes {
		r.line("an old token used again, and its family revoked: "+string(why), a.revoked[why])
	}
	if a.op.test != nil {
		stats := a.op.test.Stats()
		r.line("families revoked, by the provider's own count", stats.RevokedForReuse)
		r.line("most refreshes of one grant at once, by the provider's own count", stats.MostRefreshesAtOnce)
	}
	r.line("sign-ins whose last answer never reached a browser", a.orphans)
}

// zeros is the part of the table with the counts that must be 0.
func (a *auditor) zeros(r *report) {
	r.section("counts that must be 0")
	r.line("sessions lost that cannot be explained", a.lost[byNothingSeen])
	r.line("families revoked by reuse that cannot be explained", a.revoked[byNothingSeen])
	r.line("copies that worked after their owner had ended the session", a.journal.copies[accepted])
	r.line("copies refused while their owner's session went on", a.mistaken)
	r.line("browsers in use whose cookie was taken for stale", a.journal.stale)
	r.line("copies left alone that were let in when they had to be stale", a.journal.overdue)
	r.line("pages shown more than MaxOffline after the last access token's expiry", a.adrift)
	r.line("session cookies deleted by anything but a sign-out or a sign-in", a.fleet.deletions())
	r.line("streams that went on after their session's end", a.streams.late)
	r.line("streams that ended while their session went on", a.streams.unfounded)
	r.line("pages shown after a refused refresh", a.streams.afterwards)
	r.line("goroutines of package signin left in the replicas at the end", a.journal.leftGoroutines)
	r.line("refreshes made when all people had gone", a.journal.leftRefreshes)
}

// promises says which promises were kept.
func (a *auditor) promises(r *report) {
	r.section("promises")
	j := a.journal
	atOnce, revoked := a.atOnce, sum(a.revoked)
	if a.op.test != nil {
		stats := a.op.test.Stats()
		atOnce, revoked = max(atOnce, stats.MostRefreshesAtOnce), max(revoked, stats.RevokedForReuse)
	}
	named := a.revoked[byKill] + a.revoked[byForgetting]
	possible := a.due - a.kept - a.waiting
	r.promise("no session is lost without a named cause", a.lost[byNothingSeen] == 0)
	r.promise("no family of tokens is revoked without a named cause", revoked == named && a.refused == 0)
	// Too many and too few are counted apart, so that neither hides the other.
	r.promise("one refresh per generation due, unless failures prevented it, within 2 %",
		possible > 0 && few(a.missed, possible) && few(a.early+a.twice, possible))
	r.promise("one refresh of a session at once, unless there is a named cause", a.atOnce <= 1 && (named > 0 || atOnce <= 1))
	r.promise("no copy of an ended session's cookie works", j.copies[accepted] == 0)
	r.promise("no copy is refused while its owner's session goes on", a.mistaken == 0)
	r.promise("no browser in use has a stale cookie", j.stale == 0)
	r.promise("a copy that is left alone while its owner is active becomes stale", j.overdue == 0)
	if a.world.sessions == "cookie" && a.people >= 100 && a.duration >= 5*time.Minute {
		r.promise("some copies become stale, and some end when the owner signs in with a stale cookie",
			a.fates[asleep+": "+stale] > 0 && a.figures.sessions[replaced] > 0)
	}
	r.promise("no page is shown for longer than MaxOffline without a refresh", a.adrift == 0)
	r.promise("only a sign-out and a sign-in delete a session cookie", a.fleet.deletions() == 0)
	r.promise("no person is shown another person's page", len(j.mixedUp) == 0)
	a.keeps(r)
	for _, name := range a.faults {
		if j.faults[name] == 0 {
			r.promise("every fault comes: "+name, false)
		}
	}
	r.promise("all people have signed in, and some have ended their sessions",
		len(j.sessions) >= a.people && sum(a.figures.sessions) > a.figures.sessions[""] && j.copies[refusedCopy] > 0)
}

// readReplicas looks in the replicas' logs for what no answer shows: a panic,
// which net/http recovers, or a data race, if the program was built to detect
// them.
func (r *report) readReplicas(dir string) error {
	said, err := os.ReadFile(filepath.Join(dir, replicasLog))
	if err != nil {
		return err
	}
	sound := true
	for _, complaint := range []string{"panic", "DATA RACE", "fatal error"} {
		sound = sound && !bytes.Contains(said, []byte(complaint))
	}
	r.promise("no replica panics or has a data race", sound)
	return nil
}

// few reports whether n is at most 2 % of all.
func few(n, all int) bool { return 50*n <= all }

func sum[K comparable](counts map[K]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
