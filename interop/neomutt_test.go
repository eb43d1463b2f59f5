package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A terminal is a tmux server of its own with one program in it.
type terminal struct {
	tmux, socket string
}

// openTerminal runs a shell command in a new tmux session, which ends with the test.
func openTerminal(t *testing.T, shell string) *terminal {
	t.Helper()
	term := &terminal{tmux: program(t, "tmux"), socket: filepath.Join(t.TempDir(), "tmux")}
	term.do(t, "-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", shell)
	t.Cleanup(func() { exec.Command(term.tmux, "-S", term.socket, "kill-server").Run() })
	return term
}

func (term *terminal) do(t *testing.T, args ...string) string {
	t.Helper()
	return command{args: append([]string{term.tmux, "-S", term.socket}, args...), env: []string{"TERM=screen-256color"}}.succeed(t)
}

// keys types keys, named as tmux names them.
func (term *terminal) keys(t *testing.T, keys ...string) {
	t.Helper()
	term.do(t, append([]string{"send-keys"}, keys...)...)
}

// shows waits until the screen shows a text.
func (term *terminal) shows(t *testing.T, text string) {
	t.Helper()
	var screen string
	defer func() {
		if t.Failed() {
			t.Logf("the screen, where %q was waited for:\n%s", text, screen)
		}
	}()
	eventually(t, fmt.Sprintf("the screen shows %q", text), func() bool {
		screen = term.do(t, "capture-pane", "-p")
		return strings.Contains(screen, text)
	})
}

func TestNeomuttReadsAndSends(t *testing.T) {
	neomutt := program(t, "neomutt")
	w := newSite(t, settings{})
	w.put(t, ann, "From: Bob <bob@north.test>\r\nTo: ann@north.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@north.test>\r\n"+
		"Date: Sun, 1 Mar 2026 10:00:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nein Apfel, zwei =C3=84pfel\r\n")
	w.put(t, ann, "From: Bob <bob@north.test>\r\nSubject: rubbish\r\nDate: Sun, 1 Mar 2026 11:00:00 +0000\r\n\r\nrubbish\r\n")
	home := t.TempDir()
	editor := writeFile(t, filepath.Join(home, "editor"), "#!/bin/sh\nprintf 'a dot:\\n.\\nund Äpfel\\n' >>\"$1\"\n")
	must(t, os.Chmod(editor, 0o700))
	rc := writeFile(t, filepath.Join(home, "muttrc"), fmt.Sprintf(`set folder = "imap://localhost:%s/"
set spool_file = "+INBOX"
set imap_user = "%[2]s"
set imap_pass = '%[3]s'
set smtp_url = "smtp://ann%%40north.test@localhost:%[4]s/"
set smtp_pass = '%[3]s'
set smtp_authenticators = "plain"
set ssl_starttls = yes
set ssl_force_tls = yes
set certificate_file = "%[5]s"
set ssl_ca_certificates_file = "%[5]s"
set from = "%[2]s"
set realname = "Ann"
set use_envelope_from = yes
set record = "+Sent"
set editor = "%[6]s"
set imap_idle = yes
set mail_check = 1
set timeout = 1
set sleep_time = 0
set edit_headers = no
set confirm_append = no
set delete = yes
set quit = yes
set fast_reply = yes
set include = yes
set charset = "utf-8"
set send_charset = "utf-8"
set mark_old = no
set index_format = "%%4C %%Z %%-20.20F %%s"
`, w.port("imap"), ann, password, w.port("submission"), w.caFile, editor))
	term := openTerminal(t, fmt.Sprintf("env LC_ALL=C.UTF-8 HOME=%s %s -n -F %s 2>%s/errors", home, neomutt, rc, home))

	term.shows(t, "Grüße")
	term.shows(t, "rubbish")
	term.keys(t, "1", "Enter", "Enter")
	term.shows(t, "zwei Äpfel")
	term.keys(t, "r") // reply; the editor adds its lines and ends
	term.shows(t, "y:Send")
	term.keys(t, "y")
	answer := w.arrived(t, bob, 1)[0]
	contains(t, "header of the reply", answer.header(), "From: Ann <ann@north.test>", "In-Reply-To: <1@north.test>", "Return-Path: <"+ann+">", "with ESMTPSA")
	contains(t, "body of the reply", answer.body(), "> ein Apfel, zwei Äpfel\r\n", "a dot:\r\n.\r\nund Äpfel\r\n")
	eventually(t, "the reply is in Sent", func() bool { return len(w.mailbox(t, ann, "Sent")) == 1 })
	if sent := w.mailbox(t, ann, "Sent")[0]; !sent.has(`\Seen`) || sent.body() != answer.body() {
		t.Errorf("Sent holds flags %v, body %q", sent.flags, sent.body())
	}

	// Mail that comes now shows by itself.
	w.submit(t, "From: ann@north.test\r\nSubject: breaking news\r\n\r\nnews\r\n", ann)
	term.keys(t, "i") // back to the index
	term.shows(t, "breaking news")
	term.keys(t, "2", "Enter", "d")
	term.keys(t, "3", "Enter", "F")
	term.keys(t, "q")
	eventually(t, "neomutt has written its changes", func() bool { return len(w.mailbox(t, ann, "INBOX")) == 2 })
	inbox := w.bySubject(t, ann, "INBOX")
	if !inbox["=?utf-8?q?Gr=C3=BC=C3=9Fe?="].has(`\Answered`, `\Seen`) || !inbox["breaking news"].has(`\Flagged`) {
		t.Errorf("INBOX holds %+v", inbox)
	}
}
