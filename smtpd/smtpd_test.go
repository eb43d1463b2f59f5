package smtpd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/auth"
	"posthaste/mail"
	"posthaste/trace"
	"posthaste/wire/wiretest"
)

// house is what stands behind a server in tests: policy and acceptor for the domain north.test. Local
// parts say what happens: "nobody" is unknown, "later" is deferred, "full" fails at the end.
type house struct {
	mu       sync.Mutex // guards the two below
	messages []message
	events   []trace.Event
	err      error // of the next Accept
}

type message struct {
	env     mail.Envelope
	content string
	fates   []Fate
	trusted bool
}

func (h *house) CheckSender(_ context.Context, s *Session, env mail.Envelope) error {
	if s.Mode == Submission && env.From.Address != s.Identity.Address {
		return mail.NewStatus(550, "5.7.1", "that address is not yours")
	}
	return nil
}

func (h *house) CheckRecipient(_ context.Context, s *Session, _ mail.Envelope, rcpt mail.Recipient) (Fate, error) {
	switch {
	case rcpt.Address.Local == "broken":
		return Fate{}, fmt.Errorf("the directory is on fire")
	case rcpt.Address.Local == "moved":
		return Fate{Answer: mail.NewStatus(251, "2.1.5", "user not here; will forward to <ann@south.test>")}, nil
	case rcpt.Address.Local == "gone":
		return Fate{}, mail.NewStatus(551, "5.1.6", "user not here; please try <ann@south.test>")
	case rcpt.Address.Local == "held":
		return Fate{Hold: "a rule"}, nil
	case rcpt.Address.Local == "nobody":
		return Fate{}, mail.NewStatus(550, "5.1.1", "no such user")
	case rcpt.Address.Local == "later":
		return Fate{}, mail.NewStatus(451, "4.3.0", "later")
	case rcpt.Address.Domain != "north.test" && s.Mode == MX:
		return Fate{}, mail.NewStatus(550, "5.7.1", "relaying denied")
	}
	return Fate{}, nil
}

func (h *house) Accept(_ context.Context, s *Session, env mail.Envelope, c mail.Content) (mail.QueueID, []error, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return "", nil, h.err
	}
	outcomes := make([]error, len(env.Recipients))
	for i, r := range env.Recipients {
		if r.Address.Local == "full" {
			outcomes[i] = mail.NewStatus(552, "5.2.2", "mailbox full")
		}
	}
	h.messages = append(h.messages, message{env, string(c.Bytes()), s.Fates, s.Trusted})
	return mail.QueueID(fmt.Sprintf("id%d", len(h.messages))), outcomes, nil
}

