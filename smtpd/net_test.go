package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"posthaste/auth"
	"posthaste/directory"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

// start serves s on a port until the test ends; stop ends it before and waits.
func start(t testing.TB, s *Server) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	stop = func() {
		cancel()
		if err, ok := <-done; ok && err != nil {
			t.Errorf("Serve: %v", err)
		}
		close(done)
	}
	t.Cleanup(func() {
		if ctx.Err() == nil {
			stop()
		}
	})
	return ln.Addr().String(), stop
}

// client is a client over TCP.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { nc.Close() })
	return &client{t, nc, bufio.NewReader(nc)}
}

func (c *client) startTLS(cfg *tls.Config) *client {
	nc := tls.Client(c.Conn, cfg)
	if err := nc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	return &client{c.t, nc, bufio.NewReader(nc)}
}

// say sends text and returns the last line of each of n replies.
func (c *client) say(text string, n int) (last string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
	for n > 0 {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("after %q: %v (have %q)", text, err, line)
		}
		if last = strings.TrimSuffix(line, "\r\n"); len(last) < 4 || last[3] != '-' {
			n--
		}
	}
	return last
}

func (c *client) want(text string, n int, reply string) {
	c.t.Helper()
	if got := c.say(text, n); !strings.HasPrefix(got, reply) {
		c.t.Fatalf("%q: got %q, want %q", text, got, reply)
	}
}

func (c *client) wantClosed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Errorf("want the connection closed, got %q, %v", rest, err)
	}
}

func tlsConfigs() (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

func TestSTARTTLSForgetsWhatWasSaidBefore(t *testing.T) {
	serverConfig, clientConfig := tlsConfigs()
	h := new(house)
	addr, _ := start(t, h.server(t, func(c *Config) { c.Mode, c.TLS = Submission, serverConfig }))
	c := dial(t, addr)
	c.want("", 1, "220 ")
	c.want("EHLO c.test\r\n", 1, "250 AUTH SCRAM-SHA-256")
	c.want("AUTH PLAIN AGFubgBzZWNyZXQ=\r\n", 1, "538 5.7.11")
	c.want("MAIL FROM:<ann@north.test>\r\n", 1, "530 5.7.0 start TLS")
	c.want("STARTTLS now\r\n", 1, "501 5.5.4")
	c.want("STARTTLS\r\n", 1, "220 2.0.0")
	c = c.startTLS(clientConfig)
	c.want("MAIL FROM:<ann@north.test>\r\n", 1, "503 5.5.1")
	c.want("EHLO c.test\r\n", 1, "250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN")
	c.want("STARTTLS\r\n", 1, "503 5.5.1")
	c.want("AUTH PLAIN AGFubgBzZWNyZXQ=\r\n", 1, "235 2.7.0")
	c.want("MAIL FROM:<ann@north.test> SMTPUTF8\r\nRCPT TO:<bob@x.test>\r\nDATA\r\n", 3, "354")
	c.want("x\r\n.\r\n", 1, "250 2.0.0")
	c.want("QUIT\r\n", 1, "221 2.0.0")
	c.wantClosed()
	o := h.messages[0].env.Origin
	if o.Protocol != "UTF8SMTPSA" || !strings.HasPrefix(o.TLS, "TLS 1.3 TLS_") || o.IP != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("origin %+v", o)
	}
}

// TestNothingSentAheadOfTLSIsReadAfterIt is CVE-2011-0411.
func TestNothingSentAheadOfTLSIsReadAfterIt(t *testing.T) {
	serverConfig, _ := tlsConfigs()
	h := new(house)
	addr, _ := start(t, h.server(t, func(c *Config) { c.TLS = serverConfig }))
	c := dial(t, addr)
	c.want("", 1, "220 ")
	c.want("EHLO c.test\r\nSTARTTLS\r\nRSET\r\n", 2, "421 4.7.0")
	c.wantClosed()
}

func TestImplicitTLS(t *testing.T) {
	serverConfig, clientConfig := tlsConfigs()
	addr, _ := start(t, new(house).server(t, func(c *Config) { c.Mode, c.TLS, c.ImplicitTLS = Submission, serverConfig, true }))
	c := dial(t, addr).startTLS(clientConfig)
	c.want("", 1, "220 mx.north.test")
	if got := c.say("EHLO c.test\r\n", 1); got != "250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" {
		t.Errorf("got %q", got)
	}
	// A client that speaks plaintext here gets no answer it could take for one.
	c = dial(t, addr)
	io.WriteString(c, "EHLO c.test\r\n")
	if rest, _ := io.ReadAll(c); strings.Contains(string(rest), "220") {
		t.Errorf("got %q", rest)
	}
}

func TestPROXYHeaderIsBelievedFromListedNetworksOnly(t *testing.T) {
	h := new(house)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	addr, _ := start(t, h.server(t, func(c *Config) { c.Proxies = loopback }))
	c := dial(t, addr)
	c.want("PROXY TCP4 192.0.2.7 192.0.2.1 1000 25\r\n", 1, "220 ")
	c.want(begin+"DATA\r\n", 4, "354")
	c.want(".\r\n", 1, "250 2.0.0")
	if ip := h.messages[0].env.Origin.IP.String(); ip != "192.0.2.7" {
		t.Errorf("the message came from %s, want 192.0.2.7", ip)
	}
	c = dial(t, addr)
	io.WriteString(c, "EHLO c.test\r\nNOOP\r\n")
	if rest, _ := io.ReadAll(c); len(rest) > 0 { // no header: nothing is said
		t.Errorf("got %q", rest)
	}
	addr, _ = start(t, h.server(t, nil))
	c = dial(t, addr)
	c.want("", 1, "220 ")
	c.want("PROXY TCP4 192.0.2.7 192.0.2.1 1000 25\r\n", 1, "500 5.5.2")
}

