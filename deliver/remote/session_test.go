package remote

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/cert"
	"posthaste/mail"
)

func mailFromAnn() mail.Envelope {
	return mail.Envelope{From: mail.ReversePath{Address: mail.Address{Local: "ann", Domain: "north.test"}}}
}

func TestTimeouts(t *testing.T) {
	d := DefaultTimeouts()
	for _, c := range []struct {
		key  string
		took time.Duration
		next bool
	}{
		{"greeting", d.Greeting, true},
		{"EHLO", d.Command, true},
		{"MAIL", d.Command, true},
		{"RCPT", d.Command, true},
		{"DATA", d.Data, true},
		{".", d.Done, false},
	} {
		t.Run(c.key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, backup := offering("PIPELINING"), offering("PIPELINING")
				first.replies[c.key] = []string{"hang"}
				w := newWorld(t, Config{Idle: -1}, first, backup)
				w.pipes = true
				start := time.Now()
				got := w.send(t, mail.Envelope{}, plainContent, "bob")
				took := time.Since(start)
				// Where a host that hangs in a dialogue is told QUIT, a moment more passes.
				if took < c.took || took > c.took+quitTimeout || (backup.conns > 0) != c.next {
					t.Errorf("took %v, next host %v; want %v, %v", took, backup.conns > 0, c.took, c.next)
				}
				if c.next != (got[0] == "250 2.1.9 taken") || !c.next && !strings.Contains(got[0], "no answer in time") {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

func TestDeliveryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := offering()
		h.replies["RCPT"] = []string{"hang"}
		w := newWorld(t, Config{}, h)
		w.pipes = true
		dest, err := w.agent.Route(t.Context(), "", "south.test")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		got := w.sendTo(ctx, dest, mailFromAnn(), plainContent, "bob")
		if took := time.Since(start); took != time.Second || !strings.HasPrefix(got[0], "451 4.3.2") {
			t.Errorf("%q after %v", got, took)
		}
	})
}

func TestSessionsAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := offering("PIPELINING")
		w := newWorld(t, Config{}, h)
		w.pipes = true
		for range 3 {
			<-time.After(DefaultIdle - time.Millisecond)
			if got := w.send(t, mail.Envelope{}, plainContent, "bob"); got[0] != "250 2.1.9 taken" {
				t.Fatal(got)
			}
		}
		if h.conns != 1 {
			t.Errorf("%d connections for three messages, want 1", h.conns)
		}
		<-time.After(DefaultIdle)
		synctest.Wait()
		if lines := h.seen(); lines[len(lines)-1] != "QUIT" {
			t.Errorf("an idle session did not end with QUIT: %q", lines)
		}
		w.send(t, mail.Envelope{}, plainContent, "bob")
		w.agent.Close()
		if lines := h.seen(); h.conns != 2 || lines[len(lines)-1] != "QUIT" {
			t.Errorf("Close left %d connections, the last line was %q", h.conns, lines[len(lines)-1])
		}
	})
}

func TestAConnectionTakesAsManyMessagesAsWeWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := offering("PIPELINING")
		w := newWorld(t, Config{}, h)
		w.pipes = true
		defer w.agent.Close()
		dest, err := w.agent.Route(t.Context(), "", "south.test")
		if err != nil {
			t.Fatal(err)
		}
		dest.PerConnection = 2
		for range 5 {
			if got := w.sendTo(t.Context(), dest, mail.Envelope{}, plainContent, "bob"); got[0] != "250 2.1.9 taken" {
				t.Fatal(got)
			}
		}
		if h.conns != 3 {
			t.Errorf("%d connections for five messages, want 3", h.conns)
		}
	})
}

func TestSessionClosedWhileIdleIsNoFailure(t *testing.T) {
	for _, reply := range []string{"drop", "421 4.4.2 idle too long"} {
		h := offering()
		h.replies["MAIL"] = []string{"250 ok", reply, "250 ok"}
		w := newWorld(t, Config{}, h)
		for range 2 {
			if got := w.send(t, mail.Envelope{}, plainContent, "bob"); got[0] != "250 2.1.9 taken" {
				t.Errorf("%s: got %q", reply, got)
			}
		}
		if h.conns != 2 || len(h.taken()) != 2 {
			t.Errorf("%s: %d connections, %d messages; want 2 and 2", reply, h.conns, len(h.taken()))
		}
	}
}

