package clamd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/filter/virus"
	"posthaste/mail"
	"posthaste/message"
)

// signature is what testdata/test.ndb calls Posthaste.Test.Virus.
const signature = "POSTHASTE-TEST-VIRUS-THAT-IS-NONE"

// patience bounds each wait for a program of others.
const patience = 60 * time.Second

// A peer is a clamd that can be killed and started again.
type peer struct {
	program, conf, socket string
	cmd                   *exec.Cmd
	log                   string
}

// newPeer returns a running clamd with our signature alone, on a socket in a folder of the test.
func newPeer(t testing.TB, settings string) *peer {
	t.Helper()
	if testing.Short() {
		t.Skip("starts clamd")
	}
	program := ""
	for _, name := range []string{"clamd", "/usr/sbin/clamd"} { // sbin is not in everybody's PATH
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
			t.Fatal("clamd is not installed: apt-get install clamav-daemon")
		}
		t.Skip("SKIPPED PEER: clamd is not installed: apt-get install clamav-daemon")
	}
	dir, err := os.MkdirTemp("", "clamd") // short, since the path of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sig, err := os.ReadFile("testdata/test.ndb")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{program: program, conf: filepath.Join(dir, "clamd.conf"), socket: filepath.Join(dir, "s"), log: filepath.Join(dir, "log")}
	db := filepath.Join(dir, "db")
	for _, err := range []error{
		os.Mkdir(db, 0o700),
		os.WriteFile(filepath.Join(db, "test.ndb"), sig, 0o600),
		os.WriteFile(p.conf, fmt.Appendf(nil, "DatabaseDirectory %s\nLocalSocket %s\nLogFile %s\nForeground yes\nTemporaryDirectory %s\n%s\n", db, p.socket, p.log, dir, settings), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.start(t)
	t.Cleanup(p.kill)
	return p
}

// start runs clamd and waits until it answers.
func (p *peer) start(t testing.TB) {
	t.Helper()
	os.Remove(p.socket)
	p.cmd = exec.Command(p.program, "--config-file="+p.conf)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e := p.engine(t, Config{})
	tick := time.NewTicker(20 * time.Millisecond) // programs of others cannot be woken; they are watched
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for e.Ping(ctx) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(p.log)
			t.Fatalf("clamd does not answer after %v:\n%s", patience, log)
		}
	}
}

// kill ends clamd as a crash does.
func (p *peer) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *peer) engine(t testing.TB, c Config) *Engine {
	t.Helper()
	c.Address = p.socket
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// letter returns a message with body.
func letter(body string) *filter.Mail {
	content := []byte("From: ann@example.org\r\nSubject: hello\r\n\r\n" + body + "\r\n")
	return &filter.Mail{Envelope: &mail.Envelope{ID: "q1"}, Content: content, Message: message.Parse(content)}
}

func TestClamdFindsAndPasses(t *testing.T) {
	p := newPeer(t, "")
	e := p.engine(t, Config{Policy: virus.Policy{Found: mail.Reject}})
	encoded := "POSTHASTE-TEST-VIRUS-=\r\nTHAT-IS-NONE"
	for _, c := range []struct {
		name  string
		mail  *filter.Mail
		found bool
	}{
		{"a clean message", letter("nothing"), false},
		{"an empty body", letter(""), false},
		{"the signature", letter(signature), true},
		{"the signature far within", letter(strings.Repeat("0123456789abcdef\r\n", 100_000) + signature), true},
		{"clamd decodes mail", &filter.Mail{Content: []byte("From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded + "\r\n")}, true},
	} {
		r, err := e.Scan(t.Context(), c.mail)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if found := r.Action == mail.Reject; found != c.found {
			t.Errorf("%s: got %+v, want found = %v", c.name, r, c.found)
		}
		if c.found && (r.Reply == nil || r.Reply.Error() != "554 5.7.1 the message has a virus: Posthaste.Test.Virus.UNOFFICIAL") {
			t.Errorf("%s: reply %v", c.name, r.Reply)
		}
	}
	if v, err := e.Version(t.Context()); err != nil || !strings.HasPrefix(v, "ClamAV ") {
		t.Errorf("version %q, %v", v, err)
	}
}

func TestClamdRefusesWhatIsTooLong(t *testing.T) {
	p := newPeer(t, "StreamMaxLength 1M")
	e := p.engine(t, Config{Policy: virus.Policy{Found: mail.Reject, Unscanned: mail.Quarantine}})
	for range 20 { // the answer must not get lost in the reset of the connection
		r, err := e.Scan(t.Context(), letter(strings.Repeat("0123456789abcdef\r\n", 500_000)))
		if err != nil || r.Action != mail.Quarantine || len(r.Findings) != 1 || r.Findings[0].Rule != "VIRUS_UNSCANNED" {
			t.Fatalf("got %+v, %v", r, err)
		}
	}
}
