package smtpd

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/mail"
)

func TestExtensionsReachTheEnvelope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(house)
		talk(t, h.server(t, modes["submission"]), "EHLO c\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\n"+
			"MAIL FROM:<ann@north.test> HOLDFOR=60 BY=3600;RT MT-PRIORITY=4\r\nRCPT TO:<held@y.test>\r\nRCPT TO:<held@y.test>\r\nDATA\r\nx\r\n.\r\n")
		if len(h.messages) != 1 {
			t.Fatal("the message was refused")
		}
		now, e := time.Now(), h.messages[0].env
		if !e.HoldUntil.Equal(now.Add(time.Minute)) || !e.DeliverBy.Equal(now.Add(time.Hour)) || e.ByMode != mail.ByReturn || !e.ByTrace || e.Priority != 4 {
			t.Errorf("envelope %+v", e)
		}
		if fates := h.messages[0].fates; len(fates) != 1 || fates[0].Hold != "a rule" {
			t.Errorf("fates %+v, want one to hold", fates)
		}
	})
}

func TestXClientIsTheOriginOfWhatFollows(t *testing.T) {
	h := new(house)
	s := h.server(t, func(c *Config) {
		xclients(c)
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	})
	conn := &memConn{in: strings.NewReader("EHLO proxy.test\r\nXCLIENT NAME=c.test ADDR=198.51.100.1 HELO=said.test PROTO=SMTP\r\n" +
		begin + "DATA\r\nx\r\n.\r\n")}
	s.session(t.Context(), t.Context(), addressed{conn, "192.0.2.9"})
	if len(h.messages) != 1 {
		t.Fatal(conn.out.String())
	}
	m := h.messages[0]
	want := mail.Origin{IP: netip.MustParseAddr("198.51.100.1"), Name: "c.test", Helo: "said.test", Protocol: "SMTP"}
	if m.env.Origin != want || !m.trusted {
		t.Errorf("origin %+v, trusted %v; want %+v, trusted", m.env.Origin, m.trusted, want)
	}
}

func TestUnqualifiedAddresses(t *testing.T) {
	const session = "HELO c\r\nMAIL FROM:<root>\r\nRCPT TO:<ann>\r\nDATA\r\n.\r\n"
	h := new(house)
	s := h.server(t, modes["trusted"])
	conn := &memConn{in: strings.NewReader(session)}
	s.session(t.Context(), t.Context(), addressed{conn, "192.0.2.5"})
	if len(h.messages) != 1 || h.messages[0].env.From.Path() != "root@north.test" || h.messages[0].env.Recipients[0].Address.String() != "ann@north.test" {
		t.Errorf("a trusted client: %+v", h.messages)
	}
	if out := talk(t, s, session); strings.Count(out, "\r\n501 5.1.3") != 1 || len(h.messages) != 1 {
		t.Errorf("a stranger: %q", out)
	}
}
