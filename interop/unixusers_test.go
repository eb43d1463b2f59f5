package interop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The users of a machine. The node runs as the first, the others get mail.
const (
	nodeUID = 54001 + iota
	kateUID
	leoUID
	miaUID

	wwwUID = 33 // Debian's www-data
)

var machineUsers = []struct {
	name string
	uid  int
}{{"posthaste-test", nodeUID}, {"kate", kateUID}, {"leo", leoUID}, {"mia", miaUID}}

// A machine is a site with users of its own in /etc/passwd and mailboxes in /var/mail, seen by those
// alone who live in its mount namespace.
type machine struct {
	*site
	root string // folder of homes, programs and mailboxes, that all may enter
	bin  string // has sendmail, mailq and newaliases
}

// newMachine prepares a machine. The node is not started.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can make users and become them")
	}
	for _, needed := range []string{"unshare", "nsenter", "setpriv", "mount"} {
		program(t, needed)
	}
	root, err := os.MkdirTemp("/tmp", "posthaste-machine-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	m := &machine{root: root, bin: filepath.Join(root, "bin")}
	must(t, os.Chmod(root, 0o755))
	m.furnish(t)
	within := m.isolate(t)
	m.site = prepareSite(t, settings{extra: fmt.Sprintf(`
[helper]
commands = ["%[1]s/bin/ticket"]
paths = ["~/**", "%[1]s/archive/*"]
[alias]
files = ["%[1]s/etc/aliases"]
[unix]
users = ["kate", "leo", "mia"]
mailbox = "/var/mail/{user}"
[drop]
enabled = true
directory = "%[1]s/spool/drop"
`, root)})
	m.within = within
	must(t, os.Chmod(filepath.Dir(m.dir), 0o755))
	m.configure(t, "hostname =", "user = \"posthaste-test\"\nhostname =")
	return m
}

// configure replaces text of the configuration.
func (m *machine) configure(t *testing.T, before, after string) {
	t.Helper()
	text, err := os.ReadFile(m.config)
	must(t, err)
	if !strings.Contains(string(text), before) {
		t.Fatalf("%q is not in the configuration", before)
	}
	writeFile(t, m.config, strings.Replace(string(text), before, after, 1))
}

// furnish makes folders, users, programs and aliases.
func (m *machine) furnish(t *testing.T) {
	passwd, err := os.ReadFile("/etc/passwd")
	must(t, err)
	group, err := os.ReadFile("/etc/group")
	must(t, err)
	for _, dir := range []string{"bin", "etc", "home", "mail", "archive", "tickets", "spool"} {
		must(t, os.Mkdir(m.path(dir), 0o755))
	}
	for _, u := range machineUsers {
		home := m.path("home", u.name)
		must(t, os.Mkdir(home, 0o700))
		must(t, os.Chown(home, u.uid, u.uid))
		passwd = fmt.Appendf(passwd, "%s:x:%d:%d:%s Example,Room 7,,:%s:/bin/sh\n", u.name, u.uid, u.uid, strings.ToUpper(u.name[:1])+u.name[1:], home)
		group = fmt.Appendf(group, "%s:x:%d:\n", u.name, u.uid)
	}
	const nobody, mailGroup = 65534, 8
	must(t, os.Chown(m.path("mail"), 0, mailGroup))
	must(t, os.Chmod(m.path("mail"), 0o775|os.ModeSetgid))
	must(t, os.Chown(m.path("archive"), nobody, nobody))
	must(t, os.Chown(m.path("tickets"), nobody, nobody))
	for _, name := range []string{"sendmail", "mailq", "newaliases"} {
		must(t, copyFile(binary, filepath.Join(m.bin, name)))
	}
	m.write(t, "etc/passwd", string(passwd), 0, 0o644)
	m.write(t, "etc/group", string(group), 0, 0o644)
	m.write(t, "bin/ticket", "#!/bin/sh\n{ echo \"as $(id -un) from $SENDER to $RECIPIENT with $*\"; cat; } >> "+m.path("tickets", "log")+"\n", 0, 0o755)
	m.write(t, "etc/team", "# the team\nleo\n mia, leo\n", 0, 0o644)
	m.write(t, "etc/aliases", fmt.Sprintf(`postmaster: root
root:    kate
tickets: "|%[1]s/bin/ticket --queue general"
unlisted: "|/usr/bin/id"
archive: %[1]s/archive/box
team:    :include:%[1]s/etc/team
owner-team: kate
left:    :fail: 5.1.6 left us in May
trash:   /dev/null
`, m.root), 0, 0o644)
}

