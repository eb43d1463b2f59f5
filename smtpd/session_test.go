package smtpd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/auth/ban"
	"posthaste/mail"
	"posthaste/smtp"
	"posthaste/trace"
)

const begin = "EHLO c.test\r\nMAIL FROM:<bob@client.test>\r\nRCPT TO:<ann@north.test>\r\n"

// lastReply returns the last line of what a server said.
func lastReply(out string) string {
	lines := strings.Split(strings.TrimSuffix(out, "\r\n"), "\r\n")
	return lines[len(lines)-1]
}

func TestEnvelopeSaysHowTheMessageCame(t *testing.T) {
	h := new(house)
	talk(t, h.server(t, nil), "EHLO c.test\r\nMAIL FROM:<bob@client.test> BODY=8BITMIME RET=HDRS ENVID=x+2B1\r\n"+
		"RCPT TO:<ann@north.test> NOTIFY=SUCCESS ORCPT=rfc822;a@b\r\nRCPT TO:<ann@north.test>\r\nDATA\r\nhello\r\n..\r\n.\r\nQUIT\r\n")
	if len(h.messages) != 1 {
		t.Fatalf("%d messages", len(h.messages))
	}
	m := h.messages[0]
	want := mail.Recipient{Address: mail.Address{Local: "ann", Domain: "north.test"}, Notify: mail.NotifySuccess, ORcpt: "rfc822;a@b"}
	if len(m.env.Recipients) != 1 || m.env.Recipients[0] != want {
		t.Errorf("recipients %+v, want one %+v", m.env.Recipients, want)
	}
	if m.content != "hello\r\n.\r\n" {
		t.Errorf("content %q", m.content)
	}
	if e := m.env; e.Body != mail.Body8Bit || e.Ret != mail.RetHdrs || e.EnvID != "x+1" || e.Origin.Helo != "c.test" ||
		e.Origin.Protocol != "ESMTP" || e.Received.IsZero() || e.ID != "" {
		t.Errorf("envelope %+v", e)
	}
}

func TestProtocolWord(t *testing.T) {
	for in, want := range map[string]string{
		"HELO c\r\nMAIL FROM:<>\r\n":          "SMTP",
		"EHLO c\r\nMAIL FROM:<>\r\n":          "ESMTP",
		"EHLO c\r\nMAIL FROM:<> SMTPUTF8\r\n": "UTF8SMTP",
	} {
		h := new(house)
		talk(t, h.server(t, nil), in+"RCPT TO:<ann@north.test>\r\nDATA\r\n.\r\n")
		if len(h.messages) != 1 || h.messages[0].env.Origin.Protocol != want {
			t.Errorf("%q: %+v, want %s", in, h.messages, want)
		}
	}
	h := new(house)
	s := h.server(t, modes["submission"])
	talk(t, s, "EHLO c\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\nMAIL FROM:<ann@north.test>\r\nRCPT TO:<x@y.test>\r\nDATA\r\n.\r\n")
	if len(h.messages) != 1 {
		t.Fatal("submission was refused")
	}
	if o := h.messages[0].env.Origin; o.Protocol != "ESMTPA" || o.Account != 7 || o.Login != "ann" {
		t.Errorf("origin %+v, want ESMTPA from account 7", o)
	}
}

