package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// binary is the posthaste that all tests run; TestMain builds it.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "posthaste-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "posthaste")
	build := exec.Command("go", "build", "-o", binary, "posthaste/cmd/posthaste")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary under test: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience bounds each command and each wait: far more than any needs on a busy machine.
const patience = 60 * time.Second

// program returns the path of a program of others. Where it is missing, the test skips, or fails when
// POSTHASTE_REQUIRE_PEERS is set.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name, "is not installed: sh scripts/install-peers.sh installs it")
	}
	return path
}

func missing(t *testing.T, name, why string) {
	t.Helper()
	if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s %s, and POSTHASTE_REQUIRE_PEERS is set", name, why)
	}
	t.Skipf("SKIPPED PEER: %s %s", name, why)
}

// A command is a program with its arguments, run to its end.
type command struct {
	args  []string
	env   []string
	stdin string
}

// run returns all that the command printed, and its exit status.
func (c command) run(t *testing.T) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C.UTF-8"), c.env...)
	if c.stdin != "" {
		in, err := os.CreateTemp(t.TempDir(), "stdin")
		must(t, err)
		defer in.Close()
		_, err = in.WriteString(c.stdin)
		must(t, err)
		_, err = in.Seek(0, 0)
		must(t, err)
		cmd.Stdin = in
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("run %s: %v", c.args[0], err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%v did not end within %v:\n%s", c.args, patience, out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// succeed runs the command and fails the test unless it exits with 0.
func (c command) succeed(t *testing.T) string {
	t.Helper()
	out, status := c.run(t)
	if status != 0 {
		t.Fatalf("%v: exit status %d\n%s", c.args, status, out)
	}
	return out
}

// run runs a program that must succeed and returns what it printed.
func run(t *testing.T, args ...string) string {
	t.Helper()
	return command{args: args}.succeed(t)
}

// eventually asks again and again until done, and fails the test when that lasts too long. Programs
// of others cannot be woken; they are watched.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	const interval = 20 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for limit := time.After(patience); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("still not after %v: %s", patience, what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// writeOpen writes a file that everybody may read, and its folder.
func writeOpen(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