func (m *machine) path(parts ...string) string {
	return filepath.Join(append([]string{m.root}, parts...)...)
}

// write makes a file below the root of m.
func (m *machine) write(t *testing.T, name, text string, uid int, mode os.FileMode) {
	t.Helper()
	path := m.path(name)
	must(t, errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode), os.Chown(path, uid, uid)))
}

// copyFile gives a file a second name, or copies it.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// isolate makes a mount namespace with the files of m in their places. It returns the command that runs
// another there.
func (m *machine) isolate(t *testing.T) []string {
	t.Helper()
	script := "mount --bind $0/etc/passwd /etc/passwd && mount --bind $0/etc/group /etc/group && mount --bind $0/mail /var/mail && echo there && exec cat"
	holder := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, m.root)
	in, err := holder.StdinPipe()
	must(t, err)
	out, err := holder.StdoutPipe()
	must(t, err)
	must(t, holder.Start())
	t.Cleanup(func() { in.Close(); holder.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "there\n" {
		t.Skip("SKIPPED: no mount namespace can be made here")
	}
	return []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", holder.Process.Pid), "--"}
}

// as runs a program of the machine as a user, in a shell's words.
func (m *machine) as(t *testing.T, uid int, stdin, line string) (string, int) {
	t.Helper()
	id := fmt.Sprint(uid)
	args := slices.Concat(m.within, []string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--", "sh", "-c", line})
	return command{args: args, stdin: stdin, env: []string{
		"PATH=" + m.bin + ":/usr/bin:/bin", "POSTHASTE_DROP=" + m.path("spool", "drop"), "HOME=/", "MAILRC=/dev/null"}}.run(t)
}

// send is as for a program that must succeed and say nothing.
func (m *machine) send(t *testing.T, uid int, stdin, line string) {
	t.Helper()
	if out, status := m.as(t, uid, stdin, line); status != 0 || out != "" {
		t.Errorf("%s, as %d: status %d, says %q", line, uid, status, out)
	}
}

// A foundMessage is one that Python's mailbox module found.
type foundMessage struct {
	Path, Separator, Body string
	Header                map[string]string
}

// read returns the messages of mailboxes by subject. A subject that stands twice is an error.
func (m *machine) read(t *testing.T, paths ...string) map[string]foundMessage {
	t.Helper()
	found := map[string]foundMessage{}
	paths = slices.DeleteFunc(paths, func(p string) bool { _, err := os.Stat(p); return err != nil })
	for line := range strings.Lines(run(t, append([]string{program(t, "python3"), "testdata/mailboxes.py"}, paths...)...)) {
		var one foundMessage
		must(t, json.Unmarshal([]byte(line), &one))
		subject := one.Header["Subject"]
		if _, twice := found[subject]; twice {
			t.Errorf("%q is in %s twice", subject, one.Path)
		}
		found[subject] = one
	}
	return found
}

// idle waits until nothing is left to be picked up or delivered.
func (m *machine) idle(t *testing.T) {
	t.Helper()
	eventually(t, "drop and queue are empty", func() bool {
		left, err := filepath.Glob(m.path("spool", "drop", "new.*"))
		must(t, err)
		return len(left) == 0 && m.cli(t, "queue", "list", "--json") == ""
	})
}

// owned checks owner and mode of a file.
func owned(t *testing.T, path string, uid int, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != uid || info.Mode().Perm() != mode {
		t.Errorf("%s belongs to %d with mode %o; want %d, %o", path, st.Uid, info.Mode().Perm(), uid, mode)
	}
}

func TestUnixUsers(t *testing.T) {
	m := newMachine(t)
	m.write(t, "home/leo/.forward", m.path("home", "leo", "Maildir")+"/\n", leoUID, 0o600)
	m.write(t, "home/mia/.forward", "\\mia, kate\n", miaUID, 0o600)
	m.start(t)
	if strings.Contains(m.log.String(), "Landlock") {
		t.Errorf("the kernel does not confine the node:\n%s", m.log)
	}
	kate, leo, mia := m.path("mail", "kate"), m.path("home", "leo", "Maildir"), m.path("mail", "mia")

	t.Run("as cron, PHP and mail programs call it", func(t *testing.T) {
		m.send(t, 0, "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@mx> true\nContent-Type: text/plain; charset=UTF-8\nAuto-Submitted: auto-generated\n\nout\n",
			"sendmail -FCronDaemon -i -B8BITMIME -oem root")
		m.send(t, wwwUID, "To: kate@north.test\nSubject: from PHP\nFrom: Shop <shop@else.test>\n\n.\nbody\n", "sendmail -t -i -fshop@else.test")
		m.send(t, miaUID, "Subject: plain\n\nhello\n", "sendmail leo")
		m.send(t, kateUID, "hello\nFrom here on\n", "s-nail -S mta="+filepath.Join(m.bin, "sendmail")+" -s 'by s-nail' mia")
		out, status := m.as(t, miaUID, "EHLO here\r\nMAIL FROM:<mia>\r\nRCPT TO:<leo>\r\nDATA\r\nSubject: by SMTP\r\n\r\nx\r\n.\r\nQUIT\r\n", "sendmail -bs")
		if status != 0 || strings.Count(out, "\n250 2.") != 3 {
			t.Errorf("sendmail -bs: status %d, %q", status, out)
		}
		m.idle(t)
		got := m.read(t, kate)
		contains(t, "cron's mail", fmt.Sprint(got["Cron <root@mx> true"]), "Return-Path:<root@north.test>", "From:Cron Daemon <root@north.test>", "out\n")
		contains(t, "PHP's mail", fmt.Sprint(got["from PHP"]), "Return-Path:<www-data@north.test>", "Sender:www-data@north.test", "From:Shop <shop@else.test>", ".\nbody\n")
		contains(t, "the copy of a forward", fmt.Sprint(got["by s-nail"]), "From:Kate Example <kate@north.test>", "Delivered-To:", "From here on\n")
		contains(t, "what a forward keeps", fmt.Sprint(m.read(t, mia)["by s-nail"]), " kate@north.test ", "From here on\n")
		contains(t, "a forward to a Maildir", fmt.Sprint(m.read(t, leo)), "Subject:plain", "Subject:by SMTP", "From:Mia Example <mia@north.test>")
		owned(t, kate, kateUID, 0o600)
		owned(t, mia, miaUID, 0o600)
		owned(t, leo, leoUID, 0o700)
		files, err := filepath.Glob(filepath.Join(leo, "new", "*"))
		must(t, err)
		for _, f := range files {
			owned(t, f, leoUID, 0o600)
		}
	})

	t.Run("and what aliases lead to", func(t *testing.T) {
		for _, to := range []string{"tickets", "archive", "team", "left", "trash", "nobody-there"} {
			m.send(t, miaUID, "Subject: to "+to+"\n\nx\n", "sendmail "+to)
		}
		m.idle(t)
		log, err := os.ReadFile(m.path("tickets", "log"))
		must(t, err)
		contains(t, "the program's log", string(log), "as nobody from mia@north.test to tickets@north.test with --queue general\n", "Subject: to tickets\n")
		if _, ok := m.read(t, m.path("archive", "box"))["to archive"]; !ok {
			t.Error("the archive lacks its message")
		}
		contains(t, "leo's copy", fmt.Sprint(m.read(t, leo)["to team"]), "Return-Path:<owner-team@north.test>")
		reports := m.read(t, mia)
		contains(t, "mia's mailbox", fmt.Sprint(reports), "left us in May", "5.1.6", "nobody-there@north.test", "5.1.1", "Subject:to team")
		if _, ok := reports["to trash"]; ok {
			t.Error("what is thrown away came back")
		}
	})

	t.Run("and leave a program waiting that is not listed", func(t *testing.T) {
		m.send(t, miaUID, "Subject: x\n\nx\n", "sendmail unlisted")
		eventually(t, "it waits", func() bool {
			return strings.Contains(m.cli(t, "queue", "list"), "does not allow that delivery")
		})
		contains(t, "the log", m.log.String(), `the program "/usr/bin/id" is not listed`)
		m.cli(t, "queue", "delete", "--recipient", "unlisted@north.test")
	})

	t.Run("and come back where nobody will take them", func(t *testing.T) {
		m.send(t, kateUID, strings.Repeat("Received: from a by b\n", 60)+"Subject: round\n\nx\n", "sendmail mia")
		m.idle(t)
		contains(t, "kate's mailbox", fmt.Sprint(m.read(t, kate)["Not delivered: round"]), "Return-Path:<>", "5.4.6", "mia@north.test")
	})

	t.Run("and is not followed where others may write to it", func(t *testing.T) {
		m.write(t, "home/leo/.forward", "kate\n", leoUID, 0o620)
		m.send(t, kateUID, "Subject: unsafe\n\nx\n", "sendmail leo")
		m.idle(t)
		if _, ok := m.read(t, m.path("mail", "leo"))["unsafe"]; !ok {
			t.Error("it is not in leo's mailbox")
		}
		contains(t, "the log", m.log.String(), "a forward is not followed", "chmod go-w")
		must(t, os.Remove(m.path("home", "leo", ".forward")))
	})

	t.Run("while the node is down, once each", func(t *testing.T) {
		must(t, m.end())
		for _, u := range machineUsers[1:] {
			m.send(t, u.uid, "Subject: down "+u.name+"\n\nx\n", "sendmail kate leo")
		}
		m.configure(t, `mailbox = "/var/mail/{user}"`, `mailbox = "~/Maildir/"`)
		must(t, m.run())
		m.idle(t)
		for _, box := range []string{m.path("home", "kate", "Maildir"), leo} {
			got := m.read(t, box)
			for _, u := range machineUsers[1:] {
				if _, ok := got["down "+u.name]; !ok {
					t.Errorf("%s lacks what %s sent while the node was down", box, u.name)
				}
			}
			owned(t, box, map[bool]int{true: leoUID, false: kateUID}[box == leo], 0o700)
		}
	})

	t.Run("and a process without rights does all that", func(t *testing.T) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.process.Process.Pid))
		must(t, err)
		contains(t, "the process", string(status), fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", nodeUID), "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n")
	})
}

