package killtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/sim"
)

// startTime bounds how long the program may take to recover and say "ready".
const startTime = time.Minute

// program builds the binary, once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "posthaste-kill")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "posthaste")
	build := exec.Command("go", "build", "-o", path, "posthaste/cmd/posthaste")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// A server is the program, serving one data directory.
type server struct {
	t       *testing.T
	config  string
	ports   map[string]string // address by service
	process *exec.Cmd
	errors  bytes.Buffer // what it said on standard error
}

// newServer writes a configuration: services on free ports, extra lines as given.
func newServer(t *testing.T, extra string) *server {
	t.Helper()
	if _, err := program(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &server{t: t, config: filepath.Join(dir, "posthaste.toml"), ports: map[string]string{}}
	var text strings.Builder
	fmt.Fprintf(&text, "hostname = \"mx.north.test\"\ndata = %q\n%s\n", filepath.Join(dir, "data"), extra)
	for _, service := range []string{"mx", "submission", "imap"} {
		s.ports[service] = freeAddress(t)
		fmt.Fprintf(&text, "[[listen]]\nservice = %q\naddress = %q\n", service, s.ports[service])
	}
	if err := os.WriteFile(s.config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

// freeAddress returns an address of loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// command returns the program with arguments.
func (s *server) command(args ...string) *exec.Cmd {
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	return exec.Command(path, append([]string{"--config", s.config}, args...)...)
}

// start runs the program until it says that it is ready.
func (s *server) start() {
	s.t.Helper()
	s.process = s.command("serve")
	s.errors.Reset()
	s.process.Stderr = &s.errors
	out, err := s.process.StdoutPipe()
	if err == nil {
		err = s.process.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(startTime, func() { s.process.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if late.Stop(); err != nil || strings.TrimSpace(line) != "ready" {
		s.kill()
		s.t.Fatalf("no \"ready\" but %q, %v; it said: %s", line, err, s.errors.String())
	}
}

// kill ends the program with SIGKILL.
func (s *server) kill() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill()
	s.process.Wait()
	s.process = nil
}

// run runs a command of the program that must succeed, and returns what it printed.
func (s *server) run(stdin string, args ...string) string {
	s.t.Helper()
	c := s.command(args...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("posthaste %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// populate makes north.test with accounts.
func (s *server) populate(users ...string) {
	s.t.Helper()
	s.run("", "domain", "add", "north.test")
	for _, user := range users {
		s.run(sim.Password, "account", "add", user+"@north.test", "--password-stdin")
	}
}

// listed returns the objects that a listing prints.
func listed[T any](s *server, args ...string) (all []T) {
	s.t.Helper()
	d := json.NewDecoder(strings.NewReader(s.run("", append(args, "--json")...)))
	for d.More() {
		var item T
		if err := d.Decode(&item); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, item)
	}
	return all
}

// dial connects to a service; an error is that of a program that was killed.
func (s *server) dial(service string) (net.Conn, error) {
	nc, err := net.DialTimeout("tcp", s.ports[service], 5*time.Second)
	if err == nil {
		nc.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return nc, err
}
