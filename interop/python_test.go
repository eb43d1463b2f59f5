package interop

import (
	"strings"
	"testing"
)

// Python's smtplib, imaplib and poplib run a session of their own and check what they get; here we
// look at what it left.
func TestPythonsLibraries(t *testing.T) {
	python := program(t, "python3")
	w := newSite(t, settings{})
	out := command{args: []string{python, "testdata/clients.py", "127.0.0.1"}, env: []string{
		"CA=" + w.caFile, "SUBMISSION=" + w.port("submission"), "SUBMISSIONS=" + w.port("submissions"), "LMTP=" + w.port("lmtp"),
		"IMAP=" + w.port("imap"), "IMAPS=" + w.port("imaps"), "POP3=" + w.port("pop3"), "POP3S=" + w.port("pop3s"), "PASSWORD=" + password,
	}}.succeed(t)
	if !strings.HasSuffix(out, "done\n") {
		t.Fatalf("clients.py says:\n%s", out)
	}
	inbox := w.bySubject(t, bob, "INBOX")
	if got := keys(inbox); got != "lmtp" {
		t.Errorf("INBOX holds %q", got)
	}
	archive := w.bySubject(t, bob, "Archive/2026")
	if got := keys(archive); got != "appended starttls" || !archive["starttls"].has(`\Answered`, `\Seen`, "$Work") || !archive["appended"].has(`\Flagged`) {
		t.Errorf("Archive/2026 holds %q: %v, %v", got, archive["starttls"].flags, archive["appended"].flags)
	}
	contains(t, "message", archive["appended"].content, "Subject: appended\r\n\r\nappended\r\n")
}
