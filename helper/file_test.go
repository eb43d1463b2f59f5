package helper

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"posthaste/mail"
	"posthaste/mailfile"
)

const letter = "Subject: x\r\nStatus: RO\r\n\r\nFrom here\r\n>From there\r\n"

// received is when the messages of the tests came.
var received = time.Unix(1700000000, 0)

func writeJob(path string) Job {
	return Job{File: path, Sender: "ann@example.org", ID: "id " + path, Received: received, Content: strings.NewReader(letter)}
}

func messagesIn(t *testing.T, path string) (texts []string) {
	t.Helper()
	messages, _, err := mailfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range messages {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(m.Content))
	}
	return texts
}

func TestAnMboxGetsTheMessageBehindWhatIsThere(t *testing.T) {
	h := start(t, Config{Files: []string{"/tmp/**"}})
	for name, before := range map[string]string{
		"no file":             "",
		"an empty line":       "From a Mon Jan  2 15:04:05 2006\n\none\n\n",
		"no empty line":       "From a Mon Jan  2 15:04:05 2006\n\none\n",
		"half a line written": "From a Mon Jan  2 15:04:05 2006\n\none",
	} {
		path := filepath.Join(folder(t), "box")
		if before != "" {
			give(t, path, before)
		}
		run(t, h, writeJob(path))
		got := messagesIn(t, path)
		if want := "Subject: x\r\n\r\nFrom here\r\n>From there\r\n"; len(got) == 0 || got[len(got)-1] != want || before != "" && len(got) != 2 {
			t.Errorf("%s: %q", name, got)
		}
		text, _ := os.ReadFile(path)
		if !bytes.Contains(text, []byte("From ann@example.org Tue Nov 14 22:13:20 2023\n")) || !bytes.Contains(text, []byte("\n>From here\n>>From there\n\n")) {
			t.Errorf("%s: %q", name, text)
		}
		if _, err := os.Lstat(path + ".lock"); err == nil {
			t.Errorf("%s: the lock file stays", name)
		}
		if info, _ := os.Stat(path); before == "" && info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
	}
}

