package popd

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/store"
)

// program returns the path of a mail program, or skips the test where it is not installed.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: POP3 is not tried with it", name)
	}
	return path
}

func run(t *testing.T, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "FETCHMAILHOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// overTLS returns the address of a server that takes passwords over TLS only.
func overTLS(t *testing.T, implicit bool) (fixture, string) {
	t.Helper()
	f := newFixture(t, func(c *Config) { c.PlaintextAuth, c.TLS, c.ImplicitTLS = false, testTLS(t), implicit })
	return f, f.listen(t)
}

// poplib of Python is somebody else's idea of RFC 1939.
func TestPoplib(t *testing.T) {
	python := program(t, "python3")
	f := newFixture(t, func(c *Config) { c.TLS = testTLS(t) })
	host, port, _ := net.SplitHostPort(f.listen(t))
	want, err := os.ReadFile("testdata/poplib_session.want")
	if err != nil {
		t.Fatal(err)
	}
	if out := run(t, python, "testdata/poplib_session.py", host, port); out != string(want) {
		t.Errorf("poplib says:\n%s\nwant:\n%s", out, want)
	}
	if view, err := f.inbox.View(t.Context(), store.Inbox); err != nil || view.Len() != 2 {
		t.Errorf("%d messages are left, %v; want 2", view.Len(), err)
	}
}

func TestCurl(t *testing.T) {
	curl := program(t, "curl")
	_, secure := overTLS(t, true)
	_, upgraded := overTLS(t, false)
	for url, want := range map[string]string{
		"pop3s://" + secure + "/1":  messages[0],
		"pop3://" + upgraded + "/1": messages[0],
		"pop3://" + upgraded + "/2": messages[1] + "\r\n",
		"pop3://" + upgraded + "/3": messages[2],
		"pop3s://" + secure + "/":   "1 63\r\n2 30\r\n3 33\r\n",
	} {
		if got := run(t, curl, "-sS", "-k", "--ssl-reqd", "-u", "ann@north.test:correct horse", url); got != want {
			t.Errorf("curl %s: %q, want %q", url, got, want)
		}
	}
}

func TestFetchmail(t *testing.T) {
	fetchmail := program(t, "fetchmail")
	f, address := overTLS(t, false)
	_, port, _ := net.SplitHostPort(address)
	dir := t.TempDir()
	rc, mailbox := filepath.Join(dir, "rc"), filepath.Join(dir, "mailbox")
	config := `poll 127.0.0.1 protocol pop3 service ` + port + ` user "ann@north.test" password "correct horse"
sslproto "TLS1.2+" no sslcertck mda "cat >> ` + mailbox + `"`
	if err := os.WriteFile(rc, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out := run(t, fetchmail, "-f", rc, "--nosyslog", "--nodetach", "--uidl", "-v")
	got, err := os.ReadFile(mailbox)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"line one\n.dot\n.\nlast\n", "Subject: two\n", "bare\nline end\n"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("fetchmail wrote %q, which lacks %q\n%s", got, want, out)
		}
	}
	if view, err := f.inbox.View(t.Context(), store.Inbox); err != nil || view.Len() != 0 {
		t.Errorf("%d messages are left, %v; want none\n%s", view.Len(), err, out)
	}
}