// secureWorld is a host with STARTTLS under the name given in its certificate.
func secureWorld(t *testing.T, name string, noTLS bool) (*world, *host, *cert.CA) {
	t.Helper()
	ca, err := cert.NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	h := offering("STARTTLS", "REQUIRETLS", "DSN")
	h.tls, h.noTLS = cert.Fixed(c).Config(), noTLS
	return newWorld(t, Config{TLS: &tls.Config{RootCAs: ca.Pool()}}, h), h, ca
}

func TestTLS(t *testing.T) {
	for _, c := range []struct {
		claim  string
		name   string // in the certificate
		noTLS  bool   // the handshake fails
		offer  string // reply to STARTTLS
		policy TLSPolicy
		env    mail.Envelope
		want   string
		story  string
		conns  int
	}{
		{"a true certificate", "mx1.south.test", false, "", Opportunistic, mail.Envelope{}, "250", "encrypted with TLS 1.3, its certificate proves its name", 1},
		{"another's certificate will do", "else.test", false, "", Opportunistic, mail.Envelope{}, "250", "encrypted with TLS 1.3, though its certificate does not prove", 1},
		{"a failed handshake means plaintext", "mx1.south.test", true, "", Opportunistic, mail.Envelope{}, "250", "trying again without encryption", 2},
		{"a refused STARTTLS means plaintext", "mx1.south.test", false, "454 4.7.0 not now", Opportunistic, mail.Envelope{}, "250", "not encrypted", 1},
		{"unless encryption is a must", "mx1.south.test", true, "", Encrypted, mail.Envelope{}, "451 4.7.5", "handshake failed", 1},
		{"or refused where it is a must", "mx1.south.test", false, "454 4.7.0 not now", Encrypted, mail.Envelope{}, "451 4.7.10", "must be encrypted", 1},
		{"encryption with any certificate", "else.test", false, "", Encrypted, mail.Envelope{}, "250", "does not prove", 1},
		{"a true certificate as a must", "mx1.south.test", false, "", Verified, mail.Envelope{}, "250", "proves", 1},
		{"another's certificate where it is a must", "else.test", false, "", Verified, mail.Envelope{}, "451 4.7.5", "certificate is valid for else.test", 1},
		{"never", "mx1.south.test", false, "", Plaintext, mail.Envelope{}, "250", "not encrypted", 1},
		{"REQUIRETLS with a true certificate of a host that plain DNS named", "mx1.south.test", false, "", Opportunistic, mail.Envelope{RequireTLS: true}, "550 5.7.30", "proves", 1},
		{"REQUIRETLS with another's", "else.test", false, "", Opportunistic, mail.Envelope{RequireTLS: true}, "550 5.7.30", "", 1},
		{"REQUIRETLS without handshake", "mx1.south.test", true, "", Opportunistic, mail.Envelope{RequireTLS: true}, "451 4.7.5", "", 1},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w, h, _ := secureWorld(t, c.name, c.noTLS)
			if c.offer != "" {
				h.replies["STARTTLS"] = []string{c.offer}
			}
			dest, err := w.agent.Route(t.Context(), "", "south.test")
			if err != nil {
				t.Fatal(err)
			}
			dest.TLS = c.policy
			got := w.sendTo(t.Context(), dest, c.env, plainContent, "bob")
			if !strings.HasPrefix(got[0], c.want) || !strings.Contains(w.story.texts(), c.story) || h.conns != c.conns {
				t.Errorf("got %q over %d connections, want %q over %d and %q in\n%s", got, h.conns, c.want, c.conns, c.story, w.story.texts())
			}
		})
	}
}

// RFC 3207 section 4.2: what a host offered in plaintext does not hold once the connection is encrypted.
func TestPlaintextOffersDoNotHoldUnderTLS(t *testing.T) {
	w, h, _ := secureWorld(t, "mx1.south.test", false)
	h.replies["EHLO"] = []string{"250-mx.test\n250-STARTTLS\n250 DSN", "500 5.5.1 what?"}
	dest, err := w.agent.Route(t.Context(), "", "south.test")
	if err != nil {
		t.Fatal(err)
	}
	env := mailFromAnn()
	env.Ret = mail.RetFull
	if got := w.sendTo(t.Context(), dest, env, plainContent, "bob"); !strings.HasPrefix(got[0], "250") {
		t.Errorf("got %q, want 250", got)
	}
	if seen := strings.Join(h.seen(), "\n"); !strings.Contains(seen, "HELO ") || strings.Contains(seen, "RET=FULL") {
		t.Errorf("the host saw\n%s\nwant HELO, and no parameter of DSN", seen)
	}
}