func TestSessionsAreLimited(t *testing.T) {
	addr, _ := start(t, new(house).server(t, func(c *Config) { c.MaxPerIP = 2 }))
	a, b := dial(t, addr), dial(t, addr)
	a.want("", 1, "220 ")
	b.want("", 1, "220 ")
	dial(t, addr).want("", 1, "421 4.7.0 mx.north.test too many connections from your address")
	a.want("QUIT\r\n", 1, "221 ")
	a.Close()
	for { // the place is free once the session is over
		c := dial(t, addr)
		if strings.HasPrefix(c.say("", 1), "220 ") {
			break
		}
	}

	addr, _ = start(t, new(house).server(t, func(c *Config) { c.MaxSessions = 1 }))
	a = dial(t, addr)
	a.want("", 1, "220 ")
	dial(t, addr).want("", 1, "421 4.7.0 mx.north.test too many connections, ")

	exempt := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	addr, _ = start(t, new(house).server(t, func(c *Config) { c.MaxPerIP, c.Exempt = 1, exempt }))
	a, b = dial(t, addr), dial(t, addr)
	a.want("", 1, "220 ")
	b.want("", 1, "220 ")
}

func TestOnlyListedClientsConnect(t *testing.T) {
	other := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	addr, _ := start(t, new(house).server(t, func(c *Config) { c.Mode, c.Clients = LMTP, other }))
	c := dial(t, addr)
	c.want("", 1, "421 4.7.0 mx.north.test you may not connect here")
	c.wantClosed()
}

func TestShutdownLetsAMessageFinish(t *testing.T) {
	h := new(house)
	addr, stop := start(t, h.server(t, nil))
	idle, busy := dial(t, addr), dial(t, addr)
	idle.want("", 1, "220 ")
	busy.want("", 1, "220 ")
	busy.want(begin+"DATA\r\n", 4, "354")
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	idle.want("", 1, "421 4.3.2")
	idle.wantClosed()
	busy.want("x\r\n.\r\n", 2, "421 4.3.2")
	if len(h.messages) != 1 {
		t.Errorf("%d messages, want the one that was under way", len(h.messages))
	}
	busy.wantClosed()
	<-stopped
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("the port is still open")
	}
}

func TestShutdownCutsOffWhoDoesNotFinish(t *testing.T) {
	addr, stop := start(t, new(house).server(t, func(c *Config) { c.DrainTime = 10 * time.Millisecond }))
	c := dial(t, addr)
	c.want("", 1, "220 ")
	c.want(begin+"DATA\r\n", 4, "354")
	stop()
	if rest, _ := io.ReadAll(c); len(rest) > 0 {
		t.Errorf("got %q", rest)
	}
}

// TestSCRAMOverTheWire logs in with the real directory behind, with and without channel binding.
func TestSCRAMOverTheWire(t *testing.T) {
	dir := directory.New(memkv.New(), directory.Config{})
	defer dir.Close()
	a := auth.New(auth.Config{Directory: dir})
	credentials, err := a.NewCredentials(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if err := addAnn(t.Context(), dir, credentials); err != nil {
		t.Fatal(err)
	}
	serverConfig, clientConfig := tlsConfigs()
	h := new(house)
	addr, _ := start(t, h.server(t, func(c *Config) {
		c.Mode, c.TLS, c.Auth, c.Exempt = Submission, serverConfig, a, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}))
	for _, plus := range []bool{false, true} {
		for _, password := range []string{"correct horse", "wrong horse"} {
			c := dial(t, addr)
			c.want("", 1, "220 ")
			c.want("STARTTLS\r\n", 1, "220 ")
			c = c.startTLS(clientConfig)
			c.want("EHLO c.test\r\n", 1, "250 ")
			reply := scramLogin(c, password, plus)
			if ok := strings.HasPrefix(reply, "235 2.7.0"); ok != (password == "correct horse") {
				t.Errorf("plus %v, %q: %q", plus, password, reply)
			}
		}
	}
}

func addAnn(ctx context.Context, dir *directory.Directory, c directory.Credentials) error {
	if _, err := dir.AddDomain(ctx, "north.test", directory.DomainOptions{}); err != nil {
		return err
	}
	_, err := dir.AddAccount(ctx, mail.Address{Local: "ann", Domain: "north.test"}, directory.AccountOptions{Credentials: &c})
	return err
}

func scramLogin(c *client, password string, plus bool) (reply string) {
	sc, err := scram.SHA256.NewClient("ann@north.test", password, "")
	if err != nil {
		c.t.Fatal(err)
	}
	conv, mechanism := sc.NewConversation(), "SCRAM-SHA-256"
	if plus {
		state := c.Conn.(*tls.Conn).ConnectionState()
		key, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			c.t.Fatal(err)
		}
		conv = sc.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: key})
		mechanism += "-PLUS"
	}
	message, err := conv.Step("")
	for command := "AUTH " + mechanism + " "; ; command = "" {
		if err != nil {
			c.t.Fatal(err)
		}
		reply = c.say(fmt.Sprintf("%s%s\r\n", command, base64.StdEncoding.EncodeToString([]byte(message))), 1)
		challenge, ok := strings.CutPrefix(reply, "334 ")
		if !ok {
			return reply
		}
		raw, _ := base64.StdEncoding.DecodeString(challenge)
		message, err = conv.Step(string(raw))
	}
}
