//go:build long

package interop

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// examplePatience is how long the example may take to start, or to end. That is
// longer than it waits for requests under way, even on a busy machine.
const examplePatience = time.Minute

// An exampleProgram is the program in example/ or in example/replicas, with its
// provider for tests, running as after a fresh clone.
type exampleProgram struct {
	t    *testing.T
	url  string // the address that it says to open
	said *transcript
	// stop interrupts it, as Ctrl-C does, and waits until it has ended.
	stop func() error
}

// buildExample builds the program in a directory, and returns its path.
func buildExample(t *testing.T, directory string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "example")
	build := exec.Command("go", "build", "-C", filepath.Join("..", "..", directory), "-o", path, ".")
	build.Env = append(build.Environ(), "GOWORK=off")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, said)
	}
	return path
}

// startExample runs the program at path until the test ends, on free ports and
// with these flags, in the root of the project. The test fails if the program
// does not end cleanly, or complains.
func startExample(t *testing.T, path string, flags ...string) *exampleProgram {
	t.Helper()
	program := exec.Command(path, append([]string{"-addr", "127.0.0.1:0", "-provider-addr", "127.0.0.1:0"}, flags...)...)
	program.Dir = filepath.Join("..", "..")
	// There may be settings for Logto in the environment. With a key the program
	// has nothing to warn of.
	program.Env = append(os.Environ(), "LOGTO_ENDPOINT=", "LOGTO_APP_ID=", "LOGTO_APP_SECRET=", "API_RESOURCE=", "BASE_URL=",
		"SIGNIN_KEY="+strings.Repeat("k", 64))
	p := &exampleProgram{t: t, said: new(transcript)}
	program.Stderr = p.said
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatalf("start the example: %v", err)
	}
	opened := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(opened)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if address, found := strings.CutPrefix(lines.Text(), "Open "); found {
				opened <- address
				break
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
	})
	// An interrupted program ends the Redis that it has started; a killed one cannot.
	hurry := time.AfterFunc(examplePatience, func() { _ = program.Process.Signal(os.Interrupt) })
	p.stop = sync.OnceValue(func() error {
		kill := time.AfterFunc(examplePatience, func() { _ = program.Process.Kill() })
		defer kill.Stop()
		if err := program.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		// Wait closes the pipe, so all of it must have been read.
		reading.Wait()
		return program.Wait()
	})
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("the example after Ctrl-C: got %v; want a clean end", err)
		}
		if said := p.said.String(); said != "" {
			t.Errorf("the example complains:\n%s", said)
		}
	})
	p.url = <-opened
	hurry.Stop()
	if !strings.HasPrefix(p.url, "http://127.0.0.1:") {
		t.Fatalf("the example says to open %q; want an address on 127.0.0.1\n%s", p.url, p.said)
	}
	return p
}
