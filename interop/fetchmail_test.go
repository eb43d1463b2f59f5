package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// letters are three messages with what line protocols trip over.
var letters = []string{
	"From: bob@north.test\r\nSubject: one\r\n\r\n.dot\r\n..dots\r\n.\r\nend\r\n",
	"From: bob@north.test\r\nSubject: two\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nÄrger\r\n",
	"From: bob@north.test\r\nSubject: three\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 3000),
}

func TestFetchmailPulls(t *testing.T) {
	fetchmail := program(t, "fetchmail")
	w := newSite(t, settings{})
	for _, letter := range letters {
		w.put(t, ann, letter)
	}
	pull := func(t *testing.T, service, ssl, options string) (string, []string) {
		home := t.TempDir()
		// The MDA writes each message into a file of its own.
		mda := writeFile(t, filepath.Join(home, "mda"), "#!/bin/sh\ncat >\"$(mktemp "+home+"/mail.$(date +%s%N).XXXX)\"\n")
		must(t, os.Chmod(mda, 0o700))
		rc := writeFile(t, filepath.Join(home, "rc"), fmt.Sprintf(
			"poll localhost protocol pop3 uidl service %s auth password user %q password '%s' %s sslcertck sslcertfile %q sslcommonname localhost %s mda %q\n",
			w.port(service), ann, password, ssl, w.caFile, options, mda))
		out, status := command{args: []string{fetchmail, "-f", rc, "-v", "--nosyslog"}, env: []string{"FETCHMAILHOME=" + home}}.run(t)
		const noMail = 1
		if status != 0 && status != noMail {
			t.Fatalf("fetchmail: exit status %d\n%s", status, out)
		}
		files, err := filepath.Glob(filepath.Join(home, "mail.*"))
		must(t, err)
		var got []string
		for _, file := range files {
			text, err := os.ReadFile(file)
			must(t, err)
			got = append(got, string(text))
		}
		return out, got
	}
	check := func(t *testing.T, got []string) {
		t.Helper()
		if len(got) != len(letters) {
			t.Fatalf("fetchmail got %d messages, want %d", len(got), len(letters))
		}
		for i, letter := range letters {
			_, want, _ := strings.Cut(strings.ReplaceAll(letter, "\r\n", "\n"), "\n\n")
			_, body, _ := strings.Cut(got[i], "\n\n")
			if body != want {
				t.Errorf("message %d has body %.100q, want %.100q", i+1, body, want)
			}
		}
	}
	t.Run("over STLS, and keeps the mail", func(t *testing.T) {
		out, got := pull(t, "pop3", "sslproto TLS1.2+", "keep")
		contains(t, "talk", out, "POP3> STLS", "POP3> UIDL")
		check(t, got)
		for i, m := range w.mailbox(t, ann, "INBOX") {
			if m.content != letters[i] || !m.has() {
				t.Errorf("message %d of INBOX has flags %v, content %.100q", i+1, m.flags, m.content)
			}
		}
	})
	t.Run("over TLS from the start, and deletes the mail", func(t *testing.T) {
		out, got := pull(t, "pop3s", "ssl", "fetchall nokeep")
		contains(t, "talk", out, "POP3> DELE 3", "POP3> QUIT")
		check(t, got)
		if left := w.mailbox(t, ann, "INBOX"); len(left) != 0 {
			t.Errorf("%d messages are left", len(left))
		}
	})
}
