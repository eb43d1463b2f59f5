package imapd

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/auth/ban"
)

// readAll returns what the server says until it closes.
func readAll(c net.Conn) string {
	all, _ := io.ReadAll(c)
	return string(all)
}

func TestClientThatSaysNothingIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := newSite(t, nil)
		client, server := net.Pipe()
		go site.session(t.Context(), t.Context(), server)
		start := time.Now()
		got := readAll(client)
		if d := time.Since(start); d != loginTimeout || !strings.Contains(got, "\r\n* BYE ") {
			t.Errorf("after %v: %q; want BYE after %v", d, got, loginTimeout)
		}
	})
}

func TestIdleClientIsClosedAfterHalfAnHour(t *testing.T) {
	for _, last := range []string{"a NOOP\r\n", "a IDLE\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			site := newSite(t, nil)
			client, server := net.Pipe()
			go site.session(t.Context(), t.Context(), server)
			start := time.Now()
			go fmt.Fprintf(client, "l LOGIN %s \"%s\"\r\n%s", testLogin, testPassword, last)
			got := readAll(client)
			if d := time.Since(start); d != idleTimeout || !strings.Contains(got, "\r\n* BYE ") {
				t.Errorf("%s: after %v: %q; want BYE after %v", last, d, got, idleTimeout)
			}
		})
	}
}

func TestGuessingIsSlowedDownAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := newSite(t, nil)
		client, server := net.Pipe()
		go site.session(t.Context(), t.Context(), server)
		start := time.Now()
		go io.WriteString(client, strings.Repeat("a LOGIN ann@north.test wrong\r\n", 2*maxLogins))
		got := readAll(client)
		want := (1<<maxLogins - 1) * ban.GuessDelay // each as long as all before and one
		if d := time.Since(start); d != want || strings.Count(got, "AUTHENTICATIONFAILED") != maxLogins-1 || !strings.Contains(got, "* BYE") {
			t.Errorf("after %v: %q; want BYE after %v", d, got, want)
		}
		if e := site.events.all; len(e) != maxLogins || e[0].OK || strings.Contains(fmt.Sprint(e), "wrong\"") {
			t.Errorf("trace: %+v", e)
		}
	})
}

func TestNonsenseEndsTheSession(t *testing.T) {
	site := newSite(t, nil)
	conn := dial(t, site.listen(t))
	go io.WriteString(conn, strings.Repeat("a NONSENSE\r\n", 2*maxBadCommands))
	if got := readAll(conn); strings.Count(got, "a BAD") != maxBadCommands || !strings.Contains(got, "* BYE") {
		t.Errorf("got %q", got)
	}
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

func TestLongLinesAndCommandsAreRefused(t *testing.T) {
	site := newSite(t, nil)
	conn := dial(t, site.listen(t))
	r := bufio.NewReader(conn)
	p := &peer{conn, r}
	p.expect(t, 0, "* OK *")
	tests := []struct{ claim, send, want string }{
		{"a line over the limit", "a NOOP " + strings.Repeat("x", maxLine) + "\r\n", "* BAD a line is longer *"},
		{"the session goes on", "a NOOP\r\n", "a OK *"},
		{"a literal over the limit that waits", "a LOGIN {100000}\r\n", "a NO [LIMIT] *"},
		{"small literals that add up", "a LOGIN {6000+}\r\n" + strings.Repeat("x", 6000) + " {6000+}\r\n" + strings.Repeat("x", 6000) +
			" {6000+}\r\n" + strings.Repeat("x", 6000) + "\r\n", "a NO [LIMIT] *"},
		{"the session goes on again", "a NOOP\r\n", "a OK *"},
		{"a literal over the limit that does not wait", "a LOGIN {100000+}\r\n", "* BYE [TOOBIG] *"},
	}
	for i, test := range tests {
		io.WriteString(conn, test.send)
		t.Log(test.claim)
		p.expect(t, i, test.want)
	}
}

func TestShutdownSaysGoodbye(t *testing.T) {
	site := newSite(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- site.Serve(ctx, ln) }()
	conn := dial(t, ln.Addr().String())
	p := &peer{conn, bufio.NewReader(conn)}
	p.expect(t, 0, "* OK *")
	cancel()
	p.expect(t, 1, "* BYE [UNAVAILABLE] *")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStartTLS(t *testing.T) {
	config, pool := testTLS(t)
	site := newSite(t, func(c *Config) { c.TLS, c.PlaintextAuth = config, false })
	addr := site.listen(t)
	conn := dial(t, addr)
	p := &peer{conn, bufio.NewReader(conn)}
	p.expect(t, 0, "* OK [CAPABILITY * STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256] *")
	io.WriteString(conn, "a LOGIN x y\r\nb AUTHENTICATE PLAIN\r\nc STARTTLS\r\n")
	p.expect(t, 1, "a NO [PRIVACYREQUIRED] *")
	p.expect(t, 2, "b NO [PRIVACYREQUIRED] *")
	p.expect(t, 3, "c OK *")
	secure := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "mail.north.test"})
	p = &peer{secure, bufio.NewReader(secure)}
	fmt.Fprintf(secure, "d CAPABILITY\r\ne LOGIN %s \"%s\"\r\n", testLogin, testPassword)
	p.expect(t, 4, "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE AUTH=*")
	p.expect(t, 5, "d OK *")
	p.expect(t, 6, "e OK *")

	injected := dial(t, addr)
	io.WriteString(injected, "a STARTTLS\r\nb LOGIN x y\r\n")
	if got := readAll(injected); strings.Contains(got, "\r\nb ") {
		t.Errorf("a command sent ahead of TLS was answered: %q", got)
	}
}

