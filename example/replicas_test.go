package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/example/app"
)

// The test binary plays the go command, and the program that the go command
// builds, where it is called by their names: what stands beside the one, and the
// arguments of the other, say how it goes.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "go":
		os.Exit(playGo(os.Args[1:]))
	case "replicas":
		os.Exit(playReplicas(os.Args[1:]))
	}
	// With the race detector a program waits for a second at its end: here, for
	// nothing.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// playGo finds the module where the file "root" beside it says, and builds itself
// if the file "builds" in the source says yes.
func playGo(args []string) int {
	fail := func(why ...any) int {
		fmt.Fprintln(os.Stderr, why...)
		return 1
	}
	if strings.Join(args, " ") == "list -m -f {{.Dir}} github.com/gosignin/signin" {
		root, err := os.ReadFile(filepath.Join(filepath.Dir(os.Args[0]), "root"))
		if err != nil {
			return fail("go: not in a module")
		}
		fmt.Println(string(root))
		return 0
	}
	if len(args) != 8 || args[0] != "build" || args[1] != "-C" || args[4] != "-buildvcs=false" || args[5] != "-o" || args[7] != "." ||
		os.Getenv("GOWORK") != "off" {
		return fail("no such go command:", args)
	}
	source, folder := args[2], args[6]
	asked := interrupted()
	switch builds, _ := os.ReadFile(filepath.Join(source, "builds")); string(builds) {
	case "yes":
		self, err := os.Executable()
		if err == nil {
			err = os.Symlink(self, filepath.Join(folder, "replicas"))
		}
		if err != nil {
			return fail(err)
		}
	case "slowly":
		fmt.Println("downloading")
		<-asked
		return fail("interrupted")
	case "no":
		return fail("does not compile, for", folder)
	}
	return 0
}

func playReplicas(args []string) int {
	asked := interrupted()
	fmt.Printf("in %s with %q\n", filepath.Dir(os.Args[0]), args)
	switch args[0] {
	case "echo":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "fail":
		fmt.Fprintln(os.Stderr, "said by the replicas")
		return 3
	case "wait":
		fmt.Println("ready")
		<-asked
		fmt.Println("ended")
	case "die":
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		<-asked
	}
	return 0
}

func interrupted() <-chan os.Signal {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt)
	return asked
}

// stage is a run of the program in example/replicas.
type stage struct {
	replicas
	settings       app.Settings
	folder         string // of the go command
	stdout, stderr *output
}

// newStage has a go command, a Redis and a source. How the source builds is for
// playGo.
func newStage(t *testing.T, builds string) *stage {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &stage{settings: app.Settings{Replicas: 3, Redis: l.Addr().String()}, folder: t.TempDir(), stdout: newOutput(), stderr: newOutput()}
	p.replicas = replicas{
		goCommand: filepath.Join(p.folder, "go"), stdin: strings.NewReader("typed"), stdout: p.stdout, stderr: p.stderr,
	}
	source := filepath.Join(p.folder, "clone", "example", "replicas")
	for _, err := range []error{
		os.Symlink(self, p.goCommand),
		os.MkdirAll(source, 0o755),
		os.WriteFile(filepath.Join(p.folder, "root"), []byte(filepath.Join(p.folder, "clone")), 0o644),
		os.WriteFile(filepath.Join(source, "go.mod"), nil, 0o644),
		os.WriteFile(filepath.Join(source, "builds"), []byte(builds), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *stage) run(ctx context.Context, args ...string) error {
	return p.replicas.run(ctx, &p.settings, args)
}

// temporary returns the folder that the program says it was started in.
func (p *stage) temporary(t *testing.T) string {
	t.Helper()
	_, after, _ := strings.Cut(p.stdout.String(), "\nin ")
	folder, _, found := strings.Cut(after, " with ")
	if !found {
		t.Fatalf("stdout: got %q; want the program to have run", p.stdout)
	}
	return folder
}

func (p *stage) wantNothingLeft(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(p.temporary(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the program: got %v; want it gone", err)
	}
}

func TestReplicasAreBuiltAndRunWithAllThatTheProgramHas(t *testing.T) {
	t.Parallel()
	p := newStage(t, "yes")
	if err := p.run(t.Context(), "echo", "-addr", "localhost:0"); err != nil {
		t.Fatalf("got error %v; want none\n%s", err, p.stderr)
	}
	want := "Building the replicas…\nin " + p.temporary(t) + ` with ["echo" "-addr" "localhost:0"]` + "\ntyped"
	if got := p.stdout.String(); got != want {
		t.Errorf("stdout: got %q; want %q", got, want)
	}
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr: got %q; want nothing", got)
	}
	p.wantNothingLeft(t)
}

func TestReplicasThatEndByThemselvesHaveTheLastWord(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, how string
		code      int
		said      string
	}{
		{"an exit code is handed on, without another word", "fail", 3, ""},
		{"killed, they had no time to say so", "die", 1, "the replicas have ended: signal: killed\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newStage(t, "yes")
			var stderr bytes.Buffer
			if code := app.Report(p.run(t.Context(), row.how), &stderr); code != row.code || stderr.String() != row.said {
				t.Errorf("got exit code %d and %q; want %d and %q", code, &stderr, row.code, row.said)
			}
			if got, want := p.stderr.String(), "said by the replicas\n"; row.how == "fail" && got != want {
				t.Errorf("stderr: got %q; want %q", got, want)
			}
			p.wantNothingLeft(t)
		})
	}
}

