package sim

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"posthaste/admin"
)

// A talk is a client that says what it likes.
type talk struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

// dial connects a client to a service of a host and reads the greeting.
func dial(t *testing.T, w *World, h *Host, service string) *talk {
	t.Helper()
	nc, err := w.Net.Dial(t.Context(), client, h.Address(service))
	if err != nil {
		t.Fatal(err)
	}
	return newTalk(t, nc)
}

// newTalk reads the greeting of a server.
func newTalk(t *testing.T, nc net.Conn) *talk {
	nc.SetDeadline(time.Now().Add(24 * time.Hour))
	c := &talk{t, nc, bufio.NewReader(nc)}
	c.line()
	return c
}

// line returns the next line without its end; the empty string when there is none.
func (c *talk) line() string {
	s, _ := c.r.ReadString('\n')
	return strings.TrimRight(s, "\r\n")
}

// send writes without waiting for anything.
func (c *talk) send(text string) { c.nc.Write([]byte(text)) }

// reply returns the last line of the next SMTP reply.
func (c *talk) reply() string {
	for {
		if s := c.line(); len(s) < 4 || s[3] != '-' {
			return s
		}
	}
}

// want sends an SMTP command and wants a reply that begins so.
func (c *talk) want(prefix, command string) {
	c.t.Helper()
	c.send(command + "\r\n")
	if got := c.reply(); !strings.HasPrefix(got, prefix) {
		c.t.Errorf("after %.60q: %q, want %s", command, got, prefix)
	}
}

// imap sends an IMAP command and returns its answer and the lines before it.
func (c *talk) imap(command string) (answer string, lines []string) {
	c.send("a " + command + "\r\n")
	for {
		s := c.line()
		if rest, ok := strings.CutPrefix(s, "a "); ok || s == "" && c.ended() {
			return rest, lines
		}
		lines = append(lines, s)
	}
}

// ended tells whether the connection is over.
func (c *talk) ended() bool {
	_, err := c.r.Peek(1)
	return err != nil
}

// wantStored asks how many messages an account has.
func wantStored(t *testing.T, w *World, h *Host, address string, want int) {
	t.Helper()
	if got := len(mailbox(w, h, address)); got != want {
		t.Errorf("%s has %d messages, want %d", address, got, want)
	}
}

func TestMalformedCommandsAreAnsweredAndForgotten(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		c := dial(t, w, n, "mx")
		defer c.nc.Close()
		c.want("500 5.5.2", strings.Repeat("x", 100_000))
		c.want("5", "EHLO \x00\x00")
		c.want("250", "EHLO client.test")
		c.want("5", "MAIL FROM:<fay\x00@far.test>")
		c.want("250", "MAIL FROM:<fay@far.test>")
		c.want("250", "RCPT TO:<ann@north.test>")
		c.want("354", "DATA")
		c.want("5", "Subject: a bare LF\n.\nMAIL FROM:<smuggler@far.test>\r\n.")
		c.want("250", "MAIL FROM:<fay@far.test>")
		c.want("250", "RCPT TO:<ann@north.test>")
		c.want("354", "DATA")
		c.want("250", "Subject: NUL \x00 and long\r\n\r\n"+strings.Repeat("y", 1<<20)+"\r\n.")
		c.want("221", "QUIT")
		wantStored(t, w, n, "ann@north.test", 1)
		if got := mailbox(w, n, "ann@north.test")[0]; !strings.Contains(got, "NUL \x00 and") || !strings.Contains(got, strings.Repeat("y", 1<<20)) {
			t.Error("the message with a NUL and a long line is not as it was sent")
		}
	})
}

