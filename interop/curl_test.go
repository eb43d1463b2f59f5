package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// curl runs curl as ann, with our authority trusted and TLS required.
func (w *site) curl(t *testing.T, args ...string) string {
	t.Helper()
	base := []string{program(t, "curl"), "-sS", "--ssl-reqd", "--cacert", w.caFile, "-u", ann + ":" + password}
	return run(t, append(base, args...)...)
}

func TestCurlReads(t *testing.T) {
	program(t, "curl")
	w := newSite(t, settings{})
	for _, letter := range letters {
		w.put(t, ann, letter)
	}
	w.put(t, ann, "Subject: seen\r\n\r\nseen\r\n", imap.FlagSeen)
	for _, base := range []string{w.url("imaps", "imaps"), w.url("imap", "imap")} {
		t.Run(base[:strings.Index(base, ":")], func(t *testing.T) {
			for i, letter := range letters {
				if got := w.curl(t, base+"INBOX;MAILINDEX="+string(rune('1'+i))); got != letter {
					t.Errorf("message %d: %.200q", i+1, got)
				}
			}
			if got := w.curl(t, base+"INBOX;UID=1;SECTION=HEADER.FIELDS%20(Subject)"); got != "Subject: one\r\n\r\n" {
				t.Errorf("one field: %q", got)
			}
			contains(t, "folders", w.curl(t, base), `"/" INBOX`, `\Sent`, `\Trash`)
			contains(t, "search", w.curl(t, base+"INBOX?SUBJECT%20seen"), "* SEARCH 4\r\n")
			contains(t, "status", w.curl(t, base, "-X", "STATUS INBOX (MESSAGES UIDNEXT)"), "MESSAGES 4", "UIDNEXT 5")
		})
	}
	for _, base := range []string{w.url("pop3s", "pop3s"), w.url("pop3", "pop3")} {
		t.Run(base[:strings.Index(base, ":")], func(t *testing.T) {
			for i, letter := range letters {
				if got := w.curl(t, base+string(rune('1'+i))); got != letter {
					t.Errorf("message %d: %.200q", i+1, got)
				}
			}
			if list := strings.Fields(w.curl(t, base)); len(list) != 8 || list[6] != "4" {
				t.Errorf("LIST: %q", list)
			}
			if got := w.curl(t, base, "-X", "TOP 1 1"); !strings.HasPrefix(got, "From: bob@north.test\r\nSubject: one\r\n\r\n") {
				t.Errorf("TOP: %q", got)
			}
		})
	}
	if flags := w.bySubject(t, ann, "INBOX")["three"].flags; len(flags) != 1 || flags[0] != `\Seen` {
		t.Errorf("what curl fetched by IMAP has flags %v", flags)
	}
}

func TestCurlWrites(t *testing.T) {
	program(t, "curl")
	w := newSite(t, settings{})
	const letter = "From: Ann <ann@north.test>\r\nTo: bob@north.test\r\nSubject: from curl\r\nDate: Sun, 1 Mar 2026 10:00:00 +0000\r\n" +
		"Message-ID: <1@curl.test>\r\n\r\n.dot\r\nend\r\n"
	file := writeFile(t, filepath.Join(t.TempDir(), "letter"), letter)
	for i, base := range []string{w.url("smtps", "submissions"), w.url("smtp", "submission")} {
		w.curl(t, base+"laptop.example", "--mail-from", ann, "--mail-rcpt", bob, "-T", file)
		if got := w.arrived(t, bob, i+1)[i].content; !strings.HasSuffix(got, letter[strings.Index(letter, "Subject"):]) {
			t.Errorf("%s: arrived as %q", base, got)
		}
	}
	w.curl(t, w.url("imaps", "imaps")+"Drafts", "-T", file)
	drafts := w.mailbox(t, ann, "Drafts")
	if len(drafts) != 1 || drafts[0].content != letter || !drafts[0].has(`\Seen`) {
		t.Errorf("APPEND left %+v", drafts)
	}
	w.curl(t, w.url("imaps", "imaps")+"Drafts", "-X", `STORE 1 +FLAGS (\Flagged $Label1)`)
	if got := w.mailbox(t, ann, "Drafts")[0]; !got.has(`\Seen`, `\Flagged`, "$Label1") {
		t.Errorf("STORE left flags %v", got.flags)
	}
	out, status := command{args: []string{program(t, "curl"), "-sS", "-v", "--ssl-reqd", w.url("imaps", "imaps")}}.run(t)
	if status == 0 || !strings.Contains(out, "certificate") {
		t.Errorf("without our authority curl exits with %d: %s", status, out)
	}
}

// RFC 6531: curl asks for SMTPUTF8 where an address has letters outside of ASCII.
func TestCurlSendsToAnInternationalAddress(t *testing.T) {
	program(t, "curl")
	w := newSite(t, settings{})
	w.cli(t, "alias", "add", "jürgen@"+domain, bob)
	file := writeFile(t, filepath.Join(t.TempDir(), "letter"), "From: ann@north.test\r\nTo: jürgen@north.test\r\nSubject: Grüße\r\n\r\nGrüße\r\n")
	out := w.curl(t, w.url("smtps", "submissions"), "-v", "--mail-from", ann, "--mail-rcpt", "jürgen@"+domain, "-T", file)
	contains(t, "talk", out, "SMTPUTF8\r\n")
	contains(t, "message", w.arrived(t, bob, 1)[0].content, "with UTF8SMTPSA", "To: jürgen@north.test\r\n", "Subject: Grüße\r\n", "\r\n\r\nGrüße\r\n")
}
