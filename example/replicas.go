package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gosignin/signin/example/app"
)

// replicas runs the program in example/replicas in place of this one.
//
// That program is a module of its own, built when it is asked for. It is tempting
// to have it in here: but then this module would need a Redis client, and every
// application that signs people in would have that client, and what the client
// needs, among its dependencies, with Redis or without.
type replicas struct {
	goCommand      string
	stdin          io.Reader
	stdout, stderr io.Writer
}

func (r replicas) run(ctx context.Context, s *app.Settings, args []string) error {
	folder, err := os.MkdirTemp("", "signin-replicas-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	err = r.prepare(ctx, s, args, folder)
	if ctx.Err() != nil {
		return nil // nobody waits for it any more
	}
	if err != nil {
		return err
	}
	program := r.command(ctx, filepath.Join(folder, "replicas"), args...)
	program.Stdin, program.Stdout = r.stdin, r.stdout
	if err := program.Start(); err != nil {
		return err
	}
	// A program that runs needs its file no more, except on Windows. So nothing
	// stays behind, even if this program is killed.
	_ = os.RemoveAll(folder)
	err = program.Wait()
	switch code := program.ProcessState.ExitCode(); {
	case code == 0:
		return nil // Wait has an error if it ended because it was asked to
	case code < 0:
		return fmt.Errorf("the replicas have ended: %v", err)
	}
	return err
}

// prepare sees to it that the program is in folder, and can work.
func (r replicas) prepare(ctx context.Context, s *app.Settings, args []string, folder string) error {
	if err := s.FindRedis(ctx); err != nil {
		return err // at once, and not when everything is built
	}
	source, err := r.source(ctx)
	if err != nil {
		return fmt.Errorf("%w; in a clone of https://github.com/gosignin/signin type: go run ./example %s", err, strings.Join(args, " "))
	}
	return r.build(ctx, source, folder)
}

// source finds where the source of example/replicas is. A module that comes from
// a proxy brings none of the modules in its folders.
func (r replicas) source(ctx context.Context) (string, error) {
	if _, err := exec.LookPath(r.goCommand); err != nil {
		return "", errors.New("the replicas have to be built, and there is no go command here; install Go from https://go.dev/dl")
	}
	root, err := exec.CommandContext(ctx, r.goCommand, "list", "-m", "-f", "{{.Dir}}", "github.com/gosignin/signin").Output()
	source := filepath.Join(strings.TrimSpace(string(root)), "example", "replicas")
	if err == nil {
		_, err = os.Stat(filepath.Join(source, "go.mod"))
	}
	if err != nil {
		return "", errors.New("the replicas have to be built, and their source is not here")
	}
	return source, nil
}

// build puts the program into folder. What the go command has to say, such as
// what it downloads, is for whoever waits.
func (r replicas) build(ctx context.Context, source, folder string) error {
	if _, err := fmt.Fprintln(r.stdout, "Building the replicas…"); err != nil {
		return err
	}
	// Without symbols it takes half the time. The version of the source need not be
	// known, and a workspace around it does not know this module.
	build := r.command(ctx, r.goCommand, "build", "-C", source, "-ldflags=-s -w", "-buildvcs=false",
		"-o", folder+string(filepath.Separator), ".")
	build.Env = append(os.Environ(), "GOWORK=off")
	build.Stdout = r.stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("the replicas could not be built: %v", err)
	}
	return nil
}

// command returns a command that ends as this program does: asked to, and with
// time to finish what is under way.
func (r replicas) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Stderr = r.stderr
	return cmd
}
