// Package filtertest is what tests of filter engines share: mail to look at, and filters of others that
// run on loopback as an unprivileged user, are killed, and come back.
package filtertest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/smtp"
)

// patience bounds each wait for a program of others, on a machine that is busy.
const patience = 90 * time.Second

// nobody is the user that programs run as when the tests are root.
const nobody = 65534

// GTUBE is the line that every spam filter takes for spam.
const GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// Message returns content with that body.
func Message(body string) string {
	return "From: Bob <bob@client.test>\r\nTo: ann@north.test\r\nSubject: a word\r\nMessage-ID: <1@client.test>\r\n" +
		"Date: Mon, 30 Nov 2026 21:00:00 +0000\r\n\r\n" + body + "\r\n"
}

// Mail returns what engines look at: content from bob@client.test for each of to, or for ann@north.test.
func Mail(t testing.TB, content string, to ...string) *filter.Mail {
	t.Helper()
	from, err := smtp.ParseReversePath("<bob@client.test>")
	if err != nil {
		t.Fatal(err)
	}
	env := &mail.Envelope{ID: "01JDXAMPLE000001", From: from, Received: time.Date(2026, 11, 30, 21, 0, 1, 0, time.UTC), Origin: mail.Origin{
		IP: netip.MustParseAddr("192.0.2.1"), Name: "out.client.test", Helo: "helo.client.test", Protocol: "ESMTPS", TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256"}}
	if len(to) == 0 {
		to = []string{"ann@north.test"}
	}
	for _, r := range to {
		a, err := smtp.ParseAddress(r)
		if err != nil {
			t.Fatal(err)
		}
		env.Recipients = append(env.Recipients, mail.Recipient{Address: a})
	}
	return &filter.Mail{Envelope: env, Content: []byte(content), Message: message.Parse([]byte(content)), Hostname: "mx.north.test"}
}

// Peer returns the path of a program of others. Without it the test is skipped, or fails where peers are
// required.
func Peer(t *testing.T, program, debian string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} { // sbin is not in everybody's PATH
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed: apt-get install %s", program, debian)
	}
	t.Skipf("SKIPPED PEER: %s is not installed: apt-get install %s", program, debian)
	return ""
}

// Torture tells whether the long forms are asked for.
func Torture() bool { return os.Getenv("POSTHASTE_TORTURE") == "1" }

// FreePort returns a TCP port of loopback that nobody uses now.
func FreePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// Dir returns a directory of the test that programs may write into.
func Dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "posthaste-engines-") // the parent of t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Write writes a file below a directory that everybody may read.
func Write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A Process is a program of others that serves a TCP port of loopback.
type Process struct {
	dir  string
	port int
	args []string
	cmd  *exec.Cmd
	log  *os.File
}

// Start runs a program with dir as home until the test ends, and returns once its port answers.
func Start(t *testing.T, dir string, port int, args ...string) *Process {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{dir: dir, port: port, args: args, log: log}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", args[0], said[max(0, len(said)-4000):])
		}
		log.Close()
	})
	p.Restart(t)
	return p
}

// Restart runs the program again.
func (p *Process) Restart(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, p.log, p.log
	p.cmd.Env = append(os.Environ(), "HOME="+p.dir, "TMPDIR="+p.dir)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
		if err == nil {
			conn.Close()
			return
		}
		if time.Since(begin) > patience {
			t.Fatalf("%s does not answer after %v: %v", p.args[0], patience, err)
		}
		time.Sleep(50 * time.Millisecond) // programs of others cannot be woken; they are watched
	}
}

// Kill ends the program and all that it started, by SIGKILL, and returns once nobody has its port.
func (p *Process) Kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	p.cmd.Wait()
	p.cmd = nil
	// Its children, which are not ours to wait for, share the socket and may die a moment later.
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
		if err != nil {
			return
		}
		conn.Close()
	}
}