func TestAcceptorsErrorIsTheReply(t *testing.T) {
	for want, err := range map[string]error{
		"452 4.3.1 disk full":                         fmt.Errorf("queue: %w", mail.NewStatus(452, "4.3.1", "disk full")),
		"554 5.7.1 spam":                              mail.NewStatus(554, "5.7.1", "spam"),
		"451 4.3.0 a local error, try again later":    errors.New("secret path /var/lib"),
		"451 4.3.0 a local error, try again later ok": mail.NewStatus(250, "2.0.0", "ok"),
	} {
		h := &house{err: err}
		got := lastReply(talk(t, h.server(t, nil), begin+"DATA\r\nx\r\n.\r\n"))
		got, ref, _ := strings.Cut(got, " (ref ")
		if !strings.HasPrefix(want, got) || len(ref) != len("4f9x1k2ab)") {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
		h.err = nil
	}
}

// TestPipelinedBatchIsAnsweredInOneWrite: all of it comes in one read.
func TestPipelinedBatchIsAnsweredInOneWrite(t *testing.T) {
	conn := &memConn{in: strings.NewReader(begin + strings.Repeat("NOOP\r\n", 50) + "DATA\r\nx\r\n.\r\n" + begin + "QUIT\r\n")}
	new(house).server(t, nil).session(t.Context(), t.Context(), conn)
	if conn.writes != 2 || !strings.Contains(conn.out.String(), "accepted as id1") {
		t.Errorf("%d writes, want 2: the greeting and one for all replies", conn.writes)
	}
}

func TestMXWithoutPolicyIsNoOpenRelay(t *testing.T) {
	s := new(house).server(t, func(c *Config) { c.Recipients = nil })
	if got := lastReply(talk(t, s, begin)); !strings.HasPrefix(got, "550 5.7.1") {
		t.Errorf("got %q", got)
	}
}

func TestHundredThousandRecipients(t *testing.T) {
	h := new(house)
	s := h.server(t, func(c *Config) { c.MaxRecipients = 100000 })
	var in strings.Builder
	in.WriteString("EHLO c.test\r\nMAIL FROM:<bob@client.test>\r\n")
	for i := range 100002 {
		fmt.Fprintf(&in, "RCPT TO:<user%d@north.test>\r\n", i)
	}
	in.WriteString("DATA\r\nx\r\n.\r\n")
	out := talk(t, s, in.String())
	if n := strings.Count(out, "\r\n250 2.1.5"); n != 100000 {
		t.Errorf("%d recipients were taken, want 100000", n)
	}
	if n := strings.Count(out, "\r\n452 4.5.3"); n != 2 {
		t.Errorf("%d got 452, want 2", n)
	}
	if len(h.messages) != 1 || len(h.messages[0].env.Recipients) != 100000 {
		t.Errorf("%d messages", len(h.messages))
	}
	if last := h.events[len(h.events)-1]; len(last.To) > maxTraced {
		t.Errorf("an event names %d recipients", len(last.To))
	}
}

func TestMessageFarOverTheLimitIsReadToItsEnd(t *testing.T) {
	h := new(house)
	s := h.server(t, func(c *Config) { c.MaxSize = 1 << 20 })
	body := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 100000)
	out := talk(t, s, begin+"DATA\r\n"+body+".\r\nNOOP\r\n")
	if !strings.Contains(out, "\r\n552 5.3.4 message too big (ref ") || !strings.HasSuffix(out, ")\r\n250 2.0.0 OK\r\n") || len(h.messages) != 0 {
		t.Errorf("ends %q", out[len(out)-80:])
	}
	if used := s.contents.used.Load(); used != 0 {
		t.Errorf("%d bytes are still held", used)
	}
}

func TestLargeContentReachesTheAcceptor(t *testing.T) {
	h := new(house)
	body := strings.Repeat(strings.Repeat("y", 98)+"\r\n", 30000)
	out := talk(t, h.server(t, nil), begin+"DATA\r\n"+body+".\r\n")
	if lastReply(out) != "250 2.0.0 accepted as id1" || h.messages[0].content != body {
		t.Errorf("%q", lastReply(out))
	}
}

func TestLongLinesAndNULsInCommands(t *testing.T) {
	h := new(house)
	out := talk(t, h.server(t, nil), strings.Repeat("x", 100000)+"\r\nNO\x00OP\r\nNOOP\r\n")
	if !strings.HasSuffix(out, "500 5.5.2 line too long\r\n500 5.5.2 control character in a command\r\n250 2.0.0 OK\r\n") {
		t.Errorf("got %q", out)
	}
}

func TestTraceTellsTheStory(t *testing.T) {
	h := new(house)
	talk(t, h.server(t, nil), begin+"RCPT TO:<nobody@north.test>\r\nDATA\r\nx\r\n.\r\n")
	var got []string
	for _, e := range h.events {
		got = append(got, fmt.Sprintf("%s %v %s", e.Step, e.OK, e.Text))
		if e.Peer == "" || e.Session == "" {
			t.Errorf("event without peer or session: %+v", e)
		}
	}
	want := []string{
		"connect true c.test [local] connected to our mx service",
		"check false refused the recipient nobody@north.test: no such user",
		"receive true took a message of 3 bytes from bob@client.test for ann@north.test",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e := h.events[2]; e.ID != "id1" || e.Step != trace.Receive || len(e.To) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestSlowContentIsCutOff(t *testing.T) {
	for claim, c := range map[string]struct {
		chunk string
		every time.Duration
		want  time.Duration // when it ends, at most
		reply string
	}{
		"nothing comes":         {"", time.Hour, dataTimeout, "421 4.4.2"},
		"a line every minute":   {"xxxxxxxxxxxxxxxxxx\r\n", time.Minute, 6 * time.Minute, "421 4.4.2"},
		"without end, but fast": {strings.Repeat("x", 30000) + "\r\n", time.Minute, maxDataTime + time.Minute, "421 4.4.2"},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				h := new(house)
				s := h.server(t, nil)
				go s.session(t.Context(), t.Context(), server)
				go func() {
					io.WriteString(client, begin+"DATA\r\n")
					for {
						if _, err := io.WriteString(client, c.chunk); err != nil {
							return
						}
						time.Sleep(c.every)
					}
				}()
				start := time.Now()
				out, _ := io.ReadAll(client)
				if d := time.Since(start); d > c.want || !strings.HasPrefix(lastReply(string(out)), c.reply) {
					t.Errorf("after %v: %q; want %s after at most %v", d, lastReply(string(out)), c.reply, c.want)
				}
				client.Close()
				time.Sleep(2 * time.Hour) // the client notices
			})
		})
	}
}

