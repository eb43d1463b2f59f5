package remote

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"time"

	"posthaste/mail"
	"posthaste/wire"
)

// quitTimeout is how long we wait for the farewell, which says nothing that matters.
const quitTimeout = 2 * time.Second

// A session is one connection to a host that is ready for transactions.
type session struct {
	conn     *wire.Conn
	host     Host
	addr     netip.AddrPort
	key      string // of the pool
	timeouts Timeouts
	lmtp     bool
	ext      extensions

	demand    demand
	helo      string // our name
	secured   string // "TLS 1.3", or empty
	verified  error  // why the certificate does not prove who the host is; nil where it does
	handshake error  // why there is no TLS though it was tried

	open          bool // a transaction was begun and not ended: RSET comes first
	dead          bool // of no more use
	transactions  int
	perConnection int // how many we want at most; 0: as many as the host takes
	replies       int // read since the session was taken from the pool

	expiry *time.Timer // of the pool
}

// A failure is why a host could not be used. Its status is for the recipients without an outcome,
// and the next host may do better.
type failure struct{ status *mail.Status }

// failed makes a failure of ours, temporary as all we cannot prove.
func (s *session) failed(phase string, err error) *failure {
	s.dead = true
	return &failure{mail.NewStatus(451, "4.4.2", "%s: %s: %s", s.peer(), phase, plain(err))}
}

// plain says in words what happened to a connection.
func plain(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was lost"
	}
	return err.Error()
}

func (s *session) peer() string { return s.host.Name }

// address names the host and where it is, for people.
func (s *session) address() string { return peerName(s.host, s.addr) }

func peerName(h Host, addr netip.AddrPort) string {
	if h.Socket != "" {
		return h.Socket
	}
	if len(h.Addrs) > 0 {
		return addr.String()
	}
	return h.Name + " [" + addr.Addr().String() + "]:" + portOf(addr)
}

// read reads one reply within timeout. A 421 means that the host is closing the connection
// (RFC 5321 section 3.8), whatever it was asked.
func (s *session) read(timeout time.Duration) (*mail.Status, error) {
	s.conn.SetTimeouts(timeout, s.timeouts.Block)
	status, err := readReply(s.conn)
	if err != nil {
		s.dead = true
		return nil, err
	}
	s.replies++
	status.Peer = s.host.Name
	if status.Code == 421 {
		s.dead = true
	}
	return status, nil
}

// command sends one line and reads its reply.
func (s *session) command(line string, timeout time.Duration) (*mail.Status, error) {
	s.conn.WriteString(line) // a failure to write shows when the reply is read
	s.conn.WriteString("\r\n")
	return s.read(timeout)
}

// quit ends the session politely where it still lives.
func (s *session) quit() {
	if !s.dead {
		s.command("QUIT", quitTimeout)
	}
	s.dead = true
	s.conn.Close()
}

// fitForRequireTLS tells whether a message with REQUIRETLS may go this way: encrypted, to a host that
// proved to be one of the domain's, and that promises the same for the rest of the way (RFC 8689
// section 4.2.1).
func (s *session) fitForRequireTLS() bool {
	return s.secured != "" && s.verified == nil && (s.demand.proven || s.demand.sts != nil && s.demand.sts.Matches(s.host.Name)) && s.ext.requireTLS
}
