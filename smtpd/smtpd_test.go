package smtpd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
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
}

func (h *house) CheckSender(_ context.Context, s *Session, env mail.Envelope) error {
	if s.Mode == Submission && env.From.Address != s.Identity.Address {
		return mail.NewStatus(550, "5.7.1", "that address is not yours")
	}
	return nil
}

func (h *house) CheckRecipient(_ context.Context, s *Session, _ mail.Envelope, rcpt mail.Recipient) error {
	switch {
	case rcpt.Address.Local == "broken":
		return fmt.Errorf("the directory is on fire")
	case rcpt.Address.Local == "nobody":
		return mail.NewStatus(550, "5.1.1", "no such user")
	case rcpt.Address.Local == "later":
		return mail.NewStatus(451, "4.3.0", "later")
	case rcpt.Address.Domain != "north.test" && s.Mode == MX:
		return mail.NewStatus(550, "5.7.1", "relaying denied")
	}
	return nil
}

func (h *house) Accept(_ context.Context, _ *Session, env mail.Envelope, c mail.Content) (mail.QueueID, []error, error) {
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
	h.messages = append(h.messages, message{env, string(c.Bytes())})
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
		Senders: h, Recipients: h, Acceptor: h, Auth: h, Trace: h,
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
	"small":      func(c *Config) { c.MaxSize, c.MaxRecipients = 100, 3 },
}

func TestDialogues(t *testing.T) {
	for mode, change := range modes {
		wiretest.Run(t, "testdata/"+mode+"-*.dialog", func(t *testing.T) func(context.Context, net.Conn) {
			s := new(house).server(t, change)
			return func(ctx context.Context, nc net.Conn) { s.session(ctx, ctx, nc) }
		})
	}
}

// talk sends in to a session of s over a pipe, ends the input, and returns all replies.
func talk(t testing.TB, s *Server, in string) string {
	t.Helper()
	conn := &memConn{in: strings.NewReader(in)}
	s.session(t.Context(), t.Context(), conn)
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