// panicking is an Acceptor with a bug.
type panicking struct{}

func (panicking) Accept(context.Context, *Session, mail.Envelope, mail.Content) (mail.QueueID, []error, error) {
	panic("a bug")
}

func TestPanicEndsOneSession(t *testing.T) {
	s := new(house).server(t, func(c *Config) { c.Acceptor = panicking{} })
	out := talk(t, s, begin+"DATA\r\nx\r\n.\r\nNOOP\r\n")
	if strings.Contains(out, "accepted") || strings.Contains(out, "250 2.0.0 OK") {
		t.Errorf("the session went on: %q", out)
	}
	if used := s.contents.used.Load(); used != 0 {
		t.Errorf("%d bytes are still held", used)
	}
	if out := talk(t, s, "NOOP\r\n"); lastReply(out) != "250 2.0.0 OK" {
		t.Errorf("the next session: %q", out)
	}
}

func TestGuessersAreTurnedAway(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	h := new(house)
	for _, exempt := range []string{"192.0.2.0/24", "127.0.0.0/8"} {
		bans := ban.New(ban.Config{Exempt: []netip.Prefix{netip.MustParsePrefix(exempt)}})
		for range ban.DefaultRules.Limits[ban.WrongPassword] {
			bans.Gate(h, netip.MustParseAddr("127.0.0.1")).Failed(over, 0) // over another protocol, say
		}
		addr, _ := start(t, h.server(t, func(c *Config) { c.Mode, c.PlaintextAuth, c.Bans = Submission, true, bans }))
		c := dial(t, addr)
		if exempt != "127.0.0.0/8" {
			c.want("", 1, "421 4.7.0 mx.north.test too many failed logins from your address, come back after 20")
			c.wantClosed()
			continue
		}
		c.want("", 1, "220 ")
		c.want("EHLO c.test\r\n", 1, "250 ")
		c.want("AUTH PLAIN AGFubgBzZWNyZXQ=\r\n", 1, "235 2.7.0")
	}
}

// FuzzSession sends any bytes: what comes back are legal replies, one for each line at most, and
// nothing stays held.
func FuzzSession(f *testing.F) {
	f.Add(begin+"DATA\r\nx\r\n.\r\nQUIT\r\n", uint8(0))
	f.Add("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@north.test>\r\nRCPT TO:<full@north.test>\r\nBDAT 3\r\nabcBDAT 1 LAST\r\nx", uint8(1))
	f.Add("EHLO c\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\nAUTH LOGIN\r\n*\r\nVRFY x\r\nHELP\r\n", uint8(2))
	f.Add(begin+"DATA\r\na\nb\r\n.\r\nBDAT x\r\n", uint8(0))
	f.Add("EHLO c\r\nETRN x.test\r\nXCLIENT NAME=x ADDR=192.0.2.1\r\nEHLO d\r\nVRFY x\r\nMAIL FROM:<a@b> MT-PRIORITY=3 BY=1;R\r\n", uint8(3))
	servers := []*Server{}
	h := new(house)
	for _, mode := range []string{"mx", "lmtp", "submission", "xclient"} {
		servers = append(servers, h.server(f, modes[mode]))
	}
	f.Fuzz(func(t *testing.T, in string, mode uint8) {
		h.messages, h.events = nil, nil
		s := servers[int(mode)%len(servers)]
		if strings.Contains(in, "AUTH") && strings.Count(in, "AUTH") > 1 {
			in = strings.Replace(in, "AUTH", "AUTX", -1) // each wrong password takes a real second
		}
		out := talk(t, s, in)
		r := bufio.NewReader(strings.NewReader(out))
		for replies := 0; ; replies++ {
			_, err := smtp.ReadReply(func() ([]byte, error) {
				line, err := r.ReadString('\n')
				if err == nil && !strings.HasSuffix(line, "\r\n") {
					return nil, fmt.Errorf("reply line without CRLF: %q", line)
				}
				return []byte(strings.TrimSuffix(line, "\r\n")), err
			})
			if err == io.EOF {
				break
			}
			if err != nil && !strings.Contains(out, "\r\n334 ") { // a challenge of AUTH is a 3xx reply, so legal too
				t.Fatalf("%q: reply %d: %v in %q", in, replies, err, out)
			}
		}
		if used := s.contents.used.Load(); used != 0 {
			t.Errorf("%q: %d bytes are still held", in, used)
		}
	})
}
