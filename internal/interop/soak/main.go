//go:build linux

// Soak shows that sessions survive production. It runs an application of
// several replicas with package signin and Redis, a provider that rotates
// refresh tokens and takes the reuse of an old one for theft, and some hundred
// people with browsers. Then it makes one fault after another, and counts what
// became of each session. Access tokens live for eight seconds, so that minutes
// have as many refreshes as weeks in production, and a cookie that its browser
// has left behind becomes stale within minutes, not hours.
//
// Every tenth person has a second browser with a copy of their cookies. It is used
// while they use theirs, or sleeps for minutes; or the person goes back to the
// copy, as to a backup, and leaves the newer cookies to the second browser. When
// the person has ended the session, no copy may work.
//
// People also watch events in tabs, as long as their sessions live. Some sign out
// everywhere; accounts are suspended or deleted and passwords reset, with a webhook
// that tells the application or is lost. Whatever the application has answered as
// done holds at every replica. A stream ends soon after its session, and never before
// it without a fault. Two tabs of a session share its refreshes.
//
//	cd internal/interop
//	go run ./soak -duration 5m -sessions cookie -provider node
//
// It prints one table, and ends with status 1 if a promise was broken. It
// judges by the requests between the application and its provider, not by what
// the package logs. A run with the same seed repeats what people do and which
// faults come, but not at which moments they meet.
//
// It needs Linux and redis-server. For -provider node it also needs Node 20,
// and npm ci must have run in internal/interop. It uses only the loopback
// interface.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) == 2 && os.Args[1] == replicaFlag {
		if err := serveReplica(); err != nil {
			fmt.Fprintln(os.Stderr, "soak: replica:", err)
			return 1
		}
		return 0
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := soak(ctx, o, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 1
	}
	fmt.Print(r)
	if len(r.broken) > 0 {
		return 1
	}
	return 0
}

// options are those of the command line.
type options struct {
	duration           time.Duration
	people, replicas   int
	sessions, provider string
	faults             []string
	seed               uint64
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "duration", 5*time.Minute, "how long people use the application")
	flags.IntVar(&o.people, "people", 200, "how many people there are")
	flags.IntVar(&o.replicas, "replicas", 4, "how many replicas the application has")
	flags.StringVar(&o.sessions, "sessions", "cookie", "where sessions are kept: cookie or redis")
	flags.StringVar(&o.provider, "provider", "signintest", "the provider: signintest or node")
	faults := flags.String("faults", "all", "all, none, or a list separated by commas")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "what people do, and which faults come")
	err := flags.Parse(args)
	if err != nil {
		return o, err
	}
	if o.faults, err = chooseFaults(*faults); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o options) check() error {
	switch {
	case o.sessions != "cookie" && o.sessions != "redis":
		return errors.New("-sessions is cookie or redis")
	case o.provider != "signintest" && o.provider != "node":
		return errors.New("-provider is signintest or node")
	case o.people < 1 || o.people > 10_000 || o.replicas < 1 || o.replicas > 64:
		return errors.New("there are 1 to 10,000 people and 1 to 64 replicas")
	case o.duration < 10*time.Second || o.duration > 24*time.Hour:
		return errors.New("-duration is between ten seconds and a day")
	}
	return nil
}

// A world is everything that takes part.
type world struct {
	options
	base     *url.URL // where people reach the application
	journal  *journal
	redis    *redisServer
	op       *provider
	gate     *gate
	fleet    *fleet
	budget   atomic.Int64 // how many acts people have left
	progress io.Writer
	began    time.Time
	emptied  time.Time // when all people had gone
}

