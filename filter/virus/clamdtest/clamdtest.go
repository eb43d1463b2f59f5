// Package clamdtest runs a real clamd for tests, with a signature of our own and no other, on a socket in a
// folder that goes away with the test. Without the program the test is skipped, or fails where
// POSTHASTE_REQUIRE_PEERS is set.
package clamdtest

import (
	_ "embed"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Signature is the text that the server knows as a virus, and Virus what it calls it.
const (
	Signature = "POSTHASTE-TEST-VIRUS-THAT-IS-NONE"
	Virus     = "Posthaste.Test.Virus.UNOFFICIAL"
)

// Patience bounds each wait for a program of others.
const Patience = 60 * time.Second

//go:embed testdata/test.ndb
var signatures []byte

// A Server is a clamd that can be killed and started again.
type Server struct {
	Socket string // where it listens

	program, conf, log string
	cmd                *exec.Cmd
}

// Program returns the path of a program of others, which Debian has in a package.
func Program(t testing.TB, name, debian string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts " + name)
	}
	for _, name := range []string{name, "/usr/sbin/" + name} { // sbin is not in everybody's PATH
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed: apt-get install %s", name, debian)
	}
	t.Skipf("SKIPPED PEER: %s is not installed: apt-get install %s", name, debian)
	return ""
}

// Folder returns a folder whose path is short, since that of a socket is bounded.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// New returns a server that runs; settings are more lines of clamd.conf.
func New(t testing.TB, settings string) *Server {
	t.Helper()
	program := Program(t, "clamd", "clamav-daemon")
	dir := Folder(t)
	s := &Server{program: program, conf: filepath.Join(dir, "clamd.conf"), Socket: filepath.Join(dir, "s"), log: filepath.Join(dir, "log")}
	db := filepath.Join(dir, "db")
	for _, err := range []error{
		os.Mkdir(db, 0o700),
		os.WriteFile(filepath.Join(db, "test.ndb"), signatures, 0o600),
		os.WriteFile(s.conf, fmt.Appendf(nil, "DatabaseDirectory %s\nLocalSocket %s\nLogFile %s\nForeground yes\nTemporaryDirectory %s\n%s\n",
			db, s.Socket, s.log, dir, settings), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Start(t)
	t.Cleanup(s.Kill)
	return s
}

// Start runs clamd and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	os.Remove(s.Socket)
	s.cmd = exec.Command(s.program, "--config-file="+s.conf)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "clamd answers", s.answers, s.log)
}

// Kill ends clamd as a crash does.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *Server) answers() bool {
	conn, err := net.Dial("unix", s.Socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(Patience))
	io.WriteString(conn, "zPING\x00")
	reply, err := io.ReadAll(conn)
	return err == nil && string(reply) == "PONG\x00"
}

// Eventually asks again and again until done, and fails the test, with the file log, when that lasts too
// long. Programs of others cannot be woken; they are watched.
func Eventually(t testing.TB, what string, done func() bool, log string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(Patience); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			text, _ := os.ReadFile(log)
			t.Fatalf("still not after %v: %s\n%s", Patience, what, text)
		}
	}
}
