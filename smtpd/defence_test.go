package smtpd

import (
	"context"
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
	"posthaste/trace"
)

// visit is a session of a client at ip, which sends in and hears until the end. wait is how long it
// listens before.
func visit(t *testing.T, s *Server, ip, in string, wait time.Duration) (out string, took time.Duration) {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.session(t.Context(), t.Context(), addressed{server, ip})
	}()
	start := time.Now()
	heard := make(chan string)
	go func() { all, _ := io.ReadAll(client); heard <- string(all) }()
	time.Sleep(wait)
	io.WriteString(client, in)
	out = <-heard
	<-done
	return out, time.Since(start)
}

func TestEarlyTalkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(house)
		var talked []bool
		s := h.server(t, func(c *Config) {
			c.GreetDelay, c.Visitors = 2*time.Second, new(Visitors)
			c.Exempt = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
			c.Trusted = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
			c.Senders = watcher(func(s *Session) { talked = append(talked, s.EarlyTalker) })
		})
		const hello, begin = "220 mx.north.test ESMTP", "EHLO c.test\r\nMAIL FROM:<bob@client.test>\r\nQUIT\r\n"
		for _, c := range []struct {
			claim, ip string
			wait      time.Duration
			teased    bool
			early     bool
		}{
			{"who speaks at once is an early talker", "192.0.2.1", 0, true, true},
			{"and so the next time", "192.0.2.1", time.Second, true, true},
			{"who waits is none", "192.0.2.1", 3 * time.Second, true, false},
			{"and is greeted at once from then on", "192.0.2.1", 0, false, false},
			{"another network is not", "192.0.2.2", 3 * time.Second, true, false},
			{"an exempt client is greeted at once", "10.2.0.1", 0, false, false},
			{"a trusted one too", "10.1.0.1", 0, false, false},
		} {
			talked = nil
			out, _ := visit(t, s, c.ip, begin, c.wait)
			if strings.HasPrefix(out, "220-mx.north.test ESMTP Posthaste\r\n") != c.teased || !strings.Contains(out, hello) || !strings.Contains(out, "\r\n221 ") {
				t.Errorf("%s: %q", c.claim, out)
			}
			if len(talked) != 1 || talked[0] != c.early {
				t.Errorf("%s: policy hears %v", c.claim, talked)
			}
		}
		time.Sleep(patientFor)
		if out, _ := visit(t, s, "192.0.2.1", begin, 3*time.Second); !strings.HasPrefix(out, "220-") {
			t.Errorf("a week later: %q", out)
		}
		s = h.server(t, func(c *Config) { c.GreetDelay, c.EarlyTalk = 2*time.Second, EarlyTalkRefuse })
		if out, _ := visit(t, s, "192.0.2.1", begin, 0); !strings.HasPrefix(lastReply(out), "554 5.7.1 wait for the greeting before you speak (ref ") {
			t.Errorf("where they are refused: %q", out)
		}
	})
}

// watcher is a policy about senders that only looks.
type watcher func(*Session)

func (w watcher) CheckSender(_ context.Context, s *Session, _ mail.Envelope) error {
	w(s)
	return nil
}

func TestRatesOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(house)
		s := h.server(t, func(c *Config) {
			c.Rates = Rates{Connections: 20, Messages: 3, Recipients: 5, UnknownRecipients: 2, Wider: 2}
			c.Exempt = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		})
		mailing := func(n int) string {
			return "EHLO c.test\r\n" + strings.Repeat("MAIL FROM:<bob@client.test>\r\nRSET\r\n", n) + "QUIT\r\n"
		}
		naming := func(who string, n int) string {
			return "EHLO c.test\r\nMAIL FROM:<bob@client.test>\r\n" + strings.Repeat("RCPT TO:<"+who+"@north.test>\r\n", n) + "QUIT\r\n"
		}
		for _, c := range []struct {
			claim, ip, in string
			after         time.Duration
			reply         string
			times         int
		}{
			{"messages up to the limit", "192.0.2.1", mailing(3), 0, "450 4.7.1", 0},
			{"and over it", "192.0.2.1", mailing(2), 0, "450 4.7.1 too many messages from your network in an hour, try again later (ref ", 2},
			{"the /24 has the limit twice", "192.0.2.2", mailing(3), 0, "450 4.7.1 too many messages", 2},
			{"another /24 has its own", "198.51.100.1", mailing(3), 0, "450 4.7.1", 0},
			{"an hour later again", "192.0.2.1", mailing(3), time.Hour, "450 4.7.1", 0},
			{"exempt clients have none", "10.0.0.1", mailing(9), 0, "450 4.7.1", 0},
			{"recipients", "198.51.100.9", naming("ann", 7), 0, "450 4.7.1 too many recipients", 2},
			{"unknown recipients end it for all", "203.0.113.1", naming("nobody", 3) + naming("ann", 1), 0, "550 5.1.1", 3},
			{"also in the next session", "203.0.113.1", naming("ann", 1), 0, "450 4.7.1 too many unknown recipients", 1},
			{"until the hour is over", "203.0.113.1", naming("ann", 1), time.Hour, "450 4.7.1", 0},
			{"IPv6 counts by /64", "2001:db8::1", mailing(3), 0, "450 4.7.1", 0},
			{"another address of it", "2001:db8::2", mailing(1), 0, "450 4.7.1", 1},
			{"another /64", "2001:db8:0:1::2", mailing(1), 0, "450 4.7.1", 0},
		} {
			time.Sleep(c.after)
			if out, _ := visit(t, s, c.ip, c.in, 0); strings.Count(out, "\r\n"+c.reply) != c.times {
				t.Errorf("%s: %q, want %d times %q", c.claim, out, c.times, c.reply)
			}
		}
		time.Sleep(time.Minute)
		for i := range 21 {
			out, _ := visit(t, s, "192.0.2.77", "QUIT\r\n", 0)
			if refused := strings.HasPrefix(out, "421 4.7.0 too many connections from your network in a minute, try again later (ref "); refused != (i == 20) {
				t.Errorf("connection %d: %q", i+1, out)
			}
		}
		time.Sleep(time.Minute)
		if out, _ := visit(t, s, "192.0.2.77", "QUIT\r\n", 0); !strings.HasPrefix(out, "220 ") {
			t.Errorf("a minute later: %q", out)
		}
	})
}

func TestTarpit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(house).server(t, func(c *Config) {
			c.Tarpit, c.TarpitAfter = time.Second, 2
			c.Exempt = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		})
		in := begin + strings.Repeat("RCPT TO:<nobody@north.test>\r\n", 5) + "RCPT TO:<ann@north.test>\r\nQUIT\r\n"
		for ip, want := range map[string]time.Duration{"192.0.2.1": 3 * time.Second, "10.0.0.1": 0} {
			out, took := visit(t, s, ip, in, 0)
			if took != want || strings.Count(out, "550 5.1.1") != 5 || !strings.Contains(out, "\r\n221 ") {
				t.Errorf("%s: after %v, want %v: %q", ip, took, want, out)
			}
		}
		long := "EHLO c.test\r\nMAIL FROM:<bob@client.test>\r\n" + strings.Repeat("RCPT TO:<nobody@north.test>\r\n", 1500) + "QUIT\r\n"
		if _, took := visit(t, s, "192.0.2.1", long, 0); took != maxTarpit {
			t.Errorf("one session was put off by %v, want at most %v", took, maxTarpit)
		}
	})
}

func TestTarpitEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(house).server(t, func(c *Config) { c.Tarpit = time.Hour })
		client, server := net.Pipe()
		drain, stop := context.WithCancel(t.Context())
		go s.session(drain, t.Context(), addressed{server, "192.0.2.1"})
		go io.WriteString(client, "NONSENSE\r\n")
		time.AfterFunc(time.Minute, stop)
		start := time.Now()
		if out, err := io.ReadAll(client); err != nil || time.Since(start) > time.Minute+hangupTimeout || !strings.Contains(string(out), "421 4.3.2") {
			t.Errorf("after %v: %q, %v", time.Since(start), out, err)
		}
	})
}