func TestLogin(t *testing.T) {
	for _, c := range []struct {
		claim  string
		policy TLSPolicy
		auth   string
		script []string // replies to AUTH and to what follows it
		want   string
		line   string // that the host must have seen
	}{
		{"PLAIN under TLS", Encrypted, "AUTH PLAIN LOGIN", []string{"235 2.7.0 ok"}, "250", "AUTH PLAIN AGFubgBzZWNyZXQ="},
		{"LOGIN under TLS", Encrypted, "AUTH LOGIN", []string{"334 VXNlcm5hbWU6"}, "250", "AUTH LOGIN"},
		{"no password in the clear", Plaintext, "AUTH PLAIN LOGIN", nil, "451 4.7.0", "QUIT"},
		{"a wrong password is for the operator: later", Encrypted, "AUTH PLAIN", []string{"535 5.7.8 no"}, "451 4.7.8", ""},
		{"SCRAM from a host that proves nothing", Encrypted, "AUTH SCRAM-SHA-256", []string{"235 2.7.0 ok"}, "451 4.4.2", ""},
	} {
		t.Run(c.claim, func(t *testing.T) {
			w, h, _ := secureWorld(t, "mx1.south.test", false)
			h.offers = append(h.offers, "250-"+c.auth)
			h.replies["AUTH"] = c.script
			h.replies["YW5u"] = []string{"334 UGFzc3dvcmQ6"}
			h.replies["c2VjcmV0"] = []string{"235 2.7.0 ok"}
			dest := Fixed("mx1.south.test", 25)
			dest.TLS, dest.Login = c.policy, &Login{"ann", "secret"}
			got := w.sendTo(t.Context(), dest, mailFromAnn(), plainContent, "bob")
			if !strings.HasPrefix(got[0], c.want) || !strings.Contains(strings.Join(h.seen(), "\n"), c.line) {
				t.Errorf("got %q, want %q, after %q", got, c.want, h.seen())
			}
		})
	}
}

func TestOurOwnNameInTheGreeting(t *testing.T) {
	h := offering()
	h.replies["EHLO"] = []string{"250 mail.north.test"}
	w := newWorld(t, Config{}, h)
	if got := w.send(t, mail.Envelope{}, plainContent, "bob"); !strings.HasPrefix(got[0], "451 4.4.6") {
		t.Errorf("got %q", got)
	}
}

// TestRefusedContentLeavesNoTransaction has a host that, as Postfix does, keeps a transaction open after
// it refused the last chunk, so that MAIL is out of place until RSET.
func TestRefusedContentLeavesNoTransaction(t *testing.T) {
	h := offering("PIPELINING", "CHUNKING")
	h.replies["."] = []string{"550 5.7.1 not this", "250 2.0.0 taken"}
	refused := false
	h.answer = func(line string) string {
		switch line {
		case "RSET":
			refused = false
		case "MAIL":
			if refused {
				return "503 5.5.1 nested MAIL command"
			}
		case ".":
			refused = len(h.messages) == 1
		}
		return ""
	}
	w := newWorld(t, Config{}, h)
	for _, want := range []string{"550 5.7.1 not this", "250 2.1.9 taken"} {
		if got := w.send(t, mail.Envelope{}, plainContent, "bob"); got[0] != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if h.conns != 1 {
		t.Errorf("%d connections, want 1", h.conns)
	}
}

func TestBeingOutOfStepSaysNothingOfTheMessage(t *testing.T) {
	h := offering()
	h.replies["MAIL"] = []string{"503 5.5.1 nested MAIL command"}
	got := newWorld(t, Config{}, h).send(t, mail.Envelope{}, plainContent, "bob")
	if !strings.HasPrefix(got[0], "4") || !strings.Contains(got[0], "nested MAIL") {
		t.Errorf("got %q, want a temporary failure", got)
	}
}