// A message over the limit: refused at MAIL where its size is announced, at its end where not. The
// connection goes on and nothing is kept.
func TestTooLargeMessagesAreRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		c := dial(t, w, n, "mx")
		defer c.nc.Close()
		c.want("250", "EHLO client.test")
		c.want("552 5.3.4", "MAIL FROM:<fay@far.test> SIZE=60000000")
		c.want("250", "MAIL FROM:<fay@far.test>")
		c.want("250", "RCPT TO:<ann@north.test>")
		c.want("354", "DATA")
		line := strings.Repeat("z", 998) + "\r\n"
		for range 60_000 {
			c.send(line)
		}
		c.want("552 5.3.4", ".")
		c.want("250", "MAIL FROM:<fay@far.test>")
		c.want("250", "RCPT TO:<ann@north.test>")
		c.send("BDAT 60000000 LAST\r\n")
		for range 60_000 {
			c.send(line)
		}
		if got := c.reply(); !strings.HasPrefix(got, "552 5.3.4") {
			t.Errorf("BDAT of 60 MB: %q, want 552 5.3.4", got)
		}
		c.want("250", "RSET")
		mustPromise(t, w, n, "mx", w.Ledger.Letter("fay@far.test", "ann@north.test"))
		wantStored(t, w, n, "ann@north.test", 1)
	})
}

// A hundred thousand recipients (on the way to a commit a fifth of that): those over the limit are told to come in another message, and what
// was taken is delivered.
func TestAHundredThousandRecipients(t *testing.T) {
	recipients, limits := 20_000, []int{1000}
	if torture() {
		recipients, limits = 100_000, []int{1000, 100_000}
	}
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		_, err := n.Admin().AddAlias(t.Context(), admin.AliasRequest{Address: "*@north.test", Targets: []string{"ann@north.test"}})
		w.must(err, "add the catch-all")
		for i, limit := range limits {
			n.Stop()
			n.Config.SMTP.MaxRecipients = limit
			n.Start()
			if taken := manyRecipients(t, w, n, recipients); taken != limit {
				t.Errorf("limit %d: %d recipients were taken", limit, taken)
			}
			wantStored(t, w, n, "ann@north.test", i+1)
		}
	})
}

// manyRecipients names count recipients, who are one account, and sends a message to those that were
// taken. It returns how many.
func manyRecipients(t *testing.T, w *World, n *Host, count int) (taken int) {
	c := dial(t, w, n, "mx")
	defer c.nc.Close()
	c.want("250", "EHLO client.test")
	c.want("250", "MAIL FROM:<fay@far.test>")
	go func() {
		for i := range count {
			c.send(fmt.Sprintf("RCPT TO:<user%d@north.test>\r\n", i))
		}
	}()
	for range count {
		switch got := c.reply(); {
		case strings.HasPrefix(got, "250"):
			taken++
		case !strings.HasPrefix(got, "452"):
			t.Fatalf("after %d recipients: %q", taken, got)
		}
	}
	c.want("354", "DATA")
	c.want("250", "Subject: to everybody\r\n\r\n.")
	return taken
}