func (h *house) Record(e trace.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// Password knows ann with the password "secret".
func (h *house) Password(_ context.Context, login, password string) (auth.Identity, error) {
	if login != "ann" || password != "secret" {
		return auth.Identity{}, auth.ErrCredentials
	}
	return auth.Identity{Account: 7, Login: login, Address: mail.Address{Local: "ann", Domain: "north.test"}}, nil
}

func (h *house) SCRAM(context.Context, string) (auth.ScramCredentials, error) {
	return auth.ScramCredentials{}, auth.ErrBusy
}

func (h *house) Certificate(*tls.ConnectionState) *x509.Certificate { return nil }

// server returns a server with h behind it.
func (h *house) server(t testing.TB, change func(*Config)) *Server {
	cfg := Config{
		Hostname: "mx.north.test", Domain: "north.test", SpoolDir: t.TempDir(),
		Senders: h, Recipients: h, Acceptor: h, Auth: h, Trace: h, Door: h, Verify: h, Flush: h, Logins: h,
	}
	if change != nil {
		change(&cfg)
	}
	return New(cfg)
}

// modes are the configurations that dialogues choose by the beginning of their names.
var modes = map[string]func(*Config){
	"mx":         nil,
	"submission": func(c *Config) { c.Mode, c.PlaintextAuth = Submission, true },
	"notls":      func(c *Config) { c.Mode = Submission },
	"lmtp":       func(c *Config) { c.Mode = LMTP },
	"fix":        func(c *Config) { c.BareLF = BareLFAccept },
	"small":      func(c *Config) { c.MaxSize, c.MaxRecipients, c.MaxMessages, c.MinDeliverBy = 100, 3, 4, time.Minute },
	"trusted":    func(c *Config) { c.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
	"door":       nil,
	"xclient":    xclients,
	"proxy":      func(c *Config) { c.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}; xclients(c) },
	"login":      func(c *Config) { c.Mode, c.PlaintextAuth = Submission, true; xclients(c) },
}

func xclients(c *Config) { c.XClients = []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")} }

// CheckClient turns 198.51.100.66 away for good and 198.51.100.67 for now.
func (h *house) CheckClient(_ context.Context, s *Session) error {
	switch s.Origin.IP.String() {
	case "198.51.100.66":
		return mail.NewStatus(550, "5.7.1", "not you")
	case "198.51.100.67":
		return mail.NewStatus(450, "4.7.1", "not now")
	}
	return nil
}

func (h *house) CheckHelo(_ context.Context, s *Session) error {
	if s.Origin.Helo == "liar.test" {
		return mail.NewStatus(550, "5.7.1", "that is not your name")
	}
	return nil
}

func (h *house) Verify(_ context.Context, s *Session, a mail.Address) (mail.Address, error) {
	if a.Domain == "" {
		a.Domain = "north.test"
	}
	_, err := h.CheckRecipient(context.Background(), s, mail.Envelope{}, mail.Recipient{Address: a})
	return a, err
}

func (h *house) Flush(_ context.Context, s *Session, domain string, below bool) (int, error) {
	switch {
	case domain == "other.test":
		return 0, mail.NewStatus(459, "4.7.1", "not a domain that we keep mail for")
	case below:
		return -1, nil
	case domain == "empty.test":
		return 0, nil
	}
	return 3, nil
}

func (h *house) Identify(_ context.Context, login string) (auth.Identity, error) {
	if login != "ann" {
		return auth.Identity{}, mail.NewStatus(535, "5.7.8", "no such login")
	}
	return auth.Identity{Account: 7, Login: login, Address: mail.Address{Local: "ann", Domain: "north.test"}}, nil
}

// hosts are the clients that dialogues come from, by the beginning of their names.
var hosts = map[string]string{"trusted": "192.0.2.5", "xclient": "192.0.2.9", "proxy": "192.0.2.9", "login": "192.0.2.9", "door": "198.51.100.66"}

// addressed is a connection from a host of the Internet.
type addressed struct {
	net.Conn
	ip string
}

func (c addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.ip), Port: 1025} }

func TestDialogues(t *testing.T) {
	for mode, change := range modes {
		wiretest.Run(t, "testdata/"+mode+"-*.dialog", func(t *testing.T) func(context.Context, net.Conn) {
			s := new(house).server(t, change)
			return func(ctx context.Context, nc net.Conn) {
				if ip := hosts[mode]; ip != "" {
					nc = addressed{nc, ip}
				}
				s.session(ctx, ctx, nc)
			}
		})
	}
}

// talk sends in to a session of s over a pipe, ends the input, and returns all replies.
func talk(t testing.TB, s *Server, in string) string {
	t.Helper()
	conn := &memConn{in: strings.NewReader(in)}
	nc := net.Conn(conn)
	if len(s.cfg.XClients) > 0 {
		nc = addressed{conn, "192.0.2.9"}
	}
	s.session(t.Context(), t.Context(), nc)
	return conn.out.String()
}

// memConn is a connection whose client sends all it has at once, then ends.
type memConn struct {
	in  *strings.Reader
	out strings.Builder

	writes int
}

func (c *memConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memConn) Write(p []byte) (int, error)      { c.writes++; return c.out.Write(p) }
func (c *memConn) Close() error                     { return nil }
func (c *memConn) LocalAddr() net.Addr              { return nil }
func (c *memConn) RemoteAddr() net.Addr             { return memAddr{} }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "mem" }