// Whoever is not root serves who they are, runs programs as that, and keeps the mail of others.
func TestUnixUsersOfAnOrdinaryUser(t *testing.T) {
	m := newMachine(t)
	m.configure(t, "user = \"posthaste-test\"\n", "")
	m.configure(t, `mailbox = "/var/mail/{user}"`, `mailbox = "~/Maildir/"`)
	for _, path := range []string{m.dir, m.path("spool"), m.path("tickets")} {
		run(t, "chown", "-R", fmt.Sprint(kateUID), path)
	}
	id := fmt.Sprint(kateUID)
	m.within = append(m.within, "setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--")
	m.start(t)
	contains(t, "the log", m.log.String(), "not started as root: of unix.users only the one who runs this gets mail")
	shell := machine{site: &site{within: m.within[:3]}, root: m.root, bin: m.bin}
	for _, to := range []string{"kate", "leo", "tickets"} {
		shell.send(t, miaUID, "Subject: to "+to+"\n\nx\n", "sendmail "+to)
	}
	eventually(t, "all but leo's mail is delivered", func() bool {
		list := m.cli(t, "queue", "list", "--json")
		return strings.Count(list, "\n") == 1 && strings.Contains(list, "leo@north.test") && strings.Contains(list, ".forward cannot be read")
	})
	if _, ok := m.read(t, m.path("home", "kate", "Maildir"))["to kate"]; !ok {
		t.Error("kate's Maildir lacks her message")
	}
	log, err := os.ReadFile(m.path("tickets", "log"))
	must(t, err)
	contains(t, "the program's log", string(log), "as kate from mia@north.test to tickets@north.test")
	must(t, os.Chmod(m.config, 0o644))
	for line, want := range map[string]string{
		"mailq":              "belongs to another user",
		"sendmail -bp":       "belongs to another user",
		"sendmail -q":        "belongs to another user",
		"sendmail bob@@else": `"bob@@else" is no address`,
	} {
		out, status := shell.as(t, miaUID, "x\n", "POSTHASTE_CONFIG="+m.config+" "+line)
		if status == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, %q", line, status, out)
		}
	}
}