// Ten thousand parts in each other: stored as sent where nobody keeps such a thing apart, and IMAP still
// answers.
func TestDeepMIMEIsStoredAndRead(t *testing.T) {
	const depth = 10_000
	inWorld(t, func(t *testing.T, w *World) {
		n := w.Host("mx.north.test")
		n.Config.Attachments.Bomb, n.Config.Filter.Enabled = "tag", false
		n.Start()
		n.Domain("north.test", "ann")
		var text strings.Builder
		text.WriteString("Subject: deep\r\nMIME-Version: 1.0\r\n")
		for i := range depth {
			fmt.Fprintf(&text, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		}
		text.WriteString("Content-Type: text/plain\r\n\r\nthe bottom\r\n")
		c := dial(t, w, n, "mx")
		defer c.nc.Close()
		c.want("250", "EHLO client.test")
		c.want("250", "MAIL FROM:<fay@far.test>")
		c.want("250", "RCPT TO:<ann@north.test>")
		c.want("354", "DATA")
		c.want("250", text.String()+".")
		if got := mailbox(w, n, "ann@north.test"); len(got) != 1 || !strings.HasSuffix(got[0], text.String()) {
			t.Error("the message is not as it was sent")
		}
		m := dial(t, w, n, "imap")
		defer m.nc.Close()
		for _, command := range []string{"LOGIN ann@north.test \"" + Password + "\"", "SELECT INBOX", "FETCH 1 (ENVELOPE BODYSTRUCTURE)", "SEARCH TEXT bottom", "NOOP"} {
			if answer, _ := m.imap(command); !strings.HasPrefix(answer, "OK") {
				t.Errorf("%s: %q", command, answer)
			}
		}
	})
}

// On a full disk everybody is told to come again, what is there can be read and deleted, and with
// space all goes on.
func TestAFullDiskIsSurvived(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		mustPromise(t, w, n, "mx", w.Ledger.Letter("fay@far.test", "ann@north.test"))
		for round := range 2 { // also where the node was started on a full disk
			n.SetFull(true)
			if round == 1 {
				n.Crash()
				n.Start()
			}
			time.Sleep(time.Minute)
			for _, service := range []string{"mx", "submission"} {
				if outcome, err := w.send(n, service, w.Ledger.Letter("ann@north.test", "ann@north.test")); outcome != Refused || !strings.HasPrefix(fmt.Sprint(err), `452 "4.3.1`) {
					t.Errorf("%s on a full disk: outcome %d, %v; want 452 4.3.1", service, outcome, err)
				}
			}
			m := dial(t, w, n, "imap")
			m.imap("LOGIN ann@north.test \"" + Password + "\"")
			m.imap("SELECT INBOX")
			if answer, lines := m.imap("FETCH 1 BODY.PEEK[]"); !strings.HasPrefix(answer, "OK") || len(lines) < 5 {
				t.Errorf("FETCH on a full disk: %q", answer)
			}
			m.send("b APPEND INBOX {5}\r\n")
			if first := m.line(); strings.HasPrefix(first, "+") {
				m.send("hello\r\n")
				if answer := m.line(); !strings.HasPrefix(answer, "b NO") {
					t.Errorf("APPEND on a full disk: %q, want NO", answer)
				}
			} else if !strings.HasPrefix(first, "b NO") {
				t.Errorf("APPEND on a full disk: %q, want NO", first)
			}
			m.nc.Close()
			n.SetFull(false)
			time.Sleep(time.Minute)
			for _, service := range []string{"mx", "submission"} {
				mustPromise(t, w, n, service, w.Ledger.Letter("ann@north.test", "ann@north.test"))
			}
			w.Settle(5 * time.Hour)
		}
		wantStored(t, w, n, "ann@north.test", 5)
	})
}

// Five thousand logins in a row, by both protocols, with a password as people have it.
func TestFiveThousandLogins(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		w.must(n.Admin().SetPassword(t.Context(), admin.AccountRequest{Address: "ann@north.test", Password: Password}), "set a password")
		failed := 0
		for i := range 5000 {
			if i%10 > 0 {
				c := dial(t, w, n, "imap")
				if answer, _ := c.imap("LOGIN ann@north.test \"" + Password + "\""); !strings.HasPrefix(answer, "OK") {
					failed++
				}
				c.nc.Close()
				continue
			}
			c := dial(t, w, n, "submission")
			c.send("EHLO client.test\r\nAUTH PLAIN AGFubkBub3J0aC50ZXN0AGNvcnJlY3QgaG9yc2UgYmF0dGVyeQ==\r\n")
			c.reply()
			if answer := c.reply(); !strings.HasPrefix(answer, "235") {
				failed++
			}
			c.nc.Close()
		}
		if failed > 0 {
			t.Errorf("%d of 5000 logins failed", failed)
		}
	})
}

// A client that falls silent in the middle of its message is told so, and nothing of it stays.
func TestAMessageWithoutEndIsForgotten(t *testing.T) {
	inWorld(t, func(t *testing.T, w *World) {
		n := north(w, "ann")
		c := dial(t, w, n, "mx")
		defer c.nc.Close()
		c.want("250", "EHLO client.test")
		c.want("250", "MAIL FROM:<fay@far.test>")
		c.want("250", "RCPT TO:<ann@north.test>")
		c.want("354", "DATA")
		c.send("Subject: the first half\r\n\r\nand th")
		began := time.Now()
		if got := c.reply(); !strings.HasPrefix(got, "421 4.4.2") || time.Since(began) > 15*time.Minute {
			t.Errorf("after %v: %q, want 421 4.4.2 after some minutes", time.Since(began), got)
		}
		wantStored(t, w, n, "ann@north.test", 0)
	})
}
