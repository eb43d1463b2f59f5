package interop

import (
	"regexp"
	"strings"
	"testing"
)

// swaks runs swaks against a service as far as the arguments say, with our authority trusted.
func (w *site) swaks(t *testing.T, service string, args ...string) (transcript string, status int) {
	t.Helper()
	base := []string{program(t, "swaks"), "--server", w.address(service), "--helo", "client.example", "--timeout", "30",
		"--tls-ca-path", w.caFile, "--h-From", "%FROM_ADDRESS%"}
	return command{args: append(base, args...)}.run(t)
}

func TestSwaksSubmits(t *testing.T) {
	program(t, "swaks")
	w := newSite(t, settings{})
	for _, row := range []struct {
		claim, service, subject string
		args                    []string
		with                    string
	}{
		{"STARTTLS and AUTH PLAIN", "submission", "plain", []string{"--tls", "--tls-verify", "--auth", "PLAIN"}, "ESMTPSA"},
		{"STARTTLS and AUTH LOGIN", "submission", "login", []string{"--tls", "--tls-verify", "--auth", "LOGIN"}, "ESMTPSA"},
		{"TLS from the start", "submissions", "implicit", []string{"--tls-on-connect", "--tls-verify", "--auth", "PLAIN"}, "ESMTPSA"},
		{"pipelining", "submission", "pipelined", []string{"--tls", "--auth", "PLAIN", "--pipeline"}, "ESMTPSA"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			before := len(w.mailbox(t, bob, "INBOX"))
			out, status := w.swaks(t, row.service, append(row.args, "--auth-user", ann, "--auth-password", password,
				"--from", ann, "--to", bob, "--h-Subject", row.subject, "--body", "line one\n.a dot\n..two dots")...)
			if status != 0 {
				t.Fatalf("exit status %d:\n%s", status, out)
			}
			m := w.arrived(t, bob, before+1)[before]
			contains(t, "header", m.header(), "Subject: "+row.subject+"\r\n", "with "+row.with, "Return-Path: <"+ann+">")
			if got := strings.TrimRight(m.body(), "\r\n"); got != "line one\r\n.a dot\r\n..two dots" {
				t.Errorf("body %q", got)
			}
			if !m.has() {
				t.Errorf("new mail has flags %v", m.flags)
			}
		})
	}
}

func TestSwaksIsRefused(t *testing.T) {
	program(t, "swaks")
	w := newSite(t, settings{})
	login := []string{"--tls", "--auth", "PLAIN", "--auth-user", ann, "--auth-password"}
	for _, row := range []struct {
		claim, service string
		args           []string
		want           string // reply
	}{
		{"relaying for strangers", "mx", []string{"--from", "x@client.example", "--to", "someone@elsewhere.example"}, `55\d 5\.7\.1`},
		{"an unknown user", "mx", []string{"--from", "x@client.example", "--to", "nobody@" + domain}, `550 5\.1\.1`},
		{"a message without login", "submission", []string{"--tls", "--from", ann, "--to", bob}, `530 5\.7\.0`},
		{"a password in the clear", "submission", []string{"--auth", "PLAIN", "--auth-user", ann, "--auth-password", password, "--from", ann, "--to", bob}, `Auth not attempted, requested type not available`},
		{"a wrong password", "submission", append(login, "wrong", "--from", ann, "--to", bob), `535 5\.7\.8`},
		{"somebody else's address", "submission", append(login, password, "--from", bob, "--to", ann), `55\d 5\.7\.1`},
		{"an unknown user of ours from a user", "submission", append(login, password, "--from", ann, "--to", "nobody@"+domain), `550 5\.1\.1`},
	} {
		t.Run(row.claim, func(t *testing.T) {
			out, status := w.swaks(t, row.service, row.args...)
			if status == 0 || !regexp.MustCompile(row.want).MatchString(out) {
				t.Errorf("exit status %d, want %s in:\n%s", status, row.want, out)
			}
		})
	}
	for _, user := range []string{ann, bob} {
		if got := w.mailbox(t, user, "INBOX"); len(got) != 0 {
			t.Errorf("%s got %d messages", user, len(got))
		}
	}
	if out := w.cli(t, "queue", "list", "--json"); out != "" {
		t.Errorf("the queue holds %s", out)
	}
}

func TestSwaksDelivers(t *testing.T) {
	program(t, "swaks")
	w := newSite(t, settings{extra: "[[listen]]\nservice = \"mx\"\naddress = \"127.0.0.1:0\"\nproxy = true\n"})
	t.Run("by LMTP, an answer for each recipient", func(t *testing.T) {
		out, status := w.swaks(t, "lmtp", "--protocol", "LMTP", "--from", "x@client.example", "--to", ann+",nobody@"+domain+","+bob, "--h-Subject", "lmtp")
		if strings.Count(out, "<-  250 2.1.5") < 2 || !strings.Contains(out, "550 5.1.1") || status != 0 && status != 24 {
			t.Errorf("exit status %d:\n%s", status, out)
		}
		for _, user := range []string{ann, bob} {
			contains(t, "header", w.arrived(t, user, 1)[0].header(), "Subject: lmtp\r\n", "with LMTP", "Return-Path: <x@client.example>")
		}
	})
	t.Run("through a load balancer that tells the client's address", func(t *testing.T) {
		// The last listener of a service is the one that address returns.
		out, status := w.swaks(t, "mx", "--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-protocol", "STREAM",
			"--proxy-source", "192.0.2.7", "--proxy-source-port", "4711", "--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25",
			"--tls", "--tls-verify", "--from", "x@client.example", "--to", ann, "--h-Subject", "proxied")
		if status != 0 {
			t.Fatalf("exit status %d:\n%s", status, out)
		}
		contains(t, "header", w.arrived(t, ann, 2)[1].header(), "Subject: proxied\r\n", "192.0.2.7", "with ESMTPS")
	})
}
