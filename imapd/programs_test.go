package imapd

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program returns the command of a program nobody here wrote, or skips the test.
func program(t *testing.T, name, debianPackage string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: %s is missing, so it was not tried: apt-get install %s", name, debianPackage)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, args...)
}

func TestCurl(t *testing.T) {
	config, _ := testTLS(t)
	site := newSite(t, func(c *Config) { c.TLS, c.PlaintextAuth = config, false })
	site.deliver(t, "Subject: for curl\r\n\r\nhello\r\n")
	out, err := program(t, "curl", "curl", "-sS", "--ssl-reqd", "--insecure", "-u", testLogin+":"+testPassword,
		"imap://"+site.listen(t)+"/INBOX;MAILINDEX=1").CombinedOutput()
	if err != nil || string(out) != "Subject: for curl\r\n\r\nhello\r\n" {
		t.Errorf("%v: %q", err, out)
	}
}

// TestMbsync mirrors a mailbox with isync in both directions: new mail, flags and deletions.
func TestMbsync(t *testing.T) {
	site := newSite(t, nil)
	for i := range 50 {
		site.deliver(t, fmt.Sprintf("Subject: %d\r\nMessage-ID: <%d@south.test>\r\n\r\nhello\r\n", i, i))
	}
	host, port, err := net.SplitHostPort(site.listen(t))
	must(t, err)
	dir := t.TempDir()
	rc := filepath.Join(dir, "rc")
	must(t, os.WriteFile(rc, fmt.Appendf(nil, `IMAPAccount a
Host %s
Port %s
User %s
Pass "%s"
SSLType None
AuthMechs LOGIN

IMAPStore far
Account a

MaildirStore near
Path %s/mail/
Inbox %s/mail/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
`, host, port, testLogin, testPassword, dir, dir), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "mail"), 0o700))
	sync := func() []string {
		t.Helper()
		if out, err := program(t, "mbsync", "isync", "-c", rc, "-a").CombinedOutput(); err != nil {
			t.Fatalf("mbsync: %v\n%s", err, out)
		}
		files, err := filepath.Glob(filepath.Join(dir, "mail/INBOX/*/*,U=*"))
		must(t, err)
		return files
	}
	files := sync()
	if len(files) != 50 {
		t.Fatalf("%d messages came", len(files))
	}
	// Near: one is deleted, one new. Far: one is flagged.
	for _, file := range files {
		if strings.Contains(file, ",U=7:") {
			must(t, os.Remove(file))
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "mail/INBOX/new/1.1.x"), []byte("Subject: from near\n\nhi\n"), 0o600))
	p := site.login(t)
	p.ask(t, "a UID STORE 9 +FLAGS.SILENT (\\Flagged)", "a OK")
	files = sync()
	if len(files) != 50 {
		t.Errorf("%d messages near after changes", len(files))
	}
	got := p.ask(t, "b UID SEARCH RETURN (COUNT ALL) NOT UID 9", "b OK")
	if !strings.Contains(got, " UID ALL 1:6,8,10:51 COUNT 49\r\n") {
		t.Errorf("far: %s", got)
	}
	flagged, err := filepath.Glob(filepath.Join(dir, "mail/INBOX/*/*,U=9:2,*F*"))
	if must(t, err); len(flagged) != 1 {
		t.Errorf("the flag did not come: %v", flagged)
	}
}
