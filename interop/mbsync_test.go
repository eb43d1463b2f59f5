package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// A mirror is a Maildir++ tree that mbsync keeps equal to ann's account.
type mirror struct {
	site        *site
	rc, maildir string
}

func newMirror(t *testing.T, w *site) mirror {
	dir := t.TempDir()
	m := mirror{site: w, rc: filepath.Join(dir, "mbsyncrc"), maildir: filepath.Join(dir, "mail") + "/"}
	must(t, os.Mkdir(m.maildir, 0o700))
	writeFile(t, filepath.Join(dir, "secret"), password)
	writeFile(t, m.rc, fmt.Sprintf(`FSync no

IMAPAccount north
Host localhost
Port %s
User %s
PassCmd "cat %s/secret"
SSLType IMAPS
CertificateFile %s

IMAPStore remote
Account north

MaildirStore local
SubFolders Verbatim
Path %[5]s
Inbox %[5]sINBOX

Channel all
Far :remote:
Near :local:
Patterns *
Create Both
Remove Both
Expunge Both
CopyArrivalDate yes
SyncState *
`, w.port("imaps"), ann, dir, w.caFile, m.maildir))
	return m
}

func (m mirror) sync(t *testing.T) {
	t.Helper()
	run(t, program(t, "mbsync"), "-c", m.rc, "all")
}

// files returns the file of each message of a folder by its subject.
func (m mirror) files(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, sub := range []string{"new", "cur"} {
		files, err := filepath.Glob(filepath.Join(m.maildir, folder, sub, "*"))
		must(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			must(t, err)
			found[subject(string(text))] = file
		}
	}
	return found
}

func subject(content string) string {
	_, rest, _ := strings.Cut(content, "Subject: ")
	text, _, _ := strings.Cut(rest, "\n")
	return strings.TrimRight(text, "\r")
}

// bySubject returns the messages of a mailbox by subject.
func (w *site) bySubject(t *testing.T, user, mailbox string) map[string]message {
	t.Helper()
	found := map[string]message{}
	for _, m := range w.mailbox(t, user, mailbox) {
		found[subject(m.content)] = m
	}
	return found
}

func keys[V any](m map[string]V) string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestMbsyncMirrors(t *testing.T) {
	program(t, "mbsync")
	w := newSite(t, settings{})
	m := newMirror(t, w)
	for _, letter := range letters {
		w.put(t, ann, letter)
	}
	c := w.imap(t, ann, nil)
	must(t, c.Create("Projekte/Grün", nil).Wait())
	appendTo(t, c, "Projekte/Grün", "Subject: deep\r\n\r\ndeep\r\n", imap.FlagSeen, imap.FlagFlagged)

	m.sync(t)
	files := m.files(t, "INBOX")
	if got := keys(files); got != "one three two" {
		t.Fatalf("INBOX was mirrored as %q", got)
	}
	for _, letter := range letters {
		text, err := os.ReadFile(files[subject(letter)])
		must(t, err)
		// mbsync adds a header field of its own.
		if !strings.HasSuffix(strings.ReplaceAll(letter, "\r\n", "\n"), "\n\n"+body(string(text))) {
			t.Errorf("%q arrived as %.200q", subject(letter), text)
		}
	}
	if deep := m.files(t, "Projekte/Gr&APw-n")["deep"]; !strings.HasSuffix(deep, ":2,FS") {
		t.Errorf("deep lies in %q", deep)
	}

	// Changes on both sides at once.
	must(t, os.Rename(files["one"], maildirName(m.maildir, "INBOX", files["one"], "RS")))
	must(t, os.Remove(files["two"]))
	writeFile(t, filepath.Join(m.maildir, "INBOX/new/1.local.host"), "Subject: local\nFrom: ann@north.test\n\nwritten here\n")
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	must(t, c.Store(imap.UIDSetNum(w.bySubject(t, ann, "INBOX")["three"].uid), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close())
	appendTo(t, c, "INBOX", "Subject: remote\r\n\r\nwritten there\r\n")
	m.sync(t)

	remote := w.bySubject(t, ann, "INBOX")
	if got := keys(remote); got != "local one remote three" {
		t.Errorf("the server holds %q", got)
	}
	if !remote["one"].has(`\Answered`, `\Seen`) || !remote["three"].has(`\Flagged`) || !remote["local"].has() {
		t.Errorf("flags on the server: one %v, three %v, local %v", remote["one"].flags, remote["three"].flags, remote["local"].flags)
	}
	if !strings.HasSuffix(remote["local"].content, "\r\n\r\nwritten here\r\n") {
		t.Errorf("local is %q", remote["local"].content)
	}
	files = m.files(t, "INBOX")
	if got := keys(files); got != "local one remote three" || !strings.HasSuffix(files["three"], ":2,F") {
		t.Errorf("the mirror holds %q, three as %q", got, files["three"])
	}

	// Deletion on the server, and a new folder here.
	must(t, c.Store(imap.UIDSetNum(remote["one"].uid), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	must(t, c.Expunge().Close())
	for _, sub := range []string{"cur", "new", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(m.maildir, "Neu", sub), 0o700))
	}
	writeFile(t, filepath.Join(m.maildir, "Neu/cur/2.local.host:2,S"), "Subject: moved\n\nmoved\n")
	m.sync(t)
	if got := keys(m.files(t, "INBOX")); got != "local remote three" {
		t.Errorf("after an expunge on the server the mirror holds %q", got)
	}
	if moved := w.bySubject(t, ann, "Neu")["moved"]; !moved.has(`\Seen`) {
		t.Errorf("moved has flags %v", moved.flags)
	}
	before := w.mailbox(t, ann, "INBOX")
	m.sync(t)
	if after := w.mailbox(t, ann, "INBOX"); len(after) != len(before) || after[len(after)-1].uid != before[len(before)-1].uid {
		t.Errorf("a sync without news changed %v to %v", before, after)
	}
}

func body(content string) string {
	_, b, _ := strings.Cut(content, "\n\n")
	return b
}

// maildirName returns the name of a file in cur with these flags.
func maildirName(maildir, folder, file, flags string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ":")
	return filepath.Join(maildir, folder, "cur", name+":2,"+flags)
}
