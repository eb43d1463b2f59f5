package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestMsmtpSubmits(t *testing.T) {
	msmtp := program(t, "msmtp")
	w := newSite(t, settings{})
	rc := func(t *testing.T, service, secret, extra string) string {
		return writeFile(t, filepath.Join(t.TempDir(), "msmtprc"), fmt.Sprintf(
			"account default\nhost localhost\nport %s\ntls on\ntls_trust_file %s\nauth plain\nuser %s\npassword %s\nfrom %s\n%s\n",
			w.port(service), w.caFile, ann, secret, ann, extra))
	}
	const letter = "Subject: from %s\nTo: %s\nBcc: %s\n\n.a dot\nÄ in 8 bits\n"
	for i, row := range []struct{ claim, service, extra string }{
		{"STARTTLS", "submission", "tls_starttls on"},
		{"TLS from the start", "submissions", "tls_starttls off"},
		{"AUTH LOGIN", "submission", "auth login"},
		{"AUTH SCRAM-SHA-256", "submission", "auth scram-sha-256"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			if strings.Contains(row.extra, "scram") && !strings.Contains(run(t, msmtp, "--version"), "scram-sha-256") {
				t.Skip("SKIPPED PEER: this msmtp does not know SCRAM-SHA-256")
			}
			command{args: []string{msmtp, "-C", rc(t, row.service, password, row.extra), "--read-recipients"},
				stdin: fmt.Sprintf(letter, row.claim, bob, ann)}.succeed(t)
			for _, user := range []string{ann, bob} {
				m := w.arrived(t, user, i+1)[i]
				contains(t, "header", m.header(), "Subject: from "+row.claim+"\r\n", "From: ", "Date: ", "Message-ID: ", "To: "+bob)
				if strings.Contains(m.header(), "Bcc") || m.body() != ".a dot\r\nÄ in 8 bits\r\n" {
					t.Errorf("%s got header\n%s\nbody %q", user, m.header(), m.body())
				}
			}
		})
	}
	t.Run("and learns that its password is wrong", func(t *testing.T) {
		out, status := command{args: []string{msmtp, "-C", rc(t, "submissions", "wrong", "tls_starttls off"), bob}, stdin: "Subject: x\n\nx\n"}.run(t)
		const noPermission = 77 // of sysexits.h
		if status != noPermission || !strings.Contains(out, "535 5.7.8") {
			t.Errorf("exit status %d: %s", status, out)
		}
	})
}