func TestOffencesReachTheBans(t *testing.T) {
	h := new(house)
	quiet := "EHLO c.test\r\nQUIT\r\n"
	for claim, c := range map[string]struct {
		in   string
		kind ban.Kind
	}{
		"HTTP":               {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ban.Scan},
		"TLS":                {"\x16\x03\x01\x02\x00\x01", ban.Scan},
		"bad commands":       {strings.Repeat("X\r\n", maxErrors+1), ban.BadSession},
		"nothing asked":      {quiet, ban.Probe},
		"gone without QUIT":  {"", ban.Probe},
		"unknown recipients": {"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<nobody@north.test>\r\nQUIT\r\n", ban.UnknownRecipient},
		"ordinary mail":      {begin + "DATA\r\nx\r\n.\r\nQUIT\r\n", 99},
	} {
		for kind := range ban.UnknownRecipient + 1 {
			rules := ban.Rules{Window: time.Hour, First: time.Hour, Longest: time.Hour}
			rules.Limits[kind] = 1
			bans := ban.New(ban.Config{Rules: rules})
			s := h.server(t, func(c *Config) { c.Bans = bans })
			conn := &memConn{in: strings.NewReader(c.in)}
			s.session(t.Context(), t.Context(), addressed{conn, "192.0.2.1"})
			if _, banned := bans.Banned(netip.MustParseAddr("192.0.2.1"), time.Now()); banned != (kind == c.kind) {
				t.Errorf("%s: banned for %v: %t; %q", claim, kind, banned, conn.out.String())
			}
		}
	}
}

// closing notes that it was closed.
type closing struct{ times int }

func (c *closing) Close() error { c.times++; return nil }

func TestStateIsClosedWithTheSession(t *testing.T) {
	for claim, in := range map[string]string{
		"with QUIT":            begin + "QUIT\r\n",
		"when the client goes": begin,
		"with XCLIENT":         begin + "RSET\r\nXCLIENT ADDR=192.0.2.1\r\n",
	} {
		state := new(closing)
		s := new(house).server(t, func(c *Config) {
			xclients(c)
			c.Senders = watcher(func(s *Session) { s.State = state })
		})
		if talk(t, s, in); state.times != 1 {
			t.Errorf("%s: closed %d times", claim, state.times)
		}
	}
}

func TestRefLeadsToTheStory(t *testing.T) {
	h := new(house)
	out := talk(t, h.server(t, nil), begin+"RCPT TO:<nobody@north.test>\r\nQUIT\r\n")
	_, ref, _ := strings.Cut(out, "550 5.1.1 no such user (ref ")
	ref, _, _ = strings.Cut(ref, ")")
	if len(ref) != 9 {
		t.Fatalf("%q", out)
	}
	for _, e := range h.events {
		if e.Step == trace.Check && e.Session != ref {
			t.Errorf("ref %s, but the event is of %s", ref, e.Session)
		}
	}
}

func TestIDs(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	seen := map[string]bool{}
	for i := range uint32(1000) {
		for s := range 10 {
			id := newID(now.Add(time.Duration(s)*time.Second), i*1_600_001)
			if len(id) != 9 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyz") != "" || seen[id] {
				t.Fatalf("%q", id)
			}
			seen[id] = true
		}
	}
	if newID(time.Unix(0, 0), 0) != "000000000" || newID(time.Unix(-1, 0), 1<<32-1) == "" {
		t.Error("strange clocks")
	}
}

func TestVisitorsAreBounded(t *testing.T) {
	var vs Visitors
	now := time.Now()
	for i := range 2 * maxPatient {
		ip := netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1})
		vs.count(ip, mailed, &Rates{Messages: 1}, now.Add(time.Duration(i)))
		vs.waited(ip, now.Add(time.Duration(i)))
	}
	if len(vs.counts) > maxVisitors || len(vs.patient) > maxPatient {
		t.Errorf("%d visitors, %d who waited", len(vs.counts), len(vs.patient))
	}
	last := netip.MustParseAddr(fmt.Sprintf("%d.%d.%d.1", (2*maxPatient-1)>>16, (2*maxPatient-1)>>8&255, (2*maxPatient-1)&255))
	if !vs.waits(last, now.Add(time.Second)) {
		t.Error("the latest is forgotten")
	}
}