func TestReplicasAreAskedToEnd(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, builds string
		when         string // it says this
		last         string
	}{
		{"while they run", "yes", "ready\n", "ready\nended\n"},
		{"while they are built", "slowly", "downloading\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newStage(t, row.builds)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- p.run(ctx, "wait") }()
			for !strings.Contains(p.stdout.String()+p.stderr.String(), row.when) {
				select {
				case <-p.stdout.written:
				case <-p.stderr.written:
				case err := <-ended:
					t.Fatalf("got error %v; want them to run\n%s", err, p.stderr)
				}
			}
			if row.last != "" {
				gone(t, p.temporary(t)) // while it runs
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("got error %v; want none", err)
			}
			if got := p.stdout.String(); !strings.HasSuffix(got, row.last) || row.last == "" && strings.Contains(got, " with ") {
				t.Errorf("stdout: got %q; want %q at its end", got, row.last)
			}
		})
	}
}

// gone waits until there is no such file.
func gone(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(10 * time.Second)
	for {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
		select {
		case <-tick.C:
		case <-tooLong:
			t.Fatalf("%s is there; want it gone", path)
		}
	}
}

func TestReplicasThatCannotBeBuiltSayWhatToDo(t *testing.T) {
	t.Parallel()
	const instead = "; in a clone of https://github.com/gosignin/signin type: go run ./example -replicas 3 -redis "
	for _, row := range []struct {
		name    string
		without func(p *stage) error
		want    string
	}{
		{"no Redis", func(p *stage) error { p.settings.Redis = "127.0.0.1:1"; return nil },
			"is Redis running at 127.0.0.1:1? On Debian: apt-get install redis-server; redis-server (dial tcp 127.0.0.1:1: connect: connection refused)"},
		{"no go command", func(p *stage) error { return os.Remove(p.goCommand) },
			"the replicas have to be built, and there is no go command here; install Go from https://go.dev/dl" + instead},
		{"no module around", func(p *stage) error { return os.Remove(filepath.Join(p.folder, "root")) },
			"the replicas have to be built, and their source is not here" + instead},
		{"a module from a proxy", func(p *stage) error { return os.RemoveAll(filepath.Join(p.folder, "clone", "example", "replicas")) },
			"the replicas have to be built, and their source is not here" + instead},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newStage(t, "yes")
			if err := row.without(p); err != nil {
				t.Fatal(err)
			}
			err := p.run(t.Context(), "-replicas", "3", "-redis", p.settings.Redis)
			want := row.want
			if strings.HasSuffix(want, instead) {
				want += p.settings.Redis
			}
			if err == nil || err.Error() != want || app.Report(err, io.Discard) != 1 {
				t.Errorf("got error %v; want %s", err, want)
			}
			if got := p.stdout.String() + p.stderr.String(); got != "" {
				t.Errorf("got %q; want nothing to be built", got)
			}
		})
	}
}

func TestReplicasThatDoNotBuildSayWhy(t *testing.T) {
	t.Parallel()
	p := newStage(t, "no")
	if err := p.run(t.Context(), "echo"); err == nil || err.Error() != "the replicas could not be built: exit status 1" || app.Report(err, io.Discard) != 1 {
		t.Errorf("got error %v; want that they could not be built", err)
	}
	folder, complains := strings.CutPrefix(p.stderr.String(), "does not compile, for ")
	if !complains {
		t.Errorf("stderr: got %q; want what the go command says", p.stderr)
	}
	if _, err := os.Stat(strings.TrimSpace(folder)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder for the program: got %v; want it gone", err)
	}
	if got, want := p.stdout.String(), "Building the replicas…\n"; got != want {
		t.Errorf("stdout: got %q; want %q", got, want)
	}

	p = newStage(t, "nothing")
	if err := p.run(t.Context(), "echo"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a build that makes nothing: got error %v; want %v", err, fs.ErrNotExist)
	}

	p = newStage(t, "yes")
	r, w := io.Pipe()
	r.Close()
	p.replicas.stdout = w
	if err := p.run(t.Context(), "echo"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("output that cannot be written: got error %v; want %v", err, io.ErrClosedPipe)
	}
}

func TestReplicasNeedAFolderToBeBuiltIn(t *testing.T) {
	p := newStage(t, "yes")
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "nowhere"))
	if err := p.run(t.Context(), "echo"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v; want %v", err, fs.ErrNotExist)
	}
}

// What the program does with -replicas, it leaves to the other one.
func TestTheProgramHandsReplicasOver(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nothing is there: so nothing is built in this test
	err = run(t.Context(), []string{"-replicas", "3", "-redis", l.Addr().String()}, lookup(nil), io.Discard, io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "is Redis running at "+l.Addr().String()+"?") {
		t.Errorf("got error %v; want one that asks for Redis", err)
	}
}