// give makes a file that belongs to the user of jobs.
func give(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if isRoot() {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMaildirGetsADeliveryOnce(t *testing.T) {
	h := start(t, Config{Files: []string{"/tmp/**"}})
	path := filepath.Join(folder(t), "deep", "Maildir") + "/"
	for range 2 {
		run(t, h, writeJob(path))
	}
	names, err := os.ReadDir(path + "new")
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	name := names[0].Name()
	if err := os.Rename(path+"new/"+name, path+"cur/"+name+":2,S"); err != nil {
		t.Fatal(err)
	}
	run(t, h, writeJob(path))
	other := writeJob(path)
	other.ID = "another"
	run(t, h, other)
	if got := messagesIn(t, path); len(got) != 2 || got[0] != letter {
		t.Errorf("%q", got)
	}
	left, err := os.ReadDir(path + "tmp")
	if info, _ := os.Stat(path + "new"); err != nil || len(left) != 0 || info.Mode().Perm() != 0o700 {
		t.Errorf("tmp holds %v, %v", left, err)
	}
}

func TestLinksAndSpecialFilesAreRefused(t *testing.T) {
	dir, secret := folder(t), folder(t)
	h := start(t, Config{Files: []string{dir + "/**"}})
	give(t, secret+"/file", "From secret\n\n")
	mkfifo := func(path string) error { return syscall.Mkfifo(path, 0o666) }
	for name, make := range map[string]func(string) error{
		"a symbolic link":    func(p string) error { return os.Symlink(secret+"/file", p) },
		"a link to nowhere":  func(p string) error { return os.Symlink(secret+"/new", p) },
		"a second name":      func(p string) error { return os.Link(secret+"/file", p) },
		"a FIFO":             mkfifo,
		"a folder":           func(p string) error { return os.Mkdir(p, 0o777) },
		"a folder elsewhere": func(p string) error { os.Symlink(secret, p); return nil },
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := make(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "a folder elsewhere" {
			path += "/file"
		}
		if _, err := h.Run(t.Context(), writeJob(path)); err == nil || mail.StatusOf(err).Permanent() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, _ := os.ReadFile(secret + "/file"); string(text) != "From secret\n\n" {
		t.Errorf("the file elsewhere is %q", text)
	}
	if _, err := os.Lstat(secret + "/new"); err == nil {
		t.Error("a file was made at the end of a link")
	}
}

func TestAFailedWriteIsTakenBack(t *testing.T) {
	h := start(t, Config{Files: []string{"/tmp/**"}, Limits: Limits{FileSize: 100}})
	path := filepath.Join(folder(t), "box")
	const before = "From a Mon Jan  2 15:04:05 2006\n\none\n\n"
	give(t, path, before)
	_, err := h.Run(t.Context(), writeJob(path))
	if s := mail.StatusOf(err); s.Enhanced != "4.2.2" {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != before {
		t.Errorf("the mbox now holds %q", text)
	}
}

func TestALockedMboxIsWaitedFor(t *testing.T) {
	h := start(t, Config{Files: []string{"/tmp/**"}})
	path := filepath.Join(folder(t), "box")
	give(t, path, "")
	give(t, path+".lock", "1\n")
	job := writeJob(path)
	job.Timeout = 200 * time.Millisecond
	if _, err := h.Run(t.Context(), job); mail.StatusOf(err).Text != "the mailbox is in use by another program" {
		t.Errorf("got %v", err)
	}
	old := time.Now().Add(-staleAfter - time.Minute)
	if err := os.Chtimes(path+".lock", old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Run(t.Context(), writeJob(path)); err != nil {
		t.Errorf("a lock that was forgotten: %v", err)
	}
}

// foreign appends to an mbox as other programs do: Python's mailbox takes both locks.
const foreign = `
import mailbox, sys, time
for i in range(10):
    box = mailbox.mbox(sys.argv[1])
    while True:
        try:
            box.lock()
            break
        except mailbox.ExternalClashError:
            time.sleep(0.01)
    box.add("Subject: foreign\n\nFrom python\n")
    box.flush()
    box.unlock()
    box.close()
`

func TestWritersOfAnMboxDoNotDisturbEachOther(t *testing.T) {
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		t.Skip("no python3 for the other writer")
	}
	a, b := start(t, Config{Files: []string{"/tmp/**"}}), start(t, Config{Files: []string{"/tmp/**"}})
	path := filepath.Join(folder(t), "box")
	give(t, path, "")
	done := make(chan error)
	const each = 10
	for _, h := range []*Helper{a, b} {
		go func() {
			for i := range each {
				job := writeJob(path)
				job.ID = fmt.Sprint(i)
				if _, err := h.Run(context.Background(), job); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	go func() {
		cmd := exec.Command(python, "-c", foreign, path)
		if isRoot() {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("python: %w\n%s", err, out)
		}
		done <- err
	}()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := messagesIn(t, path); len(got) != 3*each {
		t.Errorf("%d messages, want %d", len(got), 3*each)
	}
}

func TestTheMailSpoolTakesOnlyOwnMailboxes(t *testing.T) {
	if !isRoot() {
		t.Skip("the spool belongs to root")
	}
	spool := t.TempDir()
	for dir := spool; dir != "/tmp"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	if err := os.Chown(spool, 0, 8); err != nil { // mail
		t.Fatal(err)
	}
	os.Chmod(spool, 0o775|os.ModeSetgid)
	h := start(t, Config{Files: []string{spool + "/*"}, SpoolDirs: []string{spool}})
	run(t, h, writeJob(spool+"/nobody"))
	info, err := os.Stat(spool + "/nobody")
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 65534 || st.Gid != 8 || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
	os.WriteFile(spool+"/daemon", nil, 0o660)
	os.Chown(spool+"/daemon", 1, 8)
	os.Chmod(spool+"/daemon", 0o660)
	if _, err := h.Run(t.Context(), writeJob(spool+"/daemon")); err == nil || !strings.Contains(mail.StatusOf(err).Text, "belongs to") {
		t.Errorf("somebody else's mailbox: %v", err)
	}
}

func TestFilePatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, file string
		want          bool
	}{
		{"/var/mail/*", "/var/mail/ann", true},
		{"/var/mail/*", "/var/mail/a/b", false},
		{"/srv/**", "/srv/a/b", true},
		{"/srv/**", "/srv", false},
		{"/srv/*/x/**", "/srv/a/x/y", true},
		{"/srv/*/x/**", "/srv/a/z/y", false},
		{"~/Maildir", "/home/ann/Maildir", true},
		{"~/Maildir", "/home/bob/Maildir", false},
		{"~/**", "/home/ann/m/n", true},
	} {
		if got := allowsFile([]string{c.pattern}, c.file, "/home/ann"); got != c.want {
			t.Errorf("%s, %s: %v", c.pattern, c.file, got)
		}
	}
}

func FuzzCopyLF(f *testing.F) {
	f.Add([]byte("a\r\nb\r\r\n\r"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := sealedContent(bytes.NewReader(text), false)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		got := new(bytes.Buffer)
		got.ReadFrom(file)
		if want := bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")); !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	})
}
