// Package wire is one connection of a line protocol: SMTP, LMTP, IMAP, POP3, ManageSieve, on either
// side.
//
// A [Conn] reads lines and counted bytes within limits and deadlines, buffers output, changes to TLS
// without carrying plaintext over (RFC 3207 section 6, CVE-2011-0411), and waits for input without
// holding a buffer, so that an idle session costs a few kilobytes. It knows no command of any
// protocol.
//
// Output is flushed when reading has to wait, so that all replies to one batch of pipelined commands
// leave in one write (RFC 2920) and no reply is ever forgotten in the buffer.
//
// A [Service] takes in such connections for a server, within limits, until it is told to end.
//
// A Conn belongs to one goroutine. Only [Conn.Wake] and [Conn.Close] may be called from others.
package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Defaults for the fields of [Config] that are zero.
const (
	DefaultMaxLine = 8 << 10
	DefaultTimeout = 5 * time.Minute
)

var (
	// ErrLineTooLong is the answer to a line over the limit. The whole line has been read and thrown
	// away; the next read starts at the next line.
	ErrLineTooLong = errors.New("wire: line too long")
	// ErrBareLF comes with a line that ended in LF without CR. The line is complete and returned.
	ErrBareLF = errors.New("wire: line ends in LF without CR")
	// ErrInjected means that the peer sent plaintext after its request to start TLS.
	ErrInjected = errors.New("wire: plaintext sent ahead of the TLS handshake")
	// ErrWoken means that Park ended because of Wake.
	ErrWoken = errors.New("wire: woken")
)

// A Config holds the limits of a Conn.
type Config struct {
	MaxLine      int           // longest line in bytes, its CRLF included
	ReadTimeout  time.Duration // for a whole line, or for a block of other input to begin
	WriteTimeout time.Duration // for each block of output to be taken by the peer
}

// A Conn is one connection.
type Conn struct {
	nc      net.Conn // plain, as accepted or dialed
	link    link     // input and output of nc
	tls     *tls.Conn
	maxLine int
	timeout time.Duration // for reading

	in       buffer    // input not yet consumed
	long     []byte    // a line that does not fit into in
	out      buffer    // output not yet sent
	deadline time.Time // of the present Park

	werr error // the first failed write, which all later ones repeat

	mu     sync.Mutex // guards parked, woken, and tls against Close
	parked bool
	woken  bool
}

// New returns a Conn on nc.
func New(nc net.Conn, cfg Config) *Conn {
	if cfg.MaxLine <= 0 {
		cfg.MaxLine = DefaultMaxLine
	}
	c := &Conn{nc: nc, maxLine: cfg.MaxLine}
	c.link.init(nc)
	c.SetTimeouts(cfg.ReadTimeout, cfg.WriteTimeout)
	return c
}

// SetTimeouts changes the timeouts of the following reads and writes. Zero is [DefaultTimeout].
func (c *Conn) SetTimeouts(read, write time.Duration) {
	if read <= 0 {
		read = DefaultTimeout
	}
	if write <= 0 {
		write = DefaultTimeout
	}
	c.timeout, c.link.writeTimeout = read, write
}

// SetMaxLine changes the longest line, its CRLF included.
func (c *Conn) SetMaxLine(n int) { c.maxLine = n }

// RemoteAddr returns the address of the peer, IPv4 never mapped into IPv6 and no zone, and the zero AddrPort
// where the connection has none (a pipe, a Unix socket).
func (c *Conn) RemoteAddr() netip.AddrPort { return addrPort(c.nc.RemoteAddr()) }

// LocalAddr returns our own address in the form of [Conn.RemoteAddr].
func (c *Conn) LocalAddr() netip.AddrPort { return addrPort(c.nc.LocalAddr()) }

// Close ends the connection. Output that was not flushed is lost. Any goroutine may call it; a read
// or Park of another then fails.
func (c *Conn) Close() error {
	c.mu.Lock()
	tc := c.tls
	c.mu.Unlock()
	if tc == nil {
		return c.nc.Close()
	}
	c.link.closing.Store(true)
	return tc.Close()
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	if a == nil {
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