// soak lets people and faults work for as long as the options say, and reports
// the result. The error is about the soak itself.
func soak(ctx context.Context, o options, progress io.Writer) (*report, error) {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return nil, err
	}
	w := &world{options: o, journal: newJournal(), progress: progress}
	w.budget.Store(int64(o.people) * int64(o.duration/shortestPause))
	err = w.build(dir)
	if err == nil {
		err = w.live(ctx)
	}
	var r *report
	if err == nil {
		r = w.audit()
	}
	w.close()
	if err == nil {
		err = r.readReplicas(dir)
	}
	if err == nil && ctx.Err() != nil {
		r.promise("the run is not interrupted", false)
	}
	if err == nil && len(r.broken) == 0 {
		return r, os.RemoveAll(dir)
	}
	w.tell("the logs of all programs are in %s", dir)
	return r, err
}

// replicasLog is the file with the replicas' logs.
const replicasLog = "replicas.log"

// build starts everything. The logs go to files in dir.
func (w *world) build(dir string) error {
	var logs [3]*os.File
	for i, name := range []string{replicasLog, "redis.log", "provider.log"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		logs[i] = f
	}
	var err error
	if w.fleet, err = openFront(logs[0]); err != nil {
		return err
	}
	if w.base, err = url.Parse(w.fleet.base); err != nil {
		return err
	}
	if w.redis, err = startRedis(dir, logs[1]); err != nil {
		return err
	}
	if w.provider == "node" {
		w.op, err = startNodeProvider(w.fleet.base, logs[2])
	} else {
		w.op, err = startTestProvider(w.fleet.base, w.names())
	}
	if err != nil {
		return err
	}
	if w.gate, err = startGate(); err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: crypto/rand
	return w.fleet.start(w.replicas, replicaSettings{
		Base: w.fleet.base, Redis: w.redis.addr, Gate: w.gate.url, Sessions: w.sessions, Key: key, Client: w.op.client,
	})
}

func (w *world) names() []string {
	var names []string
	for i := range w.people {
		names = append(names, fmt.Sprintf("person-%04d", i+1))
	}
	return names
}

// close ends everything that build has started.
func (w *world) close() {
	if w.fleet != nil {
		w.fleet.close()
	}
	if w.gate != nil {
		w.gate.close()
	}
	if w.op != nil {
		w.op.close()
	}
	if w.redis != nil {
		w.redis.kill()
	}
}

// live lets people and faults work. Faults end before people do, so that
// requests that wait for the lease of a killed replica can still succeed.
func (w *world) live(ctx context.Context) error {
	w.began = time.Now()
	day, sunset := context.WithTimeout(ctx, w.duration)
	defer sunset()
	trouble, calm := context.WithTimeout(ctx, w.duration-min(w.duration/5, lease+10*time.Second))
	defer calm()
	transport := &http.Transport{MaxIdleConnsPerHost: w.people}
	defer transport.CloseIdleConnections()
	var working sync.WaitGroup
	for i, name := range w.names() {
		p := &person{
			world: w, name: name, browser: newBrowser(transport),
			random:  mathrand.New(mathrand.NewPCG(w.seed, uint64(i+1))),
			watched: i%oneIn == 0, chance: mathrand.New(mathrand.NewPCG(w.seed, 1<<32+uint64(i))),
		}
		working.Go(func() { p.live(ctx, day) })
	}
	working.Go(func() { w.reportProgress(day) })
	working.Go(func() { w.measure(day, transport) })
	err := newTroublemaker(w).work(ctx, trouble)
	if err != nil {
		sunset()
	}
	working.Wait()
	w.emptied = time.Now()
	if err == nil {
		w.afterAll(ctx)
	}
	return err
}

// tell writes a line about how the run is going.
func (w *world) tell(format string, args ...any) {
	fmt.Fprintf(w.progress, "%6.1f s  %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
}

func (w *world) reportProgress(day context.Context) {
	for day.Err() == nil {
		pass(day, 10*time.Second)
		made, kept := w.gate.refreshes()
		w.journal.mu.Lock()
		requests, sessions := w.journal.requests, len(w.journal.sessions)
		w.journal.mu.Unlock()
		w.tell("%d requests, %d sessions, %d refreshes, %d kept from the provider", requests, sessions, made, kept)
	}
}