func TestSessionsOverALimitAreRefused(t *testing.T) {
	for _, limit := range []func(*Config){func(c *Config) { c.MaxSessions = 1 }, func(c *Config) { c.MaxPerIP = 1 }} {
		addr := newSite(t, limit).listen(t)
		first, second := dial(t, addr), dial(t, addr)
		(&peer{first, bufio.NewReader(first)}).expect(t, 0, "* OK *")
		if got := readAll(second); !strings.HasPrefix(got, "* BYE [UNAVAILABLE] too many connections") {
			t.Errorf("a second session hears %q", got)
		}
	}
}

func TestClientsBehindABalancer(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	site := newSite(t, func(c *Config) { c.Proxies = loopback })
	conn := dial(t, site.listen(t))
	p := &peer{conn, bufio.NewReader(conn)}
	fmt.Fprintf(conn, "PROXY TCP4 192.0.2.7 192.0.2.1 1000 143\r\na LOGIN %s \"%s\"\r\n", testLogin, testPassword)
	p.expect(t, 0, "* OK *")
	p.expect(t, 1, "a OK *")
	if e := site.events.all; len(e) != 1 || !strings.HasPrefix(e[0].Peer, "192.0.2.7") {
		t.Errorf("trace: %+v", e)
	}
}

func TestGuessersAreTurnedAway(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, exempt := range []string{"192.0.2.0/24", "127.0.0.0/8"} {
		bans := ban.New(ban.Config{Exempt: []netip.Prefix{netip.MustParsePrefix(exempt)}})
		for range ban.DefaultRules.Limits[ban.WrongPassword] {
			bans.Gate(nil, netip.MustParseAddr("127.0.0.1")).Failed(over, 0) // over another protocol, say
		}
		conn := dial(t, newSite(t, func(c *Config) { c.Bans = bans }).listen(t))
		p := &peer{conn, bufio.NewReader(conn)}
		if exempt != "127.0.0.0/8" {
			p.expect(t, 0, "* BYE [UNAVAILABLE] too many failed logins *")
			continue
		}
		p.expect(t, 0, "* OK *")
		fmt.Fprintf(conn, "a LOGIN %s \"%s\"\r\n", testLogin, testPassword)
		p.expect(t, 1, "a OK *")
	}
}
